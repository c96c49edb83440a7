"""The reports that the steps return: frozen dataclasses. `str()` is for people, `as_dict()` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from retailpipe.counts import counted, noun
from retailpipe.errors import LoadError, RetailpipeError, WarehouseError, WorkersError

_SHEETS_SHOWN = 12
_LONGEST_REASON = 200

LoadStatus = Literal["loaded", "replaced", "unchanged", "would load", "would replace"]


class Report:
    """The base class of all reports, which are dataclasses."""

    def as_dict(self) -> dict[str, Any]:
        """The report as values that JSON can hold: dates in ISO 8601, exact decimals as strings."""
        return {field.name: plain(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Reject(Report):
    """A rejected row: the first cell that breaks the contract, and the whole row as text."""

    sheet: str
    source_row: int
    cell: str
    column_name: str
    raw_value: str
    code: str
    message: str
    hint: str
    raw_row: dict[str, str]


@dataclass(frozen=True)
class Overlap(Report):
    """Rows of a new load that the current load of another source holds too.

    rows: how many rows of the other source are also in the new load.
    first_date, last_date: of the other source.
    """

    source: str
    rows: int
    first_date: datetime | None
    last_date: datetime | None

    def __str__(self) -> str:
        dates = (
            f" ({self.first_date:%Y-%m-%d} to {self.last_date:%Y-%m-%d})" if self.first_date and self.last_date else ""
        )
        return f"{self.source}{dates}"


@dataclass(frozen=True)
class Replaced(Report):
    """The earlier load of the same source, whose rows a load replaces.

    loaded_at: when it was loaded, in UTC.
    """

    load_id: int
    rows_loaded: int
    loaded_at: datetime


@dataclass(frozen=True)
class Replacement(Report):
    """A workbook in the store that an upload would replace, because its content differs.

    size: in bytes. modified: in UTC. load: its current load; None if it is not loaded.
    """

    key: str
    size: int
    modified: datetime
    load: Replaced | None

    def __str__(self) -> str:
        loaded = (
            f"{counted(self.load.rows_loaded, 'row')} loaded {self.load.loaded_at:%Y-%m-%d}"
            if self.load
            else "not loaded"
        )
        return f"{self.key} ({self.size:,} bytes, written {self.modified:%Y-%m-%d %H:%M} UTC, {loaded})"


@dataclass(frozen=True)
class LoadReport(Report):
    """The result of loading one workbook.

    status: `loaded` for a new source, `replaced` if its content or contract changed, `unchanged` if it was already
        loaded; `would load` and `would replace` in a dry run.
    load_id: the number of the load in the ledger; None in a dry run.
    rows_read: always rows_loaded + rows_rejected.
    rejects: the first rejected rows; all of them are in bronze.rejected_rows.
    ignored_columns: headers of the workbook that are not in the contract.
    seconds: elapsed time.
    replaces: the load whose rows this one replaces, or would replace; None for a new source.
    rows_in_others: how many of the loaded rows other sources hold too.
    overlaps: the sources that hold most of these rows, at most 5.
    rows_skipped: rows that the contract's `skip_rows` and `skip_footer` exclude; not part of rows_read.
    """

    source: str
    status: LoadStatus
    content_hash: str
    load_id: int | None
    sheet: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    first_date: datetime | None
    last_date: datetime | None
    rejects: tuple[Reject, ...] = ()
    ignored_columns: tuple[str, ...] = ()
    seconds: float = 0.0
    replaces: Replaced | None = None
    rows_in_others: int = 0
    overlaps: tuple[Overlap, ...] = ()
    rows_skipped: int = 0

    def __str__(self) -> str:
        counts = f"{counted(self.rows_read, 'row')} read, {self.rows_loaded:,} loaded, {self.rows_rejected:,} rejected"
        if self.rows_skipped:
            counts += f", {self.rows_skipped:,} skipped"
        if self.status == "unchanged":
            return f"{self.source}: unchanged, already loaded as load {self.load_id} ({counts})"
        if self.load_id is None:
            return f"{self.source}: {self.status} ({counts.replace(' loaded', ' accepted')}){self._replacement()}"
        done = f"{self.status} as load {self.load_id} in {self.seconds:.1f} s"
        return f"{self.source}: {done} ({counts}){self._replacement()}"

    def _replacement(self) -> str:
        if self.replaces is None:
            return ""
        old = f"{counted(self.replaces.rows_loaded, 'row')} of {self.replaces.loaded_at:%Y-%m-%d}"
        return f"; replaces {old} with {self.rows_loaded:,}"


@dataclass(frozen=True)
class ContractDraft(Report):
    """A contract that was drafted from a workbook.

    name: the contract's name, which is also its table's.
    file: the name of the workbook.
    sheets: the sheets that it was drafted from; a CSV file has one without a name.
    text: the contract, as the text of a TOML file.
    """

    name: str
    file: str
    sheets: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class SheetRead(Report):
    """A sheet that was read under a contract: its name, the row of its header, and its number of rows."""

    name: str
    header_row: int
    rows_read: int


@dataclass(frozen=True)
class Fault(Report):
    """The rows that break the same rule in the same column.

    rows: how many there are.
    cells: the first cells, with their sheets if several are read together.
    message, hint: of the first cell.
    """

    column_name: str
    code: str
    rows: int
    cells: tuple[str, ...]
    message: str
    hint: str


@dataclass(frozen=True)
class ContractCheck(Report):
    """What a load of a workbook under a contract would refuse.

    ok: whether it would load: no more rows are rejected than the contract allows.
    rows_read: always rows_accepted + rows_rejected.
    rows_skipped: rows that the contract's `skip_rows` and `skip_footer` exclude; not part of rows_read.
    missing_columns: headers of optional columns that a sheet does not have.
    is_bound: whether `files` of the contract matches the name, so that `run` and `ingest` choose the contract; None if
        the contract has no `files`.
    """

    ok: bool
    file: str
    contract: str
    table: str
    sheets: tuple[SheetRead, ...]
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rejects_allowed: int
    rows_skipped: int
    first_date: datetime | None
    last_date: datetime | None
    faults: tuple[Fault, ...]
    ignored_columns: tuple[str, ...]
    missing_columns: tuple[str, ...]
    is_bound: bool | None = None

    def __str__(self) -> str:
        verdict = "would load" if self.ok else "would not load"
        lines = [f"{self.file}: {verdict} into bronze.{self.table} under contract {self.contract!r}"]
        for sheet in self.sheets[:_SHEETS_SHOWN]:
            name = f"sheet {sheet.name!r}: " if sheet.name else ""
            lines.append(f"  {name}header in row {sheet.header_row:,}, {counted(sheet.rows_read, 'row')}")
        if len(self.sheets) > _SHEETS_SHOWN:
            more = len(self.sheets) - _SHEETS_SHOWN
            lines.append(f"  and {more:,} more {noun(more, 'sheet')}")
        counts = (
            f"  {counted(self.rows_read, 'row')} read, {self.rows_accepted:,} accepted, {self.rows_rejected:,} rejected"
        )
        skipped = f", {self.rows_skipped:,} skipped" if self.rows_skipped else ""
        lines.append(f"{counts} ({self.rejects_allowed:,} allowed){skipped}")
        if self.first_date and self.last_date:
            lines.append(f"  dates from {self.first_date.date()} to {self.last_date.date()}")
        if self.ignored_columns:
            lines.append(f"  ignored columns, not in the contract: {', '.join(self.ignored_columns)}")
        if self.missing_columns:
            lines.append(f"  optional columns that are missing: {', '.join(self.missing_columns)}")
        if self.is_bound is False:
            lines.append(
                "  `files` of the contract does not match this name: correct it, or pass --contract to load it"
            )
        for fault in self.faults:
            lines.append(
                f"  {counted(fault.rows, 'row')} with {fault.code} in {fault.column_name}, in {', '.join(fault.cells)}"
            )
            lines.append(f"    {fault.message}. {fault.hint}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Node(Report):
    """A dbt model or test that failed.

    rows: the first rows that the query of a failing test returns; empty for models.
    """

    name: str
    kind: str
    status: str
    message: str
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class BuildReport(Report):
    """The result of a dbt build: the number of models built and tests passed, and each node that failed.

    skipped: models and tests that dbt did not run, because a node they depend on failed.
    seconds: elapsed time.
    up_to_date: whether there was nothing to build, so that dbt was not started.
    tables_read: the tables of bronze that the models read, such as bronze.raw_transactions.
    tables_unread: the tables of bronze with loaded rows that no model reads.
    leftovers: tables and views of silver, gold and public_own that no model builds any more; nothing drops them.
    number: counts the builds of the database; if there was nothing to build, the number of the last build.
    """

    ok: bool
    models: int
    tests: int
    failures: tuple[Node, ...]
    skipped: int
    seconds: float
    up_to_date: bool = False
    tables_read: tuple[str, ...] = ()
    tables_unread: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    number: int = 0

    def __str__(self) -> str:
        if self.up_to_date:
            return "nothing to build: silver and gold are up to date"
        done = f"{counted(self.models, 'model')} built, {counted(self.tests, 'test')} passed in {self.seconds:.1f} s"
        if self.ok:
            return done
        return f"{done}; {len(self.failures)} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Invariant(Report):
    """Two figures of the warehouse that must be equal, as exact decimal text."""

    name: str
    ok: bool
    expected: str
    actual: str


@dataclass(frozen=True)
class VerifyReport(Report):
    """The result of the verification: the number of rows of each table, and each invariant."""

    ok: bool
    tables: dict[str, int]
    invariants: tuple[Invariant, ...]

    def __str__(self) -> str:
        return f"{'verified' if self.ok else 'FAILED'}: {self.verdict}"

    @property
    def broken(self) -> tuple[Invariant, ...]:
        """The invariants that do not hold."""
        return tuple(invariant for invariant in self.invariants if not invariant.ok)

    @property
    def verdict(self) -> str:
        """Whether all invariants hold, or how many do not."""
        if self.ok:
            return f"all {len(self.invariants)} invariants hold"
        broken = len(self.broken)
        return f"{broken} of {counted(len(self.invariants), 'invariant')} {noun(broken, 'does', 'do')} not hold"


@dataclass(frozen=True)
class CheckPoint(Report):
    """One point of the end-to-end check. `hint` is the next command to try if it failed, else empty."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class CheckReport(Report):
    """The result of the end-to-end check: every point, in order. Points that need a failed connection fail too."""

    ok: bool
    points: tuple[CheckPoint, ...]

    def __str__(self) -> str:
        if self.ok:
            return f"checked: all {len(self.points)} points pass"
        failed = sum(not point.ok for point in self.points)
        return f"FAILED: {failed} of {counted(len(self.points), 'point')} {noun(failed, 'does', 'do')} not pass"


