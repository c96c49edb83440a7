"""The steps of the pipeline on an environment, each a command of the command line too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from retailpipe.backlog import waiting, write_missing_receipts
from retailpipe.bronze import schema
from retailpipe.builds import is_up_to_date, transform
from retailpipe.contract import Contract
from retailpipe.dbt_runner import WarmUp
from retailpipe.environment import Environment, expanded
from retailpipe.errors import RetailpipeError, SourceNotFound, WarehouseError
from retailpipe.invariants import verified, verify
from retailpipe.keys import INPUT
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport, LoadReport, RunReport, SomeNotLoaded, VerifyReport
from retailpipe.store import Snapshot, Stored, file_snapshot


class Key(str):
    """A key of the store, for `ingest` and `run`, whatever files have the same name."""

    __slots__ = ()


def init(environment: Environment, *, contract: Contract | None = None) -> int:
    """Makes or migrates schema bronze; safe to repeat. Gives the schema's number. Raises SchemaError."""
    return schema.init(environment.warehouse, contract or Contract.default())


def upload(
    environment: Environment, path: str | Path, *, replace: bool = False, progress: Progress | None = None
) -> Stored:
    """Puts a workbook into the environment's store, as `input/` and its file name.

    replace: replace another content of that name in a bucket, which keeps it as an older version. A folder's is
        replaced in any case.

    Raises UsageError for what is no .xlsx file by its name, StoreError where the store cannot be written, or holds
    another content of that name.
    """
    return environment.store.upload(Path(path), replace=replace, progress=progress)


@dataclass(frozen=True)
class _Options:
    """How workbooks are loaded; the meanings are those of the arguments of `ingest`."""

    contract: Contract
    allow_duplicate: bool = False
    dry_run: bool = False
    replace: bool = False


