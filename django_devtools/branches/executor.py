"""Runs migrations so that they can be interrupted anywhere and run again."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration, operations
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from .journal import Entry, Journal, Journaled, tolerant
from .loader import Graph, Source
from .snapshot import Key


class Executor(MigrationExecutor):
    """
    Django's executor over a graph that is given.

    Django records a migration after the transaction that (un)applies it; here both are one
    transaction, or, where there is none, one journal.
    """

    def __init__(
        self,
        connection: BaseDatabaseWrapper,
        graph: Graph,
        source: Callable[[Key], Source | None],
        progress: Callable[..., None] | None = None,
    ) -> None:
        # MigrationExecutor.__init__ would load the graph of the code on disk.
        self.connection = connection
        self.loader = graph
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = progress
        self.source = source
        self.journal = Journal(connection)

    def states_before(
        self, remaining: Iterable[Key], unapply: Iterable[Key]
    ) -> tuple[dict[Key, ProjectState], ProjectState]:
        """
        The state before each of ``unapply`` (parents first), and the one after the last.

        ``remaining`` is what stays applied, in order. Models are rendered once, for the state
        that everything else is reached from; unlike in Django's executor, that is also the state
        at the end, so that it need not be rendered again.
        """
        state = self.loader.state(remaining)
        self._rendered(state)
        states = {}
        for key in unapply:
            states[key] = state
            state = self.loader.graph.nodes[key].mutate_state(state, preserve=True)
        return states, state

    def unapply(self, states: dict[Key, ProjectState], unapply: Iterable[Key]) -> None:
        """Unapply the migrations, children first."""
        for key in unapply:
            self.unapply_migration(states[key], self.loader.graph.nodes[key])

    def apply(self, state: ProjectState, apply: Iterable[Key]) -> ProjectState:
        """Apply the migrations, parents first. ``state`` is the one before them."""
        for key in apply:
            self._rendered(state)
            state = self.apply_migration(state, self.loader.graph.nodes[key])
        return state

    def resume(self, entry: Entry, state: ProjectState) -> None:
        """Finish a migration that was interrupted. ``state`` is the one before it."""
        self._rendered(state)
        self._journaled(state, self.loader.graph.nodes[entry.key], entry)

    def apply_migration(
        self,
        state: ProjectState,
        migration: Migration,
        fake: bool = False,
        fake_initial: bool = False,
    ) -> ProjectState:
        if self._has_transaction(migration):
            with one_transaction(self.connection):
                return super().apply_migration(state, migration, fake, fake_initial)
        return self._journaled(state, migration, self._begin(migration, backwards=False))

    def unapply_migration(
        self, state: ProjectState, migration: Migration, fake: bool = False
    ) -> ProjectState:
        if self._has_transaction(migration):
            with one_transaction(self.connection):
                return super().unapply_migration(state, migration, fake)
        return self._journaled(state, migration, self._begin(migration, backwards=True))

    def rewrite_rows(self, forget: Iterable[Key], record: Iterable[Key]) -> None:
        """Delete and write rows without running anything."""
        with transaction.atomic(self.connection.alias):
            for key in forget:
                self.recorder.record_unapplied(*key)
            for key in record:
                self.recorder.record_applied(*key)

    def _has_transaction(self, migration: Migration) -> bool:
        return migration.atomic and self.connection.features.can_rollback_ddl

    def _begin(self, migration: Migration, backwards: bool) -> Entry:
        key = (migration.app_label, migration.name)
        source = self.source(key)
        text = source.content.decode(errors="replace") if source else ""
        entry = Entry(key, backwards, None, source.module if source else "", text)
        self.journal.begin(entry)
        return entry

    def _journaled(self, state: ProjectState, migration: Migration, entry: Entry) -> ProjectState:
        action = "unapply" if entry.backwards else "apply"
        self._progress(f"{action}_start", migration)
        count = len(migration.operations)
        journaled = copy.copy(migration)
        journaled.operations = [
            cast(Operation, Journaled(operation, position, entry, self.journal))
            for operation, position in zip(
                migration.operations,
                reversed(range(count)) if entry.backwards else range(count),
                strict=True,
            )
        ]
        with ExitStack() as stack:
            if entry.position == count:
                # Only what was deferred to the end may be done already.
                stack.enter_context(tolerant(self.connection))
            with self.connection.schema_editor(atomic=migration.atomic) as editor:
                run = journaled.unapply if entry.backwards else journaled.apply
                state = run(state, editor)
        with transaction.atomic(self.connection.alias):
            self.record_migration(*entry.key, forward=not entry.backwards)
            self.journal.end()
        self._progress(f"{action}_success", migration)
        return state

    def _progress(self, action: str, migration: Migration) -> None:
        if self.progress_callback:
            self.progress_callback(action, migration, False)

    def _rendered(self, state: ProjectState) -> None:
        if "apps" not in state.__dict__:
            if self.progress_callback:
                self.progress_callback("render_start")
            state.apps  # noqa: B018 - a cached property, costly the first time only
            if self.progress_callback:
                self.progress_callback("render_success")


def with_empty_reverses(migration: Migration) -> Migration:
    """A copy whose RunPython and RunSQL that have no reverse get an empty one."""
    migration = copy.copy(migration)
    migration.operations = [_with_empty_reverse(operation) for operation in migration.operations]
    return migration


def _with_empty_reverse(operation: Operation) -> Operation:
    operation = copy.copy(operation)
    if isinstance(operation, operations.RunPython) and not operation.reversible:
        operation.reverse_code = operations.RunPython.noop
    elif isinstance(operation, operations.RunSQL) and not operation.reversible:
        operation.reverse_sql = operations.RunSQL.noop
    elif isinstance(operation, operations.SeparateDatabaseAndState):
        operation.database_operations = [
            _with_empty_reverse(inner) for inner in operation.database_operations
        ]
    return operation


@contextmanager
def one_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction that a schema editor can be used in, on SQLite too."""
    # SQLite's schema editor wants foreign keys off, and they can't be switched off inside.
    with connection.constraint_checks_disabled(), transaction.atomic(connection.alias):
        yield
