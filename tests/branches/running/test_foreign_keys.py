"""Foreign keys that an interrupted operation left out."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import CreateModel
from django.db.migrations.state import ProjectState
from django.db.models import CASCADE, AutoField, ForeignKey

from django_devtools.branches.running.foreign_keys import (
    _columns_with_foreign_key,
    _constrained_fields,
    _is_migrated_here,
    restore_foreign_keys,
)


def family(**options: Any) -> ProjectState:
    """A parent, and a child with two foreign keys to it: ``options`` are those of ``first``."""
    state = ProjectState()
    key = ("id", AutoField(primary_key=True))
    CreateModel("Parent", [key]).state_forwards("shop", state)
    first: Any = ForeignKey("shop.Parent", CASCADE, related_name="+", **options)
    second: Any = ForeignKey("shop.Parent", CASCADE, related_name="+")
    CreateModel("Child", [key, ("first", first), ("second", second)]).state_forwards("home", state)
    return state


def create(connection: BaseDatabaseWrapper, state: ProjectState) -> None:
    with connection.schema_editor() as editor:
        for model in (("shop", "Parent"), ("home", "Child")):
            editor.create_model(state.apps.get_model(*model))


def test_a_foreign_key_that_is_missing_is_added(connection: BaseDatabaseWrapper) -> None:
    create(connection, family(db_constraint=False))
    assert _columns_with_foreign_key(connection, "home_child") == {"second_id"}

    restore_foreign_keys(connection, family(), "shop")

    # SQLite makes a table anew as a whole: a switch can't have left a foreign key out.
    added = set() if connection.vendor == "sqlite" else {"first_id"}
    assert _columns_with_foreign_key(connection, "home_child") == {"second_id"} | added


def test_an_app_has_the_foreign_keys_that_start_and_that_end_in_it() -> None:
    child = family(db_constraint=False).apps.get_model("home", "Child")
    for app in ("home", "shop"):
        assert [field.name for field in _constrained_fields(child, app)] == ["second"]
    assert _constrained_fields(child, "other") == []


def test_only_models_of_this_database_have_foreign_keys_here(
    connection: BaseDatabaseWrapper,
) -> None:
    child = family().apps.get_model("home", "Child")
    assert _is_migrated_here(connection, child)
    child._meta.managed = False
    assert not _is_migrated_here(connection, child)
