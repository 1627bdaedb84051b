"""What differs on MySQL and MariaDB: the top of ``base.py`` lists the methods."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from decimal import Decimal
from typing import Any

from django.db import DatabaseError

from django_devtools.branches.schema.field_types import INTEGERS, TEXTS, holds

from .base import ColumnDescription, Dependent, Dialect, Look

# https://mariadb.com/docs/server/reference/system-tables/information-schema/information-schema-tables/information-schema-columns-table
# MySQL 8 calls a default that is an expression DEFAULT_GENERATED.
_COLUMNS = """
SELECT column_name, column_type, is_nullable = 'NO', extra LIKE '%%GENERATED%%'
AND extra NOT LIKE '%%DEFAULT_GENERATED%%'
FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position
"""
_REQUIRED = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND is_nullable = 'NO' AND column_default IS NULL
AND extra NOT LIKE '%%auto_increment%%' AND extra NOT LIKE '%%GENERATED%%'
"""
_SIZE = """
SELECT data_length + index_length FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = %s
"""
_ROWS = """
SELECT table_rows FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = %s
"""
# https://mariadb.com/docs/server/reference/system-tables/information-schema/information-schema-tables/information-schema-innodb-tables/information-schema-innodb_trx-table
_WRITTEN = """
SELECT trx_rows_modified FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = %s
"""
_STATE = "SELECT state FROM information_schema.processlist WHERE id = %s"
_UPDATED = """
SELECT update_time, FROM_UNIXTIME(UNIX_TIMESTAMP()) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name = %s
"""
_TRIGGERS = """
SELECT event_object_table, trigger_name FROM information_schema.triggers
WHERE event_object_schema = DATABASE() ORDER BY event_object_table, trigger_name
"""

# The server takes the date or the time out of a value that has both.
_PARTS_OF_DATETIME = ("DateField", "TimeField")
# https://mariadb.com/docs/server/reference/error-codes/mariadb-error-code-reference
_DONE = {1022, 1050, 1051, 1054, 1060, 1061, 1091, 1146, 1826}
_TRANSIENT = (
    # disk, memory, connections
    *("1021", "1026", "1030", "1037", "1038", "1040", "1041", "1053", "1114", "1158", "1159"),
    *("1160", "1161", "1927", "2006", "2013", "2055"),
    # locks and time limits
    *("1205", "1206", "1213", "1317", "1969", "3024", "4031"),
)
# MariaDB 10.11.19 resolves the columns in a CHECK by the names they had when it last opened the
# table, and so may reject RENAME COLUMN with 1054 although the rename is not done.
_STALE = r"Unknown column .* in '(CHECK|GENERATED ALWAYS AS|DEFAULT)'"

# Of each column of each foreign key that refers to a table.
_REFERRING = """
SELECT constraint_name, table_name, column_name FROM information_schema.key_column_usage
WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE()
AND referenced_table_name = %s AND table_name <> referenced_table_name
ORDER BY table_name, constraint_name, ordinal_position
"""


