"""Write rejected rows as a workbook for the author of the data.

Each cell is written with its type if Excel has it, otherwise as text. `reading` compares a mended workbook with one
that is written in the same way, so what Excel cannot hold is not taken for a correction.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from retailpipe.bronze.corrections import chunk_of, layout_of
from retailpipe.bronze.judge import Judge
from retailpipe.bronze.quarantine import QuarantinedRow, RowKey
from retailpipe.corrections.form import SHEET, Headers
from retailpipe.corrections.loaded import Loaded
from retailpipe.errors import UsageError
from retailpipe.spreadsheet import MAX_ROWS
from retailpipe.workbook.cells import NOT_CALCULATED, Cell, cell_address, shown
from retailpipe.workbook.columns import Problem

if TYPE_CHECKING:
    from xlsxwriter import Format, Workbook

Faults = Mapping[RowKey, Mapping[int, Problem]]
"""The cells of rows that break the contract, by the index of their column in the original sheet."""

_MAX_TEXT = 32_767
"""Excel's limit of a text, in UTF-16 units."""
_MAX_COMMENT = 1_000
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_EARLIEST = date(1900, 3, 1)
_WIDTHS = {"problem": 50, "moment": 20, "other": 16}
"""Widths of columns in characters: Excel shows ##### for a time in a narrow column."""
_FORMS = {
    "text": "@",
    "quoted": "General",
    "date": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
    "clock": "hh:mm:ss",
    "general": "General",
}


def faults_of(load: Loaded, rows: Sequence[QuarantinedRow]) -> dict[RowKey, dict[int, Problem]]:
    """The cells of rejected rows that break the contract. rows: ordered by sheet."""
    judge = Judge(load.contract)
    found: dict[RowKey, dict[int, Problem]] = {}
    for sheet, of_sheet in groupby(rows, key=lambda row: row.sheet):
        group = [*of_sheet]
        faults = judge.faults(chunk_of(group), layout_of(load.sheet(sheet), load.contract))
        found |= {group[place].key: cells for place, cells in faults.items()}
    return found


def described(problem: Problem) -> str:
    """A problem and its remedy, as an author reads them beside the cell."""
    text = _storable(f"{problem.message[:1].upper()}{problem.message[1:]}. {problem.hint}")
    text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)  # XML cannot hold them in a comment
    return text if len(text) <= _MAX_COMMENT else f"{text[: _MAX_COMMENT - 3]}..."


def rejects_workbook(load: Loaded, rows: Sequence[QuarantinedRow], faults: Faults | None = None) -> bytes:
    """The content of a workbook with rows of a quarantine.

    faults: the cells to mark. Raises UsageError if a sheet cannot hold the rows.
    """
    import xlsxwriter

    if len(rows) > MAX_ROWS:
        raise UsageError(
            f"{load.entry.source} has {len(rows):,} rejected rows, but an Excel sheet can contain {MAX_ROWS:,}",
            hint="Correct the whole workbook instead, and load it again.",
        )
    content = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        workbook = xlsxwriter.Workbook(content, {"tmpdir": folder})
        try:
            _Page(workbook, load).write(rows, faults or {})
        finally:
            workbook.close()  # also after an error: it closes the files in the folder
    return content.getvalue()


class _Column(NamedTuple):
    """A column of the contract that a sheet of the load has. type: that of the contract."""

    name: str
    header: str
    type: str

    @property
    def is_text(self) -> bool:
        return self.type == "string"

    @property
    def width(self) -> int:
        return _WIDTHS["moment" if self.type.startswith("timestamp") else "other"]


@dataclass(frozen=True)
class _Formats:
    """The formats of cells, by kind and by whether the cell is marked."""

    workbook: Workbook
    made: dict[tuple[str, bool], Format]

    def of(self, kind: str, marked: bool) -> Format:
        if (kind, marked) not in self.made:
            # Without the prefix, Excel would turn a text such as =1+1 into a formula when a person edits the cell.
            settings: dict[str, object] = {"num_format": _FORMS[kind], "quote_prefix": kind in ("text", "quoted")}
            if marked:
                settings |= {"bg_color": "#FFC7CE", "border": 1, "border_color": "#9C0006"}
            self.made[kind, marked] = self.workbook.add_format(settings)
        return self.made[kind, marked]


