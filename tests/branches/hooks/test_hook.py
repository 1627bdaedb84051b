"""Databases that follow ``git checkout`` by themselves."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.core.files import locks

from tests.branches.shop import COLOUR, PRODUCT, add_colour, columns, make_shop
from tests.databases import MAKERS
from tests.processes import TIMEOUT, read_until, run, started
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[3]
HOOKS = ROOT / "django_devtools/branches/hooks"
NAMES = ("post-checkout", "post-merge", "post-rewrite")
APPLIED = "Database 'default' is in step with branch feature: 1 applied"
UNAPPLIED = "Database 'default' is in step with branch main: 1 unapplied (from feature)"
SIZE = "    size = models.IntegerField(default=1)\n"


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the hooks: the shop. The branch feature, applied before, has a colour."""
    make_feature(project)
    return project


@made_once
def make_feature(project: Project) -> None:
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")
    project.manage("migrate")
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit("Colour")
    project.checkout("main")
    project.manage("migrations_hook", "install")


def add_size(project: Project) -> None:
    project.models("shop", PRODUCT + SIZE)
    project.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0002_longer_name")],
    )


def paint(shop: Project) -> None:
    """On feature: a migration that can't be unapplied."""
    git(shop, "checkout", "feature")
    shop.migration(
        "shop",
        "0004_paint",
        "migrations.RunPython(lambda apps, editor: None),",
        [("shop", "0003_colour")],
    )
    shop.commit("Paint")
    shop.manage("migrate")


def clone(project: Project, tmp_path: Path) -> None:
    """A remote called theirs, whose main has a migration more."""
    path = tmp_path / "theirs"
    project.git("clone", "--quiet", str(project.path), str(path))
    theirs = Project(path, project.databases, project.zygote)
    add_size(theirs)
    theirs.commit("Size")
    project.git("remote", "add", "theirs", str(path))


def work_tree(project: Project, tmp_path: Path, databases: Mapping[str, Any]) -> Project:
    assert not said(git(project, "worktree", "add", str(tmp_path / "tree"), "-b", "tree"))
    return Project(tmp_path / "tree", databases, project.zygote)


