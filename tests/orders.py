"""
The orders in which people write, commit and apply migrations.

Most tests commit first and then migrate. ``DEVTOOLS_TEST_ORDER`` has the same tests work in
another order, with the snapshots that a project takes by default:

- ``migrate-first``: what a test commits waits until the next ``migrate`` or switch is done, or
  until the test goes on with git. So the commit is younger than the rows.
- ``uncommitted``: the branches and their commits are there, but all commits are empty, and every
  file stays untracked. At a checkout the files of the one branch are moved away, where no git of
  this project finds them, and those of the other one are put back. So nothing but the snapshots
  knows what was applied.

Tests that say themselves when they commit or take snapshots have the mark ``own_order``, and are
skipped in these two. Those whose targets are commits, and those in which only the history of
commits has what a branch had once, have the mark ``committed``.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.project import SETTINGS, Project, Result, Zygote

ORDER = os.environ.get("DEVTOOLS_TEST_ORDER", "commit-first")

APPLYING = ("migrate", "migrations_switch")
LOOKING = ("makemigrations", "shell", "showmigrations")

ABOUT_FILES = ("add", "mv", "rm", "show")
ABOUT_COMMITS = ("branch", "checkout", "commit", "init", "merge", "revert", "tag")


class Ordered(Project):
    """A project with snapshots, whose first commit is empty."""

    @classmethod
    def make(
        cls, path: Path, databases: Mapping[str, Any], zygote: Zygote, git: bool = True
    ) -> Self:
        project = super().make(path, databases, zygote, git)
        project.write("config/settings.py", SETTINGS.replace('"AUTO_SNAPSHOT": False', ""))
        if git:
            project.git("commit", "--quiet", "--allow-empty", "--message=Nothing")
        return project


class MigrateFirst(Ordered):
    """A project whose commits wait for ``migrate``."""

    _due: tuple[str, str] | None = None
    """The message of the commit that waits, and the tree of its files."""

    def commit(self, message: str = "Work") -> None:
        self.git("add", "--all")
        self._due = (message, super().git("write-tree").strip())
        super().git("reset", "--quiet")

    def manage(self, *arguments: str, status: int | None = 0) -> Result:
        if arguments[0] not in (*APPLYING, *LOOKING):
            self._commit_what_is_due()
        result = super().manage(*arguments, status=status)
        if arguments[0] in APPLYING:
            self._commit_what_is_due()
        return result

    def git(self, *arguments: str) -> str:
        self._commit_what_is_due()
        return super().git(*arguments)

    def _commit_what_is_due(self) -> None:
        """What was changed since then stays changed."""
        if self._due:
            message, tree = self._due
            self._due = None
            made = super().git("commit-tree", tree, "-p", "HEAD", "-m", message).strip()
            super().git("update-ref", "-m", f"commit: {message}", "HEAD", made)
            super().git("reset", "--quiet")


class Uncommitted(Ordered):
    """A project whose commits are empty, and whose files are kept by a repository elsewhere."""

    def commit(self, message: str = "Work") -> None:
        self._elsewhere("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")

    def git(self, *arguments: str) -> str:
        if arguments[0] in ABOUT_FILES:
            return self._elsewhere(*arguments)
        if arguments[0] in ABOUT_COMMITS:
            self._elsewhere(*arguments)
        if arguments[0] == "commit":
            arguments = (*(one for one in arguments if one != "--all"), "--allow-empty")
        if arguments[0] == "revert":
            arguments = ("commit", "--quiet", "--allow-empty", "--message=Revert")
        return super().git(*arguments)

    def _elsewhere(self, *arguments: str) -> str:
        directory = self.path.with_name(f"{self.path.name}-elsewhere")
        return super().git(f"--git-dir={directory}", f"--work-tree={self.path}", *arguments)


PROJECTS: dict[str, type[Project]] = {
    "commit-first": Project,
    "migrate-first": MigrateFirst,
    "uncommitted": Uncommitted,
}
LEFT_OUT: dict[str, tuple[str, ...]] = {
    "commit-first": (),
    "migrate-first": ("own_order",),
    "uncommitted": ("own_order", "committed"),
}
"""The marks of tests that an order leaves out."""
