"""
Makes the pictures in docs/pages/assets: `tox run -e pictures`, and `-- --check` to compare only.

The terminals show what the tour really prints; the diagrams are drawn by hand, in light colours,
and here get their dark ones. No library is used. Those that record a terminal record its times,
too, so each recording differs from the one before; and rich, which draws one, can't animate it.
"""

import argparse
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
ASSETS = HERE / "pages" / "assets"
TOUR = HERE.parent / "testproject" / "tour.py"

DIAGRAMS = ["how-it-works", "layers"]
DARK = {
    "#ffffff": "#0d1117",
    "#f6f8fa": "#151b23",
    "#d0d7de": "#3d444d",
    "#8c959f": "#848d97",
    "#57606a": "#9ba3ad",
    "#1f2328": "#e6edf3",
    "#cf222e": "#f85149",
    "#ffebe9": "#3c1618",
    "#a40e26": "#ff9492",
    "#0969da": "#4493f8",
    "#ddf4ff": "#10233d",
    "#0550ae": "#79c0ff",
    "#116329": "#7ee787",
}

# So narrow that it can be read on a phone.
COLUMNS = 64
CELL, LEADING, MARGIN, BAR = 8.4, 20, 18, 34
WIDTH = round(COLUMNS * CELL) + 2 * MARGIN

STYLE = """\
.window { fill: #f6f8fa; stroke: #d0d7de; }
.dot { fill: #8c959f; }
text { fill: #1f2328; font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.title { fill: #57606a; text-anchor: middle; }
.command { font-weight: 600; }
.bad { fill: #a40e26; }
.good { fill: #116329; }
"""

# Lines of the recorded terminal, and its pace in seconds.
SCREEN = 20
START, KEYSTROKE, THINKING, READING, READING_A_LINE, REST = 0.6, 0.035, 0.5, 0.8, 0.5, 8.0
STILL = """\
.cover { fill: #f6f8fa; transform: scaleX(0); transform-box: fill-box; transform-origin: right; }
"""


@dataclass(frozen=True)
class Exchange:
    """A command and what it printed."""

    command: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A line on the screen: `kind` is the class of its style."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Moment:
    """Rows that appear at a time, in seconds; `typed` is one that appears letter by letter."""

    at: float
    rows: tuple[Row, ...]
    typed: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the pictures of the documentation.")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 if a picture is out of date"
    )
    options = parser.parse_args(arguments)
    made = pictures(record())
    if options.check:
        outdated = out_of_date(made)
        for name in outdated:
            print(f"{name} is out of date. To make it again: tox run -e pictures")
        return 1 if outdated else 0
    for name, svg in made.items():
        (ASSETS / name).write_text(svg, encoding="utf-8")
    return 0


