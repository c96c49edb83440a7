"""Chunks: rows of a sheet, held by column, as the reader returns them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self, overload

import pyarrow as pa

from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import Cell


class RepeatedCells(Sequence[Cell]):
    """The cells of a column, with each distinct cell stored once.

    distinct: the distinct cells.
    places: for each row, the index of its cell in `distinct`; null if the cell is blank.
    """

    def __init__(self, distinct: Sequence[Cell], places: pa.Array) -> None:
        self.distinct = distinct
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Cell]:
        for index in self.places.to_pylist():
            yield "" if index is None else self.distinct[index]

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Cell]: ...
    def __getitem__(self, index: int | slice) -> Cell | Sequence[Cell]:
        if isinstance(index, slice):
            return list(self)[index]
        found: int | None = self.places[index].as_py()
        return "" if found is None else self.distinct[found]

    def select(self, places: pa.Array) -> RepeatedCells:
        """Return the cells of the rows with these indices."""
        return RepeatedCells(self.distinct, self.places.take(places))


@dataclass(frozen=True)
class Chunk:
    """Some rows of a sheet, column by column, without blank rows.

    columns: the cells of each column; all columns have the same length.
    indices: the index in the sheet of each column (0 is column A), in ascending order.
    numbers: the row number of each row, as Excel shows it.
    booleans: whether some of the cells may be TRUE or FALSE.
    values: how many values the XML of the rows holds, empty texts included; None if no value can be lost.
    recount: raises WorkbookError if an address occurs twice in the XML, so that one value hides the other.
    faults: by row number, why a row cannot be read; such a row must be passed over.
    """

    columns: Sequence[Sequence[Cell]]
    indices: Sequence[int]
    numbers: Sequence[int]
    booleans: bool = True
    values: int | None = None
    recount: Callable[[], None] | None = None
    faults: Mapping[int, WorkbookError] = field(default_factory=dict[int, WorkbookError])

    def column(self, index: int) -> Sequence[Cell]:
        """The cells of the sheet's column with this index; all blank if the chunk does not hold that column."""
        position = bisect_left(self.indices, index)
        if position < len(self.indices) and self.indices[position] == index:
            return self.columns[position]
        return [""] * len(self.numbers)

    def row(self, place: int) -> dict[int, Cell]:
        """The cells of one row, by column index; `place` is the row's index in this chunk."""
        return {index: column[place] for index, column in zip(self.indices, self.columns, strict=True)}

    def check(self, filled: int | None = None) -> None:
        """Compare the number of values in the XML with the number of cells that are not blank.

        filled: a lower bound of that second number, if the caller has one; if it equals the number of values, the
        cells are not counted.
        Raises WorkbookError if a value is lost because an address occurs twice.
        """
        if self.values is None or not self.recount or filled == self.values:
            return
        if sum(len(column) - column.count("") for column in self.columns) != self.values:
            self.recount()

    def select(self, places: Sequence[int]) -> Self:
        """Return the rows with these indices in the chunk. Its `values` is None, so its `check` does nothing."""
        indices = pa.array(places, pa.int32())
        columns = [
            column.select(indices) if isinstance(column, RepeatedCells) else [column[place] for place in places]
            for column in self.columns
        ]
        return replace(self, columns=columns, numbers=[self.numbers[place] for place in places], values=None)

    def without_blank_rows(self) -> Self | None:
        """Return the rows that hold a cell that is not blank; None if there are none."""
        if not self.columns:
            return None
        if "" not in self.columns[0]:
            return self
        used = [place for place, row in enumerate(zip(*self.columns, strict=True)) if any(cell != "" for cell in row)]
        if len(used) < len(self.numbers):
            return replace(self.select(used), values=self.values) if used else None
        return self
