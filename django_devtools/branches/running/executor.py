"""Runs migrations so that they can be interrupted anywhere, and run again."""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, NamedTuple, cast

from django.db import DataError, IntegrityError, migrations, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_devtools.branches.errors import UnfitRows
from django_devtools.branches.schema.operations import raw_operations, renamed_back
from django_devtools.branches.schema.transactions import one_transaction
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import Source, variant
from django_devtools.branches.sources.rows import delete_rows
from django_devtools.branches.sources.snapshots import Key

from .journal import Journal, Journaled, JournalEntry, tolerant
from .narrowing import RestoreColumn, coercing, restoring
from .rewind import EarlierState

logger = logging.getLogger("django_devtools.branches")


class Ahead(NamedTuple):
    """The state with everything applied, and the states on the way there."""

    state: ProjectState
    steps: list[tuple[Operation, ProjectState]]
    """The operations to be undone, and the state before each; their models are not rendered."""

    def before(self, operation: Operation, now: ProjectState) -> ProjectState:
        """The state that undoing ``operation`` leads to from ``now``."""
        for step, before in self.steps:
            if step is operation:
                return EarlierState(before, now)
        # Put in by a receiver of pre_migrate, as contenttypes does: it changes no model.
        return now.clone()


class Edges(NamedTuple):
    """What runs in one transaction with a migration: before it, and after it."""

    first: Callable[[], None]
    last: Callable[[ProjectState], None]


NO_EDGES = Edges(lambda: None, lambda state: None)


class Executor(MigrationExecutor):
    """
    Django's executor, over a given graph.

    Django records a migration after the transaction that (un)applies it. Here both happen in one
    transaction, or, where there is none, under one entry of the journal.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        graph: Graph,
        source: Callable[[Key], Source | None],
        progress: Callable[..., None] | None = None,
        coerce_values: bool = False,
        restore: RestoreColumn | None = None,
        interrupted: JournalEntry | None = None,
    ) -> None:
        """
        With ``coerce_values``, values that don't fit a narrowed column are cut or replaced.

        ``restore`` fills a column from the stash when it can't be re-created or constrained
        without its values. ``interrupted`` is the migration that is run, if it has begun already.
        """
        # MigrationExecutor.__init__ would load the graph of the code on disk.
        self.connection = connection
        self.loader = self.graph = graph
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = progress
        self.source = source
        self.coerce_values, self.restore = coerce_values, restore
        self.interrupted = interrupted
        self.journal = Journal(connection)

    def ahead(self, remaining: Iterable[Key], unapply: Iterable[Key]) -> "Ahead":
        """
        All that is applied: ``remaining``, and what is to be unapplied, both parents first.

        Models are rendered once, at the end; from there the way back only renders again what
        operations change, and only for those that look at it.
        """
        state = self.graph.state(remaining)
        steps = []
        for key in unapply:
            migration = self.graph.graph.nodes[key]
            for operation in migration.operations:
                steps.append((operation, state))
                state = state.clone()
                operation.state_forwards(migration.app_label, state)
        self._rendered(state)
        return Ahead(state, steps)

    def unapply(self, ahead: Ahead, key: Key, edges: Edges = NO_EDGES) -> ProjectState:
        """Unapply a migration. The state after that."""
        migration, state = self.graph.graph.nodes[key], ahead.state
        _log(migration, "backwards", self._has_transaction(migration))
        if not self._has_transaction(migration):
            with _naming(migration, "unapplied"):
                return self._run_journaled(migration, ahead, edges, backwards=True)
        self._progress("unapply_start", migration)
        with _naming(migration, "unapplied"), one_transaction(self.connection):
            edges.first()
            with self.connection.schema_editor(atomic=True) as editor:
                for operation in reversed(migration.operations):
                    undone = self._coercing(operation)
                    state = _undo(operation, undone, migration, state, ahead, editor)
            self._record(key, applied=False)
            self._progress("unapply_success", migration)
            edges.last(state)
        return state

    def apply(self, state: ProjectState, key: Key, edges: Edges = NO_EDGES) -> ProjectState:
        """Apply a migration. ``state`` is the one before it."""
        self._rendered(state)
        migration = self.graph.graph.nodes[key]
        _log(migration, "forwards", self._has_transaction(migration))
        if not self._has_transaction(migration):
            with _naming(migration, "applied"):
                return self._run_journaled(migration, Ahead(state, []), edges, backwards=False)
        with _naming(migration, "applied"), one_transaction(self.connection):
            edges.first()
            operations = [restoring(one, self.restore) for one in migration.operations]
            state = self.apply_migration(state, variant(migration, operations=operations))
            edges.last(state)
        return state

    def rewrite_rows(self, forget: Iterable[Key], record: Iterable[Key]) -> None:
        """Delete and write rows without running anything."""
        with transaction.atomic(self.connection.alias):
            for key in forget:
                self._delete_row(key)
            for key in record:
                self.recorder.record_applied(*key)

    def _has_transaction(self, migration: Migration) -> bool:
        # What has begun without one goes on without one, whatever its file says by now.
        is_atomic = migration.atomic and self.interrupted is None
        return is_atomic and self.connection.features.can_rollback_ddl

    def _begin(
        self, migration: Migration, backwards: bool, first: Callable[[], None]
    ) -> JournalEntry:
        key = (migration.app_label, migration.name)
        if self.interrupted:
            logger.debug("%s.%s: resumed after operation %s", *key, self.interrupted.position)
            with transaction.atomic(self.connection.alias):
                first()
            return self.interrupted
        source = self.source(key)
        text = source.content.decode(errors="replace") if source else ""
        entry = JournalEntry(key, backwards, None, source.module if source else "", text)
        self.journal.begin(entry, first)
        return entry

    def _run_journaled(
        self, migration: Migration, ahead: Ahead, edges: Edges, backwards: bool
    ) -> ProjectState:
        entry, state = self._begin(migration, backwards, edges.first), ahead.state
        action = "unapply" if backwards else "apply"
        self._progress(f"{action}_start", migration)
        with ExitStack() as stack:
            if entry.position == len(migration.operations):
                # Only what was deferred to the end may be done already.
                stack.enter_context(tolerant(self.connection))
            with self.connection.schema_editor(atomic=migration.atomic) as editor:
                if backwards:
                    for position, operation in enumerate(reversed(migration.operations)):
                        undone = self._journaled(self._coercing(operation), position, entry)
                        state = _undo(operation, undone, migration, state, ahead, editor)
                else:
                    operations = [
                        self._journaled(restoring(operation, self.restore), position, entry)
                        for position, operation in enumerate(migration.operations)
                    ]
                    state = variant(migration, operations=operations).apply(state, editor)
        if entry.position is not None:
            # Few migrations are interrupted.
            from .foreign_keys import restore_foreign_keys

            restore_foreign_keys(self.connection, state, migration.app_label)
        self._progress(f"{action}_success", migration)
        with transaction.atomic(self.connection.alias):
            # This comes first because it may alter tables of the stash, which may commit.
            edges.last(state)
            self._record(entry.key, applied=not backwards)
            self.journal.end()
        return state

    def _coercing(self, operation: Operation) -> Operation:
        return coercing(operation, self.restore) if self.coerce_values else operation

    def _journaled(self, operation: Operation, position: int, entry: JournalEntry) -> Operation:
        return cast(Operation, Journaled(operation, position, entry, self.journal))

    def _record(self, key: Key, applied: bool) -> None:
        # Django's record_migration differs from version to version.
        migration = self.graph.disk_migrations.get(key)
        for replaced in migration.replaces if migration else ():
            self._record((replaced[0], replaced[1]), applied)
        if applied:
            self.recorder.record_applied(*key)
        else:
            self._delete_row(key)

    def _delete_row(self, key: Key) -> None:
        delete_rows(self.recorder.migration_qs.filter(app=key[0], name=key[1]))

    def _progress(self, action: str, migration: Migration) -> None:
        if self.progress_callback:
            self.progress_callback(action, migration, False)

    def _rendered(self, state: ProjectState) -> None:
        if isinstance(state, EarlierState):
            state.apps  # noqa: B018 - out of a later state, too quick for a line of its own
        elif "apps" not in state.__dict__:
            if self.progress_callback:
                self.progress_callback("render_start")
            state.apps  # noqa: B018 - a cached property, costly the first time only
            if self.progress_callback:
                self.progress_callback("render_success")


def _log(migration: Migration, direction: str, has_transaction: bool) -> None:
    how = "in one transaction" if has_transaction else "journaled: it has no transaction"
    logger.debug("%s.%s: %s, %s", migration.app_label, migration.name, direction, how)


@contextmanager
def _naming(migration: Migration, becomes: str) -> Iterator[None]:
    """Name the migration that rows don't fit, unless it writes rows itself."""
    try:
        yield
    except (DataError, IntegrityError) as error:
        if raw_operations(migration):
            raise
        raise UnfitRows(
            f"{migration.app_label}.{migration.name} can't be {becomes} because some rows don't "
            f"fit. Database error: {' '.join(str(error).split())}"
        ) from error


