"""The options of loads on several processes or on a Dask cluster, and the executor that they select."""

from __future__ import annotations

import os
from collections.abc import Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Annotated

import typer

from retailpipe.environment import Environment
from retailpipe.errors import UsageError

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
        metavar="ADDRESS",
        help="Load on the workers of a Dask cluster, such as tcp://host:8786 or tls://host:8786.",
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


@contextmanager
def executor_of(environment: Environment, jobs: int | None, workers: str | None) -> Generator[Executor | None]:
    """The executor that the options select; None if all is loaded in this process. No process is started yet.

    Raises UsageError, WorkersError.
    """
    if workers and jobs:
        raise UsageError("--jobs and --workers select different executors", hint="Pass only one of these options.")
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
