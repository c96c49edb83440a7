"""The data of root's environments that are outside their folders, and how data without an environment are deleted.

Root's servers run as `nobody`. If that account cannot reach an environment's folder, the data are in a folder
/var/lib/retailpipe/postgres-NAME, and `postgres` in the environment's folder is a link to it. Beside it, the note
postgres-NAME.json says to which environment the data belong. Only root can write notes.

Data are remains if their environment does not link to them any more. Before data are deleted, the whole machine is
searched for links to them, because the environment may have been moved.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from retailpipe import register
from retailpipe.errors import ServerError
from retailpipe.folders import DATA, size_on_disk
from retailpipe.local.binaries import ROOT_HOME
from retailpipe.local.process import ServerProcess, process_in
from retailpipe.progress import NoProgress, Progress
from retailpipe.register import replace_private
from retailpipe.reports import Report

_PREFIX = "postgres-"
_DELETING = "deleting-"
_NOT_SEARCHED = ("proc", "sys", "dev")
_PROGRESS_FOLDERS = 1000


@dataclass(frozen=True)
class Remains(Report):
    """Data whose environment does not link to them.

    data: the folder with the data.
    folder: the environment's folder, as far as known.
    size: bytes on disk.
    kept: why `delete_remains` keeps the data; empty if it deletes them.
    pid: a process that uses the data.
    """

    data: str
    folder: str | None
    size: int
    kept: str = ""
    pid: int | None = None


def write_note(data: Path, folder: Path) -> None:
    """Write to which environment data in /var/lib/retailpipe belong. Raises nothing: without a note, data are kept.

    data: the folder that contains the data folder of PostgreSQL; no note is written if it is somewhere else.
    """
    if data.parent != ROOT_HOME.resolve():
        return
    with suppress(OSError):
        _write_note(data, folder.resolve())


def delete_data(home: Path) -> None:
    """Delete the data of an environment in their folder, and their note if there is one. Raises OSError.

    home: the folder that contains the data folder of PostgreSQL. It is kept if it contains anything else.
    """
    if home.parent == ROOT_HOME.resolve():
        if home.exists():
            shutil.rmtree(home)
        _note_of(home).unlink(missing_ok=True)
    elif home.is_dir():
        for each in [*home.iterdir()]:
            if each.name == "data" or is_incomplete(each):
                shutil.rmtree(each)
        if not any(home.iterdir()):
            home.rmdir()


def is_incomplete(data: Path) -> bool:
    """Whether this is a data folder that is being created, or was when its process was killed."""
    return re.fullmatch("tmp[0-9a-f]{16}", data.name) is not None


def find_remains(environments: Iterable[Path], *, home: Path = ROOT_HOME) -> list[Remains]:
    """The data to which no environment links, as far as known. Only root has such data. Raises nothing.

    environments: the folders of the known environments.
    home: the folder with the data.
    """
    if os.geteuid() != 0:
        return []
    home = home.resolve()
    linked = {_link_target(folder) for folder in environments}
    found: list[Remains] = []
    for data in sorted(home.glob(f"{_PREFIX}*")):
        if data.is_symlink() or not data.is_dir() or data in linked:
            continue
        note = _read_note(data)
        if note is None:
            found.append(
                Remains(str(data), None, size_on_disk(data), "it is not known to which environment they belong")
            )
        elif not _is_linked(note.folder, data):
            found.append(_examined(data, note))
    return found


def delete_remains(remains: Sequence[Remains], *, progress: Progress | None = None, search: str = "/") -> list[Remains]:
    """Delete the remains that no environment on this machine uses.

    search: the folder that is searched for environments that link to the data.
    Returns all the remains; those that were not deleted say in `kept` why. Raises ServerError if a deletion fails.
    """
    wanted = [each for each in remains if not each.kept]
    links = _links_to({Path(each.data) for each in wanted}, search, progress or NoProgress()) if wanted else {}
    results: list[Remains] = []
    for each in remains:
        if not each.kept:
            each = _delete(each, links.get(Path(each.data)))
        results.append(each)
    return results


def finish_deletions(*, home: Path = ROOT_HOME) -> None:
    """Delete what a killed `delete_remains` left. Raises nothing."""
    if os.geteuid() != 0:
        return
    for renamed in home.glob(f"{_DELETING}{_PREFIX}*"):
        if not renamed.is_symlink() and process_in(renamed.resolve()) is None:
            shutil.rmtree(renamed, ignore_errors=True)
    for note in home.glob(f"{_PREFIX}*.json"):
        if not note.with_suffix("").exists():
            note.unlink(missing_ok=True)


def _delete(remains: Remains, moved_to: Path | None) -> Remains:
    data = Path(remains.data)
    if moved_to:
        with suppress(OSError):
            _write_note(data, moved_to)
        register.record(moved_to)
        return replace(remains, folder=str(moved_to), kept=f"the environment {moved_to} uses them")
    renamed = data.with_name(_DELETING + data.name)
    try:
        # A server that started since the check has its working folder here. The two renames do not disturb it.
        data.rename(renamed)
        if pid := process_in(renamed):
            renamed.rename(data)
            return replace(remains, kept=f"process {pid} uses them", pid=pid)
        shutil.rmtree(renamed)
        _note_of(data).unlink(missing_ok=True)
    except FileNotFoundError:  # another process has deleted them
        return remains
    except OSError as error:
        raise ServerError(f"cannot delete {data}: {error}", hint="Try again.") from error
    return remains


@dataclass(frozen=True)
class _Note:
    """The environment's folder, and the mount point of its file system."""

    folder: Path
    mount: Path


