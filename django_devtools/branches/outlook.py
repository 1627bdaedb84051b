"""
Makes the plan of a switch, and tells what that does to data: what it drops, and what comes back.

A database that is in step needs none of this, and ``decision.py`` imports it only for the others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.plan import Plan, is_stuck, make_plan, shared_tables
from django_devtools.branches.planning.policy import Irreversible, Options, Policy, configured
from django_devtools.branches.running.worktree import Inspections, WorkTree
from django_devtools.branches.schema.changes import (
    DataLoss,
    SchemaChanges,
    losses,
    schema_changes,
    unknown_losses,
)
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.structure import Item, structure
from django_devtools.branches.schema.tracker import SchemaHistory
from django_devtools.branches.sources.snapshots import Key, branch_of
from django_devtools.branches.stash.entries import Entry, Step
from django_devtools.branches.stash.returns import (
    Applied,
    AppliedMigration,
    Detour,
    Returns,
    Stage,
    outranked,
)
from django_devtools.branches.stash.save import is_routed_here
from django_devtools.branches.stash.stash import Stash

if TYPE_CHECKING:
    from django_devtools.branches.running.child import Findings
    from django_devtools.branches.stash.detours import Way


class Expected(NamedTuple):
    """What a switch would do with the entries of the stash."""

    restored: list[Entry]
    staying: list[tuple[Entry, str]]
    """Those that stay although the switch makes their place, and why."""


class Outlook:
    """The plan of a switch, and what carrying it out does to the data of one database."""

    def __init__(self, comparison: Comparison, options: Options, inspections: Inspections) -> None:
        """
        Raises SwitchError where a work tree can't tell what can be unapplied.

        And as ``configured`` does, if something can't be.
        """
        self.comparison = comparison
        self.policy = _policy(comparison, options)
        self.worktree = WorkTree(comparison, self.policy, options.stash, inspections)
        self.connection = comparison.connection
        self.stash = Stash(self.connection)
        self.plan = _plan(comparison, self.worktree, self.policy, options)
        if comparison.apart:
            from django_devtools.branches.planning.squashes import with_row_changes

            self.plan = with_row_changes(self.plan, comparison)

    @cached_property
    def findings(self) -> "Findings | None":
        """
        What a work tree says of the first pass, where that can't be imported here.

        Raises SwitchError where a work tree can't tell either.
        """
        return self.worktree.look(self.plan)

    @property
    def irreversible(self) -> Sequence[Key]:
        """What can't be unapplied, and is to be. Raises as ``findings`` does."""
        return self.findings.irreversible if self.findings else self.plan.irreversible

    @property
    def emptied(self) -> Sequence[Key]:
        """What is unapplied with an empty reverse. Raises as ``findings`` does."""
        return self.findings.emptied if self.findings else self.plan.emptied

    @cached_property
    def changes(self) -> SchemaChanges:
        """What becomes of tables and columns. Raises SwitchError where a work tree can't tell."""
        return self.plan.changes(self._history(backwards=True), self._history(backwards=False))

    def pass_changes(self, backwards: bool, state: ProjectState) -> SchemaChanges:
        """
        What becomes of tables and columns in one of the two passes, which is about to begin.

        ``state`` is the one before it. Raises as ``changes``.
        """
        history, nothing = self._history(backwards), SchemaHistory()
        found = schema_changes(history, nothing) if backwards else schema_changes(nothing, history)
        if backwards and self.findings:  # The state lacks what can't be imported here.
            return found
        unknown = unknown_losses(Tables(self.connection), state, history, backwards)
        return found._replace(lost=found.lost + unknown)

    def rest_changes(self, steps: Sequence[Step]) -> SchemaChanges:
        """What becomes of them by ``steps``, the last ones of a pass."""
        keys, nothing = [step.key for step in steps], SchemaHistory()
        if steps[0].backwards:
            return schema_changes(self.plan.unapplied_by(keys), nothing)
        return schema_changes(nothing, self.plan.applied_by(keys))

    def losses(self) -> list[DataLoss]:
        """What the switch drops or narrows here. Raises SwitchError as ``changes`` does."""
        return self._routed_here([*self.changes.lost, *self._unknown])

    @cached_property
    def _unknown(self) -> list[DataLoss]:
        """The columns that no model knows, and that have values, of tables made anew."""
        tables, held = Tables(self.connection), self.plan.held
        if not tables.dialect.rebuilds_tables or self.findings:
            return []
        now = held.state(held.ordered(held.applied_nodes(), self.plan.rows))
        back, forth = self._history(backwards=True), self._history(backwards=False)
        found = unknown_losses(tables, now, back, backwards=True)
        found += unknown_losses(tables, now, forth, backwards=False)
        by_item = {loss.item: loss for loss in reversed(found) if count_rows(tables, loss)}
        return list(by_item.values())

    def dropped_backwards(self) -> list[DataLoss]:
        """What the first pass drops here, whatever the second one makes anew."""
        return self._routed_here(losses(self._history(backwards=True)))

    def rows(self, loss: DataLoss) -> int:
        """How many rows have a value in what is lost. 0 where it is not there."""
        return count_rows(Tables(self.connection), loss)

    def steps(self, backwards: bool) -> tuple[Step, ...]:
        """The steps of one of the two passes."""
        keys, find = self.plan.apply, self.comparison.wanted_source
        if backwards:
            keys, find = self.plan.unapply, self.comparison.held_source
        texts = self.comparison.texts
        return tuple(Step(key, backwards, texts.id(find(key))) for key in keys)

    def applied(self) -> Applied:
        """The migrations that are applied now."""
        return applied_by(self.comparison, self.plan.held.graph.nodes)

    def arrives(self, key: Key) -> AppliedMigration:
        """One of the target's migrations, when it is applied."""
        comparison, nodes = self.comparison, self.plan.wanted.graph.nodes
        return AppliedMigration(
            nodes.get(key) or comparison.target.code.migrations.get(key),
            cache(lambda: comparison.texts.id(comparison.wanted_source(key))),
        )

    def put_together(self, key: Key) -> AppliedMigration:
        """One of the target's squashes, when the rows of its pieces have become its own."""
        comparison = self.comparison
        squash = comparison.apart.planned[key] if comparison.apart else None
        return AppliedMigration(
            squash, cache(lambda: comparison.texts.id(comparison.whole.wanted_source(key)))
        )

    def returns(self) -> Returns:
        """What comes back from the stash in the course of the switch."""
        applied = self.applied()
        final = applied.copy()
        for key, arrives, _ in self._moves():
            final.move(key, arrives)
        branch = self.comparison.target.past.branch
        return Returns(self.stash.entries(), applied, final, branch, self.left)

    @cached_property
    def has_detours(self) -> bool:
        """Whether something comes back by a detour from what is applied now, without a step."""
        returns = self.returns()
        return any(self.find_way(detour, returns.applied) for detour in returns.detours())

    def overdue(self) -> list[Entry]:
        """The entries that wait although what dropped them is undone, and their place there."""
        applied, stash = self.applied(), self.stash
        entries = [entry for entry in stash.entries() if not entry.reason]
        undone = [one for one in entries if applied.stage(one) is not Stage.DROPPED]
        return [one for one in undone if stash.in_place(one)]

    def expected(self) -> Expected:
        """What the switch would do with the stash. Raises SwitchError as ``changes`` does."""
        returns = self.returns()
        found, staying = self._back(returns), []
        empty = outranked(found, [*found, *returns.waiting], self.stash.has_values)
        found = [entry for entry in found if entry not in empty]
        found += filter(self._is_made, self.stash.homeless(self.applied()))
        for entry in self._made_and_waiting(returns):
            if returns.is_own(entry):
                found.append(entry)
            else:
                staying.append((entry, returns.applied.hindrance(entry)))
        return Expected(sorted(found, key=lambda entry: entry.id), staying)

    def _made_and_waiting(self, returns: Returns) -> list[Entry]:
        """The entries that still wait at the end, in ``returns``, where their place is made."""
        again = {entry.id for entry in returns.made_again()}
        waiting = [entry for entry in returns.waiting if not returns.is_dropped_anew(entry)]
        return [entry for entry in waiting if entry.id in again or self._is_made(entry)]

    def find_way(self, detour: Detour, applied: Applied) -> "Way | None":
        """The way of a detour; None if it can't be gone here."""
        from django_devtools.branches.stash.detours import find_way

        return find_way(
            detour,
            applied,
            partial(is_stuck, policy=self.policy),
            self.comparison.target.code.unmigrated_apps,
            self.connection.ops.max_name_length(),
        )

    @property
    def left(self) -> set[Key]:
        """What stays applied and the target's branch does not have."""
        return {*self.plan.left_applied, *self.comparison.target.left}

    def held_branch(self) -> str | None:
        """The branch that the database is on, as far as that is known."""
        comparison = self.comparison
        snapshots, here = comparison.provenance.snapshots, comparison.target.past.branch
        rows, left = comparison.whole.rows, self.left
        without_left = {key: at for key, at in rows.items() if key not in left}
        known = {branch_of(snapshots, one, here) for one in (rows, without_left)} - {None}
        if known:
            # Where one branch has what another one's is beside what was left, it may be either.
            return known.pop() if len(known) == 1 else None
        sources = map(comparison.held_source, self.plan.unapply)
        return next((source.branch for source in sources if source and source.branch), None)

    def _history(self, backwards: bool) -> SchemaHistory:
        """What one of the two passes does to tables and columns."""
        if backwards:
            return self.findings.back if self.findings else self.plan.backwards
        found = self.worktree.look(self.plan, backwards=False)
        return found.forth if found else self.plan.forwards

    def _routed_here(self, lost: Iterable[DataLoss]) -> list[DataLoss]:
        """Those of ``lost`` whose models the routers let migrate in this database."""
        return [loss for loss in lost if is_routed_here(self.connection, loss)]

    def _moves(self) -> Iterator[tuple[Key, AppliedMigration | None, bool]]:
        """What is unapplied and applied in which order, and whether a migration is run for it."""
        plan = self.plan
        yield from ((key, None, True) for key in plan.unapply)
        yield from ((key, None, False) for key in plan.forget)
        yield from ((key, self.arrives(key), False) for key in plan.record)
        yield from ((key, self.arrives(key), True) for key in plan.apply)

    def _back(self, returns: Returns) -> list[Entry]:
        """What comes back before and after each step. ``returns`` is as after all of them then."""
        found = self._back_now(returns)
        for key, arrives, is_step in self._moves():
            returns.applied.move(key, arrives)
            if is_step:
                found += self._back_now(returns)
        return found + returns.after_step()

    def _back_now(self, returns: Returns) -> list[Entry]:
        """What comes back after a step, by detours too."""
        found = returns.after_step()
        for detour in returns.detours():
            if self.find_way(detour, returns.applied):
                found += detour.entries
                returns.remove(detour.entries)
        return found

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
        wanted = self.plan.wanted
        state = wanted.state(wanted.ordered(wanted.graph.nodes))
        return set(structure(state, self.connection.ops.max_name_length()))


