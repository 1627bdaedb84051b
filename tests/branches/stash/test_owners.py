"""Where several branches have to do with one table or column, each has its own rows back."""

from collections.abc import Callable

import pytest

from tests.branches.shop import PRODUCT
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_stash import WEIGHT, make_products
from tests.databases import Configuration
from tests.project import Project

pytestmark = pytest.mark.once

SIZE = "    size = models.IntegerField(default=1)\n"
NOTE = "    note = models.CharField(max_length={}, default='none')\n"
PART = "\nclass Part(models.Model):\n    name = models.CharField(max_length=9)\n"
OTHER = "\nclass Other(models.Model):\n    pass\n"


def make(project: Project, branch: str, models: str, rows: str = "", start: str = "main") -> None:
    """Make a branch, take the database there, and give it rows."""
    make_branch(project, branch, models, start)
    project.switch()
    fill(project, rows)


def fill(project: Project, rows: str) -> None:
    project.python(f"from shop.models import *; {rows}")


def make_another(project: Project, models: str, by: str) -> None:
    """Make one more migration of the branch, and apply it by a command."""
    project.models("shop", models)
    project.manage("makemigrations", "shop", "--name=another")
    project.commit("Another")
    project.manage(by)


@pytest.fixture
def automatic(project: Project) -> Project:
    """A project with products, where plain ``migrate`` keeps and brings back."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project)
    return project


@pytest.mark.no_cover
@pytest.mark.parametrize("by", ["migrate", "migrations_switch"])
def test_a_column_beside_one_of_its_own(automatic: Project, by: str) -> None:
    """Of what another branch left, nothing comes: it is not merged."""
    project = automatic
    make(project, "one", PRODUCT + WEIGHT + SIZE, "Product.objects.update(weight=1, size=11)")
    go(project, "main")
    make_branch(project, "two", PRODUCT + WEIGHT, "main")
    project.remove("shop/migrations/0003_two.py")
    make_another(project, PRODUCT + WEIGHT, by)
    fill(project, "Product.objects.update(weight=2)")
    make_another(project, PRODUCT + WEIGHT + SIZE, by)
    assert values(project, "weight", "size") == "2 1; 2 1; 2 1"
    assert kept(project) == {"shop_product.size,weight 3"}


@pytest.mark.no_cover
@pytest.mark.parametrize("by", ["migrate", "migrations_switch"])
def test_a_column_for_a_table_of_its_own(automatic: Project, by: str) -> None:
    """That makes it no table of another branch."""
    project = automatic
    make(project, "one", PRODUCT + PART + SIZE, "Part.objects.create(name='one', size=3)")
    go(project, "main")
    make_branch(project, "two", PRODUCT + PART, "main")
    project.manage("migrate")
    fill(project, "[Part.objects.create(name='two') for _ in 'ab']")
    make_another(project, PRODUCT + PART + SIZE, by)
    assert values(project, "name", "size", model="Part") == "two 1; two 1"
    assert kept(project) == {"shop_part.* 1"}


@pytest.mark.parametrize("beside", ["", SIZE])
def test_made_by_another_branch_too(project: Project, beside: str) -> None:
    """Whether that has merged it, as one migration with more in it, can't be told: it is said."""
    make_products(project)
    make(project, "one", PRODUCT + PART, "Part.objects.create(name='one')")
    project.checkout("main")
    make_branch(project, "two", PRODUCT + beside + PART, "main")
    said = go(project, "two").stderr
    assert said.count("\n") == bool(beside)
    assert (
        "table shop_part: still in the stash, because it belongs to shop.0003_one of one. "
        "To restore it: manage.py migrations_stash restore 1" in said
    ) is bool(beside)
    assert values(project, "name", model="Part") == ("" if beside else "one")
    fill(project, "Part.objects.update_or_create(defaults={'name': 'two'})")
    go(project, "one")
    assert values(project, "name", model="Part") == ("one" if beside else "two")
    # What it brings back of its own is there now.
    assert "still in the stash" not in go(project, "two").stderr
    assert values(project, "name", model="Part") == "two"


