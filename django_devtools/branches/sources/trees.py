"""
Trees of the whole project, as it stood when a migration was applied.

A tree has what git tracks and what is untracked and not ignored, with what is in the work tree,
committed or not. Only files that differ from the user's index are read; the others keep their
blobs, so what Git LFS or a conversion of line ends has stored stays as git has it.
"""

import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .git import GitError, Repository
from .plain_git import PlainGit, plain_git

# Point at trees of all recorded trees, as SOURCES_REF does at one of all texts.
PROJECTS_REF = "refs/django-devtools/projects"

LEFT_OUT = ".django-devtools-left-out.json"
"""The file of a tree that says what of the project is not in it as it was, and why."""

MEGABYTE = 1_000_000
MOST = 10 * MEGABYTE
MOST_OF_OTHERS = MEGABYTE
# How much git is given at once: all of it is in memory.
BATCH = 50 * MEGABYTE

# The files that code is made of, or that it reads.
_OF_CODE = re.compile(
    r"\.(cfg|conf|css|csv|env|geojson|graphql|html|ini|j2|jinja2?|jsx?|jsonl?|md|mo|po|proto|pyi?|"
    r"pyx|rst|sql|toml|tsx?|tsv|txt|xml|ya?ml)$",
    re.IGNORECASE,
)

DATABASE = "a database"
OTHER_REPOSITORY = "a repository of its own"
SUBMODULE = "a submodule"
TOO_BIG = "over 10 MB"
TOO_BIG_OTHER = "over 1 MB, and not code"
UNREADABLE = "can't be read"

_BESIDE_DATABASES = ("-journal", "-shm", "-wal")

# What `git diff-index` compares the index with before there is any commit.
_EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}

_FILE, _EXECUTABLE, _LINK, _SUBMODULE = b"100644", b"100755", b"120000", b"160000"
# The tags of `git ls-files -v` that matter. Small letters are files that git was told to take for
# unchanged, and M is one that is unmerged.
_SPARSE, _UNTRACKED = (b"S", b"s"), b"?"
_ORDINARY = tuple(b"H %s " % mode for mode in (_FILE, _EXECUTABLE, _LINK))


class Written(NamedTuple):
    """A tree that was written to the object database."""

    id: str
    left_out: dict[str, str]
    """The files and directories that are not in it as they were, and why."""
    is_sparse: bool
    """Whether it has files that git was told to leave out of the work tree."""


class _Listed(NamedTuple):
    """What is not simply as the index has it."""

    changed: list[str]
    """The files that may differ, are untracked, unmerged or gone."""
    sparse: set[str]
    """Those that need not be there, because git was told to leave them out."""
    submodules: list[str]
    closed: list[str]
    """The directories that can't be listed or entered."""


class _File(NamedTuple):
    mode: bytes
    content: bytes


def write_tree(
    repository: Repository, commit: str | None, databases: Collection[Path] = ()
) -> Written:
    """
    Write a tree of the work tree, without the files of ``databases``.

    ``commit`` is the one that is checked out, None if there is none yet. Nothing of the user's is
    changed, neither files nor index. Raises GitError if git can't.
    """
    with plain_git(repository, repository.top) as git:
        _copy_index(repository, git)
        look = _Look(repository.top, databases)
        listed = _list(git)
        left_out = dict.fromkeys(listed.submodules, SUBMODULE)
        commands = [*_staged(git, commit), *_changes(listed, look, left_out)]
        left_out = _with_closed(left_out, listed.closed)
        if left_out:
            commands.append(_list_of(left_out))
        tree = _made_of(git, commit, commands)
    return Written(tree, left_out, bool(listed.sparse))


