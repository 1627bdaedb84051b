"""Receivers of pre_migrate and post_migrate: take snapshots, save what is dropped, restore it."""

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import OutputWrapper
from django.core.management.color import color_style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, operations
from django.db.migrations.operations.models import IndexOperation

from django_devtools.branches.decision import Workspace, decide
from django_devtools.branches.hooks.hook import Hooks
from django_devtools.branches.hooks.projects import pathspecs
from django_devtools.branches.hooks.state import UNTOLD, HookState
from django_devtools.branches.planning.comparison import compare
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.running.begun import write_down
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.rows import is_meant, is_mirror, read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import (
    DETACHED,
    Key,
    Snapshot,
    SnapshotError,
    branch_of,
)
from django_devtools.branches.sources.target import checkout
from django_devtools.branches.stash.entries import Status
from django_devtools.branches.stash.stash import Stash
from django_devtools.conf import in_tests, project_root, takes_snapshots

from .progress import Progress, not_saved, warning, write_notice

if TYPE_CHECKING:
    from .guard import Guard

logger = logging.getLogger("django_devtools.branches")

_DROPS_NOTHING = (
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.CreateModel,
    operations.RunPython,
    IndexOperation,
)
"""Operations that drop nothing when they run forwards, on any database."""

UNSURE = "Whether what is pending is applied under other names is not known"

Steps = Sequence[tuple[Migration, bool]]
"""What ``migrate`` is about to do: migrations, and whether each is unapplied."""


def before_migrate(
    sender: AppConfig, using: str, plan: Steps = (), verbosity: int = 1, **signal: Any
) -> None:
    """
    Save what is about to be dropped, and write down what is about to be applied.

    Receives ``pre_migrate``. The git hooks look at the databases again after it.
    """
    if sender is not _last_sender() or not plan:
        return
    # Whatever makes this fail also makes the snapshot fail, and ``after_migrate`` reports it.
    with suppress(Exception):
        if takes_snapshots():
            notices = _write_down(connections[using], plan)
            for notice in notices if verbosity else ():
                write_notice(color_style().WARNING(notice))
    if settings.DEBUG and not in_tests():
        _keep_safe(connections[using], plan, verbosity)
        if repository := Repository.usable(project_root()):
            with warning("The git hooks were not told", verbosity, f" {UNTOLD}"):
                HookState(repository).changed()


def _keep_safe(connection: BaseDatabaseWrapper, plan: Steps, verbosity: int) -> None:
    """Save what is about to be dropped, unless nothing may be run at all."""
    # Wrong settings are named by the system checks.
    with suppress(ImproperlyConfigured):
        if takes_snapshots():
            guard = _guard(connection, plan)
            if guard and guard.doubt and verbosity:
                write_notice(color_style().WARNING(f"{UNSURE}: {guard.doubt}"))
            if guard is None or not guard.refusal:
                with warning(not_saved(connection), verbosity):
                    watch(Stash(connection), plan, verbosity)
            if guard is not None:
                guard.watch(plan)


def after_migrate(
    sender: AppConfig, using: str, plan: Steps = (), verbosity: int = 1, **signal: Any
) -> None:
    """
    Restore what the stash has, and refresh the snapshot of this branch.

    Receives ``post_migrate``. ``migrate`` has done its work, so errors become warnings here.
    """
    if sender is not _last_sender():
        return
    with warning(f"What is in the stash was not restored to database '{using}'", verbosity):
        restore(plan, signal.get("apps", apps))
    hint = "\n`manage.py migrations_snapshot` takes one."
    with warning(f"No snapshot was taken of database '{using}'", verbosity, hint):
        if takes_snapshots():
            refresh(connections[using])
    # Hooks were told that nothing is known, and look again. Prompts can't.
    with suppress(Exception):
        if plan and settings.DEBUG and takes_snapshots() and (hooks := _hooks()):
            tell_hooks(hooks.repository)
            # Whoever works with a checkout migrates, long before anybody runs the checks.
            if verbosity and (trouble := hooks.trouble()):
                write_notice(color_style().WARNING(" ".join(trouble)))


def _hooks() -> Hooks | None:
    repository = Repository.find(project_root())
    return Hooks(repository) if repository else None


