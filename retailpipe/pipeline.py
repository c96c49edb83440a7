"""Run the steps of the pipeline on an environment. Each public function is also a command of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from retailpipe.bronze import schema
from retailpipe.builds import is_empty, transform, up_to_date
from retailpipe.contract import Contract
from retailpipe.dbt_runner import WarmUp
from retailpipe.environment import Environment
from retailpipe.errors import NothingLoaded, RetailpipeError, WarehouseError
from retailpipe.ingestion import Options, load_sources
from retailpipe.invariants import verified, verify
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport, LoadReport, RunReport, SomeNotLoaded, VerifyReport
from retailpipe.sources import Key, replacements, upload

__all__ = ["Key", "complete", "ingest", "init", "replacements", "run", "upload"]


def init(environment: Environment, *, contract: Contract | None = None, progress: Progress | None = None) -> int:
    """Create or migrate schema bronze; safe to repeat. Returns the schema's version.

    A large schema of an earlier version may need minutes. If it is interrupted, nothing is changed.
    Raises SchemaError, ContractError.
    """
    return schema.init(environment.warehouse, contract or Contract.default(), progress)


def ingest(
    environment: Environment,
    *sources: str | Path,
    contract: Contract | None = None,
    allow_duplicate: bool = False,
    dry_run: bool = False,
    replace: bool = False,
    executor: Executor | None = None,
    at_once: int | None = None,
    progress: Progress | None = None,
) -> list[LoadReport]:
    """Load workbooks into bronze, each in its own transaction.

    sources: keys of the store, such as input/2011.xlsx, or files, which are uploaded first. Default: every workbook
        in the store whose content is not loaded yet or, if a contract is passed, not loaded under that contract.
    contract: the contract of all sources. Default: for each, the contract in `contracts/` of the environment whose
        `files` matches its name, else the contract for Online Retail.
    allow_duplicate: load content, or rows, that are already loaded under another name.
    dry_run: report what would be loaded and rejected, and change nothing, not even the store. Rows are compared with
        those that are loaded, but not with those of the other sources.
    replace: as in `upload`, for files. Without it, a file that would replace a workbook with other content is refused.
    executor: loads several workbooks at once, such as a ProcessPoolExecutor or Dask's `client.get_executor()`. Each
        worker opens the environment by itself, with its own credentials. A dry run and a single workbook are done in
        this process. If workbooks share rows, the order in which they end decides which one is refused.
    at_once: how many workbooks are loaded at once. Default: as many as the database has free connections.

    If one source is passed and it fails, its error is raised. Otherwise SomeNotLoaded reports the failures, and the
    other workbooks are still loaded; after a WarehouseError or a WorkersError the remaining workbooks are not tried.
    Raises UsageError, ContractError, StoreError, AwsError, WorkbookError, LoadError, WarehouseError, WorkersError, or
    subclasses of them.
    """
    options = Options(contract, allow_duplicate, dry_run, replace, executor, at_once)
    return load_sources(environment, sources, options, progress)


def run(
    environment: Environment,
    source: str | Path | None = None,
    *,
    contract: Contract | None = None,
    allow_duplicate: bool = False,
    replace: bool = False,
    skip_failed: bool = False,
    executor: Executor | None = None,
    at_once: int | None = None,
    progress: Progress | None = None,
) -> RunReport:
    """Run the whole pipeline: ingest `source`, or all workbooks that are not loaded yet, then transform and verify.

    Nothing is built if silver and gold are up to date and their verification succeeds.

    skip_failed: workbooks that cannot be loaded do not make `ok` false.
    executor, at_once: as in `ingest`. There is one build, after all loads.

    If some of several workbooks fail, the report lists the failures and its `ok` is false; if the database or the
    workers failed, or nothing is loaded, SomeNotLoaded is raised. `ok` is also false if a model, a test or an invariant
    fails. Raises NothingLoaded if there is no workbook at all. Otherwise raises what `ingest` and `transform` raise.
    """
    progress = progress or NoProgress()
    failed: SomeNotLoaded | None = None
    warm_up = WarmUp(environment)
    try:
        sources = [] if source is None else [source]
        options = Options(contract, allow_duplicate, replace=replace, executor=executor, at_once=at_once)
        loads = load_sources(environment, sources, options, progress, warm_up.start)
    except RetailpipeError as error:
        warm_up.wait()  # until it ends, dbt's environment variables are set for the whole process
        if not isinstance(error, SomeNotLoaded) or error.is_outage:
            raise
        failed, loads = error, list(error.reports)
    failures = [_described(failure) for failure in failed.failures] if failed else []
    try:
        return _transform_and_verify(environment, loads, failures, progress, warm_up, skip_failed)
    except NothingLoaded:
        raise failed or NothingLoaded() from None


def complete(
    environment: Environment, loads: Sequence[LoadReport] = (), *, progress: Progress | None = None
) -> RunReport:
    """Transform and verify as `run` does, after loads that `ingest` returned.

    If no workbook is loaded, it empties silver and gold if they hold rows, and raises NothingLoaded. Otherwise raises
    what `transform` and `verify` raise.
    """
    return _transform_and_verify(environment, loads, [], progress or NoProgress(), WarmUp(environment))


def _described(failure: RetailpipeError) -> str:
    """The message and the hint of an error; the hint has its own line if the message has several."""
    return f"{failure}\n  {failure.hint}" if "\n" in str(failure) else f"{failure}. {failure.hint}"


def _transform_and_verify(
    environment: Environment,
    loads: Sequence[LoadReport],
    failures: Sequence[str],
    progress: Progress,
    warm_up: WarmUp,
    skip_failed: bool = False,
) -> RunReport:
    build, verification = _build_and_verify(environment, progress, warm_up)
    ok = build.ok and bool(verification and verification.ok) and (skip_failed or not failures)
    return RunReport(ok, tuple(loads), tuple(failures), build, verification)


def _build_and_verify(
    environment: Environment, progress: Progress, warm_up: WarmUp
) -> tuple[BuildReport, VerifyReport | None]:
    verification_failed = False
    with environment.warehouse.connect(read_only=True) as connection:
        if nothing_to_build := up_to_date(connection, environment):
            progress.step("verifying")
            try:
                verification = verified(connection)
                if verification.ok:
                    return nothing_to_build, verification
            except NothingLoaded:
                raise
            except WarehouseError:  # a table was dropped during this check
                pass
            verification_failed = True
        elif is_empty(connection):
            raise NothingLoaded
    build = transform(environment, full_refresh=verification_failed, progress=progress, warm_up=warm_up)
    if not build.ok:
        return build, None
    progress.step("verifying")
    return build, verify(environment)
