"""What jobs cost, next to django-rq alone, and what the plugin and the fake cost a suite of tests.

Run with ``tox run -e bench``.
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoRedisAnswers

from tests.conftest import SERVICES_MUST_ANSWER

from .jobs import TEST_OF_A_JOB, TEST_OF_NOTHING, JobsProject, add_suite, build
from .measure import compare, compare_cost, interleave

JOBS = 10_000
BATCH = 100
# After so many, all that is made once is there.
WARM = 2_000

TESTS = 1_000
TESTS_WITH_JOBS = 200

DATABASE = 10


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A database of a real Redis, which has to be empty, and is so afterwards."""
    server = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379").rstrip("/")
    url = f"{server}/{DATABASE}"
    with Redis.from_url(url) as redis:
        try:
            keys = redis.dbsize()
        except NoRedisAnswers as error:
            if SERVICES_MUST_ANSWER:
                raise
            pytest.skip(f"no Redis answers: {error}")
        assert not keys, f"{url} holds {keys} keys"
        yield url
        redis.flushdb()


@pytest.fixture
def project(tmp_path: Path) -> JobsProject:
    return build(tmp_path)


@pytest.fixture
def project_with_redis(tmp_path: Path, redis_url: str) -> JobsProject:
    return build(tmp_path, redis_url)


def test_delay_against_django_rq(project_with_redis: JobsProject) -> None:
    """One call after the other, by turns in one process."""
    times = project_with_redis.script("enqueue", JOBS, BATCH)
    what = f"delay, {JOBS} jobs, by the {BATCH} / django_rq.job"
    compare(what, times["ours"], times["theirs"], bound=1.05).check()


def test_memory(project_with_redis: JobsProject) -> None:
    """Nothing is kept for a job: no reference to anything, at 8 bytes, for each of them."""
    kept, bound = project_with_redis.script("remember", WARM, JOBS), 8 * (JOBS - WARM)
    what = f"memory kept, job {WARM} to {JOBS}"
    print(f"\n{what:<60} ours {kept / 1000:.1f} kB  bound {bound / 1000:.1f} kB")
    assert kept <= bound


def test_plugin_in_tests_without_jobs(project: JobsProject) -> None:
    """The processor's time of all of pytest's process, which others disturb the least."""
    add_suite(project, "nothing", TESTS, TEST_OF_NOTHING)
    suite = partial(project.suite, "nothing", "processor")
    times = interleave({"with": suite, "without": partial(suite, "-p", "no:django_devtools")}, 15)
    ours, theirs = ([seconds / TESTS for seconds in times[name]] for name in times)
    what = f"a test, of {TESTS} that enqueue nothing / without the plugin"
    compare_cost(what, ours, theirs, bound=100e-6).check()


def test_fake_against_redis(project_with_redis: JobsProject) -> None:
    """One test from its set-up to its end, the median of many."""
    add_suite(project_with_redis, "jobs", TESTS_WITH_JOBS, TEST_OF_A_JOB)
    suite = partial(project_with_redis.suite, "jobs", "test")
    redis = partial(suite, f"--real-redis={project_with_redis.url}")
    times = interleave({"fake": suite, "redis": redis}, 7)
    what = "a test that runs a job, on the fake / on a real Redis"
    compare(what, times["fake"], times["redis"], bound=1.0).check()


@pytest.mark.parametrize("others", [[], ["django_rq"]], ids=["alone", "beside django_rq"])
def test_setup(project: JobsProject, others: list[str]) -> None:
    """The processor's time of ``django.setup()`` alone."""
    setup = partial(project.script, "setup", *others)
    times = interleave({"with": partial(setup, "django_devtools"), "without": setup}, 21)
    what = f"django.setup() of {' and '.join(['contenttypes', *others])} / without the app"
    compare_cost(what, times["with"], times["without"], bound=5e-3).check()
