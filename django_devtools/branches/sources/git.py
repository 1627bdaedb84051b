"""
Runs git, always with a list of arguments and never through a shell. No other module does.

Names from users pass ``commit``, which refuses what git could take for an option, or
``is_branch``, which puts ``refs/heads/`` before them.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from django_devtools.branches.errors import DevtoolsError

# Points at a tree of all recorded sources, so that `git gc` does not collect them. It is not a
# commit, so that `git log --all` does not show it. Only `git push --mirror` pushes it.
SOURCES_REF = "refs/django-devtools/sources"
STASH = "refs/stash"
# The oldest git that the tests are run with.
OLDEST = (2, 39)
INSTALL_NEWER = "Install a newer one, and put its directory first in PATH."
# How often to try again if another process has moved our ref at the same time.
ATTEMPTS = 10

# Git sets these for its hooks, and they would lead us to the wrong repository or index. Magit runs
# `git --literal-pathspecs`, which would make git misread our pathspecs.
_LOCAL_VARIABLES = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_DIR",
    "GIT_GLOB_PATHSPECS",
    "GIT_GRAFT_FILE",
    "GIT_ICASE_PATHSPECS",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)

_OUR_VARIABLES = {
    # A fetch may bring replacements (`git replace`), and they may replace what was checked out.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
    # A partial clone would fetch what it lacks, one object after the other. The first is of git
    # 2.45, the second keeps older ones from it.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}

# Brings what a partial clone lacks.
COMPLETE = "git fetch --refetch --no-filter"

# A monitor of the file system is a program of the user's, or one that goes on after us.
_OUR_SETTINGS = ("-c", "core.fsmonitor=false")

# What was checked out before.
PREVIOUS = "@{-1}"

# In a line of `git status --porcelain=v2`, by how it begins: changed, unmerged, untracked.
_FIELDS_BEFORE_PATH = {"1": 7, "u": 9, "?": 0}

# What no ref has in its name, and what may follow one: main~1, main@{yesterday}, main:file
_NOT_OF_REF = r"[~^:]|@\{"

_ABBREVIATION = "[0-9a-f]{7,}"


class GitError(DevtoolsError):
    """A git command failed. The text is git's own."""


class Incomplete(GitError):
    """A partial clone lacks what git would have to fetch."""


class NoGit(GitError):
    """There is no git that can be run."""


class Version(NamedTuple):
    """A file as a commit left it."""

    commit: str
    path: PurePosixPath
    blob: str
    ref: str = ""
    """The ref in whose history it was found, if git was asked for that."""


