"""The events of a verification: the invariants, as assertions about the tables that they compare."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from retailpipe.counts import some_of
from retailpipe.lineage.datasets import Database, Dataset
from retailpipe.lineage.facets import Facet, facets
from retailpipe.lineage.runs import Content, Run

if TYPE_CHECKING:
    from retailpipe.environment import Environment
    from retailpipe.reports import Invariant, VerifyReport


class VerificationRun(Run):
    """The events of one verification. Without a workbook nothing is verified, and there are none."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment, "verify", "VERIFICATION")

    def verified(self, report: VerifyReport, table_of: Callable[[str], str]) -> None:
        """The figures are compared. A verification with a broken invariant is a run that failed.

        table_of: the table that an invariant is about, by the name of the invariant.
        """
        broken = some_of([invariant.name for invariant in report.broken])
        problem = "" if report.ok else f"{report.verdict}: {broken}"
        self.end(lambda: self._content(report, table_of), "COMPLETE" if report.ok else "FAIL", problem)

    def _content(self, report: VerifyReport, table_of: Callable[[str], str]) -> Content:
        database = Database.of(self._environment)
        about: dict[str, list[Invariant]] = defaultdict(list)
        for invariant in report.invariants:
            about[table_of(invariant.name)].append(invariant)
        rows = {name.replace('"', ""): number for name, number in report.tables.items()}
        return Content([_input(database, name, rows.get(name), about[name]) for name in sorted(about)])


def _input(database: Database, name: str, rows: int | None, invariants: list[Invariant]) -> Dataset:
    assertions: list[Facet] = [
        {
            "assertion": "equal",
            "success": each.ok,
            "severity": "error",
            "name": each.name,
            "expected": each.expected,
            "actual": each.actual,
        }
        for each in invariants
    ]
    figures = [{"name": each.name, "expected": each.expected, "actual": each.actual} for each in invariants]
    found = facets(
        inputStatistics=None if rows is None else {"rowCount": rows},
        dataQualityAssertions={"assertions": assertions},
        retailpipe_exactFigures={"figures": figures},
    )
    return database.table(name).dataset() | {"inputFacets": found}
