"""The git hooks that keep the databases in step with the branch, and what they remember."""

import os
import re
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import write_aside
from django_devtools.branches.sources.git import Repository
from django_devtools.branches.sources.loader import Code

NAMES = ("post-checkout", "post-merge", "post-rewrite")
BEGIN = "# >>> django_devtools >>>"
END = "# <<< django_devtools <<<"
KEPT = ".before-django-devtools"
SCRIPT = Path(__file__).with_name("hook.sh")
WRITTEN = "# Written by `manage.py migrations_hook install`.\n"
MIGRATIONS = ":(top,glob)**/migrations/**"
# They say which apps there are, other people's among them, and where their migrations lie.
SETTINGS = (":(top,glob)**/settings*.py", ":(top,glob)**/settings/**")

# The hook that was there runs first, as a process of its own: it may end with `exit` or `exec`. It
# may also start itself anew, or read another one of ours, which have nothing more to do then.
BLOCK = f"""\
{BEGIN}
# Keeps the databases in step with the branch. `manage.py migrations_hook uninstall` takes it out.
if [ "${{DJANGO_DEVTOOLS_REST-}}" != "$PWD $0 $*" ]; then
    set +eu
    DJANGO_DEVTOOLS_REST="$PWD $0 $*" "$0" "$@"
    django_devtools_status=$?
    django_devtools=$(git rev-parse --git-common-dir)/django-devtools/hook.sh
    if [ -f "$django_devtools" ]; then
        (set -- {{name}} "$@"; . "$django_devtools")
    fi
    exit $django_devtools_status
fi
{END}
"""


class HookError(DevtoolsError):
    """The hooks can't be written; the text says why and what to type."""


class Condition(Enum):
    """What a hook is like."""

    INSTALLED = "installed"
    OUTDATED = "outdated"
    MISSING = "not installed"


@dataclass(frozen=True)
class Caller:
    """How the hooks call manage.py, unless git's setting django-devtools.manage says it."""

    python: Path
    script: Path
    """Where manage.py lies, from the top of the work tree on."""


@dataclass(frozen=True)
class Hooks:
    """The hooks of a repository."""

    repository: Repository

    @property
    def script(self) -> Path:
        """What all hooks call, in every work tree."""
        return self.repository.common_dir / "django-devtools" / "hook.sh"

    def install(self, caller: Caller, specs: Sequence[str]) -> None:
        """
        Write the hooks. Ones that are there already stay, and go first.

        ``specs`` are those of ``pathspecs``. Raises HookError.
        """
        try:
            write_aside(self.script, _script(caller, specs))
            for name in NAMES:
                self._install(name)
        except OSError as error:
            raise HookError(f"{error.filename} can't be written: {error.strerror}.") from None

    def uninstall(self) -> bool:
        """Take the hooks away again, and say whether there were any."""
        found = [self._uninstall(name) for name in NAMES]
        self.script.unlink(missing_ok=True)
        return any(found)

    def conditions(self) -> dict[str, Condition]:
        """What each hook is like."""
        return {name: self._condition(name) for name in NAMES}

    def python(self) -> Path | None:
        """What the hooks start; None where there are none, or git's settings say it."""
        found = re.search("^python=(.*)$", _read(self.script), re.MULTILINE)
        if found is None or self.repository.config("django-devtools.manage"):
            return None
        return Path(*shlex.split(found[1]))

    def path(self, name: str) -> Path:
        return self._directory / name

    @cached_property
    def _directory(self) -> Path:
        return self.repository.hooks_dir()

    def _condition(self, name: str) -> Condition:
        text = _read(self.path(name))
        if BEGIN not in text:
            return Condition.MISSING
        current = _block(name) in text and _read(self.script).endswith(SCRIPT.read_text("utf-8"))
        return Condition.INSTALLED if current else Condition.OUTDATED

    def _install(self, name: str) -> None:
        path, kept = self.path(name), self.path(name + KEPT)
        text = _without_block(_read(path))
        mode = path.stat().st_mode if path.exists() else 0o644
        # A link's target may be a file of the project, or of others.
        if path.is_symlink() or (path.exists() and not _is_active_shell(text, mode)):
            if os.path.lexists(kept):
                raise HookError(f"{kept} is there from before. Move it away, or back to {path}.")
            path.replace(kept)
            text, mode = _call_kept(name), 0o644
        first, rest = _split_shebang(text)
        # Who may read it, may run it.
        write_aside(path, first + _block(name) + rest, mode | (mode & 0o444) >> 2)

    def _uninstall(self, name: str) -> bool:
        path, kept = self.path(name), self.path(name + KEPT)
        text = _read(path)
        if BEGIN not in text:
            return False
        text = _without_block(text)
        _, rest = _split_shebang(text)
        if os.path.lexists(kept) and rest == _call_kept(name):
            kept.replace(path)
        elif rest.strip():
            write_aside(path, text, path.stat().st_mode)
        else:
            path.unlink()
        return True


