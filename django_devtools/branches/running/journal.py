"""
How far a migration got, where a transaction can't say it.

MySQL and MariaDB commit with every DDL statement, and so does a migration with ``atomic = False``
anywhere. Killed in the middle, such a migration is neither applied nor not. The journal is a table
that is made when such a migration begins and dropped when nothing is open any more; from it, the
next run finishes what was begun, operation by operation.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps.registry import Apps
from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation

from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import TABLE_PREFIX

TABLE = f"{TABLE_PREFIX}journal"

# What the servers say when a statement finds its work done already.
# https://mariadb.com/docs/server/reference/error-codes, PostgreSQL's Appendix A, SQLite's texts.
_DONE_MYSQL = {1022, 1050, 1051, 1054, 1060, 1061, 1091, 1146, 1826}
# MariaDB looks for the old name in what it remembers of a table that was opened under another one.
_STALE_MYSQL = re.compile(r"Unknown column .* in '(CHECK|GENERATED ALWAYS AS|DEFAULT)'")
_DONE_POSTGRESQL = {"42701", "42703", "42704", "42710", "42P01", "42P07"}
_READ = re.compile(r"\s*(SELECT|SHOW|PRAGMA\s+\w+\()", re.IGNORECASE)
_CHANGE = re.compile(r"\s*(ALTER|CREATE|DROP|RENAME)\b", re.IGNORECASE)
_DONE_SQLITE = re.compile(r"already exists|duplicate column name|no such (table|column|index)")


@dataclass(frozen=True)
class JournalEntry:
    """A migration that was begun and not finished."""

    key: Key
    backwards: bool
    position: int | None
    """How many operations are done, in the order they run; None when it was only now begun."""
    module: str
    source: str
    """The text it is run from, as it may be gone from disk when it is resumed."""


class Journal:
    """The open migrations of one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self._model = _model()

    def entry(self) -> JournalEntry | None:
        """The migration that was interrupted, None where all are finished."""
        row = self._rows.first()
        if row is None:
            return None
        return JournalEntry(
            (row.app, row.name), row.backwards, row.position, row.module, row.source
        )

    def begin(self, entry: JournalEntry, first: Callable[[], None]) -> None:
        """Write down that a migration begins, in one transaction with what ``first`` does."""
        if not self.exists():
            with self.connection.schema_editor() as editor:
                editor.create_model(self._model)
        with transaction.atomic(self.connection.alias):
            first()
            self._rows.create(
                app=entry.key[0],
                name=entry.key[1],
                backwards=entry.backwards,
                position=entry.position or 0,
                module=entry.module,
                source=entry.source,
            )

    def reached(self, position: int) -> None:
        """Write down that ``position`` operations are done."""
        self._rows.update(position=position)

    def end(self) -> None:
        """Write down that the migration is finished."""
        self._rows.delete()

    def drop(self) -> None:
        """Remove the table, when nothing is open."""
        if self.exists():
            with self.connection.schema_editor() as editor:
                editor.delete_model(self._model)

    def exists(self) -> bool:
        """Whether the table is there: something was interrupted, or it was not yet dropped."""
        with self.connection.cursor() as cursor:
            return TABLE in self.connection.introspection.table_names(cursor)

    @property
    def _rows(self) -> Any:
        return self._model._default_manager.using(self.connection.alias)


def _model() -> Any:
    # Not a model of the app: as Django's own table of applied migrations, it can't be migrated.
    class Row(models.Model):  # noqa: DJ008 - nobody looks at it
        app = models.CharField(max_length=255)
        name = models.CharField(max_length=255)
        backwards = models.BooleanField()
        position = models.IntegerField()
        module = models.CharField(max_length=255)
        source = models.TextField()

        class Meta:
            apps = Apps()
            app_label = "django_devtools"
            db_table = TABLE

    return Row


class Journaled:
    """An operation that writes down when it is done, and knows when it was done before."""

    def __init__(
        self, operation: Operation, position: int, entry: JournalEntry, journal: Journal
    ) -> None:
        self._operation = operation
        self._position = position
        self._reached = entry.position
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operation, name)

    def database_forwards(self, *arguments: Any) -> None:
        self._run(self._operation.database_forwards, arguments)

    def database_backwards(self, *arguments: Any) -> None:
        self._run(self._operation.database_backwards, arguments)

    def _run(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._reached is not None and self._position < self._reached:
            self._replay(function, arguments)
            return
        with ExitStack() as stack:
            if self._position == self._reached:
                # Only the operation that was interrupted may find its work half done.
                stack.enter_context(tolerant(self._journal.connection))
            if self._journal.connection.vendor == "sqlite" and self._operation.reduces_to_sql:
                # To alter a table, it is copied: half of that is worse than nothing.
                stack.enter_context(transaction.atomic(self._journal.connection.alias))
            function(*arguments)
            self._journal.reached(self._position + 1)

    def _replay(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """
        Go through a finished operation without touching the database.

        It may have left statements for the end of the migration (foreign keys), and those are
        known to nobody but the schema editor.
        """
        if not self._operation.reduces_to_sql:
            return
        with self._journal.connection.execute_wrapper(_read_only):
            try:
                function(*arguments)
            except Exception:  # noqa: BLE001 - it looked for what it has already changed
                return


@contextmanager
def tolerant(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Let statements pass that find their work done already."""

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return run(sql, params, many, context)
        except DatabaseError as error:
            if not _CHANGE.match(str(sql)) or not _says_done(connection, error):
                raise

    with connection.execute_wrapper(execute):
        yield


def _read_only(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if _READ.match(str(sql)):
        return run(sql, params, many, context)
    return None


def _says_done(connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
    cause = error.__cause__
    if connection.vendor == "mysql":
        if _STALE_MYSQL.search(str(error)):
            return False
        # A foreign key of that name is there already: 1005 with the system's error 121.
        return error.args[0] in _DONE_MYSQL or (
            error.args[0] == 1005 and "errno: 121" in str(error)
        )
    if connection.vendor == "postgresql":
        return getattr(cause, "sqlstate", None) in _DONE_POSTGRESQL
    return bool(_DONE_SQLITE.search(str(error)))
