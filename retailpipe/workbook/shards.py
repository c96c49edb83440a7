"""A sheet in blocks: inflated piece by piece, cut at the ends of rows, and each block parsed as a small sheet.

python-calamine knows whole workbooks only. So each thread that parses has a workbook of its own, the slot: the styles
and shared strings of the real one, and a single sheet whose bytes are overwritten with one block after the other.
Memory stays that of some blocks however long the sheet is, and parsing, which lets go of the interpreter's lock, runs
beside everything else.

Rows are found by looking for the bytes `<row ` and `</row>`. Where those could be something else than the tags they
look like, or a row does not tell its number, NotCut is raised, and the sheet is to be read whole.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import tempfile
import threading
import zipfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from isal import isal_zlib
from python_calamine import CalamineError, CalamineWorkbook

from retailpipe.workbook.container import check_area, damaged, far_cells, read_part, unreadable
from retailpipe.workbook.faults import digits_in_block, faults_in_block
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.pieces import Grid, Piece

BLOCK_SIZE = 1 << 20
"""Bytes of XML in a block: smaller ones cost more calls, larger ones more memory."""

_ROOM = 4 * BLOCK_SIZE
"""Bytes that a slot can take: a block is larger than BLOCK_SIZE by what the row takes at which it was cut."""
_AHEAD = 2
"""Blocks that are parsed, or wait to be, while one is being loaded."""
_COMPRESSED_BLOCK = 1 << 17
_ROWS_BEGIN = re.compile(rb"<sheetData\s*(/?)>")
_BLANK_ROWS = re.compile(rb"\s*(?:<row [^<>]*/>\s*)*")
_ROWS_END = re.compile(rb"</sheetData\s*>")
_ROW = b"<row "
_ROW_END = b"</row>"
# calamine looks for merged cells in a scan of the sheet of its own, which this element ends at once.
_HEAD = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><mergeCells/><sheetData>'
_TAIL = b"</sheetData></worksheet>"
_FIRST_ROW = re.compile(rb'\s*<row [^<>]*?\br="([0-9]{1,7})"')
_ENCODING = re.compile(rb"""<\?xml [^>]*encoding=["']([^"']+)""")
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORKBOOK = (
    f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">{{settings}}'
    '<sheets><sheet name="rows" sheetId="1" r:id="worksheet"/></sheets></workbook>'
)
_RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_RELATION = f'<Relationship Id="{{kind}}" Type="{_OFFICE}/{{kind}}" Target="{{target}}"/>'
_SHEET_PART = "xl/worksheets/sheet1.xml"


class NotCut(Exception):
    """This sheet cannot be cut into blocks safely."""


def read_in_blocks(package: Package, sheet: Sheet, block_size: int = BLOCK_SIZE) -> Generator[Piece]:
    """The used rows of a sheet in order, its header among them.

    Raises WorkbookError where the sheet is damaged, and NotCut, be it after some pieces, where it cannot be cut.
    """
    slots = _Slots(package, sheet)
    pool = ThreadPoolExecutor(max(1, _cores() - 1), thread_name_prefix="parse")
    parsing: deque[Future[Piece | None]] = deque()
    try:
        for block in _blocks(package, sheet, block_size):
            parsing.append(pool.submit(slots.parse, block))
            if len(parsing) > _AHEAD and (piece := parsing.popleft().result()):
                yield piece
        while parsing:
            if piece := parsing.popleft().result():
                yield piece
    finally:
        pool.shutdown(cancel_futures=True)
        slots.close()


def _blocks(package: Package, sheet: Sheet, size: int) -> Iterator[bytes]:
    """The rows of a sheet, cut into blocks from a `<row` to a `</row>`."""
    inflated = _inflated(package, sheet.part, size)
    rest, begin = b"", None
    while begin is None:
        block = next(inflated, b"")
        if not block or len(rest) > _ROOM // 2:
            raise NotCut
        rest += block
        begin = _ROWS_BEGIN.search(rest)
    head, rest = rest[: begin.start()], rest[begin.end() :]
    encoding = _ENCODING.search(head)
    if b"<!" in head or (encoding and encoding[1].upper() != b"UTF-8"):
        raise NotCut
    last_number, wanted, ended = 0, size, bool(begin[1])
    while not ended:
        while len(rest) < wanted and (more := next(inflated, b"")):
            rest += more
        is_all = len(rest) < wanted
        wanted = size
        cut = rest.rfind(_ROW_END) + len(_ROW_END)
        if cut >= len(_ROW_END):
            block, rest = rest[:cut], rest[cut:]
            last_number = _checked(block, last_number)
            yield block
        else:  # a row longer than a block
            wanted = len(rest) + size
        end = _ROWS_END.search(rest)
        if end and not _BLANK_ROWS.fullmatch(rest, 0, end.start()):
            raise NotCut
        ended = end is not None
        if is_all and not ended:
            raise damaged(package.file, sheet.part.filename, "it breaks off before the end of its rows")
        if wanted > _ROOM // 2 and not ended:
            raise NotCut
    for _ in inflated:  # to the end, where the checksum is
        pass


def _checked(block: bytes, after: int) -> int:
    """The number of the last row of a block; NotCut unless its rows are sure to be what they look like."""
    first = _number(_FIRST_ROW.match(block))
    last = _number(_FIRST_ROW.match(block, block.rfind(_ROW)))
    if first <= after or (b"!" in block and b"<!" in block) or (b"'" in block and b"='" in block):
        raise NotCut
    return last


def _inflated(package: Package, part: zipfile.ZipInfo, block_size: int) -> Iterator[bytes]:
    """The bytes of a part, in blocks. Raises WorkbookError at its end if its size or checksum is wrong."""
    if part.compress_type != zipfile.ZIP_DEFLATED:
        raise NotCut
    size = checksum = 0
    with zipfile.ZipFile(package.path) as archive:
        next(read_part(archive, part, package.file), None)  # sees to the part's own header
    with package.path.open("rb") as file:
        file.seek(part.header_offset)
        name_and_extra = struct.unpack("<26xHH", file.read(30))
        file.seek(sum(name_and_extra), os.SEEK_CUR)
        left = part.compress_size
        inflater = isal_zlib.decompressobj(wbits=-15)
        try:
            while not inflater.eof:
                compressed = inflater.unconsumed_tail or file.read(min(left, _COMPRESSED_BLOCK))
                if not inflater.unconsumed_tail:
                    left -= len(compressed)
                block = inflater.decompress(compressed, block_size)
                if not block and not compressed:
                    break
                size += len(block)
                checksum = isal_zlib.crc32(block, checksum)
                yield block
        except isal_zlib.error as error:
            raise damaged(package.file, part.filename, error) from error
    if not inflater.eof or size != part.file_size or checksum != part.CRC:
        raise damaged(package.file, part.filename, "its size or checksum is wrong")


class _Slots:
    """A slot for each thread that parses."""

    def __init__(self, package: Package, sheet: Sheet) -> None:
        self._package = package
        self._sheet = sheet
        self._all: list[_Slot] = []
        self._own = threading.local()

    def parse(self, block: bytes) -> Piece | None:
        """The rows of a block; None if all are blank. Raises WorkbookError naming them if they cannot be read."""
        if not hasattr(self._own, "slot"):
            self._own.slot = _Slot(self._package, self._sheet)
            self._all.append(self._own.slot)
        return self._own.slot.parse(block)

    def close(self) -> None:
        for slot in self._all:
            slot.close()


class _Slot:
    """A workbook whose only sheet is overwritten with one block of rows after the other."""

    def __init__(self, package: Package, sheet: Sheet) -> None:
        self._package = package
        self._sheet = sheet
        with tempfile.NamedTemporaryFile(prefix="retailpipe-", suffix=".xlsx") as file:
            with zipfile.ZipFile(file, "w") as slot, zipfile.ZipFile(package.path) as archive:
                for part, name in ((package.styles, "xl/styles.xml"), (package.shared_strings, "xl/sharedStrings.xml")):
                    if part:
                        with archive.open(part) as source, slot.open(name, "w") as target:
                            shutil.copyfileobj(source, target)
                settings = '<workbookPr date1904="1"/>' if package.date1904 else ""
                slot.writestr("xl/workbook.xml", _WORKBOOK.format(settings=settings))
                slot.writestr("_rels/.rels", _relations(officeDocument="xl/workbook.xml"))
                of_workbook = _relations(
                    worksheet="worksheets/sheet1.xml", styles="styles.xml", sharedStrings="sharedStrings.xml"
                )
                slot.writestr("xl/_rels/workbook.xml.rels", of_workbook)
                slot.writestr(_SHEET_PART, b" " * _ROOM)
                self._place = slot.getinfo(_SHEET_PART).header_offset + 30 + len(_SHEET_PART)
            self._file = os.dup(file.fileno())
            # The workbook keeps the file open; its name goes at the end of this block, whatever becomes of the process.
            self._workbook = CalamineWorkbook.from_path(file.name)  # pyright: ignore[reportUnknownMemberType] - its stub
        os.pwrite(self._file, _HEAD, self._place)
        self._place += len(_HEAD)

    def parse(self, block: bytes) -> Piece | None:
        os.pwrite(self._file, block + _TAIL, self._place)
        first, last = _number(_FIRST_ROW.match(block)), _number(_FIRST_ROW.match(block, block.rfind(_ROW)))
        check_area(self._package.file, self._sheet.name, first, last, far_cells(block))
        try:
            sheet = self._workbook.get_sheet_by_index(0)
        except CalamineError as error:
            raise unreadable(self._package.file, f"rows {first} to {last}", error) from error
        grid = Grid([], first, 0)
        if sheet.start:
            grid = Grid(sheet.to_python(), sheet.start[0] + 1, sheet.start[1])
        grid.put(faults_in_block(block))
        return Piece.of(grid, booleans=b"b" in block, digits=partial(digits_in_block, block))

    def close(self) -> None:
        self._workbook.close()
        os.close(self._file)


def _relations(**targets: str) -> str:
    return _RELATIONS.format("".join(_RELATION.format(kind=kind, target=target) for kind, target in targets.items()))


def _number(row: re.Match[bytes] | None) -> int:
    if row is None:
        raise NotCut
    return int(row[1])


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
