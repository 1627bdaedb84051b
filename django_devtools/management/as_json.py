"""What the commands print for programs: plans of switches, and entries of the stash."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.schema.tenants import name_of
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.entries import Entry
from django_devtools.branches.stash.stash import Stash

if TYPE_CHECKING:
    from django_devtools.branches.outlook import Outlook
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.switch import Switch

NOTHING_MOVES: dict[str, Any] = {"returns": [], "stays": []}


def entry_as_json(stash: Stash, entry: Entry) -> dict[str, Any]:
    """An entry of the stash."""
    return {
        "database": name_of(stash.connection),
        "id": entry.id,
        "table": entry.table,
        "columns": None if entry.is_table else list(entry.columns),
        "rows": entry.rows,
        "bytes": stash.tables.dialect.table_size(entry.copy),
        "branch": entry.branch,
        "migrations": entry.migrations,
        "at": entry.at.isoformat(),
        "copy": entry.copy,
        "reason": entry.reason or None,
    }


def plan_as_json(switch: "Switch") -> dict[str, Any]:
    """What a switch would do. Raises SwitchError where a work tree can't tell."""
    decision, plan = switch.decision, switch.decision.plan
    refusal, way_out = _refusal(switch)
    return {
        "database": name_of(switch.connection),
        "target": decision.comparison.target.title,
        "steps": list(_steps(switch)),
        "left": _left(plan) if plan is not None else [],
        "losses": _losses(decision.outlook, decision.options.stash) if plan is not None else [],
        **(_moves_of_stash(decision.outlook) if plan is not None or switch else NOTHING_MOVES),
        "refusal": refusal,
        "way_out": way_out,
    }


def _refusal(switch: "Switch") -> tuple[str | None, str | None]:
    try:
        switch.check()
    except SwitchError as error:
        way_out = switch.decision.command(error.way_out) if error.way_out else None
        return str(error), way_out
    return None, None


def _steps(switch: "Switch") -> Iterator[dict[str, Any]]:
    """All that is done to migrations and their rows, in this order."""
    comparison, plan = switch.decision.comparison, switch.decision.plan
    held, wanted = comparison.held_source, comparison.wanted_source
    if interrupted := switch.decision.interrupted:
        yield _step("finish", interrupted.key, held(interrupted.key))
    if plan is None:
        return
    for action, keys, source_of in (
        ("forget", plan.first_rows.forget, held),
        ("record", plan.first_rows.record, wanted),
        ("unapply", plan.unapply, held),
        ("forget", plan.forget, held),
        ("record", plan.record, wanted),
        ("apply", plan.apply, wanted),
        ("forget", plan.last_rows.forget, held),
        ("record", plan.last_rows.record, wanted),
    ):
        for key in keys:
            yield _step(action, key, source_of(key))


def _step(action: str, key: Key, source: Source | None) -> dict[str, Any]:
    return {"action": action, "app": key[0], "name": key[1], "source": _source(source)}


def _source(source: Source | None) -> dict[str, Any] | None:
    if source is None:
        return None
    return {
        "place": source.place,
        "at": source.at,
        "branch": source.branch,
        "commit": source.commit,
    }


def _left(plan: "Plan") -> list[dict[str, Any]]:
    """What the target lacks or has another text of, and the switch leaves as it is."""
    states = {key: plan.states.get(key) for key in sorted(plan.left_as_is)}
    return [
        {"app": app, "name": name, "state": state.value if state else None}
        for (app, name), state in states.items()
    ]


def _losses(outlook: "Outlook", are_saved: bool) -> list[dict[str, Any]]:
    return [
        {
            "table": loss.table,
            "column": loss.column,
            "narrowed": loss.becomes is not None,
            "rows": outlook.rows(loss),
            "saved": are_saved,
            "migration": ".".join(loss.migration),
        }
        for loss in outlook.losses()
    ]


def _moves_of_stash(outlook: "Outlook") -> dict[str, Any]:
    stash, expected = outlook.stash, outlook.expected()
    return {
        "returns": [entry_as_json(stash, entry) for entry in expected.restored],
        "stays": [{**entry_as_json(stash, one), "because": why} for one, why in expected.staying],
    }
