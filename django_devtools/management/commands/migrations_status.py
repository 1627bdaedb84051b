import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.decision import Decision, Workspace, leaving
from django_devtools.branches.hooks.hook import Hooks
from django_devtools.branches.hooks.state import HookState
from django_devtools.branches.planning.classify import State
from django_devtools.branches.planning.comparison import Comparison, compare
from django_devtools.branches.schema.tenants import name_of
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.unclaimed import words_of_unclaimed
from django_devtools.management.base import (
    ASK_AGAIN,
    BranchesCommand,
    described_answers,
    notice_of_edited_code,
    notices_of_side_effects,
)
from django_devtools.management.tenants import work_for_all

NEXT_COMMAND = "To bring them into step: manage.py migrations_switch"

IN_STEP = (State.APPLIED, State.OBSOLETE)

# The headings of columns that are not called like their keys.
TITLES = {"name": "migration"}

SHORT = {State.PENDING: "to apply", State.PHANTOM: "to unapply", State.CHANGED: "changed"}

# The shapes of the JSON.
MIGRATIONS, FULL = "migrations", "full"

Row = dict[str, str | None]
States = Mapping[Key, State]


def obsolete_words(obsolete: Set[str], installed: Set[str]) -> str:
    """What to do about rows of ``obsolete`` apps: Django prunes those of installed ones."""
    if obsolete.isdisjoint(installed):
        return "Obsolete rows do no harm."
    those = "them" if obsolete <= installed else "those of installed apps"
    return f"Obsolete rows do no harm; `manage.py migrate APP --prune` deletes {those}."


