"""What the status of an entry tells the next switch, wherever the last one stopped."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from itertools import count
from typing import Any

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.stash.entries import ENTRIES_TABLE, Entry, Status, Step
from django_devtools.branches.stash.present_names import Names, names_in_stash
from django_devtools.branches.stash.returns import Applied, AppliedMigration, Returns
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.stash.transfer import Report, Transfer

FIRST, SECOND = Step(("shop", "0003_last"), True, "a"), Step(("shop", "0002_item"), True, "b")
DROPPED = DataLoss(SECOND.key, ("shop", "item"), "item", "size", dropped_backwards=True)
NARROWED = DROPPED._replace(column="name", becomes=("item", "name"))
CHANGES = SchemaChanges([DROPPED, NARROWED], {}, set(), {})
PROGRESS = Progress(OutputWrapper(StringIO()), no_style(), verbosity=0)


class Killed(BaseException):
    """What was not committed by then is rolled back."""


@pytest.fixture
def empty(connection: BaseDatabaseWrapper) -> Stash:
    """A stash beside a table that has rows."""
    for statement in (
        "CREATE TABLE item (id integer NOT NULL PRIMARY KEY, size integer, name varchar(9))",
        "INSERT INTO item VALUES (1, 10, 'a'), (2, 20, 'b')",
    ):
        dialect_of(connection).execute(statement)
    return Stash(connection)


@pytest.fixture
def stash(empty: Stash) -> Stash:
    """A pass has begun, and has dropped nothing yet."""
    save(empty)
    assert empty.entries() == []
    empty.begin()
    return empty


def save(stash: Stash) -> list[Entry]:
    return stash.save([DROPPED, NARROWED], "feature", [FIRST, SECOND], PROGRESS)


def status(stash: Stash) -> dict[str, Status]:
    return {next(iter(entry.columns)): entry.status for entry in stash.entries()}


def transfer(stash: Stash, *steps: Step) -> Transfer:
    """The migrations of ``steps`` are applied."""
    found = {step.key: AppliedMigration(None, lambda: "") for step in steps}
    applied = Applied(found, lambda step: None)
    returns = Returns(stash.entries(), applied, applied)
    return Transfer(stash, returns, PROGRESS, Report(), lambda detour, now: None)


def test_what_no_step_has_dropped_is_discarded(stash: Stash) -> None:
    transfer(stash, FIRST, SECOND).prepare()
    assert "size" not in status(stash)


def test_what_an_interrupted_step_may_have_dropped_is_not(stash: Stash) -> None:
    transfer(stash, FIRST, SECOND).prepare(begun=FIRST)
    assert status(stash)["size"] is Status.OPEN


def test_it_is_kept_when_the_step_is_done_that_drops_it(stash: Stash) -> None:
    steps = transfer(stash, SECOND)
    for step, wanted in ((FIRST, Status.OPEN), (SECOND, Status.KEPT)):
        steps.expect(step)
        steps.begin()
        steps.done(lambda: pytest.fail("nothing comes back"))
        assert status(stash)["size"] is wanted


def test_what_is_left_in_a_narrowed_column_is_not_known_midway(stash: Stash) -> None:
    """Whatever the database can roll back, a migration without a transaction is not."""
    stash.finish(interrupted=SECOND.key)
    assert status(stash)["name"] is Status.OPEN
    stash.finish()
    assert status(stash)["name"] is Status.KEPT


def test_what_was_left_before_a_step_narrows_is_not_what_is_left_after_it(stash: Stash) -> None:
    """If that run is killed, too, the next one must not take for edits what was cut."""
    stash.finish()
    (narrowed,) = (entry for entry in stash.entries() if entry.is_narrowed)
    assert narrowed.residue in Tables(stash.connection).names
    steps = transfer(stash, SECOND)
    steps.expect(SECOND)
    steps.begin()
    assert narrowed.residue not in Tables(stash.connection).names


def test_what_is_gone_was_dropped_whoever_did_it(stash: Stash) -> None:
    """A pass in another process, or a ``migrate`` that could not save all and went on."""
    stash.finish()
    assert status(stash)["size"] is Status.OPEN
    dialect_of(stash.connection).execute("ALTER TABLE item DROP COLUMN size")
    stash.finish()
    assert status(stash)["size"] is Status.KEPT


@pytest.mark.parametrize("edited", ["size", "name", None])
def test_what_stands_in_is_saved_if_it_was_edited(stash: Stash, edited: str | None) -> None:
    """Else what it stands in for is enough."""
    stash.finish()
    stash.dropped(stash.entries())
    for entry in stash.entries():
        stash.stand_in(entry, names_in_stash(entry))
    if edited:
        stash.tables.execute(f"UPDATE item SET {edited} = 7 WHERE id = 2")
    steps = transfer(stash, SECOND)
    steps.prepare()
    steps.save(CHANGES, [SECOND], "feature", fills=False)
    assert [list(entry.columns) for entry in steps.report.saved] == [[edited]] * bool(edited)


def test_what_stood_in_is_forgotten_when_it_is_dropped_as_well(stash: Stash) -> None:
    stash.drop([one_of(stash, is_narrowed=True)])
    stash.dropped(stash.entries())
    let_stand_in(stash)
    steps = transfer(stash, SECOND)
    steps.prepare()
    steps.save(CHANGES._replace(lost=[DROPPED]), [SECOND], "feature", fills=False)
    steps.expect(SECOND)
    steps.begin()
    steps.done(lambda: pytest.fail("nothing comes back"))
    steps.end_pass()
    steps.finish()
    assert not one_of(stash, is_narrowed=False).has_stand_in
    assert residues(stash) == {}


def test_killed_before_a_pass_has_begun(empty: Stash) -> None:
    """The stash holds nothing that the pass has neither dropped nor narrowed."""
    steps = transfer(empty)
    steps.returns.add(save(empty))
    steps.expect(SECOND)
    with suppress(Killed), transaction.atomic(empty.connection.alias):
        steps.begin()
        raise Killed
    assert Stash(empty.connection).entries() == []


def test_killed_while_what_is_left_is_noted_again(stash: Stash) -> None:
    """The next run does so, and knows what was edited before."""
    stash.finish()
    entry = one_of(stash, is_narrowed=True)
    forget_first_row(entry, stash)
    for again in killed_anywhere(stash, begin_and_finish):
        transfer(again, SECOND).prepare()
        again.finish()
        assert residues(again) == {entry.residue: [(2,)]}
        assert status(again)["name"] is Status.KEPT


def test_killed_while_what_stands_in_is_noted_again(stash: Stash) -> None:
    stash.drop([one_of(stash, is_narrowed=True)])
    stash.dropped(stash.entries())
    let_stand_in(stash)
    entry = one_of(stash, is_narrowed=False)
    forget_first_row(entry, stash)
    for again in killed_anywhere(stash, let_stand_in):
        transfer(again, FIRST).prepare()
        assert residues(again) == {entry.residue: [(2,)]}
        assert one_of(again, is_narrowed=False).has_stand_in


def test_killed_while_what_stands_in_is_noted(stash: Stash) -> None:
    stash.drop([one_of(stash, is_narrowed=True)])
    stash.dropped(stash.entries())
    for again in killed_anywhere(stash, let_stand_in):
        again.clean()
        assert bool(residues(again)) is one_of(again, is_narrowed=False).has_stand_in


def test_killed_while_an_entry_gets_other_names(stash: Stash) -> None:
    """The next run is not kept from going on, and does the rest."""
    stash.drop([one_of(stash, is_narrowed=True)])
    stash.dropped(stash.entries())
    let_stand_in(stash)
    for again in killed_anywhere(stash, rename):
        transfer(again, FIRST).prepare()
    entry, tables = one_of(stash, is_narrowed=False), Tables(stash.connection)
    assert entry.columns.keys() == {"length"}
    assert "length" in tables.columns(entry.copy).keys() & tables.columns(entry.residue).keys()


def test_killed_while_entries_are_dropped(stash: Stash) -> None:
    """None is left without its rows, and no rows are left without their entry."""
    stash.finish()
    for again in killed_anywhere(stash, lambda one: one.drop(one.entries())):
        found = again.entries()
        again.clean()
        assert again.entries() == found
        names = Tables(again.connection).names
        assert {entry.copy for entry in found} <= names
        assert residues(again).keys() == {one.residue for one in found if one.is_narrowed}


def killed_anywhere(stash: Stash, run: Callable[[Stash], object]) -> Iterator[Stash]:
    """Kill ``run`` at its first statement, then at its second, and so on. The stash after that."""
    for number in count():
        try:
            with stash.connection.execute_wrapper(killing(number)):
                run(Stash(stash.connection))
        except Killed:
            yield Stash(stash.connection)
        else:
            assert number > 2
            return


def killing(number: int) -> Callable[..., Any]:
    """A wrapper that kills at statement ``number``."""
    numbers = count()

    def execute(run: Callable[..., Any], *arguments: Any) -> Any:
        if next(numbers) >= number:
            raise Killed
        return run(*arguments)

    return execute


def begin_and_finish(stash: Stash) -> None:
    stash.begin()
    stash.finish()


def let_stand_in(stash: Stash) -> None:
    entry = one_of(stash, is_narrowed=False)
    stash.stand_in(entry, names_in_stash(entry))


def rename(stash: Stash) -> None:
    names = Names("item", {"id": "id", "size": "length"})
    stash.rename(one_of(stash, is_narrowed=False), names)


def one_of(stash: Stash, is_narrowed: bool) -> Entry:
    (found,) = (entry for entry in stash.entries() if entry.is_narrowed is is_narrowed)
    return found


def forget_first_row(entry: Entry, stash: Stash) -> None:
    """As if it had been edited."""
    stash.tables.execute(f"DELETE FROM {stash.tables.quote(entry.residue)} WHERE id = 1")


def residues(stash: Stash) -> dict[str, list[Any]]:
    """The keys in all tables of the stash that are neither the entries nor their rows."""
    tables = Tables(stash.connection)
    known = {ENTRIES_TABLE, *(entry.copy for entry in stash.entries())}
    found = {name for name in tables.names if name.startswith(ENTRIES_TABLE)} - known
    return {
        name: sorted(tables.dialect.fetch(f"SELECT id FROM {tables.quote(name)}"))
        for name in found
    }
