"""Takes one database from what it holds to what it should hold."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.hooks.hook import HookState
from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import (
    Comparison,
    compare,
    compare_managestate,
)
from django_devtools.branches.planning.plan import Irreversible, Plan, make_plan, shared_tables
from django_devtools.branches.planning.recording import snapshot_of
from django_devtools.branches.running import signals
from django_devtools.branches.running.begun import strike_out, write_down
from django_devtools.branches.running.child import Findings
from django_devtools.branches.running.executor import Edges, Executor, with_empty_reverses
from django_devtools.branches.running.journal import TABLE as JOURNAL
from django_devtools.branches.running.journal import Journal, JournalEntry
from django_devtools.branches.running.worktree import WorkTree
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges, losses
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.tracker import Item
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, Graph, Source, load
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import (
    DETACHED,
    Key,
    NotOurs,
    Snapshot,
    SnapshotFile,
    branch_of,
    database_id,
)
from django_devtools.branches.stash.entries import Entry, step
from django_devtools.branches.stash.entry_restore import EntryRestore
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.save import is_routed_here
from django_devtools.branches.stash.stash import Stash

from . import preconditions, refusals
from .progress import Progress


@dataclass(frozen=True)
class Options:
    """What the user wants of a switch."""

    target: str | None = None
    irreversible: Irreversible = Irreversible.FAIL
    roll_back_shared: bool = False
    rerun: bool = False
    forget_interrupted: bool = False
    stash: bool = True
    """Whether what would be dropped is kept."""


@dataclass(frozen=True)
class Workspace:
    """Where a switch works: the repository, its snapshots, and the code of the checkout."""

    repository: Repository | None
    snapshot_file: SnapshotFile
    disk: Code


class Switch:
    """The switch of one database: first look and decide, then act."""

    def __init__(
        self, connection: BaseDatabaseWrapper, workspace: Workspace, options: Options
    ) -> None:
        """Look and decide. Raises SnapshotError and TargetError."""
        self.connection = connection
        self.workspace = workspace
        self.options = options
        self.notes: list[str] = []
        """What could not come back from the stash, and why."""
        self.saved: list[Entry] = []
        self.restored: list[Entry] = []
        self.waiting: set[Item] = set()
        """What nothing has come back to yet."""
        self._way_back: list[str] = []
        """The steps of it, where rows came back at its end."""
        self.look()

    def look(self) -> None:
        """Find out what is out of step, and decide what to do about it."""
        self.stash = Stash(self.connection)
        self._has_journal = JOURNAL in self.stash.tables.names
        self.interrupted = Journal(self.connection).entry() if self._has_journal else None
        self.comparison = self._compare()
        self.worktree = WorkTree(self.comparison, self.options.irreversible, self.options.stash)
        if self.interrupted and self._is_settled(self.interrupted):
            self.interrupted = None
        self.plan: Plan | None = None
        self.__dict__.pop("_findings", None)
        self.__dict__.pop("changes", None)
        if not self.comparison.in_step() or (self.options.rerun and self.comparison.raw_changed):
            self.plan = self._decide()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(
            self.plan or self._has_journal or (self.plan is not None and self.plan.missing_sources)
        )

    def check(self) -> None:
        """Raise SwitchError where the plan can't be carried out, before anything is changed."""
        if self.plan is None:
            return
        remade = [key for key in self.plan.not_rolled_back if key in self.comparison.traces]
        if remade:
            raise SwitchError(refusals.remade(remade))
        if self.plan.missing_sources:
            raise SwitchError(
                refusals.missing_sources(
                    self.plan.missing_sources,
                    self.workspace.repository,
                    self.comparison.history.ambiguous,
                )
            )
        findings = self._findings
        if stuck := findings.irreversible if findings else self.plan.irreversible:
            raise SwitchError(refusals.irreversible(stuck, self.options.irreversible))
        back = findings.back if findings else self.plan.backwards
        dropped = [loss for loss in losses(back) if is_routed_here(self.connection, loss)]
        if broken := self.plan.broken_by(dropped):
            raise SwitchError(refusals.broken(broken))
        tables, lost = self.stash.tables, self.losses()
        if parentless := preconditions.parentless(tables, lost):
            raise SwitchError(refusals.parentless(parentless))
        if self.options.stash:
            if unfit := preconditions.unfit_keys(tables, lost, self.plan):
                raise SwitchError(refusals.unfit_keys(unfit))
            # What was interrupted may have dropped it; nor is it known of an outline.
            is_known = not (self.interrupted or findings)
            if is_known and (unseen := preconditions.unseen(tables, lost, self.plan)):
                raise SwitchError(refusals.unseen(unseen))
        elif not self.options.roll_back_shared:
            shared = [loss for loss in self.plan.shared_by(dropped) if self.rows(loss)]
            if shared:
                raise SwitchError(refusals.shared(shared))

    @cached_property
    def changes(self) -> SchemaChanges:
        """What becomes of tables and columns. Raises SwitchError where a work tree can't tell."""
        if not self.plan:
            return SchemaChanges([], {}, set())
        back, forth = self._findings, self.worktree.look(self.plan, backwards=False)
        return self.plan.changes(back.back if back else None, forth.forth if forth else None)

    def losses(self) -> list[DataLoss]:
        """What the switch drops or narrows here. Raises SwitchError as ``changes`` does."""
        return [loss for loss in self.changes.lost if is_routed_here(self.connection, loss)]

    def rows(self, loss: DataLoss) -> int:
        """How many rows have a value in what is lost. 0 where it is not there."""
        return preconditions.rows(Tables(self.connection), loss)

    def run(self, progress: Progress, interactive: bool) -> None:
        """
        Do it. ``check`` was called before.

        Raises whatever a migration raises, and SwitchError where a work tree's process fails.
        What was done until then is recorded; running again goes on from there.
        """
        if self.workspace.repository:
            HookState(self.workspace.repository).changed()
        try:
            self._run(progress, interactive)
        except BaseException:  # Ctrl-C, too
            # It may be the connection that was lost.
            with suppress(Exception):
                strike_out(self.connection, self.workspace.snapshot_file)
            raise

    def _run(self, progress: Progress, interactive: bool) -> None:
        if self.interrupted:
            self._resume(self.interrupted, progress, interactive)
            self.look()
            self.check()
        if self.plan and self._returns_midway(self.plan):
            whole, self.plan = self.changes, self.plan.backwards_only()
            self.__dict__.pop("changes", None)
            way_back, self.waiting = self.changes, set()
            steps = [step(key, True) for key in self.plan.unapply]
            self._migrate(self.plan, progress, interactive, goes_on=whole.forwards)
            self.stash.finish(way_back)
            self.look()
            self.check()
            self.changes, self._way_back = self.changes.after(way_back, whole, self.waiting), steps
        # Also without anything to do: the receivers of post_migrate wait for what was interrupted.
        plan = self.plan if self.plan is not None else self._decide()
        self._migrate(plan, progress, interactive)
        self.stash.finish(self.changes)
        self._remember()

    def settle(self) -> None:
        """Where there was nothing to do, see to it that the snapshot of this branch says so."""
        branch = self.comparison.target.past.branch or DETACHED
        snapshot = self.comparison.history.snapshots.get(branch)
        is_said = (
            snapshot and snapshot.says(self.comparison.rows) and not self.comparison.history.begun
        )
        if self.options.target is None and not is_said:
            self._remember()

    def _returns_midway(self, plan: Plan) -> bool:
        """
        Whether rows have to be back before the second pass begins.

        For it may alter what they are in. And what was changed in a narrowed column can't be told
        while that has another name.
        """
        if not (plan.unapply and plan.apply) or not self.stash.exists():
            return False
        back, rows = self._findings, self.comparison.rows
        way_back = plan.backwards_only().changes(back.back if back else None)
        return bool(self.stash.expected(way_back, rows)) or any(
            entry.is_narrowed and not self.stash.can_tell(entry)
            for entry in self.stash.expected(self.changes, rows)
        )

    def _remember(self) -> None:
        """Write the snapshot of what the database now holds."""
        target = self.comparison.target
        if target.listed_apps is not None:
            return
        rows = read_rows(self.connection)
        kept = (
            {*self.plan.left_applied, *self.plan.not_rolled_back}
            if self.plan is not None
            else set()
        )
        states = {
            key: State.APPLIED
            if key in target.code.migrations
            else State.PHANTOM
            if key in kept
            else State.OBSOLETE
            for key in rows
        }
        snapshot, texts = snapshot_of(
            self.comparison, target.past.branch or DETACHED, rows, states
        )
        if self.workspace.repository:
            self.workspace.repository.keep(texts)
        self.workspace.snapshot_file.update(database_id(self.connection), [snapshot], rows=rows)

    def _compare(self) -> Comparison:
        repository, snapshot_file, disk = (
            self.workspace.repository,
            self.workspace.snapshot_file,
            self.workspace.disk,
        )
        name = self.options.target
        try:
            return compare(self.connection, repository, snapshot_file, disk, name)
        except NotOurs:
            name = name or "default"
            last = snapshot_file.read_managestate(name)
            if last is None:
                raise
            return compare_managestate(self.connection, repository, disk, name, last)

    def _decide(self) -> Plan:
        rerun = self.comparison.raw_changed if self.options.rerun else set()
        facts = self.comparison.facts(rerun)
        policy, roll_back_shared = self.options.irreversible, self.options.roll_back_shared
        plan, stuck = make_plan(facts, policy, roll_back_shared), list[Key]()
        if policy is Irreversible.KEEP and (findings := self.worktree.look(plan)):
            stuck = findings.irreversible
            plan = make_plan(facts, policy, roll_back_shared, known_stuck=stuck)
        if roll_back_shared or not plan.questionable:
            return plan
        leave = {
            key
            for key, tables in shared_tables(plan).items()
            if any(self.rows(DataLoss(key, key, table)) for table in tables)
        }
        return make_plan(facts, policy, leave=leave, known_stuck=stuck) if leave else plan

    def _migrate(
        self,
        plan: Plan,
        progress: Progress,
        interactive: bool,
        goes_on: SchemaChanges | None = None,
    ) -> None:
        executor = self._executor(plan.held, self.comparison.held_source, progress)
        executor.recorder.ensure_schema()
        steps = _django_plan(plan)
        away = self.worktree.is_needed(plan.unapply, backwards=True)
        ahead = executor.ahead(plan.remaining, [] if away else plan.unapply[::-1])
        signals.send_pre_migrate(self.connection, steps, ahead.state, progress, interactive)
        self._keep(plan, progress)
        keys = [*plan.apply, *plan.record]
        self._write_down(
            self.comparison.target.past, {k: self.comparison.wanted_source(k) for k in keys}
        )
        branch = self.comparison.target.past.branch
        restore = partial(self._restore, progress=progress, branch=branch, goes_on=goes_on)
        edges = Edges(self.stash.begin, restore)
        base = ahead.state
        if away:
            self.stash.begin()
            self.worktree.run(plan, progress, backwards=True)
            if not plan.apply:
                edges.last(base)
        elif plan.apply:
            base = executor.unapply(ahead, plan.unapply, Edges(edges.first))
        else:
            base = executor.unapply(ahead, plan.unapply, edges)
        for key in plan.forget:
            progress.line(f"  Forgetting {key[0]}.{key[1]}...")
        for key in plan.record:
            progress.line(f"  Recording {key[0]}.{key[1]}...")
        executor.rewrite_rows(plan.forget, plan.record)
        after = self._apply(plan, base, progress, edges)
        executor.journal.drop()
        signals.send_post_migrate(self.connection, steps, after, progress, interactive)

    def _keep(self, plan: Plan, progress: Progress) -> None:
        """Copy what the plan drops, and write down what it brings back."""
        steps = [step(key, True) for key in plan.unapply] + [step(k, False) for k in plan.apply]
        if not steps:
            return
        self.stash.clean()
        if self.options.stash:
            branch = self._branch(plan)
            fills = any(writes_rows(*step) for step in _django_plan(plan))
            self.saved += self.stash.save(
                self.losses(), self.comparison.rows, branch, steps, progress, fills
            )
        # What comes back now belongs to both ways.
        self.stash.open(self.changes, self.comparison.rows, [*self._way_back, *steps])

    def _write_down(self, past: Past, sources: dict[Key, Source | None]) -> None:
        repository, snapshot_file = self.workspace.repository, self.workspace.snapshot_file
        if repository and self.comparison.target.listed_apps is None:
            write_down(self.connection, repository, snapshot_file, past, sources)

    def _restore(
        self,
        state: ProjectState,
        progress: Progress,
        branch: str | None,
        goes_on: SchemaChanges | None = None,
    ) -> None:
        """Bring back what the stash has for the models of ``state``, on ``branch``."""
        if entries := self.stash.returning():
            made = self.changes.made
            restore = Restore(self.stash, state.apps, branch, progress, goes_on=goes_on, made=made)
            restore.restore(entries)
            self.notes += restore.notes
            self.restored += restore.restored
            self.waiting = restore.waiting

    def _restore_now(self, table: str, column: str | None) -> None:
        """Put what is coming back into columns that are there again; the newest at last."""
        for entry in self.stash.returning():
            if entry.table != table or entry.is_table or entry.is_narrowed:
                continue
            there = self.stash.tables.columns(table)
            columns = [
                name
                for name in entry.coming
                if column in (None, name)
                and name in there
                and there[name].type == entry.columns[name].info.type
            ]
            if columns:
                EntryRestore(self.stash, entry, columns).update(())
                if self.connection.vendor == "postgresql":
                    # What is written waits for its foreign keys to be looked at, and no table is
                    # altered before that.
                    self.connection.check_constraints()

    def _branch(self, plan: Plan) -> str | None:
        """The branch that the database is on, as far as that is known."""
        snapshots, here = self.comparison.history.snapshots, self.comparison.target.past.branch
        sources = [self.comparison.held_source(key) for key in plan.unapply]
        return branch_of(snapshots, self.comparison.rows, here) or next(
            (source.branch for source in sources if source and source.branch), None
        )

    def _apply(
        self, plan: Plan, base: ProjectState, progress: Progress, edges: Edges
    ) -> ProjectState:
        executor = self._executor(plan.wanted, self.comparison.wanted_source, progress)
        applied = plan.wanted.applied_nodes()
        state = base
        if not _same_operations(plan, applied):
            state = plan.wanted.state(plan.wanted.ordered(applied))
        if self.worktree.is_needed(plan.apply, backwards=False):
            self.stash.begin()
            self.worktree.run(plan, progress, backwards=False)
            edges.last(state)
        elif plan.unapply:
            state = executor.apply(state, plan.apply, Edges(last=edges.last))
        else:
            state = executor.apply(state, plan.apply, edges)
        executor.check_replacements()
        return state

    def _executor(
        self, graph: Graph, source: Callable[[Key], Source | None], progress: Progress
    ) -> Executor:
        if self.options.irreversible is Irreversible.NOOP:
            for key, migration in graph.graph.nodes.items():
                graph.graph.nodes[key] = with_empty_reverses(migration)
        stash = self.options.stash
        return Executor(self.connection, graph, source, progress, stash, self._restore_now)

    def _is_settled(self, entry: JournalEntry) -> bool:
        """Whether someone has finished by hand what was interrupted, or says so."""
        by_hand = (entry.key in self.comparison.rows) is not entry.backwards
        return by_hand or self.options.forget_interrupted

    def _resume(self, entry: JournalEntry, progress: Progress, interactive: bool) -> None:
        """
        Finish what an earlier run began and did not finish.

        Raises SwitchError when it fails again.
        """
        try:
            self._finish(entry, progress, interactive)
        except Exception as error:
            name = ".".join(entry.key)
            raise SwitchError(
                f"{name} was interrupted, and can't be finished: {type(error).__name__}: {error}. "
                "Mend what it says, or put the database right by hand and run this again with "
                "--forget-interrupted."
            ) from error

    def _finish(self, entry: JournalEntry, progress: Progress, interactive: bool) -> None:
        source = Source(entry.module, entry.source.encode(), "file")
        wanted = self.comparison.target.code.migrations
        begun = self.comparison.history.begun_last(entry.key)
        past = self.comparison.target.past
        if entry.backwards or entry.key not in wanted or self._is_of_another(begun):
            migration = load(entry.key, source)
            past = Past(begun.branch, begun.commit) if begun else past
        else:
            # It may have failed for what is mended now.
            migration = wanted[entry.key]
            source = self.comparison.wanted_source(entry.key) or source
        if not entry.backwards:
            self._write_down(past, {entry.key: source})
        held = dict(self.comparison.held)
        held[entry.key] = with_empty_reverses(migration)
        rows = dict.fromkeys([*self.comparison.rows, entry.key])
        graph = Graph(held, list(rows), self.workspace.disk.unmigrated_apps)
        before = graph.ordered(graph.applied_nodes() - graph.descendants([entry.key]), rows)
        stash = self.options.stash
        executor = Executor(
            self.connection, graph, lambda key: source, progress, stash, self._restore_now
        )
        ahead = executor.ahead(before, [entry.key] if entry.backwards else [])
        # As then: receivers may put operations of their own into the migration.
        steps = [(graph.graph.nodes[entry.key], entry.backwards)]
        signals.send_pre_migrate(self.connection, steps, ahead.state, progress, interactive)
        # Where it was the last one of its switch, that ends here.
        ends = {kept.last for kept in self.stash.returning()}
        is_last = step(entry.key, entry.backwards) in ends
        # It is not known what branch it was going to: only what is alike in all comes back.
        restore = partial(self._restore, progress=progress, branch=None)
        edges = Edges(last=restore) if is_last else Edges()
        executor.resume(entry, ahead, edges.last)
        executor.journal.drop()

    def _is_of_another(self, begun: Snapshot | None) -> bool:
        """Whether what was begun is of a branch that the target is not, nor goes on from."""
        repository, past = self.workspace.repository, self.comparison.target.past
        if not (begun and repository) or begun.branch == (past.branch or DETACHED):
            return False
        if not (begun.commit and past.commit):
            return True
        return not repository.is_ancestor(begun.commit, past.commit)

    @cached_property
    def _findings(self) -> Findings | None:
        return self.worktree.look(self.plan) if self.plan is not None else None


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
