"""What plain ``migrate`` drops is kept, too."""

import json

import pytest

from tests.branches.shop import PRODUCT, make_shop_with_feature, tables
from tests.branches.stash.stashing import dump, go, kept, make_branch, values
from tests.branches.stash.test_owners import PART, fill, make
from tests.branches.stash.test_stash import NOTE, REVIEWS, WEIGHT, make_products
from tests.project import Project

MAIN = PRODUCT + NOTE + REVIEWS
WIDE = PRODUCT.replace("50", "80")
KINDS = """
class Category(models.Model):
    pass

class Section(models.Model):
    pass

class Product(models.Model):
    name = models.CharField(max_length=50)
    kind = models.ForeignKey("{}", models.SET_NULL, null=True)
"""
CODE = """
import os

def fail(apps, schema_editor):
    if "FAIL" in os.environ:
        raise ValueError

def clear(apps, schema_editor):
    apps.get_model("shop", "Product").objects.update(kind=None)

def mark(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.name = "+" + product.name[1:]
        product.save()
"""


@pytest.fixture
def shop(vendor_project: Project) -> Project:
    """On main, with rows; branch less drops, and narrows, what they are in."""
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project, MAIN)
    vendor_project.python(
        """
        from shop.models import *
        for product in Product.objects.all():
            product.name, product.note = product.name * 20, f"n{product.pk}"
            product.save()
            Review.objects.create(product=product, text="t").tags.create(name=product.pk)
        """
    )
    return vendor_project


def branches(project: Project) -> set[str]:
    """Which branches what is kept belongs to."""
    found = json.loads(project.manage("migrations_stash", "list", "--json").stdout)
    return {entry["branch"] for entry in found}


def test_forwards(shop: Project) -> None:
    before = dump(shop)
    make_branch(shop, "less", PRODUCT)

    output = shop.manage("migrate").stdout

    assert "  Saving table shop_review... OK\n" in output
    assert "  Saving column shop_product.note... OK\n" in output
    assert branches(shop) == {"main"}
    assert go(shop, "main").stderr == ""
    assert dump(shop) == before
    assert not kept(shop)


@pytest.mark.committed
def test_without_a_snapshot_that_can_be_read(shop: Project) -> None:
    before = dump(shop)
    make_branch(shop, "less", PRODUCT)
    (shop.path / ".git/django-devtools/snapshots.json").write_text("{")
    shop.manage("migrate")
    assert branches(shop) == {"less"}
    (shop.path / ".git/django-devtools/snapshots.json").unlink()
    go(shop, "main")
    assert dump(shop) == before


def test_backwards_and_forwards_again(shop: Project) -> None:
    before = dump(shop)
    shop.manage("migrate", "shop", "0002")
    assert kept(shop) >= {"shop_product.note 3", "shop_review.* 3", "shop_review_tags.* 3"}
    shop.manage("migrate")
    assert dump(shop) == before
    assert not kept(shop)


@pytest.mark.no_cover
@pytest.mark.parametrize("fake", ["--fake", "--fake-initial"])
def test_only_what_was_dropped(shop: Project, fake: str) -> None:
    make_branch(shop, "less", PRODUCT)
    shop.manage("migrate", fake)
    assert bool(kept(shop)) is (fake == "--fake-initial")


def test_a_column_that_gets_narrower(shop: Project) -> None:
    before = dump(shop)
    make_branch(shop, "less", MAIN.replace("null=True)\n\nclass", "default='')\n\nclass"))
    shop.python("from shop.models import *; Product.objects.filter(pk=2).update(note=None)")
    before = dump(shop)
    shop.manage("migrate")
    assert values(shop, "note").endswith("n1; ; n3")
    assert go(shop, "main").stderr == ""
    assert dump(shop) == before


def test_a_value_that_was_edited_after_its_column_got_narrower(shop: Project) -> None:
    shop.python("from shop.models import *; Product.objects.update(note=None)")
    make_branch(shop, "less", MAIN.replace("null=True)\n\nclass", "default='')\n\nclass"))
    shop.manage("migrate")
    shop.python("from shop.models import *; Product.objects.filter(pk=2).update(note='edited')")
    go(shop, "main")
    assert values(shop, "note") == "None; edited; None"


