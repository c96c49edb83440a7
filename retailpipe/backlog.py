"""Which workbooks of the store are loaded, and which wait to be loaded."""

from __future__ import annotations

from contextlib import suppress

from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import SourceNotFound, StoreError, WarehouseError
from retailpipe.reports import LoadReport
from retailpipe.store import Snapshot, Stored


def waiting(environment: Environment, *, contract: Contract | None = None) -> list[str]:
    """The keys of the store whose content is not loaded; where a contract is given, whose content is not by it."""
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
        except SourceNotFound:  # removed since it was listed
            continue
        except StoreError:  # the load reports it
            keys.append(stored.key)
    if same:  # under another ETag than it was loaded by: it need not be read the next time
        with suppress(WarehouseError), environment.warehouse.connect() as connection:  # who may only read, may ask too
            for snapshot in same:
                ledger.note_etag(connection, snapshot.key, snapshot.etag, snapshot.content_hash)
            connection.commit()
    return keys


def loaded(environment: Environment) -> list[tuple[Stored, LoadReport]]:
    """The workbooks whose content is loaded, each with its current load, as far as a listing shows: by their ETag."""
    loads, etags = _current(environment)
    return [
        (stored, ledger.unchanged(loads[stored.key]))
        for stored in environment.store.workbooks()
        if stored.etag and stored.etag == etags.get(stored.key) and stored.key in loads
    ]


def write_missing_receipts(environment: Environment) -> None:
    """Writes the receipts that are missing in a stack's bucket. Raises AwsError, WarehouseError."""
    if environment.stack:
        environment.store.write_missing_receipts(loaded(environment))


def _current(environment: Environment) -> tuple[dict[str, ledger.Entry], dict[str, str]]:
    """The current load of each source, and the ETag by which it was loaded."""
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
        etags = ledger.loaded_etags(connection) if schema.is_migrated(connection) else {}
    return loads, etags
