"""An xlsx file as a container: is it one, is it whole, and is it of a size that can be read?

python-calamine stops reading a sheet at `</sheetData>`: it sees neither a checksum nor a missing end. Both are
checked here.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

from retailpipe.errors import WorkbookError

MAX_PART_SIZE = 1 << 30
"""Bytes of XML in one part. A sheet of Excel's 1,048,576 rows by 8 columns has about 310 MB."""
MAX_RATIO = 250
"""Bytes of XML a compressed byte may stand for. Sheets have 5 to 40; deflate cannot go beyond 1,032."""
_RATIO_COUNTS_FROM = 1 << 26

_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_BLOCK = 1 << 20
_SAVE_AS = "Open it in Excel or LibreOffice and save it as 'Excel Workbook (.xlsx)'."
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
                _check_size(name, part)
    except OSError as error:
        raise WorkbookError(f"cannot read {name}: {error.strerror}", hint="Check the file's name.") from error
    except zipfile.BadZipFile as error:
        raise WorkbookError(f"{name} is damaged or cut short: {error}", hint=_SAVE_AGAIN) from error


def check_parts(path: Path, name: str) -> None:
    """Reads each sheet and the shared strings to their end. Raises WorkbookError where bytes are missing or wrong."""
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            is_sheet = part.filename.startswith("xl/worksheets/") and part.filename.endswith(".xml")
            if not is_sheet and part.filename != "xl/sharedStrings.xml":
                continue
            try:
                with archive.open(part) as stream:
                    ends = _read_to_end(stream)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
                reason = f"{name} is damaged: {part.filename} cannot be read to its end ({error})"
                raise WorkbookError(reason, hint=_SAVE_AGAIN) from error
            if is_sheet and not ends:
                reason = f"{name} is damaged: {part.filename} breaks off before the end of its rows"
                raise WorkbookError(reason, hint=_SAVE_AGAIN)


def _read_to_end(stream: IO[bytes]) -> bool:
    """Whether the rows of a sheet are closed somewhere in its XML. zipfile compares the checksum at the end."""
    closed, tail = False, b""
    while block := stream.read(_BLOCK):
        if not closed:
            seen = tail + block
            closed = b"sheetData>" in seen and (b"/sheetData>" in seen or b":sheetData>" in seen)
            closed = closed or b"sheetData/>" in seen
            tail = block[-32:]
    return closed


def _check_magic(name: str, file: IO[bytes]) -> None:
    start = file.read(8)
    if not start:
        raise WorkbookError(f"{name} is empty: it has no bytes at all", hint=_SAVE_AGAIN)
    if start == _OLE2:
        if _ENCRYPTED in file.read():
            hint = "Open it in Excel and take the password off: File, Info, Protect Workbook."
            raise WorkbookError(f"{name} is protected by a password", hint=hint)
        raise WorkbookError(f"{name} is a workbook of the old binary format (.xls)", hint=_SAVE_AS)
    if not start.startswith(b"PK"):
        raise WorkbookError(f"{name} is not an xlsx workbook: it does not begin like one", hint=_SAVE_AS)


def _check_names(name: str, parts: set[str]) -> None:
    if "xl/workbook.bin" in parts:
        raise WorkbookError(f"{name} is a binary workbook (.xlsb)", hint=_SAVE_AS)
    if "mimetype" in parts or "content.xml" in parts:
        raise WorkbookError(f"{name} is an OpenDocument file (.ods), not xlsx", hint=_SAVE_AS)
    if "[Content_Types].xml" not in parts or not any(part.startswith("xl/") for part in parts):
        raise WorkbookError(f"{name} is a zip file, but holds no xlsx workbook", hint=_SAVE_AS)


def _check_size(name: str, part: zipfile.ZipInfo) -> None:
    ratio = part.file_size / max(part.compress_size, 1)
    if part.file_size > MAX_PART_SIZE or (part.file_size > _RATIO_COUNTS_FROM and ratio > MAX_RATIO):
        size = f"{part.file_size:,} bytes, {ratio:,.0f} times its compressed size"
        hint = "If the file is genuine, delete the unused rows and columns of that sheet and save it again."
        raise WorkbookError(f"{name} is refused: {part.filename} claims {size}", hint=hint)
