"""A switch that failed on the way: whether it is gone back, or gone on, no row is lost."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import dump, go, kept, values
from tests.branches.stash.test_stash import REVIEWS, WEIGHT, make_products
from tests.project import Project

pytestmark = pytest.mark.once

FAILS = """
from pathlib import Path

class Fail(migrations.AlterModelOptions):
    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        assert not Path("broken").exists(), "it is broken"
"""
FILL = """
def fill(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update(weight=7)
    apps.get_model("shop", "Review").objects.update(text="filled")
"""
EDITS = """
from shop.models import *
Product.objects.filter(pk=1).update(weight=11)
product = Product.objects.create(name="new", weight=40)
Review.objects.create(product=product, text="r4")
Review.objects.filter(pk=2).update(text="edited")
"""


@pytest.fixture
def stuck(vendor_project: Project) -> Project:
    """Between feature, which has rows, and main; feature is checked out."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT + WEIGHT + REVIEWS)
    vendor_project.manage("makemigrations", "shop", "--name=reviews")
    vendor_project.migration(
        "shop", "0004_fails", 'Fail("product", {}),', [("shop", "0003_reviews")], before=FAILS
    )
    vendor_project.migration(
        "shop",
        "0005_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0004_fails")],
        before=FILL,
    )
    vendor_project.commit("Feature")
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        from shop.models import *
        for product in Product.objects.all():
            product.weight = 10 * product.pk
            product.save()
            Review.objects.create(product=product, text=f"r{product.pk}")
        """
    )
    vendor_project.write("broken", "")
    vendor_project.checkout("main")
    result = vendor_project.manage("migrations_switch", "--no-input", status=None)
    assert "it is broken" in result.stderr
    (vendor_project.path / "broken").unlink()
    vendor_project.checkout("feature")
    return vendor_project


@pytest.mark.no_cover
def test_gone_back(stuck: Project) -> None:
    """A data migration that runs again does not write over what is still in its place."""
    assert stuck.manage("migrations_switch", "--no-input").stderr == ""

    assert values(stuck, "weight") == "10; 20; 30"
    assert values(stuck, "text", model="Review") == "r1; r2; r3"
    assert not kept(stuck)
    stuck.assert_in_step()


def test_edited_and_gone_back(stuck: Project) -> None:
    """What was edited or made in between counts, too."""
    stuck.python(EDITS)
    before = dump(stuck)

    assert stuck.manage("migrations_switch", "--no-input").stderr == ""

    assert dump(stuck) == before
    assert not kept(stuck)


@pytest.mark.no_cover
def test_edited_and_gone_on(stuck: Project) -> None:
    stuck.python(EDITS)
    before = dump(stuck)

    go(stuck, "main")

    assert kept(stuck) >= {"shop_product.weight 4", "shop_review.* 4"}
    assert go(stuck, "feature").stderr == ""
    assert dump(stuck) == before
    assert not kept(stuck)


WIDE = "models.DecimalField(max_digits=9, decimal_places=3, default=0)"
OTHER = 'migrations.CreateModel("Other", [("id", models.AutoField(primary_key=True))]),'
FAIL = 'Fail("product", {}),'
ALTER = f'migrations.AlterField("product", "weight", {WIDE}),'


@pytest.mark.no_cover
def test_amended_where_a_narrowed_column_waits(vendor_project: Project) -> None:
    """What main had in it was to come back with the switch that failed, and still does."""
    break_off(vendor_project)
    amend(vendor_project)
    assert values(vendor_project, "weight") == "0.000; 1.000; 3.000"
    go(vendor_project, "main")
    assert values(vendor_project, "weight") == "None; 1; 3"
    go(vendor_project, "wide")
    assert values(vendor_project, "weight") == "0.000; 1.000; 3.000"


@pytest.mark.no_cover
def test_edited_and_amended_where_a_narrowed_column_waits(project: Project) -> None:
    break_off(project)
    project.checkout("wide")
    project.python("from shop.models import *; Product.objects.filter(pk=2).update(weight=9)")
    amend(project)
    assert values(project, "weight") == "0.000; 9.000; 3.000"
    go(project, "main")
    assert values(project, "weight") == "None; 9; 3"


def break_off(project: Project) -> None:
    """A switch from wide to main that fails, where main's NULL waits in the stash."""
    make_products(project, PRODUCT + "    weight = models.IntegerField(null=True)\n")
    project.python("from shop.models import *; Product.objects.filter(pk__gt=1).update(weight=1)")
    project.checkout("-b", "wide")
    project.models("shop", f"{PRODUCT}    weight = {WIDE}\n")
    before = [("shop", "0003_more")]
    project.migration("shop", "0004_wide", FAIL + ALTER, before, before=FAILS)
    project.migration("shop", "0005_other", OTHER, [("shop", "0004_wide")])
    project.commit("Wide")
    project.manage("migrations_switch")
    project.python("from shop.models import *; Product.objects.filter(pk=3).update(weight=3)")
    project.write("broken", "")
    project.checkout("main")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    project.remove("broken")


