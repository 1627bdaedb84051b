"""
Decides what comes back from the stash, and when.

It asks neither the database nor git, but for texts and values, by functions that it is given.

What one pass of a switch dropped comes back when all steps of that pass are undone, before any
other step. A step is a text and a direction, not a name: two branches may have different
migrations of one name.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from django_devtools.branches.schema.changes import SchemaChanges
from django_devtools.branches.schema.operations import (
    result_of,
    runs_no_code,
    same_operations,
    same_schema,
)
from django_devtools.branches.sources.rows import iso
from django_devtools.branches.sources.snapshots import Key

from .entries import Entry, Status, Step

T = TypeVar("T")

MOST_COMBINED = 12
"""The longest run of steps that is compared with a single newer migration."""


class AppliedMigration(NamedTuple):
    """A migration that is applied, as far as it is known."""

    migration: Migration | None
    text: Callable[[], str]
    """Returns the id of the text that it was applied from; empty if that is not known."""
    at: str = ""
    """When that was, as snapshots write it; empty if it is done in the course of this switch."""

    def is_newer_than(self, moment: str) -> bool:
        """Whether it was applied after a moment that is written likewise."""
        return not self.at or self.at > moment


class Stage(Enum):
    """
    How far a pass that drops something is from its beginning, whichever way it goes.

    It is read off the migrations that are applied. So it is right after a kill, and after a plain
    ``migrate`` that knew nothing of the pass.
    """

    UNDONE = auto()
    """None of its steps is in effect."""
    MIDWAY = auto()
    """Some are, without what drops it: it is not dropped yet, or its place is made again."""
    DROPPED = auto()
    """What drops it is in effect."""


class Applied:
    """The migrations that are applied at one moment of a switch."""

    def __init__(
        self,
        migrations: Mapping[Key, AppliedMigration],
        recorded: Callable[[Step], Migration | None],
    ) -> None:
        """``recorded`` gives the migration that a step's text defines, if that is still there."""
        self._migrations = dict(migrations)
        self.recorded = recorded
        # Each is computed once, and asked for after each step.
        self._results: dict[tuple[Step, ...], list[Any]] = {}
        self._known: dict[tuple[int, ...], tuple[list[Migration], list[Any]]] = {}
        self._passes: dict[tuple[Step, ...], None] = {}
        """The passes whose entries wait, oldest first."""
        self._judged: dict[tuple[tuple[Step, ...], datetime, int], list[Step]] = {}
        """What is in effect of a pass, until another migration is applied or unapplied."""

    def __contains__(self, key: Key) -> bool:
        return key in self._migrations

    def keys(self) -> list[Key]:
        """All of them, in the order in which they were applied."""
        return list(self._migrations)

    def migrations(self) -> dict[Key, Migration]:
        """Those whose operations are known."""
        return {key: one.migration for key, one in self._migrations.items() if one.migration}

    def migration(self, key: Key) -> Migration | None:
        """One of them. If a squash stands for it, by the text that it was applied from."""
        found = self._migrations.get(key)
        if found is None or found.migration is not None:
            return found and found.migration
        return self.recorded(Step(key, False, found.text()))

    def copy(self) -> "Applied":
        """The same, to be changed on its own."""
        found = Applied(self._migrations, self.recorded)
        found._results, found._known = self._results, self._known
        found._passes = self._passes
        return found

    def learn(self, entries: Iterable[Entry]) -> None:
        """``entries`` wait: a migration may do again what several of their passes have undone."""
        self._passes |= dict.fromkeys(entry.steps for entry in entries if entry.steps)

    def add(self, key: Key, applied: AppliedMigration) -> None:
        """``key`` is applied, and with it what it replaces."""
        self._judged.clear()
        for replaced in _replaced(applied.migration):
            self._migrations.setdefault(replaced, AppliedMigration(None, lambda: ""))
        self._migrations[key] = applied

    def remove(self, key: Key) -> None:
        """``key`` is unapplied, and what it replaces, and the squash that it is part of."""
        self._judged.clear()
        found = self._migrations.pop(key, None)
        for replaced in _replaced(found.migration) if found else ():
            self._migrations.pop(replaced, None)
        for squash, one in list(self._migrations.items()):
            if key in _replaced(one.migration):
                del self._migrations[squash]

    def move(self, key: Key, arrives: AppliedMigration | None) -> None:
        """``key`` is applied now, or unapplied if nothing arrives."""
        if arrives is None:
            self.remove(key)
        else:
            self.add(key, arrives)

    def stage(self, entry: Entry) -> Stage:
        """How far the pass is that dropped an entry, or is about to."""
        in_effect = {step.key for step in self.in_effect(entry)}
        if entry.dropped_by <= in_effect:
            return Stage.DROPPED
        return Stage.MIDWAY if in_effect else Stage.UNDONE

    def in_effect(self, entry: Entry) -> list[Step]:
        """
        The steps of the pass that dropped an entry, without those that are undone.

        And without those that do nothing, such as most merges: there is nothing to undo.
        """
        # All entries of a pass are asked about several times after each step. And a copy of this
        # may have learned of more passes.
        judged = entry.steps, entry.at, len(self._passes)
        found = self._judged.get(judged)
        if found is None:
            found = self._judged[judged] = self._judge(entry)
        return found

    def _judge(self, entry: Entry) -> list[Step]:
        adopted, squashed = self._adopted(entry), self._squashed()
        return [
            step
            for step in entry.steps
            if (step in adopted or self._has(step, squashed)) is not step.backwards
            and not self._does_nothing(step)
        ]

    def _does_nothing(self, step: Step) -> bool:
        recorded = self.recorded(step)
        return recorded is not None and not recorded.operations

    def hindrance(self, entry: Entry) -> str:
        """The words that say why an entry waits."""
        if self.stage(entry) is not Stage.DROPPED:
            others = ", ".join(".".join(step.key) for step in self.in_effect(entry))
            they = "they were" if len(entry.columns) > 1 and not entry.is_table else "it was"
            return f"{they} dropped together with {others}"
        migrations = ", ".join(entry.migrations)
        if not any(column.dropped_backwards for column in entry.columns.values()):
            return f"{entry.branch or 'another branch'} had it before {migrations}"
        origin = f" of {entry.branch}" if entry.branch else ""
        return f"it belongs to {migrations}{origin}"

    def _squashed(self) -> set[Key]:
        """What the squashes that are applied stand for."""
        found = (_replaced(one.migration) for one in self._migrations.values())
        return set(chain.from_iterable(found))

    def _has(self, step: Step, squashed: Collection[Key]) -> bool:
        """Whether a step's migration is applied: its text, or another of the same effect."""
        found = self._migrations.get(step.key)
        if found is not None and self._is_text_of(step, found):
            return True
        # A squash stands for it, or its parts for a squash.
        return step.key in squashed or self._has_parts_of(step)

    def _is_text_of(self, step: Step, found: AppliedMigration) -> bool:
        text = found.text()
        if not text or not step.text or text == step.text:
            return True
        recorded = self.recorded(step)
        return bool(recorded and found.migration and same_schema(recorded, found.migration))

    def _has_parts_of(self, step: Step) -> bool:
        """Whether all that a squash replaces is applied in its place."""
        replaced = _replaced(self.recorded(step)) if step.key not in self._migrations else []
        return bool(replaced) and all(key in self._migrations for key in replaced)

    def _adopted(self, entry: Entry) -> set[Step]:
        """The steps whose work migrations of other names have done since, alone or together."""
        newer = self._newer_than(entry)
        found: set[Step] = set()
        for app in {step.key[0] for step in entry.steps} if newer else ():
            others = [(one, at) for one, at in newer if one.app_label == app]
            for part in self._parts_of(entry, app):
                if self._is_adopted(part, others):
                    found.update(part)
        return found

    def _parts_of(self, entry: Entry, app: str) -> Iterator[list[Step]]:
        for steps in self._in_a_row(entry, app):
            yield from _parts(steps)

    def _in_a_row(self, entry: Entry, app: str) -> list[list[Step]]:
        """The steps of an entry's pass, and those with what other passes have left around them."""
        own, before, after = entry.steps, list[Step](), list[Step]()
        side, seen = before, set(own)
        for steps in self._passes:
            if steps == own:
                side = after
            elif seen.isdisjoint(steps) and self._is_undone_alike(own, steps):
                side += steps
                seen.update(steps)
        rows = [own, (*before, *own, *after)] if before or after else [own]
        return [[step for step in row if step.key[0] == app] for row in rows]

    def _is_undone_alike(self, own: Sequence[Step], others: Sequence[Step]) -> bool:
        """Whether ``others`` have gone the same way, and are not applied under their own names."""
        if any(step.key in self._migrations for step in others):
            return False
        return own[0].backwards is others[0].backwards

    def _newer_than(self, entry: Entry) -> list[tuple[Migration, str]]:
        """
        Migrations that were applied after an entry was saved, and when.

        Without those of the steps themselves: on the usual way back there are no others.
        """
        since, own = iso(entry.at), {step.key for step in entry.steps}
        others = [one for key, one in self._migrations.items() if key not in own]
        newer = [one for one in others if one.is_newer_than(since)]
        return [(one.migration, one.at) for one in newer if one.migration is not None]

    def _is_adopted(self, steps: list[Step], newer: list[tuple[Migration, str]]) -> bool:
        """
        Whether one of ``newer`` does what ``steps``, all of one app, are about.

        Or whether a few do what one step is about.
        """
        others = [migration for migration, _ in newer]
        if len(steps) == 1 and self._does_the_same(steps[0], others):
            return True
        runs = [[one] for one in others]
        if len(steps) == 1:
            # If some were applied before, their tables have had rows of their own since.
            runs += _parts([migration for migration, at in newer if not at])
        return self._has_result_of(tuple(steps), runs)

    def _has_result_of(self, steps: tuple[Step, ...], runs: Iterable[list[Migration]]) -> bool:
        # Models show the whole of several migrations only where none runs code.
        seen = [run for run in runs if all(map(runs_no_code, run))]
        result = self._result_of_steps(steps) if seen else []
        return bool(result) and any(self._result_of(run) == result for run in seen)

    def _does_the_same(self, step: Step, others: list[Migration]) -> bool:
        """Whether one of ``others`` is what a step is about under another name, code and all."""
        recorded = self.recorded(step) if others else None
        if recorded is None or not recorded.operations:
            return False
        return any(same_operations(recorded.operations, other.operations) for other in others)

    def _result_of_steps(self, steps: tuple[Step, ...]) -> list[Any]:
        if steps not in self._results:
            self._results[steps] = result_of(self._operations(steps), steps[0].key[0])
        return self._results[steps]

    def _result_of(self, migrations: list[Migration]) -> list[Any]:
        # Django takes migrations of one name for equal, whatever they do.
        numbers = tuple(map(id, migrations))
        if numbers not in self._known:
            found = [operation for one in migrations for operation in one.operations]
            self._known[numbers] = migrations, result_of(found, migrations[0].app_label)
        return self._known[numbers][1]

    def _operations(self, steps: Sequence[Step]) -> list[Operation]:
        """What the migrations of ``steps`` do; nothing if models don't show all of it."""
        in_order = reversed(steps) if steps[0].backwards else steps
        recorded = [self.recorded(step) for step in in_order]
        known = [one for one in recorded if one is not None and runs_no_code(one)]
        if len(known) < len(steps):
            return []
        return [operation for one in known for operation in one.operations]


