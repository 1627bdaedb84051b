"""Tells what one migration renames."""

from collections.abc import Callable
from functools import partial

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from .changes import SchemaChanges, schema_changes
from .operations import may_rename
from .tracker import SchemaHistory, track

Renames = Callable[[ProjectState], SchemaChanges | None]
"""What a step renames, by the state after it; None if it renames nothing."""


def renames_backwards(migration: Migration) -> Renames:
    """What unapplying a migration renames, if anything."""
    return partial(_undone, migration) if may_rename(migration) else _nothing


def renames_forwards(migration: Migration, before: ProjectState) -> Renames:
    """What applying a migration renames, if anything. ``before`` is the state before that."""
    if not may_rename(migration):
        return _nothing
    models = _models_only(before)
    return lambda after: schema_changes(SchemaHistory(), track(models, [migration]))


def _undone(migration: Migration, after: ProjectState) -> SchemaChanges:
    return schema_changes(track(_models_only(after), [migration]), SchemaHistory())


def _nothing(after: ProjectState) -> None:
    return None


def _models_only(state: ProjectState) -> ProjectState:
    """A copy of a state that can be changed, and whose models are not rendered."""
    models = {key: model.clone() for key, model in state.models.items()}
    return ProjectState(models, state.real_apps)
