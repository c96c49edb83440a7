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
_PORTS = range(1, 65_536)


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
            pid = pid_in(data)
            # The pid may belong to another program: it was reused, or the folder was copied from another machine or
            # container. A PostgreSQL server works in its data folder, so its working folder identifies it.
            if _working_folder(pid) != data:
                return None
        except (OSError, ValueError, OverflowError):
            return None
        # From here on a server is alive, so no damage of the file may lead to None: a start would delete the file.
        with suppress(OSError, ValueError):
            # Lines: pid, data folder, start time, port, socket folder, address, shared memory, status.
            lines = _lines(data)
            if len(lines) >= 8 and int(lines[3]) in _PORTS:
                return cls(pid, int(lines[3]), is_ready=lines[7].strip() == b"ready")
        return cls(pid, 0, is_ready=False)

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


def pid_in(data: Path) -> int:
    """The pid in the pid file of a data folder. Raises OSError, and ValueError if the file contains none."""
    return int(_lines(data)[0])


def process_in(folder: Path) -> int | None:
    """The pid of a process whose working folder is in a folder, such as a server or its children; None if none is."""
    import psutil

    for pid in psutil.pids():
        working = _working_folder(pid)
        if working and working.is_relative_to(folder):
            return pid
    return None


def _lines(data: Path) -> list[bytes]:
    """The lines of a pid file, as bytes: one of them is the data folder, whose name may have any encoding.

    Only PostgreSQL's line breaks count: the name may contain others, such as U+2028.
    """
    return (data / PID_FILE).read_bytes().split(b"\n")


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
