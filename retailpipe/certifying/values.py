"""Evaluate cells under the rules of a contract's column, a second time and without the loader's code.

A value is compared and digested as text: an integer and a decimal without an exponent and without zeros that add
nothing, a time as 2010-12-01T08:26:00.000000, a date as 2010-12-01.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, localcontext

from retailpipe.certifying.cells import (
    BOOLEAN,
    CLOCK,
    DOUBLES_END,
    FAILED,
    MOMENT,
    NUMBER,
    TEXT,
    Cell,
    plain,
    shown,
)
from retailpipe.contract import Column, Separators

_MOST_KEPT = 1 << 14
"""Results that a column keeps before it starts over: limits memory if every cell is different."""
_LONGEST = 40
"""Digits before, and after, the decimal point of a number that is kept as text."""
_BLANKS = " \u00a0\u202f"


class Broken(Exception):
    """A cell breaks the contract; the text says how."""


class ColumnRules:
    """The rules of one column, for one cell after the other."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._kept: dict[Cell | None, str | Broken | None] = {}
        self._digits = 0, 0
        if column.type.startswith("decimal"):
            precision, scale = column.type.removeprefix("decimal128(").removesuffix(")").split(",")
            self._digits = int(precision), int(scale)

    def evaluate(self, cell: Cell | None) -> str | Broken | None:
        """The value that bronze must have; None for null; Broken if the row must be in the quarantine."""
        try:
            return self._kept[cell]
        except KeyError:
            pass
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        try:
            result: str | Broken | None = self._value(cell)
        except Broken as broken:
            result = broken.with_traceback(None)
        self._kept[cell] = result
        return result

    def _value(self, cell: Cell | None) -> str | None:
        if cell is not None and cell[0] == FAILED:
            raise Broken(f"the formula returned {cell[1]}" if cell[1] else "the formula was never calculated")
        kind = self.column.type
        if kind == "string":
            value = self._text(cell)
        elif self.column.is_date:
            value = self._moment(cell)
        else:
            value = self._number(cell)
        if value is None and self.column.required:
            raise Broken("it is blank")
        return value

    def _text(self, cell: Cell | None) -> str | None:
        if cell is None:
            return None
        _check_digits(cell)
        text = shown(cell)
        if "\0" in text:
            raise Broken("it contains a NUL character")
        if self.column.required and text.isspace():
            raise Broken("it is blank")
        if self.column.max_length is not None and len(text) > self.column.max_length:
            raise Broken(f"it has {len(text):,} characters")
        return text

    def _number(self, cell: Cell | None) -> str | None:
        if cell is None or (cell[0] == TEXT and not cell[1].strip()):
            return None
        if cell[0] not in (TEXT, NUMBER):
            raise Broken(f"{shown(cell)} is not a number")
        is_decimal = self.column.type.startswith("decimal")
        if not is_decimal:
            _check_digits(cell)
        number = Decimal(shown(cell)) if cell[0] == NUMBER else number_in(cell[1], self.column.separators)
        with localcontext(prec=400):
            self._check_size(number, is_decimal)
        low, high = self.column.minimum, self.column.maximum
        if (isinstance(low, Decimal) and number < low) or (isinstance(high, Decimal) and number > high):
            raise Broken(f"{number} is outside the bounds of the contract")
        return plain(number)

    def _check_size(self, number: Decimal, is_decimal: bool) -> None:
        """Raise Broken if the column's type cannot hold a number exactly."""
        precision, scale = self._digits
        unscaled = number.scaleb(scale)
        if unscaled % 1:
            raise Broken(f"{number} has too many decimal places")
        bits = 31 if self.column.type == "int32" else 63
        if not (abs(unscaled) < 10**precision if is_decimal else -(2**bits) <= number < 2**bits):
            raise Broken(f"{number} does not fit into {self.column.type}")

    def _moment(self, cell: Cell | None) -> str | None:
        if cell is None or (cell[0] == TEXT and not cell[1].strip()):
            return None
        kind, text = cell
        if kind in (NUMBER, BOOLEAN, CLOCK):
            raise Broken(f"{shown(cell)} is not a date")
        found = datetime.fromisoformat(text) if kind == MOMENT else self._parsed(text.strip())
        low, high = self.column.minimum, self.column.maximum
        if self.column.type == "date32":
            if found != datetime(found.year, found.month, found.day):
                raise Broken(f"{text} has a time of day")
            if (isinstance(low, date) and found.date() < _day(low)) or (
                isinstance(high, date) and found.date() > _day(high)
            ):
                raise Broken(f"{text} is outside the bounds of the contract")
            return found.date().isoformat()
        if (isinstance(low, datetime) and found < low) or (isinstance(high, datetime) and found > high):
            raise Broken(f"{text} is outside the bounds of the contract")
        return found.isoformat(timespec="microseconds")

    def _parsed(self, text: str) -> datetime:
        for form in self.column.formats:
            try:
                return datetime.strptime(text, form)
            except ValueError:
                pass
        raise Broken(f"{text!r} is not a date in a format of the contract")


def number_in(text: str, separators: Separators) -> Decimal:
    """The number that a text stands for: digits, at most one sign and one decimal separator, groups of three.

    Raises Broken for any other text.
    """
    written = text.strip()
    digits = written[1:] if written[:1] in ("+", "-") else written
    whole, _, fraction = digits.partition(separators.decimal)
    is_grouped = False
    if separators.thousands and whole:
        if separators.thousands == " ":
            whole = whole.translate(dict.fromkeys(map(ord, _BLANKS), " "))
        first, *groups = whole.split(separators.thousands)
        if groups and not (1 <= len(first) <= 3 and len(groups) <= 13 and all(len(group) == 3 for group in groups)):
            raise Broken(f"{text!r} is not a number")
        whole, is_grouped = "".join([first, *groups]), bool(groups)
    parts = (whole, fraction)
    if not any(parts) or any(part and not (part.isascii() and part.isdigit()) for part in parts):
        raise Broken(f"{text!r} is not a number")
    if (len(whole) > _LONGEST and not is_grouped) or len(fraction) > _LONGEST:
        raise Broken(f"{text!r} has too many digits")
    return Decimal(f"{'-' if written.startswith('-') else ''}{whole or '0'}.{fraction or '0'}")


def _check_digits(cell: Cell) -> None:
    """Raise Broken if the workbook stores a long number rounded, as in 1.2345678901234568E+19."""
    kind, text = cell
    if kind == NUMBER and not text.lstrip("+-").isdecimal():
        number = float(text)
        if abs(number) >= DOUBLES_END and number.is_integer():
            raise Broken(f"{text} has more digits than Excel stores")


def _day(moment: date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
