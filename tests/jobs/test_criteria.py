"""What ``assert_enqueued``, ``expect`` and ``assert_chain`` may be asked for, and jobs inline."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import ANY

import django_rq
import pytest
from django.db import transaction
from rq import Retry

from django_devtools.jobs import enqueued
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import (
    Unreachable,
    archive,
    fetch,
    fetch_again,
    plain,
    resize,
    send_mail,
    send_reminder,
    sign_up,
)

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("criteria", "is_right"),
    [
        ({"args": (ANY,)}, True),
        ({"args": (ANY, ANY)}, False),
        ({"args": lambda name: name.endswith(".png")}, True),
        ({"args": lambda name: name.endswith(".jpg")}, False),
        ({"kwargs": {"width": ANY}}, True),
        ({"kwargs": lambda width: width > 10}, True),
        ({"kwargs": lambda width: width > 100}, False),
        ({"meta": {"by": "Ada"}}, True),
        ({"meta": {"by": "Ada", "for": "Grace"}}, False),
        ({"meta": {"by": "Grace"}}, False),
        ({"retry": 2}, True),
        ({"retry": 3}, False),
        ({"retry": 0}, False),
        ({"retry": Retry(max=2, interval=[60, 600])}, True),
        ({"retry": Retry(max=2)}, False),
        ({"job_timeout": 90}, True),
        ({"job_timeout": "90s"}, True),
        ({"job_timeout": 60}, False),
        ({"group_id": "images"}, True),
        ({"group_id": "mails"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_criteria(rq_jobs: RqJobs, criteria: Any, is_right: bool) -> None:
    task = resize.using(
        meta={"by": "Ada", "at": 5},
        retry=Retry(max=2, interval=[60, 600]),
        timeout=90,
        group_id="images",
    )
    job = task.delay("a.png", width=20)
    for _ in range(2):
        if is_right:
            assert rq_jobs.assert_enqueued(resize, **criteria) == [job]
        else:
            rq_jobs.assert_not_enqueued(resize, **criteria)
        # And when it has run.
        rq_jobs.run()


def test_retries_that_were_needed(rq_jobs: RqJobs) -> None:
    fetch_again.delay("a.png")
    resize.delay("b.png")
    rq_jobs.assert_enqueued(fetch_again, retry=2)
    rq_jobs.run()
    rq_jobs.assert_enqueued(fetch_again, retry=2)
    rq_jobs.assert_enqueued(resize, retry=0)


def test_dependencies(rq_jobs: RqJobs) -> None:
    first, second = resize.delay("a.png"), resize.delay("b.png")
    third = send_mail.using(depends_on=[first, second]).delay("c@example.com")
    for _ in range(2):
        assert rq_jobs.assert_enqueued(send_mail, depends_on=first) == [third]
        assert rq_jobs.assert_enqueued(send_mail, depends_on=[second, first]) == [third]
        rq_jobs.assert_not_enqueued(resize, depends_on=[first])
        rq_jobs.run()


def test_words_of_a_failure(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    with pytest.raises(AssertionError) as caught:
        rq_jobs.assert_enqueued(resize, retry=2, meta={"by": "Ada"})
    assert str(caught.value) == (
        "No job of tests.jobs.mailing.resize with meta={'by': 'Ada'}, retry=2. "
        "Enqueued were, nearest first:\n"
        "  tests.jobs.mailing.resize('a.png') in queue 'default'  (other meta, retry)"
    )


# Chains


def test_chain(rq_jobs: RqJobs) -> None:
    resize.delay("0.png")
    first = resize.delay("a.png")
    second = send_mail.using(depends_on=first).delay("b@example.com")
    third = archive.using(depends_on=second).delay("c.png")
    assert rq_jobs.assert_chain(resize, send_mail, archive) == [first, second, third]
    assert rq_jobs.assert_chain("tests.jobs.mailing.send_mail", archive) == [second, third]
    with pytest.raises(AssertionError) as caught:
        rq_jobs.assert_chain(resize, archive)
    assert str(caught.value).startswith(
        "No such chain: it ends before tests.jobs.mailing.archive. Enqueued were, nearest first:\n"
        "  tests.jobs.mailing.archive('c.png') in queue 'elsewhere'"
    )


# Within a block


def test_expect(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    with rq_jobs.expect(resize, args=("b.png",), count=1) as jobs:
        job = resize.delay("b.png")
        send_mail.delay("c@example.com")
    assert jobs == [job]
    with rq_jobs.expect(send_mail, count=0):
        pass


def test_what_was_there_before_is_not_expected(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    with pytest.raises(AssertionError) as caught, rq_jobs.expect(resize):
        send_mail.delay("b@example.com")
    assert str(caught.value) == (
        "No job of tests.jobs.mailing.resize. Enqueued were, nearest first:\n"
        "  tests.jobs.mailing.send_mail('b@example.com') in queue 'high'  (other task)"
    )


def test_an_error_in_the_block_is_that_of_the_test(rq_jobs: RqJobs) -> None:
    with pytest.raises(LookupError), rq_jobs.expect(resize):
        raise LookupError


# Other threads


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses in which other threads could have enqueued something."""
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            resize.delay("a.png")

    monkeypatch.setattr(enqueued, "sleep", pause)
    return pauses


