"""Parse blocks of a sheet's XML into chunks of cells.

There are three ways to read a block, which all return the same cells: by its distinct cells (repeats.py), by
python-calamine directly (plainness.py), or by python-calamine after a rewrite (rewriting.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from python_calamine import CalamineError, CalamineSheet

from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import Cell, unmarked
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.container import unreadable
from retailpipe.workbook.cutting import Block, SheetCutter
from retailpipe.workbook.markup import BadXml
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.plainness import Rows
from retailpipe.workbook.repeats import Repeats
from retailpipe.workbook.rewriting import Rewriter, Rewritten
from retailpipe.workbook.slots import Slots, calamine


@dataclass(frozen=True)
class Parsed:
    """Rows that python-calamine has parsed; `chunk` converts them to Python objects.

    sheet: calamine's result; None if `chunk` is to parse the rewritten rows, to save memory until then.
    first: for plain rows, the row number of calamine's row 1.
    plain: the XML of plain rows; empty for rewritten rows.
    rewritten: the rewritten rows; None for plain rows.
    marked: whether some of the texts may be marked (cells.py).
    """

    parser: BlockParser
    sheet: CalamineSheet | None
    block: Block
    first: int = 1
    plain: bytes = b""
    rewritten: Rewritten | None = None
    marked: bool = False

    def chunk(self) -> Chunk | None:
        """Return the rows that are not blank; None if there are none. Raises WorkbookError."""
        sheet = self.sheet
        if self.rewritten and not sheet:
            sheet = self.parser.parse_rewritten(self.rewritten)
        if not sheet or not sheet.start:
            return None
        try:
            rows = calamine(sheet.to_python)
        except (CalamineError, OverflowError) as error:
            raise self.parser.unreadable(error) from error
        columns: list[Sequence[Cell]] = list(zip(*rows, strict=True))
        row, column = sheet.start
        if self.marked:
            columns = [[unmarked(cell) for cell in cells] for cells in columns]
        if self.rewritten:
            if len(rows) != len(self.rewritten.numbers) or len(columns) != len(self.rewritten.columns):
                raise self.parser.unreadable("python-calamine did not return all of its rows")
            chunk = Chunk(columns, self.rewritten.columns, self.rewritten.numbers, b't="b"' in self.rewritten.xml)
        else:
            numbers = range(row + self.first, row + self.first + len(rows))
            # Rows without row numbers are consecutive, so no address can occur twice.
            values = self.block.plain.values(self.plain) if self.first == 1 else None
            indices = range(column, column + len(columns))
            chunk = Chunk(columns, indices, numbers, b"b" in self.plain, values, lambda: self.parser.recount(self))
        return chunk.without_blank_rows()


class Way(Enum):
    """How blocks are read. Only QUICKEST is used in production; tests compare the other ways with it."""

    QUICKEST = "by distinct cells if that is faster, plain rows directly, other rows rewritten"
    DISTINCT = "by distinct cells, even if that is slower"
    PLAIN = "plain rows directly, other rows rewritten"
    REWRITTEN = "all rows rewritten"


class BlockParser:
    """Parses the blocks of a sheet. Several threads may use it at the same time."""

    def __init__(
        self, package: Package, sheet: Sheet, slots: Slots, cutter: SheetCutter, way: Way = Way.QUICKEST
    ) -> None:
        self._package = package
        self._sheet = sheet
        self._slots = slots
        self._cutter = cutter
        self._rewriter = Rewriter(slots.strings, package.styles.dates)
        self._rewrite_all = way is Way.REWRITTEN
        may_repeat = way in (Way.QUICKEST, Way.DISTINCT)
        self._repeats = Repeats(self._parse_new, always=way is Way.DISTINCT) if may_repeat else None

    def parse(self, block: Block, *, in_order: bool = False) -> Sequence[Parsed | Chunk]:
        """Parse the rows of a block; the result has one item or more.

        in_order: whether the rows must be in the order of their numbers.
        Raises WorkbookError.
        """
        if self._repeats and not in_order and (chunk := self._repeats.read(block)):
            return [chunk]
        return self._parse(block, in_order)

    def _parse_new(self, block: Block) -> list[Chunk]:
        return [chunk for parsed in self._parse(block) if (chunk := parsed.chunk())]

    def _parse(self, block: Block, in_order: bool = False) -> list[Parsed]:
        rewrite_all = self._rewrite_all or in_order
        rows = Rows.none_plain(block.xml) if rewrite_all else block.plain.split(block.xml, block.before)
        if rows.plain and block.plain.may_hide_a_value(rows.plain):
            rows = Rows.none_plain(block.xml)
        rewritten = self._rewritten(rows.others, block)
        # If a rewritten cell's address lies in a plain row, only a rewrite of all rows shows whether an address occurs
        # twice.
        if any(not rows.numbers.isdisjoint(each.numbers) for each in rewritten):
            rows, rewritten = Rows.none_plain(block.xml), self._rewritten(block.xml, block)
        parsed: list[Parsed] = []
        if rows.plain:
            try:
                sheet = self._slots.parse(rows.plain)
                parsed.append(
                    Parsed(self, sheet, block, rows.first, rows.plain, marked=rows.marked or self._slots.marked)
                )
            except CalamineError:  # for example bytes that are not UTF-8: expat reports what is wrong
                rewritten = self._rewritten(block.xml, block)
        # There are several if the rows have few columns in common. Parsing all of them now would take much memory.
        is_one = len(rewritten) == 1
        for each in rewritten:
            sheet = self.parse_rewritten(each) if is_one else None
            marked = each.marked or self._slots.marked
            parsed.append(Parsed(self, sheet, block, rewritten=each, marked=marked))
        return parsed

    def parse_rewritten(self, rows: Rewritten) -> CalamineSheet:
        """Parse rewritten rows with python-calamine. Raises WorkbookError."""
        try:
            return self._slots.parse(rows.xml)
        except CalamineError as error:
            raise self.unreadable(error) from error

    def recount(self, parsed: Parsed) -> None:
        """Raise WorkbookError if an address occurs twice in plain rows."""
        if not parsed.block.plain.has_no_address_twice(parsed.plain):
            self._rewritten(parsed.plain, parsed.block)

    def unreadable(self, error: object) -> WorkbookError:
        """The error for rows that python-calamine cannot read."""
        return unreadable(self._package.file, f"sheet {self._sheet.name!r}", error)

    def _rewritten(self, rows: bytes, block: Block) -> list[Rewritten]:
        """Rewrite rows of a block. Raises WorkbookError if they are damaged."""
        blanks = block.plain.preserves_blanks
        try:
            return list(self._rewriter.rewrite(rows, block.before, preserves_blanks=blanks)) if rows else []
        except BadXml as error:
            raise self._cutter.damaged(error) from error
