"""What is done about what is out of step: both passes, and what stays as it is."""

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import migrations

from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.plan import Plan, Rows, make_plan, shared_tables
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.schema.tracker import SchemaHistory
from tests.branches.planning.values import (
    MISSING,
    OTHER,
    OWN,
    History,
    add,
    after,
    create,
    facts,
    key,
    keys,
    line,
    remove,
    run,
    squash,
)

FAIL, KEEP, NOOP = (
    Policy(one) for one in (Irreversible.FAIL, Irreversible.KEEP, Irreversible.NOOP)
)
BASE = line(m1=create())


def names(found: Sequence[tuple[str, str]]) -> list[str]:
    """The names of migrations, in the order of ``found``."""
    return [name for _, name in found]


def assert_does_nothing(plan: Plan) -> None:
    """Neither steps nor rows, and nothing that was left."""
    assert not plan
    assert not plan.left_as_is
    assert not plan.questionable
    assert not plan.irreversible
    assert not plan.missing_sources


# Both passes


def test_nothing_is_done_where_both_have_the_same() -> None:
    assert_does_nothing(make_plan(facts(BASE, BASE)))


def test_phantoms_are_unapplied_children_first_and_the_rest_applied_parents_first() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    wanted = line(m1=create(), n2=add("c"), n3=add("d"))
    plan = make_plan(facts(held, wanted))
    assert names(plan.unapply) == ["m3", "m2"]
    assert names(plan.apply) == ["n2", "n3"]
    assert plan.states[key("m2")] is State.PHANTOM
    assert plan.rows == list(held)
    assert names(plan.remaining) == ["m1"]
    assert plan


def test_rows_decide_where_the_graph_leaves_the_order_open() -> None:
    held = line("a", a1=create("A")) | line("b", b1=create("B")) | line("c", c1=create("C"))
    for rows in (list(held), list(held)[::-1]):
        plan = make_plan(facts(held, {}, rows=rows))
        assert plan.unapply == rows[::-1]


NEEDS_WHAT_IT_DOES_NOT_NAME = (
    line("a", a1=create("A"), a2=add("x", "a"))
    | line("m", m1=create("M"), m2=run())
    | line("z", z1=create("Z"), z2=add("x", "z"))
)
"""The dependency of a2 on z2 puts m2 behind z2, whenever ``migrate`` applies all of them."""


def test_steps_are_those_of_migrate_and_back_in_reverse() -> None:
    branch = after(NEEDS_WHAT_IT_DOES_NOT_NAME, key("a2", "a"), key("z2", "z"))
    main = {found: branch[found] for found in branch if found[1].endswith("1")}
    forth = make_plan(facts(main, branch)).apply
    assert names(forth) == ["z2", "a2", "m2"]
    back = make_plan(facts(branch, main, rows=[*main, *forth])).unapply
    assert names(back) == ["m2", "a2", "z2"]


def test_what_depends_on_a_phantom_is_unapplied_with_it_and_applied_again() -> None:
    held = line(m1=create(), m2=add("a")) | line("other", o1=create("Other"))
    held = after(held, key("o1", "other"), key("m2"))
    wanted = line(m1=create()) | line("other", o1=create("Other"))
    plan = make_plan(facts(held, wanted))
    assert names(plan.unapply) == ["o1", "m2"]
    assert names(plan.apply) == ["o1"]


def test_the_rest_of_a_pass_is_followed_from_what_stays() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    plan = make_plan(facts(held, line(m1=create(), n2=add("c"), n3=add("d"))))
    (table,) = plan.unapplied_by(plan.unapply[1:]).tables.values()
    assert list(table.columns) == ["a"]
    (table,) = plan.applied_by(plan.apply[1:]).tables.values()
    assert list(table.columns) == ["d"]
    assert not plan.unapplied_by([]).tables
    assert not plan.applied_by([]).tables


@pytest.mark.parametrize("what", ["unapply", "apply", "forget", "record"])
def test_there_is_something_to_do_if_there_is_one_thing_to_do(what: str) -> None:
    plan = make_plan(facts(BASE, BASE))
    assert not plan
    some: dict[str, Any] = {what: keys("m1")}
    assert plan._replace(**some)


def test_rows_change_before_between_and_after_the_passes() -> None:
    plan = make_plan(facts(BASE, BASE))._replace(
        first_rows=Rows(keys("one"), keys("m1", "m2")),
        forget=keys("x"),
        record=keys("y"),
        last_rows=Rows(keys("n1", "n2"), keys("two")),
    )
    assert names(plan.forgotten) == ["one", "x", "n1", "n2"]
    assert names(plan.recorded) == ["m1", "m2", "y", "two"]
    assert plan


