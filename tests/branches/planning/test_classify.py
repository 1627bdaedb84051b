"""The rules that say what each migration is to the target, one by one and together."""

import inspect
import logging
import re

import pytest
from django.db import migrations, models
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.operations.base import Operation

from django_devtools.branches.planning import classify as rules
from django_devtools.branches.planning.classify import (
    Facts,
    State,
    Verdicts,
    classify,
    graph_by,
    states,
    states_after_switch,
)
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.snapshots import Key
from tests.branches.planning.values import (
    MISSING,
    OTHER,
    OWN,
    UNKNOWN,
    History,
    add,
    after,
    create,
    facts,
    key,
    keys,
    line,
    nothing,
    remove,
    run,
    squash,
)

BASE = line(m1=create())
"""What both sides have in most of the tests."""


def by_name(found: dict[tuple[str, str], State]) -> dict[str, str]:
    """States by the names of migrations, without those that are as they should be."""
    return {name: state.value for (_, name), state in found.items() if state is not State.APPLIED}


def judged(given: Facts) -> dict[str, str]:
    """States by the names of migrations, without those that are as they should be."""
    return by_name(states(given))


def names(found: frozenset[tuple[str, str]]) -> list[str]:
    """The names of migrations."""
    return sorted(name for _, name in found)


# In step


def test_nothing_is_decided_where_both_have_the_same() -> None:
    given = facts(BASE, BASE)
    assert given.in_step()
    assert states(given) == {key("m1"): State.APPLIED}


def test_what_left_no_trace_is_obsolete_without_any_rule() -> None:
    given = facts(BASE, BASE, UNKNOWN, rows=[*BASE, key("0001", "gone")])
    assert given.in_step()
    assert judged(given) == {"0001": "obsolete"}
    assert "held_graph" not in vars(given)
    assert "wanted_graph" not in vars(given)


@pytest.mark.parametrize("origin", [OWN, OTHER, MISSING])
def test_a_row_that_left_a_trace_is_out_of_step(origin: Origin) -> None:
    assert not facts(line(m1=create(), m2=add("a")), BASE, origin).in_step()


def test_a_pending_migration_is_out_of_step() -> None:
    given = facts(BASE, line(m1=create(), m2=add("a")))
    assert not given.in_step()
    assert judged(given) == {"m2": "pending"}


@pytest.mark.parametrize(("changed", "rerun"), [(keys("m1"), []), ([], keys("m1"))])
def test_a_changed_migration_is_out_of_step(changed: list[Key], rerun: list[Key]) -> None:
    given = facts(BASE, line(m1=create("Product", "a")), changed=changed, rerun=rerun)
    assert not given.in_step()
    assert judged(given) == {"m1": "changed"}


# by_origin


def test_origins_tell_phantoms_from_obsolete_ones() -> None:
    origins = {
        key("m2"): OTHER,
        key("m3"): MISSING,
        key("m4"): UNKNOWN,
        key("m5"): OWN,
    }
    given = facts(BASE, BASE, origins, rows=[key("m1"), *origins])
    found = rules.by_origin(given, Verdicts())
    assert names(found.phantoms) == ["m2", "m3"]
    assert names(found.obsolete) == ["m4"]
    assert found == Verdicts(phantoms=found.phantoms, obsolete=found.obsolete)


def test_a_squash_counts_as_applied_with_all_that_it_replaces() -> None:
    held = line(m1=create(), m2=add("a"))
    wanted = squash("squashed", keys("m1", "m2"), create("Product", "a"))
    given = facts(held, wanted, {})
    found = rules.by_origin(given, Verdicts())
    assert names(found.record) == ["squashed"]
    assert not given.pending
    assert judged(given) == {}


def test_a_broken_target_is_an_error() -> None:
    broken = after(BASE, key("m1"), key("m0"))
    with pytest.raises(NodeNotFoundError):
        states(facts({}, broken))


def test_an_incomplete_target_is_none() -> None:
    broken = after(BASE, key("m1"), key("m0"))
    assert judged(facts({}, broken, is_complete=False)) == {"m1": "pending"}


# redundant_squash


LONG = line(m1=create(), m2=add("a"))
SHORT = squash("squashed", keys("m1", "m2"), create("Product", "a"))


