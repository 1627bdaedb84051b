"""Decides which migrations to unapply and apply. Pure: no database, no git, no clock."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from django.db.migrations import Migration

from django_devtools.branches.schema.changes import DataLoss, SchemaChanges, losses, schema_changes
from django_devtools.branches.schema.operations import irreversible_operations, raw_operations
from django_devtools.branches.schema.structure import Item, structure, tables
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.snapshots import Key

from .classify import Facts, State, Verdicts, classify, graph_by, states_by
from .dependencies import things_made
from .misplaced import applied_on_top, applied_too_early
from .policy import Irreversible, Policy


class Rows(NamedTuple):
    """Rows of django_migrations that change, and nothing with them."""

    forget: Sequence[Key] = ()
    record: Sequence[Key] = ()


NO_ROWS = Rows()


class _Plan(NamedTuple):
    """The fields of a plan."""

    states: Mapping[Key, State]
    held: Graph
    wanted: Graph
    """The target's, and what is left applied beside it."""
    rows: Collection[Key]
    unapply: Sequence[Key] = ()
    """Children first, in the graph ``held``."""
    apply: Sequence[Key] = ()
    """Parents first, in the graph ``wanted``."""
    forget: Sequence[Key] = ()
    """Rows to delete: what they did is there under other names."""
    record: Sequence[Key] = ()
    """Rows to write: what they do is there already."""
    first_rows: Rows = NO_ROWS
    """Rows that change before the first step, as those of a squash that is taken apart."""
    last_rows: Rows = NO_ROWS
    """Rows that change after the last step, as those of what is a squash then."""
    left_applied: Sequence[Key] = ()
    """Irreversible ones, and those that they need: left applied."""
    not_rolled_back: Mapping[Key, list[Key]] = {}
    """
    Changed and remade ones that stay, with what both sides share that would go along.

    Nothing goes along if it stays for the sake of the rows in its tables.
    """
    questionable: Sequence[Key] = ()
    """Changed and remade ones that are unapplied. They must not empty a table unasked."""
    kept: Sequence[Key] = ()
    """Those of ``left_applied`` that are left because the policy says so of them."""
    emptied: Sequence[Key] = ()
    """Irreversible ones that are unapplied as if what they run had an empty reverse."""
    irreversible: Sequence[Key] = ()
    """Those that can't be unapplied, and that the policy does not leave either."""
    missing_sources: Sequence[Key] = ()
    """Phantoms whose source was not found. They can't be unapplied."""
    max_name_length: int | None = None


