"""Which class of jobs runs a function: RQ's, or one for tasks of Django's task framework."""

import sys
from typing import Any

from rq.exceptions import DeserializationError
from rq.job import Job
from rq.utils import import_attribute

# Django's own framework, and the package that backports it.
FRAMEWORKS = ("django.tasks.base", "django_tasks.base")


def class_for(job: Job) -> type[Job]:
    """
    The class by which a worker has to know a job.

    In production, workers are told by ``--job-class`` what their queues are for. Here, jobs of all
    queues are run by one.
    """
    own = type(job)
    tasks = tuple(sys.modules[name].Task for name in FRAMEWORKS if name in sys.modules)
    if not tasks or _is_for_tasks(own) is isinstance(func := _function(job), tasks):
        return own
    if not isinstance(func, tasks):
        return Job
    # A task that can be called has a backend that needs no class.
    return own if callable(func) else _of_backend(func.get_backend()) or own


def _function(job: Job) -> Any:
    try:
        return import_attribute(str(job.func_name))
    except (AttributeError, DeserializationError, ImportError, TypeError, ValueError):
        return None


def _of_backend(backend: Any) -> type[Job] | None:
    """The class that stands beside a backend or the one that it extends, as in django-tasks-rq."""
    for base in type(backend).__mro__:
        job_class = getattr(sys.modules[base.__module__], "Job", None)
        if isinstance(job_class, type) and _is_for_tasks(job_class):
            return job_class
    return None


def _is_for_tasks(job_class: type) -> bool:
    """Whether a class makes results of tasks of its jobs. Such a one runs nothing else."""
    return hasattr(job_class, "task_result")
