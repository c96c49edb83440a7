"""Figures are traced to the rows and cells that they come from."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment, TraceError, TransformError, UsageError, trace
from retailpipe.bronze.locks import lock_for_build
from retailpipe.progress import NoProgress
from retailpipe.sample import write_sample
from tests.silver_and_gold.test_own_models import execute


def rows(found: retailpipe.Trace) -> list[dict[str, Any]]:
    return found.rows.to_pylist()


def test_a_figure_is_traced_to_its_cells(shop: Environment) -> None:
    found = trace(shop, "top_products", {"stock_code": "T-1"}, column="revenue")

    assert [(figure.column, figure.figure, figure.traced, figure.rows) for figure in found.figures] == [
        ("revenue", "3.31", "3.31", 2)
    ]
    assert rows(found) == [
        {
            "workbook": "input/shuffled.xlsx", "sheet": "Sales 2024", "row": 5, "cells": "C5, D5",
            "quantity": 3, "unit_price": Decimal("1.100"), "day": date(2024, 2, 29), "invoice": "S2",
            "revenue": Decimal("3.300"),
        },
        {
            "workbook": "input/shuffled.xlsx", "sheet": "Sales 2024", "row": 2, "cells": "C2, D2",
            "quantity": 2, "unit_price": Decimal("0.005"), "day": date(2024, 1, 3), "invoice": "S1",
            "revenue": Decimal("0.010"),
        },
    ]  # fmt: skip
    assert [(each.source, each.rows, each.version) for each in found.workbooks] == [("input/shuffled.xlsx", 2, "")]


def test_what_each_row_adds_sums_up_to_the_figure(shop: Environment) -> None:
    for column in ("revenue", "quantity", "invoices", "customers", "returns_value"):
        found = trace(shop, "monthly_sales_summary", {"year": "2024", "month": "1"}, column=column)
        by_day = trace(shop, "monthly_sales_summary", {"year": "2024", "month": "1"}, column=column, by="day")

        (figure,) = found.figures
        values = [row[column] for row in rows(found)]
        assert sum(values) == sum(row[column] for row in rows(by_day)) == Decimal(figure.figure or "")
        assert values == sorted(values, key=abs, reverse=True)
        assert (found.total, by_day.total) == (figure.rows, len(rows(by_day)))


def test_a_row_is_named_by_texts_or_by_the_values_of_a_query(shop: Environment) -> None:
    by_texts = trace(shop, "monthly_sales_summary", {"year": "2024", "month": "1"})
    by_numbers = trace(shop, "monthly_sales_summary", {"year": 2024, "month": Decimal(1)})
    (row,) = retailpipe.query(shop, "select min(date) as date from public_silver.dim_date").to_pylist()

    assert by_numbers.as_dict() == by_texts.as_dict()
    assert trace(shop, "dim_date", row).figures == trace(shop, "dim_date", {"date": str(row["date"])}).figures
    assert trace(shop, "int_invoices", {"invoice_no": "S2", "customer_id": None}).figures
    with pytest.raises(UsageError, match=r"year of .* is of type"):
        trace(shop, "monthly_sales_summary", {"year": 2024.5, "month": 1})


def test_all_figures_of_a_row_are_checked(shop: Environment) -> None:
    found = trace(shop, "public_gold.top_products", {"rank": "1"}, limit=3)

    assert [figure.column for figure in found.figures] == [
        "rank", "description", "category", "days_sold", "quantity", "revenue", "returns_quantity", "returns_value",
        "net_revenue",
    ]  # fmt: skip
    assert all(figure.figure == figure.traced for figure in found.figures)
    assert found.listed == ("revenue",)
    assert len(rows(found)) == 3 < found.total
    assert set(found.key) == {"stock_code"}


def test_a_computed_column_is_traced_through_its_parts(shop: Environment) -> None:
    found = trace(shop, "monthly_sales_summary", {"year": "2024", "month": "2"}, column="average_invoice_value")

    assert found.listed == ("revenue", "invoices")
    assert found.notes == (
        "average_invoice_value is computed from revenue and invoices: round(revenue / invoices, 2).",
        "A value of invoices counts in the first row that has it.",
    )
    assert {"revenue", "invoices"} <= set(rows(found)[0])
    (average,) = (figure for figure in found.figures if figure.column == "average_invoice_value")
    assert average.parts == ("revenue", "invoices")


def test_a_column_of_another_table_is_traced_there(shop: Environment) -> None:
    found = trace(shop, "top_products", {"stock_code": "T-1"}, column="description")

    assert found.table == "public_silver.dim_product"
    assert found.notes[0] == "public_gold.top_products takes description from dim_product, by stock_code."
    assert next(row["cells"] for row in rows(found)) == "H2"


def test_a_column_that_differs_from_the_table_it_is_taken_from_is_an_error(copy: Environment) -> None:
    execute(copy.warehouse.uri, "update public_gold.top_products set description = 'X' where stock_code = 'T-1'")

    for column in ("description", None):
        with pytest.raises(TraceError, match="description is X, but the columns that it follows from give CUP"):
            trace(copy, "top_products", {"stock_code": "T-1"}, column=column)


def test_a_key_may_be_null_or_empty(shop: Environment) -> None:
    found = trace(shop, "int_invoices", {"invoice_no": "S2", "customer_id": ""})

    assert found.key["customer_id"] is None
    assert [row["row"] for row in rows(found)] == [5]


def test_a_hostile_key_is_a_value(shop: Environment) -> None:
    found = trace(shop, "dim_product", {"stock_code": "'; drop table x; --"})

    assert [row["row"] for row in rows(found)] == [7]
    for value in ("' or true --", "$1", "\\", "x\ny"):
        with pytest.raises(TraceError, match="has no row with"):
            trace(shop, "dim_product", {"stock_code": value})


@pytest.mark.parametrize(
    ("table", "key", "options", "message"),
    [
        ("top_product", {"rank": "1"}, {}, "no model builds a table top_product; did you mean top_products?"),
        ("public_own.top_products", {"rank": "1"}, {}, "no model builds a table public_own.top_products"),
        ("top_products", {}, {}, "which row of public_gold.top_products?"),
        ("top_products", {"code": "1"}, {}, "public_gold.top_products has no column code"),
        ("top_products", {"rank": "first"}, {}, "rank of public_gold.top_products is of type bigint: invalid input"),
        ("top_products", {"stock_code": "\0"}, {}, "contains a NUL character"),
        ("top_products", {"category": "Product"}, {}, "rows of public_gold.top_products have category=Product"),
        ("top_products", {"rank": "1"}, {"column": "code"}, "column code of public_gold.top_products does not exist"),
        ("top_products", {"rank": "1"}, {"column": "stock_code"}, "stock_code of .* tells the row apart"),
        ("top_products", {"rank": "1"}, {"by": "shop"}, "cannot be grouped by shop"),
        (
            "service_codes",
            {"stock_code": "M"},
            {},
            "has no figures of bronze: its rows are written in dbt_project/models",
        ),
    ],
)
def test_a_wrong_argument_is_named(
    shop: Environment, table: str, key: dict[str, str], options: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        trace(shop, table, key, **options)


def test_a_figure_that_the_rows_do_not_give_is_an_error(copy: Environment) -> None:
    execute(
        copy.warehouse.uri, "update public_gold.top_products set revenue = revenue + 0.001 where stock_code = 'T-1'"
    )

    with pytest.raises(
        TraceError, match=r"stock_code=T-1: revenue is 3.311, but the rows that it follows from give 3.31; net"
    ) as e:
        trace(copy, "top_products", {"stock_code": "T-1"})
    assert "was built from all current loads" in str(e.value)


def test_a_running_build_is_named_as_the_reason(copy: Environment) -> None:
    execute(copy.warehouse.uri, "update public_gold.top_products set quantity = 0 where stock_code = 'T-1'")

    with copy.warehouse.connect() as connection:
        lock_for_build(connection, NoProgress())
        with pytest.raises(TraceError, match=r"quantity is 0, but the rows .* give 5\. A build is running"):
            trace(copy, "top_products", {"stock_code": "T-1"})


def test_an_older_build_is_named_as_the_reason(copy: Environment, tmp_path: Path) -> None:
    write_sample(tmp_path / "more.xlsx", rows=50, seed=7)
    retailpipe.ingest(copy, tmp_path / "more.xlsx")

    with pytest.raises(TraceError, match="Workbooks were loaded or removed since the last build") as error:
        trace(copy, "monthly_sales_summary", {"year": "2024", "month": "1"})
    assert "`retailpipe transform`" in error.value.hint
    with pytest.raises(TraceError, match="has no row with year=2031") as error:
        trace(copy, "monthly_sales_summary", {"year": "2031"})
    assert "Workbooks were loaded" in error.value.hint


def test_a_model_of_the_user_is_traced_as_its_yml_declares(shop: Environment) -> None:
    found = trace(shop, "branch_totals", {"branch": "North"})

    assert [(figure.column, figure.figure) for figure in found.figures] == [("revenue", "10.625"), ("sales", "2")]
    assert [(row["sheet"], row["cells"], row["amount"]) for row in rows(found)] == [
        ("North", "A4", Decimal("10.500")),
        ("North", "A6", Decimal("0.125")),
    ]


def test_a_model_without_a_declaration_says_which_lines_to_add(shop: Environment) -> None:
    with pytest.raises(
        TransformError, match=r"models/branch_list\.yml does not say how branch_list is traced"
    ) as error:
        trace(shop, "branch_list", {"branch": "North"})
    assert "rows: bronze.branch_sales" in error.value.hint


def test_a_declaration_that_does_not_fit_its_table_is_named_with_its_file(copy: Environment) -> None:
    for declared, message in [
        ('{"grain": {"branch": "branch"}, "columns": {"revenue": {"sum": "no_such"}}}', "column .*no_such.* does not"),
        ('{"grain": {"branch": "branch"}, "columns": {"revenue": {"sum": "1) from x; --"}}}', "as its yml declares"),
        ('{"grain": {"branch": "branch"}, "columns": {"revenu": {"sum": "amount"}}}', "names column revenu, which"),
        ('{"grain": {"branch": "branch"}, "rows": "nowhere"}', "rows of trace is 'nowhere', which is not"),
        ('{"grain": {"branch": "branch"}, "rows": "branch_totals"}', "a model that follows from itself"),
        ('{"grain": {"branch": "branch"}, "rows": "top_products"}', "which has no column load_id"),
    ]:
        execute(copy.warehouse.uri, f"update bronze.own_models set trace = '{declared}' where name = 'branch_totals'")

        with pytest.raises(TransformError, match=message) as error:
            trace(copy, "branch_totals", {"branch": "North"})
        assert "models/branch_totals.yml" in str(error.value)


def test_a_float_is_named_as_the_reason_that_a_sum_differs(copy: Environment) -> None:
    declared = '{"grain": {"branch": "branch"}, "columns": {"third": {"sum": "amount / 3"}}}'
    execute(copy.warehouse.uri, f"update bronze.own_models set trace = '{declared}' where name = 'branch_totals'")

    with pytest.raises(TraceError, match="A float is not exact"):
        trace(copy, "branch_totals", {"branch": "North"})
