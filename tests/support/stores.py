"""What the tests of the store share."""

from __future__ import annotations

from pathlib import Path

UPLOAD = """
import sys
from pathlib import Path
from retailpipe.store import FolderStore
FolderStore(Path(sys.argv[1])).upload(Path(sys.argv[2]))
"""
"""Puts the file named second into the store named first."""


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
