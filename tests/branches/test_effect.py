"""What migrations do to a database, compared and foreseen."""

import enum
import functools
from typing import Any

import pytest
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.backends.utils import truncate_name
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.effect import (
    irreversible_operations,
    is_seen_by_state,
    losses,
    raw_operations,
    same_models,
    same_raw_operations,
    same_schema,
    tables,
)
from django_devtools.branches.loader import variant


def migration(*operations: Operation, name: str = "0001_initial") -> Migration:
    return variant(Migration(name, "shop"), operations=list(operations))


def create(name: str = "Product", *fields: tuple[str, Any], **options: Any) -> Operation:
    return migrations.CreateModel(
        name, [("id", models.BigAutoField(primary_key=True)), *fields], options=options
    )


def default_name() -> str:
    return "Chair"


class Size(enum.Enum):
    SMALL = "s"


class Plain:
    def __init__(self, number: int) -> None:
        self.number = number


SAME = [
    (models.CharField(max_length=9), models.CharField(max_length=9, help_text="Help")),
    (models.CharField(default=default_name), models.CharField(default=default_name)),
    (
        models.CharField(default=functools.partial(str, "a")),
        models.CharField(default=functools.partial(str, "a")),
    ),
    (models.CharField(default=Size.SMALL), models.CharField(default="s")),
    (models.JSONField(default=Plain(1)), models.JSONField(default=Plain(1))),
    (models.JSONField(default=frozenset("ab")), models.JSONField(default=frozenset("ba"))),
    (
        models.ForeignKey("shop.Product", models.CASCADE),
        models.ForeignKey("shop.product", models.SET_NULL, related_name="+"),
    ),
    (models.CharField(), models.CharField(validators=[RegexValidator("a")])),
]
OTHER = [
    (models.CharField(max_length=9), models.CharField(max_length=10)),
    (models.CharField(), models.TextField()),
    (models.CharField(), models.CharField(db_column="other")),
    (models.JSONField(default=Plain(1)), models.JSONField(default=Plain(2))),
    (models.JSONField(default=dict), models.JSONField(default=list)),
    (models.CharField(null=True), models.CharField()),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_fields_that_are_the_same_to_a_database(one: Any, other: Any) -> None:
    assert same_schema(migration(create("A", ("f", one))), migration(create("A", ("f", other))))
    added, readded = (migrations.AddField("a", "f", field) for field in (one, other))
    assert same_schema(migration(added), migration(readded))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_fields_that_are_not(one: Any, other: Any) -> None:
    left, right = migration(create("A", ("f", one))), migration(create("A", ("f", other)))
    assert not same_schema(left, right)


def test_options_of_models() -> None:
    index = models.Index(fields=["id"], name="by_id")
    plain = migration(create())
    assert same_schema(plain, migration(create(verbose_name="Ware", ordering=["id"])))
    assert not same_schema(plain, migration(create(indexes=[index])))
    assert not same_schema(plain, migration(create(db_table="other")))


def test_messages_of_constraints() -> None:
    def constrained(**options: Any) -> Migration:
        check = models.CheckConstraint(condition=models.Q(id__gt=0), name="c", **options)
        return migration(migrations.AddConstraint("product", check))

    assert same_schema(constrained(), constrained(violation_error_message="No"))


def test_state_and_database_are_both_compared() -> None:
    add = migrations.AddField("product", "f", models.IntegerField())
    both = migrations.SeparateDatabaseAndState
    assert same_schema(migration(both([add], [])), migration(both([add], [])))
    assert not same_schema(migration(both([add], [])), migration(both([], [add])))
    assert same_schema(migration(migrations.RunSQL("A")), migration(migrations.RunSQL("B")))
    assert not same_schema(
        migration(migrations.RunSQL("A", state_operations=[add])),
        migration(migrations.RunSQL("A")),
    )


def test_raw_operations() -> None:
    inner = migrations.RunSQL("A")
    found = migration(migrations.SeparateDatabaseAndState([inner], []), create())
    assert raw_operations(found) == [inner]
    assert irreversible_operations(found) == [inner]
    assert not is_seen_by_state(found)
    assert is_seen_by_state(migration(create()))
    assert same_raw_operations(found, migration(migrations.RunSQL("A")))
    assert not same_raw_operations(found, migration(migrations.RunSQL("B")))


def lost(*operations: Operation, base: tuple[Operation, ...] = ()) -> set[str]:
    state = ProjectState()
    for operation in base:
        operation.state_forwards("shop", state)
    return {str(loss) for loss in losses(state, [migration(*operations)], 30)[0]}


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


def test_models_of_states(settings: Any) -> None:
    one, other = ProjectState(), ProjectState()
    for state in (one, other):
        create("Product", ("name", models.CharField(max_length=9))).state_forwards("shop", state)
    assert same_models(one, other, "shop")
    assert tables(one) == {"shop_product"}
    create("Tag").state_forwards("shop", other)
    assert not same_models(one, other, "shop")
    assert same_models(one, other, "nothing")


def test_a_model_that_is_swapped_out_has_no_table(settings: Any) -> None:
    settings.SHOP_PRODUCT_MODEL = "other.Product"
    assert lost(create("Product", swappable="SHOP_PRODUCT_MODEL")) == set()
    settings.SHOP_PRODUCT_MODEL = "shop.Product"
    assert lost(create("Product", swappable="SHOP_PRODUCT_MODEL")) == {"table shop_product"}
