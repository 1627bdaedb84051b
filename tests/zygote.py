"""
Runs manage.py commands in forks of a process that has imported Django already.

Each command is a process of its own with modules of its own project, as from a shell, and starts
in a tenth of the time. Requests and answers are lines of JSON.
"""

import faulthandler
import gc
import json
import os
import runpy
import sys
import traceback
import warnings
from importlib import import_module
from typing import Any

from tests.processes import TIMEOUT

WARM = (
    "django.contrib.contenttypes.apps",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.db.models.sql.compiler",
    "django.utils.log",
    "django.utils.translation.reloader",
    "django.views.debug",
    "django.views.generic",
    "django_extensions.management.utils",
    "logging.config",
    "pymysql",
)


def main() -> None:
    warnings.simplefilter("ignore")
    for name in WARM:
        import_module(name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            # Without the slow end of an interpreter that has a lot in memory.
            os._exit(run(request))
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


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
    sys.argv = ["manage.py", *request["arguments"]]
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["directory"], *(path for path in added if path not in sys.path)]
    try:
        runpy.run_path("manage.py", run_name="__main__")
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
        return int(bool(error.code))
    except BaseException:  # noqa: BLE001 - what an interpreter does with it
        traceback.print_exc()
        return 1
    else:
        return 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
