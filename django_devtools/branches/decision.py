"""
Looks at one database and decides what a switch is to do. Changes nothing.

What forbids it: ``preconditions.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache, cached_property, partial
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
    from django.db.migrations import Migration

    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.running.child import Findings
    from django_devtools.branches.running.journal import JournalEntry
    from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
    from django_devtools.branches.schema.introspection import Tables
    from django_devtools.branches.schema.structure import Item
    from django_devtools.branches.stash.detours import Way
    from django_devtools.branches.stash.entries import Entry, Step
    from django_devtools.branches.stash.returns import (
        Applied,
        AppliedMigration,
        Detour,
        Returns,
    )
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


class Expected(NamedTuple):
    """What a switch would do with the entries of the stash."""

    restored: list[Entry]
    staying: list[tuple[Entry, str]]
    """Those that stay although the switch makes their place, and why."""


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
        from django_devtools.branches.schema.changes import SchemaChanges

        if not self.plan:
            return SchemaChanges([], {}, set(), {})
        first, second = self.findings, self.worktree.look(self.plan, backwards=False)
        return self.plan.changes(first.back if first else None, second.forth if second else None)

    def pass_changes(self, backwards: bool) -> SchemaChanges:
        """What becomes of tables and columns in one of the two passes. Raises as ``changes``."""
        from django_devtools.branches.schema.changes import schema_changes
        from django_devtools.branches.schema.tracker import SchemaHistory

        plan, nothing = self.full_plan, SchemaHistory()
        if backwards:
            history = self.findings.back if self.findings else plan.backwards
            return schema_changes(history, nothing)
        found = self.worktree.look(plan, backwards=False)
        return schema_changes(nothing, found.forth if found else plan.forwards)

    def losses(self) -> list[DataLoss]:
        """What the switch drops or narrows here. Raises SwitchError as ``changes`` does."""
        return self.routed_here(self.changes.lost)

    def routed_here(self, lost: Iterable[DataLoss]) -> list[DataLoss]:
        """Those of ``lost`` whose models the routers let migrate in this database."""
        from django_devtools.branches.stash.save import is_routed_here

        return [loss for loss in lost if is_routed_here(self.connection, loss)]

    def dropped_backwards(self) -> list[DataLoss]:
        """What the first pass drops here, whatever the second one makes anew."""
        from django_devtools.branches.schema.changes import losses

        if self.plan is None:
            return []
        history = self.findings.back if self.findings else self.plan.backwards
        return self.routed_here(losses(history))

    def rows(self, loss: DataLoss) -> int:
        """How many rows have a value in what is lost. 0 where it is not there."""
        from django_devtools.branches.schema.introspection import Tables

        return count_rows(Tables(self.connection), loss)

    def steps(self, backwards: bool) -> tuple[Step, ...]:
        """The steps of one of the two passes."""
        from django_devtools.branches.stash.entries import Step

        plan, find = self.full_plan, self.comparison.wanted_source
        keys = plan.apply
        if backwards:
            keys, find = plan.unapply, self.comparison.held_source
        texts = self.comparison.texts
        return tuple(Step(key, backwards, texts.id(find(key))) for key in keys)

    def applied(self) -> Applied:
        """The migrations that are applied now."""
        from django_devtools.branches.stash.returns import Applied

        held = self.full_plan.held.graph.nodes
        return Applied(
            {key: self._applied(held.get(key), key) for key in self.comparison.rows},
            self._recorded,
        )

    def _applied(self, migration: Migration | None, key: Key) -> AppliedMigration:
        from django_devtools.branches.stash.returns import AppliedMigration

        comparison = self.comparison
        return AppliedMigration(
            migration or comparison.held.get(key),
            cache(lambda: comparison.texts.id(comparison.held_source(key))),
            comparison.rows[key],
        )

    def _recorded(self, step: Step) -> Migration | None:
        """The migration that the text of a step defines. A squash names what it replaces."""
        texts, apart = self.comparison.texts, self.comparison.apart
        if apart and step.text == texts.id(apart.whole.held_source(step.key)):
            squash = apart.held.get(step.key)
        elif apart and step.text == texts.id(apart.whole.wanted_source(step.key)):
            squash = apart.planned.get(step.key)
        else:
            squash = None
        return squash or texts.migration(step.key, step.text)

    def put_together(self, key: Key) -> AppliedMigration:
        """One of the target's squashes, when the rows of its pieces have become its own."""
        from django_devtools.branches.stash.returns import AppliedMigration

        comparison = self.comparison
        squash = comparison.apart.planned[key] if comparison.apart else None
        return AppliedMigration(
            squash, cache(lambda: comparison.texts.id(comparison.whole.wanted_source(key)))
        )

    def arrived(self, key: Key) -> AppliedMigration:
        """One of the target's migrations, when it is applied."""
        from django_devtools.branches.stash.returns import AppliedMigration

        comparison, nodes = self.comparison, self.full_plan.wanted.graph.nodes
        return AppliedMigration(
            nodes.get(key) or comparison.target.code.migrations.get(key),
            cache(lambda: comparison.texts.id(comparison.wanted_source(key))),
        )

    def returns(self) -> Returns:
        """What comes back from the stash in the course of the switch."""
        from django_devtools.branches.stash.returns import Returns

        plan, applied = self.full_plan, self.applied()
        final = applied.copy()
        for key in (*plan.unapply, *plan.forget):
            final.remove(key)
        for key in (*plan.record, *plan.apply):
            final.add(key, self.arrived(key))
        return Returns(self.stash.entries() if self.has_stash else (), applied, final)

    def overdue(self) -> list[Entry]:
        """The entries of the stash whose place is there again, and that no switch restored."""
        if not self.has_stash:
            return []
        applied, stash = self.applied(), self.stash
        entries = [entry for entry in stash.entries() if not entry.reason]
        return [e for e in entries if applied.has_undone_all(e) and stash.in_place(e)]

    def expected(self) -> Expected:
        """What the switch would do with the stash. Raises SwitchError as ``changes`` does."""
        returns = self.returns()
        found = self._back(returns)
        made = [entry for entry in returns.waiting if self._is_made(entry)]
        own = [entry for entry in made if self.is_own(entry)]
        staying = [(e, returns.applied.hindrance(e)) for e in made if not self.is_own(e)]
        return Expected(sorted([*found, *own], key=lambda entry: entry.id), staying)

    def _back(self, returns: Returns) -> list[Entry]:
        """What comes back after each of the steps. ``returns`` is as after all of them then."""
        plan = self.full_plan
        found: list[Entry] = []
        for key in plan.unapply:
            returns.applied.remove(key)
            found += self._back_now(returns)
        for key in plan.forget:
            returns.applied.remove(key)
        for key in plan.record:
            returns.applied.add(key, self.arrived(key))
        for key in plan.apply:
            returns.applied.add(key, self.arrived(key))
            found += self._back_now(returns)
        return found

    def _back_now(self, returns: Returns) -> list[Entry]:
        """What comes back after a step, by detours too."""
        found = returns.after_step()
        for detour in returns.detours():
            if self.find_way(detour, returns.applied):
                found += detour.entries
                returns.remove(detour.entries)
        return found

    def find_way(self, detour: Detour, applied: Applied) -> Way | None:
        """The way of a detour; None if it can't be gone here."""
        from django_devtools.branches.planning.plan import is_stuck
        from django_devtools.branches.stash.detours import find_way

        return find_way(
            detour,
            applied,
            partial(is_stuck, policy=self.options.irreversible),
            self.comparison.target.code.unmigrated_apps,
            self.connection.ops.max_name_length(),
        )

    def is_own(self, entry: Entry) -> bool:
        """Whether an entry is of the branch that the switch goes to."""
        branch = self.comparison.target.past.branch
        return branch is not None and entry.branch == branch

    def _is_made(self, entry: Entry) -> bool:
        """Whether the switch makes the place of an entry, or of a column of it."""
        changes = self.changes
        if entry.is_narrowed:
            return any((entry.table, name) in changes.altered for name in entry.columns)
        if entry.is_table:
            return (entry.table, None) in changes.made
        made = {(entry.table, None), *((entry.table, name) for name in entry.columns)}
        there = self._items_of_target
        is_there = any((entry.table, name) in there for name in entry.columns)
        return is_there and not made.isdisjoint(changes.made)

    @cached_property
    def _items_of_target(self) -> set[Item]:
        """The tables and columns that the target has."""
        from django_devtools.branches.schema.structure import structure

        wanted = self.full_plan.wanted
        state = wanted.state(wanted.ordered(wanted.graph.nodes))
        return set(structure(state, self.connection.ops.max_name_length()))

    def branch(self) -> str | None:
        """The branch that the database is on, as far as that is known."""
        comparison = self.comparison
        snapshots, here = comparison.provenance.snapshots, comparison.target.past.branch
        if known := branch_of(snapshots, comparison.whole.rows, here):
            return known
        sources = [comparison.held_source(key) for key in (self.plan.unapply if self.plan else ())]
        return next((source.branch for source in sources if source and source.branch), None)


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
        if not interrupted and (apart := _taken_apart(comparison, plan, options)):
            comparison, worktree, plan = apart
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


