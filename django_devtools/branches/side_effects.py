"""What fails with the code of the target, because it does not know what is left applied."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import AutoField, deletion

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.plan import Plan, is_stuck
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.schema.introspection import Tables
from django_devtools.branches.schema.structure import (
    Item,
    StoredField,
    has_table,
    stored_fields,
    table_of,
    tables,
)
from django_devtools.branches.sources.snapshots import Key

from .decision import Decision
from .outlook import Outlook

DELETE_FIRST = "Before that, delete the rows that refer to them, in manage.py dbshell."


class Unfilled(NamedTuple):
    """A column of a table that the target has, too: NOT NULL, and without a default."""

    table: str
    column: str
    is_known: bool
    """Whether the target has it as well, and allows NULL; False if it knows no such column."""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


class Referring(NamedTuple):
    """A foreign key that the target does not know, to a table that it has."""

    parent: str
    table: str
    column: str | None
    """None if it is in the table of a many-to-many field."""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}" if self.column else self.table


class Failure(NamedTuple):
    """What fails, in words."""

    words: str
    advice: str
    """What to do about it if what is left can't be unapplied."""


def side_effects(outlook: Outlook) -> list[Unfilled | Referring]:
    """What a plan leaves that makes new rows of the target fail, or deletes of its rows."""
    try:
        expected = [*candidates(outlook.plan)]
    except (KeyError, FieldDoesNotExist):
        # What is left needs something of its branch, and does not say so.
        return []
    there = outlook.stash.tables
    unfilled = [one for one in expected if isinstance(one, Unfilled)]
    referring = [one for one in expected if isinstance(one, Referring)]
    return [
        *_required(outlook.connection, unfilled, there.names),
        *(one for one in referring if _has_rows(there, one)),
    ]


def side_effects_if_kept(decision: Decision, keys: Iterable[Key]) -> list[Unfilled | Referring]:
    """The same, if ``keys`` were left applied. Nothing where a work tree can't tell."""
    with suppress(SwitchError):
        return side_effects(_if_kept(decision, keys))
    return []


def described(found: Sequence[Unfilled | Referring], title: str) -> Iterator[Failure]:
    """What fails with the code of the target, which has this ``title``."""
    unfilled = [one for one in found if isinstance(one, Unfilled)]
    yield from _inserts(unfilled, title)
    referring = [one for one in found if isinstance(one, Referring)]
    for parent in sorted({one.parent for one in referring}):
        keys = [str(one) for one in referring if one.parent == parent]
        names = ", ".join(keys)
        what = f"{names} refers to can't be deleted, because {title} does not know it."
        if len(keys) > 1:
            what = f"{names} refer to can't be deleted, because {title} does not know them."
        yield Failure(f"rows of {parent} that {what}", DELETE_FIRST)


def _inserts(found: Sequence[Unfilled], title: str) -> Iterator[Failure]:
    for verb, columns in (
        ("does not fill", [one for one in found if not one.is_known]),
        ("may leave out", [one for one in found if one.is_known]),
    ):
        if columns:
            names = ", ".join(map(str, columns))
            tables_of_these = ", ".join(sorted({one.table for one in columns}))
            which = "which is NOT NULL and has no default in the database"
            if len(columns) > 1:
                which = "which are NOT NULL and have no default in the database"
            yield Failure(
                f"new rows of {tables_of_these} fail: {title} {verb} {names}, {which}.",
                "Give that a default in the database.",
            )


def is_helped_by_noop(plan: Plan, keys: Collection[Key]) -> bool:
    """Whether ``keys`` can be unapplied if what they run and can't take back counts as empty."""
    nodes, noop = plan.held.graph.nodes, Policy(Irreversible.NOOP)
    return all(key in nodes and not is_stuck(nodes[key], noop) for key in keys)


def _if_kept(decision: Decision, keys: Iterable[Key]) -> Outlook:
    answers = {**decision.options.answers, **dict.fromkeys(keys, Irreversible.KEEP)}
    options = decision.options._replace(answers=answers)
    return Outlook(decision.comparison, options, decision.workspace.inspections)


def candidates(plan: Plan) -> Iterator[Unfilled | Referring]:
    """What the models of what is left applied have, by its names after the switch."""
    wanted, size = plan.wanted, plan.max_name_length
    left = wanted.graph.nodes.keys() & {*plan.left_applied}
    if not left:
        return
    everything = wanted.ordered(wanted.graph.nodes, plan.rows)
    target = wanted.state([key for key in everything if key not in left])
    shared, own = tables(target, size), {one.item: one.field for one in _fields(target, size)}
    state = wanted.state(everything)
    yield from _unfilled((one for one in _fields(state, size) if one.table in shared), own)
    for key in _foreign_keys(state, size):
        if key.parent in shared and (key.table, key.column) not in own:
            yield key


def _unfilled(found: Iterable[StoredField], own: Mapping[Item, Any]) -> Iterator[Unfilled]:
    """The fields that need a value, and are not in ``own``, or may be left out there."""
    for stored in filter(_needs_value, found):
        field = own.get(stored.item)
        if field is None or field.null:
            yield Unfilled(stored.table, stored.column, is_known=field is not None)


def _needs_value(stored: StoredField) -> bool:
    field = stored.field
    return not (stored.is_table or field.null or field.generated or isinstance(field, AutoField))


def _foreign_keys(state: ProjectState, max_name_length: int | None) -> Iterator[Referring]:
    """The foreign keys that the database itself does nothing about when a row is deleted."""
    by_database = getattr(deletion, "DatabaseOnDelete", ())  # Django 6.1
    for model in filter(has_table, state.models.values()):
        for stored in stored_fields(model, max_name_length).values():
            field: Any = stored.field
            relation = field.remote_field
            if not relation or isinstance(relation.on_delete, by_database):
                continue
            if not (relation if stored.is_table else field).db_constraint:
                continue
            key = resolve_relation(relation.model, model.app_label, model.name_lower)
            # The table of a many-to-many field refers to both models.
            parents = [state.models[key], *([model] if stored.is_table else [])]
            for parent in {table_of(one, max_name_length) for one in parents}:
                yield Referring(parent, *stored.item)


def _has_rows(there: Tables, key: Referring) -> bool:
    if not there.has_item(key.table, key.column):  # Routers may have it elsewhere.
        return False
    condition = f"{there.quote(key.column)} IS NOT NULL" if key.column else "1 = 1"
    return there.has_rows(key.table, condition)


def _fields(state: ProjectState, max_name_length: int | None) -> Iterator[StoredField]:
    for model in state.models.values():
        if has_table(model):
            yield from stored_fields(model, max_name_length).values()


def _required(
    connection: BaseDatabaseWrapper, columns: Iterable[Unfilled], names: Collection[str]
) -> Iterator[Unfilled]:
    """Those that are NOT NULL in the database, too, and have no default there: SQL may set one."""
    required: dict[str, set[str]] = {}
    for one in columns:
        if one.table not in required:
            required[one.table] = set()
            if one.table in names:  # Routers may have it elsewhere.
                with connection.cursor() as cursor:
                    found = connection.introspection.get_table_description(cursor, one.table)
                required[one.table] = {
                    row.name for row in found if not row.null_ok and row.default is None
                }
        if one.column in required[one.table]:
            yield one