def test_a_renamed_file_is_neither_unapplied_nor_applied() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), m3=add("a"))
    plan = make_plan(facts(held, wanted, OWN))
    assert (names(plan.forget), names(plan.record)) == (["m2"], ["m3"])
    assert not plan.unapply
    assert not plan.apply


def test_a_squash_that_is_unapplied_takes_the_rows_of_what_it_replaces() -> None:
    held = squash("squashed", keys("m1", "m2"), create("Product", "a"))
    wanted = line(n1=create("Other"))
    rows = keys("m1", "m2", "squashed")
    plan = make_plan(facts(held, wanted, rows=rows))
    assert names(plan.unapply) == ["squashed"]
    assert names(plan.apply) == ["n1"]
    assert not plan.forget
    assert not plan.wanted.applied_nodes()


# Missing sources


def test_a_phantom_without_a_source_is_named_and_not_unapplied() -> None:
    plan = make_plan(facts(BASE, BASE, MISSING, rows=keys("m1", "m2")))
    assert names(plan.missing_sources) == ["m2"]
    assert not plan
    assert not plan.left_as_is


def test_a_phantom_without_a_source_stays_with_all_phantoms_of_its_app() -> None:
    held = line(m1=create(), m2=add("a")) | line("other", o1=create("Other"))
    rows = [*held, key("m3")]
    plan = make_plan(facts(held, BASE, rows=rows), KEEP)
    assert names(plan.left_applied) == ["m2", "m3"]
    assert names(plan.unapply) == ["o1"]
    assert not plan.missing_sources


# Changed migrations

EDITED = line(m1=create(), m2=add("b"))


def changed(held: History, wanted: History) -> Plan:
    return make_plan(facts(held, wanted, changed=[key("m2")]))


def test_a_changed_migration_is_unapplied_as_it_was_and_applied_as_it_is() -> None:
    plan = changed(line(m1=create(), m2=add("a")), EDITED)
    assert names(plan.unapply) == names(plan.apply) == names(plan.questionable) == ["m2"]
    assert not plan.not_rolled_back
    assert plan.held.graph.nodes[key("m2")] is not plan.wanted.graph.nodes[key("m2")]


SHARED_HELD = line(m1=create(), m2=add("a"), m3=add("c"))
SHARED_WANTED = line(m1=create(), m2=add("b"), m3=add("c"))


def test_a_changed_migration_is_not_rolled_back_if_that_takes_along_what_both_have() -> None:
    plan = changed(SHARED_HELD, SHARED_WANTED)
    assert plan.not_rolled_back == {key("m2"): keys("m3")}
    assert plan.left_as_is == set(keys("m2"))
    assert not plan


def test_a_changed_migration_is_rolled_back_with_what_both_have_on_request() -> None:
    given = facts(SHARED_HELD, SHARED_WANTED, changed=keys("m2"))
    plan = make_plan(given, roll_back_shared=True)
    assert names(plan.unapply) == ["m3", "m2"]
    assert names(plan.apply) == ["m2", "m3"]
    assert names(plan.questionable) == ["m2"]
    assert not plan.not_rolled_back


def test_changed_migrations_don_t_hinder_each_other() -> None:
    given = facts(SHARED_HELD, SHARED_WANTED, changed=keys("m2", "m3"))
    assert names(make_plan(given).unapply) == ["m3", "m2"]


def test_a_changed_migration_that_must_not_be_touched_is_left() -> None:
    given = facts(line(m1=create(), m2=add("a")), EDITED, changed=keys("m2"))
    plan = make_plan(given, roll_back_shared=True, leave=keys("m2"))
    assert plan.not_rolled_back == {key("m2"): []}
    assert not plan


def test_what_was_made_anew_is_left_if_rolling_it_back_takes_along_what_both_have() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("c"))
    wanted = line(m1=create(), m3=add("c"), n4=add("d"))
    plan = make_plan(facts(held, wanted, OWN))
    assert plan.not_rolled_back == {key("m2"): keys("m3")}
    assert not plan.unapply
    assert names(plan.apply) == ["n4"]


def test_what_was_made_anew_is_questionable() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("b"))
    plan = make_plan(facts(held, wanted, OWN))
    assert names(plan.unapply) == names(plan.questionable) == ["m2"]


def test_a_phantom_of_another_branch_is_not_questionable() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("b"))
    plan = make_plan(facts(held, wanted, OTHER))
    assert names(plan.unapply) == ["m2"]
    assert not plan.questionable


# Irreversible migrations

