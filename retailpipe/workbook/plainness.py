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

MOST_PLACES = 1 << 19
"""Cells of the rectangle that holds all of a block's: calamine takes 32 bytes for each, used or not."""

_NUMBER = r"-?[0-9]{1,15}(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,2})?"
"""Numbers whose digits a float holds, or whose XML does not tell all digits either."""
_DATE_NUMBER = r"[0-9]{1,6}(?:\.[0-9]+)?"
"""Numbers that calamine turns into dates, times and durations: up to the year 4637."""
_ISO_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?)?"
_MOST_STYLE_RANGES = 50
_BLANKS = re.compile(rb"\s*")
_START = 4096
"""Bytes of a block that tell how its XML is written."""
_ROW_ATTRIBUTES = (
    "spans s customFormat ht hidden customHeight outlineLevel collapsed thickTop thickBot ph x14ac:dyDescent"
)
_FORMULA_ATTRIBUTES = "aca t ref ca si"


@dataclass(frozen=True)
class Rows:
    """A block of rows, in which the plain ones are parted from the others.

    plain: XML of rows that calamine reads right; empty if there is none.
    first: the number of the first plain row where calamine cannot tell, since they have no numbers; else 1.
    others: XML of the rows that have to be rewritten; empty if there is none.
    numbers: those of the plain rows, where there are others too.
    marked: whether there are marks in the plain rows.
    """

    plain: bytes
    first: int
    others: bytes
    numbers: frozenset[int] = frozenset()
    marked: bool = False

    @classmethod
    def none_plain(cls, block: bytes) -> Rows:
        return cls(b"", 1, block)


