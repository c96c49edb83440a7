"""Every row of every table of silver and gold is what the rows of bronze give that it is traced to."""

from __future__ import annotations

from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from tests.silver_and_gold.test_own_models import execute
from tests.support.every_row import untraced_columns, wrong_rows


def test_every_row_of_every_table_is_given_by_its_traced_rows(shop: Environment) -> None:
    assert wrong_rows(shop) == {}


def test_every_column_of_our_tables_is_traced(shop: Environment) -> None:
    assert untraced_columns(shop) == ["public_own.branch_totals.third"]


def test_changed_rows_are_found(copy: Environment) -> None:
    execute(
        copy.warehouse.uri,
        "update public_gold.top_products set revenue = revenue + 0.001 where rank = 1",
        "update public_gold.country_performance set rank = 3 - rank where rank < 3",
        "update public_silver.dim_product set description = 'X' where stock_code = 'T-1'",
        "insert into public_silver.int_loaded_days values (19990101, '1999-01-01', '1')",
        "delete from bronze.branch_sales where branch = 'South'",
    )

    assert set(wrong_rows(copy)) == {
        "public_gold.top_products.revenue",
        "public_gold.top_products.net_revenue",
        "public_gold.country_performance.rank",
        "public_silver.dim_product.description",
        "public_gold.top_products.description",
        "public_silver.int_loaded_days.no rows",
        "public_silver.int_loaded_days.loads",
        "public_silver.int_loaded_days.invoice_day",
        "public_own.branch_totals.no rows",
        "public_own.branch_totals.revenue",
        "public_own.branch_totals.sales",
    }


@pytest.mark.nightly
def test_every_row_of_the_real_workbook_is_given_by_its_traced_rows(environment: Environment, dataset: Path) -> None:
    retailpipe.run(environment, dataset)

    assert wrong_rows(environment) == {}
