"""What the steps report: frozen objects, for people by `str()` and for machines by `as_dict()`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from retailpipe.errors import LoadError, RetailpipeError

LoadStatus = Literal["loaded", "replaced", "unchanged", "would load", "would replace"]


class Report:
    """The base of all reports: a dataclass whose fields are its content."""

    def as_dict(self) -> dict[str, Any]:
        """The report as values that JSON knows: dates in ISO 8601, exact decimals as text."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class Reject(Report):
    """A row that breaks the contract: its first cell that does, and the whole row as the workbook shows it."""

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
class LoadReport(Report):
    """What became of one workbook.

    status: `loaded` for a source that is new, `replaced` where its content changed, `unchanged` where nothing had to
        be done; `would load` and `would replace` of a dry run.
    rows_read: always rows_loaded + rows_rejected.
    rejects: the first of the rejected rows; all of them are in bronze.rejected_rows.
    ignored_columns: headers of the workbook that the contract does not name.
    seconds: wall time.
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

    def __str__(self) -> str:
        counts = f"{self.rows_read:,} rows read, {self.rows_loaded:,} loaded, {self.rows_rejected:,} rejected"
        if self.status == "unchanged":
            return f"{self.source}: unchanged, load {self.load_id} holds this content ({counts})"
        if self.load_id is None:
            return f"{self.source}: {self.status} ({counts.replace(' loaded', ' kept')})"
        return f"{self.source}: {self.status} as load {self.load_id} in {self.seconds:.1f} s ({counts})"


@dataclass(frozen=True)
class Node(Report):
    """A model or test of dbt that did not succeed.

    rows: the first rows of a failing test, as the test's query gives them.
    """

    name: str
    kind: str
    status: str
    message: str
    rows: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class BuildReport(Report):
    """What a dbt build did: how many models were built and tests passed, and each node that failed.

    up_to_date: there was nothing to build, and dbt was not started.
    """

    ok: bool
    models: int
    tests: int
    failures: tuple[Node, ...]
    skipped: int
    seconds: float
    up_to_date: bool = False

    def __str__(self) -> str:
        if self.up_to_date:
            return "nothing to build: silver and gold hold all loads"
        done = f"{self.models} models built, {self.tests} tests passed in {self.seconds:.1f} s"
        if self.ok:
            return done
        return f"{done}; {len(self.failures)} failed, {self.skipped} skipped"


@dataclass(frozen=True)
class Invariant(Report):
    """A statement about the warehouse that must hold: two figures that must be equal."""

    name: str
    ok: bool
    expected: str
    actual: str


@dataclass(frozen=True)
class VerifyReport(Report):
    """Whether the warehouse holds what the workbooks say: the rows of each table, and each invariant."""

    ok: bool
    tables: dict[str, int]
    invariants: tuple[Invariant, ...]


@dataclass(frozen=True)
class CheckPoint(Report):
    """One point of the end-to-end check; `hint` is the next command to try where it failed."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


@dataclass(frozen=True)
class CheckReport(Report):
    """The end-to-end check. Every point is tried, whatever fails before it."""

    ok: bool
    points: tuple[CheckPoint, ...]


@dataclass(frozen=True)
class RunReport(Report):
    """The whole way: what was loaded, built and verified.

    failures: why each workbook was not loaded that was not, with the next thing to try.
    """

    ok: bool
    loads: tuple[LoadReport, ...]
    failures: tuple[str, ...]
    build: BuildReport
    verification: VerifyReport | None


@dataclass(frozen=True)
class StatusReport(Report):
    """The ledger, newest load first, and the workbooks of the store that wait to be loaded.

    given_up: notices in a stack's dead-letter queue, of workbooks that `watch` could not load; None elsewhere.
    """

    store: str
    loads: tuple[dict[str, Any], ...]
    waiting: tuple[str, ...]
    given_up: int | None = None


class SomeNotLoaded(LoadError):
    """Of several workbooks some were not loaded.

    reports: the LoadReports of those that were.
    failures: the error of each that was not.
    untried: how many were not tried, since the database had failed before.
    """

    def __init__(self, reports: Sequence[LoadReport], failures: Sequence[RetailpipeError], *, untried: int = 0) -> None:
        told = "".join(f"\n- {failure}" for failure in failures)
        if untried:
            told += f"\n- {untried} more {'were' if untried > 1 else 'was'} not tried"
        hint = " ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint))
        missing = len(failures) + untried
        super().__init__(f"{missing} of {len(reports) + missing} workbooks were not loaded:{told}", hint=hint)
        self.reports = tuple(reports)
        self.failures = tuple(failures)
        self.untried = untried


def _plain(value: Any) -> Any:
    if isinstance(value, Report):
        return value.as_dict()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