def check_out(
    repository: Repository, tree: str, directory: Path, is_wanted: Callable[[str], bool]
) -> None:
    """Write the wanted files of a tree into ``directory``. Raises GitError."""
    with plain_git(repository, directory) as git:
        git.git("read-tree", tree)
        output = git.git("ls-files", "-z")
        names = [name for name in output.split(b"\0") if name and is_wanted(os.fsdecode(name))]
        stdin = b"".join(name + b"\0" for name in names)
        try:
            git.git("checkout-index", "--quiet", "-z", "--stdin", stdin=stdin)
        except GitError as error:
            command = repository.completion()
            fix = f". `{command}` brings what this clone lacks" if command else ""
            raise GitError(f"{error}{fix}") from error


def same_directories(repository: Repository, trees: Iterable[str]) -> set[str]:
    """
    The directories that can be read and that the work tree has as all ``trees`` have them.

    None of them in a sparse checkout, where they may lack files, and none if git can't write.
    Raises GitError.
    """
    try:
        here = write_tree(repository, repository.commit())
    except GitError:  # It can't be written. Then all files of the others are.
        return set()
    if here.is_sparse:
        return set()
    found = _names(repository, "ls-tree", "-r", "-d", "--full-tree", here.id)
    for tree in trees:
        found -= _names(repository, "diff-tree", "-r", "-t", here.id, tree)
    unreadable = {path for path, reason in here.left_out.items() if reason == UNREADABLE}
    return {path for path in found if not _overlaps(path, unreadable)}


def _overlaps(directory: str, paths: Collection[str]) -> bool:
    """Whether a directory has one of ``paths``, or is one of them, or is in one."""
    return any(
        f"{one}/".startswith(f"{directory}/") or directory.startswith(f"{one}/") for one in paths
    )


def _names(repository: Repository, *command: str) -> set[str]:
    output = repository.git(command[0], "-z", "--name-only", *command[1:])
    return {name for name in os.fsdecode(output).split("\0") if name}


def keep(repository: Repository, name: str, trees: Collection[str]) -> None:
    """
    Let the private ref ``name`` keep ``trees`` from being deleted by git, and no others.

    It points at a tree of them. Trees that are not there are left out: git would refuse to work
    with a reference to them. Raises GitError if git can't write.
    """
    with repository.writing():
        _keep(repository, name, trees)


def _keep(repository: Repository, name: str, trees: Collection[str]) -> None:
    ref = f"{PROJECTS_REF}/{name}"
    if trees:
        repository.update_ref(ref, _tree_of(repository, trees))
    else:
        repository.update_ref("-d", ref)


def _tree_of(repository: Repository, trees: Collection[str]) -> str:
    """A tree of those of ``trees`` that are there."""
    try:
        return repository.tree_of("040000 tree", trees)
    except GitError:  # It looks for each of them.
        stdin = "".join(f"{tree}\n" for tree in trees).encode()
        output = repository.git("cat-file", "--batch-check", stdin=stdin).decode()
        found = [line.split() for line in output.splitlines()]
        there = [words[0] for words in found if words[1] == "tree"]
        return repository.tree_of("040000 tree", there)


def _copy_index(repository: Repository, git: PlainGit) -> None:
    directory = repository.private_dir()
    try:
        with suppress(FileNotFoundError):  # Nothing was ever added.
            # With its time: git looks into files that are as new as the index.
            shutil.copy2(directory / "index", git.index)
        for shared in directory.glob("sharedindex.*"):  # Of `git update-index --split-index`.
            shutil.copy2(shared, git.directory / shared.name)
    except OSError as error:
        raise GitError(f"the index can't be copied: {error.strerror}") from error


def _list(git: PlainGit) -> _Listed:
    """What differs from the index. Git is asked both questions at once, on two processors."""
    with ThreadPoolExecutor(1) as pool:
        differing = pool.submit(_differing, git)
        listed, complaints = _untracked_and_special(git)
        changed, more_complaints = differing.result()
    listed.changed.extend(changed)
    if complaints or more_complaints:
        listed.closed.extend(_closed(git))
    return listed


def _differing(git: PlainGit) -> tuple[list[str], bytes]:
    """The files that differ from the index, are unmerged or gone, and what git complains of."""
    output, complaints = git.run("diff", "--raw", "-z", "--no-renames", "--ignore-submodules=all")
    return [os.fsdecode(path) for path in output.split(b"\0")[1::2]], complaints


