"""
What is remembered of a database beside its snapshots, in the same file.

What a person has said of migrations that can't be unapplied, and the last switch, for ``--undo``.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from .snapshots import Key, Snapshot

KEEP = "keep"


class Answer(NamedTuple):
    """What a person has said of a migration that can't be unapplied."""

    choice: str
    """``keep`` or ``noop``, as after ``--irreversible``."""
    text: str
    """The id of the text that the migration was applied from; empty if that was not found."""
    at: str
    """When it was applied. What counts as empty does so when it is applied again, too."""

    def is_due(self, rows: Mapping[Key, str], key: Key) -> bool:
        """Whether it is about something that is still applied, or comes back."""
        return self.choice != KEEP or rows.get(key) == self.at


Answers = dict[str, dict[Key, Answer]]
"""By database, then by migration."""


def still_due(
    answers: Mapping[Key, Answer], snapshots: Collection[Snapshot], rows: Mapping[Key, str]
) -> dict[Key, Answer]:
    """
    The answers about what is applied, and about what counts as empty: it comes back.

    Those about other texts than a snapshot has are left out.
    """
    texts = {
        key: record.blob
        for one in snapshots
        for key, record in one.records().items()
        if record.blob and rows.get(key) == record.at
    }
    return {
        key: answer
        for key, answer in answers.items()
        if answer.is_due(rows, key)
        if texts.get(key, answer.text) == answer.text
    }


class LastSwitch(NamedTuple):
    """The last switch of a database, as ``--undo`` takes it back."""

    at: str
    """When its command began: the same for all databases that it has switched."""
    before: Snapshot
    """All that was applied before it."""
    notes: Sequence[str] = ()
    """What taking it back does not bring back."""
    after: Mapping[Key, str] | None = None
    """The rows when it ended; None if it did not."""
    is_done: bool = False
    """Whether it ended without an error."""

    def is_followed_by(self, rows: Mapping[Key, str]) -> bool:
        """Whether a switch that begins with ``rows`` goes on with this one."""
        return not self.is_done and self.after in (None, rows)


LastSwitches = dict[str, LastSwitch]
"""By database."""
