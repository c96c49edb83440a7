"""What `transform`, `verify`, `check` and `run` return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from retailpipe.counts import counted, noun
from retailpipe.reports.loads import LoadReport
from retailpipe.reports.report import Report


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
