"""Columns that get narrower on the way back, with values that don't fit."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import DataError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import AlterField, CreateModel
from django.db.migrations.state import ProjectState
from django.db.models import (
    AutoField,
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    DurationField,
    Field,
    JSONField,
    PositiveSmallIntegerField,
    UUIDField,
)

from django_devtools.branches.running.narrowing import _empty, _NarrowedColumn, coercing
from tests.branches.shop import ID
from tests.branches.stash.stashing import dump, go, make_branch, values, vendor
from tests.databases import Configuration
from tests.project import Project

MODEL = """
class Thing(models.Model):
    value = {}
"""
ROWS = """
import json
from typing import Any
from shop.models import Thing
for row in Thing.objects.order_by("pk"):
    print(row.pk, json.dumps(row.value, default=str))
"""
CASES: dict[str, tuple[str, str, Any, Any]] = {
    "shorter text": (
        "models.CharField(max_length=5)",
        "models.CharField(max_length=50)",
        ["short", "Größe und mehr", ""],
        {
            "postgresql": ["short", "Größe", ""],
            "mysql": ["short", "Größe", ""],
            "sqlite": ["short", "Größe und mehr", ""],
        },
    ),
    "text": (
        "models.CharField(max_length=5)",
        "models.TextField()",
        ["short", "much longer"],
        {
            "postgresql": ["short", "much "],
            "mysql": ["short", "much "],
            "sqlite": ["short", "much longer"],
        },
    ),
    "null": ("models.IntegerField()", "models.IntegerField(null=True)", [1, None], [1, 0]),
    "null with a default": (
        "models.CharField(max_length=9, default='none')",
        "models.CharField(max_length=9, null=True)",
        ["a", None],
        ["a", "none"],
    ),
    "null of a date": (
        "models.DateField()",
        "models.DateField(null=True)",
        ["2026-02-28", None],
        ["2026-02-28", "1970-01-01"],
    ),
    "larger numbers": (
        "models.SmallIntegerField()",
        "models.BigIntegerField()",
        [7, 2**40],
        {"postgresql": [7, 0], "mysql": [7, 0], "sqlite": [7, 2**40]},
    ),
    "no number": (
        "models.IntegerField(null=True)",
        "models.CharField(max_length=9, null=True)",
        ["12", "twelve", None],
        [12, None, None],
    ),
}


def make(project: Project, old: str, new: str, values: Any) -> None:
    project.app("shop", MODEL.format(old))
    project.migration(
        "shop", "0001_initial", f'migrations.CreateModel("Thing", [{ID} ("value", {old})]),'
    )
    project.commit()
    project.checkout("-b", "feature")
    project.models("shop", MODEL.format(new))
    project.migration(
        "shop",
        "0002_wider",
        f'migrations.AlterField("thing", "value", {new}),',
        [("shop", "0001_initial")],
    )
    project.commit()
    project.manage("migrate")
    project.python(
        f"""
        from shop.models import Thing
        for value in {values!r}:
            Thing.objects.create(value=value)
        """
    )


@pytest.mark.no_cover
@pytest.mark.parametrize("case", CASES)
def test_there_and_back(vendor_project: Project, case: str) -> None:
    old, new, values, expected = CASES[case]
    make(vendor_project, old, new, values)
    before = vendor_project.python(ROWS)

    vendor_project.checkout("main")
    vendor_project.switch()

    if isinstance(expected, dict):
        engine = vendor_project.databases["default"]["ENGINE"]
        expected = expected[engine.removesuffix("3").rpartition(".")[2]]
    assert vendor_project.python(ROWS) == "\n".join(
        f"{number} {json.dumps(value)}" for number, value in enumerate(expected, 1)
    )
    vendor_project.checkout("feature")
    vendor_project.switch()
    assert vendor_project.python(ROWS) == before


@pytest.mark.no_cover
@pytest.mark.parametrize("case", ["shorter text", "null", "no number"])
def test_an_operation_inside_another(vendor_project: Project, case: str) -> None:
    old, new, rows, _ = CASES[case]
    make(vendor_project, old, new, [])
    alter = f'migrations.AlterField("thing", "value", {new})'
    vendor_project.migration(
        "shop",
        "0002_wider",
        f"migrations.SeparateDatabaseAndState([{alter}], [{alter}]),",
        [("shop", "0001_initial")],
    )
    vendor_project.commit("Separated")
    vendor_project.python(
        f"from shop.models import *; [Thing.objects.create(value=one) for one in {rows!r}]"
    )
    before = vendor_project.python(ROWS)
    go(vendor_project, "main")
    vendor_project.assert_in_step()
    go(vendor_project, "feature")
    assert vendor_project.python(ROWS) == before


ARRAYS = """
from django.contrib.postgres.fields import ArrayField
class Thing(models.Model):
    value = {}
