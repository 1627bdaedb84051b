"""The pytest plugin, in test runs of projects that are made here."""

import os
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from pytest_django import Settings
from redis import Redis
from redis.exceptions import ConnectionError as NoRedisAnswers

# What the runs in this process would import for themselves, and forget again.
import django_devtools.jobs.fake
import django_devtools.jobs.workers  # noqa: F401
from django_devtools.jobs.testing import RqJobs
from tests.conftest import SERVICES_MUST_ANSWER
from tests.jobs.conftest import alone
from tests.processes import TIMEOUT

pytestmark = pytest.mark.once

Run = Callable[..., pytest.RunResult]

SERVER = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379").rstrip("/")
FIRST, SECOND = f"{SERVER}/13", f"{SERVER}/14"


@pytest.fixture
def real_redis() -> Iterator[None]:
    """The two databases of the local Redis, empty at first and in the end."""
    with ExitStack() as stack:
        for database in (13, 14):
            stack.enter_context(alone(database))
        databases = [stack.enter_context(Redis.from_url(url)) for url in (FIRST, SECOND)]
        try:
            for redis in databases:
                redis.flushdb()
        except NoRedisAnswers as error:
            if SERVICES_MUST_ANSWER:
                raise
            pytest.skip(f"no Redis answers: {error}")
        yield
        for redis in databases:
            redis.flushdb()


def keys(url: str) -> list[Any]:
    with Redis.from_url(url) as redis:
        found: Any = redis.keys()
        return list(found)


# Runs in this process, with Django set up as it is here


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run pytest on some tests, in this process."""

    def run(tests: str, *arguments: str, ini: str = "") -> pytest.RunResult:
        pytester.makeini(f"[pytest]\naddopts = --strict-markers\n{textwrap.dedent(ini)}")
        pytester.makepyfile(IMPORTS + textwrap.dedent(tests))
        plugins = ("asyncio", "cacheprovider", "django", "randomly")
        without = [f"-pno:{name}" for name in plugins]
        return pytester.runpytest_inprocess("-rs", *without, *arguments)

    return run


IMPORTS = """\
import unittest

import django_rq
import pytest

from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import fetch, of_django_rq, plain, resize
"""


def test_fake_is_fresh_for_each_test(run: Run) -> None:
    result = run(
        """
        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test(name, fake_redis):
            assert fake_redis.keys() == []
            job = resize.delay(name)
            assert fake_redis.exists(job.key)

        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test_without_fixtures(name):
            resize.delay(name)
            of_django_rq.delay(name)
            django_rq.enqueue(plain, name)
            assert len(RqJobs()) == 3

        def test_that_fails():
            resize.delay("a.png")
            assert 0

        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test_jobs(name, rq_jobs):
            assert not rq_jobs
            resize.delay(name)
            assert rq_jobs.assert_enqueued(resize)[0].args == (name,)
            assert rq_jobs.run()
        """
    )
    result.assert_outcomes(passed=6, failed=1)
    assert not RqJobs()


def test_what_fixtures_enqueue_is_gone(run: Run) -> None:
    result = run(
        """
        @pytest.fixture(scope="session", autouse=True)
        def of_the_session():
            resize.delay("a.png")
            assert len(RqJobs()) == 1
            yield
            resize.delay("b.png")

        @pytest.fixture
        def of_a_test():
            resize.delay("c.png")

        class TestCase(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                resize.delay("d.png")

            def setUp(self):
                resize.delay("e.png")

            @classmethod
            def tearDownClass(cls):
                resize.delay("f.png")

            def test(self):
                assert [job.args[0] for job in RqJobs()] == ["e.png"]

            def test_again(self):
                self.test()

        def test(of_a_test, rq_jobs):
            assert [job.args[0] for job in rq_jobs] == ["c.png"]
        """
    )
    result.assert_outcomes(passed=3)
    assert not RqJobs()


def test_jobs_that_wait_for_the_end_of_a_request(run: Run, settings: Settings) -> None:
    settings.RQ = {"COMMIT_MODE": "request_finished"}
    result = run(
        """
        from django_rq import thread_queue

        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test(name, rq_jobs):
            resize.delay(name)
            assert not rq_jobs
            thread_queue.commit()
            assert len(rq_jobs) == 1
            resize.delay(name)
        """
    )
    result.assert_outcomes(passed=2)


def test_failed_assertions(run: Run) -> None:
    result = run(
        """
        def test(rq_jobs):
            resize.delay("a.png")
            rq_jobs.assert_enqueued(resize, args=("b.png",))
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        """
        >       rq_jobs.assert_enqueued(resize, args=("b.png",))
        E       AssertionError: No job of tests.jobs.mailing.resize with args=('b.png',). \
Enqueued were, nearest first:
        E         tests.jobs.mailing.resize('a.png') in queue 'default'  (other args)
        """
    )
    result.stdout.no_fnmatch_line("*enqueued.py*")


