"""
Coerces values when a column gets narrower on the way backwards.

A switch saves what the column holds in the stash first. So if the database would reject the change
because of some values, those are cut, or replaced by the default of the narrower column.

Forwards nothing is coerced: if rows don't fit a migration without code, ``executor.py`` raises
UnfitRows.
"""

import copy
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import (
    AddConstraint,
    AlterField,
    AlterUniqueTogether,
    RemoveConstraint,
    RemoveField,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field

from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.field_types import (
    INTEGERS,
    TEXTS,
    narrows,
    narrows_values,
    type_of,
)
from django_devtools.branches.schema.introspection import Tables

logger = logging.getLogger("django_devtools.branches")

# The empty value of each type, for a column that can't be NULL.
_EMPTY = {
    "BinaryField": b"",
    "BooleanField": False,
    "DateField": date(1970, 1, 1),
    "DateTimeField": datetime(1970, 1, 1, tzinfo=UTC),
    "DurationField": timedelta(0),
    "GenericIPAddressField": "0.0.0.0",  # noqa: S104 - nothing binds to it
    "JSONField": {},
    "TimeField": time(0),
    "UUIDField": UUID(int=0),
}
_NUMBERS = ("Integer", "Decimal", "Float")
_CONSTRAINING = (AddConstraint, AlterUniqueTogether, RemoveConstraint)

RestoreColumn = Callable[[str, str | None], None]
"""Restores one column from the stash, by table and name; with None, each column of the table."""


def is_lossless(
    tables: Tables,
    table: str,
    column: str,
    old: "Field[Any, Any] | None",
    new: "Field[Any, Any] | None",
) -> bool:
    """Whether all values of a column are sure to stay as they are when it gets narrower."""
    if not (old and new):
        return not tables.has_rows(table)
    if (old.is_relation and new.is_relation) or not narrows_values(old, new):
        return True
    return not tables.has_rows(table, _too_wide(tables, column, old, new))


def _too_wide(tables: Tables, column: str, old: "Field[Any, Any]", new: "Field[Any, Any]") -> str:
    """SQL for the rows whose value may not fit ``new``."""
    name = tables.quote(column)
    kind = new.get_internal_type()
    kinds = {old.get_internal_type(), kind}
    if kinds <= TEXTS:
        return tables.dialect.longer_than(name, int(new.max_length or 0))
    if kinds <= INTEGERS.keys():
        low, high = tables.connection.ops.integer_field_range(kind)
        limits = [] if low is None else [f"{name} < {low}"]
        limits += [] if high is None else [f"{name} > {high}"]
        return " OR ".join(limits) or "1 = 0"
    return "1 = 1"


def coercing(operation: Operation, restore: RestoreColumn | None = None) -> Operation:
    """
    Wrap ``operation``, and those nested in it, to coerce values when it is undone.

    ``restore`` is called where only the values of the stash will do.
    """
    if isinstance(operation, AlterField):
        return cast(Operation, _Coercing(operation, restore))
    if isinstance(operation, RemoveField):
        return cast(Operation, _Restoring(operation, restore))
    return restoring(operation, restore, coercing)


def restoring(
    operation: Operation,
    restore: RestoreColumn | None = None,
    inner: "Callable[[Operation, RestoreColumn | None], Operation] | None" = None,
) -> Operation:
    """
    ``operation`` so that rows are restored first if its constraint would fail without them.

    ``inner`` does the same for the operations that are nested in it.
    """
    if isinstance(operation, _CONSTRAINING) and restore:
        return cast(Operation, _Constraining(operation, restore))
    if isinstance(operation, SeparateDatabaseAndState):
        operation = copy.copy(operation)
        operation.database_operations = [
            (inner or restoring)(one, restore) for one in operation.database_operations
        ]
    return operation


class _Wrapped:
    """An operation that runs in another way."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operation, name)


class _Coercing(_Wrapped):
    """An AlterField that coerces values when it is undone."""

    def __init__(self, operation: AlterField, restore: RestoreColumn | None) -> None:
        super().__init__(operation)
        self._restore = restore

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        run = partial(self._operation.database_backwards, app, editor, state, before)
        column = self._narrowed(app, editor, state, before)
        if column:
            column.narrow(run)
        else:
            run()

    def _narrowed(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> "_NarrowedColumn | None":
        model = state.apps.get_model(app, self._operation.model_name)
        earlier_model = before.apps.get_model(app, self._operation.model_name)
        old: Any = model._meta.get_field(self._operation.name)
        new: Any = earlier_model._meta.get_field(self._operation.name)
        is_plain = not old.is_relation and old.concrete and new.concrete
        if not is_plain or not narrows(old, new):
            return None
        if not self._operation.allow_migrate_model(editor.connection.alias, model):
            return None
        return _NarrowedColumn(editor, model._meta.db_table, old, new, self._restore)


class _NarrowedColumn(NamedTuple):
    """A column that becomes narrower: one of ``old`` becomes one of ``new``."""

    editor: BaseDatabaseSchemaEditor
    table: str
    old: Any
    new: Any
    restore: RestoreColumn | None = None

    def narrow(self, run: Callable[[], None]) -> None:
        """Do what ``run`` does, and coerce the values that stand in its way."""
        dialect = dialect_of(self.editor.connection)
        if self._has_nulls():
            self._restore()
            self._replace_nulls()
        if not dialect.rejects_unfit and self._has_unfit():
            self._restore()
            self._coerce_values()
        deferred = list(self.editor.deferred_sql)
        try:
            with dialect.lenient_mode(), _savepoint(self.editor.connection):
                run()
        except (DataError, IntegrityError) as error:
            if not dialect.rejects_unfit:
                raise
            self._restore()
            self._coerce_values()
            logger.debug("%s: coerced what does not fit %s: %s", self, self._type, error)
            self.editor.deferred_sql[:] = deferred
            run()

    def _replace_nulls(self) -> None:
        dialect = dialect_of(self.editor.connection)
        column = dialect.quote(self.old.column)
        value = _default(self.editor, self.new)
        count = dialect.execute(
            f"UPDATE {dialect.quote(self.table)} SET {column} = %s WHERE {column} IS NULL", [value]
        )
        dialect.check_foreign_keys_now()
        logger.debug(
            "%s: %r replaces NULL in %d row(s), because it becomes NOT NULL", self, value, count
        )

    def _has_nulls(self) -> bool:
        """Whether the column has NULL, and is not to have it any more."""
        tables = Tables(self.editor.connection)
        is_null = f"{tables.quote(self.old.column)} IS NULL"
        return self.old.null and not self.new.null and tables.has_rows(self.table, is_null)

    def _has_unfit(self) -> bool:
        """Whether the column has values that are to be replaced; texts are only cut."""
        tables, field_type = Tables(self.editor.connection), type_of(self.new)
        if field_type in TEXTS:
            return False
        if is_lossless(tables, self.table, self.old.column, self.old, self.new):
            return False
        unfit = tables.dialect.unfit(self.table, self.old.column, self._type, field_type)
        return tables.has_rows(self.table, unfit)

    def _restore(self) -> None:
        """Restore from the stash what only it can say: no value is made up in its place."""
        if self.restore:
            self.restore(self.table, self.old.column)

    def _coerce_values(self) -> None:
        def placeholder() -> Any:
            return None if self.new.null else _default(self.editor, self.new)

        dialect = dialect_of(self.editor.connection)
        column, field_type = self.old.column, type_of(self.new)
        dialect.coerce_values(self.table, column, self._type, field_type, placeholder)
        dialect.check_foreign_keys_now()

    @property
    def _type(self) -> str:
        return str(self.new.db_parameters(self.editor.connection)["type"])

    def __str__(self) -> str:
        return f"{self.table}.{self.old.column}"


class _Constraining(_Wrapped):
    """An operation that adds a constraint; restores the values first where it fails without."""

    def __init__(self, operation: Any, restore: RestoreColumn) -> None:
        super().__init__(operation)
        self._restore = restore

    def database_forwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, after: ProjectState
    ) -> None:
        self._run(self._operation.database_forwards, app, editor, state, after)

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        self._run(self._operation.database_backwards, app, editor, state, before)

    def _run(
        self,
        run: Callable[..., None],
        app: str,
        editor: BaseDatabaseSchemaEditor,
        state: ProjectState,
        end: ProjectState,
    ) -> None:
        deferred = list(editor.deferred_sql)
        try:
            with _savepoint(editor.connection):
                run(app, editor, state, end)
        except IntegrityError as error:
            editor.deferred_sql[:] = deferred
            name = getattr(self._operation, "model_name", None) or self._operation.name
            table = state.apps.get_model(app, name)._meta.db_table
            logger.debug("%s: restored before it is constrained: %s", table, error)
            self._restore(table, None)
            run(app, editor, state, end)


class _Restoring(_Wrapped):
    """A RemoveField that adds its column again, also if rows need a value and none is given."""

    def __init__(self, operation: RemoveField, restore: RestoreColumn | None) -> None:
        super().__init__(operation)
        self._restore = restore

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        run = partial(self._operation.database_backwards, app, editor, state, before)
        model = before.apps.get_model(app, self._operation.model_name)
        field: Any = model._meta.get_field(self._operation.name)
        is_migrated = self._operation.allow_migrate_model(editor.connection.alias, model)
        if not is_migrated or not _lacks_value(editor, field):
            run()
        elif field.is_relation or field.unique:
            now = state.apps.get_model(app, self._operation.model_name)
            self._add_and_restore(model, field, now, editor)
        else:
            _with_empty_default(editor, field, run)

    def _add_and_restore(
        self, model: Any, field: Any, now: Any, editor: BaseDatabaseSchemaEditor
    ) -> None:
        """Restore the values at once: no other value could stand there in the meantime."""
        logger.debug("%s.%s: NULL until it is restored", model._meta.db_table, field.column)
        nullable = copy.copy(field)
        nullable.null = True
        editor.add_field(now, nullable)
        if self._restore:
            self._restore(model._meta.db_table, field.column)
        editor.alter_field(model, nullable, field)


def _lacks_value(editor: BaseDatabaseSchemaEditor, field: Any) -> bool:
    """Whether a column can't be added to a table with rows, because nothing says their value."""
    if not field.concrete or field.null or field.generated or field.primary_key:
        return False
    db_default = getattr(field, "db_default", NOT_PROVIDED)
    return db_default is NOT_PROVIDED and editor.effective_default(field) is None


def _with_empty_default(
    editor: BaseDatabaseSchemaEditor, field: Any, run: Callable[[], None]
) -> None:
    # For this time only, as AddField does it with preserve_default=False.
    field.default = _empty(editor, field)
    logger.debug("%s: %r until it is restored", field, field.default)
    try:
        run()
    finally:
        field.default = NOT_PROVIDED
        field.__dict__.pop("_get_default", None)


def _savepoint(connection: BaseDatabaseWrapper) -> AbstractContextManager[Any]:
    """A block that is rolled back if it fails, where the database can roll back DDL."""
    if connection.features.can_rollback_ddl:
        return transaction.atomic(connection.alias)
    return nullcontext()


def _default(editor: BaseDatabaseSchemaEditor, field: "Field[Any, Any]") -> Any:
    """The default of a column, else an empty value of its type."""
    default: Any = editor.effective_default(field)
    if default is not None:
        return default
    return field.get_db_prep_save(_empty(editor, field), editor.connection)


def _empty(editor: BaseDatabaseSchemaEditor, field: "Field[Any, Any]") -> Any:
    kind = field.get_internal_type()
    column = str(field.db_parameters(editor.connection)["type"])
    # By their columns: django.contrib.postgres can't be imported without its driver.
    if column.endswith("]"):
        return []
    if column.endswith("range"):
        return "empty"
    if any(number in kind for number in _NUMBERS):
        return 0
    return _EMPTY.get(kind, "")
