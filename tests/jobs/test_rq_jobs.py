"""What ``rq_jobs`` says of the jobs of a test, and how it runs them."""

import asyncio
import datetime as clock
import logging
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import django_rq
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import timezone, translation
from pytest_django import Settings
from rq import Retry, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Dependency, Job, JobStatus
from rq.suspension import resume, suspend
from rq.timeouts import JobTimeoutException

from django_devtools.jobs import webhooks
from django_devtools.jobs.redis import RealServer
from django_devtools.jobs.testing import RqJobs
from tests.jobs import mailing, versions
from tests.jobs.mailing import (
    Shop,
    Unreachable,
    archive,
    clear,
    download,
    download_missing,
    fetch,
    fetch_again,
    fetch_later,
    fetch_without_trace,
    follow,
    forget,
    forget_everything,
    of_django_rq,
    plain,
    poll,
    resize,
    rest,
    send_mail,
    send_reminder,
    sign_up,
    spin,
    travel,
)
from tests.processes import TIMEOUT

REDIS = {"HOST": "localhost", "PORT": 6379}

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def calls() -> list[tuple[str, str]]:
    """What callbacks and exception handlers were called with."""
    mailing.calls.clear()
    return mailing.calls


def images(jobs: RqJobs | list[Job]) -> list[str]:
    """What jobs are about: their first argument."""
    return [job.args[0] for job in jobs]


# The sequence


def test_nothing_enqueued(rq_jobs: RqJobs) -> None:
    assert not rq_jobs
    assert list(rq_jobs) == []
    assert repr(rq_jobs) == "Jobs: none"


def test_sequence_over_all_queues(rq_jobs: RqJobs) -> None:
    first = resize.delay("a.png")
    second = archive.delay("b.png")
    third = send_mail.delay("c@example.com")
    fourth = resize.delay("d.png", width=20)

    assert list(rq_jobs) == [first, second, third, fourth]
    assert len(rq_jobs) == 4
    assert rq_jobs[0] == first
    assert rq_jobs[-1] == fourth
    assert rq_jobs[1:3] == [second, third]
    assert second in rq_jobs
    assert rq_jobs[3].kwargs == {"width": 20}
    assert [job.origin for job in rq_jobs] == ["default", "elsewhere", "high", "default"]


