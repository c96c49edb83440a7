"""The ledger, bronze.loads: which content of which source is loaded.

A load's row is committed together with its rows, or not at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from retailpipe.bronze.schema import LOCK_CLASS_SCHEMA
from retailpipe.reports import LoadReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from retailpipe.connection import Connection
    from retailpipe.contract import Contract
    from retailpipe.progress import Progress
    from retailpipe.reports import Reject

_LOCK_CLASS_BRONZE = LOCK_CLASS_SCHEMA + 1
_LOCK_CLASS_SOURCE = LOCK_CLASS_SCHEMA + 2
_LOCK_CLASS_CONTENT = LOCK_CLASS_SCHEMA + 3


@dataclass(frozen=True)
class Entry:
    """The current load of a source, as the ledger has it."""

    load_id: int
    source: str
    content_hash: str
    contract_hash: str
    table_name: str
    sheet: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    first_date: datetime | None
    last_date: datetime | None

    def holds(self, content_hash: str, contract: Contract | None = None) -> bool:
        """Whether this load is of a content, and by a contract as it reads now; None for whichever contract."""
        same_contract = contract is None or self.contract_hash == contract.fingerprint
        return same_contract and self.content_hash == content_hash


_ENTRY_COLUMNS = ", ".join(Entry.__dataclass_fields__)


def lock(connection: Connection, source: str, content_hash: str, progress: Progress) -> None:
    """Waits until no build, no other load of this source and none of this content is under way.

    The locks are released with the transaction. Everyone takes them in one order, bronze, source, content, and never
    holds a later one while waiting for an earlier one: two loads cannot wait for each other.
    """
    wanted = (
        ("_shared", _LOCK_CLASS_BRONZE, ""),
        ("", _LOCK_CLASS_SOURCE, source),
        ("", _LOCK_CLASS_CONTENT, content_hash),
    )
    # One statement that stops at the first lock that somebody else holds, and says how many it has.
    held = str(len(wanted))
    for place, (kind, lock_class, _) in reversed([*enumerate(wanted)]):
        attempt = f"pg_try_advisory_xact_lock{kind}({lock_class}, hashtext(${place + 1}))"
        held = f"case when {attempt} then {held} else {place} end"
    had = connection.row(f"select {held}", *(name for _, _, name in wanted)) or (0,)
    for kind, lock_class, name in wanted[had[0] :]:
        progress.step("waiting for another load or build")
        connection.row(f"select pg_advisory_xact_lock{kind}({lock_class}, hashtext($1))", name)


def lock_for_build(connection: Connection, progress: Progress) -> None:
    """Waits until no load and no other build is under way, and keeps them waiting until the session ends."""
    arguments = f"({_LOCK_CLASS_BRONZE}, hashtext(''))"
    if connection.row(f"select pg_try_advisory_lock{arguments}") != (True,):
        progress.step("waiting for another load or build")
        connection.row(f"select pg_advisory_lock{arguments}")


def current_load(connection: Connection, source: str, content_hash: str) -> tuple[Entry | None, str | None]:
    """The load of a source whose rows are in bronze; and another source with that content, whose rows are too."""
    rows = connection.rows(
        f"select {_ENTRY_COLUMNS} from bronze.loads where status = 'loaded' and (source = $1 or content_hash = $2)",
        source,
        content_hash,
    )
    entries = [Entry(*row) for row in rows]
    current = next((entry for entry in entries if entry.source == source), None)
    return current, next((entry.source for entry in entries if entry.source != source), None)


def current_loads(connection: Connection) -> dict[str, Entry]:
    """The current load of every source."""
    rows = connection.rows(f"select {_ENTRY_COLUMNS} from bronze.loads where status = 'loaded'")
    return {entry.source: entry for entry in (Entry(*row) for row in rows)}


def loaded_etags(connection: Connection) -> dict[str, str]:
    """The ETag of each source whose current load is of the content that had it."""
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
    """The report of a workbook whose content is loaded already."""
    return LoadReport(
        source=load.source,
        status="unchanged",
        content_hash=load.content_hash,
        load_id=load.load_id,
        sheet=load.sheet,
        rows_read=load.rows_read,
        rows_loaded=load.rows_loaded,
        rows_rejected=load.rows_rejected,
        first_date=load.first_date,
        last_date=load.last_date,
        seconds=round(seconds, 3),
    )


def note_etag(connection: Connection, source: str, etag: str, content_hash: str) -> None:
    """Keeps the ETag under which a store has the content of a load, so that nobody need read it again."""
    connection.execute(
        """
        insert into bronze.etags (source, etag, content_hash) values ($1, $2, $3)
        on conflict (source) do update set etag = excluded.etag, content_hash = excluded.content_hash
        """,
        source,
        etag,
        content_hash,
    )


def open_load(connection: Connection, source: str, content_hash: str, contract: Contract, sheet: str) -> int:
    """Writes the row of a load that begins, and gives its load_id. Until the commit nobody else sees it."""
    [(load_id,)] = connection.rows(
        """
        insert into bronze.loads (
            source, content_hash, contract, contract_hash, table_name, sheet,
            rows_read, rows_loaded, rows_rejected, started_at, finished_at, status
        )
        values ($1, $2, $3, $4, $5, $6, 0, 0, 0, clock_timestamp(), clock_timestamp(), 'replaced')
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


