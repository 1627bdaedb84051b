"""Finds the origins and the texts of applied migrations that the target lacks."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from django_devtools.conf import project_root, settings_file

from .git import GitError, Repository, Version
from .loader import Code, Source, UnusableSource, parse
from .rows import second
from .snapshots import Begun, Key, Record, Snapshot, Snapshots
from .texts import Texts
from .trust import Trust


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


class Fetched(NamedTuple):
    """
    The text that only untrusted commits have for a migration. It is shown, and never run.

    It is no Source, so that nothing which runs texts takes it.
    """

    ref: str
    """A ref that has it; empty if it has gone from all of them."""
    commit: str
    content: bytes

    def __str__(self) -> str:
        return f"{self.ref}, {self.commit[:10]}" if self.ref else self.commit[:10]


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
        self._known_trust = Trust(repository, trusted) if repository else None
        self.ambiguous: dict[Key, list[str]] = {}
        """The branches of each migration that has several texts, none of which is recorded."""
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

    @cached_property
    def own_apps(self) -> set[str]:
        """The installed apps whose migrations are part of the repository."""
        if self.repository is None:
            return set()
        own = self.disk.own_directories(self.repository)
        return {app for app, directory in self.disk.directories().items() if directory in own}

    @property
    def _git(self) -> Repository:
        if self.repository is None:
            raise GitError("There is no git repository.")
        return self.repository

    @property
    def _trust(self) -> Trust:
        if self._known_trust is None:
            raise GitError("There is no git repository.")
        return self._known_trust

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
        if source is None and (key[0] in self.own_apps or self._is_last(key, rows)):
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
        return found | self._from_git(rows, [key for key in keys if key not in found], past)

    def fetched(self, keys: Collection[Key]) -> dict[Key, Fetched]:
        """Those of ``keys`` that git has, and that only commits have which are not trusted."""
        if self.repository is None or not keys:
            return {}
        versions = self._by_key(
            self.repository.other_versions(self._pathspecs(keys), self._trusted()), keys
        )
        newest = {key: found[0] for key, found in versions.items()}
        contents = self.repository.contents(version.blob for version in newest.values())
        return {
            key: Fetched(_short(version.ref), version.commit, contents[version.blob])
            for key, version in newest.items()
            if version.blob in contents
        }

    def before_deletions(self, keys: Iterable[Key], ref: str) -> dict[Key, str]:
        """The last commits of ``ref`` with the files of migrations that were deleted there."""
        if self.repository is None:
            return {}
        directories = self._directories()
        paths = {
            f"{directories[key[0]]}/{key[1]}.py": key for key in keys if key[0] in self.own_apps
        }
        found = self.repository.before_deletions(paths, ref)
        return {paths[path]: commit for path, commit in found.items()}

    def earlier(self, keys: Collection[Key], ref: str) -> Iterator[dict[Key, Source]]:
        """
        The migrations of the apps of ``keys``, before each change of one of these, newest first.

        In the history of ``ref``; at first as they are there: the last change may be uncommitted.
        """
        if self.repository is None:
            return
        directories = self._directories()
        own = sorted({key for key in keys if key[0] in self.own_apps and key[0] in directories})
        if not own:
            return
        paths = [f"{directories[app]}/{name}.py" for app, name in own]
        labels = {PurePosixPath(directories[app]): app for app, _ in own}
        for commit in [ref, *self.repository.before_changes(paths, ref)]:
            yield self._texts_at(commit, labels)

    def _texts_at(self, commit: str, labels: Mapping[PurePosixPath, str]) -> dict[Key, Source]:
        """The migrations of a commit, in directories of which the labels are given."""
        files = {
            path: blob
            for path, blob in self._git.files(commit).items()
            # Django's loader takes no file for a migration whose name begins with one of these.
            if path.parent in labels and path.stem[0] not in "_~"
        }
        contents = self._git.contents(files.values())
        return {
            (labels[path.parent], path.stem): Source(
                self.module(path), contents[blob], "history", None, commit
            )
            for path, blob in files.items()
            if blob in contents
        }

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

    def _from_git(
        self, rows: Mapping[Key, str], keys: Collection[Key], past: Past
    ) -> dict[Key, Source]:
        if self.repository is None or not keys:
            return {}
        chosen = self._chosen(rows, self._versions(keys, self._trusted(past)))
        contents = self.repository.contents(version.blob for version in chosen.values())
        branches = self.repository.nearest_branches(one.commit for one in chosen.values())
        in_reflog = self._only_in_reflog(
            {one.commit for one in chosen.values()} - {*branches}, past
        )
        return {
            key: Source(
                self.module(version.path),
                contents[version.blob],
                "history",
                branches.get(version.commit),
                version.commit,
                in_reflog=version.commit in in_reflog,
            )
            for key, version in chosen.items()
            if version.blob in contents
        }

    def _only_in_reflog(self, commits: Collection[str], past: Past) -> set[str]:
        """Those of ``commits``, which no branch has, that nothing else has that may be run."""
        if not commits:
            return set()
        others = [past.commit, self._git.commit(), *self._trust.of_person]
        return {
            commit
            for commit in commits
            if not any(self._git.is_ancestor(commit, other) for other in others if other)
        }

    def _chosen(
        self, rows: Mapping[Key, str], versions: Mapping[Key, list[Version]]
    ) -> dict[Key, Version]:
        """The version that was checked out when the migration was applied, or the newest."""
        newest = {key: found[0] for key, found in versions.items()}
        several = {key: newest[key] for key, found in versions.items() if _differ(found)}
        if not several:
            return newest
        certain = self._checked_out_when_applied(rows, several)
        for key in certain:
            del several[key]
        unsure = self._ambiguous(several)
        self.ambiguous |= unsure
        return {key: one for key, one in (newest | certain).items() if key not in unsure}

    def _checked_out_when_applied(
        self, rows: Mapping[Key, str], versions: Mapping[Key, Version]
    ) -> dict[Key, Version]:
        """The versions that were checked out when the rows were written, where that is certain."""
        commits = {
            key: self._trust.checked_out_at(second(rows[key])) for key in versions if key in rows
        }
        there = self._at(versions, commits)
        return {key: found[0] for key, found in there.items() if found and not _differ(found)}

    def _at(
        self, versions: Mapping[Key, Version], commits: Mapping[Key, Iterable[str]]
    ) -> dict[Key, list[Version]]:
        """The files of ``versions`` as they are at other commits, where they are there at all."""
        names = {
            key: {f"{commit}:{versions[key].path}": commit for commit in wanted}
            for key, wanted in commits.items()
        }
        contents = self._git.contents(name for found in names.values() for name in found)
        return {
            key: [
                Version(commit, versions[key].path, self._git.blob_id(contents[name]))
                for name, commit in found.items()
                if name in contents
            ]
            for key, found in names.items()
        }

    def _ambiguous(self, versions: Mapping[Key, Version]) -> dict[Key, list[str]]:
        """Those of which local branches have different texts, with these branches."""
        tips = self._trust.branches
        there = self._at(versions, dict.fromkeys(versions, tips.values()))
        contents = self._git.contents(one.blob for at_tips in there.values() for one in at_tips)
        texts = {
            key: {one.commit: Source(key[0], contents[one.blob], "history") for one in at_tips}
            for key, at_tips in there.items()
        }
        return {
            key: sorted(name for name, tip in tips.items() if tip in by_commit)
            for key, by_commit in texts.items()
            if not _all_alike([*by_commit.values()])
        }

    def _trusted(self, past: Past | None = None) -> list[str]:
        """Every commit whose history may be run: a person who names a target trusts that, too."""
        commits = self._trust.commits
        return [*commits, past.commit] if past and past.commit else commits

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
        own |= self._versions([key for key in keys if key not in own], [past.commit]).keys()
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
            if self._was_installed(package, [commit])
            or not (self._was_recorded(source) or self._was_installed(package, self._trusted()))
        }

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
        had = self._versions(gone.keys(), self._trusted())
        return {source.package: source for key, source in gone.items() if key not in had}

    def _was_recorded(self, source: Source) -> bool:
        """Whether the project recorded with ``source`` has its file, or installs its package."""
        if not source.project or self.repository is None:
            return False
        file = f"{source.project}:{self._file(source)}"
        if self._git.contents([file]):
            return True
        settings = self._settings()
        return bool(settings) and self._git.has(_quoted(source.package), settings, source.project)

    def _was_installed(self, package: str, commits: Iterable[str]) -> bool:
        """Whether the settings ever named ``package`` in the history of ``commits``."""
        settings = self._settings()
        return bool(settings) and self._git.mentions(_quoted(package), settings, commits)

    def _settings(self) -> str:
        """The directory of the settings in the repository; empty if it is elsewhere."""
        settings = settings_file()
        if self.repository is None or settings is None:
            return ""
        if not settings.parent.is_relative_to(self.repository.top):
            return ""
        return settings.parent.relative_to(self.repository.top).as_posix()

    def _versions(self, keys: Collection[Key], commits: Iterable[str]) -> dict[Key, list[Version]]:
        """The versions of each of ``keys`` in the history of ``commits``, newest first."""
        return self._by_key(self._git.versions(self._pathspecs(keys), commits), keys)

    def _by_key(
        self, versions: Iterable[Version], keys: Collection[Key]
    ) -> dict[Key, list[Version]]:
        """``versions`` by migration. A file in the app's present directory wins over namesakes."""
        labels = {path: app for app, path in self._directories().items() if app in self.own_apps}
        here: dict[Key, list[Version]] = {}
        elsewhere: dict[Key, list[Version]] = {}
        others: list[Version] = []
        for version in versions:
            if label := labels.get(str(version.path.parent)):
                here.setdefault((label, version.path.stem), []).append(version)
            else:
                others.append(version)
        for version, label in self._labelled_elsewhere(others, keys):
            elsewhere.setdefault((label, version.path.stem), []).append(version)
        return {key: found for key, found in (elsewhere | here).items() if key in keys}

    def _pathspecs(self, keys: Iterable[Key]) -> list[str]:
        """Pathspecs for the files of ``keys`` in any directory."""
        # A package in a virtual environment below the top has no history in the repository.
        others = self._directories().keys() - self.own_apps
        names = sorted({name for app, name in keys if app not in others})
        return [f":(top,glob)**/{_escape(name)}.py" for name in names]

    def _directories(self) -> dict[str, str]:
        """The directories of migrations below the top of the repository, by app."""
        top = self._git.top
        return {
            app: directory.relative_to(top).as_posix()
            for app, directory in self.disk.directories().items()
            if directory.is_relative_to(top)
        }

    def _labelled_elsewhere(
        self, versions: Collection[Version], keys: Collection[Key]
    ) -> Iterator[tuple[Version, str]]:
        """Files where no app lies now, with the label of the app that they were of."""
        migrations = [version for version in versions if version.path.parent.name == "migrations"]
        apps = {
            version: f"{version.commit}:{version.path.parent.parent / 'apps.py'}"
            for version in migrations
            if (version.path.parent.parent.name, version.path.stem) not in keys
        }
        contents = self._git.contents(apps.values()) if apps else {}
        for version in migrations:
            given = label_in(contents.get(apps.get(version, ""), b""))
            yield version, given or version.path.parent.parent.name

    def module(self, path: PurePosixPath) -> str:
        """The dotted name under which a file of the repository is imported."""
        parts = path.with_suffix("").parts
        prefix = self._prefix()
        if parts[: len(prefix)] == prefix:
            parts = parts[len(prefix) :]
        return ".".join(parts)

    def _file(self, source: Source) -> PurePosixPath:
        """The path of ``source`` in the repository, if it is imported from there."""
        return PurePosixPath(*self._prefix(), *source.module.split(".")).with_suffix(".py")

    def _prefix(self) -> tuple[str, ...]:
        """The directories between the top of the repository and the project."""
        root = project_root()
        return root.relative_to(self._git.top).parts if root.is_relative_to(self._git.top) else ()


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


