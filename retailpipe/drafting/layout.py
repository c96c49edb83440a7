"""Find the header of a sheet, the sheets with the same header, and the rows below the data that are not data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retailpipe.contract import SkipRule
from retailpipe.drafting.profiles import ColumnProfile, is_label
from retailpipe.workbook.cells import Cell, shown
from retailpipe.workbook.tables import Table

ROWS_PREVIEWED = 100
TAIL = 10
"""How many rows at the end of a sheet are searched for totals and notes."""
_WIDE, _LESS_WIDE = 0.7, 0.5
"""Shares of the cells of the widest row: a header has at least so many."""
_SPARSE = 0.5
"""The share of the usual number of filled cells: a total or a note has at most so many."""
_SHORTEST_SUFFIX = 3
"""Characters; two names often end in the same letter by chance."""
_TOTAL = re.compile(
    r"(?:grand |sub ?|sous-)?(?:totals?|totaux|totale?|totaal)\b|(?:gesamt|zwischen|end)?summen?\b|gesamt\w*"
    r"|insgesamt|sum\b",
    re.IGNORECASE,
)
_NOTE = re.compile(r"[^0-9:]*:?")

Row = Mapping[int, Cell]


@dataclass(frozen=True)
class Header:
    """The header of a sheet.

    row: its row number.
    is_first: whether all rows above it are blank.
    texts: its texts by column, without those that occur twice.
    repeated: the texts that occur twice, by column.
    is_doubtful: whether the row also holds numbers or dates, because no wide row holds only labels.
    """

    table: Table
    row: int
    is_first: bool
    texts: dict[int, str]
    repeated: dict[int, str]
    is_doubtful: bool

    @property
    def key(self) -> tuple[int, frozenset[str]]:
        """Equal for sheets that one contract can read: 0 or the row, and the texts."""
        return (0 if self.is_first else self.row), frozenset(text.casefold() for text in self.texts.values())


def find_header(table: Table) -> Header | None:
    """Find the header in the first rows of a sheet: the first wide row that holds only labels. None for an empty sheet.

    If there is none, it is the first wide row. Raises WorkbookError.
    """
    rows = [(number, _filled(cells)) for number, cells in table.preview(ROWS_PREVIEWED)]
    rows = [(number, cells) for number, cells in rows if cells]
    if not rows:
        return None
    width = max(len(cells) for _, cells in rows)
    for share, only_labels in ((_WIDE, True), (_LESS_WIDE, True), (_WIDE, False)):
        for place, (number, cells) in enumerate(rows):
            if len(cells) >= share * width and (not only_labels or all(map(is_label, cells.values()))):
                return _header(table, number, place == 0, cells, not only_labels)
    return None


def pattern_for(names: Sequence[str], others: Sequence[str]) -> str | None:
    """A pattern with one * that matches all of some names, and none of the others; None if there is none."""
    first, last = min(names), max(names)
    prefix = next((first[:n] for n in range(len(first), 0, -1) if last.startswith(first[:n])), "")
    reversed_names = [name[::-1] for name in names]
    first, last = min(reversed_names), max(reversed_names)
    suffix = next((first[:n][::-1] for n in range(len(first), 0, -1) if last.startswith(first[:n])), "")
    for start, end in ((prefix, ""), ("", suffix if len(suffix) >= _SHORTEST_SUFFIX else "")):
        if (start or end) and not any(name.startswith(start) and name.endswith(end) for name in others):
            return f"{start}*{end}"
    return None


def rules_for(tail: Sequence[Row], header: Header, profiles: Mapping[int, ColumnProfile]) -> list[SkipRule]:
    """The rules that skip the totals and notes in the last rows of a sheet.

    tail: the last rows, in order.
    profiles: of the rows above them, by column.
    """
    always = [index for index, profile in profiles.items() if profile.cells and not profile.blanks]
    rows = max((profile.cells for profile in profiles.values()), default=0)
    usual = sum(profile.cells - profile.blanks for profile in profiles.values()) / rows if rows else len(profiles)
    rules: list[SkipRule] = []
    for row in reversed(tail):
        cells = {index: cell for index, cell in _filled(row).items() if index in header.texts}
        rule = _rule(cells, _filled(row), header, always, usual)
        if not rule:
            break
        rules.append(rule)
    return list(dict.fromkeys(reversed(rules)))


def _rule(cells: Row, whole: Row, header: Header, always: Sequence[int], usual: float) -> SkipRule | None:
    """The rule for a row that holds totals or a note; None if it is a row of data.

    cells: the filled cells of the columns with a header. whole: those of all columns.
    always: the columns that are not blank in any row of data.
    usual: the average number of filled cells in a row of data.
    """
    blank = [index for index in always if index not in cells]
    is_sparse = bool(blank) and len(whole) <= max(1, _SPARSE * usual)
    for index, cell in cells.items():
        text = shown(cell).strip()
        total = _TOTAL.match(text) if isinstance(cell, str) else None
        if total and (blank or not _TOTAL.sub("", text).strip(" :.0123456789")):
            return SkipRule(header.texts[index], f"{total[0]}*")
    if not is_sparse and not (blank and len(blank) == len(always)):
        return None
    for index, cell in cells.items():
        note = _NOTE.match(shown(cell).strip()) if isinstance(cell, str) and is_label(cell) else None
        if note and len(note[0].strip()) > 2 and index not in blank:
            return SkipRule(header.texts[index], re.sub(r"[*?]", "?", note[0]) + "*")
    return SkipRule(header.texts[blank[0]], "")


def _header(table: Table, row: int, is_first: bool, cells: Row, is_doubtful: bool) -> Header:
    texts = {index: shown(cell).strip() for index, cell in cells.items()}
    folded = [text.casefold() for text in texts.values()]
    repeated = {index: text for index, text in texts.items() if folded.count(text.casefold()) > 1}
    once = {index: text for index, text in texts.items() if index not in repeated}
    return Header(table, row, is_first, once, repeated, is_doubtful)


def _filled(cells: Row) -> dict[int, Cell]:
    return {index: cell for index, cell in cells.items() if shown(cell).strip()}
