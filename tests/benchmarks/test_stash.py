"""What it costs to keep what a switch drops, next to bare SQL and to a copy of the database.

Run with ``tox run -e bench``. It takes a quarter of an hour, and 25 GB of PostgreSQL's disk.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import StringIO
from math import inf
from typing import Any

import pytest
from django.apps.registry import Apps
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import connections, transaction
from pytest_django import DjangoDbBlocker

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.stash.entries import Entry, Step
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.stash import Stash
from tests.conftest import SERVICES_MUST_ANSWER

from .measure import Call, Times, compare, interleave
from .warehouse import Warehouse, warehouse

GIGABYTE = 1000
TEN = 10 * GIGABYTE
ALIAS = "warehouse"
BARE = "bare_copy"
STRATEGIES = ("WAL_LOG", "FILE_COPY")

# The whole switch, as a part of what CREATE DATABASE … TEMPLATE takes: of a gigabyte that is not
# touched, and of ten. Measured: 0.10 and 0.01 with nothing to do; 0.26 and 0.02 to leave a column
# or a table; 1.32 and 0.09 to return to the column, 1.06 and 0.08 to return to the table. A
# twentieth of the copy of a gigabyte would be 0.13 s, and manage.py alone takes twice that; a
# million rows that are written again take the bare statements ten times that.
BOUNDS = [
    ("main", "main", 0.2, 0.05),
    ("column", "main", 0.4, 0.05),
    ("table", "main", 0.4, 0.05),
    ("main", "column", 1.6, 0.2),
    ("main", "table", 1.4, 0.2),
]

# Longer than any other test.
pytestmark = pytest.mark.timeout(3600)


@dataclass(frozen=True)
class Kept:
    """What a branch made: what is kept of it, and the statements that do no more than that."""

    branch: str
    loss: DataLoss
    copy: str
    back: str
    drop_and_make: list[str]
    """What leaves of it what the branch's migration makes."""


COLUMN = Kept(
    "column",
    DataLoss(("stock", "0002_column"), ("stock", "item"), "stock_item", "colour"),
    copy=f"CREATE TABLE {BARE} AS SELECT id, colour FROM stock_item",
    back="UPDATE stock_item SET colour = kept.colour FROM {copy} AS kept "
    "WHERE kept.id = stock_item.id",
    drop_and_make=[
        "ALTER TABLE stock_item DROP COLUMN colour",
        "ALTER TABLE stock_item ADD COLUMN colour varchar(20) NOT NULL DEFAULT ''",
        "ALTER TABLE stock_item ALTER COLUMN colour DROP DEFAULT",
    ],
)
TABLE = Kept(
    "table",
    DataLoss(("stock", "0002_table"), ("stock", "remark"), "stock_remark"),
    copy=f"CREATE TABLE {BARE} AS SELECT * FROM stock_remark",
    back="INSERT INTO stock_remark (id, text, item_id) OVERRIDING SYSTEM VALUE "
    "SELECT id, text, item_id FROM {copy}",
    drop_and_make=["TRUNCATE stock_remark"],
)


@dataclass
class Bench:
    """The stash of a warehouse, at work without the rest of a switch."""

    stock: Warehouse
    kept: Kept
    stash: Stash = field(init=False)

    def keep(self) -> Call:
        return Call(self._keep, prepare=self.stock.settle, verify=self._clean)

    def copy(self) -> Call:
        copy = partial(self.stock.execute, self.kept.copy)
        drop = partial(self.stock.execute, f"DROP TABLE {BARE}")
        return Call(copy, prepare=self.stock.settle, verify=drop)

    def restore(self) -> Call:
        return Call(self._restore, prepare=self._empty, verify=self._verify)

    def copy_back(self) -> Call:
        return Call(self._copy_back, prepare=self._empty, verify=self._verify)

    def _keep(self) -> None:
        self.stash = Stash(connections[ALIAS])
        step = Step(self.kept.loss.migration, backwards=True)
        self.stash.save([self.kept.loss], self.kept.branch, [step], _silent())

    def _restore(self) -> None:
        with transaction.atomic(ALIAS):
            restore = Restore(self.stash, Apps(), _silent())
            restore.restore(self._entries())
        self.stash.finish()

    def _copy_back(self) -> None:
        (entry,) = self._entries()
        self.stock.execute(self.kept.back.format(copy=entry.copy))

    def _empty(self) -> None:
        self._keep()
        self.stash.begin()
        self.stash.dropped(self._entries())
        for statement in self.kept.drop_and_make:
            self.stock.execute(statement)
        self.stock.settle()

    def _verify(self) -> None:
        self.stock.verify(self.kept.branch)
        self._clean()

    def _clean(self) -> None:
        self.stash.begin()
        self.stash.drop(self._entries())
        self.stash.clean()

    def _entries(self) -> list[Entry]:
        # The other branch's rows wait there, too.
        return [entry for entry in self.stash.entries() if entry.branch == self.kept.branch]


