"""What `migrations_hook doctor` finds: hooks that would not do what they are for."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from django_devtools.branches.hooks.hook import Hooks
from django_devtools.branches.sources.git import Repository
from django_devtools.management import doctor as doctor_module
from tests.branches.hooks.test_hook import ROOT, git, make_feature, paint
from tests.databases import Configuration
from tests.project import Project

pytestmark = pytest.mark.once

WELL = "The hooks do what they are for.\n"
GIVE = "Run `git config django-devtools.manage 'COMMAND'` with one that has what it needs.\n"


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the hooks, which have all that the settings read."""
    make_feature(project)
    call_with(project, TEST_DATABASES=project.full_environment()["TEST_DATABASES"])
    return project


def call_with(project: Project, **variables: str) -> None:
    """Have the hooks call manage.py with environment variables that hooks lack."""
    words = [f"{name}={value}" for name, value in {"PYTHONPATH": str(ROOT), **variables}.items()]
    command = shlex.join(["env", *words, sys.executable, "manage.py"])
    project.git("config", "django-devtools.manage", command)


def doctor(project: Project, status: int = 1) -> str:
    return project.manage("migrations_hook", "doctor", status=status).stdout


def test_all_is_well(shop: Project) -> None:
    shop.environment["SOME"] = "value"
    shop.environment["PATH"] = f"/opt/tools:{shop.full_environment()['PATH']}"
    output = doctor(shop, status=0)
    assert f"{shop.path / '.git/hooks/post-merge'}: installed\n" in output
    rows = [line.split() for line in output.splitlines()]
    name = shop.databases["default"]["NAME"]
    assert ["settings", "config.settings", "config.settings"] in rows
    assert ["database", "'default'", name, name] in rows
    assert "PATH of the hook lacks: /opt/tools" in output
    assert output.endswith(WELL)


def test_what_the_hook_says_of_itself(shop: Project) -> None:
    found = json.loads(doctor_in_hook(shop))
    assert found["settings"] == "config.settings"
    assert found["databases"] == {"default": shop.databases["default"]["NAME"]}
    assert found["obstacles"] == {}


def doctor_in_hook(project: Project) -> str:
    return project.manage("migrations_hook", "doctor", "--in-hook").stdout


def test_hooks_that_are_not_installed(shop: Project) -> None:
    shop.manage("migrations_hook", "uninstall")
    assert (
        "\nThe hooks are not installed for this project. Run `manage.py migrations_hook "
        "install`.\n"
    ) in doctor(shop)


def test_hooks_that_were_written_over(shop: Project) -> None:
    shop.write(".git/hooks/post-merge", "#!/bin/sh\n")
    words = (
        f"The git hooks in {shop.path / '.git/hooks'} no longer call django_devtools: post-merge. "
        "Run `manage.py migrations_hook install`.\n"
    )
    assert f"\n{words}" in doctor(shop)
    assert f"\n{words}" in shop.manage("migrations_hook", "status").stdout
    assert f"\n{words}" in shop.manage("migrations_status").stdout


def test_settings_that_need_the_environment_of_the_terminal(shop: Project) -> None:
    shop.git("config", "--unset", "django-devtools.manage")
    why = "\nThe hook could not start manage.py. KeyError: 'TEST_DATABASES'\n"
    assert doctor(shop).endswith(why + GIVE)
    shop.write(".env", "")
    assert doctor(shop).endswith(
        f"{why}If .env has what it needs, run `git config django-devtools.manage "
        f"'set -a; . ./.env; set +a; {sys.executable} manage.py'`.\n"
    )
    # It was nothing that a checkout has done.
    assert "left alone" not in shop.manage("migrations_hook", "status").stdout


@pytest.mark.parametrize(
    ("command", "why"),
    [("false", "It said nothing."), ("echo '{}'; echo Broken. >&2;", "Broken.")],
)
def test_a_command_of_another_kind(shop: Project, command: str, why: str) -> None:
    shop.git("config", "django-devtools.manage", f"f() {{ {command} }}; f")
    if command == "false":
        shop.git("config", "django-devtools.manage", command)
    assert f"\nThe hook could not start manage.py. {why}\n" in doctor(shop)


