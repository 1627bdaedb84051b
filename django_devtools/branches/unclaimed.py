"""
Which columns make new rows fail that no migration here has made.

They are left of migrations that lost their rows, as by ``migrate --fake`` on another branch.
"""

from collections.abc import Collection, Iterator, Mapping

from django.apps import apps
from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.loader import MigrationLoader

from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.structure import how_to_drop, structure


def unclaimed(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """Those columns of tables that this checkout has models for, each with its table."""
    known, required = (
        _columns_of_models(connection.alias),
        dialect_of(connection).required_columns(),
    )
    found = [one for one in required if one[0] in known and one[1] not in known[one[0]]]
    if not found:
        return []
    # Models may be ahead of their migrations.
    loader = MigrationLoader(connection)
    applied = loader.applied_migrations.keys() & loader.graph.nodes.keys()
    state = loader.project_state(sorted(applied))
    made = {*structure(state, connection.ops.max_name_length())}
    return [one for one in found if one not in made]


def words_of_unclaimed(connection: BaseDatabaseWrapper, title: str) -> Iterator[tuple[str, str]]:
    """What fails with the code of the checkout, which has this ``title``, and what to do."""
    for table, column in unclaimed(connection):
        what = (
            f"New rows of {table} fail: {title} does not fill {table}.{column}, which is NOT NULL "
            "and has no default in the database."
        )
        what_to_do = (
            "No migration that counts as applied here makes that. If one of another branch does, "
            "check that out, and correct the rows with `manage.py migrate --fake`. "
            f"{how_to_drop(connection, (table, column))}"
        )
        yield what, what_to_do


def _columns_of_models(alias: str) -> Mapping[str, Collection[str]]:
    """The columns of each table that migrations make in a database, as the models have them."""
    known: dict[str, set[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        options = model._meta
        if options.managed and not options.proxy and router.allow_migrate_model(alias, model):
            columns = {str(field.column) for field in options.local_concrete_fields}
            known.setdefault(options.db_table, set()).update(columns)
    return known
