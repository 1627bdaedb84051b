"""What becomes of tables and columns on the way back and forth again."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from django_devtools.branches.sources.snapshots import Key

from .tracker import Column, Item, SchemaHistory, Table


@dataclass(frozen=True)
class DataLoss:
    """A table, or what a column of one holds, that a switch drops or narrows."""

    migration: Key
    model: Key
    table: str
    column: str | None = None
    becomes: Item | None = None
    """The column that it is afterwards, where it is not dropped and only narrowed."""
    is_certain: bool = True
    """Whether an operation says so; not so for SQL beside operations on the state alone."""
    starts_null: bool = False
    """Whether a column holds nothing but NULL when it is made anew."""
    starts_empty: bool = False
    """Whether a table has no rows when it is made anew."""
    only_null: bool = False
    """Whether only NULL is lost when a column gets narrower."""
    needs_parent: bool = False
    """Whether a foreign key can't be NULL any more, for which nothing else can stand."""
    dropped_backwards: bool = False
    """Whether it is lost by going back, and not by going forth."""

    @property
    def item(self) -> Item:
        """The table or the column."""
        return self.table, self.column

    def __str__(self) -> str:
        if self.column is None:
            return f"table {self.table}"
        narrower = ", which gets narrower" if self.becomes else ""
        return f"column {self.table}.{self.column}{narrower}"


@dataclass(frozen=True)
class SchemaChanges:
    """What becomes of tables and columns on the way back and forth again."""

    lost: list[DataLoss]
    """What is dropped or narrowed, by the names before; each thing once."""
    made: Mapping[Item, bool]
    """What is there afterwards and was not before, and whether an operation says so."""
    altered: set[Item]
    """The columns, by their names afterwards, whose types were changed on the way."""
    lost_backwards: frozenset[Item] = frozenset()
    """What going back drops or narrows, of what is lost."""
    altered_backwards: frozenset[Item] = frozenset()
    """The columns, by their names afterwards, whose types going back changed."""
    forwards: "SchemaChanges | None" = None
    """What becomes of things when going forth alone."""
    applied: frozenset[str] = frozenset()
    """The migrations that going forth applies."""
    renamed: Mapping[Item, Item] = field(default_factory=dict)
    """What has another name afterwards, by the names before."""

    def name_of(self, item: Item) -> Item:
        """What a table or column is called afterwards."""
        table, column = item
        return self.renamed.get(item, (self.renamed.get((table, None), (table, None))[0], column))

    def after(
        self, way_back: "SchemaChanges", whole: "SchemaChanges", waiting: Collection[Item]
    ) -> "SchemaChanges":
        """
        The same, with what of ``way_back`` did not come back at its end.

        That is what has another name in the end, and what is ``waiting`` for its columns.
        """

        def comes_later(item: Item) -> bool:
            waits = not {item, (item[0], None)}.isdisjoint(waiting)
            return waits or item not in {*way_back.made, *way_back.altered}

        made = {item: is_certain for item, is_certain in whole.made.items() if comes_later(item)}
        altered = {item for item in whole.altered if comes_later(item)}
        return replace(
            self,
            made=made | dict(self.made),
            altered=altered | self.altered,
            altered_backwards=self.altered_backwards | whole.altered_backwards,
        )


def losses(history: SchemaHistory) -> Iterator[DataLoss]:
    """What going back would drop. By the names of now."""
    for name, table in history.tables.items():
        if table.start is None:
            yield _lost_table(table, name, table)
            continue
        for column_name, column in table.columns.items():
            if column.start is None:
                yield _loss(table, name, column_name, column)


def schema_changes(back: SchemaHistory, forth: SchemaHistory) -> SchemaChanges:
    """
    What becomes of everything when one course is gone back, and then another one forth.

    ``back`` leads from a base to what is there now, and ``forth`` from that base to the target.
    """
    targets = forth.from_start()
    lost: list[DataLoss] = []
    for now, table in _now(back, forth).items():
        if table.start is None:
            lost.append(_lost_table(table, now, table))
        elif dropped := forth.gone.get(table.start):
            lost.append(_lost_table(table, now, dropped))
        else:
            then = targets.get(table.start, (table.start, Table(table.model, None, table.maker)))
            lost += _lost_columns(now, table, *then)
    gone = {loss.item for loss in losses(back)} | {
        (now, name)
        for now, table in back.tables.items()
        for name, column in table.columns.items()
        if column.narrows_back
    }
    altered, undone = _altered(forth), _undone(back, forth)
    return SchemaChanges(
        [replace(loss, dropped_backwards=loss.item in gone) for loss in lost],
        _made(back, forth),
        altered | undone,
        lost_backwards=frozenset(gone),
        altered_backwards=frozenset(undone),
        forwards=SchemaChanges([], _made(SchemaHistory(), forth), altered),
        applied=frozenset(map(".".join, forth.keys)),
        renamed={old: new for old, new in _renamed(back, forth) if old != new},
    )


