"""Records what is about to be applied before the first step, which may be the last one."""

from collections.abc import Mapping

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.rows import iso, read_rows
from django_devtools.branches.sources.snapshots import (
    DETACHED,
    Key,
    Record,
    Snapshot,
    SnapshotFile,
    now,
)

from .journal import Journal


def write_down(
    connection: BaseDatabaseWrapper,
    repository: Repository,
    snapshot_file: SnapshotFile,
    past: Past,
    sources: Mapping[Key, Source | None],
) -> None:
    """
    Record which texts are about to be applied to a database, and on which branch.

    ``past`` is the branch and commit that they belong to. Raises GitError and SnapshotError.
    """
    known = {key: source for key, source in sources.items() if source}
    if not known:
        return
    at = iso(timezone.now())
    blobs = {key: repository.blob_id(source.content) for key, source in known.items()}
    begun = Snapshot(
        past.branch or DETACHED,
        past.commit,
        now(),
        {key[0]: source.package for key, source in known.items()},
        {key: Record(blob, at) for key, blob in blobs.items()},
    )
    repository.store({blobs[key]: source.content for key, source in known.items()})
    snapshot_file.write_down(database_id(connection), begun)


def strike_out(connection: BaseDatabaseWrapper, snapshot_file: SnapshotFile) -> None:
    """
    Forget what was recorded and then not applied because it failed.

    Raises DatabaseError and SnapshotError.
    """
    rows = read_rows(connection)
    journal = Journal(connection)
    if entry := journal.entry() if journal.exists() else None:
        rows[entry.key] = iso(timezone.now())
    snapshot_file.update(database_id(connection), rows=rows)
