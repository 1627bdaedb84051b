"""What a ``migrate`` or switch applied that did not come to its end."""

import json
import signal
from typing import Any

import pytest

from tests.branches.shop import PRODUCT, columns, make_shop
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

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


@made_once
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


@pytest.mark.no_cover
def test_to_the_branch_that_has_none(
    vendor_project: Project, begins: tuple[str, ...], trouble: str
) -> None:
    break_off(vendor_project, begins, trouble)
    vendor_project.checkout("main")
    assert "Unapplying shop.0003_more... OK" in vendor_project.switch(*FORGET)
    assert columns(vendor_project) == {"id", "name"}
    vendor_project.assert_in_step()
    assert begun(vendor_project) == []


@pytest.mark.no_cover
def test_to_the_branch_that_has_another(
    vendor_project: Project, begins: tuple[str, ...], trouble: str
) -> None:
    break_off(vendor_project, begins, trouble)
    vendor_project.checkout("a")
    assert vendor_project.states()["shop.0003_more"] == "changed"
    vendor_project.switch(*FORGET)
    assert columns(vendor_project) == {"id", "name", "weight"}
    vendor_project.assert_in_step()
    assert begun(vendor_project) == []


def test_switching_before_the_checkout(project: Project) -> None:
    make_branches(project, FAIL)
    project.checkout("a")
    assert project.manage("migrations_switch", "b", "--no-input", status=None).status
    assert project.states()["shop.0003_more"] == "changed"
    project.switch()
    assert columns(project) == {"id", "name", "weight"}
    assert begun(project) == []


def test_another_database(make_project: Any, make_database: Any) -> None:
    project = make_project(default=make_database("sqlite"), other=make_database("sqlite"))
    make_branches(project, FAIL)
    project.switch("main")
    assert project.manage("migrate", "--database=other", status=None).status
    project.checkout("a")
    project.switch()
    assert columns(project, alias="other") == {"id", "name", "weight"}
    assert begun(project) == []


@pytest.mark.no_cover
def test_going_on_where_it_was(
    vendor_project: Project, begins: tuple[str, ...], trouble: str
) -> None:
    break_off(vendor_project, begins, trouble)
    add_trouble(vendor_project, "pass")
    vendor_project.manage(*begins)
    vendor_project.assert_in_step()
    assert begun(vendor_project) == []
    vendor_project.checkout("--force", "a")
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name", "weight"}
    vendor_project.assert_in_step()


@pytest.mark.no_cover
def test_it_fails_on_the_way_back_too(project: Project) -> None:
    """Each time another text was begun: each row comes from the last one before it."""
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


@pytest.mark.no_cover
def test_mended_and_applied(project: Project, begins: tuple[str, ...]) -> None:
    """It was begun, and never applied as it was then."""
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit("Snapshots")
    project.manage("migrate")
    project.checkout("-b", "b")
    add_column(project, "0003_more", "name")
    assert project.manage(*begins, status=None).status
    add_column(project, "0003_more", "price")
    project.manage(*begins)
    assert begun(project) == []
    assert project.states() == {}
    project.git("stash", "--include-untracked", "--quiet")
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


def test_mended_and_applied_where_nothing_is_written_down(project: Project) -> None:
    """A switch that failed leaves nothing of what it has not applied."""
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "b")
    add_column(project, "0003_more", "name")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    assert begun(project) == []
    add_column(project, "0003_more", "price")
    project.manage("migrate")
    assert project.states() == {}


@pytest.mark.no_cover
def test_what_led_nowhere_is_forgotten(project: Project, begins: tuple[str, ...]) -> None:
    make_branches(project, FAIL)
    project.switch("main")
    add_column(project, "0003_more", "name")
    assert project.manage("migrate", status=None).status
    (entry,) = begun(project)
    assert list(entry["applied"]["shop"]) == ["0003_more", "0004_more"]
    project.checkout("--force", "main")
    project.manage(*begins)
    assert begun(project) == []


@pytest.mark.parametrize("debug", [True, False])
def test_wherever_snapshots_are_taken(project: Project, debug: bool) -> None:
    make_shop(project)
    project.settings(f'DEBUG = {debug}\nDJANGO_DEVTOOLS = {{"AUTO_SNAPSHOT": {not debug}}}')
    add_trouble(project, FAIL)
    project.migration("shop", "0003_more", "", [("shop", "0002_longer_name")])
    assert project.manage("migrate", status=None).status
    assert (project.path / FILE).exists() is not debug


def add_two_columns(project: Project, name: str, between: str) -> None:
    """A migration that has no transaction, and comes to ``between`` when half of it is done."""
    field = "models.IntegerField(null=True)"
    project.models("shop", f"{PRODUCT}    {name} = {field}\n    {name}2 = {field}\n")
    project.migration(
        "shop",
        "0003_more",
        f"""
        migrations.AddField("product", "{name}", {field}),
        migrations.RunPython(more, migrations.RunPython.noop),
        migrations.AddField("product", "{name}2", {field}),
        """,
        [("shop", "0002_longer_name")],
        before=f"import os\n\ndef more(apps, schema_editor):\n    {between}\n",
        body="atomic = False",
    )


def make_half(project: Project) -> None:
    """On b, which has another 0003_more than a, and did half of it."""
    make_shop(project)
    project.manage("migrate")
    project.checkout("-b", "a")
    add_two_columns(project, "weight", "pass")
    project.commit("Weight")
    project.checkout("-b", "b", "main")
    add_two_columns(project, "price", FAIL)
    project.commit("Price")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    assert columns(project) == {"id", "name", "price"}