def test_python_that_is_gone(shop: Project) -> None:
    shop.git("config", "--unset", "django-devtools.manage")
    caller = shop.path / ".git/django-devtools/caller.sh"
    caller.write_text(caller.read_text().replace(sys.executable, "/gone/python"))
    assert "could not start manage.py. /gone/python: No such file or directory\n" in doctor(shop)


def test_a_program_that_only_a_terminal_finds(shop: Project, tmp_path: Path) -> None:
    """As uv and poetry are, which live in the home directory: a menu knows nothing of them."""
    words = shop.git("config", "django-devtools.manage").strip().rpartition(" ")[0]
    tool = tmp_path / "bin/tool-1"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    tool.chmod(0o755)
    shop.git("config", "django-devtools.manage", "tool-1 manage.py")
    bare = shop.full_environment()["PATH"]
    assert doctor(shop).endswith(
        "tool-1: not found\n"
        "tool-1 is not found here either. Run `git config django-devtools.manage 'COMMAND'` with "
        "another.\n"
    )
    output = git(shop, "checkout", "feature")
    assert "could not start manage.py. sh: 1: tool-1: not found\n" in output
    assert ". To find out why, run `manage.py migrations_hook doctor`. Once it starts, " in output
    shop.environment["PATH"] = f"{tool.parent}:.:{bare}"
    assert doctor(shop).endswith(
        f"\ntool-1 is {tool} here. Run `manage.py migrations_hook install`, which has the hooks "
        "look there.\n"
    )
    shop.manage("migrations_hook", "install")
    assert (
        "\nThe last hook said: The databases were left alone: django_devtools could not start "
        "manage.py. sh: 1: tool-1: not found\n"
    ) in doctor(shop)
    shop.environment["PATH"] = bare
    git(shop, "checkout", "main")
    assert "is in step with branch feature" in git(shop, "checkout", "feature")
    assert doctor(shop, status=0).endswith(WELL)
    # A path that moves is found nowhere, and the hooks still work otherwise.
    tool.rename(tool.with_name("tool-2"))
    assert "tool-1 is not found here either." in doctor(shop)


def test_another_database(shop: Project) -> None:
    shop.settings('DATABASES["default"]["NAME"] = os.environ.get("NAME", "fallback.sqlite3")')
    shop.environment["NAME"] = name = shop.databases["default"]["NAME"]
    assert doctor(shop).endswith(
        f"\nDatabase 'default' is {name} here, and fallback.sqlite3 in the hook. {GIVE}"
        "\nDatabase 'default' (fallback.sqlite3) does not exist. Run `manage.py migrate` to make "
        "it.\n"
    )
    # Nothing was made.
    assert not (shop.path / "fallback.sqlite3").exists()
    (shop.path / "fallback.sqlite3").touch()
    assert "(fallback.sqlite3) has no applied migrations. Run `manage.py migrate`" in doctor(shop)
    (shop.path / "fallback.sqlite3").write_text("This is no database, and far from being one.")
    assert "can't be reached: file is not a database" in doctor(shop)


def with_all_it_needs(project: Project) -> Project:
    """Whatever the environment of the terminal, the settings have all databases."""
    make_feature(project)
    settings = project.path / "config/settings.py"
    named = 'os.environ["TEST_DATABASES"]'
    databases = project.full_environment()["TEST_DATABASES"]
    settings.write_text(settings.read_text().replace(named, repr(databases)))
    project.manage("migrations_hook", "install", f"--pythonpath={ROOT}")
    return project


