"""Build silver and gold from bronze with dbt, and record what they were built from.

During a build no load can commit and no other build can run. The build holds the advisory lock of bronze in its own
database session, because dbt opens and closes its connections during the build.
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

_LOCKING_COMMANDS = {"build", "run", "test", "seed", "snapshot", "retry", "clone"}


def transform(
    environment: Environment,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    progress: Progress | None = None,
    warm_up: WarmUp | None = None,
) -> BuildReport:
    """Build silver and gold from bronze with `dbt build`, and run their tests.

    select: nodes in dbt's selection syntax, such as `fact_sales_daily+`; default: all.
    full_refresh: rebuild incremental models from scratch. A build of all nodes always does so if the last build failed
        or used another version of the dbt project.
    warm_up: a WarmUp that may have been started for this call.

    The report lists models and tests that fail. Raises TransformError if dbt cannot run at all, UsageError if `select`
    matches nothing.
    """
    progress = progress or NoProgress()
    started = time.monotonic()
    # Unit tests check the models on made-up rows, not the loaded data. `retailpipe dbt test` runs them.
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
            # Incremental models must not extend rows that a failed build or another version of the project left.
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
            raise UsageError(
                f"--select {select!r} matches no model or test", hint="List them with `retailpipe dbt ls`."
            )
        raise TransformError("dbt found nothing to build", hint=dbt_runner.log_hint(environment))
    return dbt_runner.build_report(environment, results, time.monotonic() - started)


def is_up_to_date(connection: Connection) -> bool:
    """Whether silver and gold are up to date: built by this project from all current loads, and no table is missing."""
    if not is_migrated(connection) or not build_record.is_built(connection, dbt_runner.project_hash()):
        return False
    lookups = ", ".join(f"to_regclass('{name}')" for name in dbt_runner.relations())
    return None not in (connection.row(f"select {lookups}") or (None,))


def is_built(environment: Environment) -> bool:
    """Whether there is nothing to build: silver and gold are up to date, or nothing was ever loaded.

    Raises WarehouseError.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        return is_up_to_date(connection) or is_empty(connection)


def is_empty(connection: Connection) -> bool:
    """Whether no workbook is loaded, and silver and gold were never built or were built from no workbook."""
    if not is_migrated(connection):
        return False
    loads, is_built = connection.row(
        """
        select
            (select count(*) from bronze.loads where status = 'loaded'),
            to_regclass('public_silver.built_loads') is not null
        """
    ) or (0, False)
    if is_built:
        (is_built,) = connection.row("select exists (select from public_silver.built_loads)") or (False,)
    return not loads and not is_built


def dbt(environment: Environment, arguments: Sequence[str]) -> int:
    """Run any dbt command on an environment; dbt prints its own output. Returns dbt's exit code: 0, 1 or 2.

    While a command builds or tests, loads and other builds wait, as during `transform`.
    Raises UsageError if dbt's command line does not accept the arguments.
    """
    if _LOCKING_COMMANDS & set(arguments):
        with _bronze_locked(environment, NoProgress()) as connection:
            _clear_record_unless_up_to_date(connection)
            result = dbt_runner.invoke(environment, list(arguments), [])
    else:
        if environment.stack:
            with suppress(RetailpipeError), environment.warehouse.connect():
                pass  # connecting fetches the password again if it was rotated; dbt itself reports other failures
        result = dbt_runner.invoke(environment, list(arguments), [])
    if result.success:
        return 0
    if result.exception is None:
        return 1
    # dbt prints its own failures, except errors in its command line.
    if dbt_runner.is_usage_error(result.exception):
        raise UsageError(f"dbt: {result.exception}", hint="List dbt's commands with `retailpipe dbt -- --help`.")
    return 2


def _clear_record_unless_up_to_date(connection: Connection) -> None:
    """Make the next build of all models a full refresh, unless all models are up to date.

    Call this before a build of selected models. Without it, the next build of all models could keep rows of the
    selected models that were built from an older `int_loaded_days`.
    """
    if not build_record.is_built(connection, dbt_runner.project_hash()):
        build_record.clear(connection)
        connection.commit()


@contextmanager
def _bronze_locked(environment: Environment, progress: Progress) -> Generator[Connection]:
    """Create or migrate schema bronze if needed, and hold the lock that makes loads and other builds wait."""
    with environment.warehouse.connect() as connection:
        ensure_schema(connection, Contract.default())
        connection.commit()
        lock_for_build(connection, progress)
        # The plans of dbt's queries need statistics. Loads do not collect them, to stay fast.
        connection.execute("analyze bronze.raw_transactions")
        connection.commit()
        yield connection
