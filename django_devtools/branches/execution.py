"""Runs what was decided about one database, from ``pre_migrate`` to ``post_migrate``."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.running import signals
from django_devtools.branches.running.begun import write_down
from django_devtools.branches.running.executor import (
    Ahead,
    Edges,
    Executor,
    with_empty_reverses,
)
from django_devtools.branches.running.journal import JournalEntry
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges, schema_changes
from django_devtools.branches.schema.operations import may_rename, writes_rows
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.loader import Graph, Source, load
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.snapshots import DETACHED, Key, Snapshot
from django_devtools.branches.stash.detours import Way
from django_devtools.branches.stash.entries import Entry, Status, Step
from django_devtools.branches.stash.returns import (
    Applied,
    AppliedMigration,
    Arrivals,
    Detour,
)

from .decision import Decision
from .progress import Progress

logger = logging.getLogger("django_devtools.branches")


Renames = Callable[[ProjectState], SchemaChanges | None]
"""What a step renames, by the state after it; None if it renames nothing."""


@dataclass
class Report:
    """What a switch has to say when it is over."""

    saved: list[Entry] = field(default_factory=list)
    restored: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be restored from the stash, and why."""


class Execution:
    """One run over what was decided: both passes, or one interrupted step."""

    def __init__(
        self, decision: Decision, report: Report, progress: Progress, interactive: bool
    ) -> None:
        self.decision = decision
        self.report = report
        self.progress = progress
        self.interactive = interactive
        self.connection = decision.connection
        self.comparison = decision.comparison
        self.stash = decision.stash
        self.returns = decision.returns()
        self.arrivals = Arrivals()
        self.made: set[Item] = set()
        """The tables and columns that were made since the switch began, by their names then."""
        self.altered: set[Item] = set()
        """The columns that got wider or narrower since then, by their names then."""
        self._made_with: dict[int, set[Item]] = {}
        """What the passes made that dropped the new entries, by the numbers of those."""
        self._fresh: set[int] = set()
        """The numbers of the entries that the pass under way has dropped."""
        self._renames: Renames = lambda state: None
        """Tells what the step that is being done renames, by the state after it."""
        self._undropped: list[Entry] = []
        """The entries that are copied, and not dropped yet."""
        self._came_back: list[Entry] = []
        """What was restored since something was last saved."""
        self._next: tuple[Key, AppliedMigration | None]
        """The step that is being done: what is applied, or None where it is unapplied."""

    def run(self) -> None:
        """
        Run the plan of the decision.

        Raises whatever a migration raises, and SwitchError where a work tree's process fails.
        """
        try:
            self._run()
        except BaseException:  # Ctrl-C, too
            # It may be the connection that was lost.
            with suppress(Exception):
                self.stash.finish(self.returns.applied, halted=self._next[0])
            raise
        self.stash.finish(self.returns.applied)

    def _run(self) -> None:
        plan = self.decision.full_plan
        executor = self._executor(plan.held, self.comparison.held_source)
        executor.recorder.ensure_schema()
        steps = _django_plan(plan)
        away = self.decision.worktree.is_needed(plan.unapply, backwards=True)
        ahead = executor.ahead(plan.remaining, [] if away else plan.unapply[::-1])
        self._send_pre_migrate(steps, ahead.state)
        if self.decision.has_stash:
            self.stash.prepare(self.returns.applied)
            self.returns = self.decision.returns()
            opened = [entry for entry in self.returns.waiting if entry.status is Status.OPEN]
            self._undropped = [entry for entry in opened if not entry.is_narrowed]
        past = self.comparison.target.past
        keys = [*plan.apply, *plan.record]
        self._write_down(past, {key: self.comparison.wanted_source(key) for key in keys})
        self._rewrite_rows(executor, *plan.first_rows)
        base = self._unapply(plan, executor, ahead)
        for key in plan.forget:
            self.returns.applied.remove(key)
        for key in plan.record:
            self.returns.applied.add(key, self.decision.arrived(key))
        self._rewrite_rows(executor, plan.forget, plan.record)
        after = self._apply(plan, base)
        self._settle(after)
        executor.journal.drop()
        signals.send_post_migrate(self.connection, steps, after, self.progress, self.interactive)

    def resume(self, entry: JournalEntry) -> None:
        """Finish a migration that was interrupted. Raises whatever it raises."""
        migration, source, past = self._text_of(entry)
        if not entry.backwards:
            self._write_down(past, {entry.key: source})
        held = dict(self.comparison.held)
        held[entry.key] = with_empty_reverses(migration)
        rows = dict.fromkeys([*self.comparison.rows, entry.key])
        graph = Graph(held, list(rows), self.decision.workspace.disk.unmigrated_apps)
        before = graph.ordered(graph.applied_nodes() - graph.descendants([entry.key]), rows)
        executor = self._new_executor(graph, lambda key: source)
        ahead = executor.ahead(before, [entry.key] if entry.backwards else [])
        # As then: receivers may put operations of their own into the migration.
        steps = [(graph.graph.nodes[entry.key], entry.backwards)]
        self._send_pre_migrate(steps, ahead.state)
        applied = AppliedMigration(migration, lambda: self.comparison.texts.id(source))
        self._next = entry.key, None if entry.backwards else applied
        executor.resume(entry, ahead, self._arrive)
        executor.journal.drop()

    def _unapply(self, plan: Plan, executor: Executor, ahead: Ahead) -> ProjectState:
        """Run the first pass. The state after it."""
        if not plan.unapply:
            return ahead.state
        decision, self._fresh = self.decision, set()
        changes = decision.pass_changes(backwards=True)
        taken = self._take(changes, decision.steps(backwards=True), decision.branch())
        if decision.worktree.is_needed(plan.unapply, backwards=True):
            self._run_in_worktree(plan, changes, ahead.state, backwards=True)
            state = ahead.state
        else:
            state = self._unapply_here(plan, executor, ahead)
        self._end_pass(changes, taken)
        return state

    def _unapply_here(self, plan: Plan, executor: Executor, ahead: Ahead) -> ProjectState:
        steps = self.decision.steps(backwards=True)
        first: Callable[[], None] = self._begin
        for position, key in enumerate(plan.unapply, 1):
            ahead = self._unapply_one(executor, ahead, key, first)
            first = self._before(steps[position:])
            self._make_detours(ahead.state)
            if self._came_back and (rest := plan.unapply[position:]):
                changes = schema_changes(plan.unapplied_by(rest), SchemaHistory())
                first = self._take_again(changes, steps[position:])
        return ahead.state

    def _unapply_one(
        self, executor: Executor, ahead: Ahead, key: Key, first: Callable[[], None]
    ) -> Ahead:
        self._next = key, None
        self._renames = partial(_renames_backwards, executor.graph.graph.nodes[key])
        state = executor.unapply(ahead, [key], Edges(first, self._arrive))
        return ahead._replace(state=state)

    def _apply(self, plan: Plan, base: ProjectState) -> ProjectState:
        """Run the second pass. The state after it."""
        decision, self._fresh = self.decision, set()
        executor = self._executor(plan.wanted, self.comparison.wanted_source)
        applied = plan.wanted.applied_nodes()
        state = base
        if not _same_operations(plan, applied):
            state = plan.wanted.state(plan.wanted.ordered(applied, plan.rows))
        if plan.apply:
            changes = decision.pass_changes(backwards=False)
            taken = self._take(changes, decision.steps(backwards=False), decision.branch())
            if decision.worktree.is_needed(plan.apply, backwards=False):
                self._run_in_worktree(plan, changes, state, backwards=False)
            else:
                state = self._apply_here(plan, executor, state)
            self._end_pass(changes, taken)
        self._rewrite_rows(executor, *plan.last_rows)
        for key in plan.last_rows.forget:
            self.returns.applied.remove(key)
        for key in plan.last_rows.record:
            self.returns.applied.add(key, self.decision.put_together(key))
        executor.check_replacements()
        return state

    def _apply_here(self, plan: Plan, executor: Executor, state: ProjectState) -> ProjectState:
        steps = self.decision.steps(backwards=False)
        first: Callable[[], None] = self._begin
        for position, key in enumerate(plan.apply, 1):
            state = self._apply_one(executor, state, key, self.decision.arrived(key), first)
            first = self._before(steps[position:])
            self._make_detours(state)
            if self._came_back and (rest := plan.apply[position:]):
                changes = schema_changes(SchemaHistory(), plan.applied_by(rest))
                first = self._take_again(changes, steps[position:])
        return state

    def _apply_one(
        self,
        executor: Executor,
        state: ProjectState,
        key: Key,
        applied: AppliedMigration,
        first: Callable[[], None],
    ) -> ProjectState:
        self._next = key, applied
        self._renames = _renames_forwards(executor.graph.graph.nodes[key], state)
        return executor.apply(state, [key], Edges(first, self._arrive))

    def _run_in_worktree(
        self, plan: Plan, changes: SchemaChanges, state: ProjectState, backwards: bool
    ) -> None:
        """Run a pass in another process, which shares no transaction with what stands around."""
        self._begin()
        self.decision.worktree.run(plan, self.progress, backwards=backwards)
        for key in plan.unapply if backwards else plan.apply:
            _move(self.returns.applied, key, None if backwards else self.decision.arrived(key))
        self._follow(changes)
        self._restore(self.returns.after_step(), state)

    def _rewrite_rows(
        self, executor: Executor, forget: Collection[Key], record: Collection[Key]
    ) -> None:
        for key in forget:
            self.progress.line(f"  Forgetting {key[0]}.{key[1]}...")
        for key in record:
            self.progress.line(f"  Recording {key[0]}.{key[1]}...")
        executor.rewrite_rows(forget, record)

    def _take(
        self, changes: SchemaChanges, steps: Sequence[Step], branch: str | None
    ) -> list[Entry]:
        """Save in the stash what a pass drops. The new entries."""
        self._came_back = []
        self.made |= changes.made.keys()
        self.altered |= changes.altered
        if not self.decision.options.stash:
            return []
        held = self.returns.held()
        lost = self.decision.routed_here(changes.lost)
        taken = self._save(lost, changes, steps, branch, held)
        self.report.saved += taken
        return taken

    def _take_again(self, changes: SchemaChanges, steps: Sequence[Step]) -> Callable[[], None]:
        """Save what came back in the middle of a pass, if the rest of the pass drops it again."""
        back, self._came_back = self._came_back, []
        lost = [
            loss
            for loss in self.decision.routed_here(changes.lost)
            if any(map(partial(_is_lost_by, loss), back))
        ]
        if not lost:
            return self._before(steps)
        waiting = self.returns.waiting
        older = [e for e in waiting if e.id in self._made_with and not e.is_narrowed]
        taken = self._save(lost, changes, steps, self.decision.branch(), ())
        if not taken:
            return self._before(steps)

        def first() -> None:
            self._begin()
            self.stash.supersede(older, taken)
            self.returns.refresh(self.stash.entries())

        return first

    def _begin(self, step: Step | None = None) -> None:
        """Save what others wrote meanwhile, in the transaction of ``step`` or the first one."""
        changed = {entry.id: entry for entry in self.stash.catch_up(step)}
        if step is None:
            self.stash.begin()
        if changed:
            self.report.saved = [changed.get(one.id, one) for one in self.report.saved]
            self.returns.refresh(self.stash.entries())

    def _before(self, steps: Sequence[Step]) -> Callable[[], None]:
        """What runs in the transaction of the first of ``steps``, if any are left."""
        return partial(self._begin, steps[0]) if steps else Edges.first

    def _save(
        self,
        lost: list[DataLoss],
        changes: SchemaChanges,
        steps: Sequence[Step],
        branch: str | None,
        held: Collection[Entry],
    ) -> list[Entry]:
        fills = any(writes_rows(*one) for one in _django_plan(self.decision.full_plan))
        taken = self.stash.save(lost, branch, steps, self.progress, fills, held)
        logger.debug("Saved in the stash, for %s: %s", branch, _summaries(taken))
        self.returns.add(taken)
        changed = changes.made.keys() | changes.altered
        self._made_with |= {entry.id: changed for entry in taken}
        self._fresh.update(entry.id for entry in taken)
        self._undropped += [entry for entry in taken if not entry.is_narrowed]
        return taken

    def _end_pass(self, changes: SchemaChanges, taken: list[Entry]) -> None:
        self.stash.end_pass(changes, taken)
        self.returns.refresh(self.stash.entries())

    def _arrive(self, state: ProjectState) -> None:
        """Restore what comes back after the step that has just been done."""
        _move(self.returns.applied, *self._next)
        self._note_dropped()
        if (self._older() or self.arrivals) and (changes := self._renames(state)):
            self._follow(changes)
        self._restore(self.returns.after_step(), state)

    def _follow(self, changes: SchemaChanges) -> None:
        """Give the names that the database has now to what earlier passes have dropped."""
        self.arrivals.follow(changes)
        self.returns.rename(self.stash.follow(self._older(), changes))

    def _older(self) -> list[Entry]:
        """The columns that wait, but for those of this pass: their names come back with it."""
        waiting = self.returns.waiting
        return [entry for entry in waiting if not entry.is_table and entry.id not in self._fresh]

    def _note_dropped(self) -> None:
        applied = self.returns.applied
        dropped = [entry for entry in self._undropped if applied.has_dropped(entry)]
        self.stash.dropped(dropped)
        self._undropped = [entry for entry in self._undropped if entry not in dropped]

    def _make_detours(self, state: ProjectState) -> None:
        """Restore what comes back only by steps that are not of this plan."""
        for detour in self.returns.detours():
            way = self.decision.find_way(detour, self.returns.applied)
            if way is None:
                continue
            if way.leaves_alone(detour.entries):
                self.returns.remove(detour.entries)
                self._restore(detour.entries, state, is_partial=True)
            else:
                self._make_detour(detour, way)

    def _make_detour(self, detour: Detour, way: Way) -> None:
        logger.debug("A detour by %s", ", ".join(map(str, detour.missing)))
        sources = {step.key: self._source_of(step) for step in detour.missing}
        self._write_down(Past(detour.entries[0].branch, None), sources)
        executor = self._executor(way.graph, sources.get)
        for backwards in (way.begins_backwards, not way.begins_backwards):
            self._run_way(way, executor, detour, backwards)

    def _run_way(self, way: Way, executor: Executor, detour: Detour, backwards: bool) -> None:
        """Unapply the migrations of a detour, or apply them."""
        texts = {step.key: step.text for step in detour.missing}
        keys = way.keys[::-1] if backwards else way.keys
        steps = [Step(key, backwards, texts[key]) for key in keys]
        passes = (way.history, SchemaHistory()) if backwards else (SchemaHistory(), way.history)
        changes = schema_changes(*passes)
        taken = self._take(changes, steps, detour.entries[0].branch)
        ahead = executor.ahead(way.rest, way.keys if backwards else [])
        state = ahead.state
        first: Callable[[], None] = self._begin
        for position, step in enumerate(steps, 1):
            if backwards:
                ahead = self._unapply_one(executor, ahead, step.key, first)
            else:
                applied = _applied_as(way, step)
                state = self._apply_one(executor, state, step.key, applied, first)
            first = self._before(steps[position:])
        self._end_pass(changes, taken)

    def _source_of(self, step: Step) -> Source | None:
        if step.backwards:
            return self.comparison.texts.source(step.key, step.text)
        return self.comparison.held_source(step.key)

    def _write_down(self, past: Past, sources: dict[Key, Source | None]) -> None:
        workspace = self.decision.workspace
        if workspace.repository and self.comparison.target.listed_apps is None:
            write_down(
                self.connection, workspace.repository, workspace.snapshot_file, past, sources
            )

    def _restore(
        self, entries: list[Entry], state: ProjectState, is_partial: bool = False
    ) -> None:
        """Restore ``entries`` to the models of ``state``, unless newer ones are back already."""
        outdone = [entry for entry in entries if self.arrivals.outdo(entry)]
        self.report.notes += [self.stash.is_outdone(entry) for entry in outdone]
        entries = [entry for entry in entries if entry not in outdone]
        if not entries:
            return
        # A switch with nothing to restore comes here, too.
        from django_devtools.branches.stash.restore import Restore

        restore = Restore(
            self.stash, state.apps, self.progress, is_partial=is_partial, made=self.made
        )
        restore.restore(entries)
        logger.debug("Restored from the stash: %s", _summaries(restore.restored))
        self.report.notes += restore.notes
        self.report.restored += restore.restored
        self._came_back += restore.restored
        self.arrivals.add(restore.restored)

    def _settle(self, state: ProjectState) -> None:
        """
        Restore what an amended migration made again, and say what else was made and not restored.
        """
        own = [entry for entry in self._made_again() if self.decision.is_own(entry)]
        self.returns.remove(own)
        self._restore(own, state)
        for entry in self._made_again():
            if entry.id not in self._made_with:
                self.report.notes.append(self.stash.stays(entry, self.returns.applied))

    def _made_again(self) -> list[Entry]:
        """The entries whose place this switch has made, after it dropped them if it did."""
        return [
            entry
            for entry in self.returns.waiting
            if self.stash.is_made(
                entry, self._changed(entry) - self._made_with.get(entry.id, set())
            )
        ]

    def _changed(self, entry: Entry) -> set[Item]:
        return self.altered if entry.is_narrowed else self.made

    def _restore_now(self, table: str, column: str | None) -> None:
        """
        Restore columns of ``table`` that are there again; the values of the newest entry win.

        ``column`` is the only one that is wanted, or None for all.
        """
        from django_devtools.branches.stash.entry_restore import EntryRestore

        then = self.returns.applied.copy()
        _move(then, *self._next)
        for entry in self.returns.waiting:
            if entry.table != table or entry.is_table or entry.is_narrowed:
                continue
            columns = self._columns_there(entry, column)
            if columns and (then.has_undone_drop(entry) or self.decision.is_own(entry)):
                logger.debug("Restoring %s of %s before the next operation", columns, table)
                dialect = self.stash.tables.dialect
                with dialect.without_triggers([table]):
                    EntryRestore(self.stash, entry, columns).update(())
                    dialect.check_foreign_keys_now()

    def _columns_there(self, entry: Entry, column: str | None) -> list[str]:
        """The columns of an entry that its table has."""
        there = self.stash.tables.columns(entry.table)
        return [name for name in entry.columns if column in (None, name) and name in there]

    def _executor(self, graph: Graph, source: Callable[[Key], Source | None]) -> Executor:
        if self.decision.options.irreversible is Irreversible.NOOP:
            for key, migration in graph.graph.nodes.items():
                graph.graph.nodes[key] = with_empty_reverses(migration)
        return self._new_executor(graph, source)

    def _new_executor(self, graph: Graph, source: Callable[[Key], Source | None]) -> Executor:
        coerces = self.decision.options.stash
        return Executor(self.connection, graph, source, self.progress, coerces, self._restore_now)

    def _send_pre_migrate(self, steps: signals.Steps, state: ProjectState) -> None:
        signals.send_pre_migrate(self.connection, steps, state, self.progress, self.interactive)

    def _text_of(self, entry: JournalEntry) -> tuple[Migration, Source, Past]:
        """What an interrupted migration is finished from, and whose migration it is."""
        source = Source(entry.module, entry.source.encode(), "file")
        past = self.comparison.target.past
        wanted = self.comparison.target.code.migrations
        begun = self.comparison.provenance.begun_last(entry.key)
        if entry.backwards or entry.key not in wanted or self._is_of_another(begun):
            return load(entry.key, source), source, _past_of(begun) if begun else past
        # It may have failed for something that its file has right by now.
        return wanted[entry.key], self.comparison.wanted_source(entry.key) or source, past

    def _is_of_another(self, begun: Snapshot | None) -> bool:
        """Whether what was begun is of a branch that the target neither is nor goes on from."""
        repository, past = self.decision.workspace.repository, self.comparison.target.past
        if not (begun and repository) or begun.branch == (past.branch or DETACHED):
            return False
        if not (begun.commit and past.commit):
            return True
        return not repository.is_ancestor(begun.commit, past.commit)