def _untracked_and_special(git: PlainGit) -> tuple[_Listed, bytes]:
    kinds = ("--cached", "--others", "--exclude-standard")
    output, complaints = git.run("ls-files", "-z", "-v", "--stage", *kinds)
    listed = _Listed([], set(), [], [])
    for entry in output.split(b"\0"):
        # Most files are neither, so these are skipped first.
        if not entry or entry.startswith(_ORDINARY):
            continue
        tag, rest = entry[:1], entry[2:]
        meta, name = (b"", rest) if tag == _UNTRACKED else rest.split(b"\t", 1)
        path = os.fsdecode(name)
        if meta.startswith(_SUBMODULE):
            listed.submodules.append(path)
        else:
            listed.changed.append(path)
        if tag in _SPARSE:
            listed.sparse.add(path)
    return listed, complaints


def _closed(git: PlainGit) -> Iterator[str]:
    """
    The directories that can't be listed or entered, where git would look into them.

    Git takes their files for unchanged, and lists none that are new.
    """
    kinds = ("--others", "--ignored", "--exclude-standard", "--directory")
    output = os.fsdecode(git.git("ls-files", "-z", *kinds))
    ignored = {name.rstrip("/") for name in output.split("\0")}
    top = git.repository.top
    for directory, names, _ in os.walk(top):
        paths = {name: Path(directory, name).relative_to(top).as_posix() for name in names}
        open_names = []
        for name, path in paths.items():
            is_repository = os.path.lexists(top / path / ".git")
            if name == ".git" or path in ignored or is_repository:
                continue
            if _is_open(top / path):
                open_names.append(name)
            else:
                yield path
        names[:] = open_names


def _with_closed(left_out: dict[str, str], closed: Collection[str]) -> dict[str, str]:
    """What is left out, with directories in place of the files below them."""
    others = {
        path: reason
        for path, reason in left_out.items()
        if not any(str(parent) in closed for parent in PurePosixPath(path).parents)
    }
    return others | dict.fromkeys(closed, UNREADABLE)


def _is_open(directory: Path) -> bool:
    """Whether a directory can be listed and entered."""
    try:
        os.scandir(directory).close()
        (directory / "..").stat()
    except OSError:
        return False
    return True


def _staged(git: PlainGit, commit: str | None) -> Iterator[bytes]:
    """Commands that turn the files of a commit into those of the index."""
    base = commit or _EMPTY_TREE[git.repository.object_format]
    output = git.git("diff-index", "--cached", "--raw", "-z", "--no-renames", base)
    tokens = iter(output.split(b"\0"))
    for meta, name in zip(tokens, tokens, strict=False):
        _, mode, _, blob, status = meta.split(b" ")
        path = os.fsdecode(name)
        if status == b"D":
            yield _removal(path)
        elif status != b"U":  # Unmerged files are read from the work tree.
            yield b"M %s %s %s\n" % (mode, blob, _quoted(path))


def _changes(listed: _Listed, look: "_Look", left_out: dict[str, str]) -> Iterator[bytes]:
    """Commands that turn the files of the index into those of the work tree."""
    additions = []
    for path in dict.fromkeys(listed.changed):  # Unmerged files are listed several times.
        try:
            file = look.file(path)
        except _LeftOut as reason:
            left_out[path.rstrip("/")] = str(reason)
            continue
        if file:
            additions.append(_addition(path, file))
        elif path not in listed.sparse:
            # First, because a file may be now where a directory was, or the other way round.
            yield _removal(path)
    yield from additions


class _LeftOut(Exception):
    """A file can't be in the tree. The text is the reason."""


