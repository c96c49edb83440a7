"""Skip the rows that a contract excludes: those that match its `skip_rows`, and its `skip_footer` last rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from heapq import nlargest
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.contract import Contract, SkipRule, wildcard
from retailpipe.errors import SheetError
from retailpipe.workbook.cells import Cell, shown
from retailpipe.workbook.chunks import Chunk, RepeatedCells
from retailpipe.workbook.sheet import Layout, place_of


class _Rule(NamedTuple):
    column: int
    matches: str


class RowFilter:
    """Skips rows of one sheet. Raises SheetError if a rule names a column that the sheet does not have.

    skipped: how many rows were skipped so far.
    """

    def __init__(self, file: str, layout: Layout, contract: Contract) -> None:
        self.skipped = 0
        self._footer = contract.skip_footer
        self._rules: list[_Rule] = []
        for rule in contract.skip_rows:
            index = _index_of(file, layout, contract, rule)
            if index is not None:
                self._rules.append(_Rule(index, rule.matches))

    def kept(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """Yield the other rows. Raises WorkbookError."""
        for chunk in last_rows_held(chunks, self._footer, self._count) if self._footer else chunks:
            if kept := self._without_matching(chunk):
                yield kept

    def _count(self, footer: Sequence[Chunk]) -> None:
        self.skipped += sum(len(chunk.numbers) for chunk in footer)

    def _without_matching(self, chunk: Chunk) -> Chunk | None:
        masks = [matching(chunk.column(rule.column), rule.matches) for rule in self._rules]
        masks = [mask for mask in masks if mask.true_count]
        if not masks:
            return chunk
        mask = reduce(pc.or_, masks)
        self.skipped += mask.true_count
        chunk.check()  # a selection of rows has no count of the values in its XML
        return chunk.select(pc.indices_nonzero(pc.invert(mask)).to_pylist()) if mask.true_count < len(mask) else None


def matching(cells: Sequence[Cell], pattern: str) -> pa.BooleanArray:
    """Return which cells match a pattern; "" matches blank cells. Surrounding blanks and case are ignored."""
    matches = wildcard(pattern).fullmatch

    def is_match(cell: Cell) -> bool:
        return matches(shown(cell).strip()) is not None

    if isinstance(cells, RepeatedCells):
        distinct = pa.array([is_match(cell) for cell in cells.distinct], pa.bool_())
        return pc.fill_null(distinct.take(cells.places), pa.scalar(is_match(""), pa.bool_()))
    return pa.array([is_match(cell) for cell in cells], pa.bool_())


def last_rows_held(chunks: Iterator[Chunk], count: int, ended: Callable[[Sequence[Chunk]], None]) -> Iterator[Chunk]:
    """Yield the rows of a sheet without its last `count` rows; the rows may come in any order.

    ended: called with the last rows when all others have been yielded.
    """
    held: list[Chunk] = []
    for chunk in chunks:
        chunk.check()  # a selection of rows has no count of the values in its XML
        held.append(chunk)
        first_held = min(nlargest(count, (number for each in held for number in each.numbers)))
        remaining: list[Chunk] = []
        for each in held:
            before = [place for place, number in enumerate(each.numbers) if number < first_held]
            after = [place for place, number in enumerate(each.numbers) if number >= first_held]
            if after:
                remaining.append(each.select(after))
            if before:
                yield each.select(before)
        held = remaining
    ended(held)


def _index_of(file: str, layout: Layout, contract: Contract, rule: SkipRule) -> int | None:
    """The column of the sheet that a rule is about; None if it is an optional column that the sheet does not have."""
    wanted = rule.column.casefold()
    for column, index in zip(contract.columns, layout.columns, strict=True):
        if wanted in (header.casefold() for header in column.headers):
            return index
    index = layout.index_of(rule.column)
    if index is None:
        reason = f"{place_of(file, layout.sheet)}, row {layout.header_row}: column {rule.column!r} is missing"
        raise SheetError(f"{reason}, but skip_rows uses it", hint="Correct skip_rows in the contract.")
    return index
