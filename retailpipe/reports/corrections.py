"""What `rejects --write`, `rejects --annotate`, `ingest --corrects` and `ingest --replay` return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retailpipe.counts import counted
from retailpipe.reports.loads import Reject
from retailpipe.reports.report import Report


@dataclass(frozen=True)
class RejectsFile(Report):
    """A workbook that shows the rejected rows of a load.

    rows, cells: how many rejected rows it shows, and how many of their cells break the contract.
    """

    path: str
    source: str
    load_id: int
    rows: int
    cells: int

    def __str__(self) -> str:
        what = f"{counted(self.rows, 'rejected row')} of {self.source} with {counted(self.cells, 'marked cell')}"
        return f"wrote {what} to {self.path}"


@dataclass(frozen=True)
class CorrectionReport(Report):
    """The result of correcting rejected rows, or of judging them again.

    status: `corrected` if rows were loaded, or if rows are rejected for other reasons now; otherwise `unchanged`.
    corrects: the load whose rejected rows were judged.
    load_id: the load of the corrected rows; None if nothing changed.
    rows_read: the rows that were judged, always rows_corrected + rows_rejected.
    rows_already_corrected: rows of the workbook that an earlier correction loaded.
    rows_left: how many rows of the load are still rejected.
    rejects: the first rows that were judged and still break the contract.
    """

    source: str
    status: Literal["corrected", "unchanged"]
    corrects: int
    load_id: int | None
    rows_read: int
    rows_corrected: int
    rows_rejected: int
    rows_already_corrected: int
    rows_left: int
    rejects: tuple[Reject, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        done = f"load {self.load_id} corrects load {self.corrects}" if self.load_id else "unchanged"
        counts = f"{self.rows_corrected:,} corrected, {self.rows_rejected:,} still rejected"
        if self.rows_already_corrected:
            counts += f", {self.rows_already_corrected:,} corrected before"
        left = f"{counted(self.rows_left, 'row of the workbook is', 'rows of the workbook are')} rejected now"
        return f"{self.source}: {done} in {self.seconds:.1f} s ({counts}); {left}"
