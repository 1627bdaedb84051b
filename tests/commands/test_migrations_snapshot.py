import json
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from django_devtools.management.commands.migrations_snapshot import Command
from tests.branches.shop import add_colour, columns, make_shop, make_shop_with_feature
from tests.databases import sqlite
from tests.project import Project

pytestmark = pytest.mark.once

NO_SOURCES = (
    "There is no git repository, so the snapshot has the names of the migrations but not their "
    "sources: they can only be unapplied as long as their files exist. To record sources, run "
    "`git init` and take the snapshot again.\n"
)


def snapshots(project: Project) -> dict[str, dict[str, str | None]]:
    """The blob of each migration, by branch, as ``--list --json`` prints them."""
    rows = json.loads(project.manage("migrations_snapshot", "--list", "--json").stdout)
    return {
        row["branch"]: {f"{m['app']}.{m['name']}": m["blob"] for m in row["migrations"]}
        for row in rows
    }


def file_of(project: Project) -> Path:
    return project.path / ".git/django-devtools/snapshots.json"


# Taking one


def test_every_migration_and_its_source(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")

    result = project.manage("migrations_snapshot")

    assert result.stdout == "Snapshot of main in database 'default': 4 migrations\n"
    assert result.stderr == ""
    found = snapshots(project)["main"]
    assert set(found) == {
        "contenttypes.0001_initial",
        "contenttypes.0002_remove_content_type_name",
        "shop.0001_initial",
        "shop.0002_longer_name",
    }
    tracked = project.git("rev-parse", "HEAD:shop/migrations/0001_initial.py").strip()
    assert found["shop.0001_initial"] == tracked
    # That one lies in site-packages, and its source is kept as well.
    kept = project.git("cat-file", "blob", str(found["contenttypes.0001_initial"]))
    assert 'name="ContentType"' in kept
    assert project.git("status", "--porcelain") == ""


def test_as_json(project: Project) -> None:
    make_shop(project)
    project.manage("migrate", "shop", "0001")

    (taken,) = json.loads(project.manage("migrations_snapshot", "--json").stdout)

    assert taken.pop("taken").startswith("20")
    assert taken == {
        "database": "default",
        "branch": "main",
        "commit": project.git("rev-parse", "HEAD").strip(),
        "migrations": [
            {
                "app": "shop",
                "name": "0001_initial",
                "blob": project.git("rev-parse", "HEAD:shop/migrations/0001_initial.py").strip(),
            }
        ],
    }
    listed = json.loads(project.manage("migrations_snapshot", "--list", "--json").stdout)
    assert [row | {"taken": None} for row in listed] == [taken | {"taken": None}]


def test_says_nothing_when_told_so(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    result = project.manage("migrations_snapshot", "--verbosity=0")
    assert (result.stdout, result.stderr) == ("", "")
    result = project.manage("migrations_snapshot", "--delete=main", "--verbosity=0")
    assert (result.stdout, result.stderr) == ("", "")
    assert snapshots(project) == {}


def test_of_nothing(project: Project) -> None:
    make_shop(project)
    result = project.manage("migrations_snapshot")
    assert result.stdout == "Snapshot of main in database 'default': 0 migrations\n"


def test_before_the_first_commit(project: Project) -> None:
    project.manage("migrate")
    project.manage("migrations_snapshot")
    assert set(snapshots(project)) == {"main"}
    listed = project.manage("migrations_snapshot", "--list").stdout
    assert listed.startswith("* main: 2 migrations in database 'default', 20")


def test_keeps_the_text_that_was_applied(project: Project) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    before = snapshots(project)["feature"]
    file = project.path / "shop/migrations/0003_colour.py"
    file.write_text(file.read_text().replace("max_length=20", "max_length=30"))

    project.manage("migrations_snapshot")
    assert snapshots(project)["feature"] == before
    assert project.states() == {"shop.0003_colour": "changed"}

    project.manage("migrations_snapshot", "--accept")
    now = project.git("hash-object", str(file)).strip()
    assert snapshots(project)["feature"] == before | {"shop.0003_colour": now}
    assert project.states() == {}


def test_leaves_phantoms_out(project: Project) -> None:
    make_shop_with_feature(project)
    project.checkout("main")

    result = project.manage("migrations_snapshot")

    assert result.stderr == (
        "Left out, because they are not part of main: shop.0003_colour. "
        "`manage.py migrations_switch` unapplies them.\n"
    )
    assert "shop.0003_colour" not in snapshots(project)["main"]
    assert "shop.0002_longer_name" in snapshots(project)["main"]


def test_under_another_name_with_everything(project: Project) -> None:
    """For a branch whose snapshot was forgotten before the checkout."""
    make_shop_with_feature(project)
    project.checkout("main")

    result = project.manage("migrations_snapshot", "feature")

    assert result.stderr == ""
    assert "shop.0003_colour" in snapshots(project)["feature"]
    project.switch()
    assert columns(project) == {"id", "name"}
    project.switch("feature")
    assert columns(project) == {"id", "name", "colour"}


def test_obsolete_ones_are_no_part_of_the_code(project: Project) -> None:
    make_shop(project)
    project.migration("shop", "0003_nothing", "", [("shop", "0002_longer_name")])
    project.commit()
    project.manage("migrate")
    project.remove("shop/migrations/0003_nothing.py")
    project.commit()

    result = project.manage("migrations_snapshot")

    assert result.stderr == ""
    assert "shop.0003_nothing" not in snapshots(project)["main"]
    (branches,) = json.loads(file_of(project).read_text())["databases"].values()
    assert list(branches["main"]["obsolete"]["shop"]) == ["0003_nothing"]


def test_detached_head_asks_for_a_name(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.checkout("--detach")

    result = project.manage("migrations_snapshot", status=1)
    assert result.stderr == (
        "CommandError: HEAD is detached, so the snapshot needs a name: "
        "`manage.py migrations_snapshot NAME`.\n"
    )
    assert not file_of(project).exists()

    project.manage("migrations_snapshot", "release")
    assert set(snapshots(project)) == {"release"}


# Listing and deleting


def test_list(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    listed = project.manage("migrations_snapshot", "--list").stdout
    assert listed == "No snapshots. `manage.py migrations_snapshot` takes one.\n"

    project.manage("migrations_snapshot")
    project.manage("migrations_snapshot", "by hand")

    lines = project.manage("migrations_snapshot", "--list").stdout.splitlines()
    commit = project.git("rev-parse", "HEAD")[:10]
    assert [line.rpartition(", ")[0] for line in lines] == [
        f"  by hand: 4 migrations in database 'default', at {commit}",
        f"* main: 4 migrations in database 'default', at {commit}",
    ]
    dates = [line.rpartition(", ")[2] for line in lines]
    assert all(datetime.strptime(date, "%Y-%m-%d %H:%M") for date in dates)
    coloured = project.manage("migrations_snapshot", "--list", "--force-color").stdout
    assert "\x1b[32;1m* main: " in coloured


def test_the_time_is_that_of_the_project(project: Project) -> None:
    project.settings('TIME_ZONE = "Asia/Kathmandu"')
    project.manage("migrate")
    project.manage("migrations_snapshot")
    (taken,) = json.loads(project.manage("migrations_snapshot", "--list", "--json").stdout)
    there = datetime.fromisoformat(taken["taken"]).astimezone(ZoneInfo("Asia/Kathmandu"))
    for setting in ("USE_TZ = True", "USE_TZ = False"):
        project.settings(setting)
        listed = project.manage("migrations_snapshot", "--list").stdout
        assert listed.endswith(f", {there:%Y-%m-%d %H:%M}\n")


def test_the_list_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = Command(stdout := StringIO())
    assert command.shortened("feature/" + 40 * "x", 20) == "feature/" + 40 * "x"
    stdout.isatty = lambda: True  # type: ignore[method-assign]
    assert command.shortened("feature/PROJ-1234-descriptions", 20) == "feature/PR…criptions"


def test_delete(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.manage("migrations_snapshot", "other")

    result = project.manage("migrations_snapshot", "--delete", "other")
    assert result.stdout == "Deleted the snapshot of other in database 'default'.\n"
    assert set(snapshots(project)) == {"main"}

    result = project.manage("migrations_snapshot", "--delete", "other", status=1)
    assert result.stderr == (
        "CommandError: There is no snapshot of 'other'. `manage.py migrations_snapshot --list` "
        "lists those there are.\n"
    )


# Without git


def test_without_a_repository(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    project.manage("migrate")

    result = project.manage("migrations_snapshot", status=1)
    assert result.stderr == (
        "CommandError: There is no git repository to take the name of the branch from. Give the "
        "snapshot a name: `manage.py migrations_snapshot NAME`.\n"
    )

    result = project.manage("migrations_snapshot", "mine")
    assert result.stderr == NO_SOURCES
    assert snapshots(project) == {
        "mine": {
            "contenttypes.0001_initial": None,
            "contenttypes.0002_remove_content_type_name": None,
        }
    }
    assert (project.path / ".django-devtools/snapshots.json").exists()
    listed = project.manage("migrations_snapshot", "--list").stdout
    assert listed.startswith("  mine: 2 migrations in database 'default', 20")


def test_dubious_ownership(project: Project) -> None:
    project.manage("migrate")
    project.environment["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    for command in ("migrations_snapshot", "migrations_switch", "migrations_status"):
        result = project.manage(command, status=1)
        assert result.stderr.startswith(
            f"CommandError: fatal: detected dubious ownership in repository at '{project.path}'\n"
        )


# Where it lies


def test_file(project: Project, tmp_path: Path) -> None:
    make_shop(project)
    project.manage("migrate")

    project.manage("migrations_snapshot", "--file=here.json")
    elsewhere = f"--file={tmp_path / 'new directory' / 'there.json'}"
    project.manage("migrations_snapshot", elsewhere)

    assert (project.path / "here.json").exists()
    listed = project.manage("migrations_snapshot", "--list", elsewhere).stdout
    assert listed.startswith("* main: 4 migrations")
    assert snapshots(project) == {}
    project.manage("migrations_snapshot", "--delete=main", elsewhere)
    assert "* main" in project.manage("migrations_snapshot", "--list", "--file=here.json").stdout


def test_setting(project: Project) -> None:
    make_shop(project)
    project.settings('DJANGO_DEVTOOLS = {"SNAPSHOT_FILE": "var/branches.json"}')
    project.manage("migrate")
    project.manage("migrations_snapshot")
    assert (project.path / "var/branches.json").exists()


def test_setting_that_is_no_dict(project: Project) -> None:
    project.settings('DJANGO_DEVTOOLS = "branches.json"')
    result = project.manage("migrations_snapshot", status=1)
    assert result.stderr == (
        "CommandError: DJANGO_DEVTOOLS must be a dict, not 'branches.json'.\n"
    )


def test_managestate_is_not_overwritten(project: Project) -> None:
    project.manage("migrate")
    project.write("managestate.json", '{"updated_at": "now", "default": {"shop": "0001"}}')
    file = project.path / "managestate.json"
    before = file.read_bytes()
    for option in ("--verbosity=1", "--list", "--delete=default"):
        command = ("migrations_snapshot", option, "--file=managestate.json")
        result = project.manage(*command, status=1)
        assert f"{file}" in result.stderr or "managestate.json names migrations" in result.stderr
        assert file.read_bytes() == before


def test_linked_worktree_shares_the_file(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.git("worktree", "add", "--quiet", "-b", "feature", "../linked")
    linked = Project(project.path.parent / "linked", project.databases, project.zygote)
    add_colour(linked)
    linked.manage("migrate")

    linked.manage("migrations_snapshot")

    assert set(snapshots(project)) == {"main", "feature"}
    assert snapshots(linked) == snapshots(project)
    assert project.status()[0]["branch"] == "feature"
    project.switch()
    assert columns(project) == {"id", "name"}


def test_project_below_the_top_of_a_repository_of_any_name(
    make_project: Callable[..., Project],
) -> None:
    project = make_project("with spaces/ünï👩‍💻/src", git=False)
    top = project.path.parent
    project.git("init", "--quiet", "--initial-branch=main", str(top))
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.manage("migrate")

    project.manage("migrations_snapshot")
    project.git("clean", "--quiet", "--force", ".")
    project.git("checkout", "--quiet", "main", "--", ".")

    assert (top / ".git/django-devtools/snapshots.json").exists()
    assert project.states() == {"shop.0003_colour": "phantom"}


def test_sources_outlive_garbage_collection(project: Project) -> None:
    """The migration was never committed, and the branch is gone."""
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.remove("shop/migrations/0003_colour.py")
    project.checkout("--force", "main")
    project.git("branch", "--quiet", "--delete", "--force", "feature")

    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "--quiet", "--prune=now")
    assert project.git("fsck", "--full", "--strict") == ""

    assert "Unapplying shop.0003_colour... OK" in project.switch()
    assert columns(project) == {"id", "name"}


def test_sha256_repository(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    project.git("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    project.write(".gitignore", "__pycache__\n")
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    assert {len(blob or "") for blob in snapshots(project)["feature"].values()} == {64}
    project.remove("shop/migrations/0003_colour.py")
    project.checkout("--force", "main")

    project.switch()

    assert columns(project) == {"id", "name"}


def test_package_whose_name_is_no_identifier(project: Project) -> None:
    make_shop(project)
    project.git("mv", "shop/migrations", "shop/db-migrations")
    project.settings('MIGRATION_MODULES = {"shop": "shop.db-migrations"}')
    project.manage("migrate")
    project.manage("migrations_snapshot")
    assert "shop.0001_initial" in snapshots(project)["main"]
    assert project.states() == {}


# Which database is which


def test_two_databases(make_project: Callable[..., Project], tmp_path: Path) -> None:
    project = make_project(default=sqlite(tmp_path)[0], other=sqlite(tmp_path)[0])
    make_shop(project)
    project.manage("migrate")

    assert project.manage("migrations_snapshot").stdout == (
        "Snapshot of main in database 'default': 4 migrations\n"
    )
    project.manage("migrate", "contenttypes", "--database=other")
    assert project.manage("migrations_snapshot").stdout == (
        "Snapshot of main in database 'default': 4 migrations\n"
        "Snapshot of main in database 'other': 2 migrations\n"
    )
    project.manage("migrations_snapshot", "only", "--database=other")
    listed = project.manage("migrations_snapshot", "--list", "--database=other").stdout
    assert [line.split(":")[0] for line in listed.splitlines()] == ["* main", "  only"]

    assert project.manage("migrations_snapshot", "--delete=main").stdout == (
        "Deleted the snapshot of main in database 'default'.\n"
        "Deleted the snapshot of main in database 'other'.\n"
    )
    assert set(snapshots(project)) == {"only"}


def test_two_aliases_of_one_database(make_project: Callable[..., Project], tmp_path: Path) -> None:
    database = sqlite(tmp_path)[0]
    link = tmp_path / "link.sqlite3"
    link.symlink_to(database["NAME"])
    project = make_project(default=database, again={**database, "NAME": str(link)})
    project.manage("migrate")

    taken = project.manage("migrations_snapshot").stdout

    assert taken == "Snapshot of main in database 'default': 2 migrations\n"


def test_an_alias_that_points_elsewhere(
    project: Project, make_database: Callable[[str], dict[str, str]], tmp_path: Path
) -> None:
    make_shop_with_feature(project)
    project.manage("migrations_snapshot")
    one, other = project.databases, {"default": make_database("sqlite")}

    project.databases = other
    assert snapshots(project) == {}
    project.checkout("main")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.manage("migrations_snapshot", "--delete=feature", status=1)
    assert set(snapshots(project)) == {"main"}

    project.databases = one
    assert set(snapshots(project)) == {"feature"}
    assert project.states() == {"shop.0003_colour": "phantom"}