def _silent() -> Progress:
    return Progress(OutputWrapper(StringIO()), no_style(), verbosity=0)


@pytest.fixture(scope="module")
def gigabyte(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """A gigabyte that no branch touches, and a million rows that two do."""
    yield from _warehouse(tmp_path_factory, GIGABYTE)


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """Ten gigabytes untouched, and as many rows that are touched."""
    yield from _warehouse(tmp_path_factory, TEN)


@pytest.fixture(scope="module")
def times(gigabyte: Warehouse, ten: Warehouse) -> dict[str, Times]:
    """Time whole switches of a million rows, and copies of their database, side by side."""
    runs: dict[str, Callable[[], float]] = {}
    for size, stock in ((GIGABYTE, gigabyte), (TEN, ten)):
        for start, end, *_ in BOUNDS:
            runs[_name(start, end, size)] = stock.switch(start, end)
        for strategy in STRATEGIES:
            runs[f"{strategy}, {size} MB"] = stock.copy(strategy)
    return interleave(runs, rounds=3)


def _name(start: str, end: str, size: int) -> str:
    return f"{start} to {end}, {size} MB"


def _warehouse(factory: pytest.TempPathFactory, megabytes: int) -> Iterator[Warehouse]:
    try:
        with warehouse(factory.mktemp("warehouse"), megabytes) as found:
            yield found
    except OSError as error:
        if SERVICES_MUST_ANSWER:
            raise
        pytest.skip(f"no PostgreSQL answers: {error}")


@pytest.fixture(params=[COLUMN, TABLE], ids=["column", "table"])
def bench(
    request: pytest.FixtureRequest, gigabyte: Warehouse, django_db_blocker: DjangoDbBlocker
) -> Iterator[Bench]:
    """The warehouse on the branch, with its million rows."""
    gigabyte.go(request.param.branch)
    settings: dict[str, Any] = connections.settings
    settings[ALIAS] = {**settings["default"], **gigabyte.database}
    with django_db_blocker.unblock():
        yield Bench(gigabyte, request.param)
        connections[ALIAS].close()
    del connections[ALIAS], settings[ALIAS]


def test_keep_against_copy(bench: Bench) -> None:
    """All that the stash does before anything is dropped, against the copy alone."""
    found = interleave({"ours": bench.keep(), "theirs": bench.copy()}, rounds=7)
    what = f"keep a {bench.kept.branch} of 1,000,000 rows / bare copy"
    compare(what, found["ours"], found["theirs"], bound=1.5).check()


def test_restore_against_copy_back(bench: Bench) -> None:
    """All that the stash does when it is back, against the one statement that copies it back."""
    found = interleave({"ours": bench.restore(), "theirs": bench.copy_back()}, rounds=3)
    what = f"restore a {bench.kept.branch} of 1,000,000 rows / bare copy back"
    compare(what, found["ours"], found["theirs"], bound=1.5).check()


@pytest.mark.parametrize(("start", "end", "bound", "bound_of_ten"), BOUNDS)
def test_switch_against_copy_of_database(
    times: dict[str, Times], start: str, end: str, bound: float, bound_of_ten: float
) -> None:
    """The whole process, against what takes the place of a stash in other tools.

    FILE_COPY is said, and has no bound: it is faster than WAL_LOG, PostgreSQL's default, where the
    disk is.
    """
    for size, most in ((GIGABYTE, bound), (TEN, bound_of_ten)):
        ours = _name(start, end, size)
        for strategy in STRATEGIES:
            row = compare(
                f"{ours} / TEMPLATE, {strategy}",
                times[ours],
                times[f"{strategy}, {size} MB"],
                bound=most if strategy == "WAL_LOG" else inf,
            )
            row.check()


@pytest.mark.parametrize(("start", "end"), [(start, end) for start, end, *_ in BOUNDS])
def test_untouched_data(times: dict[str, Times], start: str, end: str) -> None:
    """Ten times the data that the branch did not touch, and no more time."""
    large, small = _name(start, end, TEN), _name(start, end, GIGABYTE)
    compare(f"{large} / {GIGABYTE} MB", times[large], times[small], bound=1.1).check()
