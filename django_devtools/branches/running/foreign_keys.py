"""Adds the foreign keys that an interrupted operation left out."""

import copy
from typing import Any

from django.db import router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.models import ForeignKey, Model

from django_devtools.branches.schema.dialects import dialect_of


def restore_foreign_keys(connection: BaseDatabaseWrapper, state: ProjectState, app: str) -> None:
    """
    Add the foreign keys from and to ``app`` that an interrupted operation left out.

    To alter a column on MySQL, MariaDB and PostgreSQL, Django drops its foreign keys and adds them
    again afterwards. A later run can't see any more that there were some.
    """
    if dialect_of(connection).rebuilds_tables:
        return
    for model in state.apps.get_models(include_auto_created=True):
        fields = _constrained_fields(model, app)
        if not fields or not _is_migrated_here(connection, model):
            continue
        there = _columns_with_foreign_key(connection, model._meta.db_table)
        for field in fields:
            if field.column not in there:
                without: Any = copy.copy(field)
                without.db_constraint = False
                with connection.schema_editor() as editor:
                    editor.alter_field(model, without, field)


def _constrained_fields(model: type[Model], app: str) -> "list[ForeignKey[Any, Any]]":
    """The foreign keys of a model that start or end in ``app``, and have a constraint."""
    return [
        field
        for field in model._meta.local_concrete_fields
        if isinstance(field, ForeignKey)
        and getattr(field, "db_constraint", True)
        and app in (model._meta.app_label, field.related_model._meta.app_label)
    ]


def _is_migrated_here(connection: BaseDatabaseWrapper, model: type[Model]) -> bool:
    is_routed = router.allow_migrate_model(connection.alias, model)
    return bool(is_routed and model._meta.can_migrate(connection))


def _columns_with_foreign_key(connection: BaseDatabaseWrapper, table: str) -> set[str]:
    with connection.cursor() as cursor:
        found: Any = connection.introspection.get_constraints(cursor, table)
    return {one["columns"][0] for one in found.values() if one["foreign_key"]}
