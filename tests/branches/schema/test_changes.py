"""What a switch does to tables and columns."""

import functools
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import migrations, models
from django.db.backends.utils import truncate_name
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.changes import (
    DataLoss,
    SchemaChanges,
    losses,
    schema_changes,
)
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.schema.tracker import Column, SchemaHistory, Table, track
from django_devtools.branches.sources.snapshots import Key
from tests.branches.schema.test_operations import create, migration


def lost(*operations: Operation, base: tuple[Operation, ...] = ()) -> set[str]:
    state = ProjectState()
    for operation in base:
        operation.state_forwards("shop", state)
    return {str(loss) for loss in losses(track(state, [migration(*operations)], 30))}


def becomes(
    base: Sequence[Operation] = (),
    back: Sequence[Operation] = (),
    forth: Sequence[Operation] = (),
) -> SchemaChanges:
    """What becomes of it all when ``back`` is unapplied over ``base``, and ``forth`` applied."""
    courses = []
    for steps in (back, forth):
        state = ProjectState()
        for operation in base:
            operation.state_forwards("shop", state)
        courses.append(track(state, [migration(*steps)], 30))
    return schema_changes(*courses)


def lost_of(found: SchemaChanges) -> set[str]:
    return {str(loss) for loss in found.lost}


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


CHAR = models.CharField(max_length=50)
INT = models.IntegerField()
add = functools.partial(migrations.AddField, "product")
alter = functools.partial(migrations.AlterField, "product")
drop = functools.partial(migrations.RemoveField, "product")
rename = functools.partial(migrations.RenameField, "product")
key_to = functools.partial(models.ForeignKey, on_delete=models.CASCADE)
SHOP = (create("Product", ("name", CHAR)), create("Tag"))
TAGS = models.ManyToManyField("shop.Tag")


def separated(database: Sequence[Operation], state: Sequence[Operation]) -> Operation:
    return migrations.SeparateDatabaseAndState(database, state)


@pytest.mark.parametrize(
    ("operation", "lost"),
    [
        (rename("name", "title"), "column shop_product.price"),
        (rename("price", "cost"), "column shop_product.cost"),
        (alter("price", models.IntegerField(db_column="Pri%ce")), "column shop_product.Pri%ce"),
        (migrations.AlterModelTable("product", "other"), "column other.price"),
        (migrations.AlterModelTable("product", "shop.goods"), "column shop.goods.price"),
        (migrations.RenameModel("Product", "Article"), "column shop_article.price"),
        (separated([], [rename("price", "cost")]), "column shop_product.cost"),
        (
            separated([migrations.RunSQL("…")], [rename("price", "cost")]),
            "column shop_product.cost",
        ),
        (
            separated([migrations.RunSQL("…")], [migrations.RenameModel("Product", "Article")]),
            "column shop_article.price",
        ),
        (
            separated([], [migrations.AlterModelTable("product", "other")]),
            "column other.price",
        ),
        (
            separated([rename("price", "cost")], [rename("price", "cost")]),
            "column shop_product.cost",
        ),
    ],
)
def test_a_column_is_lost_by_its_name_of_now(operation: Operation, lost: str) -> None:
    found = becomes(SHOP, [add("price", INT), operation])
    assert lost_of(found) == {lost}
    assert found.made == {}


@pytest.mark.parametrize(
    "operations",
    [
        [rename("name", "title")],
        [rename("id", "key")],
        [alter("name", models.CharField(max_length=50, db_column="title"))],
        [migrations.AlterModelTable("product", "other")],
        [migrations.RenameModel("Product", "Article")],
        [migrations.RenameModel("Product", "Article"), migrations.RenameModel("Tag", "Product")],
        [rename("name", "a"), migrations.RenameModel("Product", "Article")],
        [separated([migrations.RunSQL("…")], [rename("name", "title")])],
        [migrations.AlterModelOptions("product", {"verbose_name": "x"})],
        [alter("name", models.CharField(max_length=50, help_text="x"))],
        [migrations.AddIndex("product", models.Index(fields=["name"], name="i"))],
        [migrations.AlterOrderWithRespectTo("product", None)],
        [migrations.RunSQL("…"), migrations.RunPython(migrations.RunPython.noop)],
        [create("Proxy", proxy=True)],
    ],
)
def test_nothing_is_lost_whichever_way(operations: list[Operation]) -> None:
    for found in (becomes(SHOP, operations), becomes(SHOP, (), operations)):
        assert lost_of(found) == set()
        assert found.made == {}
        assert found.altered == set()


