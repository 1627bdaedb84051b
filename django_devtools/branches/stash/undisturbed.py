"""What else a database does when rows are restored: its triggers, and its materialized views."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db import DatabaseError, transaction

from django_devtools.branches.schema.dialects import Dialect

from .entry_restore import text_of


@contextmanager
def undisturbed(dialect: Dialect, tables: Collection[str], notes: list[str]) -> Iterator[None]:
    """
    A context in which rows of ``tables`` are restored, and what triggers wrote stays as it was.

    ``notes`` says which triggers fire all the same. Materialized views are refreshed at the end.
    """
    with dialect.without_triggers(tables) as firing:
        yield
    if firing:
        notes.append(
            f"Triggers that fired because rows were restored: {', '.join(firing)}. This database "
            "can't disable triggers, so look at what they write."
        )
    for view in dialect.materialized_views(tables):
        try:
            with transaction.atomic(dialect.connection.alias):
                dialect.refresh_view(view)
        except DatabaseError as error:
            if dialect.error_is_transient(error):
                raise
            text = text_of(error)
            notes.append(f"Materialized view {view} was not refreshed. Database error: {text}")
