"""The tables and columns of a project state."""

from typing import Any

import pytest
from django.db import migrations, models
from django.db.backends.utils import truncate_name
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.structure import (
    field_of,
    has_table,
    stored_fields,
    structure,
    table_of,
    tables,
)
from tests.branches.schema.test_operations import create

TAG = ("tag", models.ForeignKey("shop.Tag", models.CASCADE))
TAGS = ("tags", models.ManyToManyField("shop.Tag"))
OWN = ("own", models.ManyToManyField("shop.Tag", db_table="own_table"))
WAYS = ("ways", models.ManyToManyField("shop.Tag", through="shop.Way"))
PAIR = ("pair", models.ForeignObject("shop.Tag", models.CASCADE, ["a"], ["b"]))
NAMED = ("named", models.IntegerField(db_column="Column"))


def state(*operations: Operation) -> ProjectState:
    found = ProjectState()
    for operation in operations:
        operation.state_forwards("shop", found)
    return found


def test_a_state_has_tables_and_columns() -> None:
    found = state(create("Tag"), create("Product", TAG, TAGS, OWN, WAYS, PAIR, NAMED))
    assert set(structure(found)) == {
        ("shop_tag", None),
        ("shop_tag", "id"),
        ("shop_product", None),
        ("shop_product", "id"),
        ("shop_product", "tag_id"),
        ("shop_product", "Column"),
        ("shop_product_tags", None),
        ("own_table", None),
    }
    assert tables(found) == {"shop_tag", "shop_product"}


def test_a_many_to_many_field_is_stored_in_a_table() -> None:
    fields = stored_fields(state(create("Product", TAGS, NAMED)).models["shop", "product"])
    assert {name: (f.table, f.is_table) for name, f in fields.items()} == {
        "id": ("shop_product", False),
        "named": ("shop_product", False),
        "tags": ("shop_product_tags", True),
    }
    assert (fields["named"].column, fields["named"].field) == ("Column", NAMED[1])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"managed": False}, False),
        ({"managed": True}, True),
        ({"proxy": True}, False),
        ({"swappable": "SHOP_MODEL"}, False),
        ({"swappable": "MISSING"}, False),
        ({"swappable": "SHOP_OWN_MODEL"}, True),
    ],
)
def test_a_model_has_a_table(settings: Any, options: dict[str, Any], expected: bool) -> None:
    settings.SHOP_MODEL = "other.Product"
    settings.SHOP_OWN_MODEL = "shop.Product"
    found = state(create("Product", NAMED, **options))
    assert bool(has_table(found.models["shop", "product"])) is expected
    assert bool(set(structure(found))) is bool(tables(found)) is expected
    assert (field_of(found, "shop_product", "Column") is NAMED[1]) is expected


def test_names_are_as_long_as_the_database_allows() -> None:
    table = truncate_name(f"shop_{'a' * 30}", 30)
    found = state(create("A" * 30, ("b" * 9, models.ManyToManyField("shop.Tag"))))
    own = truncate_name(f"{table}_{'b' * 9}", 30)
    assert tables(found, 30) == {table}
    assert set(structure(found, 30)) == {(table, None), (table, "id"), (own, None)}
    assert table_of(found.models["shop", "a" * 30]) == f"shop_{'a' * 30}"
    assert field_of(found, table, "id", 30) is not None
    assert field_of(found, table, "id") is None


def test_a_table_in_a_quoted_schema_names_its_many_to_many_tables_without_quotes() -> None:
    found = state(create("Product", TAGS, db_table='"own"."product"'))
    assert ('own"."product_tags', None) in set(structure(found))


def test_a_column_belongs_to_a_field() -> None:
    found = state(create("Tag"), create("Product", TAG, TAGS, NAMED))
    assert field_of(found, "shop_product", "tag_id") is TAG[1]
    assert field_of(found, "shop_product", "Column") is NAMED[1]
    assert field_of(found, "shop_product", "named") is None
    assert field_of(found, "shop_product_tags", "tags") is None
    assert field_of(found, "shop_tag", "Column") is None
    assert field_of(found, "elsewhere", "id") is None


def test_a_column_is_found_in_the_last_of_several_models_of_one_table() -> None:
    other = create("Other", NAMED, db_table="shop_product")
    found = state(create("Product"), other, migrations.RunSQL(""))
    assert field_of(found, "shop_product", "Column") is NAMED[1]
