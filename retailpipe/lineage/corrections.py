"""The events of a correction: from the quarantine to the table of the load that it corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retailpipe.keys import INPUT
from retailpipe.lineage.datasets import Database
from retailpipe.lineage.facets import Facet, facets
from retailpipe.lineage.runs import Content, Run

if TYPE_CHECKING:
    from retailpipe.environment import Environment
    from retailpipe.reports import CorrectionReport


class CorrectionRun(Run):
    """The events of one correction, or of one replay. One that changes nothing emits nothing.

    source: the key of the workbook, which may lack `input/`.
    """

    def __init__(self, environment: Environment, source: str) -> None:
        key = source if source.startswith(INPUT) else f"{INPUT}{source}"
        super().__init__(environment, f"correct.{key}", "CORRECTION")

    def corrected(self, table: str, report: CorrectionReport) -> None:
        """The correction is committed. table: of bronze."""
        if report.load_id is not None:
            self.end(lambda: self._corrected(table, report))

    def _corrected(self, table: str, report: CorrectionReport) -> Content:
        database = Database.of(self._environment)
        quarantine = database.table("bronze.rejected_rows").dataset()
        loaded = database.table(f"bronze.{table}").dataset()
        read, written = {"rowCount": report.rows_read}, {"rowCount": report.rows_corrected}
        correction: Facet = {
            "loadId": report.load_id,
            "corrects": report.corrects,
            "rowsCorrected": report.rows_corrected,
            "rowsRejected": report.rows_rejected,
            "rowsLeft": report.rows_left,
        }
        return Content(
            [quarantine | {"inputFacets": facets(inputStatistics=read)}],
            [loaded | {"outputFacets": facets(outputStatistics=written)}],
            facets(retailpipe_correction=correction),
        )
