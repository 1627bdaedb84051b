"""Tables, columns, keys and rows, as the database has them now."""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from .dialects import dialect_of

# The names that the three databases have for integers; not point, int4range or interval.
_INTEGER = r"(?i)(tiny|small|medium|big)?int(eger)?(\(\d+\))?( unsigned)?( zerofill)?"


class ColumnInfo(NamedTuple):
    """A column as the database describes it."""

    type: str
    is_required: bool
    """Whether it is NOT NULL."""

    @property
    def is_integer(self) -> bool:
        return bool(re.fullmatch(_INTEGER, self.type))


class Parent(NamedTuple):
    """The table and column that a foreign key refers to."""

    table: str
    column: str


class _CaseInsensitiveNames(set[str]):
    """Lower-case names, for a database that ignores the case of the name it is asked for."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


class Tables:
    """The tables of one database, as they are at the time of each question."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.dialect = dialect_of(connection)

    @cached_property
    def names(self) -> set[str]:
        """All tables; read once, because each loss asks for them."""
        with self.connection.cursor() as cursor:
            found = self.connection.introspection.table_names(cursor)
        if self.connection.features.ignores_table_name_case:
            return _CaseInsensitiveNames(map(str.lower, found))
        return set(found)

    def present(self, names: Iterable[str]) -> set[str]:
        """The ``names`` of tables that are there. With ``&``, the case of each would matter."""
        return {name for name in names if name in self.names}

    def quote(self, name: str) -> str:
        """``name`` as SQL that takes parameters."""
        return self.dialect.quote(name)

    def execute(self, sql: str, params: Iterable[Any] = ()) -> int:
        """
        Run a statement and return the number of rows it affected.

        That is -1 if the driver doesn't report it.
        """
        return self.dialect.execute(sql, params)

    def has_rows(self, table: str, condition: str = "1 = 1") -> bool:
        """Whether a table has any rows, or any for which some SQL is true."""
        return bool(
            self.dialect.fetch(f"SELECT 1 FROM {self.quote(table)} WHERE {condition} LIMIT 1")
        )

    def has_item(self, table: str, column: str | None) -> bool:
        """Whether there is such a table and, if one is named, such a column of it."""
        return table in self.names and (column is None or column in self.columns(table))

    def bars(self, table: str, column: str | None) -> bool:
        """Whether it is there, and so can't be made."""
        is_there = self.has_item(table, column)
        return is_there and (column is not None or self.dialect.bars(table))

    def exists_sql(
        self,
        one: str,
        other: str,
        key: Iterable[str] | Mapping[str, str],
        columns: Iterable[str] = (),
    ) -> str:
        """
        SQL for the rows of ``other`` that ``one`` has, too: with their keys and values.

        A mapping as ``key`` gives the names in ``other`` of the columns of ``one``. Values are
        compared in ``columns``.
        """
        q = self.quote
        names = key if isinstance(key, Mapping) else {name: name for name in key}
        conditions = [self.same_rows_sql(one, other, names)]
        for column in columns:
            name = q(column)
            conditions.append(self.dialect.same_values(f"{q(one)}.{name}", f"{q(other)}.{name}"))
        return f"EXISTS (SELECT 1 FROM {q(one)} WHERE {' AND '.join(conditions)})"

    def same_rows_sql(
        self, one: str, other: str, columns: Mapping[str, str], alias: str = ""
    ) -> str:
        """
        SQL for pairs of rows of two tables that are equal in some columns.

        ``columns`` are those of ``other`` by those of ``one``, for which ``alias`` may stand.
        """
        types, other_types = self.dialect.custom_types(one), self.dialect.custom_types(other)
        pairs = []
        for name, other_name in columns.items():
            left = f"{self.quote(alias or one)}.{self.quote(name)}"
            right = f"{self.quote(other)}.{self.quote(other_name)}"
            kind = _common_type(types.get(name, ""), other_types.get(other_name, ""))
            if kind:
                left, right = (f"CAST({side} AS {kind})" for side in (left, right))
            pairs.append(f"{left} = {right}")
        return " AND ".join(pairs)

    def columns(self, table: str) -> Mapping[str, ColumnInfo]:
        """The columns that can be written to: not those which the database computes."""
        return {
            column.name: ColumnInfo(column.type, column.is_required)
            for column in self.dialect.describe_columns(table)
            if not column.is_generated
        }

    def key(self, table: str) -> list[str]:
        """The columns of the primary key."""
        with self.connection.cursor() as cursor:
            found = self.connection.introspection.get_primary_key_columns(cursor, table)
        return list(found or ())

    def parents(self, table: str) -> dict[str, Parent]:
        """What each foreign key refers to, by its column."""
        # Not get_constraints: on PostgreSQL, Django 6.1 splits the table's name at the first dot.
        with self.connection.cursor() as cursor:
            relations = self.connection.introspection.get_relations(cursor, table)
        return {column: Parent(found[1], found[0]) for column, found in relations.items()}

    def count(self, table: str, column: str | None = None) -> int:
        """How many rows a table has, or how many of them have a value in a column."""
        counted = "*" if column is None else self.quote(column)
        ((count,),) = self.dialect.fetch(f"SELECT COUNT({counted}) FROM {self.quote(table)}")
        return int(count)


def _common_type(one: str, other: str) -> str:
    """
    The type in which to compare two columns, if they differ; empty if they don't.

    A copy has text where its original has a type that a migration created. Only texts of citext
    are equal in more than one way.
    """
    if bool(one) is bool(other):
        return ""
    kind = one or other
    is_citext = kind.rpartition(".")[2] == "citext"
    return kind.replace("%", "%%") if is_citext else "text"
