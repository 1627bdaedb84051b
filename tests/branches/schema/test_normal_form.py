"""Values of migrations that a database can't tell apart are equal."""

import datetime
import enum
import functools
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import models
from django.utils.deconstruct import deconstructible

from django_devtools.branches.schema.normal_form import (
    comparable,
    comparable_code,
    comparable_options,
)


def function(*args: Any, **kwargs: Any) -> None: ...


class Color(enum.Enum):
    RED = ("r", 1)


class Kind(models.TextChoices):
    GOOD = "g"


class Text(str):
    __slots__ = ()


class Plain:
    def __init__(self) -> None:
        self.number = [1]


@deconstructible
class Deconstructible:
    def __init__(self, number: int) -> None: ...


HERE = __name__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"),
        (Text("a"), "a"),
        (1, "1"),
        (None, "None"),
        (datetime.date(2000, 1, 2), "datetime.date(2000, 1, 2)"),
        (Kind.GOOD, "g"),
        (Color.RED, ["r", "1"]),
        (function, f"{HERE}.function"),
        (Plain, f"{HERE}.Plain"),
        (models.Model, "django.db.models.base.Model"),
        (len, "builtins.len"),
        (functools.partial(function, 1, a=2), [f"{HERE}.function", ["1"], {"a": "2"}]),
        ([1, ("a", [2])], ["1", ["a", ["2"]]]),
        ({1: "a", "violation_error_message": "No"}, {"1": "a"}),
        ({"b", "a"}, ["a", "b"]),
        (frozenset([2, 1]), ["1", "2"]),
        (Plain(), ("Plain", {"number": ["1"]})),
        (Deconstructible(3), [f"{HERE}.Deconstructible", ["3"], {}]),
        (models.Q(a=1), ["django.db.models.Q", [["a", "1"]], {}]),
    ],
)
def test_a_value_becomes_comparable(value: Any, expected: Any) -> None:
    assert comparable(value) == expected


def test_a_bound_method_is_named_by_its_function() -> None:
    assert comparable(Plain().__init__) == f"{HERE}.Plain.__init__"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (
            models.CharField("Name", max_length=9, help_text="x"),
            ("CharField", {"max_length": "9"}),
        ),
        (models.CharField(db_column="Column"), ("CharField", {"db_column": "Column"})),
        (models.CharField(validators=[function], choices=[("a", "b")]), ("CharField", {})),
        (
            models.ForeignKey("Shop.Tag", models.CASCADE, related_name="x"),
            ("ForeignKey", {"to": "shop.tag"}),
        ),
        (
            models.ForeignKey("shop.Tag", models.SET_NULL, null=True, to_field="Name"),
            ("ForeignKey", {"to": "shop.tag", "null": "True", "to_field": "Name"}),
        ),
    ],
)
def test_a_field_keeps_what_its_column_depends_on(field: Any, expected: Any) -> None:
    kind, kwargs = expected
    assert comparable(field) == (f"django.db.models.{kind}", [], kwargs)


def test_what_the_database_does_on_delete_is_kept() -> None:
    if not hasattr(models, "DB_CASCADE"):
        pytest.skip("Django has on_delete in the database since 6.1")
    cascade, null = (
        models.ForeignKey("shop.Tag", on_delete, null=True)
        for on_delete in (models.DB_CASCADE, models.DB_SET_NULL)
    )
    assert comparable(cascade) != comparable(null)
    in_python = models.ForeignKey("shop.Tag", models.CASCADE, null=True)
    assert comparable(cascade) != comparable(in_python)


SEEN = {
    "constraints",
    "db_table",
    "db_table_comment",
    "db_tablespace",
    "index_together",
    "indexes",
    "managed",
    "order_with_respect_to",
    "proxy",
    "swappable",
    "unique_together",
}


