"""
What has to be true before a switch may begin.

Each precondition is a function that looks at a decision and returns the words of a refusal: what
the switch would do, to which thing, and what to type. It returns None where nothing is in the way.

Three refusals are elsewhere: of the commands where DEBUG is off (``require_debug`` in
``management/base.py``), of targets that can't be found (``sources/target.py``), and of migrations
that don't run at the commit they came from either (``running/worktree.py``).
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import (
    AddField,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
)
from django.db.migrations.operations.base import Operation

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.plan import Plan
from django_devtools.branches.planning.policy import Irreversible
from django_devtools.branches.running.narrowing import is_lossless
from django_devtools.branches.schema.changes import DataLoss
from django_devtools.branches.schema.operations import hidden_operations, raw_operations
from django_devtools.branches.schema.structure import field_of
from django_devtools.branches.sources.history import Fetched
from django_devtools.branches.sources.snapshots import Key

from .decision import Decision
from .outlook import count_rows
from .progress import database_option
from .side_effects import Unfilled, described, is_helped_by_noop, side_effects_if_kept
from .there_already import Made, is_foreseen, there_already, words_if_applied, words_if_unapplied

logger = logging.getLogger("django_devtools.branches")


def check(decision: Decision) -> None:
    """
    Raise SwitchError with the words of the first precondition that is not met.

    And where a work tree can't tell what its migrations do.
    """
    if decision.plan is None:
        return
    for precondition in PRECONDITIONS:
        if words := precondition(decision, decision.plan):
            logger.debug("%s: refused by %s", decision.connection.alias, precondition.__name__)
            way_out = WAYS_OUT.get(precondition)
            raise SwitchError(words, way_out(decision, decision.plan) if way_out else "")
        logger.debug("%s: satisfies %s", decision.connection.alias, precondition.__name__)


def nothing_is_recreated(decision: Decision, plan: Plan) -> str | None:
    """No migration was deleted and written anew, where its tables hold rows."""
    recreated = [key for key in plan.not_rolled_back if key in decision.comparison.traces]
    if not recreated:
        return None
    apps = sorted({app for app, _ in recreated})
    prune = ", ".join(f"`manage.py migrate {app} --prune`" for app in apps)
    return (
        f"{_names(recreated)} was deleted and recreated, and unapplying it would empty tables "
        "that the target has as well. If you don't need their rows, run "
        f"`{decision.command('--roll-back-shared')}`. If the database is right already: "
        f"`manage.py migrate --fake`, then {prune}.{_way_round(decision, recreated)}"
    )


def _way_round(decision: Decision, recreated: Collection[Key]) -> str:
    """The commit that had the migrations of both sides, where one replaced the other's."""
    comparison = decision.comparison
    found = [comparison.replacing[key] for key in recreated if key in comparison.replacing]
    past = comparison.target.past.commit
    if past and not found:
        found = list(comparison.provenance.history.before_deletions(recreated, past).values())
    if not found:
        return ""
    return (
        " If migrations were squashed, keep the rows by way of the last commit that had "
        f"the old ones: `manage.py migrations_switch {found[0]}`, then `{decision.command()}`."
    )


def sources_are_found(decision: Decision, plan: Plan) -> str | None:
    """The text of each migration that is to be unapplied is known, and no other one it may be."""
    if not plan.missing_sources:
        return None
    ambiguous = decision.comparison.provenance.history.ambiguous
    several = [key for key in plan.missing_sources if key in ambiguous]
    if several:
        return "\n".join(
            f"The text that {'.'.join(key)} was applied from is not recorded, and these branches "
            f"have different ones: {', '.join(ambiguous[key])}. Check out the one it came from, "
            "run `manage.py migrations_snapshot`, and come back."
            for key in several
        )
    if fetched := decision.fetched:
        return "\n".join(_not_run(decision, key, one) for key, one in fetched.items())
    repository = decision.workspace.repository
    command = repository.completion() if repository else None
    fetch = f" (`{command}` brings the history that this clone lacks)" if command else ""
    return (
        f"The source of {_names(plan.missing_sources)} was not found: not on disk, not in a "
        f"snapshot, not in the git history of any ref{fetch}. Put the file back, fetch the branch "
        "or install the version of the package that has it, or leave it applied with "
        f"--irreversible=keep.{_what_then_fails(decision, plan.missing_sources)}"
    )


