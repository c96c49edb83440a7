"""Compare a workbook, read a second time, with what its load left in bronze and in the quarantine.

All three come in the order of sheets and rows, so they are merged: no more than one batch of each is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from retailpipe.certifying.cells import Cell, Place, Row, letters, shown
from retailpipe.certifying.layout import Table
from retailpipe.certifying.reports import Cells, Difference, Rows
from retailpipe.certifying.stored import RejectedRow, StoredRow
from retailpipe.certifying.values import Broken, ColumnRules
from retailpipe.progress import Progress

MOST_DIFFERENCES = 20
"""Differences that are kept; all are counted."""
_PROGRESS_ROWS = 2_000
_NULL = "null"

_Kept = TypeVar("_Kept", StoredRow, RejectedRow)


class _Ahead(Generic[_Kept]):
    """The rows of one side. head: the next one; None at the end."""

    def __init__(self, rows: Iterator[_Kept]) -> None:
        self._rows = rows
        self.head = next(rows, None)

    def take_before(self, sheet: str, row: int) -> Iterator[_Kept]:
        while (head := self.head) is not None and (head.sheet, head.row) < (sheet, row):
            self.head = next(self._rows, None)
            yield head

    def take(self, sheet: str, row: int) -> list[_Kept]:
        taken: list[_Kept] = []
        while (head := self.head) is not None and head.row == row and head.sheet == sheet:
            taken.append(head)
            self.head = next(self._rows, None)
        return taken

    def rest(self) -> Iterator[_Kept]:
        while (head := self.head) is not None:
            self.head = next(self._rows, None)
            yield head


@dataclass
class Comparison:
    """What was found. different: how many differences there are; `differences` has the first of them."""

    rows: Rows = field(default_factory=Rows)
    cells: Cells = field(default_factory=Cells)
    differences: list[Difference] = field(default_factory=list[Difference])
    different: int = 0

    def add(self, difference: Difference) -> None:
        self.different += 1
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(difference)


class Comparer:
    """Compares the tables of one workbook. file: its key, for the places of differences."""

    def __init__(self, file: str, tables: Sequence[Table], progress: Progress) -> None:
        self._file = file
        self._tables = tables
        self._progress = progress
        self._rules = [ColumnRules(column) for column in tables[0].contract.columns]
        self._corrected: dict[tuple[str, int, int], tuple[str | None, ...]] = {}
        self.found = Comparison()

    def compare(
        self,
        stored: Iterator[StoredRow],
        rejected: Iterator[RejectedRow],
        corrected: Mapping[tuple[str, int, int], tuple[str | None, ...]] | None = None,
    ) -> Comparison:
        """Read all rows of all three sides.

        corrected: the values of corrected rows in bronze, by sheet, row and load.
        Raises WorkbookError, WarehouseError.
        """
        self._corrected = dict(corrected or {})
        found, rows, cells = self.found, self.found.rows, self.found.cells
        bronze, quarantine = _Ahead(stored), _Ahead(rejected)
        for table in self._tables:
            sheet, done = table.name, 0
            for row in table.rows():
                number = row[0]
                if bronze.head and (bronze.head.row < number or bronze.head.sheet != sheet):
                    self._extra(bronze.take_before(sheet, number), "bronze")
                if quarantine.head and (quarantine.head.row < number or quarantine.head.sheet != sheet):
                    self._extra(quarantine.take_before(sheet, number), "the quarantine")
                self._compare_row(table, row, bronze.take(sheet, number), quarantine.take(sheet, number))
                done += 1
                if done % _PROGRESS_ROWS == 0:
                    self._progress.advance(_PROGRESS_ROWS)
            self._progress.advance(done % _PROGRESS_ROWS)
            rows.in_workbook += done
            rows.skipped += table.passed.rows_skipped
            cells.above_header += table.passed.cells_above
            cells.in_header += table.passed.cells_in_header
            cells.skipped += table.passed.cells_skipped
        self._extra(bronze.rest(), "bronze")
        self._extra(quarantine.rest(), "the quarantine")
        for (sheet, number, load_id), values in sorted(self._corrected.items()):
            what = f"the row is in bronze as corrected by load {load_id}, but the quarantine does not say so"
            value = next((each for each in values if each), "")
            found.add(Difference("row", self._file, sheet, f"A{number}", "", value, what))
        return found

    def _compare_row(
        self, table: Table, row: Row, stored: Sequence[StoredRow], rejected: Sequence[RejectedRow]
    ) -> None:
        number, cells = row
        wanted = [None if index is None else cells.get(index) for index in table.columns]
        values = [rules.evaluate(cell) for rules, cell in zip(self._rules, wanted, strict=True)]
        filled = len(wanted) - wanted.count(None)
        counts = self.found.cells
        counts.left_out += len(cells) - filled
        counts.blank += len(wanted) - filled
        if stored:
            counts.in_bronze += filled
        elif rejected:
            counts.in_quarantine += filled
        else:
            counts.lost += filled
        if len(stored) == 1 and not rejected and stored[0].values == tuple(values):  # nearly always
            self.found.rows.in_bronze += 1
            return
        self.found.rows.in_bronze += len(stored)
        corrected = sum(each.corrected_by is not None for each in rejected)
        self.found.rows.corrected += corrected
        self.found.rows.in_quarantine += len(rejected) - corrected
        copies = len(stored) + len(rejected)
        if copies != 1:
            where = "is neither in bronze nor in the quarantine"
            if copies:
                where = f"is {len(stored)} times in bronze and {len(rejected)} times in the quarantine"
            first = min(cells)
            self._differ("row", table, number, first, shown(cells[first]), "", f"the row {where}")
        for each in stored:
            self._compare_values(table, row, values, each)
        for each in rejected:
            self._compare_rejected(table, row, values, each)

    def _compare_values(self, table: Table, row: Row, values: Sequence[str | Broken | None], stored: StoredRow) -> None:
        number, cells = row
        for rules, index, value, other in zip(self._rules, table.columns, values, stored.values, strict=True):
            name = rules.column.name
            in_bronze = _NULL if other is None else other
            if isinstance(value, Broken):
                what = f"the row breaks the contract ({value}), but it is in bronze"
                self._differ(name, table, number, index, shown(cells.get(index or 0)), in_bronze, what)
            elif value != other:
                in_workbook = _NULL if value is None else value
                what = f"the workbook has {in_workbook!r}, bronze has {in_bronze!r} in {name}"
                self._differ(name, table, number, index, in_workbook, in_bronze, what)

    def _compare_rejected(
        self, table: Table, row: Row, values: Sequence[str | Broken | None], rejected: RejectedRow
    ) -> None:
        number, cells = row
        texts = _texts(table, cells)
        broken = next((place for place, value in enumerate(values) if isinstance(value, Broken)), None)
        if broken is None:
            what = "the row follows the contract, but it is in the quarantine"
            self._differ("row", table, number, min(cells), shown(cells[min(cells)]), rejected.raw_value, what)
            return
        index = table.columns[broken]
        if rejected.corrections or rejected.corrected_by is not None:
            self._compare_corrected(table, row, rejected)
        else:
            self._compare_reason(table, number, broken, cells, rejected)
        for header in sorted(texts.keys() | rejected.texts.keys()):
            here_text, there_text = texts.get(header, ""), rejected.texts.get(header, "")
            if here_text != there_text:
                place = next((i for i, text in table.headers.items() if text == header), index)
                what = f"the workbook has {here_text!r}, the quarantine has {there_text!r} in {header}"
                self._differ(header, table, number, place, here_text, there_text, what)

    def _compare_reason(
        self, table: Table, number: int, broken: int, cells: Mapping[int, Cell | None], rejected: RejectedRow
    ) -> None:
        """Compare the first cell that breaks the contract with the reason that the quarantine has."""
        index = table.columns[broken]
        address = Place(table.name, number, index or 0).address
        here = self._rules[broken].column.name, address, _storable(shown(cells.get(index or 0)))
        there = rejected.column, rejected.cell, rejected.raw_value
        if here != there:
            what = f"the workbook has {here[2]!r}, the quarantine has {there[2]!r} in {there[1]}"
            self._differ(here[0], table, number, index, here[2], there[2], what)

    def _compare_corrected(self, table: Table, row: Row, rejected: RejectedRow) -> None:
        """Compare a row with its corrections: with bronze if they were loaded, otherwise with the reason."""
        number, cells = row
        corrected = {**cells, **rejected.corrections}
        values = [
            rules.evaluate(None if index is None else corrected.get(index))
            for rules, index in zip(self._rules, table.columns, strict=True)
        ]
        broken = next((place for place, value in enumerate(values) if isinstance(value, Broken)), None)
        load_id = rejected.corrected_by
        if load_id is None:
            if broken is None:
                what = "the row follows the contract with its corrections, but it is rejected"
                self._differ("row", table, number, min(cells), shown(cells[min(cells)]), rejected.raw_value, what)
            else:
                self._compare_reason(table, number, broken, corrected, rejected)
            return
        stored = self._corrected.pop((table.name, number, load_id), None)
        if stored is None:
            what = f"the quarantine says that load {load_id} corrected the row, but bronze does not have it"
            self._differ("row", table, number, min(cells), shown(cells[min(cells)]), "", what)
            return
        for rules, index, value, other in zip(self._rules, table.columns, values, stored, strict=True):
            if value != other:
                here = str(value) if isinstance(value, Broken) else _NULL if value is None else value
                there = _NULL if other is None else other
                what = f"corrected, the cell is {here!r}; bronze has {there!r} in {rules.column.name}, load {load_id}"
                self._differ(rules.column.name, table, number, index, here, there, what)

    def _extra(self, rows: Iterator[StoredRow] | Iterator[RejectedRow], where: str) -> None:
        for row in rows:
            if where == "bronze":
                self.found.rows.in_bronze += 1
            elif isinstance(row, RejectedRow) and row.corrected_by is not None:
                self.found.rows.corrected += 1
            else:
                self.found.rows.in_quarantine += 1
            value = next((each for each in row.values if each), "") if isinstance(row, StoredRow) else row.raw_value
            what = f"the row is in {where}, but not in the workbook"
            self.found.add(Difference("row", self._file, row.sheet, f"A{row.row}", "", value or "", what))

    def _differ(
        self, column: str, table: Table, number: int, index: int | None, workbook: str, warehouse: str, what: str
    ) -> None:
        cell = Place(table.name, number, index or 0).address
        self.found.add(Difference(column, self._file, table.name, cell, workbook, warehouse, what))


def _texts(table: Table, cells: Mapping[int, Cell]) -> dict[str, str]:
    """The cells of a row by header, as the quarantine keeps them; a repeated header is replaced by its letters."""
    texts: dict[str, str] = {}
    for index in sorted({*cells, *(each for each in table.columns if each is not None)}):
        header = table.header_of(index)
        text = shown(cells.get(index))
        name = letters(index) if header in texts else header
        texts[_storable(name)] = _storable(text)
    return texts


def _storable(text: str) -> str:
    """A text as PostgreSQL can store it: with the symbol U+2400 for a NUL character."""
    return text.replace("\0", "\u2400")
