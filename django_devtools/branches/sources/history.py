"""Finds migrations in git: which versions there are, and which of them may be run."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from django_devtools.conf import project_root, settings_file

from .git import GitError, Repository, Version
from .history_cache import HistoryCache
from .loader import Code, Source, UnusableSource, parse
from .rows import second
from .snapshots import Key
from .trust import Trust


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


class History:
    """What git has of migrations, in whatever commits. Without a repository, that is nothing."""

    def __init__(
        self, repository: Repository | None, disk: Code, trusted: Collection[str] = ()
    ) -> None:
        """``trusted``: refs that a person trusts. Raises TrustError if one names no commit."""
        self.repository = repository
        self.disk = disk
        self._known_trust = Trust(repository, trusted) if repository else None
        self.ambiguous: dict[Key, list[str]] = {}
        """The branches of each migration that has several texts, none of which is recorded."""

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

    @cached_property
    def _cache(self) -> HistoryCache:
        return HistoryCache(self._git)

    @property
    def _trust(self) -> Trust:
        if self._known_trust is None:
            raise GitError("There is no git repository.")
        return self._known_trust

    def fetched(self, keys: Collection[Key]) -> dict[Key, Fetched]:
        """Those of ``keys`` that git has, and that only commits have which are not trusted."""
        if self.repository is None or not keys:
            return {}
        versions = self._by_key(
            self.repository.other_versions(self._names(keys), self.trusted()), keys
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
        paths = self._own_files(keys)
        found = self.repository.before_deletions(paths, ref)
        return {paths[path]: commit for path, commit in found.items()}

    def before_uncommitted_deletions(
        self, keys: Iterable[Key], commit: str, project: str | None
    ) -> dict[Key, str]:
        """``commit`` for the migrations that it has, and the project recorded on it lacks."""
        if self.repository is None or project is None:
            return {}
        paths = self._own_files(keys)
        there = self.repository.contents(
            f"{tree}:{path}" for tree in (commit, project) for path in paths
        )
        return {
            key: commit[:10]
            for path, key in paths.items()
            if f"{commit}:{path}" in there and f"{project}:{path}" not in there
        }

    def _own_files(self, keys: Iterable[Key]) -> dict[str, Key]:
        """The paths in the repository of the migrations of its own apps."""
        directories = self._directories
        return {
            f"{directories[key[0]]}/{key[1]}.py": key for key in keys if key[0] in self.own_apps
        }

    def earlier(self, keys: Collection[Key], ref: str) -> Iterator[dict[Key, Source]]:
        """
        The migrations of the apps of ``keys``, before each change of one of these, newest first.

        In the history of ``ref``; at first as they are there: the last change may be uncommitted.
        """
        if self.repository is None:
            return
        directories = self._directories
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

    def sources(
        self, rows: Mapping[Key, str], keys: Collection[Key], target: str | None
    ) -> dict[Key, Source]:
        """
        Texts of ``keys`` that may be run: those that were checked out when ``rows`` were written.

        Or the newest, where that is not known. ``target`` is the commit to go to, if there is one.
        """
        if self.repository is None or not keys:
            return {}
        chosen = self._chosen(rows, self.versions(keys, self.trusted(target)))
        contents = self.repository.contents(version.blob for version in chosen.values())
        branches = self._cache.nearest_branches(
            {one.commit for one in chosen.values()}, self._trust.branches
        )
        in_reflog = self._only_in_reflog(
            {one.commit for one in chosen.values()} - {*branches}, target
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

    def _only_in_reflog(self, commits: Collection[str], target: str | None) -> set[str]:
        """Those of ``commits``, which no branch has, that nothing else has that may be run."""
        if not commits:
            return set()
        others = [target, self._git.commit(), *self._trust.of_person]
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

    def trusted(self, target: str | None = None) -> list[str]:
        """Every commit whose history may be run: a person who names a target trusts that, too."""
        commits = self._trust.commits
        return [*commits, target] if target else commits

    def was_recorded(self, source: Source) -> bool:
        """Whether the project recorded with ``source`` has its file, or installs its package."""
        if not source.project or self.repository is None:
            return False
        file = f"{source.project}:{self._file(source)}"
        if self._git.contents([file]):
            return True
        settings = self._settings()
        return bool(settings) and self._git.has(_quoted(source.package), settings, source.project)

    def was_installed(self, package: str, commits: Collection[str]) -> bool:
        """Whether the settings ever named ``package`` in the history of ``commits``."""
        settings = self._settings()
        return bool(settings) and self._cache.mentions(_quoted(package), settings, commits)

    def _settings(self) -> str:
        """The directory of the settings in the repository; empty if it is elsewhere."""
        settings = settings_file()
        if self.repository is None or settings is None:
            return ""
        if not settings.parent.is_relative_to(self.repository.top):
            return ""
        return settings.parent.relative_to(self.repository.top).as_posix()

    def versions(
        self, keys: Collection[Key], commits: Collection[str]
    ) -> dict[Key, list[Version]]:
        """The versions of each of ``keys`` in the history of ``commits``, newest first."""
        return self._by_key(self._cache.versions(self._names(keys), commits), keys)

    def _by_key(
        self, versions: Iterable[Version], keys: Collection[Key]
    ) -> dict[Key, list[Version]]:
        """``versions`` by migration. A file in the app's present directory wins over namesakes."""
        labels = {path: app for app, path in self._directories.items() if app in self.own_apps}
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

    def _names(self, keys: Iterable[Key]) -> set[str]:
        """The names of the files of ``keys``."""
        # A package in a virtual environment below the top has no history in the repository.
        others = self._directories.keys() - self.own_apps
        return {f"{name}.py" for app, name in keys if app not in others}

    @cached_property
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
        prefix = self._prefix
        if parts[: len(prefix)] == prefix:
            parts = parts[len(prefix) :]
        return ".".join(parts)

    def _file(self, source: Source) -> PurePosixPath:
        """The path of ``source`` in the repository, if it is imported from there."""
        return PurePosixPath(*self._prefix, *source.module.split(".")).with_suffix(".py")

    @cached_property
    def _prefix(self) -> tuple[str, ...]:
        """The directories between the top of the repository and the project."""
        root = project_root()
        return root.relative_to(self._git.top).parts if root.is_relative_to(self._git.top) else ()


def _differ(versions: Iterable[Version]) -> bool:
    return len({version.blob for version in versions}) > 1


def _alike(one: Source, other: Source) -> bool:
    try:
        return one.reads_like(other)
    except UnusableSource:
        return False


def _all_alike(sources: Sequence[Source]) -> bool:
    return all(_alike(sources[0], other) for other in sources[1:])


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


def _short(ref: str) -> str:
    """A ref as people write it: a remote branch without the place where git keeps it."""
    # A remote chooses its names, and may hide in them what turns the text around.
    return ref.removeprefix("refs/remotes/") if ref.isprintable() else ""
