"""The reports that the steps return: frozen dataclasses. `str()` is for people, `as_dict()` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from retailpipe.errors import LoadError, RetailpipeError

LoadStatus = Literal["loaded", "replaced", "unchanged", "would load", "would replace"]


class Report:
    """The base class of all reports, which are dataclasses."""

    def as_dict(self) -> dict[str, Any]:
        """The report as values that JSON can hold: dates in ISO 8601, exact decimals as strings."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}  # pyright: ignore[reportArgumentType]


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
class LoadReport(Report):
    """The result of loading one workbook.

    status: `loaded` for a new source, `replaced` if its content or contract changed, `unchanged` if it was already
        loaded; `would load` and `would replace` in a dry run.
    load_id: the number of the load in the ledger; None in a dry run.
    rows_read: always rows_loaded + rows_rejected.
    rejects: the first rejected rows; all of them are in bronze.rejected_rows.
    ignored_columns: headers of the workbook that are not in the contract.
    seconds: elapsed time.
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
            return f"{self.source}: unchanged, already loaded as load {self.load_id} ({counts})"
        if self.load_id is None:
            return f"{self.source}: {self.status} ({counts.replace(' loaded', ' accepted')})"
        return f"{self.source}: {self.status} as load {self.load_id} in {self.seconds:.1f} s ({counts})"


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
    up_to_date: there was nothing to build, so dbt was not started.
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
            return "nothing to build: silver and gold are up to date"
        models = f"{self.models} model{'' if self.models == 1 else 's'} built"
        tests = f"{self.tests} test{'' if self.tests == 1 else 's'} passed"
        done = f"{models}, {tests} in {self.seconds:.1f} s"
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
class StatusReport(Report):
    """The ledger, newest load first, and the keys of the workbooks that are not loaded yet.

    given_up: the number of messages in a stack's dead-letter queue: uploads that `watch` could not load. None for a
        local environment.
    """

    store: str
    loads: tuple[dict[str, Any], ...]
    waiting: tuple[str, ...]
    given_up: int | None = None


@dataclass(frozen=True)
class EnvironmentReport(Report):
    """An environment in a folder of this machine, as far as it can be read without starting its server.

    server: the state of the embedded server; `own` if workbooks were loaded but only into another server, which was
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


class SomeNotLoaded(LoadError):
    """Some of several workbooks were not loaded.

    reports: the LoadReports of the others.
    failures: the error of each workbook that failed.
    untried: how many workbooks were not tried, because the database failed before them.
    """

    def __init__(self, reports: Sequence[LoadReport], failures: Sequence[RetailpipeError], *, untried: int = 0) -> None:
        lines = "".join(f"\n- {failure}" for failure in failures)
        if untried:
            lines += f"\n- {untried} more {'were' if untried > 1 else 'was'} not tried"
        hint = " ".join(dict.fromkeys(failure.hint for failure in failures if failure.hint))
        missing = len(failures) + untried
        verb = "was" if missing == 1 else "were"
        super().__init__(f"{missing} of {len(reports) + missing} workbooks {verb} not loaded:{lines}", hint=hint)
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