@pytest.mark.parametrize(
    ("origin", "obsolete", "forget"), [(OWN, ["squashed"], []), (OTHER, [], ["squashed"])]
)
def test_a_squash_whose_long_form_is_there_loses_its_row_at_most(
    origin: Origin, obsolete: list[str], forget: list[str]
) -> None:
    given = facts(LONG | SHORT, LONG, origin)
    found = classify(given)
    assert names(found.obsolete) == obsolete
    assert names(found.forget) == forget
    assert not found.phantoms
    assert not found.superseded
    assert names(frozenset(graph_by(given, found).graph.nodes)) == ["m1", "m2", "squashed"]


def test_a_squash_applied_in_place_of_its_long_form_is_a_phantom() -> None:
    given = facts(SHORT, LONG, OTHER)
    assert not given.redundant_squashes
    assert names(rules.redundant_squash(given, rules.by_origin(given, Verdicts())).phantoms) == [
        "squashed"
    ]


def test_a_squash_is_not_redundant_if_the_target_has_none_of_its_long_form() -> None:
    given = facts(LONG | SHORT, {}, OTHER)
    assert not given.redundant_squashes


def test_a_squash_is_redundant_if_the_target_has_some_of_its_long_form() -> None:
    given = facts(LONG | SHORT, BASE, OTHER)
    assert given.redundant_squashes == {key("squashed")}
    found = classify(given)
    assert names(found.phantoms) == ["m2"]
    assert names(found.forget) == ["squashed"]


def test_a_redundant_squash_keeps_its_place_and_does_nothing() -> None:
    stand_in = facts(LONG | SHORT, LONG, OTHER).held_graph.graph.nodes[key("squashed")]
    assert stand_in.operations == []
    assert stand_in.dependencies == keys("m1", "m2")
    assert not stand_in.replaces


# app_removed


def test_what_was_done_again_under_another_name_is_forgotten_with_it() -> None:
    held = line(m1=create(), m2=add("a")) | after(line(n2=add("a")), key("n2"), key("m1"))
    found = classify(facts(held, BASE, {key("m2"): UNKNOWN, key("n2"): OTHER}))
    assert (names(found.phantoms), names(found.forget)) == (["n2"], ["m2"])
    assert not found.obsolete
    graph = graph_by(facts(held, BASE, {key("m2"): UNKNOWN, key("n2"): OTHER}), found)
    assert key("m2") not in graph.applied_nodes()


def test_what_was_done_once_more_before_is_not_forgotten() -> None:
    held = line(m1=create(), n2=add("a")) | after(line(m2=add("a")), key("m2"), key("m1"))
    found = classify(facts(held, BASE, {key("m2"): UNKNOWN, key("n2"): OTHER}))
    assert names(found.obsolete) == ["m2"]


def test_the_past_is_obsolete_where_the_app_was_taken_out() -> None:
    old = line("old", o1=create("Old"))
    given = facts(BASE | old, BASE, OWN)
    assert judged(given) == {"o1": "obsolete"}
    assert not classify(given).superseded


def test_the_past_of_a_removed_app_is_obsolete_beside_one_that_was_made_anew() -> None:
    old = line("old", o1=create("Old"))
    held = line(m1=create(), m2=add("a"))
    assert judged(facts(held | old, BASE, OWN)) == {"o1": "obsolete", "m2": "phantom"}


# models_unknown


def test_the_past_is_obsolete_where_models_are_not_known() -> None:
    held = line(m1=create(), m2=add("a"))
    given = facts(held, BASE, OWN, unusable=[key("m2")])
    assert judged(given) == {"m2": "obsolete"}
    assert not classify(given).superseded


def test_models_are_not_known_where_an_operation_fails() -> None:
    given = facts(line(m1=create(), m2=add("a", "nothing")), BASE, OWN)
    assert judged(given) == {"m2": "obsolete"}


def test_phantoms_don_t_make_models_unknown() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    origins = {key("m2"): OWN, key("m3"): OTHER}
    given = facts(held, BASE, origins, unusable=[key("m3")])
    assert judged(given) == {"m2": "phantom", "m3": "phantom"}


# target_has_its_models


