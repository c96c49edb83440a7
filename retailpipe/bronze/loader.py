"""Load a workbook into bronze: its ledger row, its rows and its rejected rows, all in one transaction."""

from __future__ import annotations

import gc
import shlex
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from retailpipe.bronze import layouts, ledger, locks
from retailpipe.bronze.copying import copy_rows
from retailpipe.bronze.corrections import apply_again
from retailpipe.bronze.judge import Judge
from retailpipe.bronze.overlap import NewRows, create_temporary_table, has_other_loads, overlap, rows_of_load
from retailpipe.bronze.quarantine import OWN_HEADER, RowKey, has_corrections
from retailpipe.bronze.schema import ensure_schema
from retailpipe.contract import Contract
from retailpipe.counts import counted, noun
from retailpipe.errors import DuplicateContent, DuplicateRows, LoadError, TooManyRejects
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import LoadReport, LoadStatus, Overlap, Reject, Replaced
from retailpipe.warehouse import Warehouse
from retailpipe.workbook.reader import WorkbookReader, open_workbook
from retailpipe.workbook.sheet import place_of

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.snapshots import Snapshot
    from retailpipe.workbook.sheet import Layout

REJECTS_REPORTED = 20
_REJECTS_SHOWN = 5


def load(
    warehouse: Warehouse,
    snapshot: Snapshot,
    contract: Contract,
    *,
    allow_duplicate: bool = False,
    dry_run: bool = False,
    would_load: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    starting: Callable[[], None] | None = None,
) -> LoadReport:
    """Load the snapshot of a workbook into bronze, completely or not at all.

    If the ledger already has this content and contract for the source, nothing is written. If the content or the
    contract changed, the new rows replace the old ones. Corrections of an earlier load of this content are applied
    again. A dry run reads and checks the whole workbook, and writes nothing.

    allow_duplicate: load the content even if it, or many of its rows, are already loaded from another source.
    would_load: content hash -> key of the workbooks that the same dry run would have loaded before this one.
    starting: called before the first row is loaded, unless the workbook is unchanged.

    Raises WorkbookError, SheetError, ContractError, TooManyRejects, DuplicateContent, DuplicateRows, LoadError,
    SchemaError, WarehouseError.
    """
    progress = progress or NoProgress()
    started = time.monotonic()
    progress.step("reading the workbook")
    # `connecting` opens the connection in a thread, so the first rows are parsed meanwhile.
    with (
        _no_garbage_collection(),
        warehouse.connecting() as connected,
        closing(open_workbook(snapshot.path, contract, snapshot.key)) as workbook,
    ):
        _refuse_corrections(workbook, snapshot.key)
        connection = connected()
        if ensure_schema(connection, contract, progress) and not dry_run:
            connection.commit()
        locks.lock(connection, snapshot.key, snapshot.content_hash, progress)
        old, other = ledger.current_load(connection, snapshot.key, snapshot.content_hash)
        if old and old.holds(snapshot.content_hash, contract):
            if snapshot.etag and not dry_run:
                ledger.record_etag(connection, snapshot.key, snapshot.etag, snapshot.content_hash)
                connection.commit()
            return ledger.unchanged(old, time.monotonic() - started)
        other = other or (would_load or {}).get(snapshot.content_hash)
        # If only the contract changed, the content was compared with other loads when it was first loaded.
        is_new_content = old is None or old.content_hash != snapshot.content_hash
        if other and is_new_content and not allow_duplicate:
            raise DuplicateContent(
                f"{snapshot.key} has the same content as {other}, so each row would be counted twice",
                hint=_duplicate_hint(snapshot.key, replaces=old is not None),
            )

        if starting:
            starting()
        judge = Judge(contract, workbook.max_rows)
        progress.step("loading rows", unit="rows", total=workbook.rows_claimed)
        batches = _accepted(workbook, judge, progress)
        load_id = None
        new_rows = None
        if not dry_run:
            sheets = workbook.sheet_names
            load_id = ledger.open_load(connection, snapshot.key, snapshot.content_hash, contract, sheets)
            layouts.record(connection, load_id, layouts.sheet_layouts(contract, workbook.layouts))
            copy_rows(connection, contract, batches, load_id, snapshot.key)
            new_rows = rows_of_load(contract, load_id)
        elif has_other_loads(connection, contract, snapshot.key):
            target = create_temporary_table(connection, contract)
            copy_rows(connection, contract, batches, 0, snapshot.key, target)
            new_rows = ".".join(target)
        else:
            for _ in batches:
                pass
        if not judge.rows_read:
            raise workbook.no_rows()
        _refuse_too_many(judge, contract, snapshot.key)
        rows_in_others, overlaps = 0, ()
        corrected: frozenset[RowKey] = frozenset()
        if new_rows and is_new_content:
            locks.lock_rows(connection, contract.table)
            rows = NewRows(snapshot.key, new_rows, judge.first_date, judge.last_date)
            rows_in_others, overlaps = overlap(connection, contract, rows)
            if not allow_duplicate:
                _refuse_duplicates(judge, contract, snapshot.key, rows_in_others, overlaps, replaces=old is not None)
        status: LoadStatus = "would load" if dry_run else "loaded"
        if old:
            status = "would replace" if dry_run else "replaced"
        if load_id is not None:
            if old:
                ledger.replace_load(connection, old, load_id)
            counts = ledger.Counts(judge.rows_read, judge.rows_accepted, judge.first_date, judge.last_date)
            ledger.close_load(connection, load_id, counts, judge.rejects, judge.rejected_cells, snapshot.etag)
            corrected = _corrected_again(connection, snapshot, contract) if judge.rejects else corrected
            connection.commit()
    rejects = [reject for reject in judge.rejects if (reject.sheet, reject.source_row) not in corrected]
    return LoadReport(
        source=snapshot.key,
        status=status,
        content_hash=snapshot.content_hash,
        load_id=load_id,
        sheet=workbook.sheet_names,
        rows_read=judge.rows_read,
        rows_loaded=judge.rows_accepted,
        rows_rejected=len(rejects),
        rows_corrected=len(corrected),
        first_date=judge.first_date,
        last_date=judge.last_date,
        rejects=tuple(rejects[:REJECTS_REPORTED]),
        ignored_columns=workbook.ignored,
        rows_skipped=workbook.rows_skipped,
        seconds=round(time.monotonic() - started, 3),
        replaces=Replaced(old.load_id, old.rows_loaded + old.rows_corrected, old.finished_at) if old else None,
        rows_in_others=rows_in_others,
        overlaps=overlaps,
    )


