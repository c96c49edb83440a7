"""Helpers for tests of the folder store."""

from __future__ import annotations

from pathlib import Path

UPLOAD = """
import sys
from pathlib import Path
from retailpipe.store import FolderStore
FolderStore(Path(sys.argv[1])).upload(Path(sys.argv[2]), replace=True)
"""
"""Uploads a file to a folder store. Arguments: the store's folder, the file."""


def files(folder: Path) -> list[str]:
    """The relative paths of all files below a folder, sorted, except the .gitignore of an environment."""
    found = (path for path in folder.rglob("*") if path.is_file() and path != folder / ".gitignore")
    return sorted(path.relative_to(folder).as_posix() for path in found)
