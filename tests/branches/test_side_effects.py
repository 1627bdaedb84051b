"""What fails with the code of the target because of what is left applied."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import migrations, models
from django.db.models.functions import Abs

from django_devtools.branches.planning.plan import make_plan
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.side_effects import (
    Referring,
    Unfilled,
    candidates,
    described,
    is_helped_by_noop,
    side_effects,
)
from tests.branches.planning.values import History, after, create, facts, key, keys, line, run
from tests.branches.shop import COLOUR, PRODUCT, columns, make_shop
from tests.project import Project

NUMBER = models.IntegerField()
KEEP = Policy(Irreversible.KEEP)


def column(field: "models.Field[Any, Any]", name: str = "stock") -> migrations.AddField:
    return migrations.AddField("product", name, field)


def found(held: History, wanted: History) -> list[Unfilled | Referring]:
    return [*candidates(make_plan(facts(held, wanted), KEEP))]


BASE = line(m1=create("Product", "size"))
STOCK = Unfilled("shop_product", "stock", is_known=False)


def with_left(*operations: migrations.operations.base.Operation) -> History:
    return line(m1=create("Product", "size"), m2=[*operations, run(reversible=False)])


def test_a_column_that_the_target_does_not_know() -> None:
    assert found(with_left(column(NUMBER)), BASE) == [STOCK]


@pytest.mark.parametrize(
    "field",
    [
        models.IntegerField(null=True),
        models.GeneratedField(expression=Abs("size"), output_field=NUMBER, db_persist=True),
    ],
    ids=["nullable", "generated"],
)
def test_a_column_that_needs_no_value(field: "models.Field[Any, Any]") -> None:
    assert found(with_left(column(field)), BASE) == []


def test_a_column_that_needs_a_value_only_where_it_is_left() -> None:
    held = with_left(migrations.AlterField("product", "size", NUMBER))
    assert found(held, BASE) == [Unfilled("shop_product", "size", is_known=True)]


def test_a_table_that_the_target_does_not_know() -> None:
    assert found(with_left(create("Brand")), BASE) == []


def brand_with(field: "models.Field[Any, Any]") -> History:
    brand = migrations.CreateModel(
        "Brand", [("id", models.AutoField(primary_key=True)), ("product", field)]
    )
    return with_left(brand)


def key_to(model: str = "shop.product", **options: Any) -> Any:
    return models.ForeignKey(model, on_delete=models.CASCADE, **options)


@pytest.mark.parametrize(
    ("held", "referring"),
    [
        (brand_with(key_to()), [Referring("shop_product", "shop_brand", "product_id")]),
        (brand_with(key_to(null=True)), [Referring("shop_product", "shop_brand", "product_id")]),
        (
            with_left(column(key_to("self", null=True))),
            [Referring("shop_product", "shop_product", "stock_id")],
        ),
        (
            brand_with(models.ManyToManyField("shop.product")),
            [Referring("shop_product", "shop_brand_product", None)],
        ),
        (
            with_left(column(models.ManyToManyField("self"))),
            [Referring("shop_product", "shop_product_stock", None)],
        ),
        (brand_with(key_to("shop.brand")), []),
        (brand_with(key_to(db_constraint=False)), []),
        (brand_with(models.ManyToManyField("shop.product", db_constraint=False)), []),
    ],
)
def test_a_foreign_key_that_the_target_does_not_know(
    held: History, referring: list[Referring]
) -> None:
    assert found(held, BASE) == referring


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="This Django has no DB_CASCADE")
def test_a_foreign_key_by_which_the_database_deletes() -> None:
    key = models.ForeignKey("shop.product", on_delete=models.DB_CASCADE)
    assert found(brand_with(key), BASE) == []


def test_a_foreign_key_that_the_target_has_too() -> None:
    shared = [create("Product"), column(key_to("self", null=True))]
    held = line(m1=[*shared], m2=[create("Brand"), run(reversible=False)])
    assert found(held, line(m1=[*shared])) == []


def test_what_the_target_adds_is_its_own() -> None:
    wanted = line(m1=create("Product", "size"), n2=column(NUMBER, "price"))
    assert found(with_left(column(NUMBER)), wanted) == [STOCK]


def test_nothing_is_left() -> None:
    assert found(line(m1=create("Product", "size"), m2=column(NUMBER)), BASE) == []


def test_a_dependency_that_was_forgotten() -> None:
    """Without what it needs, its models can't be told, and other words are said of that."""
    add = migrations.AddField("brand", "stock", NUMBER)
    held = line(m1=create()) | line(b1=create("Brand")) | line(c1=[add, run(reversible=False)])
    held = after(held, key("c1"), key("m1"))
    plan = make_plan(facts(held, line(m1=create())), KEEP)
    assert plan.left_applied == keys("c1")
    outlook: Any = SimpleNamespace(plan=plan)
    assert side_effects(outlook) == []


