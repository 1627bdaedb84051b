import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event
from urllib.request import urlopen

import pytest
from pytest_django import Settings

from django_devtools import apps
from django_devtools.jobs import background
from django_devtools.jobs.background import is_wanted, work, work_off
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import fetch_later, resize, sign_up
from tests.processes import TIMEOUT
from tests.project import Project

HOUR = timedelta(hours=1)


class Stopped(BaseException):
    """Ends what goes on for ever."""


@pytest.mark.parametrize(
    ("arguments", "main", "is_fake", "debug", "wanted"),
    [
        (["runserver"], "true", True, True, True),
        (["runserver"], "", True, True, False),
        (["runserver", "8001", "--noreload"], "", True, True, True),
        (["runserver", "--noreload"], "", True, False, False),
        (["runserver", "--noreload"], "", False, True, False),
        (["shell"], "true", True, True, False),
        ([], "true", True, True, False),
    ],
)
def test_where_jobs_are_run(
    arguments: list[str],
    main: str,
    is_fake: bool,
    debug: bool,
    wanted: bool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.FAKE_REDIS, settings.DEBUG = is_fake, debug
    monkeypatch.setattr(sys, "argv", ["manage.py", *arguments])
    monkeypatch.setenv("RUN_MAIN", main)
    assert is_wanted() is wanted


@pytest.mark.parametrize(("is_fake", "wanted"), [(True, True), (True, False), (False, True)])
def test_a_thread_is_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_fake: bool, wanted: bool
) -> None:
    settings.FAKE_REDIS = is_fake
    started = Event()
    monkeypatch.setattr(background, "work", started.set)
    monkeypatch.setattr(background, "is_wanted", lambda: wanted)
    apps._run_jobs()
    assert started.wait(TIMEOUT if is_fake and wanted else 0) is (is_fake and wanted)


def test_what_is_due(rq_jobs: RqJobs) -> None:
    sign_up.delay("ada@example.com")
    resize.enqueue_in(HOUR, "a.png")
    resize.enqueue_in(-HOUR, "b.png")
    retried = fetch_later.delay("c.png")
    work_off()
    assert [job.get_status() for job in rq_jobs] == [
        "finished",
        "scheduled",
        "finished",
        "scheduled",
        "finished",
        "scheduled",
    ]
    assert retried.meta == {}


@pytest.mark.django_db
def test_it_goes_on(
    rq_jobs: RqJobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: Iterator[Callable[[], object]] = iter(
        [
            lambda: resize.delay("a.png"),
            lambda: monkeypatch.setattr(background, "work_off", lambda: 1 / 0),
            stop,
        ]
    )
    monkeypatch.setattr(background, "sleep", lambda seconds: next(pauses)())
    with pytest.raises(Stopped):
        work()
    assert rq_jobs[0].is_finished
    assert [record.message for record in caplog.records if record.name.startswith("django_")] == [
        "Jobs can't be run."
    ]


def stop() -> None:
    raise Stopped


VIEWS = """
import socket

from django.http import HttpResponse
from django.urls import path

from django_devtools.jobs import async_job


@async_job
def call(port):
    socket.create_connection(("127.0.0.1", port)).close()


def enqueue(request, port):
    call.delay(port)
    return HttpResponse()


urlpatterns = [path("<int:port>", enqueue)]
"""


@pytest.mark.once
def test_server(make_project: Callable[..., Project]) -> None:
    """A job of a view calls the test back."""
    project = make_project(git=False)
    project.settings("""
        INSTALLED_APPS += ["django_rq"]
        DEBUG = True
        FAKE_REDIS = True
        ROOT_URLCONF = "config.views"
        RQ_QUEUES = {"default": {"HOST": "localhost", "PORT": 6379}}
    """)
    project.write("config/views.py", VIEWS)
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT)
        server = subprocess.Popen(
            [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
            cwd=project.path,
            env=project.full_environment(measured=True) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            assert server.stdout
            assert any(b"Quit the server" in line for line in server.stdout)
            url = f"http://127.0.0.1:{port}/{listening.getsockname()[1]}"
            urlopen(url, timeout=TIMEOUT).close()
            listening.accept()[0].close()
        finally:
            server.kill()
            server.communicate(timeout=TIMEOUT)


def free_port() -> int:
    """A port where nobody listens, most likely for a while."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port
