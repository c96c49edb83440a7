"""CSV files are read under the same contracts as xlsx workbooks."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from retailpipe.contract import Contract
from retailpipe.workbook.delimited import CsvSheet
from tests.support.workbooks import Reading, read, refusal

COLUMNS = """
[[columns]]
header = "Code"
name = "code"
type = "string"
required = true

[[columns]]
header = "Price"
name = "price"
type = "decimal128(38, 18)"

[[columns]]
header = "Sold"
name = "sold"
type = "timestamp[us]"
formats = ["%d.%m.%Y", "%Y-%m-%d %H:%M:%S"]
"""


def contract(folder: Path, keys: str = "") -> Contract:
    path = folder / "shop.toml"
    path.write_text(f'name = "shop"\ntable = "shop"\n{keys}\n{COLUMNS}', "utf-8")
    return Contract.from_file(path)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "shop.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def reading(folder: Path, content: str | bytes, keys: str = "") -> Reading:
    return read(write(folder, content), contract(folder, keys))


def test_cells_are_read_as_texts_of_a_workbook_are(tmp_path: Path) -> None:
    found = reading(tmp_path, "Code,Price,Sold\n007,2.50,31.12.2024\na,,\n ,1,\nb,dear,1.1.2024\n")

    assert found.rows == [
        {"code": "007", "price": Decimal("2.50"), "sold": datetime(2024, 12, 31), "source_row": 2},
        {"code": "a", "price": None, "sold": None, "source_row": 3},
    ]
    assert found.codes == [("A4", "missing"), ("B5", "not_a_number")]
    assert found.rejects[1].raw_row == {"Code": "b", "Price": "dear", "Sold": "1.1.2024"}
    assert found.rejects[1].sheet == ""


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(tmp_path: Path, delimiter: str) -> None:
    lines = ["Code|Price|Sold", 'a|1|"1.1.2024"', '"x, y; z"|2|']

    found = reading(tmp_path, "\n".join(lines).replace("|", delimiter))

    assert found.column("price") == [1, 2]


def test_decimal_commas_are_not_taken_for_delimiters(tmp_path: Path) -> None:
    content = "Code;Price;Sold\n" + "".join(f"a;{n},5;1.1.2024\n" for n in range(50))

    assert reading(tmp_path, content, 'decimal = ","').column("price")[:2] == [Decimal("0.5"), Decimal("1.5")]


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("Price;Amount\n1,5;2,5\n3,5;4,5\n", ";"),
        ("Price|Amount\n1,5|2,5\n", "|"),
        ("Sales of May\nBranch;Amount\n1;2\n", ";"),
        ("Price;Amount\n", ";"),
        ("Note\nx; y\nz\nz\n", ","),
    ],
    ids=["commas in every column", "one row", "a title", "a header alone", "one column"],
)
def test_the_delimiter_is_the_one_that_fits_most_rows(tmp_path: Path, content: str, delimiter: str) -> None:
    assert CsvSheet(write(tmp_path, content), "a.csv").delimiter == delimiter


def test_the_delimiter_of_the_contract_is_used(tmp_path: Path) -> None:
    content = "Code;Price;Sold|x\na;1;|b\n"

    assert "'Code' is missing" not in str(refusal(write(tmp_path, content), contract(tmp_path, 'delimiter = ";"')))
    assert "'Code' is missing" in str(refusal(write(tmp_path, content), contract(tmp_path, 'delimiter = "|"')))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        ("Code,Price,Sold\na,1,\n", 'delimiter = ","'),
        ("Code\tPrice\tSold\na\t1\t\n", r'delimiter = "\t"'),
        ("Code, old\na\n", ""),
        ("Code,Price,Sold;Note\na;b\n", ""),
    ],
)
def test_a_hint_names_the_delimiter_if_that_of_the_contract_is_wrong(tmp_path: Path, content: str, key: str) -> None:
    error = refusal(write(tmp_path, content), contract(tmp_path, 'delimiter = ";"'))

    assert (f"set `{key}` in the contract" in error.hint) == bool(key)
    assert ("Correct the header row" in error.hint) != bool(key)
    assert not key or "similar header" not in str(error)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_quotes_may_hold_delimiters_quotes_and_line_breaks(tmp_path: Path, end: str) -> None:
    content = end.join(["Code,Price,Sold", f'"a,""b""{end}c",1,', "", "d,2,"])

    found = reading(tmp_path, content)

    assert found.column("code") == [f'a,"b"{end}c', "d"]
    assert found.column("source_row") == [2, 4]


def test_blank_rows_are_skipped_and_counted_in_row_numbers(tmp_path: Path) -> None:
    content = "\n\nCode,Price,Sold\n\na,1,\n,,\n\nb,2,\n\n"

    found = reading(tmp_path, content)

    assert (found.layout.header_row, found.column("source_row")) == (3, [5, 8])
    assert found.rows_read == 2


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
def test_utf_8_may_have_a_byte_order_mark(tmp_path: Path, start: bytes) -> None:
    assert reading(tmp_path, start + "Code,Price,Sold\nÄöü€,1,\n".encode()).column("code") == ["Äöü€"]


def test_another_encoding_is_read_if_the_contract_names_it(tmp_path: Path) -> None:
    content = "Code;Price;Sold\nStraße €;1;\n".encode("cp1252")

    assert reading(tmp_path, content, 'encoding = "cp1252"').column("code") == ["Straße €"]
    utf_16 = "Code;Price;Sold\nStraße €;1;\n".encode("utf-16")
    assert reading(tmp_path, utf_16, 'encoding = "utf-16"').column("code") == ["Straße €"]


def test_the_directive_of_excel_names_the_delimiter_and_is_no_row(tmp_path: Path) -> None:
    found = reading(tmp_path, "sep=|\r\nCode|Price|Sold\r\na|1|\r\n")

    assert (found.layout.header_row, found.column("source_row")) == (1, [2])


def test_header_row_and_skip_rules_work_as_in_workbooks(tmp_path: Path) -> None:
    content = "Sales of 2024\n\nCode;Price;Sold\na;1;\nTotal;1;\nb;2;\nend;;\n"
    keys = 'header_row = 3\nskip_footer = 1\nskip_rows = [{ column = "Code", matches = "Total*" }]'

    found = reading(tmp_path, content, keys)

    assert (found.column("source_row"), found.rows_read, found.rows_skipped) == ([4, 6], 2, 2)


def test_the_error_says_in_which_row_the_headers_are(tmp_path: Path) -> None:
    path = write(tmp_path, "Sales of 2024\n\nCode;Price;Sold\na;1;\n")

    assert "the headers are in row 3: set header_row = 3" in str(refusal(path, contract(tmp_path)))


def test_a_file_of_several_blocks_keeps_its_rows_in_order(tmp_path: Path) -> None:
    lines = (f"c{n},{n}.25,\n" if n % 1000 else "\n" for n in range(2, 200_002))

    found = reading(tmp_path, "Code,Price,Sold\n" + "".join(lines))

    expected = [n for n in range(2, 200_002) if n % 1000]
    assert found.column("source_row") == expected
    assert found.column("code") == [f"c{n}" for n in expected]
    assert found.column("price")[-1] == Decimal("200001.25")


@pytest.mark.parametrize("rows", [1, 60_000])
def test_notes_with_fewer_fields_are_passed_over_by_a_rule(tmp_path: Path, rows: int) -> None:
    """Without the rule they would be a fault, as a quote that is not closed looks the same."""
    content = "Code,Price,Sold\n" + "a,1,\n" * rows + 'Note: "x"\n' + "b,2,\n\nTotal,3\nNote: done\n"
    rules = '[{ column = "Code", matches = "Note:*" }, { column = "Code", matches = "Total" }]'

    found = reading(tmp_path, content, f"skip_rows = {rules}")

    assert [(row["code"], row["source_row"]) for row in found.rows[-2:]] == [("a", rows + 1), ("b", rows + 3)]
    assert len(found.rows) == rows + 1
    assert (
        len(reading(tmp_path, content.removesuffix("\nTotal,3\nNote: done\n"), f"skip_rows = {rules}").rows) == rows + 1
    )
    expected = f"row {rows + 2:,}: it has 1 field, but the header in row 1 has 3"
    assert expected in str(refusal(write(tmp_path, content), contract(tmp_path)))


def test_rows_may_end_in_a_delimiter_although_the_header_does_not(tmp_path: Path) -> None:
    assert reading(tmp_path, "Code,Price,Sold\na,1,,\nb,2,,\nc,3,\n").column("code") == ["a", "b", "c"]
    assert reading(tmp_path, "Code,Price,Sold\na,1,\nb,2,,\n").column("code") == ["a", "b"]


def test_a_file_with_only_a_header_has_no_rows(tmp_path: Path) -> None:
    assert reading(tmp_path, "Code,Price,Sold").rows == []


ROWS = "Code,Price,Sold\n" + "a,1,\n" * 100_000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"PK\x03\x04rest", "is a zip file"),
        (b"\xff\xfeC\0o\0", "is UTF-16"),
        (b"Code,Price,Sold\na,1,\nb\0,2,\n", "line 3 contains a NUL character"),
        ("Code,Price,Sold\na,1,\nÄ,2,\n".encode("cp1252"), "line 3 is not UTF-8"),
        (b"Code,Price,Sold\na,1,\nb,2\n", "row 3: it has 2 fields, but the header in row 1 has 3"),
        (b"Code,Price,Sold\na,1,\n\nb,2,,x\n", "row 4: it has 4 fields"),
        (b'Code,Price,Sold\n"a\nb",1,\nc,2\n', "row 3: it has 2 fields"),
        (f"{ROWS}b,2\n".encode(), "row 100,002: it has 2 fields"),
        (b'Code,Price,Sold\na,1,\n"b,2,\nc,3,\n', "row 3: it has 1 field"),
        (f'{ROWS}"b,2,\n{"c,3,xxxxxxxxxxxx" * 200_000}'.encode(), "row 100,002: a field has more than 1,048,576"),
        (ROWS.encode() + "Ä".encode("cp1252"), "line 100,002 is not UTF-8"),
        (b"a,b\n" * 3, "column 'Code' is missing"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path: Path, content: bytes, expected: str) -> None:
    assert expected in str(refusal(write(tmp_path, content), contract(tmp_path)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("rows", "row"),
    [
        (['a,1,"1.1.2024', "b,2,", "c,3,"], 2),
        (["a,1,", "b,2,", 'c,3,"'], 4),
        (['a,1,"1.1.2024', 'b,2,"1.1.2024"', "c,3,"], 2),
        (['5" pipe,1,', 'a,1,"1.1.2024', "b,2,"], 3),
        (['"two', 'lines",1,', 'a,1,"1.1.2024""', "b,2,"], 3),
        (["a,1,"] * 100_000 + ['b,1,"x'] + ["c,2,"] * 100_000, 100_002),
        (["a,1,", 'Total,1,"x', "b,2,"], 3),
    ],
    ids=["first", "last", "quotes below", "an inch sign", "line breaks", "several blocks", "a row that a rule skips"],
)
def test_a_quote_that_is_not_closed_does_not_lose_rows(tmp_path: Path, rows: list[str], row: int, end: str) -> None:
    """Both parsers take the rows below for text of the last field."""
    path = write(tmp_path, end.join(["Code,Price,Sold", *rows, ""]))
    rule = 'skip_rows = [{ column = "Code", matches = "Total" }]'

    error = refusal(path, contract(tmp_path, rule))

    assert str(error) == f"shop.csv, row {row:,}: one of its quotes is not closed"


@pytest.mark.parametrize("content", ['Code,Price,"Sold\na,1,\n', '"Sales of May\nCode,Price,Sold\na,1,\n'])
def test_a_quote_that_is_not_closed_is_found_up_to_the_header(tmp_path: Path, content: str) -> None:
    assert "row 1: one of its quotes is not closed" in str(refusal(write(tmp_path, content), contract(tmp_path)))


def test_quotes_within_a_field_are_text(tmp_path: Path) -> None:
    found = reading(tmp_path, 'Code,Price,Sold\n5" pipe,1,\n"two"" \nlines",2,\n"a" b,3,\n')

    assert found.column("code") == ['5" pipe', 'two" \nlines', "a b"]


def test_a_file_without_line_breaks_in_fields_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The csv module is slow."""
    monkeypatch.setattr(CsvSheet, "check_quotes", None)
    blank = "\r\n" * 3
    rows = "".join(f'5" pipe,"{n}",\r\n' for n in range(100_000))

    for content in (f"Code,Price,Sold\r\n{rows}{blank}", "Code,Price,Sold\na,1,\r\rb,2,\r", "Code,Price,Sold\na,1,"):
        assert read(write(tmp_path, content), contract(tmp_path)).rows_read > 0


def test_the_hint_for_another_encoding_names_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, "Code,Price,Sold\nÄ,2,\n".encode("cp1252"))

    assert 'encoding = "cp1252"' in refusal(path, contract(tmp_path)).hint


def test_a_sheet_of_the_contract_does_not_concern_a_csv_file(tmp_path: Path) -> None:
    assert reading(tmp_path, "Code,Price,Sold\na,1,\n", 'sheet = "Sales"').column("code") == ["a"]
    several = reading(tmp_path, "Code,Price,Sold\na,1,\n", 'sheet = "2024-*"')
    assert several.column("source_sheet") == [""]
