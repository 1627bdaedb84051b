"""How many rows a switch copies, as far as that can be told at once."""

from collections.abc import Sequence

from .decision import Decision

HOOK_ROWS = 1_000_000
"""Up to how many rows hooks copy, unless the settings have another limit."""


def rows_to_copy(decisions: Sequence[Decision], most: int) -> int:
    """
    How many rows switches would save and restore, about; exactly is not needed beyond ``most``.

    Raises SwitchError where a work tree can't tell.
    """
    saved = sum(_saved(decision, most) for decision in decisions)
    with_stash = [decision for decision in decisions if decision.has_stash]
    at_most = saved + sum(_in_stash(decision) for decision in with_stash)
    if at_most <= most:
        return at_most
    # Which of them come back takes longer to find out.
    return saved + sum(_restored(decision) for decision in with_stash)


def _saved(decision: Decision, most: int) -> int:
    tables = decision.outlook.stash.tables
    lost = {loss.table for loss in decision.outlook.losses() if loss.table in tables.names}
    return sum(tables.dialect.estimated_rows(table, most + 1) for table in lost)


def _in_stash(decision: Decision) -> int:
    return sum(entry.rows for entry in decision.outlook.stash.entries())


def _restored(decision: Decision) -> int:
    return sum(entry.rows for entry in decision.outlook.expected().restored)