class Detour(NamedTuple):
    """Entries that come back only if steps are undone which the target has not undone."""

    entries: list[Entry]
    missing: list[Step]
    """The steps that are still in effect, in the order of the pass that dropped the entries."""
    only_for_names: bool = False
    """Whether it is not to be made: only the names that its steps give are asked for."""


class Returns:
    """What comes back in the course of one switch."""

    def __init__(
        self,
        entries: Iterable[Entry],
        applied: Applied,
        final: Applied,
        branch: str | None = None,
        left: Collection[Key] = (),
    ) -> None:
        """
        ``applied`` is what is applied now, and ``final`` what will be when all is done.

        ``branch`` is where a switch goes to, and ``left`` what it leaves applied there.
        """
        self.applied = applied
        self._final = final
        self._branch = branch
        self._left = left
        entries = list(entries)
        applied.learn(entries)
        final.learn(entries)
        self.waiting = [
            entry
            for entry in entries
            if entry.status is not Status.LEFT and applied.stage(entry) is not Stage.UNDONE
        ]
        """The entries whose pass is not undone, oldest first."""
        self._dropped = {entry.id for entry in self._at(Stage.DROPPED)}
        self._midway = {entry.id for entry in self._at(Stage.MIDWAY)}
        self._ahead: set[int] = set()
        """The entries of passes that have had no effect yet, so that none is undone."""

    def add(self, entries: Iterable[Entry]) -> None:
        """``entries`` are dropped by what follows."""
        entries = list(entries)
        self.applied.learn(entries)
        self.waiting += entries
        self._ahead.update(entry.id for entry in entries)

    def held(self, is_unedited: Callable[[Entry], bool]) -> list[Entry]:
        """
        The entries whose pass was interrupted, so that what is in their place is not newer.

        Also those whose restoring was interrupted, but for those that give way: what is in their
        place has to be saved, unless it stands in for them and ``is_unedited``.
        """
        midway = self._at(Stage.MIDWAY)
        return [
            one
            for one in midway
            if one.status is Status.OPEN or not one.gives_way or is_unedited(one)
        ]

    def after_step(self) -> list[Entry]:
        """The entries whose pass is undone now. They wait no longer."""
        undone = self._at(Stage.UNDONE)
        # A pass that leaves a merge first is as it was before.
        self._ahead &= {entry.id for entry in undone}
        due = [entry for entry in undone if entry.id not in self._ahead]
        self.remove(due)
        return due

    def dropped_now(self) -> list[Entry]:
        """The entries that are dropped by now and were not before."""
        opened = [one for one in self.waiting if one.status is not Status.KEPT]
        found = [
            entry
            for entry in opened
            if not entry.is_narrowed and self.applied.stage(entry) is Stage.DROPPED
        ]
        self.rename([entry._replace(status=Status.KEPT) for entry in found])
        return found

    def refresh(self, entries: Iterable[Entry]) -> None:
        """``entries`` are what is in the stash by now: names may have changed."""
        now = {entry.id: entry for entry in entries}
        self.waiting = [now[entry.id] for entry in self.waiting if entry.id in now]

    def rename(self, entries: Iterable[Entry]) -> None:
        """``entries`` are some of those that wait, as they are recorded now."""
        now = {entry.id: entry for entry in entries}
        self.waiting = [now.get(entry.id, entry) for entry in self.waiting]

    def remove(self, entries: Collection[Entry]) -> None:
        """``entries`` don't wait any more."""
        numbers = {entry.id for entry in entries}
        self.waiting = [entry for entry in self.waiting if entry.id not in numbers]

    def is_own(self, entry: Entry) -> bool:
        """Whether an entry comes back where its place is made, although its pass is not undone."""
        of_branch = self._branch is not None and entry.branch == self._branch
        return of_branch or self._only_left_hinders(entry)

    def _only_left_hinders(self, entry: Entry) -> bool:
        """Whether nothing of a pass is in effect but what is no part of where the switch goes."""
        if self.applied.stage(entry) is not Stage.MIDWAY:
            return False
        return all(
            step.key in self._left and not step.backwards for step in self.applied.in_effect(entry)
        )

    def is_dropped_anew(self, entry: Entry) -> bool:
        """Whether an entry whose drop was undone waits again, as this switch redid that drop."""
        return entry.id in self._midway and self.applied.stage(entry) is Stage.DROPPED

    def made_again(self) -> list[Entry]:
        """The entries that wait although what dropped them was undone in this switch."""
        there = [entry for entry in self.waiting if entry.id in self._dropped]
        return [one for one in there if self.applied.stage(one) is not Stage.DROPPED]

    def made_empty(self) -> list[Entry]:
        """The tables that are there again without their rows, as their pass is not undone."""
        midway = self._at(Stage.MIDWAY)
        return [one for one in midway if one.is_table and one.status is Status.KEPT]

    def detours(self) -> list[Detour]:
        """
        What comes back only by a detour, newest first, if all else that undoes its pass is done.

        The step that dropped it is undone to stay so; others of its pass stay in effect.
        """
        found: dict[tuple[Step, ...], list[Entry]] = {}
        for entry in reversed(self._at(Stage.MIDWAY)):
            if self.applied.in_effect(entry) == self._final.in_effect(entry):
                found.setdefault(entry.steps, []).append(entry)
        return [Detour(entries, self.applied.in_effect(entries[0])) for entries in found.values()]

    def _at(self, stage: Stage) -> list[Entry]:
        return [entry for entry in self.waiting if self.applied.stage(entry) is stage]


