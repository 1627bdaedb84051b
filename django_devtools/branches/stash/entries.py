"""The entries of the stash: what is recorded of each copy, and the table that records it."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from django.apps.registry import Apps
from django.db import models

from django_devtools.branches.schema.introspection import ColumnInfo
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import TABLE_PREFIX

ENTRIES_TABLE = f"{TABLE_PREFIX}stash"
"""The table with a row for each entry."""


class Status(StrEnum):
    """How far saving or restoring an entry has got."""

    COPYING = "copying"
    """The copy may be incomplete. The data is still where it was copied from."""
    COPIED = "copied"
    """The copy is complete. The data is still where it was copied from."""
    OPEN = "open"
    """
    The pass that drops the data has begun, and has not dropped it yet.

    Or a switch has begun: what it leaves in a narrowed column is not known before its end.
    """
    KEPT = "kept"
    """The data was dropped, and is in the stash."""
    LEFT = "left"
    """Some of it was restored, and the rest could not be."""
    DONE = "done"
    """All of it was restored."""


class Return(StrEnum):
    """How a column is restored."""

    MISSING = "missing"
    """Only where there is nothing: nobody knows where existing values came from."""
    REPLACE = "replace"
    """It overwrites what migrations have put there on the way."""


class Step(NamedTuple):
    """A migration that is unapplied or applied, from a certain text."""

    key: Key
    backwards: bool
    text: str = ""
    """The id that git gives to its text; empty if that is not known."""

    def __str__(self) -> str:
        return f"{'-' if self.backwards else '+'}{'.'.join(self.key)}"


class StashedColumn(NamedTuple):
    """A column in the stash."""

    info: ColumnInfo
    migration: str
    """The migration that dropped or narrowed it, as "app.name"."""
    becomes: Item | None = None
    """The narrower column that it has become; None if it was dropped."""
    newest: int | None = None
    """The highest key at the time of the table that it refers to, if keys are numbers."""
    returns: Return = Return.REPLACE
    """How it is restored."""
    dropped_backwards: bool = False
    """Whether unapplying a migration dropped it, and not applying one."""
    field_type: str = ""
    """The type of a narrowed column's field, as `type_of` says it; empty if that is not known."""
    stand_in: Item | None = None
    """The column that was made in its place, and is there while it waits."""

    @property
    def step(self) -> Step:
        """The step that dropped or narrowed it, without its text."""
        app, _, name = self.migration.partition(".")
        return Step((app, name), self.dropped_backwards)


