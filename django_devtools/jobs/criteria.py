"""What a test asks for among its jobs, and how near those that are there come to it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.conf import settings
from rq import Retry
from rq.job import Job
from rq.utils import import_attribute, parse_timeout

from django_devtools.jobs.decorator import dotted_name

# RQ keeps whole seconds, and counts a delay from a moment before it makes the job.
SAME_TIME = timedelta(seconds=1.5)


class Criteria(TypedDict, total=False):
    """What may be asked for beside the task. What is left out may be anything."""

    args: "tuple[Any, ...] | Callable[..., object] | None"
    """The whole tuple, or a function that is called with them and says whether they are right."""
    kwargs: "Mapping[str, Any] | Callable[..., object] | None"
    queue: str | None
    at: datetime | timedelta | None
    """The time that a job is scheduled for, to the second, or how long after it was enqueued."""
    meta: Mapping[Any, Any] | None
    """Keys that ``meta`` has to have, with their values."""
    retry: Retry | int | None
    """How often at most, or the ``Retry`` with its intervals."""
    job_timeout: int | str | None
    depends_on: "Job | Collection[Job] | None"
    group_id: str | None


@dataclass(frozen=True)
class Seen:
    """A job, and what may be gone when it has run."""

    job: Job
    at: datetime | None
    retries: int | None
    place: int

    def __str__(self) -> str:
        at = f", at {self.at:%Y-%m-%d %H:%M:%S %Z}" if self.at else ""
        return f"{self.job.get_call_string()} in queue {self.job.origin!r}{at}"


@dataclass(frozen=True)
class Wanted:
    """A task, and ``Criteria``."""

    task: str
    args: Any = None
    kwargs: Any = None
    queue: str | None = None
    at: datetime | timedelta | None = None
    meta: Mapping[Any, Any] | None = None
    retry: Retry | int | None = None
    job_timeout: int | str | None = None
    depends_on: Any = None
    group_id: str | None = None

    def __str__(self) -> str:
        criteria = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name != "task" and value is not None
        ]
        return " with ".join(filter(None, [self.task, ", ".join(criteria)]))

    def differences(self, seen: Seen) -> list[str]:
        """The names of what is other than wanted."""
        return [
            field.name
            for field in fields(self)
            if getattr(self, field.name) is not None
            and not getattr(self, f"_is_{field.name}")(seen)
        ]

    def _is_task(self, seen: Seen) -> bool:
        return name_of(seen.job) == self.task

    def _is_args(self, seen: Seen) -> bool:
        if callable(self.args):
            return bool(self.args(*seen.job.args))
        return tuple(seen.job.args) == tuple(self.args)

    def _is_kwargs(self, seen: Seen) -> bool:
        if callable(self.kwargs):
            return bool(self.kwargs(**seen.job.kwargs))
        return bool(seen.job.kwargs == self.kwargs)

    def _is_queue(self, seen: Seen) -> bool:
        return seen.job.origin == self.queue

    def _is_at(self, seen: Seen) -> bool:
        if seen.at is None:
            return False
        if isinstance(self.at, timedelta):
            return abs(seen.at - seen.job.created_at - self.at) < SAME_TIME
        return self.at is not None and int(seen.at.timestamp()) == int(self.at.timestamp())

    def _is_meta(self, seen: Seen) -> bool:
        meta = self.meta or {}
        return all(key in seen.job.meta and seen.job.meta[key] == meta[key] for key in meta)

    def _is_retry(self, seen: Seen) -> bool:
        if isinstance(self.retry, Retry):
            wanted = (self.retry.max, self.retry.intervals)
            return (seen.retries, seen.job.retry_intervals) == wanted
        return (seen.retries or 0) == self.retry

    def _is_job_timeout(self, seen: Seen) -> bool:
        return bool(seen.job.timeout == parse_timeout(self.job_timeout))

    def _is_depends_on(self, seen: Seen) -> bool:
        wanted = [self.depends_on] if isinstance(self.depends_on, Job) else self.depends_on
        return {job.id for job in wanted} <= set(seen.job._dependency_ids)

    def _is_group_id(self, seen: Seen) -> bool:
        return seen.job.group_id == self.group_id


def wanted(task: Any, criteria: Mapping[str, Any]) -> Wanted:
    """What is asked for, if it can be: a misspelt name would never be found."""
    if (queue := criteria.get("queue")) is not None:
        queue_names(queue)
    args = criteria.get("args")
    if args is not None and not callable(args) and not isinstance(args, tuple | list):
        raise TypeError(f"args is a tuple, such as ({args!r},).")
    return Wanted(name(task), **criteria)


def choice(only: Any, exclude: Any) -> Callable[[Job], bool] | None:
    """Which jobs to run, None for all."""
    if only is None and not exclude:
        return None
    wanted = None if only is None else _names(only)
    unwanted = _names(exclude)

    def is_wanted(job: Job) -> bool:
        name = name_of(job)
        return (wanted is None or name in wanted) and name not in unwanted

    return is_wanted


def queue_names(queue: str | Collection[str]) -> Collection[str]:
    names = [queue] if isinstance(queue, str) else queue
    for name in names:
        if name not in settings.RQ_QUEUES:
            raise ValueError(f"RQ_QUEUES has no queue {name!r}.")
    return names


def name(task: Any) -> str:
    """The dotted name of a task, by which it may be given, too."""
    if isinstance(task, str):
        import_attribute(task)
        return task
    # Of ``task.delay``, the task.
    task = getattr(getattr(task, "__self__", None), "func", task)
    # That of a django.tasks.Task.
    path: str | None = getattr(task, "module_path", None)
    return path or dotted_name(task)


def name_of(job: Job) -> str | None:
    # Of methods, RQ keeps the object, and the name without that of the class.
    return dotted_name(job.func) if job.instance else job.func_name


def _names(tasks: Any) -> set[str]:
    """Those of one task or several."""
    several = tasks if isinstance(tasks, list | tuple | set | frozenset) else [tasks]
    return set(map(name, several))
