"""The contents of the system checks: databases that are out of step, hooks that do not work."""

import gc
import shlex
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager, suppress

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.decision import Workspace, left_by_a_switch
from django_devtools.branches.hooks.hook import INSTALL, Hooks
from django_devtools.branches.hooks.state import HookState
from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import Comparison, compare
from django_devtools.branches.schema.tenants import each_tenant, name_of
from django_devtools.branches.sources.git import INSTALL_NEWER, GitError, Repository, too_old
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import database_files, project_root

from .unclaimed import words_of_unclaimed

SWITCH = "To bring them into step: manage.py migrations_switch"


def about_databases(aliases: Iterable[str]) -> Iterator[checks.CheckMessage]:
    """Warn of databases with migrations that this checkout does not have, or has otherwise."""
    aliases = list(aliases)
    if not aliases:
        return
    try:
        repository = Repository.find(project_root())
        with _no_collector():
            snapshot_file, disk = SnapshotFile.find(repository), code_on_disk()
        workspace = Workspace(repository, snapshot_file, disk)
        for alias in aliases:
            with suppress(DatabaseError):  # Django has a check for that.
                yield from _about_database(connections[alias], workspace)
                with closing(each_tenant(connections[alias])) as tenants:
                    for _ in tenants:
                        yield from _about_database(connections[alias], workspace)
    except ImproperlyConfigured:
        return  # Another check of ours says so.
    except Exception as error:  # noqa: BLE001 - a check that fails keeps runserver from starting
        yield checks.Warning(
            f"The databases can't be compared with this checkout: {error}",
            id="django_devtools.W005",
        )


def _about_database(
    connection: BaseDatabaseWrapper, workspace: Workspace
) -> Iterator[checks.CheckMessage]:
    with _no_collector():
        found = compare(connection, workspace.repository, workspace.snapshot_file, workspace.disk)
        left = left_by_a_switch(connection, workspace, found)
        wrong = _out_of_step(found, left)
    if not (wrong or left):
        for what, hint in words_of_unclaimed(connection, found.target.title):
            yield checks.Warning(what, hint=hint, id="django_devtools.W008")
    if wrong:
        yield checks.Warning(
            f"Database '{name_of(connection)}' is out of step with {found.target.title}: "
            f"{', '.join(wrong)}.",
            hint=SWITCH,
            id="django_devtools.W001",
        )


def about_hooks() -> Iterator[checks.CheckMessage]:
    """Warn of hooks that would not work, or have failed."""
    # Files that git refuses, or that can't be read, are none of this check's business.
    with suppress(GitError, OSError, ValueError):
        if repository := Repository.find(project_root()):
            yield from _about_hooks_of(repository)
            yield from _about_git()
            for words, hint in tracked_databases(repository):
                yield checks.Warning(words, hint=hint, id="django_devtools.W007")


def tracked_databases(repository: Repository) -> Iterator[tuple[str, str]]:
    """What is wrong with each database file that git tracks, and what to do. Raises GitError."""
    for name in repository.tracked(database_files()):
        yield (
            f"Git tracks the database {name}, so each checkout replaces it.",
            "Name another file in the settings, and add that to .gitignore.",
        )


def _about_git() -> Iterator[checks.CheckMessage]:
    if words := too_old():
        yield checks.Warning(words, hint=INSTALL_NEWER, id="django_devtools.W006")


def _about_hooks_of(repository: Repository) -> Iterator[checks.CheckMessage]:
    hooks = Hooks(repository)
    if caller := hooks.callers.own():
        if trouble := hooks.trouble():
            words, hint = trouble
            yield checks.Warning(words, hint=hint, id="django_devtools.W002")
        if not caller.python.exists() and not hooks.callers.command():
            setting = shlex.quote(hooks.callers.setting)
            yield checks.Warning(
                f"The git hooks call {caller.python}, which no longer exists.",
                hint=f"{INSTALL[:-1]}, or `git config {setting} 'COMMAND'`.",
                id="django_devtools.W003",
            )
    if failure := HookState(repository).failure():
        what, _, next_command = failure.rpartition("\n")
        yield checks.Warning(what, hint=next_command, id="django_devtools.W004")


@contextmanager
def _no_collector() -> Iterator[None]:
    """
    Keep the garbage collector from running.

    Syntax trees are many objects and no garbage. While they are made, the collector would look
    through all that the project has loaded, again and again: that takes half of the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _out_of_step(found: Comparison, left: Collection[Key]) -> list[str]:
    return [
        _described(found, key, state)
        for key, state in sorted(found.states().items())
        if state in (State.PHANTOM, State.CHANGED) and key not in left
    ]


def _described(found: Comparison, key: tuple[str, str], state: State) -> str:
    source = found.held_source(key)
    origin = f" from {source.applied_on}" if source and source.applied_on else ""
    return f"{key[0]}.{key[1]} ({state.value}{origin})"
