"""The graph of given migrations: which depends on which, and in which order they are run."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field
from django.db.models.fields import NOT_PROVIDED

from .loader import variant
from .snapshots import Key


class Graph(MigrationLoader):
    """
    Django's graph of given migrations, where given rows are applied.

    Unless the migrations are ``complete``, dependencies on others are dropped, so that one row
    with a missing source does not keep the graph from being built. Raises NodeNotFoundError if
    they should be complete and are not, and CircularDependencyError.
    """

    def __init__(
        self,
        migrations: Mapping[Key, Migration],
        applied: Collection[Key],
        unmigrated_apps: Iterable[str] = (),
        complete: bool = False,
    ) -> None:
        self._complete = complete
        self._migrations = migrations
        # Only the keys are used. Django has rows of the table as values.
        self._applied = {key: migrations.get(key, Migration(key[1], key[0])) for key in applied}
        self._unmigrated_apps = set(unmigrated_apps) - {app for app, _ in migrations}
        super().__init__(connection=None)

    def load_disk(self) -> None:
        self.migrated_apps = {app for app, _ in self._migrations}
        self.unmigrated_apps = self._unmigrated_apps
        known = set(self._migrations)
        for migration in self._migrations.values():
            known.update(migration.replaces)
        self.disk_migrations = dict(self._migrations)
        if not self._complete:
            self.disk_migrations = {
                key: self._within(migration, known) for key, migration in self._migrations.items()
            }

    def _within(self, migration: Migration, known: set[Key]) -> Migration:
        def usable(dependency: Key) -> bool:
            app, name = dependency
            if name in ("__first__", "__latest__"):
                return app in self.migrated_apps or app in self.unmigrated_apps
            return dependency in known

        dependencies = [d for d in migration.dependencies if usable(d)]
        run_before = [d for d in migration.run_before if usable(d)]
        if (dependencies, run_before) == (migration.dependencies, migration.run_before):
            return migration
        return variant(migration, dependencies=dependencies, run_before=run_before)

    def check_key(self, key: Key, current_app: str) -> Key | None:
        try:
            return super().check_key(key, current_app)
        except ValueError as error:
            raise NodeNotFoundError(f"{error}, of {current_app}", key) from error

    # MigrationLoader.build_graph assigns what it reads from the connection. Ours were given.
    @property
    def applied_migrations(self) -> dict[Key, Migration]:
        return self._applied

    @applied_migrations.setter
    def applied_migrations(self, value: object) -> None:
        pass

    def applied_nodes(self) -> set[Key]:
        """The applied migrations in the graph, which has squashes instead of what they replace."""
        return {key for key in self._applied if key in self.graph.nodes}

    def ordered(self, keys: Collection[Key], rows: Iterable[Key] = ()) -> list[Key]:
        """
        ``keys`` in the order of ``rows``, and those that have no row as ``migrate`` applies them.

        Rows are in the order in which they were applied. It wins over the one of ``migrate``: each
        migration has run on top of the rows before it, and where these are of several branches, or
        of several runs, nobody has ever tried the other order. Parents come first even so, because
        some rows, such as that of a renamed file, are written later than their work was done.
        """
        keys = set(keys)
        if not keys:
            return []
        targets = [*self._in_order_of_work(rows), *self.graph.leaf_nodes()]
        return [key for key in self._full_plan(targets) if key in keys]

    def _in_order_of_work(self, rows: Iterable[Key]) -> list[Key]:
        """The nodes of ``rows`` in the order in which their work was done."""
        places = {key: place for place, key in enumerate(rows)}
        for squash in self.graph.nodes.keys() & self.replacements.keys():
            # Django writes the row of a squash at the end of a run; the work of the squash was
            # done when the last of those that it replaces got its row.
            replaced = ((app, name) for app, name in self.replacements[squash].replaces)
            done = [places[key] for key in replaced if key in places]
            if done:
                places[squash] = min(max(done), places.get(squash, max(done)))
        return sorted(places.keys() & self.graph.nodes.keys(), key=lambda key: places[key])

    def _full_plan(self, targets: Iterable[Key]) -> list[Key]:
        """
        ``MigrationExecutor.migration_plan(targets, clean_start=True)``, in linear time.

        Some projects forget a dependency, and never notice, because ``migrate`` always applies the
        two in the same order. So what the dependencies leave open is left to Django's search:
        https://github.com/django/django/blob/6.0/django/db/migrations/graph.py (iterative_dfs).
        """
        plan: dict[Key, None] = {}
        stack = [(self._node(key), False) for key in reversed(list(targets))]
        while stack:
            node, has_parents = stack.pop()
            if node.key in plan:
                continue
            if has_parents:
                plan[node.key] = None
            else:
                stack.append((node, True))
                stack += [(parent, False) for parent in sorted(node.parents)]
        return list(plan)

    def descendants(self, keys: Iterable[Key]) -> set[Key]:
        """``keys`` and all that depends on them."""
        return self._reach(keys, "children")

    def ancestors(self, keys: Iterable[Key]) -> set[Key]:
        """``keys`` and all that they depend on."""
        return self._reach(keys, "parents")

    def _reach(self, keys: Iterable[Key], direction: str) -> set[Key]:
        found: set[Key] = set()
        waiting = [key for key in keys if key in self.graph.nodes]
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(node.key for node in getattr(self._node(key), direction))
        return found

    def _node(self, key: Key):  # type: ignore[no-untyped-def]
        return self.graph.node_map[key]

    def state(self, keys: Iterable[Key]) -> ProjectState:
        """The project state after ``keys``, which have to be in order."""
        state = _State(real_apps=self.unmigrated_apps)
        for key in keys:
            self.graph.nodes[key].mutate_state(state, preserve=False)
        return state


def bridged(migration: Migration, absent: Mapping[Key, Migration]) -> Migration:
    """``migration``, which depends on the parents of its parents where these are ``absent``."""
    found: dict[Key, None] = {}
    waiting = list(migration.dependencies)
    seen: set[Key] = set()
    while waiting:
        key = waiting.pop()
        if key not in absent:
            found[key] = None
        elif key not in seen:
            seen.add(key)
            waiting += absent[key].dependencies
    return variant(migration, dependencies=list(found)) if seen else migration


class _State(ProjectState):
    """
    A project state that doesn't look through all of the project at each field.

    In a project of 300 migrations, that is most of the time that Django's state takes.
    """

    @property
    def _is_plain(self) -> bool:
        """Whether nothing was rendered, which would have to be rendered anew."""
        has_relations = self._relations is not None  # type: ignore[attr-defined]
        return "apps" not in vars(self) and not has_relations

    def alter_field(
        self,
        app_label: str,
        model_name: str,
        name: str,
        field: "Field[Any, Any]",
        preserve_default: bool,
    ) -> None:
        # Django compares the field with all fields of all models, to know which to render anew.
        if not self._is_plain:
            super().alter_field(app_label, model_name, name, field, preserve_default)
            return
        if not preserve_default:
            field = field.clone()
            field.default = NOT_PROVIDED
        self.models[app_label, model_name].fields[name] = field

    def rename_field(self, app_label: str, model_name: str, old_name: str, new_name: str) -> None:
        # Django resolves the relations of all models, to know which name the field.
        if not self._is_plain:
            super().rename_field(app_label, model_name, old_name, new_name)
            return
        models = self.models
        self.models = {
            key: model
            for key, model in models.items()
            if key == (app_label, model_name) or _refers_to_one(model, old_name)
        }
        try:
            super().rename_field(app_label, model_name, old_name, new_name)
        finally:
            self.models = models


def _refers_to_one(model: ModelState, name: str) -> bool:
    """Whether a relation of ``model`` is to a field of this name, of whatever model."""
    for field in model.fields.values():
        remote = field.remote_field
        # The latter are those of a ForeignObject, which may have several.
        if remote and (
            getattr(remote, "field_name", None) == name
            or name in (getattr(field, "to_fields", None) or ())
        ):
            return True
    return False
