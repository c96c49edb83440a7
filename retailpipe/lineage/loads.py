"""The events of a load: from a workbook to its table in bronze."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retailpipe.lineage.datasets import Database, Dataset, workbook_name
from retailpipe.lineage.emitter import guarded
from retailpipe.lineage.facets import Facet, facets
from retailpipe.lineage.runs import Content, Run

if TYPE_CHECKING:
    from retailpipe.contract import Contract
    from retailpipe.environment import Environment
    from retailpipe.lineage.emitter import Emit
    from retailpipe.reports import LoadReport
    from retailpipe.snapshots import Snapshot

_IDENTITY = {"type": "DIRECT", "subtype": "IDENTITY"}
_OWN_COLUMNS = [("load_id", "bigint"), ("source_row", "integer")]


class LoadRun(Run):
    """The events of one load. sink: takes them, if not the environment.

    A load that changes nothing emits nothing: `loaded` and `begin_load` are not called then.
    """

    def __init__(self, environment: Environment, snapshot: Snapshot, sink: Emit | None = None) -> None:
        super().__init__(environment, f"ingest.{snapshot.key}", "LOAD", sink)
        self._snapshot = snapshot
        with guarded():
            self._workbook = workbook_name(environment, snapshot.key)
            self._known = Content([self._input()])

    def begin_load(self, contract: Contract) -> None:
        """The first row is about to be loaded."""
        self.begin(lambda: Content([self._input(contract)], [self._output(contract)]))

    def loaded(self, contract: Contract, report: LoadReport) -> None:
        """The load is committed."""
        self.end(lambda: self._loaded(contract, report))

    def _loaded(self, contract: Contract, report: LoadReport) -> Content:
        read = {"rowCount": report.rows_read, "size": self._snapshot.path.stat().st_size, "fileCount": 1}
        source = self._input(contract) | {"inputFacets": facets(inputStatistics=read)}
        written = self._output(contract) | {"outputFacets": facets(outputStatistics={"rowCount": report.rows_loaded})}
        outputs = [written]
        if report.rows_rejected:
            rejected = Database.of(self._environment).table("bronze.rejected_rows").dataset()
            outputs.append(rejected | {"outputFacets": facets(outputStatistics={"rowCount": report.rows_rejected})})
        load: Facet = {
            "loadId": report.load_id,
            "status": report.status,
            "contract": contract.name,
            "contractFingerprint": contract.fingerprint,
            "contentSha256": report.content_hash,
            "rowsRead": report.rows_read,
            "rowsLoaded": report.rows_loaded,
            "rowsRejected": report.rows_rejected,
            "rowsSkipped": report.rows_skipped,
        }
        return Content([source], outputs, facets(retailpipe_load=load))

    def _input(self, contract: Contract | None = None) -> Dataset:
        fields = {"fields": [{"name": column.header} for column in contract.columns]} if contract else None
        version = {"datasetVersion": self._snapshot.version or self._snapshot.content_hash}
        return self._workbook.dataset(version=version, schema=fields)

    def _output(self, contract: Contract) -> Dataset:
        columns = [*((column.name, column.postgresql_type) for column in contract.columns), *_OWN_COLUMNS]
        columns += [("source_sheet", "text")] if contract.several_sheets else []
        lineage = {
            column.name: {"inputFields": [self._workbook.field(column.header, _IDENTITY)]}
            for column in contract.columns
        }
        table = Database.of(self._environment).table(f"bronze.{contract.table}")
        return table.dataset(
            schema={"fields": [{"name": name, "type": kind} for name, kind in columns]},
            columnLineage={"fields": lineage},
        )
