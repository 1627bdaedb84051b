"""Texts as migrations."""

import sys
from contextlib import suppress
from types import ModuleType

import pytest
from django.db.migrations import Migration
from django.test import override_settings

from django_devtools.branches.sources.loader import (
    Code,
    Source,
    UnusableSource,
    listed_operations,
    load,
    outline,
)
from django_devtools.branches.sources.snapshots import DETACHED

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
    "block",
    [
        "if apps:\n        pass\n    else:\n        {}",
        "for app in ():\n        {}",
        "with apps:\n        {}",
        "match apps:\n        case 1:\n            {}",
        "def inner():\n        {}",
        "class Inner:\n        def method(self):\n            {}",
    ],
)
def test_imports_are_found_in_blocks_of_functions(block: str) -> None:
    with pytest.raises(UnusableSource, match="No module named 'no_such_module'"):
        load(KEY, source(block.format("import no_such_module")))


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
    assert recorded._replace(at="yesterday").place == "snapshot of yesterday, aaaaaaaaaa"
    assert source()._replace(in_reflog=True).place == "git reflog, aaaaaaaaaa"
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


@pytest.mark.parametrize(
    ("branch", "commit", "applied_on"),
    [
        ("main", "a" * 40, "main"),
        (DETACHED, "a" * 40, "a" * 10),
        (DETACHED, None, None),
        (None, "a" * 40, None),
    ],
)
def test_where_it_was_applied(
    branch: str | None, commit: str | None, applied_on: str | None
) -> None:
    assert Source("a", b"", "snapshot", branch, commit).applied_on == applied_on


@pytest.mark.parametrize(
    "other",
    [
        b"x = 1\ny = 'a'",
        b"x = 1\ny = 2\nz = 3",
        b"x = 1\ny = b'a'",
        b"x = 1\ny = u'a'",
        b"x: int = 1",
    ],
)
def test_texts_that_read_differently(other: bytes) -> None:
    source = Source("a", b"x = 1\ny = 2", "file")
    assert source.reads_like(Source("a", b"x  =  1 # One\ny = (2)", "file"))
    assert not source.reads_like(Source("a", other, "file"))
    text = Source("a", b"y = 'a'", "file")
    assert not text.reads_like(Source("a", b"y = b'a'", "file"))
    assert not text.reads_like(Source("a", b"y = u'a'", "file"))


def test_code_without_a_text() -> None:
    code = Code({KEY: Migration("0001_initial", "shop")}, {"shop": "django.contrib.contenttypes"})
    assert code.source(KEY) is None
    assert code.directories()["shop"].name == "contenttypes"


def test_code_whose_file_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("gone.migrations.0001_initial")
    module.__file__ = "/nowhere/0001_initial.py"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    code = Code({KEY: Migration("0001_initial", "shop")}, {"shop": "gone.migrations"})
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
