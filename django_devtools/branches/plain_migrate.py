"""One ``migrate`` on one database: saves what it drops, and restores what it makes again."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from django.apps.registry import Apps
from django.db import transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.comparison import compare
from django_devtools.branches.schema.changes import (
    SchemaChanges,
    renames_backwards,
    renames_forwards,
    schema_changes,
    unknown_losses,
)
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import Mark, may_rename, without_marks, writes_rows
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.sources.text_ids import Texts
from django_devtools.branches.stash.detours import Way, find_way
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.returns import Applied, AppliedMigration, Detour, Returns
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.stash.transfer import Models, Report, Transfer
from django_devtools.conf import project_root

from .outlook import applied_by
from .progress import Progress, not_saved, warning, write_notice
from .there_already import both_ways, is_backwards, state_and_history

Plan = Sequence[tuple[Migration, bool]]
"""Migrations, and whether each is unapplied. All of them go one way."""


class Session:
    """
    One ``migrate`` on one database, from ``pre_migrate`` to ``post_migrate``.

    Django gives both the same plan, whose migrations carry the marks in between.
    """

    def __init__(
        self,
        stash: Stash,
        plan: Plan,
        rows: Mapping[Key, str],
        progress: Progress,
    ) -> None:
        """``rows`` are those of django_migrations, with the times of their application."""
        self.stash = stash
        self.plan = plan
        self.run: set[Key] = set()
        """The migrations that were really run; a faked one does not reach its operations."""
        self._code = code_on_disk()
        self._repository = Repository.usable(project_root())
        self._texts = Texts(self._repository, self._code)
        self._steps: list[Step] = []
        self._branch: str | None = None
        self._done = 0
        self._before: ProjectState | None = None
        """What the database held when the last migration that was run began."""
        self._undone: ProjectState | None = None
        """And when that ended, if it was unapplied: what Django has then may lack its models."""
        applied = self._applied(rows)
        final = applied.copy()
        for migration, backwards in plan:
            key = migration.app_label, migration.name
            arrives = AppliedMigration(self._code.migrations.get(key), lambda: "")
            final.move(key, None if backwards else arrives)
        returns = Returns(stash.entries(), applied, final)
        self._progress = progress
        self._transfer = Transfer(stash, returns, progress, Report(), self._find_way)

    def prepare(self, branch: str | None) -> None:
        """
        Put marks into the plan, which have what is dropped, of ``branch``, saved.

        Not before a migration is really run: nobody can tell earlier that all are faked.
        """
        self._branch = branch
        self._transfer.prepare()
        for position, (migration, backwards) in enumerate(self.plan):
            operations: Any = migration.operations
            operations.insert(len(operations) if backwards else 0, _Beginning(self, position))
            if backwards:
                operations.insert(0, _Undone(self))
        self._steps = [self._step(*one) for one in self.plan]

    def begin(self, position: int, state: ProjectState) -> None:
        """The migration at ``position`` begins in ``state``, so those before it are done."""
        migration, backwards = self.plan[position]
        verb = "Unapplying" if backwards else "Applying"
        with self._progress.within(f"  {verb} {migration}..."):
            self._begin(position, state)

    def _begin(self, position: int, state: ProjectState) -> None:
        self._run_up_to(position, lambda: state.apps, lambda: self._renamed(state))
        self._before, self._undone = state, None
        if not self.run:
            self._save(position)
        elif self._transfer.came_back:
            steps, changes = self._steps[position:], _changes(self.stash, self._rest(position))
            self._transfer.save_again(changes, steps, self._branch)
        self.run.add(self._steps[position].key)
        self._expect(position)
        self._transfer.begin()

    def _save(self, position: int) -> None:
        """Save what is dropped by the migrations that begin with the one at ``position``."""
        rest = self._rest(position)
        fills = any(writes_rows(*one) for one in rest)
        steps = self._steps[position:]
        connection, changes = self.stash.connection, SchemaChanges([], {}, set(), {})
        with warning(not_saved(connection), self._progress.verbosity):
            changes = _changes(self.stash, rest)
        # What fails must not end the transaction of the migration, which the user asked for.
        is_within = connection.in_atomic_block
        part = transaction.atomic(connection.alias) if is_within else nullcontext()
        with warning(not_saved(connection), self._progress.verbosity), part:
            self._transfer.save(changes, steps, self._branch, fills)

    def _rest(self, position: int) -> list[tuple[Migration, bool]]:
        """The migrations from the one at ``position`` on, as they are without marks."""
        return [(without_marks(one), backwards) for one, backwards in self.plan[position:]]

    def undone(self, state: ProjectState) -> None:
        """The migration that began last is unapplied; ``state`` is the one before it."""
        self._undone = state

    def end(self, models: Apps) -> None:
        """All migrations are done: restore what comes back then, and say what doesn't."""
        if self.run:
            self._run_up_to(len(self.plan), lambda: models, self._renamed_at_last)
            self._transfer.restore_late(lambda: models)
            self._transfer.end_pass()
            self._transfer.settle(lambda: models)
        self._transfer.finish()
        self._say()

    def _run_up_to(
        self,
        position: int,
        models: Models,
        renamed: Callable[[], SchemaChanges | None],
    ) -> None:
        """
        The first ``position`` migrations are done: restore what comes back then.

        ``renamed`` tells what the one that began last has renamed; those behind it were faked.
        """
        first = self._done
        for one in range(first, position):
            key = self._steps[one].key
            if key not in self.run:
                self._transfer.faked.update([key, *self.plan[one][0].replaces])
            self._expect(one)
            self._transfer.done(models, renamed if one == first else lambda: None)
        self._done = position
        self._say()

    def _renamed(self, after: ProjectState) -> SchemaChanges | None:
        """What the migration that began last has renamed; ``after`` is the state after it."""
        if self._before is None:
            return None
        plain, backwards = self._last_begun()
        if backwards:
            return renames_backwards(plain)(self._undone) if self._undone else None
        return renames_forwards(plain, self._before)(after)

    def _renamed_at_last(self) -> SchemaChanges | None:
        """The same when all are done: Django tells the models then, and no state."""
        plain, backwards = self._last_begun()
        return _changes(self.stash, [(plain, backwards)]) if may_rename(plain) else None

    def _last_begun(self) -> tuple[Migration, bool]:
        migration, backwards = self.plan[self._done]
        return without_marks(migration), backwards

    def _find_way(self, detour: Detour, applied: Applied) -> Way | None:
        is_undone_now = any(step.key in self.run for step in detour.entries[0].steps)
        if not is_undone_now:
            return None
        # It is only asked what would be left alone: a migrate makes no detours.
        return find_way(
            detour,
            applied,
            is_stuck=lambda migration: False,
            unmigrated_apps=self._code.unmigrated_apps,
            max_name_length=self.stash.connection.ops.max_name_length(),
        )

    def _say(self) -> None:
        notes = self._transfer.report.notes
        for note in notes:
            write_notice(note)
        notes.clear()

    def _step(self, migration: Migration, backwards: bool) -> Step:
        key = migration.app_label, migration.name
        return Step(key, backwards, self._texts.id(self._code.source(key)))

    def _expect(self, position: int) -> None:
        step = self._steps[position]
        migration = self._code.migrations.get(step.key)
        arrives = AppliedMigration(migration, lambda: step.text)
        self._transfer.expect(step, None if step.backwards else arrives)

    def _applied(self, rows: Mapping[Key, str]) -> Applied:
        """What is applied; its texts matter only where the stash has anything."""
        if self.stash.entries():
            snapshot_file = SnapshotFile.find(self._repository)
            found = compare(self.stash.connection, self._repository, snapshot_file, self._code)
            return applied_by(found, {})
        unknown = {key: AppliedMigration(None, lambda: "", at) for key, at in rows.items()}
        return Applied(unknown, lambda step: self._texts.migration(step.key, step.text))


