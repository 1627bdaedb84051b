"""
Takes one database from what it holds to what it should hold.

It may be killed at any point: see ``resume.py``.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.errors import Interrupted
from django_devtools.branches.hooks.state import UNTOLD, HookState, StateError
from django_devtools.branches.planning.classify import states_after_switch
from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.policy import Irreversible, Options
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import GitError
from django_devtools.branches.sources.remembered import Answer, LastSwitch
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import NotWritten
from django_devtools.branches.sources.snapshots import DETACHED, Key, SnapshotError

from .decision import Decision, Workspace, compare_with_target, decide
from .progress import Progress

if TYPE_CHECKING:
    from django_devtools.branches.stash.transfer import Report

logger = logging.getLogger("django_devtools.branches")


class Switch:
    """
    The switch of one database.

    ``decision`` is what is known and wanted. It never changes: a new look makes a new one, and so
    does ``consider``.
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
        from .preconditions import check

        check(self.decision)

    def run(self, progress: Progress, interactive: bool) -> "Report":
        """
        Carry out what was decided, after ``check``.

        Raises whatever a migration raises, SwitchError where a work tree's process fails, and
        Interrupted instead of KeyboardInterrupt. What was done until then is recorded; running
        again goes on from there.
        """
        from django_devtools.branches.running.begun import strike_out
        from django_devtools.branches.running.observer import observed
        from django_devtools.branches.stash.transfer import Report

        report = Report()
        report.notes += self._tell_hooks()
        label = f"Switching database '{self.connection.alias}'"
        report.notes += self.remember()
        if not self.decision.interrupted:
            self._begin()
        try:
            with observed(self.connection, progress, label):
                return self._run(report, progress, interactive)
        except BaseException as error:  # Ctrl-C, too
            # It may be the connection that was lost.
            with suppress(Exception):
                strike_out(self.connection, self.workspace.snapshot_file, self.workspace.began)
            if _is_ctrl_c(error):
                from .resume import what_was_left

                raise Interrupted(what_was_left(self.connection, progress)) from None
            raise

    def consider(self, answers: Mapping[Key, Irreversible]) -> None:
        """Decide anew with what the user says of migrations that can't be unapplied."""
        answers = {**self.options.answers, **answers}
        self.options = self.options._replace(answers=answers)
        comparison = self.decision.comparison.whole
        self.decision = decide(self.connection, self.workspace, self.options, comparison)

    def remember(self) -> list[str]:
        """
        Have the next switches do the same about what can't be unapplied.

        Before anything is changed, so that a switch that is killed goes on with the same answers.
        Returns what users should know about it.
        """
        comparison = self.decision.comparison
        said = {} if comparison.target.listed_apps is not None else self.decision.said
        answers = {
            key: _answer(comparison, key, choice)
            for key, choice in said.items()
            if key in comparison.rows
        }
        # With ASK, the command forgets what was remembered.
        is_asked = self.options.irreversible is Irreversible.ASK
        remembered = {} if is_asked else comparison.remembered
        if all(remembered.get(key) == answer for key, answer in answers.items()):
            return []
        try:
            self.workspace.snapshot_file.remember(database_id(self.connection), answers)
        except NotWritten as error:
            return [f"What was said about {_names(answers)} is not remembered: {error}"]
        return []

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
        is_checkout = self.options.target is None and not self.options.undo
        if is_checkout and not is_recorded:
            return self._record(began=None)
        return []

    def _begin(self) -> None:
        """Record what `--undo` has to know, if that can be written."""
        from django_devtools.branches.planning.recording import last_held

        comparison, outlook = self.decision.comparison.whole, self.decision.outlook
        changes_rows = self.decision.plan or self.decision.interrupted
        if comparison.target.listed_apps is not None or not changes_rows:
            return
        branch, plan = outlook.held_branch(), outlook.plan
        before, left, texts = last_held(comparison, branch, plan.states, outlook.left)
        switch = LastSwitch(
            self.workspace.began,
            before,
            self._not_undone(),
            left=left,
            about=self._about(),
            roll_back_shared=self.options.roll_back_shared,
            rerun=self.options.rerun,
        )
        database, snapshot_file = database_id(self.connection), self.workspace.snapshot_file
        try:
            if self.workspace.repository and texts:
                self.workspace.repository.store(texts)
            snapshot_file.begin(database, switch, comparison.rows)
        except (GitError, SnapshotError) as error:
            # What else is to be recorded says so. Or it is the name of a branch that is left.
            logger.debug("%s: not recorded for --undo: %s", self.connection.alias, error)

    def _about(self) -> set[Key]:
        """The migrations that are about to be applied or unapplied."""
        plan, interrupted = self.decision.outlook.plan, self.decision.interrupted
        keys = {*plan.unapply, *plan.forgotten, *plan.recorded, *plan.apply}
        # Django writes and deletes the rows of what a squash replaces, and its own with these.
        for key, squash in (*plan.held.replacements.items(), *plan.wanted.replacements.items()):
            family = {key, *((app, name) for app, name in squash.replaces)}
            keys |= family if keys & family else set()
        return keys | {interrupted.key} if interrupted else keys

    def _not_undone(self) -> list[str]:
        """What taking this switch back would not bring back, or do once more."""
        outlook = self.decision.outlook
        notes = [
            f"{'.'.join(key)} is applied again, and what it ran before was never taken back."
            for key in outlook.emptied
        ]
        if not self.options.stash:
            losses = [(loss, outlook.rows(loss)) for loss in outlook.losses()]
            notes += [
                f"{loss} comes back without the values of {rows} row{'s' * (rows != 1)}, which "
                "were dropped with --no-stash."
                for loss, rows in losses
                if rows
            ]
        return notes

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
        from .effort import pace_of
        from .execution import Execution

        if self.decision.interrupted:
            from .resume import naming_interrupted

            with naming_interrupted(self.decision.interrupted):
                Execution(self.decision, report, progress, interactive).run()
            self._look_again()
            # Until then it is the work of the last switch, and `--undo` has to find that one.
            self._begin()
            report.notes += self.remember()
        # With nothing to do, too: receivers of post_migrate wait for what was interrupted.
        Execution(self.decision, report, progress, interactive).run()
        # The same may have been in the way before.
        pace = pace_of(report.saved + report.restored, progress.copying)
        notes = self._record(self.workspace.began, pace)
        report.notes += [note for note in notes if note not in report.notes]
        return report

    def _record(self, began: str | None, pace: float = 0.0) -> list[str]:
        """
        Write the snapshot of what the database now holds, and that the switch of then has ended.

        Returns what users should know about it.
        """
        from django_devtools.branches.planning.recording import snapshot_of
        from django_devtools.branches.running.begun import not_recorded

        comparison, plan = self.decision.comparison.whole, self.decision.plan
        target, repository = comparison.target, self.workspace.repository
        if target.listed_apps is not None:
            return []
        rows = read_rows(self.connection)
        left = {*target.left, *(plan.left_as_is if plan is not None else ())}
        wanted = target.code.migrations.keys() - {*target.left}
        states = states_after_switch(rows, wanted, left)
        branch = target.past.branch or DETACHED
        snapshot, texts = snapshot_of(comparison, branch, rows, states)
        database, snapshot_file = database_id(self.connection), self.workspace.snapshot_file
        try:
            if repository:
                repository.store(texts)
            snapshot_file.update(database, [snapshot], rows=rows, began=began, pace=pace)
        except (GitError, NotWritten) as error:
            return [not_recorded(error)]
        return []


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether it is Ctrl-C, or came of it: PyMySQL's connections do not survive one."""
    found: BaseException | None = error
    while found and not isinstance(found, KeyboardInterrupt):
        found = found.__context__
    return found is not None


def _answer(comparison: Comparison, key: Key, choice: Irreversible) -> Answer:
    source = comparison.held_source(key)
    branch = source.branch if source and source.branch else ""
    return Answer(choice, comparison.texts.id(source), comparison.rows[key], branch)


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(map(".".join, keys))
