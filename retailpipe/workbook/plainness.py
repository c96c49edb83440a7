"""Find the plain rows of a sheet: those that python-calamine reads correctly without a rewrite.

calamine is fast but lenient. It reads an index that is not a number as 0; it reads only the first piece of a text that
is interrupted by a comment or CDATA; and it allocates memory for every cell up to the farthest one. So rows go to it
directly only if a regular expression shows that they are well-formed, that calamine reads every cell in them as Excel
does, and that all cells lie within the expected rows and columns. All other rows are rewritten first (rewriting.py).

The elements are those of ECMA-376 part 1: 18.3.1.73 (row), 18.3.1.4 (c), 18.3.1.40 (f), 18.3.1.96 (v), 18.3.1.53 (is).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import permutations

from retailpipe.workbook.cells import FAILED, MARK, column_letters
from retailpipe.workbook.container import MAX_COLUMNS, MAX_ROWS
from retailpipe.workbook.patterns import (
    SPACE,
    TEXT,
    TRIMMED_TEXT,
    Substitution,
    letters_to,
    matches,
    matching,
    number_between,
    substituted,
)
from retailpipe.workbook.texts import for_calamine, has_odd_escape

MOST_CELLS = 1 << 19
"""Cells in the rectangle around a block's cells: calamine takes 32 bytes for each, whether it is used or not."""

_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?"
"""Numbers with at most 15 digits before the point, so that an integer loses no digits as a float."""
_DATE_NUMBER = r"[0-9]{1,6}(?:\.[0-9]+)?"
"""Numbers that calamine converts to dates, times and durations: up to the year 4637."""
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)?"
_MAX_STYLE_RANGES = 50
_BLANKS = re.compile(rb"\s*")
_START = 4096
"""Bytes at the start of a block from which its style of XML is detected."""
_ROW_ATTRIBUTES = (
    "spans s customFormat ht hidden customHeight outlineLevel collapsed thickTop thickBot ph x14ac:dyDescent"
)
_FORMULA_ATTRIBUTES = "aca t ref ca si"


@dataclass(frozen=True)
class Rows:
    """A block of rows, split into plain rows and other rows.

    plain: XML of the plain rows; empty if there are none.
    first: the number of the first plain row if the rows have no numbers in the XML; else 1.
    others: XML of the rows that must be rewritten; empty if there are none.
    numbers: the numbers of the plain rows; empty if `others` is.
    marked: whether the plain rows may hold marked texts (cells.py).
    """

    plain: bytes
    first: int
    others: bytes
    numbers: frozenset[int] = frozenset()
    marked: bool = False

    @classmethod
    def none_plain(cls, block: bytes) -> Rows:
        """Treat all rows of a block as rows that must be rewritten."""
        return cls(b"", 1, block)