@pytest.mark.no_cover
@pytest.mark.parametrize("first", ["one", "two"])
def test_entries_that_overlap(project: Project, first: str) -> None:
    make_products(project)
    models = {"one": PRODUCT + WEIGHT + SIZE, "two": PRODUCT + WEIGHT}
    rows = {"one": "weight=1, size=11", "two": "weight=2"}
    second = "two" if first == "one" else "one"
    for branch in (first, second):
        make_branch(project, branch, models[branch], "main")
        project.manage("migrate")  # without what the other one left
        fill(project, f"Product.objects.update({rows[branch]})")
        go(project, "main")
    came_from = "main"
    for branch in ("one", "two", "one", "main", "two", "one"):
        said = go(project, branch).stderr
        is_made_beside = came_from == "main" and branch != "main"
        assert ("still in the stash, because it belongs to" in said) is is_made_beside
        came_from = branch
        if branch == "one":
            assert values(project, "weight", "size") == "1 11; 1 11; 1 11"
        elif branch == "two":
            assert values(project, "weight") == "2; 2; 2"
    assert kept(project) == {"shop_product.weight 3"}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("drops", "alters"),
    [
        pytest.param(PRODUCT, PRODUCT + NOTE.format(80), id="column, widened"),
        pytest.param(PRODUCT, PRODUCT + NOTE.format(20), id="column, narrowed"),
        pytest.param(OTHER, PRODUCT + NOTE.format(80), id="table, widened"),
    ],
)
def test_dropped_by_one_and_altered_by_another(
    vendor_project: Project, drops: str, alters: str
) -> None:
    """From one to the other the rows of main are on the way, and there in the end."""
    drop_and_alter(vendor_project, drops, alters)


@pytest.mark.no_cover
@pytest.mark.parametrize("alters", [PRODUCT + NOTE.format(50) + SIZE, PRODUCT])
def test_a_table_is_dropped_by_one_and_has_other_columns_on_another(
    project: Project, alters: str
) -> None:
    drop_and_alter(project, OTHER, alters)


def drop_and_alter(project: Project, drops: str, alters: str) -> None:
    make_products(project, PRODUCT + NOTE.format(50))
    fill(project, "Product.objects.update(note='m' * 15)")
    before = dump(project)
    make_branch(project, "drops", drops, "main")
    make_branch(project, "alters", alters, "main")
    go(project, "drops")

    assert go(project, "alters").stderr == ""
    assert values(project, "name") == "p1; p2; p3"
    project.assert_in_step()
    assert go(project, "main").stderr == ""
    assert dump(project) == before


@pytest.mark.parametrize(
    ("drops", "adds"),
    [
        pytest.param(PRODUCT, PRODUCT + NOTE.format(50) + SIZE, id="column"),
        pytest.param(PRODUCT, PRODUCT + NOTE.format(80) + SIZE, id="column, altered"),
        pytest.param(OTHER, PRODUCT + NOTE.format(50) + SIZE, id="table"),
    ],
)
def test_dropped_by_one_and_added_to_by_another(project: Project, drops: str, adds: str) -> None:
    """Straight from one to the other, with rows of each: what is not there yet, comes later."""
    make_products(project, PRODUCT + NOTE.format(50))
    make_branch(project, "drops", drops, "main")
    make(project, "adds", adds, "Product.objects.update(note='mine', size=100)")
    before = dump(project)
    for _ in range(2):
        assert go(project, "drops").stderr == ""
        assert go(project, "adds").stderr == ""
        assert dump(project) == before
        assert not kept(project)


FILL_WEIGHT = """
def fill_weight(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update(weight=7)
"""


