"""
Brings back what is in the stash.

Whole columns and tables are copied by one statement each. Where the database refuses that, halves
are tried, and halves of those, until only the rows that it refuses stay in the stash. All this is
one transaction: it ends with all constraints satisfied, or nothing has been changed.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from django.apps.registry import Apps
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    OperationalError,
    models,
    transaction,
)
from django.db.migrations.recorder import MigrationRecorder

from .executor import one_transaction
from .progress import Progress
from .stash import PREFIX, Entry, Return, Stash, equal
from .tables import ColumnInfo, Parent, Tables

# Beyond this, more of the same says nothing new.
MOST_REFUSED = 200

_PASSING = re.compile(r"connection|full|gone away|lock|disk", re.IGNORECASE)

GONE = "the rows they belong to are gone"
THERE = "other rows are there with their keys"
OTHERS = "other values are there now"
NO_COLUMN = "there is no such column now"
NO_PLACE = "there is no such table or column now"


@dataclass
class Filling:
    """One attempt to bring entries back."""

    stash: Stash
    apps: Apps
    """The models of what the database holds now."""
    branch: str | None
    """The branch that the database is on now."""
    progress: Progress
    is_forced: bool = False
    """Whether someone asked for it, so that columns need not be quite the same."""
    notes: list[str] = field(default_factory=list)
    """What could not come back, and why."""
    returned: list[Entry] = field(default_factory=list)
    """What came back, at least in part."""

    def fill(self, entries: Iterable[Entry]) -> None:
        """
        Bring ``entries`` back as they say, and write down what is left of them.

        What does not fit, or what a constraint refuses, stays in the stash; ``notes`` says why.
        """
        self.stash.tables = Tables(self._connection)
        best = _best(entries, self.branch)
        fitting = [entry for entry in best if self._fits(entry)]
        if self.is_forced:
            self.notes += [
                f"{e}: kept in the stash, as {NO_PLACE}" for e in best if e not in fitting
            ]
        if not fitting:
            return
        try:
            with self._transaction():
                self._fill(fitting)
            self.returned += fitting
        except DatabaseError as error:
            if self._is_passing(error):
                raise
            what = ", ".join(map(str, fitting))
            self.notes.append(f"{what}: kept in the stash, as the database says: {_text(error)}")

    def restore(self, entries: Iterable[Entry]) -> None:
        """
        Bring ``entries`` back because someone asks for it.

        Rows of tables come where there are none with their keys; values of columns replace those
        that are there.
        """
        self.fill(
            replace(entry, returns=Return.MISSING if entry.is_table else Return.REPLACE)
            for entry in entries
        )

    def _fill(self, entries: list[Entry]) -> None:
        jobs = [_Job(self.stash, entry, self._columns(entry)) for entry in entries]
        tables = [job for job in jobs if job.entry.is_table]
        for job in tables + [job for job in jobs if not job.entry.is_table]:
            self.progress.line(f"  Restoring {job.entry}...")
        keys = self._drop_foreign_keys(tables)
        self._make_room([job for job in tables if job.entry.returns is Return.REPLACE])
        for job in tables:
            job.insert(self._defaults(job))
        _prune(tables)
        for job in jobs:
            if not job.entry.is_table:
                job.update()
        for job in tables:
            job.set_sequences()
        filled = sorted({job.entry.table for job in jobs})
        self._connection.check_constraints(filled)
        for table, name, definition in keys:
            self._execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for job in jobs:
            self._settle(job)

    def _drop_foreign_keys(self, jobs: list["_Job"]) -> list[tuple[str, str, str]]:
        """
        Drop the foreign keys of tables, to be added again: table, name and definition.

        PostgreSQL then looks at all rows at once, which takes a tenth of the time that it takes
        to look at one after the other.
        """
        if self._connection.vendor != "postgresql" or not jobs:
            return []
        # What migrations have written has to be looked at before a table can be altered.
        self._connection.check_constraints()
        q = self.stash.quote
        found = []
        for job in jobs:
            found += [
                (job.table, q(name), definition.replace("%", "%%"))
                for name, definition in self.stash.tables.foreign_keys(job.entry.table)
                if job.parents  # remembered, as it can't be asked for any more
            ]
        for table, name, _ in found:
            self._execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        return found

    def _execute(self, sql: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, [])

    def _settle(self, job: "_Job") -> None:
        """Take out of the stash what came back."""
        entry = job.entry
        missing = [column for column in entry.columns if column not in job.columns]
        is_whole = job.returned == entry.rows or not entry.is_table
        if missing and is_whole and not (self._is_expected(entry) or job.refused):
            # They will come with another migration.
            self.stash.keep_only(entry, missing)
            return
        if missing:
            left = entry.rows
            job.refused[f"{NO_COLUMN}: {', '.join(missing)}"] += left
        else:
            left = 0 if job.returned == entry.rows else job.take_out()
        if not left:
            self.stash.done(entry)
            return
        usual = THERE if entry.is_table else OTHERS if entry.returns is Return.MISSING else GONE
        reason = "; ".join(job.refused) or usual
        self.stash.left(entry, left, reason)
        self.notes.append(
            f"{left} of {entry.rows} row{'s' * (entry.rows != 1)} of {entry} "
            f"stay{'s' * (left == 1)} in the stash: {reason}. "
            f"To look at them: manage.py migrations_stash show {entry.id}"
        )

    @property
    def _connection(self) -> Any:
        return self.stash.connection

    def _transaction(self) -> Any:
        """One in which foreign keys are not looked at before its end."""
        if self._connection.in_atomic_block and self._connection.vendor != "mysql":
            return transaction.atomic(self._connection.alias)
        return one_transaction(self._connection)

    def _is_passing(self, error: DatabaseError) -> bool:
        """Whether it says nothing of the data, so that a later run may bring it all back."""
        # SQLite and MySQL say many other things by this class, too.
        is_postgresql = self._connection.vendor == "postgresql"
        return isinstance(error, OperationalError) and (
            is_postgresql or bool(_PASSING.search(str(error)))
        )

    def _fits(self, entry: Entry) -> bool:
        """Whether what is there now is what an entry was copied from."""
        tables = self.stash.tables
        if entry.table not in tables.names:
            return False
        there = tables.columns(entry.table)
        if self._is_expected(entry):
            return any(column in there for column in entry.columns)
        kept = {name: column.info for name, column in entry.columns.items()}
        if entry.is_table:
            # The migrations that made it, without those that added to it.
            is_part = there.items() <= kept.items() and self._applied.issuperset(entry.migrations)
            return is_part or kept.items() <= there.items()
        return any(there.get(name) == info for name, info in kept.items())

    def _is_expected(self, entry: Entry) -> bool:
        """Whether an entry is known to belong here, so that columns need not be quite the same."""
        return self.is_forced or bool(entry.branch and entry.branch == self.branch)

    @cached_property
    def _applied(self) -> set[str]:
        applied = MigrationRecorder(self._connection).applied_migrations()
        return {".".join(key) for key in applied}

    def _columns(self, entry: Entry) -> list[str]:
        there = self.stash.tables.columns(entry.table)
        is_alike = self._is_expected(entry)
        return [
            name
            for name, column in entry.columns.items()
            if name in there and (is_alike or there[name] == column.info)
        ]

    def _defaults(self, job: "_Job") -> dict[str, Any]:
        """Values for columns that the stash does not have and that have to have one."""
        there = self.stash.tables.columns(job.entry.table)
        wanted = {name for name, info in there.items() if info.is_required} - set(job.columns)
        if not wanted:
            return {}
        model = self._models().get(job.entry.table)
        found = {}
        with self._connection.schema_editor(collect_sql=True) as editor:
            for one in model._meta.local_concrete_fields if model else ():
                if one.column in wanted and not one.primary_key:
                    default = editor.effective_default(one)
                    if default is not None:
                        found[one.column] = default
        return found

    def _models(self) -> Mapping[str, type[models.Model]]:
        return {m._meta.db_table: m for m in self.apps.get_models(include_auto_created=True)}

    def _make_room(self, jobs: list["_Job"]) -> None:
        """
        Delete what migrations have put into tables on their way, as the stash has what was there.

        But for rows that others refer to, or that they made for rows the stash does not know.
        """
        filled = [job for job in jobs if job.entry.key and not job.is_empty()]
        if not filled:
            return
        children = self._children()
        for job in filled:
            job.move_newcomers(children.get(job.entry.table, []))
            job.delete_known()
        while sum(job.delete_unknown(children.get(job.entry.table, [])) for job in filled):
            pass  # What those referred to, may go now.

    def _children(self) -> dict[str, list[tuple[str, str, str]]]:
        """What refers to each table: table, column, and the column that it refers to."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        names = self.stash.tables.names
        for model in self.apps.get_models(include_auto_created=True):
            for one in model._meta.local_concrete_fields:
                if isinstance(one, models.ForeignKey) and model._meta.db_table in names:
                    target = one.target_field
                    found.setdefault(target.model._meta.db_table, []).append(
                        (model._meta.db_table, one.column, target.column or "")
                    )
        return found


