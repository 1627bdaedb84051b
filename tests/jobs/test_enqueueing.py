import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pickle import PicklingError
from typing import Any, ClassVar
from unittest.mock import patch

import django_rq
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django_rq import get_queue, thread_queue
from django_rq.queues import DjangoRQ
from redis.exceptions import ConnectionError as NoRedisAnswers
from rq import Callback, Repeat, Retry
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job

from django_devtools.jobs import Task, async_job
from django_devtools.jobs.redis import connection
from django_devtools.jobs.testing import RqJobs
from tests.jobs import versions
from tests.jobs.tasks import (
    add,
    archive,
    notify,
    print_image,
    printed,
    process_image,
    send_mail,
)
from tests.project import Project

Decorator = Callable[..., Callable[..., Any]]

Configure = Callable[..., None]

LATER = datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("registry")


# Each way to make a job, as a function of a task and the arguments.

Way = Callable[..., Job]


def delay(task: Task[..., Any], *args: Any, **kwargs: Any) -> Job:
    return task.delay(*args, **kwargs)


def enqueue_in(task: Task[..., Any], *args: Any, **kwargs: Any) -> Job:
    return task.enqueue_in(timedelta(days=1), *args, **kwargs)


def enqueue_at(task: Task[..., Any], *args: Any, **kwargs: Any) -> Job:
    return task.enqueue_at(LATER, *args, **kwargs)


every_way = pytest.mark.parametrize("enqueue", [delay, enqueue_in, enqueue_at])


@pytest.fixture
def configure(settings: Any) -> Configure:
    """A function that gives the default queue some options."""
    queues = deepcopy(settings.RQ_QUEUES)

    def configure(**options: Any) -> None:
        settings.RQ_QUEUES = queues | {"default": queues["default"] | options}

    return configure


def job_ids(queue: str = "default") -> list[str]:
    """Those that are queued, and those that are scheduled."""
    found = get_queue(queue)
    return [*found.job_ids, *found.scheduled_job_registry.get_job_ids()]


def stored(job: Job, queue: str = "default") -> Job:
    """What Redis knows of a job."""
    found = get_queue(queue).fetch_job(job.id)
    assert found
    return found


# The same as django_rq.job.


@pytest.fixture(params=[async_job, django_rq.job], ids=["async_job", "django_rq.job"])
def decorator(request: pytest.FixtureRequest) -> Decorator:
    made: Decorator = request.param
    return made


@contextmanager
def at_once() -> Iterator[None]:
    yield


@contextmanager
def held_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        assert job_ids("default") == job_ids("high") == []


@pytest.fixture(params=["fake", "real"])
def queues(request: pytest.FixtureRequest, settings: Any) -> None:
    """The same queues on a fake, and on a real Redis."""
    if request.param == "real":
        url = request.getfixturevalue("real_redis_url")
        settings.FAKE_REDIS = False
        settings.RQ_QUEUES = {"default": {"URL": url}, "high": {"URL": url}}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("queues")
@pytest.mark.parametrize("when", [at_once, held_back])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"at_front": True},
        {"depends_on": "other"},
        {"depends_on": Dependency("other", allow_failure=True, enqueue_at_front=True)},
        {"description": "Sums"},
        {"failure_ttl": 10},
        {"meta": {"by": "Ada"}},
        {"on_failure": Callback(notify)},
        {"on_stopped": Callback("tests.jobs.tasks.notify", timeout=5)},
        {"on_success": Callback(notify, timeout="1m")},
        {"result_ttl": None},
        {"result_ttl": 0},
        {"result_ttl": 10},
        {"retry": Retry(max=3, interval=[1, 2], **versions.retry_at_front)},
        {"timeout": "1h"},
        {"timeout": -1},
        {"timeout": None},
        {"ttl": 10},
        pytest.param({"webhooks": "made by the test"}, marks=versions.webhooks),
    ],
    ids=",".join,
)
def test_options(options: dict[str, Any], when: Any) -> None:
    """The hash that Redis has of the job is that of django_rq.job's."""
    if "webhooks" in options:
        from rq.webhook import Webhook

        options = {"webhooks": [Webhook("https://example.com/", "finished")]}
    hashes = []
    for decorator in (django_rq.job, async_job):
        decorated: Any = decorator("high", **options)(add)
        with when():
            decorated.delay(1, y=2, job_id="sum")
        redis = get_queue("high").connection
        hashes.append(redis.hgetall("rq:job:sum"))
        redis.flushdb()
    for stored in hashes:
        for time in (b"created_at", b"enqueued_at"):
            stored.pop(time, None)
    assert hashes[0] == hashes[1]
    assert hashes[0][b"origin"] == b"high"


