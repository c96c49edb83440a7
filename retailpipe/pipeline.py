"""Run the steps of the pipeline on an environment. Each public function is also a command of the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from retailpipe.backlog import waiting, write_missing_receipts
from retailpipe.bindings import Bindings
from retailpipe.bronze import schema
from retailpipe.bronze.ledger import current_loads
from retailpipe.builds import is_empty, transform, up_to_date
from retailpipe.contract import Contract
from retailpipe.dbt_runner import WarmUp
from retailpipe.environment import Environment, expanded
from retailpipe.errors import (
    NothingLoaded,
    ReplacementNeeded,
    RetailpipeError,
    SheetError,
    SourceNotFound,
    WarehouseError,
)
from retailpipe.invariants import verified, verify
from retailpipe.keys import INPUT
from retailpipe.progress import NoProgress, Progress
from retailpipe.refused import note_refusal
from retailpipe.reports import (
    BuildReport,
    LoadReport,
    Replaced,
    Replacement,
    RunReport,
    SomeNotLoaded,
    VerifyReport,
)
from retailpipe.store import Snapshot, Stored, file_snapshot

_FALLBACK = "No contract of the environment is for this name, so the contract for Online Retail was used."


class Key(str):
    """A key of the store. `ingest` and `run` never treat it as the path of a file, even if a file has the same name."""

    __slots__ = ()


def init(environment: Environment, *, contract: Contract | None = None) -> int:
    """Create or migrate schema bronze; safe to repeat. Returns the schema's version.

    Raises SchemaError, ContractError.
    """
    return schema.init(environment.warehouse, contract or Contract.default())


def upload(
    environment: Environment, path: str | Path, *, replace: bool = False, progress: Progress | None = None
) -> Stored:
    """Put a workbook into the environment's store, under the key `input/` plus its file name.

    replace: replace a workbook of that name that has other content. The store keeps it: `restore` brings it back.

    Raises UsageError if the file name does not end in .xlsx or .csv, ReplacementNeeded if the store has another content
    under that name and `replace` is false, StoreError if the store cannot be written.
    """
    try:
        return environment.store.upload(Path(path), replace=replace, progress=progress)
    except ReplacementNeeded as error:
        with suppress(WarehouseError):  # without the database, the error names no rows
            if found := replacements(environment, path):
                message = f"{environment.store.address} already has a different {found[0]}"
                raise ReplacementNeeded(message, hint=error.hint) from error
        raise


def replacements(environment: Environment, *sources: str | Path) -> list[Replacement]:
    """What uploading files would replace in the store, in the order of `sources`; keys of the store replace nothing.

    Raises StoreError, AwsError, WarehouseError.
    """
    files = [path for source in sources if not isinstance(source, Key) and (path := expanded(source)).is_file()]
    conflicts = [conflict for path in files if (conflict := environment.store.conflict(path))]
    if not conflicts:
        return []
    with environment.warehouse.connect(read_only=True) as connection:
        loads = current_loads(connection) if schema.has_schema(connection) else {}
    found: list[Replacement] = []
    for stored in conflicts:
        load = loads.get(stored.key)
        replaced = Replaced(load.load_id, load.rows_loaded, load.finished_at) if load else None
        found.append(Replacement(stored.key, stored.size, stored.modified, replaced))
    return found


@dataclass(frozen=True)
class _Options:
    """How workbooks are loaded: the arguments of `ingest` with the same names."""

    contract: Contract | None
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
    """Load workbooks into bronze, each in its own transaction.

    sources: keys of the store, such as input/2011.xlsx, or files, which are uploaded first. Default: every workbook
        in the store whose content is not loaded yet or, if a contract is passed, not loaded under that contract.
    contract: the contract of all sources. Default: for each, the contract in `contracts/` of the environment whose
        `files` matches its name, else the contract for Online Retail.
    allow_duplicate: load content, or rows, that are already loaded under another name.
    dry_run: report what would be loaded and rejected, and change nothing, not even the store. Rows are compared with
        those that are loaded, but not with those of the other sources.
    replace: as in `upload`, for files. Without it, a file that would replace a workbook with other content is refused.

    If one source is passed and it fails, its error is raised. Otherwise SomeNotLoaded reports the failures, and the
    other workbooks are still loaded; after a WarehouseError the remaining workbooks are not tried.
    Raises UsageError, ContractError, StoreError, AwsError, WorkbookError, LoadError, WarehouseError, or subclasses of
    them.
    """
    return _ingest(environment, sources, _Options(contract, allow_duplicate, dry_run, replace), progress)


def _backlog(environment: Environment, options: _Options) -> list[Key]:
    """The keys of the workbooks to load.

    Unless it is a dry run, also write missing receipts: the Lambda check_bucket reads them to find workbooks that are
    not loaded.
    """
    keys = [Key(key) for key in waiting(environment, contract=options.contract, dry_run=options.dry_run)]
    if not options.dry_run:
        write_missing_receipts(environment)
    return keys


def _ingest(
    environment: Environment,
    sources: Sequence[str | Path],
    options: _Options,
    progress: Progress | None,
    starting: Callable[[], None] | None = None,
) -> list[LoadReport]:
    """Do the work of `ingest`. starting: called before a workbook is loaded."""
    from retailpipe.bronze.loader import load

    wanted = sources or _backlog(environment, options)
    bindings = Bindings.of(environment.folder)
    reports: list[LoadReport] = []
    failures: list[RetailpipeError] = []
    would_load: dict[str, str] = {}
    for source in wanted:
        try:
            with _snapshot(environment, source, options, progress) as snapshot:
                chosen = options.contract
                try:
                    chosen = chosen or bindings.contract_for(snapshot.key)
                    report = load(
                        environment.warehouse,
                        snapshot,
                        chosen or Contract.default(),
                        allow_duplicate=options.allow_duplicate,
                        dry_run=options.dry_run,
                        would_load=would_load,
                        progress=progress,
                        starting=starting,
                    )
                except RetailpipeError as error:
                    if isinstance(error, SheetError) and chosen is None:
                        error.hint = f"{_FALLBACK} {error.hint}"
                    if not options.dry_run:
                        note_refusal(environment, snapshot, error)
                    raise
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
        raise SomeNotLoaded(reports, failures, untried=len(wanted) - len(reports) - len(failures))
    return reports


def run(
    environment: Environment,
    source: str | Path | None = None,
    *,
    contract: Contract | None = None,
    allow_duplicate: bool = False,
    replace: bool = False,
    skip_failed: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Run the whole pipeline: ingest `source`, or all workbooks that are not loaded yet, then transform and verify.

    Nothing is built if silver and gold are up to date and their verification succeeds.

    skip_failed: workbooks that cannot be loaded do not make `ok` false.

    If some of several workbooks fail, the report lists the failures and its `ok` is false; if the database failed, or
    nothing is loaded, SomeNotLoaded is raised. `ok` is also false if a model, a test or an invariant fails. Raises
    NothingLoaded if there is no workbook at all. Otherwise raises what `ingest` and `transform` raise.
    """
    progress = progress or NoProgress()
    failed: SomeNotLoaded | None = None
    warm_up = WarmUp(environment)
    try:
        sources = [] if source is None else [source]
        options = _Options(contract, allow_duplicate, replace=replace)
        loads = _ingest(environment, sources, options, progress, warm_up.start)
    except RetailpipeError as error:
        warm_up.wait()  # until it ends, dbt's environment variables are set for the whole process
        if not isinstance(error, SomeNotLoaded) or any(isinstance(each, WarehouseError) for each in error.failures):
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


def _snapshot(
    environment: Environment, source: str | Path, options: _Options, progress: Progress | None
) -> AbstractContextManager[Snapshot]:
    """Return a snapshot of a source: a file, which is uploaded to the store first, or a key of the store."""
    if isinstance(source, Key):
        return environment.store.snapshot(source, progress=progress)
    path = expanded(source)
    if path.exists():
        if options.dry_run:
            return file_snapshot(path, environment.store.key_of(path))
        stored = upload(environment, path, replace=options.replace, progress=progress)
        return environment.store.snapshot(stored.key, local_file=path, progress=progress)
    keys = [stored.key for stored in environment.store.workbooks()]
    for key in (str(source), f"{INPUT}{source}"):
        if key in keys:
            return environment.store.snapshot(key, progress=progress)
    raise SourceNotFound(
        f"{source} is neither a file nor a workbook in {environment.store.address}",
        hint="List the workbooks with `retailpipe status`.",
    )
