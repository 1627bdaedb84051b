"""Jobs that are delivered more than once, and in another order: workers promise no less."""

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.db import connections
from rq import Retry

from django_devtools.jobs import async_job
from django_devtools.jobs.testing import RqJobs
from tests.databases import ALIAS
from tests.jobs import ledger
from tests.jobs.mailing import fetch, forget, resize, sign_up


@async_job
def add_a_model(name: str) -> None:
    ContentType.objects.create(app_label=f"{ContentType.objects.count()}", model=name)


@async_job
def ensure_a_model(name: str) -> None:
    ContentType.objects.get_or_create(app_label="shop", model=name)


@async_job
def congratulate(name: str) -> None:
    outbox: list[Any] = mail.outbox
    outbox.append(mail.EmailMessage("Congratulations", "!", None, [f"{name}@example.com"]))


def test_without_a_database(rq_jobs: RqJobs) -> None:
    job = resize.delay("a.png")
    assert rq_jobs.run(deliveries=3) == [job] * 3


@pytest.mark.django_db
def test_jobs_that_are_idempotent(rq_jobs: RqJobs) -> None:
    first, second = ensure_a_model.delay("order"), forget.delay("a")
    assert rq_jobs.run(deliveries=2) == [first, first, second, second]


@pytest.mark.django_db
def test_jobs_that_are_not(rq_jobs: RqJobs, mailoutbox: list[Any]) -> None:
    add_a_model.delay("order")
    ensure_a_model.delay("cart")
    congratulate.delay("ada")
    with pytest.raises(AssertionError) as caught:
        rq_jobs.run(deliveries=2, shuffle=7)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Delivered again, with shuffle=7, jobs differ:"
    assert sorted(lines[1:]) == [
        "  tests.jobs.test_effects.add_a_model('order'): django_content_type",
        "  tests.jobs.test_effects.congratulate('ada'): mail.outbox",
    ]
    assert len(mailoutbox) == 2


def test_rows_of_another_database(rq_jobs: RqJobs, connection: Any) -> None:
    ledger.open_ledger()
    note.delay()
    with pytest.raises(AssertionError, match=r"note\(\): connected\.notes$"):
        rq_jobs.run(deliveries=2)


@async_job
def note() -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS notes (name varchar(20))")
        cursor.execute("INSERT INTO notes VALUES ('again')")


def test_a_job_that_fails_is_not_run_again(rq_jobs: RqJobs) -> None:
    fetch.using(retry=Retry(max=1)).delay("a.png")
    assert len(rq_jobs.run(deliveries=2, raise_exceptions=False)) == 2


def test_shuffle(rq_jobs: RqJobs) -> None:
    orders = []
    for seed in (1, 1, 2):
        jobs = [resize.delay(str(number)) for number in range(20)]
        ran = rq_jobs.run(shuffle=seed)
        assert sorted(job.args[0] for job in ran) == sorted(job.args[0] for job in jobs)
        orders.append([job.args[0] for job in ran])
    assert orders[0] == orders[1] != orders[2]


def test_dependencies_stay_in_order(rq_jobs: RqJobs) -> None:
    first = resize.delay("a.png")
    second = resize.using(depends_on=first).delay("b.png")
    for _ in range(5):
        sign_up.delay("ada@example.com")
    ran = rq_jobs.run(shuffle=3)
    assert ran.index(first) < ran.index(second)