def ingest(
    environment: Environment,
    *sources: str | Path,
    contract: Contract | None = None,
    allow_duplicate: bool = False,
    dry_run: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> list[LoadReport]:
    """Loads workbooks into bronze, each in a transaction of its own.

    sources: keys of the store, such as input/2011.xlsx, or files, which are uploaded first. Default: every workbook
        whose content is not loaded yet, or, where a contract is given, not loaded by that contract.
    allow_duplicate: load a content that is already loaded under another name.
    dry_run: report what would be loaded and rejected, and change nothing, not even in the store.
    replace: as in `upload`, for files.

    If some of several workbooks fail, the others are loaded, and SomeNotLoaded reports both.
    Raises SourceNotFound, WorkbookError, TooManyRejects, DuplicateContent, SchemaError, WarehouseError.
    """
    wanted = sources or _backlog(environment, contract, dry_run)
    options = _Options(contract or Contract.default(), allow_duplicate, dry_run, replace)
    return _ingest(environment, wanted, options, progress)


def _backlog(environment: Environment, contract: Contract | None, dry_run: bool = False) -> list[Key]:
    """The keys of the workbooks that wait. Receipts that are missing are written too: their loads wait no more."""
    keys = [Key(key) for key in waiting(environment, contract=contract)]
    if not dry_run:
        write_missing_receipts(environment)
    return keys


def _ingest(
    environment: Environment,
    sources: Sequence[str | Path],
    options: _Options,
    progress: Progress | None,
    starting: Callable[[], None] | None = None,
) -> list[LoadReport]:
    """The work of `ingest`. starting: is called when there is something to load."""
    from retailpipe.bronze.loader import load

    reports: list[LoadReport] = []
    failures: list[RetailpipeError] = []
    would_load: dict[str, str] = {}
    for source in sources:
        try:
            with _snapshot(environment, source, options, progress) as snapshot:
                report = load(
                    environment.warehouse,
                    snapshot,
                    options.contract,
                    allow_duplicate=options.allow_duplicate,
                    dry_run=options.dry_run,
                    would_load=would_load,
                    progress=progress,
                    starting=starting,
                )
                reports.append(report)
                if not options.dry_run:
                    environment.store.acknowledge(snapshot, report)
            if options.dry_run:
                would_load[report.content_hash] = report.source
        except RetailpipeError as error:
            failures.append(error)
            if isinstance(error, WarehouseError):
                break
    if failures and len(sources) == 1:
        raise failures[0]
    if failures:
        raise SomeNotLoaded(reports, failures, untried=len(sources) - len(reports) - len(failures))
    return reports


def run(
    environment: Environment,
    source: str | Path | None = None,
    *,
    contract: Contract | None = None,
    allow_duplicate: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Runs the whole pipeline: uploads and ingests `source`, or all that waits, then transforms and verifies.

    Nothing is built if silver and gold already hold all loads and the verification succeeds.

    Raises what `ingest` and `transform` raise. The report, whose `ok` is then false, holds workbooks that were not
    loaded while others were, tests that failed, and invariants that do not hold.
    """
    progress = progress or NoProgress()
    failures: list[str] = []
    warm_up = WarmUp(environment)
    try:
        sources = _backlog(environment, contract) if source is None else [source]
        options = _Options(contract or Contract.default(), allow_duplicate, replace=replace)
        loads = _ingest(environment, sources, options, progress, warm_up.start)
    except RetailpipeError as error:
        warm_up.manifest()  # until it ends it keeps the environment variables of the whole process
        if not isinstance(error, SomeNotLoaded) or any(isinstance(each, WarehouseError) for each in error.failures):
            raise
        loads = list(error.reports)
        failures = [f"{failure}. {failure.hint}" for failure in error.failures]
    return _completed(environment, loads, failures, progress, warm_up)


def complete(
    environment: Environment, loads: Sequence[LoadReport] = (), *, progress: Progress | None = None
) -> RunReport:
    """Transforms and verifies after loads that `ingest` gave, as `run` does. Raises what they raise."""
    return _completed(environment, loads, [], progress or NoProgress(), WarmUp(environment))


def _completed(
    environment: Environment,
    loads: Sequence[LoadReport],
    failures: Sequence[str],
    progress: Progress,
    warm_up: WarmUp,
) -> RunReport:
    build, verification = _built_and_verified(environment, progress, warm_up)
    ok = build.ok and bool(verification and verification.ok) and not failures
    return RunReport(ok, tuple(loads), tuple(failures), build, verification)


def _built_and_verified(
    environment: Environment, progress: Progress, warm_up: WarmUp
) -> tuple[BuildReport, VerifyReport | None]:
    is_refused = False
    with environment.warehouse.connect(read_only=True) as connection:
        if is_up_to_date(connection):
            progress.step("verifying")
            with suppress(WarehouseError):  # where somebody dropped a table
                verification = verified(connection)
                if verification.ok:
                    return BuildReport(True, 0, 0, (), 0, 0.0, up_to_date=True), verification
            is_refused = True
    build = transform(environment, full_refresh=is_refused, progress=progress, warm_up=warm_up)
    if not build.ok:
        return build, None
    progress.step("verifying")
    return build, verify(environment)


def _snapshot(
    environment: Environment, source: str | Path, options: _Options, progress: Progress | None
) -> AbstractContextManager[Snapshot]:
    """A snapshot of a source: a file that exists is put into the store, anything else must be there already."""
    if isinstance(source, Key):
        return environment.store.snapshot(source, progress=progress)
    path = expanded(source)
    if path.exists():
        if options.dry_run:
            return file_snapshot(path, environment.store.key_of(path))
        stored = upload(environment, path, replace=options.replace, progress=progress)
        return environment.store.snapshot(stored.key, at_hand=path, progress=progress)
    keys = [stored.key for stored in environment.store.workbooks()]
    for key in (str(source), f"{INPUT}{source}"):
        if key in keys:
            return environment.store.snapshot(key, progress=progress)
    raise SourceNotFound(
        f"there is neither a file {source} nor a workbook of that name in {environment.store.address}",
        hint="See what there is with `retailpipe status`.",
    )
