"""Regular expressions over blocks of XML, matched by RE2.

RE2 takes linear time for any expression, releases the GIL, and is twice as fast as Python's `re`. It is part of Arrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

SPACE = r"[ \t\r\n]*"
_DECIMAL = (
    "3[3-9]|4[0-7]|5[89]|6[0-4]|7[1-9]|8[0-9]|9[0-46]|10[3-9]|11[0-9]|12[1-9]|1[3-9][0-9]|[2-9][0-9]{2}"
    "|[1-9][0-9]{3}|[1-4][0-9]{4}|5[0-4][0-9]{3}"
)
_HEXADECIMAL = (
    "2[1-9a-fA-F]|3[a-fA-F]|[46][07-9a-fA-F]|5[0-9a-eA-E]|7[0-79a-fA-F]|[89a-fA-F][0-9a-fA-F]"
    "|[1-9a-fA-F][0-9a-fA-F]{2}|[1-9a-cA-C][0-9a-fA-F]{3}"
)
_REFERENCE = f"&(?:amp|lt|gt|quot|apos|#(?:{_DECIMAL}|x(?:{_HEXADECIMAL})));"
"""References that need no document type, whose characters XML allows, and that cannot be part of an escape such as
`_x20AC_`."""
_BLANK_REFERENCE = "&#(?:9|10|13|32|x(?:9|[aA]|[dD]|20));"
_CHARACTER = rf"[^<&>\x00-\x20]|{_REFERENCE}"
TEXT = rf"(?:{_CHARACTER}|[ \t\r\n]|{_BLANK_REFERENCE})*"
"""A text, with or without blanks at its ends."""
TRIMMED_TEXT = rf"(?:(?:{_CHARACTER})+(?:[ \t\r\n]+(?:{_CHARACTER})+)*)?"
"""A text without blanks at its ends."""

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def matches(pattern: str, xml: bytes) -> bool:
    """Whether a pattern matches the whole of some bytes."""
    return bool(pc.match_substring_regex(array_of(xml), rf"\A(?:{pattern})\z")[0].as_py())


def matching(pattern: str, texts: Sequence[bytes]) -> list[bool]:
    """Return, for each text, whether a pattern matches the whole text."""
    found = pc.match_substring_regex(pa.array(texts, pa.binary()), rf"\A(?:{pattern})\z")
    return found.to_pylist()


class Substitution(NamedTuple):
    """A pattern, the replacement of its matches, and bytes that every match contains (for a quick test)."""

    pattern: str
    replacement: str
    hint: bytes


def substituted(substitutions: Iterable[Substitution], xml: bytes) -> bytes:
    """Replace all matches of each pattern, one pattern after the other."""
    for pattern, replacement, hint in substitutions:
        if hint in xml:
            xml = pc.replace_substring_regex(array_of(xml), pattern, replacement)[0].as_py()
    return xml


def number_between(first: int, last: int) -> str:
    """A pattern for the whole numbers from `first` to `last`, without leading zeros. Neither may be negative."""
    parts: list[str] = []
    for length in range(len(str(first)), len(str(last)) + 1):
        low, high = max(first, 10 ** (length - 1) if length > 1 else 0), min(last, 10**length - 1)
        parts.append(_between(str(low), str(high), _DIGITS))
    return f"(?:{'|'.join(parts)})"


def letters_to(last: str) -> str:
    """A pattern for the letters of the columns A to `last`."""
    parts = [_between("A" * length, "Z" * length, _LETTERS) for length in range(1, len(last))]
    return f"(?:{'|'.join([*parts, _between('A' * len(last), last, _LETTERS)])})"


def array_of(xml: bytes) -> pa.Array:
    """An array of one element that shares the memory of `xml`; `pa.array` would copy it."""
    bounds = pa.array([0, len(xml)], pa.int32()).buffers()[1]
    return pa.Array.from_buffers(pa.binary(), 1, [None, bounds, pa.py_buffer(xml)])


def _between(low: str, high: str, signs: str) -> str:
    """A pattern for the texts from `low` to `high` (both of one length), where `signs` are the digits in order."""
    if not low:
        return ""
    if low[0] == high[0]:
        return low[0] + _grouped(_between(low[1:], high[1:], signs))
    length = len(low) - 1
    first, last = signs.index(low[0]), signs.index(high[0])
    ends: list[str] = []
    if low[1:] != signs[0] * length:
        ends.append(low[0] + _grouped(_between(low[1:], signs[-1] * length, signs)))
        first += 1
    if high[1:] != signs[-1] * length:
        ends.append(high[0] + _grouped(_between(signs[0] * length, high[1:], signs)))
        last -= 1
    if first <= last:
        ends.append(f"[{signs[first]}-{signs[last]}]" + (f"[{signs[0]}-{signs[-1]}]{{{length}}}" if length else ""))
    return "|".join(ends)


def _grouped(pattern: str) -> str:
    return f"(?:{pattern})" if "|" in pattern else pattern
