"""The operations of migrations: what they are, and whether those of two migrations do the same."""

import copy
import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.state import ProjectState

from django_devtools.branches.sources.loader import variant

from .normal_form import comparable, comparable_code, comparable_options

RAW = (operations.RunPython, operations.RunSQL)
"""Operations whose effect can't be foreseen: they run code of the project."""

_EMPTY = (operations.RunPython.noop, operations.RunSQL.noop)

_SEEN_BY_STATE = (ModelOperation, IndexOperation, FieldOperation)
"""Operations that change the project state in the same way as the database."""

_ALTERS_STATE_ALONE = (operations.AlterModelManagers, operations.AlterModelOptions)

_SQL_RENAME = r"""(?i)ALTER\s+TABLE\s+["`]?(\w+)["`]?\s+RENAME\s+TO\s+["`]?(\w+)["`]?"""


_NAME = r"""("[^"]+"|`[^`]+`|\w+)"""
_RENAMES = (
    # What may not be there may not have been renamed either, so nothing with IF EXISTS.
    (
        rf"ALTER\s+(TABLE|INDEX|SEQUENCE|VIEW)\s+{_NAME}\s+RENAME\s+TO\s+{_NAME}",
        r"ALTER \1 \3 RENAME TO \2",
    ),
    (
        rf"ALTER\s+TABLE\s+{_NAME}\s+RENAME\s+(CONSTRAINT|COLUMN)\s+{_NAME}\s+TO\s+{_NAME}",
        r"ALTER TABLE \1 RENAME \2 \4 TO \3",
    ),
)
"""Statements that give something another name, and those that give it back."""


class Mark(Operation):
    """What a receiver of pre_migrate puts into migrations, to be told when these are run."""

    def state_forwards(self, *_: Any) -> None:
        """Nothing: models stay as they are."""


def without_marks(migration: Migration) -> Migration:
    """A migration as it was before marks were put into it."""
    found = [one for one in migration.operations if not isinstance(one, Mark)]
    return variant(migration, operations=found)


_KEEPS_NAMES = (
    operations.AddConstraint,
    operations.AddField,
    operations.AddIndex,
    operations.AlterModelOptions,
    operations.AlterUniqueTogether,
    operations.CreateModel,
    operations.DeleteModel,
    operations.RemoveConstraint,
    operations.RemoveField,
    operations.RemoveIndex,
    operations.RunPython,
)
"""Operations after which whatever is still there has the names that it had before."""


def same_schema(one: Migration, other: Migration) -> bool:
    """Whether two migrations do the same to the schema, apart from their RAW operations."""
    return bool(_schema(one.operations) == _schema(other.operations))


def result_of(found: Iterable[Operation], app: str) -> list[Any]:
    """
    What operations of an app do to the schema once they are optimized, as equal values.

    Nothing if they don't follow each other, such as two that add the same field.
    """
    own = [operation for operation in found if not _is_put_in(operation)]
    try:
        return _schema(MigrationOptimizer().optimize(own, app))
    except Exception:  # noqa: BLE001 - each operation has checks of its own
        return []


def same_raw_operations(one: Migration, other: Migration) -> bool:
    """Whether two migrations run the same SQL, and functions of the same names."""
    return bool(comparable(raw_operations(one)) == comparable(raw_operations(other)))


def same_place(one: Migration, other: Migration) -> bool:
    """Whether two migrations come after the same ones, and before the same ones."""
    return _place(one) == _place(other)


def raw_operations(migration: Migration) -> list[Operation]:
    """The RAW operations of a migration, including those in SeparateDatabaseAndState."""
    return [o for o in _database_operations(migration.operations) if isinstance(o, RAW)]


def runs_sql(migration: Migration) -> bool:
    """Whether a migration has SQL of its own, or operations that nobody here knows."""
    hidden = hidden_operations([migration])
    return any(not isinstance(one, operations.RunPython) for one in hidden)


def has_own_ways(migration: Migration) -> bool:
    """Whether an operation on models or fields is derived from Django's, and does it otherwise."""
    return any(
        not type(one).database_forwards.__module__.startswith("django.")
        for one in _database_operations(migration.operations)
        if isinstance(one, (ModelOperation, FieldOperation))
    )


def writes_rows(migration: Migration, backwards: bool = False) -> bool:
    """Whether code of a migration may write rows when it is applied, or unapplied."""
    return any(
        _may_write(operation, backwards)
        for operation in _database_operations(migration.operations)
    )


def has_lasting_code(migration: Migration) -> bool:
    """Whether a migration runs code whose effect no unapplying undoes."""
    return any(map(_lasts, _database_operations(migration.operations)))


def without_lasting_code(migration: Migration) -> Migration:
    """A copy that does not run that code, nor needs a reverse of it."""
    return variant(
        migration, operations=[_without_lasting_code(one) for one in migration.operations]
    )


