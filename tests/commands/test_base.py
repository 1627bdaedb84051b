import gc
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError
from django.core.management.color import color_style

from django_devtools.branches.errors import DevtoolsError
from django_devtools.management.base import BranchesCommand, notice_of_incomparable
from tests.branches.shop import make_shop
from tests.processes import run
from tests.project import Project

LIST_MODULES = """
import runpy
import sys

sys.argv = ["manage.py", "migrations_switch"]
runpy.run_path("manage.py", run_name="__main__")
print(*(name for name in sys.modules if name.startswith("django_devtools.")))
"""


class Count(BranchesCommand):
    """Counts the objects that the garbage collector leaves out, and those that it waits for."""

    def work(self, options: dict[str, Any]) -> None:
        self.frozen = gc.get_freeze_count()
        self.threshold, _, _ = gc.get_threshold()


@pytest.fixture
def thawed() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_django_has_loaded_is_not_searched_for_garbage(thawed: None) -> None:
    command = Count()
    command.run_from_argv(["manage.py", "count"])
    assert command.frozen > len(sys.modules)
    assert command.threshold == 50_000


def test_a_command_within_another_process_leaves_its_collector_alone(thawed: None) -> None:
    command = Count()
    command.execute(databases=None, verbosity=1, force_color=False, no_color=False)
    assert command.frozen == 0
    assert command.threshold == gc.get_threshold()[0] < 50_000


class Stop(BranchesCommand):
    """Is interrupted by a person."""

    def work(self, options: dict[str, Any]) -> None:
        raise KeyboardInterrupt


class StopEarly(BranchesCommand):
    """Is interrupted before it has begun."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_command_has_the_status_that_shells_give_it() -> None:
    with pytest.raises(CommandError, match=r"^Interrupted\. Run the same command") as caught:
        Stop().execute(databases=None, verbosity=1, force_color=False, no_color=False)
    assert caught.value.returncode == 130


def test_a_command_that_is_interrupted_before_it_has_begun_says_that_nothing_was_changed(
    thawed: None,
) -> None:
    stderr = StringIO()
    with pytest.raises(SystemExit) as caught:
        StopEarly(stderr=stderr, no_color=True).run_from_argv(["manage.py", "stop"])
    assert stderr.getvalue() == "Interrupted while no database was being changed.\n"
    assert caught.value.code == 130


class Say(BranchesCommand):
    """Says something on stdout, and then on stderr."""

    def work(self, options: dict[str, Any]) -> None:
        self.write("first")
        self.notice("second")
        self.write("third")
        raise DevtoolsError("fourth")


def test_what_is_said_keeps_its_order_where_both_streams_are_one_file(tmp_path: Path) -> None:
    file = tmp_path / "output"
    with file.open("a") as stdout, file.open("a", buffering=1) as stderr:
        command = Say(stdout=stdout, stderr=stderr, no_color=True)
        with pytest.raises(CommandError, match="fourth") as raised:
            command.execute(databases=None, verbosity=1, force_color=False, no_color=True)
        command.stderr.write(str(raised.value))
    assert file.read_text().split() == ["first", "second", "third", "fourth"]


class Shine(BranchesCommand):
    """Says something in a colour."""

    def work(self, options: dict[str, Any]) -> None:
        self.stdout.write(self.style.SUCCESS("green"))


@pytest.mark.parametrize(("no_color", "is_plain"), [("1", True), ("", False)])
def test_no_color_is_honoured(
    monkeypatch: pytest.MonkeyPatch, no_color: str, is_plain: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    command = Shine(stdout := StringIO())
    command.style = color_style(force_color=True)
    command.execute(databases=None, verbosity=1, force_color=False, no_color=False)
    assert (stdout.getvalue() == "green\n") is is_plain


def test_who_asks_for_colours_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    command = Shine(stdout := StringIO())
    command.execute(databases=None, verbosity=1, force_color=True, no_color=False)
    assert stdout.getvalue() == "\x1b[32;1mgreen\x1b[0m\n"


def test_a_switch_with_nothing_to_do_imports_nothing_that_it_does_not_need(
    project: Project,
) -> None:
    make_shop(project)
    project.manage("migrate")
    command = [sys.executable, "-c", LIST_MODULES]
    done = run(command, cwd=project.path, env=project.full_environment(), stdout=-1, stderr=-1)
    said, modules = done.stdout.splitlines()
    assert said == "Nothing to do: database 'default' is in step with branch main."
    packages = {".".join(name.split(".")[1:3]) for name in modules.split()}
    assert packages.isdisjoint(
        {
            "branches.execution",
            "branches.preconditions",
            "branches.receivers",
            "branches.stash",
            "jobs",
            "jobs.redis",
        }
    )


class Both(BranchesCommand):
    def work(self, options: dict[str, Any]) -> None:
        self.notice("Left as it is.")
        self.refusal("Refused.")


def test_notices_do_not_look_like_errors() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    stderr = Terminal()
    Both(stderr=stderr, force_color=True).execute(
        databases=None, verbosity=1, force_color=True, no_color=False
    )
    assert stderr.getvalue() == "\x1b[33;1mLeft as it is.\n\x1b[0m\x1b[31;1mRefused.\n\x1b[0m"


def test_edited_migrations_that_can_not_be_compared_share_one_line() -> None:
    errors = {("shop", f"000{n}_text"): Exception(f"Helper {n} is gone") for n in range(1, 7)}
    rest = ": Helper 1 is gone. If the database is right as it is: manage.py migrations_snapshot"
    assert notice_of_incomparable(errors, verbosity=1).startswith(
        "shop.0001_text, shop.0002_text, shop.0003_text and 3 others (-v 2 names them) differ "
        f"from the text that was applied, and were left unchanged{rest}"
    )
    del errors["shop", "0001_text"]
    assert "shop.0006_text differ from the text" in notice_of_incomparable(errors, verbosity=2)
