"""Compare the store with the ledger: which workbooks are loaded and which are still to be loaded."""

from __future__ import annotations

from contextlib import suppress

from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import SourceNotFound, StoreError, WarehouseError
from retailpipe.reports import LoadReport
from retailpipe.store import Snapshot, Stored


def waiting(environment: Environment, *, contract: Contract | None = None, dry_run: bool = False) -> list[str]:
    """The keys of the workbooks whose content is not loaded or, if a contract is passed, not loaded under it.

    A workbook is read only if its etag differs from the one recorded with its load, or its load used another contract.
    dry_run: do not record etags that have changed, so that nothing is written.
    Raises StoreError, WarehouseError.
    """
    loads, etags = _current(environment)
    keys: list[str] = []
    same: list[Snapshot] = []
    for stored in environment.store.workbooks():
        load = loads.get(stored.key)
        if load is None:
            keys.append(stored.key)
            continue
        if stored.etag and stored.etag == etags.get(stored.key) and load.holds(load.content_hash, contract):
            continue
        try:
            with environment.store.snapshot(stored.key) as snapshot:
                if not load.holds(snapshot.content_hash, contract):
                    keys.append(stored.key)
                elif snapshot.etag:
                    same.append(snapshot)
        except SourceNotFound:  # deleted since the listing
            continue
        except StoreError:  # the load will raise this error again and report it
            keys.append(stored.key)
    if (
        same and not dry_run
    ):  # same content, other etag: record the new etag, so that the next call need not read the workbook
        # A database user with read-only rights must be able to call this too, so a failure to write is ignored.
        with suppress(WarehouseError), environment.warehouse.connect() as connection:
            for snapshot in same:
                ledger.note_etag(connection, snapshot.key, snapshot.etag, snapshot.content_hash)
            connection.commit()
    return keys


def loaded(environment: Environment) -> list[tuple[Stored, LoadReport]]:
    """Return the workbooks whose etag is the one recorded with their current load, each with that load.

    Does not read any workbook.
    """
    loads, etags = _current(environment)
    return [
        (stored, ledger.unchanged(loads[stored.key]))
        for stored in environment.store.workbooks()
        if stored.etag and stored.etag == etags.get(stored.key) and stored.key in loads
    ]


def write_missing_receipts(environment: Environment) -> None:
    """Write the receipts that are missing in a stack's bucket. Raises AwsError, WarehouseError."""
    if environment.stack:
        environment.store.write_missing_receipts(loaded(environment))


def _current(environment: Environment) -> tuple[dict[str, ledger.Entry], dict[str, str]]:
    """The current load of each source, and the etag of its loaded content; both empty before `init`."""
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
        etags = ledger.loaded_etags(connection) if schema.is_migrated(connection) else {}
    return loads, etags
