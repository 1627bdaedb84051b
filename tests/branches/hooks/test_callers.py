"""Several projects in one repository, which the hooks call one after the other."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from django_devtools.branches.hooks.projects import place
from django_devtools.management.commands.migrations_hook import programs
from tests.branches.hooks.test_hook import ROOT, add_size, git, said
from tests.branches.hooks.test_long import CTRL_C, WAIT, WAITING, at_terminal
from tests.branches.shop import add_colour, make_shop
from tests.databases import MAKERS
from tests.processes import run
from tests.project import Project

pytestmark = pytest.mark.once

Both = tuple[Project, Project]

# Where git runs hooks: at the top.
LAST_WORD = 'trap : INT; cd ..; "$@"; echo The end.'


@pytest.fixture
def both(make_project: Callable[..., Project], tmp_path: Path) -> Both:
    """On main: two shops, with hooks. The branch feature, applied before, has a colour in both."""
    api = make_project("repository/api", git=False)
    other = tmp_path / "other"
    other.mkdir()
    web = Project.make(
        tmp_path / "repository/the web's",
        {"default": MAKERS["sqlite"](other)[0]},
        api.zygote,
        git=False,
    )
    top = Project(tmp_path / "repository", {}, api.zygote)
    top.git("init", "--quiet", "--initial-branch=main")
    top.write(".gitignore", "*.sqlite3\n__pycache__\n")
    for project in (api, web):
        make_shop(project)
        project.settings(f"import json\nDATABASES = json.loads({_json(project)!r})")
        project.manage("migrate")
    api.commit("Shops")
    top.checkout("-b", "feature")
    for project in (api, web):
        add_colour(project)
    api.commit("Colours")
    top.checkout("main")
    for project in (api, web):
        project.manage("migrations_hook", "install")
    return api, web


def _json(project: Project) -> str:
    return project.full_environment()["TEST_DATABASES"]


def entry(project: Project) -> Path:
    """Where the git directory has what belongs to a project."""
    return project.path.parent / ".git" / place(Path(project.path.name))


def test_both_are_called(both: Both) -> None:
    api, web = both
    assert entry(api) != entry(web)
    for branch, summary in (("feature", "1 applied"), ("main", "1 unapplied (from feature)")):
        words = f"Database 'default' is in step with branch {branch}: {summary}"
        assert lines(git(api, "checkout", branch)) == [f"api: {words}", f"the web's: {words}"]
        api.assert_in_step()
        web.assert_in_step()


def lines(output: str) -> list[str]:
    """The lines of both projects, without times."""
    return [
        f"{project}: {said(words)[0]}"
        for project, colon, words in (line.partition(": ") for line in output.splitlines())
        if colon and said(words)
    ]


def test_without_a_difference_git_is_asked_once_and_python_is_not_started(both: Both) -> None:
    api, web = both
    git(api, "checkout", "-b", "first")
    assert (entry(api) / "in-step").read_text() == (entry(web) / "in-step").read_text()
    api.git("config", "django-devtools.manage", "echo Started:")
    trace = api.path.parent / ".git/trace"
    api.environment["GIT_TRACE"] = str(trace)
    assert "Started:" not in git(api, "checkout", "main")
    assert trace.read_text().count("built-in: git diff --quiet") == 1
    assert git(api, "checkout", "feature").count("Started: migrations_hook run\n") == 2


def test_where_one_fails_the_other_goes_on(both: Both) -> None:
    api, web = both
    api.checkout("feature", "--detach")
    api.settings("import nothing_of_that_name")
    api.commit("Broken")
    api.checkout("-")
    output = git(api, "checkout", "-")
    assert (
        "\napi: The databases were left alone: django_devtools could not start manage.py. Mod"
        in (output)
    )
    assert f'/django-devtools/{entry(api).name}/hook.log"`' in output
    assert "the web's: Database 'default' is in step with this checkout: 1 applied" in output
    assert "Once it starts, run `api/manage.py migrations_switch`\n" in output
    assert "left alone" in (entry(api) / "failed").read_text()
    assert "left alone" not in web.manage("migrations_hook", "status").stdout
    assert (entry(web) / "in-step").exists()
    assert not (entry(api) / "in-step").exists()


def test_commands_are_those_to_type_at_the_top(both: Both) -> None:
    api, web = both
    web.settings("DEBUG = False")
    web.commit("Production")
    output = git(api, "checkout", "feature")
    assert output.count("DEBUG is off") == 0  # The setting is that of main.
    web.settings("DEBUG = False")
    web.commit("Production, too")
    output = git(api, "checkout", "main")
    _, _, command = output.rpartition("\nTo continue, run `")
    words = shlex.split(command.rstrip("`\n"))
    assert words == ["the web's/manage.py", "migrations_switch"]
    done = run(
        [sys.executable, *words, "--allow-debug-off"],
        cwd=api.path.parent,
        env=web.full_environment(),
        stdout=subprocess.PIPE,
    )
    assert "unapply 1 of shop" in done.stdout


def test_a_project_whose_manage_py_has_another_name(both: Both) -> None:
    api, web = both
    for branch in ("feature", "main"):
        api.git("-c", "core.hooksPath=/dev/null", "checkout", "--quiet", branch)
        web.git("mv", "manage.py", "dev.py")
        web.settings("DEBUG = False")
        web.commit("Another name")
    caller = entry(web) / "caller.sh"
    caller.write_text(caller.read_text().replace("/manage.py", "/dev.py"))
    output = git(api, "checkout", "feature")
    assert """To continue, run `'the web'"'"'s/dev.py' migrations_switch`\n""" in output


def test_python_that_is_gone_in_one_of_them(both: Both) -> None:
    api, web = both
    caller = entry(web) / "caller.sh"
    caller.write_text(caller.read_text().replace(sys.executable, "/gone/python"))
    assert (
        "the web's: The databases were left alone: /gone/python no longer exists.\n"
        """Run `'the web'"'"'s/manage.py' migrations_hook install` with the Python """
    ) in git(api, "checkout", "feature")


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_ctrl_c_is_for_all_of_them(both: Both, shell: str) -> None:
    """Bash continues after a command that handles Ctrl-C and exits; other shells exit, too."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    api, web = both
    os.mkfifo(api.path / "gate")
    api.environment |= {"DJANGO_DEVTOOLS_HOOK": "0", "GIT_PROGRESS_DELAY": "0"}
    git(api, "checkout", "feature")
    api.migration(
        "shop", "0004_wait", "migrations.RunPython(wait),", [("shop", "0003_colour")], before=WAIT
    )
    api.commit("Wait")
    del api.environment["DJANGO_DEVTOOLS_HOOK"]
    commits = api.git("rev-parse", "main", "feature").split()
    script = str(api.path.parent / ".git/django-devtools/hook.sh")
    hook = [shell, script, "post-checkout", *commits, "1"]
    with at_terminal(api, "sh", "-c", LAST_WORD, "sh", *hook) as terminal:
        terminal.read_until("\rdjango_devtools: Applying shop.0004_wait")
        terminal.type(CTRL_C)
        terminal.read_until("The end.")
    assert f"{WAITING}migration left it.\r\n" in terminal.said
    assert web.states() == {"shop.0003_colour": "pending"}
    assert "the web's:" not in terminal.said


