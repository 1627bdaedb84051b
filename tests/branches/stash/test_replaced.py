"""Values that migrations write where they drop something stay as the migrations wrote them."""

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_owners import OTHER, PART, fill, make
from tests.branches.stash.test_stash import make_products
from tests.project import Project

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

PRICE = "    price = models.IntegerField(default=1)\n"
DECIMAL = "    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)\n"
SIZE = "    size = models.IntegerField(null=True)\n"
NOTE = "    note = models.CharField(max_length={}, default='none')\n"
DATED = "    made = models.DateTimeField(auto_now_add=True, null=True)\n"
WIDE = PRODUCT.replace("50", "80")

CENTS = """
def to_cents(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.cents = product.price * 100
        product.save()

def from_cents(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.price = product.cents // 100
        product.save()
"""
OTHER_PRICE = """
migrations.AddField("product", "cents", models.IntegerField(default=0)),
migrations.RunPython(to_cents, from_cents),
migrations.RemoveField("product", "price"),
migrations.RenameField("product", "cents", "price"),
"""
TIMES = """
def times(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.price *= 100
        product.save()
"""
SHOUTED = """
def shout(apps, schema_editor):
    for part in apps.get_model("shop", "Part").objects.all():
        apps.get_model("shop", "New").objects.create(id=part.pk, name=part.name.upper())

def whisper(apps, schema_editor):
    for part in apps.get_model("shop", "New").objects.all():
        apps.get_model("shop", "Part").objects.create(id=part.pk, name=part.name.lower())
"""
OTHER_PART = """
migrations.CreateModel("New", [
    ("id", models.BigAutoField(primary_key=True)),
    ("name", models.CharField(max_length=9)),
]),
migrations.RunPython(shout, whisper),
migrations.DeleteModel("Part"),
migrations.RenameModel("New", "Part"),
"""
UPDATE = """
def update(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update({})
"""


def add(
    project: Project, name: str, operations: str, body: str = "", atomic: bool = False
) -> None:
    """Write a migration after the last one, and commit it."""
    last = max(project.path.glob("shop/migrations/0*.py")).stem
    project.migration(
        "shop", name, operations, [("shop", last)], body, "" if atomic else "atomic = False"
    )
    project.commit(name)


def make_other_price(project: Project) -> None:
    """On branch feature, which has the price in cents, by a column that takes its name."""
    make_products(project, PRODUCT + PRICE)
    fill(project, "Product.objects.update(price=2)")
    project.checkout("-b", "feature")
    add(project, "0004_cents", OTHER_PRICE, CENTS)


@pytest.mark.parametrize("by", ["migrate", "migrations_switch"])
def test_a_column_takes_the_name_of_another(vendor_project: Project, by: str) -> None:
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_other_price(vendor_project)
    vendor_project.manage(by)
    assert values(vendor_project, "price") == "200; 200; 200"


def test_each_branch_has_its_own_of_that_name(vendor_project: Project) -> None:
    make_other_price(vendor_project)
    vendor_project.switch()
    fill(vendor_project, "Product.objects.filter(pk=1).update(price=333)")
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert values(vendor_project, "price") == "2; 2; 2"
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


@pytest.mark.own_order
def test_nothing_is_kept_of_the_other(vendor_project: Project) -> None:
    """Applied by migrate, so that going back is up to the migration, too."""
    make_other_price(vendor_project)
    vendor_project.manage("migrate")
    fill(vendor_project, "Product.objects.filter(pk=1).update(price=333)")
    go(vendor_project, "main")
    assert values(vendor_project, "price") == "3; 2; 2"


def test_a_table_takes_the_name_of_another(vendor_project: Project) -> None:
    make_products(vendor_project, PRODUCT + PART)
    fill(vendor_project, "Part.objects.create(name='a')")
    vendor_project.checkout("-b", "feature")
    add(vendor_project, "0004_part", OTHER_PART, SHOUTED)
    vendor_project.switch()
    assert values(vendor_project, "name", model="Part") == "A"
    go(vendor_project, "main")
    assert values(vendor_project, "name", model="Part") == "a"