def test_nothing_is_dropped(shop: Project) -> None:
    make_branch(shop, "more", MAIN + "\nclass More(models.Model):\n    pass\n")
    assert "Saving" not in shop.manage("migrate").stdout
    assert not kept(shop)


def test_it_can_not_be_kept(project: Project) -> None:
    """Then it is said, and `migrate` goes on, as it was asked to."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT + NOTE)
    project.python("from shop.models import *; Product.objects.update(note='n')")
    project.python(
        "from django.db import connection; "
        "connection.cursor().execute('CREATE TABLE django_devtools_stash_1 (id integer)')"
    )
    make_branch(project, "less", PRODUCT)
    result = project.manage("migrate")
    assert "What is dropped from database 'default' was not saved: " in result.stderr
    assert "was not restored" not in result.stderr
    project.assert_in_step()


def make_plain(project: Project, models: str) -> None:
    """On main, with three products."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, models)


def add_migration(project: Project, name: str, operations: str, after: str) -> None:
    project.migration("shop", name, operations, [("shop", after)], before=CODE)
    project.commit(name)


def fail(project: Project) -> None:
    """Have ``migrate`` fail where a migration runs ``fail``."""
    project.environment["FAIL"] = "yes"
    assert project.manage("migrate", status=None).status
    del project.environment["FAIL"]


def test_dropped_and_made_again_in_one_go(vendor_project: Project) -> None:
    make_plain(vendor_project, PRODUCT + WEIGHT + PART)
    fill(vendor_project, "Product.objects.update(weight=5); Part.objects.create(name='a')")
    before = dump(vendor_project)
    make_branch(vendor_project, "less", PRODUCT)
    vendor_project.models("shop", PRODUCT + WEIGHT + PART)
    vendor_project.manage("makemigrations", "shop", "--name=again")

    vendor_project.manage("migrate")

    assert values(vendor_project, "weight") == "0; 0; 0"
    assert kept(vendor_project) == {"shop_product.weight 3", "shop_part.* 1"}
    vendor_project.manage("migrate", "shop", "0003")
    assert dump(vendor_project) == before


@pytest.mark.no_cover
def test_what_another_branch_narrowed_stays_as_it_was(vendor_project: Project) -> None:
    """A migration that does not widen it changes what is there, and changes it back."""
    make_plain(vendor_project, PRODUCT)
    make(vendor_project, "wide", WIDE, "Product.objects.update(name='x' * 70)")
    before = dump(vendor_project)
    go(vendor_project, "main")
    vendor_project.checkout("-b", "marks")
    reverse = CODE.replace('"+"', '"x"').replace("def mark", "def unmark")
    vendor_project.migration(
        "shop",
        "0003_mark",
        "migrations.RunPython(mark, unmark),",
        [("shop", "0002_longer_name")],
        before=CODE + reverse,
    )
    vendor_project.models("shop", PRODUCT + WEIGHT)
    vendor_project.manage("makemigrations", "shop", "--name=weight")
    vendor_project.commit("marks")

    vendor_project.manage("migrate", "shop", "0003")
    vendor_project.manage("migrate", "shop", "0004")

    go(vendor_project, "main")
    go(vendor_project, "wide")
    assert dump(vendor_project) == before


def test_a_migrate_that_failed_dropped_nothing(vendor_project: Project) -> None:
    make_plain(vendor_project, PRODUCT + PART)
    fill(vendor_project, "Part.objects.create(name='a')")
    vendor_project.models("shop", PRODUCT)
    operations = 'migrations.RunPython(fail, fail), migrations.DeleteModel("Part"),'
    add_migration(vendor_project, "0004_less", operations, "0003_more")
    fail(vendor_project)
    vendor_project.models("shop", PRODUCT + PART)
    fill(vendor_project, "Part.objects.all().delete(); Part.objects.create(name='b')")
    before = dump(vendor_project)

    vendor_project.manage("migrate")

    assert kept(vendor_project) == {"shop_part.* 1"}
    vendor_project.manage("migrate", "shop", "0003")
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