def amend(project: Project) -> None:
    """Another migration of wide alters the column now, and the database follows."""
    project.checkout("wide")
    project.migration("shop", "0004_wide", FAIL, [("shop", "0003_more")], before=FAILS)
    project.migration("shop", "0006_weight", ALTER, [("shop", "0005_other")])
    project.git("add", "--all")
    project.git("commit", "--quiet", "--amend", "--message=Amended")
    assert project.manage("migrations_switch", "--no-input").stderr == ""


FORTH = FAILS.replace("backwards", "forwards")
FILL_ALL = """
def fill(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update(weight=7)
"""


@pytest.fixture
def wide(project: Project) -> Project:
    """On wide, which has altered a column of main, where it was NULL."""
    make_products(project, PRODUCT + "    weight = models.IntegerField(null=True)\n")
    project.checkout("-b", "wide")
    project.models("shop", f"{PRODUCT}    weight = {WIDE}\n")
    project.migration("shop", "0004_wide", ALTER, [("shop", "0003_more")])
    project.manage("migrations_switch", "--no-input")
    return project


def interrupt(project: Project, operations: str) -> None:
    """Run a migration without a transaction that fails before ``operations``, and again."""
    project.migration(
        "shop",
        "0005_more",
        FAIL + operations,
        [("shop", "0004_wide")],
        before=FORTH + FILL_ALL,
        body="atomic = False",
    )
    project.commit("Wide")
    fail_and_resume(project)


def fail_and_resume(project: Project) -> None:
    project.write("broken", "")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    project.remove("broken")
    assert project.manage("migrations_switch", "--no-input").stderr == ""


@pytest.mark.no_cover
def test_what_a_resumed_migration_fills_is_no_edit_of_a_narrowed_column(wide: Project) -> None:
    interrupt(wide, "migrations.RunPython(fill, migrations.RunPython.noop),")
    assert values(wide, "weight") == "7.000; 7.000; 7.000"
    go(wide, "main")
    assert values(wide, "weight") == "None; None; None"


def test_the_stash_follows_what_a_resumed_migration_renames(wide: Project) -> None:
    interrupt(wide, 'migrations.AlterModelTable("product", "goods"),')
    assert kept(wide) == {"goods.weight 3"}


def test_a_resumed_migration_is_followed_by_detours(project: Project) -> None:
    """The rows of its table were dropped together with what another branch has on top."""
    make_products(project)
    id_ = '("id", models.AutoField(primary_key=True))'
    project.checkout("-b", "below")
    project.models("shop", f"{PRODUCT}class Note(models.Model):\n    text = models.TextField()\n")
    project.migration(
        "shop",
        "0003_note",
        f'{FAIL} migrations.CreateModel("Note", [{id_}, ("text", models.TextField())]),',
        [("shop", "0002_longer_name")],
        before=FORTH,
        body="atomic = False",
    )
    project.commit("Below")
    project.checkout("-b", "above")
    alter = 'migrations.AlterField("note", "text", models.CharField(max_length=20)),'
    project.migration("shop", "0004_short", alter, [("shop", "0003_note")])
    project.commit("Above")
    project.manage("migrations_switch", "--no-input")
    project.python('from shop.models import *; Note.objects.create(text="kept")')
    go(project, "main")

    project.checkout("below")
    fail_and_resume(project)

    assert values(project, "text", model="Note") == "kept"


def test_made_anew_behind_a_rename_by_a_migration_that_failed(project: Project) -> None:
    """Its column is alike and empty, and what was saved of it is all there is."""
    make_products(project, PRODUCT + WEIGHT)
    project.python("from shop.models import *; Product.objects.update(weight=5)")
    before = dump(project)
    project.checkout("-b", "anew")
    project.models("shop", PRODUCT.replace("Product", "Item") + WEIGHT)
    project.migration(
        "shop",
        "0004_item",
        'migrations.RenameModel("Product", "Item"),',
        [("shop", "0003_more")],
    )
    project.migration(
        "shop",
        "0005_anew",
        """
        migrations.RemoveField("item", "weight"),
        migrations.AddField("item", "weight", models.IntegerField(default=0)),
        """
        + FAIL,
        [("shop", "0004_item")],
        before=FORTH,
        body="atomic = False",
    )
    project.commit("Anew")
    project.write("broken", "")
    assert project.manage("migrations_switch", "--no-input", status=None).status
    project.remove("broken")

    go(project, "main")

    assert dump(project) == before
