"""
Calls for type checkers: each ``type: ignore`` stands where they have to complain.

Both mypy and pyright are told to complain, too, where one is not needed.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_type

from rq import RateLimit, Repeat, Retry
from rq.job import Job

from django_devtools.jobs import Task, async_job
from tests.jobs.tasks import Invoice, fetch, print_image, process_image, send_mail

WHEN = datetime(2040, 1, 2)
SOON = timedelta(minutes=5)


async def good_calls() -> None:
    assert_type(process_image(1), str)
    assert_type(process_image(pk=1, width=300), str)
    assert_type(process_image.delay(1), Job)
    assert_type(process_image.delay(pk=1, width=300), Job)
    assert_type(process_image.enqueue(1), Job)
    assert_type(process_image.enqueue_in(SOON, 1, width=300), Job)
    assert_type(process_image.enqueue_at(WHEN, pk=1), Job)
    assert_type(await process_image.adelay(1), Job)
    assert_type(process_image.using("high", timeout=60, job_id="image")(1), str)
    assert_type(process_image.using(retry=Retry(3)).using(ttl="1h").delay(1), Job)
    assert_type(process_image.queue, str)

    assert_type(await fetch("/here"), str)
    assert_type(fetch.delay("/here"), Job)
    assert_type(Invoice.write(7), str)
    assert_type(Invoice.write.delay(7), Job)
    assert_type(Invoice.file(number=7), str)
    assert_type(Invoice.file.delay(number=7), Job)

    job: Job = process_image.delay(1)
    process_image.using(depends_on=job, at_front=True, meta={"by": "Ada"}).delay(2)
    process_image.using(repeat=Repeat(2), unique=True, group_id="a", rate_limit=RateLimit("a", 1))
    expects_task(send_mail)
    expects_function(send_mail)


async def bad_calls() -> None:
    process_image("wrong type")  # type: ignore[arg-type]
    process_image.delay("wrong type")  # type: ignore[arg-type]
    process_image.delay(pk="wrong type")  # type: ignore[arg-type]
    process_image.delay()  # type: ignore[call-arg]
    process_image.delay(1, 300, True)  # type: ignore[call-arg]
    process_image.delay(1, height=300)  # type: ignore[call-arg]
    process_image.enqueue("wrong type")  # type: ignore[arg-type]
    process_image.enqueue_in(SOON, "wrong type")  # type: ignore[arg-type]
    process_image.enqueue_in(5, 1)  # type: ignore[arg-type]
    process_image.enqueue_in(1)  # type: ignore[arg-type, call-arg]
    process_image.enqueue_at(WHEN, "wrong type")  # type: ignore[arg-type]
    process_image.enqueue_at("tomorrow", 1)  # type: ignore[arg-type]
    await process_image.adelay("wrong type")  # type: ignore[arg-type]
    process_image.using("high").delay("wrong type")  # type: ignore[arg-type]
    process_image.using(1)  # type: ignore[arg-type]
    process_image.using(time_out=60)  # type: ignore[call-arg]
    process_image.using(unique="yes")  # type: ignore[arg-type]
    process_image.using(timeout=[60])  # type: ignore[arg-type]
    fetch.delay(1)  # type: ignore[arg-type]
    Invoice.write.delay("wrong type")  # type: ignore[arg-type]
    Invoice.file.delay("wrong type")  # type: ignore[arg-type]
    expects_task(print_image)  # type: ignore[arg-type]
    expects_function(print_image)  # type: ignore[arg-type]
    process_image.dealy(1)  # type: ignore[attr-defined]


def bad_decorators() -> None:
    async_job("high", time_out=60)  # type: ignore[call-overload]
    async_job("high", timeout=[60])  # type: ignore[call-overload]
    async_job("high", job_id="image")  # type: ignore[call-overload]
    async_job(None)  # type: ignore[call-overload]
    async_job("high")("wrong type")  # type: ignore[arg-type]


def expects_task(task: Task[[str], object]) -> None: ...


def expects_function(function: Callable[[str], str]) -> None: ...
