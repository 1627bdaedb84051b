"""
Guards what is applied and has no file here from a plain ``migrate``.

Django knows migrations by their names alone. One whose file was renamed is new to it, and so is a
squash that no longer names what it replaces. To run that again fails at best; at worst, code runs
twice, or SQLite fills a column with its default. And if SQLite makes a table anew, it leaves out
the columns of which Django knows nothing, because another branch's migrations have made them.

Nor may a migration make a column anew that is there, though the rows of django_migrations deny it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.operations import Mark, does_nothing, raw_operations
from django_devtools.branches.schema.structure import Item, structure, tables
from django_devtools.branches.schema.tracker import Column, SchemaHistory, Table, track
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code, code_on_disk
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.sources.snapshots import Key
from django_devtools.conf import project_root

from .decision import Workspace, compare_with_target, decide
from .progress import database_option
from .there_already import histories, is_foreseen, there_already, words

Steps = Sequence[tuple[Migration, bool]]
"""What ``migrate`` is about to do: migrations, and whether each is unapplied."""


class Watched(NamedTuple):
    """What a migration of the plan must leave alone."""

    columns: list[Item]
    """The columns of which Django knows nothing, by their names before it."""
    after: dict[str, str]
    """The names, after it, of the tables that it is about and that stay, by those before it."""
    dropped: set[str]
    """The tables that it drops."""


class Guard(NamedTuple):
    """What is applied and has no file here, and what is there and not applied."""

    connection: BaseDatabaseWrapper
    lacking: list[Key]
    """These migrations, of the apps of the plan."""
    refusal: str
    """Why nothing may be run; empty if it may."""
    watched: Mapping[Key, Watched]
    """What there is to lose, where tables are made anew."""
    in_the_way: Mapping[Key, list[Item]]
    """What Django knows nothing of, and a migration of the plan would make as well."""
    there_already: dict[Item, Key]
    """What else is there, which no row of django_migrations explains, and what would make it."""
    unapply: Collection[Key]
    """What the plan unapplies."""

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
        key = migration.app_label, migration.name
        if items := self.in_the_way.get(key):
            raise CommandError(
                f"{_name(migration)} would make {_named(items)} which is there already. "
                f"{self._origin()}"
            )
        self._look_for_what_can_be_lost(migration)
        there = {item: maker for item, maker in self.there_already.items() if maker == key}
        if there:
            raise CommandError(words(self.connection, there, self.unapply))

    def _look_for_what_can_be_lost(self, migration: Migration) -> None:
        watched = self.watched.get((migration.app_label, migration.name))
        if watched is None or migration.atomic:
            return
        if items := [item for item in watched.columns if item[0] in watched.after]:
            raise CommandError(
                f"{_name(migration)} may drop {_named(items)} because {self._vendor} makes tables "
                f"anew, and it has no transaction to roll back. It was not run. {self._origin()}"
            )

    def after(self, migration: Migration) -> None:
        """Raise CommandError if a migration has taken columns away, so that it is rolled back."""
        watched = self.watched.get((migration.app_label, migration.name))
        if not (watched or self.there_already):
            return
        found = Tables(self.connection)
        self._look_for_what_was_there(found, migration)
        if watched is None:
            return
        dropped = [
            (table, column)
            for table, column in watched.columns
            if table not in watched.dropped
            and not found.has_item(watched.after.get(table, table), column)
        ]
        if dropped:
            raise CommandError(
                f"{_name(migration)} drops {_named(dropped)} because {self._vendor} makes the "
                f"table anew, so it was rolled back. {self._origin()}"
            )

    def _look_for_what_was_there(self, tables: Tables, migration: Migration) -> None:
        gone = {one: by for one, by in self.there_already.items() if not tables.has_item(*one)}
        if gone and is_foreseen(migration):
            raise CommandError(words(self.connection, gone, self.unapply))
        for item in gone:  # By SQL, which makes room.
            del self.there_already[item]

    def _origin(self) -> str:
        """Where what is unknown comes from, and what to do."""
        return (
            f"Migrations without a file here may have made it: {_names(self.lacking)}. To bring "
            f"the database into step, run `manage.py migrations_switch{self._option}`."
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
    The guard of what is applied and has no file here, or there and not applied; None without.

    Raises what broken migrations raise.
    """
    apps = {migration.app_label for migration, _ in steps}
    code = code_on_disk()
    lacking = _without_files(read_rows(connection), code, apps)
    there = _there_already(connection, steps)
    unapply = [(one.app_label, one.name) for one, backwards in steps if backwards]
    if not lacking:
        return Guard(connection, [], "", {}, {}, there, unapply) if there else None
    loader = MigrationLoader(connection)
    models = _models_on_disk(loader)
    refusal, made = "", list[Item]()
    # Where the sources of these migrations can't be read, the columns are there all the same.
    with suppress(Exception):
        refusal, made = _work_done(connection, code, steps, models)
    columns = [*_unknown_columns(connection, models)]
    watched = _watched(connection, steps, columns, loader)
    in_the_way = _made_again(connection, steps, {*columns, *made}, models)
    return Guard(connection, lacking, refusal, watched, in_the_way, there, unapply)


