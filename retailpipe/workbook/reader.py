"""An xlsx workbook as pieces of rows: the sheet that fits the contract, in order, each row with its number.

This is the plain way: python-calamine parses the whole sheet, and pieces of it are converted to Python on demand.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from retailpipe.contract import Contract
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.cells import Cell
from retailpipe.workbook.container import check_container, check_parts
from retailpipe.workbook.sheet import Layout, find_layout, no_single_sheet

ROWS_IN_A_PIECE = 1_000


@dataclass(frozen=True)
class Piece:
    """Some rows that follow each other in a sheet.

    rows: the cells of each row, from the sheet's first used column to its last.
    numbers: the row number of each, as Excel shows it. Blank rows are left out, so numbers may have gaps.
    """

    rows: list[list[Cell]]
    numbers: list[int]


class SheetReader:
    """The rows of one sheet below its header.

    layout: where the sheet holds what the contract names.
    height: the number of the last row that is used.
    """

    def __init__(self, sheet: CalamineSheet, layout: Layout) -> None:
        self._sheet = sheet
        self.layout = layout
        self.height = sheet.end[0] + 1 if sheet.end else 0

    def pieces(self) -> Iterator[Piece]:
        """The rows in order, in pieces of bounded size, without the blank ones."""
        # iter_rows begins at row 1, whatever blank rows come before the first that is used.
        rows = self._sheet.iter_rows()
        number = sum(1 for _ in islice(rows, self.layout.header_row))
        while taken := list(islice(rows, ROWS_IN_A_PIECE)):
            numbers = list(range(number + 1, number + 1 + len(taken)))
            number += len(taken)
            blank = [not any(map(_is_used, row)) if row[0] == "" else False for row in taken]
            if any(blank):
                numbers = [n for n, skip in zip(numbers, blank, strict=True) if not skip]
                taken = [row for row, skip in zip(taken, blank, strict=True) if not skip]
            if taken:
                yield Piece(taken, numbers)


def open_sheet(path: Path, contract: Contract, name: str | None = None) -> SheetReader:
    """Opens the one sheet of a workbook that fits a contract; `name` is what messages call the file.

    Visible sheets come first; hidden ones count only where no visible one fits.
    Raises WorkbookError if the file cannot be read as xlsx, SheetError if not just one sheet fits.
    """
    name = name or path.name
    check_container(path, name)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(check_parts, path, name)
        try:
            return _fitting_sheet(path, contract, name)
        except CalamineError as error:
            whole.result()  # says more exactly what is wrong, where it is the file that is damaged
            raise _unreadable(name, error) from error
        finally:
            whole.result()


def _fitting_sheet(path: Path, contract: Contract, name: str) -> SheetReader:
    workbook = CalamineWorkbook.from_path(path)  # pyright: ignore[reportUnknownMemberType] - an incomplete stub
    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    if not sheets:
        raise SheetError(f"{name} has no worksheet", hint="Save the rows in a worksheet of it.")
    visible = [sheet.name for sheet in sheets if sheet.visible == SheetVisibleEnum.Visible]
    hidden = [sheet.name for sheet in sheets if sheet.visible != SheetVisibleEnum.Visible]
    misfits: list[SheetError] = []
    for names in (visible, hidden):
        fitting: list[SheetReader] = []
        for sheet_name in names:
            try:
                fitting.append(_reader(workbook, sheet_name, contract, name))
            except SheetError as misfit:
                misfits.append(misfit)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise no_single_sheet(name, [reader.layout.sheet for reader in fitting], misfits)
    if len(misfits) == 1:
        raise misfits[0]
    raise no_single_sheet(name, [], misfits)


def _reader(workbook: CalamineWorkbook, sheet_name: str, contract: Contract, file: str) -> SheetReader:
    sheet = workbook.get_sheet_by_name(sheet_name)
    if sheet.start is None:
        raise SheetError(f"{file}, sheet {sheet_name!r} is empty", hint="Give a workbook whose sheet holds rows.")
    header_row, first_column = sheet.start[0] + 1, sheet.start[1]
    header = next(islice(sheet.iter_rows(), sheet.start[0], None))
    return SheetReader(sheet, find_layout(file, sheet_name, header_row, first_column, header, contract))


def _is_used(cell: Cell) -> bool:
    return cell != ""


def _unreadable(name: str, error: CalamineError) -> WorkbookError:
    if isinstance(error, PasswordError):
        hint = "Open it in Excel and take the password off: File, Info, Protect Workbook."
        return WorkbookError(f"{name} is protected by a password", hint=hint)
    hint = "Open it in Excel or LibreOffice and save it anew as 'Excel Workbook (.xlsx)'."
    return WorkbookError(f"{name} cannot be read as a workbook: {error}", hint=hint)
