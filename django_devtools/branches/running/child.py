"""
Runs one pass of a switch in a work tree of the project whose code it needs.

A migration may import helpers that this checkout does not have. In that case a temporary work tree
gets the project as it was recorded, and a child process runs the pass there. The child gets
the resolved DATABASES: the settings of the work tree may point at a database inside it.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import django
from django.conf import settings
from django.core.management.base import OutputWrapper
from django.core.management.color import color_style, no_style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.planning.plan import Plan, is_emptied, is_stuck
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.progress import Progress
from django_devtools.branches.schema.tenants import Tenant, tenant_of, work_for
from django_devtools.branches.schema.tracker import SchemaHistory
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import (
    Code,
    Source,
    UnusableSource,
    code_on_disk,
    load,
)
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.entries import Entry
from django_devtools.branches.stash.entry_restore import restore_columns
from django_devtools.branches.stash.stash import Stash
from django_devtools.branches.ticker import Action, Sight
from django_devtools.conf import project_root

from .executor import Executor, with_empty_reverses
from .observer import observed

RUNNING = "Running migrations in a work tree"


class ChildError(DevtoolsError):
    """The process in the work tree failed. The text is the first line of its error."""


class Pass(NamedTuple):
    """Everything that a child needs to run one pass."""

    settings_module: str
    databases: Mapping[str, Any]
    alias: str
    tenant: Tenant | None
    backwards: bool
    keys: list[Key]
    """The migrations to run, in the order to run them."""
    nodes: Collection[Key]
    """All migrations of the graph, and the rows that are applied."""
    rows: Collection[Key]
    sources: Mapping[Key, Source]
    """The texts of migrations that the work tree may lack, or have in another form."""
    noop: Collection[Key]
    """Those of which a RunPython or RunSQL without a reverse counts as one with an empty one."""
    coerce_values: bool
    """Whether values are made fit for columns that get narrower."""
    entries: Sequence[Entry] = ()
    """What the stash has of columns that the pass makes again, if it can't do without values."""

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper, **facts: Any) -> "Pass":
        """A pass on the database of ``connection``, wherever the child's settings point."""
        databases = {
            alias: {**configured, "NAME": _absolute(configured)}
            for alias, configured in settings.DATABASES.items()
        }
        databases[connection.alias]["NAME"] = _absolute(connection.settings_dict)
        tenant = tenant_of(connection)
        return cls(settings.SETTINGS_MODULE, databases, connection.alias, tenant, **facts)


@dataclass(frozen=True)
class Findings:
    """What a child finds in the migrations of a pass, without running them."""

    irreversible: list[Key]
    emptied: list[Key]
    """As the fields of a plan that are called so."""
    back: SchemaHistory
    forth: SchemaHistory


def inspect(worktree: Path, top: Path, task: Pass) -> Findings:
    """What ``task`` would do. Raises ChildError if the work tree can't run it either."""
    return cast(Findings, _call(worktree, top, task, "inspect"))


def run(worktree: Path, top: Path, task: Pass, progress: Progress) -> None:
    """Run ``task``. Raises ChildError if it fails."""
    color = "color" if progress.style.SUCCESS("") else "no-color"
    with progress.handed_over(RUNNING, partial(_seen, _step_beside(_answer(worktree)))):
        _call(worktree, top, task, "run", str(progress.verbosity), color)


def _answer(worktree: Path) -> Path:
    """The file for what the child has found."""
    return worktree.parent / "answer"


def _step_beside(answer: Path) -> Path:
    """The file in which the child names its step."""
    return answer.with_name("step")


def _seen(step: Path, action: Action, now: float) -> Sight:
    """The step that the child is at."""
    with suppress(OSError):
        return Sight(note=step.read_text("utf-8"))
    return Sight()


class _Written(Progress):
    """Also names each step in a file, for the parent, which may be the only one to speak."""

    step: Path

    def __call__(self, action: str, migration: Any = None, fake: bool = False) -> None:
        super().__call__(action, migration, fake)
        self.step.write_text(self.current, "utf-8")


def _call(worktree: Path, top: Path, task: Pass, *arguments: str) -> Any:
    directory = worktree / project_root().relative_to(top)
    ours = str(Path(__file__).parents[3])
    path = [_moved(Path(entry), top, worktree) for entry in sys.path if entry]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(directory), *path, ours]),
        "DJANGO_SETTINGS_MODULE": task.settings_module,
    }
    answer = _answer(worktree)
    process = subprocess.run(
        [sys.executable, "-m", __name__, str(answer), *arguments],
        cwd=directory,
        env=environment,
        input=pickle.dumps(task),
        stderr=subprocess.PIPE,
        check=False,
    )
    if process.returncode:
        raise ChildError(_error_in(process.stderr.decode(errors="replace")))
    return pickle.loads(answer.read_bytes())  # noqa: S301 - written by our own child