def may_rename(migration: Migration) -> bool:
    """Whether a migration may give a table or a column another name."""
    return not all(isinstance(operation, _KEEPS_NAMES) for operation in migration.operations)


def sql_renames(operation: Operation) -> list[tuple[str, str]]:
    """The old and the new names of the tables that an operation renames by SQL."""
    found: list[tuple[str, str]] = []
    for inner in _database_operations([operation]):
        if isinstance(inner, operations.RunSQL):
            for statement in _statements(inner):
                found += re.findall(_SQL_RENAME, statement)
    return found


def renamed_back(operation: operations.RunSQL) -> list[Any]:
    """The SQL that undoes what an operation renames; nothing if it does anything else."""
    found = [_renamed_back(statement) for statement in reversed(_statements(operation))]
    undone = [statement for statement in found if statement]
    return undone if len(undone) == len(found) else []


def _renamed_back(statement: str) -> str | None:
    statement = statement.strip().removesuffix(";").rstrip()
    for pattern, back in _RENAMES:
        if match := re.fullmatch(pattern, statement, re.IGNORECASE):
            return match.expand(back)
    return None


def holds_raw(operation: Operation) -> bool:
    """Whether an operation is one of RAW, or contains one."""
    return any(isinstance(inner, RAW) for inner in _database_operations([operation]))


def irreversible_operations(migration: Migration) -> list[Operation]:
    """The operations that can't be unapplied, including those in SeparateDatabaseAndState."""
    return [o for o in _database_operations(migration.operations) if not o.reversible]


def is_seen_by_state(migration: Migration) -> bool:
    """Whether all that a migration does to the database shows in the project state."""
    return all(
        isinstance(operation, _SEEN_BY_STATE)
        for operation in migration.operations
        if not _is_put_in(operation)
    )


def runs_no_code(migration: Migration) -> bool:
    """Whether a migration changes the database by operations on models and fields alone."""
    found = _database_operations(migration.operations)
    return all(isinstance(operation, _SEEN_BY_STATE) for operation in found)


def does_nothing(migration: Migration) -> bool:
    """Whether a migration leaves the database as it is, as one that only merges others does."""
    found = _database_operations(migration.operations)
    return all(isinstance(operation, _ALTERS_STATE_ALONE) for operation in found)


def only_adds(migration: Migration) -> bool:
    """Whether a migration adds tables, and columns that no INSERT has to fill, and no more."""
    return all(_adds(operation) for operation in migration.operations)


def hidden_operations(migrations: Iterable[Migration], elide: bool = False) -> list[Operation]:
    """
    The operations of ``migrations`` whose effect on the database does not show in the state.

    ``elide`` leaves out those that a squash may leave out.
    """
    return [
        operation
        for migration in migrations
        for operation in migration.operations
        if not (isinstance(operation, _SEEN_BY_STATE) or _is_put_in(operation))
        if not (elide and operation.elidable)
    ]


def same_operations(one: Iterable[Operation], other: Iterable[Operation]) -> bool:
    """Whether operations do the same to the schema, and run the same SQL and Python code."""
    ours, theirs = list(one), list(other)
    return bool(_schema(ours) == _schema(theirs)) and _code(ours) == _code(theirs)


def lacks_fields(state: ProjectState, migrations: Iterable[Migration]) -> bool:
    """
    Whether ``migrations`` index, or constrain, fields that their models do not have then.

    ``state`` is the one before them. It takes any names: Django looks when it makes the index.
    """
    migrations = list(migrations)
    if not any(_named_fields(one) for migration in migrations for one in migration.operations):
        return False
    state = state.clone()
    for migration in migrations:
        for operation in migration.operations:
            for model, name in _named_fields(operation):
                if name not in state.models[migration.app_label, model].fields:
                    return True
            operation.state_forwards(migration.app_label, state)
    return False


def _named_fields(operation: Operation) -> list[tuple[str, str]]:
    """The fields that an index or a constraint is about which is added, each with its model."""
    if isinstance(operation, operations.AddIndex):
        fields: Iterable[str] = operation.index.fields
    elif isinstance(operation, operations.AddConstraint):
        fields = getattr(operation.constraint, "fields", ())
    else:
        return []
    return [(operation.model_name_lower, name.removeprefix("-")) for name in fields]


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
    return comparable_models(one, app) == comparable_models(other, app)


def comparable_models(
    state: ProjectState, app: str, known: dict[int, tuple[object, Any]] | None = None
) -> dict[str, Any]:
    """
    The models of an app, as values that can be compared.

    ``known`` are the values of fields of earlier states, by the ids of the fields.
    """
    known = {} if known is None else known
    found = {}
    for (label, name), model in state.models.items():
        if label == app:
            for field in model.fields.values():
                if id(field) not in known:
                    known[id(field)] = field, comparable(field)
            fields = {
                field_name: known[id(field)][1] for field_name, field in model.fields.items()
            }
            found[name] = (fields, comparable_options(model.options), _bases(model.bases))
    return found


