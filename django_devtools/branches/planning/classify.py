"""
Decides what each migration is to the target: applied, pending, phantom, obsolete or changed.

The rules run in this order. Each is a function of that name, which takes the facts and the
verdicts so far and returns the verdicts after it.

1. ``by_origin``: a row that another branch has, or whose source is missing, is a phantom. A row
   that left no trace is obsolete.
2. ``redundant_squash``: if the target has migrations that an applied squash replaces, the row of
   the squash is obsolete on the branch that had it, and is forgotten elsewhere.
3. ``repeated``: a row that left no trace is forgotten if a phantom has done the same again, under
   another name. Whatever undoes the one undoes the other.
4. ``app_removed``: a row of the target's past is obsolete if the target has no migrations of its
   app any more.
5. ``target_has_its_models``: a row of the target's past is obsolete if the target's applied
   migrations lead to the models of the database without it. Nothing in that app is changed then.
6. ``left_behind_by_squash``: rows of the target's past are obsolete if the models of the database
   are the same without them. Neither these two rules nor models say anything of code that is
   pending under another name: it would run twice.
7. ``adopted``: rows of the target's past and phantoms are forgotten, and pending migrations
   recorded, as far as they do the same: under other names, as a squash, or in another place.
8. ``models_unknown``: a row of the target's past is obsolete if the models of the database can't
   be computed.
9. ``made_anew``: any other row of the target's past is a phantom. The target deleted its migration
   to make something else. So did another branch with what the target has, if a phantom creates
   the same tables.
10. ``created_twice``: a phantom is forgotten if it creates what the target's applied migrations
   create, too. Another branch has reset its migrations.
11. ``rerun_on_request``: what the user wants to run again is changed.

"The target's past" is what its branch had once: ``Origin.OWN``. ``sources/provenance.py`` finds
the origins. It also takes a row for one without a trace if the target's own snapshot has it as
obsolete, so that a verdict outlives the history it was based on. ``planning/comparison.py``
compares the texts of migrations that both sides have, and tells which of them are changed.
``planning/matching.py`` finds what does the same under other names.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    comparable_models,
    created_models,
    hidden_operations,
    is_seen_by_state,
    lacks_fields,
    same_models,
    same_operations,
)
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.snapshots import Key

from .dependencies import with_lost_dependencies, with_names
from .matching import Match, Matches, find_matches, split

logger = logging.getLogger("django_devtools.branches")


class State(StrEnum):
    """The relation of a migration to the target."""

    APPLIED = "applied"
    PENDING = "pending"
    PHANTOM = "phantom"
    CHANGED = "changed"
    OBSOLETE = "obsolete"


class _Facts(NamedTuple):
    """The fields of the facts."""

    rows: Collection[Key]
    """The applied migrations, in the order of their rows, with what ``pruned`` ones replace."""
    held: Mapping[Key, Migration]
    """The applied migrations whose source is known, as they were applied."""
    wanted: Mapping[Key, Migration]
    """The target's migrations."""
    origins: Mapping[Key, Origin]
    """The origin of each row that is not in ``wanted``."""
    changed: Collection[Key] = ()
    """Those in both whose effect on the schema differs."""
    moved: Mapping[Key, Migration] = {}
    """Those of which the dependencies differ and the effect does not, as they were applied."""
    rerun: Collection[Key] = ()
    """Those to unapply and apply anew because the user asked for it."""
    unusable: Collection[Key] = ()
    """Held ones whose operations are not known, because their text can't be executed here."""
    unusable_wanted: Collection[Key] = ()
    """The target's migrations of which the same is true."""
    replacing: Collection[Key] = ()
    """Held ones by which another branch replaced what is pending: tables that both have."""
    pruned: Collection[Key] = ()
    """The target's squashes that have a row, while what they replace has none any more."""
    unmigrated_apps: Collection[str] = ()
    is_complete: bool = True
    """Whether ``wanted`` is broken if it lacks something that its migrations depend on."""
    max_name_length: int | None = None


