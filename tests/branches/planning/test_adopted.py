"""What both sides have under other names is never dropped, in real projects."""

import re
from collections.abc import Callable
from itertools import product

import pytest

from tests.branches.histories import from_nothing, observe
from tests.branches.shop import ID
from tests.databases import Configuration
from tests.project import Project

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

PRODUCT = "class Product(models.Model):\n    name = models.CharField(max_length=50)\n"
ORDER = """\
class Order(models.Model):
    product = models.ForeignKey("shop.Product", models.CASCADE)
    tags = models.ManyToManyField("shop.Product", related_name="+")
"""
NAME = '("name", models.CharField(max_length=50)),'
CREATE_ORDER = f"""
migrations.CreateModel("Order", [
    {ID}
    ("product", models.ForeignKey("shop.Product", models.CASCADE)),
    ("tags", models.ManyToManyField(to="shop.Product", related_name="+")),
]),
"""
FILL = """
from crm.models import Order
from shop.models import Product
product = Product.objects.create(name="Chair")
Order.objects.create(product=product).tags.add(product)
"""
COUNT = """
from crm.models import Order
from shop.models import Product
print(Product.objects.values(), Order.tags.through.objects.count(), Order.objects.count())
"""

Branches = tuple[str, ...]


def shop(project: Project, *fields: str) -> None:
    """The models of the shop: a product with ``fields``."""
    columns = "".join(f"    {name} = models.IntegerField(default=7)\n" for name in fields)
    project.models("shop", PRODUCT + columns)


def create(project: Project, name: str, *fields: str, body: str = "") -> None:
    """A migration that creates the product."""
    columns = "".join(f'("{field}", models.IntegerField(default=7)),' for field in fields)
    operation = f'migrations.CreateModel("Product", [{ID} {NAME} {columns}]),'
    project.migration("shop", name, operation, body=body)


def add(project: Project, name: str, parent: str, app: str = "shop", more: str = "") -> None:
    """A migration that adds a column of its own name, to the product or the order."""
    column = name.partition("_")[2]
    model = {"shop": "product", "crm": "order"}[app]
    operation = f'migrations.AddField("{model}", "{column}", models.IntegerField(default=7)),'
    parents = [(app, parent)] + ([("shop", more)] if more else [])
    project.migration(app, name, operation, parents)


def orders(project: Project, parent: str) -> None:
    """The migration of the other app, which depends on one of the shop."""
    project.models("crm", ORDER)
    project.migration("crm", "0001_orders", CREATE_ORDER, [("shop", parent)])


def forget(project: Project, *names: str) -> None:
    """Delete migrations of the shop."""
    for name in names:
        project.remove(f"shop/migrations/{name}.py")


def start(project: Project, *fields: str) -> str:
    """On main: a migration for each field on top of the first one. The name of the last."""
    project.app("shop", "")
    project.app("crm", "")
    shop(project, *fields)
    create(project, "0001_a")
    parent = "0001_a"
    for number, field in enumerate(fields, 2):
        add(project, f"{number:04}_{field}", parent)
        parent = f"{number:04}_{field}"
    orders(project, "0001_a")
    project.commit("Start")
    project.manage("migrate")
    project.manage("migrations_snapshot")
    project.python(FILL)
    return parent


def branch_off(project: Project, parent: str, *fields: str) -> None:
    """A branch with migrations of its own on top, in both apps."""
    project.checkout("-b", "old")
    shop(project, *fields, "mine")
    add(project, "0009_mine", parent)
    project.models("crm", ORDER + "    note = models.IntegerField(default=7)\n")
    add(project, "0002_note", "0001_orders", "crm", "0009_mine")
    project.commit("Mine")
    project.switch()
    project.checkout("main")
    project.switch()


def renamed_below_and_above_a_shared_one(project: Project) -> Branches:
    branch_off(project, start(project, "f1", "f2"), "f1", "f2")
    forget(project, "0001_a", "0003_f2")
    create(project, "0001_z")
    add(project, "0002_f1", "0001_z")
    project.migration(
        "shop",
        "0003_y",
        'migrations.AddField("product", "f2", models.IntegerField(default=7)),',
        [("shop", "0002_f1")],
    )
    orders(project, "0001_z")
    project.commit("Rename")
    return ("old", "main")


def squashed_cleaned_and_more_on_both(project: Project) -> Branches:
    branch_off(project, start(project, "f1", "f2"), "f1", "f2")
    forget(project, "0001_a", "0002_f1", "0003_f2")
    create(project, "0001_one", "f1", "f2")
    orders(project, "0001_one")
    shop(project, "f1", "f2", "fresh")
    add(project, "0002_fresh", "0001_one")
    project.commit("Squash and go on")
    return ("old", "main")


