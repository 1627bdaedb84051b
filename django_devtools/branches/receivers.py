"""What nobody has to think of around each ``migrate``: snapshots, and data that goes and comes."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import OutputWrapper
from django.core.management.color import color_style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import IndexOperation

from django_devtools.branches.hooks.state import HookState
from django_devtools.branches.planning.comparison import compare
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.running import signals
from django_devtools.branches.running.begun import write_down
from django_devtools.branches.schema.changes import SchemaChanges, schema_changes
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.tracker import Item, SchemaHistory, track
from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import (
    DETACHED,
    Key,
    Snapshot,
    SnapshotError,
    SnapshotFile,
    branch_of,
    database_id,
)
from django_devtools.branches.sources.target import checkout
from django_devtools.branches.stash.entries import Status, step
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.save import is_routed_here
from django_devtools.branches.stash.stash import Stash
from django_devtools.conf import project_root, takes_snapshots

from .progress import Progress

_KEEPING = (
    operations.AddField,
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.CreateModel,
    operations.RunPython,
    IndexOperation,
)
"""Operations that drop nothing on their way forth."""

Steps = Sequence[tuple[Migration, bool]]
"""What ``migrate`` is about to do: migrations, and whether each is unapplied."""


class _Mark(Operation):
    """
    Put into a migration that ``migrate`` is about to run: a faked one does not reach it.

    In the transaction of the first that drops, what was copied counts as dropped: where that one
    fails, nothing was.
    """

    def __init__(self, stash: Stash, changes: SchemaChanges, drops: bool) -> None:
        self.stash, self.changes, self.drops = stash, changes, drops
        self.is_reached = False

    def state_forwards(self, *_: Any) -> None:
        pass

    def database_forwards(self, *_: Any) -> None:
        self.is_reached = True
        if self.drops:
            self.stash.begin()

    def database_backwards(self, *_: Any) -> None:
        self.database_forwards()


def after_migrate(
    sender: AppConfig, using: str, plan: Steps = (), verbosity: int = 1, **signal: Any
) -> None:
    """
    Bring back what the stash has, and refresh the snapshot of this branch.

    Receives ``post_migrate``.

    ``migrate`` has done its work, so whatever goes wrong here is a warning.
    """
    if sender is not _last_sender() or signals.are_ours():
        return
    with _warning(f"What is in the stash did not come back to database '{using}'", verbosity):
        bring_back(plan, signal.get("apps", apps), verbosity)
    hint = "\n`manage.py migrations_snapshot` takes one."
    with _warning(f"No snapshot was taken of database '{using}'", verbosity, hint):
        if takes_snapshots():
            refresh(connections[using])


def before_migrate(
    sender: AppConfig, using: str, plan: Steps = (), verbosity: int = 1, **signal: Any
) -> None:
    """
    Have the git hooks look at the databases, which they knew, and keep what is about to be lost.

    And write down what is about to be applied. Receives ``pre_migrate``.
    """
    if sender is not _last_sender() or not plan or signals.are_ours():
        return
    # What hinders it hinders the snapshot, too, and is said then.
    with suppress(Exception):
        if takes_snapshots():
            _write_down(connections[using], plan)
    if not settings.DEBUG:
        return
    # What is amiss with settings, the checks say.
    with suppress(ImproperlyConfigured):
        if takes_snapshots():
            with _warning(f"What is dropped from database '{using}' was not kept", verbosity):
                keep(Stash(connections[using]), plan, verbosity)
    # Where git refuses, or its directory can't be written, the hooks know nothing.
    with suppress(GitError, OSError):
        if repository := Repository.find(project_root()):
            HookState(repository).changed()


def refresh(connection: BaseDatabaseWrapper) -> None:
    """
    Take the snapshot of the branch that is checked out, unless it says what the database holds.

    Raises GitError, SnapshotError, and what broken migrations raise.
    """
    repository = Repository.find(project_root())
    if repository is None:
        return
    snapshot_file = SnapshotFile.find(repository)
    branch = repository.branch() or DETACHED
    rows = read_rows(connection)
    snapshots, begun = snapshot_file.read_all()
    database = database_id(connection)
    snapshot = snapshots.get(database, {}).get(branch)
    if snapshot and snapshot.says(rows) and not begun.get(database):
        return
    found = compare(connection, repository, snapshot_file, code_on_disk())
    snapshot, texts = snapshot_of(found, branch, found.rows, found.states())
    repository.store(texts)
    snapshot_file.update(database, [snapshot], rows=found.rows)


def keep(stash: Stash, plan: Steps, verbosity: int) -> None:
    """
    Copy what ``migrate`` is about to drop, and write down what comes back with it.

    Raises DatabaseError where it can't be copied.
    """
    connection, rows = stash.connection, read_rows(stash.connection)
    may_come = any(entry.status is not Status.LEFT for entry in stash.entries())
    may_drop = rows and any(_first_drop(*one) is not None for one in plan)
    if not (may_come or may_drop):
        return
    found, fills = _changes(stash, plan), any(writes_rows(*one) for one in plan)
    for migration, backwards in plan:
        inside: Any = migration.operations
        at = _first_drop(migration, backwards)
        mark = _Mark(stash, found, drops=at is not None)
        inside.insert(len(inside) if at is None else at, mark)
    steps = [step((m.app_label, m.name), backwards) for m, backwards in plan]
    lost = [loss for loss in found.lost if is_routed_here(connection, loss)]
    stash.clean()
    # In this order, as nothing that this one way drops comes back at its end.
    stash.open(found, rows, steps, is_all=False)
    stash.save(lost, rows, _held_branch(connection, rows), steps, _progress(verbosity), fills)


def bring_back(plan: Steps, models: Apps, verbosity: int) -> None:
    """End what ``save`` began: restore what ``migrate`` made, unless it only pretended to."""
    marks = [one for m, _ in plan for one in m.operations if isinstance(one, _Mark)]
    if not marks:
        return
    stash = marks[0].stash
    entries = stash.returning() if any(mark.is_reached for mark in marks) else []
    if entries:
        made, later = marks[0].changes.made, _made_later(stash.connection)
        restore = Restore(stash, models, _branch(), _progress(verbosity), later=later, made=made)
        restore.restore(entries)
        for note in restore.notes:
            sys.stderr.write(f"{note}\n")
    stash.finish(marks[0].changes, read_rows(stash.connection))


def _changes(stash: Stash, plan: Steps) -> SchemaChanges:
    """What becomes of tables and columns. All of the plan goes one way."""
    loader, most = MigrationLoader(stash.connection), stash.connection.ops.max_name_length()
    moved = {(migration.app_label, migration.name) for migration, _ in plan}
    remaining = loader.applied_migrations.keys() & loader.graph.nodes.keys() - moved
    base = loader.project_state(sorted(remaining))
    back = [migration for migration, backwards in reversed(plan) if backwards]
    forth = [migration for migration, backwards in plan if not backwards]
    found = schema_changes(track(base.clone(), back, most), track(base, forth, most))
    # What --fake-initial finds in its place is not made.
    gives_way = {loss.item for loss in found.lost} | found.renamed.keys()
    made = {
        item: is_certain
        for item, is_certain in found.made.items()
        if item in gives_way or not stash.tables.has_item(*item)
    }
    return replace(found, made=made)


def _made_later(connection: BaseDatabaseWrapper) -> Collection[Item]:
    """What the migrations make that are not applied yet."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    applied = executor.loader.applied_migrations.keys() & executor.loader.graph.nodes.keys()
    base = executor.loader.project_state(sorted(applied))
    most = connection.ops.max_name_length()
    return schema_changes(
        SchemaHistory(), track(base, [migration for migration, _ in plan], most)
    ).made


