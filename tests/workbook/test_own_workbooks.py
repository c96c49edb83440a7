"""Contracts for users' own workbooks: which sheets and rows are read, and how headers and numbers may be written."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retailpipe.bronze.judge import Judge
from retailpipe.contract import Contract
from retailpipe.workbook.reader import open_workbook
from tests.support.workbooks import book_of, number, raw_workbook, read, refusal, row, text

COLUMNS = """
[[columns]]
header = "Code"
name = "code"
type = "string"
{code}

[[columns]]
header = "Price"
name = "price"
type = "decimal128(38, 18)"
{price}
"""
HEADER = ["Code", "Price"]


def contract(folder: Path, keys: str = "", code: str = "", price: str = "") -> Contract:
    """A contract of two columns with these keys, and with these keys of its columns."""
    path = folder / "shop.toml"
    path.write_text(f'name = "shop"\ntable = "shop"\n{keys}\n{COLUMNS.format(code=code, price=price)}', "utf-8")
    return Contract.from_file(path)


def sheets_of(path: Path, contract: Contract) -> dict[str, list[str]]:
    """The codes that are read from each sheet."""
    workbook, judge = open_workbook(path, contract), Judge(contract)
    codes: dict[str, list[str]] = {}
    for layout, chunk in workbook.chunks():
        batch = judge.judge(chunk, layout)
        assert set(batch.column("source_sheet").to_pylist()) <= {layout.sheet}
        codes.setdefault(layout.sheet, []).extend(batch.column("code").to_pylist())
    workbook.close()
    return codes


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """A workbook with a sheet for each of three months, an empty one, a hidden one, and one of another kind."""
    rows = {f"2024-0{n}": [HEADER, [f"A{n}", n], [f"B{n}", n]] for n in (1, 2, 3)}
    others = {"2024-04": [], "2024-hidden": [HEADER, ["H", 1]], "Notes": [["Read me"], ["x"]]}
    return book_of(tmp_path / "months.xlsx", rows | others, hidden=["2024-hidden"])


def test_a_sheet_is_chosen_by_its_name_in_any_case(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Old": [HEADER, ["O", 1]], "Sales 2024": [HEADER, ["S", 1]]})

    assert read(path, contract(tmp_path, 'sheet = "sales 2024"')).column("code") == ["S"]


def test_a_hidden_sheet_is_read_if_it_is_named(tmp_path: Path, months: Path) -> None:
    assert read(months, contract(tmp_path, 'sheet = "2024-hidden"')).column("code") == ["H"]


def test_sheets_that_match_a_pattern_are_read_together(tmp_path: Path, months: Path) -> None:
    found = sheets_of(months, contract(tmp_path, 'sheet = "2024-*"'))

    assert found == {"2024-01": ["A1", "B1"], "2024-02": ["A2", "B2"], "2024-03": ["A3", "B3"]}


def test_brackets_in_a_pattern_are_not_special(tmp_path: Path, months: Path) -> None:
    assert "2024-[0]*" in str(refusal(months, contract(tmp_path, 'sheet = "2024-[0]*"')))


def test_all_sheets_must_fit_and_those_that_do_not_are_named(tmp_path: Path, months: Path) -> None:
    error = refusal(months, contract(tmp_path, 'sheet = "all"'))

    assert "1 sheet does not fit the contract" in str(error)
    assert "'Notes', row 1" in str(error)
    assert "2024" not in str(error)


def test_every_sheet_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"A": [HEADER, ["a", 1]], "B": [["x"], ["y"]], "C": [["z"]]})

    message = str(refusal(path, contract(tmp_path, 'sheet = "all"')))

    assert "2 sheets do not fit" in message
    assert "'B', row 1" in message
    assert "'C', row 1" in message


def test_a_workbook_without_the_named_sheet_is_refused_with_its_sheets(tmp_path: Path, months: Path) -> None:
    message = str(refusal(months, contract(tmp_path, 'sheet = "Sales"')))

    assert "no sheet named 'Sales'" in message
    assert "'2024-01'" in message
    assert "'2024-hidden' (hidden)" in message


def test_a_pattern_that_only_hidden_sheets_match_is_refused(tmp_path: Path, months: Path) -> None:
    assert "no visible sheet named '*hid*'" in str(refusal(months, contract(tmp_path, 'sheet = "*hid*"')))


def test_a_workbook_whose_sheets_are_all_empty_is_refused(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"A": [], "B": []})

    assert "all of its sheets are empty" in str(refusal(path, contract(tmp_path, 'sheet = "all"')))


def test_each_sheet_may_have_its_columns_in_another_order(tmp_path: Path) -> None:
    sheets: dict[str, Any] = {"A": [HEADER, ["a", 1]], "B": [["Note", "Price", "Code"], ["n", 2, "b"]]}

    assert sheets_of(book_of(tmp_path / "book.xlsx", sheets), contract(tmp_path, 'sheet = "all"')) == {
        "A": ["a"],
        "B": ["b"],
    }


def test_the_names_of_many_sheets_are_shortened(tmp_path: Path) -> None:
    sheets = {f"A sheet with a long name {n:03}": [HEADER, ["a", n]] for n in range(60)}

    workbook = open_workbook(book_of(tmp_path / "book.xlsx", sheets), contract(tmp_path, 'sheet = "all"'))

    assert workbook.sheet_names.startswith("A sheet with a long name 000, A sheet")
    assert workbook.sheet_names.endswith("and 54 more")
    workbook.close()


def titled(path: Path, *rows: list[Any]) -> Path:
    head: list[list[Any]] = [["Sales 2024", "by branch"], [], ["all amounts in EUR"]]
    return book_of(path, {"Sales": [*head, HEADER, *rows]})


def test_the_header_may_be_in_a_given_row(tmp_path: Path) -> None:
    reading = read(titled(tmp_path / "book.xlsx", ["a", 1], ["b", 2]), contract(tmp_path, "header_row = 4"))

    assert reading.column("source_row") == [5, 6]
    assert (reading.layout.header_row, reading.rows_read) == (4, 2)


@pytest.mark.parametrize("keys", ["", "header_row = 3", "header_row = 5"])
def test_the_error_says_in_which_row_the_headers_are(tmp_path: Path, keys: str) -> None:
    message = str(refusal(titled(tmp_path / "book.xlsx", ["a", 1]), contract(tmp_path, keys)))

    assert "the headers are in row 4: set header_row = 4 in the contract" in message


def test_the_error_shows_the_row_that_was_taken_for_the_header(tmp_path: Path) -> None:
    cells = ["A title that is much longer than a header", 2024, "c", "d", "e", "f", "g", "h"]
    path = book_of(tmp_path / "book.xlsx", {"Sales": [cells, ["x"]]})

    message = str(refusal(path, contract(tmp_path)))

    assert "the cells of this row are 'A title that is much lon...', '2024', 'c', 'd', 'e', 'f' and 2 more" in message
    assert "the headers are in row" not in message


@pytest.mark.parametrize("header_row", [2, 50])
def test_a_header_row_that_is_blank_is_refused(tmp_path: Path, header_row: int) -> None:
    error = refusal(titled(tmp_path / "book.xlsx", ["a", 1]), contract(tmp_path, f"header_row = {header_row}"))

    assert f"row {header_row}, the header_row of the contract, is blank" in str(error)


@pytest.mark.parametrize("lines", [1, 50_000], ids=["one block", "several blocks"])
def test_the_last_rows_are_skipped(tmp_path: Path, lines: int) -> None:
    rows = [row(n, text(f"A{n}", f"c{n}"), number(f"B{n}", n)) for n in range(2, 2 + lines)]
    end = lines + 2
    rows += [row(end, text(f"A{end}", "Total")), row(end + 3, text(f"A{end + 3}", "checked"))]
    path = raw_workbook(tmp_path / "book.xlsx", row(1, text("A1", "Code"), text("B1", "Price")), *rows)

    reading = read(path, contract(tmp_path, "skip_footer = 2"))

    assert reading.column("source_row") == list(range(2, 2 + lines))
    assert (reading.rows_read, reading.rows_skipped) == (lines, 2)


def test_the_last_rows_are_those_with_the_highest_numbers(tmp_path: Path) -> None:
    rows = [row(n, text(f"A{n}", f"c{n}")) for n in (9, 2, 8, 3)]
    path = raw_workbook(tmp_path / "book.xlsx", row(1, text("A1", "Code"), text("B1", "Price")), *rows)

    assert sorted(read(path, contract(tmp_path, "skip_footer = 2")).column("code")) == ["c2", "c3"]


def test_a_footer_longer_than_the_sheet_leaves_no_rows(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [HEADER, ["a", 1], ["b", 2]]})

    reading = read(path, contract(tmp_path, "skip_footer = 5"))

    assert (reading.rows_read, reading.rows_skipped) == (0, 2)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ('{ column = "Code", matches = "total*" }', ["a", None, "b", "Sum"]),
        ('{ column = "Code", matches = "" }', ["a", "Total 1", "b", "Sum", "TOTAL"]),
        ('{ column = "Code", matches = "?um" }', ["a", "Total 1", None, "b", "TOTAL"]),
        ('{ column = "Note", matches = "x" }', ["a", "Total 1", None, "Sum", "TOTAL"]),
        ('{ column = "price", matches = "3" }', ["a", "Total 1", None, "b", "TOTAL"]),
    ],
)
def test_rows_that_match_a_rule_are_skipped(tmp_path: Path, rule: str, kept: list[str | None]) -> None:
    rows = [["a", 1, None], [" Total 1 ", 1, None], [None, 2, None], ["b", 2, "X "], ["Sum", 3, None], ["TOTAL", 4, 5]]
    path = book_of(tmp_path / "book.xlsx", {"Sales": [[*HEADER, "Note"], *rows]})

    reading = read(path, contract(tmp_path, f"skip_rows = [{rule}]"))

    assert [code and code.strip() for code in reading.column("code")] == kept
    assert reading.rows_read + reading.rows_skipped == len(rows)


def test_rules_skip_rows_that_are_read_by_distinct_cells(tmp_path: Path) -> None:
    rows = [row(n, text(f"A{n}", "Total" if n % 4 == 0 else "abc"), number(f"B{n}", n % 10)) for n in range(10, 99)]
    path = raw_workbook(tmp_path / "book.xlsx", row(9, text("A9", "Code"), text("B9", "Price")), *rows)

    reading = read(path, contract(tmp_path, 'skip_rows = [{ column = "Code", matches = "Total" }]'))

    assert reading.column("source_row") == [n for n in range(10, 99) if n % 4]
    assert reading.column("price") == [n % 10 for n in range(10, 99) if n % 4]


def test_a_rule_for_a_column_that_is_missing_is_refused(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [HEADER, ["a", 1]]})

    error = refusal(path, contract(tmp_path, 'skip_rows = [{ column = "Kind", matches = "x" }]'))

    assert "column 'Kind' is missing, but skip_rows uses it" in str(error)


def test_a_rule_for_an_optional_column_that_is_missing_skips_no_row(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Code"], ["a"]]})
    rule = 'skip_rows = [{ column = "Price", matches = "" }]'

    assert read(path, contract(tmp_path, rule, price="optional = true")).column("code") == ["a"]


@pytest.mark.parametrize("header", ["Code", "artikelnr", "Item "])
def test_a_column_may_have_any_of_its_headers(tmp_path: Path, header: str) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Price", header], [1, "a"]]})

    assert read(path, contract(tmp_path, code='aliases = ["Artikelnr", "Item"]')).column("code") == ["a"]


def test_two_headers_of_one_column_are_refused_with_both_cells(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Item", "Price", "Code"], ["a", 1, "b"]]})

    message = str(refusal(path, contract(tmp_path, code='aliases = ["Item"]')))

    assert "column 'Code' has several headers: 'Item' (A1) and 'Code' (C1)" in message


def test_the_values_of_an_optional_column_that_is_missing_are_null(tmp_path: Path) -> None:
    sheets: dict[str, Any] = {"A": [["Code"], ["a"]], "B": [["Price", "Code"], [2.5, "b"], ["dear", "c"]]}
    path = book_of(tmp_path / "book.xlsx", sheets)

    reading = read(path, contract(tmp_path, 'sheet = "all"', price="optional = true"))

    assert reading.column("price") == [None, Decimal("2.5")]
    assert [(reject.sheet, reject.cell) for reject in reading.rejects] == [("B", "A3")]


def test_a_sheet_with_none_of_the_columns_does_not_fit_although_they_may_be_missing(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [["Code"], ["a"]], "Other": [["x"], ["y"]]})

    assert read(path, contract(tmp_path, price="optional = true")).layout.sheet == "Sales"


GERMAN = 'decimal = ","\nthousands = "."'
BLANKS = 'decimal = ","\nthousands = " "'
ENGLISH = 'thousands = ","'
SWISS = """thousands = "'\""""


