"""What differs on SQLite: the top of ``base.py`` lists the methods."""

import os.path
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from django.db import DatabaseError, transaction

from django_devtools.branches.schema.field_types import holds
from django_devtools.conf import TABLE_PREFIX

from .base import ColumnDescription, Dialect

# SQLite has one code, SQLITE_ERROR, for all of these.
_DONE = r"already exists|duplicate column name|no such (table|column|index)"
# https://www.sqlite.org/rescode.html; extended codes begin with these.
_TRANSIENT = (
    "SQLITE_BUSY",
    "SQLITE_CANTOPEN",
    "SQLITE_FULL",
    "SQLITE_INTERRUPT",
    "SQLITE_IOERR",
    "SQLITE_LOCKED",
    "SQLITE_NOMEM",
    "SQLITE_READONLY",
)


_REQUIRED = """
SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND c."notnull" AND c.dflt_value IS NULL AND NOT c.pk
"""
_TRIGGERS = """
SELECT name, sql FROM sqlite_master
WHERE type = 'trigger' AND tbl_name = %s COLLATE NOCASE ORDER BY rowid
"""


class SQLiteDialect(Dialect):
    """SQLite, and SpatiaLite."""

    rebuilds_tables = True
    keeps_type_names = True
    # CREATE TABLE … AS keeps affinities only: https://www.sqlite.org/lang_createtable.html
    copies_have_types = False

    def database_identity(self) -> str:
        """The path of the file, with symbolic links resolved; or the name of one in memory."""
        name = str(self.connection.settings_dict["NAME"] or "")
        if _is_in_memory(name):
            return f"sqlite:{name}"
        path = unquote(urlsplit(name).path) if name.startswith("file:") else name
        return f"sqlite:{os.path.realpath(path)}"

    def describe_columns(self, table: str) -> list[ColumnDescription]:
        # https://www.sqlite.org/pragma.html#pragma_table_xinfo: hidden is 2 or 3 if generated.
        # A pragma takes no parameters, so that % is not doubled.
        quoted = self.connection.ops.quote_name(table)
        with self.connection.cursor() as cursor:
            cursor.execute(f"PRAGMA table_xinfo({quoted})")
            found = cursor.fetchall()
        return [
            ColumnDescription(name, kind, bool(not_null or key), hidden in (2, 3))
            for _, name, kind, not_null, _, key, hidden in found
        ]

    def required_columns(self) -> list[tuple[str, str]]:
        return [(table, column) for table, column in self.fetch(_REQUIRED)]

    def _table_size(self, table: str) -> Any:
        # https://www.sqlite.org/dbstat.html, which not every SQLite is compiled with.
        return self.fetch("SELECT SUM(pgsize) FROM dbstat WHERE name = %s", [table])[0][0]

    def same_values(self, one: str, other: str) -> str:
        # IS NOT DISTINCT FROM is new in SQLite 3.39; a column may compare without case.
        return f"{one} COLLATE BINARY IS {other}"

    def longer_than(self, text: str, length: int) -> str:
        # It stores texts of any length: https://www.sqlite.org/datatype3.html
        return "1 = 0"

    def unfit(self, table: str, column: str, kind: str, field_type: str) -> str:
        # It stores any text in any column: it is Django that can't read it there.
        def is_unfit(value: Any) -> bool:
            return value is not None and not holds(field_type, _text(value))

        name = f"{TABLE_PREFIX}unfit"
        self.connection.ensure_connection()
        self.connection.connection.create_function(name, 1, is_unfit, deterministic=True)
        return f"{name}({self.quote(table)}.{self.quote(column)})"

    def create_copy(self, name: str, select: str, key: Sequence[str]) -> int:
        count = super().create_copy(name, select, key)
        if key:
            # Rows are restored by a look-up each: SQLite has no hash join.
            index = self.quote(f"{name}_key")
            self.execute(f"CREATE UNIQUE INDEX {index} ON {self.quote(name)} ({self._names(key)})")
        return count

    def number_rows(
        self, name: str, table: str, key: Sequence[str], beside: Sequence[str] = ()
    ) -> None:
        super().number_rows(name, table, key, beside)
        index = self.quote(f"{name}_number")
        self.execute(f"CREATE INDEX temp.{index} ON {self.quote(name)} (number_)")

    def skip_keys(self, table: str, highest: int) -> None:
        # https://www.sqlite.org/autoinc.html: it has the row once the table has had rows.
        self.execute("DELETE FROM sqlite_sequence WHERE name = %s AND seq < %s", [table, highest])
        self.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT %s, %s "
            "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = %s)",
            [table, highest, table],
        )

    def lock(self, tables: Sequence[str]) -> None:
        # The first statement that may write gives the transaction the lock of the whole file.
        for table in tables[:1]:
            self.execute(f"DELETE FROM {self.quote(table)} WHERE 1 = 0")

    def write_mark(self, table: str) -> Any:
        # The version counts what other connections commit: to this one, since it was opened.
        # https://www.sqlite.org/pragma.html#pragma_data_version
        ((version,),) = self.fetch("PRAGMA data_version")
        return self.connection.connection, version

    def was_written(self, table: str, mark: Any, condition: str, rows: int) -> bool:
        return bool(self.write_mark(table) != mark)

    @contextmanager
    def without_triggers(self, tables: Collection[str]) -> Iterator[list[str]]:
        # A trigger can't be switched off, only dropped and made again.
        found = [one for name in sorted(tables) for one in self.fetch(_TRIGGERS, [name])]
        with transaction.atomic(self.connection.alias):
            for name, _ in found:
                self.execute(f"DROP TRIGGER {self.quote(name)}")
            yield []
            for _, sql in found:
                self.execute(sql.replace("%", "%%"))

    def error_is_done(self, error: DatabaseError) -> bool:
        return bool(re.search(_DONE, str(error)))

    def error_is_transient(self, error: DatabaseError) -> bool:
        return str(getattr(error.__cause__, "sqlite_errorname", "")).startswith(_TRANSIENT)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _is_in_memory(name: str) -> bool:
    is_uri = name.startswith("file:")
    return name == ":memory:" or (is_uri and (":memory:" in name or "mode=memory" in name))