def test_sequence_is_up_to_date(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    assert len(rq_jobs) == 1
    resize.delay("b.png")
    assert images(rq_jobs) == ["a.png", "b.png"]


def test_scheduled_jobs_are_in_it(rq_jobs: RqJobs) -> None:
    resize.enqueue_in(HOUR, "a.png")
    resize.delay("b.png")
    resize.enqueue_at(datetime(2040, 1, 1, tzinfo=UTC), "c.png")
    assert images(rq_jobs) == ["a.png", "b.png", "c.png"]


def test_jobs_of_django_rq_are_in_it(rq_jobs: RqJobs) -> None:
    of_django_rq.delay("a.png")
    django_rq.enqueue(plain, "b.png")
    django_rq.get_queue("elsewhere").enqueue_in(HOUR, plain, "c.png")
    assert images(rq_jobs) == ["a.png", "b.png", "c.png"]


def test_jobs_that_ran_stay_in_it(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    fetch.delay("b.png")
    rq_jobs.run(raise_exceptions=False)
    assert images(rq_jobs) == ["a.png", "b.png"]
    assert [job.get_status() for job in rq_jobs] == [JobStatus.FINISHED, JobStatus.FAILED]


def test_they_know_what_became_of_them(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    fetch.delay("b.png")
    seen = list(rq_jobs)
    rq_jobs.run(raise_exceptions=False)
    assert seen[0].is_finished
    assert seen[0].return_value() == "a.png at 100"
    assert seen[1].is_failed


def test_jobs_that_rq_did_not_keep_stay_in_it(rq_jobs: RqJobs) -> None:
    forget.delay("a.png")
    fetch_without_trace.delay("b.png")
    rq_jobs.run(raise_exceptions=False)
    assert images(rq_jobs) == ["a.png", "b.png"]
    with pytest.raises(NoSuchJobError):
        rq_jobs[0].refresh()
    with pytest.raises(NoSuchJobError):
        rq_jobs[1].refresh()


def test_jobs_that_rq_did_not_keep_and_another_job_enqueued(rq_jobs: RqJobs) -> None:
    forget_everything.delay("a.png")
    rq_jobs.run()
    rq_jobs.assert_enqueued(forget, args=("a.png",), count=1)


def test_two_views_of_the_same_jobs(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    assert list(RqJobs()) == list(rq_jobs)


def test_repr_is_what_pytest_shows(rq_jobs: RqJobs) -> None:
    resize.delay("a.png", width=20)
    send_mail.enqueue_at(datetime(2040, 1, 1, 12, tzinfo=UTC), "ada@example.com")
    assert repr(rq_jobs) == (
        "Jobs:\n"
        "  tests.jobs.mailing.resize('a.png', width=20) in queue 'default'\n"
        "  tests.jobs.mailing.send_mail('ada@example.com') in queue 'high', "
        "at 2040-01-01 12:00:00 UTC"
    )


# assert_enqueued


def test_assert_enqueued_returns_the_jobs(rq_jobs: RqJobs) -> None:
    first = resize.delay("a.png")
    send_mail.delay("ada@example.com")
    second = resize.delay("b.png", width=20)

    assert rq_jobs.assert_enqueued(resize) == [first, second]
    assert rq_jobs.assert_enqueued(resize, args=("b.png",)) == [second]
    assert rq_jobs.assert_enqueued(resize, kwargs={"width": 20}) == [second]
    assert rq_jobs.assert_enqueued(resize, kwargs={}) == [first]
    assert rq_jobs.assert_enqueued(resize, queue="default", count=2) == [first, second]
    assert rq_jobs.assert_enqueued(resize, args=("c.png",), count=0) == []


@pytest.mark.parametrize(
    ("task", "enqueue"),
    [
        (resize, lambda: resize.delay("a.png")),
        ("tests.jobs.mailing.resize", lambda: resize.delay("a.png")),
        (of_django_rq, lambda: of_django_rq.delay("a.png")),
        (plain, lambda: django_rq.enqueue(plain, "a.png")),
        (plain, lambda: django_rq.get_queue().enqueue("tests.jobs.mailing.plain", "a.png")),
        (Shop.ship, lambda: Shop.ship.delay(1)),
        (Shop.restock, lambda: django_rq.enqueue(Shop.restock, "tea")),
        (Shop().refund, lambda: django_rq.enqueue(Shop().refund, "tea")),
    ],
    ids=["task", "name", "django-rq", "plain", "by name", "static", "class method", "method"],
)
def test_what_a_task_may_be(rq_jobs: RqJobs, task: Any, enqueue: Any) -> None:
    with pytest.raises(AssertionError):
        rq_jobs.assert_enqueued(task)
    rq_jobs.assert_not_enqueued(task)

    enqueue()

    assert rq_jobs.assert_enqueued(task) == [rq_jobs[0]]
    with pytest.raises(AssertionError):
        rq_jobs.assert_not_enqueued(task)


def test_assert_enqueued_at(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    resize.enqueue_in(HOUR, "b.png")
    resize.enqueue_at(datetime(2040, 1, 1, tzinfo=UTC), "c.png")
    # In the system's time zone, where RQ takes it to be summer.
    resize.enqueue_at(datetime(2041, 7, 1), "d.png")

    assert images(rq_jobs.assert_enqueued(resize, at=HOUR)) == ["b.png"]
    assert images(rq_jobs.assert_enqueued(resize, at=datetime(2040, 1, 1, tzinfo=UTC))) == [
        "c.png"
    ]
    assert images(rq_jobs.assert_enqueued(resize, at=datetime(2041, 7, 1))) == ["d.png"]
    rq_jobs.assert_not_enqueued(resize, at=HOUR / 2)
    rq_jobs.assert_not_enqueued(resize, at=HOUR + timedelta(seconds=2))
    rq_jobs.assert_not_enqueued(resize, at=datetime.now(UTC) + HOUR / 2)


def test_time_is_remembered_when_a_job_has_run(rq_jobs: RqJobs) -> None:
    resize.enqueue_in(HOUR, "a.png")
    rq_jobs.run(until=HOUR)
    rq_jobs.assert_enqueued(resize, at=HOUR)


def test_time_of_what_was_scheduled_and_run_within_a_run(rq_jobs: RqJobs) -> None:
    sign_up.delay("ada@example.com")
    rq_jobs.run(until=2 * DAY)
    rq_jobs.assert_enqueued(send_reminder, at=DAY)


def test_serializers_may_make_lists_of_tuples(rq_jobs: RqJobs, settings: Settings) -> None:
    settings.RQ_QUEUES = {"high": REDIS | {"SERIALIZER": "rq.serializers.JSONSerializer"}}
    send_mail.delay("ada@example.com", subject="Welcome")
    rq_jobs.assert_enqueued(
        send_mail, args=("ada@example.com",), kwargs={"subject": "Welcome"}, queue="high"
    )
    [job] = rq_jobs.run()
    assert job.return_value() == "Welcome, ada@example.com"


# What its failures say


def failure(check: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


def test_failure_when_nothing_was_enqueued(rq_jobs: RqJobs) -> None:
    assert failure(rq_jobs.assert_enqueued, resize) == (
        "No job of tests.jobs.mailing.resize. No job was enqueued at all."
    )


def test_failure_names_what_is_nearest_first(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    send_mail.delay("bob@example.com", subject="Welcome")
    send_mail.enqueue_at(datetime(2040, 1, 1, tzinfo=UTC), "ada@example.com")
    send_mail.using("elsewhere").delay("bob@example.com")
    found = failure(
        rq_jobs.assert_enqueued,
        send_mail,
        args=("ada@example.com",),
        kwargs={},
        queue="high",
        at=HOUR,
    )
    assert found == (
        "No job of tests.jobs.mailing.send_mail with args=('ada@example.com',), kwargs={}, "
        "queue='high', at=datetime.timedelta(seconds=3600). Enqueued were, nearest first:\n"
        "  tests.jobs.mailing.send_mail('ada@example.com') in queue 'high', "
        "at 2040-01-01 00:00:00 UTC  (other at)\n"
        "  tests.jobs.mailing.send_mail('bob@example.com', subject='Welcome') in queue 'high'"
        "  (other args, kwargs, at)\n"
        "  tests.jobs.mailing.send_mail('bob@example.com') in queue 'elsewhere'"
        "  (other args, queue, at)\n"
        "  tests.jobs.mailing.resize('a.png') in queue 'default'  (other task, args, queue, at)"
    )


def test_failure_of_a_count(rq_jobs: RqJobs) -> None:
    send_mail.delay("ada@example.com")
    resize.delay("a.png")
    resize.delay("b.png")
    enqueued = (
        "  tests.jobs.mailing.resize('a.png') in queue 'default'\n"
        "  tests.jobs.mailing.resize('b.png') in queue 'default'\n"
        "  tests.jobs.mailing.send_mail('ada@example.com') in queue 'high'  (other task)"
    )
    assert failure(rq_jobs.assert_enqueued, resize, count=1) == (
        f"2 jobs of tests.jobs.mailing.resize, not 1. Enqueued were, nearest first:\n{enqueued}"
    )
    assert failure(rq_jobs.assert_enqueued, resize, count=0).startswith(
        "2 jobs of tests.jobs.mailing.resize, not 0. Enqueued were"
    )
    assert failure(rq_jobs.assert_enqueued, send_mail, count=2).startswith(
        "1 job of tests.jobs.mailing.send_mail, not 2. Enqueued were"
    )
    assert failure(rq_jobs.assert_enqueued, archive, count=2).startswith(
        "No job of tests.jobs.mailing.archive, not 2. Enqueued were"
    )


def test_failure_of_what_was_not_to_be_enqueued(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    resize.delay("b.png")
    rq_jobs.assert_not_enqueued(resize, args=("c.png",))
    rq_jobs.assert_not_enqueued(resize, queue="high")
    rq_jobs.assert_not_enqueued(resize, kwargs={"width": 20})
    assert failure(rq_jobs.assert_not_enqueued, resize, args=("b.png",)) == (
        "1 job of tests.jobs.mailing.resize with args=('b.png',). "
        "Enqueued were, nearest first:\n"
        "  tests.jobs.mailing.resize('b.png') in queue 'default'\n"
        "  tests.jobs.mailing.resize('a.png') in queue 'default'  (other args)"
    )


def test_failures_point_at_the_test(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    checks: list[Any] = [
        (rq_jobs.assert_enqueued, fetch),
        (rq_jobs.assert_not_enqueued, resize),
    ]
    for check, task in checks:
        with pytest.raises(AssertionError) as caught:
            check(task)
        shown = [entry.frame.code.name for entry in caught.traceback.filter(caught)]
        assert shown == ["test_failures_point_at_the_test"]


# run


def test_run_in_the_order_of_enqueueing_over_queues(rq_jobs: RqJobs) -> None:
    expected = [
        resize.delay("a.png"),
        archive.delay("b.png"),
        send_mail.delay("c@example.com"),
        resize.delay("d.png"),
        archive.delay("e.png"),
    ]
    assert rq_jobs.run() == expected
    assert [job.return_value() for job in rq_jobs] == [
        "a.png at 100",
        None,
        "Hello, c@example.com",
        "d.png at 100",
        None,
    ]


def test_run_leaves_the_queues_empty(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    rq_jobs.run()
    assert rq_jobs.run() == []
    queue = django_rq.get_queue()
    assert queue.is_empty()
    assert queue.finished_job_registry.count == 1
    assert queue.started_job_registry.count == 0


def test_run_in_the_process_of_the_test(rq_jobs: RqJobs) -> None:
    """So that mocks are seen, and coverage."""
    send_mail.delay("ada@example.com")
    with patch.object(mailing, "send_mail", return_value="caught") as mock:
        [job] = rq_jobs.run()
    mock.assert_called_once_with("ada@example.com")
    assert job.return_value() == "caught"


def test_static_methods(rq_jobs: RqJobs) -> None:
    Shop.ship.delay(7)
    [job] = rq_jobs.run()
    assert job.return_value() == "order 7"


def test_jobs_that_enqueue_jobs(rq_jobs: RqJobs) -> None:
    sign_up.delay("ada@example.com")
    assert len(rq_jobs) == 1

    rq_jobs.run()

    rq_jobs.assert_enqueued(send_mail, args=("ada@example.com",), kwargs={"subject": "Welcome"})
    rq_jobs.assert_enqueued(send_reminder, at=DAY)
    assert [job.get_status() for job in rq_jobs] == [
        JobStatus.FINISHED,
        JobStatus.FINISHED,
        JobStatus.SCHEDULED,
    ]


def test_at_front(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    resize.using(at_front=True).delay("b.png")
    assert images(rq_jobs.run()) == ["b.png", "a.png"]


def test_jobs_that_were_deleted_or_canceled(rq_jobs: RqJobs) -> None:
    deleted = [resize.delay("a.png"), resize.enqueue_in(HOUR, "b.png")]
    canceled = resize.delay("c.png")
    resize.delay("d.png")
    resize.enqueue_in(2 * HOUR, "e.png")
    assert len(rq_jobs) == 5
    for job in deleted:
        # As by hand, or when its time to live is over.
        job.connection.delete(job.key)
    canceled.cancel()

    assert images(rq_jobs.run(until=DAY)) == ["d.png", "e.png"]
    assert images(rq_jobs) == ["a.png", "b.png", "c.png", "d.png", "e.png"]


def test_jobs_that_another_job_deletes(rq_jobs: RqJobs) -> None:
    clear.delay("default")
    resize.delay("a.png")
    assert images(rq_jobs.run()) == ["default"]
    rq_jobs.assert_enqueued(resize, args=("a.png",))


def test_fresh_queues_in_each_run(rq_jobs: RqJobs, settings: Settings) -> None:
    settings.RQ_QUEUES = {"bulk": REDIS}
    send_mail.using("bulk").delay("ada@example.com")
    rq_jobs.assert_enqueued(send_mail, queue="bulk")
    assert len(rq_jobs.run()) == 1


def test_queues_that_are_not_asynchronous(rq_jobs: RqJobs, settings: Settings) -> None:
    settings.RQ_QUEUES = {"default": REDIS | {"ASYNC": False}}
    job = resize.delay("a.png")
    assert job.return_value() == "a.png at 100"
    rq_jobs.assert_enqueued(resize, args=("a.png",), count=1)
    assert rq_jobs.run() == []


def test_no_words_of_workers(rq_jobs: RqJobs, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        resize.delay("a.png")
        rq_jobs.run()
    assert [record for record in caplog.records if record.name.startswith("rq.worker")] == []


def test_one_id_in_two_queues(rq_jobs: RqJobs) -> None:
    """RQ has one job of that id then, and a worker finds it twice."""
    resize.using(job_id="one").delay("a.png")
    send_mail.using(job_id="one").delay("b@example.com")
    assert [job.func_name for job in rq_jobs.run()] == ["tests.jobs.mailing.send_mail"] * 2
    assert len(rq_jobs) == 1


def test_one_id_in_two_schedules(rq_jobs: RqJobs) -> None:
    resize.using(job_id="one").enqueue_in(HOUR, "a.png")
    send_mail.using(job_id="one").enqueue_in(2 * HOUR, "b@example.com")
    ran = rq_jobs.run(until=DAY)
    assert [job.func_name for job in ran] == ["tests.jobs.mailing.send_mail"] * 2


def test_workers_that_are_suspended(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    resize.enqueue_in(HOUR, "b.png")
    archive.delay("c.png")
    redis = django_rq.get_connection("default")
    suspend(redis)
    # In a Redis of its own, unless all are one real server.
    others = [] if RealServer.url else ["c.png"]
    assert images(rq_jobs.run(until=DAY)) == others
    resume(redis)
    assert len(rq_jobs.run(until=DAY)) == 3 - len(others)


def test_workers_that_a_job_suspends(rq_jobs: RqJobs) -> None:
    rest.delay()
    resize.delay("a.png")
    assert [job.func_name for job in rq_jobs.run()] == ["tests.jobs.mailing.rest"]


def test_languages_and_time_zones_of_jobs(rq_jobs: RqJobs) -> None:
    """A job begins with those of the settings, as in a worker, and its own end with it."""
    first, second = travel.delay("de", "Asia/Tokyo"), travel.delay("nl", "Asia/Tokyo")
    with translation.override("fr"), timezone.override("Europe/Paris"):
        rq_jobs.run()
        assert translation.get_language() == "fr"
        assert timezone.get_current_timezone_name() == "Europe/Paris"
    assert first.return_value() == second.return_value() == ("en-us", "America/Chicago")


@versions.webhooks
def test_webhooks(rq_jobs: RqJobs) -> None:
    """Nobody is called, by ``run`` and by a worker; to a POST belongs what it would say."""
    from rq.webhook import Webhook

    url = "https://shop.invalid/hook"
    done = Webhook(url, "finished", headers={"X-Shop": "1"})
    failed = Webhook(url, "failed", method="POST")
    first = resize.using(webhooks=[done, failed]).delay("a.png")
    second = fetch.using(webhooks=[done, failed]).delay("b.png")
    assert rq_jobs.webhooks == []
    rq_jobs.run(raise_exceptions=False)
    [of_first, of_second] = rq_jobs.webhooks
    assert of_first == (url, "GET", {"X-Shop": "1"}, None, first)
    assert (of_second.method, of_second.job) == ("POST", second)
    assert of_second.payload
    assert of_second.payload["status"] == "failed"
    assert "Unreachable: b.png" in of_second.payload["exc_info"]

    resize.using(webhooks=[done]).delay("c.png")
    django_rq.get_worker("default").work(burst=True, logging_level="CRITICAL")
    assert len(rq_jobs.webhooks) == 3


@versions.webhooks
def test_webhooks_of_other_tests_are_gone(rq_jobs: RqJobs) -> None:
    assert rq_jobs.webhooks == []


@versions.webhooks
def test_webhooks_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    from rq.webhook import Webhook

    called: list[str] = []

    @contextmanager
    def answer(request: Any, timeout: int) -> Iterator[None]:
        called.append(request.full_url)
        yield

    monkeypatch.setattr("rq.webhook.urlopen", answer)
    job = resize.delay("a.png")
    hook = Webhook("https://shop.invalid/hook", "finished")
    hook.send(job)
    assert called == []
    monkeypatch.setattr(webhooks.Tests, "count", 0)
    hook.send(job)
    assert called == ["https://shop.invalid/hook"]


# Dependencies


def test_jobs_that_depend_on_others(rq_jobs: RqJobs) -> None:
    first = resize.delay("a.png")
    second = send_mail.using(depends_on=first).delay("b@example.com")
    third = resize.using(depends_on=second).delay("c.png")
    assert list(rq_jobs) == [first, second, third]
    assert rq_jobs.run() == [first, second, third]


def test_jobs_that_depend_on_one_that_failed(rq_jobs: RqJobs) -> None:
    failing = fetch.delay("a.png")
    resize.using(depends_on=failing).delay("b.png")
    resize.using(depends_on=Dependency([failing], allow_failure=True)).delay("c.png")

    assert images(rq_jobs.run(raise_exceptions=False)) == ["a.png", "c.png"]
    assert [job.get_status() for job in rq_jobs] == [
        JobStatus.FAILED,
        JobStatus.DEFERRED,
        JobStatus.FINISHED,
    ]


# Exceptions


def test_exceptions_reach_the_test(rq_jobs: RqJobs) -> None:
    fetch.delay("a.png")
    resize.delay("b.png")
    with pytest.raises(Unreachable, match=r"^a\.png$"):
        rq_jobs.run()
    assert [job.get_status() for job in rq_jobs] == [JobStatus.FAILED, JobStatus.QUEUED]
    assert images(rq_jobs.run()) == ["b.png"]


def test_traceback_is_that_of_the_job(rq_jobs: RqJobs) -> None:
    fetch.delay("a.png")
    with pytest.raises(Unreachable) as caught:
        rq_jobs.run()
    assert traceback.extract_tb(caught.tb)[-1].name == "fetch"
    modules = [entry.frame.f_globals["__name__"] for entry in caught.traceback]
    assert [name for name in modules if name.startswith("rq.")] == []
    shown = [entry.frame.code.name for entry in caught.traceback.filter(caught)]
    assert shown == ["test_traceback_is_that_of_the_job", "fetch"]


def test_exceptions_of_asynchronous_jobs(rq_jobs: RqJobs) -> None:
    download_missing.delay("a.png")
    with pytest.raises(Unreachable) as caught:
        rq_jobs.run()
    assert traceback.extract_tb(caught.tb)[-1].name == "download_missing"


def test_jobs_that_can_not_be_imported(rq_jobs: RqJobs) -> None:
    django_rq.get_queue().enqueue("tests.jobs.mailing.missing")
    with pytest.raises(ValueError, match=r"^Invalid attribute name: missing$"):
        rq_jobs.run()


def test_exceptions_that_are_not_to_be_raised(rq_jobs: RqJobs) -> None:
    fetch.delay("a.png")
    resize.delay("b.png")
    assert images(rq_jobs.run(raise_exceptions=False)) == ["a.png", "b.png"]
    assert rq_jobs[0].is_failed
    result = rq_jobs[0].latest_result()
    assert result
    assert result.exc_string
    assert result.exc_string.endswith("Unreachable: a.png\n")


def test_exceptions_of_jobs_that_are_not_kept(rq_jobs: RqJobs) -> None:
    fetch_without_trace.delay("a.png")
    with pytest.raises(Unreachable, match=r"^a\.png$"):
        rq_jobs.run()
    assert images(rq_jobs) == ["a.png"]


def test_interrupting_a_run(rq_jobs: RqJobs) -> None:
    """Control-C is for the test run, not for one job."""
    resize.delay("a.png")
    resize.delay("b.png")
    with (
        patch.object(mailing, "resize", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        rq_jobs.run(raise_exceptions=False)


def test_exception_handlers_of_the_settings(
    rq_jobs: RqJobs, calls: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # django-rq reads RQ_EXCEPTION_HANDLERS when it is imported.
    handlers = ["tests.jobs.mailing.handle"]
    monkeypatch.setattr("django_rq.settings.EXCEPTION_HANDLERS", handlers)
    fetch.delay("a.png")
    with pytest.raises(Unreachable):
        rq_jobs.run()
    assert calls == [("handler", "a.png")]


def test_callbacks(rq_jobs: RqJobs, calls: list[tuple[str, str]]) -> None:
    resize.using(**mailing.callbacks).delay("a.png")
    fetch.using(**mailing.callbacks).delay("b.png")
    rq_jobs.run(raise_exceptions=False)
    assert calls == [("success", "a.png at 100"), ("failure", "b.png")]


def test_a_callback_that_fails(rq_jobs: RqJobs) -> None:
    resize.using(on_success=mailing.broken_callback).delay("a.png")
    with pytest.raises(ZeroDivisionError) as caught:
        rq_jobs.run()
    assert traceback.extract_tb(caught.tb)[-1].name == "divide"


# Retries


def test_retries(rq_jobs: RqJobs) -> None:
    fetch_again.delay("a.png")
    assert images(rq_jobs.run()) == ["a.png"] * 3
    assert [job.return_value() for job in rq_jobs] == ["a.png after 3 tries"]


def test_retries_that_fail_for_good(rq_jobs: RqJobs) -> None:
    fetch.using(retry=Retry(max=1)).delay("a.png")
    with pytest.raises(Unreachable):
        rq_jobs.run()
    [job] = rq_jobs
    assert job.is_failed
    assert job.retries_left == 0


def test_retries_do_not_wait(rq_jobs: RqJobs) -> None:
    fetch_later.delay("a.png")
    start = time.monotonic()
    rq_jobs.run()
    assert time.monotonic() - start < 30
    assert rq_jobs[0].return_value() == "a.png after 3 tries"


def test_retries_until_a_time(rq_jobs: RqJobs) -> None:
    """The first is after a minute, the second after another ten."""
    fetch_later.delay("a.png")
    assert len(rq_jobs.run(until=2 * MINUTE)) == 2
    assert rq_jobs[0].get_status() == JobStatus.SCHEDULED
    assert len(rq_jobs.run(until=HOUR)) == 1
    assert rq_jobs[0].is_finished


@versions.returned_retries
def test_jobs_that_return_retry(rq_jobs: RqJobs) -> None:
    poll.delay(2)
    assert len(rq_jobs.run()) == 3
    assert rq_jobs[0].return_value() == "done"


@versions.returned_retries
def test_jobs_that_give_up(rq_jobs: RqJobs) -> None:
    poll.delay(9)
    with pytest.raises(RuntimeError) as caught:
        rq_jobs.run()
    assert str(caught.value) == "tests.jobs.mailing.poll(9) gave up, having returned Retry."
    assert rq_jobs[0].is_failed


@versions.returned_retries
def test_jobs_that_give_up_unnoticed(rq_jobs: RqJobs) -> None:
    poll.delay(9)
    assert len(rq_jobs.run(raise_exceptions=False)) == 3


# Schedules


def test_scheduled_jobs_wait(rq_jobs: RqJobs) -> None:
    resize.enqueue_in(HOUR, "a.png")
    assert rq_jobs.run() == []
    assert rq_jobs.run(until=HOUR / 2) == []
    assert images(rq_jobs.run(until=HOUR)) == ["a.png"]


def test_schedules_until_a_time(rq_jobs: RqJobs) -> None:
    resize.enqueue_at(datetime(2040, 1, 1, tzinfo=UTC), "a.png")
    resize.enqueue_at(datetime(2040, 1, 2, tzinfo=UTC), "b.png")
    assert images(rq_jobs.run(until=datetime(2040, 1, 1, 12, tzinfo=UTC))) == ["a.png"]
    assert images(rq_jobs.run(until=datetime(2040, 1, 3))) == ["b.png"]


def test_what_is_due_already(rq_jobs: RqJobs) -> None:
    resize.enqueue_at(datetime(2020, 1, 1, tzinfo=UTC), "a.png")
    assert images(rq_jobs.run()) == ["a.png"]


def test_scheduled_jobs_in_the_order_of_their_times(rq_jobs: RqJobs) -> None:
    resize.enqueue_in(3 * HOUR, "a.png")
    archive.enqueue_in(2 * HOUR, "b.png")
    resize.enqueue_in(HOUR, "c.png")
    send_mail.delay("d@example.com")
    assert images(rq_jobs.run(until=DAY)) == ["d@example.com", "c.png", "b.png", "a.png"]


def test_scheduled_jobs_of_the_same_time(rq_jobs: RqJobs) -> None:
    """They are run as they were scheduled."""
    when = datetime(2040, 1, 1, tzinfo=UTC)
    names = [f"{number}.png" for number in range(10)]
    for name in names:
        resize.enqueue_at(when, name)
    assert images(rq_jobs.run(until=when)) == names


def test_jobs_that_schedule_jobs(rq_jobs: RqJobs) -> None:
    sign_up.delay("ada@example.com")
    rq_jobs.run(until=2 * DAY)
    assert [job.func_name for job in rq_jobs] == [
        "tests.jobs.mailing.sign_up",
        "tests.jobs.mailing.send_mail",
        "tests.jobs.mailing.send_reminder",
        "tests.jobs.mailing.send_mail",
    ]
    rq_jobs.assert_enqueued(send_mail, kwargs={"subject": "Did you forget us?"}, count=1)


@versions.repeats
def test_repeated_jobs(rq_jobs: RqJobs) -> None:
    from rq import Repeat

    django_rq.get_queue().enqueue(plain, "a.png", repeat=Repeat(times=2))
    assert images(rq_jobs.run()) == ["a.png"] * 3


@versions.repeats
def test_repeated_jobs_with_an_interval(rq_jobs: RqJobs) -> None:
    from rq import Repeat

    django_rq.get_queue().enqueue(plain, "a.png", repeat=Repeat(times=2, interval=86400))
    assert images(rq_jobs.run()) == ["a.png"]
    assert images(rq_jobs.run(until=2 * DAY)) == ["a.png", "a.png"]


@versions.repeats
def test_repeats_of_a_job_that_was_retried(rq_jobs: RqJobs) -> None:
    """They wait, as those of others do."""
    from rq import Repeat

    django_rq.get_queue().enqueue(
        fetch_later, "a.png", retry=Retry(max=2, interval=60), repeat=Repeat(1, interval=86400)
    )
    assert images(rq_jobs.run()) == ["a.png"] * 3


# Limits


def test_a_job_that_takes_too_long(rq_jobs: RqJobs) -> None:
    spin.delay()
    with pytest.raises(JobTimeoutException) as caught:
        rq_jobs.run()
    assert str(caught.value) == "Task exceeded maximum timeout value (1 seconds)"
    assert traceback.extract_tb(caught.tb)[-1].name == "spin"


def test_jobs_without_end(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    follow.delay("b.png")
    with (
        patch("django_devtools.jobs.running.MOST_JOBS", 10),
        pytest.raises(RuntimeError) as caught,
    ):
        rq_jobs.run()
    assert str(caught.value) == (
        "Stopped after 12 jobs, 11 of them tests.jobs.mailing.follow: it seems that they "
        "enqueue one another without end."
    )


def test_many_jobs_are_no_endless_loop(rq_jobs: RqJobs) -> None:
    with patch("django_devtools.jobs.running.MOST_JOBS", 3):
        for number in range(3):
            resize.delay(f"{number}.png")
            resize.enqueue_in(HOUR, f"later {number}.png")
        assert len(rq_jobs.run(until=HOUR)) == 6


# Asynchronous code


@pytest.mark.parametrize("count", [1, 2])
def test_asynchronous_jobs(rq_jobs: RqJobs, count: int) -> None:
    """No event loop is left open, of which Python would warn."""
    for _ in range(count):
        download.delay("https://example.com")
    jobs = rq_jobs.run()
    assert [job.return_value() for job in jobs] == ["content of https://example.com"] * count


def test_asynchronous_jobs_without_a_timeout(rq_jobs: RqJobs) -> None:
    download.using(timeout=-1).delay("https://example.com")
    [job] = rq_jobs.run()
    assert job.return_value() == "content of https://example.com"


def test_run_in_asynchronous_code(rq_jobs: RqJobs) -> None:
    async def test() -> None:
        resize.delay("a.png")
        rq_jobs.run()

    with pytest.raises(SynchronousOnlyOperation) as caught:
        asyncio.run(test())
    assert str(caught.value) == (
        "run() is for synchronous tests: await rq_jobs.arun() in this one."
    )


@pytest.mark.asyncio
async def test_arun(rq_jobs: RqJobs) -> None:
    await resize.adelay("a.png")
    await download.adelay("b.png")
    resize.enqueue_in(HOUR, "c.png")

    assert images(await rq_jobs.arun()) == ["a.png", "b.png"]
    assert images(await rq_jobs.arun(until=HOUR)) == ["c.png"]
    rq_jobs.assert_enqueued(resize, count=2)

    await fetch.adelay("d.png")
    with pytest.raises(Unreachable):
        await rq_jobs.arun()
    await fetch.adelay("e.png")
    assert images(await rq_jobs.arun(raise_exceptions=False)) == ["e.png"]


# Workers, threads and clocks


class CountingWorker(Worker):
    """One that a project might configure: it would fork."""

    performed: list[str] = []

    def perform_job(self, job: Job, *args: Any, **kwargs: Any) -> bool:
        self.performed.append(job.args[0])
        return super().perform_job(job, *args, **kwargs)


@pytest.mark.parametrize("worker", [CountingWorker])
def test_worker_classes_of_the_project(rq_jobs: RqJobs, settings: Settings, worker: Any) -> None:
    settings.RQ = {"WORKER_CLASS": f"{__name__}.{worker.__name__}"}
    worker.performed.clear()
    resize.delay("a.png")
    [job] = rq_jobs.run()
    assert worker.performed == ["a.png"]
    assert job.is_finished


class LoudJob(Job):
    def _execute(self) -> Any:
        return super()._execute().upper()


def test_job_classes_of_the_project(rq_jobs: RqJobs, settings: Settings) -> None:
    settings.RQ = {"JOB_CLASS": f"{__name__}.LoudJob"}
    resize.delay("a.png")
    [job] = rq_jobs.run()
    assert type(job) is LoudJob
    assert job.return_value() == "A.PNG AT 100"


def test_run_from_another_thread(rq_jobs: RqJobs) -> None:
    """It sees the same jobs, and timeouts work there, too."""
    resize.delay("a.png")
    spin.delay()
    raised: list[BaseException] = []

    def run() -> None:
        try:
            rq_jobs.run()
        except JobTimeoutException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert [type(error) for error in raised] == [JobTimeoutException]
    assert [job.get_status() for job in rq_jobs] == [JobStatus.FINISHED, JobStatus.FAILED]


@pytest.fixture
def stopped_clock() -> Iterator[None]:
    """For RQ, it is always noon."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Stopped":
            return cls(2030, 1, 1, 12, tzinfo=tz)

    stopped = SimpleNamespace(**vars(clock) | {"datetime": Stopped})
    with patch("rq.utils.datetime", stopped):
        yield


@pytest.mark.usefixtures("stopped_clock")
def test_order_when_the_clock_stands_still(rq_jobs: RqJobs) -> None:
    names = [f"{number}.png" for number in range(12)]
    tasks: list[Any] = [resize, send_mail, archive]
    for number, name in enumerate(names):
        tasks[number % 3].delay(name)
    assert {job.created_at for job in rq_jobs} == {datetime(2030, 1, 1, 12, tzinfo=UTC)}
    # Two Redis have no order between them.
    assert [name for name in images(rq_jobs) if int(name[:-4]) % 3 < 2] == [
        name for name in names if int(name[:-4]) % 3 < 2
    ]
    assert images(rq_jobs.run()) == images(rq_jobs)


@pytest.mark.usefixtures("stopped_clock")
def test_schedules_when_the_clock_stands_still(rq_jobs: RqJobs) -> None:
    resize.enqueue_in(HOUR, "a.png")
    rq_jobs.assert_enqueued(resize, at=datetime(2030, 1, 1, 13, tzinfo=UTC))
    rq_jobs.assert_enqueued(resize, at=HOUR)
    assert images(rq_jobs.run(until=HOUR)) == ["a.png"]


def test_trio(rq_jobs: RqJobs) -> None:
    """As anyio has it for one of its backends."""
    trio = pytest.importorskip("trio")

    async def enqueue_and_run() -> list[Job]:
        await resize.adelay("a.png", width=20)
        return await rq_jobs.arun()

    [job] = trio.run(enqueue_and_run)
    assert job.return_value() == "a.png at 20"
    # While trio is imported, asyncio works as well.
    [job] = asyncio.run(enqueue_and_run())
    assert job.return_value() == "a.png at 20"
