"""Where workbooks lie: each under a key such as input/online_retail.xlsx.

A store gives snapshots: a copy of one content, whose hash is known, that nobody else changes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from retailpipe.errors import SourceNotFound, StoreError, UsageError
from retailpipe.keys import INPUT, SUFFIX, is_workbook_name
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport, Report

_BLOCK = 1 << 20
_TRIES = 5
_SETTLED_SECONDS = 2.0
"""Within this time of a change, another one may have the same time: some file systems count in two seconds."""


@dataclass(frozen=True)
class Stored(Report):
    """A workbook in the store; its size in bytes, its time in UTC.

    etag: a mark that changes with the content: a bucket's ETag, or what a folder's file system knows of the file.
    """

    key: str
    size: int
    modified: datetime
    etag: str = ""

    def __str__(self) -> str:
        return f"{self.key} ({self.size:,} bytes)"


@dataclass(frozen=True)
class Snapshot:
    """One content of a workbook, in a file that stays as it is while the snapshot is held.

    content_hash: SHA-256 in hexadecimal digits.
    etag: the store's mark of this content, as in Stored; empty where that is not certain.
    """

    key: str
    path: Path
    content_hash: str
    etag: str = ""


class Store(Protocol):
    """Workbooks by key. Every method raises StoreError where the store cannot be used."""

    @property
    def address(self) -> str:
        """Where the store is, for people."""
        ...

    def upload(self, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Stored:
        """Puts a file under input/ and its own name, in one step: nobody ever sees a part of it.

        replace: whether another content of that name may be replaced, where a store asks: a bucket does, a folder,
            which its owner looks after, does not.
        Raises UsageError if the file is none, or its name does not end in .xlsx.
        """
        ...

    def key_of(self, path: Path) -> str:
        """The key under which `upload` puts a file, or under which it lies here already."""
        ...

    def workbooks(self) -> list[Stored]:
        """All workbooks, by key."""
        ...

    def snapshot(
        self, key: str, *, at_hand: Path | None = None, progress: Progress | None = None
    ) -> AbstractContextManager[Snapshot]:
        """A snapshot of a workbook. Raises SourceNotFound if there is none of that key.

        at_hand: a file that may have the same content, where reading it is quicker.
        """
        ...

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Tells whoever sees the store and not the warehouse that a content is loaded. Raises nothing."""
        ...

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        """Acknowledges the loads, each with its workbook as it was loaded, that are not acknowledged yet."""
        ...


class FolderStore:
    """A store in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"

    @property
    def address(self) -> str:
        return str(self._folder)

    def holds(self, path: Path) -> bool:
        """Whether a file lies in this store already."""
        return path.resolve().is_relative_to((self._folder / INPUT).resolve())

    def key_of(self, path: Path) -> str:
        if not self.holds(path):
            return INPUT + path.name
        return INPUT + path.resolve().relative_to((self._folder / INPUT).resolve()).as_posix()

    def upload(self, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Stored:
        check_uploadable(path)
        target = self._folder / INPUT / path.name
        if self.holds(path):
            return self._stored(self._folder / self.key_of(path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = self._copied(path, INPUT + path.name).path
            with copy.open("rb") as file:
                os.fsync(file.fileno())
            copy.replace(target)
        except OSError as error:
            message = f"cannot put {path} into {self._folder}: {error.strerror}"
            raise StoreError(message, hint=remedy(error)) from error
        return self._stored(target)

    def workbooks(self) -> list[Stored]:
        found: list[Stored] = []
        for folder, _, names in os.walk(self._folder / INPUT, onerror=_unreadable):
            files = [Path(folder) / name for name in names if is_workbook_name(name)]
            found += [self._stored(file) for file in files if file.is_file()]
        return sorted(found, key=lambda stored: stored.key)

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Whoever sees the folder sees the warehouse: there is nothing to tell."""

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        """There are no receipts in a folder."""

    @contextmanager
    def snapshot(
        self, key: str, *, at_hand: Path | None = None, progress: Progress | None = None
    ) -> Generator[Snapshot]:
        file = self._folder / key
        nothing = SourceNotFound(
            f"there is no {key} in {self._folder}",
            hint="See what there is with `retailpipe status`, or name a file to upload it.",
        )
        _check_encoding(key)
        parts = PurePosixPath(key)
        if not key.startswith(INPUT) or ".." in parts.parts or parts.as_posix() != key or "\0" in key:
            raise nothing
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise nothing
            snapshot = self._copied(file, key)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise nothing from None
            raise StoreError(f"cannot read {file}: {error.strerror}", hint=remedy(error)) from error
        try:
            yield snapshot
        finally:
            snapshot.path.unlink(missing_ok=True)

    def _stored(self, file: Path) -> Stored:
        about = file.stat()
        key = file.relative_to(self._folder).as_posix()
        return Stored(key, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC), _mark(about))

    def _copied(self, file: Path, key: str) -> Snapshot:
        self._temporary.mkdir(parents=True, exist_ok=True)
        remove_orphans(self._temporary)
        return _copied(file, key, self._temporary)


