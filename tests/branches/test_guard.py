"""Plain ``migrate``, and what is applied and has no file here."""

import re

import pytest

from tests.branches.shop import PRODUCT, columns, tables
from tests.branches.stash.stashing import dump, go, kept, values
from tests.branches.stash.test_owners import PART, fill
from tests.branches.stash.test_stash import WEIGHT, make_products
from tests.project import Project

pytestmark = pytest.mark.once
sqlite_alone = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

SIZE = "    size = models.IntegerField(default=1)\n"
ADD = 'migrations.AddField("product", "{}", models.{}),'
ADD_WEIGHT = ADD.format("weight", "IntegerField(default=0)")
ADD_SIZE = ADD.format("size", "IntegerField(default=1)")
CREATE_PART = """
migrations.CreateModel("Part", [
    ("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=9)),
]),
"""
DOUBLE = "migrations.RunPython(double, migrations.RunPython.noop),"
CODE = """
def double(apps, schema_editor):
    for product in apps.get_model("shop", "Product").objects.all():
        product.name *= 2
        product.save()
"""
REFUSED = (
    "CommandError: The work of {} is done: it is applied under other names, {}. To run it again "
    "may lose values, so nothing was run. To give the rows of django_migrations the new names, "
    "and apply the rest, run `manage.py migrations_switch`. If the database does not have it, "
    "`manage.py migrate shop --prune` deletes the old rows.\n"
)


def add(project: Project, name: str, operations: str, after: str = "0002_longer_name") -> None:
    project.migration("shop", name, operations, [("shop", after)], CODE)


def rename(project: Project, old: str, new: str) -> None:
    project.git("mv", f"shop/migrations/{old}.py", f"shop/migrations/{new}.py")
    project.commit("Another name")


TAG = """
class Tag(models.Model):
    thing = models.ForeignKey(Product, models.CASCADE, null=True)
"""
CREATE_TAG = """
migrations.CreateModel("Tag", [
    ("id", models.BigAutoField(primary_key=True)),
    ("thing", models.ForeignKey("shop.Product", models.CASCADE, null=True)),
]),
"""
KEY = "models.CharField(max_length=9, primary_key=True)"
ALTER_KEY = f'migrations.AlterField("product", "id", {KEY}),'


@pytest.fixture
def shop(vendor_project: Project) -> Project:
    """With products."""
    vendor_project.settings("DJANGO_DEVTOOLS = {}")
    make_products(vendor_project, PRODUCT)
    return vendor_project


@pytest.fixture
def weights(shop: Project) -> Project:
    """With a weight in each product, by the last migration."""
    shop.checkout("-b", "feature")
    shop.models("shop", PRODUCT + WEIGHT)
    add(shop, "0003_weight", ADD_WEIGHT)
    shop.commit("Weight")
    shop.manage("migrate")
    fill(shop, "Product.objects.update(weight=4)")
    return shop


def refused(project: Project, *arguments: str) -> str:
    """What ``migrate`` says when it refuses, and changes nothing."""
    before = dump(project)
    said = project.manage("migrate", *arguments, status=1).stderr
    assert dump(project) == before
    return said[said.index("CommandError") :]


def test_a_renamed_file(weights: Project) -> None:
    rename(weights, "0003_weight", "0003_renamed")
    before = dump(weights)

    said = refused(weights)

    assert said == REFUSED.format("shop.0003_renamed", "shop.0003_weight")
    assert "Forgetting shop.0003_weight... OK" in weights.switch()
    assert dump(weights) == before
    weights.assert_in_step()


def test_what_is_only_looked_at_or_faked(weights: Project) -> None:
    rename(weights, "0003_weight", "0003_renamed")
    before = dump(weights)
    assert "shop.0003_renamed" in weights.manage("migrate", "--plan").stdout
    weights.manage("migrate", "--check", status=1)
    weights.manage("migrate", "contenttypes")
    assert "FAKED" in weights.manage("migrate", "--fake").stdout
    assert dump(weights) == before
    weights.manage("migrate")


