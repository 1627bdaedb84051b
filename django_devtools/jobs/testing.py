"""For tests of code that enqueues jobs: no Redis, no worker, and no waiting."""

import unittest
from contextlib import ExitStack
from typing import Any, TypeVar, overload

from django.test.utils import TestContextDecorator

from django_devtools.jobs.enqueued import RqJobs
from django_devtools.jobs.isolation import emptied, faked

__all__ = ["FakeRedisMixin", "RqJobs", "use_fake_redis"]

T = TypeVar("T")


class UseFakeRedis(TestContextDecorator):
    """
    Let a fake answer for every Redis of RQ_QUEUES, empty at first.

    As a context manager it gives the ``RqJobs``, and so it does to a function that it decorates,
    under the name ``kwarg_name``, and to each test of a class, as the attribute ``attr_name``.
    As a base class, before Django's TestCase, it stands for ``FakeRedisMixin``.
    """

    def __init__(self, attr_name: str | None = "rq_jobs", kwarg_name: str | None = None) -> None:
        super().__init__(attr_name, kwarg_name)
        self._exits: list[ExitStack] = []

    @overload
    def __call__(self, decorated: T, /) -> T: ...

    @overload
    def __call__(
        self, *, attr_name: str | None = "rq_jobs", kwarg_name: str | None = None
    ) -> "UseFakeRedis": ...

    def __call__(self, *decorated: Any, **names: Any) -> Any:
        return super().__call__(*decorated) if decorated else type(self)(**names)

    def __enter__(self) -> RqJobs:  # type: ignore[override]
        return self.enable()

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (FakeRedisMixin,)

    def decorate_class(self, cls: Any) -> Any:
        """The tests, and what is set up for all of them, too."""
        set_up: Any = super().decorate_class(cls).setUpClass

        def set_up_class(inner_cls: Any) -> None:
            inner_cls.enterClassContext(UseFakeRedis())
            set_up.__func__(inner_cls)

        cls.setUpClass = classmethod(set_up_class)
        return cls

    def enable(self) -> RqJobs:
        with ExitStack() as stack:
            stack.enter_context(faked())
            stack.enter_context(emptied())
            self._exits.append(stack.pop_all())
        return RqJobs()

    def disable(self) -> None:
        self._exits.pop().close()


use_fake_redis = UseFakeRedis()


class FakeRedisMixin(unittest.TestCase):
    """
    For classes of tests: a fake for each test, and its jobs as ``self.rq_jobs``.

    What is enqueued while a class is set up goes to a fake, too, and is gone when a test begins.
    """

    rq_jobs: RqJobs

    @classmethod
    def setUpClass(cls) -> None:
        cls.enterClassContext(UseFakeRedis())
        super().setUpClass()

    def setUp(self) -> None:
        self.enterContext(UseFakeRedis())
        self.rq_jobs = RqJobs()
        super().setUp()
