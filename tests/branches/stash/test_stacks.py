"""
Stacked branches: the rows of each are those it was left with, whichever way leads back.

Where a branch above or below was left last, they are those that the direct way between the two
makes of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.branches.stash.stacks import APP, Line, Rows, World
from tests.branches.stash.test_walks import PROFILE

pytestmark = [pytest.mark.long, pytest.mark.no_cover, pytest.mark.once]

ID = "('id', models.AutoField(primary_key=True))"
QTY = "models.IntegerField(default=0)"
LABEL = "models.CharField(max_length=10, default='')"
SIZE = "models.IntegerField(null=True)"

PRODUCT = f"migrations.CreateModel('product', [{ID}])"
ITEM = (
    f"migrations.CreateModel('item', [{ID}, ('qty', {QTY}), ('label', {LABEL}), ('size', {SIZE})])"
)
BARE_ITEM = f"migrations.CreateModel('item', [{ID}])"
COLUMNS = (
    f"migrations.AddField('item', 'qty', {QTY})",
    f"migrations.AddField('item', 'label', {LABEL})",
    f"migrations.AddField('item', 'size', {SIZE})",
)

GROUNDS = {
    # What main has of items, and what feature makes.
    "table": (Line("main").add("initial", PRODUCT), (ITEM,)),
    "columns": (Line("main").add("initial", PRODUCT, BARE_ITEM), COLUMNS),
}
PRODUCTS = "INSERT INTO shop_product (id) VALUES (1), (2)"
ITEMS = (
    "INSERT INTO shop_item (id, qty, label, size) VALUES (1, 3, 'a', 7)",
    "INSERT INTO shop_item (id, qty, label, size) VALUES (2, 4, 'bcd', NULL)",
)
BELOW = ("INSERT INTO shop_item (id, qty, label, size) VALUES (4, 6, 'd', 8)",)
"""Another row, that comes later."""
MADE = "1 3 a 7; 2 4 bcd -"
"""The rows of feature. Further down, what only SQLite keeps of a text stands in parentheses."""


@dataclass(frozen=True)
class Change:
    """What feature2 does to the items of feature, and what becomes of their rows."""

    operation: str
    migrated: Rows
    """What the migration of feature2 makes of feature's rows."""
    edits: tuple[str, ...]
    """What is done on feature2 then."""
    top: Rows
    """The rows of feature2 after that."""
    middle: Rows
    """The rows of feature after the direct way down."""
    again: Rows
    """The rows of feature2 after feature has got another row."""
    functions: str = ""


def items(rows: str) -> Rows:
    """The rows of shop_item."""
    return {"shop_item": rows}


def insert(columns: str, *rows: str, table: str = "shop_item") -> tuple[str, ...]:
    return tuple(f"INSERT INTO {table} ({columns}) VALUES ({row})" for row in rows)