def squashed_in_part_and_then_the_squash(project: Project) -> Branches:
    branch_off(project, start(project, "f1", "f2"), "f1", "f2")
    forget(project, "0001_a", "0002_f1")
    create(project, "0001_one", "f1")
    add(project, "0003_f2", "0001_one")
    orders(project, "0001_one")
    project.commit("Squash in part")
    project.switch()
    project.git("branch", "middle")
    forget(project, "0001_one", "0003_f2")
    create(project, "0001_two", "f1", "f2")
    orders(project, "0001_two")
    project.commit("Squash the squash")
    return ("middle", "old", "main")


def renumbered_after_a_rebase(project: Project) -> Branches:
    branch_off(project, start(project, "f1"), "f1")
    shop(project, "f1", "fresh")
    add(project, "0003_fresh", "0002_f1")
    project.commit("Fresh")
    project.switch()
    project.checkout("-b", "rebased")
    shop(project, "f1", "fresh", "mine")
    add(project, "0010_mine", "0003_fresh")
    project.models("crm", ORDER + "    note = models.IntegerField(default=7)\n")
    add(project, "0002_note", "0001_orders", "crm", "0010_mine")
    project.commit("Rebase")
    project.checkout("main")
    return ("rebased", "old", "main")


def half(project: Project) -> None:
    """A branch with the first two of three migrations, the last of which is only main's."""
    branch_off(project, start(project, "f1"), "f1")
    shop(project, "f1", "f2")
    add(project, "0003_f2", "0002_f1")
    project.commit("Half")
    project.switch()
    project.python(FILL_F2)


def go_on(project: Project, parent: str, number: int = 2) -> None:
    """One more migration on main, which only main has."""
    shop(project, "f1", "f2", "fresh")
    add(project, f"{number:04}_fresh", parent)
    project.commit("Fresh")


def half_of_a_squash(project: Project) -> Branches:
    half(project)
    forget(project, "0001_a", "0002_f1", "0003_f2")
    create(project, "0001_one", "f1", "f2")
    orders(project, "0001_one")
    project.commit("Squash")
    go_on(project, "0001_one")
    return ("old", "main")


def half_of_a_squash_that_named_what_it_replaced(project: Project) -> Branches:
    half(project)
    create(project, "0001_one", "f1", "f2")
    file = project.path / "shop/migrations/0001_one.py"
    names = ("0001_a", "0002_f1", "0003_f2")
    cleaned = file.read_text()
    file.write_text(f"{cleaned}    replaces = {[('shop', name) for name in names]}\n")
    project.commit("Squash")
    project.switch()
    go_on(project, "0001_one")
    project.switch()
    forget(project, *names)
    file.write_text(cleaned)
    orders(project, "0001_one")
    project.commit("Clean")
    return ("old", "main")


def half_of_a_reset_under_the_same_name(project: Project) -> Branches:
    half(project)
    forget(project, "0002_f1", "0003_f2")
    create(project, "0001_a", "f1", "f2")
    project.commit("Reset")
    go_on(project, "0001_a")
    return ("old", "main")


def half_of_a_squash_that_leaves_the_first_alone(project: Project) -> Branches:
    half(project)
    forget(project, "0002_f1", "0003_f2")
    columns = [f'migrations.AddField("product", "{one}", {DEFAULT})' for one in ("f1", "f2")]
    project.migration("shop", "0002_two", ", ".join(columns), [("shop", "0001_a")])
    project.commit("Squash")
    go_on(project, "0002_two", 3)
    return ("old", "main")


def half_of_a_squash_of_a_squash(project: Project) -> Branches:
    half(project)
    forget(project, "0001_a", "0002_f1", "0003_f2")
    create(project, "0001_one", "f1", "f2")
    orders(project, "0001_one")
    project.commit("Squash")
    go_on(project, "0001_one")
    forget(project, "0001_one", "0002_fresh")
    create(project, "0001_two", "f1", "f2", "fresh")
    orders(project, "0001_two")
    project.commit("Squash the squash")
    return ("old", "main")


def halves_that_both_have_squashed(project: Project) -> Branches:
    half_of_a_squash(project)
    project.switch()
    project.checkout("old")
    forget(project, "0001_a", "0002_f1")
    create(project, "0001_mine", "f1")
    add(project, "0009_mine", "0001_mine")
    project.migration("crm", "0001_orders", CREATE_ORDER, [("shop", "0001_mine")])
    project.commit("Squash too")
    project.checkout("main")
    return ("old", "main")


