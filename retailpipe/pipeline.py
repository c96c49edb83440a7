"""The steps of the pipeline on an environment, each a command of the command line too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retailpipe.bronze import ledger, schema
from retailpipe.contract import Contract
from retailpipe.environment import Environment, expanded
from retailpipe.errors import RetailpipeError, SomeNotLoaded, SourceNotFound, StoreError, WarehouseError
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import BuildReport, LoadReport, RunReport, StatusReport, VerifyReport, unchanged
from retailpipe.store import PREFIX, Snapshot, Stored, file_snapshot
from retailpipe.transform import WarmUp, is_up_to_date, transform
from retailpipe.verify import verified, verify

if TYPE_CHECKING:
    import pyarrow as pa


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

    sources: keys of the store, such as input/2011.xlsx, or files, which are uploaded first; none for all that wait:
        whose content is not loaded yet, or not by the contract where one is given.
    allow_duplicate: load a content that is loaded under another name already.
    dry_run: say what would be loaded and what refused, and change nothing, in the store neither.
    replace: as in `upload`, for files.

    Where some of several workbooks fail, the others are loaded all the same, and SomeNotLoaded tells both.
    Raises SourceNotFound, WorkbookError, TooManyRejects, DuplicateContent, SchemaError, WarehouseError.
    """
    return _ingest(
        environment,
        *sources,
        contract=contract,
        allow_duplicate=allow_duplicate,
        dry_run=dry_run,
        replace=replace,
        progress=progress,
    )


def _ingest(
    environment: Environment,
    *sources: str | Path,
    contract: Contract | None,
    allow_duplicate: bool,
    dry_run: bool = False,
    replace: bool,
    progress: Progress | None,
    starting: Callable[[], None] | None = None,
) -> list[LoadReport]:
    from retailpipe.bronze.loader import load

    wanted = sources or [Key(key) for key in waiting(environment, contract=contract)]
    if not sources and not dry_run:
        heal(environment)
    contract = contract or Contract.default()
    reports: list[LoadReport] = []
    failures: list[RetailpipeError] = []
    foreseen: dict[str, str] = {}
    for source in wanted:
        try:
            with _snapshot(environment, source, not dry_run, replace, progress) as snapshot:
                report = load(
                    environment.warehouse,
                    snapshot,
                    contract,
                    allow_duplicate=allow_duplicate,
                    dry_run=dry_run,
                    foreseen=foreseen,
                    progress=progress,
                    starting=starting,
                )
                reports.append(report)
                if not dry_run:
                    environment.store.acknowledge(snapshot, report)
            if dry_run:
                foreseen[report.content_hash] = report.source
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
    progress: Progress | None = None,
) -> RunReport:
    """The whole way: upload and ingest `source` (or all that wait), then transform and verify.

    Where silver and gold hold all loads already, and prove to, nothing is built.

    Raises what `ingest` and `transform` raise. A workbook that is not loaded while others wait, a test that fails, an
    invariant that does not hold: all that is told in the report, whose `ok` is then false.
    """
    progress = progress or NoProgress()
    sources = [] if source is None else [source]
    failures: list[str] = []
    warm_up = WarmUp(environment)
    try:
        loads = _ingest(
            environment,
            *sources,
            contract=contract,
            allow_duplicate=allow_duplicate,
            replace=replace,
            progress=progress,
            starting=warm_up.start,
        )
    except RetailpipeError as error:
        warm_up.manifest()  # it has the variables of the whole process until it ends
        if not isinstance(error, SomeNotLoaded) or any(isinstance(each, WarehouseError) for each in error.failures):
            raise
        loads = list(error.reports)
        failures = [f"{failure}. {failure.hint}" for failure in error.failures]
    return _completed(environment, loads, failures, progress, warm_up)


def complete(
    environment: Environment, loads: Sequence[LoadReport] = (), *, progress: Progress | None = None
) -> RunReport:
    """The rest of the way for loads that `ingest` gave: transform and verify, as `run` does. Raises what they raise."""
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


def is_built(environment: Environment) -> bool:
    """Whether silver and gold are what a `transform` would build. Raises WarehouseError."""
    with environment.warehouse.connect(read_only=True) as connection:
        return is_up_to_date(connection)


def status(environment: Environment, *, contract: Contract | None = None) -> StatusReport:
    """The ledger, newest load first, the workbooks that wait to be loaded; on AWS how many notices were given up."""
    loads: list[dict[str, Any]] = []
    with environment.warehouse.connect(read_only=True) as connection:
        if schema.has_schema(connection):
            loads = connection.table("select * from bronze.loads order by load_id desc").to_pylist()
    waits = tuple(waiting(environment, contract=contract))
    given_up = None
    if environment.stack:
        from retailpipe.aws.notices import given_up as ask

        given_up = ask(environment.stack)
    return StatusReport(environment.store.address, tuple(loads), waits, given_up)


