"""
Matches applied migrations that the target lacks with pending ones that do the same.

Both histories are walked from the bottom up, app by app. Where the models of an app are the same
after the next few migrations of each, these are a match: a renamed file is one of one with one, a
squash one of several with one. Then the walk goes on above it, so that what others have on top of
a match, or under it in another app, finds the same models on both sides.

What is left may still be the same in another place, as a migration that was renumbered is: those
with the same operations are matched, too. Whether they may change places is for others to decide.
"""

import logging
from collections.abc import Collection, Iterable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    comparable_models,
    hidden_operations,
    only_adds,
    same_operations,
)
from django_devtools.branches.schema.tracker import (
    SchemaHistory,
    makes_something,
    names_after,
    narrowed_and_dropped,
    track,
)
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.snapshots import Key

logger = logging.getLogger("django_devtools.branches")


class Match(NamedTuple):
    """Applied migrations and pending ones that do the same under other names, both in order."""

    held: tuple[Key, ...]
    wanted: tuple[Key, ...]

    @property
    def app(self) -> str:
        """The app that all of them belong to."""
        return self.held[0][0]


class Matches(NamedTuple):
    """What was found."""

    in_order: tuple[Match, ...] = ()
    """From the bottom up: all that they depend on is shared or matched."""
    moved: tuple[Match, ...] = ()
    """Those that have another place in the target's history, each of one with one."""
    agreed: frozenset[Key] = frozenset()
    """The shared ones after which the models of their app are the same on both sides."""


def find_matches(
    held: Graph,
    wanted: Graph,
    candidates: Collection[Key],
    own: Collection[Key] = (),
    unknown: Collection[Key] = (),
    rows: Iterable[Key] = (),
) -> Matches:
    """
    Match ``candidates``, applied in ``held``, with what is pending in ``wanted``.

    Code that ``own`` ones ran does not have to be in their matches: the target had it once. The
    operations of ``unknown`` ones are not known.
    """
    pending = set(wanted.graph.nodes) - wanted.applied_nodes()
    apps = sorted({app for app, _ in candidates} & {app for app, _ in pending})
    if not apps:
        return Matches()
    rows = list(rows)
    order = wanted.ordered(wanted.graph.nodes, rows)
    shared, theirs = split(order, pending)
    _, ours = split(held.ordered(held.applied_nodes(), rows), candidates)
    walk = _Walk(_Side(held, ours, shared), _Side(wanted, theirs, shared), shared, own, unknown)
    try:
        walk.run(apps)
    except Exception as error:  # noqa: BLE001 - an operation may raise anything on a foreign state
        logger.debug("Nothing can be matched: %r", error)
        return Matches()
    return Matches(tuple(walk.found), tuple(walk.moved()), frozenset(walk.agreed))


def split(order: Iterable[Key], chosen: Collection[Key]) -> tuple[list[Key], list[Key]]:
    """Those that are not ``chosen``, and those that are."""
    rest: list[Key] = []
    found: list[Key] = []
    for key in order:
        (found if key in chosen else rest).append(key)
    return rest, found


def _equal(ours: Iterator[Any], theirs: Iterator[Any]) -> Iterator[tuple[int, int]]:
    """The numbers of steps after which both sides are equal, the smallest first."""
    seen: list[Any] = []
    seen_there: list[Any] = []
    for models, others in zip_longest(ours, theirs):
        if models is not None:
            seen.append(models)
            yield from ((len(seen), n) for n, one in enumerate(seen_there, 1) if one == models)
        if others is not None:
            seen_there.append(others)
            yield from ((n, len(seen_there)) for n, one in enumerate(seen, 1) if one == others)


def _can_stand_for(one: SchemaHistory, other: SchemaHistory) -> bool:
    """
    Whether unapplying either undoes both.

    The way back makes a dropped column as narrow as it was in the end, without room for all that
    the other has saved. Where both make something, that is worth more: nothing of it is dropped.
    """
    return makes_something(one) or narrowed_and_dropped(one) == narrowed_and_dropped(other)