ALL = "id, qty, label, size"
CHANGES = {
    "nothing to items": Change(
        f"migrations.CreateModel('other', [{ID}])",
        items("1 3 a 7; 2 4 bcd -") | {"shop_other": ""},
        (*insert(ALL, "3, 5, 'c', NULL"), *insert("id", "1", table="shop_other")),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -") | {"shop_other": "1"},
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8") | {"shop_other": "1"},
    ),
    "widened number": Change(
        "migrations.AlterField('item', 'qty', models.BigIntegerField(default=0))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 5, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "longer text": Change(
        "migrations.AlterField('item', 'label', models.CharField(max_length=30, default=''))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 5, 'ten-chars-plus', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 ten-chars-plus -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 ten-chars-(plus) -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 ten-chars-plus -; 4 6 d 8"),
    ),
    "shorter text": Change(
        "migrations.AlterField('item', 'label', models.CharField(max_length=5, default=''))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 5, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "takes NULL": Change(
        "migrations.AlterField('item', 'qty', models.IntegerField(null=True))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, NULL, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 - c -"),
        items("1 3 a 7; 2 4 bcd -; 3 0 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 - c -; 4 6 d 8"),
    ),
    "takes no NULL": Change(
        "migrations.AlterField('item', 'size', models.IntegerField(default=9))",
        items("1 3 a 7; 2 4 bcd 9"),
        insert(ALL, "3, 5, 'c', 1"),
        items("1 3 a 7; 2 4 bcd 9; 3 5 c 1"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c 1"),
        again=items("1 3 a 7; 2 4 bcd 9; 3 5 c 1; 4 6 d 8"),
    ),
    "number becomes text": Change(
        "migrations.AlterField('item', 'qty', models.CharField(max_length=20, default=''))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, '5', 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "renamed field": Change(
        "migrations.RenameField('item', 'qty', 'amount')",
        items("1 a 7 3; 2 bcd - 4"),
        insert("id, amount, label, size", "3, 5, 'c', NULL"),
        items("1 a 7 3; 2 bcd - 4; 3 c - 5"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 a 7 3; 2 bcd - 4; 3 c - 5; 4 d 8 6"),
    ),
    "renamed model": Change(
        "migrations.RenameModel('item', 'thing')",
        {"shop_thing": "1 3 a 7; 2 4 bcd -"},
        insert(ALL, "3, 5, 'c', NULL", table="shop_thing"),
        {"shop_thing": "1 3 a 7; 2 4 bcd -; 3 5 c -"},
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again={"shop_thing": "1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"},
    ),
    "renamed table": Change(
        "migrations.AlterModelTable('item', 'shelf')",
        {"shelf": "1 3 a 7; 2 4 bcd -"},
        insert(ALL, "3, 5, 'c', NULL", table="shelf"),
        {"shelf": "1 3 a 7; 2 4 bcd -; 3 5 c -"},
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again={"shelf": "1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"},
    ),
    "renamed column": Change(
        "migrations.AlterField('item', 'qty', models.IntegerField(default=0, db_column='q'))",
        items("1 3 a 7; 2 4 bcd -"),
        insert("id, q, label, size", "3, 5, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "removed field": Change(
        "migrations.RemoveField('item', 'qty')",
        items("1 a 7; 2 bcd -"),
        insert("id, label, size", "3, 'c', NULL"),
        items("1 a 7; 2 bcd -; 3 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 0 c -"),
        again=items("1 a 7; 2 bcd -; 3 c -; 4 d 8"),
    ),
    "deleted model": Change(
        "migrations.DeleteModel('item')",
        {},
        (),
        {},
        items("1 3 a 7; 2 4 bcd -"),
        again={},
    ),
    "added field": Change(
        "migrations.AddField('item', 'sold', models.IntegerField(default=1))",
        items("1 3 a 7 1; 2 4 bcd - 1"),
        (
            "UPDATE shop_item SET sold = 8 WHERE id = 1",
            *insert(f"{ALL}, sold", "3, 5, 'c', NULL, 6"),
        ),
        items("1 3 a 7 8; 2 4 bcd - 1; 3 5 c - 6"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7 8; 2 4 bcd - 1; 3 5 c - 6; 4 6 d 8 1"),
    ),
    "added foreign key": Change(
        "migrations.AddField('item', 'product', "
        "models.ForeignKey('shop.product', models.CASCADE, null=True))",
        items("1 3 a 7 -; 2 4 bcd - -"),
        (
            "UPDATE shop_item SET product_id = 1 WHERE id = 1",
            *insert(f"{ALL}, product_id", "3, 5, 'c', NULL, 2"),
        ),
        items("1 3 a 7 1; 2 4 bcd - -; 3 5 c - 2"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7 1; 2 4 bcd - -; 3 5 c - 2; 4 6 d 8 -"),
    ),
    "added many-to-many": Change(
        "migrations.AddField('item', 'products', models.ManyToManyField('shop.product'))",
        items("1 3 a 7; 2 4 bcd -") | {"shop_item_products": ""},
        insert("id, item_id, product_id", "1, 1, 2", "2, 2, 1", table="shop_item_products"),
        items("1 3 a 7; 2 4 bcd -") | {"shop_item_products": "1 1 2; 2 2 1"},
        items("1 3 a 7; 2 4 bcd -"),
        again=items("1 3 a 7; 2 4 bcd -; 4 6 d 8") | {"shop_item_products": "1 1 2; 2 2 1"},
    ),
    "table that refers to it": Change(
        f"migrations.CreateModel('part', [{ID}, "
        "('item', models.ForeignKey('shop.item', models.CASCADE))])",
        items("1 3 a 7; 2 4 bcd -") | {"shop_part": ""},
        (
            *insert(ALL, "3, 5, 'c', NULL"),
            *insert("id, item_id", "1, 1", "2, 3", table="shop_part"),
        ),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -") | {"shop_part": "1 1; 2 3"},
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8") | {"shop_part": "1 1; 2 3"},
    ),
    "unique together": Change(
        "migrations.AlterUniqueTogether('item', {('qty', 'label')})",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 4, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 4 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 4 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 4 c -; 4 6 d 8"),
    ),
    "unique constraint": Change(
        "migrations.AddConstraint('item', "
        "models.UniqueConstraint(fields=['qty'], name='named_one'))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 5, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "index": Change(
        "migrations.AddIndex('item', models.Index(fields=['size'], name='named_two'))",
        items("1 3 a 7; 2 4 bcd -"),
        insert(ALL, "3, 5, 'c', NULL"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 3 a 7; 2 4 bcd -; 3 5 c -; 4 6 d 8"),
    ),
    "data both ways": Change(
        "migrations.RunPython(times(10), times(0.1))",
        items("1 30 a 7; 2 40 bcd -"),
        insert(ALL, "3, 50, 'c', NULL"),
        items("1 30 a 7; 2 40 bcd -; 3 50 c -"),
        items("1 3 a 7; 2 4 bcd -; 3 5 c -"),
        again=items("1 30 a 7; 2 40 bcd -; 3 50 c -; 4 60 d 8"),
        functions="""
def times(factor):
    def change(apps, editor):
        for item in apps.get_model("shop", "item").objects.using(editor.connection.alias):
            item.qty = round(item.qty * factor)
            item.save()
    return change
""",
    ),
    "data one way": Change(
        "migrations.RunPython(fill, migrations.RunPython.noop)",
        items("1 3 a 7; 2 4 bcd 1"),
        insert(ALL, "3, 5, 'c', 2"),
        items("1 3 a 7; 2 4 bcd 1; 3 5 c 2"),
        items("1 3 a 7; 2 4 bcd 1; 3 5 c 2"),
        again=items("1 3 a 7; 2 4 bcd 1; 3 5 c 2; 4 6 d 8"),
        functions="""
def fill(apps, editor):
    items = apps.get_model("shop", "item").objects.using(editor.connection.alias)
    items.filter(size=None).update(size=1)
""",
    ),
}


class Stack:
    """Main, feature on it and feature2 on that. All have rows, and feature2 is checked out."""

    def __init__(self, world: World, ground: str, change: Change) -> None:
        self.world, self.change = world, change
        main, made = GROUNDS[ground]
        feature = main.fork("feature").add("feature", *made)
        operation, functions = change.operation, change.functions
        feature2 = feature.fork("feature2").add("feature2", operation, functions=functions)
        self.lines = {line.branch: line for line in (main, feature, feature2)}
        world.learn(self.lines.values())
        world.go(main)
        world.write(PRODUCTS)
        world.go(feature)
        world.write(*ITEMS)

    def fill_feature2(self) -> None:
        """Go there, and edit what its migration has made of the rows of feature."""
        self.go("feature2", self.change.migrated)
        self.world.write(*self.change.edits)
        self.left = self.world.stash()

    def go(self, branch: str, expected: Rows) -> None:
        self.world.arrive(self.lines[branch], {"shop_product": "1; 2"} | expected)

    def go_to_main(self, rows: Rows) -> None:
        """Go there, where the items of feature have only their keys, if any."""
        line = self.lines["main"]
        keys = "; ".join(row.partition(" ")[0] for row in rows["shop_item"].split("; "))
        self.go("main", items(keys) if (APP, "item") in line.state.models else {})

    def go_to_feature2(self) -> None:
        """Go there, where all is as it was left; so the stash has nothing new."""
        self.go("feature2", self.change.top)
        assert self.world.stash().keys() == self.left.keys()


def pulled(stack: Stack) -> None:
    """The commit of feature2 arrives while main is checked out."""
    stack.go_to_main(items(MADE))
    stack.go("feature2", stack.change.migrated)


def there_and_back(stack: Stack) -> None:
    stack.fill_feature2()
    stack.go_to_main(stack.change.middle)
    stack.go_to_feature2()


def down_by_steps(stack: Stack) -> None:
    stack.fill_feature2()
    stack.go("feature", stack.change.middle)
    stack.go_to_main(stack.change.middle)
    stack.go_to_feature2()


def up_by_steps(stack: Stack) -> None:
    stack.fill_feature2()
    stack.go_to_main(stack.change.middle)
    stack.go("feature", stack.change.middle)
    stack.go_to_feature2()


def down_and_up_by_steps(stack: Stack) -> None:
    stack.fill_feature2()
    stack.go("feature", stack.change.middle)
    stack.go_to_main(stack.change.middle)
    stack.go("feature", stack.change.middle)
    stack.go_to_feature2()


def with_a_row_of_feature(stack: Stack) -> None:
    """A row is put in on feature, on the way down."""
    stack.fill_feature2()
    stack.go("feature", stack.change.middle)
    stack.world.write(*BELOW)
    stack.go_to_main(items(f"{stack.change.middle['shop_item']}; 4 6 d 8"))
    stack.go("feature2", stack.change.again)


WALKS = (
    pulled,
    there_and_back,
    down_by_steps,
    up_by_steps,
    down_and_up_by_steps,
    with_a_row_of_feature,
)


SAMPLE = {*product(GROUNDS, [pulled, up_by_steps, with_a_row_of_feature])}
ON_SERVERS = {("columns", up_by_steps), ("table", with_a_row_of_feature)}
"""What is walked where HYPOTHESIS_PROFILE is quick."""


def cases() -> Iterator[ParameterSet]:
    for case in product(CHANGES, GROUNDS, WALKS):
        change, ground, walk = case
        name = f"{change}, {ground}, {walk.__name__}".replace("_", " ")
        yield pytest.param(*case, id=name)


@pytest.fixture(autouse=True)
def _sample(request: pytest.FixtureRequest) -> None:
    """Skip what is not of the sample, before a database is made for it."""
    params = request.node.callspec.params
    sample = SAMPLE if params["database"] == "sqlite" else ON_SERVERS
    if PROFILE == "quick" and (params["ground"], params["walk"]) not in sample:
        pytest.skip("HYPOTHESIS_PROFILE=quick takes a sample")


@pytest.mark.parametrize(("change", "ground", "walk"), [*cases()])
def test_stack_of_two(
    change: str,
    ground: str,
    walk: Callable[[Stack], None],
    connection: BaseDatabaseWrapper,
    tmp_path: Path,
) -> None:
    walk(Stack(World(connection, tmp_path / "repository"), ground, CHANGES[change]))
