"""The file with the events of an environment, `lineage.jsonl`: one JSON document in each line.

Several processes may append at the same time: each line is one write to a file that is open for appending, and mostly
locked. A file that is full becomes `lineage.jsonl.1`, and replaces the one before.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.folders import LINEAGE, make_folder

if TYPE_CHECKING:
    from collections.abc import Generator

_OLDER = f"{LINEAGE}.1"
_MAX_BYTES = 10_000_000
_TRIES, _PAUSE_SECONDS = 20, 0.001
"""How often a lock is tried. A stopped process may keep it, and no load waits for that."""
_log = logging.getLogger(__name__)


def events_in(folder: Path) -> list[dict[str, Any]]:
    """The events in the two files of an environment, the older ones first; none of a file that cannot be read."""
    events: list[dict[str, Any]] = []
    for name in (_OLDER, LINEAGE):
        with suppress(OSError), (folder / name).open("rb") as lines:
            for line in lines:
                with suppress(ValueError):  # a full disk has cut it off
                    events.append(json.loads(line))
    return events


class Journal:
    """The file of one environment. After a warning there is no other one: it would repeat for each event."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / LINEAGE
        self._warned = False

    def append(self, line: bytes) -> None:
        """Append a line, which ends with a line break. If that is not possible, log one warning."""
        try:
            make_folder(self._file.parent)
            self._append(line)
        except OSError as error:
            if not self._warned:
                self._warned = True
                _log.warning(
                    "cannot write the lineage events to %r: %s. The loads are not affected.",
                    str(self._file),
                    error.strerror or error,
                )

    def _append(self, line: bytes) -> None:
        with self._opened() as descriptor:
            if not self._is_full(descriptor, line):
                _write(descriptor, line)
                return
            self._rotate(descriptor)
        with self._opened() as descriptor:
            _write(descriptor, line)

    @contextmanager
    def _opened(self) -> Generator[int]:
        # Without O_NONBLOCK, a pipe of this name would let the load wait for a reader.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._file, flags, 0o600)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("it is not a regular file")
            yield descriptor
        finally:
            os.close(descriptor)

    def _is_full(self, descriptor: int, line: bytes) -> bool:
        size = os.fstat(descriptor).st_size
        return size > 0 and size + len(line) > _MAX_BYTES

    def _rotate(self, descriptor: int) -> None:
        """Rename the file, unless another process does it at the same time or has done it since it was opened."""
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self._file.stat()):
                    self._file.rename(self._file.with_name(_OLDER))


def _write(descriptor: int, line: bytes) -> None:
    """Write a line at once. If the disk was full in the middle of the line before, begin a new line."""
    if _is_locked(descriptor):
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
    if os.write(descriptor, line) < len(line):
        raise OSError("the disk is full")


def _is_locked(descriptor: int) -> bool:
    """Lock a file until it is closed, unless another process keeps it locked, or the file system has no locks.

    With the lock, no other process is in the middle of its line: half of a long one may be visible.
    """
    with suppress(OSError):
        for _ in range(_TRIES):
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            time.sleep(_PAUSE_SECONDS)
    return False
