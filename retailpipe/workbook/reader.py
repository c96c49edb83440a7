"""The sheet of a workbook that fits a contract, as pieces of rows: in order, each row with its number.

A sheet is read block by block where it can be cut (shards.py), and whole where it cannot (plain.py); both give the same
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.errors import SheetError
from retailpipe.workbook.cells import shown
from retailpipe.workbook.container import check_container
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.pieces import Piece
from retailpipe.workbook.plain import read_whole
from retailpipe.workbook.shards import BlockReader, NotCut
from retailpipe.workbook.sheet import find_layout, no_single_sheet


class SheetReader:
    """The rows of one sheet below its header, which is the first row that shows a text.

    Raises SheetError if the header does not fit the contract.

    layout: where the sheet holds what the contract names.
    rows_claimed: how many rows the sheet says it has, for progress alone; None if it does not say.
    """

    def __init__(self, package: Package, sheet: Sheet, contract: Contract) -> None:
        self._blocks = BlockReader(package, sheet)
        self._rows = _used_rows(package, sheet, self._blocks)
        try:
            self._first, header = self._first_text()
            if self._first is None:
                reason = f"{package.file}, sheet {sheet.name!r} is empty"
                raise SheetError(reason, hint="Give a workbook whose sheet holds rows.")
            number = self._first.numbers[header]
            self.layout = find_layout(package.file, sheet.name, number, self._first.row(header), contract)
            claimed = package.last_row_claimed(sheet)
        except BaseException:
            self.close()
            raise
        self._below = range(header + 1, len(self._first.numbers))
        self.rows_claimed = claimed - self.layout.header_row if claimed else None

    def pieces(self) -> Iterator[Piece]:
        """The rows in order, in pieces of bounded size, without the blank ones."""
        if self._first and self._below:
            yield self._first.select(self._below)
        yield from self._rows

    def close(self) -> None:
        self._blocks.close()

    def _first_text(self) -> tuple[Piece | None, int]:
        """The first piece with a row that shows a text, and the place of that row in it."""
        for piece in self._rows:
            for place in range(len(piece.numbers)):
                if any(shown(cell).strip() for cell in piece.row(place).values()):
                    return piece, place
        return None, 0


def open_sheet(path: Path, contract: Contract, file: str | None = None) -> SheetReader:
    """Opens the one sheet of a workbook that fits a contract; `file` is what messages call the workbook.

    Visible sheets come first; hidden ones count only where no visible one fits.
    Raises WorkbookError if the file cannot be read as xlsx, SheetError if not just one sheet fits.
    """
    file = file or path.name
    check_container(path, file)
    package = Package(path, file)
    if not package.sheets:
        raise SheetError(f"{file} has no worksheet", hint="Save the rows in a worksheet of it.")
    misfits: list[SheetError] = []
    for visible in (True, False):
        fitting: list[SheetReader] = []
        for sheet in package.sheets:
            if sheet.visible == visible:
                try:
                    fitting.append(SheetReader(package, sheet, contract))
                except SheetError as misfit:
                    misfits.append(misfit)
                except BaseException:
                    for reader in fitting:
                        reader.close()
                    raise
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            for reader in fitting:
                reader.close()
            raise no_single_sheet(file, [reader.layout.sheet for reader in fitting], misfits)
    if len(misfits) == 1:
        raise misfits[0]
    raise no_single_sheet(file, [], misfits)


def _used_rows(package: Package, sheet: Sheet, blocks: BlockReader) -> Iterator[Piece]:
    """The rows of a sheet, header and all: block by block as long as that is safe, then from the sheet read whole."""
    last = 0
    try:
        for piece in blocks:
            yield piece
            last = piece.numbers[-1]
    except NotCut:
        for piece in read_whole(package, sheet):
            places = [place for place, number in enumerate(piece.numbers) if number > last]
            if places:
                yield piece.select(places)
