"""What another connection sees of one that is at work."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Thread

import pytest
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.running.observer import Observer
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.ticker import Action, Sight
from tests.branches.schema.dialects.test_base import Connect

SAVING = Action("Saving", 0)
TABLE = "CREATE TABLE item (id integer NOT NULL PRIMARY KEY, name varchar(99))"
SELECTED = "SELECT one AS id, repeat('a', 99) AS name FROM generate_series(1, 20000) one"
ROWS = f"INSERT INTO item {SELECTED}"


def execute(connection: BaseDatabaseWrapper, *statements: str) -> None:
    for statement in statements:
        dialect_of(connection).execute(statement)


@contextmanager
def holding(connection: BaseDatabaseWrapper, statement: str) -> Iterator[None]:
    """Hold the locks of a statement by another connection."""
    other = connection.copy()
    with closing(other):
        other.set_autocommit(False)
        execute(other, statement)
        yield
        other.rollback()


@pytest.mark.parametrize(
    ("vendor", "lock", "statement", "note"),
    [
        (
            "postgresql",
            "LOCK TABLE item",
            "ALTER TABLE item ADD size integer",
            "waiting for a lock that process ",
        ),
        (
            "postgresql",
            "INSERT INTO item VALUES (1, 'a')",
            "CREATE INDEX CONCURRENTLY named ON item (name)",
            "waiting for writers before build, waiting for a lock that process ",
        ),
        (
            "mariadb",
            "INSERT INTO item VALUES (1, 'a')",
            "ALTER TABLE item ADD size integer",
            "the server says: Waiting for table metadata lock",
        ),
    ],
)
def test_what_a_statement_waits_for(
    connect: Connect, vendor: str, lock: str, statement: str, note: str
) -> None:
    connection, sight = connect(vendor), Sight()
    execute(connection, TABLE)
    connection.inc_thread_sharing()
    thread = Thread(target=execute, args=[connection, statement])
    with closing(Observer(connection)) as observer, holding(connection, lock):
        thread.start()
        while note not in sight.note:
            assert thread.is_alive()
            sight = observer(SAVING._replace(table="item"), 2)
    thread.join()


def test_the_share_of_a_copy_that_is_written(connect: Connect) -> None:
    """From how much it has become since it was first looked at."""
    connection = connect("postgresql")
    execute(connection, TABLE, ROWS, "ANALYZE item")
    size = dialect_of(connection).data_size("item")
    action = SAVING._replace(table="item", size=size)
    with closing(Observer(connection)) as observer, transaction.atomic(connection.alias):
        assert observer(action, 1) == Sight(all_rows=20_000)
        execute(connection, "CREATE TABLE copy AS SELECT * FROM item WHERE id <= 5000")
        sight = observer(action, 2)
    # A quarter in the second second, and probably as much in the first one.
    assert sight.fraction == pytest.approx(0.5, abs=0.05)
    assert sight.written == pytest.approx(20_000 * 64, rel=0.2)


def test_the_share_of_rows_that_are_inserted(connect: Connect) -> None:
    """With the indexes: there may be more in these than in the table."""
    connection = connect("postgresql")
    execute(connection, TABLE, "CREATE INDEX named ON item (name)")
    rows = SELECTED.replace("'a', 99", "md5(one::text), 3")
    execute(connection, f"CREATE TABLE copy AS {rows}")
    size = dialect_of(connection).restored_size("item", "copy", 20_000, is_new=True)
    action = SAVING._replace(table="copy", size=size, rows=20_000)
    with closing(Observer(connection)) as observer, transaction.atomic(connection.alias):
        assert observer(action, 1) == Sight(all_rows=20_000)
        execute(connection, "INSERT INTO item SELECT * FROM copy WHERE id <= 5000")
        sight = observer(action, 2)
    assert sight.fraction == pytest.approx(0.5, abs=0.1)


def test_the_share_of_rows_that_are_updated(connect: Connect) -> None:
    connection = connect("postgresql")
    execute(connection, TABLE, "CREATE INDEX named ON item (name)", ROWS, "ANALYZE item")
    execute(connection, "CREATE TABLE copy AS SELECT id, id %% 7 AS size FROM item LIMIT 10000")
    execute(connection, "ALTER TABLE item ADD size integer")
    size = dialect_of(connection).restored_size("item", "copy", 10_000, is_new=False)
    action = SAVING._replace(table="copy", size=size, rows=10_000)
    with closing(Observer(connection)) as observer, transaction.atomic(connection.alias):
        assert observer(action, 1) == Sight(all_rows=10_000)
        execute(
            connection,
            "UPDATE item SET size = copy.size FROM copy "
            "WHERE item.id = copy.id AND item.id <= 2500",
        )
        sight = observer(action, 2)
    assert sight.fraction == pytest.approx(0.5, abs=0.15)


def test_the_rows_that_are_written(connect: Connect) -> None:
    connection = connect("mariadb")
    execute(connection, TABLE)
    with closing(Observer(connection)) as observer, transaction.atomic(connection.alias):
        execute(connection, "INSERT INTO item VALUES (1, 'a'), (2, 'b')")
        sight = observer(SAVING._replace(rows=8), 1)
        while sight.rows is None:
            # InnoDB renews what it shows only when nobody has read it for 0.1 s, and another
            # test may be reading it.
            execute(connection, "DO SLEEP(0.2)")
            sight = observer(SAVING._replace(rows=8), 1)
        assert sight == Sight(0.25, 2, 8)
        assert observer(SAVING._replace(rows=1), 1) == Sight(all_rows=1)


def test_a_table_that_is_locked_is_not_waited_for(connect: Connect) -> None:
    connection = connect("postgresql")
    execute(connection, TABLE, ROWS, "ANALYZE item")
    action = SAVING._replace(table="item")
    with closing(Observer(connection)) as observer, transaction.atomic(connection.alias):
        execute(connection, "LOCK TABLE item")
        assert observer(action, 1) == Sight()


def test_where_nobody_can_ask_nothing_is_seen(connect: Connect) -> None:
    connection = connect("sqlite")
    connection.ensure_connection()
    with closing(Observer(connection)) as observer:
        assert observer(SAVING._replace(rows=8), 1) == Sight()


def test_without_another_connection_nothing_is_seen(connect: Connect) -> None:
    connection = connect("postgresql")
    connection.ensure_connection()
    with closing(Observer(connection)) as observer:
        connection.settings_dict["PORT"] = "1"
        assert observer(SAVING, 1) == Sight()
        assert observer._session is None
