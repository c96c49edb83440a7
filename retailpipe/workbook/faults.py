"""What python-calamine does not tell of cells: that they failed, or held more digits than a float does.

It gives an error value, and a formula that was never calculated, as a blank cell, and rounds a number of more than 16
digits. A real XML parser tells them, but takes several times as long as calamine; so it is asked only about rows that
have the marks of such cells, which costs next to nothing to see.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.parsers import expat

from retailpipe.workbook.cells import NOT_CALCULATED, Cell, ErrorCell, column_index
from retailpipe.workbook.pieces import Place

PARSER_ERRORS = (expat.ExpatError, ValueError, LookupError)
"""What the parser raises for XML that is none, and for encodings it does not know."""

_FORMULA_WITH_VALUE = re.compile(rb"(?:</f>|<f(?: [^<>]*)?/>)<v>[^<]")
_LONG_NUMBER = re.compile(r"-?[0-9]{16,}")


def may_have_failed(xml: bytes) -> bool:
    """Whether some XML of rows may hold failed cells: an error value has `#` and is of kind "e", or follows an `f`."""
    if b"#" in xml and b'"e"' in xml:
        return True
    if b"f" not in xml:
        return False
    return b":f" in xml or xml.count(b"<f") != len(_FORMULA_WITH_VALUE.findall(xml))


def told_by_parser(xml: Iterable[bytes]) -> dict[Place, Cell]:
    """The failed cells of a sheet, and its long integers as texts, however its XML is written.

    Raises one of PARSER_ERRORS.
    """
    reader = _Reader()
    for block in xml:
        reader.parser.Parse(block, False)
    reader.parser.Parse(b"", True)
    return reader.cells


class _Reader:
    """Follows the cells of a sheet. A row or cell without an address comes after the one before it."""

    def __init__(self) -> None:
        self.cells: dict[Place, Cell] = {}
        # Prefixes are not looked up: a block of rows does not declare them, and Excel's own attributes have some.
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self._row = 0
        self._column = -1
        self._kind = ""
        self._has_formula = False
        self._value = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        match name.rpartition(":")[2]:
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
        match name.rpartition(":")[2]:
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
