"""
Looks at one database and decides what a switch is to do. Changes nothing.

What forbids it: ``preconditions.py``.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.comparison import (
    Comparison,
    compare,
    compare_managestate,
)
from django_devtools.branches.planning.policy import (
    Irreversible,
    Options,
    configured,
    switch_command,
)
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.history import Fetched
from django_devtools.branches.sources.loader import Code
from django_devtools.branches.sources.snapshot_file import NotOurs, SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import TABLE_PREFIX

if TYPE_CHECKING:
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.running.journal import JournalEntry
    from django_devtools.branches.running.worktree import Inspections

    from .outlook import Outlook

logger = logging.getLogger("django_devtools.branches")


class _Workspace(NamedTuple):
    """The fields of a workspace."""

    repository: Repository | None
    snapshot_file: SnapshotFile
    disk: Code
    began: str = ""
    """When the command began that works there."""


class Workspace(_Workspace):
    """Where a switch works: the repository, its snapshots, and the code of the checkout."""

    @cached_property
    def inspections(self) -> "Inspections":
        """What work trees have told this command."""
        from django_devtools.branches.running.worktree import Inspections

        return Inspections()


class _Decision(NamedTuple):
    """The fields of a decision."""

    connection: BaseDatabaseWrapper
    workspace: Workspace
    options: Options
    comparison: Comparison
    our_tables: Collection[str]
    """The tables of this package that the database has: the stash and the journal."""
    interrupted: "JournalEntry | None"
    """The migration that an earlier run began and did not finish."""
    foreseen: "Outlook | None"
    """What is to be done; None where database and target are in step."""


class Decision(_Decision):
    """What was found in one database, and what a switch is to do about it."""

    @property
    def has_work(self) -> bool:
        """Whether there is anything to do, or anything that can't be done."""
        if self.our_tables:
            from django_devtools.branches.running.journal import TABLE

            # What was interrupted may have been finished by hand since.
            if TABLE in self.our_tables:
                return True
        if self.plan is not None and bool(self.plan or self.plan.missing_sources):
            return True
        return self.is_detour_due

    @property
    def is_detour_due(self) -> bool:
        """Whether a run took its last step, and was killed before the detour after that."""
        has_begun = bool(self.comparison.provenance.begun)
        return has_begun and self.has_stash and self.outlook.has_detours

    @property
    def has_stash(self) -> bool:
        """Whether the stash has anything in it."""
        if not self.our_tables:
            return False
        from django_devtools.branches.stash.entries import ENTRIES_TABLE

        return ENTRIES_TABLE in self.our_tables

    @property
    def fetched(self) -> dict[Key, Fetched]:
        """What the plan lacks, and only commits have that were fetched and not checked out."""
        missing = self.plan.missing_sources if self.plan is not None else ()
        return self.comparison.provenance.history.fetched(missing)

    @property
    def is_remembered(self) -> bool:
        """Whether a person has said what becomes of something that can't be unapplied."""
        if self.plan is None:
            return False
        on_record = self.comparison.answers() if not self.options.irreversible else {}
        said = {*on_record, *self.said}
        return not said.isdisjoint({*self.plan.kept, *self.outlook.emptied})

    @property
    def said(self) -> dict[Key, Irreversible]:
        """What a person has said with this switch about what can't be unapplied, and counts."""
        if self.plan is None:
            return {}
        kept = dict.fromkeys(self.plan.kept, Irreversible.KEEP)
        found = kept | dict.fromkeys(self.outlook.emptied, Irreversible.NOOP)
        if self.options.irreversible in (Irreversible.KEEP, Irreversible.NOOP):
            return found
        return {key: choice for key, choice in found.items() if key in self.options.answers}

    def command(self, *more: str) -> str:
        """The command that goes to the same target with this database, and ``more`` options."""
        # Only messages have it.
        from django_devtools.branches.progress import database_option

        return switch_command(self.options, *more) + database_option(self.connection)

    @property
    def plan(self) -> "Plan | None":
        """What to do; None where database and target are in step."""
        return self.foreseen.plan if self.foreseen else None

    @cached_property
    def outlook(self) -> "Outlook":
        """The same with what it does to data; without steps where they are in step."""
        return self.foreseen or _outlook(
            self.comparison, self.options, self.workspace, is_interrupted=False
        )


