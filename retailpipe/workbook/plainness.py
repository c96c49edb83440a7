"""Which rows of a sheet python-calamine reads right as they stand.

calamine is quick, and trusting: it reads an index that is not a number as 0, and of a text that comes in parts the
first, and it makes room for every cell up to the farthest. So rows go to it as they stand only where a regular
expression has shown that all in them is of a kind that it reads as Excel does, well-formed, and within the area that
the rows claim. All other rows are rewritten first (rewriting.py).

The elements are those of ECMA-376 part 1: 18.3.1.73 (row), 18.3.1.4 (c), 18.3.1.40 (f), 18.3.1.96 (v), 18.3.1.53 (is).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

from retailpipe.workbook.cells import column_letters
from retailpipe.workbook.container import MAX_COLUMNS, MAX_ROWS
from retailpipe.workbook.patterns import SPACE, TEXT, TRIMMED_TEXT, letters_to, matches, matching, number_between
from retailpipe.workbook.texts import has_long_escape

MOST_PLACES = 1 << 19
"""Cells of the rectangle that holds all of a block's: calamine takes 32 bytes for each, used or not."""

_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?"
"""Numbers whose digits a float holds, or whose XML does not tell all digits either."""
_DATE_NUMBER = r"[0-9]{1,6}(?:\.[0-9]+)?"
"""Numbers that calamine turns into dates, times and durations: up to the year 4637."""
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?)?"
_MOST_STYLE_RANGES = 50
_ROW_ATTRIBUTES = (
    "spans s customFormat ht hidden customHeight outlineLevel collapsed thickTop thickBot ph x14ac:dyDescent"
)
_FORMULA_ATTRIBUTES = ("t aca ref dt2D dtr del1 del2 r1 r2 ca si bx", "t ref aca ca si")


@dataclass(frozen=True)
class Rows:
    """A block of rows, in which the plain ones are parted from the others.

    plain: XML of rows that calamine reads right; empty if there is none.
    first: the number of the first plain row where calamine cannot tell, since they have no numbers; else 1.
    others: XML of the rows that have to be rewritten; empty if there is none.
    numbers: those of the plain rows, where there are others too.
    """

    plain: bytes
    first: int
    others: bytes
    numbers: frozenset[int] = frozenset()


