"""
The snapshot file as JSON.

Of each migration, it has the blob of its text and the time of its row, and under ``projects`` the
tree of the project at that time::

    {"format": 1, "databases": {"sqlite:/srv/db.sqlite3": {"main": {"commit": "4d7d07d…", …,
        "applied": {"shop": {"0001_initial": ["9fceb02…", "2026-11-21T09:13:02.725398"]}},
        "projects": {"a61f02c…": {"shop": ["0001_initial"]}}}}},
     "begun": …, "irreversible": …, "last_switch": …}

``begun`` is what was about to be applied; the others are of ``remembered.py``.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from .remembered import Answer, Answers, LastSwitch, LastSwitches
from .snapshots import Begun, Key, Record, Snapshot, Snapshots, is_line

FORMAT = 1

# The same lines and ids stand in the file many times, and a switch reads it more than once.
_is_line = cache(is_line)
_is_object_id = cache(re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}").fullmatch)


class Contents(NamedTuple):
    """All that the file has."""

    snapshots: Snapshots
    begun: Begun
    answers: Answers
    last: LastSwitches


def to_json(contents: Contents) -> dict[str, Any]:
    data: dict[str, Any] = {
        "format": FORMAT,
        "databases": {
            database: {branch: _snapshot_to_json(found[branch]) for branch in sorted(found)}
            for database, found in sorted(contents.snapshots.items())
            if found
        },
    }
    others = {
        "begun": _by_database(contents.begun, _begun_to_json),
        "irreversible": _by_database(contents.answers, _answers_to_json),
        "last_switch": _by_database(contents.last, _switch_to_json),
    }
    return data | {name: found for name, found in others.items() if found}


def _by_database(found: Mapping[str, Any], to_json: Callable[[Any], Any]) -> dict[str, Any]:
    return {database: to_json(one) for database, one in sorted(found.items()) if one}


def _begun_to_json(begun: Iterable[Snapshot]) -> list[Any]:
    return [[one.branch, _snapshot_to_json(one)] for one in begun]


def _switch_to_json(switch: LastSwitch) -> dict[str, Any]:
    after: dict[str, dict[str, str]] | None = None
    if switch.after is not None:
        after = {}
        for (app, name), at in switch.after.items():
            after.setdefault(app, {})[name] = at
    return {
        "at": switch.at,
        "before": [switch.before.branch, _snapshot_to_json(switch.before)],
        "notes": [*switch.notes],
        "after": after,
        "is_done": switch.is_done,
        "left": _keys_to_json(switch.left),
        "about": _keys_to_json(switch.about),
        "earlier": [*switch.earlier],
        "roll_back_shared": switch.roll_back_shared,
        "rerun": switch.rerun,
        "pace": switch.pace,
    }


def _keys_to_json(keys: Iterable[Key]) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    for app, name in sorted(keys):
        result.setdefault(app, []).append(name)
    return result


def _answers_to_json(answers: Mapping[Key, Answer]) -> dict[str, dict[str, list[str]]]:
    result: dict[str, dict[str, list[str]]] = {}
    for (app, name), answer in sorted(answers.items()):
        result.setdefault(app, {})[name] = [*answer]
    return result


def _snapshot_to_json(snapshot: Snapshot) -> dict[str, Any]:
    data: dict[str, Any] = {
        "commit": snapshot.commit,
        "taken": snapshot.taken,
        "packages": dict(sorted(snapshot.packages.items())),
        "applied": _records_to_json(snapshot.applied),
        "obsolete": _records_to_json(snapshot.obsolete),
    }
    if projects := _projects_to_json(snapshot.records()):
        data["projects"] = projects
    return data


def _projects_to_json(records: Mapping[Key, Record]) -> dict[str, dict[str, list[str]]]:
    result: dict[str, dict[str, list[str]]] = {}
    for (app, name), record in sorted(records.items()):
        if record.project:
            result.setdefault(record.project, {}).setdefault(app, []).append(name)
    return result


def _records_to_json(records: Mapping[Key, Record]) -> dict[str, dict[str, list[str | None]]]:
    result: dict[str, dict[str, list[str | None]]] = {}
    for (app, name), record in sorted(records.items()):
        result.setdefault(app, {})[name] = [record.blob, record.at]
    return result


def from_json(data: dict[str, Any]) -> Contents:
    if type(data["format"]) is not int or data["format"] != FORMAT:
        raise ValueError(f"not a format: {data['format']!a:.60}")
    snapshots = {
        database: {
            branch: _snapshot_from_json(branch, snapshot) for branch, snapshot in found.items()
        }
        for database, found in data["databases"].items()
    }
    begun = {
        database: [_snapshot_from_json(branch, snapshot) for branch, snapshot in found]
        for database, found in data.get("begun", {}).items()
    }
    answers = {
        database: _answers_from_json(found)
        for database, found in data.get("irreversible", {}).items()
    }
    last = {
        database: _switch_from_json(switch)
        for database, switch in data.get("last_switch", {}).items()
    }
    return Contents(snapshots, begun, answers, last)


def _switch_from_json(data: dict[str, Any]) -> LastSwitch:
    branch, snapshot = data["before"]
    rows = None
    if data["after"] is not None:
        rows = {
            (line_of(app), line_of(name)): line_of(applied)
            for app, names in data["after"].items()
            for name, applied in names.items()
        }
    return LastSwitch(
        line_of(data["at"]),
        _snapshot_from_json(branch, snapshot),
        [str(note) for note in data["notes"]],
        rows,
        bool(data["is_done"]),
        _keys_from_json(data.get("left", {})),
        _keys_from_json(data.get("about", {})),
        [line_of(at) for at in data.get("earlier", [])],
        bool(data.get("roll_back_shared")),
        bool(data.get("rerun")),
        _pace(data.get("pace", 0)),
    )


def _pace(value: Any) -> float:
    # Python reads NaN from JSON, too.
    if not 0 <= value < math.inf:
        raise ValueError(f"not a pace: {value!a:.60}")
    return float(value)


def _keys_from_json(data: dict[str, Any]) -> set[Key]:
    return {(line_of(app), line_of(name)) for app, names in data.items() for name in names}


def _answers_from_json(data: dict[str, Any]) -> dict[Key, Answer]:
    return {
        (line_of(app), line_of(name)): _answer(*answer)
        for app, migrations in data.items()
        for name, answer in migrations.items()
    }


def _answer(choice: Any, text: Any, at: Any, branch: Any = "") -> Answer:
    if choice not in ("keep", "noop"):
        raise ValueError(f"not an answer: {choice!a:.60}")
    return Answer(choice, text and _object_id(text), line_of(at), line_of(branch))


def _snapshot_from_json(branch: str, data: dict[str, Any]) -> Snapshot:
    projects = _projects_from_json(data.get("projects", {}))
    return Snapshot(
        branch=line_of(branch),
        commit=None if data["commit"] is None else _object_id(data["commit"]),
        taken=line_of(data["taken"]),
        packages={line_of(app): _dotted(package) for app, package in data["packages"].items()},
        applied=_records_from_json(data["applied"], projects),
        obsolete=_records_from_json(data["obsolete"], projects),
    )


def _projects_from_json(data: dict[str, Any]) -> dict[Key, str]:
    return {
        (line_of(app), line_of(name)): _object_id(project)
        for project, apps in data.items()
        for app, names in apps.items()
        for name in names
    }


def _records_from_json(data: dict[str, Any], projects: Mapping[Key, str]) -> dict[Key, Record]:
    records = {}
    for app, migrations in data.items():
        label = line_of(app)
        for name, (blob, at) in migrations.items():
            key = label, line_of(name)
            blob_id = None if blob is None else _object_id(blob)
            records[key] = Record(blob_id, line_of(at), projects.get(key))
    return records


def line_of(value: Any) -> str:
    if not isinstance(value, str) or not _is_line(value):
        raise ValueError(f"not a line of text: {value!a:.60}")
    return value


def _dotted(value: Any) -> str:
    # Python also imports modules whose names are no identifiers.
    if not all(line_of(value).split(".")):
        raise ValueError(f"not a module: {value!a:.60}")
    return line_of(value)


def _object_id(value: Any) -> str:
    if not isinstance(value, str) or not _is_object_id(value):
        raise ValueError(f"not a git object: {value!a:.60}")
    return value
