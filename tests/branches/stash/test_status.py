"""What the status of an entry tells the next switch, wherever the last one stopped."""

from io import StringIO

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.dialects import dialect_of
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.stash.entries import Status, Step
from django_devtools.branches.stash.returns import Applied, AppliedMigration, Returns
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.stash.transfer import Report, Transfer

FIRST, SECOND = Step(("shop", "0003_last"), True, "a"), Step(("shop", "0002_item"), True, "b")
DROPPED = DataLoss(SECOND.key, ("shop", "item"), "item", "size", dropped_backwards=True)
NARROWED = DROPPED._replace(column="name", becomes=("item", "name"))
PROGRESS = Progress(OutputWrapper(StringIO()), no_style(), verbosity=0)


@pytest.fixture
def stash(connection: BaseDatabaseWrapper) -> Stash:
    """A pass has begun, and has dropped nothing yet."""
    for statement in (
        "CREATE TABLE item (id integer NOT NULL PRIMARY KEY, size integer, name varchar(9))",
        "INSERT INTO item VALUES (1, 10, 'a'), (2, 20, 'b')",
    ):
        dialect_of(connection).execute(statement)
    stash = Stash(connection)
    stash.save([DROPPED, NARROWED], "feature", [FIRST, SECOND], PROGRESS)
    assert stash.entries() == []
    stash.begin()
    return stash


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
