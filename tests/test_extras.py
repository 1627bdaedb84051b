"""Projects without RQ, django-rq or fakeredis: their processes can't import these."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.processes import TIMEOUT
from tests.project import Project

EVERYTHING = ("django_rq", "fakeredis", "redis", "rq")

Hide = Callable[..., Project]


@pytest.fixture
def hide(sqlite_project: Project) -> Hide:
    """A function that makes a project where some packages seem not to be installed."""

    def hide(*packages: str) -> Project:
        lines = [f"sys.modules[{package!r}] = None\n" for package in packages]
        sqlite_project.write("config/__init__.py", "".join(["import sys\n", *lines]))
        return sqlite_project

    return hide


def run_pytest(project: Project, tests: str, *arguments: str) -> str:
    project.write("test_shop.py", tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:cov", *arguments],
        cwd=project.path,
        env=project.full_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return done.stdout + done.stderr


def test_branches_need_django_alone(hide: Hide) -> None:
    project = hide(*EVERYTHING)
    project.app("shop", "class Product(models.Model): ...")
    project.manage("check", "--deploy", "--fail-level=ERROR")
    project.manage("makemigrations", "shop")
    project.manage("migrate")
    assert "in step" in project.switch()


def test_branches_import_nothing_of_jobs(hide: Hide) -> None:
    code = "import sys; print('django_devtools.jobs' in sys.modules)"
    assert hide(*EVERYTHING).python(code) == "False"


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("django_rq", "rq"), "django_rq and rq"),
        (("django_rq",), "django_rq"),
    ],
)
def test_a_task_names_what_is_missing(hide: Hide, missing: tuple[str, ...], named: str) -> None:
    project = hide(*missing)
    failed = project.manage("shell", "-c", "import django_devtools.jobs", status=None)
    assert failed.status == 1
    assert failed.stderr.endswith(
        f"ImportError: django_devtools.jobs needs {named}: "
        'pip install "django-devtools-kit[jobs]"\n'
    )


@pytest.mark.parametrize("missing", [EVERYTHING, ("fakeredis",)], ids=["everything", "fakeredis"])
def test_tests_do_not_notice_the_plugin(hide: Hide, missing: tuple[str, ...]) -> None:
    output = run_pytest(
        hide(*missing),
        """
        from django.conf import settings

        def test_is_not_faked():
            assert not hasattr(settings, "FAKE_REDIS")
        """,
    )
    assert "1 passed" in output


@pytest.mark.parametrize("missing", [EVERYTHING, ("fakeredis",)], ids=["everything", "fakeredis"])
def test_a_fixture_names_what_is_missing(hide: Hide, missing: tuple[str, ...]) -> None:
    output = run_pytest(hide(*missing), "def test_job(rq_jobs): ...")
    assert (
        "fake_redis needs fakeredis and django-rq: "
        'pip install "django-devtools-kit[testing]"' in output
    )
