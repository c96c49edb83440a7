"""Build silver and gold from bronze with dbt, and record what they were built from.

During a build no load can commit and no other build can run. The build holds the advisory lock of bronze in its own
database session, because dbt opens and closes its connections during the build.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from retailpipe import dbt_runner
from retailpipe.bronze import build_record
from retailpipe.bronze.indexes import summarize
from retailpipe.bronze.locks import lock_for_build
from retailpipe.bronze.schema import ensure_schema, is_migrated
from retailpipe.contract import Contract
from retailpipe.dbt_runner import WarmUp
from retailpipe.environment import Environment
from retailpipe.errors import RetailpipeError, TransformError, UsageError
from retailpipe.models import OWN_PROJECT, OwnModels, Project, generated_project, own_models, project_hash, relations
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport, Node

if TYPE_CHECKING:
    from retailpipe.connection import Connection
    from retailpipe.lineage.builds import BuildRun

# Unit tests check the models on made-up rows, not the loaded data. `retailpipe dbt test` runs them.
_BUILD = ["--log-level", "none", "--log-level-file", "info", "--no-write-json", "build"]
_NO_UNIT_TESTS = ["--exclude-resource-type", "unit_test"]
_LOCKING_COMMANDS = {"build", "run", "test", "seed", "snapshot", "retry", "clone"}


def transform(
    environment: Environment,
    *,
    select: str | None = None,
    full_refresh: bool = False,
    progress: Progress | None = None,
    warm_up: WarmUp | None = None,
) -> BuildReport:
    """Build silver, gold and the user's models from bronze with `dbt build`, and run their tests.

    select: nodes in dbt's selection syntax, such as `fact_sales_daily+`; default: all.
    full_refresh: rebuild incremental models from scratch. A build of all nodes always does so if the last build failed
        or used another version of the models.
    warm_up: a WarmUp that may have been started for this call.

    The report lists models and tests that fail. If dbt cannot read the user's models, the report says why, and only
    silver and gold are built. Raises TransformError if dbt cannot run at all, UsageError if `select` matches
    nothing.
    """
    from retailpipe.lineage.builds import BuildRun

    with BuildRun(environment) as events:
        return _transform(environment, select, full_refresh, progress or NoProgress(), warm_up, events)


def _transform(
    environment: Environment,
    select: str | None,
    full_refresh: bool,
    progress: Progress,
    warm_up: WarmUp | None,
    events: BuildRun,
) -> BuildReport:
    started = time.monotonic()
    own = own_models(environment)
    our_hash, all_hash = project_hash(), project_hash(own) if own else None
    with _bronze_locked(environment, progress) as connection:
        progress.step("starting dbt")
        attempt = _Attempt.prepared(environment, connection, own, warm_up)
        if not select:
            # Incremental models must not extend rows that a failed build or another version of the models left.
            outdated = not build_record.built_by(connection, our_hash)
            if attempt.incremental and all_hash:
                outdated = outdated or not build_record.built_by(connection, all_hash)
            full_refresh = full_refresh or outdated
            build_record.clear(connection)
        else:
            build_record.clear_outdated(connection, our_hash, all_hash)
        number = build_record.next_number(connection)
        connection.commit()
        events.begin_build()
        arguments = [*_BUILD, *_NO_UNIT_TESTS, *(["--select", select] if select else [])]
        arguments += ["--full-refresh"] if full_refresh else []
        listener = dbt_runner.Listener(progress)
        result = dbt_runner.invoke(environment, arguments, [listener], attempt.manifest, project=attempt.project)
        if result.exception and attempt.project:
            # Some mistakes in models, such as a cycle, are found only now.
            attempt = _Attempt(problem=dbt_runner.parse_error(environment, result.exception))
            result = dbt_runner.invoke(environment, arguments, [listener])
        results: list[Any] = list(getattr(result.result, "results", []))
        if not select:
            if dbt_runner.ours_succeeded(results):
                build_record.record(connection, number, our_hash)
            if result.success and all_hash and not attempt.problem:
                build_record.record(connection, number, our_hash, all_hash)
            connection.commit()
        tables = build_record.tables(connection, relations())
        events.has_built(connection, lambda: dbt_runner.built_models(results))
    if result.exception:
        raise TransformError(
            f"dbt could not run: {result.exception}", hint=dbt_runner.log_hint(environment)
        ) from result.exception
    if not results and not attempt.problem:
        if select:
            raise UsageError(
                f"--select {select!r} matches no model or test", hint="List them with `retailpipe dbt ls`."
            )
        raise TransformError("dbt found nothing to build", hint=dbt_runner.log_hint(environment))
    report = dbt_runner.build_report(environment, results, time.monotonic() - started)
    report = replace(
        report, number=number, tables_read=tables.read, tables_unread=tables.unread, leftovers=tables.leftovers
    )
    report = _with_problem(report, attempt.problem) if attempt.problem else report
    events.reported(report)
    return report


def _with_problem(report: BuildReport, problem: TransformError) -> BuildReport:
    """The report of a build of only our models, because the user's have a problem."""
    message = f"{problem}\n{problem.hint} Your own models were not built: their tables are unchanged."
    failures = (Node(OWN_PROJECT, "project", "error", message), *report.failures)
    return replace(report, ok=False, failures=failures, tables_read=(f"bronze.{build_record.OUR_TABLE}",))


