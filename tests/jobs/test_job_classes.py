from importlib.util import find_spec
from typing import Any

import django
import django_rq
import pytest
from pytest_django import Settings
from rq.job import Job

from django_devtools.jobs.job_classes import class_for
from django_devtools.jobs.testing import RqJobs
from tests.jobs.mailing import resize

if django.VERSION < (6, 0) and not find_spec("django_tasks"):
    pytest.skip("needs Django 6 or django-tasks", allow_module_level=True)

from tests.jobs import classed_tasks
from tests.jobs.classed_tasks import TASKS, double
from tests.jobs.framework_tasks import framework, total


@pytest.fixture(autouse=True)
def tasks(settings: Settings) -> None:
    settings.TASKS = TASKS


@pytest.mark.parametrize("options", [{}, {"JOB_CLASS": "tests.jobs.classed_tasks.Job"}], ids=str)
def test_all_in_one_run(rq_jobs: RqJobs, settings: Settings, options: dict[str, Any]) -> None:
    settings.RQ = options
    double.enqueue(21)
    resize.delay("a.png")
    rq_jobs.assert_enqueued(double, args=(21,), count=1)
    assert rq_jobs.run() == list(rq_jobs)
    assert [job.return_value() for job in rq_jobs] == [42, "a.png at 100"]


def test_classes() -> None:
    queue = django_rq.get_queue()
    own = django_rq.get_queue(job_class=classed_tasks.Job)
    path = "tests.jobs.classed_tasks.double"
    assert class_for(queue.create_job(path)) is classed_tasks.Job
    assert class_for(own.create_job(path)) is classed_tasks.Job
    assert class_for(own.create_job(print)) is Job
    assert class_for(own.create_job("nowhere.at_all")) is Job
    assert class_for(queue.create_job("nowhere.at_all")) is Job
    assert class_for(queue.create_job(total.module_path)) is Job


def test_a_backend_without_a_class(settings: Settings) -> None:
    name = f"{framework.__name__}.backends.immediate.ImmediateBackend"
    settings.TASKS = {"default": {"BACKEND": name}}
    queue = django_rq.get_queue()
    assert class_for(queue.create_job("tests.jobs.classed_tasks.double")) is Job


def test_where_nobody_uses_the_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_devtools.jobs.job_classes.FRAMEWORKS", ["not.imported"])
    assert class_for(django_rq.get_queue().create_job("nowhere.at_all")) is Job
