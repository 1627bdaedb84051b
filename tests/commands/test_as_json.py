"""What programs read: plans of switches, and the stash beside the states of migrations."""

import json
from typing import Any

import pytest

from tests.branches.shop import add_colour, make_shop, make_shop_with_feature
from tests.project import Project

pytestmark = pytest.mark.once


def plan(project: Project, *arguments: str, status: int = 0) -> dict[str, Any]:
    """The plan of the only database."""
    (found,) = json.loads(
        project.manage("migrations_switch", "--plan", "--json", *arguments, status=status).stdout
    )
    assert isinstance(found, dict)
    return found


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with the column of feature and a row, and a migration that is not applied."""
    make_shop_with_feature(project)
    # Programs are told UTC, and people the time of the project. Here both have one date.
    project.settings('TIME_ZONE = "UTC"')
    project.manage("migrations_snapshot")
    project.python("from shop.models import Product; Product.objects.create(colour='red')")
    project.checkout("main")
    project.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    return project


def test_the_plan_says_what_each_step_comes_from(shop: Project) -> None:
    commit = shop.git("rev-parse", "feature").strip()

    found = plan(shop)

    assert (found["database"], found["target"]) == ("default", "branch main")
    unapply, apply = found["steps"]
    at, place = unapply["source"].pop("at"), unapply["source"].pop("place")
    assert unapply == {
        "action": "unapply",
        "app": "shop",
        "name": "0003_colour",
        "source": {"branch": "feature", "commit": commit},
    }
    assert place.startswith(f"snapshot of {at[:10]} ")
    assert place.endswith(f", {commit[:10]}")
    assert apply == {
        "action": "apply",
        "app": "shop",
        "name": "0003_other",
        "source": {"place": "file", "at": None, "branch": None, "commit": None},
    }
    assert (found["refusal"], found["way_out"], found["left"]) == (None, None, [])


def test_the_plan_says_what_is_lost_and_what_comes_back(shop: Project) -> None:
    assert plan(shop)["losses"] == [
        {
            "table": "shop_product",
            "column": "colour",
            "narrowed": False,
            "rows": 1,
            "saved": True,
            "migration": "shop.0003_colour",
        }
    ]
    assert plan(shop, "--no-stash")["losses"][0]["saved"] is False
    shop.switch()
    shop.remove("shop/migrations/0003_other.py")
    shop.checkout("feature")

    (back,) = plan(shop)["returns"]

    (entry,) = json.loads(shop.manage("migrations_stash", "list", "--json").stdout)
    assert back == entry
    assert plan(shop)["stays"] == []


def test_the_plan_says_why_something_stays(shop: Project) -> None:
    shop.switch()
    shop.remove("shop/migrations/0003_other.py")
    shop.checkout("-b", "other")
    add_colour(shop, "0003_own_colour")
    file = shop.path / "shop/migrations/0003_own_colour.py"
    file.write_text(file.read_text().replace("max_length=20", "max_length=30"))
    shop.commit()

    (stays,) = plan(shop)["stays"]

    because = stays.pop("because")
    assert f"column shop_product.colour (1 row), because {because}\n" in shop.look(
        "migrations_switch", "--plan"
    )
    assert [stays] == json.loads(shop.manage("migrations_stash", "list", "--json").stdout)


def test_the_plan_says_why_it_is_refused_and_what_is_left(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0003_data",
        "migrations.RunPython(lambda apps, editor: None),",
        [("shop", "0002_longer_name")],
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")

    found = plan(project)

    assert found["refusal"].startswith("shop.0003_data can't be unapplied: it has no reverse.\n")
    assert found["way_out"] == "manage.py migrations_switch --irreversible=keep"
    found = plan(project, "--irreversible=keep")
    assert (found["refusal"], found["steps"]) == (None, [])
    assert found["left"] == [{"app": "shop", "name": "0003_data", "state": "phantom"}]


def test_the_plan_of_nothing(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    assert plan(project, "--check") == {
        "database": "default",
        "target": "branch main",
        **{key: [] for key in ("steps", "left", "losses", "returns", "stays")},
        "refusal": None,
        "way_out": None,
    }


def test_json_alone_changes_nothing_either(shop: Project) -> None:
    json.loads(shop.manage("migrations_switch", "--json").stdout)
    assert plan(shop, "--check", status=1)["steps"]


def test_the_plan_says_what_was_interrupted(project: Project) -> None:
    make_shop(project)
    project.migration(
        "shop",
        "0003_halfway",
        """
        migrations.RunSQL("SELECT 1", "SELECT 1"),
        migrations.RunSQL("nonsense", "SELECT 1"),
        """,
        [("shop", "0002_longer_name")],
        body="atomic = False",
    )
    project.commit()
    project.manage("migrations_switch", "--no-input", status=1)

    (step,) = plan(project)["steps"][:1]

    assert (step["action"], step["name"]) == ("finish", "0003_halfway")


def test_the_status_with_the_stash(shop: Project) -> None:
    shop.switch()
    failed = shop.path / ".git/django-devtools/failed"
    failed.parent.mkdir(exist_ok=True)
    failed.write_text("Something failed.")

    full = json.loads(shop.manage("migrations_status", "--json=full").stdout)

    assert full == {
        "migrations": json.loads(shop.manage("migrations_status", "--json").stdout),
        "stash": json.loads(shop.manage("migrations_stash", "list", "--json").stdout),
        "failure": "Something failed.",
    }
    assert full["stash"][0]["table"] == "shop_product"