class _Page:
    """The only sheet: the row numbers and problems, the columns of the contract, then what identifies the workbook."""

    def __init__(self, workbook: Workbook, load: Loaded) -> None:
        self._load = load
        self._headers = Headers.of(load.contract)
        self._sheet = workbook.add_worksheet(SHEET)
        self._formats = _Formats(workbook, {})
        present = {name for sheet in load.sheets for name in sheet.columns}
        self._columns = [
            _Column(each.name, each.header, each.type) for each in load.contract.columns if each.name in present
        ]
        headers = self._headers
        own = workbook.add_format({"bold": True, "font_color": "#7F7F7F", "quote_prefix": True})
        bold = workbook.add_format({"bold": True, "quote_prefix": True})
        names = [headers.row, headers.sheet, headers.problem]
        self._first = len(names)
        names += [column.header for column in self._columns]
        names += [headers.workbook, headers.content]
        for place, name in enumerate(names):
            is_own = not self._first <= place < self._first + len(self._columns)
            self._sheet.write_string(0, place, name, own if is_own else bold)
            column = None if is_own else self._columns[place - self._first]
            kind = "text" if column and column.is_text else None
            width = column.width if column else _WIDTHS["problem" if name == headers.problem else "other"]
            # A number that is typed into a column of texts stays a text: 007 keeps its zeros.
            self._sheet.set_column(place, place, width, self._formats.of(kind, False) if kind else None)
        self._sheet.freeze_panes(1, self._first)

    def write(self, rows: Sequence[QuarantinedRow], faults: Faults) -> None:
        grey = self._formats.of("text", False)
        last = self._first + len(self._columns)
        for place, row in enumerate(rows, 1):
            found = faults.get(row.key, {})
            self._sheet.write_number(place, 0, row.source_row)
            self._sheet.write_string(place, 1, row.sheet, grey)
            problems = [f"{cell_address(row.source_row, i)}: {described(p)}" for i, p in sorted(found.items())]
            self._sheet.write_string(place, 2, _storable("\n".join(problems)), grey)
            columns = self._load.sheet(row.sheet).columns
            for offset, column in enumerate(self._columns, self._first):
                index = columns.get(column.name)
                problem = found.get(index) if index is not None else None
                cell = row.cells.get(index, "") if index is not None else ""
                self._write(place, offset, cell, problem is not None)
                if problem:
                    comment = {"author": "retailpipe", "x_scale": 2, "y_scale": 1.2}
                    self._sheet.write_comment(place, offset, described(problem), comment)
            self._sheet.write_string(place, last, self._load.entry.source, grey)
            self._sheet.write_string(place, last + 1, self._load.entry.content_hash, grey)

    def _write(self, row: int, column: int, cell: Cell, marked: bool) -> None:
        of = self._formats.of
        match cell:
            case "":
                if marked:
                    is_text = self._columns[column - self._first].is_text
                    self._sheet.write_blank(row, column, None, of("text" if is_text else "general", True))
            case bool():
                self._sheet.write_boolean(row, column, cell, of("general", marked))
            case float():
                self._sheet.write_number(row, column, cell, of("general", marked))
            case datetime() if cell.date() >= _EARLIEST:
                self._sheet.write_datetime(row, column, cell, of("moment", marked))
            case date() if not isinstance(cell, datetime) and cell >= _EARLIEST:
                self._sheet.write_datetime(row, column, cell, of("date", marked))
            case time():
                self._sheet.write_datetime(row, column, cell, of("clock", marked))
            case _:
                text = "(not calculated)" if cell == NOT_CALCULATED else shown(cell)
                # What is typed over a bad text in a column of numbers or dates must become a number or a date.
                kind = "text" if self._columns[column - self._first].is_text else "quoted"
                self._sheet.write_string(row, column, _storable(text), of(kind, marked))


def _storable(text: str) -> str:
    """A text as an xlsx file can hold it: without lone surrogates, and not longer than Excel allows."""
    units = text.encode("utf-16-le", "surrogatepass")[: 2 * _MAX_TEXT]
    return units.decode("utf-16-le", "replace")
