"""Projects without RQ, django-rq or fakeredis: their processes can't import these."""

import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from django_devtools import extras
from tests.processes import TIMEOUT
from tests.project import Project

pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).parents[1]
EVERYTHING = ("django_rq", "fakeredis", "redis", "rq")

Hide = Callable[..., Project]

needs_rq = pytest.mark.skipif(not extras.has_jobs(), reason="needs RQ and django-rq")


@pytest.fixture
def hide(project: Project) -> Hide:
    """A function that makes a project where some packages seem not to be installed."""

    def hide(*packages: str) -> Project:
        lines = [f"sys.modules[{package!r}] = None\n" for package in packages]
        project.write("config/__init__.py", "".join(["import sys\n", *lines]))
        return project

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


def test_each_module_of_branches_can_be_imported_without_rq(hide: Hide) -> None:
    files = [*(ROOT / "django_devtools").glob("branches/**/*.py")]
    files += (ROOT / "django_devtools").glob("management/**/*.py")
    modules = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    assert len(modules) > 40
    code = f"""
        from importlib import import_module
        for name in {modules!r}:
            import_module(name.removesuffix(".__init__"))
    """
    assert hide(*EVERYTHING).python(code) == ""


def test_branches_import_nothing_of_jobs(hide: Hide) -> None:
    code = "import sys; print('django_devtools.jobs' in sys.modules)"
    assert hide(*EVERYTHING).python(code) == "False"


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("django_rq", "rq"), "django-rq and rq"),
        pytest.param(("django_rq",), "django-rq", marks=needs_rq),
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


@pytest.fixture
def old_versions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The versions that NetBox 4 pins."""
    versions = {"django-rq": "3.2.2", "rq": "2.8.0"}
    monkeypatch.setattr(importlib.metadata, "version", versions.__getitem__)
    extras._outdated.cache_clear()
    yield
    extras._outdated.cache_clear()


@needs_rq
@pytest.mark.usefixtures("old_versions")
def test_an_old_django_rq_is_named_with_its_version() -> None:
    assert extras.has_jobs()
    assert not extras.supports_jobs()
    assert not extras.can_fake()
    message = (
        r"django_devtools.jobs does not work with django-rq 3.2.2 \(before 4.0\): "
        r'pip install --upgrade "django-devtools-kit\[jobs\]"'
    )
    with pytest.raises(ImportError, match=message):
        extras.require_supported_jobs()


@needs_rq
@pytest.mark.parametrize("is_on", [True, False])
def test_a_fake_is_refused_where_jobs_would_reach_the_real_redis(
    project: Project, is_on: bool
) -> None:
    project.write(
        "config/__init__.py",
        """
        import importlib.metadata
        version = importlib.metadata.version
        importlib.metadata.version = lambda name: {"django-rq": "3.2.2"}.get(name) or version(name)
        """,
    )
    project.settings(f"FAKE_REDIS = {is_on}")
    checked = project.manage("check", status=None)
    if not is_on:
        assert checked.status == 0
        return
    assert checked.status == 1
    assert checked.stderr.endswith(
        "ImportError: django_devtools.jobs does not work with django-rq 3.2.2 (before 4.0): "
        'pip install --upgrade "django-devtools-kit[jobs]"\n'
    )


@needs_rq
def test_the_installed_versions_are_supported() -> None:
    extras.require_supported_jobs()
    assert extras.can_fake()


def test_the_extra_asks_for_the_oldest_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = [f"{name}>={'.'.join(map(str, version))}" for name, version in extras.JOBS.items()]
    assert project["optional-dependencies"]["jobs"] == oldest
