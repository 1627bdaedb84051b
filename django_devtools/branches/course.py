"""Follows tables and columns through operations: what is dropped, made, renamed and narrowed."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import NOT_PROVIDED, Field, IntegerField

from .effect import (
    RAW,
    column_of,
    has_table,
    has_through,
    m2m_table,
    narrows,
    raw_operations,
    table_of,
)
from .snapshot import Key

_RENAMES = (operations.AlterModelTable, operations.RenameField, operations.RenameModel)
"""What the database has to follow, whoever sees to it."""

_ORDER = IntegerField(default=0)
"""What order_with_respect_to adds to a table, and to no state."""

Item = tuple[str, str | None]
"""A table, or a column of one, by the names they have in the database."""


@dataclass(frozen=True)
class Loss:
    """A table, or what a column of one holds, that a switch drops or narrows."""

    migration: Key
    model: Key
    table: str
    column: str | None = None
    becomes: Item | None = None
    """The column that it is afterwards, where it is not dropped and only narrowed."""
    is_sure: bool = True
    """Whether an operation says so; not so for SQL beside operations on the state alone."""
    starts_null: bool = False
    """Whether a column holds nothing but NULL when it is made anew."""
    starts_empty: bool = False
    """Whether a table has no rows when it is made anew."""
    only_null: bool = False
    """Whether only NULL is lost when a column gets narrower."""
    needs_parent: bool = False
    """Whether a foreign key can't be NULL any more, for which nothing else can stand."""

    def __str__(self) -> str:
        if self.column is None:
            return f"table {self.table}"
        narrower = ", which gets narrower" if self.becomes else ""
        return f"column {self.table}.{self.column}{narrower}"


@dataclass
class Column:
    """A column after some migrations."""

    start: str | None
    """Its name before them; None when they made it."""
    maker: Key
    """The last migration that had to do with it."""
    is_sure: bool = True
    starts_null: bool = False
    narrows_forth: bool = False
    """Whether some values may not fit any more, the way the migrations go."""
    narrows_back: bool = False
    only_null: bool = True
    """Whether NULL is all that may not fit."""
    needs_parent: bool = False
    """Whether it is a foreign key that could not be NULL before."""
    altered: bool = False


@dataclass
class Table:
    """A table after some migrations, and the columns that they touched."""

    model: Key
    start: str | None
    maker: Key
    is_sure: bool = True
    starts_empty: bool = False
    columns: dict[str, Column] = field(default_factory=dict)
    gone: dict[str, Column] = field(default_factory=dict)
    """The columns that were dropped, by their names before; their maker is who dropped them."""


@dataclass
class Course:
    """What some migrations did to tables and columns; what is not mentioned was not touched."""

    tables: dict[str, Table] = field(default_factory=dict)
    """By their names afterwards."""
    gone: dict[str, Table] = field(default_factory=dict)
    """Those that were dropped, by their names before; their maker is who dropped them."""

    def losses(self) -> Iterator[Loss]:
        """What going back would drop. By the names of now."""
        for name, table in self.tables.items():
            if table.start is None:
                yield _lost_table(table, name, table)
                continue
            for column_name, column in table.columns.items():
                if column.start is None:
                    yield _loss(table, name, column_name, column)

    def from_start(self) -> dict[str, tuple[str, Table]]:
        """The tables that were there before, by the names they had; with the names of now."""
        return {table.start: (name, table) for name, table in self.tables.items() if table.start}


@dataclass(frozen=True)
class Fate:
    """What becomes of tables and columns on the way back and forth again."""

    lost: list[Loss]
    """What is dropped or narrowed, by the names before; each thing once."""
    made: Mapping[Item, bool]
    """What is there afterwards and was not before, and whether an operation says so."""
    altered: set[Item]
    """The columns, by their names afterwards, whose types were changed on the way."""


def course(
    base: ProjectState, migrations: Iterable[Migration], max_name_length: int | None = None
) -> Course:
    """
    Follow ``migrations`` in the order that they are applied.

    ``base`` is the state before them, and is changed.
    """
    migrations = list(migrations)
    follower = _Follower(base, max_name_length)
    follower.fills = any(raw_operations(migration) for migration in migrations)
    for migration in migrations:
        follower.has_sql = any(isinstance(o, operations.RunSQL) for o in raw_operations(migration))
        for operation in migration.operations:
            follower.follow(operation, (migration.app_label, migration.name))
    return follower.course


def fate(back: Course, forth: Course) -> Fate:
    """
    What becomes of everything when one course is gone back, and then another one forth.

    ``back`` leads from a base to what is there now, and ``forth`` from that base to the target.
    """
    targets = forth.from_start()
    lost: list[Loss] = []
    for now, table in _now(back, forth).items():
        if table.start is None:
            lost.append(_lost_table(table, now, table))
        elif dropped := forth.gone.get(table.start):
            lost.append(_lost_table(table, now, dropped))
        else:
            then = targets.get(table.start, (table.start, Table(table.model, None, table.maker)))
            lost += _lost_columns(now, table, *then)
    return Fate(lost, _made(back, forth), _altered(back, forth))


