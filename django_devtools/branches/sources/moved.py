"""
Loads texts that import what is not there any more, to compare them with what they read like now.

What has only moved to another module, with the same definition, is what it is now. Everything else
that is gone is a stand-in, which is equal to nothing. So two texts compare as equal where it makes
no difference, as for the managers of a model.
"""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from django.db.migrations import Migration

from django_devtools.conf import project_root

from .git import Repository
from .loader import Source, UnusableSource, define, parse, same_trees
from .snapshots import Key

ModuleText = Callable[[str], bytes | None]
"""Gives the text that a module had; None if there was none in the project."""


class StandIn:
    """Something that is gone. It can be called, and has all attributes that are no protocol."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> "StandIn":
        if name.startswith("__") or name == "deconstruct":
            raise AttributeError(name)
        return StandIn(f"{self.name}.{name}")

    def __call__(self, *_: Any, **__: Any) -> "StandIn":
        return StandIn(f"{self.name}()")


def load_moved(key: Key, old: Source, new: Source, text: ModuleText) -> Migration:
    """
    The migration that ``old`` defines, to be compared with what ``new`` does, and never to be run.

    Raises UnusableSource if the text itself fails.
    """
    absent = _Absent(new, text)
    tree = absent.visit(parse(old.content))
    return define(key, old, ast.fix_missing_locations(tree), absent.names)


def text_in(repository: Repository, tree: str, module: str) -> bytes | None:
    """The text that a module of the project has in a tree or commit."""
    root = project_root()
    if not root.is_relative_to(repository.top):
        return None
    place = (root / module.replace(".", "/")).relative_to(repository.top).as_posix()
    names = [f"{tree}:{place}.py", f"{tree}:{place}/__init__.py"]
    found = repository.contents(names)
    return next((found[name] for name in names if name in found), None)


class _Absent(ast.NodeTransformer):
    """Takes the imports that fail out of a text, and names what is in their places."""

    def __init__(self, new: Source, text: ModuleText) -> None:
        self.names: dict[str, object] = {}
        self._text = text
        self._modules: set[str] = set()
        """The modules that are gone, as the text names them."""
        self._now = dict(_imported(new.tree))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node  # Whether functions do the same is read off their text.

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        gone = [alias for alias in node.names if not _is_there(alias.name)]
        self._modules.update(alias.asname or alias.name for alias in gone)
        node.names = [alias for alias in node.names if alias not in gone]
        return node if node.names else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        module = node.module or ""
        if node.level:
            return node
        gone = [alias for alias in node.names if not _is_there(module, alias.name)]
        for alias in gone:
            self.names[alias.asname or alias.name] = self._find(module, alias.name)
        node.names = [alias for alias in node.names if alias not in gone]
        return node if node.names else None

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        module = ast.unparse(node.value)
        if module not in self._modules:
            return self.generic_visit(node)
        name = f"{module}.{node.attr}".replace(".", "__")
        self.names[name] = self._find(module, node.attr)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def _find(self, module: str, name: str) -> object:
        """What has moved, as it is now; or a stand-in."""
        found = getattr(sys.modules.get(self._now.get(name, "")), name, None)
        there = _definition(self._text(module), name)
        here = _definition(_text_of(found), name)
        if there is None or here is None or not same_trees(there, here):
            return StandIn(f"{module}.{name}")
        return found


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that a text has from other modules, and these."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.name, node.module) for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.attr, ast.unparse(node.value)


def _is_there(module: str, name: str | None = None) -> bool:
    try:
        found = import_module(module)
        return name is None or hasattr(found, name) or bool(import_module(f"{module}.{name}"))
    except Exception:  # noqa: BLE001 - a module may raise anything
        return False


def _text_of(found: Any) -> bytes | None:
    """The text of the module in which something is defined."""
    try:
        return Path(inspect.getsourcefile(found) or "").read_bytes()
    except (OSError, TypeError):
        return None


def _definition(text: bytes | None, name: str) -> ast.stmt | None:
    """The class or function of that name in the text of a module, without docstrings."""
    try:
        body = Source("", text or b"", "file").tree.body
    except UnusableSource:
        return None
    kinds = (ast.ClassDef, ast.FunctionDef)
    return next((one for one in body if isinstance(one, kinds) and one.name == name), None)