@dataclass(frozen=True)
class _Attempt:
    """What dbt is about to build.

    project: the project with the user's models; None for our project.
    manifest: the project as dbt has parsed it; None if dbt is to parse it.
    incremental: whether a model of the user is incremental.
    problem: why the user's models cannot be built; then only ours are built.
    """

    project: Project | None = None
    manifest: Any = None
    incremental: bool = False
    problem: TransformError | None = None

    @classmethod
    def prepared(
        cls, environment: Environment, connection: Connection, own: OwnModels | None, warm_up: WarmUp | None
    ) -> _Attempt:
        """Parse the user's models, and record them in bronze.own_models. Without them, dbt parses our project."""
        if not own:
            build_record.replace_own_models(connection, [])
            return cls(manifest=warm_up.manifest() if warm_up else None)
        try:
            if warm_up:
                warm_up.wait()  # it reads the files that are written next
            project = generated_project(environment, own, build_record.contract_tables(connection))
            manifest = warm_up.manifest(project) if warm_up else None
            manifest = manifest or dbt_runner.parse(environment, project)
            models = dbt_runner.own_nodes(manifest)
        except TransformError as error:
            return cls(problem=error)
        build_record.replace_own_models(connection, models)
        return cls(project, manifest, any(model.incremental for model in models))


def up_to_date(connection: Connection, environment: Environment) -> BuildReport | None:
    """The report that there is nothing to build; None if there is.

    Everything is up to date if it was built by these models from all current loads, and no table is missing.
    """
    if not is_migrated(connection):
        return None
    own = own_models(environment)
    if own and own.problem:
        return None
    built = build_record.built(connection, project_hash(), project_hash(own) if own else None)
    if not built.ours or not built.all:
        return None
    tables = build_record.tables(connection, relations())
    if tables.missing:
        return None
    number = build_record.last_number(connection)
    return BuildReport(True, 0, 0, (), 0, 0.0, True, tables.read, tables.unread, tables.leftovers, number)


def own_models_problem(connection: Connection, environment: Environment) -> str | None:
    """Why the user's models are not up to date, or None."""
    own = own_models(environment)
    if own and own.problem:
        return str(own.problem)
    if connection.row("select to_regclass('bronze.own_models') is null") == (True,):
        return "your own models are not built" if own else None
    built = build_record.built(connection, project_hash(), project_hash(own) if own else None)
    if built.all:
        return None
    return (
        "your own models are not built from all current loads, or have changed since"
        if own
        else ("your own models were removed, but the last build still records them")
    )


def why_outdated(connection: Connection) -> str:
    """Why silver and gold must be built again, as a sentence; empty if they need not."""
    if not is_migrated(connection):
        return "Schema bronze is of an older version."
    if build_record.built(connection, project_hash(), None).ours:
        return ""
    if not build_record.last_number(connection):
        return "The last build failed, or there was none."
    if not build_record.current_number(connection):
        return "Workbooks were loaded or removed since the last build."
    return "The models of retailpipe changed since the last build."


def tables_unread(connection: Connection) -> tuple[str, ...]:
    """The tables of bronze with loaded rows that no model reads, as of the last build."""
    return build_record.tables(connection, relations()).unread if is_migrated(connection) else ()


def is_built(environment: Environment) -> bool:
    """Whether there is nothing to build: silver and gold are up to date, or nothing was ever loaded.

    Raises WarehouseError.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        return up_to_date(connection, environment) is not None or is_empty(connection)


def is_empty(connection: Connection) -> bool:
    """Whether no workbook is loaded, and the models were never built, or were built when none was loaded."""
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
    return not loads and not is_built and not build_record.own_models_hold_rows(connection)


def dbt(environment: Environment, arguments: Sequence[str]) -> int:
    """Run any dbt command on an environment; dbt prints its own output. Returns dbt's exit code: 0, 1 or 2.

    While a command builds or tests, loads and other builds wait, as during `transform`.
    Raises UsageError if dbt's command line does not accept the arguments, TransformError if the files of the user's
    models cannot be read.
    """
    own = own_models(environment)
    project: Project | None = None
    if _LOCKING_COMMANDS & set(arguments):
        with _bronze_locked(environment, NoProgress()) as connection:
            if own:
                project = generated_project(environment, own, build_record.contract_tables(connection))
            build_record.clear_outdated(connection, project_hash(), project_hash(own) if own else None)
            connection.commit()
            result = dbt_runner.invoke(environment, list(arguments), [], project=project)
    else:
        tables: list[str] | None = None
        if environment.stack or own:
            # Connecting fetches a stack's password again if it was rotated. dbt itself reports other failures.
            with suppress(RetailpipeError), environment.warehouse.connect() as connection:
                tables = build_record.contract_tables(connection) if own else None
        if own:
            project = generated_project(environment, own, tables)
        result = dbt_runner.invoke(environment, list(arguments), [], project=project)
    if result.success:
        return 0
    if result.exception is None:
        return 1
    # dbt prints its own failures, except errors in its command line.
    if dbt_runner.is_usage_error(result.exception):
        raise UsageError(f"dbt: {result.exception}", hint="List dbt's commands with `retailpipe dbt -- --help`.")
    return 2


@contextmanager
def _bronze_locked(environment: Environment, progress: Progress) -> Generator[Connection]:
    """Create or migrate schema bronze if needed, and hold the lock that makes loads and other builds wait."""
    with environment.warehouse.connect() as connection:
        ensure_schema(connection, Contract.default(), progress)
        connection.commit()
        lock_for_build(connection, progress)
        # The plans of dbt's queries need statistics. Loads do not collect them, to stay fast.
        connection.execute("analyze bronze.raw_transactions")
        summarize(connection)
        connection.commit()
        yield connection
