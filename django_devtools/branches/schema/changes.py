"""
What a switch does to tables and columns: which are lost, made, renamed and altered.

A switch first unapplies migrations and then applies others. The state in between, which both
histories start from, gives each table and column one identity: its name there, its `original`.

- Lost: what unapplied migrations had made, and what applied ones drop. A column is lost, too, if
  some of its values may not survive one of the directions: it gets narrower.
- Made: what unapplied migrations had dropped, and what applied ones make.
- Renamed: what exists before and after the switch, under two names.
- Altered: a column whose values got more or less room on the way.

What a single step renames is told in the same way, while a switch or ``migrate`` is under way.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Generic, NamedTuple, TypeVar

from django.db.migrations import Migration
from django.db.migrations.state import ModelState, ProjectState

from django_devtools.branches.sources.snapshots import Key

from .introspection import Tables
from .operations import may_rename
from .structure import (
    Item,
    described,
    has_table,
    models_by_table,
    stored_fields,
    structure,
    table_of,
)
from .tracker import Column, SchemaHistory, Table, track

logger = logging.getLogger("django_devtools.branches")

T = TypeVar("T", Table, Column)


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
    is_unknown: bool = False
    """Whether no model knows the column, so that SQLite leaves it out of a table made anew."""

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
    found = schema_changes(unapplied, SchemaHistory())
    return (loss for loss in found.lost if loss.becomes is None)


def makers(unapplied: SchemaHistory, applied: SchemaHistory) -> dict[Item, DataLoss]:
    """
    The tables and columns that a switch makes in one of its passes, with what would undo that.

    Of tables, the columns are left out, but for those that a migration adds to a new table.
    """
    back = schema_changes(SchemaHistory(), unapplied).lost
    found = {loss.item: loss for loss in [*back, *losses(applied)] if loss.becomes is None}
    new = {name: table for name, table in applied.tables.items() if table.original is None}
    for name, table in new.items():
        for column, one in table.columns.items():
            if one.original is None and one.migration != table.migration:
                key, is_certain = one.migration, one.is_certain
                loss = DataLoss(key, table.model, name, column, is_certain=is_certain)
                found[loss.item] = loss
    return found


def unknown_losses(
    tables: Tables, state: ProjectState, history: SchemaHistory, backwards: bool
) -> list[DataLoss]:
    """
    The columns of which ``state``, the one before a pass, knows nothing, and that it may drop.

    SQLite makes tables anew, with the columns of their models. The others are there by SQL, or by
    migrations that lost their rows, as by ``migrate --prune``. ``history`` is that of the pass,
    which may make a column of the same name.
    """
    if not tables.dialect.rebuilds_tables:
        return []
    longest = tables.connection.ops.max_name_length()
    rebuilt = _rebuilt(state, history, backwards, longest)
    if not rebuilt:
        return []
    models, found = models_by_table(state, longest), list[DataLoss]()
    there = tables.present(rebuilt)
    if there - models.keys():
        # The state names no columns of the table of a many-to-many field.
        there -= {table for table, _ in structure(state, longest)} - models.keys()
    for name in sorted(there):
        unknown = _unknown_columns(tables, name, models.get(name))
        lost = (_unknown_loss(name, rebuilt[name], one, backwards) for one in unknown)
        found += filter(None, lost)
    return found


def _unknown_columns(tables: Tables, name: str, model: ModelState | None) -> list[str]:
    """The columns of a table that are none of ``model``."""
    longest = tables.connection.ops.max_name_length()
    fields = stored_fields(model, longest) if model else {}
    # That of order_with_respect_to is no field of the state.
    known = {"_order", *(stored.column for stored in fields.values())}
    return [one for one in tables.columns(name) if one not in known]


def _unknown_loss(name: str, table: Table, column: str, backwards: bool) -> DataLoss | None:
    made = None if backwards else table.columns.get(column)
    migration = table.migration
    if made is not None and made.original is None:
        migration = made.migration
    elif table.original is None:
        return None  # What is there instead of a new table was found by --fake-initial.
    return DataLoss(
        migration,
        table.model,
        name,
        column,
        is_certain=False,
        starts_null=True,
        dropped_backwards=backwards,
        is_unknown=True,
    )


def _rebuilt(
    state: ProjectState, history: SchemaHistory, backwards: bool, max_name_length: int | None
) -> dict[str, Table]:
    """The tables that a pass may make anew, by their names before it."""
    older = {name: table for _, (name, table) in history.by_original().items()}
    new = {one.original or name: one for name, one in history.tables.items()}
    found = older if backwards else new
    touched = {".".join(table.model).lower(): table.migration for table in found.values()}
    for key, model in state.models.items():
        # Foreign keys follow the type of the key that they refer to.
        parents = [*filter(touched.get, _parents(model) if has_table(model) else ())]
        if parents:
            name = table_of(model, max_name_length)
            found.setdefault(name, Table(key, name, touched[parents[0]], {}, {}))
    return found


def _parents(model: ModelState) -> Iterator[str]:
    for field in model.fields.values():
        if field.remote_field:
            yield str(field.remote_field.model).lower()


def schema_changes(unapplied: SchemaHistory, applied: SchemaHistory) -> SchemaChanges:
    """
    What a switch does that unapplies some migrations and applies others.

    ``unapplied`` is what the former did when they were applied: it leads from the state between
    both to the database as it is. ``applied`` is what the latter do from that state on.
    """
    collector = _Collector()
    for table in _join(unapplied.tables, unapplied.dropped, applied.tables, applied.dropped):
        collector.add_table(table)
    return collector.changes


_UNTOUCHED_TABLE = Table(("", ""), "", ("", ""), {}, {})
_UNTOUCHED = Column("", ("", ""))


class _Thing(NamedTuple, Generic[T]):
    """A table or a column, with its names and with what both sides of a switch do to it."""

    before: str | None
    """Its name in the database as it is; None if it is not there."""
    after: str | None
    """Its name after the switch; None if it is not there then."""
    unapplied: T | None
    """What the unapplied migrations did to it; None if they did not touch it."""
    applied: T | None
    """What the applied migrations do to it; None if they do not touch it."""

    @property
    def cause(self) -> T:
        """What drops it if it is there before, or makes it if it is not. One side touched it."""
        sides = (self.applied, self.unapplied) if self.before else (self.unapplied, self.applied)
        return next(side for side in sides if side is not None)


_Identity = str | tuple[str, str]
"""The name in between; for what is not there then, the side that has it, and its name there."""


def _join(
    unapplied: Mapping[str, T],
    unapplied_dropped: Mapping[str, T],
    applied: Mapping[str, T],
    applied_dropped: Mapping[str, T],
) -> Iterator[_Thing[T]]:
    """What either side touched: what has one identity on both is one thing."""
    held = _by_identity("unapplied", unapplied, unapplied_dropped)
    wanted = _by_identity("applied", applied, applied_dropped)
    for identity in held | wanted:
        unchanged = identity if isinstance(identity, str) else None
        before, back = held.get(identity, (unchanged, None))
        after, forth = wanted.get(identity, (unchanged, None))
        yield _Thing(before, after, back, forth)


def _by_identity(
    side: str, touched: Mapping[str, T], dropped: Mapping[str, T]
) -> dict[_Identity, tuple[str | None, T]]:
    """What one side touched, with its name on that side; None if it is not there."""
    found: dict[_Identity, tuple[str | None, T]] = {
        (side, name) if one.original is None else one.original: (name, one)
        for name, one in touched.items()
    }
    return found | {original: (None, one) for original, one in dropped.items()}


class _Shared(NamedTuple):
    """A table that is there before a switch and after it."""

    before: str
    after: str
    model: Key


class _Collector:
    """Collects what becomes of each thing, and logs it with the migration that is the reason."""

    def __init__(self) -> None:
        self._lost: list[DataLoss] = []
        self._made: dict[Item, bool] = {}
        self._altered: set[Item] = set()
        self._renamed: dict[Item, Item] = {}
        self.changes = SchemaChanges(self._lost, self._made, self._altered, self._renamed)

    def add_table(self, table: _Thing[Table]) -> None:
        """Add what becomes of a table, and of its columns if it is there before and afterwards."""
        if table.before and table.after:
            self._rename((table.before, None), (table.after, None))
            self._add_columns(_Shared(table.before, table.after, _model(table)), table)
        elif table.before:
            cause = table.cause
            loss = DataLoss(
                cause.migration,
                _model(table),
                table.before,
                is_certain=cause.is_certain,
                starts_empty=cause.starts_empty,
                dropped_backwards=cause is table.unapplied,
            )
            self._lose(loss)
        elif table.after:
            self._make((table.after, None), table)

    def _add_columns(self, shared: _Shared, table: _Thing[Table]) -> None:
        back, forth = table.unapplied or _UNTOUCHED_TABLE, table.applied or _UNTOUCHED_TABLE
        for column in _join(back.columns, back.dropped, forth.columns, forth.dropped):
            if column.before and column.after:
                before, after = (shared.before, column.before), (shared.after, column.after)
                self._rename(before, after)
                self._alter(shared.model, before, after, column)
            elif column.before:
                cause = column.cause
                loss = DataLoss(
                    cause.migration,
                    shared.model,
                    shared.before,
                    column.before,
                    is_certain=cause.is_certain,
                    starts_null=cause.starts_null,
                    dropped_backwards=cause is column.unapplied,
                )
                self._lose(loss)
            elif column.after:
                self._make((shared.after, column.after), column)

    def _alter(self, model: Key, before: Item, after: Item, column: _Thing[Column]) -> None:
        back, forth = column.unapplied or _UNTOUCHED, column.applied or _UNTOUCHED
        if back.is_altered or forth.is_altered:
            self._altered.add(after)
        if back.narrows_backwards or forth.narrows_forwards:
            narrowing = back if back.narrows_backwards else forth
            loss = DataLoss(
                narrowing.migration,
                model,
                *before,
                becomes=after,
                only_null=back.only_null and forth.only_null,
                needs_parent=back.needs_parent,
                dropped_backwards=back.narrows_backwards,
                field_type=back.type_after or forth.type_before,
            )
            self._lose(loss)

    def _lose(self, loss: DataLoss) -> None:
        self._lost.append(loss)
        how = "unapplying" if loss.dropped_backwards else "applying"
        logger.debug("%s: lost by %s %s.%s", loss, how, *loss.migration)

    def _make(self, item: Item, thing: "_Thing[Table] | _Thing[Column]") -> None:
        cause = thing.cause
        self._made[item] = cause.is_certain
        how = "unapplying" if cause is thing.unapplied else "applying"
        logger.debug("%s: made by %s %s.%s", described(item), how, *cause.migration)

    def _rename(self, before: Item, after: Item) -> None:
        if before != after:
            self._renamed[before] = after
            logger.debug("%s: renamed to %s", described(before), described(after))


def _model(table: _Thing[Table]) -> Key:
    """The model of a table that is there before the switch."""
    return (table.unapplied or table.applied or _UNTOUCHED_TABLE).model


Renames = Callable[[ProjectState], SchemaChanges | None]
"""What a step renames, by the state after it; None if it renames nothing."""


def renames_backwards(migration: Migration) -> Renames:
    """What unapplying a migration renames, if anything."""
    return partial(_undone, migration) if may_rename(migration) else _nothing


def renames_forwards(migration: Migration, before: ProjectState) -> Renames:
    """What applying a migration renames, if anything. ``before`` is the state before that."""
    if not may_rename(migration):
        return _nothing
    models = models_only(before)
    return lambda after: schema_changes(SchemaHistory(), track(models, [migration]))


def _undone(migration: Migration, after: ProjectState) -> SchemaChanges:
    return schema_changes(track(models_only(after), [migration]), SchemaHistory())


def _nothing(after: ProjectState) -> None:
    return None


def models_only(state: ProjectState) -> ProjectState:
    """A copy of a state that can be changed, and whose models are not rendered."""
    models = {key: model.clone() for key, model in state.models.items()}
    return ProjectState(models, state.real_apps)
