"""Read a CSV file a second time, with Python's csv module alone."""

from __future__ import annotations

import codecs
import csv
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
        """Yield the rows that are not blank. Raises WorkbookError if the file is not in its encoding, or not CSV."""
        with _opened(self.path, self.encoding) as opened, _long_fields():
            if self.is_first_line_left_out:
                opened.readline()
            number = 0
            try:
                for number, fields in enumerate(csv.reader(opened, delimiter=self.delimiter), 1):
                    cells = {column: (TEXT, field) for column, field in enumerate(fields) if field}
                    if cells:
                        yield number, cells
            except (csv.Error, UnicodeDecodeError) as error:
                place = f"{self.file}, after row {number:,}"
                raise WorkbookError(f"{place}: the second reader cannot read it: {error}", hint=_SAVE) from error


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
