"""Takes steps that the target lacks, and takes them back: what they bring comes back between."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from django_devtools.branches.running.executor import Executor
from django_devtools.branches.schema.changes import schema_changes
from django_devtools.branches.schema.operations import writes_rows
from django_devtools.branches.schema.tracker import SchemaHistory
from django_devtools.branches.sources.loader import Source
from django_devtools.branches.sources.provenance import Past
from django_devtools.branches.sources.snapshots import Key
from django_devtools.branches.stash.entries import Step
from django_devtools.branches.stash.returns import AppliedMigration, Detour
from django_devtools.branches.stash.transfer import Models

from .steps import Steps

if TYPE_CHECKING:
    from django_devtools.branches.stash.detours import Way

logger = logging.getLogger("django_devtools.branches")


def make_detours(steps: Steps, models: Models) -> None:
    """
    Restore what comes back only by steps that are not of the plan.

    ``steps`` runs them, and ``models`` are those of what the database holds.
    """
    for detour, way in steps.transfer.detours():
        steps.transfer.spare(detour, way)
        _make_detour(steps, detour, way)
    steps.transfer.restore_late(models)


def _make_detour(steps: Steps, detour: Detour, way: "Way") -> None:
    logger.debug("A detour by %s", ", ".join(map(str, detour.missing)))
    sources = {step.key: _source_of(steps, step) for step in detour.missing}
    steps.write_down(Past(detour.entries[0].branch, None), sources)
    executor = steps.executor(way.graph, sources.get, unapply=way.keys)
    for backwards in (way.begins_backwards, not way.begins_backwards):
        _run_way(steps, executor, detour, way, backwards)


def _source_of(steps: Steps, step: Step) -> Source | None:
    comparison = steps.decision.comparison
    source = None if step.backwards else comparison.held_source(step.key)
    return source or comparison.texts.source(step.key, step.text)


def _run_way(
    steps: Steps, executor: Executor, detour: Detour, way: "Way", backwards: bool
) -> None:
    """Unapply the migrations of a detour, or apply them."""
    texts = {step.key: step.text for step in detour.missing}
    keys = way.keys[::-1] if backwards else way.keys
    taken = [Step(key, backwards, texts[key]) for key in keys]
    passes = (way.history, SchemaHistory()) if backwards else (SchemaHistory(), way.history)
    fills = any(writes_rows(way.graph.graph.nodes[key], backwards) for key in keys)
    steps.save(schema_changes(*passes), taken, detour.entries[0].branch, fills)
    ahead = executor.ahead(way.rest, way.keys if backwards else [])
    steps.take(executor, ahead, taken, partial(_arrives, way, texts))
    steps.transfer.end_pass()


def _arrives(way: "Way", texts: Mapping[Key, str], key: Key) -> AppliedMigration:
    return AppliedMigration(way.graph.graph.nodes[key], lambda: texts[key])
