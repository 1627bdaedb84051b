"""The tables and columns of a project state, by the names they have in the database."""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from typing import Any, NamedTuple

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import strip_quotes, truncate_name
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field

from django_devtools.branches.progress import database_option

Item = tuple[str, str | None]
"""A table, or a column of one, by the names they have in the database."""


def described(item: Item) -> str:
    """The words for it."""
    table, column = item
    return f"table {table}" if column is None else f"column {table}.{column}"


class StoredField(NamedTuple):
    """A field, and where its values are."""

    item: Item
    """Its column; of a many-to-many field, its table."""
    field: "Field[Any, Any]"

    @property
    def table(self) -> str:
        """The table of its model; of a many-to-many field, its own."""
        return self.item[0]

    @property
    def column(self) -> str:
        """The name of its column, if it has one."""
        return str(self.item[1])

    @property
    def is_table(self) -> bool:
        """Whether it is a many-to-many field, which has a table instead of a column."""
        return self.item[1] is None


def how_to_drop(connection: BaseDatabaseWrapper, item: Item) -> str:
    """What to type if nobody needs it."""
    q = connection.ops.quote_name
    table, column = item
    sql = f"DROP TABLE {q(table)};"
    if column:
        sql = f"ALTER TABLE {q(table)} DROP COLUMN {q(column)};"
    shell = f"manage.py dbshell{database_option(connection)}"
    return f"If nothing needs {described(item)}, run `{sql}` in `{shell}`."


def structure(state: ProjectState, max_name_length: int | None = None) -> Iterator[Item]:
    """
    Every table of a state, and every column with its table.

    ``max_name_length`` is how many characters the database allows in a name, here and below.
    """
    for model in state.models.values():
        if has_table(model):
            yield table_of(model, max_name_length), None
            for stored in stored_fields(model, max_name_length).values():
                yield stored.item


def tables(state: ProjectState, max_name_length: int | None = None) -> set[str]:
    """The tables of all models of a state, but for those of many-to-many fields."""
    return {*models_by_table(state, max_name_length)}


def models_by_table(
    state: ProjectState, max_name_length: int | None = None
) -> dict[str, ModelState]:
    """The models of a state by their tables."""
    models: Iterable[ModelState] = state.models.values()
    return {table_of(model, max_name_length): model for model in models if has_table(model)}


def has_table(model: ModelState) -> bool:
    """Whether migrations create a table for a model: not if unmanaged, a proxy or swapped out."""
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


def stored_fields(
    model: ModelState, max_name_length: int | None = None
) -> Mapping[str, StoredField]:
    """The fields of a model that have a column or a table of their own, by their names."""
    table = table_of(model, max_name_length)
    found = {}
    for name, field in model.fields.items():
        if not field.many_to_many:
            column = _column_of(field, name)
            if column is not None:
                found[name] = StoredField((table, column), field)
        elif not _has_through(field):
            found[name] = StoredField(
                (_m2m_table(field, name, table, max_name_length), None), field
            )
    return found


def field_of(
    state: ProjectState, table: str, column: str, max_name_length: int | None = None
) -> "Field[Any, Any] | None":
    """The field that a column of a table belongs to; None if the state has no such column."""
    for model in state.models.values():
        if has_table(model) and table_of(model, max_name_length) == table:
            for stored in stored_fields(model, max_name_length).values():
                if stored.item == (table, column):
                    return stored.field
    return None


def _column_of(field: "Field[Any, Any]", name: str) -> str | None:
    """The name of a field's column; None if it has none."""
    # Not by clone(), which makes it anew from its arguments, and takes ten times as long.
    field = copy(field)
    field.set_attributes_from_name(name)
    return field.column if field.concrete else None


def _has_through(field: Any) -> bool:
    """Whether a many-to-many field names a model for its table."""
    return bool(field.remote_field.through)


def _m2m_table(field: Any, name: str, table: str, max_name_length: int | None) -> str:
    """The name of the table of a many-to-many field."""
    # The rule of ManyToManyField._get_m2m_db_table (Django 5.2 to 6.1), which needs a model.
    return field.db_table or truncate_name(f"{strip_quotes(table)}_{name}", max_name_length)
