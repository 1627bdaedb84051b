"""Records what is about to be applied before the first step: the run may not survive it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.rows import iso, read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import DETACHED, Key, Record, Snapshot, now
from django_devtools.conf import database_files

from .journal import Journal

# The file in the git directory that has the paths that users were told about.
TOLD = "left-out"
MOST_NAMED = 5


def write_down(
    connection: BaseDatabaseWrapper,
    repository: Repository,
    snapshot_file: SnapshotFile,
    past: Past,
    sources: Mapping[Key, Source | None],
) -> list[str]:
    """
    Record which texts are about to be applied to a database, on which branch, and the project.

    ``past`` is the branch and commit that they belong to. Returns what users should know about
    it. Raises GitError and SnapshotError.
    """
    known = {key: source for key, source in sources.items() if source}
    if not known:
        return []
    texts = {repository.blob_id(source.content): source.content for source in known.values()}
    repository.store(texts)
    project, notices = None, list[str]()
    if any(source.origin == "file" for source in known.values()):
        project, notices = _record_project(connection, repository, snapshot_file, past)
    begun = _begun(repository, past, known, project)
    snapshot_file.write_down(database_id(connection), begun)
    return notices


def _begun(
    repository: Repository, past: Past, sources: Mapping[Key, Source], project: str | None
) -> Snapshot:
    """What is recorded. ``project`` is that of the texts that come from this checkout."""
    at = iso(timezone.now())
    applied = {}
    for key, source in sources.items():
        tree = project if source.origin == "file" else source.project
        applied[key] = Record(repository.blob_id(source.content), at, tree)
    packages = {key[0]: source.package for key, source in sources.items()}
    return Snapshot(past.branch or DETACHED, past.commit, now(), packages, applied)


def not_recorded(error: Exception) -> str:
    """What to say where a switch goes on although git or the snapshot file can't be written."""
    return (
        f"Nothing was recorded: {str(error).rstrip('.')}. Once that is fixed, run "
        "`manage.py migrations_snapshot`."
    )


def strike_out(connection: BaseDatabaseWrapper, snapshot_file: SnapshotFile, began: str) -> None:
    """
    Forget what a switch that ``began`` some time has recorded, and did not apply as it failed.

    Raises DatabaseError and SnapshotError.
    """
    rows, interrupted = read_rows(connection), {}
    if entry := Journal(connection).entry():
        interrupted[entry.key] = iso(timezone.now())
    snapshot_file.update(
        database_id(connection),
        rows=rows,
        began=began,
        is_done=False,
        interrupted=interrupted,
    )


def _record_project(
    connection: BaseDatabaseWrapper,
    repository: Repository,
    snapshot_file: SnapshotFile,
    past: Past,
) -> tuple[str | None, list[str]]:
    """The tree of the project as it is now, and what there is to say about it."""
    from django_devtools.branches.sources.trees import write_tree

    try:
        written = write_tree(repository, past.commit, database_files(connection.settings_dict))
    except GitError as error:
        notice = (
            f"The project was not recorded: {error}. If its migrations need other code of this "
            "branch, commit that before you check out another one."
        )
        return None, [notice]
    return written.id, _left_out(written.left_out, snapshot_file.lock_directory)


def _left_out(left_out: Mapping[str, str], directory: Path) -> list[str]:
    """Say what is not recorded with the project, each thing once."""
    file = directory / TOLD
    told = set[str]()
    with suppress(OSError):  # Then it is said again.
        told = set(read_text(file).splitlines())
    new = {json.dumps(path): reason for path, reason in left_out.items()}
    new = {path: reason for path, reason in new.items() if path not in told}
    if not new:
        return []
    with suppress(OSError):
        write_aside(file, "".join(f"{path}\n" for path in sorted(told | new.keys())))
    names = [f"{path} ({reason})" for path, reason in new.items()]
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    notice = (
        f"Not recorded with the project: {', '.join(names[:MOST_NAMED])}{more}. A migration that "
        "reads such a file can be unapplied only while it is there."
    )
    return [notice]