def _taken_apart(
    comparison: Comparison, plan: Plan, options: Options
) -> tuple[Comparison, WorkTree, Plan] | None:
    """The same with squashes taken apart, where that takes less away from the target."""
    apps = _apps_dropped_from(comparison, plan) | _apps_reset(comparison)
    if not apps:
        return None
    from django_devtools.branches.planning.squashes import taken_apart, with_row_changes

    found = taken_apart(comparison, apps)
    if found is None:
        return None
    worktree = WorkTree(found, options.irreversible, options.stash)
    other = _plan(found, worktree, options)
    if not _apps_dropped_from(found, other) | _apps_reset(found) < apps:
        return None
    return found, worktree, with_row_changes(other, found)


def _apps_reset(comparison: Comparison) -> set[str]:
    """The apps of which a migration has another text, and others are only here or there."""
    one_sided = {*comparison.traces, *(comparison.wanted.keys() - comparison.rows.keys())}
    return {app for app, _ in comparison.changed} & {app for app, _ in one_sided}


def _apps_dropped_from(comparison: Comparison, plan: Plan) -> set[str]:
    """The apps from which a plan would drop what the target has, by migrations it lacks."""
    from django_devtools.branches.schema.changes import losses

    found = {key[0] for key in plan.not_rolled_back if key in comparison.traces}
    if comparison.unusable.keys().isdisjoint(plan.unapply):
        lost = [loss for loss in losses(plan.backwards) if loss.becomes is None]
        found |= {loss.migration[0] for loss in plan.shared_by(lost)}
    return found & {app for app, _ in plan.apply}


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