def test_half_of_it_is_finished_as_it_was_begun(vendor_project: Project) -> None:
    make_half(vendor_project)
    vendor_project.checkout("a")
    result = vendor_project.manage("migrations_switch", "--no-input", status=1)
    assert "shop.0003_more was interrupted, and can't be finished" in result.stderr
    vendor_project.checkout("b")
    add_two_columns(vendor_project, "price", "pass")
    vendor_project.commit("Mended")
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name", "price", "price2"}
    vendor_project.checkout("a")
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name", "weight", "weight2"}
    vendor_project.assert_in_step()


def test_mended_on_a_branch_of_its_own(project: Project) -> None:
    make_half(project)
    project.checkout("-b", "mended")
    add_two_columns(project, "price", "pass")
    project.commit("Mended")
    project.switch()
    assert columns(project) == {"id", "name", "price", "price2"}
    project.assert_in_step()


def test_nothing_is_begun_by_a_dry_run(project: Project) -> None:
    make_branches(project, FAIL)
    written = (project.path / FILE).read_bytes()
    project.manage("migrate", "--plan")
    project.manage("migrations_switch", "--plan")
    assert (project.path / FILE).read_bytes() == written


def test_local_time(project: Project) -> None:
    """Rows have local time then, and so has what was begun."""
    project.settings('USE_TZ = False\nTIME_ZONE = "America/New_York"')
    break_off(project, ("migrate", "--no-input"), FAIL)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


# The project that is recorded with it


def make_recorded_shop(project: Project) -> None:
    """The shop where snapshots are taken, and nothing is applied."""
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")


def projects(project: Project) -> set[str]:
    """The trees that the file of snapshots names."""
    data = json.loads((project.path / FILE).read_text())
    found = [one for branches in data["databases"].values() for one in branches.values()]
    return {tree for snapshot in found for tree in snapshot.get("projects", {})}


def names(project: Project, tree: str) -> set[str]:
    return set(project.git("ls-tree", "-r", "--name-only", tree).split())


@pytest.mark.parametrize("command", [["migrate"], ["migrations_switch", "--no-input"]])
def test_the_project_as_it_was_when_it_was_applied(project: Project, command: list[str]) -> None:
    make_recorded_shop(project)
    project.write("untracked.py", "")
    project.manage(*command)
    project.write("later.py", "")
    project.manage(*command)

    [tree] = projects(project)

    assert {"shop/models.py", "untracked.py"} < names(project, tree)
    assert "later.py" not in names(project, tree)
    assert "AUTO_SNAPSHOT" in project.git("show", f"{tree}:config/settings.py")
    # The texts, and the projects.
    assert project.git("for-each-ref", "refs/django-devtools").count("\n") == 2


def test_each_migration_has_its_own(project: Project) -> None:
    make_recorded_shop(project)
    project.manage("migrate", "shop", "0001")
    project.write("later.py", "")
    project.manage("migrate", "shop")
    assert len(projects(project)) == 2
    project.manage("migrate", "shop", "0001")
    [tree] = projects(project)
    assert "later.py" not in names(project, tree)


def test_what_can_not_be_recorded_is_said_once(project: Project) -> None:
    make_recorded_shop(project)
    project.write(".gitignore", "__pycache__\n")
    for number in range(6):
        project.write(f"big{number}.bin", "x" * 1_500_000)

    first = project.manage("migrate", "shop", "0001").stderr
    second = project.manage("migrate").stderr
    said = []
    for number, command in (
        (6, ["migrations_switch", "--no-input"]),
        (7, ["migrations_hook", "run"]),
    ):
        project.write(f"big{number}.bin", "x" * 1_500_000)
        project.manage("migrate", "shop", "0001")
        said.append(project.manage(*command).stderr)

    assert first.startswith(
        'Not recorded with the project: "big0.bin" (over 1 MB, and not code), "big1.bin"'
    )
    assert "and 1 more. A migration that reads such a file can be unapplied only" in first
    assert "recorded" not in second
    assert 'with the project: "big6.bin" (over 1 MB, and not code). A migration' in said[0]
    assert 'with the project: "big7.bin" (over 1 MB, and not code). A migration' in said[1]
    tree = max(projects(project), key=lambda tree: len(names(project, tree)))
    assert "big0.bin" not in names(project, tree)


def test_the_database_is_not_recorded(project: Project) -> None:
    project.databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "here.sqlite3"}
    }
    make_recorded_shop(project)
    project.write(".gitignore", "__pycache__\n")
    output = project.manage("migrate").stderr
    assert 'Not recorded with the project: "here.sqlite3" (a database)' in output


def test_a_project_that_git_can_not_record(project: Project) -> None:
    make_recorded_shop(project)
    project.git("config", "core.excludesFile", "excludes")
    project.remove(".git/objects/pack")
    project.write(".git/objects/pack", "")

    result = project.manage("migrate")

    assert "The project was not recorded: " in result.stderr
    assert "commit that before you check out another one." in result.stderr
    assert "Applying shop.0002_longer_name... OK" in result.stdout
    assert projects(project) == set()


def test_nothing_is_recorded_where_nothing_is_applied(project: Project) -> None:
    make_recorded_shop(project)
    project.manage("migrate")
    before = projects(project)
    project.write("later.py", "")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.switch()
    assert projects(project) == before
    assert project.git("for-each-ref", "refs/django-devtools").count("\n") == 2


def test_what_was_applied_before_anything_was_recorded(project: Project) -> None:
    """It counts as applied from the project as it is when its text is recorded."""
    make_shop(project)
    project.manage("migrate")
    project.write("untracked.py", "")
    project.manage("migrations_snapshot")
    project.write("later.py", "")
    project.manage("migrations_snapshot")
    [tree] = projects(project)
    assert "untracked.py" in names(project, tree)
    assert "later.py" not in names(project, tree)
    project.manage("migrations_snapshot", "--accept")
    [tree] = projects(project)
    assert "later.py" in names(project, tree)
