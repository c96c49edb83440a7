"""Which rows keep the contract, and why the others do not.

Every rule is an expression over an Arrow column; a single row is looked at only after it broke one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.contract import Bound, Column, Contract
from retailpipe.reports import Reject
from retailpipe.workbook.cells import cell_address, shown
from retailpipe.workbook.columns import ColumnConverter, Problem, column_converter

if TYPE_CHECKING:
    from retailpipe.workbook.reader import Piece
    from retailpipe.workbook.sheet import Layout

SHEET_ROWS = 1_048_576
"""The rows of the largest sheet Excel can hold."""


class Judge:
    """Judges the rows of one sheet, piece after piece, and keeps count.

    rows_read = rows_accepted + len(rejects), always.
    """

    def __init__(self, layout: Layout, contract: Contract) -> None:
        self._layout = layout
        self._rules = [
            _Rule(column, position) for column, position in zip(contract.columns, layout.positions, strict=True)
        ]
        self._schema = contract.arrow_schema.append(pa.field("source_row", pa.int32(), nullable=False))
        self._date = contract.arrow_schema.names.index(contract.date_column) if contract.date_column else None
        self._most_rejects = contract.rejects_allowed(SHEET_ROWS)
        self.rows_read = 0
        self.rows_accepted = 0
        self.rejects: list[Reject] = []
        self.first_date: datetime | None = None
        self.last_date: datetime | None = None

    @property
    def hopeless(self) -> bool:
        """Whether there are more rejects already than the contract allows for any number of rows."""
        return len(self.rejects) > self._most_rejects

    def accepted(self, piece: Piece) -> pa.RecordBatch:
        """The rows of a piece that keep the contract: its columns, then `source_row`."""
        cells = list(zip(*piece.rows, strict=True))
        arrays = [rule.converter.convert(cells[rule.position]) for rule in self._rules]
        self.rows_read += len(piece.rows)
        broken = [rule.broken(array, cells[rule.position]) for rule, array in zip(self._rules, arrays, strict=True)]
        arrays.append(pa.array(piece.numbers, pa.int32()))
        masks = [mask for mask in broken if mask is not None]
        if masks:
            rejected = masks[0]
            for mask in masks[1:]:
                rejected = pc.or_(rejected, mask)
            for index in pc.indices_nonzero(rejected).to_pylist():
                self.rejects.append(self._reject(piece, index, broken))
            kept = pc.invert(rejected)
            arrays = [array.filter(kept) for array in arrays]
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self.rows_accepted += batch.num_rows
        self._note_dates(batch)
        return batch

    def _note_dates(self, batch: pa.RecordBatch) -> None:
        if self._date is None:
            return
        ends = pc.min_max(batch.column(self._date).cast(pa.timestamp("us"))).as_py()
        first, last = ends["min"], ends["max"]
        if first is not None:
            self.first_date = min(first, self.first_date or first)
            self.last_date = max(last, self.last_date or last)

    def _reject(self, piece: Piece, index: int, broken: list[pa.BooleanArray | None]) -> Reject:
        row, number = piece.rows[index], piece.numbers[index]
        faults = list(self._faults(row, index, broken))
        rule, problem = faults[0]
        message = problem.message
        for other, further in faults[1:]:
            message += f"; also {self._address(number, other)}: {further.message}"
        return Reject(
            sheet=self._layout.sheet,
            source_row=number,
            cell=self._address(number, rule),
            column_name=rule.column.name,
            raw_value=shown(row[rule.position]),
            code=problem.code,
            message=message,
            hint=problem.hint,
            raw_row={
                header or self._layout.letters(position): shown(cell)
                for position, (header, cell) in enumerate(zip(self._layout.headers, row, strict=True))
            },
        )

    def _faults(
        self, row: list[Any], index: int, broken: list[pa.BooleanArray | None]
    ) -> Iterator[tuple[_Rule, Problem]]:
        for rule, mask in zip(self._rules, broken, strict=True):
            if mask is not None and mask[index].as_py():
                yield rule, rule.problem(row[rule.position])

    def _address(self, number: int, rule: _Rule) -> str:
        return cell_address(number, self._layout.first_column + rule.position)


class _Rule:
    """All that the contract says of one column."""

    def __init__(self, column: Column, position: int) -> None:
        self.column = column
        self.position = position
        self.converter: ColumnConverter = column_converter(column)
        self._minimum = _scalar(column, column.minimum)
        self._maximum = _scalar(column, column.maximum)

    def broken(self, array: pa.Array, cells: tuple[Any, ...]) -> pa.BooleanArray | None:
        """A mask, without nulls, of the values that break a rule; None where none does."""
        masks: list[Any] = []
        if array.null_count:
            if self.column.required:
                masks.append(array.is_null())
            elif self.converter.has_problems:
                nulls = array.is_null().to_pylist()
                masks.append(
                    pa.array(
                        [
                            null and self.converter.problem(cell) is not None
                            for null, cell in zip(nulls, cells, strict=True)
                        ],
                        pa.bool_(),
                    )
                )
        if self._minimum is not None:
            masks.append(pc.less(array, self._minimum))
        if self._maximum is not None:
            masks.append(pc.greater(array, self._maximum))
        if self.column.max_length is not None:
            masks.append(pc.greater(pc.utf8_length(array), self.column.max_length))
        masks = [pc.fill_null(mask, False) for mask in masks if pc.any(mask).as_py()]
        if not masks:
            return None
        union = masks[0]
        for mask in masks[1:]:
            union = pc.or_(union, mask)
        return union

    def problem(self, cell: Any) -> Problem:
        """Why a cell breaks the rules, given that it does."""
        if problem := self.converter.problem(cell):
            return problem
        column = self.column
        text = shown(cell)
        if not text.strip():
            return Problem("missing", f"{column.header} is blank", f"Fill in {column.header}, or delete the row.")
        if column.max_length is not None and len(text) > column.max_length:
            message = f"{len(text):,} characters are more than {column.max_length}"
            return Problem("too_long", message, "Shorten the text.")
        value = self.converter.convert([cell])
        if self._minimum is not None and pc.less(value, self._minimum)[0].as_py():
            return Problem("below_minimum", f"{text} is below {column.minimum}", self._bound_hint())
        return Problem("above_maximum", f"{text} is above {column.maximum}", self._bound_hint())

    def _bound_hint(self) -> str:
        column = self.column
        low = "" if column.minimum is None else f" from {column.minimum}"
        high = "" if column.maximum is None else f" to {column.maximum}"
        return f"Correct the cell, or change the bounds of {column.header} in the contract, now{low}{high}."


def _scalar(column: Column, bound: Bound | None) -> pa.Scalar | None:
    if bound is None:
        return None
    if isinstance(bound, datetime):
        return pa.scalar(bound, pa.timestamp("us")).cast(column.arrow_type)
    if column.type in ("int32", "int64"):
        return pa.scalar(int(bound), column.arrow_type)
    return pa.scalar(bound, column.arrow_type)