def test_failed_jobs(run: Run) -> None:
    """The function of the job is shown, and not what is between."""
    result = run(
        """
        def test(rq_jobs):
            fetch.delay("a.png")
            rq_jobs.run()
        """,
        "--show-capture=no",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            ">       rq_jobs.run()",
            ">       raise Unreachable(url)",
            "E       tests.jobs.mailing.Unreachable: a.png",
            "*mailing.py:*: Unreachable",
        ]
    )
    for name in ("*/rq/*", "*running.py*", "*enqueued.py*", "*decorator.py*"):
        result.stdout.no_fnmatch_line(name)


def test_autouse_can_be_switched_off(run: Run, settings: Settings) -> None:
    settings.FAKE_REDIS = False
    result = run(
        """
        from django.conf import settings

        @pytest.fixture(scope="session", autouse=True)
        def of_the_session():
            assert not settings.FAKE_REDIS

        def test_without():
            assert not settings.FAKE_REDIS

        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test_with(name, rq_jobs):
            assert settings.FAKE_REDIS
            assert not rq_jobs
            resize.delay(name)
            assert rq_jobs.run()

        def test_with_connection(fake_redis):
            resize.delay("a.png")
            assert fake_redis.keys("rq:job:*")

        def test_without_again():
            assert not settings.FAKE_REDIS

        @pytest.mark.real_redis
        def test_marked():
            assert 0
        """,
        ini="fake_redis_autouse = false",
    )
    result.assert_outcomes(passed=5, skipped=1)


# --real-redis, and the mark

JOBS_AND_KEYS = """
from django_devtools.jobs.redis import connection

URL = None

def test_redis(fake_redis):
    pool = fake_redis.connection_pool
    assert "fake" not in type(pool.get_connection()).__module__
    assert pool.connection_kwargs["db"] == 13

@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_jobs(name, rq_jobs, fake_redis):
    assert fake_redis.keys() == []
    resize.delay(name)
    of_django_rq.delay(name)
    django_rq.enqueue(plain, name)
    django_rq.get_queue("elsewhere").enqueue(plain, name)
    assert len(rq_jobs) == 4
    assert len(fake_redis.keys("rq:job:*")) == 4
    assert len(rq_jobs.run()) == 4

def test_workers(rq_jobs):
    # In this process.
    resize.delay("a.png")
    worker = django_rq.get_worker()
    assert worker.work(burst=True)
    assert worker.horse_pid == 0
    assert rq_jobs[0].is_finished

def test_left_over():
    resize.delay("a.png")
"""


@pytest.mark.usefixtures("real_redis")
def test_real_redis(run: Run) -> None:
    result = run(
        JOBS_AND_KEYS
        + """
@pytest.mark.real_redis
def test_marked(fake_redis):
    test_redis(fake_redis)

@pytest.fixture(scope="module", autouse=True)
def of_the_module():
    resize.delay("a.png")
    yield
    resize.delay("a.png")
""",
        f"--real-redis={FIRST}",
    )
    result.assert_outcomes(passed=6)
    assert keys(FIRST) == []
    assert not RqJobs()


