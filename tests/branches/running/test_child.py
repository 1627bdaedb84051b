"""Migrations whose helper modules are gone with the branch they came from."""

import json
from collections.abc import Callable

import pytest

from tests.branches.planning.test_changed import edit
from tests.branches.shop import ID, PRODUCT, add_colour, columns, make_shop
from tests.branches.stash.stashing import values
from tests.branches.test_logging import documented_settings
from tests.databases import Configuration
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

HELPERS = """
from django.db import models

class ColourField(models.CharField):
    pass

def paint(apps, schema_editor):
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).update(
        colour="blue"
    )

def unpaint(apps, schema_editor):
    apps.get_model("shop", "Product").objects.using(schema_editor.connection.alias).update(
        name="was blue"
    )
"""


@made_once
def make_feature(project: Project, where: str = "top", helpers: str = HELPERS) -> None:
    make_shop(project)
    project.manage("migrate")
    project.python('from shop.models import Product; Product.objects.create(name="Chair")')
    project.checkout("-b", "feature")
    project.write("shop/helpers.py", helpers)
    add_colour(project)
    edit(project, "0003_colour", "models.CharField(", "ColourField(")
    edit(project, "0003_colour", "\n\nclass", "\nfrom shop.helpers import ColourField\n\nclass")
    models = project.path / "shop/models.py"
    text = models.read_text().replace("colour = models.CharField", "colour = ColourField")
    models.write_text("from shop.helpers import ColourField\n" + text)
    imports = "from shop.helpers import paint, unpaint"
    inner = f"""
def forwards(apps, schema_editor):
    {imports}
    paint(apps, schema_editor)

def backwards(apps, schema_editor):
    {imports}
    unpaint(apps, schema_editor)
"""
    project.migration(
        "shop",
        "0004_paint",
        "migrations.RunPython(forwards, backwards),"
        if where == "inside"
        else "migrations.RunPython(paint, unpaint),",
        [("shop", "0003_colour")],
        before=inner if where == "inside" else imports,
    )
    project.commit()
    project.switch()


@pytest.mark.no_cover
@pytest.mark.parametrize("where", ["top", "inside"])
def test_unapplied_in_a_work_tree_of_its_commit(vendor_project: Project, where: str) -> None:
    make_feature(vendor_project, where)
    vendor_project.manage("migrations_snapshot")
    vendor_project.checkout("main")

    output = vendor_project.switch()

    assert "Unapplying shop.0004_paint" in output
    assert columns(vendor_project) == {"id", "name"}
    assert vendor_project.python(
        "from shop.models import Product; print(Product.objects.get().name)"
    ) == ("was blue")
    vendor_project.assert_in_step()
    assert vendor_project.git("worktree", "list").count("\n") == 1


def test_from_git_history_and_before_checkout_forwards(vendor_project: Project) -> None:
    make_feature(vendor_project)
    vendor_project.checkout("main")
    vendor_project.switch()
    assert columns(vendor_project) == {"id", "name"}

    vendor_project.switch("feature")

    assert columns(vendor_project) == {"id", "name", "colour"}
    vendor_project.checkout("feature")
    vendor_project.assert_in_step()


def test_the_plan_says_what_would_be_dropped(project: Project) -> None:
    make_feature(project)
    project.checkout("main")
    output = project.manage("migrations_switch", "--plan").stdout
    assert "column shop_product.colour (1 row)" in output
    assert project.git("worktree", "list").count("\n") == 1
    assert "colour" in columns(project)


def test_irreversible_in_the_work_tree(project: Project) -> None:
    make_feature(project)
    edit(project, "0004_paint", "RunPython(paint, unpaint)", "RunPython(paint)")
    project.commit()
    project.manage("migrations_snapshot", "--accept")
    project.checkout("main")
    result = project.manage("migrations_switch", status=1)
    assert "shop.0004_paint can't be unapplied: it has no reverse." in result.stderr
    project.switch("--irreversible=noop")
    assert columns(project) == {"id", "name"}


