"""What a database says of its tables, on each vendor."""

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.schema.introspection import ColumnInfo, Tables, _common_type
from tests.branches.shop import ID, PRODUCT, make_shop
from tests.branches.stash.stashing import vendor
from tests.project import Project

MODELS = """
class Part(models.Model):
    product = models.ForeignKey(Product, models.CASCADE, db_column="of it")
    other = models.OneToOneField("self", models.CASCADE, null=True)
    text = models.CharField(max_length=9, db_default="a")
    length = models.GeneratedField(
        expression=models.F("product_id") + 1, output_field=models.BigIntegerField(),
        db_persist=True,
    )
"""
TYPES = {
    "sqlite": ["INTEGER", "varchar(9)"],
    "postgresql": ["bigint", "character varying(9)"],
    "mysql": ["bigint(20)", "varchar(9)"],
}


def test_tables(vendor_project: Project) -> None:
    make_shop(vendor_project)
    vendor_project.models("shop", PRODUCT + MODELS)
    vendor_project.manage("makemigrations", "shop", "--name=part")
    vendor_project.migration(
        "shop",
        "0004_pair",
        f"""
        migrations.CreateModel("Bare", [{ID}]),
        migrations.RunSQL(
            "CREATE TABLE pair (b integer NOT NULL, a integer NOT NULL, c integer, "
            "PRIMARY KEY (a, b))",
            "DROP TABLE pair",
        ),
        migrations.RunSQL("CREATE TABLE keyless (a integer)", "DROP TABLE keyless"),
        """,
        [("shop", "0003_part")],
    )
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import *; Product.objects.create(name='p')")
    output = vendor_project.python(
        """
        from django.db import connection
        from django_devtools.branches.schema.introspection import Tables
        tables = Tables(connection)
        print({"shop_part", "pair", "keyless", "django_migrations"} <= tables.names)
        print({c: info.is_required for c, info in sorted(tables.columns("shop_part").items())})
        print([tables.columns("shop_part")[c].type for c in ("id", "text")])
        print({c: info.is_required for c, info in sorted(tables.columns("pair").items())})
        print(tables.key("shop_part"), sorted(tables.key("pair")), tables.key("keyless"))
        for column, parent in sorted(tables.parents("shop_part").items()):
            print(column, parent.table, parent.column)
        print(tables.parents("pair"), tables.count("shop_product"), tables.count("pair"))
        size = tables.dialect.table_size
        print((size("shop_product") or 1) > 0, size("not there"))
        """
    )
    types = TYPES[vendor(vendor_project)]
    assert output.splitlines() == [
        "True",
        "{'id': True, 'of it': True, 'other_id': False, 'text': True}",
        str(types),
        "{'a': True, 'b': True, 'c': False}",
        "['id'] ['a', 'b'] []",
        "of it shop_product id",
        "other_id shop_part id",
        "{} 1 0",
        "True None",
    ]


@pytest.mark.parametrize(
    ("kind", "is_integer"),
    [
        ("bigint", True),
        ("INTEGER", True),
        ("integer unsigned", True),
        ("int(11) unsigned", True),
        ("tinyint(1)", True),
        ("mediumint(9)", True),
        ("smallint", True),
        ("interval", False),
        ("int4range", False),
        ("point", False),
        ("integer[]", False),
    ],
)
def test_integers(kind: str, is_integer: bool) -> None:
    assert ColumnInfo(kind, True).is_integer is is_integer


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("", "", ""),
        ("mood", "mood", ""),
        ("mood", "", "text"),
        ("", "mood", "text"),
        ("public.citext", "", "public.citext"),
        ("", '"a%b".citext', '"a%%b".citext'),
    ],
)
def test_a_copy_is_compared_by_the_type_it_has_in_common(
    one: str, other: str, common: str
) -> None:
    assert _common_type(one, other) == common


def test_rows_of_two_tables_are_found_by_their_keys(connection: BaseDatabaseWrapper) -> None:
    tables = Tables(connection)
    tables.execute("CREATE TABLE one (id integer, text varchar(9))")
    tables.execute("CREATE TABLE other (key_ integer, text varchar(9))")
    tables.execute("INSERT INTO one VALUES (1, 'a'), (2, 'B')")
    tables.execute("INSERT INTO other VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    key = {"id": "key_"}
    assert tables.has_rows("other", f"NOT {tables.exists_sql('one', 'other', key)}")
    there = tables.exists_sql("one", "other", key)
    same = tables.exists_sql("one", "other", key, ["text"])
    fetch = tables.dialect.fetch
    assert fetch(f"SELECT key_ FROM other WHERE {there} ORDER BY key_") == [(1,), (2,)]
    assert fetch(f"SELECT key_ FROM other WHERE {same}") == [(1,)]
    assert (tables.count("one"), tables.count("one", "text")) == (2, 2)
    assert tables.has_item("one", "text")
    assert not tables.has_item("one", "key_")
    assert not tables.has_item("missing", None)
