"""Reports the progress of a switch in the words of Django's own ``migrate``."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from django.core.management.base import OutputWrapper
from django.core.management.color import Style, color_style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from .ticker import Action, Line, Observe, Ticker

ASIDE = "django_devtools: "
"""What lines begin with among those of git."""


class Progress:
    """
    The progress callback of an executor. Also reports what else is done.

    As a context manager, it also says what is being done while that takes long.
    """

    def __init__(
        self,
        stdout: OutputWrapper,
        style: Style,
        verbosity: int,
        aside: OutputWrapper | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``aside`` is where to say what takes long, if nothing of it is said on ``stdout``."""
        self.stdout = stdout
        self.style = style
        self.verbosity = verbosity
        self.current = ""
        """The action that has begun and not ended, or an empty string."""
        self.clock = clock
        self.copying = 0.0
        """For how many seconds rows have been copied."""
        self._start = 0.0
        self._depth = 0
        self._observe: Observe | None = None
        self._ticks = aside is not None or verbosity >= 1
        self._line = Line(aside, ASIDE) if aside else Line(stdout, "  ")
        self._ticker = Ticker(self._line, clock)

    def __enter__(self) -> Self:
        if self._ticks:
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: Any, traceback: TracebackType | None
    ) -> None:
        self._ticker.stop()
        self._line.close()

    def __call__(self, action: str, migration: Any = None, fake: bool = False) -> None:
        labels = {
            "apply_start": f"Applying {migration}",
            "unapply_start": f"Unapplying {migration}",
            "render_start": "Rendering model states",
        }
        if label := labels.get(action):
            self._begin(label)
        else:
            self._end("DONE" if action == "render_success" else "OK")

    @contextmanager
    def during(
        self, label: str, table: str = "", size: int | None = None, rows: int | None = None
    ) -> Iterator[None]:
        """
        Report an action while it is done.

        It copies rows of ``table``, which are ``rows`` if that is known, and writes about
        ``size`` bytes if that is.
        """
        self._begin(label, table, size, rows)
        try:
            yield
        except BaseException:
            self._ticker.end(self._depth)
            raise
        self.copying += self.clock() - self._start
        self._end("OK")

    @contextmanager
    def meanwhile(self, label: str, observe: Observe | None = None) -> Iterator[None]:
        """
        Report an action only if it takes long.

        ``observe`` asks the database how far that has got, and all that is done within it.
        """
        before, self._observe = self._observe, observe or self._observe
        depth = self._ticker.begin(Action(label, self.clock(), self._observe))
        try:
            yield
        finally:
            self._observe = before
            self._ticker.end(depth)

    @contextmanager
    def handed_over(self, label: str, observe: Observe | None = None) -> Iterator[None]:
        """
        Let another process report what it does, which it does by ``verbosity`` alone.

        Where it does not, ``observe`` tells how far it is.
        """
        self.current = label
        with self.meanwhile("" if self.verbosity >= 1 else label, observe):
            yield
        self.current = ""

    @contextmanager
    def within(self, text: str) -> Iterator[None]:
        """Report what is done while Django has begun a line with ``text``, and not ended it."""
        if self.verbosity >= 1:
            self._line.join(text)
        yield
        if self.verbosity >= 1:
            self._line.leave(text)

    def line(self, text: str) -> None:
        """Report an action that takes no time."""
        if self.verbosity >= 1:
            with self._ticker.lock:
                self._line.begin(text)
                self._line.end(self.style.SUCCESS(" OK"))
            self._ticker.spoken()

    def make_room(self) -> None:
        """Let others write: take away what is only shown for now."""
        with self._ticker.lock:
            self._line.clear()
        self._ticker.spoken()

    def _begin(
        self, label: str, table: str = "", size: int | None = None, rows: int | None = None
    ) -> None:
        self.current, self._start = label, self.clock()
        action = Action(label, self._start, self._observe, table, size, rows)
        with self._ticker.lock:
            if self.verbosity >= 1:
                self._line.begin(f"  {label}...")
                self._ticker.spoken()
            self._depth = self._ticker.begin(action)

    def _end(self, word: str) -> None:
        self.current = ""
        with self._ticker.lock:
            if self.verbosity >= 1:
                spent = f" ({self.clock() - self._start:.3f}s)" if self.verbosity > 1 else ""
                self._line.end(self.style.SUCCESS(f" {word}{spent}"))
                self._ticker.spoken()
            self._ticker.end(self._depth)


def not_saved(connection: BaseDatabaseWrapper) -> str:
    """The words before the reason why data is dropped and not in the stash."""
    return f"What is dropped from database '{connection.alias}' was not saved"


@contextmanager
def warning(what: str, verbosity: int, hint: str = "") -> Iterator[None]:
    """Turn whatever goes wrong into a warning: the user asked for ``migrate``, and gets it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - see above
        if verbosity:
            write_notice(color_style().WARNING(f"{what}: {error}{hint}"))


def write_notice(text: str) -> None:
    """Write a line to stderr, after what stdout holds: both may be one pipe or file."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


def database_option(connection: BaseDatabaseWrapper) -> str:
    """The option that names a database in a suggested command; empty if there is only one."""
    return f" --database {connection.alias}" if len(connections.settings) > 1 else ""
