"""
The stash: what a switch drops, saved in the same database until it can be restored.

Each dropped table becomes one entry, and so do the dropped columns of each table that stays. An
entry is a table of its own, copied by the server, and a row in the registry that describes it. It
is complete before anything is dropped, and only what has been restored is taken out of it.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
from django_devtools.branches.schema.introspection import ColumnInfo, Tables
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.snapshots import Key

from .entries import (
    ENTRIES_TABLE,
    Entry,
    Return,
    Status,
    entries_model,
    entry_from_row,
    to_json,
)
from .save import copies_of, key_of, narrow_again, renewed, save_residue


@dataclass
class Stash:
    """The stash of one database."""

    connection: BaseDatabaseWrapper
    tables: Tables = field(init=False)

    def __post_init__(self) -> None:
        self.tables = Tables(self.connection)
        self._model = entries_model()

    def exists(self) -> bool:
        """Whether anything was ever saved; asks the database once."""
        return ENTRIES_TABLE in self.tables.names

    def entries(self) -> list[Entry]:
        """All complete entries, oldest first."""
        if not self.exists():
            return []
        found = [entry_from_row(row) for row in self._rows.order_by("id")]
        return [e for e in found if e.status not in (Status.COPYING, Status.COPIED, Status.DONE)]

    def save(
        self,
        losses: Iterable[DataLoss],
        rows: Collection[Key],
        branch: str | None,
        steps: list[str],
        progress: Progress,
        fills: bool = False,
    ) -> list[Entry]:
        """
        Save what is about to be lost, unless an interrupted switch has done so. The new entries.

        ``rows`` are those of django_migrations. ``steps`` are what the switch runs, and ``fills``
        says whether any of them writes rows.
        """
        held = [entry for entry in self.entries() if _is_under_way(entry, rows)]
        copies = copies_of(self.tables, (loss for loss in losses if not _holds(held, loss)))
        if not copies:
            return []
        if not self.exists():
            with self.connection.schema_editor() as editor:
                editor.create_model(self._model)
            self.tables.names.add(ENTRIES_TABLE)
        # If DDL can't be rolled back, the status tells which entries are complete.
        with transaction.atomic(self.connection.alias):
            for copy in copies:
                row = self._rows.create(
                    status=Status.COPYING,
                    branch=branch or "",
                    table=copy.table,
                    is_table=copy.is_table,
                    columns=to_json(copy.columns),
                    key=json.dumps(copy.key),
                    rows=0,
                    at=timezone.now(),
                    first=steps[0],
                    last=steps[-1],
                    fills=fills,
                )
                entry = entry_from_row(row)
                progress.line(f"  Saving {entry}...")
                count = copy.into(self.tables, entry.copy)
                self._update(entry, status=Status.COPIED, rows=count)
        return self._complete(Status.COPIED)

    def open(
        self, changes: SchemaChanges, rows: Collection[Key], steps: list[str], is_all: bool = True
    ) -> None:
        """
        Record what a switch that is about to begin will restore.

        A second run needs to know that if the first one is interrupted. If ``steps`` are not all
        that is out of step (``is_all``), they may be unrelated to a switch that was interrupted.
        """
        entries = self.entries()
        due = [self._due(entry, changes, rows) for entry in entries]
        # Newest first: a column that was narrowed twice is widened in this order.
        for known, entry in reversed(list(zip(entries, due, strict=True))):
            if entry.is_midway(rows) and not (is_all or entry.is_ended_by(steps)):
                continue
            if _is_under_way(known, rows):
                is_held = entry.key and not known.coming and self._is_in_place(entry)
                self._expect(renewed(self.tables, entry) if is_held else entry)
                continue
            if entry.status is Status.OPEN:
                if not (entry.has_begun(rows) or known.coming) and self._is_unharmed(entry):
                    self.drop([entry])  # The step that was to drop it failed before it did.
                    continue
                self.close(entry)
            if entry.coming and self.forget_changed(entry, due):
                self._expect(entry, status=Status.OPEN, first=steps[0], last=steps[-1])
        # What one switch drops and makes again is restored at its end.
        for entry in self._complete(Status.COPIED):
            self._expect(self._due(entry, changes, rows))

    def expected(self, changes: SchemaChanges, rows: Collection[Key]) -> list[Entry]:
        """The entries that a switch would restore."""
        due = [self._due(entry, changes, rows) for entry in self.entries()]
        return [entry for entry in due if entry.coming]

    def overdue(self) -> list[Entry]:
        """The entries whose columns exist again although no switch of ours made them."""
        return [
            entry
            for entry in self.entries()
            if entry.status is not Status.LEFT and self._is_in_place(entry)
        ]

    def in_place(self, entry: Entry) -> set[str]:
        """The columns of an entry that exist as they were."""
        there = self._there(entry)
        return {name for name, info in entry.infos.items() if there.get(name) == info}

    def forget_changed(self, entry: Entry, due: Iterable[Entry] = ()) -> bool:
        """
        Delete the values of a narrowed column that were edited since: there, the new one counts.

        ``due`` are the entries that are restored together with it: a value that one of them has
        narrowed further was not edited. False if edits can't be found.
        """
        if not entry.is_narrowed or not entry.key:
            return True  # Without a key it is not restored, and the output says so.
        if not self.can_tell(entry):
            return False
        (table, column), copy = entry.narrowed, entry.residue
        for newer in due:
            is_next = (newer.table, *newer.columns) == (table, column) and newer.is_narrowed
            if is_next and newer.coming and newer.id > entry.id:
                narrow_again(self.tables, entry, newer)
        q, key = self.tables.quote, key_of(self.tables, entry)
        is_there = self.tables.exists_sql(table, copy, key, [column])
        same = " AND ".join(f"{q(copy)}.{q(k)} = {q(entry.copy)}.{q(k)}" for k in entry.key)
        self.tables.execute(
            f"DELETE FROM {q(entry.copy)} "
            f"WHERE EXISTS (SELECT 1 FROM {q(copy)} WHERE {same} AND NOT {is_there})"
        )
        self.tables.execute(f"DELETE FROM {q(copy)} WHERE NOT {is_there}")
        return True

    def can_tell(self, entry: Entry) -> bool:
        """Whether edits of a narrowed column can be found: it exists, and so does its residue."""
        table, column = entry.narrowed
        return (
            entry.residue in self.tables.names
            and table in self.tables.names
            and column in self.tables.columns(table)
            and bool(key_of(self.tables, entry))
        )

    def begin(self) -> None:
        """Record that dropping begins. To be called in the transaction of the first step."""
        if self.exists():
            self._rows.filter(status=Status.COPIED).update(status=Status.OPEN)

    def returning(self) -> list[Entry]:
        """The entries to restore at the end of the switch that is under way."""
        return [e for e in self.entries() if e.status is Status.OPEN and e.coming]

    def finish(
        self, changes: SchemaChanges | None = None, rows: Collection[Key] | None = None
    ) -> None:
        """
        End a switch: close the entries that were saved, drop those that were restored.

        Also drop the entries of what only SQL might have dropped, and did not. With ``rows`` (of
        django_migrations), entries that another switch has left midway stay as they are.
        """
        if not self.exists():
            return
        self.tables = Tables(self.connection)
        unsure = (
            {
                item
                for loss in changes.lost
                if not loss.is_certain and not changes.made.get(item := loss.item)
            }
            if changes
            else set()
        )
        entries = self.entries()
        if changes:
            entries = [self._follow(entry, changes) for entry in entries]
        for entry in entries:
            is_midway = rows is not None and entry.is_midway(rows)
            if entry.status is Status.OPEN and not is_midway:
                self.close(entry)
                if unsure and self._is_still_there(entry, unsure):
                    self.drop([entry])
        self.clean()

    def close(self, entry: Entry) -> None:
        """End what a switch had to do with an entry: it stays in the stash."""
        if entry.is_narrowed:
            save_residue(self.tables, entry)
        self._expect(entry.due({}), status=Status.KEPT, first="", last="")

    def clean(self) -> None:
        """Drop the entries that are of no use any more, and the registry if it is empty."""
        if not self.exists():
            return
        useless = (Status.COPYING, Status.COPIED, Status.DONE)
        self.drop([entry_from_row(row) for row in self._rows.filter(status__in=useless)])
        if not self._rows.exists():
            with self.connection.schema_editor() as editor:
                editor.delete_model(self._model)
            self.tables.names.discard(ENTRIES_TABLE)

    def drop(self, entries: Iterable[Entry]) -> None:
        """Drop entries with all that is in them."""
        for entry in entries:
            for name in (entry.residue, entry.copy):
                self.tables.execute(f"DROP TABLE IF EXISTS {self.tables.quote(name)}")
            self._rows.filter(pk=entry.id).delete()

    def rows(self, entry: Entry, most: int) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names of an entry's columns, and at most ``most`` of its rows."""
        q, names = self.tables.quote, list(dict.fromkeys([*entry.key, *entry.columns]))
        columns = ", ".join(map(q, names))
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns} FROM {q(entry.copy)} LIMIT {int(most)}", [])
            return names, list(cursor.fetchall())

    def done(self, entry: Entry) -> None:
        """Record that all of an entry was restored."""
        self._update(entry, status=Status.DONE)

    def left(self, entry: Entry, rows: int, reason: str) -> None:
        """Record how many rows of an entry could not be restored, and why."""
        self._update(entry, status=Status.LEFT, rows=rows, reason=reason)

    def reduce_to(self, entry: Entry, columns: Collection[str]) -> None:
        """Record that only ``columns`` are left, for another switch to restore."""
        left = {name: column for name, column in entry.columns.items() if name in columns}
        self._expect(replace(entry, columns=left).due({}), is_table=False)

    @property
    def _rows(self) -> Any:
        return self._model._default_manager.using(self.connection.alias)

    def _complete(self, status: Status) -> list[Entry]:
        return (
            [entry_from_row(row) for row in self._rows.filter(status=status)]
            if self.exists()
            else []
        )

    def _update(self, entry: Entry, **values: Any) -> None:
        self._rows.filter(pk=entry.id).update(**values)

    def _is_in_place(self, entry: Entry) -> bool:
        return self.in_place(entry) == entry.columns.keys()

    def _is_unharmed(self, entry: Entry) -> bool:
        """Whether all that is in an entry is still where it was copied from."""
        if not entry.key or not self._is_in_place(entry):
            return False
        is_there = self.tables.exists_sql(entry.table, entry.copy, entry.key, entry.columns)
        return not self.tables.has_rows(entry.copy, f"NOT {is_there}")

    def _there(self, entry: Entry) -> Mapping[str, ColumnInfo]:
        """The columns of an entry's table; none if there is no such table."""
        return self.tables.columns(entry.table) if entry.table in self.tables.names else {}

    def _due(self, entry: Entry, changes: SchemaChanges, rows: Collection[Key]) -> Entry:
        """``entry`` with the columns that a switch restores, and how it does that."""
        if entry.status is Status.LEFT:
            return entry.due({})
        made = _made(entry, changes)
        made = {
            name: how for name, how in made.items() if _is_same_thing(entry, name, changes, rows)
        }
        if made:
            return entry.due(made)
        lost = {loss.item for loss in changes.lost}
        is_lost = (entry.table, None) in lost or lost.issuperset(
            (entry.table, name) for name in entry.columns
        )
        if not entry.is_midway(rows) or is_lost or _is_narrower(entry, rows):
            return entry.due({})
        if not entry.coming and self._is_in_place(entry):
            # Data migrations may overwrite it when they run again.
            return entry.due(dict.fromkeys(entry.columns, Return.REPLACE))
        return entry

    def _expect(self, entry: Entry, **values: Any) -> None:
        """Record how an entry is restored."""
        self._update(entry, rows=entry.rows, columns=to_json(entry.columns), **values)

    def _follow(self, entry: Entry, changes: SchemaChanges) -> Entry:
        """``entry`` with the name that its column, if it is a narrowed one, has after a switch."""
        if not entry.is_narrowed or entry.residue not in self.tables.names:
            return entry
        becomes = changes.name_of(entry.narrowed)
        if becomes == entry.narrowed:
            return entry
        old, new = self.tables.quote(entry.narrowed[1]), self.tables.quote(str(becomes[1]))
        if old != new:
            copy = self.tables.quote(entry.residue)
            self.tables.execute(f"ALTER TABLE {copy} RENAME COLUMN {old} TO {new}")
        columns = {
            name: column._replace(becomes=becomes) for name, column in entry.columns.items()
        }
        entry = replace(entry, columns=columns)
        self._expect(entry)
        return entry

    def _is_still_there(self, entry: Entry, unsure: Collection[Item]) -> bool:
        if entry.table not in self.tables.names:
            return False
        if entry.is_table:
            return (entry.table, None) in unsure
        # Another column may have taken its name.
        items = {(entry.table, column) for column in entry.columns}
        return items <= set(unsure) and self._is_in_place(entry)


