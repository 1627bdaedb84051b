"""
Restores the order of applied migrations where their texts name dependencies that are not applied.

A migration may have been applied before what it depends on got another name, so that its text
names something that is gone; and the row of the new name is younger than its own. What it does
tells what has to be there before: it depends on whatever makes the models and fields it refers to.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.models import Field

from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.snapshots import Key

Thing = tuple[str, ...]
"""A model, by its app and name, or a field of one."""


def with_lost_dependencies(
    migrations: Mapping[Key, Migration], former: Mapping[Key, Migration] | None = None
) -> dict[Key, Migration]:
    """
    ``migrations``; those with dependencies on others depend on what makes what they need.

    And on what their ``former`` texts name, from before they were moved. The same is true of those
    above them: what they need may have been below the dependency that is lost.
    """
    found = dict(migrations)
    lacking = _with_all_above(migrations, _with_lost_parents(migrations))
    makers = _makers(migrations) if lacking else {}
    for key in lacking:
        before = former[key].dependencies if former and key in former else []
        for parent in (*before, *_makers_of(_needed(migrations[key]), makers)):
            if parent in found and not _are_related(found, key, parent):
                dependencies = [*found[key].dependencies, parent]
                found[key] = variant(found[key], dependencies=dependencies)
    return found


def _with_lost_parents(migrations: Mapping[Key, Migration]) -> set[Key]:
    known = set(migrations).union(*(_replaced(migration) for migration in migrations.values()))
    return {
        key
        for key, migration in migrations.items()
        if any(_is_lost(dependency, known) for dependency in migration.dependencies)
    }


def _are_related(migrations: Mapping[Key, Migration], key: Key, other: Key) -> bool:
    return _depends_on(migrations, key, other) or _depends_on(migrations, other, key)


def _with_all_above(migrations: Mapping[Key, Migration], keys: Collection[Key]) -> list[Key]:
    """``keys`` and all that depends on them, in the order of ``migrations``."""
    found = set(keys)
    size = -1
    while keys and size < len(found):
        size = len(found)
        found |= {key for key, one in migrations.items() if not found.isdisjoint(one.dependencies)}
    return [key for key in migrations if key in found]


def with_names(
    migrations: Mapping[Key, Migration], places: Mapping[Key, Collection[Key]]
) -> dict[Key, Migration]:
    """``migrations``, which depend on the names in ``places`` instead of those that have some."""
    return {key: _renamed(migration, places) for key, migration in migrations.items()}


def _renamed(migration: Migration, places: Mapping[Key, Collection[Key]]) -> Migration:
    if not any(dependency in places for dependency in migration.dependencies):
        return migration
    dependencies: list[Key] = []
    for dependency in migration.dependencies:
        dependencies += places.get(dependency, [dependency])
    own = migration.app_label, migration.name
    return variant(migration, dependencies=[name for name in dependencies if name != own])


def _makers_of(things: set[Thing], makers: Mapping[Thing, list[Key]]) -> list[Key]:
    return sorted({maker for thing in things for maker in makers.get(thing, ())})


def _is_lost(dependency: Key, known: set[Key]) -> bool:
    return dependency[1] not in ("__first__", "__latest__") and dependency not in known


def _replaced(migration: Migration) -> set[Key]:
    return {(app, name) for app, name in migration.replaces}


def _depends_on(migrations: Mapping[Key, Migration], key: Key, other: Key) -> bool:
    waiting, seen = [key], {key}
    while waiting:
        found = migrations[waiting.pop()].dependencies
        fresh = [name for name in found if name in migrations and name not in seen]
        seen.update(fresh)
        waiting += fresh
    return other in seen


def things_made(migrations: Iterable[Migration]) -> set[Thing]:
    """The models and fields that migrations make, by all names that they give them."""
    return set(_makers({(one.app_label, one.name): one for one in migrations}))


def _makers(migrations: Mapping[Key, Migration]) -> dict[Thing, list[Key]]:
    found: dict[Thing, list[Key]] = {}
    for key, migration in migrations.items():
        for operation in _on_state(migration.operations):
            for thing in _made_by(operation):
                found.setdefault((key[0], *thing), []).append(key)
    return found


def _needed(migration: Migration) -> set[Thing]:
    app = migration.app_label
    needed: set[Thing] = set()
    made: set[Thing] = set()
    for operation in _on_state(migration.operations):
        needed |= {(app, *thing) for thing in _used_by(operation)} - made
        needed |= set(_referred_to(operation, app)) - made
        made |= {(app, *thing) for thing in _made_by(operation)}
    return needed


def _on_state(found: Iterable[Operation]) -> Iterator[Operation]:
    for operation in found:
        if isinstance(operation, operations.SeparateDatabaseAndState):
            yield from _on_state(operation.state_operations)
        else:
            yield operation


def _made_by(operation: Operation) -> Iterator[Thing]:
    """The models, and fields of models, that are there after an operation and not before it."""
    if isinstance(operation, operations.CreateModel):
        yield (operation.name_lower,)
        for name, _ in operation.fields:
            yield operation.name_lower, name.lower()
    elif isinstance(operation, operations.RenameModel):
        yield (operation.new_name_lower,)
    elif isinstance(operation, operations.AddField):
        yield operation.model_name_lower, operation.name_lower
    elif isinstance(operation, operations.RenameField):
        yield operation.model_name_lower, operation.new_name_lower


def _used_by(operation: Operation) -> Iterator[Thing]:
    """The models of its own app, and their fields, that an operation changes."""
    if isinstance(operation, operations.RenameModel):
        yield (operation.old_name_lower,)
    elif isinstance(operation, FieldOperation):
        yield (operation.model_name_lower,)
        if isinstance(operation, operations.RenameField):
            yield operation.model_name_lower, operation.old_name_lower
        elif not isinstance(operation, operations.AddField):
            yield operation.model_name_lower, operation.name_lower
    elif isinstance(operation, IndexOperation):
        yield (operation.model_name_lower,)
    elif isinstance(operation, ModelOperation) and not isinstance(
        operation, operations.CreateModel
    ):
        yield (operation.name_lower,)


def _referred_to(operation: Operation, app: str) -> Iterator[Thing]:
    """The models that the fields and bases of an operation refer to."""
    if isinstance(operation, operations.CreateModel):
        yield from (_model(base, app) for base in operation.bases or () if isinstance(base, str))
        for _, field in operation.fields:
            yield from _relations(field, app)
    elif isinstance(operation, operations.AddField | operations.AlterField):
        yield from _relations(operation.field, app)


def _relations(field: "Field[object, object]", app: str) -> Iterator[Thing]:
    remote = field.remote_field
    for model in (getattr(remote, "model", None), getattr(remote, "through", None)):
        if isinstance(model, str) and model != "self":
            yield _model(model, app)
        elif model is not None and not isinstance(model, str):
            yield model._meta.app_label, model._meta.model_name


def _model(name: str, app: str) -> Thing:
    label, _, model = name.rpartition(".")
    return label or app, model.lower()
