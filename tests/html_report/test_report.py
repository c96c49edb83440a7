"""The report of a shop: its figures are gold's own, and it says what is wrong."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.html_report.facts import LineageNode
from retailpipe.html_report.lineage import lineage
from retailpipe.html_report.lineage_drawing import drawing
from retailpipe.sample import write_rows, write_sample
from tests.conftest import Workbook
from tests.html_report.odd_rows import COUNTRIES, MONTHS
from tests.html_report.reading import Page

MONTHS_SQL = """
select invoices, customers, quantity, revenue, returns_value, net_revenue, average_invoice_value
from public_gold.monthly_sales_summary order by year, month offset 14
"""
COUNTRIES_SQL = """
select rank, country, invoices, customers, quantity, revenue, revenue_share, returns_value, net_revenue
from public_gold.country_performance order by rank limit 50
"""
PRODUCTS_SQL = """
select rank, stock_code, description, category, days_sold, quantity, revenue, returns_value, net_revenue
from public_gold.top_products order by rank limit 25
"""
CUSTOMERS_SQL = """
select customer_id, country, first_purchase, last_purchase, invoices, revenue, returns_value, net_revenue
from public_gold.customer_lifetime_value order by revenue desc, customer_id collate "C" limit 10
"""
WEEKDAYS_SQL = """
select count(*) as n, sum(revenue) as revenue from public_silver.stg_transactions
where quantity > 0 group by extract(isodow from invoiced_at) order by extract(isodow from invoiced_at)
"""


def rows(environment: Environment, sql: str) -> list[list[str]]:
    """The rows of a query, each value as the report writes it."""
    return [[written(value) for value in row.values()] for row in retailpipe.query(environment, sql).to_pylist()]


def written(value: Any) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    return re.sub("[\0-\x1f\x7f]", "\N{REPLACEMENT CHARACTER}", str(value))


def normal(cells: list[str]) -> list[str]:
    """Cells whose numbers have no trailing zeros."""
    return [
        written(Decimal(cell)) if cell.replace(".", "", 1).lstrip("-").isdigit() and "." in cell else cell
        for cell in cells
    ]


@pytest.mark.parametrize(
    ("caption", "sql", "columns"),
    [
        ("Revenue by month", MONTHS_SQL, slice(1, 8)),
        ("Countries by revenue", COUNTRIES_SQL, slice(None)),
        ("Products by revenue", PRODUCTS_SQL, slice(None)),
        ("Customers by revenue", CUSTOMERS_SQL, slice(1, None)),
        ("Sales by weekday", WEEKDAYS_SQL, slice(1, None)),
    ],
)
def test_the_figures_are_those_of_the_tables(
    shop: Environment, page: Page, caption: str, sql: str, columns: slice
) -> None:
    assert [normal(row[columns]) for row in page.tables[caption]] == rows(shop, sql)


def test_a_month_stands_beside_the_same_month_of_the_year_before(shop: Environment, page: Page) -> None:
    sql = "select revenue from public_gold.monthly_sales_summary where (year, month) = {}"

    by_month = {row[0]: row for row in page.tables["Revenue by month"]}

    before = {"March 2021": "(2020, 3)", "January 2026": "(2025, 1)"}  # March 2020 is not shown itself
    for month, earlier in before.items():
        assert [normal([by_month[month][-1]])] == rows(shop, sql.format(earlier))
    assert "March 2020" not in by_month


def test_new_and_returning_customers_are_all_customers_of_the_month(shop: Environment, page: Page) -> None:
    customers = [int(row[1]) + int(row[2]) for row in page.tables["New and returning customers by month"]]

    sql = "select customers from public_gold.monthly_sales_summary order by year, month offset 14"
    assert customers == [int(row[0]) for row in rows(shop, sql)]


def test_the_tenths_hold_the_revenue_of_all_customers(shop: Environment, page: Page) -> None:
    tenths = page.tables["Customers with purchases, in tenths by revenue"]

    [[revenue]] = rows(shop, "select sum(revenue) as revenue from public_gold.customer_lifetime_value")
    assert len(tenths) == 10
    assert sum(Decimal(row[2]) for row in tenths) == Decimal(revenue)


def test_a_partial_last_month_is_marked_in_the_chart_the_table_and_the_sentence(page: Page) -> None:
    sentence = "February 2026 is partial: the data ends on 13 February 2026."

    assert page.text.count(sentence) == 3
    assert page.tables["Revenue by month"][-1][0] == "February 2026 (partial)"
    assert {"class": "mark pale"} in page.named("span")


def test_every_invariant_is_there_with_both_sides(shop: Environment, page: Page) -> None:
    verification = retailpipe.verify(shop)

    assert page.tables["Invariants"] == [["holds", i.name, i.expected, i.actual] for i in verification.invariants]


def test_rejected_rows_are_counted_by_rule_and_the_first_cells_are_shown(shop: Environment, page: Page) -> None:
    found = retailpipe.rejects(shop).to_pylist()

    assert sum(int(row[2]) for row in page.tables["Rejected rows by rule and column"]) == len(found)
    assert [row[2] for row in page.tables["The first rejected cells"]] == [row["cell"] for row in found]
    assert "retailpipe rejects --local" in page.text


def test_loads_workbooks_and_versions_are_listed(shop: Environment, page: Page) -> None:
    load = retailpipe.status(shop).loads[0]

    row, _ = page.tables["Loads, newest first"]
    assert row[:3] == ["2", "input/sales.xlsx", "loaded"]
    assert row[5:] == [str(load["rows_read"]), str(load["rows_loaded"]), str(load["rows_rejected"])]
    book, _ = page.tables["Workbooks"]
    assert book[1] == load["content_hash"][:12]
    assert ["retailpipe", retailpipe.__version__] in page.tables["Versions"]


def test_the_lineage_leads_from_the_workbook_to_the_users_models(page: Page) -> None:
    parents = {row[0]: row[2].split(", ") for row in page.tables["What each table is made from"]}

    assert parents["raw_transactions"] == ["input/odd.xlsx", "input/sales.xlsx"]
    assert "stg_transactions" in parents["int_invoices"]
    assert "int_loaded_days" in parents["int_invoices"]  # through a macro
    assert parents["monthly_sales_summary"] == ["int_invoices"]
    assert parents["by_country"] == ["country_performance"]


@pytest.mark.nightly
def test_the_lineage_counts_the_workbooks_of_all_loads(branches: Environment) -> None:
    with branches.warehouse.connect() as connection:  # it is never committed
        connection.execute(
            """
            insert into bronze.loads
                (source, content_hash, contract, contract_hash, table_name, sheet, rows_read, rows_loaded,
                rows_rejected, started_at, finished_at, status)
            select 'input/' || n || '/a.xlsx', '', '', '', case when n <= 2 then 'early' else 'late' end, '', 0, 0,
                0, now(), now(), 'loaded'
            from generate_series(1, 47) as n
            """
        )
        found = {node.key: node.parents for node in lineage(connection, branches, [])}

    assert found["bronze", "late"] == (("workbook", "45 workbooks of late"),)
    assert found["bronze", "early"] == (("workbook", "input/1/a.xlsx"), ("workbook", "input/2/a.xlsx"))
    assert ("bronze", "branch_sales") in found


def test_a_model_may_have_the_name_of_a_table_of_bronze() -> None:
    workbook = LineageNode("input/a.xlsx", "workbook")
    table = LineageNode("sales", "bronze", (workbook.key,))
    model = LineageNode("sales", "own", (table.key,))

    found = drawing((workbook, table, model))

    assert found is not None
    boxes = [(box.name, box.layer) for box in found.boxes]
    assert boxes == [("a.xlsx", "workbook"), ("sales", "bronze"), ("sales", "own")]
    assert len(found.paths) == 2


def test_every_chart_is_named_by_its_title_and_its_sentence(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    charts = page.named("svg")

    assert len(ids) == len(set(ids))
    assert len(charts) > 14
    assert all(chart["role"] == "img" for chart in charts)
    assert {name for chart in charts for name in (chart["aria-labelledby"] or "").split()} <= set(ids)


def test_long_lists_say_how_much_is_left_out(shop: Environment, page: Page) -> None:
    [[countries]] = rows(shop, "select count(*) as n from public_gold.country_performance")

    assert int(countries) > COUNTRIES
    assert f"The last 60 of {MONTHS + 14} rows." in page.text
    assert f"The first 50 of {countries} rows." in page.text
    assert f"{int(countries) - 10} other countries" in page.text


def test_each_command_is_for_the_database_of_the_report(shop: Environment, page: Page) -> None:
    assert shop.options[2:] == ("--database-url", shop.warehouse.uri)
    assert f"retailpipe rejects {shlex.join(shop.options)}" in page.text


def test_other_contracts_have_loads_and_own_models_without_sales(branches: Environment) -> None:
    page = Page.of(retailpipe.render_report(branches))

    assert "Silver and gold are empty: no workbook is loaded into raw_transactions" in page.text
    assert sorted(page.tables["Rows of totals"]) == [["North", "11.5"], ["South", "-20.125"]]
    assert page.tables["Workbooks"][0][3] == "bronze.branch_sales"
    assert "Everything agrees" in page.text


def test_an_empty_warehouse_says_what_to_do(environment: Environment) -> None:
    page = Page.of(retailpipe.render_report(environment))

    assert "Nothing is loaded yet" in page.text
    assert "retailpipe run --local" in page.text
    assert page.named("figure") == []


def test_a_warehouse_without_silver_and_gold_is_a_failure(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())

    page = Page.of(retailpipe.render_report(environment))

    assert "1 thing is wrong" in page.text
    assert "Silver and gold are not built" in page.text
    assert "retailpipe transform --local" in page.text


@pytest.mark.parametrize("words", [["report"], ["run", "--report"]])
def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, words: list[str]) -> None:
    code = "import sys; sys.modules['altair'] = None; from retailpipe.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--local", str(tmp_path / "shop")]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "the report needs altair, which is not installed" in done.stderr
    assert "pip install 'retailpipe[report]'" in done.stderr


def test_workbooks_that_are_not_loaded_are_problems(environment: Environment, make_workbook: Workbook) -> None:
    retailpipe.ingest(environment, make_workbook())
    folder = environment.folder / "input"
    (folder / "refused.xlsx").write_bytes(b"no workbook")
    (folder / "misfit.csv").write_text("A,B\n1,2\n")
    (folder / "waiting.xlsx").write_bytes(b"no workbook")
    for name in ("refused.xlsx", "misfit.csv"):
        with pytest.raises(retailpipe.RetailpipeError):
            retailpipe.ingest(environment, f"input/{name}")

    page = Page.of(retailpipe.render_report(environment))

    assert re.search(r"A workbook was refused on \S+ at \S+ UTC input/refused.xlsx is not an xlsx workbook", page.text)
    assert page.text.count("input/misfit.csv") == 2  # the reason and the command
    assert f"retailpipe contract init --local {folder.parent} {folder}/misfit.csv --save" in page.text
    assert "1 workbook is not loaded yet input/waiting.xlsx" in page.text


def test_loads_that_are_not_built_yet_are_one_problem(environment: Environment, make_workbook: Workbook) -> None:
    assert retailpipe.run(environment, make_workbook()).ok
    write_sample(environment.folder / "input" / "more.xlsx", rows=20)
    retailpipe.ingest(environment, "input/more.xlsx")

    page = Page.of(retailpipe.render_report(environment))

    assert "1 thing is wrong Silver and gold are out of date Workbooks were loaded or removed since" in page.text
    assert "retailpipe transform --local" in page.text
    assert "An invariant does not hold" not in page.text
    assert "No row is missing." in page.text


@pytest.mark.nightly
def test_a_month_with_only_returns_is_named_and_partial(environment: Environment, tmp_path: Path) -> None:
    file = tmp_path / "returns.xlsx"
    days = [datetime(2024, 1, 1, 9) + timedelta(days=number) for number in range(60) if number % 7 != 5]
    sold = [(number, "A", "a lamp", 1, day, 2, 7, "Norway") for number, day in enumerate(days)]
    write_rows(file, [*sold, (99, "A", "a lamp", -1, datetime(2024, 3, 4, 9), "3.50", 7, "Norway")])
    assert retailpipe.run(environment, file).ok

    page = Page.of(retailpipe.render_report(environment))

    assert "March 2024 is partial: the data ends on 4 March 2024." in page.text
    assert "January 2024 is partial" not in page.text
    assert "Nothing was returned in these months. March 2024 had only returns: 3.50" in page.text


def test_a_broken_invariant_is_a_failure_with_both_sides(branches: Environment) -> None:
    row = "delete from bronze.branch_sales where branch = 'South' returning load_id, source_row, branch, amount"
    with branches.warehouse.connect() as connection:
        [values] = connection.rows(row)
        connection.commit()
        try:
            page = Page.of(retailpipe.render_report(branches))
        finally:
            text = ", ".join(f"'{value}'" for value in values)
            connection.execute(f"insert into bronze.branch_sales (load_id, source_row, branch, amount) values ({text})")
            connection.commit()

    assert "1 thing is wrong" in page.text
    assert "rows loaded in the ledger = rows in bronze.branch_sales: 3 expected, 2 found." in page.text
    assert "The rows in bronze are not those of the ledger: see above." in page.text
    assert "No row is missing" not in page.text


@pytest.mark.nightly
def test_the_report_of_the_real_workbook_is_small(environment: Environment, dataset: Path, tmp_path: Path) -> None:
    assert retailpipe.run(environment, dataset).ok

    written = retailpipe.write_report(environment, tmp_path / "report.html", picture=tmp_path / "month.png")

    assert written.verdict == "Everything agrees"
    assert written.bytes < 300_000
    page = Page.of((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.tables["Revenue by month"][-1][0] == "December 2011 (partial)"
    assert normal(page.tables["Countries by revenue"][0][5:6]) == ["9000618.694"]