def squashes_are_whole(decision: Decision, plan: Plan) -> str | None:
    """Nothing is applied on top of a squash of which a part is missing, whose text is unknown."""
    found = decision.comparison
    in_part = found.applied_in_part() if plan.apply else {}
    for key in plan.apply:
        for squash in in_part.keys() & set(found.wanted[key].dependencies):
            return f"{'.'.join(key)} depends on {'.'.join(squash)}. {found.words_of_part(squash)}"
    return None


def _not_run(decision: Decision, key: Key, fetched: Fetched) -> str:
    ref = fetched.ref or fetched.commit
    return (
        f"{'.'.join(key)} is applied, and only {fetched} has it. That was fetched and never "
        f"checked out here, so its code is not run. Read it: `git show {fetched.commit}`. "
        f"If you trust {ref} and its history, run `{decision.command('--trust', ref)}`. If not, "
        "leave the migration applied with --irreversible=keep."
    )


def all_is_reversible(decision: Decision, plan: Plan) -> str | None:
    """Each migration that is to be unapplied has a reverse."""
    stuck = decision.outlook.irreversible
    if not stuck:
        return None
    lines = [f"{app}.{name} can't be unapplied: it has no reverse." for app, name in stuck]
    policy = decision.outlook.policy
    may_help = any(policy.of(key) is not Irreversible.NOOP for key in stuck)
    noop = ", or treat RunPython and RunSQL as empty with --irreversible=noop" if may_help else ""
    advice = f"Leave it applied with --irreversible=keep{noop}."
    return "\n".join([*lines, f"{advice}{_what_then_fails(decision, stuck)}"])


def _what_then_fails(decision: Decision, keys: Collection[Key]) -> str:
    """Which rows the target can't add or delete if ``keys`` are left applied."""
    found = side_effects_if_kept(decision, keys)
    title = decision.comparison.target.title
    return "".join(f"\nIf it is left applied, {one.words}" for one in described(found, title))


def what_is_left_fits(decision: Decision, plan: Plan) -> str | None:
    """What is left applied refers to no model that the target lacks."""
    if not (plan.left_applied and plan.apply):
        return None
    state = plan.wanted.state(plan.wanted.ordered(plan.wanted.graph.nodes, plan.rows))
    lacking = [key for key in state.relations if key not in state.models]
    lacking = [key for key in lacking if key[0] not in state.real_apps]
    if not lacking:
        return None
    return (
        f"What is left applied ({_names(plan.left_applied)}) refers to "
        f"{_names(sorted(lacking))}, which {decision.comparison.target.title} lacks. To have it "
        "unapplied, with its RunPython and RunSQL treated as empty, run "
        f"`{decision.command('--irreversible=noop')}`."
    )


def what_is_left_is_not_made_again(decision: Decision, plan: Plan) -> str | None:
    """What is left applied has made nothing that the target would make as well."""
    left, wanted = _left_names(plan), plan.wanted.graph.nodes
    found = [
        (key, name) for key in plan.apply for name in _made_names(wanted[key]) if name in left
    ]
    if not found:
        return None
    key, name = found[0]
    return (
        f"What is left applied has made {'.'.join(name)} (by {left[name]}), which "
        f"{'.'.join(key)} would make as well. To have it unapplied, with its RunPython and RunSQL "
        f"treated as empty, run `{decision.command('--irreversible=noop')}`."
    )


_GIVES_WAY = (DeleteModel, RemoveField, RenameField, RenameModel)


