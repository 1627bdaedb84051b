"""Every type of column and of key, there and back."""

from collections.abc import Callable

import pytest

from tests.branches.shop import PRODUCT, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch, values, vendor
from tests.branches.stash.test_stash import make_shop_of
from tests.databases import Configuration
from tests.project import Project

BEFORE = """
import datetime as dt
import uuid
from decimal import Decimal
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Length, Now
"""
# Of a table that is dropped as a whole, and of columns of one that stays.
FIELDS = """
    binary = models.BinaryField(null=True)
    boolean = models.BooleanField(null=True)
    char = models.CharField(max_length=100, null=True)
    text = models.TextField(null=True)
    date = models.DateField(null=True)
    moment = models.DateTimeField(null=True)
    time = models.TimeField(null=True)
    duration = models.DurationField(null=True)
    decimal = models.DecimalField(max_digits=30, decimal_places=15, null=True)
    float = models.FloatField(null=True)
    small = models.SmallIntegerField(null=True)
    integer = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive = models.PositiveBigIntegerField(null=True)
    json = models.JSONField(null=True)
    uuid = models.UUIDField(null=True)
    address = models.GenericIPAddressField(null=True)
    file = models.FileField(null=True)
    required = models.CharField(max_length=20, default="default")
    by_database = models.CharField(max_length=20, db_default="of the database")
    since = models.DateTimeField(db_default=Now())
    twice = models.GeneratedField(
        expression=F("integer") * 2, output_field=models.BigIntegerField(), db_persist=True
    )
"""
POSTGRESQL = """
    array = ArrayField(ArrayField(models.CharField(max_length=9, null=True)), null=True)
    numbers = ArrayField(models.IntegerField(null=True), null=True)
    range = DateTimeRangeField(null=True)
    decimals = DecimalRangeField(null=True)
    pairs = HStoreField(null=True)
"""
ROWS = """
zone = dt.timezone(dt.timedelta(hours=5, minutes=45))
ROWS = [
    dict(),
    dict(
        binary=bytes(range(256)), boolean=True, char="O'Neil %s \\\\ \\"ü\\" 😀",
        text="a\\nb\\t" * 999,
        date=dt.date(2024, 2, 29), moment=dt.datetime(2026, 3, 29, 2, 30, 0, 123456, zone),
        time=dt.time(23, 59, 59, 999999), duration=dt.timedelta(-3, 7, 1),
        decimal=Decimal("123456789012345.123456789012345"), float=0.1 + 0.2, small=-(2**15),
        integer=-(2**31) // 2, big=2**63 - 1, positive=2**63 - 1,
        json={"a": [1, {"b": None, "ä": "😀 \\\\ \\""}], "n": 1.5, "big": 2**60},
        uuid=uuid.UUID(int=7),
        address="2001:db8::1", file="é/b.txt", required="x", by_database="y",
        since=dt.datetime(1999, 12, 31, tzinfo=dt.timezone.utc),
    ),
    dict(
        binary=b"", boolean=False, char="", text="", date=dt.date(1000, 1, 1),
        moment=dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.timezone.utc), time=dt.time(),
        duration=dt.timedelta(), decimal=Decimal("-0.000000000000001"), float=-1.7e308, small=0,
        integer=0, big=-(2**63), positive=0, json=[], uuid=uuid.UUID(int=0), address="0.0.0.0",
        file="", required="", by_database="",
    ),
    dict(json=Value(None, models.JSONField()), char=" blank ", text="0", float=5e-324),
    dict(json="text", char="007", text="1e5", decimal=Decimal("1.5")),
    dict(json=0.1, char="NULL", text=" ", required="0", by_database=" "),
]
"""
POSTGRESQL_ROWS = """
ROWS[0] |= dict(float=float("nan"), numbers=[])
ROWS[1] |= dict(
    array=[["a", None], ["ü'", '"{}"']], numbers=[1, None, -3], float=float("-inf"),
    range=(dt.datetime(2026, 1, 1, tzinfo=zone), None), decimals=(Decimal("1.50"), Decimal(2)),
    pairs={"a": "1", "ü": None},
)
ROWS[2] |= dict(array=[], decimals="empty", pairs={})
"""
FILL = """
from shop.models import *
for number, row in enumerate(ROWS):
    Product.objects.create(name=str(number), **row)
    Thing.objects.create(**row)
"""


