"""What a database says of its tables."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

# https://www.postgresql.org/docs/current/catalog-pg-attribute.html
_POSTGRESQL = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> ''
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_BROUGHT = """
SELECT a.attname,
CASE WHEN t.typnamespace <> 'pg_catalog'::regnamespace THEN format_type(t.oid, NULL) ELSE '' END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
AND 'pg_catalog'::regnamespace <> ANY (ARRAY[t.typnamespace, c.collnamespace])
"""
# https://mariadb.com/docs/server/reference/system-tables/information-schema/information-schema-tables/information-schema-columns-table
_MYSQL = """
SELECT column_name, column_type, is_nullable = 'NO', extra LIKE '%%GENERATED%%'
AND extra NOT LIKE '%%DEFAULT_GENERATED%%'
FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position
"""
_SIZES = {
    "postgresql": "SELECT pg_total_relation_size(%s::regclass)",
    "mysql": "SELECT data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = %s",
    # https://www.sqlite.org/dbstat.html, which not every SQLite has
    "sqlite": "SELECT SUM(pgsize) FROM dbstat WHERE name = %s",
}
# As each of the databases calls them: not point, int4range or interval.
_INTEGER = re.compile(
    r"(tiny|small|medium|big)?int(eger)?(\(\d+\))?( unsigned)?( zerofill)?", re.IGNORECASE
)


@dataclass(frozen=True)
class ColumnInfo:
    """A column as the database describes it."""

    type: str
    is_required: bool
    """Whether it is NOT NULL."""

    @property
    def is_integer(self) -> bool:
        return bool(_INTEGER.fullmatch(self.type))


@dataclass(frozen=True)
class Parent:
    """The table and column that a foreign key refers to."""

    table: str
    column: str


class _InAnyCase(set[str]):
    """Names that a database takes in any case, and gives in the one they were made with."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