class _Side:
    """One of the two histories: how far it was walked, and the models there."""

    def __init__(self, graph: Graph, waiting: list[Key], shared: Collection[Key]) -> None:
        self.graph = graph
        self.waiting = waiting
        """Those without a match, parents first."""
        self.state = ProjectState(real_apps=graph.unmigrated_apps)
        self._reached: set[Key] = set()
        self._fields: dict[int, tuple[object, Any]] = {}
        relevant = {*waiting, *shared}
        self._below = {key: (graph.ancestors([key]) & relevant) - {key} for key in relevant}

    def passes_code(self, key: Key) -> bool:
        """Whether code runs in those below ``key`` that wait, too."""
        below = [self.graph.graph.nodes[k] for k in self.waiting if k in self._below[key]]
        return bool(hidden_operations(below))

    def is_next(self, key: Key, also: Collection[Key] = ()) -> bool:
        """Whether all that ``key`` depends on was reached, or is in ``also``."""
        return self._below[key] <= self._reached.union(also)

    def next_of(self, app: str) -> list[Key]:
        """Those of ``app`` that could be reached now, one after the other."""
        found: list[Key] = []
        for key in self.waiting:
            if key[0] == app and self.is_next(key, found):
                found.append(key)
        return found

    def reach(self, keys: Iterable[Key], graph: Graph | None = None) -> None:
        """Go on to the models after ``keys``, with their texts of ``graph``."""
        for key in keys:
            nodes = (graph or self.graph).graph.nodes
            nodes[key].mutate_state(self.state, preserve=False)
            self._reached.add(key)
        self.waiting = [key for key in self.waiting if key not in self._reached]

    def models_after(self, keys: Iterable[Key], app: str) -> Iterator[Any]:
        """The models of ``app`` after the first of ``keys``, after the second, and so on."""
        state = self.state.clone()
        for key in keys:
            self.graph.graph.nodes[key].mutate_state(state, preserve=False)
            yield comparable_models(state, app, self._fields)


class _Walk:
    def __init__(
        self,
        ours: _Side,
        theirs: _Side,
        shared: list[Key],
        own: Collection[Key],
        unknown: Collection[Key],
    ) -> None:
        self.ours, self.theirs, self.shared = ours, theirs, shared
        self.own, self.unknown = frozenset(own), frozenset(unknown)
        self.found: list[Match] = []
        self.agreed: set[Key] = set()
        self.reached: set[Key] = set()
        """The shared ones that both sides have reached."""

    def run(self, apps: Iterable[str]) -> None:
        """Match until there is nothing more to match in any app."""
        goes_on = True
        self._reach_shared()
        while goes_on:
            goes_on = False
            for app in apps:
                while match := self._next_match(app):
                    self._take(match, app)
                    goes_on = True

    def moved(self) -> Iterator[Match]:
        """Those with the same operations that wait on both sides, for what the other lacks."""
        waiting = list(self.theirs.waiting)
        for key in self.ours.waiting:
            for other in waiting:
                if key[0] == other[0] and self._are_alike(key, other):
                    waiting.remove(other)
                    yield Match((key,), (other,))
                    break

    def _reach_shared(self) -> None:
        for key in self.shared:
            if key not in self.reached and self.theirs.is_next(key):
                held = self.ours.graph
                self.ours.reach([key], held if key in held.graph.nodes else self.theirs.graph)
                self.theirs.reach([key])
                self.reached.add(key)

    def _next_match(self, app: str) -> Match | None:
        """The shortest match of what comes next in ``app``."""
        ours, theirs = self._known(self.ours, app), self._known(self.theirs, app)
        if not ours or not theirs:
            return None
        pairs = _equal(self.ours.models_after(ours, app), self.theirs.models_after(theirs, app))
        for count, other_count in pairs:
            match = Match(tuple(ours[:count]), tuple(theirs[:other_count]))
            if self._do_the_same(match):
                return match
        return None

    def _known(self, side: _Side, app: str) -> list[Key]:
        """What comes next in ``app``, up to the first one whose operations are not known."""
        if any(key[0] == app for key in self.unknown & self.reached):
            return []
        keys = side.next_of(app)
        ends = [index for index, key in enumerate(keys) if key in self.unknown]
        return keys[: ends[0]] if ends else keys

    def _take(self, match: Match, app: str) -> None:
        self.ours.reach(match.held)
        self.theirs.reach(match.wanted)
        self.found.append(match)
        self.agreed |= {key for key in self.reached if key[0] == app}
        self._reach_shared()

    def _do_the_same(self, match: Match) -> bool:
        """Whether code and data, too, come out the same on both sides."""
        ours = [self.ours.graph.graph.nodes[key] for key in match.held]
        theirs = [self.theirs.graph.graph.nodes[key] for key in match.wanted]
        # A squash may leave out what the project calls elidable.
        elide = len(ours) != len(theirs)
        hidden, others = hidden_operations(ours, elide), hidden_operations(theirs, elide)
        is_past = not others and self.own.issuperset(match.held)
        if not (is_past or same_operations(hidden, others)):
            return False
        one, other = track(self.ours.state.clone(), ours), track(self.theirs.state.clone(), theirs)
        # A column that one renames, and the other drops and adds, has the same name in the end.
        return names_after(one) == names_after(other) and _can_stand_for(one, other)

    def _are_alike(self, key: Key, other: Key) -> bool:
        if {key, other} & self.unknown:
            return False
        ours, theirs = self.ours.graph.graph.nodes[key], self.theirs.graph.graph.nodes[other]
        # Code was written for the tables that were there before. It does not notice others.
        passes_code = self.ours.passes_code(key) or self.theirs.passes_code(other)
        if passes_code and not only_adds(ours):
            return False
        return bool(ours.operations) and same_operations(ours.operations, theirs.operations)
