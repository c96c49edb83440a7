"""The ledger, table bronze.loads: which content of which source is loaded.

A load's row in the ledger is committed together with the rows of its workbook, or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from retailpipe.bronze.documents import json_arrays
from retailpipe.bronze.indexes import prefer_indexes
from retailpipe.reports import LoadReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from retailpipe.connection import Connection
    from retailpipe.contract import Contract
    from retailpipe.reports import Reject


@dataclass(frozen=True)
class Entry:
    """The current load of a source, as recorded in the ledger.

    Corrections of its rejected rows are loads of their own, with status `correction`; `rows_corrected` counts them.
    """

    load_id: int
    source: str
    content_hash: str
    contract: str
    contract_hash: str
    table_name: str
    sheet: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_corrected: int
    first_date: datetime | None
    last_date: datetime | None
    finished_at: datetime

    def holds(self, content_hash: str, contract: Contract | None = None) -> bool:
        """Whether this load has this content and used this version of the contract; None accepts any contract."""
        same_contract = contract is None or self.contract_hash == contract.fingerprint
        return same_contract and self.content_hash == content_hash


# In UTC without a zone, because for times with a zone Arrow imports its time zone modules, which takes time.
# A schema of an older version has no corrections.
CORRECTED = "coalesce((to_jsonb(loads) ->> 'rows_corrected')::integer, 0)"
_ENTRY_COLUMNS = (
    ", ".join(Entry.__dataclass_fields__)
    .replace("finished_at", "finished_at at time zone 'UTC'")
    .replace("rows_corrected", CORRECTED)
)


def current_load(connection: Connection, source: str, content_hash: str) -> tuple[Entry | None, str | None]:
    """Return the current load of a source, and another source whose current load has this content; None if missing."""
    rows = connection.rows(
        f"select {_ENTRY_COLUMNS} from bronze.loads where status = 'loaded' and (source = $1 or content_hash = $2)",
        source,
        content_hash,
    )
    entries = [Entry(*row) for row in rows]
    current = next((entry for entry in entries if entry.source == source), None)
    return current, next((entry.source for entry in entries if entry.source != source), None)


def current_loads(connection: Connection) -> dict[str, Entry]:
    """Return the current load of every source, by source."""
    rows = connection.rows(f"select {_ENTRY_COLUMNS} from bronze.loads where status = 'loaded'")
    return {entry.source: entry for entry in (Entry(*row) for row in rows)}


def loads_in(connection: Connection, table: str) -> set[int]:
    """The loads whose rows are in a table of bronze, corrections included."""
    rows = connection.rows(
        "select load_id from bronze.loads where status in ('loaded', 'correction') and table_name = $1", table
    )
    return {load_id for (load_id,) in rows}


def loaded_etags(connection: Connection) -> dict[str, str]:
    """Return the recorded ETag of each source, if it belongs to the content that is currently loaded."""
    return dict(
        connection.rows(
            """
            select source, etag from bronze.etags
            inner join bronze.loads using (source, content_hash)
            where status = 'loaded'
            """
        )
    )


def unchanged(load: Entry, seconds: float = 0.0) -> LoadReport:
    """Return the report of a workbook whose content is already loaded."""
    return LoadReport(
        source=load.source,
        status="unchanged",
        content_hash=load.content_hash,
        load_id=load.load_id,
        sheet=load.sheet,
        rows_read=load.rows_read,
        rows_loaded=load.rows_loaded,
        rows_rejected=load.rows_rejected,
        rows_corrected=load.rows_corrected,
        first_date=load.first_date,
        last_date=load.last_date,
        seconds=round(seconds, 3),
    )


def record_etag(connection: Connection, source: str, etag: str, content_hash: str) -> None:
    """Record the store's ETag of a loaded content, so that the workbook need not be read again to recognize it."""
    connection.execute(
        """
        insert into bronze.etags (source, etag, content_hash) values ($1, $2, $3)
        on conflict (source) do update set etag = excluded.etag, content_hash = excluded.content_hash
        """,
        source,
        etag,
        content_hash,
    )


def open_load(
    connection: Connection,
    source: str,
    content_hash: str,
    contract: Contract,
    sheet: str,
    corrects: int | None = None,
) -> int:
    """Insert the ledger row of a new load, and return its load_id. Other sessions see it only after the commit.

    Until it is closed its status is 'replaced': a source has at most one row with status 'loaded'.

    corrects: the load whose rejected rows the new one corrects.
    """
    [(load_id,)] = connection.rows(
        f"""
        insert into bronze.loads (
            source, content_hash, contract, contract_hash, table_name, sheet,
            rows_read, rows_loaded, rows_rejected, started_at, finished_at, status, corrects
        )
        values (
            $1, $2, $3, $4, $5, $6, 0, 0, 0, clock_timestamp(), clock_timestamp(), 'replaced', {corrects or "null"}
        )
        returning load_id
        """,
        source,
        content_hash,
        contract.name,
        contract.fingerprint,
        contract.table,
        sheet,
    )
    return int(load_id)


