"""Rows of a workbook with everything that makes a page hard to write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

MONTHS, COUNTRIES = 60, 300
NAME = "odd <script>alert(1)"
SCRIPT = "</svg><script>alert('x')</script><img src=x onerror=alert(1)> & \"quoted\" {{ 7 * 7 }}"
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd \u202e321"
EMOJI = "\N{BIRTHDAY CAKE} cake stand \N{REGIONAL INDICATOR SYMBOL LETTER N}\N{REGIONAL INDICATOR SYMBOL LETTER O}"
LONG = "LONG" * 50
CONTROL = "bell\x07 and \x7f escape\x1b[31m"
NAMES = (SCRIPT, RIGHT_TO_LEFT, EMOJI, LONG, CONTROL)


def odd_rows() -> Iterator[tuple[object, ...]]:
    """One sale for each of 300 countries, spread over 60 full months; the first ones with an odd name."""
    for number in range(COUNTRIES):
        year, month = divmod(number % MONTHS, 12)
        name = NAMES[number] if number < len(NAMES) else f"product {number}"
        country = NAMES[number] if number < len(NAMES) else f"country {number}"
        moment = datetime(2020 + year, month + 1, 28, number % 24, 30)
        yield (10_000 + number, f"CODE{number}", name, 1, moment, 9_000 - number * 10, 20_000 + number, country[:100])
    yield (99_999, "CODE1", "the last day", 1, datetime(2024, 12, 31, 12, 0), 1.005, None, "country 7")