def _write_note(data: Path, folder: Path) -> None:
    content = json.dumps({"folder": str(folder), "mount": str(_mount_of(folder))})
    note = _note_of(data)
    if not note.exists() or note.read_text() != content:
        replace_private(note, content)


def _note_of(data: Path) -> Path:
    return data.with_name(f"{data.name}.json")


def _read_note(data: Path) -> _Note | None:
    try:
        content = json.loads(_note_of(data).read_text())
        note = _Note(Path(content["folder"]), Path(content["mount"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return note if note.folder.is_absolute() else None


def _examined(data: Path, note: _Note) -> Remains:
    """The remains, with the reason to keep them if there is one that needs no search."""
    found = Remains(str(data), str(note.folder), size_on_disk(data))
    if _mount_of(note.folder) != note.mount:
        return replace(found, kept=f"the file system {note.mount} is not mounted")
    server = ServerProcess.of(data / "data")
    pid = server.pid if server else process_in(data)
    if pid is not None:
        return replace(found, kept=f"process {pid} uses them", pid=pid)
    return found


def _link_target(folder: Path) -> Path | None:
    try:
        return (folder / DATA).resolve()
    except (OSError, RuntimeError):
        return None


def _is_linked(folder: Path, data: Path) -> bool:
    """Whether the environment in a folder links to the data; also if the folder cannot be read, to be safe."""
    try:
        return (folder / DATA).resolve(strict=True) == data
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, RuntimeError):
        return True


def _mount_of(path: Path) -> Path | None:
    """The mount point of the file system that contains a path, or would contain it; None if it cannot be read."""
    try:
        return next(step for step in (path, *path.parents) if step.is_dir() and step.is_mount())
    except (OSError, StopIteration):
        return None


def _links_to(data: set[Path], search: str, progress: Progress) -> dict[Path, Path]:
    """Search for environments that link to data folders. Returns the environment's folder by data folder."""
    progress.step("searching this machine for environments that were moved", unit="folders")
    found: dict[Path, Path] = {}
    count = 0
    for count, (top, names, files) in enumerate(os.walk(search), start=1):
        if top == "/":
            names[:] = [name for name in names if name not in _NOT_SEARCHED]
        if DATA in names or DATA in files:
            target = _link_target(Path(top))
            if target and target in data:
                found[target] = Path(top)
        if count % _PROGRESS_FOLDERS == 0:
            progress.advance(_PROGRESS_FOLDERS)
    progress.advance(count % _PROGRESS_FOLDERS)
    return found