"""


def test_an_array_of_text(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """Each of its texts is cut."""
    project = make_project(default=make_database("postgresql"))
    field = "ArrayField(models.CharField(max_length={}))"
    project.settings('INSTALLED_APPS += ["django.contrib.postgres"]')
    project.app("shop", ARRAYS.format(field.format(5)))
    project.manage("makemigrations", "shop")
    project.commit()
    make_branch(project, "feature", ARRAYS.format(field.format(50)))
    project.manage("migrate")
    project.python(
        """
        from shop.models import Thing
        for value in (["short", "much longer"], ["a,b"], []):
            Thing.objects.create(value=value)
        """
    )
    before = project.python(ROWS)
    go(project, "main")
    assert project.python(ROWS) == '1 ["short", "much "]\n2 ["a,b"]\n3 []'
    go(project, "feature")
    assert project.python(ROWS) == before


def test_nothing_stands_for_a_missing_parent(project: Project) -> None:
    brand = "class Brand(models.Model):\n    pass\n\n"
    thing = "class Thing(models.Model):\n    brand = {}\n"
    old = 'models.ForeignKey("shop.brand", models.CASCADE)'
    new = 'models.ForeignKey("shop.brand", models.CASCADE, null=True)'
    project.app("shop", brand + thing.format(old))
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Brand", [{ID}]),'
        f'migrations.CreateModel("Thing", [{ID} ("brand", {old})]),',
    )
    project.commit()
    project.checkout("-b", "feature")
    project.models("shop", brand + thing.format(new))
    project.migration(
        "shop",
        "0002_maybe",
        f'migrations.AlterField("thing", "brand", {new}),',
        [("shop", "0001_initial")],
    )
    project.commit()
    project.manage("migrate")
    project.python("from shop.models import *; Thing.objects.create()")
    project.checkout("main")

    result = project.manage("migrations_switch", "--no-input", status=1)

    assert result.stderr == (
        "CommandError: shop_thing.brand_id is NULL in 1 row, which only shop.0002_maybe allows. "
        "It is a foreign key, so no other value can replace NULL. Let these rows refer to "
        "something, or delete them.\n"
    )
    project.python("from shop.models import *; Thing.objects.update(brand=Brand.objects.create())")
    project.switch()
    project.assert_in_step()
    assert "The stash is empty." in project.manage("migrations_stash", "list").stdout


def test_the_order_with_respect_to_a_parent(vendor_project: Project) -> None:
    shelf = "class Shelf(models.Model):\n    pass\n\n"
    thing = 'class Thing(models.Model):\n    shelf = models.ForeignKey("Shelf", models.CASCADE)\n'
    order = '\n    class Meta:\n        order_with_respect_to = "shelf"\n'
    vendor_project.app("shop", shelf + thing)
    vendor_project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Shelf", [{ID}]),'
        f'migrations.CreateModel("Thing", [{ID} '
        '("shelf", models.ForeignKey("shop.shelf", models.CASCADE))]),',
    )
    vendor_project.commit()
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", shelf + thing + order)
    vendor_project.migration(
        "shop",
        "0002_order",
        'migrations.AlterOrderWithRespectTo("thing", "shelf"),',
        [("shop", "0001_initial")],
    )
    vendor_project.commit()
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        from shop.models import *
        shelf = Shelf.objects.create()
        things = [Thing.objects.create(shelf=shelf) for _ in range(3)]
        shelf.set_thing_order([things[2].pk, things[0].pk, things[1].pk])
        """
    )

    vendor_project.checkout("main")
    vendor_project.switch()
    vendor_project.checkout("feature")
    vendor_project.switch()

    order = "print(*Shelf.objects.get().get_thing_order())"
    assert vendor_project.python(f"from shop.models import *; {order}") == "3 1 2"