def foresee(comparison: Comparison, options: Options, inspections: Inspections) -> Outlook:
    """The outlook, with squashes taken apart where that takes less away from the target."""
    found = Outlook(comparison, options, inspections)
    apps = _apps_dropped_from(found) | _apps_reset(comparison)
    if not apps:
        return found
    from django_devtools.branches.planning.squashes import taken_apart

    apart = taken_apart(comparison, apps)
    if apart is None:
        return found
    other = Outlook(apart, options, inspections)
    return other if _apps_dropped_from(other) | _apps_reset(apart) < apps else found


def _apps_reset(comparison: Comparison) -> set[str]:
    """The apps of which a migration has another text, and others are only here or there."""
    one_sided = {*comparison.traces, *(comparison.wanted.keys() - comparison.rows.keys())}
    return {app for app, _ in comparison.changed} & {app for app, _ in one_sided}


def _apps_dropped_from(outlook: Outlook) -> set[str]:
    """The apps from which a plan would drop what the target has, by migrations it lacks."""
    comparison, plan = outlook.comparison, outlook.plan
    found = {key[0] for key in plan.not_rolled_back if key in comparison.traces}
    if comparison.unusable.keys().isdisjoint(plan.unapply):
        lost = [loss for loss in losses(plan.backwards) if loss.becomes is None]
        found |= {loss.migration[0] for loss in plan.shared_by(lost)}
    # Its names may have changed since.
    return (found & {app for app, _ in plan.apply}) | plan.apps_made_alike()


