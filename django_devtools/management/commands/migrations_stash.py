import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.core.management.base import CommandError, CommandParser
from django.db import Error
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from django_devtools.branches.progress import Progress
from django_devtools.branches.running.observer import observed
from django_devtools.branches.sources.rows import to_the_minute
from django_devtools.branches.stash.entries import Entry
from django_devtools.branches.stash.restore import Restore
from django_devtools.branches.stash.stash import Stash
from django_devtools.management.as_json import entry_as_json
from django_devtools.management.base import (
    BranchesCommand,
    ask,
    database_may_fail,
    require_debug,
)

# Enough rows to recognize an entry by, and less than a page.
SHOWN_ROWS = 20

# A century: the day that many days ago is still in the calendar.
MOST_DAYS = 36500

TITLES = ["database", "id", "what", "rows", "size", "branch", "migration", "since"]

ONCE_FIXED = (
    "Once that is fixed, run this again. If the table of an entry is gone, "
    "`manage.py migrations_stash drop` forgets the entry. "
    "Use --traceback to see where it stopped."
)


class Command(BranchesCommand):
    progress: Progress
    help = (
        "Lists, shows, restores or drops the data that migrations_switch has saved for other "
        "branches."
    )

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Options may stand before, after and between action and IDs, as in `git stash`.
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "action",
            nargs="?",
            choices=["list", "show", "restore", "drop"],
            default="list",
            help="Lists all entries (the default); shows, restores or drops the given ones.",
        )
        parser.add_argument(
            "ids", nargs="*", type=int, metavar="ID", help="IDs of entries, as listed."
        )
        parser.add_argument(
            "--older-than",
            type=_days,
            metavar="DAYS",
            help="Drops the entries that are older than this many days.",
        )
        parser.add_argument("--json", action="store_true", help="Outputs the list as JSON.")
        parser.add_argument(
            "--noinput",
            "--no-input",
            action="store_false",
            dest="interactive",
            help="Tells the command to NOT prompt the user for input of any kind.",
        )

    @database_may_fail(ONCE_FIXED, (Error,))
    def work(self, options: dict[str, Any]) -> None:
        self.interactive = options["interactive"] and sys.stdin is not None and sys.stdin.isatty()
        stashes = [Stash(connection) for connection in self.connections(options)]
        if options["action"] in ("list", "show"):
            getattr(self, f"_{options['action']}")(stashes, options)
            return
        require_debug(
            "DEBUG is off: this may be production, and the stash is for development only."
        )
        self.progress = Progress(self.stdout, self.style, self.verbosity)
        snapshot_file = self.workspace(options).snapshot_file
        with self.progress, self.locked(snapshot_file, self.progress):
            getattr(self, f"_{options['action']}")(stashes, options)

    def _list(self, stashes: list[Stash], options: dict[str, Any]) -> None:
        found = _chosen(stashes, options["ids"])
        if options["json"]:
            self.stdout.write(json.dumps([entry_as_json(*one) for one in found], indent=2))
        elif found:
            self._list_entries(found)
        else:
            self.stdout.write("The stash is empty.")

    def _list_entries(self, found: list[tuple[Stash, Entry]]) -> None:
        rows = [TITLES, *(_cells(*one) for one in found)]
        if len({stash.connection.alias for stash, _ in found}) == 1:
            rows = [row[1:] for row in rows]
        titles, *lines = self.table(rows, spare=["migration", "size"])
        self.stdout.write(self.style.MIGRATE_HEADING(titles))
        for (_, entry), line in zip(found, lines, strict=True):
            self.stdout.write(self.style.WARNING(line) if entry.reason else line)
        for _, entry in found:
            if entry.reason:
                note = f"{entry.id} was not restored: {entry.reason}"
                self.stdout.write(self.style.WARNING(note))

    def _show(self, stashes: list[Stash], options: dict[str, Any]) -> None:
        for stash, entry in self._named(stashes, options):
            heading = f"{entry.id}: {entry}, in {stash.connection.alias}, as {entry.copy}"
            self.stdout.write(self.style.MIGRATE_HEADING(heading))
            if entry.reason:
                self.stdout.write(self.style.WARNING(f"Not restored: {entry.reason}"))
            names, rows = stash.rows(entry, SHOWN_ROWS)
            for line in self.table([names, *([_cell(value) for value in row] for row in rows)]):
                self.stdout.write(line)
            if entry.rows > len(rows):
                self.stdout.write(f"... and {entry.rows - len(rows):,} more")

    def _restore(self, stashes: list[Stash], options: dict[str, Any]) -> None:
        found = self._named(stashes, options)
        notes = []
        for stash in stashes:
            entries = [entry for one, entry in found if one is stash]
            stash.clean()
            restore = Restore(stash, apps, self.progress)
            with observed(stash.connection, self.progress, "Restoring from the stash"):
                restore.restore_requested(entries)
            stash.clean()
            notes += restore.notes
        for note in notes:
            self.notice(note)

    def _drop(self, stashes: list[Stash], options: dict[str, Any]) -> None:
        found = self._to_drop(stashes, options)
        if self.interactive and found:
            self._confirm(found)
        for stash, entry in found:
            stash.drop([entry])
            stash.clean()
            self.write(f"Dropped {entry.id}: {entry}.")
        if not found:
            self.write("There is nothing to drop.")

    def _to_drop(self, stashes: list[Stash], options: dict[str, Any]) -> list[tuple[Stash, Entry]]:
        days = options["older_than"]
        if days is None:
            return self._named(stashes, options)
        limit = timezone.now() - timedelta(days=days)
        chosen = self._named(stashes, options) if options["ids"] else _chosen(stashes, ())
        return [(stash, entry) for stash, entry in chosen if entry.at < limit]

    def _confirm(self, found: list[tuple[Stash, Entry]]) -> None:
        for _, entry in found:
            self.stdout.write(f"    {entry.id}: {entry.summary}")
        if not ask("Dropped entries can't be restored. Type 'yes' to drop these: "):
            raise CommandError("Nothing was dropped.")

    def _named(self, stashes: list[Stash], options: dict[str, Any]) -> list[tuple[Stash, Entry]]:
        """The entries whose numbers were given; CommandError where one has none or several."""
        if not options["ids"]:
            raise CommandError(
                f"Which ones? `manage.py migrations_stash {options['action']} ID`; "
                "`manage.py migrations_stash list` shows their numbers."
            )
        found = _chosen(stashes, options["ids"])
        if unknown := set(options["ids"]) - {entry.id for _, entry in found}:
            raise CommandError(
                f"The stash has no {', '.join(map(str, sorted(unknown)))}. "
                "`manage.py migrations_stash list` shows what it has."
            )
        for number in options["ids"]:
            aliases = [stash.connection.alias for stash, entry in found if entry.id == number]
            if len(aliases) > 1:
                raise CommandError(
                    f"The databases {', '.join(aliases)} have an entry {number} each. Say which "
                    f"one is meant: `manage.py migrations_stash {options['action']} {number} "
                    f"--database {aliases[0]}`"
                )
        return found


def _days(text: str) -> int:
    if text.isdecimal() and int(text) <= MOST_DAYS:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not a number of days from 0 to {MOST_DAYS}")


def _chosen(stashes: list[Stash], ids: Iterable[int]) -> list[tuple[Stash, Entry]]:
    wanted = set(ids)
    return [
        (stash, entry)
        for stash in stashes
        for entry in stash.entries()
        if not wanted or entry.id in wanted
    ]


def _cells(stash: Stash, entry: Entry) -> list[str]:
    return [
        stash.connection.alias,
        str(entry.id),
        str(entry),
        f"{entry.rows:,}",
        _size(stash, entry),
        entry.branch or "-",
        ", ".join(entry.migrations),
        to_the_minute(entry.at),
    ]


def _size(stash: Stash, entry: Entry) -> str:
    size = stash.tables.dialect.table_size(entry.copy)
    return filesizeformat(size) if size is not None else "-"


def _cell(value: Any) -> str:
    text = "NULL" if value is None else " ".join(str(value).split())
    return text if len(text) <= 40 else text[:39] + "…"
