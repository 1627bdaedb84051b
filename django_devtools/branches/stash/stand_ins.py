"""
What is in the place of an entry that waits, and which of it nobody has edited.

If only some of the steps that dropped something are undone, its table or column is there again,
with what migrations have put into it: its stand-in. A copy of that, the residue, tells it from
edits, cell by cell. When the entry comes back, it replaces what is in the residue, and edits stay.
"""

from collections.abc import Iterable, Mapping

from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.structure import Item
from django_devtools.conf import TABLE_PREFIX

from .entries import Entry
from .present_names import Names
from .save import Copy, add_mark, write_residue

EDITED = f"{TABLE_PREFIX}edited"
"""The column of a residue that says what was edited of a row: the sum of the bits of its cells."""

LAST_BIT = 30
"""What the smallest type of numbers has room for. The columns after that are edited together."""


def remember(tables: Tables, entry: Entry, names: Names) -> Entry:
    """
    Write down what stands in for ``entry``, under its present ``names``. The entry with that.

    Rows that an earlier residue does not have were edited before, or are new.
    """
    live = _live_names(tables, entry, names)
    if not live:
        return entry
    renamed = {name: saved for saved, name in live.items()}
    copy = Copy(names.table, entry.is_table, {}, entry.key, list(renamed), renamed=renamed)
    # A row that only the table has is no edit if a migration has inserted it.
    write_residue(tables, entry, copy, "" if entry.is_table else entry.copy, EDITED)
    if entry.is_table:
        _skip_keys(tables, entry, names.table)
    columns = {
        saved: column._replace(stand_in=(names.table, live[saved]) if saved in live else None)
        for saved, column in entry.columns.items()
    }
    return entry._replace(columns=columns)


def note_edits(tables: Tables, entry: Entry) -> None:
    """Note in the residue what was edited or deleted since, if its place is still there."""
    stand_ins = {saved: column.stand_in for saved, column in entry.columns.items()}
    items = {saved: item for saved, item in stand_ins.items() if item}
    ((table, _), *_) = items.values()
    live_key = tables.key(table) if table in tables.names else []
    if len(live_key) != len(entry.key) or entry.residue not in tables.names:
        return
    if not all(tables.has_item(*item) for item in items.values()):
        return
    if not {*entry.key, *items} <= tables.columns(entry.copy).keys():
        return  # Killed while its columns got other names, which the next step finishes.
    _mark(tables, entry, table, dict(zip(live_key, entry.key, strict=True)), items)


def is_unedited(tables: Tables, entry: Entry) -> bool:
    """Whether all rows still have what was noted of the columns that stand in for ``entry``."""
    items = [column.stand_in for column in entry.columns.values() if column.stand_in]
    if entry.is_table or not items or entry.residue not in tables.names:
        return False
    if not all(tables.has_item(*item) for item in items):
        return False
    table, _ = items[0]
    if tables.key(table) != entry.key or EDITED not in tables.columns(entry.residue):
        return False
    return not tables.has_rows(table, f"NOT {unedited_sql(tables, entry, table, entry.columns)}")


def _mark(
    tables: Tables, entry: Entry, table: str, key: Mapping[str, str], items: Mapping[str, Item]
) -> None:
    """Mark the cells that are no longer what ``items`` of ``table`` hold in rows of equal key."""
    if EDITED not in tables.columns(entry.residue):
        add_mark(tables, entry.residue, EDITED)
    is_there = tables.same_rows_sql(table, entry.residue, key)
    q, residue, same = tables.quote, tables.quote(entry.residue), tables.dialect.same_values
    tables.execute(
        f"DELETE FROM {residue} WHERE NOT EXISTS (SELECT 1 FROM {q(table)} WHERE {is_there})"
    )
    edited = f"{residue}.{q(EDITED)}"
    bits = _bits(tables, entry)
    for saved, (_, column) in items.items():
        is_same = same(f"{q(table)}.{q(str(column))}", f"{residue}.{q(saved)}")
        edited += f" | CASE WHEN {is_same} THEN 0 ELSE {bits[saved]} END"
    update = tables.dialect.update_from(residue, {EDITED: edited}, q(table), is_there, "1 = 1")
    tables.execute(update)


def unedited_sql(tables: Tables, entry: Entry, table: str, columns: Iterable[str]) -> str:
    """SQL for the rows of ``table`` that the residue has, without edits in ``columns``."""
    q, residue = tables.quote, entry.residue
    same = tables.same_rows_sql(residue, table, {name: name for name in entry.key})
    bits = _bits(tables, entry)
    mask = sum({bits[column] for column in columns})
    is_unedited = f"({q(residue)}.{q(EDITED)} & {mask}) = 0"
    return f"EXISTS (SELECT 1 FROM {q(residue)} WHERE {same} AND {is_unedited})"


def _bits(tables: Tables, entry: Entry) -> dict[str, int]:
    """The bit of each column, which is that of its position in the copy: it stays the same."""
    return {
        name: 1 << min(position, LAST_BIT)
        for position, name in enumerate(tables.columns(entry.copy))
    }


def _skip_keys(tables: Tables, entry: Entry, table: str) -> None:
    """Keep the keys of rows that wait from being given to new ones."""
    saved, name = entry.key[0], tables.key(table)[0]
    if len(entry.key) > 1 or not tables.columns(table)[name].is_integer:
        return
    key, copy = tables.quote(saved), tables.quote(entry.copy)
    ((highest,),) = tables.dialect.fetch(f"SELECT MAX({key}) FROM {copy}")
    if highest is not None and name not in tables.parents(table):
        tables.dialect.skip_keys(table, highest)


def _live_names(tables: Tables, entry: Entry, names: Names) -> dict[str, str]:
    """The columns that are there, by their names in the stash; none if no key tells rows apart."""
    if not entry.key or names.table not in tables.names:
        return {}
    there = tables.columns(names.table)
    live = {saved: name for saved, name in names.columns.items() if name in there}
    has_key = tables.key(names.table) == [live.get(saved) for saved in entry.key]
    return live if has_key and not live.keys().isdisjoint(entry.columns) else {}
