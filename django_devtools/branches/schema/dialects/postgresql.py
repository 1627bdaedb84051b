"""What differs on PostgreSQL: the top of ``base.py`` lists the methods."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, OperationalError, transaction

from django_devtools.branches.schema.field_types import is_positive

from .base import ColumnDescription, Dependent, Dialect, ForeignKey, Look

# https://www.postgresql.org/docs/current/catalog-pg-attribute.html
_COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_REQUIRED = """
SELECT relname, attname FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid
WHERE relkind IN ('r', 'p') AND relnamespace <> 'pg_catalog'::regnamespace
AND pg_table_is_visible(c.oid) AND attnum > 0 AND NOT attisdropped
AND attnotnull AND NOT atthasdef AND attidentity = ''
"""
_IN_SCHEMA = """
SELECT 1 FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
WHERE relname = %s AND nspname = current_schema()
"""
_CUSTOM_TYPES = """
SELECT a.attname,
CASE WHEN t.typnamespace <> 'pg_catalog'::regnamespace THEN format_type(t.oid, NULL) ELSE '' END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
AND 'pg_catalog'::regnamespace <> ANY (ARRAY[t.typnamespace, c.collnamespace])
"""
# Of the keys that refer to the table, those by which rows are deleted or updated: confdeltype.
# https://www.postgresql.org/docs/current/catalog-pg-constraint.html
_FOREIGN_KEYS = """
SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid)
FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conparentid = 0
AND (conrelid = %s::regclass
OR (confrelid = %s::regclass AND confdeltype IN ('c', 'n', 'd')))
"""
_DEFERRABLE = """
SELECT quote_ident(nspname) || '.' || quote_ident(conname)
FROM pg_catalog.pg_constraint
JOIN pg_catalog.pg_namespace n ON n.oid = connamespace
WHERE conrelid = %s::regclass AND contype <> 'f' AND condeferrable
"""
# Django drops tables and columns with CASCADE.
_REFERRING = """
SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname), relname,
ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute
WHERE attrelid = conrelid AND attnum = ANY (conkey))
FROM pg_catalog.pg_constraint JOIN pg_catalog.pg_class c ON c.oid = conrelid
WHERE contype = 'f' AND confrelid = to_regclass(%s) AND conrelid <> confrelid
"""
# https://www.postgresql.org/docs/current/catalog-pg-depend.html
_VIEWS = """
SELECT DISTINCT format('DROP %%s %%s',
CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END, c.oid::regclass)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass(%s)
AND (%s::text IS NULL OR a.attname = %s) ORDER BY 1
"""
# A partitioned table has its triggers on each partition, too, which may have some of its own.
# TimescaleDB blocks direct inserts by a trigger of its own, and nobody may touch that.
# https://www.postgresql.org/docs/current/catalog-pg-trigger.html
_TRIGGERS = """
SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled::text
FROM pg_catalog.pg_trigger
WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgname <> 'ts_insert_blocker'
AND (tgrelid = %s::regclass OR tgrelid IN (SELECT relid FROM pg_partition_tree(%s::regclass)))
ORDER BY 1, 2
"""
_ENABLE = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
# The views over a table, with how far they are from it: a view depends on what its rule reads.
_MATERIALIZED = """
WITH RECURSIVE reading (id, depth) AS (
    SELECT unnest(%s::text[])::regclass::oid, 0
    UNION
    SELECT r.ev_class, reading.depth + 1 FROM reading
    JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_class'::regclass
    AND d.classid = 'pg_rewrite'::regclass AND d.refobjid = reading.id
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> reading.id
)
SELECT id::regclass::text FROM reading JOIN pg_catalog.pg_class c ON c.oid = id
WHERE c.relkind = 'm' AND c.relispopulated GROUP BY id ORDER BY MAX(depth)
"""
# https://www.postgresql.org/docs/current/catalog-pg-class.html
_ANALYZED = "SELECT 1 FROM pg_catalog.pg_class WHERE oid = %s::regclass AND reltuples > 0"
# The columns of all indexes of a table, each as often as it is in one.
_INDEXED = """
SELECT a.attname FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s::regclass
"""
_UPDATED_SIZE = """
SELECT (pg_relation_size(oid) + pg_indexes_size(oid)) * LEAST(%s / GREATEST(reltuples, 1), 1)
FROM pg_catalog.pg_class WHERE oid = %s::regclass
"""
_SAMPLED = 1_000
"""Of how many rows the widths are taken."""
_INDEX_ROW = 12
"""How many bytes an index has for a row beside the values, where pages are full."""
_INDEX_FILL = 0.8
"""How full the pages of an index are, about: in order of their values more, in any other less."""
# https://www.postgresql.org/docs/current/progress-reporting.html
_INDEX = """
SELECT phase, tuples_done, tuples_total, blocks_done, blocks_total
FROM pg_catalog.pg_stat_progress_create_index WHERE pid = %s
"""
_BLOCKING = """
SELECT pid, application_name FROM pg_catalog.pg_stat_activity
WHERE pid = ANY (pg_blocking_pids(%s)) ORDER BY pid LIMIT 1
"""
# A cast that fails is an exception, and only a function can catch one.
_FITS = """
CREATE OR REPLACE FUNCTION pg_temp.django_devtools_fits(value text, now text, kind text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %L::%s::%s', value, now, kind);
    RETURN true;
EXCEPTION WHEN data_exception OR cannot_coerce THEN
    RETURN false;
END $$
"""
_LENGTH = r"\(\d+(,\d+)?\)"
# Casts to these don't fail: they cut a text, and each text of an array.
_CUTTING = ("varchar", "character varying")
_FIXED_LENGTH = r"^(character|bit)(?= ?\()"

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_DONE = {"42701", "42703", "42704", "42710", "42P01", "42P07"}
# Codes, and classes of codes.
_TRANSIENT = ("08", "40", "53", "55P03", "57", "58")


class PostgreSQLDialect(Dialect):
    """PostgreSQL, PostGIS and TimescaleDB."""

    default_port = 5432
    rejects_unfit = True
    rewrites_unchanged_rows = True
    # https://www.postgresql.org/docs/current/sql-insert.html
    overriding = "OVERRIDING SYSTEM VALUE "

    def describe_columns(self, table: str) -> list[ColumnDescription]:
        found = self.fetch(_COLUMNS, [self._regclass(table)])
        return [ColumnDescription(*column) for column in found]

    def required_columns(self) -> list[tuple[str, str]]:
        return [(table, column) for table, column in self.fetch(_REQUIRED)]

    def bars(self, table: str) -> bool:
        # It may be in a later schema of the search path, as those that tenants share.
        return bool(self.fetch(_IN_SCHEMA, [table]))

    def custom_types(self, table: str) -> dict[str, str]:
        found = self.fetch(_CUSTOM_TYPES, [self._regclass(table)])
        return {column[0]: column[1] for column in found}

    def _table_size(self, table: str) -> Any:
        found = self.fetch("SELECT pg_total_relation_size(%s::regclass)", [self._regclass(table)])
        return found[0][0]

    def data_size(self, table: str) -> int:
        ((size,),) = self.fetch("SELECT pg_table_size(%s::regclass)", [self._regclass(table)])
        return int(size)

    def restored_size(self, table: str, copy: str, rows: int, *, is_new: bool) -> int | None:
        name, size = self._regclass(table), self.data_size(copy)
        if is_new:
            return size + int(self._indexes_size(name, copy, rows))
        # Each row is written anew, and has new places in all indexes.
        ((rewritten,),) = self.fetch(_UPDATED_SIZE, [rows, name])
        return size + int(rewritten)

    def _indexes_size(self, name: str, copy: str, rows: int) -> float:
        """How many bytes the indexes of a table take up when it has the rows of a copy, about."""
        there = {one.name for one in self.describe_columns(copy)}
        indexed = [column for (column,) in self.fetch(_INDEXED, [name]) if column in there]
        widths = [f"COALESCE(AVG(pg_column_size({self.quote(one)})), 0)" for one in indexed]
        ((width,),) = self.fetch(
            f"SELECT {' + '.join(widths) or '0'} "
            f"FROM (SELECT * FROM {self.quote(copy)} LIMIT {_SAMPLED}) some_"
        )
        return rows * (float(width) + _INDEX_ROW * len(indexed)) / _INDEX_FILL

    def estimated_rows(self, table: str, most: int) -> int:
        if not self.fetch(_ANALYZED, [self._regclass(table)]):
            return super().estimated_rows(table, most)
        # The planner knows how much larger the table has become since.
        ((plan,),) = self.fetch(f"EXPLAIN (FORMAT JSON) SELECT 1 FROM {self.quote(table)}")
        (found,) = json.loads(plan) if isinstance(plan, str) else plan
        return int(found["Plan"]["Plan Rows"])

    def session_id(self) -> int | None:
        driver: Any = self.connection.connection
        return driver.info.backend_pid if driver else None

    def be_brief(self) -> None:
        self.execute("SET lock_timeout = '500ms'")
        self.execute("SET statement_timeout = '5s'")

    def look(self, session: int) -> Look:
        # A table that is not committed yet has no size for others, but it is on the disk.
        ((size,),) = self.fetch("SELECT pg_database_size(current_database())")
        fraction, notes = None, []
        for phase, *counts in self.fetch(_INDEX, [session]):
            tuples, all_tuples, blocks, all_blocks = counts
            done, total = (tuples, all_tuples) if all_tuples else (blocks, all_blocks)
            fraction = done / total if total else None
            notes.append(str(phase))
        for process, name in self.fetch(_BLOCKING, [session]):
            called = f" ({name})" if name else ""
            notes.append(f"waiting for a lock that process {process}{called} of the server holds")
        return Look(size=size, fraction=fraction, note=", ".join(notes))

    def foreign_keys_to_drop(self, table: str) -> list[ForeignKey]:
        """
        The foreign keys of a table, and those to it by which the database deletes and updates.

        When they are added again, PostgreSQL checks all rows at once, in a tenth of the time that
        it takes to check them one by one. And without them, a row that is replaced does not take
        along the rows that refer to it.
        """
        found = self.fetch(_FOREIGN_KEYS, [self._regclass(table)] * 2)
        return [ForeignKey(*(part.replace("%", "%%") for part in key)) for key in found]

    def dependents(self, table: str, column: str | None) -> list[Dependent]:
        name = self._regclass(table)
        views = [Dependent(*found) for found in self.fetch(_VIEWS, [name, column, column])]
        # A key that refers to a column goes along with it, too, but it is one with a table's.
        keys = [] if column else [Dependent(*key) for key in self.fetch(_REFERRING, [name])]
        return keys + views

    def same_values(self, one: str, other: str) -> str:
        # Types without an operator = (json, xml, point) can only be compared as texts.
        one, other = (f'{value}::text COLLATE "C"' for value in (one, other))
        return f"{one} IS NOT DISTINCT FROM {other}"

    def with_type(self, value: str, kind: str) -> str:
        # Without the cast PostgreSQL has to guess the type of a CASE.
        return f"CAST({value} AS {kind})"

    def cast(self, value: str, kind: str) -> str:
        # A cast cuts to a length what an assignment rejects, so it is to the type without one. But
        # character and bit without a length have that of 1:
        # https://www.postgresql.org/docs/current/datatype-character.html
        varying = re.sub(_FIXED_LENGTH, r"\1 varying", kind)
        unlimited = re.sub(_LENGTH, "", varying)
        return f"CAST({value} AS {unlimited.replace('%', '%%')})"

    def update_from(
        self, table: str, values: Mapping[str, str], source: str, joined: str, condition: str
    ) -> str:
        # With UPDATE … FROM the planner may choose a hash join.
        pairs = ", ".join(f"{self.quote(c)} = {value}" for c, value in values.items())
        return f"UPDATE {table} SET {pairs} FROM {source} WHERE {joined} AND {condition}"

    def number_rows(
        self, name: str, table: str, key: Sequence[str], beside: Sequence[str] = ()
    ) -> None:
        super().number_rows(name, table, key, beside)
        numbers, keys = self.quote(name), self._names(key)
        self.execute(f"CREATE INDEX {self.quote(f'{name}_number')} ON {numbers} (number_)")
        # Where a copy is larger than what is looked for, it is read by its key.
        for one in (table, *beside):
            index, copy = self.quote(f"{one}_key"), self.quote(one)
            self.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {copy} ({keys})")
            self.execute(f"ANALYZE {copy}")
        self.execute(f"ANALYZE {numbers}")

    def set_sequences(self, table: str) -> None:
        with self.connection.cursor() as cursor:
            sequences = self.connection.introspection.get_sequences(cursor, table)
        for sequence in sequences:
            column = self.quote(sequence["column"])
            self.fetch(
                f"SELECT setval(%s::regclass, GREATEST(MAX({column}), 1), "
                f"MAX({column}) IS NOT NULL) FROM {self.quote(table)}",
                [self._regclass(sequence["name"])],
            )

    def skip_keys(self, table: str, highest: int) -> None:
        with self.connection.cursor() as cursor:
            sequences = self.connection.introspection.get_sequences(cursor, table)
        for sequence in sequences:
            self.fetch(
                "SELECT setval(%s::regclass, GREATEST(last_value, %s)) "
                f"FROM {self.quote(sequence['name'])}",
                [self._regclass(sequence["name"]), highest],
            )

    def check_unique_now(self, table: str) -> None:
        for (name,) in self.fetch(_DEFERRABLE, [self._regclass(table)]):
            self.execute(f"SET CONSTRAINTS {name.replace('%', '%%')} IMMEDIATE")

    def check_foreign_keys_now(self) -> None:
        # A foreign key of a row that was written is checked at the end of the transaction, and
        # until then the table can't be altered ("pending trigger events").
        self.connection.check_constraints()

    def lock(self, tables: Sequence[str]) -> None:
        if tables:
            # Not a weaker lock: whoever drops the table needs this one, and two that both wait
            # for a stronger one wait for each other.
            self.execute(f"LOCK TABLE {self._names(tables)} IN ACCESS EXCLUSIVE MODE")

    def write_mark(self, table: str) -> Any:
        ((mark,),) = self.fetch("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")
        return str(int(mark) % 2**32)  # without the epoch, as xmin of a row is

    def was_written(self, table: str, mark: Any, condition: str, rows: int) -> bool:
        # A row that was inserted or updated has a younger transaction; one that was deleted is
        # missing. https://www.postgresql.org/docs/current/ddl-system-columns.html
        ((youngest, marked, now),) = self.fetch(
            "SELECT MIN(age(xmin)), age(%s::xid), COUNT(*) "
            f"FROM {self.quote(table)} WHERE {condition}",
            [mark],
        )
        is_younger = youngest is not None and youngest <= marked
        return bool(is_younger or now != rows)

    @contextmanager
    def without_triggers(self, tables: Collection[str]) -> Iterator[list[str]]:
        names = map(self._regclass, sorted(tables))
        found = [trigger for name in names for trigger in self.fetch(_TRIGGERS, [name] * 2)]
        if not found:
            yield []
            return
        with transaction.atomic(self.connection.alias):
            self.check_foreign_keys_now()
            self._alter_triggers((table, "DISABLE", name) for table, name, _ in found)
            yield []
            self.check_foreign_keys_now()
            self._alter_triggers((table, _ENABLE[how], name) for table, name, how in found)

    def _alter_triggers(self, changes: Iterable[tuple[str, str, str]]) -> None:
        for table, change, trigger in changes:
            sql = f"ALTER TABLE ONLY {table} {change} TRIGGER {trigger}"
            self.execute(sql.replace("%", "%%"))

    def materialized_views(self, tables: Collection[str]) -> list[str]:
        found = self.fetch(_MATERIALIZED, [[self._regclass(name) for name in sorted(tables)]])
        return [view.replace("%", "%%") for (view,) in found]

    def coerce_values(
        self, table: str, column: str, kind: str, field_type: str, placeholder: Callable[[], Any]
    ) -> None:
        rows, name = self.quote(table), self.quote(column)
        if kind.startswith(_CUTTING):
            cut = f"{name}::{kind}"
            self.execute(f"UPDATE {rows} SET {name} = {cut} WHERE {name} <> {cut}")
            return
        now, unfit = self._type(table, column), self.unfit(table, column, kind, field_type)
        self.execute(
            f"UPDATE {rows} SET {name} = (%s::{kind})::text::{now} WHERE {unfit}", [placeholder()]
        )

    def unfit(self, table: str, column: str, kind: str, field_type: str) -> str:
        name = f"{self.quote(table)}.{self.quote(column)}"
        kind = kind.replace("%", "%%")
        if kind.startswith(_CUTTING):
            return f"{name}::{kind}::text <> {name}::text"
        with self.connection.cursor() as cursor:
            cursor.execute(_FITS)
        now = self._type(table, column)
        unfit = f"NOT pg_temp.django_devtools_fits({name}::text, '{now}', '{kind}')"
        if is_positive(field_type):
            unfit = f"({unfit} OR {name}::text LIKE '-%%')"
        return f"{name} IS NOT NULL AND {unfit}"

    def _type(self, table: str, column: str) -> str:
        """The type of a column, as SQL."""
        types = {one.name: one.type for one in self.describe_columns(table)}
        return types[column].replace("%", "%%")

    def error_is_done(self, error: DatabaseError) -> bool:
        return _code_of(error) in _DONE

    def error_is_transient(self, error: DatabaseError) -> bool:
        code = _code_of(error)
        if code is None:  # as where the connection is lost
            return isinstance(error, OperationalError)
        return code.startswith(_TRANSIENT)

    def _regclass(self, name: str) -> str:
        """The text that a cast to regclass takes for a name: in quotes, and no ``%`` doubled."""
        return str(self.connection.ops.quote_name(name))


def _code_of(error: DatabaseError) -> str | None:
    """The SQLSTATE of an error; None if the server has not answered."""
    cause = error.__cause__
    # psycopg says sqlstate, psycopg2 pgcode.
    return getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