@pytest.mark.usefixtures("real_redis")
def test_mark_with_a_url(run: Run) -> None:
    result = run(f"pytestmark = pytest.mark.real_redis({FIRST!r})\n{JOBS_AND_KEYS}")
    result.assert_outcomes(passed=5)
    assert keys(FIRST) == []


@pytest.mark.usefixtures("real_redis")
def test_option_before_the_mark(run: Run) -> None:
    result = run(
        f"pytestmark = pytest.mark.real_redis({SECOND!r})\n{JOBS_AND_KEYS}",
        f"--real-redis={FIRST}",
    )
    result.assert_outcomes(passed=5)


@pytest.mark.usefixtures("real_redis")
def test_real_redis_for_some_tests_only(run: Run, settings: Settings) -> None:
    settings.FAKE_REDIS = False
    result = run(
        """
        from django.conf import settings

        def test_without():
            assert settings.RQ_QUEUES["default"]["HOST"] == "localhost"

        @pytest.mark.parametrize("name", ["a.png", "b.png"])
        def test_with(name, rq_jobs, fake_redis):
            assert not rq_jobs
            resize.delay(name)
            assert fake_redis.connection_pool.connection_kwargs["db"] == 13
            assert len(fake_redis.keys("rq:job:*")) == 1

        @pytest.mark.real_redis
        def test_marked():
            resize.delay("a.png")
            assert len(RqJobs()) == 1
        """,
        f"--real-redis={FIRST}",
        ini="fake_redis_autouse = false",
    )
    result.assert_outcomes(passed=4)
    assert keys(FIRST) == []


@pytest.mark.usefixtures("real_redis")
def test_keys_are_refused_for_some_tests_too(run: Run) -> None:
    Redis.from_url(FIRST).set("precious", "yes")
    result = run("def test(): assert 0", f"--real-redis={FIRST}", ini="fake_redis_autouse = false")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: --real-redis: {REFUSED}"


def test_mark_without_a_url(run: Run) -> None:
    result = run(
        """
        @pytest.mark.real_redis
        def test():
            assert 0
        """
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        "SKIPPED [[]1[]] *: needs a real Redis: pytest --real-redis=redis://localhost:6379/15"
    )


@pytest.mark.usefixtures("real_redis")
def test_marked_and_other_tests(run: Run) -> None:
    result = run(
        f"""
        from django.conf import settings

        def test_fake(fake_redis):
            assert "fake" in type(fake_redis.connection_pool.get_connection()).__module__

        @pytest.mark.real_redis({FIRST!r})
        def test_real(fake_redis):
            assert "fake" not in type(fake_redis.connection_pool.get_connection()).__module__

        def test_fake_again(fake_redis):
            test_fake(fake_redis)
        """
    )
    result.assert_outcomes(passed=3)


REFUSED = (
    f"{FIRST} holds 1 keys, and tests would remove them. "
    "Name a database that is empty, such as redis://localhost:6379/15."
)