def compare_with_target(
    connection: BaseDatabaseWrapper, workspace: Workspace, options: Options
) -> Comparison:
    """Compare a database with the target of ``options``. Raises SnapshotError and TargetError."""
    repository, snapshot_file = workspace.repository, workspace.snapshot_file
    try:
        target, trusted = options.target, options.trusted
        disk, undo = workspace.disk, options.undo
        return compare(connection, repository, snapshot_file, disk, target, trusted, undo)
    except NotOurs:
        name = options.target or "default"
        last = snapshot_file.read_managestate(name)
        if last is None:
            raise
        return compare_managestate(
            connection, repository, workspace.disk, name, last, options.trusted
        )


def decide(
    connection: BaseDatabaseWrapper, workspace: Workspace, options: Options, comparison: Comparison
) -> Decision:
    """Decide what to do about a comparison. Raises SwitchError where a work tree can't tell."""
    our_tables = _our_tables(connection)
    interrupted = _interrupted(connection, comparison, options) if our_tables else None
    reruns = options.rerun and bool(comparison.raw_changed)
    foreseen = None
    if reruns or not comparison.in_step():
        foreseen = _outlook(comparison, options, workspace, is_interrupted=interrupted is not None)
        comparison = foreseen.comparison
    facts = connection, workspace, options, comparison, our_tables, interrupted
    decision = Decision(*facts, foreseen)
    if logger.isEnabledFor(logging.DEBUG):
        _log(decision)
    return decision


def left_by_a_switch(
    connection: BaseDatabaseWrapper, workspace: Workspace, comparison: Comparison
) -> set[Key]:
    """What a switch would leave applied: it can't be unapplied, or what can't be needs it."""
    decision = leaving(connection, workspace, comparison)
    return set() if decision is None or decision.plan is None else {*decision.plan.left_applied}


def leaving(
    connection: BaseDatabaseWrapper, workspace: Workspace, comparison: Comparison
) -> Decision | None:
    """What a switch would decide that may leave something applied; None if it refuses to look."""
    with suppress(SwitchError):
        if _may_leave(comparison):
            return decide(connection, workspace, Options(), comparison)
    return None


def _may_leave(comparison: Comparison) -> bool:
    """Whether anybody has said that something stays applied. If not, no plan has to be made."""
    if not (comparison.traces or comparison.changed):
        return False
    if Irreversible.KEEP in comparison.answers().values():
        return True
    return configured(comparison.provenance.repository) is Irreversible.KEEP


def _our_tables(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        found = connection.introspection.table_names(cursor)
    # Some servers list names in other cases than they were made with.
    return {name.lower() for name in found if name.lower().startswith(TABLE_PREFIX)}


def _interrupted(
    connection: BaseDatabaseWrapper, comparison: Comparison, options: Options
) -> "JournalEntry | None":
    """The migration that is to be finished first."""
    from django_devtools.branches.running.journal import Journal

    entry = Journal(connection).entry()
    if entry and _is_settled(entry, comparison, options):
        logger.debug("%s was interrupted, and is settled", _name(entry.key))
        return None
    return entry


def _is_settled(entry: "JournalEntry", comparison: Comparison, options: Options) -> bool:
    """Whether someone has finished by hand what was interrupted, or says so."""
    by_hand = (entry.key in comparison.rows) is not entry.backwards
    return by_hand or options.forget_interrupted


def _outlook(
    comparison: Comparison, options: Options, workspace: Workspace, is_interrupted: bool
) -> "Outlook":
    # Imported here, because most databases are in step and have no use for it.
    from .outlook import Outlook, foresee

    look = Outlook if is_interrupted else foresee
    return look(comparison, options, workspace.inspections)


def _log(decision: Decision) -> None:
    alias, target = decision.connection.alias, decision.comparison.target.title
    if decision.interrupted:
        logger.debug("%s: %s was interrupted", alias, _name(decision.interrupted.key))
    plan = decision.plan
    if plan is None:
        logger.debug("%s: in step with %s", alias, target)
        return
    logger.debug("%s: out of step with %s", alias, target)
    decisions = (
        ("unapply", plan.unapply),
        ("forget", plan.forget),
        ("record", plan.record),
        ("apply", plan.apply),
        ("leave applied, as it can't be unapplied", plan.left_applied),
        ("leave changed, as rolling back would empty what both sides have", plan.not_rolled_back),
        ("refuse, as its source is missing", plan.missing_sources),
    )
    for what, keys in decisions:
        for key in keys:
            state = plan.states.get(key)
            source = decision.comparison.held_source(key)
            trace = decision.comparison.traces.get(key)
            logger.debug(
                "%s: %s: %s (%s; origin: %s; source: %s)",
                alias,
                _name(key),
                what,
                state.value if state else "not in the target",
                trace.origin.name.lower() if trace else "the target",
                source,
            )


def _name(key: Key) -> str:
    return ".".join(key)
