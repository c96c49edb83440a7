"""Profiles of columns: how many cells of each kind a column has, and in which forms its texts are written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from retailpipe.contract_columns import EXCEL_FIRST_DATE, Separators
from retailpipe.workbook.cells import EXACT_INTEGERS, Cell, ErrorCell, cell_address, shown
from retailpipe.workbook.chunks import RepeatedCells
from retailpipe.workbook.columns import NumberTexts

SEPARATORS = tuple(
    Separators(decimal, thousands)
    for decimal, thousands in ((".", ""), (",", "."), (",", " "), (",", "'"), (".", ","), (".", " "), (".", "'"))
)
"""The ways in which numbers are written as text; the first that fits is taken."""
_TIMES = ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")
_DATES = {
    "-": ("%Y-%m-%d", "%d-%m-%Y", "%m-%d-%Y"),
    "/": ("%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y"),
    ".": ("%d.%m.%Y", "%Y.%m.%d", "%d.%m.%y"),
}
_DIGITS = re.compile(r"[0-9]+")
_FORMATS = {
    _DIGITS.sub("d", f"1{separator}1{separator}1{time.replace('%H', '1').replace('%M', '1').replace('%S', '1')}"): [
        day + time for day in days
    ]
    for separator, days in _DATES.items()
    for time in _TIMES
}
"""Formats of dates by the shape of the text, in which each number is replaced by `d`."""
_LIKE_A_NUMBER = re.compile(r"[+-]?[0-9.,' \u00a0\u202f]{1,60}")
_ZERO_AND_SEPARATOR = re.compile(r"[+-]?0+([.,' \u00a0\u202f])")
"""The start of a number such as 0,125: nobody writes 125 so, although a load with `thousands = ","` would accept it."""
_LEADING_ZEROS = re.compile(r"0[0-9]+")
_READERS = tuple(NumberTexts(separators) for separators in SEPARATORS)


class Form(NamedTuple):
    """The forms of one text.

    numbers: for each of SEPARATORS, the number that the text stands for; None if it is not one.
    has_separator: whether the text contains a separator.
    formats: the formats in which the text is a date.
    """

    numbers: tuple[Decimal | None, ...]
    has_separator: bool
    formats: frozenset[str]


class Numbers:
    """Some numbers of a column: how many there are, how many have decimals, the largest, and the most decimals."""

    def __init__(self) -> None:
        self.count = self.fractions = self.scale = 0
        self.largest = Decimal(0)

    def add(self, number: Decimal, times: int, *, is_fraction: bool) -> None:
        self.count += times
        self.fractions += times * is_fraction
        self.largest = max(self.largest, abs(number))
        exponent = number.normalize().as_tuple().exponent
        self.scale = max(self.scale, -exponent if isinstance(exponent, int) else 0)

    def merged(self, other: Numbers) -> Numbers:
        """The numbers of both."""
        both = Numbers()
        both.count, both.fractions = self.count + other.count, self.fractions + other.fractions
        both.largest, both.scale = max(self.largest, other.largest), max(self.scale, other.scale)
        return both


class ColumnProfile:
    """The cells of a column, in one or more sheets.

    cells, blanks: how many cells there are, and how many of them are blank.
    kinds: how many cells there are of each kind: integer, long (an integer whose digits a float cannot hold), fraction,
        date, moment (a date with a time), early (a date that Excel and PostgreSQL count differently), boolean,
        duration, error, text.
    firsts: the address of the first cell of each kind, and of the first text that is `neither` a number nor a date.
    numbers: the numbers that are not texts.
    texts: for each of SEPARATORS, the texts that are numbers.
    dates: how many texts have each set of formats of dates.
    zeros: how many texts are digits that begin with zero.
    example: a text that is a number with a separator; empty if there is none.
    """

    def __init__(self, header: str) -> None:
        self.header = header
        self.cells = self.blanks = self.zeros = 0
        self.kinds: Counter[str] = Counter()
        self.firsts: dict[str, str] = {}
        self.numbers = Numbers()
        self.texts = tuple(Numbers() for _ in SEPARATORS)
        self.dates: Counter[frozenset[str]] = Counter()
        self.example = ""

    @property
    def filled(self) -> int:
        """How many cells are neither blank nor error values."""
        return self.cells - self.blanks - self.kinds["error"]

    def add(self, cells: Sequence[Cell], numbers: Sequence[int], index: int, sheet: str, *, booleans: bool) -> None:
        """Add cells of a sheet. numbers: their rows. index: the column. booleans: whether some may be bools."""
        self.cells += len(numbers)
        for cell, times in _counted(cells, booleans):
            kind = _kind(cell)
            if kind == "blank":
                self.blanks += times
                continue
            self.kinds[kind] += times
            names = [kind, *self._add(cell, kind, times)]
            for name in names:
                if name not in self.firsts:
                    place = next(place for place, each in enumerate(cells) if each == cell)
                    address = cell_address(numbers[place], index)
                    self.firsts[name] = f"{sheet!r}, {address}" if sheet else address

    def _add(self, cell: Cell, kind: str, times: int) -> list[str]:
        """Add a cell that is not blank. Return the keys of `firsts` for which it counts, besides its kind."""
        if isinstance(cell, float):
            self.numbers.add(Decimal(repr(cell)), times, is_fraction=kind == "fraction")
        elif isinstance(cell, str):
            text = cell.strip()
            form = form_of(text)
            for numbers, number in zip(self.texts, form.numbers, strict=True):
                if number is not None:
                    is_fraction = number != number.to_integral_value() or number.as_tuple().exponent != 0
                    numbers.add(number, times, is_fraction=is_fraction)
            if any(number is not None for number in form.numbers):
                self.zeros += times * bool(_LEADING_ZEROS.fullmatch(text))
                self.example = self.example or (text if form.has_separator else "")
                return []
            self.dates[form.formats] += times
            return [] if form.formats else ["neither"]
        return []


def _counted(cells: Sequence[Cell], booleans: bool) -> Iterator[tuple[Cell, int]]:
    """Yield each distinct cell, and how often it occurs."""
    if isinstance(cells, RepeatedCells):
        for found in cells.places.value_counts().to_pylist():
            place = found["values"]
            yield "" if place is None else cells.distinct[place], found["counts"]
    elif booleans:  # TRUE and 1.0 are equal
        for (_, cell), times in Counter((type(cell), cell) for cell in cells).items():
            yield cell, times
    else:
        yield from Counter(cells).items()


def _kind(cell: Cell) -> str:
    if isinstance(cell, str):
        return "text" if cell.strip() else "blank"
    if isinstance(cell, float):
        if not cell.is_integer():
            return "fraction"
        return "integer" if abs(cell) < EXACT_INTEGERS else "long"
    if isinstance(cell, int):
        return "boolean"
    if isinstance(cell, ErrorCell):
        return "error"
    if isinstance(cell, datetime):
        return "early" if cell < EXCEL_FIRST_DATE else "moment" if cell.time() != datetime.min.time() else "date"
    if isinstance(cell, date):
        return "early" if cell < EXCEL_FIRST_DATE.date() else "date"
    return "duration"


@lru_cache(1 << 14)
def form_of(text: str) -> Form:
    """The forms of a text without surrounding blanks."""
    numbers: tuple[Decimal | None, ...] = (None,) * len(SEPARATORS)
    if _LIKE_A_NUMBER.fullmatch(text):
        zero = _ZERO_AND_SEPARATOR.match(text)
        no_group = (" " if zero[1].isspace() else zero[1]) if zero else None
        numbers = tuple(
            None if separators.thousands == no_group else reader.parsed(text)
            for separators, reader in zip(SEPARATORS, _READERS, strict=True)
        )
    formats = _FORMATS.get(_DIGITS.sub("d", text), []) if len(text) < 30 else []
    has_separator = not text.lstrip("+-").isdigit()
    return Form(numbers, has_separator, frozenset(each for each in formats if _is_date(text, each)))


def is_label(cell: Cell) -> bool:
    """Whether a cell may be the header of a column: a text that is neither a number nor a date."""
    text = shown(cell).strip()
    form = form_of(text)
    return isinstance(cell, str) and bool(text) and not form.formats and not any(n is not None for n in form.numbers)


def _is_date(text: str, date_format: str) -> bool:
    try:
        return datetime.strptime(text, date_format) >= EXCEL_FIRST_DATE
    except ValueError:
        return False