def applied_by(comparison: Comparison, nodes: Mapping[Key, Migration]) -> Applied:
    """The migrations that a database has applied. ``nodes`` are those that are at hand already."""
    held = {**comparison.held, **nodes}
    moments = {**comparison.rows, **_put_together(comparison)}
    return Applied(
        {
            key: AppliedMigration(held.get(key), cache(partial(_text_of, comparison, key)), at)
            for key, at in moments.items()
        },
        partial(_recorded, comparison),
    )


def _put_together(comparison: Comparison) -> dict[Key, str]:
    """The squashes without a row that count as applied with all that they replace, and when."""
    rows, found = comparison.rows, {}
    for key, migration in comparison.held.items():
        replaced = [(app, name) for app, name in migration.replaces]
        if key not in rows and replaced and rows.keys() >= set(replaced):
            found[key] = max(rows[one] for one in replaced)
    return found


def _recorded(comparison: Comparison, step: Step) -> Migration | None:
    """The migration that the text of a step defines. A squash names what it replaces."""
    texts, apart = comparison.texts, comparison.apart
    squash = None
    if apart and step.text == texts.id(apart.whole.held_source(step.key)):
        squash = apart.held.get(step.key)
    elif apart and step.text == texts.id(apart.whole.wanted_source(step.key)):
        squash = apart.planned.get(step.key)
    return squash or texts.migration(step.key, step.text)