def test_each_has_its_own_setting_of_git(both: Both) -> None:
    api, web = both
    api.git("config", "django-devtools.the web's.manage", "echo Of the web:")
    api.git("config", "django-devtools.manage", "echo Of all:")
    output = git(api, "checkout", "feature")
    assert "Of all: migrations_hook run\nOf the web: migrations_hook run\n" in output
    assert "Of the web:" in web.manage("migrations_hook", "status", "--json").stdout
    assert "Of all:" in api.manage("migrations_hook", "status", "--json").stdout


@pytest.mark.parametrize(
    ("separator", "path", "expected"),
    [
        (":", "/home/ann/.local/bin:bin::/usr/bin", "/home/ann/.local/bin:/usr/bin"),
        (";", r"C:\Python312;D:\uv", ""),
    ],
)
def test_the_path_of_the_terminal_is_for_a_shell(
    monkeypatch: pytest.MonkeyPatch, separator: str, path: str, expected: str
) -> None:
    monkeypatch.setattr(os, "pathsep", separator)
    monkeypatch.setenv("PATH", path)
    assert programs() == expected


def test_the_setting_of_a_project_at_the_top_is_its_own(project: Project) -> None:
    make_shop(project)
    below = Project.make(project.path / "below", {}, project.zygote, git=False)
    project.commit("Below")
    for one in (project, below):
        one.manage("migrations_hook", "install")
    project.git("config", "django-devtools.manage", "echo Of the top:")
    output = git(project, "checkout", "-b", "feature")
    assert output.count("Of the top: migrations_hook run") == 1
    status = below.manage("migrations_hook", "status", "--json").stdout
    assert json.loads(status)["caller"]["command"] is None
    assert "Of the top:" in project.manage("migrations_hook", "status", "--json").stdout
    project.git("config", "django-devtools.below.manage", "echo From below:")
    assert "From below: migrations_hook run" in git(project, "checkout", "main")


