"""Migrations whose helper modules are gone with the branch they came from."""

from collections.abc import Callable

import pytest

from tests.branches.planning.test_changed import edit
from tests.branches.shop import add_colour, columns, make_shop
from tests.databases import Configuration
from tests.project import Project

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


def test_a_database_named_relative_to_the_project(project: Project) -> None:
    """The work tree's settings would point at a file inside of it."""
    project.databases = {
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "here.sqlite3"}
    }
    make_feature(project)
    project.checkout("main")
    project.switch()
    assert columns(project) == {"id", "name"}


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


def test_helpers_that_were_never_committed(project: Project) -> None:
    make_feature(project)
    project.manage("migrations_snapshot")
    project.git("reset", "--quiet", "--soft", "main")
    project.manage("migrations_snapshot", "feature")
    project.git("reset", "--quiet", "--hard", "main")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("branch", "-D", "main")
    project.checkout("-b", "main")
    project.git("branch", "-D", "feature")

    result = project.manage("migrations_switch", status=1)

    assert "No module named 'shop.helpers'" in result.stderr
    assert "check out the branch it came from" in result.stderr
    assert project.git("worktree", "list").count("\n") == 1
    assert "colour" in columns(project)


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
