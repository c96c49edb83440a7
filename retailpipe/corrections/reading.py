"""Read a workbook of rejected rows that its author corrected, and find the cells that were changed."""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.bronze.quarantine import QuarantinedRow, RowKey
from retailpipe.contract import Contract
from retailpipe.corrections.form import SHEET, Headers, reading_contract
from retailpipe.corrections.loaded import Loaded
from retailpipe.corrections.rejects_workbook import rejects_workbook
from retailpipe.errors import LoadError, SheetError
from retailpipe.workbook.cells import Cell, cell_address, shown
from retailpipe.workbook.reader import open_workbook

if TYPE_CHECKING:
    from retailpipe.bronze.layouts import SheetLayout

_PROBLEMS_SHOWN = 5
_PROBLEM_SHOWN = 60
"""How many characters of a cell a problem shows."""
_NUMBER = re.compile("[0-9]{1,10}")
"""Python refuses to convert texts with thousands of digits."""
_SAME_MOMENT = timedelta(milliseconds=1)
"""Excel stores a time as a fraction of a day: saving a workbook again may change it by less than this."""


@dataclass(frozen=True)
class Corrections:
    """What a workbook of corrections says.

    rows: the rejected rows that are in it, with its changes; ordered as in the quarantine.
    has_changes: whether a cell differs from the quarantine.
    already_corrected: how many of its rows an earlier correction loaded.
    """

    rows: list[QuarantinedRow]
    has_changes: bool
    already_corrected: int


@dataclass(frozen=True)
class _FileRow:
    """A row of the file. number: in the file. cells: by the place of their column in the contract; None: no column."""

    number: int
    row: str
    sheet: str
    workbook: str
    content: str
    cells: tuple[Cell | None, ...]
    columns: tuple[int | None, ...]


def read_corrections(path: Path, name: str, file_hash: str, load: Loaded) -> Corrections:
    """Read the corrections of a load, and compare them with its quarantine.

    path: of a copy that does not change. name: of the file, for messages. file_hash: its SHA-256.
    Raises LoadError that lists what does not fit; WorkbookError, SheetError if it is not a workbook of rejected rows.
    """
    by_key = {row.key: row for row in load.rows}
    as_written = _as_written(load)
    problems: list[str] = []
    seen: dict[RowKey, int] = {}
    rows: list[QuarantinedRow] = []
    already, has_changes = 0, False
    for found in _rows_of_file(path, name, load):
        problem, key = _identified(found, load, by_key, seen)
        if key is None:
            problems.append(f"row {found.number}: {problem}")
            continue
        seen[key] = found.number
        row = by_key[key]
        changes, lacking = _changes(found, as_written[key], load, row)
        if lacking:
            problems.append(f"cell {lacking}")
        elif row.corrected_by is not None and changes:
            cell = cell_address(row.source_row, min(changes))
            problems.append(
                f"row {found.number}: row {row.source_row} was already corrected by load {row.corrected_by}, with "
                f"another value in {cell}"
            )
        elif row.corrected_by is not None:
            already += 1
        elif changes and _is_blank(row.cells | changes, load.sheet(row.sheet)):
            problems.append(f"row {found.number}: all cells are blank; delete the row if it cannot be corrected")
        else:
            if changes:
                merged = row.changes | changes
                row = replace(row, cells=row.cells | changes, changes=merged, file_hash=file_hash)
                has_changes = True
            rows.append(row)
    if problems:
        raise _refused(name, load, problems)
    order = {row.key: place for place, row in enumerate(load.rows)}
    return Corrections(sorted(rows, key=lambda row: order[row.key]), has_changes, already)


def _rows_of_file(path: Path, name: str, load: Loaded) -> Iterator[_FileRow]:
    """Yield the rows of the author's file. Raises WorkbookError, SheetError."""
    try:
        yield from _rows(path, name, load.contract)
    except SheetError as error:  # its hint is about contracts, which the author does not see
        error.hint = f"Leave sheet {SHEET!r} and its header row as they were written, or {_again(load)}"
        raise


def _is_blank(cells: Mapping[int, Cell], sheet: SheetLayout) -> bool:
    """Whether a row is blank in all columns that are loaded: no blank row of a workbook is loaded."""
    return all(cells.get(index, "") == "" for index in sheet.columns.values())


