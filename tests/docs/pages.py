"""Reads the pages of the documentation."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "pages"

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<attributes>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str | None
    text: str


@dataclass(frozen=True)
class Command:
    """A line that a reader types, and what the page says comes of it."""

    line: str
    output: str


def page(name: str) -> str:
    return (PAGES / name).read_text("utf-8")


def all_pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(PAGES.glob("**/*.md"))]


def blocks(text: str) -> Iterator[Block]:
    for found in FENCE.finditer(text):
        title = re.search('title="([^"]+)"', found["attributes"])
        yield Block(found["language"], title and title[1], textwrap.dedent(found["text"]))


def commands(block: Block) -> Iterator[Command]:
    """The commands of a ``console`` block, each with the lines below it."""
    first, *rest = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not first, f"a console block begins with output: {first}"
    for part in rest:
        line, _, output = part.partition("\n")
        yield Command(line, output)