def go_there_and_back(project: Project, models: str, fill: str) -> None:
    """With a branch that has ``models``, and the rows that ``fill`` makes."""
    make_branch(project, "feature", models)
    project.manage("migrate")
    project.python(fill)
    before = dump(project)
    go(project, "main")
    project.assert_in_step()
    assert go(project, "feature").stderr == ""
    assert dump(project) == before
    project.assert_in_step()


@pytest.mark.no_cover
def test_types(vendor_project: Project) -> None:
    before, fields, rows = BEFORE, FIELDS, BEFORE + ROWS
    if vendor(vendor_project) == "postgresql":
        before += "from django.contrib.postgres.fields import *\n"
        fields += POSTGRESQL
        rows += POSTGRESQL_ROWS
        vendor_project.settings('INSTALLED_APPS += ["django.contrib.postgres"]')
        vendor_project.app("first")
        vendor_project.migration(
            "first",
            "0001_initial",
            "HStoreExtension(),",
            before="from django.contrib.postgres.operations import HStoreExtension",
        )
        vendor_project.manage("migrate", "first")
    make_shop(vendor_project)
    thing = "\nclass Thing(models.Model):\n"
    go_there_and_back(vendor_project, before + PRODUCT + fields + thing + fields, rows + FILL)
    assert not kept(vendor_project)


KEYS = """
class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)

class Token(models.Model):
    id = models.UUIDField(primary_key=True)
    country = models.ForeignKey(Country, models.CASCADE, null=True)

class Small(models.Model):
    id = models.SmallAutoField(primary_key=True)

class Day(models.Model):
    day = models.DateField(primary_key=True)
    small = models.OneToOneField(Small, models.PROTECT)

class Pair(models.Model):
    pk = models.CompositePrimaryKey("product_id", "number")
    product = models.ForeignKey("Product", models.CASCADE)
    number = models.IntegerField()
    text = models.TextField()

class Node(models.Model):
    parent = models.ForeignKey("self", models.CASCADE, null=True)
    friends = models.ManyToManyField("self")
    tokens = models.ManyToManyField(Token)

class Place(models.Model):
    name = models.CharField(max_length=9, unique=True)

class Restaurant(Place):
    stars = models.IntegerField()

class Bar(Restaurant):
    is_open = models.BooleanField()
"""
KEYS_FILL = """
import datetime, uuid
from shop.models import *
product = Product.objects.create(name="p")
Country.objects.create(code="é")
Country.objects.create(code="")
Token.objects.create(id=uuid.UUID(int=2), country_id="é")
Token.objects.create(id=uuid.UUID(int=1))
Day.objects.create(day=datetime.date(2026, 1, 2), small=Small.objects.create())
for number in (2, 1, -1):
    Pair.objects.create(product=product, number=number, text=str(number))
nodes = [Node.objects.create() for _ in range(4)]
for node, parent in zip(nodes, nodes[1:]):
    node.parent = parent  # Made later: keys in the order of rows are no help.
    node.save()
    node.friends.add(parent)
    node.tokens.set(Token.objects.all())
nodes[-1].parent = nodes[-1]
nodes[-1].save()
nodes[1].friends.clear()
Place.objects.create(name="place")
Restaurant.objects.create(name="restaurant"[:9], stars=3)
Bar.objects.create(name="bar", stars=1, is_open=False)
Place.objects.create(name="last").delete()
Small.objects.create(pk=99)
"""