class Facts(_Facts):
    """All that the rules need to know. Graphs and models are computed once."""

    @cached_property
    def unwritten(self) -> frozenset[Key]:
        """Those of ``rows`` that have none, because a squash in ``pruned`` has done their work."""
        return frozenset(
            (app, name) for key in self.pruned for app, name in self.wanted[key].replaces
        )

    @cached_property
    def redundant_squashes(self) -> frozenset[Key]:
        """
        Rows of squashed migrations, of which the target has some in their long form.

        The rest of the long form, which the target lacks, are phantoms in their own right. So
        nothing unapplies the squash as a whole.
        """
        rows = set(self.rows)
        shared = rows & self.wanted.keys()
        found = set()
        for key in self.origins.keys() & self.held.keys():
            replaced = {(app, name) for app, name in self.held[key].replaces}
            if replaced & shared and replaced <= rows:
                found.add(key)
        return frozenset(found)

    @cached_property
    def held_graph(self) -> Graph:
        """The graph of the held migrations, with stand-ins for redundant squashes."""
        return Graph(self.held_in_graph, self.rows, self.unmigrated_apps)

    @cached_property
    def held_in_graph(self) -> Mapping[Key, Migration]:
        """The held migrations in their order, with stand-ins for redundant squashes."""
        held = dict(self.held)
        for key in self.redundant_squashes:
            held[key] = _stand_in(held[key])
        return with_lost_dependencies(held, self.moved)

    @cached_property
    def wanted_graph(self) -> Graph:
        """The target's graph, with the rows applied. Raises NodeNotFoundError if it is broken."""
        return self.wanted_graph_after(self.rows)

    def wanted_graph_after(
        self, applied: Collection[Key], beside: Mapping[Key, Migration] | None = None
    ) -> Graph:
        """The target's graph, and others ``beside`` it, with ``applied`` applied."""
        migrations = {**self.wanted, **(beside or {})}
        return Graph(migrations, applied, self.unmigrated_apps, self.is_complete)

    @cached_property
    def pending(self) -> frozenset[Key]:
        """The target's migrations that are not applied."""
        graph = self.wanted_graph
        return frozenset(set(graph.graph.nodes) - graph.applied_nodes())

    def held_models(self, keys: Collection[Key]) -> ProjectState | None:
        """The models after the held migrations ``keys``; None if they don't add up to any."""
        found = frozenset(keys)
        if found not in self._held_models:
            self._held_models[found] = self._models(self.held_graph, found)
        return self._held_models[found]

    @cached_property
    def _held_models(self) -> dict[frozenset[Key], ProjectState | None]:
        return {}

    def runs_again(self, key: Key) -> bool:
        """Whether a pending migration of another name runs the same code as an applied one."""
        held = self.held.get(key)
        if held is None or not hidden_operations([held]):
            return False
        nodes = self.wanted_graph.graph.nodes
        others = [nodes[other].operations for other in self.pending if other[0] == key[0]]
        return any(same_operations(held.operations, other) for other in others)

    @cached_property
    def shared_models(self) -> ProjectState | None:
        """The models after those of the target's migrations that are applied."""
        return self._models(self.wanted_graph, self.wanted_graph.applied_nodes())

    @cached_property
    def wanted_models(self) -> ProjectState | None:
        """The models after all of the target's migrations."""
        return self._models(self.wanted_graph, set(self.wanted_graph.graph.nodes))

    def _models(self, graph: Graph, keys: Collection[Key]) -> ProjectState | None:
        if any(key in self.unusable for key in keys):
            return None
        try:
            return graph.state(graph.ordered(keys, self.rows))
        except Exception:  # noqa: BLE001 - an operation may raise anything on a foreign state
            return None

    def in_step(self) -> bool:
        """Whether there is nothing to do, as far as that shows without building any graph."""
        is_explained = all(origin is Origin.UNKNOWN for origin in self.origins.values())
        is_as_wanted = not (self.changed or self.rerun or self.pruned)
        return is_explained and is_as_wanted and self.wanted.keys() <= set(self.rows)


class Verdicts(NamedTuple):
    """The decisions of the rules so far."""

    phantoms: frozenset[Key] = frozenset()
    obsolete: frozenset[Key] = frozenset()
    changed: frozenset[Key] = frozenset()
    remade: frozenset[Key] = frozenset()
    """Phantoms that the target, or the branch they come from, made something else of."""
    forget: frozenset[Key] = frozenset()
    """Rows to delete: what they did is there under other names."""
    record: frozenset[Key] = frozenset()
    """Rows to write: what they do is there already."""
    superseded: frozenset[Key] = frozenset()
    """Rows whose work the target's migrations have done, too: not part of any state."""
    matches: frozenset[Match] = frozenset()
    """The rows to forget for whose work rows are recorded, with these."""
    agreed: frozenset[Key] = frozenset()
    """Those that are not changed any more because what has a match makes up for it."""


