"""What jobs leave behind: rows of databases, and mails."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core import mail
from django.db import connections


def effects() -> dict[str, list[Any]]:
    """The rows of all tables that can be read now, and the outbox of mails, by their names."""
    found: dict[str, list[Any]] = dict(_tables())
    # Without the headers, which have a date and a random id. Test runners make the outbox.
    found["mail.outbox"] = [
        (message.subject, message.body, message.from_email, message.recipients())
        for message in getattr(mail, "outbox", [])
    ]
    return found


def changed(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> list[str]:
    """The names of what is other than before."""
    return [name for name in sorted(after) if before.get(name, []) != after[name]]


def _tables() -> Iterator[tuple[str, list[Any]]]:
    for connection in connections.all(initialized_only=True):
        prefix = "" if connection.alias == "default" else f"{connection.alias}."
        # pytest-django and Django refuse those that a test has not asked for, each in its way.
        with suppress(RuntimeError, AssertionError), connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
                yield f"{prefix}{table}", sorted(map(repr, cursor.fetchall()))
