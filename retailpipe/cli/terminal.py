"""Print untrusted text safely: cells, file names, messages of other programs.

On a terminal, control characters are printed as escapes, as psql does. In files and pipes the text is not changed.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import sys

_CONTROLS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, and characters that change the direction of text or break lines."""
_LEAST_WIDTH = 20
"""Nothing is laid out for a narrower terminal."""


def say(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text to standard output, or to standard error if `err`; escape control characters on a terminal."""
    stream = sys.stderr if err else sys.stdout
    print(escaped(text) if stream.isatty() else text, end="\n" if nl else "", file=stream, flush=True)


def confirm(question: str) -> None:
    """Ask a person. Raises click's Abort if the answer is no."""
    import typer

    typer.confirm(escaped(question), abort=True, err=True)


class Warnings(logging.Handler):
    """Shows the warnings of the library, which may contain names and messages of others."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record), err=True)


def clear() -> None:
    """Clear the terminal, so that what is printed next replaces what was there; do nothing in files and pipes."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[H\x1b[2J")


def width() -> int | None:
    """Return how many columns the terminal has; None if standard output is not a terminal."""
    if not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size().columns, _LEAST_WIDTH)


def escaped(text: str) -> str:
    """Return the text with each terminal control character replaced by an escape such as `\\x1b`."""
    return _CONTROLS.sub(lambda found: _escape(found[0]), text)


def escape_unencodable() -> None:
    """Print characters that a stream's encoding lacks, for example in file names, as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _escape(character: str) -> str:
    number = ord(character)
    # JSON allows only the form \uXXXX. JSON text has no raw control characters below the space, so \xXX is safe there.
    return f"\\x{number:02x}" if number < 0x20 else f"\\u{number:04x}"