def replace_load(connection: Connection, old: Entry, new_load_id: int) -> None:
    """Takes the rows of an old load out of bronze and its quarantine; its row in the ledger stays, as replaced."""
    connection.execute(
        f"""
        with
        old_rows as (delete from bronze."{old.table_name}" where load_id = {old.load_id}),
        old_rejects as (delete from bronze.rejected_rows where load_id = {old.load_id})
        update bronze.loads set status = 'replaced', replaced_by = {new_load_id} where load_id = {old.load_id}
        """
    )


@dataclass(frozen=True)
class Counts:
    """What a load has read, in rows, and the dates of its rows."""

    rows_read: int
    rows_loaded: int
    first_date: datetime | None
    last_date: datetime | None


def close_load(connection: Connection, load_id: int, counts: Counts, rejects: Sequence[Reject], etag: str = "") -> None:
    """Completes the row of a load with its counts, writes its quarantine, and keeps the ETag if there is one."""
    # One statement, and the rejects in one JSON document: neither their number nor a slow link costs round trips.
    connection.execute(
        """
        with
        quarantine as (
            insert into bronze.rejected_rows
            select $1::bigint, sheet, source_row, cell, column_name, raw_value, code, message, hint, raw_row
            from jsonb_to_recordset($2::jsonb) as reject (
                sheet text, source_row integer, cell text, column_name text, raw_value text,
                code text, message text, hint text, raw_row jsonb
            )
        ),
        closed as (
            update bronze.loads set
                rows_read = $3, rows_loaded = $4, rows_rejected = $5,
                first_date = nullif($6, '')::timestamp, last_date = nullif($7, '')::timestamp,
                finished_at = clock_timestamp(), status = 'loaded'
            where load_id = $1
            returning source, content_hash
        )
        insert into bronze.etags (source, etag, content_hash)
        select source, $8, content_hash from closed where $8 <> ''
        on conflict (source) do update set etag = excluded.etag, content_hash = excluded.content_hash
        """,
        load_id,
        json.dumps([_storable(reject.as_dict()) for reject in rejects]),
        counts.rows_read,
        counts.rows_loaded,
        len(rejects),
        _iso(counts.first_date),
        _iso(counts.last_date),
        etag,
    )


def _iso(moment: datetime | None) -> str:
    return moment.isoformat() if moment else ""


def _storable(value: Any) -> Any:
    """Text that PostgreSQL can store: a NUL, for which a row may have been rejected, shows as the symbol for it."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {_storable(key): _storable(item) for key, item in items}
    return value.replace("\0", "\u2400") if isinstance(value, str) else value
