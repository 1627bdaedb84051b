"""Switches that are taken back."""

import json

import pytest

from tests.branches.shop import add_colour, columns, make_shop
from tests.commands.test_migrations_switch import at_terminal
from tests.project import Project
from tests.templates import made_once

ROW = """
from shop.models import Product
Product.objects.create(name="Chair", colour="blue")
"""
COLOURS = (
    "from shop.models import Product; print(*Product.objects.values_list('colour', flat=True))"
)


pytestmark = pytest.mark.once


@made_once
def make_feature(project: Project) -> None:
    """On feature, which is applied, and has a row with a colour."""
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.python(ROW)


@pytest.fixture
def shop(project: Project) -> Project:
    """On SQLite: where a switch goes back to is the same everywhere."""
    make_feature(project)
    return project


@pytest.fixture
def vendor_shop(vendor_project: Project) -> Project:
    """On each vendor in turn."""
    make_feature(vendor_project)
    return vendor_project


def undo(project: Project, *arguments: str, status: int = 0) -> str:
    result = project.manage("migrations_switch", "--undo", *arguments, status=status)
    return result.stdout + result.stderr


@pytest.mark.no_cover
def test_a_switch_to_the_wrong_branch_is_taken_back(vendor_shop: Project) -> None:
    vendor_shop.switch("main")
    assert columns(vendor_shop) == {"id", "name"}
    said = undo(vendor_shop)
    assert "Switch database 'default' to branch feature as it was before the switch of " in said
    assert vendor_shop.python(COLOURS) == "blue"
    vendor_shop.assert_in_step()
    assert "migrations_stash" not in vendor_shop.manage("migrations_status").stdout


def test_a_branch_that_has_no_snapshot(project: Project) -> None:
    make_shop(project)
    project.checkout("-b", "feature")
    add_colour(project)
    project.commit()
    project.manage("migrate")
    project.checkout("main")
    project.switch()
    project.git("branch", "-D", "feature")
    assert "Another branch" not in undo(project)
    assert columns(project) == {"id", "name", "colour"}
    project.switch()
    project.assert_in_step()


def test_the_plan_shows_it(shop: Project) -> None:
    shop.switch("main")
    said = undo(shop, "--plan")
    assert "Apply shop.0003_colour (file)" in said
    assert "Would be restored from the stash:" in said
    assert columns(shop) == {"id", "name"}
    undo(shop, "--check", status=1)


@pytest.mark.no_cover
def test_taking_back_is_taken_back(vendor_shop: Project) -> None:
    vendor_shop.switch("main")
    undo(vendor_shop)
    undo(vendor_shop)
    assert columns(vendor_shop) == {"id", "name"}
    undo(vendor_shop)
    assert vendor_shop.python(COLOURS) == "blue"


def test_without_a_switch_there_is_nothing_to_take_back(shop: Project) -> None:
    assert undo(shop, status=1).strip() == (
        "CommandError: No switch of database 'default' is recorded, so there is nothing to undo. "
        "`manage.py migrations_status` shows what it has."
    )


def test_a_switch_that_did_nothing_is_none(shop: Project) -> None:
    shop.switch("main")
    shop.switch("main")
    undo(shop)
    assert shop.python(COLOURS) == "blue"


def test_what_was_applied_since_is_not_taken_back_with_it(shop: Project) -> None:
    shop.switch("main")
    shop.checkout("main")
    shop.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    shop.manage("migrate")
    said = undo(shop, status=1)
    assert said.startswith("CommandError: Since the switch of ")
    assert said.strip().endswith(
        ", something else has changed database 'default': shop.0003_other was applied. Undoing "
        "the switch would take that back, too. To go where it was before, run `manage.py "
        "migrations_switch feature`."
    )
    shop.manage("migrations_switch", "feature")
    assert columns(shop) == {"id", "name", "colour"}


@pytest.mark.no_cover
def test_what_a_pull_has_brought_is_taken_back(shop: Project) -> None:
    """The target of the switch is the branch that the database was on."""
    shop.migration(
        "shop",
        "0004_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0003_colour")],
    )
    shop.commit()
    shop.switch()
    undo(shop)
    assert columns(shop) == {"id", "name", "colour"}
    assert shop.states() == {"shop.0004_size": "pending"}
    shop.switch()
    assert columns(shop) == {"id", "name", "colour", "size"}
    assert shop.states() == {}


