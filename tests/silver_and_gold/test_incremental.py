"""Incremental builds of silver and gold: the same tables as a full refresh, and only changed days are rebuilt."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retailpipe
from retailpipe import Environment
from retailpipe.builds import dbt, is_built
from retailpipe.errors import TooManyRejects
from retailpipe.local.server import EmbeddedServer
from retailpipe.progress import NoProgress
from retailpipe.reports import RunReport
from retailpipe.sample import HEADERS
from tests.conftest import ROW, Prepared, Workbook, prepared
from tests.support.servers import execute

INCREMENTAL = ("fact_sales_daily", "fact_returns_daily", "int_invoices")
TABLES = (
    *(f"public_silver.{name}" for name in (*INCREMENTAL, "dim_date", "dim_product", "dim_customer")),
    "public_gold.monthly_sales_summary",
    "public_gold.top_products",
    "public_gold.country_performance",
    "public_gold.customer_lifetime_value",
)

transactions = st.lists(
    st.tuples(
        st.sampled_from(["1", "2", "C3"]),
        st.sampled_from(["10", "20", "POST"]),
        st.sampled_from(["LAMP", "CUP", None]),
        st.sampled_from([-2, 0, 1, 3]),
        st.integers(1, 4).map(lambda day: datetime(2011, 1, day, 9)),
        st.sampled_from([0, 0.001, 2.55]),
        st.sampled_from([None, 7, 8]),
        st.sampled_from(["Spain", "Italy"]),
    ),
    min_size=1,
    max_size=5,
)
"""The rows of a workbook, with few days, products and customers, so that several workbooks have the same ones."""
step = st.one_of(
    st.just("build"),
    st.tuples(st.sampled_from(["a.xlsx", "b.xlsx", "c.xlsx"]), transactions),
)


def content(environment: Environment) -> dict[str, list[dict[str, Any]]]:
    """All rows of silver and gold, sorted, so that their order in the database does not matter."""
    return {
        table: sorted(retailpipe.query(environment, f"select * from {table}").to_pylist(), key=repr) for table in TABLES
    }


def save(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (HEADERS, *rows):
        book.active.append(list(row))
    book.save(path)
    return path


def build_times(environment: Environment) -> list[Any]:
    """The time of the recorded build; empty if no complete build is recorded."""
    return retailpipe.query(environment, "select finished_at from bronze.builds").column(0).to_pylist()


def on(day: int, *, quantity: int = 6) -> tuple[Any, ...]:
    """A row of a day in January 2011."""
    return (*ROW[:3], quantity, datetime(2011, 1, day, 9), *ROW[5:])


@dataclass(frozen=True)
class First:
    """The first run of the environment that each test gets a copy of: its report, and what it built."""

    copies: Prepared
    report: RunReport
    content: dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def first(server: EmbeddedServer, parsed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    folder = tmp_path_factory.mktemp("first")
    reports: list[RunReport] = []
    contents: list[dict[str, list[dict[str, Any]]]] = []

    def prepare(environment: Environment) -> None:
        retailpipe.ingest(environment, save(folder / "kept.xlsx", [on(1)]))
        reports.append(retailpipe.run(environment, save(folder / "book.xlsx", [on(2), on(5)])))
        contents.append(content(environment))

    with prepared(server, parsed, folder / "environment", "first_run", prepare) as copies:
        yield First(copies, reports[0], contents[0])


@pytest.fixture
def built(first: First, tmp_path: Path) -> Iterator[Environment]:
    """An environment in which two workbooks are loaded and built."""
    with first.copies.copied(tmp_path / "environment") as environment:
        yield environment


@pytest.mark.nightly
@settings(max_examples=20)
@given(steps=st.lists(step, min_size=2, max_size=6))
def test_any_sequence_of_loads_and_builds_equals_a_full_refresh(
    environment: Environment, tmp_path: Path, steps: list[Any]
) -> None:
    """All examples use one warehouse, so that later examples start from the tables of earlier ones."""
    for each in (*steps, "build"):
        if each == "build":
            assert dbt(environment, ["--quiet", "run"]) == 0
        else:
            name, rows = each
            retailpipe.ingest(environment, save(tmp_path / name, rows), allow_duplicate=True, replace=True)
    built = content(environment)

    assert dbt(environment, ["--quiet", "run", "--full-refresh"]) == 0

    assert content(environment) == built


def test_a_build_rewrites_only_days_whose_loads_changed_and_deletes_those_without_any(
    built: Environment, tmp_path: Path
) -> None:
    def written() -> dict[int, Any]:
        """The ID of the database transaction that wrote each day."""
        rows = retailpipe.query(built, "select date_id, xmin::text as x from public_silver.fact_sales_daily")
        return {row["date_id"]: row["x"] for row in rows.to_pylist()}

    before = written()
    assert sorted(before) == [20110101, 20110102, 20110105]

    retailpipe.ingest(built, save(tmp_path / "book.xlsx", [on(2, quantity=7), on(3)]), replace=True)
    assert retailpipe.transform(built).ok

    after = written()
    assert after[20110101] == before[20110101]
    assert after[20110102] != before[20110102]
    assert sorted(after) == [20110101, 20110102, 20110103]


def test_a_run_without_new_loads_builds_nothing(built: Environment, first: First) -> None:
    finished = build_times(built)

    second = retailpipe.run(built)

    assert (first.report.ok, first.report.build.up_to_date) == (True, False)
    assert (second.ok, second.build.up_to_date) == (True, True)
    assert first.report.verification
    assert second.verification
    assert second.verification.invariants == first.report.verification.invariants
    assert len(finished) == 1
    assert build_times(built) == finished
    assert "nothing to build" in str(second.build)


def test_a_run_repairs_changed_rows_in_silver(built: Environment, first: First) -> None:
    execute(built.warehouse.uri, "update public_silver.fact_sales_daily set quantity = quantity + 1")

    report = retailpipe.run(built)

    assert (report.ok, report.build.up_to_date) == (True, False)
    assert content(built) == first.content


def test_a_run_rebuilds_dropped_tables(built: Environment, first: First) -> None:
    for table in ("public_gold.top_products", "public_silver.service_codes"):
        schema, name = table.split(".")
        execute(built.warehouse.uri, f"alter table {table} rename to renamed")
        assert not is_built(built)
        execute(built.warehouse.uri, f"alter table {schema}.renamed rename to {name}")
        assert is_built(built)
    execute(built.warehouse.uri, "drop table public_gold.top_products")
    execute(built.warehouse.uri, "drop schema public_silver cascade")

    assert retailpipe.run(built).ok

    assert content(built) == first.content
    assert retailpipe.query(built, "select from public_silver.service_codes").num_rows > 0


@pytest.mark.nightly
def test_after_a_failed_build_the_next_is_a_full_refresh(built: Environment) -> None:
    """The changed row is in a day whose loads have not changed, so an incremental build would keep it."""
    execute(built.warehouse.uri, "update public_silver.fact_sales_daily set quantity = quantity + 1")

    assert not retailpipe.transform(built).ok
    assert build_times(built) == []

    assert retailpipe.transform(built).ok
    assert retailpipe.verify(built).ok


@pytest.mark.nightly
def test_after_building_a_selection_of_stale_models_the_next_build_is_a_full_refresh(
    built: Environment, tmp_path: Path
) -> None:
    """The selected models may store loads from an older version of int_loaded_days."""
    assert retailpipe.transform(built, select="dim_date").ok
    assert len(build_times(built)) == 1

    retailpipe.ingest(built, save(tmp_path / "more.xlsx", [on(3)]))
    assert dbt(built, ["--quiet", "run", "--select", "fact_sales_daily"]) == 0
    assert build_times(built) == []


def test_queries_are_possible_while_dbt_builds(built: Environment) -> None:
    answers: list[int] = []

    class QueriesDatabase(NoProgress):
        def advance(self, amount: int = 1) -> None:
            answers.append(retailpipe.query(built, f"select {amount} as n").num_rows)

    report = retailpipe.transform(built, select="dim_date", progress=QueriesDatabase())
    assert report.ok
    assert len(answers) >= report.models + report.tests > 1


def test_a_failed_run_restores_variables_and_arguments(environment: Environment, make_workbook: Workbook) -> None:
    """The load fails while the warm-up thread imports dbt."""
    variables, arguments = dict(os.environ), list(sys.argv)

    with pytest.raises(TooManyRejects):
        retailpipe.run(environment, make_workbook([(*ROW[:3], "many", *ROW[4:])] * 50))

    assert (dict(os.environ), sys.argv) == (variables, arguments)


@pytest.mark.nightly
def test_a_run_builds_the_rest_after_a_selection(built: Environment, tmp_path: Path) -> None:
    retailpipe.ingest(built, save(tmp_path / "more.xlsx", [on(3)]))

    assert retailpipe.transform(built, select="built_loads").ok

    report = retailpipe.run(built)
    assert (report.ok, report.build.up_to_date) == (True, False)
    dates = [row["date_id"] for row in content(built)["public_silver.dim_date"]]
    assert 20110103 in dates