every_time = pytest.mark.parametrize("when", [nullcontext, transaction.atomic])


@pytest.mark.django_db(transaction=True)
@every_time
def test_groups(rq_jobs: RqJobs, when: Any) -> None:
    task = process_image.using(group_id="images")
    with when():
        first = task.delay(1)
        second = task.enqueue_in(timedelta(hours=1), 2)
        third = task.using("elsewhere").delay(3)
    assert [job.group_id for job in rq_jobs] == ["images"] * 3
    group = Group.fetch("images", get_queue().connection)
    assert {job.id for job in group.get_jobs()} == {first.id, second.id}
    assert list(Group.fetch("images", third.connection).get_jobs()) == [third]
    assert job_ids() == [first.id, second.id]
    assert third.is_queued


@pytest.mark.django_db(transaction=True)
@every_time
def test_repeated_jobs(rq_jobs: RqJobs, when: Any) -> None:
    with when():
        process_image.using(repeat=Repeat(times=2, interval=60)).delay(1)
        print_image.using(repeat=Repeat(times=2)).enqueue_in(timedelta(hours=1), 1)
    assert len(rq_jobs.run(until=timedelta(minutes=2))) == 3
    assert len(rq_jobs.run(until=timedelta(hours=1))) == 3


@versions.unique_jobs
@pytest.mark.django_db(transaction=True)
@every_time
@pytest.mark.parametrize("enqueue", [delay, enqueue_in, enqueue_at])
def test_unique_jobs(enqueue: Way, when: Any) -> None:
    from rq.exceptions import DuplicateJobError

    task = process_image.using(unique=True, job_id="one")
    with when():
        job = enqueue(task, 1)
    assert Job.exists("one", job.connection)
    with pytest.raises(DuplicateJobError), when():
        enqueue(task, 2)
    assert stored(job).args == (1,)


@versions.unique_jobs
@pytest.mark.django_db(transaction=True)
@every_time
def test_unique_jobs_need_an_id(when: Any) -> None:
    task = process_image.using(unique=True)
    with when(), pytest.raises(ValueError, match=r"^unique=True requires an explicit job_id$"):
        task.delay(1)


@versions.rate_limits
@pytest.mark.django_db(transaction=True)
@every_time
def test_rate_limits(rq_jobs: RqJobs, when: Any) -> None:
    from rq.rate_limit import RateLimit

    task = process_image.using(rate_limit=RateLimit("images", 1))
    with when():
        first, second = task.delay(1), task.delay(2)
        third = task.using(group_id="images").delay(3)
    assert job_ids() == [first.id]
    assert second.get_status() == third.get_status() == "rate_limited"
    # In whole seconds, they have waited as long.
    assert rq_jobs.run() in ([first, second, third], [first, third, second])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("when", [at_once, held_back])
def test_at_front(decorator: Decorator, when: Any) -> None:
    decorated: Any = decorator("high", at_front=True)(add)
    with when():
        decorated.delay(1, 2, job_id="last")
        decorated.delay(1, 2, job_id="first", at_front=None)
    assert job_ids("high") == ["first", "last"]


# RQ before 3.0 did not hear it.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("when", [at_once, held_back])
def test_at_front_but_for_one(when: Any) -> None:
    decorated: Any = async_job("high", at_front=True)(add)
    with when():
        decorated.delay(1, 2, job_id="first")
        decorated.delay(1, 2, job_id="last", at_front=False)
    assert job_ids("high") == ["first", "last"]


def test_depends_on(decorator: Decorator) -> None:
    other = send_mail.delay("ada@example.com")
    decorated: Any = decorator("high", depends_on=other)(add)
    job = decorated.delay(1, 2)
    assert job_ids("high") == [other.id]
    assert get_queue("high").deferred_job_registry.get_job_ids() == [job.id]
    assert job.dependency.id == other.id


def test_default_timeout(decorator: Decorator, configure: Configure) -> None:
    configure(DEFAULT_TIMEOUT=300)
    decorated: Any = decorator(add)
    assert decorated.delay(1, 2).timeout == 300
    own: Any = decorator("default", timeout=5)(add)
    assert own.delay(1, 2).timeout == 5