def _accepted(workbook: WorkbookReader, judge: Judge, progress: Progress) -> Iterator[tuple[pa.RecordBatch, Layout]]:
    """Yield the accepted rows of each chunk, with the layout of their sheet.

    Stop early if there are more rejects than the contract allows for the longest possible workbook.
    """
    for layout, chunk in workbook.chunks():
        batch = judge.judge(chunk, layout)
        progress.advance(len(chunk.numbers))
        if judge.over_reject_limit:
            return
        yield batch, layout


def _refuse_corrections(workbook: WorkbookReader, source: str) -> None:
    """Raise LoadError if a workbook has corrections of another one: as a workbook of its own, it would be added."""
    if any(header.startswith(OWN_HEADER) for header in workbook.ignored):
        raise LoadError(
            f"{source} has rejected rows of another workbook, written by `rejects --write`",
            hint=f"Remove it with `retailpipe forget {shlex.quote(source)}`, and load the file as corrections with "
            "`retailpipe ingest FILE.xlsx --corrects SOURCE`.",
        )


def _corrected_again(connection: Connection, snapshot: Snapshot, contract: Contract) -> frozenset[RowKey]:
    """Apply the corrections of this content to the load that was just closed; return the rows that they load."""
    if not has_corrections(connection, snapshot.key, snapshot.content_hash):
        return frozenset()
    entry, _ = ledger.current_load(connection, snapshot.key, snapshot.content_hash)
    applied = apply_again(connection, entry, contract) if entry else []
    return frozenset(key for each in applied for key in each.corrected)


def _refuse_too_many(judge: Judge, contract: Contract, source: str) -> None:
    """Raise TooManyRejects, with the most frequent problems, if there are more rejects than the contract allows."""
    allowed = contract.rejects_allowed(judge.rows_read)
    count = len(judge.rejects)
    if count <= allowed:
        return
    problems = Counter((reject.column_name, reject.code) for reject in judge.rejects)
    first: dict[tuple[str, str], Reject] = {}
    for reject in judge.rejects:
        first.setdefault((reject.column_name, reject.code), reject)
    lines = [
        f"\n  {number:,} x {code} in {column}, first in {_cell_of(first[column, code], contract)}: "
        f"{first[column, code].message}"
        for (column, code), number in problems.most_common(_REJECTS_SHOWN)
    ]
    if (more := len(problems) - _REJECTS_SHOWN) > 0:
        lines.append(f"\n  and {more} more {noun(more, 'kind')} of problem")
    # Over the limit, reading stopped early: there may be more rejects.
    how_many = f"at least {count:,}" if judge.over_reject_limit else f"{count:,} of {judge.rows_read:,}"
    rows = noun(count if judge.over_reject_limit else judge.rows_read, "row")
    place = source if contract.several_sheets else place_of(source, judge.rejects[0].sheet)
    raise TooManyRejects(
        f"{place}: {how_many} {rows} {noun(count, 'breaks', 'break')} "
        f"the contract; {allowed:,} {noun(allowed, 'is', 'are')} allowed; nothing was loaded{''.join(lines)}",
        hint="Correct the workbook, or raise max_rejects in your own contract file and pass it with --contract."
        if contract.fingerprint == Contract.default().fingerprint
        else "Correct the workbook, or raise max_rejects in its contract.",
    )


def _cell_of(reject: Reject, contract: Contract) -> str:
    """The address of a rejected cell, with its sheet if several are loaded together."""
    return f"{reject.sheet!r}, {reject.cell}" if contract.several_sheets and reject.sheet else reject.cell


def _refuse_duplicates(
    judge: Judge,
    contract: Contract,
    source: str,
    rows_in_others: int,
    overlaps: tuple[Overlap, ...],
    *,
    replaces: bool,
) -> None:
    """Raise DuplicateRows if other sources hold a larger share of the rows than the contract allows."""
    if rows_in_others <= contract.max_overlap * judge.rows_accepted:
        return
    rows = f"{rows_in_others:,} of {counted(judge.rows_accepted, 'row')} {noun(rows_in_others, 'is', 'are')}"
    places = "; ".join(f"{each.rows:,} in {each}" for each in overlaps)
    raise DuplicateRows(
        f"{source}: {rows} already loaded from other workbooks and "
        f"would count twice: {places}; the contract allows {contract.max_overlap:.0%}; nothing was loaded",
        hint=_duplicate_hint(source, replaces=replaces),
    )


def _duplicate_hint(source: str, *, replaces: bool) -> str:
    """The hint of a refused duplicate. replaces: it would replace loaded rows, which `forget` would delete too."""
    name = shlex.quote(source)
    load = f"oad it anyway with `retailpipe ingest {name} --allow-duplicate`."
    return f"L{load}" if replaces else f"Remove it with `retailpipe forget {name}`, or l{load}"


@contextmanager
def _no_garbage_collection() -> Generator[None]:
    """Disable garbage collection.

    A load creates millions of objects without cycles; collection would take 10% of its time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
