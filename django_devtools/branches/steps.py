"""Runs the steps of a pass one by one, and has the stash follow each of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import is_emptied
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.running.begun import not_recorded, write_down
from django_devtools.branches.running.executor import (
    Ahead,
    Edges,
    Executor,
    with_empty_reverses,
)
from django_devtools.branches.running.journal import JournalEntry
from django_devtools.branches.schema.changes import (
    Renames,
    SchemaChanges,
    renames_backwards,
    renames_forwards,
)
from django_devtools.branches.sources.git import GitError
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.snapshot_file import NotWritten
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.returns import AppliedMigration
from django_devtools.branches.stash.transfer import Report, Transfer

from .decision import Decision
from .progress import Progress

Between = Callable[[ProjectState, Sequence[Step]], None]
"""Called after each step, with the state after it and the steps that are left."""


class Steps:
    """Runs the steps of any pass the way a decision says."""

    def __init__(self, decision: Decision, report: Report, progress: Progress) -> None:
        self.decision = decision
        self.progress = progress
        outlook = decision.outlook
        self.transfer = Transfer(
            outlook.stash, outlook.returns(), progress, report, outlook.find_way
        )

    def save(
        self, changes: SchemaChanges, steps: Sequence[Step], branch: str | None, fills: bool
    ) -> None:
        """Begin a pass: save what it drops, unless the user wants none of it saved."""
        if not self.decision.options.stash:
            changes = changes._replace(lost=[])
        self.transfer.save(changes, steps, branch, fills)

    def take(
        self,
        executor: Executor,
        ahead: Ahead,
        steps: Sequence[Step],
        arrives: Callable[[Key], AppliedMigration],
        between: Between = lambda state, rest: None,
    ) -> ProjectState:
        """
        Run migrations. The state after them.

        ``arrives`` gives those that are applied by their keys.
        """
        for position, step in enumerate(steps, 1):
            migration = executor.graph.graph.nodes[step.key]
            if step.backwards:
                self.transfer.expect(step)
                edges = self._edges(renames_backwards(migration))
                state = executor.unapply(ahead, step.key, edges)
            else:
                self.transfer.expect(step, arrives(step.key))
                edges = self._edges(renames_forwards(migration, ahead.state))
                state = executor.apply(ahead.state, step.key, edges)
            ahead = ahead._replace(state=state)
            between(state, steps[position:])
        return ahead.state

    def executor(
        self,
        graph: Graph,
        source: Callable[[Key], Source | None],
        interrupted: JournalEntry | None = None,
        unapply: Iterable[Key] = (),
    ) -> Executor:
        """What runs the migrations of a graph, as the user wants it: it may ``unapply`` some."""
        options, policy = self.decision.options, self.decision.outlook.policy
        for key in unapply:
            migration = graph.graph.nodes[key]
            if is_emptied(migration) and policy.of(key) is Irreversible.NOOP:
                graph.graph.nodes[key] = with_empty_reverses(migration)
        connection, restore = self.decision.connection, self.transfer.restore_now
        return Executor(
            connection, graph, source, self.progress, options.stash, restore, interrupted
        )

    def write_down(self, past: Past, sources: Mapping[Key, Source | None]) -> None:
        """Write down what is about to be applied, and whose migrations that is."""
        decision, workspace = self.decision, self.decision.workspace
        if workspace.repository and decision.comparison.target.listed_apps is None:
            repository, snapshot_file = workspace.repository, workspace.snapshot_file
            try:
                notes = write_down(decision.connection, repository, snapshot_file, past, sources)
            except (GitError, NotWritten) as error:
                notes = [not_recorded(error)]
            self.transfer.report.notes += notes

    def _edges(self, renames: Renames) -> Edges:
        return Edges(self.transfer.begin, partial(self._done, renames))

    def _done(self, renames: Renames, state: ProjectState) -> None:
        self.transfer.done(lambda: state.apps, partial(renames, state))
