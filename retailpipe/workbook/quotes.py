"""Find quotes of a CSV file that are not closed.

Python's csv module and Arrow read a row whose quote is not closed as if it were: the rows below it become text of its
last field. So each row with a line break is read once more, strictly. There is none if the file has as many lines as
rows, which is quick to see.
"""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager

from retailpipe.workbook.decoding import BLOCK, DecodedFile

NOT_CLOSED = "one of its quotes is not closed"
_long_fields_lock = threading.Lock()


class CountedLines:
    """A decoded file that counts its lines while it is read, and keeps the last one."""

    def __init__(self, source: DecodedFile) -> None:
        self._source = source
        self._ends = 0
        self._last = b""

    def read(self, size: int, /) -> bytes:
        block = self._source.read(size)
        self._ends += block.count(b"\n")
        if b"\r" in block:
            self._ends += block.count(b"\r") - block.count(b"\r\n")
        if block.startswith(b"\n") and self._last.endswith(b"\r"):
            self._ends -= 1
        before = max(len(block) - 2, 0)  # the last line may end with two characters
        start = max(block.rfind(b"\n", 0, before), block.rfind(b"\r", 0, before)) + 1
        self._last = block[start:] if start else self._last + block
        return block

    def are_rows(self, rows: int, delimiter: str) -> bool:
        """Whether each line of the file is one of its rows, and the last one has no open quote."""
        lines = self._ends + (not self._last.endswith((b"\n", b"\r")))
        last = io.StringIO(self._last.decode(), newline="")
        return lines == rows and all(is_closed for _, is_closed in parsed(last, delimiter))


def parsed(lines: Iterable[str], delimiter: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the fields of each row, and whether its quotes are closed. Raises csv.Error.

    If text follows a closing quote in a row with a line break, that quote was meant to open another field, and the one
    before it is not closed.
    """
    of_row: list[str] = []
    has_ended = False

    def kept() -> Iterator[str]:
        nonlocal has_ended
        for line in lines:
            of_row.append(line)
            yield line
        has_ended = True  # within a row if the module asks for another line before it returns the row

    for fields in csv.reader(kept(), delimiter=delimiter):
        yield fields, not has_ended and (len(of_row) == 1 or _is_strict(of_row, delimiter))
        of_row.clear()


def _is_strict(lines: Sequence[str], delimiter: str) -> bool:
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error:
        return False
    return True


@contextmanager
def long_fields() -> Generator[None]:
    """Let the csv module read fields as long as Arrow reads them. Its limit is for the whole process."""
    with _long_fields_lock:
        before = csv.field_size_limit(BLOCK)
        try:
            yield
        finally:
            csv.field_size_limit(before)
