"""The tables and columns of a project state, by their names in the database."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field


def structure(
    state: ProjectState, max_name_length: int | None = None
) -> Iterable[tuple[str, str | None]]:
    """Every table of a state, and every column with its table."""
    for model in state.models.values():
        if has_table(model):
            table = table_of(model, max_name_length)
            yield table, None
            for name, field in model.fields.items():
                if not field.many_to_many:
                    yield table, column_of(field, name)
                elif not has_through(field):
                    yield m2m_table(field, name, table, max_name_length), None


def tables(state: ProjectState, max_name_length: int | None = None) -> set[str]:
    """The tables of all models of a state, but for those of plain many-to-many fields."""
    return {table_of(m, max_name_length) for m in state.models.values() if has_table(m)}


def has_table(model: ModelState) -> bool:
    """Whether migrations make a table for a model."""
    options = model.options
    swappable = options.get("swappable")
    swapped = swappable and getattr(settings, swappable, "").lower() != (
        f"{model.app_label}.{model.name_lower}"
    )
    return options.get("managed", True) and not options.get("proxy") and not swapped


def table_of(model: ModelState, max_name_length: int | None = None) -> str:
    """The name of a model's table."""
    own = model.options.get("db_table")
    return own or truncate_name(f"{model.app_label}_{model.name_lower}", max_name_length)


def column_of(field: "Field[Any, Any]", name: str) -> str | None:
    """The name of a field's column; None where it has none."""
    field = field.clone()
    field.set_attributes_from_name(name)
    return field.column if field.concrete else None


def field_of(
    state: ProjectState, table: str, column: str, max_name_length: int | None = None
) -> "Field[Any, Any] | None":
    """The field that a column of a table is of."""
    for model in state.models.values():
        if has_table(model) and table_of(model, max_name_length) == table:
            found: Mapping[str, Field[Any, Any]] = model.fields
            for name, field in found.items():
                if not field.many_to_many and column_of(field, name) == column:
                    return field
    return None


def has_through(field: Any) -> Any:
    """The model that a many-to-many field names for its table, if any."""
    return field.remote_field.through


def m2m_table(field: Any, name: str, table: str, max_name_length: int | None) -> str:
    """The name of the table that a many-to-many field makes."""
    # As ManyToManyField._get_m2m_db_table names it.
    return field.db_table or truncate_name(f"{strip_quotes(table)}_{name}", max_name_length)
