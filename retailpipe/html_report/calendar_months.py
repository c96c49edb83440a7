"""The months of an axis: also those between the first and the last that have no sales."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

YearMonth = tuple[int, int]
LONGEST_AXIS = 120
"""If a workbook has a date that is decades away from all others, the axis shows the last ten years."""


def axis(months: Sequence[YearMonth]) -> list[YearMonth]:
    """Every month of the calendar from the first to the last of some ordered months, the last ten years at most."""
    first, last = _number(months[0]), _number(months[-1])
    return [_month(number) for number in range(max(first, last - LONGEST_AXIS + 1), last + 1)]


def gaps(months: Sequence[YearMonth]) -> list[tuple[YearMonth, YearMonth]]:
    """The first and the last month of each gap in some ordered months."""
    numbers = [_number(month) for month in months]
    return [(_month(before + 1), _month(after - 1)) for before, after in pairwise(numbers) if after - before > 1]


def count(first: YearMonth, last: YearMonth) -> int:
    """How many months there are from one to another, with both."""
    return _number(last) - _number(first) + 1


def _number(month: YearMonth) -> int:
    return month[0] * 12 + month[1] - 1


def _month(number: int) -> YearMonth:
    year, month = divmod(number, 12)
    return year, month + 1
