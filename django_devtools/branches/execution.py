"""Runs what was decided about one database, from ``pre_migrate`` to ``post_migrate``."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.running import signals
from django_devtools.branches.running.begun import write_down
from django_devtools.branches.running.executor import Edges, Executor, with_empty_reverses
from django_devtools.branches.running.journal import JournalEntry
from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.loader import Graph, Source, load
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.snapshots import DETACHED, Key, Snapshot
from django_devtools.branches.stash.entries import Entry, step

from .decision import Decision
from .progress import Progress

logger = logging.getLogger("django_devtools.branches")


@dataclass
class Report:
    """What a switch has to say when it is over."""

    saved: list[Entry] = field(default_factory=list)
    restored: list[Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What could not be restored from the stash, and why."""


class Execution:
    """One run over what was decided: both passes, or the first alone, or one interrupted step."""

    def __init__(
        self,
        decision: Decision,
        report: Report,
        progress: Progress,
        interactive: bool,
        goes_on: SchemaChanges | None = None,
    ) -> None:
        """``goes_on`` are the changes that the next run makes, where this is the first of two."""
        self.decision = decision
        self.report = report
        self.progress = progress
        self.interactive = interactive
        self.goes_on = goes_on
        self.waiting: set[Item] = set()
        """The tables and columns that nothing has been restored to yet."""
        self.connection = decision.connection
        self.comparison = decision.comparison
        self.stash = decision.stash

    def run(self) -> None:
        """
        Run the plan of the decision.

        Raises whatever a migration raises, and SwitchError where a work tree's process fails.
        """
        plan = self.decision.full_plan
        executor = self._executor(plan.held, self.comparison.held_source)
        executor.recorder.ensure_schema()
        steps = _django_plan(plan)
        away = self.decision.worktree.is_needed(plan.unapply, backwards=True)
        ahead = executor.ahead(plan.remaining, [] if away else plan.unapply[::-1])
        self._send_pre_migrate(steps, ahead.state)
        self._save(plan)
        keys = [*plan.apply, *plan.record]
        past = self.comparison.target.past
        self._write_down(past, {key: self.comparison.wanted_source(key) for key in keys})
        edges = Edges(self.stash.begin, partial(self._restore, branch=past.branch))
        base = ahead.state
        if away:
            self._run_in_worktree(plan, base, edges, backwards=True)
        else:
            last = Edges.last if plan.apply else edges.last
            base = executor.unapply(ahead, plan.unapply, Edges(edges.first, last))
        for key in plan.forget:
            self.progress.line(f"  Forgetting {key[0]}.{key[1]}...")
        for key in plan.record:
            self.progress.line(f"  Recording {key[0]}.{key[1]}...")
        executor.rewrite_rows(plan.forget, plan.record)
        after = self._apply(plan, base, edges)
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
        # Where it was the last one of its switch, that ends here.
        ends = {returning.last for returning in self.stash.returning()}
        is_last = step(entry.key, entry.backwards) in ends
        # It is not known which branch it was going to: only what is alike in all is restored.
        edges = Edges(last=partial(self._restore, branch=None)) if is_last else Edges()
        executor.resume(entry, ahead, edges.last)
        executor.journal.drop()

    def _apply(self, plan: Plan, base: ProjectState, edges: Edges) -> ProjectState:
        executor = self._executor(plan.wanted, self.comparison.wanted_source)
        applied = plan.wanted.applied_nodes()
        state = base
        if not _same_operations(plan, applied):
            state = plan.wanted.state(plan.wanted.ordered(applied, plan.rows))
        if self.decision.worktree.is_needed(plan.apply, backwards=False):
            self._run_in_worktree(plan, state, edges, backwards=False)
        else:
            first = Edges.first if plan.unapply else edges.first
            state = executor.apply(state, plan.apply, Edges(first, edges.last))
        executor.check_replacements()
        return state

    def _run_in_worktree(
        self, plan: Plan, state: ProjectState, edges: Edges, backwards: bool
    ) -> None:
        """Run a pass in another process, which shares no transaction with what stands around."""
        edges.first()
        self.decision.worktree.run(plan, self.progress, backwards=backwards)
        if not (backwards and plan.apply):
            edges.last(state)

    def _save(self, plan: Plan) -> None:
        """Save in the stash what the plan drops, and write down what it restores."""
        steps = self.decision.steps()
        if not steps:
            return
        rows = self.comparison.rows
        self.stash.clean()
        if self.decision.options.stash:
            branch = self.decision.branch()
            fills = any(writes_rows(*one) for one in _django_plan(plan))
            saved = self.stash.save(
                self.decision.losses(), rows, branch, steps, self.progress, fills
            )
            logger.debug("Saved in the stash, for %s: %s", branch, _summaries(saved))
            self.report.saved += saved
        # What is restored now belongs to both parts.
        self.stash.open(self.decision.changes, rows, [*self.decision.earlier_steps, *steps])

    def _write_down(self, past: Past, sources: dict[Key, Source | None]) -> None:
        workspace = self.decision.workspace
        if workspace.repository and self.comparison.target.listed_apps is None:
            write_down(
                self.connection, workspace.repository, workspace.snapshot_file, past, sources
            )

    def _restore(self, state: ProjectState, branch: str | None) -> None:
        """Restore what the stash has for the models of ``state``, on ``branch``."""
        entries = self.stash.returning()
        if not entries:
            return
        # A switch with nothing to restore comes here, too.
        from django_devtools.branches.stash.restore import Restore

        made = self.decision.changes.made
        restore = Restore(
            self.stash, state.apps, branch, self.progress, goes_on=self.goes_on, made=made
        )
        restore.restore(entries)
        logger.debug("Restored from the stash: %s", _summaries(restore.restored))
        self.report.notes += restore.notes
        self.report.restored += restore.restored
        self.waiting = restore.waiting

    def _restore_now(self, table: str, column: str | None) -> None:
        """
        Restore columns of ``table`` that are there again; the values of the newest entry win.

        ``column`` is the only one that is wanted, or None for all.
        """
        from django_devtools.branches.stash.entry_restore import EntryRestore

        for entry in self.stash.returning():
            if entry.table != table or entry.is_table or entry.is_narrowed:
                continue
            columns = self._columns_there(entry, column)
            if columns:
                logger.debug("Restoring %s of %s before the next operation", columns, table)
                EntryRestore(self.stash, entry, columns).update(())
                self.stash.tables.dialect.check_foreign_keys_now()

    def _columns_there(self, entry: Entry, column: str | None) -> list[str]:
        """The columns of an entry that its table has with the same type."""
        there = self.stash.tables.columns(entry.table)
        return [
            name
            for name in entry.coming
            if column in (None, name)
            and name in there
            and there[name].type == entry.columns[name].info.type
        ]

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
