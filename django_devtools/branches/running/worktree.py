"""Runs migrations that need more than their text in a work tree of their project."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from django_devtools.branches.errors import SwitchError
from django_devtools.branches.planning.comparison import Comparison
from django_devtools.branches.planning.policy import Irreversible, Policy
from django_devtools.branches.progress import Progress
from django_devtools.branches.sources.git import GitError, Repository
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.moved import text_in
from django_devtools.branches.sources.rows import read_rows
from django_devtools.branches.sources.snapshots import Key

if TYPE_CHECKING:
    from django_devtools.branches.planning.plan import Plan
    from django_devtools.branches.sources.graph import Graph
    from django_devtools.branches.stash.entries import Entry

    from .child import Findings, Pass

logger = logging.getLogger("django_devtools.branches")


class Inspections:
    """What work trees have told: each pass is looked into once, for all plans and databases."""

    def __init__(self) -> None:
        self._found: list[tuple[object, Findings]] = []

    def find(self, question: object, look: "Callable[[], Findings]") -> "Findings":
        """The answer to ``question``, by ``look`` where the same was not asked before."""
        known = next((found for asked, found in self._found if asked == question), None)
        if known is None:
            known = look()
            self._found.append((question, known))
        return known


class WorkTree:
    """Inspects and runs passes whose migrations need code that this checkout may lack."""

    def __init__(
        self, found: Comparison, policy: Policy, coerce_values: bool, inspections: Inspections
    ) -> None:
        """``coerce_values``: values that a narrowed column would reject are made to fit."""
        self.comparison = found
        self.policy = policy
        self.coerce_values = coerce_values
        self.inspections = inspections
        self._findings: dict[tuple[bool, tuple[Key, ...]], Findings] = {}

    def is_needed(self, keys: Iterable[Key], backwards: bool) -> bool:
        """Whether some of ``keys`` can't be imported here, or read files of their project."""
        return bool(self._foreign(keys, backwards))

    def look(self, plan: "Plan", backwards: bool = True) -> "Findings | None":
        """
        What the pass would do; None where it can be looked into here.

        Looks once at each list of migrations. Raises SwitchError where a work tree can't tell
        either.
        """
        keys, graph = _pass_of(plan, backwards)
        foreign = self._foreign(keys, backwards)
        if not foreign:
            return None
        seen = (backwards, tuple(keys))
        if seen not in self._findings:
            task = self._task(keys, graph, backwards)
            question = self._question(task), self._projects(foreign)
            look = partial(self._inspect, foreign, task)
            self._findings[seen] = self.inspections.find(question, look)
        return self._findings[seen]

    def _question(self, task: "Pass") -> object:
        """What the answer depends on: databases with the same rows have the same one."""
        texts = {key: (source.module, source.content) for key, source in task.sources.items()}
        longest = self.comparison.connection.ops.max_name_length()
        return task._replace(alias="", databases={}, sources={}), texts, longest

    def _inspect(self, foreign: list[Key], task: "Pass") -> "Findings":
        from . import child

        with self._open(foreign) as (path, top):
            return child.inspect(path, top, task)

    def run(
        self, plan: "Plan", progress: Progress, backwards: bool, entries: "Sequence[Entry]"
    ) -> None:
        """
        Run the pass. Raises SwitchError where that fails.

        ``entries`` of the stash are those whose place is there again then.
        """
        from . import child

        keys, graph = _pass_of(plan, backwards)
        task = self._task(keys, graph, backwards)._replace(entries=entries)
        connection = self.comparison.connection
        connection.close()
        progress.stdout.flush()
        foreign = self._foreign(keys, backwards)
        with progress.meanwhile(child.RUNNING), self._open(foreign) as (path, top):
            child.run(path, top, task, progress)
        rows = read_rows(connection)
        if any((key in rows) is backwards for key in keys):
            raise SwitchError(
                "The process in the work tree worked on another database. Check out the "
                f"branch that the migrations came from, and run `{self._command()}` there."
            )

    def _foreign(self, keys: Iterable[Key], backwards: bool) -> list[Key]:
        comparison = self.comparison
        unusable = comparison.unusable if backwards else comparison.target.unusable
        find = comparison.held_source if backwards else comparison.wanted_source
        return [key for key in keys if key in unusable or _reads_files(find(key))]

    def _task(self, keys: Sequence[Key], graph: "Graph", backwards: bool) -> "Pass":
        from .child import Pass

        provenance = self.comparison.provenance
        find = self.comparison.held_source if backwards else self.comparison.wanted_source
        sources = {
            key: source
            for key in graph.disk_migrations
            if key[0] in provenance.history.own_apps or key not in provenance.disk.migrations
            if (source := find(key) or self.comparison.held_source(key))
        }
        return Pass.of(
            self.comparison.connection,
            backwards=backwards,
            keys=keys,
            nodes=set(graph.disk_migrations),
            rows=list(self.comparison.rows),
            sources=sources,
            noop=[key for key in keys if self.policy.of(key) is Irreversible.NOOP],
            coerce_values=self.coerce_values,
        )

    @contextmanager
    def _open(self, foreign: list[Key]) -> Iterator[tuple[Path, Path]]:
        """A work tree that has the code of ``foreign``. What fails in it becomes a SwitchError."""
        from django_devtools.branches.sources.worktrees import work_tree

        from .child import ChildError

        repository = self.comparison.provenance.repository
        trees, commit = self._projects(foreign)
        if repository is None or not trees:
            raise SwitchError(self._unusable(foreign, "neither project nor commit is recorded"))
        names = ", ".join(map(".".join, foreign))
        logger.debug("Opening a work tree of %s, because of %s", ", ".join(trees), names)
        try:
            with work_tree(repository, trees, commit) as path:
                yield path, repository.top
        except (ChildError, GitError) as error:
            raise SwitchError(self._unusable(foreign, str(error))) from error

    def _projects(self, foreign: list[Key]) -> tuple[list[str], str | None]:
        """The trees that have the code of ``foreign``, and the commit that is HEAD there."""
        repository = self.comparison.provenance.repository
        sources = [source for key in foreign if (source := self._source(key))]
        trees = _projects_of(repository, sources) if repository else []
        return trees, next((source.commit for source in sources if source.commit), None)

    def _source(self, key: Key) -> Source | None:
        return self.comparison.held_source(key) or self.comparison.wanted_source(key)

    def _unusable(self, foreign: list[Key], why: str) -> str:
        errors = {**self.comparison.unusable, **self.comparison.target.unusable}
        reasons = "; ".join(
            str(errors.get(key) or f"{'.'.join(key)} reads files of its project")
            for key in foreign
        )
        return (
            f"{reasons}. It can't be run in a work tree of its project either: {why}. "
            "Install what it imports, or check out the branch it came from "
            f"and run `{self._command()}` there."
        )

    def _command(self) -> str:
        """What goes to the target from any other checkout."""
        import shlex  # only for messages

        return f"manage.py migrations_switch {shlex.quote(self.comparison.target.name)}"


def _projects_of(repository: Repository, sources: Sequence[Source]) -> list[str]:
    """
    The trees, or else commits, that have the code of ``sources``, those of the first ones first.

    Most often one has all of it: that of a branch has what was applied there before, too.
    """
    found: list[str] = []
    for source in sources:
        project = source.project or source.commit
        # Whether a tree has exactly this text.
        texts = (text_in(repository, tree, source.module) for tree in found)
        if project and source.content not in texts:
            found.append(project)
    return list(dict.fromkeys(found))


def _reads_files(source: Source | None) -> bool:
    """Whether a text that is not that of this checkout may read files of its project."""
    return source is not None and source.origin != "file" and source.reads_files


def _pass_of(plan: "Plan", backwards: bool) -> "tuple[Sequence[Key], Graph]":
    return (plan.unapply, plan.held) if backwards else (plan.apply, plan.wanted)