class PlainRows:
    """Parts the plain rows of a sheet from the others, block by block.

    prefix: that of the sheet's elements, such as `x:`.
    strings: how many shared strings there are.
    dates: the styles that may show a number as a date.
    opening: what begins a row, such as `<x:row`.
    """

    def __init__(self, prefix: bytes, strings: int, dates: Collection[int]) -> None:
        self.opening = b"<" + prefix + b"row"
        self._cell_opening = b"<" + prefix + b"c"
        row, cell = re.escape(self.opening), re.escape(self._cell_opening)
        address = rb"""(?<=\s)r\s*=\s*["']([A-Za-z]*)([1-9][0-9]{0,6})["']"""
        self._row_tag = re.compile(rb"\s*" + row + rb"(?=[\s/>])(?:[^<>]*?" + address + rb")?[^<>]*>")
        self._cell_tag = re.compile(rb"\s*" + cell + rb"(?=[\s/>])(?:[^<>]*?" + address + rb")?[^<>]*>")
        self._address = re.compile(cell + rb""" r=["']([A-Z]+[0-9]+)""")
        self._closings = [b"</" + prefix + name for name in (b"v>", b"is>")]
        self._pattern = cache(lambda quote, numbered, addressed: _rows(prefix, quote, numbered, addressed, index, dates))
        index = number_between(0, strings - 1) if strings else "(?:-)"

    def last_number(self, block: bytes, before: int) -> int:
        """The number of the last row of a block; a row without one comes after that before it."""
        last = self._row_tag.match(block, block.rfind(self.opening))
        if last and last[2]:
            return int(last[2])
        for tag in self._row_tag.finditer(block):
            before = int(tag[2]) if tag[2] else before + 1
        return before

    def first_number(self, block: bytes, before: int) -> int:
        """The number of the first row of a block, which comes after the row `before`."""
        first = self._row_tag.match(block)
        return int(first[2]) if first and first[2] else before + 1

    def split(self, block: bytes, before: int) -> Rows:
        """Parts a block of rows, which comes after the row `before`."""
        none = Rows(b"", 1, block)
        first, last = self._row_tag.match(block), self._row_tag.match(block, block.rfind(self.opening))
        if not first or not last:
            return none
        cells = self._cell_tag.match(block, first.end()), self._cell_tag.match(block, last.end())
        numbered = bool(first[2])
        addressed = any(cell and cell[2] for cell in cells)
        if numbered:
            low, high = int(first[2]), int(last[2] or 0)
        elif addressed:
            low, high = (int(cell[2]) if cell and cell[2] else 0 for cell in cells)
        else:
            low, high = 1, block.count(self.opening)
        if not 0 < low <= high <= MAX_ROWS:
            return none
        columns = min(MAX_COLUMNS, MOST_PLACES // (high - low + 1))
        if not columns or not (addressed or self._widest(block) <= columns):
            return none
        quote = "'" if b"='" in block[:4096] else '"'
        row = self._pattern(quote, numbered, addressed)
        row = row.replace("{ROW}", number_between(low, high)).replace("{COLUMN}", _columns(columns))
        start = 1 if numbered or addressed else before + 1
        if matches(rf"(?:{SPACE}{row})*{SPACE}", block) and not has_long_escape(block):
            return Rows(block, start, b"")
        if not (numbered and addressed):
            return none
        return self._row_by_row(block, row) or none

    def values(self, plain: bytes) -> int:
        """How many values plain rows hold, at least: each has a `v` or an `is` element."""
        if b"i" in plain:
            return sum(map(plain.count, self._closings))
        return plain.count(b"v") // 2

    def addresses(self, plain: bytes) -> list[bytes]:
        """The addresses of the cells of plain rows."""
        return self._address.findall(plain)

    def _row_by_row(self, block: bytes, row: str) -> Rows | None:
        """Parts the rows of a block, each of which tells its own number; None if some do not."""
        space, *rows = block.split(self.opening)
        if space.strip():
            return None
        rows = [self.opening + xml for xml in rows]
        plain: list[bytes] = []
        others: list[bytes] = []
        for is_plain, xml in zip(matching(rf"{row}{SPACE}", rows), rows, strict=True):
            if is_plain and not has_long_escape(xml):
                plain.append(xml)
            else:
                others.append(xml)
                tag = self._row_tag.match(xml)
                if not tag or not tag[2]:
                    return None
        return Rows(b"".join(plain), 1, b"".join(others), frozenset(self._numbers(plain)))

    def _numbers(self, rows: list[bytes]) -> Iterator[int]:
        for xml in rows:
            if (tag := self._row_tag.match(xml)) and tag[2]:
                yield int(tag[2])

    def _widest(self, block: bytes) -> int:
        return max(row.count(self._cell_opening) for row in block.split(self.opening))


@cache
def _columns(count: int) -> str:
    return letters_to(column_letters(count - 1))


def _rows(prefix: bytes, quote: str, numbered: bool, addressed: bool, index: str, dates: Collection[int]) -> str:
    """A pattern for one row, with {ROW} and {COLUMN} for the numbers and letters that are within its area."""
    p = re.escape(prefix.decode("latin-1"))
    q = quote

    def attribute(name: str, value: str = rf"[^{q}<>&\x00-\x1f]*") -> str:
        return f" {name}={q}{value}{q}"

    def attributes(names: str) -> str:
        """Some attributes in this order, each once or not at all."""
        return "".join(f"(?:{attribute(name)})?" for name in names.split())

    def element(name: str, content: str, within: str = "") -> str:
        return f"<{p}{name}{within}>{content}</{p}{name}>{SPACE}"

    def typed(kind: str) -> str:
        """The attributes of a cell of a kind, with any style."""
        return f"(?:{style}?{attribute('t', kind)}|{attribute('t', kind)}{style})"

    style = f"(?:{attribute('s', '[0-9]{1,9}')})"
    plain_style = f"(?:{attribute('s', _all_but(dates))})?"
    preserved = attribute("xml:space", "preserve")
    formula = "|".join(
        f"<{p}f{attributes(names)}(?:/>|>{TEXT}</{p}f>){SPACE}" for names in _FORMULA_ATTRIBUTES
    )
    formula = f"(?:{formula})?"
    number = f"(?:{attribute('t', 'n')})?"
    kinds = [
        rf"{plain_style}{number}>{SPACE}{formula}{element('v', _NUMBER)}",
        rf"{style}{number}>{SPACE}{formula}{element('v', _DATE_NUMBER)}",
        rf"{typed('s')}>{SPACE}{element('v', index)}",
        rf"{typed('b')}>{SPACE}{formula}{element('v', '[01]')}",
        rf"{typed('d')}>{SPACE}{formula}{element('v', _ISO_DATE)}",
        rf"{typed('str')}>{SPACE}{formula}"
        rf"(?:<{p}v/>{SPACE}|{element('v', TRIMMED_TEXT)}|{element('v', TEXT, preserved)})",
        rf"{typed('inlineStr')}>{SPACE}{element('is', SPACE + element('t', TEXT, f'(?:{preserved})?'))}",
    ]
    address = attribute("r", "{COLUMN}{ROW}") if addressed else ""
    blank = rf"(?:{style}|{typed('(?:n|s|b|d|str|inlineStr)')})?(?:/>|>{SPACE}</{p}c>)"
    cell = rf"<{p}c{address}(?:{blank}|(?:{'|'.join(kinds)})</{p}c>)"
    number_of_row = attribute("r", "{ROW}") if numbered else ""
    return (
        rf"<{p}row{number_of_row}{attributes(_ROW_ATTRIBUTES)}"
        rf"(?:/>|>{SPACE}(?:{cell}{SPACE})*</{p}row>)"
    )


def _all_but(styles: Collection[int]) -> str:
    """A pattern for the numbers of all other styles, or for none of them if there are too many ranges to tell."""
    ranges: list[str] = []
    first = 0
    for style in [*sorted(styles), 1 << 20]:
        if style > first:
            ranges.append(number_between(first, style - 1))
        first = style + 1
    return "|".join(ranges).join(("(?:", ")")) if len(ranges) <= _MOST_STYLE_RANGES else "(?:-)"
