"""Looks at one database and decides what a switch is to do. Changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.planning.comparison import (
    Comparison,
    compare,
    compare_managestate,
)
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.running.worktree import WorkTree
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code
from django_devtools.branches.sources.snapshots import Key, NotOurs, SnapshotFile, branch_of
from django_devtools.conf import TABLE_PREFIX

# Most databases are in step. What is only needed to get them there is imported where it is used.
if TYPE_CHECKING:
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.running.child import Findings
    from django_devtools.branches.running.journal import JournalEntry
    from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
    from django_devtools.branches.schema.introspection import Tables
    from django_devtools.branches.stash.stash import Stash

logger = logging.getLogger("django_devtools.branches")


class Options(NamedTuple):
    """What the user wants of a switch."""

    target: str | None = None
    irreversible: Irreversible = Irreversible.FAIL
    roll_back_shared: bool = False
    rerun: bool = False
    forget_interrupted: bool = False
    stash: bool = True
    """Whether data is saved in the stash before it is dropped."""


class Workspace(NamedTuple):
    """Where a switch works: the repository, its snapshots, and the code of the checkout."""

    repository: Repository | None
    snapshot_file: SnapshotFile
    disk: Code


@dataclass(frozen=True, eq=False)
class Decision:
    """What was found in one database, and what a switch is to do about it."""

    connection: BaseDatabaseWrapper
    workspace: Workspace
    options: Options
    comparison: Comparison
    worktree: WorkTree
    our_tables: Collection[str]
    """The tables of this package that the database has: the stash and the journal."""
    interrupted: JournalEntry | None
    """The migration that an earlier run began and did not finish."""
    plan: Plan | None
    """None where database and target are in step."""
    known_changes: SchemaChanges | None = None
    """The changes of a second part: those of the first part count, too."""
    earlier_steps: Sequence[str] = ()
    """The steps of the first part, where this is the second one."""

    @property
    def has_work(self) -> bool:
        """Whether there is anything to do, or anything that can't be done."""
        if self.has_journal:
            return True
        return self.plan is not None and bool(self.plan or self.plan.missing_sources)

    @property
    def has_journal(self) -> bool:
        """Whether a migration was interrupted, and maybe finished by hand since."""
        if not self.our_tables:
            return False
        from django_devtools.branches.running.journal import TABLE

        return TABLE in self.our_tables

    @property
    def has_stash(self) -> bool:
        """Whether the stash has anything in it."""
        return bool(self.our_tables) and self.stash.exists()

    @cached_property
    def stash(self) -> Stash:
        """The stash of the database, which may be empty."""
        from django_devtools.branches.stash.stash import Stash

        return Stash(self.connection)

    @cached_property
    def full_plan(self) -> Plan:
        """The plan; one without steps where database and target are in step."""
        if self.plan is not None:
            return self.plan
        return _plan(self.comparison, self.worktree, self.options)

    @cached_property
    def findings(self) -> Findings | None:
        """
        What a work tree says of the first pass, where that can't be imported here.

        Raises SwitchError where a work tree can't tell either.
        """
        return self.worktree.look(self.plan) if self.plan is not None else None

    @cached_property
    def changes(self) -> SchemaChanges:
        """What becomes of tables and columns. Raises SwitchError where a work tree can't tell."""
        if self.known_changes is not None:
            return self.known_changes
        from django_devtools.branches.schema.changes import SchemaChanges

        if not self.plan:
            return SchemaChanges([], {}, set())
        first, second = self.findings, self.worktree.look(self.plan, backwards=False)
        return self.plan.changes(first.back if first else None, second.forth if second else None)

    def losses(self) -> list[DataLoss]:
        """What the switch drops or narrows here. Raises SwitchError as ``changes`` does."""
        from django_devtools.branches.stash.save import is_routed_here

        return [loss for loss in self.changes.lost if is_routed_here(self.connection, loss)]

    def dropped_backwards(self) -> list[DataLoss]:
        """What the first pass drops here, whatever the second one makes anew."""
        from django_devtools.branches.schema.changes import losses
        from django_devtools.branches.stash.save import is_routed_here

        if self.plan is None:
            return []
        history = self.findings.back if self.findings else self.plan.backwards
        return [loss for loss in losses(history) if is_routed_here(self.connection, loss)]

    def rows(self, loss: DataLoss) -> int:
        """How many rows have a value in what is lost. 0 where it is not there."""
        from django_devtools.branches.schema.introspection import Tables

        return count_rows(Tables(self.connection), loss)

    def steps(self) -> list[str]:
        """The migrations of both passes, as entries of the stash name them."""
        from django_devtools.branches.stash.entries import step

        if self.plan is None:
            return []
        unapplied = [step(key, True) for key in self.plan.unapply]
        return unapplied + [step(key, False) for key in self.plan.apply]

    def branch(self) -> str | None:
        """The branch that the database is on, as far as that is known."""
        comparison = self.comparison
        snapshots, here = comparison.provenance.snapshots, comparison.target.past.branch
        if known := branch_of(snapshots, comparison.rows, here):
            return known
        sources = [comparison.held_source(key) for key in (self.plan.unapply if self.plan else ())]
        return next((source.branch for source in sources if source and source.branch), None)

    def restores_midway(self) -> bool:
        """
        Whether rows have to be back before the second pass begins.

        The second pass may alter what they are in. And what was changed in a narrowed column can't
        be told while that column has another name.
        """
        plan = self.plan
        if plan is None or not (plan.unapply and plan.apply) or not self.has_stash:
            return False
        stash, rows = self.stash, self.comparison.rows
        if stash.expected(self.backwards_only().changes, rows):
            return True
        expected = stash.expected(self.changes, rows)
        return any(entry.is_narrowed and not stash.can_tell(entry) for entry in expected)

    def backwards_only(self) -> Decision:
        """The first pass alone."""
        return replace(self, plan=self.plan.backwards_only() if self.plan is not None else None)


