"""Earlier versions of the workbooks of a folder: those that were replaced or removed, newest last.

They are in the folder `replaced/`, below the workbook's key: replaced/input/2011.xlsx/20261129T101500.000000Z.xlsx.
"""

from __future__ import annotations

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

    def keep(self) -> Path:
        """Keep the present content as the newest earlier version, and return its file. The oldest ones are deleted.

        The workbook itself stays in place, so that there is no moment without it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = self._folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}Z{self._file.suffix}"
        try:
            os.link(self._file, kept)
        except OSError:  # a file system without hard links
            partial = kept.with_suffix(".partial")
            shutil.copy2(self._file, partial)
            partial.replace(kept)
        for old in self.kept()[:-_VERSIONS_KEPT]:
            old.unlink(missing_ok=True)
        return kept

    def kept(self) -> list[Path]:
        """The files of the earlier versions, oldest first."""
        return sorted(file for file in self._folder.glob("*Z.*") if file.suffix == self._file.suffix)

    def remove(self) -> None:
        """Remove the workbook, and keep it as an earlier version."""
        self.keep()
        self._file.unlink()

    def restore(self) -> bool:
        """Exchange the workbook with its newest earlier version; return False if there is none.

        If the workbook is there, it becomes an earlier version, so that a second call undoes the first.
        """
        earlier = [file for file in self.kept() if not self._is_present(file)]
        if not earlier:
            return False
        if self._file.exists():
            self.keep()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        earlier[-1].replace(self._file)
        return True

    def _is_present(self, version: Path) -> bool:
        """Whether a version has the present content: `keep` was called, but the workbook was not replaced then."""
        if not self._file.exists() or version.stat().st_size != self._file.stat().st_size:
            return False
        return version.samefile(self._file) or version.read_bytes() == self._file.read_bytes()
