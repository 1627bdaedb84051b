"""Loads migrations from the disk or from recorded texts, and builds Django's graph of them."""

import ast
import copy
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType

from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from django_devtools.branches.errors import DevtoolsError

from .git import Repository
from .rows import local
from .snapshots import Key

# Names by which a migration reads files of its project, or runs a command that does.
_READ_FILES = frozenset(
    {
        "BASE_DIR",
        "__file__",
        "call_command",
        "files",
        "get_data",
        "open",
        "open_text",
        "read_bytes",
        "read_text",
    }
)
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class UnusableSource(DevtoolsError):
    """The text of a migration can't be executed here, usually because a helper is missing."""


@dataclass(frozen=True)
class Source:
    """The text that a migration was, or will be, applied from, and where it was found."""

    module: str
    """The dotted name under which the text is imported."""
    content: bytes
    origin: str
    """``file``, ``snapshot`` or ``history``."""
    branch: str | None = None
    commit: str | None = None
    project: str | None = None
    """The tree of the project when it was applied, if that was recorded."""
    at: str | None = None
    """When it was applied (ISO 8601), if that was recorded."""
    in_reflog: bool = False
    """Whether it was found by a reflog, because no branch has it any more."""

    def __str__(self) -> str:
        where = {"file": "file", "snapshot": "snapshot", "history": "git history"}[self.origin]
        return f"{where}, {self.commit[:10]}" if self.commit else where

    @property
    def place(self) -> str:
        """Where it was found, at more length: with the time of the record, or the reflog."""
        where = str(self)
        if self.at:
            return where.replace("snapshot", f"snapshot of {local(self.at)}", 1)
        return where.replace("git history", "git reflog", 1) if self.in_reflog else where

    @property
    def package(self) -> str:
        return self.module.rpartition(".")[0]

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text without docstrings. Raises UnusableSource if it is not valid Python."""
        try:
            tree = parse(self.content)
        except UnusableSource as error:
            raise UnusableSource(f"{self.module} {error}") from error
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
        return tree

    @cached_property
    def reads_files(self) -> bool:
        """Whether the text may read files of its project. False if it is not valid Python."""
        try:
            nodes = ast.walk(self.tree)
        except UnusableSource:
            return False
        return any(_name_of(node) in _READ_FILES for node in nodes)

    def reads_like(self, other: "Source") -> bool:
        """Whether the texts differ in comments, formatting and docstrings at most."""
        return self.content == other.content or _dump(self.tree) == _dump(other.tree)

    def functions_read_like(self, other: "Source") -> bool:
        """The same outside the Migration class, where the functions are that RunPython calls."""
        return _outside_migration(self.tree) == _outside_migration(other.tree)


def parse(content: bytes) -> ast.Module:
    """The syntax tree of a text, which may be anybody's. Raises UnusableSource."""
    with _syntax_limits():
        return ast.parse(content)


@contextmanager
def _syntax_limits() -> Iterator[None]:
    try:
        yield
    # Of what is nested too deeply, Python says the latter.
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UnusableSource(f"is not valid Python ({error or 'too deep'})") from error


def _dump(node: ast.AST) -> str:
    with _syntax_limits():
        return ast.dump(node)


def _name_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _outside_migration(tree: ast.Module) -> list[str]:
    return [
        _dump(node)
        for node in tree.body
        if not (isinstance(node, ast.ClassDef) and node.name == "Migration")
    ]


