"""How many rows a hook may copy without being asked."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from django_devtools.branches.effort import HOOK_ROWS, Limit, limit, pace_of


def copied(*rows: int) -> Any:
    return [SimpleNamespace(rows=one) for one in rows]


@pytest.mark.parametrize(
    ("rows", "seconds", "pace"),
    [([6_000, 4_000], 2.0, 5_000.0), ([9_999], 2.0, 0.0), ([10_000], 0.0, 0.0), ([], 1.0, 0.0)],
)
def test_only_many_rows_tell_how_fast_others_are(
    rows: list[int], seconds: float, pace: float
) -> None:
    assert pace_of(copied(*rows), seconds) == pace


@pytest.mark.parametrize(
    ("settings", "paces", "expected"),
    [
        ({}, [10.0], Limit(HOOK_ROWS)),
        ({"HOOK_ROWS": 0}, [10.0], Limit(0)),
        ({"HOOK_SECONDS": 20}, [0.0], Limit(HOOK_ROWS)),
        ({"HOOK_SECONDS": 20}, [0.0, 50.0, 10.0], Limit(200, 20, 10.0)),
        ({"HOOK_SECONDS": 0}, [10.0], Limit(0, 0, 10.0)),
        ({"HOOK_SECONDS": 20, "HOOK_ROWS": 100}, [10.0], Limit(100)),
    ],
)
def test_what_the_settings_allow(
    settings: dict[str, int], paces: list[float], expected: Limit
) -> None:
    with override_settings(DJANGO_DEVTOOLS=settings):
        assert limit(paces) == expected
