import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from threading import Thread
from typing import Any

import django_rq
import pytest
from django.conf import settings as django_settings
from django.test import override_settings
from django_rq import get_connection, get_queue, get_worker
from django_rq.queues import DjangoRQ
from redis import Redis
from rq import SimpleWorker, Worker
from rq.job import Job
from rq.scheduler import RQScheduler

from django_devtools.jobs.redis import RealServer, connection, flush, stand_in
from tests.jobs import versions
from tests.jobs.tasks import add, process_image
from tests.processes import TIMEOUT
from tests.project import Project

ROOT = Path(__file__).parents[2]

# No server answers there.
NOWHERE = {"HOST": "redis.invalid", "PORT": 6379}


# One fake for each Redis.


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"HOST": "localhost", "PORT": 6379}, {"HOST": "localhost", "PORT": 6379, "DB": 0}),
        ({"HOST": "localhost", "PORT": 6379}, {"HOST": "127.0.0.1", "PORT": "6379"}),
        ({"HOST": "one", "PORT": 6379, "DB": None}, {"HOST": "one", "PORT": 6379}),
        ({"HOST": "one", "PORT": 6379, "PASSWORD": "a"}, {"HOST": "one", "PORT": 6379}),
        ({"HOST": "one", "PORT": 6379, "SSL": True}, {"HOST": "one", "PORT": 6379}),
        ({"HOST": "one", "PORT": 6380, "DB": 3}, {"URL": "redis://one:6380/3"}),
        ({"HOST": "localhost", "PORT": 6379}, {"URL": "redis://"}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one:6379", "DB": 3}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one/3", "DB": 4}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one/3?socket_timeout=5"}),
        ({"URL": "redis://one/3"}, {"URL": "redis://ada:se%2Fcret@one/3"}),
        ({"URL": "redis://one/3"}, {"URL": "rediss://one/3", "SSL_CERT_REQS": None}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one/3", "SSL": True}),
        ({"URL": "redis://one/3"}, {"USE_REDIS_CACHE": "default"}),
        ({"USE_REDIS_CACHE": "local"}, {"USE_REDIS_CACHE": "local"}),
        ({"USE_REDIS_CACHE": "default"}, {"USE_REDIS_CACHE": "replicated"}),
        ({"UNIX_SOCKET_PATH": "/run/a", "DB": 1}, {"URL": "unix:///run/a?db=1"}),
        (
            {"SENTINELS": [("one", 26379), ("two", 26379)], "MASTER_NAME": "main", "DB": 1},
            {"SENTINELS": [("two", 26379), ("one", 26379)], "MASTER_NAME": "main", "DB": 1},
        ),
    ],
    ids=str,
)
def test_the_same_redis(here: Any, there: Any, settings: Any, caches: None) -> None:
    settings.RQ_QUEUES = {"here": here, "there": there}
    get_connection("here").set("who", "Ada")
    assert get_connection("there").get("who") == b"Ada"


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ({"HOST": "one", "PORT": 6379}, {"HOST": "two", "PORT": 6379}),
        ({"HOST": "one", "PORT": 6379}, {"HOST": "one", "PORT": 6380}),
        ({"HOST": "one", "PORT": 6379}, {"HOST": "one", "PORT": 6379, "DB": 1}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one/4"}),
        ({"URL": "redis://one/3"}, {"URL": "redis://one"}),
        ({"URL": "redis://one/3"}, {"USE_REDIS_CACHE": "local"}),
        ({"USE_REDIS_CACHE": "local"}, {"USE_REDIS_CACHE": "other"}),
        ({"UNIX_SOCKET_PATH": "/run/a", "DB": 0}, {"UNIX_SOCKET_PATH": "/run/b", "DB": 0}),
        ({"UNIX_SOCKET_PATH": "/run/a", "DB": 0}, {"UNIX_SOCKET_PATH": "/run/a", "DB": 1}),
        (
            {"SENTINELS": [("one", 26379)], "MASTER_NAME": "main"},
            {"SENTINELS": [("one", 26379)], "MASTER_NAME": "other"},
        ),
        (
            {"SENTINELS": [("one", 26379)], "MASTER_NAME": "main"},
            {"SENTINELS": [("one", 26379)], "MASTER_NAME": "main", "DB": 1},
        ),
    ],
    ids=str,
)
def test_another_redis(here: Any, there: Any, settings: Any, caches: None) -> None:
    settings.RQ_QUEUES = {"here": here, "there": there}
    get_connection("here").set("who", "Ada")
    assert get_connection("there").get("who") is None


