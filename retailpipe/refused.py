"""Record why a workbook was refused, and say in its error what became of the rows that it was to replace."""

from __future__ import annotations

import shlex
from contextlib import suppress

from retailpipe.bronze import ledger, refusals, schema
from retailpipe.contract import Contract
from retailpipe.counts import counted
from retailpipe.environment import Environment
from retailpipe.errors import ContractError, LoadError, RetailpipeError, WarehouseError, WorkbookError
from retailpipe.snapshots import Snapshot


def note_refusal(environment: Environment, snapshot: Snapshot, error: RetailpipeError) -> None:
    """Record why this content of a workbook cannot be loaded, so that `status` can tell.

    If an earlier content of the workbook is loaded, also complete the error: those rows stay, and `restore` brings
    their workbook back. An error of the store, of AWS or of the database is no fault of the workbook: it is not
    recorded. Raises nothing.
    """
    if not isinstance(error, WorkbookError | LoadError | ContractError):
        return
    with suppress(WarehouseError), environment.warehouse.connect() as connection:
        if schema.ensure_schema(connection, Contract.default()):
            connection.commit()
        refusals.note(connection, snapshot.key, snapshot.etag, str(error))
        connection.commit()
        load = ledger.current_loads(connection).get(snapshot.key)
        if load and load.content_hash != snapshot.content_hash:
            rows = load.rows_loaded + load.rows_corrected
            stays = counted(rows, "row of its earlier content stays", "rows of its earlier content stay")
            error.args = (f"{error}\n  {stays} loaded (load {load.load_id})",)
            with suppress(RetailpipeError):
                if environment.store.keeps(snapshot.key, load.content_hash):
                    error.hint += (
                        f" Bring the earlier workbook back with `retailpipe restore {shlex.quote(snapshot.key)}`."
                    )