def record() -> str:
    """Return what the tour prints of the chapters that are pictured."""
    return subprocess.run(
        [sys.executable, TOUR, "hook", "by-hand"],
        env=os.environ | {"NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    ).stdout


def pictures(tour: str) -> dict[str, str]:
    """Return all pictures by their file names."""
    chapters = read(tour)
    light = before_and_after(chapters["by-hand"], chapters["hook"])
    made = {"before-after-light.svg": light, "before-after-dark.svg": darkened(light)}
    made["tour.svg"] = darkened(recording(chapters["hook"]))
    for name in DIAGRAMS:
        drawn = (ASSETS / f"{name}-light.svg").read_text(encoding="utf-8")
        made[f"{name}-dark.svg"] = darkened(drawn)
    return made


def out_of_date(pictures: dict[str, str]) -> list[str]:
    """Return the names of pictures that are not in the tree, or are there with another text."""
    return [name for name, svg in pictures.items() if not is_up_to_date(name, svg)]


def is_up_to_date(name: str, svg: str) -> bool:
    file = ASSETS / name
    if not file.exists():
        return False
    present = file.read_text(encoding="utf-8")
    if any(name.startswith(diagram) for diagram in DIAGRAMS):
        return present == svg
    return words(present) == words(svg)


def words(svg: str) -> str:
    """Return what a terminal says, but for where its lines are broken and how long things took."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    words = " ".join("".join(text.itertext()) for text in texts)
    return re.sub(r"\bin [\d.]+ s\b", "in … s", words)


def darkened(svg: str) -> str:
    return re.sub("#[0-9a-f]{6}", lambda colour: DARK[colour[0]], svg)


# What the tour prints.


def read(tour: str) -> dict[str, list[Exchange]]:
    """Return the commands of each chapter, with their output."""
    parts = re.split(r"^== .*\((.+)\) ==$", tour, flags=re.MULTILINE)
    return {name: exchanges(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def exchanges(text: str) -> list[Exchange]:
    # The folder has another name in each run.
    text = re.sub(r"/\S*/shop-[^/\s]+/shop\b", "/home/ann/shop", text)
    found = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *output = part.split("\n\n")[0].splitlines()
        found.append(Exchange(command, tuple(output)))
    return found


# A terminal.


def rows(exchange: Exchange) -> list[Row]:
    """Return the lines of an exchange, broken where a terminal of that width would break them."""
    found = [Row(text, "command") for text in wrapped(f"$ {exchange.command}")]
    for line in exchange.output:
        found += [Row(text, kind_of(line)) for text in wrapped(line)]
    return found


def wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, COLUMNS, break_on_hyphens=False, drop_whitespace=True) or [""]


def kind_of(line: str) -> str:
    if "Error:" in line:
        return "bad"
    return "good" if line.startswith("Database ") or "the stash" in line else ""


def drawn(row: Row, number: int) -> str:
    text = row.text.lstrip()
    if not text:
        return ""
    x = (len(row.text) - len(text)) * CELL
    y = number * LEADING + 15
    kind = f' class="{row.kind}"' if row.kind else ""
    # Every system's font is as wide as ours.
    width = f'textLength="{len(text) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text{kind} x="{x:.1f}" y="{y}" {width}>{escape(text, quote=False)}</text>'


def window(title: str, y: int, height: int, inside: str) -> str:
    return f"""\
<g transform="translate(0 {y})">
<rect class="window" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>
<circle class="dot" cx="18" cy="17" r="5"/>
<circle class="dot" cx="35" cy="17" r="5"/>
<circle class="dot" cx="52" cy="17" r="5"/>
{title}
<svg x="{MARGIN}" y="{BAR}" width="{WIDTH - 2 * MARGIN}" height="{height - BAR - 12}">
{inside}
</svg>
</g>"""


def titled(title: str, kind: str = "") -> str:
    return f'<text class="{f"title {kind}".strip()}" x="{WIDTH / 2:g}" y="22">{title}</text>'


def picture(title: str, description: str, style: str, height: int, inside: str) -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" width="{WIDTH}" height="{height}" \
viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="title desc">
<title id="title">{title}</title>
<desc id="desc">{description}</desc>
<style>
{style}</style>
{inside}
</svg>
"""


# The pictures.


def before_and_after(without: list[Exchange], with_hook: list[Exchange]) -> str:
    """Draw the same two commands without the hook and with it, and the way back."""
    checkout, create = without[:2]
    before = [*rows(checkout), *rows(create)]
    start = with_hook.index(next(each for each in with_hook if each.command == checkout.command))
    after = [row for exchange in with_hook[start : start + 3] for row in rows(exchange)]
    inside, y = [], 0
    for name, kind, lines in [("Before", "bad", before), ("After", "good", after)]:
        height = BAR + len(lines) * LEADING + 14
        body = "\n".join(drawn(row, number) for number, row in enumerate(lines))
        inside.append(window(titled(name, kind), y, height, body))
        y += height + 14
    return picture(
        "A checkout without django_devtools, and with it",
        "Before: after git checkout main, creating a customer fails with an IntegrityError. "
        "After: the database follows git checkout, and the rows come back with the branch.",
        STYLE,
        y - 14,
        "\n".join(inside),
    )


def recording(chapter: list[Exchange]) -> str:
    """Draw a chapter as it is typed. Where nothing may move, its last frame is shown."""
    moments = timeline(chapter)
    end = moments[-1].at + REST
    height = BAR + SCREEN * LEADING + 14
    count = sum(len(moment.rows) for moment in moments)
    style, inside, number = [STYLE, STILL], [], 0
    scrolled = [(0.0, 0)]
    for index, moment in enumerate(moments):
        inside.append(f'<g class="r{index}">')
        style.append(revealed(f"r{index}", moment.at / end, end))
        for row in moment.rows:
            inside.append(drawn(row, number))
            number += 1
        if moment.typed:
            # What hides a line that is typed, and shrinks letter by letter.
            length = len(moment.rows[0].text)
            inside.append(
                f'<rect class="cover c{index}" x="0" y="{(number - 1) * LEADING}" '
                f'width="{length * CELL:.1f}" height="{LEADING}"/>'
            )
            until = (moment.at + length * KEYSTROKE) / end
            style.append(uncovered(f"c{index}", moment.at / end, until, length, end))
        inside.append("</g>")
        scrolled.append((moment.at / end, max(0, number - SCREEN)))
    style.append(scrolling(scrolled, end))
    return picture(
        "The database follows git checkout",
        "A recording of a terminal. The hook is installed. Then git checkout leads to a branch, "
        "to main and to the branch again, and the rows of the branch come back.",
        "".join(style),
        height,
        window(
            titled("~/shop"),
            0,
            height,
            '<g class="scroll" transform="translate(0 '
            f'{-max(0, count - SCREEN) * LEADING})">\n{{}}\n</g>'.format("\n".join(inside)),
        ),
    )


def timeline(chapter: list[Exchange]) -> list[Moment]:
    """Return when what appears: a command line by line, its output at once."""
    clock, found = START, []
    for exchange in chapter:
        for typed, group in groupby(rows(exchange), key=lambda row: row.kind == "command"):
            lines = tuple(group)
            if not typed:
                found.append(Moment(clock, lines))
                continue
            for row in lines:
                found.append(Moment(clock, (row,), typed=True))
                clock += len(row.text) * KEYSTROKE
            clock += THINKING
        clock += READING + READING_A_LINE * len(exchange.output)
    return found


def revealed(name: str, begin: float, seconds: float) -> str:
    return (
        f".{name} {{ animation: {name} {seconds:.1f}s step-end infinite; }}\n"
        f"@keyframes {name} {{ 0% {{ opacity: 0; }} {begin:.2%} {{ opacity: 1; }} }}\n"
    )


def uncovered(name: str, begin: float, end: float, letters: int, seconds: float) -> str:
    return (
        f".{name} {{ animation: {name} {seconds:.1f}s steps({letters}) infinite; }}\n"
        f"@keyframes {name} {{ 0%, {begin:.2%} {{ transform: scaleX(1); }} "
        f"{end:.2%}, 100% {{ transform: scaleX(0); }} }}\n"
    )


def scrolling(positions: list[tuple[float, int]], seconds: float) -> str:
    frames = []
    for lines, group in groupby(positions, key=lambda position: position[1]):
        frames.append(f"{next(group)[0]:.2%} {{ transform: translateY({-lines * LEADING}px); }}")
    return (
        f".scroll {{ animation: scroll {seconds:.1f}s step-end infinite; }}\n"
        f"@keyframes scroll {{ {' '.join(frames)} }}\n"
        "@media (prefers-reduced-motion: reduce) { * { animation: none !important; } }\n"
    )


if __name__ == "__main__":
    sys.exit(main())
