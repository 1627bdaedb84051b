"""How many rows a switch copies, as far as that can be told at once."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.stash.entries import Entry
from django_devtools.conf import option

from .decision import Decision

HOOK_ROWS = 1_000_000
"""Up to how many rows hooks copy, unless the settings have another limit."""


ENOUGH_TO_TELL = 10_000
"""From how many rows on a copy tells how fast the next one is: a few are done in no time."""


class Limit(NamedTuple):
    """How many rows hooks may copy without being asked."""

    rows: int
    seconds: int | None = None
    """For how long they may, if that is less."""
    pace: float = 0.0
    """How many rows were copied in a second before; 0 if that is not known."""


def pace_of(copied: Sequence[Entry], seconds: float) -> float:
    """How many rows were copied in a second; 0 if that tells nothing of other copies."""
    rows = sum(entry.rows for entry in copied)
    return rows / seconds if rows >= ENOUGH_TO_TELL and seconds > 0 else 0.0


def limit(paces: Iterable[float]) -> Limit:
    """What the settings allow hooks to copy in databases of these paces; the slowest counts."""
    chosen, seconds = option("HOOK_ROWS"), option("HOOK_SECONDS")
    rows = HOOK_ROWS if chosen is None else chosen
    if seconds is None:
        return Limit(rows)
    pace = min(filter(None, paces), default=0.0)
    if not pace or seconds * pace >= rows:
        return Limit(rows)
    return Limit(int(seconds * pace), seconds, pace)


def last_pace(decision: Decision) -> float:
    """The pace of the last switch of a database; 0 if that is not known."""
    last = decision.workspace.snapshot_file.read_all().last
    database = database_id(decision.connection)
    return last[database].pace if database in last else 0.0


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
