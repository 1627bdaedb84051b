"""
Guards what is applied and has no file here from a plain ``migrate``.

Django knows migrations by their names alone. One whose file was renamed is new to it, and so is a
squash that no longer names what it replaces. To run that again fails at best; at worst, code runs
twice, or SQLite fills a column with its default. And if SQLite makes a table anew, it leaves out
the columns of which Django knows nothing, because another branch's migrations have made them.

Nor may a migration make what is there already, though the rows of django_migrations deny it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.schema.changes import DataLoss, models_only, unknown_losses
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import Mark, does_nothing, without_marks
from django_devtools.branches.schema.structure import Item, described
from django_devtools.branches.schema.tracker import SchemaHistory, track
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, code_on_disk
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import project_root

from .decision import Workspace, compare_with_target, decide
from .progress import database_option
from .there_already import (
    Plan,
    both_ways,
    is_foreseen,
    there_already,
    words_if_applied,
    words_if_unapplied,
)


class Guard:
    """What a plain ``migrate`` must not do to what is applied, or only there."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.lacking: list[Key] = []
        """What is applied and has no file here, of the apps of the plan."""
        self.refusal = ""
        """Why nothing may be run; empty if it may."""
        self.doubt: Exception | None = None
        """Why that is not known."""

    def watch(self, plan: Plan) -> None:
        """
        Have migrations raise CommandError before, or after, they have done what they must not.

        A receiver of ``pre_migrate`` can't tell whether they are faked, which does no harm.
        """
        unmarked = [without_marks(migration) for migration, _ in plan]
        for position, (migration, backwards) in enumerate(plan):
            operations: Any = migration.operations
            look = _Look(self, unmarked[position], backwards, unmarked[position + 1 :])
            first, last = _Before(look), _After(look)
            operations[:] = [last, *operations, first] if backwards else [first, *operations, last]

    def origin(self) -> str:
        """Where what is unknown comes from, and what to do."""
        names, option = _names(self.lacking), database_option(self.connection)
        return (
            f"Migrations without a file here may have made it: {names}. To bring "
            f"the database into step, run `manage.py migrations_switch{option}`."
        )


class _Look:
    """What a guard sees while one migration is run. All is called by its name at that time."""

    def __init__(
        self, guard: Guard, migration: Migration, backwards: bool, later: list[Migration]
    ) -> None:
        self.later = later
        """What is run after it."""
        self.guard, self.connection = guard, guard.connection
        self.migration, self.backwards = migration, backwards
        self.name = f"{migration.app_label}.{migration.name}"
        self.unknown: dict[Item, Item] = {}
        """The columns of which Django knows nothing, and their names after the migration."""
        self.base: ProjectState | None = None
        """The state that its operations start from, if it is unapplied."""

    def before(self, state: ProjectState) -> None:
        """Raise CommandError if the migration must not be run in ``state``."""
        if self.guard.refusal:
            raise CommandError(self.guard.refusal)
        tables = Tables(self.connection)
        base = models_only(self.base or state)
        try:
            history = track(base, [self.migration], self.connection.ops.max_name_length())
        except SwitchError as error:
            raise CommandError(str(error)) from error
        self._refuse_to_make(tables, history, base)
        if self.guard.lacking:
            self._note_unknown(unknown_losses(tables, state, history, self.backwards), history)

    def _note_unknown(self, lost: Iterable[DataLoss], history: SchemaHistory) -> None:
        """Raise CommandError if what may be ``lost`` could not be rolled back."""
        names = {one.original or name: name for name, one in history.tables.items()}
        if self.backwards:
            names = {name: old for old, name in names.items()}
        self.unknown = {one.item: (names.get(one.table, one.table), one.column) for one in lost}
        if self.unknown and not self.migration.atomic:
            raise CommandError(
                f"{self.name} may drop {_named(self.unknown)} because {self._vendor} makes tables "
                f"anew, and it has no transaction to roll back. It was not run. "
                f"{self.guard.origin()}"
            )

    def after(self) -> None:
        """Raise CommandError if columns are gone, so that the migration is rolled back."""
        tables = Tables(self.connection)
        dropped = [one for one, now in self.unknown.items() if not tables.has_item(*now)]
        if dropped:
            raise CommandError(
                f"{self.name} drops {_named(dropped)} because {self._vendor} makes the "
                f"table anew, so it was rolled back. {self.guard.origin()}"
            )

    def _refuse_to_make(self, tables: Tables, history: SchemaHistory, after: ProjectState) -> None:
        """Raise CommandError if anything is there that it would make: ``after`` has it."""
        found = there_already(tables, *both_ways(history, self.backwards))
        if not found or not is_foreseen(self.migration):
            return
        (made,) = found
        if self.guard.lacking:
            raise CommandError(
                f"{self.name} would make {_named(made.there)} which is there already. "
                f"{self.guard.origin()}"
            )
        if self.backwards:
            raise CommandError(words_if_unapplied(self.connection, made))
        raise CommandError(words_if_applied(self.connection, made, after, self.later))

    @property
    def _vendor(self) -> str:
        name: str = self.connection.display_name
        return name


