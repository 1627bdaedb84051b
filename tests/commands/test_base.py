import gc
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from django_devtools.management.base import BranchesCommand
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
    """Counts the objects that the garbage collector leaves out."""

    def work(self, options: dict[str, Any]) -> None:
        self.frozen = gc.get_freeze_count()


@pytest.fixture
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_what_django_has_loaded_is_not_searched_for_garbage(thawed: None) -> None:
    command = Count()
    command.run_from_argv(["manage.py", "count"])
    assert command.frozen > len(sys.modules)


def test_a_command_within_another_process_leaves_its_collector_alone(thawed: None) -> None:
    command = Count()
    command.execute(databases=None, verbosity=1, force_color=False, no_color=False)
    assert command.frozen == 0


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
