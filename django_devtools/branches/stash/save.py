"""What is copied of a table into the stash, and the SQL that does it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby

from django.db import router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.introspection import ColumnInfo, Tables

from .entries import Entry, StashedColumn


@dataclass(frozen=True)
class Copy:
    """What is to be copied of a table."""

    table: str
    is_table: bool
    columns: Mapping[str, StashedColumn]
    key: list[str]
    names: list[str]
    """All columns of the copy: with those of the key."""
    condition: str = "1 = 1"
    renamed: Mapping[str, str] = field(default_factory=dict)
    """The columns that have other names in the copy."""

    def into(self, tables: Tables, name: str) -> int:
        """Copy it into a table of its own. How many rows there were."""
        q = tables.quote
        keys = ", ".join(map(q, self.key))
        # Its way back is a look-up for each row, where there is no hash join.
        vendor = tables.connection.vendor
        primary = f" (PRIMARY KEY ({keys}))" if keys and vendor == "mysql" else ""
        # What a migration brought, it can't drop while a copy depends on it.
        lasting = {
            name: f'{"::text" if kind else ""} COLLATE "default"'
            for name, kind in tables.brought(self.table).items()
        }
        columns = ", ".join(
            f"{q(one)}{lasting.get(one, '')} AS {q(self.renamed.get(one, one))}"
            for one in self.names
        )
        count = tables.execute(
            f"CREATE TABLE {q(name)}{primary} AS "
            f"SELECT {columns} FROM {q(self.table)} WHERE {self.condition}"
        )
        if keys and vendor == "sqlite":
            tables.execute(f"CREATE UNIQUE INDEX {q(f'{name}_key')} ON {q(name)} ({keys})")
        tables.names.add(name)
        return tables.count(name) if count < 0 else count


def is_routed_here(connection: BaseDatabaseWrapper, loss: DataLoss) -> bool:
    """Whether what is lost is something that the routers have in this database."""
    app, model = loss.model
    return router.allow_migrate(connection.alias, app, model_name=model)


def copies_of(tables: Tables, losses: Iterable[DataLoss]) -> list[Copy]:
    """What there is to be copied of what is about to be lost: one for each entry."""
    found = [_copy_of(tables, group) for group in _grouped(losses)]
    return [copy for copy in found if copy]


def save_residue(tables: Tables, entry: Entry) -> None:
    """Remember what a narrowed column holds: what differs later, someone has changed."""
    table, column = entry.narrowed
    if not entry.key or entry.residue in tables.names or table not in tables.names:
        return
    key, live, there = key_of(tables, entry), tables.key(table), tables.columns(table)
    if key and column in there and (live == entry.key or column not in {*live, *entry.key}):
        known = tables.has(entry.copy, table, {kept: now for now, kept in key.items()})
        names = list(dict.fromkeys([*live, column]))
        copy = Copy(table, False, {}, entry.key, names, known, renamed=key)
        copy.into(tables, entry.residue)


def key_of(tables: Tables, entry: Entry) -> dict[str, str]:
    """The key of a narrowed column's table: its names of now, and those that the entry has."""
    table, _ = entry.narrowed
    live, kept = tables.key(table), entry.key
    if live != kept and tables.connection.vendor != "sqlite":
        # Renamed, if it is of the same types; else another one. SQLite's copies have no types.
        there, copied = tables.columns(table), tables.columns(entry.copy)
        brought = tables.brought(table)
        types = ["text" if brought.get(name) else there[name].type for name in live]
        if types != [copied[name].type for name in kept]:
            return {}
    return dict(zip(live, kept, strict=True)) if len(live) == len(kept) else {}


def narrow_again(tables: Tables, entry: Entry, newer: Entry) -> None:
    """Let a narrowed copy say what ``newer``, which narrowed it further, has left of it."""
    (table, column), narrowed = entry.narrowed, entry.residue
    q, key = tables.quote, dict(zip(newer.key, entry.key, strict=True))
    same = tables.same(table, narrowed, key_of(tables, entry))
    tables.execute(
        f"UPDATE {q(narrowed)} SET {q(column)} = "
        f"(SELECT {q(table)}.{q(column)} FROM {q(table)} WHERE {same}) "
        f"WHERE {tables.has(newer.residue, narrowed, key)} "
        f"AND {tables.has(newer.copy, narrowed, key, [column])}"
    )