def _renames_backwards(migration: Migration, after: ProjectState) -> SchemaChanges | None:
    """What unapplying a migration renames, if anything. ``after`` is the state after that."""
    if not may_rename(migration):
        return None
    return schema_changes(track(_models_only(after), [migration]), SchemaHistory())


def _renames_forwards(migration: Migration, before: ProjectState) -> Renames:
    """What applying a migration renames, if anything. ``before`` is the state before that."""
    if not may_rename(migration):
        return lambda after: None
    models = _models_only(before)
    return lambda after: schema_changes(SchemaHistory(), track(models, [migration]))


def _models_only(state: ProjectState) -> ProjectState:
    """A copy of a state that can be changed, and whose models are not rendered."""
    models = {key: model.clone() for key, model in state.models.items()}
    return ProjectState(models, state.real_apps)


def _is_lost_by(loss: DataLoss, entry: Entry) -> bool:
    """Whether a loss takes what is in an entry, or some of it."""
    if loss.table != entry.table:
        return False
    return loss.column is None or entry.is_table or loss.column in entry.columns


def _applied_as(way: Way, step: Step) -> AppliedMigration:
    return AppliedMigration(way.graph.graph.nodes[step.key], lambda: step.text)


def _move(applied: Applied, key: Key, migration: AppliedMigration | None) -> None:
    """``key`` is applied now, or unapplied where ``migration`` is None."""
    if migration is None:
        applied.remove(key)
    else:
        applied.add(key, migration)


def _summaries(entries: list[Entry]) -> str:
    return ", ".join(entry.summary for entry in entries) or "nothing"


def _past_of(begun: Snapshot) -> Past:
    return Past(begun.branch, begun.commit)


def _django_plan(plan: Plan) -> signals.Steps:
    return [
        *((plan.held.graph.nodes[key], True) for key in plan.unapply),
        *((plan.wanted.graph.nodes[key], False) for key in plan.apply),
    ]


def _same_operations(plan: Plan, applied: set[Key]) -> bool:
    """Whether the state that the first pass ends with is the one that the second starts from."""
    if set(plan.remaining) != applied:
        return False
    held, wanted = plan.held.graph.nodes, plan.wanted.graph.nodes
    return all(held[key].operations is wanted[key].operations for key in applied)
