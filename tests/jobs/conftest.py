import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from tempfile import gettempdir
from unittest.mock import patch

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoRedisAnswers

from django_devtools.jobs import decorator
from tests.conftest import SERVICES_MUST_ANSWER

# Those of the local Redis that the workers of pytest-xdist share.
DATABASES = (11, 12)


@pytest.fixture
def real_redis_url() -> Iterator[str]:
    """A database of the local Redis, which is emptied afterwards."""
    server = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379").rstrip("/")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    database = DATABASES[worker % len(DATABASES)]
    url = f"{server}/{database}"
    with alone(database), Redis.from_url(url) as redis:
        try:
            redis.flushdb()
        except NoRedisAnswers as error:
            if SERVICES_MUST_ANSWER:
                raise
            pytest.skip(f"no Redis answers: {error}")
        yield url
        redis.flushdb()


@contextmanager
def alone(database: int) -> Iterator[None]:
    """Other workers, and other runs of the tests on this machine, wait here."""
    with (Path(gettempdir()) / f"devtools-tests-redis-{database}.lock").open("w") as file:
        flock(file, LOCK_EX)
        yield


@pytest.fixture
def registry() -> Iterator[None]:
    """Forget the tasks that a test makes."""
    with patch.dict(decorator.tasks):
        yield
