import os
import pty
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs import pictures

pytestmark = [pytest.mark.no_cover, pytest.mark.once]

ROOT = Path(__file__).parents[1]
TOUR = ROOT / "testproject/tour.py"
COLUMNS, ROWS = 100, 30
SVG = "{http://www.w3.org/2000/svg}"
# How high a layer is in its picture, with the gap below it.
LAYER = 58
COLOUR = "\x1b["
# Each takes a quarter of a minute, so two workers can share the tour.
FIRST_HALF, OTHER_HALF = range(1, 7), range(7, 13)


def test_the_tour_fits_a_screen_and_is_what_the_pictures_show() -> None:
    outdated = pictures.out_of_date(pictures.pictures(walked(FIRST_HALF)))

    assert outdated == [], "Run `tox run -e pictures`."


def test_the_other_half_of_the_tour_fits_a_screen() -> None:
    walked(OTHER_HALF)


def walked(chapters: range) -> str:
    """What the tour says in these chapters, each of which fits a screen."""
    tour = subprocess.run(
        [sys.executable, TOUR, *map(str, chapters)],
        env=without_no_color(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    ).stdout

    assert COLOUR not in tour, "There is no terminal."
    assert tour.endswith("The tour is over, and every claim was checked.\n")
    said = re.split(r"^(?=== )", tour, flags=re.MULTILINE)[1:]
    for number, chapter in zip(chapters, said, strict=True):
        assert chapter.startswith(f"== {number} of {OTHER_HALF[-1]}: ")
        lines = chapter.split("\nThe tour is over")[0].strip().splitlines()
        rows = sum(max(1, -(-len(line) // COLUMNS)) for line in lines)
        assert rows <= ROWS, f"{rows} rows: {chapter}"
    return tour


@pytest.mark.parametrize("file", sorted(pictures.ASSETS.glob("*.svg")), ids=lambda file: file.name)
def test_a_picture_loads_nothing_and_says_what_it_shows(file: Path) -> None:
    svg = file.read_text(encoding="utf-8")

    assert not re.search(r"<script|<image|<foreignObject|href|url\(|@import|@font-face", svg)
    assert '<title id="title">' in svg
    assert '<desc id="desc">' in svg
    assert 'role="img" aria-labelledby="title desc"' in svg


def test_a_picture_with_another_text_is_out_of_date() -> None:
    present = (pictures.ASSETS / "tour.svg").read_text(encoding="utf-8")
    slower = re.sub(r"in [\d.]+ s", "in 12.5 s", present)
    other = present.replace("Switched to branch", "Went to branch")

    assert pictures.out_of_date({"tour.svg": slower}) == []
    assert pictures.out_of_date({"tour.svg": other}) == ["tour.svg"]
    assert pictures.out_of_date({"none.svg": other}) == ["none.svg"]


@pytest.mark.parametrize(
    ("half", "contract"),
    [("branches", "Imports of branches run one way"), ("jobs", "Imports of jobs run one way")],
)
def test_the_picture_of_the_layers_is_what_lint_checks(half: str, contract: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [layers] = [
        each["layers"]
        for each in settings["tool"]["importlinter"]["contracts"]
        if each["name"] == contract
    ]

    waiting = [set(layer.split(" | ")) for layer in layers]
    for row in drawn_layers(half):
        # One row may have several layers, from left to right.
        found: set[str] = set()
        while found < row:
            found |= waiting.pop(0)
        assert found == row
    assert not waiting


def drawn_layers(half: str) -> list[set[str]]:
    """The names in the picture of the layers, from top to bottom."""
    svg = ElementTree.parse(pictures.ASSETS / "layers-light.svg")
    layers: dict[int, set[str]] = {}
    for text in svg.iterfind(f".//{SVG}g[@id='{half}']/{SVG}text[@class='name']"):
        layer = int(text.attrib["y"]) // LAYER
        layers.setdefault(layer, set()).update(re.split(" · | → ", text.text or ""))
    return [layers[layer] for layer in sorted(layers)]


def test_a_pause_without_a_terminal_is_refused() -> None:
    result = subprocess.run(
        [sys.executable, TOUR, "--pause"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 2
    assert "--pause needs a terminal" in result.stderr


def test_a_pause_waits_for_enter(terminal: "Terminal") -> None:
    # No Redis answers there, so these chapters are short.
    output = terminal.run("--pause", "real-redis", "12", typed="\n", REDIS_URL="redis://nobody:1")

    assert output.count("== 12 of 12: ") == 2
    assert output.count("Press Enter") == 1
    assert "The tour is over" in output


def test_a_terminal_shows_colours(terminal: "Terminal") -> None:
    assert COLOUR in terminal.run("--list")


def test_no_color_is_honoured(terminal: "Terminal") -> None:
    output = terminal.run("--list", NO_COLOR="1")

    assert " 1  hook " in output
    assert COLOUR not in output


class Terminal:
    """A terminal to run the tour in."""

    def __init__(self, master: int, slave: int) -> None:
        self.master = master
        self.slave = slave

    def run(self, *arguments: str, typed: str = "", **environment: str) -> str:
        os.write(self.master, typed.encode())
        process = subprocess.Popen(
            [sys.executable, TOUR, *arguments],
            env=without_no_color() | environment,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
        )
        assert process.wait() == 0
        return os.read(self.master, 100_000).decode()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    master, slave = pty.openpty()
    yield Terminal(master, slave)
    os.close(master)
    os.close(slave)


def without_no_color() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
