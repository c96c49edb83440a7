"""Find the contract's columns in the header row of a sheet, and report sheets that do not fit."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retailpipe.contract import DELIMITERS, Contract
from retailpipe.counts import noun
from retailpipe.errors import HEADER_CELLS, SheetError, WorkbookError
from retailpipe.workbook.cells import Cell, cell_address, shown

_SHEETS_SHOWN = 20
_CELLS_SHOWN = 6
_LONGEST_SHOWN = 24
_MISFIT = (
    "Correct the header row, choose another contract with --contract, or draft one for this workbook with "
    "`retailpipe contract init FILE --save`."
)
_ALIKE = 0.7
"""The ratio of difflib from which headers are alike: kode and code have 0.75, country and amount 0.62."""
_SHORTEST_ABBREVIATION = 3
_VOWELS = frozenset("aeiou")
ROWS_SEARCHED = 100
"""Rows in which the headers are searched if they are not in the row of the header."""

Row = tuple[int, Mapping[int, Cell]]
"""A row: its number, and its cells by column."""


@dataclass(frozen=True)
class Layout:
    """Which columns of a sheet hold the contract's columns. Columns of the sheet are given by index; 0 is column A.

    sheet: the sheet's name; empty for a CSV file.
    header_row: the row number of the header, as Excel shows it.
    columns: for each column of the contract, in the contract's order, the column of the sheet; None for an optional
        column that the sheet does not have.
    headers: the header of each column of the sheet that has one.
    ignored: the headers that are not in the contract.
    """

    sheet: str
    header_row: int
    columns: tuple[int | None, ...]
    headers: dict[int, str]
    ignored: tuple[str, ...]

    def index_of(self, header: str) -> int | None:
        """The column of the sheet with a header; None if there is none."""
        wanted = header.casefold()
        return next((index for index, text in self.headers.items() if text.casefold() == wanted), None)


def place_of(file: str, sheet: str) -> str:
    """A sheet of a workbook, as messages name it; a CSV file is a sheet without a name."""
    return f"{file}, sheet {sheet!r}" if sheet else file


def find_layout(
    file: str,
    sheet: str,
    header_row: int,
    cells: Mapping[int, Cell],
    contract: Contract,
    preview: Callable[[int], Sequence[Row]] | None = None,
) -> Layout:
    """Find the contract's columns in a header row.

    preview: returns the first rows of the sheet, to find the headers in another row.
    Raises SheetError, which lists all missing or repeated columns.
    """
    headers = _headers(cells)
    indices: dict[str, list[int]] = {}
    for index, header in headers.items():
        indices.setdefault(header.casefold(), []).append(index)
    wanted = {header.casefold() for column in contract.columns for header in column.headers}
    unknown = [header for header in headers.values() if header.casefold() not in wanted]

    delimiter_hint = _delimiter_hint(sheet, [*headers.values()])
    candidates = [] if delimiter_hint else unknown
    problems: list[str] = []
    columns: list[int | None] = []
    for column in contract.columns:
        found = [index for header in column.headers for index in indices.get(header.casefold(), [])]
        if len(found) > 1:
            problems.append(_repeated(column.header, sorted(found), headers, header_row))
        elif not found and not column.optional:
            problems.append(f"column {column.header!r} is missing{_nearest(column.header, candidates)}")
        columns.append(found[0] if found else None)
    has_none = columns.count(None) == len(columns)
    if not problems and has_none:
        problems.append("none of its columns is in this row")
    if problems:
        place = f"{place_of(file, sheet)}, row {header_row}"
        if has_none:
            place += f": {'the sheet' if sheet else 'the file'} does not fit contract {contract.name!r}"
        reason = f"{place}: {'; '.join(problems)}; {HEADER_CELLS} {_shortened(headers.values())}"
        found_in = _row_of_headers(preview(ROWS_SEARCHED), contract, header_row) if preview else None
        if found_in:
            reason += f"; the headers are in row {found_in}: set header_row = {found_in} in the contract"
        raise SheetError(reason, hint=delimiter_hint or _MISFIT)
    return Layout(sheet, header_row, tuple(columns), headers, tuple(unknown))


def _headers(cells: Mapping[int, Cell]) -> dict[int, str]:
    return {index: text for index, cell in cells.items() if (text := shown(cell).strip())}


def _delimiter_hint(sheet: str, headers: Sequence[str]) -> str:
    """What to do if the only header of a CSV file is several, with another delimiter between them; else empty."""
    if sheet or len(headers) != 1:
        return ""
    delimiter = max(DELIMITERS, key=headers[0].count)
    if headers[0].count(delimiter) < 2:
        return ""
    return f"The file seems to have another delimiter: set `delimiter = {DELIMITERS[delimiter]}` in the contract."


def _repeated(header: str, found: Sequence[int], headers: Mapping[int, str], row: int) -> str:
    """Describe the cells of the header row that are all headers of one column."""
    *others, last = (cell_address(row, index) for index in found)
    if len({headers[index].casefold() for index in found}) > 1:
        names = " and ".join(f"{headers[index]!r} ({cell_address(row, index)})" for index in found)
        return f"column {header!r} has several headers: {names}"
    times = "twice" if len(found) == 2 else f"{len(found)} times"
    return f"column {header!r} occurs {times}, in {', '.join(others)} and {last}"


def _shortened(texts: Iterable[str]) -> str:
    """Some texts as messages show them, shortened."""
    items = [" ".join(text.split()) for text in texts]
    shown_items = [repr(t if len(t) <= _LONGEST_SHOWN else f"{t[:_LONGEST_SHOWN]}...") for t in items[:_CELLS_SHOWN]]
    return ", ".join(shown_items) + (f" and {len(items) - _CELLS_SHOWN} more" if len(items) > _CELLS_SHOWN else "")


def _row_of_headers(rows: Sequence[Row], contract: Contract, header_row: int) -> int | None:
    """The number of the first row that holds the headers of the contract; None if there is none."""
    for number, cells in rows:
        texts = {text.casefold() for text in _headers(cells).values()}
        fits = all(
            column.optional or any(header.casefold() in texts for header in column.headers)
            for column in contract.columns
        )
        if fits and number != header_row:
            return number
    return None


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
            hint='Name one of them with `sheet` in the contract, or load them together with sheet = "all".',
        )
    reasons = _listed(misfits, others)
    return SheetError(f"{file}: no sheet fits the contract:{reasons}", hint=_MISFIT)


def several_misfits(file: str, misfits: Sequence[WorkbookError], others: int = 0) -> SheetError:
    """The error for a workbook in which some of the sheets that are loaded together do not fit the contract."""
    count = len(misfits) + others
    sheets = "1 sheet does" if count == 1 else f"{count:,} sheets do"
    return SheetError(
        f"{file}: {sheets} not fit the contract:{_listed(misfits, others)}",
        hint="Correct these sheets, or set `sheet` in the contract to a name or a pattern that leaves them out.",
    )


def no_sheet_named(file: str, contract: Contract, sheets: Sequence[tuple[str, bool]]) -> SheetError:
    """The error for a workbook without a sheet that `sheet` of the contract allows.

    sheets: the name of each sheet, and whether it is visible.
    """
    listed = [repr(name) if visible else f"{name!r} (hidden)" for name, visible in sheets[:_SHEETS_SHOWN]]
    more = f" and {len(sheets) - _SHEETS_SHOWN:,} more" if len(sheets) > _SHEETS_SHOWN else ""
    kind = "no visible sheet" if contract.several_sheets else "no sheet"
    wanted = " or ".join(map(repr, contract.sheets[:_SHEETS_SHOWN]))
    reason = f"{file} has {kind} named {wanted}; its sheets are {', '.join(listed)}{more}"
    return SheetError(reason, hint="Correct `sheet` in the contract, or the name of the sheet in the workbook.")


def _listed(misfits: Iterable[WorkbookError], others: int) -> str:
    lines = "".join(f"\n  {misfit}" for misfit in misfits)
    if others:
        lines += f"\n  and {others:,} more {noun(others, 'sheet')}"
    return lines


def _nearest(header: str, candidates: Sequence[str]) -> str:
    """Name the header that was probably meant: with a typo or a word more, written together, or abbreviated."""
    wanted = _letters(header)
    found = [(_likeness(wanted, _letters(candidate)), candidate) for candidate in candidates]
    likeness, nearest = max(found, key=lambda each: each[0], default=(0, ""))
    return f" (similar header: {nearest!r})" if likeness else ""


def _letters(header: str) -> str:
    return "".join(letter for letter in header.casefold() if letter.isalnum())


def _likeness(one: str, other: str) -> float:
    """How alike two headers are; 0 if they are not the same word."""
    ratio = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    short, long = sorted((one, other), key=len)
    return ratio if ratio >= _ALIKE or _abbreviates(short, long) else 0


def _abbreviates(short: str, long: str) -> bool:
    """Whether a header is the start of another one, such as desc, or consonants of it, such as qty for quantity."""
    if len(short) < _SHORTEST_ABBREVIATION or short[0] != long[0]:
        return False
    rest = iter(long)
    in_order = all(letter in rest for letter in short)
    return long.startswith(short) or (in_order and _VOWELS.isdisjoint(short[1:]))
