"""The published "Online Retail" workbook through the whole pipeline: its counts, its totals and every cell."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from python_calamine import CalamineWorkbook

import retailpipe
from retailpipe import Environment
from retailpipe.local.server import EmbeddedServer


@pytest.fixture(scope="module")
def warehouse(dataset: Path, server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the whole workbook loaded, and silver and gold built."""
    environment = Environment.local(tmp_path_factory.mktemp("real"), database_url=server.start())
    report = retailpipe.run(environment, dataset)
    assert report.ok
    assert (report.loads[0].rows_read, report.loads[0].rows_loaded, report.loads[0].rows_rejected) == (
        541_909,
        541_897,
        12,
    )
    return environment


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


def test_every_table_has_the_published_number_of_rows(warehouse: Environment) -> None:
    tables = retailpipe.verify(warehouse).tables

    assert tables["bronze.raw_transactions"] == 541_897
    assert tables["public_silver.dim_date"] == 305
    assert tables["public_silver.dim_product"] == 4_069
    assert tables["public_silver.dim_customer"] == 4_372
    assert tables["public_silver.fact_sales_daily"] == 305_476
    assert tables["public_gold.monthly_sales_summary"] == 13


def test_totals_are_exact(warehouse: Environment) -> None:
    totals = rows(warehouse, "select sum(quantity) as q, sum(revenue) as r from public_silver.fact_sales_daily")

    assert totals == [{"q": Decimal(5_660_977), "r": Decimal("10642081.154")}]


def test_products_without_any_description_are_unknown(warehouse: Environment) -> None:
    unknown = rows(warehouse, "select count(*) as n from public_silver.dim_product where description = 'Unknown'")

    assert unknown == [{"n": 112}]


def test_each_reject_names_the_cell_as_excel_shows_it(warehouse: Environment) -> None:
    found = rows(warehouse, "select cell, code, raw_value from bronze.rejected_rows order by source_row")

    assert [reject["cell"] for reject in found] == (
        [
            "F15018",
            "F15019",
            "F16234",
            "F16358",
            "F43704",
            "F43705",
            "F222683",
            "F299984",
            "F299985",
            "F299986",
            "F524603",
            "F524604",
        ]
    )
    assert {"cell": "F299985", "code": "below_minimum", "raw_value": "-11062.06"} in found


def test_a_second_run_changes_nothing(warehouse: Environment, dataset: Path) -> None:
    report = retailpipe.run(warehouse, dataset)

    assert report.ok
    assert report.loads[0].status == "unchanged"
    assert rows(warehouse, "select count(*) as n from bronze.loads") == [{"n": 1}]


def test_every_value_in_bronze_is_what_the_workbook_shows(warehouse: Environment, dataset: Path) -> None:
    """Each cell is converted again by code as simple as possible: one row and one value at a time."""
    expected: dict[str, list[Any]] = {
        name: [] for name in ("row", "invoice", "code", "text", "n", "at", "price", "id", "land")
    }
    sheet = CalamineWorkbook.from_path(dataset).get_sheet_by_index(0).iter_rows()
    next(sheet)
    for number, (invoice, code, text, quantity, at, price, customer, country) in enumerate(sheet, start=2):
        assert isinstance(price, float)
        assert isinstance(at, datetime)
        if 0 <= price <= 10_000:
            values = (
                number,
                shown(invoice),
                shown(code),
                shown(text),
                quantity,
                at,
                repr(price),
                shown(customer),
                country,
            )
            for column, value in zip(expected.values(), values, strict=True):
                column.append(value)

    bronze = retailpipe.query(
        warehouse,
        """
        select source_row as row, invoice_no as invoice, stock_code as code, description as text,
            quantity::float8 as n, invoice_date as at, unit_price::float8 as price, customer_id as id, country as land
        from bronze.raw_transactions order by source_row
        """,
    )

    for name, values in expected.items():
        found = bronze.column(name)
        if name == "price":
            values = [float(value) for value in values]
        assert found.equals(pa.chunked_array([pa.array(values, found.type)])), name


def shown(cell: object) -> str | None:
    if isinstance(cell, float):
        assert cell.is_integer()
        return str(int(cell))
    return str(cell) or None


@pytest.mark.nightly
def test_every_cell_is_certified_by_the_second_reader(warehouse: Environment) -> None:
    [report] = retailpipe.certify(warehouse, "online_retail.xlsx")

    assert report.ok, report.differences
    assert (report.rows.in_workbook, report.rows.in_bronze, report.rows.in_quarantine) == (541_909, 541_897, 12)
    assert (report.cells.filled, report.cells.lost) == (541_910 * 8 - 1_454 - 135_080, 0)
    assert retailpipe.check_certificate(warehouse, report.certificate, warehouse=True).ok
