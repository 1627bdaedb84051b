"""What the stash writes down of what it keeps: an entry for each copy, and a table of them."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.apps.registry import Apps
from django.db import models

from django_devtools.branches.schema.introspection import ColumnInfo
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import TABLE_PREFIX

ENTRIES_TABLE = f"{TABLE_PREFIX}stash"


class Status(StrEnum):
    """How far an entry got."""

    COPYING = "copying"
    """Its table may be half written. What it copies is still in its place."""
    COPIED = "copied"
    """Complete, and what it copied is still in its place."""
    OPEN = "open"
    """A switch that drops what it keeps, or brings it back, has begun and not ended."""
    KEPT = "kept"
    LEFT = "left"
    """Some of it came back, and the rest could not."""
    DONE = "done"
    """All of it came back."""


class Return(StrEnum):
    """How an entry comes back at the end of the switch that is under way."""

    NOT = ""
    MISSING = "missing"
    """What is there stays, as it is not known where it came from."""
    REPLACE = "replace"
    """It goes before what migrations have put there on the way."""


@dataclass(frozen=True)
class StashedColumn:
    """A column in the stash."""

    info: ColumnInfo
    migration: str
    becomes: Item | None = None
    """The narrower column that took its place."""
    newest: int | None = None
    """The highest key that there was in the table that it refers to, where keys are numbers."""
    returns: Return = Return.NOT
    """How it comes back at the end of the switch that is under way."""
    dropped_backwards: bool = False
    """Whether it was dropped when a migration was unapplied, and not when one was applied."""


@dataclass(frozen=True)
class Entry:
    """A table, or columns of a table, in the stash."""

    id: int
    status: Status
    branch: str | None
    """The branch that the database was on, as far as that is known."""
    table: str
    is_table: bool
    columns: Mapping[str, StashedColumn]
    key: list[str]
    """The primary key's columns, which tell the rows apart."""
    rows: int
    at: datetime
    reason: str = ""
    """Why some of it could not come back."""
    first: str = ""
    last: str = ""
    fills: bool = False
    """Whether migrations of that switch write rows: what those change is no edit."""

    def __str__(self) -> str:
        if self.is_table:
            return f"table {self.table}"
        names = ", ".join(f"{self.table}.{column}" for column in self.columns)
        was = " before it got narrower" if self.is_narrowed else ""
        return f"column{'s' * (len(self.columns) > 1)} {names}{was}"

    @property
    def summary(self) -> str:
        """What it is, how many rows, and whether it has tried to come back in vain."""
        stayed = ", did not come back" if self.reason else ""
        return f"{self} ({self.rows} row{'s' * (self.rows != 1)}{stayed})"

    @property
    def copy(self) -> str:
        """The table that its rows are in."""
        return f"{ENTRIES_TABLE}_{self.id}"

    @property
    def residue(self) -> str:
        """The table with what was left of narrowed columns, to tell later what was changed."""
        return f"{self.copy}_narrowed"

    def due(self, returns: Mapping[str, Return]) -> "Entry":
        """The entry as its columns come back; those that are not named don't."""
        columns = {
            name: replace(column, returns=returns.get(name, Return.NOT))
            for name, column in self.columns.items()
        }
        return replace(self, columns=columns)

    @property
    def coming(self) -> dict[str, Return]:
        """The columns that come back, and how: all in one way, where it is a table."""
        return {name: column.returns for name, column in self.columns.items() if column.returns}

    @property
    def infos(self) -> dict[str, ColumnInfo]:
        """Its columns as the database described them."""
        return {name: column.info for name, column in self.columns.items()}

    @property
    def is_narrowed(self) -> bool:
        """Whether its column is still there, and only holds less."""
        return any(column.becomes for column in self.columns.values())

    @property
    def narrowed(self) -> tuple[str, str]:
        """The table and the column that a narrowed column has become."""
        ((table, column),) = (kept.becomes for kept in self.columns.values() if kept.becomes)
        return table, str(column)

    @property
    def migrations(self) -> list[str]:
        """The migrations that drop it when they are unapplied or applied."""
        return sorted({column.migration for column in self.columns.values()})

    def is_midway(self, rows: Collection[Key]) -> bool:
        """Whether the switch that has to do with it was interrupted, and not finished since."""
        return self.has_begun(rows) and not _has_happened(self.last, rows)

    def has_begun(self, rows: Collection[Key]) -> bool:
        """Whether a switch that has to do with it has made its first step, and was not ended."""
        return self.status is Status.OPEN and _has_happened(self.first, rows)

    def is_ended_by(self, steps: Collection[str]) -> bool:
        """Whether ``steps`` end the switch that has to do with it, or undo it."""
        undone = ("-" if self.first[0] == "+" else "+") + self.first[1:]
        return self.last in steps or undone in steps


def step(key: Key, backwards: bool) -> str:
    """A migration that is unapplied or applied, as entries note it."""
    return f"{'-' if backwards else '+'}{'.'.join(key)}"


def to_json(columns: Mapping[str, StashedColumn]) -> str:
    """Columns as the registry notes them."""
    return json.dumps(
        {
            name: [
                kept.info.type,
                kept.info.is_required,
                kept.migration,
                kept.becomes,
                kept.newest,
                kept.returns,
                kept.dropped_backwards,
            ]
            for name, kept in columns.items()
        }
    )


def entry_from_row(row: Any) -> Entry:
    """An entry from its row."""
    found = json.loads(row.columns)
    columns = {
        name: StashedColumn(
            ColumnInfo(kind, required),
            migration,
            (becomes[0], becomes[1]) if becomes else None,
            newest,
            Return(returns),
            back,
        )
        for name, (kind, required, migration, becomes, newest, returns, back) in found.items()
    }
    return Entry(
        id=row.pk,
        status=Status(row.status),
        branch=row.branch or None,
        table=row.table,
        is_table=row.is_table,
        columns=columns,
        key=json.loads(row.key),
        rows=row.rows,
        at=row.at,
        reason=row.reason,
        first=row.first,
        last=row.last,
        fills=row.fills,
    )


def entries_model() -> Any:
    """The model of the registry."""

    # Not a model of the app: as Django's own table of applied migrations, it can't be migrated.
    class Row(models.Model):  # noqa: DJ008 - nobody looks at it
        id = models.BigAutoField(primary_key=True)
        status = models.CharField(max_length=10)
        branch = models.TextField()
        table = models.CharField(max_length=255)
        is_table = models.BooleanField()
        columns = models.TextField()
        key = models.TextField()
        rows = models.BigIntegerField()
        at = models.DateTimeField()
        reason = models.TextField(default="")
        first = models.TextField()
        last = models.TextField()
        fills = models.BooleanField(default=False)

        class Meta:
            apps = Apps()
            app_label = "django_devtools"
            db_table = ENTRIES_TABLE

    return Row


def _has_happened(step: str, rows: Collection[Key]) -> bool:
    app, _, name = step[1:].partition(".")
    return ((app, name) in rows) is (step[0] == "+")
