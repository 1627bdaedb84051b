"""Restores one entry of the stash."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from typing import Any

from django.db import DatabaseError, ProgrammingError, transaction

from django_devtools.branches.schema.introspection import ColumnInfo, Parent
from django_devtools.branches.schema.structure import Item
from django_devtools.conf import TABLE_PREFIX

from .entries import Entry, Return
from .stand_ins import unedited_sql
from .stash import Stash

logger = logging.getLogger("django_devtools.branches")

# More of them would say nothing new.
MOST_REFUSED = 200
THERE = "other rows are there with their keys"
UNTOLD = "their rows can't be told apart any more"

Statement = Callable[["Sequence[EntryRestore]", str], tuple[str, list[Any]]]
"""SQL and its parameters, given the other entries of the rows, and SQL for which rows."""


class EntryRestore:
    """One entry that is being restored."""

    def __init__(
        self, stash: Stash, entry: Entry, columns: list[str], nullable: Collection[str] = ()
    ) -> None:
        """``nullable`` are the foreign keys that get NULL if what they refer to is gone."""
        self.nullable = [column for column in columns if column in nullable]
        self.nulled: Counter[str] = Counter()
        """How many rows got NULL in such a column."""
        self.tables = stash.tables
        self.connection = stash.connection
        self.entry = entry
        self.columns = columns
        self.rows_restored = 0
        self.refused: Counter[str] = Counter()
        self.table = stash.tables.quote(entry.table)
        self.copy = stash.tables.quote(entry.copy)

    @cached_property
    def there(self) -> Mapping[str, ColumnInfo]:
        """The columns of the table as it is now."""
        return self.tables.columns(self.entry.table)

    @cached_property
    def copied(self) -> Mapping[str, ColumnInfo]:
        """The columns of the copy, where some are texts."""
        return self.tables.columns(self.entry.copy)

    @cached_property
    def parents(self) -> Mapping[str, Parent]:
        """What each foreign key of the table refers to."""
        return self.tables.parents(self.entry.table)

    @property
    def overrides(self) -> bool:
        """Whether restored values replace those that are there."""
        return all(map(self._overrides, self.columns))

    def is_empty(self) -> bool:
        return not self.tables.has_rows(self.entry.table)

    def rows_identifiable(self, made: Collection[Item]) -> bool:
        """Whether its rows are identified by their key; ``made`` is what was made again."""
        key = set(self.entry.key)
        is_new = any((self.entry.table, column) in made for column in key)
        if not self.entry.is_narrowed:
            is_new |= bool(key & self.entry.columns.keys())
        return bool(key) and not is_new and self.there.keys() >= key

    def insert(
        self,
        defaults: Mapping[str, tuple[str, Sequence[Any]]],
        others: "Sequence[EntryRestore]" = (),
    ) -> None:
        """
        Insert the rows into the table.

        ``defaults`` are SQL and parameters for columns that are not in the copy. ``others`` have
        more columns of these rows, which are restored along if the rows are rejected without.
        """
        is_free = "1 = 1"
        if not self.is_empty():
            if not self.entry.key:
                self.refused[THERE] += self.entry.rows
                return
            is_free = (
                f"NOT {self.tables.exists_sql(self.entry.table, self.entry.copy, self.entry.key)}"
            )
        dialect = self.tables.dialect
        values = {column: self._value(column) for column in self.columns}
        for column, (sql, _) in defaults.items():
            values[column] = dialect.with_type(sql, self.there[column].type)
        params = [param for _, found in defaults.values() for param in found]

        def statement(others: Sequence[EntryRestore], part: str) -> tuple[str, list[Any]]:
            found = self._beside(others, values)
            names = ", ".join(map(self.tables.quote, found))
            return (
                f"INSERT INTO {self.table} ({names}) {dialect.overriding}"
                f"SELECT {', '.join(found.values())} FROM {self._joined(others)} "
                f"WHERE {is_free} AND {part}"
            ), params

        with dialect.explicit_keys():
            self._try(statement, others)

    def update(self, made: Collection[Item], others: "Sequence[EntryRestore]" = ()) -> None:
        """
        Set the columns of the rows that are still there; ``made`` is what was made again.

        ``others`` have more columns of these rows, and are restored along as by ``insert``.
        """
        if not self.rows_identifiable(made):
            self.refused[UNTOLD] += self.entry.rows
            return
        self._null_orphans(self.entry.copy, self.entry.table)
        orphaned = self._orphaned()
        plain = [column for column in self.columns if column not in orphaned]
        certain = [column for column in plain if self._overrides(column) and self._is_same(column)]
        # One by one: each is set only in rows without a value, or its conversion may fail.
        single = [column for column in plain if column not in certain]
        if certain:
            self._update(certain, others)
        for column in single:
            self._update([column])
        for column, parent in orphaned.items():
            there = self._has_parent(self.entry.copy, column, parent)
            self._try(partial(self._set_if, [column], there))
            self.refused[f"what they refer to in {parent.table} is gone"] += 1
        is_one_statement = not orphaned and len(single) + bool(certain) == 1
        if not is_one_statement or self._tells_cells():
            self.rows_restored = -1  # to be counted

    def _orphaned(self) -> dict[str, Parent]:
        """The foreign keys of which some rows in the stash have lost what they refer to."""
        return {
            column: parent
            for column, parent in self.parents.items()
            if column in self.columns
            and column not in self.nullable
            and self._has_orphans(self.entry.copy, column, parent)
        }

    def _update(self, columns: list[str], others: "Sequence[EntryRestore]" = ()) -> None:
        self._try(partial(self._set_if, columns, "1 = 1"), others, self._clearing(columns))

    def take_out(self) -> int:
        """Delete what was restored from the copy. How many rows are left."""
        if not self.entry.key or UNTOLD in self.refused:
            return self.entry.rows
        is_told = self.overrides and not self.refused
        if is_told and self._knows_edits() and not self.entry.is_table:
            # Its rows may have been deleted; those that are missing here lost their key.
            restored = self._unedited(self.entry.copy, self.columns)
        else:
            columns = [] if is_told and not self._knows_edits() else self.columns
            restored = self.tables.exists_sql(
                self.entry.table, self.entry.copy, self.entry.key, columns
            )
        left = f"NOT {restored}"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self.copy} WHERE {left}", [])
            count = int(cursor.fetchone()[0])
        if count:
            self.tables.execute(f"DELETE FROM {self.copy} WHERE NOT {left}")
        return count

    def has_left(self, there: bool) -> bool:
        """Whether the copy has rows that are, or are not, in the table, too."""
        is_there = self.tables.exists_sql(self.entry.table, self.entry.copy, self.entry.key)
        return self.tables.has_rows(self.entry.copy, is_there if there else f"NOT {is_there}")

    def move_newcomers(self, children: list[tuple[str, str, str]]) -> None:
        """Give new keys to rows that belong to newer parents, if the stash has their keys."""
        if len(self.entry.key) != 1 or not (newcomers := self._newcomers()):
            return
        column = self.entry.key[0]
        if not self.there[column].is_integer or column in self.parents:
            return
        key = self.tables.quote(column)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT MAX({key}) FROM (SELECT {key} FROM {self.copy} "
                f"UNION ALL SELECT {key} FROM {self.table}) both_",
                [],
            )
            (highest,) = cursor.fetchone()
        known, unedited = self._is_saved(), self._unedited(self.entry.table, self.columns)
        self.tables.execute(
            f"UPDATE {self.table} SET {key} = {key} + {int(highest)} WHERE {known} "
            f"AND ({newcomers}) AND {unedited} AND NOT {self._referred(children)}"
        )

    def delete_known(self) -> None:
        """Delete the rows that are in the stash."""
        known = f"{self._is_saved()} AND {self._unedited(self.entry.table, self.columns)}"
        self.tables.execute(f"DELETE FROM {self.table} WHERE {known}")

    def delete_unknown(self, children: list[tuple[str, str, str]]) -> int:
        """Delete the rows that are not in the stash, unless they are needed. How many."""
        newcomers = self._newcomers() or "1 = 0"
        unedited = self._unedited(self.entry.table, self.columns)
        return self.tables.execute(
            f"DELETE FROM {self.table} WHERE NOT ({newcomers}) "
            f"AND {unedited} AND NOT {self._referred(children)}"
        )

    def delete_orphans(self) -> int:
        """
        Delete the restored rows whose parent is gone. How many.

        Those that are to have NULL instead get it, also in the copy, and are not deleted.
        """
        count = 0
        if self.entry.key and self._null_orphans(self.entry.table, self.entry.copy):
            self._null_orphans(self.entry.copy, self.entry.table)
        for column, parent in self.parents.items():
            if not self.entry.key or column in self.nullable:
                continue
            if not self._has_orphans(self.entry.table, column, parent):
                continue
            ours = self._is_saved()
            found = self.tables.execute(
                f"DELETE FROM {self.table} "
                f"WHERE NOT {self._has_parent(self.entry.table, column, parent)}"
                f" AND {ours}"
            )
            if found:
                self.refused[f"what they refer to in {parent.table} is gone"] += found
            count += found
        self.rows_restored -= count
        return count

    def _null_orphans(self, table: str, beside: str) -> int:
        """Set NULL in rows of ``table`` that ``beside`` has, too, and whose parent is gone."""
        nulled: Counter[str] = Counter()
        q = self.tables.quote
        for column in self.nullable:
            parent = self.parents.get(column)
            if parent is not None and self._has_orphans(table, column, parent):
                nulled[column] += self.tables.execute(
                    f"UPDATE {q(table)} SET {q(column)} = NULL "
                    f"WHERE NOT {self._has_parent(table, column, parent)} "
                    f"AND {self.tables.exists_sql(beside, table, self.entry.key)}"
                )
        if table == self.entry.table or not self.entry.is_table:
            self.nulled += nulled
        return nulled.total()

    def _try(
        self,
        statement: Statement,
        others: "Sequence[EntryRestore]" = (),
        clearing: str | None = None,
    ) -> None:
        """Run a statement; if it fails, after ``clearing``, with ``others``, or by halves."""
        along = ((), others) if others else ((),)
        for some, first in product(along, (None, clearing) if clearing else (None,)):
            try:
                with transaction.atomic(self.connection.alias):
                    if first:
                        self.tables.execute(first)
                    self.rows_restored = self.tables.execute(*statement(some, "1 = 1"))
                return
            except DatabaseError as error:
                if self.tables.dialect.error_is_transient(error):
                    raise
                # The statement is no valid SQL here, or there is no key to bisect by.
                if isinstance(error, ProgrammingError) or not self.entry.key:
                    self.refused[text_of(error)] += self.entry.rows
                    return
        self.rows_restored = self._by_halves(statement, others)

    def _clearing(self, columns: list[str]) -> str | None:
        """SQL that empties columns first, so that unique values can change places."""
        if self.entry.is_narrowed or not self._overrides(columns[0]):
            return None
        q = self.tables.quote
        empty = {
            column: "NULL" if not self.there[column].is_required else self._beyond(column)
            for column in columns
            if not self.there[column].is_required or self._is_number(column)
        }
        cleared = {q(column): self._unless_edited(column, sql) for column, sql in empty.items()}
        if not cleared:
            return None
        pairs = ", ".join(f"{column} = {value}" for column, value in cleared.items())
        return f"UPDATE {self.table} SET {pairs} WHERE {self._is_saved()}"

    def _is_number(self, column: str) -> bool:
        """Whether the values of a column are integers, and no keys of other rows."""
        infos = (self.there[column], self.entry.columns[column].info)
        return column not in self.parents and all(info.is_integer for info in infos)

    def _beyond(self, column: str) -> str:
        """SQL for the value of a column, moved beyond all present and all restored ones."""
        name = self.tables.quote(column)
        return (
            f"{name} + (SELECT MAX({name}) - MIN({name}) + 1 FROM (SELECT {name} FROM {self.copy} "
            f"UNION ALL SELECT {name} FROM {self.table}) both_)"
        )

    def _by_halves(self, statement: Statement, others: "Sequence[EntryRestore]") -> int:
        """Bisect the rows of a statement that was rejected. How many were restored."""
        q, dialect, key = self.tables.quote, self.tables.dialect, self.entry.key
        keys = ", ".join(map(q, key))
        ours = ", ".join(f"{self.copy}.{q(column)}" for column in key)
        numbers = f"{TABLE_PREFIX}numbers"
        beside = [other.entry.copy for other in others]
        dialect.number_rows(numbers, self.entry.copy, key, beside)
        done, refused = 0, 0
        parts = [(1, self.tables.count(self.entry.copy))]
        while parts and refused < MOST_REFUSED:
            low, high = parts.pop()
            part = (
                f"({ours}) IN "
                f"(SELECT {keys} FROM {q(numbers)} WHERE number_ BETWEEN {low} AND {high})"
            )
            try:
                with transaction.atomic(self.connection.alias):
                    done += self.tables.execute(*statement(others, part))
            except DatabaseError as error:
                if self.tables.dialect.error_is_transient(error):
                    raise
                if low >= high:
                    refused += 1
                    self.refused[text_of(error)] += 1
                else:
                    middle = (low + high) // 2
                    parts += [(middle + 1, high), (low, middle)]
        dialect.drop_temporary(numbers)
        return done

    def _set_if(
        self, columns: list[str], condition: str, others: "Sequence[EntryRestore]", part: str
    ) -> tuple[str, list[Any]]:
        return self._set(columns, f"{condition} AND {part}", others), []

    def _set(self, columns: list[str], condition: str, others: "Sequence[EntryRestore]") -> str:
        q = self.tables.quote
        condition += f" AND {self._unedited(self.entry.copy, [])}"
        if not self._overrides(columns[0]):
            condition += "".join(f" AND {self.table}.{q(c)} IS NULL" for c in columns)
        elif self.tables.dialect.rewrites_unchanged_rows:
            condition += f" AND NOT ({' AND '.join(map(self._equal, columns))})"
        same, copies = self._same_key, self._joined(others)
        now = {c: f"{self.table}.{q(c)}" for other in others for c in other.columns}
        found = self._beside(others, now)
        found |= {c: self._unless_edited(c, self._value(c)) for c in columns}
        return self.tables.dialect.update_from(self.table, found, copies, same, condition)

    def _joined(self, others: "Sequence[EntryRestore]") -> str:
        """SQL for the copy, joined with the copies of ``others``."""
        return self.copy + "".join(
            f" LEFT JOIN {other.copy} ON {self._key_of(other.entry.copy)}" for other in others
        )

    def _beside(
        self, others: "Sequence[EntryRestore]", values: Mapping[str, str]
    ) -> dict[str, str]:
        """``values`` by columns, with those of ``others`` in the rows that they have."""
        found = dict(values)
        for other in others:
            has_row = f"{other.copy}.{self.tables.quote(self.entry.key[0])} IS NOT NULL"
            for column in other.columns:
                takes, without = has_row, found.get(column)
                # If the column can hold nothing else, the row is deleted with its parent.
                if column in other.parents and (without or not self.there[column].is_required):
                    parent = other.parents[column]
                    takes += f" AND {self._has_parent(other.entry.copy, column, parent)}"
                value = other._value(column)
                found[column] = f"CASE WHEN {takes} THEN {value} ELSE {without or 'NULL'} END"
        return found

    def _value(self, column: str) -> str:
        value = f"{self.copy}.{self.tables.quote(column)}"
        now = self.there[column].type
        return value if now == self.copied[column].type else self.tables.dialect.cast(value, now)

    @cached_property
    def _same_key(self) -> str:
        return self._key_of(self.entry.table)

    def _key_of(self, table: str) -> str:
        """SQL for the rows of ``table`` that have the same keys as the copy."""
        return self.tables.same_rows_sql(
            table, self.entry.copy, {name: name for name in self.entry.key}
        )

    def _overrides(self, column: str) -> bool:
        return self.entry.columns[column].returns is Return.REPLACE

    def _knows_edits(self) -> bool:
        return self.entry.has_residue and self.entry.residue in self.tables.names

    def _tells_cells(self) -> bool:
        """Whether it is known of each column which of its values were edited."""
        return self._knows_edits() and not self.entry.is_narrowed

    def _is_same(self, column: str) -> bool:
        return self.there[column].type == self.entry.columns[column].info.type

    def _is_saved(self) -> str:
        """SQL for the rows of the table that are in the stash, too."""
        return self.tables.exists_sql(self.entry.copy, self.entry.table, self.entry.key)

    def _unless_edited(self, column: str, value: str) -> str:
        """SQL for ``value``, or for what is in a column now where that was edited."""
        if not self._tells_cells():
            return value
        is_unedited = self._unedited(self.entry.table, [column])
        now = f"{self.table}.{self.tables.quote(column)}"
        return f"CASE WHEN {is_unedited} THEN {value} ELSE {now} END"

    def _unedited(self, table: str, columns: Collection[str]) -> str:
        """
        SQL for the rows of ``table`` without edits in ``columns``, since they stand in for others.

        Rows that came since are edits, too. If nothing is known of edits, there are none.
        """
        if not self._knows_edits():
            return "1 = 1"
        if self._tells_cells():
            return unedited_sql(self.tables, self.entry, table, columns)
        return self.tables.exists_sql(self.entry.residue, table, self.entry.key)

    def _equal(self, column: str) -> str:
        name = self.tables.quote(column)
        return self.tables.dialect.same_values(f"{self.table}.{name}", f"{self.copy}.{name}")

    def _newcomers(self) -> str:
        """SQL for the rows that refer to parents newer than the stash, as far as that is known."""
        q = self.tables.quote
        return " OR ".join(
            f"({self.table}.{q(c)} IS NOT NULL AND {self.table}.{q(c)} > {newest})"
            if (newest := self.entry.columns[c].newest) is not None
            else f"({self.table}.{q(c)} IS NOT NULL "
            f"AND NOT {self.tables.exists_sql(self.entry.copy, self.entry.table, [c])})"
            for c in self.parents
            if c in self.columns
        )

    def _referred(self, children: list[tuple[str, str, str]]) -> str:
        """SQL for the rows that others refer to."""
        q = self.tables.quote
        conditions = [
            f"EXISTS (SELECT 1 FROM {q(child)} "
            f"WHERE {q(child)}.{q(column)} = {self.table}.{q(target)})"
            for child, column, target in children
            if child != self.entry.table
        ]
        return f"({' OR '.join(conditions) or '1 = 0'})"

    def _has_orphans(self, table: str, column: str, parent: Parent) -> bool:
        with self.connection.cursor() as cursor:
            there = self._has_parent(table, column, parent)
            cursor.execute(
                f"SELECT 1 FROM {self.tables.quote(table)} WHERE NOT {there} LIMIT 1", []
            )
            return cursor.fetchone() is not None

    def _has_parent(self, table: str, column: str, parent: Parent) -> str:
        q = self.tables.quote
        rows, alias = q(parent.table), ""
        # No alias for any other table: MariaDB 10.11.19 keeps tables open, and rejects RENAME
        # COLUMN for a column in a CHECK if it opened the table under another name.
        if parent.table == table:
            alias = "parent_"
            rows = f"{self.tables.dialect.readable_in_delete(table, parent.column)} AS {alias}"
        same = self.tables.same_rows_sql(parent.table, table, {parent.column: column}, alias)
        return f"({q(table)}.{q(column)} IS NULL OR EXISTS (SELECT 1 FROM {rows} WHERE {same}))"


def restore_columns(
    stash: Stash, entries: Iterable[Entry], table: str, column: str | None
) -> None:
    """
    Restore what ``entries`` have of ``table`` in the middle of a step, because it needs values.

    ``column`` is the only column that is wanted, or None for all. The values of the newest entry
    win.
    """
    entries = list(entries)
    for entry in entries:
        if entry.is_narrowed and entry.narrowed == (table, column):
            stash.replace_unfit(entry)
    dialect = stash.tables.dialect
    for entry in entries:
        columns = _wanted_columns(stash, entry, table, column)
        if columns:
            logger.debug("Restoring %s of %s before the next operation", columns, table)
            with dialect.without_triggers([table]):
                EntryRestore(stash, entry, columns).update(())
                dialect.check_foreign_keys_now()


def _wanted_columns(stash: Stash, entry: Entry, table: str, column: str | None) -> list[str]:
    """The dropped columns of an entry that ``table`` has; ``column`` alone if that is given."""
    if entry.table != table or entry.is_table or entry.is_narrowed:
        return []
    there = stash.tables.columns(table)
    return [name for name in entry.columns if column in (None, name) and name in there]


def text_of(error: Exception) -> str:
    return " ".join(str(error).split())
