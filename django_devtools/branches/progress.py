"""Reports the progress of a switch in the words of Django's own ``migrate``."""

import sys
import time
from typing import Any

from django.core.management.base import OutputWrapper
from django.core.management.color import Style
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Progress:
    """The progress callback of an executor. Also reports steps that only rewrite rows."""

    def __init__(self, stdout: OutputWrapper, style: Style, verbosity: int) -> None:
        self.stdout = stdout
        self.style = style
        self.verbosity = verbosity
        self.current = ""
        """The action that has begun and not ended, or an empty string."""
        self._start = 0.0

    def __call__(self, action: str, migration: Any = None, fake: bool = False) -> None:
        labels = {
            "apply_start": f"Applying {migration}",
            "unapply_start": f"Unapplying {migration}",
            "render_start": "Rendering model states",
        }
        self.current = labels.get(action, "")
        if self.verbosity < 1:
            return
        if self.current:
            self._start = time.monotonic()
            self.stdout.write(f"  {self.current}...", ending="")
            self.stdout.flush()
        else:
            elapsed = f" ({time.monotonic() - self._start:.3f}s)" if self.verbosity > 1 else ""
            word = " DONE" if action == "render_success" else " OK"
            self.stdout.write(self.style.SUCCESS(word + elapsed))

    def line(self, text: str) -> None:
        """Report an action that takes no time."""
        if self.verbosity >= 1:
            self.stdout.write(text + self.style.SUCCESS(" OK"))


def write_notice(text: str) -> None:
    """Write a line to stderr, after what stdout holds: both may be one pipe or file."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")


def database_option(connection: BaseDatabaseWrapper) -> str:
    """The option that names a database in a suggested command; empty if there is only one."""
    return f" --database {connection.alias}" if len(connections.settings) > 1 else ""
