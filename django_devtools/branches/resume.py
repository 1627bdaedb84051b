"""
Goes on where a switch was killed.

A switch may be killed at any point. How far it got is not recorded as such: a record of that would
have to be believed against the rows of django_migrations, which ``migrate`` and users change as
well. It is read off what is written in the transaction of each step, and the next switch runs as
any other from there, to whatever target:

- The **rows of django_migrations** say which steps are done: a migration that has a transaction is
  rolled back with its row. Each entry of the stash has the steps of the pass that drops it, and
  ``Applied.stage`` (``stash/returns.py``) compares these with the rows. An entry is restored in
  the transaction of the step that is the last to be undone, whichever switch takes that step.
- The **journal** (``running/journal.py``) says which operations are done of a migration that has
  no transaction. ``Execution.run`` takes it up at that operation; then it is decided anew.
- The **status of an entry** says whether its data is still where it was copied from. Until a pass
  begins, it is ``copying`` or ``copied``, and ``Stash.prepare`` discards it. Then it is ``open``,
  and ``Stash.prepare`` brings it up to date, until the transaction of the step that drops it makes
  it ``kept``; or until it is found to be gone, after a kill in a work tree. What is left in
  a narrowed column is only known at the end of a switch, so until then it is ``open``, too. The
  table that notes this is replaced by way of a second one, and ``Stash.clean`` finishes that.
- The **file of snapshots** says from which texts, and of which branch, migrations were about to be
  applied (``running/begun.py``). So what was applied last has a source, and the steps of a detour
  (``detours.py``) are phantoms, or pending, when one is killed on it. If it was killed between the
  last step and a detour, this record is what is left of it: ``Decision.is_detour_due``.

What none of these shows is named: ``Outlook.overdue`` has what should have come back after a pass
in a work tree. After that nothing is left to do, and ``settle`` writes the snapshot.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration

from django_devtools.branches.errors import SwitchError, UnfitRows
from django_devtools.branches.running.executor import with_empty_reverses
from django_devtools.branches.running.journal import Journal, JournalEntry
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.loader import Source, load
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.snapshots import DETACHED, Key, Snapshot

from .decision import Decision
from .progress import Progress

logger = logging.getLogger("django_devtools.branches")


class Unfinished(NamedTuple):
    """A migration without a transaction that has begun, as it is to be finished."""

    migration: Migration
    source: Source
    past: Past
    """The branch that it belongs to."""
    graph: Graph
    """It, and all that is applied."""
    before: list[Key]
    """What is applied and does not depend on it, in order."""


def unfinished(decision: Decision, entry: JournalEntry) -> Unfinished:
    """What to finish, by the entry of the journal. Raises UnusableSource."""
    comparison = decision.comparison
    migration, source, past = _text_of(decision, entry)
    held = {**comparison.held, entry.key: with_empty_reverses(migration)}
    rows = dict.fromkeys([*comparison.rows, entry.key])
    graph = Graph(held, list(rows), decision.workspace.disk.unmigrated_apps)
    before = graph.ordered(graph.applied_nodes() - graph.descendants([entry.key]), rows)
    return Unfinished(migration, source, past, graph, before)


def _text_of(decision: Decision, entry: JournalEntry) -> tuple[Migration, Source, Past]:
    """The text to finish an interrupted migration with, and the branch it belongs to."""
    comparison = decision.comparison
    past, wanted = comparison.target.past, comparison.target.code.migrations
    begun = comparison.provenance.begun_last(entry.key)
    project = begun.applied[entry.key].project if begun else None
    source = Source(entry.module, entry.source.encode(), "snapshot", project=project)
    if entry.backwards or entry.key not in wanted or _is_of_another(decision, begun):
        return load(entry.key, source), source, _past_of(begun) or past
    # The file may have been fixed since the run failed.
    return wanted[entry.key], comparison.wanted_source(entry.key) or source, past


def _is_of_another(decision: Decision, begun: Snapshot | None) -> bool:
    """Whether what was begun is of a branch that the target neither is nor goes on from."""
    repository, past = decision.workspace.repository, decision.comparison.target.past
    if not (begun and repository) or begun.branch == (past.branch or DETACHED):
        return False
    if not (begun.commit and past.commit):
        return True
    return not repository.is_ancestor(begun.commit, past.commit)


def _past_of(begun: Snapshot | None) -> Past | None:
    return Past(begun.branch, begun.commit) if begun else None


def what_was_left(connection: BaseDatabaseWrapper, progress: Progress) -> str:
    """What Ctrl-C has interrupted, and where that has left the database."""
    current = progress.current
    if not current:
        return f"Interrupted between two steps. {_left_by_ctrl_c(connection)}"
    doing = f"{current[0].lower()}{current[1:]}"
    return f"Interrupted while {doing}. {_left_by_ctrl_c(connection)}"


def _left_by_ctrl_c(connection: BaseDatabaseWrapper) -> str:
    database = f"Database '{connection.alias}'"
    # What was interrupted may be the connection, and another one is needed.
    connection.close()
    try:
        entry = Journal(connection).entry()
    except DatabaseError:
        return (
            f"{database} does not say how far that got. "
            "To see it, run `manage.py migrations_status`."
        )
    if entry:
        name = ".".join(entry.key)
        return f"{database} is in the middle of {name}, which the next switch finishes."
    return f"{database} is as the last finished migration left it."


@contextmanager
def naming_interrupted(entry: JournalEntry) -> Iterator[None]:
    """Raise SwitchError where what an earlier run began fails again, unless rows don't fit."""
    name = ".".join(entry.key)
    logger.debug("Finishing %s, which was interrupted", name)
    try:
        yield
    except UnfitRows:
        raise
    except Exception as error:
        raise SwitchError(
            f"{name} was interrupted, and can't be finished: {type(error).__name__}: {error}. "
            "Fix what it reports and run this again. Or repair the database by hand and run "
            "`manage.py migrations_switch --forget-interrupted`."
        ) from error
