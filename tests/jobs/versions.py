"""What came with which version of RQ and django-rq, for tests that older ones can't pass."""

import inspect
import re
from importlib.metadata import version

import pytest
from rq import Retry


def since(package: str, first: str, what: str) -> pytest.MarkDecorator:
    """Skip a test of ``what``, where the ``package`` that is installed is older than that."""
    is_older = _numbers(version(package)) < _numbers(first)
    return pytest.mark.skipif(is_older, reason=f"{what} came with {package} {first}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


webhooks = since("rq", "2.10", "Webhooks")
checked_dependencies = since("rq", "2.7", "The check of depends_on")
repeats = since("rq", "2.3", "Repeated jobs")
unique_jobs = since("rq", "2.8", "Unique jobs")
rate_limits = since("rq", "3.0", "Rate limits")
# Before, a job that returns Retry is run again without end.
returned_retries = since("rq", "2.8", "The limit of a returned Retry")
spawning_workers = since("rq", "2.2", "SpawnWorker")

# Came with RQ 2.8.
_has_retry_at_front = "enqueue_at_front" in inspect.signature(Retry).parameters
retry_at_front = {"enqueue_at_front": True} if _has_retry_at_front else {}
