"""`ingest` on the workers of a stack: from the workbooks that wait to their reports."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from retailpipe.aws.run_files import Bucket, RunFiles
from retailpipe.backlog import compare, write_missing_receipts
from retailpipe.contract import Contract
from retailpipe.environment import Environment
from retailpipe.errors import AwsError, UsageError
from retailpipe.fargate import results
from retailpipe.fargate.following import follow
from retailpipe.fargate.forecast import Forecast, forecast
from retailpipe.fargate.launch import require_workers, start
from retailpipe.fargate.runs import Run
from retailpipe.lineage.emitter import emit_all, guarded
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport
from retailpipe.sources import Key, Keys, stored_key

_log = logging.getLogger(__name__)


def ingest_on_workers(
    environment: Environment,
    *sources: str | Path,
    workers: int,
    contract: Path | None = None,
    allow_duplicate: bool = False,
    replace: bool = False,
    at_once: int | None = None,
    progress: Progress | None = None,
    planned: Callable[[Forecast], None] | None = None,
    started: Callable[[Run], None] | None = None,
) -> list[LoadReport]:
    """Load workbooks on workers of the stack, as `ingest` does, and wait for the end.

    workers: how many Fargate tasks load. contract: the file of the contract for all workbooks. planned: called with the
    forecast before anything is started. started: called with the run; it goes on if this call is interrupted.
    Other arguments as in `ingest`. Raises what `ingest` raises, and UsageError, WorkersError and AwsError.
    """
    stack = environment.stack
    if stack is None:
        raise UsageError(
            "a number of workers needs an AWS stack",
            hint="Add --stack NAME, or pass the address of a Dask scheduler, or use `--jobs N` on this machine.",
        )
    require_workers(stack, workers)
    chosen = Contract.from_file(contract) if contract else None  # so that a mistake in it starts nothing
    named = Keys(environment.store)
    if sources:
        keys = [stored_key(environment, source, named, replace=replace, progress=progress) for source in sources]
    else:
        found = compare(environment, contract=chosen)
        write_missing_receipts(environment, found)
        named, keys = Keys(environment.store, found.workbooks), [Key(key) for key in found.waiting]
    if not keys:
        return []
    if progress:
        progress.end()
    plan = forecast((stored for key in keys if (stored := named.find(key))), min(workers, len(keys)))
    if planned:
        planned(plan)
    run = start(environment, stack, keys, plan, contract=contract, allow_duplicate=allow_duplicate, at_once=at_once)
    if started:
        started(run)
    try:
        result = follow(stack, run, progress)
    except AwsError as error:
        error.hint = f"The run goes on without this machine: see `retailpipe workers status`. {error.hint}"
        raise
    _emit_events(environment, RunFiles(Bucket.of(stack), run.name))
    return results.reports_of(result, one=len(sources) == 1)


def _emit_events(environment: Environment, files: RunFiles) -> None:
    """Emit the events of OpenLineage that a run has left in the bucket. Raises nothing."""
    with guarded():
        try:
            document = files.read("lineage") or {}
        except AwsError as error:
            _log.warning("the lineage events of run %s cannot be read: %s", files.run, error)
        else:
            emit_all(environment.folder, document.get("events", []))