def tell_hooks(repository: Repository) -> None:
    """
    Have prompts, and with them the hooks, know that the databases are in step, if all are.

    Nothing is done where nobody has a prompt, nor for the sake of a database that is not connected
    yet: that may take long.

    Raises GitError, StateError, DatabaseError, and what broken migrations raise.
    """
    commit = repository.commit()
    if commit is None or not HookState(repository).is_awaited(commit):
        return
    found = [one for one in connections.all() if not is_mirror(one)]
    if any(one.connection is None for one in found):
        return
    workspace = Workspace(repository, SnapshotFile.find(repository), code_on_disk())
    meant = filter(is_meant, found)
    if all(_is_in_step(connection, workspace) for connection in meant):
        HookState(repository).in_step(commit, pathspecs(repository, workspace.disk))


def _is_in_step(connection: BaseDatabaseWrapper, workspace: Workspace) -> bool:
    repository, snapshot_file = workspace.repository, workspace.snapshot_file
    found = compare(connection, repository, snapshot_file, workspace.disk)
    decision = decide(connection, workspace, Options(), found)
    return not (decision.has_work or (decision.plan is not None and decision.plan.not_rolled_back))


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
    contents, database = snapshot_file.read_all(), database_id(connection)
    snapshot = contents.snapshots.get(database, {}).get(branch)
    if snapshot and snapshot.says(rows) and not contents.begun.get(database):
        return
    found = compare(connection, repository, snapshot_file, code_on_disk())
    snapshot, texts = snapshot_of(found, branch, found.rows, found.states())
    repository.store(texts)
    snapshot_file.update(database, [snapshot], rows=found.rows)


def watch(stash: Stash, plan: Steps, verbosity: int) -> None:
    """See to it that what ``migrate`` drops is saved, and that what comes back is restored."""
    connection, rows = stash.connection, read_rows(stash.connection)
    if not (_may_restore(stash) or (rows and _may_drop(stash, plan))):
        logger.debug("%s: nothing is dropped, and nothing is restored", connection.alias)
        return
    from .plain_migrate import Session

    session = Session(stash, plan, rows, _progress(verbosity))
    session.prepare(_held_branch(connection, rows))


def restore(plan: Steps, models: Apps) -> None:
    """End what ``watch`` began: restore what ``migrate`` has made, unless all of it was faked."""
    from .plain_migrate import session_of

    if session := session_of(plan):
        session.end(models)


def _guard(connection: BaseDatabaseWrapper, plan: Steps) -> "Guard | None":
    """The guard of what is applied and has no file here, if anything is."""
    from .guard import guard_of

    # What makes this fail also makes the snapshot fail, and ``after_migrate`` reports it.
    with suppress(Exception):
        return guard_of(connection, plan)
    return None


def _may_restore(stash: Stash) -> bool:
    return any(entry.status is not Status.LEFT for entry in stash.entries())


def _may_drop(stash: Stash, plan: Steps) -> bool:
    # A table that is made anew has the columns alone that its model knows.
    adds = () if stash.tables.dialect.rebuilds_tables else (operations.AddField,)
    return any(
        backwards or not all(isinstance(one, (*_DROPS_NOTHING, *adds)) for one in step.operations)
        for step, backwards in plan
    )


def _write_down(connection: BaseDatabaseWrapper, plan: Steps) -> list[str]:
    """Write down what is about to be applied. What users should know about it."""
    repository = Repository.find(project_root())
    keys = {(one.app_label, one.name) for one, backwards in plan if not backwards}
    if not (repository and keys):
        return []
    code = code_on_disk()
    sources = {key: code.source(key) for key in keys & code.migrations.keys()}
    past = checkout(repository, code).past
    return write_down(connection, repository, SnapshotFile.find(repository), past, sources)


def _held_branch(connection: BaseDatabaseWrapper, rows: Mapping[Key, str]) -> str | None:
    """The branch that the database is on, as far as snapshots tell."""
    repository = Repository.usable(project_root())
    if repository is None:
        return None
    here, snapshots = repository.branch(), dict[str, Snapshot]()
    with suppress(SnapshotError, OSError):  # What is dropped has to be saved all the same.
        snapshots = SnapshotFile.find(repository).read().get(database_id(connection), {})
    return branch_of(snapshots, rows, here) or here


def _progress(verbosity: int) -> Progress:
    return Progress(OutputWrapper(sys.stdout), color_style(), verbosity)


def _last_sender() -> AppConfig | None:
    """The app that ``post_migrate`` is sent for last: Django sends it for each with models."""
    senders = [config for config in apps.get_app_configs() if config.models_module]
    return senders[-1] if senders else None
