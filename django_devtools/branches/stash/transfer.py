"""
Takes data into the stash and out of it while migrations run, in a switch or a plain ``migrate``.

Whoever runs them says which step is next, when it begins, and when it is done.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from django.apps.registry import Apps

from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.changes import DataLoss, SchemaChanges
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import runs_sql
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.schema.tracker import SchemaHistory
from django_devtools.branches.sources.snapshots import Key

from .entries import Entry, Status, Step
from .places import Places
from .present_names import Names, names_in_stash
from .returns import Applied, AppliedMigration, Arrivals, Detour, Returns, Stage, outranked
from .save import is_routed_here
from .stash import Stash

if TYPE_CHECKING:
    from .detours import Way

logger = logging.getLogger("django_devtools.branches")

Models = Callable[[], Apps]
"""Gives the models of what the database holds, which may have to be rendered for that."""

FindWay = Callable[[Detour, Applied], "Way | None"]
"""Gives the way of a detour; None if it can't be taken."""


Move = tuple[Key, AppliedMigration | None]
"""What is done to a migration: what is applied then, or None if it is unapplied."""


class Report:
    """What a switch has to say when it is over."""

    def __init__(self) -> None:
        self.saved: list[Entry] = []
        self.restored: list[Entry] = []
        self.notes: list[str] = []
        """What could not be restored or recorded, and why."""
        self.cut: list[str] = []
        """Which values don't fit where the switch has led."""


class _Pass(NamedTuple):
    """A pass under way."""

    changes: SchemaChanges
    fills: bool
    """Whether its migrations write rows."""
    taken: list[Entry]
    """What was saved for it."""
    held: set[int]
    """The numbers of the entries that had it already."""


