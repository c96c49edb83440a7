"""A sheet read whole: python-calamine parses all of it, and pieces of it are converted to Python on demand.

The way for sheets that cannot be cut into blocks.
"""

from __future__ import annotations

import zipfile
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from retailpipe.workbook.cells import Cell, ErrorCell, cell_address
from retailpipe.workbook.container import check_area, check_sheet, damaged, read_part, unreadable
from retailpipe.workbook.faults import PARSER_ERRORS, told_by_parser
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.pieces import Grid, Piece, Place

ROWS_IN_A_PIECE = 1_000


def read_whole(package: Package, sheet: Sheet) -> Iterator[Piece]:
    """The used rows of a sheet in order, its header among them. Raises WorkbookError where the sheet is damaged."""
    with zipfile.ZipFile(package.path) as archive:
        seen = check_sheet(archive, sheet.part, package.file)
    check_area(package.file, sheet.name, 1, seen.last_row, seen.far_cells)
    told = _Told(package, sheet)
    whole = _parsed(package, sheet, told)
    failed = deque(sorted(told.cells.items(), key=_place)) if seen.marked else deque[tuple[Place, Cell]]()
    # iter_rows begins at row 1, whatever blank rows come before the first that is used.
    rows, number = whole.iter_rows(), 1
    first_column = whole.start[1] if whole.start else 0
    while taken := list(islice(rows, ROWS_IN_A_PIECE)):
        grid = Grid(taken, number, first_column)
        number += len(taken)
        grid.put(_up_to(number, failed))
        if piece := Piece.of(grid, digits=told.digits):
            yield piece
    # Below the last row that calamine saw there may be formulas without a value.
    while failed:
        grid = Grid([], 0, 0)
        grid.put(_up_to(failed[0][0][0] + 1, failed))
        if piece := Piece.of(grid, digits=told.digits):
            yield piece


class _Told:
    """What calamine does not tell of the cells, read by a real XML parser when it is first asked for."""

    def __init__(self, package: Package, sheet: Sheet) -> None:
        self._package = package
        self._sheet = sheet

    @cached_property
    def cells(self) -> dict[Place, Cell]:
        try:
            with zipfile.ZipFile(self._package.path) as archive:
                return told_by_parser(read_part(archive, self._sheet.part, self._package.file))
        except PARSER_ERRORS as error:
            raise damaged(self._package.file, self._sheet.part.filename, error) from error

    def digits(self, place: Place) -> str | None:
        cell = self.cells.get(place)
        return cell if isinstance(cell, str) else None


def _parsed(package: Package, sheet: Sheet, told: _Told) -> CalamineSheet:
    try:
        workbook = CalamineWorkbook.from_path(package.path)  # pyright: ignore[reportUnknownMemberType] - its stub
        return workbook.get_sheet_by_name(sheet.name)
    except CalamineError as error:
        failed = [
            f"{cell_address(*place)} {cell.code}" for place, cell in told.cells.items() if isinstance(cell, ErrorCell)
        ]
        place = f"sheet {sheet.name!r}" + (f" (its failed cells: {', '.join(failed[:5])})" if failed else "")
        raise unreadable(package.file, place, error) from error


def _place(item: tuple[Place, Cell]) -> Place:
    return item[0]


def _up_to(number: int, cells: deque[tuple[Place, Cell]]) -> Iterator[tuple[Place, Cell]]:
    """Takes the cells of the rows before a row number off their queue. A long number is left as calamine gave it."""
    while cells and cells[0][0][0] < number:
        place, cell = cells.popleft()
        if not isinstance(cell, str):
            yield place, cell
