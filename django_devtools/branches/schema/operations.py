"""What migrations do to a database: whether two do the same, and what unapplying one drops."""

import enum
import functools
import math
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.state import ModelState, ProjectState
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
INTEGERS = {
    "SmallAutoField": (1, True),
    "SmallIntegerField": (1, True),
    "PositiveSmallIntegerField": (1, False),
    "AutoField": (2, True),
    "IntegerField": (2, True),
    "PositiveIntegerField": (2, False),
    "BigAutoField": (3, True),
    "BigIntegerField": (3, True),
    "PositiveBigIntegerField": (3, False),
}
TEXTS = {"CharField", "SlugField", "FileField", "FilePathField", "TextField"}
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


def structure(
    state: ProjectState, max_name_length: int | None = None
) -> Iterable[tuple[str, str | None]]:
    """Every table of a state, and every column with its table."""
    for model in state.models.values():
        if has_table(model):
            table = table_of(model, max_name_length)
            yield table, None
            for name, field in model.fields.items():
                if not field.many_to_many:
                    yield table, column_of(field, name)
                elif not has_through(field):
                    yield m2m_table(field, name, table, max_name_length), None


def tables(state: ProjectState, max_name_length: int | None = None) -> set[str]:
    """The tables of all models of a state, but for those of plain many-to-many fields."""
    return {table_of(m, max_name_length) for m in state.models.values() if has_table(m)}


def has_table(model: ModelState) -> bool:
    """Whether migrations make a table for a model."""
    options = model.options
    swappable = options.get("swappable")
    swapped = swappable and getattr(settings, swappable, "").lower() != (
        f"{model.app_label}.{model.name_lower}"
    )
    return options.get("managed", True) and not options.get("proxy") and not swapped


def table_of(model: ModelState, max_name_length: int | None = None) -> str:
    """The name of a model's table."""
    own = model.options.get("db_table")
    return own or truncate_name(f"{model.app_label}_{model.name_lower}", max_name_length)


def column_of(field: "Field[Any, Any]", name: str) -> str | None:
    """The name of a field's column; None where it has none."""
    field = field.clone()
    field.set_attributes_from_name(name)
    return field.column if field.concrete else None


def field_of(
    state: ProjectState, table: str, column: str, max_name_length: int | None = None
) -> "Field[Any, Any] | None":
    """The field that a column of a table is of."""
    for model in state.models.values():
        if has_table(model) and table_of(model, max_name_length) == table:
            found: Mapping[str, Field[Any, Any]] = model.fields
            for name, field in found.items():
                if not field.many_to_many and column_of(field, name) == column:
                    return field
    return None


def has_through(field: Any) -> Any:
    """The model that a many-to-many field names for its table, if any."""
    return field.remote_field.through


def m2m_table(field: Any, name: str, table: str, max_name_length: int | None) -> str:
    """The name of the table that a many-to-many field makes."""
    # As ManyToManyField._get_m2m_db_table names it.
    return field.db_table or truncate_name(f"{strip_quotes(table)}_{name}", max_name_length)


def narrows(old: "Field[Any, Any]", new: "Field[Any, Any]", null: bool = False) -> bool:
    """
    Whether some values of a column may not survive that ``old`` becomes ``new``.

    ``null`` leaves aside that NULL may not.
    """
    if getattr(old, "generated", False):
        return False
    if old.null and not new.null and not null:
        return True
    if old.is_relation and new.is_relation:
        return _target(old) != _target(new)
    old_type, new_type = old.get_internal_type(), new.get_internal_type()
    if old_type in INTEGERS and new_type in INTEGERS:
        (old_rank, old_signed), (new_rank, new_signed) = INTEGERS[old_type], INTEGERS[new_type]
        return new_rank < old_rank or (old_signed and not new_signed)
    if old_type in TEXTS and new_type in TEXTS:
        return _length(new) < _length(old)
    if old_type != new_type or old.is_relation or new.is_relation:
        return True
    if old_type == "DecimalField":
        return _digits(new)[0] < _digits(old)[0] or _digits(new)[1] < _digits(old)[1]
    inner, new_inner = getattr(old, "base_field", None), getattr(new, "base_field", None)
    if inner and new_inner and narrows(inner, new_inner):
        return True
    return _length(new) < _length(old)


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


def _target(field: Any) -> tuple[str, str | None]:
    """What a foreign key refers to, as far as it says so itself."""
    to = field.remote_field.model
    return str(getattr(to, "_meta", to)).lower(), field.remote_field.field_name


def _length(field: "Field[Any, Any]") -> float:
    length = field.max_length
    is_bounded = length is not None and field.get_internal_type() != "TextField"
    return float(length) if is_bounded and length is not None else math.inf


def _digits(field: Any) -> tuple[int, int]:
    """How many digits there may be before and after the point."""
    return field.max_digits - field.decimal_places, field.decimal_places