def test_many_to_many_tables_go_with_their_names() -> None:
    base = (*SHOP, add("tags", TAGS))
    own = models.ManyToManyField("shop.Tag", db_table="own")
    renames: dict[str, Operation] = {
        "shop_product_labels": rename("tags", "labels"),
        "shop_article_tags": migrations.RenameModel("Product", "Article"),
        "other_tags": migrations.AlterModelTable("product", "other"),
        "shop_product_tags": migrations.RenameModel("Tag", "Label"),
        "own": alter("tags", own),
    }
    for name, operation in renames.items():
        assert lost_of(becomes(base, [operation])) == set()
        assert lost_of(becomes(base, (), [operation])) == set()
        assert lost_of(becomes(SHOP, [add("tags", TAGS), operation])) == {f"table {name}"}
    assert lost_of(becomes(SHOP, [add("tags", own)])) == {"table own"}


def test_a_many_to_many_field_gets_a_table_of_its_own_model() -> None:
    """As makemigrations writes it: the field goes, and the model with its table comes."""
    way = models.ManyToManyField("shop.Tag", through="shop.Way")
    found = becomes(
        (*SHOP, add("tags", TAGS)), (), [drop("tags"), create("Way"), add("tags", way)]
    )
    assert lost_of(found) == {"table shop_product_tags"}
    assert found.made == {("shop_way", None): True}


def test_inherited_tables() -> None:
    """A child's table has its own columns, and the link to its parent."""
    link = models.OneToOneField(
        "shop.Product", models.CASCADE, parent_link=True, primary_key=True, auto_created=True
    )
    child = migrations.CreateModel(
        "Book", [("product_ptr", link), ("pages", INT)], bases=("shop.product",)
    )
    assert lost_of(becomes(SHOP, [child])) == {"table shop_book"}
    found = becomes((*SHOP, child), [migrations.RemoveField("book", "pages")])
    assert found.made == {("shop_book", "pages"): True}
    assert lost_of(becomes((*SHOP, child), (), [migrations.RemoveField("book", "pages")])) == {
        "column shop_book.pages"
    }


def test_dropped_by_forward_migrations() -> None:
    found = becomes(SHOP, (), [drop("name"), migrations.DeleteModel("Tag")])
    assert lost_of(found) == {"column shop_product.name", "table shop_tag"}
    assert found.made == {}


def test_renamed_by_what_is_unapplied_and_dropped_by_what_is_applied() -> None:
    back = [rename("name", "title"), migrations.RenameModel("Tag", "Label")]
    found = becomes(SHOP, back, [drop("name"), migrations.DeleteModel("Tag")])
    assert lost_of(found) == {"column shop_product.title", "table shop_label"}
    found = becomes(
        SHOP, [migrations.RenameModel("Product", "Article")], [migrations.DeleteModel("Product")]
    )
    assert lost_of(found) == {"table shop_article"}


def test_made_again_on_the_way_back() -> None:
    found = becomes(SHOP, [drop("name"), migrations.DeleteModel("Tag")])
    assert lost_of(found) == set()
    assert found.made == {("shop_product", "name"): True, ("shop_tag", None): True}


def test_made_again_on_the_way_back_and_renamed_on_the_way_forth() -> None:
    found = becomes(
        SHOP,
        [drop("name"), migrations.DeleteModel("Tag")],
        [
            rename("name", "title"),
            migrations.RenameModel("Tag", "Label"),
            migrations.AlterModelTable("product", "goods"),
        ],
    )
    assert found.made == {("goods", "title"): True, ("shop_label", None): True}


def test_made_again_on_the_way_back_and_dropped_on_the_way_forth() -> None:
    steps = [drop("name"), migrations.DeleteModel("Tag")]
    found = becomes(SHOP, steps, steps)
    assert lost_of(found) == set()
    assert found.made == {}


def test_lost_and_made_in_one_switch() -> None:
    steps = [add("price", INT), create("Order"), add("tags", TAGS)]
    found = becomes(SHOP, steps, steps)
    assert lost_of(found) == {
        "column shop_product.price",
        "table shop_order",
        "table shop_product_tags",
    }
    assert found.made == {
        ("shop_product", "price"): True,
        ("shop_order", None): True,
        ("shop_product_tags", None): True,
    }