class MySQLDialect(Dialect):
    """MySQL and MariaDB, which differ in none of this."""

    default_port = 3306
    # It also reads what was committed since the transaction began.
    locking_read = " LOCK IN SHARE MODE"

    def describe_columns(self, table: str) -> list[ColumnDescription]:
        return [
            ColumnDescription(name, kind, bool(is_required), bool(is_generated))
            for name, kind, is_required, is_generated in self.fetch(_COLUMNS, [table])
        ]

    def required_columns(self) -> list[tuple[str, str]]:
        return [(table, column) for table, column in self.fetch(_REQUIRED)]

    def _table_size(self, table: str) -> Any:
        found = self.fetch(_SIZE, [table])
        return found[0][0] if found else None

    def estimated_rows(self, table: str, most: int) -> int:
        found = self.fetch(_ROWS, [table])
        return int(found[0][0] or 0) if found else 0

    def session_id(self) -> int | None:
        driver: Any = self.connection.connection
        return driver.thread_id() if driver else None

    def be_brief(self) -> None:
        self.execute("SET SESSION lock_wait_timeout = 1")

    def look(self, session: int) -> Look:
        rows, note = None, ""
        for (state,) in self.fetch(_STATE, [session]):
            if "lock" in (state or ""):
                note = f"the server says: {state}"
        # Only whoever has the privilege PROCESS may see it.
        with suppress(DatabaseError):
            for (written,) in self.fetch(_WRITTEN, [session]):
                rows = int(written)
        return Look(rows=rows, note=note)

    def dependents(self, table: str, column: str | None) -> list[Dependent]:
        # Nothing goes along. The DROP of a table fails, and a migration would stop half-way.
        if column is not None:
            return []
        columns: dict[tuple[str, str], list[str]] = {}
        for key, referring, name in self.fetch(_REFERRING, [table]):
            columns.setdefault((referring, key), []).append(name)
        return [
            Dependent(f"ALTER TABLE {referring} DROP FOREIGN KEY {key}", referring, names)
            for (referring, key), names in columns.items()
        ]

    def same_values(self, one: str, other: str) -> str:
        # Collations ignore case, accents or trailing spaces.
        return f"CAST({one} AS BINARY) <=> CAST({other} AS BINARY)"

    def unfit(self, table: str, column: str, kind: str, field_type: str) -> str:
        # No function of its own can catch an error, and without strict mode each cast succeeds.
        value = (
            f"HEX(CAST({self.quote(table)}.{self.quote(column)} AS CHAR CHARACTER SET utf8mb4))"
        )
        found = [one for (one,) in self.fetch(f"SELECT DISTINCT {value} FROM {self.quote(table)}")]
        unfit = [
            f"'{one}'"
            for one in found
            if one is not None
            and not self._holds(kind, field_type, bytes.fromhex(one).decode(errors="replace"))
        ]
        return f"{value} IN ({', '.join(unfit)})" if unfit else "1 = 0"

    def _holds(self, kind: str, field_type: str, text: str) -> bool:
        if field_type in TEXTS:
            length = re.fullmatch(r"varchar\((\d+)\)", kind)
            return length is None or len(text) <= int(length[1])
        if field_type in _PARTS_OF_DATETIME and holds("DateTimeField", text):
            return True
        if not holds(field_type, text):
            return False
        if field_type in INTEGERS:
            low, high = self.connection.ops.integer_field_range(field_type)
            return bool(low <= Decimal(text) <= high)
        return True

    def readable_in_delete(self, table: str, column: str) -> str:
        # DELETE can't read the table it deletes from (error 1093), but a derived table that the
        # server can't merge into the statement: https://dev.mysql.com/doc/refman/8.4/en/delete.html
        name = self.quote(column)
        return f"(SELECT DISTINCT {name} FROM {self.quote(table)})"

    def update_from(
        self, table: str, values: Mapping[str, str], source: str, joined: str, condition: str
    ) -> str:
        # It has no row constructors in SET: https://dev.mysql.com/doc/refman/8.4/en/update.html
        pairs = ", ".join(f"{table}.{self.quote(c)} = {value}" for c, value in values.items())
        return f"UPDATE {table} JOIN ({source}) ON {joined} SET {pairs} WHERE {condition}"

    def create_copy(self, name: str, select: str, key: Sequence[str]) -> int:
        # Rows are restored by a look-up each: MariaDB has no hash join that would save the index.
        primary = f" (PRIMARY KEY ({self._names(key)}))" if key else ""
        return self.execute(f"CREATE TABLE {self.quote(name)}{primary} AS {select}")

    def number_rows(
        self, name: str, table: str, key: Sequence[str], beside: Sequence[str] = ()
    ) -> None:
        # CREATE INDEX would commit, and so would DROP TABLE; with TEMPORARY they don't:
        # https://dev.mysql.com/doc/refman/8.4/en/implicit-commit.html
        indexes = f"PRIMARY KEY ({self._names(key)}), UNIQUE (number_)"
        numbered = self._numbered(table, key)
        self.execute(f"CREATE TEMPORARY TABLE {self.quote(name)} ({indexes}) AS {numbered}")

    def drop_temporary(self, name: str) -> None:
        self.execute(f"DROP TEMPORARY TABLE {self.quote(name)}")

    def write_mark(self, table: str) -> Any:
        # MySQL 8 remembers these times for a day, unless a session asks for the present ones.
        if not getattr(self.connection, "mysql_is_mariadb", False):
            self.execute("SET SESSION information_schema_stats_expiry = 0")
        found = self.fetch(_UPDATED, [table])
        return found[0] if found else (None, None)

    def was_written(self, table: str, mark: Any, condition: str, rows: int) -> bool:
        # Whole seconds are known, of when a statement began: in that of the mark, all is possible.
        # No lock is known that outlives the commit of DDL and lets other tables be used.
        (then, marked), (updated, _) = mark, self.write_mark(table)
        return bool(updated != then or (updated is not None and updated >= marked))

    def without_triggers(self, tables: Collection[str]) -> AbstractContextManager[list[str]]:
        # Neither server can switch one off, and DROP TRIGGER would commit.
        firing = [name for table, name in self.fetch(_TRIGGERS) if table in tables]
        return nullcontext(firing)

    def skip_keys(self, table: str, highest: int) -> None:
        # InnoDB never goes below the highest key that is there.
        self.execute(f"ALTER TABLE {self.quote(table)} AUTO_INCREMENT = {int(highest) + 1}")

    def lenient_mode(self) -> AbstractContextManager[None]:
        """A context without strict mode: values that don't fit are cut or become a limit or 0."""
        return self._sql_mode(lambda mode: "")

    def explicit_keys(self) -> AbstractContextManager[None]:
        """A context in which 0 does not ask for a new key."""
        return self._sql_mode("{},NO_AUTO_VALUE_ON_ZERO".format)

    @contextmanager
    def _sql_mode(self, change: Callable[[str], str]) -> Iterator[None]:
        """Work in another mode, which ``change`` makes of the current one."""
        ((mode,),) = self.fetch("SELECT @@SESSION.sql_mode")
        self.execute("SET SESSION sql_mode = %s", [change(mode)])
        try:
            yield
        finally:
            self.execute("SET SESSION sql_mode = %s", [mode])

    def error_is_done(self, error: DatabaseError) -> bool:
        if re.search(_STALE, str(error)):
            return False
        code = error.args[0]
        # A foreign key of that name is there already: 1005 with the operating system's error 121.
        is_foreign_key_there = code == 1005 and "errno: 121" in str(error)
        return code in _DONE or is_foreign_key_there

    def error_is_transient(self, error: DatabaseError) -> bool:
        code = error.args[0] if error.args else ""
        return str(code).startswith(_TRANSIENT)
