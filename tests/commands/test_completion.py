"""Bash, and zsh where it is installed, complete what follows manage.py."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import load_command_class

from tests.branches.shop import make_shop_with_feature
from tests.processes import run
from tests.project import Project

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).parents[2] / "django_devtools/management/completion.sh"
# Calls what `complete -F` has registered for the command, as bash does when Tab is pressed: of a
# path, its last part counts.
PRESS_TAB = """
. {script}
words=({words})
registered=$(complete -p "${{words[0]##*/}}") || exit
COMP_WORDS=("${{words[@]}}") COMP_CWORD={last}
function=${{registered#*-F }}
"${{function%% *}}" "${{words[0]}}" "${{words[{last}]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """On main: a column is in the stash, and there are snapshots."""
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.python("from shop.models import Product; Product.objects.create(colour='red')")
    project.checkout("main")
    project.switch()
    manage = project.path / "manage.py"
    manage.write_text(f"#!{sys.executable}\n{manage.read_text()}")
    manage.chmod(0o755)
    return project


def completed(project: Project, *words: str) -> list[str]:
    """What bash offers for the last of some words."""
    quoted = " ".join(map(shlex.quote, words))
    code = PRESS_TAB.format(script=shlex.quote(str(SCRIPT)), words=quoted, last=len(words) - 1)
    done = run(
        ["bash", "--norc", "-c", code],
        cwd=project.path,
        env=project.full_environment(),
        stdout=subprocess.PIPE,
    )
    return done.stdout.split("\n")[:-1]


def test_a_target_is_any_ref(shop: Project) -> None:
    shop.git("tag", "v1")
    offered = completed(shop, "./manage.py", "migrations_switch", "")
    assert offered == ["feature", "main", "v1"]
    assert completed(shop, "./manage.py", "migrations_switch", "fe") == ["feature"]
    assert completed(shop, "./manage.py", "migrations_switch", "--trust", "v") == ["v1"]


def test_names_are_words_for_the_shell(shop: Project) -> None:
    hostile = "x$(touch${IFS}harm);`touch${IFS}harm`'\"&|"
    shop.git("update-ref", f"refs/heads/{hostile}", "HEAD")
    (offered,) = completed(shop, "./manage.py", "migrations_switch", "x")
    assert shlex.split(offered) == [hostile]
    assert not (shop.path / "harm").exists()


def test_entries_snapshots_and_databases(shop: Project) -> None:
    (entry,) = json.loads(shop.look("migrations_stash", "list", "--json"))
    python = (sys.executable, "manage.py")
    assert completed(shop, *python, "migrations_stash", "show", "") == [str(entry["id"])]
    assert completed(shop, *python, "migrations_snapshot", "--delete", "") == ["feature", "main"]
    assert completed(shop, *python, "migrations_status", "--database", "d") == ["default"]
    assert completed(shop, *python, "migrations_status", "--database", "=", "d") == ["default"]
    assert completed(shop, *python, "migrations_status", "--database", "=") == ["default"]


def test_choices_are_those_of_the_command(shop: Project) -> None:
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
        assert completed(shop, "./manage.py", name, *words, "") == [*(choices or ())]
    assert completed(shop, "./manage.py", "migrations_hook", "un") == ["uninstall"]


def test_commands_and_options_are_those_of_django(shop: Project) -> None:
    assert completed(shop, "./manage.py", "migrations_sw") == ["migrations_switch"]
    assert "--rerun" in completed(shop, "./manage.py", "migrations_switch", "--")
    assert completed(shop, "./manage.py", "migrate", "--fake-") == ["--fake-initial"]


def test_python_without_manage_py_is_left_alone(shop: Project) -> None:
    assert completed(shop, "python3", "-m", "") == [""]