def _left_names(plan: Plan) -> dict[tuple[str, ...], str]:
    """What is left applied has made these, each by a migration."""
    held = plan.held.graph.nodes
    nodes = [held[key] for key in plan.left_applied if key in held]
    # Something else may have these names by now, or nothing.
    if any(isinstance(one, _GIVES_WAY) for node in nodes for one in node.operations):
        return {}
    return {name: f"{node.app_label}.{node.name}" for node in nodes for name in _made_names(node)}


def _made_names(migration: Migration) -> list[tuple[str, ...]]:
    """The models that a migration creates and the fields that it adds, by their apps."""
    app, found = migration.app_label, list[tuple[str, ...]]()
    for operation in migration.operations:
        if isinstance(operation, CreateModel):
            found.append((app, operation.name_lower))
        elif isinstance(operation, AddField):
            found.append((app, operation.model_name_lower, operation.name_lower))
    return found


def rows_agree_with_target(decision: Decision, plan: Plan) -> str | None:
    """Nothing is dropped that the target has by a migration that counts as applied."""
    lost = decision.outlook.dropped_backwards()
    broken = plan.broken_by(lost)
    # A text that can't be imported here does not tell what else made that.
    if not broken and not decision.outlook.findings:
        broken = plan.made_twice(lost)
    if not broken:
        return None
    return (
        "The rows of django_migrations contradict the target. According to them, the target has "
        f"what this switch would drop and never create again: {_named(broken)}. Compare with "
        "`manage.py migrations_status`, and correct the rows with `manage.py migrate --fake`."
    )


def nothing_is_made_over(decision: Decision, plan: Plan) -> str | None:
    """Nothing is made that is there already."""
    if not _is_foreseen(decision, plan):
        return None
    nodes = {**plan.held.graph.nodes, **plan.wanted.graph.nodes}
    for made in there_already(decision.outlook.stash.tables, plan.backwards, plan.forwards):
        if is_foreseen(nodes[made.migration]):
            return _words_of_made(decision, plan, made)
    return None


def _words_of_made(decision: Decision, plan: Plan, made: Made) -> str:
    if made.migration in plan.unapply:
        return words_if_unapplied(decision.connection, made)
    place = [*plan.apply].index(made.migration) + 1
    applied = {*plan.wanted.applied_nodes(), *plan.apply[:place]}
    after = plan.wanted.state(plan.wanted.ordered(applied, plan.rows))
    later = [plan.wanted.graph.nodes[key] for key in plan.apply[place:]]
    return words_if_applied(decision.connection, made, after, later)


def nothing_is_dropped_along(decision: Decision, plan: Plan) -> str | None:
    """No DROP takes along a view, or a foreign key of a table, that the plan says nothing of."""
    found = _dropped_along(decision, plan)
    if not found:
        return None
    shell = f"manage.py dbshell{database_option(decision.connection)}"
    return (
        f"This switch would drop {_named(dict.fromkeys(found.values()))}. That would take along "
        "what no migration of it is about. "
        f"If you don't need it, run `{'; '.join(found)}` in `{shell}`, and then "
        f"`{decision.command()}`."
    )


def foreign_keys_have_values(decision: Decision, plan: Plan) -> str | None:
    """No foreign key that becomes NOT NULL is NULL in any row."""
    tables, nulls = decision.outlook.stash.tables, {}
    for loss in decision.outlook.losses():
        if loss.needs_parent:
            whole = DataLoss(loss.migration, loss.model, loss.table)
            nulls[loss] = count_rows(tables, whole) - count_rows(tables, loss)
    what = ", ".join(
        f"{loss.table}.{loss.column} is NULL in {count} row{'s' * (count != 1)}, which only "
        f"{'.'.join(loss.migration)} allows"
        for loss, count in nulls.items()
        if count
    )
    if not what:
        return None
    return (
        f"{what}. It is a foreign key, so no other value can replace NULL. Let these rows refer "
        "to something, or delete them."
    )


