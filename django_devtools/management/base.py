"""What the commands of this package share."""

import gc
import json
import os
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, no_translations
from django.db import (
    DatabaseError,
    Error,
    InterfaceError,
    OperationalError,
    connections,
)
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.exceptions import (
    BadMigrationError,
    CircularDependencyError,
    NodeNotFoundError,
)
from django.utils import timezone

from django_devtools.branches.decision import Decision, Workspace
from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.schema.dialects import database_id
from django_devtools.branches.sources.git import NoGit, Repository
from django_devtools.branches.sources.loader import code_on_disk
from django_devtools.branches.sources.rows import is_meant, is_mirror, iso
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.unclaimed import words_of_unclaimed
from django_devtools.conf import project_root

from .tables import SHORTEST, shortened, table

if TYPE_CHECKING:
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.progress import Progress
    from django_devtools.branches.switch import Switch

MESSAGES = (
    DevtoolsError,
    BadMigrationError,
    CircularDependencyError,
    ImproperlyConfigured,
    NodeNotFoundError,
)
"""Errors whose text says all that a user needs: our own, and those that Django raises."""

ACCEPT = "manage.py migrations_snapshot --accept"
ASK_AGAIN = "manage.py migrations_switch --irreversible=ask"

YES = ("y", "yes")

# How many migrations a notice names, unless one more would be all.
LISTED = 3


AGAIN = "Interrupted. Run the same command again."
INTERRUPTED = "Interrupted while no database was being changed."
CTRL_C = 130
"""The exit status of what was interrupted, as shells have it."""


