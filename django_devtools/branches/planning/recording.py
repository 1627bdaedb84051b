"""Makes the snapshot of a database that has been compared with its target."""

import logging
from collections.abc import Collection, Mapping

from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.snapshots import DETACHED, Key, Record, Snapshot, now
from django_devtools.conf import database_files

from .classify import State
from .comparison import Comparison

logger = logging.getLogger("django_devtools.branches")


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
    with ``accept`` it takes the text of the file instead. Where it takes that, because nothing
    else was recorded, the project as it is now belongs to it.
    """
    kept = {key: at for key, at in rows.items() if states[key] is not State.PHANTOM}
    known = {key: _known(found, key, at, accept) for key, at in kept.items()}
    recorded, texts = _recorded(found, known)
    records = {key: recorded.get(key, record) for key, (record, _) in known.items()}
    applied, obsolete = _divided(records, states)
    packages = {key[0]: source.package for key, (_, source) in known.items() if source}
    commit = _commit_of(found, branch)
    return Snapshot(branch, commit, now(), packages, applied, obsolete), texts


def last_held(
    found: Comparison,
    branch: str | None,
    states: Mapping[Key, State],
    left: Collection[Key],
) -> tuple[Snapshot, set[Key], dict[str, bytes]]:
    """
    What a database holds before a switch, and the texts to store, by blob id.

    ``branch`` is the one that it is on, as far as that is known. Returned second is what of
    ``left``, which the switch leaves applied, is no part of that branch.
    """
    known = found.provenance.snapshots.get(branch or DETACHED)
    if known and known.says(found.rows):
        return known, set(), {}
    before, texts = _of_all_rows(found, states)
    if known is None or branch is None:
        is_here = branch == found.target.past.branch
        commit = before.commit if is_here else None
        return before._replace(branch=branch or DETACHED, commit=commit), set(), texts
    of_others = set(left) - known.records().keys()
    return before._replace(branch=branch, commit=known.commit), of_others, texts


def _of_all_rows(
    found: Comparison, states: Mapping[Key, State]
) -> tuple[Snapshot, dict[str, bytes]]:
    # What other branches have applied is applied, too.
    there = dict.fromkeys(found.rows, State.APPLIED)
    there |= {key: State.OBSOLETE for key in there if states.get(key) is State.OBSOLETE}
    return snapshot_of(found, DETACHED, found.rows, there)


def _divided(
    records: Mapping[Key, Record], states: Mapping[Key, State]
) -> tuple[dict[Key, Record], dict[Key, Record]]:
    """Those that are obsolete come second."""
    obsolete = {key: one for key, one in records.items() if states[key] is State.OBSOLETE}
    return {key: one for key, one in records.items() if key not in obsolete}, obsolete


def _known(found: Comparison, key: Key, at: str, accept: bool) -> tuple[Record, Source | None]:
    """What is recorded of an applied migration already, which may be no text, and its text."""
    nothing = Record(None, at)
    if accept and key in found.target.code.migrations:
        return nothing, found.wanted_source(key)
    # Whatever was applied since the comparison comes from the target, and no record is about it.
    is_new = found.rows.get(key) != at
    if is_new:
        return nothing, found.wanted_source(key)
    record = found.provenance.record(key, at)
    return Record(record.blob, at, record.project) if record else nothing, found.held_source(key)


def _recorded(
    found: Comparison, known: Mapping[Key, tuple[Record, Source | None]]
) -> tuple[dict[Key, Record], dict[str, bytes]]:
    """Records of the texts of which there is none yet, and these texts by blob id."""
    repository = found.provenance.repository
    if repository is None:
        return {}, {}
    new = {key: source for key, (record, source) in known.items() if record.blob is None}
    project = (
        _project_now(repository) if any(_is_here(found, *one) for one in new.items()) else None
    )
    records, texts = {}, {}
    for key, source in new.items():
        if source:
            blob = repository.blob_id(source.content)
            texts[blob] = source.content
            here = project if _is_here(found, key, source) else None
            records[key] = Record(blob, known[key][0].at, here)
    return records, texts


def _is_here(found: Comparison, key: Key, source: Source | None) -> bool:
    """Whether a text is that of this checkout, and its project was not written down yet."""
    # What was applied since the comparison was.
    return source is not None and source.origin == "file" and key in found.rows


def _project_now(repository: Repository) -> str | None:
    """The tree of the project as it is; None, with a warning, if git can't write it."""
    from django_devtools.branches.sources.trees import write_tree

    try:
        return write_tree(repository, repository.commit(), database_files()).id
    except GitError as error:
        logger.warning("The project was not recorded: %s", error)
        return None


def _commit_of(found: Comparison, branch: str) -> str | None:
    """The commit to record: the target's, but for a snapshot under a name given by hand."""
    past, repository = found.target.past, found.provenance.repository
    if branch in (past.branch, DETACHED):
        return past.commit
    return repository.commit() if repository else None
