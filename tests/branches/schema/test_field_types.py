"""Which values of a column may not survive another field in its place."""

import itertools
from typing import Any

import pytest
from django.db import models
from django.db.backends.base.operations import BaseDatabaseOperations

from django_devtools.branches.schema.field_types import (
    INTEGERS,
    holds,
    is_null_when_added,
    narrows,
    narrows_values,
    type_of,
)

RANGES = {
    name: BaseDatabaseOperations.integer_field_ranges[name] for name in sorted(INTEGERS.keys())
}


@pytest.mark.parametrize(("old", "new"), list(itertools.product(RANGES, repeat=2)))
def test_an_integer_field_narrows_what_is_outside_its_range(old: str, new: str) -> None:
    (old_least, old_most), (new_least, new_most) = RANGES[old], RANGES[new]
    one, other = (getattr(models, name)(primary_key="Auto" in name) for name in (old, new))
    assert narrows(one, other) is (new_least > old_least or new_most < old_most)


TEXT = models.TextField()
CHAR = models.CharField(max_length=20)
SLUG = models.SlugField(max_length=20)
DECIMAL = models.DecimalField(max_digits=6, decimal_places=2)
GENERATED = models.GeneratedField(
    expression=models.Value(1), output_field=models.IntegerField(null=True), db_persist=True
)
GENERATED.null = True
TAG = models.ForeignKey("shop.Tag", models.CASCADE)


@pytest.mark.parametrize(
    ("old", "new", "forwards", "backwards"),
    [
        (CHAR, models.CharField(max_length=20, help_text="x"), False, False),
        (CHAR, models.CharField(max_length=19), True, False),
        (CHAR, models.CharField(), False, True),
        (CHAR, SLUG, False, False),
        (CHAR, models.FileField(max_length=21), False, True),
        (CHAR, models.FilePathField(max_length=21), False, True),
        (CHAR, models.SlugField(max_length=21), False, True),
        (CHAR, TEXT, False, True),
        (CHAR, models.TextField(max_length=5), False, True),
        (TEXT, models.TextField(max_length=5), False, False),
        (models.TextField(max_length=5), CHAR, True, False),
        (DECIMAL, models.DecimalField(max_digits=6, decimal_places=2), False, False),
        (DECIMAL, models.DecimalField(max_digits=7, decimal_places=2), False, True),
        (DECIMAL, models.DecimalField(max_digits=7, decimal_places=3), False, True),
        (DECIMAL, models.DecimalField(max_digits=6, decimal_places=3), True, True),
        (models.BinaryField(max_length=5), models.BinaryField(max_length=4), True, False),
        (models.BinaryField(), models.BinaryField(max_length=4), True, False),
        (models.DateField(), models.DateField(default="2000-01-01"), False, False),
        (models.DateField(), models.DateTimeField(), True, True),
        (models.IntegerField(), CHAR, True, True),
        (models.IntegerField(), DECIMAL, True, True),
        (models.IntegerField(), TAG, True, True),
        (TAG, models.ForeignKey("shop.TAG", models.SET_NULL, db_index=False), False, False),
        (TAG, models.OneToOneField("shop.Tag", models.CASCADE), False, False),
        (TAG, models.ForeignKey("shop.Label", models.CASCADE), True, True),
        (TAG, models.ForeignKey("shop.Tag", models.CASCADE, to_field="name"), True, True),
    ],
)
def test_values_are_narrowed(old: Any, new: Any, forwards: bool, backwards: bool) -> None:
    assert (narrows_values(old, new), narrows_values(new, old)) == (forwards, backwards)
    assert (narrows(old, new), narrows(new, old)) == (forwards, backwards)


class SameType(models.ForeignKey[Any, Any]):
    """A foreign key that says that it is an integer, though not one of Django's."""

    def get_internal_type(self) -> str:
        return "UUIDField"


def test_a_foreign_key_and_a_plain_field_narrow_each_other() -> None:
    key, plain = SameType("shop.Tag", models.CASCADE), models.UUIDField()
    assert narrows_values(key, plain)
    assert narrows_values(plain, key)


def test_the_elements_of_an_array_are_narrowed() -> None:
    arrays = pytest.importorskip("django.contrib.postgres.fields")
    small, big = (
        arrays.ArrayField(field()) for field in (models.IntegerField, models.BigIntegerField)
    )
    assert narrows_values(big, small)
    assert not narrows_values(small, big)
    assert not narrows_values(small, small)


def test_null_is_narrowed_by_a_field_that_forbids_it() -> None:
    nullable, required = models.IntegerField(null=True), models.IntegerField()
    assert narrows(nullable, required)
    assert not narrows_values(nullable, required)
    assert not narrows(required, nullable)
    assert not narrows(nullable, nullable)


def test_a_generated_column_loses_nothing() -> None:
    assert not narrows(GENERATED, CHAR)
    assert not narrows_values(GENERATED, CHAR)
    assert narrows(CHAR, GENERATED)


@pytest.mark.parametrize(
    ("field", "is_null"),
    [
        (models.IntegerField(null=True), True),
        (models.IntegerField(), False),
        (models.IntegerField(null=True, default=0), False),
        (models.IntegerField(null=True, db_default=0), False),
        (models.DateField(null=True), True),
        (models.DateField(null=True, auto_now=True), False),
        (models.DateField(null=True, auto_now_add=True), False),
        (models.ForeignKey("shop.Tag", models.CASCADE, null=True), True),
    ],
)
def test_an_added_column_holds_null_unless_it_has_a_default(field: Any, is_null: bool) -> None:
    assert is_null_when_added(field) is is_null


@pytest.mark.parametrize(
    ("field_type", "held", "unfit"),
    [
        ("BooleanField", ["0", "1"], ["7", "true", ""]),
        ("CharField", ["", "x"], []),
        ("DateField", ["2026-01-02", "2026-1-2"], ["2026-13-02", "x", "2026-01-02 03:00:00"]),
        ("DateTimeField", ["2026-01-02 03:00:00"], ["x", "2026-01-02 25:00:00"]),
        ("DecimalField 5 2", ["999.99", "-999.99", "0.001"], ["1000", "NaN", "Infinity", "x"]),
        ("DurationField", ["1000"], ["1 day"]),
        ("FloatField", ["1e5", "7"], ["inf", "x"]),
        ("GenericIPAddressField", ["10.0.0.1", "::1"], ["10.0.0", "x"]),
        ("IntegerField", ["-1", "7000000000"], ["x", "nan"]),
        ("JSONField", ["null", "[1]", "1"], ["x", "NaN", "{"]),
        ("PositiveIntegerField", ["0", "7"], ["-1", "x"]),
        ("TimeField", ["03:00", "03:00:00.5"], ["25:00", "x"]),
        ("UUIDField", ["0" * 32], ["0" * 31, "x"]),
        ("", ["x"], []),
    ],
)
def test_what_a_column_holds(field_type: str, held: list[str], unfit: list[str]) -> None:
    assert [text for text in held + unfit if holds(field_type, text)] == held


def test_the_type_of_a_decimal_has_its_size() -> None:
    assert type_of(models.DecimalField(max_digits=5, decimal_places=2)) == "DecimalField 5 2"
    assert type_of(models.SlugField()) == "SlugField"
