"""What comes back while steps are done one by one, and what of it counts, on plain tables."""

import io
from collections.abc import Iterable, Sequence
from functools import partial

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import DatabaseError, migrations, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.progress import Progress
from django_devtools.branches.running.narrowing import coercing
from django_devtools.branches.schema.changes import (
    renames_backwards,
    renames_forwards,
    schema_changes,
)
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.stash.detours import find_way
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.returns import Applied, AppliedMigration, Returns
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.stash.transfer import Report, Transfer

ID = ("id", models.AutoField(primary_key=True))
WEIGHT = models.IntegerField(default=0)
NAME = models.CharField(max_length=20, default="none")
PROGRESS = Progress(OutputWrapper(io.StringIO()), no_style(), 0)


def migration(name: str, *operations: Operation, after: str = "") -> Migration:
    dependencies = [("shop", after)] if after else []
    return variant(Migration(name, "shop"), operations=list(operations), dependencies=dependencies)


def sql(forwards: str, backwards: str = "") -> Operation:
    return migrations.RunSQL(forwards, backwards)


PRODUCT = migration("1", migrations.CreateModel("Product", [ID, ("name", NAME)]))
MORE = migration(
    "2",
    migrations.AddField("product", "weight", WEIGHT),
    migrations.CreateModel("Part", [ID, ("name", NAME)]),
    after="1",
)
SHOP = [PRODUCT, MORE]


