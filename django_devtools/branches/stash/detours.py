"""
Finds the way to what comes back only by steps that the target does not take.

On a branch below the one that was left, the step that dropped something is undone, and the steps
above it are not. So the switch undoes those too, by their recorded texts, restores, and takes them
again. Whatever else is in the database is to be as before: so code is left out whose effect no
unapplying undoes.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from django.db.migrations import Migration, operations
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    has_lasting_code,
    irreversible_operations,
    runs_no_code,
    without_lasting_code,
    writes_rows,
)
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.graph import Graph, bridged
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.snapshots import Key

from .entries import Entry
from .returns import Applied, Detour

logger = logging.getLogger("django_devtools.branches")


@dataclass(frozen=True, eq=False)
class Way:
    """The migrations of a detour, in the graph of all that is applied on it."""

    graph: Graph
    keys: list[Key]
    """Parents first."""
    begins_backwards: bool
    """Whether they are unapplied first, and then applied again."""
    max_name_length: int | None
    spared: list[Key]
    """Those of which some code is not run, because no unapplying undoes its effect."""
    irreversible: list[Key]
    """Those of them whose code has no reverse at all, so that a person has said it stays."""

    @property
    def migrations(self) -> list[Migration]:
        """The migrations, parents first."""
        return [self.graph.graph.nodes[key] for key in self.keys]

    @cached_property
    def rest(self) -> list[Key]:
        """What is applied besides them, parents first."""
        return self.graph.ordered(self.graph.applied_nodes() - set(self.keys))

    @cached_property
    def history(self) -> SchemaHistory:
        """What they do to tables and columns when they are applied."""
        return track(self.graph.state(self.rest), self.migrations, self.max_name_length)

    def fits(self) -> bool:
        """Whether each operation finds the field that it alters, and not what it makes."""
        state = self.graph.state(self.rest)
        for migration in self.migrations:
            for operation in migration.operations:
                if not _fits(operation, migration.app_label, state):
                    return False
                operation.state_forwards(migration.app_label, state)
        return True

    def leaves_alone(self, entries: Iterable[Entry]) -> bool:
        """Whether the detour would change nothing in ``entries``, so that it can be spared."""
        if any(writes_rows(one) or writes_rows(one, backwards=True) for one in self.migrations):
            return False
        return all(self._leaves_alone(entry.table) for entry in entries)

    def _leaves_alone(self, name: str) -> bool:
        """Whether a table only gets more columns, if anything."""
        if name in self.history.dropped:
            return False
        for name_after, table in self.history.tables.items():
            if name in (name_after, table.original):
                is_older = any(column.original for column in table.columns.values())
                if table.original != name_after or table.dropped or is_older:
                    return False
        return True


def find_way(
    detour: Detour,
    applied: Applied,
    is_stuck: Callable[[Migration], bool],
    unmigrated_apps: Collection[str],
    max_name_length: int | None,
) -> Way | None:
    """
    The way of a detour; None if it can't be taken.

    ``is_stuck`` says whether a migration can't be unapplied.
    """
    begins_backwards = not detour.missing[0].backwards
    known = _migrations_of(detour, applied)
    if len(known) < len(detour.missing):
        return None
    graph = _graph_with(known, applied, unmigrated_apps)
    nodes = graph.graph.nodes
    if not known.keys() <= nodes.keys():
        return None
    milder = {key: without_lasting_code(nodes[key]) for key in known}
    # What is not run on the way up needs no reverse on the way down.
    stuck = filter(is_stuck, (known if begins_backwards else milder).values())
    is_free = _is_free(known, graph, None if begins_backwards else applied)
    if not detour.only_for_names and (any(stuck) or not is_free):
        return None
    nodes.update(milder)
    spared = _those(has_lasting_code, known)
    irreversible = _those(irreversible_operations, known)
    order = graph.ordered(known)
    way = Way(graph, order, begins_backwards, max_name_length, spared, irreversible)
    return way if _is_possible(way) else None


def _graph_with(
    migrations: Mapping[Key, Migration], applied: Applied, unmigrated_apps: Collection[str]
) -> Graph:
    every = _with_pieces({**applied.migrations(), **migrations}, migrations, applied)
    return Graph(every, [*applied.keys(), *migrations], unmigrated_apps)


def _with_pieces(
    every: Mapping[Key, Migration], undone: Collection[Key], applied: Applied
) -> dict[Key, Migration]:
    """``every``, with its pieces in place of each squash of which some are to be ``undone``."""
    apart = {
        key: variant(every[key], dependencies=every[key].replaces)
        for key in _squashes_of(undone, every)
    }
    rest = {key: bridged(one, apart) for key, one in every.items() if key not in apart}
    return _pieces_of(apart.values(), applied) | rest


def _squashes_of(pieces: Collection[Key], every: Mapping[Key, Migration]) -> list[Key]:
    return [key for key, one in every.items() if not {*pieces}.isdisjoint(one.replaces)]


def _pieces_of(squashes: Iterable[Migration], applied: Applied) -> dict[Key, Migration]:
    keys = [key for squash in squashes for key in squash.replaces]
    pieces = {key: applied.migration(key) for key in keys}
    return {key: piece for key, piece in pieces.items() if piece is not None}


def _is_possible(way: Way) -> bool:
    """Whether its migrations fit the models that are there, by whatever names these are known."""
    try:
        return way.fits() and bool(way.history)
    except Exception as error:  # noqa: BLE001 - an operation may raise anything on a foreign state
        logger.debug("No detour by %s: %r", way.keys, error)
        return False


def _fits(operation: Operation, app: str, state: ProjectState) -> bool:
    """Whether an operation can follow a state, which takes any field and model for a new one."""
    if isinstance(operation, operations.CreateModel):
        return (app, operation.name_lower) not in state.models
    if isinstance(operation, operations.AddField | operations.AlterField):
        is_there = operation.name in state.models[app, operation.model_name_lower].fields
        return is_there is isinstance(operation, operations.AlterField)
    return True


def _migrations_of(detour: Detour, applied: Applied) -> dict[Key, Migration]:
    """The migrations of the missing steps, as far as their texts are still there."""
    passed_over = _passed_over(detour, applied)
    found = {
        step.key: applied.recorded(step) if step.backwards else applied.migration(step.key)
        for step in detour.missing
    }
    return {
        key: bridged(migration, passed_over)
        for key, migration in found.items()
        if migration is not None
    }


def _passed_over(detour: Detour, applied: Applied) -> dict[Key, Migration]:
    """
    The migrations between the missing ones that are not needed.

    They do nothing, such as merges, or others have done their work.
    """
    steps = [step for step in detour.entries[0].steps if step not in detour.missing]
    recorded = {step.key: applied.recorded(step) for step in steps if step.key not in applied}
    return {key: migration for key, migration in recorded.items() if migration is not None}


def _those(are: Callable[[Migration], object], migrations: Mapping[Key, Migration]) -> list[Key]:
    return [key for key, migration in migrations.items() if are(migration)]


def _is_free(migrations: Mapping[Key, Migration], graph: Graph, applied: Applied | None) -> bool:
    """Whether they can be unapplied, or else be applied on top of what is ``applied``."""
    if applied is None:
        return _can_be_unapplied(migrations, graph)
    return _can_be_applied(applied, migrations, graph)


def _can_be_unapplied(migrations: Mapping[Key, Migration], graph: Graph) -> bool:
    """Whether nothing else that is applied depends on ``migrations``."""
    return (graph.descendants(migrations) & graph.applied_nodes()) <= migrations.keys()


def _can_be_applied(applied: Applied, migrations: Mapping[Key, Migration], graph: Graph) -> bool:
    """
    Whether no others of their names are applied, and what they depend on is there.

    What it does may be there under other names. Only code can't be seen to fit that.
    """
    if any(key in applied for key in migrations):
        return False
    needed = {key for migration in migrations.values() for key in migration.dependencies}
    is_met = all(_is_met(key, graph) for key in needed)
    return is_met or all(map(runs_no_code, migrations.values()))


def _is_met(dependency: Key, graph: Graph) -> bool:
    app, name = dependency
    is_there = dependency in graph.graph.nodes or dependency in graph.applied_migrations
    return is_there or app in graph.unmigrated_apps or name in ("__first__", "__latest__")
