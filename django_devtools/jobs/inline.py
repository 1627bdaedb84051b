"""Jobs that run as soon as they are enqueued."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from rq import Queue
from rq.job import Job


@contextmanager
def after_each_enqueue(run: Callable[[], None]) -> Iterator[None]:
    """Call ``run`` after each job that is enqueued, but for those that it enqueues itself."""
    enqueue_job = Queue.enqueue_job
    is_running = False

    def enqueue(queue: Queue, job: Job, pipeline: Any = None, **options: Any) -> Job:
        nonlocal is_running
        # A pipeline would be executed after this.
        job = enqueue_job(queue, job, **options)
        if not is_running:
            is_running = True
            try:
                run()
            finally:
                is_running = False
        return job

    with patch.object(Queue, "enqueue_job", enqueue):
        yield
