"""Loads migrations from the disk or from recorded texts."""

import ast
import copy
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader

from django_devtools.branches.errors import DevtoolsError

from .git import Repository
from .rows import local
from .snapshots import DETACHED, Key

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
# The attributes in which a statement has other ones.
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class UnusableSource(DevtoolsError):
    """The text of a migration can't be executed here, usually because a helper is missing."""


class _Source(NamedTuple):
    """The fields of a source."""

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


class Source(_Source):
    """The text that a migration was, or will be, applied from, and where it was found."""

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
    def applied_on(self) -> str | None:
        """The branch that it was applied on; the commit, if HEAD was detached. None if unknown."""
        if self.branch == DETACHED:
            return self.commit[:10] if self.commit else None
        return self.branch

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
        for node in _statements(tree):
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
        return self.content == other.content or same_trees(self.tree, other.tree)

    def functions_read_like(self, other: "Source") -> bool:
        """The same outside the Migration class, where the functions are that RunPython calls."""
        return same_trees(_outside_migration(self.tree), _outside_migration(other.tree))


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


def same_trees(one: object, other: object) -> bool:
    """
    Whether two trees, or lists of them, are the same wherever they stand in their texts.

    Comparing what ``ast.dump`` makes of them takes as long for trees that differ at once.
    """
    waiting = [(one, other)]
    while waiting:
        ours, theirs = waiting.pop()
        if type(ours) is not type(theirs):
            return False
        if isinstance(ours, ast.AST):
            waiting += [(getattr(ours, name), getattr(theirs, name)) for name in ours._fields]
        elif isinstance(ours, list) and isinstance(theirs, list):
            if len(ours) != len(theirs):
                return False
            waiting += zip(ours, theirs, strict=True)
        elif ours != theirs:
            return False
    return True


def _name_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _outside_migration(tree: ast.Module) -> list[ast.stmt]:
    return [
        node
        for node in tree.body
        if not (isinstance(node, ast.ClassDef) and node.name == "Migration")
    ]


def load(key: Key, source: Source) -> Migration:
    """
    The migration that ``source`` defines. Its module does not stay in ``sys.modules``.

    All that the text imports, inside functions too, is imported now, so that no migration fails
    half-way for it. Raises UnusableSource if an import fails, or the text itself.
    """
    try:
        _import_inner(source)
    except Exception as error:
        raise _unusable(key, error) from error
    return define(key, source, source.content, {})


def define(
    key: Key, source: Source, text: bytes | ast.Module, names: Mapping[str, object]
) -> Migration:
    """The migration that ``text`` of a source defines, with ``names``. Raises UnusableSource."""
    module = ModuleType(source.module)
    module.__package__ = source.package
    module.__file__ = f"<{source.origin}>/{source.module.replace('.', '/')}.py"
    vars(module).update(names)
    before = sys.modules.get(source.module)
    sys.modules[source.module] = module
    try:
        exec(compile(text, module.__file__, "exec"), module.__dict__)  # noqa: S102
        migration: Migration = module.Migration(key[1], key[0])
    except Exception as error:
        raise _unusable(key, error) from error
    finally:
        if before is None:
            del sys.modules[source.module]
        else:
            sys.modules[source.module] = before
    return migration


def _unusable(key: Key, error: Exception) -> UnusableSource:
    return UnusableSource(f"{'.'.join(key)} can't be imported: {type(error).__name__}: {error}")


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
    for block in _statements(tree):
        if isinstance(block, blocks):
            yield from _statements(block)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and all statements in it, without expressions: those are most of a tree."""
    found = [node]
    for node in found:
        yield node
        for name in _BODIES:
            found += getattr(node, name, ())


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


class Code:
    """The migrations of one state of the code."""

    def __init__(
        self,
        migrations: Mapping[Key, Migration],
        packages: Mapping[str, str],
        unmigrated_apps: Collection[str] = (),
        sources: Mapping[Key, Source] | None = None,
    ) -> None:
        self.migrations = migrations
        self.packages = packages
        """The migrations package of each app label."""
        self.unmigrated_apps = unmigrated_apps
        self.sources = dict(sources or {})
        """The texts that are known already. ``source`` reads the others from their files."""
        self._own: dict[Repository, set[Path]] = {}

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
