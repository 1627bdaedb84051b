"""Enqueues jobs when the code under test would have committed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

# Modules whose on_commit callbacks enqueue jobs.
MODULES = ("django_rq.queues", "rq.queue", "django_devtools.jobs.enqueueing")


@contextmanager
def committed_jobs() -> Iterator[None]:
    """
    Enqueue jobs when a test's code would have committed.

    That is as soon as no ``atomic()`` is open but those of the test itself. Other callbacks of
    ``transaction.on_commit`` are left to ``TestCase.captureOnCommitCallbacks``. Django has no
    public way to hear of a commit, nor to tell a test's ``atomic()`` from others.
    """
    if transaction.Atomic.__exit__ is _exit:
        yield
        return
    with (
        patch.object(transaction.Atomic, "__exit__", _exit),
        patch.object(BaseDatabaseWrapper, "on_commit", _on_commit),
    ):
        yield


_original_exit = transaction.Atomic.__exit__
_original_on_commit = BaseDatabaseWrapper.on_commit


def _exit(atomic: transaction.Atomic, *exception: Any) -> None:
    _original_exit(atomic, *exception)
    _enqueue(transaction.get_connection(atomic.using))


def _on_commit(
    connection: BaseDatabaseWrapper, func: Callable[[], object], robust: bool = False
) -> None:
    _original_on_commit(connection, func, robust)
    _enqueue(connection)


def _enqueue(connection: BaseDatabaseWrapper) -> None:
    """Call what waits, and leave something in its place for those who count callbacks."""
    if not _is_committed(connection):
        return
    callbacks: list[tuple[Any, ...]] = connection.run_on_commit
    due = []
    for index, (savepoints, func, robust) in enumerate(callbacks):
        if _is_job(func):
            callbacks[index] = (savepoints, _done, robust)
            due.append((index, func))
    end = len(callbacks)
    for index, func in due:
        try:
            func()
        except BaseException:
            # After an error, Django calls nothing more of that commit.
            del callbacks[index + 1 : end]
            raise


def _is_committed(connection: BaseDatabaseWrapper) -> bool:
    blocks: list[Any] = connection.atomic_blocks
    return (
        bool(blocks)
        and all(block._from_testcase for block in blocks)
        and not connection.needs_rollback
    )


def waiting() -> tuple[int, int]:
    """How many jobs wait for the end of a transaction, and how many other callbacks do."""
    callbacks: list[tuple[Any, ...]] = transaction.get_connection().run_on_commit
    left = [func for _, func, _ in callbacks if func is not _done]
    jobs = sum(_is_job(func) for func in left)
    return jobs, len(left) - jobs


def _is_job(func: object) -> bool:
    # Of a partial, the function.
    func = getattr(func, "func", func)
    return getattr(func, "__module__", None) in MODULES


def _done() -> None:
    pass
