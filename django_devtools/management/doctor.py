"""What `migrations_hook doctor` finds out: what the hooks would do, and why not."""

import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from django_devtools.branches.checks import tracked_databases
from django_devtools.branches.decision import Workspace
from django_devtools.branches.errors import SwitchError
from django_devtools.branches.hooks.callers import Caller, Callers
from django_devtools.branches.hooks.hook import INSTALL, Hooks
from django_devtools.branches.hooks.state import HookState
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.progress import database_option
from django_devtools.branches.sources.git import INSTALL_NEWER, too_old
from django_devtools.branches.sources.rows import is_meant, is_mirror
from django_devtools.branches.switch import Switch

from .base import MESSAGES, described, place

INSIDE = "--in-hook"
"""Has `migrations_hook doctor` say what is so where the hooks run it."""

SWITCH = "manage.py migrations_switch"

# What a client has that was started from a menu. Whatever a shell sets up is not there.
KEPT = ("HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "SYSTEMROOT")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

# In seconds. Containers are slow to answer.
PATIENCE = 120


class Facts(NamedTuple):
    """What decides which databases a process works with."""

    python: str
    settings: str
    debug: bool
    path: list[str]
    databases: dict[str, str]
    """By alias: the name and the host."""
    names: dict[str, str]
    """By alias: the name, without the directory that a file is in."""
    obstacles: dict[str, str] = {}
    """By alias, and only where a hook looked: why it would leave that database alone."""

    @classmethod
    def here(cls) -> "Facts":
        return cls(
            python=f"{sys.executable} ({platform.python_version()})",
            settings=os.environ.get("DJANGO_SETTINGS_MODULE", ""),
            debug=settings.DEBUG,
            path=os.environ.get("PATH", "").split(os.pathsep),
            databases={alias: place(connections[alias]) for alias in connections},
            names={
                alias: Path(str(connections[alias].settings_dict["NAME"])).name
                for alias in connections
            },
        )

    def shown(self) -> dict[str, str]:
        """What is shown of them, by its title."""
        databases = {f"database '{alias}'": one for alias, one in self.databases.items()}
        shown = {"Python": self.python, "settings": self.settings, "DEBUG": str(self.debug)}
        return shown | databases


def inside(workspace: Workspace) -> str:
    """What `migrations_hook doctor` says where the hooks run it: a line of JSON."""
    meant = [connections[alias] for alias in connections if not is_mirror(connections[alias])]
    found = {connection.alias: _obstacle(connection, workspace) for connection in meant}
    obstacles = {alias: words for alias, words in found.items() if words}
    return json.dumps(Facts.here()._replace(obstacles=obstacles)._asdict())


def ask_hook(hooks: Hooks) -> Facts | str:
    """
    What is so where the hooks run manage.py; or the last line of what was said if that fails.

    Raises GitError.
    """
    line, directory = _hooks_command(hooks.callers)
    try:
        process = subprocess.Popen(
            line,
            cwd=directory,
            env=_environment(hooks),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    with process:
        try:
            output, errors = process.communicate(timeout=PATIENCE)
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                return f"It did not end within {PATIENCE} seconds."
            raise  # Ctrl-C, which a session of its own does not see.
    return _facts(output) or _last_line(output + errors)


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process, and whatever it has started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _hooks_command(callers: Callers) -> tuple[list[str], Path]:
    """The command that ``hook.sh`` would run, and where, with another action."""
    top, command, caller = callers.repository.top, callers.command(), callers.own()
    arguments = ["migrations_hook", "doctor", INSIDE]
    if command:
        return ["sh", "-c", f"{command} {shlex.join(arguments)}"], top
    if caller is None:  # What it would be, once it is installed.
        caller = Caller(Path(sys.executable), callers.project / "manage.py")
    line = [str(caller.python), caller.script.name, *arguments, *caller.options]
    return line, top / caller.script.parent


def _environment(hooks: Hooks) -> dict[str, str]:
    """That of a hook where git was not started by a shell."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    directory = os.fsdecode(hooks.repository.git("--exec-path")).strip()
    caller = hooks.callers.own()
    programs = filter(None, [directory, PATH, caller.programs if caller else ""])
    return kept | {"PATH": os.pathsep.join(programs), "GIT_EXEC_PATH": directory}


def troubles(hooks: Hooks, here: Facts, there: Facts | str) -> Iterator[str]:
    """Whatever keeps the hooks from doing what they are for, with what to type."""
    if words := too_old():
        yield f"{words} {INSTALL_NEWER}"
    if os.environ.get("DJANGO_DEVTOOLS_HOOK") == "0":
        yield "DJANGO_DEVTOOLS_HOOK is 0: the hooks do nothing. Run `unset DJANGO_DEVTOOLS_HOOK`."
    if hooks.callers.own() is None:
        yield f"The hooks are not installed for this project. {INSTALL}"
    elif trouble := hooks.trouble():
        yield " ".join(trouble)
    yield from _differences(here, there, hooks)
    for words, hint in tracked_databases(hooks.repository):
        yield f"{words} {hint}"
    failure = HookState(hooks.repository).failure()
    if failure and not _is_said(failure, there):
        yield f"The last hook said: {failure}"


def _is_said(failure: str, there: Facts | str) -> bool:
    """Whether why the last hook failed is so still, and found anew."""
    reasons = [there] if isinstance(there, str) else [*there.obstacles.values()]
    return any(reason.partition("\n")[0] in failure for reason in reasons)


def _differences(here: Facts, there: Facts | str, hooks: Hooks) -> Iterator[str]:
    if isinstance(there, str):
        fix = _missing_program(hooks) or _command(hooks)
        yield f"The hook could not start manage.py. {there}\n{fix}"
        return
    if not there.debug:
        yield f"DEBUG is off in the hook, which then changes no database. {_command(hooks)}"
    for alias in _others(here, there, hooks.callers.command() is not None):
        ours, theirs = here.databases.get(alias, "nowhere"), there.databases.get(alias, "nowhere")
        fix = INSTALL if here.settings != there.settings else _command(hooks)
        yield f"Database '{alias}' is {ours} here, and {theirs} in the hook. {fix}"
    yield from there.obstacles.values()


def _others(here: Facts, there: Facts, is_elsewhere: bool) -> list[str]:
    """
    The aliases that stand for another database in the hook.

    In a container, where a command of the user leads, hosts and directories have other names.
    """
    ours, theirs = (here.names, there.names) if is_elsewhere else (here.databases, there.databases)
    return sorted(alias for alias in ours | theirs if ours.get(alias) != theirs.get(alias))


def _missing_program(hooks: Hooks) -> str:
    """What to do about a program that the hook does not find; empty if it finds it."""
    name, _, _ = (hooks.callers.command() or "").partition(" ")
    if not re.fullmatch(r"[\w.+-]+", name) or shutil.which(name, path=_environment(hooks)["PATH"]):
        return ""
    here = shutil.which(name)
    if here is None:
        setting = shlex.quote(hooks.callers.setting)
        return (
            f"{name} is not found here either. Run `git config {setting} 'COMMAND'` with another."
        )
    return f"{name} is {here} here. {INSTALL[:-1]}, which has the hooks look there."


def _command(hooks: Hooks) -> str:
    """How to give the hooks another environment."""
    caller, setting = hooks.callers.own(), shlex.quote(hooks.callers.setting)
    if caller and (hooks.repository.top / ".env").is_file() and not hooks.callers.command():
        words = [str(caller.python), str(caller.script)]
        if caller.variables:
            words = ["env", *caller.variables, *words]
        command = shlex.quote(f"set -a; . ./.env; set +a; {shlex.join(words)}")
        return f"If .env has what it needs, run `git config {setting} {command}`."
    return f"Run `git config {setting} 'COMMAND'` with one that has what it needs."


def _obstacle(connection: BaseDatabaseWrapper, workspace: Workspace) -> str:
    """Why the hook would leave a database alone; empty if it would not. Changes nothing."""
    what, migrate = described(connection), f"manage.py migrate{database_option(connection)}"
    name = str(connection.settings_dict["NAME"])
    # To connect would make the file.
    if connection.vendor == "sqlite" and not (":" in name or Path(name).exists()):
        is_missed = connection.alias == DEFAULT_DB_ALIAS
        return f"{what} does not exist. Run `{migrate}` to make it." if is_missed else ""
    try:
        connection.ensure_connection()
        if not is_meant(connection):
            return ""
        switch = Switch(connection, workspace, Options())
        if not switch.decision.comparison.rows:
            return f"{what} has no applied migrations. Run `{migrate}` to apply them."
        switch.check()
    except DatabaseError as error:
        return f"{what} can't be reached: {str(error).strip()}\nStart it."
    except MESSAGES as error:
        way_out = error.way_out if isinstance(error, SwitchError) else ""
        return f"{error}\nRun `{' '.join(filter(None, [SWITCH, way_out]))}`."
    return ""


def _facts(output: str) -> Facts | None:
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                found: dict[str, Any] = json.loads(line)
                return Facts(**found)
            except (TypeError, ValueError):
                continue  # Whatever else calls manage.py may say more.
    return None


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "It said nothing."
