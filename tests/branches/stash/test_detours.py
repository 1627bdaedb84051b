"""The way to what comes back only by steps that the target does not take."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from django_devtools.branches.schema.introspection import ColumnInfo
from django_devtools.branches.schema.operations import irreversible_operations
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.stash.detours import Way, find_way
from django_devtools.branches.stash.entries import Entry, StashedColumn, Status, Step
from django_devtools.branches.stash.returns import Applied, AppliedMigration, Detour

ID = ("id", models.AutoField(primary_key=True))
INITIAL = migrations.CreateModel("item", [ID, ("size", models.IntegerField())])
ADD = migrations.AddField("item", "note", models.TextField(null=True))


def migration(name: str, parent: str, *operations: Operation) -> Migration:
    dependencies = [("shop", parent)] if parent else []
    return variant(Migration(name, "shop"), operations=list(operations), dependencies=dependencies)


MADE = migration("0001", "", INITIAL)
PIECE = ("shop", "0002")


def entry() -> Entry:
    column = StashedColumn(ColumnInfo("integer", True), "shop.0001", dropped_backwards=True)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    return Entry(1, Status.KEPT, "top", "shop_item", True, {"size": column}, ["id"], 3, at)


def way(
    missing: Migration,
    *others: Migration,
    backwards: bool = True,
    is_stuck: Callable[[Migration], object] = lambda migration: False,
) -> Way | None:
    """The way over ``missing``, where the first migration and ``others`` are applied."""
    step = Step(("shop", missing.name), backwards, "text")
    there = [MADE, *others] if backwards else [MADE, missing, *others]
    known = {("shop", one.name): AppliedMigration(one, lambda: "") for one in there}
    recorded = {step: missing}
    return find_way(
        Detour([entry()], [step]),
        Applied(known, recorded.get),
        is_stuck=lambda migration: bool(is_stuck(migration)),
        unmigrated_apps=(),
        max_name_length=None,
    )


def test_the_missing_step_is_applied_on_top_of_what_is_there() -> None:
    found = way(migration("0002", "0001", ADD))
    assert found is not None
    assert (found.keys, found.rest) == ([("shop", "0002")], [("shop", "0001")])
    assert not found.begins_backwards


def test_what_only_adds_a_column_can_be_spared() -> None:
    found = way(migration("0002", "0001", ADD))
    assert found is not None
    assert found.leaves_alone([entry()])


@pytest.mark.parametrize(
    "operation",
    [
        migrations.RenameField("item", "size", "width"),
        migrations.RenameModel("item", "thing"),
        migrations.AlterField("item", "size", models.TextField()),
        migrations.RemoveField("item", "size"),
        migrations.DeleteModel("item"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_changes_the_table_can_not_be_spared(operation: Operation) -> None:
    found = way(migration("0002", "0001", operation))
    assert found is not None
    assert not found.leaves_alone([entry()])


def test_code_can_not_be_spared() -> None:
    def fill(apps: object, editor: object) -> None:
        """Whatever it does."""

    found = way(migration("0002", "0001", migrations.RunPython(fill, fill)))
    assert found is not None
    assert not found.leaves_alone([entry()])


@pytest.mark.parametrize("is_state_apart", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_code_that_nothing_undoes_is_not_run(backwards: bool, is_state_apart: bool) -> None:
    def fill(apps: object, editor: object) -> None:
        raise AssertionError

    code: Operation = migrations.RunPython(fill, migrations.RunPython.noop)
    if is_state_apart:
        code = migrations.SeparateDatabaseAndState([code], [ADD])
    found = way(migration("0002", "0001", code), backwards=backwards)
    assert found is not None
    assert found.spared == [("shop", "0002")]
    assert found.leaves_alone([entry()])
    (left,) = found.migrations[0].operations
    (inner,) = getattr(left, "database_operations", [left])
    assert (inner.code, inner.reverse_code) == (migrations.RunPython.noop,) * 2
    assert getattr(left, "state_operations", [ADD]) == [ADD]


def test_sql_that_nothing_undoes_is_not_run() -> None:
    found = way(migration("0002", "0001", migrations.RunSQL("DROP TABLE item", "")))
    assert found is not None
    (left,) = found.migrations[0].operations
    assert isinstance(left, migrations.RunSQL)
    assert left.sql == ""
    again = way(migration("0002", "0001", migrations.RunSQL("SELECT 1", "SELECT 2")))
    assert again is not None
    assert again.spared == []


def test_another_migration_of_that_name_is_in_the_way() -> None:
    assert way(migration("0002", "0001", ADD), migration("0002", "0001")) is None


def test_code_whose_dependency_is_not_applied_is_in_the_way() -> None:
    def fill(apps: object, editor: object) -> None:
        """Whatever it does."""

    assert way(migration("0003", "0002", ADD, migrations.RunPython(fill, fill))) is None


def test_a_dependency_may_have_another_name_by_now() -> None:
    found = way(migration("0003", "0002", ADD))
    assert found is not None
    assert (found.keys, found.rest) == ([("shop", "0003")], [("shop", "0001")])


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AlterField("item", "size", models.TextField()),
        migrations.AddField("item", "width", models.TextField(null=True)),
        migrations.CreateModel("item", [ID]),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_an_operation_that_does_not_fit_is_in_the_way(operation: Operation) -> None:
    """Other branches may have renamed what it is about, or made the same."""
    rename = migration("0002", "0001", migrations.RenameField("item", "size", "width"))
    assert way(migration("0003", "0002", operation), rename) is None


def test_a_migration_without_a_reverse_is_in_the_way() -> None:
    assert way(migration("0002", "0001", ADD), is_stuck=lambda migration: True) is None


def test_code_without_a_reverse_is_only_in_the_way_where_it_was_run() -> None:
    """On the way up it is not run, so that nothing has to be undone on the way down."""
    code = migration("0002", "0001", migrations.RunSQL("UPDATE item SET size = 1"))
    assert way(code, backwards=False, is_stuck=irreversible_operations) is None
    found = way(code, is_stuck=irreversible_operations)
    assert found is not None
    assert not irreversible_operations(found.migrations[0])
    assert found.irreversible == [("shop", "0002")]


def test_a_text_that_is_gone_is_in_the_way() -> None:
    step = Step(("shop", "0002"), True, "text")
    known = {("shop", "0001"): AppliedMigration(MADE, lambda: "")}
    applied = Applied(known, lambda step: None)
    assert find_way(Detour([entry()], [step]), applied, bool, (), None) is None


def test_what_was_applied_is_unapplied_first() -> None:
    found = way(migration("0002", "0001", ADD), backwards=False)
    assert found is not None
    assert found.begins_backwards


@pytest.mark.parametrize("is_known", [True, False])
def test_a_piece_of_a_squash_is_unapplied_with_what_is_on_top_of_it(is_known: bool) -> None:
    """Its own text is recorded; and what depends on the squash depends on its pieces."""
    piece = migration("0002", "0001", ADD)
    squash = variant(migration("squash", "", INITIAL, ADD), replaces=[("shop", "0001"), PIECE])
    top = migration("0003", "squash", migrations.RenameField("item", "note", "text"))
    known = {("shop", "0001"): "0001", PIECE: "0002", ("shop", "squash"): "squash"}
    there = {key: AppliedMigration(None, partial(str, text)) for key, text in known.items()}
    there["shop", "squash"] = AppliedMigration(squash, str)
    there["shop", "0003"] = AppliedMigration(top, str)
    texts = {"0001": MADE, "0002": piece} if is_known else {"0002": piece}
    applied = Applied(there, lambda step: texts.get(step.text))
    steps = [Step(("shop", "0003"), False, ""), Step(PIECE, False, "0002")]

    found = find_way(Detour([entry()], steps), applied, lambda one: False, (), None)

    if is_known:
        assert found is not None
        assert (found.keys, found.rest) == ([PIECE, ("shop", "0003")], [("shop", "0001")])
        assert find_way(Detour([entry()], steps[1:]), applied, lambda one: False, (), None) is None
    else:
        assert found is None


def test_what_stays_on_top_is_in_the_way() -> None:
    top = migration("0003", "0002")
    assert way(migration("0002", "0001", ADD), top, backwards=False) is None
