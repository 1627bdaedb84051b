"""Migrations that can't be unapplied, and what a person says of them."""

import json

import pytest

from tests.branches.shop import (
    COLOUR,
    ID,
    PRODUCT,
    add_colour,
    columns,
    make_shop,
    make_shop_with_feature,
    tables,
)
from tests.commands.test_migrations_switch import at_terminal
from tests.project import Project
from tests.templates import made_once

FORWARDS = """
def forwards(apps, schema_editor):
    pass
"""


FAILS = (
    "new rows of shop_product fail: branch main does not fill shop_product.colour, which is NOT "
    "NULL and has no default in the database."
)
STILL_FAILS = (
    f"While that is left applied, {FAILS} To have that unapplied: manage.py migrations_switch "
    "--irreversible=noop"
)


@made_once
def get_stuck(project: Project) -> None:
    """Back on main from a branch with 0003_colour, 0004_data (no reverse) and 0005_price."""
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.models("shop", PRODUCT + COLOUR + "    price = models.IntegerField(null=True)\n")
    project.migration(
        "shop",
        "0004_data",
        """
        migrations.SeparateDatabaseAndState([migrations.RunPython(forwards)], []),
        migrations.RunSQL("SELECT 1"),
        """,
        [("shop", "0003_colour")],
        before=FORWARDS,
    )
    project.migration(
        "shop",
        "0005_price",
        'migrations.AddField("product", "price", models.IntegerField(null=True)),',
        [("shop", "0004_data")],
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")


@pytest.fixture
def stuck(project: Project) -> Project:
    """A project that got stuck, on SQLite: what is said and remembered is the same everywhere."""
    get_stuck(project)
    return project


@pytest.fixture
def vendor_stuck(vendor_project: Project) -> Project:
    """A project that got stuck, on each vendor in turn."""
    get_stuck(vendor_project)
    return vendor_project


def test_it_fails_before_anything_is_changed(vendor_stuck: Project) -> None:
    result = vendor_stuck.manage("migrations_switch", status=1)
    assert result.stderr.strip() == (
        "CommandError: shop.0004_data can't be unapplied: it has no reverse.\n"
        "Leave it applied with --irreversible=keep, or treat RunPython and RunSQL as empty with "
        f"--irreversible=noop.\nIf it is left applied, {FAILS}"
    )
    assert columns(vendor_stuck) == {"id", "name", "colour", "price"}


def test_keep_leaves_it_and_what_it_depends_on(vendor_stuck: Project) -> None:
    result = vendor_stuck.manage("migrations_switch", "--irreversible=keep")
    assert "shop.0003_colour was left applied: shop.0004_data needs it.\n" in result.stderr
    assert "shop.0004_data was left applied: it can't be unapplied.\n" in result.stderr
    assert columns(vendor_stuck) == {"id", "name", "colour"}
    again = vendor_stuck.manage("migrations_switch", "--irreversible=keep")
    assert "Nothing to do" in again.stdout
    assert vendor_stuck.states() == {"shop.0003_colour": "phantom", "shop.0004_data": "phantom"}


def test_noop_treats_it_as_empty(vendor_stuck: Project) -> None:
    vendor_stuck.switch("--irreversible=noop")
    assert columns(vendor_stuck) == {"id", "name"}
    vendor_stuck.assert_in_step()


def test_noop_helps_no_other_operation(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0003_forever",
        "Forever(),",
        [("shop", "0002_longer_name")],
        before="""
        from django.db.migrations.operations.base import Operation

        class Forever(Operation):
            reversible = False
            def state_forwards(self, app_label, state): pass
            def database_forwards(self, app_label, schema_editor, from_state, to_state): pass
        """,
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    result = project.manage("migrations_switch", "--irreversible=noop", status=1)
    assert result.stderr.strip() == (
        "CommandError: shop.0003_forever can't be unapplied: it has no reverse.\n"
        "Leave it applied with --irreversible=keep."
    )


def test_the_plan_names_it(stuck: Project) -> None:
    result = stuck.manage("migrations_switch", "--plan")
    assert "shop.0004_data can't be unapplied: it has no reverse." in result.stderr
    assert "IRREVERSIBLE" in result.stdout
    assert f"If it is left applied, {FAILS}\n" in result.stderr
    result = stuck.manage("migrations_switch", "--plan", "--irreversible=keep")
    assert result.stderr == f"{STILL_FAILS}\n"


def test_what_was_left_keeps_its_values_when_its_table_gets_another_column(
    vendor_stuck: Project,
) -> None:
    """SQLite makes a table anew then, from the model."""
    vendor_stuck.python(
        "from django.db import connection as c; "
        "c.cursor().execute(\"INSERT INTO shop_product (name, colour) VALUES ('a', 'blue')\")"
    )
    vendor_stuck.checkout("-b", "other")
    vendor_stuck.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0002_longer_name")],
    )
    vendor_stuck.commit()
    vendor_stuck.manage("migrations_switch", "--irreversible=keep")
    assert columns(vendor_stuck) == {"id", "name", "colour", "size"}
    vendor_stuck.checkout("main")
    vendor_stuck.switch()
    assert columns(vendor_stuck) == {"id", "name", "colour"}
    vendor_stuck.checkout("feature")
    vendor_stuck.switch()
    colours = "from shop.models import Product; print(*Product.objects.values_list('colour'))"
    assert vendor_stuck.python(colours) == "('blue',)"


def test_a_column_that_is_made_again_has_its_values_beside_what_is_left(
    vendor_project: Project,
) -> None:
    """Without a branch, too, that could tell whose values these are."""
    project = vendor_project
    make_shop(project)
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.python("from shop.models import *; Product.objects.create(name='a', colour='blue')")
    project.checkout("-b", "feature")
    project.migration(
        "shop",
        "0004_data",
        "migrations.RunPython(forwards)",
        [("shop", "0003_colour")],
        before=FORWARDS,
    )
    project.models("shop", PRODUCT)
    project.migration(
        "shop",
        "0005_no_colour",
        'migrations.RemoveField("product", "colour")',
        [("shop", "0004_data")],
    )
    project.commit()
    colours = "from shop.models import Product; print(*Product.objects.values_list('colour'))"
    for _ in range(2):
        project.checkout("--detach", "feature")
        project.switch()
        assert columns(project) == {"id", "name"}
        project.checkout("--detach", "main")
        plan = project.manage("migrations_switch", "--plan", "--irreversible=keep").stdout
        assert plan.endswith(
            "Would be restored from the stash:\n    column shop_product.colour (1 row)\n"
        )
        said = project.manage("migrations_switch", "--irreversible=keep").stderr
        assert "still in the stash" not in said
        assert project.python(colours) == "('blue',)"


def test_what_sql_has_renamed_gets_its_name_back_with_noop(vendor_project: Project) -> None:
    """Otherwise it would fail when the branch comes back: there is nothing of the old name."""
    project = vendor_project
    make_shop(project)
    project.manage("migrate")
    project.checkout("-b", "feature")
    made = 'migrations.RunSQL("CREATE TABLE one (id integer)", "DROP TABLE one")'
    renamed = 'migrations.RunSQL("ALTER TABLE one RENAME TO two")'
    project.migration("shop", "0003_one", f"{made}, {renamed}", [("shop", "0002_longer_name")])
    project.commit()
    for _ in range(2):
        project.checkout("feature")
        project.switch()
        assert "two" in tables(project)
        project.checkout("main")
        project.manage("migrations_switch", "--irreversible=noop")
        assert not {"one", "two"} & tables(project)


# What is remembered

STUCK = "shop.0004_data can't be unapplied: it has no reverse."
LEFT = f"shop.0004_data was left applied: it can't be unapplied.\n{STILL_FAILS}\n"
EMPTIED = "shop.0004_data was unapplied, but what its RunPython or RunSQL did is still there.\n"
REMEMBERED = (
    "This is remembered. To be asked again: manage.py migrations_switch --irreversible=ask"
)


def refusal(project: Project) -> str:
    return project.manage("migrations_switch", "--no-input", status=1).stderr


def come_and_go(project: Project) -> str:
    """Have feature applied, and leave it. What is said then."""
    project.checkout("feature")
    project.manage("migrate")
    project.checkout("main")
    return project.manage("migrations_switch", "--no-input").stderr


def test_what_is_kept_once_stops_no_other_switch(stuck: Project) -> None:
    first = stuck.manage("migrations_switch", "--irreversible=keep").stderr
    assert first.endswith(f"{LEFT}{REMEMBERED}\n")
    again = stuck.manage("migrations_switch", "--no-input")
    assert "Nothing to do: database 'default' is left as it is." in again.stdout
    assert again.stderr == first


def test_all_that_does_not_need_what_is_kept_goes_on_switching(vendor_stuck: Project) -> None:
    vendor_stuck.manage("migrations_switch", "--irreversible=keep")
    vendor_stuck.checkout("-b", "other")
    vendor_stuck.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(null=True)),',
        [("shop", "0002_longer_name")],
    )
    vendor_stuck.commit()
    vendor_stuck.switch()
    assert columns(vendor_stuck) == {"id", "name", "colour", "size"}
    vendor_stuck.checkout("feature")
    vendor_stuck.switch()
    assert columns(vendor_stuck) == {"id", "name", "colour", "price"}
    vendor_stuck.checkout("main")
    vendor_stuck.switch()
    assert columns(vendor_stuck) == {"id", "name", "colour"}


