"""
What a switch does to tables and columns: which are lost, made, renamed and altered.

A switch first unapplies migrations and then applies others. The state in between, which both
histories start from, gives each table and column one identity: its name there, its `original`.

- Lost: what unapplied migrations had made, and what applied ones drop. A column is lost, too, if
  some of its values may not survive one of the directions: it gets narrower.
- Made: what unapplied migrations had dropped, and what applied ones make.
- Renamed: what exists before and after the switch, under two names.
- Altered: a column whose values got more or less room on the way.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from django_devtools.branches.sources.snapshots import Key

from .structure import Item
from .tracker import Column, SchemaHistory, Table

logger = logging.getLogger("django_devtools.branches")


class DataLoss(NamedTuple):
    """A table or a column whose data a switch drops or narrows, by its name before the switch."""

    migration: Key
    """The migration that does it, when it is unapplied or applied."""
    model: Key
    table: str
    column: str | None = None
    """None for a whole table."""
    becomes: Item | None = None
    """The narrower column that it is after the switch; None if it is dropped."""
    is_certain: bool = True
    """Whether an operation drops it; False if only SQL beside operations on the state may."""
    starts_null: bool = False
    """Whether a column holds nothing but NULL when it is made again."""
    starts_empty: bool = False
    """Whether a table has no rows when it is made again."""
    only_null: bool = False
    """Whether NULL is the only value that is lost when a column gets narrower."""
    needs_parent: bool = False
    """Whether it is a foreign key that may no longer be NULL, so that no value can stand in."""
    dropped_backwards: bool = False
    """Whether unapplying drops or narrows it, and not applying."""
    field_type: str = ""
    """The type of the field of a narrowed column before the switch, as `type_of` says it."""

    @property
    def item(self) -> Item:
        """The table or the column."""
        return self.table, self.column

    def __str__(self) -> str:
        if self.column is None:
            return f"table {self.table}"
        narrower = ", which gets narrower" if self.becomes else ""
        return f"column {self.table}.{self.column}{narrower}"


class SchemaChanges(NamedTuple):
    """What a switch does to tables and columns: first backwards, then forwards."""

    lost: list[DataLoss]
    """What is dropped or narrowed, by the names before; each thing once."""
    made: Mapping[Item, bool]
    """What exists only after the switch, and whether an operation, and not only SQL, makes it."""
    altered: set[Item]
    """The columns, by their names afterwards, that got narrower or wider on the way."""
    renamed: Mapping[Item, Item]
    """The names afterwards of what has other names before."""

    def name_of(self, item: Item) -> Item:
        """The name afterwards of a table or column, by its name before."""
        if item in self.renamed:
            return self.renamed[item]
        table, column = item
        new_table, _ = self.renamed.get((table, None), (table, None))
        return new_table, column


def losses(unapplied: SchemaHistory) -> Iterator[DataLoss]:
    """
    The tables and columns that unapplying migrations drops, by their names before that.

    ``unapplied`` is what they did when they were applied. Columns that get narrower are left out.
    """
    for table_name, table in unapplied.tables.items():
        if table.original is None:
            yield _lost_table(table, table_name, table)
            continue
        for name, column in table.columns.items():
            if column.original is None:
                yield _lost_column(table, table_name, name, column)


def schema_changes(unapplied: SchemaHistory, applied: SchemaHistory) -> SchemaChanges:
    """
    What a switch does that unapplies some migrations and applies others.

    ``unapplied`` is what the former did when they were applied: it leads from the state between
    both to the database as it is. ``applied`` is what the latter do from that state on.
    """
    before = _tables_before(unapplied, applied)
    shared = _shared_tables(before, applied)
    lost_backwards = frozenset(_lost_backwards(unapplied))
    lost = [
        loss._replace(dropped_backwards=loss.item in lost_backwards)
        for loss in _lost(before, shared, applied)
    ]
    made = list(_made(shared.values(), unapplied, applied))
    renamed = dict(_renamed(shared.values()))
    _explain(lost, made, renamed)

    altered_forwards: set[Item] = {
        (table_name, name)
        for table_name, table in applied.tables.items()
        for name, column in table.columns.items()
        if column.is_altered
    }
    altered_backwards = {item for table in shared.values() for item in table.altered_backwards()}
    return SchemaChanges(
        lost,
        {one.item: one.is_certain for one in made},
        altered_forwards | altered_backwards,
        renamed,
    )


class _Made(NamedTuple):
    """A table or a column that exists only after a switch, by its name there."""

    item: Item
    is_certain: bool
    migration: Key
    is_backwards: bool
    """Whether unapplying the migration makes it, and not applying."""


class _SharedTable(NamedTuple):
    """A table that exists before a switch and after it, with what was and will be done to it."""

    name_before: str
    unapplied: Table
    """With the columns by their names before."""
    name_after: str
    applied: Table
    """With the columns by their names afterwards."""

    def lost_columns(self) -> Iterator[DataLoss]:
        """Those that unapplied migrations had added, or applied ones drop; and narrowed ones."""
        after = self.applied.by_original()
        for name, column in self._columns_before().items():
            if column.original is None:
                yield _lost_column(self.unapplied, self.name_before, name, column)
            elif column.original in self.applied.dropped:
                dropped = self.applied.dropped[column.original]
                yield _lost_column(self.unapplied, self.name_before, name, dropped)
            else:
                unchanged = column.original, _untouched(column.original)
                name_after, column_after = after.get(column.original, unchanged)
                if column.narrows_backwards or column_after.narrows_forwards:
                    yield self._narrowed(name, column, name_after, column_after)

    def made_columns(self) -> Iterator[_Made]:
        """Those that applied migrations add, or unapplied ones had dropped."""
        for name, column in self.applied.columns.items():
            if column.original is None:
                yield self._made(name, column, is_backwards=False)
        names_after = {old: name for old, (name, _) in self.applied.by_original().items()}
        for original, column in self.unapplied.dropped.items():
            if original not in self.applied.dropped:
                yield self._made(names_after.get(original, original), column, is_backwards=True)

    def names(self) -> Iterator[tuple[Item, Item]]:
        """The names before and afterwards, of the table and of the columns that it keeps."""
        yield (self.name_before, None), (self.name_after, None)
        names_after = {old: name for old, (name, _) in self.applied.by_original().items()}
        dropped = self.unapplied.dropped.keys() | self.applied.dropped.keys()
        for name, column in self._columns_before().items():
            if column.original is not None and column.original not in dropped:
                name_after = names_after.get(column.original, column.original)
                yield (self.name_before, name), (self.name_after, name_after)

    def altered_backwards(self) -> Iterator[Item]:
        """The columns, by their names afterwards, that unapplying makes narrower or wider."""
        names_after = {old: name for old, (name, _) in self.applied.by_original().items()}
        for column in self.unapplied.columns.values():
            if column.is_altered and column.original is not None:
                yield self.name_after, names_after.get(column.original, column.original)

    def _columns_before(self) -> dict[str, Column]:
        """The columns that either side touches and that exist before, by their names then."""
        columns = dict(self.unapplied.columns)
        known = {column.original for column in columns.values()} | self.unapplied.dropped.keys()
        for original in [*self.applied.dropped, *self.applied.by_original()]:
            if original not in known:
                columns[original] = _untouched(original)
        return columns

    def _narrowed(
        self, name: str, column: Column, name_after: str, column_after: Column
    ) -> DataLoss:
        narrowing = column if column.narrows_backwards else column_after
        return DataLoss(
            narrowing.migration,
            self.unapplied.model,
            self.name_before,
            name,
            becomes=(self.name_after, name_after),
            only_null=column.only_null and column_after.only_null,
            needs_parent=column.needs_parent,
            field_type=column.type_after or column_after.type_before,
        )

    def _made(self, name: str, column: Column, is_backwards: bool) -> _Made:
        item = self.name_after, name
        return _Made(item, column.is_certain, column.migration, is_backwards)


def _tables_before(unapplied: SchemaHistory, applied: SchemaHistory) -> dict[str, Table]:
    """The tables that either side touches and that exist before, by their names then."""
    tables = dict(unapplied.tables)
    known = {table.original for table in tables.values()} | unapplied.dropped.keys()
    touched = {original: table for original, (_, table) in applied.by_original().items()}
    for original, table in (touched | applied.dropped).items():
        if original not in known:
            tables[original] = Table(table.model, original, table.migration)
    return tables


def _shared_tables(before: Mapping[str, Table], applied: SchemaHistory) -> dict[str, _SharedTable]:
    """Those of the tables before that exist afterwards, too, by their names before."""
    after = applied.by_original()
    shared = {}
    for name, table in before.items():
        original = table.original
        if original is not None and original not in applied.dropped:
            unchanged = original, Table(table.model, original, table.migration)
            name_after, table_after = after.get(original, unchanged)
            shared[name] = _SharedTable(name, table, name_after, table_after)
    return shared


def _lost(
    before: Mapping[str, Table], shared: Mapping[str, _SharedTable], applied: SchemaHistory
) -> Iterator[DataLoss]:
    for name, table in before.items():
        if table.original is None:
            yield _lost_table(table, name, table)
        elif table.original in applied.dropped:
            yield _lost_table(table, name, applied.dropped[table.original])
        else:
            yield from shared[name].lost_columns()


def _lost_backwards(unapplied: SchemaHistory) -> Iterator[Item]:
    for loss in losses(unapplied):
        yield loss.item
    for table_name, table in unapplied.tables.items():
        for name, column in table.columns.items():
            if column.narrows_backwards:
                yield table_name, name


def _made(
    shared: Iterable[_SharedTable], unapplied: SchemaHistory, applied: SchemaHistory
) -> Iterator[_Made]:
    made = list(_made_tables(unapplied, applied))
    yield from made
    new_tables = {one.item for one in made}
    for table in shared:
        if (table.name_after, None) not in new_tables:
            yield from table.made_columns()


def _made_tables(unapplied: SchemaHistory, applied: SchemaHistory) -> Iterator[_Made]:
    """Those that applied migrations create, or unapplied ones had dropped."""
    for name, table in applied.tables.items():
        if table.original is None:
            yield _Made((name, None), table.is_certain, table.migration, is_backwards=False)
    names_after = {old: name for old, (name, _) in applied.by_original().items()}
    for original, table in unapplied.dropped.items():
        if original not in applied.dropped:
            item = names_after.get(original, original), None
            yield _Made(item, table.is_certain, table.migration, is_backwards=True)


def _renamed(shared: Iterable[_SharedTable]) -> Iterator[tuple[Item, Item]]:
    for table in shared:
        for before, after in table.names():
            if before != after:
                yield before, after


def _lost_table(table: Table, name: str, dropped: Table) -> DataLoss:
    return DataLoss(
        dropped.migration,
        table.model,
        name,
        is_certain=dropped.is_certain,
        starts_empty=dropped.starts_empty,
    )


def _lost_column(table: Table, table_name: str, name: str, column: Column) -> DataLoss:
    return DataLoss(
        column.migration,
        table.model,
        table_name,
        name,
        is_certain=column.is_certain,
        starts_null=column.starts_null,
    )


def _untouched(name: str) -> Column:
    return Column(name, ("", ""))


def _explain(
    lost: Iterable[DataLoss], made: Iterable[_Made], renamed: Mapping[Item, Item]
) -> None:
    """Log each decision with the migration that is the reason for it."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    direction = {True: "unapplying", False: "applying"}
    for loss in lost:
        how = direction[loss.dropped_backwards]
        logger.debug("%s: lost by %s %s.%s", loss, how, *loss.migration)
    for one in made:
        how = direction[one.is_backwards]
        logger.debug("%s: made by %s %s.%s", _described(one.item), how, *one.migration)
    for before, after in renamed.items():
        logger.debug("%s: renamed to %s", _described(before), _described(after))


def _described(item: Item) -> str:
    table, column = item
    return f"table {table}" if column is None else f"column {table}.{column}"