def test_wait_for_other_threads(rq_jobs: RqJobs, pauses: list[float]) -> None:
    [job] = rq_jobs.assert_enqueued(resize, count=1, timeout=60)
    assert job.args == ("a.png",)
    assert len(pauses) == 3


def test_wait_no_longer(rq_jobs: RqJobs, pauses: list[float]) -> None:
    with pytest.raises(AssertionError, match="No job was enqueued at all"):
        rq_jobs.assert_enqueued(resize)
    assert pauses == []
    ticks: Iterator[float] = iter(range(100))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enqueued, "monotonic", lambda: next(ticks))
        with pytest.raises(AssertionError, match="1 job of"):
            rq_jobs.assert_enqueued(resize, count=2, timeout=10)
    assert len(pauses) == 9


# Inline


def test_inline(rq_jobs: RqJobs) -> None:
    with rq_jobs.inline():
        first = resize.delay("a.png")
        assert first.return_value() == "a.png at 100"
        second = django_rq.enqueue(plain, "b.png")
        assert second.is_finished
        sign_up.delay("c@example.com")
        assert [job.get_status() for job in rq_jobs.assert_enqueued(send_mail)] == ["finished"]
        resize.enqueue_in(HOUR, "d.png")
    third = resize.delay("e.png")
    assert third.is_queued
    rq_jobs.assert_enqueued(send_reminder, count=1)
    assert not rq_jobs.assert_enqueued(resize, args=("d.png",))[0].is_finished


@pytest.mark.django_db
def test_inline_when_the_code_commits(rq_jobs: RqJobs) -> None:
    with rq_jobs.inline():
        with transaction.atomic():
            job = resize.delay("a.png")
            assert not rq_jobs
        assert job.return_value() == "a.png at 100"


def test_inline_and_a_job_that_fails(rq_jobs: RqJobs) -> None:
    """The code that enqueues it never knows."""

    def check_out() -> None:
        with rq_jobs.inline():
            assert fetch.delay("a.png").is_failed
            fetch.delay("b.png")
            resize.delay("c.png")

    with pytest.raises(Unreachable, match=r"^a\.png$"):
        check_out()
    assert [job.get_status() for job in rq_jobs] == ["failed", "failed", "finished"]


def test_inline_and_many_at_once(rq_jobs: RqJobs) -> None:
    queue = django_rq.get_queue()
    with rq_jobs.inline():
        jobs = queue.enqueue_many([queue.prepare_data(plain, ("a.png",))])
    assert jobs[0].is_finished