class Walker:
    """A database that goes from some migrations to others, as a ``migrate`` or a switch does."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.stash = Stash(connection)
        self.now: list[Migration] = []
        self.known: dict[Step, Migration] = {}

    def go(self, *wanted: Migration, branch: str | None = None) -> list[str]:
        """Unapply what is not wanted, and apply the rest. What is said."""
        back = [one for one in reversed(self.now) if one not in wanted]
        forth = [one for one in wanted if one not in self.now]
        applied, final = self._applied(self.now), self._applied(wanted)
        returns = Returns(self.stash.entries(), applied, final, branch)
        report = Report()
        find = partial(
            find_way, is_stuck=lambda one: False, unmigrated_apps=(), max_name_length=None
        )
        transfer = Transfer(self.stash, returns, PROGRESS, report, find)
        transfer.prepare()
        try:
            for steps, backwards in ((back, True), (forth, False)):
                if steps:
                    self._pass(transfer, steps, backwards)
        except DatabaseError:
            transfer.halt(None)
            raise
        transfer.settle(lambda: self._state().apps)
        transfer.finish()
        return report.notes

    def _pass(self, transfer: Transfer, steps: Sequence[Migration], backwards: bool) -> None:
        rest = [one for one in self.now if one not in steps]
        longest = self.connection.ops.max_name_length()
        history = track(self._state(rest), list(reversed(steps)) if backwards else steps, longest)
        passes = (history, SchemaHistory()) if backwards else (SchemaHistory(), history)
        named = [self._step(one, backwards) for one in steps]
        fills = any(writes_rows(one, backwards) for one in steps)
        transfer.save(schema_changes(*passes), named, "feature", fills)
        for one, step in zip(steps, named, strict=True):
            transfer.expect(step, None if backwards else self._arrives(one))
            transfer.begin()
            state = self._state()
            renames = renames_backwards(one) if backwards else renames_forwards(one, state)
            self._run(one, backwards)
            after = self._state()
            transfer.done(lambda: self._state().apps, partial(renames, after))
        transfer.end_pass()

    def _run(self, one: Migration, backwards: bool) -> None:
        left = [other for other in self.now if other is not one]
        run = variant(one, operations=[coercing(operation) for operation in one.operations])
        with self.connection.schema_editor() as editor:
            (run.unapply if backwards else run.apply)(self._state(left), editor)
        self.now = left if backwards else [*left, one]

    def _state(self, applied: Iterable[Migration] | None = None) -> ProjectState:
        state = ProjectState()
        for one in self.now if applied is None else applied:
            one.mutate_state(state, preserve=False)
        return state

    def _applied(self, found: Iterable[Migration]) -> Applied:
        keys = {("shop", one.name): self._arrives(one) for one in found}
        return Applied(keys, lambda step: self.known.get(step._replace(backwards=False)))

    def _arrives(self, one: Migration) -> AppliedMigration:
        return AppliedMigration(one, partial(str, id(one)))

    def _step(self, one: Migration, backwards: bool) -> Step:
        step = Step(("shop", one.name), backwards, str(id(one)))
        self.known[step._replace(backwards=False)] = one
        return step

    def write(self, *statements: str) -> None:
        for statement in statements:
            dialect_of(self.connection).execute(statement)

    def rows(self, table: str, *columns: str) -> str:
        """The rows of a table: "1 a; 2 b"."""
        found = dialect_of(self.connection).fetch(
            f"SELECT id, {', '.join(columns)} FROM shop_{table} ORDER BY id"
        )
        return "; ".join(" ".join(map(str, row)) for row in found)

    def kept(self) -> list[str]:
        """What the stash has."""
        return [entry.summary for entry in self.stash.entries()]


@pytest.fixture
def walker(connection: BaseDatabaseWrapper) -> Walker:
    """On main, with three products."""
    walker = Walker(connection)
    walker.go(PRODUCT)
    walker.write("INSERT INTO shop_product (name) VALUES ('a'), ('b'), ('c')")
    return walker


def leave(walker: Walker, top: Migration, weight: str = "weight", part: str = "part") -> None:
    """Give values to a branch with one more migration, and go to main."""
    walker.go(*SHOP, top)
    walker.write(
        f"UPDATE shop_product SET {weight} = 10 * id",
        f"INSERT INTO shop_{part} (name) VALUES ('x'), ('y')",
    )
    walker.go(PRODUCT)


HALF = (
    "UPDATE shop_product SET weight = 7 WHERE id = 2",
    "INSERT INTO shop_product (name, weight) VALUES ('d', 4)",
    "INSERT INTO shop_part (name) VALUES ('mine')",
)
"""Edits where only half of the branch is applied."""
SET_WEIGHT = "UPDATE shop_product SET weight ="
TOPS = {
    "code": (
        migration(
            "3",
            sql(f"{SET_WEIGHT} weight + 1", f"{SET_WEIGHT} 0"),
            after="2",
        ),
        "weight",
        "part",
        "8",
        "5",
    ),
    "type": (
        migration(
            "3",
            migrations.AlterField("product", "weight", models.BigIntegerField(default=0)),
            migrations.AlterField("part", "name", models.TextField()),
            after="2",
        ),
        "weight",
        "part",
        "7",
        "4",
    ),
    "rename": (
        migration(
            "3",
            migrations.RenameField("product", "weight", "mass"),
            migrations.RenameModel("Part", "Piece"),
            after="2",
        ),
        "mass",
        "piece",
        "7",
        "4",
    ),
}
WALKS = [("code", "on"), ("code", "by main"), ("type", "by main"), ("rename", "down")]
SAID = "still in the stash, because it was dropped together with shop.3"


@pytest.mark.parametrize(("top", "way"), WALKS)
def test_what_is_made_before_it_can_come_back_is_no_edit(
    walker: Walker, top: str, way: str
) -> None:
    """The defaults of half a branch are replaced, whichever way leads to its end."""
    last, weight, part, *_ = TOPS[top]
    leave(walker, last, weight, part)

    said = walker.go(*SHOP)

    assert [SAID in one for one in said] == [True, True]
    assert walker.rows("product", "weight") == "1 0; 2 0; 3 0"
    walk(walker, way)
    assert walker.go(*SHOP, last) == []
    assert walker.rows("product", weight) == "1 10; 2 20; 3 30"
    assert walker.rows(part, "name") == "1 x; 2 y"
    assert not any(f"{weight} (" in one or part in one for one in walker.kept())


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_due_follows_a_rename_until_it_is_there(walker: Walker, times: int) -> None:
    """The row of what makes a column is back, and the column is not."""
    weight = migration("2", migrations.AddField("product", "weight", WEIGHT), after="1")
    rename = migration("3", migrations.RenameModel("Product", "Good"), after="2")
    made = migration("4", sql("ALTER TABLE shop_good ADD COLUMN weight integer"), after="3")
    walker.go(PRODUCT, weight)
    walker.write("UPDATE shop_product SET weight = 10 * id")
    walker.go(PRODUCT)
    walker.now.append(weight)

    if times == 2:
        walker.go(PRODUCT, weight, rename)
    walker.go(PRODUCT, weight, rename, made)

    assert walker.rows("good", "weight") == "1 10; 2 20; 3 30"
    assert not walker.kept()


@pytest.mark.parametrize(("top", "way"), WALKS)
def test_edits_count_where_half_a_branch_was_applied(walker: Walker, top: str, way: str) -> None:
    """New rows stay, too. What an edit outdoes is named, and is in the stash."""
    last, weight, part, edited, new = TOPS[top]
    leave(walker, last, weight, part)
    walker.go(*SHOP)
    walker.write(*HALF)
    walk(walker, way)

    (note,) = walker.go(*SHOP, last)

    assert note.startswith(
        f"1 of 3 rows of column shop_product.{weight} stays in the stash: other values are there "
        "now. To look at them: manage.py migrations_stash show "
    )
    assert walker.rows("product", weight) == f"1 10; 2 {edited}; 3 30; 4 {new}"
    assert walker.rows(part, "name") == "1 x; 2 y; 3 mine"
    (entry,) = [entry for entry in walker.stash.entries() if entry.reason]
    assert walker.stash.rows(entry, 9)[1] == [(2, 20)]


def walk(walker: Walker, way: str) -> None:
    """From half a branch to half a branch, or by main."""
    if way != "on":
        walker.go(PRODUCT)
    if way == "down":
        walker.go(*SHOP)


def test_rows_that_half_a_branch_inserts_are_no_edits(walker: Walker) -> None:
    """They give way to those that were there, but for those that were edited."""
    filled = migration(
        "2",
        migrations.CreateModel("Part", [ID, ("name", NAME)]),
        sql("INSERT INTO shop_part (id, name) VALUES (1, 'made'), (2, 'made'), (3, 'made')"),
        after="1",
    )
    run, undo = (f"UPDATE shop_part SET name = '{name}'" for name in ("run", "undone"))
    last = migration("3", sql(run, undo), after="2")
    walker.go(PRODUCT, filled, last)
    walker.write("DELETE FROM shop_part", "INSERT INTO shop_part (id, name) VALUES (1, 'x')")
    walker.go(PRODUCT)
    walker.go(PRODUCT, filled)
    walker.write("UPDATE shop_part SET name = 'edited' WHERE id = 3")

    assert walker.go(PRODUCT, filled, last) == []

    assert walker.rows("part", "name") == "1 x; 3 run"
    assert walker.kept() == []


def test_one_cell_of_a_row_that_half_a_branch_inserts(walker: Walker) -> None:
    """The row may be another one than that of the stash with its key, so all of it stays."""
    filled = migration(
        "2",
        migrations.CreateModel("Part", [ID, ("name", NAME), ("size", WEIGHT)]),
        sql("INSERT INTO shop_part (id, name, size) VALUES (1, 'made', 1), (2, 'made', 2)"),
        after="1",
    )
    run, undo = (f"UPDATE shop_part SET size = size {by}" for by in ("+ 1", "- 1"))
    last = migration("3", sql(run, undo), after="2")
    walker.go(PRODUCT, filled, last)
    walker.write("UPDATE shop_part SET name = 'own'")
    walker.go(PRODUCT)
    walker.go(PRODUCT, filled)
    walker.write("UPDATE shop_part SET size = 9 WHERE id = 2")

    (said,) = walker.go(PRODUCT, filled, last)

    assert said.startswith(
        "1 of 2 rows of table shop_part stays in the stash: other rows are there"
    )
    assert walker.rows("part", "name", "size") == "1 own 2; 2 made 10"


def test_a_column_that_half_a_branch_widens(walker: Walker) -> None:
    wider = models.CharField(max_length=40, default="none")
    widen = migration("2", migrations.AlterField("product", "name", wider), after="1")
    nothing = "UPDATE shop_product SET name = name"
    last = migration("3", sql(nothing, nothing), after="2")
    walker.go(PRODUCT, widen, last)
    walker.write(f"UPDATE shop_product SET name = '{'x' * 30}'")
    walker.go(PRODUCT)
    walker.go(PRODUCT, widen)
    walker.write(f"UPDATE shop_product SET name = '{'y' * 30}' WHERE id = 2")
    walker.go(PRODUCT)

    walker.go(PRODUCT, widen, last)

    assert walker.rows("product", "name") == f"1 {'x' * 30}; 2 {'y' * 30}; 3 {'x' * 30}"


def test_edits_after_a_step_that_failed(walker: Walker) -> None:
    """What the steps before it made is no edit, and what was edited since is one."""
    last = migration("3", sql("UPDATE shop_product SET weight = weight + 1"), after="2")
    fails = migration("3", sql("UPDATE shop_nothing SET weight = 1"), after="2")
    leave(walker, last)
    with pytest.raises(DatabaseError):
        walker.go(*SHOP, fails)
    walker.write(*HALF)
    walker.go(PRODUCT)

    (note,) = walker.go(*SHOP, last)

    assert note.startswith("1 of 3 rows of column shop_product.weight stays in the stash: other")
    assert walker.rows("product", "weight") == "1 10; 2 8; 3 30; 4 5"
    assert walker.rows("part", "name") == "1 x; 2 y; 3 mine"


CELLS = migration(
    "2",
    migrations.AddField("product", "weight", WEIGHT),
    migrations.AddField("product", "note", models.CharField(max_length=9, null=True)),
    migrations.AddField("product", "size", models.IntegerField(null=True, default=5)),
    after="1",
)
RUN = migration(
    "3", sql("UPDATE shop_product SET weight = weight + 1", SET_WEIGHT + " 0"), after="2"
)
THREE = "UPDATE shop_product SET weight = 10 * id, note = 'own', size = 100 * id"


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("edit", "rows", "left"),
    [
        ("weight = 7", "2 8 own 200", [(2, 20, "own", 200)]),
        ("weight = 7, note = 'new', size = 6", "2 8 new 6", [(2, 20, "own", 200)]),
        ("note = 'new'", "2 20 new 200", [(2, 20, "own", 200)]),
        ("note = NULL", "2 20 own 200", []),
        ("size = NULL", "2 20 own None", [(2, 20, "own", 200)]),
    ],
)
@pytest.mark.parametrize("way", ["on", "by main", "down"])
def test_an_edited_cell_keeps_its_value_and_the_others_come_back(
    walker: Walker, edit: str, rows: str, left: list[tuple[object, ...]], way: str
) -> None:
    """What later migrations make of the edit counts, too. NULL was what the migrations made."""
    walker.go(PRODUCT, CELLS, RUN)
    walker.write(THREE)
    walker.go(PRODUCT)
    walker.go(PRODUCT, CELLS)
    walker.write(f"UPDATE shop_product SET {edit} WHERE id = 2")
    ways: dict[str, list[list[Migration]]] = {"on": [], "by main": [[]], "down": [[], [CELLS]]}
    for names in ways[way]:
        walker.go(PRODUCT, *names)

    said = walker.go(PRODUCT, CELLS, RUN)

    assert (
        walker.rows("product", "weight", "note", "size") == f"1 10 own 100; {rows}; 3 30 own 300"
    )
    why = [one for one in said if "other values are there now" in one]
    assert len(why) == len(said) == bool(left)
    found = [row for e in walker.stash.entries() if e.reason for row in walker.stash.rows(e, 9)[1]]
    assert found == left


def test_unique_values_that_change_places_beside_an_edited_one(walker: Walker) -> None:
    swapped = migration(
        "2",
        migrations.AddField("product", "code", models.IntegerField(null=True, unique=True)),
        migrations.AddField("product", "size", models.IntegerField(null=True)),
        sql("UPDATE shop_product SET code = 4 - id"),
        after="1",
    )
    undo = "UPDATE shop_product SET size = 0"
    last = migration("3", sql("UPDATE shop_product SET size = size + 1", undo), after="2")
    walker.go(PRODUCT, swapped, last)
    walker.write("UPDATE shop_product SET code = NULL")
    walker.write("UPDATE shop_product SET code = id, size = 10 * id")
    walker.go(PRODUCT)
    walker.go(PRODUCT, swapped)
    walker.write("UPDATE shop_product SET code = 9 WHERE id = 2")

    (said,) = walker.go(PRODUCT, swapped, last)

    assert said.startswith("1 of 3 rows of columns shop_product.code, shop_product.size stays in")
    assert walker.rows("product", "code", "size") == "1 1 10; 2 9 20; 3 3 30"


def test_columns_that_are_too_many_to_tell_apart(walker: Walker) -> None:
    names = [f"c{number}" for number in range(2, 34)]
    fields = [migrations.AddField("product", c, models.IntegerField(null=True)) for c in names]
    many = migration("2", *fields, after="1")
    run, undo = (f"UPDATE shop_product SET c2 = c2 {by}" for by in ("+ 1", "- 1"))
    last = migration("3", sql(run, undo), after="2")
    walker.go(PRODUCT, many, last)
    walker.write(f"UPDATE shop_product SET {', '.join(f'{c} = 5' for c in names)}")
    walker.go(PRODUCT)
    walker.go(PRODUCT, many)
    walker.write("UPDATE shop_product SET c33 = 9 WHERE id = 2")

    walker.go(PRODUCT, many, last)

    rows = walker.rows("product", "c2", "c30", "c31", "c33")
    assert rows == "1 5 5 5 5; 2 5 5 None 9; 3 5 5 5 5"
