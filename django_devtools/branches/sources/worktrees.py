"""
Temporary work trees: the project as it was recorded, or as a commit has it.

Git knows nothing of them. They have a ``.git`` all the same, because settings may ask git for the
commit. What git ignores is not recorded, and settings may need it (``local_settings.py``,
``.env``), so the work tree has links to what this checkout has of it. It has links to the
directories that are the same in this checkout, too, because writing a big project takes long;
but not where code may look for files beside its own: ``Path(__file__).resolve()`` follows links.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePosixPath

from django.apps import apps

from django_devtools.conf import settings_file

from .git import Repository, not_writable
from .trees import LEFT_OUT, check_out, same_directories

PREFIX = "django-devtools-project-"
NAME = "worktree"
UNBORN = "ref: refs/heads/unborn"
# Byte code is made for other sources.
_NOT_LINKED = ("__pycache__", ".git")


@contextmanager
def work_tree(
    repository: Repository, trees: Sequence[str], commit: str | None = None
) -> Iterator[Path]:
    """
    A temporary work tree of the first of ``trees``, which is removed when the context ends.

    It has the files that are only in the others, too. ``trees`` are ids of trees or commits, and
    ``commit`` is what git says there that HEAD is. Raises GitError if it can't be made.
    """
    _remove_left_behind()
    try:
        directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")).resolve()
    except OSError as error:
        raise not_writable(error) from error
    try:
        path = directory / NAME
        _make(repository, trees, path, commit)
        yield path
    finally:
        # It does not follow links. What can't be removed is left to the next work tree.
        shutil.rmtree(directory, ignore_errors=True)


def _make(repository: Repository, trees: Sequence[str], path: Path, commit: str | None) -> None:
    try:
        path.mkdir()
        _fill(repository, trees, path)
        _link(repository.top, path, [*_ignored(repository), *_left_out(path)])
        _make_git_directory(repository, path, commit)
    except OSError as error:  # The disk is full, or a directory can't be read.
        raise not_writable(error) from error


def _fill(repository: Repository, trees: Sequence[str], path: Path) -> None:
    linked = same_directories(repository, trees) - _written_directories(repository.top)

    @cache
    def is_linked(directory: str) -> bool:
        return directory in linked or (directory != "" and is_linked(_above(directory)))

    def is_wanted(name: str) -> bool:
        return not is_linked(_above(name))

    def is_missing(name: str) -> bool:
        parents = PurePosixPath(name).parent.parts
        return (
            is_wanted(name) and _is_directory(path, parents) and not os.path.lexists(path / name)
        )

    check_out(repository, trees[0], path, is_wanted)
    for tree in trees[1:]:
        check_out(repository, tree, path, is_missing)
    _link(repository.top, path, (name for name in linked if not is_linked(_above(name))))


def _above(name: str) -> str:
    return name.rpartition("/")[0]


def _written_directories(top: Path) -> set[str]:
    """The directories of settings, apps and migrations, and all above them."""
    file = settings_file()
    directories = [file.parent] if file else []
    for app in apps.get_app_configs():
        path = Path(app.path).resolve()
        directories += [path, path / "migrations"]
    inside = [path.relative_to(top) for path in directories if path.is_relative_to(top)]
    return {one.as_posix() for path in inside for one in (path, *path.parents)}


def _ignored(repository: Repository) -> Iterable[str]:
    """The files that git ignores, and the directories in which it ignores all."""
    kinds = ("--others", "--ignored", "--exclude-standard", "--directory")
    output = repository.git("ls-files", "-z", *kinds)
    return filter(None, os.fsdecode(output).split("\0"))


def _left_out(path: Path) -> list[str]:
    """What could not be recorded with the project."""
    file = path / LEFT_OUT
    if file.is_symlink() or not file.is_file():
        return []
    try:
        return [str(name) for name in json.loads(file.read_bytes())]
    except (RecursionError, TypeError, ValueError):  # A file of the project has that name.
        return []


def _link(top: Path, path: Path, names: Iterable[str]) -> None:
    for name in names:
        parts = PurePosixPath(name).parts
        is_inside = parts and ".." not in parts and parts[0] != "/"
        if is_inside and not set(parts) & set(_NOT_LINKED):
            _link_one(top, path, parts)


def _link_one(top: Path, path: Path, parts: tuple[str, ...]) -> None:
    """Link to what ``parts`` lead to below ``top``, unless the work tree has a file there."""
    source, target = top.joinpath(*parts), path.joinpath(*parts)
    if not os.path.lexists(source) or not _is_directory(path, parts[:-1]):
        return
    if not os.path.lexists(target):
        target.symlink_to(source)
    elif source.is_dir() and _is_directory(path, parts):
        for name in _names_in(source):
            if name not in _NOT_LINKED:
                _link_one(top, path, (*parts, name))


def _names_in(directory: Path) -> list[str]:
    try:
        return [child.name for child in directory.iterdir()]
    except PermissionError:  # Code can't read it either.
        return []


def _is_directory(path: Path, parts: tuple[str, ...]) -> bool:
    """Whether a directory is there, or can be made, and no link leads out of the work tree."""
    for part in parts:
        path /= part
        if not os.path.lexists(path):
            path.mkdir()
        if path.is_symlink() or not path.is_dir():
            return False
    return True


def _make_git_directory(repository: Repository, path: Path, commit: str | None) -> None:
    """Make git find the repository, with an index and a HEAD of its own."""
    directory = path / ".git"
    directory.mkdir()
    (directory / "commondir").write_bytes(os.fsencode(repository.common_dir) + b"\n")
    if (repository.common_dir / "reftable").is_dir():
        _write_head_table(repository, path, commit)
    else:
        (directory / "HEAD").write_text(f"{commit or UNBORN}\n")


def _write_head_table(repository: Repository, path: Path, commit: str | None) -> None:
    """Write HEAD where git keeps refs in tables (since 2.45)."""
    directory = path / ".git"
    # As `git worktree add` leaves it.
    (directory / "HEAD").write_text("ref: refs/heads/.invalid\n")
    (directory / "reftable").mkdir()
    (directory / "reftable/tables.list").touch()
    command = ["update-ref", "--no-deref", "HEAD", commit] if commit else None
    command = command or ["symbolic-ref", "HEAD", UNBORN.removeprefix("ref: ")]
    environment = {"GIT_DIR": str(directory), "GIT_WORK_TREE": str(path)}
    repository.git("-c", f"core.hooksPath={os.devnull}", *command, environment=environment)


def _remove_left_behind() -> None:
    """Remove what killed processes have left."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        process = directory.name.removeprefix(PREFIX).partition("-")[0]
        if process.isdigit() and not _is_running(int(process)):
            # It may belong to another user.
            shutil.rmtree(directory, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True
