"""The sources of loads: files, which are uploaded to the store first, and keys of the store."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from retailpipe.bronze import schema
from retailpipe.bronze.ledger import current_loads
from retailpipe.environment import Environment, expanded
from retailpipe.errors import ReplacementNeeded, SourceNotFound, WarehouseError
from retailpipe.keys import INPUT
from retailpipe.paths import exists, is_file
from retailpipe.progress import Progress
from retailpipe.reports import Replaced, Replacement
from retailpipe.snapshots import Snapshot, file_snapshot
from retailpipe.store import Store, Stored


class Key(str):
    """A key of the store. `ingest` and `run` never treat it as the path of a file, even if a file has the same name."""

    __slots__ = ()


class Keys:
    """The workbooks of a store by key, listed once for many sources, and again for a source that is not among them.

    listed: the workbooks, if they were listed before.
    """

    def __init__(self, store: Store, listed: Iterable[Stored] = ()) -> None:
        self._store = store
        self._listed = {stored.key: stored for stored in listed}

    def find(self, *keys: str) -> Stored | None:
        """The workbook with the first of these keys that the store has, or None. Raises StoreError, AwsError."""
        if not self._listed.keys() & {*keys}:
            self._listed = {stored.key: stored for stored in self._store.workbooks()}
        return next((self._listed[key] for key in keys if key in self._listed), None)

    def named(self, source: str | Path) -> Key:
        """The key of a source, which may lack `input/`. Raises SourceNotFound, StoreError, AwsError."""
        if found := self.find(str(source), f"{INPUT}{source}"):
            return Key(found.key)
        raise SourceNotFound(
            f"{source} is neither a file nor a workbook in {self._store.address}",
            hint="List the workbooks with `retailpipe status`.",
        )

    def size_of(self, source: str | Path) -> int:
        """The size of a source in bytes, a file or a workbook of the store; 0 if there is neither."""
        path = expanded(source)
        if not isinstance(source, Key) and is_file(path):
            return path.stat().st_size
        found = self.find(str(source), f"{INPUT}{source}")
        return found.size if found else 0


def upload(
    environment: Environment, path: str | Path, *, replace: bool = False, progress: Progress | None = None
) -> Stored:
    """Put a workbook into the environment's store, under the key `input/` plus its file name.

    replace: replace a workbook of that name that has other content. The store keeps it: `restore` brings it back.

    Raises UsageError if the file name does not end in .xlsx or .csv, ReplacementNeeded if the store has another content
    under that name and `replace` is false, StoreError if the store cannot be written.
    """
    try:
        return environment.store.upload(Path(path), replace=replace, progress=progress)
    except ReplacementNeeded as error:
        with suppress(WarehouseError):  # without the database, the error names no rows
            if found := replacements(environment, path):
                message = f"{environment.store.address} already has a different {found[0]}"
                raise ReplacementNeeded(message, hint=error.hint) from error
        raise


def replacements(environment: Environment, *sources: str | Path) -> list[Replacement]:
    """What uploading files would replace in the store, in the order of `sources`; keys of the store replace nothing.

    Raises StoreError, AwsError, WarehouseError.
    """
    files = [path for source in sources if not isinstance(source, Key) and is_file(path := expanded(source))]
    conflicts = [conflict for path in files if (conflict := environment.store.conflict(path))]
    if not conflicts:
        return []
    with environment.warehouse.connect(read_only=True) as connection:
        loads = current_loads(connection) if schema.has_schema(connection) else {}
    found: list[Replacement] = []
    for stored in conflicts:
        load = loads.get(stored.key)
        replaced = Replaced(load.load_id, load.rows_loaded + load.rows_corrected, load.finished_at) if load else None
        found.append(Replacement(stored.key, stored.size, stored.modified, replaced))
    return found


def snapshot_of(
    environment: Environment, source: str | Path, keys: Keys, *, replace: bool, dry_run: bool, progress: Progress | None
) -> AbstractContextManager[Snapshot]:
    """Return a snapshot of a source: a file, which is uploaded to the store first, or a key of the store."""
    if isinstance(source, Key):
        return environment.store.snapshot(source, progress=progress)
    path = expanded(source)
    if exists(path):
        if dry_run:
            return file_snapshot(path, environment.store.key_of(path))
        stored = upload(environment, path, replace=replace, progress=progress)
        return environment.store.snapshot(stored.key, local_file=path, progress=progress)
    return environment.store.snapshot(keys.named(source), progress=progress)


def stored_key(
    environment: Environment, source: str | Path, keys: Keys, *, replace: bool, progress: Progress | None
) -> Key:
    """Return the key of a source. A file is uploaded to the store first. Raises StoreError, UsageError, AwsError."""
    if isinstance(source, Key):
        return source
    path = expanded(source)
    if exists(path):
        return Key(upload(environment, path, replace=replace, progress=progress).key)
    return keys.named(source)