class Command(BranchesCommand):
    help = "Shows which migrations of the databases differ from the code of this checkout."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--all", action="store_true", help="Shows migrations that are in step as well."
        )
        parser.add_argument(
            "--short",
            action="store_true",
            help="Says in a few words whether the databases are in step, as for a prompt.",
        )
        parser.add_argument(
            "--json",
            nargs="?",
            choices=[MIGRATIONS, FULL],
            const=MIGRATIONS,
            help="Outputs JSON: a list of the migrations (the default), or with --json=full an "
            "object that also has the stash and why a git hook failed.",
        )
        parser.add_argument(
            "--check",
            action="store_true",
            help="Exits with a non-zero status if anything is out of step that a switch would do "
            "something about.",
        )

    def work(self, options: dict[str, Any]) -> None:
        workspace = self.workspace(options)
        work_for_all(self, options, lambda: self._look(workspace, options))

    def _look(self, workspace: Workspace, options: dict[str, Any]) -> None:
        comparisons = [
            compare(connection, workspace.repository, workspace.snapshot_file, workspace.disk)
            for connection in self.connections(options)
        ]
        decisions = [leaving(found.connection, workspace, found) for found in comparisons]
        self.left = {
            (name_of(decision.connection), *key)
            for decision in decisions
            if decision is not None and decision.plan is not None
            for key in decision.plan.left_applied
        }
        classified = [(found, found.states()) for found in comparisons]
        rows = [row for found, states in classified for row in _rows(found, states)]
        to_do = [row for row in rows if self._is_for_a_switch(row)]
        if options["json"]:
            self._print_json(workspace, rows, comparisons, options["json"])
        elif options["short"]:
            self.write("failed" if _failure(workspace.repository) else _short(to_do))
        elif not options["check"] or self.verbosity >= 1:
            self._show(rows, options["all"], any(found.applied_in_part() for found in comparisons))
            for (found, states), decision in zip(classified, decisions, strict=True):
                self._show_notes(found, states, decision)
            for found in comparisons:
                self._show_stash(found.connection)
            if not self.tenants_database:
                self._show_failure(workspace.repository)
        if options["check"] and not _are_in_step(to_do):
            if not options["json"]:
                self._annotate(workspace, to_do)
            sys.exit(1)

    def _print_json(
        self, workspace: Workspace, rows: list[Row], comparisons: list[Comparison], shape: str
    ) -> None:
        printed: Any = rows
        if shape == FULL:
            from django_devtools.management.as_json import entry_as_json

            stashes = [Stash(found.connection) for found in comparisons]
            entries = [(stash, entry) for stash in stashes for entry in stash.entries()]
            printed = {
                "migrations": rows,
                "stash": [entry_as_json(stash, entry) for stash, entry in entries],
                "failure": _failure(workspace.repository),
            }
        self.print_json(printed)

    def _annotate(self, workspace: Workspace, rows: list[Row]) -> None:
        """Say the same to GitHub Actions, which shows it next to the files of migrations."""
        from django_devtools.management.annotations import annotation, file_of, runs_on_github

        if not runs_on_github():
            return
        for row in rows:
            if row["state"] not in IN_STEP:
                key = str(row["app"]), str(row["name"])
                origin = f" from {row['branch']}" if row["branch"] else ""
                text = (
                    f"{'.'.join(key)}{origin} is {row['state']} in database '{row['database']}'. "
                    f"{NEXT_COMMAND}"
                )
                self.write(annotation(text, file_of(workspace, key)))

    def _show(self, rows: list[Row], everything: bool, are_parts_missing: bool) -> None:
        if _are_in_step(rows) and not are_parts_missing:
            self.stdout.write(self.style.SUCCESS("Databases and code are in step."))
        shown = [row for row in rows if everything or row["state"] != State.APPLIED]
        if not shown:
            return
        columns = ["app", "name", "state", "branch", "source"]
        if len({row["database"] for row in rows}) > 1:
            columns.insert(0, "database")
        cells = [[row[column] or "-" for column in columns] for row in shown]
        headings = [TITLES.get(column, column) for column in columns]
        titles, *lines = self.table([headings, *cells], spare=["source"])
        self.stdout.write(self.style.MIGRATE_HEADING(titles))
        for row, line in zip(shown, lines, strict=True):
            self.stdout.write(self._styled(row, line))
        self._show_next_command(shown)

    def _styled(self, row: Row, line: str) -> str:
        if row["state"] == State.PENDING:
            return self.style.MIGRATE_LABEL(line)
        return line if row["state"] in IN_STEP else self.style.WARNING(line)

    def _show_next_command(self, shown: list[Row]) -> None:
        if not _are_in_step(row for row in shown if self._is_for_a_switch(row)):
            self.stdout.write(NEXT_COMMAND)
        elif obsolete := {str(row["app"]) for row in shown if row["state"] == State.OBSOLETE}:
            self.stdout.write(obsolete_words(obsolete, apps.app_configs.keys()))

    def _is_for_a_switch(self, row: Row) -> bool:
        """Whether a switch would do something about a row."""
        return (row["database"], row["app"], row["name"]) not in self.left

    def _show_failure(self, repository: Repository | None) -> None:
        """Say why the hooks could not bring the databases into step."""
        if failure := _failure(repository):
            self.stdout.write(self.style.ERROR(failure))
        if repository and (trouble := Hooks(repository).trouble()):
            self.stdout.write(self.style.WARNING(" ".join(trouble)))

    def _show_stash(self, connection: BaseDatabaseWrapper) -> None:
        entries = Stash(connection).entries()
        if entries:
            what = ", ".join(entry.summary for entry in entries)
            self.stdout.write(
                f"In the stash of database '{connection.alias}': {what}. "
                "To look at them: manage.py migrations_stash list"
            )

    def _show_notes(self, found: Comparison, states: States, leaving: Decision | None) -> None:
        for squash in found.applied_in_part():
            self.stdout.write(self.style.WARNING(found.words_of_part(squash)))
        if edited := found.not_rerun(states):
            self.stdout.write(self.style.WARNING(notice_of_edited_code(edited, self.verbosity)))
        answers = found.standing_answers()
        for line in described_answers(answers, found.connection.alias):
            self.stdout.write(line)
        for words in notices_of_side_effects(leaving) if leaving else ():
            self.stdout.write(self.style.WARNING(words))
        if leaving is None and _are_in_step(_rows(found, states)):
            for parts in words_of_unclaimed(found.connection, found.target.title):
                self.stdout.write(self.style.WARNING(" ".join(parts)))
        if answers:
            self.stdout.write(f"To be asked again: {ASK_AGAIN}")


def _failure(repository: Repository | None) -> str | None:
    return HookState(repository).failure() if repository else None


def _are_in_step(rows: Iterable[Row]) -> bool:
    return all(row["state"] in IN_STEP for row in rows)


def _short(rows: list[Row]) -> str:
    """The words that ``prompt.sh`` has for what it knows."""
    counted = Counter(row["state"] for row in rows)
    parts = [f"{counted[state]} {words}" for state, words in SHORT.items() if counted[state]]
    return f"out of step: {', '.join(parts)}" if parts else "in step"


def _rows(found: Comparison, states: States) -> list[Row]:
    rows = {key: _row(found, key, state) for key, state in sorted(states.items())}
    for key, choice in found.answers().items():
        rows[key]["irreversible"] = choice
    phantoms = [key for key in rows if states[key] is State.PHANTOM]
    missing = [key for key in phantoms if not rows[key]["source"]]
    for key, fetched in found.provenance.history.fetched(missing).items():
        rows[key]["source"] = f"not checked out here: {fetched}"
    return list(rows.values())


def _row(found: Comparison, key: Key, state: State) -> Row:
    source = found.held_source(key) if key in found.rows else found.wanted_source(key)
    branch = source.branch if source else None
    if key in found.target.code.migrations:
        branch = found.target.past.branch
    return {
        "database": name_of(found.connection),
        "app": key[0],
        "name": key[1],
        "state": state.value,
        "branch": branch,
        "source": str(source) if source else None,
    }