@pytest.mark.parametrize(
    "settings", ["DEBUG = False", "from django.core import mail\nmail.outbox = []"]
)
def test_where_nothing_is_saved_either(project: Project, settings: str) -> None:
    """In production, and in databases of tests that are kept."""
    make_products(project, PRODUCT)
    add(project, "0003_double", DOUBLE)
    project.commit("Double")
    project.settings(f"DJANGO_DEVTOOLS = {{}}\n{settings}")
    project.manage("migrate")
    rename(project, "0003_double", "0003_renamed")
    project.manage("migrate")
    assert values(project, "name") == "p1p1p1p1; p2p2p2p2; p3p3p3p3"


def test_renumbered_above_another_one(weights: Project) -> None:
    """Even if only that is to be applied: SQLite makes the table anew for it."""
    weights.models("shop", PRODUCT + WEIGHT + SIZE)
    add(weights, "0003_size", ADD_SIZE)
    weights.remove("shop/migrations/0003_weight.py")
    add(weights, "0004_weight", ADD_WEIGHT, "0003_size")
    weights.commit("Rebased")

    for arguments in ([], ["shop", "0003"]):
        said = refused(weights, *arguments)
        assert said == REFUSED.format("shop.0004_weight", "shop.0003_weight")
    weights.switch()

    assert values(weights, "weight", "size") == "4 1; 4 1; 4 1"
    weights.assert_in_step()


def test_a_row_whose_work_was_undone_by_hand(weights: Project) -> None:
    rename(weights, "0003_weight", "0003_renamed")
    drop = "ALTER TABLE shop_product DROP COLUMN weight"
    weights.python(f"from django.db import connection; connection.cursor().execute({drop!r})")
    assert "the database does not have it, `manage.py migrate shop --prune`" in refused(weights)
    weights.manage("migrate", "shop", "--prune")
    weights.manage("migrate")
    assert values(weights, "weight") == "0; 0; 0"


def test_code_that_would_run_twice(shop: Project) -> None:
    add(shop, "0003_double", DOUBLE)
    shop.commit("Double")
    shop.manage("migrate")
    rename(shop, "0003_double", "0003_renamed")

    assert refused(shop) == REFUSED.format("shop.0003_renamed", "shop.0003_double")
    shop.switch()

    assert values(shop, "name") == "p1p1; p2p2; p3p3"