class BranchesCommand(BaseCommand):
    """Base class of the commands that compare migrations and databases."""

    requires_system_checks = ()
    progress: "Progress | None" = None
    """What says what is being done, while anything is."""
    tenants_database: BaseDatabaseWrapper | None = None
    """The database of the tenant for which it works now; None if it works for all databases."""
    lacks_git = False
    """Whether the project is in a repository, and there is no git that can be run."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--database",
            action="append",
            choices=tuple(connections),
            metavar="ALIAS",
            dest="databases",
            help="Nominates a database; can be given several times. Defaults to all of DATABASES.",
        )
        parser.add_argument(
            "--file",
            type=Path,
            metavar="PATH",
            help="The snapshot file. Defaults to one in the git directory.",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        # What Django has loaded lasts as long as the process that was started for this command.
        # The collector would look for garbage in it several times, the last time at the exit.
        gc.freeze()
        # A small switch makes fewer objects than this, and next to no garbage.
        gc.set_threshold(50_000)
        try:
            super().run_from_argv(argv)
        except KeyboardInterrupt:  # before the command has begun
            self.stderr.write(INTERRUPTED)
            sys.exit(CTRL_C)
        finally:
            gc.freeze()

    def execute(self, *args: Any, **options: Any) -> str | None:
        # https://no-color.org/; Django has names of its own for this.
        if os.environ.get("NO_COLOR") and not options["force_color"]:
            options["no_color"] = True
        return super().execute(*args, **options)

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        self.verbosity: int = options["verbosity"]
        self._printed: list[Any] = []
        try:
            self.work(options)
        except MESSAGES as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError(AGAIN, returncode=CTRL_C) from None
        finally:
            if self._printed:
                self.stdout.write(json.dumps(_as_one(self._printed), indent=2))
            # Django writes the error to stderr, which may be the same pipe.
            self.stdout.flush()

    def write(self, text: str) -> None:
        """Write a line, unless the user wants none."""
        if self.verbosity >= 1:
            self._make_room()
            self.stdout.write(text)

    def print_json(self, printed: list[Any] | dict[str, Any]) -> None:
        """Print a list or an object when the command ends, with the items for all tenants."""
        self._printed.append(printed)

    def notice(self, text: str) -> None:
        """Write a line to stderr that is about no error."""
        # Django's own style of notices is as red as that of errors.
        self._write_aside(text, self.style.WARNING)

    def refusal(self, text: str) -> None:
        """Write to stderr why nothing was done, or less than was wanted, and go on."""
        self._write_aside(text, self.style.ERROR)

    def _write_aside(self, text: str, style: Callable[[str], str]) -> None:
        """Write to stderr, after what stdout holds: both may be one pipe or file."""
        self._make_room()
        self.stdout.flush()
        self.stderr.write(text, style)

    def _make_room(self) -> None:
        if self.progress:
            self.progress.make_room()

    def table(self, rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> list[str]:
        """The lines of a table, which fits a terminal if stdout is one."""
        return table(rows, self._room(), spare)

    def shortened(self, name: str, beside: int) -> str:
        """A name that fits a terminal with as many characters ``beside`` it, if stdout is one."""
        room = self._room()
        return shortened(name, max(room - beside, SHORTEST)) if room else name

    def _room(self) -> int | None:
        return shutil.get_terminal_size().columns if self.stdout.isatty() else None

    def say_who_works(self, who: str) -> None:
        """Say whose switch this command waits for."""
        self.notice(f"Another switch is working ({who}). Waiting for it…")

    @contextmanager
    def locked(self, snapshot_file: SnapshotFile, progress: "Progress") -> Iterator[None]:
        """Hold the lock of all switches. Raises NotWritten."""
        with ExitStack() as stack:
            with progress.meanwhile("Waiting for another switch"):
                stack.enter_context(
                    snapshot_file.lock("switch", self.say_who_works, or_elsewhere=True)
                )
            yield

    def work(self, options: dict[str, Any]) -> None:
        """Do what the command is for. The errors of MESSAGES become CommandErrors."""
        raise NotImplementedError

    @cached_property
    def repository(self) -> Repository | None:
        """
        The repository of the project, if it is in one and git can be run.

        Raises GitError if git refuses to work in it.
        """
        try:
            return Repository.find(project_root())
        except NoGit as error:
            self.lacks_git = True
            self.notice(
                f"{error} Until then, nothing is known of other branches, and the sources of "
                "migrations are not recorded."
            )
            return None

    def workspace(self, options: dict[str, Any]) -> Workspace:
        """Repository, snapshots and code. Raises GitError, and what broken migrations raise."""
        file = options["file"].absolute() if options["file"] else None
        snapshot_file = SnapshotFile.find(self.repository, file)
        began = iso(timezone.now())
        return Workspace(self.repository, snapshot_file, code_on_disk(), began)

    def connections(self, options: dict[str, Any]) -> list[BaseDatabaseWrapper]:
        """
        The databases of the command, each once.

        Mirrors, and databases that were never migrated, have to be asked for by name. Raises
        CommandError where one can't be reached.
        """
        if self.tenants_database:
            return [self.tenants_database]
        found: dict[str, BaseDatabaseWrapper] = {}
        for alias in options["databases"] or connections:
            connection = connections[alias]
            if not options["databases"] and is_mirror(connection):
                continue
            _connect(connection)
            if options["databases"] or is_meant(connection):
                found.setdefault(database_id(connection), connection)
            elif self.verbosity >= 2:
                self.notice(
                    f"Database '{alias}' was never migrated, and is left alone. "
                    f"To include it: --database {alias}."
                )
        return list(found.values())


@contextmanager
def database_may_fail(
    what_then: str | Callable[[], str],
    kinds: tuple[type[Error], ...] = (InterfaceError, OperationalError),
) -> Iterator[None]:
    """Turn errors of the database into a CommandError that also says what to do then."""
    try:
        yield
    except kinds as error:
        advice = what_then if isinstance(what_then, str) else what_then()
        raise CommandError(f"Database error: {str(error).strip()}\n{advice}") from error


def require_debug(refusal: str) -> None:
    """
    Raise CommandError with ``refusal`` if DEBUG is off, as it is in production.

    Called by ``migrations_switch`` (not with ``--plan``, ``--check`` or ``--allow-debug-off``), by
    ``migrations_stash restore`` and ``drop``, and by ``migrations_hook run``.
    """
    if not settings.DEBUG:
        raise CommandError(refusal)


def target_commit(switches: "Sequence[Switch]") -> str | None:
    """The commit that all databases went to; None if a checkout came in between."""
    commits = {switch.decision.comparison.target.past.commit for switch in switches}
    return commits.pop() if len(commits) == 1 else None


def ask(question: str) -> bool:
    """Whether the user answers yes. Ctrl-C and Ctrl-D count as no."""
    return prompt(question) in YES


def prompt(question: str) -> str:
    """What the user answers, in lower case. Ctrl-C and Ctrl-D count as nothing."""
    try:
        return input(question).strip().lower()
    except (EOFError, KeyboardInterrupt):
        return ""


def place(connection: BaseDatabaseWrapper) -> str:
    """The name of a database, and its host, as the settings have them."""
    name, host = str(connection.settings_dict["NAME"]), connection.settings_dict["HOST"]
    return f"{name} at {host}" if host else name


def described(connection: BaseDatabaseWrapper) -> str:
    """A database with its name and host."""
    return f"Database '{connection.alias}' ({place(connection)})"


def ask_of_a_hook(question: str) -> bool:
    """
    Whether the user answers yes, whom a git hook asks. Ctrl-C and Ctrl-D count as no.

    Git gives its hooks no stdin, so the answer comes from the terminal that they write to.
    """
    if not sys.stderr.isatty():
        return False
    try:
        with Path("/dev/tty").open(encoding="utf-8") as terminal:
            sys.stderr.write(question)
            sys.stderr.flush()
            return terminal.readline().strip().lower() in YES
    except (OSError, KeyboardInterrupt):
        return False


def listed(keys: Sequence[Key], verbosity: int) -> str:
    """The names of migrations: all of them at verbosity 2, otherwise the first ones."""
    names = [f"{app}.{name}" for app, name in keys]
    if verbosity >= 2 or len(names) <= LISTED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:LISTED])} and {len(names) - LISTED} others (-v 2 names them)"


def notices_of_irreversible(decision: Decision) -> Iterator[str]:
    """What became of migrations that can't be unapplied, and how to have that otherwise."""
    if decision.plan is None:
        return
    for key in decision.plan.left_applied:
        yield f"{'.'.join(key)} was left applied: {why_left(decision.plan, key)}."
    yield from notices_of_side_effects(decision)
    for app, name in decision.outlook.emptied:
        yield f"{app}.{name} was unapplied, but what its RunPython or RunSQL did is still there."
    if decision.is_remembered:
        yield f"This is remembered. To be asked again: {ASK_AGAIN}"


