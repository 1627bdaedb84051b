"""Tables of text, which fit a terminal."""

from collections.abc import Iterable, Sequence

RECOGNIZABLE, SHORTEST = 20, 5
"""How many characters of a long name tell it from others, and how many are left at least."""


def table(
    rows: Sequence[Sequence[str]], room: int | None = None, spare: Sequence[str] = ()
) -> list[str]:
    """
    Lines in which the cells of each column are aligned. The first row has the titles.

    If a line would be longer than ``room`` characters, the columns of ``spare`` are left out as
    far as needed, and then cells lose their middle.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    if room:
        columns = _fitting(columns, room, spare)
    widths = [_longest(column) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def shortened(cell: str, width: int) -> str:
    """A cell without its middle: the ends of names tell more."""
    if len(cell) <= width:
        return cell
    tail = (width - 1) // 2
    return f"{cell[: width - 1 - tail]}…{cell[len(cell) - tail :]}"


def _fitting(columns: list[list[str]], room: int, spare: Sequence[str]) -> list[list[str]]:
    for title in spare:
        if _width(min(_longest(column), RECOGNIZABLE) for column in columns) > room:
            columns = [column for column in columns if column[0] != title]
    widths = [_longest(column) for column in columns]
    while _width(widths) > room and max(widths) > SHORTEST:
        widths[widths.index(max(widths))] -= 1
    return [
        [shortened(cell, width) for cell in column]
        for column, width in zip(columns, widths, strict=True)
    ]


def _longest(column: Iterable[str]) -> int:
    return max(map(len, column))


def _width(widths: Iterable[int]) -> int:
    """The width of a line, with two spaces between its columns."""
    return sum(width + 2 for width in widths) - 2
