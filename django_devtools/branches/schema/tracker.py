"""Follows tables and columns through operations: what is dropped, made, renamed and narrowed."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field, IntegerField

from django_devtools.branches.sources.snapshots import Key

from .field_types import is_null_when_added, narrows
from .operations import RAW, raw_operations, sql_renames, writes_rows
from .structure import column_of, has_table, has_through, m2m_table, structure, table_of

_RENAMES = (operations.AlterModelTable, operations.RenameField, operations.RenameModel)
"""What the database has to follow, whoever sees to it."""

_ORDER = IntegerField(default=0)
"""What order_with_respect_to adds to a table, and to no state."""

Item = tuple[str, str | None]
"""A table, or a column of one, by the names they have in the database."""


@dataclass
class Column:
    """A column after some migrations."""

    start: str | None
    """Its name before them; None when they made it."""
    maker: Key
    """The last migration that had to do with it."""
    is_certain: bool = True
    starts_null: bool = False
    """Whether it holds nothing but NULL when it is made anew, after all of the migrations."""
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
    is_certain: bool = True
    starts_empty: bool = False
    columns: dict[str, Column] = field(default_factory=dict)
    gone: dict[str, Column] = field(default_factory=dict)
    """The columns that were dropped, by their names before; their maker is who dropped them."""


@dataclass
class SchemaHistory:
    """What some migrations did to tables and columns; what is not mentioned was not touched."""

    tables: dict[str, Table] = field(default_factory=dict)
    """By their names afterwards."""
    gone: dict[str, Table] = field(default_factory=dict)
    """Those that were dropped, by their names before; their maker is who dropped them."""
    keys: list[Key] = field(default_factory=list)
    """The migrations."""

    def from_start(self) -> dict[str, tuple[str, Table]]:
        """The tables that were there before, by the names they had; with the names of now."""
        return {table.start: (name, table) for name, table in self.tables.items() if table.start}


def track(
    base: ProjectState, migrations: Iterable[Migration], max_name_length: int | None = None
) -> SchemaHistory:
    """
    Follow ``migrations`` in the order that they are applied.

    ``base`` is the state before them, and is changed.
    """
    migrations = list(migrations)
    follower = _SchemaTracker(base, max_name_length)
    follower.fills = any(writes_rows(migration) for migration in migrations)
    for migration in migrations:
        follower.has_sql = any(isinstance(o, operations.RunSQL) for o in raw_operations(migration))
        for operation in migration.operations:
            follower.follow(operation, (migration.app_label, migration.name))
        follower.history.keys.append((migration.app_label, migration.name))
    return follower.history


@dataclass(frozen=True)
class _Shape:
    """The table of a model, and what each of its fields is: a column, or a table of its own."""

    table: str
    fields: Mapping[str, tuple[Item, "Field[Any, Any]"]]


class _SchemaTracker:
    """Keeps a course right while operations go by."""

    def __init__(self, state: ProjectState, max_name_length: int | None) -> None:
        self.state = state
        self.max_name_length = max_name_length
        self.history = SchemaHistory()
        self.has_sql = False
        """Whether SQL of the same migration may do what its operations tell the state alone."""
        self.fills = False
        """Whether what is made anew may be filled by code of a migration's own."""

    def follow(self, operation: Operation, key: Key) -> None:
        renamed: dict[str, tuple[str, Table | None]] = {}
        if by_sql := sql_renames(operation):
            known = {table for table, _ in structure(self.state, self.max_name_length)}
            renamed = {
                old: (new, self.history.tables.get(old)) for old, new in by_sql if old in known
            }
        if isinstance(operation, operations.SeparateDatabaseAndState):
            self._follow_separated(operation, key)
        elif isinstance(operation, RAW):
            for inner in getattr(operation, "state_operations", None) or ():
                self._follow_one(inner, key, is_certain=False)
        else:
            self._follow_one(operation, key)
        for old, (new, table) in renamed.items():
            self._rename(old, new, table, key)

    def _rename(self, old: str, new: str, was: Table | None, key: Key) -> None:
        """Take for a rename by SQL what the state sees as a table that goes and one that comes."""
        made = self.history.tables.get(new)
        if made and made.start is None and old not in self.history.tables:
            was = was or Table(made.model, old, key)
            self.history.gone.pop(was.start or "", None)
            self.history.tables[new] = replace(was, model=made.model, maker=key, is_certain=True)

    def _follow_separated(self, operation: operations.SeparateDatabaseAndState, key: Key) -> None:
        after = self.state.clone()
        operation.state_forwards(key[0], after)
        for inner in operation.database_operations:
            self.follow(inner, key)
        for inner in operation.state_operations:
            if self.has_sql or isinstance(inner, _RENAMES):
                # Where the database operations have done it, there is nothing to follow.
                with suppress(KeyError, FieldDoesNotExist):
                    self._follow_one(inner, key, is_certain=False)
        self.state = after

    def _follow_one(self, operation: Operation, key: Key, is_certain: bool = True) -> None:
        old, new = _paths(operation, key[0])
        before = self._shape(old)
        operation.state_forwards(key[0], self.state)
        if old is None or new is None:
            return
        after = self._shape(new)
        model = (new[0], new[1])
        if isinstance(operation, operations.CreateModel):
            if after:
                self._create(after, model, key, is_certain)
        elif isinstance(operation, operations.DeleteModel):
            if before:
                self._delete(before, model, key, is_certain)
        elif before and after:
            renamed = {}
            if isinstance(operation, operations.RenameField):
                renamed = {operation.old_name_lower: operation.new_name_lower}
            elif isinstance(operation, operations.RenameModel):
                # What refers to the model itself is written anew, and refers to it still.
                same = {n: (item, after.fields[n][1]) for n, (item, _) in before.fields.items()}
                before = replace(before, fields=same)
            self._compare(before, after, renamed, model, key, is_certain)

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

    def _create(self, shape: _Shape, model: Key, key: Key, is_certain: bool) -> None:
        self._make(shape.table, model, key, is_certain)
        for (table, column), _ in shape.fields.values():
            if column is None:
                self._make(table, model, key, is_certain)

    def _make(self, table: str, model: Key, key: Key, is_certain: bool) -> None:
        self.history.tables[table] = Table(model, None, key, is_certain, not self.fills)

    def _delete(self, shape: _Shape, model: Key, key: Key, is_certain: bool) -> None:
        for (table, column), _ in [*shape.fields.values(), ((shape.table, None), None)]:
            if column is None:
                self._drop_table(table, model, key, is_certain)

    def _compare(
        self,
        before: _Shape,
        after: _Shape,
        renamed: Mapping[str, str],
        model: Key,
        key: Key,
        is_certain: bool,
    ) -> None:
        table = self._table(before.table, model, key)
        if before.table != after.table:
            del self.history.tables[before.table]
            self.history.tables[after.table] = table
        was = {renamed.get(name, name): found for name, found in before.fields.items()}
        for name, (item, old) in was.items():
            new_item, new = after.fields.get(name, (None, None))
            if new_item is None or (item[1] is None) != (new_item[1] is None):
                self._drop(table, item, old, model, key, is_certain)
            elif item[1] is None:
                if item != new_item:
                    own = self._table(item[0], model, key)
                    del self.history.tables[item[0]]
                    self.history.tables[new_item[0]] = own
            elif new is not old or item[1] != new_item[1]:
                self._alter(table, item[1], str(new_item[1]), old, new, key)
        for name, (item, new) in after.fields.items():
            if name not in was or (was[name][0][1] is None) != (item[1] is None):
                if item[1] is None:
                    self._make(item[0], model, key, is_certain)
                else:
                    starts_null = is_null_when_added(new) and not self.fills
                    table.columns[item[1]] = Column(None, key, is_certain, starts_null)

    def _alter(
        self, table: Table, column: str, becomes: str, old: Any, new: Any, key: Key
    ) -> None:
        found = table.columns.pop(column, None) or Column(column, key)
        table.columns[becomes] = found
        found.starts_null &= new.null
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
        self, table: Table, item: Item, old: Any, model: Key, key: Key, is_certain: bool
    ) -> None:
        name, column = item
        if column is None:
            self._drop_table(name, model, key, is_certain)
            return
        found = table.columns.pop(column, None) or Column(column, key)
        if found.start is not None and table.start is not None:
            # What was altered may have been NOT NULL for a while, and had to have values then.
            starts_null = is_null_when_added(old) and not (self.fills or found.altered)
            table.gone[found.start] = Column(found.start, key, is_certain, starts_null)

    def _drop_table(self, name: str, model: Key, key: Key, is_certain: bool) -> None:
        table = self._table(name, model, key)
        del self.history.tables[name]
        if table.start is not None:
            table.maker, table.is_certain, table.starts_empty = key, is_certain, not self.fills
            self.history.gone[table.start] = table

    def _table(self, name: str, model: Key, key: Key) -> Table:
        return self.history.tables.setdefault(name, Table(model, name, key))


def _paths(operation: Operation, app: str) -> tuple[Key | None, Key | None]:
    """The model that an operation is about, before and after it."""
    if isinstance(operation, operations.RenameModel):
        return (app, operation.old_name_lower), (app, operation.new_name_lower)
    if isinstance(operation, FieldOperation):
        return (app, operation.model_name_lower), (app, operation.model_name_lower)
    if isinstance(operation, ModelOperation):
        return (app, operation.name_lower), (app, operation.name_lower)
    return None, None
