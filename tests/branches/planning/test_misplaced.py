"""What is unapplied because a rebase has moved it, and what stays as the order does not matter."""

from typing import Any

import pytest
from django.db import migrations, models
from django.db.migrations.operations.base import Operation

from django_devtools.branches.planning.plan import Plan, make_plan
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.snapshots import Key
from tests.branches.planning.values import (
    History,
    add,
    create,
    facts,
    key,
    keys,
    line,
    remove,
    run,
)

MAIN = line(m1=create("Product", "a", "b"))


def alter(field: str, **options: Any) -> Operation:
    """Alter a column."""
    return migrations.AlterField("product", field, models.IntegerField(**options))


def index(name: str) -> Operation:
    """Add an index."""
    return migrations.AddIndex("product", models.Index(fields=["a"], name=name))


def rename(old: str = "Product", new: str = "Item") -> Operation:
    """Rename a model."""
    return migrations.RenameModel(old, new)


WITHOUT_DEFAULT = migrations.AddField("product", "c", models.IntegerField(default=1))
UNIQUE = migrations.AddConstraint("product", models.UniqueConstraint(fields=["a"], name="u"))
SEPARATE = migrations.SeparateDatabaseAndState([add("y")], [add("y")])


def on(parent: str, *chain: History) -> History:
    """``chain``, of which the first depends on ``parent`` alone, and each on the one before."""
    found: History = {}
    for history in chain:
        for name, migration in history.items():
            found[name] = variant(migration, dependencies=keys(parent))
            parent = name[1]
    return found


def steps(plan: Plan) -> tuple[list[str], list[str]]:
    """The names that are unapplied, and applied."""
    return [name for _, name in plan.unapply], [name for _, name in plan.apply]


def rebased(own: Operation, theirs: Operation, **more: Any) -> Plan:
    """The plan where ``x2`` was applied, and has to come after ``m2`` now."""
    held = MAIN | on("m1", line(x2=own))
    wanted = MAIN | on("m1", line(m2=theirs)) | on("m2", {key("x2"): held[key("x2")]})
    return make_plan(facts(held, wanted), **more)


MOVED = (["x2"], ["m2", "x2"])
STAYS: tuple[list[str], list[str]] = ([], ["m2"])


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        # The models differ, or can't be computed.
        (alter("a", unique=True), alter("a", null=True)),
        (rename(), alter("a")),
        (migrations.RenameField("product", "a", "c"), alter("a")),
        (rename(), add("y")),
        # Code runs.
        (rename(), run()),
        (alter("a", null=True), run()),
        (WITHOUT_DEFAULT, run()),
        (UNIQUE, run()),
        (remove("a"), run()),
        (run(), run()),
        (UNIQUE, SEPARATE),
    ],
)
def test_where_the_order_matters(own: Operation, theirs: Operation) -> None:
    plan = rebased(own, theirs)
    assert steps(plan) == MOVED
    assert not plan.questionable
    assert not plan.not_rolled_back


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (alter("a", null=True), alter("b", null=True)),
        (add("x"), add("y")),
        (index("x"), index("y")),
        (create("Note"), rename()),
        (WITHOUT_DEFAULT, remove("b")),
        # What runs code has run.
        (run(reversible=False), alter("a", null=True)),
        # Code notices no table and no empty column more.
        (create("Note"), run()),
        (add("x"), run()),
        (add("x"), SEPARATE),
        (migrations.AlterModelOptions("product", {"ordering": ["a"]}), run()),
    ],
)
def test_where_it_does_not_matter(own: Operation, theirs: Operation) -> None:
    assert steps(rebased(own, theirs)) == STAYS


def test_an_irreversible_one_is_named_or_left() -> None:
    own = [alter("a", null=True), run(reversible=False)]
    held = MAIN | on("m1", line(x2=own))
    wanted = MAIN | on("m1", line(m2=alter("a")), {key("x2"): held[key("x2")]})
    plan = make_plan(facts(held, wanted))
    assert plan.irreversible == keys("x2")
    plan = make_plan(facts(held, wanted), Policy(Irreversible.KEEP))
    assert plan.left_applied == keys("x2")
    assert steps(plan) == STAYS


def test_what_is_left_for_the_rows_of_its_tables_is_not_unapplied_for_its_place() -> None:
    held = MAIN | on("m1", line(x2=alter("a", null=True)))
    wanted = MAIN | on("m1", line(m2=alter("a")), line(x2=alter("a", unique=True)))
    plan = make_plan(facts(held, wanted, changed=keys("x2")), leave=keys("x2"))
    assert steps(plan) == STAYS
    assert plan.not_rolled_back == {key("x2"): []}