def renewed(tables: Tables, entry: Entry) -> Entry:
    """
    Copy what was changed or came since an entry was made, while it is still in its place.

    Not what was changed where a migration may have done that on its way.
    """
    q, key = tables.quote, entry.key
    names = ", ".join(map(q, dict.fromkeys([*key, *entry.columns])))
    has_value = " OR ".join(f"{q(name)} IS NOT NULL" for name in entry.columns)
    with transaction.atomic(tables.connection.alias):
        if not entry.fills:
            tables.execute(
                f"DELETE FROM {q(entry.copy)} WHERE {tables.has(entry.table, entry.copy, key)} "
                f"AND NOT {tables.has(entry.table, entry.copy, key, entry.columns)}"
            )
        tables.execute(
            f"INSERT INTO {q(entry.copy)} ({names}) SELECT {names} FROM {q(entry.table)} "
            f"WHERE NOT {tables.has(entry.copy, entry.table, key)} AND ({has_value})"
        )
    newest = _newest(tables, entry.table, entry.infos) if entry.is_table else {}
    columns = {
        name: replace(column, newest=newest.get(name)) for name, column in entry.columns.items()
    }
    return replace(entry, columns=columns, rows=tables.count(entry.copy))


def _grouped(losses: Iterable[DataLoss]) -> list[list[DataLoss]]:
    """Whole tables one by one, and columns by their tables."""

    def group(loss: DataLoss) -> tuple[str, bool, tuple[str, ...], bool]:
        # Of what gets narrower, one column may be edited later, and another one not.
        narrowed = (loss.becomes[0], str(loss.column)) if loss.becomes else ()
        # What only SQL may make again comes back where there is nothing; the others always.
        return loss.table, loss.column is not None, narrowed, loss.is_certain

    return [list(found) for _, found in groupby(sorted(losses, key=group), group)]


def _copy_of(tables: Tables, group: list[DataLoss]) -> Copy | None:
    """What there is to be copied of one table, if anything."""
    loss = group[0]
    if loss.table not in tables.names:
        return None
    there, key = tables.columns(loss.table), tables.key(loss.table)
    migrations = {one.column: ".".join(one.migration) for one in group}
    if loss.column is None:
        newest = _newest(tables, loss.table, there)
        kept = {
            name: StashedColumn(
                info,
                migrations[None],
                newest=newest.get(name),
                dropped_backwards=loss.dropped_backwards,
            )
            for name, info in there.items()
        }
        names, condition = list(kept), ""
    else:
        kept = {
            one.column: StashedColumn(
                there[one.column],
                migrations[one.column],
                one.becomes,
                dropped_backwards=one.dropped_backwards,
            )
            for one in group
            if one.column and one.column in there
        }
        names = list(dict.fromkeys([*key, *kept]))
        if all(one.only_null for one in group):
            condition = " OR ".join(f"{tables.quote(column)} IS NULL" for column in kept)
        elif all(one.starts_null for one in group):
            condition = " OR ".join(f"{tables.quote(column)} IS NOT NULL" for column in kept)
        else:
            condition = ""
    copy = Copy(loss.table, loss.column is None, kept, key, names, condition or "1 = 1")
    # An empty table that a migration fills anew comes back empty only if that is written down.
    is_kept = loss.column is None and not loss.starts_empty
    return copy if kept and (is_kept or tables.has_rows(copy.table, copy.condition)) else None


def _newest(tables: Tables, table: str, there: Mapping[str, ColumnInfo]) -> dict[str, int | None]:
    """The highest key of each table that a table refers to by numbers, by its column."""
    found = {}
    with tables.connection.cursor() as cursor:
        for column, parent in tables.parents(table).items():
            is_number = column in there and there[column].is_integer
            if is_number and parent.table in tables.names:
                key, rows = tables.quote(parent.column), tables.quote(parent.table)
                cursor.execute(f"SELECT MAX({key}) FROM {rows}", [])
                (found[column],) = cursor.fetchone()
    return found
