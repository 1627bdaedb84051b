"""
Runs one of our commands in a project whose settings don't install this app.

Called by ``hook.sh``, with the path of manage.py and its arguments. When a project has just got
this app, other branches lack it, and the databases have to follow all the same.
"""

import os
import runpy
import sys
from pathlib import Path

from django.core import management

ADDED = "DJANGO_DEVTOOLS_ADDED"
"""Set in the environment of a command whose settings don't install this app."""


def main() -> None:
    script, *arguments = sys.argv[1:]
    os.environ[ADDED] = "1"
    # As Python does it for a script, which may be typed from another directory.
    sys.path.insert(0, str(Path(script).resolve().parent))
    execute = management.execute_from_command_line

    def execute_with_app(argv: list[str] | None = None) -> None:
        _add_app(arguments)
        execute(argv)

    # What manage.py calls, after it has said which settings it wants.
    management.execute_from_command_line = execute_with_app
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")


def _add_app(arguments: list[str]) -> None:
    from django.conf import settings

    # As `hook.sh` gives them, and as Django itself reads them, but that is later.
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name == "--settings":
            os.environ["DJANGO_SETTINGS_MODULE"] = value
        elif name == "--pythonpath":
            sys.path.insert(0, value)
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django_devtools"]


if __name__ == "__main__":
    main()
