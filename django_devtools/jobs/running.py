"""Jobs that run here: in this process, and without waiting."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random
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
from rq.utils import now

from django_devtools.jobs import redis
from django_devtools.jobs.configuration import Address, address_of
from django_devtools.jobs.effects import changed, effects
from django_devtools.jobs.job_classes import class_for
from django_devtools.jobs.schedules import Due, crons_as_before, of_crons, of_queues
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


class Timeline(list[Job]):
    """The jobs that ran, in that order. As text, with the times."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[datetime] = []

    def note(self, job: Job, time: datetime) -> None:
        self.append(job)
        self.times.append(time)

    def __repr__(self) -> str:
        lines = [
            f"{time:%Y-%m-%d %H:%M:%S %Z}  {job.get_call_string()} in queue {job.origin!r}"
            for job, time in zip(self, self.times, strict=True)
        ]
        return "\n  ".join(["Jobs that ran:", *lines]) if self else "Jobs that ran: none"


class Run:
    """
    Runs jobs until there are no more.

    ``until`` is the time up to which scheduled jobs are run; without it, those which are due,
    and retries at once, whatever their intervals. ``note`` is called before a job or its time
    disappears, and ``look`` returns the ids of all in the order that they were enqueued.
    ``is_wanted`` tells which jobs to run, and None stands for all.
    """

    def __init__(
        self,
        until: datetime | None,
        raise_exceptions: bool,
        look: Callable[[], list[str]],
        note: Callable[[str, Queue], None],
        *,
        clock: bool = False,
        names: Collection[str] | None = None,
        limit: int | None = None,
        is_wanted: Callable[[Job], bool] | None = None,
        deliveries: int = 1,
        shuffle: int | None = None,
    ) -> None:
        self.until = until
        self.raise_exceptions = raise_exceptions
        self.look = look
        self.note = note
        self.jobs = Timeline()
        self._limit = limit
        self._is_wanted = is_wanted
        self._queues = [queue for queue in queues() if names is None or queue.name in names]
        self._servers = {_address(queue): queue for queue in self._queues}
        self._retries: set[str] = set()
        self._time = _MovedTime() if clock else _ImaginedTime()
        self._at_once = 0
        self._deliveries = deliveries
        self._seed = shuffle
        self._shuffle = None if shuffle is None else Random(shuffle)  # noqa: S311 - for tests
        self._differences: list[str] = []
        self._workers: dict[str, Any] = {}

    def __call__(self) -> list[Job]:
        """Run the jobs, and return them in that order; one that was retried is there again."""
        __tracebackhide__ = True
        most = MOST_JOBS + sum(
            queue.count + queue.scheduled_job_registry.count for queue in self._queues
        )
        with self._time.passing():
            while len(self.jobs) != self._limit and (found := self._next()):
                if self._at_once == most:
                    raise RuntimeError(self._endless())
                self._run(*found)
                self._deliver_again(*found)
        if self._differences:
            seed = "" if self._shuffle is None else f" with shuffle={self._seed},"
            first = f"Delivered again,{seed} jobs differ:"
            raise AssertionError("\n  ".join([first, *self._differences]))
        return self.jobs

    def _next(self) -> tuple[Job, Queue] | None:
        queues = self._at_work()
        while not (queued := self._next_queued(queues)):
            if not (due := self._next_due(queues)):
                return None
            self._time.pass_to(due.when)
            self._at_once = 0
            due.begin()
            if due.queue and (job := fetch(due.job_id, due.queue)):
                return job, due.queue
        return queued

    def _next_queued(self, queues: list[Queue]) -> tuple[Job, Queue] | None:
        """Take the job that was enqueued first out of the queues."""
        heads = []
        for queue in queues:
            position = 0
            while ids := queue.get_job_ids(position, 1):
                job = fetch(ids[0], queue)
                if job is None:
                    queue.remove(ids[0])
                else:
                    position += 1
                    if not self._has(job):
                        continue
                    heads.append((job.enqueued_at or job.created_at, job.id, (job, queue)))
                    # Where it may be any of them, all are looked at.
                    if self._shuffle is None:
                        break
        if not heads:
            return None
        job, queue = self._shuffle.choice(heads)[2] if self._shuffle else self._first(heads)
        queue.remove(job.id)
        return job, queue

    def _next_due(self, queues: list[Queue]) -> Due | None:
        """What is due first."""
        found = [self._time.of(due) for due in of_queues(queues)]
        found += of_crons()
        due = [(due.when, due.job_id, due) for due in found if self._is_due(due)]
        if not due:
            return None
        first = self._first(due)
        if first.queue:
            self.note(first.job_id, first.queue)
        return first

    def _at_work(self) -> list[Queue]:
        """The queues whose workers ``manage.py rqsuspend`` has not suspended."""
        suspended = {
            address: is_suspended(queue.connection) for address, queue in self._servers.items()
        }
        return [queue for queue in self._queues if not suspended[_address(queue)]]

    def _is_due(self, due: Due) -> bool:
        is_retry = self.until is None and due.job_id in self._retries
        if not is_retry and due.when > (self.until or now()):
            return False
        if due.queue is None or self._is_wanted is None:
            return True
        job = fetch(due.job_id, due.queue)
        return job is None or self._has(job)

    def _has(self, job: Job) -> bool:
        return self._is_wanted is None or self._is_wanted(job)

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
        self.jobs.note(job, self._time.now())
        self._at_once += 1
        self._retries.discard(job.id)
        if 0 in (job.result_ttl, job.failure_ttl):
            self.note(job.id, queue)
        worker.failure, worker.wants_retry = None, False
        with _closing_loops(job):
            worker.execute_job(job, queue)
        if worker.failure or worker.wants_retry:
            self._after_failure(job, worker.failure)

    def _deliver_again(self, job: Job, queue: Queue) -> None:
        """As where a worker was killed before it could say that a job is done."""
        for _ in range(1, self._deliveries):
            worker = self._workers[queue.name]
            if worker.failure or worker.wants_retry:
                return
            before = effects()
            self._run(job, queue)
            if names := changed(before, effects()):
                self._differences.append(f"{job.get_call_string()}: {', '.join(names)}")
                return

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


class _ImaginedTime:
    """The clock stands still: what a job schedules counts from when that was due."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)
        self._shifts: dict[str, timedelta] = {}

    def passing(self) -> AbstractContextManager[None]:
        return crons_as_before()

    def of(self, due: Due) -> Due:
        shift = self._shifts.setdefault(due.job_id, self._ahead)
        return due._replace(when=due.when + shift, begin=partial(self._begin, due))

    def _begin(self, due: Due) -> None:
        del self._shifts[due.job_id]
        due.begin()

    def pass_to(self, when: datetime) -> None:
        self._ahead = max(when - now(), timedelta(0))

    def now(self) -> datetime:
        return now() + self._ahead


class _MovedTime:
    """The clock of the process moves, by time-machine."""

    @contextmanager
    def passing(self) -> Iterator[None]:
        try:
            import time_machine
        except ImportError as error:
            raise ImportError("clock=True needs time-machine: pip install time-machine") from error
        with crons_as_before(), time_machine.travel(now()) as self._traveller:
            yield

    def of(self, due: Due) -> Due:
        return due

    def pass_to(self, when: datetime) -> None:
        self._traveller.move_to(max(when, now()))

    def now(self) -> datetime:
        return now()


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


def _address(queue: Queue) -> Address:
    return address_of(queue.connection.connection_pool)


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
