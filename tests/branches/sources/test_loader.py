"""Texts as migrations, and the graph over them."""

import random
import sys
from contextlib import suppress
from dataclasses import replace
from types import ModuleType

import pytest
from django.db.migrations import Migration
from django.db.migrations.exceptions import NodeNotFoundError
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

from django_devtools.branches.sources.loader import (
    Code,
    Graph,
    Source,
    UnusableSource,
    listed_operations,
    load,
    outline,
    variant,
)
from django_devtools.branches.sources.snapshots import Key

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


@override_settings(USE_TZ=True, TIME_ZONE="Europe/Vienna")
def test_where_a_plan_says_that_a_source_is() -> None:
    recorded = Source("a.b", b"", "snapshot", "main", "a" * 40, at="2026-11-21T23:13:02.725398")
    assert recorded.place == "snapshot of 2026-11-22 00:13, aaaaaaaaaa"
    with override_settings(USE_TZ=False):  # Then the rows have the local time.
        assert recorded.place == "snapshot of 2026-11-21 23:13, aaaaaaaaaa"
    assert replace(recorded, at="yesterday").place == "snapshot of yesterday, aaaaaaaaaa"
    assert replace(source(), in_reflog=True).place == "git reflog, aaaaaaaaaa"
    assert source().place == str(source())
    assert Source("a.b", b"", "file").place == "file"


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


def django_plan(graph: Graph, clean_start: bool = False) -> list[Key]:
    """What ``migrate`` would apply, where the database has applied what the graph says."""
    executor = MigrationExecutor.__new__(MigrationExecutor)
    executor.loader = graph
    plan = executor.migration_plan(graph.graph.leaf_nodes(), clean_start)
    return [(migration.app_label, migration.name) for migration, _ in plan]


@pytest.mark.parametrize("seed", range(30))
def test_without_rows_the_order_is_the_one_of_migrate(seed: int) -> None:
    chance = random.Random(seed)
    keys: list[Key] = []
    migrations = {}
    for number in chance.sample(range(100), 20):
        key = (chance.choice("abc"), f"{number:02}")
        parents = chance.sample(keys, min(len(keys), chance.randrange(4)))
        migrations[key] = migration(key[1], *parents, app=key[0])
        keys.append(key)
    squash = migration("squash", *migrations[keys[0]].dependencies, app=keys[0][0])
    squashed = {**migrations, (keys[0][0], "squash"): variant(squash, replaces=keys[:1])}
    for applied in ([], keys[:1], keys[:7], keys):
        graph = Graph(squashed, applied)
        assert graph.ordered(graph.graph.nodes) == django_plan(graph, clean_start=True)
        pending = set(graph.graph.nodes) - graph.applied_nodes()
        assert graph.ordered(pending) == graph.ordered(pending, applied) == django_plan(graph)


def test_the_order_of_rows_wins_over_the_one_of_migrate() -> None:
    keys = [("shop", name) for name in "abcd"]
    graph = Graph({key: migration(key[1]) for key in keys}, keys)
    assert graph.ordered(keys, reversed(keys)) == keys[::-1]
    assert graph.ordered(keys, keys[2:]) == [*keys[2:], *keys[:2]]
    assert graph.ordered(keys) == keys


def test_a_row_that_was_written_late_comes_before_what_depends_on_it() -> None:
    a, b, c, d = keys = [("shop", name) for name in "abcd"]
    chain = {key: migration(key[1]) for key in keys} | {c: migration("c", d)}
    assert Graph(chain, keys).ordered(keys, [a, b, c, d]) == [a, b, d, c]


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_squash_takes_the_place_of_the_last_that_it_replaces(is_listed: bool) -> None:
    a, b, c, d = ("shop", "a"), ("shop", "b"), ("other", "c"), ("other", "d")
    squash = ("shop", "squash")
    nodes = {squash: variant(migration("squash"), replaces=[a, b])}
    nodes |= {key: migration(key[1], app="other") for key in (c, d)}
    # Django writes its row at the end of the run that finds all of them applied.
    rows = [c, a, b, d, *([squash] if is_listed else [])]
    graph = Graph(nodes, rows)
    assert graph.ordered(graph.applied_nodes(), rows) == [c, squash, d]


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


# Texts that a fetch may bring

DEEP = ["not " * 100_000 + "1", "1" + " + 1" * 100_000, "not " * 900 + "1", "a" + "()" * 100_000]


@pytest.mark.parametrize("value", DEEP, ids=["not", "plus", "little", "calls"])
def test_a_text_that_is_nested_too_deeply(value: str) -> None:
    source = Source("shop.migrations.0001_initial", f"operations = [{value}]\n".encode(), "file")
    other = Source(source.module, source.content + b"# And more\n", "file")
    assert all(operation.startswith(value[:3]) for operation in listed_operations(source.content))
    assert outline(KEY, source).operations == []
    with suppress(UnusableSource):
        assert source.reads_like(other)
    with pytest.raises(UnusableSource):
        load(KEY, source)