@pytest.mark.parametrize(
    "operations", ["", 'migrations.AlterModelOptions("product", {"verbose_name": "thing"}),']
)
def test_what_does_nothing_may_be_run_again(project: Project, operations: str) -> None:
    """As where two people have merged the same leaf nodes."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT)
    project.checkout("-b", "feature")
    add(project, "0003_merge", operations)
    project.commit("Merge")
    project.manage("migrate")
    project.checkout("-b", "other", "main")
    add(project, "0003_merge_of_another", operations)
    project.manage("migrate")
    project.switch()
    project.manage("migrations_switch", "--check")


def test_a_table(shop: Project) -> None:
    shop.models("shop", PRODUCT + PART)
    add(shop, "0003_part", CREATE_PART)
    shop.commit("Part")
    shop.manage("migrate")
    fill(shop, "Part.objects.create(name='a')")
    rename(shop, "0003_part", "0003_renamed")
    assert refused(shop) == REFUSED.format("shop.0003_renamed", "shop.0003_part")
    shop.switch()
    assert values(shop, "name", model="Part") == "a"


def test_a_column_that_was_dropped(weights: Project) -> None:
    weights.models("shop", PRODUCT)
    add(weights, "0004_less", 'migrations.RemoveField("product", "weight"),', "0003_weight")
    weights.commit("Less")
    weights.manage("migrate")
    rename(weights, "0004_less", "0004_renamed")
    assert refused(weights) == REFUSED.format("shop.0004_renamed", "shop.0004_less")
    weights.switch()
    assert kept(weights) == {"shop_product.weight 3"}


def test_a_squash_that_does_not_say_so(weights: Project) -> None:
    for path in (weights.path / "shop/migrations").glob("0*.py"):
        path.unlink()
    weights.manage("makemigrations", "shop", "--name=squashed")
    weights.commit("Squashed")
    replaced = "shop.0001_initial, shop.0002_longer_name, shop.0003_weight"
    assert refused(weights) == REFUSED.format("shop.0001_squashed", replaced)
    weights.switch()
    assert values(weights, "weight") == "4; 4; 4"
    weights.assert_in_step()


def squash(project: Project) -> None:
    """Squash all, forget what was squashed, and have ``migrate --prune`` delete its rows."""
    project.checkout("-b", "squashed")
    names = ["0001", "0003", "--no-input", "--squashed-name=squashed"]
    project.manage("squashmigrations", "shop", *names)
    project.manage("migrate")
    project.commit("Squash")
    project.checkout("-b", "cleaned")
    for number in ("0001_initial", "0002_longer_name", "0003_weight"):
        project.remove(f"shop/migrations/{number}.py")
    file = project.path / "shop/migrations/0001_squashed.py"
    file.write_text(re.sub(r"replaces = \[.*?\]", "", file.read_text(), flags=re.DOTALL))
    project.commit("Clean up")
    project.manage("migrate", "shop", "--prune")


@pytest.mark.parametrize(
    ("target", "again", "others"),
    [
        ("feature", "shop.0001_initial, shop.0002_longer_name, shop.0003_weight", True),
        ("feature~1", "shop.0001_initial, shop.0002_longer_name", True),
        ("squashed", "shop.0001_squashed", False),
    ],
)
def test_a_squash_whose_parts_were_pruned(
    weights: Project, target: str, again: str, others: bool
) -> None:
    """The text on record names what it replaced, and nothing of that has a row."""
    squash(weights)
    weights.checkout(target)

    said = refused(weights)

    if others:
        assert said == REFUSED.format(again, "shop.0001_squashed")
    else:
        assert said == (
            f"CommandError: The work of {again} is done: it is applied, but the rows of the "
            "migrations that it replaces were deleted. To run it again may lose values, so "
            "nothing was run. To give django_migrations the missing rows, and apply the rest, run "
            "`manage.py migrations_switch`.\n"
        )
    weights.switch()
    weights.assert_in_step()
    go(weights, "feature")
    assert values(weights, "weight") == "4; 4; 4"


def test_a_squash_whose_table_has_another_name_by_now(weights: Project) -> None:
    squash(weights)
    weights.models("shop", RENAMED + WEIGHT)
    rename_model = 'migrations.RenameModel("Product", "Thing"),'
    add(weights, "0002_thing", rename_model, "0001_squashed")
    weights.commit("Thing")
    weights.manage("migrate")
    weights.checkout("squashed")
    assert "The work of shop.0001_squashed is done" in refused(weights)
    weights.switch()
    weights.assert_in_step()
    assert values(weights, "weight") == "4; 4; 4"


def test_a_squash_that_was_squashed_again(weights: Project) -> None:
    squash(weights)
    weights.models("shop", PRODUCT + WEIGHT + SIZE)
    add(weights, "0002_size", ADD_SIZE, "0001_squashed")
    weights.manage("migrate")
    names = ["0001", "0002", "--no-input", "--squashed-name=all"]
    weights.manage("squashmigrations", "shop", *names)
    weights.manage("migrate")
    weights.commit("Squash again")
    weights.checkout("squashed")
    assert "The work of shop.0001_squashed is done" in refused(weights)
    weights.switch()
    weights.assert_in_step()
    assert values(weights, "weight") == "4; 4; 4"


def test_a_pruned_squash_that_was_edited(weights: Project) -> None:
    """The text of the target tells what it replaces, whatever that on record does."""
    squash(weights)
    file = weights.path / "shop/migrations/0001_squashed.py"
    code = "operations = [migrations.RunPython(migrations.RunPython.noop),"
    file.write_text(file.read_text().replace("operations = [", code))
    weights.commit("Edit")
    weights.assert_in_step()
    assert "Databases and code are in step." in weights.manage("migrations_status").stdout
    assert "shop.0001_initial" not in weights.states()
    weights.manage("migrations_snapshot", "--accept")
    weights.checkout("squashed")
    assert "The work of shop.0001_squashed is done" in refused(weights)
    weights.switch()
    weights.assert_in_step()
    assert values(weights, "weight") == "4; 4; 4"


def test_a_squash_whose_row_outlived_its_parts(weights: Project) -> None:
    """As where Django unapplied them on a branch without the squash: it is pending."""
    squash(weights)
    weights.checkout("main")
    weights.switch()
    weights.manage("migrate", "shop", "zero")
    weights.python(
        "from django.db.migrations.recorder import MigrationRecorder as R\n"
        "R.Migration.objects.create(app='shop', name='0001_squashed')"
    )
    weights.checkout("squashed")
    weights.manage("migrate")
    assert columns(weights) == {"id", "name", "weight"}
    weights.assert_in_step()


@sqlite_alone
@pytest.mark.parametrize("command", ["migrate", "migrations_switch"])
def test_a_column_whose_row_was_pruned_on_another_branch(weights: Project, command: str) -> None:
    """No model knows it, so SQLite leaves it out; it comes back with its branch."""
    make_other(weights, PRODUCT + SIZE, ADD_SIZE)
    weights.manage("migrate", "shop", "--prune")

    said = weights.manage(command).stdout

    assert "Saving column shop_product.weight... OK" in said
    assert kept(weights) == {"shop_product.weight 3"}
    weights.assert_in_step()
    go(weights, "main")
    assert kept(weights) == {"shop_product.weight 3", "shop_product.size 3"}
    weights.checkout("feature")
    plan = weights.manage("migrations_switch", "--plan").stdout
    assert "restored from the stash:\n    column shop_product.weight (3 rows)" in plan
    weights.switch()
    assert values(weights, "weight") == "4; 4; 4"
    weights.assert_in_step()


@sqlite_alone
def test_a_column_that_no_migration_has_made(shop: Project) -> None:
    """The plan says that it is saved, and migrate is not held up by it."""
    sql = "ALTER TABLE shop_product ADD COLUMN mine integer"
    update = "UPDATE shop_product SET mine = 5"
    for one in (sql, update):
        shop.python(f"from django.db import connection; connection.cursor().execute({one!r})")
    shop.models("shop", PRODUCT + SIZE)
    add(shop, "0003_size", ADD_SIZE)
    plan = shop.manage("migrations_switch", "--plan").stdout
    assert "saved in the stash:\n    column shop_product.mine (3 rows)" in plan
    shop.manage("migrate")
    assert columns(shop) == {"id", "name", "size"}
    assert kept(shop) == {"shop_product.mine 3"}


@sqlite_alone
def test_a_column_of_a_table_with_capital_letters(shop: Project) -> None:
    """SQLite takes names that differ only in case for the same."""
    meta = '    class Meta:\n        db_table = "Part"\n'
    shop.models("shop", f"{PRODUCT}{PART.rstrip()}\n{meta}")
    rename_table = 'migrations.AlterModelTable("part", "Part"),'
    add(shop, "0003_part", CREATE_PART + rename_table)
    shop.manage("migrate")
    fill(shop, "Part.objects.create(name='a')")
    for one in ("ALTER TABLE Part ADD COLUMN mine integer", "UPDATE Part SET mine = 5"):
        shop.python(f"from django.db import connection; connection.cursor().execute({one!r})")
    size = 'migrations.AddField("part", "size", models.IntegerField(default=1)),'
    add(shop, "0004_size", size, "0003_part")
    shop.manage("migrate")
    assert "Part.mine 1" in kept(shop)


@sqlite_alone
def test_a_column_of_a_table_that_follows_the_type_of_its_parent(shop: Project) -> None:
    """A foreign key gets the type of the key, so its table is made anew, too."""
    shop.models("shop", PRODUCT + TAG)
    add(shop, "0003_tag", CREATE_TAG)
    shop.manage("migrate")
    fill(shop, "Tag.objects.create()")
    for one in ("ALTER TABLE shop_tag ADD COLUMN mine integer", "UPDATE shop_tag SET mine = 5"):
        shop.python(f"from django.db import connection; connection.cursor().execute({one!r})")
    add(shop, "0004_key", ALTER_KEY, "0003_tag")
    shop.manage("migrate")
    assert columns(shop, "shop_tag") == {"id", "thing_id"}
    assert "shop_tag.mine 1" in kept(shop)


@sqlite_alone
def test_a_table_that_differs_from_what_would_be_made(shop: Project) -> None:
    """To fake its migration would leave it as it is."""
    for one in (
        "CREATE TABLE shop_part (id integer NOT NULL PRIMARY KEY, name varchar(4) NOT NULL)",
        "INSERT INTO shop_part VALUES (1, 'a')",
    ):
        shop.python(f"from django.db import connection; connection.cursor().execute({one!r})")
    shop.models("shop", PRODUCT + PART)
    add(shop, "0003_part", CREATE_PART)
    said = refused(shop)
    assert "which is there already. It is not what shop.0003_part makes. If nothing" in said
    assert "--fake" not in said
    drop = 'DROP TABLE "shop_part";'
    assert f"run `{drop}` in `manage.py dbshell`" in said
    other = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    shop.settings(f'DATABASES["other"] = {other}')
    assert f"run `{drop}` in `manage.py dbshell --database default`" in refused(shop)
    shop.python(f"from django.db import connection; connection.cursor().execute({drop!r})")
    shop.manage("migrate")
    assert values(shop, "name", model="Part") == ""


@sqlite_alone
def test_a_table_that_is_what_would_be_made(shop: Project) -> None:
    """A proxy of its model has no columns of its own."""
    proxy = "class Piece(Part):\n    class Meta:\n        proxy = True\n"
    create_proxy = (
        'migrations.CreateModel("Piece", [], options={"proxy": True}, bases=("shop.part",)),'
    )
    shop.models("shop", PRODUCT + PART + proxy)
    add(shop, "0003_part", CREATE_PART + create_proxy)
    shop.manage("migrate")
    shop.manage("migrate", "--fake", "shop", "0002")
    said = refused(shop)
    assert "would make table shop_part, which is there already." in said
    assert said.count(FAKE.format("shop", "0003_part")) == 1


@sqlite_alone
def test_the_name_that_a_table_has_when_it_is_refused(weights: Project) -> None:
    """A later migration of the same run would give it another one."""
    add(weights, "0004_thing", 'migrations.RenameModel("Product", "Thing"),', "0003_weight")
    weights.models("shop", RENAMED + WEIGHT)
    weights.manage("migrate", "--fake", "shop", "0002")
    assert CONTRADICTION.format("", "0003_weight") in both_refuse(weights)


def test_a_column_of_another_branch_in_a_table_that_is_made_anew(weights: Project) -> None:
    """Where tables are altered in place, it does not matter."""
    weights.checkout("-b", "other", "main")
    weights.models("shop", PRODUCT + SIZE)
    add(weights, "0003_size", ADD_SIZE)
    weights.commit("Size")
    before = dump(weights)

    result = weights.manage("migrate", status=None)

    if weights.databases["default"]["ENGINE"].endswith("sqlite3"):
        assert result.stderr.endswith(
            "CommandError: shop.0003_size drops column shop_product.weight, because SQLite makes "
            "the table anew, so it was rolled back. Migrations without a file here may have made "
            "it: shop.0003_weight. To bring the database into step, run `manage.py "
            "migrations_switch`.\n"
        )
        assert dump(weights) == before
    else:
        assert result.status == 0
    weights.switch()
    assert columns(weights) == {"id", "name", "size"}
    go(weights, "feature")
    assert values(weights, "weight") == "4; 4; 4"


def make_other(project: Project, models: str, operations: str, body: str = "") -> None:
    """A branch that knows no weight, and a migration of it that is not applied."""
    project.checkout("-b", "other", "main")
    project.models("shop", models)
    project.migration("shop", "0003_other", operations, [("shop", "0002_longer_name")], body=body)
    project.commit("Other")


RENAMED = PRODUCT.replace("class Product", "class Thing")
RENAME = 'migrations.RenameModel("Product", "Thing"),' + ADD_SIZE.replace("product", "thing")


@sqlite_alone
@pytest.mark.parametrize(
    ("models", "operations", "body", "said"),
    [
        (RENAMED + SIZE, RENAME, "", "shop.0003_other drops column shop_product.weight, because"),
        (
            PRODUCT + SIZE,
            ADD_SIZE,
            "atomic = False",
            "shop.0003_other may drop column shop_product.weight, because SQLite makes tables",
        ),
    ],
    ids=["in a table that is renamed", "without a transaction"],
)
def test_a_column_of_another_branch(
    weights: Project, models: str, operations: str, body: str, said: str
) -> None:
    make_other(weights, models, operations, body)
    assert refused(weights).startswith(f"CommandError: {said}")
    weights.switch()
    go(weights, "feature")
    assert values(weights, "weight") == "4; 4; 4"


@sqlite_alone
def test_a_column_whose_migration_nobody_has(weights: Project) -> None:
    make_other(weights, PRODUCT + SIZE, ADD_SIZE)
    weights.git("branch", "--quiet", "-D", "feature")
    weights.git("reflog", "expire", "--expire=now", "--all")
    file = weights.path / ".git/django-devtools/snapshots.json"
    for text in ("{", None):
        file.write_text(text) if text else file.unlink()
        said = "CommandError: shop.0003_other drops column shop_product.weight, because SQLite"
        assert refused(weights).startswith(said)
        if text:
            words = "Whether what is pending is applied under other names is not known: "
            assert words in weights.manage("migrate", status=1).stderr


LINKED = """
class Tag(models.Model):
    thing = models.ForeignKey(Thing, models.CASCADE, null=True)
    things = models.ManyToManyField(Thing, related_name="+")

    class Meta:
        order_with_respect_to = "thing"
