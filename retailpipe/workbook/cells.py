"""Single cells: their addresses, their kinds as python-calamine gives them, and their text as Excel shows it."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal

Cell = str | float | bool | datetime | date | time | timedelta
"""What python-calamine gives for a cell. A blank cell is the empty text; every number is a float."""

EXACT_INTEGERS = 2**53
"""From here on a float no longer tells each integer from the next."""


def column_letters(index: int) -> str:
    """A, B, ... Z, AA for the column index 0, 1, ... 25, 26."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def cell_address(row: int, column: int) -> str:
    """The address, such as F222683, of a row number as Excel counts (from 1) and a column index (from 0)."""
    return f"{column_letters(column)}{row}"


def shown(cell: Cell) -> str:
    """The text Excel shows for a cell of the General format; a date in ISO 8601.

    536365.0 is 536365, and 0.0000001 is not 1e-07.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        if cell.is_integer() and abs(cell) < EXACT_INTEGERS:
            return str(int(cell))
        return format(Decimal(repr(cell)), "f")
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, timedelta):
        return str(cell)
    return cell.isoformat()
