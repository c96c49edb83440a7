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
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cached_property

from isal import isal_zlib
from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import Cell, ErrorCell
from retailpipe.workbook.container import check_area, damaged, far_cells, unreadable
from retailpipe.workbook.faults import PARSER_ERRORS, may_have_failed, told_by_parser
from retailpipe.workbook.package import Package, Sheet
from retailpipe.workbook.pieces import Grid, Piece, Place

BLOCK_SIZE = 1 << 20
"""Bytes of XML in a block: smaller ones cost more calls, larger ones more memory."""

_MORE_AHEAD = 3
"""Blocks under way at a time, beyond one for each thread: enough that none waits, few enough to be held in memory."""
_ROOM = 4 * BLOCK_SIZE
"""Bytes that a slot can take: a block is larger than BLOCK_SIZE by a row, and by what was inflated last."""
_MOST_BLANK_ROWS = 10_000
_COMPRESSED_BLOCK = 1 << 17
_PART_HEADER = 30
_ROWS_BEGIN = re.compile(rb"<sheetData\s*(/?)>")
_BLANK_ROWS = re.compile(rb"\s*(?:<row [^<>]*/>\s*)*")
_ROWS_END = re.compile(rb"</sheetData\s*>")
_SINGLE_QUOTED = re.compile(rb"<[^<>]*='")
_ROW = b"<row "
_ERROR_VALUE = re.compile(rb"<v>(?:#|Err:)[^<]*</v>")
_ROW_END = b"</row>"
# calamine looks for merged cells in a scan of the sheet of its own, which this element ends at once.
_HEAD = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><mergeCells/><sheetData>'
_TAIL = b"</sheetData></worksheet>"
_ROW_NUMBER = re.compile(rb'\s*<row [^<>]*?\br="([0-9]{1,7})"')
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


class BlockReader:
    """The used rows of a sheet in order, its header among them; an iterator.

    Threads inflate and parse some blocks ahead of the reader, and the reader himself where he would wait for them.
    Python's objects are made by the reader alone: where one core makes them and another uses them, both are slow.

    Iterating raises WorkbookError where the sheet is damaged, and NotCut, be it after some pieces, where it cannot be
    cut.
    """

    def __init__(self, package: Package, sheet: Sheet, block_size: int = BLOCK_SIZE) -> None:
        self._package = package
        self._sheet = sheet
        self._blocks = _blocks(package, sheet, block_size)
        self._next_block = threading.Lock()
        self._slots = _Slots(package, sheet)
        self._ahead: deque[Future[_Parsed]] = deque()
        self._is_closed = False
        # Daemons, as is said at Worker.
        self._threads = [threading.Thread(target=self._work, name="parse", daemon=True) for _ in range(_threads())]
        # More than there are threads, so that the reader never lacks room for the block that he waits for.
        self._room = threading.Semaphore(len(self._threads) + _MORE_AHEAD)
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Iterator[Piece]:
        return self

    def __next__(self) -> Piece:
        while self._ahead or self._help() or self._ahead:
            block = self._ahead[0]
            while not block.done() and self._help():
                pass
            parsed = self._ahead.popleft()
            self._room.release()
            if piece := parsed.result().piece():
                return piece
        raise StopIteration

    def close(self) -> None:
        """Ends the threads, whatever they are at, and gives back what they used."""
        self._is_closed = True
        self._room.release(len(self._threads))
        for thread in self._threads:
            if thread.ident:
                thread.join()
        self._blocks.close()
        self._slots.close()

    def _work(self) -> None:
        while self._room.acquire() and not self._is_closed and self._parse_next():
            pass

    def _help(self) -> bool:
        """Parses a block here, if there is one, and room for it."""
        return self._room.acquire(blocking=False) and self._parse_next()

    def _parse_next(self) -> bool:
        """Parses one block more, or puts what keeps it from being parsed in its place; False if there is none."""
        block: Future[_Parsed] = Future()
        with self._next_block:
            try:
                xml = next(self._blocks, None)
            except Exception as error:  # whatever it is: in a thread nobody hears it, and the sheet would seem to end
                block.set_exception(error)
                self._ahead.append(block)
                return True
            if xml is None:
                return False
            self._ahead.append(block)
        try:
            block.set_result(self._slots.parse(xml))
        except BaseException as error:
            block.set_exception(error)
            if not isinstance(error, Exception):  # Ctrl-C, where it is the reader who parses
                raise
        return True


