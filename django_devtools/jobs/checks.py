"""The contents of the system checks of jobs: their queues, workers, and production."""

import sys
from collections.abc import Iterator
from importlib import import_module

from django.conf import settings
from django.core.checks import CheckMessage, Error

from django_devtools.jobs.decorator import tasks
from django_devtools.jobs.redis import is_fake

# Commands that wait for jobs of other processes.
WORKERS = ("rqworker", "rqworker-pool", "rqscheduler", "rqcron")


def about_queues() -> Iterator[CheckMessage]:
    """Refuse tasks whose queue is not in RQ_QUEUES."""
    urls = getattr(settings, "ROOT_URLCONF", None)
    if isinstance(urls, str):
        # The views, and with them their tasks. Django's own checks do it, before these or after.
        import_module(urls)
    queues = getattr(settings, "RQ_QUEUES", {})
    for name, task in sorted(tasks.items()):
        if task.queue not in queues:
            yield Error(
                f"{name} uses the queue {task.queue!r}, which is not in RQ_QUEUES.",
                hint=f"RQ_QUEUES has: {', '.join(sorted(queues)) or 'no queue'}.",
                id="django_devtools.E101",
            )


def about_worker() -> Iterator[CheckMessage]:
    """Refuse to start a worker that would wait for ever."""
    if is_fake() and sys.argv[1:2] and sys.argv[1] in WORKERS:
        yield Error(
            f"{sys.argv[1]} has nothing to do: FAKE_REDIS is on, and what other processes "
            "enqueue stays in their own memory.",
            hint="Set FAKE_REDIS = False, or run the jobs in this process with "
            "django_rq.get_worker().work(burst=True).",
            id="django_devtools.E102",
        )


def about_production() -> Iterator[CheckMessage]:
    """Refuse to throw jobs away in production."""
    if is_fake():
        yield Error(
            "FAKE_REDIS is on: jobs are kept in memory, and no worker will ever run them.",
            hint="Set FAKE_REDIS = False.",
            id="django_devtools.E103",
        )
