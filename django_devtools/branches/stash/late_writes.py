"""
Finds what other connections write after it was copied and before it is dropped.

A copy is made in a transaction of its own, before the first migration of a pass. In the
transaction of each migration, what that one drops is locked, and copied again if it was written
to since.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.introspection import Tables

from .entries import Step
from .save import Copy, copies_of


class Watched:
    """A copy, and what is needed to find out whether it is still complete."""

    def __init__(self, copy: Copy, mark: Any) -> None:
        """``mark`` is the moment of the copy, as the dialect knows it."""
        self.copy = copy
        self.mark = mark
        self.has_begun = False
        """Whether a migration has run since it was copied."""
        self.fills = False
        """Whether such migrations may write rows, which are not to be copied."""
        self.rows = 0
        """How many rows were copied."""
        self.entry = 0
        """The number of the entry that has the copy."""

    def is_dropped_by(self, step: Step) -> bool:
        """Whether ``step`` drops anything of it."""
        drops = {column.step for column in self.copy.columns.values()}
        return step._replace(text="") in drops

    def is_in_place(self, tables: Tables) -> bool:
        """Whether the table has all of the columns, as they were."""
        if self.copy.table not in tables.names:
            return False
        there = tables.columns(self.copy.table)
        return all(there.get(name) == saved.info for name, saved in self.copy.columns.items())


def watch(tables: Tables, losses: Collection[DataLoss]) -> list[Watched]:
    """The copies to be made of what is about to be lost. What is written from now on is found."""
    marks = {loss.table: tables.dialect.write_mark(loss.table) for loss in losses}
    return [Watched(copy, marks[copy.table]) for copy in copies_of(tables, losses)]


class LateWrites:
    """What is watched in one database, in a pass and in the detours that it makes."""

    def __init__(self) -> None:
        self._watched: list[Watched] = []

    def add(self, watched: Iterable[Watched], fills: bool) -> None:
        """
        Watch the copies of a pass, too.

        ``fills``: its migrations may write rows, also into what others have copied.
        """
        self._watched += watched
        for one in self._watched:
            one.fills = one.fills or fills

    def remove(self, entry: int) -> None:
        """An entry is not complete any more, or is not there."""
        self._watched = [one for one in self._watched if one.entry != entry]

    def before(self, step: Step | None) -> list[Watched]:
        """
        What is to be looked at before ``step``, which begins now: what it drops.

        And what was copied since the last step began: no migration has written to that.
        """
        found = [
            one
            for one in self._watched
            if not one.has_begun or (step and not one.fills and one.is_dropped_by(step))
        ]
        for one in self._watched:
            one.has_begun = True
        return found

    def find(self, tables: Tables, watched: Iterable[Watched]) -> Iterator[Watched]:
        """Lock what is watched, and find what was written to since it was copied."""
        found = [one for one in watched if one.is_in_place(tables)]
        tables.dialect.lock(sorted({one.copy.table for one in found}))
        for one in found:
            copy = one.copy
            if tables.dialect.was_written(copy.table, one.mark, copy.condition, one.rows):
                yield one
