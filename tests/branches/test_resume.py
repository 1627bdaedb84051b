"""What was interrupted is finished, or named."""

import pytest

from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.resume import naming_interrupted
from django_devtools.branches.running.journal import JournalEntry

INTERRUPTED = JournalEntry(("shop", "0002_sku"), False, 1, "", "")


def test_what_was_interrupted_and_fails_again_is_named() -> None:
    words = "shop.0002_sku was interrupted, and can't be finished: ValueError: not today. Fix"
    with pytest.raises(SwitchError, match=words), naming_interrupted(INTERRUPTED):
        raise ValueError("not today")


def test_rows_that_dont_fit_are_named_when_it_is_resumed_too() -> None:
    with pytest.raises(UnfitRows, match="too long"), naming_interrupted(INTERRUPTED):
        raise UnfitRows("too long")
