"""What is decided about a comparison, as values."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from django_devtools.branches import decision
from django_devtools.branches.planning.policy import Irreversible

KEY = ("shop", "0003_colour")


def left(monkeypatch: pytest.MonkeyPatch, **comparison: Any) -> tuple[set[Any], bool]:
    """What a switch would leave applied, and whether a plan was made to find that out."""
    planned = []

    def decide(*arguments: object) -> Any:
        planned.append(arguments)
        return SimpleNamespace(plan=SimpleNamespace(left_applied=[KEY]))

    monkeypatch.setattr(decision, "decide", decide)
    facts = {"traces": {KEY: None}, "changed": (), "answers": dict} | comparison
    found: Any = SimpleNamespace(provenance=SimpleNamespace(repository=None), **facts)
    connection = workspace = None
    return decision.left_by_a_switch(connection, workspace, found), bool(planned)  # type: ignore[arg-type]


def test_no_plan_is_made_where_nobody_has_said_that_something_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert left(monkeypatch) == (set(), False)
    assert left(monkeypatch, answers=lambda: {KEY: Irreversible.NOOP}) == (set(), False)


def test_what_stays_is_told_by_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    assert left(monkeypatch, answers=lambda: {KEY: "keep"}) == ({KEY}, True)
    with override_settings(DJANGO_DEVTOOLS={"IRREVERSIBLE": "keep"}):
        assert left(monkeypatch) == ({KEY}, True)
        assert left(monkeypatch, traces={}, changed=[KEY]) == ({KEY}, True)


def test_nothing_stays_where_all_is_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = {KEY: "keep"}
    assert left(monkeypatch, traces={}, answers=lambda: keep) == (set(), False)
