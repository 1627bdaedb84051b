"""
Real ``manage.py rqworker`` processes and a real Redis.

How far a worker got that was killed by SIGKILL, RQ can't know. So it keeps the job that the worker
had in hand: in the registry of started jobs, or in the intermediate queue when it was taken and
not started yet. There maintenance finds it when its time is up, which every worker does when it
starts and now and then: it becomes a failed job, to be requeued by hand, or is enqueued again if
it has a Retry. Therefore the claim is: with maintenance, and what failed by it requeued, all jobs
run. Those that no killed worker had in hand run exactly once.

It holds for workers of one queue. Out of the first of several that has a job, Redis can't move it
to another place, and RQ pops it: when a worker is killed before it starts that job, it is gone.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.utils import as_text

from tests.project import Project

pytestmark = pytest.mark.once

# In seconds, and long: to fail with what hangs, and never to cut off what is slow.
TIMEOUT = 60

FORKING = "rq.Worker"
SIMPLE = "rq.SimpleWorker"
HESITANT = "workers.Hesitant"

SETTINGS = """\
INSTALLED_APPS += ["django_rq"]
RQ_QUEUES = {{"default": {{"URL": {url!r}}}}}
"""

JOBS = f"""\
import os

from django_rq import get_connection
from rq import Retry, get_current_job

from django_devtools.jobs import async_job

redis = get_connection()


@async_job
def count(number):
    redis.hincrby("runs", number)


@async_job
def meet(number, other):
    redis.rpush(f"worker with {{other}}", "has met another")
    assert redis.blpop(f"worker with {{number}}", timeout={TIMEOUT})
    count(number)


@async_job
def halt(number):
    halt_once(get_current_job().worker_name)
    count(number)


@async_job(retry=Retry(max=1))
def halt_with_retry(number):
    halt(number)


def halt_once(worker):
    if redis.incr("halts") == 1:
        redis.rpush("halted", f"{{worker}} {{os.getpid()}}")
        redis.blpop("what never comes", timeout={TIMEOUT})
"""

WORKERS = """\
from rq import SimpleWorker

from jobs import halt_once


class Hesitant(SimpleWorker):
    "Halts when it has taken a job out of the queue, and has not told anyone yet."

    def execute_job(self, job, queue):
        if job.func_name.startswith("jobs.halt"):
            halt_once(self.name)
        super().execute_job(job, queue)
"""


class Site:
    """A project with a queue, and workers at it."""

    def __init__(self, project: Project, redis: Redis) -> None:
        self.project = project
        self.redis = redis
        self.queue = Queue(connection=redis)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def enqueue(self, code: str) -> None:
        self.project.python(f"from jobs import *\n{code}")

    def start(self, worker_class: str) -> None:
        """Start a worker that ends when the queue is empty."""
        name = f"worker-{len(self.workers)}"
        options = ["default", "--burst", "--name", name, "--worker-class", worker_class]
        with (self.project.path / f"{name}.log").open("wb") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, "manage.py", "rqworker", *options],
                cwd=self.project.path,
                env=self.project.full_environment(measured=True),
                stdout=log,
                stderr=log,
            )

    def wait(self) -> None:
        """Wait until all workers have ended, and forget them."""
        for name, worker in self.workers.items():
            status = worker.wait(TIMEOUT)
            assert status in (0, -signal.SIGKILL), (self.project.path / f"{name}.log").read_text()

    def work(self) -> None:
        self.start(SIMPLE)
        self.wait()

    def kill_halted(self) -> None:
        """Kill the worker that halts at a job, with the child that it may have for it."""
        found = self.redis.blpop(["halted"], timeout=TIMEOUT)
        assert found
        name, pid = as_text(found[1]).split()
        worker = self.workers[name]
        for victim in {worker.pid, int(pid)}:
            os.kill(victim, signal.SIGKILL)
        assert worker.wait(TIMEOUT) == -signal.SIGKILL

    def let_time_pass(self) -> None:
        """Have all that a killed worker would have to be heard of again in the past."""
        # What is started expires at the time that is its score.
        started = self.queue.started_job_registry.key
        self.redis.zunionstore(started, {started: 0})
        stuck = self.queue.intermediate_queue
        for job_id in stuck.get_job_ids():
            self.redis.set(stuck.get_first_seen_key(job_id), 0)

    def failed(self) -> list[Job]:
        registry = self.queue.failed_job_registry
        return [Job.fetch(id_, self.redis) for id_ in registry.get_job_ids(cleanup=False)]

    def runs(self) -> dict[int, int]:
        """How often each job was run, by its number."""
        return {int(number): int(runs) for number, runs in self.redis.hgetall("runs").items()}


@pytest.fixture
def site(make_project: Callable[..., Project], real_redis_url: str) -> Iterator[Site]:
    # By default, redis-py gives up a blocking pop after five seconds.
    url = f"{real_redis_url}?socket_timeout={2 * TIMEOUT}"
    project = make_project(git=False)
    project.settings(SETTINGS.format(url=url))
    project.write("jobs.py", JOBS)
    project.write("workers.py", WORKERS)
    with Redis.from_url(url) as redis:
        site = Site(project, redis)
        try:
            yield site
        finally:
            for worker in site.workers.values():
                worker.kill()
                worker.wait()


def test_every_job_runs_once(site: Site) -> None:
    site.enqueue(
        """
meet.delay(0, 1)
meet.delay(1, 0)  # so both workers are at it, and stay
for number in range(2, 100):
    count.delay(number)
"""
    )
    site.start(SIMPLE)
    site.start(SIMPLE)
    site.wait()
    assert site.runs() == dict.fromkeys(range(100), 1)
    assert len(site.queue.finished_job_registry) == 100
    assert site.queue.is_empty()


@pytest.mark.parametrize(
    ("worker_class", "jobs", "place"),
    [
        (SIMPLE, 100, "started_job_registry"),
        (FORKING, 50, "started_job_registry"),
        (HESITANT, 100, "intermediate_queue"),
    ],
)
def test_nothing_is_lost_when_a_worker_is_killed(
    site: Site, worker_class: str, jobs: int, place: str
) -> None:
    everything = dict.fromkeys(range(jobs), 1)
    in_hand = jobs // 2
    site.enqueue(
        f"""
for number in range({jobs}):
    (halt if number == {in_hand} else count).delay(number)
"""
    )
    site.start(worker_class)
    site.start(worker_class)
    site.kill_halted()
    site.wait()
    assert site.queue.is_empty()
    assert site.runs() == {number: 1 for number in everything if number != in_hand}
    (kept,) = getattr(site.queue, place).get_job_ids()

    site.let_time_pass()
    site.work()
    (job,) = site.failed()
    assert (job.id, job.args) == (kept, (in_hand,))

    site.queue.failed_job_registry.requeue(job)
    site.work()
    assert site.runs() == everything
    assert not site.failed()


@pytest.mark.parametrize("worker_class", [SIMPLE, HESITANT])
def test_with_retry_it_comes_back_by_itself(site: Site, worker_class: str) -> None:
    site.enqueue("halt_with_retry.delay(0)")
    site.start(worker_class)
    site.kill_halted()
    assert not site.runs()

    site.let_time_pass()
    site.work()
    assert site.runs() == {0: 1}
    assert not site.failed()