def test_the_setting_that_doctor_names_leaves_the_others_alone(both: Both) -> None:
    """What it says is typed, and both are called as before: one of them with its settings."""
    api, _ = both
    api.write("config/dev.py", "import os\nfrom .settings import *\nos.environ['NEEDED']\n")
    api.environment |= {"DJANGO_SETTINGS_MODULE": "config.dev", "NEEDED": "here"}
    api.manage("migrations_hook", "install", f"--pythonpath={ROOT}")
    output = api.manage("migrations_hook", "doctor", status=1).stdout
    assert "\nRun `git config django-devtools.api.manage 'COMMAND'` with one that has " in output
    api.write("../.env", f"TEST_DATABASES={shlex.quote(_json(api))}\nNEEDED=yes\n")
    output = api.manage("migrations_hook", "doctor", status=1).stdout
    (command,) = re.findall(r"has what it needs, run `(git config .*)`", output)
    assert shlex.split(command)[2] == "django-devtools.api.manage"
    run(["sh", "-c", command], cwd=api.path).check_returncode()
    api.environment.clear()
    words = "Database 'default' is in step with branch feature: 1 applied"
    assert lines(git(api, "checkout", "feature")) == [f"api: {words}", f"the web's: {words}"]


def test_a_setting_whose_name_has_spaces(both: Both) -> None:
    _, web = both
    caller = entry(web) / "caller.sh"
    caller.write_text(caller.read_text().replace(sys.executable, "/gone/python"))
    quoted = """git config 'django-devtools.the web'"'"'s.manage' 'COMMAND'"""
    assert f"or `{quoted}`" in web.manage("check").stderr
    assert f"Run `{quoted}` with" in web.manage("migrations_hook", "doctor", status=1).stdout


def test_settings_that_are_meant_for_one_of_them(both: Both) -> None:
    """Which of them, nobody knows."""
    api, _ = both
    api.environment["DJANGO_SETTINGS_MODULE"] = "of_the_web"
    assert git(api, "checkout", "feature").count(": 1 applied, in ") == 2


def test_migrate_in_one_of_them(both: Both) -> None:
    """The databases of the other are in step as before."""
    api, web = both
    git(api, "checkout", "-b", "first")
    web.manage("migrate", "shop", "0001")
    assert (entry(api) / "in-step").exists()
    assert not (entry(web) / "in-step").exists()


def test_in_a_work_tree(both: Both, tmp_path: Path) -> None:
    """Its state is its own, and who is called is the same."""
    api, _ = both
    api.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "tree")
    tree = Project(tmp_path / "tree", {}, api.zygote)
    assert git(tree, "checkout", "feature").count(": 1 applied, in ") == 2
    assert (tmp_path / "repository/.git/worktrees/tree/django-devtools").is_dir()
    assert not (entry(api) / "in-step").exists()


def test_a_project_that_only_other_branches_have(both: Both) -> None:
    """It is the first of them, and the other is called all the same."""
    api, web = both
    web.checkout("-b", "alone")
    web.git("rm", "-r", "--quiet", str(api.path))
    add_size(web)
    web.commit("Alone")
    web.checkout("main")
    words = "Database 'default' is in step with branch alone: 1 applied"
    assert lines(git(web, "checkout", "alone")) == [f"the web's: {words}"]


