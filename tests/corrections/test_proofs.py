"""Corrected rows are traced to their cells and certified, and faults in them are found."""

from __future__ import annotations

from pathlib import Path

import pytest

import retailpipe
from retailpipe import Contract, ContractError, Environment
from tests.certifying.conftest import certified, change
from tests.certifying.test_certify import statement
from tests.corrections.conftest import mended, rejects_file


@pytest.fixture
def corrected(shop: Environment, tmp_path: Path) -> Environment:
    """The environment `shop` with one corrected row, and another with a correction that is wrong too."""
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {"Pieces": "two"}, 7: {"Price": 100.5}})
    retailpipe.correct(shop, file, "shop.xlsx")
    return shop


def test_certificate_accounts_for_corrected_rows(corrected: Environment) -> None:
    report = certified(corrected)

    assert report.ok, report.differences
    rows = report.rows
    assert (rows.in_workbook, rows.in_bronze, rows.in_quarantine, rows.corrected) == (6, 4, 1, 1)
    assert "4 in bronze + 1 in the quarantine + 1 corrected" in str(report)
    [correction] = statement(report.certificate)["predicate"]["corrections"]
    assert (correction["loadId"], correction["rows"]) == (2, 1)
    assert retailpipe.check_certificate(corrected, report.certificate, warehouse=True).ok


@pytest.mark.parametrize(
    ("fault", "difference"),
    [
        (
            "update bronze.shop_rows set price = 100.51 where load_id = 2",
            "cell C7: corrected, the cell is '100.5'; bronze has '100.51' in price, load 2",
        ),
        (
            "delete from bronze.shop_rows where load_id = 2",
            "cell A7: the quarantine says that load 2 corrected the row, but bronze does not have it",
        ),
        (
            "update bronze.rejected_rows set corrected_by = null",
            "cell A7: the row follows the contract with its corrections, but it is rejected",
        ),
        (
            "update bronze.corrected_cells set cells = jsonb_build_object('B', jsonb_build_array('text', 'three')) "
            "where source_row = 6",
            "cell B6: the workbook has 'three', the quarantine has 'two' in B6",
        ),
        ("insert into bronze.shop_rows (load_id, source_row) values (2, 99)", "cell A99: the row is in bronze as"),
    ],
)
def test_fault_in_a_corrected_row_is_found(corrected: Environment, fault: str, difference: str) -> None:
    certificate = certified(corrected).certificate
    change(corrected, fault)

    report = certified(corrected)

    assert not report.ok
    assert any(difference in str(each) for each in report.differences), [*map(str, report.differences)]
    if "shop_rows" in fault:
        check = retailpipe.check_certificate(corrected, certificate, warehouse=True)
        assert check.problems == ("the corrections of load 1 were changed: load 2",)


def test_rows_corrected_under_another_contract_are_not_certified(shop: Environment) -> None:
    file = shop.folder / "contracts" / "shop.toml"
    before = Contract.from_file(file)
    file.write_text(file.read_text().replace("maximum = 1000", "maximum = 2000"))
    retailpipe.replay(shop, "shop.xlsx")

    with pytest.raises(ContractError, match="load 2 corrected rows of input/shop"):
        retailpipe.certify(shop, "shop.xlsx", contract=before)


def test_cells_of_a_corrected_row_are_found_in_bronze(corrected: Environment) -> None:
    price = retailpipe.trace_cell(corrected, "shop.xlsx!C7")
    note = retailpipe.trace_cell(corrected, "shop.xlsx!E6")
    pieces = retailpipe.trace_cell(corrected, "shop.xlsx!B6")

    assert (price.went, price.value, price.original) == ("corrected", "100.5", "1000.01")
    assert price.row["load_id"] == "2"
    assert "C7 broke the contract: 1000.01 is above 1000; it is in bronze.shop_rows, load 2, row 7" in price.explanation
    assert (note.went, note.value) == ("rejected", "not whole")
    assert (pieces.went, pieces.value) == ("rejected", "2.5")
    assert "'two' is not a number" in pieces.explanation


def test_cell_of_a_corrected_row_that_is_missing_in_bronze_is_named(corrected: Environment) -> None:
    change(corrected, "delete from bronze.shop_rows where load_id = 2")

    price = retailpipe.trace_cell(corrected, "shop.xlsx!C7")

    assert (price.went, price.original) == ("unknown", "1000.01")
    assert "should be in bronze.shop_rows, load 2, row 7, which has no such row" in price.explanation
