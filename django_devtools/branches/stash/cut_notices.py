"""
The words about values that were changed because a column got narrower.

``running/narrowing.py`` changes them. They are in the stash as they were.
"""

import re

from django_devtools.branches.progress import database_option
from django_devtools.branches.schema.introspection import ColumnInfo, Tables

from .entries import Entry

_LENGTH = re.compile(r"\((\d+).*\)")
# No arrays of texts.
_TEXT = re.compile(r"(?i)(char|text|clob)[^\[]*$")
_DECIMAL = re.compile(r"(?i)numeric|decimal|num$")


def cut_values(tables: Tables, entry: Entry) -> str:
    """The words that say how many values of a narrowed column don't fit; empty if all do."""
    count = _count(tables, entry)
    if not count:
        return ""
    table, column = entry.narrowed
    values, they = ("value", "it was") if count == 1 else ("values", "they were")
    return (
        f"{count} {values} of {table}.{column} can't be held here, and the stash has what {they}: "
        f"manage.py migrations_stash show {entry.id}{database_option(tables.connection)}"
    )


def _count(tables: Tables, entry: Entry) -> int:
    (table, column), (saved,), q = entry.narrowed, entry.columns, tables.quote
    if not ({entry.copy, entry.residue} <= tables.names and tables.has_item(table, column)):
        return 0
    before, after = entry.infos[saved], tables.columns(table)[column]
    if _TEXT.search(before.type) and (length := _LENGTH.search(after.type)):
        # The copy alone tells, and need not be compared.
        value = f"{q(entry.copy)}.{q(saved)}"
        unfit = [tables.dialect.longer_than(value, int(length[1]))]
        unfit += [f"{value} IS NULL"] * after.is_required
        return _number(tables, f"{q(entry.copy)} WHERE {' OR '.join(unfit)}")
    if not _are_alike(before, after):
        # A value of another type has another text, also where nothing is lost.
        return 0
    one, other = f"{q(entry.copy)}.{q(saved)}", f"{q(entry.residue)}.{q(column)}"
    same = tables.dialect.same_values(one, other)
    if _DECIMAL.match(before.type):
        same = f"({one} = {other} OR ({one} IS NULL AND {other} IS NULL))"
    is_row = tables.same_rows_sql(entry.residue, entry.copy, {key: key for key in entry.key})
    return _number(
        tables, f"{q(entry.copy)} JOIN {q(entry.residue)} ON {is_row} WHERE NOT ({same})"
    )


def _number(tables: Tables, rows: str) -> int:
    ((count,),) = tables.dialect.fetch(f"SELECT COUNT(*) FROM {rows}")
    return int(count)


def _are_alike(one: ColumnInfo, other: ColumnInfo) -> bool:
    """Whether two columns differ in their size at most."""
    if one.is_integer and other.is_integer:
        return True
    if _TEXT.search(one.type) and _TEXT.search(other.type):
        return True
    return _LENGTH.sub("", one.type) == _LENGTH.sub("", other.type)
