"""
What happens to stacked branches in a repository: more on top, siblings, rebases, squashes.

Each history is a walk. At each stop the rows have to be those that the branch was left with, or
what the direct way from the branch that shares them makes of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState

from django_devtools.branches.execution import Execution
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.stash.transfer import Transfer
from tests.branches.stash.stacks import Line, Rows, World
from tests.branches.stash.trips import Killed

pytestmark = pytest.mark.once

Connect = Callable[[str], BaseDatabaseWrapper]


@dataclass(frozen=True)
class Stop:
    """A line to go to, the rows to find there, and what is written then."""

    line: Line
    rows: Rows
    writes: tuple[str, ...] = ()
    is_all: bool = False
    """Whether everything is back, so that the stash is empty."""
    may_differ: bool = False
    """Whether it is enough to say which rows are not back."""
    may_be_said: bool = False
    """Whether something is said of rows that are another branch's."""


def stop(
    line: Line,
    *writes: str,
    is_all: bool = False,
    may_differ: bool = False,
    may_be_said: bool = False,
    **rows: str,
) -> Stop:
    found = {f"shop_{name}": text for name, text in rows.items()}
    return Stop(line, found, writes, is_all, may_differ, may_be_said)


ID = "('id', models.AutoField(primary_key=True))"
QTY = "('qty', models.IntegerField(default=0))"
COLOUR = "('colour', models.IntegerField(null=True))"
LABEL = "('label', models.CharField(max_length=10, default=''))"


def create(name: str, *fields: str) -> str:
    return f"migrations.CreateModel('{name}', [{', '.join([ID, *fields])}])"


def add(model: str, field: str) -> str:
    return f"migrations.AddField('{model}', *{field})"


def sql(forwards: str, backwards: str) -> str:
    return f"migrations.RunSQL({forwards!r}, {backwards!r})"


RENAME = "migrations.RenameField('item', 'qty', 'amount')"
TO_TEXT = "migrations.AlterField('item', 'amount', models.CharField(max_length=20, default=''))"
SOLD = "('sold', models.IntegerField(default=1))"
FOREIGN_KEY = "('product', models.ForeignKey('shop.product', models.CASCADE, null=True))"
TIMES = """
def times(factor):
    def change(apps, editor):
        for item in apps.get_model("shop", "item").objects.using(editor.connection.alias):
            item.qty = round(item.qty * factor)
            item.save()
    return change
"""

main = Line("main").add("initial", create("product"))
PRODUCTS = "INSERT INTO shop_product (id) VALUES (1), (2)"
ITEMS = "INSERT INTO shop_item (id, qty) VALUES (1, 3), (2, 4)"
SOLD_ITEMS = "INSERT INTO shop_item (id, qty, sold) VALUES (1, '3', 5), (2, '4', 6)"
AMOUNTS = "INSERT INTO shop_item (id, amount, sold) VALUES (1, 3, 5), (2, 4, 6)"

# Four deep.
a = main.fork("a").add("item", create("item", QTY))
b = a.fork("b").add("rename", RENAME)
c = b.fork("c").add("text", TO_TEXT)
d = c.fork("d").add("sold", add("item", SOLD))

begin = stop(main, PRODUCTS, product="")
begin_a = stop(a, ITEMS, product="1; 2", item="")
up_to_d = [
    begin,
    begin_a,
    stop(b, product="1; 2", item="1 3; 2 4"),
    stop(c, product="1; 2", item="1 3; 2 4"),
    stop(d, "UPDATE shop_item SET sold = 5 WHERE id = 2", product="1; 2", item="1 3 1; 2 4 1"),
]