def test_what_was_made_and_dropped_in_between_was_never_there() -> None:
    steps = [add("price", INT), drop("price"), create("Order"), migrations.DeleteModel("Order")]
    for found in (becomes(SHOP, steps), becomes(SHOP, (), steps), becomes(SHOP, steps, steps)):
        assert lost_of(found) == set()
        assert found.made == {}


def test_dropped_and_made_anew_under_the_same_name() -> None:
    """Neither way is what was there under that name what comes to be there."""
    steps = [drop("name"), add("name", INT), migrations.DeleteModel("Tag"), create("Tag")]
    for found in (becomes(SHOP, steps), becomes(SHOP, (), steps)):
        assert lost_of(found) == {"column shop_product.name", "table shop_tag"}
        assert found.made == {("shop_product", "name"): True, ("shop_tag", None): True}


@pytest.mark.parametrize(
    ("old", "new", "narrows_forth", "narrows_back"),
    [
        (models.CharField(max_length=50), models.CharField(max_length=60), False, True),
        (models.CharField(max_length=50), models.CharField(max_length=40), True, False),
        (models.CharField(max_length=50), models.TextField(), False, True),
        (models.IntegerField(), models.BigIntegerField(), False, True),
        (models.IntegerField(), models.PositiveIntegerField(), True, False),
        (models.IntegerField(), models.CharField(max_length=5), True, True),
        (models.IntegerField(), models.IntegerField(null=True), False, True),
        (models.IntegerField(), models.IntegerField(default=1), False, False),
        (
            models.DecimalField(max_digits=4, decimal_places=2),
            models.DecimalField(max_digits=6, decimal_places=2),
            False,
            True,
        ),
        (
            models.DecimalField(max_digits=6, decimal_places=2),
            models.DecimalField(max_digits=6, decimal_places=4),
            True,
            True,
        ),
        (models.DateTimeField(), models.DateField(), True, True),
        (key_to("shop.Tag"), key_to("shop.tag", unique=True), False, False),
        (key_to("shop.Tag"), key_to("shop.Label"), True, True),
        (key_to("shop.Tag"), key_to("shop.Tag", to_field="name"), True, True),
        (key_to("shop.Tag", null=True), key_to("shop.Tag"), True, False),
    ],
)
def test_narrower(old: Any, new: Any, narrows_forth: bool, narrows_back: bool) -> None:
    base = (create("Product", ("name", old)),)
    column = f"name{'_id' if old.is_relation else ''}"
    narrower = {f"column shop_product.{column}, which gets narrower"}
    steps = [alter("name", new)]
    assert lost_of(becomes(base, steps)) == (narrower if narrows_back else set())
    assert lost_of(becomes(base, (), steps)) == (narrower if narrows_forth else set())
    is_altered = {("shop_product", column)} if narrows_forth or narrows_back else set()
    assert becomes(base, steps).altered == becomes(base, (), steps).altered == is_altered


def test_narrower_and_renamed() -> None:
    steps = [
        alter("name", models.CharField(max_length=60)),
        rename("name", "title"),
        migrations.RenameModel("Product", "Article"),
    ]
    found = becomes(SHOP, steps)
    (loss,) = found.lost
    assert (loss.table, loss.column) == ("shop_article", "title")
    assert loss.becomes == ("shop_product", "name")
    assert not loss.only_null
    assert found.altered == {("shop_product", "name")}
    assert becomes(SHOP, (), steps).altered == {("shop_article", "title")}


def test_a_foreign_key_to_what_was_renamed() -> None:
    base = (*SHOP, add("like", key_to("shop.Product")), add("tag", key_to("shop.Tag")))
    steps = [
        migrations.RenameModel("Product", "Article"),
        migrations.RenameModel("Tag", "Label"),
        migrations.AlterField("article", "tag", key_to("shop.Label", unique=True)),
    ]
    assert lost_of(becomes(base, steps)) == lost_of(becomes(base, (), steps)) == set()


def test_only_null_is_lost() -> None:
    (loss,) = becomes(SHOP, [alter("name", models.CharField(max_length=50, null=True))]).lost
    assert loss.only_null
    (loss,) = becomes(SHOP, [alter("name", models.CharField(max_length=60, null=True))]).lost
    assert not loss.only_null