@pytest.mark.no_cover
def test_what_is_left_needs_no_work_tree_from_then_on(project: Project) -> None:
    make_feature(project)
    edit(project, "0004_paint", "RunPython(paint, unpaint)", "RunPython(paint)")
    project.commit()
    project.manage("migrations_snapshot", "--accept")
    project.checkout("main")
    project.switch("--irreversible=keep")
    assert columns(project) == {"id", "name", "colour"}
    project.settings(documented_settings())
    result = project.manage("migrations_switch", "--no-input")
    assert "Opening a work tree" not in result.stderr
    assert "Nothing to do: database 'default' is left as it is." in result.stdout
    assert "shop.0004_paint was left applied" in result.stderr


@pytest.mark.no_cover
def test_what_counts_as_empty_is_remembered_of_a_work_tree(project: Project) -> None:
    make_feature(project)
    edit(project, "0004_paint", "RunPython(paint, unpaint)", "RunPython(paint)")
    project.commit()
    project.manage("migrations_snapshot", "--accept")
    project.checkout("main")
    project.switch("--irreversible=noop")
    project.checkout("feature")
    project.switch()
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


@pytest.mark.no_cover
def test_a_database_named_relative_to_the_project(project: Project) -> None:
    """The work tree's settings would point at a file inside of it."""
    project.databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "here.sqlite3"}
    }
    make_feature(project)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


@pytest.mark.no_cover
def test_the_work_tree_is_removed_when_it_fails_too(project: Project) -> None:
    make_feature(project)
    project.write("shop/helpers.py", "raise RuntimeError('broken')\n")
    project.commit("Broken")
    project.manage("migrations_status", status=None)
    project.checkout("main")
    snapshots = project.path / ".git/django-devtools/snapshots.json"
    snapshots.unlink()
    project.git("branch", "-D", "feature")

    project.switch()
    assert project.git("worktree", "list").count("\n") == 1
    assert columns(project) == {"id", "name"}


def forget_the_commits_of_feature(project: Project) -> None:
    project.git("reset", "--quiet", "--soft", "main")
    project.manage("migrations_snapshot", "feature")
    project.git("reset", "--quiet", "--hard", "main")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("branch", "-D", "main")
    project.checkout("-b", "main")
    project.git("branch", "-D", "feature")
    project.git("gc", "--quiet", "--prune=now")


@pytest.mark.no_cover
def test_helpers_that_were_never_committed(project: Project) -> None:
    make_feature(project)
    forget_the_commits_of_feature(project)

    project.switch()

    assert columns(project) == {"id", "name"}


@pytest.mark.no_cover
def test_helpers_that_are_recorded_nowhere(project: Project) -> None:
    make_feature(project)
    forget_projects(project)
    forget_the_commits_of_feature(project)

    result = project.manage("migrations_switch", status=1)

    assert "No module named 'shop.helpers'" in result.stderr
    assert (
        "check out the branch it came from and run `manage.py migrations_switch main` there."
        in result.stderr
    )
    assert "colour" in columns(project)


def test_from_no_branch_the_command_names_the_commit(project: Project) -> None:
    make_feature(project)
    forget_projects(project)
    forget_the_commits_of_feature(project)
    project.checkout("--detach")

    result = project.manage("migrations_switch", status=1)

    head = project.git("rev-parse", "HEAD").strip()
    assert f"run `manage.py migrations_switch {head}` there." in result.stderr


def forget_projects(project: Project) -> None:
    """Make the snapshots those of an earlier version, which recorded commits only."""
    file = project.path / ".git/django-devtools/snapshots.json"
    data = json.loads(file.read_text())
    for branches in data["databases"].values():
        for snapshot in branches.values():
            snapshot.pop("projects", None)
    file.write_text(json.dumps(data))


@pytest.mark.no_cover
def test_snapshots_without_projects(project: Project) -> None:
    make_feature(project)
    forget_projects(project)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


PAINTED = """
def make_colour():
    return "none"

class Product(models.Model):
    name = models.CharField(max_length=50)
    colour = models.CharField(max_length=20, default=make_colour)
"""