def test_options_that_a_database_sees_are_kept() -> None:
    options = dict.fromkeys([*sorted(SEEN), "ordering", "verbose_name", "permissions"], "x")
    assert comparable_options(options) == dict.fromkeys(SEEN, "x")
    assert comparable_options({"proxy": False, "indexes": [], "ordering": ["id"]}) == {}


def test_the_order_in_which_indexes_and_constraints_were_made_does_not_count() -> None:
    indexes = [models.Index(fields=["a"], name=name) for name in "xy"]
    constraints = [models.UniqueConstraint(fields=["a"], name=name) for name in "xy"]
    made = comparable_options({"indexes": indexes, "constraints": constraints})
    assert made == comparable_options({"indexes": indexes[::-1], "constraints": constraints[::-1]})
    assert made != comparable_options({"indexes": indexes[:1], "constraints": constraints})


def add_one(number: int) -> int:
    return number + 1


def add_two(number: int) -> int:
    return add_one(add_one(number))


def test_functions_are_equal_by_what_they_do() -> None:
    space: dict[str, Any] = {}
    exec("def add_one(number):\n    return number + 1\n", space)
    exec("def add_two(number):\n    return add_one(add_one(number))\n", space)
    assert comparable_code(space["add_one"]) == comparable_code(add_one)
    assert comparable_code(space["add_two"]) == comparable_code(add_two)
    exec("def add_one(number):\n    return number + 3\n", space)
    assert comparable_code(space["add_two"]) != comparable_code(add_two)


FACTORY = """
def by(number, *, sign=1):
    def change(value, power=number):
        if value > 10:
            return change(value - 10)
        return later(value) ** power * number * sign
    later = lambda value: value
    return change

def after(change):
    return lambda value: change(value)
"""


def test_functions_from_a_factory_are_equal_by_what_that_was_given() -> None:
    """One that calls itself, too."""
    here, there = dict[str, Any](), dict[str, Any]()
    exec(FACTORY, here)
    exec(FACTORY, there)
    assert comparable_code(here["by"](1)) == comparable_code(there["by"](1))
    assert comparable_code(here["by"](1)) != comparable_code(there["by"](2))
    assert comparable_code(here["by"](1)) != comparable_code(there["by"](1, sign=-1))
    one, two = (there["after"](there["after"](there["by"](number))) for number in (1, 2))
    assert comparable_code(one) == comparable_code(here["after"](here["after"](here["by"](1))))
    assert comparable_code(one) != comparable_code(two)


def test_defaults_of_arguments_count() -> None:
    assert comparable_code(lambda one=1: one) == comparable_code(lambda one=1: one)
    assert comparable_code(lambda one=1: one) != comparable_code(lambda one=2: one)
    assert comparable_code(lambda *, one=1: one) != comparable_code(lambda *, one=2: one)


DECORATED = """
@decorate
def forwards(apps, editor):
    return {}
"""


def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
    """As transaction.atomic does, whose wrapper is of another module."""

    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


def test_a_decorated_function_is_equal_by_what_it_does_in_files_of_other_names() -> None:
    one, other, third = ({"__name__": name, "decorate": decorate} for name in "abc")
    exec(DECORATED.format(1), one)
    exec(DECORATED.format(1), other)
    exec(DECORATED.format(2), third)
    assert comparable_code(one["forwards"]) == comparable_code(other["forwards"])
    assert comparable_code(one["forwards"]) != comparable_code(third["forwards"])


def test_what_refers_to_itself_is_equal_by_its_kind() -> None:
    """As a logger does."""
    log = logging.getLogger(__name__)
    others = [logging.getLogger("another")]
    assert comparable_code(lambda one=log: one) == comparable_code(lambda one=others[0]: one)
    assert comparable_code(lambda one=others: one) != comparable_code(lambda one=log: one)


def test_what_is_no_function_is_compared_as_a_value() -> None:
    assert comparable_code(functools.partial(add_one, 1)) == comparable(
        functools.partial(add_one, 1)
    )
