"""
What migrations would make although it is there already, which rows of django_migrations deny.

Rows are faked, pruned, or those of an older dump. Most databases then say that a column exists,
and no more. SQLite makes the table anew, and fills the column with its default.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.changes import (
    DataLoss,
    SchemaChanges,
    makers,
    models_only,
    schema_changes,
)
from django_devtools.branches.schema.introspection import ColumnInfo, Tables
from django_devtools.branches.schema.operations import has_own_ways, runs_sql
from django_devtools.branches.schema.structure import Item, described, how_to_drop
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.save import is_routed_here

from .progress import database_option

Plan = Sequence[tuple[Migration, bool]]
"""Migrations, and whether each is unapplied. All of them go one way."""


def state_and_history(
    connection: BaseDatabaseWrapper, plan: Plan
) -> tuple[ProjectState, SchemaHistory]:
    """The models before a ``migrate``, and what its migrations do, or did if it unapplies them."""
    loader, longest = MigrationLoader(connection), connection.ops.max_name_length()
    moved = {(migration.app_label, migration.name) for migration, _ in plan}
    remaining = loader.applied_migrations.keys() & loader.graph.nodes.keys() - moved
    base = loader.project_state(sorted(remaining))
    state = base.clone()
    migrations = [migration for migration, _ in plan]
    if is_backwards(plan):
        history = track(state, reversed(migrations), longest)
        return state, history
    return base, track(state, migrations, longest)


def is_backwards(plan: Plan) -> bool:
    """Whether a ``migrate`` unapplies migrations."""
    return any(backwards for _, backwards in plan)


def both_ways(history: SchemaHistory, backwards: bool) -> tuple[SchemaHistory, SchemaHistory]:
    """What is unapplied, and what is applied, where all of a plan goes one way."""
    return (history, SchemaHistory()) if backwards else (SchemaHistory(), history)


class Made(NamedTuple):
    """What a migration would make, by the names that it has now."""

    migration: Key
    there: list[Item]
    """What is there already: at least one."""
    missing: list[Item]


def there_already(tables: Tables, unapplied: SchemaHistory, applied: SchemaHistory) -> list[Made]:
    """The migrations that would make what is there."""
    changes = schema_changes(unapplied, applied)
    lost = {*map(attrgetter("item"), changes.lost)}
    found: dict[Key, Made] = {}
    for item, loss in _by_present_names(makers(unapplied, applied), changes):
        if loss.is_certain and is_routed_here(tables.connection, loss):
            is_there = not _gives_way(item, changes, lost) and tables.bars(*item)
            made = found.setdefault(loss.migration, Made(loss.migration, [], []))
            (made.there if is_there else made.missing).append(item)
    return [made for made in found.values() if made.there]


def _by_present_names(
    made: Mapping[Item, DataLoss], changes: SchemaChanges
) -> Iterator[tuple[Item, DataLoss]]:
    """What is ``made``; columns with the names that their tables have before that."""
    names = {new: old for (old, column), (new, _) in changes.renamed.items() if column is None}
    for (table, column), loss in made.items():
        yield ((names.get(table, table) if column else table), column), loss


def _gives_way(item: Item, changes: SchemaChanges, lost: Collection[Item]) -> bool:
    """Whether what is there is dropped, or gets another name."""
    return item in lost or item in changes.renamed or (item[0], None) in lost


def is_foreseen(migration: Migration) -> bool:
    """Whether nothing may make room first, and no interrupted run has made what is there."""
    return migration.atomic and not (runs_sql(migration) or has_own_ways(migration))


def words_if_unapplied(connection: BaseDatabaseWrapper, made: Made) -> str:
    """What to say of a migration that would make it by being unapplied."""
    contradiction = _contradiction(made, f"unapplying {'.'.join(made.migration)} would make")
    drop = how_to_drop(connection, made.there[0])
    return f"{contradiction} Correct the rows with `manage.py migrate --fake`. {drop}"


def words_if_applied(
    connection: BaseDatabaseWrapper, made: Made, after: ProjectState, later: Sequence[Migration]
) -> str:
    """
    What to say of a migration that would make it by being applied.

    ``after`` is the state then, which this changes, and ``later`` is what is applied on top.
    """
    name, item = ".".join(made.migration), made.there[0]
    contradiction = _contradiction(made, f"applying {name} would make")
    known = _Known(connection, after, later)
    if made.missing or any(map(known.differs, made.there)):
        return f"{contradiction} It is not what {name} makes. {how_to_drop(connection, item)}"
    fake = f"manage.py migrate {' '.join(made.migration)} --fake{database_option(connection)}"
    beside = known.beside(made.there)
    but = f" but for {', '.join(map(described, beside))}" if beside else ""
    drops = " ".join(how_to_drop(connection, one) for one in beside or [item])
    return f"{contradiction} If it is what {name} makes{but}, run `{fake}`. {drops}"


def _contradiction(made: Made, maker: str) -> str:
    return (
        f"The rows of django_migrations contradict the database: {maker} "
        f"{described(made.there[0])}, which is there already."
    )


class _Known:
    """What a database has, beside what it would have if only rows were written."""

    def __init__(
        self, connection: BaseDatabaseWrapper, after: ProjectState, later: Sequence[Migration]
    ) -> None:
        self._connection, self._tables = connection, Tables(connection)
        self._wanted = dict(self._columns_of_models(after))
        history = track(models_only(after), later, connection.ops.max_name_length())
        self._altered = {one.original: one for one in history.tables.values()}

    def differs(self, item: Item) -> bool:
        """Whether a table or column is not what it would be then."""
        table, column = item
        there, wanted = self._tables.columns(table), self._wanted.get(table, {})
        if column is not None:
            wanted = {column: wanted[column]} if column in wanted else {}
        if not wanted.keys() <= there.keys():
            return True
        later = self._altered.get(table)
        if column is None and later and (later.columns or later.dropped):
            return False  # It gets the types of its model, or has them of later rows.
        return any(not self._is_alike(there[name], one) for name, one in wanted.items())

    def beside(self, items: Sequence[Item]) -> list[Item]:
        """The columns of tables that nobody makes."""
        found = list[Item]()
        for table in (table for table, column in items if column is None):
            later = self._altered.get(table)
            known = self._wanted.get(table, {}).keys() | (later.columns.keys() if later else set())
            found += ((table, name) for name in self._tables.columns(table) if name not in known)
        return found

    def _is_alike(self, one: ColumnInfo, other: ColumnInfo) -> bool:
        if self._tables.dialect.keeps_type_names and one.type.lower() != other.type.lower():
            return False
        return one.is_required == other.is_required

    def _columns_of_models(
        self, state: ProjectState
    ) -> Iterator[tuple[str, Mapping[str, ColumnInfo]]]:
        """The columns of all tables that migrations make."""
        for model in state.apps.get_models(include_auto_created=True):
            options: Any = model._meta
            if options.managed and not options.proxy:
                fields = [one for one in options.local_concrete_fields if not one.generated]
                yield (
                    options.db_table,
                    {
                        one.column: ColumnInfo(str(one.db_type(self._connection)), not one.null)
                        for one in fields
                    },
                )
