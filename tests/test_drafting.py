"""Drafts of contracts: what they say of a workbook, and that the workbook loads under them."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import retailpipe
from retailpipe.contract import Contract
from retailpipe.drafting import write_contract
from retailpipe.drafting.draft import unique_name
from retailpipe.drafting.types import is_identifier
from retailpipe.errors import SheetError, SourceNotFound, StoreError, UsageError, WorkbookError
from retailpipe.reports import ContractCheck, ContractDraft
from tests.conftest import Workbook
from tests.support.workbooks import (
    book_of,
    german_csv,
    monthly_workbook,
    number,
    raw_workbook,
    row,
    text,
    titled_workbook,
)


def drafted(path: Path, **options: Any) -> tuple[ContractDraft, dict[str, Any], ContractCheck]:
    """Draft a contract; return it, its keys, and the check of the workbook under it."""
    draft = retailpipe.draft_contract(path, **options)
    file = path.with_suffix(".toml")
    write_contract(draft.text, file, overwrite=True)
    return draft, tomllib.loads(draft.text), retailpipe.check_contract(Contract.from_file(file), path)


def types_of(keys: dict[str, Any]) -> dict[str, str]:
    return {column["name"]: column["type"] for column in keys["columns"]}


def column_of(path: Path, cells: Sequence[object], header: str = "Value") -> tuple[dict[str, Any], str]:
    """Draft a contract of a workbook with a key column and this column; return the keys of it, and the text."""
    rows = [["Name", header], *([f"row {n}", cell] for n, cell in enumerate(cells))]
    draft, keys, check = drafted(book_of(path / "book.xlsx", {"Sales": rows}))
    assert check.rows_rejected == 0, str(check)
    return keys["columns"][1], draft.text


@pytest.mark.parametrize(
    ("name", "files"),
    [("shop.xlsx", "shop.xlsx"), ("Sales 2024-01.xlsx", "Sales *-*.xlsx"), ("größe [7].xlsx", "größe [*].xlsx")],
)
def test_a_draft_is_for_workbooks_whose_names_differ_only_in_their_numbers(
    tmp_path: Path, make_workbook: Workbook, name: str, files: str
) -> None:
    draft = retailpipe.draft_contract(make_workbook(name=name))

    assert tomllib.loads(draft.text)["files"] == files
    (tmp_path / "draft.toml").write_text(draft.text, encoding="utf-8")
    contract = Contract.from_file(tmp_path / "draft.toml")
    assert contract.takes(f"input/{name}")
    assert not contract.takes("input/other.xlsx")


def test_a_draft_is_checked_as_its_contract_is(tmp_path: Path) -> None:
    path = titled_workbook(tmp_path / "Coffee shop.xlsx")
    draft, _, check = drafted(path)

    assert draft.contract == Contract.from_file(path.with_suffix(".toml"))
    assert retailpipe.check_contract(draft.contract, path) == retailpipe.check_contract(draft, path) == check
    assert "contract" not in draft.as_dict()


@pytest.mark.nightly
def test_the_published_workbook_loads_under_its_draft_with_the_types_of_its_contract(dataset: Path) -> None:
    draft = retailpipe.draft_contract(dataset)

    expected = {column.name: (column.type, column.required) for column in Contract.default().columns}
    keys = tomllib.loads(draft.text)
    assert {each["name"]: (each["type"], each.get("required", False)) for each in keys["columns"]} == expected
    assert set(keys) == {"name", "table", "files", "columns"}


def test_a_title_above_the_header_and_totals_below_the_rows(tmp_path: Path) -> None:
    _, keys, check = drafted(titled_workbook(tmp_path / "Coffee shop.xlsx"))

    assert (keys["name"], keys["table"], keys["header_row"]) == ("coffee_shop", "coffee_shop", 4)
    assert [rule["matches"] for rule in keys["skip_rows"]] == ["Total*", "Source:*"]
    assert types_of(keys) == {
        "date": "date32",
        "receipt_no": "string",
        "product": "string",
        "quantity": "int32",
        "amount": "decimal128(38, 18)",
    }
    assert (check.rows_read, check.rows_rejected, check.rows_skipped) == (40, 0, 2)


def test_sheets_with_the_same_header_are_read_together(tmp_path: Path) -> None:
    draft, keys, check = drafted(monthly_workbook(tmp_path / "2024.xlsx"))

    assert (keys["sheet"], keys["name"], len(draft.sheets)) == ("all", "rows_2024", 12)
    assert (check.rows_read, check.rows_rejected, len(check.sheets)) == (240, 0, 12)


def test_sheets_beside_another_kind_of_sheet_get_a_pattern(tmp_path: Path) -> None:
    header = ["Day", "Amount"]
    sheets: dict[str, Any] = {f"2024-{n}": [header, [date(2024, n, 1), n]] for n in (1, 2, 3)}
    path = book_of(tmp_path / "book.xlsx", {"Notes": [["a", "b", "c"], ["d", "e", "f"]], **sheets})

    draft, keys, check = drafted(path)

    assert keys["sheet"] == "2024-*"
    assert "# other sheets have another header: Notes" in draft.text
    assert (check.ok, check.rows_read) == (True, 3)


def test_sheets_that_no_pattern_distinguishes_are_listed(tmp_path: Path) -> None:
    same: dict[str, Any] = {name: [["Day", "Amount"], [date(2024, 1, 1), 1]] for name in ("North", "South")}
    path = book_of(tmp_path / "book.xlsx", {**same, "Notes": [["a", "b", "c"], ["d", "e", "f"]]})

    _, keys, check = drafted(path)

    assert keys["sheet"] == ["North", "South"]
    assert (check.ok, check.rows_read, [sheet.name for sheet in check.sheets]) == (True, 2, ["North", "South"])


def test_a_sheet_may_be_named(tmp_path: Path) -> None:
    sheets = {"A": [["Day", "Amount"], [date(2024, 1, 1), 1]], "B": [["Code", "Note"], ["x", "y"]]}
    path = book_of(tmp_path / "book.xlsx", sheets, hidden=["B"])

    _, keys, check = drafted(path, sheet="b")

    assert (keys["sheet"], check.ok) == ("B", True)
    with pytest.raises(UsageError, match="has no sheet 'C'; its sheets are 'A', 'B'"):
        retailpipe.draft_contract(path, sheet="C")


def test_german_headers_decimal_commas_and_dates_as_text(tmp_path: Path) -> None:
    draft, keys, check = drafted(german_csv(tmp_path / "Umsätze.csv"))

    assert keys["name"] == "umsaetze"
    assert [keys[key] for key in ("delimiter", "encoding", "decimal", "thousands")] == [";", "cp1252", ",", "."]
    assert types_of(keys) == {
        "rechnungsnr": "string",
        "datum": "date32",
        "artikel": "string",
        "menge": "int32",
        "stueckpreis": "decimal128(38, 18)",
        "strasse": "string",
        "plz": "string",
    }
    assert keys["columns"][1]["formats"] == ["%d.%m.%Y"]
    assert "looks like an identifier with leading zeros: kept as text" in draft.text
    assert (check.rows_read, check.rows_rejected) == (60, 0)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1.0, 2.0, 3.0], {"type": "int32", "required": True}),
        ([1.0, 3e9], {"type": "int64", "required": True}),
        ([1.0, 2.5], {"type": "decimal128(38, 18)", "required": True}),
        ([1.0, None], {"type": "int32"}),
        ([1e-25, 1.0], {"type": "decimal128(38, 25)", "required": True}),
        ([1e-30, 1e15], {"type": "string", "required": True}),
        (["12", "7"], {"type": "int32", "required": True}),
        (["1.5", "7"], {"type": "decimal128(38, 18)", "required": True}),
        (["007", "12"], {"type": "string", "required": True}),
        ([5.0, "A5"], {"type": "string", "required": True}),
        ([True, False], {"type": "string", "required": True}),
        ([True, 1.0], {"type": "string", "required": True}),
        ([time(9, 30), time(10)], {"type": "string", "required": True}),
        ([date(2024, 1, 1)], {"type": "date32", "required": True}),
        ([datetime(2024, 1, 1, 9)], {"type": "timestamp[us]", "required": True}),
        ([date(2024, 1, 1), "n/a"], {"type": "string", "required": True}),
        (["31.12.2024", "1.2.2024"], {"type": "date32", "required": True, "formats": ["%d.%m.%Y"]}),
        (["12/31/2024", "1/2/2024"], {"type": "date32", "required": True, "formats": ["%m/%d/%Y"]}),
        (["31.12.24"], {"type": "date32", "required": True, "formats": ["%d.%m.%y"]}),
        ([date(2024, 1, 1), "2024-01-02"], {"type": "date32", "required": True, "formats": ["%Y-%m-%d"]}),
        (
            ["2024-01-02 10:30", "2024-01-02T10:30:00"],
            {"type": "timestamp[us]", "required": True, "formats": ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S"]},
        ),
        (["30.02.2024"], {"type": "string", "required": True}),
        (["01.01.1899"], {"type": "string", "required": True}),
        (["", " "], {"type": "string"}),
    ],
)
def test_the_type_of_a_column_fits_all_of_its_cells(
    tmp_path: Path, cells: list[object], expected: dict[str, Any]
) -> None:
    column, _ = column_of(tmp_path, cells)

    assert {key: value for key, value in column.items() if key not in ("header", "name")} == expected


@pytest.mark.parametrize(
    ("cells", "header", "comment"),
    [
        ([12.0, 13.0], "Customer No", "looks like an identifier: kept as text"),
        (["01/02/2024"], "Day", "doubt: day or month may be first; read with the day first"),
        (
            ["1,234", "5,678"],
            "Price",
            '# doubt: 1,234 can be read in two ways; for the other, set decimal = ",", thousands = "."',
        ),
        ([1.0, None, 3.0], "Pieces", "# 1 of 3 cells is blank"),
        ([*map(float, range(30)), "n/a"], "Pieces", "1 of 31 cells is not a number, first in B32: kept as text"),
        ([None, None], "Pieces", "all cells are blank"),
        ([datetime(1900, 2, 1)], "Born", "dates before 1900-03-01, first in B2: kept as text"),
    ],
)
def test_a_comment_says_what_is_doubtful(tmp_path: Path, cells: list[object], header: str, comment: str) -> None:
    assert comment in column_of(tmp_path, cells, header)[1]


def test_error_cells_cannot_be_accepted_and_are_counted_in_a_comment(tmp_path: Path) -> None:
    error = '<c r="B3" t="e"><v>#N/A</v></c>'
    rows = [row(1, text("A1", "Code"), text("B1", "Price")), row(2, text("A2", "a"), number("B2", 1))]
    path = raw_workbook(tmp_path / "book.xlsx", *rows, row(3, text("A3", "b"), error))

    draft, _, check = drafted(path)

    assert "# 1 cell shows an error such as #N/A, first in B3: its row is rejected" in draft.text
    assert (check.rows_rejected, check.faults[0].code) == (1, "error_cell")


def test_each_column_has_its_own_separators_if_none_fit_all(tmp_path: Path) -> None:
    rows = [["Name", "Net", "Gross"], ["a", "1.234,50", "1,234.50"], ["b", "2,5", "2.5"]]

    _, keys, check = drafted(book_of(tmp_path / "book.xlsx", {"Sales": rows}))

    assert [(column.get("decimal"), column.get("thousands")) for column in keys["columns"]] == [
        (None, None),
        (",", "."),
        (".", ","),
    ]
    assert check.rows_rejected == 0


def test_dates_of_german_form_decide_for_decimal_commas(tmp_path: Path) -> None:
    rows = [["Datum", "Menge"], ["31.12.2024", "1.234"], ["30.12.2024", "12"]]

    _, keys, check = drafted(book_of(tmp_path / "book.xlsx", {"Sales": rows}))

    assert (keys["decimal"], keys["thousands"], keys["columns"][1]["type"]) == (",", ".", "int32")
    assert check.rows_rejected == 0


def csv_file(path: Path, delimiter: str, *rows: Sequence[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


AMERICAN, GERMAN, PLAIN = (".", ","), (",", "."), (None, None)


@pytest.mark.parametrize(
    ("delimiter", "day", "quantity", "separators", "is_whole"),
    [
        (",", "01/30/2024", "1,210", AMERICAN, True),
        (",", "2024-01-30", "1,210", AMERICAN, True),
        (",", "2024-01-30", "1.210", PLAIN, False),
        (",", "30.01.2024", "1.210", GERMAN, True),
        (";", "01/30/2024", "1,210", AMERICAN, True),
        (";", "2024-01-30", "1,210", GERMAN, False),
        (";", "2024-01-30", "1.210", GERMAN, True),
        ("\t", "30.01.2024", "1,210", GERMAN, False),
        ("\t", "2024-01-30", "1,210", AMERICAN, True),
        ("\t", "2024-01-30", "1.210", PLAIN, False),
        (",", "01/30/2024", "0,210", GERMAN, False),
        (";", "30.01.2024", "0.210", PLAIN, False),
    ],
)
def test_the_dates_then_the_delimiter_tell_which_separator_is_the_decimal_one(
    tmp_path: Path, delimiter: str, day: str, quantity: str, separators: tuple[str | None, ...], is_whole: bool
) -> None:
    path = csv_file(tmp_path / "sales.csv", delimiter, ["Day", "Qty"], *[[day, quantity]] * 5)

    draft, keys, check = drafted(path)

    assert (keys.get("decimal"), keys.get("thousands")) == separators
    assert types_of(keys)["qty"] == ("int32" if is_whole else "decimal128(38, 18)")
    assert (f"doubt: {quantity} can be read in two ways" in draft.text) == (quantity[0] != "0")
    assert check.rows_rejected == 0


@pytest.mark.parametrize(("delimiter", "quantity", "price"), [(";", "1,201", "1.25"), (",", "1.201", "1,25")])
def test_a_column_that_is_mostly_numbers_tells_the_decimal_separator(
    tmp_path: Path, delimiter: str, quantity: str, price: str
) -> None:
    """Although its type is string, because of a single cell, it is better evidence than the delimiter."""
    rows = [[quantity, price]] * 19
    path = csv_file(tmp_path / "sales.csv", delimiter, ["Qty", "Price"], *rows, [quantity, "n/a"])

    _, keys, check = drafted(path)

    assert (keys["decimal"], keys["thousands"]) == (AMERICAN if quantity == "1,201" else GERMAN)
    assert types_of(keys) == {"qty": "int32", "price": "string"}
    assert check.rows_rejected == 0


def test_a_column_with_its_own_separators_follows_the_delimiter_too(tmp_path: Path) -> None:
    rows = [["Net", "Gross", "Qty"], *[["1.234,50", "1,234.50", "1,210"]] * 5]

    draft, keys, _ = drafted(csv_file(tmp_path / "sales.csv", ",", *rows))

    found = [(column["decimal"], column["thousands"]) for column in keys["columns"]]
    assert found == [GERMAN, AMERICAN, AMERICAN]
    assert types_of(keys)["qty"] == "int32"
    assert "# doubt: 1,210 can be read in two ways" in draft.text


DATA = [["a", date(2024, 1, 1), 1.5], ["b", date(2024, 1, 2), 2.5], ["c", date(2024, 1, 3), 3.5]]


@pytest.mark.parametrize(
    ("tail", "rules"),
    [
        ([["Summe", None, 7.5]], [("Code", "Summe*")]),
        ([["Gesamtsumme:", None, 7.5]], [("Code", "Gesamtsumme*")]),
        ([[None, "Grand Total", 7.5]], [("Day", "Grand Total*")]),
        ([[None, None, 7.5]], [("Code", "")]),
        ([[], ["Printed on 3 May"]], [("Code", "Printed on *")]),
        ([["Total", None, 7.5], [], ["Source: till"]], [("Code", "Total*"), ("Code", "Source:*")]),
        ([["Total Gym", date(2024, 1, 4), 3.5]], []),
        ([], []),
    ],
)
def test_totals_and_notes_below_the_rows_become_rules(
    tmp_path: Path, tail: list[list[Any]], rules: list[tuple[str, str]]
) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Code", "Day", "Amount"], *DATA * 5, *tail]})

    draft, keys, check = drafted(path)

    assert [(rule["column"], rule["matches"]) for rule in keys.get("skip_rows", [])] == rules
    assert ("# these rules skip 1 row, such as totals" in draft.text) == (len(rules) == 1)
    assert (check.rows_rejected, check.rows_skipped) == (0, len(rules))


def test_subtotals_between_the_rows_are_skipped_too(tmp_path: Path) -> None:
    total = ["Total", None, 7.5]
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Code", "Day", "Amount"], *DATA * 9, total, *DATA * 9, total]})

    draft, keys, check = drafted(path)

    assert keys["columns"][1].get("required") is True
    assert "# these rules skip 2 rows" in draft.text
    assert (check.rows_read, check.rows_rejected, check.rows_skipped) == (54, 0, 2)


def test_columns_without_a_header_or_with_a_repeated_one_are_not_read(tmp_path: Path) -> None:
    rows = [["Code", "Price", "price", None], ["a", 1, 2, 3]]

    draft, keys, check = drafted(book_of(tmp_path / "book.xlsx", {"Sales": rows}))

    assert types_of(keys) == {"code": "string"}
    assert "columns without a header are not read: D" in draft.text
    assert "# not read, because column Price occurs twice: give each its own header" in draft.text
    assert check.ok


def test_a_header_in_two_rows_is_refused_because_its_columns_occur_twice(tmp_path: Path) -> None:
    rows = [["Verkauf", "", "Einkauf", ""], ["Menge", "Preis", "Menge", "Preis"], *[["1", "2", "3", "4"]] * 20]
    thrice = [[*row, *row[:2]] for row in rows]
    other = {"A": rows[1:], "B": rows[1:], "Good": [["Code", "Price"], ["a", 1]]}

    with pytest.raises(SheetError, match=r"two\.csv: columns Menge, Preis occur twice") as caught:
        retailpipe.draft_contract(csv_file(tmp_path / "two.csv", ",", *rows))
    with pytest.raises(SheetError, match="columns Menge, Preis occur several times"):
        retailpipe.draft_contract(csv_file(tmp_path / "three.csv", ",", *thrice))
    draft, _, check = drafted(book_of(tmp_path / "book.xlsx", other))

    assert caught.value.hint == "Give each its own header."
    assert (draft.sheets, check.ok) == (("Good",), True)


def test_a_row_of_numbers_that_was_taken_for_the_header_is_doubtful(tmp_path: Path) -> None:
    draft, _, _ = drafted(book_of(tmp_path / "book.xlsx", {"Sales": [["Country", 2023, 2024], ["France", 1, 2]]}))

    assert "# doubt: row 1 was taken as the header" in draft.text


def test_a_csv_file_with_a_title(tmp_path: Path) -> None:
    path = tmp_path / "till.csv"
    path.write_text("Sales of the shop\n\nDay,Amount\n2024-01-02,1.5\n2024-01-03,2.5\n")

    _, keys, check = drafted(path)

    assert (keys["header_row"], keys["delimiter"]) == (3, ",")
    assert (check.rows_read, check.rows_rejected) == (2, 0)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("InvoiceNo", "invoice_no"),
        ("  Größe (cm) ", "groesse_cm"),
        ("Prix unitaire TTC", "prix_unitaire_ttc"),
        ("Été", "ete"),
        ("2024", "column_b_2024"),
        ("数量", "column_b"),
        ("order", "order_"),
        ("load_id", "load_id_"),
        ("Source Row", "source_row_"),
        ("taken", "taken_2"),
        ("x" * 100, "x" * 60),
        ("Betrag\nEUR", "betrag_eur"),
    ],
)
def test_names_are_ascii_and_unique(header: str, name: str) -> None:
    assert unique_name(header, {"taken"}, "column_b") == name


@pytest.mark.parametrize(
    "header", ["InvoiceNo", "Customer ID", "Rechnungsnr", "Artikelnummer", "PLZ", "StockCode", "EAN"]
)
def test_headers_of_identifiers_are_recognized(header: str) -> None:
    assert is_identifier(header)


@pytest.mark.parametrize("header", ["Quantity", "Price", "Number of items", "Kidney", "Notes", "2024", "Nachname"])
def test_other_headers_are_not_taken_for_identifiers(header: str) -> None:
    assert not is_identifier(header)


CELLS = [
    st.integers(-(10**6), 10**6).map(str),
    st.decimals(-1000, 1000, places=2, allow_nan=False).map(str),
    st.decimals(0, 9_000, places=2, allow_nan=False).map(lambda n: f"{n:,}".translate(str.maketrans(",.", ".,"))),
    st.dates(date(1900, 3, 1), date(2100, 1, 1)).map(lambda day: f"{day:%d/%m/%Y}"),
    st.datetimes(datetime(2000, 1, 1), datetime(2030, 1, 1)).map(lambda moment: f"{moment:%Y-%m-%d %H:%M:%S}"),
    st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "n/a", "007", " 12 ", "1.234", "1,234", "TRUE", "Total", "-", "1 234,5"]),
]


def test_a_csv_file_with_an_open_quote_is_not_drafted(tmp_path: Path) -> None:
    path = tmp_path / "till.csv"
    path.write_text('a,b\n1,y\n2,"x\n3,z\n4,w\n')

    with pytest.raises(WorkbookError, match=r"till\.csv, row 3: one of its quotes is not closed"):
        retailpipe.draft_contract(path)


@given(data=st.data())
@settings(max_examples=75)
def test_any_csv_file_loads_under_its_draft_without_a_reject(data: st.DataObject) -> None:
    # With one column, a delimiter in its cells would be taken for that of the file.
    kinds = data.draw(st.lists(st.sampled_from(CELLS), min_size=2, max_size=4))
    headers = data.draw(
        st.lists(st.text("abÄß .1'\\\"#[]", min_size=1), min_size=len(kinds), max_size=len(kinds), unique=True)
    )
    rows = [[data.draw(kind) for kind in kinds] for _ in range(data.draw(st.integers(1, 12)))]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "any.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([headers, *rows])
        try:
            _, _, check = drafted(path)
        except SheetError:
            return  # no row below what looks like the header

    assert check.rows_rejected == 0, str(check)


def test_what_is_not_a_workbook_cannot_be_drafted(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="there is no file"):
        retailpipe.draft_contract(tmp_path / "missing.xlsx")
    (tmp_path / "book.txt").write_text("x")
    with pytest.raises(UsageError, match=r"does not end in \.xlsx or \.csv"):
        retailpipe.draft_contract(tmp_path / "book.txt")
    (tmp_path / "binary.csv").write_bytes(b"\x7fELF\0\0")
    with pytest.raises(WorkbookError, match="NUL"):
        retailpipe.draft_contract(tmp_path / "binary.csv")
    with pytest.raises(SheetError, match="no sheet has rows"):
        retailpipe.draft_contract(book_of(tmp_path / "empty.xlsx", {"A": []}))
    with pytest.raises(SheetError, match="no sheet has rows below a header"):
        retailpipe.draft_contract(book_of(tmp_path / "header.xlsx", {"A": [["Code", "Price"]]}))


def test_a_draft_does_not_overwrite_a_file_and_leaves_nothing_if_it_cannot_be_written(tmp_path: Path) -> None:
    draft = ContractDraft("a", "a.xlsx", ("A",), "text")
    write_contract(draft.text, tmp_path / "contracts" / "a.toml")
    with pytest.raises(UsageError, match="already exists"):
        write_contract(draft.text, tmp_path / "contracts" / "a.toml")
    with pytest.raises(StoreError, match="cannot write"):
        write_contract(draft.text, tmp_path / "contracts" / "a.toml" / "b.toml")

    assert [path.name for path in (tmp_path / "contracts").iterdir()] == ["a.toml"]


def test_a_csv_file_may_have_a_title_notes_and_rows_that_end_in_a_delimiter(tmp_path: Path) -> None:
    """It is in UTF-16, too."""
    path = tmp_path / "till.csv"
    days = "".join(f"{day:02d}.03.2024;Shop {day % 3};{day},50;\n" for day in range(1, 29))
    path.write_text(f"Till of March\n\nDay;Shop;Amount\n{days}\nTotal;;420,00\nAs of: 1.4.2024\n", encoding="utf-16")

    _, keys, check = drafted(path)

    assert (keys["encoding"], keys["header_row"]) == ("utf-16", 3)
    assert keys["skip_rows"] == [
        {"column": "Day", "matches": "Total*"},
        {"column": "Day", "matches": "As of:*"},
    ]
    assert (check.rows_accepted, check.rows_rejected, check.rows_skipped) == (28, 0, 2)
