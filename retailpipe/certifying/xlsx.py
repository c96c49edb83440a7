"""Read an xlsx workbook a second time, with openpyxl in its read-only mode.

This module shares no code with `retailpipe.workbook`, so that a mistake there cannot hide here. openpyxl finds the
parts, the sheets and the date formats, and parses the XML. It loses four things that a certificate needs, so the
classes below read cells and shared strings with them: formulas without a value, blanks at the ends of texts, escapes
such as _x000D_, and rows whose numbers are not in order.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast
from xml.etree.ElementTree import Element, iterparse
from zipfile import BadZipFile

from openpyxl.reader.excel import ExcelReader
from openpyxl.utils.cell import coordinate_to_tuple
from openpyxl.utils.datetime import from_excel, from_ISO8601  # pyright: ignore[reportUnknownVariableType]
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

from retailpipe.certifying.cells import BOOLEAN, FAILED, NUMBER, TEXT, Cell, Place, Row, clock, moment
from retailpipe.certifying.limits import check_package
from retailpipe.certifying.texts import SPACE, kept_text, text_of
from retailpipe.errors import WorkbookError

_NAMESPACE = f"{{{SHEET_MAIN_NS}}}"
_ROWS, _ROW, _VALUE, _FORMULA, _INLINE = (f"{_NAMESPACE}{name}" for name in ("sheetData", "row", "v", "f", "is"))
_STRING, _CELL = (f"{_NAMESPACE}{name}" for name in ("si", "c"))
_FORM = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHORT = 16
_MOST_ELEMENTS = 1 << 18
"""A row of 16,384 cells has about 33,000."""
_DAYS_END = 2_958_466
"""The serial number of the day after 9999-12-31. Excel shows ##### for it, and for negative numbers."""
_SAVE = "Open it in Excel or LibreOffice and save it again as 'Excel Workbook (.xlsx)'."
_FAILURES = (ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError, OSError, BadZipFile, EOFError)
"""What openpyxl raises for workbooks that it cannot read; ParseError of XML is a SyntaxError."""


