"""Rejected rows are written for their author, and loaded corrected."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

import retailpipe
from retailpipe import ContractError, Environment, LoadError, NothingLoaded, SheetError, SourceNotFound, UsageError
from tests.certifying.conftest import CONTRACT, HEADERS, ROWS
from tests.corrections.conftest import LEDGER, QUARANTINE, RECEIPTS, ROW, load, mended, rejects_file, rows
from tests.support.openlineage import events_of
from tests.support.workbooks import book_of


def test_file_for_the_author_has_the_rows_as_they_were_read_and_marks_bad_cells(
    shop: Environment, tmp_path: Path
) -> None:
    report = retailpipe.write_rejects(shop, tmp_path / "rejects.xlsx")

    (page,) = openpyxl.load_workbook(tmp_path / "rejects.xlsx").worksheets
    header, first, second = page.iter_rows(min_col=4, max_col=9)
    assert [cell.value for cell in header] == ["Receipt", "Pieces", "Price", "Sold at", "Due", "Stock"]
    assert [cell.value for cell in first] == ["R4", 2.5, 1, datetime(2024, 1, 3), None, 1]
    assert [cell.value for cell in second] == ["R5", 4, 1000.01, datetime(2024, 1, 3), None, 2]
    assert [page.cell(line, 1).value for line in (2, 3)] == [6, 7]
    marked = {cell.coordinate: cell.comment.text for row in page for cell in row if cell.comment}
    assert [*marked] == ["E2", "F3"]
    assert marked["F3"].startswith("1000.01 is above 1000. Correct the cell, or change the bounds of Price")
    assert page["F3"].fill.fgColor.rgb == "FFFFC7CE"
    assert (report.rows, report.cells, report.load_id) == (2, 2, 1)


def test_what_is_typed_over_a_bad_text_gets_the_type_of_the_column(shop: Environment, tmp_path: Path) -> None:
    bad = ("R9", "one", "=free", "soon", None, None, None)
    load(shop, tmp_path / "shop.xlsx", [*ROWS, bad], replace=True)

    (page,) = openpyxl.load_workbook(rejects_file(shop, tmp_path / "rejects.xlsx")).worksheets

    receipt, *others = page[4][3:7]
    assert (receipt.number_format, receipt.quotePrefix) == ("@", True)
    assert {(cell.data_type, cell.number_format, cell.quotePrefix) for cell in others} == {("s", "General", True)}
    assert page.column_dimensions["G"].width >= len("2024-01-03 00:00:00")


def test_corrected_rows_are_loaded_by_their_numbers_and_others_stay_rejected(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {"Pieces": "two"}, 7: {"Price": 100.5}})

    report = retailpipe.correct(shop, file, "shop.xlsx")

    assert (report.status, report.load_id, report.corrects) == ("corrected", 2, 1)
    assert (report.rows_read, report.rows_corrected, report.rows_rejected, report.rows_left) == (2, 1, 1, 1)
    assert [reject.message for reject in report.rejects] == ["'two' is not a number"]
    assert rows(shop, f"{LEDGER} order by 1") == [(1, "loaded", 6, 4, 1, 1, None), (2, "correction", 2, 1, 1, 0, 1)]
    assert rows(shop, "select receipt, price::text, source_row from bronze.shop_rows where load_id = 2") == [
        ("R5", "100.5", 7)
    ]
    assert rows(shop, QUARANTINE) == [(6, "B6", "not_a_number", None), (7, "C7", "above_maximum", 2)]
    listed = retailpipe.rejects(shop).to_pylist()
    assert [row["corrected_by"] for row in listed] == [None, 2]
    assert [row["corrected_at"] is None for row in listed] == [True, False]
    assert retailpipe.verify(shop).ok


def test_correction_emits_events_once(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {7: {"Price": 100.5}})
    before = len(events_of(shop.folder))

    retailpipe.correct(shop, file, "shop.xlsx")
    retailpipe.correct(shop, file, "shop.xlsx")
    with pytest.raises(SourceNotFound):
        retailpipe.correct(shop, file, "other.xlsx")

    start, complete, *failed = events_of(shop.folder)[before:]
    assert [event["eventType"] for event in (start, complete, *failed)] == ["START", "COMPLETE", "START", "FAIL"]
    assert complete["job"]["name"] == "correct.input/shop.xlsx"
    assert complete["run"]["facets"]["retailpipe_correction"]["corrects"] == 1
    assert complete["inputs"][0]["name"] == "one_test.bronze.rejected_rows"
    [table] = complete["outputs"]
    assert table["name"] == "one_test.bronze.shop_rows"
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 1


def test_same_corrections_change_nothing_a_second_time(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {"Pieces": "two"}, 7: {"Price": 100.5}})
    retailpipe.correct(shop, file, "shop.xlsx")

    again = retailpipe.correct(shop, file, "input/shop.xlsx")

    assert (again.status, again.load_id, again.rows_already_corrected, again.rows_left) == ("unchanged", None, 1, 1)
    assert len(rows(shop, LEDGER)) == 2


def test_same_corrections_at_the_same_time_are_loaded_once(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {}, 7: {"Price": 100.5}})

    with ThreadPoolExecutor(2) as pool:
        reports = [*pool.map(lambda _: retailpipe.correct(shop, file, "shop.xlsx"), range(2))]

    assert sorted(report.status for report in reports) == ["corrected", "unchanged"]
    assert [row[0] for row in rows(shop, RECEIPTS)].count("R5") == 1
    assert "1 rejected row is corrected" in str(retailpipe.check(shop).points)


def test_author_may_go_on_with_the_same_file(shop: Environment, tmp_path: Path) -> None:
    first = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {7: {"Price": 100.5}})
    retailpipe.correct(shop, first, "shop.xlsx")

    second = retailpipe.correct(shop, mended(first, {6: {"Pieces": 3}}), "shop.xlsx")

    assert (second.rows_corrected, second.rows_already_corrected, second.rows_left) == (1, 1, 0)
    assert [row[0] for row in rows(shop, RECEIPTS)] == [" R6 ", "1002", "R1", "R3", "R4", "R5"]
    assert retailpipe.verify(shop).ok


def test_row_that_the_author_deleted_stays_rejected(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {}, 7: {"Price": 1}})

    report = retailpipe.correct(shop, file, "shop.xlsx")

    assert (report.rows_read, report.rows_corrected, report.rows_left) == (1, 1, 1)
    assert rows(shop, QUARANTINE) == [(6, "B6", "not_an_integer", None), (7, "C7", "above_maximum", 2)]


def refused_number(environment: Environment, file: Path) -> Path:
    return mended(file, {7: {ROW: 5}})


def refused_repetition(environment: Environment, file: Path) -> Path:
    return mended(file, {7: {ROW: 6}})


def refused_text(environment: Environment, file: Path) -> Path:
    return mended(file, {7: {ROW: "seven"}})


def refused_digits(environment: Environment, file: Path) -> Path:
    return mended(file, {7: {ROW: "7" * 5000}})


def refused_blank(environment: Environment, file: Path) -> Path:
    return mended(file, {7: dict.fromkeys(("Receipt", "Pieces", "Price", "Sold at", "Due", "Stock"))})


def refused_workbook(environment: Environment, file: Path) -> Path:
    return mended(file, {7: {"[retailpipe] workbook": "input/other.xlsx"}})


def refused_value(environment: Environment, file: Path) -> Path:
    retailpipe.correct(environment, mended(file, {6: {}, 7: {"Price": 1}}), "shop.xlsx")
    return mended(file, {7: {"Price": 2}})


def refused_content(environment: Environment, file: Path) -> Path:
    load(environment, file.parent / "shop.xlsx", [*ROWS, ROWS[0]], replace=True)
    return mended(file, {7: {"Price": 1}})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (refused_number, "row 3: row 5 of input/shop.xlsx is not in the quarantine of load 1"),
        (refused_repetition, "row 3: row 6 of input/shop.xlsx is also in row 2"),
        (refused_text, r"row 3: 'seven' in column \[retailpipe\] row is not the number of a row"),
        (refused_digits, r"row 3: '7{60}' in column \[retailpipe\] row is not the number of a row"),
        (refused_blank, "row 3: all cells are blank; delete the row if it cannot be corrected"),
        (refused_workbook, r"row 3: it is a row of input/other.xlsx \(\[retailpipe\] workbook\), not of"),
        (refused_value, "row 3: row 7 was already corrected by load 2, with another value in C7"),
        (refused_content, "row 2: it is a row of another content of input/shop.xlsx, which was replaced since"),
    ],
)
def test_file_that_does_not_fit_changes_nothing(
    shop: Environment, tmp_path: Path, make: Callable[[Environment, Path], Path], message: str
) -> None:
    file = make(shop, rejects_file(shop, tmp_path / "rejects.xlsx"))
    before = rows(shop, LEDGER), rows(shop, QUARANTINE), rows(shop, RECEIPTS)

    with pytest.raises(LoadError, match=message) as caught:
        retailpipe.correct(shop, file, "shop.xlsx")

    assert "mended.xlsx cannot correct input/shop.xlsx; nothing was loaded" in str(caught.value)
    assert "retailpipe rejects input/shop.xlsx --write" in caught.value.hint
    assert before == (rows(shop, LEDGER), rows(shop, QUARANTINE), rows(shop, RECEIPTS))


def test_corrections_go_with_their_workbook_and_come_back_with_it(shop: Environment, tmp_path: Path) -> None:
    file = mended(rejects_file(shop, tmp_path / "rejects.xlsx"), {6: {"Pieces": "two"}, 7: {"Price": 100.5}})
    retailpipe.correct(shop, file, "shop.xlsx")

    forgotten = retailpipe.forget(shop, "shop.xlsx")
    assert (forgotten.forgotten.rows, forgotten.forgotten.rejects) == (5, 1)
    assert rows(shop, RECEIPTS) == rows(shop, QUARANTINE) == []

    restored = retailpipe.restore(shop, "shop.xlsx")
    assert (restored.loads[0].rows_rejected, restored.loads[0].rows_corrected) == (1, 1)
    assert rows(shop, QUARANTINE) == [(6, "B6", "not_a_number", None), (7, "C7", "above_maximum", 4)]
    assert ("R5", 7, 4) in rows(shop, RECEIPTS)

    load(shop, tmp_path / "shop.xlsx", ROWS[:5], replace=True)
    assert {load_id for _, _, load_id in rows(shop, RECEIPTS)} == {5}
    retailpipe.restore(shop, "shop.xlsx")
    assert ("R5", 7, 7) in rows(shop, RECEIPTS)
    assert retailpipe.correct(shop, file, "shop.xlsx").status == "unchanged"
    assert [row[1] for row in rows(shop, f"{LEDGER} order by 1")] == [
        *("forgotten", "forgotten", "replaced", "replaced", "replaced", "loaded", "correction"),
    ]
    assert retailpipe.verify(shop).ok


HOSTILE = (
    *("=1+1", "+49", "@x", " two  blanks ", "a\nb", "'quoted", "TRUE", "1.50", "2024-01-02", "#N/A"),
    *("😀", "=HYPERLINK(1)", "<b>&amp;</b>", "0012"),
)


def test_odd_cells_are_not_changed_by_the_way_through_the_file(shop: Environment, tmp_path: Path) -> None:
    lines: list[Any] = [(text, "wrong", 0.3, datetime(2024, 1, 2, 3, 4, 5, 678000)) for text in HOSTILE]
    lines += [("R", True, 1e-7, "never"), (1e15, None, -1, 40000.5), (None, "wrong", 2, None)]
    book = openpyxl.load_workbook(book_of(tmp_path / "shop2.xlsx", {"Sales": [HEADERS[:4], *lines]}))
    for text, cell in zip(HOSTILE, book.worksheets[0]["A"][1:], strict=False):
        cell.value, cell.data_type = text, "s"  # not a formula
    book.save(tmp_path / "shop2.xlsx")
    retailpipe.ingest(shop, tmp_path / "shop2.xlsx")
    file = tmp_path / "rejects.xlsx"
    retailpipe.write_rejects(shop, file, source="shop2.xlsx")

    unchanged = retailpipe.correct(shop, file, "shop2.xlsx")
    assert (unchanged.status, unchanged.rows_read) == ("unchanged", len(lines))

    changes = {number: {"Pieces": number} for number in range(2, len(HOSTILE) + 2)}
    report = retailpipe.correct(shop, mended(file, changes), "shop2.xlsx")
    assert report.rows_corrected == len(HOSTILE)
    found = rows(shop, f"select receipt, price::text, pieces from bronze.shop_rows where load_id = {report.load_id}")
    assert found == [(text, "0.3", number) for number, text in enumerate(HOSTILE, 2)]


def test_rows_of_several_sheets_and_of_a_csv_file_are_corrected(shop: Environment, tmp_path: Path) -> None:
    contracts = shop.folder / "contracts"
    (contracts / "both.toml").write_text(
        CONTRACT.replace('["shop*", "second*"]', '"both*"\nsheet = "all"').replace("shop_rows", "both_rows")
    )
    book = book_of(tmp_path / "both.xlsx", {"A": [HEADERS[:5], ROWS[4][:5]], "B'": [HEADERS, ROWS[5]]})
    retailpipe.ingest(shop, book)
    till = tmp_path / "shop_till.csv"
    till.write_text("Receipt;Pieces;Price;Sold at\nR8;x;1.5;02.01.2024 10:15\n=2;1;2.5;02.01.2024 10:15\n")
    retailpipe.ingest(shop, till)

    retailpipe.write_rejects(shop, tmp_path / "both rejects.xlsx", source="both.xlsx")
    lacking = mended(tmp_path / "both rejects.xlsx", {2: {"Pieces": 2, "Stock": 5}})
    with pytest.raises(LoadError, match=r"cell I2: sheet 'A' has no column Stock|row 3"):
        retailpipe.correct(shop, lacking, "both.xlsx")
    both = retailpipe.correct(shop, mended(tmp_path / "both rejects.xlsx", {2: {"Pieces": 2, "Price": 5}}), "both.xlsx")
    retailpipe.write_rejects(shop, tmp_path / "till rejects.xlsx", source="shop_till.csv")
    csv = retailpipe.correct(shop, mended(tmp_path / "till rejects.xlsx", {2: {"Pieces": 7}}), "shop_till.csv")

    assert (both.rows_corrected, both.rows_left, csv.rows_corrected, csv.rows_left) == (2, 0, 1, 0)
    assert rows(shop, "select source_sheet, source_row, pieces from bronze.both_rows order by 1") == [
        ("A", 2, 2),
        ("B'", 2, 2),
    ]
    assert rows(shop, f"select receipt, sold_at from bronze.shop_rows where load_id = {csv.load_id}") == [
        ("R8", datetime(2024, 1, 2, 10, 15))
    ]
    assert retailpipe.verify(shop).ok


def test_headers_of_the_contract_never_are_those_of_the_file(shop: Environment, tmp_path: Path) -> None:
    contract = (shop.folder / "contracts" / "shop.toml").read_text()
    odd = contract.replace('["shop*", "second*"]', '"odd*"').replace('"Receipt"', '"[RetailPipe] Row"')
    (shop.folder / "contracts" / "odd.toml").write_text(odd)
    retailpipe.ingest(shop, book_of(tmp_path / "odd.xlsx", {"S": [("[retailpipe] row", *HEADERS[1:]), ROWS[5]]}))

    retailpipe.write_rejects(shop, tmp_path / "rejects.xlsx", source="odd.xlsx")
    report = retailpipe.correct(shop, mended_price(tmp_path / "rejects.xlsx"), "odd.xlsx")

    assert report.rows_corrected == 1


def mended_price(path: Path) -> Path:
    book = openpyxl.load_workbook(path)
    (page,) = book.worksheets
    price = next(cell.column for cell in page[1] if cell.value == "Price")
    page.cell(2, price, 1)
    book.save(path)
    return path


def test_files_and_sources_that_do_not_exist_are_named(shop: Environment, tmp_path: Path) -> None:
    file = rejects_file(shop, tmp_path / "rejects.xlsx")

    with pytest.raises(UsageError, match="already exists"):
        retailpipe.write_rejects(shop, file)
    with pytest.raises(UsageError, match=r"does not end in \.xlsx"):
        retailpipe.write_rejects(shop, tmp_path / "rejects.csv")
    with pytest.raises(SourceNotFound, match=r"none\.xlsx is not loaded"):
        retailpipe.correct(shop, file, "none.xlsx")
    with pytest.raises(SourceNotFound, match="there is no file"):
        retailpipe.correct(shop, tmp_path / "none.xlsx", "shop.xlsx")
    with pytest.raises(UsageError, match=r"does not end in \.xlsx"):
        retailpipe.correct(shop, tmp_path / "none.csv", "shop.xlsx")
    with pytest.raises(SheetError, match="its sheets are 'Sales'") as caught:
        retailpipe.correct(shop, tmp_path / "shop.xlsx", "shop.xlsx")
    assert caught.value.hint.startswith("Leave sheet 'rejected rows' and its header row as they were written, or write")
    with pytest.raises(LoadError, match="has rejected rows of another workbook"):
        retailpipe.ingest(shop, file.rename(tmp_path / "shop_rejects.xlsx"), dry_run=True)
    load(shop, tmp_path / "second.xlsx", [*ROWS, ROWS[4]])
    with pytest.raises(UsageError, match="2 workbooks have rejected rows: input/second"):
        retailpipe.write_rejects(shop, tmp_path / "other.xlsx")
    contract = shop.folder / "contracts" / "shop.toml"
    contract.write_text(contract.read_text().replace("maximum = 1000", "maximum = 999"))
    with pytest.raises(ContractError, match="loaded under another version of contract 'shop'"):
        retailpipe.correct(shop, tmp_path / "shop_rejects.xlsx", "shop.xlsx")
    contract.unlink()
    with pytest.raises(ContractError, match="loaded under contract 'shop', not 'online_retail'") as other:
        retailpipe.correct(shop, tmp_path / "shop_rejects.xlsx", "shop.xlsx")
    assert "Pass its contract with --contract." in other.value.hint


def test_nothing_is_corrected_before_the_first_load(environment: Environment, tmp_path: Path) -> None:
    with pytest.raises(NothingLoaded):
        retailpipe.write_rejects(environment, tmp_path / "rejects.xlsx")
