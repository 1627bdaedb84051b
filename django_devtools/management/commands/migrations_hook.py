import json
import os
import re
import shlex
import shutil
import sys
import time
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from django_devtools.branches.decision import Workspace
from django_devtools.branches.effort import Limit, last_pace, limit, rows_to_copy
from django_devtools.branches.errors import SwitchError
from django_devtools.branches.files import read_text
from django_devtools.branches.hooks import without_app
from django_devtools.branches.hooks.callers import Caller, Callers
from django_devtools.branches.hooks.projects import pathspecs
from django_devtools.branches.hooks.state import HookState, StateError
from django_devtools.branches.hooks.without_app import ADDED
from django_devtools.branches.planning.policy import Options
from django_devtools.branches.progress import Progress, database_option
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.snapshot_file import SnapshotFile
from django_devtools.branches.switch import Switch
from django_devtools.branches.ticker import took
from django_devtools.conf import SETTINGS_NAME, project_root
from django_devtools.management.base import (
    ACCEPT,
    CTRL_C,
    INTERRUPTED,
    MESSAGES,
    BranchesCommand,
    ask_of_a_hook,
    described,
    notices_of_irreversible,
    notices_of_unclaimed,
    require_debug,
    target_commit,
)
from django_devtools.management.foreground import first_to_hear_ctrl_c
from django_devtools.management.tenants import work_for_all

if TYPE_CHECKING:
    from django_devtools.branches.hooks.hook import Hooks
    from django_devtools.management.doctor import Facts

HOOKS_STDERR = 4
"""The descriptor that `hook.sh` gives to the command to speak by."""

JSON_IS_FOR = "--json is for the status alone: manage.py migrations_hook status --json"

# Scripts that stand in for manage.py, and need an environment that hooks don't have.
DJANGOS_OWN = ("__main__.py", "django-admin", "django-admin.exe")