def test_the_past_is_obsolete_where_the_target_was_reset() -> None:
    reset = line(m1=create("Product", "a"))
    given = facts(line(m1=create(), m2=add("a")), reset, OWN, changed=[key("m1")])
    found = classify(given)
    assert names(found.obsolete) == names(found.superseded) == ["m2"]
    assert not found.changed
    graph = graph_by(given, found)
    assert graph.graph.nodes[key("m1")] is reset[key("m1")]
    assert key("m2") not in graph.graph.nodes


def test_an_edit_that_leads_to_the_same_models_is_no_change() -> None:
    one = line(m1=create("Product", "a"), m2=remove("a"))
    other = line(m1=create(), m2=[add("a"), remove("a")])
    given = facts(one, other, changed=[key("m1"), key("m2")])
    assert judged(given) == {}


def test_an_edit_that_leads_to_other_models_is_a_change() -> None:
    given = facts(line(m1=create("Product", "a")), BASE, changed=[key("m1")])
    assert judged(given) == {"m1": "changed"}
    assert graph_by(given, classify(given)) is given.held_graph


def test_an_edit_in_one_app_is_a_change_whatever_another_app_has() -> None:
    held = line(m1=create("Product", "a")) | line("other", o1=create("Product", "a"))
    wanted = BASE | line("other", o1=[create(), add("a")])
    given = facts(held, wanted, changed=[key("m1"), key("o1", "other")])
    assert judged(given) == {"m1": "changed"}


def test_an_edit_is_judged_without_what_phantoms_do() -> None:
    held = line(m1=create("Product", "a"), m2=remove("a"), m3=add("b"))
    wanted = line(m1=create(), m2=[add("a"), remove("a")])
    given = facts(held, wanted, {key("m3"): OTHER}, changed=[key("m1"), key("m2")])
    assert judged(given) == {"m3": "phantom"}


def test_an_edit_is_a_change_if_models_are_not_known() -> None:
    held = line(m1=create("Product", "a"), m2=remove("a"), m3=add("b"))
    wanted = line(m1=create(), m2=[add("a"), remove("a")], m3=add("b"))
    given = facts(held, wanted, changed=[key("m1")], unusable=[key("m3")])
    assert judged(given) == {"m1": "changed"}


# left_behind_by_squash


def test_the_past_is_obsolete_as_far_as_the_models_don_t_need_it() -> None:
    held = line(m1=create(), m2=[add("a"), remove("a")], m3=run(), m4=add("b"))
    found = classify(facts(held, BASE, OWN))
    assert names(found.obsolete) == names(found.superseded) == ["m2", "m3"]
    assert names(found.remade) == names(found.phantoms) == ["m4"]


def test_the_past_is_obsolete_as_a_beginning_only() -> None:
    held = line(m1=create(), m2=add("b"), m3=run())
    found = classify(facts(held, BASE, OWN))
    assert not found.obsolete
    assert names(found.remade) == ["m2", "m3"]


def test_a_single_row_of_the_past_may_be_all_that_is_left_behind() -> None:
    held = line(m1=create(), m2=run(), m3=add("b"))
    found = classify(facts(held, BASE, OWN))
    assert names(found.obsolete) == ["m2"]


def test_what_was_made_and_dropped_is_not_left_behind_if_it_is_pending_under_other_names() -> None:
    held = line(m1=create(), m2=add("a"), m3=remove("a"))
    wanted = line(m1=create(), s2=add("a"), s3=remove("a"))
    found = classify(facts(held, wanted, OWN))
    assert not found.obsolete
    assert names(found.forget) == ["m2", "m3"]
    assert names(found.record) == ["s2", "s3"]


# adopted: the target's own past


def test_a_file_that_was_renamed_only_changes_its_row() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), m3=add("a"))
    given = facts(held, wanted, OWN)
    found = classify(given)
    assert names(found.forget) == ["m2"]
    assert names(found.record) == ["m3"]
    assert not found.phantoms
    assert not found.remade
    assert judged(given) == {"m2": "phantom", "m3": "pending"}


def test_a_renamed_file_may_run_code_that_has_run_already() -> None:
    held, wanted = line(m1=create(), m2=[add("a"), run()]), line(m1=create(), m3=add("a"))
    found = classify(facts(held, wanted, OWN))
    assert names(found.forget) == ["m2"]
    assert names(found.record) == ["m3"]