def corrections_of(connection: Connection, load_id: int) -> list[int]:
    """The loads that correct rejected rows of a current load, in their order."""
    found = connection.rows(
        "select load_id from bronze.loads where corrects = $1 and status = 'correction' order by load_id", load_id
    )
    return [int(each) for (each,) in found]


def replace_load(connection: Connection, old: Entry, new_load_id: int) -> None:
    """Delete the rows and rejected rows of an old load and its corrections, and mark them as replaced."""
    prefer_indexes(connection)
    ids = _with_corrections(connection, old)
    connection.execute(
        f"""
        with
        old_rows as (delete from bronze."{old.table_name}" where load_id in ({ids})),
        old_rejects as (delete from bronze.rejected_rows where load_id = {old.load_id})
        update bronze.loads set status = 'replaced', replaced_by = {new_load_id} where load_id in ({ids})
        """
    )


def _with_corrections(connection: Connection, load: Entry) -> str:
    """The IDs of a load and of its corrections, for a statement."""
    return ", ".join(map(str, [load.load_id, *corrections_of(connection, load.load_id)]))


def forget_load(connection: Connection, load: Entry, *, keep: bool, etag: str = "") -> None:
    """Delete the rows and rejected rows of a load and its corrections, and mark them as forgotten.

    keep: the workbook stays in the store; record that its content is not to be loaded again, and its ETag if known.
    """
    prefer_indexes(connection)
    ids = _with_corrections(connection, load)
    connection.execute(
        f"""
        with
        old_rows as (delete from bronze."{load.table_name}" where load_id in ({ids})),
        old_rejects as (delete from bronze.rejected_rows where load_id = {load.load_id})
        update bronze.loads set status = 'forgotten', forgotten_at = clock_timestamp() where load_id in ({ids})
        """
    )
    if keep:
        record_etag(connection, load.source, etag, load.content_hash)
    else:
        connection.execute("delete from bronze.etags where source = $1", load.source)


def kept_contents(connection: Connection) -> dict[str, tuple[str, str]]:
    """Return the content hash and the ETag of each workbook that was forgotten, but kept in the store, by source."""
    rows = connection.rows(
        """
        select source, content_hash, etag from bronze.etags
        where
            (source, content_hash) in (select source, content_hash from bronze.loads where status = 'forgotten')
            and source not in (select source from bronze.loads where status = 'loaded')
        """
    )
    return {source: (content_hash, etag) for source, content_hash, etag in rows}


@dataclass(frozen=True)
class Counts:
    """The row counts of a load, and the first and last date of its accepted rows."""

    rows_read: int
    rows_loaded: int
    first_date: datetime | None
    last_date: datetime | None


def close_load(
    connection: Connection,
    load_id: int,
    counts: Counts,
    rejects: Sequence[Reject],
    cells: Sequence[dict[str, list[str]]],
    etag: str = "",
) -> None:
    """Complete a load's ledger row with its counts, insert its rejected rows, and record the ETag if there is one.

    cells: for each rejected row, its cells as the quarantine keeps them.
    """
    for document in json_arrays(reject.as_dict() | {"cells": row} for reject, row in zip(rejects, cells, strict=True)):
        connection.execute(
            """
            insert into bronze.rejected_rows
            select $1::bigint, sheet, source_row, cell, column_name, raw_value, code, message, hint, raw_row, cells
            from jsonb_to_recordset($2::jsonb) as reject (
                sheet text, source_row integer, cell text, column_name text, raw_value text,
                code text, message text, hint text, raw_row jsonb, cells jsonb
            )
            """,
            load_id,
            document,
        )
    connection.execute(
        """
        with closed as (
            update bronze.loads set
                rows_read = $2, rows_loaded = $3, rows_rejected = $4,
                first_date = nullif($5, '')::timestamp, last_date = nullif($6, '')::timestamp,
                finished_at = clock_timestamp(), status = 'loaded'
            where load_id = $1
            returning source, content_hash
        )
        insert into bronze.etags (source, etag, content_hash)
        select source, $7, content_hash from closed where $7 <> ''
        on conflict (source) do update set etag = excluded.etag, content_hash = excluded.content_hash
        """,
        load_id,
        counts.rows_read,
        counts.rows_loaded,
        len(rejects),
        iso(counts.first_date),
        iso(counts.last_date),
        etag,
    )


def iso(moment: datetime | None) -> str:
    """A time for a statement; an empty text for None."""
    return moment.isoformat() if moment else ""
