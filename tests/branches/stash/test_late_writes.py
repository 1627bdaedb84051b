"""What other connections write after something was copied and before it is dropped."""

from collections.abc import Iterator
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.stash.entries import Entry, Step
from django_devtools.branches.stash.stash import Stash
from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import kept, make_branch, values
from tests.branches.stash.test_stash import NOTE, make_products
from tests.branches.stash.test_undisturbed import PART
from tests.project import Project

MADE, MORE = ("shop", "0001_initial"), ("shop", "0002_more")
TABLE = DataLoss(MORE, ("shop", "part"), "part", dropped_backwards=True)
COLUMN = DataLoss(MORE, ("shop", "item"), "item", "size", dropped_backwards=True, starts_null=True)
LAST, DROP = Step(("shop", "0003_last"), True, "a1"), Step(MORE, True, "b2")
OTHER = Step(MADE, True, "c3")


@pytest.fixture
def other(connection: BaseDatabaseWrapper) -> Iterator[BaseDatabaseWrapper]:
    """Another connection to the same database, in which tables have rows."""
    for statement in (
        "CREATE TABLE item (id integer NOT NULL PRIMARY KEY, size integer)",
        "CREATE TABLE part (id integer NOT NULL PRIMARY KEY, name varchar(9) NOT NULL)",
        "INSERT INTO item VALUES (1, 10), (2, NULL), (3, 30)",
        "INSERT INTO part VALUES (1, 'a'), (2, 'b')",
    ):
        dialect_of(connection).execute(statement)
    other = connection.copy()
    yield other
    other.close()


def execute(connection: BaseDatabaseWrapper, *statements: str) -> None:
    for statement in statements:
        dialect_of(connection).execute(statement)


def save(connection: BaseDatabaseWrapper, fills: bool = False) -> Stash:
    stash = Stash(connection)
    progress = Progress(OutputWrapper(StringIO()), no_style(), verbosity=0)
    stash.save([TABLE, COLUMN], "feature", [LAST, DROP, OTHER], progress, fills)
    return stash


def begin(stash: Stash, step: Step | None = None) -> list[Entry]:
    with transaction.atomic(stash.connection.alias):
        changed = stash.catch_up(step)
        stash.begin()
    return changed


def saved(stash: Stash) -> dict[str, list[tuple[object, ...]]]:
    """The rows of each entry, which are as many as it says."""
    found = {}
    for entry in stash.entries():
        _, rows = stash.rows(entry, 10)
        assert entry.rows == len(rows)
        found[entry.table] = sorted(rows)
    return found


def test_nothing_was_written(other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper) -> None:
    stash = save(connection)
    first, second = begin(stash), begin(stash, DROP)
    if connection.vendor != "mysql":  # It knows whole seconds, and rows were made in this one.
        assert first == second == []
    assert saved(stash) == {"item": [(1, 10), (3, 30)], "part": [(1, "a"), (2, "b")]}


