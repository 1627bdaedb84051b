"""The generated project at work: its databases, its snapshots, and the way back to each."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .generate import feature_apps, feature_migrations, generate, git
from .measure import Run, execute

ROWS = 100

# For a checkout that our hooks must not follow.
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")

# Django's own: 2 of contenttypes, 12 of auth.
CONTRIB_MIGRATIONS = 14

RECORDS = """
WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?)
INSERT INTO {app}_record0 (name, slug, made, amount, is_active, notes, code, priority)
SELECT 'Record ' || i, 'record-' || i, '2025-01-01 00:00:00', i, 1, '', '', i FROM number
"""

COLOURS = "UPDATE {app}_record0 SET colour = 'colour ' || id"

REMARKS = """
INSERT INTO {app}_remark (text, made, record_id)
SELECT 'Remark ' || id, '2025-01-01 00:00:00', id FROM {app}_record0
"""


@dataclass(frozen=True)
class Project:
    """A project in ``root`` whose past states, kept in ``saved``, can be brought back."""

    root: Path
    saved: Path
    apps: int
    migrations: int
    """How many ``main`` has."""

    @property
    def in_step(self) -> Path:
        """The file that says which commit the databases were last in step with."""
        return self.root / ".git" / "django-devtools" / "in-step"

    def ours(self, *arguments: str) -> list[str]:
        """Return a command line of manage.py with django_devtools installed."""
        return [sys.executable, "manage.py", *arguments]

    def theirs(self, *arguments: str) -> list[str]:
        """Return a command line of manage.py in the same project without django_devtools."""
        return [sys.executable, "manage.py", *arguments, "--settings=config.plain"]

    def run(self, command: list[str], *, branch: str, database: str, ends_on: str) -> Run:
        """Return a run that starts on ``branch`` with the database as it was on ``database``."""
        applied = self.migrations
        if ends_on == "feature":
            applied += feature_migrations(self.apps)
        return Run(
            command,
            self.root,
            prepare=partial(self.restore, branch, database),
            verify=partial(self._verify, applied),
        )

    def restore(self, branch: str, database: str) -> None:
        """Check out ``branch`` and put back the database and the snapshots as they were saved."""
        git(self.root, *NO_HOOKS, "checkout", "--quiet", branch)
        shutil.copytree(self.saved / "git", self.root / ".git", dirs_exist_ok=True)
        for leftover in self.root.glob("db.sqlite3*"):
            leftover.unlink()
        shutil.copyfile(self.saved / f"{database}.sqlite3", self.root / "db.sqlite3")

    def install_hook(self) -> None:
        """Have the databases follow each checkout from now on."""
        execute(self.ours("migrations_hook", "install"), self.root)

    def see_that_feature_is_in_step(self) -> None:
        """Have the hooks look at ``feature``, so that they remember that it is in step."""
        git(self.root, "checkout", "--quiet", "--detach")
        git(self.root, "checkout", "--quiet", "feature")
        if not self.in_step.exists():
            raise RuntimeError("The hooks have not remembered that feature is in step")
        self.save_snapshots()

    def save_database(self, name: str) -> None:
        """Keep the database under ``name``."""
        self.saved.mkdir(exist_ok=True)
        shutil.copyfile(self.root / "db.sqlite3", self.saved / f"{name}.sqlite3")

    def save_snapshots(self) -> None:
        """Keep what the snapshots left in the git directory, wherever in it that is.

        The work tree belongs to ``HEAD`` and the index, and objects are never removed: git looks
        after these.
        """
        shutil.copytree(
            self.root / ".git",
            self.saved / "git",
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("objects", "index", "HEAD", "ORIG_HEAD", "logs"),
        )

    def _verify(self, applied: int) -> None:
        with closing(sqlite3.connect(self.root / "db.sqlite3")) as connection:
            (found,) = connection.execute("SELECT count(*) FROM django_migrations").fetchone()
        if found != applied:
            raise RuntimeError(f"{found} migrations are applied, not {applied}")


def build(root: Path, *, apps: int, cycles: int) -> Project:
    """Return a project on ``main``, with a database and a snapshot for each of both branches.

    The tables that ``feature`` touches hold rows, which a switch has to keep.
    """
    project = _generate(root, apps, cycles)
    execute(project.theirs("migrate"), root)
    _execute(project, RECORDS, (ROWS,))
    execute(project.theirs("managestate", "dump", "main"), root)
    execute(project.ours("migrations_snapshot"), root)
    project.save_database("main")

    git(root, "checkout", "--quiet", "feature")
    execute(project.theirs("migrate"), root)
    _execute(project, COLOURS)
    _execute(project, REMARKS)
    execute(project.ours("migrations_snapshot"), root)
    project.save_database("feature")

    project.save_snapshots()
    project.restore("main", "main")
    return project


def build_without_tables(root: Path, *, apps: int, cycles: int) -> Project:
    """Return a project on ``main`` that believes its migrations to be applied, with a snapshot."""
    project = _generate(root, apps, cycles)
    # Also migrates contenttypes; what Django does after any migrate needs the tables of both.
    execute(project.theirs("migrate", "auth"), root)
    execute(project.theirs("migrate", "--fake"), root)
    execute(project.ours("migrations_snapshot"), root)
    project.save_database("main")
    project.save_snapshots()
    return project


def empty_tables(project: Project) -> None:
    """Delete the rows of the tables that ``feature`` touches."""
    _execute(project, "DELETE FROM {app}_remark")
    _execute(project, "DELETE FROM {app}_record0")


def _generate(root: Path, apps: int, cycles: int) -> Project:
    migrations = generate(root, apps=apps, cycles=cycles)
    saved = root.with_name(f"{root.name}-saved")
    return Project(root, saved, apps, migrations + CONTRIB_MIGRATIONS)


def _execute(project: Project, statement: str, parameters: tuple[int, ...] = ()) -> None:
    """Run a statement for each app that ``feature`` changes."""
    with closing(sqlite3.connect(project.root / "db.sqlite3")) as connection, connection:
        for number in feature_apps(project.apps):
            connection.execute(statement.format(app=f"app{number:02}"), parameters)
