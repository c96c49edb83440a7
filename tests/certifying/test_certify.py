"""Certificates of workbooks that are loaded right, and the faults that are found."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from retailpipe import (
    Environment,
    NothingLoaded,
    SourceNotFound,
    UsageError,
    WorkbookError,
    certify,
    check_certificate,
    ingest,
)
from retailpipe.errors import ContractError
from tests.certifying.conftest import CONTRACT, HEADERS, ROWS, certified, change, load
from tests.support.workbooks import NOTES, book_of, german_csv, titled_workbook


def statement(certificate: str) -> dict[str, Any]:
    return json.loads(base64.b64decode(json.loads(Path(certificate).read_text())["payload"]))


def test_certificate_accounts_for_every_row_and_cell(loaded: Environment) -> None:
    report = certified(loaded)

    assert report.ok, report.differences
    assert (report.rows.in_workbook, report.rows.in_bronze, report.rows.in_quarantine) == (6, 4, 2)
    cells = report.cells
    assert (cells.in_bronze, cells.in_quarantine, cells.left_out, cells.in_header, cells.lost) == (21, 10, 3, 7, 0)
    assert cells.filled == 7 + sum(value is not None for row in ROWS for value in row)
    assert cells.blank == 6 * 6 - 21 - 10


def test_certificate_is_a_statement_about_the_workbook(loaded: Environment) -> None:
    report = certified(loaded)

    document = statement(report.certificate)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    [subject] = document["subject"]
    assert (subject["name"], subject["digest"]) == ("input/shop.xlsx", {"sha256": report.content_hash})
    predicate = document["predicate"]
    assert predicate["sheets"][0]["columns"]["price"] == "C"
    assert all(invariant["ok"] and "expected" in invariant for invariant in predicate["invariants"])
    assert {each["name"]: each["filled"] for each in predicate["columns"]} == {
        "source_row": 4, "receipt": 4, "pieces": 4, "price": 4, "sold_at": 4, "due": 2, "stock": 3,
    }  # fmt: skip


def test_check_of_a_certificate_needs_no_database(offline: Environment) -> None:
    [certificate] = (offline.folder / "certificates").glob("*.json")

    check = check_certificate(offline, certificate, workbook=offline.folder / "input" / "shop.xlsx")

    assert check.ok
    assert (check.source, check.rows, len(check.key)) == ("input/shop.xlsx", 4, 64)


def test_check_against_the_warehouse_names_the_changed_column(loaded: Environment) -> None:
    report = certified(loaded)
    assert check_certificate(loaded, report.certificate, warehouse=True).ok

    change(loaded, "update bronze.shop_rows set price = price + 0.01 where source_row = 2")

    check = check_certificate(loaded, report.certificate, warehouse=True)
    assert check.problems == ("column price of load 1 in bronze.shop_rows was changed",)


@pytest.mark.parametrize(
    ("fault", "cell", "words"),
    [
        ("delete from bronze.shop_rows where source_row = 3", "A3", "neither in bronze nor in the quarantine"),
        (
            "update bronze.shop_rows set price = price + 0.01 where source_row = 2",
            "C2",
            "the workbook has '2.55', bronze has '2.56' in price",
        ),
        (
            "insert into bronze.shop_rows (load_id, source_row, receipt, pieces) values (1, 99, 'R99', 1)",
            "A99",
            "the row is in bronze, but not in the workbook",
        ),
        (
            "insert into bronze.shop_rows select * from bronze.shop_rows where source_row = 4",
            "A4",
            "the row is 2 times in bronze and 0 times in the quarantine",
        ),
        ("update bronze.shop_rows set receipt = 'R6' where source_row = 8", "A8", "the workbook has ' R6 '"),
        ("update bronze.shop_rows set due = null where source_row = 8", "F8", "bronze has 'null' in due"),
        (
            "update bronze.shop_rows set sold_at = sold_at + interval '1 microsecond' where source_row = 4",
            "D4",
            "bronze has '2024-01-02T10:15:00.000001'",
        ),
        ("delete from bronze.rejected_rows where source_row = 6", "A6", "neither in bronze nor in the quarantine"),
        (
            "update bronze.rejected_rows set raw_row = jsonb_set(raw_row, '{Price}', '\"2\"') where source_row = 6",
            "C6",
            "the workbook has '1', the quarantine has '2' in Price",
        ),
        ("update bronze.rejected_rows set raw_value = '1000' where source_row = 7", "C7", "the workbook has '1000.01'"),
        (
            "with moved as (delete from bronze.rejected_rows where source_row = 7) insert into bronze.shop_rows "
            "(load_id, source_row, receipt, pieces, price) values (1, 7, 'R5', 4, 1000.01)",
            "C7",
            "the row breaks the contract",
        ),
        (
            "with moved as (delete from bronze.shop_rows where source_row = 2) "
            "insert into bronze.rejected_rows values (1, 'Sales', 2, 'A2', 'receipt', 'R1', 'x', 'x', 'x', '{}')",
            "A2",
            "the row follows the contract, but it is in the quarantine",
        ),
    ],
    ids=[
        "row deleted", "one cent", "row added", "row twice", "trimmed", "made null", "one microsecond",
        "reject deleted", "reject changed", "reject's value changed", "reject loaded", "row rejected",
    ],
)  # fmt: skip
def test_fault_in_the_database_is_named_with_its_cell(loaded: Environment, fault: str, cell: str, words: str) -> None:
    change(loaded, fault)

    report = certified(loaded)

    assert not report.ok
    assert report.certificate == ""
    assert not list((loaded.folder / "certificates").glob("*.json"))
    first = report.differences[0]
    assert (first.file, first.sheet, first.cell) == ("input/shop.xlsx", "Sales", cell)
    assert words in str(first)


def test_rows_that_were_swapped_between_loads_are_found(loaded: Environment, tmp_path: Path) -> None:
    load(loaded, tmp_path / "second.xlsx", [("S1", 9, 9, datetime(2024, 5, 1), "n", None, 1)])
    assert [report.ok for report in certify(loaded)] == [True, True]

    change(loaded, "update bronze.shop_rows set load_id = 3 - load_id where source_row = 2")

    second, first = certify(loaded)
    assert [(each.cell, each.workbook, each.warehouse) for each in first.differences[:2]] == [
        ("A2", "R1", "S1"),
        ("B2", "3", "9"),
    ]
    assert (second.differences[0].workbook, second.differences[0].warehouse) == ("S1", "R1")


def test_workbook_that_was_changed_after_its_load_is_found(loaded: Environment, tmp_path: Path) -> None:
    book_of(loaded.folder / "input" / "shop.xlsx", {"Sales": [HEADERS, *ROWS[:-1]]})

    report = certified(loaded)

    assert not report.ok
    assert "the workbook was changed after its load: its SHA-256 is" in str(report.differences[0])


def test_ledger_with_other_counts_is_found(loaded: Environment) -> None:
    change(loaded, "update bronze.loads set rows_read = 7, rows_loaded = 5 where load_id = 1")

    report = certified(loaded)

    assert "the ledger has 7 rows read, but there are 6" in str(report.differences[0])


def test_broken_invariant_of_the_layers_is_not_certified(loaded: Environment) -> None:
    change(loaded, "insert into bronze.raw_transactions (load_id, source_row) values (99, 2)")

    report = certified(loaded)

    assert not report.ok
    assert report.different == 0
    assert report.verification.broken


def test_csv_file_is_read_by_the_csv_module(shop: Environment, tmp_path: Path) -> None:
    (shop.folder / "contracts" / "shop.toml").write_text(
        """
        name = "till"
        table = "till_rows"
        files = "till*.csv"
        encoding = "cp1252"
        decimal = ","
        thousands = "."
        columns = []
        """.replace("columns = []", "")
        + "".join(
            f'\n[[columns]]\nheader = "{header}"\nname = "{name}"\ntype = "{kind}"\n{more}\n'
            for header, name, kind, more in (
                ("Rechnungsnr", "receipt", "string", ""),
                ("Datum", "day", "date32", 'formats = ["%d.%m.%Y"]'),
                ("Menge", "pieces", "int64", ""),
                ("Stückpreis", "price", "decimal128(20, 4)", ""),
            )
        )
    )
    ingest(shop, german_csv(tmp_path / "till.csv"))

    report = certified(shop, "till.csv")

    assert report.ok, report.differences
    assert (report.rows.in_bronze, report.cells.left_out) == (60, 180)
    change(shop, "update bronze.till_rows set day = day + 1 where source_row = 5")
    [difference] = certified(shop, "till.csv").differences
    assert str(difference).startswith("input/till.csv, cell B5: the workbook has '2024-01-04', bronze has '2024-01-05'")


def test_title_footer_and_skipped_rows_are_counted(shop: Environment, tmp_path: Path) -> None:
    (shop.folder / "contracts" / "shop.toml").write_text(
        """
        name = "coffee"
        table = "coffee"
        files = "coffee*"
        header_row = 4
        skip_footer = 1
        skip_rows = [{ column = "Date", matches = "total*" }]

        [[columns]]
        header = "Receipt No"
        name = "receipt"
        type = "int64"

        [[columns]]
        header = "Amount"
        name = "amount"
        type = "decimal128(20, 2)"
        """
    )
    ingest(shop, titled_workbook(tmp_path / "coffee.xlsx"))

    report = certified(shop, "coffee.xlsx")

    assert report.ok, report.differences
    assert (report.rows.in_bronze, report.rows.skipped) == (40, 2)
    assert (report.cells.above_header, report.cells.skipped, report.cells.left_out) == (2, 4, 120)


def test_sheets_that_are_loaded_together_are_certified_together(shop: Environment, tmp_path: Path) -> None:
    contract = CONTRACT.replace('name = "shop"', 'name = "shop"\nsheet = "all"').replace("shop_rows", "all_rows")
    (shop.folder / "contracts" / "shop.toml").write_text(contract)
    sheets = {"South": [HEADERS, *ROWS], "north": [HEADERS, *ROWS[:5]], "Äst": [HEADERS, ROWS[0]], "Empty": []}
    ingest(shop, book_of(tmp_path / "shop.xlsx", sheets))

    report = certified(shop)
    assert report.ok, report.differences
    assert (report.rows.in_bronze, report.rows.in_quarantine) == (8, 3)
    assert check_certificate(shop, report.certificate, warehouse=True).ok

    change(shop, "update bronze.all_rows set source_sheet = 'South ' where source_sheet = 'north' and source_row = 2")
    assert {(each.sheet, each.cell) for each in certified(shop).differences} == {("South ", "A2"), ("north", "A2")}


def test_contract_that_changed_since_the_load_is_refused(loaded: Environment) -> None:
    file = loaded.folder / "contracts" / "shop.toml"
    file.write_text(CONTRACT.replace("maximum = 1000", "maximum = 2000"))

    with pytest.raises(ContractError, match="another version of contract 'shop'") as caught:
        certify(loaded, "input/shop.xlsx")

    assert "retailpipe ingest input/shop.xlsx" in caught.value.hint


def test_workbook_that_is_not_loaded_is_refused(loaded: Environment) -> None:
    with pytest.raises(SourceNotFound, match=r"other\.xlsx is not loaded"):
        certify(loaded, "other.xlsx")


def test_workbook_that_cannot_be_certified_does_not_stop_the_others(loaded: Environment, tmp_path: Path) -> None:
    load(loaded, tmp_path / "second.xlsx", ROWS[:1])
    (loaded.folder / "input" / "second.xlsx").unlink()

    missing, good = certify(loaded)

    assert (missing.ok, good.ok) == (False, True)
    assert "there is no input/second.xlsx" in str(missing.differences[0])
    with pytest.raises(SourceNotFound):
        certify(loaded, "second.xlsx")


def test_nothing_loaded_is_refused_and_makes_no_key(built_environment: Environment) -> None:
    with pytest.raises(NothingLoaded):
        certify(built_environment)

    assert not [*built_environment.folder.rglob("*.pem")]


def test_format_that_the_second_reader_cannot_read_is_refused_by_name(tmp_path: Path) -> None:
    from retailpipe.certifying.layout import opened_tables
    from tests.support.workbooks import contract_of

    contract = contract_of(tmp_path, {"header": "Note", "type": "string"})

    refused = pytest.raises(
        WorkbookError, match=r"book\.xlsb cannot be certified: the second reader cannot read \.xlsb"
    )
    with refused, opened_tables(tmp_path / "book.xlsb", "book.xlsb", contract):
        pass


def test_kms_key_needs_a_stack(loaded: Environment) -> None:
    with pytest.raises(UsageError, match="only certificates of a stack"):
        certify(loaded, kms_key="alias/certificates")


def test_only_the_first_differences_are_kept(shop: Environment, tmp_path: Path) -> None:
    (shop.folder / "contracts" / "notes.toml").write_text(NOTES)
    ingest(shop, book_of(tmp_path / "notes.xlsx", {"N": [("Note",), *((f"n{n}",) for n in range(50))]}))
    change(shop, "update bronze.notes set note = 'x'")

    report = certified(shop, "notes.xlsx")

    assert (report.different, len(report.differences)) == (50, 20)
