"""What each migration of a database is to the target. Pure, as ``plan`` is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.db.migrations import Migration
from django.db.migrations.state import ProjectState

from django_devtools.branches.schema.operations import (
    created_models,
    is_seen_by_state,
    same_models,
)
from django_devtools.branches.sources.loader import Graph, variant
from django_devtools.branches.sources.provenance import Origin
from django_devtools.branches.sources.snapshots import Key


class State(StrEnum):
    """What a migration is to the target."""

    APPLIED = "applied"
    PENDING = "pending"
    PHANTOM = "phantom"
    CHANGED = "changed"
    OBSOLETE = "obsolete"


@dataclass(frozen=True)
class Facts:
    """What one database holds, and what it should."""

    rows: Collection[Key]
    """The applied migrations, in the order of their rows."""
    held: Mapping[Key, Migration]
    """Those of them whose source is known, as they were applied."""
    wanted: Mapping[Key, Migration]
    """The target's migrations."""
    origins: Mapping[Key, Origin]
    """Of what is applied and not in ``wanted``."""
    changed: Collection[Key] = ()
    """Those in both whose effect on the schema differs."""
    rerun: Collection[Key] = ()
    """Those to unapply and apply anew because the user asked for it."""
    unusable: Collection[Key] = ()
    """Held ones whose operations are not known, because their text can't be executed here."""
    unmigrated_apps: Collection[str] = ()
    is_complete: bool = True
    """Whether ``wanted`` has all that its migrations depend on, or else is broken."""
    max_name_length: int | None = None


