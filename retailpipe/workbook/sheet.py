"""Which sheet of a workbook holds the rows, and where in it each column of the contract stands."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from retailpipe.contract import Contract
from retailpipe.errors import SheetError
from retailpipe.workbook.cells import Cell, cell_address, column_letters, shown


@dataclass(frozen=True)
class Layout:
    """Where a sheet holds what its contract names.

    header_row: the number of the header's row, as Excel counts.
    first_column: the index of the sheet's leftmost column that is used; 0 is column A.
    headers: the texts of the header row from there on.
    positions: for each column of the contract, in its order, the index into a row as it is read.
    ignored: headers that the contract does not name.
    """

    sheet: str
    header_row: int
    first_column: int
    headers: tuple[str, ...]
    positions: tuple[int, ...]
    ignored: tuple[str, ...]

    def letters(self, position: int) -> str:
        """The letters of the column at an index into a row."""
        return column_letters(self.first_column + position)


def find_layout(
    file: str, sheet: str, header_row: int, first_column: int, cells: Sequence[Cell], contract: Contract
) -> Layout:
    """Finds each column of the contract in a header row. Raises SheetError naming all that is missing or doubled."""
    headers = tuple(shown(cell).strip() for cell in cells)
    places: dict[str, list[int]] = {}
    for position, header in enumerate(headers):
        places.setdefault(header.casefold(), []).append(position)
    wanted = {column.header.casefold() for column in contract.columns}
    unknown = [header for header in headers if header and header.casefold() not in wanted]

    problems: list[str] = []
    positions: list[int] = []
    for column in contract.columns:
        found = places.get(column.header.casefold(), [])
        if len(found) == 1:
            positions.append(found[0])
        elif found:
            cells_named = " and ".join(cell_address(header_row, first_column + position) for position in found)
            problems.append(f"column {column.header!r} stands twice, in {cells_named}")
        else:
            problems.append(f"column {column.header!r} is missing{_nearest(column.header, unknown)}")
    if problems:
        place = f"{file}, sheet {sheet!r}, row {header_row}"
        hint = "Correct the header row, or give another contract with --contract."
        raise SheetError(f"{place}: {'; '.join(problems)}", hint=hint)
    return Layout(sheet, header_row, first_column, headers, tuple(positions), tuple(unknown))


def no_single_sheet(file: str, fitting: Sequence[str], misfits: Iterable[SheetError]) -> SheetError:
    """The error for a workbook of several sheets where none, or more than one, fits the contract."""
    if fitting:
        names = ", ".join(repr(name) for name in fitting)
        return SheetError(
            f"{file}: the sheets {names} all fit the contract",
            hint="Keep one of them, or save each as a workbook of its own.",
        )
    reasons = "".join(f"\n  {misfit}" for misfit in misfits)
    return SheetError(
        f"{file}: no sheet fits the contract{reasons}",
        hint="Correct the header row of the sheet that holds the rows, or give another contract with --contract.",
    )


def _nearest(header: str, candidates: Sequence[str]) -> str:
    folded = {candidate.casefold(): candidate for candidate in candidates}
    near = difflib.get_close_matches(header.casefold(), folded, n=1, cutoff=0.6)
    return f" (is it {folded[near[0]]!r}?)" if near else ""