"""
LINK = """
migrations.CreateModel("Tag", [
    ("id", models.BigAutoField(primary_key=True)),
    ("thing", models.ForeignKey("shop.Product", models.CASCADE, null=True)),
    ("things", models.ManyToManyField("shop.Product", related_name="+")),
], options={"order_with_respect_to": "thing"}),
"""


@sqlite_alone
def test_what_django_has_made_itself(shop: Project) -> None:
    """Columns that are no field of their model are none of another branch."""
    shop.models("shop", RENAMED + LINKED)
    add(shop, "0003_link", LINK)
    shop.manage("migrate")
    add(shop, "0004_gone", "", "0003_link")
    shop.manage("migrate")
    shop.remove("shop/migrations/0004_gone.py")
    add(shop, "0004_rename", 'migrations.RenameModel("Product", "Thing"),', "0003_link")
    forget = 'migrations.AlterOrderWithRespectTo("tag", None),'
    add(shop, "0005_unordered", forget, "0004_rename")
    shop.manage("migrate")
    assert columns(shop, "shop_tag") == {"id", "thing_id"}
    shop.manage("migrate", "shop", "0002")


@sqlite_alone
def test_a_column_that_is_dropped_in_two_steps(shop: Project) -> None:
    """First in the models, and then in the database."""
    add(shop, "0003_weight", ADD_WEIGHT)
    forget = (
        'migrations.SeparateDatabaseAndState([], [migrations.RemoveField("product", "weight")]),'
    )
    add(shop, "0004_forget", forget, "0003_weight")
    add(shop, "0005_gone", "migrations.RunPython(migrations.RunPython.noop),", "0004_forget")
    shop.manage("migrate")
    shop.remove("shop/migrations/0005_gone.py")
    drop = 'migrations.RunSQL("ALTER TABLE shop_product DROP COLUMN weight"),'
    add(shop, "0005_drop", drop, "0004_forget")
    shop.manage("migrate")
    assert columns(shop) == {"id", "name"}


def test_a_way_back_below_a_column_of_another_branch(weights: Project) -> None:
    weights.checkout("main")
    result = weights.manage("migrate", "shop", "0001", status=None)
    if weights.databases["default"]["ENGINE"].endswith("sqlite3"):
        said = "CommandError: shop.0002_longer_name drops column shop_product.weight, because"
        assert said in result.stderr
    go(weights, "feature")
    assert values(weights, "weight") == "4; 4; 4"


def test_what_was_left_applied(project: Project) -> None:
    """The switch, which knows it, takes the column along."""
    project.settings("DJANGO_DEVTOOLS = {}")
    make_products(project, PRODUCT)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + WEIGHT)
    add(project, "0003_weight", ADD_WEIGHT + "migrations.RunPython(double),")
    project.commit("Weight")
    project.manage("migrate")
    project.checkout("main")
    project.switch("--irreversible=keep")
    project.models("shop", PRODUCT + SIZE)
    add(project, "0003_size", ADD_SIZE)

    assert "drops column shop_product.weight" in refused(project)
    project.switch()

    assert columns(project) == {"id", "name", "weight", "size"}
    project.manage("migrate")


def test_what_another_branch_has_made_otherwise(weights: Project) -> None:
    weights.checkout("-b", "other", "main")
    weights.models("shop", PRODUCT + WEIGHT.replace("Integer", "BigInteger"))
    add(weights, "0003_other", ADD.format("weight", "BigIntegerField(default=0)"))
    weights.commit("Another weight")

    assert refused(weights) == (
        "CommandError: shop.0003_other would make column shop_product.weight, which is there "
        "already. Migrations without a file here may have made it: shop.0003_weight. To bring the "
        "database into step, run `manage.py migrations_switch`.\n"
    )
    weights.switch()
    weights.assert_in_step()


def test_a_table_that_another_branch_has_made(shop: Project) -> None:
    shop.checkout("-b", "feature")
    shop.models("shop", PRODUCT + PART)
    add(shop, "0003_part", CREATE_PART)
    shop.commit("Part")
    shop.manage("migrate")
    shop.checkout("-b", "other", "main")
    shop.models("shop", PRODUCT + PART.replace("9", "12"))
    add(shop, "0003_other", CREATE_PART.replace("9", "12"))
    shop.commit("Another part")
    said = refused(shop)
    assert said.startswith("CommandError: shop.0003_other would make table shop_part, which is")
    shop.manage("migrate", "--fake-initial", status=1)
    assert "shop_part" in tables(shop)


CONTRADICTION = (
    "The rows of django_migrations contradict the database: {}applying shop.{} would make column "
    "shop_product.weight, which is there already."
)
FAKE = " If it is what {0}.{1} makes, run `manage.py migrate {0} {1} --fake`."
DROP_WEIGHT = (
    " If nothing needs column shop_product.weight, run `ALTER TABLE {0}shop_product{0} DROP "
    "COLUMN {0}weight{0};` in `manage.py dbshell`."
)


def drop_weight(project: Project) -> str:
    is_mysql = project.databases["default"]["ENGINE"].endswith("mysql")
    return DROP_WEIGHT.format("`" if is_mysql else '"')


def both_refuse(project: Project) -> str:
    """What ``migrate`` and the switch say alike, when they refuse."""
    said = refused(project)
    assert project.manage("migrations_switch", status=1).stderr == said
    return said


def test_a_column_of_which_the_rows_know_nothing(weights: Project) -> None:
    """SQLite would make the table anew, and fill the column with its default."""
    weights.manage("migrate", "--fake", "shop", "0002")
    contradiction = CONTRADICTION.format("", "0003_weight")
    words = f"{contradiction}{FAKE.format('shop', '0003_weight')}{drop_weight(weights)}"

    assert both_refuse(weights) == f"CommandError: {words}\n"
    assert weights.manage("migrate", "shop", "0003_weight", "--fake").stderr == ""

    assert values(weights, "weight") == "4; 4; 4"
    weights.assert_in_step()


def test_a_table_whose_columns_only_another_branch_has(weights: Project) -> None:
    """To drop the table would take the rows of both."""
    weights.manage("migrate", "--fake", "shop", "zero")
    weights.checkout("main")

    said = both_refuse(weights)

    assert "would make table shop_product, which is there already. If it is what shop" in said
    fake = "makes but for column shop_product.weight, run `manage.py migrate shop 0001_initial --"
    assert fake in said
    assert said.endswith(f"{drop_weight(weights)}\n")
    assert "DROP TABLE" not in said


def test_what_is_there_of_a_migration_in_part(weights: Project) -> None:
    """As where MySQL could not roll back: to fake it would leave the rest out."""
    weights.manage("migrate", "--fake", "shop", "0002")
    weights.models("shop", PRODUCT + WEIGHT + SIZE)
    add(weights, "0003_weight", ADD_WEIGHT + ADD_SIZE)
    words = CONTRADICTION.format("", "0003_weight") + " It is not what shop.0003_weight makes."
    assert both_refuse(weights) == f"CommandError: {words}{drop_weight(weights)}\n"


def test_a_column_that_is_null_where_it_would_not_be(weights: Project) -> None:
    weights.manage("migrate", "--fake", "shop", "0002")
    weights.models("shop", PRODUCT + WEIGHT.replace("default=0", "null=True"))
    add(weights, "0003_weight", ADD.format("weight", "IntegerField(null=True)"))
    assert "It is not what shop.0003_weight makes. If nothing" in both_refuse(weights)


def test_an_operation_that_looks_first(weights: Project) -> None:
    weights.manage("migrate", "--fake", "shop", "0002")
    looks = """