def with_empty_reverses(migration: Migration) -> Migration:
    """
    A copy whose RunPython and RunSQL that have no reverse get an empty one.

    SQL that only renames something gets the opposite: it would fail when it is run again.
    """
    operations = [_with_empty_reverse(operation) for operation in migration.operations]
    return variant(migration, operations=operations)


def _with_empty_reverse(operation: Operation) -> Operation:
    operation = copy.copy(operation)
    if isinstance(operation, migrations.RunPython) and not operation.reversible:
        operation.reverse_code = migrations.RunPython.noop
    elif isinstance(operation, migrations.RunSQL) and not operation.reversible:
        back: Any = renamed_back(operation) or migrations.RunSQL.noop
        operation.reverse_sql = back
    elif isinstance(operation, migrations.SeparateDatabaseAndState):
        operation.database_operations = [
            _with_empty_reverse(inner) for inner in operation.database_operations
        ]
    return operation


def _undo(
    operation: Operation,
    undone: Operation,
    migration: Migration,
    state: ProjectState,
    ahead: Ahead,
    editor: BaseDatabaseSchemaEditor,
) -> ProjectState:
    """Run an operation backwards, the way ``undone`` does it. The state after that."""
    before = ahead.before(operation, state)
    # To drop a table, Django looks at no other model.
    if type(operation) is CreateModel and isinstance(state, EarlierState):
        state = state.with_model((migration.app_label, operation.name_lower))
    # As Migration.unapply does, but that renders every state a second time.
    atomic = operation.atomic or (migration.atomic and operation.atomic is not False)
    with (
        transaction.atomic(editor.connection.alias)
        if atomic and not editor.atomic_migration
        else nullcontext()
    ):
        undone.database_backwards(migration.app_label, editor, state, before)
    return before