@pytest.mark.usefixtures("real_redis")
def test_option_refuses_databases_that_hold_keys(run: Run) -> None:
    Redis.from_url(FIRST).set("precious", "yes")
    result = run("def test(): assert 0", f"--real-redis={FIRST}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: --real-redis: {REFUSED}"
    assert keys(FIRST) == [b"precious"]


@pytest.mark.usefixtures("real_redis")
def test_mark_refuses_databases_that_hold_keys(run: Run) -> None:
    Redis.from_url(FIRST).set("precious", "yes")
    result = run(
        f"""
        @pytest.mark.real_redis({FIRST!r})
        def test():
            assert 0
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(f"E * real_redis: {REFUSED}")
    assert keys(FIRST) == [b"precious"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "redis://127.0.0.1:1/0",
            "Error 111 connecting to 127.0.0.1:1. Connection refused.",
        ),
        (
            "unix:///nowhere/redis.sock",
            "Error 2 connecting to /nowhere/redis.sock. No such file or directory.",
        ),
        (
            "http://localhost/13",
            "Redis URL must specify one of the following schemes (redis://, rediss://, unix://)",
        ),
        (
            "redis://localhost/shop",
            "redis://localhost/shop names no database, as redis://localhost:6379/15 does.",
        ),
    ],
)
def test_urls_that_do_not_work(run: Run, url: str, message: str) -> None:
    result = run("def test(): assert 0", f"--real-redis={url}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: --real-redis: {message}"


def test_mark_when_no_server_answers(run: Run) -> None:
    result = run(
        """
        @pytest.mark.real_redis("redis://127.0.0.1:1/0")
        def test():
            assert 0
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("E * real_redis: Error 111 connecting to 127.0.0.1:1.*")


def test_help(run: Run) -> None:
    run("", "--markers").stdout.fnmatch_lines(
        "@pytest.mark.real_redis(url): run the test against a real Redis, that of --real-redis *"
    )
    run("", "--fixtures").stdout.fnmatch_lines_random(["fake_redis *", "rq_jobs *"])
    run("", "--help").stdout.fnmatch_lines(["*--real-redis=URL *", "*fake_redis_autouse (bool):*"])


@pytest.mark.usefixtures("real_redis")
@pytest.mark.parametrize("url", [f"{SERVER}?db=13", f"{SERVER}/13?protocol=2"])
def test_other_urls(run: Run, url: str) -> None:
    result = run(JOBS_AND_KEYS, f"--real-redis={url}", "-k=not workers")
    result.assert_outcomes(passed=4, deselected=1)
    assert keys(FIRST) == []


# Runs in processes of their own, of projects with settings of their own

SHOP = {
    "settings": """
        SECRET_KEY = "only for tests"
        INSTALLED_APPS = [
            "django.contrib.contenttypes",
            "django.contrib.staticfiles",
            "django_devtools",
            "shop",
        ]
        DATABASES = {
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "default.sqlite3",
                "ATOMIC_REQUESTS": True,
            },
            "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": "other.sqlite3"},
        }
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        ROOT_URLCONF = "shop.views"
        STATIC_URL = "static/"
        # Nothing answers there.
        RQ_QUEUES = {
            "default": {"HOST": "127.0.0.1", "PORT": 1},
            "high": {"HOST": "127.0.0.1", "PORT": 2},
        }
    """,
    "shop/__init__": "",
    "shop/models": """
        from django.db import models
        from django.db.models.signals import post_save
        from django.dispatch import receiver

        # While the apps are loaded, and before any fixture.
        from shop.tasks import confirm, of_django_rq

        class Order(models.Model):
            email = models.EmailField()

        @receiver(post_save, sender=Order)
        def enqueue(instance, created, using, **kwargs):
            confirm.delay(instance.email)
            of_django_rq.delay(instance.email)
    """,
    "shop/tasks": """
        import os

        import django_rq
        from django_devtools.jobs import async_job

        @async_job
        def get_process():
            return os.getpid()

        @async_job
        def confirm(email):
            return f"Thank you, {email}"

        @async_job("high")
        async def pack(email):
            from shop.models import Order

            return await Order.objects.filter(email=email).acount()

        @django_rq.job("high")
        def of_django_rq(email):
            pass
    """,
    "shop/views": """
        from django.http import HttpResponse
        from django.urls import path

        from shop.models import Order

        def order(request):
            Order.objects.create(email=request.GET["email"])
            if "fails" in request.GET:
                raise LookupError("sold out")
            return HttpResponse()

        urlpatterns = [path("order", order)]
    """,
    "test_shop": """
        from os import getpid
        from threading import Thread
        from urllib.request import urlopen

        import django_rq
        import pytest
        from django.conf import settings
        from django.db.transaction import atomic
        from django.test import TestCase, TransactionTestCase

        from django_devtools.jobs.testing import RqJobs
        from shop.models import Order
        from shop.tasks import confirm, get_process, of_django_rq, pack

        def names(jobs):
            return [job.args[0] for job in jobs]

        def test_settings():
            assert settings.SETTINGS_MODULE == "settings"

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_in_a_transaction(db, rq_jobs, email):
            Order.objects.create(email=email)
            rq_jobs.assert_enqueued(confirm, args=(email,), count=1)
            rq_jobs.assert_enqueued(of_django_rq, args=(email,), queue="high", count=1)
            assert len(rq_jobs.run()) == 2

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_committed(transactional_db, rq_jobs, email):
            with atomic():
                Order.objects.create(email=email)
                assert not rq_jobs
            rq_jobs.assert_enqueued(confirm, args=(email,), count=1)
            assert len(rq_jobs.run()) == 2

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_view(db, client, rq_jobs, email):
            client.get("/order", {"email": email})
            with pytest.raises(LookupError):
                client.get("/order", {"email": "charlie", "fails": "yes"})
            assert names(rq_jobs) == [email, email]

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_live_server(live_server, rq_jobs, email):
            urlopen(f"{live_server}/order?email={email}").close()
            rq_jobs.assert_enqueued(confirm, args=(email,), count=1)
            rq_jobs.assert_enqueued(of_django_rq, args=(email,), count=1)

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_threads(rq_jobs, email):
            thread = Thread(target=confirm.delay, args=(email,))
            thread.start()
            thread.join()
            assert names(rq_jobs) == [email]

        @pytest.mark.asyncio
        @pytest.mark.parametrize("email", ["ada", "bob"])
        async def test_asynchronous_code(transactional_db, rq_jobs, email):
            await Order.objects.acreate(email=email)
            await pack.adelay(email)
            assert names(rq_jobs) == [email] * 3
            assert [job.return_value() for job in await rq_jobs.arun()][2] == 1

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test_asynchronous_jobs_in_a_transaction(db, rq_jobs, email):
            Order.objects.create(email=email)
            job = pack.delay(email)
            rq_jobs.run()
            assert job.return_value() == 1

        @pytest.mark.django_db(databases=["default", "other"])
        def test_several_databases(rq_jobs):
            # Jobs wait for the transaction of "default".
            with atomic(using="other"):
                confirm.delay("ada")
                assert names(rq_jobs) == ["ada"]
                with atomic():
                    confirm.delay("bob")
                assert names(rq_jobs) == ["ada", "bob"]
            with atomic():
                confirm.delay("charlie")
                with atomic(using="other"):
                    pass
                assert names(rq_jobs) == ["ada", "bob"]
            assert names(rq_jobs) == ["ada", "bob", "charlie"]

        @pytest.mark.django_db(databases=["default", "other"], transaction=True)
        def test_several_databases_and_real_transactions(rq_jobs):
            test_several_databases(rq_jobs)

        def test_workers_run_in_the_process_of_the_test(rq_jobs):
            job = get_process.delay()
            assert django_rq.get_worker("default").work(burst=True)
            assert job.return_value() == getpid()

        class SharedTests:
            @classmethod
            def setUpTestData(cls):
                Order.objects.create(email="of the class")

            def test_create(self):
                assert names(RqJobs()) == []
                Order.objects.create(email="ada")
                assert names(RqJobs()) == ["ada", "ada"]

            test_again = test_create

        class TestTestCase(SharedTests, TestCase):
            pass

        class TestTransactionTestCase(SharedTests, TransactionTestCase):
            pass
    """,
}
COUNT = 22


@pytest.fixture
def make_project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, str]], Run]:
    """Write files, and return a function that runs pytest on them in a process of its own."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    pytester.makeini(
        f"""
        [pytest]
        addopts = --strict-markers
        asyncio_default_fixture_loop_scope = function
        faulthandler_timeout = {TIMEOUT // 2}
        faulthandler_exit_on_timeout = true
        filterwarnings = error
        pythonpath = .
        """
    )

    def make(files: dict[str, str]) -> Run:
        for name, text in files.items():
            file = pytester.path / f"{name}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return lambda *arguments: pytester.runpytest_subprocess(
            "-pno:cacheprovider", *arguments, timeout=2 * TIMEOUT
        )

    return make


def test_project(make_project: Callable[[dict[str, str]], Run]) -> None:
    make_project(SHOP)("--ds=settings").assert_outcomes(passed=COUNT)


EARLY = {
    "settings": """
        SECRET_KEY = "only for tests"
        INSTALLED_APPS = ["django.contrib.contenttypes", {apps}]
        DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
        # Nothing answers there.
        RQ_QUEUES = {{
            "default": {{"HOST": "127.0.0.1", "PORT": 1}},
            "high": {{"URL": "redis://localhost:2/3"}},
        }}
    """,
    "shop/__init__": "",
    "shop/apps": """
        import django_rq
        from django.apps import AppConfig
        from redis import BlockingConnectionPool, Redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        lock = django_rq.get_connection()
        own = Redis.from_pool(BlockingConnectionPool(host="localhost", port=2, db=3))
        other = Redis(host="localhost", port=2, db=4, retry=Retry(NoBackoff(), 0))

        class ShopConfig(AppConfig):
            name = "shop"

            def ready(self):
                from shop.tasks import warm

                warm.delay("ready")
                django_rq.enqueue(print, "ready")
                lock.set("ready", 1)
    """,
    "shop/models": """
        import django_rq
        from rq import Queue

        connection = django_rq.get_connection("high")
        queue = Queue("high", connection=connection)
        django_rq.get_queue("high").enqueue(print, "models")
    """,
    "shop/tasks": """
        from django_devtools.jobs import async_job

        @async_job
        def warm(name):
            pass
    """,
    "test_shop": """
        import django_rq
        import pytest
        from redis.exceptions import ConnectionError

        from shop.apps import lock, other, own
        from shop.models import connection, queue

        again = pytest.mark.parametrize("name", ["ada", "bob"])

        def test_what_was_enqueued_is_gone(rq_jobs, fake_redis):
            assert not rq_jobs
            assert not fake_redis.keys()

        @again
        def test_connections(name):
            assert lock.set("lock", name, nx=True)
            assert own.set("own", name, nx=True)
            assert django_rq.get_connection().get("lock") == name.encode()
            assert connection.get("own") == name.encode()
            with lock.pipeline() as pipeline:
                assert pipeline.get("lock").execute() == [name.encode()]

        @again
        def test_queues(rq_jobs, name):
            queue.enqueue(print, name)
            rq_jobs.assert_enqueued("builtins.print", args=(name,), queue="high", count=1)
            assert len(rq_jobs.run()) == 1

        def test_a_redis_that_is_no_queues():
            with pytest.raises(ConnectionError):
                other.ping()
    """,
}
ORDERS = [
    ("shop", "django_rq", "django_devtools"),
    ("django_devtools", "django_rq", "shop"),
]


@pytest.fixture(params=ORDERS, ids=",".join)
def early(
    request: pytest.FixtureRequest, make_project: Callable[[dict[str, str]], Run]
) -> Callable[..., pytest.RunResult]:
    """Run the tests of a project that asks for Redis while its apps are loaded."""
    apps = ", ".join(map(repr, request.param))

    def run(settings: str, *arguments: str) -> pytest.RunResult:
        text = textwrap.dedent(EARLY["settings"]).format(apps=apps) + settings
        return make_project(EARLY | {"settings": text})("--ds=settings", *arguments)

    return run


@pytest.mark.parametrize("settings", ["", "FAKE_REDIS = True"])
def test_what_apps_ask_for_while_they_are_loaded(early: Run, settings: str) -> None:
    early(settings).assert_outcomes(passed=6)


@pytest.mark.usefixtures("real_redis")
def test_what_apps_ask_for_and_a_real_redis(early: Run) -> None:
    early("", f"--real-redis={FIRST}").assert_outcomes(passed=6)
    assert keys(FIRST) == []


@pytest.mark.usefixtures("real_redis")
def test_project_on_a_real_redis(make_project: Callable[[dict[str, str]], Run]) -> None:
    """The same tests, two processes, and a database for each of these."""
    make_project(SHOP)("--ds=settings", "-n2", f"--real-redis={FIRST}").assert_outcomes(
        passed=COUNT
    )
    assert keys(FIRST) == keys(SECOND) == []


@pytest.mark.usefixtures("real_redis")
def test_each_process_has_a_database_of_its_own(
    make_project: Callable[[dict[str, str]], Run],
) -> None:
    tests = f"""
        import pytest
        from shop.tasks import confirm

        pytestmark = pytest.mark.real_redis({FIRST!r})

        @pytest.mark.parametrize("number", range(8))
        def test(rq_jobs, fake_redis, worker_id, number):
            database = fake_redis.connection_pool.connection_kwargs["db"]
            assert (database, worker_id) in [(13, "gw0"), (14, "gw1")]
            assert not rq_jobs
            confirm.delay("ada")
            assert len(fake_redis.keys("rq:job:*")) == 1
    """
    result = make_project(SHOP | {"test_shop": tests})("--ds=settings", "-n2")
    result.assert_outcomes(passed=8)
    assert keys(FIRST) == keys(SECOND) == []


@pytest.mark.usefixtures("real_redis")
@pytest.mark.parametrize(
    ("first", "second"), [(FIRST, SECOND), (f"{SERVER}?db=13", f"{SERVER}?db=14")]
)
def test_the_databases_of_all_processes_are_checked_first(
    run: Run, first: str, second: str
) -> None:
    Redis.from_url(SECOND).set("precious", "yes")
    result = run("def test(): assert 0", "-n2", f"--real-redis={first}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert result.stderr.lines[0] == f"ERROR: --real-redis: {REFUSED.replace(FIRST, second)}"
    assert keys(SECOND) == [b"precious"]


# Where it is not wanted

NOT_INSTALLED = (
    "E * fake_redis needs Django to be set up, with 'django_devtools' in INSTALLED_APPS."
)


@pytest.mark.parametrize("plugin", ["-pno:django", "-pno:randomly"])
def test_without_django(make_project: Callable[[dict[str, str]], Run], plugin: str) -> None:
    tests = """
        import sys

        import pytest

        def test():
            assert "redis" not in sys.modules
            assert "rq" not in sys.modules
            assert "django_devtools.jobs" not in sys.modules
            if "pytest_django" not in sys.modules:
                assert "django" not in sys.modules

        @pytest.mark.real_redis
        def test_marked():
            pass

        def test_jobs(rq_jobs):
            assert 0
    """
    result = make_project({"test_plain": tests})(plugin, "--real-redis=redis://127.0.0.1:1")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(NOT_INSTALLED)


UNTOUCHED = """
    from django.conf import settings
    from django.db.transaction import Atomic

    def test():
        assert not hasattr(settings, "FAKE_REDIS")
        assert type(settings.RQ_QUEUES) is dict
        assert Atomic.__exit__.__module__ == "django.db.transaction"

    def test_jobs(rq_jobs):
        assert 0
"""


def test_app_is_not_installed(make_project: Callable[[dict[str, str]], Run]) -> None:
    settings = SHOP["settings"].replace('"django_devtools",', "")
    result = make_project(SHOP | {"settings": settings, "test_shop": UNTOUCHED})("--ds=settings")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(NOT_INSTALLED)


def test_switched_off(make_project: Callable[[dict[str, str]], Run]) -> None:
    result = make_project(SHOP | {"test_shop": UNTOUCHED})("--ds=settings", "-pno:django_devtools")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("E       fixture 'rq_jobs' not found")


def test_without_pytest_django(make_project: Callable[[dict[str, str]], Run]) -> None:
    conftest = """
        import os

        import django

        os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
        django.setup()
    """
    tests = """
        import pytest
        from shop.tasks import confirm, of_django_rq

        @pytest.mark.parametrize("email", ["ada", "bob"])
        def test(rq_jobs, email):
            confirm.delay(email)
            of_django_rq.delay(email)
            assert len(rq_jobs) == 2
            assert len(rq_jobs.run()) == 2

        def test_nothing_is_left(rq_jobs):
            assert not rq_jobs
    """
    result = make_project(SHOP | {"conftest": conftest, "test_shop": tests})("-pno:django")
    result.assert_outcomes(passed=3)
