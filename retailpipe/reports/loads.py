"""What `ingest`, `upload` and `rejects` return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retailpipe.counts import counted, noun
from retailpipe.errors import LoadError, RetailpipeError, WarehouseError, WorkersError
from retailpipe.reports.report import Report

LoadStatus = Literal["loaded", "replaced", "unchanged", "would load", "would replace"]


@dataclass(frozen=True)
class Reject(Report):
    """A rejected row: the first cell that breaks the contract, and the whole row as text."""

    sheet: str
    source_row: int
    cell: str
    column_name: str
    raw_value: str
    code: str
    message: str
    hint: str
    raw_row: dict[str, str]


@dataclass(frozen=True)
class Overlap(Report):
    """Rows of a new load that the current load of another source holds too.

    rows: how many rows of the other source are also in the new load.
    first_date, last_date: of the other source.
    """

    source: str
    rows: int
    first_date: datetime | None
    last_date: datetime | None

    def __str__(self) -> str:
        dates = (
            f" ({self.first_date:%Y-%m-%d} to {self.last_date:%Y-%m-%d})" if self.first_date and self.last_date else ""
        )
        return f"{self.source}{dates}"


@dataclass(frozen=True)
class Replaced(Report):
    """The earlier load of the same source, whose rows a load replaces.

    loaded_at: when it was loaded, in UTC.
    """

    load_id: int
    rows_loaded: int
    loaded_at: datetime


@dataclass(frozen=True)
class Replacement(Report):
    """A workbook in the store that an upload would replace, because its content differs.

    size: in bytes. modified: in UTC. load: its current load; None if it is not loaded.
    """

    key: str
    size: int
    modified: datetime
    load: Replaced | None

    def __str__(self) -> str:
        loaded = (
            f"{counted(self.load.rows_loaded, 'row')} loaded {self.load.loaded_at:%Y-%m-%d}"
            if self.load
            else "not loaded"
        )
        return f"{self.key} ({self.size:,} bytes, written {self.modified:%Y-%m-%d %H:%M} UTC, {loaded})"


@dataclass(frozen=True)
class LoadReport(Report):
    """The result of loading one workbook.

    status: `loaded` for a new source, `replaced` if its content or contract changed, `unchanged` if it was already
        loaded; `would load` and `would replace` in a dry run.
    load_id: the number of the load in the ledger; None in a dry run.
    rows_read: always rows_loaded + rows_rejected + rows_corrected.
    rejects: the first rejected rows; all of them are in bronze.rejected_rows.
    ignored_columns: headers of the workbook that are not in the contract.
    seconds: elapsed time.
    replaces: the load whose rows this one replaces, or would replace; None for a new source.
    rows_in_others: how many of the loaded rows other sources hold too.
    overlaps: the sources that hold most of these rows, at most 5.
    rows_skipped: rows that the contract's `skip_rows` and `skip_footer` exclude; not part of rows_read.
    rows_corrected: rejected rows that are loaded with corrected cells; not part of rows_rejected.
    """

    source: str
    status: LoadStatus
    content_hash: str
    load_id: int | None
    sheet: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    first_date: datetime | None
    last_date: datetime | None
    rejects: tuple[Reject, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    seconds: float = 0.0
    replaces: Replaced | None = None
    rows_in_others: int = 0
    overlaps: tuple[Overlap, ...] = ()
    rows_skipped: int = 0
    rows_corrected: int = 0

    def __str__(self) -> str:
        counts = f"{counted(self.rows_read, 'row')} read, {self.rows_loaded:,} loaded, {self.rows_rejected:,} rejected"
        if self.rows_corrected:
            counts += f", {self.rows_corrected:,} corrected"
        if self.rows_skipped:
            counts += f", {self.rows_skipped:,} skipped"
        if self.status == "unchanged":
            return f"{self.source}: unchanged, already loaded as load {self.load_id} ({counts})"
        if self.load_id is None:
            return f"{self.source}: {self.status} ({counts.replace(' loaded', ' accepted')}){self._replacement()}"
        done = f"{self.status} as load {self.load_id} in {self.seconds:.1f} s"
        return f"{self.source}: {done} ({counts}){self._replacement()}"

    def _replacement(self) -> str:
        if self.replaces is None:
            return ""
        old = f"{counted(self.replaces.rows_loaded, 'row')} of {self.replaces.loaded_at:%Y-%m-%d}"
        return f"; replaces {old} with {self.rows_loaded:,}"


class SomeNotLoaded(LoadError):
    """Some of several workbooks were not loaded.

    reports: the LoadReports of the others.
    failures: the error of each workbook that failed.
    untried: how many workbooks were not tried, because the database or the workers failed before them.
    """

    def __init__(self, reports: Sequence[LoadReport], failures: Sequence[RetailpipeError], *, untried: int = 0) -> None:
        lines = "".join(f"\n- {failure}" for failure in failures)
        if untried:
            lines += f"\n- {untried} more {noun(untried, 'was', 'were')} not tried"
        hint = " ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint))
        missing = len(failures) + untried
        which = f"{missing} of {counted(len(reports) + missing, 'workbook')} {noun(missing, 'was', 'were')}"
        super().__init__(f"{which} not loaded:{lines}", hint=hint)
        self.reports = tuple(reports)
        self.failures = tuple(failures)
        self.untried = untried

    @property
    def is_outage(self) -> bool:
        """Whether the database or the workers failed, not only workbooks."""
        return any(isinstance(failure, WarehouseError | WorkersError) for failure in self.failures)
