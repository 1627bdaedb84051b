"""Tables fit a terminal, and say what tells their rows apart."""

import pytest

from django_devtools.management.tables import table

pytestmark = pytest.mark.once

ENTRIES = [
    ["id", "what", "branch", "migration"],
    ["1", "column shop_product.description", "feature/PROJ-1234-descriptions", "shop.0002_text"],
]


@pytest.mark.parametrize("room", [79, 60, 40, 24])
def test_a_table_fits_where_there_is_little_room(room: int) -> None:
    lines = table(ENTRIES, room)
    assert max(map(len, lines)) <= room
    assert lines[0].split() == ["id", "what", "branch", "migration"] or room == 24


def test_a_table_leaves_out_what_it_can_spare_only_where_names_would_get_too_short() -> None:
    spare = ["migration"]
    assert table(ENTRIES, 66, spare)[0].split() == ["id", "what", "branch", "migration"]
    assert table(ENTRIES, 60, spare)[0].split() == ["id", "what", "branch"]
    assert table(ENTRIES, 50, spare)[1] == "1   column shop…escription  feature/PRO…scriptions"


def test_long_names_keep_both_of_their_ends() -> None:
    assert table([["name"], ["abcdefghij"]], 7) == ["name", "abc…hij"]


def test_a_table_in_a_file_is_whole() -> None:
    assert table(ENTRIES)[1].endswith("shop.0002_text")
