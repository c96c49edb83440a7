"""The sample workbook: reproducible, with the difficulties of the real data; and the demo that uses it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

import retailpipe
from retailpipe import Environment
from retailpipe.demo import demo
from retailpipe.errors import UsageError
from retailpipe.sample import HEADERS, MAX_ROWS, sample_rows, write_sample


@pytest.fixture(scope="module")
def sample() -> list[tuple[Any, ...]]:
    return list(sample_rows(25_000))


def test_the_same_seed_produces_the_same_bytes(tmp_path: Path) -> None:
    write_sample(tmp_path / "one.xlsx", rows=500, seed=7)
    write_sample(tmp_path / "two.xlsx", rows=500, seed=7)

    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()


def test_another_seed_produces_other_rows() -> None:
    assert list(sample_rows(100, seed=1)) != list(sample_rows(100, seed=2))


@pytest.mark.parametrize("rows", [1, 2, 99, 100, 101, 5_001])
def test_the_sample_has_the_requested_number_of_rows(tmp_path: Path, rows: int) -> None:
    write_sample(tmp_path / "book.xlsx", rows=rows)

    header, *found = CalamineWorkbook.from_path(tmp_path / "book.xlsx").get_sheet_by_index(0).to_python()
    assert tuple(header) == HEADERS
    assert len(found) == rows


@pytest.mark.parametrize("rows", [-1, 0, MAX_ROWS + 1])
def test_a_number_of_rows_that_a_sheet_cannot_have_is_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(UsageError, match=f"{rows:,} rows") as caught:
        write_sample(tmp_path / "book.xlsx", rows=rows)

    assert "1,048,575" in caught.value.hint
    assert not (tmp_path / "book.xlsx").exists()


def test_the_rows_span_a_year_and_are_sorted_by_date(sample: list[tuple[Any, ...]]) -> None:
    days = [row[4].date() for row in sample if isinstance(row[4], datetime)]

    assert days == sorted(days)
    assert 360 <= (days[-1] - days[0]).days <= 366


def test_the_sample_has_returns_free_items_service_codes_and_anonymous_customers(
    sample: list[tuple[Any, ...]],
) -> None:
    returns = [row for row in sample if str(row[0]).startswith("C")]
    free = [row for row in sample if row[5] == 0.0 and isinstance(row[3], int) and row[3] > 0]
    services = Counter(row[1] for row in sample if row[1] in ("POST", "DOT", "C2", "M"))
    anonymous = [row for row in sample if row[6] is None]

    assert returns
    assert all(row[3] < 0 for row in returns)
    assert free
    assert len(services) == 4
    assert 0.1 < len(anonymous) / len(sample) < 0.4


def test_the_sample_has_products_with_several_descriptions_and_codes_of_both_types(
    sample: list[tuple[Any, ...]],
) -> None:
    descriptions: dict[object, set[object]] = {}
    for row in sample:
        descriptions.setdefault(row[1], set()).add(row[2])

    assert sum(len(names) > 1 for names in descriptions.values()) > 10
    assert {type(code) for code in descriptions} >= {int, str}


@pytest.mark.parametrize(("rows", "rejected"), [(1, 0), (99, 0), (100, 5), (2_000, 5)])
def test_five_rows_are_rejected_if_there_are_at_least_a_hundred(
    environment: Environment, tmp_path: Path, rows: int, rejected: int
) -> None:
    write_sample(tmp_path / "book.xlsx", rows=rows)

    (report,) = retailpipe.ingest(environment, tmp_path / "book.xlsx")

    assert (report.rows_read, report.rows_rejected) == (rows, rejected)


def test_the_demo_loads_builds_and_verifies(environment: Environment) -> None:
    report = demo(environment, rows=5_000)

    assert report.ok
    assert report.loads[0].source == "input/sample_retail.xlsx"
    assert (report.loads[0].status, report.loads[0].rows_read) == ("loaded", 5_000)
    assert report.build.models > 5
    assert report.verification is not None
    assert report.verification.tables["public_gold.monthly_sales_summary"] == 12


def test_a_demo_without_rows_is_refused(environment: Environment) -> None:
    with pytest.raises(UsageError):
        demo(environment, rows=0)

    assert environment.store.workbooks() == []
