"""The options of loads on several processes or on a Dask cluster, and the executor that they select."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from retailpipe.cli.terminal import say
from retailpipe.environment import Environment
from retailpipe.errors import UsageError
from retailpipe.progress import Progress
from retailpipe.reports import LoadReport, RunReport, SomeNotLoaded

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Load this many workbooks at once, each in its own process. Default: as many as there are cores, "
        "or one process for small workbooks.",
    ),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|ADDR",
        help="Load on this many workers of the AWS stack, or on those of a Dask cluster, such as tcp://host:8786 or "
        "tls://host:8786.",
    ),
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once",
        metavar="N",
        min=1,
        help="Load at most this many workbooks at once. Default: as many as the database has free connections.",
    ),
]


def count_of(workers: str | None, jobs: int | None = None) -> int:
    """The number that --workers is; 0 if it is an address. Raises UsageError if --jobs is given too."""
    if workers is None or not workers.isdecimal():
        return 0
    if jobs:
        raise _two_executors()
    return int(workers)


def load_on_stack(
    environment: Environment,
    sources: Sequence[str],
    workers: int,
    *,
    contract: Path | None,
    allow_duplicate: bool,
    replace: bool,
    at_once: int | None,
    progress: Progress,
    quiet: bool,
) -> list[LoadReport]:
    """Load on workers of the stack: say before what it takes, and that it goes on if this is interrupted.

    Raises what `ingest_on_workers` raises.
    """
    from retailpipe.bindings import contract_file
    from retailpipe.cli.invocation import command
    from retailpipe.fargate.loading import ingest_on_workers
    from retailpipe.fargate.runs import Run

    begun: list[Run] = []
    try:
        return ingest_on_workers(
            environment,
            *sources,
            workers=workers,
            contract=contract_file(contract, environment.folder) if contract else None,
            allow_duplicate=allow_duplicate,
            replace=replace,
            at_once=at_once,
            progress=progress,
            planned=lambda plan: None if quiet else say(str(plan), err=True),
            started=begun.append,
        )
    except KeyboardInterrupt:
        if begun:
            follow, stop = command("workers status"), command("workers stop")
            say(f"the run goes on without this machine: see `{follow}`, or stop it with `{stop}`", err=True)
        raise


def load_before_run(
    environment: Environment, sources: Sequence[str], workers: int, **options: Any
) -> Sequence[LoadReport]:
    """Load on workers as `load_on_stack` does; return the reports of what was loaded.

    What was refused is tried again by `run`, which then says why. Raises what `load_on_stack` raises, but
    SomeNotLoaded only if the database or the workers failed.
    """
    try:
        return load_on_stack(environment, sources, workers, **options)
    except SomeNotLoaded as error:
        if error.is_outage:
            raise
        return error.reports


def with_loads(done: RunReport, loads: Sequence[LoadReport]) -> RunReport:
    """The report of a run with the loads that were done before it, which it found unchanged."""
    sources = {load.source for load in loads}
    return dataclasses.replace(done, loads=(*loads, *(load for load in done.loads if load.source not in sources)))


def _two_executors() -> UsageError:
    return UsageError("--jobs and --workers select different executors", hint="Pass only one of these options.")


@contextmanager
def executor_of(environment: Environment, jobs: int | None, workers: str | None) -> Generator[Executor | None]:
    """The executor that the options select; None if all is loaded in this process. No process is started yet.

    Raises UsageError, WorkersError.
    """
    if workers and jobs:
        raise _two_executors()
    if workers:
        from retailpipe.workers.dask import DaskWorkers

        with DaskWorkers(workers) as executor:
            yield executor
        return
    count = jobs or _cores()
    if count == 1 or (jobs is None and not _is_open_to_workers(environment)):
        yield None
        return
    from retailpipe.workers.processes import Processes

    with Processes(count, is_asked_for=jobs is not None) as executor:
        yield executor


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_open_to_workers(environment: Environment) -> bool:
    """Whether workers can open the environment: with a password in the database URL they cannot."""
    from retailpipe.workers.places import Place

    try:
        Place.of(environment)
    except UsageError:
        return False
    return True
