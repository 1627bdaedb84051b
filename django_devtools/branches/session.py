"""One ``migrate`` on one database: saves what it drops, and restores what it makes again."""

import logging
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from django.apps.registry import Apps
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.comparison import Comparison, compare
from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.snapshots import Key, SnapshotFile
from django_devtools.branches.sources.texts import Texts
from django_devtools.branches.stash.detours import find_way
from django_devtools.branches.stash.entries import Entry, Step
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.returns import (
    Applied,
    AppliedMigration,
    Arrivals,
    Returns,
)
from django_devtools.branches.stash.save import is_routed_here
from django_devtools.branches.stash.stash import Stash
from django_devtools.conf import project_root

from .progress import Progress

logger = logging.getLogger("django_devtools.branches")


class Session:
    """
    One ``migrate`` on one database, from ``pre_migrate`` to ``post_migrate``.

    Django gives both the same plan, whose migrations carry the marks in between.
    """

    def __init__(
        self,
        stash: Stash,
        plan: Sequence[tuple[Migration, bool]],
        changes: SchemaChanges,
        rows: Mapping[Key, str],
        progress: Progress,
    ) -> None:
        """``rows`` are those of django_migrations, with the times of their application."""
        self.stash = stash
        self.plan = plan
        self.changes = changes
        self.progress = progress
        self.run: set[Key] = set()
        """The migrations that were really run; a faked one does not reach its operations."""
        self._code = code_on_disk()
        self._repository = Repository.find(project_root())
        self._texts = Texts(self._repository, self._code)
        self._applied = self._applied_by(rows)
        self._returns = Returns((), self._applied, self._applied)
        self._taken: list[Entry] = []
        self._arrivals = Arrivals()
        self._done = 0

    def save(self, branch: str | None) -> None:
        """
        Save what is about to be dropped, of ``branch``, and put marks into the plan.

        Raises DatabaseError where it can't be saved.
        """
        self.stash.prepare(self._applied)
        self._returns = Returns(self.stash.entries(), self._applied, self._applied)
        self._put_marks()
        connection = self.stash.connection
        lost = [loss for loss in self.changes.lost if is_routed_here(connection, loss)]
        for loss in lost:
            name = ".".join(loss.migration)
            logger.debug("%s: %s drops or narrows %s", connection.alias, name, loss)
        steps = [
            Step(_key(migration), backwards, self._text_of(_key(migration)))
            for migration, backwards in self.plan
        ]
        fills = any(writes_rows(*one) for one in self.plan)
        held = self._returns.held()
        self._taken = self.stash.save(lost, branch, steps, self.progress, fills, held)
        self._returns.add(self._taken)

    def _put_marks(self) -> None:
        for position, (migration, backwards) in enumerate(self.plan):
            operations: Any = migration.operations
            operations.insert(len(operations) if backwards else 0, _Mark(self, position))

    def begin(self, position: int, models: Apps) -> None:
        """
        The migration at ``position`` begins, so those before it are done.

        In the transaction of the first one that is run, what was saved counts as about to go.
        """
        migration, backwards = self.plan[position]
        step = Step(_key(migration), backwards)
        is_written = self.stash.catch_up(step if self.run else None)
        if not self.run:
            self.stash.begin()
        if is_written:
            self._returns.refresh(self.stash.entries())
        self.run.add(step.key)
        self._run_up_to(position, models)

    def end(self, models: Apps) -> None:
        """All migrations are done: restore what comes back then, and say what doesn't."""
        if self.run:
            self._run_up_to(len(self.plan), models)
            self._restore_undisturbed(models)
        taken = {entry.id for entry in self._taken}
        older = [entry for entry in self.stash.entries() if entry.id not in taken]
        self.stash.follow(older, self.changes)
        self.stash.end_pass(self.changes, self._taken)
        if self.run:
            self._say_what_stays()
        self.stash.finish(self._applied)

    def _run_up_to(self, position: int, models: Apps) -> None:
        """The first ``position`` migrations are done: restore what comes back then."""
        for migration, backwards in self.plan[self._done : position]:
            key = _key(migration)
            if backwards:
                self._applied.remove(key)
            else:
                self._applied.add(key, self._arrived(key))
            self.stash.dropped([e for e in self._taken if self._applied.has_dropped(e)])
            self._restore(self._returns.after_step(), models)
        self._done = position

    def _restore_undisturbed(self, models: Apps) -> None:
        """Restore what the missing steps of its pass would leave alone: there are no detours."""
        for detour in self._returns.detours():
            way = find_way(
                detour,
                self._applied,
                is_stuck=lambda migration: False,
                unmigrated_apps=self._code.unmigrated_apps,
                max_name_length=self.stash.connection.ops.max_name_length(),
            )
            if way and way.leaves_alone(detour.entries):
                self._returns.remove(detour.entries)
                self._restore(detour.entries, models, detour.entries)

    def _say_what_stays(self) -> None:
        taken = {entry.id for entry in self._taken}
        again = {entry.id for entry in self._returns.made_again()}
        for entry in self._returns.waiting:
            changed = self.changes.altered if entry.is_narrowed else self.changes.made
            is_made = entry.id not in taken and self.stash.is_made(entry, changed)
            if is_made or entry.id in again:
                sys.stderr.write(f"{self.stash.stays(entry, self._applied)}\n")

    def _restore(self, due: list[Entry], models: Apps, early: Collection[Entry] = ()) -> None:
        made = self.changes.made.keys()
        due = [entry for entry in due if self._was_made(entry)]
        outdone = [entry for entry in due if self._arrivals.outdo(entry)]
        _say(map(self.stash.is_outdone, outdone))
        entries = [entry for entry in due if entry not in outdone]
        if not entries:
            return
        numbers = {entry.id for entry in early}
        run = Restore(self.stash, models, self.progress, numbers, made)
        run.restore(entries)
        self._arrivals.add(run.restored)
        _say(run.notes)

    def _was_made(self, entry: Entry) -> bool:
        """Whether a step of its pass was undone by a migration that was run, and not faked."""
        return any(step.key in self.run for step in entry.steps)

    def _applied_by(self, rows: Mapping[Key, str]) -> Applied:
        """What is applied; its texts matter only where the stash has anything."""
        applied = Applied({}, lambda step: self._texts.migration(step.key, step.text))
        if not self.stash.entries():
            for key, at in rows.items():
                applied.add(key, AppliedMigration(None, lambda: "", at))
            return applied
        snapshot_file = SnapshotFile.find(self._repository)
        found = compare(self.stash.connection, self._repository, snapshot_file, self._code)
        for key, at in rows.items():
            text = cache(partial(self._held_text, found, key))
            applied.add(key, AppliedMigration(found.held.get(key), text, at))
        return applied

    def _arrived(self, key: Key) -> AppliedMigration:
        text = cache(partial(self._text_of, key))
        return AppliedMigration(self._code.migrations.get(key), text)

    def _held_text(self, found: Comparison, key: Key) -> str:
        return self._texts.id(found.held_source(key))

    def _text_of(self, key: Key) -> str:
        return self._texts.id(self._code.source(key))


class _Mark(Operation):
    """Tells a session that a migration begins. There is one in each migration of the plan."""

    def __init__(self, session: Session, position: int) -> None:
        self.session = session
        self.position = position

    def state_forwards(self, *_: Any) -> None:
        pass

    def database_forwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, after: ProjectState
    ) -> None:
        self.session.begin(self.position, state.apps)

    def database_backwards(
        self, app: str, editor: BaseDatabaseSchemaEditor, state: ProjectState, before: ProjectState
    ) -> None:
        self.session.begin(self.position, state.apps)


def session_of(plan: Sequence[tuple[Migration, bool]]) -> Session | None:
    """The session whose marks a plan has, if any."""
    for migration, _ in plan:
        for operation in migration.operations:
            if isinstance(operation, _Mark):
                return operation.session
    return None


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        sys.stderr.write(f"{note}\n")


def _key(migration: Migration) -> Key:
    return migration.app_label, migration.name
