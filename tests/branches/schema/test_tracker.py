"""What operations do to tables and columns, one after the other."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.schema.field_types import type_of
from django_devtools.branches.schema.tracker import (
    Column,
    SchemaHistory,
    Table,
    names_after,
    track,
)
from tests.branches.schema.test_operations import create, migration

INT = models.IntegerField()
NULL = models.IntegerField(null=True)
CHAR = models.CharField(max_length=50)
TAGS = models.ManyToManyField("shop.Tag")
SHOP = (create("Product", ("name", CHAR)), create("Tag"))
SQL = migrations.RunSQL("…", "…")


def fill(apps: object, editor: object) -> None:
    """Whatever it does."""


BY = ("shop", "0002_change")
PRODUCT = ("shop", "product")
TAG = ("shop", "tag")

add = functools.partial(migrations.AddField, "product")
alter = functools.partial(migrations.AlterField, "product")
drop = functools.partial(migrations.RemoveField, "product")
rename = functools.partial(migrations.RenameField, "product")


def separated(database: Sequence[Operation], state: Sequence[Operation]) -> Operation:
    return migrations.SeparateDatabaseAndState(database, state)


def followed(*operations: Operation, base: Sequence[Operation] = SHOP) -> SchemaHistory:
    """What a migration of ``operations`` does."""
    state = ProjectState()
    for operation in base:
        operation.state_forwards("shop", state)
    return track(state, [migration(*operations, name=BY[1])])


def history(
    tables: dict[str, Table] | None = None, dropped: dict[str, Table] | None = None
) -> SchemaHistory:
    return SchemaHistory(tables or {}, dropped or {}, [BY])


def product(
    columns: dict[str, Column] | None = None, dropped: dict[str, Column] | None = None
) -> Table:
    """The table of the products, as it was there before."""
    return Table(PRODUCT, "shop_product", BY, columns or {}, dropped or {})


def made(model: tuple[str, str], **values: Any) -> Table:
    return Table(model, None, BY, {}, {}, starts_empty=True, **values)


def gone(model: tuple[str, str], name: str, **values: Any) -> Table:
    return Table(model, name, BY, {}, {}, starts_empty=True, **values)


def test_no_operations_do_nothing() -> None:
    assert followed() == history()


def test_created_models_have_tables() -> None:
    order = create("Order", ("tags", TAGS), ("number", INT))
    assert followed(order) == history(
        {"shop_order": made(("shop", "order")), "shop_order_tags": made(("shop", "order"))}
    )


def test_deleted_models_lose_their_tables() -> None:
    base = (*SHOP, add("tags", TAGS))
    assert followed(migrations.DeleteModel("Product"), base=base) == history(
        dropped={
            "shop_product": gone(PRODUCT, "shop_product"),
            "shop_product_tags": gone(PRODUCT, "shop_product_tags"),
        }
    )
    assert followed(create("Order"), migrations.DeleteModel("Order")) == history()


@pytest.mark.parametrize("options", [{"managed": False}, {"proxy": True}])
def test_models_without_a_table_are_not_followed(options: dict[str, Any]) -> None:
    base = (*SHOP, create("Other", **options))
    assert followed(create("Order", **options)) == history()
    assert followed(migrations.DeleteModel("Other"), base=base) == history()
    assert followed(migrations.AddField("other", "f", INT), base=base) == history()


def test_a_table_that_ceases_to_be_managed_is_left_alone() -> None:
    unmanaged = migrations.AlterModelOptions("tag", {"managed": False})
    assert followed(unmanaged) == history()


def test_fields_are_added() -> None:
    found = followed(add("price", INT), add("note", NULL), add("tags", TAGS))
    assert found == history(
        {
            "shop_product": product(
                {"price": Column(None, BY), "note": Column(None, BY, starts_null=True)}
            ),
            "shop_product_tags": made(PRODUCT),
        }
    )


def test_fields_are_removed() -> None:
    base = (*SHOP, add("note", NULL), add("tags", TAGS))
    found = followed(drop("name"), drop("note"), drop("tags"), base=base)
    assert found == history(
        {
            "shop_product": product(
                dropped={
                    "name": Column("name", BY),
                    "note": Column("note", BY, starts_null=True),
                }
            )
        },
        {"shop_product_tags": gone(PRODUCT, "shop_product_tags")},
    )


def test_a_removed_field_that_was_added_leaves_no_trace() -> None:
    found = followed(add("price", INT), drop("price"))
    assert found == history({"shop_product": product()})


def test_a_removed_field_of_a_created_model_leaves_no_trace() -> None:
    found = followed(create("Order", ("number", INT)), migrations.RemoveField("order", "number"))
    assert found == history({"shop_order": made(("shop", "order"))})


def test_fields_and_models_are_renamed() -> None:
    base = (*SHOP, add("tags", TAGS), add("like", models.ForeignKey("self", models.CASCADE)))
    found = followed(
        rename("name", "title"),
        migrations.RenameModel("Product", "Article"),
        migrations.RenameField("article", "tags", "labels"),
        base=base,
    )
    assert found == history(
        {
            "shop_article": product({"title": Column("name", BY)}),
            "shop_article_labels": Table(("shop", "article"), "shop_product_tags", BY, {}, {}),
        }
    )


def test_a_foreign_key_to_a_renamed_model_of_its_own_is_not_altered() -> None:
    like = models.ForeignKey("shop.Product", models.CASCADE)
    found = followed(migrations.RenameModel("Product", "Article"), base=(*SHOP, add("like", like)))
    assert found == history(
        {"shop_article": Table(("shop", "article"), "shop_product", BY, {}, {})}
    )


def test_tables_and_columns_get_names_of_their_own() -> None:
    found = followed(
        migrations.AlterModelTable("product", "goods"),
        alter("name", models.CharField(max_length=50, db_column="title")),
    )
    assert found == history({"goods": product({"title": Column("name", BY)})})


def test_an_added_column_keeps_its_migration_when_it_is_altered() -> None:
    later = ("shop", "0003_later")
    state = ProjectState()
    for operation in SHOP:
        operation.state_forwards("shop", state)
    first = migration(add("price", NULL), name=BY[1])
    second = migration(alter("price", models.BigIntegerField()), name=later[1])
    assert track(state, [first, second]) == SchemaHistory(
        {"shop_product": product({"price": Column(None, BY)})}, {}, [BY, later]
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (CHAR, models.CharField(max_length=50, blank=True), {}),
        (CHAR, models.CharField(max_length=60), {"narrows_backwards": True, "only_null": False}),
        (CHAR, models.CharField(max_length=40), {"narrows_forwards": True, "only_null": False}),
        (CHAR, models.CharField(max_length=50, null=True), {"narrows_backwards": True}),
        (models.CharField(max_length=50, null=True), CHAR, {"narrows_forwards": True}),
        (
            models.ForeignKey("shop.Tag", models.CASCADE),
            models.ForeignKey("shop.Tag", models.CASCADE, null=True),
            {"narrows_backwards": True, "needs_parent": True},
        ),
        (
            models.ForeignKey("shop.Tag", models.CASCADE, null=True),
            models.ForeignKey("shop.Tag", models.CASCADE),
            {"narrows_forwards": True},
        ),
        (
            models.ForeignKey("shop.Tag", models.CASCADE),
            models.ForeignKey("shop.Other", models.CASCADE),
            {"narrows_forwards": True, "narrows_backwards": True, "only_null": False},
        ),
    ],
)
def test_a_column_is_altered(old: Any, new: Any, expected: dict[str, Any]) -> None:
    column = "it_id" if old.is_relation else "it"
    base = (create("Product", ("it", old)),)
    if expected:
        types = {"type_before": type_of(old), "type_after": type_of(new)}
        expected = {"is_altered": True, **types, **expected}
    altered = Column(column, BY, **expected)
    found = followed(alter("it", new), base=base)
    assert found == history({"shop_product": product({column: altered})})


def test_a_column_that_is_altered_twice_adds_up() -> None:
    wide, nullable = models.CharField(max_length=60), models.CharField(max_length=60, null=True)
    key = functools.partial(models.ForeignKey, "shop.Tag", models.CASCADE)
    base = (*SHOP, add("tag", key()))
    found = followed(
        alter("name", wide),
        alter("name", nullable),
        alter("name", models.CharField(max_length=40, null=True)),
        alter("name", models.CharField(max_length=40, null=True, blank=True)),
        alter("tag", key(null=True)),
        alter("tag", key()),
        base=base,
    )
    narrows: dict[str, Any] = dict.fromkeys(
        ("narrows_forwards", "narrows_backwards", "is_altered"), True
    )
    chars: dict[str, Any] = {"type_before": "CharField", "type_after": "CharField"}
    keys: dict[str, Any] = {"type_before": "ForeignKey", "type_after": "ForeignKey"}
    assert found.tables["shop_product"].columns == {
        "name": Column("name", BY, only_null=False, **narrows, **chars),
        "tag_id": Column("tag_id", BY, needs_parent=True, **narrows, **keys),
    }


def test_the_first_and_the_last_type_of_a_column_are_known() -> None:
    decimal = models.DecimalField(max_digits=5, decimal_places=2)
    found = followed(alter("name", models.DateField()), alter("name", decimal), base=SHOP)
    column = found.tables["shop_product"].columns["name"]
    assert (column.type_before, column.type_after) == ("CharField", "DecimalField 5 2")


def test_the_last_migration_that_altered_a_column_is_the_one_to_name() -> None:
    state = ProjectState()
    for operation in SHOP:
        operation.state_forwards("shop", state)
    steps = [
        migration(alter("name", models.CharField(max_length=60)), name="0002"),
        migration(alter("name", models.CharField(max_length=70)), name="0003"),
        migration(alter("name", models.CharField(max_length=70, blank=True)), name="0004"),
    ]
    found = track(state, steps).tables["shop_product"]
    assert found.columns["name"].migration == ("shop", "0003")
    assert found.migration == ("shop", "0002")


def test_an_added_column_is_null_until_a_field_forbids_it() -> None:
    big = models.BigIntegerField(null=True)
    found = followed(
        add("a", NULL), alter("a", big), add("b", NULL), alter("b", INT), alter("b", NULL)
    )
    assert found.tables["shop_product"].columns == {
        "a": Column(None, BY, starts_null=True),
        "b": Column(None, BY),
    }


def test_a_dropped_column_that_was_altered_may_have_had_values() -> None:
    base = (*SHOP, add("note", NULL))
    found = followed(alter("note", INT), alter("note", NULL), drop("note"), base=base)
    expected = {"note": Column("note", BY, narrows_forwards=True)}
    assert found.tables["shop_product"].dropped == expected


def test_empty_code_fills_nothing() -> None:
    found = followed(add("a", NULL), migrations.RunPython(migrations.RunPython.noop))
    assert found.tables["shop_product"].columns == {"a": Column(None, BY, starts_null=True)}


@pytest.mark.parametrize("code", [SQL, migrations.RunPython(fill)])
def test_code_may_fill_what_is_made(code: Operation) -> None:
    base = (*SHOP, add("note", NULL))
    order = migrations.CreateModel("Order", [("id", models.AutoField(primary_key=True))])
    found = followed(
        add("a", NULL), order, migrations.DeleteModel("Tag"), drop("note"), code, base=base
    )
    assert found == history(
        {
            "shop_product": product({"a": Column(None, BY)}, {"note": Column("note", BY)}),
            "shop_order": Table(("shop", "order"), None, BY, {}, {}),
        },
        {"shop_tag": Table(TAG, "shop_tag", BY, {}, {})},
    )


def test_a_table_renamed_by_sql_stays_the_same_table() -> None:
    base = (*SHOP, create("Old", ("name", CHAR)))
    to_new = migrations.RunSQL(
        "ALTER TABLE shop_old RENAME TO shop_new; ALTER TABLE other RENAME TO another",
        state_operations=[migrations.DeleteModel("Old"), create("New", ("name", CHAR))],
    )
    new = ("shop", "new")
    assert followed(to_new, base=base) == history({"shop_new": Table(new, "shop_old", BY, {}, {})})
    column = {"price": Column(None, BY)}
    found = followed(migrations.AddField("old", "price", INT), to_new, base=base)
    assert found == history({"shop_new": Table(new, "shop_old", BY, column, {})})
    assert followed(create("Old", ("name", CHAR)), to_new) == history(
        {"shop_new": Table(new, None, BY, {}, {})}
    )


def test_a_rename_by_sql_that_the_state_does_not_confirm_is_no_rename() -> None:
    sql = "ALTER TABLE shop_tag RENAME TO shop_new"
    assert followed(migrations.RunSQL(sql)) == history()
    still_there = migrations.RunSQL(sql, state_operations=[create("New")])
    assert followed(still_there).tables["shop_new"].original == "shop_tag"
    followed_before = followed(migrations.AddField("tag", "price", INT), still_there)
    assert followed_before.tables["shop_new"].original is None
    known = migrations.RunSQL(
        sql, state_operations=[migrations.AlterModelTable("product", "shop_new")]
    )
    assert followed(known).tables == {"shop_new": product()}


def test_code_beside_the_state_makes_it_uncertain() -> None:
    in_sql = migrations.RunSQL("…", state_operations=[add("price", INT), create("Order")])
    beside = separated([SQL], [add("price", INT), create("Order")])
    for operation in (in_sql, beside):
        assert followed(operation) == history(
            {
                "shop_product": product({"price": Column(None, BY, is_certain=False)}),
                "shop_order": Table(("shop", "order"), None, BY, {}, {}, is_certain=False),
            }
        )
    dropped = separated([SQL], [drop("name"), migrations.DeleteModel("Tag")])
    assert followed(dropped) == history(
        {"shop_product": product(dropped={"name": Column("name", BY, is_certain=False)})},
        {"shop_tag": Table(TAG, "shop_tag", BY, {}, {}, is_certain=False)},
    )


def test_state_operations_alone_are_followed_only_if_they_rename() -> None:
    assert followed(separated([], [add("price", INT), create("Order")])) == history()
    renames = [
        rename("name", "title"),
        migrations.RenameModel("Product", "Article"),
        migrations.AlterModelTable("article", "goods"),
    ]
    assert followed(separated([], renames)) == history(
        {"goods": product({"title": Column("name", BY)})}
    )


def test_database_operations_are_followed_and_the_state_has_its_own() -> None:
    both = separated([rename("name", "title")], [rename("name", "title")])
    assert followed(both, rename("title", "label")) == history(
        {"shop_product": product({"label": Column("name", BY)})}
    )
    removed = separated([drop("name")], [rename("name", "title")])
    assert followed(removed) == history(
        {"shop_product": product(dropped={"name": Column("name", BY)})}
    )
    deleted = separated([migrations.DeleteModel("Tag")], [migrations.AlterModelTable("tag", "x")])
    assert followed(deleted).tables == {}
    nested = separated([separated([add("price", INT)], [])], [])
    assert followed(nested).tables == {"shop_product": product({"price": Column(None, BY)})}


def test_sql_of_another_migration_makes_no_state_operation_count() -> None:
    state = ProjectState()
    for operation in SHOP:
        operation.state_forwards("shop", state)
    steps = [migration(SQL, name="0002"), migration(separated([], [add("p", INT)]), name="0003")]
    assert track(state, steps).tables == {}


def test_an_order_with_respect_to_another_model_is_a_column() -> None:
    order = functools.partial(migrations.AlterOrderWithRespectTo, "product")
    base = (*SHOP, add("tag", models.ForeignKey("shop.Tag", models.CASCADE)))
    assert followed(order("tag"), base=base) == history(
        {"shop_product": product({"_order": Column(None, BY)})}
    )
    assert followed(order(None), base=(*base, order("tag"))) == history(
        {"shop_product": product(dropped={"_order": Column("_order", BY)})}
    )


def test_a_field_that_becomes_a_many_to_many_one_is_dropped_and_made() -> None:
    becomes = separated([SQL], [alter("name", TAGS)])
    found = followed(becomes)
    assert found.tables["shop_product"].dropped == {"name": Column("name", BY, is_certain=False)}
    assert found.tables["shop_product_name"].original is None
    back = followed(separated([SQL], [alter("tags", CHAR)]), base=(*SHOP, add("tags", TAGS)))
    assert back.tables["shop_product"].columns == {"tags": Column(None, BY, is_certain=False)}
    assert list(back.dropped) == ["shop_product_tags"]


def test_operations_about_no_model_are_left_out() -> None:
    assert followed(migrations.RunPython(migrations.RunPython.noop), SQL) == history()
    index = models.Index(fields=["name"], name="by_name")
    assert followed(migrations.AddIndex("product", index)) == history()


def test_names_are_as_long_as_the_database_allows() -> None:
    state = ProjectState()
    found = track(state, [migration(create("A" * 40, ("b", TAGS)))], 30)
    assert {len(name) for name in found.tables} == {30}
    renamed = migrations.RunSQL("ALTER TABLE shop_aaa RENAME TO b", state_operations=[])
    assert track(state, [migration(renamed)], 30).tables == {}


def test_what_was_there_before_is_found_by_its_name_before() -> None:
    columns = {"a": Column("b", BY), "c": Column(None, BY)}
    table = Table(PRODUCT, "old", BY, columns, {})
    assert table.by_original() == {"b": ("a", columns["a"])}
    found = SchemaHistory({"new": table, "made": made(TAG)})
    assert found.by_original() == {"old": ("new", table)}


def test_each_decision_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "django_devtools.branches")
    followed(
        add("price", INT),
        alter("name", models.CharField(max_length=60, db_column="title")),
        create("Order"),
        migrations.RenameModel("Order", "Invoice"),
        migrations.DeleteModel("Tag"),
        drop("price"),
        migrations.RunSQL(
            "ALTER TABLE shop_product RENAME TO shop_thing",
            state_operations=[migrations.DeleteModel("Product"), create("Thing")],
        ),
    )
    by = "by shop.0002_change"
    assert caplog.messages == [
        f"column shop_product.price: added {by}",
        f"column shop_product.name: altered {by}, now shop_product.title",
        f"table shop_order: created {by}",
        f"table shop_order: renamed to shop_invoice {by}",
        f"table shop_tag: dropped {by}",
        f"column shop_product.price: dropped {by}",
        f"table shop_product: dropped {by}",
        f"table shop_thing: created {by}",
        "table shop_product: renamed to shop_thing by SQL of shop.0002_change",
    ]


@pytest.mark.parametrize("name", ["a_goods", "z_goods"])
def test_new_names_whichever_comes_first_in_the_alphabet(name: str) -> None:
    base = ProjectState()
    for operation in (create("Tag"), create("Product", ("tags", TAGS))):
        operation.state_forwards("shop", base)

    found = names_after(track(base, [migration(migrations.AlterModelTable("product", name))]))

    assert found == {
        ("shop_product", None): (name, None),
        ("shop_product_tags", None): (f"{name}_tags", None),
    }


@pytest.mark.parametrize(
    ("renaming", "change", "missing"),
    [
        (migrations.RenameModel("Product", "Item"), add("size", INT), "shop.product"),
        (rename("name", "title"), rename("name", "label"), "name"),
        (rename("name", "title"), drop("name"), "name"),
    ],
)
def test_what_another_migration_has_renamed_is_named(
    renaming: Operation, change: Operation, missing: str
) -> None:
    with pytest.raises(SwitchError, match=rf"^shop.0002_change is about .*\b{missing}\b"):
        followed(change, base=[*SHOP, renaming])