STUCK = line(m1=create(), m2=add("a"), m3=[add("b"), run(reversible=False)], m4=add("c"))


def test_an_irreversible_migration_is_named() -> None:
    plan = make_plan(facts(STUCK, BASE), FAIL)
    assert names(plan.irreversible) == ["m3"]
    assert names(plan.unapply) == ["m4", "m3", "m2"]
    assert not plan.left_applied


def test_an_irreversible_migration_is_left_with_what_it_needs() -> None:
    plan = make_plan(facts(STUCK, BASE), KEEP)
    assert names(plan.left_applied) == ["m2", "m3"]
    assert plan.left_as_is == set(keys("m2", "m3"))
    assert (plan.needing(key("m2")), plan.needing(key("m3"))) == ([key("m3")], [])
    assert names(plan.unapply) == ["m4"]
    assert not plan.irreversible


def test_raw_operations_without_a_reverse_may_count_as_empty() -> None:
    plan = make_plan(facts(STUCK, BASE), NOOP)
    assert names(plan.unapply) == ["m4", "m3", "m2"]
    assert not plan.irreversible
    assert not plan.left_applied


def test_each_may_be_treated_in_another_way() -> None:
    held = STUCK | line("other", o1=create("Other"), o2=run(reversible=False))
    answers = {key("m3"): Irreversible.NOOP, key("o2", app="other"): Irreversible.KEEP}
    plan = make_plan(facts(held, BASE), Policy(Irreversible.FAIL, answers))
    assert names(plan.unapply) == ["m4", "m3", "m2"]
    assert names(plan.left_applied) == ["o1", "o2"]
    assert names(plan.kept) == ["o2"]
    assert names(plan.emptied) == ["m3"]
    assert not plan.irreversible


def test_one_is_left_and_another_one_named() -> None:
    held = STUCK | line("other", o1=create("Other"), o2=run(reversible=False))
    plan = make_plan(facts(held, BASE), Policy(FAIL.of(key("m3")), {key("m3"): Irreversible.KEEP}))
    assert names(plan.left_applied) == ["m2", "m3"]
    assert names(plan.irreversible) == ["o2"]


def test_what_is_configured_is_looked_up_once_and_only_if_it_is_needed() -> None:
    asked = []

    def configured() -> Irreversible:
        asked.append(1)
        return Irreversible.KEEP

    policy = Policy(configured)
    make_plan(facts(line(m1=create(), m2=add("a")), BASE), policy)
    assert not asked
    for _ in range(2):
        assert names(make_plan(facts(STUCK, BASE), policy).kept) == ["m3"]
    assert asked == [1]


@pytest.mark.parametrize("policy", [FAIL, NOOP])
def test_other_irreversible_operations_never_count_as_empty(policy: Policy) -> None:
    class Removal(migrations.RemoveField):
        reversible = False

    removal = Removal("product", "a")
    held = line(m1=create("Product", "a"), m2=[removal, run(reversible=False)])
    assert names(make_plan(facts(held, line(m1=create("Product", "a"))), policy).irreversible) == [
        "m2"
    ]


@pytest.mark.parametrize(("policy", "irreversible"), [(FAIL, ["m2"]), (KEEP, []), (NOOP, ["m2"])])
def test_what_is_known_to_be_irreversible_counts_as_such(
    policy: Policy, irreversible: list[str]
) -> None:
    held = line(m1=create(), m2=add("a"))
    plan = make_plan(facts(held, BASE), policy, known_stuck=keys("m2"))
    assert names(plan.irreversible) == irreversible
    assert names(plan.left_applied) == ([] if irreversible else ["m2"])


# Tables and columns


def test_what_unapplying_drops() -> None:
    held = line(m1=create(), m2=add("a")) | line("other", o1=create("Other"))
    plan = make_plan(facts(held, BASE))
    found = plan.losses_of(plan.unapply)
    assert {loss.item for loss in found} == {("shop_product", "a"), ("other_other", None)}
    assert [loss.item for loss in plan.losses_of(keys("m2"))] == [("shop_product", "a")]
    assert plan.losses_of([]) == []


def test_what_both_passes_do_to_tables_and_columns() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("b"))
    changes = make_plan(facts(held, wanted)).changes()
    assert [loss.item for loss in changes.lost] == [("shop_product", "a")]
    assert set(changes.made) == {("shop_product", "b")}


def test_a_work_tree_may_know_better_what_a_pass_does() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("b"))
    plan = make_plan(facts(held, wanted))
    other = make_plan(facts(line(m1=create(), x2=add("x")), line(m1=create(), y2=add("y"))))
    changes = plan.changes(other.backwards, other.forwards)
    assert [loss.item for loss in changes.lost] == [("shop_product", "x")]
    assert set(changes.made) == {("shop_product", "y")}