class Plan(_Plan):
    """The way from what a database holds to what it should hold: two passes and some rows."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.unapply or self.apply or self.forgotten or self.recorded)

    @property
    def forgotten(self) -> list[Key]:
        """All rows that are deleted without running anything."""
        return [*self.first_rows.forget, *self.forget, *self.last_rows.forget]

    @property
    def recorded(self) -> list[Key]:
        """All rows that are written without running anything."""
        return [*self.first_rows.record, *self.record, *self.last_rows.record]

    @property
    def left_as_is(self) -> set[Key]:
        """What the target lacks or has another text of, and the plan leaves as it is."""
        return {*self.left_applied, *self.not_rolled_back}

    def needing(self, left: Key) -> list[Key]:
        """What the policy leaves, and that is why ``left`` is left applied, too."""
        needing = [key for key in self.kept if left in self.held.ancestors([key]) - {key}]
        # What a migration without a source depends on is unknown: it may be anything of its app.
        return needing or [
            key for key in self.kept if key not in self.held.graph.nodes and key[0] == left[0]
        ]

    @cached_property
    def remaining(self) -> list[Key]:
        """The migrations that stay applied after the first pass, in order."""
        keys = self.held.applied_nodes() - set(self.unapply)
        return self.held.ordered(keys, self.rows)

    def is_base(self, keys: Collection[Key]) -> bool:
        """Whether the first pass ends with the models that the target has after ``keys``."""
        if set(self.remaining) != set(keys):
            return False
        held, wanted = self.held.graph.nodes, self.wanted.graph.nodes
        return all(held[key].operations is wanted[key].operations for key in keys)

    def broken_by(self, losses: Iterable[DataLoss]) -> list[DataLoss]:
        """The losses that nothing makes anew, because the target counts as having them."""
        return self._in_target(losses, self.wanted.applied_nodes())

    def made_twice(self, losses: Iterable[DataLoss]) -> list[DataLoss]:
        """The losses that migrations which stay have made as well: under another label, say."""
        losses = list(losses)
        if not losses:
            return []
        stays = set(structure(self.held.state(self.remaining), self.max_name_length))
        # Unapplying brings these names back.
        stays -= set(_older_items(self.backwards))
        return [loss for loss in losses if loss.item in stays]

    def shared_by(self, losses: Iterable[DataLoss]) -> list[DataLoss]:
        """The losses by phantoms that the target has, too."""
        phantoms = [loss for loss in losses if self.states[loss.migration] is State.PHANTOM]
        return self._in_target(phantoms, self.wanted.graph.nodes)

    def apps_made_alike(self) -> set[str]:
        """The apps of which phantoms have made, under any name, what the target makes as well."""
        phantoms = [key for key in self.unapply if self.states[key] is State.PHANTOM]
        held, wanted = self.held.graph.nodes, self.wanted.graph.nodes
        made = things_made(held[key] for key in phantoms)
        return {app for app, *_ in made & things_made(wanted[key] for key in self.apply)}

    def _in_target(self, losses: Iterable[DataLoss], keys: Collection[Key]) -> list[DataLoss]:
        losses = list(losses)
        if not losses or self.is_base(keys):
            return []
        target = self.wanted.state(self.wanted.ordered(keys, self.rows))
        there = set(structure(target, self.max_name_length))
        # Unapplying its removal makes it anew.
        there -= set(structure(self.held.state(self.remaining), self.max_name_length))
        return [loss for loss in losses if (loss.table, loss.column) in there]

    @cached_property
    def backwards(self) -> SchemaHistory:
        """The tables and columns as the migrations to be unapplied have changed them."""
        return self.unapplied_by(self.unapply)

    def unapplied_by(self, unapply: Sequence[Key]) -> SchemaHistory:
        """The same of the last ones of those to be unapplied."""
        return self._track_backwards(unapply, self.remaining)

    def losses_of(self, unapply: Sequence[Key]) -> list[DataLoss]:
        """The tables and columns that unapplying these, children first, would drop or narrow."""
        keys = self.held.applied_nodes() - set(unapply)
        below = self.held.ordered(keys, self.rows)
        return list(losses(self._track_backwards(unapply, below)))

    def _track_backwards(self, unapply: Sequence[Key], below: Sequence[Key]) -> SchemaHistory:
        if not unapply:
            return SchemaHistory()
        migrations = [self.held.graph.nodes[key] for key in reversed(unapply)]
        return track(self.held.state(below), migrations, self.max_name_length)

    @cached_property
    def forwards(self) -> SchemaHistory:
        """The tables and columns as the migrations to be applied will change them."""
        return self.applied_by(self.apply)

    def applied_by(self, apply: Sequence[Key]) -> SchemaHistory:
        """The same of the last ones of those to be applied."""
        if not apply:
            return SchemaHistory()
        applied = self.wanted.applied_nodes() | set(self.apply)
        keys = applied - set(apply)
        migrations = [self.wanted.graph.nodes[key] for key in apply]
        base = self.wanted.state(self.wanted.ordered(keys, self.rows))
        return track(base, migrations, self.max_name_length)

    def recorded_in_order(self) -> list[Key]:
        """The rows to write between the passes, those of parents first."""
        order = {key: at for at, key in enumerate(self.wanted.ordered(self.record, self.rows))}
        return sorted(self.record, key=lambda key: order.get(key, -1))

    def recorded_by(self, record: Sequence[Key]) -> SchemaHistory:
        """What the last ones of these have done to tables and columns."""
        keys = [key for key in record if key in self.wanted.graph.nodes]
        if not keys:
            return SchemaHistory()
        below = self.wanted.applied_nodes() - self.wanted.descendants(keys)
        base = self.wanted.state(self.wanted.ordered(below, self.rows))
        return track(base, [self.wanted.graph.nodes[key] for key in keys], self.max_name_length)

    def changes(
        self, backwards: SchemaHistory | None = None, forwards: SchemaHistory | None = None
    ) -> SchemaChanges:
        """
        The changes of tables and columns by both passes.

        ``backwards`` and ``forwards`` are what a work tree reports of a pass that can't be
        followed here.
        """
        return schema_changes(backwards or self.backwards, forwards or self.forwards)


def _older_items(history: SchemaHistory) -> Iterator[Item]:
    """The tables and columns that a history has touched, by their names before it."""
    touched = [(old, table) for old, (_, table) in history.by_original().items()]
    for name, table in [*touched, *history.dropped.items()]:
        yield name, None
        yield from ((name, column) for column in [*table.by_original(), *table.dropped])


FAIL = Policy(Irreversible.FAIL)


def make_plan(
    facts: Facts,
    policy: Policy = FAIL,
    roll_back_shared: bool = False,
    leave: Collection[Key] = (),
    known_stuck: Collection[Key] = (),
) -> Plan:
    """
    Classify the migrations, and decide what to do about each.

    ``roll_back_shared`` lets changed migrations take along what both sides share. ``leave``
    names changed ones that must not be touched, and ``known_stuck`` irreversible ones whose
    operations don't show it. Raises NodeNotFoundError if the target is broken, and what
    ``policy`` raises.
    """
    verdicts = classify(facts)
    held = graph_by(facts, verdicts)
    missing = verdicts.phantoms - facts.held.keys()
    not_rolled_back = _not_rolled_back(facts, verdicts, held, roll_back_shared, leave)
    seeds = (verdicts.phantoms | verdicts.changed) - missing - not_rolled_back.keys()
    applied = held.applied_nodes()
    seeds |= _misplaced(facts, verdicts, held, seeds, not_rolled_back)
    unapply = held.descendants(seeds) & applied
    stuck = _stuck(held, unapply, policy, known_stuck)
    kept = {key for key in {*stuck, *missing} if policy.of(key) is Irreversible.KEEP}
    left_applied = _left_applied(held, seeds, unapply, kept & stuck, kept & missing)
    unapply -= left_applied
    stuck -= left_applied
    missing -= left_applied
    # Of all that is applied: what lies between two of them decides on their order, too, which is
    # that of the rows, as `Graph.ordered` has it.
    newest_first = held.ordered(applied, facts.rows)[::-1]
    unapplied = _with_replaced(unapply, held)
    wanted = _wanted_after(facts, verdicts, unapplied, _beside(facts, held, left_applied))
    return Plan(
        states=states_by(facts, verdicts),
        held=held,
        wanted=wanted,
        rows=facts.rows,
        unapply=[key for key in newest_first if key in unapply],
        apply=wanted.ordered(set(wanted.graph.nodes) - wanted.applied_nodes()),
        forget=sorted(verdicts.forget - unapplied),
        record=sorted(verdicts.record - unapplied),
        left_applied=sorted(left_applied),
        not_rolled_back=not_rolled_back,
        questionable=sorted((verdicts.changed | verdicts.remade) & unapply),
        kept=sorted(kept),
        emptied=sorted(key for key in unapply - stuck if is_emptied(held.graph.nodes[key])),
        irreversible=sorted(stuck),
        missing_sources=sorted(missing),
        max_name_length=facts.max_name_length,
    )


def _wanted_after(
    facts: Facts,
    verdicts: Verdicts,
    unapplied: Collection[Key],
    beside: Mapping[Key, Migration] | None = None,
) -> Graph:
    """The target's graph between the passes, with what is ``beside`` it in the database."""
    gone = {*unapplied, *verdicts.forget}
    rows = [key for key in (*facts.rows, *verdicts.record) if key not in gone]
    return facts.wanted_graph_after(rows, beside)


