"""Follows tables and columns through operations: which are created, dropped, renamed, altered."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field, IntegerField

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.sources.snapshots import Key

from .field_types import is_null_when_added, narrows, narrows_values, type_of
from .operations import RAW, raw_operations, sql_renames, writes_rows
from .structure import Item, StoredField, has_table, stored_fields, structure, table_of

logger = logging.getLogger("django_devtools.branches")

_RENAMES = (operations.AlterModelTable, operations.RenameField, operations.RenameModel)
"""Operations that the tracker follows even if they are applied to the state alone."""

_ORDER = IntegerField(default=0)
"""The field of the column that order_with_respect_to adds to a table, and not to the state."""


class Column(NamedTuple):
    """A column that some migrations touched."""

    original: str | None
    """Its name before them; None if they added it."""
    migration: Key
    """The last one that added, narrowed, widened or dropped it."""
    is_certain: bool = True
    """Whether an operation adds or drops it; False if only SQL beside the state may do so."""
    starts_null: bool = False
    """Whether it holds nothing but NULL after all of the migrations have run on an empty one."""
    narrows_forwards: bool = False
    """Whether some values may not survive applying the migrations."""
    narrows_backwards: bool = False
    """Whether some values may not survive unapplying them."""
    only_null: bool = True
    """Whether NULL is the only value that may not survive, in both directions."""
    needs_parent: bool = False
    """Whether it is a foreign key that accepts NULL only after the migrations."""
    is_altered: bool = False
    """Whether it got narrower or wider."""
    type_before: str = ""
    """The type of its field before the migrations, if it is altered, as `type_of` says it."""
    type_after: str = ""
    """That after them."""

    def altered(self, old: "Field[Any, Any]", new: "Field[Any, Any]", migration: Key) -> "Column":
        """The column after ``migration`` has altered its field from ``old`` to ``new``."""
        column = self._replace(starts_null=self.starts_null and new.null)
        is_older = self.original is not None
        return column._resized(old, new, migration) if is_older and new is not old else column

    def _resized(self, old: "Field[Any, Any]", new: "Field[Any, Any]", migration: Key) -> "Column":
        forwards, backwards = narrows(old, new), narrows(new, old)
        if not (forwards or backwards):
            return self
        changes_values = narrows_values(old, new) or narrows_values(new, old)
        is_key_now_nullable = new.is_relation and new.null and not old.null
        return self._retyped(old, new)._replace(
            migration=migration,
            narrows_forwards=self.narrows_forwards or forwards,
            narrows_backwards=self.narrows_backwards or backwards,
            only_null=self.only_null and not changes_values,
            needs_parent=self.needs_parent or is_key_now_nullable,
            is_altered=True,
        )

    def _retyped(self, old: "Field[Any, Any]", new: "Field[Any, Any]") -> "Column":
        return self._replace(type_before=self.type_before or type_of(old), type_after=type_of(new))


class Table(NamedTuple):
    """A table that some migrations touched. Only the tracker changes its two dictionaries."""

    model: Key
    original: str | None
    """Its name before the migrations; None if they created it."""
    migration: Key
    """The last one that created or dropped it, or the first that touched it."""
    columns: dict[str, Column]
    """The columns that were touched and are still there, by their names afterwards."""
    dropped: dict[str, Column]
    """The columns that were dropped, by their names before; with the migration that did it."""
    is_certain: bool = True
    """Whether an operation creates or drops it; False if only SQL beside the state may do so."""
    starts_empty: bool = False
    """Whether it has no rows when it is created, as no migration fills it."""

    def by_original(self) -> dict[str, tuple[str, Column]]:
        """The columns that are older than the migrations, by their names before; with the new."""
        return {
            column.original: (name, column)
            for name, column in self.columns.items()
            if column.original is not None
        }


class SchemaHistory(NamedTuple):
    """
    What some migrations did to tables and columns. What it does not mention, they did not touch.
    """

    tables: Mapping[str, Table] = {}
    """The tables that were touched and are still there, by their names afterwards."""
    dropped: Mapping[str, Table] = {}
    """The tables that were dropped, by their names before; with the migration that did it."""
    migrations: Sequence[Key] = ()
    """In the order of applying them."""

    def by_original(self) -> dict[str, tuple[str, Table]]:
        """The tables that are older than the migrations, by their names before; with the new."""
        return {
            table.original: (name, table)
            for name, table in self.tables.items()
            if table.original is not None
        }


def track(
    base: ProjectState, migrations: Iterable[Migration], max_name_length: int | None = None
) -> SchemaHistory:
    """
    Follow ``migrations``, which are in the order of applying them.

    ``base`` is the state before them, and is changed to the one after them. ``max_name_length`` is
    how many characters the database allows in a name.
    """
    migrations = list(migrations)
    may_fill = any(writes_rows(migration) for migration in migrations)
    tracker = _SchemaTracker(base, max_name_length, may_fill)
    for migration in migrations:
        _follow(tracker, migration)
    return SchemaHistory(tracker.tables, tracker.dropped, [*map(_key, migrations)])


def _follow(tracker: "_SchemaTracker", migration: Migration) -> None:
    """Follow one migration. Raise SwitchError where it comes too late for what it changes."""
    try:
        for operation in migration.operations:
            tracker.follow(operation, migration)
    except (KeyError, FieldDoesNotExist) as error:
        missing = error.args[0]
        name = ".".join(missing) if isinstance(missing, tuple) else missing
        step = f"{migration.app_label}.{migration.name}"
        raise SwitchError(
            f"{step} is about {name}, which a migration of another branch seems to have renamed "
            "or deleted before, so `manage.py migrate` fails as well. Where both branches are "
            "merged, let one of these migrations depend on the other, and correct its names. To "
            "undo the merge, run `manage.py migrations_switch BRANCH` with the branch that "
            f"{step} comes from."
        ) from error


def names_after(history: SchemaHistory) -> dict[Item, Item | None]:
    """
    The new names of the tables and columns that some migrations rename; None if they drop one.

    They are by their names before these migrations.
    """
    found: dict[Item, Item | None] = {(name, None): None for name in history.dropped}
    for old, (new, table) in history.by_original().items():
        if new != old:
            found[old, None] = new, None
        found |= {(old, column): None for column in table.dropped}
        for column, (name, _) in table.by_original().items():
            if name != column:
                found[old, column] = new, name
    return found


def makes_something(history: SchemaHistory) -> bool:
    """Whether there are tables or columns after some migrations that were not there before."""
    return any(
        table.original is None or any(one.original is None for one in table.columns.values())
        for table in history.tables.values()
    )


def narrowed_and_dropped(history: SchemaHistory) -> set[Item]:
    """The columns that got narrower before they were dropped, by their names before that."""
    return {
        (old, name)
        for old, (_, table) in history.by_original().items()
        for name, column in table.dropped.items()
        if column.narrows_forwards
    }


class _StoredModel(NamedTuple):
    """The table of a model, and where the values of its fields are."""

    table: str
    fields: Mapping[str, StoredField]
    """By their names in lower case."""

    def renamed(self, operation: Operation, after: "_StoredModel") -> "_StoredModel":
        """The same with the names and fields that ``operation``, if it renames, gives to them."""
        if isinstance(operation, operations.RenameField):
            names = {operation.old_name_lower: operation.new_name_lower}
            fields = {names.get(name, name): stored for name, stored in self.fields.items()}
            return self._replace(fields=fields)
        if isinstance(operation, operations.RenameModel):
            # Foreign keys to the model itself are new fields, and refer to the same rows.
            fields = {
                name: stored._replace(field=after.fields[name].field)
                for name, stored in self.fields.items()
            }
            return self._replace(fields=fields)
        return self


class _Cause(NamedTuple):
    """The reason for a change: the migration, the model, and whether its operation is certain."""

    migration: Key
    model: Key
    is_certain: bool


class _SchemaTracker:
    """Brings ``state``, ``tables`` and ``dropped`` from before each operation to after it."""

    def __init__(self, state: ProjectState, max_name_length: int | None, may_fill: bool) -> None:
        self.state = state
        self.tables: dict[str, Table] = {}
        self.dropped: dict[str, Table] = {}
        self._max_name_length = max_name_length
        self._may_fill = may_fill
        """Whether code of a migration may write into what another operation has made."""

    def follow(self, operation: Operation, migration: Migration) -> None:
        """Follow one operation of ``migration``, with those that it contains."""
        renames = self._renames_by_sql(operation)
        tables = {old: self.tables.get(old) for old in renames}
        if isinstance(operation, operations.SeparateDatabaseAndState):
            self._follow_separated(operation, migration)
        elif isinstance(operation, RAW):
            for inner in getattr(operation, "state_operations", None) or ():
                self._follow_one(inner, migration, is_certain=False)
        else:
            self._follow_one(operation, migration, is_certain=True)
        for old, new in renames.items():
            self._take_for_rename(old, new, tables[old], _key(migration))

    def _renames_by_sql(self, operation: Operation) -> dict[str, str]:
        """The new names of the state's tables that an operation renames by SQL."""
        renames = sql_renames(operation)
        if not renames:
            return {}
        known = {table for table, _ in structure(self.state, self._max_name_length)}
        return {old: new for old, new in renames if old in known}

    def _take_for_rename(self, old: str, new: str, table: Table | None, migration: Key) -> None:
        """
        Make one table of the dropped one and the created one that the state has seen.

        ``table`` is what was known of the old one before the operation.
        """
        created = self.tables.get(new)
        if created is None or created.original is not None or old in self.tables:
            return
        table = table or Table(created.model, old, migration, {}, {})
        if table.original is not None:
            self.dropped.pop(table.original, None)
        self.tables[new] = table._replace(
            model=created.model, migration=migration, is_certain=True
        )
        logger.debug("table %s: renamed to %s by SQL of %s.%s", old, new, *migration)

    def _follow_separated(
        self, operation: operations.SeparateDatabaseAndState, migration: Migration
    ) -> None:
        after = self.state.clone()
        operation.state_forwards(migration.app_label, after)
        for inner in operation.database_operations:
            self.follow(inner, migration)
        # SQL of the same migration may do what its operations do to the state alone.
        has_sql = any(isinstance(raw, operations.RunSQL) for raw in raw_operations(migration))
        for inner in operation.state_operations:
            if has_sql or isinstance(inner, _RENAMES):
                # Fails where the database operations have done it: there is nothing to follow.
                with suppress(KeyError, FieldDoesNotExist):
                    self._follow_one(inner, migration, is_certain=False)
        self.state = after

    def _follow_one(self, operation: Operation, migration: Migration, is_certain: bool) -> None:
        """Follow an operation that is no container and no code."""
        old_model, new_model = _models_of(operation, migration.app_label)
        before = self._stored(old_model)
        operation.state_forwards(migration.app_label, self.state)
        after = self._stored(new_model)
        if new_model is None:
            return
        cause = _Cause(_key(migration), new_model, is_certain)
        if isinstance(operation, operations.CreateModel):
            if after:
                self._create(after, cause)
        elif isinstance(operation, operations.DeleteModel):
            if before:
                self._delete(before, cause)
        elif before and after:
            self._compare(before.renamed(operation, after), after, cause)

    def _stored(self, key: Key | None) -> _StoredModel | None:
        """A model of the state as it is now; None if it has no table."""
        model: ModelState | None = self.state.models.get(key) if key else None
        if model is None or not has_table(model):
            return None
        table = table_of(model, self._max_name_length)
        stored = stored_fields(model, self._max_name_length)
        fields = {name.lower(): found for name, found in stored.items()}
        if model.options.get("order_with_respect_to"):
            fields["_order"] = StoredField((table, "_order"), _ORDER)
        return _StoredModel(table, fields)

    def _create(self, model: _StoredModel, cause: _Cause) -> None:
        self._create_table(model.table, cause)
        for stored in model.fields.values():
            if stored.is_table:
                self._create_table(stored.table, cause)

    def _delete(self, model: _StoredModel, cause: _Cause) -> None:
        for stored in model.fields.values():
            if stored.is_table:
                self._drop_table(stored.table, cause)
        self._drop_table(model.table, cause)

    def _compare(self, before: _StoredModel, after: _StoredModel, cause: _Cause) -> None:
        """Follow what an operation changed of a model that has a table before and after it."""
        table = self._rename_table(before.table, after.table, cause)
        for name, old in before.fields.items():
            new = after.fields.get(name)
            if new is None or new.is_table is not old.is_table:
                self._drop_field(table, old, cause)
            elif not old.is_table:
                self._alter_column(table, old, new, cause)
            elif new.table != old.table:
                self._rename_table(old.table, new.table, cause)
        for name, new in after.fields.items():
            was = before.fields.get(name)
            if was is None or was.is_table is not new.is_table:
                self._add_field(table, new, cause)

    def _add_field(self, table: Table, stored: StoredField, cause: _Cause) -> None:
        if stored.is_table:
            self._create_table(stored.table, cause)
            return
        starts_null = is_null_when_added(stored.field) and not self._may_fill
        table.columns[stored.column] = Column(
            None, cause.migration, cause.is_certain, starts_null=starts_null
        )
        logger.debug("column %s.%s: added by %s.%s", *stored.item, *cause.migration)

    def _alter_column(
        self, table: Table, old: StoredField, new: StoredField, cause: _Cause
    ) -> None:
        if new.field is old.field and new.column == old.column:
            return
        column = self._take_column(table, old.column, cause)
        table.columns[new.column] = column.altered(old.field, new.field, cause.migration)
        logger.debug(
            "column %s.%s: altered by %s.%s, now %s.%s", *old.item, *cause.migration, *new.item
        )

    def _drop_field(self, table: Table, stored: StoredField, cause: _Cause) -> None:
        if stored.is_table:
            self._drop_table(stored.table, cause)
            return
        column = self._take_column(table, stored.column, cause)
        if column.original is not None and table.original is not None:
            # What was altered may have been NOT NULL for a while, and had to have values then.
            may_have_values = self._may_fill or column.is_altered
            starts_null = is_null_when_added(stored.field) and not may_have_values
            table.dropped[column.original] = Column(
                column.original,
                cause.migration,
                cause.is_certain,
                starts_null=starts_null,
                narrows_forwards=column.narrows_forwards,
            )
        logger.debug("column %s.%s: dropped by %s.%s", *stored.item, *cause.migration)

    def _take_column(self, table: Table, name: str, cause: _Cause) -> Column:
        """A column of a table that is about to get another name or to be dropped."""
        return table.columns.pop(name, None) or Column(name, cause.migration)

    def _create_table(self, name: str, cause: _Cause) -> None:
        self.tables[name] = Table(
            cause.model, None, cause.migration, {}, {}, cause.is_certain, not self._may_fill
        )
        logger.debug("table %s: created by %s.%s", name, *cause.migration)

    def _rename_table(self, old: str, new: str, cause: _Cause) -> Table:
        """The table under its new name, which may be the old one."""
        table = self._touched(old, cause)
        if new != old:
            del self.tables[old]
            self.tables[new] = table
            logger.debug("table %s: renamed to %s by %s.%s", old, new, *cause.migration)
        return table

    def _drop_table(self, name: str, cause: _Cause) -> None:
        table = self._touched(name, cause)
        del self.tables[name]
        if table.original is not None:
            self.dropped[table.original] = table._replace(
                migration=cause.migration,
                is_certain=cause.is_certain,
                starts_empty=not self._may_fill,
            )
        logger.debug("table %s: dropped by %s.%s", name, *cause.migration)

    def _touched(self, name: str, cause: _Cause) -> Table:
        """A table that is there, and is in the history from now on."""
        return self.tables.setdefault(name, Table(cause.model, name, cause.migration, {}, {}))


def _key(migration: Migration) -> Key:
    return migration.app_label, migration.name


def _models_of(operation: Operation, app: str) -> tuple[Key | None, Key | None]:
    """The model that an operation is about, before and after it; None if it is about no one."""
    if isinstance(operation, operations.RenameModel):
        return (app, operation.old_name_lower), (app, operation.new_name_lower)
    if isinstance(operation, FieldOperation):
        name = operation.model_name_lower
    elif isinstance(operation, ModelOperation):
        name = operation.name_lower
    else:
        return None, None
    return (app, name), (app, name)
