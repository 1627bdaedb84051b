"""What a small project pays: there, starting Django is most of what a command takes.

Run with ``tox run -e bench``. Theirs is ``manage.py check`` or ``migrate --check`` on the same
project without django_devtools: what no command of Django's can do without.
"""

from functools import partial

import pytest

from .generate import feature_migrations, git
from .measure import Run, Times, compare, interleave
from .project import NO_HOOKS, Project, build

APPS = 4
OVER = f"over {feature_migrations(APPS)} migrations"


UNGUARDED = """
from .settings import *
from django_devtools.branches import receivers
receivers._guard = lambda connection, plan: None
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """40 migrations, and three more on branch feature, with the hooks installed."""
    project = build(tmp_path_factory.mktemp("small") / "project", apps=APPS, cycles=1)
    project.restore("feature", "feature")
    project.install_hook()
    project.see_that_feature_is_in_step()
    return project


@pytest.fixture(scope="module")
def times(project: Project) -> dict[str, Times]:
    """Time a switch back to main, typed and called by the hook, beside Django's own commands."""
    on_main = partial(project.run, branch="main", ends_on="main")
    checkout = ["git", "checkout", "--quiet", "main"]
    return interleave(
        {
            "switch": _on_checked_out_main(project),
            "checkout": project.run(
                checkout, branch="feature", database="feature", ends_on="main"
            ),
            "nothing": on_main(project.ours("migrations_switch"), database="main"),
            "check": on_main(project.theirs("check"), database="main"),
            "migrate --check": on_main(project.theirs("migrate", "--check"), database="main"),
        },
        rounds=15,
    )


def test_a_switch_against_check(times: dict[str, Times]) -> None:
    """The switch has to save, drop and bring into step while Django only starts."""
    what = f"a switch {OVER} / check"
    compare(what, times["switch"], times["check"], bound=1.25).check()


def test_a_checkout_against_check(times: dict[str, Times]) -> None:
    """The same by ``git checkout`` with the hook."""
    what = f"git checkout with the hook, {OVER} / check"
    compare(what, times["checkout"], times["check"], bound=1.35).check()


def test_nothing_to_do(times: dict[str, Times]) -> None:
    """A switch that finds out that there is nothing to do."""
    what = "nothing to do, a small project / migrate --check"
    compare(what, times["nothing"], times["migrate --check"], bound=1.0).check()


@pytest.fixture(scope="module")
def migrates(project: Project) -> dict[str, Times]:
    """Time plain ``migrate`` with the guard, without it, and without django_devtools."""
    (project.root / "config/unguarded.py").write_text(UNGUARDED)
    unguarded = project.ours("migrate", "--settings=config.unguarded")
    commands = {"guarded": project.ours("migrate"), "unguarded": unguarded}
    commands["theirs"] = project.theirs("migrate")
    runs = {}
    for name, command in commands.items():
        for branch in ("main", "feature"):
            run = project.run(command, branch=branch, database="main", ends_on=branch)
            runs[f"{name} {branch}"] = run
    return interleave(runs, rounds=9)


@pytest.mark.parametrize(
    ("branch", "what", "guard", "all_of_it"),
    [("main", "migrate with nothing to do", 1.1, 1.6), ("feature", f"migrate {OVER}", 1.2, 2.0)],
)
def test_a_plain_migrate(
    migrates: dict[str, Times], branch: str, what: str, guard: float, all_of_it: float
) -> None:
    """What the guard takes of a migrate, and what all receivers do."""
    ours, without = migrates[f"guarded {branch}"], migrates[f"unguarded {branch}"]
    compare(f"{what} / without the guard", ours, without, bound=guard).check()
    compare(f"{what} / Django's", ours, migrates[f"theirs {branch}"], bound=all_of_it).check()


def _on_checked_out_main(project: Project) -> Run:
    """A switch after a checkout that the hook did not follow."""
    run = project.run(
        project.ours("migrations_switch", "--no-input"),
        branch="feature",
        database="feature",
        ends_on="main",
    )

    def prepare() -> None:
        run.prepare()
        git(project.root, *NO_HOOKS, "checkout", "--quiet", "main")

    return Run(run.command, run.cwd, prepare, run.verify)
