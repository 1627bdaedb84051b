"""Jobs that are enqueued inside of a test's own transaction."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import django_rq
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.test import Client, TestCase
from django.urls import path
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings
from rq import Queue

from django_devtools.jobs import async_job
from django_devtools.jobs.commits import committed_jobs
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import of_django_rq, plain, resize, send_mail, sign_up

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def names(jobs: RqJobs | list[Any]) -> list[str]:
    return [job.args[0] for job in jobs]


class Rejected(Exception):
    """What code raises to have its changes rolled back."""


@contextmanager
def rolled_back(savepoint: bool = True) -> Iterator[None]:
    """A transaction that fails in the end."""
    with suppress(Rejected), atomic(savepoint=savepoint):
        yield
        raise Rejected


every_way = pytest.mark.parametrize(
    "enqueue",
    [
        resize.delay,
        resize.enqueue,
        partial(resize.enqueue_in, HOUR),
        partial(resize.enqueue_at, datetime(2040, 1, 1, tzinfo=UTC)),
        send_mail.delay,
        resize.using(result_ttl=0).delay,
        of_django_rq.delay,
        partial(django_rq.enqueue, plain),
        lambda name: django_rq.get_queue("elsewhere").enqueue(plain, name),
    ],
    ids=[
        "delay",
        "enqueue",
        "enqueue_in",
        "enqueue_at",
        "another queue",
        "using",
        "django_rq.job",
        "django_rq.enqueue",
        "django_rq.get_queue",
    ],
)
Enqueue = Callable[[str], Any]


@every_way
def test_enqueued_at_once_without_a_transaction(rq_jobs: RqJobs, enqueue: Enqueue) -> None:
    enqueue("a.png")
    assert names(rq_jobs) == ["a.png"]


@every_way
def test_enqueued_when_the_transaction_ends(rq_jobs: RqJobs, enqueue: Enqueue) -> None:
    with atomic():
        enqueue("a.png")
        assert names(rq_jobs) == []
    assert names(rq_jobs) == ["a.png"]


@every_way
def test_enqueued_when_the_outermost_transaction_ends(rq_jobs: RqJobs, enqueue: Enqueue) -> None:
    with atomic():
        with atomic():
            enqueue("a.png")
            with atomic(savepoint=False):
                enqueue("b.png")
        assert names(rq_jobs) == []
    assert names(rq_jobs) == ["a.png", "b.png"]


@every_way
def test_never_enqueued_when_that_rolls_back(rq_jobs: RqJobs, enqueue: Enqueue) -> None:
    with rolled_back(), atomic():
        enqueue("a.png")
    assert names(rq_jobs) == []

    with atomic():
        enqueue("b.png")
    assert names(rq_jobs) == ["b.png"]


@every_way
def test_never_enqueued_when_its_savepoint_rolls_back(rq_jobs: RqJobs, enqueue: Enqueue) -> None:
    with atomic():
        enqueue("a.png")
        with rolled_back():
            enqueue("b.png")
        enqueue("c.png")
    assert names(rq_jobs) == ["a.png", "c.png"]


def test_the_job_is_known_before_it_is_enqueued(rq_jobs: RqJobs) -> None:
    with atomic():
        job = resize.delay("a.png")
    assert list(rq_jobs) == [job]


def test_rolled_back_without_a_savepoint(rq_jobs: RqJobs) -> None:
    """Django rolls the whole transaction back."""
    with atomic():
        resize.delay("a.png")
        with rolled_back(savepoint=False):
            resize.delay("b.png")
    assert names(rq_jobs) == []


def test_rolled_back_by_hand(rq_jobs: RqJobs) -> None:
    with atomic():
        resize.delay("a.png")
        transaction.set_rollback(True)
    assert names(rq_jobs) == []


def test_rolled_back_by_the_database(rq_jobs: RqJobs) -> None:
    ContentType.objects.create(app_label="shop", model="order")
    with suppress(IntegrityError), atomic():
        resize.delay("a.png")
        ContentType.objects.create(app_label="shop", model="order")
    assert names(rq_jobs) == []


def test_durable(rq_jobs: RqJobs) -> None:
    with atomic(durable=True):
        resize.delay("a.png")
        assert names(rq_jobs) == []
    assert names(rq_jobs) == ["a.png"]


def test_decorated_functions(rq_jobs: RqJobs) -> None:
    @atomic
    def upload(name: str, fails: bool = False) -> None:
        resize.delay(name)
        if fails:
            raise Rejected

    upload("a.png")
    with pytest.raises(Rejected):
        upload("b.png", fails=True)
    assert names(rq_jobs) == ["a.png"]


def test_a_test_that_broke_its_own_transaction(rq_jobs: RqJobs) -> None:
    """Whatever it does now, is never committed."""
    resize.delay("a.png")
    transaction.set_rollback(True)
    resize.delay("b.png")
    transaction.set_rollback(False)
    assert names(rq_jobs) == ["a.png"]


def test_run_inside_of_a_transaction(rq_jobs: RqJobs) -> None:
    with atomic():
        resize.delay("a.png")
        assert rq_jobs.run() == []
    assert names(rq_jobs.run()) == ["a.png"]


@async_job
def upload(name: str, fails: bool = False) -> None:
    with atomic():
        resize.delay(name)
        if fails:
            raise Rejected


def test_transactions_of_jobs(rq_jobs: RqJobs) -> None:
    upload.delay("a.png")
    upload.delay("b.png", fails=True)
    rq_jobs.run(raise_exceptions=False)
    assert names(rq_jobs.assert_enqueued(resize)) == ["a.png"]


def test_queues_that_are_not_asynchronous(rq_jobs: RqJobs, settings: Settings) -> None:
    """Their jobs are run when they would be enqueued, and theirs, too."""
    queue = {"HOST": "localhost", "PORT": 6379, "ASYNC": False}
    settings.RQ_QUEUES = {"default": queue, "high": queue}
    with atomic():
        sign_up.delay("ada@example.com")
        assert not rq_jobs
    assert rq_jobs.assert_enqueued(sign_up)[0].is_finished
    assert rq_jobs.assert_enqueued(send_mail)[0].is_finished


def test_commit_mode_auto(rq_jobs: RqJobs, settings: Settings) -> None:
    settings.RQ = {"COMMIT_MODE": "auto"}
    with rolled_back():
        resize.delay("a.png")
    assert names(rq_jobs) == ["a.png"]


@pytest.mark.django_db(transaction=True)
def test_real_transactions(rq_jobs: RqJobs) -> None:
    resize.delay("a.png")
    assert names(rq_jobs) == ["a.png"]
    with atomic():
        resize.delay("b.png")
        with rolled_back():
            resize.delay("c.png")
        assert names(rq_jobs) == ["a.png"]
    assert names(rq_jobs) == ["a.png", "b.png"]
    with rolled_back():
        resize.delay("d.png")
    assert names(rq_jobs) == ["a.png", "b.png"]


@pytest.mark.django_db(transaction=True)
def test_commits_by_hand(rq_jobs: RqJobs) -> None:
    transaction.set_autocommit(False)
    try:
        with atomic():
            resize.delay("a.png")
        assert names(rq_jobs) == []
        transaction.commit()
    finally:
        # Django calls what waits for the commit here, and not before.
        transaction.set_autocommit(True)
    assert names(rq_jobs) == ["a.png"]


# transaction.on_commit


def test_other_callbacks_are_not_called(rq_jobs: RqJobs) -> None:
    called: list[str] = []
    with atomic():
        transaction.on_commit(lambda: called.append("callback"))
        transaction.on_commit(lambda: resize.delay("a.png") and None)
        resize.delay("b.png")
    assert called == []
    assert names(rq_jobs) == ["b.png"]


def test_callbacks_that_enqueue(
    rq_jobs: RqJobs, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks, atomic():
        transaction.on_commit(lambda: resize.delay("a.png") and None)
        transaction.on_commit(partial(resize.delay, "b.png"), robust=True)
    assert names(rq_jobs) == ["a.png", "b.png"]
    # Those that the callbacks have enqueued are counted, too.
    assert len(callbacks) == 4


@pytest.mark.parametrize("execute", [False, True])
def test_callbacks_are_counted_and_not_called_again(
    rq_jobs: RqJobs,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    execute: bool,
) -> None:
    called: list[str] = []
    with django_capture_on_commit_callbacks(execute=execute) as callbacks:
        with atomic():
            resize.delay("a.png")
            transaction.on_commit(lambda: called.append("callback"))
            resize.enqueue_in(HOUR, "b.png")
            django_rq.enqueue(plain, "c.png")
        resize.delay("d.png")
    assert len(callbacks) == 5
    assert called == (["callback"] if execute else [])
    assert names(rq_jobs) == ["a.png", "b.png", "c.png", "d.png"]
    for callback in callbacks:
        callback()
    assert names(rq_jobs) == ["a.png", "b.png", "c.png", "d.png"]


def test_what_is_rolled_back_is_not_counted(
    rq_jobs: RqJobs, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True) as callbacks, rolled_back():
        resize.delay("a.png")
    assert callbacks == []
    assert names(rq_jobs) == []


class TestTestCase(TestCase):
    """All that goes for those of Django, too."""

    enqueued_in_setup: list[str]

    @classmethod
    def setUpTestData(cls) -> None:
        with atomic():
            resize.delay("of the class")
        cls.enqueued_in_setup = names(RqJobs())

    def setUp(self) -> None:
        resize.delay("of setUp")

    def test_jobs_of_the_class_are_gone(self) -> None:
        assert self.enqueued_in_setup == ["of the class"]
        assert names(RqJobs()) == ["of setUp"]

    def test_capture_on_commit_callbacks(self) -> None:
        with self.captureOnCommitCallbacks(execute=True) as callbacks, atomic():
            resize.delay("a.png")
        assert len(callbacks) == 1
        assert names(RqJobs()) == ["of setUp", "a.png"]

    def test_transactions(self) -> None:
        with rolled_back():
            resize.delay("a.png")
        with atomic():
            resize.delay("b.png")
            assert names(RqJobs()) == ["of setUp"]
        assert names(RqJobs()) == ["of setUp", "b.png"]


# Views


enqueued_in_view: list[str] = []


def upload_view(request: HttpRequest) -> HttpResponse:
    resize.delay(request.GET["name"])
    enqueued_in_view[:] = names(RqJobs())
    if "fails" in request.GET:
        raise Rejected
    return HttpResponse()


urlpatterns = [path("upload", upload_view)]


@pytest.fixture(autouse=True)
def urls(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.fixture
def client(client: Client) -> Client:
    client.raise_request_exception = False
    return client


def test_views(rq_jobs: RqJobs, client: Client) -> None:
    client.get("/upload", {"name": "a.png"})
    client.get("/upload", {"name": "b.png", "fails": "yes"})
    assert enqueued_in_view == ["a.png", "b.png"]
    assert names(rq_jobs) == ["a.png", "b.png"]


@pytest.mark.usefixtures("atomic_requests")
def test_views_that_are_transactions(rq_jobs: RqJobs, client: Client) -> None:
    client.get("/upload", {"name": "a.png"})
    assert enqueued_in_view == []
    assert names(rq_jobs) == ["a.png"]
    client.get("/upload", {"name": "b.png", "fails": "yes"})
    assert names(rq_jobs) == ["a.png"]


# The means


def test_django_is_left_as_it_was() -> None:
    """What replaces its methods is removed by the outermost of all that need it."""
    methods = transaction.Atomic.__exit__, BaseDatabaseWrapper.on_commit
    with committed_jobs():
        assert (transaction.Atomic.__exit__, BaseDatabaseWrapper.on_commit) == methods
    assert (transaction.Atomic.__exit__, BaseDatabaseWrapper.on_commit) == methods


def test_errors_while_enqueueing_reach_the_code(
    rq_jobs: RqJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they do in production, from the commit."""

    def enqueue(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("No Redis")

    monkeypatch.setattr("rq.Queue.push_job_id", enqueue)
    with pytest.raises(ConnectionError, match=r"^No Redis$"), atomic():
        resize.delay("a.png")


def test_what_is_behind_an_error_is_not_called(
    rq_jobs: RqJobs,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    """As after a real commit: neither a job behind it nor any other callback."""
    called: list[str] = []
    push = Queue.push_job_id

    def enqueue(queue: Queue, job_id: str, *args: Any, **kwargs: Any) -> None:
        if queue.name == "high":
            raise ConnectionError("No Redis")
        push(queue, job_id, *args, **kwargs)

    @atomic
    def upload() -> None:
        resize.delay("a.png")
        transaction.on_commit(lambda: called.append("before"))
        send_mail.delay("b@example.com")
        transaction.on_commit(lambda: called.append("behind"))
        resize.delay("c.png")

    monkeypatch.setattr(Queue, "push_job_id", enqueue)
    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ConnectionError):
            upload()
        resize.delay("d.png")
    assert names(rq_jobs) == ["a.png", "d.png"]
    assert called == ["before"]