def test_install_says_whom_they_call(both: Both) -> None:
    api, web = both
    installed = f"Installed in {api.path.parent / '.git/hooks'}: post-checkout, post-merge, "
    also = "post-rewrite.\nThey also call the projects in: api.\n"
    assert web.manage("migrations_hook", "install").stdout.startswith(installed + also)
    shop = web.path / "manage_shop.py"
    (web.path / "manage.py").rename(shop)
    web.write("manage.py", "")
    command = [sys.executable, str(shop), "migrations_hook", "install"]
    done = run(command, cwd=web.path, env=web.full_environment(), stdout=subprocess.PIPE)
    assert (
        "\nThey no longer call the web's/manage.py, but the web's/manage_shop.py.\n" in done.stdout
    )


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_a_project_that_is_gone_is_called_no_longer(both: Both, action: str) -> None:
    """It was moved. While a branch has it where it was, that branch may be checked out."""
    api, web = both
    web.git("mv", str(api.path), "../moved")
    web.commit("Moved")
    web.manage("migrations_hook", "install")
    assert (entry(api) / "caller.sh").exists()
    web.git("branch", "--delete", "--force", "feature")
    gone = "The hooks no longer call the project in api, as no branch has api/manage.py.\n"
    assert gone in web.manage("migrations_hook", action).stdout
    assert not (entry(api) / "caller.sh").exists()
    installed = (api.path.parent / ".git/django-devtools/hook.sh").exists()
    assert installed is (action == "install")


def test_a_project_that_only_a_command_finds_is_called(both: Both) -> None:
    api, web = both
    api.git("config", "django-devtools.api.manage", "true")
    caller = entry(api) / "caller.sh"
    caller.write_text(caller.read_text().replace("./api/manage.py", "./api/elsewhere.py"))
    assert "also call the projects in: api.\n" in web.manage("migrations_hook", "install").stdout


def test_status_and_uninstall_are_about_one_of_them(both: Both) -> None:
    api, web = both
    hooks = api.path.parent / ".git/hooks"
    assert api.manage("migrations_hook", "uninstall").stdout == (
        f"The hooks in {hooks} no longer call this project. They still call the projects in: "
        "the web's.\n"
    )
    assert (
        f"{hooks / 'post-merge'}: not installed\n"
        in api.manage("migrations_hook", "status").stdout
    )
    assert f"{hooks / 'post-merge'}: installed\n" in web.manage("migrations_hook", "status").stdout
    assert "W002" not in api.manage("check").stderr
    assert said(git(api, "checkout", "feature")) == [
        "Database 'default' is in step with branch feature: 1 applied"
    ]
    assert api.manage("migrations_hook", "uninstall").stdout == (
        f"No django_devtools hooks found in {hooks}.\n"
    )
    assert web.manage("migrations_hook", "uninstall").stdout == f"Removed from {hooks}.\n"
    assert not any(hooks.glob("post-*[!e]"))
    assert not (hooks.parent / "django-devtools/hook.sh").exists()


def test_hooks_of_an_earlier_version(both: Both) -> None:
    """They called the project that was installed last, and had it in the script that all call."""
    api, web = both
    script = api.path.parent / ".git/django-devtools/hook.sh"
    values = (entry(api) / "caller.sh").read_text().partition("\ndirectory=api\n")[2]
    script.write_text(f"# Written by an earlier version.\n{values}\n{script.read_text()}")
    for project in both:
        (entry(project) / "caller.sh").unlink()
    assert "post-merge: outdated" in api.manage("migrations_hook", "status").stdout
    assert "W002" in api.manage("check").stderr
    assert "post-merge: not installed" in web.manage("migrations_hook", "status").stdout
    assert "W002" not in web.manage("check").stderr

    web.manage("migrations_hook", "install")

    assert "post-merge: installed" in api.manage("migrations_hook", "status").stdout
    assert git(api, "checkout", "feature").count(": 1 applied, in ") == 2


@pytest.mark.parametrize("name", ["a\nb", "-", ".", "x" * 300, "é/$(touch harm)", "..a/b", "a b"])
def test_places_are_plain_names(name: str) -> None:
    found = place(Path(name)).as_posix()
    assert found.replace("django-devtools", "", 1).replace("/", "").replace("-", "").isalnum() or (
        name == "."
    )
    assert len(found) < 80


def test_places_differ() -> None:
    assert place(Path("a/b")) != place(Path("a-b"))
