"""Follows what is in the stash through the renames of migrations that were applied since."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.tracker import SchemaHistory, track

from .entries import Entry


class Names(NamedTuple):
    """The names that a table and its columns have by now."""

    table: str
    columns: Mapping[str, str]
    """By the names that they have in the stash."""

    def after(self, history: SchemaHistory) -> "Names":
        """The names after the migrations of ``history``; these are the names before."""
        name, table = history.by_original().get(self.table, (self.table, None))
        new = table.by_original() if table else {}
        columns = {
            saved: new[now][0] if now in new else now for saved, now in self.columns.items()
        }
        return Names(name, columns)

    def before(self, history: SchemaHistory) -> "Names | None":
        """
        The names before the migrations of ``history``; these are the names after.

        Without columns that they made. None if they made the table.
        """
        table = history.tables.get(self.table)
        if table is None:
            return self
        if table.original is None:
            return None
        columns = {
            saved: table.columns[now].original if now in table.columns else now
            for saved, now in self.columns.items()
        }
        return Names(table.original, {saved: old for saved, old in columns.items() if old})

    def changed(self) -> dict[str, str]:
        """The new names of the columns that have other ones in the stash."""
        return {saved: now for saved, now in self.columns.items() if saved != now}

    def missing(self, tables: Tables) -> set[str]:
        """The columns, by their names in the stash, that do not exist."""
        there = tables.columns(self.table) if self.table in tables.names else {}
        return {saved for saved, now in self.columns.items() if now not in there}


def names_in_stash(entry: Entry) -> Names:
    """The names that the table and the columns of ``entry`` have in the stash."""
    return Names(entry.table, {name: name for name in [*entry.key, *entry.columns]})


def present_names(connection: BaseDatabaseWrapper, entry: Entry) -> Names | None:
    """
    The names that the table and the columns of ``entry`` have by now.

    None if they are where they were, or if the migrations that were applied since it was saved do
    not lead to anything that exists.
    """
    tables = Tables(connection)
    saved = names_in_stash(entry)
    missing = saved.missing(tables)
    if not missing or entry.is_narrowed:
        return None
    names = saved
    for history in _histories_since(connection, entry):
        names = names.after(history)
    is_found = len(names.missing(tables)) < len(missing)
    # If two columns have changed names, the one can't be renamed before the other.
    is_clear = not names.changed().keys() & set(names.changed().values())
    return names if is_found and is_clear else None


def _histories_since(connection: BaseDatabaseWrapper, entry: Entry) -> Iterator[SchemaHistory]:
    """What each migration did that was applied since ``entry`` was saved, in their order."""
    executor = MigrationExecutor(connection)
    applied = MigrationRecorder(connection).applied_migrations()
    longest = connection.ops.max_name_length()
    state = ProjectState(real_apps=executor.loader.unmigrated_apps)
    for migration in _in_order(executor):
        key = (migration.app_label, migration.name)
        row = applied.get(key)
        if row is not None and row.applied >= entry.at:
            yield track(state, [migration], longest)
        elif key in executor.loader.applied_migrations:
            migration.mutate_state(state, preserve=False)


def _in_order(executor: MigrationExecutor) -> Iterable[Migration]:
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes(), clean_start=True)
    return [migration for migration, _ in plan]
