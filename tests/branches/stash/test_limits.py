"""Where something stands in the way of what is in the stash, or of a switch."""

from collections.abc import Callable

import pytest

from tests.branches.shop import PRODUCT, columns
from tests.branches.stash.stashing import dump, go, kept, make_branch, values, vendor
from tests.branches.stash.test_owners import PART, fill, make
from tests.branches.stash.test_stash import REVIEWS, WEIGHT, make_products
from tests.databases import Configuration
from tests.project import Project

pytestmark = pytest.mark.once

REFUSALS = {
    # Triggers are off there while rows are restored; indexes are not.
    "sqlite": "CREATE INDEX no ON shop_product (json(CASE weight WHEN 5 THEN 'no' ELSE '1' END))",
    "postgresql": "CREATE INDEX no ON shop_product ((1 / (weight - 5)))",
    "mysql": """
        CREATE TRIGGER no BEFORE UPDATE ON shop_product FOR EACH ROW
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no weights today'
    """,
}
WORDS = {"sqlite": "JSON", "postgresql": "division by zero", "mysql": "no weights today"}


def execute(project: Project, sql: str) -> None:
    project.python(f"from django.db import connection; connection.cursor().execute({sql!r})")


@pytest.mark.no_cover
def test_the_database_refuses_one(vendor_project: Project) -> None:
    """Then all the others come back, and that one can be brought back later."""
    make_products(vendor_project)
    make_branch(vendor_project, "feature", PRODUCT + WEIGHT + REVIEWS)
    file = vendor_project.path / "shop/migrations/0003_feature.py"
    refusal = REFUSALS[vendor(vendor_project)]
    file.write_text(
        file.read_text().removesuffix("    ]\n")
        + f"        migrations.RunSQL({refusal!r}, 'SELECT 1'),\n    ]\n"
    )
    vendor_project.commit("Refusal")
    vendor_project.manage("migrate")
    drop = "DROP TRIGGER no" if vendor(vendor_project) == "mysql" else "DROP INDEX no"
    execute(vendor_project, drop)
    vendor_project.python(
        """
        from shop.models import *
        Product.objects.update(weight=5)
        Review.objects.create(product_id=1, text="t")
        """
    )
    before = dump(vendor_project)
    go(vendor_project, "main")

    result = go(vendor_project, "feature")

    assert "3 of 3 rows of column shop_product.weight stay in the stash: " in result.stderr
    assert WORDS[vendor(vendor_project)] in result.stderr
    assert kept(vendor_project) == {"shop_product.weight 3"}
    assert values(vendor_project, "text", model="Review") == "t"
    assert values(vendor_project, "weight") == "0; 0; 0"
    vendor_project.assert_in_step()
    assert "migrations_stash" in vendor_project.manage("migrations_status").stdout

    execute(vendor_project, drop)
    assert vendor_project.manage("migrations_stash", "restore", "1").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_the_database_refuses_it_all(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """Then nothing comes back, and all of it can be brought back later."""
    project = make_project(default=make_database("mariadb"))
    make_products(project)
    make_branch(project, "feature", PRODUCT + WEIGHT + PART)
    project.migration(
        "shop",
        "0004_part",
        """
        migrations.RunPython(
            lambda apps, editor: apps.get_model("shop", "Part").objects.create(name="by itself"),
            migrations.RunPython.noop,
        ),
        migrations.RunSQL(
            "CREATE TRIGGER no BEFORE DELETE ON shop_part FOR EACH ROW "
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no part goes'",
            "DROP TRIGGER no",
        ),
        """,
        [("shop", "0003_feature")],
    )
    project.commit("Part")
    project.manage("migrate")
    fill(project, "Product.objects.update(weight=5); Part.objects.update(name='mine')")
    before = dump(project)
    go(project, "main")
    held = {"shop_part.* 1", "shop_product.weight 3"}
    assert kept(project) == held

    assert go(project, "feature").stderr == (
        "table shop_part, column shop_product.weight: still in the stash. Database error: "
        "(1644, 'no part goes'). Once that is fixed, run: manage.py migrations_stash restore 1 2\n"
    )
    assert kept(project) == held
    assert values(project, "name", model="Part") == "by itself"
    assert values(project, "weight") == "0; 0; 0"

    execute(project, "DROP TRIGGER no")
    fill(project, "Part.objects.all().delete()")
    assert project.manage("migrations_stash", "restore", "1", "2").stderr == ""
    assert dump(project) == before
    assert not kept(project)


def test_a_narrower_column_that_was_edited_meanwhile(vendor_project: Project) -> None:
    """Where the value is another one now, that one counts."""
    make_products(vendor_project)
    wide = PRODUCT.replace("50", "80")
    make_branch(vendor_project, "feature", wide)
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        from shop.models import *
        for product in Product.objects.all():
            product.name = product.name * 35
            product.save()
        """
    )
    go(vendor_project, "main")
    vendor_project.python(
        "from shop.models import *; Product.objects.filter(pk=2).update(name='new')"
    )
    vendor_project.python("from shop.models import *; Product.objects.create(name='another')")
    vendor_project.python("from shop.models import *; Product.objects.filter(pk=3).delete()")

    go(vendor_project, "feature")

    assert values(vendor_project, "id", "name") == f"1 {'p1' * 35}; 2 new; 4 another"
    vendor_project.assert_in_step()


@pytest.mark.no_cover
def test_three_branches_on_top_of_each_other(project: Project) -> None:
    """Each step down keeps its own; one step up brings all of it."""
    make_products(project)
    part = "\nclass Part(models.Model):\n    name = models.CharField(max_length=9)\n"
    size = "    size = models.IntegerField(default=1)\n"
    make_branch(project, "first", PRODUCT + part)
    make_branch(project, "second", PRODUCT + part + size)
    make_branch(project, "third", PRODUCT + WEIGHT + part + size)
    project.switch()
    project.python(
        """
        from shop.models import *
        Part.objects.create(name="a", size=10)
        Product.objects.update(weight=7)
        """
    )
    before = dump(project)
    for branch in ("second", "first", "main", "third"):
        assert go(project, branch).stderr == ""
    assert dump(project) == before
    for branch in ("first", "second", "main", "second", "third"):
        assert go(project, branch).stderr == ""
    assert dump(project) == before
    assert not kept(project)


@pytest.mark.no_cover
def test_applied_in_a_work_tree(vendor_project: Project) -> None:
    """Forwards to another branch's snapshot, whose helpers are not in this checkout."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    vendor_project.write("shop/helpers.py", "def nothing(apps, schema_editor):\n    pass\n")
    make_branch(vendor_project, "feature2", PRODUCT + WEIGHT + REVIEWS)
    file = vendor_project.path / "shop/migrations/0003_feature2.py"
    head = "    operations = [\n"
    run = "        migrations.RunPython(nothing, nothing),\n"
    file.write_text(
        "from shop.helpers import nothing\n" + file.read_text().replace(head, head + run)
    )
    vendor_project.commit("Helpers")
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
    plan = vendor_project.manage("migrations_switch", "feature2", "--plan").stdout
    assert "Would be restored from the stash:\n" in plan
    said = vendor_project.manage("migrations_switch", "--no-input", "feature2").stderr
    assert said.startswith("Another branch is checked out.")
    assert said.count("\n") == 1
    assert "weight" in columns(vendor_project)
    vendor_project.checkout("feature2")
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_unique_values_that_were_swapped(vendor_project: Project) -> None:
    """Each of the two would be there twice for a moment."""
    make_products(vendor_project)
    place = "    place = models.IntegerField(null=True, unique=True)\n"
    make_branch(vendor_project, "feature", PRODUCT + place)
    file = vendor_project.path / "shop/migrations/0003_feature.py"
    run = "        migrations.RunPython(fill, migrations.RunPython.noop),\n    ]\n"
    file.write_text(
        file.read_text().removesuffix("    ]\n")
        + run
        + """

def fill(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.place = product.pk
        product.save()
"""
    )
    text = file.read_text()
    head, tail = text.split("class Migration", 1)
    body, function = tail.split("\n\ndef fill", 1)
    file.write_text(f"{head}def fill{function}\n\nclass Migration{body}\n")
    vendor_project.commit("Places")
    vendor_project.manage("migrate")
    vendor_project.python(
        """
        from shop.models import *
        for pk, place in ((1, 99), (2, 1), (1, 2)):
            Product.objects.filter(pk=pk).update(place=place)
        """
    )
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert values(vendor_project, "name", "place") == "p1 2; p2 1; p3 3"


def test_required_values_that_were_swapped(vendor_project: Project) -> None:
    """These can't be emptied first; the one beside them can."""
    make_products(vendor_project)
    vendor_project.checkout("-b", "feature")
    place = "    place = models.IntegerField(default=0, unique=True)\n"
    shelf = "    shelf = models.IntegerField(null=True, unique=True)\n"
    vendor_project.models("shop", PRODUCT + place + shelf)
    vendor_project.migration(
        "shop",
        "0003_places",
        """
        migrations.AddField("product", "place", models.IntegerField(default=0)),
        migrations.AddField("product", "shelf", models.IntegerField(null=True)),
        migrations.RunPython(number, migrations.RunPython.noop),
        migrations.AlterField("product", "place", models.IntegerField(default=0, unique=True)),
        migrations.AlterField("product", "shelf", models.IntegerField(null=True, unique=True)),
        """,
        [("shop", "0002_longer_name")],
        before="""
        def number(apps, schema_editor):
            for product in apps.get_model("shop", "Product").objects.all():
                product.place = product.shelf = product.pk
                product.save()
        """,
    )
    vendor_project.commit("Places")
    vendor_project.manage("migrate")
    fill(vendor_project, "Product.objects.filter(pk=3).update(place=-3)")
    for pk, number in ((1, 99), (2, 1), (1, 2)):
        fill(
            vendor_project,
            f"Product.objects.filter(pk={pk}).update(place={number}, shelf={number})",
        )
    before = dump(vendor_project)
    go(vendor_project, "main")
    assert go(vendor_project, "feature").stderr == ""
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


THING = "class Thing(models.Model):\n    name = models.CharField({})\n"
AGAIN = (
    "Change or delete them, and run `manage.py migrations_switch` again; it resumes where this "
    "run stopped.\n"
)


def test_rows_that_do_not_fit_what_is_unapplied(vendor_project: Project) -> None:
    """NULL gives way to one value, and that has to be unique."""
    vendor_project.app("shop", THING.format("max_length=9, unique=True"))
    vendor_project.manage("makemigrations", "shop")
    vendor_project.commit()
    make_branch(vendor_project, "feature", THING.format("max_length=9, unique=True, null=True"))
    vendor_project.manage("migrate")
    vendor_project.python(
        "from shop.models import *; Thing.objects.create(); Thing.objects.create()"
    )

    vendor_project.checkout("main")
    result = vendor_project.manage("migrations_switch", "--no-input", status=1)

    assert result.stderr.startswith(
        "CommandError: shop.0002_feature can't be unapplied because some rows don't fit. "
        "Database error: "
    )
    assert result.stderr.endswith(f"\n{AGAIN}")
    assert "unique" in result.stderr.lower() or "duplicate" in result.stderr.lower()
    vendor_project.python("from shop.models import *; Thing.objects.filter(pk=2).delete()")
    vendor_project.switch()
    vendor_project.assert_in_step()
    go(vendor_project, "feature")
    assert values(vendor_project, "id", "name", model="Thing") == "1 None"


def test_rows_that_do_not_fit_what_is_applied(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    project = make_project(default=make_database("postgresql"))
    make_products(project)
    make_branch(project, "feature", PRODUCT.replace("50", "1"))
    result = project.manage("migrations_switch", status=1)
    assert result.stderr == (
        "CommandError: shop.0003_feature can't be applied because some rows don't fit. "
        f"Database error: value too long for type character varying(1)\n{AGAIN}"
    )


def test_what_a_migration_does_to_rows_itself(project: Project) -> None:
    """Only its author knows, and needs to know where."""
    make_products(project)
    project.migration(
        "shop",
        "0003_twice",
        """
        migrations.RunPython(
            lambda apps, editor: apps.get_model("shop", "Product").objects.create(pk=1)
        ),
        """,
        [("shop", "0002_longer_name")],
    )
    result = project.manage("migrations_switch", status=None)
    assert "Traceback" in result.stderr
    assert "IntegrityError: UNIQUE constraint failed: shop_product.id" in result.stderr


def amend(project: Project, models: str) -> None:
    """Have the commit of branch feature have other models, and the migration for them."""
    project.checkout("feature")
    project.models("shop", models)
    project.remove("shop/migrations/0003_feature.py")
    project.manage("makemigrations", "shop", "--name=feature")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--amend", "--message=amended")


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("CharField(max_length=30, null=True)", "DateField(null=True)", "'no date'"),
        ("BooleanField(null=True)", "DateField(null=True)", "True"),
        ("UUIDField(null=True)", "IntegerField(null=True)", "'0' * 31 + '1'"),
    ],
)
def test_one_can_not_be_converted(vendor_project: Project, old: str, new: str, value: str) -> None:
    """The migration was amended, and the others come back; a word in a name is no full disk."""
    make_products(vendor_project)
    field = "    full_name = models.{}\n"
    make(
        vendor_project,
        "feature",
        PRODUCT + field.format(old) + WEIGHT + PART,
        f"Product.objects.update(full_name={value}, weight=3); Part.objects.create(name='a')",
    )
    go(vendor_project, "main")
    amend(vendor_project, PRODUCT + field.format(new) + WEIGHT + PART)
    vendor_project.switch()
    assert values(vendor_project, "name", model="Part") == "a"
    assert values(vendor_project, "weight") == "3; 3; 3"
    if vendor(vendor_project) != "sqlite":
        assert kept(vendor_project) == {"shop_product.full_name,weight 3"}
    vendor_project.assert_in_step()