@pytest.mark.no_cover
def test_a_foreign_key_that_refers_elsewhere(vendor_project: Project) -> None:
    make_plain(vendor_project, KINDS.format("Category"))
    create = "[kind.objects.create() for kind in (Category, Section) for _ in 'abc']"
    fill(vendor_project, f"{create}; Product.objects.update(kind=1)")
    vendor_project.models("shop", KINDS.format("Section"))
    add_migration(vendor_project, "0004_clear", "migrations.RunPython(clear, clear),", "0003_more")
    vendor_project.manage("makemigrations", "shop", "--name=section")

    vendor_project.manage("migrate")
    vendor_project.manage("migrate", "shop", "0003")
    assert values(vendor_project, "kind_id") == "1; 1; 1"

    vendor_project.manage("migrate")
    fill(vendor_project, "Product.objects.filter(pk=1).update(kind=3)")
    vendor_project.manage("migrate", "shop", "0003")
    vendor_project.manage("migrate")
    assert values(vendor_project, "kind_id") == "3; None; None"


@pytest.mark.no_cover
@pytest.mark.parametrize("by", ["migrate", "migrations_switch", "a detour"])
def test_finished_by_a_second_one(vendor_project: Project, by: str) -> None:
    make_plain(vendor_project, PRODUCT)
    make_branch(vendor_project, "more", PRODUCT + WEIGHT + PART)
    add_migration(vendor_project, "0004_fail", "migrations.RunPython(fail, fail),", "0003_more")
    vendor_project.manage("migrate")
    fill(vendor_project, "Product.objects.update(weight=4); Part.objects.create(name='a')")
    before = dump(vendor_project)
    go(vendor_project, "main")
    vendor_project.checkout("more")
    fail(vendor_project)

    if by == "a detour":
        go(vendor_project, "main")
        go(vendor_project, "more")
    else:
        vendor_project.manage(by)

    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_what_is_only_said_to_be_widened(vendor_project: Project) -> None:
    make_plain(vendor_project, PRODUCT)
    make(vendor_project, "wide", WIDE, "Product.objects.update(name='x' * 70)")
    go(vendor_project, "main")
    vendor_project.checkout("wide")
    assert "Restoring" not in vendor_project.manage("migrate", "--fake").stdout
    assert kept(vendor_project) == {"shop_product.name 3"}


def test_what_is_found_in_its_place_stays(project: Project) -> None:
    """With --fake-initial, beside a migration that is run."""
    make_plain(project, PRODUCT)
    project.app("parts", PART)
    project.manage("makemigrations", "parts")
    project.manage("migrate")
    project.python("from parts.models import *; Part.objects.create(name='kept')")
    project.manage("migrate", "parts", "zero")
    project.manage("migrate", "shop", "0001")
    project.python(
        """
        from django.db import connection
        from parts.models import *
        with connection.schema_editor() as editor:
            editor.create_model(Part)
        Part.objects.create(name="made")
        """
    )

    assert "FAKED" in project.manage("migrate", "--fake-initial").stdout

    assert project.python("from parts.models import *; print(Part.objects.get().name)") == "made"


@pytest.mark.parametrize("edit", ["Part.objects.update(name='b')", "Part.objects.all().delete()"])
def test_of_another_app_after_one_that_failed(project: Project, edit: str) -> None:
    """What is midway has nothing to do with it."""
    make_plain(project, PRODUCT + WEIGHT + PART)
    fill(project, "Part.objects.create(name='a')")
    project.models("shop", PRODUCT)
    remove = 'migrations.RemoveField("product", "weight"),'
    add_migration(project, "0004_weight", remove, "0003_more")
    add_migration(project, "0005_fail", "migrations.RunPython(fail, fail),", "0004_weight")
    add_migration(project, "0006_part", 'migrations.DeleteModel("Part"),', "0005_fail")
    fail(project)
    project.models("shop", PRODUCT + PART)
    fill(project, edit)
    rows = values(project, "name", model="Part")
    project.app("other", "class Thing(models.Model):\n    pass\n")
    project.manage("makemigrations", "other")
    project.manage("migrate", "other")
    assert values(project, "name", model="Part") == rows


def test_of_a_column_whose_name_was_free(project: Project) -> None:
    make_plain(project, PRODUCT + WEIGHT)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + WEIGHT + WEIGHT.replace("weight", "old"))
    operations = (
        'migrations.RenameField("product", "weight", "old"),'
        'migrations.AddField("product", "weight", models.IntegerField(default=0)),'
    )
    add_migration(project, "0004_other", operations, "0003_more")
    project.manage("migrate")
    fill(project, "Product.objects.update(weight=77)")
    before = dump(project)
    go(project, "main")
    project.checkout("feature")
    project.manage("migrate")
    assert dump(project) == before