def _differ(versions: Iterable[Version]) -> bool:
    return len({version.blob for version in versions}) > 1


def _alike(one: Source, other: Source) -> bool:
    try:
        return one.reads_like(other)
    except UnusableSource:
        return False


def _all_alike(sources: Sequence[Source]) -> bool:
    return all(_alike(sources[0], other) for other in sources[1:])


def _count(snapshot: Snapshot) -> int:
    return len(snapshot.applied)


def label_in(apps_py: bytes) -> str | None:
    """The label that an ``apps.py`` gives to its app; None if it leaves the default."""
    try:
        tree = parse(apps_py)
    except UnusableSource:
        return None
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and [getattr(target, "id", None) for target in node.targets] == ["label"]
        ):
            return str(node.value.value)
    return None


def _quoted(package: str) -> str:
    """A pattern for the app of a migrations package, as settings name it."""
    app = re.escape(package.removesuffix(".migrations"))
    return f"['\"]{app}['\".]"


def _escape(name: str) -> str:
    return "".join(f"\\{c}" if c in "*?[]\\" else c for c in name)


def _short(ref: str) -> str:
    """A ref as people write it: a remote branch without the place where git keeps it."""
    # A remote chooses its names, and may hide in them what turns the text around.
    return ref.removeprefix("refs/remotes/") if ref.isprintable() else ""