DEFAULT = "models.IntegerField(default=7)"
FILL_F2 = "from shop.models import Product; Product.objects.update(f2=5)"


HISTORIES = [
    renamed_below_and_above_a_shared_one,
    squashed_cleaned_and_more_on_both,
    squashed_in_part_and_then_the_squash,
    renumbered_after_a_rebase,
    half_of_a_squash,
    half_of_a_squash_that_named_what_it_replaced,
    half_of_a_reset_under_the_same_name,
    half_of_a_squash_that_leaves_the_first_alone,
    half_of_a_squash_of_a_squash,
    halves_that_both_have_squashed,
]
# Histories differ in names alone, which no database sees: these add and drop each of the columns.
ON_SERVERS = [renumbered_after_a_rebase, half_of_a_squash]
# What they replace has files in the history of commits alone.
COMMITTED = {
    half_of_a_squash,
    half_of_a_squash_that_named_what_it_replaced,
    half_of_a_reset_under_the_same_name,
    half_of_a_squash_of_a_squash,
    halves_that_both_have_squashed,
}


@pytest.mark.parametrize(
    ("vendor", "history"),
    [
        pytest.param(*pair, marks=[pytest.mark.committed] if pair[1] in COMMITTED else [])
        for pair in (
            *product(["sqlite"], HISTORIES),
            *product(["postgresql", "mariadb"], ON_SERVERS),
        )
    ],
)
def test_every_branch_has_the_schema_that_it_has_from_nothing(
    vendor: str,
    history: Callable[[Project], Branches],
    make_project: Callable[..., Project],
    make_database: Callable[[str], Configuration],
) -> None:
    project = make_project(default=make_database(vendor))
    branches = history(project)
    project.switch()
    before = project.python(COUNT)
    rows = {}
    for branch in branches:
        project.checkout(branch)
        assert "Saving table" not in project.switch()
        rows[branch] = project.python(COUNT)
    for branch in branches:
        project.checkout(branch)
        assert "Saving table" not in project.switch()
        assert project.python(COUNT) == rows[branch]
        assert observe(project)["schema"] == from_nothing(project, make_database(vendor))["schema"]
        assert project.states() == {}
    assert project.python(COUNT) == before
    project.assert_in_step()


@pytest.mark.committed
def test_half_of_a_squash_is_refused_if_the_rest_is_found_nowhere(
    vendor_project: Project,
) -> None:
    project = vendor_project
    half(project)
    project.git("reset", "-q", "--soft", "HEAD~")
    forget(project, "0001_a", "0002_f1", "0003_f2")
    create(project, "0001_one", "f1", "f2")
    orders(project, "0001_one")
    project.commit("Squash what was never committed")
    project.switch()
    before = project.python(COUNT)
    project.checkout("old")

    refused = project.manage("migrations_switch", status=1).stderr

    assert "and unapplying it would empty tables that the target has as well" in refused
    project.checkout("main")
    project.assert_in_step()
    assert project.python(COUNT) == before


@pytest.mark.committed
def test_the_plan_names_the_rows_of_a_squash_that_is_taken_apart(
    make_project: Callable[..., Project],
) -> None:
    project = make_project()
    half_of_a_squash(project)
    project.switch()
    project.checkout("old")
    assert plan(project) == [
        "Forget shop.0001_one (its row only)",
        "Record shop.0001_a (what it does is there already)",
        "Record shop.0002_f1 (what it does is there already)",
        "Record shop.0003_f2 (what it does is there already)",
        "Unapply shop.0002_fresh",
        "Unapply shop.0003_f2",
        "Apply shop.0009_mine",
        "Apply crm.0002_note",
    ]
    output = project.switch()
    assert "unapply 2 of shop, forget 1 of shop, record 3 of shop, apply 2 of crm, shop" in output
    project.checkout("main")
    assert plan(project) == [
        "Unapply crm.0002_note",
        "Unapply shop.0009_mine",
        "Apply shop.0003_f2",
        "Apply shop.0002_fresh",
        "Forget shop.0001_a (its row only)",
        "Forget shop.0002_f1 (its row only)",
        "Forget shop.0003_f2 (its row only)",
        "Record shop.0001_one (what it does is there already)",
    ]


