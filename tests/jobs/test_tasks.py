"""The backend of Django's task framework."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from typing import Any

import django
import django_rq
import pytest
from django.core.checks import Error
from django.db.transaction import atomic
from pytest_django import Settings
from rq import Worker

from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import resize

if django.VERSION < (6, 0) and not find_spec("django_tasks"):
    pytest.skip("needs Django 6 or django-tasks", allow_module_level=True)

from tests.jobs import framework_tasks
from tests.jobs.framework_tasks import (
    TASKS,
    attempt,
    done,
    fail,
    framework,
    greet,
    signals,
    task,
    total,
    unserializable,
)

Status = framework.TaskResultStatus


@pytest.fixture(autouse=True)
def tasks(settings: Settings) -> None:
    settings.TASKS = TASKS
    done.clear()


def backend() -> Any:
    return framework.task_backends["default"]


def test_a_task_is_a_job(rq_jobs: RqJobs) -> None:
    result = total.enqueue(1, 2)
    assert result.status == Status.READY
    [job] = rq_jobs.assert_enqueued(total, args=(1, 2), queue="default")
    assert job.id == result.id
    rq_jobs.assert_not_enqueued(fail)
    assert rq_jobs.run() == [job]
    assert done == [(1, 2)]
    result.refresh()
    assert result.status == Status.SUCCESSFUL
    assert result.return_value == 3
    assert result.attempts == 1
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert result.errors == []


def test_beside_tasks_of_other_kinds(rq_jobs: RqJobs) -> None:
    total.enqueue(1)
    resize.delay("a.png")
    total.enqueue(2)
    rq_jobs.run()
    assert done == [(1,), (2,)]
    assert [job.is_finished for job in rq_jobs] == [True] * 3


def test_a_worker_needs_no_class_of_jobs() -> None:
    result = total.enqueue(1, 2)
    django_rq.get_worker("default").work(burst=True, logging_level="CRITICAL")
    assert total.get_result(result.id).return_value == 3


def test_a_task_that_fails(rq_jobs: RqJobs) -> None:
    result = fail.enqueue("sold out")
    with pytest.raises(LookupError, match="sold out"):
        rq_jobs.run()
    result.refresh()
    assert result.status == Status.FAILED
    [error] = result.errors
    assert error.exception_class is LookupError
    assert "sold out" in error.traceback
    with pytest.raises(ValueError, match="Task failed"):
        assert result.return_value


def test_a_result_that_is_not_json(rq_jobs: RqJobs) -> None:
    result = unserializable.enqueue()
    rq_jobs.run(raise_exceptions=False)
    result.refresh()
    assert [error.exception_class for error in result.errors] == [TypeError]


def test_a_killed_worker(rq_jobs: RqJobs) -> None:
    """Nobody knows what it was."""
    result = total.enqueue(1)
    queue = django_rq.get_queue()
    job = queue.fetch_job(result.id)
    assert job
    queue.remove(job)
    worker: Any = Worker([queue], connection=queue.connection)
    worker.handle_job_failure(job, queue, exc_string="Work-horse terminated unexpectedly")
    result.refresh()
    assert result.status == Status.FAILED
    assert [error.exception_class for error in result.errors] == [Exception]


def test_options_of_a_backend(rq_jobs: RqJobs) -> None:
    greet.enqueue("Ada")
    [job] = rq_jobs
    assert job.timeout == 5
    rq_jobs.run()
    assert greet.get_result(job.id).return_value == "Hello Ada"


def test_a_task_with_context(rq_jobs: RqJobs) -> None:
    result = attempt.enqueue(extra="more")
    rq_jobs.run()
    result.refresh()
    assert result.return_value == [1, "RUNNING", "more"]


def test_a_task_may_be_called_by_another_job() -> None:
    assert total(1, 2) == total.call(1, 2) == 3


def test_priorities(rq_jobs: RqJobs) -> None:
    for number, priority in enumerate((0, -100, 100, 1)):
        total.using(priority=priority).enqueue(number)
    rq_jobs.run()
    assert done == [(3,), (2,), (0,), (1,)]
    [job] = rq_jobs.assert_enqueued(total, args=(2,))
    assert total.get_result(job.id).task.priority == 100


def test_run_after(rq_jobs: RqJobs) -> None:
    later = timedelta(days=1)
    result = total.using(run_after=datetime.now(UTC) + later).enqueue(1)
    rq_jobs.assert_enqueued(total, at=later)
    assert rq_jobs.run() == []
    result.refresh()
    assert result.status == Status.READY
    assert len(rq_jobs.run(until=2 * later)) == 1


@pytest.mark.django_db
def test_commits(rq_jobs: RqJobs) -> None:
    with atomic():
        result = total.enqueue(1)
        total.using(run_after=datetime(2040, 1, 1, tzinfo=UTC)).enqueue(2)
        assert not rq_jobs
        with pytest.raises(backend_exceptions().TaskResultDoesNotExist):
            total.get_result(result.id)
    assert [job.args for job in rq_jobs] == [(1,), (2,)]
    assert total.get_result(result.id).status == Status.READY


def backend_exceptions() -> Any:
    return framework.exceptions


@pytest.mark.asyncio
async def test_asynchronous_code(rq_jobs: RqJobs) -> None:
    result = await total.aenqueue(1, 2)
    await rq_jobs.arun()
    await result.arefresh()
    assert result.return_value == 3
    assert (await total.aget_result(result.id)).args == [1, 2]


def test_signals(rq_jobs: RqJobs) -> None:
    heard: list[tuple[str, str]] = []

    def listener(name: str) -> Callable[..., None]:
        def hear(sender: Any, task_result: Any, **kwargs: Any) -> None:
            assert sender is type(backend())
            heard.append((name, str(task_result.status)))

        return hear

    listeners = {name: listener(name) for name in ("enqueued", "started", "finished")}
    for name, hear in listeners.items():
        getattr(signals, f"task_{name}").connect(hear)
    try:
        total.enqueue(1)
        fail.enqueue("sold out")
        rq_jobs.run(raise_exceptions=False)
    finally:
        for name, hear in listeners.items():
            getattr(signals, f"task_{name}").disconnect(hear)
    assert heard == [
        ("enqueued", "READY"),
        ("enqueued", "READY"),
        ("started", "RUNNING"),
        ("finished", "SUCCESSFUL"),
        ("started", "RUNNING"),
        ("finished", "FAILED"),
    ]


def test_results_of_others(rq_jobs: RqJobs) -> None:
    missing = backend_exceptions().TaskResultDoesNotExist
    job = resize.delay("a.png")
    for result_id in ("nowhere", job.id):
        with pytest.raises(missing):
            backend().get_result(result_id)


def test_a_task_of_another_backend(settings: Settings) -> None:
    name = f"{framework.__name__}.backends.immediate.ImmediateBackend"
    settings.TASKS = TASKS | {"immediate": {"BACKEND": name, "QUEUES": []}}
    other = task(backend="immediate")(framework_tasks.total.func)
    with pytest.raises(Exception, match=r"has to name this one, as in @task\(backend='default'\)"):
        other.using(backend="default")


def test_a_queue_that_is_not_there(settings: Settings) -> None:
    settings.TASKS = {"default": TASKS["default"] | {"QUEUES": ["hihg", "high"]}}
    assert list(backend().check()) == [
        Error(
            "TASKS['default'] uses the queue 'hihg', which is not in RQ_QUEUES.",
            hint="RQ_QUEUES has: default, elsewhere, high.",
            id="django_devtools.E104",
        )
    ]
