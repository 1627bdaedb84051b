"""
A backend of Django's task framework on django-rq, with ``COMMIT_MODE`` and the fakes of this app.

    TASKS = {"default": {"BACKEND": "django_devtools.jobs.tasks.RQBackend"}}
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import django
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string
from django_rq import get_queue
from rq import Callback, get_current_job
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.results import Result

from django_devtools.jobs import redis
from django_devtools.jobs.enqueueing import enqueue

if TYPE_CHECKING:
    from django.tasks import base, exceptions, signals
    from django.tasks.backends.base import BaseTaskBackend
    from django.utils.json import normalize_json

    BaseTask = base.Task[..., Any]
else:
    # Django 5.2 has none of its own, and a package that backports it.
    framework = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"
    base, exceptions, signals = (
        import_module(f"{framework}.{name}") for name in ("base", "exceptions", "signals")
    )
    BaseTaskBackend = import_module(f"{framework}.backends.base").BaseTaskBackend
    BaseTask = base.Task
    normalize_json = base.normalize_json

# The package has the older name.
InvalidTask = getattr(exceptions, "InvalidTaskError", None) or exceptions.InvalidTask

Status = base.TaskResultStatus

STATUSES = {
    JobStatus.STARTED: Status.RUNNING,
    JobStatus.FINISHED: Status.SUCCESSFUL,
    JobStatus.FAILED: Status.FAILED,
    JobStatus.STOPPED: Status.FAILED,
    JobStatus.CANCELED: Status.FAILED,
}
"""Those of jobs that don't wait."""

FINISHED = (Status.FAILED, Status.SUCCESSFUL)

# Where ``meta`` of a job has what RQ knows nothing of.
META = "django_devtools.task"


@dataclass(frozen=True, slots=True, kw_only=True)
class RQTask(BaseTask):
    """A task that workers can call, so that they need no class of jobs for it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task, as the job of it that runs now."""
        job = get_current_job()
        if job is None or META not in job.meta or job.func_name != self.module_path:
            return self.call(*args, **kwargs)
        result = _result_of(job, Status.RUNNING)
        signals.task_started.send(type(self.get_backend()), task_result=result)
        if self.takes_context:
            args = (base.TaskContext(task_result=result), *args)
        return normalize_json(self.call(*args, **kwargs))


class RQBackend(BaseTaskBackend):
    """
    ``QUEUES`` are names in RQ_QUEUES, all of them by default; ``OPTIONS`` those of ``async_job``.

    RQ's queues know no priorities: tasks with one above 0 come before those that wait.
    """

    task_class = RQTask
    supports_async_task = True
    supports_defer = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, {"QUEUES": list(settings.RQ_QUEUES)} | params)

    def validate_task(self, task: Any) -> None:
        super().validate_task(task)
        if not isinstance(task, RQTask):
            raise InvalidTask(
                f"{task.module_path} is a task of another backend: its decorator has to name this "
                f"one, as in @task(backend={self.alias!r})."
            )

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        self.validate_task(task)
        # Its id is that of the job.
        result = _new_result(task, str(uuid4()), self.alias, args, kwargs)
        options = self.options | {
            "at_front": task.priority > 0,
            "job_id": result.id,
            "meta": {META: {"backend": self.alias, "priority": task.priority, "exceptions": []}},
            "on_failure": Callback(_on_failure),
            "on_success": Callback(_on_success),
        }
        job = enqueue(
            task.module_path,
            task.queue_name,
            options,
            tuple(result.args),
            result.kwargs,
            task.run_after,
        )
        _set(result, enqueued_at=job.enqueued_at)
        signals.task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        for name in sorted(self.queues):
            queue = get_queue(name, connection=redis.connection(name))
            try:
                job = Job.fetch(result_id, queue.connection, queue.serializer)
            except NoSuchJobError:
                continue
            if META in job.meta:
                return _result_of(job)
        raise exceptions.TaskResultDoesNotExist(result_id)

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [
            Error(
                f"TASKS[{self.alias!r}] uses the queue {name!r}, which is not in RQ_QUEUES.",
                hint=f"RQ_QUEUES has: {', '.join(sorted(settings.RQ_QUEUES))}.",
                id="django_devtools.E104",
            )
            for name in sorted(self.queues - settings.RQ_QUEUES.keys())
        ]


def _new_result(task: Any, result_id: str, backend: str, args: Any, kwargs: Any) -> Any:
    return base.TaskResult(
        task=task,
        id=result_id,
        status=Status.READY,
        enqueued_at=None,
        started_at=None,
        finished_at=None,
        last_attempted_at=None,
        args=args,
        kwargs=kwargs,
        backend=backend,
        errors=[],
        worker_ids=[],
    )


def _result_of(job: Job, status: Status | None = None) -> Any:
    """What Redis has of a job, as Django's framework wants it; the status may be newer."""
    known = job.meta[META]
    task = import_string(str(job.func_name)).using(
        backend=known["backend"], priority=known["priority"], queue_name=job.origin
    )
    result = _new_result(task, job.id, known["backend"], list(job.args), job.kwargs)
    status = status or STATUSES.get(job.get_status(), Status.READY)
    runs = job.results()[::-1]
    workers: list[str | None] = [run.worker_name for run in runs]
    if status == Status.RUNNING:
        workers.append(job.worker_name)
    _set(
        result,
        status=status,
        enqueued_at=job.enqueued_at,
        started_at=job.started_at,
        finished_at=job.ended_at if status in FINISHED else None,
        last_attempted_at=job.started_at,
        worker_ids=[worker for worker in workers if worker],
        errors=_errors(runs, known["exceptions"]),
        _return_value=runs[-1].return_value if status == Status.SUCCESSFUL and runs else None,
    )
    return result


def _errors(runs: list[Result], exceptions: list[str]) -> list[Any]:
    """Those of each run; which exception it was, RQ does not store, and a killed job has none."""
    failed = [run for run in runs if run.type == Result.Type.FAILED]
    known = exceptions + ["builtins.Exception"] * len(failed)
    return [
        base.TaskError(exception_class_path=path, traceback=run.exc_string or "")
        for run, path in zip(failed, known, strict=False)
    ]


def _on_success(job: Job, connection: Any, value: Any) -> None:
    result = _result_of(job, Status.SUCCESSFUL)
    _set(result, _return_value=value)
    _finish(result)


def _on_failure(job: Job, connection: Any, kind: type, value: Any, traceback: Any) -> None:
    job.meta[META]["exceptions"].append(f"{kind.__module__}.{kind.__qualname__}")
    job.save_meta()
    _finish(_result_of(job, Status.FAILED))


def _finish(result: Any) -> None:
    signals.task_finished.send(type(result.task.get_backend()), task_result=result)


def _set(result: Any, **values: Any) -> None:
    """Results are frozen for users, and for backends they are not."""
    for name, value in values.items():
        object.__setattr__(result, name, value)
