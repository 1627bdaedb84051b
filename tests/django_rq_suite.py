"""
django-rq's own tests, with a real Redis and with FAKE_REDIS and no Redis.

Run with ``tox run -e django-rq``. The tests are those of the version that is installed, cloned for
the occasion; ``tox run -e django-rq -- PATH`` takes them from a clone that is there already.
The real Redis is that of REDIS_URL: three of its databases have to be empty, and are emptied.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.test.runner import DiscoverRunner
from redis import Redis

REPOSITORY = "https://github.com/rq/django-rq"
DATABASES = 3

PATCHED = "It patches django_rq.settings, and so goes past the settings that get a fake."
REASONS = {
    "tests.test_connections.RedisCacheTest.test_get_queue_django_redis": (
        "It mocks the connection of a cache, and a fake has taken the place of that."
    ),
    "tests.test_prometheus_metrics.PrometheusTest.test_metrics_default": PATCHED,
    "tests.test_prometheus_metrics.PrometheusTest.test_metrics_with_jobs": PATCHED,
    "tests.tests.QueuesTest.test_pass_queue_via_commandline_args": (
        "rqworker-pool starts processes, and a fakeredis.FakeServer is in the memory of one: "
        "the others work on copies of it."
    ),
}


@dataclass(frozen=True)
class Server:
    """The Redis that django-rq's tests are configured for."""

    host: str
    port: int
    databases: list[int]
    fake: bool


@dataclass(frozen=True)
class Outcome:
    """What became of the tests, by their ids; ``failed`` says how."""

    passed: list[str]
    failed: dict[str, str]
    skipped: list[str]

    def __str__(self) -> str:
        count, total = len(self.passed), len(self.passed) + len(self.failed)
        return f"{count} of {total} pass ({count / total:.1%}), {len(self.skipped)} skipped"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default=REPOSITORY)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        server, results = options.run
        run(Server(**json.loads(server)), Path(results))
        return 0
    return compare(options.source)


def compare(source: str) -> int:
    """Run the tests both ways, and return 1 if a difference has no reason."""
    with TemporaryDirectory() as directory:
        ref = fetch(source, Path(directory))
        with real_redis() as server:
            real = outcome(server, Path(directory))
        with no_redis() as server:
            fake = outcome(server, Path(directory))
    print(f"django-rq {version('django-rq')}, tests of {ref}")
    print(f"real Redis: {real}")
    print(f"FAKE_REDIS: {fake}")
    for test in sorted(real.failed.keys() & fake.failed.keys()):
        print(f"\n{test} fails on both.")
    differences = sorted({*real.passed} ^ {*fake.passed})
    for test in differences:
        where = "a real Redis" if test in real.passed else "FAKE_REDIS"
        print(f"\n{test} passes on {where} only.")
        print(REASONS.get(test) or (real.failed | fake.failed).get(test, "It is skipped."))
    return int(any(test not in REASONS for test in differences))


def fetch(source: str, target: Path) -> str:
    """Check out the tests of the installed version, without its code, and return their ref."""
    tag = f"v{version('django-rq')}"
    # v4.1 is that of 4.1.0, and v4 that of 4.0.0.
    tags = [tag, tag.removesuffix(".0"), tag.removesuffix(".0").removesuffix(".0")]
    if Path(source).exists():
        # Of anything else, git makes no shallow clone.
        source = Path(source).resolve().as_uri()
    known = git("ls-remote", "--tags", "--refs", source, *tags).split()
    ref = next((tag for tag in tags if f"refs/tags/{tag}" in known), "HEAD")
    branch = [] if ref == "HEAD" else ["--branch", ref]
    git("clone", "--quiet", "--no-checkout", "--depth=1", *branch, source, str(target))
    git("-C", str(target), "checkout", "--quiet", "HEAD", "--", "tests")
    return ref


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


@contextmanager
def real_redis() -> Iterator[Server]:
    url = urlsplit(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    host, port = url.hostname or "localhost", url.port or 6379
    empty = [db for db in range(16) if Redis(host, port, db).dbsize() == 0][:DATABASES]
    if len(empty) < DATABASES:
        raise SystemExit(f"{host}:{port} has no {DATABASES} empty databases.")
    try:
        yield Server(host, port, empty, fake=False)
    finally:
        for db in empty:
            Redis(host, port, db).flushdb()


@contextmanager
def no_redis() -> Iterator[Server]:
    """Keep a port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        yield Server(host, port, list(range(DATABASES)), fake=True)


def outcome(server: Server, directory: Path) -> Outcome:
    """Run the tests in a process of their own."""
    results = directory / "results.json"
    results.unlink(missing_ok=True)
    process = subprocess.run(
        [sys.executable, __file__, "--run", json.dumps(asdict(server)), str(results)],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if not results.exists():
        raise SystemExit(process.stdout)
    return Outcome(**json.loads(results.read_text()))


def run(server: Server, results: Path) -> None:
    """Run the tests of the current directory here."""
    # So that their package ``tests`` is found, and not the one of this file.
    sys.path[0] = str(Path.cwd())
    sys.modules["tests.redis_config"] = redis_config(server)
    theirs = vars(import_module("tests.settings"))
    configured = {name: value for name, value in theirs.items() if name.isupper()}
    if server.fake:
        apps = [*configured["INSTALLED_APPS"], "django_devtools"]
        configured |= {"INSTALLED_APPS": apps, "FAKE_REDIS": True}
    settings.configure(**configured)
    django.setup()
    runner = Runner()
    runner.run_tests(["tests"])
    results.write_text(json.dumps(asdict(runner.outcome)))


def redis_config(server: Server) -> ModuleType:
    """Stand in for a module of theirs that looks for empty databases at localhost:6379."""
    module = ModuleType("tests.redis_config")
    for number, db in enumerate(server.databases, 1):
        config = SimpleNamespace(host=server.host, port=server.port, db=db)
        setattr(module, f"REDIS_CONFIG_{number}", config)
    return module


class Result(unittest.TextTestResult):
    """Remembers which tests passed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.passed: list[str] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.passed.append(test.id())


class Runner(DiscoverRunner):
    """Tells more than how many tests failed."""

    outcome: Outcome

    def get_resultclass(self) -> type[Result]:
        return Result

    def suite_result(self, suite: Any, result: Any, **kwargs: Any) -> int:
        self.outcome = Outcome(
            passed=result.passed,
            failed={test.id(): text for test, text in result.failures + result.errors},
            skipped=[test.id() for test, _ in result.skipped],
        )
        return super().suite_result(suite, result, **kwargs)


if __name__ == "__main__":
    sys.exit(main())
