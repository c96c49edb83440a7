"""Rows of a sheet as the readers hand them on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from retailpipe.workbook.cells import EXACT_INTEGERS, Cell

Place = tuple[int, int]
"""A row number, as Excel counts, and a column index, from 0."""


def no_digits(place: Place) -> str | None:
    """For readers that have told every long number already."""
    del place
    return None


@dataclass
class Grid:
    """Rows that follow each other, all of one width: what a parser gave, to be completed cell by cell."""

    rows: list[list[Cell]]
    first_number: int
    first_column: int

    def put(self, cells: Iterable[tuple[Place, Cell]]) -> None:
        """Puts cells in their places; the grid grows where it does not reach them."""
        for (number, column), cell in cells:
            if not self.rows:
                self.rows, self.first_number, self.first_column = [[""]], number, column
            width = len(self.rows[0])
            left = max(0, self.first_column - column)
            right = max(0, column - self.first_column - width + 1)
            if left or right:
                self.rows = [[""] * left + row + [""] * right for row in self.rows]
                self.first_column -= left
                width += left + right
            above = max(0, self.first_number - number)
            below = max(0, number - self.first_number - len(self.rows) + 1)
            if above or below:
                blank: list[Cell] = [""] * width
                self.rows = [blank[:] for _ in range(above)] + self.rows + [blank[:] for _ in range(below)]
                self.first_number -= above
            self.rows[number - self.first_number][column - self.first_column] = cell


@dataclass(frozen=True)
class Piece:
    """Some rows of a sheet, column by column, without the blank ones.

    columns: the cells of each column from `first_column` on (0 is column A), all of one length.
    numbers: the row number of each row, as Excel shows it.
    booleans: whether some of the cells may be TRUE or FALSE.
    digits: the digits of a number that is too long for a float, as the workbook stores them.
    """

    columns: Sequence[Sequence[Cell]]
    numbers: Sequence[int]
    first_column: int
    booleans: bool = True
    digits: Callable[[Place], str | None] = no_digits

    @classmethod
    def of(cls, grid: Grid, *, booleans: bool = True, digits: Callable[[Place], str | None] = no_digits) -> Self | None:
        """The rows of a grid that are not blank; None if there is none."""
        columns = list(zip(*grid.rows, strict=True))
        numbers = range(grid.first_number, grid.first_number + len(grid.rows))
        piece = cls(columns, numbers, grid.first_column, booleans, digits)
        if columns and "" in columns[0]:
            used = [place for place, row in enumerate(grid.rows) if any(cell != "" for cell in row)]
            if len(used) < len(grid.rows):
                piece = piece.select(used)
        return piece if piece.numbers else None

    def column(self, index: int) -> Sequence[Cell]:
        """The cells of a column of the sheet, blank where these rows do not reach it."""
        place = index - self.first_column
        return self.columns[place] if 0 <= place < len(self.columns) else [""] * len(self.numbers)

    def row(self, place: int) -> dict[int, Cell]:
        """The cells of the row at a place in this piece, by column index."""
        return {index: column[place] for index, column in enumerate(self.columns, start=self.first_column)}

    def with_digits(self, index: int) -> Self:
        """The piece with a column's long numbers as texts, where the workbook stores more digits than a float holds."""
        cells = list(self.column(index))
        for place, cell in enumerate(cells):
            if isinstance(cell, float) and abs(cell) >= EXACT_INTEGERS:
                cells[place] = self.digits((self.numbers[place], index)) or cell
        columns = [*self.columns]
        columns[index - self.first_column] = cells
        return replace(self, columns=columns)

    def select(self, places: Sequence[int]) -> Self:
        """The rows at these places alone."""
        columns = [[column[place] for place in places] for column in self.columns]
        return replace(self, columns=columns, numbers=[self.numbers[place] for place in places])
