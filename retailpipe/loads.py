"""Load one workbook of an environment, in this process: `pipeline` and the workers both do it by `load_snapshot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, SheetError
from retailpipe.progress import Progress
from retailpipe.refused import note_refusal
from retailpipe.reports import LoadReport
from retailpipe.snapshots import Snapshot

if TYPE_CHECKING:
    from retailpipe.lineage.emitter import Emit, Event

_FALLBACK = "No contract of the environment is for this name, so the contract for Online Retail was used."


def load_snapshot(
    environment: Environment,
    snapshot: Snapshot,
    choose: Callable[[str], Contract | None],
    *,
    allow_duplicate: bool = False,
    dry_run: bool = False,
    would_load: Mapping[str, str] | None = None,
    progress: Progress | None = None,
    starting: Callable[[], None] | None = None,
    emit: Emit | None = None,
) -> LoadReport:
    """Load the snapshot of a workbook, and write its receipt; or record why the workbook was refused.

    choose: returns the contract for a key; None stands for the contract for Online Retail.
    emit: takes the events of OpenLineage, instead of the environment; a worker sends them to its client.
    The other arguments are those of `bronze.loader.load`, and it raises the same errors.
    """
    from retailpipe.bronze.loader import load
    from retailpipe.lineage.loads import LoadRun

    chosen = None
    with LoadRun(environment, snapshot, _ignore if dry_run else emit) as events:

        def begin() -> None:
            events.begin_load(chosen or Contract.default())
            if starting:
                starting()

        try:
            chosen = choose(snapshot.key)
            report = load(
                environment.warehouse,
                snapshot,
                chosen or Contract.default(),
                allow_duplicate=allow_duplicate,
                dry_run=dry_run,
                would_load=would_load,
                progress=progress,
                starting=begin,
            )
        except RetailpipeError as error:
            if isinstance(error, SheetError) and chosen is None:
                error.hint = f"{_FALLBACK} {error.hint}"
            if not dry_run:
                note_refusal(environment, snapshot, error)
            raise
        if report.status != "unchanged":
            events.loaded(chosen or Contract.default(), report)
    if not dry_run:
        environment.store.acknowledge(snapshot, report)
    return report


def _ignore(event: Event) -> None:
    """Take an event of a dry run, which is no load."""