def why_left(plan: "Plan", key: Key) -> str:
    """Why a migration is left applied."""
    if key in plan.kept:
        has_source = key in plan.held.graph.nodes
        return "it can't be unapplied" if has_source else "its source was not found"
    needing = [".".join(one) for one in plan.needing(key)]
    return f"{needing[0]} needs it" if len(needing) == 1 else f"{', '.join(needing)} need it"


def notices_of_unclaimed(decision: Decision) -> Iterator[str]:
    """What fails because of columns that nothing in this checkout has made, and what to do."""
    # Those of what is left applied are named with it.
    if decision.plan is None or not decision.plan.left_applied:
        title = decision.comparison.target.title
        yield from map(" ".join, words_of_unclaimed(decision.connection, title))


def notices_of_side_effects(decision: Decision) -> Iterator[str]:
    """What fails because of what is left applied, and what to do about it."""
    plan = decision.plan
    if plan is None or not plan.left_applied:
        return
    from django_devtools.branches.side_effects import described, is_helped_by_noop, side_effects

    for failure in described(side_effects(decision.outlook), decision.comparison.target.title):
        advice = failure.advice
        if is_helped_by_noop(plan, plan.kept):
            advice = f"To have that unapplied: {decision.command('--irreversible=noop')}"
        yield f"While that is left applied, {failure.words} {advice}"


def described_answers(answers: Mapping[Key, str], database: str) -> Iterator[str]:
    """Lines about what is remembered of migrations that can't be unapplied."""
    meanings = {
        Irreversible.KEEP: "is left applied, as it can't be unapplied",
        Irreversible.NOOP: "is unapplied as if its RunPython and RunSQL were empty",
    }
    for (app, name), choice in sorted(answers.items()):
        yield f"{app}.{name} {meanings[Irreversible(choice)]} (database '{database}')."


def notice_of_edited_code(keys: Sequence[Key], verbosity: int) -> str:
    """What to do about migrations whose RunPython or RunSQL was edited after it was run."""
    return (
        f"{listed(keys, verbosity)}: RunPython or RunSQL reads differently from what was run. "
        f"To run it again: manage.py migrations_switch --rerun. If not: {ACCEPT}."
    )


def notice_of_incomparable(errors: Mapping[Key, Exception], verbosity: int) -> str:
    """What to do about edited migrations whose old text can't be imported, and why."""
    keys = sorted(errors)
    what = "differs from the text that was applied, and was left unchanged"
    if len(keys) > 1:
        what = "differ from the text that was applied, and were left unchanged"
    why = f"{errors[keys[0]]}. If the database is right as it is: {ACCEPT}."
    return f"{listed(keys, verbosity)} {what}: {why}"


def _as_one(printed: list[Any]) -> Any:
    """Lists as one list, and objects as one that has all items of their lists."""
    first, *others = printed
    for other in others:
        if isinstance(first, list):
            first += other
        else:
            first.update(
                {key: first[key] + one for key, one in other.items() if isinstance(one, list)}
            )
    return first


def _connect(connection: BaseDatabaseWrapper) -> None:
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        others = ", or name the others with --database" if len(connections.settings) > 1 else ""
        raise CommandError(
            f"Database '{connection.alias}' can't be reached: {str(error).strip()}\n"
            f"Start it{others}."
        ) from error