def _text_of(comparison: Comparison, key: Key) -> str:
    if source := comparison.held_source(key):
        return comparison.texts.id(source)
    # The target has a squash in its place.
    record = comparison.provenance.record(key, comparison.rows.get(key, ""))
    return (record.blob if record else None) or ""


def count_rows(tables: Tables, loss: DataLoss) -> int:
    """How many rows have a value in what is lost. 0 where it is not there."""
    # Without a table, or a column, nothing is asked: on SQLite, Django parses SQL for it.
    if loss.table not in tables.names:
        return 0
    if loss.column is None:
        return tables.count(loss.table)
    return tables.count(loss.table, loss.column) if tables.has_item(*loss.item) else 0


def _policy(comparison: Comparison, options: Options) -> Policy:
    """What was typed counts first, then what is remembered, then what is configured."""
    if options.irreversible:
        return Policy(options.irreversible, options.answers)
    remembered = {key: Irreversible(one) for key, one in comparison.answers().items()}
    repository = comparison.provenance.repository
    # Git is asked only where something can't be unapplied.
    return Policy(partial(configured, repository), {**remembered, **options.answers})


def _plan(comparison: Comparison, worktree: WorkTree, policy: Policy, options: Options) -> Plan:
    facts = comparison.facts(comparison.raw_changed if options.rerun else set())
    roll_back_shared = options.roll_back_shared
    plan = make_plan(facts, policy, roll_back_shared)
    stuck = _seen_elsewhere(plan, worktree, policy)
    if stuck:
        plan = make_plan(facts, policy, roll_back_shared, known_stuck=stuck)
    if roll_back_shared or not plan.questionable:
        return plan
    leave = _filled_questions(comparison.connection, plan, worktree)
    return make_plan(facts, policy, leave=leave, known_stuck=stuck) if leave else plan


def _seen_elsewhere(plan: Plan, worktree: WorkTree, policy: Policy) -> list[Key]:
    """
    What is irreversible and may be left, where only a work tree can tell.

    Raises SwitchError where that can't either.
    """
    if not worktree.is_needed(plan.unapply, backwards=True):
        return []
    if all(policy.of(key) is not Irreversible.KEEP for key in plan.unapply):
        return []
    findings = worktree.look(plan)
    return findings.irreversible if findings else []


def _filled_questions(connection: BaseDatabaseWrapper, plan: Plan, worktree: WorkTree) -> set[Key]:
    """
    The questionable migrations whose tables have rows, and the target has these tables, too.

    Raises SwitchError where a work tree can't tell.
    """
    findings = worktree.look(plan)
    found = set()
    for key, names in shared_tables(plan, findings.back if findings else None).items():
        tables = Tables(connection)
        if any(count_rows(tables, DataLoss(key, key, name)) for name in names):
            found.add(key)
    return found