@dataclass(frozen=True)
class RunReport(Report):
    """The result of the whole pipeline: what was loaded, built and verified.

    failures: the message and hint for each workbook that failed to load.
    verification: None if the build failed, because nothing is verified then.
    """

    ok: bool
    loads: tuple[LoadReport, ...]
    failures: tuple[str, ...]
    build: BuildReport
    verification: VerifyReport | None


@dataclass(frozen=True)
class Forgotten(Report):
    """What `forget` did to one workbook.

    load_id: the load that was forgotten; None if the workbook was not loaded.
    rows, rejects: how many rows and rejected rows were deleted.
    workbook: whether it was removed from the store, was kept there, or was already missing.
    """

    source: str
    load_id: int | None
    rows: int
    rejects: int
    workbook: Literal["removed", "kept", "missing"]

    def __str__(self) -> str:
        if self.load_id is None:
            return f"{self.source}: was not loaded; workbook {self.workbook}"
        counts = f"{counted(self.rows, 'row')}, {counted(self.rejects, 'rejected row')}"
        return f"{self.source}: forgot load {self.load_id} ({counts}); workbook {self.workbook}"


@dataclass(frozen=True)
class ForgetReport(Report):
    """The result of `forget`.

    build: the build of silver and gold afterwards; None if there was nothing to build.
    """

    ok: bool
    forgotten: Forgotten
    build: RunReport | None