def test_that_failed_before_it_dropped(project: Project) -> None:
    """Without a transaction: the copy is not needed any more, nor is a second one."""
    make_plain(project, PRODUCT + PART)
    fill(project, "Part.objects.create(name='a')")
    before = dump(project)
    project.models("shop", PRODUCT)
    operations = (
        'migrations.AlterField("product", "name", models.CharField(max_length=60)),'
        'migrations.RunPython(fail, fail), migrations.DeleteModel("Part"),'
    )
    project.migration(
        "shop", "0004_less", operations, [("shop", "0003_more")], CODE, "atomic = False"
    )
    project.commit("Less")
    fail(project)
    project.manage("migrate")
    project.manage("migrate", "shop", "0003")
    assert dump(project) == before
    assert kept(project) == {"shop_product.name 3"}  # as it is narrower now


@pytest.mark.no_cover
@pytest.mark.parametrize("last", ["migrate", "migrations_switch"])
def test_in_parts(vendor_project: Project, last: str) -> None:
    """A column that is only made by the next one waits for it."""
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project)
    make(vendor_project, "feature", PRODUCT + WEIGHT, "Product.objects.update(weight=3)")
    before = dump(vendor_project)
    vendor_project.manage("migrate", "shop", "zero")
    result = vendor_project.manage("migrate", "shop", "0002")
    assert "stay" not in result.stderr
    assert values(vendor_project, "name") == "p1; p2; p3"
    assert kept(vendor_project) == {"shop_product.weight 3"}
    vendor_project.manage(last)
    assert dump(vendor_project) == before
    assert not kept(vendor_project)


def test_in_parts_by_an_earlier_version(vendor_project: Project) -> None:
    """It did not mark the cells that were edited of what stands in for others."""
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project)
    make(vendor_project, "feature", PRODUCT + WEIGHT, "Product.objects.update(weight=3)")
    add = """
        migrations.AddField("product", "size", models.IntegerField(default=0)),
        migrations.RunPython(lambda apps, editor: None, lambda apps, editor: None),
    """
    vendor_project.models("shop", PRODUCT + WEIGHT + "    size = models.IntegerField(default=0)\n")
    vendor_project.migration("shop", "0004_size", add, [("shop", "0003_feature")])
    vendor_project.manage("migrate")
    vendor_project.python("from shop.models import *; Product.objects.update(size=4)")
    vendor_project.manage("migrate", "shop", "0002")
    vendor_project.manage("migrate", "shop", "0003")
    (residue,) = [name for name in tables(vendor_project) if name.endswith("_made")]
    unmark = f"ALTER TABLE {residue} DROP COLUMN django_devtools_edited"
    edit = "UPDATE shop_product SET weight = 7 WHERE id = 1"
    for statement in (unmark, edit):
        vendor_project.python(
            f"from django.db import connection; connection.cursor().execute({statement!r})"
        )
    vendor_project.manage("migrate")
    assert values(vendor_project, "weight") == "7; 3; 3"
    assert values(vendor_project, "size") == "4; 4; 4"


