"""The private names on docs/pages/private-api.md, looked for in what is installed."""

import inspect
import re
from functools import reduce
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import django
import pytest
from django.db import connection
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.loader import MigrationLoader
from django.db.transaction import Atomic
from redis import Redis
from redis.sentinel import Sentinel, SentinelConnectionPool
from rq.job import Job

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/pages/private-api.md"
ROWS = re.findall(r"^\| `(\S+)` \| (.*?) \| `(\S+)` \| .+ \|$", PAGE.read_text(), re.MULTILINE)
NAMES = [name for name, _, _ in ROWS]

# How an instance is made, for what a class has not before.
INSTANCES: dict[Any, Any] = {
    Atomic: lambda: Atomic(using=None, savepoint=True, durable=False),
    BaseDatabaseSchemaEditor: lambda: BaseDatabaseSchemaEditor(
        connection, atomic=False
    ).__enter__(),
    MigrationLoader: lambda: MigrationLoader(None),
    Job: lambda: Job("one", connection=Redis()),
    SentinelConnectionPool: lambda: SentinelConnectionPool("main", Sentinel([])),
}


def find(name: str) -> Any:
    """What a name on the page stands for. Raises AttributeError or ImportError."""
    start, *rest = re.split(r"\(\)\.?", name)
    found = resolve_name(start)
    for part in rest:
        make: Any = INSTANCES.get(found, found)
        found = reduce(getattr, part.split("."), make())
    return found


def test_the_page_lists_names_of_each_package() -> None:
    packages = {name.partition(".")[0] for name in NAMES}
    assert packages == {"django", "django_rq", "fakeredis", "redis", "rq"}
    assert len(set(NAMES)) == len(NAMES) == PAGE.read_text().count("\n| `")


@pytest.mark.parametrize(("name", "parameters", "file"), ROWS, ids=NAMES)
def test_a_name_is_where_we_look_for_it(name: str, parameters: str, file: str) -> None:
    if name.startswith("django.tasks.") and django.VERSION < (6, 0):
        pytest.skip("came with Django 6.0")
    found = find(name)
    used = re.findall(r"`(\w+)`", parameters)
    if used:
        known = inspect.signature(found).parameters
        assert [parameter for parameter in known if parameter in used] == used
    assert (ROOT / "django_devtools" / file).is_file()


@pytest.mark.parametrize(("name", "parameters", "file"), ROWS, ids=NAMES)
def test_a_name_is_used_where_the_page_says(name: str, parameters: str, file: str) -> None:
    text = (ROOT / "django_devtools" / file).read_text()
    *_, owner, last = re.split(r"\W+", name)
    assert re.search(rf"\b({last}|{owner})\b", text)
