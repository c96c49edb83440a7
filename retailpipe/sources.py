"""The sources of loads: files, which are uploaded to the store first, and keys of the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from retailpipe.bronze import schema
from retailpipe.bronze.ledger import current_loads
from retailpipe.environment import Environment, expanded
from retailpipe.errors import ReplacementNeeded, SourceNotFound, WarehouseError
from retailpipe.keys import INPUT
from retailpipe.progress import Progress
from retailpipe.reports import Replaced, Replacement
from retailpipe.store import Snapshot, Stored, file_snapshot


class Key(str):
    """A key of the store. `ingest` and `run` never treat it as the path of a file, even if a file has the same name."""

    __slots__ = ()


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
    files = [path for source in sources if not isinstance(source, Key) and (path := expanded(source)).is_file()]
    conflicts = [conflict for path in files if (conflict := environment.store.conflict(path))]
    if not conflicts:
        return []
    with environment.warehouse.connect(read_only=True) as connection:
        loads = current_loads(connection) if schema.has_schema(connection) else {}
    found: list[Replacement] = []
    for stored in conflicts:
        load = loads.get(stored.key)
        replaced = Replaced(load.load_id, load.rows_loaded, load.finished_at) if load else None
        found.append(Replacement(stored.key, stored.size, stored.modified, replaced))
    return found


def snapshot_of(
    environment: Environment, source: str | Path, *, replace: bool, dry_run: bool, progress: Progress | None
) -> AbstractContextManager[Snapshot]:
    """Return a snapshot of a source: a file, which is uploaded to the store first, or a key of the store."""
    if isinstance(source, Key):
        return environment.store.snapshot(source, progress=progress)
    path = expanded(source)
    if path.exists():
        if dry_run:
            return file_snapshot(path, environment.store.key_of(path))
        stored = upload(environment, path, replace=replace, progress=progress)
        return environment.store.snapshot(stored.key, local_file=path, progress=progress)
    return environment.store.snapshot(_key_named(environment, source), progress=progress)


def named_keys(environment: Environment, sources: Sequence[str | Path]) -> list[str | Path]:
    """The sources, with keys for the names of workbooks in the store. It lists the store once, not for each name.

    A name that the store does not have stays as it is: an earlier file of the sources may be uploaded under it.
    """
    names = {each for each in sources if not isinstance(each, Key) and not expanded(each).exists()}
    if len(names) < 2:
        return [*sources]
    keys = {stored.key for stored in environment.store.workbooks()}
    return [(_key_among(keys, each) or each) if each in names else each for each in sources]


def stored_key(environment: Environment, source: str | Path, *, replace: bool, progress: Progress | None) -> Key:
    """Return the key of a source. A file is uploaded to the store first. Raises StoreError, UsageError, AwsError."""
    if isinstance(source, Key):
        return source
    path = expanded(source)
    if path.exists():
        return Key(upload(environment, path, replace=replace, progress=progress).key)
    return _key_named(environment, source)


def _key_named(environment: Environment, source: str | Path) -> Key:
    if key := _key_among({stored.key for stored in environment.store.workbooks()}, source):
        return key
    raise SourceNotFound(
        f"{source} is neither a file nor a workbook in {environment.store.address}",
        hint="List the workbooks with `retailpipe status`.",
    )


def _key_among(keys: Collection[str], source: str | Path) -> Key | None:
    """The key that a source names, with or without `input/`."""
    return next((Key(key) for key in (str(source), f"{INPUT}{source}") if key in keys), None)