class Command(BranchesCommand):
    help = (
        "Installs git hooks that keep the databases in step with the branch: after a checkout, a "
        "merge or a rebase they run migrations_switch where it is needed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "action",
            choices=["install", "uninstall", "status", "doctor", "run"],
            help=(
                "Installs or uninstalls the hooks, shows their status, finds out what is wrong "
                "with them, or does what they do."
            ),
        )
        parser.add_argument(
            "--json", action="store_true", help="With status: prints it as an object of JSON."
        )
        parser.add_argument("--in-hook", action="store_true", help=SUPPRESS)

    headline = "The databases were left alone."
    done: list[Switch]
    """The switches that have ended."""
    project: Path | None = None
    """The directory of the project that speaks, if git calls several."""
    script = Path("manage.py")
    """Its manage.py, seen from the top of the repository."""

    def write(self, text: str) -> None:
        super().write(self._of_project(text))

    def notice(self, text: str) -> None:
        super().notice(self._of_project(text))

    def refusal(self, text: str) -> None:
        super().refusal(self._of_project(text))

    def _of_project(self, text: str) -> str:
        """What is said with the name of the project, and commands as they are typed at the top."""
        if self.project is None:
            return text
        manage_py = shlex.quote(self.script.as_posix())
        text = re.sub(r"(?<![\w./-])manage\.py(?= [a-z])", lambda found: manage_py, text)
        return f"{self.project.as_posix()}: {text}"

    def work(self, options: dict[str, Any]) -> None:
        if options["json"] and options["action"] != "status":
            raise CommandError(JSON_IS_FOR)
        if options["action"] == "run":
            _speak()
        self.repository = repository = Repository.find(project_root())
        if repository is None and shutil.which("git") is None:
            raise CommandError("git was not found in PATH.")
        if repository is None:
            raise CommandError(
                f"{project_root()} is not in a git repository; run `git init` to create one."
            )
        getattr(self, f"_{options['action']}")(repository, options)

    def _install(self, repository: Repository, options: dict[str, Any]) -> None:
        from django_devtools.branches.checks import tracked_databases

        for words, hint in tracked_databases(repository):
            self.notice(f"{words} {hint}")
        hooks = _hooks(repository)
        self._forget_gone(hooks, options["action"])
        workspace = self.workspace(options)
        caller, earlier = _caller(hooks.callers, options), hooks.callers.own()
        notes = hooks.install(caller, pathspecs(repository, workspace.disk))
        conditions = hooks.conditions()
        done = [name for name, condition in conditions.items() if condition.is_installed]
        if done:
            self.write(f"Installed in {hooks.place}: {', '.join(done)}.")
        if earlier and earlier.script != caller.script:
            self.write(f"They no longer call {earlier.script}, but {caller.script}.")
        if caller.options:
            self.write(f"They run manage.py with {shlex.join(caller.options)}.")
        if others := hooks.callers.others():
            self.write(f"They also call the projects in: {', '.join(others)}.")
        for note in notes:
            self.notice(note)
        if hooks.is_unwritten:
            self.refusal(" ".join(filter(None, hooks.trouble() or ())))
        if done == [*conditions]:
            self.write("From now on, the databases follow `git checkout`.")

    def _uninstall(self, repository: Repository, options: dict[str, Any]) -> None:
        hooks = _hooks(repository)
        self._forget_gone(hooks, options["action"])
        was_called, others = hooks.uninstall(), hooks.callers.others()
        if was_called and others:
            self.write(
                f"The hooks in {hooks.place} no longer call this project. They still call the "
                f"projects in: {', '.join(others)}."
            )
        elif was_called:
            self.write(f"Removed from {hooks.place}.")
        else:
            self.write(f"No django_devtools hooks found in {hooks.place}.")

    def _forget_gone(self, hooks: "Hooks", action: str) -> None:
        for directory, script in hooks.forget_gone(action).items():
            self.write(
                f"The hooks no longer call the project in {directory}, as no branch has {script}."
            )

    def _status(self, repository: Repository, options: dict[str, Any]) -> None:
        hooks, failure = _hooks(repository), HookState(repository).failure()
        if options["json"]:
            self.stdout.write(json.dumps(_status_of(hooks, failure), indent=2))
            return
        self._show_hooks(hooks)
        if trouble := hooks.trouble():
            self.stdout.write(self.style.WARNING(" ".join(trouble)))
        elif not all(one.is_installed for one in hooks.conditions().values()):
            self.stdout.write("To install them: manage.py migrations_hook install")
        if failure:
            self.stdout.write(self.style.ERROR(failure))

    def _show_hooks(self, hooks: "Hooks") -> None:
        for name, condition in hooks.conditions().items():
            owner = hooks.owner(name)
            written = f" ({owner} writes the hook)" if owner else ""
            self.stdout.write(f"{hooks.path(name)}: {condition.value}{written}")

    def _doctor(self, repository: Repository, options: dict[str, Any]) -> None:
        from django_devtools.management import doctor

        if options["in_hook"]:
            self.stdout.write(doctor.inside(self.workspace(options)))
            return
        hooks = _hooks(repository)
        here, there = doctor.Facts.here(), doctor.ask_hook(hooks)
        self._show_hooks(hooks)
        if others := hooks.callers.others():
            self.stdout.write(f"They also call the projects in: {', '.join(others)}.")
        if isinstance(there, doctor.Facts):
            self._compare(here, there)
        wrong = [*doctor.troubles(hooks, here, there)]
        for words in wrong:
            self.stdout.write(f"\n{self.style.ERROR(words)}")
        if wrong:
            self.stdout.flush()
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("The hooks do what they are for."))

    def _compare(self, here: "Facts", there: "Facts") -> None:
        """Show what decides where the hook works, beside what is so in this terminal."""
        own, hooks = here.shown(), there.shown()
        rows = [[one, own.get(one, "-"), hooks.get(one, "-")] for one in own | hooks]
        titles, *lines = self.table([["", "here", "in the hook"], *rows])
        self.stdout.write(self.style.MIGRATE_HEADING(f"\n{titles}"))
        for line in lines:
            self.stdout.write(line)
        if lacking := [one for one in dict.fromkeys(here.path) if one not in there.path]:
            self.stdout.write(f"PATH of the hook lacks: {', '.join(lacking)}")

    def _run(self, repository: Repository, options: dict[str, Any]) -> None:
        """Bring the databases into step where nothing is lost. Otherwise say what to type."""
        with first_to_hear_ctrl_c(sys.stderr):
            self._run_or_say_why_not(repository, options)

    def _run_or_say_why_not(self, repository: Repository, options: dict[str, Any]) -> None:
        self.began = time.monotonic()
        state, callers = HookState(repository), Callers(repository)
        if callers.others():
            own, self.project = callers.own(), callers.project
            self.script = own.script if own else self.project / "manage.py"
        aside = self.stderr if self.verbosity >= 1 else None
        progress = Progress(self.stdout, self.style, 0, aside)
        self.progress = progress
        try:
            require_debug("DEBUG is off, so the hooks change no database.")
            with progress, self.locked(SnapshotFile.find(repository), progress):
                # Only now: while another switch was working, there may have been a checkout.
                with progress.meanwhile("Comparing the databases with this checkout"):
                    workspace = self.workspace(options)
                self.done = []
                work_for_all(self, options, lambda: self._follow(workspace, options, progress))
                if self.done:
                    commit = target_commit(self.done)
                    self._remember(state, commit, pathspecs(repository, workspace.disk))
        # The checkout is done in any case, and the next one is a new chance.
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
            way_out = error.way_out if isinstance(error, SwitchError) else ""
            command = " ".join(filter(None, [_switch_command(), way_out]))
            why = f"{self.headline} {_reason(error, progress)}\nTo continue, run `{command}`"
            with suppress(StateError):
                state.failed(why)
            self.refusal(why)
            sys.exit(CTRL_C if isinstance(error, KeyboardInterrupt) else 1)

    def _follow(self, workspace: Workspace, options: dict[str, Any], progress: Progress) -> None:
        """Bring the databases into step with the checkout, or those of a tenant."""
        with progress.meanwhile("Comparing the databases with this checkout"):
            switches = self._checked(workspace, options)
            decisions = [one.decision for one in switches if one.decision.plan]
            most = limit(map(last_pace, decisions)) if decisions else Limit(0)
            rows = rows_to_copy(decisions, most.rows)
        if rows > most.rows:
            _agree_to_copy(rows, most)
        self.headline = "The databases are not in step."
        self._bring_in_step(switches, progress)
        self.done += switches

    def _remember(self, state: HookState, commit: str | None, specs: Sequence[str]) -> None:
        try:
            if ADDED in os.environ:
                # A `migrate` on this branch won't tell the hooks to look again.
                state.changed()
            else:
                state.in_step(commit, specs)
        except StateError as error:
            self.notice(
                f"The databases are in step, and that can't be recorded: {error} Until that is "
                "fixed, each checkout looks at them again."
            )

    def _checked(self, workspace: Workspace, options: dict[str, Any]) -> list[Switch]:
        """The switches of the databases that anything was ever applied in."""
        found = [Switch(c, workspace, Options()) for c in self.connections(options)]
        switches = [switch for switch in found if switch.decision.comparison.rows]
        # Settings that fall back to another database without the environment of a terminal would
        # have it filled from nothing.
        for switch in found:
            if switch not in switches:
                what = described(switch.connection)
                self.notice(
                    f"{what} has no applied migrations, and was left alone. To apply them: "
                    f"manage.py migrate{database_option(switch.connection)}"
                )
        for switch in switches:
            switch.check()
        return switches

    def _bring_in_step(self, switches: list[Switch], progress: Progress) -> None:
        for switch in filter(None, switches):
            summary, target = _summary(switch), switch.decision.comparison.target.title
            report = switch.run(progress, interactive=False)
            self.write(
                f"Database '{switch.connection.alias}' is in step with {target}: {summary}, "
                f"{took(time.monotonic() - self.began)}"
            )
            for words, entries in (
                ("Saved in the stash", report.saved),
                ("Restored from the stash", report.restored),
            ):
                if entries:
                    self.write(f"{words}: {', '.join(entry.summary for entry in entries)}")
            for line in report.cut:
                self.write(line)
            for note in report.notes:
                self.notice(note)
        for switch in switches:
            for note in notices_of_irreversible(switch.decision):
                self.notice(note)
            for note in notices_of_unclaimed(switch.decision):
                self.notice(note)
        if ADDED in os.environ and any(switches):
            self.write("This branch does not install django_devtools: the hook did, for this run.")
        _refuse_changed(switches)


