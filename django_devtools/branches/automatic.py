"""What nobody has to think of around each ``migrate``: snapshots, and data that goes and comes."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.conf import settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import OutputWrapper
from django.core.management.color import color_style
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.models import IndexOperation

from django_devtools.conf import option, project_root

from . import signals
from .begun import write_down
from .copies import is_here
from .course import course
from .effect import writes_rows
from .fate import fate
from .filling import Filling
from .git import GitError, Repository
from .hook import Memory
from .loader import code_on_disk
from .progress import Progress
from .registry import Entry, Return, step
from .snapshot import DETACHED, Store, database_id
from .stash import Stash
from .survey import read_rows, snapshot_of, survey
from .target import checkout

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

_awaited: dict[str, list[Entry]] = {}
"""What the stash waits for in each database while ``migrate`` runs."""

_kept: dict[str, list[Entry]] = {}
"""What was kept of each database before ``migrate`` began."""


def after_migrate(sender: AppConfig, using: str, verbosity: int = 1, **signal: Any) -> None:
    """
    Refresh the snapshot of this branch. Receives ``post_migrate``.

    ``migrate`` has done its work, so whatever goes wrong here is a warning.
    """
    if sender is not _last_sender() or signals.are_ours():
        return
    try:
        if is_on():
            bring_back(connections[using], signal.get("apps", apps), verbosity)
            _end_keeping(connections[using])
            refresh(connections[using])
    except Exception as error:  # noqa: BLE001 - see above
        if verbosity:
            _warn(
                f"No snapshot was taken of database '{using}': {error}\n"
                "`manage.py migrations_snapshot` takes one."
            )


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
        if is_on():
            _write_down(connections[using], plan)
    if not settings.DEBUG:
        return
    # What is amiss with the database, `migrate` says itself, and with settings, the checks.
    with suppress(DatabaseError, ImproperlyConfigured):
        if is_on():
            stash = Stash(connections[using])
            awaited = stash.awaited()
            _awaited[using] = [e for e in awaited[::-1] if stash.forget_changed(e, awaited)][::-1]
            try:
                _kept[using] = keep(stash, plan, verbosity)
            except Exception as error:  # noqa: BLE001 - whatever it is, `migrate` was asked for
                if verbosity:
                    _warn(f"What is dropped from database '{using}' was not kept: {error}")
    # Where git refuses, or its directory can't be written, the hooks know nothing.
    with suppress(GitError, OSError):
        if repository := Repository.find(project_root()):
            Memory(repository).changed()


def is_on() -> bool:
    """Whether snapshots are taken: where DEBUG is on or AUTO_SNAPSHOT says so, not in tests."""
    chosen = option("AUTO_SNAPSHOT")
    # Django's test runners put the outbox there, and databases that are gone soon.
    return bool(settings.DEBUG if chosen is None else chosen) and not hasattr(mail, "outbox")


def refresh(connection: BaseDatabaseWrapper) -> None:
    """
    Take the snapshot of the branch that is checked out, unless it says what the database holds.

    Raises GitError, SnapshotError, and what broken migrations raise.
    """
    repository = Repository.find(project_root())
    if repository is None:
        return
    store = Store.find(repository)
    branch = repository.branch() or DETACHED
    rows = read_rows(connection)
    snapshots, begun = store.read_all()
    database = database_id(connection)
    snapshot = snapshots.get(database, {}).get(branch)
    if snapshot and snapshot.says(rows) and not begun.get(database):
        return
    found = survey(connection, repository, store, code_on_disk())
    snapshot, texts = snapshot_of(found, branch, found.rows, found.states())
    repository.keep(texts)
    store.update(database, [snapshot], rows=found.rows)


def bring_back(connection: BaseDatabaseWrapper, models: Apps, verbosity: int) -> None:
    """Fill what ``migrate`` has made anew, and what the stash has been waiting for."""
    awaited = _awaited.pop(connection.alias, None)
    if not awaited:
        return
    stash = Stash(connection)
    back = [(entry, entry.coming.keys() & stash.in_place(entry)) for entry in awaited]
    made = [entry.due(dict.fromkeys(names, Return.REPLACE)) for entry, names in back if names]
    if not made:
        return
    repository = Repository.find(project_root())
    progress = Progress(OutputWrapper(sys.stdout), color_style(), verbosity)
    filling = Filling(stash, models, repository.branch() if repository else None, progress)
    filling.fill(made)
    stash.clean()
    for note in filling.notes:
        sys.stderr.write(f"{note}\n")


def keep(stash: Stash, plan: Steps, verbosity: int) -> list[Entry]:
    """Copy what ``migrate`` is about to drop. Raises DatabaseError where it can't be copied."""
    connection, rows = stash.connection, read_rows(stash.connection)
    if not rows or not any(_may_drop(*one) for one in plan):
        return []
    loader = MigrationLoader(connection)
    moved = {(migration.app_label, migration.name) for migration, _ in plan}
    remaining = loader.applied_migrations.keys() & loader.graph.nodes.keys() - moved
    base = loader.project_state(sorted(remaining))
    most = connection.ops.max_name_length()
    # All of it goes one way.
    back = [migration for migration, backwards in reversed(plan) if backwards]
    forth = [migration for migration, backwards in plan if not backwards]
    found = fate(course(base.clone(), back, most), course(base, forth, most))
    lost = [loss for loss in found.lost if is_here(connection, loss)]
    steps = [step((m.app_label, m.name), backwards) for m, backwards in plan]
    repository = Repository.find(project_root())
    progress = Progress(OutputWrapper(sys.stdout), color_style(), verbosity)
    fills = any(writes_rows(*one) for one in plan)
    branch = repository.branch() if repository else None
    stash.clean()
    kept = stash.keep(lost, rows, branch, steps, progress, fills)
    stash.begin()
    return kept


def _write_down(connection: BaseDatabaseWrapper, plan: Steps) -> None:
    repository = Repository.find(project_root())
    keys = {(one.app_label, one.name) for one, backwards in plan if not backwards}
    if repository and keys:
        code = code_on_disk()
        sources = {key: code.source(key) for key in keys & code.migrations.keys()}
        past = checkout(repository, code).past
        write_down(connection, repository, Store.find(repository), past, sources)


def _end_keeping(connection: BaseDatabaseWrapper) -> None:
    """End what ``keep`` began; with ``--fake``, nothing was dropped."""
    if kept := _kept.pop(connection.alias, None):
        stash = Stash(connection)
        for entry in kept:
            if stash.in_place(entry) == entry.columns.keys():
                stash.drop([entry])
            else:
                stash.close(entry)
        stash.clean()


def _warn(text: str) -> None:
    sys.stderr.write(color_style().WARNING(f"{text}\n"))


def _may_drop(migration: Migration, backwards: bool) -> bool:
    return backwards or not all(isinstance(one, _KEEPING) for one in migration.operations)


def _last_sender() -> AppConfig | None:
    """The app that ``post_migrate`` is sent for last; it is sent for each that has models."""
    senders = [config for config in apps.get_app_configs() if config.models_module]
    return senders[-1] if senders else None
