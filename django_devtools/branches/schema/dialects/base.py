"""
The answers that databases have in common.

Rows are copied and restored with ``create_copy``, ``update_from``, ``number_rows``,
``overriding``, ``explicit_keys``, ``cast``, ``with_type``, ``same_values``,
``foreign_keys_to_drop``, ``check_unique_now`` and ``set_sequences``: compare these in ``mysql.py``
and ``postgresql.py``.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from django.db import DatabaseError, NotSupportedError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.tenants import tenant_of


class ColumnDescription(NamedTuple):
    """A column as the database describes it."""

    name: str
    type: str
    is_required: bool
    """Whether it is NOT NULL."""
    is_generated: bool
    """Whether the database computes its values."""


class ForeignKey(NamedTuple):
    """A foreign key that can be dropped and added again; each part is SQL."""

    table: str
    name: str
    definition: str


class Dependent(NamedTuple):
    """A foreign key or a view that DROP drops along with a table or a column, or fails for."""

    drop: str
    """The SQL that drops it alone, as a person would type it."""
    table: str = ""
    """The table that a foreign key belongs to; empty for a view."""
    columns: Sequence[str] = ()
    """The columns of a foreign key."""


class Look(NamedTuple):
    """What one connection sees of the statement that another one runs."""

    rows: int | None = None
    """How many rows its transaction has written."""
    size: int | None = None
    """How many bytes the database takes up, with what is not committed yet."""
    fraction: float | None = None
    """How much of it is done."""
    note: str = ""
    """What it is doing in particular, or waiting for."""


class Dialect:
    """
    What a database does in its own way.

    Arguments called ``table``, ``column`` or ``key`` are plain names. SQL, also that of a quoted
    name, is a ``str`` in which each literal ``%`` is doubled. Methods that run statements raise
    ``django.db.DatabaseError`` where the database rejects one.
    """

    default_port: int | str = ""
    """The port of a server whose settings name none."""

    rebuilds_tables = False
    """
    Whether a table is altered by copying it.

    Then half an alteration must never be committed, and no foreign key is dropped in between.
    """

    copies_have_types = True
    """Whether CREATE TABLE … AS gives the columns the types that they have in the original."""

    keeps_type_names = False
    """Whether it describes the type of a column as that was written, and not in its own words."""

    rejects_unfit = False
    """Whether a column can't be altered while it has values that don't fit."""

    rewrites_unchanged_rows = False
    """Whether UPDATE writes a row again even if no value changes."""

    overriding = ""
    """What an INSERT has to say before it may write to an identity column."""

    locking_read = ""
    """What a SELECT has to say so that nobody changes its rows before the transaction ends."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    def quote(self, name: str) -> str:
        """``name`` as SQL that takes parameters."""
        return str(self.connection.ops.quote_name(name)).replace("%", "%%")

    def execute(self, sql: str, params: Iterable[Any] = ()) -> int:
        """
        Run a statement and return the number of rows it affected.

        That is -1 if the driver doesn't report it.
        """
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return int(cursor.rowcount)

    def fetch(self, sql: str, params: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that a query returns."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, list(params))
            return list(cursor.fetchall())

    # Which database this is

    def database_identity(self) -> str:
        """The same text for each alias of this database; vendor, host, port and name."""
        configured = self.connection.settings_dict
        options = configured.get("OPTIONS") or {}
        # A file of the user's that says what the settings leave open.
        service = options.get("service") or options.get("read_default_file")
        host = configured.get("HOST") or service or "localhost"
        if host in ("127.0.0.1", "::1"):
            host = "localhost"
        port = configured.get("PORT") or self.default_port
        name = configured["NAME"] or ""
        identity = f"{self.connection.vendor}://{host}:{port}/{name}"
        # PostgreSQL: each schema has a django_migrations of its own.
        search_path = re.search(r"search_path\s*=\s*(\S+)", str(options.get("options", "")))
        tenant = tenant_of(self.connection)
        schemas = [search_path and search_path[1], tenant and tenant.schema]
        return "?".join([identity, *filter(None, schemas)])

    # What there is

    def describe_columns(self, table: str) -> list[ColumnDescription]:
        """The columns of a table, in their order."""
        raise NotSupportedError(f"The columns of {self.connection.display_name} are not known.")

    def required_columns(self) -> list[tuple[str, str]]:
        """All columns, each with its table, that an INSERT has to give a value to."""
        return []

    def bars(self, table: str) -> bool:
        """Whether a table that is there keeps another one of its name from being made."""
        return True

    def custom_types(self, table: str) -> dict[str, str]:
        """
        The columns whose type or collation some migration or extension created.

        By their types, which are empty where only the collation was created.
        """
        return {}

    def table_size(self, table: str) -> int | None:
        """How many bytes a table and its indexes take up; None where the database can't say."""
        try:
            return int(self._table_size(table))
        except (DatabaseError, TypeError):
            return None

    def _table_size(self, table: str) -> Any:
        return None

    def data_size(self, table: str) -> int | None:
        """How many bytes the rows of a table take up, and a copy, if there are sizes of both."""
        return None

    def restored_size(self, table: str, copy: str, rows: int, *, is_new: bool) -> int | None:
        """
        About how many bytes are written to restore the rows of a copy, if there are sizes.

        They are inserted if ``is_new``, and otherwise rows of ``table`` are updated by them.
        """
        return None

    def estimated_rows(self, table: str, most: int) -> int:
        """About how many rows a table has. Where that is counted, it ends at ``most``."""
        ((count,),) = self.fetch(
            f"SELECT COUNT(*) FROM (SELECT 1 FROM {self.quote(table)} LIMIT {int(most)}) some_"
        )
        return int(count)

    def foreign_keys_to_drop(self, table: str) -> list[ForeignKey]:
        """The foreign keys to drop while rows are restored, and to add again when they are."""
        return []

    def dependents(self, table: str, column: str | None) -> list[Dependent]:
        """What Django's DROP of a table, or of a column of it, drops along, or fails for."""
        return []

    # What another connection does

    def session_id(self) -> int | None:
        """By what other connections can ask about this one; None where they can't."""
        return None

    def be_brief(self) -> None:
        """Have no statement of this connection wait for others."""

    def look(self, session: int) -> Look:
        """What the connection with this ``session_id`` is doing, which is not this one."""
        return Look()

    # SQL

    def same_values(self, one: str, other: str) -> str:
        """SQL that compares two values of one type exactly; NULL equals NULL."""
        return f"{one} IS NOT DISTINCT FROM {other}"

    def with_type(self, value: str, kind: str) -> str:
        """SQL for a value whose type the database can't guess from its context."""
        return value

    def cast(self, value: str, kind: str) -> str:
        """SQL for a value of another type, to be assigned to a column of type ``kind``."""
        return value

    def unfit(self, table: str, column: str, kind: str, field_type: str) -> str:
        """
        SQL for the rows of ``table`` whose value in ``column`` does not fit another type.

        The database calls that ``kind``, and `type_of` says ``field_type``. NULL fits.
        """
        return "1 = 0"

    def longer_than(self, text: str, length: int) -> str:
        """SQL for a text that is too long for a column of ``length`` characters."""
        return f"CHAR_LENGTH({text}) > {length}"

    def readable_in_delete(self, table: str, column: str) -> str:
        """SQL for ``column`` of a table whose rows the same statement deletes."""
        return self.quote(table)

    def update_from(
        self, table: str, values: Mapping[str, str], source: str, joined: str, condition: str
    ) -> str:
        """
        A statement that sets columns of ``table`` to SQL over the rows of ``source``.

        ``joined`` says which rows of the two belong together, ``condition`` which of them count.
        All five are SQL, but for the names of columns.
        """
        # UPDATE … FROM would be shorter, but SQLite has it since 3.33 only, and Django 5.2
        # supports 3.31: https://www.sqlite.org/lang_update.html#update_from
        names = ", ".join(map(self.quote, values))
        rows = f"FROM {source} WHERE {joined} AND {condition}"
        return (
            f"UPDATE {table} SET ({names}) = (SELECT {', '.join(values.values())} {rows}) "
            f"WHERE EXISTS (SELECT 1 {rows})"
        )

    # What is done to tables

    def create_copy(self, name: str, select: str, key: Sequence[str]) -> int:
        """
        Create a table of what ``select`` returns, whose rows are looked up by ``key``.

        Returns the number of its rows, or -1 if the driver doesn't report it.
        """
        return self.execute(f"CREATE TABLE {self.quote(name)} AS {select}")

    def number_rows(
        self, name: str, table: str, key: Sequence[str], beside: Sequence[str] = ()
    ) -> None:
        """
        Create a temporary table of the keys of ``table``, numbered from 1 in ``number_``.

        Rows of ``table`` and of the tables ``beside`` it, which have the same key, are then looked
        up by these keys.
        """
        self.execute(f"CREATE TEMPORARY TABLE {self.quote(name)} AS {self._numbered(table, key)}")

    def _numbered(self, table: str, key: Sequence[str]) -> str:
        keys = self._names(key)
        return (
            f"SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {keys}) AS number_ "
            f"FROM {self.quote(table)}"
        )

    def drop_temporary(self, name: str) -> None:
        """Drop a temporary table."""
        self.execute(f"DROP TABLE {self.quote(name)}")

    def set_sequences(self, table: str) -> None:
        """Let the keys of new rows continue after the highest one, unless they do anyway."""

    def skip_keys(self, table: str, highest: int) -> None:
        """Let the keys of new rows continue after ``highest``, if the database gives them."""

    def check_unique_now(self, table: str) -> None:
        """
        Let each statement of this transaction check the table's unique constraints.

        Also those that are deferred. Foreign keys may wait for the rows that they refer to.
        """

    def check_foreign_keys_now(self) -> None:
        """Check the rows written so far, where a table can't be altered while they wait for it."""

    def coerce_values(
        self, table: str, column: str, kind: str, field_type: str, placeholder: Callable[[], Any]
    ) -> None:
        """
        Change the values of a column that don't fit the type ``kind``: cut or replace them.

        ``field_type`` is what `type_of` says of its field. ``placeholder`` gives the value that
        replaces one, None for NULL.
        """
        name, unfit = self.quote(column), self.unfit(table, column, kind, field_type)
        self.execute(f"UPDATE {self.quote(table)} SET {name} = %s WHERE {unfit}", [placeholder()])

    def lenient_mode(self) -> AbstractContextManager[None]:
        """A context in which the database coerces values itself, if it is able to."""
        return nullcontext()

    def explicit_keys(self) -> AbstractContextManager[None]:
        """A context in which each key is inserted with the value it has, also 0."""
        return nullcontext()

    def lock(self, tables: Sequence[str]) -> None:
        """Let nobody else write to ``tables`` until the transaction ends, if that is possible."""

    def write_mark(self, table: str) -> Any:
        """The present moment, as ``was_written`` takes it."""
        return None

    def was_written(self, table: str, mark: Any, condition: str, rows: int) -> bool:
        """
        Whether another connection may have written to a table since ``mark``.

        ``rows`` is how many rows met ``condition`` then or a little later. After ``lock`` the
        answer lasts until the transaction ends.
        """
        return True

    def without_triggers(self, tables: Collection[str]) -> AbstractContextManager[list[str]]:
        """
        A context in which no trigger of ``tables`` fires, and after which all are as they were.

        It gives the names of those that fire all the same.
        """
        return nullcontext([])

    def materialized_views(self, tables: Collection[str]) -> list[str]:
        """
        The materialized views that read ``tables``, also through other views, as SQL.

        Each comes after those that it reads.
        """
        return []

    def refresh_view(self, view: str) -> None:
        """Refresh a materialized view, which is given as SQL."""
        self.execute(f"REFRESH MATERIALIZED VIEW {view}")

    # What errors say

    def error_is_done(self, error: DatabaseError) -> bool:
        """Whether a statement failed because its work had been done already."""
        return False

    def error_is_transient(self, error: DatabaseError) -> bool:
        """
        Whether an error says nothing about the data, so that the same statement may work later.

        It is about the server, the disk, the connection or somebody's lock.
        """
        return False

    def _names(self, names: Iterable[str]) -> str:
        return ", ".join(map(self.quote, names))
