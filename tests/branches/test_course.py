"""What becomes of tables and columns when operations run."""

import functools
from typing import Any

from django.db import migrations, models
from django.db.backends.utils import truncate_name
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.course import course
from tests.branches.test_effect import create, migration


def lost(*operations: Operation, base: tuple[Operation, ...] = ()) -> set[str]:
    state = ProjectState()
    for operation in base:
        operation.state_forwards("shop", state)
    return {str(loss) for loss in course(state, [migration(*operations)], 30).losses()}


def test_losses_of_tables() -> None:
    tags = ("tags", models.ManyToManyField("shop.Tag"))
    through = ("ways", models.ManyToManyField("shop.Tag", through="shop.Way"))
    assert lost(create("Tag"), create("Product", tags, through)) == {
        "table shop_tag",
        "table shop_product",
        "table shop_product_tags",
    }
    assert lost(create("Proxy", proxy=True), create("Other", managed=False)) == set()
    assert lost(create("Tag"), migrations.DeleteModel("Tag")) == set()
    assert lost(create("A" * 20, ("b" * 20, models.ManyToManyField("shop.Tag")))) == {
        "table shop_aaaaaaaaaaaaaaaaaaaa",
        "table " + truncate_name(f"shop_{'a' * 20}_{'b' * 20}", 30),
    }


def test_losses_of_columns() -> None:
    base = (create("Product"), create("Tag"))
    add = functools.partial(migrations.AddField, "product")
    assert lost(
        add("price", models.IntegerField()),
        add("tag", models.ForeignKey("shop.Tag", models.CASCADE)),
        add("named", models.IntegerField(db_column="other")),
        add("tags", models.ManyToManyField("shop.Tag")),
        base=base,
    ) == {
        "column shop_product.price",
        "column shop_product.tag_id",
        "column shop_product.other",
        "table shop_product_tags",
    }
    assert (
        lost(
            add("price", models.IntegerField()),
            migrations.RemoveField("product", "price"),
            base=base,
        )
        == set()
    )
    assert lost(migrations.AlterField("product", "id", models.AutoField()), base=base) == set()


def test_what_was_renamed_is_lost_by_the_name_it_has_now() -> None:
    base = (create("Product"),)
    assert lost(
        migrations.AddField("product", "price", models.IntegerField()),
        migrations.RenameField("product", "price", "cost"),
        migrations.RenameModel("Product", "Article"),
        create("Tag"),
        migrations.RenameModel("Tag", "Label"),
        base=base,
    ) == {"column shop_article.cost", "table shop_label"}
    assert lost(migrations.RenameModel("Product", "Article"), base=base) == set()
    assert lost(migrations.RenameField("product", "id", "pk2"), base=base) == set()


def test_losses_of_state_and_database_separated() -> None:
    base = (create("Product"),)
    add = migrations.AddField("product", "price", models.IntegerField())
    rename = migrations.RenameField("product", "price", "cost")
    both = migrations.SeparateDatabaseAndState
    assert lost(both([add], [add]), both([], [rename]), base=base) == {"column shop_product.cost"}
    assert lost(both([], [add]), base=base) == set()


def test_a_model_that_is_swapped_out_has_no_table(settings: Any) -> None:
    settings.SHOP_PRODUCT_MODEL = "other.Product"
    assert lost(create("Product", swappable="SHOP_PRODUCT_MODEL")) == set()
    settings.SHOP_PRODUCT_MODEL = "shop.Product"
    assert lost(create("Product", swappable="SHOP_PRODUCT_MODEL")) == {"table shop_product"}
