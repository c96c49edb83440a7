"""Check rows against the contract, and explain each rejected row.

For speed, every rule is an expression over a whole Arrow column. A single cell is examined only if it breaks a rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.bronze.kept_cells import Kept, kept
from retailpipe.contract import Contract
from retailpipe.contract_columns import Bound, Column
from retailpipe.reports import Reject
from retailpipe.workbook.cells import Cell, cell_address, column_letters, shown
from retailpipe.workbook.columns import Problem, column_converter
from retailpipe.workbook.container import MAX_ROWS

if TYPE_CHECKING:
    from retailpipe.workbook.chunks import Chunk
    from retailpipe.workbook.sheet import Layout

_FALSE = pa.scalar(False, pa.bool_())


class Judge:
    """Checks the rows of a workbook, chunk by chunk, and counts them.

    Invariant: rows_read = rows_accepted + len(rejects).

    rejected_cells: for each of `rejects`, the cells of its row as the quarantine keeps them.
    max_rows: the largest number of rows that the workbook can have.
    """

    def __init__(self, contract: Contract, max_rows: int = MAX_ROWS) -> None:
        self._rules = [_Rule(column) for column in contract.columns]
        self._schema = contract.arrow_schema.append(pa.field("source_row", pa.int32(), nullable=False))
        self._names_sheet = contract.several_sheets
        if self._names_sheet:
            self._schema = self._schema.append(pa.field("source_sheet", pa.string(), nullable=False))
        self._date_index = contract.arrow_schema.names.index(contract.date_column) if contract.date_column else None
        self._reject_limit = contract.rejects_allowed(max_rows)
        self.rows_read = 0
        self.rows_accepted = 0
        self.rejects: list[Reject] = []
        self.rejected_cells: list[Kept] = []
        self.first_date: datetime | None = None
        self.last_date: datetime | None = None

    @property
    def over_reject_limit(self) -> bool:
        """Whether there are already more rejects than the contract allows for the longest possible workbook."""
        return len(self.rejects) > self._reject_limit

    def judge(self, chunk: Chunk, layout: Layout) -> pa.RecordBatch:
        """Return the accepted rows of a chunk: the contract's columns, then `source_row`, and `source_sheet` if needed.

        The columns have the contract's types, but decimals may be narrower in the first batches.

        layout: that of the sheet which holds these rows.
        """
        judged = [rule.judge(chunk, index) for rule, index in zip(self._rules, layout.columns, strict=True)]
        if chunk.values is not None:
            chunk.check(_count_filled(chunk, layout, [values for values, _ in judged]))
        arrays = [array for array, _ in judged]
        arrays.append(_row_numbers(chunk.numbers))
        if self._names_sheet:
            arrays.append(pa.repeat(pa.scalar(layout.sheet, pa.string()), len(chunk.numbers)))
        schema = pa.schema([field.with_type(array.type) for field, array in zip(self._schema, arrays, strict=True)])
        broken = [mask for _, mask in judged]
        masks = [mask for mask in broken if mask is not None]
        if masks:
            rejected = reduce(pc.or_, masks)
            places = pc.indices_nonzero(rejected).to_pylist()
            self.rejects += [self._reject(chunk, layout, place, broken) for place in places]
            self.rejected_cells += [kept(chunk.row(place)) for place in places]
            accepted = pc.invert(rejected)
            arrays = [array.filter(accepted) for array in arrays]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        self.rows_read += len(chunk.numbers)
        self.rows_accepted += batch.num_rows
        self._update_dates(batch)
        return batch

    def faults(self, chunk: Chunk, layout: Layout) -> dict[int, dict[int, Problem]]:
        """The cells that break the contract, by the index of their row in the chunk and of their column in the sheet.

        It counts nothing.
        """
        found: dict[int, dict[int, Problem]] = {}
        for rule, index in zip(self._rules, layout.columns, strict=True):
            _, mask = rule.judge(chunk, index)
            if index is not None and mask is not None:
                for place in pc.indices_nonzero(mask).to_pylist():
                    found.setdefault(place, {})[index] = rule.problem(chunk.row(place).get(index, ""))
        return found

    def _update_dates(self, batch: pa.RecordBatch) -> None:
        if self._date_index is not None and (ends := _min_max(batch.column(self._date_index))):
            self.first_date = min(ends[0], self.first_date or ends[0])
            self.last_date = max(ends[1], self.last_date or ends[1])

    def _reject(self, chunk: Chunk, layout: Layout, row_index: int, broken: Sequence[pa.BooleanArray | None]) -> Reject:
        row, number = chunk.row(row_index), chunk.numbers[row_index]
        faults = [
            (rule, index, rule.problem(row.get(index, "")))
            for rule, index, mask in zip(self._rules, layout.columns, broken, strict=True)
            if index is not None and mask is not None and mask[row_index].as_py()
        ]
        rule, index, problem = faults[0]
        message = problem.message
        for _, other, further in faults[1:]:
            message += f"; also {cell_address(number, other)}: {further.message}"
        return Reject(
            sheet=layout.sheet,
            source_row=number,
            cell=cell_address(number, index),
            column_name=rule.column.name,
            raw_value=shown(row.get(index, "")),
            code=problem.code,
            message=message,
            hint=problem.hint,
            raw_row=_raw_row(row, layout),
        )


def _count_filled(chunk: Chunk, layout: Layout, values: Sequence[pa.Array]) -> int:
    """Return a lower bound of the number of non-blank cells: cells that cannot be converted are not counted.

    values: the converted cells of the contract's columns.
    """
    in_contract = sum(len(array) - array.null_count for array in values)
    others = [cells for index, cells in zip(chunk.indices, chunk.columns, strict=True) if index not in layout.columns]
    return in_contract + sum(len(cells) - cells.count("") for cells in others)


def _raw_row(row: Mapping[int, Cell], layout: Layout) -> dict[str, str]:
    """Return the cells of a row by header, or by column letters if there is no header or an earlier column has it.

    Blank cells of columns that the contract does not name are left out.
    """
    in_contract = {index for index in layout.columns if index is not None}
    texts: dict[str, str] = {}
    for index in sorted(row.keys() | in_contract):
        header = layout.headers.get(index)
        text = shown(row.get(index, ""))
        if text or index in in_contract:
            texts[header if header and header not in texts else column_letters(index)] = text
    return texts


class _Rule:
    """The contract's rules for one column."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._converter = column_converter(column)
        self._minimum = _scalar(column, column.minimum)
        self._maximum = _scalar(column, column.maximum)

    def judge(self, chunk: Chunk, index: int | None) -> tuple[pa.Array, pa.BooleanArray | None]:
        """Return the column's values, and a mask (without nulls) of the values that break a rule; None if none does.

        index: the column of the sheet; None if the sheet does not have this column, which must be optional.
        """
        if index is None:
            return pa.nulls(len(chunk.numbers), self.column.arrow_type), None
        cells = chunk.column(index)
        values = self._converter.convert(cells, booleans=chunk.booleans)
        masks: list[pa.BooleanArray] = []
        if values.null_count:
            if self.column.required:
                masks.append(values.is_null())
            elif self._converter.has_problems:
                masks.append(self._unconvertible(values, cells))
        if self.column.required and self.column.type == "string":
            masks.append(pc.utf8_is_space(values))
        minimum, maximum, max_length = self.column.minimum, self.column.maximum, self.column.max_length
        ends = None if minimum is None and maximum is None else _min_max(values)
        if ends and minimum is not None and ends[0] < minimum:
            masks.append(pc.less(values, self._minimum))
        if ends and maximum is not None and ends[1] > maximum:
            masks.append(pc.greater(values, self._maximum))
        # No text has more characters than bytes, so the cheaper count of bytes is usually enough.
        if max_length is not None and _max_bytes(values) > max_length:
            masks.append(pc.greater(pc.utf8_length(values), max_length))
        masks = [pc.fill_null(mask, _FALSE) for mask in masks if mask.true_count]
        return values, reduce(pc.or_, masks) if masks else None

    def _unconvertible(self, values: pa.Array, cells: Sequence[Cell]) -> pa.BooleanArray:
        """Return a mask of the nulls that stand for cells which could not be converted, not for blank cells."""
        nulls = values.is_null().to_pylist()
        mask = [null and self._converter.problem(cell) is not None for null, cell in zip(nulls, cells, strict=True)]
        return pa.array(mask, pa.bool_())

    def problem(self, cell: Cell) -> Problem:
        """Return the problem with the first rule that a cell breaks. The cell must break at least one rule."""
        if problem := self._converter.problem(cell):
            return problem
        column = self.column
        text = shown(cell)
        if column.required and not text.strip():
            return Problem("missing", f"{column.header} is blank", f"Fill in {column.header}, or delete the row.")
        if column.max_length is not None and len(text) > column.max_length:
            message = f"the text has {len(text):,} characters; the maximum is {column.max_length}"
            return Problem("too_long", message, "Shorten the text.")
        value = self._converter.convert([cell])
        if self._minimum is not None and pc.less(value, self._minimum)[0].as_py():
            return Problem("below_minimum", f"{text} is below {column.minimum}", self._bound_hint())
        return Problem("above_maximum", f"{text} is above {column.maximum}", self._bound_hint())

    def _bound_hint(self) -> str:
        column = self.column
        low = "" if column.minimum is None else f" from {column.minimum}"
        high = "" if column.maximum is None else f" to {column.maximum}"
        return f"Correct the cell, or change the bounds of {column.header} in the contract (now{low}{high})."


def _min_max(values: pa.Array) -> tuple[Any, Any] | None:
    """Return the minimum and the maximum of numbers or dates; None if all values are null."""
    if values.null_count == len(values):
        return None
    if values.type == pa.date32():
        values = values.cast(pa.timestamp("us"))
    ends = pc.min_max(values).as_py()
    return ends["min"], ends["max"]


def _max_bytes(texts: pa.Array) -> int:
    """Return the length of the longest text, in bytes."""
    return pc.max(pc.binary_length(texts)).as_py() or 0


def _row_numbers(numbers: Sequence[int]) -> pa.Array:
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
