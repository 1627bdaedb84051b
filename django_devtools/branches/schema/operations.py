"""The operations of migrations: what they are, and whether those of two migrations do the same."""

import enum
import functools
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.state import ProjectState
from django.db.models import Field

RAW = (operations.RunPython, operations.RunSQL)
"""Operations whose effect can't be foreseen."""

# https://docs.djangoproject.com/en/stable/howto/custom-model-fields/#field-attributes-not-affecting-database-column-definition
# says which arguments have no effect. Two of those do matter to us: db_column names the column,
# and Django 6.1's on_delete may be the database's (it is then no function).
_MODEL_OPTIONS = (
    "constraints",
    "db_table",
    "db_table_comment",
    "db_tablespace",
    "index_together",
    "indexes",
    "managed",
    "order_with_respect_to",
    "proxy",
    "swappable",
    "unique_together",
)
_SEEN_BY_STATE = (ModelOperation, IndexOperation, FieldOperation)
_SQL_RENAME = re.compile(
    r"""ALTER\s+TABLE\s+["`]?(\w+)["`]?\s+RENAME\s+TO\s+["`]?(\w+)["`]?""", re.IGNORECASE
)
_NO_EFFECT = (operations.AlterModelManagers, operations.AlterModelOptions)


def same_schema(one: Migration, other: Migration) -> bool:
    """Whether two migrations of one name do the same to the schema; raw operations aside."""
    return bool(_schema(one.operations) == _schema(other.operations))


def same_raw_operations(one: Migration, other: Migration) -> bool:
    """Whether their RunPython and RunSQL are the same, but for what the functions do inside."""
    return bool(_plain(raw_operations(one)) == _plain(raw_operations(other)))


def raw_operations(migration: Migration) -> list[Operation]:
    """The RunPython and RunSQL of a migration, those in SeparateDatabaseAndState too."""
    return [o for o in _database_operations(migration.operations) if isinstance(o, RAW)]


def writes_rows(migration: Migration, backwards: bool = False) -> bool:
    """Whether a migration may write rows by code of its own, as RunPython and RunSQL do."""
    noop = (operations.RunPython.noop, operations.RunSQL.noop)
    return any(
        not backwards
        or getattr(operation, "reverse_code", getattr(operation, "reverse_sql", None)) not in noop
        for operation in _database_operations(migration.operations)
        if isinstance(operation, RAW) or not _is_known(operation)
    )


def sql_renames(operation: Operation) -> list[tuple[str, str]]:
    """The old and the new names of the tables that an operation renames by SQL."""
    found: list[tuple[str, str]] = []
    for inner in _database_operations([operation]):
        if isinstance(inner, operations.RunSQL):
            statements = [inner.sql] if isinstance(inner.sql, str) else inner.sql
            for statement in statements:
                text = statement if isinstance(statement, str) else statement[0]
                found += _SQL_RENAME.findall(text)
    return found


def holds_raw(operation: Operation) -> bool:
    """Whether an operation is one of RAW, or has one inside."""
    return any(isinstance(inner, RAW) for inner in _database_operations([operation]))


def irreversible_operations(migration: Migration) -> list[Operation]:
    """The operations that can't be unapplied, those in SeparateDatabaseAndState too."""
    return [o for o in _database_operations(migration.operations) if not o.reversible]


def is_seen_by_state(migration: Migration) -> bool:
    """Whether all that a migration does to the database shows in the project state."""
    return all(isinstance(operation, _SEEN_BY_STATE) for operation in migration.operations)


def created_models(migrations: Iterable[Migration]) -> set[str]:
    """The names of the models that ``migrations`` create, in lower case."""
    return {
        operation.name_lower
        for migration in migrations
        for operation in migration.operations
        if isinstance(operation, operations.CreateModel)
    }


def same_models(one: ProjectState, other: ProjectState, app: str) -> bool:
    """Whether two project states have the same tables for ``app``."""
    return _models(one, app) == _models(other, app)


def _database_operations(found: Iterable[Operation]) -> Iterable[Operation]:
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _database_operations(operation.database_operations)
        else:
            yield operation


def _is_known(operation: Operation) -> bool:
    """Whether it is an operation of Django's, or one that says what it is about."""
    return isinstance(operation, _SEEN_BY_STATE) or type(operation).__module__.startswith(
        "django."
    )


def _schema(found: Iterable[Operation]) -> list[Any]:
    result: list[Any] = []
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            result.append(
                (_schema(operation.database_operations), _schema(operation.state_operations))
            )
        elif isinstance(operation, RAW):
            result.extend(_schema(getattr(operation, "state_operations", ())))
        elif isinstance(operation, operations.CreateModel):
            fields = [(name, _plain(field)) for name, field in operation.fields]
            bases = [str(_plain(base)) for base in operation.bases or ()]
            result.append((operation.name_lower, fields, _options(operation.options), bases))
        elif not isinstance(operation, _NO_EFFECT):
            result.append((type(operation).__name__, _plain(operation.deconstruct()[1:])))
    return result


def _models(state: ProjectState, app: str) -> dict[str, Any]:
    return {
        name: (
            {field_name: _plain(field) for field_name, field in model.fields.items()},
            _options(model.options),
            [str(_plain(base)) for base in model.bases],
        )
        for (label, name), model in state.models.items()
        if label == app
    }


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(options[name]) for name in _MODEL_OPTIONS if options.get(name)}


def _plain(value: Any) -> Any:
    """``value`` as something that can be compared, without what a database doesn't see."""
    if isinstance(value, Field):
        return _plain_field(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType | types.MethodType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, functools.partial):
        return _plain((value.func, value.args, value.keywords))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if k != "violation_error_message"}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=repr)
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if hasattr(value, "deconstruct"):
        return _plain(value.deconstruct())
    if hasattr(value, "__dict__"):
        return (type(value).__qualname__, _plain(vars(value)))
    return repr(value)


def _plain_field(field: "Field[Any, Any]") -> Any:
    _, path, args, kwargs = field.deconstruct()
    unseen = set(field.non_db_attrs) - {"db_column"}
    if not isinstance(kwargs.get("on_delete"), types.FunctionType):
        unseen.discard("on_delete")
    kwargs = {name: value for name, value in kwargs.items() if name not in unseen}
    if isinstance(kwargs.get("to"), str):
        kwargs["to"] = kwargs["to"].lower()
    return (path, _plain(args), _plain(kwargs))
