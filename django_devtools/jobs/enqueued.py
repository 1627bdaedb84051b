"""What a test sees of its jobs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, overload

from django.conf import settings
from django.utils.asyncio import async_unsafe
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import as_text, import_attribute, now

from django_devtools.jobs.commits import waiting
from django_devtools.jobs.decorator import dotted_name
from django_devtools.jobs.running import Run, fetch, queues
from django_devtools.jobs.schedules import note_crons
from django_devtools.jobs.threads import in_thread
from django_devtools.jobs.webhooks import SentWebhook, sent

# RQ keeps whole seconds, and counts a delay from a moment before it makes the job.
SAME_TIME = timedelta(seconds=1.5)


class RqJobs(Sequence[Job]):
    """
    The jobs enqueued so far, in order, over all queues: queued, scheduled, finished or failed.

    A job that RQ did not keep is missing, unless it was seen here or run by ``run`` before.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        note_crons()

    def __len__(self) -> int:
        return len(self._look())

    @overload
    def __getitem__(self, index: int) -> Job: ...

    @overload
    def __getitem__(self, index: slice) -> list[Job]: ...

    def __getitem__(self, index: int | slice) -> Job | list[Job]:
        return [seen.job for seen in self._look()][index]

    def __eq__(self, other: object) -> bool:
        return self[:] == (other[:] if isinstance(other, RqJobs) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "\n  ".join(["Jobs:", *map(str, self._look())]) if self else "Jobs: none"

    @property
    def webhooks(self) -> list[SentWebhook]:
        """What workers would have sent, of the jobs that have run. In tests, nothing is."""
        return list(sent)

    def assert_enqueued(
        self,
        task: Any,
        *,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        at: datetime | timedelta | None = None,
        count: int | None = None,
    ) -> list[Job]:
        """
        Assert that ``task``, a function or its dotted name, was enqueued, and return the jobs.

        What is left out may be anything. ``at`` is the time that a job is scheduled for, to the
        second, or how long after it was enqueued. ``count`` is the exact number of jobs.
        """
        __tracebackhide__ = True
        wanted = _wanted(task, args, kwargs, queue, at)
        found = self._find(wanted)
        if (len(found) != count) if count is not None else not found:
            expected = "" if count is None else f", not {count}"
            raise AssertionError(f"{_jobs(found)} of {wanted}{expected}. {self._near(wanted)}")
        return found

    def assert_not_enqueued(
        self,
        task: Any,
        *,
        args: tuple[Any, ...] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        queue: str | None = None,
        at: datetime | timedelta | None = None,
    ) -> None:
        """Assert that no such job was enqueued; the arguments are those of ``assert_enqueued``."""
        __tracebackhide__ = True
        wanted = _wanted(task, args, kwargs, queue, at)
        if found := self._find(wanted):
            raise AssertionError(f"{_jobs(found)} of {wanted}. {self._near(wanted)}")

    def run(
        self,
        until: datetime | timedelta | None = None,
        raise_exceptions: bool = True,
        *,
        clock: bool = False,
        only: Any = None,
        exclude: Any = (),
        queue: str | Collection[str] | None = None,
        limit: int | None = None,
    ) -> list[Job]:
        """
        Run jobs, here and in the order that they were enqueued, until the queues are empty.

        That includes jobs which these enqueue, those that depend on them, and retries, for
        whose intervals it does not wait. Scheduled jobs are run when they are due ``until`` a
        time, or a time from now; by default only those that are due already. So are those of each
        ``CronScheduler`` that the test has registered jobs with. With ``clock``, the clock of the
        process moves to each of these times, by time-machine.

        ``only`` and ``exclude`` are tasks, or several of them, and ``queue`` a name or several.
        What is left out stays in the queues, and so does what is behind the first ``limit`` jobs.
        Returns the jobs that ran; the text of that tells their times.

        Raises what the first job raised that failed for good, unless ``raise_exceptions`` is
        off, and RuntimeError when jobs enqueue one another without end.
        """
        __tracebackhide__ = True
        _refuse_in_async_code()
        self._look()
        if isinstance(until, timedelta):
            until = now() + until
        elif until:
            until = until.astimezone()
        names = None if queue is None else _queue_names(queue)
        choice = _choice(only, exclude)
        try:
            return Run(
                until,
                raise_exceptions,
                self._look_for_ids,
                self._note,
                clock=clock,
                names=names,
                limit=limit,
                is_wanted=choice,
            )()
        finally:
            self._refresh()

    async def arun(
        self,
        until: datetime | timedelta | None = None,
        raise_exceptions: bool = True,
        **options: Any,
    ) -> list[Job]:
        """``run`` for asynchronous tests."""
        return await in_thread(self.run, until, raise_exceptions, **options)

    def _look(self) -> list["_Seen"]:
        """All jobs, in the order that they were enqueued."""
        places: dict[str, int] = {}
        for queue in queues():
            for job_id in _ids(queue):
                self._note(job_id, queue)
                places.setdefault(job_id, len(places))
        # Where the clock was stopped, the place tells.
        order = sorted(
            self._seen.items(),
            key=lambda item: (item[1].job.created_at, places.get(item[0], item[1].place)),
        )
        self._seen = dict(order)
        return list(self._seen.values())

    def _note(self, job_id: str, queue: Queue) -> None:
        """Keep a job in mind that may disappear."""
        if job_id in self._seen or not (job := fetch(job_id, queue)):
            return
        # Others belong to another queue of the same Redis.
        if job.origin == queue.name:
            self._seen[job_id] = _Seen(job, _scheduled_time(job, queue), len(self._seen))

    def _look_for_ids(self) -> list[str]:
        self._look()
        return list(self._seen)

    def _refresh(self) -> None:
        for seen in self._look():
            # One that was not to be kept stays what it was.
            with suppress(NoSuchJobError):
                seen.job.refresh()

    def _find(self, wanted: "_Wanted") -> list[Job]:
        return [seen.job for seen in self._look() if not wanted.differences(seen)]

    def _near(self, wanted: "_Wanted") -> str:
        """Say what is there, nearest first."""
        near = sorted(
            ((wanted.differences(seen), seen) for seen in self._look()),
            key=lambda entry: ("task" in entry[0], len(entry[0])),
        )
        lines = [
            f"  {seen}" + (f"  (other {', '.join(differences)})" if differences else "")
            for differences, seen in near
        ]
        first = "Enqueued were, nearest first:" if near else "No job was enqueued at all."
        return "\n".join([first, *lines, *_waiting()])


@dataclass(frozen=True)
class _Seen:
    job: Job
    at: datetime | None
    place: int

    def __str__(self) -> str:
        at = f", at {self.at:%Y-%m-%d %H:%M:%S %Z}" if self.at else ""
        return f"{self.job.get_call_string()} in queue {self.job.origin!r}{at}"


@dataclass(frozen=True)
class _Wanted:
    task: str
    args: tuple[Any, ...] | None
    kwargs: Mapping[str, Any] | None
    queue: str | None
    at: datetime | timedelta | None

    def __str__(self) -> str:
        criteria = [
            f"{name}={value!r}"
            for name, value in vars(self).items()
            if name != "task" and value is not None
        ]
        return " with ".join(filter(None, [self.task, ", ".join(criteria)]))

    def differences(self, seen: _Seen) -> list[str]:
        """The names of what is other than wanted."""
        job = seen.job
        differs = {
            "task": _name_of(job) != self.task,
            "args": self.args is not None and tuple(job.args) != tuple(self.args),
            "kwargs": self.kwargs is not None and job.kwargs != self.kwargs,
            "queue": self.queue is not None and job.origin != self.queue,
            "at": self.at is not None and not self._is_at(seen),
        }
        return [name for name, does in differs.items() if does]

    def _is_at(self, seen: _Seen) -> bool:
        if seen.at is None:
            return False
        if isinstance(self.at, timedelta):
            return abs(seen.at - seen.job.created_at - self.at) < SAME_TIME
        return self.at is not None and int(seen.at.timestamp()) == int(self.at.timestamp())


@async_unsafe("run() is for synchronous tests: await rq_jobs.arun() in this one.")
def _refuse_in_async_code() -> None:
    pass


def _wanted(
    task: Any,
    args: tuple[Any, ...] | None,
    kwargs: Mapping[str, Any] | None,
    queue: str | None,
    at: datetime | timedelta | None,
) -> _Wanted:
    """What is asked for, if it can be: a misspelt name would never be found."""
    if queue is not None:
        _queue_names(queue)
    if args is not None and not isinstance(args, tuple | list):
        raise TypeError(f"args is a tuple, such as ({args!r},).")
    return _Wanted(_name(task), args, kwargs, queue, at)


def _queue_names(queue: str | Collection[str]) -> Collection[str]:
    names = [queue] if isinstance(queue, str) else queue
    for name in names:
        if name not in settings.RQ_QUEUES:
            raise ValueError(f"RQ_QUEUES has no queue {name!r}.")
    return names


def _choice(only: Any, exclude: Any) -> Callable[[Job], bool] | None:
    """Which jobs to run, None for all."""
    if only is None and not exclude:
        return None
    wanted = None if only is None else _names(only)
    unwanted = _names(exclude)

    def is_wanted(job: Job) -> bool:
        name = _name_of(job)
        return (wanted is None or name in wanted) and name not in unwanted

    return is_wanted


def _names(tasks: Any) -> set[str]:
    """Those of one task or several."""
    several = tasks if isinstance(tasks, list | tuple | set | frozenset) else [tasks]
    return set(map(_name, several))


def _waiting() -> Iterator[str]:
    jobs, callbacks = waiting()
    if jobs:
        yield f"Waiting for the end of an atomic() block: {_count(jobs, 'job')}."
    if callbacks:
        yield (
            f"Not called, as tests don't commit: {_count(callbacks, 'callback')} of "
            "transaction.on_commit. See django_capture_on_commit_callbacks(execute=True)."
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _name(task: Any) -> str:
    if isinstance(task, str):
        import_attribute(task)
        return task
    # Of ``task.delay``, the task.
    task = getattr(getattr(task, "__self__", None), "func", task)
    # That of a django.tasks.Task.
    path: str | None = getattr(task, "module_path", None)
    return path or dotted_name(task)


def _name_of(job: Job) -> str | None:
    # Of methods, RQ keeps the object, and the name without that of the class.
    return dotted_name(job.func) if job.instance else job.func_name


def _jobs(found: list[Job]) -> str:
    return _count(len(found), "job") if found else "No job"


def _ids(queue: Queue) -> Iterator[str]:
    """The ids of all jobs in the Redis of a queue; those of a fake, in the order they came."""
    prefix = queue.job_class.redis_job_namespace_prefix
    for key in queue.connection.keys(f"{prefix}*"):
        job_id = as_text(key).removeprefix(prefix)
        # Other keys tell of a job's results, and of those it depends on.
        if ":" not in job_id:
            yield job_id


def _scheduled_time(job: Job, queue: Queue) -> datetime | None:
    with suppress(NoSuchJobError):
        when: datetime = queue.scheduled_job_registry.get_scheduled_time(job)
        return when
    return None
