"""What plain ``migrate`` drops is kept, too."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stashing import dump, go, kept, make_branch, values
from tests.branches.test_stash import NOTE, REVIEWS, make_products
from tests.project import Project

MAIN = PRODUCT + NOTE + REVIEWS


@pytest.fixture
def shop(project: Project) -> Project:
    """On main, with rows; branch less drops, and narrows, what they are in."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, MAIN)
    project.python(
        """
        from shop.models import *
        for product in Product.objects.all():
            product.name, product.note = product.name * 20, f"n{product.pk}"
            product.save()
            Review.objects.create(product=product, text="t").tags.create(name=product.pk)
        """
    )
    return project


def test_forwards(shop: Project) -> None:
    before = dump(shop)
    make_branch(shop, "less", PRODUCT)

    output = shop.manage("migrate").stdout

    assert "  Keeping table shop_review... OK\n" in output
    assert "  Keeping column shop_product.note... OK\n" in output
    assert go(shop, "main").stderr == ""
    assert dump(shop) == before
    assert not kept(shop)


def test_backwards_and_forwards_again(shop: Project) -> None:
    before = dump(shop)
    shop.manage("migrate", "shop", "0002")
    assert kept(shop) >= {"shop_product.note 3", "shop_review.* 3", "shop_review_tags.* 3"}
    shop.manage("migrate")
    assert dump(shop) == before
    assert not kept(shop)


@pytest.mark.parametrize("fake", ["--fake", "--fake-initial"])
def test_only_what_was_dropped(shop: Project, fake: str) -> None:
    make_branch(shop, "less", PRODUCT)
    shop.manage("migrate", fake)
    assert bool(kept(shop)) is (fake == "--fake-initial")


def test_a_column_that_gets_narrower(shop: Project) -> None:
    before = dump(shop)
    make_branch(shop, "less", MAIN.replace("null=True)\n\nclass", "default='')\n\nclass"))
    shop.python("from shop.models import *; Product.objects.filter(pk=2).update(note=None)")
    before = dump(shop)
    shop.manage("migrate")
    assert values(shop, "note").endswith("n1; ; n3")
    assert go(shop, "main").stderr == ""
    assert dump(shop) == before


def test_nothing_is_dropped(shop: Project) -> None:
    make_branch(shop, "more", MAIN + "\nclass More(models.Model):\n    pass\n")
    assert "Keeping" not in shop.manage("migrate").stdout
    assert not kept(shop)


def test_it_can_not_be_kept(sqlite_project: Project) -> None:
    """Then it is said, and `migrate` goes on, as it was asked to."""
    project = sqlite_project
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT + NOTE)
    project.python("from shop.models import *; Product.objects.update(note='n')")
    project.python(
        "from django.db import connection; "
        "connection.cursor().execute('CREATE TABLE django_devtools_stash_1 (id integer)')"
    )
    make_branch(project, "less", PRODUCT)
    result = project.manage("migrate")
    assert "What is dropped from database 'default' was not kept: " in result.stderr
    project.assert_in_step()