class _Beginning(Mark):
    """Tells a session that a migration begins. There is one in each migration of the plan."""

    def __init__(self, session: Session, position: int) -> None:
        self.session = session
        self.position = position

    def database_forwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, after: ProjectState
    ) -> None:
        self.session.begin(self.position, state)

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        self.session.begin(self.position, state)


class _Undone(Mark):
    """Tells a session the state before a migration that is unapplied."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        self.session.undone(before)


def _changes(stash: Stash, plan: Plan) -> SchemaChanges:
    """What becomes of tables and columns. All of the plan goes one way."""
    (state, history), backwards = state_and_history(stash.connection, plan), is_backwards(plan)
    found = schema_changes(*both_ways(history, backwards))
    # What --fake-initial finds in its place is not made.
    gives_way = {loss.item for loss in found.lost} | found.renamed.keys()
    made = {
        item: is_certain
        for item, is_certain in found.made.items()
        if item in gives_way or not stash.tables.has_item(*item)
    }
    lost = found.lost + unknown_losses(Tables(stash.connection), state, history, backwards)
    return found._replace(lost=lost, made=made)


def session_of(plan: Plan) -> Session | None:
    """The session whose marks a plan has, if any."""
    for migration, _ in plan:
        for operation in migration.operations:
            if isinstance(operation, _Beginning):
                return operation.session
    return None