Rule = Callable[[Facts, Verdicts], Verdicts]


def classify(facts: Facts) -> Verdicts:
    """Run the rules. Raises NodeNotFoundError if the target is broken."""
    rules: tuple[Rule, ...] = (
        by_origin,
        redundant_squash,
        repeated,
        app_removed,
        target_has_its_models,
        left_behind_by_squash,
        adopted,
        models_unknown,
        made_anew,
        created_twice,
        rerun_on_request,
    )
    verdicts = Verdicts()
    history = []
    for rule in rules:
        verdicts = rule(facts, verdicts)
        history.append((rule, verdicts))
    if logger.isEnabledFor(logging.DEBUG):
        _log(facts, history)
    return verdicts


def states(facts: Facts) -> dict[Key, State]:
    """The state of each migration, applied or wanted. Raises NodeNotFoundError as ``classify``."""
    if facts.in_step():
        obsolete = dict.fromkeys(facts.origins, State.OBSOLETE)
        return dict.fromkeys(facts.rows, State.APPLIED) | obsolete
    return states_by(facts, classify(facts))


def states_by(facts: Facts, verdicts: Verdicts) -> dict[Key, State]:
    """The state of each migration according to ``verdicts``."""
    found = {key: State.APPLIED for key in facts.rows if key not in facts.unwritten}
    # As Django sees it.
    found |= dict.fromkeys([*facts.pending, *facts.pruned], State.PENDING)
    found |= dict.fromkeys(verdicts.changed, State.CHANGED)
    found |= dict.fromkeys(verdicts.phantoms | verdicts.forget, State.PHANTOM)
    found |= dict.fromkeys(verdicts.obsolete, State.OBSOLETE)
    return found


def states_after_switch(
    rows: Iterable[Key], wanted: Collection[Key], left: Collection[Key]
) -> dict[Key, State]:
    """
    The state of each row that a switch ends with.

    A row that the target lacks is obsolete, unless the switch has ``left`` it as it was.
    """
    found = {}
    for key in rows:
        if key in wanted:
            found[key] = State.APPLIED
        elif key in left:
            found[key] = State.PHANTOM
        else:
            found[key] = State.OBSOLETE
    return found


def graph_by(facts: Facts, verdicts: Verdicts) -> Graph:
    """
    The graph of the held migrations according to ``verdicts``.

    It has no superseded ones, and the target's text of those that are unchanged without them. What
    depends on a migration to record depends on those that are forgotten for it.
    """
    unchanged = set(facts.changed) - verdicts.changed - verdicts.agreed
    if not (verdicts.superseded or unchanged or verdicts.matches):
        return facts.held_graph
    held = dict(facts.held_in_graph)
    for key in verdicts.superseded:
        held.pop(key, None)
    held |= {key: facts.wanted[key] for key in unchanged & held.keys()}
    held = _with_dependencies(held, facts.wanted_graph.graph.nodes, verdicts.matches)
    return Graph(held, facts.rows, facts.unmigrated_apps)


def _with_dependencies(
    held: Mapping[Key, Migration], wanted: Mapping[Key, Migration], matches: Iterable[Match]
) -> dict[Key, Migration]:
    """``held``, with the dependencies that the target has, by the names in ``held``."""
    places: dict[Key, Collection[Key]] = {
        key: match.held for match in matches for key in match.wanted
    }
    found = dict(held)
    for match in matches:
        if len(match.held) == len(match.wanted) == 1:
            (key,), (other,) = match.held, match.wanted
            found[key] = variant(held[key], dependencies=wanted[other].dependencies)
    return with_names(found, places)