class _Look:
    """Looks at single files of a work tree."""

    def __init__(self, top: Path, databases: Iterable[Path]) -> None:
        self._top = top
        self._databases = {
            f"{path.resolve()}{suffix}"
            for path in databases
            for suffix in ("", *_BESIDE_DATABASES)
        }
        self._is_inside = cache(self._is_no_link)

    def file(self, path: str) -> _File | None:
        """A file as it is; None if it is not there. Raises _LeftOut."""
        if path.endswith("/"):
            raise _LeftOut(OTHER_REPOSITORY)
        file = self._top / path
        try:
            return self._read(file) if self._is_inside(file.parent) else None
        except (FileNotFoundError, NotADirectoryError):  # It may go at any time.
            return None
        except OSError as error:
            raise _LeftOut(UNREADABLE) from error

    def _read(self, file: Path) -> _File | None:
        status = file.lstat()
        # Git lists the files in a directory by themselves.
        if stat.S_ISDIR(status.st_mode):
            return None
        if stat.S_ISLNK(status.st_mode):
            return _File(_LINK, os.fsencode(file.readlink()))
        if reason := self._reason(file, status):
            raise _LeftOut(reason)
        mode = _EXECUTABLE if status.st_mode & stat.S_IXUSR else _FILE
        return _File(mode, file.read_bytes())

    def _reason(self, file: Path, status: os.stat_result) -> str | None:
        """Why a file is left out, if that can be told without reading it."""
        if not stat.S_ISREG(status.st_mode):
            return UNREADABLE
        if str(file) in self._databases:
            return DATABASE
        if status.st_size > MOST:
            return TOO_BIG
        if status.st_size > MOST_OF_OTHERS and not _OF_CODE.search(file.name):
            return TOO_BIG_OTHER
        return None

    def _is_no_link(self, directory: Path) -> bool:
        """Whether neither a directory nor one above it is a symbolic link."""
        if directory == self._top:
            return True
        return self._is_inside(directory.parent) and not directory.is_symlink()


def _list_of(left_out: dict[str, str]) -> bytes:
    text = json.dumps(left_out, indent=1, sort_keys=True) + "\n"
    return _addition(LEFT_OUT, _File(_FILE, text.encode()))


def _made_of(git: PlainGit, commit: str | None, commands: list[bytes]) -> str:
    """The tree that commands make of the one of a commit."""
    if not commands:
        if commit is None:
            return _EMPTY_TREE[git.repository.object_format]
        return git.git("rev-parse", f"{commit}^{{tree}}").decode().strip()
    tree, base = "", b"from %s^0\n" % commit.encode() if commit else b""
    for batch in _batches(commands):
        tree = _import(git, base + batch)
        base = b'M 040000 %s ""\n' % tree.encode()
    return tree


def _batches(commands: list[bytes]) -> Iterator[bytes]:
    """All commands, in parts that are not too big for the memory."""
    batch, size = [], 0
    for command in commands:
        batch.append(command)
        size += len(command)
        if size > BATCH:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


def _import(git: PlainGit, commands: bytes) -> str:
    """The tree that commands of `git fast-import` make."""
    # It makes commits only. This one is on a branch of the temporary git directory, and the same
    # for the same files.
    begin = b"commit refs/heads/none\nmark :1\ncommitter none <none> 0 +0000\ndata 0\n"
    stdin = begin + commands + b'\nls :1 ""\n'
    # One pack is quicker than many loose objects, and sooner collected: `git gc --auto`, which git
    # itself calls, allows 50 packs and 6,700 loose objects.
    settings = ["-c", "fastimport.unpackLimit=0"]
    # With it, changes of one of two directories that differ in their case go to the other.
    settings += ["-c", "core.ignoreCase=false"]
    with git.repository.writing():
        output = git.git(*settings, "fast-import", "--quiet", "--force", stdin=stdin)
    return output.split()[2].decode()


def _removal(path: str) -> bytes:
    return b"D %s\n" % _quoted(path)


def _addition(path: str, file: _File) -> bytes:
    data = b"data %d\n%s\n" % (len(file.content), file.content)
    return b"M %s inline %s\n%s" % (file.mode, _quoted(path), data)


def _quoted(path: str) -> bytes:
    for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        path = path.replace(character, escaped)
    return b'"%s"' % os.fsencode(path)