def test_what_counts_as_empty_does_so_each_time_that_its_branch_is_left(
    vendor_stuck: Project,
) -> None:
    first = vendor_stuck.manage("migrations_switch", "--irreversible=noop").stderr
    assert first == f"{EMPTIED}{REMEMBERED}\n"
    assert come_and_go(vendor_stuck) == first
    assert columns(vendor_stuck) == {"id", "name"}


def test_each_option_replaces_what_is_remembered(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    stuck.manage("migrations_switch", "--irreversible=noop")
    assert columns(stuck) == {"id", "name"}
    assert come_and_go(stuck).startswith(EMPTIED)
    stuck.checkout("feature")
    stuck.manage("migrate")
    stuck.checkout("main")
    assert STUCK in stuck.manage("migrations_switch", "--irreversible=fail", status=1).stderr
    stuck.switch()
    assert columns(stuck) == {"id", "name"}


def test_it_is_forgotten_on_request(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    result = stuck.manage("migrations_switch", "--irreversible=ask", status=1)
    assert result.stdout == "Forgotten: what to do about shop.0004_data (keep).\n"
    assert STUCK in result.stderr
    assert STUCK in refusal(stuck)
    assert "left applied" not in stuck.manage("migrations_status").stdout


def test_it_is_not_forgotten_by_a_look(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    assert STUCK in stuck.manage("migrations_switch", "--plan", "--irreversible=ask").stderr
    assert stuck.switch().startswith("Nothing to do")


def test_a_look_remembers_nothing(stuck: Project) -> None:
    plan = stuck.manage("migrations_switch", "--plan", "--irreversible=keep").stdout
    assert (
        "\nLeave shop.0003_colour (shop.0004_data needs it)"
        "\nLeave shop.0004_data (it can't be unapplied)\n"
    ) in plan
    plan = stuck.manage("migrations_switch", "--plan", "--irreversible=noop").stdout
    assert "    With an empty reverse: what it ran stays in the database\n" in plan
    assert STUCK in refusal(stuck)


def test_it_is_forgotten_when_the_text_changes(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=noop")
    stuck.checkout("feature")
    file = stuck.path / "shop/migrations/0004_data.py"
    file.write_text(file.read_text().replace("SELECT 1", "SELECT 2"))
    stuck.commit()
    stuck.manage("migrate")
    stuck.checkout("main")
    assert STUCK in refusal(stuck)


def test_it_is_forgotten_when_it_is_not_applied_any_more(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    stuck.checkout("feature")
    stuck.manage("migrate", "--fake", "shop", "0003")
    stuck.manage("migrations_snapshot")
    assert "0004_data is" not in stuck.manage("migrations_status").stdout
    stuck.manage("migrate", "--fake", "shop", "0004")
    stuck.manage("migrations_snapshot")
    stuck.checkout("main")
    assert STUCK in refusal(stuck)


def test_work_trees_share_it(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    directory = stuck.path.with_name("tree")
    stuck.git("worktree", "add", "--quiet", "-b", "other", str(directory))
    name = str(stuck.path / str(stuck.databases["default"]["NAME"]))
    is_file = "sqlite3" in stuck.databases["default"]["ENGINE"]
    default = {**stuck.databases["default"]} | ({"NAME": name} if is_file else {})
    tree = Project(directory, {"default": default}, stuck.zygote)
    assert LEFT.replace("main", "other") in tree.manage("migrations_switch", "--no-input").stderr


KILL = """
import os, signal

def backwards(apps, schema_editor):
    if "KILL" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("choice", ["keep", "noop"])
def test_a_killed_switch_goes_on_with_the_same_answer(vendor_stuck: Project, choice: str) -> None:
    vendor_stuck.checkout("feature")
    vendor_stuck.migration(
        "shop",
        "0006_kill",
        "migrations.RunPython(migrations.RunPython.noop, backwards)",
        [("shop", "0005_price")],
        before=KILL,
    )
    vendor_stuck.commit()
    vendor_stuck.manage("migrate")
    vendor_stuck.checkout("main")
    vendor_stuck.environment["KILL"] = "1"
    vendor_stuck.manage("migrations_switch", f"--irreversible={choice}", status=-9)
    del vendor_stuck.environment["KILL"]
    said = vendor_stuck.manage("migrations_switch", "--no-input").stderr
    assert said.endswith(f"{LEFT if choice == 'keep' else EMPTIED}{REMEMBERED}\n")


def test_without_a_repository(project: Project) -> None:
    make_shop(project)
    (project.path / ".git").rename(project.path / ".gone")
    project.migration(
        "shop", "0003_data", 'migrations.RunSQL("SELECT 1")', [("shop", "0002_longer_name")]
    )
    project.manage("migrate")
    project.manage("migrations_snapshot", "feature")
    project.remove("shop/migrations/0003_data.py")
    project.manage("migrations_switch", "--irreversible=keep")
    assert "shop.0003_data was left applied" in project.manage("migrations_switch").stderr


def test_what_was_left_stays_when_a_switch_is_taken_back(vendor_stuck: Project) -> None:
    vendor_stuck.manage("migrations_switch", "--irreversible=keep")
    vendor_stuck.checkout("-b", "other")
    vendor_stuck.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0002_longer_name")],
    )
    vendor_stuck.commit()
    vendor_stuck.switch()
    vendor_stuck.switch("--undo")
    assert columns(vendor_stuck) == {"id", "name", "colour"}
    assert vendor_stuck.states() == {
        "shop.0003_colour": "phantom",
        "shop.0003_size": "pending",
        "shop.0004_data": "phantom",
    }
    vendor_stuck.switch("--undo")
    assert columns(vendor_stuck) == {"id", "name", "colour", "size"}


def test_a_person_is_not_asked_where_a_source_is_missing(stuck: Project) -> None:
    stuck.python(
        "from django.db import connection; from django.db.migrations.recorder import "
        "MigrationRecorder as R; R(connection).record_applied('shop', '0009_gone')"
    )
    status, said = at_terminal(stuck, "keep")
    assert status == 1
    assert said.startswith("CommandError: The source of shop.0009_gone was not found")


def test_what_is_left_may_not_refer_to_what_the_target_deletes(project: Project) -> None:
    project.app("shop", "")
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Brand", [{ID}]), migrations.CreateModel("Product", [{ID}]),',
    )
    project.commit()
    project.checkout("-b", "feature")
    brand = 'models.ForeignKey("shop.brand", models.CASCADE, null=True)'
    project.migration(
        "shop",
        "0002_brand",
        f'migrations.AddField("product", "brand", {brand}), migrations.RunSQL("SELECT 1"),',
        [("shop", "0001_initial")],
    )
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    project.switch("--irreversible=keep")
    project.migration(
        "shop", "0002_none", 'migrations.DeleteModel("Brand")', [("shop", "0001_initial")]
    )
    project.commit()
    result = project.manage("migrations_switch", "--no-input", status=1)
    assert result.stderr.strip() == (
        "CommandError: What is left applied (shop.0002_brand) refers to shop.brand, which branch "
        "main lacks. To have it unapplied, with its RunPython and RunSQL treated as empty, run "
        "`manage.py migrations_switch --irreversible=noop`."
    )
    project.switch("--irreversible=noop")
    assert columns(project) == {"id"}
    assert project.states() == {}


# Who shows it


def test_the_status_shows_it_and_ends_with_what_takes_it_back(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    assert stuck.manage("migrations_status").stdout.endswith(
        "shop.0004_data is left applied, as it can't be unapplied (database 'default').\n"
        f"{STILL_FAILS}\n"
        "To be asked again: manage.py migrations_switch --irreversible=ask\n"
    )
    # It would do nothing.
    assert "To bring them into step" not in stuck.manage("migrations_status").stdout
    assert "W001" not in stuck.manage("check", "--database", "default").stderr


def test_the_status_names_what_a_switch_does_besides(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    stuck.migration("shop", "0003_more", "", [("shop", "0002_longer_name")])
    said = stuck.manage("migrations_status").stdout
    assert "\nTo bring them into step: manage.py migrations_switch\n" in said


def test_the_json_of_the_status_has_it(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    rows = json.loads(stuck.manage("migrations_status", "--json").stdout)
    keys = ["database", "app", "name", "state", "branch", "source"]
    assert {row["name"]: row.get("irreversible") for row in rows if row["app"] == "shop"} == {
        "0001_initial": None,
        "0002_longer_name": None,
        "0003_colour": None,
        "0004_data": "keep",
    }
    assert all([*row][:6] == keys for row in rows)
    assert sum(len(row) > len(keys) for row in rows) == 1


def test_the_status_shows_what_will_be_applied_again(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=noop")
    assert (
        "shop.0004_data is unapplied as if its RunPython and RunSQL were empty "
        "(database 'default')."
    ) in stuck.manage("migrations_status").stdout


# What is configured


@pytest.mark.parametrize(("setting", "config"), [("keep", None), ("fail", "keep"), (None, "keep")])
def test_what_is_configured(stuck: Project, setting: str | None, config: str | None) -> None:
    if setting:
        stuck.settings(f'DJANGO_DEVTOOLS["IRREVERSIBLE"] = "{setting}"')
    if config:
        stuck.git("config", "django-devtools.irreversible", config)
    # Nobody has said so of this one.
    assert stuck.manage("migrations_switch").stderr.endswith(LEFT)
    assert "irreversible" not in stuck.manage("migrations_status", "--json").stdout
    assert "To bring them into step" not in stuck.manage("migrations_status").stdout


def test_what_is_remembered_counts_before_what_is_configured(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    stuck.git("config", "django-devtools.irreversible", "noop")
    assert LEFT in stuck.manage("migrations_switch").stderr


def test_a_wrong_value_of_git(stuck: Project) -> None:
    stuck.git("config", "django-devtools.irreversible", "kept")
    assert refusal(stuck).strip() == (
        "CommandError: The setting django-devtools.irreversible of git must be one of 'fail', "
        "'keep', 'noop', not 'kept'. To remove it, run `git config --unset-all "
        "django-devtools.irreversible`."
    )
    # It is read only where it is needed.
    stuck.checkout("feature")
    assert stuck.switch().startswith("Nothing to do")


# At a terminal


def test_a_person_is_asked(stuck: Project) -> None:
    status, said = at_terminal(stuck, "keep")
    assert status == 0
    assert said.startswith(
        f"{STUCK} Database 'default' goes to branch main.\n"
        "    keep  leave it applied, with shop.0003_colour, which it needs\n"
        f"          {FAILS}\n"
        "    noop  treat its RunPython and RunSQL as empty: what they did stays\n"
        "    stop  leave the databases alone\n"
        "Type 'keep', 'noop' or 'stop': "
    )
    assert columns(stuck) == {"id", "name", "colour"}
    assert LEFT in stuck.manage("migrations_switch", "--no-input").stderr


def test_a_person_may_have_it_count_as_empty(stuck: Project) -> None:
    status, _ = at_terminal(stuck, "what?\nnoop")
    assert status == 0
    assert columns(stuck) == {"id", "name"}
    assert come_and_go(stuck).startswith(EMPTIED)


@pytest.mark.parametrize("answer", ["stop", "", "no"])
def test_a_person_may_stop(stuck: Project, answer: str) -> None:
    status, said = at_terminal(stuck, answer)
    assert status == 1
    assert said.endswith("CommandError: Switch cancelled. Nothing was changed.\n")
    assert columns(stuck) == {"id", "name", "colour", "price"}
    assert STUCK in refusal(stuck)


def test_a_person_is_asked_again_on_request(stuck: Project) -> None:
    at_terminal(stuck, "keep")
    status, said = at_terminal(stuck, "noop", "--irreversible=ask")
    assert status == 0
    assert said.startswith(STUCK)
    assert "Forgotten: what to do about shop.0004_data (keep).\n" in said
    assert columns(stuck) == {"id", "name"}


def test_nobody_is_asked_about_what_is_left_anyway(stuck: Project) -> None:
    """What is left needs the other one."""
    stuck.checkout("feature")
    stuck.migration("shop", "0006_sql", 'migrations.RunSQL("SELECT 1")', [("shop", "0005_price")])
    stuck.commit()
    stuck.manage("migrate")
    stuck.checkout("main")
    status, said = at_terminal(stuck, "keep")
    assert status == 0
    assert said.startswith("shop.0006_sql can't be unapplied")
    assert STUCK not in said
    assert columns(stuck) == {"id", "name", "colour", "price"}


def test_each_has_an_answer_of_its_own(stuck: Project) -> None:
    stuck.checkout("feature")
    stuck.migration("shop", "0006_sql", 'migrations.RunSQL("SELECT 1")', [("shop", "0005_price")])
    stuck.commit()
    stuck.manage("migrate")
    stuck.checkout("main")
    status, _ = at_terminal(stuck, "noop\nkeep")
    assert status == 0
    assert columns(stuck) == {"id", "name", "colour"}
    said = stuck.manage("migrations_status").stdout
    assert "shop.0004_data is left applied" in said
    assert "shop.0006_sql is unapplied as if" in said


# What commands say about migrations that were left applied


def test_check_passes_where_a_switch_would_do_nothing(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=keep")
    stuck.environment["GITHUB_ACTIONS"] = "true"
    assert "::error" not in stuck.manage("migrations_status", "--check").stdout
    assert stuck.manage("migrations_status", "--short", "--check").stdout == "in step\n"
    stuck.migration("shop", "0003_more", "", [("shop", "0002_longer_name")])
    said = stuck.manage("migrations_status", "--check", status=1).stdout
    assert said.count("::error") == 1
    assert "shop.0003_more from main is pending" in said


def test_the_status_goes_on_about_no_branch_that_is_gone(stuck: Project) -> None:
    stuck.manage("migrations_switch", "--irreversible=noop")
    assert "shop.0004_data is unapplied as if" in stuck.manage("migrations_status").stdout
    stuck.git("branch", "-D", "feature")
    assert stuck.manage("migrations_status").stdout == "Databases and code are in step.\n"


def test_nothing_is_forgotten_by_a_person_who_stops(stuck: Project) -> None:
    at_terminal(stuck, "keep")
    status, said = at_terminal(stuck, "stop", "--irreversible=ask")
    assert (status, "Forgotten" in said) == (1, False)
    assert stuck.switch("--no-input").startswith("Nothing to do")


def test_the_same_answer_is_remembered_again(stuck: Project) -> None:
    at_terminal(stuck, "keep")
    status, said = at_terminal(stuck, "keep", "--irreversible=ask")
    assert (status, "Forgotten" in said) == (0, True)
    assert stuck.switch("--no-input").startswith("Nothing to do")


def test_a_refusal_names_the_target_that_was_typed(project: Project) -> None:
    project.app("shop", "")
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Brand", [{ID}]), migrations.CreateModel("Product", [{ID}]),',
    )
    project.commit()
    project.checkout("-b", "none")
    project.migration(
        "shop", "0002_none", 'migrations.DeleteModel("Brand")', [("shop", "0001_initial")]
    )
    project.commit()
    project.checkout("-b", "feature", "main")
    brand = 'models.ForeignKey("shop.brand", models.CASCADE, null=True)'
    project.migration(
        "shop",
        "0002_brand",
        f'migrations.AddField("product", "brand", {brand}), migrations.RunSQL("SELECT 1"),',
        [("shop", "0001_initial")],
    )
    project.commit()
    project.manage("migrate")
    result = project.manage("migrations_switch", "none", "--irreversible=keep", status=1)
    assert result.stderr.strip().endswith(
        "run `manage.py migrations_switch none --irreversible=noop`."
    )
    project.switch("none", "--irreversible=noop")


DARKEN = """
def darken(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.colour = f"dark {product.colour}"
        product.save()
"""


def test_what_counted_as_empty_does_not_keep_the_values_of_the_branch_below(
    project: Project,
) -> None:
    """They are as the code has left them, as on the direct way; and that is said."""
    make_shop_with_feature(project)
    project.python("from shop.models import *; Product.objects.create(name='p', colour='red')")
    project.checkout("-b", "top")
    project.models("shop", PRODUCT + COLOUR.replace("colour", "shade"))
    operations = """
        migrations.RunPython(darken),
        migrations.RenameField("product", "colour", "shade"),
    """
    project.migration("shop", "0004_shade", operations, [("shop", "0003_colour")], DARKEN)
    project.commit("Shade")
    project.switch()
    project.checkout("main")
    project.switch("--irreversible=noop")
    project.checkout("feature")

    said = project.manage("migrations_switch", "--no-input").stderr

    assert (
        "column shop_product.shade: restored as shop.0004_shade has left it. What the code of "
        "that did is not undone, because it has no reverse."
    ) in said
    assert project.python("from shop.models import *; print(Product.objects.get().colour)") == (
        "dark red"
    )
    project.assert_in_step()
