"""Where git is missing, or its directory can't be written: what is said, and done all the same."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.branches.shop import add_colour, make_shop
from tests.processes import TIMEOUT
from tests.project import Project, Result

pytestmark = pytest.mark.once

NOT_IN_PATH = (
    "{path} is in a git repository, and git was not found in PATH. Install it, or add its "
    "directory to PATH."
)
UNKNOWN = (
    " Until then, nothing is known of other branches, and the sources of migrations are not "
    "recorded.\n"
)


@pytest.fixture
def shop(project: Project) -> Project:
    """On feature, which has a colour; what main has is applied."""
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")
    project.manage("migrate")
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit("Colour")
    return project


# Git is missing


@pytest.mark.parametrize(
    "arguments",
    [["migrations_status"], ["migrations_switch", "--plan"], ["migrations_switch", "--no-input"]],
    ids=lambda arguments: "-".join(arguments),
)
def test_what_works_without_git(shop: Project, arguments: list[str]) -> None:
    shop.environment["PATH"] = "/nonexistent"
    result = shop.manage(*arguments)
    assert result.stderr.startswith(NOT_IN_PATH.format(path=shop.path) + UNKNOWN)
    assert "0003_colour" in result.stdout


def test_a_snapshot_without_git_has_names_only(shop: Project) -> None:
    shop.environment["PATH"] = "/nonexistent"
    result = shop.manage("migrations_snapshot", "mine")
    assert result.stderr == (
        NOT_IN_PATH.format(path=shop.path) + UNKNOWN + "Git can't be run, so the snapshot has the "
        "names of the migrations but not their sources: they can only be unapplied as long as "
        "their files exist. To record sources, make git available and take the snapshot again.\n"
    )
    result = shop.manage("migrations_snapshot", status=1)
    assert result.stderr.endswith(
        "CommandError: Git can't be run to take the name of the branch from. Give the snapshot a "
        "name: `manage.py migrations_snapshot NAME`.\n"
    )


def test_the_stash_needs_no_git(shop: Project) -> None:
    shop.environment["PATH"] = "/nonexistent"
    assert shop.manage("migrations_stash", "list").stderr == ""


def test_migrate_and_the_checks_say_that_git_is_missing(shop: Project) -> None:
    shop.environment["PATH"] = "/nonexistent"
    words = NOT_IN_PATH.format(path=shop.path)
    checked = shop.manage("check", "--database=default")
    assert f"The databases can't be compared with this checkout: {words}" in checked.stderr
    result = shop.manage("migrate")
    assert "Applying shop.0003_colour... OK" in result.stdout
    assert f"No snapshot was taken of database 'default': {words}\n" in result.stderr


@pytest.mark.parametrize("trouble", ["missing", "refuses"])
def test_migrate_saves_what_it_drops_all_the_same(shop: Project, trouble: str) -> None:
    shop.manage("migrate")
    shop.python("""
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO shop_product (name, colour) VALUES ('Tea', 'green')")
    """)
    if trouble == "missing":
        shop.environment["PATH"] = "/nonexistent"
    else:
        shop.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    result = shop.manage("migrate", "shop", "0002")
    assert "was not saved" not in result.stderr
    assert "column shop_product.colour" in shop.manage("migrations_stash", "list").stdout


# Its directory can't be written


def block(project: Project) -> Path:
    """
    Keep everybody, root too, from writing what is recorded. The lock of the snapshots.

    A directory can't be written as a file, nor a file be used as a directory.
    """
    directory = project.path / ".git/django-devtools"
    for name in ("snapshots.lock", "switch.lock", "in-step", "failed", "left-out"):
        shutil.rmtree(directory / name, ignore_errors=True)
        (directory / name).unlink(missing_ok=True)
        (directory / name / "full").mkdir(parents=True)
    return directory / "snapshots.lock"


def not_recorded(lock: Path) -> str:
    return (
        f"Nothing was recorded: {lock} can't be written: Is a directory. Once that is fixed, run "
        "`manage.py migrations_snapshot`.\n"
    )


def untold(directory: Path) -> str:
    return (
        f"{directory / 'in-step'} can't be written: Is a directory. Until that is fixed, the git "
        "hooks may take the databases for in step.\n"
    )


def test_a_switch_says_once_that_nothing_is_recorded(shop: Project) -> None:
    lock = block(shop)
    result = shop.manage("migrations_switch", "--no-input")
    assert result.stderr == (
        untold(lock.parent)
        + not_recorded(lock)
        + f"{lock.parent / 'failed'} can't be written: Is a directory.\n"
    )
    assert "Applying shop.0003_colour... OK" in result.stdout
    shop.assert_in_step()
    again = shop.manage("migrations_switch", "--no-input")
    assert again.stdout.startswith("Nothing to do: ")
    assert not_recorded(lock) in again.stderr


def test_an_answer_that_can_not_be_remembered_counts_all_the_same(shop: Project) -> None:
    shop.migration("shop", "0004_sql", 'migrations.RunSQL("SELECT 1")', [("shop", "0003_colour")])
    shop.commit()
    shop.switch()
    shop.checkout("main")
    lock = block(shop)
    result = shop.manage("migrations_switch", "--irreversible=keep")
    assert (
        f"What was said about shop.0004_sql is not remembered: {lock} can't be written: "
    ) in result.stderr
    assert "shop.0004_sql was left applied" in result.stderr


def test_objects_that_can_not_be_written(shop: Project) -> None:
    refs = shop.path / ".git/refs/django-devtools"
    shop.git("pack-refs", "--all")
    shop.git("update-ref", "-d", "refs/django-devtools/sources")
    shutil.rmtree(refs, ignore_errors=True)
    refs.write_text("")
    result = shop.manage("migrations_switch", "--no-input")
    assert result.stderr.startswith(
        f"Nothing was recorded: {shop.path / '.git'} can't be written: "
    )
    assert result.stderr.count("Nothing was recorded") == 1
    assert "Applying shop.0003_colour... OK" in result.stdout


def test_migrate_says_that_nothing_is_recorded(shop: Project) -> None:
    lock = block(shop)
    result = shop.manage("migrate")
    assert "Applying shop.0003_colour... OK" in result.stdout
    assert f"The git hooks were not told: {untold(lock.parent)}" in result.stderr
    assert (
        f"No snapshot was taken of database 'default': {lock} can't be written: Is a directory.\n"
        "`manage.py migrations_snapshot` takes one.\n"
    ) in result.stderr


def test_status_and_snapshots(shop: Project) -> None:
    lock = block(shop)
    shown = shop.manage("migrations_status").stdout
    assert "0003_colour" in shown
    assert f"{lock.parent / 'failed'} can't be read: Is a directory.\n" in shown
    shop.manage("migrations_switch", "--plan")
    assert shop.manage("migrations_snapshot", "--list").stdout.startswith("  main: ")
    result = shop.manage("migrations_snapshot", status=1)
    assert result.stderr == f"CommandError: {lock} can't be written: Is a directory.\n"


def test_the_hook_switches_all_the_same(shop: Project) -> None:
    shop.manage("migrations_hook", "install")
    lock = block(shop)
    result = shop.manage("migrations_hook", "run")
    assert "Database 'default' is in step with branch feature: 1 applied" in result.stdout
    assert not_recorded(lock) in result.stderr
    assert (
        f"The databases are in step, and that can't be recorded: {lock.parent / 'failed'} can't "
        "be written: Is a directory. Until that is fixed, each checkout looks at them again.\n"
    ) in result.stderr


def test_git_that_can_not_tell_what_is_committed(shop: Project, tmp_path: Path) -> None:
    """The work is done, and said to be done."""
    shop.manage("migrations_hook", "install")
    asked = shop.path / ".git/django-devtools/asked"
    asked.touch()
    script = tmp_path / "bin/git"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\ncase "$*" in *--porcelain=v2*) echo fatal: no status >&2; exit 128;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    script.chmod(0o755)
    shop.environment["PATH"] = f"{script.parent}{os.pathsep}{os.environ['PATH']}"
    result = shop.manage("migrations_hook", "run")
    assert "Database 'default' is in step with branch feature: 1 applied" in result.stdout
    assert (
        "The databases are in step, and that can't be recorded: fatal: no status Until that is "
        "fixed, each checkout looks at them again.\n"
    ) in result.stderr
    shop.manage("migrate", "shop", "0002")
    result = shop.manage("migrations_switch", "--no-input")
    assert "Applying shop.0003_colour... OK" in result.stdout
    assert "fatal: no status\n" in result.stderr


def only_reading(project: Project) -> Callable[..., Result]:
    """What runs manage.py as a user who may only read the git directory."""
    for file in (project.path / ".git", *(project.path / ".git").rglob("*")):
        file.chmod(file.stat().st_mode & ~0o222)
    command = [sys.executable, "manage.py"]
    if os.geteuid() == 0:
        # Root without the right to pass over permissions.
        if shutil.which("setpriv") is None:
            pytest.skip("only setpriv can take from root what it may do")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *command]

    def run(*arguments: str) -> Result:
        process = subprocess.run(
            [*command, *arguments],
            cwd=project.path,
            env=project.full_environment(measured=True),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        return Result(process.returncode, process.stdout, process.stderr)

    return run


def test_a_git_directory_that_may_only_be_read(shop: Project) -> None:
    run = only_reading(shop)
    status = run("migrations_status")
    snapshot = run("migrations_snapshot")
    switch = run("migrations_switch", "--no-input")
    again = run("migrations_switch", "--no-input")
    migrate = run("migrate", "shop", "0002")
    hook = run("migrations_hook", "install")
    uninstall = run("migrations_hook", "uninstall")
    for result in (status, switch, again, migrate, uninstall):
        result.assert_status(0)
    for result in (snapshot, hook):
        result.assert_status(1)
    assert "can't be written: " in snapshot.stderr
    assert "0003_colour" in status.stdout
    assert "Applying shop.0003_colour... OK" in switch.stdout
    assert switch.stderr.count("Nothing was recorded: ") == 1
    assert "can't be written: " in switch.stderr
    assert again.stdout.startswith("Nothing to do: ")
    assert "Unapplying shop.0003_colour... OK" in migrate.stdout
    assert "No snapshot was taken" in migrate.stderr
    assert hook.stderr.startswith("CommandError: ")
    assert "can't be written: Permission denied" in hook.stderr


# A clone that lacks texts


def test_a_target_whose_texts_a_partial_clone_lacks(shop: Project, tmp_path: Path) -> None:
    commit = shop.git("rev-parse", "HEAD")[:10]
    shop.git("config", "uploadpack.allowFilter", "true")
    shop.checkout("main")
    clone = Project(tmp_path / "clone", shop.databases, shop.zygote)
    shop.git("clone", "--quiet", "--filter=blob:none", f"file://{shop.path}", str(clone.path))
    shop.path.rename(tmp_path / "away")
    clone.manage("migrations_status")
    result = clone.manage("migrations_switch", "--plan", "origin/feature", status=1)
    assert result.stderr == (
        f"CommandError: Git lacks the text of shop.0003_colour at {commit}. Run `git fetch "
        "--refetch --no-filter`, and then `manage.py migrations_switch` again.\n"
    )
