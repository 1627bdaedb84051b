"""Texts as migrations, and the graph over them."""

import sys
from types import ModuleType

import pytest
from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError

from django_devtools.branches.sources.loader import (
    Code,
    Graph,
    Source,
    UnusableSource,
    load,
    outline,
    variant,
)

KEY = ("shop", "0001_initial")
TEXT = '''
"""A docstring."""
from django.db import migrations

def forwards(apps, schema_editor):
    {inner}

class Migration(migrations.Migration):
    """Another."""
    dependencies = [("auth", "__first__"), migrations.swappable_dependency("auth.User")]
    replaces = [("shop", "0000_old")]
    operations = [migrations.RunPython(forwards)]
'''


def source(inner: str = "pass") -> Source:
    text = TEXT.format(inner=inner)
    return Source("shop.migrations.0001_initial", text.encode(), "history", commit="a" * 40)


def test_loading_leaves_no_module_behind() -> None:
    migration = load(KEY, source())
    assert str(migration) == "shop.0001_initial"
    assert "shop.migrations.0001_initial" not in sys.modules


def test_loading_puts_the_module_of_that_name_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shop.migrations.0001_initial", sys)
    load(KEY, source())
    assert sys.modules["shop.migrations.0001_initial"] is sys


@pytest.mark.parametrize(
    "inner",
    [
        "import no.such.module",
        "from no_such_module import name",
        "from django.db import no_such_name",
        "from . import no_such_name",
    ],
)
def test_imports_inside_of_functions_are_tried_too(inner: str) -> None:
    with pytest.raises(UnusableSource, match=r"shop\.0001_initial can't be imported: Module"):
        load(KEY, source(inner))


@pytest.mark.parametrize(
    "inner",
    ["import json", "from django import db", "from django.db import models"],
)
def test_imports_inside_of_functions_that_work(inner: str) -> None:
    load(KEY, source(inner))


def test_what_a_source_says_of_itself() -> None:
    assert str(source()) == "git history, aaaaaaaaaa"
    assert str(Source("a.b", b"", "file")) == "file"
    assert source().package == "shop.migrations"


def test_an_outline_has_the_dependencies() -> None:
    found = outline(KEY, source())
    assert found.dependencies == [("auth", "__first__")]
    assert found.replaces == [("shop", "0000_old")]
    assert outline(KEY, Source("a.b", b"<<<", "file")).dependencies == []


def test_reading_alike() -> None:
    other = source().content.replace(b"A docstring.", b"Something else.")
    assert source().reads_like(Source("a", other, "file"))
    assert not source().reads_like(source("return"))
    assert not source().functions_read_like(source("return"))
    with pytest.raises(UnusableSource, match="is not valid Python"):
        source().reads_like(Source("shop", b"\0", "file"))


def migration(name: str, *dependencies: tuple[str, str], app: str = "shop") -> Migration:
    return variant(Migration(name, app), dependencies=list(dependencies))


def test_dependencies_on_what_is_not_there() -> None:
    broken = {("shop", "b"): migration("b", ("shop", "a"), ("other", "__first__"))}
    assert Graph(broken, ()).ordered([("shop", "b")]) == [("shop", "b")]
    with pytest.raises(NodeNotFoundError, match="Dependency on unknown app: other, of shop"):
        Graph(broken, (), complete=True)
    broken = {("shop", "b"): migration("b", ("shop", "a"))}
    with pytest.raises(NodeNotFoundError, match="nonexistent parent node"):
        Graph(broken, (), complete=True)


def test_where_the_graph_leaves_the_order_open_the_rows_decide() -> None:
    keys = [("shop", name) for name in "abcd"]
    graph = Graph({key: migration(key[1]) for key in keys}, keys)
    assert graph.ordered(keys, reversed(keys)) == keys[::-1]
    assert graph.ordered(keys) == keys


def test_descendants_and_ancestors() -> None:
    chain = {
        ("shop", "a"): migration("a"),
        ("shop", "b"): migration("b", ("shop", "a")),
        ("shop", "c"): migration("c", ("shop", "b")),
    }
    graph = Graph(chain, ())
    assert graph.descendants([("shop", "b"), ("no", "such")]) == {("shop", "b"), ("shop", "c")}
    assert graph.ancestors([("shop", "b")]) == {("shop", "a"), ("shop", "b")}


def test_code_without_a_text() -> None:
    code = Code({KEY: migration("0001_initial")}, {"shop": "django.contrib.contenttypes"})
    assert code.source(KEY) is None
    assert code.directories()["shop"].name == "contenttypes"


def test_code_whose_file_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("gone.migrations.0001_initial")
    module.__file__ = "/nowhere/0001_initial.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    code = Code({KEY: migration("0001_initial")}, {"shop": "gone.migrations"})
    assert code.source(KEY) is None