def test_converted_before_its_type_changes(vendor_project: Project) -> None:
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project, PRODUCT + DECIMAL)
    fill(vendor_project, "Product.objects.update(price='1.50')")
    vendor_project.models("shop", PRODUCT + PRICE)
    add(vendor_project, "0004_times", "migrations.RunPython(times),", TIMES)
    add(
        vendor_project,
        "0005_price",
        'migrations.AlterField("product", "price", models.IntegerField()),',
    )
    vendor_project.switch()
    assert values(vendor_project, "price") == "150; 150; 150"


@pytest.mark.parametrize(
    ("old", "update", "alter", "new"),
    [
        pytest.param(
            PRODUCT,
            'name="abbr"',
            '"name", models.CharField(max_length=5)',
            "abbr None; abbr None; abbr None",
            id="shorter",
        ),
        pytest.param(
            PRODUCT,
            "size=9",
            '"size", models.IntegerField()',
            "p1 9; p2 9; p3 9",
            id="not null",
        ),
    ],
)
def test_made_to_fit_before_it_gets_narrower(
    vendor_project: Project, old: str, update: str, alter: str, new: str
) -> None:
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project, old + SIZE)
    add(vendor_project, "0004_update", "migrations.RunPython(update),", UPDATE.format(update))
    add(vendor_project, "0005_alter", f'migrations.AlterField("product", {alter}),')
    assert vendor_project.manage("migrations_switch", "--no-input").stderr == ""
    assert values(vendor_project, "name", "size") == new


@pytest.mark.parametrize(
    ("main", "drops", "feature", "rows"),
    [
        pytest.param(PRODUCT, OTHER, WIDE, "name='x' * 70", id="table"),
        pytest.param(
            PRODUCT, OTHER, PRODUCT.replace("50", "50, null=True"), "name=None", id="null"
        ),
        pytest.param(
            PRODUCT + NOTE.format(50),
            PRODUCT,
            PRODUCT + NOTE.format(80),
            "note='x' * 70",
            id="column",
        ),
    ],
)
def test_what_is_wider_comes_when_there_is_room(
    vendor_project: Project, main: str, drops: str, feature: str, rows: str
) -> None:
    """Straight from a branch that drops it to one where it holds more."""
    make_products(vendor_project, main)
    make_branch(vendor_project, "drops", drops, "main")
    make(vendor_project, "feature", feature, f"Product.objects.update({rows})")
    before = dump(vendor_project)
    assert go(vendor_project, "drops").stderr == ""
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_renamed_on_a_branch_where_another_drops_its_table(vendor_project: Project) -> None:
    make_products(vendor_project, PRODUCT + PART + SIZE)
    make_branch(vendor_project, "drops", PRODUCT + SIZE, "main")
    vendor_project.checkout("-b", "feature", "main")
    vendor_project.models("shop", PRODUCT + PART.replace("name =", "title =") + SIZE)
    add(vendor_project, "0004_title", 'migrations.RenameField("part", "name", "title"),')
    vendor_project.switch()
    fill(vendor_project, "Part.objects.create(title='t')")
    before = dump(vendor_project)
    go(vendor_project, "drops")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


def test_amended_and_too_short_now(vendor_project: Project) -> None:
    """A cast would cut it."""
    make_products(vendor_project)
    make(
        vendor_project,
        "feature",
        PRODUCT + NOTE.format(80),
        "Product.objects.update(note='x' * 70)",
    )
    go(vendor_project, "main")
    vendor_project.checkout("feature")
    vendor_project.models("shop", PRODUCT + NOTE.format(50))
    vendor_project.remove("shop/migrations/0003_feature.py")
    vendor_project.manage("makemigrations", "shop", "--name=feature")
    vendor_project.git("add", "--all")
    vendor_project.git("commit", "--quiet", "--amend", "--message=feature")
    vendor_project.switch()
    if "sqlite" in vendor_project.databases["default"]["ENGINE"]:  # which heeds no length
        assert values(vendor_project, "note") == "; ".join(["x" * 70] * 3)
    else:
        assert values(vendor_project, "note") == "none; none; none"
        assert kept(vendor_project) == {"shop_product.note 3"}


def test_no_value_where_django_gives_one(vendor_project: Project) -> None:
    make_products(vendor_project)
    make(vendor_project, "feature", PRODUCT + DATED, "Product.objects.update(made=None)")
    before = dump(vendor_project)
    go(vendor_project, "main")
    go(vendor_project, "feature")
    assert dump(vendor_project) == before