class PlainRows:
    """Parts the plain rows of a sheet from the others, block by block.

    prefix: that of the sheet's elements, such as `x:`.
    strings: how many shared strings there are.
    dates: the styles that may show a number as a date.
    preserves_blanks: whether blanks at the ends of texts count where these do not say.
    opening: what begins a row, such as `<x:row`.
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
        """The number of the last row of a block; a row without one comes after that before it."""
        if number := self._number(block, max(block.rfind(self.opening), 0)):
            return number
        for tag in self._row_tag.finditer(block):
            before = int(tag[2]) if tag[2] else before + 1
        return before

    def first_number(self, block: bytes, before: int) -> int:
        """The number of the first row of a block, which comes after the row `before`."""
        return self._number(block, 0) or before + 1

    def _number(self, block: bytes, place: int) -> int:
        """The number of the row at a place, or else that of its first cell; 0 if both do not tell."""
        tag = self._tag(self._row_tag, block, place)
        cell = tag and not tag[2] and self._tag(self._cell_tag, block, tag.end())
        found = cell or tag
        return int(found[2]) if found and found[2] else 0

    def _tag(self, pattern: re.Pattern[bytes], block: bytes, place: int) -> re.Match[bytes] | None:
        """The tag at a place, or after the blanks there."""
        blanks = _BLANKS.match(block, place)
        return pattern.match(block, blanks.end() if blanks else place)

    def split(self, block: bytes, before: int) -> Rows:
        """Parts a block of rows, which comes after the row `before`."""
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
        columns = min(MAX_COLUMNS, MOST_PLACES // (high - low + 1))
        if not columns or not (addressed or self._widest(block) <= columns):
            return none
        start_of_block = block[:_START]
        quote = "'" if b"='" in start_of_block else '"'
        address_first = not addressed or not (b"c s=" in start_of_block or b"c t=" in start_of_block)
        place = {"{ROW}": number_between(low, high), "{COLUMN}": _columns(columns)}
        start = 1 if numbered or addressed else before + 1
        # Most sheets hold numbers and shared strings alone, and the pattern for those is soon compiled.
        original, marked = block, False
        while True:
            if self._has_failures and not marked:
                block, marked = substituted(self._substitutions(quote), original), True
            row = self._pattern(quote, numbered, addressed, address_first, self._all_kinds)
            for name, pattern in place.items():
                row = row.replace(name, pattern)
            if matches(rf"(?:{SPACE}{row})*{SPACE}", block) and not has_odd_escape(original):
                return Rows(block, start, b"", marked=marked)
            if marked:
                return self._row_by_row(block, original, row) or none if numbered and addressed else none
            self._all_kinds, self._has_failures = True, self._all_kinds

    def values(self, plain: bytes) -> int:
        """How many values plain rows hold, at least: each has a `v` or an `is` element."""
        if b"i" in plain:
            return sum(map(plain.count, self._closings))
        return plain.count(b"v") // 2

    def may_hide_a_value(self, plain: bytes) -> bool:
        """Whether an empty text of plain rows may stand at the address of a value, which calamine would not give."""
        if not self._all_kinds:  # numbers and shared strings alone
            return False
        return any(empty in plain for empty in self._empty_texts) and not self.has_no_address_twice(plain)

    def has_no_address_twice(self, plain: bytes) -> bool:
        """Whether each cell of plain rows is sure to have an address of its own."""
        addresses = [letters + number for letters, number in self._cell_tag.findall(plain)]
        return b"" not in addresses and len(set(addresses)) == len(addresses)

    def _row_by_row(self, block: bytes, original: bytes, row: str) -> Rows | None:
        """Parts the rows of a block, each of which tells its own number; None if some do not.

        The others are given as they were in the original block, before some cells were replaced.
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
    """A pattern for the attributes of a row besides its number."""
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
    """A pattern for one row, with {ROW} and {COLUMN} for the numbers and letters that are within its area.

    numbered, addressed: whether its row tells its number, and its cells their addresses.
    address_first: whether that is the first of the attributes of each cell.
    all_kinds: whether there may be formulas, and cells that are neither numbers nor shared strings.
    """
    p = re.escape(prefix.decode("latin-1"))

    def attribute(name: str, value: str = rf"[^{quote}<>&\x00-\x1f]*") -> str:
        return f" {name}={quote}{value}{quote}"

    def attributes(names: str) -> str:
        """Some attributes in this order, each once or not at all."""
        return "".join(f"(?:{attribute(name)})?" for name in names.split())

    def element(name: str, content: str, within: str = "") -> str:
        return f"<{p}{name}{within}>{content}</{p}{name}>{SPACE}"

    def opening(kind: str, style: str) -> str:
        """The tag of a cell of a kind; one that is empty has no attribute."""
        given = [style, *([attribute("t", kind)] if kind else [])]
        if not address_first:
            given.append(address)
        orders = "|".join("".join(order) for order in permutations(given))
        return f"<{p}c{address if address_first else ''}(?:{orders})"

    address = attribute("r", "{COLUMN}{ROW}") if addressed else ""
    style = f"(?:{attribute('s', '[0-9]{1,9}')})?"
    # A number that names no style has style 0. calamine does not know that, which matters where it is one of dates.
    may_lack = "" if 0 in dates else "?"
    of_date, of_number = (f"(?:{attribute('s', which)}){may_lack}" for which in ("[0-9]{1,9}", _all_but(dates)))
    preserved = attribute("xml:space", "preserve")
    index = number_between(0, strings - 1) if strings else "(?:-)"
    formula = f"(?:<{p}f{attributes(_FORMULA_ATTRIBUTES)}(?:/>|>{TEXT}</{p}f>){SPACE})?" if all_kinds else ""
    unmarked = TEXT if preserves_blanks else TRIMMED_TEXT
    text = f"(?:<{p}v/>{SPACE}|{element('v', unmarked)}|{element('v', TEXT, preserved)})"
    unmarked = TRIMMED_TEXT if preserves_blanks else TEXT
    inline = element("is", f"{SPACE}(?:{element('t', unmarked)}|{element('t', TEXT, preserved)})")
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
    """Patterns for cells that calamine reads wrong and that some sheets hold in every row, and what is put for them.

    They do what rewriting them would do: failed cells become marked texts, and dates lose what Excel passes over.
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
    """A pattern for the numbers of all other styles; for none of them where it would be too long."""
    ranges: list[str] = []
    first = 0
    for style in [*sorted(styles), 1 << 20]:
        if style > first:
            ranges.append(number_between(first, style - 1))
        first = style + 1
    return "|".join(ranges).join(("(?:", ")")) if len(ranges) <= _MOST_STYLE_RANGES else "(?:-)"
