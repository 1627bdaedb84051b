"""``use_fake_redis``: what pytest's fixtures do, for unittest and by hand."""

import sys
import unittest
from contextlib import suppress
from typing import Any

import django_rq
import pytest
from django.test import SimpleTestCase
from django_rq.queues import DjangoRQ
from pytest_django import Settings
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoRedisAnswers
from redis.retry import Retry

from django_devtools.jobs.testing import FakeRedisMixin, RqJobs, use_fake_redis
from tests.jobs.mailing import Unreachable, download, fetch, plain, resize


@pytest.fixture(autouse=True)
def no_fake(settings: Settings) -> None:
    """What there is without the fixtures of pytest: a Redis that does not answer."""
    once = {"retry": Retry(NoBackoff(), 0)}
    settings.FAKE_REDIS = False
    settings.RQ_QUEUES = {"default": {"HOST": "127.0.0.1", "PORT": 1, "REDIS_CLIENT_KWARGS": once}}


def assert_nothing_is_faked() -> None:
    with pytest.raises(NoRedisAnswers):
        resize.delay("a.png")


def run(case: type[unittest.TestCase]) -> unittest.TestResult:
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    return result


def run_successfully(case: type[unittest.TestCase], count: int) -> None:
    result = run(case)
    assert [text for _, text in result.errors + result.failures] == []
    assert result.testsRun == count


def test_context_manager() -> None:
    with use_fake_redis as rq_jobs:
        job = resize.delay("a.png")
        rq_jobs.assert_enqueued(resize, args=("a.png",))
        assert rq_jobs.run() == [job]
    assert_nothing_is_faked()


def test_context_manager_is_empty_at_first() -> None:
    with use_fake_redis as rq_jobs:
        resize.delay("a.png")
        assert len(rq_jobs) == 1
    with use_fake_redis() as rq_jobs:
        assert not rq_jobs


def test_contexts_inside_of_one_another() -> None:
    with use_fake_redis as outer:
        resize.delay("a.png")
        assert len(outer) == 1
        with use_fake_redis as inner:
            assert not inner
            resize.delay("b.png")
        resize.delay("c.png")
        assert [job.args for job in outer] == [("a.png",), ("c.png",)]
    assert_nothing_is_faked()


def test_context_manager_ends_with_an_error() -> None:
    with suppress(Unreachable), use_fake_redis as rq_jobs:
        fetch.delay("a.png")
        rq_jobs.run()
    assert_nothing_is_faked()


def test_queues_that_are_made_before() -> None:
    """As those of django_rq.job are. They follow, and come back."""
    queue = django_rq.get_queue()
    with use_fake_redis as rq_jobs:
        queue.enqueue(plain, "a.png")
        rq_jobs.assert_enqueued(plain, args=("a.png",))
    with pytest.raises(NoRedisAnswers):
        queue.enqueue(plain, "b.png")


def test_queues_that_are_made_meanwhile() -> None:
    with use_fake_redis:
        queue = django_rq.get_queue()
    with pytest.raises(NoRedisAnswers):
        queue.enqueue(plain, "a.png")
    with use_fake_redis as rq_jobs:
        queue.enqueue(plain, "b.png")
        rq_jobs.assert_enqueued(plain, args=("b.png",))


def test_queues_of_another_name() -> None:
    """Nothing is known of them."""
    redis = django_rq.get_connection()
    queue = DjangoRQ("of another project", connection=redis)
    with use_fake_redis:
        assert queue.connection is redis


@use_fake_redis
def decorated() -> int:
    """How much there is."""
    resize.delay("a.png")
    return len(RqJobs())


@use_fake_redis(kwarg_name="jobs")
def decorated_with_argument(name: str, jobs: RqJobs) -> tuple[str, int]:
    resize.delay(name)
    return name, len(jobs)


@use_fake_redis(kwarg_name="jobs")
async def decorated_coroutine(name: str, jobs: RqJobs) -> list[Any]:
    await download.adelay(name)
    return [job.return_value() for job in await jobs.arun()]


@pytest.mark.parametrize("time", ["first", "second"])
def test_decorator_of_functions(time: str) -> None:
    assert decorated() == 1
    assert decorated_with_argument("a.png", jobs=RqJobs()) == ("a.png", 1)
    assert_nothing_is_faked()


@pytest.mark.asyncio
async def test_decorator_of_asynchronous_functions() -> None:
    assert await decorated_coroutine("a.png", jobs=RqJobs()) == ["content of a.png"]
    assert_nothing_is_faked()


def test_class_decorator() -> None:
    @use_fake_redis
    class Tests(SimpleTestCase):
        rq_jobs: RqJobs

        @classmethod
        def setUpClass(cls) -> None:
            super().setUpClass()
            resize.delay("of the class")

        def setUp(self) -> None:
            resize.delay("of setUp")

        def test_first(self) -> None:
            resize.delay("a.png")
            assert [job.args[0] for job in self.rq_jobs] == ["of setUp", "a.png"]

        def test_second(self) -> None:
            assert [job.args[0] for job in self.rq_jobs] == ["of setUp"]

        @classmethod
        def tearDownClass(cls) -> None:
            resize.delay("of the class")
            super().tearDownClass()

    run_successfully(Tests, 2)
    assert_nothing_is_faked()