def waiting(environment: Environment, *, contract: Contract | None = None) -> list[str]:
    """The keys of the store whose content is not loaded; where a contract is given, whose content is not by it."""
    loads, etags = _current(environment)
    keys: list[str] = []
    same: list[Snapshot] = []
    for stored in environment.store.workbooks():
        load = loads.get(stored.key)
        if load is None:
            keys.append(stored.key)
            continue
        if stored.etag and stored.etag == etags.get(stored.key) and load.holds(load.content_hash, contract):
            continue
        try:
            with environment.store.snapshot(stored.key) as snapshot:
                if not load.holds(snapshot.content_hash, contract):
                    keys.append(stored.key)
                elif snapshot.etag:
                    same.append(snapshot)
        except SourceNotFound:  # removed since it was listed
            continue
        except StoreError:  # whoever loads it will hear
            keys.append(stored.key)
    if same:  # under another ETag than it was loaded by: it need not be read the next time
        with suppress(WarehouseError), environment.warehouse.connect() as connection:  # who may only read, may ask too
            for snapshot in same:
                ledger.note_etag(connection, snapshot.key, snapshot.etag, snapshot.content_hash)
            connection.commit()
    return keys


def heal(environment: Environment) -> None:
    """Puts the receipts into a stack's bucket that are missing there. Raises AwsError, WarehouseError."""
    if environment.stack:
        environment.store.heal(*_current(environment))


def loaded(environment: Environment) -> dict[str, LoadReport]:
    """The loads whose content the store has as it was loaded, by key, as far as a listing tells: by their ETag."""
    loads, etags = _current(environment)
    return {
        stored.key: unchanged(loads[stored.key])
        for stored in environment.store.workbooks()
        if stored.etag and stored.etag == etags.get(stored.key) and stored.key in loads
    }


def _current(environment: Environment) -> tuple[dict[str, ledger.Entry], dict[str, str]]:
    """The current load of each source, and the ETag by which it was loaded."""
    with environment.warehouse.connect(read_only=True) as connection:
        loads = ledger.current_loads(connection) if schema.has_schema(connection) else {}
        etags = ledger.loaded_etags(connection) if schema.is_migrated(connection) else {}
    return loads, etags


def rejects(environment: Environment, *, source: str | None = None, limit: int | None = None) -> pa.Table:
    """The quarantine: rows of current loads that break the contract, by load and row; of one source, where named.

    Raises SourceNotFound if nothing is loaded of that source.
    """
    with environment.warehouse.connect(read_only=True) as connection:
        if not schema.has_schema(connection):
            raise WarehouseError("nothing is loaded yet", hint="Load a workbook with `retailpipe run FILE`.")
        if source:
            loads = ledger.current_loads(connection)
            if source not in loads and f"{PREFIX}{source}" in loads:
                source = f"{PREFIX}{source}"
            if source not in loads:
                raise SourceNotFound(f"nothing is loaded of {source}", hint="See the loads with `retailpipe status`.")
        return connection.table(
            """
            select source, rejected_rows.*
            from bronze.rejected_rows inner join bronze.loads using (load_id)
            where $1 in ('', source)
            order by load_id, source_row
            limit $2
            """,
            source or "",
            limit if limit is not None else 2**31 - 1,
        )


def query(environment: Environment, sql: str) -> pa.Table:
    """The rows of one SELECT as an Arrow table, from a transaction that cannot write. Raises WarehouseError."""
    return environment.warehouse.query(sql)


def _snapshot(
    environment: Environment, source: str | Path, upload_first: bool, replace: bool, progress: Progress | None
) -> AbstractContextManager[Snapshot]:
    """A snapshot of a source: a file that exists is put into the store, anything else must be there already."""
    if isinstance(source, Key):
        return environment.store.snapshot(source, progress=progress)
    path = expanded(source)
    if path.exists():
        if not upload_first:
            return file_snapshot(path, environment.store.key_of(path))
        stored = upload(environment, path, replace=replace, progress=progress)
        return environment.store.snapshot(stored.key, at_hand=path, progress=progress)
    keys = [stored.key for stored in environment.store.workbooks()]
    for key in (str(source), f"{PREFIX}{source}"):
        if key in keys:
            return environment.store.snapshot(key, progress=progress)
    raise SourceNotFound(
        f"there is neither a file {source} nor a workbook of that name in {environment.store.address}",
        hint="See what there is with `retailpipe status`.",
    )
