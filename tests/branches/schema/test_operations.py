"""What migrations do to a database, compared and foreseen."""

import enum
import functools
from typing import Any

import pytest
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    irreversible_operations,
    is_seen_by_state,
    raw_operations,
    same_models,
    same_raw_operations,
    same_schema,
)
from django_devtools.branches.schema.structure import tables
from django_devtools.branches.sources.loader import variant


def migration(*operations: Operation, name: str = "0001_initial") -> Migration:
    return variant(Migration(name, "shop"), operations=list(operations))


def create(name: str = "Product", *fields: tuple[str, Any], **options: Any) -> Operation:
    return migrations.CreateModel(
        name, [("id", models.BigAutoField(primary_key=True)), *fields], options=options
    )


def default_name() -> str:
    return "Chair"


class Size(enum.Enum):
    SMALL = "s"


class Plain:
    def __init__(self, number: int) -> None:
        self.number = number


SAME = [
    (models.CharField(max_length=9), models.CharField(max_length=9, help_text="Help")),
    (models.CharField(default=default_name), models.CharField(default=default_name)),
    (
        models.CharField(default=functools.partial(str, "a")),
        models.CharField(default=functools.partial(str, "a")),
    ),
    (models.CharField(default=Size.SMALL), models.CharField(default="s")),
    (models.JSONField(default=Plain(1)), models.JSONField(default=Plain(1))),
    (models.JSONField(default=frozenset("ab")), models.JSONField(default=frozenset("ba"))),
    (
        models.ForeignKey("shop.Product", models.CASCADE),
        models.ForeignKey("shop.product", models.SET_NULL, related_name="+"),
    ),
    (models.CharField(), models.CharField(validators=[RegexValidator("a")])),
]
OTHER = [
    (models.CharField(max_length=9), models.CharField(max_length=10)),
    (models.CharField(), models.TextField()),
    (models.CharField(), models.CharField(db_column="other")),
    (models.JSONField(default=Plain(1)), models.JSONField(default=Plain(2))),
    (models.JSONField(default=dict), models.JSONField(default=list)),
    (models.CharField(null=True), models.CharField()),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_fields_that_are_the_same_to_a_database(one: Any, other: Any) -> None:
    assert same_schema(migration(create("A", ("f", one))), migration(create("A", ("f", other))))
    added, readded = (migrations.AddField("a", "f", field) for field in (one, other))
    assert same_schema(migration(added), migration(readded))


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_fields_that_are_not(one: Any, other: Any) -> None:
    left, right = migration(create("A", ("f", one))), migration(create("A", ("f", other)))
    assert not same_schema(left, right)


def test_options_of_models() -> None:
    index = models.Index(fields=["id"], name="by_id")
    plain = migration(create())
    assert same_schema(plain, migration(create(verbose_name="Ware", ordering=["id"])))
    assert not same_schema(plain, migration(create(indexes=[index])))
    assert not same_schema(plain, migration(create(db_table="other")))


def test_messages_of_constraints() -> None:
    def constrained(**options: Any) -> Migration:
        check = models.CheckConstraint(condition=models.Q(id__gt=0), name="c", **options)
        return migration(migrations.AddConstraint("product", check))

    assert same_schema(constrained(), constrained(violation_error_message="No"))


def test_state_and_database_are_both_compared() -> None:
    add = migrations.AddField("product", "f", models.IntegerField())
    both = migrations.SeparateDatabaseAndState
    assert same_schema(migration(both([add], [])), migration(both([add], [])))
    assert not same_schema(migration(both([add], [])), migration(both([], [add])))
    assert same_schema(migration(migrations.RunSQL("A")), migration(migrations.RunSQL("B")))
    assert not same_schema(
        migration(migrations.RunSQL("A", state_operations=[add])),
        migration(migrations.RunSQL("A")),
    )


def test_raw_operations() -> None:
    inner = migrations.RunSQL("A")
    found = migration(migrations.SeparateDatabaseAndState([inner], []), create())
    assert raw_operations(found) == [inner]
    assert irreversible_operations(found) == [inner]
    assert not is_seen_by_state(found)
    assert is_seen_by_state(migration(create()))
    assert same_raw_operations(found, migration(migrations.RunSQL("A")))
    assert not same_raw_operations(found, migration(migrations.RunSQL("B")))


def test_models_of_states(settings: Any) -> None:
    one, other = ProjectState(), ProjectState()
    for state in (one, other):
        create("Product", ("name", models.CharField(max_length=9))).state_forwards("shop", state)
    assert same_models(one, other, "shop")
    assert tables(one) == {"shop_product"}
    create("Tag").state_forwards("shop", other)
    assert not same_models(one, other, "shop")
    assert same_models(one, other, "nothing")
