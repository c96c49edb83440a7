"""Undo loads: forget a workbook, or bring back the one that it replaced."""

from __future__ import annotations

from collections.abc import Set

from retailpipe.bronze import ledger, locks, schema
from retailpipe.builds import is_built
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, SourceNotFound
from retailpipe.keys import INPUT
from retailpipe.pipeline import Key, complete, run
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import ForgetReport, Forgotten, RunReport
from retailpipe.store import Stored


def forget(
    environment: Environment, source: str, *, keep_workbook: bool = False, progress: Progress | None = None
) -> ForgetReport:
    """Undo the load of a workbook: delete its rows, its rejected rows and the workbook, and rebuild silver and gold.

    The rows and the workbook are removed in one transaction: if the workbook cannot be removed, the rows stay. The
    ledger keeps the load's line with status `forgotten`. The store keeps the workbook as an earlier version, so that
    `restore` brings it back. A workbook that is not loaded, or is no longer in the store, can be forgotten too.

    keep_workbook: leave the workbook in the store. `ingest` loads this content again only if the workbook is named.

    Raises SourceNotFound if the workbook is neither loaded nor in the store, StoreError, AwsError, WarehouseError,
    TransformError.
    """
    progress = progress or NoProgress()
    workbooks = {stored.key: stored for stored in environment.store.workbooks()}
    key = _known_key(environment, source, workbooks.keys())
    forgotten = _forget(environment, key, workbooks.get(key), keep_workbook, progress)
    if is_built(environment):
        return ForgetReport(True, forgotten, None)
    try:
        built = complete(environment, progress=progress)
    except NothingLoaded:  # the last workbook was forgotten: silver and gold are empty now
        return ForgetReport(True, forgotten, None)
    return ForgetReport(built.ok, forgotten, built)


def restore(
    environment: Environment, source: str, *, contract: Contract | None = None, progress: Progress | None = None
) -> RunReport:
    """Bring back the workbook that was replaced or forgotten last, and run the pipeline with it.

    The present workbook of that name, if any, becomes the earlier version: a second call undoes the first. If the
    present workbook was refused, the workbook whose rows are loaded is brought back.

    contract: as in `run`.

    Raises SourceNotFound if the store keeps no earlier version, and what `run` raises.
    """
    key = source if source.startswith(INPUT) else f"{INPUT}{source}"
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
    loaded = loads[key].content_hash if key in loads else ""
    stored = environment.store.restore(key, content_hash=loaded)
    return run(environment, Key(stored.key), contract=contract, progress=progress)


def _known_key(environment: Environment, source: str, stored: Set[str]) -> str:
    """The key of a source, which may lack `input/`. stored: the keys in the store. Raises SourceNotFound."""
    known = {*stored}
    with environment.warehouse.connect(read_only=True) as connection:
        if schema.has_schema(connection):
            known |= ledger.current_loads(connection).keys()
    for key in (source, f"{INPUT}{source}"):
        if key in known:
            return key
    raise SourceNotFound(
        f"{source} is neither loaded nor in {environment.store.address}",
        hint="List the workbooks with `retailpipe status`.",
    )


def _forget(
    environment: Environment, key: str, stored: Stored | None, keep_workbook: bool, progress: Progress
) -> Forgotten:
    with environment.warehouse.connect() as connection:
        schema.ensure_schema(connection, Contract.default(), progress)
        connection.commit()
        locks.lock(connection, key, "", progress)
        load = ledger.current_loads(connection).get(key)
        if load:
            progress.step("deleting the rows")
            keep = keep_workbook and stored is not None
            ledger.forget_load(connection, load, keep=keep, etag=stored.etag if stored else "")
        removed = False
        if not keep_workbook:
            # Change the store before the commit: if this process is killed in between, the rows are still loaded, and
            # `forget` can be repeated. After the commit, the next `ingest` would load the workbook again.
            environment.store.remove_receipts(key)
            removed = environment.store.remove(key)
        try:
            connection.commit()
        except BaseException:
            if removed:
                environment.store.restore(key)
            raise
    return Forgotten(
        source=key,
        load_id=load.load_id if load else None,
        rows=load.rows_loaded + load.rows_corrected if load else 0,
        rejects=load.rows_rejected if load else 0,
        workbook="removed" if removed else "kept" if stored else "missing",
    )
