"""Read a CSV file a second time, with Python's csv module alone.

The module reads a quote that is not closed as if it were: the rows below it become text of one field. It only refuses
one if it is strict, but then it also refuses text after a closing quote, which loses nothing if the row is one line.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from retailpipe.certifying.cells import TEXT, Row
from retailpipe.contract import Contract
from retailpipe.errors import WorkbookError

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_FIELD = 1 << 20
"""Characters: the first reader refuses a longer row, so no loaded file has one."""
_CLOSE = "Close the quote and load the file again."
_SAVE = "Open it in Excel or LibreOffice and save it as 'CSV UTF-8'."


@dataclass(frozen=True)
class CsvSheet:
    """A CSV file, read with one delimiter. It is a sheet without a name, and all of its cells are texts."""

    path: Path
    file: str
    encoding: str
    delimiter: str
    is_first_line_left_out: bool
    name = ""
    visible = True

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are not blank. Raises WorkbookError if the file is not in its encoding, or not CSV.

        A quote that is not closed is an error after the last row: with a wrong delimiter, quotes of the rows above the
        header may seem open, and only the header shows that the delimiter is wrong.
        """
        with _opened(self.path, self.encoding) as opened, _long_fields():
            if self.is_first_line_left_out:
                opened.readline()
            number = not_closed = 0
            try:
                for number, (fields, is_closed) in enumerate(self._parsed(opened), 1):
                    if not is_closed:
                        not_closed = not_closed or number
                    cells = {column: (TEXT, field) for column, field in enumerate(fields) if field}
                    if cells:
                        yield number, cells
            except (csv.Error, UnicodeDecodeError) as error:
                place = f"{self.file}, after row {number:,}"
                raise WorkbookError(f"{place}: the second reader cannot read it: {error}", hint=_SAVE) from error
        if not_closed:
            raise WorkbookError(f"{self.file}, row {not_closed:,}: one of its quotes is not closed", hint=_CLOSE)

    def _parsed(self, opened: TextIO) -> Iterator[tuple[list[str], bool]]:
        """Yield the fields of each row, and whether its quotes are closed."""
        lines = _Remembered(opened)
        for fields in csv.reader(lines, delimiter=self.delimiter):
            yield fields, not lines.has_ended and (len(lines.taken) == 1 or self._is_strict(lines.taken))
            lines.taken.clear()

    def _is_strict(self, lines: list[str]) -> bool:
        try:
            deque(csv.reader(lines, delimiter=self.delimiter, strict=True), maxlen=0)
        except csv.Error:
            return False
        return True


class _Remembered:
    """The lines of a file.

    taken: those of the row that is being read.
    has_ended: whether a line was asked for when there was none: if a row asked, one of its quotes is open.
    """

    def __init__(self, opened: TextIO) -> None:
        self.taken: list[str] = []
        self.has_ended = False
        self._opened = opened

    def __iter__(self) -> Iterator[str]:
        for line in self._opened:
            self.taken.append(line)
            yield line
        self.has_ended = True


def csv_sheets(path: Path, file: str, contract: Contract) -> list[CsvSheet]:
    """The file with each delimiter that it may have; only with the right one does the header fit the contract.

    Raises WorkbookError if the file is not in the encoding of the contract.
    """
    encoding = contract.encoding or "utf-8"
    if codecs.lookup(encoding).name == "utf-8":
        encoding = "utf-8-sig"  # Excel writes a byte order mark
    with _opened(path, encoding) as opened:
        try:
            first = opened.readline(8).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise WorkbookError(f"{file} is not {encoding.upper()}: {error.reason}", hint=_SAVE) from error
    directive = first[4:] if first.startswith("sep=") and len(first) == 5 else ""
    given = contract.delimiter or directive
    return [CsvSheet(path, file, encoding, each, bool(directive)) for each in ([given] if given else _DELIMITERS)]


@contextmanager
def _opened(path: Path, encoding: str) -> Generator[TextIO]:
    with path.open(encoding=encoding, newline="") as opened:
        yield opened


@contextmanager
def _long_fields() -> Generator[None]:
    """Let the csv module read long fields. Its limit is for the whole process, so it is set back."""
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(before)
