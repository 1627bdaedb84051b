"""Whatever the way over a tree of branches: the rows at its end are those of the direct way."""

from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.branches.stash.stacks import World
from tests.branches.stash.test_walks import EXAMPLES, PROFILE, vendor_of
from tests.branches.stash.trips import REFUSALS, Traveller, Trip, draw_trip, shorter

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
        rows, stash = expected[leg.line]
        found, more = world.rows(), _more(world.stash(leg.line.branch), stash)
        if (found != rows or more) and not world.notes:
            return f"{leg.line.branch} has {found} instead of {rows}, and in the stash {more}"
    return None


def _more(found: dict[str, list[str]], expected: dict[str, list[str]]) -> list[tuple[str, str]]:
    """
    The tables and columns in the stash that are not there after the direct way.

    By their columns, which have names of their own: on one way a table may have got another name.
    """
    known = {columns for entries in expected.values() for columns in entries}
    return [
        (table, columns)
        for table, entries in found.items()
        for columns in entries
        if columns not in known
    ]


def shortest(trip: Trip, world: World) -> Trip:
    """A part of a trip that still makes a difference."""
    for part in shorter(trip):
        if part.visits and part.way and difference_of(part, world):
            return shortest(part, world)
    return trip
