import asyncio
import gc
import inspect
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from django_rq import get_queue
from redis import Redis
from rq import Queue
from rq.decorators import job as rq_job
from rq.utils import import_attribute

from django_devtools.extras import is_older
from django_devtools.jobs import Task, async_job
from django_devtools.jobs.decorator import SINCE, JobOptions, Options, tasks
from django_devtools.jobs.testing import RqJobs
from tests.jobs.tasks import (
    Invoice,
    add,
    archive,
    fetch,
    label,
    print_image,
    process_image,
    send_mail,
)
from tests.processes import TIMEOUT

ROOT = Path(__file__).parents[2]

# Type checkers take the class of a class method that is decorated for one of its arguments.
Untyped: Any = Invoice


def test_call_runs_here() -> None:
    assert process_image(1, width=300) == "image 1 at 300"
    assert len(get_queue()) == 0


@pytest.mark.parametrize("enqueue", [process_image.delay, process_image.enqueue])
def test_delay(enqueue: Callable[..., Any]) -> None:
    job = enqueue(1, width=300)

    assert get_queue("default").job_ids == [job.id]
    assert (job.func_name, job.args, job.kwargs) == (
        "tests.jobs.tasks.process_image",
        (1,),
        {"width": 300},
    )


def test_worker_imports_the_task_by_its_name(rq_jobs: RqJobs) -> None:
    job = process_image.delay(1)
    assert job.func_name
    assert import_attribute(job.func_name) is process_image
    rq_jobs.run()
    assert job.return_value() == "image 1 at 100"


def test_enqueue_at() -> None:
    when = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)
    job = process_image.enqueue_at(when, 1, width=300)

    registry = get_queue().scheduled_job_registry
    assert registry.get_scheduled_time(job.id) == when
    assert (job.args, job.kwargs) == ((1,), {"width": 300})
    assert job.is_scheduled


def test_enqueue_in() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    job = process_image.enqueue_in(timedelta(minutes=5), 1, width=300)
    after = datetime.now(UTC)

    when = get_queue().scheduled_job_registry.get_scheduled_time(job.id)
    assert before <= when - timedelta(minutes=5) <= after
    assert (job.args, job.kwargs) == ((1,), {"width": 300})


def test_adelay() -> None:
    job = asyncio.run(process_image.adelay(1, width=300))
    assert get_queue().job_ids == [job.id]
    assert (job.args, job.kwargs) == ((1,), {"width": 300})


def test_options() -> None:
    job = send_mail.delay("ada@example.com")
    assert (job.origin, job.timeout, job.description) == ("high", 60, "A mail")
    assert (send_mail.queue, send_mail.options["timeout"]) == ("high", 60)


def test_no_options() -> None:
    assert (process_image.queue, process_image.options) == ("default", {})
    assert (print_image.queue, print_image.options) == ("default", {})
    assert print_image.delay(1).origin == "default"


def test_queue_by_keyword(registry: None) -> None:
    assert async_job(queue="high")(add).delay(1, 2).origin == "high"


def test_using() -> None:
    urgent = process_image.using("high", timeout=5, job_id="urgent")

    job = urgent.delay(1)

    assert (job.id, job.origin, job.timeout) == ("urgent", "high", 5)
    assert urgent(1) == "image 1 at 100"
    assert (process_image.queue, process_image.options) == ("default", {})


def test_using_keeps_what_it_does_not_name() -> None:
    job = send_mail.using(ttl=10).using(timeout=5).delay("ada@example.com")
    assert (job.origin, job.timeout, job.ttl, job.description) == ("high", 5, 10, "A mail")


def test_looks_like_the_function() -> None:
    assert process_image.__name__ == process_image.__qualname__ == "process_image"
    assert process_image.__module__ == "tests.jobs.tasks"
    assert process_image.__doc__ == "Make an image fit."
    assert str(inspect.signature(process_image)) == "(pk: int, width: int = 100) -> str"
    assert not inspect.iscoroutinefunction(process_image)


@pytest.mark.parametrize("task", [process_image, send_mail, fetch, Invoice.write, Invoice.file])
def test_pickled_by_reference(task: Task[..., Any]) -> None:
    assert pickle.loads(pickle.dumps(task)) is task