class _Job:
    """One entry on its way back."""

    def __init__(self, stash: Stash, entry: Entry, columns: list[str]) -> None:
        self.stash = stash
        self.connection = stash.connection
        self.entry = entry
        self.columns = columns
        self.returned = 0
        self.refused: Counter[str] = Counter()
        self.table = stash.quote(entry.table)
        self.copy = stash.quote(entry.copy)

    @cached_property
    def there(self) -> Mapping[str, ColumnInfo]:
        """The columns of the table as it is now."""
        return self.stash.tables.columns(self.entry.table)

    @cached_property
    def parents(self) -> Mapping[str, Parent]:
        """What the foreign keys of the table refer to."""
        return self.stash.tables.parents(self.entry.table)

    def is_empty(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {self.table} LIMIT 1", [])
            return cursor.fetchone() is None

    def insert(self, defaults: Mapping[str, Any]) -> None:
        """Insert the rows into the table."""
        q = self.stash.quote
        names = ", ".join(map(q, [*self.columns, *defaults]))
        values = ", ".join([*map(self._value, self.columns), *["%s"] * len(defaults)])
        override = "OVERRIDING SYSTEM VALUE " if self.connection.vendor == "postgresql" else ""
        head = f"INSERT INTO {self.table} ({names}) {override}SELECT {values} FROM {self.copy}"
        is_free = "1 = 1"
        if not self.is_empty():
            if not self.entry.key:
                self.refused[THERE] += self.entry.rows
                return
            is_free = f"NOT EXISTS (SELECT 1 FROM {self.table} WHERE {self._same_key()})"
        self._try(lambda part: (f"{head} WHERE {is_free} AND {part}", list(defaults.values())))

    def update(self) -> None:
        """Set the columns of rows that are still there."""
        if not self.entry.key or not self.there.keys() >= set(self.entry.key):
            self.refused["their rows can't be told apart any more"] += self.entry.rows
            return
        orphaned = {
            column: parent
            for column, parent in self.parents.items()
            if column in self.columns and self._has_orphans(self.copy, column, parent)
        }
        plain = [column for column in self.columns if column not in orphaned]
        if plain:
            self._try(partial(self._set_if, plain, "1 = 1"), self._clearing(plain))
        for column, parent in orphaned.items():
            there = self._has_parent(self.copy, column, parent)
            self._try(partial(self._set_if, [column], there))
            self.refused[f"what they refer to in {parent.table} is gone"] += 1
            self.returned = -1  # to be counted

    def take_out(self) -> int:
        """Delete what came back from the copy. How many rows are left."""
        if self.entry.is_narrowed and not self.refused:
            return 0  # Where a value was changed meanwhile, that one counts.
        if not self.entry.key:
            return self.entry.rows
        same = self._same_key()
        if self.refused or self.entry.returns is Return.MISSING:
            same += "".join(f" AND {self._equal(column)}" for column in self.columns)
        left = f"NOT EXISTS (SELECT 1 FROM {self.table} WHERE {same})"
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM {self.copy} WHERE {left}", [])
            count = int(cursor.fetchone()[0])
        if count:
            self._execute(f"DELETE FROM {self.copy} WHERE NOT {left}")
        return count

    def set_sequences(self) -> None:
        """Let new rows get keys beyond those that came back."""
        if self.connection.vendor != "postgresql":
            return  # The others have seen to it themselves.
        q = self.stash.quote
        with self.connection.cursor() as cursor:
            for found in self.connection.introspection.get_sequences(cursor, self.entry.table):
                column = q(found["column"])
                cursor.execute(
                    f"SELECT setval(%s::regclass, GREATEST(MAX({column}), 1), "
                    f"MAX({column}) IS NOT NULL) FROM {self.table}",
                    [self.connection.ops.quote_name(found["name"])],
                )

    def move_newcomers(self, children: list[tuple[str, str, str]]) -> None:
        """Give rows made for others than the stash knows new keys, where it has theirs."""
        if len(self.entry.key) != 1 or not (newcomers := self._newcomers()):
            return
        column = self.entry.key[0]
        if "int" not in self.there[column].type.lower() or column in self.parents:
            return
        key = self.stash.quote(column)
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"SELECT MAX({key}) FROM (SELECT {key} FROM {self.copy} "
                f"UNION ALL SELECT {key} FROM {self.table}) both_",
                [],
            )
            (highest,) = cursor.fetchone()
        known = f"EXISTS (SELECT 1 FROM {self.copy} WHERE {self._same_key()})"
        self._execute(
            f"UPDATE {self.table} SET {key} = {key} + {int(highest)} WHERE {known} "
            f"AND ({newcomers}) AND NOT {self._referred(children)}"
        )

    def delete_known(self) -> None:
        """Delete rows that the stash has."""
        self._execute(
            f"DELETE FROM {self.table} WHERE EXISTS "
            f"(SELECT 1 FROM {self.copy} WHERE {self._same_key()})"
        )

    def delete_unknown(self, children: list[tuple[str, str, str]]) -> int:
        """Delete rows that the stash does not have, unless they are needed."""
        newcomers = self._newcomers() or "1 = 0"
        return self._execute(
            f"DELETE FROM {self.table} WHERE NOT ({newcomers}) AND NOT {self._referred(children)}"
        )

    def delete_orphans(self) -> int:
        """Delete the rows that came back and refer to what is gone. How many."""
        count = 0
        for column, parent in self.parents.items():
            if not self.entry.key or not self._has_orphans(self.table, column, parent):
                continue
            ours = f"EXISTS (SELECT 1 FROM {self.copy} WHERE {self._same_key()})"
            found = self._execute(
                f"DELETE FROM {self.table} "
                f"WHERE NOT {self._has_parent(self.table, column, parent)}"
                f" AND {ours}"
            )
            if found:
                self.refused[f"what they refer to in {parent.table} is gone"] += found
            count += found
        self.returned -= count
        return count

    def _try(
        self, statement: Callable[[str], tuple[str, list[Any]]], clearing: str | None = None
    ) -> None:
        for first in (None, clearing) if clearing else (None,):
            try:
                with transaction.atomic(self.connection.alias):
                    if first:
                        self._execute(first)
                    self.returned = self._execute(*statement("1 = 1"))
                return
            except (IntegrityError, DataError) as error:
                if not self.entry.key:
                    self.refused[_text(error)] += self.entry.rows
                    return
        self.returned = self._by_halves(statement)

    def _clearing(self, columns: list[str]) -> str | None:
        """SQL that empties columns first: else unique values could not change their places."""
        optional = [column for column in columns if not self.there[column].is_required]
        if not optional or self.entry.is_narrowed or self.entry.returns is not Return.REPLACE:
            return None
        pairs = ", ".join(f"{self.stash.quote(column)} = NULL" for column in optional)
        known = f"EXISTS (SELECT 1 FROM {self.copy} WHERE {self._same_key()})"
        return f"UPDATE {self.table} SET {pairs} WHERE {known}"

    def _by_halves(self, statement: Callable[[str], tuple[str, list[Any]]]) -> int:
        """Do what can be done of a statement that was refused. How many rows that was."""
        q = self.stash.quote
        keys = ", ".join(map(q, self.entry.key))
        numbers = q(f"{PREFIX}numbers")
        same = " AND ".join(f"{numbers}.{q(k)} = {self.copy}.{q(k)}" for k in self.entry.key)
        primary = f" (PRIMARY KEY ({keys}))" if self.connection.vendor == "mysql" else ""
        self._execute(
            f"CREATE TEMPORARY TABLE {numbers}{primary} AS "
            f"SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {keys}) AS number_ FROM {self.copy}"
        )
        if self.connection.vendor == "sqlite":
            self._execute(f"CREATE INDEX temp.{q(f'{PREFIX}number')} ON {numbers} ({keys})")
        done, refused = 0, 0
        parts = [(1, self.stash.tables.count(self.entry.copy))]
        while parts and refused < MOST_REFUSED:
            low, high = parts.pop()
            part = (
                f"EXISTS (SELECT 1 FROM {numbers} WHERE {same} "
                f"AND number_ BETWEEN {low} AND {high})"
            )
            try:
                with transaction.atomic(self.connection.alias):
                    done += self._execute(*statement(part))
            except (IntegrityError, DataError) as error:
                if low == high:
                    refused += 1
                    self.refused[_text(error)] += 1
                else:
                    middle = (low + high) // 2
                    parts += [(middle + 1, high), (low, middle)]
        temporary = "TEMPORARY " if self.connection.vendor == "mysql" else ""
        self._execute(f"DROP {temporary}TABLE {numbers}")
        return done

    def _set_if(self, columns: list[str], condition: str, part: str) -> tuple[str, list[Any]]:
        return self._set(columns, f"{condition} AND {part}"), []

    def _set(self, columns: list[str], condition: str) -> str:
        q = self.stash.quote
        if self.entry.narrowed_copy in self.stash.tables.names:
            narrowed = q(self.entry.narrowed_copy)
            same = " AND ".join(f"{narrowed}.{q(k)} = {self.copy}.{q(k)}" for k in self.entry.key)
            condition += f" AND EXISTS (SELECT 1 FROM {narrowed} WHERE {same})"
        if self.entry.returns is Return.MISSING:
            condition += "".join(f" AND {self.table}.{q(c)} IS NULL" for c in columns)
        elif self.connection.vendor == "postgresql":
            # It writes a row anew also where nothing changes.
            condition += f" AND NOT ({' AND '.join(map(self._equal, columns))})"
        same = self._same_key()
        if self.connection.vendor == "mysql":
            pairs = ", ".join(f"{self.table}.{q(c)} = {self._value(c)}" for c in columns)
            return f"UPDATE {self.table} JOIN {self.copy} ON {same} SET {pairs} WHERE {condition}"
        if self.connection.vendor == "postgresql":
            pairs = ", ".join(f"{q(c)} = {self._value(c)}" for c in columns)
            return f"UPDATE {self.table} SET {pairs} FROM {self.copy} WHERE {same} AND {condition}"
        # UPDATE FROM is new in SQLite 3.33; Django 5.2 supports 3.31.
        names = ", ".join(map(q, columns))
        values = ", ".join(map(self._value, columns))
        found = f"FROM {self.copy} WHERE {same} AND {condition}"
        return (
            f"UPDATE {self.table} SET ({names}) = (SELECT {values} {found}) "
            f"WHERE EXISTS (SELECT 1 {found})"
        )

    def _value(self, column: str) -> str:
        value = f"{self.copy}.{self.stash.quote(column)}"
        now = self.there[column].type
        if self.connection.vendor == "postgresql" and now != self.entry.columns[column].info.type:
            return f"CAST({value} AS {now})"
        return value

    def _same_key(self) -> str:
        q = self.stash.quote
        return " AND ".join(f"{self.table}.{q(k)} = {self.copy}.{q(k)}" for k in self.entry.key)

    def _equal(self, column: str) -> str:
        name = self.stash.quote(column)
        return equal(self.connection, f"{self.table}.{name}", f"{self.copy}.{name}")

    def _newcomers(self) -> str:
        """SQL for rows that refer to what came after the stash, as far as that can be told."""
        q = self.stash.quote
        return " OR ".join(
            f"({self.table}.{q(c)} IS NOT NULL AND {self.table}.{q(c)} > {newest})"
            if (newest := self.entry.columns[c].newest) is not None
            else f"({self.table}.{q(c)} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {self.copy} "
            f"WHERE {self.copy}.{q(c)} = {self.table}.{q(c)}))"
            for c in self.parents
            if c in self.columns
        )

    def _referred(self, children: list[tuple[str, str, str]]) -> str:
        """SQL for rows that others refer to."""
        q = self.stash.quote
        conditions = [
            f"EXISTS (SELECT 1 FROM {q(child)} AS child_ "
            f"WHERE child_.{q(column)} = {self.table}.{q(target)})"
            for child, column, target in children
            if child != self.entry.table
        ]
        return f"({' OR '.join(conditions) or '1 = 0'})"

    def _has_orphans(self, table: str, column: str, parent: Parent) -> bool:
        with self.connection.cursor() as cursor:
            there = self._has_parent(table, column, parent)
            cursor.execute(f"SELECT 1 FROM {table} WHERE NOT {there} LIMIT 1", [])
            return cursor.fetchone() is not None

    def _has_parent(self, table: str, column: str, parent: Parent) -> str:
        q = self.stash.quote
        rows = q(parent.table)
        if rows == table and self.connection.vendor == "mysql":
            # MySQL does not delete from what it reads from; it does from a result.
            rows = f"(SELECT DISTINCT {q(parent.column)} FROM {rows})"
        return (
            f"({table}.{q(column)} IS NULL OR EXISTS (SELECT 1 FROM {rows} AS parent_ "
            f"WHERE parent_.{q(parent.column)} = {table}.{q(column)}))"
        )

    def _execute(self, sql: str, params: Iterable[Any] = ()) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return int(cursor.rowcount)


def _prune(jobs: list[_Job]) -> None:
    """Take back rows whose parents are gone, and those that refer to them in turn."""
    while sum(job.delete_orphans() for job in jobs):
        pass


def _best(entries: Iterable[Entry], branch: str | None) -> list[Entry]:
    """Of several entries for one thing, the one of this branch, else the newest."""
    found: dict[tuple[str, bool, bool, str], Entry] = {}
    for entry in sorted(entries, key=lambda e: (e.branch == branch, e.id)):
        columns = "" if entry.is_table else ",".join(sorted(entry.columns))
        found[entry.table, entry.is_table, entry.is_narrowed, columns] = entry
    return sorted(found.values(), key=lambda entry: entry.id)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())