def _hooks(repository: Repository) -> "Hooks":
    # Not by the hooks themselves, which have somebody wait: what writes them takes time to import.
    from django_devtools.branches.hooks.hook import Hooks

    return Hooks(repository)


def _status_of(hooks: "Hooks", failure: str | None) -> dict[str, Any]:
    caller = hooks.callers.own()
    return {
        "project": hooks.callers.project.as_posix(),
        "hooks": [
            {
                "name": name,
                "path": str(hooks.path(name)),
                "state": condition.value,
                "tool": hooks.owner(name),
            }
            for name, condition in hooks.conditions().items()
        ],
        "caller": caller
        and {
            "command": hooks.callers.command(),
            "python": str(caller.python),
            "manage_py": caller.script.as_posix(),
            "options": caller.options,
        },
        "failure": failure,
    }


def _agree_to_copy(rows: int, most: Limit) -> None:
    """Ask a person whether to copy as many rows. Raises SwitchError unless one says yes."""
    what = f"Rows to save and restore: about {rows:,}."
    allowed = f"at most {most.rows:,}: {SETTINGS_NAME}['HOOK_ROWS'] in the settings."
    if most.seconds is not None:
        what = f"{what} At the pace of the last copy, that takes about {rows / most.pace:,.0f} s."
        allowed = f"for at most {most.seconds} s: {SETTINGS_NAME}['HOOK_SECONDS'] in the settings."
    if not ask_of_a_hook(f"{what} Type 'yes' to go on, or 'no' to leave the databases alone: "):
        raise SwitchError(f"{what} Without being told to, a hook copies {allowed}")


