"""Statements of a migration that is run again."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.running.journal import Journal, JournalEntry, _read_only, tolerant


@pytest.mark.parametrize(
    ("statement", "result"),
    [("SELECT 1", "run"), ("SHOW TABLES", "run"), ("ALTER TABLE a ADD b int", None)],
)
def test_a_replay_only_reads(statement: str, result: str | None) -> None:
    def run(*arguments: Any) -> str:
        return "run"

    assert _read_only(run, statement, (), False, {}) == result


def test_only_an_error_of_work_that_was_done_already_is_ignored(
    connect: Callable[[str], BaseDatabaseWrapper],
) -> None:
    connection = connect("sqlite")
    with tolerant(connection), connection.cursor() as cursor:
        cursor.execute("SELECT 1", None)
        cursor.execute("DROP TABLE is_gone_already", None)
        for statement in ("ALTER TABLE", "SELECT is_not_there"):
            with pytest.raises(DatabaseError):
                cursor.execute(statement, None)


def test_what_was_begun_last_is_what_was_interrupted(
    connect: Callable[[str], BaseDatabaseWrapper],
) -> None:
    """An earlier one was settled by hand, and the user has said so."""
    journal = Journal(connect("sqlite"))
    assert journal.entry() is None
    for name in ("0001_by_hand", "0002_begun"):
        journal.begin(JournalEntry(("shop", name), False, None, "", ""), lambda: None)
    entry = journal.entry()
    assert entry is not None
    assert entry.key == ("shop", "0002_begun")
    journal.drop()
    assert journal.entry() is None