class Judge:
    """Tells phantoms, obsolete and changed ones apart, and whose rows only change their names."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.rows = list(facts.rows)
        self.squashes = self._redundant_squashes()
        held = {key: m for key, m in facts.held.items() if key not in self.squashes}
        for key in self.squashes:
            held[key] = _stand_in(facts.held[key])
        self.superseded: set[Key] = set()
        """Obsolete ones whose work others have in the target's code: not part of any state."""
        self.held = Graph(held, self.rows, facts.unmigrated_apps)
        self.to = self.wanted_graph(self.rows)
        self.pending = set(self.to.graph.nodes) - self.to.applied_nodes()
        self.phantoms = self._with_origin(Origin.OTHER, Origin.MISSING) - self.squashes
        self.obsolete = self._with_origin(Origin.UNKNOWN)
        self.changed = set(facts.changed)
        self.remade: set[Key] = set()
        """Phantoms that the target deleted itself, to make something else instead."""
        self.forget = {k for k in self.squashes if facts.origins[k] is not Origin.OWN}
        self.obsolete |= self.squashes - self.forget
        self.record = self.to.applied_nodes() - set(self.rows)
        self._judge_own_past()
        self._forget_doubles()
        self._adopt()
        self.changed |= set(facts.rerun)
        if self.superseded or self.changed != set(facts.changed) | set(facts.rerun):
            self.held = Graph(self._without_superseded(), self.rows, facts.unmigrated_apps)

    def wanted_graph(self, applied: Collection[Key]) -> Graph:
        """The target's graph, where ``applied`` are."""
        facts = self.facts
        return Graph(facts.wanted, applied, facts.unmigrated_apps, facts.is_complete)

    def _with_origin(self, *origins: Origin) -> set[Key]:
        return {key for key, origin in self.facts.origins.items() if origin in origins}

    def _redundant_squashes(self) -> set[Key]:
        """
        Rows of squashed migrations of which the target has some in their long form.

        Those that it has not are phantoms by themselves; the squash is not to be unapplied whole.
        """
        rows, there = set(self.rows), set(self.rows) & set(self.facts.wanted)
        found = set()
        for key in self.facts.origins.keys() & self.facts.held.keys():
            replaced = {(app, name) for app, name in self.facts.held[key].replaces}
            if replaced & there and replaced <= rows:
                found.add(key)
        return found

    def _judge_own_past(self) -> None:
        """
        Tell apart what the target had once and deleted: obsolete, or thrown away and made anew.

        Obsolete where the database's models and the target's are the same with it, or where
        those of the database are the same without it (a squash left it behind).
        """
        own: dict[str, list[Key]] = {}
        for key in self.rows:
            if self.facts.origins.get(key) is Origin.OWN and key not in self.squashes:
                own.setdefault(key[0], []).append(key)
        for app in {key[0] for key in self.changed}:
            own.setdefault(app, [])
        target_apps = {app for app, _ in self.facts.wanted}
        if not any(app in target_apps for app in own):
            self.obsolete |= {key for keys in own.values() for key in keys}
            return
        nodes = self.held.applied_nodes() - self.held.descendants(self.phantoms)
        now = self._state(self.held, nodes)
        common = self._state(self.to, self.to.applied_nodes())
        goal = self._state(self.to, set(self.to.graph.nodes))
        for app, keys in own.items():
            if app not in target_apps or now is None:
                self.obsolete |= set(keys)
            elif common and same_models(now, common, app):
                self.obsolete |= set(keys)
                self.superseded |= set(keys)
                self.changed = {key for key in self.changed if key[0] != app}
            elif keys and goal and same_models(now, goal, app) and self._can_adopt(app):
                self.forget |= set(keys)
                self.changed = {key for key in self.changed if key[0] != app}
                self._record_pending(app)
            else:
                behind = self._left_behind_by_squash(app, keys, nodes, now)
                self.obsolete |= set(behind)
                self.superseded |= set(behind)
                self.remade |= set(keys) - set(behind)
                self.phantoms |= self.remade

    def _left_behind_by_squash(
        self, app: str, keys: list[Key], nodes: set[Key], now: ProjectState
    ) -> list[Key]:
        for count in range(len(keys), 0, -1):
            without = self._state(self.held, nodes - set(keys[:count]))
            if without and same_models(now, without, app):
                return keys[:count]
        return []

    def _without_superseded(self) -> dict[Key, Migration]:
        held = {}
        for key, migration in self.held.disk_migrations.items():
            if key in self.facts.changed and key not in self.changed:
                held[key] = self.facts.wanted[key]
            elif key not in self.superseded:
                held[key] = migration
        return held

    def _adopt(self) -> None:
        """
        Where another branch did the same under other names, let the rows change their names.

        Nothing is unapplied then, and no data lost.
        """
        apps = {key[0] for key in self.phantoms if key in self.facts.held}
        apps = {app for app in apps if self._may_have_done_the_same(app)}
        if not apps:
            return
        now = self._state(self.held, self.held.applied_nodes())
        goal = self._state(self.to, set(self.to.graph.nodes))
        if not (now and goal):
            return
        for app in sorted(apps):
            same = self._which_do_the_same(app, now, goal)
            if same:
                self.phantoms -= same
                self.forget |= same
                self.changed = {key for key in self.changed if key[0] != app}
                self._record_pending(app)

    def _which_do_the_same(self, app: str, now: ProjectState, goal: ProjectState) -> set[Key]:
        """The phantoms of ``app`` that lead to the target's models: all, or all but the last."""
        mine = {key for key in self.phantoms if key[0] == app}
        others = self.held.descendants(self.phantoms - mine)
        if not mine <= set(self.facts.held) or mine & others or not self._can_adopt(app):
            return set()
        if not all(is_seen_by_state(self.facts.held[key]) for key in mine):
            return set()
        if same_models(now, goal, app):
            return mine
        pending = (self.to.graph.nodes[key] for key in self.pending if key[0] == app)
        if created_models(pending) & created_models(self.facts.held[key] for key in mine):
            order = self.held.ordered(mine, self.rows)
            nodes = self.held.applied_nodes()
            for count in range(len(order) - 1, 0, -1):
                state = self._state(self.held, nodes - self.held.descendants(order[count:]))
                if state and same_models(state, goal, app):
                    return set(order[:count])
        return set()

    def _forget_doubles(self) -> None:
        """
        Phantoms that create models which the target's applied migrations have created, too.

        Migrations were reset on another branch: without these rows the models are the same.
        """
        applied = self.to.applied_nodes()
        for app in sorted({key[0] for key in self.phantoms}):
            wanted = created_models(self.to.graph.nodes[k] for k in applied if k[0] == app)
            doubles = {
                key
                for key in self.phantoms & self.facts.held.keys()
                if key[0] == app
                and wanted & created_models([self.facts.held[key]])
                and is_seen_by_state(self.facts.held[key])
            }
            if not doubles:
                continue
            nodes = self.held.applied_nodes()
            now, without = self._state(self.held, nodes), self._state(self.held, nodes - doubles)
            if now and without and same_models(now, without, app):
                self.phantoms -= doubles
                self.forget |= doubles
                self.superseded |= doubles

    def _may_have_done_the_same(self, app: str) -> bool:
        """Whether something is pending in ``app``, or the target creates a model of it, too."""
        phantoms = [self.facts.held.get(key) for key in self.phantoms if key[0] == app]
        created = created_models(migration for migration in phantoms if migration)
        wanted = (m for key, m in self.facts.wanted.items() if key[0] == app)
        return any(key[0] == app for key in self.pending) or bool(
            created and created & created_models(wanted)
        )

    def _can_adopt(self, app: str) -> bool:
        pending = (self.to.graph.nodes[key] for key in self.pending if key[0] == app)
        return all(is_seen_by_state(migration) for migration in pending)

    def _record_pending(self, app: str) -> None:
        self.record |= {key for key in self.pending if key[0] == app}

    def _state(self, graph: Graph, keys: Collection[Key]) -> ProjectState | None:
        """The state after ``keys``; None where they don't add up to one."""
        if any(key in self.facts.unusable for key in keys):
            return None
        try:
            return graph.state(graph.ordered(keys, self.rows))
        except Exception:  # noqa: BLE001 - any operation may raise anything on a state not its own
            return None

    def states(self) -> dict[Key, State]:
        """The verdicts."""
        states = dict.fromkeys(self.rows, State.APPLIED)
        states |= dict.fromkeys(self.pending, State.PENDING)
        states |= dict.fromkeys(self.changed, State.CHANGED)
        states |= dict.fromkeys(self.phantoms | self.forget, State.PHANTOM)
        states |= dict.fromkeys(self.obsolete, State.OBSOLETE)
        return states


def _stand_in(squash: Migration) -> Migration:
    """Keeps the place of a squashed migration in the graph, after what it replaces."""
    dependencies = [(app, name) for app, name in squash.replaces]
    return variant(Migration(squash.name, squash.app_label), dependencies=dependencies)
