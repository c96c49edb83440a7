"""Incremental builds of silver and gold: the same tables as a full refresh, and only changed days are rebuilt."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from adbc_driver_postgresql import dbapi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import retailpipe
from retailpipe import Environment
from retailpipe.builds import dbt
from retailpipe.errors import TooManyRejects
from retailpipe.progress import NoProgress
from retailpipe.sample import HEADERS
from tests.conftest import ROW, Workbook

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


def execute(environment: Environment, statement: str) -> None:
    with dbapi.connect(environment.warehouse.uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


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


@pytest.mark.nightly
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_build_rewrites_only_days_whose_loads_changed(environment: Environment, make_workbook: Workbook) -> None:
    def on(day: int, *, name: str, quantity: int = 6) -> Path:
        return make_workbook([(*ROW[:3], quantity, datetime(2011, 1, day, 9), *ROW[5:])], name=name)

    def written() -> dict[int, Any]:
        """The ID of the database transaction that wrote each day."""
        rows = retailpipe.query(environment, "select date_id, xmin::text as x from public_silver.fact_sales_daily")
        return {row["date_id"]: row["x"] for row in rows.to_pylist()}

    retailpipe.ingest(environment, on(1, name="first.xlsx"), on(2, name="second.xlsx"))
    assert retailpipe.transform(environment).ok
    before = written()

    retailpipe.ingest(environment, on(2, name="second.xlsx", quantity=7), on(3, name="third.xlsx"), replace=True)
    assert retailpipe.transform(environment).ok

    after = written()
    assert after[20110101] == before[20110101]
    assert after[20110102] != before[20110102]
    assert sorted(after) == [20110101, 20110102, 20110103]


def test_days_without_any_load_are_deleted(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    assert retailpipe.transform(environment).ok
    retailpipe.ingest(environment, make_workbook([(*ROW[:4], datetime(2011, 1, 1), *ROW[5:])]), replace=True)

    assert retailpipe.transform(environment).ok

    found = retailpipe.query(environment, "select date_id from public_silver.fact_sales_daily").to_pylist()
    assert found == [{"date_id": 20110101}]


def test_a_run_without_new_loads_builds_nothing(environment: Environment, make_workbook: Workbook) -> None:
    first = retailpipe.run(environment, make_workbook())
    built = build_times(environment)

    second = retailpipe.run(environment)

    assert (first.ok, first.build.up_to_date) == (True, False)
    assert (second.ok, second.build.up_to_date) == (True, True)
    assert first.verification
    assert second.verification
    assert second.verification.invariants == first.verification.invariants
    assert build_times(environment) == built
    assert "nothing to build" in str(second.build)


def test_a_run_repairs_changed_rows_in_silver(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.run(environment, make_workbook())
    before = content(environment)
    execute(environment, "update public_silver.fact_sales_daily set quantity = quantity + 1")

    report = retailpipe.run(environment)

    assert (report.ok, report.build.up_to_date) == (True, False)
    assert content(environment) == before


@pytest.mark.parametrize(
    "dropped", ["table public_gold.top_products", "table public_silver.service_codes", "schema public_silver"]
)
def test_a_run_rebuilds_dropped_tables(environment: Environment, make_workbook: Workbook, dropped: str) -> None:
    retailpipe.run(environment, make_workbook())
    before = content(environment)
    execute(environment, f"drop {dropped} cascade")

    assert retailpipe.run(environment).ok

    assert content(environment) == before


def test_after_a_failed_build_the_next_is_a_full_refresh(environment: Environment, make_workbook: Workbook) -> None:
    """The changed row is in a day whose loads have not changed, so an incremental build would keep it."""
    retailpipe.run(environment, make_workbook())
    execute(environment, "update public_silver.fact_sales_daily set quantity = quantity + 1")

    assert not retailpipe.transform(environment).ok
    assert build_times(environment) == []

    assert retailpipe.transform(environment).ok
    assert retailpipe.verify(environment).ok


def test_after_building_a_selection_of_stale_models_the_next_build_is_a_full_refresh(
    environment: Environment, make_workbook: Workbook
) -> None:
    """The selected models may store loads from an older version of int_loaded_days."""
    retailpipe.run(environment, make_workbook())
    assert retailpipe.transform(environment, select="dim_date").ok
    assert len(build_times(environment)) == 1

    retailpipe.ingest(environment, make_workbook([(*ROW[:4], datetime(2011, 1, 1), *ROW[5:])], name="more.xlsx"))
    assert dbt(environment, ["--quiet", "run", "--select", "fact_sales_daily"]) == 0
    assert build_times(environment) == []


def test_queries_are_possible_while_dbt_builds(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    answers: list[int] = []

    class QueriesDatabase(NoProgress):
        def advance(self, amount: int = 1) -> None:
            answers.append(retailpipe.query(environment, f"select {amount} as n").num_rows)

    report = retailpipe.transform(environment, progress=QueriesDatabase())
    assert report.ok
    assert len(answers) >= report.models + report.tests


def test_a_failed_run_restores_variables_and_arguments(environment: Environment, make_workbook: Workbook) -> None:
    """The load fails while the warm-up thread imports dbt."""
    variables, arguments = dict(os.environ), list(sys.argv)

    with pytest.raises(TooManyRejects):
        retailpipe.run(environment, make_workbook([(*ROW[:3], "many", *ROW[4:])] * 50))

    assert (dict(os.environ), sys.argv) == (variables, arguments)


def test_a_run_builds_the_rest_after_a_selection(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.run(environment, make_workbook())
    retailpipe.ingest(environment, make_workbook([(*ROW[:4], datetime(2011, 1, 1), *ROW[5:])], name="more.xlsx"))

    assert retailpipe.transform(environment, select="built_loads").ok

    report = retailpipe.run(environment)
    assert (report.ok, report.build.up_to_date) == (True, False)
    assert content(environment)["public_silver.dim_date"][1]["date_id"] == 20110101
