"""The command `trace`: what it prints and writes, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from retailpipe import Environment
from tests.conftest import Program

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def call(shop: Environment, program: Program) -> Call:
    """A function that runs `retailpipe trace` on the environment."""
    chosen = ["--local", shop.folder, "--database-url", shop.warehouse.uri]
    return lambda *arguments: program("trace", *arguments, *chosen)


def test_a_figure_is_printed_with_its_rows(call: Call) -> None:
    done = call("top_products", "stock_code=T-1", "--column", "revenue")

    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[0] == "public_gold.top_products stock_code=T-1"
    assert lines[3] == "revenue  3.31       2  sum: revenue where quantity > 0"
    assert "revenue, the biggest first:" in lines
    assert "(2 rows)" in lines
    assert "C5, D5" in done.stdout
    assert "input/shuffled.xlsx: load " in done.stdout
    assert lines[-1] == "the rows of bronze give every figure exactly"


def test_rows_are_written_as_json_csv_and_xlsx(call: Call, tmp_path: Path) -> None:
    as_json = call("top_products", "stock_code=T-1", "--column", "revenue", "--json")
    as_csv = call("top_products", "stock_code=T-1", "--column", "revenue", "--format", "csv")
    as_xlsx = call("top_products", "stock_code=T-1", "--column", "revenue", "--out", tmp_path / "rows.xlsx")

    document = json.loads(as_json.stdout, parse_float=Decimal)
    assert [row["cells"] for row in document["rows"]] == ["C5, D5", "C2, D2"]
    assert (document["figures"][0]["figure"], document["total"]) == ("3.31", 2)
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    assert sum(Decimal(row["revenue"]) for row in rows) == Decimal("3.31")
    assert as_xlsx.stderr == f"wrote 2 rows to {tmp_path / 'rows.xlsx'}\n"
    sheet = openpyxl.load_workbook(tmp_path / "rows.xlsx").worksheets[0]
    assert [cell.value for cell in sheet[1]][:4] == ["workbook", "sheet", "row", "cells"]


def test_rows_are_grouped(call: Call) -> None:
    done = call("customer_lifetime_value", "customer_id=7", "--by", "workbook")

    assert ["input/shuffled.xlsx", "1", "0.01"] in [line.split() for line in done.stdout.splitlines()]
    assert "(1 group)" in done.stdout


def test_a_cell_is_printed_with_its_figures(call: Call) -> None:
    done = call("--cell", "'Sales 2024'!D5")

    first, *_ = done.stdout.splitlines()
    assert first.startswith("shuffled.xlsx!Sales 2024!D5 is in bronze.raw_transactions, load ")
    assert first.endswith("row 5, column unit_price: 1.1")
    assert "public_gold.top_products" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "which figure?"),
        (["top_products", "rank"], 2, "'rank' is not of the form COLUMN=VALUE"),
        (["top_products", "rank=1", "rank=2"], 2, "rank is given twice"),
        (["top_products", "--cell", "a.xlsx!A1"], 2, "--cell is not for a table"),
        (["--cell", "A1", "--format", "csv"], 2, "--cell is shown as text or JSON"),
        (["top_products", "rank=99999"], 1, "public_gold.top_products has no row with rank=99999"),
        (["branch_list", "branch=North"], 1, "branch_list.yml does not say how branch_list is traced"),
        (["--cell", "b.xlsx!A1"], 1, "no workbook or sheet that is loaded is called b.xlsx"),
    ],
)
def test_a_mistake_is_told_with_its_exit_code(call: Call, arguments: list[str], code: int, message: str) -> None:
    done = call(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "hint: " in done.stderr