def test_rows_that_were_added_since_go_to_the_stash(vendor_shop: Project) -> None:
    vendor_shop.checkout("main")
    vendor_shop.switch()
    vendor_shop.migration(
        "shop",
        "0003_size",
        'migrations.AddField("product", "size", models.IntegerField(default=1)),',
        [("shop", "0002_longer_name")],
    )
    vendor_shop.commit()
    vendor_shop.switch()
    vendor_shop.python(
        "from django.db import connection as c; "
        "c.cursor().execute('UPDATE shop_product SET size = 7')"
    )
    undo(vendor_shop)
    assert columns(vendor_shop) == {"id", "name"}
    assert "id  size\n1   7\n" in vendor_shop.manage("migrations_stash", "show", "2").stdout


def test_it_says_where_the_branch_is(shop: Project) -> None:
    shop.checkout("main")
    shop.switch()
    assert undo(shop).endswith(
        "Another branch is checked out. To work on feature: git checkout feature\n"
    )


def test_an_edited_migration_gets_its_old_text_back(vendor_shop: Project) -> None:
    file = vendor_shop.path / "shop/migrations/0003_colour.py"
    old = file.read_text()
    file.write_text(old.replace('"colour"', '"tint"'))
    vendor_shop.switch()
    assert columns(vendor_shop) == {"id", "name", "tint"}
    undo(vendor_shop)
    assert columns(vendor_shop) == {"id", "name", "colour"}
    file.write_text(old)
    assert vendor_shop.python(COLOURS) == "blue"
    vendor_shop.assert_in_step()


def test_what_was_dropped_for_good_is_named(shop: Project) -> None:
    shop.switch("main", "--no-stash")
    note = (
        "column shop_product.colour comes back without the values of 1 row, which were dropped "
        "with --no-stash.\n"
    )
    assert note in undo(shop, "--plan")
    assert note in undo(shop)
    assert columns(shop) == {"id", "name", "colour"}


@pytest.mark.no_cover
def test_code_that_runs_once_more_is_named(shop: Project) -> None:
    shop.migration("shop", "0004_sql", 'migrations.RunSQL("SELECT 1")', [("shop", "0003_colour")])
    shop.commit()
    shop.manage("migrate")
    shop.switch("main", "--irreversible=noop")
    assert (
        "shop.0004_sql is applied again, and what it ran before was never taken back.\n"
    ) in undo(shop)
    shop.assert_in_step()


def test_what_can_not_be_unapplied_is_refused(shop: Project) -> None:
    shop.migration("shop", "0004_sql", 'migrations.RunSQL("SELECT 1")', [("shop", "0003_colour")])
    shop.commit()
    shop.switch()
    assert "shop.0004_sql can't be unapplied" in undo(shop, status=1)
    status, _ = at_terminal(shop, "noop", "--undo")
    assert status == 0
    assert shop.states() == {"shop.0004_sql": "pending"}


