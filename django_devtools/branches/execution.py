"""Runs what was decided about one database, from ``pre_migrate`` to ``post_migrate``."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.running import signals
from django_devtools.branches.running.executor import Ahead, Executor
from django_devtools.branches.running.journal import Journal, JournalEntry
from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.transactions import one_transaction
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.returns import AppliedMigration
from django_devtools.branches.stash.transfer import Report

from .decision import Decision
from .detours import make_detours
from .progress import Progress
from .steps import Steps


class Execution:
    """One run over what was decided: both passes, or one interrupted step."""

    def __init__(
        self, decision: Decision, report: Report, progress: Progress, interactive: bool
    ) -> None:
        self.decision = decision
        self.progress = progress
        self.interactive = interactive
        self.comparison = decision.comparison
        self.outlook = decision.outlook
        self.steps = Steps(decision, report, progress)
        self.transfer = self.steps.transfer

    def run(self) -> None:
        """
        Finish what was interrupted, if anything was; else run the plan of the decision.

        Raises whatever a migration raises, and SwitchError where a work tree's process fails.
        """
        try:
            if self.decision.interrupted:
                self._resume(self.decision.interrupted)
            else:
                self._run()
        except BaseException:  # Ctrl-C, too
            # It may be the connection that was lost.
            with suppress(Exception):
                entry = Journal(self.decision.connection).entry()
                self.transfer.halt(entry and entry.key)
            raise
        self.transfer.finish()

    def _resume(self, entry: JournalEntry) -> None:
        """Run a migration that has begun already."""
        # Few switches have anything to resume.
        from .resume import unfinished

        migration, source, past, graph, before = unfinished(self.decision, entry)
        executor = self.steps.executor(graph, lambda key: source, entry)
        ahead = executor.ahead(before, [entry.key] if entry.backwards else [])
        # As in the first run: receivers insert operations, and the journal counts positions.
        steps = [(graph.graph.nodes[entry.key], entry.backwards)]
        self._send_pre_migrate(steps, ahead.state)
        text = self.comparison.texts.id(source)
        step = Step(entry.key, entry.backwards, text)
        self.transfer.prepare(begun=step)
        if not entry.backwards:
            self.steps.write_down(past, {entry.key: source})
        arrives = AppliedMigration(migration, lambda: text)
        self.steps.take(executor, ahead, [step], lambda key: arrives, self._between)
        executor.journal.drop()

    def _run(self) -> None:
        plan, outlook = self.outlook.plan, self.outlook
        executor = self.steps.executor(
            plan.held, self.comparison.held_source, unapply=plan.unapply
        )
        executor.recorder.ensure_schema()
        steps = _django_plan(plan)
        away = outlook.worktree.is_needed(plan.unapply, backwards=True)
        ahead = executor.ahead(plan.remaining, [] if away else plan.unapply[::-1])
        self._send_pre_migrate(steps, ahead.state)
        self.transfer.prepare()
        keys = [*plan.apply, *plan.record]
        sources = {key: self.comparison.wanted_source(key) for key in keys}
        self.steps.write_down(self.comparison.target.past, sources)
        self._rewrite_rows(executor, *plan.first_rows)
        # Those that an earlier run did not come to: what the next steps apply may bar the way.
        make_detours(self.steps, lambda: _state_before(plan).apps)
        base = self._run_pass(executor, ahead, backwards=True)
        if plan.forget or plan.record:
            self._adopt(executor, base)
        after = self._apply(base)
        self.transfer.settle(lambda: after.apps)
        executor.journal.drop()
        connection = self.decision.connection
        signals.send_post_migrate(connection, steps, after, self.progress, self.interactive)

    def _adopt(self, executor: Executor, base: ProjectState) -> None:
        """Change rows of django_migrations, and restore what that undoes."""
        plan, models = self.outlook.plan, lambda: base.apps
        # What comes back then does so in their transaction: they tell whether it has.
        with one_transaction(self.decision.connection):
            self.transfer.forget(plan.forget)
            rows = {key: self.outlook.arrives(key) for key in plan.recorded_in_order()}
            self.transfer.record(rows, plan.recorded_by)
            self._rewrite_rows(executor, plan.forget, plan.record)
            self.transfer.restore_between_passes(models)
        make_detours(self.steps, models)

    def _apply(self, base: ProjectState) -> ProjectState:
        """Run the second pass. The state after it."""
        plan = self.outlook.plan
        executor = self.steps.executor(plan.wanted, self.comparison.wanted_source)
        applied = plan.wanted.applied_nodes()
        state = base
        if not plan.is_base(applied):
            state = plan.wanted.state(plan.wanted.ordered(applied, plan.rows))
        state = self._run_pass(executor, Ahead(state, []), backwards=False)
        self._rewrite_rows(executor, *plan.last_rows)
        for key in plan.last_rows.forget:
            self.transfer.applied.remove(key)
        for key in plan.last_rows.record:
            self.transfer.applied.add(key, self.outlook.put_together(key))
        if plan.wanted.replacements:  # Without squashes, Django would read all rows for nothing.
            executor.check_replacements()
        return state

    def _run_pass(self, executor: Executor, ahead: Ahead, backwards: bool) -> ProjectState:
        """Run one of the passes. The state after it."""
        steps, state = self.outlook.steps(backwards), ahead.state
        if not steps:
            return state
        changes = self.outlook.pass_changes(backwards, state)
        nodes = executor.graph.graph.nodes
        fills = any(writes_rows(nodes[step.key], backwards) for step in steps)
        self.steps.save(changes, steps, self.outlook.held_branch(), fills)
        if self.outlook.worktree.is_needed([step.key for step in steps], backwards):
            self._run_in_worktree(steps, changes, state)
        else:
            arrives, between = self.outlook.arrives, self._between
            state = self.steps.take(executor, ahead, steps, arrives, between)
        self.transfer.end_pass()
        return state

    def _between(self, state: ProjectState, rest: Sequence[Step]) -> None:
        make_detours(self.steps, lambda: state.apps)
        if self.transfer.came_back and rest:
            changes = self.outlook.rest_changes(rest)
            self.transfer.save_again(changes, rest, self.outlook.held_branch())

    def _run_in_worktree(
        self, steps: Sequence[Step], changes: SchemaChanges, state: ProjectState
    ) -> None:
        """Run a pass in another process, so nothing here shares a transaction with it."""
        backwards = steps[0].backwards
        moves = [
            (step.key, None if backwards else self.outlook.arrives(step.key)) for step in steps
        ]
        self.transfer.begin()
        there = self.transfer.there_after(moves)
        self.outlook.worktree.run(self.outlook.plan, self.progress, backwards, there)
        for move in moves:
            self.transfer.applied.move(*move)
        self.transfer.follow(changes)
        self.transfer.restore_due(lambda: state.apps)
        self.transfer.restore_late(lambda: state.apps)

    def _rewrite_rows(
        self, executor: Executor, forget: Collection[Key], record: Collection[Key]
    ) -> None:
        for key in forget:
            self.progress.line(f"  Forgetting {key[0]}.{key[1]}...")
        for key in record:
            self.progress.line(f"  Recording {key[0]}.{key[1]}...")
        if forget or record:
            executor.rewrite_rows(forget, record)

    def _send_pre_migrate(self, steps: signals.Steps, state: ProjectState) -> None:
        connection = self.decision.connection
        signals.send_pre_migrate(connection, steps, state, self.progress, self.interactive)


def _state_before(plan: Plan) -> ProjectState:
    """The models of what the database holds now."""
    return plan.held.state(plan.held.ordered(plan.held.applied_nodes(), plan.rows))


def _django_plan(plan: Plan) -> signals.Steps:
    return [
        *((plan.held.graph.nodes[key], True) for key in plan.unapply),
        *((plan.wanted.graph.nodes[key], False) for key in plan.apply),
    ]