def _database_operations(found: Iterable[Operation]) -> Iterator[Operation]:
    """Those that change the database, out of their SeparateDatabaseAndState."""
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _database_operations(operation.database_operations)
        elif not _is_put_in(operation):
            yield operation


def _is_put_in(operation: Operation) -> bool:
    """
    Whether an operation is not of the migration's text.

    Receivers of pre_migrate put it into the migrations that are about to be run. Django's own
    renames the content types of renamed models.
    """
    kind = type(operation)
    is_of_contenttypes = kind.__module__ == "django.contrib.contenttypes.management"
    return isinstance(operation, Mark) or (
        is_of_contenttypes and kind.__name__ == "RenameContentType"
    )


def _may_write(operation: Operation, backwards: bool) -> bool:
    if isinstance(operation, RAW):
        return _code_of(operation, backwards) not in _EMPTY
    return not _changes_schema_only(operation)


def _code_of(operation: operations.RunPython | operations.RunSQL, backwards: bool) -> Any:
    """The function or the SQL that an operation runs; None if it can't run backwards."""
    if isinstance(operation, operations.RunPython):
        return operation.reverse_code if backwards else operation.code
    return operation.reverse_sql if backwards else operation.sql


def _lasts(operation: Operation) -> bool:
    """Whether an operation runs code whose effect no unapplying undoes."""
    if not isinstance(operation, RAW) or _code_of(operation, False) in _EMPTY:
        return False
    return _code_of(operation, True) in (None, *_EMPTY)


def _without_lasting_code(operation: Operation) -> Operation:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        inner = [_without_lasting_code(one) for one in operation.database_operations]
        return _changed(operation, database_operations=inner)
    if not isinstance(operation, RAW) or _code_of(operation, True) not in (None, *_EMPTY):
        return operation
    if isinstance(operation, operations.RunPython):
        code = operations.RunPython.noop
        return _changed(operation, code=code, reverse_code=code)
    sql = operations.RunSQL.noop
    return _changed(operation, sql=sql, reverse_sql=sql)


def _changed(operation: Operation, **attributes: object) -> Operation:
    changed = copy.copy(operation)
    vars(changed).update(attributes)
    return changed


def _changes_schema_only(operation: Operation) -> bool:
    """Whether an operation that is not RAW is Django's, or derived from one of Django's."""
    is_django = type(operation).__module__.startswith("django.")
    return is_django or isinstance(operation, _SEEN_BY_STATE)


def _adds(operation: Operation) -> bool:
    if isinstance(operation, operations.AddField):
        field = operation.field
        return bool(field.null or field.many_to_many or field.has_db_default())
    return isinstance(operation, (operations.CreateModel, *_ALTERS_STATE_ALONE))


def _place(migration: Migration) -> tuple[set[Any], set[Any]]:
    # Some projects write the pairs as lists.
    return set(map(tuple, migration.dependencies)), set(map(tuple, migration.run_before))


def _statements(operation: operations.RunSQL) -> list[str]:
    """The SQL that an operation runs forwards, without its parameters."""
    if isinstance(operation.sql, str):
        return [operation.sql]
    return [
        statement if isinstance(statement, str) else statement[0] for statement in operation.sql
    ]


def _schema(found: Iterable[Operation]) -> list[Any]:
    """What operations do to the schema, as values that can be compared."""
    effects: list[Any] = []
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            in_database = _schema(operation.database_operations)
            effects.append((in_database, _schema(operation.state_operations)))
        elif isinstance(operation, RAW):
            effects.extend(_schema(getattr(operation, "state_operations", ())))
        elif isinstance(operation, operations.CreateModel):
            effects.append((operation.name_lower, *_created_model(operation)))
        elif not isinstance(operation, _ALTERS_STATE_ALONE):
            effects.append((type(operation).__name__, comparable(operation.deconstruct()[1:])))
    return effects


def _code(found: Iterable[Operation]) -> list[Any]:
    """The SQL and the Python code that operations run, as values that can be compared."""
    effects: list[Any] = []
    for operation in _database_operations(found):
        if isinstance(operation, operations.RunPython):
            functions = (operation.code, operation.reverse_code)
            effects.append([comparable_code(function) for function in functions])
        elif isinstance(operation, operations.RunSQL):
            effects.append([comparable(operation.sql), comparable(operation.reverse_sql)])
    return effects


def _created_model(operation: operations.CreateModel) -> tuple[Any, ...]:
    # In their order, as it is the one of the columns.
    fields = [(name, comparable(field)) for name, field in operation.fields]
    return fields, comparable_options(operation.options), _bases(operation.bases)


def _bases(bases: Iterable[Any] | None) -> list[str]:
    return [str(comparable(base)) for base in bases or ()]
