"""What comes back where: on other branches, after merges, and when migrations were changed."""

import json
import re
from collections.abc import Callable

import pytest

from tests.branches.shop import ID, PRODUCT, columns, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_owners import fill
from tests.branches.stash.test_stash import NOTE, REVIEWS, THREE, WEIGHT, make_products
from tests.branches.test_several_databases import ROUTER
from tests.databases import Configuration
from tests.project import Project
from tests.templates import made_once

pytestmark = pytest.mark.once

PARTS = """
class Part(models.Model):
    name = models.CharField(max_length=20)
"""
FEATURE = "shop/migrations/0003_feature.py"


@pytest.fixture
def shop(project: Project) -> Project:
    """
    On main, coming from feature, which has parts and a weight; its rows are in the stash.
    """
    come_from_feature(project)
    return project


@made_once
def come_from_feature(project: Project) -> None:
    make_products(project)
    make_branch(project, "feature", PRODUCT + WEIGHT + PARTS)
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        Product.objects.filter(pk=2).update(weight=20)
        Part.objects.create(name="a")
        Part.objects.create(name="b")
        """
    )
    go(project, "main")


def assert_back(project: Project) -> None:
    assert values(project, "name", "weight") == "p1 0; p2 20; p3 0"
    assert values(project, "id", "name", model="Part") == "1 a; 2 b"
    assert not kept(project)
    project.assert_in_step()
    dump(project)


@pytest.mark.no_cover
def test_on_the_branch_that_it_was_merged_into(shop: Project) -> None:
    shop.git("merge", "--quiet", "--no-ff", "feature")
    assert shop.manage("migrations_switch", "--no-input").stderr == ""
    assert_back(shop)


def test_from_above_a_merge(shop: Project) -> None:
    """Leaving that undoes nothing, so nothing comes back before it is dropped."""
    go(shop, "feature")
    shop.migration("shop", "0004_merge", "", [("shop", "0003_feature")])
    shop.commit("Merge")
    shop.switch()
    said = go(shop, "main").stdout
    assert "Saving" in said
    assert "Restoring" not in said
    go(shop, "feature")
    assert_back(shop)


@pytest.mark.no_cover
def test_merged_and_renumbered(shop: Project) -> None:
    """On main, another migration took the number."""
    shop.migration(
        "shop",
        "0003_other",
        'migrations.AlterModelOptions("product", {"ordering": ["pk"]}),',
        [("shop", "0002_longer_name")],
    )
    shop.commit("Other")
    shop.switch()
    text = shop.git("show", f"feature:{FEATURE}").replace("0002_longer_name", "0003_other")
    shop.write("shop/migrations/0004_feature.py", text)
    ordering = "    class Meta:\n        ordering = ['pk']\n"
    shop.models("shop", PRODUCT + WEIGHT + ordering + PARTS)
    assert shop.manage("migrations_switch", "--no-input").stderr == ""
    assert_back(shop)


def test_written_in_another_style(shop: Project) -> None:
    shop.git("merge", "--quiet", "feature")
    file = shop.path / FEATURE
    file.write_text("# A remark.\n" + file.read_text().replace("'", '"').replace("(\n", "("))
    shop.commit("Style")
    assert shop.manage("migrations_switch", "--no-input").stderr == ""
    assert_back(shop)


def test_by_plain_migrate(shop: Project) -> None:
    shop.settings("DJANGO_DEVTOOLS = {}")
    shop.git("merge", "--quiet", "feature")
    assert "Restoring table shop_part... OK" in shop.manage("migrate").stdout
    assert_back(shop)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("models", "weight", "part"),
    [
        pytest.param(
            PRODUCT + WEIGHT + PARTS + "    size = models.IntegerField(default=5)\n",
            "p1 0; p2 20; p3 0",
            "1 a; 2 b",
            id="a column more",
        ),
        pytest.param(
            PRODUCT + WEIGHT + PARTS + "    size = models.IntegerField(null=True)\n",
            "p1 0; p2 20; p3 0",
            "1 a; 2 b",
            id="a nullable column more",
        ),
        pytest.param(
            PRODUCT
            + "    weight = models.CharField(max_length=9, default='')\n"
            + PARTS.replace("20", "40"),
            "p1 0; p2 20; p3 0",
            "1 a; 2 b",
            id="other types",
        ),
    ],
)
def test_amended_on_the_same_branch(shop: Project, models: str, weight: str, part: str) -> None:
    shop.checkout("feature")
    shop.remove(FEATURE)
    shop.models("shop", models)
    shop.manage("makemigrations", "shop", "--name=feature")
    shop.git("commit", "--quiet", "--all", "--amend", "--message=Amended")
    assert shop.manage("migrations_switch", "--no-input").stderr == ""
    assert values(shop, "name", "weight") == weight
    assert values(shop, "id", "name", model="Part") == part
    assert not kept(shop)
    shop.assert_in_step()


def test_amended_with_a_column_less(shop: Project) -> None:
    """What has no place stays, and what has one comes back."""
    shop.checkout("feature")
    shop.remove(FEATURE)
    shop.models("shop", PRODUCT + "\nclass Part(models.Model):\n    pass\n")
    shop.manage("makemigrations", "shop", "--name=feature")
    shop.git("commit", "--quiet", "--all", "--amend", "--message=Amended")

    result = shop.manage("migrations_switch", "--no-input")

    (number,) = re.findall(
        "^2 of 2 rows of table shop_part stay in the stash: there is no such column now: name. "
        "To look at them: manage.py migrations_stash show (.)$",
        result.stderr,
    )
    assert values(shop, "id", model="Part") == "1; 2"
    assert kept(shop) == {"shop_product.weight 3", "shop_part.* 2"}
    assert "b" in shop.manage("migrations_stash", "show", number).stdout
    shop.assert_in_step()


@pytest.mark.no_cover
def test_amended_while_it_is_applied(shop: Project) -> None:
    """The switch unapplies the old text and applies the new one: lost and made at once."""
    go(shop, "feature")
    shop.manage("migrations_snapshot")
    shop.remove(FEATURE)
    shop.models("shop", PRODUCT + WEIGHT + NOTE + PARTS)
    shop.manage("makemigrations", "shop", "--name=feature", "--verbosity=0", status=None)
    result = shop.manage("migrations_switch", "--no-input", "--roll-back-shared")
    assert result.stderr == ""
    assert columns(shop) == {"id", "name", "note", "weight"}
    assert_back(shop)


OTHER_PARTS = """
class Part(models.Model):
    code = models.CharField(max_length=20, unique=True)
    product = models.ForeignKey(Product, models.CASCADE)