class Arrivals:
    """What was restored in the course of one switch, under the names that it has by now."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def __bool__(self) -> bool:
        return bool(self.entries)

    def add(self, entries: Iterable[Entry]) -> None:
        """``entries`` are restored."""
        self.entries += entries

    def follow(self, changes: SchemaChanges) -> None:
        """Tables have got other names."""
        self.entries = [
            entry._replace(table=changes.name_of((entry.table, None))[0]) for entry in self.entries
        ]

    def fill(self, entry: Entry) -> bool:
        """Whether something is in an entry's place."""
        return any(_is_in_place_of(other, entry) for other in self.entries)

    def outdo(self, entry: Entry) -> bool:
        """
        Whether something newer than an entry is in its place.

        A column that was narrowed twice is widened twice, each time with more of its values. And
        what is newer than an entry with a stand-in is this, whose edits the entry leaves alone.
        """
        return not (entry.is_narrowed or entry.has_stand_in) and any(
            other.id > entry.id and _is_in_place_of(other, entry) for other in self.entries
        )


def outranked(
    entries: Iterable[Entry], others: Collection[Entry], has_values: Callable[[Entry], bool]
) -> list[Entry]:
    """Those that have no values where one of ``others`` is older, and in the same place."""
    return [
        entry
        for entry in entries
        if any(other.id < entry.id and _is_in_place_of(other, entry) for other in others)
        and not has_values(entry)
    ]


def _is_in_place_of(one: Entry, other: Entry) -> bool:
    if one.table != other.table or one.is_narrowed:
        return False
    return not one.columns.keys().isdisjoint(other.columns)


def _parts(found: list[T]) -> Iterator[list[T]]:
    """Steps, or migrations, one by one, and all that follow each other."""
    longest = len(found) if len(found) <= MOST_COMBINED else 1
    for first in range(len(found)):
        for last in range(first + 1, min(first + longest, len(found)) + 1):
            yield found[first:last]


def _replaced(migration: Migration | None) -> list[Key]:
    return [(app, name) for app, name in migration.replaces] if migration else []
