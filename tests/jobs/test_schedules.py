"""Jobs whose time comes: imagined by ``run(until=…)``, or by a clock that moves."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django_rq.cron import DjangoCronScheduler
from rq import Repeat
from rq.cron import CronScheduler

from django_devtools.jobs import redis, running
from django_devtools.jobs.isolation import emptied
from django_devtools.jobs.running import Timeline
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import (
    archive,
    at_noon,
    every_day,
    fetch_later,
    follow,
    plain,
    resize,
    send_mail,
    sign_up,
)

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

travel = pytest.importorskip("time_machine").travel


@pytest.fixture
def noon() -> Iterator[None]:
    with travel(NOON, tick=False):
        yield


both = pytest.mark.parametrize("clock", [False, True], ids=["imagined", "moved"])


def scheduler() -> CronScheduler:
    return CronScheduler(connection=redis.connection("default"), name="nightly")


@both
def test_cron_with_an_interval(rq_jobs: RqJobs, noon: None, clock: bool) -> None:
    scheduler().register(resize, "default", args=("a.png",), interval=600)
    cron = scheduler()
    cron.register(resize, "default", args=("a.png",), interval=600)
    # A clock that moves also ticks, so that the last one comes a little later.
    ran = rq_jobs.run(until=HOUR + MINUTE, clock=clock)
    assert [job.args for job in ran] == [("a.png",)] * 7
    # From now again.
    assert len(rq_jobs.run(until=HOUR + MINUTE, clock=clock)) == 7


@both
def test_cron_with_an_expression(rq_jobs: RqJobs, noon: None, clock: bool) -> None:
    cron = scheduler()
    cron.register(plain, "high", args=("a",), cron="0 * * * *")
    assert rq_jobs.run(clock=clock) == []
    assert len(rq_jobs.run(until=3 * HOUR, clock=clock)) == 3


@both
def test_a_file_for_cron(rq_jobs: RqJobs, noon: None, clock: bool) -> None:
    cron = DjangoCronScheduler(logging_level=50)
    cron.load_config_from_file("tests.jobs.cron_config")
    ran = rq_jobs.run(until=DAY + MINUTE, clock=clock)
    assert [job.args[0] for job in ran].count("hourly.png") == 25
    assert [job.origin for job in ran].count("high") == 1


def test_cron_of_a_test_that_ended(rq_jobs: RqJobs) -> None:
    cron = scheduler()
    cron.register(plain, "default", interval=60)
    with emptied():
        assert rq_jobs.run(until=HOUR) == []


def test_the_clock_moves_to_each_time(rq_jobs: RqJobs, noon: None) -> None:
    at_noon.delay()
    ran = rq_jobs.run(until=3 * DAY, clock=True)
    assert [job.return_value() for job in ran] == [
        "2030-01-01 12:00",
        "2030-01-02 12:00",
        "2030-01-03 12:00",
        "2030-01-04 12:00",
    ]
    assert datetime.now(UTC) == NOON


@both
def test_retries_and_repeats(rq_jobs: RqJobs, noon: None, clock: bool) -> None:
    fetch_later.delay("a.png")
    resize.using(repeat=Repeat(times=2, interval=120)).delay("b.png")
    ran = rq_jobs.run(until=HOUR, clock=clock)
    assert str(ran) == (
        "Jobs that ran:\n"
        "  2030-01-01 12:00:00 UTC  tests.jobs.mailing.fetch_later('a.png') in queue 'default'\n"
        "  2030-01-01 12:00:00 UTC  tests.jobs.mailing.resize('b.png') in queue 'default'\n"
        "  2030-01-01 12:01:00 UTC  tests.jobs.mailing.fetch_later('a.png') in queue 'default'\n"
        "  2030-01-01 12:02:00 UTC  tests.jobs.mailing.resize('b.png') in queue 'default'\n"
        "  2030-01-01 12:04:00 UTC  tests.jobs.mailing.resize('b.png') in queue 'default'\n"
        "  2030-01-01 12:11:00 UTC  tests.jobs.mailing.fetch_later('a.png') in queue 'default'"
    )


def test_the_text_of_nothing() -> None:
    assert str(Timeline()) == "Jobs that ran: none"


def test_a_year(rq_jobs: RqJobs) -> None:
    every_day.delay()
    assert len(rq_jobs.run(until=365 * DAY)) == 366


def test_many_jobs_are_no_loop_while_time_passes(
    rq_jobs: RqJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "MOST_JOBS", 10)
    cron = scheduler()
    cron.register(plain, "default", args=("a",), interval=60)
    assert len(rq_jobs.run(until=HOUR)) >= 60


def test_without_time_machine(rq_jobs: RqJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "time_machine", None)
    with pytest.raises(ImportError, match=r"^clock=True needs time-machine: pip install"):
        rq_jobs.run(clock=True)


# Some jobs only


def test_only(rq_jobs: RqJobs) -> None:
    first = sign_up.delay("ada@example.com")
    second = resize.delay("a.png")
    assert rq_jobs.run(only=sign_up) == [first]
    assert rq_jobs.run(only=[resize, "tests.jobs.mailing.archive"]) == [second]
    assert len(rq_jobs.run()) == 1


def test_exclude(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    second = archive.delay("b.png")
    resize.enqueue_in(HOUR, "c.png")
    fourth = archive.enqueue_in(HOUR, "d.png")
    assert rq_jobs.run(until=DAY, exclude=resize) == [second, fourth]
    assert len(rq_jobs.run(until=DAY)) == 2


def test_queue(rq_jobs: RqJobs) -> None:
    first = resize.delay("a.png")
    second = send_mail.delay("b@example.com")
    third = archive.delay("c.png")
    assert rq_jobs.run(queue="high") == [second]
    assert rq_jobs.run(queue=["default", "elsewhere"]) == [first, third]
    with pytest.raises(ValueError, match=r"^RQ_QUEUES has no queue 'hihg'.$"):
        rq_jobs.run(queue="hihg")


def test_limit(rq_jobs: RqJobs) -> None:
    jobs = [resize.delay(name) for name in ("a.png", "b.png", "c.png")]
    assert rq_jobs.run(limit=2) == jobs[:2]
    assert rq_jobs.run(limit=0) == []
    assert rq_jobs.run() == jobs[2:]


def test_limit_of_what_has_no_end(rq_jobs: RqJobs) -> None:
    follow.delay("https://example.com/")
    assert len(rq_jobs.run(limit=10)) == 10


@pytest.mark.asyncio
async def test_some_jobs_in_asynchronous_tests(rq_jobs: RqJobs) -> None:
    await resize.adelay("a.png")
    second = await send_mail.adelay("b@example.com")
    assert await rq_jobs.arun(only=send_mail) == [second]