def test_class_decorator_with_a_name() -> None:
    @use_fake_redis(attr_name="jobs")
    class Tests(SimpleTestCase):
        jobs: RqJobs

        def test(self) -> None:
            resize.delay("a.png")
            assert len(self.jobs) == 1
            assert not hasattr(self, "rq_jobs")

    @use_fake_redis(attr_name=None)
    class NamelessTests(SimpleTestCase):
        def test(self) -> None:
            resize.delay("a.png")
            assert not hasattr(self, "rq_jobs")

    run_successfully(Tests, 1)
    run_successfully(NamelessTests, 1)


def test_decorator_of_other_classes() -> None:
    with pytest.raises(TypeError, match=r"^Can only decorate subclasses of unittest\.TestCase$"):

        @use_fake_redis
        class Tests:
            pass


class WithUseFakeRedis(use_fake_redis, SimpleTestCase):  # type: ignore[misc, valid-type]
    pass


class WithMixin(FakeRedisMixin, SimpleTestCase):
    pass


@pytest.mark.parametrize("base", [WithUseFakeRedis, WithMixin])
def test_base_class(base: type[FakeRedisMixin]) -> None:
    class Tests(base):  # type: ignore[misc, valid-type]
        @classmethod
        def setUpClass(cls) -> None:
            super().setUpClass()
            resize.delay("of the class")

        def setUp(self) -> None:
            super().setUp()
            resize.delay("of setUp")

        def test_first(self) -> None:
            resize.delay("a.png")
            assert [job.args[0] for job in self.rq_jobs] == ["of setUp", "a.png"]

        def test_second(self) -> None:
            assert [job.args[0] for job in self.rq_jobs] == ["of setUp"]

        async def test_asynchronous(self) -> None:
            await download.adelay("a.png")
            assert len(await self.rq_jobs.arun()) == 2

        @classmethod
        def tearDownClass(cls) -> None:
            resize.delay("of the class")
            super().tearDownClass()

    assert issubclass(Tests, FakeRedisMixin)
    run_successfully(Tests, 3)
    assert_nothing_is_faked()


def test_failures_of_unittest() -> None:
    class Tests(use_fake_redis, SimpleTestCase):  # type: ignore[misc, valid-type]
        def test(self) -> None:
            self.rq_jobs.assert_enqueued(resize)

    [(_, text)] = run(Tests).failures
    assert text.endswith(
        "AssertionError: No job of tests.jobs.mailing.resize. No job was enqueued at all.\n"
    )
    assert_nothing_is_faked()


def test_test_runner_of_django(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "settings")
    pytester.makepyfile(
        settings="""
            SECRET_KEY = "only for tests"
            INSTALLED_APPS = ["django.contrib.contenttypes", "django_devtools"]
            DATABASES = {
                "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}
            }
            # Nothing answers there.
            RQ_QUEUES = {"default": {"HOST": "127.0.0.1", "PORT": 1}}
        """,
        tasks="""
            from django_devtools.jobs import async_job

            @async_job
            def resize(image):
                pass
        """,
        test_shop="""
            from django.conf import settings
            from django.contrib.contenttypes.models import ContentType
            from django.db.transaction import atomic
            from django.test import TestCase, TransactionTestCase

            from django_devtools.jobs.testing import use_fake_redis
            from tasks import resize

            class Checks:
                def check(self):
                    with atomic():
                        ContentType.objects.create(app_label="shop", model="order")
                        resize.delay("a.png")
                        self.assertEqual(len(self.rq_jobs), 0)
                    self.rq_jobs.assert_enqueued(resize, args=("a.png",), count=1)
                    with self.assertRaises(ZeroDivisionError), atomic():
                        resize.delay("b.png")
                        1 / 0
                    self.assertEqual(len(self.rq_jobs.run()), 1)

            class MixinTests(use_fake_redis, Checks, TestCase):
                @classmethod
                def setUpTestData(cls):
                    resize.delay("of the class")

                def test(self):
                    self.check()

                def test_again(self):
                    with self.captureOnCommitCallbacks(execute=True) as callbacks:
                        self.check()
                    self.assertEqual(len(callbacks), 1)

            @use_fake_redis
            class DecoratedTests(Checks, TestCase):
                @classmethod
                def setUpTestData(cls):
                    resize.delay("of the class")

                def test(self):
                    self.check()

                async def test_asynchronous(self):
                    await resize.adelay("a.png")
                    self.assertEqual(len(await self.rq_jobs.arun()), 1)

            class MixinTransactionTests(use_fake_redis, Checks, TransactionTestCase):
                def test(self):
                    self.check()

            class OtherTests(TestCase):
                @use_fake_redis(kwarg_name="rq_jobs")
                def test(self, rq_jobs):
                    resize.delay("a.png")
                    rq_jobs.assert_enqueued(resize)

                def test_without(self):
                    self.assertFalse(getattr(settings, "FAKE_REDIS", False))
        """,
    )
    result = pytester.run(
        sys.executable, "-Werror", "-mdjango", "test", "--parallel=2", "--pythonpath=."
    )
    result.stderr.fnmatch_lines(["Ran 7 tests in *", "OK"])
    assert result.ret == 0