def test_a_text_that_can_t_be_executed_is_no_reason() -> None:
    held = MAIN | on("m1", line(x2=alter("a", null=True)))
    wanted = MAIN | on("m1", line(m2=alter("nothing")), line(x2=alter("a", null=True)))
    assert steps(make_plan(facts(held, wanted))) == STAYS


CHAIN = on("m1", line(x2=add("x")), line(x3=alter("a", null=True)), line(x4=add("z")))


def test_only_those_of_a_chain_that_matter_are_unapplied_with_what_depends_on_them() -> None:
    wanted = MAIN | on("m1", line(m2=alter("a")), line(m3=add("y")), CHAIN)
    plan = make_plan(facts(MAIN | CHAIN, wanted))
    assert steps(plan) == (["x4", "x3"], ["m2", "m3", "x3", "x4"])


def test_the_first_of_a_chain_takes_along_the_others() -> None:
    chain = line(x2=WITHOUT_DEFAULT, x3=add("y"))
    held = MAIN | on("m1", chain)
    wanted = MAIN | on("m1", line(m2=run()), chain)
    assert steps(make_plan(facts(held, wanted))) == (["x3", "x2"], ["m2", "x2", "x3"])


def test_what_stays_may_lie_between_two_pending_ones() -> None:
    held = MAIN | on("m1", line(x2=add("x")), line(x4=alter("a", null=True)))
    chain = on("m1", line(m2=add("y")), line(x2=add("x")), line(m3=alter("x", null=False)))
    wanted = MAIN | chain | on("m3", line(x4=alter("a", null=True)))
    assert steps(make_plan(facts(held, wanted))) == ([], ["m2", "m3"])


@pytest.mark.parametrize(
    ("own", "expected"),
    [(migrations.RenameModel("Note", "Text"), MOVED), (create("Text"), STAYS)],
)
def test_a_dependency_on_another_app(
    own: Operation, expected: tuple[list[str], list[str]]
) -> None:
    """Whether it is declared by the one, or by the other with ``run_before``."""
    other, name = line("other", x1=create("Note"), x2=own), key("x2", "other")
    held = MAIN | other
    theirs = on("m1", line(m2=run()))
    depends = {name: variant(other[name], dependencies=[key("x1", "other"), key("m2")])}
    runs_before = {key("m2"): variant(theirs[key("m2")], run_before=[name])}
    for change in (depends, runs_before):
        assert steps(make_plan(facts(held, held | theirs | change))) == expected


def test_a_merge_stays() -> None:
    held = MAIN | on("m1", line(x2=add("x"))) | on("m1", line(y2=add("y")))
    merge = {key("x3"): variant(line(x3=[])[key("x3")], dependencies=keys("x2", "y2"))}
    now = {key("x3"): variant(merge[key("x3")], dependencies=keys("x2", "y2", "m2"))}
    wanted = held | on("m1", line(m2=run())) | now
    assert steps(make_plan(facts(held | merge, wanted))) == STAYS


# A dependency that is gone


def dropped(own: Operation, below: Operation) -> Plan:
    """The plan where ``x3`` was applied after ``x2``, which is gone, and depends on m1 now."""
    held = MAIN | on("m1", line(x2=below)) | on("m1", line(x3=own))
    wanted = MAIN | on("m1", line(x3=own))
    moved = on("x2", {key("x3"): held[key("x3")]})
    return make_plan(facts(held, wanted, moved=moved))


@pytest.mark.parametrize(
    ("own", "below", "is_unapplied"),
    [
        (alter("a", null=True), alter("a", unique=True), True),
        (alter("a", null=True), run(), True),
        (alter("a", null=True), alter("b", null=True), False),
        (add("x"), add("y"), False),
        (create("Note"), run(), False),
    ],
)
def test_what_came_after_a_phantom_and_does_no_more(
    own: Operation, below: Operation, is_unapplied: bool
) -> None:
    expected = (["x3", "x2"], ["x3"]) if is_unapplied else (["x2"], [])
    assert steps(dropped(own, below)) == expected


def test_what_depends_on_one_that_has_left_its_place() -> None:
    own = line(x3=add("x"), x4=alter("a", null=True))
    held = MAIN | on("m1", line(x2=alter("a", unique=True))) | on("m1", own)
    wanted: dict[Key, Any] = MAIN | on("m1", own)
    moved = on("x2", {key("x3"): held[key("x3")]})
    assert steps(make_plan(facts(held, wanted, moved=moved))) == (["x4", "x2"], ["x4"])
