"""What migrations do to a database: whether two do the same, and what unapplying one drops."""

import enum
import functools
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field

from .snapshot import Key

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
_NO_EFFECT = (operations.AlterModelManagers, operations.AlterModelOptions)


@dataclass(frozen=True)
class Loss:
    """A table, or a column of one, that unapplying a migration drops."""

    migration: Key
    model: Key
    table: str
    column: str | None = None

    def __str__(self) -> str:
        return f"column {self.table}.{self.column}" if self.column else f"table {self.table}"


def same_schema(one: Migration, other: Migration) -> bool:
    """Whether two migrations of one name do the same to the schema; raw operations aside."""
    return bool(_schema(one.operations) == _schema(other.operations))


def same_raw_operations(one: Migration, other: Migration) -> bool:
    """Whether their RunPython and RunSQL are the same, but for what the functions do inside."""
    return bool(_plain(raw_operations(one)) == _plain(raw_operations(other)))


def raw_operations(migration: Migration) -> list[Operation]:
    """The RunPython and RunSQL of a migration, those in SeparateDatabaseAndState too."""
    return [o for o in _database_operations(migration.operations) if isinstance(o, RAW)]


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


def losses(
    base: ProjectState, migrations: Iterable[Migration], max_name_length: int | None = None
) -> tuple[list[Loss], ProjectState]:
    """
    What unapplying ``migrations`` drops, and the state after them.

    ``base`` is the state before them, and is changed; they are in the order they were applied.
    What they renamed goes by the name it has now; a rename is no drop.
    """
    created: dict[tuple[str, ...], Key] = {}
    for migration in migrations:
        key = (migration.app_label, migration.name)
        for operation in migration.operations:
            _follow(operation, key, created)
            operation.state_forwards(migration.app_label, base)
    found = [
        loss
        for path, key in created.items()
        for loss in _losses(base, path, key, created, max_name_length)
    ]
    return found, base


def structure(
    state: ProjectState, max_name_length: int | None = None
) -> Iterable[tuple[str, str | None]]:
    """Every table of a state, and every column with its table."""
    for model in state.models.values():
        if _has_table(model):
            yield _table(model), None
            for name, field in model.fields.items():
                if not field.many_to_many:
                    yield _table(model), _column(field, name)
                elif not _through(field):
                    yield _m2m_table(field, name, _table(model), max_name_length), None


def tables(state: ProjectState) -> set[str]:
    """The tables of all models of a state, but for those of plain many-to-many fields."""
    return {_table(model) for model in state.models.values() if _has_table(model)}


def _database_operations(found: Iterable[Operation]) -> Iterable[Operation]:
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _database_operations(operation.database_operations)
        else:
            yield operation


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


def _follow(operation: Operation, key: Key, created: dict[tuple[str, ...], Key]) -> None:
    """Keep ``created`` right: the models and fields that exist since these migrations."""
    app = key[0]
    if isinstance(operation, operations.SeparateDatabaseAndState):
        for inner in operation.database_operations:
            _follow(inner, key, created)
        for inner in operation.state_operations:
            if isinstance(inner, operations.RenameModel | operations.RenameField):
                _follow(inner, key, created)
    elif isinstance(operation, operations.CreateModel):
        created[app, operation.name_lower] = key
    elif isinstance(operation, operations.AddField):
        created[app, operation.model_name_lower, operation.name_lower] = key
    elif isinstance(operation, operations.DeleteModel):
        for path in [p for p in created if p[:2] == (app, operation.name_lower)]:
            del created[path]
    elif isinstance(operation, operations.RemoveField):
        created.pop((app, operation.model_name_lower, operation.name_lower), None)
    elif isinstance(operation, operations.RenameModel):
        for path in [p for p in created if p[:2] == (app, operation.old_name_lower)]:
            created[app, operation.new_name_lower, *path[2:]] = created.pop(path)
    elif isinstance(operation, operations.RenameField):
        path = (app, operation.model_name_lower, operation.old_name_lower)
        if path in created:
            created[(*path[:2], operation.new_name_lower)] = created.pop(path)


def _losses(
    state: ProjectState,
    path: tuple[str, ...],
    key: Key,
    created: Mapping[tuple[str, ...], Key],
    max_name_length: int | None,
) -> Iterable[Loss]:
    model = state.models.get((path[0], path[1]))
    if model is None or not _has_table(model):
        return
    table = _table(model)
    model_key = (path[0], path[1])
    if len(path) == 2:
        yield Loss(key, model_key, table)
        fields = list(model.fields.items())
    elif path[:2] in created:
        return  # goes with its table
    else:
        fields = [(n, f) for n, f in model.fields.items() if n.lower() == path[2]]
    for name, field in fields:
        if field.many_to_many:
            if not _through(field):
                yield Loss(key, model_key, _m2m_table(field, name, table, max_name_length))
        elif len(path) == 3 and (column := _column(field, name)):
            yield Loss(key, model_key, table, column)


def _has_table(model: ModelState) -> bool:
    options = model.options
    swappable = options.get("swappable")
    swapped = swappable and getattr(settings, swappable, "").lower() != (
        f"{model.app_label}.{model.name_lower}"
    )
    return options.get("managed", True) and not options.get("proxy") and not swapped


def _table(model: ModelState) -> str:
    return model.options.get("db_table") or f"{model.app_label}_{model.name_lower}"


def _column(field: "Field[Any, Any]", name: str) -> str | None:
    field = field.clone()
    field.set_attributes_from_name(name)
    return field.column if field.concrete else None


def _through(field: Any) -> Any:
    return field.remote_field.through


def _m2m_table(field: Any, name: str, table: str, max_name_length: int | None) -> str:
    # As ManyToManyField._get_m2m_db_table names it.
    return field.db_table or truncate_name(f"{strip_quotes(table)}_{name}", max_name_length)
