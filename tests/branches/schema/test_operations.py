"""What migrations do to a database, compared and foreseen."""

import enum
import functools
from typing import Any

import pytest
from django.contrib.contenttypes.management import RenameContentType
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    created_models,
    does_nothing,
    has_own_ways,
    hidden_operations,
    holds_raw,
    irreversible_operations,
    is_seen_by_state,
    raw_operations,
    renamed_back,
    result_of,
    runs_no_code,
    same_models,
    same_operations,
    same_raw_operations,
    same_schema,
    sql_renames,
    writes_rows,
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


class Custom(Operation):
    """An operation of a project."""

    reversible = False


class CustomIndex(migrations.AddIndex):
    """A project's operation that is derived from one of Django's."""


INDEX = models.Index(fields=["id"], name="by_id")
NOOP = migrations.RunPython.noop


def fill(apps: Any, schema_editor: Any) -> None: ...


@pytest.mark.parametrize(
    ("operation", "forwards", "backwards"),
    [
        (create(), False, False),
        (migrations.AddIndex("product", INDEX), False, False),
        (CustomIndex("product", INDEX), False, False),
        (Custom(), True, True),
        (migrations.RunPython(fill), True, True),
        (migrations.RunPython(fill, NOOP), True, False),
        (migrations.RunPython(NOOP, fill), False, True),
        (migrations.RunSQL("…"), True, True),
        (migrations.RunSQL("…", "…"), True, True),
        (migrations.RunSQL("…", migrations.RunSQL.noop), True, False),
        (migrations.SeparateDatabaseAndState([], [migrations.RunSQL("…")]), False, False),
        (migrations.SeparateDatabaseAndState([migrations.RunSQL("…")], []), True, True),
    ],
)
def test_code_may_write_rows(operation: Operation, forwards: bool, backwards: bool) -> None:
    found = migration(create("Other"), operation)
    assert (writes_rows(found), writes_rows(found, backwards=True)) == (forwards, backwards)


@pytest.mark.parametrize(
    ("sql", "renames"),
    [
        ("ALTER TABLE a RENAME TO b", [("a", "b")]),
        (
            'alter  table "a"\nrename to "b"; ALTER TABLE `c` RENAME TO `d`',
            [("a", "b"), ("c", "d")],
        ),
        (
            ["ALTER TABLE a RENAME TO b", ("ALTER TABLE c RENAME TO d", [])],
            [("a", "b"), ("c", "d")],
        ),
        ("ALTER TABLE a RENAME COLUMN b TO c", []),
        ("", []),
    ],
)
def test_tables_are_renamed_by_sql(sql: Any, renames: list[tuple[str, str]]) -> None:
    operation = migrations.RunSQL(sql, "ALTER TABLE x RENAME TO y")
    assert sql_renames(operation) == renames
    assert sql_renames(migrations.SeparateDatabaseAndState([create(), operation], [])) == renames
    assert sql_renames(migrations.SeparateDatabaseAndState([], [operation])) == []


def test_an_operation_holds_raw_ones() -> None:
    both = migrations.SeparateDatabaseAndState
    for raw in (migrations.RunSQL("…"), migrations.RunPython(NOOP)):
        assert holds_raw(raw)
        assert holds_raw(both([both([create(), raw], [])], []))
        assert not holds_raw(both([], [raw]))
    assert not holds_raw(create())
    assert not holds_raw(Custom())


def test_operations_that_are_irreversible_are_found() -> None:
    one_way, both_ways = migrations.RunSQL("…"), migrations.RunSQL("…", "…")
    custom = Custom()
    inner = migrations.SeparateDatabaseAndState([both_ways, one_way], [migrations.RunSQL("…")])
    assert irreversible_operations(migration(create(), inner, custom)) == [one_way, custom]


def test_the_state_sees_all_that_operations_on_models_do() -> None:
    assert is_seen_by_state(migration(create(), migrations.AddIndex("product", INDEX)))
    assert is_seen_by_state(migration(migrations.RemoveField("product", "f")))
    assert is_seen_by_state(migration())
    assert not is_seen_by_state(migration(create(), migrations.RunPython(NOOP)))
    assert not is_seen_by_state(migration(migrations.SeparateDatabaseAndState([create()], [])))


def test_what_is_about_the_state_alone_does_nothing() -> None:
    options = migrations.AlterModelOptions("product", {"verbose_name": "thing"})
    in_state = migrations.SeparateDatabaseAndState(state_operations=[create()])
    put_in = RenameContentType("shop", "product", "article")
    assert does_nothing(migration())
    assert does_nothing(migration(options, in_state, put_in))
    assert not does_nothing(migration(options, create()))
    assert not does_nothing(migration(migrations.RunPython(NOOP)))
    assert not does_nothing(migration(Custom()))


def test_what_is_derived_from_an_operation_may_have_own_ways() -> None:
    class Looks(migrations.AddField):
        def database_forwards(self, *_: Any) -> None: ...

    class Named(migrations.AddField):
        def describe(self) -> str:
            return "Named"

    field = ("product", "size", models.IntegerField())
    assert has_own_ways(migration(migrations.SeparateDatabaseAndState([Looks(*field)], [])))
    assert not has_own_ways(migration(create(), Named(*field), Custom()))


