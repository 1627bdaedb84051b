"""What is said of actions that take long, by a clock that the tests set."""

import threading
from collections.abc import Callable
from io import StringIO

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import no_style

from django_devtools.branches import ticker
from django_devtools.branches.progress import Progress
from django_devtools.branches.ticker import Action, Line, Sight, Ticker, took, words
from tests.processes import TIMEOUT


class Terminal(StringIO):
    """Remembers what is written, as a terminal of 80 columns would show it."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> list[str]:
        lines = []
        for line in self.getvalue().split("\n"):
            seen = ""
            for part in line.split("\r"):
                seen = part + seen[len(part) :]
            lines.append(seen.rstrip())
        return lines


class Watch:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def progress_of(
    stream: StringIO, monkeypatch: pytest.MonkeyPatch, *, in_hook: bool
) -> tuple[Progress, Callable[[float], None]]:
    """Something that reports, and what lets seconds go by."""
    monkeypatch.delenv("GIT_PROGRESS_DELAY", raising=False)
    watch, wrapped, nowhere = Watch(), OutputWrapper(stream), OutputWrapper(StringIO())
    if in_hook:
        progress = Progress(nowhere, no_style(), 0, wrapped, watch)
    else:
        progress = Progress(wrapped, no_style(), 1, clock=watch)

    def wait(seconds: float) -> None:
        watch.now += seconds
        progress._ticker.tick()

    return progress, wait


def test_a_hook_says_nothing_of_what_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    progress, wait = progress_of(stream, monkeypatch, in_hook=True)
    with progress.meanwhile("Comparing"):
        wait(0.5)
        with progress.during("Saving table shop_review"):
            wait(0.4)
    wait(100)  # Nothing is done any more.
    assert stream.getvalue() == ""


def test_a_hook_breaks_a_silence_and_does_not_talk_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    progress, wait = progress_of(stream, monkeypatch, in_hook=True)
    progress("apply_start", "shop.0002")
    wait(0.7)
    progress("apply_success")
    progress("apply_start", "shop.0003")
    for _ in range(7):
        wait(1)
    assert stream.getvalue() == (
        "django_devtools: Applying shop.0003: 1 s\ndjango_devtools: Applying shop.0003: 6 s\n"
    )


def test_a_line_that_was_begun_goes_on_behind_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = StringIO()
    progress, wait = progress_of(stream, monkeypatch, in_hook=False)
    with progress.during("Saving table shop_review", rows=400_000):
        wait(4)
        assert stream.getvalue() == "  Saving table shop_review..."
        wait(2)
    progress.line("  Forgetting shop.0001...")
    assert stream.getvalue() == (
        "  Saving table shop_review...\n"
        "  Saving table shop_review: 6 s, 400,000 rows\n"
        "  Saving table shop_review... OK\n"
        "  Forgetting shop.0001... OK\n"
    )


def test_at_a_terminal_one_line_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    progress, wait = progress_of(terminal, monkeypatch, in_hook=False)
    with progress.during("Saving table shop_review"):
        wait(1.5)
        assert terminal.shown() == ["  Saving table shop_review: 1 s"]
        wait(1)
        assert terminal.shown() == ["  Saving table shop_review: 2 s"]
    assert terminal.shown() == ["  Saving table shop_review... OK", ""]


def test_a_hook_leaves_nothing_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    progress, wait = progress_of(terminal, monkeypatch, in_hook=True)
    with progress.meanwhile("Comparing the databases"):
        wait(2)
        assert terminal.shown() == ["django_devtools: Comparing the databases: 2 s"]
        progress.make_room()
        assert terminal.shown() == [""]
        wait(2)
    assert terminal.shown() == [""]


def test_what_fails_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    progress, _ = progress_of(stream, monkeypatch, in_hook=False)
    with pytest.raises(ZeroDivisionError), progress, progress.during("Saving table a"):
        raise ZeroDivisionError
    assert progress.current == "Saving table a"
    assert stream.getvalue() == "  Saving table a...\n"
    with progress.during("Saving table b"):
        pass
    assert stream.getvalue() == "  Saving table a...\n  Saving table b... OK\n"


def test_what_another_process_says_is_not_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for in_hook, said in ((True, "django_devtools: Running: 9 s\n"), (False, "")):
        stream = StringIO()
        progress, wait = progress_of(stream, monkeypatch, in_hook=in_hook)
        with progress.handed_over("Running"):
            wait(9)
        assert stream.getvalue() == said


def test_what_ends_while_the_database_is_asked_is_not_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = StringIO()
    progress, wait = progress_of(stream, monkeypatch, in_hook=True)

    def end(action: Action, now: float) -> Sight:
        progress("apply_success")
        return Sight()

    with progress.meanwhile("Switching", end):
        progress("apply_start", "shop.0002")
        wait(9)
    assert stream.getvalue() == ""


def test_a_thread_ticks_until_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_PROGRESS_DELAY", "0")
    monkeypatch.setattr(ticker, "SOON", 0)
    said = threading.Event()

    class Stream(StringIO):
        def write(self, text: str) -> int:
            said.set()
            return super().write(text)

    stream = Stream()
    progress = Progress(OutputWrapper(StringIO()), no_style(), 0, OutputWrapper(stream))
    with progress, progress.meanwhile("Waiting for a test"):
        assert said.wait(TIMEOUT)
    assert stream.getvalue() == "django_devtools: Waiting for a test...\n"
    assert progress._ticker._thread
    assert not progress._ticker._thread.is_alive()


def test_the_thread_ends_in_silence_if_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_PROGRESS_DELAY", "0")
    monkeypatch.setattr(ticker, "SOON", 0)

    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    progress = Progress(OutputWrapper(StringIO()), no_style(), 0, OutputWrapper(Closed()))
    with progress, progress.meanwhile("Waiting for a test"):
        assert progress._ticker._thread
        progress._ticker._thread.join(TIMEOUT)
        assert not progress._ticker._thread.is_alive()


def test_without_verbosity_there_is_no_thread() -> None:
    with Progress(OutputWrapper(StringIO()), no_style(), 0) as progress:
        assert progress._ticker._thread is None


@pytest.mark.parametrize(
    ("delay", "patience"), [("0", 0), ("3", 3), ("", 1), ("soon", 1), ("-1", 1), ("nan", 1)]
)
def test_git_says_how_long_to_be_patient(
    monkeypatch: pytest.MonkeyPatch, delay: str, patience: float
) -> None:
    monkeypatch.setenv("GIT_PROGRESS_DELAY", delay)
    assert Ticker(Line(OutputWrapper(StringIO()))).patience == patience


SAVING = Action("Saving", 0)


@pytest.mark.parametrize(
    ("action", "sight", "said"),
    [
        (SAVING, Sight(), "Saving: 2 s"),
        (SAVING, Sight(0.5), "Saving: 50 %, 2 s"),
        (SAVING, Sight(3.0), "Saving: 99 %, 2 s"),
        (SAVING, Sight(all_rows=2_000), "Saving: 2 s, about 2,000 rows"),
        (SAVING, Sight(rows=7), "Saving: 2 s"),
        (SAVING._replace(rows=1), Sight(), "Saving: 2 s, 1 row"),
        (SAVING._replace(rows=8), Sight(0.25, 2, 8), "Saving: 25 %, 2 s, 2 of 8 rows"),
        (SAVING, Sight(written=3 * 2**20), "Saving: 2 s, 3 MB written"),
        (SAVING, Sight(written=2**11), "Saving: 2 s, 2 kB written"),
        (SAVING, Sight(note="waiting for a lock"), "Saving: 2 s, waiting for a lock"),
    ],
)
def test_what_is_said(action: Action, sight: Sight, said: str) -> None:
    assert words(action, sight, 2.9, with_bar=False) == said


def test_the_bar() -> None:
    assert words(SAVING, Sight(0.5), 0, with_bar=True) == "Saving: [##########..........] 50 %"
    assert words(SAVING, Sight(0), 0, with_bar=True) == "Saving: [....................] 0 %"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "in 0.0 s"), (59.9, "in 59.9 s"), (125.7, "in 2 min 5 s")]
)
def test_how_long_it_took(seconds: float, said: str) -> None:
    assert took(seconds) == said