def _is_under_way(entry: Entry, rows: Collection[Key]) -> bool:
    """
    Whether a switch was interrupted after it began with what is in this entry.

    If a narrowed column was to be restored, and is as narrow as before, it has not begun with it.
    """
    return entry.is_midway(rows) and not (entry.coming and _is_narrower(entry, rows))


def _is_narrower(entry: Entry, rows: Collection[Key]) -> bool:
    """Whether its column is narrow now. The migration tells; on SQLite, the type doesn't."""
    applied = set(map(".".join, rows))
    return entry.is_narrowed and all(
        (column.migration in applied) is not column.dropped_backwards
        for column in entry.columns.values()
    )


def _is_same_thing(entry: Entry, name: str, changes: SchemaChanges, rows: Collection[Key]) -> bool:
    """
    Whether a column that is made or widened is the one that was saved.

    If one direction drops a thing and makes another one under its name, the migrations decide what
    is in the new one; except for what they had made themselves when they were unapplied, and for
    what the way backwards changed. What is dropped backwards and made forwards is the same again.
    """
    column = entry.columns[name]
    items = {(entry.table, None), (entry.table, name)}
    lost = items & {loss.item for loss in changes.lost}
    is_made_forth = changes.forwards is not None and name in _made(entry, changes.forwards)
    is_replaced = is_made_forth and bool(lost - changes.lost_backwards)
    is_its_own = (
        column.migration in changes.applied if entry.is_narrowed else column.dropped_backwards
    )
    is_midway = _is_under_way(entry, rows)
    if entry.status is Status.COPIED or (is_midway and lost):
        return is_made_forth and not is_replaced
    if is_midway:
        return is_made_forth is column.dropped_backwards
    return not is_replaced or is_its_own or not items.isdisjoint(changes.altered_backwards)


def _made(entry: Entry, changes: SchemaChanges) -> dict[str, Return]:
    """The columns of an entry that a switch makes or widens, and how it restores them."""
    how = {True: Return.REPLACE, False: Return.MISSING}
    if entry.is_narrowed:
        altered = [name for name in entry.columns if (entry.table, name) in changes.altered]
        return dict.fromkeys(altered, Return.REPLACE)
    if (entry.table, None) in changes.made:
        return dict.fromkeys(entry.columns, how[changes.made[entry.table, None]])
    if entry.is_table:
        return {}
    items = {name: (entry.table, name) for name in entry.columns}
    return {name: how[changes.made[item]] for name, item in items.items() if item in changes.made}


def _holds(entries: Iterable[Entry], loss: DataLoss) -> bool:
    return any(
        entry.table == loss.table and (entry.is_table or loss.column in entry.columns)
        for entry in entries
        if loss.column is not None or entry.is_table
    )
