"""The sheet of a workbook that fits a contract, as chunks of rows, each row with its number."""

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
    """The rows of one sheet below its header, which is the first row that shows a text.

    Raises SheetError if the header does not fit the contract, WorkbookError if the sheet is damaged.

    layout: where the sheet holds what the contract names.
    rows_claimed: how many rows the sheet says it has, for progress alone; None if it does not say.
    """

    def __init__(self, package: Package, sheet: Sheet, slots: Slots, contract: Contract) -> None:
        self._place = package.file, f"sheet {sheet.name!r}"
        self._slots = slots
        self._blocks = BlockReader(package, sheet, slots)
        try:
            self._first, header = self._first_text()
            if self._first is None:
                reason = f"{package.file}, sheet {sheet.name!r} is empty"
                raise SheetError(reason, hint="Give a workbook whose sheet holds rows.")
            self._first.check()
            self._blocks.in_order = False
            number = self._first.numbers[header]
            self.layout = find_layout(package.file, sheet.name, number, self._first.row(header), contract)
        except BaseException:
            self.stop()
            raise
        claimed = self._blocks.rows_claimed
        self._below = [place for place, below in enumerate(self._first.numbers) if below > number]
        self.rows_claimed = claimed - number if claimed else None

    def chunks(self) -> Iterator[Chunk]:
        """The rows, in chunks of bounded size, without the blank ones. Raises WorkbookError."""
        if self._first and self._below:
            yield self._first.select(self._below)
        header = self.layout.header_row
        for chunk in self._blocks:
            if min(chunk.numbers) < header:
                raise damaged(*self._place, f"row {min(chunk.numbers)} stands below the header in row {header}")
            yield chunk

    def stop(self) -> None:
        """Ends the threads that read the sheet; other sheets of the workbook can still be read."""
        self._blocks.close()

    def close(self) -> None:
        self.stop()
        self._slots.close()

    def _first_text(self) -> tuple[Chunk | None, int]:
        """The first chunk with a row that shows a text, and the place of that row in it."""
        for chunk in self._blocks:
            for place in range(len(chunk.numbers)):
                if any(shown(cell).strip() for cell in chunk.row(place).values()):
                    return chunk, place
        return None, 0


def open_sheet(path: Path, contract: Contract, file: str | None = None) -> SheetReader:
    """Opens the one sheet of a workbook that fits a contract; `file` is what messages call the workbook.

    Visible sheets come first; hidden ones count only where no visible one fits. A sheet that is damaged matters only
    where no other fits.

    Raises WorkbookError if the file cannot be read as xlsx, SheetError if not just one sheet fits.
    """
    file = file or path.name
    check_container(path, file)
    package = Package(path, file)
    if not package.sheets:
        raise SheetError(f"{file} has no worksheet", hint="Save the rows in a worksheet of it.")
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
                    # An error keeps what its sheet has read so far: of a thousand sheets that would be too much.
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