def _work_done(
    connection: BaseDatabaseWrapper, code: Code, steps: Steps, models: ProjectState
) -> tuple[str, list[Item]]:
    """
    Why the work of ``steps`` must not be done again, and the tables that others have made.

    Raises GitError, SnapshotError, SwitchError, and what broken migrations raise.
    """
    repository = Repository.find(project_root())
    workspace = Workspace(repository, SnapshotFile.find(repository), code)
    comparison = compare_with_target(connection, workspace, Options())
    plan = decide(connection, workspace, Options(), comparison).plan
    if plan is None:
        return "", []
    applies = {migration.app_label for migration, backwards in steps if not backwards}
    # Others of the app count, too: those that are applied instead may make its tables anew.
    pending = set(plan.recorded) & comparison.facts().pending
    again = _of(applies, {key for key in pending if not does_nothing(code.migrations[key])})
    others = _of({app for app, _ in again}, plan.forgotten)
    refusal = _words_of_refusal(again, others, connection) if again else ""
    return refusal, _unknown_tables(connection, plan, models)


def _there_already(connection: BaseDatabaseWrapper, steps: Steps) -> dict[Item, Key]:
    tables = Tables(connection)
    # Following all migrations of a new database would take a while, to find nothing.
    if not tables.dialect.rebuilds_tables or set(tables.names) <= {
        MigrationRecorder.Migration._meta.db_table
    }:
        return {}
    sure = {(one.app_label, one.name) for one, _ in steps if is_foreseen(one)}
    found = there_already(connection, *histories(connection, steps))
    return {item: key for item, key in found.items() if key in sure}


def _without_files(rows: Iterable[Key], code: Code, apps: Collection[str]) -> list[Key]:
    """The rows of ``apps`` that no migration in ``code`` explains."""
    replaced = {tuple(key) for one in code.migrations.values() for key in one.replaces}
    known = code.migrations.keys() | replaced
    return [key for key in rows if key[0] in apps and key not in known]


def _of(apps: Collection[str], keys: Iterable[Key]) -> list[Key]:
    return sorted(key for key in keys if key[0] in apps)


def _unknown_tables(
    connection: BaseDatabaseWrapper, plan: Plan, models: ProjectState
) -> list[Item]:
    """The tables that are there, and that no migration with a file has made."""
    size = connection.ops.max_name_length()
    held = plan.held.state(plan.held.ordered(plan.held.applied_nodes(), plan.rows))
    known, names = set(structure(models, size)), Tables(connection).names
    items = structure(held, size)
    return [
        (name, column)
        for name, column in items
        if column is None and name in names and (name, None) not in known
    ]


def _unknown_columns(connection: BaseDatabaseWrapper, models: ProjectState) -> Iterator[Item]:
    """The columns of Django's tables of which its models know nothing, whoever has made them."""
    size, found = connection.ops.max_name_length(), Tables(connection)
    known = set(structure(models, size))
    for table in sorted(tables(models, size) & found.names):
        # That of order_with_respect_to is no field of the state.
        others = (column for column in found.columns(table) if column != "_order")
        yield from ((table, column) for column in others if (table, column) not in known)


def _watched(
    connection: BaseDatabaseWrapper, steps: Steps, columns: list[Item], loader: MigrationLoader
) -> dict[Key, Watched]:
    """What each of ``steps`` must leave alone, where that is in danger."""
    if not (columns and Tables(connection).dialect.rebuilds_tables):
        return {}
    state, found = _models_on_disk(loader), dict[Key, Watched]()
    for migration, backwards in steps:
        key = migration.app_label, migration.name
        if backwards:
            state = loader.project_state(key, at_end=False)
        # The state is then the one after it.
        history = track(state, [migration], connection.ops.max_name_length())
        after, dropped = _undone(history) if backwards else _done(history)
        found[key] = Watched(_kept_by(migration, columns, after), after, dropped)
        there = [item for item in columns if item[0] not in dropped]
        columns = [(after.get(table, table), column) for table, column in there]
    return found


def _kept_by(
    migration: Migration, columns: Iterable[Item], touched: Collection[str]
) -> list[Item]:
    """Those of ``columns`` that a migration does not drop on purpose, as SQL may."""
    has_code = bool(raw_operations(migration))
    return [(table, column) for table, column in columns if table in touched or not has_code]


def _done(history: SchemaHistory) -> tuple[dict[str, str], set[str]]:
    """The new names of the tables that are touched and stay, and the names of the others."""
    return {old: new for old, (new, _) in history.by_original().items()}, {*history.dropped}


def _undone(history: SchemaHistory) -> tuple[dict[str, str], set[str]]:
    """The same if what ``history`` tells is taken back."""
    made = {name for name, table in history.tables.items() if table.original is None}
    return {new: old for old, (new, _) in history.by_original().items()}, made


def _made_again(
    connection: BaseDatabaseWrapper,
    steps: Steps,
    unknown: Collection[Item],
    models: ProjectState,
) -> dict[Key, list[Item]]:
    """What migrations that are about to be applied would make of ``unknown`` ones."""
    applied = [migration for migration, backwards in steps if not backwards]
    history = track(models.clone(), applied, connection.ops.max_name_length())
    found: dict[Key, list[Item]] = {}
    for name, table in history.tables.items():
        made: dict[Item, Table | Column] = {(name, None): table}
        if table.original is not None:
            made |= {(table.original, column): one for column, one in table.columns.items()}
        for item, one in made.items():
            if one.original is None and one.is_certain and item in unknown:
                found.setdefault(one.migration, []).append(item)
    return found


def _models_on_disk(loader: MigrationLoader) -> ProjectState:
    """The models after all that is applied and has a file."""
    return loader.project_state(sorted(loader.applied_migrations.keys() & loader.graph.nodes))


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
