"""Which rows keep the contract, and why the others do not.

Every rule is an expression over an Arrow column; a single row is looked at only after it broke one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.contract import Bound, Column, Contract
from retailpipe.reports import Reject
from retailpipe.workbook.cells import Cell, cell_address, column_letters, shown
from retailpipe.workbook.columns import Problem, column_converter
from retailpipe.workbook.container import MAX_ROWS

if TYPE_CHECKING:
    from retailpipe.workbook.chunks import Chunk
    from retailpipe.workbook.sheet import Layout

_FALSE = pa.scalar(False, pa.bool_())


class Judge:
    """Judges the rows of one sheet, chunk after chunk, and keeps count.

    rows_read = rows_accepted + len(rejects), always.
    """

    def __init__(self, layout: Layout, contract: Contract) -> None:
        self._layout = layout
        self._rules = [_Rule(column, index) for column, index in zip(contract.columns, layout.columns, strict=True)]
        self._schema = contract.arrow_schema.append(pa.field("source_row", pa.int32(), nullable=False))
        self._date = contract.arrow_schema.names.index(contract.date_column) if contract.date_column else None
        self._most_rejects = contract.rejects_allowed(MAX_ROWS)
        self.rows_read = 0
        self.rows_accepted = 0
        self.rejects: list[Reject] = []
        self.first_date: datetime | None = None
        self.last_date: datetime | None = None

    @property
    def over_reject_limit(self) -> bool:
        """Whether there are more rejects already than the contract allows for any number of rows."""
        return len(self.rejects) > self._most_rejects

    def judge(self, chunk: Chunk) -> pa.RecordBatch:
        """The rows of a chunk that keep the contract: its columns, then `source_row`.

        They are of the contract's types; decimals may be narrower in the first batches.
        """
        judged = [rule.judge(chunk) for rule in self._rules]
        if chunk.values is not None:
            chunk.check(self._filled(chunk, [values for values, _ in judged]))
        arrays = [array for array, _ in judged]
        arrays.append(_numbers(chunk.numbers))
        schema = pa.schema([field.with_type(array.type) for field, array in zip(self._schema, arrays, strict=True)])
        broken = [mask for _, mask in judged]
        masks = [mask for mask in broken if mask is not None]
        if masks:
            rejected = reduce(pc.or_, masks)
            self.rejects += [self._reject(chunk, place, broken) for place in pc.indices_nonzero(rejected).to_pylist()]
            kept = pc.invert(rejected)
            arrays = [array.filter(kept) for array in arrays]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        self.rows_read += len(chunk.numbers)
        self.rows_accepted += batch.num_rows
        self._note_dates(batch)
        return batch

    def _filled(self, chunk: Chunk, values: Sequence[pa.Array]) -> int:
        """How many cells of a chunk are not blank, at least: a cell that cannot be converted is not counted."""
        named = sum(len(array) - array.null_count for array in values)
        ruled = {rule.index for rule in self._rules}
        others = [cells for index, cells in zip(chunk.indices, chunk.columns, strict=True) if index not in ruled]
        return named + sum(len(cells) - cells.count("") for cells in others)

    def _note_dates(self, batch: pa.RecordBatch) -> None:
        if self._date is not None and (ends := _ends(batch.column(self._date))):
            self.first_date = min(ends[0], self.first_date or ends[0])
            self.last_date = max(ends[1], self.last_date or ends[1])

    def _reject(self, chunk: Chunk, place: int, broken: list[pa.BooleanArray | None]) -> Reject:
        row, number = chunk.row(place), chunk.numbers[place]
        faults = [
            (rule, rule.problem(row.get(rule.index, "")))
            for rule, mask in zip(self._rules, broken, strict=True)
            if mask is not None and mask[place].as_py()
        ]
        rule, problem = faults[0]
        message = problem.message
        for other, further in faults[1:]:
            message += f"; also {cell_address(number, other.index)}: {further.message}"
        return Reject(
            sheet=self._layout.sheet,
            source_row=number,
            cell=cell_address(number, rule.index),
            column_name=rule.column.name,
            raw_value=shown(row.get(rule.index, "")),
            code=problem.code,
            message=message,
            hint=problem.hint,
            raw_row=self._raw_row(row),
        )

    def _raw_row(self, row: Mapping[int, Cell]) -> dict[str, str]:
        """The cells of a row by their headers; by the letters of their column where there is none, or it is taken.

        Blank cells are left out in columns that the contract does not name.
        """
        texts: dict[str, str] = {}
        for index in sorted(row.keys() | set(self._layout.columns)):
            header = self._layout.headers.get(index)
            text = shown(row.get(index, ""))
            if text or index in self._layout.columns:
                texts[header if header and header not in texts else column_letters(index)] = text
        return texts


class _Rule:
    """All that the contract says of one column."""

    def __init__(self, column: Column, index: int) -> None:
        self.column = column
        self.index = index
        self._converter = column_converter(column)
        self._minimum = _scalar(column, column.minimum)
        self._maximum = _scalar(column, column.maximum)

    def judge(self, chunk: Chunk) -> tuple[pa.Array, pa.BooleanArray | None]:
        """The column's values, and a mask without nulls of those that break a rule; None where none does."""
        cells = chunk.column(self.index)
        values = self._converter.convert(cells, booleans=chunk.booleans)
        masks: list[pa.BooleanArray] = []
        if values.null_count:
            if self.column.required:
                masks.append(values.is_null())
            elif self._converter.has_problems:
                masks.append(self._unfit(values, cells))
        if self.column.required and self.column.type == "string":
            masks.append(pc.utf8_is_space(values))
        minimum, maximum, max_length = self.column.minimum, self.column.maximum, self.column.max_length
        ends = None if minimum is None and maximum is None else _ends(values)
        if ends and minimum is not None and ends[0] < minimum:
            masks.append(pc.less(values, self._minimum))
        if ends and maximum is not None and ends[1] > maximum:
            masks.append(pc.greater(values, self._maximum))
        if max_length is not None and _most_bytes(values) > max_length:
            masks.append(pc.greater(pc.utf8_length(values), max_length))
        masks = [pc.fill_null(mask, _FALSE) for mask in masks if mask.true_count]
        return values, reduce(pc.or_, masks) if masks else None

    def _unfit(self, values: pa.Array, cells: Sequence[Cell]) -> pa.BooleanArray:
        """Which nulls are no blank cells, but cells that could not be converted."""
        nulls = values.is_null().to_pylist()
        unfit = [null and self._converter.problem(cell) is not None for null, cell in zip(nulls, cells, strict=True)]
        return pa.array(unfit, pa.bool_())

    def problem(self, cell: Cell) -> Problem:
        """Why a cell breaks the rules, given that it does."""
        if problem := self._converter.problem(cell):
            return problem
        column = self.column
        text = shown(cell)
        if column.required and not text.strip():
            return Problem("missing", f"{column.header} is blank", f"Fill in {column.header}, or delete the row.")
        if column.max_length is not None and len(text) > column.max_length:
            message = f"{len(text):,} characters are more than {column.max_length}"
            return Problem("too_long", message, "Shorten the text.")
        value = self._converter.convert([cell])
        if self._minimum is not None and pc.less(value, self._minimum)[0].as_py():
            return Problem("below_minimum", f"{text} is below {column.minimum}", self._bound_hint())
        return Problem("above_maximum", f"{text} is above {column.maximum}", self._bound_hint())

    def _bound_hint(self) -> str:
        column = self.column
        low = "" if column.minimum is None else f" from {column.minimum}"
        high = "" if column.maximum is None else f" to {column.maximum}"
        return f"Correct the cell, or change the bounds of {column.header} in the contract, now{low}{high}."


def _ends(values: pa.Array) -> tuple[Any, Any] | None:
    """The least and the greatest of some numbers or dates; None where all are null."""
    if values.null_count == len(values):
        return None
    if values.type == pa.date32():
        values = values.cast(pa.timestamp("us"))
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"]


def _most_bytes(texts: pa.Array) -> int:
    """The most bytes that one of some texts has; it has no more characters than that."""
    return pc.max(pc.binary_length(texts)).as_py() or 0


def _numbers(numbers: Sequence[int]) -> pa.Array:
    if isinstance(numbers, range):
        return pa.arange(numbers.start, numbers.stop).cast(pa.int32())
    return pa.array(numbers, pa.int32())


def _scalar(column: Column, bound: Bound | None) -> pa.Scalar | None:
    if bound is None:
        return None
    if isinstance(bound, datetime):
        return pa.scalar(bound, pa.timestamp("us")).cast(column.arrow_type)
    if column.type in ("int32", "int64"):
        return pa.scalar(int(bound), column.arrow_type)
    return pa.scalar(bound, column.arrow_type)
