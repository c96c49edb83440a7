"""The store of workbooks: the interface, and its implementation in a local folder.

Each workbook has a key such as input/online_retail.xlsx. A load does not read a workbook in place. It reads a snapshot:
a private copy of one content, with its hash, which stays unchanged if the workbook is replaced meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Protocol

from retailpipe import register
from retailpipe.counts import counted
from retailpipe.errors import ReplacementNeeded, SourceNotFound, StoreError
from retailpipe.folders import LAST_LOAD, make_folder
from retailpipe.hints import file_argument
from retailpipe.keys import INPUT, is_workbook, is_workbook_name
from retailpipe.paths import NO_FILE
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport, Report
from retailpipe.snapshots import Snapshot, check_name, check_uploadable, copy_to, file_etag, remedy, remove_orphans
from retailpipe.versions import Versions


@dataclass(frozen=True)
class Stored(Report):
    """A workbook in the store.

    size: in bytes.
    modified: in UTC.
    etag: a text that changes whenever the content changes: in a bucket the object's ETag, in a folder the file's
    identity, size and change time.
    """

    key: str
    size: int
    modified: datetime
    etag: str = ""

    def __str__(self) -> str:
        return f"{self.key} ({counted(self.size, 'byte')})"


class Store(Protocol):
    """Workbooks by key. Every method raises StoreError if the store cannot be used, unless stated otherwise."""

    @property
    def address(self) -> str:
        """The location of the store, for messages."""
        ...

    def upload(self, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Stored:
        """Copy a file to input/ under its own name. The copy is atomic: readers never see an incomplete file.

        replace: whether to replace a workbook of that name that has other content. The store keeps the replaced one.
        Raises SourceNotFound if there is no such file, UsageError if it is not a regular file or not named as a
        workbook, ReplacementNeeded if it would replace a workbook and `replace` is false.
        """
        ...

    def conflict(self, path: Path) -> Stored | None:
        """The workbook with other content that `upload` would replace with this file; None if there is none."""
        ...

    def remove(self, key: str) -> bool:
        """Remove a workbook; the store keeps it as an earlier version. Returns False if there is no such workbook."""
        ...

    def restore(self, key: str, *, content_hash: str = "") -> Stored:
        """Exchange a workbook with its newest earlier version; the present one, if any, becomes an earlier version.

        content_hash: take the version with this content instead, unless there is none or the workbook has it already.
        Raises SourceNotFound if the store keeps no earlier version with other content.
        """
        ...

    def keeps(self, key: str, content_hash: str) -> bool:
        """Whether an earlier version of a workbook has this content."""
        ...

    def versions(self) -> dict[tuple[str, str], str]:
        """The version of each content that the store holds or keeps, by key and etag; empty if it has no versions."""
        ...

    def key_of(self, path: Path) -> str:
        """Return the key under which `upload` would store a file; its current key if it is already in this store."""
        ...

    def workbooks(self) -> list[Stored]:
        """All workbooks, sorted by key."""
        ...

    def snapshot(
        self, key: str, *, local_file: Path | None = None, progress: Progress | None = None
    ) -> AbstractContextManager[Snapshot]:
        """A snapshot of a workbook. Raises SourceNotFound if there is no workbook with that key.

        local_file: a local file that may have the same content; the store may read it instead of downloading.
        """
        ...

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Write a receipt, which shows programs without access to the warehouse that this content is loaded.

        Does not raise.
        """
        ...

    def keep_certificate(self, snapshot: Snapshot, content: bytes) -> None:
        """Keep the certificate of a workbook with its receipts, if the store has receipts."""
        ...

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        """Write the receipts of loads that have none yet; each load is paired with its workbook as it was loaded."""
        ...

    def remove_receipts(self, key: str) -> None:
        """Delete the receipts of a workbook, and the notes about its failures."""
        ...


