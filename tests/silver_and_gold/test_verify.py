"""verify: a broken invariant is reported by its name, and correct data breaks none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from pathlib import Path

import openpyxl
import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.builds import transform
from retailpipe.errors import WarehouseError
from retailpipe.local.server import EmbeddedServer
from tests.conftest import HEADERS, Workbook
from tests.support.servers import as_superuser, execute

DECEMBER, JANUARY = datetime(2010, 12, 1, 8, 26), datetime(2011, 1, 4, 10, 0)
ROWS = (
    (536365, "85123A", "HEART", 6, DECEMBER, 2.55, 17850, "United Kingdom"),
    (536366, "22111", "LAMP", 2, DECEMBER, 1.001, None, "France"),
    (536367, "22111", "LAMP", 1, JANUARY, 0, 12583, "France"),
    ("C536368", "85123A", "HEART", -1, JANUARY, 2.55, 17850, "United Kingdom"),
    (536369, "85123A", "HEART", 1, JANUARY, -1, 17850, "United Kingdom"),
)


@pytest.fixture(scope="module")
def template(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with a small workbook, loaded and built."""
    url, name = server.start(), "verify_template"
    folder = tmp_path_factory.mktemp("verify")
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (HEADERS, *ROWS):
        book.active.append(row)
    book.save(folder / "book.xlsx")
    execute(as_superuser(url), f"create database {name} owner retailpipe")
    environment = Environment.local(folder / "environment", database_url=url.replace("/retailpipe?", f"/{name}?"))
    assert retailpipe.run(environment, folder / "book.xlsx").ok
    yield name
    execute(as_superuser(url), f"drop database {name} with (force)")


@pytest.fixture
def built(server: EmbeddedServer, template: str, tmp_path: Path) -> Iterator[Environment]:
    """An environment with its own copy of that database, which the test may change."""
    url, name = server.start(), "verify_copy"
    execute(as_superuser(url), f"create database {name} template {template} owner retailpipe")
    yield Environment.local(tmp_path / "environment", database_url=url.replace("/retailpipe?", f"/{name}?"))
    execute(as_superuser(url), f"drop database {name} with (force)")


def broken(environment: Environment) -> list[str]:
    """The names of the invariants that do not hold."""
    report = retailpipe.verify(environment)
    names = [invariant.name for invariant in report.invariants if not invariant.ok]
    assert report.ok == (not names)
    return names


def test_all_invariants_hold_after_a_build(built: Environment) -> None:
    report = retailpipe.verify(built)

    assert report.ok
    assert broken(built) == []
    assert len({invariant.name for invariant in report.invariants}) == len(report.invariants)


def test_verify_counts_the_rows_of_every_table(built: Environment) -> None:
    tables = retailpipe.verify(built).tables

    assert tables["bronze.raw_transactions"] == 4
    assert tables["bronze.loads"] == 1
    assert tables["bronze.rejected_rows"] == 1
    assert tables["public_silver.dim_date"] == 2
    assert tables["public_silver.dim_product"] == 2
    assert tables["public_silver.dim_customer"] == 2
    assert tables["public_silver.fact_sales_daily"] == 3
    assert tables["public_silver.fact_returns_daily"] == 1
    assert tables["public_gold.monthly_sales_summary"] == 2
    assert tables["public_gold.country_performance"] == 2
    layers = [name.partition(".")[0] for name in tables]
    assert list(dict.fromkeys(layers)) == ["bronze", "public_silver", "public_gold"]


