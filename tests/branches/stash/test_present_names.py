"""What is in the stash is found under the names that migrations have given since."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import go, kept, make_branch, values
from tests.branches.stash.test_stash import WEIGHT, make_products
from tests.project import Project

pytestmark = pytest.mark.once

BEFORE = [("shop", "0002_longer_name")]
RENAMED = PRODUCT.replace("Product", "Item").replace("name", "title")
ID = """("id", models.BigAutoField(primary_key=True)),"""
PART = "\nclass Part(models.Model):\n    {0} = models.CharField(max_length=9)\n"


@pytest.mark.no_cover
def test_a_column_of_a_table_that_was_renamed(vendor_project: Project) -> None:
    """By main; the branch was rebased on that, and its migration is another one now."""
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + WEIGHT)
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Product.objects.filter(pk=2).update(weight=7)"
    )
    go(vendor_project, "main")
    vendor_project.models("shop", RENAMED)
    rename = """
        migrations.RenameField("product", "name", "title"),
        migrations.RenameModel("Product", "Item"),
    """
    vendor_project.migration("shop", "0003_rename", rename, BEFORE)
    vendor_project.commit("Rename")
    vendor_project.switch()
    vendor_project.checkout("-b", "rebased")
    vendor_project.models("shop", RENAMED + WEIGHT)
    add = 'migrations.AddField("item", "weight", models.IntegerField(default=0)),'
    vendor_project.migration("shop", "0004_weight", add, [("shop", "0003_rename")])
    vendor_project.commit("Weight")
    vendor_project.switch()
    assert values(vendor_project, "weight", model="Item") == "0; 0; 0"

    result = vendor_project.manage("migrations_stash", "restore", "1")

    assert result.stderr == ""
    # The switch that renamed the table has followed it.
    assert result.stdout == "  Restoring column shop_item.weight... OK\n"
    assert values(vendor_project, "title", "weight", model="Item") == "p1 0; p2 7; p3 0"
    assert not kept(vendor_project)


def test_a_table_and_its_columns_that_were_renamed(vendor_project: Project) -> None:
    """The rows stayed, and the branch went on since."""
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + PART.format("name"))
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import *; Part.objects.create(name='a')")
    go(vendor_project, "main")
    vendor_project.checkout("feature")
    vendor_project.python(
        """
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("UPDATE django_devtools_stash SET status = 'left'")
        """
    )
    rename = """
        migrations.RenameModel("Part", "Piece"),
        migrations.RenameField("piece", "name", "title"),
    """
    vendor_project.migration("shop", "0004_rename", rename, [("shop", "0003_feature")])
    vendor_project.models("shop", PRODUCT + PART.replace("Part", "Piece").format("title"))
    vendor_project.commit("Rename")
    vendor_project.switch()

    result = vendor_project.manage("migrations_stash", "restore", "1")

    assert result.stderr == ""
    assert "  Following table shop_part to table shop_piece... OK\n" in result.stdout
    assert values(vendor_project, "id", "title", model="Piece") == "1 a"
    assert not kept(vendor_project)


def test_a_table_that_was_not_renamed(project: Project) -> None:
    """It is named as it was, and stays."""
    make_products(project)
    make_branch(project, "feature", PRODUCT + WEIGHT)
    project.manage("migrate")
    go(project, "main")
    make_branch(project, "other", PRODUCT + PART.format("name"))
    project.switch()
    result = project.manage("migrations_stash", "restore", "1")
    assert result.stdout == ""
    assert result.stderr == (
        "column shop_product.weight: still in the stash. There is no such table or column now. "
        "To look at it: manage.py migrations_stash show 1\n"
    )
    assert kept(project) == {"shop_product.weight 3"}