def test_what_receivers_put_into_a_migration_makes_no_difference() -> None:
    rename = migrations.RenameModel("Product", "Article")
    put_in = RenameContentType("shop", "product", "article")
    both = migration(rename, put_in)
    assert is_seen_by_state(both)
    assert runs_no_code(both)
    assert not hidden_operations([both])
    assert not writes_rows(both)
    assert same_operations(both.operations, [rename])
    assert result_of(both.operations, "shop") == result_of([rename], "shop")


def test_operations_that_do_not_follow_each_other_have_no_result() -> None:
    twice = [create(), migrations.AddField("product", "id", models.IntegerField())]
    assert result_of(twice, "shop") == []


def test_operations_apart_from_the_state_may_be_without_code() -> None:
    assert runs_no_code(migration(migrations.SeparateDatabaseAndState([create()], [])))
    assert not runs_no_code(
        migration(migrations.SeparateDatabaseAndState([migrations.RunSQL("…")], [create()]))
    )


def test_created_models_are_named() -> None:
    found = [
        migration(create("Product"), create("Tag"), migrations.DeleteModel("Old")),
        migration(migrations.SeparateDatabaseAndState([create("Inner")], [])),
        migration(create("Other")),
    ]
    assert created_models(found) == {"product", "tag", "other"}
    assert created_models([]) == set()


ADD = migrations.AddField("product", "f", models.IntegerField())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (create("Product"), create("product"), True),
        (create("Product"), create("Other"), False),
        (create(proxy=True), create(), False),
        (ADD, migrations.AddField("product", "f", models.IntegerField(null=True)), False),
        (ADD, migrations.AddField("product", "g", models.IntegerField()), False),
        (ADD, migrations.AlterField("product", "f", models.IntegerField()), False),
        (ADD, ADD, True),
        (migrations.RunSQL("A", state_operations=[ADD]), ADD, True),
        (migrations.RunPython(NOOP), migrations.RunSQL("A"), True),
    ],
)
def test_operations_do_the_same_to_the_schema(
    one: Operation, other: Operation, same: bool
) -> None:
    assert same_schema(migration(one), migration(other)) is same
    assert same_schema(migration(one, ADD), migration(other, ADD)) is same


def test_operations_on_the_state_alone_make_no_difference_to_the_schema() -> None:
    options = migrations.AlterModelOptions("product", {"ordering": ["id"]})
    managers = migrations.AlterModelManagers("product", [("all", models.Manager())])
    assert same_schema(migration(options, ADD, managers), migration(ADD))
    assert not same_schema(migration(ADD), migration())


def test_the_order_of_fields_and_the_bases_matter() -> None:
    one, two = ("a", models.IntegerField()), ("b", models.IntegerField())
    assert not same_schema(migration(create("A", one, two)), migration(create("A", two, one)))

    def based(*bases: Any) -> Migration:
        return migration(migrations.CreateModel("A", [], bases=bases))

    assert not same_schema(based("shop.product"), based("shop.tag"))
    assert same_schema(based("shop.product"), based("shop.product"))
    assert not same_schema(based(models.Model), based("shop.tag"))


def test_raw_operations_are_the_same_by_the_names_of_their_functions() -> None:
    def run(code: Any, *reverse: Any) -> Migration:
        return migration(create(), migrations.RunPython(code, *reverse))

    assert same_raw_operations(run(fill), run(fill))
    assert not same_raw_operations(run(fill), run(NOOP))
    assert not same_raw_operations(run(fill), run(fill, NOOP))
    assert not same_raw_operations(run(fill), migration())
    assert same_raw_operations(migration(create()), migration(ADD))


@pytest.mark.parametrize(
    "changed",
    [
        create("Product", ("name", models.CharField(max_length=9))),
        create("Product", ("name", models.CharField(max_length=10)), db_table="other"),
        create("Product", ("title", models.CharField(max_length=10))),
        migrations.CreateModel(
            "Product",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=10)),
            ],
            bases=("shop.other",),
        ),
    ],
)
def test_states_differ_in_fields_options_and_bases(changed: Operation) -> None:
    one, other = ProjectState(), ProjectState()
    create("Product", ("name", models.CharField(max_length=10))).state_forwards("shop", one)
    changed.state_forwards("shop", other)
    assert not same_models(one, other, "shop")
    assert same_models(one, other, "elsewhere")
    same = ProjectState()
    create("Product", ("name", models.CharField(max_length=10))).state_forwards("shop", same)
    assert same_models(one, same, "shop")


@pytest.mark.parametrize(
    ("sql", "back"),
    [
        ("ALTER TABLE a RENAME TO b;", ["ALTER TABLE b RENAME TO a"]),
        ('alter index "a b" rename to c', ['ALTER index c RENAME TO "a b"']),
        (
            "ALTER TABLE a RENAME CONSTRAINT b TO c",
            ["ALTER TABLE a RENAME CONSTRAINT c TO b"],
        ),
        (
            ["ALTER SEQUENCE a RENAME TO b", "ALTER TABLE c RENAME COLUMN d TO e"],
            ["ALTER TABLE c RENAME COLUMN e TO d", "ALTER SEQUENCE b RENAME TO a"],
        ),
        (["ALTER TABLE a RENAME TO b", "SELECT 1"], []),
        ("ALTER TABLE a RENAME TO b; DROP TABLE c", []),
        ("ALTER TABLE IF EXISTS a RENAME TO b", []),
        ([], []),
    ],
)
def test_what_only_renames_can_be_taken_back(sql: Any, back: list[str]) -> None:
    assert renamed_back(migrations.RunSQL(sql)) == back
