"""The rows of ``django_migrations``: what a database has applied, and when."""

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import QuerySet
from django.utils import timezone

from .snapshots import Key


def read_rows(connection: BaseDatabaseWrapper) -> dict[Key, str]:
    """
    The applied migrations in the order of their rows, and when each was applied.

    The time is in UTC and ISO 8601. Empty where there is no table. Raises DatabaseError.
    """
    recorder = MigrationRecorder(connection)
    if not recorder.has_table():
        return {}
    rows = recorder.migration_qs.order_by("id").values_list("app", "name", "applied")
    return {(app, name): iso(applied) for app, name, applied in rows}


def delete_rows(rows: "QuerySet[Any]") -> None:
    """
    Delete rows of ``django_migrations``, or of a table of ours.

    Without signals, which Django itself sends: some projects have receivers for all models, and
    these may query a table that a migration has just dropped.
    """
    rows._raw_delete(rows.db)


def iso(moment: datetime) -> str:
    """``moment`` in the format in which snapshots record when a migration was applied."""
    if moment.tzinfo:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat()


def second(at: str) -> int:
    """The second since 1970 of a moment in the format of ``iso``."""
    moment = datetime.fromisoformat(at)
    # Without USE_TZ, Django writes the local time.
    return int((moment.replace(tzinfo=UTC) if settings.USE_TZ else moment).timestamp())


def local(at: str) -> str:
    """A moment in the format of ``iso``, to the minute, as the clocks of the project show it."""
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:  # Somebody has edited the snapshot.
        return at
    return to_the_minute(moment.replace(tzinfo=UTC) if settings.USE_TZ else moment)


def to_the_minute(moment: datetime) -> str:
    """A moment as all commands show it, by the clocks of the project."""
    if timezone.is_aware(moment):
        moment = timezone.localtime(moment)
    return f"{moment:%Y-%m-%d %H:%M}"


def is_mirror(connection: BaseDatabaseWrapper) -> bool:
    """Whether this is another way to a database that has an alias of its own."""
    return bool(connection.settings_dict["TEST"]["MIRROR"])


def is_meant(connection: BaseDatabaseWrapper) -> bool:
    """Whether commands work with a database if they are given none by name."""
    return connection.alias == DEFAULT_DB_ALIAS or MigrationRecorder(connection).has_table()