def compare_with_target(
    connection: BaseDatabaseWrapper, workspace: Workspace, options: Options
) -> Comparison:
    """Compare a database with the target of ``options``. Raises SnapshotError and TargetError."""
    repository, snapshot_file = workspace.repository, workspace.snapshot_file
    try:
        return compare(connection, repository, snapshot_file, workspace.disk, options.target)
    except NotOurs:
        name = options.target or "default"
        last = snapshot_file.read_managestate(name)
        if last is None:
            raise
        return compare_managestate(connection, repository, workspace.disk, name, last)


def decide(
    connection: BaseDatabaseWrapper, workspace: Workspace, options: Options, comparison: Comparison
) -> Decision:
    """Decide what to do about a comparison. Raises SwitchError where a work tree can't tell."""
    our_tables = _our_tables(connection)
    interrupted = _interrupted(connection, comparison, options) if our_tables else None
    worktree = WorkTree(comparison, options.irreversible, options.stash)
    reruns = options.rerun and bool(comparison.raw_changed)
    plan = None
    if reruns or not comparison.in_step():
        plan = _plan(comparison, worktree, options)
    decision = Decision(
        connection,
        workspace,
        options,
        comparison,
        worktree,
        our_tables,
        interrupted,
        plan,
    )
    if logger.isEnabledFor(logging.DEBUG):
        _log(decision)
    return decision


def count_rows(tables: Tables, loss: DataLoss) -> int:
    """How many rows have a value in what is lost. 0 where it is not there."""
    # Without a table, or a column, nothing is asked: on SQLite, Django parses SQL for it.
    if loss.table not in tables.names:
        return 0
    if loss.column is None:
        return tables.count(loss.table)
    return tables.count(loss.table, loss.column) if tables.has_item(*loss.item) else 0


def _our_tables(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        found = connection.introspection.table_names(cursor)
    # Some servers list names in other cases than they were made with.
    return {name.lower() for name in found if name.lower().startswith(TABLE_PREFIX)}


def _interrupted(
    connection: BaseDatabaseWrapper, comparison: Comparison, options: Options
) -> JournalEntry | None:
    """The migration that is to be finished first."""
    from django_devtools.branches.running.journal import Journal

    journal = Journal(connection)
    entry = journal.entry() if journal.exists() else None
    if entry and _is_settled(entry, comparison, options):
        logger.debug("%s was interrupted, and is settled", _name(entry.key))
        return None
    return entry


def _is_settled(entry: JournalEntry, comparison: Comparison, options: Options) -> bool:
    """Whether someone has finished by hand what was interrupted, or says so."""
    by_hand = (entry.key in comparison.rows) is not entry.backwards
    return by_hand or options.forget_interrupted


def _plan(comparison: Comparison, worktree: WorkTree, options: Options) -> Plan:
    from django_devtools.branches.planning.plan import make_plan

    facts = comparison.facts(comparison.raw_changed if options.rerun else set())
    policy, roll_back_shared = options.irreversible, options.roll_back_shared
    plan = make_plan(facts, policy, roll_back_shared)
    stuck: list[Key] = []
    if policy is Irreversible.KEEP and (findings := worktree.look(plan)):
        stuck = findings.irreversible
        plan = make_plan(facts, policy, roll_back_shared, known_stuck=stuck)
    if roll_back_shared or not plan.questionable:
        return plan
    leave = _filled_questions(comparison.connection, plan)
    return make_plan(facts, policy, leave=leave, known_stuck=stuck) if leave else plan


def _filled_questions(connection: BaseDatabaseWrapper, plan: Plan) -> set[Key]:
    """The questionable migrations whose tables have rows, and the target has these tables, too."""
    from django_devtools.branches.planning.plan import shared_tables
    from django_devtools.branches.schema.changes import DataLoss
    from django_devtools.branches.schema.introspection import Tables

    found = set()
    for key, names in shared_tables(plan).items():
        tables = Tables(connection)
        if any(count_rows(tables, DataLoss(key, key, name)) for name in names):
            found.add(key)
    return found


def _log(decision: Decision) -> None:
    alias, target = decision.connection.alias, decision.comparison.target.title
    if decision.interrupted:
        logger.debug("%s: %s was interrupted", alias, _name(decision.interrupted.key))
    plan = decision.plan
    if plan is None:
        logger.debug("%s: in step with %s", alias, target)
        return
    logger.debug("%s: out of step with %s", alias, target)
    decisions = (
        ("unapply", plan.unapply),
        ("forget", plan.forget),
        ("record", plan.record),
        ("apply", plan.apply),
        ("leave applied, as it can't be unapplied", plan.left_applied),
        ("leave changed, as rolling back would empty what both sides have", plan.not_rolled_back),
        ("refuse, as its source is missing", plan.missing_sources),
    )
    for what, keys in decisions:
        for key in keys:
            state = plan.states.get(key)
            source = decision.comparison.held_source(key)
            trace = decision.comparison.traces.get(key)
            logger.debug(
                "%s: %s: %s (%s; origin: %s; source: %s)",
                alias,
                _name(key),
                what,
                state.value if state else "not in the target",
                trace.origin.name.lower() if trace else "the target",
                source,
            )


def _name(key: Key) -> str:
    return ".".join(key)
