"""
Takes one database from what it holds to what it should hold.

A switch may be killed at any point. How far it got is not recorded as such: a record of that would
have to be believed against the rows of django_migrations, which ``migrate`` and users change as
well. It is read off what is written in the transaction of each step, and the next switch runs as
any other from there, to whatever target:

- The **rows of django_migrations** say which steps are done: a migration that has a transaction is
  rolled back with its row. Each entry of the stash has the steps of the pass that drops it, and
  ``Applied.stage`` (``stash/returns.py``) compares these with the rows. An entry is restored in
  the transaction of the step that is the last to be undone, whichever switch takes that step.
- The **journal** (``running/journal.py``) says which operations are done of a migration that has
  no transaction. ``Execution.run`` takes it up at that operation; then it is decided anew.
- The **status of an entry** says whether its data is still where it was copied from. Until a pass
  begins, it is ``copying`` or ``copied``, and ``Stash.prepare`` discards it. Then it is ``open``,
  and ``Stash.prepare`` brings it up to date, until the transaction of the step that drops it makes
  it ``kept``; or until it is found to be gone, after a kill in a work tree. What is left in
  a narrowed column is only known at the end of a switch, so until then it is ``open``, too.
- The **file of snapshots** says from which texts, and of which branch, migrations were about to be
  applied (``running/begun.py``). So what was applied last has a source, and the steps of a detour
  (``detours.py``) are phantoms, or pending, when one is killed on it.

What none of these shows is named: ``Outlook.overdue`` has what should have come back after a pass
in a work tree, or by a detour after the last step. After that step nothing is left to do, and
``settle`` writes the snapshot.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.hooks.state import UNTOLD, HookState, StateError
from django_devtools.branches.planning.classify import states_after_switch
from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import GitError
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import DETACHED, NotWritten

from .decision import Decision, Workspace, compare_with_target, decide
from .progress import Progress

if TYPE_CHECKING:
    from django_devtools.branches.running.journal import JournalEntry
    from django_devtools.branches.stash.transfer import Report

logger = logging.getLogger("django_devtools.branches")


class Switch:
    """
    The switch of one database.

    ``decision`` is what is known and wanted. It never changes: a new look makes a new one.
    """

    def __init__(
        self, connection: BaseDatabaseWrapper, workspace: Workspace, options: Options
    ) -> None:
        """Look and decide. Raises SnapshotError, SwitchError and TargetError."""
        self.connection = connection
        self.workspace = workspace
        self.options = options
        self.decision = self._look()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return self.decision.has_work

    def check(self) -> None:
        """Raise SwitchError where the plan can't be carried out, before anything is changed."""
        if self.decision.plan is None:
            return
        # A switch with nothing to do comes here, too, and needs none of it.
        from .preconditions import refusal

        if words := refusal(self.decision):
            raise SwitchError(words)

    def run(self, progress: Progress, interactive: bool) -> "Report":
        """
        Carry out what was decided, after ``check``.

        Raises whatever a migration raises, and SwitchError where a work tree's process fails.
        What was done until then is recorded; running again goes on from there.
        """
        from django_devtools.branches.running.begun import strike_out
        from django_devtools.branches.stash.transfer import Report

        report = Report()
        report.notes += self._tell_hooks()
        try:
            return self._run(report, progress, interactive)
        except BaseException:  # Ctrl-C, too
            # It may be the connection that was lost.
            with suppress(Exception):
                strike_out(self.connection, self.workspace.snapshot_file)
            raise

    def settle(self) -> list[str]:
        """
        Where there was nothing to do, see to it that the snapshot of this branch says so.

        Returns what users should know about it.
        """
        comparison = self.decision.comparison
        snapshot = comparison.provenance.snapshots.get(comparison.target.past.branch or DETACHED)
        is_recorded = (
            snapshot and snapshot.says(comparison.rows) and not comparison.provenance.begun
        )
        if self.options.target is None and not is_recorded:
            return self._record()
        return []

    def _compare(self) -> Comparison:
        return compare_with_target(self.connection, self.workspace, self.options)

    def _look(self) -> Decision:
        return decide(self.connection, self.workspace, self.options, self._compare())

    def _look_again(self) -> None:
        """Decide anew about what the database holds by now, and check that, too."""
        self.decision = self._look()
        self.check()

    def _tell_hooks(self) -> list[str]:
        """Have the hooks look at the databases again. What users should know about it."""
        if self.workspace.repository is None:
            return []
        try:
            HookState(self.workspace.repository).changed()
        except StateError as error:
            return [f"{error} {UNTOLD}"]
        return []

    def _run(self, report: "Report", progress: Progress, interactive: bool) -> "Report":
        from .execution import Execution

        if self.decision.interrupted:
            with _naming_interrupted(self.decision.interrupted):
                Execution(self.decision, report, progress, interactive).run()
            self._look_again()
        # With nothing to do, too: receivers of post_migrate wait for what was interrupted.
        Execution(self.decision, report, progress, interactive).run()
        # The same may have been in the way before.
        report.notes += [note for note in self._record() if note not in report.notes]
        return report

    def _record(self) -> list[str]:
        """Write the snapshot of what the database now holds. What users should know about it."""
        from django_devtools.branches.planning.recording import snapshot_of
        from django_devtools.branches.running.begun import not_recorded

        comparison, plan = self.decision.comparison.whole, self.decision.plan
        target, repository = comparison.target, self.workspace.repository
        if target.listed_apps is not None:
            return []
        rows = read_rows(self.connection)
        left = plan.left_as_is if plan is not None else set()
        states = states_after_switch(rows, target.code.migrations, left)
        branch = target.past.branch or DETACHED
        snapshot, texts = snapshot_of(comparison, branch, rows, states)
        database, snapshot_file = database_id(self.connection), self.workspace.snapshot_file
        try:
            if repository:
                repository.store(texts)
            snapshot_file.update(database, [snapshot], rows=rows)
        except (GitError, NotWritten) as error:
            return [not_recorded(error)]
        return []


@contextmanager
def _naming_interrupted(interrupted: "JournalEntry") -> Iterator[None]:
    """Raise SwitchError where what an earlier run began fails again, unless rows don't fit."""
    name = ".".join(interrupted.key)
    logger.debug("Finishing %s, which was interrupted", name)
    try:
        yield
    except UnfitRows:
        raise
    except Exception as error:
        raise SwitchError(
            f"{name} was interrupted, and can't be finished: {type(error).__name__}: {error}. "
            "Fix what it reports and run this again. Or repair the database by hand and run "
            "`manage.py migrations_switch --forget-interrupted`."
        ) from error
