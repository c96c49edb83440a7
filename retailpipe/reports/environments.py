"""What `status`, `forget` and `environments` return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from retailpipe.counts import counted
from retailpipe.reports.builds import RunReport
from retailpipe.reports.report import Report

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Forgotten(Report):
    """What `forget` did to one workbook.

    load_id: the load that was forgotten; None if the workbook was not loaded.
    rows, rejects: how many rows and rejected rows were deleted.
    workbook: whether it was removed from the store, was kept there, or was already missing.
    """

    source: str
    load_id: int | None
    rows: int
    rejects: int
    workbook: Literal["removed", "kept", "missing"]

    def __str__(self) -> str:
        if self.load_id is None:
            return f"{self.source}: was not loaded; workbook {self.workbook}"
        counts = f"{counted(self.rows, 'row')}, {counted(self.rejects, 'rejected row')}"
        return f"{self.source}: forgot load {self.load_id} ({counts}); workbook {self.workbook}"


@dataclass(frozen=True)
class ForgetReport(Report):
    """The result of `forget`.

    build: the build of silver and gold afterwards; None if there was nothing to build.
    """

    ok: bool
    forgotten: Forgotten
    build: RunReport | None


@dataclass(frozen=True)
class Refusal(Report):
    """Why the present content of a workbook was not loaded when that was last tried. refused_at: in UTC."""

    source: str
    reason: str
    refused_at: datetime

    def __str__(self) -> str:
        first = self.reason.partition("\n")[0].rstrip(":")
        short = first if len(first) <= _LONGEST_REASON else f"{first[:_LONGEST_REASON]}..."
        return f"refused on {self.refused_at:%Y-%m-%d at %H:%M} UTC: {short}"


@dataclass(frozen=True)
class StatusReport(Report):
    """The ledger, newest load first, and the keys of the workbooks that are not loaded yet.

    refusals: why workbooks among those were refused when they were last tried.

    kept: workbooks in the store that were forgotten with --keep-workbook: they are loaded again only if they are named.
    removed: workbooks that are loaded, but are no longer in the store.
    given_up: the number of messages in a stack's dead-letter queue: notices of workbooks that `watch` could not load.
        None for a local environment.
    loads_in_ledger: how many loads the ledger has; `loads` may be only the newest.
    workbooks_loaded, rows_loaded: how many workbooks are loaded now, and how many rows they have in bronze.
    contract_error: why the contracts of the environment cannot be read, with what to do; empty if they can. Until that
        is corrected, no workbook is loaded, and `waiting` lacks the workbooks whose contract has changed.
    """

    store: str
    loads: tuple[dict[str, Any], ...]
    waiting: tuple[str, ...]
    given_up: int | None = None
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    loads_in_ledger: int = 0
    workbooks_loaded: int = 0
    rows_loaded: int = 0
    contract_error: str = ""


@dataclass(frozen=True)
class EnvironmentReport(Report):
    """An environment in a folder of this machine, as far as it can be read without starting its server.

    server: the state of the embedded server; `own` if workbooks were loaded, but only into a server that was
        selected by its URL; `none` if there is no database.
    port, pid: of the server if it runs.
    size: bytes on disk, with the data of the server.
    workbooks: how many are in the store; None if the store cannot be read.
    last_load: when the last load ended; None if no load is recorded.
    """

    folder: str
    server: Literal["running", "starting", "stopped", "own", "none"]
    port: int | None
    pid: int | None
    size: int
    workbooks: int | None
    last_load: datetime | None

    @property
    def is_embedded(self) -> bool:
        """Whether the environment has an embedded server."""
        return self.server in ("running", "starting", "stopped")
