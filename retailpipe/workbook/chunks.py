"""Rows of a sheet as the reader hands them on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, overload

import pyarrow as pa

from retailpipe.workbook.cells import Cell


class RepeatedCells(Sequence[Cell]):
    """The cells of a column, of which each distinct one is kept once.

    distinct: the distinct cells.
    places: for each row the place of its cell among them; null where that is blank.
    """

    def __init__(self, distinct: Sequence[Cell], places: pa.Array) -> None:
        self.distinct = distinct
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Cell]:
        for place in self.places.to_pylist():
            yield "" if place is None else self.distinct[place]

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Cell]: ...
    def __getitem__(self, index: int | slice) -> Cell | Sequence[Cell]:
        if isinstance(index, slice):
            return list(self)[index]
        place: int | None = self.places[index].as_py()
        return "" if place is None else self.distinct[place]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a sheet, column by column, without the blank ones.

    columns: the cells of each column, all of one length.
    indices: the index in the sheet of each column (0 is column A), in rising order.
    numbers: the row number of each row, as Excel shows it.
    booleans: whether some of the cells may be TRUE or FALSE.
    values: how many values the XML of the rows holds, some of which may be empty texts; None where nothing can have
        been lost.
    recount: raises WorkbookError if an address stands twice in the XML, so that one value hides the other.
    """

    columns: Sequence[Sequence[Cell]]
    indices: Sequence[int]
    numbers: Sequence[int]
    booleans: bool = True
    values: int | None = None
    recount: Callable[[], None] | None = None

    def column(self, index: int) -> Sequence[Cell]:
        """The cells of a column of the sheet, blank where these rows do not reach it."""
        place = bisect_left(self.indices, index)
        if place < len(self.indices) and self.indices[place] == index:
            return self.columns[place]
        return [""] * len(self.numbers)

    def row(self, place: int) -> dict[int, Cell]:
        """The cells of the row at a place in this chunk, by column index."""
        return {index: column[place] for index, column in zip(self.indices, self.columns, strict=True)}

    def check(self, filled: int | None = None) -> None:
        """Compares the values of the XML with the cells, of which at least `filled` are not blank.

        Raises WorkbookError if one is lost, because an address stands twice.
        """
        if self.values is None or not self.recount or filled == self.values:
            return
        if sum(len(column) - column.count("") for column in self.columns) != self.values:
            self.recount()

    def select(self, places: Sequence[int]) -> Self:
        """The rows at these places alone, whose values are not counted any more."""
        columns = [[column[place] for place in places] for column in self.columns]
        return replace(self, columns=columns, numbers=[self.numbers[place] for place in places], values=None)

    def without_blank_rows(self) -> Self | None:
        """The rows that hold a cell that is not blank; None if there is none."""
        if not self.columns:
            return None
        if "" not in self.columns[0]:
            return self
        used = [place for place, row in enumerate(zip(*self.columns, strict=True)) if any(cell != "" for cell in row)]
        if len(used) < len(self.numbers):
            return replace(self.select(used), values=self.values) if used else None
        return self
