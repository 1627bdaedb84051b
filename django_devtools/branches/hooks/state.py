"""What the hooks remember about a project in a work tree, in files of its git directory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.hooks.projects import place, project_directory
from django_devtools.branches.sources.git import Repository

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
        """Record that the databases are in step with ``commit``, if that is still checked out."""
        is_checked_out = commit is not None and commit == self.repository.clean_commit(specs)
        with _writing():
            _remove(self._failure)
            if is_checked_out:
                write_aside(self._in_step, f"{commit}\n")
            else:
                _remove(self._in_step)

    def changed(self) -> None:
        """Record that a database was changed. Hooks in all work trees look again."""
        common = self.repository.common_dir
        with _writing():
            # Work trees may share a database.
            for directory in (common, *common.glob("worktrees/*")):
                _remove(directory / self._place / "in-step")
            _remove(self._failure)

    def settled(self) -> None:
        """Record that the databases were looked at, and nothing was left to do."""
        with _writing():
            _remove(self._failure)

    def failed(self, why: str) -> None:
        """Record why the databases could not be brought into step."""
        with _writing():
            _remove(self._in_step)
            write_aside(self._failure, why)

    def failure(self) -> str | None:
        """Why the databases could not be brought into step the last time, or None."""
        try:
            return read_text(self._failure) or None
        except OSError as error:
            return f"{self._failure} can't be read: {error.strerror}."

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


def _remove(file: Path) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        file.unlink()
