"""Which columns of what is left applied make new rows fail, because the target gives no value."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.state import ProjectState
from django.db.models import AutoField

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.plan import Plan, is_stuck
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.schema.structure import StoredField, has_table, stored_fields, tables
from django_devtools.branches.sources.snapshots import Key

from .decision import Decision
from .outlook import Outlook


class Unfilled(NamedTuple):
    """A column of a table that the target has, too: NOT NULL, and without a default."""

    table: str
    column: str
    is_known: bool
    """Whether the target has it as well, and allows NULL; False if it knows no such column."""

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


def unfilled(outlook: Outlook) -> list[Unfilled]:
    """What a plan leaves in tables of the target that its code gives no value to."""
    try:
        expected = [*candidates(outlook.plan)]
    except (KeyError, FieldDoesNotExist):
        # What is left needs something of its branch, and does not say so.
        return []
    return [*_required(outlook.connection, expected, outlook.stash.tables.names)]


def unfilled_if_kept(decision: Decision, keys: Iterable[Key]) -> list[Unfilled]:
    """The same, if ``keys`` were left applied. Nothing where a work tree can't tell."""
    with suppress(SwitchError):
        return unfilled(_if_kept(decision, keys))
    return []


def described(found: Sequence[Unfilled], title: str) -> Iterator[str]:
    """Sentences about what fails with the code of the target, which has this ``title``."""
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
            yield f"new rows of {tables_of_these} fail: {title} {verb} {names}, {which}."


def is_helped_by_noop(plan: Plan, keys: Collection[Key]) -> bool:
    """Whether ``keys`` can be unapplied if what they run and can't take back counts as empty."""
    nodes, noop = plan.held.graph.nodes, Policy(Irreversible.NOOP)
    return all(key in nodes and not is_stuck(nodes[key], noop) for key in keys)


def _if_kept(decision: Decision, keys: Iterable[Key]) -> Outlook:
    answers = {**decision.options.answers, **dict.fromkeys(keys, Irreversible.KEEP)}
    return Outlook(decision.comparison, decision.options._replace(answers=answers))


def candidates(plan: Plan) -> Iterator[Unfilled]:
    """Those that the models of what is left applied have, by their names after the switch."""
    wanted, size = plan.wanted, plan.max_name_length
    left = wanted.graph.nodes.keys() & {*plan.left_applied}
    if not left:
        return
    everything = wanted.ordered(wanted.graph.nodes, plan.rows)
    target = wanted.state([key for key in everything if key not in left])
    shared, own = tables(target, size), {one.item: one.field for one in _fields(target, size)}
    for stored in _fields(wanted.state(everything), size):
        if stored.table in shared and _needs_value(stored):
            field = own.get(stored.item)
            if field is None or field.null:
                yield Unfilled(stored.table, stored.column, is_known=field is not None)


def _needs_value(stored: StoredField) -> bool:
    field = stored.field
    return not (stored.is_table or field.null or field.generated or isinstance(field, AutoField))


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
