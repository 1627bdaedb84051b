"""Whatever branches do to the schema: their rows are there again when the branch is."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.branches.stash.histories import Walk, walks
from tests.branches.stash.worlds import World, schema
from tests.databases import MAKERS

pytestmark = [pytest.mark.long, pytest.mark.no_cover]

EXAMPLES = {
    "quick": {"sqlite": 10, "postgresql": 3, "mariadb": 2},
    "default": {"sqlite": 50, "postgresql": 20, "mariadb": 10},
    "thorough": dict.fromkeys(MAKERS, 500),
}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
SEED = 1


@pytest.fixture(autouse=True)
def _hypothesis_home(tmp_path: Path) -> Iterator[None]:
    # Even without a database of examples, Hypothesis keeps a cache in the current directory.
    set_hypothesis_home_dir(tmp_path / "hypothesis")
    yield
    set_hypothesis_home_dir(None)


# All of `thorough` takes longer than a test may: give pytest -o faulthandler_timeout=10800, too.
@pytest.mark.timeout(3 * 3600 if PROFILE == "thorough" else 600)
def test_rows_are_there_again(connection: BaseDatabaseWrapper, tmp_path: Path) -> None:
    @settings(
        max_examples=EXAMPLES[PROFILE][vendor_of(connection)],
        deadline=None,
        database=None,
        # Minutes of shrinking are for those who asked for them.
        phases=[Phase.generate, Phase.shrink] if PROFILE == "thorough" else [Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    # A number of its own, so that the walks don't change with the name of this file.
    @seed(SEED)
    @given(walks())
    def walk_around(walk: Walk) -> None:
        world = World(connection, walk, tmp_path / "snapshots")
        for name in (walk.there, walk.here):
            shutil.rmtree(world.directory, ignore_errors=True)
            world.directory.mkdir()
            empty(connection)
            world.go(name)
            world.schemas[name] = schema(connection)
        there_and_back(world)

    walk_around()


def there_and_back(world: World) -> None:
    walk = world.walk
    try:
        world.fill()
        world.go(walk.there)
        world.arrive()
        world.fill()
        world.go(walk.here)
        world.arrive()
        world.go(walk.there)
        world.arrive()
        world.edit()
        world.go(walk.here)
        world.arrive(was_edited=True)
    except BaseException:
        note("\n".join(world.events))
        raise


def vendor_of(connection: BaseDatabaseWrapper) -> str:
    return "mariadb" if connection.vendor == "mysql" else connection.vendor


def empty(connection: BaseDatabaseWrapper) -> None:
    """Drop all tables."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET client_min_messages = warning")
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            return
        names = connection.introspection.table_names(cursor)
        off, on = ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON")
        if connection.vendor == "mysql":
            off, on = ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1")
        cursor.execute(off)
        for name in names:
            cursor.execute(f"DROP TABLE {connection.ops.quote_name(name)}")
        cursor.execute(on)
