"""Builds silver and gold from bronze, and records what they were built from.

No load commits and no other build runs during a build: it holds the lock of bronze in a session of its own, which lives
longer than dbt's connections.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from retailpipe import dbt_runner
from retailpipe.bronze import build_record
from retailpipe.bronze.ledger import lock_for_build
from retailpipe.bronze.schema import ensure_schema, is_migrated
from retailpipe.contract import Contract
from retailpipe.dbt_runner import WarmUp
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, TransformError, UsageError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport

if TYPE_CHECKING:
    from retailpipe.connection import Connection

_BUILDING = {"build", "run", "test", "seed", "snapshot", "retry", "clone"}


def transform(
    environment: Environment,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    progress: Progress | None = None,
    warm_up: WarmUp | None = None,
) -> BuildReport:
    """Builds silver and gold from bronze with `dbt build`, and runs their tests.

    select: nodes in dbt's own syntax, such as `fact_sales_daily+`; default: all.
    full_refresh: build incremental models anew. It is done in any case where the last build failed, or was by another
        version of the dbt project.

    warm_up: what was begun for this call, if anything was.

    A model or test that fails is told in the report. Raises TransformError if dbt cannot run at all, UsageError if
    `select` matches nothing.
    """
    progress = progress or NoProgress()
    started = time.monotonic()
    # Unit tests are about the models, not about these data: `retailpipe dbt test` runs them too.
    arguments = [
        "--log-level",
        "none",
        "--log-level-file",
        "info",
        "--no-write-json",
        "build",
        "--exclude-resource-type",
        "unit_test",
    ]
    arguments += [*(["--select", select] if select else []), *(["--full-refresh"] if full_refresh else [])]
    project = dbt_runner.project_hash()
    with _bronze_locked(environment, progress) as connection:
        if not select:
            # What another version of the project built, or a build that failed, is no ground to build upon.
            if not full_refresh and not build_record.built_by(connection, project):
                arguments.append("--full-refresh")
            build_record.clear(connection)
            connection.commit()
        else:
            _clear_record_unless_up_to_date(connection)
        progress.step("starting dbt")
        result = dbt_runner.invoke(
            environment, arguments, [dbt_runner.Listener(progress)], warm_up.manifest() if warm_up else None
        )
        if result.success and not select:
            build_record.record(connection, project)
            connection.commit()
    if result.exception:
        raise TransformError(
            f"dbt could not run: {result.exception}", hint=dbt_runner.log_hint(environment)
        ) from result.exception
    results: list[Any] = list(getattr(result.result, "results", []))
    if not results:
        if select:
            raise UsageError(f"--select {select!r} matches no model or test", hint="See `retailpipe dbt ls`.")
        raise TransformError("dbt found nothing to build", hint=dbt_runner.log_hint(environment))
    return dbt_runner.build_report(environment, results, time.monotonic() - started)


def is_up_to_date(connection: Connection) -> bool:
    """Whether silver and gold are what a `transform` would build: by this project, of all that bronze holds."""
    if not is_migrated(connection) or not build_record.is_built(connection, dbt_runner.project_hash()):
        return False
    places = ", ".join(f"to_regclass('{name}')" for name in dbt_runner.relations())
    return None not in (connection.row(f"select {places}") or (None,))


def is_built(environment: Environment) -> bool:
    """Whether silver and gold are what a `transform` would build. Raises WarehouseError."""
    with environment.warehouse.connect(read_only=True) as connection:
        return is_up_to_date(connection)


def dbt(environment: Environment, arguments: Sequence[str]) -> int:
    """Runs any dbt command on an environment, its output as dbt's own; gives dbt's exit code: 0, 1 or 2.

    One that builds or tests keeps loads and other builds waiting, as `transform` does.
    """
    if _BUILDING & set(arguments):
        with _bronze_locked(environment, NoProgress()) as connection:
            _clear_record_unless_up_to_date(connection)
            result = dbt_runner.invoke(environment, list(arguments), [])
    else:
        if environment.stack:
            with suppress(RetailpipeError), environment.warehouse.connect():
                pass  # a password that was changed is known from here on; what fails, dbt tells
        result = dbt_runner.invoke(environment, list(arguments), [])
    if result.success:
        return 0
    if result.exception is None:
        return 1
    # dbt prints its own failures, but not what its command line does not accept.
    if dbt_runner.is_usage_error(result.exception):
        raise UsageError(f"dbt: {result.exception}", hint="List dbt's commands with `retailpipe dbt -- --help`.")
    return 2


def _clear_record_unless_up_to_date(connection: Connection) -> None:
    """Before a build of some models: where others are not abreast of it, the next whole build begins from nothing."""
    if not build_record.is_built(connection, dbt_runner.project_hash()):
        build_record.clear(connection)
        connection.commit()


@contextmanager
def _bronze_locked(environment: Environment, progress: Progress) -> Generator[Connection]:
    """Makes schema bronze where there is none, and keeps loads and other builds waiting meanwhile."""
    with environment.warehouse.connect() as connection:
        ensure_schema(connection, Contract.default())
        connection.commit()
        lock_for_build(connection, progress)
        # For the plans of what follows; a load, which is to be quick, leaves it to whoever needs it.
        connection.execute("analyze bronze.raw_transactions")
        connection.commit()
        yield connection
