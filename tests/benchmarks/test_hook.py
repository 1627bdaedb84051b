"""What the git hook costs where it has nothing to do, and on top of a switch where it has.

Run with ``tox run -e bench``. Both are measured as a developer has them: with hooks as
``migrations_hook install`` writes them, and databases that they have seen to be in step before.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from .generate import feature_migrations, git
from .measure import Run, compare, compare_cost, execute, interleave
from .project import NO_HOOKS, Project, build, build_without_tables, empty_tables

APPS = 50
CYCLES = 2
MIGRATIONS = 1_000
FILES = 5_000

# What a branch is about that has no migrations.
EDITED = 20


@pytest.mark.parametrize("projects", [1, 2])
def test_nothing_to_do(tmp_path: Path, projects: int) -> None:
    """A checkout between branches that have the same migrations: git alone finds that out."""
    project = build_without_tables(tmp_path / "project", apps=APPS, cycles=CYCLES)
    if projects == 2:
        copytree(project.root, project.root / "second", ignore=ignore_patterns(".git"))
    fill(project.root)
    project.install_hook()
    if projects == 2:
        execute(project.ours("migrations_hook", "install"), project.root / "second")
    # The first checkout has to look.
    git(project.root, "checkout", "--quiet", "-b", "work")
    in_step = [*(project.root / ".git/django-devtools").rglob("in-step")]
    assert len(in_step) == projects
    _commit_files(project.root, range(EDITED), "Work")

    # From here on a trace is left in the place of Python.
    trace = project.root / ".git" / "started"
    git(project.root, "config", "django-devtools.manage", "touch .git/started #")
    git(project.root, "checkout", "--quiet", "feature")
    assert trace.exists()
    trace.unlink()

    def verify() -> None:
        if trace.exists():
            raise RuntimeError("The hook started Python")

    def run(*options: str) -> Run:
        return Run(
            ["git", *options, "checkout", "--quiet", "main"],
            project.root,
            prepare=partial(git, project.root, *NO_HOOKS, "checkout", "--quiet", "work"),
            verify=verify,
        )

    times = interleave({"hook": run(), "bare": run(*NO_HOOKS)}, rounds=31)
    what = f"git checkout, {FILES} files, {MIGRATIONS} migrations, the same / bare"
    if projects == 2:
        what = "The same with two projects / bare"
    compare_cost(what, times["hook"], times["bare"], bound=0.015).check()


def test_a_switch(tmp_path: Path) -> None:
    """From ``git checkout`` to a database in step, against the switch alone."""
    project = build(tmp_path / "project", apps=APPS, cycles=1)
    _see_that_feature_is_in_step(project)
    switch = project.run(
        project.ours("migrations_switch", "--no-input"),
        branch="feature",
        database="empty",
        ends_on="main",
    )

    def checked_out() -> None:
        """Both then compile what the checkout has written."""
        switch.prepare()
        git(project.root, *NO_HOOKS, "checkout", "--quiet", "main")

    times = interleave(
        {
            "checkout": project.run(
                ["git", "checkout", "--quiet", "main"],
                branch="feature",
                database="empty",
                ends_on="main",
            ),
            "switch": replace(switch, prepare=checked_out),
        },
        rounds=7,
    )
    what = f"git checkout, back over {feature_migrations(APPS)} migrations / migrations_switch"
    compare(what, times["checkout"], times["switch"], bound=1.1).check()


def _see_that_feature_is_in_step(project: Project) -> None:
    """On ``feature``, with nothing in its tables: the hook leaves alone what would be lost."""
    project.restore("feature", "feature")
    empty_tables(project)
    project.save_database("empty")
    project.install_hook()
    project.see_that_feature_is_in_step()


def fill(root: Path) -> None:
    """Commit files on main until there are as many as there should be."""
    there = sum(path.is_file() for path in root.rglob("*") if ".git" not in path.parts)
    _commit_files(root, range(FILES - there), "Everything else")


def _commit_files(root: Path, numbers: range, text: str) -> None:
    for number in numbers:
        file = root / f"pages{number // 100:02}" / f"page{number:04}.html"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{text}\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", text)
