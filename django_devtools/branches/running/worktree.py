"""Does in a work tree of their commit what migrations can't do in this checkout."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.plan import Irreversible, Plan
from django_devtools.branches.progress import Progress
from django_devtools.branches.sources.loader import Graph
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import Key

from . import child
from .child import ChildError, Findings, Pass


class WorkTree:
    """Looks into a pass, and runs it, that has migrations which can't be imported here."""

    def __init__(self, found: Comparison, irreversible: Irreversible, coerce_values: bool) -> None:
        """``coerce_values``: values that a narrowed column would reject are made to fit."""
        self.comparison = found
        self.noop = irreversible is Irreversible.NOOP
        self.coerce_values = coerce_values

    def is_needed(self, keys: Iterable[Key], backwards: bool) -> bool:
        """Whether some of ``keys`` can't be imported here."""
        return bool(self._foreign(keys, backwards))

    def look(self, plan: Plan, backwards: bool = True) -> Findings | None:
        """
        What the pass would do; None where it can be looked into here.

        Raises SwitchError where a work tree can't tell either.
        """
        keys, graph = _pass_of(plan, backwards)
        foreign = self._foreign(keys, backwards)
        if not foreign:
            return None
        task = self._task(keys, graph, backwards)
        with self._open(foreign) as (path, top):
            try:
                return child.inspect(path, top, task)
            except ChildError as error:
                raise SwitchError(self._unusable(foreign, str(error))) from error

    def run(self, plan: Plan, progress: Progress, backwards: bool) -> None:
        """Run the pass. Raises SwitchError where that fails."""
        keys, graph = _pass_of(plan, backwards)
        foreign = self._foreign(keys, backwards)
        task = self._task(keys, graph, backwards)
        connection = self.comparison.connection
        connection.close()
        progress.stdout.flush()
        with self._open(foreign) as (path, top):
            try:
                child.run(path, top, task, progress)
            except ChildError as error:
                raise SwitchError(self._unusable(foreign, str(error))) from error
        rows = read_rows(connection)
        if any((key in rows) is backwards for key in keys):
            raise SwitchError("The process in the work tree worked on another database.")

    def _foreign(self, keys: Iterable[Key], backwards: bool) -> list[Key]:
        unusable = self.comparison.unusable if backwards else self.comparison.target.unusable
        return [key for key in keys if key in unusable]

    def _task(self, keys: list[Key], graph: Graph, backwards: bool) -> Pass:
        history = self.comparison.history
        find = self.comparison.held_source if backwards else self.comparison.wanted_source
        sources = {
            key: source
            for key in graph.disk_migrations
            if key[0] in history.own_apps or key not in history.disk.migrations
            if (source := find(key))
        }
        return Pass.of(
            self.comparison.connection,
            backwards=backwards,
            keys=keys,
            nodes=set(graph.disk_migrations),
            rows=list(self.comparison.rows),
            sources=sources,
            noop=self.noop,
            coerce_values=self.coerce_values,
        )

    @contextmanager
    def _open(self, foreign: list[Key]) -> Iterator[tuple[Path, Path]]:
        repository = self.comparison.history.repository
        sources = [
            self.comparison.held_source(k) or self.comparison.wanted_source(k) for k in foreign
        ]
        commits = [source.commit for source in sources if source and source.commit]
        if repository is None or not commits:
            raise SwitchError(self._unusable(foreign, "no commit is recorded for it"))
        with repository.worktree(commits[0]) as path:
            yield path, repository.top

    def _unusable(self, foreign: list[Key], why: str) -> str:
        errors = self.comparison.unusable | self.comparison.target.unusable
        return (
            f"{'; '.join(str(errors[key]) for key in foreign)}. In a work tree of its commit it "
            f"can't be run either: {why}. Install what it imports, or check out the branch it "
            "came from and run `manage.py migrations_switch TARGET` there."
        )


def _pass_of(plan: Plan, backwards: bool) -> tuple[list[Key], Graph]:
    return (plan.unapply, plan.held) if backwards else (plan.apply, plan.wanted)