"""


@pytest.mark.no_cover
def test_two_tables_of_one_name(shop: Project) -> None:
    """Each branch has its own rows, whichever way one comes."""
    make_branch(shop, "other", PRODUCT + OTHER_PARTS, "main")
    shop.switch()
    shop.python("from shop.models import *; Part.objects.create(code='x', product_id=1)")
    assert kept(shop) == {"shop_part.* 2", "shop_product.weight 3"}
    for said in ("", "table shop_part: still in the stash, because it belongs to shop.0003_other"):
        assert go(shop, "feature").stderr.startswith(said)
        assert values(shop, "id", "name", model="Part") == "1 a; 2 b"
        assert values(shop, "name", "weight") == "p1 0; p2 20; p3 0"
        assert kept(shop) == {"shop_part.* 1"}
        assert go(shop, "other").stderr == ""
        assert values(shop, "code", "product", model="Part") == "x 1"
        assert kept(shop) == {"shop_part.* 2", "shop_product.weight 3"}
        shop.assert_in_step()
        assert go(shop, "main").stderr == ""
        assert kept(shop) == {"shop_part.* 1", "shop_part.* 2", "shop_product.weight 3"}


@pytest.mark.no_cover
def test_two_tables_of_one_name_and_columns(shop: Project) -> None:
    """The same table, made by another branch: its own rows, and none of the first one's."""
    make_branch(shop, "other", PRODUCT + WEIGHT + PARTS, "main")
    shop.git("mv", "shop/migrations/0003_other.py", "shop/migrations/0003_twin.py")
    shop.commit("Twin")
    shop.switch()
    first = values(shop, "name", model="Part")
    shop.python("from shop.models import *; Part.objects.create(name='mine')")
    other = values(shop, "name", model="Part")
    go(shop, "feature")
    feature = values(shop, "name", model="Part")
    go(shop, "other")
    assert values(shop, "name", model="Part") == other
    # Nobody can say whose they are: they come where they fit first, and are never twice.
    assert (first, other, feature) == ("a; b", "a; b; mine", "a; b; mine")


