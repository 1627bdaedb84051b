"""What the page on shells and editors has to copy works: in each shell that is installed."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.branches.hooks.test_hook import git
from tests.branches.shop import make_shop, make_shop_with_feature
from tests.docs.pages import blocks, page
from tests.processes import run
from tests.project import Project

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

BLOCKS = list(blocks(page("shell-and-editor.md")))
WORDS = "out of step: 1 to unapply"


def snippet(title: str) -> str:
    """What goes into a file."""
    return "".join(block.text for block in BLOCKS if title in (block.title or "").split(" or "))


def task(label: str) -> Any:
    tasks = json.loads(snippet(".vscode/tasks.json"))["tasks"]
    return next(one for one in tasks if one["label"] == label)


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, without the hooks' doing; they have seen that feature is in step."""
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    project.manage("migrations_hook", "install")
    git(project, "checkout", "-b", "other")
    project.git("-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "main")
    return project


def shown(project: Project, *command: str, directory: Path | None = None) -> str:
    """What a shell prints that has nobody's settings."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = run(
        command,
        cwd=directory or project.path,
        env=project.full_environment() | {"HOME": "/nonexistent"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert done.stderr == ""
    return done.stdout


PROMPTS = {
    "bash": ("bash", "--norc", "-c", "PS1='$ '\n{}\nprintf %s \"${{PS1@P}}\""),
    "zsh": ("zsh", "-f", "-c", "PROMPT='%% '\n{}\nprint -nP -- $PROMPT"),
}


@pytest.mark.parametrize("shell", PROMPTS)
def test_a_prompt_has_the_words(shop: Project, tmp_path: Path, shell: str) -> None:
    *command, code = PROMPTS[shell]
    command.append(code.format(snippet(f"~/.{shell}rc")))
    end = "$ " if shell == "bash" else "% "
    assert shown(shop, *command) == f"({WORDS}) {end}"
    assert shown(shop, *command, directory=shop.path / "shop/migrations") == f"({WORDS}) {end}"
    assert shown(shop, *command, directory=tmp_path) == end


def test_a_prompt_can_be_silent_where_all_is_in_step(shop: Project) -> None:
    (line,) = re.findall(r"`(case [^`]*esac)`", page("shell-and-editor.md"))
    lines = snippet("~/.bashrc").splitlines()
    lines.insert(lines.index("}") - 1, line)
    code = "PS1='$ '\n" + "\n".join(lines) + '\nprintf %s "${PS1@P}"'
    assert shown(shop, "bash", "--norc", "-c", code) == f"({WORDS}) $ "
    git(shop, "checkout", "other")
    assert shown(shop, "bash", "--norc", "-c", code) == "$ "


def test_the_prompt_of_fish(shop: Project, tmp_path: Path) -> None:
    code = snippet("~/.config/fish/functions/fish_right_prompt.fish") + "fish_right_prompt"
    assert shown(shop, "fish", "--no-config", "-c", code) == f"{WORDS}\n"
    assert shown(shop, "fish", "--no-config", "-c", code, directory=tmp_path) == ""


def test_the_module_of_starship(shop: Project) -> None:
    module = tomllib.loads(snippet("~/.config/starship.toml"))["custom"]["migrations"]
    assert shown(shop, *module["shell"], "-c", module["command"]) == f"{WORDS}\n"
    assert shown(shop, *module["shell"], "-c", f"{module['when']} && echo yes") == "yes\n"


@pytest.mark.parametrize("arguments", [("migrations_status",), ("migrations_switch",)])
def test_the_problem_matcher_reads_what_is_printed(
    shop: Project, arguments: tuple[str, ...]
) -> None:
    status = task("migrations: status")
    shop.environment |= status["options"]["env"]
    pattern = status["problemMatcher"]["pattern"]

    lines = shop.manage(*arguments, "--check", status=1).stdout.splitlines()

    found = [match for line in lines if (match := re.search(pattern["regexp"], line))]
    assert [match[pattern["file"]] for match in found] == ["shop/migrations/0003_colour.py"]
    assert [match[pattern["line"]] for match in found] == ["1"]
    assert "shop.0003_colour" in found[0][pattern["message"]]


def test_the_files_of_a_project_in_a_directory(make_project: Callable[..., Project]) -> None:
    """The folder that is open may be the top of the repository, or that of the project."""
    project = make_project("repository/api", git=False)
    top = Project(project.path.parent, {}, project.zygote)
    top.git("init", "--quiet")
    make_shop(project)
    project.manage("migrate")
    project.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    pattern = task("migrations: status")["problemMatcher"]["pattern"]
    project.environment["GITHUB_ACTIONS"] = "true"

    output = project.manage("migrations_status", "--check", status=1).stdout

    (line,) = (line for line in output.splitlines() if line.startswith("::"))
    found = re.search(pattern["regexp"], line)
    assert found
    text = " ".join(page("shell-and-editor.md").split())
    assert '"${workspaceFolder}/.."' in text
    for folder in (top.path, project.path / ".."):
        assert (folder / found[pattern["file"]]).samefile(
            project.path / "shop/migrations/0003_other.py"
        )


def test_the_tasks_bring_the_databases_into_step(shop: Project) -> None:
    _, *status = task("migrations: status")["args"]
    _, *switch = task("migrations: switch")["args"]
    shop.manage(*status, status=1)
    shop.manage(*switch)
    shop.manage(*status)


def test_the_completion_is_where_the_page_says(shop: Project, tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "completion.sh" in block.text)
    lines = [line.removeprefix("$ ") for line in block.text.splitlines()]
    home = shlex.quote(str(tmp_path))
    code = "\n".join([f"HOME={home}", *lines, ". ~/.bashrc", "complete -p manage.py"])
    assert shown(shop, "bash", "--norc", "-c", code).startswith("complete -o default -F ")