FILLS = """
class Fill(migrations.operations.base.Operation):
    def state_forwards(self, app_label, state):
        pass

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        to_state.apps.get_model("shop", "Product").objects.update(size=9)
        to_state.apps.get_model("shop", "Part").objects.create(name="made")

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        pass
"""


def test_emptied_where_an_operation_of_ones_own_fills(vendor_project: Project) -> None:
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + SIZE + PART)
    add(vendor_project, "0004_fill", "Fill(),", FILLS)
    vendor_project.switch()
    fill(vendor_project, "Product.objects.update(size=None); Part.objects.all().delete()")
    before = dump(vendor_project)
    go(vendor_project, "main")
    go(vendor_project, "feature")
    assert dump(vendor_project) == before


SQL_SIZE = """
migrations.RunSQL(
    "ALTER TABLE shop_product ADD COLUMN size integer NULL",
    "ALTER TABLE shop_product DROP COLUMN size",
    state_operations=[migrations.AddField("product", "size", models.IntegerField(null=True))],
),
"""


def test_made_by_sql_and_by_an_operation_on_another_branch(vendor_project: Project) -> None:
    make_products(vendor_project)
    vendor_project.checkout("-b", "sql")
    vendor_project.models("shop", PRODUCT + SIZE)
    add(vendor_project, "0003_sql", SQL_SIZE)
    vendor_project.switch()
    fill(vendor_project, "Product.objects.update(size=1)")
    go(vendor_project, "main")
    make_branch(vendor_project, "feature", PRODUCT + SIZE, "main")
    vendor_project.manage("migrate")
    fill(vendor_project, "Product.objects.update(size=2)")
    for branch in ("main", "sql", "feature", "sql"):
        go(vendor_project, branch)
    assert values(vendor_project, "size") == "1; 1; 1"
    go(vendor_project, "feature")
    assert values(vendor_project, "size") == "2; 2; 2"


GOODS = "\n    class Meta:\n        db_table = 'goods'\n"


@pytest.mark.parametrize("renamed", ["table", "column"])
def test_what_is_wider_where_another_branch_renames_it(
    vendor_project: Project, renamed: str
) -> None:
    """It is followed where the way back ends first, as there is a note to bring then."""
    make_products(vendor_project, PRODUCT + NOTE.format(9))
    make(vendor_project, "feature", WIDE + NOTE.format(9), "Product.objects.update(name='x' * 70)")
    vendor_project.checkout("-b", "other", "main")
    if renamed == "table":
        vendor_project.models("shop", PRODUCT + GOODS)
        add(vendor_project, "0004_goods", 'migrations.AlterModelTable("product", "goods"),')
    else:
        vendor_project.models("shop", PRODUCT.replace("name =", "title ="))
        add(vendor_project, "0004_title", 'migrations.RenameField("product", "name", "title"),')
    add(vendor_project, "0005_note", 'migrations.RemoveField("product", "note"),')
    vendor_project.checkout("feature")
    before = dump(vendor_project)
    go(vendor_project, "other")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    go(vendor_project, "other")
    field = "name" if renamed == "table" else "title"
    fill(vendor_project, f"Product.objects.filter(pk=1).update({field}='edited')")
    go(vendor_project, "feature")
    assert values(vendor_project, "name") == f"edited; {'x' * 70}; {'x' * 70}"
    assert not kept(vendor_project)


def test_narrower_on_both_branches_in_ways_of_their_own(vendor_project: Project) -> None:
    make_products(
        vendor_project, PRODUCT + "    note = models.CharField(max_length=40, null=True)\n"
    )
    short = PRODUCT + "    note = models.CharField(max_length=20, null=True)\n"
    make_branch(vendor_project, "full", PRODUCT + NOTE.format(40), "main")
    make_branch(vendor_project, "short", short, "main")
    vendor_project.manage("migrate")
    vendor_project.manage("migrations_snapshot")
    fill(vendor_project, "Product.objects.filter(pk=1).update(note='mine')")
    before = dump(vendor_project)
    go(vendor_project, "full")
    assert values(vendor_project, "note") == "mine; none; none"
    assert go(vendor_project, "short").stderr == ""
    assert dump(vendor_project) == before


