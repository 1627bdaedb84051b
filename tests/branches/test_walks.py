"""Random walks over random branches end where a database made from nothing would."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis.configuration import set_hypothesis_home_dir

from tests.branches.histories import Branch, Step, Walk, can_migrate, from_nothing, observe, walks
from tests.databases import MAKERS, Configuration
from tests.orders import ORDER, PROJECTS
from tests.project import Project, Zygote

pytestmark = pytest.mark.long

EXAMPLES = {
    "quick": {"sqlite": 3, "postgresql": 1, "mariadb": 1},
    "default": {"sqlite": 8, "postgresql": 3, "mariadb": 3},
    "thorough": {"sqlite": 300, "postgresql": 100, "mariadb": 100},
}
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")


@pytest.fixture(autouse=True)
def _hypothesis_home(tmp_path: Path) -> Iterator[None]:
    # Even without a database of examples, Hypothesis keeps a cache in the current directory.
    set_hypothesis_home_dir(tmp_path / "hypothesis")
    yield
    set_hypothesis_home_dir(None)


@pytest.mark.no_cover
@pytest.mark.parametrize("vendor", MAKERS)
def test_any_walk_ends_as_if_made_from_nothing(
    vendor: str, zygote: Zygote, make_database: Callable[[str], Configuration]
) -> None:
    make_database(vendor)  # skips the test where no such server answers

    @settings(
        max_examples=EXAMPLES[PROFILE][vendor],
        deadline=None,
        database=None,
        derandomize=True,
        # Minutes of shrinking are for those who asked for them.
        phases=[Phase.generate, Phase.shrink] if PROFILE == "thorough" else [Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(walks())
    def walk_around(walk: Walk) -> None:
        with temporary_databases(vendor) as (directory, make):
            project = make_project(directory, walk.branches, make(), zygote)
            expected = {}
            for branch in walk.branches:
                project.checkout(branch.name)
                fresh = make()
                assume(can_migrate(project, fresh))
                expected[branch.name] = from_nothing(project, fresh)
            project.checkout("main")
            project.switch()
            for step in walk.steps:
                take(project, step)
                found = observe(project)
                if found != expected[step.branch]:
                    note(project.manage("migrations_switch", "--plan").stdout)
                assert found == expected[step.branch]

    walk_around()


@contextmanager
def temporary_databases(vendor: str) -> Iterator[tuple[Path, Callable[[], Configuration]]]:
    """A directory and a function that makes databases; both are gone in the end."""
    drops = []
    with tempfile.TemporaryDirectory() as directory:

        def make() -> Configuration:
            configuration, drop = MAKERS[vendor](Path(directory))
            drops.append(drop)
            return configuration

        try:
            yield Path(directory), make
        finally:
            for drop in drops:
                drop()


def make_project(
    directory: Path, branches: tuple[Branch, ...], database: Configuration, zygote: Zygote
) -> Project:
    project = PROJECTS[ORDER].make(directory / "project", {"default": database}, zygote)
    project.settings("from config.apps import APPS\nINSTALLED_APPS += APPS")
    for branch in branches:
        branch.write(project)
    project.checkout("main")
    return project


def take(project: Project, step: Step) -> None:
    """Switch branches as a developer would, by one of the ways there are."""
    if step.snapshot:
        project.manage("migrations_snapshot")
    if step.before_checkout:
        note(project.switch(step.branch))
        project.checkout(step.branch)
    else:
        project.checkout(step.branch)
        note(project.switch())