class Transfer:
    """What is in the stash while steps are done, one after the other."""

    def __init__(
        self,
        stash: Stash,
        returns: Returns,
        progress: Progress,
        report: Report,
        find_way: FindWay,
    ) -> None:
        self.stash = stash
        self.returns = returns
        self.progress = progress
        self.report = report
        self.find_way = find_way
        self.faked: set[Key] = set()
        """The migrations that only got a row: what they make is something that was found."""
        self.came_back: list[Entry] = []
        """What was restored in the pass under way, and not saved again since."""
        self._arrivals = Arrivals()
        self._made: set[Item] = set()
        """The tables and columns that were made in all passes, by their names then."""
        self._altered: set[Item] = set()
        """The columns that got wider or narrower, by their names then."""
        self._made_with: dict[int, set[Item]] = {}
        """What the passes made that dropped the new entries, by the numbers of those."""
        self._passes: list[_Pass] = []
        """The passes under way: a detour is one within another."""
        self._fresh: set[int] = set()
        """The numbers of the entries that the outermost of them has dropped."""
        self._has_begun = False
        """Whether a step has begun since something was last saved."""
        self._taken_again: list[Entry] = []
        """What was saved again, until the next step begins."""
        self._outdated: list[tuple[Entry, set[str]]] = []
        """What that supersedes, with the columns that it supersedes."""
        self._places = Places()
        """Where what was saved for the passes under way is by now."""
        self._late: list[Entry] = []
        """What refers to rows that come back by a detour, and comes after them."""
        self._unknown: set[int] = set()
        """The numbers of the new entries of columns that no model knows."""
        self._homeless: list[Entry] = []
        """Tables and columns that were due, and that are not there yet."""
        self._adopted: list[Entry] = []
        """What was undone by rows of django_migrations, under the names that they give."""
        self._early: set[int] = set()
        """The numbers of the entries that come without the rest of their pass being undone."""
        self._spared: dict[int, Callable[[Entry], str]] = {}
        """What is to be said of code that is not run, or not undone, by an entry's number."""
        self._next: tuple[Step, AppliedMigration | None] | None = None

    @property
    def applied(self) -> Applied:
        """The migrations that are applied by now."""
        return self.returns.applied

    def prepare(self, begun: Step | None = None) -> None:
        """
        Bring the stash up to date, before anything is saved.

        ``begun`` is the step that an earlier run began and did not end, if there is one.
        """
        self._drop_moved(begun.key if begun else None)
        now = self.applied
        if begun:  # What it was to drop may be gone.
            arrives = AppliedMigration(None, lambda: begun.text)
            now = now.copy()
            now.move(begun.key, None if begun.backwards else arrives)
        self.stash.prepare(now)
        self._refresh()
        self._homeless = self.stash.homeless(self.applied)

    def save(
        self, changes: SchemaChanges, steps: Sequence[Step], branch: str | None, fills: bool
    ) -> None:
        """
        Save what a pass by ``steps`` drops, which begins now. ``branch`` has the data.

        ``fills`` says whether any of these migrations writes rows.
        """
        self._made |= changes.made.keys()
        self._altered |= changes.altered
        held = self.returns.held(self.stash.is_unedited)
        # Where saving fails, a `migrate` goes on, and ends this pass.
        self._passes.append(_Pass(changes, fills, [], {entry.id for entry in held}))
        self._places.add(map(self._not_dropped_yet, held))
        grown = [entry for entry in held if self._has_grown(entry)]
        held = [entry for entry in held if entry not in grown]
        taken = self._save(self._lost(changes), changes, steps, branch, held)
        self._outdated = [(one, self._places.shared(one, taken)) for one in grown]
        self.report.saved += taken

    def _has_grown(self, entry: Entry) -> bool:
        """
        Whether a table whose pass was interrupted has got columns since it was saved.

        They came back in the course of that pass, and nothing else has their values.
        """
        tables = Tables(self.stash.connection)
        if not entry.is_table or entry.table not in tables.names:
            return False
        return not tables.columns(entry.table).keys() <= entry.columns.keys()

    def save_again(self, rest: SchemaChanges, steps: Sequence[Step], branch: str | None) -> None:
        """Save what came back in the middle of a pass, if the ``rest`` of it drops it again."""
        back, self.came_back = self.came_back, []
        lost = [loss for loss in self._lost(rest) if any(_takes(loss, one) for one in back)]
        if lost:
            older = [one for one in self.returns.waiting if not one.is_narrowed]
            taken = self._save(lost, rest, steps, branch)
            self._taken_again = taken
            self._outdated = [(one, self._places.shared(one, taken)) for one in older]

    def expect(self, step: Step, arrives: AppliedMigration | None = None) -> None:
        """``step`` is next. ``arrives`` is what is applied after it, unless that goes back."""
        self._next = step, arrives

    def begin(self) -> None:
        """
        The next step begins: save what others wrote meanwhile.

        To be called in its transaction, before anything else.
        """
        changed, taken = self._catch_up(), self._taken_again
        # Dropping tables may commit, and so it is not to commit that dropping has begun.
        if self._next:
            self.stash.narrow(self.returns.waiting, self._next[0])
        for entry, columns in self._outdated:
            self.stash.leave_out(entry, columns)
        if not self._has_begun:
            self.stash.begin()
        self._has_begun, self._outdated, self._taken_again = True, [], []
        if changed or taken:
            self._refresh()

    def done(
        self, models: Models, renamed: Callable[[], SchemaChanges | None] = lambda: None
    ) -> None:
        """
        The next step is done: restore what comes back after it. To be called in its transaction.

        ``renamed`` tells what the step has renamed.
        """
        self._move(self.applied)
        if self._next:
            self._places.done(self._next[0].key)
        is_followed = self._older() or self._homeless or self._arrivals or self._places
        if is_followed and (changes := renamed()):
            self.follow(changes)
        self.restore_due(models)

    def follow(self, changes: SchemaChanges) -> None:
        """Give the names that the database has now to what earlier passes have dropped."""
        self._arrivals.follow(changes)
        self._places.follow(changes)
        self._homeless = self.stash.follow(self._homeless, changes)
        self.returns.rename(self.stash.follow(self._older(), changes))
        self.returns.rename(self._follow_columns(changes))

    def _follow_columns(self, changes: SchemaChanges) -> Iterator[Entry]:
        """
        The entries whose columns are there again, and have got other names since.

        A step has renamed them that is none of their pass. Those of the pass give them back the
        names that they have in the stash.
        """
        if not any(column for _, column in changes.renamed):
            return
        key = self._next[0].key if self._next else None
        for entry in self._older():
            is_there = self.applied.stage(entry) is Stage.MIDWAY and not entry.is_narrowed
            if not is_there or key in {step.key for step in entry.steps}:
                continue
            names = self._renamed(entry, changes)
            if names.changed():
                yield self.stash.rename(entry, names)

    def _renamed(self, entry: Entry, changes: SchemaChanges) -> Names:
        """The names for the stash, where ``changes`` have renamed an entry's columns."""
        now = self._present_names(entry) or names_in_stash(entry)
        columns = {
            saved: str(changes.name_of((now.table, saved))[1]) if name == saved else saved
            for saved, name in now.columns.items()
        }
        return Names(entry.table, columns)

    def restore_due(self, models: Models) -> None:
        """
        Restore what comes back after all that is done by now.

        Also what only a detour would bring, where that detour would not change it. The rest is for
        `detours`, and what refers to that waits until `restore_late`.
        """
        self.stash.dropped(self.returns.dropped_now())
        undone = [*self._adopted, *self.returns.after_step()]
        self._adopted = []
        due = self._with_place([one for one in undone if not one.dropped_by <= self.faked], models)
        early, by_detour = self._split_detours()
        early += self._needed_by([*due, *early])
        self._early.update(entry.id for entry in early)
        found = [*due, *early]
        late = [entry for entry in found if self._refers_to(entry, by_detour)]
        self._late += late
        self._restore([one for one in found if one not in late], models)

    def _with_place(self, due: list[Entry], models: Models) -> list[Entry]:
        """Those of ``due`` whose table or columns are there. The others wait until they are."""
        due = [self._under_new_name(one, models) for one in due] + self._left_out()
        found = [one for one in due if self.stash.has_place(one)]
        # What comes to be there later may only have the same name.
        found += [one for one in self._homeless if self.stash.has_place(one, exactly=True)]
        self._homeless = [one for one in (*self._homeless, *due) if one not in found]
        return found

    def _left_out(self) -> list[Entry]:
        """
        What was left out of a table made anew, as no model knew it, or was made over by a step.

        The pass may make it later, as where rows of django_migrations are gone.
        """
        if not (self._unknown and self._next):
            return []
        step, arrives = self._next
        unknown = [one for one in self.returns.waiting if one.id in self._unknown]
        found = [one for one in unknown if self._is_gone(one, step)]
        self._unknown.difference_update(entry.id for entry in found)
        if _may_drop_by_sql(arrives):
            return []
        self.returns.remove(found)
        return found

    def _is_gone(self, entry: Entry, step: Step) -> bool:
        """Whether a column is not there, or another one, which ``step`` has made."""
        changes = self._passes[-1].changes
        then = {changes.name_of(item) for item in _items(entry)}
        is_made = step.key in entry.dropped_by and not then.isdisjoint(changes.made)
        return is_made or not self.stash.has_place(entry)

    def forget(self, keys: Collection[Key]) -> None:
        """The rows of ``keys`` are deleted. What these have done is there under other names."""
        followed = [self._after_steps(entry, keys) for entry in self.returns.waiting]
        self.returns.rename(entry for entry in followed if entry is not None)
        for key in keys:
            self.applied.remove(key)

    def record(
        self,
        rows: Mapping[Key, AppliedMigration],
        history_of: Callable[[Sequence[Key]], SchemaHistory],
    ) -> None:
        """
        Rows are written, in this order, of migrations whose work is done already.

        What the first of them undo has the names that the others give. ``history_of`` tells what
        migrations do.
        """
        before = self.applied.copy()
        for key, arrives in rows.items():
            self.applied.add(key, arrives)
        for entry in self.returns.after_step():
            history = history_of(_written_after(entry, before, rows))
            self._adopted.append(self._after(entry, history))

    def _after(self, entry: Entry, history: SchemaHistory) -> Entry:
        """An entry under the names that its place has after ``history``."""
        known = names_in_stash(entry)
        names = known.after(history)
        return entry if names == known or entry.is_narrowed else self.stash.rename(entry, names)

    def _after_steps(self, entry: Entry, keys: Collection[Key]) -> Entry | None:
        """An entry under the names that steps of its pass give, if they stay; None if none do."""
        steps = [step for step in self.applied.in_effect(entry) if step.key in keys]
        is_dropped = not entry.dropped_by.isdisjoint(keys)
        if not steps or steps[0].backwards or is_dropped or entry.is_narrowed:
            return None
        way = self.find_way(Detour([entry], steps, only_for_names=True), self.applied)
        return None if way is None else self._after(entry, way.history)

    def restore_between_passes(self, models: Models) -> None:
        """Restore what rows have undone that were changed and nothing with them."""
        self.restore_due(models)
        # The next pass begins after that, and saves what it drops.
        self.came_back = []

    def _split_detours(self) -> tuple[list[Entry], list[Entry]]:
        """What comes back without the detour that would leave it as it is, and what by one."""
        early: list[Entry] = []
        by_detour: list[Entry] = []
        for detour, way in self.detours():
            if way.leaves_alone(detour.entries):
                self.spare(detour, way)
                early += detour.entries
            else:
                by_detour += detour.entries
        self.returns.remove(early)
        return early, by_detour

    def _needed_by(self, entries: Iterable[Entry]) -> list[Entry]:
        """
        The tables that ``entries`` refer to, and that are there again without their rows.

        They wait for the rest of their passes to be undone, or for the names of its steps. That
        has to leave them as they are.
        """
        asking = [*entries]
        # Most steps restore nothing, and what waits is looked at often enough.
        waiting = {one.table: one for one in self.returns.made_empty()} if asking else {}
        found: list[Entry] = []
        while asking and waiting:
            parents = self.stash.tables.parents(asking.pop().table)
            needed = [waiting.pop(one.table) for one in parents.values() if one.table in waiting]
            more = [one for one in needed if self._is_finished(one)]
            found += more
            asking += more
        self.returns.remove(found)
        return found

    def _is_finished(self, entry: Entry) -> bool:
        """Whether what is left of an entry's pass does not change it."""
        way = self.find_way(Detour([entry], self.applied.in_effect(entry)), self.applied)
        return way is not None and way.leaves_alone([entry])

    def detours(self) -> "list[tuple[Detour, Way]]":
        """The detours that can be made now, and their ways."""
        detours = self.returns.detours()
        found = [(detour, self.find_way(detour, self.applied)) for detour in detours]
        return [(detour, way) for detour, way in found if way is not None]

    def spare(self, detour: Detour, way: "Way") -> None:
        """Note what code will not have run over what comes back."""
        words = self.stash.is_older_than if way.begins_backwards else self.stash.is_newer_than
        if keys := way.spared if way.begins_backwards else way.irreversible:
            self._spared |= {entry.id: partial(words, keys=keys) for entry in detour.entries}

    def restore_late(self, models: Models) -> None:
        """Restore what has waited for the rows that it refers to."""
        late, self._late = self._late, []
        self._restore(late, models)

    def restore_now(self, table: str, column: str | None) -> None:
        """
        Restore columns of ``table`` that are there again; the values of the newest entry win.

        ``column`` is the only one that is wanted, or None for all.
        """
        from .entry_restore import restore_columns

        then = self.applied.copy()
        self._move(then)
        restore_columns(self.stash, self._there(then), table, column)

    def there_after(self, moves: Iterable[Move]) -> list[Entry]:
        """The entries whose place is there again after ``moves``."""
        then = self.applied.copy()
        for key, arrives in moves:
            then.move(key, arrives)
        return self._there(then)

    def _there(self, then: Applied) -> list[Entry]:
        """The entries whose place is there again when ``then`` is applied."""
        return [
            entry
            for entry in self.returns.waiting
            if then.stage(entry) is not Stage.DROPPED
            or (self.returns.is_own(entry) and not entry.is_narrowed)
        ]

    def end_pass(self) -> None:
        """All steps of a pass are done."""
        ended = self._passes.pop()
        self.stash.end_pass(ended.changes, ended.taken)
        for entry in self.returns.waiting:
            if entry.id in ended.held and self.applied.stage(entry) is Stage.DROPPED:
                self.stash.forget_stand_in(entry)
        self._refresh()
        if not self._passes:
            self._fresh, self._unknown, self.came_back = set(), set(), []
            self._places.clear()

    def settle(self, models: Models) -> None:
        """
        Restore what an amended migration made again, or what only waits for what is left applied.

        And say what else was made and not restored.
        """
        # Some steps may be undone by nothing but a row of django_migrations.
        self.restore_due(models)
        own = [entry for entry in self._made_again() if self.returns.is_own(entry)]
        own += [one for one in self._homeless if self.applied.stage(one) is Stage.UNDONE]
        self.returns.remove(own)
        self._restore(own, models)
        made = [entry for entry in self._made_again() if self._is_worth_a_word(entry)]
        made += [entry for entry in self.returns.made_again() if entry not in made]
        self.report.notes += [self.stash.stays(entry, self.applied) for entry in made]
        self._let_stand_in(made)

    def finish(self) -> None:
        """All is done."""
        self.stash.finish()
        narrowed = {entry.id for entry in self.report.saved if entry.is_narrowed}
        if narrowed:
            found = [entry for entry in self.stash.entries() if entry.id in narrowed]
            from .cut_notices import cut_values

            words = [cut_values(self.stash.tables, entry) for entry in found]
            self.report.cut += filter(None, words)

    def halt(self, interrupted: Key | None) -> None:
        """The next step has failed, if there is one; ``interrupted`` if it was left half-way."""
        self._drop_moved(interrupted)
        if self._next:
            self.stash.finish(interrupted)
        self._let_stand_in(self.returns.made_again())

    def _save(
        self,
        lost: list[DataLoss],
        changes: SchemaChanges,
        steps: Sequence[Step],
        branch: str | None,
        held: Collection[Entry] = (),
    ) -> list[Entry]:
        taken = self.stash.save(lost, branch, steps, self.progress, self._passes[-1].fills, held)
        self._passes[-1].taken.extend(taken)
        logger.debug("Saved in the stash, for %s: %s", branch, _summaries(taken))
        self.returns.add(taken)
        changed = changes.made.keys() | changes.altered
        self._made_with |= {entry.id: changed for entry in taken}
        self._fresh.update(entry.id for entry in taken)
        unknown = {loss.item for loss in lost if loss.is_unknown}
        self._unknown.update(one.id for one in taken if _items(one) <= unknown)
        self._places.add(entry for entry in taken if not entry.is_narrowed)
        self._has_begun = False
        return taken

    def _not_dropped_yet(self, entry: Entry) -> Entry:
        """What is still there of an entry whose pass was interrupted."""
        done = {step.key for step in self.applied.in_effect(entry)}
        left = {name: one for name, one in entry.columns.items() if one.step.key not in done}
        return entry._replace(columns={} if entry.is_narrowed else left)

    def _move(self, applied: Applied) -> None:
        """The next step is done, in ``applied``."""
        if self._next:
            step, arrives = self._next
            applied.move(step.key, arrives)

    def _catch_up(self) -> bool:
        """Save again what was written to since. Whether anything was."""
        step = self._next[0] if self._next else None
        changed = {entry.id: entry for entry in self.stash.catch_up(step)}
        self.report.saved = [changed.get(one.id, one) for one in self.report.saved]
        return bool(changed)

    def _refers_to(self, entry: Entry, others: Collection[Entry]) -> bool:
        """Whether rows of an entry refer to rows of one of ``others``."""
        tables = {other.table for other in others if other.is_table}
        parents = self.stash.tables.parents(entry.table) if tables else {}
        return any(parent.table in tables for parent in parents.values())

    def _restore(self, entries: Collection[Entry], models: Models) -> None:
        """Restore ``entries``, unless newer ones are back already."""
        entries = self._without_outdone([self._under_new_name(one, models) for one in entries])
        if not entries:
            return
        # A switch with nothing to restore comes here, too.
        from .restore import Restore

        restore = Restore(self.stash, models(), self.progress, self._early, self._made)
        restore.restore(entries)
        logger.debug("Restored from the stash: %s", _summaries(restore.restored))
        self.report.notes += restore.notes
        self.report.restored += restore.restored
        self.report.notes += [
            self._spared[entry.id](entry) for entry in restore.restored if entry.id in self._spared
        ]
        self.came_back += restore.restored
        self._arrivals.add(restore.restored)

    def _under_new_name(self, entry: Entry, models: Models) -> Entry:
        """
        The table of a many-to-many field under the name with which it was made again.

        It is named after the table of its model, which may have got another name while there was
        no such field.
        """
        if not entry.is_table:
            return entry
        tables = Tables(self.stash.connection)
        if entry.table in tables.names:
            return entry
        of_fields = {
            model._meta.db_table
            for model in models().get_models(include_auto_created=True)
            if model._meta.auto_created and (model._meta.db_table, None) in self._made
        }
        others = {one.table for one in (*self.returns.waiting, *self._arrivals.entries)}
        found = tables.present(of_fields) - others
        alike = [name for name in found if tables.columns(name) == entry.infos]
        if len(alike) != 1:
            return entry
        return self.stash.rename(entry, names_in_stash(entry)._replace(table=alike[0]))

    def _without_outdone(self, entries: Collection[Entry]) -> list[Entry]:
        outdone = [entry for entry in entries if self._arrivals.outdo(entry)]
        self.report.notes += [self.stash.is_outdone(entry) for entry in outdone]
        found = [entry for entry in entries if entry not in outdone]
        others = [*self._arrivals.entries, *found, *self.returns.waiting]
        empty = outranked(found, others, self.stash.has_values)
        for entry in empty:
            logger.debug("%s: nothing but NULL, where an older one has values", entry)
            self.stash.done(entry)
        return [entry for entry in found if entry not in empty]

    def _drop_moved(self, interrupted: Key | None) -> None:
        """
        Drop what was copied and not dropped, if steps have given it other names since.

        It is there, with what was edited meanwhile. Whatever drops it saves it again. What the
        step ``interrupted`` may have dropped by now stays.
        """
        waiting = [one for one in self.returns.waiting if interrupted not in one.dropped_by]
        moved = [entry for entry in waiting if self._has_moved(entry)]
        self.stash.drop(moved)
        self.returns.remove(moved)

    def _has_moved(self, entry: Entry) -> bool:
        """Whether what an entry has was only renamed before its pass was interrupted."""
        is_settled = entry.status in (Status.KEPT, Status.LEFT)
        if is_settled or entry.is_narrowed or entry.fills:
            return False
        if self.applied.stage(entry) is not Stage.MIDWAY:
            return False
        names = self._present_names(entry)
        if names is None or names == names_in_stash(entry):
            return False
        tables = Tables(self.stash.connection)
        there = tables.columns(names.table) if names.table in tables.names else {}
        # A column that is gone has no name.
        present = {saved: there.get(now) for saved, now in names.columns.items()}
        return all(present.get(saved) == info for saved, info in entry.infos.items())

    def _let_stand_in(self, made: Collection[Entry]) -> None:
        """From now on, what is edited where ``made`` entries wait counts more than these."""
        for entry in self.returns.waiting:
            is_made = entry in made or entry.has_stand_in
            if is_made and self.applied.stage(entry) is not Stage.DROPPED:
                self.stash.stand_in(entry, self._present_names(entry))

    def _present_names(self, entry: Entry) -> Names | None:
        """The names that an entry's place has now; None if it is not there."""
        names = names_in_stash(entry)
        missing = self.applied.in_effect(entry)
        way = self.find_way(Detour([entry], missing, only_for_names=True), self.applied)
        if way is None:
            return names
        if way.begins_backwards:
            return names.after(way.history)
        return names.before(way.history)

    def _is_worth_a_word(self, entry: Entry) -> bool:
        """
        Whether it is to be said that an entry waits whose place was made.

        Of what was saved in this very switch, only if its place stays without rows.
        """
        return entry.id not in self._made_with or not self._arrivals.fill(entry)

    def _made_again(self) -> list[Entry]:
        """The entries whose place was made by now, after it was dropped if it was."""
        waiting = [one for one in self.returns.waiting if not self.returns.is_dropped_anew(one)]
        return [entry for entry in waiting if self._is_made(entry)]

    def _is_made(self, entry: Entry) -> bool:
        changed = self._altered if entry.is_narrowed else self._made
        return self.stash.is_made(entry, changed - self._made_with.get(entry.id, set()))

    def _lost(self, changes: SchemaChanges) -> list[DataLoss]:
        """What is lost of the models that the routers let migrate in this database."""
        return [one for one in changes.lost if is_routed_here(self.stash.connection, one)]

    def _older(self) -> list[Entry]:
        """The columns that wait, but for those of this pass: their names come back with it."""
        waiting = self.returns.waiting
        return [entry for entry in waiting if not entry.is_table and entry.id not in self._fresh]

    def _refresh(self) -> None:
        self.returns.refresh(self.stash.entries())


def _may_drop_by_sql(arrives: AppliedMigration | None) -> bool:
    """Whether what a step has dropped may be dropped on purpose."""
    migration = arrives.migration if arrives else None
    return migration is not None and runs_sql(migration)


def _written_after(
    entry: Entry, before: Applied, rows: Mapping[Key, AppliedMigration]
) -> list[Key]:
    """Those of ``rows`` that come after what undoes an entry, which unapplying has dropped."""
    then, keys = before.copy(), list(rows)
    for position, key in enumerate(keys, 1):
        then.add(key, rows[key])
        if entry.steps[0].backwards and then.stage(entry) is Stage.UNDONE:
            return keys[position:]
    return []


def _takes(loss: DataLoss, entry: Entry) -> bool:
    """Whether a loss takes what is in an entry, or some of it."""
    if loss.table != entry.table:
        return False
    return loss.column is None or entry.is_table or loss.column in entry.columns


def _items(entry: Entry) -> set[Item]:
    """The columns of an entry, or the table."""
    if entry.is_table:
        return {(entry.table, None)}
    return {(entry.table, column) for column in entry.columns}


def _summaries(entries: list[Entry]) -> str:
    return ", ".join(entry.summary for entry in entries) or "nothing"