def test_what_starts_as_null() -> None:
    def starts_null(field: Any, *more: Operation) -> bool:
        (loss,) = becomes(SHOP, [add("price", field), *more]).lost
        return loss.starts_null

    assert starts_null(models.IntegerField(null=True))
    assert not starts_null(models.IntegerField(null=True, default=1))
    assert not starts_null(models.IntegerField(null=True, db_default=1))
    assert not starts_null(models.IntegerField(default=1))
    null = models.IntegerField(null=True)
    assert starts_null(null, alter("price", models.BigIntegerField(null=True)))
    assert not starts_null(null, alter("price", INT), alter("price", null))
    base = (*SHOP, add("price", null))
    (loss,) = becomes(base, (), [drop("price")]).lost
    assert loss.starts_null
    (loss,) = becomes(base, (), [alter("price", INT), alter("price", null), drop("price")]).lost
    assert not loss.starts_null


def test_sql_beside_the_state_may_drop() -> None:
    sql = migrations.RunSQL("ALTER TABLE …", "ALTER TABLE …")
    found = becomes(SHOP, [separated([sql], [add("price", INT), create("Order")])])
    assert {str(loss): loss.is_certain for loss in found.lost} == {
        "column shop_product.price": False,
        "table shop_order": False,
    }
    found = becomes(SHOP, (), [separated([sql], [add("price", INT), create("Order")])])
    assert found.made == {("shop_product", "price"): False, ("shop_order", None): False}
    found = becomes(SHOP, [sql, separated([], [drop("name")])])
    assert found.made == {("shop_product", "name"): False}
    in_sql = migrations.RunSQL("…", "…", state_operations=[add("price", INT)])
    assert [loss.is_certain for loss in becomes(SHOP, [in_sql]).lost] == [False]
    # Without any SQL, the database was never told.
    assert lost_of(becomes(SHOP, [separated([], [add("price", INT)])])) == set()


def test_a_column_that_another_one_took_the_name_of() -> None:
    steps = [rename("name", "title"), add("name", INT)]
    assert lost_of(becomes(SHOP, steps)) == {"column shop_product.name"}
    assert becomes(SHOP, (), steps).made == {("shop_product", "name"): True}
    tables = [migrations.RenameModel("Tag", "Label"), create("Tag")]
    assert lost_of(becomes(SHOP, tables)) == {"table shop_tag"}
    assert becomes(SHOP, (), tables).made == {("shop_tag", None): True}


def test_a_field_that_becomes_a_many_to_many_one() -> None:
    """Django can't alter it; the state can."""
    found = becomes((*SHOP, add("tags", INT)), (), [separated([], [alter("tags", TAGS)])])
    assert lost_of(found) == set()


def test_a_model_that_migrations_cease_to_manage() -> None:
    """Its table stays when it is no longer managed, and is deleted."""
    unmanaged = [migrations.AlterModelOptions("tag", {"managed": False})]
    assert lost_of(becomes(SHOP, (), [*unmanaged, migrations.DeleteModel("Tag")])) == set()
    assert lost_of(becomes(SHOP, [create("Other"), *unmanaged])) == {"table shop_other"}


OLD = ("shop", "0002_unapplied")
NEW = ("shop", "0002_applied")
PRODUCT = ("shop", "product")
Columns = dict[str, Column]


def column(original: str | None, by: Key, **values: Any) -> Column:
    return Column(original, by, **values)


def table(
    original: str | None,
    by: Key,
    columns: Columns | None = None,
    dropped: Columns | None = None,
    **values: Any,
) -> Table:
    return Table(PRODUCT, original, by, columns or {}, dropped or {}, **values)


def history(
    tables: dict[str, Table] | None = None, dropped: dict[str, Table] | None = None
) -> SchemaHistory:
    return SchemaHistory(tables or {}, dropped or {})


def loss(by: Key, name: str, column: str | None = None, **values: Any) -> DataLoss:
    return DataLoss(by, PRODUCT, name, column, dropped_backwards=by == OLD, **values)


NOTHING = history()


