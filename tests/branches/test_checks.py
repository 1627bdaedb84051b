"""What ``manage.py check`` and ``runserver`` say of the databases and the hooks."""

import gc
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from django_devtools.branches import checks
from tests.branches.shop import make_shop, make_shop_with_feature
from tests.processes import read_until, started
from tests.project import Project

WELL = "System check identified no issues (0 silenced).\n"
PHANTOM = (
    "?: (django_devtools.W001) Database 'default' is out of step with branch main: "
    "shop.0003_colour (phantom from feature).\n"
    "\tHINT: To bring them into step: manage.py migrations_switch\n"
)


def check(project: Project, *arguments: str) -> str:
    result = project.manage("check", *arguments)
    return result.stdout + result.stderr


def test_all_is_well(project: Project) -> None:
    make_shop_with_feature(project)
    assert check(project, "--database", "default") == WELL


def test_a_phantom(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    assert PHANTOM in check(project, "--database", "default")
    assert check(project) == WELL
    # It would be no help while it is at work.
    assert "W001" not in project.manage("migrations_switch", "--no-input").stderr


def test_a_changed_migration(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    file = project.path / "shop/migrations/0003_colour.py"
    file.write_text(file.read_text().replace("20", "30"))
    assert "shop.0003_colour (changed from feature)" in check(project, "--database", "default")


def test_what_is_only_pending(project: Project) -> None:
    """Django says so itself, and `migrate` runs these checks before it applies."""
    make_shop(project)
    assert check(project, "--database", "default") == WELL


def test_in_production(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.settings("DEBUG = False")
    assert check(project, "--database", "default") == WELL


def test_a_snapshot_file_that_is_damaged(project: Project) -> None:
    make_shop(project)
    file = project.path / ".git/django-devtools/snapshots.json"
    file.parent.mkdir()
    file.write_text("{")
    assert (
        "(django_devtools.W005) The databases can't be compared with this checkout: "
        f"{file} is damaged"
    ) in check(project, "--database", "default")


def test_a_database_that_is_not_there(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.settings('DATABASES["gone"] = {**DATABASES["default"], "NAME": "/nowhere/x"}')
    output = check(project, "--database", "gone", "--database", "default")
    assert "'gone'" not in output
    assert PHANTOM in output


def test_a_broken_migration(project: Project) -> None:
    make_shop(project)
    project.write("shop/migrations/0003_broken.py", "nonsense")
    assert (
        "(django_devtools.W005) The databases can't be compared with this checkout: "
        "name 'nonsense' is not defined\n"
    ) in check(project, "--database", "default")


def test_git_that_refuses(hooked: Project) -> None:
    hooked.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    assert check(hooked) == WELL
    assert "W005) The databases can't be compared with this checkout: fatal: detected" in check(
        hooked, "--database", "default"
    )


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_garbage_collector_is_as_it_was(
    is_enabled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def compare(*arguments: object) -> None:
        seen.append(gc.isenabled())
        raise ValueError("Something is wrong.")

    monkeypatch.setattr(checks, "compare", compare)
    was_enabled = gc.isenabled()
    try:
        (gc.enable if is_enabled else gc.disable)()
        (warning,) = checks.about_databases(["default"])
        assert "Something is wrong." in warning.msg
        assert seen == [False]
        assert gc.isenabled() is is_enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_runserver(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")
    project.settings('ROOT_URLCONF = "config.urls"')
    project.write("config/urls.py", "urlpatterns = []\n")
    with started(
        [sys.executable, "manage.py", "runserver", "--noreload", "0"],
        cwd=project.path,
        env=project.full_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        assert PHANTOM in read_until(server, "Quit the server")


@pytest.fixture
def hooked(project: Project) -> Project:
    make_shop_with_feature(project)
    project.manage("migrations_hook", "install")
    return project


def test_hooks_that_are_as_they_should_be(hooked: Project) -> None:
    assert check(hooked) == WELL


def test_outdated_hooks(hooked: Project) -> None:
    hooks = hooked.path / ".git/hooks"
    (hooks / "post-merge").unlink()
    assert (
        f"?: (django_devtools.W002) The git hooks in {hooks} no longer call django_devtools: "
        "post-merge.\n"
        "\tHINT: Run `manage.py migrations_hook install`.\n"
    ) in check(hooked)


def test_hooks_that_are_not_called_any_more(hooked: Project) -> None:
    hooked.git("config", "core.hooksPath", "/dev/null")
    assert "(django_devtools.W002) The git hooks in /dev/null no longer call" in check(hooked)
    hooked.manage("migrations_hook", "uninstall")
    assert check(hooked) == WELL


def test_hooks_of_another_version(hooked: Project) -> None:
    script = hooked.path / ".git/django-devtools/hook.sh"
    script.write_text(script.read_text().replace("post-checkout", "post-checkin"))
    assert "django_devtools.W002" in check(hooked)


def test_a_python_that_is_gone(hooked: Project) -> None:
    script = hooked.path / ".git/django-devtools/caller.sh"
    script.write_text(script.read_text().replace(sys.executable, "/gone/python"))
    assert (
        "?: (django_devtools.W003) The git hooks call /gone/python, which no longer exists.\n"
        "\tHINT: Run `manage.py migrations_hook install`, or `git config django-devtools.manage "
        "'COMMAND'`.\n"
    ) in check(hooked)
    hooked.git("config", "django-devtools.manage", "docker compose exec web python manage.py")
    assert check(hooked) == WELL


def test_git_that_is_old(hooked: Project, tmp_path: Path) -> None:
    git = shutil.which("git")
    script = tmp_path / "bin/git"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *version) echo git version 2.30.2;; *) exec {git} "$@";; esac\n'
    )
    script.chmod(0o755)
    hooked.environment["PATH"] = str(script.parent)
    assert (
        "?: (django_devtools.W006) git 2.30.2 is older than 2.39, the oldest that this package is "
        "tested with.\n\tHINT: Install a newer one, and put its directory first in PATH.\n"
    ) in check(hooked)


def test_a_database_that_git_tracks(hooked: Project) -> None:
    shutil.copy(hooked.databases["default"]["NAME"], hooked.path / "db.sqlite3")
    hooked.settings('DATABASES["default"]["NAME"] = "db.sqlite3"')
    hooked.git("add", "--force", "db.sqlite3")
    hint = "Name another file in the settings, and add that to .gitignore.\n"
    assert (
        "?: (django_devtools.W007) Git tracks the database db.sqlite3, so each checkout replaces "
        f"it.\n\tHINT: {hint}"
    ) in check(hooked)
    assert hint in hooked.manage("migrations_hook", "install").stderr
    hooked.git("rm", "--quiet", "--cached", "db.sqlite3")
    assert check(hooked) == WELL


def test_a_failure(hooked: Project) -> None:
    broken = hooked.path / "shop/migrations/0004_broken.py"
    broken.write_text("nonsense")
    hooked.manage("migrations_hook", "run", status=1)
    broken.unlink()
    assert "?: (django_devtools.W004) The databases were left alone. " in check(hooked)
    assert "\tHINT: To continue, run `manage.py migrations_switch`\n" in check(hooked)
    hooked.manage("migrations_switch", "--no-input")
    assert check(hooked) == WELL


@pytest.mark.parametrize(
    ("number", "value", "message"),
    [
        (1, "[]", "DJANGO_DEVTOOLS must be a dict, not []."),
        (
            2,
            '{"AUTO_SNAPSHOTS": True}',
            "DJANGO_DEVTOOLS has no key 'AUTO_SNAPSHOTS'.\n\tHINT: Did you mean 'AUTO_SNAPSHOT'?",
        ),
        (
            2,
            "{1: True}",
            (
                "DJANGO_DEVTOOLS has no key 1.\n"
                "\tHINT: It has AUTO_SNAPSHOT, HOOK_ROWS, HOOK_SECONDS, IRREVERSIBLE, "
                "SNAPSHOT_FILE."
            ),
        ),
        (
            3,
            '{"AUTO_SNAPSHOT": "yes"}',
            "DJANGO_DEVTOOLS['AUTO_SNAPSHOT'] must be of type bool, not 'yes'.",
        ),
        (
            3,
            '{"SNAPSHOT_FILE": 1}',
            "DJANGO_DEVTOOLS['SNAPSHOT_FILE'] must be of type str or Path, not 1.",
        ),
        (
            3,
            '{"IRREVERSIBLE": "kept"}',
            "DJANGO_DEVTOOLS['IRREVERSIBLE'] must be one of 'fail', 'keep', 'noop', not 'kept'.",
        ),
    ],
)
def test_settings(project: Project, number: int, value: str, message: str) -> None:
    project.settings(f"DJANGO_DEVTOOLS = {value}")
    assert f"(django_devtools.E00{number}) {message}\n" in project.manage("check", status=1).stderr


def test_good_settings(project: Project) -> None:
    project.settings(
        'from pathlib import Path\nDJANGO_DEVTOOLS = {"SNAPSHOT_FILE": Path("a"), '
        '"AUTO_SNAPSHOT": True}'
    )
    assert check(project) == WELL
