"""The quarantine is judged again under a changed contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import retailpipe
from retailpipe import ContractError, Environment, RetailpipeError, SheetError
from tests.corrections.conftest import LEDGER, QUARANTINE, RECEIPTS, mended, rejects_file, rows


def change_contract(environment: Environment, old: str, new: str) -> None:
    file = environment.folder / "contracts" / "shop.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_rows_that_follow_the_new_contract_are_loaded_without_the_workbook(shop: Environment) -> None:
    change_contract(shop, "maximum = 1000", "maximum = 2000")
    (shop.folder / "input" / "shop.xlsx").unlink()

    report = retailpipe.replay(shop, "shop.xlsx")

    assert (report.status, report.rows_read, report.rows_corrected, report.rows_left) == ("corrected", 2, 1, 1)
    assert ("R5", 7, 2) in rows(shop, RECEIPTS)
    assert rows(shop, QUARANTINE) == [(6, "B6", "not_an_integer", None), (7, "C7", "above_maximum", 2)]
    [(first, first_contract), (second, second_contract)] = rows(
        shop, "select content_hash, contract_hash from bronze.loads order by load_id"
    )
    assert first == second
    assert first_contract != second_contract
    assert retailpipe.verify(shop).ok
    assert retailpipe.replay(shop, "shop.xlsx").status == "unchanged"


def test_whole_workbook_is_loaded_under_the_new_contract_later(shop: Environment) -> None:
    change_contract(shop, "maximum = 1000", "maximum = 2000")
    retailpipe.replay(shop, "shop.xlsx")

    (report,) = retailpipe.ingest(shop)

    assert (report.status, report.rows_loaded, report.rows_rejected, report.rows_corrected) == ("replaced", 5, 1, 0)
    assert [row[:2] for row in rows(shop, f"{LEDGER} order by 1")] == [(1, "replaced"), (2, "replaced"), (3, "loaded")]


def test_present_reason_of_the_other_rows_stays(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {"Pieces": "two"}, 7: {"Price": 1500}})
    retailpipe.correct(shop, file, "shop.xlsx")
    change_contract(shop, "maximum = 1000", "maximum = 1600")

    report = retailpipe.replay(shop, "shop.xlsx")

    assert report.rows_corrected == 1
    assert rows(shop, "select price::int from bronze.shop_rows where receipt = 'R5'") == [(1500,)]
    assert rows(shop, QUARANTINE) == [(6, "B6", "not_a_number", None), (7, "C7", "above_maximum", 3)]


def test_rows_that_the_contract_skips_now_are_not_loaded(shop: Environment) -> None:
    change_contract(shop, "maximum = 1000", "maximum = 2000")
    change_contract(shop, "max_rejects", 'skip_rows = [{ column = "Receipt", matches = "R5" }]\nmax_rejects')

    assert retailpipe.replay(shop, "shop.xlsx").status == "unchanged"


NOTE = '[[columns]]\nheader = "Note"\nname = "note"\ntype = "string"\n\n[[columns]]\nheader = "Price"'


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ('[[columns]]\nheader = "Price"', NOTE, ContractError, "it takes other columns from the workbook: note"),
        ('header = "Stock"', 'header = "Shelf"', ContractError, "other columns from the workbook: stock"),
        ('header = "Price"', 'header = "Amount"', SheetError, "column 'Amount' is missing"),
        ('"shop_rows"', '"other_rows"', ContractError, "it loads into bronze.other_rows, not into bronze.shop_rows"),
        ('"int32"', '"decimal128(9, 2)"', ContractError, "pieces is integer, not numeric"),
        ("max_rejects", 'sheet = "Jan"\nmax_rejects', ContractError, "it does not read sheet 'Sales'"),
        ("max_rejects", 'sheet = "all"\nmax_rejects', ContractError, "it loads several sheets"),
        ("max_rejects", "header_row = 2\nmax_rejects", ContractError, "its header is in row 2, not in row 1"),
    ],
)
def test_contract_that_needs_the_workbook_is_refused(
    shop: Environment, old: str, new: str, kind: type[RetailpipeError], message: str
) -> None:
    before = rows(shop, QUARANTINE)
    change_contract(shop, old, new)

    with pytest.raises(kind, match=message) as caught:
        retailpipe.replay(shop, "shop.xlsx")

    assert caught.value.hint
    assert rows(shop, QUARANTINE) == before


def test_load_of_an_earlier_version_is_refused(
    shop: Environment, tmp_path: Path, attempt: Callable[[Environment, Path], object]
) -> None:
    with shop.warehouse.connect() as connection:
        connection.execute("update bronze.rejected_rows set cells = null")
        connection.commit()

    with pytest.raises(retailpipe.LoadError, match="made by an earlier version") as caught:
        attempt(shop, tmp_path)

    assert "retailpipe forget input/shop.xlsx --keep-workbook" in caught.value.hint


@pytest.fixture(params=["write", "replay"])
def attempt(request: pytest.FixtureRequest) -> Callable[[Environment, Path], object]:
    if request.param == "replay":
        return lambda environment, _: retailpipe.replay(environment, "shop.xlsx")
    return lambda environment, folder: retailpipe.write_rejects(environment, folder / "rejects.xlsx")
