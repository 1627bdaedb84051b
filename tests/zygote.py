"""
Runs manage.py commands in forks of a process that has imported Django and us already.

Each command is a process of its own with modules of its own project, as from a shell, and starts
in a tenth of the time. Requests and answers are lines of JSON.

Where coverage is measured, it is started once, here: a fork that starts it anew, and saves a file
of its own, takes three times as long. So a fork hands over what it has found, and only the end of
this process writes a file.
"""

import faulthandler
import gc
import json
import os
import pickle
import runpy
import sys
import traceback
import warnings
from collections.abc import Iterator
from compileall import compile_dir
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from tests.processes import TIMEOUT

WARM = (
    "django.contrib.contenttypes.apps",
    "django.core.cache.backends.locmem",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.core.management.commands.shell",
    "django.db.backends.sqlite3.base",
    "django.db.backends.mysql.base",
    # Connections and queries import these when they begin.
    "django.db.backends.mysql.compiler",
    "encodings.idna",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.db.models.sql.compiler",
    "django.middleware.csrf",
    "django.utils.log",
    "django.utils.translation.reloader",
    "django.views.csrf",
    "django.views.debug",
    "django.views.generic",
    "logging.config",
)
COLD = ("django_devtools.jobs", "django_devtools.pytest_plugin")
NEEDS_SETTINGS = "django_devtools.management.commands.inspectdb"

# Measured, they take twice as long.
THEIRS = ("makemigrations", "shell")

Arcs = dict[str, set[tuple[int, int]]]


class Measurement:
    """The lines of ours that the forks have run, by file and as coverage has them."""

    def __init__(self) -> None:
        from coverage import Coverage

        ours = str(Path(__file__).parents[1] / "django_devtools/*")
        # Not by pyproject.toml: with "source" each fork would search for files that never ran.
        self._coverage = Coverage(data_file=None, config_file=False, branch=True, include=ours)
        self._coverage.start()
        self._known: Arcs = {}

    def look(self) -> Arcs:
        """What was run since the last look, and was not known."""
        data = self._coverage.get_data()
        found = {file: set(data.arcs(file) or ()) for file in data.measured_files()}
        new = {file: arcs - self._known.get(file, set()) for file, arcs in found.items()}
        return {file: arcs for file, arcs in new.items() if arcs}

    def add(self, new: Arcs) -> None:
        for file, arcs in new.items():
            self._known.setdefault(file, set()).update(arcs)

    def save_at_exit(self, handover: Path) -> None:
        """In a fork: hand over what is new, however it ends."""
        leave = os._exit

        def save_and_leave(status: int) -> None:
            with suppress(Exception):
                self._coverage.stop()
                if new := self.look():
                    handover.write_bytes(pickle.dumps(new))
            leave(status)

        os._exit = save_and_leave  # type: ignore[assignment]

    def stop(self) -> None:
        self._coverage.stop()

    def take(self, handover: Path) -> None:
        """What a fork has handed over."""
        if handover.exists():
            self.add(pickle.loads(handover.read_bytes()))
            handover.unlink()

    def write(self) -> None:
        from coverage import CoverageData

        data = CoverageData(os.environ.get("COVERAGE_FILE", ".coverage"), suffix=True)
        data.add_arcs(self._known)
        data.write()


def main(measure: bool) -> None:
    warnings.simplefilter("ignore")
    measurement = Measurement() if measure else None
    stand_in_for_mysqlclient()
    for name in (*WARM, *ours("django_devtools")):
        import_module(name)
    # Forks import the rest themselves, and write no byte code; pytest writes its own of a plugin.
    # So each of them would compile what Django's checks import of jobs: a fifth of its time.
    compile_dir(Path(__file__).parents[1] / "django_devtools", quiet=2)
    # SQLite's introspection reads SQL with 60 regular expressions, which each fork would compile.
    import_module("sqlparse.lexer").Lexer.get_default_instance()
    # From here on, files change faster than the time stamps that byte code is checked by.
    sys.dont_write_bytecode = True
    if measurement:
        measurement.add(measurement.look())
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        handover = Path(request["stdout"] + ".coverage")
        pid = os.fork()
        if pid == 0:
            if measurement and request["measured"] and is_ours(request["commands"]):
                measurement.save_at_exit(handover)
            elif measurement:
                measurement.stop()
            # Without the slow end of an interpreter that has a lot in memory.
            os._exit(run(request))
        _, status = os.waitpid(pid, 0)
        if measurement:
            measurement.take(handover)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)
    if measurement:
        measurement.write()


def stand_in_for_mysqlclient() -> None:
    """Have Django's backend for MariaDB find its driver, as the settings of a project do."""
    import pymysql

    pymysql.version_info = (2, 2, 7, "final", 0)
    pymysql.install_as_MySQLdb()


def ours(package: str) -> Iterator[str]:
    """Our modules for branches, but those that can't be imported without settings."""
    for module in iter_modules(import_module(package).__path__, f"{package}."):
        if module.name in (*COLD, NEEDS_SETTINGS):
            continue
        yield module.name
        if module.ispkg:
            yield from ours(module.name)


def is_ours(commands: list[list[str]]) -> bool:
    """Whether commands run code of ours that no other command does."""
    return any(name not in THEIRS or "django_devtools" in str(rest) for name, *rest in commands)


def run(request: dict[str, Any]) -> int:
    for stream, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(request[stream], flags, 0o600), descriptor)
    sys.stdin = open(0)  # noqa: SIM115 - as an interpreter has them when it starts
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115
    # A command that hangs ends, and says where: nothing else would end the wait for it.
    faulthandler.dump_traceback_later(TIMEOUT, exit=True)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["directory"], *(path for path in added if path not in sys.path)]
    try:
        return next(filter(None, map(manage, request["commands"])), 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def manage(arguments: list[str]) -> int:
    """Run one command; gives its exit status."""
    sys.argv = ["manage.py", *arguments]
    try:
        runpy.run_path("manage.py", run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return int(bool(error.code))
    except BaseException:  # noqa: BLE001 - what an interpreter does with it
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main(measure="--measure" in sys.argv)
