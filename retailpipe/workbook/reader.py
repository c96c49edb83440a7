"""Read the sheets of a workbook that a contract allows, as chunks of rows with their row numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.cells import shown
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import damaged
from retailpipe.workbook.sheet import Layout, find_layout, no_sheet_named, no_single_sheet, place_of, several_misfits
from retailpipe.workbook.skipping import RowFilter
from retailpipe.workbook.tables import Book, Table, open_book

_MISFITS_SHOWN = 20
_LONGEST_LIST = 200


class _Empty(SheetError):
    """A sheet has no row that is not blank."""


class SheetReader:
    """The rows of one sheet below its header.

    The header is the row that the contract names, or else the first row in which a cell is not blank.
    Raises SheetError if the header does not fit the contract, WorkbookError if the sheet is damaged.

    layout: the columns of the sheet that hold the contract's columns.
    rows_claimed: how many rows there are according to the sheet itself; may be wrong, so use it only to show
        progress. None if the sheet does not state it.
    """

    def __init__(self, table: Table, contract: Contract) -> None:
        self._place = table.file, f"sheet {table.name!r}"
        self._rows = table.rows(contract.header_row)
        try:
            self._first, header = self._find_header(table, contract)
            self._first.check()
            self._rows.in_order = False
            number = self._first.numbers[header]
            row = self._first.row(header)
            self.layout = find_layout(table.file, table.name, number, row, contract, table.preview)
            has_rules = contract.skip_rows or contract.skip_footer
            self._filter = RowFilter(table.file, self.layout, contract) if has_rules else None
        except BaseException:
            self.stop()
            raise
        claimed = self._rows.rows_claimed
        self._below = [index for index, below in enumerate(self._first.numbers) if below > number]
        self.rows_claimed = claimed - number if claimed else None

    @property
    def rows_skipped(self) -> int:
        """How many rows the contract's rules have excluded so far."""
        return self._filter.skipped if self._filter else 0

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows that are not blank, in chunks of bounded size. Raises WorkbookError."""
        for chunk in self._filter.kept(self._below_header()) if self._filter else self._below_header():
            for number in sorted(chunk.faults.keys() & set(chunk.numbers)) if chunk.faults else ():
                raise chunk.faults[number]
            yield chunk

    def stop(self) -> None:
        """Stop the threads that read the sheet. Other sheets of the workbook can still be read."""
        self._rows.close()

    def _below_header(self) -> Iterator[Chunk]:
        if self._below:
            yield self._first.select(self._below)
        header = self.layout.header_row
        for chunk in self._rows:
            if min(chunk.numbers) < header:
                reason = f"row {min(chunk.numbers)} comes after the header in the file, but the header is row {header}"
                raise damaged(*self._place, reason)
            yield chunk

    def _find_header(self, table: Table, contract: Contract) -> tuple[Chunk, int]:
        """Return the chunk that holds the header, and the header's index in it. Raises SheetError."""
        wanted = contract.header_row
        is_empty = True
        for chunk in self._rows:
            for index, number in enumerate(chunk.numbers):
                if wanted and number < wanted:
                    is_empty = False
                    continue
                if wanted and number > wanted:
                    is_empty = False
                    break
                if wanted or any(shown(cell).strip() for cell in chunk.row(index).values()):
                    return chunk, index
        place = place_of(table.file, table.name)
        if is_empty and not table.preview(1):
            raise _Empty(f"{place} is empty", hint="Choose a workbook with rows in its sheet.")
        hint = "Set header_row in the contract to the row of the headers, as Excel shows it."
        raise SheetError(f"{place}: row {wanted}, the header_row of the contract, is blank", hint=hint)


