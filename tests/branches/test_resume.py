"""What was interrupted is finished, or named."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style
from django.db import InterfaceError

from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.progress import Progress
from django_devtools.branches.resume import naming_interrupted, what_was_left
from django_devtools.branches.running.journal import JournalEntry
from django_devtools.branches.switch import _is_ctrl_c
from tests.branches.schema.dialects.test_base import Connect

INTERRUPTED = JournalEntry(("shop", "0002_sku"), False, 1, "", "")


def test_what_was_interrupted_and_fails_again_is_named() -> None:
    words = "shop.0002_sku was interrupted, and can't be finished: ValueError: not today. Fix"
    with pytest.raises(SwitchError, match=words), naming_interrupted(INTERRUPTED):
        raise ValueError("not today")


def test_rows_that_dont_fit_are_named_when_it_is_resumed_too() -> None:
    with pytest.raises(UnfitRows, match="too long"), naming_interrupted(INTERRUPTED):
        raise UnfitRows("too long")


def test_what_comes_of_ctrl_c_is_taken_for_it() -> None:
    error = InterfaceError("what a broken connection says")
    assert not _is_ctrl_c(error)
    error.__context__ = KeyboardInterrupt()
    assert _is_ctrl_c(error)


def test_a_database_that_does_not_say_what_ctrl_c_has_left(
    connect: Connect, tmp_path: Path
) -> None:
    connection = connect("sqlite")
    connection.settings_dict["NAME"] = str(tmp_path / "missing" / "db.sqlite3")
    progress = Progress(OutputWrapper(StringIO()), no_style(), 0)
    assert what_was_left(connection, progress) == (
        f"Interrupted between two steps. Database '{connection.alias}' does not say how far that "
        "got. To see it, run `manage.py migrations_status`."
    )