@pytest.fixture
def caches(settings: Any) -> None:
    redis = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {
        "default": {"BACKEND": redis, "LOCATION": "redis://one/3"},
        "replicated": {"BACKEND": redis, "LOCATION": ["redis://one/3", "redis://two/3"]},
        "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "other": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    }


@pytest.mark.parametrize(
    "config",
    [
        {"HOST": "one", "PORT": 6379, "REDIS_CLIENT_KWARGS": {"ssl_cert_reqs": None}},
        {"URL": "redis://one/3", "DEFAULT_TIMEOUT": 5},
        {"USE_REDIS_CACHE": "default"},
        {"UNIX_SOCKET_PATH": "/run/a", "DB": 1},
        {
            "SENTINELS": [("one", 26379)],
            "MASTER_NAME": "main",
            "PASSWORD": "secret",
            "SOCKET_TIMEOUT": 0.3,
            "CONNECTION_KWARGS": {"socket_connect_timeout": 0.3},
            "SENTINEL_KWARGS": {"password": "secret"},
        },
    ],
    ids=str,
)
def test_all_of_django_rq_sees_the_job(
    config: Any, settings: Any, caches: None, as_before: None
) -> None:
    settings.RQ_QUEUES = {"default": config}
    job = process_image.delay(1)
    assert get_queue().job_ids == [job.id]
    assert get_connection().lrange("rq:queue:default", 0, -1) == [job.id.encode()]
    assert Job.fetch(job.id, connection=get_connection()).args == (1,)
    assert [queue.job_ids for queue in get_worker().queues] == [[job.id]]
    theirs = django_rq.enqueue(add, 1, 2)
    assert connection("default").llen("rq:queue:default") == 2

    get_worker("default").work(burst=True)
    assert job.return_value() == "image 1 at 100"
    assert theirs.return_value() == 3


@pytest.fixture
def as_before() -> Iterator[None]:
    """Workers of RQ leave handlers of signals and of logs behind."""
    log = logging.getLogger("rq.worker")
    logged = log.handlers[:], log.level
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)
    log.handlers, log.level = logged


def test_scheduler_of_a_worker(as_before: None) -> None:
    process_image.enqueue_in(timedelta(days=-1), 1)
    scheduler = RQScheduler([get_queue()], connection=get_connection())
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    assert get_queue().count == 1


def test_worker_does_not_fork() -> None:
    worker = get_worker()
    assert isinstance(worker, SimpleWorker)
    assert isinstance(worker, Worker)


def test_worker_is_the_one_that_rq_finds() -> None:
    worker = get_worker()
    worker.register_birth()
    [found] = Worker.all(connection=get_connection())
    assert worker == found
    assert hash(worker) == hash(found)
    assert worker != get_worker()
    assert worker != worker.name


def test_worker_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[Any] = []
    monkeypatch.setattr(os, "killpg", lambda *args: killed.append(args))
    get_worker().kill_horse()
    assert killed == []


@versions.spawning_workers
@pytest.mark.parametrize("is_name", [True, False], ids=["name", "class"])
def test_worker_of_another_class_does_not_fork(settings: Any, is_name: bool) -> None:
    from rq.worker import SpawnWorker

    name = "rq.worker.SpawnWorker" if is_name else SpawnWorker
    settings.RQ = {"WORKER_CLASS": name}
    worker: Any = get_worker()
    assert isinstance(worker, SimpleWorker)
    assert isinstance(worker, SpawnWorker)

    settings.FAKE_REDIS = False
    assert settings.RQ["WORKER_CLASS"] is name
    assert type(get_worker()) is SpawnWorker


class Quiet(SimpleWorker):
    pass


def test_worker_that_never_forks(settings: Any) -> None:
    settings.RQ = {"WORKER_CLASS": f"{__name__}.Quiet"}
    worker: Any = get_worker()
    assert isinstance(worker, Quiet)
    assert type(worker).__name__ == "Quiet"


def test_other_options_of_rq(settings: Any) -> None:
    settings.RQ = {"DEFAULT_RESULT_TTL": 5}
    assert settings.RQ == {"DEFAULT_RESULT_TTL": 5}
    assert settings.RQ.get("COMMIT_MODE") is None
    assert settings.RQ.get("COMMIT_MODE", "auto") == "auto"
    with pytest.raises(KeyError, match="COMMIT_MODE"):
        settings.RQ["COMMIT_MODE"]


