"""
What migrations would make although it is there already, which rows of django_migrations deny.

Rows are faked, pruned, or those of an older dump. Most databases then say that a column exists.
SQLite makes the table anew, and fills the column with its default.
"""

from collections.abc import Collection, Mapping, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, RunPython
from django.db.migrations.loader import MigrationLoader

from django_devtools.branches.schema.changes import makers, schema_changes
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import hidden_operations
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.save import is_routed_here

from .progress import database_option

Plan = Sequence[tuple[Migration, bool]]
"""Migrations, and whether each is unapplied. All of them go one way."""


def histories(connection: BaseDatabaseWrapper, plan: Plan) -> tuple[SchemaHistory, SchemaHistory]:
    """What the migrations that a ``migrate`` unapplies did, and what those do that it applies."""
    loader, longest = MigrationLoader(connection), connection.ops.max_name_length()
    moved = {(migration.app_label, migration.name) for migration, _ in plan}
    remaining = loader.applied_migrations.keys() & loader.graph.nodes.keys() - moved
    base = loader.project_state(sorted(remaining))
    unapplied = [migration for migration, backwards in reversed(plan) if backwards]
    applied = [migration for migration, backwards in plan if not backwards]
    return track(base.clone(), unapplied, longest), track(base, applied, longest)


def there_already(
    connection: BaseDatabaseWrapper, unapplied: SchemaHistory, applied: SchemaHistory
) -> dict[Item, Key]:
    """What is there, and which migration would make it: where that loses values in silence."""
    tables = Tables(connection)
    if not tables.dialect.rebuilds_tables:
        return {}
    changes = schema_changes(unapplied, applied)
    gives_way = {loss.item for loss in changes.lost} | changes.renamed.keys()
    return {
        item: loss.migration
        for item, loss in makers(unapplied, applied).items()
        if loss.is_certain
        and gives_way.isdisjoint([item, (item[0], None)])
        and tables.has_item(*item)
        and is_routed_here(connection, loss)
    }


def is_foreseen(migration: Migration) -> bool:
    """Whether no SQL may make room first, and no interrupted run has made what is there."""
    hidden = hidden_operations([migration])
    return migration.atomic and all(isinstance(one, RunPython) for one in hidden)


def words(
    connection: BaseDatabaseWrapper, found: Mapping[Item, Key], unapply: Collection[Key]
) -> str:
    """The words that name the first of what would be made, and what to type."""
    (table, column), key = next(iter(found.items()))
    name, mend = ".".join(key), "Correct the rows with `manage.py migrate --fake`"
    maker = f"unapplying {name} would make"
    if key not in unapply:
        fake = f"manage.py migrate {' '.join(key)} --fake{database_option(connection)}"
        maker, mend = f"applying {name} would make", f"If it is what {name} makes, run `{fake}`"
    kind, item, then = "table", table, ""
    if column:
        kind, item = "column", f"{table}.{column}"
        then = f" {connection.display_name} would fill it anew, so its values would be lost."
    return (
        f"The rows of django_migrations contradict the database: {maker} {kind} {item}, which is "
        f"there already.{then} {mend}. If nothing needs the {kind}, drop it."
    )
