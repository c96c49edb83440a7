"""How the quarantine keeps the cells of a row: as JSON, with their types, by the letters of their columns.

A text alone would not do: the number 1.234 and the text 1.234 are not the same under every contract. Each cell is a
pair of its kind and its text. A blank cell is missing, or in a correction an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta

from retailpipe.bronze.nul import with_nul, without_nul
from retailpipe.workbook.cells import NOT_CALCULATED, Cell, ErrorCell, column_index, column_letters, shown

TEXT, NUMBER, BOOLEAN, MOMENT, CLOCK, DURATION, FAILED = (
    *("text", "number", "boolean", "moment", "clock", "duration", "failed"),
)
WITH_NUL = "text with NUL"
"""The text is stored as `without_nul` returns it."""

Kept = dict[str, list[str]]


def kept(cells: Mapping[int, Cell]) -> Kept:
    """The cells of a row, by the index of their column, as the quarantine keeps them. Blank cells are left out."""
    return {column_letters(index): _pair(cell) for index, cell in sorted(cells.items()) if cell != ""}


def kept_changes(cells: Mapping[int, Cell]) -> Kept:
    """Cells that replace those of a row, blank ones included."""
    return {column_letters(index): _pair(cell) for index, cell in sorted(cells.items())}


def cells_of(row: Mapping[str, list[str]]) -> dict[int, Cell]:
    """The cells that `kept` or `kept_changes` wrote, by the index of their column."""
    return {column_index(letters): _cell(*pair) for letters, pair in row.items()}


def _pair(cell: Cell) -> list[str]:
    text = shown(cell)
    match cell:
        case str():
            return [WITH_NUL, without_nul(text)] if "\0" in text else [TEXT, text]
        case bool():
            return [BOOLEAN, text]
        case float():
            return [NUMBER, repr(cell)]
        case date():  # a datetime is also a date
            return [MOMENT, text]
        case time():
            return [CLOCK, text]
        case timedelta():
            return [DURATION, text]
        case _:
            return [FAILED, text]


def _cell(kind: str, text: str) -> Cell:
    match kind:
        case "number":
            return float(text)
        case "boolean":
            return text == "TRUE"
        case "moment":
            return datetime.fromisoformat(text) if len(text) > len("2010-12-01") else date.fromisoformat(text)
        case "clock":
            return time.fromisoformat(text)
        case "duration":
            hours, minutes, seconds = map(int, text.removeprefix("-").split(":"))
            length = timedelta(hours=hours, minutes=minutes, seconds=seconds)
            return -length if text.startswith("-") else length
        case "failed":
            return ErrorCell(text) if text else NOT_CALCULATED
        case "text with NUL":
            return with_nul(text)
        case _:
            return text
