"""Where the data of a pass under way is by now, while migrations give other names to it."""

from collections.abc import Iterable

from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.sources.snapshots import Key

from .entries import Entry


class Places:
    """The present names of what a pass is about to drop, for each column of its entries."""

    def __init__(self) -> None:
        self._items: dict[tuple[int, str], Item] = {}
        self._droppers: dict[tuple[int, str], Key] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, entries: Iterable[Entry]) -> None:
        """``entries`` were saved just now, under the names that their data has."""
        for entry in entries:
            for name, column in entry.columns.items():
                self._items[entry.id, name] = entry.table, name
                self._droppers[entry.id, name] = column.step.key

    def follow(self, changes: SchemaChanges) -> None:
        """A migration has given other names to tables and columns."""
        self._items = {known: changes.name_of(item) for known, item in self._items.items()}

    def done(self, key: Key) -> None:
        """The migration ``key`` is done: what it drops is nowhere any more."""
        for known in [known for known, dropper in self._droppers.items() if dropper == key]:
            del self._items[known], self._droppers[known]

    def clear(self) -> None:
        """The pass is over."""
        self._items.clear()
        self._droppers.clear()

    def shared(self, entry: Entry, others: Iterable[Entry]) -> set[str]:
        """The columns of ``entry`` that ``others``, which were saved just now, have, too."""
        taken = {(other.table, name) for other in others for name in other.columns}
        return {name for name in entry.columns if self._items.get((entry.id, name)) in taken}