def _now(back: Course, forth: Course) -> dict[str, Table]:
    """The tables that either course touched and that are there now, by their names of now."""
    tables = dict(back.tables)
    known = {table.start for table in back.tables.values()} | back.gone.keys()
    others = {start: table for start, (_, table) in forth.from_start().items()} | forth.gone
    for start, table in others.items():
        if start not in known:
            tables[start] = Table(table.model, start, table.maker)
    return tables


def _lost_columns(now: str, table: Table, end: str, target: Table) -> Iterator[Loss]:
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
                yield Loss(
                    maker,
                    table.model,
                    now,
                    name,
                    becomes=(end, end_name),
                    only_null=only_null,
                    needs_parent=column.needs_parent,
                )


def _lost_table(table: Table, name: str, dropped: Table) -> Loss:
    return Loss(
        dropped.maker,
        table.model,
        name,
        is_sure=dropped.is_sure,
        starts_empty=dropped.starts_empty,
    )


def _loss(table: Table, table_name: str, name: str, column: Column) -> Loss:
    return Loss(
        column.maker,
        table.model,
        table_name,
        name,
        is_sure=column.is_sure,
        starts_null=column.starts_null,
    )


def _made(back: Course, forth: Course) -> dict[Item, bool]:
    made: dict[Item, bool] = {}
    starts = {table.start: table for table in back.tables.values() if table.start}
    targets = forth.from_start()
    for end, table in forth.tables.items():
        if table.start is None:
            made[end, None] = table.is_sure
    for name, dropped in back.gone.items():
        if name not in forth.gone:
            made[targets[name][0] if name in targets else name, None] = dropped.is_sure
    for start in starts.keys() | targets.keys():
        end, target = targets.get(start, (start, None))
        if start in forth.gone or (end, None) in made:
            continue
        ends = {column.start: name for name, column in target.columns.items()} if target else {}
        for name, column in target.columns.items() if target else ():
            if column.start is None:
                made[end, name] = column.is_sure
        for name, dropped_column in starts[start].gone.items() if start in starts else ():
            if target is None or name not in target.gone:
                made[end, ends.get(name, name)] = dropped_column.is_sure
    return made


def _altered(back: Course, forth: Course) -> set[Item]:
    targets = forth.from_start()
    altered: set[Item] = {
        (end, name)
        for end, table in forth.tables.items()
        for name, column in table.columns.items()
        if column.altered
    }
    for table in back.tables.values():
        if table.start is None or table.start in forth.gone:
            continue
        end, target = targets.get(table.start, (table.start, None))
        ends = {column.start: name for name, column in target.columns.items()} if target else {}
        for column in table.columns.values():
            if column.altered and column.start:
                altered.add((end, ends.get(column.start, column.start)))
    return altered


@dataclass(frozen=True)
class _Shape:
    """The table of a model, and what each of its fields is: a column, or a table of its own."""

    table: str
    fields: Mapping[str, tuple[Item, "Field[Any, Any]"]]