def test_a_unique_constraint_that_waits(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    """It is told which rows it refuses all the same, so that the others come back."""
    project = make_project(default=make_database("postgresql"))
    place = """
    place = models.IntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name", "place"], name="One!", deferrable=models.Deferrable.DEFERRED
            )
        ]
"""
    make_products(project)
    rows = "Product.objects.update(place=1); Part.objects.create(name='a')"
    make(project, "feature", PRODUCT + place + PART, rows)
    go(project, "main")
    fill(project, "Product.objects.filter(pk__lt=3).update(name='same')")
    assert "1 of 3 rows of column shop_product.place stays" in go(project, "feature").stderr
    assert values(project, "name", "place") == "same 1; same None; p3 1"
    assert values(project, "name", model="Part") == "a"
    assert kept(project) == {"shop_product.place 1"}


UUID = """
import uuid


def fill(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.uuid = uuid.UUID(int=100 - product.pk)
        product.save()
"""
UUID_OPERATIONS = """
migrations.AddField("product", "uuid", models.UUIDField(null=True)),
migrations.RunPython(fill, migrations.RunPython.noop),
migrations.RemoveField("product", "id"),
migrations.AlterField("product", "uuid", models.UUIDField(primary_key=True, serialize=False)),
"""


@pytest.mark.parametrize("stops", [True, False])
def test_a_key_that_is_made_anew(project: Project, stops: bool) -> None:
    """Nobody knows which row had which number; what was dropped with it, or before, stays."""
    make_products(project, PRODUCT + WEIGHT)
    fill(project, "[Product.objects.filter(pk=pk).update(weight=pk) for pk in (1, 2, 3)]")
    make_branch(project, "light", PRODUCT)
    project.checkout("-b", "uuid")
    project.models("shop", PRODUCT + "    uuid = models.UUIDField(primary_key=True)\n")
    dependency = [("shop", "0004_light")]
    body = "atomic = False"
    project.migration("shop", "0005_uuid", UUID_OPERATIONS, dependency, before=UUID, body=body)
    project.commit("UUID")
    if stops:
        go(project, "light")
    go(project, "uuid")
    fill(project, "Product.objects.filter(name='p2').delete()")
    held = {one for one in kept(project) if "weight" in one}

    result = go(project, "main")

    assert "stay in the stash: their rows can't be told apart any more. To" in result.stderr
    assert values(project, "weight") == "0; 0"
    assert held
    assert held <= kept(project)
    project.assert_in_step()


NO_KEY = {
    "mysql": "ALTER TABLE shop_product DROP PRIMARY KEY, MODIFY id bigint NOT NULL",
    "postgresql": "ALTER TABLE shop_product DROP CONSTRAINT shop_product_pkey",
}


@pytest.mark.parametrize("engine", ["mariadb", "postgresql"])
def test_a_narrower_column_without_a_key(
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
    engine: str,
) -> None:
    """It stays in the stash, and that is said."""
    project = make_project(default=make_database(engine))
    make_products(project)
    operation = f"migrations.RunSQL({NO_KEY[vendor(project)]!r}, migrations.RunSQL.noop),"
    project.migration("shop", "0003_no_key", operation, [("shop", "0002_longer_name")])
    project.commit("No key")
    wide = PRODUCT.replace("50", "80")
    make(project, "feature", wide, "Product.objects.update(name='x' * 70)")
    assert go(project, "main").stderr == ""
    project.assert_in_step()
    assert go(project, "feature").stderr == (
        "3 of 3 rows of column shop_product.name before it got narrower stay in the stash: their "
        "rows can't be told apart any more. To look at them: manage.py migrations_stash show 1\n"
    )
    assert values(project, "name") == "; ".join(["x" * 50] * 3)
    assert kept(project) == {"shop_product.name 3"}
    project.assert_in_step()


RENAMED = """
class Thing(models.Model):
    {} = models.CharField(max_length=9, primary_key=True)
    text = models.CharField(max_length={})
"""


def test_a_narrower_column_beside_a_renamed_key(vendor_project: Project) -> None:
    """Rows are known by it, by whichever name; and so is what was changed or deleted."""
    vendor_project.app("shop", RENAMED.format("code", 5))
    vendor_project.manage("makemigrations", "shop")
    vendor_project.commit()
    vendor_project.checkout("-b", "feature")
    vendor_project.models("shop", RENAMED.format("sku", 20))
    operations = """
    migrations.RenameField("thing", "code", "sku"),
    migrations.AlterField("thing", "text", models.CharField(max_length=20)),
    """
    vendor_project.migration("shop", "0002_sku", operations, [("shop", "0001_initial")])
    vendor_project.commit("Renamed")
    vendor_project.switch()
    fill(vendor_project, "[Thing.objects.create(sku=sku, text='long ' * 3) for sku in 'abc']")
    go(vendor_project, "main")
    fill(vendor_project, "Thing.objects.filter(pk='b').update(text='new')")
    fill(vendor_project, "Thing.objects.filter(pk='c').delete()")
    assert go(vendor_project, "feature").stderr == ""
    assert values(vendor_project, "sku", "text", model="Thing") == "a long long long ; b new"
    assert not kept(vendor_project)
