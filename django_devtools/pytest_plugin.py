"""Fixtures for tests of code that enqueues jobs. Does nothing where this app is not installed."""

import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from django_devtools import extras, startup

# Django and Redis are imported where they are needed: other projects have this plugin, too.
if TYPE_CHECKING:
    from django_devtools.jobs.testing import RqJobs

AUTOUSE = "fake_redis_autouse"
MARK = "real_redis"
OPTION = "--real-redis"

_session = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("django_devtools").addoption(
        OPTION,
        metavar="URL",
        help="Run the tests against the Redis at URL, such as redis://localhost:6379/15, "
        "instead of a fake. Its database must be empty, and is emptied after each test.",
    )
    parser.addini(
        AUTOUSE,
        "Use the fixture fake_redis in all tests (default: true).",
        type="bool",
        default=True,
    )


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Before all of Django: its apps may ask for a Redis while they are loaded."""
    startup.wants_fake = bool(early_config.getini(AUTOUSE))
    return (yield)


def pytest_unconfigure() -> None:
    startup.wants_fake = False
    startup.loading.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARK}(url): run the test against a real Redis, that of {OPTION} where that is given.",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before all fixtures: those of a session or a class may enqueue jobs, too."""
    config = session.config
    if not _has_stand_in(config):
        return
    from django_devtools.jobs.isolation import emptied, faked, pointed_to

    startup.loading.close()
    url = config.getoption(OPTION)
    stand_in = pointed_to(_checked(OPTION, url, config)) if url else faked()
    if config.getini(AUTOUSE):
        with ExitStack() as stack:
            stack.enter_context(stand_in)
            stack.enter_context(emptied())
            config.stash[_session] = stack.pop_all()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _session in session.config.stash:
        session.config.stash[_session].close()


@pytest.fixture(autouse=True)
def _fake_redis(request: pytest.FixtureRequest) -> Iterator[None]:
    # Not by the fixture below: another one would cost every test as much as all that this does.
    with _isolated(request) if _is_autouse(request) else nullcontext():
        yield


@pytest.fixture
def fake_redis(request: pytest.FixtureRequest) -> Iterator[Any]:
    """
    A Redis in memory for all queues, empty at first: the connection to that of "default".

    It is used by every test, unless the ini option fake_redis_autouse is false. With
    --real-redis, and in tests marked with real_redis, it is a real one.
    """
    if not _is_installed():
        raise pytest.UsageError(
            "fake_redis needs Django to be set up, with 'django_devtools' in INSTALLED_APPS."
        )
    if not _has_stand_in(request.config, request.node.get_closest_marker(MARK)):
        raise pytest.UsageError(
            'fake_redis needs fakeredis and django-rq: pip install "django-devtools-kit[testing]"'
        )
    from django.utils.functional import SimpleLazyObject

    from django_devtools.jobs.redis import connection

    with nullcontext() if _is_autouse(request) else _isolated(request):
        yield SimpleLazyObject(lambda: connection("default"))


@pytest.fixture
def rq_jobs(fake_redis: Any) -> "RqJobs":
    """
    The jobs that a test has enqueued: a sequence of rq.job.Job, over all queues, in order.

    rq_jobs.assert_enqueued(task, args=, kwargs=, queue=, at=, count=) and assert_not_enqueued
    check it; rq_jobs.run(until=) runs the jobs here, and await rq_jobs.arun() does so in
    asynchronous tests.
    """
    from django_devtools.jobs.testing import RqJobs

    return RqJobs()


def _is_installed() -> bool:
    django = sys.modules.get("django.apps")
    return bool(django and django.apps.ready and django.apps.is_installed("django_devtools"))


def _has_stand_in(config: pytest.Config, mark: pytest.Mark | None = None) -> bool:
    """
    Whether there is a Redis for tests: a fake, or a real one that is named.

    False in projects that use the branches half alone: they notice nothing of this plugin.
    """
    names_real_redis = bool(config.getoption(OPTION) or mark)
    return _is_installed() and (extras.supports_jobs() if names_real_redis else extras.can_fake())


def _is_autouse(request: pytest.FixtureRequest) -> bool:
    mark = request.node.get_closest_marker(MARK)
    is_wanted = bool(request.config.getini(AUTOUSE) or mark)
    return is_wanted and _has_stand_in(request.config, mark)


@contextmanager
def _isolated(request: pytest.FixtureRequest) -> Iterator[None]:
    from django_devtools.jobs.isolation import emptied, faked, pointed_to

    config, mark = request.config, request.node.get_closest_marker(MARK)
    if url := config.getoption(OPTION):
        stand_in = pointed_to(_databases(url, config)[0])
    elif mark:
        stand_in = pointed_to(_checked(MARK, _url_of(mark), config))
    else:
        stand_in = faked()
    with stand_in, emptied():
        yield


def _url_of(mark: pytest.Mark) -> str:
    if mark.args:
        return str(mark.args[0])
    pytest.skip(f"needs a real Redis: pytest {OPTION}=redis://localhost:6379/15")


def _checked(source: str, url: str, config: pytest.Config) -> str:
    """The database to use; raises UsageError when that, or that of a worker, can't be used."""
    from redis.exceptions import RedisError

    from django_devtools.jobs.isolation import check_empty

    try:
        databases = _databases(url, config)
        for database in databases:
            check_empty(database)
    except (RedisError, ValueError) as error:
        raise pytest.UsageError(f"{source}: {error}") from error
    return databases[0]


def _databases(url: str, config: pytest.Config) -> list[str]:
    """
    Those to use: one for each of pytest-xdist's workers, one after another.

    Who starts the workers looks at all of them: it can say what is wrong, and only once.
    """
    worker = getattr(config, "workerinput", {}).get("workerid")
    numbers = [int(worker.removeprefix("gw"))] if worker else range(_workers(config) or 1)
    return [_database(url, number) for number in numbers]


def _database(url: str, number: int) -> str:
    """The database that comes so many after that of ``url``."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "unix" or "db" in query:
        first = query.get("db", "0")
        query["db"] = f"{_number(first, url) + number}"
        return f"{url.partition('?')[0]}?{urlencode(query)}"
    first = parts.path.strip("/") or "0"
    return urlunsplit(parts._replace(path=f"/{_number(first, url) + number}"))


def _number(text: str, url: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{url} names no database, as redis://localhost:6379/15 does.")
    return int(text)


def _workers(config: pytest.Config) -> int:
    return len(config.getoption("tx", None) or ())
