"""A backend of Django's tasks with a class of jobs beside it, as django-tasks-rq has one."""

from importlib import import_module
from typing import Any

import django_rq
from django.test import override_settings
from rq.job import Job as BaseJob

from tests.jobs.framework_tasks import framework, task

TASKS = {"default": {"BACKEND": f"{__name__}.Child"}}


class Job(BaseJob):
    """Runs tasks, and nothing else."""

    task_result = None

    def _execute(self) -> Any:
        return self.func.call(*self.args, **self.kwargs)


Immediate: Any = import_module(f"{framework.__name__}.backends.immediate").ImmediateBackend


class Backend(Immediate):  # type: ignore[misc]
    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        queue = django_rq.get_queue(task.queue_name, job_class=Job)
        return queue.enqueue_call(task.module_path, args, kwargs)


class Child(Backend):
    """Of a project, and in a module of its own as well as here."""


with override_settings(TASKS=TASKS):

    @task()
    def double(number: int) -> int:
        return 2 * number
