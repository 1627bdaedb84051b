"""Ctrl-C where a git hook runs: for the command first, and then for git."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO


@contextmanager
def first_to_hear_ctrl_c(terminal: TextIO) -> Iterator[None]:
    """
    Have Ctrl-C reach git, and whatever runs the hook, only when this process has said its last.

    A terminal sends it to a whole process group. Git ends at once then, does not wait for its
    hooks, and the shell shows its prompt before they have said in which state the databases are.
    So this process is a group of its own meanwhile, in the foreground of its terminal.
    """
    group = _group_in_foreground(terminal)
    if group is None:
        yield
        return
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, note),
        # A shell would not see that it was stopped by Ctrl-Z, and could not continue it.
        signal.SIGTSTP: signal.signal(signal.SIGTSTP, signal.SIG_IGN),
        # Whoever takes the foreground is in the background before.
        signal.SIGTTOU: signal.signal(signal.SIGTTOU, signal.SIG_IGN),
    }
    os.setpgid(0, 0)
    try:
        if not _put_in_foreground(terminal, os.getpgrp()):
            os.setpgid(0, group)  # In the background, it would not hear Ctrl-C itself.
        yield
    finally:
        is_apart = os.getpgrp() != group
        _put_in_foreground(terminal, group)
        for number, handler in before.items():
            signal.signal(number, handler)
        if pressed and is_apart:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGINT)


def _group_in_foreground(terminal: TextIO) -> int | None:
    """The process group that Ctrl-C ends now, if this process is in it and may leave it."""
    if not hasattr(os, "tcsetpgrp"):  # Windows
        return None
    with suppress(OSError, ValueError):
        group = os.getpgrp()
        if os.tcgetpgrp(terminal.fileno()) == group and group != os.getpid():
            return group
    return None


def _put_in_foreground(terminal: TextIO, group: int) -> bool:
    """Whether that worked: the terminal may be gone, or whoever was in that group."""
    with suppress(OSError):
        os.tcsetpgrp(terminal.fileno(), group)
        return True
    return False