class Repository(NamedTuple):
    """A git repository with a work tree."""

    top: Path
    common_dir: Path
    object_format: str

    @classmethod
    def find(cls, directory: Path) -> "Repository | None":
        """
        The repository that contains ``directory``; None if there is none.

        Raises GitError if there is one and git can't be run, is too old, or refuses to work in it
        ("dubious ownership").
        """
        try:
            output, _ = _run(
                directory,
                ["rev-parse", "--show-toplevel", "--git-common-dir", "--show-object-format"],
            )
        except NoGit as error:
            if not _has_git_directory(directory):
                return None
            raise NoGit(f"{directory} is in a git repository, and {error}") from error
        except GitError as error:
            if "dubious ownership" in str(error):
                raise
            return None
        lines = output.decode(errors="surrogateescape").removesuffix("\n")
        # From the right: a path may contain line breaks, too.
        top, common_dir, object_format = lines.rsplit("\n", 2)
        if object_format.startswith("--"):  # Git repeats options that it does not know.
            raise GitError(f"{too_old() or object_format} {INSTALL_NEWER}")
        return cls(Path(top), (directory / common_dir).resolve(), object_format)

    @classmethod
    def usable(cls, directory: Path) -> "Repository | None":
        """The same, and None where git can't work: for what has to be done all the same."""
        try:
            return cls.find(directory)
        except GitError:
            return None

    def git(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> bytes:
        """The output of ``git ARGUMENTS``. Raises GitError if it fails."""
        return self.run(*arguments, stdin=stdin, environment=environment)[0]

    def run(
        self, *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> tuple[bytes, bytes]:
        """The same, with what git complains of although it does not fail."""
        return _run(self.top, arguments, stdin, environment)

    @contextmanager
    def objects_only(self) -> Iterator[tuple[Path, dict[str, str]]]:
        """
        A temporary git directory that shares nothing but the objects, and what leads git there.

        It has no configuration, so there is no remote to fetch from either. Raises GitError.
        """
        with temporary_directory("django-devtools-git-") as directory:
            for name in ("info", "refs"):
                (directory / name).mkdir()
            (directory / "HEAD").write_text("ref: refs/heads/none\n")
            (directory / "config").write_text(
                "[core]\n\trepositoryformatversion = 1\n\tbare = false\n"
                f"[extensions]\n\tobjectFormat = {self.object_format}\n"
            )
            yield (
                directory,
                {
                    "GIT_CONFIG_GLOBAL": os.devnull,
                    "GIT_CONFIG_NOSYSTEM": "1",
                    "GIT_DIR": str(directory),
                    "GIT_OBJECT_DIRECTORY": str(self.common_dir / "objects"),
                },
            )

    def branch(self) -> str | None:
        """The name of the branch that is checked out; None if HEAD is detached."""
        try:
            # With --short, git says "heads/main" if a tag is called main, too.
            output = self.git("symbolic-ref", "--quiet", "HEAD")
        except GitError:
            return None
        return output.decode(errors="replace").removesuffix("\n").removeprefix("refs/heads/")

    def head(self) -> tuple[str | None, str | None]:
        """The results of ``branch`` and ``commit``, by one process."""
        try:
            output = self.git("rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD")
        except GitError:  # There is no commit yet.
            return self.branch(), None
        commit, _, ref = output.decode(errors="replace").removesuffix("\n").partition("\n")
        # Detached, or something else is called HEAD, too, such as a tag of a remote. Without any
        # commits, git takes that.
        if ref.startswith("refs/heads/") and ref != "refs/heads/HEAD":
            return ref.removeprefix("refs/heads/"), commit
        return self.branch(), commit if self._has("HEAD") else None

    def previous(self) -> str | None:
        """
        What was checked out before: a branch, or else a commit. None if nothing was.

        See ``@{-N}`` in gitrevisions(7); `git switch -` goes there.
        """
        try:
            ref = os.fsdecode(self.git("rev-parse", "--symbolic-full-name", PREVIOUS)).strip()
        except GitError:
            return None
        return ref.removeprefix("refs/heads/") or self.commit(PREVIOUS)

    def private_dir(self) -> Path:
        """The directory that git keeps for this work tree alone."""
        dot_git = self.top / ".git"
        if dot_git.is_dir():  # In other work trees, and in submodules, it is a file.
            return dot_git.resolve()
        return Path(os.fsdecode(self.git("rev-parse", "--absolute-git-dir")).removesuffix("\n"))

    def hooks_dir(self) -> Path:
        """The directory where git looks for hooks (see core.hooksPath)."""
        path = os.fsdecode(self.git("rev-parse", "--git-path", "hooks")).removesuffix("\n")
        return self.top / path

    def config(self, name: str) -> str | None:
        """A setting of git; None if it is not set."""
        try:
            return os.fsdecode(self.git("config", name)).removesuffix("\n")
        except GitError:
            return None

    def uncommitted(self, pathspecs: Sequence[str]) -> tuple[str, list[str]]:
        """The commit that is checked out, and the matching files that it has not as on disk."""
        output = self.git(
            "status",
            "--porcelain=v2",
            "-z",
            "--branch",
            "--no-ahead-behind",
            "--no-renames",
            "--untracked-files=all",
            "--",
            *pathspecs,
        )
        commit, files = "", []
        for line in output.decode(errors="surrogateescape").split("\0"):
            kind, _, rest = line.partition(" ")
            if kind == "#" and rest.startswith("branch.oid "):
                commit = rest.removeprefix("branch.oid ")  # "(initial)" if there is none yet
            elif kind in _FIELDS_BEFORE_PATH:
                files.append(rest.split(" ", _FIELDS_BEFORE_PATH[kind])[-1])
        return commit, files

    def blobs(self, paths: Sequence[str]) -> list[str]:
        """
        The ids that git would give to files of the work tree, which have to be there.

        No name may have a line end.
        """
        stdin = "".join(f"{path}\n" for path in paths).encode()
        return self.git("hash-object", "--stdin-paths", stdin=stdin).decode().split()

    def commit(self, ref: str = "HEAD") -> str | None:
        """The id of the commit that ``ref`` names; None if it names none."""
        if ref == "HEAD":
            return self.head()[1]
        if ref.startswith(("-", "^")) or not _is_text(ref):
            return None
        try:
            output = self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except GitError:
            return None
        return output.decode().strip()

    def resolve(self, name: str) -> str | None:
        """
        The id of the commit that a person means by ``name``; None if it names none.

        A local branch or else a remote one goes before a tag, which any remote may send.
        """
        ref = re.split(_NOT_OF_REF, name)[0]
        # Git itself would take a tag called "refs/heads/main" where there is no branch main.
        for place in ("refs/heads/", "refs/remotes/"):
            if self._has(place + ref):
                return self.commit(place + name)
        if ref.startswith("refs/") and not self._has(ref):
            return None
        found = self._abbreviated(ref)
        if len(found) == 1:
            return self.commit(found[0] + name.removeprefix(ref))
        return None if found else self.commit(name)

    def _abbreviated(self, name: str) -> list[str]:
        """The commits whose ids begin with ``name``, which git looks for after all refs."""
        if not re.fullmatch(_ABBREVIATION, name):
            return []
        ids = self.git("rev-parse", f"--disambiguate={name}").decode().split()
        return [one for one in ids if self.commit(one)]

    def is_ancestor(self, commit: str, other: str) -> bool:
        """Whether ``commit`` is in the history of the commit ``other``."""
        try:
            self.git("merge-base", "--is-ancestor", commit, other)
        except GitError:
            return False
        return True

    def is_branch(self, name: str) -> bool:
        """Whether ``name`` is a local branch."""
        return self._has(f"refs/heads/{name}")

    def _has(self, ref: str) -> bool:
        """Whether there is a ref of exactly this name, given in full."""
        if not _is_text(ref):
            return False
        try:
            # Unlike rev-parse, show-ref takes neither main~1 nor a namesake among the tags for it.
            self.git("show-ref", "--verify", "--quiet", ref)
        except GitError:
            return False
        return True

    def completion(self) -> str | None:
        """The command that brings what this clone lacks; None if it lacks nothing by design."""
        if self.config_matches(r"^remote\..*\.promisor$"):
            return COMPLETE
        if (self.common_dir / "shallow").exists():
            return "git fetch --unshallow"
        return None

    def config_matches(self, pattern: str) -> bool:
        """Whether git has a setting whose name matches."""
        try:
            return bool(self.git("config", "--get-regexp", pattern))
        except GitError:
            return False

    def blob_id(self, content: bytes) -> str:
        """The id that git gives to ``content`` (gitformat: "blob SIZE\\0CONTENT")."""
        digest = hashlib.new(self.object_format, usedforsecurity=False)
        digest.update(b"blob %d\0" % len(content))
        digest.update(content)
        return digest.hexdigest()

    def store(self, contents: dict[str, bytes]) -> None:
        """
        Write ``contents`` (by blob id) to the object database, and let our ref point at them.

        Raises GitError if git can't write.
        """
        if contents:
            with self.writing():
                self._store(contents)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Name the git directory if git can't write."""
        try:
            yield
        except GitError as error:
            # Git says in the first line what failed, and then what it can't do without.
            why = str(error).partition("\n")[0].removeprefix("error: ").removeprefix("fatal: ")
            raise GitError(f"{self.common_dir} can't be written: {why}") from error

    def _store(self, contents: dict[str, bytes]) -> None:
        tree, stored = self._stored()
        new = {blob: content for blob, content in contents.items() if blob not in stored}
        if not new:
            return
        self._write(new)
        attempts = ATTEMPTS
        while True:
            wanted = self.tree_of("100644 blob", stored | set(new))
            try:
                self.update_ref(SOURCES_REF, wanted, tree)
                return
            except GitError:
                attempts -= 1
                if not attempts:
                    raise
                tree, stored = self._stored()

    def tree_of(self, kind: str, ids: Iterable[str]) -> str:
        """
        Make a tree that keeps objects of a kind, such as "100644 blob". Raises GitError.

        It has a tree for each first letter of the ids, so that one more costs little: git keeps
        the trees that went before for two weeks.
        """
        entries: dict[str, list[str]] = {}
        for one in sorted(ids):
            entries.setdefault(one[0], []).append(f"{kind} {one}\t{one}\n")
        stdin = "\n".join("".join(lines) for lines in entries.values())
        trees = self.git("mktree", "--batch", stdin=stdin.encode()).decode().split()
        top = "".join(
            f"040000 tree {tree}\t{name}\n" for name, tree in zip(entries, trees, strict=True)
        )
        return self.git("mktree", stdin=top.encode()).decode().strip()

    def update_ref(self, *arguments: str) -> None:
        """Run `git update-ref` for a ref of ours. Hooks of the user hear of other refs only."""
        self.git("-c", f"core.hooksPath={os.devnull}", "update-ref", *arguments)

    def _write(self, contents: dict[str, bytes]) -> None:
        with temporary_directory("django-devtools-") as directory:
            paths = []
            for blob, content in contents.items():
                path = directory / blob
                path.write_bytes(content)
                paths.append(str(path))
            self.git(
                "hash-object",
                "-w",
                "--no-filters",
                "--stdin-paths",
                stdin="\n".join(paths).encode(),
            )

    def _stored(self) -> tuple[str, set[str]]:
        """What our ref points at ("" if there is no ref), and the blobs that it keeps."""
        try:
            # Unlike rev-parse, show-ref takes no tag of that name for it.
            tree = self.git("show-ref", "--verify", "--hash", SOURCES_REF).decode().strip()
        except GitError:
            return "", set()
        try:
            output = self.git("ls-tree", "-r", "-z", tree)
        except GitError:  # Somebody else has written it.
            return tree, set()
        # "MODE blob ID\tNAME": a name says nothing if somebody else has given it.
        entries = [entry.partition(b"\t")[0].split() for entry in output.split(b"\0") if entry]
        return tree, {blob.decode() for mode, _, blob in entries if mode == b"100644"}

    def contents(self, names: Iterable[str]) -> dict[str, bytes]:
        """
        The contents of blobs by name, which is an id or ``COMMIT:PATH``.

        Names of missing objects, and of objects that are no blobs, are left out.
        """
        names = [name for name in dict.fromkeys(names) if "\n" not in name]
        if not names:
            return {}
        stdin = "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")
        try:
            output = self.git("cat-file", "--batch", stdin=stdin)
        except Incomplete:  # Before 2.45, git fails at the first that is missing.
            with self.objects_only() as (_, environment):
                output = self.git("cat-file", "--batch", stdin=stdin, environment=environment)
        found, position = {}, 0
        for name in names:
            end = output.index(b"\n", position)
            header = output[position:end].rsplit(b" ", 2)
            position = end + 1
            if not header[-1].isdigit():  # "missing", "ambiguous" or "submodule"
                continue
            size = int(header[-1])
            if header[-2] == b"blob":
                found[name] = output[position : position + size]
            position += size + 1
        return found

    def tracked(self, paths: Iterable[Path]) -> list[str]:
        """Those of ``paths`` that are in the index, from the top of the work tree."""
        inside = [
            f":(top,literal){path.relative_to(self.top).as_posix()}"
            for path in map(Path.resolve, paths)
            if path.is_relative_to(self.top)
        ]
        if not inside:
            return []
        output = self.git("ls-files", "-z", "--full-name", "--", *inside)
        return [name for name in os.fsdecode(output).split("\0") if name]

    def changed(self, paths: Iterable[Path]) -> list[str]:
        """Those of ``paths`` that git tracks, and that differ from what is checked out."""
        names = [str(path) for path in paths]
        if not names or self.commit() is None:
            return []
        output = self.git("--literal-pathspecs", "diff", "--name-only", "-z", "HEAD", "--", *names)
        return os.fsdecode(output).split("\0")[:-1]

    def files(self, commit: str) -> dict[PurePosixPath, str]:
        """Every Python file of ``commit``, with its blob id."""
        output = self.git("ls-tree", "-r", "-z", "--full-tree", commit)
        files = {}
        for entry in output.decode(errors="surrogateescape").split("\0"):
            meta, _, path = entry.partition("\t")
            if path.endswith(".py") and meta.split()[1] == "blob":
                files[PurePosixPath(path)] = meta.split()[2]
        return files

    def own(self, directories: Sequence[Path]) -> set[Path]:
        """
        Those of ``directories`` that are part of this repository.

        A virtual environment or a submodule inside the work tree is no part of it.
        """
        inside = {
            directory: directory.relative_to(self.top).as_posix()
            for directory in directories
            if directory.is_relative_to(self.top) and "site-packages" not in directory.parts
        }
        if not inside:
            return set()
        output = self.git(
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            *(f":(top,literal){path}" for path in inside.values()),
        )
        parents = {
            str(PurePosixPath(file).parent)
            for file in output.decode(errors="surrogateescape").split("\0")
            if file.endswith(".py")
        }
        return {directory for directory, path in inside.items() if path in parents}

    def versions(
        self, names: Collection[str], commits: Collection[str], known: Iterable[str] = ()
    ) -> list[Version]:
        """
        Each change of a file of these ``names`` in the history of ``commits``, newest first.

        Without what is in the history of ``known`` commits.
        """
        if not names or not commits:
            return []
        return self._changes(names, ["--format=%x01%H", "--stdin"], _revisions(commits, known))

    def other_versions(self, names: Collection[str], commits: Iterable[str]) -> list[Version]:
        """The same in all that git has but the history of ``commits``, with the ref of each."""
        if not names:
            return []
        arguments = ["--format=%x01%H %S", "--all", "--reflog", "--stdin"]
        return self._changes(names, arguments, _revisions([], commits))

    def in_order(self, commits: Collection[str], tips: Collection[str]) -> list[str]:
        """Those of ``commits`` that are in the history of ``tips``, newest first."""
        if not commits or not tips:
            return []
        arguments = ("--date-order", "--ignore-missing", "--stdin")
        output = self.git("rev-list", *arguments, stdin=_revisions(tips).encode())
        return [commit for commit in output.decode().split() if commit in commits]

    def are_in_history(self, commits: Collection[str], tips: Collection[str]) -> bool:
        """Whether all ``commits`` are in the history of ``tips``; False if git lacks any."""
        others = set(commits).difference(tips)
        if not others:
            return True
        revisions = _revisions(others, tips).encode()
        try:
            return not self.git("rev-list", "--max-count=1", "--stdin", stdin=revisions)
        except GitError:
            return False

    def _changes(
        self, names: Collection[str], arguments: Sequence[str], stdin: str
    ) -> list[Version]:
        # Pathspecs for names in any directory take git many times as long as listing all changes.
        output = self._log(
            "-z",
            # Dates alone don't order the commits that a rebase makes within a second.
            "--date-order",
            "--no-follow",
            "--no-renames",
            "--no-show-signature",
            "--diff-filter=AM",
            "--raw",
            "--no-abbrev",
            # The reflog may name what git has collected as garbage.
            "--ignore-missing",
            *arguments,
            "--",
            stdin=stdin.encode(),
        )
        found, commit, ref, meta = [], "", "", ""
        for token in output.decode(errors="surrogateescape").split("\0"):
            if meta:  # Then this is a path, whatever it looks like.
                # ":OLD_MODE MODE OLD_BLOB BLOB STATUS"; neither a symlink nor a submodule
                _, mode, _, blob, _ = meta.split()
                if mode.startswith("100") and token.rpartition("/")[2] in names:
                    found.append(Version(commit, PurePosixPath(token), blob, ref))
                meta = ""
            elif (line := token.lstrip("\n")).startswith("\x01"):
                commit, _, ref = line[1:].partition(" ")
            else:
                meta = line
        return found

    def _log(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """``git log`` of what commits have changed. Raises GitError."""
        try:
            return self.git("log", *arguments, stdin=stdin)
        except Incomplete as error:
            raise Incomplete(
                "This partial clone lacks the trees of earlier commits, so which migrations they "
                f"had can't be read. Run `{COMPLETE}`, which brings them."
            ) from error

    def reflogs(self) -> dict[str, list[tuple[int, str]]]:
        """Where HEAD was in each work tree, and the stash; with the seconds, newest first."""
        others = (file.parent for file in (self.common_dir / "worktrees").glob("*/HEAD"))
        trees = {"main-worktree": self.common_dir} | {
            f"worktrees/{one.name}": one for one in others
        }
        names = [f"{name}/HEAD" for name, directory in trees.items() if self._has_log(directory)]
        arguments = ("--walk-reflogs", "--ignore-missing", "--date=unix", "--no-show-signature")
        try:
            output = self.git("log", *arguments, "--format=%H %gD", *names, STASH, "--")
        except GitError:  # There is no commit yet.
            return {}
        found: dict[str, list[tuple[int, str]]] = {}
        for line in output.decode(errors="surrogateescape").splitlines():
            commit, _, entry = line.partition(" ")
            name, _, second = entry.rpartition("@{")
            found.setdefault(name, []).append((int(second.removesuffix("}")), commit))
        return found

    def _has_log(self, directory: Path) -> bool:
        """Whether HEAD has one in a git directory. If not, git may take that of a namesake."""
        # A reference table holds all logs, and none of them is a file.
        return (directory / "logs/HEAD").exists() or (self.common_dir / "reftable").exists()

    def branch_tips(self) -> dict[str, str]:
        """The commits of the local branches."""
        output = self.git(
            "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads"
        )
        # Not splitlines: names may have other line separators of Unicode.
        lines = filter(None, output.decode(errors="replace").split("\n"))
        return {name: commit for commit, _, name in (line.partition(" ") for line in lines)}

    def nearest_branches(
        self, commits: Iterable[str], kinds: Sequence[str] = ("heads", "remotes")
    ) -> dict[str, str]:
        """For each of ``commits``, the nearest branch whose history has it; a local one if any."""
        missing, found = list(dict.fromkeys(commits)), {}
        for kind in kinds:
            if not missing:
                break
            output = self.git(
                "name-rev",
                f"--refs=refs/{kind}/*",
                "--exclude=refs/remotes/*/HEAD",
                *missing,
            )
            for line in output.decode(errors="replace").split("\n"):
                commit, _, name = line.partition(" ")
                # "feature~3^2"
                branch = name.partition("~")[0].partition("^")[0]
                # A remote chooses its names, and may hide in them what fools a terminal.
                is_sound = kind == "heads" or branch.isprintable()
                if branch and branch != "undefined" and is_sound:
                    found[commit] = branch.removeprefix("remotes/")
            missing = [commit for commit in missing if commit not in found]
        return found

    def before_deletions(self, paths: Iterable[str], ref: str) -> dict[str, str]:
        """By path: the last commit in the history of ``ref`` that had a file it has no more."""
        pathspecs = [f":(top,literal){path}" for path in paths]
        if not pathspecs:
            return {}
        order = ("--date-order", "--full-history")
        arguments = ("--no-renames", "--no-show-signature", "--diff-filter=D", "--name-only")
        output = self._log("-z", *order, *arguments, "--format=%x01%p", ref, "--", *pathspecs)
        found: dict[str, str] = {}
        parents: list[str] = []
        for token in output.decode(errors="surrogateescape").split("\0"):
            if token.startswith("\x01"):
                parents = token[1:].split()
            elif token and parents:
                # A line break ends the format.
                found.setdefault(token.removeprefix("\n"), parents[0])
        return found

    def before_changes(self, paths: Sequence[str], ref: str) -> list[str]:
        """The commits before those of ``ref`` that added or changed ``paths``, newest first."""
        order = ("--date-order", "--full-history")
        arguments = ("--no-renames", "--no-show-signature", "--diff-filter=AM", "--format=%P")
        pathspecs = [f":(top,literal){path}" for path in paths]
        lines = self._log(*order, *arguments, ref, "--", *pathspecs).decode().splitlines()
        # The first commit of all has no parent.
        return list(dict.fromkeys(line.split()[0] for line in lines if line))

    def mentions(
        self, pattern: str, path: str, commits: Collection[str], known: Iterable[str] = ()
    ) -> bool:
        """
        Whether the history of ``commits`` added or removed a ``pattern`` under ``path``.

        Without that of ``known`` commits. Raises Incomplete in a partial clone that lacks some.
        """
        # Otherwise git runs what the attributes of a file name, to turn it into text.
        how = ("--no-follow", "--no-textconv", "--pickaxe-regex")
        arguments = ("-1", "--format=%H", *how, f"-S{pattern}")
        revisions = ("--ignore-missing", "--stdin", "--", f":(top,literal){path}")
        stdin = _revisions(commits, known).encode()
        return bool(commits and self.git("log", *arguments, *revisions, stdin=stdin))

    def has(self, pattern: str, path: str, tree: str) -> bool:
        """Whether a file under ``path`` in ``tree`` has a ``pattern``."""
        try:
            options = ("--quiet", "--no-textconv", "--extended-regexp", "-e", pattern)
            self.git("grep", *options, tree, "--", f":(top,literal){path}")
        except GitError:  # also if it is missing
            return False
        return True


def _revisions(commits: Iterable[str], excluded: Iterable[str] = ()) -> str:
    """What git reads after ``--stdin``."""
    lines = [*commits, *(f"^{commit}" for commit in excluded)]
    return "".join(f"{line}\n" for line in lines)


def _is_text(name: str) -> bool:
    """Whether git can be given a name. Lone surrogates stand for bytes that are not UTF-8."""
    return not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name)


@contextmanager
def temporary_directory(prefix: str) -> Iterator[Path]:
    """A temporary directory. Raises GitError if it can't be made, or what is written to it."""
    try:
        with tempfile.TemporaryDirectory(prefix=prefix) as name:
            yield Path(name)
    except OSError as error:
        raise not_writable(error) from error


def not_writable(error: OSError) -> GitError:
    """An error that names what can't be written."""
    place = error.filename or "the directory for temporary files"
    return GitError(f"{place} can't be written: {error.strerror}")


def too_old() -> str | None:
    """What to say if git is older than what is tested; None if it is not. Raises GitError."""
    words = _run(Path.cwd(), ["version"])[0].decode(errors="replace").split()
    version = words[2] if len(words) > 2 else ""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) >= OLDEST:
        return None
    oldest = ".".join(map(str, OLDEST))
    return f"git {version} is older than {oldest}, the oldest that this package is tested with."


def _has_git_directory(directory: Path) -> bool:
    """Whether git would find a repository, if it could be run."""
    return any(os.path.lexists(path / ".git") for path in (directory, *directory.parents))


def _run(
    directory: Path,
    arguments: Sequence[str],
    stdin: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> tuple[bytes, bytes]:
    environment = {k: v for k, v in os.environ.items() if k not in _LOCAL_VARIABLES}
    environment |= _OUR_VARIABLES
    environment |= more or {}
    try:
        process = subprocess.run(
            ["git", *_OUR_SETTINGS, "-C", str(directory), *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError as error:
        raise NoGit(
            "git was not found in PATH. Install it, or add its directory to PATH."
        ) from error
    except OSError as error:
        raise NoGit(f"git can't be run: {error.strerror}.") from error
    if process.returncode and b"promisor remote" in process.stderr:
        raise Incomplete(
            f"This partial clone lacks what is needed here. Run `{COMPLETE}`, which brings it."
        )
    if process.returncode:
        raise GitError(process.stderr.decode(errors="replace").strip())
    return process.stdout, process.stderr
