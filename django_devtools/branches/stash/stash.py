"""
The stash: what a switch drops, saved in the same database until it can be restored.

Each dropped table becomes one entry, and so do the dropped columns of each table that stays, and
each narrowed column. An entry is a table of its own, copied by the server, and a row in the
registry that describes it. It is complete before anything is dropped, and keeps what it has until
that is restored, or until newer values make it useless. It records all steps of the pass that
dropped it; ``returns.py`` tells from these when it comes back.
"""

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from django_devtools.branches.progress import Progress, database_option
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
from django_devtools.branches.schema.introspection import ColumnInfo, Tables
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.rows import delete_rows
from django_devtools.branches.sources.snapshots import Key

from .entries import (
    ENTRIES_TABLE,
    Entry,
    Return,
    StashedColumn,
    Status,
    Step,
    entries_model,
    entry_from_row,
    steps_to_json,
    to_json,
)
from .late_writes import LateWrites, Watched, watch
from .present_names import Names
from .returns import Applied, Stage
from .save import (
    drop_table,
    finish_residue,
    key_of,
    renewed,
    save_residue,
    with_present_facts,
)
from .stand_ins import is_unedited, note_edits, remember

logger = logging.getLogger("django_devtools.branches")


class Stash:
    """The stash of one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.tables = Tables(connection)
        self._model = entries_model()
        self._late = LateWrites()

    def exists(self) -> bool:
        """Whether anything is saved; asks the database once."""
        return ENTRIES_TABLE in self.tables.names

    def entries(self) -> list[Entry]:
        """The entries whose data may have been dropped, oldest first."""
        if not self.exists():
            return []
        self._alter_registry()
        found = [entry_from_row(row) for row in self._rows.order_by("id")]
        return [e for e in found if e.status not in (Status.COPYING, Status.COPIED, Status.DONE)]

    def save(
        self,
        losses: Iterable[DataLoss],
        branch: str | None,
        steps: Sequence[Step],
        progress: Progress,
        fills: bool = False,
        held: Collection[Entry] = (),
    ) -> list[Entry]:
        """
        Save what a pass is about to lose, unless ``held`` has it already. The new entries.

        ``steps`` are all of the pass, and ``fills`` says whether any of them writes rows.
        """
        lost = [loss for loss in losses if not _holds(held, loss)]
        if not lost:
            return []
        self.tables = Tables(self.connection)
        watched = watch(self.tables, lost)
        if not watched:
            return []
        self._late.add(watched, fills)
        at = timezone.now()
        # If DDL can't be rolled back, the status tells which entries are complete.
        with self._registry(), transaction.atomic(self.connection.alias):
            for one in watched:
                copy = one.copy
                row = self._rows.create(
                    status=Status.COPYING,
                    branch=branch or "",
                    table=copy.table,
                    is_table=copy.is_table,
                    columns=to_json(copy.columns),
                    key=json.dumps(copy.key),
                    rows=0,
                    at=at,
                    steps=steps_to_json(steps),
                    fills=fills,
                )
                entry = entry_from_row(row)
                size = self.tables.dialect.data_size(copy.table) if copy.is_table else None
                with progress.during(f"Saving {entry}", copy.table, size):
                    one.entry, one.rows = entry.id, copy.into(self.tables, entry.copy)
                self._update(entry, status=Status.COPIED, rows=one.rows)
        return [entry_from_row(row) for row in self._rows.filter(status=Status.COPIED)]

    def catch_up(self, step: Step | None = None) -> list[Entry]:
        """
        Save again what other connections have written to since, before ``step`` drops it.

        To be called in the transaction of each step, before anything else. The entries that have
        changed.
        """
        watched = self._late.before(step)
        if not watched:
            return []
        self.tables = Tables(self.connection)
        with transaction.atomic(self.connection.alias):  # migrations may have none
            return [self._save_again(one) for one in self._late.find(self.tables, watched)]

    def prepare(self, applied: Applied) -> None:
        """
        Bring the stash up to date with what was edited since, before a switch begins.

        ``applied`` is what is applied now.
        """
        self.clean()
        for entry in self.entries():
            if entry.status is Status.LEFT:
                continue
            if entry.is_narrowed:
                if entry.status is Status.KEPT:
                    self.forget_edited(entry)
            elif entry.status is Status.OPEN:
                self._prepare_open(entry, applied)
            elif entry.has_stand_in and entry.residue in self.tables.names:
                note_edits(self.tables, entry)
            elif entry.has_stand_in:  # Killed while it was written anew.
                self._rewrite(_giving_way(entry))

    def _prepare_open(self, entry: Entry, applied: Applied) -> None:
        """An earlier run was interrupted before it said that it dropped what is in an entry."""
        if not entry.key or not self._is_in_place(entry):
            self._update(entry, status=Status.KEPT)
        elif applied.stage(entry) is Stage.UNDONE:
            self.drop([entry])  # The first step of its pass failed: what is there counts.
        else:
            self._rewrite(renewed(self.tables, entry))

    def begin(self) -> None:
        """Record that dropping begins. To be called in the transaction of the first step."""
        if not self.exists():
            return
        kept = [entry for entry in self.entries() if entry.status is Status.KEPT]
        narrowed = models.Q(pk__in=[entry.id for entry in kept if entry.is_narrowed])
        self._rows.filter(narrowed | models.Q(status=Status.COPIED)).update(status=Status.OPEN)

    def narrow(self, entries: Iterable[Entry], step: Step) -> None:
        """
        Forget what was left in columns that ``step`` is about to narrow.

        Something was noted only if a run ended before this step, and its pass goes on. Values that
        were whole then would have what is left of them count as edited. To be called in the
        transaction of the step.
        """
        for entry in entries:
            is_next = step in entry.steps and step.key in entry.dropped_by
            if entry.is_narrowed and is_next and entry.residue in self.tables.names:
                drop_table(self.tables, entry.residue)

    def dropped(self, entries: Collection[Entry]) -> None:
        """Record that ``entries`` are dropped. To be called in the transaction that drops them."""
        if entries:
            numbers = [entry.id for entry in entries]
            self._rows.filter(pk__in=numbers, status=Status.OPEN).update(status=Status.KEPT)

    def follow(self, entries: Iterable[Entry], changes: SchemaChanges) -> list[Entry]:
        """``entries`` with the names that their tables and narrowed columns have now."""
        self.tables = Tables(self.connection)
        return [self._follow(entry, changes) for entry in entries]

    def end_pass(self, changes: SchemaChanges, taken: Collection[Entry]) -> None:
        """Drop those of the ``taken`` entries that only SQL might have dropped, and did not."""
        for entry in taken:
            self._late.remove(entry.id)
        self.tables = Tables(self.connection)
        if unsure := _unsure(changes):
            self.drop(entry for entry in taken if self._is_still_there(entry, unsure))

    def finish(self, interrupted: Key | None = None) -> None:
        """
        End a switch: nothing is dropped or restored any more.

        ``interrupted`` is a migration without a transaction that has failed on the way. What it
        has left of what it drops or narrows is not known.
        """
        if not self.exists():
            return
        self.tables = Tables(self.connection)
        opened = [entry for entry in self.entries() if entry.status is Status.OPEN]
        known = [entry for entry in opened if interrupted not in entry.dropped_by]
        with transaction.atomic(self.connection.alias):
            for entry in known:
                if entry.is_narrowed:
                    save_residue(self.tables, entry)
                if entry.is_narrowed or not self._is_in_place(entry):
                    self._update(entry, status=Status.KEPT)
        self.clean()

    def in_place(self, entry: Entry) -> set[str]:
        """The columns of an entry that exist as they were."""
        there = self._there(entry)
        return {name for name, info in entry.infos.items() if there.get(name) == info}

    def homeless(self, applied: Applied) -> list[Entry]:
        """What was due once, and was not there: what makes it restores it."""
        kept = [entry for entry in self.entries() if entry.status is Status.KEPT]
        undone = [entry for entry in kept if applied.stage(entry) is Stage.UNDONE]
        return [entry for entry in undone if not self.has_place(entry)]

    def has_place(self, entry: Entry, exactly: bool = False) -> bool:
        """
        Whether the table of an entry is there, or any of its columns; of a narrowed one, always.

        ``exactly``: whether a table has all columns as they were.
        """
        if entry.is_narrowed:
            return True
        self.tables = Tables(self.connection)
        if not entry.is_table:
            return any(self.tables.has_item(entry.table, column) for column in entry.columns)
        return self._is_in_place(entry) if exactly else entry.table in self.tables.names

    def forget_edited(self, entry: Entry) -> None:
        """
        Delete the values of a narrowed column that were edited since: the new ones count.

        A value that the column could not hold before it was narrowed does not count there.
        """
        if not entry.key or not self.can_tell(entry):
            return
        (table, column), copy = entry.narrowed, entry.residue
        q, key = self.tables.quote, key_of(self.tables, entry)
        is_same = self.tables.exists_sql(table, copy, key, [column])
        if not self.tables.has_rows(copy, f"NOT {is_same}"):
            return
        is_there = self.tables.same_rows_sql(table, copy, key)
        is_unfit = f"SELECT 1 FROM {q(table)} WHERE {is_there} AND {self._unfit(entry)}"
        counts = f"NOT ({is_same} OR EXISTS ({is_unfit}))"
        same = " AND ".join(f"{q(copy)}.{q(k)} = {q(entry.copy)}.{q(k)}" for k in entry.key)
        self.tables.execute(
            f"DELETE FROM {q(entry.copy)} "
            f"WHERE EXISTS (SELECT 1 FROM {q(copy)} WHERE {same} AND {counts})"
        )
        self.tables.execute(f"DELETE FROM {q(copy)} WHERE {counts}")

    def is_unedited(self, entry: Entry) -> bool:
        """Whether what stands in for columns of an entry is as it was noted, in all rows."""
        self.tables = Tables(self.connection)
        if not entry.is_narrowed:
            return is_unedited(self.tables, entry)
        if not (entry.has_stand_in and self.can_tell(entry)):
            return False
        table, column = entry.narrowed
        key = {saved: live for live, saved in key_of(self.tables, entry).items()}
        is_noted = self.tables.exists_sql(entry.residue, table, key, [column])
        return not self.tables.has_rows(table, f"NOT {is_noted}")

    def replace_unfit(self, entry: Entry) -> None:
        """Restore a narrowed column where it now has what it could not hold before."""
        if not entry.key or not self.can_tell(entry):
            return
        (table, column), (saved,) = entry.narrowed, entry.columns
        q, dialect, copy = self.tables.quote, self.tables.dialect, self.tables.quote(entry.copy)
        kind = self.tables.columns(table)[column].type
        values = {column: dialect.cast(f"{copy}.{q(saved)}", kind)}
        same = self.tables.same_rows_sql(table, entry.copy, key_of(self.tables, entry))
        self.tables.execute(dialect.update_from(q(table), values, copy, same, self._unfit(entry)))

    def _unfit(self, entry: Entry) -> str:
        """SQL for the values of a narrowed column that it could not hold before."""
        (table, column), (saved,) = entry.narrowed, entry.columns.values()
        unfit = self.tables.dialect.unfit(table, column, saved.info.type, saved.field_type)
        if not saved.info.is_required:
            return unfit
        name = f"{self.tables.quote(table)}.{self.tables.quote(column)}"
        return f"({name} IS NULL OR {unfit})"

    def has_values(self, entry: Entry) -> bool:
        """Whether there is anything in an entry but NULL. What got narrower may have lost that."""
        if entry.is_table or entry.is_narrowed:
            return entry.rows > 0
        values = " OR ".join(f"{self.tables.quote(name)} IS NOT NULL" for name in entry.columns)
        return self.tables.has_rows(entry.copy, values)

    def is_made(self, entry: Entry, changes: Collection[Item]) -> bool:
        """Whether the place of an entry, or of a column of it, is among ``changes`` and there."""
        columns = [(entry.table, name) for name in entry.columns]
        table: list[Item] = [] if entry.is_narrowed else [(entry.table, None)]
        items = table if entry.is_table else [*table, *columns]
        is_there = not self._there(entry).keys().isdisjoint(entry.columns)
        return is_there and not set(items).isdisjoint(changes)

    def is_outdone(self, entry: Entry) -> str:
        """The words that say that something newer has come back in an entry's place."""
        return (
            f"{entry}: still in the stash, because newer rows were restored. "
            f"To look at it: manage.py migrations_stash show {entry.id}"
            + database_option(self.connection)
        )

    def is_older_than(self, entry: Entry, keys: Iterable[Key]) -> str:
        """The words that say that code has not run over what was restored."""
        names = ", ".join(".".join(key) for key in keys)
        return (
            f"{entry}: restored as it was before {names}. The code of that was not run again, "
            "because other rows have its effect already."
        )

    def is_newer_than(self, entry: Entry, keys: Iterable[Key]) -> str:
        """The words that say that what code has done to what was restored was not undone."""
        names = ", ".join(".".join(key) for key in keys)
        return (
            f"{entry}: restored as {names} has left it. What the code of that did is not undone, "
            "because it has no reverse."
        )

    def stand_in(self, entry: Entry, names: Names | None) -> None:
        """
        Record that the place of an entry was made again: what is edited there from now on counts.

        ``names`` are the present ones, if there is such a place.
        """
        self.tables = Tables(self.connection)
        found = entry
        with transaction.atomic(self.connection.alias):
            if entry.is_narrowed:
                found = entry._replace(columns=_standing_in(entry))
            elif names:
                found = remember(self.tables, entry, names)
            self._rewrite(found if found.has_stand_in else _giving_way(found))

    def forget_stand_in(self, entry: Entry) -> None:
        """What stood in for columns of an entry was dropped, too, and nobody had edited it."""
        if entry.has_stand_in and not entry.is_narrowed:
            columns = {name: one._replace(stand_in=None) for name, one in entry.columns.items()}
            self._rewrite(entry._replace(columns=columns))

    def stays(self, entry: Entry, applied: Applied) -> str:
        """The words that say why an entry stays whose place was made again."""
        return (
            f"{entry}: still in the stash, because {applied.hindrance(entry)}. "
            f"To restore it: manage.py migrations_stash restore {entry.id}"
            + database_option(self.connection)
        )

    def can_tell(self, entry: Entry) -> bool:
        """Whether edits of a narrowed column can be found: it exists, and so does its residue."""
        table, column = entry.narrowed
        return (
            entry.residue in self.tables.names
            and table in self.tables.names
            and column in self.tables.columns(table)
            and bool(key_of(self.tables, entry))
        )

    def clean(self) -> None:
        """
        Drop what is of no use any more, and the registry if it is empty.

        These are entries, and tables that a kill has left while a residue was written.
        """
        if not self.exists():
            return
        useless = (Status.COPYING, Status.COPIED, Status.DONE)
        self.drop([entry_from_row(row) for row in self._rows.filter(status__in=useless)])
        self._finish_residues()
        if not self._rows.exists():
            with self.connection.schema_editor() as editor:
                editor.delete_model(self._model)
            self.tables.names.discard(ENTRIES_TABLE)

    def drop(self, entries: Iterable[Entry]) -> None:
        """Drop entries with all that is in them."""
        entries = list(entries)
        # What is killed on the way is known to be of no use.
        self._rows.filter(pk__in=[entry.id for entry in entries]).update(status=Status.DONE)
        for entry in entries:
            for name in (entry.next_residue, entry.residue, entry.copy):
                drop_table(self.tables, name)
            delete_rows(self._rows.filter(pk=entry.id))
            self._late.remove(entry.id)

    def _finish_residues(self) -> None:
        """Finish those that a kill has interrupted, and drop what else it has left of them."""
        found = {name for name in self.tables.names if _is_residue(name)}
        if not found:
            return
        entries = self.entries()
        for entry in entries:
            finish_residue(self.tables, entry)
        for name in found - {entry.residue for entry in entries if entry.has_residue}:
            drop_table(self.tables, name)

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

    def leave_out(self, entry: Entry, columns: Collection[str]) -> None:
        """Take ``columns`` out of an entry, because a newer one has them."""
        left = entry.columns.keys() - columns
        if not left:
            self.drop([entry])
        elif columns:
            self._late.remove(entry.id)
            self.reduce_to(entry, left)

    def reduce_to(self, entry: Entry, columns: Collection[str]) -> None:
        """Record that only ``columns`` are left, for a later step or switch to restore."""
        left = {name: column for name, column in entry.columns.items() if name in columns}
        self._rewrite(entry._replace(columns=left), is_table=False)

    def rename(self, entry: Entry, names: Names) -> Entry:
        """Record an entry under the names that its table and its columns have by now."""
        for copy in (entry.copy, entry.residue):
            self._rename_columns(copy, names.changed())
        columns = {names.columns[name]: column for name, column in entry.columns.items()}
        key = [names.columns[name] for name in entry.key]
        renamed = entry._replace(table=names.table, columns=columns, key=key)
        self._rewrite(renamed, key=json.dumps(key))
        return renamed

    @contextmanager
    def _registry(self) -> Iterator[None]:
        """Create the table with the entries, if there is none, in the transaction of its rows."""
        if self.exists():
            yield
            return
        with self.connection.schema_editor() as editor:
            editor.create_model(self._model)
            yield
        self.tables.names.add(ENTRIES_TABLE)

    def _save_again(self, watched: Watched) -> Entry:
        watched.mark = self.tables.dialect.write_mark(watched.copy.table)
        # What else is recorded of it may have changed since.
        entry = entry_from_row(self._rows.get(pk=watched.entry))
        watched.rows = watched.copy.again(self.tables, entry.copy)
        logger.debug("%s: written to meanwhile, and saved again", entry)
        entry = with_present_facts(self.tables, entry, watched.rows)
        self._rewrite(entry)
        return entry

    def _alter_registry(self) -> None:
        """Alter the table with the entries, if an earlier version of this package made it."""
        there = self.tables.columns(ENTRIES_TABLE)
        if "steps" in there:
            return
        with self.connection.schema_editor() as editor:
            editor.add_field(self._model, self._model._meta.get_field("steps"))
            for name in ("first", "last"):
                former = models.TextField()
                former.set_attributes_from_name(name)
                former.model = self._model
                editor.remove_field(self._model, former)

    @property
    def _rows(self) -> Any:
        return self._model._default_manager.using(self.connection.alias)

    def _update(self, entry: Entry, **values: Any) -> None:
        self._rows.filter(pk=entry.id).update(**values)

    def _rename_columns(self, copy: str, names: Mapping[str, str]) -> None:
        """Rename columns of a table of the stash, but for those that a killed run has renamed."""
        q = self.tables.quote
        there = self.tables.columns(copy) if copy in self.tables.names else {}
        for old, new in names.items():
            if old in there and old != new:
                self.tables.execute(f"ALTER TABLE {q(copy)} RENAME COLUMN {q(old)} TO {q(new)}")

    def _is_in_place(self, entry: Entry) -> bool:
        return self.in_place(entry) == entry.columns.keys()

    def _there(self, entry: Entry) -> Mapping[str, ColumnInfo]:
        """The columns of an entry's table; none if there is no such table."""
        return self.tables.columns(entry.table) if entry.table in self.tables.names else {}

    def _rewrite(self, entry: Entry, **values: Any) -> None:
        """Write what has changed of an entry."""
        columns = to_json(entry.columns)
        self._update(entry, rows=entry.rows, table=entry.table, columns=columns, **values)

    def _follow(self, entry: Entry, changes: SchemaChanges) -> Entry:
        if entry.is_table:
            return entry
        if entry.is_narrowed:
            entry = self._follow_narrowed(entry, changes)
        table, _ = changes.name_of((entry.table, None))
        if table != entry.table:
            entry = entry._replace(table=table)
            self._rewrite(entry)
        return entry

    def _follow_narrowed(self, entry: Entry, changes: SchemaChanges) -> Entry:
        becomes = changes.name_of(entry.narrowed)
        if becomes == entry.narrowed:
            return entry
        self._rename_columns(entry.residue, {entry.narrowed[1]: str(becomes[1])})
        columns = {
            name: column._replace(becomes=becomes) for name, column in entry.columns.items()
        }
        entry = entry._replace(columns=columns)
        self._rewrite(entry)
        return entry

    def _is_still_there(self, entry: Entry, unsure: Collection[Item]) -> bool:
        if entry.table not in self.tables.names:
            return False
        if entry.is_table:
            return (entry.table, None) in unsure
        # Another column may have taken its name.
        items = {(entry.table, column) for column in entry.columns}
        return items <= set(unsure) and self._is_in_place(entry)


