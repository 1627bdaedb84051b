"""
Separates the jobs of one test from those of others, and from real servers.

Who decides whether a test uses fakes: ``pytest_plugin.py``, by option, mark and ini setting, and
``testing.py`` for unittest. This module sets what they decide, and ``redis.py`` obeys it.
``emptied`` flushes before and after each test; ``redis.flush`` does it, for a server or the fakes.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

from django.conf import settings

from django_devtools.jobs import redis, webhooks
from django_devtools.jobs.commits import committed_jobs

_MISSING = object()


@contextmanager
def faked() -> Iterator[None]:
    """Let fakes answer for every Redis of RQ_QUEUES."""
    # A session of pytest is within one already, and each of its tests comes here.
    with nullcontext() if redis.is_fake() else fake_setting(), committed_jobs(), webhooks.kept():
        redis.stand_in()
        yield


@contextmanager
def pointed_to(url: str) -> Iterator[None]:
    """Let the server at ``url`` answer for every Redis of RQ_QUEUES."""
    with patch.object(redis.RealServer, "url", url), committed_jobs(), webhooks.kept():
        redis.stand_in()
        yield


def check_empty(url: str) -> None:
    """Raise ValueError when the database at ``url`` holds keys: ``emptied`` would remove them."""
    if count := redis.server(url).dbsize():
        raise ValueError(
            f"{url} holds {count} keys, and tests would remove them. "
            "Name a database that is empty, such as redis://localhost:6379/15."
        )


@contextmanager
def emptied() -> Iterator[None]:
    """Begin and end with empty queues."""
    _empty()
    try:
        yield
    finally:
        _empty()


@contextmanager
def fake_setting() -> Iterator[None]:
    """FAKE_REDIS, without override_settings, which would hide SETTINGS_MODULE from all tests."""
    before = getattr(settings, "FAKE_REDIS", _MISSING)
    settings.FAKE_REDIS = True
    redis.stand_in()
    try:
        yield
    finally:
        if before is _MISSING:
            delattr(settings, "FAKE_REDIS")
        else:
            settings.FAKE_REDIS = before


def _empty() -> None:
    redis.flush()
    webhooks.sent.clear()
    # Not imported for those who enqueue nothing.
    if thread_queue := sys.modules.get("django_rq.thread_queue"):
        thread_queue.clear()
    if schedules := sys.modules.get("django_devtools.jobs.schedules"):
        schedules.crons.clear()