def _blocks(package: Package, sheet: Sheet, size: int) -> Generator[bytes]:
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
    last_number, wanted, ended, block = 0, size, bool(begin[1]), b""
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
        if end is None and is_all and _ROWS_END.search(block):  # there are rows after the end of the rows
            raise NotCut
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
    first, last = _ends(block)
    span = last - first + 1
    if first <= after:  # out of order
        raise NotCut
    rows = block.count(_ROW)
    if rows > span:  # a row twice
        raise NotCut
    if span > _MOST_BLANK_ROWS + 4 * rows:  # calamine makes every row between
        raise NotCut
    if (b"!" in block and b"<!" in block) or (b"'" in block and _SINGLE_QUOTED.search(block)):
        raise NotCut
    return last


def _ends(block: bytes) -> tuple[int, int]:
    """The numbers of the first and the last row of a block."""
    first = _ROW_NUMBER.match(block)
    last = _ROW_NUMBER.match(block, block.rfind(_ROW))
    if first is None or last is None:
        raise NotCut
    return int(first[1]), int(last[1])


def _inflated(package: Package, part: zipfile.ZipInfo, block_size: int) -> Iterator[bytes]:
    """The bytes of a part, in blocks. Raises WorkbookError at its end if its size or checksum is wrong."""
    if part.compress_type != zipfile.ZIP_DEFLATED:
        raise NotCut
    size = checksum = 0
    inflater = isal_zlib.decompressobj(wbits=-15)
    try:
        with package.path.open("rb") as file:
            file.seek(part.header_offset)
            header = file.read(_PART_HEADER)
            if len(header) < _PART_HEADER or not header.startswith(b"PK\x03\x04"):
                raise damaged(package.file, part.filename, "it does not begin where the file says")
            file.seek(sum(struct.unpack("<26xHH", header)), os.SEEK_CUR)
            left = part.compress_size
            while not inflater.eof:
                compressed = inflater.unconsumed_tail or file.read(min(left, _COMPRESSED_BLOCK))
                if not inflater.unconsumed_tail:
                    left -= len(compressed)
                block = inflater.decompress(compressed, block_size)
                if not block and not compressed:
                    break
                size += len(block)
                checksum = isal_zlib.crc32(block, checksum)
                if block:
                    yield block
    except (isal_zlib.error, OSError) as error:
        raise damaged(package.file, part.filename, error) from error
    if not inflater.eof or size != part.file_size or checksum != part.CRC:
        raise damaged(package.file, part.filename, "its size or checksum is wrong")


