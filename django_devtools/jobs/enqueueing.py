"""Jobs on their way into a queue, by django-rq and at the time that it says."""

from collections.abc import Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from django.db import connection as database
from django.db import transaction
from django_rq import get_queue, thread_queue
from django_rq.queues import DjangoRQ, get_result_ttl
from rq import Queue
from rq.group import Group
from rq.job import Job, JobStatus
from rq.utils import now

from django_devtools.extras import require_supported_jobs
from django_devtools.jobs import redis

require_supported_jobs()

QUEUE_OPTIONS = ("connection", "queue_class")

# What is said when a job is enqueued, and not when it is made.
ENQUEUE_OPTIONS = ("at_front", "unique")

# With these, RQ needs more than the one round trip.
NOT_AT_ONCE = ("depends_on", "group_id", "rate_limit", "unique")


def enqueue(
    func: Callable[..., Any],
    name: str,
    options: dict[str, Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    when: datetime | timedelta | None = None,
) -> Job:
    """
    Enqueue a call of ``func``, or schedule it for ``when``, and return its job.

    ``options`` are those of ``async_job``, and ``job_id``.
    """
    queue = get_queue(
        name,
        connection=options.get("connection") or redis.connection(name),
        queue_class=options.get("queue_class"),
    )
    call = _call_options(options)
    if call.get("unique") and not call.get("job_id"):
        # RQ says so, too, but not where the job has to wait and is given an id for that.
        raise ValueError("unique=True requires an explicit job_id")
    waits = _waits(queue)
    if when is None and not waits and _is_plain(queue, call):
        return _enqueue_at_once(queue, func, args, kwargs, call)
    call.setdefault("result_ttl", get_result_ttl(name))
    if waits:
        args, kwargs = queue.serializer.loads(queue.serializer.dumps((args, kwargs)))
    call |= {"args": args, "kwargs": kwargs}
    if when is not None or call.get("group_id"):
        return _put(queue, func, call, when)
    if waits:
        return _enqueue_later(queue, func, call)
    return queue.enqueue_call(func, **call)


def _call_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options of one call, without those of its queue."""
    call = {key: value for key, value in options.items() if key not in QUEUE_OPTIONS}
    if call.get("meta"):
        call["meta"] = dict(call["meta"])
    return call


def _enqueue_at_once(
    queue: Queue,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: dict[str, Any],
) -> Job:
    """What nearly every call comes to, with one round trip where RQ alone makes two."""
    with queue.connection.pipeline() as pipeline:
        job: Job = queue.enqueue_call(func, args, kwargs, pipeline=pipeline, **call)
        pipeline.execute()
    return job


def _enqueue_later(queue: Queue, func: Callable[..., Any], call: dict[str, Any]) -> Job:
    """Let django-rq enqueue the call when its commit mode says, and return the job now."""
    call["job_id"] = call.get("job_id") or str(uuid4())
    # Before it waits, so that RQ raises now what it would raise after the commit.
    job = _create(queue, func, call)
    queue.enqueue_call(func, **call)
    return job


def _is_plain(queue: Queue, call: dict[str, Any]) -> bool:
    return type(queue) is DjangoRQ and queue.is_async and not any(map(call.get, NOT_AT_ONCE))


def _put(
    queue: Queue,
    func: Callable[..., Any],
    call: dict[str, Any],
    when: datetime | timedelta | None,
) -> Job:
    """What django-rq does to ``enqueue_call`` only: wait as the commit mode says."""
    if isinstance(when, timedelta):
        when = now() + when
    status = JobStatus.QUEUED if when is None else JobStatus.SCHEDULED
    job = _create(queue, func, call, status=status)
    job.enqueue_at_front = call.get("at_front")
    # RQ before 2.8 does not know it.
    unique: dict[str, Any] = {"unique": True} if call.get("unique") else {}

    def put() -> None:
        # As that of other jobs, which RQ makes when they are enqueued.
        job.created_at = now()
        if when is None:
            queue.enqueue_job(job, at_front=bool(job.enqueue_at_front), **unique)
        else:
            queue.schedule_job(job, when, **unique)
        if job.group_id:
            group = Group.create(queue.connection, job.group_id)
            group._add_jobs([job], queue.connection.pipeline())

    if not _waits(queue) or _waits_by_itself(queue):
        put()
    elif _commit_mode(queue) == "on_db_commit":
        transaction.on_commit(put)
    else:
        thread_queue.add(SimpleNamespace(original_enqueue_call=put), (), {})  # type: ignore[arg-type]
    return job


def _create(queue: Queue, func: Callable[..., Any], call: dict[str, Any], **more: Any) -> Job:
    options = {key: value for key, value in call.items() if key not in ENQUEUE_OPTIONS}
    return queue.create_job(func, **options, **more)


def _waits(queue: Queue) -> bool:
    """Whether a job would have to wait for the end of a transaction or a request."""
    mode = _commit_mode(queue)
    return mode == "request_finished" or (mode == "on_db_commit" and database.in_atomic_block)


def _waits_by_itself(queue: Queue) -> bool:
    """Whether django-rq defers more than ``enqueue_call``, as its pull request 824 does."""
    return "schedule_job" in vars(DjangoRQ) and isinstance(queue, DjangoRQ)


def _commit_mode(queue: Queue) -> str:
    """That of the settings, or a queue's own; other queues than django-rq's have none."""
    mode: str = getattr(queue, "_commit_mode", "auto")
    return mode
