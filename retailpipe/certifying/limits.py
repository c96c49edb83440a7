"""Refuse workbooks that would take too much memory or time to read, before openpyxl sees them.

openpyxl has no limits of its own: it unpacks a part of any size, and its XML parser would expand entities.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.parsers import expat

from retailpipe.errors import WorkbookError

_SAVE = "Open it in Excel or LibreOffice and save it again as 'Excel Workbook (.xlsx)'."
_MOST_PARTS = 10_000
_LARGEST_SHEET = 1 << 30
_LARGEST_TEXTS = 1 << 28
_LARGEST_OTHER = 1 << 25
"""Bytes of XML in a sheet, in the shared strings (openpyxl keeps them all in memory), and in any other part."""
_MOST_EXPANDED = 250
_EXPANDED_FROM = 1 << 23
"""A part of more bytes may be at most so many times as large as its compressed bytes."""
_BLOCK = 1 << 14


class _Seen(Exception):
    """Ends the parsing of a part: its root element is reached."""


def check_package(path: Path, file: str) -> None:
    """Raise WorkbookError if a file is not a zip of XML parts of a readable size, or a part declares entities.

    file: the workbook's name in messages.
    """
    try:
        with zipfile.ZipFile(path) as package:
            parts = package.infolist()
            if len(parts) > _MOST_PARTS:
                raise _refused(file, f"it has {len(parts):,} parts")
            names = [part.filename.lower() for part in parts]
            if len(set(names)) < len(names):
                raise _refused(file, "two of its parts have the same name")
            for part in parts:
                _check_size(part, file)
                _check_root(package, part, file)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        # zipfile has no common error: a part may be encrypted (RuntimeError), compressed in an unknown way
        # (NotImplementedError), cut off (EOFError), or have impossible offsets (OSError, ValueError).
        raise _refused(file, f"it cannot be unpacked: {error}") from error


def _check_size(part: zipfile.ZipInfo, file: str) -> None:
    name = part.filename.lower()
    most = _LARGEST_OTHER
    if "worksheets/" in name or "sheet" in name.rpartition("/")[2]:
        most = _LARGEST_SHEET
    elif "sharedstrings" in name:
        most = _LARGEST_TEXTS
    times = part.file_size / max(part.compress_size, 1)
    if part.file_size > most or (part.file_size > _EXPANDED_FROM and times > _MOST_EXPANDED):
        raise _refused(file, f"{part.filename} would unpack to {part.file_size:,} bytes, {times:,.0f} times its size")


def _check_root(package: zipfile.ZipFile, part: zipfile.ZipInfo, file: str) -> None:
    """Read a part up to its root element: a document type declaration, which could declare entities, comes before."""

    def declared(*_: object) -> None:
        raise _refused(file, f"{part.filename} has a document type declaration (DTD)")

    def reached(*_: object) -> None:
        raise _Seen

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = reached
    try:
        with package.open(part) as opened:
            while block := opened.read(_BLOCK):
                parser.Parse(block, False)
    except _Seen:
        pass
    except expat.ExpatError as error:
        if not part.filename.lower().endswith((".xml", ".rels")):
            return  # a picture, for example; if a sheet has such a name, its XML cannot be read either
        raise _refused(file, f"{part.filename} is not XML: {error}") from error


def _refused(file: str, reason: str) -> WorkbookError:
    return WorkbookError(f"{file} cannot be certified: {reason}", hint=_SAVE)
