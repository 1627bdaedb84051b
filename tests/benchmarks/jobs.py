"""A project that enqueues jobs, its suites of tests, and scripts that measure themselves."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .measure import execute

# In each of the suites' files: as in a real one, what a file costs is shared by its tests.
TESTS_OF_A_FILE = 100

SETTINGS = """\
SECRET_KEY = "benchmark"
USE_TZ = True
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django_rq", "django_devtools"]
RQ_QUEUES = {{"default": {{"URL": {url!r}}}, "high": {{"URL": {url!r}}}}}
"""

PYTEST_INI = """\
[pytest]
DJANGO_SETTINGS_MODULE = config.settings
pythonpath = .
"""

TASKS = """\
from django_devtools.jobs import async_job


@async_job("default")
def task(number, name):
    return number
"""

# By itself, since it asks for a connection as soon as it is imported.
TASKS_OF_DJANGO_RQ = """\
import django_rq


@django_rq.job("default")
def task(number, name):
    return number
"""

CONFTEST = """\
import json
import time
from pathlib import Path
from statistics import median

import pytest

tests = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    start = time.perf_counter()
    result = yield
    tests.append(time.perf_counter() - start)
    return result


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    figures = {"test": median(tests), "processor": time.process_time()}
    Path(__file__).with_name("figures.json").write_text(json.dumps(figures))
"""

TEST_OF_NOTHING = """
def test_{number}():
    assert {number} >= 0
"""

TEST_OF_A_JOB = """
def test_{number}(rq_jobs):
    task.delay({number}, name="image")
    (job,) = rq_jobs.run()
    assert job.return_value() == {number}
"""

ENQUEUE = """\
import json
import os
import sys
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django

django.setup()

import tasks
import tasks_of_django_rq

jobs, batch = int(sys.argv[1]), int(sys.argv[2])
delays = {"ours": tasks.task.delay, "theirs": tasks_of_django_rq.task.delay}
times = {"ours": [], "theirs": []}
names = list(times)
for number in range(jobs // batch + 1):
    for name in names:
        delay = delays[name]
        start = time.perf_counter()
        for job in range(batch):
            delay(job, name="image")
        seconds = time.perf_counter() - start
        if number:  # the first one connects
            times[name].append(seconds)
    names.reverse()
print(json.dumps(times))
"""

REMEMBER = """\
import gc
import json
import os
import sys
import tracemalloc

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"

import django

django.setup()

from tasks import task

start, end = int(sys.argv[1]), int(sys.argv[2])
for number in range(end):
    if number == start:
        gc.collect()
        tracemalloc.start()
    task.delay(number, name="image")
gc.collect()
print(json.dumps(tracemalloc.get_traced_memory()[0]))
"""

SETUP = """\
import json
import sys
import time

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="benchmark",
    INSTALLED_APPS=["django.contrib.contenttypes", *sys.argv[1:]],
    RQ_QUEUES={"default": {"HOST": "localhost", "PORT": 6379}},
)
start = time.process_time()
django.setup()
print(json.dumps(time.process_time() - start))
"""


@dataclass(frozen=True)
class JobsProject:
    """A project in ``root``, whose queues are in the Redis at ``url``."""

    root: Path
    url: str

    def script(self, name: str, *arguments: object) -> Any:
        """Run a script, and return what it measured."""
        command = [sys.executable, f"{name}.py", *map(str, arguments)]
        return json.loads(execute(command, self.root))

    def suite(self, name: str, figure: str, *options: str) -> float:
        """Run a suite of tests, and return one of the figures, in seconds: see ``CONFTEST``."""
        # Those that another run left say nothing about this one.
        figures = self.root / "figures.json"
        figures.unlink(missing_ok=True)
        without = ["-p", "no:randomly", "-p", "no:cacheprovider"]
        execute([sys.executable, "-m", "pytest", "-q", *without, *options, name], self.root)
        return float(json.loads(figures.read_text())[figure])


def build(root: Path, url: str = "redis://redis.invalid") -> JobsProject:
    """Return the project, without suites of tests; without a Redis where ``url`` is left out."""
    files = {
        "config/__init__.py": "",
        "config/settings.py": SETTINGS.format(url=url),
        "conftest.py": CONFTEST,
        "enqueue.py": ENQUEUE,
        "pytest.ini": PYTEST_INI,
        "remember.py": REMEMBER,
        "setup.py": SETUP,
        "tasks.py": TASKS,
        "tasks_of_django_rq.py": TASKS_OF_DJANGO_RQ,
    }
    for name, text in files.items():
        _write(root / name, text)
    return JobsProject(root, url)


def add_suite(project: JobsProject, name: str, tests: int, template: str) -> None:
    """Write as many tests of one kind into a directory of the project."""
    for start in range(0, tests, TESTS_OF_A_FILE):
        numbers = range(start, min(start + TESTS_OF_A_FILE, tests))
        text = "from tasks import task\n" + "".join(
            template.format(number=number) for number in numbers
        )
        _write(project.root / name / f"test_{name}_{start}.py", text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
