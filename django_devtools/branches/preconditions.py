"""What there is in the tables that stands in the way of a switch."""

from collections.abc import Iterable
from typing import Any

from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.running.narrowing import is_lossless
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import raw_operations
from django_devtools.branches.schema.structure import field_of


def rows(tables: Tables, loss: DataLoss) -> int:
    """How many rows have a value in what is lost. 0 where it is not there."""
    # Without a table, or a column, nothing is asked: on SQLite, Django parses SQL for it.
    if loss.table not in tables.names:
        return 0
    if loss.column is None:
        return tables.count(loss.table)
    return tables.count(loss.table, loss.column) if tables.has_item(*loss.item) else 0


def parentless(tables: Tables, losses: Iterable[DataLoss]) -> dict[DataLoss, int]:
    """The foreign keys that can't be NULL any more, and in how many rows they are."""
    found = {}
    for loss in losses:
        if loss.needs_parent:
            whole = DataLoss(loss.migration, loss.model, loss.table)
            found[loss] = rows(tables, whole) - rows(tables, loss)
    return {loss: nulls for loss, nulls in found.items() if nulls}


def unfit_keys(tables: Tables, losses: Iterable[DataLoss], plan: Plan) -> list[DataLoss]:
    """The columns of primary keys that get too narrow for what is in them."""
    narrowed = [
        (loss, str(loss.column), loss.becomes)
        for loss in losses
        if loss.becomes and loss.table in tables.names and loss.column in tables.key(loss.table)
    ]
    if not narrowed:
        return []
    held, wanted, size = plan.held, plan.wanted, plan.max_name_length
    now = held.state(held.ordered(held.applied_nodes(), plan.rows))
    midway = held.state(plan.remaining)
    then = wanted.state(wanted.ordered(wanted.applied_nodes(), plan.rows))
    unfit = []
    for loss, column, (new_table, new_column) in narrowed:
        old = field_of(now, loss.table, column, size)
        end = field_of(then, new_table, str(new_column), size)
        between = field_of(midway, new_table, str(new_column), size) or end
        if not all(is_lossless(tables, loss.table, column, old, new) for new in (between, end)):
            unfit.append(loss)
    return unfit


def unseen(tables: Tables, losses: Iterable[DataLoss], plan: Plan) -> list[DataLoss]:
    """What would be lost of tables that should be there, and can't be found to be copied."""
    found = [loss for loss in losses if loss.is_certain and loss.table not in tables.names]
    migrations = [plan.held.graph.nodes[key] for key in plan.unapply]
    has_sql = any(isinstance(o, RunSQL) for one in migrations for o in raw_operations(one))
    if not found or has_sql:  # SQL may have dropped it.
        return []
    connection = tables.connection
    state = plan.held.state(plan.held.ordered(plan.held.applied_nodes(), plan.rows))
    models: list[Any] = state.apps.get_models(include_auto_created=True)
    there = {
        model._meta.db_table
        for model in models
        if Operation().allow_migrate_model(connection.alias, model._meta.auto_created or model)
    }
    there -= set(connection.introspection.table_names(include_views=True))
    return [loss for loss in found if loss.table in there]
