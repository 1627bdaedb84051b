"""The git hooks that keep the databases in step with the branch: written and removed."""

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from pathlib import Path

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import read_text, write_aside
from django_devtools.branches.hooks.callers import Caller, Callers
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code

NAMES = ("post-checkout", "post-merge", "post-rewrite")
BEGIN = "# >>> django_devtools >>>"
END = "# <<< django_devtools <<<"
BACKUP_SUFFIX = ".before-django-devtools"
SCRIPT = Path(__file__).with_name("hook.sh")
MIGRATIONS = ":(top,glob)**/migrations/**"
# Settings name the installed apps, those of packages included, and where their migrations are.
SETTINGS = (":(top,glob)**/settings*.py", ":(top,glob)**/settings/**")

# The existing part of the hook runs first, in a process of its own, because it may end with `exit`
# or `exec`. It may also restart itself or source another of our hooks. These have nothing more to
# do then, which DJANGO_DEVTOOLS_REST tells them.
BLOCK = f"""\
{BEGIN}
# Keeps the databases in step with the branch. `manage.py migrations_hook uninstall` removes it.
if [ "${{DJANGO_DEVTOOLS_REST-}}" != "$PWD $0 $*" ]; then
    set +eu
    DJANGO_DEVTOOLS_REST="$PWD $0 $*" "$0" "$@"
    django_devtools_status=$?
    django_devtools=$(git rev-parse --git-common-dir)/django-devtools/hook.sh
    if [ -f "$django_devtools" ]; then
        sh "$django_devtools" {{name}} "$@"
    fi
    exit $django_devtools_status
fi
{END}
"""


class HookError(DevtoolsError):
    """The hooks can't be written."""


class Condition(Enum):
    """The state of an installed hook."""

    INSTALLED = "installed"
    OUTDATED = "outdated"
    MISSING = "not installed"