@dataclass(frozen=True)
class HookState:
    """What the hooks remember about a work tree."""

    repository: Repository

    def in_step(self, commit: str | None, specs: Sequence[str]) -> None:
        """The databases are in step with the code that was read with ``commit`` checked out."""
        self._failure.unlink(missing_ok=True)
        moved = commit != self.repository.commit()
        if commit and not moved and not self.repository.has_changes(specs):
            write_aside(self._in_step, commit + "\n")
        else:
            self._in_step.unlink(missing_ok=True)

    def changed(self) -> None:
        """A database was changed, maybe one that other work trees use: have all of them look."""
        self._failure.unlink(missing_ok=True)
        common = self.repository.common_dir
        for directory in (common, *common.glob("worktrees/*")):
            (directory / "django-devtools" / "in-step").unlink(missing_ok=True)

    def settled(self) -> None:
        """Somebody has looked at the databases, and there was nothing to do."""
        self._failure.unlink(missing_ok=True)

    def failed(self, why: str) -> None:
        """The databases could not be brought in step."""
        self._in_step.unlink(missing_ok=True)
        write_aside(self._failure, why)

    def failure(self) -> str | None:
        """Why the databases could not be brought in step the last time, None when they were."""
        return _read(self._failure) or None

    @cached_property
    def _in_step(self) -> Path:
        return self.repository.private_dir() / "django-devtools" / "in-step"

    @cached_property
    def _failure(self) -> Path:
        return self._in_step.with_name("failed")


def pathspecs(repository: Repository, disk: Code) -> list[str]:
    """Which files of a repository are migrations, as git is told; those of the branches, too."""
    own = repository.own(list({*disk.directories().values()}))
    others = sorted(path.relative_to(repository.top) for path in own if path.name != "migrations")
    return [MIGRATIONS, *(f":(top,literal){path.as_posix()}" for path in others)]


def _script(caller: Caller, specs: Sequence[str]) -> str:
    values = {
        "python": str(caller.python),
        # "cd" would look for what begins with a name in CDPATH.
        "script": f"./{caller.script.as_posix()}",
        "pathspecs": shlex.join([*specs, *SETTINGS]),
    }
    assignments = [f"{name}={shlex.quote(value)}\n" for name, value in values.items()]
    return "".join([WRITTEN, *assignments, "\n", SCRIPT.read_text("utf-8")])


def _block(name: str) -> str:
    return BLOCK.replace("{name}", name)


def _call_kept(name: str) -> str:
    # Not by "$0": a tool that took the place of this hook may call it by another name.
    kept = f'"${{0%/*}}/{name}{KEPT}"'
    return f'[ ! -x {kept} ] || exec {kept} "$@"\n'


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


def _read(path: Path) -> str:
    try:
        # As bytes, for the line ends to stay what they are.
        return path.read_bytes().decode(errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return ""