def _error_in(output: str) -> str:
    """
    The reason that a failed process gives.

    Of an exception this is the first line. Databases add hints that are about a single statement,
    such as to drop with CASCADE.
    """
    _, traceback, rest = output.rpartition("Traceback (most recent call last):")
    lines = [line for line in rest.splitlines() if line and not line[0].isspace()]
    return lines[0 if traceback else -1] if lines else "it was killed"


def _moved(entry: Path, top: Path, worktree: Path) -> str:
    if entry.is_relative_to(top) and "site-packages" not in entry.parts:
        moved = worktree / entry.relative_to(top)
        if moved.exists():
            return str(moved)
    return str(entry)


def _absolute(configured: Mapping[str, Any]) -> Any:
    name = str(configured["NAME"])
    if not configured["ENGINE"].endswith(("sqlite3", "spatialite")) or ":memory:" in name:
        return configured["NAME"]
    if name.startswith("file:"):
        path, mark, query = name.removeprefix("file:").partition("?")
        return name if path.startswith("/") else f"file:{Path(path).absolute()}{mark}{query}"
    return str(Path(name).absolute())


def main(answer: str, action: str, verbosity: str = "0", color: str = "") -> None:
    """Do in the child what ``inspect`` and ``run`` ask for."""
    task = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by our own parent
    settings.DATABASES = task.databases
    django.setup()
    work_for(connections[task.alias], task.tenant)
    graph = _graph(task)
    findings = None
    if action == "inspect":
        findings = _inspect(task, graph)
    else:
        style = color_style(force_color=True) if color == "color" else no_style()
        progress = _Written(OutputWrapper(sys.stdout), style, int(verbosity))
        progress.step = _step_beside(Path(answer))
        with progress, observed(connections[task.alias], progress, RUNNING):
            _run(task, graph, progress)
    Path(answer).write_bytes(pickle.dumps(findings))


def _graph(task: Pass) -> Graph:
    disk = code_on_disk()
    found = {key: _migration(key, task, disk) for key in task.nodes}
    migrations = {key: migration for key, migration in found.items() if migration}
    return Graph(migrations, task.rows, disk.unmigrated_apps)


def _migration(key: Key, task: Pass, disk: Code) -> Migration | None:
    """A migration of the graph: from its text, or else as the work tree has it."""
    source, own = task.sources.get(key), disk.migrations.get(key)
    on_disk = disk.source(key) if own else None
    if source is None or (on_disk and on_disk.content == source.content):
        return own
    try:
        return load(key, source)
    except UnusableSource:
        # The text of another branch may need the code of that one. Here only its state counts.
        if own is None or key in task.keys:
            raise
        return own


def _inspect(task: Pass, graph: Graph) -> Findings:
    back, forth = (task.keys, []) if task.backwards else ([], task.keys)
    longest = connections[task.alias].ops.max_name_length()
    plan = Plan({}, graph, graph, task.rows, back, forth, max_name_length=longest)
    policy = Policy(Irreversible.FAIL, dict.fromkeys(task.noop, Irreversible.NOOP))
    nodes = graph.graph.nodes
    stuck = [key for key in plan.unapply if is_stuck(nodes[key], policy)]
    emptied = [key for key in plan.unapply if key not in stuck and is_emptied(nodes[key])]
    return Findings(stuck, emptied, plan.backwards, plan.forwards)


def _run(task: Pass, graph: Graph, progress: Progress) -> None:
    connection = connections[task.alias]
    restore = partial(restore_columns, Stash(connection), task.entries)
    executor = Executor(connection, graph, task.sources.get, progress, task.coerce_values, restore)
    for key in task.noop:
        graph.graph.nodes[key] = with_empty_reverses(graph.graph.nodes[key])
    remaining = graph.ordered(graph.applied_nodes() - set(task.keys), task.rows)
    if task.backwards:
        ahead = executor.ahead(remaining, reversed(task.keys))
        for key in task.keys:
            ahead = ahead._replace(state=executor.unapply(ahead, key))
    else:
        state = graph.state(remaining)
        for key in task.keys:
            state = executor.apply(state, key)


if __name__ == "__main__":
    # Imported under its own name, so that the parent can unpickle the classes.
    from django_devtools.branches.running import child  # noqa: PLW0406

    try:
        child.main(*sys.argv[1:])
    except UnusableSource as error:
        sys.exit(str(error))