def _unsure(changes: SchemaChanges) -> set[Item]:
    """What only SQL might have dropped, and nothing has made again for sure."""
    lost = [loss.item for loss in changes.lost if not loss.is_certain]
    return {item for item in lost if not changes.made.get(item)}


def _standing_in(entry: Entry) -> dict[str, StashedColumn]:
    """The narrowed column of an entry, for which the wider one stands in."""
    return {name: one._replace(stand_in=one.becomes) for name, one in entry.columns.items()}


def _giving_way(entry: Entry) -> Entry:
    """An entry whose place can't be told from edits, so that all of it counts."""
    columns = {
        name: column._replace(returns=Return.MISSING, stand_in=None)
        for name, column in entry.columns.items()
    }
    return entry._replace(columns=columns)


def _holds(entries: Iterable[Entry], loss: DataLoss) -> bool:
    return any(
        entry.table == loss.table and (entry.is_table or loss.column in entry.columns)
        for entry in entries
        if loss.column is not None or entry.is_table
    )


def _is_residue(table: str) -> bool:
    """Whether a table is a residue, or one that is made while a residue is written."""
    of_stash, _, rest = table.partition(f"{ENTRIES_TABLE}_")
    entry, _, what = rest.partition("_")
    return not of_stash and entry.isdecimal() and bool(what)
