"""What a switch drops comes back with the next one."""

import pytest

from tests.branches.shop import PRODUCT, columns, make_shop
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.project import Project
from tests.templates import made_once

REVIEWS = """
class Tag(models.Model):
    name = models.CharField(max_length=20, unique=True)

class Review(models.Model):
    product = models.ForeignKey(Product, models.CASCADE)
    text = models.TextField()
    answer_to = models.ForeignKey("self", models.CASCADE, null=True)
    tags = models.ManyToManyField(Tag)
"""
WEIGHT = "    weight = models.IntegerField(default=0)\n"
NOTE = "    note = models.TextField(null=True)\n"
THREE = """
from shop.models import *
for number in (1, 2, 3):
    Product.objects.create(name=f"p{number}")
"""


@made_once
def make_shop_with_reviews(project: Project) -> None:
    """Applied on branch feature, which is checked out, and with rows: reviews, and a weight."""
    make_shop(project)
    make_branch(project, "feature", PRODUCT + WEIGHT + REVIEWS)
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        for number in range(1, 4):
            product = Product.objects.create(name=f"p{number}", weight=number * 10)
            review = Review.objects.create(product=product, text=f"é {number}")
            Review.objects.create(product=product, text="no", answer_to=review)
            review.tags.add(Tag.objects.create(name=f"t{number}"))
        """
    )


@made_once
def make_products(project: Project, models: str = PRODUCT) -> None:
    """Applied on main: the shop with three products."""
    make_shop(project)
    if models != PRODUCT:
        project.models("shop", models)
        project.manage("makemigrations", "shop", "--name=more")
        project.commit("More")
    project.manage("migrate")
    project.python(THREE)


@made_once
def make_shop_of(project: Project, models: str) -> None:
    """Applied on main: an app with just these models."""
    project.app("shop", models)
    project.manage("makemigrations", "shop")
    project.commit("Shop")
    project.manage("migrate")


@pytest.mark.no_cover
def test_there_and_back(vendor_project: Project) -> None:
    make_shop_with_reviews(vendor_project)
    before = dump(vendor_project)

    output = go(vendor_project, "main").stdout
    assert "  Saving table shop_review... OK\n" in output
    vendor_project.assert_in_step()
    assert values(vendor_project, "id", "name") == "1 p1; 2 p2; 3 p3"
    assert kept(vendor_project) == {
        "shop_product.weight 3",
        "shop_review.* 6",
        "shop_review_tags.* 3",
        "shop_tag.* 3",
    }

    output = go(vendor_project, "feature").stdout
    assert "  Restoring table shop_review... OK\n" in output
    assert dump(vendor_project) == before
    vendor_project.assert_in_step()
    assert not kept(vendor_project)
    assert (
        vendor_project.python(
            """
            from shop.models import *
            review = Review.objects.create(product_id=1)
            tag = Tag.objects.create(name='new')
            review.tags.add(tag)
            print(review.pk, tag.pk)
            """
        )
        == "7 4"
    )


@pytest.mark.no_cover
def test_rows_that_can_not_come_back(vendor_project: Project) -> None:
    make_shop_with_reviews(vendor_project)
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.filter(pk=2).delete()")
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")

    result = go(vendor_project, "feature")

    reasons = {
        "1 of 3 rows of column shop_product.weight stays": "the rows they belong to are gone",
        "2 of 6 rows of table shop_review stay": "what they refer to in shop_product is gone",
        "1 of 3 rows of table shop_review_tags stays": "what they refer to in shop_review is gone",
    }
    entries = {one.split()[-2].split(".")[0]: one for one in reasons}
    for words, reason in reasons.items():
        assert f"{words} in the stash: {reason}. To look at them: manage.py" in result.stderr
    assert len(entries) == result.stderr.count("stash show") == 3
    vendor_project.assert_in_step()
    assert values(vendor_project, "name", "weight") == "p1 10; p3 30; new 0"
    assert values(vendor_project, "id", "text", model="Review") == "1 é 1; 2 no; 5 é 3; 6 no"
    assert values(vendor_project, "name", model="Tag") == "t1; t2; t3"
    dump(vendor_project)
    assert kept(vendor_project) == {
        "shop_product.weight 1",
        "shop_review.* 2",
        "shop_review_tags.* 1",
    }
    listed = vendor_project.manage("migrations_stash", "list").stdout
    assert " was not restored: what they refer to in shop_product is gone\n" in listed
    status = vendor_project.manage("migrations_status").stdout
    assert "table shop_review (2 rows, not restored)" in status
    # They don't come back by themselves later either, when others may have their keys.
    go(vendor_project, "main")
    assert "Restoring table shop_review... OK" in go(vendor_project, "feature").stdout
    assert values(vendor_project, "id", model="Review") == "1; 2; 5; 6"
    assert "shop_review.* 2" in kept(vendor_project)


@pytest.mark.no_cover
def test_nothing_is_kept_of_what_holds_nothing(vendor_project: Project) -> None:
    make_products(vendor_project)
    default = "    text = models.TextField(null=True, default='d')\n"
    make_branch(vendor_project, "feature", PRODUCT + NOTE + default + REVIEWS)
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import *; Product.objects.update(text=None)")
    vendor_project.python("from shop.models import *; Tag.objects.create(name='a')")

    go(vendor_project, "main")
    # The column with a default would be filled with it.
    assert {one for one in kept(vendor_project) if "shop_product" not in one} == {"shop_tag.* 1"}
    go(vendor_project, "feature")
    assert values(vendor_project, "note", "text") == "None None; None None; None None"

    vendor_project.python("from shop.models import *; Tag.objects.all().delete()")
    vendor_project.python("from shop.models import *; Product.objects.update(text='d')")
    vendor_project.python(
        "from shop.models import *; Product.objects.filter(pk=2).update(note='')"
    )
    go(vendor_project, "main")
    vendor_project.assert_in_step()
    go(vendor_project, "feature")
    assert values(vendor_project, "note", "text") == "None d;  d; None d"


def test_only_rows_with_values_are_kept(project: Project) -> None:
    make_products(project)
    make_branch(project, "feature", PRODUCT + NOTE)
    project.manage("migrate")
    project.python("from shop.models import *; Product.objects.filter(pk=2).update(note='')")
    go(project, "main")
    assert kept(project) == {"shop_product.note 1"}


@pytest.mark.no_cover
def test_null_that_gives_way_to_a_default_on_the_way(project: Project) -> None:
    null, size = "models.IntegerField(null=True)", "models.IntegerField(default=5)"
    make_products(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + f"    size = {null}\n")
    project.migration(
        "shop",
        "0003_size",
        f"""
        migrations.AddField("product", "size", {null}),
        migrations.AlterField("product", "size", {size}),
        migrations.AlterField("product", "size", {null}),
        """,
        [("shop", "0002_longer_name")],
    )
    project.commit("Size")
    project.checkout("-b", "drops")
    project.models("shop", PRODUCT)
    project.migration(
        "shop",
        "0004_drop",
        f"""
        migrations.AlterField("product", "size", {size}),
        migrations.AlterField("product", "size", {null}),
        migrations.RemoveField("product", "size"),
        """,
        [("shop", "0003_size")],
    )
    project.commit("Drop")
    go(project, "feature")
    project.python("from shop.models import *; Product.objects.filter(pk=2).update(size=7)")
    project.python("from shop.models import *; Product.objects.exclude(pk=2).update(size=None)")

    for branch in ("main", "drops"):
        go(project, branch)
        go(project, "feature")
        assert values(project, "size") == "None; 7; None"


def test_rows_that_came_meanwhile_have_the_default(vendor_project: Project) -> None:
    make_shop_with_reviews(vendor_project)
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")
    assert go(vendor_project, "feature").stderr == ""
    assert values(vendor_project, "name", "weight") == "p1 10; p2 20; p3 30; new 0"


LOOKUPS = """
class State(models.Model):
    name = models.CharField(max_length=20, unique=True)
    label = models.CharField(max_length=20)

