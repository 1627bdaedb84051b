"""Data migrations that run again on the way back do not change what was there."""

import pytest

from tests.branches.shop import ID, PRODUCT, make_shop
from tests.branches.stash.stashing import go, values
from tests.project import Project

TAG = """
class Tag(models.Model):
    name = models.CharField(max_length=20)
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    product = models.ForeignKey(Product, models.CASCADE, null=True)
"""
COST = "    cost = models.IntegerField(null=True)\n"
STOCK = "    stock = models.IntegerField(null=True)\n"
FILL = """
def fill(apps, schema_editor):
    apps.get_model("shop", "Tag").objects.create(name="first")
    apps.get_model("shop", "Product").objects.filter(cost=None).update(cost=7)
"""


@pytest.fixture
def filled(vendor_project: Project) -> Project:
    """On branch feature, whose migrations made and filled a table and a column."""
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT + COST + TAG)
    vendor_project.migration(
        "shop",
        "0003_tags",
        f"""
        migrations.CreateModel("Tag", [
            {ID}
            ("name", models.CharField(max_length=20)),
            ("parent", models.ForeignKey("shop.tag", models.CASCADE, null=True)),
            ("product", models.ForeignKey("shop.product", models.CASCADE, null=True)),
        ]),
        migrations.AddField("product", "cost", models.IntegerField(null=True)),
        """,
        [("shop", "0002_longer_name")],
    )
    vendor_project.migration(
        "shop",
        "0004_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0003_tags")],
        before=FILL,
    )
    vendor_project.commit("Tags")
    vendor_project.manage("migrate")
    return vendor_project


def there_and_back(project: Project) -> None:
    go(project, "main")
    go(project, "feature")
    project.assert_in_step()


def test_a_table_that_was_emptied_stays_empty(filled: Project) -> None:
    filled.python("from shop.models import *; Product.objects.create(name='p')")
    filled.python("from shop.models import *; Tag.objects.all().delete()")
    there_and_back(filled)
    assert values(filled, "name", model="Tag") == ""


def test_a_column_that_was_emptied_stays_empty(filled: Project) -> None:
    filled.python("from shop.models import *; Product.objects.create(name='p')")
    there_and_back(filled)
    assert values(filled, "name", "cost") == "p None"


def test_a_column_that_sql_made_is_apart_from_one_that_is_filled(filled: Project) -> None:
    filled.models("shop", PRODUCT + COST + STOCK + TAG)
    filled.migration(
        "shop",
        "0005_stock",
        """
        migrations.RunSQL(
            "ALTER TABLE shop_product ADD COLUMN stock integer NULL",
            "ALTER TABLE shop_product DROP COLUMN stock",
            state_operations=[
                migrations.AddField("product", "stock", models.IntegerField(null=True)),
            ],
        ),
        """,
        [("shop", "0004_fill")],
    )
    filled.commit("Stock")
    filled.manage("migrate")
    filled.python("from shop.models import *; Product.objects.create(name='p', cost=1, stock=2)")
    there_and_back(filled)
    assert values(filled, "cost", "stock") == "1 2"
