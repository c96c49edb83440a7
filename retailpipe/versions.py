"""Earlier versions of the workbooks of a folder: those that were replaced or removed, newest last.

They are in the folder `replaced/`, below the workbook's key: replaced/input/2011.xlsx/20261129T101500.000000Z.xlsx.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

_VERSIONS_KEPT = 3


class Versions:
    """The earlier versions of one workbook. Every method can raise OSError.

    file: the workbook; it may be missing.
    folder: where its earlier versions are.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        self._file = file
        self._folder = folder

    def keep(self, *, spare: Path | None = None) -> Path:
        """Keep the present content as the newest earlier version, and return its file. The oldest ones are deleted.

        The workbook itself stays in place, so that there is no moment without it. A content is kept once: if it was
        kept before, by an upload that was killed or failed, it takes no place of another version.
        spare: an earlier version that is not deleted.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z{self._file.suffix}"
        same = [version for version in self.kept() if self._is_present(version)]
        if same:
            same[-1].replace(kept)
        else:
            self._copy(kept)
        for old in self.kept()[:-_VERSIONS_KEPT]:
            if old != spare:
                old.unlink(missing_ok=True)
        return kept

    def kept(self) -> list[Path]:
        """The files of the earlier versions, oldest first."""
        return sorted(file for file in self._folder.glob("*Z.*") if file.suffix == self._file.suffix)

    def remove(self) -> None:
        """Remove the workbook, and keep it as an earlier version."""
        self.keep()
        self._file.unlink()

    def find(self, content_hash: str) -> Path | None:
        """The newest earlier version with a content, whose SHA-256 is passed; None if there is none."""
        return next((file for file in reversed(self.kept()) if _sha256(file) == content_hash), None)

    def restore(self, content_hash: str = "") -> bool:
        """Exchange the workbook with its newest earlier version; return False if there is none.

        If the workbook is there, it becomes an earlier version, so that a second call undoes the first.
        content_hash: restore the version with this content instead, if there is one and the workbook has another.
        """
        earlier = [file for file in self.kept() if not self._is_present(file)]
        if not earlier:
            return False
        if content_hash and (wanted := self.find(content_hash)) in earlier:
            earlier.append(wanted)
        if self._file.exists():
            self.keep(spare=earlier[-1])
        self._file.parent.mkdir(parents=True, exist_ok=True)
        earlier[-1].replace(self._file)
        return True

    def _copy(self, kept: Path) -> None:
        try:
            os.link(self._file, kept)
        except OSError:  # a file system without hard links
            partial = kept.with_suffix(".partial")
            shutil.copy2(self._file, partial)
            partial.replace(kept)

    def _is_present(self, version: Path) -> bool:
        """Whether a version has the present content: `keep` was called, but the workbook was not replaced after it."""
        if not self._file.exists() or version.stat().st_size != self._file.stat().st_size:
            return False
        return version.samefile(self._file) or version.read_bytes() == self._file.read_bytes()


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