@pytest.mark.no_cover
def test_a_killed_switch_is_taken_back_from_where_it_began(vendor_shop: Project) -> None:
    vendor_shop.migration(
        "shop",
        "0004_kill",
        "migrations.RunPython(migrations.RunPython.noop, backwards)",
        [("shop", "0003_colour")],
        before="""
        import os, signal

        def backwards(apps, schema_editor):
            if "KILL" in os.environ:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    vendor_shop.migration("shop", "0005_last", "", [("shop", "0004_kill")])
    vendor_shop.commit()
    vendor_shop.manage("migrate")
    vendor_shop.environment["KILL"] = "1"
    vendor_shop.manage("migrations_switch", "main", status=-9)
    del vendor_shop.environment["KILL"]
    assert vendor_shop.states() == {"shop.0005_last": "pending"}
    vendor_shop.switch("main")
    undo(vendor_shop)
    assert vendor_shop.states() == {}
    assert vendor_shop.python(COLOURS) == "blue"


@pytest.mark.no_cover
def test_what_fails_says_how_to_go_on_and_that_does(vendor_shop: Project) -> None:
    vendor_shop.migration(
        "shop",
        "0004_unique",
        'migrations.AlterUniqueTogether("product", {("name",)}),',
        [("shop", "0003_colour")],
    )
    vendor_shop.commit()
    vendor_shop.manage("migrate")
    vendor_shop.manage("migrations_snapshot")
    vendor_shop.checkout("main")
    vendor_shop.switch()
    vendor_shop.python('from shop.models import Product; Product.objects.create(name="Chair")')
    result = vendor_shop.manage("migrations_switch", "--undo", status=1)
    assert result.stderr.strip().endswith(
        "Change or delete them, and run `manage.py migrations_switch feature`; it resumes where "
        "this run stopped."
    )
    vendor_shop.python("from shop.models import Product; Product.objects.last().delete()")
    vendor_shop.switch("feature")
    assert vendor_shop.python(
        "from django.db import connection as c; k = c.cursor(); "
        "k.execute('SELECT colour FROM shop_product'); print(k.fetchall())"
    ) in ("[('blue',)]", "(('blue',),)")


def test_a_target_makes_no_sense(shop: Project) -> None:
    assert undo(shop, "main", status=1).strip() == (
        "CommandError: --undo knows where to go: leave out TARGET."
    )


# What was left applied

SQL = 'migrations.RunSQL("SELECT 1")'


@pytest.fixture
def kept(project: Project) -> Project:
    """
    On main, with 0003_sql of fix(shop) left applied. The branch other adds 0003_colour.

    By its rows, the database may be on fix(shop) as well, which has a snapshot.
    """
    leave_applied(project)
    return project


@made_once
def leave_applied(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "fix(shop)")
    project.migration("shop", "0003_sql", SQL, [("shop", "0002_longer_name")])
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "other", "main")
    add_colour(project)
    project.commit()
    project.checkout("main")
    project.switch("--irreversible=keep")


def recorded(project: Project, branch: str) -> set[str]:
    snapshots = json.loads(project.manage("migrations_snapshot", "--list", "--json").stdout)
    (found,) = [one["migrations"] for one in snapshots if one["branch"] == branch]
    return {one["name"] for one in found if one["app"] == "shop"}


@pytest.mark.no_cover
def test_what_was_left_becomes_no_part_of_the_branch(kept: Project) -> None:
    """Neither when a switch is taken back, nor when that is."""
    kept.manage("migrations_snapshot", "--delete", "fix(shop)")
    main, other = recorded(kept, "main"), {"0001_initial", "0002_longer_name", "0003_colour"}
    kept.checkout("other")
    kept.switch()
    assert "to branch main as it was before" in undo(kept)
    assert recorded(kept, "main") == main == {"0001_initial", "0002_longer_name"}
    assert "to branch other as it was before" in undo(kept)
    assert recorded(kept, "other") == other
    assert kept.states() == {"shop.0003_sql": "phantom"}


def test_where_two_branches_have_the_same_with_what_was_left_none_is_named(kept: Project) -> None:
    kept.checkout("other")
    kept.switch()
    said = undo(kept)
    assert "Switch database 'default' to what it was before the switch of " in said
    assert "Another branch is checked out" not in said
    assert recorded(kept, "main") == {"0001_initial", "0002_longer_name"}
    assert columns(kept) == {"id", "name"}


# What the commands say


def test_check_and_json_end_with_what_takes_the_switch_back(kept: Project) -> None:
    kept.checkout("fix(shop)")
    kept.migration("shop", "0004_sql", SQL, [("shop", "0003_sql")])
    kept.commit()
    kept.switch()
    said = undo(kept, "--check", status=1)
    assert said.endswith("To see each step: manage.py migrations_switch --undo --plan\n")
    (plan,) = json.loads(undo(kept, "--json"))
    assert plan["way_out"] == "manage.py migrations_switch --undo --irreversible=keep"


def test_a_name_is_quoted_once(shop: Project) -> None:
    shop.checkout("-b", "fix(shop)")
    shop.migration(
        "shop",
        "0004_unique",
        'migrations.AlterUniqueTogether("product", {("name",)}),',
        [("shop", "0003_colour")],
    )
    shop.commit()
    shop.switch()
    shop.checkout("main")
    shop.switch()
    shop.python('from shop.models import Product; Product.objects.create(name="Chair")')
    assert "run `manage.py migrations_switch 'fix(shop)'`; it resumes" in undo(shop, status=1)


# What else has changed


def test_nothing_to_do_does_not_hide_what_was_applied_since(shop: Project) -> None:
    shop.switch("main")
    shop.checkout("main")
    shop.migration("shop", "0003_other", "", [("shop", "0002_longer_name")])
    shop.commit()
    # As by a migrate without this app.
    shop.python(
        "from django.db import connection; from django.db.migrations.recorder import "
        "MigrationRecorder as R; R(connection).record_applied('shop', '0003_other')"
    )
    shop.settings('DJANGO_DEVTOOLS["AUTO_SNAPSHOT"] = True')
    assert shop.switch().startswith("Nothing to do")
    assert "0003_other" in recorded(shop, "main")
    assert "shop.0003_other was applied" in undo(shop, status=1)


@pytest.mark.no_cover
def test_what_the_last_switch_was_not_given_is_not_implied(shop: Project) -> None:
    """What it was given counts, in both directions."""
    shop.migration("shop", "0004_sql", f"{SQL[:-1]}, 'SELECT 2')", [("shop", "0003_colour")])
    shop.commit()
    shop.switch()
    file = shop.path / "shop/migrations/0004_sql.py"
    file.write_text(file.read_text().replace("SELECT 1", "SELECT 3"))
    shop.commit()
    shop.switch("--rerun")
    assert "Unapplying shop.0004_sql" in undo(shop)
    assert "Unapplying shop.0004_sql" in undo(shop)
    shop.checkout("main")
    shop.switch()
    (last,) = json.loads((shop.path / ".git/django-devtools/snapshots.json").read_text())[
        "last_switch"
    ].values()
    assert (last["rerun"], last["roll_back_shared"]) == (False, False)


def test_what_takes_along_shared_migrations_is_taken_back_with_them(shop: Project) -> None:
    file = shop.path / "shop/migrations/0002_longer_name.py"
    file.write_text(file.read_text().replace("max_length=50", "max_length=60"))
    shop.commit()
    assert "Nothing to do" in shop.switch("--no-input")
    for switch in (shop.switch("--roll-back-shared"), undo(shop), undo(shop)):
        assert "Unapplying shop.0003_colour" in switch
        assert "Unapplying shop.0002_longer_name" in switch
        assert "Applying shop.0003_colour" in switch


def test_why_a_hook_failed_is_not_forgotten_where_nothing_is_to_take_back(shop: Project) -> None:
    """What a hook has failed to reach is another place."""
    if shop.databases["default"]["ENGINE"].endswith("mysql"):
        pytest.skip("MySQL leaves it half-way: any switch has to finish it, or forget it, first")
    boom = (
        "from django.db import OperationalError\n\ndef boom(*args):\n    raise OperationalError\n"
    )
    code = "migrations.RunPython(boom, migrations.RunPython.noop)"
    shop.migration("shop", "0004_boom", code, [("shop", "0003_colour")], before=boom)
    shop.commit()
    shop.manage("migrations_switch", status=1)
    failed = shop.path / ".git/django-devtools/failed"
    failed.write_text("why")
    assert undo(shop).startswith("Nothing to do")
    assert failed.exists()


def test_without_a_repository(project: Project) -> None:
    make_shop(project)
    (project.path / ".git").rename(project.path / ".gone")
    project.manage("migrate")
    add_colour(project)
    project.switch()
    undo(project)
    assert columns(project) == {"id", "name"}


def test_the_json_of_the_file_is_read_by_this_version(shop: Project) -> None:
    shop.switch("main")
    file = shop.path / ".git/django-devtools/snapshots.json"
    (last,) = json.loads(file.read_text())["last_switch"].values()
    assert (last["before"][0], last["is_done"], last["notes"]) == ("feature", True, [])