def _reason(error: BaseException, progress: Progress) -> str:
    """Why the databases are not in step, in words."""
    if isinstance(error, (*MESSAGES, CommandError)):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return str(error) or INTERRUPTED
    step = f"{progress.current}: " if progress.current else ""
    return f"{step}{type(error).__name__}: {error}"


def _refuse_changed(switches: list[Switch]) -> None:
    left = {
        ".".join(key)
        for switch in switches
        if switch.decision.plan is not None
        for key in switch.decision.plan.not_rolled_back
    }
    if left:
        raise SwitchError(
            "Changed since they were applied, and left as they are, because rolling them "
            f"back would take along what both sides share: {', '.join(sorted(left))}. If the "
            f"database is right as it is: {ACCEPT}."
        )


def _summary(switch: Switch) -> str:
    plan = switch.decision.plan
    if not plan:
        return "finished what was interrupted"
    sources = [switch.decision.comparison.held_source(key) for key in plan.unapply]
    branches = sorted({source.applied_on for source in sources if source and source.applied_on})
    origin = f" (from {', '.join(branches)})" if branches else ""
    counted = (
        (plan.unapply, f"unapplied{origin}"),
        (plan.forgotten, "forgotten"),
        (plan.recorded, "recorded"),
        (plan.apply, "applied"),
    )
    return ", ".join(f"{len(keys)} {what}" for keys, what in counted if keys)


def _speak() -> None:
    """Speak from now on: until a command of ours runs, the hook holds back what is said."""
    if log := os.environ.get("DJANGO_DEVTOOLS_LOG"):
        # In a container, there is neither. A descriptor that this process has opened itself is
        # never inheritable.
        with suppress(OSError):
            if not os.get_inheritable(HOOKS_STDERR):
                return
            os.dup2(HOOKS_STDERR, sys.stderr.fileno())
            # The first line is that of the hook, for those that say nothing.
            sys.stderr.write(Path(log).read_text(errors="replace").partition("\n")[2])
            Path(log).write_text("")


def _switch_command() -> str:
    """What runs a switch on this branch, which may lack the app."""
    if ADDED not in os.environ:
        return "manage.py migrations_switch"
    python = shlex.quote(sys.executable)
    return f"{python} -m {without_app.__name__} manage.py migrations_switch"


def _settings_option(manage_py: str) -> str:
    """The option that names the present settings; empty if ``manage_py`` names these itself."""
    default = re.search(r"""DJANGO_SETTINGS_MODULE['"]\s*,\s*['"]([\w.]+)['"]""", manage_py)
    settings = os.environ.get("DJANGO_SETTINGS_MODULE")
    is_default = settings is None or (default is not None and default[1] == settings)
    return "" if is_default else f"--settings={settings}"


def _caller(callers: Callers, options: dict[str, Any]) -> Caller:
    top = callers.repository.top
    script = Path(sys.argv[0]).resolve()
    if script.name in DJANGOS_OWN or not script.is_relative_to(top):
        script = top / callers.project / "manage.py"
    if not (script.is_file() or callers.command()):
        raise CommandError(
            "The hooks need to know how to call manage.py: run this command with manage.py, or "
            f"set it with `git config {shlex.quote(callers.setting)} 'COMMAND'`."
        )
    settings, pythonpath = _settings_option(read_text(script)), ""
    if options["pythonpath"]:
        pythonpath = f"--pythonpath={Path(options['pythonpath']).absolute()}"
    return Caller(Path(sys.executable), script.relative_to(top), settings, pythonpath, programs())


def programs() -> str:
    """The PATH of this terminal for the shell of the hooks."""
    # On Windows, all programs have the same one, in a form that the shell of git does not read.
    if os.pathsep != ":":
        return ""
    directories = os.environ.get("PATH", "").split(":")
    return ":".join(one for one in directories if one.startswith("/"))