FOUR_DEEP = {
    "four deep, down by steps and up at once": [
        *up_to_d,
        stop(c, product="1; 2", item="1 3; 2 4"),
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(a, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(d, product="1; 2", item="1 3 1; 2 4 5"),
    ],
    "four deep, down at once and up by steps": [
        *up_to_d,
        stop(main, product="1; 2"),
        stop(a, product="1; 2", item="1 3; 2 4"),
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(c, product="1; 2", item="1 3; 2 4"),
        stop(d, product="1; 2", item="1 3 1; 2 4 5"),
    ],
    "four deep, to and fro": [
        *up_to_d,
        stop(main, product="1; 2"),
        stop(c, product="1; 2", item="1 3; 2 4"),
        stop(a, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(d, product="1; 2", item="1 3 1; 2 4 5"),
    ],
    "four deep, never seen before": [
        begin,
        begin_a,
        stop(main, product="1; 2"),
        stop(d, product="1; 2", item="1 3 1; 2 4 1"),
    ],
    "four deep, with a row on each": [
        *up_to_d,
        stop(
            c,
            "INSERT INTO shop_item (id, amount) VALUES (3, '6')",
            product="1; 2",
            item="1 3; 2 4",
        ),
        stop(
            b,
            "INSERT INTO shop_item (id, amount) VALUES (4, 7)",
            product="1; 2",
            item="1 3; 2 4; 3 6",
        ),
        stop(
            a,
            "INSERT INTO shop_item (id, qty) VALUES (5, 8)",
            product="1; 2",
            item="1 3; 2 4; 3 6; 4 7",
        ),
        stop(main, "INSERT INTO shop_product (id) VALUES (3)", product="1; 2"),
        stop(d, product="1; 2; 3", item="1 3 1; 2 4 5; 3 6 1; 4 7 1; 5 8 1"),
    ],
}

# Siblings.
left, right = a.fork("left").add("rename", RENAME), a.fork("right").add("sold", add("item", SOLD))
up_to_right = [
    begin,
    begin_a,
    stop(
        left,
        "INSERT INTO shop_item (id, amount) VALUES (3, 5)",
        product="1; 2",
        item="1 3; 2 4",
    ),
    stop(
        right,
        "UPDATE shop_item SET sold = 9 WHERE id = 3",
        product="1; 2",
        item="1 3 1; 2 4 1; 3 5 1",
    ),
]
own_left = main.fork("left").add("item_left", create("item", QTY))
own_right = main.fork("right").add("item_right", create("item", LABEL))
without = a.fork("without").add("delete", "migrations.DeleteModel('item')")
bare = a.fork("without").add("remove", "migrations.RemoveField('item', 'qty')")

SIBLINGS = {
    "siblings, one after the other": [
        *up_to_right,
        stop(left, product="1; 2", item="1 3; 2 4; 3 5"),
        stop(right, product="1; 2", item="1 3 1; 2 4 1; 3 5 9", is_all=True),
    ],
    "siblings, over main": [
        *up_to_right,
        stop(main, product="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4; 3 5"),
        stop(main, product="1; 2"),
        stop(right, product="1; 2", item="1 3 1; 2 4 1; 3 5 9", is_all=True),
    ],
    "siblings, over what they share": [
        *up_to_right,
        stop(a, product="1; 2", item="1 3; 2 4; 3 5"),
        stop(main, product="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4; 3 5"),
        stop(a, product="1; 2", item="1 3; 2 4; 3 5"),
        stop(right, product="1; 2", item="1 3 1; 2 4 1; 3 5 9", is_all=True),
    ],
    "siblings, one of which deletes the table": [
        begin,
        begin_a,
        stop(without, product="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4", is_all=True),
        stop(without, product="1; 2"),
        stop(main, product="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4", is_all=True),
    ],
    "siblings, one of which removes the column": [
        begin,
        begin_a,
        stop(bare, "INSERT INTO shop_item (id) VALUES (3)", product="1; 2", item="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4; 3 0", is_all=True),
        stop(bare, product="1; 2", item="1; 2; 3"),
        stop(main, product="1; 2"),
        stop(left, product="1; 2", item="1 3; 2 4; 3 0", is_all=True),
    ],
    "siblings with a table of the same name": [
        begin,
        stop(own_left, ITEMS, product="1; 2", item=""),
        stop(
            own_right,
            "INSERT INTO shop_item (id, label) VALUES (1, 'r')",
            product="1; 2",
            item="",
            may_be_said=True,
        ),
        stop(own_left, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(own_right, product="1; 2", item="1 r", may_be_said=True),
        stop(own_left, product="1; 2", item="1 3; 2 4"),
    ],
}

# Commits that arrive while another branch is checked out.
feature = main.fork("feature").add("item", create("item", QTY))
price = add("product", "('price', models.IntegerField(default=7))")
main_2 = main.add("price", price)
add_colour = add("product", "('colour', models.IntegerField(null=True))")
colour = main.fork("feature").add("colour", add_colour)
main_colour = main.add("colour", add_colour)
set_colour = "UPDATE shop_product SET colour ="
count = sql(f"{set_colour} colour + 1", f"{set_colour} colour - 1")
code, only_code = colour.add("count", count), main_colour.fork("feature").add("count", count)
main_code = main.add("price", price, sql("UPDATE shop_product SET price = 7 + id", "SELECT 1"))
main_code_2 = main_colour.add(
    "price", price, sql("UPDATE shop_product SET price = colour + 6", "SELECT 1")
)
pulled = feature.add("rename", RENAME)
pulled_twice = pulled.add("text", TO_TEXT)
times = feature.add("times", "migrations.RunPython(times(10), times(0.1))", functions=TIMES)
times_renamed = times.add("rename", RENAME)

PULLED = {
    "commits arrive one by one": [
        begin,
        stop(feature, ITEMS, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(pulled, product="1; 2", item="1 3; 2 4", is_all=True),
        stop(main, product="1; 2"),
        stop(pulled_twice, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(pulled_twice, product="1; 2", item="1 3; 2 4"),
    ],
    "commits arrive with a data migration": [
        begin,
        stop(feature, ITEMS, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(times_renamed, product="1; 2", item="1 30; 2 40", is_all=True),
        stop(main, product="1; 2"),
        stop(times_renamed, product="1; 2", item="1 30; 2 40", is_all=True),
    ],
    "a data migration between, down by steps": [
        begin,
        stop(a, ITEMS, product="1; 2", item=""),
        stop(times.fork("b"), product="1; 2", item="1 30; 2 40"),
        stop(times_renamed.fork("c"), product="1; 2", item="1 30; 2 40", is_all=True),
        stop(a, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(times_renamed.fork("c"), product="1; 2", item="1 30; 2 40", is_all=True),
    ],
    "a data migration between, up by steps": [
        begin,
        stop(a, ITEMS, product="1; 2", item=""),
        stop(times_renamed.fork("c"), product="1; 2", item="1 30; 2 40", is_all=True),
        stop(main, product="1; 2"),
        stop(a, product="1; 2", item="1 3; 2 4"),
        stop(times.fork("b"), product="1; 2", item="1 30; 2 40"),
        stop(times_renamed.fork("c"), product="1; 2", item="1 30; 2 40", is_all=True),
    ],
    "rebased onto a longer main": [
        begin,
        stop(colour, "UPDATE shop_product SET colour = 5 WHERE id = 2", product="1 -; 2 -"),
        stop(main_2, "UPDATE shop_product SET price = 8 WHERE id = 1", product="1 7; 2 7"),
        stop(colour.onto(main_2), product="1 8 -; 2 7 5", is_all=True),
        stop(main_2, product="1 8; 2 7"),
        stop(colour.onto(main_2), product="1 8 -; 2 7 5", is_all=True),
    ],
    "with code, rebased onto a main with code": [
        begin,
        stop(colour, "UPDATE shop_product SET colour = 5 * id", product="1 -; 2 -"),
        stop(code, "UPDATE shop_product SET colour = 9 WHERE id = 2", product="1 6; 2 11"),
        stop(code.onto(main_code, 2), product="1 8 6; 2 9 9", is_all=True),
        stop(main_code, product="1 8; 2 9"),
        stop(code.onto(main_code, 2), product="1 8 6; 2 9 9", is_all=True),
    ],
    "with nothing but code, rebased onto a main with code": [
        begin,
        stop(main_colour, "UPDATE shop_product SET colour = 5 * id", product="1 -; 2 -"),
        stop(only_code, product="1 6; 2 11"),
        stop(only_code.onto(main_code_2), product="1 6 11; 2 11 16", is_all=True),
        stop(main_code_2, product="1 5 11; 2 10 16"),
        stop(only_code.onto(main_code_2), product="1 6 11; 2 11 16", is_all=True),
    ],
    "a stack rebased onto a longer main": [
        begin,
        stop(feature, ITEMS, product="1; 2", item=""),
        stop(pulled, product="1; 2", item="1 3; 2 4"),
        stop(main_2, product="1 7; 2 7"),
        stop(pulled.onto(main_2, 2), product="1 7; 2 7", item="1 3; 2 4", is_all=True),
        stop(main_2, product="1 7; 2 7"),
        stop(pulled.onto(main_2, 2), product="1 7; 2 7", item="1 3; 2 4", is_all=True),
    ],
}

# Amended.
longer = feature.amended(create("item", QTY, LABEL))
b_on_longer = b.onto(longer)
number = b.amended("migrations.RenameField('item', 'qty', 'number')")
colour_and_weight = colour.amended(
    add_colour, add("product", "('weight', models.IntegerField(default=0))")
)

AMENDED = {
    "amended with one more column": [
        begin,
        stop(feature, ITEMS, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(longer, product="1; 2", item="1 3 ''; 2 4 ''", is_all=True),
    ],
    "amended with one more column, while checked out": [
        begin,
        stop(colour, "UPDATE shop_product SET colour = 5 WHERE id = 2", product="1 -; 2 -"),
        stop(colour_and_weight, product="1 - 0; 2 5 0", is_all=True),
        stop(main, product="1; 2"),
        stop(colour_and_weight, product="1 - 0; 2 5 0", is_all=True),
    ],
    "amended with one column less": [
        begin,
        stop(longer, "INSERT INTO shop_item VALUES (1, 3, 'x')", product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(feature, product="1; 2", item="1 3", may_differ=True),
    ],
    "the lower one amended, the upper one rebased": [
        begin,
        stop(feature, ITEMS, product="1; 2", item=""),
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(b_on_longer, product="1; 2", item="1 '' 3; 2 '' 4", is_all=True),
    ],
    "the upper one amended": [
        begin,
        begin_a,
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(number, product="1; 2", item="1 3; 2 4", is_all=True),
        stop(a, product="1; 2", item="1 3; 2 4", is_all=True),
    ],
    "the upper one amended, while checked out": [
        begin,
        begin_a,
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(number, product="1; 2", item="1 3; 2 4", is_all=True),
        stop(a, product="1; 2", item="1 3; 2 4", is_all=True),
    ],
    "the upper one amended, and back to the lower one": [
        begin,
        begin_a,
        stop(b, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(a, product="1; 2", item="1 3; 2 4", is_all=True),
        stop(number, product="1; 2", item="1 3; 2 4", is_all=True),
    ],
}

# Merged into main.
two = feature.add("label", add("item", LABEL))
merged = main.add("feature", create("item", QTY, LABEL))
APART = f"migrations.SeparateDatabaseAndState([{add('item', LABEL)}], [{add('item', LABEL)}])"
apart = a.fork("apart").add("label", APART)
merged_apart = main.add("feature", create("item", QTY), APART)
labelled = a.fork("labelled").add("label", add("item", LABEL))
FILL_TWO = "INSERT INTO shop_item (id, qty, label) VALUES (1, 3, 'x')"
renamed_two = two.fork("upper").add("rename", RENAME)
renamed_merged = renamed_two.onto(merged)
long_main = main.add("part", create("part", FOREIGN_KEY)).add("item", create("item", QTY))
# Only a part of it was checked out, or names have changed within.
without_item = (
    a.fork("without").add("delete", "migrations.DeleteModel('item')").add("price", price)
)
merged_without = main.add("without", create("item", QTY), "migrations.DeleteModel('item')", price)
RENAME_ITEM = "migrations.RenameModel('item', 'thing')"
OTHER_TABLE = "migrations.AlterModelTable('thing', 'shop_other')"
of_thing = b.fork("thing").add("thing", RENAME_ITEM)
merged_thing = main.add("thing", create("item", QTY), RENAME, RENAME_ITEM)
of_other = of_thing.fork("other").add("other", OTHER_TABLE)
merged_other = main.add("other", create("item", QTY), RENAME, RENAME_ITEM, OTHER_TABLE)
squashed = long_main.squashed(
    "0001_squashed", create("product"), create("part", FOREIGN_KEY), create("item", QTY)
)
on_long = long_main.fork("upper").add("rename", RENAME)
on_squashed = on_long.onto(squashed.cleaned())
fill_long = (
    "INSERT INTO shop_product (id) VALUES (1), (2)",
    "INSERT INTO shop_part (id, product_id) VALUES (1, 2)",
    ITEMS,
)

MERGED = {
    "merged as one migration": [
        begin,
        stop(two, FILL_TWO, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(merged, product="1; 2", item="1 3 x", is_all=True),
        stop(two, product="1; 2", item="1 3 x", is_all=True),
    ],
    "merged as one migration, with another branch on top": [
        begin,
        stop(two, FILL_TWO, product="1; 2", item=""),
        stop(renamed_two, product="1; 2", item="1 x 3"),
        stop(main, product="1; 2"),
        stop(merged, product="1; 2", item="1 3 x", may_differ=True),
        stop(renamed_merged, product="1; 2", item="1 x 3", may_differ=True),
    ],
    "merged as one migration, and back to the lower of two": [
        begin,
        stop(a, product="1; 2", item=""),
        stop(labelled, FILL_TWO, product="1; 2", item=""),
        stop(merged, product="1; 2", item="1 3 x", is_all=True),
        stop(a, product="1; 2", item="1 3"),
        stop(merged, product="1; 2", item="1 3 x", is_all=True),
        stop(labelled, product="1; 2", item="1 3 x", is_all=True),
    ],
    "merged as one migration, after each of two was left": [
        begin,
        stop(a, product="1; 2", item=""),
        stop(labelled, FILL_TWO, product="1; 2", item=""),
        stop(a, product="1; 2", item="1 3"),
        stop(main, product="1; 2"),
        stop(merged, product="1; 2", item="1 3 x", is_all=True),
    ],
    "merged as one migration, and back by way of what was before": [
        begin,
        stop(labelled, FILL_TWO, product="1; 2", item=""),
        stop(merged, product="1; 2", item="1 3 x"),
        stop(main, product="1; 2"),
        stop(labelled, product="1; 2", item="1 3 x", is_all=True),
    ],
    "merged as one migration, with an operation apart from the state": [
        begin,
        stop(apart, FILL_TWO, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(merged_apart, product="1; 2", item="1 3 x", is_all=True),
    ],
    "merged as one migration that deletes the table": [
        begin,
        begin_a,
        stop(without_item, product="1 7; 2 7"),
        stop(merged_without, product="1 7; 2 7", may_differ=True),
        stop(a, product="1; 2", item="1 3; 2 4"),
    ],
    "merged as one migration with a rename, of which only the part before was there": [
        begin,
        begin_a,
        stop(merged_thing, product="1; 2", thing=""),
        stop(of_thing, product="1; 2", thing="1 3; 2 4", is_all=True),
    ],
    "merged as one migration with a rename, and back to what was before it": [
        begin,
        stop(
            of_thing, "INSERT INTO shop_thing (id, amount) VALUES (1, 3)", product="1; 2", thing=""
        ),
        stop(merged_thing, product="1; 2", thing="1 3"),
        stop(a, product="1; 2", item="1 3"),
        stop(merged_thing, product="1; 2", thing="1 3"),
        stop(b, product="1; 2", item="1 3", is_all=True),
    ],
    "merged as one migration with another table, and back to what was before it": [
        begin,
        stop(
            of_thing, "INSERT INTO shop_thing (id, amount) VALUES (1, 3)", product="1; 2", thing=""
        ),
        stop(of_other, product="1; 2", other="1 3"),
        stop(merged_other, product="1; 2", other="1 3"),
        stop(of_thing, product="1; 2", thing="1 3", is_all=True),
    ],
    "squashed on main": [
        stop(long_main, *fill_long, product="", part="", item=""),
        stop(on_long, product="1; 2", part="1 2", item="1 3; 2 4"),
        stop(squashed, product="1; 2", part="1 2", item="1 3; 2 4"),
        stop(on_long, product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
    ],
    "squashed and cleaned on main": [
        stop(long_main, *fill_long, product="", part="", item=""),
        stop(on_long, product="1; 2", part="1 2", item="1 3; 2 4"),
        stop(squashed.cleaned(), product="1; 2", part="1 2", item="1 3; 2 4"),
        stop(on_long, product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
        stop(on_squashed, product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
    ],
    "squashed and cleaned on main, over a branch before": [
        stop(long_main, *fill_long, product="", part="", item=""),
        stop(main.fork("old"), product="1; 2"),
        stop(squashed.cleaned(), product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
        stop(on_squashed, product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
        stop(main.fork("old"), product="1; 2"),
        stop(on_squashed, product="1; 2", part="1 2", item="1 3; 2 4", is_all=True),
    ],
}

# Squashed on main while branches had more, which were rebased later.
squashed_main = main.squashed("0001_squashed", create("product"))
a_on_squashed = a.onto(squashed_main)
longer_main = squashed_main.cleaned().add(
    "rank", add("product", "('rank', models.IntegerField(null=True))")
)
a_on_longer = a.onto(longer_main)

without_a = a.fork("dropped").add("delete", "migrations.DeleteModel('item')")
of_parts = without_a.add("part", create("part"))
squashed_a = a.squashed("0001_squashed", create("product"), create("item", QTY)).cleaned()

both = Line("main").add("initial", create("item", QTY, LABEL))
squashed_both = both.squashed("0001_squashed", create("item", QTY, LABEL))
thing = both.fork("thing").add("thing", "migrations.RenameModel('item', 'thing')")
lower = thing.fork("lower").add("label", "migrations.RemoveField('thing', 'label')")
upper = lower.fork("upper").add("qty", "migrations.RemoveField('thing', 'qty')")
ONE_THING = "INSERT INTO shop_thing (id, qty, label) VALUES (1, 3, 'x')"
of_labels = Line("main").add("initial", create("item", QTY, LABEL)).add("rename", RENAME)
old_labels = of_labels.back().fork("old")
no_label = of_labels.fork("feature").add("label", "migrations.RemoveField('item', 'label')")
ONE_LABEL = "INSERT INTO shop_item (id, qty, label) VALUES (1, 3, 'x')"
squashed_labels = of_labels.squashed("0001_squashed", create("item", QTY, LABEL), RENAME)

SQUASHED = {
    "squashed on main, and one of a stack rebased on it": [
        begin,
        begin_a,
        stop(d, product="1; 2", item="1 3 1; 2 4 1"),
        stop(a_on_squashed, product="1; 2", item="1 3; 2 4"),
        stop(main, product="1; 2"),
        stop(a_on_squashed, product="1; 2", item="1 3; 2 4"),
        stop(d, product="1; 2", item="1 3 1; 2 4 1"),
    ],
    "squashed on main, and back by a detour on what was rebased on it": [
        stop(thing, ONE_THING, thing=""),
        stop(upper, thing="1"),
        stop(lower.onto(squashed_both, 2), thing="1 3"),
    ],
    "squashed and cleaned on main, and a branch that drops the table rebased on it": [
        stop(a, ITEMS, product="", item=""),
        stop(without_a, product=""),
        stop(without_a.onto(squashed_a), product=""),
        stop(a, product="", item="1 3; 2 4"),
        stop(of_parts, product="", part=""),
        stop(of_parts.onto(squashed_a, 2), product="", part=""),
        stop(a, product="", item="1 3; 2 4"),
    ],
    "squashed on main, and back by a detour over a piece of that": [
        stop(old_labels, ONE_LABEL, item=""),
        stop(no_label, item="1 3"),
        stop(squashed_labels, item="1 x 3", is_all=True),
        stop(no_label, item="1 3"),
        stop(squashed_labels, item="1 x 3", is_all=True),
    ],
    "squashed on main, and from there by a detour over a piece of that": [
        stop(old_labels, ONE_LABEL, item=""),
        stop(no_label, item="1 3"),
        stop(no_label.onto(squashed_labels), item="1 3"),
        stop(squashed_labels, item="1 x 3", is_all=True),
    ],
    "squashed and cleaned on main, which goes on, and one of a stack rebased on it": [
        begin,
        begin_a,
        stop(d, product="1; 2", item="1 3 1; 2 4 1"),
        stop(a_on_longer, product="1 -; 2 -", item="1 3; 2 4"),
        stop(d, product="1; 2", item="1 3 1; 2 4 1"),
        stop(a_on_longer, product="1 -; 2 -", item="1 3; 2 4"),
    ],
}

# Merges of a branch that is not on main yet: what it lacks below is no part of the other one.
of_numbers = Line("main").add("initial", create("item", QTY))
ONE_WAY = "migrations.RunPython(times(10), migrations.RunPython.noop)"
BOTH_WAYS = "migrations.RunPython(times(10), times(0.1))"
NUMBER = "INSERT INTO shop_item (id, qty) VALUES (1, 3)"
COLOURED = "UPDATE shop_item SET colour = 5"
up_code = of_numbers.fork("up").add("times", ONE_WAY, functions=TIMES)
up_sold = of_numbers.fork("up").add("sold", add("item", SOLD))
below = of_numbers.fork("feature").add("colour", add("item", COLOUR))
on_top = below.fork("feature2").add("remove", "migrations.RemoveField('item', 'colour')")
on_top_of_code = below.fork("feature2").add("times", BOTH_WAYS, functions=TIMES)
suppliers = of_numbers.fork("feature").add("supplier", create("supplier"), create("deal"))
vendors = suppliers.fork("feature2").add("vendor", "migrations.RenameModel('supplier', 'vendor')")
SUPPLIERS = (
    "INSERT INTO shop_supplier (id) VALUES (7), (8)",
    "INSERT INTO shop_deal (id) VALUES (1)",
)
BEST = "('best', models.ForeignKey('shop.supplier', models.CASCADE, null=True))"
best = of_numbers.fork("feature").add("best", create("supplier"), add("item", BEST))
without_best = best.fork("feature2").add(
    "rank",
    "migrations.RemoveField('item', 'best')",
    add("supplier", "('rank', models.IntegerField(default=0))"),
)

JOINED = {
    "a merge, and back to the other branch": [
        stop(of_numbers, NUMBER, item=""),
        stop(below, COLOURED, item="1 3 -"),
        stop(on_top.merge(up_sold), item="1 3 1"),
        stop(up_sold, item="1 3 1"),
        stop(below, item="1 3 5"),
    ],
    "a merge with code, and back to the other branch": [
        stop(of_numbers, NUMBER, item=""),
        stop(below, COLOURED, item="1 3 -"),
        stop(of_numbers, item="1 3"),
        stop(on_top.merge(up_code), item="1 30"),
        stop(up_code, item="1 30", may_be_said=True),
        stop(below, item="1 30 5"),
    ],
    "a merge, and down to one of its parents": [
        stop(of_numbers, item=""),
        stop(suppliers, *SUPPLIERS, item="", supplier="", deal=""),
        stop(vendors.merge(up_sold), item="", vendor="7; 8", deal="1"),
        stop(up_sold, item=""),
        stop(suppliers, item="", supplier="7; 8", deal="1", is_all=True),
    ],
    "back by a detour, and dropped by the next step": [
        stop(of_numbers, NUMBER, item=""),
        stop(below, COLOURED, item="1 3 -"),
        stop(on_top_of_code, item="1 30 5"),
        stop(of_numbers, item="1 3"),
        stop(on_top.fork("other"), item="1 3"),
        stop(below, item="1 3 5"),
    ],
    "a column beside the table that it refers to": [
        stop(of_numbers, NUMBER, item=""),
        stop(best, "INSERT INTO shop_supplier (id) VALUES (7)", item="1 3 -", supplier=""),
        stop(best, "UPDATE shop_item SET best_id = 7", item="1 3 -", supplier="7"),
        stop(without_best, "UPDATE shop_supplier SET rank = 2", item="1 3", supplier="7 0"),
        stop(of_numbers, item="1 3"),
        stop(best, item="1 3 7", supplier="7"),
        stop(without_best, item="1 3", supplier="7 2"),
    ],
}

NO_CODE = "migrations.RunPython(lambda apps, editor: None, lambda apps, editor: None)"
QTY_AS_TEXT = "migrations.AlterField('item', 'qty', models.CharField(max_length=20, default=''))"
coded = of_numbers.fork("feature").add("code", NO_CODE)
texted = coded.fork("feature2").add("text", QTY_AS_TEXT)
sold_texted = texted.fork("feature3").add("sold", add("item", SOLD))

NARROWED = {
    "narrowed again, down by steps": [
        stop(of_numbers, NUMBER, item=""),
        stop(sold_texted, "UPDATE shop_item SET qty = 'one'", item="1 3 1"),
        stop(texted, item="1 one"),
        stop(coded, item="1 3"),
        stop(texted, item="1 one"),
        stop(of_numbers, item="1 3"),
        stop(sold_texted, item="1 one 1"),
    ],
}

# Names that change while something is in the stash.
of_items = Line("main").add("initial", create("item", QTY))
removed = of_items.fork("removed").add("remove", "migrations.RemoveField('item', 'qty')")
renamed = removed.fork("renamed").add("rename", "migrations.RenameModel('item', 'thing')")
of_things = of_items.add("rename", "migrations.RenameModel('item', 'thing')")
coloured = of_items.fork("feature").add("colour", add("item", COLOUR))
coloured_things = of_things.fork("feature").add("colour", add("thing", COLOUR))
ONE_ITEM = "INSERT INTO shop_item (id, qty) VALUES (1, 3)"

of_items_too = main.fork("below").add("item", create("item", QTY))
removed_too = of_items_too.fork("renamed").add("remove", "migrations.RemoveField('item', 'qty')")
renamed_too = removed_too.add("rename", "migrations.RenameModel('item', 'thing')")

# What lies between the steps that were left has been done under another name, or does nothing.
made = main.fork("made").add("item", create("item", QTY))
to_text = "migrations.AlterField('item', 'qty', models.CharField(max_length=20, default=''))"
above = made.fork("above").add("text", to_text).add("sold", add("item", SOLD))
beside = made.fork("beside").add("wide", to_text)
between = made.fork("between").add("sold", add("item", SOLD)).add("nothing").add("rename", RENAME)

BETWEEN = {
    "a sibling does what lies between": [
        begin,
        stop(above, SOLD_ITEMS, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(beside, product="1; 2", item="1 3; 2 4"),
    ],
    "a migration without operations lies between": [
        begin,
        stop(between, AMOUNTS, product="1; 2", item=""),
        stop(main, product="1; 2"),
        stop(made, product="1; 2", item="1 3; 2 4"),
    ],
}

RENAMED = {
    "what comes back below a rename is not twice in the stash": [
        stop(main, PRODUCTS, product=""),
        stop(of_items_too, ITEMS, product="1; 2", item=""),
        stop(
            renamed_too,
            "INSERT INTO shop_thing (id) VALUES (3)",
            product="1; 2",
            thing="1; 2",
        ),
        stop(main, product="1; 2"),
        stop(renamed_too, product="1; 2", thing="1; 2; 3"),
        stop(of_items_too, product="1; 2", item="1 3; 2 4; 3 0", is_all=True),
    ],
    "renamed after a column was removed, and both undone at once": [
        stop(of_items, ONE_ITEM, item=""),
        stop(removed, item="1"),
        stop(renamed, thing="1"),
        stop(of_items, item="1 3", is_all=True),
    ],
    "rebased on a renamed model": [
        stop(of_items, ONE_ITEM, item=""),
        stop(coloured, "UPDATE shop_item SET colour = 5", item="1 3 -"),
        stop(of_items, item="1 3"),
        stop(of_things, thing="1 3"),
        stop(coloured_things, thing="1 3 5", is_all=True),
    ],
}

TAGS = "('tags', models.ManyToManyField('shop.item', related_name='+'))"
COLUMN = "migrations.AlterField('item', 'qty', models.IntegerField(default=0, db_column='amount'))"
DELETE = "migrations.DeleteModel('item')"
GOODS = "migrations.AlterModelTable('item', 'shop_goods')"
TWO_ITEMS = (
    "INSERT INTO shop_item (id, qty) VALUES (1, 3), (2, 4)",
    "INSERT INTO shop_item_tags (id, from_item_id, to_item_id) VALUES (5, 1, 2)",
)

tagged = of_items.fork("tagged").add("tags", add("item", TAGS))
deleting = of_items.fork("deleting").add("tags", add("item", TAGS)).add("delete", DELETE)
cleaned = of_items.squashed("0001_squashed", create("item", QTY), add("item", TAGS)).cleaned()
with_tags = (
    main.fork("with_tags").add("item", create("item", QTY, COLOUR)).add("tags", add("item", TAGS))
)
less = with_tags.fork("less").add("colour", "migrations.RemoveField('item', 'colour')")
even_less = less.add("qty", "migrations.RemoveField('item', 'qty')")
of_amount = of_items.fork("of_amount").add("rename", RENAME)
indexed = of_items.add(
    "index", "migrations.AddIndex('item', models.Index(fields=['qty'], name='of_qty'))"
)
other_table = of_items.fork("other_table").add("goods", GOODS)
tagged_goods = other_table.fork("tagged_goods").add("tags", add("item", TAGS))
of_amounts = of_items.fork("of_amounts").add("column", COLUMN)
of_goods = (
    of_items.fork("of_goods")
    .add("goods", GOODS)
    .add("column", COLUMN)
    .add("remove", "migrations.RemoveField('item', 'qty')")
)
gone = of_items.fork("gone").add("column", COLUMN).add("delete", DELETE)
of_colours = Line("main").add("initial", create("item", COLOUR))
NO_COLOUR = "migrations.RemoveField('item', 'colour')"
colour_dropped = of_colours.fork("dropped").add("drop", NO_COLOUR)
TO_REQUIRED = "migrations.AlterField('item', 'colour', models.IntegerField(default=7))"
colour_narrowed = of_colours.fork("narrowed").add("alter", TO_REQUIRED).add("drop", NO_COLOUR)
with_parts = of_colours.add("part", create("part"))
parts_squashed = with_parts.squashed(
    "0001_parts", create("item", COLOUR), create("part")
).cleaned()
parts_narrowed = with_parts.fork("narrowed").add("alter", TO_REQUIRED)
renamed_item = a.fork("renamed").add("rename", RENAME)
went_on = main.squashed("0001_squashed", create("product")).cleaned().add("part", create("part"))
amounts_cleaned = of_items.squashed("0001_squashed", create("item", QTY), COLUMN).cleaned()

ADOPTED = {
    "a table that waits for rows of a squash, and one that refers to it": [
        stop(tagged, *TWO_ITEMS, item="", item_tags=""),
        stop(of_items, item="1 3; 2 4"),
        stop(deleting),
        stop(cleaned, item="1 3; 2 4", item_tags="5 1 2", is_all=True),
        stop(tagged, item="1 3; 2 4", item_tags="5 1 2"),
    ],
    "a table that waits for its pass to be undone, and one that refers to it": [
        stop(tagged, *TWO_ITEMS, item="", item_tags=""),
        stop(of_items, item="1 3; 2 4"),
        stop(deleting),
        stop(of_items, item="1 3; 2 4"),
        stop(tagged, item="1 3; 2 4", item_tags="5 1 2", is_all=True),
    ],
    "a table that comes by a detour, and one that refers to it and needs none": [
        stop(less, *TWO_ITEMS, product="", item="", item_tags=""),
        stop(even_less, product="", item="1; 2", item_tags="5 1 2"),
        stop(main, product=""),
        stop(with_tags, product="", item="1 3 -; 2 4 -", item_tags="5 1 2"),
    ],
    "a rename that was renumbered above an index of the field": [
        stop(of_amount, "INSERT INTO shop_item (id, amount) VALUES (1, 3)", item=""),
        stop(of_amount.onto(indexed), item="1 3", is_all=True),
        stop(indexed, item="1 3"),
        stop(of_amount, item="1 3", is_all=True),
    ],
    "a many-to-many field whose model has got another table while it was gone": [
        stop(tagged, *TWO_ITEMS, item="", item_tags=""),
        stop(other_table, goods="1 3; 2 4"),
        stop(tagged_goods, goods="1 3; 2 4", goods_tags="5 1 2", is_all=True),
        stop(tagged, item="1 3; 2 4", item_tags="5 1 2", is_all=True),
    ],
    "a column that an adopted migration renames below a renamed table": [
        stop(of_items, ONE_ITEM, item=""),
        stop(of_amounts, item="1 3"),
        stop(of_goods, goods="1"),
        stop(of_items, item="1 3", is_all=True),
    ],
    "a column that one branch drops, and another narrows before": [
        stop(of_colours, "INSERT INTO shop_item (id, colour) VALUES (1, NULL), (2, 3)", item=""),
        stop(colour_dropped, item="1; 2"),
        stop(colour_narrowed, item="1; 2"),
        stop(of_colours, item="1 -; 2 3", is_all=True),
    ],
    "the lower of two, rebased on a main that was squashed and went on": [
        begin,
        stop(
            renamed_item,
            "INSERT INTO shop_item (id, amount) VALUES (1, 3)",
            product="1; 2",
            item="",
        ),
        stop(went_on, product="1; 2", part=""),
        stop(a.onto(went_on), product="1; 2", part="", item="1 3", is_all=True),
    ],
    "a column that a branch narrows, which was rebased on a squash": [
        stop(with_parts, "INSERT INTO shop_item (id, colour) VALUES (1, NULL)", item="", part=""),
        stop(parts_narrowed, item="1 7", part=""),
        stop(parts_narrowed.onto(parts_squashed), item="1 7", part=""),
        stop(with_parts, item="1 -", part="", is_all=True),
    ],
    "a column that a squash has renamed of a table that comes back": [
        stop(of_items, ONE_ITEM, item=""),
        stop(gone),
        stop(amounts_cleaned, item="1 3", is_all=True),
    ],
}

HISTORIES = (
    ADOPTED
    | JOINED
    | NARROWED
    | BETWEEN
    | RENAMED
    | FOUR_DEEP
    | SIBLINGS
    | PULLED
    | AMENDED
    | MERGED
    | SQUASHED
)


@pytest.mark.parametrize("stops", HISTORIES.values(), ids=HISTORIES.keys())
def test_history(stops: list[Stop], connection: BaseDatabaseWrapper, tmp_path: Path) -> None:
    world = World(connection, tmp_path / "repository")
    world.learn(dict.fromkeys(one.line for one in stops))
    for one in stops:
        world.arrive(one.line, one.rows, one.may_differ, one.may_be_said)
        assert not (one.is_all and world.stash()), one.line.branch
        world.write(*one.writes)


@pytest.mark.no_cover
@pytest.mark.parametrize("stops", HISTORIES.values(), ids=HISTORIES.keys())
@pytest.mark.parametrize("vendor", ["sqlite"])
def test_the_plan_foretells_it(
    stops: list[Stop], vendor: str, connect: Connect, tmp_path: Path
) -> None:
    connection = connect(vendor)
    world = World(connection, tmp_path / "repository")
    for one in stops:
        known = {entry.id for entry in Stash(connection).entries()}
        report = world.go(one.line)
        back = {entry.id for entry in report.restored} & known
        assert back <= {entry.id for entry in world.expected.restored}, one.line.branch
        staying = [f"{entry}: still in the stash" for entry, _ in world.expected.staying]
        said = [note.partition(", because")[0] for note in world.notes]
        assert set(staying) <= set(said), one.line.branch
        world.write(*one.writes)


Between = Callable[[Execution, ProjectState, Sequence[Step]], None]


def killed_before(count: int) -> Between:
    """What to do between two steps: kill the switch before the last ``count`` of a pass."""

    def between(execution: Execution, state: ProjectState, rest: Sequence[Step]) -> None:
        if len(rest) == count:
            raise Killed

    return between


def test_killed_before_the_detour(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last step of the plan: the next run makes the detour, and `--plan` says so."""
    main = Line("main").add("initial", create("item"))
    feature = main.fork("feature").add("thing", create("thing", COLOUR))
    top = feature.fork("top").add("hue", "migrations.RenameField('thing', 'colour', 'hue')")
    world = World(connection, tmp_path / "repository")
    world.learn([feature])
    world.go(top)
    world.write("INSERT INTO shop_thing (id, hue) VALUES (1, 5), (2, NULL)")
    world.go(main)
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(0))
        with pytest.raises(Killed):
            world.go(feature)
    world.reconnect()
    with pytest.raises(AssertionError, match="out of step"):
        world.assert_in_step()

    report = world.go(feature)

    assert [str(entry) for entry in report.restored] == ["table shop_thing"]
    assert [str(entry) for entry in world.expected.restored] == ["table shop_thing"]
    assert world.rows()["shop_thing"] == "1 5; 2 -"
    world.assert_in_step()


def test_killed_before_a_detour_that_later_steps_bar(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes over a migration that the next one of the other branch depends on."""
    first = Line("main").add("initial", create("item", QTY, COLOUR))
    main = first.add("size", "migrations.RenameField('item', 'qty', 'size')")
    colour = "models.IntegerField(default=7)"
    one = main.fork("one").add("one", f"migrations.AlterField('item', 'colour', {colour})")
    other = main.fork("other").add("other", create("thing"))
    world = World(connection, tmp_path / "repository")
    world.learn([other])
    world.go(first)
    world.write("INSERT INTO shop_item (id, qty, colour) VALUES (1, 2, NULL), (2, 3, 4)")
    world.go(one)
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(0))
        with pytest.raises(Killed):
            world.go(other)
    world.reconnect()

    report = world.go(other)

    assert [entry.summary for entry in world.expected.restored] == [
        "column shop_item.colour before it got narrower (1 row)"
    ]
    assert report.notes == []
    assert world.rows()["shop_item"] == "1 - 2; 2 4 3"
    world.assert_in_step()


@pytest.mark.parametrize("goes", ["on", "back"])
@pytest.mark.parametrize("is_told", [True, False])
def test_edited_after_a_kill_behind_a_rename(
    goes: str,
    is_told: bool,
    connection: BaseDatabaseWrapper,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was saved under the name before gives way, also if the run could not say a word."""
    main = Line("main").add("initial", create("item"))
    made = main.fork("feature").add("thing", create("thing", COLOUR))
    feature = made.add("table", "migrations.AlterModelTable('thing', 'other')")
    world = World(connection, tmp_path / "repository")
    world.learn([feature])
    world.go(feature)
    world.write("INSERT INTO other (id, colour) VALUES (1, 5), (2, 6)")
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(1))
        if not is_told:
            patch.setattr(Transfer, "halt", lambda transfer, interrupted: None)
        with pytest.raises(Killed):
            world.go(main)
    world.reconnect()
    world.write(
        "UPDATE shop_thing SET colour = 7 WHERE id = 1",
        "INSERT INTO shop_thing (id, colour) VALUES (3, 8)",
    )
    if goes == "on":
        world.go(main)

    world.go(feature)

    assert world.notes == []
    assert world.rows()["other"] == "1 7; 2 6; 3 8"
    assert world.stash() == {}
    world.assert_in_step()


@pytest.mark.parametrize("goes", ["on", "back"])
def test_killed_when_a_column_of_what_is_to_be_dropped_is_gone(
    goes: str, connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = Line("main").add("initial", create("item"))
    made = main.fork("feature").add("thing", create("thing"))
    feature = made.add("colour", add("thing", COLOUR))
    world = World(connection, tmp_path / "repository")
    world.learn([feature])
    world.go(feature)
    world.write("INSERT INTO shop_thing (id, colour) VALUES (1, 5), (2, 6)")
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(1))
        with pytest.raises(Killed):
            world.go(main)
    world.reconnect()
    if goes == "on":
        world.go(main)

    world.go(feature)

    assert world.rows()["shop_thing"] == "1 5; 2 6"
    world.assert_in_step()


def test_killed_before_what_comes_back_is_dropped_again(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first run saved leaves out what the second one saves again, as in one run."""
    main = Line("main").add("initial", create("item"))
    made = main.fork("feature").add("thing", create("thing", LABEL))
    feature = made.add("label", "migrations.RemoveField('thing', 'label')")
    feature = feature.add("colour", add("thing", COLOUR))
    world = World(connection, tmp_path / "repository")
    world.learn([feature])
    world.go(made)
    world.write("INSERT INTO shop_thing (id, label) VALUES (1, 'x')")
    world.go(feature)
    world.write("INSERT INTO shop_thing (id, colour) VALUES (2, 6)")
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(2))
        with pytest.raises(Killed):
            world.go(main)
    world.reconnect()
    world.go(main)

    world.go(feature)

    assert world.notes == []
    assert world.rows()["shop_thing"] == "1 -; 2 6"
    world.assert_in_step()


def test_only_rows_of_migrations_undo_what_dropped_a_table(
    connection: BaseDatabaseWrapper, tmp_path: Path
) -> None:
    """What makes and drops a table does the same as what does nothing, and is not run."""
    main = Line("main").add("initial", create("item"))
    made = main.fork("made").add("made", create("thing"))
    dropped = made.add("dropped", "migrations.DeleteModel('thing')")
    nothing = main.fork("nothing").add(
        "nothing",
        "migrations.AlterField('item', 'id', ID)",
        functions=f"ID = {ID.partition(', ')[2][:-1]}",
    )
    world = World(connection, tmp_path / "repository")
    world.learn([dropped])
    world.go(made)
    world.write("INSERT INTO shop_thing (id) VALUES (1), (2)")
    world.go(nothing)

    world.go(dropped)

    (note,) = world.notes
    assert note.startswith(
        "table shop_thing: still in the stash. There is no such table or column"
    )
    assert world.stash() == {"shop_thing": ["id"]}
    world.assert_in_step()


@pytest.mark.parametrize("count", [1, 2])
def test_killed_between_a_column_that_came_back_and_the_end_of_its_table(
    count: int, connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table was saved without that column, before the switch began."""
    made = main.fork("made").add("item", create("item", QTY, LABEL))
    removed = made.fork("removed").add("qty", "migrations.RemoveField('item', 'qty')")
    coloured = removed.add("colour", add("item", COLOUR))
    world = World(connection, tmp_path / "repository")
    world.learn([main, made])
    world.go(made)
    world.write("INSERT INTO shop_item (id, qty, label) VALUES (1, 3, 'a')")
    world.go(coloured)
    with monkeypatch.context() as patch:
        patch.setattr(Execution, "_between", killed_before(count))
        with pytest.raises(Killed):
            world.go(main)
    world.reconnect()
    world.go(main)

    world.go(made)

    assert world.rows()["shop_item"] == "1 3 a"
    world.assert_in_step()


def test_killed_between_rows_and_what_they_undo(
    connection: BaseDatabaseWrapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(connection, tmp_path / "repository")
    world.learn([amounts_cleaned])
    world.go(of_items)
    world.write(ONE_ITEM)
    world.go(gone)
    with monkeypatch.context() as patch:
        patch.setattr(Transfer, "restore_between_passes", killed)
        with pytest.raises(Killed):
            world.go(amounts_cleaned)
    world.reconnect()

    world.go(amounts_cleaned)

    assert world.rows()["shop_item"] == "1 3"
    assert not world.stash()
    world.assert_in_step()


def killed(*_: object) -> None:
    raise Killed
