"""A project on PostgreSQL whose branches bring a column, and a table, with very many rows.

``main`` has a million items, and a ledger of a chosen size that no branch touches. Branch
``column`` gives each item a colour, and branch ``table`` has a remark on each.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from tests.databases import Configuration, postgresql

from .generate import MANAGE, git
from .measure import Call, Run, execute

ROWS = 1_000_000

SETTINGS = """\
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
DEBUG = True
SECRET_KEY = "benchmark"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["stock", "django_devtools"]
DATABASES = {{"default": {database!r}}}
"""

MODELS = """\
from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=50)
    price = models.DecimalField(max_digits=10, decimal_places=2){colour}


class Ledger(models.Model):
    text = models.TextField()
"""

COLOUR = """
    colour = models.CharField(max_length=20, default="")"""

REMARK = """

class Remark(models.Model):
    item = models.ForeignKey(Item, models.CASCADE)
    text = models.TextField()
"""

# What is in the column and in the table; compared after each way there and back.
COLOURS = "UPDATE stock_item SET colour = 'colour ' || id"
REMARKS = """
INSERT INTO stock_remark (item_id, text) SELECT id, 'Remark on item ' || id FROM stock_item
"""
COUNTS = {
    "main": "SELECT count(*) FROM stock_item",
    "column": "SELECT count(*) FROM stock_item WHERE colour = 'colour ' || id",
    "table": "SELECT count(*) FROM stock_remark WHERE text = 'Remark on item ' || item_id",
}


@dataclass(frozen=True)
class Warehouse:
    """The project in ``root``, and its database."""

    root: Path
    database: Configuration

    def switch(self, start: str, end: str) -> Run:
        """Return a run that takes the database from one branch to another, after the checkout."""
        return Run(
            [sys.executable, "manage.py", "migrations_switch", "--no-input"],
            self.root,
            prepare=partial(self._start, start, end),
            verify=partial(self.verify, end),
        )

    def copy(self, strategy: str) -> Call:
        """Return a call that copies the database as those tools do that keep one a branch."""
        name, copy = self.database["NAME"], f"{self.database['NAME']}_copy"
        return Call(
            partial(
                self.execute,
                f'CREATE DATABASE "{copy}" TEMPLATE "{name}" STRATEGY = {strategy}',
                "postgres",
            ),
            prepare=self.settle,
            verify=partial(self.execute, f'DROP DATABASE "{copy}"', "postgres"),
        )

    def go(self, branch: str) -> None:
        """Check a branch out, and bring the database there."""
        git(self.root, "checkout", "--quiet", branch)
        execute([sys.executable, "manage.py", "migrations_switch", "--no-input"], self.root)
        self.settle()

    def settle(self) -> None:
        """Have the server do now what it would do at a time of its own."""
        self.execute("VACUUM ANALYZE")
        self.execute("CHECKPOINT")

    def verify(self, branch: str) -> None:
        """Raise unless each row of a branch is there and as it was."""
        (found,) = self.execute(COUNTS[branch])
        if found != ROWS:
            raise RuntimeError(f"{found} rows are as they were on {branch}, not {ROWS}")

    def size(self) -> str:
        """Return how large the database is, as PostgreSQL says it."""
        (size,) = self.execute("SELECT pg_size_pretty(pg_database_size(current_database()))")
        return str(size)

    def execute(self, statement: str, name: str = "") -> tuple[Any, ...]:
        """Execute a statement, as it commits by itself, and return the first row if any."""
        with psycopg.connect(
            host=self.database["HOST"],
            port=self.database["PORT"],
            user=self.database["USER"],
            password=self.database["PASSWORD"],
            dbname=name or self.database["NAME"],
            autocommit=True,
        ) as connection:
            cursor = connection.execute(statement)
            return tuple(cursor.fetchone() or ()) if cursor.description else ()

    def _start(self, start: str, end: str) -> None:
        self.go(start)
        git(self.root, "checkout", "--quiet", end)


@contextmanager
def warehouse(root: Path, megabytes: int) -> Iterator[Warehouse]:
    """A warehouse with a ledger of so many megabytes, on ``main``, each branch filled."""
    database, drop = postgresql(root)
    try:
        yield _build(Warehouse(root, database), megabytes)
    finally:
        drop()


def _build(found: Warehouse, megabytes: int) -> Warehouse:
    root, write = found.root, partial(_write, found.root)
    write("manage.py", MANAGE)
    write(".gitignore", "__pycache__/\n")
    write("config/__init__.py", "")
    write("config/settings.py", SETTINGS.format(database=found.database))
    write("stock/__init__.py", "")
    write("stock/models.py", MODELS.format(colour=""))
    git(root, "init", "--quiet", "--initial-branch=main")
    _migrate(found, "initial")
    found.execute(
        "INSERT INTO stock_item (name, price) "
        f"SELECT 'Item ' || i, i % 1000 FROM generate_series(1, {ROWS}) AS i"
    )
    # A page of 8 kB holds seven of these, and none is long enough to be compressed.
    found.execute(
        "INSERT INTO stock_ledger (text) SELECT repeat(md5(i::text), 34) "
        f"FROM generate_series(1, {megabytes * 7 * 128}) AS i"
    )
    for branch, models, filling in (
        ("column", MODELS.format(colour=COLOUR), COLOURS),
        ("table", MODELS.format(colour="") + REMARK, REMARKS),
    ):
        git(root, "checkout", "--quiet", "-b", branch, "main")
        write("stock/models.py", models)
        _migrate(found, branch)
        found.execute(filling)
        found.go("main")
    return found


def _migrate(found: Warehouse, name: str) -> None:
    for command in (["makemigrations", "stock", "--name", name], ["migrate"]):
        execute([sys.executable, "manage.py", *command], found.root)
    git(found.root, "add", "--all")
    git(found.root, "commit", "--quiet", "--message", name)


def _write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text, encoding="utf-8")
