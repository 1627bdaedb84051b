"""Makes real Django projects in real git repositories, for the tests to walk around in."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.processes import TIMEOUT

MANAGE = """\
import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
execute_from_command_line(sys.argv)
"""

SETTINGS = """\
import json
import os

if "mysql" in os.environ["TEST_DATABASES"]:
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()

DEBUG = True
SECRET_KEY = "only for tests"
DATABASES = json.loads(os.environ["TEST_DATABASES"])
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_devtools"]
USE_TZ = True
DJANGO_DEVTOOLS = {"AUTO_SNAPSHOT": False}
"""

ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    # Nothing here has to outlive a power cut, and no repository grows large.
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "core.fsync",
    "GIT_CONFIG_VALUE_0": "none",
    "GIT_CONFIG_KEY_1": "maintenance.auto",
    "GIT_CONFIG_VALUE_1": "false",
    # Files change faster here than the time stamps that byte code is checked by.
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(Path(__file__).parents[1]),
    "NO_COLOR": "1",
    # What takes long depends on the machine.
    "GIT_PROGRESS_DELAY": "3600",
    # pytest-django sets one of ours.
    "DJANGO_SETTINGS_MODULE": "config.settings",
}


MEASURE = "COVERAGE_PROCESS_CONFIG"
"""What has processes measure their coverage, where it is in the environment."""


class Zygote:
    """See tests/zygote.py."""

    def __init__(self, directory: Path, is_measured: bool) -> None:
        self.directory = directory
        # It measures coverage in its own way, and compiles what it warms.
        environment = os.environ | ENVIRONMENT
        environment.pop(MEASURE, None)
        del environment["PYTHONDONTWRITEBYTECODE"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.zygote", *(["--measure"] if is_measured else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env=environment,
        )

    def run(
        self, directory: Path, environment: Mapping[str, str], *commands: Sequence[str]
    ) -> "Result":
        """
        Run commands of manage.py in one process, up to the first that fails.

        It is measured if the environment says so, and takes nearly twice as long.
        """
        assert self._process.stdin
        assert self._process.stdout
        out, err = self.directory / "out", self.directory / "err"
        request = {
            "commands": commands,
            "directory": str(directory),
            "environment": dict(environment),
            "measured": MEASURE in environment,
            "stdin": os.devnull,
            "stdout": str(out),
            "stderr": str(err),
        }
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        result = Result(answer["status"], out.read_text(), err.read_text())
        # Some tests take any status.
        assert "Timeout (0:" not in result.stderr, f"{commands} hangs: {result.stderr}"
        return result

    def stop(self) -> None:
        self._process.communicate(timeout=TIMEOUT)


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    def assert_status(self, status: int) -> None:
        assert self.status == status, self.stdout + self.stderr
        assert "Traceback" not in self.stderr, self.stderr


@dataclass
class Project:
    """A project called ``config`` in a directory, and as a rule in a git repository."""

    path: Path
    databases: Mapping[str, Any]
    zygote: Zygote
    environment: dict[str, str] = field(default_factory=dict)
    _made: frozenset[tuple[str, int, int]] = field(default=frozenset(), repr=False)
    """Its files, as it was made."""

    @classmethod
    def make(
        cls, path: Path, databases: Mapping[str, Any], zygote: Zygote, git: bool = True
    ) -> Self:
        path.mkdir(parents=True)
        project = cls(path, databases, zygote)
        project.write("manage.py", MANAGE)
        project.write("config/__init__.py", "")
        project.write("config/settings.py", SETTINGS)
        if git:
            project.git("init", "--quiet", "--initial-branch=main")
            project.write(".gitignore", "*.sqlite3\n__pycache__\n.django-devtools\n")
        project._made = project._files()
        return project

    def is_new(self) -> bool:
        """Whether nothing was done with it since it was made."""
        databases = [Path(configuration["NAME"]) for configuration in self.databases.values()]
        return (
            not self.environment
            and not any(file.exists() for file in databases)
            and self._files() == self._made
        )

    def _files(self) -> frozenset[tuple[str, int, int]]:
        """All files, each with its time and size."""
        found = ((str(file), file.stat()) for file in self.path.rglob("*") if file.is_file())
        return frozenset((file, facts.st_mtime_ns, facts.st_size) for file, facts in found)

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    def remove(self, name: str) -> None:
        file = self.path / name
        if file.is_dir():
            shutil.rmtree(file)
        else:
            file.unlink()

    def app(self, name: str, models: str = "") -> None:
        """Make and install an app without migrations."""
        self.write(f"{name}/__init__.py", "")
        self.write(f"{name}/migrations/__init__.py", "")
        self.models(name, models)
        self.settings(f"INSTALLED_APPS += [{name!r}]")

    def models(self, app: str, text: str) -> None:
        self.write(f"{app}/models.py", "from django.db import models\n\n" + textwrap.dedent(text))

    def settings(self, text: str) -> None:
        file = self.path / "config/settings.py"
        file.write_text(file.read_text() + textwrap.dedent(text) + "\n")

    def migration(
        self,
        app: str,
        name: str,
        operations: str,
        dependencies: Sequence[tuple[str, str]] | str = (),
        before: str = "",
        body: str = "",
    ) -> None:
        """Write a migration; ``operations`` is the inside of the list."""
        if not isinstance(dependencies, str):
            dependencies = repr([*dependencies])
        text = (
            "from django.conf import settings\n"
            "from django.db import migrations, models\n"
            f"{textwrap.dedent(before)}\n\n"
            "class Migration(migrations.Migration):\n"
            f"    dependencies = {dependencies}\n"
            f"{textwrap.indent(textwrap.dedent(body), '    ')}\n"
            f"    operations = [{textwrap.dedent(operations)}]\n"
        )
        file = self.path / app / "migrations" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=self.full_environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        ).stdout

    def commit(self, message: str = "Work") -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message}")

    def checkout(self, *arguments: str) -> None:
        self.git("checkout", "--quiet", *arguments)

    def manage(self, *arguments: str, status: int | None = 0) -> Result:
        """Run manage.py; fails when it does not exit with ``status`` (None: with any)."""
        environment = self.full_environment(measured=True)
        result = self.zygote.run(self.path, environment, arguments)
        if status is not None:
            result.assert_status(status)
        return result

    def look(self, *arguments: str) -> str:
        """What a command says of which the test is not about."""
        result = self.zygote.run(self.path, self.full_environment(), arguments)
        result.assert_status(0)
        return result.stdout

    def full_environment(self, measured: bool = False) -> dict[str, str]:
        """
        What processes of the project need.

        One that is ``measured`` takes twice as long. Beside the forks, only those at a terminal
        and those that have to do with each other run lines of their own.
        """
        return {
            **{name: value for name, value in os.environ.items() if measured or name != MEASURE},
            **ENVIRONMENT,
            "TEST_DATABASES": json.dumps(self.databases),
            **self.environment,
        }

    def python(self, code: str) -> str:
        """What ``code`` prints in the project, with its models ready."""
        return self.manage("shell", "--no-imports", "-c", textwrap.dedent(code)).stdout.strip()

    def switch(self, *arguments: str) -> str:
        return self.manage("migrations_switch", "--no-input", *arguments).stdout

    def status(self, *arguments: str) -> list[dict[str, str]]:
        """The rows that are not simply applied, and all with ``--all``."""
        rows = json.loads(self.manage("migrations_status", "--json", *arguments).stdout)
        return [row for row in rows if row["state"] != "applied"]

    def states(self) -> dict[str, str]:
        return {f"{row['app']}.{row['name']}": row["state"] for row in self.status()}

    def assert_in_step(self) -> None:
        """The code on disk and the databases agree, as Django sees it and as we see it."""
        checks = [["migrations_switch", "--check"]]
        asked = [["makemigrations"], *(["migrate", f"--database={on}"] for on in self.databases)]
        # A quarter of the time would go to system checks, which only warn of a database.
        checks += [[*command, "--check", "--skip-checks"] for command in asked]
        result = self.zygote.run(self.path, self.full_environment(), *checks)
        result.assert_status(0)
