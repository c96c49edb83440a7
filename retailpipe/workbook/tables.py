"""The tables of a workbook, whatever its format: the sheets of an xlsx workbook, or the rows of a CSV file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from retailpipe.errors import SheetError
from retailpipe.keys import is_csv_name
from retailpipe.workbook.cells import Cell
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import MAX_ROWS, check_container
from retailpipe.workbook.delimited import CsvSheet
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots


class Rows(Protocol):
    """An iterator over the rows of a table that are not blank, header included.

    in_order: whether the rows must come in the order of their numbers; may be set to false, which is faster.
    """

    in_order: bool

    @property
    def rows_claimed(self) -> int | None:
        """The number of the last row according to the table itself; may be wrong. None if it does not state it."""
        ...

    def __iter__(self) -> Iterator[Chunk]: ...

    def close(self) -> None:
        """Stop reading."""
        ...


class Table(Protocol):
    """A sheet of a workbook. Reading it raises WorkbookError if it is damaged."""

    @property
    def file(self) -> str:
        """The workbook's name in messages."""
        ...

    @property
    def name(self) -> str:
        """The sheet's name; empty for a CSV file."""
        ...

    @property
    def visible(self) -> bool:
        """Whether Excel shows the sheet."""
        ...

    def rows(self, header_row: int | None) -> Rows:
        """Start to read the rows. header_row: the number of the header's row, if it is known."""
        ...

    def preview(self, limit: int) -> list[tuple[int, dict[int, Cell]]]:
        """The first rows that are not blank: their numbers, and their cells by column."""
        ...

    def max_rows(self, columns: int) -> int:
        """The largest number of rows that the table can have, if it has this many columns."""
        ...


class Book:
    """The tables of an open workbook. The caller must close it."""

    def __init__(self, file: str, tables: Sequence[Table], close: Callable[[], None]) -> None:
        self.file = file
        self.tables = tables
        self.close = close


def open_book(path: Path, file: str, *, delimiter: str | None = None, encoding: str | None = None) -> Book:
    """Open a workbook: a CSV file if its name ends in .csv, else xlsx.

    file: the workbook's name in messages.
    delimiter, encoding: of a CSV file; by default the delimiter is detected, and the encoding is UTF-8.

    Raises WorkbookError if the file cannot be read in its format, SheetError if it has no worksheet.
    """
    if is_csv_name(file):
        return Book(file, [CsvSheet(path, file, delimiter, encoding)], lambda: None)
    check_container(path, file)
    package = Package(path, file)
    if not package.sheets:
        raise SheetError(f"{file} has no worksheet", hint="Save the rows in a worksheet of the workbook.")
    slots = Slots(package)
    return Book(file, [_XlsxSheet(package, sheet, slots) for sheet in package.sheets], slots.close)


class _XlsxSheet:
    def __init__(self, package: Package, sheet: Sheet, slots: Slots) -> None:
        self.file = package.file
        self.name = sheet.name
        self.visible = sheet.visible
        self._package = package
        self._sheet = sheet
        self._slots = slots

    def rows(self, header_row: int | None) -> BlockReader:
        del header_row  # the rows above the header are few, and need not be known to read the others
        return BlockReader(self._package, self._sheet, self._slots)

    def preview(self, limit: int) -> list[tuple[int, dict[int, Cell]]]:
        found: list[tuple[int, dict[int, Cell]]] = []
        rows = self.rows(None)
        try:
            for chunk in rows:
                count = min(limit - len(found), len(chunk.numbers))
                found += [(chunk.numbers[place], chunk.row(place)) for place in range(count)]
                if len(found) == limit:
                    break
        finally:
            rows.close()
        return found

    def max_rows(self, columns: int) -> int:
        del columns
        return MAX_ROWS
