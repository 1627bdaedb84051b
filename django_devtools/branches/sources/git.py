"""The only module that runs git: by argument lists, never through a shell."""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from django_devtools.branches.errors import DevtoolsError

# Holds one tree of every recorded source, so that `git gc` keeps them. It points at a tree, not at
# a commit: `git log --all` does not show it. Of the ways to push, only `--mirror` takes it along.
SOURCES_REF = "refs/django-devtools/sources"
WORKTREE_PREFIX = "django-devtools-"
WORKTREE_NAME = "worktree"
# How often to try again when another process moved our ref at the same time.
ATTEMPTS = 10

# What git sets for its hooks would lead us to the wrong repository or index, or (from Magit, which
# runs `git --literal-pathspecs`) to a wrong reading of our pathspecs.
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


class GitError(DevtoolsError):
    """Git could not do what it was asked; the text is git's own."""


@dataclass(frozen=True)
class Version:
    """A file as one commit of the history left it."""

    commit: str
    path: PurePosixPath


@dataclass(frozen=True)
class Repository:
    """A git repository with a work tree."""

    top: Path
    common_dir: Path
    object_format: str

    @classmethod
    def find(cls, directory: Path) -> "Repository | None":
        """
        The repository that ``directory`` lies in, None where there is none or no git.

        Raises GitError when git finds one and refuses it ("dubious ownership").
        """
        try:
            output = _run(
                directory,
                ["rev-parse", "--show-toplevel", "--git-common-dir", "--show-object-format"],
            )
        except GitError as error:
            if "dubious ownership" in str(error):
                raise
            return None
        lines = output.decode(errors="surrogateescape").removesuffix("\n")
        # From the right: a path may contain line breaks, too.
        top, common_dir, object_format = lines.rsplit("\n", 2)
        return cls(Path(top), (directory / common_dir).resolve(), object_format)

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """What ``git ARGUMENTS`` prints. Raises GitError when it fails."""
        return _run(self.top, arguments, stdin)

    def branch(self) -> str | None:
        """The name of the branch that is checked out, None when HEAD is detached."""
        try:
            # Not with --short, which says "heads/main" where a tag is called main, too.
            output = self.git("symbolic-ref", "--quiet", "HEAD")
        except GitError:
            return None
        return output.decode(errors="replace").removesuffix("\n").removeprefix("refs/heads/")

    def head(self) -> tuple[str | None, str | None]:
        """What ``branch`` and ``commit`` say, by one process."""
        try:
            output = self.git("rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD")
        except GitError:  # There is no commit yet.
            return self.branch(), None
        commit, _, ref = output.decode(errors="replace").removesuffix("\n").partition("\n")
        return None if ref == "HEAD" else ref.removeprefix("refs/heads/"), commit

    def private_dir(self) -> Path:
        """The directory that git keeps for this work tree alone."""
        dot_git = self.top / ".git"
        if dot_git.is_dir():  # In other work trees, and in submodules, it is a file.
            return dot_git.resolve()
        return Path(os.fsdecode(self.git("rev-parse", "--absolute-git-dir")).removesuffix("\n"))

    def hooks_dir(self) -> Path:
        """Where git looks for hooks (see core.hooksPath)."""
        path = os.fsdecode(self.git("rev-parse", "--git-path", "hooks")).removesuffix("\n")
        return self.top / path

    def config(self, name: str) -> str | None:
        """A setting of git's, None where it is not set."""
        try:
            return os.fsdecode(self.git("config", name)).removesuffix("\n")
        except GitError:
            return None

    def has_changes(self, pathspecs: Sequence[str]) -> bool:
        """Whether files are not as the last commit has them, or not committed at all."""
        changes = self.git("status", "--porcelain", "--untracked-files=all", "--", *pathspecs)
        return bool(changes)

    def commit(self, ref: str = "HEAD") -> str | None:
        """The id of the commit that ``ref`` names, None when it names none."""
        # Half surrogates stand for what is no UTF-8, and could not be printed.
        if ref.startswith(("-", "^")) or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in ref):
            return None
        try:
            output = self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        except GitError:
            return None
        return output.decode().strip()

    def is_ancestor(self, commit: str, other: str) -> bool:
        """Whether ``commit`` is in the history of the commit ``other``."""
        try:
            self.git("merge-base", "--is-ancestor", commit, other)
        except GitError:
            return False
        return True

    def is_branch(self, name: str) -> bool:
        """Whether ``name`` is a local branch."""
        if "\0" in name:
            return False
        try:
            # Other than rev-parse, it takes main~1 for no branch.
            self.git("show-ref", "--verify", "--quiet", f"refs/heads/{name}")
        except GitError:
            return False
        return True

    def is_shallow(self) -> bool:
        """Whether the history was cut off by ``git clone --depth``."""
        return (self.common_dir / "shallow").exists()

    def blob_id(self, content: bytes) -> str:
        """The id that git gives to ``content`` (gitformat: "blob SIZE\\0CONTENT")."""
        digest = hashlib.new(self.object_format, usedforsecurity=False)
        digest.update(b"blob %d\0" % len(content))
        digest.update(content)
        return digest.hexdigest()

    def keep(self, contents: dict[str, bytes]) -> None:
        """
        Write ``contents`` (by blob id) to the object database and hold them by our ref.

        Raises GitError when git can't write.
        """
        tree, held = self._held()
        new = {blob: content for blob, content in contents.items() if blob not in held}
        if not new:
            return
        self._write(new)
        attempts = ATTEMPTS
        while True:
            entries = "".join(f"100644 blob {blob}\t{blob}\n" for blob in sorted(held | set(new)))
            wanted = self.git("mktree", stdin=entries.encode()).decode().strip()
            try:
                self.git("update-ref", SOURCES_REF, wanted, tree)
                return
            except GitError:
                attempts -= 1
                if not attempts:
                    raise
                tree, held = self._held()

    def _write(self, contents: dict[str, bytes]) -> None:
        with tempfile.TemporaryDirectory(prefix=WORKTREE_PREFIX) as directory:
            paths = []
            for blob, content in contents.items():
                path = Path(directory, blob)
                path.write_bytes(content)
                paths.append(str(path))
            self.git(
                "hash-object",
                "-w",
                "--no-filters",
                "--stdin-paths",
                stdin="\n".join(paths).encode(),
            )

    def _held(self) -> tuple[str, set[str]]:
        """What our ref points at ("" where there is none), and the blobs in it."""
        tree = ""
        try:
            tree = self.git("rev-parse", "--verify", "--quiet", SOURCES_REF).decode().strip()
            return tree, set(self.git("ls-tree", "--name-only", tree).decode().split())
        except GitError:
            return tree, set()

    def contents(self, names: Iterable[str]) -> dict[str, bytes]:
        """
        The contents of blobs, by the name they were asked by: an id, or ``COMMIT:PATH``.

        What the object database does not have, or is not a blob, is left out.
        """
        names = [name for name in dict.fromkeys(names) if "\n" not in name]
        if not names:
            return {}
        stdin = "".join(f"{name}\n" for name in names).encode(errors="surrogateescape")
        output = self.git("cat-file", "--batch", stdin=stdin)
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

        A virtual environment or a submodule inside the work tree is not.
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

    def versions(self, pathspecs: Sequence[str], ref: str | None = None) -> list[Version]:
        """
        Each change of a file that matches ``pathspecs``, newest first.

        In the history of ``ref``, or of every ref and reflog where that is None.
        """
        if not pathspecs:
            return []
        revisions = [ref] if ref else ["--all", "--reflog"]
        output = self.git(
            "log",
            "-z",
            # Dates alone don't order what a rebase committed within the same second.
            "--date-order",
            # Else a merge hides what only one of its sides had, and a stash its untracked files.
            "--full-history",
            "--no-follow",
            "--no-renames",
            "--no-show-signature",
            "--diff-filter=AM",
            "--name-only",
            "--format=%x01%H",
            *revisions,
            "--",
            *pathspecs,
        )
        found, commit = [], ""
        for token in output.decode(errors="surrogateescape").replace("\n", "").split("\0"):
            if token.startswith("\x01"):
                commit = token[1:]
            elif token:
                found.append(Version(commit, PurePosixPath(token)))
        return found

    def mentions(self, pattern: str, path: str, ref: str | None = None) -> bool:
        """
        Whether history ever added or removed a ``pattern`` under ``path``.

        The history of ``ref``, or of every ref where that is None.
        """
        arguments = ("-1", "--format=%H", "--no-follow", "--pickaxe-regex", f"-S{pattern}")
        return bool(self.git("log", *arguments, ref or "--all", "--", f":(top,literal){path}"))

    def branch_texts(self, path: str) -> dict[str, bytes]:
        """What each local branch has at ``path``, by branch; those without are left out."""
        output = self.git("for-each-ref", "--format=%(refname)", "refs/heads")
        names = [f"{ref}:{path}" for ref in output.decode(errors="surrogateescape").splitlines()]
        return {
            name.removeprefix("refs/heads/").removesuffix(f":{path}"): content
            for name, content in self.contents(names).items()
        }

    def branch_with(self, commit: str) -> str | None:
        """A branch that has ``commit`` in its history, a local one first."""
        for refs in ("refs/heads", "refs/remotes"):
            names = self.git(
                "for-each-ref",
                f"--contains={commit}",
                "--sort=-committerdate",
                "--format=%(refname:lstrip=2)",
                refs,
            )
            if names:
                return names.decode(errors="replace").partition("\n")[0]
        return None

    @contextmanager
    def worktree(self, commit: str) -> Iterator[Path]:
        """
        A temporary work tree of ``commit``, gone when the context ends, however it ends.

        Raises GitError when git can't make it.
        """
        with tempfile.TemporaryDirectory(prefix=WORKTREE_PREFIX) as directory:
            path = Path(directory, WORKTREE_NAME)
            # The user's post-checkout hook is not meant for this.
            no_hooks = ("-c", f"core.hooksPath={os.devnull}")
            self.git(*no_hooks, "worktree", "add", "--quiet", "--detach", str(path), commit)
            try:
                yield path.resolve()
            finally:
                self.git("worktree", "remove", "--force", str(path))

    def prune_worktrees(self) -> None:
        """Remove what a killed process left of its temporary work trees."""
        output = self.git("worktree", "list", "--porcelain").decode(errors="surrogateescape")
        temporary = Path(tempfile.gettempdir()).resolve()
        for line in output.split("\n"):
            path = Path(line.removeprefix("worktree "))
            if not line.startswith("worktree ") or path.name != WORKTREE_NAME:
                continue
            # The user's own may lie in a directory called django-devtools-something.
            if path.parent.parent == temporary and path.parent.name.startswith(WORKTREE_PREFIX):
                # Twice, because `git worktree add` locks what it is not yet done with.
                self.git("worktree", "remove", "--force", "--force", str(path))


def _run(directory: Path, arguments: Sequence[str], stdin: bytes = b"") -> bytes:
    environment = {k: v for k, v in os.environ.items() if k not in _LOCAL_VARIABLES}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        process = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            input=stdin,
            capture_output=True,
            env=environment,
            check=False,
        )
    except OSError as error:
        raise GitError(f"git can't be run: {error.strerror}") from error
    if process.returncode:
        raise GitError(process.stderr.decode(errors="replace").strip())
    return process.stdout