class _Before(Mark):
    def __init__(self, look: _Look) -> None:
        self.look = look

    def database_forwards(self, app: str, editor: Any, state: ProjectState, *_: Any) -> None:
        self.look.before(state)

    def database_backwards(self, app: str, editor: Any, state: ProjectState, *_: Any) -> None:
        self.look.before(state)


class _After(Mark):
    def __init__(self, look: _Look) -> None:
        self.look = look

    def state_forwards(self, app: str, state: ProjectState) -> None:
        # Django computes all states anew to unapply a migration, of which this is then the first.
        self.look.base = state if self.look.backwards else None

    def database_forwards(self, *_: Any) -> None:
        self.look.after()

    def database_backwards(self, *_: Any) -> None:
        self.look.after()


def guard_of(connection: BaseDatabaseWrapper, plan: Plan) -> Guard | None:
    """The guard of a database in which there is anything. Raises what broken migrations raise."""
    if set(Tables(connection).names) <= {MigrationRecorder.Migration._meta.db_table}:
        return None
    guard, code = Guard(connection), code_on_disk()
    guard.lacking = _unexplained(read_rows(connection), code, {one.app_label for one, _ in plan})
    if guard.lacking:
        try:
            _decide(guard, code, plan)
        except Exception as error:  # noqa: BLE001 - the columns are there all the same
            guard.doubt = error
    return guard


def _decide(guard: Guard, code: Code, plan: Plan) -> None:
    """
    Find out whether the work of ``plan`` is done, and whether a switch would do anything else.

    Raises GitError, SnapshotError, SwitchError, and what broken migrations raise.
    """
    connection = guard.connection
    repository = Repository.find(project_root())
    workspace = Workspace(repository, SnapshotFile.find(repository), code)
    comparison = compare_with_target(connection, workspace, Options())
    decision = decide(connection, workspace, Options(), comparison)
    if not decision.has_work:
        guard.lacking = []
    if decision.plan is None:
        return
    apps = {migration.app_label for migration, backwards in plan if not backwards}
    again = _pending(connection, code, apps) - {*decision.plan.apply}
    if again:
        done = {app for app, _ in again}
        others = {key for key in decision.plan.forgotten if key[0] in done}
        guard.refusal = _words_of_refusal(sorted(again), sorted(others), connection)


def _pending(connection: BaseDatabaseWrapper, code: Code, apps: Collection[str]) -> set[Key]:
    """
    What is pending to Django in ``apps``, and does anything.

    Also what it is not about to apply: what was applied instead may make its tables anew.
    """
    loader = MigrationLoader(connection)
    pending = loader.graph.nodes.keys() - loader.applied_migrations.keys()
    return {key for key in pending if key[0] in apps and not does_nothing(code.migrations[key])}


def _unexplained(rows: Mapping[Key, str], code: Code, apps: Collection[str]) -> list[Key]:
    """The rows of ``apps`` that Django takes for nothing in ``code``."""
    replaced = {tuple(key) for one in code.migrations.values() for key in one.replaces}
    return [
        key
        for key in rows
        if key[0] in apps and key not in replaced
        if key not in code.migrations
        or not {*map(tuple, code.migrations[key].replaces)} <= rows.keys()
    ]


def _words_of_refusal(again: list[Key], others: list[Key], connection: BaseDatabaseWrapper) -> str:
    option = database_option(connection)
    done = "it is applied, but the rows of the migrations that it replaces were deleted"
    rows, prune = "django_migrations the missing rows", ""
    if others:
        done = f"it is applied under other names, {_names(others)}"
        rows = "the rows of django_migrations the new names"
        apps = sorted({app for app, _ in others})
        prunes = " and ".join(f"`manage.py migrate {app} --prune{option}`" for app in apps)
        prune = f" If the database does not have it, {prunes} deletes the old rows."
    return (
        f"The work of {_names(again)} is done: {done}. To run it again may lose values, so "
        f"nothing was run. To give {rows}, and apply the rest, run "
        f"`manage.py migrations_switch{option}`.{prune}"
    )


def _named(items: Iterable[Item]) -> str:
    """Tables and columns, with a comma after each."""
    return " ".join(f"{described(item)}," for item in items)


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(map(".".join, keys))
