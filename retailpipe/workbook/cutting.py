"""Cut the rows of a sheet into blocks of XML that begin and end between rows."""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass

from retailpipe.errors import WorkbookError
from retailpipe.workbook.container import MAX_COLUMNS, damaged
from retailpipe.workbook.elements import LARGEST_ELEMENT, ElementBlocks, last_tag
from retailpipe.workbook.markup import BadXml
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.plainness import PlainRows

_DIMENSION = re.compile(rb"""<(?:[^\s<>/:!?]+:)?dimension\s+ref=["'][A-Z]+[0-9]+:[A-Z]+([0-9]{1,7})["']""")


@dataclass(frozen=True)
class Block:
    """The XML of some whole rows of a sheet.

    before: the number of the row before the first.
    plain: finds the plain rows in it.
    """

    xml: bytes
    before: int
    plain: PlainRows


class SheetCutter:
    """Cuts the rows of a sheet into blocks of about `size` bytes of XML.

    Consecutive rows with the same number stay in one block.

    strings: how many shared strings the workbook has.
    rows_claimed: the number of the last row according to the sheet's `dimension` element, which may be wrong; None if
        there is none. Known once the first block has been yielded.
    """

    def __init__(self, package: Package, sheet: Sheet, strings: int, size: int) -> None:
        self.rows_claimed: int | None = None
        self._package = package
        self._sheet = sheet
        self._strings = strings
        self._size = size

    def blocks(self) -> Generator[Block]:
        """Yield the blocks. Raises WorkbookError if the sheet is damaged."""
        part = self._sheet.part
        if not part:
            raise self.damaged("the part that holds its cells is missing")
        elements = ElementBlocks(self._package.part(part, self._size), "sheetData", "row", self._size, depth=2)
        plain: PlainRows | None = None
        held, before, last = b"", 0, 0
        try:
            for block in elements:
                if plain is None:
                    dates, blanks = self._package.styles.dates, elements.preserves_blanks
                    plain = PlainRows(elements.prefix, self._strings, dates, preserves_blanks=blanks)
                    claimed = _DIMENSION.search(elements.head)
                    self.rows_claimed = int(claimed[1]) if claimed else None
                if held and plain.first_number(block, last) == last:
                    held, block = _joined(held, block, plain, last)
                if held:
                    yield Block(held, before, plain)
                    before = last
                held = block
                last = plain.last_number(held, before)
        except BadXml as error:
            raise self.damaged(error) from error
        if held and plain:
            yield Block(held, before, plain)

    def damaged(self, reason: object) -> WorkbookError:
        """The error for damage in the sheet."""
        part = f"{self._sheet.part.filename}, " if self._sheet.part else ""
        return damaged(self._package.file, f"{part}sheet {self._sheet.name!r}", reason)


def _joined(held: bytes, block: bytes, plain: PlainRows, number: int) -> tuple[bytes, bytes]:
    """Move the rows with this number from the end of one block to the start of the next."""
    cut, moved = len(held), 0
    while (start := last_tag(held, plain.opening, cut)) >= 0 and plain.first_number(held[start:cut], 0) == number:
        cut, moved = start, moved + 1
        if moved > MAX_COLUMNS:
            raise BadXml(f"row {number} occurs more than {MAX_COLUMNS:,} times")
    if len(held) - cut + len(block) > LARGEST_ELEMENT:
        raise BadXml(f"row {number} is longer than {LARGEST_ELEMENT:,} bytes")
    return held[:cut], held[cut:] + block
