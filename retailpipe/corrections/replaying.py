"""Judge the quarantine of a load again, under the contract as it is now, without reading the workbook."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from retailpipe.bronze import schema
from retailpipe.contract import Contract
from retailpipe.corrections.correcting import finished, locked_load
from retailpipe.corrections.loaded import Loaded, key_of, loaded
from retailpipe.environment import Environment
from retailpipe.errors import ContractError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import CorrectionReport

if TYPE_CHECKING:
    from retailpipe.bronze.layouts import SheetLayout
    from retailpipe.bronze.quarantine import QuarantinedRow
    from retailpipe.connection import Connection


def replay(
    environment: Environment, source: str, *, contract: Contract | None = None, progress: Progress | None = None
) -> CorrectionReport:
    """Judge the rejected rows of a loaded workbook again, under the contract as it is now.

    Rows that follow it are loaded as a correction; the others stay rejected, with their present reason. The rows that
    are loaded already are not judged: `ingest` does that when it loads the whole workbook under the new contract.

    source: the key of the loaded workbook, with or without `input/`.
    contract: default: that of the environment.

    Raises ContractError if the new contract takes other columns, sheets or header rows from the workbook, or loads into
    another table; SheetError if the sheet lacks a column; LoadError if an earlier version of retailpipe made the load;
    SourceNotFound, NothingLoaded, StoreError, WarehouseError.
    """
    from retailpipe.bronze.corrections import apply
    from retailpipe.lineage.corrections import CorrectionRun

    progress = progress or NoProgress()
    started = time.monotonic()
    with CorrectionRun(environment, source) as events, environment.warehouse.connect() as connection:
        if schema.has_schema(connection) and schema.ensure_schema(connection, Contract.default(), progress):
            connection.commit()
        load = loaded(connection, environment, key_of(connection, environment, source), contract, same=False)
        _check(connection, load)
        if schema.ensure_schema(connection, load.contract, progress):
            connection.commit()
        load = locked_load(connection, environment, load.entry.source, contract, "", progress, same=False)
        _check(connection, load)
        progress.step("judging the rejected rows")
        rows = _not_skipped(load)
        entry = load.entry
        applied = apply(connection, entry, load.contract, rows, load.sheets, entry.content_hash, keep_reasons=True)
        report = finished(connection, environment, load, applied, len(rows), started)
        events.corrected(load.contract.table, report)
    return report


def _check(connection: Connection, load: Loaded) -> None:
    """Raise ContractError or SheetError if the quarantine cannot be judged under the contract."""
    from retailpipe.workbook.sheet import find_layout

    entry, contract = load.entry, load.contract
    if contract.table != entry.table_name:
        raise _other(load, f"it loads into bronze.{contract.table}, not into bronze.{entry.table_name}")
    has_sheets = connection.row(
        "select exists (select from pg_attribute where attrelid = to_regclass($1) and attname = 'source_sheet')",
        f'bronze."{entry.table_name}"',
    ) == (True,)
    if has_sheets != contract.several_sheets:
        raise _other(load, f"it loads {'one sheet' if has_sheets else 'several sheets'}")
    for sheet in load.sheets:
        if sheet.sheet and not contract.reads_sheet(sheet.sheet):
            raise _other(load, f"it does not read sheet {sheet.sheet!r}")
        if contract.header_row not in (None, sheet.header_row):
            raise _other(load, f"its header is in row {contract.header_row}, not in row {sheet.header_row}")
        found = find_layout(entry.source, sheet.sheet, sheet.header_row, dict(sheet.headers), contract)
        pairs = zip(contract.columns, found.columns, strict=True)
        columns = {column.name: index for column, index in pairs if index is not None}
        if different := sorted(columns.items() ^ sheet.columns.items()):
            names = ", ".join(sorted({name for name, _ in different}))
            raise _other(load, f"it takes other columns from the workbook: {names}")


def _other(load: Loaded, reason: str) -> ContractError:
    return ContractError(
        f"the rejected rows of {load.entry.source} cannot be judged under contract {load.contract.name!r}: {reason}",
        hint=f"Load the whole workbook under it: `retailpipe ingest {shlex.quote(load.entry.source)}`.",
    )


def _not_skipped(load: Loaded) -> list[QuarantinedRow]:
    """The rejected rows, without those that the contract skips now: they must not be loaded."""
    from retailpipe.bronze.corrections import chunk_of, layout_of
    from retailpipe.workbook.skipping import RowFilter

    rules = replace(load.contract, skip_footer=0)
    kept: list[QuarantinedRow] = []
    for name, of_sheet in groupby(load.rejected, key=lambda row: row.sheet):
        rows = [*of_sheet]
        sheet: SheetLayout = load.sheet(name)
        chunks = RowFilter(load.entry.source, layout_of(sheet, rules), rules).kept(iter([chunk_of(rows)]))
        numbers = {number for chunk in chunks for number in chunk.numbers}
        kept += [row for row in rows if row.source_row in numbers]
    return kept
