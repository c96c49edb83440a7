"""The folders of environments: their creation, their size, and names in them that several modules use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from retailpipe.errors import UsageError

LAST_LOAD = ".last_load.json"
"""The file with the time at which the last load ended."""
PASSFILE = "pgpass"
"""The file with the passwords of the embedded database. It exists if and only if that database does."""
DATA = "postgres"
"""The folder with the data of the embedded database, or a link to it."""
LINEAGE = "lineage.jsonl"
"""The file with the events of OpenLineage; the older ones are in the same name with .1."""
LOG = "postgres.log"
"""The log of the embedded server."""
_FOLDERS = ("input", "replaced", "contracts", "models", "dbt", "tmp", "certificates")
"""The other folders of an environment."""
_DISK_BLOCK = 512
"""The unit of st_blocks on every system, in bytes."""


def check_name(folder: Path) -> None:
    """Raise UsageError if the path of an environment's folder is not UTF-8, or has a line break.

    dbt, the driver and HTML pages take only texts that are UTF-8. PostgreSQL writes the path into a file with one value
    per line, and overwrites its own port if the path has several lines.
    """
    try:
        # Also the path without links, because PostgreSQL writes that one.
        names = b"".join(map(os.fsencode, (folder, os.path.realpath(folder)))).decode()
    except ValueError:  # not UTF-8, or with a NUL character
        reason = "is not UTF-8"
    else:
        if "\n" not in names:
            return
        reason = "has a line break"
    raise UsageError(
        f"the path of folder {str(folder)!r} {reason}, so it cannot be an environment",
        hint="Pass another folder with --local, or rename this one.",
    )


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


def environment_size(folder: Path) -> int:
    """The bytes that an environment takes on the disk, without other files of the user in its folder.

    That folder may be a whole home directory, which would take minutes to count.
    """
    folders = [folder / name for name in _FOLDERS if not (folder / name).is_symlink()]
    size = sum(map(size_on_disk, [*folders, folder / DATA]))  # the data may be behind a link
    for name in (LOG, f"{LOG}.1", LINEAGE, f"{LINEAGE}.1"):
        with suppress(OSError):
            size += (folder / name).lstat().st_blocks * _DISK_BLOCK
    return size


def size_on_disk(folder: Path) -> int:
    """The bytes that a folder takes on the disk; what cannot be read is not counted."""
    return sum(status.st_blocks for status in _statuses(folder)) * _DISK_BLOCK


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    yield from _statuses(Path(entry.path))
