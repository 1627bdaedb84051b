"""
Snapshots: which migrations a branch had applied in a database, and from which texts.

``planning/recording.py`` chooses what goes into one, ``snapshot_file.py`` keeps them, and
``snapshot_json.py`` writes them down.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from django_devtools.branches.errors import DevtoolsError

# Names the snapshot of the last checkout without a branch. Git allows no branch of this name.
DETACHED = "HEAD"

# Control characters, which could fool a terminal; line separators; lone surrogates.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"

Key = tuple[str, str]
"""App label and name of a migration."""


class SnapshotError(DevtoolsError):
    """A snapshot file can't be read or written. The text names it and says what to do."""


class Record(NamedTuple):
    """A row of ``django_migrations`` as a snapshot remembers it."""

    blob: str | None
    """Git's id of the text that was applied; None if there was no git repository."""
    at: str
    """When it was applied (ISO 8601). With the name it tells one application from another."""
    project: str | None = None
    """Git's id of the tree of the project then; None if none was recorded."""


class Snapshot(NamedTuple):
    """The migrations that one branch had applied in one database."""

    branch: str
    commit: str | None
    taken: str
    packages: Mapping[str, str] = {}
    """The migrations package of each app label."""
    applied: Mapping[Key, Record] = {}
    obsolete: Mapping[Key, Record] = {}
    """Applied too, and no longer in the branch's code when the snapshot was taken."""

    def records(self) -> Mapping[Key, Record]:
        """All that was applied, obsolete or not."""
        return {**self.obsolete, **self.applied}

    def says(self, rows: Mapping[Key, str]) -> bool:
        """Whether it was taken of exactly these rows, applied at exactly these times."""
        return {key: record.at for key, record in self.records().items()} == rows


def branch_of(
    snapshots: Mapping[str, Snapshot], rows: Mapping[Key, str], here: str | None
) -> str | None:
    """The branch whose snapshot is of exactly ``rows``; ``here`` if several are."""
    for branch in sorted(snapshots, key=lambda name: name != here):
        if branch != DETACHED and snapshots[branch].says(rows):
            return branch
    return None


Snapshots = dict[str, dict[str, Snapshot]]
"""By database, then by branch."""

Begun = dict[str, list[Snapshot]]
"""
By database, the oldest first: what was about to be applied, and from which text.

None of them says that it was applied.
"""


def now() -> str:
    """The time in the format of snapshots."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def check_name(branch: str) -> str:
    """``branch``, if it can name a snapshot. Raises SnapshotError if it can't."""
    if not branch.strip() or not is_line(branch):
        raise SnapshotError(f"{branch!r} can't name a snapshot: give one line of visible text.")
    return branch


def is_line(text: str) -> bool:
    # The first is quicker, and rejects some lines, too, such as those with a no-break space.
    return text.isprintable() or not re.search(_UNPRINTABLE, text)