def test_databases_that_a_switch_leaves_alone(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    databases = {"legacy": make_database("sqlite"), "reports": make_database("sqlite")}
    project = with_all_it_needs(make_project(default=make_database("sqlite"), **databases))
    project.settings(
        'DATABASES["new"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": "new.sqlite3"}\n'
        'DATABASES["copy"] = {**DATABASES["new"], "NAME": "copy.sqlite3"}\n'
        'DATABASES["copy"]["TEST"] = {"MIRROR": "default"}'
    )
    project.python(
        "from django.db import connections\n"
        "connections['legacy'].cursor().execute('CREATE TABLE theirs (a)')"
    )
    assert doctor(project, status=0).endswith(WELL)
    assert not (project.path / "new.sqlite3").exists()
    # Whoever has the table of migrations, has had some.
    project.python(
        "from django.db import connections\n"
        "from django.db.migrations.recorder import MigrationRecorder\n"
        "MigrationRecorder(connections['reports']).ensure_schema()"
    )
    assert doctor(project).endswith(
        " has no applied migrations. Run `manage.py migrate --database reports` to apply them.\n"
    )


def test_another_host_is_only_shown_where_git_has_a_command_of_yours(project: Project) -> None:
    """A container has names of its own for hosts and directories."""
    with_all_it_needs(project).settings(
        'import os\nDATABASES["default"]["HOST"] = os.environ.get("DB_HOST", "db")'
    )
    project.environment["DB_HOST"] = "localhost"
    assert f" at localhost here, and {project.databases['default']['NAME']} at db in the " in (
        doctor(project)
    )
    call_with(project)
    output = doctor(project, status=0)
    assert " at localhost " in output
    assert " at db\n" in output
    assert output.endswith(WELL)


def test_debug_is_off(shop: Project) -> None:
    shop.settings("DEBUG = False")
    assert "\nDEBUG is off in the hook, which then changes no database. " in doctor(shop)


def test_what_would_be_refused(shop: Project) -> None:
    paint(shop)
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    shop.checkout("main")
    output = doctor(shop)
    assert "\nDJANGO_DEVTOOLS_HOOK is 0: the hooks do nothing. Run `unset " in output
    assert "\nshop.0004_paint can't be unapplied: " in output
    assert output.endswith("\nRun `manage.py migrations_switch --irreversible=noop`.\n")
    # It is not said again because a hook has found it, too.
    shop.manage("migrations_hook", "run", status=1)
    assert doctor(shop) == output


def test_what_was_left(shop: Project) -> None:
    (shop.path / ".git/django-devtools/failed").write_text("The databases were left alone.")
    assert doctor(shop).endswith("\nThe last hook said: The databases were left alone.\n")


def test_status_for_other_programs(shop: Project) -> None:
    (shop.path / ".git/django-devtools/failed").write_text("The databases were left alone.")
    found = json.loads(shop.manage("migrations_hook", "status", "--json").stdout)
    assert found["project"] == "."
    assert found["hooks"][0] == {
        "name": "post-checkout",
        "path": str(shop.path / ".git/hooks/post-checkout"),
        "state": "installed",
        "tool": None,
    }
    command = shop.git("config", "django-devtools.manage").strip()
    assert found["caller"] == {
        "command": command,
        "python": sys.executable,
        "manage_py": "manage.py",
        "options": [],
    }
    assert found["failure"] == "The databases were left alone."
    shop.manage("migrations_hook", "uninstall")
    found = json.loads(shop.manage("migrations_hook", "status", "--json").stdout)
    assert found["caller"] is None
    assert found["hooks"][1]["state"] == "not installed"


@pytest.mark.parametrize("action", ["install", "uninstall", "doctor", "run"])
def test_json_is_for_the_status(shop: Project, action: str) -> None:
    refused = shop.manage("migrations_hook", action, "--json", status=1)
    assert refused.stdout == ""
    assert refused.stderr == (
        "CommandError: --json is for the status alone: manage.py migrations_hook status --json\n"
    )


def test_a_command_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_module, "PATIENCE", 0.1)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    os.mkfifo(tmp_path / "pipe")
    # Two processes: a shell, and one that it waits for. Both hold the pipe open.
    command = ["git", "config", "django-devtools.manage", "sh -c 'read line; :' <>pipe; :"]
    subprocess.run(command, cwd=tmp_path, check=True)
    repository = Repository.find(tmp_path)
    assert repository
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert doctor_module.ask_hook(Hooks(repository)) == "It did not end within 0.1 seconds."
    # This waits for the end of all that could write to it.
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)
