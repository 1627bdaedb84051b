"""What a prompt shows of the databases, without Python, and what ``--short`` says of the same."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.branches.hooks.test_hook import add_size, git, make_feature, paint, work_tree
from tests.branches.shop import make_shop
from tests.processes import run
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

IN_STEP = "in step\n"
UNKNOWN = ""


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the hooks, which have seen that the databases are in step."""
    make_seen(project)
    return project


@made_once
def make_seen(project: Project) -> None:
    make_feature(project)
    git(project, "checkout", "feature")
    git(project, "checkout", "main")


def prompt(project: Project, shell: str = "sh", directory: str = ".") -> str:
    """What the script in the git directory prints."""
    common = project.git("rev-parse", "--path-format=absolute", "--git-common-dir").strip()
    done = run(
        [shell, f"{common}/django-devtools/prompt.sh"],
        cwd=project.path / directory,
        env=project.full_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0
    return done.stdout


def short(project: Project) -> str:
    return project.look("migrations_status", "--short")


def without_hooks(project: Project, *arguments: str) -> None:
    project.git("-c", "core.hooksPath=/dev/null", *arguments)


SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_it_says_whether_all_is_in_step(shop: Project, shell: str) -> None:
    assert prompt(shop, shell) == short(shop) == IN_STEP
    assert prompt(shop, shell, "shop/migrations") == IN_STEP
    without_hooks(shop, "checkout", "--quiet", "feature")
    assert prompt(shop, shell) == short(shop) == "out of step: 1 to apply\n"
    git(shop, "checkout", "main")
    git(shop, "checkout", "feature")
    without_hooks(shop, "checkout", "--quiet", "main")
    add_size(shop)
    expected = "out of step: 1 to apply, 1 to unapply\n"
    assert prompt(shop, shell) == short(shop) == expected


def test_files_that_are_no_migrations_are_not_counted(shop: Project) -> None:
    shop.write("shop/migrations/_helpers.py", "")
    shop.write("shop/views.py", "")
    assert (prompt(shop), short(shop)) == (UNKNOWN, IN_STEP)
    shop.remove("shop/migrations/_helpers.py")
    assert prompt(shop) == IN_STEP
    shop.write("shop/migrations/sql/0004_insert.py", "")
    assert prompt(shop) == UNKNOWN


def test_an_edited_migration_is_changed(shop: Project) -> None:
    file = shop.path / "shop/migrations/0002_longer_name.py"
    file.write_text(file.read_text().replace("max_length=50", "max_length=60"))
    assert prompt(shop) == short(shop) == "out of step: 1 changed\n"


def test_what_is_staged_counts(shop: Project) -> None:
    add_size(shop)
    shop.git("add", "--all")
    assert prompt(shop) == "out of step: 1 to apply\n"
    shop.git("rm", "--quiet", "shop/migrations/0002_longer_name.py")
    assert prompt(shop) == "out of step: 1 to apply, 1 to unapply\n"


def test_what_is_committed_and_edited_is_not_known(shop: Project) -> None:
    without_hooks(shop, "checkout", "--quiet", "feature")
    shop.remove("shop/migrations/0003_colour.py")
    assert prompt(shop) == UNKNOWN


def test_a_new_app_is_counted_by_its_migrations(shop: Project) -> None:
    shop.app("comments")
    shop.migration("comments", "0001_initial", "")
    assert prompt(shop) == short(shop) == "out of step: 1 to apply\n"
    without_hooks(shop, "add", "--all")
    without_hooks(shop, "commit", "--quiet", "--message=Comments")
    assert prompt(shop) == "out of step: 1 to apply\n"


def test_it_says_that_the_hook_failed(shop: Project) -> None:
    paint(shop)
    git(shop, "checkout", "main")
    assert prompt(shop) == short(shop) == "failed\n"


@pytest.mark.parametrize("command", ["migrate", "migrations_switch"])
@pytest.mark.parametrize("shell", SHELLS)
def test_what_was_applied_before_it_is_committed(shop: Project, command: str, shell: str) -> None:
    add_size(shop)
    file = shop.path / "shop/migrations/0003_size.py"
    assert prompt(shop, shell) == "out of step: 1 to apply\n"
    shop.manage(command)
    assert prompt(shop, shell) == short(shop) == IN_STEP
    text = file.read_text()
    file.write_text(text.replace("default=1", "default=2"))
    assert prompt(shop, shell) == "out of step: 1 changed\n"
    file.unlink()
    assert prompt(shop, shell) == short(shop) == "out of step: 1 to unapply\n"
    file.write_text(text)
    without_hooks(shop, "add", "--all")
    assert prompt(shop, shell) == IN_STEP
    without_hooks(shop, "commit", "--quiet", "--message=Size")
    assert prompt(shop, shell) == IN_STEP
    file.unlink()
    assert prompt(shop, shell) == "out of step: 1 to unapply\n"
    shop.manage("migrations_switch")
    assert prompt(shop, shell) == IN_STEP
    without_hooks(shop, "checkout", "--quiet", "--", ".")
    assert prompt(shop, shell) == "out of step: 1 to apply\n"


def test_migrate_tells_it_what_is_committed(shop: Project) -> None:
    assert prompt(shop) == IN_STEP
    without_hooks(shop, "checkout", "--quiet", "feature")
    shop.manage("migrate")
    assert prompt(shop) == IN_STEP
    shop.manage("migrate", "shop", "0002")
    assert (prompt(shop), short(shop)) == (UNKNOWN, "out of step: 1 to apply\n")
    shop.manage("migrations_switch")
    assert prompt(shop) == IN_STEP
    # Python need not be started for that.
    shop.git("config", "django-devtools.manage", "echo Started:")
    assert "Started:" not in git(shop, "checkout", "-b", "another")


# As `testserver` does it.
MAKE_TEST_DATABASE = """
from django.db import connection
name = connection.settings_dict["NAME"]
connection.creation.create_test_db(verbosity=0)
connection.creation.destroy_test_db(name, verbosity=0)
"""


def test_a_database_of_tests_says_nothing_about_others(shop: Project) -> None:
    assert prompt(shop) == IN_STEP
    without_hooks(shop, "checkout", "--quiet", "feature")
    shop.python(MAKE_TEST_DATABASE)
    assert prompt(shop) == short(shop) == "out of step: 1 to apply\n"
    (shop.path / ".git/django-devtools/failed").write_text("The databases were left alone.")
    shop.python(MAKE_TEST_DATABASE)
    assert prompt(shop) == "failed\n"
    snapshots = shop.path / ".git/django-devtools/snapshots.json"
    assert "memory" not in snapshots.read_text()


def test_names_that_need_quotes_are_not_written_down(shop: Project) -> None:
    shop.write("shop/migrations/sql/ö.sql", "")
    shop.manage("migrate", "shop", "0001")
    shop.manage("migrate")
    assert (prompt(shop), short(shop)) == (UNKNOWN, IN_STEP)


def test_settings_count_when_they_are_committed(shop: Project) -> None:
    shop.settings("NEW = True")
    assert prompt(shop) == IN_STEP
    without_hooks(shop, "commit", "--quiet", "--all", "--message=Settings")
    assert prompt(shop) == UNKNOWN


def test_nothing_is_known_where_there_is_no_project(shop: Project) -> None:
    without_hooks(shop, "rm", "--quiet", "manage.py")
    assert prompt(shop) == UNKNOWN
    without_hooks(shop, "checkout", "--quiet", "--orphan", "empty")
    assert prompt(shop) == UNKNOWN
    (shop.path / ".git/django-devtools/in-step").write_text("--output=harm\n")
    assert prompt(shop) == UNKNOWN


def test_files_of_any_name_are_counted(shop: Project) -> None:
    shop.write('shop/migrations/0003_ö "$(touch harm)`touch harm`\\\n.py', "")
    shop.write("shop/migrations/-rf.py", "")
    assert prompt(shop) == "out of step: 2 to apply\n"
    assert not list(shop.path.rglob("harm"))


def test_each_work_tree_has_its_own_words(shop: Project, tmp_path: Path) -> None:
    tree = work_tree(shop, tmp_path, shop.databases)
    assert (prompt(tree), prompt(shop)) == (UNKNOWN, IN_STEP)


def test_it_comes_and_goes_with_the_hooks(project: Project) -> None:
    make_shop(project)
    project.manage("migrations_hook", "install")
    script = project.path / ".git/django-devtools/prompt.sh"
    assert script.exists()
    assert prompt(project) == UNKNOWN
    project.manage("migrations_hook", "uninstall")
    assert not [*script.parent.glob("prompt.sh"), *script.parent.glob("asked")]


def test_without_a_prompt_migrate_takes_no_time_for_it(shop: Project) -> None:
    state = shop.path / ".git/django-devtools"
    without_hooks(shop, "checkout", "--quiet", "feature")
    shop.manage("migrate")
    assert not (state / "in-step").exists()
    shop.manage("migrations_switch")
    assert not (state / "in-step").exists()
    prompt(shop)
    shop.manage("migrations_switch")
    assert (state / "in-step").exists()


def test_it_writes_only_that_it_was_asked(shop: Project) -> None:
    prompt(shop)
    assert (shop.path / ".git/django-devtools/asked").read_bytes() == b""
    before = {file: file.stat().st_mtime_ns for file in (shop.path / ".git").rglob("*")}
    os.utime(shop.path / "shop/migrations/0001_initial.py", (1, 1))
    assert prompt(shop) == IN_STEP
    assert {file: file.stat().st_mtime_ns for file in (shop.path / ".git").rglob("*")} == before


def test_of_several_projects_the_one_counts_that_needs_somebody(shop: Project) -> None:
    first = shop.path / ".git/django-devtools"
    second = first / "second"
    second.mkdir()
    shutil.copy(first / "caller.sh", second)
    assert prompt(shop) == UNKNOWN
    shutil.copy(first / "in-step", second)
    assert prompt(shop) == IN_STEP
    (second / "in-step").write_text(shop.git("rev-parse", "feature"))
    assert prompt(shop) == "out of step: 1 to unapply\n"
    (second / "failed").touch()
    assert prompt(shop) == "failed\n"
    (second / "failed").rename(first / "failed")
    assert prompt(shop) == "failed\n"
