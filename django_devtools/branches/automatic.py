"""What nobody has to think of: snapshots after each ``migrate``, and data that it brings back."""

import sys
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

from django_devtools.conf import option, project_root

from . import signals
from .filling import Filling
from .git import GitError, Repository
from .hook import Memory
from .loader import code_on_disk
from .progress import Progress
from .registry import Entry, Return
from .snapshot import DETACHED, Store, database_id
from .stash import Stash
from .survey import read_rows, snapshot_of, survey

_awaited: dict[str, list[Entry]] = {}
"""What the stash waits for in each database while ``migrate`` runs."""


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
            refresh(connections[using])
    except Exception as error:  # noqa: BLE001 - see above
        if verbosity:
            sys.stderr.write(
                color_style().WARNING(
                    f"No snapshot was taken of database '{using}': {error}\n"
                    "`manage.py migrations_snapshot` takes one.\n"
                )
            )


def before_migrate(sender: AppConfig, using: str, plan: Any = (), **signal: Any) -> None:
    """
    Have the git hooks look at the databases, which they knew, and see what the stash waits for.

    Receives ``pre_migrate``.
    """
    if sender is not _last_sender() or not plan or not settings.DEBUG:
        return
    # What is amiss with the database, `migrate` says itself, and with settings, the checks.
    with suppress(DatabaseError, ImproperlyConfigured):
        if is_on():
            stash = Stash(connections[using])
            awaited = stash.awaited()
            _awaited[using] = [e for e in awaited[::-1] if stash.forget_changed(e, awaited)][::-1]
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
    snapshot = store.read().get(database_id(connection), {}).get(branch)
    if snapshot and snapshot.says(rows):
        return
    found = survey(connection, repository, store, code_on_disk())
    snapshot, texts = snapshot_of(found, branch, found.rows, found.states())
    repository.keep(texts)
    store.update(database_id(connection), [snapshot])


def bring_back(connection: BaseDatabaseWrapper, models: Apps, verbosity: int) -> None:
    """Fill what ``migrate`` has made anew, and what the stash has been waiting for."""
    awaited = _awaited.pop(connection.alias, None)
    if not awaited:
        return
    stash = Stash(connection)
    back = [(entry, entry.coming & stash.in_place(entry)) for entry in awaited]
    made = [entry.due(columns, Return.REPLACE) for entry, columns in back if columns]
    if not made:
        return
    repository = Repository.find(project_root())
    progress = Progress(OutputWrapper(sys.stdout), color_style(), verbosity)
    filling = Filling(stash, models, repository.branch() if repository else None, progress)
    filling.fill(made)
    stash.clean()
    for note in filling.notes:
        sys.stderr.write(f"{note}\n")


def _last_sender() -> AppConfig | None:
    """The app that ``post_migrate`` is sent for last; it is sent for each that has models."""
    senders = [config for config in apps.get_app_configs() if config.models_module]
    return senders[-1] if senders else None
