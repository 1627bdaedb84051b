"""What a test sees of its jobs."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any, NoReturn, Unpack, overload

from django.utils.asyncio import async_unsafe
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.utils import as_text, now

from django_devtools.jobs.commits import waiting
from django_devtools.jobs.criteria import Criteria, Seen, Wanted, choice, queue_names, wanted
from django_devtools.jobs.inline import after_each_enqueue
from django_devtools.jobs.running import Run, fetch, queues
from django_devtools.jobs.schedules import note_crons
from django_devtools.jobs.threads import in_thread
from django_devtools.jobs.webhooks import SentWebhook, sent

# Seconds between two looks for what another thread enqueues.
PAUSE = 0.01


class RqJobs(Sequence[Job]):
    """
    The jobs enqueued so far, in order, over all queues: queued, scheduled, finished or failed.

    A job that RQ did not keep is missing, unless it was seen here or run by ``run`` before.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
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
        count: int | None = None,
        timeout: float | None = None,
        **criteria: Unpack[Criteria],
    ) -> list[Job]:
        """
        Assert that ``task``, a function or its dotted name, was enqueued, and return the jobs.

        ``count`` is the exact number of jobs. ``timeout`` are the seconds to wait for them, where
        another thread enqueues them.
        """
        __tracebackhide__ = True
        asked = wanted(task, criteria)
        end = monotonic() + (timeout or 0)
        while not (is_right := self._is_right(found := self._find(asked), count)):
            if monotonic() >= end:
                break
            sleep(PAUSE)
        if not is_right:
            self._fail(asked, found, count)
        return found

    def assert_not_enqueued(self, task: Any, **criteria: Unpack[Criteria]) -> None:
        """Assert that no such job was enqueued; the arguments are those of ``assert_enqueued``."""
        __tracebackhide__ = True
        asked = wanted(task, criteria)
        if found := self._find(asked):
            self._fail(asked, found)

    @contextmanager
    def expect(
        self, task: Any, *, count: int | None = None, **criteria: Unpack[Criteria]
    ) -> Iterator[list[Job]]:
        """``assert_enqueued`` for what is enqueued within the block, whose jobs it gives then."""
        __tracebackhide__ = True
        asked = wanted(task, criteria)
        before = {seen.job.id for seen in self._look()}
        jobs: list[Job] = []
        yield jobs
        jobs += [job for job in self._find(asked) if job.id not in before]
        if not self._is_right(jobs, count):
            self._fail(asked, jobs, count, before)

    def assert_chain(self, *tasks: Any) -> list[Job]:
        """Assert that each of these tasks waits for the one before it, and return the jobs."""
        __tracebackhide__ = True
        chains: list[list[Job]] = [[]]
        for task in tasks:
            asked = wanted(task, {})
            chains = [
                [*chain, job]
                for chain in chains
                for job in self._find(replace(asked, depends_on=chain[-1:] or None))
            ]
            if not chains:
                raise AssertionError(f"No such chain: it ends before {asked}. {self._near(asked)}")
        return chains[0]

    @contextmanager
    def inline(self) -> Iterator[None]:
        """
        Run jobs within the block as soon as they are enqueued, or else when the code commits.

        What the first one raised that failed for good is raised when the block ends, as code that
        enqueues a job never sees it.
        """
        __tracebackhide__ = True
        failures: list[Exception] = []

        def run() -> None:
            try:
                self.run()
            except Exception as error:  # noqa: BLE001 - a job may raise anything
                failures.append(error)
                run()

        with after_each_enqueue(run):
            yield
            run()
        if failures:
            raise failures[0]

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
        deliveries: int = 1,
        shuffle: int | None = None,
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
        ``deliveries`` are how often each job is run that succeeds; AssertionError names those that
        leave other rows or more mails when they are run again. ``shuffle`` is the seed of a random
        order. Returns the jobs that ran; the text of that tells their times.

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
        names = None if queue is None else queue_names(queue)
        try:
            return Run(
                until,
                raise_exceptions,
                self._look_for_ids,
                self._note,
                clock=clock,
                names=names,
                limit=limit,
                is_wanted=choice(only, exclude),
                deliveries=deliveries,
                shuffle=shuffle,
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

    def _look(self) -> list[Seen]:
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
            self._seen[job_id] = Seen(
                job, _scheduled_time(job, queue), job.retries_left, len(self._seen)
            )

    def _look_for_ids(self) -> list[str]:
        self._look()
        return list(self._seen)

    def _refresh(self) -> None:
        for seen in self._look():
            # One that was not to be kept stays what it was.
            with suppress(NoSuchJobError):
                seen.job.refresh()

    def _find(self, asked: Wanted) -> list[Job]:
        return [seen.job for seen in self._look() if not asked.differences(seen)]

    def _is_right(self, found: list[Job], count: int | None) -> bool:
        return bool(found) if count is None else len(found) == count

    def _fail(
        self,
        asked: Wanted,
        found: list[Job],
        count: int | None = None,
        before: Collection[str] = (),
    ) -> NoReturn:
        __tracebackhide__ = True
        expected = "" if count is None else f", not {count}"
        raise AssertionError(f"{_jobs(found)} of {asked}{expected}. {self._near(asked, before)}")

    def _near(self, asked: Wanted, before: Collection[str] = ()) -> str:
        """Say what is there, nearest first, but for what was there ``before``."""
        near = sorted(
            (
                (asked.differences(seen), seen)
                for seen in self._look()
                if seen.job.id not in before
            ),
            key=lambda entry: ("task" in entry[0], len(entry[0])),
        )
        lines = [
            f"  {seen}" + (f"  (other {', '.join(differences)})" if differences else "")
            for differences, seen in near
        ]
        first = "Enqueued were, nearest first:" if near else "No job was enqueued at all."
        return "\n".join([first, *lines, *_waiting()])


@async_unsafe("run() is for synchronous tests: await rq_jobs.arun() in this one.")
def _refuse_in_async_code() -> None:
    pass


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