def test_what_helps() -> None:
    plan = make_plan(facts(with_left(column(NUMBER)), BASE), KEEP)
    assert is_helped_by_noop(plan, keys("m2"))
    # Its source was not found.
    assert not is_helped_by_noop(plan, keys("m2", "gone"))
    removal = type("Removal", (migrations.RemoveField,), {"reversible": False})
    stuck = line(m1=create("Product", "size"), m2=removal("product", "size"))
    assert not is_helped_by_noop(make_plan(facts(stuck, BASE), KEEP), keys("m2"))


def test_the_words() -> None:
    size = Unfilled("shop_product", "size", is_known=True)
    brand = Unfilled("shop_brand", "name", is_known=False)
    review = Referring("shop_product", "shop_review", "product_id")
    tags = Referring("shop_brand", "shop_brand_tags", None)
    also = Referring("shop_brand", "shop_review", "brand_id")
    found = [*described([STOCK, brand, review, size, tags, also], "branch main")]
    assert {one.advice for one in found[:2]} == {"Give that a default in the database."}
    assert {one.advice for one in found[2:]} == {
        "Before that, delete the rows that refer to them, in manage.py dbshell."
    }
    assert [one.words for one in found] == [
        (
            "new rows of shop_brand, shop_product fail: branch main does not fill "
            "shop_product.stock, shop_brand.name, which are NOT NULL and have no default in the "
            "database."
        ),
        (
            "new rows of shop_product fail: branch main may leave out shop_product.size, which is "
            "NOT NULL and has no default in the database."
        ),
        (
            "rows of shop_brand that shop_brand_tags, shop_review.brand_id refer to can't be "
            "deleted, because branch main does not know them."
        ),
        (
            "rows of shop_product that shop_review.product_id refers to can't be deleted, because "
            "branch main does not know it."
        ),
    ]


def test_a_default_that_only_the_database_has(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT + COLOUR)
    state = 'migrations.AddField("product", "colour", models.CharField(max_length=20))'
    sql = "ALTER TABLE shop_product ADD colour varchar(20) DEFAULT 'red' NOT NULL"
    vendor_project.migration(
        "shop",
        "0003_colour",
        f'migrations.RunSQL("{sql}", state_operations=[{state}]),',
        [("shop", "0002_longer_name")],
    )
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.checkout("main")
    said = vendor_project.manage("migrations_switch", "--irreversible=keep").stderr
    assert "shop.0003_colour was left applied: it can't be unapplied.\n" in said
    assert "new rows" not in said.lower()
    assert columns(vendor_project) == {"id", "name", "colour"}
    vendor_project.python('from shop.models import Product; Product.objects.create(name="a")')


REVIEW = """
migrations.CreateModel("Review", [
    ("id", models.BigAutoField(primary_key=True)),
    ("product", models.ForeignKey("product", models.CASCADE)),
]),
migrations.RunPython(lambda apps, editor: None),
"""
DELETE = "Product.objects.all().delete()"
IMPORT = "from shop.models import Product"


def test_rows_that_what_is_left_refers_to(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.checkout("-b", "feature")
    key = "    product = models.ForeignKey(Product, models.CASCADE)\n"
    vendor_project.models("shop", f"{PRODUCT}\n\nclass Review(models.Model):\n{key}")
    vendor_project.migration("shop", "0003_review", REVIEW, [("shop", "0002_longer_name")])
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import Product, Review; "
        'Review.objects.create(product=Product.objects.create(name="Chair"))'
    )
    vendor_project.checkout("main")
    fails = (
        "rows of shop_product that shop_review.product_id refers to can't be deleted, because "
        "branch main does not know it."
    )
    refused = vendor_project.manage("migrations_switch", "--no-input", status=1).stderr
    assert f"\nIf it is left applied, {fails}\n" in refused
    left = (
        f"While that is left applied, {fails} To have that unapplied: manage.py migrations_switch "
        "--irreversible=noop\n"
    )
    assert left in vendor_project.manage("migrations_switch", "--irreversible=keep").stderr
    assert left in vendor_project.look("migrations_status")
    with pytest.raises(AssertionError, match="IntegrityError"):
        vendor_project.python(f"{IMPORT}; {DELETE}")
    assert left not in vendor_project.manage("migrations_switch", "--irreversible=noop").stderr
    vendor_project.python(f"{IMPORT}; {DELETE}")
    assert left not in vendor_project.look("migrations_status")
