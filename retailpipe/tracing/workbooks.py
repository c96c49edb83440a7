"""The workbooks behind traced rows: their versions, and in which column of their sheets each column of bronze is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from retailpipe.bindings import Bindings
from retailpipe.bronze.layouts import SheetLayout, recorded, sheet_layouts
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError
from retailpipe.tracing.findings import Workbook

if TYPE_CHECKING:
    from retailpipe.connection import Connection


def workbooks(environment: Environment, connection: Connection, rows: dict[int, int]) -> tuple[Workbook, ...]:
    """The workbooks of some loads, those with the most rows first. rows: the number of rows by load.

    Raises WarehouseError, and AwsError if the bucket of a stack cannot be listed.
    """
    found = connection.rows(
        """
        select
            load_id, source, loads.content_hash, finished_at at time zone 'UTC', coalesce(etag, ''),
            (to_jsonb(loads) ->> 'corrects')::bigint  -- a schema of an earlier version does not have this column
        from bronze.loads left join bronze.etags using (source, content_hash)
        where load_id::text = any(string_to_array($1, ','))
        """,
        ",".join(map(str, rows)),
    )
    versions = environment.store.versions() if environment.stack else {}
    listed = [
        Workbook(source, load_id, content_hash, finished, rows[load_id], versions.get((source, etag), ""), corrects)
        for load_id, source, content_hash, finished, etag, corrects in found
    ]
    return tuple(sorted(listed, key=lambda workbook: (-workbook.rows, workbook.source)))


def layouts(
    environment: Environment, connection: Connection, loaded: Iterable[Workbook]
) -> dict[int, list[SheetLayout]]:
    """The layouts of the sheets of loads, by load.

    A load of an older version of retailpipe has none recorded: then the workbook's header is read again, if the store
    still has the content that was loaded and its contract is unchanged; otherwise the load is left out.
    """
    loaded = [*loaded]
    found = recorded(connection, (workbook.load_id for workbook in loaded))
    for workbook in loaded:
        if workbook.load_id not in found and (layout := _read_again(environment, connection, workbook)):
            found[workbook.load_id] = layout
    return found


def contract_of(environment: Environment, connection: Connection, load_id: int) -> Contract | None:
    """The contract of a load, if it is still the one that the environment has for the workbook; otherwise None."""
    source, fingerprint = connection.row(
        "select source, contract_hash from bronze.loads where load_id = $1", load_id
    ) or ("", "")
    try:
        bindings = Bindings.of(environment.folder)
    except RetailpipeError:
        return None
    known = [Contract.default(), *(contract for _, contract in bindings.contracts)]
    return next((contract for contract in known if contract.fingerprint == fingerprint), None) if source else None


def _read_again(environment: Environment, connection: Connection, workbook: Workbook) -> list[SheetLayout]:
    from retailpipe.workbook.reader import open_workbook

    contract = contract_of(environment, connection, workbook.load_id)
    if contract is None:
        return []
    try:
        with environment.store.snapshot(workbook.source) as snapshot:
            if snapshot.content_hash != workbook.content_hash:
                return []
            reader = open_workbook(snapshot.path, contract, snapshot.key)
            try:
                return sheet_layouts(contract, reader.layouts)
            finally:
                reader.close()
    except RetailpipeError:
        return []