@dataclass(frozen=True)
class Refusal(Report):
    """Why the present content of a workbook was not loaded when that was last tried. refused_at: in UTC."""

    source: str
    reason: str
    refused_at: datetime

    def __str__(self) -> str:
        first = self.reason.partition("\n")[0].rstrip(":")
        short = first if len(first) <= _LONGEST_REASON else f"{first[:_LONGEST_REASON]}..."
        return f"refused on {self.refused_at:%Y-%m-%d at %H:%M} UTC: {short}"


@dataclass(frozen=True)
class StatusReport(Report):
    """The ledger, newest load first, and the keys of the workbooks that are not loaded yet.

    refusals: why workbooks among those were refused when they were last tried.

    kept: workbooks in the store that were forgotten with --keep-workbook: they are loaded again only if they are named.
    removed: workbooks that are loaded, but are no longer in the store.
    given_up: the number of messages in a stack's dead-letter queue: notices of workbooks that `watch` could not load.
        None for a local environment.
    loads_in_ledger: how many loads the ledger has; `loads` may be only the newest.
    workbooks_loaded, rows_loaded: how many workbooks are loaded now, and how many rows they have in bronze.
    """

    store: str
    loads: tuple[dict[str, Any], ...]
    waiting: tuple[str, ...]
    given_up: int | None = None
    kept: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    loads_in_ledger: int = 0
    workbooks_loaded: int = 0
    rows_loaded: int = 0


