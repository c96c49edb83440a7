"""Small workbooks in memory through which python-calamine parses blocks of rows.

calamine can only read whole workbooks. A slot is a workbook with the number formats and shared strings of the real one
and a single sheet, which is overwritten with one block of rows after another.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from retailpipe.errors import WorkbookError
from retailpipe.workbook.container import unreadable
from retailpipe.workbook.markup import BadXml
from retailpipe.workbook.package import Package
from retailpipe.workbook.texts import NUL, shared_strings

_T = TypeVar("_T")
_SHEET_SIZE = 1 << 22
"""The size of a slot's sheet in bytes, unless a block needs more. A block has about 1.5 MB, plus a row, plus the last
inflated bytes."""
_COPY_BLOCK = 1 << 20
_MANY_STRINGS = 1_000_000
"""More strings than this are refused if they have less than one compressed byte each."""
# calamine scans the sheet separately for merged cells; this element ends that scan at once.
_HEAD = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><mergeCells/><sheetData>'
_TAIL = b"</sheetData></worksheet>"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORKBOOK = (
    f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">{{settings}}'
    '<sheets><sheet name="rows" sheetId="1" r:id="worksheet"/></sheets></workbook>'
)
_RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_RELATION = f'<Relationship Id="{{kind}}" Type="{_OFFICE}/{{kind}}" Target="{{target}}"/>'
_SHEET_PART = "xl/worksheets/sheet1.xml"


class Slots:
    """A pool of slots for one workbook: as many as there are threads that parse at the same time.

    Raises WorkbookError if the shared strings are damaged, or there is not enough space for them.

    strings: how many shared strings there are.
    marked: whether some of them may be marked texts (cells.py).
    """

    def __init__(self, package: Package) -> None:
        self._package = package
        self._free: list[_Slot] = []
        self.strings = 0
        self.marked = False
        with _space_explained(package), _anonymous_file() as (self._strings, _):
            try:
                self._read(package.shared_strings)
            except BaseException:
                os.close(self._strings)
                raise

    def _read(self, part: zipfile.ZipInfo | None) -> None:
        if not part:
            return
        with self._package.explained(part.filename):
            for block, count in shared_strings(self._package.part(part)):
                self.strings += count
                if self.strings > _MANY_STRINGS and self.strings > part.compress_size:
                    raise BadXml(f"it contains {self.strings:,} strings in {part.compress_size:,} bytes")
                self.marked |= NUL in block
                os.write(self._strings, block)

    def parse(self, rows: bytes) -> CalamineSheet:
        """Parse the XML of some rows. Raises CalamineError, or WorkbookError if there is no space for a slot."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot = self._new(_SHEET_SIZE)
        if len(rows) > slot.room:
            slot.close()
            slot = self._new(len(rows))
        try:
            return slot.parse(rows)
        finally:
            self._free.append(slot)

    def close(self) -> None:
        """Release the slots. No thread may be parsing."""
        for slot in self._free:
            slot.close()
        os.close(self._strings)

    def _new(self, room: int) -> _Slot:
        try:
            with _space_explained(self._package):
                return _Slot(self._package, self._strings, room)
        except CalamineError as error:
            raise unreadable(self._package.file, "its styles or shared strings", error) from error


class _Slot:
    def __init__(self, package: Package, strings: int, room: int) -> None:
        self.room = room
        with _anonymous_file() as (self._file, path):
            try:
                with os.fdopen(os.dup(self._file), "w+b") as file, zipfile.ZipFile(file, "w") as slot:
                    slot.writestr(_SHEET_PART, b" " * (len(_HEAD) + room + len(_TAIL)))
                    end = file.tell()
                    _fill(slot, package, strings)
                self._workbook = calamine(lambda: _opened(path))
                os.ftruncate(self._file, end)  # the parts after the sheet are no longer needed: calamine has read them
                self._offset = end - len(_HEAD) - room - len(_TAIL)
                os.pwrite(self._file, _HEAD, self._offset)
            except BaseException:
                os.close(self._file)
                raise
        self._offset += len(_HEAD)

    def parse(self, rows: bytes) -> CalamineSheet:
        os.pwritev(self._file, (rows, _TAIL), self._offset)
        return calamine(lambda: self._workbook.get_sheet_by_index(0))

    def close(self) -> None:
        self._workbook.close()
        os.close(self._file)


def _opened(path: str) -> CalamineWorkbook:
    return CalamineWorkbook.from_path(path)  # pyright: ignore[reportUnknownMemberType] - its stub


def calamine(call: Callable[[], _T]) -> _T:
    """Call python-calamine and return its result. Raises CalamineError for its errors, including Rust panics."""
    try:
        return call()
    except BaseException as error:
        if isinstance(error, CalamineError | MemoryError | OSError) or type(error).__module__ != "pyo3_runtime":
            raise
        raise CalamineError(str(error)) from error


def _fill(slot: zipfile.ZipFile, package: Package, strings: int) -> None:
    settings = '<workbookPr date1904="1"/>' if package.date1904 else ""
    slot.writestr("xl/workbook.xml", _WORKBOOK.format(settings=settings))
    slot.writestr("xl/styles.xml", package.styles.xml)
    slot.writestr("_rels/.rels", _relations(officeDocument="xl/workbook.xml"))
    of_workbook = _relations(worksheet="worksheets/sheet1.xml", styles="styles.xml", sharedStrings="sharedStrings.xml")
    slot.writestr("xl/_rels/workbook.xml.rels", of_workbook)
    with slot.open("xl/sharedStrings.xml", "w") as part:
        part.write(f'<sst xmlns="{_MAIN}">'.encode())
        for block in _copied(strings):
            part.write(block)
        part.write(b"</sst>")


def _copied(file: int) -> Iterator[bytes]:
    offset = 0
    while block := os.pread(file, _COPY_BLOCK, offset):
        yield block
        offset += len(block)


def _relations(**targets: str) -> str:
    return _RELATIONS.format("".join(_RELATION.format(kind=kind, target=target) for kind, target in targets.items()))


@contextmanager
def _anonymous_file() -> Generator[tuple[int, str]]:
    """Yield the descriptor of a new anonymous file, and a path to it.

    The descriptor stays open until the caller closes it; the path is valid only inside the `with` block.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("retailpipe")
        yield descriptor, f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile(prefix="retailpipe-", suffix=".xlsx") as file:
            yield os.dup(file.fileno()), file.name


@contextmanager
def _space_explained(package: Package) -> Generator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{package.file} cannot be read: no space left in {tempfile.gettempdir()} ({error.strerror})"
        raise WorkbookError(reason, hint="Free some space in that folder, or set TMPDIR to another folder.") from error