@pytest.mark.no_cover
@pytest.mark.parametrize("order", ["migrate first", "commit first", "never committed"])
def test_in_any_order_of_migrate_and_commit(vendor_project: Project, order: str) -> None:
    project = vendor_project
    make_shop(project)
    project.settings("DJANGO_DEVTOOLS = {}")
    project.commit()
    project.manage("migrate")
    project.checkout("-b", "feature")
    project.models("shop", PAINTED)
    project.manage("makemigrations", "shop", "--name=colour")
    if order == "commit first":
        project.commit()
    project.manage("migrate")
    if order == "migrate first":
        project.commit()
    if order == "never committed":
        project.git("stash", "--include-untracked")
        project.git("stash", "drop")

    project.checkout("main")
    project.switch()

    assert columns(project) == {"id", "name"}
    project.assert_in_step()


READS = """
from pathlib import Path

def up(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute((Path(__file__).parent / "sql/up.sql").read_text())

def down(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute((Path(__file__).parent / "sql/down.sql").read_text())
"""


def make_files(project: Project) -> None:
    make_shop(project)
    project.manage("migrate")
    project.checkout("-b", "feature")
    project.write(
        "shop/migrations/sql/up.sql", "INSERT INTO shop_product (name) VALUES ('of feature')"
    )
    project.write("shop/migrations/sql/down.sql", "DELETE FROM shop_product")
    project.migration(
        "shop",
        "0003_extra",
        "migrations.RunPython(up, down)",
        [("shop", "0002_longer_name")],
        before=READS,
    )
    project.switch()
    project.commit()


@pytest.mark.no_cover
def test_files_beside_a_migration(vendor_project: Project) -> None:
    make_files(vendor_project)
    vendor_project.checkout("main")

    plan = vendor_project.manage("migrations_switch", "--plan").stdout
    vendor_project.switch()

    assert "In a work tree of its project, because this checkout may lack something" in plan
    vendor_project.assert_in_step()
    vendor_project.checkout("feature")
    vendor_project.switch()
    vendor_project.assert_in_step()


def test_files_that_are_recorded_nowhere(project: Project) -> None:
    make_files(project)
    forget_projects(project)
    forget_the_commits_of_feature(project)

    result = project.manage("migrations_switch", "--no-input", status=1)

    assert "shop.0003_extra reads files of its project. It can't be run in a" in result.stderr
    assert project.states() == {"shop.0003_extra": "phantom"}


def test_helpers_that_are_gone_with_two_branches(vendor_project: Project) -> None:
    project = vendor_project
    make_shop(project)
    project.manage("migrate")
    for number, branch in enumerate(("one", "two"), 3):
        project.checkout("-b", branch, "main")
        project.write(f"shop/helper_{branch}.py", f"def default():\n    return {number}\n")
        project.migration(
            "shop",
            f"000{number}_{branch}",
            f'migrations.CreateModel("{branch}", [("id", models.AutoField(primary_key=True)), '
            '("n", models.IntegerField(default=default))])',
            [("shop", "0002_longer_name")],
            before=f"from shop.helper_{branch} import default",
        )
        project.commit()
        project.manage("migrate", "shop", f"000{number}_{branch}")
        project.manage("migrations_snapshot")
    project.checkout("main")

    output = project.switch()

    assert "Unapplying shop.0004_two... OK" in output
    assert "Unapplying shop.0003_one... OK" in output
    project.assert_in_step()


@pytest.mark.no_cover
def test_settings_that_git_ignores(project: Project) -> None:
    project.write(".gitignore", "*.sqlite3\n__pycache__\nlocal_settings.py\n")
    project.write("config/local_settings.py", "LOCAL = 1\n")
    project.settings("from config.local_settings import LOCAL")
    make_feature(project)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


def test_a_migration_of_both_branches_that_only_its_own_code_can_import(project: Project) -> None:
    """A helper was moved, and the migration that imports it was edited for that."""
    project.write("shop/old.py", HELPERS)
    make_shop(project)
    project.migration(
        "shop",
        "0003_fill",
        "migrations.RunPython(paint, unpaint)",
        [("shop", "0002_longer_name")],
        before="from shop.old import unpaint\npaint = migrations.RunPython.noop",
    )
    project.commit()
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.checkout("-b", "feature")
    project.git("mv", "shop/old.py", "shop/new.py")
    edit(project, "0003_fill", "shop.old", "shop.new")
    project.write("shop/tasks.py", "def nothing(apps, schema_editor): pass\n")
    project.migration(
        "shop",
        "0004_more",
        "migrations.RunPython(nothing, nothing)",
        [("shop", "0003_fill")],
        before="from shop.tasks import nothing",
    )
    project.commit()
    project.manage("migrations_switch", "--no-input")
    project.checkout("main")

    project.switch()

    assert project.states() == {}


