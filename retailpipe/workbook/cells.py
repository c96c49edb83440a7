"""Single cells: their addresses, their kinds as python-calamine gives them, and their text as Excel shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal


@dataclass(frozen=True)
class ErrorCell:
    """A cell whose formula failed; its code is what Excel shows, such as #N/A."""

    code: str


NOT_CALCULATED = ErrorCell("")
"""A formula whose value nobody ever calculated."""

Cell = str | float | bool | datetime | date | time | timedelta | ErrorCell
"""A cell as the readers give it. A blank cell is the empty text; every number is a float, or, where a float would not
hold its digits, a text."""

MARK = "\0"
"""Begins the texts that stand for cells which python-calamine cannot give. No text that PostgreSQL could store begins
with it."""
FAILED, DIGITS, TEXT = "e", "d", "t"
"""What follows the mark: of an ErrorCell, and then its code; of a number of more digits than a float holds, and then
those; of a text that itself begins with the mark, and then that."""

EXACT_INTEGERS = 2**53
"""From here on a float no longer tells each integer from the next."""


def unmarked(cell: Cell) -> Cell:
    """The cell that a marked text stands for; any other cell as it is."""
    if isinstance(cell, str) and cell.startswith(MARK):
        kind, rest = cell[1:2], cell[2:]
        if kind == FAILED:
            return ErrorCell(rest) if rest else NOT_CALCULATED
        if kind in (DIGITS, TEXT):
            return rest
    return cell


def marked_if_needed(text: str) -> str:
    """A text of a workbook, marked if it would be taken for a marked one."""
    return f"{MARK}{TEXT}{text}" if text.startswith(MARK) else text


def column_letters(index: int) -> str:
    """A, B, ... Z, AA for the column index 0, 1, ... 25, 26."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def column_index(letters: str) -> int:
    """The opposite of `column_letters`."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def cell_address(row: int, column: int) -> str:
    """The address, such as F222683, of a row number as Excel counts (from 1) and a column index (from 0)."""
    return f"{column_letters(column)}{row}"


def shown(cell: Cell) -> str:
    """The text Excel shows for a cell of the General format; a date in ISO 8601.

    536365.0 is 536365, and 0.0000001 is not 1e-07.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) < EXACT_INTEGERS:
            return str(int(cell))
        return format(Decimal(repr(cell)), "f")
    if isinstance(cell, int):  # a bool: calamine gives no integers
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, ErrorCell):
        return cell.code
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(abs(round(cell.total_seconds())), 60)
        return f"{'-' if cell < timedelta() else ''}{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return cell.isoformat()
