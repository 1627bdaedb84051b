"""What is due by itself: jobs that are scheduled, and what the schedulers of RQ would enqueue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, NamedTuple
from weakref import WeakSet

from rq import Queue
from rq.utils import as_text, now

crons: "WeakSet[Any]" = WeakSet()
"""The ``CronScheduler`` that something was registered with since the test began."""


class Due(NamedTuple):
    """Something that happens at a time, and how it is made to happen."""

    when: datetime
    job_id: str
    """Of what happens, where that is a job already; else a name."""
    queue: Queue | None
    begin: Callable[[], None]
    """Takes it out of its schedule, or enqueues its next job."""


def of_queues(queues: list[Queue]) -> Iterator[Due]:
    """The jobs of ``enqueue_in`` and ``enqueue_at``, retries and repeats."""
    for queue in queues:
        registry = queue.scheduled_job_registry
        members: Any = queue.connection.zrange(registry.key, 0, -1, withscores=True)
        for member, timestamp in members:
            job_id = as_text(member)
            yield Due(
                datetime.fromtimestamp(timestamp, UTC),
                job_id,
                queue,
                partial(registry.remove, job_id),
            )


def of_crons() -> Iterator[Due]:
    """What ``manage.py rqcron`` would enqueue next."""
    for scheduler in list(crons):
        for position, cron_job in enumerate(scheduler.get_jobs()):
            # One with an interval that never ran is due at once.
            when = _next_of(cron_job) or now()
            name = f"{scheduler.name} {position}"
            yield Due(when, name, None, partial(_enqueue, cron_job, scheduler.connection, when))


@contextmanager
def crons_as_before() -> Iterator[None]:
    """Have cron jobs due again when they were, where time has only been imagined."""
    before = [(vars(job), dict(vars(job))) for cron in crons for job in cron.get_jobs()]
    try:
        yield
    finally:
        for state, old in before:
            state.update(old)


def note_crons() -> None:
    """Note each ``CronScheduler`` that something is registered with, for good."""
    from rq import cron

    scheduler_class: Any = cron.CronScheduler
    original = scheduler_class.register
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def register(scheduler: Any, *args: Any, **kwargs: Any) -> Any:
        crons.add(scheduler)
        return original(scheduler, *args, **kwargs)

    scheduler_class.register = register


def _next_of(cron_job: Any) -> datetime | None:
    # RQ before 2.8 has other names.
    found: datetime | None = getattr(cron_job, "next_enqueue_time", None) or getattr(
        cron_job, "next_run_time", None
    )
    return found


def _enqueue(cron_job: Any, connection: Any, when: datetime) -> None:
    cron_job.enqueue(connection)
    note = getattr(cron_job, "set_enqueue_time", None) or cron_job.set_run_time
    note(when)