class Hooks:
    """The hooks of a repository."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.callers = Callers(repository)

    def install(self, caller: Caller, specs: Sequence[str]) -> None:
        """
        Write the hooks, and have them call this project. Existing hooks stay, and run first.

        ``specs`` are those of ``pathspecs``. Raises GitError, and HookError where a file can't be
        written.
        """
        with _writing("install"):
            self.callers.keep_earlier()
            self.callers.write(caller, [*specs, *SETTINGS])
            write_aside(self.callers.script, SCRIPT.read_text("utf-8"))
            for name in NAMES:
                self._install(name)
            if self._is_huskys:
                self._exclude()

    def uninstall(self) -> bool:
        """
        Have the hooks no longer call this project. Whether they did.

        With the last project, the hooks are removed. Raises GitError, and HookError where a file
        can't be written.
        """
        with _writing("uninstall"):
            self.callers.keep_earlier()
            was_called = self.callers.remove()
            if self.callers.others():
                return was_called
            found = [self._uninstall(name) for name in NAMES]
            if self._is_huskys:
                self._include()
            self.callers.script.unlink(missing_ok=True)
            return was_called or any(found)

    def conditions(self) -> dict[str, Condition]:
        """The state of each hook, by its name, as this project has it."""
        if self.callers.own() is None:
            return dict.fromkeys(NAMES, Condition.MISSING)
        return {name: self._condition(name) for name in NAMES}

    def path(self, name: str) -> Path:
        return self._directory / name

    @cached_property
    def _directory(self) -> Path:
        directory = self.repository.hooks_dir()
        return directory.parent if self._is_huskys else directory

    @cached_property
    def _is_huskys(self) -> bool:
        """
        Whether the hooks are written by husky 9 or newer, at each `npm install`.

        What it writes calls the hooks that are beside that directory.
        """
        directory = self.repository.hooks_dir()
        return directory.name == "_" and directory.parent.name == ".husky"

    def _condition(self, name: str) -> Condition:
        text = read_text(self.path(name))
        if BEGIN not in text:
            return Condition.MISSING
        is_current = (
            _block(name) in text
            and self.callers.is_current()
            and read_text(self.callers.script) == SCRIPT.read_text("utf-8")
        )
        return Condition.INSTALLED if is_current else Condition.OUTDATED

    def _install(self, name: str) -> None:
        path, backup = self.path(name), self.path(name + BACKUP_SUFFIX)
        text = _without_block(read_text(path))
        mode = path.stat().st_mode if path.exists() else 0o644
        if self._is_huskys:
            mode |= stat.S_IXUSR  # It calls them with `sh`, whatever their mode is.
        # The target of a link may be a file of the project, or of another one.
        if path.is_symlink() or (path.exists() and not _is_active_shell(text, mode)):
            if os.path.lexists(backup):
                raise HookError(
                    f"{backup} already exists. Move it away, or back to {path}, and run "
                    "`manage.py migrations_hook install` again."
                )
            path.replace(backup)
            text, mode = _call_backup(name), 0o644
        first, rest = _split_shebang(text)
        # Whoever may read it may run it.
        write_aside(path, first + _block(name) + rest, mode | (mode & 0o444) >> 2)

    def _exclude(self) -> None:
        """
        Keep git from taking hooks among the files of the project for new ones.

        If they were committed on one branch, a checkout of another would remove them.
        """
        known = read_text(self._exclusions)
        new = [f"{one}\n" for one in self._patterns() if one not in known.splitlines()]
        ended = known if known.endswith("\n") or not known else f"{known}\n"
        if new:
            write_aside(self._exclusions, ended + "".join(new))

    def _include(self) -> None:
        known = read_text(self._exclusions)
        ours = {f"{pattern}\n" for pattern in self._patterns()}
        left = [line for line in known.splitlines(keepends=True) if line not in ours]
        if "".join(left) != known:
            write_aside(self._exclusions, "".join(left))

    @property
    def _exclusions(self) -> Path:
        """What git ignores in this clone alone."""
        return self.repository.common_dir / "info" / "exclude"

    def _patterns(self) -> list[str]:
        top = self.repository.top
        paths = [path for path in map(self.path, NAMES) if path.is_relative_to(top)]
        return [f"/{path.relative_to(top).as_posix()}" for path in paths]

    def _uninstall(self, name: str) -> bool:
        path, backup = self.path(name), self.path(name + BACKUP_SUFFIX)
        text = read_text(path)
        if BEGIN not in text:
            return False
        text = _without_block(text)
        _, rest = _split_shebang(text)
        if os.path.lexists(backup) and rest == _call_backup(name):
            backup.replace(path)
        elif rest.strip():
            write_aside(path, text, path.stat().st_mode)
        else:
            path.unlink()
        return True


def pathspecs(repository: Repository, disk: Code) -> list[str]:
    """The pathspecs of all migration files of a repository, on this branch and on others."""
    own = disk.own_directories(repository)
    others = sorted(path.relative_to(repository.top) for path in own if path.name != "migrations")
    return [MIGRATIONS, *(f":(top,literal){path.as_posix()}" for path in others)]


@contextmanager
def _writing(action: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HookError(
            f"{error.filename} can't be written: {error.strerror}. Once that is fixed, run "
            f"`manage.py migrations_hook {action}` again."
        ) from None


def _block(name: str) -> str:
    return BLOCK.replace("{name}", name)


def _call_backup(name: str) -> str:
    # Not by "$0": a tool that replaced this hook may call it by another name.
    backup = f'"${{0%/*}}/{name}{BACKUP_SUFFIX}"'
    return f'[ ! -x {backup} ] || exec {backup} "$@"\n'


def _without_block(text: str) -> str:
    return re.sub(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", "", text, flags=re.DOTALL)


def _split_shebang(text: str) -> tuple[str, str]:
    first, separator, rest = text.partition("\n")
    return (first + separator, rest) if text.startswith("#!") else ("#!/bin/sh\n", text)


def _is_active_shell(text: str, mode: int) -> bool:
    first, _, _ = text.partition("\n")
    if not mode & stat.S_IXUSR or "\0" in text or first.endswith("\r"):
        return False
    return not first.startswith("#!") or re.search(r"\b(ba|da|k|z)?sh\b", first) is not None