def test_code_is_not_run_twice_because_its_file_was_renamed() -> None:
    """Without it, the models are the same."""
    for held, wanted in (
        (line(m1=create(), m2=run()), line(m1=create(), m3=run())),
        (line(m1=create(), m2=run(), m3=add("a")), line(m1=create(), m4=run(), m5=add("a"))),
    ):
        found = classify(facts(held, wanted, OWN))
        assert found.forget == held.keys() - BASE.keys()
        assert found.record == wanted.keys() - BASE.keys()
        assert not found.obsolete


def test_code_that_was_rebased_onto_other_code_is_undone_first() -> None:
    held = line(m1=create(), m2=run(), m3=add("a"))
    wanted = line(m1=create(), m2_main=[add("x"), run()], m3_code=run(), m4=add("a"))
    found = classify(facts(held, wanted, OWN))
    assert not found.obsolete
    assert names(found.remade) == ["m2"]


def test_what_was_renamed_does_not_count_as_changed() -> None:
    held = line(m1=create("Product", "a"), m2=add("b"))
    wanted = line(m1=create("Product", "b"), m3=add("a"))
    found = classify(facts(held, wanted, OWN, changed=[key("m1")]))
    assert not found.changed
    assert names(found.record) == ["m3"]


def test_nothing_is_recorded_if_what_is_pending_runs_code() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), m3=[add("a"), run()])
    found = classify(facts(held, wanted, OWN))
    assert not found.record
    assert names(found.remade) == ["m2"]


def test_what_is_pending_in_another_app_is_not_recorded() -> None:
    held = line(m1=create(), m2=add("a"))
    wanted = line(m1=create(), m3=add("a")) | line("other", o1=run())
    found = classify(facts(held, wanted, OWN))
    assert names(found.record) == ["m3"]


def test_a_renamed_file_keeps_its_row_where_the_target_has_more_on_top() -> None:
    held = line(m1=create(), m2=add("a"))
    wanted = line(m1=create(), m3=add("a"), m4=run())
    found = classify(facts(held, wanted, OWN))
    assert names(found.record) == ["m3"]
    assert not found.phantoms


# made_anew


def test_what_the_target_deleted_to_make_something_else_is_a_phantom() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), m3=add("b"))
    found = classify(facts(held, wanted, OWN))
    assert names(found.phantoms) == names(found.remade) == ["m2"]


def test_what_another_branch_has_is_not_made_anew() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), m3=add("b"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.phantoms) == ["m2"]
    assert not found.remade


# created_twice


def test_a_reset_on_another_branch_is_forgotten() -> None:
    held = line(m1=create(), m2=add("a")) | line(r1=create("Product", "a"))
    given = facts(held, line(m1=create(), m2=add("a")), {key("r1"): OTHER})
    found = rules.created_twice(given, rules.by_origin(given, Verdicts()))
    assert found.forget == found.superseded == set(keys("r1"))
    assert not found.phantoms


@pytest.mark.parametrize(
    "reset",
    [
        line(r1=create("Product", "b")),
        line(r1=create("Other")),
        line(r1=[create(), run()]),
        line("other", r1=create()),
    ],
)
def test_what_does_more_than_create_again_is_no_double(reset: History) -> None:
    held = line(m1=create()) | reset
    given = facts(held, BASE, OTHER)
    before = rules.by_origin(given, Verdicts())
    assert rules.created_twice(given, before) == before


def test_a_double_whose_source_is_missing_stays_a_phantom() -> None:
    given = facts(BASE, BASE, MISSING, rows=keys("m1", "r1"))
    before = rules.by_origin(given, Verdicts())
    assert rules.created_twice(given, before) == before


# adopted: phantoms


def test_phantoms_that_lead_to_the_target_s_models_only_change_their_rows() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    wanted = line(m1=create(), n2=[add("a"), add("b")])
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m2", "m3"]
    assert names(found.record) == ["n2"]
    assert not found.phantoms


def test_phantoms_that_lead_elsewhere_are_unapplied() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("b"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.phantoms) == ["m2"]
    assert not found.record


