"""Load rejected rows that follow the contract now, since cells were corrected or the contract was changed.

A correction is a load of its own: its rows are in bronze under its own load_id, with the row numbers of the workbook.
So a load never changes, and silver sees a correction as it sees any load. The ledger has its status as `correction`
and names the load that it corrects. It is replaced and forgotten together with that load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from retailpipe.bronze import layouts, ledger
from retailpipe.bronze.copying import copy_rows
from retailpipe.bronze.documents import json_arrays, storable
from retailpipe.bronze.judge import Judge
from retailpipe.bronze.quarantine import QuarantinedRow, RowKey, keep_corrections, quarantined
from retailpipe.reports import Reject
from retailpipe.workbook.cells import Cell
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.sheet import Layout

if TYPE_CHECKING:
    from retailpipe.bronze.layouts import SheetLayout
    from retailpipe.bronze.ledger import Entry
    from retailpipe.connection import Connection
    from retailpipe.contract import Contract


@dataclass(frozen=True)
class Applied:
    """What a correction did.

    load_id: its load; None if nothing changed, so that there is none.
    corrected: the rows that are loaded now.
    rejects: the rows that still break the contract, with their present reason.
    """

    load_id: int | None
    corrected: frozenset[RowKey]
    rejects: tuple[Reject, ...]


def apply(
    connection: Connection,
    entry: Entry,
    contract: Contract,
    rows: Sequence[QuarantinedRow],
    sheets: Sequence[SheetLayout],
    content_hash: str,
    *,
    has_changes: bool = False,
    keep_reasons: bool = False,
) -> Applied:
    """Judge rejected rows, and load those that follow the contract, in the connection's transaction.

    rows: rows of the quarantine of the load `entry` that are not corrected yet, ordered by sheet.
    sheets: the layouts of the load's sheets under the contract.
    content_hash: SHA-256 of the workbook that the cells come from.
    has_changes: whether cells were changed that are not recorded yet. If not, and if no row follows the contract and
        all reasons are the same, there is no load.
    keep_reasons: leave the reasons of the rows that still break the contract as they are.

    Raises LoadError if PostgreSQL refuses a value.
    """
    known = {sheet.sheet: layout_of(sheet, contract) for sheet in sheets}
    judge = Judge(contract)
    batches: list[tuple[pa.RecordBatch, Layout]] = []
    for sheet, of_sheet in groupby(rows, key=lambda row: row.sheet):
        batch = judge.judge(chunk_of([*of_sheet]), known[sheet])
        if batch.num_rows:
            batches.append((batch, known[sheet]))
    rejects = {(reject.sheet, reject.source_row): reject for reject in judge.rejects}
    corrected = [row for row in rows if row.key not in rejects]
    reasons = [] if keep_reasons else [rejects[r.key] for r in rows if r.key in rejects and _is_new(rejects[r.key], r)]
    if not (corrected or reasons or has_changes):
        return Applied(None, frozenset(), tuple(judge.rejects))
    load_id = ledger.open_load(connection, entry.source, content_hash, contract, entry.sheet, entry.load_id)
    layouts.record(connection, load_id, sheets)
    copy_rows(connection, contract, _iterated(batches), load_id, entry.source)
    counts = ledger.Counts(judge.rows_read, judge.rows_accepted, judge.first_date, judge.last_date)
    _close(connection, entry, load_id, counts, corrected, reasons)
    keep_corrections(connection, entry, rows)
    return Applied(load_id, frozenset(row.key for row in corrected), tuple(judge.rejects))


def apply_again(connection: Connection, entry: Entry, contract: Contract) -> list[Applied]:
    """Apply the corrections of a content that was loaded again, in the transaction of that load.

    Rows that follow the contract without their corrections are not corrected.
    """
    rows = [row for row in quarantined(connection, entry) if row.changes]
    sheets = layouts.recorded(connection, [entry.load_id]).get(entry.load_id, [])
    files = sorted({row.file_hash for row in rows})
    return [
        apply(connection, entry, contract, [row for row in rows if row.file_hash == file], sheets, file)
        for file in files
    ]


def layout_of(sheet: SheetLayout, contract: Contract) -> Layout:
    """The layout of a sheet as the judge takes it; its columns are those of the load."""
    columns = tuple(sheet.columns.get(column.name) for column in contract.columns)
    return Layout(sheet.sheet, sheet.header_row, columns, sheet.headers, ())


def chunk_of(rows: Sequence[QuarantinedRow]) -> Chunk:
    """Rows of one sheet as a chunk."""
    indices = sorted({index for row in rows for index in row.cells})
    columns: list[list[Cell]] = [[row.cells.get(index, "") for row in rows] for index in indices]
    return Chunk(columns, indices, [row.source_row for row in rows])


def _iterated(batches: Sequence[tuple[pa.RecordBatch, Layout]]) -> Iterator[tuple[pa.RecordBatch, Layout]]:
    yield from batches


def _is_new(reject: Reject, row: QuarantinedRow) -> bool:
    """Whether a row breaks the contract in another way than the quarantine says."""
    found = (reject.cell, reject.column_name, reject.raw_value, reject.code, reject.message, reject.hint)
    return tuple(map(storable, found)) != row.reason


def _close(
    connection: Connection,
    entry: Entry,
    load_id: int,
    counts: ledger.Counts,
    corrected: Sequence[QuarantinedRow],
    reasons: Sequence[Reject],
) -> None:
    """Complete the ledger rows of a correction and of the load that it corrects, and the quarantine."""
    for document in json_arrays(reject.as_dict() for reject in reasons):
        connection.execute(
            f"""
            update bronze.rejected_rows set
                cell = row.cell, column_name = row.column_name, raw_value = row.raw_value, code = row.code,
                message = row.message, hint = row.hint
            from jsonb_to_recordset($1::jsonb) as row (
                sheet text, source_row integer, cell text, column_name text, raw_value text, code text, message text,
                hint text
            )
            where
                load_id = {entry.load_id} and rejected_rows.sheet = row.sheet
                and rejected_rows.source_row = row.source_row
            """,
            document,
        )
    connection.execute(
        f"""
        with
        corrected as (
            update bronze.rejected_rows set corrected_by = {load_id}
            from jsonb_to_recordset($1::jsonb) as row (sheet text, source_row integer)
            where
                load_id = {entry.load_id} and rejected_rows.sheet = row.sheet
                and rejected_rows.source_row = row.source_row
        ),
        corrects as (
            update bronze.loads set
                rows_rejected = rows_rejected - {len(corrected)}, rows_corrected = rows_corrected + {len(corrected)}
            where load_id = {entry.load_id}
        )
        update bronze.loads set
            rows_read = {counts.rows_read}, rows_loaded = {counts.rows_loaded},
            rows_rejected = {counts.rows_read - counts.rows_loaded},
            first_date = nullif($2, '')::timestamp, last_date = nullif($3, '')::timestamp,
            finished_at = clock_timestamp(), status = 'correction'
        where load_id = {load_id}
        """,
        json.dumps([{"sheet": row.sheet, "source_row": row.source_row} for row in corrected]),
        ledger.iso(counts.first_date),
        ledger.iso(counts.last_date),
    )