def test_what_only_adds_columns_stays_while_a_data_migration_below_it_runs(
    vendor_project: Project,
) -> None:
    project = vendor_project
    start(project)
    colour = 'migrations.AddField("product", "colour", models.IntegerField(null=True)),'
    models = PRODUCT + "    colour = models.IntegerField(null=True)\n"
    project.checkout("-b", "old")
    project.models("shop", models)
    project.migration("shop", "0002_colour", colour, [("shop", "0001_a")])
    project.commit("Colour")
    project.switch()
    project.python("from shop.models import Product; Product.objects.update(colour=5)")
    project.checkout("main")
    rename = """
def change(old, new):
    def run(apps, editor):
        products = apps.get_model("shop", "Product").objects.using(editor.connection.alias)
        products.filter(name=old).update(name=new)
    return run
"""
    code = 'migrations.RunPython(change("Chair", "Stool"), change("Stool", "Chair")),'
    project.migration("shop", "0002_data", code, [("shop", "0001_a")], before=rename)
    project.commit("Data")
    project.checkout("-b", "rebased")
    project.models("shop", models)
    project.migration("shop", "0003_colour", colour, [("shop", "0002_data")])
    project.commit("Rebase")

    output = project.switch()

    assert "Applying shop.0002_data" in output
    assert "Recording shop.0003_colour" in output
    assert "stash" not in output
    assert "Saving" not in output
    values = (
        "from shop.models import Product; print(*Product.objects.values_list('name', 'colour'))"
    )
    assert project.python(values) == "('Stool', 5)"
    project.assert_in_step()
    project.checkout("old")
    output = project.switch()
    assert "Unapplying shop.0002_data" in output
    assert "Saving" not in output
    assert project.python(values) == "('Chair', 5)"
    project.assert_in_step()


def plan(project: Project) -> list[str]:
    """The headings of a plan, without where texts come from."""
    lines = project.switch("--plan").splitlines()
    steps = re.compile(r"((?:Forget|Record) .*|(?:Unapply|Apply) [\w.]+)")
    return [found[1] for line in lines if (found := steps.match(line))]


def test_no_table_is_dropped_that_a_table_beside_the_migrations_refers_to(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    project = make_project(default=make_database("mariadb"))
    start(project)
    project.checkout("-b", "feature")
    project.models("shop", PRODUCT + "class Item(models.Model):\n    pass\n")
    item = f'migrations.CreateModel("Item", [{ID}]),'
    project.migration("shop", "0002_item", item, [("shop", "0001_a")])
    project.commit("Item")
    project.switch()
    sql = "from django.db import connection; connection.cursor().execute({!r})"
    report = "CREATE TABLE report (id int, item_id bigint REFERENCES shop_item (id))"
    project.python(sql.format(report))
    project.checkout("main")

    refused = project.manage("migrations_switch", status=1).stderr

    assert "would drop table shop_item (by shop.0002_item)" in refused
    command = re.search(r"run `(ALTER .*?)` in `manage.py dbshell`", refused)
    assert command
    project.python(sql.format(command[1]))
    assert "Unapplying shop.0002_item" in project.switch()


def test_no_view_is_dropped_along_with_a_column(
    make_project: Callable[..., Project], make_database: Callable[[str], Configuration]
) -> None:
    project = make_project(default=make_database("postgresql"))
    branch_off(project, start(project))
    project.checkout("old")
    project.switch()
    sql = "from django.db import connection; connection.cursor().execute({!r})"
    project.python(sql.format("CREATE VIEW report AS SELECT mine FROM shop_product"))
    project.checkout("main")

    refused = project.manage("migrations_switch", status=1).stderr

    assert "would drop column shop_product.mine (by shop.0009_mine)" in refused
    command = re.search(r"run `(DROP .*?)` in `manage.py dbshell`", refused)
    assert command
    project.python(sql.format(command[1]))
    assert "Unapplying shop.0009_mine" in project.switch()


@pytest.mark.committed
def test_a_squash_that_was_applied_before_its_commit_is_refused_as_well(
    project: Project,
) -> None:
    project.settings("DJANGO_DEVTOOLS = {}")
    half(project)
    project.git("reset", "-q", "--soft", "HEAD~")
    forget(project, "0001_a", "0002_f1", "0003_f2")
    create(project, "0001_one", "f1", "f2")
    orders(project, "0001_one")
    project.switch()
    project.commit("Squash what was never committed")
    before = project.python(COUNT)
    project.checkout("old")

    refused = project.manage("migrations_switch", status=1).stderr

    assert "and unapplying it would empty tables that the target has as well" in refused
    project.checkout("main")
    assert project.python(COUNT) == before