def test_keys(vendor_project: Project) -> None:
    make_shop(vendor_project)
    go_there_and_back(vendor_project, PRODUCT + KEYS, KEYS_FILL)
    assert not kept(vendor_project)
    # The keys go on from where they were.
    assert vendor_project.python(
        """
        from shop.models import *
        print(Small.objects.create().pk, Node.objects.create().pk)
        node = Node.objects.get(pk=5)
        node.friends.add(1)
        node.tokens.add(Token.objects.first())
        print(Bar.objects.create(name="b", stars=0, is_open=True).pk > 3)
        """
    ).split() == ["100", "5", "True"]


def test_a_key_of_another_type(vendor_project: Project) -> None:
    """The values of a wider key are known again, and so are the rows that refer to them."""
    make_shop(vendor_project)
    text = PRODUCT + "\nclass Sale(models.Model):\n    product = models.ForeignKey("
    vendor_project.models("shop", text + "Product, models.CASCADE)\n")
    vendor_project.manage("makemigrations", "shop", "--name=sale")
    vendor_project.commit("Sale")
    vendor_project.manage("migrate")
    key = "    id = models.AutoField(primary_key=True)\n"
    size = "    size = models.IntegerField(default=0)\n"
    fill = """
    from shop.models import *
    for size in range(3):
        Sale.objects.create(product=Product.objects.create(name=size, size=size))
    """
    go_there_and_back(
        vendor_project,
        text.replace("50)\n", "50)\n" + key + size) + "Product, models.CASCADE)\n",
        fill,
    )
    assert (
        vendor_project.python(
            "from shop.models import *; print(Product.objects.create(name='new').pk)"
        )
        == "4"
    )


TARGETS = """
class Country(models.Model):
    code = models.CharField(max_length=9, unique=True)
    number = models.IntegerField(unique=True)

class Region(models.Model):
    code = models.CharField(max_length=9, primary_key=True)

class Sale(models.Model):
    place = models.ForeignKey({}, on_delete=models.CASCADE, null=True)
"""


@pytest.mark.no_cover
@pytest.mark.parametrize("target", ["Region", "Country, to_field='code'"])
def test_a_foreign_key_that_refers_to_something_else(vendor_project: Project, target: str) -> None:
    """A number on main, and there nobody knows that it was written with a zero."""
    make_shop(vendor_project)
    vendor_project.models("shop", PRODUCT + TARGETS.format("Country, to_field='number'"))
    vendor_project.manage("makemigrations", "shop", "--name=sales")
    vendor_project.commit("Sales")
    vendor_project.manage("migrate")
    fill = """
    from shop.models import *
    for number, code in enumerate(("01", "1"), 1):
        Country.objects.create(code=code, number=number)
        Region.objects.create(code=code)
    Sale.objects.create(place_id="01")
    Sale.objects.create()
    """
    go_there_and_back(vendor_project, PRODUCT + TARGETS.format(target), fill)
    assert values(vendor_project, "place_id", model="Sale") == "01; None"


COLLATE = """
migrations.RunSQL(
    "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
    "SELECT 1",
),
"""