def _beside(facts: Facts, held: Graph, left: Collection[Key]) -> dict[Key, Migration]:
    """
    The migrations that are left applied, so that models have what these have made.

    SQLite makes a table anew from its model when a column is added, with no other columns.
    """
    # A squash would take what it replaces out of the target.
    nodes = {key: held.graph.nodes[key] for key in left if key in held.graph.nodes}
    found = {
        key: one for key, one in nodes.items() if key not in facts.wanted and not one.replaces
    }
    known = facts.wanted.keys() | found.keys()
    return {
        key: variant(
            one,
            dependencies=[other for other in one.dependencies if other in known],
            run_before=[],
        )
        for key, one in found.items()
    }


def _misplaced(
    facts: Facts,
    verdicts: Verdicts,
    held: Graph,
    seeds: Collection[Key],
    leave: Collection[Key],
) -> set[Key]:
    """What has to be unapplied with ``seeds`` because a rebase has moved it."""
    as_applied = held
    if facts.moved:
        migrations = {**held.disk_migrations, **facts.moved}
        as_applied = Graph(migrations, facts.rows, facts.unmigrated_apps)
    applied = held.applied_nodes()
    found: set[Key] = set()
    while True:
        unapply = held.descendants({*seeds, *found}) & applied
        wanted = _wanted_after(facts, verdicts, _with_replaced(unapply, held))
        more = applied_too_early(wanted, facts.rows, leave)
        more |= applied_on_top(held, as_applied, unapply, leave)
        if more <= found:
            return found
        found |= more


