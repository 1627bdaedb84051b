"""Foreign keys whose parent has been deleted since, and that say SET_NULL."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_stash import make_products
from tests.project import Project

pytestmark = pytest.mark.once

CATEGORY = "class Category(models.Model):\n    name = models.CharField(max_length=9)\n\n"
IN_CATEGORY = "    category = models.ForeignKey(Category, models.SET_NULL, null=True)\n"
REVIEW = """
class Writer(models.Model):
    category = models.ForeignKey(Category, models.CASCADE)

class Review(models.Model):
    text = models.CharField(max_length=9)
    product = models.ForeignKey(Product, models.SET_NULL, null=True)
    answer_to = models.ForeignKey("self", models.SET_NULL, null=True)
    writer = models.ForeignKey(Writer, models.SET_NULL, null=True)
    kept = models.ForeignKey(Product, models.{0}, null=True, related_name="+")
"""
REFERS = " in the stash: what they refer to in {} is gone"
GONE = " in the stash: the rows they belong to are gone"
NULL = " restored with NULL in {}: what {} to in {} is gone."


@pytest.mark.no_cover
def test_rows_come_back_with_null(vendor_project: Project) -> None:
    """Also where what they refer to is itself not restored."""
    make_products(vendor_project, CATEGORY + PRODUCT)
    make_branch(
        vendor_project, "feature", CATEGORY + PRODUCT + IN_CATEGORY + REVIEW.format("CASCADE")
    )
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        from shop.models import *
        first, second = Category.objects.create(name="a"), Category.objects.create(name="b")
        Product.objects.filter(pk__in=(1, 2)).update(category=first)
        Product.objects.filter(pk=3).update(category=second)
        writer = Writer.objects.create(category=first)
        gone = Review.objects.create(text="r1", kept_id=2)
        Review.objects.create(text="r2", product_id=2, writer=writer)
        Review.objects.create(text="r3", product_id=3, answer_to=gone, writer=writer)
        Review.objects.create(text="r4", product_id=2)
        """
    )
    go(vendor_project, "main")
    vendor_project.python(
        "from shop.models import *; Category.objects.get(name='a').delete(); "
        "Product.objects.filter(pk=2).delete()"
    )

    result = go(vendor_project, "feature")

    assert {line.partition(". To look")[0] for line in result.stderr.splitlines()} == {
        f"1 of 1 row of table shop_writer stays{REFERS.format('shop_category')}",
        f"1 of 4 rows of table shop_review stays{REFERS.format('shop_product')}",
        f"1 of 3 rows of column shop_product.category_id stays{GONE}",
        f"1 row was{NULL.format('shop_product.category_id', 'it refers', 'shop_category')}",
        f"1 row was{NULL.format('shop_review.answer_to_id', 'it refers', 'shop_review')}",
        f"2 rows were{NULL.format('shop_review.product_id', 'they refer', 'shop_product')}",
        f"2 rows were{NULL.format('shop_review.writer_id', 'they refer', 'shop_writer')}",
    }
    assert values(vendor_project, "name", "category__name") == "p1 None; p3 b"
    assert values(vendor_project, "text", "product", "answer_to", "writer", model="Review") == (
        "r2 None None None; r3 3 None None; r4 None None None"
    )
    dump(vendor_project)


def test_others_stay_though_they_take_null(vendor_project: Project) -> None:
    """The model says that such a row is deleted with its parent."""
    make_products(vendor_project, CATEGORY + PRODUCT)
    make_branch(vendor_project, "feature", CATEGORY + PRODUCT + REVIEW.format("CASCADE"))
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Review.objects.create(text='r1', kept_id=2, product_id=2)"
    )
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.filter(pk=2).delete()")
    assert "what they refer to in shop_product is gone" in go(vendor_project, "feature").stderr
    assert values(vendor_project, "text", model="Review") == ""
    assert kept(vendor_project) == {"shop_review.* 1"}