class _Follower:
    """Keeps a course right while operations go by."""

    def __init__(self, state: ProjectState, max_name_length: int | None) -> None:
        self.state = state
        self.max_name_length = max_name_length
        self.course = Course()
        self.has_sql = False
        """Whether SQL of the same migration may do what its operations tell the state alone."""
        self.fills = False
        """Whether what is made anew may be filled by RunPython or RunSQL."""

    def follow(self, operation: Operation, key: Key) -> None:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            self._follow_separated(operation, key)
        elif isinstance(operation, RAW):
            for inner in getattr(operation, "state_operations", None) or ():
                self._follow_one(inner, key, is_sure=False)
        else:
            self._follow_one(operation, key)

    def _follow_separated(self, operation: operations.SeparateDatabaseAndState, key: Key) -> None:
        after = self.state.clone()
        operation.state_forwards(key[0], after)
        for inner in operation.database_operations:
            self.follow(inner, key)
        for inner in operation.state_operations:
            if self.has_sql or isinstance(inner, _RENAMES):
                # Where the database operations have done it, there is nothing to follow.
                with suppress(KeyError, FieldDoesNotExist):
                    self._follow_one(inner, key, is_sure=False)
        self.state = after

    def _follow_one(self, operation: Operation, key: Key, is_sure: bool = True) -> None:
        old, new = _paths(operation, key[0])
        before = self._shape(old)
        operation.state_forwards(key[0], self.state)
        if old is None or new is None:
            return
        after = self._shape(new)
        model = (new[0], new[1])
        if isinstance(operation, operations.CreateModel):
            if after:
                self._create(after, model, key, is_sure)
        elif isinstance(operation, operations.DeleteModel):
            if before:
                self._delete(before, model, key, is_sure)
        elif before and after:
            renamed = {}
            if isinstance(operation, operations.RenameField):
                renamed = {operation.old_name_lower: operation.new_name_lower}
            self._compare(before, after, renamed, model, key, is_sure)

    def _shape(self, path: Key | None) -> _Shape | None:
        model: ModelState | None = self.state.models.get(path) if path else None
        if model is None or not has_table(model):
            return None
        table = table_of(model, self.max_name_length)
        fields: dict[str, tuple[Item, Field[Any, Any]]] = {}
        for name, found in model.fields.items():
            if not found.many_to_many:
                if column := column_of(found, name):
                    fields[name.lower()] = (table, column), found
            elif not has_through(found):
                own = m2m_table(found, name, table, self.max_name_length)
                fields[name.lower()] = (own, None), found
        if model.options.get("order_with_respect_to"):
            fields["_order"] = (table, "_order"), _ORDER
        return _Shape(table, fields)

    def _create(self, shape: _Shape, model: Key, key: Key, is_sure: bool) -> None:
        self._make(shape.table, model, key, is_sure)
        for (table, column), _ in shape.fields.values():
            if column is None:
                self._make(table, model, key, is_sure)

    def _make(self, table: str, model: Key, key: Key, is_sure: bool) -> None:
        self.course.tables[table] = Table(model, None, key, is_sure, not self.fills)

    def _delete(self, shape: _Shape, model: Key, key: Key, is_sure: bool) -> None:
        for (table, column), _ in [*shape.fields.values(), ((shape.table, None), None)]:
            if column is None:
                self._drop_table(table, model, key, is_sure)

    def _compare(
        self,
        before: _Shape,
        after: _Shape,
        renamed: Mapping[str, str],
        model: Key,
        key: Key,
        is_sure: bool,
    ) -> None:
        table = self._table(before.table, model, key)
        if before.table != after.table:
            del self.course.tables[before.table]
            self.course.tables[after.table] = table
        was = {renamed.get(name, name): found for name, found in before.fields.items()}
        for name, (item, old) in was.items():
            new_item, new = after.fields.get(name, (None, None))
            if new_item is None or (item[1] is None) != (new_item[1] is None):
                self._drop(table, item, old, model, key, is_sure)
            elif item[1] is None:
                if item != new_item:
                    own = self._table(item[0], model, key)
                    del self.course.tables[item[0]]
                    self.course.tables[new_item[0]] = own
            elif new is not old or item[1] != new_item[1]:
                self._alter(table, item[1], str(new_item[1]), old, new, key)
        for name, (item, new) in after.fields.items():
            if name not in was or (was[name][0][1] is None) != (item[1] is None):
                if item[1] is None:
                    self._make(item[0], model, key, is_sure)
                else:
                    starts_null = _starts_null(new) and not self.fills
                    table.columns[item[1]] = Column(None, key, is_sure, starts_null)

    def _alter(
        self, table: Table, column: str, becomes: str, old: Any, new: Any, key: Key
    ) -> None:
        found = table.columns.pop(column, None) or Column(column, key)
        table.columns[becomes] = found
        if new is not old and found.start is not None:
            forth, back = narrows(old, new), narrows(new, old)
            if forth or back:
                found.maker = key
            found.only_null &= not (narrows(old, new, null=True) or narrows(new, old, null=True))
            found.needs_parent |= new.is_relation and new.null and not old.null
            found.narrows_forth |= forth
            found.narrows_back |= back
            found.altered |= forth or back

    def _drop(
        self, table: Table, item: Item, old: Any, model: Key, key: Key, is_sure: bool
    ) -> None:
        name, column = item
        if column is None:
            self._drop_table(name, model, key, is_sure)
            return
        found = table.columns.pop(column, None) or Column(column, key)
        if found.start is not None and table.start is not None:
            starts_null = _starts_null(old) and not self.fills
            table.gone[found.start] = Column(found.start, key, is_sure, starts_null)

    def _drop_table(self, name: str, model: Key, key: Key, is_sure: bool) -> None:
        table = self._table(name, model, key)
        del self.course.tables[name]
        if table.start is not None:
            table.maker, table.is_sure, table.starts_empty = key, is_sure, not self.fills
            self.course.gone[table.start] = table

    def _table(self, name: str, model: Key, key: Key) -> Table:
        return self.course.tables.setdefault(name, Table(model, name, key))


def _starts_null(field: "Field[Any, Any]") -> bool:
    db_default = getattr(field, "db_default", NOT_PROVIDED)
    return field.null and not field.has_default() and db_default is NOT_PROVIDED


def _paths(operation: Operation, app: str) -> tuple[Key | None, Key | None]:
    """The model that an operation is about, before and after it."""
    if isinstance(operation, operations.RenameModel):
        return (app, operation.old_name_lower), (app, operation.new_name_lower)
    if isinstance(operation, FieldOperation):
        return (app, operation.model_name_lower), (app, operation.model_name_lower)
    if isinstance(operation, ModelOperation):
        return (app, operation.name_lower), (app, operation.name_lower)
    return None, None
