import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.databases import MAKERS, VENDORS, Configuration, connected, drop_all
from tests.orders import LEFT_OUT, ORDER, PROJECTS
from tests.project import MEASURE, Project, Zygote

pytest_plugins = ["pytester"]

SERVICES_MUST_ANSWER = os.environ.get("DEVTOOLS_TEST_SERVICES") == "1"

REAL_REDIS = {"real_redis", "real_redis_url"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _needs_services(item):
            item.add_marker("services")
        if mark := next((name for name in LEFT_OUT[ORDER] if item.get_closest_marker(name)), None):
            item.add_marker(pytest.mark.skip(f"{mark}: not with DEVTOOLS_TEST_ORDER={ORDER}"))
    # The last ones are short, so that no worker waits long for another one.
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def _needs_services(item: pytest.Item) -> bool:
    """Whether a test needs a server, as all do that make databases other than SQLite's."""
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & REAL_REDIS:
        return True
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "make_database" in fixtures and "sqlite" not in parameters.values()


@pytest.fixture(scope="session")
def _is_measured() -> bool:
    """Whether any tests measure coverage."""
    return MEASURE in os.environ


@pytest.fixture(autouse=True)
def _measurement(
    request: pytest.FixtureRequest, _is_measured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes of a test that is not measured are not measured either."""
    if request.node.get_closest_marker("no_cover"):
        monkeypatch.delenv(MEASURE, raising=False)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory, _is_measured: bool) -> Iterator[Zygote]:
    zygote = Zygote(tmp_path_factory.mktemp("zygote"), _is_measured)
    yield zygote
    zygote.stop()


@pytest.fixture(scope="session")
def _databases() -> Iterator[None]:
    yield
    drop_all()


@pytest.fixture
def make_database(_databases: None, tmp_path: Path) -> Iterator[Callable[[str], Configuration]]:
    """A function that makes a fresh database of a vendor."""
    drops = []

    def make(vendor: str) -> Configuration:
        if vendor not in VENDORS:
            pytest.skip(f"DEVTOOLS_TEST_VENDORS leaves {vendor} out")
        try:
            configuration, drop = MAKERS[vendor](tmp_path)
        except OSError as error:
            if SERVICES_MUST_ANSWER:
                raise
            pytest.skip(f"no {vendor} server answers: {error}")
        drops.append(drop)
        return configuration

    yield make
    for drop in drops:
        drop()


@pytest.fixture(params=list(MAKERS))
def database(
    request: pytest.FixtureRequest, make_database: Callable[[str], Configuration]
) -> Configuration:
    """A fresh database, on each vendor in turn."""
    return make_database(request.param)


@pytest.fixture
def connection(database: Configuration, django_db_blocker: Any) -> Iterator[BaseDatabaseWrapper]:
    """A connection to a fresh database, on each vendor in turn."""
    with django_db_blocker.unblock(), connected(database) as connection:
        yield connection


@pytest.fixture
def connect(
    make_database: Callable[[str], Configuration], django_db_blocker: Any
) -> Iterator[Callable[[str], BaseDatabaseWrapper]]:
    """A function that connects to a fresh database of a vendor, once in a test."""
    with ExitStack() as stack:
        stack.enter_context(django_db_blocker.unblock())
        yield lambda vendor: stack.enter_context(connected(make_database(vendor)))


@pytest.fixture
def make_project(tmp_path: Path, zygote: Zygote) -> Callable[..., Project]:
    """A function that makes a project on given databases; on one of SQLite by default."""

    def make(name: str = "project", git: bool = True, **databases: Configuration) -> Project:
        databases = databases or {"default": MAKERS["sqlite"](tmp_path)[0]}
        return PROJECTS[ORDER].make(tmp_path / name, databases, zygote, git)

    return make


@pytest.fixture
def vendor_project(make_project: Callable[..., Project], database: Configuration) -> Project:
    """A project in a git repository, on each vendor in turn."""
    return make_project(default=database)


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    """A project in a git repository, on SQLite: for what is the same on every vendor."""
    return make_project()