def test_what_was_changed_beside_what_stayed_as_it_was(project: Project) -> None:
    """To SQLite, decimals of any size are one type: there is nothing to bring back of them."""
    text = "class Thing(models.Model):\n    name = {}\n    price = {}\n"
    old = "models.CharField(max_length=5)", "models.DecimalField(max_digits=5, decimal_places=1)"
    new = "models.CharField(max_length=9)", "models.DecimalField(max_digits=9, decimal_places=3)"
    project.app("shop", text.format(*old))
    project.migration(
        "shop",
        "0001_initial",
        f'migrations.CreateModel("Thing", [{ID} ("name", {old[0]}), ("price", {old[1]})]),',
    )
    project.commit()
    project.checkout("-b", "feature")
    project.models("shop", text.format(*new))
    project.migration(
        "shop",
        "0002_wider",
        f"""
        migrations.AlterField("thing", "name", {new[0]}),
        migrations.AlterField("thing", "price", {new[1]}),
        """,
        [("shop", "0001_initial")],
    )
    project.commit()
    project.manage("migrate")
    project.python(
        """
        from shop.models import Thing
        for name in ("unchanged", "long name"):
            Thing.objects.create(name=name, price="1.125")
        """
    )
    project.checkout("main")
    project.switch()
    project.python("from shop.models import Thing; Thing.objects.filter(pk=2).update(name='new')")
    project.checkout("feature")
    project.switch()
    found = project.python(
        "from shop.models import Thing\nfor thing in Thing.objects.order_by('pk'):\n"
        "    print(thing.name, thing.price)"
    )
    assert found == "unchanged 1.125\nnew 1.125"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("ArrayField(models.IntegerField(){})", "[]"),
        ("IntegerRangeField({})", "empty"),
        ("DateTimeRangeField({})", "empty"),
        ("HStoreField({})", "{}"),
    ],
)
def test_null_of_types_of_postgresql(
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    field: str,
    expected: str,
) -> None:
    project = make_project(default=make_database("postgresql"))
    project.settings('INSTALLED_APPS += ["django.contrib.postgres"]')
    models = "from django.contrib.postgres.fields import *\n" + MODEL
    project.app("shop", models.format(field.format("")))
    project.migration(
        "shop",
        "0001_extension",
        "HStoreExtension(),",
        before="from django.contrib.postgres.operations import HStoreExtension",
    )
    project.manage("makemigrations", "shop")
    project.commit()
    null = ", null=True" if "()" in field else "null=True"
    make_branch(project, "feature", models.format(field.format(null)))
    project.manage("migrate")
    project.python("from shop.models import *; Thing.objects.create(value=None)")
    before = dump(project)
    go(project, "main")
    assert values(project, "value", model="Thing") == expected
    assert go(project, "feature").stderr == ""
    assert dump(project) == before


CODES = """
class Product(models.Model):
    code = models.{}(primary_key=True{})

class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
"""


@pytest.mark.parametrize(
    ("old", "new", "long", "short"),
    [
        (("CharField", ", max_length=5"), ("CharField", ", max_length=20"), "'x' * 15", "'xy'"),
        (("SmallIntegerField", ""), ("BigIntegerField", ""), "2**40", "7"),
        (("IntegerField", ""), ("CharField", ", max_length=9"), "'007'", None),
    ],
)
def test_nothing_stands_for_a_key(
    vendor_project: Project,
    old: tuple[str, str],
    new: tuple[str, str],
    long: str,
    short: str | None,
) -> None:
    vendor_project.app("shop", CODES.format(*old))
    vendor_project.manage("makemigrations", "shop")
    vendor_project.commit()
    make_branch(vendor_project, "feature", CODES.format(*new))
    vendor_project.manage("migrate")
    rows = "Review.objects.create(product=Product.objects.create(code={}))"
    vendor_project.python(f"from shop.models import *; {rows.format(long)}")
    before = dump(vendor_project)
    if old[0] != "IntegerField" and vendor(vendor_project) == "sqlite":
        go(vendor_project, "main")  # It keeps what does not fit.
        go(vendor_project, "feature")
        assert dump(vendor_project) == before
        return
    vendor_project.checkout("main")
    result = vendor_project.manage("migrations_switch", "--no-input", status=1)
    assert result.stderr == (
        "CommandError: shop_product.code has values that are only sure to fit with "
        "shop.0002_feature. It is part of the primary key, which identifies the rows, so its "
        "values can't be shortened. Give these rows other keys, or delete them.\n"
    )
    assert dump(vendor_project) == before
    vendor_project.checkout("feature")
    vendor_project.python("from shop.models import *; Product.objects.all().delete()")
    if short:
        vendor_project.python(f"from shop.models import *; {rows.format(short)}")
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


