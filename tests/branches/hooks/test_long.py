"""Hooks that take long: what they say meanwhile, what they ask before, and what Ctrl-C leaves."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.files import locks

from tests.branches.hooks.test_hook import UNAPPLIED, add_size, git, make_feature, said
from tests.branches.running import test_child
from tests.branches.shop import columns
from tests.databases import Configuration, connected
from tests.processes import started
from tests.project import Project

pytestmark = pytest.mark.once

ADD = "from shop.models import Product; Product.objects.create(name='Chair', colour='red')"
# As where someone types: a shell that Ctrl-C does not end, and whose terminal has a name.
LOG_IN = "import os, sys; os.login_tty(0); os.execvp('sh', ['sh', '-c', *sys.argv[1:]])"
SHELL = 'trap : INT; "$@"; read line'
CTRL_C = "\x03"
SWITCH = [sys.executable, "manage.py", "migrations_switch"]
TO_CONTINUE = "To continue, run `manage.py migrations_switch`"
WAIT = """\
def wait(apps, editor):
    with open("gate") as gate:
        gate.read()
"""
WAITING = "Interrupted while applying shop.0004_wait. Database 'default' is as the last finished "
LIMIT = "Rows to save and restore: about 2."


class Terminal:
    """What processes say at a terminal of their own, and what is typed there."""

    def __init__(self, controller: int) -> None:
        self._controller = controller
        self.said = ""

    def read_until(self, words: str) -> None:
        while words not in self.said:
            self.said += os.read(self._controller, 1000).decode()

    def type(self, text: str) -> None:
        os.write(self._controller, text.encode())


@contextmanager
def at_terminal(project: Project, *command: str, shell: str = SHELL) -> Iterator[Terminal]:
    controller, terminal = pty.openpty()
    environment = project.full_environment(measured=True) | {"COLUMNS": "200"}
    words = [sys.executable, "-c", LOG_IN, shell, "sh", *command]
    with started(words, cwd=project.path, env=environment, stdin=terminal):
        os.close(terminal)
        yield Terminal(controller)
    os.close(controller)


@contextmanager
def in_pipe(project: Project, *command: str) -> Iterator["subprocess.Popen[str]"]:
    environment = project.full_environment(measured=True)
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with started(command, cwd=project.path, env=environment, **output) as process:
        yield process


def read_until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what a process says, to the letter: the line may not have ended."""
    assert process.stdout
    found = ""
    while words not in found:
        letter = process.stdout.read(1)
        assert letter, found
        found += letter


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the hooks. The branch feature has a colour, and a migration that waits."""
    make_feature(project)
    project.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    project.checkout("feature")
    project.migration(
        "shop",
        "0004_wait",
        "migrations.RunPython(wait, migrations.RunPython.noop),",
        [("shop", "0003_colour")],
        before=WAIT,
    )
    project.commit("Wait")
    project.checkout("main")
    del project.environment["DJANGO_DEVTOOLS_HOOK"]
    os.mkfifo(project.path / "gate")
    return project


def open_gate(project: Project) -> None:
    """Let the migration go on that waits, or begin."""
    with (project.path / "gate").open("w"):
        pass


def leave_gate_open(project: Project) -> None:
    (project.path / "gate").unlink()
    (project.path / "gate").write_text("")


def test_a_hook_says_what_it_is_doing(shop: Project) -> None:
    shop.environment["GIT_PROGRESS_DELAY"] = "0"
    with at_terminal(shop, "git", "checkout", "feature") as terminal:
        terminal.read_until("\rdjango_devtools: Applying shop.0004_wait")
        open_gate(shop)
        terminal.read_until("is in step with branch feature: 2 applied, in ")
    shop.assert_in_step()


def test_a_hook_names_the_step_of_another_process(project: Project) -> None:
    gate = project.path / ".git/gate"
    wait = f"def unpaint(apps, schema_editor):\n    open({str(gate)!r}).close()\n"
    test_child.make_feature(project, helpers=f"{test_child.HELPERS}\n\n{wait}")
    project.manage("migrations_snapshot")
    project.manage("migrations_hook", "install")
    os.mkfifo(gate)
    project.environment["GIT_PROGRESS_DELAY"] = "0"
    with at_terminal(project, "git", "checkout", "main") as terminal:
        terminal.read_until("Running migrations in a work tree: ")
        terminal.read_until("Unapplying shop.0004_paint")
        gate.open("w").close()
        terminal.read_until("is in step with branch main: 2 unapplied")


def test_a_hook_says_whom_it_waits_for(
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    django_db_blocker: Any,
) -> None:
    database = make_database("postgresql")
    shop = make_project(default=database)
    make_feature(shop)
    shop.environment["GIT_PROGRESS_DELAY"] = "0"
    with (
        django_db_blocker.unblock(),
        connected(database) as connection,
        at_terminal(shop, "git", "checkout", "feature") as terminal,
    ):
        connection.set_autocommit(False)
        connection.cursor().execute("LOCK TABLE shop_product IN ACCESS SHARE MODE")
        terminal.read_until("waiting for a lock that process ")
        connection.rollback()
        terminal.read_until("is in step with branch feature: 1 applied, in ")
    assert "Applying shop.0003_colour: " in terminal.said


def test_a_hook_that_is_interrupted_says_what_is_left(shop: Project) -> None:
    shop.environment["GIT_PROGRESS_DELAY"] = "0"
    with at_terminal(shop, "git", "checkout", "feature") as terminal:
        terminal.read_until("\rdjango_devtools: Applying shop.0004_wait")
        terminal.type(CTRL_C)
        terminal.read_until(TO_CONTINUE)
    assert f"The databases are not in step. {WAITING}migration left it.\r\n" in terminal.said
    assert WAITING in shop.look("migrations_hook", "status")
    assert "colour" in columns(shop)
    assert shop.states() == {"shop.0004_wait": "pending"}
    leave_gate_open(shop)
    shop.switch()
    shop.assert_in_step()


PROMPT = 'trap : INT; "$@"; echo "Status $?, prompt."; read line'


def test_git_ends_by_ctrl_c_when_the_hook_has_said_its_last(shop: Project) -> None:
    shop.environment["GIT_PROGRESS_DELAY"] = "0"
    with at_terminal(shop, "git", "checkout", "feature", shell=PROMPT) as terminal:
        terminal.read_until("\rdjango_devtools: Applying shop.0004_wait")
        terminal.type("\x1a")  # Ctrl-Z, which the shell would not see
        terminal.type(CTRL_C)
        terminal.read_until("prompt.")
    assert f"{TO_CONTINUE}\r\nStatus 130, prompt." in terminal.said


def test_a_hook_in_the_background_leaves_the_terminal_alone(shop: Project) -> None:
    leave_gate_open(shop)
    background = '(set -m; "$@" & wait); echo Done.; read line; echo "Read $line."; read line'
    with at_terminal(shop, "git", "checkout", "feature", shell=background) as terminal:
        terminal.read_until("Done.")
        terminal.type("it\n")
        terminal.read_until("Read it.")
    assert "is in step with branch feature" in terminal.said


def test_a_switch_that_is_interrupted_says_what_is_left(shop: Project) -> None:
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    shop.checkout("feature")
    with in_pipe(shop, *SWITCH) as process:
        read_until(process, "Applying shop.0004_wait...")
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate()
    assert output == f"\nCommandError: {WAITING}migration left it.\n{TO_CONTINUE}\n"
    assert process.returncode == 130
    assert shop.states() == {"shop.0004_wait": "pending"}
    leave_gate_open(shop)
    shop.switch()
    shop.assert_in_step()


@pytest.mark.parametrize("name", ["settings", "in-step"])
def test_a_hook_that_is_interrupted_while_it_starts_says_that_nothing_was_changed(
    shop: Project, name: str
) -> None:
    """While Python loads the settings, and while the shell looks whether it is needed."""
    file = shop.path / ".git/django-devtools" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    if name == "settings":
        shop.settings(f"open({str(file)!r}).read()")
    with at_terminal(shop, "git", "checkout", "feature") as terminal:
        with file.open("w"):
            terminal.type(CTRL_C)
            terminal.read_until("^C")  # The signal is sent by then.
        terminal.read_until(TO_CONTINUE)
    shop.git("restore", "config/settings.py")
    left = "The databases were left alone: interrupted before anything was changed."
    assert f"{left}\r\n{TO_CONTINUE}" in terminal.said
    assert left in shop.look("migrations_hook", "status")
    assert "colour" not in columns(shop)
    leave_gate_open(shop)
    assert "is in step with branch feature: 2 applied" in git(shop, "checkout", "-B", "feature")


def test_what_is_interrupted_in_the_middle_of_a_migration_is_finished(shop: Project) -> None:
    """Without a transaction, it stays half done."""
    shop.environment["DJANGO_DEVTOOLS_HOOK"] = "0"
    shop.checkout("feature")
    file = shop.path / "shop/migrations/0004_wait.py"
    file.write_text(file.read_text() + "    atomic = False\n")
    with in_pipe(shop, *SWITCH) as process:
        read_until(process, "Applying shop.0004_wait...")
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate()
    left = "Database 'default' is in the middle of shop.0004_wait, which the next switch finishes."
    assert left in output
    leave_gate_open(shop)
    shop.switch()
    shop.assert_in_step()


def test_what_waits_for_another_switch_is_interrupted(shop: Project) -> None:
    with (shop.path / ".git/django-devtools/switch.lock").open("w") as file:
        locks.lock(file, locks.LOCK_EX)
        with in_pipe(shop, *SWITCH) as process:
            read_until(process, "Waiting for it")
            os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate()
    what = "CommandError: Interrupted while no database was being changed."
    assert output.endswith(f"{what}\n{TO_CONTINUE}\n")
    assert process.returncode == 130


def limited(project: Project, rows: int) -> Project:
    """On main, with the hooks: the stash has the colour of two products, for feature."""
    make_feature(project)
    git(project, "checkout", "feature")
    project.python(f"{ADD}; {ADD}")
    limit(project, rows)
    return project


def limit(project: Project, rows: int) -> None:
    project.settings(f'DJANGO_DEVTOOLS = {{"HOOK_ROWS": {rows}}}')


def test_a_hook_leaves_more_rows_alone_than_the_settings_allow(project: Project) -> None:
    limited(project, rows=1)
    most = "Without being told to, a hook copies at most 1: DJANGO_DEVTOOLS['HOOK_ROWS'] in the "
    assert git(project, "checkout", "main").endswith(
        f"\nThe databases were left alone. {LIMIT} {most}settings.\n{TO_CONTINUE}\n"
    )
    assert "colour" in columns(project)
    project.switch()
    # It counts what comes back, too.
    assert LIMIT in git(project, "checkout", "feature")
    limit(project, rows=2)
    git(project, "checkout", "main")
    git(project, "checkout", "feature")
    assert said(git(project, "checkout", "main")) == [UNAPPLIED]


MANY = """
from shop.models import Product
Product.objects.bulk_create(Product(name="a", colour="b") for _ in range(10_000))
"""


def test_a_hook_leaves_alone_what_would_take_longer_than_the_settings_allow(
    project: Project,
) -> None:
    make_feature(project)
    git(project, "checkout", "feature")
    project.python(MANY)
    project.settings('DJANGO_DEVTOOLS = {"HOOK_SECONDS": 0}')
    # Nobody knows yet how long that takes.
    assert said(git(project, "checkout", "main")) == [UNAPPLIED]
    output = git(project, "checkout", "feature")
    assert "Rows to save and restore: about 10,000. At the pace of the last copy, that takes " in (
        output
    )
    assert output.endswith(
        "a hook copies for at most 0 s: DJANGO_DEVTOOLS['HOOK_SECONDS'] in the settings.\n"
        f"{TO_CONTINUE}\n"
    )
    project.settings('DJANGO_DEVTOOLS = {"HOOK_SECONDS": 3600}')
    git(project, "checkout", "main")
    assert "is in step with branch feature" in git(project, "checkout", "feature")


def test_what_stays_in_the_stash_does_not_count(project: Project) -> None:
    limited(project, rows=2)
    git(project, "checkout", "main")
    limit(project, rows=0)
    project.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0002_longer_name")],
    )
    assert said(project.manage("migrations_hook", "run").stdout) == [
        "Database 'default' is in step with branch main: 1 applied"
    ]


def test_what_stays_in_the_stash_of_several_databases_does_not_count(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """In each of them it is less than the settings allow, and in both it is more."""
    project = make_project(default=make_database("sqlite"), second=make_database("sqlite"))
    make_feature(project)
    project.manage("migrate", "--database=second")
    git(project, "checkout", "feature")
    for alias in ("default", "second"):
        add = ADD.replace("create", f"using('{alias}').create")
        project.python(f"{add}; {add}")
    git(project, "checkout", "main")
    limit(project, rows=3)
    add_size(project)
    output = project.manage("migrations_hook", "run").stdout
    assert output.count("is in step with branch main: 1 applied") == 2
    (project.path / "shop/migrations/0003_size.py").unlink()
    project.git("restore", "shop/models.py")
    # Each has two products, and both together are too many.
    assert "Rows to save and restore: about 8." in git(project, "checkout", "feature")


@pytest.mark.parametrize("answer", ["yes", "no", CTRL_C])
def test_at_a_terminal_a_person_is_asked(project: Project, answer: str) -> None:
    limited(project, rows=1)
    with at_terminal(project, "git", "checkout", "main") as terminal:
        terminal.read_until(f"{LIMIT} Type 'yes' to go on, or 'no' to leave the databases alone: ")
        terminal.type(answer if answer == CTRL_C else f"{answer}\n")
        terminal.read_until(UNAPPLIED if answer == "yes" else TO_CONTINUE)
    assert ("colour" in columns(project)) is (answer != "yes")