def test_passes_without_steps_do_nothing() -> None:
    plan = make_plan(facts(BASE, BASE))
    assert plan.backwards == SchemaHistory()
    assert plan.forwards == SchemaHistory()


def test_names_are_cut_where_the_database_cuts_them() -> None:
    held = line(m1=create("Averylongname"))
    plan = make_plan(facts(held, {}, max_name_length=10))
    assert plan.max_name_length == 10
    (loss,) = plan.losses_of(plan.unapply)
    assert len(loss.table) == 10


def test_what_an_applied_migration_of_the_target_has_would_not_come_back() -> None:
    held, wanted = line(m1=create(), m2=add("a"), m3=add("b")), line(m1=create("Product", "a"))
    plan = make_plan(facts(held, wanted))
    lost = plan.losses_of(plan.unapply)
    assert {loss.column for loss in lost} == {"a", "b"}
    assert [loss.column for loss in plan.broken_by(lost)] == ["a"]
    assert plan.broken_by([]) == []


def test_what_a_migration_that_stays_has_made_as_well_would_not_come_back() -> None:
    """Whoever gives an app another label fakes the migrations of the new one."""
    old = line(m1=create())
    table = migrations.AlterModelTable("product", "shop_product")
    held = old | line("store", n1=create(), n2=table)
    plan = make_plan(facts(held, old))
    lost = plan.losses_of(plan.unapply)
    assert [loss.item for loss in lost] == [("shop_product", None)]
    assert plan.made_twice(lost) == lost


def test_a_name_that_comes_back_is_free() -> None:
    product, moved = create(), migrations.AlterModelTable("product", "elsewhere")
    other = migrations.CreateModel("Other", [], {"db_table": "shop_product"})
    held = line(m1=product, m2=moved, m3=other)
    plan = make_plan(facts(held, line(m1=product)))
    lost = plan.losses_of(plan.unapply)
    assert [loss.item for loss in lost] == [("shop_product", None)]
    assert plan.made_twice(lost) == []


def test_what_the_target_has_and_a_phantom_drops() -> None:
    held = line("notes", m1=create("Note", "a"))
    wanted = line("notes", n1=create("Note", "b"))
    plan = make_plan(facts(held, wanted))
    lost = plan.losses_of(plan.unapply)
    assert [loss.item for loss in plan.shared_by(lost)] == [("notes_note", None)]
    # It is not applied, so that nothing is broken: it is made anew.
    assert plan.broken_by(lost) == []


def test_what_a_changed_migration_drops_is_not_called_shared() -> None:
    held = line("notes", m1=create("Note", "a"))
    wanted = line("notes", m1=create("Note", "b"))
    plan = make_plan(facts(held, wanted, changed=keys("m1", app="notes")))
    assert plan.shared_by(plan.losses_of(plan.unapply)) == []


def test_what_unapplying_a_removal_makes_anew_is_not_lost() -> None:
    held = line(m1=create("Product", "a"), m2=remove("a"), m3=add("a"))
    wanted = line(m1=create("Product", "a"), n2=run())
    plan = make_plan(facts(held, wanted))
    lost = plan.losses_of(keys("m3"))
    assert [loss.item for loss in lost] == [("shop_product", "a")]
    assert names(plan.remaining) == ["m1"]
    assert plan.shared_by(lost) == plan.broken_by(lost) == []


def test_tables_of_the_target_that_a_questionable_migration_drops() -> None:
    held = line(m1=create("Product", "a")) | line("other", o1=create("Other"))
    wanted = line(m1=create("Product", "b")) | line("other", p1=create("Other", "x"))
    plan = make_plan(facts(held, wanted, changed=keys("m1")))
    assert shared_tables(plan) == {key("m1"): {"shop_product"}}


def test_columns_and_tables_of_its_own_are_no_tables_of_the_target() -> None:
    held = line(m1=create(), m2=[add("a"), create("Mine")])
    plan = make_plan(facts(held, line(m1=create(), m2=add("b")), changed=keys("m2")))
    assert names(plan.questionable) == ["m2"]
    assert shared_tables(plan) == {}


def test_what_goes_along_with_a_questionable_migration_counts_as_its_doing() -> None:
    held = line(m1=create(), m2=add("a"), m3=create("Mine"))
    wanted = line(m1=create(), m2=add("b"), m3=create("Mine"))
    plan = make_plan(facts(held, wanted, changed=keys("m2")), roll_back_shared=True)
    assert shared_tables(plan) == {key("m2"): {"shop_mine"}}
