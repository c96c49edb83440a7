"""Snapshots of workbooks: private copies of one content, and the rules for names of workbooks."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from retailpipe.errors import SourceNotFound, StoreError, UsageError
from retailpipe.keys import SUFFIX, SUFFIXES, is_workbook_name, printable
from retailpipe.paths import exists

_CHUNK_BYTES = 1 << 20
_COPY = "retailpipe-"
_TRIES = 5
_SETTLED_SECONDS = 2.0
"""Two changes within this time may have the same timestamp: some file systems have a resolution of two seconds."""


@dataclass(frozen=True)
class Snapshot:
    """A copy of one content of a workbook; the file exists, unchanged, until the snapshot's context ends.

    content_hash: SHA-256 in hexadecimal digits.
    etag: the store's etag of this content, as in Stored; empty if it is not certain.
    version: the ID of this version in a versioned bucket; empty elsewhere.
    """

    key: str
    path: Path
    content_hash: str
    etag: str = ""
    version: str = ""


@contextmanager
def file_snapshot(path: Path, key: str) -> Generator[Snapshot]:
    """Yield a snapshot of a file, with the key that the file would have in a store; the file is not uploaded."""
    check_uploadable(path)
    with tempfile.TemporaryDirectory(prefix="retailpipe-") as folder:
        try:
            snapshot = copy_to(Path(folder), path, key)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", hint=remedy(error)) from error
        yield snapshot


def copy_to(folder: Path, file: Path, key: str) -> Snapshot:
    """Copy a file to a folder; retry if another program writes to it meanwhile, so that the copy is not a mixture.

    Raises OSError, and StoreError after 5 attempts.
    """
    for attempt in range(_TRIES):
        time.sleep(0.2 * attempt)
        handle, name = tempfile.mkstemp(prefix=copy_prefix(), suffix=SUFFIX, dir=folder)
        copy = Path(name)
        try:
            with os.fdopen(handle, "wb") as target, file.open("rb") as source:
                before = os.fstat(source.fileno())
                content_hash = _copy_and_hash(source, target)
                after = os.fstat(source.fileno())
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        if (file_etag(before), before.st_mtime_ns) == (file_etag(after), after.st_mtime_ns):
            # A later change could still get the same timestamp as this one, and then the same etag.
            is_settled = time.time() - after.st_ctime > _SETTLED_SECONDS
            return Snapshot(key, copy, content_hash, file_etag(after) if is_settled else "")
        copy.unlink()
    raise StoreError(f"another program is writing to {file}", hint="Try again when the file is complete.")


def file_etag(status: os.stat_result) -> str:
    """Return a text that changes whenever the file's content changes.

    It uses ctime, because programs can set mtime to any value.
    """
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_ctime_ns}"


def _copy_and_hash(source: BinaryIO, target: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def copy_prefix() -> str:
    """Return how the names of this process's copies begin: with its process id and its machine."""
    return f"{_COPY}{os.getpid()}-{_machine()}-"


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def remove_orphans(temporary: Path) -> None:
    """Delete copies, and folders of copies, that a killed process left: their names contain its process id.

    Those of other machines, which share the folder, stay: their processes cannot be seen from here.
    Only names of `copy_prefix` are deleted: the folder may be one of the user, with files such as 2024-report.xlsx.
    """
    for copy in temporary.glob(f"{_COPY}*-{_machine()}-*"):
        import psutil

        owner = copy.name.removeprefix(_COPY).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            if copy.is_dir():
                shutil.rmtree(copy, ignore_errors=True)
            else:
                copy.unlink(missing_ok=True)


def check_uploadable(path: Path) -> None:
    """Raise an error unless `path` is a regular file with the name of a workbook.

    Raises SourceNotFound, UsageError, and StoreError if the name is not UTF-8 or has a line break, or if the file
    cannot be read.
    """
    if not exists(path):
        raise SourceNotFound(f"there is no file {path}", hint="Check the name and the current folder.")
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}", hint=remedy(error)) from error
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder", hint="Pass one .xlsx or .csv file.")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is not a regular file", hint="Pass one .xlsx or .csv file.")
    check_name(path.name)
    if not path.name.lower().endswith(SUFFIXES):
        hint = "Open it in Excel or LibreOffice and save it as 'Excel Workbook (.xlsx)' or 'CSV UTF-8'."
        raise UsageError(f"{path} does not end in {' or '.join(SUFFIXES)}", hint=hint)
    if not is_workbook_name(path.name):
        hint = "Pass the workbook itself, or rename the file."
        raise UsageError(f"{path} is not a workbook: its name begins with ~$ or a dot", hint=hint)


def check_name(name: str) -> None:
    """Raise StoreError if a name is not UTF-8, because the ledger cannot store it, or has a line break.

    After a line break, a name could look like another line of an error, a log or a notice.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise StoreError(f"the file name {printable(name)} is not valid UTF-8", hint="Rename the file.") from error
    if len(name.splitlines()) > 1:
        raise StoreError(f"the file name {printable(name)} has a line break", hint="Rename the file.")


def remedy(error: OSError) -> str:
    """The hint for an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Free some disk space, then try again. The store was not changed."
    return "Check that you can read and write the file and the folder."
