"""Loads under contracts other than the default: several sheets as one load, CSV files, and rows that are skipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.errors import ContractError, SheetError, TooManyRejects
from tests.support.workbooks import book_of, contract_of

CODE = {"header": "Code", "type": "string", "required": True}
PRICE = {"header": "Price", "type": "decimal128(38, 18)"}
HEADER = ["Code", "Price"]
ROWS = "select code, price::float as price, source_row, source_sheet from bronze.shop_rows order by load_id, code"


def rows(environment: Environment, sql: str) -> list[dict[str, Any]]:
    return retailpipe.query(environment, sql).to_pylist()


@pytest.fixture
def shop(tmp_path: Path) -> Contract:
    """A contract for all sheets."""
    return contract_of(tmp_path, CODE, PRICE, sheet="all")


def test_several_sheets_are_one_load(tmp_path: Path, environment: Environment, shop: Contract) -> None:
    sheets = {"Jan": [HEADER, ["a", 1.5], [None, 2]], "Feb": [HEADER, ["b", 2.5], [None, 3], ["c", "dear"]], "Mar": []}
    path = book_of(tmp_path / "year.xlsx", sheets)

    [report] = retailpipe.ingest(environment, path, contract=shop)

    assert (report.sheet, report.rows_read, report.rows_loaded, report.rows_rejected) == ("Jan, Feb", 5, 2, 3)
    assert rows(environment, ROWS) == [
        {"code": "a", "price": 1.5, "source_row": 2, "source_sheet": "Jan"},
        {"code": "b", "price": 2.5, "source_row": 2, "source_sheet": "Feb"},
    ]
    assert rows(environment, "select sheet, rows_read from bronze.loads") == [{"sheet": "Jan, Feb", "rows_read": 5}]
    found = retailpipe.rejects(environment).to_pylist()
    assert [(each["sheet"], each["cell"], each["code"]) for each in found] == [
        ("Feb", "A3", "missing"),
        ("Feb", "B4", "not_a_number"),
        ("Jan", "A3", "missing"),
    ]


def test_several_sheets_are_replaced_together(tmp_path: Path, environment: Environment, shop: Contract) -> None:
    path = book_of(tmp_path / "year.xlsx", {"Jan": [HEADER, ["a", 1]], "Feb": [HEADER, ["b", 2]]})
    retailpipe.ingest(environment, path, contract=shop)
    book_of(path, {"Jan": [HEADER, ["a", 1]], "Mar": [HEADER, ["d", 4]]})

    [report] = retailpipe.ingest(environment, path, contract=shop, replace=True)
    [again] = retailpipe.ingest(environment, path, contract=shop)

    assert (report.status, report.sheet, again.status) == ("replaced", "Jan, Mar", "unchanged")
    assert [row["source_sheet"] for row in rows(environment, ROWS)] == ["Jan", "Mar"]


def test_a_sheet_that_does_not_fit_leaves_nothing(tmp_path: Path, environment: Environment, shop: Contract) -> None:
    path = book_of(tmp_path / "year.xlsx", {"Jan": [HEADER, ["a", 1]], "Notes": [["x"], ["y"]]})

    with pytest.raises(SheetError, match="'Notes', row 1"):
        retailpipe.ingest(environment, path, contract=shop)

    assert retailpipe.status(environment).loads == ()


def test_too_many_rejects_are_named_with_their_sheets(tmp_path: Path, environment: Environment) -> None:
    shop = contract_of(tmp_path, CODE, PRICE, sheet="all", max_rejects=0)
    path = book_of(tmp_path / "year.xlsx", {"Jan": [HEADER, ["a", 1]], "Feb": [HEADER, ["b", "dear"]]})

    with pytest.raises(TooManyRejects, match="first in 'Feb', B2: 'dear' is not a number"):
        retailpipe.ingest(environment, path, contract=shop)


def test_sheets_without_rows_are_refused(tmp_path: Path, environment: Environment, shop: Contract) -> None:
    path = book_of(tmp_path / "year.xlsx", {"Jan": [HEADER], "Feb": [HEADER]})

    with pytest.raises(SheetError, match="no rows below the headers of its 2 sheets"):
        retailpipe.ingest(environment, path, contract=shop)


def test_a_table_without_the_sheets_column_does_not_fit_a_contract_of_several_sheets(
    tmp_path: Path, environment: Environment, shop: Contract
) -> None:
    path = book_of(tmp_path / "year.xlsx", {"Jan": [HEADER, ["a", 1]]})
    retailpipe.ingest(environment, path, contract=contract_of(tmp_path, CODE, PRICE))

    with pytest.raises(ContractError, match="source_sheet"):
        retailpipe.ingest(environment, path, contract=shop)


def test_rows_that_are_skipped_are_reported_but_not_counted_as_read(tmp_path: Path, environment: Environment) -> None:
    rule = '[{ column = "Code", matches = "Total*" }]'
    contract_of(tmp_path, CODE, PRICE, skip_footer=1)
    file = tmp_path / "shop.toml"
    file.write_text(file.read_text().replace("skip_footer", f"skip_rows = {rule}\nskip_footer"))
    table = [HEADER, ["a", 1], ["Total", 1], ["b", 2], ["checked"]]

    [report] = retailpipe.ingest(
        environment, book_of(tmp_path / "a.xlsx", {"Jan": table}), contract=Contract.from_file(file)
    )

    assert (report.rows_read, report.rows_loaded, report.rows_skipped) == (2, 2, 2)
    assert "(2 rows read, 2 loaded, 0 rejected, 2 skipped)" in str(report)


def test_a_csv_file_is_a_workbook(tmp_path: Path, environment: Environment) -> None:
    path = tmp_path / "till.csv"
    path.write_text("Code;Price\na;1,5\nb;dear\nc;2\n", encoding="utf-8")
    shop = contract_of(tmp_path, CODE, PRICE, decimal=",")

    [dry] = retailpipe.ingest(environment, path, contract=shop, dry_run=True)
    [report] = retailpipe.ingest(environment, path, contract=shop)

    assert (dry.status, dry.rows_loaded) == ("would load", 2)
    assert (report.source, report.sheet, report.rows_loaded, report.rows_rejected) == ("input/till.csv", "", 2, 1)
    assert rows(environment, "select code, price::float as price, source_row from bronze.shop_rows order by 1") == [
        {"code": "a", "price": 1.5, "source_row": 2},
        {"code": "c", "price": 2.0, "source_row": 4},
    ]
    assert [each["cell"] for each in retailpipe.rejects(environment, source="input/till.csv").to_pylist()] == ["B3"]
