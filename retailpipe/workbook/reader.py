"""Read the sheet of a workbook that fits a contract, as chunks of rows with their row numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.cells import shown
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import check_container, damaged
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.sheet import find_layout, no_single_sheet
from retailpipe.workbook.slots import Slots

_MISFITS_SHOWN = 20


class SheetReader:
    """The rows of one sheet below its header. The header is the first row in which a cell is not blank.

    Raises SheetError if the header does not fit the contract, WorkbookError if the sheet is damaged.

    layout: the columns of the sheet that hold the contract's columns.
    rows_claimed: how many rows there are according to the sheet itself; may be wrong, so use it only to show
        progress. None if the sheet does not state it.
    """

    def __init__(self, package: Package, sheet: Sheet, slots: Slots, contract: Contract) -> None:
        self._place = package.file, f"sheet {sheet.name!r}"
        self._slots = slots
        self._blocks = BlockReader(package, sheet, slots)
        try:
            self._first, header = self._find_header()
            if self._first is None:
                reason = f"{package.file}, sheet {sheet.name!r} is empty"
                raise SheetError(reason, hint="Choose a workbook with rows in its sheet.")
            self._first.check()
            self._blocks.in_order = False
            number = self._first.numbers[header]
            self.layout = find_layout(package.file, sheet.name, number, self._first.row(header), contract)
        except BaseException:
            self.stop()
            raise
        claimed = self._blocks.rows_claimed
        self._below = [index for index, below in enumerate(self._first.numbers) if below > number]
        self.rows_claimed = claimed - number if claimed else None

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows that are not blank, in chunks of bounded size. Raises WorkbookError."""
        if self._first and self._below:
            yield self._first.select(self._below)
        header = self.layout.header_row
        for chunk in self._blocks:
            if min(chunk.numbers) < header:
                reason = f"row {min(chunk.numbers)} comes after the header in the file, but the header is row {header}"
                raise damaged(*self._place, reason)
            yield chunk

    def stop(self) -> None:
        """Stop the threads that read the sheet. Other sheets of the workbook can still be read."""
        self._blocks.close()

    def close(self) -> None:
        """Stop the threads and release the workbook; no sheet of it can be read afterwards."""
        self.stop()
        self._slots.close()

    def _find_header(self) -> tuple[Chunk | None, int]:
        """Return the first chunk with a row that is not blank, and that row's index in it; (None, 0) if none has."""
        for chunk in self._blocks:
            for index in range(len(chunk.numbers)):
                if any(shown(cell).strip() for cell in chunk.row(index).values()):
                    return chunk, index
        return None, 0


def open_sheet(path: Path, contract: Contract, file: str | None = None) -> SheetReader:
    """Open the only sheet of a workbook that fits a contract. The caller must close it.

    Hidden sheets are considered only if no visible sheet fits. A damaged sheet is an error only if no other one fits.

    file: the workbook's name in messages; by default the name of the path.

    Raises WorkbookError if the file cannot be read as xlsx, SheetError if no sheet fits, or several do.
    """
    file = file or path.name
    check_container(path, file)
    package = Package(path, file)
    if not package.sheets:
        raise SheetError(f"{file} has no worksheet", hint="Save the rows in a worksheet of the workbook.")
    slots = Slots(package)
    try:
        return _only_fitting(package, slots, contract)
    except BaseException:
        slots.close()
        raise


def _only_fitting(package: Package, slots: Slots, contract: Contract) -> SheetReader:
    misfits: list[WorkbookError] = []
    others = 0
    for visible in (True, False):
        fitting: SheetReader | None = None
        names: list[str] = []
        for sheet in package.sheets:
            if sheet.visible == visible:
                try:
                    reader = SheetReader(package, sheet, slots, contract)
                    names.append(sheet.name)
                    if fitting:
                        reader.stop()
                    else:
                        fitting = reader
                except WorkbookError as misfit:
                    # An error keeps its sheet's data in memory; a thousand of them would take too much.
                    if len(misfits) < _MISFITS_SHOWN:
                        misfits.append(misfit)
                    else:
                        others += 1
                except BaseException:
                    if fitting:
                        fitting.stop()
                    raise
        if fitting and len(names) == 1:
            return fitting
        if fitting:
            fitting.stop()
            raise no_single_sheet(package.file, names, misfits)
    if len(misfits) == 1:
        raise misfits[0]
    raise no_single_sheet(package.file, [], misfits, others)