def _not_rolled_back(
    facts: Facts,
    verdicts: Verdicts,
    held: Graph,
    roll_back_shared: bool,
    leave: Collection[Key],
) -> dict[Key, list[Key]]:
    """What is changed or remade and stays, with what both sides share that would go along."""
    remade = verdicts.remade & verdicts.phantoms & facts.held.keys()
    found = {}
    for key in sorted(verdicts.changed | remade):
        along = held.descendants([key]) & held.applied_nodes()
        shared = {other for other in along if other in facts.wanted} - verdicts.changed
        if key in leave or (shared and not roll_back_shared):
            found[key] = sorted(shared)
    return found


def _stuck(held: Graph, keys: Iterable[Key], policy: Policy, known: Collection[Key]) -> set[Key]:
    """Those of ``keys`` that can't be unapplied."""
    nodes = held.graph.nodes
    return {
        key for key in keys if key in known or policy.leaves(key) or is_stuck(nodes[key], policy)
    }


def _left_applied(
    held: Graph,
    seeds: Collection[Key],
    unapply: Collection[Key],
    stuck: Collection[Key],
    missing: Collection[Key],
) -> set[Key]:
    """What stays because it can't be unapplied, or because something that stays needs it."""
    # What a migration without a source depends on is unknown: it may be anything of its app.
    apps = {app for app, _ in missing}
    needed = {key for key in seeds if key[0] in apps}
    return held.ancestors({*stuck, *needed}) & {*unapply} | {*stuck, *missing}


def is_stuck(migration: Migration, policy: Policy) -> bool:
    """Whether a migration can't be unapplied."""
    found = irreversible_operations(migration)
    if found and policy.of((migration.app_label, migration.name)) is Irreversible.NOOP:
        raw = raw_operations(migration)
        found = [operation for operation in found if operation not in raw]
    return bool(found)


def is_emptied(migration: Migration) -> bool:
    """Whether a migration, if it is unapplied, lacks a reverse of something that it runs."""
    return bool(irreversible_operations(migration))


def shared_tables(plan: Plan, seen: SchemaHistory | None = None) -> dict[Key, set[str]]:
    """
    For each questionable migration, the target's tables that unapplying it would drop.

    ``seen`` is what a work tree reports of the first pass, where that can't be followed here.
    """
    applied = plan.held.applied_nodes()
    state = plan.wanted.state(plan.wanted.ordered(plan.wanted.graph.nodes))
    wanted = tables(state, plan.max_name_length)
    found = {}
    for key in plan.questionable:
        along = plan.held.descendants([key]) & applied
        unapply = [k for k in plan.unapply if k in along]
        lost = plan.losses_of(unapply) if seen is None else losses(seen)
        dropped = {one.table for one in lost if one.migration in along and not one.column}
        if dropped & wanted:
            found[key] = dropped & wanted
    return found


def _with_replaced(keys: Iterable[Key], graph: Graph) -> set[Key]:
    """``keys``, and the rows of what the squashed ones among them replace."""
    found = set(keys)
    for key in list(found):
        found.update((app, name) for app, name in graph.graph.nodes[key].replaces)
    return found
