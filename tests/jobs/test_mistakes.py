"""What people type in a hurry, and what they are told."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from pytest_django import Settings

from django_devtools.jobs import async_job
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import every_day, resize


def test_no_such_queue(rq_jobs: RqJobs) -> None:
    """A job in a misspelt queue would never be found, and that would be no success."""
    with pytest.raises(ValueError, match=r"^RQ_QUEUES has no queue 'hihg'.$"):
        rq_jobs.assert_not_enqueued(resize, queue="hihg")


def test_no_such_function(rq_jobs: RqJobs) -> None:
    with pytest.raises(ValueError, match=r"^Invalid attribute name: resice$"):
        rq_jobs.assert_not_enqueued("tests.jobs.mailing.resice")


def test_delay_for_the_task(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    rq_jobs.assert_enqueued(resize.delay)


def test_arguments_that_are_no_tuple(rq_jobs: RqJobs) -> None:
    with pytest.raises(TypeError, match=r"^args is a tuple, such as \('a.png',\).$"):
        rq_jobs.assert_enqueued(resize, args="a.png")  # type: ignore[arg-type]


def test_comparing_with_a_list(rq_jobs: RqJobs) -> None:
    assert rq_jobs == []
    job = resize.delay("a.png")
    assert rq_jobs == [job]
    assert rq_jobs == RqJobs()
    assert rq_jobs != []


@pytest.mark.django_db
def test_jobs_that_wait_for_a_transaction(rq_jobs: RqJobs) -> None:
    with transaction.atomic():
        resize.delay("a.png")
        with pytest.raises(AssertionError) as caught:
            rq_jobs.assert_enqueued(resize)
    assert str(caught.value) == (
        "No job of tests.jobs.mailing.resize. No job was enqueued at all.\n"
        "Waiting for the end of an atomic() block: 1 job."
    )


@pytest.mark.django_db
def test_callbacks_that_nobody_calls(rq_jobs: RqJobs) -> None:
    transaction.on_commit(lambda: resize.delay("a.png"))
    transaction.on_commit(lambda: resize.delay("b.png"))
    with pytest.raises(AssertionError) as caught:
        rq_jobs.assert_enqueued(resize)
    assert str(caught.value) == (
        "No job of tests.jobs.mailing.resize. No job was enqueued at all.\n"
        "Not called, as tests don't commit: 2 callbacks of transaction.on_commit. "
        "See django_capture_on_commit_callbacks(execute=True)."
    )


def test_jobs_that_schedule_themselves(rq_jobs: RqJobs) -> None:
    """Each time counts from the one before, though no clock moves."""
    every_day.delay()
    assert len(rq_jobs.run(until=timedelta(days=3, hours=1))) == 4
    assert len(rq_jobs.run()) == 0


@pytest.mark.parametrize("name", ["name", "queue_name"])
def test_queue_by_another_name(name: str) -> None:
    options: Any = {name: "high"}
    with pytest.raises(TypeError) as caught:
        async_job(**options)
    assert str(caught.value) == (
        f"async_job has no option {name!r}: the queue comes first, unnamed."
    )


def test_times_that_are_numbers() -> None:
    minute: Any = 60
    with pytest.raises(TypeError, match=r"^enqueue_in takes a timedelta first, not 60.$"):
        resize.enqueue_in(minute, "a.png")
    with pytest.raises(TypeError, match=r"^enqueue_at takes a datetime first, not 60.$"):
        resize.enqueue_at(minute, "a.png")


def test_app_that_is_not_installed(settings: Settings) -> None:
    """Without it, only some of the process would see the fake."""
    settings.FAKE_REDIS = True
    settings.INSTALLED_APPS = ["django.contrib.contenttypes"]
    with pytest.raises(
        Exception, match=r"^FAKE_REDIS is on, and 'django_devtools' is not in INST"
    ):
        resize.delay("a.png")
