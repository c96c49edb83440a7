"""Lists the local environments of this machine, and stops their servers."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from retailpipe import register
from retailpipe.environment import default_folder, expanded
from retailpipe.errors import ServerError, StoreError
from retailpipe.folders import DATA, LAST_LOAD, PASSFILE, environment_size
from retailpipe.keys import INPUT
from retailpipe.local.process import ServerProcess
from retailpipe.local.remains import Remains, find_remains
from retailpipe.local.server import EmbeddedServer
from retailpipe.reports import EnvironmentReport
from retailpipe.store import FolderStore


def environments() -> list[EnvironmentReport]:
    """The environments of this user on this machine, sorted by folder. Starts no server, raises nothing.

    They are the registered ones, the default one, and those in folders directly below the default folder. An
    environment is registered when its server starts or a workbook is loaded.
    """
    return [_report(folder) for folder in folders()]


def remains() -> list[Remains]:
    """The data of root's servers to which no environment links, as far as known. Raises nothing."""
    return find_remains(folders())


def folders() -> list[Path]:
    """The folders of the environments, sorted."""
    default: list[Path] = []
    below: list[Path] = []
    with suppress(OSError, RuntimeError):  # the user may have no home directory, or cannot read the default folder
        home = expanded(default_folder()).resolve()
        default = [home] if _has_any(home, PASSFILE, LAST_LOAD, INPUT) else []
        below = [child.resolve() for child in home.iterdir() if _has_any(child, PASSFILE, LAST_LOAD)]
    registered = [folder for folder in register.folders() if _has_any(folder, PASSFILE, LAST_LOAD, DATA, INPUT)]
    return sorted({*default, *below, *registered})


def stop_all() -> tuple[list[str], list[ServerError]]:
    """Stop the servers of all environments of this user, and those of remains.

    Returns the folders of the servers that were stopped, and an error for each that could not be stopped.
    """
    stopped: list[str] = []
    errors: list[ServerError] = []
    for folder in folders():
        try:
            if EmbeddedServer(folder).stop():
                stopped.append(str(folder))
        except ServerError as error:
            errors.append(error)
    for each in remains():
        process = ServerProcess.of(Path(each.data) / "data") if each.folder else None
        if process and process.stop():
            stopped.append(each.data)
    return stopped, errors


def _report(folder: Path) -> EnvironmentReport:
    server = EmbeddedServer(folder)
    store = FolderStore(folder)
    last_load = store.last_load()
    process = server.process
    if process:
        state = "running" if process.is_ready else "starting"
    elif server.has_database:
        state = "stopped"
    else:
        state = "own" if last_load else "none"
    try:
        workbooks = len(store.workbooks())
    except (StoreError, OSError):
        workbooks = None
    port, pid = (process.port or None, process.pid) if process else (None, None)
    return EnvironmentReport(str(folder), state, port, pid, environment_size(folder), workbooks, last_load)


def _has_any(folder: Path, *names: str) -> bool:
    try:
        return folder.is_dir() and any(os.path.lexists(folder / name) for name in names)
    except OSError:
        return False
