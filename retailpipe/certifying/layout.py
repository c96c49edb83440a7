"""Find the sheets and columns of a contract in a workbook, and pass over the rows that the contract leaves out.

All of this is in docs/contract.md; it is written here a second time, without code of `retailpipe.workbook`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from retailpipe.certifying.cells import Cell, Row, letters, shown
from retailpipe.contract import Contract, wildcard
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.keys import SUFFIX, is_csv_name

_CONVERT = "Save it as an Excel Workbook (.xlsx) or as CSV, and load that file."


class Sheet(Protocol):
    """A sheet of a workbook, as both readers return it."""

    @property
    def name(self) -> str: ...
    @property
    def visible(self) -> bool: ...
    def rows(self) -> Iterator[Row]: ...


@dataclass
class Passed:
    """How many cells and rows of a sheet are not data: above the header, in it, and passed over by the contract."""

    cells_above: int = 0
    cells_in_header: int = 0
    cells_skipped: int = 0
    rows_skipped: int = 0


@dataclass(frozen=True)
class Table:
    """A sheet whose header fits the contract.

    columns: the index of each column of the contract in the sheet; None for an optional column that it lacks.
    headers: the header of each column of the sheet that has one.
    """

    sheet: Sheet
    header_row: int
    columns: tuple[int | None, ...]
    headers: Mapping[int, str]
    contract: Contract
    passed: Passed = field(default_factory=Passed)

    @property
    def name(self) -> str:
        return self.sheet.name

    def rows(self) -> Iterator[Row]:
        """Yield the rows of data: those below the header that the contract does not pass over. Raises WorkbookError."""
        rules = [(self._column_of(rule.column), wildcard(rule.matches)) for rule in self.contract.skip_rows]
        held: deque[Row] = deque()
        for number, cells in self.sheet.rows():
            if number < self.header_row:
                self.passed.cells_above += len(cells)
                continue
            if number == self.header_row:
                self.passed.cells_in_header += len(cells)
                continue
            held.append((number, cells))
            if len(held) <= self.contract.skip_footer:
                continue
            row = held.popleft()
            if rules and any(i is not None and form.fullmatch(shown(row[1].get(i)).strip()) for i, form in rules):
                self._pass(row)
            else:
                yield row
        for row in held:
            self._pass(row)

    def header_of(self, column: int) -> str:
        """The header of a column of the sheet, or its letters if it has none."""
        return self.headers.get(column) or letters(column)

    def _pass(self, row: Row) -> None:
        self.passed.cells_skipped += len(row[1])
        self.passed.rows_skipped += 1

    def _column_of(self, header: str) -> int | None:
        """The column of the sheet that a rule is about: a column of the contract, or any other one."""
        wanted = header.casefold()
        for column, index in zip(self.contract.columns, self.columns, strict=True):
            if wanted in (each.casefold() for each in column.headers):
                return index
        return next((index for index, text in self.headers.items() if text.casefold() == wanted), None)


@contextmanager
def opened_tables(path: Path, file: str, contract: Contract) -> Generator[list[Table]]:
    """Open a workbook and yield the tables that a contract loads, in the order of their names.

    file: the workbook's name, which decides how it is read.
    Raises WorkbookError if the second reader cannot read the workbook, SheetError if no sheet fits the contract.
    """
    if is_csv_name(file):
        from retailpipe.certifying.csv_file import csv_sheets

        yield _one_of(csv_sheets(path, file, contract), file, contract)
        return
    if not file.lower().endswith(SUFFIX):
        kind = Path(file).suffix or "a name without an ending"
        raise WorkbookError(f"{file} cannot be certified: the second reader cannot read {kind}", hint=_CONVERT)
    from retailpipe.certifying.xlsx import opened_sheets

    with opened_sheets(path, file) as sheets:
        allowed = [sheet for sheet in sheets if contract.reads_sheet(sheet.name)]
        visible = [sheet for sheet in allowed if sheet.visible]
        if contract.several_sheets:
            yield _together(visible, file, contract)
        else:
            yield _one_of(visible, file, contract, [sheet for sheet in allowed if not sheet.visible])


def _together(sheets: Sequence[Sheet], file: str, contract: Contract) -> list[Table]:
    """The tables of all sheets that are not empty. Raises SheetError if one does not fit, or all are empty."""
    found = [(sheet.name, _table(sheet, contract)) for sheet in sheets if any(True for _ in sheet.rows())]
    if misfits := [name for name, table in found if table is None]:
        raise _misfit(file, f"the headers of sheet {misfits[0]!r} do not fit")
    if not found:
        raise _misfit(file, "the headers of no sheet fit")
    return sorted((table for _, table in found if table), key=lambda table: table.name)


def _one_of(sheets: Sequence[Sheet], file: str, contract: Contract, hidden: Sequence[Sheet] = ()) -> list[Table]:
    for group in (sheets, hidden):
        found = [table for sheet in group if (table := _table(sheet, contract))]
        if len({table.name for table in found}) > 1:
            raise _misfit(file, "more than one sheet fits")
        if found:
            # A CSV file fits with several delimiters only if the contract has one column: take the widest header.
            return [max(found, key=lambda table: len(table.headers))]
    raise _misfit(file, "the headers of no sheet fit")


def _misfit(file: str, reason: str) -> SheetError:
    return SheetError(
        f"{file}: {reason} the contract, as the second reader sees it",
        hint="Compare the header with the contract: `retailpipe contract check CONTRACT WORKBOOK`.",
    )


def _table(sheet: Sheet, contract: Contract) -> Table | None:
    """The table in a sheet; None if its header does not fit the contract."""
    for number, cells in sheet.rows():
        if contract.header_row is None and not any(shown(cell).strip() for cell in cells.values()):
            continue
        if contract.header_row is None or number == contract.header_row:
            return _fitted(sheet, number, cells, contract)
        if number > contract.header_row:
            return None
    return None


def _fitted(sheet: Sheet, number: int, cells: Mapping[int, Cell], contract: Contract) -> Table | None:
    headers = {index: text for index, cell in sorted(cells.items()) if (text := shown(cell).strip())}
    columns: list[int | None] = []
    for column in contract.columns:
        names = {header.casefold() for header in column.headers}
        found = [index for index, text in headers.items() if text.casefold() in names]
        if len(found) > 1 or not (found or column.optional):
            return None
        columns.append(found[0] if found else None)
    if not any(index is not None for index in columns):
        return None
    return Table(sheet, number, tuple(columns), headers, contract)