class WorkbookReader:
    """The rows of the sheets that are loaded together, below their headers.

    layouts: the layout of each of these sheets.
    rows_claimed: as in SheetReader, for all sheets together.
    rows_skipped: how many rows the contract's rules have excluded so far.
    max_rows: the largest number of rows that these sheets can have.
    """

    def __init__(self, book: Book, contract: Contract, first: SheetReader | None, tables: Sequence[Table]) -> None:
        self.rows_skipped = 0
        self._book = book
        self._contract = contract
        self._reading = first
        self._tables = tables
        if first:
            self.layouts = [first.layout]
            self.rows_claimed = first.rows_claimed
        else:
            self.layouts, self.rows_claimed = self._checked()
        self.max_rows = sum(table.max_rows(len(contract.columns)) for table in self._tables)

    @property
    def sheet_names(self) -> str:
        """The names of the sheets, separated by commas; shortened if they are many."""
        names = [layout.sheet for layout in self.layouts]
        shown_names: list[str] = []
        while names and len(", ".join([*shown_names, names[0]])) <= _LONGEST_LIST:
            shown_names.append(names.pop(0))
        if not shown_names:
            shown_names.append(names.pop(0)[:_LONGEST_LIST])
        return ", ".join(shown_names) + (f" and {len(names):,} more" if names else "")

    @property
    def ignored(self) -> tuple[str, ...]:
        """The headers of the sheets that are not in the contract."""
        return tuple(dict.fromkeys(header for layout in self.layouts for header in layout.ignored))

    def no_rows(self) -> SheetError:
        """The error for a workbook without rows below its headers."""
        layout = self.layouts[0]
        if len(self.layouts) == 1:
            where = f"{place_of(self._book.file, layout.sheet)}: there are no rows below the header"
        else:
            where = f"{self._book.file}: there are no rows below the headers of its {len(self.layouts):,} sheets, as"
        skipped = f"; {self.rows_skipped:,} skipped by the contract" if self.rows_skipped else ""
        reason = f"{where} in row {layout.header_row}{skipped}"
        return SheetError(reason, hint="Use a workbook that has rows below its header.")

    def chunks(self) -> Iterator[tuple[Layout, Chunk]]:
        """Yield the rows that are not blank, sheet after sheet, in chunks of bounded size. Raises WorkbookError."""
        for table in self._tables:
            sheet = self._reading = self._reading or SheetReader(table, self._contract)
            skipped = self.rows_skipped
            for chunk in sheet.chunks():
                yield sheet.layout, chunk
            self.rows_skipped = skipped + sheet.rows_skipped
            sheet.stop()
            self._reading = None

    def close(self) -> None:
        """Stop the threads and release the workbook; it cannot be read afterwards."""
        if self._reading:
            self._reading.stop()
        self._book.close()

    def _checked(self) -> tuple[list[Layout], int | None]:
        """Read the headers of all sheets. Raises SheetError that names those which do not fit."""
        layouts: list[Layout] = []
        claims: list[int | None] = []
        fitting: list[Table] = []
        misfits: list[WorkbookError] = []
        for table in self._tables:
            try:
                sheet = SheetReader(table, self._contract)
            except _Empty:
                continue
            except WorkbookError as misfit:
                misfits.append(_without_data(misfit))
            else:
                sheet.stop()
                layouts.append(sheet.layout)
                claims.append(sheet.rows_claimed)
                fitting.append(table)
        if misfits:
            raise several_misfits(self._book.file, misfits[:_MISFITS_SHOWN], len(misfits[_MISFITS_SHOWN:]))
        if not fitting:
            reason = f"{self._book.file}: all of its sheets are empty"
            raise SheetError(reason, hint="Choose a workbook with rows in its sheets.")
        self._tables = fitting
        return layouts, None if None in claims else sum(claim or 0 for claim in claims)


def open_workbook(path: Path, contract: Contract, file: str | None = None) -> WorkbookReader:
    """Open the sheets of a workbook that a contract allows. The caller must close it.

    If the contract has no `sheet`, exactly one sheet must fit it, and only that one is opened. Hidden sheets are then
    considered only if no visible sheet fits, and a damaged sheet is an error only if no other one fits.

    file: the workbook's name in messages; by default the name of the path. If it ends in .csv, the file is read as CSV.

    Raises WorkbookError if the file cannot be read, SheetError if no sheet fits, several do, or one that the contract
    names does not.
    """
    file = file or path.name
    book = open_book(path, file, delimiter=contract.delimiter, encoding=contract.encoding)
    try:
        if contract.several_sheets:
            tables = [table for table in book.tables if table.visible and contract.reads_sheet(table.name)]
            # A CSV file has one sheet without a name, which `sheet` does not concern.
            tables = tables or [table for table in book.tables if not table.name]
            if not tables:
                raise no_sheet_named(file, contract, [(table.name, table.visible) for table in book.tables])
            return WorkbookReader(book, contract, None, tables)
        table, sheet = _only_fitting(book, contract)
        return WorkbookReader(book, contract, sheet, [table])
    except BaseException:
        book.close()
        raise


def _only_fitting(book: Book, contract: Contract) -> tuple[Table, SheetReader]:
    allowed = [table for table in book.tables if not table.name or contract.reads_sheet(table.name)]
    if not allowed:
        raise no_sheet_named(book.file, contract, [(table.name, table.visible) for table in book.tables])
    misfits: list[WorkbookError] = []
    others = 0
    for visible in (True, False):
        fitting: tuple[Table, SheetReader] | None = None
        names: list[str] = []
        for table in allowed:
            if table.visible == visible:
                try:
                    reader = SheetReader(table, contract)
                    names.append(table.name)
                    if fitting:
                        reader.stop()
                    else:
                        fitting = table, reader
                except WorkbookError as misfit:
                    if len(misfits) < _MISFITS_SHOWN:
                        misfits.append(_without_data(misfit))
                    else:
                        others += 1
                except BaseException:
                    if fitting:
                        fitting[1].stop()
                    raise
        if fitting and len(names) == 1:
            return fitting
        if fitting:
            fitting[1].stop()
            raise no_single_sheet(book.file, names, misfits)
    if len(misfits) == 1:
        raise misfits[0]
    raise no_single_sheet(book.file, [], misfits, others)


def _without_data(error: WorkbookError) -> WorkbookError:
    """Return an error without its traceback, which keeps the data of its sheet in memory."""
    return error.with_traceback(None)
