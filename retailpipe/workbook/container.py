"""An xlsx file as a container: is it one, is it whole, and is it of a size that can be read?

python-calamine stops reading a sheet at `</sheetData>`, and sees neither a checksum nor a missing end: both are checked
here.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc

from retailpipe.errors import WorkbookError
from retailpipe.workbook.cells import column_index

MAX_PART_SIZE = 1 << 30
"""Bytes of XML in one part. A sheet of Excel's 1,048,576 rows by 8 columns has about 310 MB."""
MAX_RATIO = 250
"""Bytes of XML a compressed byte may stand for. Sheets have 5 to 40; deflate cannot go beyond 1,032."""
_RATIO_COUNTS_FROM = 1 << 26

MAX_AREA = 32_000_000
"""Cells of the rectangle that holds all of a sheet's, or a block's: each takes some 32 bytes, used or not."""
MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384

_FAR_CELL = re.compile(rb'r="([A-Z]{2,}|[A-Z][0-9]{7,})')
_ROW_NUMBER = re.compile(rb'<(?:\w+:)?row [^<>]*?\br="([0-9]{1,9})"')
_SHEET_CLOSED = re.compile(rb"</(?:\w+:)?sheetData\s*>|<(?:\w+:)?sheetData\s*/>")
_STRINGS_CLAIMED = re.compile(rb'ount="([0-9]{1,18})"')
_LONGEST_TAG = 1024
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_BLOCK = 1 << 20
_SAVE_AS = "Open it in Excel or LibreOffice and save it as 'Excel Workbook (.xlsx)'."
_SAVE_ANEW = "Open it in Excel or LibreOffice and save it anew as 'Excel Workbook (.xlsx)'."
_SAVE_AGAIN = "Fetch the file again, or open it in Excel and save it anew."


def check_container(path: Path, name: str) -> None:
    """Raises WorkbookError unless `path` is a zip that holds an xlsx workbook of a size that can be read.

    `name` is what messages call the file.
    """
    try:
        if path.is_dir():
            raise WorkbookError(f"{name} is a folder, not a workbook", hint="Name one .xlsx file.")
        with path.open("rb") as file:
            _check_magic(name, file)
        with zipfile.ZipFile(path) as archive:
            _check_names(name, set(archive.namelist()))
            for part in archive.infolist():
                _check_entry(name, part)
    except OSError as error:
        raise WorkbookError(f"cannot read {name}: {error.strerror}", hint="Check the file's name.") from error
    except (zipfile.BadZipFile, NotImplementedError) as error:  # the latter is zipfile's for a later version of zip
        raise WorkbookError(f"{name} is damaged or cut short: {error}", hint=_SAVE_AGAIN) from error


@dataclass(frozen=True)
class Seen:
    """What was seen of a sheet in reading it to its end.

    marked: the bytes occur that failed cells have: the `#` of an error value, or the tag of a formula.
    last_row, far_cells: how far its cells reach.
    """

    marked: bool
    last_row: int
    far_cells: set[bytes]


def check_sheet(archive: zipfile.ZipFile, part: zipfile.ZipInfo, file: str) -> Seen:
    """Reads a sheet to its end. Raises WorkbookError where bytes are missing or wrong."""
    closed, marked, last_row, far = False, False, 0, set[bytes]()
    tail = b""
    for block in read_part(archive, part, file):
        seen = tail + block
        closed = closed or bool(_SHEET_CLOSED.search(seen))
        marked = marked or any(mark in seen for mark in (b"#", b"<f", b":f"))
        for row in _ROW_NUMBER.finditer(seen):
            if row.end() > len(tail):  # else it was seen with the block before
                number = int(row[1])
                if number <= last_row:
                    raise damaged(file, part.filename, f"row {number} stands after row {last_row}")
                last_row = number
        far |= far_cells(seen)
        tail = block[-_LONGEST_TAG:]
    if not closed:
        raise damaged(file, part.filename, "it breaks off before the end of its rows")
    return Seen(marked, last_row, far)


def check_shared_strings(archive: zipfile.ZipFile, part: zipfile.ZipInfo, file: str) -> None:
    """Reads the shared strings to their end. Raises WorkbookError where they are damaged, or claim the impossible."""
    closed, tail = False, b""
    for block in read_part(archive, part, file):
        if not tail:
            # calamine makes room for as many as are claimed, which can end the process.
            claimed = max((int(number) for number in _STRINGS_CLAIMED.findall(block[:_LONGEST_TAG])), default=0)
            if claimed > MAX_AREA:
                raise damaged(file, part.filename, f"it claims {claimed:,} strings")
        closed = closed or b"sst>" in tail + block or b"/>" in block[-8:]
        tail = block[-8:]
    if not closed:
        raise damaged(file, part.filename, "it breaks off before its end")