def test_nothing_changes_without_migrations() -> None:
    assert schema_changes(NOTHING, NOTHING) == SchemaChanges([], {}, set(), {})


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_table_is_lost_if_an_unapplied_migration_created_it(is_certain: bool) -> None:
    inner = {"a": column(None, OLD), "b": column("b", OLD)}
    created = table(None, OLD, inner, is_certain=is_certain, starts_empty=True)
    unapplied = history({"t": created})
    expected = loss(OLD, "t", is_certain=is_certain, starts_empty=True)
    found = schema_changes(unapplied, NOTHING)
    assert found.lost == [expected]
    assert (found.made, found.renamed, found.altered) == ({}, {}, set())
    assert [one._replace(dropped_backwards=True) for one in losses(unapplied)] == [expected]


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_table_is_lost_if_an_applied_migration_drops_it(is_certain: bool) -> None:
    dropped = table("t", NEW, is_certain=is_certain, starts_empty=True)
    values: dict[str, Any] = {"is_certain": is_certain, "starts_empty": True}
    found = schema_changes(NOTHING, history(dropped={"t": dropped}))
    assert found == SchemaChanges([loss(NEW, "t", **values)], {}, set(), {})
    renamed = history({"now": table("t", OLD, {"a": column(None, OLD)})})
    found = schema_changes(renamed, history(dropped={"t": dropped}))
    assert (found.lost, found.made, found.renamed) == ([loss(NEW, "now", **values)], {}, {})


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_table_is_made_if_an_applied_migration_creates_it(is_certain: bool) -> None:
    created = table(None, NEW, {"a": column(None, NEW)}, is_certain=is_certain)
    made: dict[Item, bool] = {("t", None): is_certain}
    assert schema_changes(NOTHING, history({"t": created})) == SchemaChanges([], made, set(), {})


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_table_is_made_if_an_unapplied_migration_dropped_it(is_certain: bool) -> None:
    unapplied = history(dropped={"t": table("t", OLD, is_certain=is_certain)})
    found = schema_changes(unapplied, NOTHING)
    assert found == SchemaChanges([], {("t", None): is_certain}, set(), {})
    # A column that an applied migration adds to it is part of it.
    touched = history({"then": table("t", NEW, {"a": column(None, NEW)})})
    found = schema_changes(unapplied, touched)
    assert (found.lost, found.made) == ([], {("then", None): is_certain})
    found = schema_changes(unapplied, history(dropped={"t": table("t", NEW)}))
    assert found == SchemaChanges([], {}, set(), {})


def test_a_table_that_is_created_on_both_sides_is_lost_and_made() -> None:
    found = schema_changes(history({"t": table(None, OLD)}), history({"t": table(None, NEW)}))
    assert (found.lost, found.made) == ([loss(OLD, "t")], {("t", None): True})


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_column_is_lost_if_an_unapplied_migration_added_it(is_certain: bool) -> None:
    added = column(None, OLD, is_certain=is_certain, starts_null=True)
    unapplied = history({"now": table("t", OLD, {"a": added, "b": column("b", OLD)})})
    expected = loss(OLD, "now", "a", is_certain=is_certain, starts_null=True)
    found = schema_changes(unapplied, NOTHING)
    assert found.lost == [expected]
    assert (found.made, found.altered) == ({}, set())
    assert [one._replace(dropped_backwards=True) for one in losses(unapplied)] == [expected]


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_column_is_lost_if_an_applied_migration_drops_it(is_certain: bool) -> None:
    dropped = {"a": column("a", NEW, is_certain=is_certain, starts_null=True)}
    values: dict[str, Any] = {"is_certain": is_certain, "starts_null": True}
    applied = history({"t": table("t", NEW, dropped=dropped)})
    assert schema_changes(NOTHING, applied) == SchemaChanges(
        [loss(NEW, "t", "a", **values)], {}, set(), {}
    )
    unapplied = history({"now": table("t", OLD, {"b": column("a", OLD)})})
    found = schema_changes(unapplied, applied)
    assert found.lost == [loss(NEW, "now", "b", **values)]
    assert found.renamed == {("now", None): ("t", None)}


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_column_is_made_if_an_applied_migration_adds_it(is_certain: bool) -> None:
    added = {"a": column(None, NEW, is_certain=is_certain), "b": column("b", NEW)}
    made: dict[Item, bool] = {("then", "a"): is_certain}
    found = schema_changes(NOTHING, history({"then": table("t", NEW, added)}))
    assert (found.lost, found.made) == ([], made)


