"""Read the number formats of a workbook's cells, and find the styles that may show a number as a date."""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.parsers import expat

from retailpipe.workbook.markup import BadXml, escaped, local_name, parse

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_MAX_STYLES = 1 << 18
"""Excel writes at most 65,490."""
_BUILT_IN_DATES = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])
_LITERALS = re.compile(r'"[^"]*"|[\\_*].|\[(?!(?:h+|m+|s+)\])[^\]]*\]', re.IGNORECASE | re.DOTALL)
"""Quoted texts, single characters, and colours, conditions and languages in brackets."""
_DATE_LETTER = re.compile("[dmyhsap]", re.IGNORECASE)


class Styles:
    """The number formats of the cells' styles.

    xml: a styles part with only the number formats.
    dates: the styles that may show a number as a date, a time or a duration. It contains all of them, and may contain
        other styles too.
    """

    def __init__(self, xml: Iterable[bytes] = ()) -> None:
        """Read the XML of the styles part; without it there are no styles. Raises BadXml."""
        self._formats: dict[int, str] = {}
        self._cells: list[int] = []
        self._path: list[str] = []
        parser = expat.ParserCreate("utf-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parse(parser, xml or [b"<styleSheet/>"])
        self.dates = {style for style, format_ in enumerate(self._cells) if self._may_be_date(format_)}
        formats = (
            f'<numFmt numFmtId="{number}" formatCode="{escaped(code).replace(chr(34), "&quot;")}"/>'
            for number, code in self._formats.items()
        )
        cells = (f'<xf numFmtId="{number}"/>' for number in self._cells)
        self.xml = (
            f'<styleSheet xmlns="{MAIN}"><numFmts>{"".join(formats)}</numFmts>'
            f"<cellXfs>{''.join(cells)}</cellXfs></styleSheet>"
        )

    def _may_be_date(self, number: int) -> bool:
        code = self._formats.get(number)
        if code is None:
            return number in _BUILT_IN_DATES
        code = _LITERALS.sub("", code)
        return code.lower() != "general" and bool(_DATE_LETTER.search(code))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(local_name(name))
        if len(self._path) != 3:
            return
        match self._path[1:]:
            case ["numFmts", "numFmt"]:
                self._formats[_whole(attributes.get("numFmtId"))] = attributes.get("formatCode", "")
            case ["cellXfs", "xf"]:
                self._cells.append(_whole(attributes.get("numFmtId")))
            case _:
                return
        if max(len(self._formats), len(self._cells)) > _MAX_STYLES:
            raise BadXml(f"it contains more than {_MAX_STYLES:,} styles")

    def _end(self, name: str) -> None:
        del name
        self._path.pop()


def _whole(text: str | None) -> int:
    """Convert a whole number; 0, the General format, if the text is missing or not a whole number."""
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