def test_equal_to_the_default_but_not_the_same(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """A collation of the column tells some texts not apart."""
    project = make_project(default=make_database("postgresql"))
    make_shop(project)
    project.migration("shop", "0003_loose", COLLATE, [("shop", "0002_longer_name")])
    project.commit("Loose")
    column = "    colour = models.CharField(max_length=9, default='red', db_collation='loose')\n"
    make_branch(project, "feature", PRODUCT + column)
    project.switch()
    project.python(
        "from shop.models import *; [Product.objects.create(colour=c) for c in ('RED', 'Red')]"
    )
    before = dump(project)
    go(project, "main")
    assert go(project, "feature").stderr == ""
    assert dump(project) == before


def test_edited_to_what_is_equal(project: Project) -> None:
    name = "class Product(models.Model):\n    name = models.CharField({}, db_collation='NOCASE')\n"
    make_shop_of(project, name.format("max_length=9"))
    make_branch(project, "feature", name.format("max_length=50"))
    project.switch()
    project.python("from shop.models import *; Product.objects.create(name='abc')")
    go(project, "main")
    project.python("from shop.models import *; Product.objects.update(name='ABC')")
    go(project, "feature")
    assert values(project, "name") == "ABC"


ZERO = """
from django.db import connection
with connection.cursor() as cursor:
    if connection.vendor == "mysql":
        cursor.execute("SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
    cursor.execute("INSERT INTO shop_thing (id, name) VALUES (0, 'zero')")
"""


def test_a_key_of_zero(vendor_project: Project) -> None:
    make_shop(vendor_project)
    thing = "\nclass Thing(models.Model):\n    name = models.CharField(max_length=9)\n"
    make_branch(vendor_project, "feature", PRODUCT + thing)
    vendor_project.switch()
    vendor_project.python(ZERO)
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


# A field of whatever type the database has.
OF_TYPE = """
from django.db import models

class OfType(models.Field):
    def __init__(self, *args, kind, **options):
        super().__init__(*args, **options)
        self.kind = kind

    def deconstruct(self):
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "kind": self.kind}

    def db_type(self, connection):
        return self.kind
"""
IMPORTS = """
from django.contrib.postgres.fields import *
from shop.fields import OfType
"""
MOOD = "migrations.RunSQL(\"CREATE TYPE mood AS ENUM ('sad', 'ok')\", 'DROP TYPE mood')"
FLOATS = """migrations.RunSQL(
    'CREATE TYPE floats AS RANGE (SUBTYPE = float8); CREATE DOMAIN "some %" AS floats',
    'DROP DOMAIN "some %"; DROP TYPE floats'
)"""
ANY_CASE = "CreateCollation('any', provider='icu', locale='und-u-ks-level2', deterministic=False)"
BROUGHT = {
    "hstore": ("HStoreExtension()", "HStoreField({})", "{'a': '1', 'b': None}"),
    "citext": ("CITextExtension()", "OfType({}, kind='citext')", "'aB'"),
    "collation": (ANY_CASE, "models.CharField({}, max_length=9, db_collation='any')", "'aB'"),
    "enum": (MOOD, "OfType({}, kind='mood')", "'ok'"),
    "enums": (MOOD, "ArrayField(OfType(kind='mood'), {})", "['ok', 'sad', None]"),
    "range": (
        FLOATS,
        "OfType({}, kind='\"some %\"')",
        "'[0.1,0.30000000000000004)'",
    ),
}


@pytest.fixture
def postgresql(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> Project:
    """An app on PostgreSQL with a field of any type, and no migration yet."""
    project = make_project(default=make_database("postgresql"))
    project.settings('INSTALLED_APPS += ["django.contrib.postgres"]')
    project.app("shop")
    project.write("shop/fields.py", OF_TYPE)
    return project


def begin_with(project: Project, migration: str, operation: str) -> None:
    """Let a migration run ``operation`` before its own, and commit it."""
    file = project.path / f"shop/migrations/{migration}.py"
    text = file.read_text().replace("operations = [", f"operations = [\n{operation},", 1)
    file.write_text("from django.contrib.postgres.operations import *\n" + text)
    project.commit(operation)


def make_branch_that_brings(project: Project, what: str) -> None:
    """Applied on branch feature: a column and a table of a type of its own, with a row each."""
    operation, field, value = BROUGHT[what]
    field = f"    value = {field.format('null=True')}\n"
    project.models("shop", PRODUCT)
    project.manage("makemigrations", "shop")
    project.commit("Shop")
    make_branch(
        project, "feature", IMPORTS + PRODUCT + field + "\nclass Thing(models.Model):\n" + field
    )
    begin_with(project, "0002_feature", operation)
    project.manage("migrate")
    project.python(
        f"""
        from shop.models import *
        for value in ({value}, None):
            Product.objects.create(value=value)
            Thing.objects.create(value=value)
        """
    )


@pytest.mark.parametrize("what", BROUGHT)
def test_types_that_the_branch_brings(postgresql: Project, what: str) -> None:
    project = postgresql
    make_branch_that_brings(project, what)
    before = dump(project)
    go(project, "main")
    assert len(kept(project)) == 2
    project.assert_in_step()
    assert go(project, "feature").stderr == ""
    assert dump(project) == before
    assert not kept(project)


def test_plain_migrate_drops_a_type(postgresql: Project) -> None:
    project = postgresql
    project.settings("DJANGO_DEVTOOLS = {}")
    make_branch_that_brings(project, "hstore")
    before = dump(project)
    project.manage("migrate", "shop", "0001")
    assert kept(project) == {"shop_product.value 1", "shop_thing.* 2"}
    project.manage("migrate")
    assert dump(project) == before


COUNTRY = """
class Country(models.Model):
    code = {}
    name = models.CharField(max_length={})
"""
SALE = """
class Sale(models.Model):
    country = models.ForeignKey(Country, models.CASCADE)
"""


@pytest.mark.parametrize(
    ("what", "code", "also"),
    [
        ("citext", "de", "DE"),
        ("collation", "de", "DE"),
        ("enum", "ok", "ok"),
    ],
)
def test_keys_of_types_that_migrations_brought(
    postgresql: Project, what: str, code: str, also: str
) -> None:
    """Where the database takes them for the same, rows are known by them in any case."""
    project = postgresql
    operation, field, _ = BROUGHT[what]
    key = field.format("primary_key=True")
    project.models("shop", IMPORTS + PRODUCT + COUNTRY.format(key, 9))
    project.manage("makemigrations", "shop")
    begin_with(project, "0001_initial", operation)
    project.manage("migrate")
    note = "    note = models.TextField(default='')\n"
    seat = "    seat = models.ForeignKey('Country', models.CASCADE, null=True)\n"
    make_branch(
        project, "feature", IMPORTS + PRODUCT + seat + COUNTRY.format(key, 50) + note + SALE
    )
    project.manage("migrate")
    project.python(
        f"""
        from shop.models import *
        Country.objects.create(code={code!r}, name="a long name", note="note")
        Product.objects.create(seat_id={also!r})
        Sale.objects.create(country_id={also!r})
        """
    )
    go(project, "main")
    assert kept(project) == {
        "shop_country.name 1",
        "shop_country.note 1",
        "shop_product.seat_id 1",
        "shop_sale.* 1",
    }
    project.python(
        f"""
        from shop.models import *
        Country.objects.update(code={also!r})
        Country.objects.create(code="sad", name="new")
        """
    )
    assert go(project, "feature").stderr == ""
    assert not kept(project)
    countries = values(project, "code", "name", "note", model="Country").split("; ")
    assert sorted(countries) == sorted([f"{also} a long name note", "sad new "])
    assert values(project, "seat_id") == also
    assert values(project, "country_id", model="Sale") == also


SPANS = """
class Span(models.Model):
    id = models.DurationField(primary_key=True)
    product = models.ForeignKey(Product, models.CASCADE, null=True)

class Part(models.Model):
    span = models.ForeignKey(Span, models.CASCADE)
"""


@pytest.mark.no_cover
def test_keys_that_are_durations(vendor_project: Project) -> None:
    """PostgreSQL calls them intervals, which are no integers."""
    make_shop(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + SPANS)
    vendor_project.migration(
        "shop",
        "0004_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0003_feature")],
        before="""
import datetime
def fill(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        days = datetime.timedelta(product.pk)
        apps.get_model("shop", "Span").objects.create(id=days, product=product)
""",
    )
    vendor_project.commit("Fill")
    vendor_project.manage("migrate", "shop", "0003")
    vendor_project.python("from shop.models import *; Product.objects.create(name='old')")
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        import datetime
        from shop.models import *
        Part.objects.create(span=Span.objects.get())
        Part.objects.create(span=Span.objects.create(id=datetime.timedelta(3)))
        """
    )
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")
    assert go(vendor_project, "feature").stderr == ""
    assert values(vendor_project, "product__name", model="Span") == "old; new; None"
