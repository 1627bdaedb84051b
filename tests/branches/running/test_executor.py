"""What is said of migrations that fail: of rows that don't fit, and of what was interrupted."""

import pytest
from django.db import DataError
from django.db.migrations import Migration, RunPython

from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.running.executor import _naming
from django_devtools.branches.running.journal import JournalEntry
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.switch import _naming_interrupted


def test_rows_that_dont_fit_are_named_with_their_migration() -> None:
    with (
        pytest.raises(UnfitRows, match=r"shop\.0002_sku can't be applied .*: too long"),
        _naming(Migration("0002_sku", "shop"), "applied"),
    ):
        raise DataError("too\nlong")


def test_an_error_of_a_migration_with_code_stays_what_it_is() -> None:
    migration = variant(Migration("0002_sku", "shop"), operations=[RunPython(RunPython.noop)])
    with pytest.raises(DataError, match="its own"), _naming(migration, "applied"):
        raise DataError("its own")


INTERRUPTED = JournalEntry(("shop", "0002_sku"), False, 1, "", "")


def test_what_was_interrupted_and_fails_again_is_named() -> None:
    words = "shop.0002_sku was interrupted, and can't be finished: ValueError: not today. Fix"
    with pytest.raises(SwitchError, match=words), _naming_interrupted(INTERRUPTED):
        raise ValueError("not today")


def test_rows_that_dont_fit_are_named_when_it_is_resumed_too() -> None:
    with pytest.raises(UnfitRows, match="too long"), _naming_interrupted(INTERRUPTED):
        raise UnfitRows("too long")