class PlainRows:
    """Separates the plain rows of a sheet from the others, block by block.

    prefix: the prefix of the sheet's elements, such as `x:`.
    strings: how many shared strings there are.
    dates: the styles that may show a number as a date.
    preserves_blanks: whether blanks at the ends of a text are kept if the text has no `xml:space` of its own.
    opening: the start of a row's tag, such as `<x:row`.
    """

    def __init__(self, prefix: bytes, strings: int, dates: Collection[int], *, preserves_blanks: bool = False) -> None:
        self.preserves_blanks = preserves_blanks
        self.opening = b"<" + prefix + b"row"
        self._cell_opening = b"<" + prefix + b"c"
        row, cell = re.escape(self.opening), re.escape(self._cell_opening)
        address = rb"""(?<=\s)r\s*=\s*["']\s*([A-Za-z]*)0*([1-9][0-9]{0,6})\s*["']"""
        self._row_tag = re.compile(row + rb"(?=[\s/>])(?:[^<>]*?" + address + rb")?[^<>]*>")
        self._cell_tag = re.compile(cell + rb"(?=[\s/>])(?:[^<>]*?" + address + rb")?[^<>]*>")
        self._closings = [b"</" + prefix + name for name in (b"v>", b"is>")]
        self._empty_texts = (b"v/>", b"></" + prefix + b"v>", b"></" + prefix + b"t>")
        self._pattern = cache(partial(_row, prefix, dates, strings, preserves_blanks))
        self._substitutions = cache(partial(_substitutions, prefix))
        self._all_kinds = False
        self._has_failures = False

    def last_number(self, block: bytes, before: int) -> int:
        """The number of the last row of a block; a row without a number follows the row before it."""
        if number := self._number(block, max(block.rfind(self.opening), 0)):
            return number
        for tag in self._row_tag.finditer(block):
            before = int(tag[2]) if tag[2] else before + 1
        return before

    def first_number(self, block: bytes, before: int) -> int:
        """The number of the first row of a block that follows the row `before`."""
        return self._number(block, 0) or before + 1

    def _number(self, block: bytes, offset: int) -> int:
        """The number of the row at an offset, or else the one in its first cell's address; 0 if both are missing."""
        tag = self._tag(self._row_tag, block, offset)
        cell = tag and not tag[2] and self._tag(self._cell_tag, block, tag.end())
        found = cell or tag
        return int(found[2]) if found and found[2] else 0

    def _tag(self, pattern: re.Pattern[bytes], block: bytes, offset: int) -> re.Match[bytes] | None:
        """Match the tag at an offset, or after the blanks there."""
        blanks = _BLANKS.match(block, offset)
        return pattern.match(block, blanks.end() if blanks else offset)

    def split(self, block: bytes, before: int) -> Rows:
        """Split a block of rows that follows the row `before`."""
        none = Rows.none_plain(block)
        first = self._tag(self._row_tag, block, 0)
        last = self._tag(self._row_tag, block, max(block.rfind(self.opening), 0))
        if not first or not last:
            return none
        cells = self._tag(self._cell_tag, block, first.end()), self._tag(self._cell_tag, block, last.end())
        numbered = bool(first[2])
        addressed = any(cell and cell[2] for cell in cells) or (numbered and not any(cells))
        if numbered:
            low, high = int(first[2]), int(last[2] or 0)
        elif addressed:
            low, high = (int(cell[2]) if cell and cell[2] else 0 for cell in cells)
        else:
            low, high = before + 1, before + block.count(self.opening)
        if not 0 < low <= high <= MAX_ROWS:
            return none
        columns = min(MAX_COLUMNS, MOST_CELLS // (high - low + 1))
        if not columns or not (addressed or self._widest(block) <= columns):
            return none
        start_of_block = block[:_START]
        quote = "'" if b"='" in start_of_block else '"'
        address_first = not addressed or not (b"c s=" in start_of_block or b"c t=" in start_of_block)
        area = {"{ROW}": number_between(low, high), "{COLUMN}": _columns(columns)}
        start = 1 if numbered or addressed else before + 1
        # Three attempts, each only if the one before fails: the short pattern for numbers and shared strings, which is
        # enough for most sheets and compiles fast; the pattern for all kinds of cells; that pattern again after the
        # substitutions. The next block starts with the attempt that was needed last.
        original, marked = block, False
        while True:
            if self._has_failures and not marked:
                block, marked = substituted(self._substitutions(quote), original), True
            row = self._pattern(quote, numbered, addressed, address_first, self._all_kinds)
            for name, pattern in area.items():
                row = row.replace(name, pattern)
            if matches(rf"(?:{SPACE}{row})*{SPACE}", block) and not has_odd_escape(original):
                return Rows(block, start, b"", marked=marked)
            if marked:
                return self._row_by_row(block, original, row) or none if numbered and addressed else none
            self._all_kinds, self._has_failures = True, self._all_kinds

    def values(self, plain: bytes) -> int:
        """Return a lower bound of the number of values in plain rows: each value has a `v` or an `is` element."""
        if b"i" in plain:
            return sum(map(plain.count, self._closings))
        return plain.count(b"v") // 2

    def may_hide_a_value(self, plain: bytes) -> bool:
        """Whether an empty text in plain rows may have the same address as a value; calamine would lose the value."""
        if not self._all_kinds:  # only numbers and shared strings
            return False
        return any(empty in plain for empty in self._empty_texts) and not self.has_no_address_twice(plain)

    def has_no_address_twice(self, plain: bytes) -> bool:
        """Whether each cell of plain rows has an address, and no address occurs twice."""
        addresses = [letters + number for letters, number in self._cell_tag.findall(plain)]
        return b"" not in addresses and len(set(addresses)) == len(addresses)

    def _row_by_row(self, block: bytes, original: bytes, row: str) -> Rows | None:
        """Split a block row by row; None if some of the other rows have no number.

        The other rows are taken from the original block, before the substitutions.
        """
        space, *rows = block.split(self.opening)
        originals = original.split(self.opening)[1:]
        if space.strip() or len(rows) != len(originals):
            return None
        rows = [self.opening + xml for xml in rows]
        plain: list[bytes] = []
        others: list[bytes] = []
        for is_plain, xml, before in zip(matching(rf"{row}{SPACE}", rows), rows, originals, strict=True):
            if is_plain and not has_odd_escape(before):
                plain.append(xml)
            else:
                others.append(self.opening + before)
                tag = self._row_tag.match(others[-1])
                if not tag or not tag[2]:
                    return None
        return Rows(b"".join(plain), 1, b"".join(others), frozenset(self._numbers(plain)), marked=True)

    def _numbers(self, rows: list[bytes]) -> Iterator[int]:
        for xml in rows:
            if (tag := self._row_tag.match(xml)) and tag[2]:
                yield int(tag[2])

    def _widest(self, block: bytes) -> int:
        return max(row.count(self._cell_opening) for row in block.split(self.opening))


@cache
def _columns(count: int) -> str:
    return letters_to(column_letters(count - 1))


def row_attributes(quote: str = '"') -> str:
    """A pattern for the attributes of a row other than its number."""
    value = rf"[^{quote}<>&\x00-\x1f]*"
    return "".join(f"(?: {name}={quote}{value}{quote})?" for name in _ROW_ATTRIBUTES.split())


def _row(
    prefix: bytes,
    dates: Collection[int],
    strings: int,
    preserves_blanks: bool,
    quote: str,
    numbered: bool,
    addressed: bool,
    address_first: bool,
    all_kinds: bool,
) -> str:
    """A pattern for one plain row, with {ROW} and {COLUMN} as placeholders for the allowed row numbers and columns.

    numbered, addressed: whether the row has a number, and its cells have addresses.
    address_first: whether the address is the first attribute of each cell.
    all_kinds: whether formulas, and cells other than numbers and shared strings, are allowed.
    """
    p = re.escape(prefix.decode("latin-1"))

    def attribute(name: str, value: str = rf"[^{quote}<>&\x00-\x1f]*") -> str:
        return f" {name}={quote}{value}{quote}"

    def attributes(names: str) -> str:
        """A pattern for optional attributes, in this order."""
        return "".join(f"(?:{attribute(name)})?" for name in names.split())

    def element(name: str, content: str, within: str = "") -> str:
        return f"<{p}{name}{within}>{content}</{p}{name}>{SPACE}"

    def opening(kind: str, style: str) -> str:
        """A pattern for the tag of a cell of a kind; kind "" means no `t` attribute."""
        given = [style, *([attribute("t", kind)] if kind else [])]
        if not address_first:
            given.append(address)
        orders = "|".join("".join(order) for order in permutations(given))
        return f"<{p}c{address if address_first else ''}(?:{orders})"

    address = attribute("r", "{COLUMN}{ROW}") if addressed else ""
    style = f"(?:{attribute('s', '[0-9]{1,9}')})?"
    # A cell without a style has style 0. calamine ignores that, which matters if style 0 is a date style.
    may_lack = "" if 0 in dates else "?"
    of_date, of_number = (f"(?:{attribute('s', which)}){may_lack}" for which in ("[0-9]{1,9}", _all_but(dates)))
    preserved = attribute("xml:space", "preserve")
    index = number_between(0, strings - 1) if strings else "(?:-)"
    formula = f"(?:<{p}f{attributes(_FORMULA_ATTRIBUTES)}(?:/>|>{TEXT}</{p}f>){SPACE})?" if all_kinds else ""
    # The pattern of a text without `xml:space`: there calamine keeps the blanks at the ends of a `v` element, and drops
    # those of a `t` element.
    by_default = TEXT if preserves_blanks else TRIMMED_TEXT
    text = f"(?:<{p}v/>{SPACE}|{element('v', by_default)}|{element('v', TEXT, preserved)})"
    by_default = TRIMMED_TEXT if preserves_blanks else TEXT
    inline = element("is", f"{SPACE}(?:{element('t', by_default)}|{element('t', TEXT, preserved)})")
    kinds = [
        f"{opening('', of_number)}>{SPACE}{formula}{element('v', _NUMBER)}",
        f"{opening('', of_date)}>{SPACE}{formula}{element('v', _DATE_NUMBER)}",
        f"{opening('s', style)}>{SPACE}{element('v', index)}",
        f"{opening('', style)}>{SPACE}",
    ]
    blank = f"{opening('', style)}/>"
    if all_kinds:
        kinds += [
            f"{opening('n', of_number)}>{SPACE}{formula}{element('v', _NUMBER)}",
            f"{opening('n', of_date)}>{SPACE}{formula}{element('v', _DATE_NUMBER)}",
            f"{opening('b', style)}>{SPACE}{formula}{element('v', '[01]')}",
            f"{opening('d', style)}>{SPACE}{formula}{element('v', _ISO_DATE)}",
            f"{opening('str', style)}>{SPACE}{formula}{text}",
            f"{opening('inlineStr', style)}>{SPACE}{inline}",
            f"{opening('(?:n|s|b|d|str|inlineStr)', style)}>{SPACE}",
        ]
        blank += f"|{opening('(?:n|s|b|d|str|inlineStr)', style)}/>"
    cell = f"(?:{blank}|(?:{'|'.join(kinds)})</{p}c>)"
    number_of_row = attribute("r", "{ROW}") if numbered else ""
    return f"<{p}row{number_of_row}{attributes(_ROW_ATTRIBUTES)}(?:/>|>{SPACE}(?:{cell}{SPACE})*</{p}row>)"


def _substitutions(prefix: bytes, quote: str) -> list[Substitution]:
    """Substitutions for cells that calamine reads wrongly and that some sheets hold in every row.

    They have the same effect as a rewrite, but are faster: error cells become marked texts, and dates lose the time
    zone, which Excel ignores.
    """
    p = re.escape(prefix.decode("latin-1"))
    q = quote
    address = f"<{p}c r={q}[A-Z]{{1,3}}[0-9]{{1,7}}{q}"
    style = f"(?: s={q}[0-9]{{1,9}}{q})?"
    formula = f"<{p}f(?: [^<>]*)?(?:/>|>[^<]*</{p}f>)"
    marked = rf"\1 t={q}str{q}><{prefix.decode('latin-1')}v>{for_calamine(MARK + FAILED)}"
    closed = f"</{prefix.decode('latin-1')}v>"
    code = "[#A-Za-z0-9/!?:.]+"
    error = rf"({address}){style} t={q}e{q}{style}>(?:{formula})?<{p}v>({code})</{p}v>"
    uncalculated = rf"({address}){style}(?: t={q}n{q})?>{formula}(?:<{p}v/>|<{p}v></{p}v>)?</"
    date = rf"( t={q}d{q}{style}><{p}v>[0-9-]{{10}}T[0-9]{{2}}:[0-9]{{2}}"
    zone = "(?:Z|[+-][0-9]{2}:[0-9]{2})"
    is_error, is_date, is_formula = f" t={q}e{q}".encode(), f" t={q}d{q}".encode(), f"<{p}f".encode()
    return [
        Substitution(error, rf"{marked}\2{closed}", is_error),
        Substitution(uncalculated, rf"{marked}{closed}</", is_formula),
        Substitution(rf"{date}){zone}?<", r"\1:00<", is_date),
        Substitution(rf"{date}:[0-9.]+){zone}<", r"\1<", is_date),
    ]


def _all_but(styles: Collection[int]) -> str:
    """A pattern for the numbers of all other styles; one that matches nothing if it would be too long."""
    ranges: list[str] = []
    first = 0
    for style in [*sorted(styles), 1 << 20]:
        if style > first:
            ranges.append(number_between(first, style - 1))
        first = style + 1
    return "|".join(ranges).join(("(?:", ")")) if len(ranges) <= _MAX_STYLE_RANGES else "(?:-)"
