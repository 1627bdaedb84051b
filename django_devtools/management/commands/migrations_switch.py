import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.decision import Decision, Workspace
from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.hooks.projects import pathspecs
from django_devtools.branches.hooks.state import HookState, StateError
from django_devtools.branches.hooks.without_app import ADDED
from django_devtools.branches.planning.policy import Irreversible, Options, switch_command
from django_devtools.branches.progress import Progress, database_option
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.loader import listed_operations
from django_devtools.branches.sources.remembered import LastSwitch
from django_devtools.branches.sources.snapshots import DETACHED, Key, Snapshot
from django_devtools.branches.switch import Switch
from django_devtools.branches.ticker import took
from django_devtools.conf import takes_snapshots
from django_devtools.management.base import (
    ACCEPT,
    CTRL_C,
    INTERRUPTED,
    BranchesCommand,
    ask,
    database_may_fail,
    listed,
    notice_of_edited_code,
    notice_of_incomparable,
    notices_of_irreversible,
    notices_of_side_effects,
    notices_of_unclaimed,
    prompt,
    require_debug,
    target_commit,
    why_left,
)
from django_devtools.management.tenants import work_for_all

if TYPE_CHECKING:
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.schema.changes import DataLoss

UNFINISHED = "finish what was interrupted"
SHARED_ROWS = "rows of tables that both sides have"


