"""The jobs that the tests of the testing half enqueue."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import django_rq
from django.utils import timezone, translation
from rq import Callback, Retry, get_current_job
from rq.job import Job
from rq.suspension import suspend

from django_devtools.jobs import async_job

# What callbacks and exception handlers were called with.
calls: list[tuple[str, str]] = []


@async_job
def resize(image: str, width: int = 100) -> str:
    return f"{image} at {width}"


@async_job("high")
def send_mail(to: str, subject: str = "Hello") -> str:
    return f"{subject}, {to}"


@async_job("elsewhere")
def archive(*names: str) -> None:
    pass


@async_job
def sign_up(address: str) -> None:
    send_mail.delay(address, subject="Welcome")
    send_reminder.enqueue_in(timedelta(days=1), address)


@async_job
def send_reminder(address: str) -> None:
    send_mail.delay(address, subject="Did you forget us?")


@async_job(result_ttl=0)
def forget(address: str) -> None:
    pass


@async_job
def forget_everything(address: str) -> None:
    forget.delay(address)


@async_job
def clear(queue: str) -> None:
    django_rq.get_queue(queue).empty()


class Unreachable(Exception):
    pass


@async_job
def fetch(url: str) -> NoReturn:
    """Fail."""
    raise Unreachable(url)


@async_job(retry=Retry(max=2))
def fetch_again(url: str) -> str:
    """Fail at first, and not when it is retried."""
    return _fetch_at_last(url)


@async_job(retry=Retry(max=2, interval=[60, 600]))
def fetch_later(url: str) -> str:
    return _fetch_at_last(url)


def _fetch_at_last(url: str) -> str:
    job = _current_job()
    job.meta["tries"] = job.meta.get("tries", 0) + 1
    job.save_meta()
    if job.meta["tries"] < 3:
        raise Unreachable(url)
    return f"{url} after {job.meta['tries']} tries"


@async_job
def poll(times: int) -> Retry | str:
    """Ask for another try, ``times`` times."""
    if (_current_job().number_of_retries or 0) < times:
        return Retry(max=2, interval=60)
    return "done"


@async_job(failure_ttl=0)
def fetch_without_trace(url: str) -> NoReturn:
    raise Unreachable(url)


@async_job
def follow(url: str) -> None:
    """Enqueue itself, again and again."""
    follow.delay(url)


@async_job(timeout=1)
def spin() -> NoReturn:
    """Take longer than it may."""
    start = time.monotonic()
    while time.monotonic() - start < 30:
        pass
    raise AssertionError("It was not stopped.")


@async_job
async def download(url: str) -> str:
    await asyncio.sleep(0)
    return f"content of {url}"


@async_job
async def download_missing(url: str) -> NoReturn:
    await asyncio.sleep(0)
    raise Unreachable(url)


def note_success(job: Job, connection: Any, result: Any) -> None:
    calls.append(("success", result))


def note_failure(job: Job, connection: Any, kind: Any, value: Any, traceback: Any) -> None:
    calls.append(("failure", str(value)))


def handle(job: Job, kind: Any, value: Any, traceback: Any) -> None:
    """One of RQ_EXCEPTION_HANDLERS."""
    calls.append(("handler", str(value)))


def divide(job: Job, connection: Any, result: Any) -> None:
    """Fail."""
    raise ZeroDivisionError


broken_callback = Callback(divide)
callbacks: dict[str, Any] = {
    "on_success": Callback(note_success),
    "on_failure": Callback(note_failure),
}


@django_rq.job("high")
def of_django_rq(name: str) -> None:
    pass


def plain(name: str) -> None:
    """No decorator at all."""


class Shop:
    """Has methods for jobs."""

    @classmethod
    def restock(cls, product: str) -> None:
        pass

    def refund(self, product: str) -> None:
        pass

    @async_job("high")
    @staticmethod
    def ship(order: int) -> str:
        return f"order {order}"


def _current_job() -> Job:
    job = get_current_job()
    assert job
    return job


@async_job
def every_day() -> None:
    every_day.enqueue_in(timedelta(days=1))


@async_job
def rest() -> None:
    suspend(django_rq.get_connection())


@async_job
def travel(language: str, zone: str) -> tuple[str | None, str]:
    """Return the language and the time zone that were there before."""
    before = translation.get_language(), timezone.get_current_timezone_name()
    translation.activate(language)
    timezone.activate(zone)
    return before


@async_job
def at_noon() -> str:
    """Schedule itself for a fixed time: noon of the next day. Return the time."""
    time = datetime.now(UTC)
    noon = time.replace(hour=12, minute=0, second=0, microsecond=0)
    at_noon.enqueue_at(noon + timedelta(days=1))
    return f"{time:%Y-%m-%d %H:%M}"
