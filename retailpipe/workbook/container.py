"""Check that a file is an xlsx workbook of a readable size, and read the parts of its zip.

python-calamine checks neither sizes nor checksums, so this module checks both while it reads a part.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from isal import isal_zlib

from retailpipe.errors import WorkbookError

MAX_PART_SIZE = 1 << 30
"""Bytes of XML in one part. A sheet of Excel's 1,048,576 rows by 8 columns has about 310 MB."""
MAX_RATIO = 250
"""Bytes of XML for each compressed byte. Sheets have 5 to 40; the limit of deflate is 1,032."""
_RATIO_COUNTS_FROM = 1 << 23
"""Bytes. In a part that is not larger, any ratio is accepted."""
MAX_SMALL_PART_SIZE = 1 << 25
"""Bytes of a part that is neither a sheet nor the shared strings."""

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
"""Excel's limits of a sheet."""

_PART_HEADER = 30
_COMPRESSED_BLOCK = 1 << 17
_BLOCK = 1 << 20
_OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_SAVE_AS = "Open it in Excel or LibreOffice and save it as 'Excel Workbook (.xlsx)'."
SAVE_ANEW = "Open it in Excel or LibreOffice and save it again as 'Excel Workbook (.xlsx)'."
_DOWNLOAD_AGAIN = "Download the file again, or open it in Excel and save it again."


def check_container(path: Path, name: str) -> None:
    """Raise WorkbookError unless `path` is a zip that holds an xlsx workbook of a readable size.

    `name` is the file's name in messages.
    """
    try:
        if path.is_dir():
            raise WorkbookError(f"{name} is a folder, not a workbook", hint="Pass one .xlsx file.")
        with path.open("rb") as file:
            _check_magic(name, file)
        with zipfile.ZipFile(path) as archive:
            _check_names(name, {part.replace("\\", "/").lower() for part in archive.namelist()})
            for part in archive.infolist():
                _check_entry(name, part)
    except OSError as error:
        raise WorkbookError(f"cannot read {name}: {error.strerror}", hint="Check its name and permissions.") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        # zipfile raises the last two for a directory of a newer zip version, or with impossible values.
        raise WorkbookError(f"{name} is damaged or incomplete: {error}", hint=_DOWNLOAD_AGAIN) from error


def part_blocks(path: Path, part: zipfile.ZipInfo, file: str, size: int = _BLOCK) -> Iterator[bytes]:
    """Yield the bytes of a part, in blocks of at most `size` bytes.

    Raises WorkbookError if the part is damaged. A wrong size or checksum is only known at the end of the part.
    """
    found = checksum = 0
    try:
        with path.open("rb") as opened:
            opened.seek(part.header_offset)
            header = opened.read(_PART_HEADER)
            if len(header) < _PART_HEADER or not header.startswith(b"PK\x03\x04"):
                raise damaged(file, part.filename, "its position in the zip directory is wrong")
            opened.seek(sum(struct.unpack("<26xHH", header)), os.SEEK_CUR)
            stored = part.compress_type == zipfile.ZIP_STORED
            for block in (_stored if stored else _inflated)(opened, part.compress_size, size):
                found += len(block)
                if found > part.file_size:
                    break
                checksum = isal_zlib.crc32(block, checksum)
                yield block
    except (isal_zlib.error, OSError) as error:
        raise damaged(file, part.filename, error) from error
    if found != part.file_size or checksum != part.CRC:
        raise damaged(file, part.filename, "its size or checksum is wrong")


def unreadable(file: str, place: str, error: object) -> WorkbookError:
    """The error for a part, or a sheet, that cannot be read."""
    return WorkbookError(f"{file}: {place} cannot be read: {error}", hint=SAVE_ANEW)


def damaged(file: str, place: str, reason: object) -> WorkbookError:
    """Return the error for damage; `place` names a part, a sheet, or both."""
    return WorkbookError(f"{file} is damaged, in {place}: {reason}", hint=_DOWNLOAD_AGAIN)


def _stored(file: IO[bytes], left: int, size: int) -> Iterator[bytes]:
    while left and (block := file.read(min(left, size))):
        left -= len(block)
        yield block


def _inflated(file: IO[bytes], left: int, size: int) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(wbits=-15)
    while not inflater.eof:
        compressed = inflater.unconsumed_tail or file.read(min(left, _COMPRESSED_BLOCK))
        if not inflater.unconsumed_tail:
            left -= len(compressed)
        block = inflater.decompress(compressed, size)
        if block:
            yield block
        elif not compressed:
            break


def _check_magic(name: str, file: IO[bytes]) -> None:
    """Raise WorkbookError unless a file begins like a zip."""
    start = file.read(8)
    if not start:
        raise WorkbookError(f"{name} is empty (0 bytes)", hint=_DOWNLOAD_AGAIN)
    if start == _OLE2:
        if _ENCRYPTED in file.read():
            raise _protected(name)
        raise WorkbookError(f"{name} has an old binary format, such as .xls", hint=_SAVE_AS)
    if not start.startswith(b"PK"):
        raise WorkbookError(f"{name} is not an xlsx workbook: it does not begin like a zip file", hint=_SAVE_AS)


def _check_names(name: str, parts: set[str]) -> None:
    """Raise WorkbookError if the zip has a format other than xlsx. `parts`: the parts' names in lower case."""
    if any(part.endswith("workbook.bin") for part in parts):
        raise WorkbookError(f"{name} is a binary workbook (.xlsb)", hint=_SAVE_AS)
    if "mimetype" in parts or "content.xml" in parts:
        raise WorkbookError(f"{name} is an OpenDocument file (.ods), not xlsx", hint=_SAVE_AS)
    if not any(part.endswith(".xml") for part in parts) or any(part.startswith(("word/", "ppt/")) for part in parts):
        raise WorkbookError(f"{name} is a zip file without an xlsx workbook in it", hint=_SAVE_AS)


def _check_entry(name: str, part: zipfile.ZipInfo) -> None:
    if part.flag_bits & 1:
        raise _protected(name)
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        reason = f"{name}: {part.filename} is compressed with a method that xlsx does not allow"
        raise WorkbookError(reason, hint=SAVE_ANEW)
    ratio = part.file_size / max(part.compress_size, 1)
    if part.file_size > MAX_PART_SIZE or (part.file_size > _RATIO_COUNTS_FROM and ratio > MAX_RATIO):
        size = f"{part.file_size:,} bytes, {ratio:,.0f} times its compressed size"
        hint = "If you trust the file, delete the unused rows and columns of that sheet and save it again."
        raise WorkbookError(f"{name} is refused: {part.filename} would unpack to {size}", hint=hint)


def _protected(name: str) -> WorkbookError:
    hint = "Open it in Excel and remove the password: File, Info, Protect Workbook."
    return WorkbookError(f"{name} is protected by a password", hint=hint)