def test_what_was_written_before_the_first_step(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    """Also if its migrations write rows: none of them has run yet."""
    stash = save(connection, fills=True)
    execute(
        other,
        "UPDATE item SET size = NULL WHERE id = 1",
        "UPDATE item SET size = 20 WHERE id = 2",
        "INSERT INTO item VALUES (4, 40)",
        "INSERT INTO part VALUES (3, 'c')",
        "UPDATE part SET name = 'edited' WHERE id = 1",
        "DELETE FROM part WHERE id = 2",
    )
    assert sorted(entry.rows for entry in begin(stash)) == [2, 3]
    assert saved(stash) == {
        "item": [(2, 20), (3, 30), (4, 40)],
        "part": [(1, "edited"), (3, "c")],
    }


def test_rows_that_were_only_deleted(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection)
    execute(other, "DELETE FROM part WHERE id = 2")
    begin(stash)
    assert saved(stash)["part"] == [(1, "a")]


def test_what_was_written_before_another_step(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    """The step that drops it, and no other one, looks again."""
    stash = save(connection)
    begin(stash)
    execute(other, "INSERT INTO part VALUES (3, 'c')")
    assert begin(stash, OTHER) == []
    assert 3 in [entry.rows for entry in begin(stash, DROP)]
    assert saved(stash)["part"] == [(1, "a"), (2, "b"), (3, "c")]


def save_too(stash: Stash, fills: bool = False) -> None:
    """Save another table, for a detour."""
    execute(stash.connection, "CREATE TABLE more (id integer NOT NULL PRIMARY KEY)")
    more = DataLoss(LAST.key, ("shop", "more"), "more", dropped_backwards=True)
    progress = Progress(OutputWrapper(StringIO()), no_style(), verbosity=0)
    stash.save([more], "feature", [LAST], progress, fills)


def test_what_was_written_before_another_step_after_a_detour(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection)
    begin(stash)
    save_too(stash)
    begin(stash, LAST)
    stash.end_pass(SchemaChanges([], {}, set(), {}), [])
    execute(other, "INSERT INTO part VALUES (3, 'c')")
    assert 3 in [entry.rows for entry in begin(stash, DROP)]


def test_what_a_detour_writes_is_not_saved(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection)
    begin(stash)
    save_too(stash, fills=True)
    execute(connection, "UPDATE part SET name = 'filled'")
    assert "part" not in [entry.table for entry in begin(stash, DROP)]
    assert saved(stash)["part"] == [(1, "a"), (2, "b")]


def test_what_migrations_write_is_not_saved(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection, fills=True)
    begin(stash)
    execute(connection, "UPDATE part SET name = 'filled'")
    execute(other, "INSERT INTO part VALUES (3, 'c')")
    assert begin(stash, DROP) == []
    assert saved(stash)["part"] == [(1, "a"), (2, "b")]


def test_what_is_not_there_any_more_is_not_looked_at(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection)
    begin(stash)
    execute(connection, "DROP TABLE part", "ALTER TABLE item RENAME TO thing")
    assert begin(stash, DROP) == []
    assert saved(stash) == {"item": [(1, 10), (3, 30)], "part": [(1, "a"), (2, "b")]}


def test_the_first_value_of_a_column(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    """What had nothing to be saved has no copy, and is not looked at again."""
    execute(connection, "UPDATE item SET size = NULL")
    stash = save(connection)
    execute(other, "UPDATE item SET size = 20 WHERE id = 2")
    begin(stash)
    assert "item" not in saved(stash)


def test_after_a_pass_nothing_is_looked_at(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    stash = save(connection)
    begin(stash)
    stash.end_pass(SchemaChanges([], {}, set(), {}), stash.entries())
    execute(other, "INSERT INTO part VALUES (3, 'c')")
    assert begin(stash, DROP) == []
    assert begin(stash) == []


def test_nobody_writes_until_it_is_dropped(
    other: BaseDatabaseWrapper, connection: BaseDatabaseWrapper
) -> None:
    if not connection.features.can_rollback_ddl:
        pytest.skip("no lock outlives the commit of DDL")
    stash = save(connection)
    wait = {"sqlite": "PRAGMA busy_timeout = 1", "postgresql": "SET lock_timeout = 1"}
    execute(other, wait[connection.vendor])
    with transaction.atomic(connection.alias):
        stash.catch_up()
        with pytest.raises(OperationalError):
            execute(other, "INSERT INTO part VALUES (3, 'c')")


WRITER = """
import os
from django.db.backends.signals import connection_created

copies, written = 0, []


def execute(run, sql, params, many, context):
    connection = context["connection"]
    global copies
    copies += "CREATE TABLE" in sql and "django_devtools_stash_" in sql
    if copies == 2 and "WRITES" in os.environ and not connection.in_atomic_block and not written:
        written.append(True)
        other = connection.copy("other")
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO shop_part (name) VALUES ('late')")
            cursor.execute("UPDATE shop_product SET note = 'late' WHERE id = 2")
        other.close()
    return run(sql, params, many, context)


def install(connection, **kwargs):
    if connection.alias == "default":
        connection.execute_wrappers.insert(0, execute)


connection_created.connect(install)
"""


def test_a_switch_that_others_write_during(
    vendor_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of a table, and a value of a column, after both were copied."""
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + NOTE + PART)
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Part.objects.create(name='a'); "
        "Product.objects.filter(pk=1).update(note='n')"
    )
    vendor_project.settings(WRITER)
    vendor_project.commit("Writer")
    vendor_project.checkout("main")
    vendor_project.settings(WRITER)
    monkeypatch.setitem(vendor_project.environment, "WRITES", "1")
    output = vendor_project.manage("migrations_switch", "--no-input")
    monkeypatch.delitem(vendor_project.environment, "WRITES")
    assert output.stderr == ""
    assert kept(vendor_project) == {"shop_part.* 2", "shop_product.note 2"}
    vendor_project.git("checkout", "--quiet", "--force", "feature")
    vendor_project.manage("migrations_switch", "--no-input")
    assert values(vendor_project, "name", model="Part") == "a; late"
    assert values(vendor_project, "name", "note") == "p1 n; p2 late; p3 None"