@pytest.mark.parametrize("is_certain", [True, False])
def test_a_column_is_made_if_an_unapplied_migration_dropped_it(is_certain: bool) -> None:
    dropped = {"a": column("a", OLD, is_certain=is_certain)}
    unapplied = history({"now": table("t", OLD, dropped=dropped)})
    found = schema_changes(unapplied, NOTHING)
    assert (found.lost, found.made) == ([], {("t", "a"): is_certain})
    assert found.renamed == {("now", None): ("t", None)}
    renamed = history({"then": table("t", NEW, {"b": column("a", NEW)})})
    found = schema_changes(unapplied, renamed)
    assert (found.lost, found.made) == ([], {("then", "b"): is_certain})
    assert found.renamed == {("now", None): ("then", None)}
    again = history({"t": table("t", NEW, dropped={"a": column("a", NEW)})})
    found = schema_changes(unapplied, again)
    assert (found.lost, found.made) == ([], {})


def test_a_table_and_its_columns_are_renamed_on_either_side() -> None:
    columns = {"b": column("a", OLD), "same": column("same", OLD)}
    unapplied = history({"now": table("t", OLD, columns)})
    applied = history({"then": table("t", NEW, {"c": column("a", NEW), "e": column("d", NEW)})})
    found = schema_changes(unapplied, NOTHING)
    assert found.renamed == {
        ("now", None): ("t", None),
        ("now", "b"): ("t", "a"),
        ("now", "same"): ("t", "same"),
    }
    found = schema_changes(NOTHING, applied)
    assert found.renamed == {
        ("t", None): ("then", None),
        ("t", "a"): ("then", "c"),
        ("t", "d"): ("then", "e"),
    }
    found = schema_changes(unapplied, applied)
    assert found.renamed == {
        ("now", None): ("then", None),
        ("now", "b"): ("then", "c"),
        ("now", "d"): ("then", "e"),
        ("now", "same"): ("then", "same"),
    }
    assert (found.lost, found.made, found.altered) == ([], {}, set())


def test_what_has_the_same_name_before_and_after_is_not_renamed() -> None:
    unapplied = history({"now": table("t", OLD, {"b": column("a", OLD)})})
    assert schema_changes(unapplied, unapplied).renamed == {}


def test_what_is_dropped_on_one_side_is_not_renamed() -> None:
    unapplied = history({"t": table("t", OLD, dropped={"a": column("a", OLD)})})
    applied = history({"t": table("t", NEW, {"b": column("a", NEW)})})
    assert schema_changes(unapplied, applied).renamed == {}
    unapplied = history({"t": table("t", OLD, {"b": column("a", OLD)})})
    applied = history({"t": table("t", NEW, dropped={"a": column("a", NEW)})})
    assert schema_changes(unapplied, applied).renamed == {}


def test_new_names_are_found_by_old_ones() -> None:
    renamed: dict[Item, Item] = {("a", None): ("b", None), ("a", "c"): ("b", "d")}
    found = SchemaChanges([], {}, set(), renamed=renamed)
    assert found.name_of(("a", None)) == ("b", None)
    assert found.name_of(("a", "c")) == ("b", "d")
    assert found.name_of(("a", "other")) == ("b", "other")
    assert found.name_of(("x", "c")) == ("x", "c")
    assert found.name_of(("x", None)) == ("x", None)


NARROWED = {"is_altered": True, "only_null": False}


def test_a_column_is_narrowed_by_unapplying() -> None:
    altered = {"b": column("a", OLD, narrows_backwards=True, needs_parent=True, **NARROWED)}
    unapplied = history({"now": table("t", OLD, altered)})
    found = schema_changes(unapplied, NOTHING)
    assert found.lost == [loss(OLD, "now", "b", becomes=("t", "a"), needs_parent=True)]
    assert found.altered == {("t", "a")}
    assert list(losses(unapplied)) == []
    renamed = history({"then": table("t", NEW, {"c": column("a", NEW)})})
    found = schema_changes(unapplied, renamed)
    assert found.lost == [loss(OLD, "now", "b", becomes=("then", "c"), needs_parent=True)]
    assert found.altered == {("then", "c")}


def test_a_column_is_narrowed_by_applying() -> None:
    altered = {"b": column("a", NEW, narrows_forwards=True, **NARROWED)}
    applied = history({"then": table("t", NEW, altered)})
    found = schema_changes(NOTHING, applied)
    assert found.lost == [loss(NEW, "t", "a", becomes=("then", "b"))]
    assert found.altered == {("then", "b")}


