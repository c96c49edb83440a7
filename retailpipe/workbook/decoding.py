"""Read a text file in its encoding, and tell files of other kinds from it."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from retailpipe.errors import WorkbookError

UTF_8 = "utf-8"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BLOCK = 1 << 20
"""Bytes that are decoded, and that Arrow parses, at a time; a row must be shorter."""
_SAVE_AS = "Open it in Excel or LibreOffice and save it as 'CSV UTF-8'."


def check_content(path: Path, file: str, encoding: str) -> None:
    """Raise WorkbookError if a file cannot be read, is empty, or begins like another kind of file."""
    try:
        if path.is_dir():
            raise WorkbookError(f"{file} is a folder, not a workbook", hint="Pass one .xlsx or .csv file.")
        with path.open("rb") as opened:
            start = opened.read(4)
    except OSError as error:
        raise WorkbookError(f"cannot read {file}: {error.strerror}", hint="Check its name and permissions.") from error
    if not start:
        raise WorkbookError(f"{file} is empty (0 bytes)", hint=_SAVE_AS)
    if start.startswith(b"PK\x03\x04"):
        raise WorkbookError(f"{file} is a zip file, not CSV", hint="If it is a workbook, rename it to .xlsx.")
    if start.startswith(UTF_16) and "16" not in encoding:
        hint = f'{_SAVE_AS} Or set encoding = "utf-16" in the contract.'
        raise WorkbookError(f"{file} is UTF-16, not {encoding.upper()}", hint=hint)


class DecodedFile(io.RawIOBase):
    """A text file as UTF-8 without a byte order mark, whatever its encoding.

    Reading raises WorkbookError if the file is not a text in this encoding.
    """

    def __init__(self, path: Path, file: str, encoding: str) -> None:
        self._file = file
        self._encoding = encoding
        self._raw = path.open("rb")
        # Excel writes a byte order mark at the start of a file in UTF-8.
        is_utf_8 = codecs.lookup(encoding).name == UTF_8
        self._decoder = codecs.getincrementaldecoder("utf-8-sig" if is_utf_8 else encoding)()
        self._line = 1
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def read(self, size: int = -1, /) -> bytes:
        while not self._rest and not self._ended:
            self._rest = self._next()
        block, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return block

    def skip(self, count: int) -> None:
        """Skip the next bytes."""
        while count and (block := self.read(count)):
            count -= len(block)

    def is_at_end(self) -> bool:
        """Whether there are no more bytes."""
        while not self._rest and not self._ended:
            self._rest = self._next()
        return not self._rest

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _next(self) -> bytes:
        block = self._raw.read(BLOCK)
        self._ended = not block
        try:
            text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            line = self._line + error.object[: error.start].count(b"\n")
            reason = f"{self._file}, line {line:,} is not {self._encoding.upper()}: {error.reason}"
            hint = f'{_SAVE_AS} Or set its encoding in the contract, such as encoding = "cp1252".'
            raise WorkbookError(reason, hint=hint) from error
        if "\0" in text:
            line = self._line + text[: text.index("\0")].count("\n")
            raise WorkbookError(f"{self._file}, line {line:,} contains a NUL character", hint=_SAVE_AS)
        self._line += text.count("\n")
        return text.encode()


def as_text(decoded: DecodedFile) -> io.TextIOWrapper:
    """The file's texts, with its line breaks as they are."""
    return io.TextIOWrapper(io.BufferedReader(decoded), UTF_8, newline="")