def remove_orphans(temporary: Path) -> None:
    """Removes copies, and folders of them, whose names begin with the number of a process that was killed."""
    for copy in temporary.glob("*-*"):
        import psutil

        owner = copy.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            if copy.is_dir():
                shutil.rmtree(copy, ignore_errors=True)
            else:
                copy.unlink(missing_ok=True)


@contextmanager
def file_snapshot(path: Path, key: str) -> Generator[Snapshot]:
    """A snapshot of a file under the key it would have in a store, without putting it there."""
    check_uploadable(path)
    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        try:
            snapshot = _copied(path, key, Path(folder))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", hint=remedy(error)) from error
        yield snapshot


def check_uploadable(path: Path) -> None:
    """Raises UsageError unless `path` is a file with the name of a workbook."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint="Name one .xlsx file.")
    if not path.exists():
        raise SourceNotFound(f"there is no file {path}", hint="Check the name, and the folder you are in.")
    if not path.is_file():
        raise UsageError(f"{path} is no ordinary file", hint="Name one .xlsx file.")
    _check_encoding(path.name)
    if not is_workbook_name(path.name):
        hint = "Open it in Excel or LibreOffice and save it as 'Excel Workbook (.xlsx)'."
        raise UsageError(f"{path} is no .xlsx workbook by its name", hint=hint)


def _check_encoding(name: str) -> None:
    """Raises StoreError for a name that is not UTF-8: the ledger could not hold it."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = name.encode(errors="backslashreplace").decode()
        raise StoreError(f"the name of {shown} is not UTF-8", hint="Rename the file.") from error


def _copied(file: Path, key: str, folder: Path) -> Snapshot:
    """A copy in a folder, of one content: copied again if somebody wrote to the file meanwhile."""
    for attempt in range(_TRIES):
        time.sleep(0.2 * attempt)
        handle, name = tempfile.mkstemp(prefix=f"{os.getpid()}-", suffix=SUFFIX, dir=folder)
        copy = Path(name)
        try:
            with os.fdopen(handle, "wb") as target, file.open("rb") as source:
                before = os.fstat(source.fileno())
                content_hash = _copy(source, target)
                after = os.fstat(source.fileno())
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            is_settled = time.time() - after.st_ctime > _SETTLED_SECONDS
            return Snapshot(key, copy, content_hash, _mark(after) if is_settled else "")
        copy.unlink()
    raise StoreError(f"{file} is being written to", hint="Try again when it is complete.")


def _mark(about: os.stat_result) -> str:
    """What changes whenever a file's content does. The time of modification does not: programs set it as they like."""
    return f"{about.st_dev}-{about.st_ino}-{about.st_size}-{about.st_ctime_ns}"


def _copy(source: BinaryIO, target: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := source.read(_BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a store without workbooks has no such folder yet
        raise StoreError(f"cannot read {error.filename}: {error.strerror}", hint=remedy(error)) from error


def remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some disk space, then try again; the store is as it was."
    return "Check that the file and the folder can be read and written."
