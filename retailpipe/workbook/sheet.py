"""Find the contract's columns in the header row of a sheet, and report sheets that do not fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from retailpipe.contract import Contract
from retailpipe.counts import noun
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.cells import Cell, cell_address, shown

_SHEETS_SHOWN = 20


@dataclass(frozen=True)
class Layout:
    """Which columns of a sheet hold the contract's columns. Columns of the sheet are given by index; 0 is column A.

    header_row: the row number of the header, as Excel shows it.
    columns: for each column of the contract, in the contract's order, the column of the sheet.
    headers: the header of each column of the sheet that has one.
    ignored: the headers that are not in the contract.
    """

    sheet: str
    header_row: int
    columns: tuple[int, ...]
    headers: dict[int, str]
    ignored: tuple[str, ...]


def find_layout(file: str, sheet: str, header_row: int, cells: Mapping[int, Cell], contract: Contract) -> Layout:
    """Find the contract's columns in a header row. Raises SheetError, which lists all missing or repeated columns."""
    headers = {index: text for index, cell in cells.items() if (text := shown(cell).strip())}
    indices: dict[str, list[int]] = {}
    for index, header in headers.items():
        indices.setdefault(header.casefold(), []).append(index)
    wanted = {column.header.casefold() for column in contract.columns}
    unknown = [header for header in headers.values() if header.casefold() not in wanted]

    problems: list[str] = []
    columns: list[int] = []
    for column in contract.columns:
        found = indices.get(column.header.casefold(), [])
        if len(found) == 1:
            columns.append(found[0])
        elif found:
            *others, last = (cell_address(header_row, index) for index in found)
            times = "twice" if len(found) == 2 else f"{len(found)} times"
            problems.append(f"column {column.header!r} occurs {times}, in {', '.join(others)} and {last}")
        else:
            problems.append(f"column {column.header!r} is missing{_nearest(column.header, unknown)}")
    if problems:
        place = f"{file}, sheet {sheet!r}, row {header_row}"
        hint = "Correct the header row, or choose another contract with --contract."
        raise SheetError(f"{place}: {'; '.join(problems)}", hint=hint)
    return Layout(sheet, header_row, tuple(columns), headers, tuple(unknown))


def no_single_sheet(file: str, fitting: Sequence[str], misfits: Iterable[WorkbookError], others: int = 0) -> SheetError:
    """The error for a workbook in which no sheet, or more than one, fits the contract.

    misfits: the errors of sheets that do not fit, to list them.
    others: how many more sheets do not fit.
    """
    if fitting:
        names = ", ".join(repr(name) for name in fitting[:_SHEETS_SHOWN])
        if len(fitting) > _SHEETS_SHOWN:
            names += f" and {len(fitting) - _SHEETS_SHOWN:,} more"
        return SheetError(
            f"{file}: more than one sheet fits the contract: {names}",
            hint="Keep only one of these sheets in the workbook, or save each in a workbook of its own.",
        )
    reasons = "".join(f"\n  {misfit}" for misfit in misfits)
    if others:
        reasons += f"\n  and {others:,} more {noun(others, 'sheet')}"
    return SheetError(
        f"{file}: no sheet fits the contract:{reasons}",
        hint="Correct the header row of the sheet that holds the rows, or choose another contract with --contract.",
    )


def _nearest(header: str, candidates: Sequence[str]) -> str:
    folded = {candidate.casefold(): candidate for candidate in candidates}
    near = difflib.get_close_matches(header.casefold(), folded, n=1, cutoff=0.6)
    return f" (similar header: {folded[near[0]]!r})" if near else ""