def primary_keys_fit(decision: Decision, plan: Plan) -> str | None:
    """No column of a primary key gets too narrow for the values in it."""
    if not decision.options.stash:
        return None
    tables = decision.outlook.stash.tables
    narrowed = [
        loss
        for loss in decision.outlook.losses()
        if loss.becomes and loss.table in tables.names and loss.column in tables.key(loss.table)
    ]
    what = ", ".join(
        f"{loss.table}.{loss.column} has values that are only sure to fit with "
        f"{'.'.join(loss.migration)}"
        for loss in _that_do_not_fit(decision, plan, narrowed)
    )
    if not what:
        return None
    return (
        f"{what}. It is part of the primary key, which identifies the rows, so its values can't "
        "be shortened. Give these rows other keys, or delete them."
    )


def tables_are_listed(decision: Decision, plan: Plan) -> str | None:
    """Each table that is dropped can be found, and so be saved in the stash."""
    # A migration that was interrupted may have dropped it; nor is it known of an outline.
    if not decision.options.stash or decision.interrupted or decision.outlook.findings:
        return None
    unlisted = _unlisted(decision, plan)
    if not unlisted:
        return None
    return (
        f"{_named(unlisted)} would be dropped and can't be saved: the database lists no table of "
        "this name. Save its data yourself, and then run "
        f"`{decision.command('--no-stash')}`. If the table is gone already: `manage.py migrate "
        "--fake`."
    )


def shared_tables_are_empty(decision: Decision, plan: Plan) -> str | None:
    """Nothing is dropped with its data, without the stash, that the target has as well."""
    if decision.options.stash or decision.options.roll_back_shared:
        return None
    shared = plan.shared_by(decision.outlook.dropped_backwards())
    filled = [loss for loss in shared if decision.outlook.rows(loss)]
    if not filled:
        return None
    return (
        "This switch would drop something that the target has as well, together with its data: "
        f"{_named(filled)}. Without --no-stash the data is saved. If you don't need it, run "
        f"`{decision.command('--no-stash', '--roll-back-shared')}`."
    )


def _keep(decision: Decision, plan: Plan) -> str:
    return "--irreversible=keep"


def _noop(decision: Decision, plan: Plan) -> str:
    return "--irreversible=noop"


def _past_irreversible(decision: Decision, plan: Plan) -> str:
    """To leave it applied, unless no rows can be added then, and there is another way."""
    stuck = decision.outlook.irreversible
    failing = side_effects_if_kept(decision, stuck) if is_helped_by_noop(plan, stuck) else []
    if any(isinstance(one, Unfilled) for one in failing):
        return _noop(decision, plan)
    return _keep(decision, plan)


Precondition = Callable[[Decision, Plan], str | None]

PRECONDITIONS: list[Precondition] = [
    nothing_is_recreated,
    # What follows looks into the migrations, so their texts come first.
    sources_are_found,
    squashes_are_whole,
    all_is_reversible,
    what_is_left_fits,
    what_is_left_is_not_made_again,
    rows_agree_with_target,
    nothing_is_made_over,
    nothing_is_dropped_along,
    # What follows looks into the tables.
    foreign_keys_have_values,
    primary_keys_fit,
    tables_are_listed,
    shared_tables_are_empty,
]
"""In the order in which they are asked: the first one that is not met refuses."""

WAYS_OUT: dict[Precondition, Callable[[Decision, Plan], str]] = {
    sources_are_found: _keep,
    all_is_reversible: _past_irreversible,
    what_is_left_fits: _noop,
    what_is_left_is_not_made_again: _noop,
}
"""What gives the options with which they would not refuse, and that lose nothing."""


def _dropped_along(decision: Decision, plan: Plan) -> dict[str, DataLoss]:
    """What is dropped that takes something else along, by the SQL that drops the latter."""
    if not _is_foreseen(decision, plan):
        return {}
    lost = [loss for loss in decision.outlook.losses() if loss.becomes is None]
    dropped = {loss.item: loss for loss in [*decision.outlook.dropped_backwards(), *lost]}
    named = dropped.keys() | _touched(plan)
    found = {}
    for loss in dropped.values():
        for dependent in decision.outlook.stash.tables.dialect.dependents(*loss.item):
            items = {(dependent.table, column) for column in (None, *dependent.columns)}
            if not items & named:
                found[dependent.drop] = loss
    return found


