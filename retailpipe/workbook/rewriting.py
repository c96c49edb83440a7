"""Rewrite rows of a sheet, whatever form their XML has, so that python-calamine reads them correctly.

expat, a complete XML parser, reads the rows. The result holds consecutive rows and columns without gaps, and for each
of them its number in the sheet. So a cell that is far from the others does not take more memory than any other cell.

What calamine cannot return (errors, and digits that a float cannot hold) is written as a marked text (cells.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from xml.parsers import expat

from retailpipe.counts import counted
from retailpipe.workbook.cells import (
    DIGITS,
    EXACT_INTEGERS,
    FAILED,
    MARK,
    cell_address,
    column_index,
    column_letters,
    marked_if_needed,
)
from retailpipe.workbook.container import MAX_COLUMNS, MAX_ROWS
from retailpipe.workbook.markup import BadXml, local_name
from retailpipe.workbook.texts import TextCollector, for_calamine, trimmed, unescaped

_MAX_CELLS = 1 << 17
"""Cells in the rectangle around the cells of rewritten rows: each takes memory and time, whether it is used or not."""
MOST_BYTES = 1 << 21
"""Characters of XML in one `Rewritten`; a longer row gets one of its own."""

_ADDRESS = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"([+-]?)0*([0-9]{16,})")
_MOMENT = re.compile(
    r"(?:([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ](?=[0-9]))?)?"
    r"(?:([0-9]{2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?)?"
    r"\s*(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_DURATION = re.compile(
    r"(-?)P(?:([0-9]{1,9})D)?(?:T(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9}(?:\.[0-9]+)?)S)?)?"
)
_END_OF_DATES = 2_958_466
"""The serial number after 31 December 9999, Excel's last day. Excel shows ##### for it, for larger
numbers and for negative ones."""
_LONGEST_QUOTE = 40
_BOOLEANS = {"0": "0", "false": "0", "1": "1", "true": "1"}


@dataclass(frozen=True)
class Rewritten:
    """Rewritten rows. Row 1 and column A of `xml` are the first of `numbers` and of `columns`.

    numbers: the number of each row in the sheet.
    columns: the index of each column in the sheet, from 0.
    marked: whether it contains marked texts (cells.py).
    """

    xml: bytes
    numbers: list[int]
    columns: list[int]
    marked: bool


class Rewriter:
    """Rewrites the rows of one sheet.

    strings: how many shared strings there are.
    dates: the styles that may show a number as a date.
    """

    def __init__(self, strings: int, dates: set[int]) -> None:
        self._strings = strings
        self._dates = dates

    def rewrite(self, rows: bytes, before: int, *, preserves_blanks: bool = False) -> Iterator[Rewritten]:
        """Yield the rows that hold a value, in the order of their numbers, in pieces of bounded size.

        before: the number of the row before the first one; a row without a number follows the row before it.
        preserves_blanks: whether blanks at the ends of a text are kept if the text has no `xml:space` of its own.
        Raises BadXml, with the cell or the row in its text, if the rows are not well-formed or not valid: for example
        if an address occurs twice or is outside the limits of a sheet, or an index of a shared string is wrong.
        """
        return _pieces(_Parser(self._strings, self._dates, before, preserves_blanks).parse(rows))


def _pieces(rows: dict[int, dict[int, str]]) -> Iterator[Rewritten]:
    numbers: list[int] = []
    columns: set[int] = set()
    size = 0
    for number in sorted(rows):
        row = rows[number]
        width = len(columns | row.keys())
        length = sum(map(len, row.values())) + 32 * len(row)
        if numbers and (width * (len(numbers) + 1) > _MAX_CELLS or size + length > MOST_BYTES):
            yield _piece(rows, numbers, sorted(columns))
            numbers, columns, size = [], set[int](), 0
        numbers.append(number)
        columns |= row.keys()
        size += length
    if numbers:
        yield _piece(rows, numbers, sorted(columns))


def _piece(rows: dict[int, dict[int, str]], numbers: list[int], columns: list[int]) -> Rewritten:
    letters = {column: column_letters(index) for index, column in enumerate(columns)}
    xml: list[str] = []
    for new_number, number in enumerate(numbers, start=1):
        xml.append(f'<row r="{new_number}">')
        xml += [f'<c r="{letters[column]}{new_number}"{cell}</v></c>' for column, cell in rows[number].items()]
        xml.append("</row>")
    text = "".join(xml)
    return Rewritten(text.encode(), numbers, columns, marked=_MARKED in text)


_MARKED = f' t="str"><v>{for_calamine(MARK)}'


class _Parser:
    """Collects the cells of some rows. A row or cell without an address follows the one before it."""

    def __init__(self, strings: int, dates: set[int], before: int, preserves_blanks: bool) -> None:
        self._preserves_blanks = preserves_blanks
        self._space = "preserve" if preserves_blanks else "default"
        self._strings = strings
        self._dates = dates
        self._rows: dict[int, dict[int, str]] = {}
        self._row, self._column = before, -1
        self._place = (before, -1)
        self._depth = 0
        self._extension = 0  # the depth of an `extLst` that is being skipped; 0 outside one
        self._in_row = self._in_cell = False
        self._attributes: dict[str, str] = {}
        self._has_formula = False
        self._value: list[str] | None = None
        self._in_value = False
        self._is_preserved = False
        self._inline: TextCollector | None = None
        self._in_inline = False

    def parse(self, rows: bytes) -> dict[int, dict[int, str]]:
        """Return the cells that hold a value, by row number and column index, as XML that begins in the `c` tag."""
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        try:
            parser.Parse(b"<sheetData>", False)
            parser.Parse(rows, False)
            parser.Parse(b"</sheetData>", True)
        except expat.ExpatError as error:
            raise BadXml(f"at row {self._row}: {expat.ErrorString(error.code)}") from error
        return self._rows

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if ":" in name:
            name = local_name(name)
        if self._extension:
            return
        if name == "extLst":
            self._extension = depth
        elif depth == 4 and self._in_cell:
            self._begin_child(name, attributes)
        elif depth == 3 and self._in_row and name == "c":
            self._in_cell = True
            self._begin_cell(attributes)
        elif depth == 2 and name == "row":
            self._in_row = True
            self._begin_row(attributes.get("r", "").strip())
        elif self._in_value or name in ("row", "c", "v", "is"):
            raise BadXml(f"at row {self._row}: <{name}> is not allowed there")
        elif self._in_inline and self._inline:
            self._inline.start(name, attributes)

    def _begin_child(self, name: str, attributes: dict[str, str]) -> None:
        """Begin a child element of a cell."""
        if name == "v":
            if self._value is not None:
                raise self._error("it has two values")
            self._value, self._in_value = [], True
            self._is_preserved = attributes.get("xml:space", self._space) == "preserve"
        elif name == "is":
            if self._inline:
                raise self._error("it has two texts")
            self._inline, self._in_inline = TextCollector(preserves_blanks=self._preserves_blanks), True
        elif name == "f":
            self._has_formula = True
        elif name in ("row", "c"):
            raise self._error(f"<{name}> is not allowed in it")

    def _end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        if self._extension:
            if depth == self._extension:
                self._extension = 0
        elif depth == 3:
            if self._in_cell and (cell := self._cell()):
                self._put(cell)
            self._in_cell = False
        elif depth == 4:
            self._in_value = self._in_inline = False
        elif depth == 2:
            self._in_row = False
        elif self._in_inline and self._inline:
            self._inline.end(local_name(name))

    def _text(self, text: str) -> None:
        if self._extension:
            return
        if self._in_value and self._value is not None:
            self._value.append(text)
        elif self._in_inline and self._inline:
            self._inline.add(text)

    def _begin_row(self, number: str) -> None:
        before = self._row
        self._row = _whole(number) if number else before + 1
        self._column = -1
        if not 1 <= self._row <= MAX_ROWS:
            raise BadXml(f"after row {before}: {_brief(number or str(self._row))} is not a valid row number")

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        address = attributes.get("r", "").strip()
        row = self._row
        if not address:
            self._column += 1
        elif found := _ADDRESS.fullmatch(address):
            self._column, row = column_index(found[1].upper()), int(found[2])
        else:
            raise BadXml(f"in row {row}: {_brief(address)} is not a valid cell address")
        if self._column >= MAX_COLUMNS or not 1 <= row <= MAX_ROWS:
            reason = f"in row {self._row}: {address or 'a cell'} is outside the limits of a sheet (A1 to XFD{MAX_ROWS})"
            raise BadXml(reason)
        self._place = row, self._column
        self._attributes = attributes
        self._has_formula, self._value, self._inline = False, None, None

    def _put(self, cell: str) -> None:
        row, column = self._place
        cells = self._rows.setdefault(row, {})
        if column in cells:
            raise BadXml(f"cell {cell_address(row, column)} occurs twice")
        cells[column] = cell

    def _cell(self) -> str | None:
        """The current cell as XML, from the attributes of its tag to its value; None if it holds no value."""
        kind = self._attributes.get("t", "").strip()
        value = None if self._value is None else "".join(self._value)
        if self._inline and (value is None or kind == "inlineStr") and (text := self._inline.text()):
            return _text(text)
        if value is not None and kind in ("str", "inlineStr"):
            return _text(unescaped(value if self._is_preserved else trimmed(value)))
        value = (value or "").strip()
        if not value:
            is_empty_text = self._value is not None and kind == "str"
            return _marked(FAILED, "") if self._has_formula and not is_empty_text and not self._inline else None
        match kind:
            case "" | "n":
                return self._number(value)
            case "s":
                if not value.isascii() or not value.isdigit() or int(value) >= self._strings:
                    strings = counted(self._strings, "shared string")
                    reason = f"{_brief(value)} is not a valid index: the workbook has {strings}"
                    raise self._error(reason)
                return f' t="s"><v>{int(value)}'
            case "b":
                if value.lower() not in _BOOLEANS:
                    raise self._error(f"{_brief(value)} is neither true nor false")
                return f' t="b"><v>{_BOOLEANS[value.lower()]}'
            case "e":
                return _marked(FAILED, value)
            case "d":
                return self._moment(value)
            case _:
                raise self._error(f"{_brief(kind)} is not a valid cell type")

    def _number(self, text: str) -> str | None:
        if not _NUMBER.fullmatch(text) or abs(number := float(text)) == float("inf"):
            return _text(text)
        if self._is_date(number):
            return f' s="{self._style}"><v>{number!r}'
        integer = _INTEGER.fullmatch(text)
        if integer and abs(number) >= EXACT_INTEGERS:
            return _marked(DIGITS, f"{integer[1].strip('+')}{integer[2]}")
        return f"><v>{number!r}"

    @property
    def _style(self) -> int:
        return _whole(self._attributes.get("s", "").strip())

    def _is_date(self, number: float) -> bool:
        """Whether Excel may show a number in this cell as a date, a time or a duration."""
        return self._style in self._dates and 0 <= number < _END_OF_DATES

    def _moment(self, text: str) -> str | None:
        """Convert a date, a time, a date and time, or a duration, in ISO 8601 (ECMA-376 part 1, 18.17.4)."""
        if found := _DURATION.fullmatch(text):
            sign, days, hours, minutes, seconds = found.groups()
            if any((days, hours, minutes, seconds)):
                time = int(hours or 0) * 3_600 + int(minutes or 0) * 60 + Decimal(seconds or 0)
                return self._number(f"{sign}{float(int(days or 0) + time / 86_400)!r}")
        moment = _iso(text)
        return f' t="d"><v>{moment}' if moment else _text(text)

    def _error(self, reason: str) -> BadXml:
        return BadXml(f"cell {cell_address(*self._place)}: {reason}")


def _iso(text: str) -> str:
    """Convert an ISO 8601 date, time, or date and time to the form that calamine reads; "" if the text is not one.

    The result is rounded to the microsecond. The time zone is dropped, because Excel ignores it.
    """
    found = _MOMENT.fullmatch(text)
    if not found or not (found[1] or found[4]):
        return ""
    year, month, day, hour, minute, second = found.groups()
    try:
        start = datetime(int(year or 1), int(month or 1), int(day or 1))
        if not hour:
            return start.date().isoformat()
        if int(hour) > 24 or int(minute) > 59 or Decimal(second or 0) >= 60:
            return ""
        microseconds = round(Decimal(second or 0) * 1_000_000)
        moment = start + timedelta(hours=int(hour), minutes=int(minute), microseconds=microseconds)
        if hour == "24" and moment != start + timedelta(days=1):
            return ""
    except (ValueError, OverflowError):
        return ""
    return moment.isoformat() if year else moment.time().isoformat()


def _text(text: str) -> str | None:
    return f' t="str"><v>{for_calamine(marked_if_needed(text))}' if text else None


def _marked(kind: str, rest: str) -> str:
    return f' t="str"><v>{for_calamine(MARK + kind + rest)}'


def _brief(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
