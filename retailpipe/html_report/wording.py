"""Write numbers, dates and names of workbooks as people read them, in English.

Money has no symbol, because the currency of a workbook is not known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_RULES = {
    "missing": "is required, but blank",
    "not_a_number": "is not a number",
    "not_an_integer": "is not a whole number",
    "not_a_date": "is not a date",
    "out_of_range": "is a number that is too large",
    "too_many_decimals": "has too many decimals",
    "digits_lost": "is a number whose last digits are lost",
    "below_minimum": "is below the minimum",
    "above_maximum": "is above the maximum",
    "too_long": "is too long",
    "nul_character": "contains a NUL character",
    "error_cell": "shows an error value",
    "not_calculated": "contains a formula that was never calculated",
}
_MINUS = "\N{MINUS SIGN}"
_LONGEST_NAME = 60
UNITS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(1000), "k"))
# Characters that XML 1.0 does not allow, and control characters that no browser shows.
_UNPRINTABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def cleaned(text: str) -> str:
    """The text with each control character replaced by the character for what cannot be shown."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def named(text: str, longest: int = _LONGEST_NAME) -> str:
    """A name inside a sentence: shortened, and isolated, so that its direction does not reorder the sentence."""
    one_line = " ".join(cleaned(text).split())
    short = one_line if len(one_line) <= longest else f"{one_line[: longest - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    return f"\N{FIRST STRONG ISOLATE}{short}\N{POP DIRECTIONAL ISOLATE}"


def plain(value: Decimal) -> str:
    """All digits of a number and nothing else, such as -1234.5."""
    return format(value.normalize() if value.is_finite() and not value else value, "f")


def money(value: Decimal) -> str:
    """An amount with two decimals, such as 1,234.50."""
    return _signed(f"{value:,.2f}")


def decimals(digits: str) -> int:
    """How many decimals a number has."""
    return len(digits.partition(".")[2])


def grouped(digits: str, places: int = 0) -> str:
    """All digits of a number, in groups of three, such as 1,234.5001. places: how many decimals there are at least."""
    return _signed(f"{Decimal(digits):,.{max(places, decimals(digits))}f}")


def whole(value: Decimal | int) -> str:
    """A number without decimals, such as 1,235."""
    return _signed(f"{value:,.0f}")


def short(value: Decimal) -> str:
    """A number with about two digits, for the label of a bar: 1.5M, 750k, 12."""
    for unit, letter in UNITS:
        if abs(value) >= unit * Decimal("0.9995"):
            scaled = value / unit
            return _signed(f"{scaled:,.0f}{letter}" if abs(scaled) >= Decimal("9.95") else f"{scaled:,.1f}{letter}")
    return _signed(f"{value:,.0f}" if abs(value) >= 10 or value == value.to_integral_value() else f"{value:,.1f}")


def percent(part: Decimal, whole_: Decimal) -> str:
    """A share, such as 84.6%; empty if the whole is zero."""
    return _signed(f"{100 * part / whole_:.1f}%") if whole_ else ""


def whole_percent(part: Decimal, whole_: Decimal) -> str:
    """A share for the label of a bar, such as 85%, and 0.5% below one percent; empty if the whole is zero."""
    share = 100 * part / whole_ if whole_ else Decimal(0)
    return percent(part, whole_) if abs(share) < Decimal("0.95") else _signed(f"{share:.0f}%")


def change(now: Decimal, before: Decimal, what: str) -> str:
    """How much more or less of something there is than earlier; empty if the earlier number is not above zero."""
    if before <= 0:
        return ""
    difference = 100 * (now - before) / before
    if abs(difference) < Decimal("0.05"):
        return f"as much {what} as"
    return f"{abs(difference):,.1f}% {'more' if difference > 0 else 'less'} {what} than"


def listed(names: Sequence[str], word: str = "and") -> str:
    """Names in a sentence: A, B and C."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def broken_rule(code: str) -> str:
    """What a cell that breaks a rule is or does, such as `is above the maximum`."""
    return _RULES.get(code, f"breaks the rule {named(code)}")


def day(value: date) -> str:
    """A date, such as 9 December 2011."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"


def minute(value: datetime) -> str:
    """A time, such as 9 December 2011, 12:50."""
    return f"{day(value)}, {value:%H:%M}"


def month(year: int, number: int) -> str:
    """A month, such as December 2011."""
    return f"{MONTHS[number - 1]} {year}"


def hour(number: int) -> str:
    """An hour of the day, such as 09:00."""
    return f"{number:02}:00"


def month_tick(year: int, number: int) -> tuple[str, str]:
    """The label of a month on an axis, in two lines: Dec and 2011."""
    return MONTHS[number - 1][:3], str(year)


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)
