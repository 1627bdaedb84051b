"""Which data of a table is saved in the stash, and the SQL that copies it."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.introspection import ColumnInfo, Tables

from .entries import Entry, Return, StashedColumn

_ALL_ROWS = "1 = 1"
"""The SQL condition that each row meets."""


class Copy(NamedTuple):
    """A copy that is to be made of a table, or of some of its columns."""

    table: str
    is_table: bool
    """Whether the whole table is copied, and not some columns."""
    columns: Mapping[str, StashedColumn]
    """The columns that are saved."""
    key: list[str]
    """The columns of the primary key, which tell rows apart; empty if there is none."""
    names: list[str]
    """All columns of the copy: those that are saved, and those of the key."""
    condition: str = _ALL_ROWS
    """The SQL condition of the rows that are copied."""
    renamed: Mapping[str, str] = {}
    """The names in the copy of the columns that have other names there."""
    computed: Mapping[str, str] = {}
    """SQL for the columns that only the copy has."""

    def into(self, tables: Tables, name: str) -> int:
        """Create the table ``name`` with the copy in it. Returns the number of rows."""
        count = tables.dialect.create_copy(name, self._select(tables), self.key)
        tables.names.add(name)
        return tables.count(name) if count < 0 else count

    def again(self, tables: Tables, name: str) -> int:
        """Fill the table ``name``, which has an older copy, anew. Returns the number of rows."""
        names = ", ".join(tables.quote(self.renamed.get(one, one)) for one in self.names)
        tables.execute(f"DELETE FROM {tables.quote(name)}")
        count = tables.execute(
            f"INSERT INTO {tables.quote(name)} ({names}) {self._select(tables)}"
            f"{tables.dialect.locking_read}"
        )
        return tables.count(name) if count < 0 else count

    def _select(self, tables: Tables) -> str:
        q, dialect = tables.quote, tables.dialect
        # What a migration brought, it can't drop while a copy depends on it.
        lasting = {
            name: f'{"::text" if kind else ""} COLLATE "default"'
            for name, kind in dialect.custom_types(self.table).items()
        }
        columns = ", ".join(
            [
                f"{q(one)}{lasting.get(one, '')} AS {q(self.renamed.get(one, one))}"
                for one in self.names
            ]
            + [f"{sql} AS {q(name)}" for name, sql in self.computed.items()]
        )
        return f"SELECT {columns} FROM {q(self.table)} WHERE {self.condition}"


def is_routed_here(connection: BaseDatabaseWrapper, loss: DataLoss) -> bool:
    """Whether the routers let the model of a table or column migrate in this database."""
    app, model = loss.model
    return router.allow_migrate(connection.alias, app, model_name=model)


def copies_of(tables: Tables, losses: Iterable[DataLoss]) -> list[Copy]:
    """The copies of what is about to be lost, one for each entry of the stash."""
    copies = [_copy_of(tables, group) for group in _grouped(losses)]
    return [copy for copy in copies if copy is not None]


def save_residue(tables: Tables, entry: Entry) -> None:
    """
    Copy what is left in a narrowed column into the entry's residue.

    A value that differs from it later was edited meanwhile. Rows that an earlier residue does not
    have were edited before.
    """
    table, column = entry.narrowed
    if not entry.key or table not in tables.names:
        return
    key, live_key = key_of(tables, entry), tables.key(table)
    if not key or column not in tables.columns(table):
        return
    if live_key != entry.key and column in {*live_key, *entry.key}:
        return
    names = list(dict.fromkeys([*live_key, column]))
    copy = Copy(table, False, {}, entry.key, names, renamed=key)
    write_residue(tables, entry, copy, entry.copy)


def write_residue(
    tables: Tables, entry: Entry, copy: Copy, known: str, mark: str | None = None
) -> None:
    """
    Make ``copy`` the entry's residue, with those rows only that the earlier residue has.

    Without an earlier one, with those that the table ``known`` has; with all if that is empty.
    ``mark`` is a column of numbers that only residues have: that of the earlier one, or else 0.
    """
    finish_residue(tables, entry)
    live = {saved: name for name, saved in copy.renamed.items()}
    key = {name: live.get(name, name) for name in entry.key}
    has_earlier = entry.residue in tables.names
    if has_earlier:
        known = entry.residue
    if known:
        copy = copy._replace(condition=tables.exists_sql(known, copy.table, key))
    if mark:
        marked = _earlier_mark(tables, entry.residue, mark, copy.table, key)
        copy = copy._replace(computed={mark: marked})
    copy.into(tables, entry.next_residue if has_earlier else entry.residue)
    if has_earlier:
        drop_table(tables, entry.residue)
        finish_residue(tables, entry)


def _earlier_mark(
    tables: Tables, residue: str, mark: str, table: str, key: Mapping[str, str]
) -> str:
    """SQL for the ``mark`` that the earlier residue has of a row of ``table``; 0 without one."""
    if residue not in tables.names:
        return "0"
    if mark not in tables.columns(residue):
        add_mark(tables, residue, mark)
    same = tables.same_rows_sql(residue, table, key)
    return f"(SELECT {tables.quote(mark)} FROM {tables.quote(residue)} WHERE {same})"


def finish_residue(tables: Tables, entry: Entry) -> None:
    """
    Finish writing a residue, wherever a kill has interrupted that.

    Until it drops the earlier one, that counts.
    """
    if entry.next_residue not in tables.names:
        return
    if entry.residue not in tables.names:
        rows = f"SELECT * FROM {tables.quote(entry.next_residue)}"
        tables.dialect.create_copy(entry.residue, rows, entry.key)
        tables.names.add(entry.residue)
    drop_table(tables, entry.next_residue)


def drop_table(tables: Tables, name: str) -> None:
    """Drop a table of the stash, if it is there."""
    tables.execute(f"DROP TABLE IF EXISTS {tables.quote(name)}")
    tables.names.discard(name)


def add_mark(tables: Tables, residue: str, mark: str) -> None:
    """Earlier versions took rows with edits out of a residue, and marked no cells."""
    tables.execute(
        f"ALTER TABLE {tables.quote(residue)} ADD COLUMN {tables.quote(mark)} "
        "integer DEFAULT 0 NOT NULL"
    )


def key_of(tables: Tables, entry: Entry) -> dict[str, str]:
    """
    The names in the entry of the primary key of a narrowed column's table, by its names now.

    Empty if the table has another key by now.
    """
    table, _ = entry.narrowed
    live, saved = tables.key(table), entry.key
    if live != saved and tables.dialect.copies_have_types:
        # A key of the same types was renamed.
        there, copied = tables.columns(table), tables.columns(entry.copy)
        custom = tables.dialect.custom_types(table)
        types = ["text" if custom.get(name) else there[name].type for name in live]
        if types != [copied[name].type for name in saved]:
            return {}
    return dict(zip(live, saved, strict=True)) if len(live) == len(saved) else {}


def renewed(tables: Tables, entry: Entry) -> Entry:
    """
    The entry with the rows that were edited or inserted since it was saved and before the drop.

    Edited rows are saved again only if no migration of the switch may have written them.
    """
    q, key = tables.quote, entry.key
    names = ", ".join(map(q, dict.fromkeys([*key, *entry.columns])))
    has_value = " OR ".join(f"{q(name)} IS NOT NULL" for name in entry.columns)
    with transaction.atomic(tables.connection.alias):
        if not entry.fills:
            is_there = tables.exists_sql(entry.table, entry.copy, key)
            is_same = tables.exists_sql(entry.table, entry.copy, key, entry.columns)
            tables.execute(f"DELETE FROM {q(entry.copy)} WHERE {is_there} AND NOT {is_same}")
        tables.execute(
            f"INSERT INTO {q(entry.copy)} ({names}) SELECT {names} FROM {q(entry.table)} "
            f"WHERE NOT {tables.exists_sql(entry.copy, entry.table, key)} AND ({has_value})"
        )
    return with_present_facts(tables, entry, tables.count(entry.copy))


def with_present_facts(tables: Tables, entry: Entry, rows: int) -> Entry:
    """``entry`` with the number of its rows, and the highest keys they can refer to by now."""
    newest = _newest(tables, entry.table, entry.infos) if entry.is_table else {}
    columns = {
        name: column._replace(newest=newest.get(name)) for name, column in entry.columns.items()
    }
    return entry._replace(columns=columns, rows=rows)


def _grouped(losses: Iterable[DataLoss]) -> list[list[DataLoss]]:
    """The losses that share an entry: a table alone, and the columns of a table together."""

    def group(loss: DataLoss) -> tuple[str, bool, tuple[str, ...], bool]:
        # Each narrowed column has an entry of its own, as it may be edited without the others; and
        # each that no model knows, as any of them may be made.
        narrowed = (loss.becomes[0], str(loss.column)) if loss.becomes else ()
        if loss.is_unknown:
            narrowed = ("", str(loss.column))
        # What only SQL may make again is restored if it is missing, and everything else always.
        return loss.table, loss.column is not None, narrowed, loss.is_certain

    return [list(found) for _, found in groupby(sorted(losses, key=group), group)]


def _copy_of(tables: Tables, group: list[DataLoss]) -> Copy | None:
    """The copy of what one table loses; None if there is nothing in it."""
    first = group[0]
    if first.table not in tables.names:
        return None
    if first.column is None:
        return _copy_of_table(tables, first)
    return _copy_of_columns(tables, group)


def _copy_of_table(tables: Tables, loss: DataLoss) -> Copy | None:
    there = tables.columns(loss.table)
    newest = _newest(tables, loss.table, there)
    columns = {
        name: StashedColumn(
            info,
            ".".join(loss.migration),
            newest=newest.get(name),
            returns=_return_of(loss),
            dropped_backwards=loss.dropped_backwards,
        )
        for name, info in there.items()
    }
    copy = Copy(loss.table, True, columns, tables.key(loss.table), list(columns))
    # A table that is empty, and that a migration fills when it makes it again, is restored as
    # empty only if the stash has an entry for it.
    is_worth_it = not loss.starts_empty or tables.has_rows(copy.table, copy.condition)
    return copy if columns and is_worth_it else None


def _copy_of_columns(tables: Tables, group: list[DataLoss]) -> Copy | None:
    table, there = group[0].table, tables.columns(group[0].table)
    columns = {
        loss.column: StashedColumn(
            there[loss.column],
            ".".join(loss.migration),
            loss.becomes,
            returns=_return_of(loss),
            dropped_backwards=loss.dropped_backwards,
            field_type=loss.field_type,
        )
        for loss in group
        if loss.column is not None and loss.column in there
    }
    if not columns:
        return None
    key = tables.key(table)
    names = list(dict.fromkeys([*key, *columns]))
    copy = Copy(table, False, columns, key, names, _has_loss(tables, group, columns))
    return copy if tables.has_rows(copy.table, copy.condition) else None


def _return_of(loss: DataLoss) -> Return:
    """How what is lost is restored. What SQL may make again may have values of its own."""
    return Return.REPLACE if loss.is_certain or loss.is_unknown else Return.MISSING


def _has_loss(tables: Tables, group: list[DataLoss], columns: Iterable[str]) -> str:
    """The SQL condition of the rows that lose something which is not made again."""
    quoted = [tables.quote(column) for column in columns]
    if all(loss.only_null for loss in group):
        return " OR ".join(f"{column} IS NULL" for column in quoted)
    if all(loss.starts_null for loss in group):
        return " OR ".join(f"{column} IS NOT NULL" for column in quoted)
    return _ALL_ROWS


def _newest(tables: Tables, table: str, there: Mapping[str, ColumnInfo]) -> dict[str, int | None]:
    """The highest key of each table that ``table`` refers to by numbers, by its own column."""
    newest = {}
    with tables.connection.cursor() as cursor:
        for column, parent in tables.parents(table).items():
            is_number = column in there and there[column].is_integer
            if is_number and parent.table in tables.names:
                key, rows = tables.quote(parent.column), tables.quote(parent.table)
                cursor.execute(f"SELECT MAX({key}) FROM {rows}", [])
                (newest[column],) = cursor.fetchone()
    return newest