def check_small_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, file: str) -> None:
    """Reads a part to its end, and with it its checksum. Raises WorkbookError where bytes are missing or wrong."""
    for _ in read_part(archive, part, file):
        pass


def read_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, file: str) -> Iterator[bytes]:
    """The bytes of a part, in blocks. Raises WorkbookError where they are damaged, be it at its end."""
    try:
        with archive.open(part) as stream:
            while block := stream.read(_BLOCK):
                yield block
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise damaged(file, part.filename, error) from error


def _protected(name: str) -> WorkbookError:
    hint = "Open it in Excel and take the password off: File, Info, Protect Workbook."
    return WorkbookError(f"{name} is protected by a password", hint=hint)


def far_cells(xml: bytes) -> set[bytes]:
    """What stands far out in some XML of rows: the letters of columns from AA on, and cells of rows from 1,000,000."""
    # Arrow's regular expressions take a third of the time of Python's, and let other threads work.
    if not pc.match_substring_regex(pa.scalar(xml), _FAR_CELL.pattern.decode()).as_py():
        return set()
    return set(_FAR_CELL.findall(xml))


def check_area(file: str, sheet: str, first_row: int, last_row: int, far: set[bytes]) -> None:
    """Raises WorkbookError if these rows span more cells than can be held: calamine makes one for each place.

    A single cell far to the right is enough for that, and its allocation would end the process.
    """
    letters = [cell.decode() for cell in far if cell.isalpha()]
    farthest = max(letters, key=lambda column: (len(column), column), default="Z")
    last_row = max([last_row, *(int(cell[1:]) for cell in far if not cell.isalpha())])
    rows, columns = last_row - first_row + 1, column_index(farthest) + 1
    if rows * columns > MAX_AREA or last_row > MAX_ROWS or columns > MAX_COLUMNS:
        reason = f"{file}, sheet {sheet!r}: its cells reach from row {first_row} to row {last_row} and to {farthest}"
        hint = f"Delete what stands far from the rows, such as in {farthest}, and save the workbook."
        raise WorkbookError(reason, hint=hint)


def unreadable(file: str, place: str, error: Exception) -> WorkbookError:
    return WorkbookError(f"{file}: {place} cannot be read: {error}", hint=_SAVE_ANEW)


def damaged(file: str, part: str, reason: object) -> WorkbookError:
    return WorkbookError(f"{file} is damaged, in {part}: {reason}", hint=_SAVE_AGAIN)


def _check_magic(name: str, file: IO[bytes]) -> None:
    start = file.read(8)
    if not start:
        raise WorkbookError(f"{name} is empty: it has no bytes at all", hint=_SAVE_AGAIN)
    if start == _OLE2:
        if _ENCRYPTED in file.read():
            raise _protected(name)
        raise WorkbookError(f"{name} is a file of an old binary format, such as .xls", hint=_SAVE_AS)
    if not start.startswith(b"PK"):
        raise WorkbookError(f"{name} is not an xlsx workbook: it does not begin like one", hint=_SAVE_AS)


def _check_names(name: str, parts: set[str]) -> None:
    if "xl/workbook.bin" in parts:
        raise WorkbookError(f"{name} is a binary workbook (.xlsb)", hint=_SAVE_AS)
    if "mimetype" in parts or "content.xml" in parts:
        raise WorkbookError(f"{name} is an OpenDocument file (.ods), not xlsx", hint=_SAVE_AS)
    if "[Content_Types].xml" not in parts or not any(part.startswith("xl/") for part in parts):
        raise WorkbookError(f"{name} is a zip file, but holds no xlsx workbook", hint=_SAVE_AS)


def _check_entry(name: str, part: zipfile.ZipInfo) -> None:
    if part.flag_bits & 1:
        raise _protected(name)
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise WorkbookError(f"{name}: {part.filename} is compressed in a way xlsx does not know", hint=_SAVE_ANEW)
    ratio = part.file_size / max(part.compress_size, 1)
    if part.file_size > MAX_PART_SIZE or (part.file_size > _RATIO_COUNTS_FROM and ratio > MAX_RATIO):
        size = f"{part.file_size:,} bytes, {ratio:,.0f} times its compressed size"
        hint = "If the file is genuine, delete the unused rows and columns of that sheet and save it again."
        raise WorkbookError(f"{name} is refused: {part.filename} claims {size}", hint=hint)
