"""What one migration renames, for what is in the stash."""

from typing import Any

from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.changes import renames_backwards, renames_forwards
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.loader import variant

RENAME_FIELD = migrations.RenameField("product", "name", "title")
RENAME_MODEL = migrations.RenameModel("Product", "Item")
ADD_FIELD = migrations.AddField("product", "note", models.TextField(null=True))
RUN_SQL = migrations.RunSQL("SELECT 1", "SELECT 1")


def migration(*operations: Operation) -> Migration:
    return variant(Migration("0002_change", "shop"), operations=list(operations))


def states(change: Migration) -> tuple[ProjectState, ProjectState]:
    """The states before and after ``change``."""
    before = ProjectState()
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.AutoField(primary_key=True)),
        ("name", models.TextField()),
    ]
    migrations.CreateModel("Product", fields).state_forwards("shop", before)
    return before, change.mutate_state(before)


def forwards(*operations: Operation) -> dict[Item, Item]:
    change = migration(*operations)
    before, after = states(change)
    changes = renames_forwards(change, before)(after)
    return dict(changes.renamed) if changes else {}


def backwards(*operations: Operation) -> dict[Item, Item]:
    change = migration(*operations)
    before, _ = states(change)
    changes = renames_backwards(change)(before)
    return dict(changes.renamed) if changes else {}


def test_a_column() -> None:
    old, new = ("shop_product", "name"), ("shop_product", "title")
    assert forwards(RENAME_FIELD) == {old: new}
    assert backwards(RENAME_FIELD) == {new: old}


def test_a_table() -> None:
    old, new = ("shop_product", None), ("shop_item", None)
    assert forwards(RENAME_MODEL)[old] == new
    assert backwards(RENAME_MODEL)[new] == old


def test_what_keeps_all_names_is_not_followed() -> None:
    change = migration(ADD_FIELD)
    before, after = states(change)
    assert renames_forwards(change, before)(after) is None
    assert renames_backwards(change)(before) is None


def test_states_are_left_as_they_are() -> None:
    change = migration(RENAME_MODEL)
    before, after = states(change)
    renames_forwards(change, before)(after)
    renames_backwards(change)(before)
    assert list(before.models) == [("shop", "product")]
    assert list(after.models) == [("shop", "item")]


def test_sql_may_rename_anything() -> None:
    change = migration(RUN_SQL)
    before, after = states(change)
    assert renames_forwards(change, before)(after) is not None
