"""Jobs that run here: in this process, and without waiting."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, TypeVar
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.conf import settings
from django_rq import get_queue
from django_rq.workers import get_exception_handlers, get_worker_class
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.suspension import is_suspended
from rq.timeouts import TimerDeathPenalty
from rq.utils import as_text, now

from django_devtools.jobs import redis
from django_devtools.jobs.job_classes import class_for
from django_devtools.jobs.workers import InProcess

# More than any test waits for; a job that enqueues itself gets there within seconds.
MOST_JOBS = 1_000

# That a job was run is no news to a test.
logger = logging.getLogger("rq.worker.in_process")
logger.setLevel(logging.WARNING)

# Modules between a worker and the function of a job.
FRAMES = ("rq.", "asgiref.", "asyncio.", "concurrent.", "django_devtools.jobs.")

T = TypeVar("T")


def queues() -> Iterator[Queue]:
    """All queues of RQ_QUEUES."""
    for name in settings.RQ_QUEUES:
        yield get_queue(name, connection=redis.connection(name))


class Run:
    """
    Runs jobs until there are no more.

    ``until`` is the time up to which scheduled jobs are run; without it, those which are due,
    and retries at once, whatever their intervals. ``look`` is called before jobs or their times
    disappear, and returns the ids of all in the order that they were enqueued.
    """

    def __init__(
        self, until: datetime | None, raise_exceptions: bool, look: Callable[[], list[str]]
    ) -> None:
        self.until = until
        self.raise_exceptions = raise_exceptions
        self.look = look
        self.jobs: list[Job] = []
        self._queues = list(queues())
        self._retries: set[str] = set()
        self._ahead = timedelta(0)
        self._shifts: dict[str, timedelta] = {}
        self._workers: dict[str, Any] = {}

    def __call__(self) -> list[Job]:
        """Run the jobs, and return them in that order; one that was retried is there again."""
        __tracebackhide__ = True
        limit = MOST_JOBS + sum(
            queue.count + queue.scheduled_job_registry.count for queue in self._queues
        )
        while found := self._next_queued() or self._next_scheduled():
            if len(self.jobs) == limit:
                raise RuntimeError(self._endless())
            self._run(*found)
        return self.jobs

    def _next_queued(self) -> tuple[Job, Queue] | None:
        """Take the job that was enqueued first out of the queues."""
        heads = []
        for queue in self._at_work():
            while ids := queue.get_job_ids(0, 1):
                if job := fetch(ids[0], queue):
                    heads.append((job.enqueued_at or job.created_at, job.id, (job, queue)))
                    break
                queue.remove(ids[0])
        if not heads:
            return None
        job, queue = self._first(heads)
        queue.remove(job.id)
        return job, queue

    def _next_scheduled(self) -> tuple[Job, Queue] | None:
        """Take the job that is due first out of the schedules."""
        due = []
        for queue in self._at_work():
            key = queue.scheduled_job_registry.key
            members: Any = queue.connection.zrange(key, 0, -1, withscores=True)
            for member, timestamp in members:
                job_id = as_text(member)
                # The clock stands still: what a job schedules counts from when that was due.
                shift = self._shifts.setdefault(job_id, self._ahead)
                when = datetime.fromtimestamp(timestamp, UTC) + shift
                if self._is_due(job_id, when):
                    due.append((when, job_id, (when, job_id, queue)))
        if not due:
            return None
        self.look()
        when, job_id, queue = self._first(due)
        if self.until:
            self._ahead = max(when - now(), timedelta(0))
        del self._shifts[job_id]
        queue.scheduled_job_registry.remove(job_id)
        job = fetch(job_id, queue)
        return (job, queue) if job else self._next_scheduled()

    def _at_work(self) -> list[Queue]:
        """The queues whose workers ``manage.py rqsuspend`` has not suspended."""
        return [queue for queue in self._queues if not is_suspended(queue.connection)]

    def _is_due(self, job_id: str, when: datetime) -> bool:
        if self.until is None and job_id in self._retries:
            return True
        return when <= (self.until or now())

    def _first(self, found: list[tuple[datetime, str, T]]) -> T:
        """What is earliest; at the same time, what was enqueued first."""
        earliest = min(when for when, _, _ in found)
        ties = {job_id: entry for when, job_id, entry in found if when == earliest}
        order = self.look() if len(ties) > 1 else []
        return ties[next((job_id for job_id in order if job_id in ties), next(iter(ties)))]

    def _run(self, job: Job, queue: Queue) -> None:
        __tracebackhide__ = True
        worker = self._workers.get(queue.name)
        if worker is None:
            worker = self._workers[queue.name] = _worker(queue)
        self.jobs.append(job)
        self._retries.discard(job.id)
        if 0 in (job.result_ttl, job.failure_ttl):
            self.look()
        worker.failure, worker.wants_retry = None, False
        with _closing_loops(job):
            worker.execute_job(job, queue)
        if worker.failure or worker.wants_retry:
            self._after_failure(job, worker.failure)

    def _after_failure(self, job: Job, failure: BaseException | None) -> None:
        __tracebackhide__ = True
        try:
            status = job.get_status()
        except InvalidJobOperation:
            status = None  # It has a failure_ttl of 0.
        interrupted = isinstance(failure, KeyboardInterrupt)
        if status in (JobStatus.QUEUED, JobStatus.SCHEDULED) and not interrupted:
            self._retries.add(job.id)
        elif self.raise_exceptions or interrupted:
            if failure is None:
                raise RuntimeError(f"{job.get_call_string()} gave up, having returned Retry.")
            raise failure.with_traceback(_without_rq(failure.__traceback__))

    def _endless(self) -> str:
        name, count = Counter(job.func_name for job in self.jobs).most_common(1)[0]
        return (
            f"Stopped after {len(self.jobs)} jobs, {count} of them {name}: it seems that "
            "they enqueue one another without end."
        )


class Watched(InProcess):
    """What makes any class of workers run jobs here, and keep what they raise."""

    failure: BaseException | None = None
    wants_retry = False
    # Signals would only reach the main thread, and take the alarm of a test's own timeout away.
    death_penalty_class = TimerDeathPenalty

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        self.failure = exc_info[1]
        super().handle_exception(job, *exc_info)

    def handle_job_retry(self, *args: Any, **kwargs: Any) -> None:
        self.wants_retry = True
        super().handle_job_retry(*args, **kwargs)

    def procline(self, message: str) -> None:
        """Leave the title of the process alone."""

    def _tell_nobody(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: this worker isn't registered, so nothing reads its state."""

    heartbeat = set_state = _tell_nobody
    set_current_job_id = set_current_job_working_time = _tell_nobody
    increment_successful_job_count = increment_failed_job_count = _tell_nobody
    increment_total_working_time = _tell_nobody


