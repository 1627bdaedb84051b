"""Runs migrations so that they can be interrupted anywhere and run again."""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

from django.db import migrations, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import Field

from .journal import Entry, Journal, Journaled, tolerant
from .loader import Graph, Source, variant
from .snapshot import Key


@dataclass(frozen=True)
class Step:
    """One operation on the way back."""

    key: Key
    operation: Operation
    before: ProjectState
    """The state that it leads back to; its models are not rendered."""

    def undo(
        self, state: ProjectState, editor: BaseDatabaseSchemaEditor, migration: Migration
    ) -> ProjectState:
        """Run it backwards from ``state``. The state after that."""
        before = rewind(state, self.before)
        # As Migration.unapply does, which would render every state a second time.
        atomic = self.operation.atomic or (migration.atomic and self.operation.atomic is not False)
        with (
            transaction.atomic(editor.connection.alias)
            if atomic and not editor.atomic_migration
            else nullcontext()
        ):
            self.operation.database_backwards(migration.app_label, editor, state, before)
        return before


@dataclass(frozen=True)
class Ahead:
    """The state of all that is applied, and the steps that led to it, to be undone."""

    state: ProjectState
    steps: list[Step]


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
        self.loader = self.graph = graph
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = progress
        self.source = source
        self.journal = Journal(connection)

    def ahead(self, remaining: Iterable[Key], unapply: Iterable[Key]) -> "Ahead":
        """
        All that is applied: ``remaining``, and what is to be unapplied, both parents first.

        Models are rendered once, at the end; from there the way back only renders again what
        each operation changes.
        """
        state = self.graph.state(remaining)
        steps = []
        for key in unapply:
            migration = self.graph.graph.nodes[key]
            for operation in migration.operations:
                steps.append(Step(key, operation, state))
                state = state.clone()
                operation.state_forwards(migration.app_label, state)
        self._rendered(state)
        return Ahead(state, steps)

    def unapply(self, ahead: "Ahead", unapply: Iterable[Key]) -> ProjectState:
        """Unapply the migrations, children first. The state after that."""
        state = ahead.state
        for key in unapply:
            steps = [step for step in reversed(ahead.steps) if step.key == key]
            state = self._unapply(state, self.graph.graph.nodes[key], steps)
        return state

    def apply(self, state: ProjectState, apply: Iterable[Key]) -> ProjectState:
        """Apply the migrations, parents first. ``state`` is the one before them."""
        for key in apply:
            self._rendered(state)
            state = self.apply_migration(state, self.graph.graph.nodes[key])
        return state

    def resume(self, entry: Entry, ahead: "Ahead") -> None:
        """Finish a migration that was interrupted. ``ahead`` has its steps, if it goes back."""
        migration = self.graph.graph.nodes[entry.key]
        if entry.backwards:
            self._run_journaled(migration, entry, ahead.state, ahead.steps[::-1])
        else:
            self._run_journaled(migration, entry, ahead.state, [])

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
        return self._run_journaled(migration, self._begin(migration, backwards=False), state, [])

    def _unapply(
        self, state: ProjectState, migration: Migration, steps: "list[Step]"
    ) -> ProjectState:
        if not self._has_transaction(migration):
            entry = self._begin(migration, backwards=True)
            return self._run_journaled(migration, entry, state, steps)
        self._progress("unapply_start", migration)
        with one_transaction(self.connection):
            with self.connection.schema_editor(atomic=True) as editor:
                for step in steps:
                    state = step.undo(state, editor, migration)
            self.record_migration(migration.app_label, migration.name, forward=False)
        self._progress("unapply_success", migration)
        return state

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

    def _run_journaled(
        self, migration: Migration, entry: Entry, state: ProjectState, steps: "list[Step]"
    ) -> ProjectState:
        action = "unapply" if entry.backwards else "apply"
        self._progress(f"{action}_start", migration)
        with ExitStack() as stack:
            if entry.position == len(migration.operations):
                # Only what was deferred to the end may be done already.
                stack.enter_context(tolerant(self.connection))
            with self.connection.schema_editor(atomic=migration.atomic) as editor:
                if entry.backwards:
                    for position, step in enumerate(steps):
                        operation = self._journaled(step.operation, position, entry)
                        journaled = replace(step, operation=operation)
                        state = journaled.undo(state, editor, migration)
                else:
                    operations = [
                        self._journaled(operation, position, entry)
                        for position, operation in enumerate(migration.operations)
                    ]
                    state = variant(migration, operations=operations).apply(state, editor)
        with transaction.atomic(self.connection.alias):
            self.record_migration(*entry.key, forward=not entry.backwards)
            self.journal.end()
        self._progress(f"{action}_success", migration)
        return state

    def _journaled(self, operation: Operation, position: int, entry: Entry) -> Operation:
        return cast(Operation, Journaled(operation, position, entry, self.journal))

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
    operations = [_with_empty_reverse(operation) for operation in migration.operations]
    return variant(migration, operations=operations)


def _with_empty_reverse(operation: Operation) -> Operation:
    operation = copy.copy(operation)
    if isinstance(operation, migrations.RunPython) and not operation.reversible:
        operation.reverse_code = migrations.RunPython.noop
    elif isinstance(operation, migrations.RunSQL) and not operation.reversible:
        operation.reverse_sql = migrations.RunSQL.noop
    elif isinstance(operation, migrations.SeparateDatabaseAndState):
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


def rewind(state: ProjectState, before: ProjectState) -> ProjectState:
    """
    A copy of ``state`` that has the models of ``before``, and only what differs rendered anew.

    As when Django goes forwards, relations of relations may be out of date after that; then the
    state is marked as delayed, and operations that want all models render it again.
    """
    result = state.clone()
    around = set()
    for key in state.models.keys() - before.models.keys():
        around |= _relations(state.models[key])
        for name, field in state.models[key].fields.items():
            if field.many_to_many:
                result.apps.unregister_model(key[0], f"{key[1]}_{name}")
        result.remove_model(*key)
    far: set[tuple[str, str]] = set()
    for key, model in before.models.items():
        old = result.models.get(key)
        if old is None:
            result.add_model(model.clone())
        elif changed := _changed_fields(old, model):
            around |= _relations(old)
            result.models[key] = model.clone()
            (far if any(map(_is_referable, changed)) else around).add(key)
        elif not _same_options(old, model):
            result.models[key] = model.clone()
            around.add(key)
    if far:
        result.reload_models(list(far), delay=False)
    if around:
        result.reload_models(list(around & result.models.keys()), delay=True)
    return result


def _changed_fields(one: ModelState, other: ModelState) -> "list[Field[Any, Any]]":
    # States share the fields that no operation touched.
    left = {(name, id(field)): field for name, field in one.fields.items()}
    right = {(name, id(field)): field for name, field in other.fields.items()}
    return [field for key, field in (left | right).items() if (key in left) != (key in right)]


def _same_options(one: ModelState, other: ModelState) -> bool:
    return (
        one.bases == other.bases
        and list(one.fields) == list(other.fields)
        and one.options.keys() == other.options.keys()
        and all(one.options[name] is other.options[name] for name in one.options)
    )


def _is_referable(field: "Field[Any, Any]") -> bool:
    return bool(field.is_relation or field.primary_key or field.unique)


def _relations(model: ModelState) -> set[tuple[str, str]]:
    return {
        resolve_relation(field.remote_field.model, model.app_label, model.name_lower)
        for field in model.fields.values()
        if field.is_relation and field.remote_field
    }