def test_queues_with_a_default(settings: Any) -> None:
    assert settings.RQ_QUEUES.get("default", NOWHERE) == settings.RQ_QUEUES["default"]
    assert settings.RQ_QUEUES.get("nowhere", NOWHERE) is NOWHERE
    assert settings.RQ_QUEUES.get("nowhere") is None
    with pytest.raises(KeyError, match="nowhere"):
        settings.RQ_QUEUES["nowhere"]


def test_threads_see_the_same() -> None:
    thread = Thread(target=process_image.delay, args=(1,), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert get_queue().count == 1


def test_one_fake_is_made_for_many_threads(settings: Any) -> None:
    settings.RQ_QUEUES = {"default": {"HOST": "of-many-threads", "PORT": 6379}}
    threads = [Thread(target=process_image.delay, args=(pk,), daemon=True) for pk in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert get_queue().count == 10


def test_flush() -> None:
    process_image.delay(1)
    process_image.using("elsewhere").delay(2)
    flush()
    assert get_queue("default").count == get_queue("elsewhere").count == 0


def test_a_real_redis_in_place_of_all(
    real_redis_url: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What --real-redis of pytest makes of the settings."""
    before = deepcopy(settings.RQ_QUEUES)
    monkeypatch.setattr(RealServer, "url", real_redis_url)
    stand_in()
    job = process_image.delay(1)
    assert not is_fake(job.connection)
    assert process_image.using("elsewhere").delay(2).connection.exists(job.key)

    flush()
    assert get_queue("default").count == get_queue("elsewhere").count == 0
    assert deepcopy(settings.RQ_QUEUES) == before


# The dashboard.


@pytest.fixture
def shop(make_project: Callable[..., Project]) -> Project:
    """A project with the dashboard of django-rq, in both of its places, and a fake."""
    project = make_project(git=False)
    project.settings("""
        DEBUG = False
        ALLOWED_HOSTS = ["*"]
        INSTALLED_APPS += [
            f"django.contrib.{name}" for name in ("admin", "auth", "messages", "sessions")
        ]
        INSTALLED_APPS += ["django_rq"]
        MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ]
        ROOT_URLCONF = "config.urls"
        STATIC_URL = "static/"
        TEMPLATES = [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ]
        FAKE_REDIS = True
        RQ_QUEUES = {
            "default": {"HOST": "redis.invalid", "PORT": 6379, "PASSWORD": "secret"},
            "high": {"URL": "redis://redis.invalid/1"},
        }
    """)
    project.write(
        "config/urls.py",
        """
        from django.contrib import admin
        from django.urls import include, path

        urlpatterns = [
            path("admin/", admin.site.urls),
            path("django-rq/", include("django_rq.urls")),
        ]
        """,
    )
    project.write(
        "config/tasks.py",
        """
        from django_devtools.jobs import async_job

        @async_job
        def greet(name): ...
        """,
    )
    project.manage("migrate", "--verbosity=0")
    return project


LOG_IN = """\
from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment
from django_rq import get_queue, get_worker
from django_rq.cron import DjangoCronScheduler

from config.tasks import greet

setup_test_environment()
client = Client()
client.force_login(User.objects.create_superuser("ada"))

def get(url):
    page = client.get(url)
    assert page.status_code == 200, (page, page.headers)
    return page
"""


def test_dashboard(shop: Project) -> None:
    shop.python(
        LOG_IN
        + dedent("""
        job = greet.delay("Ada")
        later = greet.enqueue_in(timedelta(days=1), "Grace")
        greet.using("high").delay("Edsger")

        statistics = get("/django-rq/stats.json").json()["queues"]
        found = [(queue["name"], queue["jobs"], queue["scheduled_jobs"]) for queue in statistics]
        assert found == [("default", 1, 1), ("high", 1, 0)], found
        assert statistics[0]["connection_kwargs"]["host"] == "redis.invalid"
        assert "secret" not in str(statistics)

        for page in (get("/django-rq/"), get("/admin/django_rq/dashboard/")):
            assert [queue["jobs"] for queue in page.context["queues"]] == [1, 1]
        assert job.id in get("/django-rq/queues/0/").text
        assert later.id in get("/django-rq/queues/0/scheduled/").text
        assert "config.tasks.greet" in get(f"/django-rq/queues/0/{job.id}/").text
        get("/django-rq/queues/0/details/")
        client.post(f"/django-rq/queues/0/{job.id}/delete/", {"post": "yes"})
        assert get_queue().count == 0
        """)
    )


def test_workers_and_cron_on_the_dashboard(shop: Project) -> None:
    shop.python(
        LOG_IN
        + dedent("""
        worker = get_worker()
        worker.register_birth()
        assert worker.name in get("/django-rq/workers/0/").text
        get(f"/django-rq/workers/0/{worker.key}/")

        cron = DjangoCronScheduler(name="nightly")
        cron.register(greet, "high", args=("Ada",), interval=60)
        cron.register_birth()
        assert cron.connection_index == 1
        assert "nightly" in get("/django-rq/").text
        assert "config.tasks.greet" in get("/django-rq/cron-schedulers/1/nightly/").text
        get("/django-rq/cron-schedulers/1/nightly/jobs/config.tasks.greet/")
        """)
    )


def test_urls_name_no_other_class_of_connections() -> None:
    with pytest.raises(
        ValueError, match=r"Invalid value for .connection_class. in connection URL"
    ):
        Redis.from_url("redis://localhost?connection_class=redis.connection.SSLConnection")


# On and off.


def is_fake(redis: Any) -> bool:
    """Whether a fake answers: its version is all that it tells."""
    return set(redis.info("server")) == {"redis_version"}


@contextmanager
def overridden(value: bool) -> Iterator[None]:
    with override_settings(FAKE_REDIS=value):
        yield


@contextmanager
def assigned(value: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(django_settings, "FAKE_REDIS", value)
        yield


@pytest.mark.parametrize("flipped", [overridden, assigned])
def test_flip(flipped: Any, real_redis_url: str, settings: Any) -> None:
    settings.RQ_QUEUES = {"default": {"URL": real_redis_url}}
    here = process_image.delay(1)
    with flipped(False):
        there = process_image.delay(2)
        assert not is_fake(there.connection)
        assert get_queue().job_ids == [there.id]
        with flipped(True):
            assert get_queue().job_ids == [here.id]
    assert get_queue().job_ids == [here.id]
    assert is_fake(process_image.delay(3).connection)


def test_queue_made_before(real_redis_url: str, settings: Any) -> None:
    """As django_rq.job makes one, when its module is imported."""
    settings.RQ_QUEUES = {"default": {"URL": real_redis_url}}
    settings.FAKE_REDIS = False
    decorated: Any = django_rq.job(add)
    queue = get_queue()

    settings.FAKE_REDIS = True
    job = decorated.delay(1, 2)
    assert is_fake(job.connection)
    assert queue.job_ids == get_queue().job_ids == [job.id]

    settings.FAKE_REDIS = False
    assert queue.job_ids == get_queue().job_ids == []
    assert not is_fake(decorated.delay(1, 2).connection)
    assert queue.count == 1


def test_connections_with_sentinels_made_before(settings: Any) -> None:
    settings.RQ_QUEUES = {
        "default": {"SENTINELS": [("redis.invalid", 26379)], "MASTER_NAME": "main", "DB": 1}
    }
    settings.FAKE_REDIS = False
    before = get_connection()

    settings.FAKE_REDIS = True
    before.set("who", "Ada")
    assert get_connection().get("who") == b"Ada"


def test_queue_of_another_redis_made_before(settings: Any) -> None:
    redis = Redis(host="redis.invalid")
    settings.FAKE_REDIS = False
    queue = DjangoRQ("not in RQ_QUEUES", connection=redis)
    settings.FAKE_REDIS = True
    assert queue.connection is redis


def test_real_connection_is_what_django_rq_makes(real_redis_url: str, settings: Any) -> None:
    settings.FAKE_REDIS = False
    settings.RQ_QUEUES = {"default": {"URL": real_redis_url}}
    get_connection().set("who", "Ada")
    assert connection("default").get("who") == b"Ada"


def test_untouched_when_it_is_off(settings: Any) -> None:
    settings.FAKE_REDIS = False
    queues = {"default": {"HOST": "localhost", "PORT": 6379}}
    options = {"DEFAULT_RESULT_TTL": 5}
    settings.RQ_QUEUES = queues
    settings.RQ = options
    connection("default")
    assert settings.RQ_QUEUES is queues
    assert settings.RQ is options


def test_what_was_on_before_is_as_if_untouched(settings: Any) -> None:
    queues = {"default": {"HOST": "localhost", "PORT": 6379}}
    settings.RQ_QUEUES = queues
    settings.RQ = {"DEFAULT_RESULT_TTL": 5}
    settings.FAKE_REDIS = False

    assert settings.RQ_QUEUES["default"] is queues["default"]
    assert settings.RQ_QUEUES.get("default") is queues["default"]
    assert list(settings.RQ_QUEUES.values()) == [queues["default"]]
    assert queues == settings.RQ_QUEUES
    assert "WORKER_CLASS" not in settings.RQ
    assert type(get_worker()) is Worker


def test_untouched_in_a_process_where_it_is_off() -> None:
    output = run_python("""
        import django, os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        from django.conf import settings
        from django_devtools.jobs.redis import connection
        from tests import settings as module

        connection("default"), connection("elsewhere")
        print(settings.RQ_QUEUES is module.RQ_QUEUES, hasattr(settings, "RQ"))
        print("fakeredis" in sys.modules)
    """)
    assert output == ["True False", "False"]


def test_flip_in_a_process_where_it_is_off() -> None:
    output = run_python("""
        import django, os
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        from django.conf import settings
        from django.test import override_settings
        from django_rq import get_connection, get_queue
        from tests.jobs.tasks import process_image

        with override_settings(FAKE_REDIS=True):
            print(get_connection().connection_pool.connection_class.__module__)
        print(get_connection().connection_pool.connection_class.__module__)
        settings.FAKE_REDIS = True
        process_image.delay(1)
        print(get_queue().count)
    """)
    assert output == ["django_devtools.jobs.fake", "redis.connection", "1"]


@pytest.mark.parametrize(
    "copied",
    [
        copy,
        deepcopy,
        dict,
        lambda queues: {**queues},
        lambda queues: queues | {},
        lambda queues: queues.copy(),
        lambda queues: {name: dict(queue) for name, queue in queues.items()},
    ],
    ids=["copy", "deepcopy", "dict", "stars", "or", "method", "comprehension"],
)
def test_copy_of_the_settings(copied: Callable[[Any], Any], settings: Any) -> None:
    settings.RQ_QUEUES = {"default": {"HOST": "one", "PORT": 6379, "DB": 2}}
    job = process_image.delay(1)
    queues = copied(settings.RQ_QUEUES)
    queues["default"]["DEFAULT_TIMEOUT"] = 5
    with override_settings(RQ_QUEUES=queues):
        assert get_queue().job_ids == [job.id]
        other = process_image.delay(2)
        assert other.timeout == 5
        assert is_fake(other.connection)
    assert get_queue().job_ids == [job.id, other.id]


@pytest.mark.parametrize("copied", [copy, deepcopy, dict, lambda queues: queues | {}])
def test_copy_is_of_what_was_configured(copied: Callable[[Any], Any], settings: Any) -> None:
    config = {"HOST": "one", "PORT": 6379, "DB": 2}
    settings.RQ_QUEUES = {"default": dict(config)}
    queues = copied(settings.RQ_QUEUES)
    settings.FAKE_REDIS = False
    assert queues == {"default": config}
    assert queues["default"] == config


@pytest.mark.parametrize("copied", [copy, deepcopy, dict, lambda queue: queue | {}])
def test_copy_of_one_queue(copied: Callable[[Any], Any], settings: Any) -> None:
    settings.RQ_QUEUES = {"default": {"HOST": "one", "PORT": 6379}}
    queue = copied(settings.RQ_QUEUES["default"])
    queue["ASYNC"] = False
    assert process_image.delay(1).is_queued
    settings.RQ_QUEUES = {"default": queue}
    assert process_image.delay(1).is_finished


# Without fakeredis.


def test_without_fakeredis() -> None:
    output = run_python("""
        import django, os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        sys.modules["fakeredis"] = None
        django.setup()
        from django.conf import settings
        from django_devtools.jobs.redis import connection
        from tests.jobs.tasks import process_image

        print(connection("default").get_connection_kwargs()["host"])
        settings.FAKE_REDIS = True
        for missing in ("fakeredis", "fakeredis", "sortedcontainers"):
            sys.modules.pop("fakeredis")
            sys.modules[missing] = None
            try:
                process_image.delay(1)
            except Exception as error:
                print(f"{type(error).__name__}: {error}")
    """)
    message = (
        "ImproperlyConfigured: A fake Redis is wanted, by FAKE_REDIS or by tests, and fakeredis "
        "is not installed: pip install 'django-devtools-kit[testing]'"
    )
    other = "ModuleNotFoundError: import of sortedcontainers halted; None in sys.modules"
    assert output == ["localhost", message, message, other]


def run_python(code: str) -> list[str]:
    """What code prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
