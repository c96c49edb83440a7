"""Prints text that may come from anybody: from cells, file names, messages of other programs.

On a terminal, what would steer it is shown as an escape, as psql does; in files and pipes text stays as it is.
"""

from __future__ import annotations

import io
import re
import sys

_STEERS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but tab and line feed, and those that turn the direction of text or break lines."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Prints a text on the standard output or the standard error."""
    stream = sys.stderr if err else sys.stdout
    print(escaped(text) if stream.isatty() else text, end="\n" if nl else "", file=stream, flush=True)


def escaped(text: str) -> str:
    return _STEERS.sub(lambda found: _escape(found[0]), text)


def print_whatever_comes() -> None:
    """Has both streams print what their encoding lacks as an escape, such as the bytes of a name that is not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _escape(character: str) -> str:
    number = ord(character)
    # JSON knows the second form alone; control characters below the blank never stand in it.
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}"