def git(project: Project, *arguments: str, measured: bool = False) -> str:
    """What git and its hooks say."""
    done = run(
        ["git", *arguments],
        cwd=project.path,
        env=project.full_environment(measured),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # Git ends well where a hook of ours was aborted.
    assert "Fatal Python error" not in done.stdout, done.stdout
    done.check_returncode()
    return done.stdout


def said(output: str) -> list[str]:
    """The lines of the hooks, without times."""
    lines = [line for line in output.splitlines() if re.match("Database|The databases", line)]
    return [re.sub(r", in \d+\.\d s$", "", line) for line in lines]


def test_checkout_there_and_back(shop: Project) -> None:
    assert said(git(shop, "checkout", "feature")) == [
        "Database 'default' is in step with branch feature: 1 applied"
    ]
    assert "colour" in columns(shop)
    assert said(git(shop, "checkout", "-")) == [
        "Database 'default' is in step with branch main: 1 unapplied (from feature)"
    ]
    assert "colour" not in columns(shop)
    shop.assert_in_step()


def test_git_switch(shop: Project) -> None:
    assert said(git(shop, "switch", "feature")) == [APPLIED]


def test_without_a_difference_python_is_not_started(shop: Project) -> None:
    git(shop, "checkout", "-b", "first")  # The first time, nothing is known.
    shop.git("config", "django-devtools.manage", "echo Started:")
    shop.write("README", "")
    shop.commit("Readme")
    for arguments in (["main"], ["-b", "other"], ["--detach"], ["first"], ["--", "config"]):
        assert "Started" not in git(shop, "checkout", *arguments), arguments
    assert "Started: migrations_hook run" in git(shop, "checkout", "feature")
    git(shop, "checkout", "main")
    # As Magit calls git.
    assert "Started" in git(shop, "--literal-pathspecs", "checkout", "feature")


@pytest.fixture(params=["/proc", "ps"])
def command_lines(request: pytest.FixtureRequest, shop: Project) -> None:
    """Where the hook finds what git was called with."""
    script = shop.path / ".git/django-devtools/hook.sh"
    if request.param == "/proc" and not Path("/proc/self/stat").exists():
        pytest.skip("This system has no files about its processes")
    if request.param == "ps":
        if shutil.which("ps") is None:
            pytest.skip("ps is not installed")
        script.write_text(script.read_text().replace("/proc/", "/nowhere/"))


@pytest.mark.parametrize(
    "command", [["checkout", "-q"], ["switch", "--quiet"], ["-c", "a.b=c", "checkout", "-qf"]]
)
@pytest.mark.usefixtures("command_lines")
def test_git_that_is_quiet(shop: Project, command: list[str]) -> None:
    assert git(shop, *command, "feature") == ""
    assert "colour" in columns(shop)
    paint(shop)
    assert said(git(shop, "checkout", "-q", "main"))[0].startswith("The databases were left alone")


@pytest.mark.usefixtures("command_lines")
def test_git_that_is_quiet_by_an_alias_and_where_a_tool_calls_the_hook(shop: Project) -> None:
    hook = shop.path / ".git/hooks/post-checkout"
    hook.rename(hook.with_name("ours"))
    hook.write_text('#!/bin/sh\nsh -e "${0%/*}/ours" "$@"\nexit\n')
    hook.chmod(0o755)
    shop.git("config", "alias.co", "checkout -q")
    assert git(shop, "co", "feature") == ""
    assert said(git(shop, "checkout", "main")) == [UNAPPLIED]


def test_a_hook_that_is_quiet(shop: Project) -> None:
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "quiet"
    assert said(git(shop, "checkout", "feature")) == []
    assert "colour" in columns(shop)


def test_another_app_in_the_settings(shop: Project) -> None:
    """Its migrations came with a package, and are on all branches, or on none."""
    git(shop, "checkout", "-b", "first")
    shop.git("config", "django-devtools.manage", "echo Started:")
    shop.git("branch", "other")
    shop.settings('INSTALLED_APPS += ["django.contrib.auth"]')
    shop.commit("Users")
    assert "Started" not in git(shop, "checkout", "other")
    assert "Started" in git(shop, "checkout", "first")


def test_one_file(shop: Project) -> None:
    shop.git("config", "django-devtools.manage", "echo Started:")
    assert "Started" not in git(shop, "checkout", "feature", "--", "shop/migrations")


def test_detached(shop: Project) -> None:
    assert said(git(shop, "checkout", "--detach", "feature")) == [
        "Database 'default' is in step with this checkout: 1 applied"
    ]
    assert "colour" in columns(shop)
    commit = shop.git("rev-parse", "HEAD")[:10]
    assert said(git(shop, "checkout", "main"))[0] == UNAPPLIED.replace("feature", commit)


def test_switched_off(shop: Project) -> None:
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    git(shop, "checkout", "feature")
    assert "colour" not in columns(shop)

    del shop.environment["DJANGO_DEVTOOLS_HOOK"]
    assert said(git(shop, "checkout", "-b", "other")) == [
        "Database 'default' is in step with branch other: 1 applied"
    ]


def test_pull(shop: Project, tmp_path: Path) -> None:
    clone(shop, tmp_path)
    assert said(git(shop, "pull", "--no-rebase", "theirs", "main")) == [
        "Database 'default' is in step with branch main: 1 applied"
    ]
    assert "size" in columns(shop)


def test_pull_with_a_merge(shop: Project, tmp_path: Path) -> None:
    clone(shop, tmp_path)
    shop.write("README", "")
    shop.commit("Readme")
    assert said(git(shop, "pull", "--no-rebase", "--no-edit", "theirs", "main")) == [
        "Database 'default' is in step with branch main: 1 applied"
    ]


def test_pull_with_a_rebase(shop: Project, tmp_path: Path) -> None:
    clone(shop, tmp_path)
    shop.write("README", "")
    shop.commit("Readme")
    assert said(git(shop, "pull", "--rebase", "theirs", "main")) == [
        "Database 'default' is in step with branch main: 1 applied"
    ]


def test_rebase_that_rewrites_a_migration(shop: Project, tmp_path: Path) -> None:
    """On a feature, whose migration gets another parent and another text."""
    clone(shop, tmp_path)
    git(shop, "checkout", "feature")
    shop.git("fetch", "--quiet", "theirs")
    with pytest.raises(subprocess.CalledProcessError):
        git(shop, "rebase", "theirs/main")

    shop.models("shop", PRODUCT + SIZE + COLOUR)
    file = shop.path / "shop/migrations/0003_colour.py"
    file.rename(file.with_name("0004_colour.py"))
    later = file.with_name("0004_colour.py")
    later.write_text(later.read_text().replace("0002_longer_name", "0003_size"))
    shop.git("add", "--all")
    shop.environment["GIT_EDITOR"] = "true"
    assert said(git(shop, "rebase", "--continue")) == [
        "Database 'default' is in step with branch feature: 1 forgotten, 1 recorded, 1 applied"
    ]
    assert columns(shop) == {"id", "name", "colour", "size"}
    shop.assert_in_step()


def test_rebase_without_commits_of_its_own(shop: Project, tmp_path: Path) -> None:
    """Git has nothing to rewrite, and does not call post-rewrite."""
    clone(shop, tmp_path)
    shop.git("fetch", "--quiet", "theirs")
    git(shop, "rebase", "theirs/main")
    assert "size" in columns(shop)


def test_amend_within_a_rebase(shop: Project) -> None:
    """Until a rebase is done, the databases stay; aborted, they were right all the time."""
    git(shop, "checkout", "feature")
    shop.write("README", "")
    shop.commit("Readme")
    shop.environment["GIT_SEQUENCE_EDITOR"] = "sed -i.old s/pick/edit/"
    git(shop, "rebase", "--interactive", "HEAD~2")
    add_size(shop)
    shop.git("add", "--all")
    assert said(git(shop, "commit", "--amend", "--no-edit")) == []
    assert said(git(shop, "rebase", "--abort")) == []
    assert "size" not in columns(shop)


def test_amend(shop: Project) -> None:
    git(shop, "checkout", "feature")
    shop.models("shop", PRODUCT + COLOUR.replace("20", "30"))
    file = shop.path / "shop/migrations/0003_colour.py"
    file.write_text(file.read_text().replace("20", "30"))
    shop.git("add", "--all")
    assert said(git(shop, "commit", "--amend", "--no-edit")) == [
        "Database 'default' is in step with branch feature: 1 unapplied (from feature), 1 applied"
    ]
    shop.assert_in_step()


def test_stash(shop: Project) -> None:
    """No hook tells of a stash, and yet the next checkout knows what was left over."""
    git(shop, "checkout", "-b", "work")
    add_size(shop)
    shop.manage("migrate")
    git(shop, "stash", "--include-untracked")
    assert "size" in columns(shop)
    (line,) = said(git(shop, "checkout", "main"))
    assert line == "Database 'default' is in step with branch main: 1 unapplied (from work)"
    assert "size" not in columns(shop)


def test_bisect(shop: Project) -> None:
    git(shop, "checkout", "feature")
    assert not said(git(shop, "bisect", "start", "feature", "main~1"))
    assert not said(git(shop, "bisect", "reset"))
    shop.assert_in_step()

    git(shop, "bisect", "start", "feature", "main~1")
    shop.switch()
    assert said(git(shop, "bisect", "reset")) == [APPLIED]


def test_work_tree_with_a_database_of_its_own(shop: Project, tmp_path: Path) -> None:
    """``git worktree add`` starts nothing; a checkout in it moves its database only."""
    tree = work_tree(shop, tmp_path, {"default": MAKERS["sqlite"](tmp_path)[0]})
    tree.manage("migrate")
    assert said(git(tree, "checkout", "feature")) == [APPLIED]
    assert "colour" in columns(tree)
    assert "colour" not in columns(shop)


def test_work_tree_with_the_same_database(shop: Project, tmp_path: Path) -> None:
    """The last checkout wins, also where nothing differs between the commits of that one."""
    git(shop, "checkout", "-b", "other")
    tree = work_tree(shop, tmp_path, shop.databases)
    git(tree, "checkout", "feature")
    assert "colour" in columns(shop)
    assert said(git(shop, "checkout", "main")) == [
        "Database 'default' is in step with branch main: 1 unapplied (from feature)"
    ]


def test_spaces_and_unicode(make_project: Callable[..., Project]) -> None:
    project = make_project("my prøject's")
    make_feature(project)
    assert said(git(project, "checkout", "feature")) == [APPLIED]


def test_rows_are_kept_and_come_back(shop: Project) -> None:
    git(shop, "checkout", "feature")
    shop.python("from shop.models import Product; Product.objects.create(name='a', colour='b')")
    output = git(shop, "checkout", "main")
    assert said(output) == [UNAPPLIED]
    assert "column shop_product.colour (1 row)" in output
    assert columns(shop) == {"id", "name"}
    status = shop.manage("migrations_status").stdout
    assert "In the stash of database 'default'" in status
    assert "column shop_product.colour (1 row)" in status

    output = git(shop, "checkout", "feature")
    assert said(output) == [APPLIED]
    assert "column shop_product.colour (1 row)" in output
    product = shop.python("from shop.models import Product; print(Product.objects.get().colour)")
    assert product == "b"
    assert "stash" not in shop.manage("migrations_status").stdout
    shop.assert_in_step()


def test_what_can_not_come_back_is_said(shop: Project) -> None:
    git(shop, "checkout", "feature")
    shop.python("from shop.models import Product; Product.objects.create(name='a', colour='b')")
    git(shop, "checkout", "main")
    shop.python("from shop.models import Product; Product.objects.all().delete()")
    assert (
        "1 of 1 row of column shop_product.colour stays in the stash: the rows they belong to are "
        "gone. To look at them: manage.py migrations_stash show 1\n"
    ) in git(shop, "checkout", "feature")
    shop.assert_in_step()


def test_a_failure_that_is_over(shop: Project) -> None:
    """The same database, right again without a switch: a look at it is all that is needed."""
    git(shop, "checkout", "feature")
    file = shop.path / "shop/migrations/0004_broken.py"
    file.write_text("nonsense")
    shop.manage("migrations_hook", "run", status=1)
    file.unlink()
    assert "left alone" in shop.manage("migrations_status").stdout
    assert shop.switch().startswith("Nothing to do")
    assert "left alone" not in shop.manage("migrations_status").stdout


def test_irreversible(shop: Project) -> None:
    paint(shop)
    output = git(shop, "checkout", "main")
    assert "The databases were left alone. shop.0004_paint can't be unapplied" in output
    assert "If it is left applied, new rows of shop_product fail: " in output
    assert "colour" in columns(shop)
    # What it says to type is not refused again.
    command = output.splitlines()[-1].removeprefix("To continue, run `manage.py ").rstrip("`")
    assert "shop.0004_paint was unapplied" in shop.manage(*command.split()).stderr


def test_what_was_answered_once_stops_no_other_checkout(shop: Project) -> None:
    paint(shop)
    git(shop, "checkout", "main")
    shop.manage("migrations_switch", "--irreversible=keep")
    assert said(git(shop, "checkout", "-b", "size")) == []
    add_size(shop)
    shop.commit("Size")
    shop.manage("migrations_switch")
    left = "shop.0004_paint was left applied: it can't be unapplied."
    output = git(shop, "checkout", "main")
    assert "Database 'default' is in step with branch main: 1 unapplied (from size)" in output
    assert left in output
    assert columns(shop) == {"id", "name", "colour"}
    answer = "shop.0004_paint is left applied, as it can't be unapplied (database 'default').\n"
    assert answer in shop.manage("migrations_status").stdout
    assert "0004_paint" not in shop.manage("migrations_hook", "status").stdout
    # Taken back, the next checkout looks again.
    shop.manage("migrations_switch", "--irreversible=ask", status=1)
    assert "shop.0004_paint can't be unapplied" in git(shop, "checkout", "-b", "another")
    shop.git("config", "django-devtools.irreversible", "keep")
    assert left in git(shop, "checkout", "-b", "third")


def test_what_a_hook_did_for_the_wrong_branch_is_taken_back(shop: Project) -> None:
    git(shop, "checkout", "feature")
    result = shop.manage("migrations_switch", "--undo")
    assert "to branch main as it was before the switch of" in result.stdout
    assert columns(shop) == {"id", "name"}
    command = result.stderr.strip().rpartition(": git ")[2]
    assert said(git(shop, *command.split())) == []
    shop.assert_in_step()
    assert said(git(shop, "checkout", "feature")) == [APPLIED]


def test_changed_under_what_both_sides_share(shop: Project) -> None:
    git(shop, "checkout", "feature")
    file = shop.path / "shop/migrations/0001_initial.py"
    file.write_text(file.read_text().replace('("name"', '("x", models.IntegerField()), ("name"'))
    shop.git("add", "--all")
    assert (
        "The databases are not in step. Changed since they were applied, and left as they are, "
        "because rolling them back would take along what both sides share: shop.0001_initial. "
        "If the database is right as it is: manage.py migrations_snapshot --accept.\n"
        "To continue, run `manage.py migrations_switch`\n"
    ) in git(shop, "commit", "--amend", "--no-edit")


def test_a_migration_that_fails(shop: Project) -> None:
    """Not that they were left alone."""
    git(shop, "checkout", "-b", "broken")
    shop.migration("shop", "0003_x", 'migrations.RunSQL("x"),', [("shop", "0002_longer_name")])
    shop.commit("Broken")
    git(shop, "checkout", "main")
    said = git(shop, "checkout", "broken")
    assert "not in step. Applying shop.0003_x: OperationalError: " in said


def test_debug_off(shop: Project) -> None:
    shop.settings('DEBUG = "PRODUCTION" not in os.environ')
    shop.commit("Production")
    git(shop, "checkout", "-b", "first")
    shop.environment["PRODUCTION"] = "1"
    assert "DEBUG is off" not in git(shop, "checkout", "-b", "other")
    add_size(shop)
    shop.commit("Size")
    assert "DEBUG is off, so the hooks change no database." in git(shop, "checkout", "--detach")


def test_broken_project(shop: Project) -> None:
    """Git's exit status is its own, and the next checkout is a new chance."""
    git(shop, "checkout", "-b", "broken")
    add_size(shop)
    shop.settings("import nothing_of_that_name")
    shop.commit("Broken")
    git(shop, "checkout", "main")
    log = shop.path / ".git/django-devtools/hook.log"
    why = (
        "The databases were left alone: django_devtools could not start manage.py. "
        "ModuleNotFoundError: No module named 'nothing_of_that_name'\n"
        'To see all of it, run `cat "$(git rev-parse --git-dir)/django-devtools/hook.log"`. '
        "To find out why, run `manage.py migrations_hook doctor`. "
        "Once it starts, run `manage.py migrations_switch`\n"
    )
    assert git(shop, "checkout", "broken") == f"Switched to branch 'broken'\n{why}"
    assert "Traceback" in log.read_text()
    shop.write("config/settings.py", (shop.path / "config/settings.py").read_text()[:-29])
    assert why in shop.manage("migrations_hook", "status").stdout
    assert "W004" in shop.manage("check").stderr
    shop.git("checkout", "--", "config")
    assert said(git(shop, "checkout", "feature")) == [APPLIED]
    assert not log.exists()
    assert "left alone" not in shop.manage("migrations_hook", "status").stdout


def test_a_command_that_can_not_speak_at_once(shop: Project) -> None:
    """As in a container, which has neither the descriptor nor the variable."""
    paint(shop)
    command = f"env -u DJANGO_DEVTOOLS_LOG {sys.executable} manage.py"
    shop.git("config", "django-devtools.manage", command)
    output = git(shop, "checkout", "main")
    assert "The databases were left alone. shop.0004_paint can't be unapplied" in output
    assert output.endswith("To continue, run `manage.py migrations_switch --irreversible=noop`\n")


def test_a_hook_that_fails_looks_again_at_the_next_checkout(shop: Project) -> None:
    git(shop, "checkout", "-b", "first")
    in_step = shop.path / ".git/django-devtools/in-step"
    assert in_step.exists()
    shop.git("config", "django-devtools.manage", "false")
    output = git(shop, "checkout", "feature")
    assert "django_devtools could not start manage.py. It said nothing.\n" in output
    assert not in_step.exists()


def test_the_second_of_two_projects_does_not_start(shop: Project) -> None:
    """The first has spoken by then."""
    manage = f"{sys.executable} manage.py"
    each = f'each() {{ {manage} "$@"; {manage} "$@" --settings=nowhere; }}; each'
    shop.git("config", "django-devtools.manage", each)
    output = git(shop, "checkout", "feature")
    assert said(output)[0] == APPLIED
    assert "could not start manage.py. ModuleNotFoundError: No module named 'nowhere'" in output


def test_a_wrapper_that_has_the_last_word(shop: Project) -> None:
    """As `make` and `just` do, when the command says why it changes nothing."""
    shop.settings("DEBUG = False")
    shop.commit("Production")
    failing = (
        f'f() {{ {sys.executable} manage.py "$@" || {{ echo Recipe failed. >&2; false; }}; }}; f'
    )
    shop.git("config", "django-devtools.manage", failing)
    output = git(shop, "checkout", "--detach")
    assert "DEBUG is off" in output
    assert output.endswith("Recipe failed.\n")
    assert "DEBUG is off" in shop.manage("migrations_hook", "status").stdout


def test_husky(shop: Project) -> None:
    """It writes its own directory anew, and calls what is beside that."""
    shop.manage("migrations_hook", "uninstall")
    calls = '#!/usr/bin/env sh\nsh -e "$(dirname "$0")/../$(basename "$0")" "$@"\n'
    for name in NAMES:
        shop.write(f".husky/_/{name}", calls)
        (shop.path / f".husky/_/{name}").chmod(0o755)
    shop.git("config", "core.hooksPath", ".husky/_")
    # As `husky init` writes them: without a first line, and not executable.
    shop.write(".husky/post-checkout", "echo Mine.\n")
    (shop.path / ".git/info/exclude").write_text("local.py")

    shop.manage("migrations_hook", "install")

    assert (shop.path / ".husky/_/post-checkout").read_text() == calls
    # Committed on one branch, it would be gone on the others.
    assert ".husky/post" not in shop.git("status", "--porcelain", "--untracked-files=all")
    output = git(shop, "checkout", "feature")
    assert "Mine." in output
    assert said(output) == [APPLIED]
    status = shop.manage("migrations_hook", "status").stdout
    assert f"{shop.path / '.husky/post-checkout'}: installed (husky writes the hook)\n" in status
    shop.manage("migrations_hook", "uninstall")
    assert (shop.path / ".husky/post-checkout").read_text().endswith("echo Mine.\n")
    assert (shop.path / ".git/info/exclude").read_text() == "local.py\n"


def test_a_branch_without_the_app(shop: Project) -> None:
    """As all others on the day when one gets it."""
    shop.checkout("-b", "older")
    settings = shop.path / "config/settings.py"
    settings.write_text(settings.read_text().replace(', "django_devtools"]', "]"))
    add_size(shop)
    shop.commit("Size")
    git(shop, "checkout", "feature")
    assert git(shop, "checkout", "older", measured=True).splitlines()[-1] == (
        "This branch does not install django_devtools: the hook did, for this run."
    )
    assert columns(shop) == {"id", "name", "size"}
    # Whatever a plain `migrate` does here is seen afterwards.
    assert not (shop.path / ".git/django-devtools/in-step").exists()
    assert said(git(shop, "checkout", "main")) == [
        "Database 'default' is in step with branch main: 1 unapplied (from older)"
    ]


def test_a_command_that_was_killed(shop: Project) -> None:
    """After it had begun to speak, and before it said a word."""
    shop.git(
        "config", "django-devtools.manage", """sh -c ': >"$DJANGO_DEVTOOLS_LOG"; kill -9 $$'"""
    )
    assert git(shop, "checkout", "feature").endswith(
        "The databases may not be in step: migrations_hook ended with status 137.\n"
        "To continue, run `manage.py migrations_switch`\n"
    )
    assert "may not be in step" in shop.manage("migrations_hook", "status").stdout


def test_a_branch_whose_name_is_a_command(shop: Project) -> None:
    shop.git("config", "django-devtools.manage", f"{sys.executable} manage.py")
    shop.checkout("-b", "x';touch${IFS}harm;'")
    settings = shop.path / "config/settings.py"
    settings.write_text(settings.read_text().replace(', "django_devtools"]', "]"))
    shop.commit("Older")
    commit = shop.git("rev-parse", "HEAD").strip()
    git(shop, "checkout", "feature")
    assert git(shop, "checkout", "-").endswith(f"run `manage.py migrations_switch {commit}`\n")


def test_a_branch_without_the_app_where_others_call_manage_py(shop: Project) -> None:
    shop.git("config", "django-devtools.manage", f"{sys.executable} manage.py")
    shop.checkout("-b", "older")
    settings = shop.path / "config/settings.py"
    settings.write_text(settings.read_text().replace(', "django_devtools"]', "]"))
    shop.commit("Older")
    git(shop, "checkout", "feature")
    assert git(shop, "checkout", "older").endswith(
        "The databases were left alone: django_devtools is not in INSTALLED_APPS on this branch.\n"
        "On a branch that has it, run `manage.py migrations_switch older`\n"
    )


def test_the_settings_that_it_was_installed_with(shop: Project) -> None:
    directory = shop.path / "more"
    directory.mkdir()
    (directory / "local.py").write_text(
        'from config.settings import *\nDATABASES["default"]["NAME"] = "local.sqlite3"\n'
    )
    local = ["--settings=local", f"--pythonpath={directory}"]
    shop.manage("migrate", *local)
    result = shop.manage("migrations_hook", "install", *local)
    assert f"They run manage.py with {' '.join(local)}.\n" in result.stdout
    shop.environment["DJANGO_SETTINGS_MODULE"] = ""  # Set, it would win.
    assert said(git(shop, "checkout", "feature")) == [APPLIED]
    assert columns(shop) == {"id", "name"}
    assert "in step" in shop.manage("migrations_status", *local).stdout


def test_a_database_that_was_never_migrated_is_left_alone(shop: Project) -> None:
    shop.settings('DATABASES["default"]["NAME"] = os.environ["OTHER"]')
    shop.commit("Elsewhere")
    shop.environment["OTHER"] = str(shop.path / "other.sqlite3")
    assert git(shop, "checkout", "--detach").splitlines()[-1] == (
        f"Database 'default' ({shop.path / 'other.sqlite3'}) has no applied migrations, and was "
        "left alone. To apply them: manage.py migrate"
    )
    assert (shop.path / "other.sqlite3").stat().st_size == 0


def test_a_branch_without_manage_py(shop: Project) -> None:
    shop.checkout("--orphan", "pages")
    shop.git("rm", "-r", "--quiet", "--force", ".")
    shop.commit("Pages")
    git(shop, "checkout", "main")
    assert git(shop, "checkout", "pages") == "Switched to branch 'pages'\n"


def test_python_that_is_gone(shop: Project) -> None:
    script = shop.path / ".git/django-devtools/caller.sh"
    script.write_text(script.read_text().replace(sys.executable, "/gone/python"))
    assert git(shop, "checkout", "feature").endswith(
        "The databases were left alone: /gone/python no longer exists.\n"
        "Run `manage.py migrations_hook install` with the Python that replaced it.\n"
    )
    assert "/gone/python no longer exists" in shop.manage("migrations_hook", "status").stdout


def test_another_way_to_call_manage_py(shop: Project) -> None:
    """As for containers, poetry or uv."""
    shop.write("run", f'#!/bin/sh\necho Calling.\nexec {sys.executable} manage.py "$@"\n')
    (shop.path / "run").chmod(0o755)
    shop.git("config", "django-devtools.manage", "echo First. && ./run")
    output = git(shop, "checkout", "feature")
    assert "First.\nCalling.\n" in output
    assert said(output) == [APPLIED]


def test_manage_py_below_the_top(make_project: Callable[..., Project], tmp_path: Path) -> None:
    project = make_project("repository/the site", git=False)
    top = Project(tmp_path / "repository", project.databases, project.zygote)
    top.git("init", "--quiet", "--initial-branch=main")
    project.write(".gitignore", "*.sqlite3\n__pycache__\n")
    make_feature(project)
    (tmp_path / "elsewhere/the site").mkdir(parents=True)
    project.environment["CDPATH"] = str(tmp_path / "elsewhere")
    assert said(git(project, "checkout", "feature")) == [APPLIED]


def test_migrations_elsewhere(project: Project) -> None:
    project.settings('MIGRATION_MODULES = {"shop": "schema.shop"}')
    project.write("schema/__init__.py", "")
    make_shop(project)
    (project.path / "shop/migrations").rename(project.path / "schema/shop")
    project.commit("Elsewhere")
    project.manage("migrate")
    project.manage("migrations_hook", "install")
    git(project, "checkout", "-b", "other")
    add_size(project)
    (project.path / "shop/migrations/0003_size.py").rename(
        project.path / "schema/shop/0003_size.py"
    )
    project.commit("Size")
    git(project, "checkout", "main")
    assert said(git(project, "checkout", "other")) == [
        "Database 'default' is in step with branch other: 1 applied"
    ]


def test_submodule(shop: Project, tmp_path: Path) -> None:
    """The hooks of a submodule are its own."""
    outer = Project(tmp_path / "outer", shop.databases, shop.zygote)
    outer.path.mkdir()
    outer.git("init", "--quiet")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", str(shop.path), "site")
    site = Project(outer.path / "site", shop.databases, shop.zygote)
    site.manage("migrations_hook", "install")
    assert (outer.path / ".git/modules/site/hooks/post-checkout").exists()
    assert said(git(site, "checkout", "--track", "origin/feature")) == [APPLIED]
    assert "colour" in columns(site)


MINE = "#!/bin/bash\nprintf 'Mine: %s\\n' \"$3\"\nexit 3\n"


@pytest.mark.parametrize(
    "mine",
    [
        MINE,
        "#!/bin/sh\nexec printf 'Mine: %s\\n' \"$3\"\n",
        f"#!{sys.executable}\nimport sys\nprint('Mine:', sys.argv[3])\n",
        '#!/bin/sh -eu\n[ "${again-}" ] || again=1 exec sh -e "$0" "$@"\necho Mine: "$3"\n',
    ],
    ids=["exit", "exec", "python", "anew"],
)
def test_hooks_that_are_there_go_first(shop: Project, mine: str) -> None:
    shop.manage("migrations_hook", "uninstall")
    file = shop.path / ".git/hooks/post-checkout"
    file.write_text(mine)
    file.chmod(0o755)
    shop.manage("migrations_hook", "install")
    shop.manage("migrations_hook", "install")

    process = run(
        ["git", "checkout", "feature"],
        cwd=shop.path,
        env=shop.full_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # What git makes of the status of that hook is as before.
    assert process.returncode == (1 if mine == MINE else 0)
    first, second = process.stdout.splitlines()[-2:]
    assert first == "Mine: 1"
    assert said(second) == [APPLIED]

    shop.manage("migrations_hook", "uninstall")
    assert file.read_text() == mine
    assert file.stat().st_mode & 0o777 == 0o755
    assert [path.name for path in file.parent.glob("*django*")] == []


def test_a_hook_that_is_off_stays_off(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    file = shop.path / ".git/hooks/post-checkout"
    file.write_text("#!/bin/sh\necho Mine\n")
    file.chmod(0o644)
    shop.manage("migrations_hook", "install")
    output = git(shop, "checkout", "feature")
    assert "Mine" not in output
    assert said(output) == [APPLIED]
    shop.manage("migrations_hook", "uninstall")
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "mine", [b"\x7fELF\0\r\n\xff", b"#!/bin/sh\r\necho Mine\r\n"], ids=["binary", "windows"]
)
def test_hooks_that_are_no_scripts(shop: Project, mine: bytes) -> None:
    """Nothing can be written into them. What a system makes of them is as before."""
    shop.manage("migrations_hook", "uninstall")
    file = shop.path / ".git/hooks/post-checkout"
    file.write_bytes(mine)
    file.chmod(0o755)
    shop.manage("migrations_hook", "install")
    assert file.with_name("post-checkout.before-django-devtools").read_bytes() == mine
    shop.manage("migrations_hook", "uninstall")
    assert file.read_bytes() == mine


def test_hooks_that_other_tools_move(shop: Project) -> None:
    """One that was there before both is still called; and is not written over."""
    shop.manage("migrations_hook", "uninstall")
    file = shop.path / ".git/hooks/post-checkout"
    mine = f"#!{sys.executable}\nprint('Mine')\n"
    file.write_text(mine)
    file.chmod(0o755)
    shop.manage("migrations_hook", "install")
    # As pre-commit does.
    file.replace(file.with_name("post-checkout.legacy"))
    file.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        'os.execl(sys.argv[0] + ".legacy", sys.argv[0] + ".legacy", *sys.argv[1:])\n'
    )
    file.chmod(0o755)
    assert "Mine\n" in git(shop, "checkout", "-b", "other")

    result = shop.manage("migrations_hook", "install", status=1)
    kept = file.with_name("post-checkout.before-django-devtools")
    assert result.stderr == (
        f"CommandError: {kept} already exists. Move it away, or back to {file}, and run "
        "`manage.py migrations_hook install` again.\n"
    )
    assert kept.read_text() == mine


def test_a_hook_that_reads_another(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    hooks = shop.path / ".git/hooks"
    (hooks / "post-checkout").write_text("echo Mine\n")
    (hooks / "post-merge").write_text('. "${0%/*}/post-checkout"\n')
    for name in ("post-checkout", "post-merge"):
        (hooks / name).chmod(0o755)
    shop.manage("migrations_hook", "install")
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    process = subprocess.run(
        [str(hooks / "post-merge"), "0"],
        cwd=shop.path,
        env=shop.full_environment(),
        capture_output=True,
        timeout=10,
        check=True,
    )
    assert process.stdout == b"Mine\n"


def test_a_link_is_not_written_through(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    shop.write("scripts/hook", "#!/bin/sh\necho Mine\n")
    (shop.path / "scripts/hook").chmod(0o755)
    file = shop.path / ".git/hooks/post-checkout"
    file.symlink_to(shop.path / "scripts/hook")
    shop.manage("migrations_hook", "install")
    assert "Mine\n" in git(shop, "checkout", "feature")
    shop.manage("migrations_hook", "uninstall")
    assert file.is_symlink()
    assert (shop.path / "scripts/hook").read_text() == "#!/bin/sh\necho Mine\n"

    # On this branch, it leads nowhere.
    shop.remove("scripts/hook")
    shop.manage("migrations_hook", "install")
    shop.manage("migrations_hook", "uninstall")
    assert file.is_symlink()
    assert not (shop.path / "scripts/hook").exists()


def test_by_hand(shop: Project) -> None:
    """All that a hook needs to do, for those who write their own."""
    shop.manage("migrations_hook", "uninstall")
    file = shop.path / ".git/hooks/post-checkout"
    file.write_text(f"#!/bin/sh\nexec {sys.executable} manage.py migrations_hook run\n")
    file.chmod(0o755)
    assert said(git(shop, "checkout", "feature")) == [APPLIED]


def test_core_hooks_path(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    shop.git("config", "core.hooksPath", ".githooks")
    result = shop.manage("migrations_hook", "install")
    assert result.stdout.startswith(f"Installed in {shop.path / '.githooks'}: ")
    assert said(git(shop, "checkout", "feature")) == [APPLIED]
    shop.manage("migrations_hook", "uninstall")
    assert list((shop.path / ".githooks").iterdir()) == []


def test_status_and_uninstall(shop: Project) -> None:
    hooks = shop.path / ".git/hooks"
    installed = "".join(f"{hooks / name}: installed\n" for name in NAMES)
    assert shop.manage("migrations_hook", "status").stdout == installed

    hook = hooks / "post-merge"
    hook.write_text(hook.read_text().replace("set +eu", "set +e"))
    assert shop.manage("migrations_hook", "status").stdout == (
        installed.replace(f"{hook}: installed", f"{hook}: outdated")
        + f"The git hooks in {hooks} are not those of this version. Run `manage.py "
        "migrations_hook install`.\n"
    )
    assert shop.manage("migrations_hook", "uninstall").stdout == f"Removed from {hooks}.\n"
    assert shop.manage("migrations_hook", "status").stdout == (
        "".join(f"{hooks / name}: not installed\n" for name in NAMES)
        + "To install them: manage.py migrations_hook install\n"
    )
    assert shop.manage("migrations_hook", "uninstall").stdout == (
        f"No django_devtools hooks found in {hooks}.\n"
    )
    assert not any((hooks / name).exists() for name in NAMES)


def test_without_git(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    result = project.manage("migrations_hook", "install", status=1)
    assert result.stderr == (
        f"CommandError: {project.path} is not in a git repository; run `git init` to create one.\n"
    )


def test_no_git_in_path(project: Project) -> None:
    project.environment["PATH"] = "/nonexistent"
    result = project.manage("migrations_hook", "install", status=1)
    assert result.stderr == (
        f"CommandError: {project.path} is in a git repository, and git was not found in PATH. "
        "Install it, or add its directory to PATH.\n"
    )


def test_a_directory_that_cannot_be_written(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    shop.write("file", "")
    shop.git("config", "core.hooksPath", "file/hooks")
    result = shop.manage("migrations_hook", "install", status=1)
    assert result.stderr.startswith("CommandError: ")
    assert result.stderr.endswith(
        "can't be written: Not a directory. Once that is fixed, run `manage.py migrations_hook "
        "install` again.\n"
    )


def test_install_without_manage_py(shop: Project) -> None:
    """By Django's own script, the manage.py at the top is what hooks call; or what git knows."""

    def install() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "django", "migrations_hook", "install"],
            cwd=shop.path,
            env=shop.full_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )

    assert install().returncode == 0
    assert said(git(shop, "checkout", "feature")) == [APPLIED]

    shop.git("mv", "manage.py", "run.py")
    assert install().stderr == (
        "CommandError: The hooks need to know how to call manage.py: run this command with "
        "manage.py, or set it with `git config django-devtools.manage 'COMMAND'`.\n"
    )
    shop.git("config", "django-devtools.manage", f"{sys.executable} run.py")
    assert install().returncode == 0


def test_two_at_once(shop: Project) -> None:
    """A second hook waits for the first, and finds nothing to do."""
    git(shop, "checkout", "-b", "other")
    shop.git("symbolic-ref", "HEAD", "refs/heads/feature")
    shop.git("reset", "--quiet", "--hard")
    hook = [str(shop.path / ".git/hooks/post-checkout"), "main", "feature", "1"]
    with ExitStack() as stack:
        both = [stack.enter_context(start(shop, hook)) for _ in range(2)]
        outputs = [process.communicate()[0] for process in both]
    assert sorted(said("".join(outputs)))[-1:] == [APPLIED]
    assert [process.returncode for process in both] == [0, 0]
    shop.assert_in_step()


def test_a_checkout_while_a_hook_waits(shop: Project) -> None:
    """It goes by the code that is there when its turn has come."""
    hook = [str(shop.path / ".git/hooks/post-checkout"), "main", "main", "1"]
    with ExitStack() as stack:
        with (shop.path / ".git/django-devtools/switch.lock").open("w") as file:
            locks.lock(file, locks.LOCK_EX)
            process = stack.enter_context(start(shop, hook))
            read_until(process, "Waiting for it")
            shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
            shop.checkout("feature")
        assert said(process.communicate()[0]) == [APPLIED]
    shop.assert_in_step()


def test_what_cannot_be_remembered(shop: Project) -> None:
    directory = shop.path / ".git/django-devtools"
    shutil.rmtree(directory)
    directory.write_text("")
    result = shop.manage("migrations_hook", "run", status=1)
    assert result.stderr.startswith("The databases were left alone. ")


def test_by_pre_commit(shop: Project, tmp_path: Path) -> None:
    """Another tool's hook, with our repository as one of its own."""
    shop.manage("migrations_hook", "uninstall")
    ours = Project(tmp_path / "ours", {}, shop.zygote)
    for name in (".pre-commit-hooks.yaml", "caller.sh", "hook.sh", "pre-commit.sh"):
        source = next(path for path in (ROOT / name, HOOKS / name) if path.exists())
        copied = ours.path / source.relative_to(ROOT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)
    ours.git("init", "--quiet")
    ours.commit()
    shop.git("config", "django-devtools.manage", f"{sys.executable} manage.py")
    shop.write(
        ".git/pre-commit.yaml",
        f"""
        repos:
          - repo: {ours.path}
            rev: {ours.git("rev-parse", "HEAD").strip()}
            hooks:
              - id: migrations-switch
        """,
    )
    subprocess.run(
        [sys.executable, "-m", "pre_commit", "install", "--config=.git/pre-commit.yaml"]
        + [f"--hook-type={name}" for name in NAMES],
        cwd=shop.path,
        env=shop.full_environment(),
        check=True,
        capture_output=True,
        timeout=TIMEOUT,
    )
    shop.environment["PRE_COMMIT_HOME"] = str(tmp_path / "cache")
    assert said(git(shop, "checkout", "feature")) == [APPLIED]
    assert said(git(shop, "checkout", "-b", "other")) == []
    shop.manage("migrations_hook", "install")
    assert said(git(shop, "checkout", "main")) == [
        "Database 'default' is in step with branch main: 1 unapplied (from feature)"
    ]


def test_while_a_server_runs_and_reloads(shop: Project) -> None:
    """It may load the code of either branch, or none of them wholly, while the hook is at work."""
    shop.settings('ROOT_URLCONF = "config.urls"')
    shop.write("config/urls.py", "urlpatterns = []\n")
    shop.commit("Urls")
    git(shop, "rebase", "--quiet", "main", "feature")
    git(shop, "checkout", "main")
    with start(shop, [sys.executable, "manage.py", "runserver", "0"]) as server:
        read_until(server, "Quit the server")
        for _ in range(2):
            assert said(git(shop, "checkout", "feature")) == [APPLIED]
            assert said(git(shop, "checkout", "main")) == [UNAPPLIED]
        assert server.poll() is None
    shop.assert_in_step()


def test_while_tests_run(shop: Project) -> None:
    shop.write(
        "shop/tests.py",
        """
        from django.test import TestCase
        from shop.models import Product

        class ProductTest(TestCase):
            def test_product(self):
                Product.objects.create(name="Chair")
                print("Waiting.", flush=True)
                input()
                self.assertEqual(Product.objects.count(), 1)
        """,
    )
    with start(shop, [sys.executable, "manage.py", "test", "shop"]) as tests:
        read_until(tests, "Waiting.")
        assert said(git(shop, "checkout", "feature")) == [APPLIED]
        output, _ = tests.communicate("go on\n")
    assert "OK" in output
    assert tests.returncode == 0
    shop.assert_in_step()


def start(project: Project, command: list[str]) -> AbstractContextManager["subprocess.Popen[str]"]:
    return started(
        command,
        cwd=project.path,
        env=project.full_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def test_what_is_no_commit_is_not_given_to_git(shop: Project) -> None:
    (shop.path / ".git/django-devtools/in-step").write_text("--output=harm\n")
    assert said(git(shop, "checkout", "feature")) == [APPLIED]
    assert not (shop.path / "harm").exists()