@dataclass(frozen=True)
class EnvironmentReport(Report):
    """An environment in a folder of this machine, as far as it can be read without starting its server.

    server: the state of the embedded server; `own` if workbooks were loaded, but only into a server that was
        selected by its URL; `none` if there is no database.
    port, pid: of the server if it runs.
    size: bytes on disk, with the data of the server.
    workbooks: how many are in the store; None if the store cannot be read.
    last_load: when the last load ended; None if no load is recorded.
    """

    folder: str
    server: Literal["running", "starting", "stopped", "own", "none"]
    port: int | None
    pid: int | None
    size: int
    workbooks: int | None
    last_load: datetime | None

    @property
    def is_embedded(self) -> bool:
        """Whether the environment has an embedded server."""
        return self.server in ("running", "starting", "stopped")


@dataclass(frozen=True)
class ReportFile(Report):
    """The HTML report that was written.

    bytes: its size.
    ok: whether the report shows no failure.
    verdict: its first sentence.
    problems: what is not right, failures first.
    picture: the file of the picture; None if none was asked for.
    build: the number of the build that published the report, if it was fetched from a stack's bucket; else None.
    """

    path: str
    bytes: int
    ok: bool
    verdict: str
    problems: tuple[str, ...] = ()
    picture: str | None = None
    build: int | None = None

    def __str__(self) -> str:
        picture = f"\nwrote {self.picture}" if self.picture else ""
        # A report shows its own problems; these are about fetching it.
        warnings = "".join(f"\nwarning: {each}" for each in self.problems) if self.build is not None else ""
        done = "wrote" if self.build is None else f"fetched the report of build {self.build}:"
        verdict = f"{self.verdict[0].lower()}{self.verdict[1:]}"
        return f"{done} {self.path} ({self.bytes / 1000:,.0f} kB): {verdict}{picture}{warnings}"


@dataclass(frozen=True)
class Published(Report):
    """What a build has published into the bucket of a stack.

    build: its number.
    keys: the files in the bucket.
    problems: why other files were not made or not stored.
    summary: what the report says, in words; empty if it was not made.
    """

    build: int
    keys: tuple[str, ...]
    problems: tuple[str, ...] = ()
    summary: str = ""

    def __str__(self) -> str:
        lines = [f"published {key}" for key in self.keys] + [f"warning: {problem}" for problem in self.problems]
        return "\n".join(lines)


@dataclass(frozen=True)
class DocsFile(Report):
    """dbt's documentation that was written. bytes: its size."""

    path: str
    bytes: int

    def __str__(self) -> str:
        return f"wrote {self.path} ({self.bytes / 1000:,.0f} kB)"


class SomeNotLoaded(LoadError):
    """Some of several workbooks were not loaded.

    reports: the LoadReports of the others.
    failures: the error of each workbook that failed.
    untried: how many workbooks were not tried, because the database or the workers failed before them.
    """

    def __init__(self, reports: Sequence[LoadReport], failures: Sequence[RetailpipeError], *, untried: int = 0) -> None:
        lines = "".join(f"\n- {failure}" for failure in failures)
        if untried:
            lines += f"\n- {untried} more {noun(untried, 'was', 'were')} not tried"
        hint = " ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint))
        missing = len(failures) + untried
        which = f"{missing} of {counted(len(reports) + missing, 'workbook')} {noun(missing, 'was', 'were')}"
        super().__init__(f"{which} not loaded:{lines}", hint=hint)
        self.reports = tuple(reports)
        self.failures = tuple(failures)
        self.untried = untried

    @property
    def is_outage(self) -> bool:
        """Whether the database or the workers failed, not only workbooks."""
        return any(isinstance(failure, WarehouseError | WorkersError) for failure in self.failures)


def plain(value: Any) -> Any:
    """A value as JSON can hold it, as `Report.as_dict` has it."""
    if isinstance(value, Report):
        return value.as_dict()
    if isinstance(value, tuple | list):
        return [plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
