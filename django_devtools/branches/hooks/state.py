"""What the hooks remember about a project in a work tree, in files of its git directory."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.hooks.projects import ASKED, HOME, place, project_directory
from django_devtools.branches.sources.git import GitError, Repository

WORKED_ON = "worked-on"
"""
The file that says with what the databases are in step if not all of it is committed.

A commit, and then a line for each file that it has not as on disk: its blob, or "-" if it is gone,
and its path.
"""

# What needs no quotes, neither of git nor of a shell.
_PLAIN_NAME = r"[A-Za-z0-9_./+-]([A-Za-z0-9_./ +-]*[A-Za-z0-9_./+-])?"

UNTOLD = "Until that is fixed, the git hooks may take the databases for in step."


class StateError(DevtoolsError):
    """What the hooks should know can't be written."""


class HookState:
    """
    Whether the databases of this project follow a work tree, and why they do not.

    What writes raises GitError, and StateError where the git directory can't be written.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def in_step(self, commit: str | None, specs: Sequence[str]) -> None:
        """
        Record that the databases are in step with ``commit``, if that is still checked out.

        Where it lacks something of what is on disk, only prompts are told, not the hooks: they ask
        git for commits alone.
        """
        with _writing():
            head, files = self.repository.uncommitted(specs)
            is_checked_out = commit is not None and commit == head
            words = self._worked_on(head, files) if is_checked_out and files else None
            _remove(self._failure)
            _write_or_remove(self._in_step, f"{head}\n" if is_checked_out and not files else None)
            _write_or_remove(self._in_step.with_name(WORKED_ON), words)

    def is_awaited(self, commit: str) -> bool:
        """Whether there are prompts, and they don't know that all is in step with ``commit``."""
        if not (self.repository.common_dir / HOME / ASKED).exists():
            return False
        with suppress(OSError):
            return read_text(self._in_step) != f"{commit}\n"
        return True

    def changed(self) -> None:
        """Record that a database was changed. Hooks in all work trees look again."""
        common = self.repository.common_dir
        with _writing():
            # Work trees may share a database.
            for directory in (common, *common.glob("worktrees/*")):
                _remove(directory / self._place / "in-step")
                _remove(directory / self._place / WORKED_ON)
            _remove(self._failure)

    def settled(self) -> None:
        """Record that the databases were looked at, and nothing was left to do."""
        with _writing():
            _remove(self._failure)

    def failed(self, why: str) -> None:
        """Record why the databases could not be brought into step."""
        with _writing():
            _remove(self._in_step)
            _remove(self._in_step.with_name(WORKED_ON))
            write_aside(self._failure, why)

    def failure(self) -> str | None:
        """Why the databases could not be brought into step the last time, or None."""
        try:
            return read_text(self._failure) or None
        except OSError as error:
            return f"{self._failure} can't be read: {error.strerror}."

    def _worked_on(self, commit: str, files: Sequence[str]) -> str | None:
        """What the prompt reads of files that are not as in ``commit``; None of odd names."""
        if not all(re.fullmatch(_PLAIN_NAME, file) for file in files):
            return None
        there = [file for file in files if (self.repository.top / file).is_file()]
        blobs = dict(zip(there, self.repository.blobs(there), strict=True))
        lines = [f"{blobs.get(file, '-')} {file}" for file in files]
        return "\n".join([commit, *lines, ""])

    @cached_property
    def _place(self) -> Path:
        return place(project_directory(self.repository))

    @cached_property
    def _in_step(self) -> Path:
        return self.repository.private_dir() / self._place / "in-step"

    @cached_property
    def _failure(self) -> Path:
        return self._in_step.with_name("failed")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(f"{error.filename} can't be written: {error.strerror}.") from None
    except GitError as error:
        raise StateError(str(error)) from None


def _write_or_remove(file: Path, text: str | None) -> None:
    if text is None:
        _remove(file)
    else:
        write_aside(file, text)


def _remove(file: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        file.unlink()
