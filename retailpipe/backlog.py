"""Compare the store with the ledger: which workbooks are loaded and which are still to be loaded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from retailpipe.bindings import Bindings
from retailpipe.bronze import ledger, refusals, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import ContractError, SourceNotFound, StoreError, WarehouseError
from retailpipe.reports import LoadReport, Refusal
from retailpipe.snapshots import Snapshot
from retailpipe.store import Stored


@dataclass(frozen=True)
class Comparison:
    """Keys of workbooks, each list sorted.

    waiting: their content is not loaded or, if a contract is passed, not loaded under it.
    kept: they are in the store, but were forgotten, so that only `ingest KEY` loads them again.
    removed: they are loaded, but are no longer in the store.
    workbooks: the listing of the store that was compared, so that the caller need not list it again.
    loaded: the workbooks whose etag is the one recorded with their current load, each with that load.
    """

    waiting: list[str]
    kept: list[str]
    removed: list[str]
    workbooks: list[Stored]
    loaded: list[tuple[Stored, ledger.Entry]]


def waiting(environment: Environment, *, contract: Contract | None = None, dry_run: bool = False) -> list[str]:
    """The keys of the workbooks that `ingest` loads if it is called without sources. Arguments as in `compare`."""
    return compare(environment, contract=contract, dry_run=dry_run).waiting


def compare(
    environment: Environment,
    *,
    contract: Contract | None = None,
    bindings: Bindings | None = None,
    dry_run: bool = False,
) -> Comparison:
    """Compare the workbooks of the store with the current loads.

    A workbook is read only if its etag differs from the one recorded with its load, or its load used another contract.
    bindings: take the contracts from here instead of the environment's folder.
    dry_run: do not record etags that have changed, so that nothing is written.
    Without `contract`, a workbook that one of the environment's contracts is for must be loaded under that contract.
    Raises StoreError, ContractError, WarehouseError.
    """
    loads, etags, kept = _current(environment)
    keys: list[str] = []
    same: list[Snapshot] = []
    loaded: list[tuple[Stored, ledger.Entry]] = []
    workbooks = environment.store.workbooks()
    if bindings is None:
        bindings = Bindings.of(environment.folder)
    for stored in workbooks:
        load, kept_hash = loads.get(stored.key), kept.get(stored.key)
        is_unchanged = bool(stored.etag) and stored.etag == etags.get(stored.key)
        if load and is_unchanged:
            loaded.append((stored, load))
        if load is None and kept_hash is None:
            keys.append(stored.key)
            continue
        try:
            wanted = contract or bindings.contract_for(stored.key)
        except ContractError:  # several contracts are for it: the load will raise this error again and report it
            keys.append(stored.key)
            continue
        if is_unchanged and (load is None or load.holds(load.content_hash, wanted)):
            continue
        try:
            with environment.store.snapshot(stored.key) as snapshot:
                if not (load.holds(snapshot.content_hash, wanted) if load else snapshot.content_hash == kept_hash):
                    keys.append(stored.key)
                elif snapshot.etag:
                    same.append(snapshot)
                    if load and snapshot.etag == stored.etag:
                        loaded.append((stored, load))
        except SourceNotFound:  # deleted since the listing
            continue
        except StoreError:  # the load will raise this error again and report it
            keys.append(stored.key)
    if same and not dry_run:
        # The content is the same, but the etag is not: record the new one, so that the next call need not read the
        # workbook. A database user with read-only rights must be able to call this too, so a failed write is ignored.
        with suppress(WarehouseError), environment.warehouse.connect() as connection:
            for snapshot in same:
                ledger.record_etag(connection, snapshot.key, snapshot.etag, snapshot.content_hash)
            connection.commit()
    stored_keys = {stored.key for stored in workbooks}
    kept_keys = sorted((kept.keys() & stored_keys) - {*keys})
    return Comparison(keys, kept_keys, sorted(loads.keys() - stored_keys), workbooks, loaded)


def refusals_of(environment: Environment, found: Comparison) -> list[Refusal]:
    """Return why waiting workbooks were refused when that was last tried, sorted by key. Raises WarehouseError."""
    if not found.waiting:
        return []
    with environment.warehouse.connect(read_only=True) as connection:
        refused = refusals.current(connection, found.workbooks) if schema.is_migrated(connection) else {}
    return [refused[key] for key in found.waiting if key in refused]


def loaded(environment: Environment) -> list[tuple[Stored, LoadReport]]:
    """Return the workbooks whose etag is the one recorded with their current load, each with that load.

    Does not read any workbook.
    """
    loads, etags, _ = _current(environment)
    return [
        (stored, ledger.unchanged(loads[stored.key]))
        for stored in environment.store.workbooks()
        if stored.etag and stored.etag == etags.get(stored.key) and stored.key in loads
    ]


def write_missing_receipts(environment: Environment, found: Comparison) -> None:
    """Write the receipts that are missing in a stack's bucket. Raises AwsError."""
    if environment.stack:
        environment.store.write_missing_receipts((stored, ledger.unchanged(load)) for stored, load in found.loaded)


def _current(environment: Environment) -> tuple[dict[str, ledger.Entry], dict[str, str], dict[str, str]]:
    """The current load of each source, the etags, and the content of each source that was forgotten but kept.

    The etag of a source belongs to the content that is loaded or kept. All are empty before `init`. A schema of an
    earlier version must be readable too: the next load migrates it, and must not load what was forgotten.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
        if connection.row("select to_regclass('bronze.etags') is null") == (True,):  # before version 3
            return loads, {}, {}
        contents = ledger.kept_contents(connection)
        etags = ledger.loaded_etags(connection) | {source: etag for source, (_, etag) in contents.items()}
    return loads, etags, {source: content_hash for source, (content_hash, _) in contents.items()}
