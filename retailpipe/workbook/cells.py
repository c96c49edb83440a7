"""Single cells: their addresses, the Python types that python-calamine returns, and their text as Excel shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal


@dataclass(frozen=True)
class ErrorCell:
    """A cell whose formula failed; its code is what Excel shows, such as #N/A."""

    code: str


NOT_CALCULATED = ErrorCell("")
"""A formula that has no stored value."""

Cell = str | float | bool | datetime | date | time | timedelta | ErrorCell
"""A cell as the reader returns it. A blank cell is the empty text. A number is a float, or a text if a float cannot
hold its digits."""

MARK = "\0"
"""The first character of a marked text: a text that represents a cell which python-calamine cannot return.

PostgreSQL cannot store a text that contains this character, so no text that can be loaded begins with it."""
FAILED, DIGITS, TEXT = "e", "d", "t"
"""The character after the mark, which says what the rest of the text is: the code of an ErrorCell; the digits of an
integer that a float cannot hold; a text that itself begins with the mark."""

EXACT_INTEGERS = 2**53
"""From this number on, a float cannot represent every integer."""


def unmarked(cell: Cell) -> Cell:
    """Return the cell that a marked text represents; return any other cell unchanged."""
    if isinstance(cell, str) and cell.startswith(MARK):
        kind, rest = cell[1:2], cell[2:]
        if kind == FAILED:
            return ErrorCell(rest) if rest else NOT_CALCULATED
        if kind in (DIGITS, TEXT):
            return rest
    return cell


def marked_if_needed(text: str) -> str:
    """A text of a workbook, marked if it could be mistaken for a marked text."""
    return f"{MARK}{TEXT}{text}" if text.startswith(MARK) else text


def column_letters(index: int) -> str:
    """The letters of a column: A, B, ... Z, AA for the index 0, 1, ... 25, 26."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def column_index(letters: str) -> int:
    """The index of a column from its letters; the inverse of `column_letters`."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def cell_address(row: int, column: int) -> str:
    """The address of a cell, such as F222683, from its row number (Excel's, from 1) and its column index (from 0)."""
    return f"{column_letters(column)}{row}"


def shown(cell: Cell) -> str:
    """The text that Excel shows for a cell in the General format; a date is in ISO 8601.

    536365.0 becomes "536365", and 0.0000001 does not become "1e-07".
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) < EXACT_INTEGERS:
            return str(int(cell))
        return format(Decimal(repr(cell)), "f")
    if isinstance(cell, int):  # a bool: calamine does not return integers
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, ErrorCell):
        return cell.code
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(abs(round(cell.total_seconds())), 60)
        return f"{'-' if cell < timedelta() else ''}{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return cell.isoformat()
