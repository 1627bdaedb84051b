"""The databases of jobs that run in a test's transaction: they are as in a worker."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import django_rq
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from django_devtools.jobs import async_job
from django_devtools.jobs.testing import RqJobs
from tests.databases import ALIAS
from tests.jobs import ledger
from tests.jobs.ledger import (
    call_on_commit,
    call_on_rollback,
    committed,
    enter,
    enter_all,
    enter_between,
    enter_by_hand,
    enter_or_note,
    enter_or_other,
    fail_on_commit,
    names,
)


class RolledBack(Exception):
    """Ends the transaction of a test."""


@pytest.fixture
def in_transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction around the test, as Django's TestCase has one, with the row "taken"."""
    ledger.open_ledger()
    with suppress(RolledBack), ledger.atomic():
        ledger.put("taken")
        yield
        assert connection.in_atomic_block
        raise RolledBack
    assert names() == []


pytestmark = pytest.mark.usefixtures("in_transaction")


def work(rq_jobs: RqJobs) -> None:
    rq_jobs.run(raise_exceptions=False)


def work_as_a_worker(rq_jobs: RqJobs) -> None:
    django_rq.get_worker().work(burst=True, logging_level="CRITICAL")


every_worker = pytest.mark.parametrize("work", [work, work_as_a_worker])
Work = Callable[[RqJobs], None]


@every_worker
def test_a_statement_that_fails_undoes_itself_alone(rq_jobs: RqJobs, work: Work) -> None:
    first = enter.delay("before", "taken", "behind")
    second = enter.delay("next")
    work(rq_jobs)
    assert first.is_failed
    assert second.is_finished
    assert names() == ["before", "next", "taken"]


@every_worker
def test_callbacks_of_a_job_that_fails(rq_jobs: RqJobs, work: Work) -> None:
    enter_or_note.delay("taken")
    work(rq_jobs)
    assert names() == ["failed", "taken"]


@every_worker
def test_retries(rq_jobs: RqJobs, work: Work) -> None:
    job = enter_or_other.delay("taken", "other")
    work(rq_jobs)
    assert job.is_finished
    assert names() == ["other", "taken"]


def test_errors_reach_the_test(rq_jobs: RqJobs) -> None:
    enter.delay("taken")
    with pytest.raises(IntegrityError):
        rq_jobs.run()
    assert names() == ["taken"]


@pytest.mark.parametrize("options", [{}, {"savepoint": False}, {"durable": True}], ids=str)
def test_transactions_of_a_job(rq_jobs: RqJobs, options: dict[str, Any]) -> None:
    enter_all.delay("a", "b", **options)
    enter_all.delay("c", "taken", **options)
    rq_jobs.run(raise_exceptions=False)
    assert names() == ["a", "b", "taken"]


@pytest.mark.parametrize(
    ("ends", "found"), [("commit", ["a", "taken"]), ("rollback", ["taken"]), ("", ["taken"])]
)
def test_transactions_by_hand(rq_jobs: RqJobs, ends: str, found: list[str]) -> None:
    enter_by_hand.delay("a", ends=ends)
    rq_jobs.run()
    assert names() == found


def test_a_connection_that_a_job_closes(rq_jobs: RqJobs) -> None:
    enter_between.delay("a", "b")
    rq_jobs.run()
    assert names() == ["a", "b", "taken"]


def test_rows_of_the_test_are_seen_and_the_other_way_round(rq_jobs: RqJobs) -> None:
    enter_all.delay("a")
    ledger.put("b")
    rq_jobs.run()
    with ledger.atomic():
        ledger.put("c")
    assert names() == ["a", "b", "c", "taken"]


def test_within_an_atomic_block_of_the_test(rq_jobs: RqJobs) -> None:
    enter_all.delay("a", durable=True)
    with suppress(RolledBack), ledger.atomic():
        rq_jobs.run()
        assert names() == ["a", "taken"]
        raise RolledBack
    assert names() == ["taken"]


def test_on_commit(rq_jobs: RqJobs) -> None:
    call_on_commit.delay()
    rq_jobs.run()
    assert committed == ["at once", "in the transaction", "at the end", "of a savepoint"]


def test_on_commit_and_a_rollback(rq_jobs: RqJobs) -> None:
    call_on_rollback.delay()
    rq_jobs.run()
    assert committed == []
    assert names() == ["taken"]


def test_an_error_on_commit(rq_jobs: RqJobs) -> None:
    """What was committed stays, and what is behind is not called, as Django has it."""
    fail_on_commit.delay()
    with pytest.raises(LookupError, match="on commit"):
        rq_jobs.run()
    assert committed == ["before"]
    assert names() == ["committed", "taken"]


def test_callbacks_of_the_test_stay_where_they_are(
    rq_jobs: RqJobs, connection: BaseDatabaseWrapper
) -> None:
    ledger.on_commit("of the test")
    call_on_commit.delay()
    rq_jobs.run()
    assert "of the test" not in committed
    assert len(connection.run_on_commit) == 1


def test_savepoints_are_not_counted(rq_jobs: RqJobs, connection: BaseDatabaseWrapper) -> None:
    enter.delay("a", "b")
    with CaptureQueriesContext(connection) as queries:
        rq_jobs.run()
    assert len(queries) == 2


def test_a_test_that_broke_its_own_transaction(rq_jobs: RqJobs) -> None:
    job = enter.delay("a")
    transaction.set_rollback(True, using=ALIAS)
    with pytest.raises(TransactionManagementError):
        rq_jobs.run()
    transaction.set_rollback(False, using=ALIAS)
    assert job.is_failed
    assert names() == ["taken"]


@async_job
def register(model: str) -> None:
    ContentType.objects.create(app_label="shop", model=model)


@pytest.mark.django_db
def test_models(rq_jobs: RqJobs) -> None:
    """Django marks a transaction in which saving a model failed."""
    for model in ("order", "order", "cart"):
        register.delay(model)
    rq_jobs.run(raise_exceptions=False)
    assert ContentType.objects.filter(app_label="shop").count() == 2
