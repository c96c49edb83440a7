"""Finds and stops the process of an embedded server, given its data folder."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PID_FILE = "postmaster.pid"
STOP_SECONDS = 60
"""How long to wait for the end of a server."""


@dataclass(frozen=True)
class ServerProcess:
    """A server that is alive: its pid, its port (0 if not known yet), and whether it accepts connections."""

    pid: int
    port: int
    is_ready: bool

    @classmethod
    def of(cls, data: Path) -> ServerProcess | None:
        """What the pid file in a data folder says; None if the server that wrote it is not alive."""
        try:
            # Lines: pid, data folder, start time, port, socket folder, address, shared memory, status.
            lines = (data / PID_FILE).read_text().splitlines()
            pid = int(lines[0])
            # The pid may belong to another program: it was reused, or the folder was copied from another machine or
            # container. A PostgreSQL server works in its data folder, so its working folder identifies it.
            if _working_folder(pid) != data:
                return None
            if len(lines) < 8:
                return cls(pid, 0, is_ready=False)
            return cls(pid, int(lines[3]), is_ready=lines[7].strip() == "ready")
        except (OSError, IndexError, ValueError):
            return None

    def stop(self) -> bool:
        """Stop the server; open transactions are rolled back. Returns False if it did not end in time."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            deadline = time.monotonic() + STOP_SECONDS
            # It stays a zombie while the program that started it, such as a notebook, runs and does not wait for it.
            while process.status() != psutil.STATUS_ZOMBIE:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)
            with suppress(psutil.TimeoutExpired):
                process.wait(0)  # if this is the program that started it
        except psutil.NoSuchProcess:
            pass
        return True


def process_in(folder: Path) -> int | None:
    """The pid of a process whose working folder is in a folder, such as a server or its children; None if none is."""
    import psutil

    for pid in psutil.pids():
        working = _working_folder(pid)
        if working and working.is_relative_to(folder):
            return pid
    return None


def _working_folder(pid: int) -> Path | None:
    """Return the working folder of a process; None if there is no such process."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink()  # Linux; importing psutil takes 10% of the time of a short command
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Path(process.cwd())
    except psutil.Error:
        return None