def _now(back: SchemaHistory, forth: SchemaHistory) -> dict[str, Table]:
    """The tables that either course touched and that are there now, by their names of now."""
    tables = dict(back.tables)
    known = {table.start for table in back.tables.values()} | back.gone.keys()
    others = {start: table for start, (_, table) in forth.from_start().items()} | forth.gone
    for start, table in others.items():
        if start not in known:
            tables[start] = Table(table.model, start, table.maker)
    return tables


def _renamed(back: SchemaHistory, forth: SchemaHistory) -> Iterator[tuple[Item, Item]]:
    targets = forth.from_start()
    for now, table in _now(back, forth).items():
        if table.start is None or table.start in forth.gone:
            continue
        end, target = targets.get(
            table.start, (table.start, Table(table.model, None, table.maker))
        )
        yield (now, None), (end, None)
        ends = {column.start: name for name, column in target.columns.items() if column.start}
        starts = {column.start: name for name, column in table.columns.items() if column.start}
        for start in (ends.keys() | starts.keys()) - target.gone.keys() - table.gone.keys():
            yield (now, starts.get(start, start)), (end, ends.get(start, start))


def _lost_columns(now: str, table: Table, end: str, target: Table) -> Iterator[DataLoss]:
    ends = {column.start: (name, column) for name, column in target.columns.items()}
    columns = dict(table.columns)
    known = {column.start for column in columns.values()} | table.gone.keys()
    for start in [*target.gone, *filter(None, ends)]:
        if start not in known:
            columns[start] = Column(start, table.maker)
    for name, column in columns.items():
        if column.start is None:
            yield _loss(table, now, name, column)
        elif column.start in target.gone:
            yield _loss(table, now, name, target.gone[column.start])
        else:
            end_name, later = ends.get(column.start, (column.start, None))
            if column.narrows_back or (later and later.narrows_forth):
                maker = column.maker if column.narrows_back or not later else later.maker
                only_null = column.only_null and (later is None or later.only_null)
                yield DataLoss(
                    maker,
                    table.model,
                    now,
                    name,
                    becomes=(end, end_name),
                    only_null=only_null,
                    needs_parent=column.needs_parent,
                )


def _lost_table(table: Table, name: str, dropped: Table) -> DataLoss:
    return DataLoss(
        dropped.maker,
        table.model,
        name,
        is_certain=dropped.is_certain,
        starts_empty=dropped.starts_empty,
    )


def _loss(table: Table, table_name: str, name: str, column: Column) -> DataLoss:
    return DataLoss(
        column.maker,
        table.model,
        table_name,
        name,
        is_certain=column.is_certain,
        starts_null=column.starts_null,
    )


def _made(back: SchemaHistory, forth: SchemaHistory) -> dict[Item, bool]:
    made: dict[Item, bool] = {}
    starts = {table.start: table for table in back.tables.values() if table.start}
    targets = forth.from_start()
    for end, table in forth.tables.items():
        if table.start is None:
            made[end, None] = table.is_certain
    for name, dropped in back.gone.items():
        if name not in forth.gone:
            made[targets[name][0] if name in targets else name, None] = dropped.is_certain
    for start in starts.keys() | targets.keys():
        end, target = targets.get(start, (start, None))
        if start in forth.gone or (end, None) in made:
            continue
        ends = {column.start: name for name, column in target.columns.items()} if target else {}
        for name, column in target.columns.items() if target else ():
            if column.start is None:
                made[end, name] = column.is_certain
        for name, dropped_column in starts[start].gone.items() if start in starts else ():
            if target is None or name not in target.gone:
                made[end, ends.get(name, name)] = dropped_column.is_certain
    return made


def _altered(forth: SchemaHistory) -> set[Item]:
    return {
        (end, name)
        for end, table in forth.tables.items()
        for name, column in table.columns.items()
        if column.altered
    }


def _undone(back: SchemaHistory, forth: SchemaHistory) -> set[Item]:
    targets, altered = forth.from_start(), set[Item]()
    for table in back.tables.values():
        if table.start is None or table.start in forth.gone:
            continue
        end, target = targets.get(table.start, (table.start, None))
        ends = {column.start: name for name, column in target.columns.items()} if target else {}
        for column in table.columns.values():
            if column.altered and column.start:
                altered.add((end, ends.get(column.start, column.start)))
    return altered
