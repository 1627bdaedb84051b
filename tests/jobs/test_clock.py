"""Clocks that a test moves: they are its own, and not that of Redis, be it real or a fake."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from django_devtools.jobs.clock import real_time
from django_devtools.jobs.isolation import emptied, pointed_to
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import resize

Move = Callable[[datetime], AbstractContextManager[Any]]

LONG_AGO = datetime(2020, 1, 1, 12, tzinfo=UTC)
DAYS = timedelta(days=3)
MINUTE = timedelta(minutes=1)


def travel(when: datetime) -> AbstractContextManager[Any]:
    moved: AbstractContextManager[Any] = pytest.importorskip("time_machine").travel(when)
    return moved


def freeze(when: datetime) -> AbstractContextManager[Any]:
    frozen: AbstractContextManager[Any] = pytest.importorskip("freezegun").freeze_time(when)
    return frozen


@pytest.fixture(params=[travel, freeze])
def move(request: pytest.FixtureRequest) -> Move:
    """A way to move the clock."""
    move: Move = request.param
    return move


@pytest.fixture(params=["fake", "real"], autouse=True)
def server(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "fake":
        yield
        return
    with pointed_to(request.getfixturevalue("real_redis_url")), emptied():
        yield


def test_days_later(rq_jobs: RqJobs, move: Move) -> None:
    job = resize.delay("a.png")
    rq_jobs.run()
    with move(datetime.now(UTC) + DAYS):
        assert rq_jobs[0].is_finished
        assert job.return_value(refresh=True) == "a.png at 100"


def test_long_ago(rq_jobs: RqJobs, move: Move) -> None:
    with move(LONG_AGO):
        job = resize.delay("a.png")
        rq_jobs.run()
        assert rq_jobs[0].is_finished
    assert rq_jobs[0].is_finished
    assert job.return_value(refresh=True) == "a.png at 100"


def test_times_that_redis_tells(rq_jobs: RqJobs, move: Move) -> None:
    now = datetime.now(UTC)
    with move(LONG_AGO):
        job = resize.delay("a.png")
        rq_jobs.run()
        result = job.latest_result()
        assert result
        assert abs(result.created_at - now) < MINUTE
        assert 400 < job.connection.ttl(job.key) <= 500
    with move(now + DAYS):
        assert 400 < job.connection.ttl(job.key) <= 500


def test_entries_of_streams(rq_jobs: RqJobs, fake_redis: Any, move: Move) -> None:
    now = datetime.now(UTC).timestamp()
    with move(LONG_AGO):
        first = fake_redis.xadd("stream", {"a": "1"})
        second = fake_redis.xadd("stream", {"a": "*"})
        third = fake_redis.xadd("stream", {"a": "3"}, id="99999999999999-1")
    assert first < second < third == b"99999999999999-1"
    assert abs(int(first.partition(b"-")[0]) / 1000 - now) < 60


def test_what_was_to_run_at_a_time(rq_jobs: RqJobs, move: Move) -> None:
    job = resize.enqueue_in(DAYS, "a.png")
    assert rq_jobs.run() == []
    with move(datetime.now(UTC) + DAYS + MINUTE):
        assert rq_jobs.run() == [job]


def test_real_time(move: Move) -> None:
    now = time.time()
    with move(LONG_AGO):
        assert time.time() < now - 1000
        assert 0 <= real_time() - now < 60
