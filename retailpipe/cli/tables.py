"""Lays out tables of text: as wide as their cells in files and pipes, never wider than the screen on a terminal.

On a terminal, long texts are wrapped between words, so nothing is cut. If the columns still do not fit, the least
important ones are left out; a table without such columns gets the vertical form, one line per column of each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from itertools import zip_longest
from typing import Any

from retailpipe.cli.terminal import escaped

_GAP = 2
_LEAST_WIDTH = 12
"""A column of texts is not made narrower than this."""
_MOST_LINES = 5
"""If a cell needs more lines than this, the vertical form is easier to read."""


def table_text(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, width: int | None = None, spare: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Return the rows as an aligned table with a header, and the names of the columns that were left out.

    width: the width of the terminal; None outside a terminal, where the table is as wide as its cells.
    spare: the columns that may be left out if the table does not fit, the least important first.
    """
    grid = [_Column(name, [row[i] for row in rows], width is not None) for i, name in enumerate(columns)]
    if width is None:
        return _horizontal(grid, [column.width for column in grid]), []
    for count in range(len(spare) + 1):
        left_out = [*spare[:count]]
        kept = [column for column in grid if column.name not in left_out]
        widths = _widths(kept, width)
        if widths is not None:
            return _horizontal(kept, widths), left_out
    return _vertical(grid, width), []


def shown(value: Any) -> str:
    """Return a value as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    return " ".join(str(value).splitlines())


def wrapped(text: str, width: int, *, break_words: bool = True) -> list[str]:
    """Break a text between words into lines of at most this width. A longer word is broken too, if `break_words`."""
    lines: list[str] = []
    line: str | None = None
    for word in text.split(" "):
        longer = word if line is None else f"{line} {word}"
        if _width(longer) <= width:
            line = longer
            continue
        lines += [line] if line else []
        *full, line = _chopped(word, width) if break_words else [word]
        lines += full
    return [*lines, line or ""]


@dataclass(frozen=True)
class _Column:
    """A column: its name and values. on_terminal: whether they are printed on a terminal."""

    name: str
    values: Sequence[Any]
    on_terminal: bool

    @cached_property
    def header(self) -> str:
        return self._printed(self.name)

    @cached_property
    def cells(self) -> list[str]:
        return [self._printed(value) for value in self.values]

    def _printed(self, value: Any) -> str:
        """Return a value as text. On a terminal, control characters are escapes, which take more room."""
        text = shown(value)
        return escaped(text).replace("\t", r"\x09") if self.on_terminal else text

    @cached_property
    def width(self) -> int:
        return max(map(_width, (self.header, *self.cells)))

    @cached_property
    def least_width(self) -> int:
        """The width below which a word of a text, a number or a date would be broken."""
        if not all(isinstance(value, str | list | Mapping | None) for value in self.values):
            return self.width
        longest_word = max((_width(word) for cell in self.cells for word in cell.split()), default=0)
        return max(_width(self.header), longest_word, min(self.width, _LEAST_WIDTH))

    @cached_property
    def is_numeric(self) -> bool:
        return all(isinstance(value, int | float | Decimal | None) for value in self.values)


def _widths(grid: Sequence[_Column], width: int) -> list[int] | None:
    """Return the width of each column in a table of this width; None if it does not fit, or has cells of many lines."""
    room = width - _GAP * (len(grid) - 1)
    for level in range(room, 0, -1):  # the widest columns are made narrower first
        widths = [max(column.least_width, min(column.width, level)) for column in grid]
        if sum(widths) <= room:
            break
    else:
        return None
    cells = [(cell, each) for column, each in zip(grid, widths, strict=True) for cell in column.cells]
    return widths if all(len(wrapped(cell, each)) <= _MOST_LINES for cell, each in cells) else None


def _horizontal(grid: Sequence[_Column], widths: Sequence[int]) -> str:
    header = _lines([column.header for column in grid], widths, grid)
    rule = _lines(["-" * width for width in widths], widths, grid)
    rows = zip(*(column.cells for column in grid), strict=True)
    return "\n".join([*header, *rule, *(line for row in rows for line in _lines(row, widths, grid))])


def _lines(cells: Sequence[str], widths: Sequence[int], grid: Sequence[_Column]) -> list[str]:
    """Return the lines of one row of a table."""
    blocks = [wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines: list[str] = []
    for texts in zip_longest(*blocks, fillvalue=""):
        aligned = [
            " " * (width - _width(text)) + text if column.is_numeric else text + " " * (width - _width(text))
            for text, width, column in zip(texts, widths, grid, strict=True)
        ]
        lines.append((" " * _GAP).join(aligned).rstrip())
    return lines


def _vertical(grid: Sequence[_Column], width: int) -> str:
    """Return one block per row, as the expanded form of psql: the row's number, then a line for each column."""
    names = min(max(_width(column.header) for column in grid) + 1, width // 2)
    lines: list[str] = []
    for number, row in enumerate(zip(*(column.cells for column in grid), strict=True), start=1):
        lines.append(f"--- row {number:,} ".ljust(width, "-"))
        for column, cell in zip(grid, row, strict=True):
            blocks = wrapped(f"{column.header}:", names), wrapped(cell, width - names - 1)
            for name, text in zip_longest(*blocks, fillvalue=""):
                lines.append(f"{name}{' ' * (names - _width(name))} {text}".rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes: East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _chopped(word: str, width: int) -> list[str]:
    """Break a word into pieces of at most this width."""
    if _width(word) <= width:
        return [word]
    from rich.cells import chop_cells

    return chop_cells(word, width)