PARCEL = """
class Order(models.Model):
    pass

class Parcel(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    code = models.{}
    weight = models.{}
"""


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("code", "value"),
    [("CharField(max_length=60)", "'x' * 55"), ("CharField(max_length=30, null=True)", "None")],
)
def test_two_of_a_table_with_a_foreign_key(vendor_project: Project, code: str, value: str) -> None:
    """PostgreSQL looks at foreign keys of what was written last, and alters no table before."""
    vendor_project.app("shop", PARCEL.format("CharField(max_length=30)", "IntegerField()"))
    vendor_project.manage("makemigrations", "shop")
    vendor_project.commit()
    weight = "DecimalField(max_digits=9, decimal_places=3)"
    make_branch(vendor_project, "feature", PARCEL.format(code, weight))
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; "
        f"Parcel.objects.create(order=Order.objects.create(), code={value}, weight='1.5')"
    )
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


# One operation, in this process


def undo_alteration(
    connection: BaseDatabaseWrapper, narrow: "Field[Any, Any]", wide: "Field[Any, Any]", value: Any
) -> list[Any]:
    """Undo an AlterField over a row with a value. What is in its column after that."""
    before = ProjectState()
    fields = [("id", AutoField(primary_key=True)), ("value", narrow)]
    CreateModel("Thing", fields).state_forwards("shop", before)
    state = before.clone()
    operation = AlterField("thing", "value", wide)
    operation.state_forwards("shop", state)
    model = state.apps.get_model("shop", "Thing")
    with connection.schema_editor() as editor:
        editor.create_model(model)
    model._default_manager.using(connection.alias).create(value=value)
    with connection.schema_editor() as editor:
        coercing(operation).database_backwards("shop", editor, state, before)
    found = before.apps.get_model("shop", "Thing")._default_manager.using(connection.alias)
    return list(found.values_list("value", flat=True))


def test_it_is_logged_what_replaces_null(
    connection: BaseDatabaseWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="django_devtools.branches")
    found = undo_alteration(
        connection, CharField(max_length=9), CharField(max_length=9, null=True), None
    )
    assert found == [""]
    assert caplog.messages == [
        "shop_thing.value: '' replaces NULL in 1 row(s), because it becomes NOT NULL"
    ]


def test_it_is_logged_what_is_coerced(
    connection: BaseDatabaseWrapper, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="django_devtools.branches")
    narrow, wide = CharField(max_length=4), CharField(max_length=9)
    found = undo_alteration(connection, narrow, wide, "longer")
    if connection.vendor == "postgresql":
        assert found == ["long"]
        assert "shop_thing.value: coerced what does not fit varchar(4)" in caplog.text
    else:
        # SQLite stores it, and MariaDB cuts it without a word.
        assert found == ["longer" if connection.vendor == "sqlite" else "long"]
        assert caplog.messages == []


def test_an_error_that_coercing_does_not_cure_is_raised(
    connect: Callable[[str], BaseDatabaseWrapper],
) -> None:
    connection = connect("sqlite")  # It never has an error to coerce values for.

    def fail() -> None:
        raise DataError("as another database would")

    wide, narrow = CharField(max_length=9), CharField(max_length=4)
    for field in (wide, narrow):
        field.set_attributes_from_name("value")
    with connection.schema_editor() as editor:
        column = _NarrowedColumn(editor, "shop_thing", wide, narrow)
        with pytest.raises(DataError, match="as another database would"):
            column.narrow(fail)


@pytest.mark.parametrize(
    ("field", "empty"),
    [
        (CharField(max_length=9), ""),
        (PositiveSmallIntegerField(), 0),
        (DecimalField(max_digits=5, decimal_places=2), 0),
        (BooleanField(), False),
        (DateField(), date(1970, 1, 1)),
        (DurationField(), timedelta(0)),
        (JSONField(), {}),
        (UUIDField(), UUID(int=0)),
    ],
)
def test_each_type_has_an_empty_value(field: "Field[Any, Any]", empty: Any) -> None:
    editor = connections["default"].schema_editor(collect_sql=True)
    assert _empty(editor, field) == empty