def test_task_as_argument_of_a_job(rq_jobs: RqJobs) -> None:
    job = archive.delay(after=send_mail)
    rq_jobs.run()
    assert job.return_value() == {"after": send_mail}


def test_asynchronous_function(rq_jobs: RqJobs) -> None:
    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(call_fetch()) == "content of /here"

    job = fetch.delay("/there")
    rq_jobs.run()
    assert job.return_value() == "content of /there"
    assert job.timeout == 3600


def test_asynchronous_function_leaves_nothing_open(rq_jobs: RqJobs) -> None:
    fetch.delay("/there")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        rq_jobs.run()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def call_fetch() -> str:
    return await fetch("/here")


@pytest.mark.parametrize(
    ("task", "name", "queue", "result"),
    [
        (Invoice.write, "write", "default", "invoice 7"),
        (Invoice.file, "file", "default", "filed 7"),
        (Untyped.remind, "remind", "high", "Invoice 7 is due"),
        (Untyped.cancel, "cancel", "high", "Invoice 7 is void"),
        (Untyped().write, "write", "default", "invoice 7"),
        (Untyped().cancel, "cancel", "high", "Invoice 7 is void"),
    ],
)
def test_methods(task: Any, name: str, queue: str, result: str, rq_jobs: RqJobs) -> None:
    assert task(7) == result

    job = task.delay(7)
    assert (job.func_name, job.args) == (f"tests.jobs.tasks.Invoice.{name}", (7,))
    assert job.origin == queue
    rq_jobs.run()
    assert job.return_value() == result


def test_each_task_is_known_by_its_name() -> None:
    assert tasks["tests.jobs.tasks.process_image"] is process_image
    assert tasks["tests.jobs.tasks.Invoice.write"] is Invoice.write
    assert tasks["tests.jobs.tasks.Invoice.remind"].queue == "high"


def test_options_of_a_call() -> None:
    first = process_image.delay(1, job_id="first")  # type: ignore[call-arg]
    second = process_image.delay(2, job_id="second", at_front=True)  # type: ignore[call-arg]
    third = process_image.delay(3, job_id="third", depends_on=first)  # type: ignore[call-arg]

    assert get_queue().job_ids == ["second", "first"]
    assert get_queue().deferred_job_registry.get_job_ids() == ["third"]
    assert first.kwargs == second.kwargs == third.kwargs == {}


def test_options_of_a_call_that_the_function_has_itself(rq_jobs: RqJobs) -> None:
    job = label.delay(job_id="A1", depends_on="A0", at_front=True)
    rq_jobs.run()
    assert job.id != "A1"
    assert job.return_value() == "A1 A0 True"


def test_arguments_may_have_any_name(rq_jobs: RqJobs) -> None:
    names = dict.fromkeys(["self", "delay", "when", "queue", "func", "args", "kwargs", "timeout"])
    jobs = [
        archive.delay(**names),
        archive.enqueue_in(timedelta(0), **names),
        archive.enqueue_at(datetime.now(UTC), **names),
        asyncio.run(archive.adelay(**names)),
    ]
    rq_jobs.run(until=timedelta(minutes=1))
    assert [job.return_value() for job in jobs] == [names] * 4


def test_has_all_options_of_rq() -> None:
    """A new one is noticed here."""
    functions: list[Any] = [rq_job, Queue.enqueue_call, Queue.create_job]
    theirs = {name for function in functions for name in inspect.signature(function).parameters}
    # What a task is, or gives itself.
    theirs -= {"queue", "self", "func", "args", "kwargs", "pipeline", "status"}
    newer = {name for name, first in SINCE.items() if is_older("rq", first)}
    ours = JobOptions.__optional_keys__ - newer
    assert ours - {"connection", "queue_class"} == theirs - {"connection", "queue_class"}
    assert Options.__optional_keys__ == JobOptions.__optional_keys__ - {"job_id"}


def test_options_of_a_newer_rq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.10.0")
    with pytest.raises(TypeError) as caught:
        process_image.using(rate_limit=None)
    assert str(caught.value) == ("The option 'rate_limit' came with RQ 3.0. Installed is 2.10.0.")
    assert isinstance(process_image.using(unique=True, repeat=None), Task)


@pytest.mark.parametrize(
    "func", [add, rq_job("high", connection=Redis())(partial(add)), Invoice, None]
)
def test_what_is_no_task(func: Any) -> None:
    assert not isinstance(func, Task)


