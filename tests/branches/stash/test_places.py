"""Where the data of a pass is by now."""

from datetime import UTC, datetime

from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.introspection import ColumnInfo
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.stash.entries import Entry, StashedColumn, Status
from django_devtools.branches.stash.places import Places


def entry(number: int, table: str, dropper: str, *columns: str) -> Entry:
    stashed = {name: StashedColumn(ColumnInfo("integer", True), dropper) for name in columns}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Entry(number, Status.OPEN, "main", table, False, stashed, ["id"], 1, at)


def renames(**names: str) -> SchemaChanges:
    renamed: dict[Item, Item] = {("item", old): ("item", new) for old, new in names.items()}
    return SchemaChanges([], {}, set(), renamed)


OLD = entry(1, "item", "shop.0001_a", "size", "shade")


def places() -> Places:
    found = Places()
    found.add([OLD])
    return found


def test_newer_entries_share_the_columns_that_have_their_names_by_now() -> None:
    newer = [entry(2, "item", "shop.0001_a", "size", "colour")]
    found = places()
    assert found.shared(OLD, newer) == {"size"}
    found.follow(renames(shade="colour"))
    assert found.shared(OLD, newer) == {"size", "shade"}


def test_a_table_of_another_name_is_another_one() -> None:
    newer = [entry(2, "thing", "shop.0001_a", "size")]
    found = places()
    assert found.shared(OLD, newer) == set()
    found.follow(SchemaChanges([], {}, set(), {("item", None): ("thing", None)}))
    assert found.shared(OLD, newer) == {"size"}


def test_what_was_dropped_is_not_what_came_in_its_place() -> None:
    found = places()
    found.done(("shop", "0002_b"))
    assert found.shared(OLD, [OLD]) == {"size", "shade"}
    found.done(("shop", "0001_a"))
    assert found.shared(OLD, [OLD]) == set()
    assert not found
