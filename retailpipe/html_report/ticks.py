"""Choose what is labelled on the axes of charts, and how."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from retailpipe.html_report.wording import UNITS, cleaned

CHARACTER = 7
"""The width of a character in pixels, at most. Each browser has its own font."""
_SPACE_FOR_TICK = 24
_TICKS = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_FORMATS = {
    "year": "%Y",
    "quarter": "%b %Y",
    "month": "%b %Y",
    "week": "%-d %b",
    "date": "%-d %b",
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
}
"""How a tick is written that is at the beginning of a year, of a month and so on."""
_DAYS_NAMED = 7
"""An axis of fewer days has a tick at each day."""


def have_space(texts: Sequence[str], width: int) -> bool:
    """Whether the texts above bars fit beside each other, with the space of a character between them."""
    return width / max(1, len(texts)) >= (max(map(len, texts), default=0) + 1) * CHARACTER


def category_labels(ticks: Sequence[Sequence[str]], width: int) -> dict[int, list[str]]:
    """The labels of an axis of categories, each in lines, by the index of their category, as far as there is space.

    ticks: for each category its name, and perhaps a second line, such as the year. The second line is written where it
    differs from that of the label before. If there are too many categories, those are labelled at which the second
    line changes, or else every second, third and so on.
    """
    lines = [[cleaned(line) for line in tick] for tick in ticks]
    longest = max((len(line) for tick in lines for line in tick), default=1)
    needed = max(_SPACE_FOR_TICK, longest * CHARACTER) * len(lines) / width  # in categories
    shown = [*range(len(lines))]
    if needed > 1:
        changes = _changes(lines, needed)
        is_enough = len(changes) > 2 and all(after - before >= needed for before, after in pairwise(changes))
        shown = changes if is_enough else shown[:: math.ceil(needed)]
    before = [None, *shown]
    return {
        index: lines[index] if last is None or lines[index][1:] != lines[last][1:] else lines[index][:1]
        for last, index in zip(before, shown, strict=False)
    }


def _changes(lines: Sequence[Sequence[str]], needed: float) -> list[int]:
    """The categories at which the second line changes; the first category only if it is not too close to the next."""
    changes = [index for index, tick in enumerate(lines) if index == 0 or tick[1:] != lines[index - 1][1:]]
    return changes[1:] if len(changes) > 1 and changes[1] < needed else changes


def value_label() -> str:
    """The expression for the label of a number: 2.5B as above bars, and all decimals of a small number."""
    label = "format(datum.value, ',.12~r')"
    for unit, letter in reversed(UNITS):
        label = f"abs(datum.value) >= {unit} ? format(datum.value / {unit}, ',.12~r') + '{letter}' : {label}"
    return label


def whole_ticks(values: Sequence[Decimal]) -> list[int] | None:
    """The ticks of an axis of a few whole numbers, such as counts: none is between two of them. None for other axes."""
    low, high = min([*values, Decimal(0)]), max([*values, Decimal(0)])
    if high - low > _TICKS or any(value != value.to_integral_value() for value in values):
        return None
    return [*range(int(low), int(high) + 1)]


def milliseconds(text: str) -> float:
    """The place of a date or a time on an axis: its milliseconds since 1970 in UTC, whatever the machine's time zone.

    text: in ISO 8601. Without a time zone, it is placed as if it was in UTC.
    """
    moment = datetime.fromisoformat(text)
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) / timedelta(milliseconds=1)


def date_axis(texts: Sequence[str]) -> dict[str, object]:
    """How many ticks an axis of dates or times has, and their format.

    Between the ticks of dates without a time are whole days.
    """
    moments = [milliseconds(text) for text in texts]
    if timedelta(milliseconds=max(moments) - min(moments)) < timedelta(days=_DAYS_NAMED) and not _have_times(texts):
        return {"tickCount": "day", "format": "%-d %b %Y"}
    return {"tickCount": _DAYS_NAMED - 1, "format": _DATE_FORMATS}


def _have_times(texts: Sequence[str]) -> bool:
    return any(":" in text for text in texts)