def test_an_edit_beside_a_helper_that_is_gone(project: Project) -> None:
    """Which tables the edit would empty is not known without the helper."""
    make_shop(project)
    project.migration(
        "shop",
        "0003_thing",
        'migrations.CreateModel("Thing", [("id", models.AutoField(primary_key=True)), '
        '("code", models.CharField(max_length=20))])',
        [("shop", "0002_longer_name")],
    )
    project.commit()
    project.checkout("-b", "feature")
    edit(project, "0003_thing", "max_length=20", "max_length=30")
    project.write("shop/helpers.py", "def one():\n    return 1\n")
    number = "models.IntegerField(default=one)"
    project.migration(
        "shop",
        "0004_extra",
        f'migrations.CreateModel("Extra", [("id", models.AutoField(primary_key=True)), '
        f'("n", {number})])',
        [("shop", "0003_thing")],
        before="from shop.helpers import one",
    )
    project.migration(
        "shop",
        "0005_more",
        'migrations.AddField("extra", "more", models.IntegerField(default=2))',
        [("shop", "0004_extra")],
    )
    project.commit()
    project.switch()
    project.checkout("main")

    project.switch()

    project.manage("migrations_switch", "--check")


MOODS = """
def paint(apps, schema_editor):
    schema_editor.execute("CREATE TYPE mood AS ENUM ('ok')")
    schema_editor.execute("CREATE TABLE moods (mood mood)")

def unpaint(apps, schema_editor):
    schema_editor.execute("DROP TYPE mood")
"""


def test_what_the_database_refuses_in_the_work_tree(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """It is shown in its first line: PostgreSQL's last one says how to drop still more."""
    project = make_project(default=make_database("postgresql"))
    make_feature(project, helpers=HELPERS.partition("def paint")[0] + MOODS)
    project.manage("migrations_snapshot")
    project.checkout("main")
    result = project.manage("migrations_switch", "--no-input", status=1)
    assert "cannot drop type mood because other objects depend on it. Install" in result.stderr
    assert "CASCADE" not in result.stderr


PART = """
class Part(models.Model):
    pass
"""
LINK = "    part = models.ForeignKey('shop.Part', models.CASCADE)\n"


def test_a_required_foreign_key_comes_back_in_a_work_tree(vendor_project: Project) -> None:
    """It has no default: the database accepts it only with the values of the stash."""
    project = vendor_project
    project.settings("DJANGO_DEVTOOLS = {}")
    make_shop(project)
    project.models("shop", PRODUCT + LINK + PART)
    project.migration(
        "shop",
        "0003_part",
        f"""
        migrations.CreateModel("Part", [{ID}]),
        migrations.AddField("product", "part", models.ForeignKey("shop.Part", models.CASCADE)),
        """,
        [("shop", "0002_longer_name")],
    )
    project.commit()
    project.switch()
    create = "Product.objects.create(name='Chair', part=Part.objects.create())"
    project.python(f"from shop.models import *; {create}")
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + PART)
    project.write("shop/helpers.py", "def nothing(apps, schema_editor): pass\n")
    remove = 'migrations.RemoveField("product", "part"), migrations.RunPython(nothing, nothing),'
    imports = "from shop.helpers import nothing"
    project.migration("shop", "0004_less", remove, [("shop", "0003_part")], imports)
    project.commit()
    project.switch()
    project.checkout("main")
    project.switch()
    assert values(project, "name", "part") == "Chair 1"


def test_a_work_tree_tells_once_what_several_databases_ask(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    # On another server, names may be cut elsewhere, so the question would be another.
    project = make_project(default=make_database("sqlite"), other=make_database("sqlite"))
    make_feature(project)
    project.manage("migrate", "--database=other")
    project.manage("migrations_snapshot")
    project.checkout("main")
    project.settings(documented_settings())
    said = project.manage("migrations_switch", "--plan")
    assert said.stdout.count("Unapply shop.0004_paint") == 2
    assert said.stderr.count("Opening a work tree") == 1
