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
    branch: str = ""
    """The branch that it came from; empty if that is not known."""

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
    """Whether it ended without an error, or is past: nothing goes on with it."""
    left: Collection[Key] = ()
    """What was left applied before it, of other branches than that of ``before``."""
    about: Collection[Key] = ()
    """The migrations that it applies or unapplies."""
    earlier: Sequence[str] = ()
    """When those began that it goes on with."""
    roll_back_shared: bool = False
    rerun: bool = False
    """What it was given, and what takes it back needs, too."""
    pace: float = 0.0
    """How many rows were copied in a second, by it or by an earlier one; 0 if too few were."""

    @property
    def times(self) -> set[str]:
        """When it began, and those that it goes on with."""
        return {self.at, *self.earlier}

    def changes(self, rows: Mapping[Key, str]) -> tuple[list[Key], list[Key]]:
        """What something else has applied, and unapplied, since it ended or was killed."""
        known, own = self.after, set[Key]()
        if known is None:
            known = {key: record.at for key, record in self.before.records().items()}
            own.update(self.about)
        applied = [key for key, at in rows.items() if known.get(key) != at and key not in own]
        return applied, [key for key in known if key not in rows and key not in own]

    def is_followed_by(self, rows: Mapping[Key, str]) -> bool:
        """Whether a switch that begins with ``rows`` goes on with this one."""
        return not self.is_done and self.changes(rows) == ([], [])

    def going_on_with(self, earlier: "LastSwitch") -> "LastSwitch":
        """This one and an ``earlier`` one that was killed or failed, as one."""
        return self._replace(
            before=earlier.before,
            notes=[*dict.fromkeys([*earlier.notes, *self.notes])],
            left=earlier.left,
            about={*earlier.about, *self.about},
            earlier=[*earlier.earlier, earlier.at],
            roll_back_shared=earlier.roll_back_shared or self.roll_back_shared,
            rerun=earlier.rerun or self.rerun,
        )


LastSwitches = dict[str, LastSwitch]
"""By database."""
