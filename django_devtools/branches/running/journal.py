"""
Records how far a migration got when it has no transaction.

MySQL and MariaDB commit each DDL statement, and a migration with ``atomic = False`` does so on any
database. If it is killed halfway, such a migration is neither applied nor unapplied. The journal
is a table that is created when such a migration begins, and dropped at the end of the run. The
next run reads it and finishes what was begun, operation by operation.

What a kill leaves at any other point, the saved data included, is listed at the top of
``resume.py``.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from django.apps.registry import Apps
from django.db import DatabaseError, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation

from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.sources.rows import delete_rows
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import TABLE_PREFIX

TABLE = f"{TABLE_PREFIX}journal"

_READ = r"(?i)\s*(SELECT|SHOW|PRAGMA\s+\w+\()"
_CHANGE = r"(?i)\s*(ALTER|CREATE|DROP|RENAME)\b"


class JournalEntry(NamedTuple):
    """A migration that has begun and not finished."""

    key: Key
    backwards: bool
    position: int | None
    """How many operations are done, in the order they run; None if this very run has begun it."""
    module: str
    source: str
    """The text of its file, which may be gone from the disk by the time it is resumed."""


class Journal:
    """The open migrations of one database."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection

    @cached_property
    def _model(self) -> Any:
        # Most switches only ask whether the table exists.
        return _model()

    def entry(self) -> JournalEntry | None:
        """The migration that was interrupted; None if all are finished."""
        # If an older row is there, too, somebody has settled that migration by hand.
        row = self._rows.last() if self.exists() else None
        if row is None:
            return None
        return JournalEntry(
            (row.app, row.name), row.backwards, row.position, row.module, row.source
        )

    def begin(self, entry: JournalEntry, first: Callable[[], None]) -> None:
        """Record that a migration begins, in one transaction with what ``first`` does."""
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
        """Record that ``position`` operations are done."""
        self._rows.update(position=position)

    def end(self) -> None:
        """Record that the migration is finished."""
        delete_rows(self._rows.all())

    def drop(self) -> None:
        """Drop the table; to be called when no migration is open."""
        if self.exists():
            with self.connection.schema_editor() as editor:
                editor.delete_model(self._model)

    def exists(self) -> bool:
        """Whether the table exists: a migration was interrupted, or it was not dropped yet."""
        with self.connection.cursor() as cursor:
            return TABLE in self.connection.introspection.table_names(cursor)

    @property
    def _rows(self) -> Any:
        return self._model._default_manager.using(self.connection.alias)


def _model() -> Any:
    # Not a model of the app: like Django's own table of applied migrations, it can't be migrated.
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
    """An operation that records when it is done, and knows if it was done before."""

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
        connection = self._journal.connection
        with ExitStack() as stack:
            if self._position == self._reached:
                # Only the operation that was interrupted may find its work half done.
                stack.enter_context(tolerant(connection))
            if dialect_of(connection).rebuilds_tables and self._operation.reduces_to_sql:
                stack.enter_context(transaction.atomic(connection.alias))
            function(*arguments)
            self._journal.reached(self._position + 1)

    def _replay(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        """
        Run a finished operation again without changing the database.

        It may have deferred statements to the end of the migration (foreign keys), and only the
        schema editor knows these.
        """
        if not self._operation.reduces_to_sql:
            return
        with self._journal.connection.execute_wrapper(_read_only):
            try:
                function(*arguments)
            except Exception:  # noqa: BLE001 - it looks for what it has changed itself
                return


@contextmanager
def tolerant(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Ignore the errors of statements whose work had been done already."""
    dialect = dialect_of(connection)

    def execute(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return run(sql, params, many, context)
        except DatabaseError as error:
            if not re.match(_CHANGE, str(sql)) or not dialect.error_is_done(error):
                raise

    with connection.execute_wrapper(execute):
        yield


def _read_only(run: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if re.match(_READ, str(sql)):
        return run(sql, params, many, context)
    return None
