"""What the hooks remember about a work tree, in files of its git directory."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.sources.git import Repository


class HookState:
    """Whether the databases follow a work tree, and why they do not."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def in_step(self, commit: str | None, specs: Sequence[str]) -> None:
        """Record that the databases are in step with ``commit``, if that is still checked out."""
        self._failure.unlink(missing_ok=True)
        if commit and commit == self.repository.clean_commit(specs):
            write_aside(self._in_step, commit + "\n")
        else:
            self._in_step.unlink(missing_ok=True)

    def changed(self) -> None:
        """Record that a database was changed. Hooks in all work trees look again."""
        # Work trees may share a database.
        self._failure.unlink(missing_ok=True)
        common = self.repository.common_dir
        for directory in (common, *common.glob("worktrees/*")):
            (directory / "django-devtools" / "in-step").unlink(missing_ok=True)

    def settled(self) -> None:
        """Record that the databases were looked at, and nothing was left to do."""
        self._failure.unlink(missing_ok=True)

    def failed(self, why: str) -> None:
        """Record why the databases could not be brought into step."""
        self._in_step.unlink(missing_ok=True)
        write_aside(self._failure, why)

    def failure(self) -> str | None:
        """Why the databases could not be brought into step the last time, or None."""
        return read_text(self._failure) or None

    @cached_property
    def _in_step(self) -> Path:
        return self.repository.private_dir() / "django-devtools" / "in-step"

    @cached_property
    def _failure(self) -> Path:
        return self._in_step.with_name("failed")
