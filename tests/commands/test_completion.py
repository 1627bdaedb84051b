"""Bash, and zsh where it is installed, complete what follows manage.py."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.branches.shop import make_shop_with_feature
from tests.processes import run
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).parents[2] / "django_devtools/management/completion.sh"
# Calls what is registered for the command, as Tab does: of a path, its last part counts.
PRESS_TAB = {
    "bash": """
. {script}
words=({words})
registered=$(complete -p "${{words[0]##*/}}") || exit
COMP_WORDS=("${{words[@]}}") COMP_CWORD={last}
function=${{registered#*-F }}
"${{function%% *}}" "${{words[0]}}" "${{words[{last}]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
autoload -Uz compinit && compinit -u -D
. {script}
words=({words}) CURRENT=$(({last} + 1))
registered=(${{=_comps[${{words[1]:t}}]}})
COMP_WORDS=("${{words[@]}}") COMP_CWORD={last}
compgen "${{registered[@]:1}}" -- "${{words[CURRENT]}}"
""",
}
START = {"bash": ["bash", "--norc", "-c"], "zsh": ["zsh", "-f", "-c"]}


@pytest.fixture
def shop(project: Project) -> Project:
    """On main: a column is in the stash, and there are snapshots."""
    fill(project)
    return project


@made_once
def fill(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.python("from shop.models import Product; Product.objects.create(colour='red')")
    project.checkout("main")
    project.switch()
    manage = project.path / "manage.py"
    manage.write_text(f"#!{sys.executable}\n{manage.read_text()}")
    manage.chmod(0o755)


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


def completed(shell: str, project: Project, *words: str, also: str = ":") -> list[str]:
    """What a shell offers for the last of some words."""
    quoted = " ".join(map(shlex.quote, words))
    script = shlex.quote(str(SCRIPT))
    code = PRESS_TAB[shell].format(script=f"{script}\n{also}", words=quoted, last=len(words) - 1)
    done = run(
        [*START[shell], code],
        cwd=project.path,
        env=project.full_environment(),
        stdout=subprocess.PIPE,
    )
    return [*filter(None, done.stdout.split("\n"))]


def test_a_target_is_any_ref(shop: Project, shell: str) -> None:
    shop.git("tag", "v1")
    offered = completed(shell, shop, "./manage.py", "migrations_switch", "")
    assert offered == ["feature", "main", "v1"]
    assert completed(shell, shop, "./manage.py", "migrations_switch", "fe") == ["feature"]
    assert completed(shell, shop, "./manage.py", "migrations_switch", "--trust", "v") == ["v1"]


def test_names_are_words_for_the_shell(shop: Project, shell: str) -> None:
    hostile = "x$(touch${IFS}harm);`touch${IFS}harm`'\"&|"
    shop.git("update-ref", f"refs/heads/{hostile}", "HEAD")
    (offered,) = completed(shell, shop, "./manage.py", "migrations_switch", "x")
    assert shlex.split(offered) == [hostile]
    assert not (shop.path / "harm").exists()


def test_entries_snapshots_and_databases(shop: Project, shell: str) -> None:
    (entry,) = json.loads(shop.look("migrations_stash", "list", "--json"))
    python = (sys.executable, "manage.py")
    assert completed(shell, shop, *python, "migrations_stash", "show", "") == [str(entry["id"])]
    assert completed(shell, shop, *python, "migrations_snapshot", "--delete", "") == [
        "feature",
        "main",
    ]
    assert completed(shell, shop, *python, "migrations_status", "--database", "d") == ["default"]


def test_what_is_typed_already_is_not_offered_again(shop: Project, shell: str) -> None:
    show = ("./manage.py", "migrations_stash", "show")
    (entry,) = completed(shell, shop, *show, "")
    assert completed(shell, shop, *show, entry, "") == []
    assert completed(shell, shop, *show, entry) == [entry]
    database = ("--database", "default", "--database", "")
    assert completed(shell, shop, "./manage.py", "migrate", *database) == []


@pytest.mark.parametrize("launcher", [["uv", "run"], ["poetry", "run", "python"]])
def test_behind_a_launcher(shop: Project, shell: str, launcher: list[str], tmp_path: Path) -> None:
    """Not without being told to: it would complete nothing else of the launcher any more."""
    tool = tmp_path / launcher[0]
    words = len(launcher) - 1
    tool.write_text(f'#!/bin/sh\nshift {words}\nexec {shlex.quote(sys.executable)} "$@"\n')
    tool.chmod(0o755)
    shop.environment["PATH"] = f"{tmp_path}:{shop.full_environment()['PATH']}"
    assert completed(shell, shop, launcher[0], "") == []
    manage = [*launcher, "manage.py"]
    register = f"complete -o default -F _django_devtools {launcher[0]}"
    assert completed(shell, shop, *manage, "migrations_switch", "fe", also=register) == ["feature"]
    assert len(completed(shell, shop, *manage, "migrations_stash", "drop", "", also=register)) == 1
    assert completed(shell, shop, *manage, "migrations_st", also=register) == [
        "migrations_stash",
        "migrations_status",
    ]
    assert completed(shell, shop, launcher[0], "r", also=register) == []


def test_bash_makes_words_of_an_equals_sign(shop: Project) -> None:
    words = ("./manage.py", "migrations_status", "--database", "=")
    assert completed("bash", shop, *words) == ["default"]
    assert completed("bash", shop, *words, "d") == ["default"]


def test_choices_are_those_of_the_command(shop: Project, shell: str) -> None:
    for name, option in (
        ("migrations_stash", "action"),
        ("migrations_hook", "action"),
        ("migrations_switch", "--irreversible"),
    ):
        parser = load_command_class("django_devtools", name).create_parser("manage.py", name)
        (choices,) = (
            one.choices
            for one in parser._actions
            if one.dest == option or option in one.option_strings
        )
        words = [option] if option.startswith("--") else []
        assert completed(shell, shop, "./manage.py", name, *words, "") == [*(choices or ())]
    assert completed(shell, shop, "./manage.py", "migrations_hook", "un") == ["uninstall"]


def test_commands_and_options_are_those_of_django(shop: Project, shell: str) -> None:
    assert completed(shell, shop, "./manage.py", "migrations_sw") == ["migrations_switch"]
    assert "--rerun" in completed(shell, shop, "./manage.py", "migrations_switch", "--")
    assert completed(shell, shop, "./manage.py", "migrate", "--fake-") == ["--fake-initial"]


def test_python_without_manage_py_is_left_alone(shop: Project, shell: str) -> None:
    assert completed(shell, shop, "python3", "-m", "") == []
