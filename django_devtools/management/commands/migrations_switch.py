import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Migrate

from django_devtools.branches import receivers
from django_devtools.branches.errors import SwitchError
from django_devtools.branches.hooks.hook import HookState
from django_devtools.branches.planning.plan import Irreversible, Plan
from django_devtools.branches.progress import Progress, database_option
from django_devtools.branches.running.executor import UnfitRows
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.operations import holds_raw
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.switch import Options, Switch, Workspace
from django_devtools.management.base import (
    BranchesCommand,
    ask,
    database_may_fail,
)

SHARED_ROWS = "rows of tables that both sides have"


class Command(BranchesCommand):
    help = (
        "Makes the databases match the code of this checkout, or a branch, or any git ref. "
        "Example: manage.py migrations_switch main"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "target",
            nargs="?",
            metavar="TARGET",
            help="A branch that has a snapshot, or any git ref. Default: this checkout.",
        )
        parser.add_argument(
            "--plan", action="store_true", help="Show what would happen, and do nothing."
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="Exit with status 1 if there is anything to do, and do nothing.",
        )
        parser.add_argument(
            "--irreversible",
            choices=[choice.value for choice in Irreversible],
            default=Irreversible.FAIL.value,
            help="Migrations that can't be unapplied: fail (the default), keep them applied, "
            "or treat RunPython and RunSQL without a reverse as having an empty one.",
        )
        parser.add_argument(
            "--roll-back-shared",
            action="store_true",
            help="Roll changed migrations back even where that takes along migrations or filled "
            "tables that both sides share.",
        )
        parser.add_argument(
            "--rerun",
            action="store_true",
            help="Unapply and apply again what has a RunPython or RunSQL that reads differently.",
        )
        parser.add_argument(
            "--forget-interrupted",
            action="store_true",
            help="Do not finish a migration that was interrupted: the database was put right.",
        )
        parser.add_argument(
            "--no-stash",
            action="store_false",
            dest="stash",
            help="Do not keep what is dropped: it is lost.",
        )
        parser.add_argument(
            "--allow-debug-off", action="store_true", help="Work where DEBUG is off, too."
        )
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Do not ask anything.",
        )

    def work(self, options: dict[str, Any]) -> None:
        looks_only = options["plan"] or options["check"]
        if not (settings.DEBUG or looks_only or options["allow_debug_off"]):
            raise CommandError(
                "DEBUG is off: this may be production, and a switch can drop tables. "
                "If you mean it, add --allow-debug-off."
            )
        self.interactive = options["interactive"] and sys.stdin is not None and sys.stdin.isatty()
        workspace = self.workspace(options)
        if looks_only:
            self._look(self._switches(workspace, options), options)
        else:
            with workspace.snapshot_file.lock("switch", self._say_who_works):
                self._switch_or_say_how_to_go_on(workspace, options)

    def _switches(self, workspace: Workspace, options: dict[str, Any]) -> list[Switch]:
        wishes = Options(
            options["target"],
            Irreversible(options["irreversible"]),
            options["roll_back_shared"],
            options["rerun"],
            options["forget_interrupted"],
            options["stash"],
        )
        return [Switch(connection, workspace, wishes) for connection in self.connections(options)]

    def _look(self, switches: list[Switch], options: dict[str, Any]) -> None:
        if options["plan"]:
            for switch in switches:
                self._show_plan(switch)
        if options["check"] and any(switches):
            sys.exit(1)

    def _switch_or_say_how_to_go_on(self, workspace: Workspace, options: dict[str, Any]) -> None:
        again = " ".join(filter(None, ("manage.py migrations_switch", options["target"])))
        try:
            with database_may_fail(
                f"When that is mended, run `{again}` again: it goes on from where this one "
                "ended. With --traceback it says where that was."
            ):
                self._switch(workspace, options)
        except UnfitRows as error:
            raise CommandError(
                f"{error}\nChange or delete them, and run `{again}` again: it goes on from where "
                "this one ended."
            ) from error

    def _switch(self, workspace: Workspace, options: dict[str, Any]) -> None:
        switches = self._switches(workspace, options)
        if self.interactive and self._agrees_to_shared(switches):
            switches = self._switches(workspace, {**options, "roll_back_shared": True})
        if any(switches) and workspace.repository:
            workspace.repository.prune_worktrees()
        for switch in switches:
            switch.check()
        if self.interactive and not options["stash"]:
            self._confirm_losses(switches)
        for switch in switches:
            self._run(switch)
        if workspace.repository and not (options["target"] or options["databases"]):
            HookState(workspace.repository).settled()

    def _run(self, switch: Switch) -> None:
        name = f"database '{switch.connection.alias}'"
        progress = Progress(self.stdout, self.style, self.verbosity)
        if switch:
            self._write(self.style.MIGRATE_HEADING("Operations to perform:"))
            self._write(
                self.style.MIGRATE_LABEL(f"  Switch {name} to {switch.comparison.target.title}: ")
                + (_summary(switch.plan) if switch.plan else "finish what was interrupted")
            )
            self._write(self.style.MIGRATE_HEADING("Running migrations:"))
            plan = switch.plan
            switch.run(progress, self.interactive)
            self._report(switch, plan)
        else:
            plan = switch.plan
            where = f"{name} is in step with {switch.comparison.target.title}."
            if plan is not None and (plan.not_rolled_back or plan.left_applied):
                where = f"{name} is left as it is."
            self._write(f"Nothing to do: {where}")
            switch.stash.finish()
            if receivers.is_on():
                switch.settle()
            for entry in switch.stash.overdue():
                self._notice(
                    f"The stash has what could come back: {entry}"
                    f"{f' (from {entry.branch})' if entry.branch else ''}. "
                    f"To bring it: manage.py migrations_stash restore {entry.id}"
                    + database_option(switch.connection)
                )
            self._report(switch, switch.plan)

    def _report(self, switch: Switch, plan: Plan | None) -> None:
        """What was seen and left alone."""
        for note in switch.notes:
            self._notice(note)
        for key in plan.left_applied if plan is not None else ():
            self._notice(f"{_name(key)} was left applied: it can't be unapplied.")
        for key, along in (plan.not_rolled_back if plan is not None else {}).items():
            if key in switch.comparison.traces:
                continue  # no change, but remade: `check` says what about it
            what = f"{_names(along)}, which both sides have" if along else SHARED_ROWS
            self._notice(
                f"{_name(key)} was changed since it was applied, and left as it is: rolling it "
                f"back would take along {what}. To do so: migrations_switch --roll-back-shared. "
                "If the database is right as it is: migrations_snapshot --accept."
            )
        for key, error in sorted(switch.comparison.incomparable.items()):
            self._notice(
                f"{_name(key)} reads differently from what was applied, and was left as it is: "
                f"{error}. If the database is right as it is: migrations_snapshot --accept."
            )
        for key in () if switch.options.rerun else switch.comparison.not_rerun():
            self._notice(
                f"{_name(key)}: its RunPython or RunSQL reads differently from what was run. To "
                "run it again: migrations_switch --rerun. If not: migrations_snapshot --accept."
            )

    def _show_plan(self, switch: Switch) -> None:
        target, plan = switch.comparison.target.title, switch.plan
        heading = f"Planned operations for database '{switch.connection.alias}', to {target}:"
        self.stdout.write(self.style.MIGRATE_LABEL(heading))
        if switch.interrupted:
            self.stdout.write(f"  Finish {_name(switch.interrupted.key)}, which was interrupted")
        if not switch:
            self.stdout.write("  No planned migration operations.")
        if plan is not None:
            self._show_steps(switch, plan)
            self._show_losses(switch)
            self._show_returns(switch)
        try:
            switch.check()
        except SwitchError as error:
            self._notice(str(error))
        self._report(switch, plan)

    def _show_steps(self, switch: Switch, plan: Plan) -> None:
        comparison = switch.comparison
        for key in plan.unapply:
            source = comparison.held_source(key)
            branch = f" from {source.branch}" if source and source.branch else ""
            self.stdout.write(
                self.style.MIGRATE_HEADING(f"Unapply {_name(key)}{branch} ({source})")
            )
            if key in comparison.unusable:
                self.stdout.write(
                    "    In a work tree of its commit, as helpers of it are gone here"
                )
            self._show_operations(plan.held.graph.nodes[key], backwards=True)
        for key in plan.forget:
            self.stdout.write(self.style.MIGRATE_HEADING(f"Forget {_name(key)} (its row only)"))
        for key in plan.record:
            self.stdout.write(
                self.style.MIGRATE_HEADING(f"Record {_name(key)} (what it does is there already)")
            )
        for key in plan.apply:
            source = comparison.wanted_source(key)
            self.stdout.write(self.style.MIGRATE_HEADING(f"Apply {_name(key)} ({source})"))
            self._show_operations(plan.wanted.graph.nodes[key], backwards=False)

    def _show_operations(self, migration: Any, backwards: bool) -> None:
        operations = migration.operations
        for operation in reversed(operations) if backwards else operations:
            message, is_error = Migrate.describe_operation(operation, backwards)
            if holds_raw(operation):
                message += " (its effect can't be foreseen)"
            self.stdout.write("    " + message, self.style.WARNING if is_error else None)

    def _show_losses(self, switch: Switch) -> None:
        losses = [(loss, switch.rows(loss)) for loss in switch.losses()]
        if losses and switch.options.stash:
            self.stdout.write(self.style.MIGRATE_HEADING("Would be kept in the stash:"))
        elif losses:
            self.stdout.write(self.style.WARNING("Would be dropped:"))
        for loss, rows in losses:
            self.stdout.write(f"    {_loss(loss, rows)}")

    def _show_returns(self, switch: Switch) -> None:
        entries = switch.stash.expected(switch.changes, switch.comparison.rows)
        if entries:
            self.stdout.write(self.style.MIGRATE_HEADING("Would come back from the stash:"))
        for entry in entries:
            self.stdout.write(f"    {entry.summary}")

    def _agrees_to_shared(self, switches: list[Switch]) -> bool:
        left = {
            key: a
            for s in switches
            if s.plan is not None
            for key, a in s.plan.not_rolled_back.items()
        }
        if not left:
            return False
        self.stdout.write("Changed since they were applied:")
        for key, along in left.items():
            what = _names(along) if along else SHARED_ROWS
            self.stdout.write(f"    {_name(key)}; rolling it back takes along {what}")
        return ask("Roll these back, too? Type 'yes', or 'no' to leave them as they are: ")

    def _confirm_losses(self, switches: list[Switch]) -> None:
        losses = [(loss, s.rows(loss)) for s in switches for loss in s.losses()]
        filled = [(loss, rows) for loss, rows in losses if rows]
        if not filled:
            return
        self.stdout.write(self.style.WARNING("These will be dropped, with what is in them:"))
        for loss, rows in filled:
            self.stdout.write(f"    {_loss(loss, rows)}")
        if not ask("Type 'yes' to continue, or 'no' to cancel: "):
            raise CommandError("Switch cancelled. Nothing was changed.")

    def _say_who_works(self, who: str) -> None:
        self.stderr.write(f"Another migrations_switch is working ({who}). Waiting for it…")

    def _write(self, text: str) -> None:
        if self.verbosity >= 1:
            self.stdout.write(text)

    def _notice(self, text: str) -> None:
        self.stderr.write(self.style.NOTICE(text))


def _summary(plan: Plan) -> str:
    parts = []
    for word, keys in (
        ("unapply", plan.unapply),
        ("forget", plan.forget),
        ("record", plan.record),
        ("apply", plan.apply),
    ):
        if keys:
            parts.append(f"{word} {len(keys)} of {', '.join(sorted({app for app, _ in keys}))}")
    return ", ".join(parts)


def _name(key: Key) -> str:
    return f"{key[0]}.{key[1]}"


def _names(keys: list[Key]) -> str:
    return ", ".join(map(_name, keys))


def _loss(loss: DataLoss, rows: int) -> str:
    return f"{loss} ({rows} row{'' if rows == 1 else 's'})"