def test_dropped_by_one_and_renamed_by_another(project: Project) -> None:
    """The other has its rows under the name that it gave them."""
    make_products(project, PRODUCT + PART)
    make_branch(project, "drops", OTHER, "main")
    project.checkout("-b", "renames", "main")
    project.models("shop", PRODUCT + "    class Meta:\n        db_table = 'goods'\n" + PART)
    project.manage("makemigrations", "shop", "--name=goods")
    project.commit("Goods")
    project.switch()
    fill(project, "Product.objects.create(name='new'); Part.objects.create(name='part')")
    before = dump(project)
    go(project, "drops")
    assert go(project, "renames").stderr == ""
    assert dump(project) == before
    assert not kept(project)


@pytest.mark.no_cover
def test_dropped_by_one_and_renamed_beside_a_column_that_waits(vendor_project: Project) -> None:
    """What comes back only at the end, as it does not fit before, keeps nothing else waiting."""
    size = "    size = models.{}\n"
    make_products(vendor_project, PRODUCT + NOTE.format(50) + size.format("FloatField(null=True)"))
    make_branch(vendor_project, "drops", PRODUCT + size.format("FloatField(default=7)"), "main")
    vendor_project.checkout("-b", "renames", "main")
    renamed = PRODUCT + NOTE.format(50).replace("note", "remark")
    vendor_project.models("shop", renamed + size.format("IntegerField(null=True)"))
    rename = 'migrations.RenameField("product", "note", "remark"),'
    vendor_project.migration("shop", "0004_remark", rename, [("shop", "0003_more")])
    vendor_project.manage("makemigrations", "shop", "--name=size")
    vendor_project.commit("Remark")
    for branch in ("drops", "renames"):
        go(vendor_project, branch)
        fill(vendor_project, "Product.objects.update(size=5)")
    fill(vendor_project, "Product.objects.update(remark='mine')")
    before = dump(vendor_project)
    go(vendor_project, "drops")
    assert go(vendor_project, "renames").stderr == ""
    assert dump(vendor_project) == before


SQL_SIZE = """
migrations.RunSQL(
    "ALTER TABLE shop_product ADD COLUMN size integer NULL",
    "ALTER TABLE shop_product DROP COLUMN size",
    state_operations=[migrations.AddField("product", "size", models.IntegerField(null=True))],
),
"""


@pytest.mark.no_cover
def test_dropped_by_one_and_added_to_by_sql_of_another(vendor_project: Project) -> None:
    make_products(vendor_project)
    make_branch(vendor_project, "drops", OTHER, "main")
    vendor_project.checkout("-b", "adds", "main")
    vendor_project.models("shop", PRODUCT + SIZE.replace("default=1", "null=True") + WEIGHT)
    vendor_project.migration("shop", "0003_size", SQL_SIZE, [("shop", "0002_longer_name")])
    vendor_project.manage("makemigrations", "shop", "--name=weight")
    # What the stash has goes before this; but for a column that only SQL makes.
    fills = "migrations.RunPython(fill_weight, migrations.RunPython.noop),"
    vendor_project.migration(
        "shop", "0005_fill", fills, [("shop", "0004_weight")], before=FILL_WEIGHT
    )
    vendor_project.commit("Size")
    vendor_project.switch()
    fill(vendor_project, "Product.objects.update(size=100, weight=3)")
    before = dump(vendor_project)
    for _ in range(2):
        assert go(vendor_project, "drops").stderr == ""
        assert go(vendor_project, "adds").stderr == ""
        assert dump(vendor_project) == before
        assert not kept(vendor_project)


NUMBER = "    name = models.IntegerField(null=True)\n"
REUSED = """
migrations.RenameField("product", "name", "title"),
migrations.RunSQL(
    "ALTER TABLE shop_product ADD COLUMN name integer NULL",
    "ALTER TABLE shop_product DROP COLUMN name",
    state_operations=[migrations.AddField("product", "name", models.IntegerField(null=True))],
),
"""


