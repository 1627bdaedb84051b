"""
Guards what is applied and has no file here from a plain ``migrate``.

Django knows migrations by their names alone. One whose file was renamed is new to it, and so is a
squash that no longer names what it replaces. To run that again fails at best; at worst, code runs
twice, or SQLite fills a column with its default. And if SQLite makes a table anew, it leaves out
the columns of which Django knows nothing, because another branch's migrations have made them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import Mark, does_nothing
from django_devtools.branches.schema.structure import Item, structure
from django_devtools.branches.schema.tracker import Column, Table, track
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, code_on_disk
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import project_root

from .decision import Workspace, compare_with_target, decide
from .progress import database_option

Steps = Sequence[tuple[Migration, bool]]
"""What ``migrate`` is about to do: migrations, and whether each is unapplied."""


class Guard(NamedTuple):
    """What is applied and has no file here."""

    connection: BaseDatabaseWrapper
    lacking: list[Key]
    """These migrations, of the apps of the plan."""
    refusal: str
    """Why nothing may be run; empty if it may."""
    unknown: list[Item]
    """The tables and columns of which Django knows nothing, because these have made them."""
    in_the_way: Mapping[Key, list[Item]]
    """Those of them that a migration of the plan would make as well."""

    def watch(self, steps: Steps) -> None:
        """
        Have migrations raise CommandError before, or after, they have done what they must not.

        A receiver of ``pre_migrate`` can't tell whether they are faked, which does no harm.
        """
        for migration, backwards in steps:
            operations: Any = migration.operations
            marks = [_Before(self, migration), _After(self, migration)]
            first, last = reversed(marks) if backwards else marks
            operations[:] = [first, *operations, last]

    def before(self, migration: Migration) -> None:
        """Raise CommandError if a migration must not be run."""
        if self.refusal:
            raise CommandError(self.refusal)
        if items := self.in_the_way.get((migration.app_label, migration.name)):
            raise CommandError(
                f"{_name(migration)} would make {_named(items)} which is there already. "
                f"{self._origin()}"
            )

    def after(self, migration: Migration) -> None:
        """Raise CommandError if a migration has taken columns away, so that it is rolled back."""
        tables = Tables(self.connection)
        if not tables.dialect.rebuilds_tables:
            return
        dropped = [
            (table, column)
            for table, column in self.unknown
            if table in tables.names and column and column not in tables.columns(table)
        ]
        if dropped:
            done = "was rolled back" if migration.atomic else "has no transaction to roll back"
            raise CommandError(
                f"{_name(migration)} drops {_named(dropped)} because {self._vendor} makes the "
                f"table anew, so it {done}. {self._origin()}"
            )

    def _origin(self) -> str:
        """Where what is unknown comes from, and what to do."""
        return (
            f"Migrations without a file here have made it: {_names(self.lacking)}. To bring the "
            f"database into step, run `manage.py migrations_switch{self._option}`."
        )

    @property
    def _vendor(self) -> str:
        name: str = self.connection.display_name
        return name

    @property
    def _option(self) -> str:
        return database_option(self.connection)


class _Before(Mark):
    def __init__(self, guard: Guard, migration: Migration) -> None:
        self.guard, self.migration = guard, migration

    def database_forwards(self, *_: Any) -> None:
        self.guard.before(self.migration)

    def database_backwards(self, *_: Any) -> None:
        self.database_forwards()


class _After(_Before):
    def database_forwards(self, *_: Any) -> None:
        self.guard.after(self.migration)


def guard_of(connection: BaseDatabaseWrapper, steps: Steps) -> Guard | None:
    """
    The guard of what is applied and has no file here; None if all has that is concerned.

    Raises GitError, SnapshotError, SwitchError, and what broken migrations raise.
    """
    apps = {migration.app_label for migration, _ in steps}
    code = code_on_disk()
    lacking = _without_files(read_rows(connection), code, apps)
    if not lacking:
        return None
    repository = Repository.find(project_root())
    workspace = Workspace(repository, SnapshotFile.find(repository), code)
    comparison = compare_with_target(connection, workspace, Options())
    plan = decide(connection, workspace, Options(), comparison).plan
    if plan is None:
        return None
    applies = {migration.app_label for migration, backwards in steps if not backwards}
    # Others of the app count, too: those that are applied instead may make its tables anew.
    pending = set(plan.recorded) & comparison.facts().pending
    again = _of(applies, {key for key in pending if not does_nothing(code.migrations[key])})
    others = _of({app for app, _ in again}, plan.forgotten)
    refusal = _words_of_refusal(again, others, connection) if again else ""
    unknown = _unknown(connection, plan)
    return Guard(connection, lacking, refusal, unknown, _made_again(connection, steps, unknown))


def _without_files(rows: Iterable[Key], code: Code, apps: Collection[str]) -> list[Key]:
    """The rows of ``apps`` that no migration in ``code`` explains."""
    replaced = {tuple(key) for one in code.migrations.values() for key in one.replaces}
    known = code.migrations.keys() | replaced
    return [key for key in rows if key[0] in apps and key not in known]


def _of(apps: Collection[str], keys: Iterable[Key]) -> list[Key]:
    return sorted(key for key in keys if key[0] in apps)


def _unknown(connection: BaseDatabaseWrapper, plan: Plan) -> list[Item]:
    """The tables and columns that are there, and that no migration with a file has made."""
    longest = connection.ops.max_name_length()
    held = plan.held.state(plan.held.ordered(plan.held.applied_nodes(), plan.rows))
    known = set(structure(_state_on_disk(connection), longest))
    tables = Tables(connection)
    items = structure(held, longest)
    return [item for item in items if item not in known and tables.has_item(*item)]


def _made_again(
    connection: BaseDatabaseWrapper, steps: Steps, unknown: Collection[Item]
) -> dict[Key, list[Item]]:
    """What migrations that are about to be applied would make of ``unknown`` ones."""
    applied = [migration for migration, backwards in steps if not backwards]
    history = track(_state_on_disk(connection), applied, connection.ops.max_name_length())
    found: dict[Key, list[Item]] = {}
    for name, table in history.tables.items():
        made: dict[Item, Table | Column] = {(name, None): table}
        if table.original is not None:
            made |= {(name, column): one for column, one in table.columns.items()}
        for item, one in made.items():
            if one.original is None and one.is_certain and item in unknown:
                found.setdefault(one.migration, []).append(item)
    return found


def _state_on_disk(connection: BaseDatabaseWrapper) -> ProjectState:
    """The models after all that is applied and has a file."""
    loader = MigrationLoader(connection)
    applied = loader.applied_migrations.keys() & loader.graph.nodes.keys()
    return loader.project_state(sorted(applied))


def _words_of_refusal(again: list[Key], others: list[Key], connection: BaseDatabaseWrapper) -> str:
    option = database_option(connection)
    apps = sorted({app for app, _ in others})
    prunes = " and ".join(f"`manage.py migrate {app} --prune{option}`" for app in apps)
    return (
        f"The work of {_names(again)} is done: it is applied under other names, "
        f"{_names(others)}. To run it again may lose values, so nothing was run. To give the rows "
        "of django_migrations the new names, and apply the rest, run `manage.py "
        f"migrations_switch{option}`. If the database does not have it, {prunes} deletes the old "
        "rows."
    )


def _name(migration: Migration) -> str:
    return f"{migration.app_label}.{migration.name}"


def _named(items: Iterable[Item]) -> str:
    """Tables and columns, with a comma after each."""
    return " ".join(
        f"table {table}," if column is None else f"column {table}.{column},"
        for table, column in items
    )


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(map(".".join, keys))
