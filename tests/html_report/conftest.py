"""The warehouses and pages that the tests of the report share: each is built once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.local.server import EmbeddedServer
from retailpipe.sample import write_rows, write_sample
from tests.html_report.odd_rows import NAME, odd_rows
from tests.html_report.reading import Page
from tests.silver_and_gold.test_own_models import execute, workbook
from tests.support.servers import as_superuser

OWN_MODELS = {
    "by_country.sql": "select country, revenue from {{ ref('country_performance') }}",
    "by_day.sql": "select date, date_id as number from {{ ref('dim_date') }}",
    "by_rank.sql": "select rank::integer as rank, revenue from {{ ref('country_performance') }}",
    "no_such_column.sql": "select 1 as one",
    "no_number.sql": "select 'a' as name, 'b' as letter",
    "no_form.sql": "select 1 as one",
    "own.yml": """
models:
  - name: by_country
    description: Revenue <b>by</b> country
    config: {meta: {chart: {kind: bar, x: country, y: revenue}}}
  - name: by_day
    config: {meta: {chart: {kind: line, x: date, y: number}}}
  - name: by_rank
    config: {meta: {chart: {kind: bar, x: rank, y: revenue}}}
  - name: no_such_column
    config: {meta: {chart: {kind: bar, x: one, y: two}}}
  - name: no_number
    config: {meta: {chart: {kind: line, x: name, y: letter}}}
  - name: no_form
    config: {meta: {chart: a pie}}
""",
}
BRANCHES = """
name = "branches"
table = "branch_sales"
files = ["branches*"]

[[columns]]
header = "Branch"
name = "branch"
type = "string"

[[columns]]
header = "Amount"
name = "amount"
type = "decimal128(18, 3)"
"""


@contextmanager
def _database(server: EmbeddedServer, folder: Path, name: str) -> Iterator[Environment]:
    """An environment in a folder, with a database of its own on the shared server."""
    url = server.start()
    execute(as_superuser(url), f"create database {name} owner retailpipe")
    yield Environment.local(folder, database_url=url.replace("/retailpipe?", f"/{name}?"))
    execute(as_superuser(url), f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def shop(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A shop with more than five years of sales, of which the last is partial, and models that declare charts.

    Its first workbook has everything that makes a page hard to write; so has the name of its folder.
    """
    folder = tmp_path_factory.mktemp("report") / NAME
    with _database(server, folder, "report_shop") as shop:
        (folder / "input").mkdir(parents=True)
        write_rows(folder / "input" / "odd.xlsx", odd_rows())
        write_sample(folder / "input" / "sales.xlsx", rows=4_000, first_day=datetime(2025, 1, 2), days=408)
        _write_models(folder)
        assert retailpipe.run(shop).ok
        yield shop


@pytest.fixture(scope="session")
def branches(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """An environment with another contract alone, and a model for it: silver and gold are empty."""
    folder = tmp_path_factory.mktemp("report") / "branches"
    with _database(server, folder, "report_branches") as branches:
        (folder / "contracts").mkdir(parents=True)
        (folder / "contracts" / "branches.toml").write_text(BRANCHES)
        (folder / "models").mkdir()
        (folder / "models" / "totals.sql").write_text(
            "select branch, sum(amount) as amount from {{ source('bronze', 'branch_sales') }} group by branch"
        )
        book = workbook(folder.parent, "branches.xlsx", ("North", 10.5), ("South", -20.125), ("North", 1))
        assert retailpipe.run(branches, book).ok
        yield branches


@pytest.fixture(scope="session")
def shop_page(shop: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file with the report of the shop."""
    file = tmp_path_factory.mktemp("pages") / "shop.html"
    retailpipe.write_report(shop, file)
    return file


@pytest.fixture(scope="session")
def page(shop_page: Path) -> Page:
    """The report of the shop."""
    return Page.of(shop_page.read_text(encoding="utf-8"))


def _write_models(folder: Path) -> None:
    (folder / "models").mkdir(parents=True)
    for name, text in OWN_MODELS.items():
        (folder / "models" / name).write_text(text)