@dataclass(frozen=True)
class XlsxSheet:
    """A sheet of a workbook. Its rows can be read several times."""

    name: str
    visible: bool
    _book: _Book
    _part: str

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are not blank, in the order of their numbers.

        Raises WorkbookError if the sheet cannot be read, or its rows are not in order.
        """
        before: Row = 0, {}
        try:
            for number, cells in _SheetRows(self._book, self._part, self.name).rows():
                if number == before[0]:  # some programs write a row in several elements
                    cells = self._joined(before, cells)
                elif before[1]:
                    yield before
                if number < before[0]:
                    reason = f"row {number} comes after row {before[0]}"
                    raise _unreadable(self._book.file, self.name, f"its rows are not in order: {reason}")
                before = number, cells
        except _FAILURES as error:
            raise _unreadable(self._book.file, self.name, error) from error
        if before[1]:
            yield before

    def _joined(self, row: Row, more: dict[int, Cell]) -> dict[int, Cell]:
        number, cells = row
        for column in cells.keys() & more.keys():
            address = Place(self.name, number, column).address
            raise _unreadable(self._book.file, self.name, f"cell {address} occurs twice")
        return cells | more


@contextmanager
def opened_sheets(path: Path, file: str) -> Generator[list[XlsxSheet]]:
    """Open a workbook and yield its sheets, without charts. file: the workbook's name in messages.

    Raises WorkbookError if openpyxl cannot read the workbook, or it is larger than the limits.
    """
    check_package(path, file)
    with path.open("rb") as opened:  # openpyxl leaves its own file open after an error
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # openpyxl warns of parts that it leaves out, such as charts
                book = _Book(opened, file)
                book.read()
        except (*_FAILURES, RecursionError) as error:
            raise _unreadable(file, "", error) from error
        found: list[Any] = [sheet for sheet in book.content.worksheets if hasattr(sheet, "_worksheet_path")]
        yield [XlsxSheet(each.title, each.sheet_state == "visible", book, each._worksheet_path) for each in found]


def _unreadable(file: str, sheet: str, reason: object) -> WorkbookError:
    place = f"{file}, sheet {sheet!r}" if sheet else file
    text = str(reason).partition("\n")[0] or type(reason).__name__
    return WorkbookError(f"{place} cannot be read by openpyxl, the second reader: {text}", hint=_SAVE)


class _Book(ExcelReader):
    """Opens a workbook, and reads its shared strings as Excel does. Themes and properties are not read."""

    def __init__(self, content: BinaryIO, file: str) -> None:
        super().__init__(content, read_only=True, data_only=True, keep_links=False)
        self.file = file

    @property
    def content(self) -> Any:
        """The workbook; some of the attributes that are needed are not public."""
        return self.wb

    def read_strings(self) -> None:
        package: Any = self.package
        part = package.find(SHARED_STRINGS)
        self.shared_strings = []
        if part is None:
            return
        by_default: str | None = None
        root: Element | None = None
        kept = 0
        with self.archive.open(part.PartName.removeprefix("/")) as opened:
            for event, element in iterparse(opened, ("start", "end")):  # noqa: S314 - check_package refuses entities
                if root is None:
                    root, by_default = element, element.get(SPACE)
                elif event == "start":
                    kept = _counted(kept)
                elif element.tag == _STRING:
                    self.shared_strings.append(text_of(element, by_default))
                    root.clear()
                    kept = 0

    def read_properties(self) -> None:
        pass

    def read_custom(self) -> None:
        pass

    def read_theme(self) -> None:
        pass


class _SheetRows:
    """Reads the rows of one sheet."""

    def __init__(self, book: _Book, part: str, name: str) -> None:
        self._book = book
        self._part = part
        self._name = name
        self._dates = frozenset(cast("set[int]", book.content._date_formats))
        self._durations = frozenset(cast("set[int]", book.content._timedelta_formats))
        self._strings: list[str] = book.shared_strings
        self._by_default: str | None = None

    def rows(self) -> Iterator[Row]:
        number = 0
        with self._book.archive.open(self._part) as opened:
            elements = iterparse(opened, ("start", "end"))  # noqa: S314 - check_package refuses entities
            _, root = next(elements)
            self._by_default = root.get(SPACE)
            container, kept = root, 0
            for event, element in elements:
                if event == "start":
                    kept = _counted(kept)
                    if element.tag == _ROWS:
                        container = element
                        self._by_default = element.get(SPACE, self._by_default)
                elif element.tag == _ROW:
                    number = int(element.get("r", number + 1))
                    yield number, self._cells(element, number)
                    container.clear()
                    kept = 0
                elif element.tag == _ROWS:
                    return  # what follows, such as merged cells, holds no values

    def _cells(self, row: Element, number: int) -> dict[int, Cell]:
        cells: dict[int, Cell] = {}
        column = 0
        for element in row:
            if element.tag != _CELL:
                continue
            if address := element.get("r"):
                at, column = coordinate_to_tuple(address.strip())
                if at != number:
                    raise ValueError(f"cell {address} is in row {number}")
            else:
                column += 1
            cell = self._cell(element)
            if cell is None:
                continue
            if column - 1 in cells:
                raise ValueError(f"cell {Place(self._name, number, column - 1).address} occurs twice")
            cells[column - 1] = cell
        return cells

    def _cell(self, element: Element) -> Cell | None:
        kind = element.get("t", "n")
        value = element.find(_VALUE)
        raw = "" if value is None else value.text or ""
        if kind == "s":
            return self._shared(raw.strip())
        if kind in ("str", "inlineStr"):
            return self._text(element, value)
        raw = raw.strip()
        if not raw:
            return (FAILED, "") if element.find(_FORMULA) is not None else None
        if kind == "n":
            return self._number(raw, int(element.get("s", "0")))
        if kind == "b":
            return BOOLEAN, "TRUE" if raw.lower() in ("1", "true") else "FALSE"
        if kind == "e":
            return FAILED, raw
        if kind == "d":
            return _iso(raw)
        raise ValueError(f"{kind!r} is not a type of cells")

    def _shared(self, index: str) -> Cell | None:
        if not index:
            return None
        if not index.isascii() or not index.isdigit():
            raise ValueError(f"{index!r} is not the index of a shared string")
        text = self._strings[int(index)]
        return (TEXT, text) if text else None

    def _text(self, element: Element, value: Element | None) -> Cell | None:
        inline = element.find(_INLINE)
        if inline is not None and (value is None or element.get("t") == "inlineStr"):
            text = text_of(inline, self._by_default)
        elif value is None:
            return (FAILED, "") if element.find(_FORMULA) is not None else None
        else:
            text = kept_text(value, self._by_default)
        return (TEXT, text) if text else None

    def _number(self, raw: str, style: int) -> Cell:
        is_short = len(raw) < _SHORT and raw.isascii() and raw.isdigit()
        if not is_short and (not _FORM.fullmatch(raw) or abs(float(raw)) == float("inf")):
            return TEXT, raw
        if style not in self._dates:
            return NUMBER, raw
        number = float(raw)
        if not 0 <= number < _DAYS_END:
            return NUMBER, raw
        found = cast("Any", from_excel(number, self._book.content.epoch, timedelta=style in self._durations))
        return clock(found) if isinstance(found, time | timedelta) else moment(found)


def _counted(kept: int) -> int:
    """Count one more element that is kept in memory: a row, or a string, could have any number of them."""
    if kept >= _MOST_ELEMENTS:
        raise ValueError(f"a row or a text has more than {_MOST_ELEMENTS:,} XML elements")
    return kept + 1


def _iso(raw: str) -> Cell:
    """The cell of a date, a time or a duration in ISO 8601."""
    try:
        found = cast("Any", datetime.fromisoformat(raw).replace(tzinfo=None))  # Excel ignores the time zone
    except ValueError:
        try:
            found = cast("Any", from_ISO8601(raw))
        except ValueError:
            return TEXT, raw
    if isinstance(found, timedelta):
        return NUMBER, repr(found / timedelta(days=1))
    return moment(found) if isinstance(found, date) else clock(found)
