"""Load a workbook into bronze: its ledger row, its rows and its rejected rows, all in one transaction."""

from __future__ import annotations

import gc
import shlex
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa

from retailpipe.bronze import layouts, ledger, locks
from retailpipe.bronze.judge import Judge
from retailpipe.bronze.overlap import NewRows, create_temporary_table, has_other_loads, overlap, rows_of_load
from retailpipe.bronze.schema import ensure_schema
from retailpipe.contract import Contract
from retailpipe.counts import counted, noun
from retailpipe.errors import DuplicateContent, DuplicateRows, LoadError, TooManyRejects, WarehouseError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import LoadReport, LoadStatus, Overlap, Reject, Replaced
from retailpipe.warehouse import Warehouse
from retailpipe.workbook.cells import cell_address
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
    contract changed, the new rows replace the old ones. A dry run reads and checks the whole workbook, and writes
    nothing.

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
            _copy(connection, contract, batches, load_id, snapshot.key)
            new_rows = rows_of_load(contract, load_id)
        elif has_other_loads(connection, contract, snapshot.key):
            target = create_temporary_table(connection, contract)
            _copy(connection, contract, batches, 0, snapshot.key, target)
            new_rows = ".".join(target)
        else:
            for _ in batches:
                pass
        if not judge.rows_read:
            raise workbook.no_rows()
        _refuse_too_many(judge, contract, snapshot.key)
        rows_in_others, overlaps = 0, ()
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
            ledger.close_load(connection, load_id, counts, judge.rejects, snapshot.etag)
            connection.commit()
    return LoadReport(
        source=snapshot.key,
        status=status,
        content_hash=snapshot.content_hash,
        load_id=load_id,
        sheet=workbook.sheet_names,
        rows_read=judge.rows_read,
        rows_loaded=judge.rows_accepted,
        rows_rejected=len(judge.rejects),
        first_date=judge.first_date,
        last_date=judge.last_date,
        rejects=tuple(judge.rejects[:REJECTS_REPORTED]),
        ignored_columns=workbook.ignored,
        rows_skipped=workbook.rows_skipped,
        seconds=round(time.monotonic() - started, 3),
        replaces=Replaced(old.load_id, old.rows_loaded, old.finished_at) if old else None,
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


def _copy(
    connection: Connection,
    contract: Contract,
    batches: Iterator[tuple[pa.RecordBatch, Layout]],
    load_id: int,
    source: str,
    target: tuple[str, str] | None = None,
) -> None:
    """Stream the rows, each with its load_id, into the contract's table, or into another table with its columns.

    One COPY loads all batches, unless the type of a decimal column widens: then another COPY starts. If PostgreSQL
    refuses a value, raises LoadError with the cell that holds it.
    """
    number = pa.scalar(load_id, pa.int64())
    field = pa.field("load_id", pa.int64(), nullable=False)
    # The row numbers and the sheet of each batch that was sent, to find the cell of a refused value.
    sent: list[tuple[pa.Array, Layout]] = []
    copied = 0  # rows sent by the COPYs before the current one

    def numbered() -> Iterator[pa.RecordBatch]:
        for batch, layout in batches:
            sent.append((batch.column("source_row"), layout))
            yield batch.append_column(field, pa.repeat(number, batch.num_rows))

    try:
        for schema, same_schema in groupby(numbered(), key=attrgetter("schema")):
            copied = sum(len(numbers) for numbers, _ in sent[:-1])
            connection.ingest(*(target or ("bronze", contract.table)), schema, same_schema)
    except WarehouseError as error:
        if not error.copied:
            raise
        index, column = copied + error.copied[0] - 1, contract.arrow_schema.names.index(error.copied[1])
        for numbers, layout in sent:
            sheet_column = layout.columns[column]
            if index < len(numbers) and sheet_column is not None:
                cell = cell_address(numbers[index].as_py(), sheet_column)
                raise LoadError(f"{place_of(source, layout.sheet)}, cell {cell}: {error}", hint=error.hint) from error
            index -= len(numbers)
        raise


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
