"""Durations that options accept, such as 90s or 2d."""

from __future__ import annotations

import re
from datetime import timedelta

from retailpipe.errors import UsageError

_DURATION = re.compile(r"([1-9][0-9]*)([smhdw])")
_LONGEST = timedelta(days=3660)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """Parse a duration such as 90s, 10m, 1h, 2d or 1w. Raises UsageError."""
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{text!r} is not a duration", hint="Write it as 90s, 10m, 1h or 2d.")
    try:
        length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        length = timedelta.max
    if length > _LONGEST:
        raise UsageError(f"{text!r} is longer than ten years", hint="Choose a shorter time, such as 1h or 2d.")
    return length


def rounded(seconds: float) -> str:
    """A time for people: `40 s`, `12 min`, `3 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"
