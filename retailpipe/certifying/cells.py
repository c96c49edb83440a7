"""The cells that the second reader returns: each is a pair of its kind and its text.

The text is what Excel shows in the General format, with all digits that the workbook stores. A blank cell is missing.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple

TEXT, NUMBER, BOOLEAN, MOMENT, CLOCK, FAILED = "text", "number", "boolean", "moment", "clock", "failed"
"""The kinds. MOMENT: a date, with or without a time of day. CLOCK: a time of day or a duration, without a date.
FAILED: a formula with an error; its text is empty if the formula was never calculated. NUMBER: the text is as the
workbook stores it, such as 2.5 or 25E-1."""

Cell = tuple[str, str]
Row = tuple[int, dict[int, Cell]]
"""The number of a row, from 1, and its cells that are not blank, by the index of their column, from 0."""

DOUBLES_END = 2**53
"""From this number on, a double cannot represent every integer."""


class Place(NamedTuple):
    """A cell of a workbook: the name of its sheet, its row from 1, and its column from 0."""

    sheet: str
    row: int
    column: int

    @property
    def address(self) -> str:
        return f"{letters(self.column)}{self.row}"


def letters(column: int) -> str:
    """The letters of a column: A for 0, Z for 25, AA for 26."""
    first, last = divmod(column, 26)
    return (letters(first - 1) if first else "") + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[last]


def index_of(column: str) -> int:
    """The index of a column from its letters: 0 for A, 25 for Z, 26 for AA."""
    index = 0
    for letter in column:
        index = 26 * index + ord(letter) - ord("A") + 1
    return index - 1


def shown(cell: Cell | None) -> str:
    """The text of a cell as Excel shows it; empty for a blank cell."""
    if cell is None:
        return ""
    kind, text = cell
    if kind != NUMBER:
        return text
    number = float(text)
    digits = text.lstrip("+-").lstrip("0")
    if digits.isdecimal() and abs(number) >= DOUBLES_END:  # the workbook has more digits than a double
        return f"-{digits}" if text.startswith("-") else digits
    return plain(Decimal(repr(number)))


def plain(number: Decimal) -> str:
    """A number without an exponent and without zeros that add nothing: 0.0000001, 2.5, 100."""
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def kept_cell(kind: str, text: str) -> Cell | None:
    """A cell as the table bronze.corrected_cells keeps it; None for a blank cell."""
    match kind:
        case "text":
            return (TEXT, text) if text else None
        case "text with NUL":  # PostgreSQL cannot store NUL characters
            return TEXT, text.replace("\u2400", "\0")
        case "moment":
            return moment(datetime.fromisoformat(text))
        case "duration":
            return CLOCK, text
        case _:  # the other kinds have the same names here
            return kind, text


def moment(value: datetime | date) -> Cell:
    """The cell of a date: without a time of day if that is midnight."""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    return MOMENT, value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()


def clock(value: time | timedelta) -> Cell:
    """The cell of a time of day, or of a duration in hours, minutes and seconds."""
    if isinstance(value, time):
        return CLOCK, value.isoformat()
    seconds = round(abs(value.total_seconds()))
    sign = "-" if value < timedelta() else ""
    return CLOCK, f"{sign}{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
