"""Processes that no test waits for without end."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Any

# In seconds, and long: to fail with what hangs, and never to cut off what is slow.
TIMEOUT = 120


@contextmanager
def started(
    command: Sequence[str], timeout: float = TIMEOUT, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """
    A process, which is killed in the end, with those that it has started.

    When that takes too long, they are aborted: whoever waits for them, or reads what they say,
    goes on, and those in Python say to stderr where they were.
    """
    # Not by an option of the command: what a server that reloads starts, does not have that.
    ours = {"PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}
    options["env"] = (options.get("env") or os.environ) | ours
    with subprocess.Popen(command, text=True, start_new_session=True, **options) as process:
        timer = Timer(timeout, _signal, (process.pid, signal.SIGABRT))
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            _signal(process.pid, signal.SIGKILL)


def run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    """What became of a process that was waited for."""
    with started(command, **options) as process:
        output, errors = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    """What a process says, up to the line with ``words``."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"{words!r} was never said, but: {said}")


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
