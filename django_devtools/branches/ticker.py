"""
Says what is being done, and how far it is, so that a long copy does not look like a hang.

A thread says it, because the main one waits for the database.
"""

import math
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from django.core.management.base import OutputWrapper

PATIENCE = 1.0
"""How many seconds of silence are left alone, unless GIT_PROGRESS_DELAY has others."""
AGAIN_AT_A_TERMINAL = 1.0
"""After how many seconds it is said again. At a terminal, one line is written over."""
AGAIN = 5.0
"""The same in a file or a pipe, where each line stays."""
BAR = 20
"""How many characters a bar has."""
SOON = 0.1
"""In how many seconds to look for something to say, while nothing is done."""


class Sight(NamedTuple):
    """What a database tells of a statement while that runs."""

    fraction: float | None = None
    """How much of it is done."""
    rows: int | None = None
    """How many rows it has written."""
    all_rows: int | None = None
    """How many rows it is about to write, as the database estimates."""
    written: int | None = None
    """How many bytes it has written."""
    note: str = ""
    """What else it is doing, or waiting for."""


class Action(NamedTuple):
    """What is being done."""

    label: str
    """Empty if others say what it is."""
    began: float
    observe: "Observe | None" = None
    table: str = ""
    """The table of which rows are copied; empty if there is none."""
    size: int | None = None
    """About how many bytes are written, if that is known."""
    rows: int | None = None
    """How many rows are copied, if that is known."""


Observe = Callable[[Action, float], Sight]
"""Asks the database how far an action is, in another thread and at a time of the clock."""


class Line:
    """The last line of a stream."""

    def __init__(self, stream: OutputWrapper, indent: str = "") -> None:
        self.stream = stream
        self.indent = indent
        """What each line begins with."""
        self._begun = ""
        """What is written of a line that goes on."""
        self._is_cut = False
        """Whether that line was ended early, or written over."""
        self._shown = 0
        """How many characters are there at a terminal only for now."""

    @property
    def is_at_a_terminal(self) -> bool:
        return self.stream.isatty()

    def begin(self, text: str) -> None:
        """Write the beginning of a line."""
        self.close()
        # Before it is written: there may be a Ctrl-C any time.
        self._begun, self._is_cut = text, False
        self._write(text)

    def join(self, text: str) -> None:
        """Somebody else has written ``text``, the beginning of a line."""
        self._begun, self._is_cut = text, False

    def leave(self, text: str) -> None:
        """Who has written ``text`` goes on: write it again if it was not the last."""
        if self._begun != text:
            self._write(text)
        self._begun = ""

    def show(self, text: str) -> None:
        """Show a text: at a terminal until something else is written."""
        text = self.indent + text
        if self.is_at_a_terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._write("\r" + text.ljust(self._shown))
            self._shown = len(text)
        else:
            self._write(f"{self._rest_of_begun()}{text}\n")
        self._is_cut = True

    def end(self, words: str) -> None:
        """Write the rest of a line, all of which is there then."""
        begun = self._begun if self._is_cut else ""
        self.clear()
        self._write(f"{begun}{words}\n")
        self._begun, self._is_cut = "", False

    def clear(self) -> None:
        """Take away what is shown for now."""
        if self._shown:
            self._write(f"\r{' ' * self._shown}\r")
        self._shown = 0

    def close(self) -> None:
        """See to it that what comes next begins a line."""
        self.clear()
        self._write(self._rest_of_begun())
        self._begun, self._is_cut = "", False

    def _rest_of_begun(self) -> str:
        return "\n" if self._begun and not self._is_cut else ""

    def _write(self, text: str) -> None:
        if text:
            self.stream.write(text, str, ending="")
            self.stream.flush()


class Ticker:
    """Says on one line which of several actions, one within the other, is being done."""

    def __init__(
        self,
        line: Line,
        clock: Callable[[], float] = time.monotonic,
        patience: float | None = None,
    ) -> None:
        """``patience`` is in seconds; by default it is that of git."""
        self.line = line
        self.clock = clock
        self.patience = _patience() if patience is None else patience
        self.lock = threading.RLock()
        """Held by whoever writes."""
        self._actions: list[Action] = []
        self._due = clock() + self.patience
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Tick from now on, until ``stop``."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop ticking."""
        self._ended.set()
        if self._thread:
            # It may wait for a database.
            self._thread.join(timeout=1)

    def begin(self, action: Action) -> int:
        """``action`` is done now. Returns how many others it is done within."""
        with self.lock:
            self._actions.append(action)
            return len(self._actions) - 1

    def end(self, depth: int) -> None:
        """Only ``depth`` actions are left."""
        with self.lock:
            self.line.clear()
            del self._actions[depth:]

    def spoken(self) -> None:
        """Something was said just now."""
        pause = self.patience if self.line.is_at_a_terminal else max(self.patience, AGAIN)
        self._due = self.clock() + pause

    def tick(self) -> float:
        """Say what is being done if it is time. In how many seconds to call this again."""
        now = self.clock()
        with self.lock:
            action = self._actions[-1] if self._actions else None
        if action is None or not action.label or now < self._due:
            return max(self._due - now, SOON)
        sight = action.observe(action, now) if action.observe else Sight()
        with self.lock:
            # Otherwise it has ended meanwhile.
            if self._actions and self._actions[-1] is action:
                at_a_terminal = self.line.is_at_a_terminal
                self.line.show(words(action, sight, self.clock() - action.began, at_a_terminal))
                self._due = now + (AGAIN_AT_A_TERMINAL if at_a_terminal else AGAIN)
        return SOON

    def _run(self) -> None:
        pause = self.patience
        # Whoever reads it may be gone.
        with suppress(OSError, ValueError):
            while not self._ended.wait(min(pause, threading.TIMEOUT_MAX)):
                pause = self.tick()


def words(action: Action, sight: Sight, seconds: float, with_bar: bool) -> str:
    """What is being done, how far it is, and since when."""
    found = [
        _share(sight.fraction, with_bar),
        f"{int(seconds)} s" if seconds >= 1 else "",
        _rows(action, sight),
        f"{_megabytes(sight.written)} written" if sight.written else "",
        sight.note,
    ]
    details = ", ".join(filter(None, found))
    return f"{action.label}: {details}" if details else f"{action.label}..."


def took(seconds: float) -> str:
    """How long something took, as all commands say it."""
    if seconds < 60:
        return f"in {seconds:.1f} s"
    return f"in {int(seconds) // 60} min {int(seconds) % 60} s"


def _share(fraction: float | None, with_bar: bool) -> str:
    if fraction is None:
        return ""
    # What is estimated may be more than all, and all is not done before the action ends.
    fraction = min(max(fraction, 0.0), 0.99)
    done = math.floor(fraction * BAR)
    bar = f"[{'#' * done}{'.' * (BAR - done)}] " if with_bar else ""
    return f"{bar}{math.floor(fraction * 100)} %"


def _rows(action: Action, sight: Sight) -> str:
    about, total = ("", action.rows) if action.rows is not None else ("about ", sight.all_rows)
    if total is None:
        return ""
    done = f"{sight.rows:,} of " if sight.rows else ""
    return f"{done}{about}{total:,} row{'s' * (total != 1)}"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f} MB" if size >= 2**20 else f"{size / 2**10:.0f} kB"


def _patience() -> float:
    """The seconds that git has its own progress wait."""
    try:
        found = float(os.environ["GIT_PROGRESS_DELAY"])
    except (KeyError, ValueError):
        return PATIENCE
    return found if found >= 0 else PATIENCE