def _write_down(connection: BaseDatabaseWrapper, plan: Steps) -> None:
    repository = Repository.find(project_root())
    keys = {(one.app_label, one.name) for one, backwards in plan if not backwards}
    if repository and keys:
        code = code_on_disk()
        sources = {key: code.source(key) for key in keys & code.migrations.keys()}
        past = checkout(repository, code).past
        write_down(connection, repository, SnapshotFile.find(repository), past, sources)


def _branch() -> str | None:
    repository = Repository.find(project_root())
    return repository.branch() if repository else None


def _held_branch(connection: BaseDatabaseWrapper, rows: Mapping[Key, str]) -> str | None:
    """The branch that the database is on, as far as a snapshot tells."""
    repository = Repository.find(project_root())
    if repository is None:
        return None
    here, snapshots = repository.branch(), dict[str, Snapshot]()
    with suppress(SnapshotError, OSError):  # What is dropped has to be kept all the same.
        snapshots = SnapshotFile.find(repository).read_all()[0].get(database_id(connection), {})
    return branch_of(snapshots, rows, here) or here


def _progress(verbosity: int) -> Progress:
    return Progress(OutputWrapper(sys.stdout), color_style(), verbosity)


@contextmanager
def _warning(what: str, verbosity: int, hint: str = "") -> Iterator[None]:
    """Whatever goes wrong is only said: it was ``migrate`` that was asked for."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        if verbosity:
            sys.stderr.write(color_style().WARNING(f"{what}: {error}{hint}\n"))


def _first_drop(migration: Migration, backwards: bool) -> int | None:
    """Before which operation nothing can have been dropped; None where none drops anything."""
    if backwards:
        return len(migration.operations)
    drops = (not isinstance(one, _KEEPING) for one in migration.operations)
    return next((at for at, does in enumerate(drops) if does), None)


def _last_sender() -> AppConfig | None:
    """The app that ``post_migrate`` is sent for last; it is sent for each that has models."""
    senders = [config for config in apps.get_app_configs() if config.models_module]
    return senders[-1] if senders else None
