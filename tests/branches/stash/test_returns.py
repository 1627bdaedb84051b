"""What comes back after which step, decided on values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from django_devtools.branches.schema.introspection import ColumnInfo
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.stash.entries import Entry, StashedColumn, Status, Step
from django_devtools.branches.stash.returns import (
    Applied,
    AppliedMigration,
    Returns,
    Stage,
    outranked,
)

AT = datetime(2026, 1, 2, tzinfo=UTC)
BEFORE, SINCE = "2026-01-01T00:00:00", "2026-01-03T00:00:00"


def add(name: str) -> Operation:
    return migrations.AddField("product", name, models.IntegerField(null=True))


def migration(name: str, *operations: Operation, replaces: tuple[str, ...] = ()) -> Migration:
    pairs = [("shop", one) for one in replaces]
    return variant(Migration(name, "shop"), operations=list(operations), replaces=pairs)


def back(name: str, text: str = "") -> Step:
    return Step(("shop", name), True, text)


def forth(name: str, text: str = "") -> Step:
    return Step(("shop", name), False, text)


def entry(*steps: Step, dropped_by: Step | None = None, number: int = 1) -> Entry:
    drop = dropped_by or steps[-1]
    column = StashedColumn(
        ColumnInfo("integer", True), ".".join(drop.key), dropped_backwards=drop.backwards
    )
    return Entry(
        number,
        Status.KEPT,
        "feature",
        "shop_product",
        False,
        {"size": column},
        ["id"],
        3,
        AT,
        steps=steps,
    )


def applied(
    *found: Migration, at: str = BEFORE, recorded: Mapping[Step, Migration] | None = None
) -> Applied:
    """These are applied, each from a text of its name."""
    texts = {
        ("shop", one.name): AppliedMigration(one, partial(str, one.name), at) for one in found
    }
    return Applied(texts, (recorded or {}).get)


A, B, C = (migration(name, add(name)) for name in "abc")


def test_a_step_back_is_undone_where_its_migration_is_applied() -> None:
    assert applied(A).stage(entry(back("a"))) is Stage.UNDONE
    assert applied().stage(entry(back("a"))) is not Stage.UNDONE


def test_a_step_forth_is_undone_where_its_migration_is_not_applied() -> None:
    assert applied().stage(entry(forth("a"))) is Stage.UNDONE
    assert applied(A).stage(entry(forth("a"))) is not Stage.UNDONE


def test_all_steps_of_a_pass_have_to_be_undone() -> None:
    found = entry(back("b"), back("a"))
    assert applied(A).in_effect(found) == [back("b")]
    assert applied(A).stage(found) is Stage.MIDWAY
    assert applied(B).stage(found) is Stage.DROPPED
    assert applied(A, B).stage(found) is Stage.UNDONE
    assert applied().stage(found) is Stage.DROPPED


def test_a_namesake_of_another_text_and_effect_undoes_nothing() -> None:
    step = back("a", "other")
    same, other = migration("a", add("a")), migration("a", add("z"))
    assert applied(A, recorded={step: same}).stage(entry(step)) is Stage.UNDONE
    assert applied(A, recorded={step: other}).stage(entry(step)) is not Stage.UNDONE
    assert applied(A).stage(entry(step)) is not Stage.UNDONE
    assert applied(A).stage(entry(back("a", "a"))) is Stage.UNDONE


def test_a_squash_undoes_the_steps_of_what_it_replaces() -> None:
    squash = migration("squash", add("a"), add("b"), replaces=("a", "b"))
    assert applied(squash).stage(entry(back("b", "b"), back("a", "a"))) is Stage.UNDONE


def test_what_a_squash_replaces_undoes_its_step() -> None:
    step = back("squash", "s")
    squash = migration("squash", add("a"), add("b"), replaces=("a", "b"))
    assert applied(A, B, recorded={step: squash}).stage(entry(step)) is Stage.UNDONE
    assert applied(A, recorded={step: squash}).stage(entry(step)) is not Stage.UNDONE


def test_a_migration_of_another_name_undoes_a_step_if_it_was_applied_since() -> None:
    step = back("a", "a")
    renumbered = migration("n", add("a"))
    recorded = {step: A}
    assert applied(renumbered, at=SINCE, recorded=recorded).stage(entry(step)) is Stage.UNDONE
    assert applied(renumbered, at="", recorded=recorded).stage(entry(step)) is Stage.UNDONE
    assert applied(renumbered, at=BEFORE, recorded=recorded).stage(entry(step)) is not Stage.UNDONE


def test_one_migration_undoes_the_steps_of_several_that_were_made_one() -> None:
    steps = back("c", "c"), back("b", "b"), back("a", "a")
    recorded = {steps[0]: C, steps[1]: B, steps[2]: A}
    merged = migration("merged", add("a"), add("b"))
    found = applied(merged, at=SINCE, recorded=recorded)
    assert found.in_effect(entry(*steps)) == [steps[0]]


def test_code_is_the_same_only_if_it_reads_alike() -> None:
    step = back("a", "a")
    recorded = {step: migration("a", add("a"), migrations.RunSQL("SELECT 1"))}
    alike = migration("n", add("a"), migrations.RunSQL("SELECT 1"))
    assert applied(alike, at=SINCE, recorded=recorded).stage(entry(step)) is Stage.UNDONE
    other = migration("n", add("a"), migrations.RunSQL("SELECT 2"))
    assert applied(other, at=SINCE, recorded=recorded).stage(entry(step)) is not Stage.UNDONE
    # What else it does is another matter.
    more = migration("n", add("a"), migrations.RunSQL("SELECT 1"), add("b"))
    assert applied(more, at=SINCE, recorded=recorded).stage(entry(step)) is not Stage.UNDONE


def test_a_pass_is_judged_once_until_another_migration_is_applied_or_unapplied() -> None:
    """However many entries it has: a long way back had taken minutes of asking the same again."""
    step, asked = back("a", "a"), list[Step]()
    known = AppliedMigration(A, lambda: "a", BEFORE)
    found = Applied({}, asked.append)
    assert {found.stage(entry(step, number=number)) for number in range(9)} == {Stage.DROPPED}
    once = len(asked)
    assert found.stage(entry(step)) is Stage.DROPPED
    assert len(asked) == once
    found.add(("shop", "a"), known)
    assert found.stage(entry(step)) is Stage.UNDONE
    assert found.copy().stage(entry(step)) is Stage.UNDONE
    found.remove(("shop", "a"))
    assert found.stage(entry(step)) is Stage.DROPPED


def test_a_pass_is_judged_again_when_another_is_known_that_was_made_one_with_it() -> None:
    older, newer = entry(back("b", "b"), number=1), entry(back("a", "a"), number=2)
    both = migration("both", add("a"), add("b"))
    recorded = {older.steps[0]: B, newer.steps[0]: A}
    before = applied(both, at=SINCE, recorded=recorded)
    final = before.copy()
    assert final.stage(newer) is Stage.DROPPED
    before.learn([older, newer])
    assert before.stage(newer) is final.stage(newer) is Stage.UNDONE


def test_a_merge_that_does_nothing_needs_no_undoing() -> None:
    merge, drop = back("merge", "m"), back("a", "a")
    recorded = {merge: migration("merge"), drop: A}
    one = entry(merge, drop)
    before = applied(recorded=recorded)
    assert before.in_effect(one) == [drop]
    assert before.stage(one) is Stage.DROPPED
    assert applied(A, recorded=recorded).stage(one) is Stage.UNDONE


def test_nothing_comes_back_before_it_is_dropped() -> None:
    """A pass that begins with a merge has undone nothing by leaving it."""
    merge, drop = back("merge", "m"), back("a", "a")
    one, m = entry(merge, drop), migration("merge")
    recorded = {merge: m, drop: A}
    returns = Returns([], applied(A, m, recorded=recorded), applied(recorded=recorded))
    returns.add([one])
    returns.applied.remove(merge.key)
    assert returns.after_step() == []
    returns.applied.remove(drop.key)
    assert returns.after_step() == []
    returns.applied.add(drop.key, AppliedMigration(A, lambda: "a"))
    assert returns.after_step() == [one]


def test_what_was_undone_in_this_switch_and_waits_is_made_again() -> None:
    one = entry(back("b"), back("a"), number=1)
    two = entry(back("c"), number=2)
    returns = Returns([one, two], applied(), applied(A))
    assert returns.made_again() == []
    returns.applied.add(("shop", "a"), AppliedMigration(A, lambda: "a"))
    assert returns.made_again() == [one]
    # It was so already when the switch began.
    assert Returns([one, two], applied(A), applied(A)).made_again() == []


def test_what_has_no_values_gives_way_to_something_older() -> None:
    older, newer = entry(back("a"), number=1), entry(back("b"), number=2)
    both, elsewhere = [newer, older], newer._replace(table="other")
    assert outranked(both, both, lambda entry: False) == [newer]
    assert outranked(both, both, lambda entry: True) == []
    assert outranked([elsewhere], [older], lambda entry: False) == []


def test_it_says_what_hinders() -> None:
    below = entry(back("b"), back("a"))
    assert applied(A).hindrance(below) == "it was dropped together with shop.b"
    assert applied().hindrance(below) == "it belongs to shop.a of feature"
    assert applied().hindrance(below._replace(branch=None)) == "it belongs to shop.a"
    above = entry(forth("a"))
    assert applied(A).hindrance(above) == "feature had it before shop.a"
    assert (
        applied(A).hindrance(above._replace(branch=None)) == "another branch had it before shop.a"
    )


def test_what_is_undone_comes_back_once() -> None:
    one, two = entry(back("a"), number=1), entry(back("b"), back("a"), number=2)
    returns = Returns([one, two], applied(), applied(A, B))
    assert returns.after_step() == []
    returns.applied.add(("shop", "a"), AppliedMigration(A, lambda: "a"))
    assert returns.after_step() == [one]
    assert returns.after_step() == []
    returns.applied.add(("shop", "b"), AppliedMigration(B, lambda: "b"))
    assert returns.after_step() == [two]
    assert returns.waiting == []


def test_what_is_in_the_place_of_an_interrupted_pass_is_not_newer() -> None:
    one = entry(back("b"), back("a"))
    # On the way back, which was interrupted: it is made again, and its rows are in the stash.
    assert Returns([one], applied(A), applied()).held(lambda one: False) == [one]
    # It is still dropped, or was dropped by a step that is in effect.
    assert Returns([one], applied(), applied()).held(lambda one: False) == []
    assert Returns([one], applied(B), applied()).held(lambda one: False) == []


def test_rows_that_were_refused_are_not_tried_again() -> None:
    left = entry(back("a"))._replace(status=Status.LEFT)
    assert Returns([left], applied(), applied(A)).waiting == []


def test_a_detour_leads_over_the_steps_that_the_target_lacks() -> None:
    found = entry(back("b"), back("a"))
    returns = Returns([found], applied(A), applied(A))
    (detour,) = returns.detours()
    assert (detour.entries, detour.missing) == ([found], [back("b")])
    # Up to the target, b is still to come: no detour is needed.
    assert Returns([found], applied(A), applied(A, B)).detours() == []
    # The step that dropped it is not undone.
    assert Returns([found], applied(), applied()).detours() == []


def test_what_is_dropped_anew_by_its_own_step_was_made_by_nobody() -> None:
    one = entry(forth("a"), forth("b"), dropped_by=forth("b"))
    returns = Returns([one], applied(A), applied(A, B))
    assert not returns.is_dropped_anew(one)
    returns.applied.add(("shop", "b"), AppliedMigration(B, lambda: "b"))
    assert returns.is_dropped_anew(one)
    # It was dropped before this switch: what is in its place now is another thing.
    assert not Returns([one], applied(A, B), applied(A, B)).is_dropped_anew(one)


def test_what_waits_takes_new_names_and_goes_with_its_entry() -> None:
    one, two = entry(back("a"), number=1), entry(back("b"), number=2)
    returns = Returns([one], applied(), applied())
    returns.add([two])
    renamed = one._replace(table="shop_item")
    returns.rename([renamed])
    assert returns.waiting == [renamed, two]
    returns.refresh([two])
    assert returns.waiting == [two]


def test_a_squash_is_unapplied_with_what_it_replaces() -> None:
    squash = migration("squash", replaces=("a",))
    found = applied()
    found.add(("shop", "squash"), AppliedMigration(squash, lambda: ""))
    assert ("shop", "a") in found
    assert found.keys() == [("shop", "a"), ("shop", "squash")]
    assert found.copy().migrations() == {("shop", "squash"): squash}
    found.remove(("shop", "squash"))
    assert not found.keys()


def test_what_is_left_applied_keeps_nothing_from_where_a_switch_goes() -> None:
    found = entry(forth("a"), forth("b"))
    assert Returns([found], applied(A), applied(A), left=[("shop", "a")]).is_own(found)
    assert not Returns([found], applied(A), applied(A)).is_own(found)


def test_what_is_left_applied_and_has_dropped_something_keeps_that() -> None:
    found = entry(forth("a"), forth("b"), dropped_by=forth("a"))
    assert not Returns([found], applied(A), applied(A), left=[("shop", "a")]).is_own(found)


def test_what_is_left_unapplied_is_not_what_is_left_applied() -> None:
    found = entry(back("a"), back("b"))
    assert not Returns([found], applied(B), applied(B), left=[("shop", "a")]).is_own(found)


def test_what_its_branch_has_again_under_another_text_comes_back() -> None:
    found = entry(forth("a"), forth("b"))
    assert Returns([found], applied(A), applied(A), "feature").is_own(found)
    assert not Returns([found], applied(A), applied(A), "main").is_own(found)


def test_a_squash_is_not_applied_while_a_piece_of_it_is_undone() -> None:
    squash = migration("squash", add("a"), add("b"), replaces=("a", "b"))
    found = applied(A, B, squash)
    found.remove(("shop", "b"))
    assert found.keys() == [("shop", "a")]
    assert found.stage(entry(forth("b", "b"))) is Stage.UNDONE


def test_what_a_squash_stands_for_is_known_by_its_text() -> None:
    squash = migration("squash", replaces=("a", "b"))
    found = Applied(
        {
            ("shop", "a"): AppliedMigration(None, lambda: "a"),
            ("shop", "squash"): AppliedMigration(squash, lambda: "squash"),
        },
        {forth("a", "a"): A}.get,
    )
    assert found.migration(("shop", "a")) is A
    assert found.migration(("shop", "squash")) is squash
    assert found.migration(("shop", "b")) is None
