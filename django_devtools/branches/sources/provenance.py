"""
Finds the origins and the texts of applied migrations that the target lacks.

The first of these that has a text wins:

1. the record of exactly this application, in a snapshot or among what was begun,
2. the disk, if there is no such record, or if it says the same,
3. any snapshot that has a migration of this name,
4. what git had checked out when the row was written, or else the newest text of a trusted commit.

``history.py`` finds the last one, and ``trust.py`` says which commits are trusted.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from .git import Repository
from .history import History
from .loader import Code, Source
from .snapshots import Begun, Key, Record, Snapshot, Snapshots
from .text_ids import Texts


class Origin(Enum):
    """The origin of an applied migration that the target lacks."""

    OWN = "the target had it once"
    OTHER = "another branch has it"
    MISSING = "one of the project's own apps, and found nowhere"
    UNKNOWN = "of a package or an app that left no trace"


class Trace(NamedTuple):
    """The origin of an applied migration, and the text it was applied from if that was found."""

    origin: Origin
    source: Source | None = None


class Past(NamedTuple):
    """The branch and the commit of a target. Their history is its own past."""

    branch: str | None
    commit: str | None


class Provenance:
    """All that snapshots, files on disk and git know about the rows of one database."""

    def __init__(
        self,
        repository: Repository | None,
        snapshots: Snapshots,
        database: str,
        disk: Code,
        begun: Begun,
        trusted: Collection[str] = (),
    ) -> None:
        """``trusted``: refs that a person trusts. Raises TrustError if one names no commit."""
        self.repository = repository
        self.disk = disk
        self.history = History(repository, disk, trusted)
        self.snapshots = snapshots.get(database, {})
        self.begun = begun.get(database, [])
        """The migrations that were begun in this database and did not end, oldest first."""
        others = [found for name, found in snapshots.items() if name != database]
        self._all = [
            snapshot
            for branches in (self.snapshots, *others)
            for snapshot in sorted(branches.values(), key=_count)
        ]
        """Those of this database first. Of each database, the branch with the fewest migrations
        first: a migration that two branches have came from the smaller one."""

    @cached_property
    def texts(self) -> Texts:
        """The texts of migrations by their ids."""
        return Texts(self.repository, self.disk)

    @cached_property
    def _applications(self) -> dict[tuple[Key, str], tuple[Record, Snapshot]]:
        """Records by migration and time of application, which together are unique."""
        return {
            (key, record.at): (record, snapshot)
            for snapshot in reversed(self._all)
            for key, record in snapshot.records().items()
        }

    def record(self, key: Key, at: str) -> Record | None:
        """The record that a snapshot has of exactly this application of ``key``."""
        found = self._application(key, at)
        return found[0] if found else None

    def recorded_sources(self, rows: Mapping[Key, str], keys: Iterable[Key]) -> dict[Key, Source]:
        """The texts that ``keys`` were applied from, as far as snapshots have recorded them."""
        wanted = {}
        for key in keys:
            found = self._application(key, rows[key])
            if found and found[0].blob:
                wanted[key] = found
        return self._from_snapshots(wanted)

    def traces(
        self, rows: Mapping[Key, str], keys: Collection[Key], past: Past
    ) -> dict[Key, Trace]:
        """The origins and texts of ``keys``, which are applied and not in the target."""
        known = self._known_as_obsolete(rows, keys, past)
        result = {key: Trace(Origin.UNKNOWN) for key in known}
        keys = [key for key in keys if key not in known]
        if not keys:
            return result
        sources = self._sources(rows, keys, past)
        own = self._own_past(keys, sources, past)
        for key in keys:
            source = sources.get(key)
            origin = Origin.OWN if key in own else self._foreign_origin(key, source, rows)
            result[key] = Trace(origin, source)
        return result

    def _foreign_origin(self, key: Key, source: Source | None, rows: Mapping[Key, str]) -> Origin:
        """The origin of a row that is not of the target's own past."""
        is_in_code = source is not None and source.origin != "snapshot"
        if is_in_code or key in self._applied_somewhere:
            return Origin.OTHER
        if source is None and (key[0] in self.history.own_apps or self._is_last(key, rows)):
            return Origin.MISSING
        return Origin.UNKNOWN

    def sources(
        self, rows: Mapping[Key, str], keys: Collection[Key], past: Past
    ) -> dict[Key, Source]:
        """Texts of ``keys``, applied or not: by name from snapshots, or else from git."""
        named: dict[Key, tuple[Record, Snapshot]] = {}
        for snapshot in self._all:
            for key in keys:
                record = snapshot.records().get(key)
                if record and record.blob:
                    named.setdefault(key, (record, snapshot))
        found = self._from_snapshots(named)
        missing = [key for key in keys if key not in found]
        return found | self.history.sources(rows, missing, past.commit)

    def applied_by_branches(self, apps: Collection[str]) -> Iterator[dict[Key, Source]]:
        """What each branch has applied of ``apps``, by its snapshot."""
        for snapshot in self._all:
            applied = snapshot.applied.items()
            yield self._from_snapshots(
                {
                    key: (record, snapshot)
                    for key, record in applied
                    if key[0] in apps and record.blob
                }
            )

    def _sources(
        self, rows: Mapping[Key, str], keys: Collection[Key], past: Past
    ) -> dict[Key, Source]:
        found = self.recorded_sources(rows, keys)
        for key in keys:
            on_disk = self.disk.source(key) if key in self.disk.migrations else None
            if on_disk and (key not in found or on_disk.content == found[key].content):
                branch = found[key].branch if key in found else None
                found[key] = Source(on_disk.module, on_disk.content, "file", branch)
        return found | self.sources(rows, [key for key in keys if key not in found], past)

    def _from_snapshots(self, records: Mapping[Key, tuple[Record, Snapshot]]) -> dict[Key, Source]:
        if self.repository is None or not records:
            return {}
        contents = self.repository.contents(r.blob for r, _ in records.values() if r.blob)
        return {
            key: recorded_source(snapshot, key, contents[record.blob])
            for key, (record, snapshot) in records.items()
            if record.blob in contents
        }

    def _application(self, key: Key, at: str) -> tuple[Record, Snapshot] | None:
        """The record of a snapshot, or else of the last time it was begun before ``at``."""
        if found := self._applications.get((key, at)):
            return found
        begun = self.begun_last(key, at)
        return (begun.applied[key], begun) if begun else None

    def begun_last(self, key: Key, at: str | None = None) -> Snapshot | None:
        """The last time that ``key`` was begun; before ``at`` if that is given."""
        begun = (
            one
            for one in reversed(self.begun)
            if key in one.applied and (at is None or one.applied[key].at <= at)
        )
        return next(begun, None)

    @cached_property
    def _applied_somewhere(self) -> set[Key]:
        return {key for snapshot in (*self._all, *self.begun) for key in snapshot.applied}

    def _is_last(self, key: Key, rows: Mapping[Key, str]) -> bool:
        """
        Whether ``key`` was applied after all that the installed version of its package has.

        Then it is of a newer version. A row that a squash has left behind is older.
        """
        order = [other for other in rows if other[0] == key[0]]
        later = order[order.index(key) + 1 :]
        return key[0] in self.disk.packages and not any(k in self.disk.migrations for k in later)

    def _known_as_obsolete(
        self, rows: Mapping[Key, str], keys: Collection[Key], past: Past
    ) -> set[Key]:
        """
        The rows that the target's own snapshot has as obsolete. They are not judged again.

        They are if something of their app was applied then and is not now: it may have been why.
        """
        judged = self._own_snapshot(past, "obsolete")
        lacking = {key[0] for key in self._own_snapshot(past, "applied") if key not in rows}
        return {
            key
            for key in keys
            if key in judged and judged[key].at == rows[key]
            if not (key[0] in lacking and judged[key].blob)
            # Without a source it was unknown rather than judged, and may be known now.
            if judged[key].blob or key not in self._applied_somewhere
        }

    def _own_snapshot(self, past: Past, records: str) -> Mapping[Key, Record]:
        snapshot = self.snapshots.get(past.branch or "")
        found: Mapping[Key, Record] = getattr(snapshot, records) if snapshot else {}
        return found

    def _own_past(
        self, keys: Collection[Key], sources: Mapping[Key, Source], past: Past
    ) -> set[Key]:
        """Those of ``keys`` that the target had once, by its snapshot or its history."""
        own = self._in_own_snapshot(keys, past)
        if self.repository is None or not past.commit:
            return own
        own |= self.history.versions([key for key in keys if key not in own], [past.commit]).keys()
        foreign = {key: source for key, source in sources.items() if key not in own}
        removed = self._removed_packages(foreign, past.commit)
        return own | {key for key in keys if key in sources and sources[key].package in removed}

    def _in_own_snapshot(self, keys: Collection[Key], past: Past) -> set[Key]:
        applied = self._own_snapshot(past, "applied")
        obsolete = self._own_snapshot(past, "obsolete")
        judged = {key for key, record in obsolete.items() if record.blob}
        return {key for key in keys if key in applied or key in judged}

    def _removed_packages(self, sources: Mapping[Key, Source], commit: str) -> set[str]:
        """
        The packages of ``sources`` that are not installed any more and belong to no other branch.

        A package belongs to another branch only if the settings of one name it, or if the project
        that was recorded with it has it. The branch need not have committed anything of that.
        """
        return {
            package
            for package, source in self._gone_packages(sources).items()
            if self.history.was_installed(package, [commit])
            or not (self.history.was_recorded(source) or self._is_installed_elsewhere(package))
        }

    def _is_installed_elsewhere(self, package: str) -> bool:
        return self.history.was_installed(package, self.history.trusted())

    def _gone_packages(self, sources: Mapping[Key, Source]) -> dict[str, Source]:
        """
        Those whose app is not installed, and that the repository never had a migration of.

        Each with the source of a migration that it has.
        """
        gone = {
            key: source
            for key, source in sources.items()
            if key[0] not in self.disk.packages and source.origin == "snapshot"
        }
        if not gone:  # Git is not asked what may be run: mostly, all packages are there.
            return {}
        had = self.history.versions(gone.keys(), self.history.trusted())
        return {source.package: source for key, source in gone.items() if key not in had}


def recorded_source(snapshot: Snapshot, key: Key, content: bytes) -> Source:
    """``content`` as the text that ``snapshot`` has recorded for a migration."""
    app, name = key
    package = snapshot.packages.get(app, f"{app}.migrations")
    record = snapshot.records().get(key)
    return Source(
        f"{package}.{name}",
        content,
        "snapshot",
        snapshot.branch,
        snapshot.commit,
        record.project if record else None,
        record.at if record else None,
    )


def _count(snapshot: Snapshot) -> int:
    return len(snapshot.applied)