class Profile(models.Model):
    product = models.OneToOneField(Product, models.CASCADE)
    state = models.ForeignKey(State, models.CASCADE)
    text = models.CharField(max_length=20)
"""
FILL_LOOKUPS = """
def fill(apps, schema_editor):
    State = apps.get_model("shop", "State")
    Product = apps.get_model("shop", "Product")
    for name in ("open", "closed"):
        State.objects.create(name=name, label=name)
    for product in Product.objects.order_by("pk"):
        product.weight = 7
        product.save()
        state = State.objects.get(name="open")
        apps.get_model("shop", "Profile").objects.create(product=product, state=state, text="-")
"""


def make_lookups(project: Project) -> None:
    """Applied on branch feature: rows that a migration made, and that people changed since."""
    make_products(project)
    make_branch(project, "feature", PRODUCT + WEIGHT + LOOKUPS)
    project.migration(
        "shop",
        "0004_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0003_feature")],
        before=FILL_LOOKUPS,
    )
    project.commit("Fill")
    project.manage("migrate")
    project.python(
        """
        from shop.models import *
        State.objects.filter(name="closed").delete()
        State.objects.filter(name="open").update(label="edited")
        State.objects.create(name="mine", label="mine")
        Profile.objects.filter(product=1).delete()
        Profile.objects.filter(product=2).update(text="edited")
        Product.objects.filter(pk=2).update(weight=20)
        """
    )


def test_data_migrations_double_nothing(vendor_project: Project) -> None:
    make_lookups(vendor_project)
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)
    vendor_project.python("from shop.models import *; State.objects.create(name='new')")


@pytest.mark.no_cover
def test_what_data_migrations_make_for_newcomers_stays(vendor_project: Project) -> None:
    make_lookups(vendor_project)
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")
    vendor_project.python("from shop.models import *; Product.objects.filter(pk=3).delete()")

    result = go(vendor_project, "feature")

    assert values(vendor_project, "name", "weight") == "p1 7; p2 20; new 7"
    assert (
        values(vendor_project, "product__name", "text", model="Profile").split("; ")[0]
        == "p2 edited"
    )
    assert sorted(values(vendor_project, "product__name", model="Profile").split("; ")) == [
        "new",
        "p2",
    ]
    # The row that nothing but the newcomer needs may be one that was deleted; not two of a name.
    assert values(vendor_project, "name", "label", model="State").startswith(
        "open edited; mine mine"
    )
    assert result.stderr.count("stay") == 2
    dump(vendor_project)
    vendor_project.assert_in_step()


def test_unique_values_that_others_have_now(vendor_project: Project) -> None:
    """The migration gives each row a number on its way; the one of a newcomer is taken."""
    make_products(vendor_project)
    number = "    number = models.IntegerField(null=True, unique=True)\n"
    make_branch(vendor_project, "feature", PRODUCT + number)
    vendor_project.migration(
        "shop",
        "0004_fill",
        "migrations.RunPython(fill, migrations.RunPython.noop),",
        [("shop", "0003_feature")],
        before="""