class Command(BranchesCommand):
    progress: Progress
    help = (
        "Updates the databases to match the code of this checkout, of a branch or of any git ref. "
        "Unapplies the migrations of other branches, and applies the missing ones."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "target",
            nargs="?",
            metavar="TARGET",
            help="A branch that has a snapshot, any git ref, or - for what was checked out "
            "before. Defaults to this checkout.",
        )
        parser.add_argument(
            "--plan",
            action="store_true",
            help="Shows a list of the actions that would be performed, without performing them.",
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="Exits with a non-zero status if there is anything to do, without doing it.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Outputs what --plan shows as JSON."
        )
        parser.add_argument(
            "--undo",
            action="store_true",
            help="Takes back the last switch: the databases get what they had before it.",
        )
        parser.add_argument(
            "--irreversible",
            choices=[choice.value for choice in Irreversible],
            help="What to do about migrations that can't be unapplied: fail, keep them applied, "
            "or (noop) treat RunPython and RunSQL without a reverse as empty. The last two are "
            "remembered for each migration; ask forgets that, and asks at a terminal. Defaults "
            "to what is remembered or configured.",
        )
        parser.add_argument(
            "--roll-back-shared",
            action="store_true",
            help="Rolls changed migrations back even if that takes along migrations or rows that "
            "both sides share.",
        )
        parser.add_argument(
            "--rerun",
            action="store_true",
            help="Unapplies and reapplies migrations whose RunPython or RunSQL was edited.",
        )
        parser.add_argument(
            "--forget-interrupted",
            action="store_true",
            help="Does not finish an interrupted migration. Use it after repairing the database.",
        )
        parser.add_argument(
            "--no-stash",
            action="store_false",
            dest="stash",
            help="Drops tables and columns without saving their data in the stash.",
        )
        parser.add_argument(
            "--trust",
            action="append",
            default=[],
            metavar="REF",
            help="Runs code in the history of this ref although it was only fetched, and never "
            "checked out here. Can be given several times.",
        )
        parser.add_argument(
            "--allow-debug-off", action="store_true", help="Runs even if DEBUG is off."
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Tells the command to NOT prompt the user for input of any kind.",
        )

    done: list[Switch]
    """What was done, or had not to be."""
    undone: Mapping[str, LastSwitch] = {}
    """The switches that are taken back, by the aliases of the databases."""

    def work(self, options: dict[str, Any]) -> None:
        if options["undo"] and options["target"]:
            raise CommandError("--undo knows where to go: leave out TARGET.")
        looks_only = options["plan"] or options["check"] or options["json"]
        if not (looks_only or options["allow_debug_off"]):
            require_debug(
                "DEBUG is off: this may be production, and a switch can drop tables. "
                "To switch all the same, run `manage.py migrations_switch --allow-debug-off`."
            )
        self.interactive = options["interactive"] and sys.stdin is not None and sys.stdin.isatty()
        self.done = []
        work_for_all(self, options, lambda: self._look_or_switch(looks_only, options))
        self._notice_other_branch(self.done)
        if not (looks_only or options["target"] or options["databases"] or options["undo"]):
            self._tell_hooks()

    def _look_or_switch(self, looks_only: bool, options: dict[str, Any]) -> None:
        self.began = time.monotonic()
        self.progress = Progress(self.stdout, self.style, self.verbosity)
        if looks_only:
            self._look(self._switches(self.workspace(options), options), options)
        else:
            self._switch_or_say_how_to_go_on(options)

    def _switches(self, workspace: Workspace, options: dict[str, Any]) -> list[Switch]:
        wishes = Options(
            options["target"],
            Irreversible(options["irreversible"]) if options["irreversible"] else None,
            options["roll_back_shared"],
            options["rerun"],
            options["forget_interrupted"],
            options["stash"],
            tuple(options["trust"]),
            options["undo"],
        )
        connections = self.connections(options)
        if options["undo"]:
            connections = self._switched_last(workspace, connections)
        with self.progress.meanwhile("Comparing the databases with the target"):
            return [Switch(one, workspace, self._wishes(wishes, one)) for one in connections]

    def _wishes(self, options: Options, connection: BaseDatabaseWrapper) -> Options:
        """``options``, with those of the last switch that taking it back needs as well."""
        last = self.undone.get(connection.alias)
        if last is None:
            return options
        return options._replace(
            roll_back_shared=options.roll_back_shared or last.roll_back_shared,
            rerun=options.rerun or last.rerun,
        )

    def _switched_last(
        self, workspace: Workspace, connections: list[BaseDatabaseWrapper]
    ) -> list[BaseDatabaseWrapper]:
        """Those that the last switch has changed; all of them if there was none."""
        recorded = workspace.snapshot_file.read_all().last
        switches = {one.alias: recorded.get(database_id(one)) for one in connections}
        every = [one for one in switches.values() if one]
        last = max((one.at for one in every), default="")
        # One of them may have gone on with what failed there, and was done in others.
        times = {at for one in every if one.at == last for at in one.times}
        self.undone = {alias: one for alias, one in switches.items() if one and one.times & times}
        return [one for one in connections if one.alias in self.undone] or connections

    def _look(self, switches: list[Switch], options: dict[str, Any]) -> None:
        if options["json"]:
            self._print_json(switches)
        elif options["plan"]:
            for switch in switches:
                self._show_plan(switch)
            self._notice_other_branch(switches)
        if options["check"] and any(switches):
            if not options["json"]:
                self._say_what_differs(filter(None, switches))
            sys.exit(1)

    def _print_json(self, switches: list[Switch]) -> None:
        from django_devtools.management.as_json import plan_as_json

        self.print_json([plan_as_json(switch) for switch in switches])

    def _say_what_differs(self, switches: Iterable[Switch]) -> None:
        from django_devtools.management.annotations import annotation, file_of, runs_on_github

        for switch in switches:
            text, plan = self._what_differs(switch), switch.decision.plan
            if runs_on_github():
                keys = [*plan.apply, *plan.unapply] if plan is not None else []
                text = annotation(text, file_of(switch.workspace, keys[0]) if keys else None)
            self.write(text)

    def _what_differs(self, switch: Switch) -> str:
        decision, plan, parts = switch.decision, switch.decision.plan, []
        if decision.interrupted:
            parts.append(f"finish {_name(decision.interrupted.key)}")
        if plan is not None:
            for word, keys in _actions(plan):
                parts += [f"{word} {listed(keys, self.verbosity)}"] if keys else []
            if missing := plan.missing_sources:
                parts.append(f"the source of {listed(missing, self.verbosity)} was not found")
        return (
            f"Database '{switch.connection.alias}' is out of step with "
            f"{decision.comparison.target.title}: {', '.join(parts) or UNFINISHED}. "
            f"To see each step: {decision.command('--plan')}"
        )

    def _switch_or_say_how_to_go_on(self, options: dict[str, Any]) -> None:
        try:
            workspace = self.workspace(options)
            with (
                self.progress,
                database_may_fail(
                    lambda: (
                        f"Once that is fixed, {self._how_to_resume(options)} Use --traceback "
                        "to see where it stopped."
                    )
                ),
                self.locked(workspace.snapshot_file, self.progress),
            ):
                self._switch(workspace, options)
        except UnfitRows as error:
            words = f"{error}\nChange or delete them, and {self._how_to_resume(options)}"
            raise CommandError(words) from error
        except KeyboardInterrupt as error:
            command = self._command_to_resume(options)
            words = f"{str(error) or INTERRUPTED}\nTo continue, run `{command}`"
            raise CommandError(words, returncode=CTRL_C) from None

    def _how_to_resume(self, options: dict[str, Any]) -> str:
        command = self._command_to_resume(options)
        if options["undo"]:  # Another one would take back what this one has done.
            return f"run `{command}`; it resumes where this run stopped."
        return f"run `{command}` again; it resumes where this run stopped."

    def _command_to_resume(self, options: dict[str, Any]) -> str:
        """What goes on from here: where an undoing goes, if it has begun, has a name."""
        undo = options["undo"] and not self.undone
        last = max(self.undone.values(), key=lambda one: one.at, default=None)
        target = _name_of(last.before) if last else options["target"]
        databases = [f"--database={alias}" for alias in options["databases"] or ()]
        return switch_command(Options(target, undo=undo), *databases)

    def _switch(self, workspace: Workspace, options: dict[str, Any]) -> None:
        switches = self._switches(workspace, options)
        if self.interactive and (trusted := self._trusts_fetched(switches)):
            options = {**options, "trust": [*options["trust"], *trusted]}
            switches = self._switches(workspace, options)
        if self.interactive and self._agrees_to_shared(switches):
            switches = self._switches(workspace, {**options, "roll_back_shared": True})
        forgets = options["irreversible"] == Irreversible.ASK
        if self.interactive and (forgets or options["irreversible"] is None):
            for switch in switches:
                self._ask_about_irreversible(switch)
        elif forgets:  # Nobody can be asked, nor say that all is to stay as it is.
            self._forget_answers(workspace, options)
        for switch in switches:
            switch.check()
        if self.interactive and not options["stash"]:
            self._confirm_losses(switches)
        if self.interactive and forgets:
            self._forget_answers(workspace, options)
        has_work = any(switches)
        for switch in switches:
            self._run(switch)
        if has_work:
            self.write(f"Done {took(time.monotonic() - self.began)}.")
        self.done += switches

    def _forget_answers(self, workspace: Workspace, options: dict[str, Any]) -> None:
        for connection in self.connections(options):
            forgotten = workspace.snapshot_file.forget(database_id(connection))
            for key, answer in sorted(forgotten.items()):
                self.write(f"Forgotten: what to do about {_name(key)} ({answer.choice}).")
        if workspace.repository:
            # Hooks may have nothing to do as long as this is remembered.
            HookState(workspace.repository).changed()

    def _ask_about_irreversible(self, switch: Switch) -> None:
        """Ask about what is in the way, one by one: what is left may need others of them."""
        # Without a source, it is refused whatever a person says.
        while (plan := switch.decision.plan) is not None and not plan.missing_sources:
            stuck = switch.decision.outlook.irreversible
            if not stuck:
                return
            key = min(stuck, key=plan.unapply.index)
            switch.consider({key: self._ask_what_to_do(switch.decision, key)})

    def _ask_what_to_do(self, decision: Decision, key: Key) -> Irreversible:
        """What to do about a migration. Raises CommandError if it is to stop."""
        choices = {"keep": Irreversible.KEEP, "noop": Irreversible.NOOP}
        if decision.outlook.policy.of(key) is Irreversible.NOOP:
            del choices["noop"]  # It was tried, and does not help.
        from django_devtools.branches.side_effects import described, side_effects_if_kept

        alias, target = decision.connection.alias, decision.comparison.target.title
        self.stdout.write(
            f"{_name(key)} can't be unapplied: it has no reverse. Database '{alias}' goes to "
            f"{target}."
        )
        meanings = {
            "keep": f"leave it applied{_with_needed(decision, key)}",
            "noop": "treat its RunPython and RunSQL as empty: what they did stays",
        }
        for choice in choices:
            self.stdout.write(f"    {choice}  {meanings[choice]}")
            if choice == "keep":
                for failure in described(side_effects_if_kept(decision, [key]), target):
                    self.stdout.write(self.style.WARNING(f"          {failure.words}"))
        self.stdout.write("    stop  leave the databases alone")
        answer = prompt(f"Type {', '.join(map(repr, choices))} or 'stop': ")
        while answer not in choices:
            if answer in ("", "stop", "no", "n"):
                raise CommandError("Switch cancelled. Nothing was changed.")
            answer = prompt(f"Type {', '.join(map(repr, choices))} or 'stop': ")
        return choices[answer]

    def _tell_hooks(self) -> None:
        """Tell hooks, and prompts if there are any, that all databases were brought into step."""
        if self.repository is None:
            return
        state, commit = HookState(self.repository), target_commit(self.done)
        # As in the hooks: what was changed and left is not in step, and without the app, `migrate`
        # would not tell them to look again.
        is_left = any(_leaves_changed(one.decision.plan) for one in self.done)
        try:
            if commit is None or is_left or ADDED in os.environ or not state.is_awaited(commit):
                state.settled()
            else:
                disk = self.done[0].workspace.disk
                state.in_step(commit, pathspecs(self.repository, disk))
        except StateError as error:
            self.notice(str(error))

    def _run(self, switch: Switch) -> None:
        if switch:
            self._run_plan(switch)
        else:
            self._report_nothing_to_do(switch)

    def _run_plan(self, switch: Switch) -> None:
        decision = switch.decision
        what = _summary(decision.plan) if decision.plan else UNFINISHED
        label = f"  Switch {_database(switch)} to {decision.comparison.target.title}: "
        self.write(self.style.MIGRATE_HEADING("Operations to perform:"))
        self.write(self.style.MIGRATE_LABEL(label) + what)
        self.write(self.style.MIGRATE_HEADING("Running migrations:"))
        report = switch.run(self.progress, self.interactive)
        for line in report.cut:
            self.write(line)
        for note in report.notes:
            self.notice(note)
        # By now, what it holds may be another decision.
        for note in notices_of_irreversible(switch.decision):
            self.notice(note)
        self._notice_unclaimed(switch.decision)
        self._notice_left_alone(switch.decision, decision.plan)

    def _report_nothing_to_do(self, switch: Switch) -> None:
        decision = switch.decision
        where = f"{_database(switch)} is in step with {decision.comparison.target.title}."
        plan = decision.plan
        is_left = plan is not None and (plan.not_rolled_back or plan.left_applied)
        if is_left or decision.comparison.applied_in_part():
            where = f"{_database(switch)} is left as it is."
        self.write(f"Nothing to do: {where}")
        if decision.has_stash:
            decision.outlook.stash.finish()
        for note in switch.remember():
            self.notice(note)
        if takes_snapshots():
            for note in switch.settle():
                self.notice(note)
        for entry in decision.outlook.overdue() if decision.has_stash else ():
            branch = f" (from {entry.branch})" if entry.branch else ""
            self.notice(
                f"The stash has data that could be restored: {entry}{branch}. "
                f"To restore it: manage.py migrations_stash restore {entry.id}"
                + database_option(switch.connection)
            )
        for note in notices_of_irreversible(decision):
            self.notice(note)
        self._notice_unclaimed(decision)
        self._notice_left_alone(decision, decision.plan)

    def _notice_unclaimed(self, decision: Decision) -> None:
        """Name the columns that nothing here has made, where the code is that of the target."""
        if decision.options.target is None and not decision.options.undo:
            for note in notices_of_unclaimed(decision):
                self.notice(note)

    def _notice_other_branch(self, switches: Iterable[Switch]) -> None:
        """Say how to get to the branch of the databases, where another one is checked out."""
        decisions = [switch.decision for switch in switches]
        named = [one for one in decisions if one.options.target or one.options.undo]
        branches = {one.comparison.target.past.branch for one in named}
        for branch in sorted(filter(None, branches)):
            repository = named[0].workspace.repository
            if repository and repository.branch() != branch and repository.is_branch(branch):
                import shlex  # only for messages

                self.notice(
                    f"Another branch is checked out. To work on {branch}: git checkout "
                    f"{shlex.quote(branch)}"
                )

    def _notice_left_alone(self, decision: Decision, plan: "Plan | None") -> None:
        """Name what was seen and left alone, with the command that does something about it."""
        last = self.undone.get(decision.connection.alias)
        for note in last.notes if last else ():
            self.notice(note)
        if plan is not None:
            self._notice_not_rolled_back(decision, plan)
        for squash in decision.comparison.applied_in_part():
            self.notice(decision.comparison.words_of_part(squash))
        if incomparable := decision.comparison.incomparable:
            self.notice(notice_of_incomparable(incomparable, self.verbosity))
        states = plan.states if plan is not None else decision.comparison.states()
        edited = [] if decision.options.rerun else decision.comparison.not_rerun(states)
        if edited:
            self.notice(notice_of_edited_code(edited, self.verbosity))

    def _notice_not_rolled_back(self, decision: Decision, plan: "Plan") -> None:
        for key, along in plan.not_rolled_back.items():
            if key in decision.comparison.traces:
                continue  # It was recreated, not changed: a precondition says what about it.
            shared = f"{listed(along, self.verbosity)}, which both sides have"
            what = shared if along else SHARED_ROWS
            self.notice(
                f"{_name(key)} was changed since it was applied, and left as it is: rolling it "
                f"back would take along {what}. To do so: "
                f"{decision.command('--roll-back-shared')}. If the database is right as it is: "
                f"{ACCEPT}."
            )

    def _show_plan(self, switch: Switch) -> None:
        decision = switch.decision
        where = f"{_database(switch)}, to {decision.comparison.target.title}"
        self.stdout.write(self.style.MIGRATE_LABEL(f"Planned operations for {where}:"))
        if decision.interrupted:
            name = _name(decision.interrupted.key)
            self.stdout.write(f"  Finish {name}, which was interrupted")
        if not switch:
            self.stdout.write("  No planned migration operations.")
        self._show_fetched(decision)
        if decision.plan is not None:
            self._show_rows(*decision.plan.first_rows)
            self._show_unapplied(decision, decision.plan)
            self._show_rows(decision.plan.forget, decision.plan.record)
            self._show_applied(decision, decision.plan)
            self._show_rows(*decision.plan.last_rows)
            self._show_losses(decision)
        if decision.plan is not None or switch:
            self._show_returns(decision)
        try:
            switch.check()
        except SwitchError as error:
            self.refusal(str(error))
        for note in notices_of_side_effects(decision):
            self.notice(note)
        self._notice_left_alone(decision, decision.plan)

    def _show_unapplied(self, decision: Decision, plan: "Plan") -> None:
        for key in plan.unapply:
            source = decision.comparison.held_source(key)
            branch = f" from {source.applied_on}" if source and source.applied_on else ""
            place = source.place if source else None
            self._show_heading(f"Unapply {_name(key)}{branch} ({place})")
            if decision.outlook.worktree.is_needed([key], backwards=True):
                self.stdout.write(
                    "    In a work tree of its project, "
                    "because this checkout may lack something it needs"
                )
            if key in decision.outlook.emptied:
                self.stdout.write("    With an empty reverse: what it ran stays in the database")
            self._show_operations(plan.held.graph.nodes[key], backwards=True)
        for key in plan.left_applied:
            self._show_heading(f"Leave {_name(key)} ({why_left(plan, key)})")

    def _show_fetched(self, decision: Decision) -> None:
        """What is applied, and only commits have that are not trusted. It is read, not run."""
        traces = decision.comparison.traces
        unknown = [key for key, trace in traces.items() if trace.source is None]
        missing = decision.plan.missing_sources if decision.plan is not None else ()
        for key, fetched in decision.comparison.provenance.history.fetched(unknown).items():
            what = "Unapply" if key in missing else "Leave"
            self._show_heading(
                f"{what} {_name(key)} (only {fetched} has it, never checked out here and not run)"
            )
            for operation in listed_operations(fetched.content):
                self.stdout.write(f"    {operation}")

    def _show_rows(self, forget: Iterable[Key], record: Iterable[Key]) -> None:
        for key in forget:
            self._show_heading(f"Forget {_name(key)} (its row only)")
        for key in record:
            self._show_heading(f"Record {_name(key)} (what it does is there already)")

    def _show_applied(self, decision: Decision, plan: "Plan") -> None:
        for key in plan.apply:
            source = decision.comparison.wanted_source(key)
            self._show_heading(f"Apply {_name(key)} ({source.place if source else None})")
            self._show_operations(plan.wanted.graph.nodes[key], backwards=False)

    def _show_operations(self, migration: Any, backwards: bool) -> None:
        from django.core.management.commands.migrate import Command as Migrate

        from django_devtools.branches.schema.operations import holds_raw

        operations = migration.operations
        for operation in reversed(operations) if backwards else operations:
            message, is_error = Migrate.describe_operation(operation, backwards)
            if holds_raw(operation):
                message += " (its effect can't be foreseen)"
            self.stdout.write("    " + message, self.style.WARNING if is_error else None)

    def _show_losses(self, decision: Decision) -> None:
        losses = [(loss, decision.outlook.rows(loss)) for loss in decision.outlook.losses()]
        if losses and decision.options.stash:
            self._show_heading("Would be saved in the stash:")
        elif losses:
            self.stdout.write(self.style.WARNING("Would be dropped:"))
        for loss, rows in losses:
            self.stdout.write(f"    {_loss(loss, rows)}")

    def _show_returns(self, decision: Decision) -> None:
        expected = decision.outlook.expected()
        if expected.restored:
            self._show_heading("Would be restored from the stash:")
        for entry in expected.restored:
            self.stdout.write(f"    {entry.summary}")
        if expected.staying:
            self._show_heading("Would stay in the stash:")
        for entry, why in expected.staying:
            self.stdout.write(f"    {entry.summary}, because {why}")

    def _show_heading(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(text))

    def _trusts_fetched(self, switches: list[Switch]) -> list[str]:
        """The commits that the user trusts, of those which were never checked out here."""
        found = {key: one for switch in switches for key, one in switch.decision.fetched.items()}
        if not found:
            return []
        self.stdout.write("Applied, and only in commits that were never checked out here:")
        for key, fetched in found.items():
            self.stdout.write(f"    {_name(key)} ({fetched}; `git show {fetched.commit}`)")
        question = "Run their code? Type 'yes', or 'no' to leave the databases alone: "
        return [one.commit for one in found.values()] if ask(question) else []

    def _agrees_to_shared(self, switches: list[Switch]) -> bool:
        plans = [switch.decision.plan for switch in switches]
        left = {
            key: a for plan in plans if plan is not None for key, a in plan.not_rolled_back.items()
        }
        if not left:
            return False
        self.stdout.write("Changed since they were applied:")
        for key, along in left.items():
            what = listed(along, self.verbosity) if along else SHARED_ROWS
            self.stdout.write(f"    {_name(key)}; rolling it back takes along {what}")
        return ask("Roll these back as well? Type 'yes', or 'no' to leave them as they are: ")

    def _confirm_losses(self, switches: list[Switch]) -> None:
        outlooks = [switch.decision.outlook for switch in switches]
        losses = [(loss, outlook.rows(loss)) for outlook in outlooks for loss in outlook.losses()]
        filled = [(loss, rows) for loss, rows in losses if rows]
        if not filled:
            return
        self.stdout.write(self.style.WARNING("The following will be dropped with its data:"))
        for loss, rows in filled:
            self.stdout.write(f"    {_loss(loss, rows)}")
        if not ask("Type 'yes' to continue, or 'no' to cancel: "):
            raise CommandError("Switch cancelled. Nothing was changed.")