@pytest.mark.parametrize(
    ("queue", "rq", "expected"),
    [
        ({}, {}, None),
        ({}, {"DEFAULT_RESULT_TTL": 5}, 5),
        ({"DEFAULT_RESULT_TTL": 300}, {"DEFAULT_RESULT_TTL": 5}, 300),
        ({"DEFAULT_RESULT_TTL": 300}, {}, 300),
        ({"DEFAULT_RESULT_TTL": 300, "QUEUE_CLASS": "rq.Queue"}, {}, 300),
    ],
)
def test_default_result_ttl(
    decorator: Decorator,
    configure: Configure,
    settings: Any,
    queue: Any,
    rq: Any,
    expected: int | None,
) -> None:
    settings.RQ = rq
    configure(**queue)
    decorated: Any = decorator(add)
    assert decorated.delay(1, 2).result_ttl == expected
    own: Any = decorator("default", result_ttl=7)(add)
    assert own.delay(1, 2).result_ttl == 7


def test_synchronous_queue(decorator: Decorator, configure: Configure) -> None:
    configure(ASYNC=False)
    decorated: Any = decorator(add)
    job = decorated.delay(1, 2)
    assert job.is_finished
    assert job.return_value() == 3


class Journal(DjangoRQ):
    """A queue that notes what is enqueued."""

    names: ClassVar[list[str]] = []

    def enqueue_call(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        self.names.append(func.__name__)
        return super().enqueue_call(func, *args, **kwargs)  # type: ignore[no-untyped-call]


@pytest.fixture
def journal() -> list[str]:
    Journal.names.clear()
    return Journal.names


@pytest.mark.parametrize("place", ["RQ", "RQ_QUEUES"])
def test_queue_class(
    decorator: Decorator, configure: Configure, settings: Any, journal: list[str], place: str
) -> None:
    name = f"{__name__}.Journal"
    settings.RQ = {"QUEUE_CLASS": name} if place == "RQ" else {}
    if place == "RQ_QUEUES":
        configure(QUEUE_CLASS=name)
    decorated: Any = decorator(add)
    job = decorated.delay(1, 2)
    assert journal == ["add"]
    assert job_ids() == [job.id]


class Ticket(Job):
    pass


def test_job_class(decorator: Decorator, settings: Any) -> None:
    settings.RQ = {"JOB_CLASS": f"{__name__}.Ticket"}
    decorated: Any = decorator(add)
    assert type(decorated.delay(1, 2)) is Ticket


def test_serializer(decorator: Decorator, configure: Configure) -> None:
    configure(SERIALIZER="rq.serializers.JSONSerializer")
    decorated: Any = decorator(add)
    job = decorated.delay(1, y=2)
    data: Any = get_queue().connection.hget(job.key, "data")
    assert json.loads(zlib.decompress(data)) == ["tests.jobs.tasks.add", None, [1], {"y": 2}]


# What django_rq.job has not.


def test_options_of_queue_class_and_connection(journal: list[str]) -> None:
    elsewhere = connection("elsewhere")
    job = process_image.using(queue_class=Journal, connection=elsewhere).delay(1)
    assert journal == ["process_image"]
    assert job.connection is elsewhere
    assert job_ids() == []
    assert get_queue(connection=elsewhere).job_ids == [job.id]


def test_queue_class_by_its_name(journal: list[str]) -> None:
    process_image.using(queue_class=f"{__name__}.Journal").delay(1)
    assert journal == ["process_image"]


def test_meta_is_of_one_job_only() -> None:
    first = send_mail.delay("ada@example.com")
    first.meta["read"] = True
    second = send_mail.delay("ada@example.com")
    assert second.meta == {"kind": "mail"}
    assert send_mail.options["meta"] == {"kind": "mail"}


@every_way
@pytest.mark.parametrize(
    ("queue", "options", "expected"),
    [
        ({}, {}, (180, None)),
        ({"DEFAULT_TIMEOUT": 300, "DEFAULT_RESULT_TTL": 30}, {}, (300, 30)),
        ({"DEFAULT_TIMEOUT": 300}, {"timeout": "1m", "result_ttl": 7}, (60, 7)),
    ],
)
def test_defaults_of_a_queue(
    enqueue: Way, configure: Configure, queue: Any, options: Any, expected: tuple[int, int | None]
) -> None:
    configure(**queue)
    job = stored(enqueue(process_image.using(**options), 1))
    assert (job.timeout, job.result_ttl) == expected


def test_scheduled_at_the_time_that_rq_takes_it_for() -> None:
    """Which is in the zone of the system when it has none."""
    naive = datetime(2040, 1, 2, 3, 4, 5)
    ours = process_image.enqueue_at(naive, 1)
    queue = get_queue()
    theirs = queue.enqueue_at(naive, process_image, 1)
    registry = queue.scheduled_job_registry
    assert registry.get_scheduled_time(ours.id) == registry.get_scheduled_time(theirs.id)


def test_scheduled_job_is_what_rq_makes_it() -> None:
    queue = get_queue("high")
    options: Any = {"at_front": True, "meta": {"by": "Ada"}, "retry": Retry(2, 5), "ttl": 60}
    task: Any = async_job("high", timeout=5, **options)(add)
    hashes = []
    for job in (
        queue.enqueue_at(LATER, add, 1, y=2, job_timeout=5, **options),
        task.enqueue_at(LATER, 1, y=2),
    ):
        hashes.append(queue.connection.hgetall(job.key))
        del hashes[-1][b"created_at"]
    assert hashes[0] == hashes[1]
    assert hashes[0][b"enqueue_at_front"] == b"1"


def test_scheduled_time_may_be_past(rq_jobs: RqJobs) -> None:
    job = process_image.enqueue_in(timedelta(seconds=-1), 1)
    rq_jobs.run()
    assert job.return_value() == "image 1 at 100"


# The settings of the moment.


def test_queues_are_those_of_the_moment(settings: Any) -> None:
    settings.RQ_QUEUES = {"default": {"HOST": "one", "PORT": 6379}}
    first = process_image.delay(1)
    settings.RQ_QUEUES = {"default": {"HOST": "two", "PORT": 6379}}
    second = process_image.delay(1)

    assert job_ids() == [second.id]
    settings.RQ_QUEUES = {"default": {"HOST": "one", "PORT": 6379}}
    assert job_ids() == [first.id]


def test_queue_edited_in_place(settings: Any) -> None:
    original = {"HOST": "localhost", "PORT": 6379}
    settings.RQ_QUEUES = {"default": original}

    settings.RQ_QUEUES["default"]["ASYNC"] = False
    assert process_image.delay(1).is_finished
    del settings.RQ_QUEUES["default"]["ASYNC"]
    assert process_image.delay(1).is_queued
    settings.RQ_QUEUES["default"].update(DEFAULT_TIMEOUT=5, DB=3)
    job = process_image.delay(1)
    assert job.timeout == 5
    assert job.connection.get_connection_kwargs()["db"] == 3
    assert original == {"HOST": "localhost", "PORT": 6379, "DEFAULT_TIMEOUT": 5, "DB": 3}


@pytest.mark.parametrize(
    "original", [{"HOST": "one", "PORT": 6379, "DB": 2}, {"URL": "redis://one:6379/2"}]
)
def test_queue_patched(settings: Any, original: dict[str, Any]) -> None:
    before = dict(original)
    settings.RQ_QUEUES = {"default": original}
    with patch.dict(settings.RQ_QUEUES["default"], ASYNC=False):
        assert process_image.delay(1).is_finished
    job = process_image.delay(1)
    assert job.is_queued
    assert job.connection.get_connection_kwargs()["host"] == "one"
    assert original == before


def test_queue_added_by_a_patch(settings: Any) -> None:
    extra = {"HOST": "localhost", "PORT": 6379}
    with patch.dict(settings.RQ_QUEUES, extra=extra):
        job = process_image.using("extra").delay(1)
        assert job_ids("extra") == [job.id]
    assert "extra" not in settings.RQ_QUEUES


def test_rq_is_that_of_the_moment(settings: Any) -> None:
    for ttl in (5, 10):
        settings.RQ = {"DEFAULT_RESULT_TTL": ttl}
        assert process_image.delay(1).result_ttl == ttl
    settings.RQ["DEFAULT_RESULT_TTL"] = 15
    assert process_image.delay(1).result_ttl == 15


@every_way
def test_unknown_queue(enqueue: Way) -> None:
    with pytest.raises(KeyError) as caught:
        enqueue(process_image.using("hgih"), 1)
    [message] = caught.value.args
    assert message == "RQ_QUEUES has no queue 'hgih'. It has: default, elsewhere, high."


def test_no_queues(settings: Any) -> None:
    del settings.RQ_QUEUES
    with pytest.raises(KeyError) as caught:
        process_image.delay(1)
    [message] = caught.value.args
    assert message == "RQ_QUEUES has no queue 'default'. It has: none at all."


def test_redis_does_not_answer(settings: Any) -> None:
    settings.FAKE_REDIS = False
    settings.RQ_QUEUES = {
        "default": {"HOST": "127.0.0.1", "PORT": 1, "REDIS_CLIENT_KWARGS": {"retry": None}}
    }
    with pytest.raises(NoRedisAnswers):
        process_image.delay(1)


def test_connection_is_kept(configure: Configure, settings: Any) -> None:
    first = process_image.delay(1).connection
    assert process_image.delay(1).connection is first
    assert process_image.enqueue_at(LATER, 1).connection is first
    assert send_mail.delay("ada@example.com").connection is not first

    configure(DB=1)
    second = process_image.delay(1).connection
    assert second is not first
    settings.RQ_QUEUES["default"]["DB"] = 2
    assert process_image.delay(1).connection is not second


def test_connection_follows_edits_in_place(settings: Any) -> None:
    settings.FAKE_REDIS = False
    options = {"socket_timeout": 1}
    queue = {"HOST": "localhost", "PORT": 6379, "REDIS_CLIENT_KWARGS": options}
    settings.RQ_QUEUES = {"default": queue}
    first = connection("default")

    queue["DB"] = 3
    second = connection("default")
    assert second is not first
    assert second.get_connection_kwargs()["db"] == 3
    options["socket_timeout"] = 2
    assert connection("default").get_connection_kwargs()["socket_timeout"] == 2


def test_real_connection_is_kept(real_redis_url: str, settings: Any) -> None:
    settings.FAKE_REDIS = False
    settings.RQ_QUEUES = {"default": {"URL": real_redis_url}}
    clients = {process_image.delay(pk).connection.client_id() for pk in range(3)}
    assert len(clients) == 1


# COMMIT_MODE.

# A request, and what django-rq does at its end.
Request = Callable[[], AbstractContextManager[None]]


@contextmanager
def request() -> Iterator[None]:
    try:
        yield
    except Oops:
        thread_queue.clear()
        raise
    thread_queue.commit()


class Oops(Exception):
    """What goes wrong in a view."""


on_db_commit = pytest.param({}, transaction.atomic, id="on_db_commit")
request_finished = pytest.param(
    {"COMMIT_MODE": "request_finished"}, request, id="request_finished"
)
every_block = pytest.mark.parametrize(("rq", "block"), [on_db_commit, request_finished])


@pytest.mark.django_db(transaction=True)
@every_way
@every_block
def test_waits(rq: Any, block: Request, enqueue: Way, settings: Any) -> None:
    settings.RQ = rq
    with block():
        job = enqueue(process_image, 1, width=300)
        other = enqueue(process_image, 2)
        assert job_ids() == []
        with pytest.raises(NoSuchJobError):
            job.refresh()

    assert set(job_ids()) == {job.id, other.id}
    job.refresh()
    assert (job.args, job.kwargs) == ((1,), {"width": 300})


@pytest.mark.django_db(transaction=True)
@every_way
@every_block
def test_never_comes(rq: Any, block: Request, enqueue: Way, settings: Any) -> None:
    settings.RQ = rq
    with suppress(Oops), block():
        enqueue(process_image, 1)
        raise Oops
    with block():
        pass
    assert job_ids() == []


@pytest.mark.django_db(transaction=True)
@every_way
def test_savepoint_is_rolled_back(enqueue: Way) -> None:
    with transaction.atomic():
        first = enqueue(process_image, 1)
        with suppress(Oops), transaction.atomic():
            enqueue(process_image, 2)
            raise Oops
        with transaction.atomic():
            third = enqueue(process_image, 3)
        assert job_ids() == []
    assert set(job_ids()) == {first.id, third.id}


@pytest.mark.django_db(transaction=True)
@every_way
def test_does_not_wait_without_a_transaction(enqueue: Way) -> None:
    job = enqueue(process_image, 1)
    assert job_ids() == [job.id]


@pytest.mark.django_db(transaction=True)
@every_way
def test_does_not_wait_in_mode_auto(enqueue: Way, settings: Any) -> None:
    settings.RQ = {"COMMIT_MODE": "auto"}
    with suppress(Oops), transaction.atomic():
        job = enqueue(process_image, 1)
        raise Oops
    assert job_ids() == [job.id]


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings('ignore:"AUTOCOMMIT" is deprecated:DeprecationWarning')
@every_way
@pytest.mark.parametrize(("autocommit", "count"), [(True, 1), (False, 0)])
def test_autocommit(enqueue: Way, settings: Any, autocommit: bool, count: int) -> None:
    settings.RQ = {"AUTOCOMMIT": autocommit}
    with request():
        job = enqueue(process_image, 1)
        assert len(job_ids()) == count
    assert job_ids() == [job.id]


@every_way
def test_unknown_commit_mode(enqueue: Way, settings: Any) -> None:
    settings.RQ = {"COMMIT_MODE": "on_commit"}
    with pytest.raises(ImproperlyConfigured, match='"COMMIT_MODE" must be one of'):
        enqueue(process_image, 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.filterwarnings('ignore:"AUTOCOMMIT" is deprecated:DeprecationWarning')
@pytest.mark.parametrize(
    ("rq", "before", "after"),
    [
        ({}, 0, 1),
        ({"COMMIT_MODE": None}, 0, 1),
        ({"COMMIT_MODE": "on_db_commit"}, 0, 1),
        ({"COMMIT_MODE": "auto"}, 1, 1),
        ({"COMMIT_MODE": "request_finished"}, 0, 0),
        ({"COMMIT_MODE": "auto", "AUTOCOMMIT": False}, 1, 1),
        ({"AUTOCOMMIT": True}, 1, 1),
        ({"AUTOCOMMIT": False}, 0, 0),
        ({"QUEUE_CLASS": "rq.Queue"}, 1, 1),
        ({"QUEUE_CLASS": f"{__name__}.Journal"}, 0, 1),
        ({"QUEUE_CLASS": f"{__name__}.Impatient"}, 1, 1),
        ({"QUEUE_CLASS": f"{__name__}.Patient", "COMMIT_MODE": "auto"}, 0, 0),
    ],
    ids=str,
)
def test_waits_as_long_as_django_rq(
    decorator: Decorator, settings: Any, rq: Any, before: int, after: int
) -> None:
    settings.RQ = rq
    decorated: Any = decorator(add)
    with transaction.atomic():
        job = decorated.delay(1, 2)
        assert len(job_ids()) == before
    assert len(job_ids()) == after
    thread_queue.commit()
    assert len(job_ids()) == 1
    if decorator is async_job:
        assert job_ids() == [job.id]


class Impatient(DjangoRQ):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["commit_mode"] = "auto"
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]


class Patient(DjangoRQ):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["commit_mode"] = "request_finished"
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("enqueue", [enqueue_in, enqueue_at])
@pytest.mark.parametrize("queue_class", ["rq.Queue", f"{__name__}.Impatient"])
def test_scheduled_job_of_an_impatient_queue(
    enqueue: Way, queue_class: str, settings: Any
) -> None:
    settings.RQ = {"QUEUE_CLASS": queue_class}
    with transaction.atomic():
        job = enqueue(process_image, 1)
        assert job_ids() == [job.id]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("enqueue", [enqueue_in, enqueue_at])
def test_scheduled_job_of_a_patient_queue(enqueue: Way, settings: Any) -> None:
    settings.RQ = {"QUEUE_CLASS": f"{__name__}.Patient", "COMMIT_MODE": "auto"}
    with transaction.atomic():
        job = enqueue(process_image, 1)
    assert job_ids() == []
    thread_queue.commit()
    assert job_ids() == [job.id]


@pytest.mark.django_db(transaction=True)
@every_way
@every_block
def test_arguments_are_those_of_the_call(
    rq: Any, block: Request, enqueue: Way, settings: Any
) -> None:
    settings.RQ = rq
    names = ["Ada"]
    with block():
        job = enqueue(archive, names=names)
        names.append("Grace")
    assert stored(job).kwargs == {"names": ["Ada"]}
    assert job.kwargs == {"names": ["Ada"]}


@pytest.mark.django_db(transaction=True)
@every_way
def test_arguments_go_through_the_serializer(enqueue: Way, configure: Configure) -> None:
    configure(SERIALIZER="rq.serializers.JSONSerializer")
    with transaction.atomic():
        job = enqueue(archive, names=("Ada",))
    assert stored(job).kwargs == {"names": ["Ada"]}
    assert stored(job).args == []


@pytest.mark.django_db(transaction=True)
@every_way
@every_block
@pytest.mark.parametrize(
    ("options", "kwargs", "error", "message"),
    [
        ({"timeout": 0}, {}, ValueError, "0 timeout is not allowed. Use -1 for infinite timeout"),
        ({"ttl": 0}, {}, ValueError, "Job ttl must be greater than 0"),
        pytest.param(
            {"webhooks": ["x"]},
            {},
            TypeError,
            "webhooks must be a sequence of Webhook instances",
            marks=versions.webhooks,
        ),
        pytest.param(
            {"depends_on": [1]},
            {},
            ValueError,
            "depends_on items must be Job objects or string",
            marks=versions.checked_dependencies,
        ),
        ({}, {"names": lambda: None}, (AttributeError, PicklingError), "(?i)can't pickle"),
    ],
    ids=["timeout", "ttl", "webhooks", "depends_on", "arguments"],
)
def test_errors_come_with_the_call(
    rq: Any,
    block: Request,
    enqueue: Way,
    options: Any,
    kwargs: Any,
    error: type[Exception],
    message: str,
    settings: Any,
) -> None:
    settings.RQ = rq
    task = archive.using(**options)
    with block(), pytest.raises(error, match=message):
        enqueue(task, **kwargs)
    assert job_ids() == []


@pytest.mark.django_db(transaction=True)
@every_block
def test_depends_on_a_job_that_waits(
    rq: Any, block: Request, settings: Any, rq_jobs: RqJobs
) -> None:
    settings.RQ = rq
    printed.clear()
    with block():
        first = print_image.delay(1)
        second = print_image.using("high", depends_on=first).delay(2)
    assert (job_ids("default"), job_ids("high")) == ([first.id], [])
    assert get_queue("high").deferred_job_registry.get_job_ids() == [second.id]
    rq_jobs.run()
    assert printed == [1, 2]


@pytest.mark.django_db(transaction=True)
@every_block
def test_synchronous_queue_waits(
    rq: Any, block: Request, configure: Configure, settings: Any
) -> None:
    settings.RQ = rq
    configure(ASYNC=False)
    printed.clear()
    with block():
        job = print_image.delay(1)
        assert printed == []
    assert printed == [1]
    assert stored(job).is_finished


@pytest.mark.django_db(transaction=True)
@every_block
def test_id_of_the_callers_choice(rq: Any, block: Request, settings: Any) -> None:
    settings.RQ = rq
    with block():
        job = process_image.using(job_id="urgent").delay(1)
    assert job.id == "urgent"
    assert job_ids() == ["urgent"]


def test_end_of_a_request(make_project: Callable[..., Project]) -> None:
    project = make_project(git=False)
    project.write(
        "config/tasks.py",
        """
        from django_devtools.jobs import async_job

        @async_job
        def greet(name): ...
        """,
    )
    project.write(
        "config/urls.py",
        """
        from datetime import timedelta
        from django.http import HttpResponse
        from django.urls import path
        from django_rq import get_queue
        from config.tasks import greet

        def view(request, name):
            greet.delay(name)
            greet.enqueue_in(timedelta(days=1), name)
            if name == "Oops":
                raise ValueError(name)
            return HttpResponse(f"{get_queue().count} before the end")

        urlpatterns = [path("<name>", view)]
        """,
    )
    project.settings("""
        INSTALLED_APPS += ["django_rq"]
        ROOT_URLCONF = "config.urls"
        ALLOWED_HOSTS = ["*"]
        FAKE_REDIS = True
        RQ_QUEUES = {"default": {"HOST": "localhost", "PORT": 6379}}
        RQ = {"COMMIT_MODE": "request_finished"}
    """)
    printed = project.python("""
        import logging
        from django.test import Client
        from django_rq import get_queue

        logging.disable()
        client = Client(raise_request_exception=False)
        print(client.get("/Oops").status_code)
        print(client.get("/Ada").text)
        queue = get_queue()
        print([job.args for job in queue.jobs])
        print(queue.scheduled_job_registry.count)
    """)
    assert printed.splitlines() == ["500", "0 before the end", "[('Ada',)]", "1"]
