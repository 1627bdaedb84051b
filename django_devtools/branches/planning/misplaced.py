"""
Tells which applied migrations have to be unapplied because a rebase has moved them.

A migration that keeps its name and its operations may get other dependencies. What it comes after
now may be pending: Django refuses such a history (InconsistentMigrationHistory). What it came
after when it was applied may be unapplied. In both cases it stays applied if the order does not
matter, and the other is applied, or unapplied, as if it were the last.

The order of one migration and another matters in two cases:

- The models differ, or can't be computed, if the two change places.
- The other one runs code, and the migration has done more than add tables and columns that no
  INSERT has to fill. Code may notice anything else.

It makes no difference whether the migration itself runs code. Its rows are there, and to run it
twice might spoil them.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import is_seen_by_state, only_adds, same_models
from django_devtools.branches.sources.graph import Graph
from django_devtools.branches.sources.snapshots import Key


def applied_too_early(wanted: Graph, rows: Collection[Key], leave: Collection[Key]) -> set[Key]:
    """
    The applied migrations that depend on a pending one, and may not be there before it.

    ``leave`` names those that stay in any case.
    """
    applied = wanted.applied_nodes()
    pending = wanted.ordered(wanted.graph.nodes.keys() - applied)
    early = wanted.descendants(pending) & applied
    base = wanted.ordered(applied - early, rows) if early else []

    def must_go(key: Key, stay: Sequence[Key]) -> bool:
        ancestors = wanted.ancestors([key])
        others = [other for other in pending if other in ancestors]
        right = [*base, *wanted.ordered({*others, *stay, key})]
        late = [*base, *stay, key, *others]
        return _order_matters(wanted, key, others, right, late)

    return _those(must_go, wanted, wanted.ordered(early), leave)


def applied_on_top(
    held: Graph, as_applied: Graph, unapply: Collection[Key], leave: Collection[Key]
) -> set[Key]:
    """
    The applied migrations that came after one of ``unapply``, and may not be there without it.

    ``held`` has their dependencies of today, and ``as_applied`` those that they were applied with.
    ``leave`` names those that stay in any case.
    """
    applied = held.applied_nodes() - set(unapply)
    top = as_applied.descendants(unapply) & applied
    base = as_applied.ordered(applied - top) if top else []

    def must_go(key: Key, stay: Sequence[Key]) -> bool:
        others = as_applied.ordered(as_applied.ancestors([key]) & set(unapply))
        right = [*base, *as_applied.ordered({*others, *stay, key})]
        late = [*base, *stay, key, *others]
        return _order_matters(held, key, others, right, late)

    return _those(must_go, as_applied, as_applied.ordered(top), leave)


def _those(
    must_go: Callable[[Key, Sequence[Key]], bool],
    graph: Graph,
    candidates: Iterable[Key],
    leave: Collection[Key],
) -> set[Key]:
    """Those of ``candidates``, parents first, that must go, given which ones stay."""
    found: set[Key] = set()
    stay: list[Key] = []
    for key in candidates:
        if graph.ancestors([key]) & found:
            continue  # It goes along, or is a candidate again when they are gone.
        if key in leave or not must_go(key, stay):
            stay.append(key)
        else:
            found.add(key)
    return found


def _order_matters(
    graph: Graph,
    key: Key,
    others: Iterable[Key],
    right: Iterable[Key],
    late: Iterable[Key],
) -> bool:
    """Whether ``key`` may not come before ``others``: ``late`` instead of ``right``."""
    runs_code = not all(is_seen_by_state(graph.graph.nodes[other]) for other in others)
    if runs_code and not only_adds(graph.graph.nodes[key]):
        return True
    expected = _models(graph, right)
    if expected is None:
        # Some text can't be executed here. Nothing is unapplied on suspicion.
        return False
    found = _models(graph, late)
    return found is None or not _same(found, expected)


def _models(graph: Graph, keys: Iterable[Key]) -> ProjectState | None:
    try:
        return graph.state(keys)
    except Exception:  # noqa: BLE001 - an operation may raise anything on a foreign state
        return None


def _same(one: ProjectState, other: ProjectState) -> bool:
    apps = {app for app, _ in (*one.models, *other.models)}
    return all(same_models(one, other, app) for app in apps)