def test_a_branch_that_went_on_keeps_what_is_the_same() -> None:
    held = line(m1=create("Product"), m2=add("a"), m3=add("b"), m4=add("c"))
    wanted = line(n1=create("Product", "a"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m1", "m2"]
    assert names(found.phantoms) == ["m3", "m4"]
    assert names(found.record) == ["n1"]


def test_only_the_last_may_be_one_too_many() -> None:
    held = line(m1=create("Product"), m2=add("b"))
    wanted = line(n1=create())
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m1"]
    assert names(found.phantoms) == ["m2"]


def test_both_branches_may_have_gone_on() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    wanted = line(m1=create(), n2=add("a"), n3=add("c"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m2"]
    assert names(found.record) == ["n2"]
    assert names(found.phantoms) == ["m3"]


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (line(m1=create(), m2=[add("a"), run()]), line(m1=create(), n2=add("a"))),
        (line(m1=create(), m2=add("a")), line(m1=create(), n2=[add("a"), run()])),
    ],
)
def test_what_runs_code_is_not_adopted(held: History, wanted: History) -> None:
    found = classify(facts(held, wanted, OTHER))
    assert names(found.phantoms) == ["m2"]
    assert not found.record


def test_a_phantom_with_code_on_top_keeps_nothing_from_being_adopted() -> None:
    held = line(m1=create(), m2=add("a"), m3=run())
    found = classify(facts(held, line(m1=create(), n2=add("a")), OTHER))
    assert names(found.forget) == ["m2"]
    assert names(found.phantoms) == ["m3"]


def test_what_a_rename_keeps_and_the_target_drops_is_not_the_same() -> None:
    rename = migrations.RenameField("product", "a", "b")
    held = line(m1=create("Product", "a"), m2=rename)
    wanted = line(m1=create("Product", "a"), n2=[remove("a"), add("b")])
    found = classify(facts(held, wanted, OTHER))
    assert names(found.phantoms) == ["m2"]
    assert not found.record


def test_what_has_no_source_is_not_adopted() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("a"))
    found = classify(facts(held, wanted, OTHER, rows=[*held, key("m3")]))
    assert names(found.phantoms) == ["m2", "m3"]


def test_what_depends_on_another_phantom_is_adopted_without_it_if_it_does_not_need_it() -> None:
    other = line("other", o1=create("Other"))
    held = after(line(m1=create(), m2=add("a")), key("m2"), key("o1", "other"))
    wanted = line(m1=create(), n2=add("a")) | line("other", p1=create("Else"))
    given = facts(held | other, wanted, OTHER)
    found = classify(given)
    assert names(found.forget) == ["m2"]
    assert names(found.phantoms) == ["o1"]
    assert key("m2") not in graph_by(given, found).descendants(found.phantoms)


def test_what_was_renumbered_only_changes_its_row_in_both_directions() -> None:
    early = line(m1=create(), m2=add("x"))
    late = line(m1=create(), m2_new=add("a"), m3=add("x"))
    found = classify(facts(early, late, OWN))
    assert (names(found.forget), names(found.record)) == (["m2"], ["m3"])
    found = classify(facts(late, early, OTHER))
    assert (names(found.forget), names(found.record)) == (["m3"], ["m2"])
    assert names(found.phantoms) == ["m2_new"]


def test_what_needs_what_was_below_it_is_not_renumbered() -> None:
    late = line(m1=create(), m2=add("x"), m3=migrations.RenameField("product", "x", "y"))
    early = line(m1=create("Product", "x"), n2=migrations.RenameField("product", "x", "y"))
    found = classify(facts(late, early, OTHER, changed=[key("m1")]))
    assert not found.record


def test_renumbered_ones_change_places_with_code_if_that_can_t_notice() -> None:
    early = line(m1=create(), m2=add("x"))
    late = line(m1=create(), m2_new=run(), m3=add("x"))
    found = classify(facts(late, early, OTHER))
    assert (names(found.forget), names(found.record)) == (["m3"], ["m2"])
    assert names(found.phantoms) == ["m2_new"]
    found = classify(facts(early, late, OWN))
    assert (names(found.forget), names(found.record)) == (["m2"], ["m3"])
    assert not found.phantoms


@pytest.mark.parametrize(
    "operation",
    [
        remove("x"),
        migrations.AddField("product", "y", models.IntegerField(default=7)),
        migrations.RenameField("product", "x", "y"),
    ],
)
def test_renumbered_ones_don_t_change_places_with_code_that_may_notice(
    operation: Operation,
) -> None:
    early = line(m1=create("Product", "x"), m2=operation)
    late = line(m1=create("Product", "x"), m2_new=run(), m3=operation)
    assert names(classify(facts(late, early, OTHER)).phantoms) == ["m2_new", "m3"]
    assert not classify(facts(early, late, OTHER)).record


def test_other_apps_may_depend_on_what_was_renamed_under_either_name() -> None:
    crm = after(line("crm", o1=create("Order")), key("o1", "crm"), key("m1"))
    new = after(line("crm", o1=create("Order")), key("o1", "crm"), key("n1"))
    mine = after(line(m1=create(), m2=add("mine")), key("m2"), key("o1", "crm"))
    # crm.o1 is held with the target's text, and its row is older than that of the new name.
    given = facts(line(n1=create()) | crm, mine | crm, rows=[key("o1", "crm"), key("n1")])
    found = classify(given)
    assert (names(found.forget), names(found.record)) == (["n1"], ["m1"])
    held = graph_by(given, found)
    assert held.ordered(held.applied_nodes(), given.rows) == [key("n1"), key("o1", "crm")]
    found = classify(facts(mine | new, line(n1=create()) | new, OTHER))
    assert (names(found.forget), names(found.record)) == (["m1"], ["n1"])
    assert names(found.phantoms) == ["m2"]


def test_apps_that_depend_on_each_other_are_adopted_together() -> None:
    def both(first: str, second: str, third: str) -> History:
        shop = line("shop", **{first: create(), third: add("a")})
        crm = line("crm", **{second: create("Order")})
        crm = after(crm, key(second, "crm"), key(first))
        return crm | after(shop, key(third), key(second, "crm"))

    found = classify(facts(both("m1", "o1", "m2"), both("n1", "p1", "n2"), OTHER))
    assert names(found.forget) == ["m1", "m2", "o1"]
    assert names(found.record) == ["n1", "n2", "p1"]


def test_a_squash_of_a_squash_is_recorded_with_all_that_it_replaces() -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    inner = squash("inner", keys("n1", "n2"), create("Product", "a"))
    wanted = inner | squash("outer", keys("inner", "n3"), create("Product", "a", "b"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m1", "m2", "m3"]
    assert {"outer", "inner", "n1", "n2", "n3"} >= set(names(found.record)) >= {"outer", "n3"}


def test_a_squash_may_leave_out_what_is_elidable() -> None:
    fill = migrations.RunPython(nothing, elidable=True)
    held, wanted = line(m1=create(), m2=[add("a"), fill]), line(n1=create("Product", "a"))
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m1", "m2"]


def test_the_same_code_may_run_in_both() -> None:
    held, wanted = (
        line(m1=create(), m2=[add("a"), run()]),
        line(n1=[create("Product", "a"), run()]),
    )
    found = classify(facts(held, wanted, OTHER))
    assert names(found.forget) == ["m1", "m2"]
    found = classify(facts(held, line(n1=[create("Product", "a"), other_code()]), OTHER))
    assert not found.forget


def other_code() -> migrations.RunPython:
    def nothing(apps: object, schema_editor: object) -> None:
        print(apps)

    return migrations.RunPython(nothing, nothing)


def test_what_another_branch_replaced_is_not_unapplied_unasked() -> None:
    held = line(one=create("Product", "a", "b"))
    wanted = line(m1=create(), m2=add("a"))
    found = classify(facts(held, wanted, OTHER, replacing=[key("one")]))
    assert names(found.remade) == names(found.phantoms) == ["one"]


def test_what_depends_on_an_adopted_phantom_is_adopted_after_it() -> None:
    first = line("app", a1=create("Other"))
    held = after(line(m1=create(), m2=add("a")), key("m2"), key("a1", "app"))
    wanted = line(m1=create(), n2=add("a")) | line("app", b1=create("Other"))
    found = classify(facts(held | first, wanted, OTHER))
    assert names(found.forget) == ["a1", "m2"]


def test_a_phantom_that_changes_nothing_stays_one_if_nothing_is_pending() -> None:
    held = line(m1=create(), m2=[add("a"), remove("a")])
    found = classify(facts(held, BASE, OTHER))
    assert names(found.phantoms) == ["m2"]


def test_what_was_adopted_does_not_count_as_changed() -> None:
    held = line(m1=create("Product", "a"), m2=add("b")) | line("other", o1=create("O", "a"))
    wanted = line(m1=create("Product", "b"), n2=add("a")) | line("other", o1=create("O"))
    changed = [key("m1"), key("o1", "other")]
    found = classify(facts(held, wanted, OTHER, changed=changed))
    assert names(found.changed) == ["o1"]
    assert names(found.forget) == ["m2"]


def test_nothing_is_adopted_if_models_are_not_known() -> None:
    held, wanted = line(m1=create(), m2=add("a")), line(m1=create(), n2=add("a"))
    given = facts(held, wanted, OTHER, unusable=[key("m1")])
    assert names(classify(given).phantoms) == ["m2"]


# rerun_on_request


def test_what_is_run_again_counts_as_changed_after_all_rules() -> None:
    one = line(m1=create("Product", "a"), m2=remove("a"))
    other = line(m1=create(), m2=[add("a"), remove("a")])
    given = facts(one, other, changed=[key("m1"), key("m2")], rerun=[key("m2")])
    found = classify(given)
    assert names(found.changed) == ["m2"]
    graph = graph_by(given, found)
    assert graph.graph.nodes[key("m1")] is other[key("m1")]
    assert graph.graph.nodes[key("m2")] is one[key("m2")]


# All of them


def test_the_docstring_lists_the_rules_in_their_order() -> None:
    listed = re.findall(r"^ *\d+\. ``(\w+)``", rules.__doc__ or "", re.MULTILINE)
    code = inspect.getsource(classify)
    called = re.findall(r"^        (\w+),$", code, re.MULTILINE)
    assert listed == called


def test_obsolete_wins_over_phantom_and_phantom_over_changed() -> None:
    given = facts(BASE, BASE, rows=keys("m1", "m2", "m3"))
    found = rules.states_by(
        given,
        Verdicts(
            phantoms=frozenset(keys("m2")),
            forget=frozenset(keys("m3")),
            obsolete=frozenset(keys("m3")),
            changed=frozenset(keys("m1", "m2")),
        ),
    )
    assert by_name(found) == {"m1": "changed", "m2": "phantom", "m3": "obsolete"}


def test_a_row_to_forget_is_a_phantom() -> None:
    given = facts(BASE, BASE, rows=keys("m1", "m2"))
    found = rules.states_by(given, Verdicts(forget=frozenset(keys("m2"))))
    assert by_name(found) == {"m2": "phantom"}


def test_after_a_switch_what_the_target_lacks_is_obsolete_unless_it_was_left() -> None:
    assert states_after_switch(keys("m1", "m2", "m3"), keys("m1", "m4"), keys("m1", "m2")) == {
        key("m1"): State.APPLIED,
        key("m2"): State.PHANTOM,
        key("m3"): State.OBSOLETE,
    }


def test_models_are_computed_once() -> None:
    given = facts(BASE, BASE)
    assert given.held_models(BASE) is given.held_models(BASE)
    assert given.held_models(()) is not given.held_models(BASE)


def test_the_log_says_which_rule_decided(caplog: pytest.LogCaptureFixture) -> None:
    held = line(m1=create(), m2=add("a"), m3=add("b"))
    wanted = line(m1=create(), n2=add("c"))
    origins = {key("m2"): OWN, key("m3"): OTHER}
    with caplog.at_level(logging.DEBUG, "django_devtools.branches"):
        classify(facts(held, wanted, origins))
    assert caplog.messages == [
        "shop.m1 is applied (origin: the target has it; rule: none)",
        "shop.m2 is phantom (origin: the target had it once; rule: made_anew)",
        "shop.m3 is phantom (origin: another branch has it; rule: by_origin)",
        "shop.n2 is pending (origin: the target has it; rule: none)",
    ]


def test_nothing_is_logged_by_default(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "django_devtools.branches"):
        classify(facts(BASE, BASE))
    assert not caplog.messages
