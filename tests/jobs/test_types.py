import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

ROOT = Path(__file__).parents[2]
CALLS = Path(__file__).with_name("typed_calls.py")


@pytest.fixture
def revealing(tmp_path: Path) -> Path:
    """A module that asks for the types which an editor shows."""
    lines = [
        "from tests.jobs.tasks import Invoice, fetch, process_image",
        "reveal_type(process_image)",
        "reveal_type(process_image.delay)",
        "reveal_type(process_image.enqueue_in)",
        "reveal_type(process_image.using('high'))",
        "reveal_type(fetch)",
        "reveal_type(fetch.adelay)",
        "reveal_type(Invoice.write.delay)",
    ]
    file = tmp_path / "revealing.py"
    file.write_text("\n".join(lines))
    return file


def test_mypy(revealing: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs the dependency group types")
    output = run("mypy", f"--cache-dir={tmp_path}", CALLS, revealing)
    assert re.findall(r'Revealed type is "(.*)"', output) == [
        "django_devtools.jobs.decorator.Task[[pk: int, width: int =], str]",
        "def (pk: int, width: int =) -> rq.job.Job",
        "def (datetime.timedelta, pk: int, width: int =) -> rq.job.Job",
        "django_devtools.jobs.decorator.Task[[pk: int, width: int =], str]",
        "django_devtools.jobs.decorator.Task[[url: str], typing.Coroutine[Any, Any, str]]",
        "def (url: str) -> typing.Coroutine[Any, Any, rq.job.Job]",
        "def (number: int) -> rq.job.Job",
    ]
    assert "error" not in output


def test_pyright(revealing: Path) -> None:
    pytest.importorskip("pyright", reason="needs the dependency group types")
    output = run("pyright", f"--pythonpath={sys.executable}", CALLS, revealing)
    assert re.findall(r'Type of ".*" is "(.*)"', output) == [
        "Task[(pk: int, width: int = 100), str]",
        "(pk: int, width: int = 100) -> Job",
        "(delay: timedelta, /, pk: int, width: int = 100) -> Job",
        "Task[(pk: int, width: int = 100), str]",
        "Task[(url: str), CoroutineType[Any, Any, str]]",
        "(url: str) -> CoroutineType[Any, Any, Job]",
        "(number: int) -> Job",
    ]
    assert "0 errors, 0 warnings" in output


def run(checker: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", checker, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
