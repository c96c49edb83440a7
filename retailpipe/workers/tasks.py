"""A task: one workbook to load, as small values that can be sent to another process or another machine."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, SourceNotFound, WarehouseError, WorkersError
from retailpipe.keys import INPUT
from retailpipe.lineage.emitter import Emit, Event
from retailpipe.loads import load_snapshot
from retailpipe.reports import LoadReport
from retailpipe.workers.places import Place
from retailpipe.workers.programs import Program, program, require_same
from retailpipe.workers.retries import with_retries

_log = logging.getLogger(__name__)
_TOGETHER_SECONDS = 1.0
"""How long a worker begins loads of one batch, so that progress is shown every second."""


@dataclass(frozen=True)
class Task:
    """A workbook to load.

    key, version: of the workbook in the store. The version is the store's etag when the task was made. If the workbook
        changes before the load begins, the new content is loaded, as in one process.
    contract: None for the contract for Online Retail, which each worker has.
    program: the versions of the program that made the task.
    """

    key: str
    version: str
    place: Place
    contract: Contract | None
    allow_duplicate: bool
    program: Program


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a report, or the error that `ingest` reports for this workbook.

    events: of OpenLineage. The client emits them: a worker may be on a machine without the environment's folder.
    """

    report: LoadReport | None = None
    error: RetailpipeError | None = None
    events: tuple[Event, ...] = ()


def perform(task: Task) -> Outcome:
    """Load the workbook of a task in this process, in a transaction of its own.

    It may run more than once for a task, also at the same time: the ledger and its locks make repeats harmless.
    """
    events: list[Event] = []
    try:
        require_same(task.program, f"worker on {platform.node()}", program())
        environment = task.place.environment()
        report = with_retries(lambda: _load(environment, task, events.append))
        return Outcome(report=report, events=tuple(events))
    except RetailpipeError as error:
        if isinstance(error, SourceNotFound) and not task.place.outputs and not Path(task.place.folder, INPUT).is_dir():
            error.hint += f" Every worker must see the folder {task.place.folder}."
        return Outcome(error=error, events=tuple(events))


def perform_together(tasks: Sequence[Task]) -> list[Outcome]:
    """Load the workbooks of tasks one after the other; begin none after a second, or after an error of the database.

    Returns the outcomes of the tasks that were begun, at least of the first. The others are to be sent again.
    """
    outcomes: list[Outcome] = []
    started = time.monotonic()
    for task in tasks:
        outcomes.append(perform(task))
        outage = isinstance(outcomes[-1].error, WarehouseError | WorkersError)
        if outage or time.monotonic() - started >= _TOGETHER_SECONDS:
            break
    return outcomes


def _load(environment: Environment, task: Task, emit: Emit) -> LoadReport:
    with environment.store.snapshot(task.key) as snapshot:
        if task.version and snapshot.etag not in ("", task.version):
            _log.info("%s changed after it was listed; its new content is loaded", task.key)
        return load_snapshot(
            environment, snapshot, lambda key: task.contract, allow_duplicate=task.allow_duplicate, emit=emit
        )
