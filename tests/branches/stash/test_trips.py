"""Whatever the way over a tree of branches: the rows at its end are those of the direct way."""

import re
from collections import Counter
from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.branches.stash.stacks import World
from tests.branches.stash.test_walks import EXAMPLES, PROFILE, vendor_of
from tests.branches.stash.trips import REFUSALS, Arrival, Traveller, Trip, draw_trip, shorter

pytestmark = [pytest.mark.long, pytest.mark.no_cover, pytest.mark.once]


@pytest.mark.timeout(3 * 3600 if PROFILE == "thorough" else 600)
def test_any_way_is_as_good_as_the_direct_one(
    connection: BaseDatabaseWrapper, tmp_path: Path
) -> None:
    world = World(connection, tmp_path / "repository")
    for number in range(EXAMPLES[PROFILE][vendor_of(connection)]):
        trip = draw_trip(number)
        if difference := difference_of(trip, world):
            trip = shortest(trip, world)
            difference = difference_of(trip, world) or difference
            events = "\n".join(world.events)
            pytest.fail(f"trip {number}: {difference}\n{trip}\n{events}")


def difference_of(trip: Trip, world: World) -> str | None:
    """What is not at the end of the way as it is at the end of the direct one."""
    traveller = Traveller(world, trip)
    world.learn({leg.line: None for leg in trip.way})
    try:
        expected = {leg.line: traveller.direct(leg.line) for leg in trip.way}
        traveller.visit()
    except REFUSALS:
        # Where the direct way can't be gone, no other has to.
        return None
    for leg in trip.way:
        try:
            traveller.go(leg)
            world.assert_in_step()
        except (AssertionError, *REFUSALS) as error:
            return f"{leg.line.branch}: {type(error).__name__}: {error}"
        if what := _unsaid(world, expected[leg.line]):
            return f"{leg.line.branch} has {what}"
    return None


def _unsaid(world: World, direct: Arrival) -> str | None:
    """What differs from the direct way in tables that no note names."""
    found = world.rows()
    other = direct.differences(found)
    more = _more(world.stash(world.line.branch), direct.stash)
    names = {*other, *(table for table, _ in more)}
    said = "\n".join(world.notes)
    if all(re.search(rf"\b{name}\b", said) for name in names):
        return None
    return f"{found} instead of {direct.rows}, and in the stash {more}; said: {world.notes}"


def _more(found: dict[str, list[str]], expected: dict[str, list[str]]) -> list[tuple[str, str]]:
    """
    What is in the stash beyond what is there after the direct way.

    By the number of columns: tables and columns may have got other names on one way.
    """
    known = Counter(len(one.split(", ")) for entries in expected.values() for one in entries)
    more = []
    for table, entries in found.items():
        for columns in entries:
            known[len(columns.split(", "))] -= 1
            if known[len(columns.split(", "))] < 0:
                more.append((table, columns))
    return more


def shortest(trip: Trip, world: World) -> Trip:
    """A part of a trip that still makes a difference."""
    for part in shorter(trip):
        if part.visits and part.way and difference_of(part, world):
            return shortest(part, world)
    return trip