def _is_foreseen(decision: Decision, plan: Plan) -> bool:
    """Whether the plan tells all that the switch drops, by the names that it has now."""
    # Midway in a migration, things have neither their old names nor their new ones; and a text
    # that can't be imported here does not tell what it touches.
    if decision.interrupted or decision.outlook.findings:
        return False
    return not _may_drop_views(plan)


def _may_drop_views(plan: Plan) -> bool:
    """Whether something in the plan may drop what it made by SQL."""
    nodes = [plan.held.graph.nodes[key] for key in plan.unapply]
    nodes += [plan.wanted.graph.nodes[key] for key in plan.apply]
    return any(not isinstance(operation, RunPython) for operation in hidden_operations(nodes))


def _touched(plan: Plan) -> set[tuple[str, str | None]]:
    """The columns that the plan changes, by their names before and after it."""
    found: set[tuple[str, str | None]] = set()
    for history in (plan.backwards, plan.forwards):
        for name, table in history.tables.items():
            found |= {(name, column) for column in table.columns}
            found |= {(table.original or name, column) for column in table.by_original()}
    return found


def _that_do_not_fit(
    decision: Decision, plan: Plan, narrowed: Collection[DataLoss]
) -> Iterable[DataLoss]:
    """The columns whose values have no room, neither midway nor at the end of the switch."""
    if not narrowed:
        return
    held, wanted, size = plan.held, plan.wanted, plan.max_name_length
    now = held.state(held.ordered(held.applied_nodes(), plan.rows))
    midway = held.state(plan.remaining)
    then = wanted.state(wanted.ordered(wanted.applied_nodes(), plan.rows))
    for loss in narrowed:
        table, column = loss.table, str(loss.column)
        new_table, new_column = loss.becomes or loss.item
        old = field_of(now, table, column, size)
        end = field_of(then, new_table, str(new_column), size)
        between = field_of(midway, new_table, str(new_column), size) or end
        tables = decision.outlook.stash.tables
        if not all(is_lossless(tables, table, column, old, new) for new in (between, end)):
            yield loss


def _unlisted(decision: Decision, plan: Plan) -> list[DataLoss]:
    """What is dropped with tables that should be there, and that the database does not list."""
    names, lost = decision.outlook.stash.tables.names, decision.outlook.losses()
    missing = [loss for loss in lost if loss.is_certain and loss.table not in names]
    if not missing or _runs_sql(plan):  # SQL may have dropped it.
        return []
    expected = _tables_of_models(decision.connection, plan)
    return [loss for loss in missing if loss.table in expected]


def _runs_sql(plan: Plan) -> bool:
    migrations = [plan.held.graph.nodes[key] for key in plan.unapply]
    raw = [operation for migration in migrations for operation in raw_operations(migration)]
    return any(isinstance(operation, RunSQL) for operation in raw)


def _tables_of_models(connection: BaseDatabaseWrapper, plan: Plan) -> set[str]:
    """The tables that the applied migrations should have made here, and that are no views."""
    state = plan.held.state(plan.held.ordered(plan.held.applied_nodes(), plan.rows))
    models: list[Any] = state.apps.get_models(include_auto_created=True)
    found = {
        model._meta.db_table
        for model in models
        if Operation().allow_migrate_model(connection.alias, model._meta.auto_created or model)
    }
    return found - set(connection.introspection.table_names(include_views=True))


def _named(losses: Iterable[DataLoss]) -> str:
    return ", ".join(f"{loss} (by {'.'.join(loss.migration)})" for loss in losses)


def _names(keys: Iterable[Key]) -> str:
    return ", ".join(map(".".join, keys))
