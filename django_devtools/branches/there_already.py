"""
What migrations would make although it is there already, which rows of django_migrations deny.

Rows are faked, pruned, or those of an older dump. Most databases then say that a column exists.
SQLite makes the table anew, and fills the column with its default.
"""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.changes import SchemaChanges, makers, schema_changes
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import runs_sql
from django_devtools.branches.schema.structure import Item
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


def there_already(
    connection: BaseDatabaseWrapper, unapplied: SchemaHistory, applied: SchemaHistory
) -> dict[Item, Key]:
    """What is there, by its present name, and which migration would make it."""
    tables = Tables(connection)
    changes = schema_changes(unapplied, applied)
    lost = {*map(attrgetter("item"), changes.lost)}
    names = {new: old for (old, column), (new, _) in changes.renamed.items() if column is None}
    found = {}
    for (table, column), loss in makers(unapplied, applied).items():
        item = (names.get(table, table) if column else table), column
        if loss.is_certain and not _gives_way(item, changes, lost) and tables.has_item(*item):
            found[item] = loss
    return {item: one.migration for item, one in found.items() if is_routed_here(connection, one)}


def _gives_way(item: Item, changes: SchemaChanges, lost: Collection[Item]) -> bool:
    """Whether what is there is dropped, or gets another name."""
    return item in lost or item in changes.renamed or (item[0], None) in lost


def is_foreseen(migration: Migration) -> bool:
    """Whether no SQL may make room first, and no interrupted run has made what is there."""
    return migration.atomic and not runs_sql(migration)


def words(
    connection: BaseDatabaseWrapper,
    found: Mapping[Item, Key],
    unapplied: bool,
    differs: bool = False,
) -> str:
    """
    The words that name the first of what would be made, and what to type.

    ``differs`` if that is not what is there, so that a faked migration would not be right.
    """
    (table, column), key = next(iter(found.items()))
    name, mend = ".".join(key), "Correct the rows with `manage.py migrate --fake`"
    maker = f"unapplying {name} would make"
    if not unapplied:
        fake = f"manage.py migrate {' '.join(key)} --fake{database_option(connection)}"
        maker, mend = f"applying {name} would make", f"If it is what {name} makes, run `{fake}`"
    kind, item, then = "table", table, ""
    if column:
        kind, item = "column", f"{table}.{column}"
        then = f" {connection.display_name} would fill it anew, so its values would be lost."
    drop = f"If nothing needs the {kind}, drop it."
    if differs:
        quoted = connection.ops.quote_name(table)
        mend = f"It has other columns than {name} gives it"
        shell = f"manage.py dbshell{database_option(connection)}"
        drop = f"If nothing needs it, run `DROP TABLE {quoted}` in `{shell}`."
    return (
        f"The rows of django_migrations contradict the database: {maker} {kind} {item}, which is "
        f"there already.{then} {mend}. {drop}"
    )
