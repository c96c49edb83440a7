"""The folders of environments: their creation, their size, and names in them that several modules use."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

LAST_LOAD = ".last_load.json"
"""Says when the last load ended."""
PASSFILE = "pgpass"
"""The passwords of the embedded database; exists if and only if there is one."""
DATA = "postgres"
"""The folder with the data of the embedded database, or a link to it."""
_DISK_BLOCK = 512
"""The unit of st_blocks on every system, in bytes."""


def make_folder(folder: Path) -> None:
    """Create the folder of an environment, unless it exists. Raises OSError.

    A new folder gets a .gitignore that excludes all of it: an environment may be inside a project of the user, and
    holds passwords and data. A folder that already existed is not changed.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    with suppress(OSError), (folder / ".gitignore").open("x") as file:
        file.write("*\n")


def size_on_disk(folder: Path, *, without: Collection[Path] = ()) -> int:
    """The bytes that a folder takes on the disk; what cannot be read is not counted.

    without: folders below it that are not counted.
    """
    return sum(status.st_blocks for status in _statuses(folder, without)) * _DISK_BLOCK


def _statuses(folder: Path, without: Collection[Path]) -> Iterator[os.stat_result]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and Path(entry.path) in without:
                    continue
                yield entry.stat(follow_symlinks=False)
                if is_folder:
                    yield from _statuses(Path(entry.path), without)
