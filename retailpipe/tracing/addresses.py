"""Find the cell that an address names, among the sheets that are loaded.

An address is that of Excel: `sales.xlsx!F17`, `sales.xlsx!Sheet 1!F17`, `'Sheet 1'!F17`, `[sales.xlsx]Sheet 1!$F$17`.
Names may contain any character, so an address is compared with the spellings of each loaded sheet, not taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from retailpipe.errors import TraceError, UsageError
from retailpipe.keys import INPUT
from retailpipe.workbook.cells import column_index

_CELL = re.compile(r"\$?([A-Za-z]{1,3})\$?([1-9][0-9]{0,6})")
_SHOWN = 10
_FORM = "Write it as Excel does: --cell 'sales.xlsx!F17', or 'sales.xlsx!Sheet 1!F17'."


@dataclass(frozen=True)
class LoadedSheet:
    """A sheet of a current load. sheet: its name; empty for a CSV file."""

    load_id: int
    source: str
    sheet: str

    @property
    def address(self) -> str:
        """How an address of a cell in this sheet begins."""
        name = self.source.removeprefix(INPUT)
        return f"{name}!{self.sheet}" if self.sheet else name

    @property
    def spellings(self) -> set[str]:
        """All texts that may be before the `!` of an address."""
        names = {self.source, self.source.removeprefix(INPUT), self.source.rpartition("/")[2]}
        if not self.sheet:
            return names
        in_quotes = self.sheet.replace("'", "''")
        spelled = {self.sheet, f"'{in_quotes}'"}
        for name in names:
            spelled |= {name, f"{name}!{self.sheet}", f"{name}!'{in_quotes}'"}
            spelled |= {f"[{name}]{self.sheet}", f"'[{name}]{in_quotes}'"}
        return spelled


def find_cell(address: str, sheets: Sequence[LoadedSheet]) -> tuple[LoadedSheet, int, int]:
    """The sheet, the row number (Excel's, from 1) and the column index (from 0) of a cell.

    Names are compared without regard to case if none is equal.
    Raises UsageError if the address is malformed or names cells of several sheets, TraceError if it names none.
    """
    place, mark, cell = address.rpartition("!")
    found = _CELL.fullmatch(cell.strip())
    if not mark or not place or not found:
        raise UsageError(f"{address!r} is not the address of a cell in a workbook", hint=_FORM)
    matching = [sheet for sheet in sheets if place in sheet.spellings]
    folded = place.casefold()
    matching = matching or [s for s in sheets if folded in {spelling.casefold() for spelling in s.spellings}]
    if not matching:
        known = ", ".join(sheet.address for sheet in sheets[:_SHOWN]) + (", ..." if len(sheets) > _SHOWN else "")
        raise TraceError(
            f"no workbook or sheet that is loaded is called {place}",
            hint=f"Loaded are {known}. List them with `retailpipe status`." if sheets else "Nothing is loaded.",
        )
    if len(matching) > 1:
        which = ", ".join(f"{sheet.address}!{cell}" for sheet in matching[:_SHOWN])
        raise UsageError(f"{address} is in {len(matching):,} sheets", hint=f"Choose one of {which}.")
    return matching[0], int(found[2]), column_index(found[1].upper())
