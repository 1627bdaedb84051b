"""Our part of a hook, between two lines: written into what is there, and removed."""

import os
import re
import stat
from pathlib import Path

from django_devtools.branches.errors import DevtoolsError
from django_devtools.branches.files import read_text, write_aside

BEGIN = "# >>> django_devtools >>>"
END = "# <<< django_devtools <<<"
BACKUP_SUFFIX = ".before-django-devtools"

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
        DJANGO_DEVTOOLS_GIT=$PPID sh "$django_devtools" {{name}} "$@"
    fi
    exit $django_devtools_status
fi
{END}
"""


class HookError(DevtoolsError):
    """The hooks can't be written."""


def block(name: str) -> str:
    """What a hook has of ours."""
    return BLOCK.replace("{name}", name)


def put_block(path: Path, name: str, runs_anyway: bool = False) -> None:
    """
    Write our block into a hook. What is no shell script, or is switched off, is moved aside.

    Raises OSError, and HookError where another file is already aside.
    """
    backup = path.with_name(name + BACKUP_SUFFIX)
    text = without_block(read_text(path))
    mode = path.stat().st_mode if path.exists() else 0o644
    if runs_anyway:
        mode |= stat.S_IXUSR
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
    write_aside(path, first + block(name) + rest, mode | (mode & 0o444) >> 2)


def remove_block(path: Path, name: str) -> bool:
    """Make a hook what it was before it had our block. Whether it had one."""
    text, backup = read_text(path), path.with_name(name + BACKUP_SUFFIX)
    if BEGIN not in text:
        return False
    text = without_block(text)
    _, rest = _split_shebang(text)
    if os.path.lexists(backup) and rest == _call_backup(name):
        backup.replace(path)
    elif rest.strip():
        write_aside(path, text, path.stat().st_mode)
    else:
        path.unlink()
    return True


def without_block(text: str) -> str:
    """A text without what is between our two lines."""
    return re.sub(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", "", text, flags=re.DOTALL)


def _call_backup(name: str) -> str:
    # Not by "$0": a tool that replaced this hook may call it by another name.
    backup = f'"${{0%/*}}/{name}{BACKUP_SUFFIX}"'
    return f'[ ! -x {backup} ] || exec {backup} "$@"\n'


def _split_shebang(text: str) -> tuple[str, str]:
    first, separator, rest = text.partition("\n")
    return (first + separator, rest) if text.startswith("#!") else ("#!/bin/sh\n", text)


def _is_active_shell(text: str, mode: int) -> bool:
    first, _, _ = text.partition("\n")
    if not mode & stat.S_IXUSR or "\0" in text or first.endswith("\r"):
        return False
    return not first.startswith("#!") or re.search(r"\b(ba|da|k|z)?sh\b", first) is not None
