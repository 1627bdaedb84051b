"""What a switch costs, next to the commands that it takes the place of.

Run with ``tox run -e bench``. Each test prints a row: what was compared, the medians of ours and
theirs, the ratio and its bound.
"""

import pytest

from .generate import CYCLE, feature_migrations
from .measure import Times, compare, compare_growth, interleave
from .project import Project, build, build_without_tables

APPS = 50
LONG = 10

BACK = f"back over {feature_migrations(APPS)} migrations"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """500 migrations, and 36 more on branch feature."""
    return build(tmp_path_factory.mktemp("short") / "project", apps=APPS, cycles=1)


@pytest.fixture(scope="module")
def long_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """5,000 migrations."""
    root = tmp_path_factory.mktemp("long") / "project"
    return build_without_tables(root, apps=APPS, cycles=LONG)


@pytest.fixture(scope="module")
def back(project: Project) -> dict[str, Times]:
    """Time all the ways over the 36 migrations side by side."""
    return interleave(
        {
            "before checkout": project.run(
                project.ours("migrations_switch", "main", "--no-input"),
                branch="feature",
                database="feature",
                ends_on="main",
            ),
            "after checkout": project.run(
                project.ours("migrations_switch", "--no-input"),
                branch="main",
                database="feature",
                ends_on="main",
            ),
            "managestate": project.run(
                project.theirs("managestate", "load", "main"),
                branch="feature",
                database="feature",
                ends_on="main",
            ),
            "migrate": project.run(
                project.theirs("migrate"),
                branch="feature",
                database="main",
                ends_on="feature",
            ),
        },
        rounds=5,
    )


@pytest.mark.parametrize("when", ["before checkout", "after checkout"])
def test_back_against_managestate(back: dict[str, Times], when: str) -> None:
    """One switch, against one migrate for each app."""
    what = f"{BACK}, {when} / managestate load"
    compare(what, back[when], back["managestate"], bound=0.33).check()


@pytest.mark.parametrize("when", ["before checkout", "after checkout"])
def test_back_against_migrate_forward(back: dict[str, Times], when: str) -> None:
    """Back, keeping the rows, against Django's own way forward over the same migrations."""
    what = f"{BACK}, {when} / migrate forward"
    compare(what, back[when], back["migrate"], bound=1.2).check()


def test_nothing_to_do(project: Project) -> None:
    """What the hook costs at most of the checkouts, against Django's own look at the database."""
    times = interleave(
        {
            "switch": project.run(
                project.ours("migrations_switch"),
                branch="main",
                database="main",
                ends_on="main",
            ),
            "check": project.run(
                project.theirs("migrate", "--check"),
                branch="main",
                database="main",
                ends_on="main",
            ),
        },
        rounds=15,
    )
    what = f"nothing to do, {APPS * CYCLE} migrations / migrate --check"
    compare(what, times["switch"], times["check"], bound=1.1).check()


def test_growth(project: Project, long_project: Project) -> None:
    """Ten times the history must not cost a switch more than it costs Django."""
    times = interleave(
        {
            f"{size} {name}": at.run(command, branch="main", database="main", ends_on="main")
            for size, at in (("short", project), ("long", long_project))
            for name, command in (
                ("switch", at.ours("migrations_switch")),
                ("check", at.theirs("migrate", "--check")),
            )
        },
        rounds=5,
    )
    compare_growth(
        f"growth, {APPS * CYCLE} to {APPS * CYCLE * LONG} migrations / migrate --check",
        (times["short switch"], times["long switch"]),
        (times["short check"], times["long check"]),
        bound=1.1,
    ).check()