class _Slots:
    """As many slots as there are threads that parse at the same time."""

    def __init__(self, package: Package, sheet: Sheet) -> None:
        self._package = package
        self._sheet = sheet
        self._free: list[_Slot] = []

    def parse(self, block: bytes) -> _Parsed:
        """Raises WorkbookError naming the rows of the block if they cannot be read."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot = _Slot(self._package, self._sheet)
        try:
            return slot.parse(block)
        finally:
            self._free.append(slot)

    def close(self) -> None:
        for slot in self._free:
            slot.close()


class _Slot:
    """A workbook whose only sheet is overwritten with one block of rows after the other."""

    def __init__(self, package: Package, sheet: Sheet) -> None:
        self._package = package
        self._sheet = sheet
        try:
            with _nameless_file() as (self._file, path):
                with os.fdopen(os.dup(self._file), "w+b") as file, zipfile.ZipFile(file, "w") as slot:
                    self._place = _fill(slot, package)
                # It keeps the file open, which has no name any more when this block ends.
                self._workbook = CalamineWorkbook.from_path(path)  # pyright: ignore[reportUnknownMemberType] - its stub
        except CalamineError as error:
            os.close(self._file)
            raise unreadable(package.file, "its styles or shared strings", error) from error
        except OSError as error:
            reason = f"{package.file} cannot be read: there is no room in {tempfile.gettempdir()} ({error.strerror})"
            raise WorkbookError(reason, hint="Free some space there, or set TMPDIR to another folder.") from error
        os.pwrite(self._file, _HEAD, self._place)
        self._place += len(_HEAD)

    def parse(self, block: bytes) -> _Parsed:
        first, last = _ends(block)
        check_area(self._package.file, self._sheet.name, first, last, far_cells(block))
        try:
            parsed = self._overwritten(block)
        except CalamineError as error:
            try:  # with a code in place of those which calamine does not know: the true one is told later
                parsed = self._overwritten(_ERROR_VALUE.sub(b"<v>#N/A</v>", block))
            except CalamineError:
                place = f"sheet {self._sheet.name!r}, rows {first} to {last}"
                raise unreadable(self._package.file, place, error) from error
        return _Parsed(self._package.file, self._sheet, block, parsed)

    def close(self) -> None:
        self._workbook.close()
        os.close(self._file)

    def _overwritten(self, block: bytes) -> CalamineSheet:
        os.pwritev(self._file, (block, _TAIL), self._place)
        return self._workbook.get_sheet_by_index(0)


class _Parsed:
    """A block as calamine parsed it, and what calamine does not tell of its cells."""

    def __init__(self, file: str, sheet: Sheet, block: bytes, parsed: CalamineSheet) -> None:
        self._file = file
        self._sheet = sheet
        self._block = block
        self._parsed = parsed

    def piece(self) -> Piece | None:
        """The rows of the block as Python's objects; None if all are blank. Raises WorkbookError."""
        grid = Grid([], _ends(self._block)[0], 0)
        if self._parsed.start:
            grid = Grid(self._parsed.to_python(), self._parsed.start[0] + 1, self._parsed.start[1])
        if may_have_failed(self._block):
            grid.put((place, cell) for place, cell in self._told.items() if isinstance(cell, ErrorCell))
        return Piece.of(grid, booleans=b"b" in self._block, digits=self._digits)

    def _digits(self, place: Place) -> str | None:
        cell = self._told.get(place)
        return cell if isinstance(cell, str) else None

    @cached_property
    def _told(self) -> dict[Place, Cell]:
        try:
            return told_by_parser([_HEAD, self._block, _TAIL])
        except PARSER_ERRORS as error:
            raise damaged(self._file, self._sheet.part.filename, error) from error


@contextmanager
def _nameless_file() -> Generator[tuple[int, str]]:
    """The descriptor of a new file, which stays open, and a path to it, which is good within alone."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("retailpipe")
        yield descriptor, f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile(prefix="retailpipe-", suffix=".xlsx") as file:
            yield os.dup(file.fileno()), file.name


def _fill(slot: zipfile.ZipFile, package: Package) -> int:
    """Writes a workbook with another's styles and strings, and gives the place of its sheet's bytes in the file."""
    with zipfile.ZipFile(package.path) as archive:
        for part, name in ((package.styles, "xl/styles.xml"), (package.shared_strings, "xl/sharedStrings.xml")):
            if part:
                with archive.open(part) as source, slot.open(name, "w") as target:
                    shutil.copyfileobj(source, target)
    settings = '<workbookPr date1904="1"/>' if package.date1904 else ""
    slot.writestr("xl/workbook.xml", _WORKBOOK.format(settings=settings))
    slot.writestr("_rels/.rels", _relations(officeDocument="xl/workbook.xml"))
    of_workbook = _relations(worksheet="worksheets/sheet1.xml", styles="styles.xml", sharedStrings="sharedStrings.xml")
    slot.writestr("xl/_rels/workbook.xml.rels", of_workbook)
    slot.writestr(_SHEET_PART, b" " * _ROOM)
    return slot.getinfo(_SHEET_PART).header_offset + _PART_HEADER + len(_SHEET_PART)


def _relations(**targets: str) -> str:
    return _RELATIONS.format("".join(_RELATION.format(kind=kind, target=target) for kind, target in targets.items()))


def _threads() -> int:
    """How many threads parse beside the reader, who parses too: one less than there are cores, but one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)