def load(key: Key, source: Source) -> Migration:
    """
    The migration that ``source`` defines. Its module does not stay in ``sys.modules``.

    All that the text imports, inside functions too, is imported now, so that no migration fails
    half-way for it. Raises UnusableSource if an import fails, or the text itself.
    """
    module = ModuleType(source.module)
    module.__package__ = source.package
    module.__file__ = f"<{source.origin}>/{source.module.replace('.', '/')}.py"
    before = sys.modules.get(source.module)
    sys.modules[source.module] = module
    try:
        _import_inner(source)
        exec(compile(source.content, module.__file__, "exec"), module.__dict__)  # noqa: S102
        migration: Migration = module.Migration(key[1], key[0])
    except Exception as error:
        raise UnusableSource(
            f"{key[0]}.{key[1]} can't be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        if before is None:
            del sys.modules[source.module]
        else:
            sys.modules[source.module] = before
    return migration


def load_or_outline(key: Key, source: Source) -> tuple[Migration, UnusableSource | None]:
    """The migration; or its outline and the reason, if it can't be executed here."""
    try:
        return load(key, source), None
    except UnusableSource as error:
        return outline(key, source), error


def load_all(
    sources: Mapping[Key, Source],
) -> tuple[dict[Key, Migration], dict[Key, UnusableSource]]:
    """The migrations, outlines among them, and the reason for each outline."""
    migrations, errors = {}, {}
    for key, source in sources.items():
        migrations[key], error = load_or_outline(key, source)
        if error:
            errors[key] = error
    return migrations, errors


def variant(migration: Migration, **attributes: object) -> Migration:
    """A copy of ``migration`` with other ``attributes``."""
    copied = copy.copy(migration)
    vars(copied).update(attributes)
    return copied


def _import_inner(source: Source) -> None:
    """Import what functions import, unless a ``try`` shows that they can do without."""
    optional = set(_nodes_inside(source.tree, ast.Try))
    for node in _nodes_inside(source.tree, ast.FunctionDef, ast.AsyncFunctionDef):
        if node in optional:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
        elif isinstance(node, ast.ImportFrom):
            _import_from(node, source.package)


def _nodes_inside(tree: ast.Module, *blocks: type[ast.AST]) -> Iterable[ast.AST]:
    for block in ast.walk(tree):
        if isinstance(block, blocks):
            yield from ast.walk(block)


def _import_from(node: ast.ImportFrom, package: str) -> None:
    name = "." * node.level + (node.module or "")
    module = import_module(name, package if node.level else None)
    for alias in node.names:
        if not hasattr(module, alias.name):
            import_module(f"{module.__name__}.{alias.name}")


def outline(key: Key, source: Source) -> Migration:
    """
    A migration with the dependencies of ``source`` and without operations.

    It stands in the graph for a text that can't be executed here.
    """
    migration = Migration(key[1], key[0])
    try:
        tree = source.tree
    except UnusableSource:
        return migration
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            attribute = node.targets[0].id
            if attribute in ("dependencies", "run_before", "replaces"):
                setattr(migration, attribute, _pairs(node.value))
    return migration


def listed_operations(content: bytes) -> list[str]:
    """The operations of a migration as its text has them. Nothing of it is run."""
    try:
        with _syntax_limits():
            return [
                ast.unparse(operation)
                for node in ast.walk(ast.parse(content))
                if isinstance(node, ast.Assign)
                and [getattr(target, "id", None) for target in node.targets] == ["operations"]
                for operation in getattr(node.value, "elts", ())
            ]
    except UnusableSource:
        return []


def _pairs(node: ast.expr) -> list[Key]:
    found = []
    for item in getattr(node, "elts", ()):
        parts = [e.value for e in getattr(item, "elts", ()) if isinstance(e, ast.Constant)]
        if len(parts) == 2:
            found.append((str(parts[0]), str(parts[1])))
    return found


@dataclass(frozen=True)
class Code:
    """The migrations of one state of the code."""

    migrations: Mapping[Key, Migration]
    packages: Mapping[str, str]
    """The migrations package of each app label."""
    unmigrated_apps: Collection[str] = frozenset()
    sources: dict[Key, Source] = field(default_factory=dict)
    """The texts that are known already. ``source`` reads the others from their files."""
    _own: dict[Repository, set[Path]] = field(default_factory=dict)

    def source(self, key: Key) -> Source | None:
        """The text of a migration; None if there is only byte code."""
        if key not in self.sources:
            module = f"{self.packages[key[0]]}.{key[1]}"
            file = getattr(sys.modules.get(module), "__file__", None) or ""
            if not file.endswith(".py"):
                return None
            try:
                self.sources[key] = Source(module, Path(file).read_bytes(), "file")
            except OSError:
                return None
        return self.sources[key]

    def directories(self) -> dict[str, Path]:
        """The directory of the migrations of each app label."""
        found = {}
        for app, package in self.packages.items():
            for directory in getattr(sys.modules.get(package), "__path__", ()):
                found[app] = Path(directory).resolve()
        return found

    def own_directories(self, repository: Repository) -> set[Path]:
        """Those of ``directories`` that are part of ``repository``. Git is asked once."""
        if repository not in self._own:
            self._own[repository] = repository.own(list({*self.directories().values()}))
        return self._own[repository]


def code_on_disk() -> Code:
    """The migrations of all installed apps, as Django finds them."""
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    packages = {app: str(loader.migrations_module(app)[0]) for app in loader.migrated_apps}
    return Code(dict(loader.disk_migrations), packages, set(loader.unmigrated_apps))


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
        state = ProjectState(real_apps=self.unmigrated_apps)
        for key in keys:
            self.graph.nodes[key].mutate_state(state, preserve=False)
        return state
