"""Workers that run jobs in their own process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from django.conf import settings
from django.utils import timezone, translation
from rq import SimpleWorker, Worker
from rq.utils import import_attribute

from django_devtools.jobs.transactions import autocommit


class InProcess(SimpleWorker):
    """Makes any class of workers do without forks."""

    __hash__ = SimpleWorker.__hash__

    # Those that RQ finds in Redis are of its default class.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and self.name == other.name

    def kill_horse(self, *args: Any) -> None:
        """There is none, and the process group of none is our own."""

    def perform_job(self, *args: Any, **kwargs: Any) -> bool:
        """Run a job with its callbacks, and leave nothing behind that ends with a fork."""
        with _state_of_a_fork():
            return super().perform_job(*args, **kwargs)


@contextmanager
def _state_of_a_fork() -> Iterator[None]:
    with (
        autocommit(),
        translation.override(settings.LANGUAGE_CODE),
        timezone.override(None),
    ):
        yield


@cache
def in_process(base: Any) -> Any:
    """``base``, a class of workers or its dotted name, without forks; None is RQ's default."""
    if isinstance(base, str):
        base = import_attribute(base)
    base = base or Worker
    return base if issubclass(base, InProcess) else type(base.__name__, (InProcess, base), {})