class AddUnlessThere(migrations.AddField):
    def database_forwards(self, *arguments):
        pass
"""
    operations = ADD_WEIGHT.replace("migrations.AddField", "AddUnlessThere")
    weights.migration("shop", "0003_weight", operations, [("shop", "0002_longer_name")], looks)
    weights.manage("migrate")
    assert values(weights, "weight") == "4; 4; 4"


@sqlite_alone
def test_a_column_above_an_initial_migration_that_is_faked(weights: Project) -> None:
    """What comes before makes the table anew, without the column, which comes back then."""
    weights.manage("migrate", "--fake", "shop", "zero")
    said = weights.manage("migrate", "--fake-initial")
    assert "Applying shop.0001_initial... FAKED" in said.stdout
    assert values(weights, "weight") == "4; 4; 4"
    assert kept(weights) == set()


def test_a_column_whose_removal_was_faked(weights: Project) -> None:
    add(weights, "0004_no_weight", 'migrations.RemoveField("product", "weight"),', "0003_weight")
    weights.manage("migrate", "--fake")
    words = CONTRADICTION.format("un", "0004_no_weight")
    words += " Correct the rows with `manage.py migrate --fake`."
    assert words in refused(weights, "shop", "0003")
    weights.remove("shop/migrations/0004_no_weight.py")
    assert words in weights.manage("migrations_switch", status=1).stderr
    assert values(weights, "weight") == "4; 4; 4"


@pytest.mark.parametrize(
    "first", ["migrations.RunSQL('ALTER TABLE shop_product DROP COLUMN weight'),", ""]
)
def test_a_column_that_gives_way(weights: Project, first: str) -> None:
    """By SQL of the same migration, or by another one of the same run."""
    weights.remove("shop/migrations/0003_weight.py")
    weights.manage("migrate", "shop", "--prune")
    drop = "migrations.RunSQL('ALTER TABLE shop_product DROP COLUMN weight'),"
    if not first:
        add(weights, "0003_drop", drop)
        add(weights, "0004_weight", ADD_WEIGHT, "0003_drop")
    else:
        add(weights, "0003_weight", first + ADD_WEIGHT)
    weights.manage("migrate")
    assert values(weights, "weight") == "0; 0; 0"


def test_what_was_left_applied_is_not_made_again(project: Project) -> None:
    """The project state can't tell it from the other one, and both were dropped as one."""
    make_products(project, PRODUCT)
    project.checkout("-b", "feature")
    add(project, "0003_weight", ADD_WEIGHT)
    add(project, "0004_run", "migrations.RunPython(double),", "0003_weight")
    project.commit("Weight")
    project.switch()
    project.checkout("-b", "other", "main")
    project.models("shop", PRODUCT + WEIGHT + SIZE)
    add(project, "0003_other", ADD_WEIGHT + ADD_SIZE)
    project.commit("Other")
    before = dump(project)

    said = project.manage("migrations_switch", "--irreversible=keep", status=1).stderr

    assert said == (
        "CommandError: What is left applied has made shop.product.weight (by shop.0003_weight), "
        "which shop.0003_other would make as well. To have it unapplied, with its RunPython and "
        "RunSQL treated as empty, run `manage.py migrations_switch --irreversible=noop`.\n"
    )
    assert dump(project) == before
    project.switch("--irreversible=noop")
    project.assert_in_step()
