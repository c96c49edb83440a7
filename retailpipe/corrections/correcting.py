"""Load the rows of a corrected workbook of rejected rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from retailpipe.bronze import locks, schema
from retailpipe.contract import Contract
from retailpipe.corrections.loaded import Loaded, acknowledge, key_of, loaded
from retailpipe.environment import Environment, expanded
from retailpipe.errors import UsageError
from retailpipe.keys import SUFFIX
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import CorrectionReport
from retailpipe.snapshots import file_snapshot

if TYPE_CHECKING:
    from retailpipe.bronze.corrections import Applied
    from retailpipe.connection import Connection

_REJECTS_REPORTED = 20


def correct(
    environment: Environment,
    path: str | Path,
    source: str,
    *,
    contract: Contract | None = None,
    progress: Progress | None = None,
) -> CorrectionReport:
    """Load the rows of a workbook that `write_rejects` wrote and its author corrected.

    The rows are found by their numbers. Rows that follow the contract now are loaded as a correction of the load of
    `source`; the others stay rejected, with their new reason. Rows that are missing in the file stay as they are.
    Everything is done in one transaction, and doing it again changes nothing.

    source: the key of the loaded workbook, with or without `input/`.
    contract: the contract that it was loaded under. Default: that of the environment.

    Raises LoadError, and changes nothing, if a row of the file is not in the quarantine, occurs twice, was corrected
    before with other values, or is of another workbook or of another content of it; or if an earlier version of
    retailpipe made the load. Raises UsageError, WorkbookError, SheetError if the file is no such workbook;
    SourceNotFound, NothingLoaded, ContractError, StoreError, WarehouseError.
    """
    from retailpipe.bronze.corrections import apply
    from retailpipe.corrections.reading import read_corrections
    from retailpipe.lineage.corrections import CorrectionRun

    progress = progress or NoProgress()
    started = time.monotonic()
    file = expanded(path)
    if file.suffix.lower() != SUFFIX:
        hint = "Pass the workbook that `retailpipe rejects --write FILE.xlsx` wrote, saved as .xlsx."
        raise UsageError(f"{path} does not end in {SUFFIX}", hint=hint)
    with (
        CorrectionRun(environment, source) as events,
        file_snapshot(file, file.name) as snapshot,
        environment.warehouse.connect() as connection,
    ):
        load = locked_load(connection, environment, source, contract, snapshot.content_hash, progress)
        progress.step("reading the corrections")
        found = read_corrections(snapshot.path, file.name, snapshot.content_hash, load)
        progress.step("loading the corrected rows")
        applied = apply(
            connection,
            load.entry,
            load.contract,
            found.rows,
            load.sheets,
            snapshot.content_hash,
            has_changes=found.has_changes,
        )
        report = finished(
            connection, environment, load, applied, len(found.rows), started, already=found.already_corrected
        )
        events.corrected(load.contract.table, report)
    return report


def locked_load(
    connection: Connection,
    environment: Environment,
    source: str,
    contract: Contract | None,
    content_hash: str,
    progress: Progress,
    *,
    same: bool = True,
) -> Loaded:
    """The load of a source, which no other load can replace before the transaction ends. Arguments as in `loaded`."""
    if schema.has_schema(connection) and schema.ensure_schema(connection, Contract.default(), progress):
        connection.commit()
    key = key_of(connection, environment, source)
    locks.lock(connection, key, content_hash, progress)
    return loaded(connection, environment, key, contract, same=same)


def finished(
    connection: Connection,
    environment: Environment,
    load: Loaded,
    applied: Applied,
    judged: int,
    started: float,
    *,
    already: int = 0,
) -> CorrectionReport:
    """Commit a correction, and return its report. judged: how many rows were judged."""
    left = load.entry.rows_rejected
    if applied.load_id is not None:
        connection.commit()
        left = acknowledge(connection, environment, load.entry.source)
    return CorrectionReport(
        source=load.entry.source,
        status="unchanged" if applied.load_id is None else "corrected",
        corrects=load.entry.load_id,
        load_id=applied.load_id,
        rows_read=judged,
        rows_corrected=len(applied.corrected),
        rows_rejected=len(applied.rejects),
        rows_already_corrected=already,
        rows_left=left,
        rejects=applied.rejects[:_REJECTS_REPORTED],
        seconds=round(time.monotonic() - started, 3),
    )