@pytest.mark.no_cover
def test_rows_that_came_while_older_ones_wait(project: Project) -> None:
    """They are saved as well, and are not replaced by those that could not come before."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT + PART)
    project.models("shop", PRODUCT + PART.replace("name", "title"))
    rename = 'migrations.RenameField("part", "name", "title"),'
    project.migration("shop", "0004_title", rename, [("shop", "0003_more")])
    project.manage("migrate")
    fill(project, "Part.objects.create(title='old')")

    project.manage("migrate", "shop", "0002")
    said = project.manage("migrate", "shop", "0003").stderr
    assert "table shop_part: still in the stash, because it was dropped together with" in said
    insert = "INSERT INTO shop_part (id, name) VALUES (1, 'new')"
    project.python(f"from django.db import connection; connection.cursor().execute({insert!r})")
    project.manage("migrate", "shop", "0002")
    found = json.loads(project.manage("migrations_stash", "list", "--json").stdout)
    assert [(one["table"], one["rows"]) for one in found] == [("shop_part", 1)] * 2

    said = project.manage("migrate").stderr
    assert "1 of 1 row of table shop_part stays in the stash: other rows are there with" in said
    assert values(project, "title", model="Part") == "new"


@pytest.mark.no_cover
def test_to_zero_and_all_again(project: Project) -> None:
    """The column is restored midway to zero, and goes with its table: it is saved once more."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT + NOTE)
    project.python("from shop.models import *; Product.objects.update(note='n')")
    *_, last = sorted(path.stem for path in (project.path / "shop/migrations").glob("0*.py"))
    add_migration(project, "0009_less", 'migrations.RemoveField("product", "note"),', last)
    rename = 'migrations.RenameField("product", "name", "title"),'
    add_migration(project, "0010_rename", rename, "0009_less")
    for arguments in ([], ["shop", "zero"], ["shop", "0009"]):
        project.manage("migrate", *arguments)
    update = "UPDATE shop_product SET name = 'edited'"
    project.python(f"from django.db import connection; connection.cursor().execute({update!r})")
    project.manage("migrate")
    assert not any("title" in entry for entry in kept(project))
    project.manage("migrate", "shop", last)
    assert values(project, "note") == "n; n; n"
    assert values(project, "name") == "edited; edited; edited"
    assert not kept(project)


def test_what_waits_follows_two_renames_of_one_migrate(project: Project) -> None:
    """The second table takes the name that the first one had."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT + NOTE + PART)
    project.python("from shop.models import *; Product.objects.update(note='n')")
    *_, last = sorted(path.stem for path in (project.path / "shop/migrations").glob("0*.py"))
    add_migration(project, "0009_less", 'migrations.RemoveField("product", "note"),', last)
    project.manage("migrate")
    other = 'migrations.RenameModel("Part", "Other"),'
    add_migration(project, "0010_other", other, "0009_less")
    add_migration(project, "0011_part", 'migrations.RenameModel("Product", "Part"),', "0010_other")
    options = 'migrations.AlterModelOptions("other", {"ordering": ["pk"]}),'
    add_migration(project, "0012_options", options, "0011_part")
    project.manage("migrate")
    assert kept(project) == {"shop_part.note 3"}
    project.manage("migrate", "shop", last)
    assert values(project, "note") == "n; n; n"
    assert not kept(project)


def test_a_rename_in_an_app_that_comes_later_in_the_plan_of_django(shop: Project) -> None:
    """What Django takes for the state before the next migration has nothing of that app."""
    shop.app("crm", "class Deal(models.Model):\n    pass\n")
    deal = 'migrations.CreateModel("Deal", [("id", models.BigAutoField(primary_key=True))]),'
    shop.migration("crm", "0001_deal", deal, [("shop", "0002_longer_name")])
    shop.manage("migrate")
    renamed = """
    migrations.AddField("deal", "size", models.IntegerField(default=1)),
    migrations.RenameField("deal", "size", "length"),
    """
    last = sorted(file.stem for file in (shop.path / "shop/migrations").glob("0*.py"))[-1]
    add = 'migrations.AddField("product", "early", models.IntegerField(default=1)),'
    before = 'run_before = [("crm", "0002_renamed")]'
    shop.migration("shop", "0009_early", add, [("shop", last)], body=before)
    shop.migration("crm", "0002_renamed", renamed, [("crm", "0001_deal")])
    shop.manage("migrate")
    rows = dump(shop)

    assert "Unapplying crm.0002_renamed... OK" in shop.manage("migrate", "shop", "zero").stdout
    shop.manage("migrate")

    assert dump(shop) == rows
    assert not kept(shop)


def test_nothing_is_saved_of_what_is_faked(vendor_project: Project) -> None:
    """Nothing is dropped then; and what is said within a line of Django's does not break it."""
    make_shop_with_feature(vendor_project)
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    vendor_project.python("from shop.models import *; Product.objects.create(colour='red')")

    assert "Saving" not in vendor_project.manage("migrate", "--fake", "shop", "0002").stdout
    assert kept(vendor_project) == set()
    vendor_project.manage("migrate", "--fake")

    assert vendor_project.manage("migrate", "shop", "0002").stdout.endswith(
        "  Unapplying shop.0003_colour...\n"
        "  Saving column shop_product.colour... OK\n"
        "  Unapplying shop.0003_colour... OK\n"
    )
    assert kept(vendor_project) == {"shop_product.colour 1"}