class Entry(NamedTuple):
    """A table, or columns of a table, in the stash."""

    id: int
    status: Status
    branch: str | None
    """The branch that the database was on; None if that is unknown."""
    table: str
    is_table: bool
    """Whether it is a whole table, and not some columns."""
    columns: Mapping[str, StashedColumn]
    key: list[str]
    """The columns of the primary key, which tell rows apart; empty if there is none."""
    rows: int
    """How many rows are in the stash."""
    at: datetime
    """When it was saved."""
    reason: str = ""
    """Why some of it could not be restored."""
    steps: tuple[Step, ...] = ()
    """All steps of the pass that dropped it, in their order."""
    fills: bool = False
    """Whether migrations of that pass may write rows. What those write is no edit."""

    def __str__(self) -> str:
        if self.is_table:
            return f"table {self.table}"
        names = ", ".join(f"{self.table}.{column}" for column in self.columns)
        was = " before it got narrower" if self.is_narrowed else ""
        return f"column{'s' * (len(self.columns) > 1)} {names}{was}"

    @property
    def summary(self) -> str:
        """What it is, how many rows it has, and whether restoring it has failed."""
        stayed = ", not restored" if self.reason else ""
        return f"{self} ({self.rows:,} row{'s' * (self.rows != 1)}{stayed})"

    @property
    def copy(self) -> str:
        """The table with its rows."""
        return f"{ENTRIES_TABLE}_{self.id}"

    @property
    def residue(self) -> str:
        """The table with what was left in a narrowed column, or made in its place: no edits."""
        return f"{self.copy}_narrowed" if self.is_narrowed else f"{self.copy}_made"

    @property
    def next_residue(self) -> str:
        """The table with what the residue is about to have: one of both is always there."""
        return f"{self.residue}_next"

    @property
    def infos(self) -> dict[str, ColumnInfo]:
        """Its columns as the database described them when they were saved."""
        return {name: column.info for name, column in self.columns.items()}

    @property
    def is_narrowed(self) -> bool:
        """Whether its column was narrowed, and not dropped."""
        return any(column.becomes for column in self.columns.values())

    @property
    def gives_way(self) -> bool:
        """Whether what is in its place counts: all of it, or what was edited there."""
        is_missing = all(column.returns is Return.MISSING for column in self.columns.values())
        return is_missing or self.has_stand_in

    @property
    def has_stand_in(self) -> bool:
        """Whether its place was made before it could come back. Edits of that count."""
        return any(column.stand_in for column in self.columns.values())

    @property
    def has_residue(self) -> bool:
        """Whether it is noted what was left in its place, or made there."""
        return self.is_narrowed or self.has_stand_in

    @property
    def narrowed(self) -> tuple[str, str]:
        """The table and the column that a narrowed column has become."""
        ((table, column),) = (saved.becomes for saved in self.columns.values() if saved.becomes)
        return table, str(column)

    @property
    def dropped_by(self) -> set[Key]:
        """The migrations that dropped or narrowed it."""
        return {column.step.key for column in self.columns.values()}

    @property
    def migrations(self) -> list[str]:
        """The migrations that dropped or narrowed it, each as "app.name"."""
        return sorted({column.migration for column in self.columns.values()})


def to_json(columns: Mapping[str, StashedColumn]) -> str:
    """Columns as an entry's row has them, in JSON."""
    return json.dumps(
        {
            name: [
                column.info.type,
                column.info.is_required,
                column.migration,
                column.becomes,
                column.newest,
                column.returns,
                column.dropped_backwards,
                column.field_type,
                column.stand_in,
            ]
            for name, column in columns.items()
        }
    )


def steps_to_json(steps: Iterable[Step]) -> str:
    """Steps as an entry's row has them, in JSON."""
    return json.dumps([[*step.key, step.backwards, step.text] for step in steps])


def entry_from_row(row: Any) -> Entry:
    """The entry that a row records."""
    columns = {name: _column_from(values) for name, values in json.loads(row.columns).items()}
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
        steps=_steps_from(row.steps, columns),
        fills=row.fills,
    )


def entries_model() -> Any:
    """The model of the table with the entries."""

    # No model of the app, since the table can't be migrated: like django_migrations, which
    # MigrationRecorder makes in the same way, it is needed before any migration runs.
    class Row(models.Model):  # noqa: DJ008 - nobody prints it
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
        steps = models.TextField(null=True)  # noqa: DJ001 - MySQL has no default for texts
        fills = models.BooleanField(default=False)

        class Meta:
            apps = Apps()
            app_label = "django_devtools"
            db_table = ENTRIES_TABLE

    return Row


def _column_from(values: Any) -> StashedColumn:
    """A column from the list that `to_json` has written."""
    kind, is_required, migration, becomes, newest, returns, dropped_backwards, *more = values
    # Earlier versions did not record these.
    field_type, stand_in = (*more, "", None)[:2] if len(more) < 2 else more
    return StashedColumn(
        ColumnInfo(kind, is_required),
        migration,
        _item_from(becomes),
        newest,
        Return(returns or Return.REPLACE),
        dropped_backwards,
        field_type,
        _item_from(stand_in),
    )


def _item_from(values: Any) -> Item | None:
    """A table or column from what JSON has made of it."""
    return (values[0], values[1]) if values else None


def _steps_from(text: str | None, columns: Mapping[str, StashedColumn]) -> tuple[Step, ...]:
    """The steps that `steps_to_json` has written; else those that dropped the columns."""
    if not text:  # A version that did not record them has written it.
        return tuple(dict.fromkeys(column.step for column in columns.values()))
    return tuple(Step((app, name), *rest) for app, name, *rest in json.loads(text))
