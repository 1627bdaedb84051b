"""Whole processes, timed against each other in one run.

Times differ from machine to machine and from minute to minute; the ratio of two processes that ran
one right after the other hardly does. So nothing here compares a time with a constant, except for
the difference of two that is to be too little to be noticed.
"""

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .generate import environment

Times = list[float]


def nothing() -> None:
    """Stand in for a preparation or a verification that a run has no need of."""


@dataclass(frozen=True)
class Run:
    """A command to time, with what has to be done before and after it, off the clock."""

    command: list[str]
    cwd: Path
    prepare: Callable[[], None] = nothing
    # Raises when the command did not do its work: a command that does nothing is always fast.
    verify: Callable[[], None] = nothing

    def __call__(self) -> float:
        """Return the wall clock seconds that it takes."""
        self.prepare()
        start = time.perf_counter()
        execute(self.command, self.cwd)
        seconds = time.perf_counter() - start
        self.verify()
        return seconds


@dataclass(frozen=True)
class Call:
    """The same for what needs no process of its own."""

    work: Callable[[], object]
    prepare: Callable[[], object] = nothing
    verify: Callable[[], object] = nothing

    def __call__(self) -> float:
        """Return the wall clock seconds that it takes."""
        self.prepare()
        start = time.perf_counter()
        self.work()
        seconds = time.perf_counter() - start
        self.verify()
        return seconds


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio and the bound that it has to stay below."""

    what: str
    ours: str
    theirs: str
    ratio: float
    bound: float

    def check(self) -> None:
        """Print the row, and fail if the ratio is above the bound."""
        print(
            f"\n{self.what:<60} ours {self.ours:>8}  theirs {self.theirs:>8}"
            f"  ratio {self.ratio:5.2f}  bound {self.bound:.2f}"
        )
        assert self.ratio <= self.bound, f"{self.what}: {self.ratio:.2f} > {self.bound:.2f}"


@dataclass(frozen=True)
class Cost:
    """One line of the table: what ours takes more, and the bound that it has to stay below."""

    what: str
    ours: float
    theirs: float
    more: float
    bound: float

    def check(self) -> None:
        """Print the line, and fail if it is more than the bound."""
        print(
            f"\n{self.what:<60} ours {_said(self.ours):>8}  theirs {_said(self.theirs):>8}"
            f"  more {_said(self.more)}  bound {_said(self.bound)}"
        )
        assert self.more <= self.bound, f"{self.what}: {_said(self.more)} > {_said(self.bound)}"


def interleave(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Times]:
    """Run all of ``runs`` by turns and return the seconds of each, round by round.

    A warm-up round, which also writes the bytecode files, does not count. Every second round goes
    the other way round, so that none of the runs always follows the same other one.
    """
    times: dict[str, Times] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds + 1):
        for name in names:
            seconds = runs[name]()
            if number:
                times[name].append(seconds)
        names.reverse()
    return times


def compare(what: str, ours: Times, theirs: Times, *, bound: float) -> Row:
    """Return the median of the ratios of the pairs."""
    ratio = median(own / other for own, other in zip(ours, theirs, strict=True))
    return Row(what, _said(median(ours)), _said(median(theirs)), ratio, bound)


def compare_cost(what: str, ours: Times, theirs: Times, *, bound: float) -> Cost:
    """Return the median of the differences of the pairs."""
    more = median(own - other for own, other in zip(ours, theirs, strict=True))
    return Cost(what, median(ours), median(theirs), more, bound)


def compare_growth(
    what: str,
    ours: tuple[Times, Times],
    theirs: tuple[Times, Times],
    *,
    bound: float,
) -> Row:
    """Return how much faster ours grows than theirs, from the small to the large project."""
    own, other = _growths(*ours), _growths(*theirs)
    ratio = median(a / b for a, b in zip(own, other, strict=True))
    return Row(what, f"x {median(own):.2f}", f"x {median(other):.2f}", ratio, bound)


def execute(command: list[str], cwd: Path) -> str:
    """Run a command and return its output, or show all that it said if it fails."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        said = result.stdout + result.stderr
        raise RuntimeError(f"{command} exited with {result.returncode}:\n{said}")
    return result.stdout


def _growths(small: Times, large: Times) -> Times:
    return [after / before for before, after in zip(small, large, strict=True)]


def _said(seconds: float) -> str:
    for unit, factor in (("s", 1), ("ms", 1e3)):
        if abs(seconds) * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