class Tables:
    """The tables of one database, as they are at the time of each question."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    @cached_property
    def names(self) -> set[str]:
        """All tables; remembered, as the question is asked for each thing that is lost."""
        with self.connection.cursor() as cursor:
            found = self.connection.introspection.table_names(cursor)
        if self.connection.features.ignores_table_name_case:
            return _InAnyCase(map(str.lower, found))
        return set(found)

    def quote(self, name: str) -> str:
        """``name`` as SQL that has parameters wants it."""
        return str(self.connection.ops.quote_name(name)).replace("%", "%%")

    def execute(self, sql: str, params: Iterable[Any] = ()) -> int:
        """Run a statement. How many rows it had to do with."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return int(cursor.rowcount)

    def has_rows(self, table: str, condition: str = "1 = 1") -> bool:
        """Whether there are any rows in a table, or any for which some SQL is true."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {self.quote(table)} WHERE {condition} LIMIT 1", [])
            return cursor.fetchone() is not None

    def has_item(self, table: str, column: str | None) -> bool:
        """Whether there is a table, or such a column of it."""
        return table in self.names and (column is None or column in self.columns(table))

    def has(
        self,
        one: str,
        other: str,
        key: Iterable[str] | Mapping[str, str],
        columns: Iterable[str] = (),
    ) -> str:
        """
        SQL for the rows of ``other`` that ``one`` has: with their keys, and their values.

        Where the key has other names there, ``key`` has these by those of ``one``.
        """
        q, names = self.quote, key if isinstance(key, Mapping) else {name: name for name in key}
        same = [self.same(one, other, names)]
        same += [equal(self.connection, f"{q(one)}.{q(c)}", f"{q(other)}.{q(c)}") for c in columns]
        return f"EXISTS (SELECT 1 FROM {q(one)} WHERE {' AND '.join(same)})"

    def same(self, one: str, other: str, columns: Mapping[str, str], alias: str = "") -> str:
        """
        SQL for rows of two tables that are the same in some columns.

        ``columns`` are those of ``other`` by those of ``one``, which may go by an ``alias``.
        """
        q, (ours, theirs) = self.quote, (self.brought(one), self.brought(other))
        pairs = []
        for name, also in columns.items():
            pair = [f"{q(alias or one)}.{q(name)}", f"{q(other)}.{q(also)}"]
            kind, copied = sorted([ours.get(name, ""), theirs.get(also, "")], reverse=True)
            if kind and not copied:
                # Only texts of citext are the same in more than one way.
                is_citext = kind.rpartition(".")[2] == "citext"
                kind = kind.replace("%", "%%") if is_citext else "text"
                pair = [f"CAST({side} AS {kind})" for side in pair]
            pairs.append(" = ".join(pair))
        return " AND ".join(pairs)

    def brought(self, table: str) -> dict[str, str]:
        """
        The columns that need a type or collation that PostgreSQL did not come with.

        By their types, which are empty where it is the collation alone.
        """
        if self.connection.vendor != "postgresql":
            return {}
        with self.connection.cursor() as cursor:
            cursor.execute(_BROUGHT, [self.connection.ops.quote_name(table)])
            return dict(cursor.fetchall())

    def columns(self, table: str) -> Mapping[str, ColumnInfo]:
        """The columns that can be written to: not those which the database computes."""
        with self.connection.cursor() as cursor:
            return {
                name: ColumnInfo(kind, bool(required))
                for name, kind, required, generated in self._describe(cursor, table)
                if not generated
            }

    def key(self, table: str) -> list[str]:
        """The columns of the primary key."""
        with self.connection.cursor() as cursor:
            found = self.connection.introspection.get_primary_key_columns(cursor, table)
        return list(found or ())

    def parents(self, table: str) -> dict[str, Parent]:
        """What each foreign key refers to, by its column."""
        # Not get_constraints, which takes PostgreSQL's names apart at the first dot.
        with self.connection.cursor() as cursor:
            relations = self.connection.introspection.get_relations(cursor, table)
        return {column: Parent(found[1], found[0]) for column, found in relations.items()}

    def foreign_keys(self, table: str) -> list[tuple[str, str, str]]:
        """
        The foreign keys of a table, and those to it by which the database deletes and updates.

        As SQL: the table that each is of, its name and its definition. Only PostgreSQL can say it.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) "
                "FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conparentid = 0 "
                "AND (conrelid = %s::regclass "
                "OR (confrelid = %s::regclass AND confdeltype IN ('c', 'n', 'd')))",
                [self.connection.ops.quote_name(table)] * 2,
            )
            return list(cursor.fetchall())

    def check_at_once(self, table: str) -> None:
        """
        Have what must be unique checked by each statement, also if it could wait.

        Foreign keys may wait for the rows that they refer to. Only PostgreSQL has anything else
        that waits.
        """
        if self.connection.vendor != "postgresql":
            return
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT quote_ident(nspname) || '.' || quote_ident(conname) "
                "FROM pg_catalog.pg_constraint "
                "JOIN pg_catalog.pg_namespace n ON n.oid = connamespace "
                "WHERE conrelid = %s::regclass AND contype <> 'f' AND condeferrable",
                [self.connection.ops.quote_name(table)],
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"SET CONSTRAINTS {name} IMMEDIATE", None)

    def count(self, table: str, column: str | None = None) -> int:
        """How many rows there are, or those that have a value in a column."""
        counted = "*" if column is None else self.quote(column)
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT COUNT({counted}) FROM {self.quote(table)}", [])
            return int(cursor.fetchone()[0])

    def size(self, table: str) -> int | None:
        """How many bytes a table takes up; None where the database can't say."""
        quote = self.connection.ops.quote_name
        name = quote(table) if self.connection.vendor == "postgresql" else table
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(_SIZES[self.connection.vendor], [name])
                return int(cursor.fetchone()[0])
        except (DatabaseError, KeyError, TypeError):
            return None

    def _describe(
        self, cursor: CursorWrapper, table: str
    ) -> Collection[tuple[str, str, int, int]]:
        quoted = self.connection.ops.quote_name(table)
        if self.connection.vendor == "postgresql":
            cursor.execute(_POSTGRESQL, [quoted])
        elif self.connection.vendor == "mysql":
            cursor.execute(_MYSQL, [table])
        else:
            # https://www.sqlite.org/pragma.html#pragma_table_xinfo: hidden is 2 or 3 if generated
            cursor.execute(f"PRAGMA table_xinfo({quoted})")
            return [(c[1], c[2], c[3] or c[5], c[6] in (2, 3)) for c in cursor.fetchall()]
        found: list[tuple[str, str, int, int]] = cursor.fetchall()
        return found


@contextmanager
def sql_mode(connection: BaseDatabaseWrapper, change: Callable[[str], str]) -> Iterator[None]:
    """Let MySQL work in another mode: ``change`` makes it of that of now. Others have none."""
    if connection.vendor != "mysql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        (mode,) = cursor.fetchone()
        cursor.execute("SET SESSION sql_mode = %s", [change(mode)])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION sql_mode = %s", [mode])


def equal(connection: BaseDatabaseWrapper, one: str, other: str) -> str:
    """SQL that compares two values of one type exactly; NULL equals NULL."""
    if connection.vendor == "postgresql":
        # Some types (json, xml) can't be compared by themselves.
        one, other = (f'{value}::text COLLATE "C"' for value in (one, other))
        return f"{one} IS NOT DISTINCT FROM {other}"
    if connection.vendor == "mysql":
        return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)"
    return f"{one} COLLATE BINARY IS {other}"