def _leaves_changed(plan: "Plan | None") -> bool:
    return plan is not None and bool(plan.not_rolled_back)


def _name_of(snapshot: Snapshot) -> str | None:
    """What names the place of a snapshot as TARGET; None if that has none."""
    return snapshot.commit if snapshot.branch == DETACHED else snapshot.branch


def _database(switch: Switch) -> str:
    return f"database '{switch.connection.alias}'"


def _with_needed(decision: Decision, key: Key) -> str:
    """What else is left applied then, because it depends on that."""
    if decision.plan is None:
        return ""
    needed = decision.plan.held.ancestors([key]) & {*decision.plan.unapply} - {key}
    return f", with {_names(sorted(needed))}, which it needs" if needed else ""


def _summary(plan: "Plan") -> str:
    parts = []
    for word, keys in _actions(plan):
        if keys:
            parts.append(f"{word} {len(keys)} of {', '.join(sorted({app for app, _ in keys}))}")
    return ", ".join(parts)


def _actions(plan: "Plan") -> list[tuple[str, Sequence[Key]]]:
    return [
        ("unapply", plan.unapply),
        ("forget", plan.forgotten),
        ("record", plan.recorded),
        ("apply", plan.apply),
    ]


def _name(key: Key) -> str:
    return f"{key[0]}.{key[1]}"


def _names(keys: list[Key]) -> str:
    return ", ".join(map(_name, keys))


def _loss(loss: "DataLoss", rows: int) -> str:
    return f"{loss} ({rows:,} row{'' if rows == 1 else 's'})"
