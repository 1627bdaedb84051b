"""What a ``migrate`` or switch applied that did not come to its end."""

import json
import signal
from typing import Any

import pytest

from tests.branches.shop import PRODUCT, columns, make_shop
from tests.project import Project

FILE = ".git/django-devtools/snapshots.json"
FAIL = "raise ValueError('Not today')"
KILL = f"os.kill(os.getpid(), {signal.SIGKILL:d})"

# MariaDB can't say how far 0004 got, which does nothing but fail.
FORGET = ["--forget-interrupted"]


def add_column(project: Project, name: str, column: str) -> None:
    project.models("shop", f"{PRODUCT}    {column} = models.IntegerField(null=True)\n")
    project.migration(
        "shop",
        name,
        f'migrations.AddField("product", "{column}", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )


def add_trouble(project: Project, what: str) -> None:
    project.migration(
        "shop",
        "0004_more",
        "migrations.RunPython(more, migrations.RunPython.noop)",
        [("shop", "0003_more")],
        before=f"import os\n\ndef more(apps, schema_editor):\n    {what}\n",
    )


def begun(project: Project) -> list[dict[str, Any]]:
    """What the file of snapshots says was begun."""
    data = json.loads((project.path / FILE).read_text())
    return [entry for found in data.get("begun", {}).values() for _, entry in found]


def make_branches(project: Project, what: str) -> None:
    """On b, where 0004 fails; a has another 0003_more, and main has none."""
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")
    project.manage("migrate")
    project.checkout("-b", "a")
    add_column(project, "0003_more", "weight")
    project.commit("Weight")
    project.manage("migrate")
    project.checkout("-b", "b", "main")
    add_column(project, "0003_more", "price")
    add_trouble(project, what)
    project.commit("Price")


@pytest.fixture(params=["fails", "killed"])
def trouble(request: pytest.FixtureRequest) -> str:
    return {"fails": FAIL, "killed": KILL}[request.param]


@pytest.fixture(params=["migrate", "migrations_switch"])
def begins(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What is run on b and comes to no end."""
    return {
        "migrate": ("migrate", "--no-input"),
        "migrations_switch": ("migrations_switch", "--no-input"),
    }[request.param]


def break_off(project: Project, begins: tuple[str, ...], trouble: str) -> None:
    make_branches(project, trouble)
    if begins[0] == "migrate":
        project.manage("migrations_switch", "main", "--no-input")
    assert project.manage(*begins, status=None).status
    assert columns(project) == {"id", "name", "price"}


def test_to_the_branch_that_has_none(
    project: Project, begins: tuple[str, ...], trouble: str
) -> None:
    break_off(project, begins, trouble)
    project.checkout("main")
    assert "Unapplying shop.0003_more... OK" in project.switch(*FORGET)
    assert columns(project) == {"id", "name"}
    project.assert_in_step()
    assert begun(project) == []


def test_to_the_branch_that_has_another(
    project: Project, begins: tuple[str, ...], trouble: str
) -> None:
    break_off(project, begins, trouble)
    project.checkout("a")
    assert project.states()["shop.0003_more"] == "changed"
    project.switch(*FORGET)
    assert columns(project) == {"id", "name", "weight"}
    project.assert_in_step()
    assert begun(project) == []


def test_going_on_where_it_was(project: Project, begins: tuple[str, ...], trouble: str) -> None:
    break_off(project, begins, trouble)
    add_trouble(project, "pass")
    project.manage(*begins)
    project.assert_in_step()
    assert begun(project) == []
    project.checkout("--force", "a")
    project.switch()
    assert columns(project) == {"id", "name", "weight"}
    project.assert_in_step()


def test_it_fails_on_the_way_back_too(sqlite_project: Project) -> None:
    """Each time another text was begun: each row comes from the last one before it."""
    project = sqlite_project
    make_branches(project, FAIL)
    project.manage("migrations_switch", "--no-input", status=None)
    project.checkout("a")
    add_trouble(project, FAIL)
    project.commit("Trouble")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    assert columns(project) == {"id", "name", "weight"}
    project.checkout("--force", "b")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    assert columns(project) == {"id", "name", "price"}
    project.remove("shop/migrations/0004_more.py")
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}
    assert begun(project) == []


def test_mended_and_applied(sqlite_project: Project, begins: tuple[str, ...]) -> None:
    """It was begun, and never applied as it was then."""
    project = sqlite_project
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")
    project.manage("migrate")
    project.checkout("-b", "b")
    add_column(project, "0003_more", "name")
    assert project.manage(*begins, status=None).status
    (entry,) = begun(project)
    assert list(entry["applied"]["shop"]) == ["0003_more"]
    add_column(project, "0003_more", "price")
    project.manage(*begins)
    assert begun(project) == []
    assert project.states() == {}
    project.git("stash", "--include-untracked", "--quiet")
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


def test_nothing_is_begun_by_a_dry_run(sqlite_project: Project) -> None:
    project = sqlite_project
    make_branches(project, FAIL)
    written = (project.path / FILE).read_bytes()
    project.manage("migrate", "--plan")
    project.manage("migrations_switch", "--plan")
    assert (project.path / FILE).read_bytes() == written


def test_local_time(sqlite_project: Project) -> None:
    """Rows have local time then, and so has what was begun."""
    project = sqlite_project
    project.settings('USE_TZ = False\nTIME_ZONE = "America/New_York"')
    break_off(project, ("migrate", "--no-input"), FAIL)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}