def test_what_is_a_task() -> None:
    for task in tasks.values():
        assert isinstance(task, Task)
    assert isinstance(process_image.using("high"), Task)


using: Callable[..., Any] = process_image.using

OPTIONS = (
    "at_front, connection, depends_on, description, failure_ttl, group_id, {}meta, on_failure, "
    "on_stopped, on_success, queue_class, rate_limit, repeat, result_ttl, retry, timeout, ttl, "
    "unique, webhooks"
)


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (
            partial(async_job, "high", time_out=60),
            "async_job has no option 'time_out'. Did you mean 'timeout'?",
        ),
        (
            partial(async_job, colour="red"),
            f"async_job has no option 'colour'. It has {OPTIONS.format('')}.",
        ),
        (
            partial(using, retries=3),
            "async_job has no option 'retries'. Did you mean 'retry'?",
        ),
        (
            partial(using, colour="red"),
            f"async_job has no option 'colour'. It has {OPTIONS.format('job_id, ')}.",
        ),
        (
            # Two jobs can't have the same one.
            partial(async_job, job_id="image"),
            f"async_job has no option 'job_id'. It has {OPTIONS.format('')}.",
        ),
    ],
)
def test_unknown_option(decorate: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        decorate()
    assert str(caught.value) == message


UNIMPORTABLE = (
    "{} can't be a job: it {}, where workers can't import it. "
    "Move it to the top level of a module."
)
HAS_NO_INSTANCE = (
    "{} can't be a job: a worker has no instance to call it on. "
    "Make it a static method, a class method or a function."
)
IS_NO_FUNCTION = "async_job takes functions and names of queues, not {}."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "task = async_job(lambda: None)",
            UNIMPORTABLE.format("shop.tasks.<lambda>", "is a lambda"),
        ),
        (
            """
            def outer():
                @async_job("high")
                def inner(): ...
            outer()
            """,
            UNIMPORTABLE.format(
                "shop.tasks.outer.<locals>.inner", "is defined inside of a function"
            ),
        ),
        (
            """
            class Order:
                class Item:
                    @async_job
                    @staticmethod
                    def pack(): ...
            """,
            UNIMPORTABLE.format("shop.tasks.Order.Item.pack", "is in a class inside of a class"),
        ),
        (
            """
            class Order:
                @async_job
                def send(self): ...
            """,
            HAS_NO_INSTANCE.format("shop.tasks.Order.send"),
        ),
        (
            """
            @async_job
            class Order: ...
            """,
            IS_NO_FUNCTION.format("<class 'shop.tasks.Order'>"),
        ),
        (
            "async_job('high')(print)",
            IS_NO_FUNCTION.format("<built-in function print>"),
        ),
        (
            "async_job(None)",
            IS_NO_FUNCTION.format("None"),
        ),
    ],
)
def test_what_workers_can_not_import(source: str, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        run_module("shop.tasks", source)
    assert str(caught.value) == message


def test_what_only_the_script_that_runs_can_import() -> None:
    with pytest.raises(TypeError) as caught:
        run_module("__main__", "@async_job\ndef clean_up(): ...")
    assert str(caught.value) == UNIMPORTABLE.format(
        "__main__.clean_up", "is in the script that runs"
    )


def run_module(name: str, source: str) -> None:
    exec(dedent(source), {"__name__": name, "async_job": async_job})


def test_nothing_is_imported_before_the_first_job() -> None:
    output = run_python("""
        import django, os, sys

        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        from django.conf import settings
        from tests.jobs import tasks

        settings.FAKE_REDIS = True

        def imported():
            return sorted({"django_rq", "fakeredis", "redis", "rq"} & sys.modules.keys())

        tasks.process_image(1)
        tasks.process_image.using("high", timeout=60)
        try:
            tasks.process_image.using(time_out=60)
        except TypeError as error:
            print(error)
        print(imported())
        tasks.process_image.delay(1)
        print(imported())
    """)
    assert output == [
        "async_job has no option 'time_out'. Did you mean 'timeout'?",
        "[]",
        "['django_rq', 'fakeredis', 'redis', 'rq']",
    ]


def run_python(code: str) -> list[str]:
    """What code prints in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
