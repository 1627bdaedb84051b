"""
Makes values fit when a column gets narrower on the way back.

A switch keeps what the column held in the stash first. So where the database would refuse the
change for some values, those are cut, or give way to the default of the narrower column.
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, cast
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

from django_devtools.branches.schema.field_types import INTEGERS, TEXTS, narrows, narrows_values
from django_devtools.branches.schema.introspection import Tables, sql_mode

# What stands for nothing where NULL can't.
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

# A cast that fails is an exception, and only a function can catch one.
_FITS = """
CREATE OR REPLACE FUNCTION pg_temp.django_devtools_fits(value text, kind text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %L::%s', value, kind);
    RETURN true;
EXCEPTION WHEN data_exception THEN
    RETURN false;
END $$
"""


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
    name, ops = tables.quote(column), tables.connection.ops
    kind, kinds = new.get_internal_type(), {old.get_internal_type(), new.get_internal_type()}
    if kinds <= TEXTS:
        limits = [f"CHAR_LENGTH({name}) > {new.max_length}"]
        if tables.connection.vendor == "sqlite":
            limits = []  # It stores texts of any length.
    elif kinds <= INTEGERS.keys():
        low, high = ops.integer_field_range(kind)
        limits = [f"{name} < {low}"] * (low is not None) + [f"{name} > {high}"] * (
            high is not None
        )
    else:
        limits = ["1 = 1"]
    return not any(tables.has_rows(table, limit) for limit in limits)


RestoreColumn = Callable[[str, str | None], None]
"""Puts what the stash has into a column, by table and name, or into all that come back to one."""


def coercing(operation: Operation, restore: RestoreColumn | None = None) -> Operation:
    """``operation`` so that it makes all values fit when it is undone, also where it is nested."""
    if isinstance(operation, AlterField):
        return cast(Operation, _Coercing(operation))
    if isinstance(operation, RemoveField):
        return cast(Operation, _Restoring(operation, restore))
    return restoring(operation, restore, coercing)


def restoring(
    operation: Operation,
    restore: RestoreColumn | None = None,
    inner: "Callable[[Operation, RestoreColumn | None], Operation] | None" = None,
) -> Operation:
    """``operation`` so that what comes back is there where a constraint can't be made without."""
    if isinstance(operation, _CONSTRAINING) and restore:
        return cast(Operation, _Constraining(operation, restore))
    if isinstance(operation, SeparateDatabaseAndState):
        operation = copy.copy(operation)
        operation.database_operations = [
            (inner or restoring)(one, restore) for one in operation.database_operations
        ]
    return operation


class _Other:
    """An operation that is run in another way."""

    def __init__(self, operation: Any) -> None:
        self._operation = operation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operation, name)


class _Coercing(_Other):
    """An AlterField that makes all values fit when it is undone."""

    def database_backwards(self, *arguments: Any) -> None:
        run = partial(self._operation.database_backwards, *arguments)
        _run_coercing(run, self._operation, *arguments)


class _Constraining(_Other):
    """An operation that makes a constraint, either way: if none else, the values of before fit."""

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
        connection, deferred = editor.connection, list(editor.deferred_sql)
        is_undone = connection.features.can_rollback_ddl
        try:
            with transaction.atomic(connection.alias) if is_undone else nullcontext():
                run(app, editor, state, end)
        except IntegrityError:
            editor.deferred_sql[:] = deferred
            name = getattr(self._operation, "model_name", None) or self._operation.name
            self._restore(state.apps.get_model(app, name)._meta.db_table, None)
            run(app, editor, state, end)


class _Restoring(_Other):
    """A RemoveField that makes its column again also where rows need a value and none is given."""

    def __init__(self, operation: RemoveField, restore: RestoreColumn | None) -> None:
        super().__init__(operation)
        self._restore = restore

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        model = before.apps.get_model(app, self._operation.model_name)
        field: Any = model._meta.get_field(self._operation.name)
        alias = editor.connection.alias
        needs_value = (
            field.concrete
            and not (field.null or field.generated or field.primary_key)
            and not _has_default(editor, field)
        )
        if not needs_value or not self._operation.allow_migrate_model(alias, model):
            self._operation.database_backwards(app, editor, state, before)
            return
        if field.is_relation or field.unique:
            now = state.apps.get_model(app, self._operation.model_name)
            self._make_and_restore(model, field, now, editor)
            return
        # For this time only, as AddField does it with preserve_default=False.
        field.default = _nothing(editor, field)
        try:
            self._operation.database_backwards(app, editor, state, before)
        finally:
            field.default = NOT_PROVIDED
            field.__dict__.pop("_get_default", None)

    def _make_and_restore(
        self, model: Any, field: Any, now: Any, editor: BaseDatabaseSchemaEditor
    ) -> None:
        """Nothing else can stand there until its values are back: they come at once."""
        nullable = copy.copy(field)
        nullable.null = True
        editor.add_field(now, nullable)
        if self._restore:
            self._restore(model._meta.db_table, field.column)
        editor.alter_field(model, nullable, field)


