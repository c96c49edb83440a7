"""An environment with several workbooks, whose silver, gold and own models are built once for all tests of tracing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.local.server import EmbeddedServer
from retailpipe.sample import write_sample
from tests.conftest import Prepared, prepared

CONTRACT = """
name = "branches"
table = "branch_sales"
sheet = "all"
header_row = 3
skip_rows = [{ column = "Branch", matches = "Total*" }]
files = ["branches*"]

[[columns]]
header = "Branch"
name = "branch"
type = "string"
required = true

[[columns]]
header = "Amount"
name = "amount"
type = "decimal128(18, 3)"

[[columns]]
header = "Clerk"
name = "clerk"
type = "string"
optional = true
"""
TOTALS = """
select branch, sum(amount) as revenue, count(*) as sales, sum(amount)::float8 / 3 as third
from {{ source('bronze', 'branch_sales') }} group by branch
"""
YML = """
models:
  - name: branch_totals
    config:
      meta:
        trace:
          grain: {branch: branch}
          columns:
            revenue: {sum: amount}
            sales: {count: "*"}
"""
BRANCHES: dict[str, list[list[Any]]] = {
    "North": [
        ["Sales of the branch"],
        [],
        ["Amount", "Branch", "Remark"],
        [10.5, "North", "first"],
        [],
        [0.125, "North", None],
        ["abc", "North", "wrong"],
        [10.625, "Total", None],
    ],
    "South!": [
        ["South"],
        [],
        ["Branch", None, "Amount", "Clerk"],
        ["South", None, 3.001, "O'Neil"],
        ["South", None, None, None],
    ],
}
SHUFFLED: list[list[Any]] = [
    ["Country", "Note", "Quantity", "UnitPrice", "CustomerID", "InvoiceDate", "StockCode", "Description", "InvoiceNo"],
    ["Spain", "x", 2, 0.005, 7, datetime(2024, 1, 3, 9), "T-1", " CUP ", "S1"],
    ["Spain", None, -1, 0.005, 7, datetime(2024, 1, 4, 9), "T-1", "CUP", "CS1"],
    [],
    ["Italy", None, 3, 1.10, None, datetime(2024, 2, 29, 9), "T-1", None, "S2"],
    ["Italy", "y", 3, "dear", None, datetime(2024, 2, 29, 9), "T-1", None, "S3"],
    ["Italy", None, 0, 1.10, 8, datetime(2024, 2, 29, 9), "'; drop table x; --", "?", "S4"],
]


def book_of(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    """Write a workbook; a row without cells is blank."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for number, row in enumerate(rows, 1):
            for column, value in enumerate(row, 1):
                page.cell(number, column, value)
    book.save(path)
    return path


@pytest.fixture(scope="session")
def built(server: EmbeddedServer, parsed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """The environment, to be copied by tests that change it."""
    folder = tmp_path_factory.mktemp("traced")

    def prepare(environment: Environment) -> None:
        for name, text in {
            "contracts/branches.toml": CONTRACT,
            "models/branch_totals.sql": TOTALS,
            "models/branch_totals.yml": YML,
            "models/branch_list.sql": "select distinct branch from {{ source('bronze', 'branch_sales') }}",
        }.items():
            file = environment.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        write_sample(folder / "sample.xlsx", rows=300)
        books = [folder / "sample.xlsx", book_of(folder / "shuffled.xlsx", {"Sales 2024": SHUFFLED})]
        books.append(book_of(folder / "branches.xlsx", BRANCHES))
        for book in books:
            retailpipe.upload(environment, book)
        report = retailpipe.run(environment)
        assert report.ok, str(report)

    with prepared(server, parsed, folder / "environment", "traced", prepare) as copies:
        yield copies


@pytest.fixture
def shop(built: Prepared) -> Environment:
    """The environment itself: a test must not change it."""
    url = built.server.start().replace("/retailpipe?", f"/{built.database}?")
    return Environment.local(built.folder, database_url=url)


@pytest.fixture
def copy(built: Prepared, tmp_path: Path) -> Iterator[Environment]:
    """A copy of the environment, which a test may change."""
    with built.copied(tmp_path / "copy") as environment:
        yield environment