@pytest.mark.no_cover
def test_several_in_a_row(shop: Project) -> None:
    make_branch(shop, "two", PRODUCT + NOTE, "main")
    shop.switch()
    shop.python("from shop.models import *; Product.objects.filter(pk=1).update(note='n')")
    make_branch(shop, "three", PRODUCT + REVIEWS, "main")
    shop.switch()
    shop.python(
        "from shop.models import *; Review.objects.create(product_id=3).tags.create(name='t')"
    )
    held = {"shop_part.* 2", "shop_product.weight 3", "shop_product.note 1"}
    assert kept(shop) == held
    for branch in ("two", "feature", "three", "feature", "two", "three", "main"):
        assert go(shop, branch).stderr == ""
        shop.assert_in_step()
    reviews = {"shop_review.* 1", "shop_review_tags.* 1", "shop_tag.* 1"}
    assert kept(shop) == held | reviews
    go(shop, "two")
    assert values(shop, "name", "note") == "p1 n; p2 None; p3 None"
    go(shop, "three")
    assert values(shop, "product", "tags__name", model="Review") == "3 t"
    assert kept(shop) == held
    go(shop, "feature")
    assert values(shop, "id", "name", model="Part") == "1 a; 2 b"
    assert values(shop, "name", "weight") == "p1 0; p2 20; p3 0"


@pytest.mark.no_cover
def test_branches_on_top_of_each_other(shop: Project) -> None:
    """The second adds to what the first made: one table in the stash, with all columns."""
    more = PRODUCT + WEIGHT + PARTS + "    size = models.IntegerField(default=1)\n"
    make_branch(shop, "second", more, "feature")
    shop.switch()
    shop.python("from shop.models import *; Part.objects.filter(pk=1).update(size=10)")
    go(shop, "main")
    assert go(shop, "feature").stderr == ""
    assert values(shop, "id", "name", model="Part") == "1 a; 2 b"
    assert kept(shop) == {"shop_part.size 2"}
    number = shop.manage("migrations_stash", "list").stdout.splitlines()[1].split()[0]
    assert "id  size\n1   10\n" in shop.manage("migrations_stash", "show", number).stdout
    shop.python("from shop.models import *; Part.objects.filter(pk=2).update(name='edited')")
    assert go(shop, "second").stderr == ""
    assert values(shop, "name", "size", model="Part") == "a 10; edited 1"
    shop.assert_in_step()


BOX = """
class Box(models.Model):
    x = models.IntegerField()
"""
PRODUCT_WITH_X = PRODUCT + "    x = models.IntegerField(default=0)\n"
UNIQUE = "models.UniqueConstraint(fields=['x', 'y'], name='both')"
CHECK = "models.CheckConstraint(condition=models.Q(x=models.F('y')), name='both')"
NUMBER = "models.IntegerField(default=0)"
BOXES = "[Box.objects.create(x=1, y=y) for y in (1, 2, 3)]"


@made_once
def make_stack(
    project: Project, models: str, constraint: str, field: str = NUMBER, options: str = ""
) -> None:
    """Branch two on top of one: with a column more, and a constraint over both."""
    make_products(project)
    make_branch(project, "one", models)
    meta = f"    class Meta:\n        constraints = [{constraint}]\n"
    name = models.rpartition("class ")[2].split("(")[0].lower()
    project.checkout("-b", "two")
    project.models("shop", f"{models}    y = {field}\n{meta}")
    project.migration(
        "shop",
        "0004_two",
        f"""
        migrations.AddField("{name}", "y", {field}{options}),
        migrations.AddConstraint("{name}", {constraint}),
        """,
        [("shop", "0003_one")],
    )
    project.commit("two")
    project.switch()


@pytest.mark.no_cover
@pytest.mark.parametrize("default", ["default=0", "db_default=0", "null=True"])
def test_a_constraint_over_a_table_and_a_column_of_two(
    vendor_project: Project, default: str
) -> None:
    """The rows come with the column, where it would refuse them without."""
    make_stack(vendor_project, PRODUCT + BOX, UNIQUE, f"models.IntegerField({default})")
    fill(vendor_project, BOXES)
    go(vendor_project, "one")
    fill(vendor_project, "Box.objects.create(x=1)")
    go(vendor_project, "main")
    assert go(vendor_project, "two").stderr == ""
    new = "None" if default == "null=True" else "0"
    assert values(vendor_project, "x", "y", model="Box") == f"1 1; 1 2; 1 3; 1 {new}"
    assert not kept(vendor_project)


@pytest.mark.no_cover
def test_one_of_such_rows_is_refused(vendor_project: Project) -> None:
    """As it would be on the straight way from one to two."""
    make_stack(vendor_project, PRODUCT + BOX, UNIQUE)
    fill(vendor_project, BOXES)
    go(vendor_project, "one")
    fill(vendor_project, "[Box.objects.create(x=1) for _ in 'ab']")
    go(vendor_project, "main")
    vendor_project.checkout("two")
    refused = vendor_project.manage("migrations_switch", "--no-input", status=1).stderr
    assert "shop.0004_two can't be applied because some rows don't fit" in refused
    vendor_project.python(
        """
        from django.db import connection
        connection.cursor().execute("DELETE FROM shop_box WHERE id = 5")
        """
    )
    assert vendor_project.manage("migrations_switch", "--no-input").stderr == ""
    assert values(vendor_project, "x", "y", model="Box") == "1 1; 1 2; 1 3; 1 0"
    assert not kept(vendor_project)


