"""Which pieces squashes are taken apart into, on values."""

from collections.abc import Collection, Iterable

import pytest

from django_devtools.branches.planning.matching import Match
from django_devtools.branches.planning.squashes import History, pieces_of, with_pieces
from tests.branches.planning.values import add, after, create, key, keys, line, remove, run, squash

ABC = line(m1=create("Product"), m2=add("a"), m3=add("b"))
ONE = line(one=create("Product", "a", "b"))
KNOWN = line(m1=create("Product"), m2=add("a"))


class Past:
    """The migrations of an app at each of its commits, newest first."""

    def __init__(self, *commits: History) -> None:
        self.commits = commits

    def __call__(self, squashes: Collection[object]) -> Iterable[History]:
        return self.commits


def matches(
    migrations: History, squashes: Collection[str], *commits: History, known: History = KNOWN
) -> list[Match]:
    return pieces_of(migrations, keys(*squashes), Past(*commits), known).matches


def match(held: str, wanted: str) -> Match:
    return Match(tuple(keys(*held.split())), tuple(keys(*wanted.split())))


def test_a_squash_is_taken_apart_into_what_was_there_before_it() -> None:
    assert matches(ONE, ["one"], ABC) == [match("m1 m2 m3", "one")]


def test_what_is_on_top_of_a_squash_is_no_part_of_it() -> None:
    more = line(one=create("Product", "a", "b"), more=add("c"))
    assert matches(more, ["one", "more"], ABC) == [match("m1 m2 m3", "one")]


def test_the_first_commit_that_explains_a_squash_is_enough() -> None:
    other = line(m1=create("Product"), m2=add("other"))
    assert matches(ONE, ["one"], ONE, other, ABC, other) == [match("m1 m2 m3", "one")]


@pytest.mark.parametrize(
    "before",
    [
        {},
        ONE,
        line(m1=create("Product"), m2=add("a")),
        line(renamed=create("Product", "a", "b")),
    ],
)
def test_what_is_not_the_same_or_no_squash_stays_whole(before: History) -> None:
    assert matches(ONE, ["one"], before, known={}) == []


def test_a_squash_has_left_out_what_its_pieces_undid() -> None:
    history = line(m1=create("Product"), m2=[add("a"), add("b"), add("c")], m3=remove("c"))
    assert matches(ONE, ["one"], history, known={}) == [match("m1 m2 m3", "one")]


def test_a_squash_has_left_out_the_code_of_its_pieces() -> None:
    history = line(m1=create("Product"), code=run(), m3=[add("a"), add("b")])
    assert matches(ONE, ["one"], history) == [match("m1 code m3", "one")]


def test_a_squash_of_a_squash_is_taken_apart_as_far_as_the_other_side_needs_it() -> None:
    two = line(two=create("Product", "a", "b", "c"))
    middle = line(one=create("Product", "a", "b"), m4=add("c"))
    assert matches(two, ["two"], middle, ABC) == [match("m1 m2 m3 m4", "two")]
    assert matches(two, ["two"], middle, ABC, known=ONE) == [match("one m4", "two")]


def test_migrations_that_were_reset_may_have_the_name_of_a_piece() -> None:
    reset = line(m1=create("Product", "a", "b"))
    assert matches(reset, ["m1"], reset, ABC) == [match("m1 m2 m3", "m1")]


def test_texts_of_the_other_side_win() -> None:
    found = pieces_of(ONE, keys("one"), Past(ABC), KNOWN)
    assert found.migrations[key("m1")] is KNOWN[key("m1")]
    assert found.migrations[key("m3")] is ABC[key("m3")]


def test_pieces_of_another_text_on_the_other_side_are_no_pieces() -> None:
    known = line(m1=create("Product"), m2=add("other"))
    assert matches(ONE, ["one"], ABC, known=known) == []


def test_what_depended_on_a_squash_depends_on_its_pieces() -> None:
    other = after(line("crm", c1=create("Order")), key("c1", "crm"), key("one"))
    found = with_pieces({**ONE, **other}, [match("m1 m2 m3", "one")], ABC)
    assert list(found) == [key("c1", "crm"), *keys("m1", "m2", "m3")]
    assert found[key("c1", "crm")].dependencies == keys("m1", "m2", "m3")


def test_a_squash_that_names_its_pieces_is_none_of_them() -> None:
    named = squash("sq", keys("m1", "m2", "m3"), create("Product", "a", "b"))
    assert matches(ONE, ["one"], {**ABC, **named}) == [match("m1 m2 m3", "one")]
