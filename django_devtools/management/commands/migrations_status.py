import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.hooks.state import HookState
from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import Comparison, compare
from django_devtools.branches.stash.stash import Stash
from django_devtools.management.base import BranchesCommand, table

IN_STEP = (State.APPLIED, State.OBSOLETE)


class Command(BranchesCommand):
    help = (
        "Shows where the databases and the code of this checkout are out of step. "
        "Example: manage.py migrations_status"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--all", action="store_true", help="Show what is in step, too.")
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument(
            "--check", action="store_true", help="Exit with status 1 if anything is out of step."
        )

    def work(self, options: dict[str, Any]) -> None:
        workspace = self.workspace(options)
        surveys = [
            (
                connection,
                compare(connection, workspace.repository, workspace.snapshot_file, workspace.disk),
            )
            for connection in self.connections(options)
        ]
        rows = [row for connection, found in surveys for row in _rows(connection, found)]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
        else:
            self._show(rows, options["all"])
            for _, found in surveys:
                self._show_notes(found)
            for connection, _ in surveys:
                self._show_stash(connection)
            if workspace.repository and (failure := HookState(workspace.repository).failure()):
                self.stdout.write(self.style.NOTICE(failure))
        if options["check"] and any(row["state"] not in IN_STEP for row in rows):
            sys.exit(1)

    def _show(self, rows: list[dict[str, str | None]], everything: bool) -> None:
        shown = [row for row in rows if everything or row["state"] != State.APPLIED]
        if all(row["state"] in IN_STEP for row in rows):
            self.stdout.write(self.style.SUCCESS("Databases and code are in step."))
        if not shown:
            return
        columns = ["app", "name", "state", "branch", "source"]
        if len({row["database"] for row in rows}) > 1:
            columns.insert(0, "database")
        titles = {"name": "migration"}
        lines = table(
            [
                [titles.get(column, column) for column in columns],
                *([row[column] or "-" for column in columns] for row in shown),
            ]
        )
        for index, line in enumerate(lines):
            self.stdout.write(self.style.MIGRATE_HEADING(line) if index == 0 else line)
        states = {row["state"] for row in shown}
        if states - set(IN_STEP):
            self.stdout.write("To bring them in step: manage.py migrations_switch")
        elif State.OBSOLETE in states:
            self.stdout.write(
                "Obsolete rows do no harm; `manage.py migrate APP --prune` deletes them."
            )

    def _show_stash(self, connection: BaseDatabaseWrapper) -> None:
        entries = Stash(connection).entries()
        if entries:
            what = ", ".join(entry.summary for entry in entries)
            self.stdout.write(
                f"In the stash of database '{connection.alias}': {what}. "
                "To look at them: manage.py migrations_stash list"
            )

    def _show_notes(self, found: Comparison) -> None:
        for app, name in found.not_rerun():
            self.stdout.write(
                self.style.NOTICE(
                    f"{app}.{name}: its RunPython or RunSQL reads differently from what was run. "
                    "To run it again: manage.py migrations_switch --rerun"
                )
            )


def _rows(connection: BaseDatabaseWrapper, found: Comparison) -> list[dict[str, str | None]]:
    rows = []
    for key, state in sorted(found.states().items()):
        source = found.held_source(key) if key in found.rows else found.wanted_source(key)
        shared = key in found.target.code.migrations
        branch = found.target.past.branch if shared else source.branch if source else None
        rows.append(
            {
                "database": connection.alias,
                "app": key[0],
                "name": key[1],
                "state": state.value,
                "branch": branch,
                "source": str(source) if source else None,
            }
        )
    return rows