def _rows(path: Path, name: str, contract: Contract) -> Iterator[_FileRow]:
    own = len(Headers.of(contract).read)
    with closing(open_workbook(path, reading_contract(contract), name)) as reader:
        for layout, chunk in reader.chunks():
            for place, number in enumerate(chunk.numbers):
                cells = chunk.row(place)
                texts = [shown(cells.get(index or 0, "")) for index in layout.columns[:own]]
                columns = layout.columns[own:]
                values = tuple(None if index is None else cells.get(index, "") for index in columns)
                yield _FileRow(number, texts[0], texts[1], texts[2], texts[3], values, columns)


def _as_written(load: Loaded) -> dict[RowKey, tuple[Cell | None, ...]]:
    """The cells of the quarantine as a workbook of rejected rows has them, if it is read without changes."""
    if not load.rows:
        return {}
    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        path = Path(folder) / "rejects.xlsx"
        path.write_bytes(rejects_workbook(load, load.rows))
        return {(row.sheet, int(row.row)): row.cells for row in _rows(path, path.name, load.contract)}


def _identified(
    found: _FileRow, load: Loaded, by_key: dict[RowKey, QuarantinedRow], seen: dict[RowKey, int]
) -> tuple[str, RowKey | None]:
    """The row of the quarantine that a row of the file is, or what is wrong."""
    headers, entry = Headers.of(load.contract), load.entry
    if found.workbook != entry.source:
        other = found.workbook[:_PROBLEM_SHOWN] or "no workbook"
        return f"it is a row of {other} ({headers.workbook}), not of {entry.source}", None
    if found.content != entry.content_hash:
        return f"it is a row of another content of {entry.source}, which was replaced since", None
    if not _NUMBER.fullmatch(found.row):
        return f"{found.row[:_PROBLEM_SHOWN]!r} in column {headers.row} is not the number of a row", None
    key = found.sheet, int(found.row)
    if key not in by_key:
        sheet = f" of sheet {found.sheet!r}" if len(load.sheets) > 1 else ""
        return f"row {found.row}{sheet} of {entry.source} is not in the quarantine of load {entry.load_id}", None
    if key in seen:
        return f"row {found.row} of {entry.source} is also in row {seen[key]}", None
    return "", key


def _changes(
    found: _FileRow, written: tuple[Cell | None, ...], load: Loaded, row: QuarantinedRow
) -> tuple[dict[int, Cell], str]:
    """The changed cells of a row by their column in the original sheet, and a filled cell of a column it lacks."""
    layout = load.sheet(row.sheet)
    changes: dict[int, Cell] = {}
    for column, place, cell, before in zip(load.contract.columns, found.columns, found.cells, written, strict=True):
        if cell is None or place is None or _are_same(cell, "" if before is None else before):
            continue
        index = layout.columns.get(column.name)
        if index is None:
            where = f"sheet {row.sheet!r}" if row.sheet else "the workbook"
            return {}, f"{cell_address(found.number, place)}: {where} has no column {column.header}"
        changes[index] = cell
    return changes, ""


def _are_same(cell: Cell, before: Cell) -> bool:
    if isinstance(cell, date) and isinstance(before, date):
        return abs(_moment(cell) - _moment(before)) < _SAME_MOMENT
    return type(cell) is type(before) and cell == before


def _moment(cell: date) -> datetime:
    return cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day)


def _refused(name: str, load: Loaded, problems: Sequence[str]) -> LoadError:
    lines = "".join(f"\n  {problem}" for problem in problems[:_PROBLEMS_SHOWN])
    if (more := len(problems) - _PROBLEMS_SHOWN) > 0:
        lines += f"\n  and {more:,} more"
    again = _again(load)
    return LoadError(
        f"{name} cannot correct {load.entry.source}; nothing was loaded:{lines}",
        hint=f"{again[:1].upper()}{again[1:]}",
    )


def _again(load: Loaded) -> str:
    return f"write the rejected rows again: `retailpipe rejects {shlex.quote(load.entry.source)} --write FILE.xlsx`."