def test_such_a_column_is_of_another_type_by_now(vendor_project: Project) -> None:
    make_stack(vendor_project, PRODUCT + BOX, CHECK)
    fill(vendor_project, "[Box.objects.create(x=x, y=x) for x in (1, 2, 3)]")
    go(vendor_project, "one")
    go(vendor_project, "main")
    vendor_project.checkout("two")
    for name in ("models.py", "migrations/0004_two.py"):
        file = vendor_project.path / "shop" / name
        file.write_text(file.read_text().replace(NUMBER, "models.BigIntegerField(default=0)"))
    vendor_project.commit("Larger")
    assert vendor_project.manage("migrations_switch").stderr == ""
    assert values(vendor_project, "x", "y", model="Box") == "1 1; 2 2; 3 3"
    assert not kept(vendor_project)


@pytest.mark.parametrize("is_null", [True, False])
def test_such_a_column_refers_to_what_is_gone(vendor_project: Project, is_null: bool) -> None:
    """The row comes where it can be without; else the switch stops, and names the migration."""
    default = "null=True" if is_null else "default=1"
    options = "" if is_null else ", preserve_default=False"
    field = f"models.ForeignKey('shop.Product', models.CASCADE, {default})"
    make_stack(vendor_project, PRODUCT + BOX, UNIQUE, field, options)
    fill(vendor_project, "[Box.objects.create(x=1, y_id=y) for y in (1, 2, 3)]")
    go(vendor_project, "one")
    go(vendor_project, "main")
    fill(vendor_project, "Product.objects.get(pk=2).delete()")
    vendor_project.checkout("two")
    if not is_null:
        refused = vendor_project.manage("migrations_switch", "--no-input", status=1)
        assert "shop.0004_two can't be applied because some rows don't fit" in refused.stderr
        return
    said = vendor_project.manage("migrations_switch", "--no-input").stderr
    assert "what they refer to in shop_product is gone" in said
    assert values(vendor_project, "x", "y", model="Box") == "1 1; 1 None; 1 3"


def test_a_constraint_over_columns_of_two(vendor_project: Project) -> None:
    """Plain migrate brings nothing back before the constraint is there: then both at once."""
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_stack(vendor_project, PRODUCT_WITH_X, CHECK, "models.IntegerField(null=True)")
    fill(vendor_project, "[Product.objects.filter(pk=pk).update(x=pk, y=pk) for pk in (1, 2)]")
    before = dump(vendor_project)
    go(vendor_project, "one")
    go(vendor_project, "main")
    vendor_project.checkout("two")
    assert vendor_project.manage("migrate").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


@pytest.mark.no_cover
def test_a_database_each(
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    database: Configuration,
) -> None:
    project = make_project(default=database, logs=make_database("sqlite"))
    project.write("config/router.py", ROUTER)
    project.settings('DATABASE_ROUTERS = ["config.router.Router"]')
    project.app("logs", "class Entry(models.Model):\n    pass\n")
    project.migration("logs", "0001_initial", f'migrations.CreateModel("Entry", [{ID}]),')
    make_shop(project)
    project.manage("migrate")
    project.manage("migrate", "--database=logs")
    project.python(THREE)
    project.checkout("-b", "feature")
    project.models("logs", "class Entry(models.Model):\n    text = models.TextField(default='')\n")
    project.models("shop", PRODUCT + WEIGHT)
    project.manage("makemigrations")
    project.commit("Feature")
    project.switch()
    project.python(
        """
        from shop.models import *
        from logs.models import *
        Product.objects.update(weight=5)
        Entry.objects.using("logs").create(text="e")
        """
    )

    go(project, "main")

    found = json.loads(project.manage("migrations_stash", "list", "--json").stdout)
    assert {(one["database"], one["table"], one["rows"]) for one in found} == {
        ("default", "shop_product", 3),
        ("logs", "logs_entry", 1),
    }
    lines = project.manage("migrations_stash", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["database", "default", "logs"]
    lines = project.manage("migrations_stash", "list", "--database=logs").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["id", "what"], ["1", "column"]]
    # The two have the same number: --database says which one.
    project.manage("migrations_stash", "drop", "1", "--database=logs", "--no-input")
    go(project, "feature")
    assert values(project, "weight") == "5; 5; 5"
    assert project.python(
        "from logs.models import *; print(repr(Entry.objects.using('logs').get().text))"
    ) == repr("")
    project.assert_in_step()
