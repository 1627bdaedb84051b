"""Migrations and facts made in memory: no files, no git, no database."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import migrations, models
from django.db.migrations import Migration
from django.db.migrations.operations.base import Operation

from django_devtools.branches.planning.classify import Facts
from django_devtools.branches.sources.loader import variant
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.snapshots import Key

History = dict[Key, Migration]

OWN, OTHER, MISSING, UNKNOWN = Origin.OWN, Origin.OTHER, Origin.MISSING, Origin.UNKNOWN


def nothing(apps: object, schema_editor: object) -> None:
    """What a RunPython calls."""


def create(model: str = "Product", *fields: str) -> Operation:
    """Create ``model`` with a column for each of ``fields``."""
    columns = [(name, models.IntegerField(null=True)) for name in fields]
    return migrations.CreateModel(model, [("id", models.AutoField(primary_key=True)), *columns])


def add(field: str, model: str = "product") -> Operation:
    """Add a column."""
    return migrations.AddField(model, field, models.IntegerField(null=True))


def remove(field: str, model: str = "product") -> Operation:
    """Remove a column."""
    return migrations.RemoveField(model, field)


def run(reversible: bool = True) -> Operation:
    """Run Python code that does nothing."""
    return migrations.RunPython(nothing, nothing if reversible else None)


def key(name: str, app: str = "shop") -> Key:
    """The key of a migration of ``app``."""
    return app, name


def keys(*names: str, app: str = "shop") -> list[Key]:
    """The keys of migrations of ``app``."""
    return [key(name, app) for name in names]


def line(app: str = "shop", **named: Operation | list[Operation]) -> History:
    """Migrations of one app, by name. Each depends on the one before."""
    found: History = {}
    previous: list[Key] = []
    for name, operations in named.items():
        listed = operations if isinstance(operations, list) else [operations]
        migration = variant(Migration(name, app), operations=listed, dependencies=previous)
        found[app, name] = migration
        previous = [(app, name)]
    return found


def after(history: History, name: Key, *parents: Key) -> History:
    """``history``, where the migration ``name`` depends on ``parents`` as well."""
    dependencies = [*history[name].dependencies, *parents]
    return history | {name: variant(history[name], dependencies=dependencies)}


def squash(name: str, replaces: list[Key], *operations: Operation, app: str = "shop") -> History:
    """A squashed migration."""
    migration = Migration(name, app)
    return {(app, name): variant(migration, operations=list(operations), replaces=replaces)}


def facts(
    held: History,
    wanted: History,
    origins: Origin | Mapping[Key, Origin] = OTHER,
    rows: Collection[Key] | None = None,
    **more: Any,
) -> Facts:
    """
    Facts where all of ``held`` is applied, and besides that ``rows``.

    ``origins`` is that of all that the target lacks, or one for each.
    """
    rows = list(held) if rows is None else rows
    foreign = [row for row in rows if row not in wanted]
    if isinstance(origins, Origin):
        origins = dict.fromkeys(foreign, origins)
    return Facts(rows, held, wanted, origins, **more)