def test_renumbered_since(project: Project) -> None:
    """What was dropped by unapplying a migration is its own, whatever it is called now."""
    make_other_price(project)
    project.switch()
    fill(project, "Product.objects.filter(pk=1).update(price=333)")
    before = dump(project)
    go(project, "main")
    project.checkout("feature")
    project.git("mv", "shop/migrations/0004_cents.py", "shop/migrations/0004_in_cents.py")
    project.commit("Renumbered")
    project.switch()
    assert dump(project) == before


@pytest.mark.own_order
def test_what_was_replaced_does_not_come_back_forth(project: Project) -> None:
    make_other_price(project)
    project.switch()
    project.manage("migrate", "shop", "0003")
    fill(project, "Product.objects.update(price=5)")
    project.switch()
    assert values(project, "price") == "500; 500; 500"


NEED = """
def need(apps, schema_editor):
    apps.get_model("shop", "Part").objects.get(name="a")
"""


def test_rows_that_a_migration_needs_wait_for_no_new_column(project: Project) -> None:
    make_products(project, PRODUCT + PART)
    fill(project, "Part.objects.create(name='a')")
    make_branch(project, "drops", PRODUCT, "main")
    make_branch(project, "feature", PRODUCT + PART + SIZE, "main")
    add(project, "0005_need", "migrations.RunPython(need, migrations.RunPython.noop),", NEED)
    project.switch()
    before = dump(project)
    go(project, "drops")
    go(project, "feature")
    assert dump(project) == before


FAIL = """
from pathlib import Path

def fail(apps, schema_editor):
    assert not Path("broken").exists()
"""


def test_what_waits_is_not_forgotten_when_it_fails(vendor_project: Project) -> None:
    """Between the way back and the way forth, there is nothing yet in the tables that wait."""
    make_products(vendor_project, PRODUCT + PART)
    make_branch(vendor_project, "drops", PRODUCT, "main")
    vendor_project.checkout("-b", "feature", "main")
    add(vendor_project, "0004_fail", "migrations.RunPython(fail, fail),", FAIL)
    vendor_project.models("shop", PRODUCT + PART.replace("=9", "=90"))
    alter = 'migrations.AlterField("part", "name", models.CharField(max_length=90)),'
    add(vendor_project, "0005_wide", alter)
    vendor_project.switch()
    fill(vendor_project, "Part.objects.create(name='x' * 80)")
    before = dump(vendor_project)
    go(vendor_project, "drops")
    vendor_project.checkout("feature")
    vendor_project.write("broken", "")
    assert vendor_project.manage("migrations_switch", "--no-input", status=None).status
    vendor_project.remove("broken")
    vendor_project.switch()
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_sql_that_builds_a_table_anew_renames_none(project: Project) -> None:
    make_products(project)
    make_branch(project, "feature", PRODUCT + PART)
    statements = [
        "CREATE TABLE scratch (id integer PRIMARY KEY AUTOINCREMENT, name varchar(9) NOT NULL)",
        "INSERT INTO scratch SELECT id, name FROM shop_part",
        "DROP TABLE shop_part",
        "ALTER TABLE scratch RENAME TO shop_part",
    ]
    add(project, "0004_anew", f"migrations.RunSQL({statements}, migrations.RunSQL.noop),")
    project.switch()
    fill(project, "Part.objects.create(name='a')")
    go(project, "main")
    assert kept(project) == {"shop_part.* 1"}
    go(project, "feature")
    assert values(project, "name", model="Part") == "a"


FIXED = """
class Fixed(models.CharField):
    def db_type(self, connection):
        return f"char({{self.max_length}})"

class Product(models.Model):
    name = models.CharField(max_length=50)
    code = Fixed(max_length={}, default="")
"""


def test_amended_text_of_a_fixed_length(vendor_project: Project) -> None:
    make_products(vendor_project)
    make(vendor_project, "feature", FIXED.format(2), "Product.objects.update(code='ab')")
    go(vendor_project, "main")
    vendor_project.checkout("feature")
    vendor_project.models("shop", FIXED.format(3))
    migration = vendor_project.path / "shop/migrations/0003_feature.py"
    migration.write_text(migration.read_text().replace("max_length=2", "max_length=3"))
    vendor_project.commit("Amended")
    vendor_project.switch()
    assert values(vendor_project, "code").replace(" ", "") == "ab;ab;ab"
