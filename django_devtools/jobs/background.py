"""Runs the jobs of a fake in the process of ``runserver``: no other process sees them."""

import logging
import os
import sys
from threading import Thread
from time import sleep

from django.apps import apps
from django.conf import settings
from django.db import close_old_connections

from django_devtools.jobs.redis import is_fake

# Seconds between two looks.
PAUSE = 0.5

logger = logging.getLogger("django_devtools.jobs")


def is_wanted() -> bool:
    """Whether this is the process of ``runserver`` that answers, with a fake and with DEBUG."""
    if sys.argv[1:2] != ["runserver"] or not (is_fake() and settings.DEBUG):
        return False
    # The other one only waits for files to change.
    return "--noreload" in sys.argv or os.environ.get("RUN_MAIN") == "true"


def start() -> None:
    """Run jobs in a thread, as long as the process lasts."""
    Thread(target=work, name="django_devtools.jobs", daemon=True).start()


def work() -> None:
    """Run jobs when they are due, for ever."""
    apps.ready_event.wait()
    while True:
        try:
            work_off()
        except Exception:
            # The queue of a setting that is being edited, or a loop of jobs.
            logger.exception("Jobs can't be run.")
        finally:
            close_old_connections()
        sleep(PAUSE)


def work_off() -> None:
    """Run the jobs that are due now."""
    # RQ is imported when the server runs already.
    from rq.utils import now

    from django_devtools.jobs.running import Run

    Run(now(), False, list, lambda job_id, queue: None)()