def test_a_name_that_was_free_again(vendor_project: Project) -> None:
    """What SQL made and dropped is gone, though there is a column of its name."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", PRODUCT.replace("name", "title") + NUMBER)
    vendor_project.migration("shop", "0003_reused", REUSED, [("shop", "0002_longer_name")])
    vendor_project.commit("Reused")
    vendor_project.switch()
    fill(vendor_project, "Product.objects.update(name=5)")
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before


RENAMED = 'migrations.RenameField("product", "name", "title"),'


@pytest.mark.no_cover
def test_edited_and_then_renamed_on_another_branch(vendor_project: Project) -> None:
    """What was changed in a narrowed column is seen where it has its own name."""
    make_products(vendor_project)
    wide = PRODUCT.replace("50", "80")
    make(vendor_project, "feature", wide, "Product.objects.update(name='x' * 70)")
    go(vendor_project, "main")
    fill(vendor_project, "Product.objects.filter(pk=2).update(name='edited')")
    vendor_project.checkout("-b", "other")
    vendor_project.models("shop", PRODUCT.replace("name", "title"))
    vendor_project.migration("shop", "0003_title", RENAMED, [("shop", "0002_longer_name")])
    vendor_project.commit("Title")
    vendor_project.switch()

    go(vendor_project, "feature")

    assert values(vendor_project, "name") == f"{'x' * 70}; edited; {'x' * 70}"
    vendor_project.assert_in_step()


@pytest.mark.no_cover
def test_narrowed_twice(vendor_project: Project) -> None:
    make_products(vendor_project, PRODUCT.replace("50", "30"))
    make_branch(vendor_project, "middle", PRODUCT, "main")
    long = "Product.objects.update(name='x' * 70)"
    make(vendor_project, "top", PRODUCT.replace("50", "80"), long, "middle")
    before = dump(vendor_project)
    go(vendor_project, "middle")
    go(vendor_project, "main")
    fill(vendor_project, "Product.objects.filter(pk=2).update(name='edited')")

    go(vendor_project, "top")

    assert values(vendor_project, "name") == f"{'x' * 70}; edited; {'x' * 70}"
    fill(vendor_project, "Product.objects.filter(pk=2).update(name='x' * 70)")
    assert dump(vendor_project) == before


THING = """\
class Thing(models.Model):
    text = models.CharField(max_length={})
    number = models.IntegerField({})
"""


def test_two_narrowed_columns_and_one_is_edited(vendor_project: Project) -> None:
    vendor_project.app("shop", THING.format(5, ""))
    vendor_project.manage("makemigrations", "shop")
    vendor_project.commit("Thing")
    make(
        vendor_project,
        "feature",
        THING.format(50, "null=True"),
        "Thing.objects.create(text='t' * 20)",
    )
    go(vendor_project, "main")
    fill(vendor_project, "Thing.objects.update(number=3)")

    go(vendor_project, "feature")

    assert values(vendor_project, "text", "number", model="Thing") == f"{'t' * 20} 3"


CATEGORY = """\
    category = models.ForeignKey("Category", models.CASCADE, null=True, db_constraint=False)

class Category(models.Model):
    name = models.CharField(max_length=9)
"""
# What DB_CASCADE of Django 6.1 makes.
CASCADE = """
ALTER TABLE shop_product ADD CONSTRAINT cascade FOREIGN KEY (category_id)
REFERENCES shop_category (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
"""
FILL = """
def fill(apps, schema_editor):
    category = apps.get_model("shop", "Category").objects.create(name="default")
    apps.get_model("shop", "Product").objects.update(category=category)
"""


def test_a_database_that_cascades(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """Where a row gives place to the one that was there, nothing goes along."""
    project = make_project(default=make_database("postgresql"))
    make_products(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + CATEGORY)
    project.manage("makemigrations", "shop", "--name=category")
    drop = "ALTER TABLE shop_product DROP CONSTRAINT cascade"
    sql = f"migrations.RunSQL({CASCADE!r}, {drop!r}),"
    project.migration("shop", "0004_cascade", sql, [("shop", "0003_category")])
    project.migration(
        "shop",
        "0005_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0004_cascade")],
        before=FILL,
    )
    project.commit("Category")
    project.switch()
    before = dump(project)

    go(project, "main")
    assert go(project, "feature").stderr == ""

    assert dump(project) == before