def by_origin(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Begin with what the origin of each row says."""
    return verdicts._replace(
        phantoms=_with_origin(facts, Origin.OTHER, Origin.MISSING),
        obsolete=_with_origin(facts, Origin.UNKNOWN),
        changed=frozenset(facts.changed),
        # A squash whose replaced migrations are all applied counts as applied without a row.
        record=facts.unwritten | (facts.wanted_graph.applied_nodes() - set(facts.rows)),
    )


def redundant_squash(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Never unapply a squash if the target has migrations that it replaces."""
    squashes = facts.redundant_squashes
    own = squashes & _with_origin(facts, Origin.OWN)
    return verdicts._replace(
        phantoms=verdicts.phantoms - squashes,
        obsolete=verdicts.obsolete | own,
        forget=verdicts.forget | (squashes - own),
    )


def repeated(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Forget the rows that left no trace, and whose work phantoms have done again."""
    places = {key: place for place, key in enumerate(facts.rows)}
    later = verdicts.phantoms & facts.held.keys()
    again = frozenset(
        key
        for key in verdicts.obsolete & facts.held.keys()
        if any(
            places[other] > places[key] and _is_repeated(facts.held[key], facts.held[other])
            for other in _of_app(later, key[0])
        )
    )
    return verdicts._replace(
        obsolete=verdicts.obsolete - again,
        forget=verdicts.forget | again,
        superseded=verdicts.superseded | again,
    )


def _is_repeated(migration: Migration, other: Migration) -> bool:
    # Most differ at the first glance, and an app may have hundreds of each.
    kinds, others = (list(map(type, one.operations)) for one in (migration, other))
    if not kinds or kinds != others:
        return False
    return same_operations(migration.operations, other.operations)


def app_removed(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Leave alone the rows of an app that the target has taken out."""
    apps = {app for app, _ in facts.wanted}
    past = _own_past(facts, verdicts)
    gone = [key for app, keys in past.items() if app not in apps for key in keys]
    return verdicts._replace(obsolete=verdicts.obsolete.union(gone))


def target_has_its_models(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Leave alone the rows of the past whose work the target's applied migrations do."""
    past = _own_past(facts, verdicts)
    apps = past.keys() | {app for app, _ in verdicts.changed}
    if not apps:
        return verdicts
    now = _models_without_phantoms(facts, verdicts)
    for app in apps:
        if _same_models(now, facts.shared_models, app):
            keys = [key for key in past.get(app, []) if not facts.runs_again(key)]
            keys = _without_pending(facts, verdicts, keys)
            verdicts = verdicts._replace(
                obsolete=verdicts.obsolete.union(keys),
                superseded=verdicts.superseded.union(keys),
                changed=verdicts.changed - _of_app(verdicts.changed, app),
            )
    return verdicts


def left_behind_by_squash(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Leave alone the oldest rows of the past, as many as the models don't need."""
    past = _own_past(facts, verdicts)
    behind = [key for app in past for key in _left_behind(facts, verdicts, app, past[app])]
    behind = _without_pending(facts, verdicts, behind)
    return verdicts._replace(
        obsolete=verdicts.obsolete.union(behind),
        superseded=verdicts.superseded.union(behind),
    )


def _without_pending(facts: Facts, verdicts: Verdicts, keys: list[Key]) -> list[Key]:
    """``keys`` but for those that are pending under other names, as they may undo each other."""
    matches = _matches(facts, verdicts).in_order if keys else ()
    pending = {key for match in matches for key in match.held}
    return [key for key in keys if key not in pending]


def adopted(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Rename the rows of what the target does under other names, as far as that goes."""
    matches = _matches(facts, verdicts)
    found = [*matches.in_order, *matches.moved]
    while found:
        renamed = _rename_rows(facts, verdicts, found, matches.agreed)
        doubtful = _apps_that_differ(facts, renamed)
        if not doubtful:
            return renamed
        moved = [match for match in found if match in matches.moved and match.app in doubtful]
        found = [
            match for match in found if match not in moved and (moved or match.app not in doubtful)
        ]
    return verdicts


def models_unknown(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Leave alone the rows of the past that can't be compared."""
    past = _own_past(facts, verdicts)
    if not past or _models_without_phantoms(facts, verdicts) is not None:
        return verdicts
    return verdicts._replace(obsolete=verdicts.obsolete.union(*past.values()))


def made_anew(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Unapply the rest of the past, and what another branch has replaced."""
    remade = {key for keys in _own_past(facts, verdicts).values() for key in keys}
    remade |= verdicts.phantoms.intersection(facts.replacing)
    return verdicts._replace(
        phantoms=verdicts.phantoms.union(remade),
        remade=verdicts.remade.union(remade),
    )


def created_twice(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Forget the phantoms that only create models which are there without them, too."""
    applied = facts.held_graph.applied_nodes()
    for app in sorted({app for app, _ in verdicts.phantoms}):
        doubles = _doubles(facts, verdicts, app)
        if not doubles:
            continue
        now, without = facts.held_models(applied), facts.held_models(applied - doubles)
        if _same_models(now, without, app):
            verdicts = verdicts._replace(
                phantoms=verdicts.phantoms - doubles,
                forget=verdicts.forget | doubles,
                superseded=verdicts.superseded | doubles,
            )
    return verdicts


def rerun_on_request(facts: Facts, verdicts: Verdicts) -> Verdicts:
    """Count the migrations that the user wants to run again as changed."""
    return verdicts._replace(changed=verdicts.changed.union(facts.rerun))


def _with_origin(facts: Facts, *origins: Origin) -> frozenset[Key]:
    return frozenset(key for key, origin in facts.origins.items() if origin in origins)


def _own_past(facts: Facts, verdicts: Verdicts) -> dict[str, list[Key]]:
    """The rows of the target's past on which no rule has decided yet, by app."""
    decided = verdicts.phantoms | verdicts.obsolete | verdicts.forget
    found: dict[str, list[Key]] = {}
    for key in facts.rows:
        if facts.origins.get(key) is Origin.OWN and key not in decided:
            found.setdefault(key[0], []).append(key)
    return found


def _without_phantoms(facts: Facts, verdicts: Verdicts) -> set[Key]:
    graph = facts.held_graph
    return graph.applied_nodes() - graph.descendants(verdicts.phantoms)


def _models_without_phantoms(facts: Facts, verdicts: Verdicts) -> ProjectState | None:
    return facts.held_models(_without_phantoms(facts, verdicts))


def _same_models(one: ProjectState | None, other: ProjectState | None, app: str) -> bool:
    return one is not None and other is not None and same_models(one, other, app)


def _matches(facts: Facts, verdicts: Verdicts) -> Matches:
    """What is applied, and what is pending, and does the same under other names."""
    past = {key for keys in _own_past(facts, verdicts).values() for key in keys}
    # What a migration without a source depends on is unknown: it may be anything of its app.
    unknown_apps = {app for app, _ in verdicts.phantoms - facts.held.keys()}
    candidates = {
        key
        for key in (verdicts.phantoms | past) & facts.held_graph.applied_nodes()
        if key[0] not in unknown_apps
    }
    if not candidates:
        return Matches()
    unknown = {*facts.unusable, *facts.unusable_wanted}
    return find_matches(
        facts.held_graph, facts.wanted_graph, candidates, past, unknown, facts.rows
    )


def _rename_rows(
    facts: Facts, verdicts: Verdicts, matches: Iterable[Match], agreed: Collection[Key]
) -> Verdicts:
    """Forget one side of the ``matches``, and record the other."""
    matches = list(matches)
    forget = {row for match in matches for row in _rows_of(match.held, facts.held)}
    forget &= facts.origins.keys()
    record = {row for match in matches for row in _rows_of(match.wanted, facts.wanted)}
    apps = {match.app for match in matches}
    unchanged = verdicts.changed.intersection(key for key in agreed if key[0] in apps)
    return verdicts._replace(
        phantoms=verdicts.phantoms - forget,
        forget=verdicts.forget | forget,
        record=verdicts.record.union(record.difference(facts.rows)),
        changed=verdicts.changed - unchanged,
        matches=frozenset(matches),
        agreed=unchanged,
    )


def _rows_of(keys: Iterable[Key], migrations: Mapping[Key, Migration]) -> set[Key]:
    """``keys``, and the rows of what the squashed ones among them replace."""
    found: set[Key] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        found.add(key)
        if key in migrations:
            waiting += [(app, name) for app, name in migrations[key].replaces]
    return found


def _apps_that_differ(facts: Facts, verdicts: Verdicts) -> set[str]:
    """
    The apps with matches whose models would not be the target's.

    What was below a match may be unapplied or applied with the match in its place. That is right
    if it leads to the same models as doing all of it in order.
    """
    apps = {match.app for match in verdicts.matches}
    try:
        return set(_differing(facts, verdicts, apps))
    except Exception as error:  # noqa: BLE001 - an operation may raise anything on a foreign state
        logger.debug("The models after a change of rows are not known: %r", error)
        return apps


def _differing(facts: Facts, verdicts: Verdicts, apps: Collection[str]) -> Iterator[str]:
    held = graph_by(facts, verdicts)
    order = held.ordered(held.applied_nodes(), facts.rows)
    unapplied = _to_unapply(facts, verdicts, held)
    remaining, again = split(order, unapplied)
    rows = {*facts.rows, *verdicts.record} - verdicts.forget - _rows_of(unapplied, facts.held)
    wanted = facts.wanted_graph_after(rows)
    applied = wanted.ordered(wanted.applied_nodes(), facts.rows)
    rest = wanted.ordered(set(wanted.graph.nodes).difference(applied), facts.rows)
    ours, theirs = held.state(remaining), wanted.state(applied)
    if _lack_fields(ours, held, again) or _lack_fields(theirs, wanted, rest):
        yield from apps
        return
    equal = [
        (ours, theirs),
        (held.state(remaining + again), held.state(order)),
        (wanted.state(applied + rest), facts.wanted_models),
    ]
    lost = {app for app, _ in unapplied & verdicts.forget}
    for app in apps:
        if app in lost or not all(_same_models(one, other, app) for one, other in equal):
            yield app


def _lack_fields(base: ProjectState, graph: Graph, keys: Iterable[Key]) -> bool:
    return lacks_fields(base, [graph.graph.nodes[key] for key in keys])


def _to_unapply(facts: Facts, verdicts: Verdicts, held: Graph) -> set[Key]:
    """What can't stay applied according to ``verdicts``, or may not."""
    undecided = frozenset().union(*_own_past(facts, verdicts).values())
    seeds = verdicts.phantoms | verdicts.changed | undecided
    return held.descendants(seeds) & held.applied_nodes()


def _left_behind(facts: Facts, verdicts: Verdicts, app: str, keys: list[Key]) -> list[Key]:
    """The longest beginning of ``keys`` without which the models of ``app`` are the same."""
    nodes = _without_phantoms(facts, verdicts)
    keys = [key for key in keys if not facts.runs_again(key)]
    now = facts.held_models(nodes)
    if now is None:
        return []
    known: dict[int, tuple[object, Any]] = {}
    models = comparable_models(now, app, known)
    for count in range(len(keys), 0, -1):
        without = facts.held_models(nodes.difference(keys[:count]))
        if without and comparable_models(without, app, known) == models:
            return keys[:count]
    return []


def _doubles(facts: Facts, verdicts: Verdicts, app: str) -> set[Key]:
    """The phantoms that create a model which an applied migration of the target creates, too."""
    graph = facts.wanted_graph
    shared = [graph.graph.nodes[key] for key in _of_app(graph.applied_nodes(), app)]
    created = created_models(shared)
    found = set()
    for key in _of_app(verdicts.phantoms, app) & facts.held.keys():
        migration = facts.held[key]
        if created & created_models([migration]) and is_seen_by_state(migration):
            found.add(key)
    return found


def _of_app(keys: Iterable[Key], app: str) -> frozenset[Key]:
    return frozenset(key for key in keys if key[0] == app)


def _stand_in(squash: Migration) -> Migration:
    """A migration that keeps the place of a squash in the graph, after what it replaces."""
    dependencies = [(app, name) for app, name in squash.replaces]
    return variant(Migration(squash.name, squash.app_label), dependencies=dependencies)


def _log(facts: Facts, history: Iterable[tuple[Rule, Verdicts]]) -> None:
    """Say of each migration what it is, and which rule was the last to decide on it."""
    rules: dict[Key, str] = {}
    before = after = Verdicts()
    for rule, after in history:
        for was, now in zip(before, after, strict=True):
            touched: set[Any] = {*was} ^ {*now}
            rules |= dict.fromkeys(touched, rule.__name__)
        before = after
    for key, state in sorted(states_by(facts, after).items()):
        origin = facts.origins.get(key)
        logger.debug(
            "%s.%s is %s (origin: %s; rule: %s)",
            *key,
            state,
            origin.value if origin else "the target has it",
            rules.get(key, "none"),
        )