class FolderStore:
    """A store in a folder of this machine: workbooks under input/, earlier versions under replaced/, copies under tmp/.

    It keeps the last three earlier versions of each workbook.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / "tmp"

    @property
    def address(self) -> str:
        return str(self._folder)

    def holds(self, path: Path) -> bool:
        """Whether a file is already in this store."""
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
            make_folder(self._folder)
            target.parent.mkdir(exist_ok=True)
            copy = self._copy(path, INPUT + path.name)
            try:
                present = self._content_hash(target)
                if present == copy.content_hash:
                    return self._stored(target)
                if present and not replace:
                    raise replacement_needed(self._stored(target), path, self.address)
                if present:
                    self._versions(target).keep()
                with copy.path.open("rb") as file:
                    os.fsync(file.fileno())
                copy.path.replace(target)
            finally:
                copy.path.unlink(missing_ok=True)
        except OSError as error:
            message = f"cannot put {path} into {self._folder}: {error.strerror}"
            raise StoreError(message, hint=remedy(error)) from error
        return self._stored(target)

    def conflict(self, path: Path) -> Stored | None:
        target = self._folder / INPUT / path.name
        check_uploadable(path)
        if self.holds(path) or not target.is_file():
            return None
        try:
            with path.open("rb") as file:
                is_same = hashlib.file_digest(file, "sha256").hexdigest() == self._content_hash(target)
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}", hint=remedy(error)) from error
        return None if is_same else self._stored(target)

    def remove(self, key: str) -> bool:
        file = self._folder / key
        if key not in {stored.key for stored in self.workbooks()}:
            return False
        try:
            self._versions(file).remove()
        except OSError as error:
            raise StoreError(f"cannot remove {file}: {error.strerror}", hint=remedy(error)) from error
        return True

    def restore(self, key: str, *, content_hash: str = "") -> Stored:
        file = self._folder / key
        try:
            if not is_workbook(key) or ".." in file.parts or not self._versions(file).restore(content_hash):
                raise nothing_to_restore(key, self.address)
        except OSError as error:
            raise StoreError(f"cannot restore {file}: {error.strerror}", hint=remedy(error)) from error
        return self._stored(file)

    def keeps(self, key: str, content_hash: str) -> bool:
        file = self._folder / key
        try:
            return self._versions(file).find(content_hash) is not None
        except OSError as error:
            reading = f"cannot read the earlier versions of {file}: {error.strerror}"
            raise StoreError(reading, hint=remedy(error)) from error

    def versions(self) -> dict[tuple[str, str], str]:
        """Nothing: the files of a folder have no versions."""
        return {}

    def workbooks(self) -> list[Stored]:
        found: list[Stored] = []
        for folder, _, names in os.walk(self._folder / INPUT, onerror=_raise_unreadable):
            base = Path(folder)
            place = base.relative_to(self._folder).as_posix()  # once for all its files: it takes longer than `stat`
            for name in filter(is_workbook_name, names):
                try:
                    status = (base / name).stat()
                    if stat.S_ISREG(status.st_mode):
                        found.append(_stored(f"{place}/{name}", status))
                except OSError as error:
                    if error.errno not in NO_FILE:  # it was deleted since the listing, or is a link to nothing
                        _raise_unreadable(error)
        return sorted(found, key=lambda stored: stored.key)

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Write the time of this load into the folder, and record the folder as an environment of this machine.

        `retailpipe environments` reads both without starting the server. Receipts are not needed: users can read
        the warehouse.
        """
        if report.status in ("loaded", "replaced"):
            with suppress(OSError):
                content = {"source": snapshot.key, "finished_at": datetime.now(UTC).isoformat(timespec="seconds")}
                register.replace_private(self._folder / LAST_LOAD, json.dumps(content))
            register.record(self._folder)

    def last_load(self) -> datetime | None:
        """When the last load from this folder ended; None if no load is recorded. Raises nothing."""
        try:
            moment = datetime.fromisoformat(json.loads((self._folder / LAST_LOAD).read_text())["finished_at"])
            return moment.astimezone(UTC)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def keep_certificate(self, snapshot: Snapshot, content: bytes) -> None:
        """Do nothing: the certificate is in the environment's folder already."""

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        """Do nothing: a folder has no receipts."""

    def remove_receipts(self, key: str) -> None:
        """Do nothing: a folder has no receipts."""

    @contextmanager
    def snapshot(
        self, key: str, *, local_file: Path | None = None, progress: Progress | None = None
    ) -> Generator[Snapshot]:
        file = self._folder / key
        not_found = SourceNotFound(
            f"there is no {key} in {self._folder}",
            hint="Run `retailpipe status` to list the workbooks, or pass a file to upload it.",
        )
        check_name(key)
        parts = PurePosixPath(key)
        # A key must not leave the folder, and each file must have exactly one key.
        if not key.startswith(INPUT) or ".." in parts.parts or parts.as_posix() != key or "\0" in key:
            raise not_found
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise not_found
            snapshot = self._copy(file, key)
        except OSError as error:
            if error.errno in NO_FILE:
                raise not_found from None
            raise StoreError(f"cannot read {file}: {error.strerror}", hint=remedy(error)) from error
        try:
            yield snapshot
        finally:
            snapshot.path.unlink(missing_ok=True)

    def _stored(self, file: Path) -> Stored:
        return _stored(file.relative_to(self._folder).as_posix(), file.stat())

    def _versions(self, file: Path) -> Versions:
        return Versions(file, self._folder / "replaced" / file.relative_to(self._folder))

    def _content_hash(self, file: Path) -> str:
        """The SHA-256 of a file; empty if it does not exist. Raises OSError."""
        try:
            with file.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest()
        except FileNotFoundError:
            return ""

    def _copy(self, file: Path, key: str) -> Snapshot:
        make_folder(self._folder)
        self._temporary.mkdir(exist_ok=True)
        remove_orphans(self._temporary)
        return copy_to(self._temporary, file, key)


def replacement_needed(present: Stored, path: Path, address: str) -> ReplacementNeeded:
    """The error of an upload that would replace a workbook with other content."""
    return ReplacementNeeded(
        f"{address} already has a different {present.key}: {present.size:,} bytes, "
        f"written {present.modified:%Y-%m-%d %H:%M} UTC",
        hint="Workbooks are identified by their names: rename the file to add it, or replace the workbook with "
        f"`retailpipe upload {file_argument(path)} --replace`. The store keeps the replaced one.",
    )


def nothing_to_restore(key: str, address: str) -> SourceNotFound:
    """The error of a workbook without an earlier version."""
    return SourceNotFound(
        f"{address} has no earlier version of {key}",
        hint="Only a workbook that was replaced or deleted can be restored. `retailpipe status` lists the workbooks; "
        "`retailpipe ingest` loads those that are in the store and not loaded.",
    )


def _stored(key: str, status: os.stat_result) -> Stored:
    return Stored(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC), file_etag(status))


def _raise_unreadable(error: OSError) -> None:
    # A store without workbooks has no such folder yet.
    if not isinstance(error, FileNotFoundError):
        raise StoreError(f"cannot read {error.filename}: {error.strerror}", hint=remedy(error)) from error
