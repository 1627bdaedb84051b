"""Makes the snapshot of a database that has been compared with its target."""

from collections.abc import Mapping

from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.snapshots import DETACHED, Key, Record, Snapshot, now

from .classify import State
from .comparison import Comparison


def snapshot_of(
    found: Comparison,
    branch: str,
    rows: Mapping[Key, str],
    states: Mapping[Key, State],
    accept: bool = False,
) -> tuple[Snapshot, dict[str, bytes]]:
    """
    A snapshot of ``rows`` without the phantoms among them, and the texts to store, by blob id.

    A snapshot keeps the text that a migration was applied from, whatever its file says now;
    with ``accept`` it takes the text of the file instead.
    """
    repository = found.provenance.repository
    applied: dict[Key, Record] = {}
    obsolete: dict[Key, Record] = {}
    packages: dict[str, str] = {}
    texts: dict[str, bytes] = {}
    for key, at in rows.items():
        if states[key] is State.PHANTOM:
            continue
        record, source = _text_of(found, key, at, accept)
        blob, project = (record.blob, record.project) if record else (None, None)
        if source:
            packages[key[0]] = source.package
            if blob is None and repository:
                blob = repository.blob_id(source.content)
                texts[blob] = source.content
        records = obsolete if states[key] is State.OBSOLETE else applied
        records[key] = Record(blob, at, project)
    commit = _commit_of(found, branch)
    return Snapshot(branch, commit, now(), packages, applied, obsolete), texts


def _text_of(
    found: Comparison, key: Key, at: str, accept: bool
) -> tuple[Record | None, Source | None]:
    """The record that there is of an applied migration already, and its text."""
    if accept and key in found.target.code.migrations:
        return None, found.wanted_source(key)
    # Whatever was applied since the comparison comes from the target, and no record is about it.
    is_new = found.rows.get(key) != at
    if is_new:
        return None, found.wanted_source(key)
    return found.provenance.record(key, at), found.held_source(key)


def _commit_of(found: Comparison, branch: str) -> str | None:
    """The commit to record: the target's, but for a snapshot under a name given by hand."""
    past, repository = found.target.past, found.provenance.repository
    if branch in (past.branch, DETACHED):
        return past.commit
    return repository.commit() if repository else None
