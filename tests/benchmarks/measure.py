"""Whole processes, timed against each other in one run.

Times differ from machine to machine and from minute to minute; the ratio of two processes that ran
one right after the other hardly does. So nothing here compares a time with a constant.
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


def interleave(runs: Mapping[str, Run], rounds: int) -> dict[str, Times]:
    """Run all of ``runs`` by turns and return the wall clock seconds of each, round by round.

    A warm-up round, which also writes the bytecode files, does not count. Every second round goes
    the other way round, so that none of the runs always follows the same other one.
    """
    times: dict[str, Times] = {name: [] for name in runs}
    names = list(runs)
    for number in range(rounds + 1):
        for name in names:
            seconds = _time(runs[name])
            if number:
                times[name].append(seconds)
        names.reverse()
    return times


def compare(what: str, ours: Times, theirs: Times, *, bound: float) -> Row:
    """Return the median of the ratios of the pairs."""
    ratio = median(own / other for own, other in zip(ours, theirs, strict=True))
    return Row(what, f"{median(ours):.2f} s", f"{median(theirs):.2f} s", ratio, bound)


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


def execute(command: list[str], cwd: Path) -> None:
    """Run a command, and show what it said if it fails."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        raise RuntimeError(f"{command} exited with {result.returncode}:\n{result.stdout}")


def _growths(small: Times, large: Times) -> Times:
    return [after / before for before, after in zip(small, large, strict=True)]


def _time(run: Run) -> float:
    run.prepare()
    start = time.perf_counter()
    execute(run.command, run.cwd)
    seconds = time.perf_counter() - start
    run.verify()
    return seconds