def _has_default(editor: BaseDatabaseSchemaEditor, field: Any) -> bool:
    db_default = getattr(field, "db_default", NOT_PROVIDED)
    return db_default is not NOT_PROVIDED or editor.effective_default(field) is not None


def _run_coercing(
    run: Callable[[], None],
    operation: AlterField,
    app: str,
    editor: BaseDatabaseSchemaEditor,
    state: ProjectState,
    before: ProjectState,
) -> None:
    connection = editor.connection
    model = state.apps.get_model(app, operation.model_name)
    old: Any = model._meta.get_field(operation.name)
    new: Any = before.apps.get_model(app, operation.model_name)._meta.get_field(operation.name)
    is_plain = not old.is_relation and old.concrete and new.concrete
    if (
        not is_plain
        or not narrows(old, new)
        or not operation.allow_migrate_model(connection.alias, model)
    ):
        run()
        return
    table = editor.quote_name(model._meta.db_table).replace("%", "%%")
    column = editor.quote_name(old.column).replace("%", "%%")
    if old.null and not new.null:
        sql = f"UPDATE {table} SET {column} = %s WHERE {column} IS NULL"
        _update(connection, sql, _empty(editor, new))
    if connection.vendor == "mysql":
        # It cuts what does not fit, unless it is told to be strict.
        with sql_mode(connection, lambda mode: ""):
            run()
        return
    deferred = list(editor.deferred_sql)
    try:
        with transaction.atomic(connection.alias):
            run()
    except DataError:
        if connection.vendor != "postgresql":
            raise
        editor.deferred_sql[:] = deferred
        _make_fit(editor, table, column, new)
        run()


def _make_fit(
    editor: BaseDatabaseSchemaEditor, table: str, column: str, new: "Field[Any, Any]"
) -> None:
    connection = editor.connection
    kind = str(new.db_parameters(connection)["type"])
    if kind.startswith("varchar"):
        # This cast does not fail: it cuts, and each text of an array, too.
        cut = f"{column}::{kind}"
        _update(connection, f"UPDATE {table} SET {column} = {cut} WHERE {column} <> {cut}")
        return
    placeholder = None if new.null else _empty(editor, new)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_typeof({column})::text FROM {table} LIMIT 1", [])
        (now,) = cursor.fetchone()
        cursor.execute(_FITS)
    _update(
        connection,
        f"UPDATE {table} SET {column} = (%s::{kind})::text::{now} WHERE {column} IS NOT NULL "
        f"AND NOT pg_temp.django_devtools_fits({column}::text, %s)",
        placeholder,
        kind,
    )


def _empty(editor: BaseDatabaseSchemaEditor, field: "Field[Any, Any]") -> Any:
    """The default of a column, or what is next to nothing in it."""
    default: Any = editor.effective_default(field)
    if default is not None:
        return default
    return field.get_db_prep_save(_nothing(editor, field), editor.connection)


def _nothing(editor: BaseDatabaseSchemaEditor, field: "Field[Any, Any]") -> Any:
    kind, column = field.get_internal_type(), str(field.db_parameters(editor.connection)["type"])
    # Told by their columns: django.contrib.postgres can't be imported without its driver.
    if column.endswith("]"):
        return []
    if column.endswith("range"):
        return "empty"
    return _EMPTY.get(kind, 0 if any(number in kind for number in _NUMBERS) else "")


def _update(connection: BaseDatabaseWrapper, sql: str, *params: Any) -> None:
    _execute(connection, sql, *params)
    if connection.vendor == "postgresql":
        # Else a foreign key of a row that was written waits to be looked at, and until then the
        # table can't be altered.
        connection.check_constraints()


def _execute(connection: BaseDatabaseWrapper, sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
