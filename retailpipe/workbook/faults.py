"""Cells that failed, and numbers too long for a float: what python-calamine does not tell.

It gives an error value, and a formula that was never calculated, as a blank cell, and rounds a number of more than 16
digits. Only the sheet's XML tells more. That a block has no failed cell is told by single bytes, which costs next to
nothing: an error value contains `#`, a formula is in an element `f`, and rows of plain numbers and shared strings
contain neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO
from xml.parsers import expat

from retailpipe.workbook.cells import NOT_CALCULATED, Cell, ErrorCell, column_index, column_letters
from retailpipe.workbook.pieces import Place

_CELL = rb'<c r="([A-Z]{1,3})([0-9]{1,7})"'
_FORMULA = rb"(?:<f[^<>]*/>|<f[^<>]*>[^<]*</f>)"
_ERROR = re.compile(_CELL + rb'(?: [^<>]*)? t="e"[^<>]*>' + _FORMULA + rb"?<v>([^<]*)</v>")
_NO_VALUE = re.compile(_CELL + rb"([^<>]*)>" + _FORMULA + rb"(?:<v></v>|<v ?/>)?</c>")
_LONG_NUMBER = re.compile(r"-?[0-9]{16,}")
_BLOCK = 1 << 20


def faults_in_block(block: bytes) -> Iterator[tuple[Place, ErrorCell]]:
    """The failed cells in a block of rows as Excel and most programs write them."""
    if b"#" in block:
        for letters, number, code in _ERROR.findall(block):
            yield (int(number), column_index(letters.decode())), ErrorCell(code.decode())
    if b"f" in block and b"<f" in block:
        for letters, number, attributes in _NO_VALUE.findall(block):
            # An empty text is a value that a formula can have; it is marked as a text.
            if b't="str"' not in attributes:
                yield (int(number), column_index(letters.decode())), NOT_CALCULATED


def digits_in_block(block: bytes, place: Place) -> str | None:
    """The digits of a long integer in a cell of a block; None if there is none."""
    address = f"{column_letters(place[1])}{place[0]}".encode()
    found = re.search(rb'<c r="%s"[^<>]*>%s?<v>([^<]*)</v>' % (address, _FORMULA), block)
    return found[1].decode() if found and _LONG_NUMBER.fullmatch(found[1].decode()) else None


def told_by_parser(sheet: IO[bytes]) -> dict[Place, Cell]:
    """The failed cells and the long integers of a whole sheet, however its XML is written. Raises expat.ExpatError."""
    reader = _Reader()
    while block := sheet.read(_BLOCK):
        reader.parser.Parse(block, False)
    reader.parser.Parse(b"", True)
    return reader.cells


class _Reader:
    """Follows the cells of a sheet. A row or cell without an address comes after the one before it."""

    def __init__(self) -> None:
        self.cells: dict[Place, Cell] = {}
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self._row = 0
        self._column = -1
        self._kind = ""
        self._has_formula = False
        self._value = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition("}")[2]:
            case "row":
                self._row = int(attributes.get("r", self._row + 1))
                self._column = -1
            case "c":
                letters = attributes.get("r", "").rstrip("0123456789")
                self._column = column_index(letters.upper()) if letters else self._column + 1
                self._kind, self._has_formula, self._value = attributes.get("t", "n"), False, ""
            case "f":
                self._has_formula = True
            case "v":
                self.parser.CharacterDataHandler = self._text
            case _:
                pass

    def _text(self, text: str) -> None:
        self._value += text

    def _end(self, name: str) -> None:
        match name.rpartition("}")[2]:
            case "v":
                self.parser.CharacterDataHandler = None
            case "c":
                place = self._row, self._column
                if self._kind == "e":
                    self.cells[place] = ErrorCell(self._value)
                elif self._has_formula and not self._value and self._kind != "str":
                    self.cells[place] = NOT_CALCULATED
                elif self._kind == "n" and _LONG_NUMBER.fullmatch(self._value):
                    self.cells[place] = self._value
            case _:
                pass