def test_figures_are_exact(built: Environment) -> None:
    figures = {
        invariant.name: (invariant.expected, invariant.actual) for invariant in retailpipe.verify(built).invariants
    }

    assert figures["revenue: bronze = silver"] == ("17.302", "17.302")
    assert figures["quantity sold: bronze = silver"] == ("9", "9")
    assert figures["value returned: bronze = silver"] == ("2.55", "2.55")


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        (
            "rows read = rows loaded + rows rejected + rows corrected",
            "alter table bronze.loads drop constraint every_row_accounted_for; "
            "update bronze.loads set rows_read = rows_read + 1",
        ),
        (
            "rows loaded in the ledger = rows in bronze",
            "delete from bronze.raw_transactions where source_row = 2",
        ),
        (
            "rows loaded in the ledger = rows in bronze",
            "update bronze.loads set rows_loaded = rows_loaded + 1, rows_read = rows_read + 1",
        ),
        ("loads whose rows or rejected rows differ from the ledger", "delete from bronze.rejected_rows"),
        (
            "loads whose rows or rejected rows differ from the ledger",
            "update bronze.raw_transactions set load_id = 99 where source_row = 2",
        ),
        (
            "loads whose rows or rejected rows differ from the ledger",
            "update bronze.loads set status = 'replaced'",
        ),
        ("loads in silver = loads in the ledger", "delete from public_silver.built_loads"),
        ("dates in bronze = dates in dim_date", "delete from public_silver.dim_date where month = 1"),
        (
            "stock codes in bronze = stock codes in dim_product",
            "delete from public_silver.dim_product where stock_code = '22111'",
        ),
        (
            "customers in bronze = customers in dim_customer",
            "delete from public_silver.dim_customer where customer_id = '12583'",
        ),
        (
            "facts without a row in dim_date",
            "update public_silver.fact_sales_daily set date_id = 19990101 where stock_code = '22111'",
        ),
        (
            "facts without a row in dim_date",
            "update public_silver.fact_returns_daily set date_id = 19990101",
        ),
        (
            "facts without a row in dim_product",
            "update public_silver.fact_sales_daily set stock_code = '85123a' where stock_code = '85123A'",
        ),
        (
            "facts without a row in dim_product",
            "insert into public_silver.fact_sales_daily values (20101201, 'nowhere', 'France', 0, 0, 0, 0)",
        ),
        (
            "quantity sold: bronze = silver",
            "update public_silver.fact_sales_daily set quantity = quantity + 1 where stock_code = '85123A'",
        ),
        (
            "revenue: bronze = silver",
            "update public_silver.fact_sales_daily set revenue = revenue + 0.001 where stock_code = '85123A'",
        ),
        (
            "quantity returned: bronze = silver",
            "update public_silver.fact_returns_daily set quantity = quantity + 1",
        ),
        (
            "value returned: bronze = silver",
            "update public_silver.fact_returns_daily set revenue = revenue + 0.001",
        ),
        (
            "quantity sold: silver = gold by month",
            "update public_gold.monthly_sales_summary set quantity = quantity + 1 where month = 1",
        ),
        (
            "revenue: silver = gold by month",
            "update public_gold.monthly_sales_summary set revenue = revenue + 0.001 where month = 1",
        ),
        (
            "revenue: silver = gold by product",
            "update public_gold.top_products set revenue = revenue + 0.001 where rank = 1",
        ),
        (
            "revenue: silver = gold by country",
            "update public_gold.country_performance set revenue = revenue + 0.001 where rank = 1",
        ),
        (
            "revenue from customers: bronze = gold",
            "update public_gold.customer_lifetime_value set revenue = revenue + 0.001 where customer_id = '17850'",
        ),
    ],
)
def test_a_broken_invariant_is_reported_by_name(built: Environment, name: str, statement: str) -> None:
    execute(built.warehouse.uri, *statement.split("; "))

    assert name in broken(built)


@pytest.mark.parametrize(
    "statement",
    [
        "update public_gold.top_products set quantity = quantity + 1 where rank = 1",
        "update public_gold.top_products set returns_value = returns_value + 0.001 where rank = 1",
        "update public_gold.country_performance set quantity = quantity + 1 where rank = 1",
        "update public_gold.country_performance set returns_quantity = returns_quantity + 1 where rank = 1",
        "update public_gold.country_performance set returns_value = returns_value + 0.001 where rank = 1",
        "update public_gold.customer_lifetime_value set quantity = quantity + 1 where customer_id = '17850'",
        "update public_gold.customer_lifetime_value set returns_value = 0 where customer_id = '17850'",
    ],
)
def test_every_sum_in_gold_is_compared(built: Environment, statement: str) -> None:
    execute(built.warehouse.uri, statement)

    assert len(broken(built)) == 1


def test_a_load_that_is_not_built_yet_breaks_invariants(built: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(built, make_workbook(name="more.xlsx"))

    names = broken(built)

    assert "loads in silver = loads in the ledger" in names
    assert "revenue: bronze = silver" in names
    assert "rows loaded in the ledger = rows in bronze" not in names


def test_all_invariants_hold_after_a_replaced_load_is_built(built: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(built, make_workbook(ROWS[1:], name="book.xlsx"))
    assert broken(built)

    transform(built)

    assert broken(built) == []


def test_all_invariants_hold_with_rows_in_the_table_of_another_contract(
    built: Environment, make_workbook: Workbook, tmp_path: Path
) -> None:
    text = (resources.files("retailpipe") / "contracts" / "online_retail.toml").read_text()
    (tmp_path / "own.toml").write_text(text.replace('"raw_transactions"', '"wholesale"'))
    own = Contract.from_file(tmp_path / "own.toml")
    retailpipe.ingest(built, make_workbook(name="wholesale.xlsx"), contract=own)

    transform(built, select="built_loads")

    assert broken(built) == []


def test_verify_before_the_first_build_raises_a_clear_error(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    with pytest.raises(WarehouseError, match="silver and gold are not built") as caught:
        retailpipe.verify(environment)

    assert "`retailpipe transform`" in caught.value.hint


def test_verify_of_an_empty_database_raises_a_clear_error(environment: Environment) -> None:
    with pytest.raises(WarehouseError) as caught:
        retailpipe.verify(environment)

    assert caught.value.hint


def test_a_missing_table_raises_a_clear_error(built: Environment) -> None:
    execute(built.warehouse.uri, "drop table public_gold.top_products")

    with pytest.raises(WarehouseError, match="top_products") as caught:
        retailpipe.verify(built)

    assert "`retailpipe transform`" in caught.value.hint


def test_the_report_converts_to_json_values(built: Environment) -> None:
    document = retailpipe.verify(built).as_dict()

    assert document["ok"] is True
    assert document["invariants"][0] == {
        "name": "rows read = rows loaded + rows rejected + rows corrected",
        "ok": True,
        "expected": "5",
        "actual": "5",
    }