def fill(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.number = product.pk
        product.save()
""",
    )
    vendor_project.commit("Fill")
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Product.objects.filter(pk=1).update(number=4); "
        "Product.objects.filter(pk=2).update(number=22)"
    )
    go(vendor_project, "main")
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")

    result = go(vendor_project, "feature")

    assert values(vendor_project, "name", "number") == "p1 1; p2 22; p3 3; new 4"
    assert kept(vendor_project) == {"shop_product.number 1"}
    assert "1 of 3 rows of column shop_product.number stays in the stash: " in result.stderr
    shown = vendor_project.manage("migrations_stash", "show", "1").stdout.lower()
    assert "not restored: " in shown
    assert "unique" in shown or "duplicate" in shown
    vendor_project.assert_in_step()


@pytest.mark.no_cover
def test_dropped_by_what_is_applied(vendor_project: Project) -> None:
    """A branch that removes columns and tables; its way back makes them anew."""
    make_products(vendor_project, PRODUCT + WEIGHT + NOTE + REVIEWS)
    vendor_project.python(
        """
        from shop.models import *
        Product.objects.filter(pk=2).update(weight=3, note="n")
        Review.objects.create(product_id=1, text="t").tags.create(name="x")
        """
    )
    before = dump(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT)

    go(vendor_project, "feature")
    vendor_project.assert_in_step()
    vendor_project.python("from shop.models import *; Product.objects.create(name='new')")
    assert go(vendor_project, "main").stderr == ""

    assert not kept(vendor_project)
    assert values(vendor_project, "name", "weight", "note") == (
        "p1 0 None; p2 3 n; p3 0 None; new 0 None"
    )
    vendor_project.python("from shop.models import *; Product.objects.filter(name='new').delete()")
    assert dump(vendor_project) == before


def test_lost_and_made_again_in_one_switch(vendor_project: Project) -> None:
    """The other branch has the same under another name, after one of its own."""
    make_shop_with_reviews(vendor_project)
    before = dump(vendor_project)
    vendor_project.git("checkout", "--quiet", "main")
    vendor_project.checkout("-b", "other")
    vendor_project.migration(
        "shop",
        "0003_index",
        'migrations.AlterModelOptions("product", {"verbose_name": "x"}),',
        [("shop", "0002_longer_name")],
    )
    text = vendor_project.git("show", "feature:shop/migrations/0003_feature.py")
    vendor_project.write(
        "shop/migrations/0004_reviews.py", text.replace("0002_longer_name", "0003_index")
    )
    vendor_project.models(
        "shop", PRODUCT + "    class Meta:\n        verbose_name = 'x'\n" + REVIEWS
    )
    vendor_project.models(
        "shop",
        PRODUCT + WEIGHT + "    class Meta:\n        verbose_name = 'x'\n" + REVIEWS,
    )
    vendor_project.commit("Other")
    assert vendor_project.manage("migrations_switch", "--no-input").stderr == ""
    vendor_project.assert_in_step()
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_without_a_stash(vendor_project: Project) -> None:
    make_shop_with_reviews(vendor_project)
    vendor_project.checkout("main")
    output = vendor_project.switch("--no-stash")
    assert "Saving" not in output
    assert not kept(vendor_project)
    vendor_project.checkout("feature")
    vendor_project.switch("--no-stash")
    assert values(vendor_project, "weight") == "0; 0; 0"
    assert values(vendor_project, "id", model="Review") == ""
    vendor_project.assert_in_step()


def test_the_plan_says_what_is_kept_and_what_comes_back(project: Project) -> None:
    make_shop_with_reviews(project)
    project.checkout("main")
    before = dump(project)
    plan = project.manage("migrations_switch", "--plan").stdout
    assert plan.endswith(
        "Would be saved in the stash:\n"
        "    table shop_tag (3 rows)\n"
        "    column shop_product.weight (3 rows)\n"
        "    table shop_review (6 rows)\n"
        "    table shop_review_tags (3 rows)\n"
    )
    assert dump(project) == before
    assert not kept(project)

    project.switch()
    project.checkout("feature")
    held = kept(project)
    plan = project.manage("migrations_switch", "--plan").stdout
    assert plan.endswith(
        "Would be restored from the stash:\n"
        "    column shop_product.weight (3 rows)\n"
        "    table shop_review (6 rows)\n"
        "    table shop_review_tags (3 rows)\n"
        "    table shop_tag (3 rows)\n"
    )
    assert kept(project) == held
    assert "Would be restored" not in project.manage("migrations_switch", "main", "--plan").stdout


@pytest.mark.no_cover
def test_unapplied_in_a_work_tree(vendor_project: Project) -> None:
    """Helpers that a migration imports are gone with its branch."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.write("shop/helpers.py", "def nothing(apps, schema_editor):\n    pass\n")
    vendor_project.models("shop", PRODUCT + WEIGHT + REVIEWS)
    vendor_project.manage("makemigrations", "shop", "--name=feature")
    file = vendor_project.path / "shop/migrations/0003_feature.py"
    text = file.read_text().replace(
        "\n    operations = [", "\n    operations = [\n        RUN,", 1
    )
    file.write_text(
        "from shop.helpers import nothing\n"
        + text.replace("RUN", "migrations.RunPython(nothing, nothing)")
    )
    vendor_project.commit("Feature")
    vendor_project.switch()
    vendor_project.python(
        """
        from shop.models import *
        Product.objects.filter(pk=2).update(weight=3)
        Review.objects.create(product_id=1, text="t").tags.create(name="x")
        """
    )
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert not (vendor_project.path / "shop/helpers.py").exists()
    assert columns(vendor_project) == {"id", "name"}
    assert "shop_review.* 1" in kept(vendor_project)
    vendor_project.assert_in_step()

    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "field",
    [
        "models.DecimalField(max_digits=8, decimal_places=2)",
        "models.CharField(max_length=9)",
        "models.IntegerField()",
        "models.DateField()",
        "models.BinaryField()",
    ],
)
def test_a_column_without_a_default_that_a_branch_removes(
    vendor_project: Project, field: str
) -> None:
    """Django itself can't make it again where there are rows; here their values are known."""
    make_shop_of(vendor_project, PRODUCT + f"    value = {field}\n")
    vendor_project.python(
        """
        from datetime import date
        from decimal import Decimal
        from shop.models import Product
        values = {"Decimal": Decimal("1.5"), "Date": date(2026, 2, 28), "Binary": b"7"}
        kind = Product._meta.get_field("value").get_internal_type().removesuffix("Field")
        Product.objects.create(name="p", value=values.get(kind, 7))
        """
    )
    before = dump(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT)
    vendor_project.switch()
    assert go(vendor_project, "main").stderr == ""
    assert dump(vendor_project) == before
    vendor_project.assert_in_step()
    go(vendor_project, "feature")
    vendor_project.python("from shop.models import Product; Product.objects.create(name='new')")
    assert go(vendor_project, "main").stderr == ""


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "field",
    [
        "models.ForeignKey(Category, models.CASCADE)",
        "models.OneToOneField(Category, models.CASCADE)",
        "models.CharField(max_length=9, unique=True)",
    ],
)
def test_one_that_nothing_else_can_stand_in(vendor_project: Project, field: str) -> None:
    category = "class Category(models.Model):\n    pass\n\n"
    value = "c" if "Foreign" in field or "One" in field else "f'c{c.pk}'"
    make_shop_of(vendor_project, category + PRODUCT + f"    value = {field}\n")
    vendor_project.python(
        f"""
        from shop.models import *
        for c in [Category.objects.create(), Category.objects.create()]:
            Product.objects.create(name="p", value={value})
        """
    )
    before = dump(vendor_project)
    make_branch(vendor_project, "feature", category + PRODUCT)
    vendor_project.switch()
    assert go(vendor_project, "main").stderr == ""
    assert dump(vendor_project) == before
    vendor_project.assert_in_step()

    go(vendor_project, "feature")
    vendor_project.python("from shop.models import Product; Product.objects.create(name='new')")
    vendor_project.checkout("main")
    result = vendor_project.manage("migrations_switch", "--no-input", status=1)
    assert "shop.0002_feature can't be unapplied" in result.stderr
    vendor_project.python(
        """
        from django.db import connection
        connection.cursor().execute("DELETE FROM shop_product WHERE name = 'new'")
        """
    )
    vendor_project.switch()
    assert dump(vendor_project) == before
