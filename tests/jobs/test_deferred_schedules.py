"""
``enqueue_in`` and ``enqueue_at`` of django-rq's own queues wait for a commit, or they don't.

They do with https://github.com/rq/django-rq/pull/824, which is imitated here.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import django_rq
import pytest
from django.core.signals import request_finished
from django.db import connection, transaction
from django.db.transaction import atomic
from django_rq import thread_queue
from django_rq.queues import DjangoRQ
from pytest_django import Settings
from rq import Queue

from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import plain, resize

HOUR = timedelta(hours=1)


def by_function(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[], Any]:
    def call() -> Any:
        return method(*args, **kwargs)

    call.__module__ = DjangoRQ.__module__
    return call


def deferring(method: Callable[..., Any], make_call: Callable[..., Any]) -> Callable[..., Any]:
    def defer(queue: Any, *args: Any, pipeline: Any = None, **kwargs: Any) -> Any:
        if pipeline is not None:
            return method(queue, *args, pipeline=pipeline, **kwargs)
        call = make_call(method, queue, *args, **kwargs)
        if queue._commit_mode == "request_finished":
            waiting: Any = SimpleNamespace(original_enqueue_call=call)
            return thread_queue.add(waiting, (), {})
        if queue._commit_mode == "on_db_commit" and connection.in_atomic_block:
            return transaction.on_commit(call)
        return call()

    return defer


@pytest.fixture(params=[None, by_function, partial], ids=["released", "824", "824 by partial"])
def waits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether schedules of django-rq's queues wait."""
    if request.param is None:
        return False
    monkeypatch.setattr(DjangoRQ, "enqueue_call", DjangoRQ.original_enqueue_call)
    for name in ("enqueue_job", "schedule_job"):
        method = deferring(getattr(Queue, name), request.param)
        monkeypatch.setattr(DjangoRQ, name, method, raising=False)
    return True


def enqueue_all() -> None:
    resize.delay("a.png")
    resize.enqueue_in(HOUR, "b.png")
    resize.using(group_id="images").delay("c.png")
    django_rq.get_queue().enqueue(plain, "d.png")


ALL = ["a.png", "b.png", "c.png", "d.png"]


def names(jobs: RqJobs) -> list[str]:
    return sorted(job.args[0] for job in jobs)


@pytest.mark.django_db
def test_in_the_transaction_of_a_test(rq_jobs: RqJobs, waits: bool) -> None:
    check_commits(rq_jobs, waits)


@pytest.mark.django_db(transaction=True)
def test_with_real_transactions(rq_jobs: RqJobs, waits: bool) -> None:
    check_commits(rq_jobs, waits)


def check_commits(rq_jobs: RqJobs, waits: bool) -> None:
    with atomic():
        enqueue_all()
        assert names(rq_jobs) == []
        django_rq.get_queue().enqueue_in(HOUR, plain, "e.png")
        assert names(rq_jobs) == ([] if waits else ["e.png"])
    assert names(rq_jobs) == [*ALL, "e.png"]
    with atomic():
        enqueue_all()
        transaction.set_rollback(True)
    assert names(rq_jobs) == [*ALL, "e.png"]
    assert len(rq_jobs.run(until=HOUR)) == 5


@pytest.mark.django_db
def test_at_the_end_of_a_request(rq_jobs: RqJobs, waits: bool, settings: Settings) -> None:
    settings.RQ = {"COMMIT_MODE": "request_finished"}
    enqueue_all()
    assert names(rq_jobs) == []
    thread_queue.commit(sender=request_finished)
    assert names(rq_jobs) == ALL


@pytest.mark.django_db
def test_at_once(rq_jobs: RqJobs, waits: bool, settings: Settings) -> None:
    settings.RQ = {"COMMIT_MODE": "auto"}
    with atomic():
        enqueue_all()
        assert names(rq_jobs) == ALL