def test_a_column_that_both_sides_narrow_is_lost_by_unapplying_first() -> None:
    back = column("a", OLD, narrows_backwards=True, is_altered=True)
    forth = column("a", NEW, narrows_forwards=True, is_altered=True)
    for first, second, only_null in (
        (back, forth, True),
        (back._replace(only_null=False), forth, False),
        (back, forth._replace(only_null=False), False),
    ):
        found = schema_changes(
            history({"t": table("t", OLD, {"a": first})}),
            history({"t": table("t", NEW, {"a": second})}),
        )
        assert found.lost == [loss(OLD, "t", "a", becomes=("t", "a"), only_null=only_null)]


def test_a_column_that_only_gets_wider_is_altered_and_not_lost() -> None:
    wider_by_unapplying = column("a", OLD, narrows_forwards=True, **NARROWED)
    found = schema_changes(history({"t": table("t", OLD, {"a": wider_by_unapplying})}), NOTHING)
    assert found.lost == []
    assert found.altered == {("t", "a")}
    wider_by_applying = column("a", NEW, narrows_backwards=True, **NARROWED)
    found = schema_changes(NOTHING, history({"t": table("t", NEW, {"a": wider_by_applying})}))
    assert (found.lost, found.altered) == ([], {("t", "a")})


def test_a_narrowed_column_that_is_dropped_then_is_lost_as_a_whole() -> None:
    narrowed = {"b": column("a", OLD, narrows_backwards=True, **NARROWED)}
    dropped = {"a": column("a", NEW)}
    found = schema_changes(
        history({"t": table("t", OLD, narrowed)}), history({"t": table("t", NEW, dropped=dropped)})
    )
    assert found.lost == [loss(NEW, "t", "b")]


def test_columns_are_altered_only_in_tables_that_are_there_afterwards() -> None:
    altered = {"a": column("a", OLD, **NARROWED), "new": column(None, OLD, **NARROWED)}
    tables = {"t": table("t", OLD, altered), "created": table(None, OLD, altered)}
    assert schema_changes(history(tables), NOTHING).altered == {("t", "a")}
    dropped = history(dropped={"t": table("t", NEW)})
    assert schema_changes(history(tables), dropped).altered == set()


def test_the_losses_have_the_order_of_the_tables_and_columns() -> None:
    columns = {"z": column(None, OLD), "a": column("a", OLD), "b": column(None, OLD)}
    dropped = {"a": column("a", NEW), "c": column("c", NEW)}
    found = schema_changes(
        history({"t": table("t", OLD, columns), "s": table(None, OLD)}),
        history({"t": table("t", NEW, dropped=dropped)}, {"r": table("r", NEW)}),
    )
    assert [str(one) for one in found.lost] == [
        "column t.z",
        "column t.a",
        "column t.b",
        "column t.c",
        "table s",
        "table r",
    ]


def test_losses_say_what_they_are() -> None:
    assert str(loss(OLD, "t")) == "table t"
    assert str(loss(OLD, "t", "a")) == "column t.a"
    assert str(loss(OLD, "t", "a", becomes=("t", "a"))) == "column t.a, which gets narrower"
    assert (loss(OLD, "t").item, loss(OLD, "t", "a").item) == (("t", None), ("t", "a"))


def test_each_decision_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    unapplied = history(
        {"now": table("t", OLD, {"a": column(None, OLD)}, dropped={"b": column("b", OLD)})},
        {"back": table("back", OLD)},
    )
    columns = {"c": column(None, NEW), "e": column("d", NEW)}
    applied = history(
        {"new": table(None, NEW), "t": table("t", NEW, columns)},
        {"gone": table("gone", NEW)},
    )
    schema_changes(unapplied, applied)
    assert caplog.messages == []
    caplog.set_level(logging.DEBUG, "django_devtools.branches")
    schema_changes(unapplied, applied)
    back, forth = "unapplying shop.0002_unapplied", "applying shop.0002_applied"
    assert caplog.messages == [
        "table now: renamed to table t",
        f"column now.a: lost by {back}",
        f"column t.b: made by {back}",
        f"column t.c: made by {forth}",
        "column now.d: renamed to column t.e",
        f"table back: made by {back}",
        f"table new: made by {forth}",
        f"table gone: lost by {forth}",
    ]
