"""Blocks of a sheet's rows to cells."""

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
    """Rows that python-calamine has parsed; `chunk` makes Python's objects of them.

    sheet: what it made of them; None where that is left to the consumer, to save memory.
    rewritten: how they were rewritten; None for plain rows.
    first: the number of calamine's first row, for plain rows.
    marked: whether there are marks in them.
    """

    parser: BlockParser
    sheet: CalamineSheet | None
    block: Block
    first: int = 1
    plain: bytes = b""
    rewritten: Rewritten | None = None
    marked: bool = False

    def chunk(self) -> Chunk | None:
        """The rows that are not blank; None if there is none. Raises WorkbookError."""
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
                raise self.parser.unreadable("rows are missing from what was read")
            chunk = Chunk(columns, self.rewritten.columns, self.rewritten.numbers, b't="b"' in self.rewritten.xml)
        else:
            numbers = range(row + self.first, row + self.first + len(rows))
            # Rows that do not tell their numbers follow each other, so that no address can stand twice.
            values = self.block.plain.values(self.plain) if self.first == 1 else None
            indices = range(column, column + len(columns))
            chunk = Chunk(columns, indices, numbers, b"b" in self.plain, values, lambda: self.parser.recount(self))
        return chunk.without_blank_rows()


class Way(Enum):
    """How blocks are read. All but the quickest way are there so that tests can compare them."""

    QUICKEST = "by their distinct cells where that pays, as they stand where they are plain, or else rewritten"
    DISTINCT = "by their distinct cells, even where that does not pay"
    PLAIN = "as they stand where they are plain"
    REWRITTEN = "rewritten"


class BlockParser:
    """Parses the blocks of a sheet, in several threads if need be."""

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
        """The rows of a block, in one part or more; `in_order` has them in that of their numbers.

        Raises WorkbookError.
        """
        if self._repeats and not in_order and (chunk := self._repeats.read(block)):
            return [chunk]
        return self._parse(block, in_order)

    def _parse_new(self, block: Block) -> list[Chunk]:
        return [chunk for part in self._parse(block) if (chunk := part.chunk())]

    def _parse(self, block: Block, in_order: bool = False) -> list[Parsed]:
        rewrite_all = self._rewrite_all or in_order
        rows = Rows.none_plain(block.xml) if rewrite_all else block.plain.split(block.xml, block.before)
        if rows.plain and block.plain.may_hide_a_value(rows.plain):
            rows = Rows.none_plain(block.xml)
        rewritten = self._rewritten(rows.others, block)
        # Where some rewritten cells are of plain rows, by their addresses, only both together show whether an address
        # stands twice.
        if any(not rows.numbers.isdisjoint(part.numbers) for part in rewritten):
            rows, rewritten = Rows.none_plain(block.xml), self._rewritten(block.xml, block)
        parsed: list[Parsed] = []
        if rows.plain:
            try:
                sheet = self._slots.parse(rows.plain)
                parsed.append(
                    Parsed(self, sheet, block, rows.first, rows.plain, marked=rows.marked or self._slots.marked)
                )
            except CalamineError:  # bytes that are not UTF-8, say: the XML parser tells what is wrong
                rewritten = self._rewritten(block.xml, block)
        # Many parts are of rows that have few columns in common: all of them parsed would take much memory.
        is_one = len(rewritten) == 1
        for part in rewritten:
            sheet = self.parse_rewritten(part) if is_one else None
            marked = part.marked or self._slots.marked
            parsed.append(Parsed(self, sheet, block, rewritten=part, marked=marked))
        return parsed

    def parse_rewritten(self, part: Rewritten) -> CalamineSheet:
        """Raises WorkbookError."""
        try:
            return self._slots.parse(part.xml)
        except CalamineError as error:
            raise self.unreadable(error) from error

    def recount(self, parsed: Parsed) -> None:
        """Raises WorkbookError if an address stands twice in plain rows."""
        if not parsed.block.plain.has_no_address_twice(parsed.plain):
            self._rewritten(parsed.plain, parsed.block)

    def unreadable(self, error: object) -> WorkbookError:
        return unreadable(self._package.file, f"sheet {self._sheet.name!r}", error)

    def _rewritten(self, rows: bytes, block: Block) -> list[Rewritten]:
        """Rewrites rows of a block."""
        blanks = block.plain.preserves_blanks
        try:
            return list(self._rewriter.rewrite(rows, block.before, preserves_blanks=blanks)) if rows else []
        except BadXml as error:
            raise self._cutter.damaged(error) from error