@pytest.mark.parametrize(
    ("keys", "written", "expected"),
    [
        ('decimal = ","', "1,234", "1.234"),
        ('decimal = ","', " 12,5 ", "12.5"),
        ('decimal = ","', "-0,10", "-0.10"),
        ('decimal = ","', "1.234,5", None),
        ('decimal = ","', "1.5", None),
        (GERMAN, "1.234,56 ", "1234.56"),
        (GERMAN, "1.234.567", "1234567"),
        (GERMAN, "1234,5", "1234.5"),
        (GERMAN, "1.23", None),
        (GERMAN, "1.2345", None),
        (GERMAN, "12345.678", None),
        (GERMAN, "1,234,567", None),
        (GERMAN, ".123", None),
        (GERMAN, "1.234,5.6", None),
        (BLANKS, "1 234,5", "1234.5"),
        (BLANKS, "1\u00a0234\u202f567,5", "1234567.5"),
        (BLANKS, "1 23", None),
        (ENGLISH, "1,234", "1234"),
        (ENGLISH, "1,234.5", "1234.5"),
        (ENGLISH, "12,34", None),
        (ENGLISH, "1.5", "1.5"),
        (SWISS, "1'234.50", "1234.50"),
        ("", "1,234", None),
        ("", "1.5", "1.5"),
    ],
)
def test_numbers_as_text_follow_the_separators_or_are_rejected(
    tmp_path: Path, keys: str, written: str, expected: str | None
) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [HEADER, ["a", written], ["b", 1.5]]})

    reading = read(path, contract(tmp_path, keys))

    prices = dict(zip(reading.column("code"), reading.column("price"), strict=True))
    assert prices.get("a") == (Decimal(expected) if expected else None)
    assert prices["b"] == Decimal("1.5")
    assert reading.codes == ([] if expected else [("B2", "not_a_number")])


def test_the_hint_of_a_number_names_the_separators_of_the_contract(tmp_path: Path) -> None:
    path = book_of(tmp_path / "book.xlsx", {"Sales": [HEADER, ["a", "1.5"]]})

    [reject] = read(path, contract(tmp_path, GERMAN)).rejects

    assert "1234,5" in reject.hint
    assert "decimal = ','" in reject.hint
