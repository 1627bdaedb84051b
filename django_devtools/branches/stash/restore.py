"""
Restores what is in the stash.

Whole columns and tables are copied by one statement each. If the database rejects the statement,
the rows are bisected until only the rejected ones are left in the stash. All this is one
transaction: it ends with all constraints satisfied, or nothing has been changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from django.apps.registry import Apps
from django.db import DatabaseError, models, transaction
from django.db.models import NOT_PROVIDED

from django_devtools.branches.progress import Progress, database_option
from django_devtools.branches.schema.dialects import Dialect, ForeignKey
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.structure import Item
from django_devtools.branches.schema.transactions import one_transaction

from .entries import Entry, Return, StashedColumn
from .entry_restore import THERE, EntryRestore, text_of
from .present_names import present_names
from .stash import Stash
from .undisturbed import undisturbed

GONE = "the rows they belong to are gone"
OTHERS = "other values are there now"
NO_COLUMN = "there is no such column now"
NO_PLACE = "There is no such table or column now"
MANY = 10_000
"""How many rows may take so long that somebody wants to know how far that is."""

# The database's own, which Django has since 6.1, has the same meaning.
_SET_NULL = {models.SET_NULL, getattr(models, "DB_SET_NULL", models.SET_NULL)}


@dataclass
class Restore:
    """One attempt to restore entries."""

    stash: Stash
    apps: Apps
    """The models of what the database holds now."""
    progress: Progress
    early: Collection[int] = ()
    """The numbers of the entries of which columns that are not there now may come later."""
    made: Collection[Item] = ()
    """What was made again, as far as that is known: a new key does not identify the old rows."""
    notes: list[str] = field(default_factory=list)
    """What could not be restored, and why."""
    restored: list[Entry] = field(default_factory=list)
    """What was restored, and in how many rows."""

    def restore(self, entries: Iterable[Entry]) -> None:
        """
        Restore ``entries``, and record what is left of them.

        What does not fit, or what a constraint rejects, stays in the stash; ``notes`` says why.
        """
        self.stash.tables = Tables(self._connection)
        entries = list(entries)
        fitting = [entry for entry in entries if self._fits(entry)]
        option = database_option(self._connection)
        self.notes += [
            f"{entry}: still in the stash. {NO_PLACE}. To look at it: "
            f"manage.py migrations_stash show {entry.id}{option}"
            for entry in entries
            if entry not in fitting and entry.id not in self.early
        ]
        jobs = self._jobs(fitting)
        restored = {job.entry.id for job in jobs}
        self.notes += [self.stash.is_outdone(one) for one in fitting if one.id not in restored]
        if not jobs:
            return
        try:
            tables = {job.entry.table for job in jobs}
            with (
                self.progress.meanwhile("Restoring from the stash"),
                self._transaction(),
                undisturbed(self._dialect, tables, self.notes),
            ):
                self._restore(jobs)
        except DatabaseError as error:
            if self._dialect.error_is_transient(error):
                raise
            what = ", ".join(str(job.entry) for job in jobs)
            numbers = " ".join(str(job.entry.id) for job in jobs)
            self.notes.append(
                f"{what}: still in the stash. Database error: {text_of(error)}. "
                f"Once that is fixed, run: manage.py migrations_stash restore {numbers}"
                + database_option(self._connection)
            )

    def restore_requested(self, entries: Iterable[Entry]) -> None:
        """
        Restore ``entries`` because someone asks for it.

        Rows of tables are inserted unless there are rows with their keys; values of columns
        replace those that are there. What has another name by now is found under that.
        """
        self.stash.tables = Tables(self._connection)
        self.restore(
            entry._replace(columns=_returning(entry, Return.MISSING))
            if entry.is_table
            else entry._replace(columns=_returning(entry, Return.REPLACE))
            for entry in map(self._under_present_names, entries)
        )

    def _under_present_names(self, entry: Entry) -> Entry:
        names = present_names(self._connection, entry)
        if names is None:
            return entry
        renamed = self.stash.rename(entry, names)
        self.progress.line(f"  Following {entry} to {renamed}...")
        return renamed

    def _restore(self, jobs: list[EntryRestore]) -> None:
        tables = [job for job in jobs if job.entry.is_table]
        others = {job.entry.id: self._others(job, jobs) for job in jobs}
        keys = self._drop_foreign_keys(jobs)
        for table in {job.entry.table for job in jobs}:
            self._dialect.check_unique_now(table)
        for group in _plain_first(tables):
            self._make_room([job for job in group if job.overrides])
            for job in group:
                more = others[job.entry.id]
                with self._reported(job):
                    job.insert(self._defaults(job, more), more)
        _prune(tables)
        for group in _plain_first([job for job in jobs if not job.entry.is_table]):
            for job in group:
                with self._reported(job):
                    job.update(self.made, others[job.entry.id])
        for job in tables:
            self._dialect.set_sequences(job.entry.table)
        with self.progress.meanwhile("Checking the constraints of what was restored"):
            self._check_constraints(jobs, keys)
        for job in jobs:
            if rows := self._settle(job):
                what = job.entry.columns if job.entry.is_table else job.columns
                columns = {name: job.entry.columns[name] for name in what}
                self.restored.append(job.entry._replace(columns=columns, rows=rows))

    def _reported(self, job: EntryRestore) -> AbstractContextManager[None]:
        entry, size = job.entry, None
        if entry.rows >= MANY:
            size = self._dialect.restored_size(
                entry.table, entry.copy, entry.rows, is_new=entry.is_table
            )
        return self.progress.during(f"Restoring {entry}", entry.copy, size, entry.rows)

    def _check_constraints(self, jobs: list[EntryRestore], keys: list[ForeignKey]) -> None:
        """Check all constraints, and those of ``keys`` by adding them again."""
        self._connection.check_constraints(sorted({job.entry.table for job in jobs}))
        for key in keys:
            self.stash.tables.execute(
                f"ALTER TABLE {key.table} ADD CONSTRAINT {key.name} {key.definition}"
            )

    def _drop_foreign_keys(self, jobs: list[EntryRestore]) -> list[ForeignKey]:
        """Drop the foreign keys that are better checked when all rows are there. Those dropped."""
        tables = [job.entry.table for job in jobs if job.entry.is_table]
        if not tables:
            return []
        # For the rows that migrations have written.
        self._dialect.check_foreign_keys_now()
        for job in jobs:
            _ = job.parents  # read while they can still be found
        found = [key for table in tables for key in self._dialect.foreign_keys_to_drop(table)]
        keys = list(dict.fromkeys(found))
        for key in keys:
            self.stash.tables.execute(f"ALTER TABLE {key.table} DROP CONSTRAINT {key.name}")
        return keys

    def _note_nulled(self, job: EntryRestore) -> None:
        for column, count in job.nulled.items():
            rows, they = ("row was", "it refers") if count == 1 else ("rows were", "they refer")
            self.notes.append(
                f"{count} {rows} restored with NULL in {job.entry.table}.{column}: what {they} to "
                f"in {job.parents[column].table} is gone."
            )

    def _settle(self, job: EntryRestore) -> int:
        """Take what was restored out of the stash, and return the number of its rows."""
        self._note_nulled(job)
        entry = job.entry
        missing = [column for column in entry.columns if column not in job.columns]
        gone = [] if entry.id in self.early else [c for c in missing if c not in job.there]
        is_whole = job.rows_restored == entry.rows or not entry.is_table
        if missing and is_whole and not (gone or job.refused):
            # Another migration will restore them, or another branch.
            self.stash.reduce_to(entry, missing)
            return entry.rows
        if missing:
            left = entry.rows
            if gone:
                job.refused[f"{NO_COLUMN}: {', '.join(gone)}"] += left
        else:
            left = 0 if job.rows_restored == entry.rows else job.take_out()
        if not left:
            self.stash.done(entry)
            return entry.rows
        reason = "; ".join(job.refused or _usual_reasons(job))
        self.stash.left(entry, left, reason)
        self.notes.append(
            f"{left} of {entry.rows} row{'s' * (entry.rows != 1)} of {entry} "
            f"stay{'s' * (left == 1)} in the stash: {reason}. "
            f"To look at them: manage.py migrations_stash show {entry.id}"
            + database_option(self._connection)
        )
        return entry.rows if missing else entry.rows - left

    @property
    def _connection(self) -> Any:
        return self.stash.connection

    @property
    def _dialect(self) -> Dialect:
        return self.stash.tables.dialect

    def _transaction(self) -> Any:
        """A transaction that does not check foreign keys before its end."""
        can_defer = self._connection.features.can_defer_constraint_checks
        if self._connection.in_atomic_block and can_defer:
            return transaction.atomic(self._connection.alias)
        return one_transaction(self._connection)

    def _fits(self, entry: Entry) -> bool:
        """Whether there is a place for any of an entry now."""
        return entry.table in self.stash.tables.names and bool(self._columns(entry))

    def _columns(self, entry: Entry) -> list[str]:
        there = self.stash.tables.columns(entry.table)
        return [name for name in entry.columns if name in there]

    def _jobs(self, entries: list[Entry]) -> list[EntryRestore]:
        """Of several entries for one thing, the newest is restored."""
        winners: dict[tuple[str, bool, bool, str], Entry] = {}
        for entry in sorted(entries, key=lambda entry: entry.id):
            winners |= {_thing(entry, name): entry for name in self._columns(entry)}
        jobs = []
        for entry in entries:
            columns = [c for c in self._columns(entry) if winners[_thing(entry, c)] is entry]
            if columns:
                nullable = self._nullable(entry.table)
                jobs.append(EntryRestore(self.stash, entry, columns, nullable))
        return jobs

    def _others(self, job: EntryRestore, jobs: Iterable[EntryRestore]) -> list[EntryRestore]:
        """The jobs that restore more columns of the same rows: a constraint may be over both."""
        return [
            other
            for other in jobs
            if other is not job
            and not (other.entry.is_table or other.entry.is_narrowed or job.entry.is_narrowed)
            and (other.entry.table, other.entry.key) == (job.entry.table, job.entry.key)
            and other.overrides
            and other.rows_identifiable(self.made)
        ]

    def _defaults(
        self, job: EntryRestore, others: Iterable[EntryRestore]
    ) -> dict[str, tuple[str, Sequence[Any]]]:
        """
        SQL and parameters for required columns that are not in the stash.

        And for those that ``others`` have, though maybe not for all rows.
        """
        there = job.there
        wanted = {name for name, info in there.items() if info.is_required} - set(job.columns)
        known = {column for other in others for column in other.columns} - set(job.columns)
        if not wanted | known:
            return {}
        model = self._models().get(job.entry.table)
        found: dict[str, tuple[str, Sequence[Any]]] = {}
        with self._connection.schema_editor(collect_sql=True) as editor:
            for one in model._meta.local_concrete_fields if model else ():
                if one.column in known and one.db_default is not NOT_PROVIDED:
                    found[one.column] = editor.db_default_sql(one)
                elif one.column in wanted and not one.primary_key:
                    default = editor.effective_default(one)
                    if default is not None:
                        found[one.column] = "%s", [default]
        return found

    def _models(self) -> Mapping[str, type[models.Model]]:
        return {m._meta.db_table: m for m in self.apps.get_models(include_auto_created=True)}

    def _nullable(self, table: str) -> set[str]:
        """The foreign keys of a table that get NULL if what they refer to is deleted."""
        model = self._models().get(table)
        return {
            str(one.column)
            for one in (model._meta.local_concrete_fields if model else ())
            if isinstance(one, models.ForeignKey)
            and one.null
            and one.remote_field.on_delete in _SET_NULL
        }

    def _make_room(self, jobs: list[EntryRestore]) -> None:
        """
        Delete the rows that migrations have inserted meanwhile: the stash has those that belong.

        Except for rows that others refer to, or that belong to rows which are not in the stash.
        """
        filled = [job for job in jobs if job.entry.key and not job.is_empty()]
        if not filled:
            return
        children = self._children()
        for job in filled:
            job.move_newcomers(children.get(job.entry.table, []))
            job.delete_known()
        while sum(job.delete_unknown(children.get(job.entry.table, [])) for job in filled):
            pass  # The rows that those referred to may be deleted now.

    def _children(self) -> dict[str, list[tuple[str, str, str]]]:
        """The references to each table: table, column, and the column that it refers to."""
        found: dict[str, list[tuple[str, str, str]]] = {}
        names = self.stash.tables.names
        for model in self.apps.get_models(include_auto_created=True):
            for one in model._meta.local_concrete_fields:
                if isinstance(one, models.ForeignKey) and model._meta.db_table in names:
                    target = one.target_field
                    found.setdefault(target.model._meta.db_table, []).append(
                        (model._meta.db_table, one.column, target.column or "")
                    )
        return found


def _prune(jobs: list[EntryRestore]) -> None:
    """Delete restored rows whose parents are gone, and those that refer to them in turn."""
    while sum(job.delete_orphans() for job in jobs):
        pass


def _returning(entry: Entry, how: Return) -> dict[str, StashedColumn]:
    return {
        name: column._replace(returns=how, stand_in=None) for name, column in entry.columns.items()
    }


def _usual_reasons(job: EntryRestore) -> list[str]:
    """Why rows of an entry stay that the database has not refused."""
    if job.entry.is_table:
        return [THERE]
    if not job.overrides:
        return [OTHERS]
    if not job.entry.has_stand_in:
        return [GONE]
    return [OTHERS] * job.has_left(there=True) + [GONE] * job.has_left(there=False)


def _plain_first(jobs: list[EntryRestore]) -> tuple[list[EntryRestore], list[EntryRestore]]:
    """The jobs without a stand-in, and those with: what is newer may be a stand-in's."""
    found: tuple[list[EntryRestore], list[EntryRestore]] = [], []
    for job in jobs:
        found[job.entry.has_stand_in].append(job)
    return found


def _thing(entry: Entry, column: str) -> tuple[str, bool, bool, str]:
    """What only one entry can restore: a table, or a column that was dropped or narrowed."""
    what = "" if entry.is_table else column
    return entry.table, entry.is_narrowed, entry.has_stand_in, what