def fetch(job_id: str, queue: Queue) -> Job | None:
    """
    A job, if it is there still, of the class that runs it.

    Whoever gave its id to a job in another queue has overwritten it. Workers of both run what is
    there now, once for each queue.
    """
    with suppress(NoSuchJobError):
        job = _fetched(job_id, queue, queue.job_class)
        job_class = class_for(job)
        return job if type(job) is job_class else _fetched(job_id, queue, job_class)
    return None


def _fetched(job_id: str, queue: Queue, job_class: type[Job]) -> Job:
    return job_class.fetch(job_id, connection=queue.connection, serializer=queue.serializer)


def _worker(queue: Queue) -> Any:
    worker = type("WatchedWorker", (Watched, get_worker_class()), {})(
        [queue],
        connection=queue.connection,
        exception_handlers=get_exception_handlers() or None,
        job_class=queue.job_class,
        queue_class=type(queue),
        serializer=queue.serializer,
        prepare_for_work=False,
    )
    worker.log = logger
    return worker


@contextmanager
def _closing_loops(job: Job) -> Iterator[None]:
    """Close the event loops of asynchronous jobs, which RQ before 3.0 leaves open."""
    if type(job)._execute is not Job._execute:
        yield  # What another class does is its own.
        return
    with patch.object(job, "_execute", partial(_execute, job)):
        yield


def _execute(job: Job) -> Any:
    result = job.func(*job.args, **job.kwargs)
    if not asyncio.iscoroutine(result):
        return result

    async def finish() -> Any:
        return await result

    # So that what it asks of a database is asked by the thread of the test, in its transaction.
    return async_to_sync(finish)()


def _without_rq(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the job's own function on, where it got that far."""
    inner = traceback
    while inner and inner.tb_frame.f_globals.get("__name__", "").startswith(FRAMES):
        inner = inner.tb_next
    return inner or traceback
