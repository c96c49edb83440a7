"""Read workbooks to rows: which rows are read, which row number each has, and what its cells hold."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900
from openpyxl.worksheet.worksheet import Worksheet

from retailpipe.contract import Contract
from retailpipe.workbook.reader import open_workbook
from tests.support.workbooks import (
    DATE_STYLE,
    contract_of,
    number,
    raw_workbook,
    read,
    row,
    shared,
    shared_strings,
    text,
)

HEADER = row(1, text("A1", "Code"), text("B1", "Price"), text("C1", "Sold"))
NOON = datetime(2010, 12, 1, 12)

SEVERAL_BLOCKS = 100_000
"""A number of rows whose XML needs several blocks."""


@pytest.fixture
def shop(tmp_path: Path) -> Contract:
    return contract_of(
        tmp_path,
        {"header": "Code", "type": "string"},
        {"header": "Price", "type": "decimal128(38, 18)"},
        {"header": "Sold", "type": "timestamp[us]", "formats": ["%d.%m.%Y"]},
    )


class Book:
    """A workbook made with openpyxl; `page` is its first sheet."""

    def __init__(self, folder: Path, *rows: list[Any]) -> None:
        self.path = folder / "book.xlsx"
        self.book = openpyxl.Workbook()
        page = self.book.active
        assert isinstance(page, Worksheet)
        self.page = page
        for cells in rows:
            page.append(cells)

    def saved(self) -> Path:
        self.book.save(self.path)
        return self.path


def test_rows_have_the_number_that_excel_shows(tmp_path: Path, shop: Contract) -> None:
    path = Book(tmp_path, ["Code", "Price", "Sold"], ["A", 1, NOON], ["B", 2, NOON]).saved()

    assert read(path, shop).column("source_row") == [2, 3]


@pytest.mark.parametrize(
    "headers",
    [["Code", "Price", "Sold"], ["Sold", "Code", "Price"], [" code ", "PRICE", "sOLD\n"], ["Price\t", "sold", "Code"]],
)
def test_columns_are_found_in_any_order_whatever_their_case_and_blanks(
    tmp_path: Path, shop: Contract, headers: list[str]
) -> None:
    cells = {"code": "A", "price": 2.55, "sold": NOON}
    path = Book(tmp_path, headers, [cells[header.strip().lower()] for header in headers]).saved()

    assert read(path, shop).rows == [{"code": "A", "price": Decimal("2.55"), "sold": NOON, "source_row": 2}]


def test_headers_in_any_alphabet_are_case_insensitive(tmp_path: Path) -> None:
    columns = ({"header": "STRASSE", "type": "string"}, {"header": "été", "name": "summer", "type": "string"})
    path = Book(tmp_path, ["ÉTÉ", "Straße"], ["a", "b"]).saved()

    assert read(path, contract_of(tmp_path, *columns)).rows == [{"strasse": "b", "summer": "a", "source_row": 2}]


def test_columns_that_are_not_in_the_contract_are_reported_and_ignored(tmp_path: Path, shop: Contract) -> None:
    path = Book(tmp_path, ["Note", "Code", None, "Price", "Sold", "Till "], ["n", "A", "u", 1, NOON, 3]).saved()

    reading = read(path, shop)

    assert reading.layout.ignored == ("Note", "Till")
    assert reading.rows == [{"code": "A", "price": Decimal(1), "sold": NOON, "source_row": 2}]


def test_a_table_in_the_middle_of_a_sheet_keeps_excels_addresses(tmp_path: Path, shop: Contract) -> None:
    book = Book(tmp_path)
    for column, values in zip("CDE", (["Code", "A", "B"], ["Price", 1, "dear"], ["Sold", NOON, NOON]), strict=True):
        for index, value in enumerate(values):
            book.page[f"{column}{5 + index}"] = value

    reading = read(book.saved(), shop)

    assert reading.column("source_row") == [6]
    assert reading.codes == [("D7", "not_a_number")]
    assert reading.rejects[0].source_row == 7


def test_blank_rows_are_skipped_but_keep_their_numbers(tmp_path: Path, shop: Contract) -> None:
    blank: list[Any] = []
    path = Book(tmp_path, blank, ["Code", "Price", "Sold"], blank, ["A", 1], blank, blank, [None, 2], blank).saved()

    reading = read(path, shop)

    assert reading.column("source_row") == [4, 7]
    assert reading.rows_read == 2


@pytest.mark.parametrize("blank", ['<c r="A1" s="1"/>', '<c r="A1" t="str"><v></v></c>', '<c r="B1"><f>X1</f></c>'])
def test_cells_without_a_value_above_the_header_are_ignored(tmp_path: Path, shop: Contract, blank: str) -> None:
    header = row(3, text("A3", "Code"), text("B3", "Price"), text("C3", "Sold"))
    path = raw_workbook(tmp_path / "book.xlsx", row(1, blank), header, row(4, text("A4", "A")))

    assert read(path, shop).column("source_row") == [4]


def test_row_numbers_continue_from_chunk_to_chunk(tmp_path: Path, shop: Contract) -> None:
    last = SEVERAL_BLOCKS
    kept = [n for n in range(2, last + 1) if n % 5 and not 900 < n < 1_100]
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, *(row(n, text(f"A{n}", f"code {n}")) for n in kept))

    reading = read(path, shop)

    assert reading.column("source_row") == kept
    assert reading.column("code") == [f"code {n}" for n in kept]


def test_a_large_gap_between_rows_is_skipped(tmp_path: Path, shop: Contract) -> None:
    far = SEVERAL_BLOCKS
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, text("A2", "A")), row(far, text(f"A{far}", "B")))

    assert read(path, shop).column("source_row") == [2, far]


def test_the_size_of_chunks_is_bounded(tmp_path: Path, shop: Contract) -> None:
    rows = (row(n, number(f"B{n}", n)) for n in range(2, SEVERAL_BLOCKS))
    workbook = open_workbook(raw_workbook(tmp_path / "book.xlsx", HEADER, *rows), shop)

    sizes = [len(chunk.numbers) for _, chunk in workbook.chunks()]
    assert sum(sizes) == SEVERAL_BLOCKS - 2
    assert max(sizes) < SEVERAL_BLOCKS / 2


def test_rows_and_cells_without_addresses_follow_each_other(tmp_path: Path, shop: Contract) -> None:
    def cells(*texts: str) -> str:
        return "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in texts)

    rows = f"<row>{cells('Code', 'Price', 'Sold')}</row><row/><row>{cells('A', '2.5')}</row>"
    reading = read(raw_workbook(tmp_path / "book.xlsx", rows), shop)

    assert reading.rows == [{"code": "A", "price": Decimal("2.5"), "sold": None, "source_row": 3}]


def test_hidden_and_filtered_rows_are_read(tmp_path: Path, shop: Contract) -> None:
    book = Book(tmp_path, ["Code", "Price", "Sold"], ["A"], ["B"], ["C"])
    book.page.row_dimensions[3].hidden = True
    book.page.auto_filter.ref = "A1:C4"

    assert read(book.saved(), shop).column("code") == ["A", "B", "C"]


def test_merged_cells_have_their_value_in_the_first_cell(tmp_path: Path, shop: Contract) -> None:
    book = Book(tmp_path, ["Code", "Price", "Sold"], ["A", 1], [None, 2])
    book.page.merge_cells("A2:A3")

    assert read(book.saved(), shop).column("code") == ["A", None]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (536365, "536365"),
        (536365.0, "536365"),
        (2.5, "2.5"),
        ("C536379", "C536379"),
        ("00012", "00012"),
        ("  padded ", "  padded "),
        ("two\nlines", "two\nlines"),
        ("a & b <c> 'é' 🙂", "a & b <c> 'é' 🙂"),
        (True, "TRUE"),
        (NOON, "2010-12-01 12:00:00"),
        (date(2010, 12, 1), "2010-12-01"),
        (CellRichText("half ", TextBlock(InlineFont(b=True), "bold")), "half bold"),
        (None, None),
    ],
)
def test_a_text_column_holds_what_excel_shows(tmp_path: Path, shop: Contract, cell: Any, value: str | None) -> None:
    path = Book(tmp_path, ["Code", "Price", "Sold"], [cell, 1]).saved()

    assert read(path, shop).column("code") == [value]


def test_zeros_from_a_number_format_are_not_in_the_text(tmp_path: Path, shop: Contract) -> None:
    book = Book(tmp_path, ["Code", "Price", "Sold"], [123])
    book.page["A2"].number_format = "00000"

    assert read(book.saved(), shop).column("code") == ["123"]


@pytest.mark.parametrize("code", ["#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NULL!", "#NUM!"])
@pytest.mark.parametrize("formula", ["", "<f>1/0</f>", '<f t="shared" si="0"/>'])
@pytest.mark.parametrize("address", ["A2", "B2", "C2"])
def test_an_error_value_is_rejected_with_its_code_in_every_column(
    tmp_path: Path, shop: Contract, address: str, formula: str, code: str
) -> None:
    cells = [f'<c r="{address}" s="0" t="e">{formula}<v>{code}</v></c>']
    cells = [*([] if address == "A2" else [text("A2", "A")]), *cells, text("D2", "not in the contract")]

    reading = read(raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, *cells)), shop)

    assert reading.codes == [(address, "error_cell")]
    assert reading.rejects[0].raw_value == code


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="B2"><f>1+1</f></c>',
        '<c r="B2"><f>1+1</f><v></v></c>',
        '<c r="B2"><f>1+1</f><v/></c>',
        '<c r="B2" s="1"><f t="shared" ref="B2:B9" si="0">1+1</f></c>',
    ],
)
def test_a_formula_without_a_value_is_rejected(tmp_path: Path, shop: Contract, cell: str) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, text("A2", "A"), cell))

    assert read(path, shop).codes == [("B2", "not_calculated")]


@pytest.mark.parametrize("cell", ['<c r="B2"/>', '<c r="B2" t="str"><f>""</f><v></v></c>', ""])
def test_a_blank_cell_becomes_null(tmp_path: Path, shop: Contract, cell: str) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, text("A2", "A"), cell))

    assert read(path, shop).column("price") == [None]


def test_an_error_in_a_column_that_is_not_in_the_contract_is_ignored(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, text("A2", "A"), '<c r="D2" t="e"><v>#N/A</v></c>'))

    reading = read(path, shop)

    assert (reading.rows_read, reading.codes) == (1, [])


def test_a_long_number_keeps_its_digits(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(
        tmp_path / "book.xlsx",
        HEADER,
        row(2, number("A2", "12345678901234567890"), number("B2", "12345678901234567")),
        row(3, number("A3", "9007199254740993"), number("B3", "-98765432109876543210")),
    )

    reading = read(path, shop)

    assert reading.column("code") == ["12345678901234567890", "9007199254740993"]
    assert reading.column("price") == [Decimal("12345678901234567"), Decimal("-98765432109876543210")]


def test_a_formula_has_its_stored_value(tmp_path: Path, shop: Contract) -> None:
    cells = '<c r="A2" t="str"><f>X</f><v>A</v></c><c r="B2"><f>1+1</f><v>2</v></c>'

    assert read(raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, cells)), shop).rows[0]["price"] == 2


def test_shared_strings_are_read_without_their_phonetic_hints(tmp_path: Path, shop: Contract) -> None:
    strings = shared_strings("x", "A").replace("<t>A</t>", '<r><t>A</t></r><rPh sb="0" eb="1"><t>eh</t></rPh>')
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, shared("A2", 1)), strings=strings)

    assert read(path, shop).column("code") == ["A"]


def test_numbers_stored_as_text_are_read(tmp_path: Path, shop: Contract) -> None:
    path = Book(tmp_path, ["Code", "Price", "Sold"], ["A", "2.55"], ["B", " 3 "], ["C", "3,50"]).saved()

    reading = read(path, shop)

    assert reading.column("price") == [Decimal("2.55"), Decimal(3)]
    assert reading.codes == [("B4", "not_a_number")]


def test_a_nul_character_in_a_text_is_rejected_with_its_cell(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, text("A2", "a_x0000_b")), row(3, text("A3", "c")))

    reading = read(path, shop)

    assert reading.codes == [("A2", "nul_character")]
    assert reading.column("code") == ["c"]


@pytest.mark.parametrize("epoch", [CALENDAR_WINDOWS_1900, CALENDAR_MAC_1904])
def test_dates_are_the_same_in_both_date_systems(tmp_path: Path, shop: Contract, epoch: datetime) -> None:
    moments = [datetime(1904, 3, 1, 23, 59, 59), datetime(2010, 12, 1), NOON, datetime(2012, 2, 29, 0, 1)]
    book = Book(tmp_path)
    book.book.epoch = epoch
    for cells in (["Code", "Price", "Sold"], *([None, 1, moment] for moment in moments)):
        book.page.append(cells)

    assert read(book.saved(), shop).column("sold") == moments


def test_every_minute_of_some_days_is_exact(tmp_path: Path, shop: Contract) -> None:
    moments = [datetime(2010, 12, 1) + timedelta(minutes=7 * n, seconds=n % 60) for n in range(2_000)]
    path = Book(tmp_path, ["Code", "Price", "Sold"], *(["A", 1, moment] for moment in moments)).saved()

    assert read(path, shop).column("sold") == moments


@pytest.mark.parametrize(
    ("serial", "moment"),
    [
        ("61", datetime(1900, 3, 1)),
        ("40513", datetime(2010, 12, 1)),
        ("40513.351388888888", datetime(2010, 12, 1, 8, 26)),
        ("2958465", datetime(9999, 12, 31)),
    ],
)
def test_serial_numbers_become_dates(tmp_path: Path, shop: Contract, serial: str, moment: datetime) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, number("C2", serial, style=DATE_STYLE)))

    assert read(path, shop).column("sold") == [moment]


@pytest.mark.parametrize("serial", ["-1", "0", "0.5", "1", "59", "60", "2958466", "1e300"])
def test_serial_numbers_that_are_not_certainly_a_date_are_rejected(tmp_path: Path, shop: Contract, serial: str) -> None:
    """Excel shows 60 as 29 February 1900; calamine returns 59 and 60 as one date, and 0 and less as times."""
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, number("C2", serial, style=DATE_STYLE)))

    reading = read(path, shop)

    assert reading.rows == []
    assert reading.rejects[0].cell == "C2"
    assert reading.rejects[0].code in ("not_a_date", "below_minimum")


def test_the_first_days_of_1904_are_dates_in_that_system(tmp_path: Path, shop: Contract) -> None:
    rows = [row(n, number(f"C{n}", serial, style=DATE_STYLE)) for n, serial in ((2, 1), (3, 59), (4, 60))]
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, *rows, properties='<workbookPr date1904="1"/>')

    assert read(path, shop).column("sold") == [datetime(1904, 1, 2), datetime(1904, 2, 29), datetime(1904, 3, 1)]


@pytest.mark.parametrize("cell", [timedelta(hours=26), time(3, 4), 40513, "1 Dec 2010"])
def test_a_cell_that_is_not_a_date_is_rejected_in_a_date_column(tmp_path: Path, shop: Contract, cell: Any) -> None:
    path = Book(tmp_path, ["Code", "Price", "Sold"], ["A", 1, cell]).saved()

    assert read(path, shop).codes == [("C2", "not_a_date")]


def test_a_date_in_a_text_is_read_in_the_contracts_formats(tmp_path: Path, shop: Contract) -> None:
    path = Book(tmp_path, ["Code", "Price", "Sold"], ["A", 1, "01.12.2010"]).saved()

    assert read(path, shop).column("sold") == [datetime(2010, 12, 1)]


def test_dates_written_in_iso_8601_are_read(tmp_path: Path, shop: Contract) -> None:
    cell = '<c r="C2" t="d"><v>2010-12-01T08:26:00</v></c>'
    path = raw_workbook(tmp_path / "book.xlsx", HEADER, row(2, cell))

    assert read(path, shop).column("sold") == [datetime(2010, 12, 1, 8, 26)]


def test_a_sheet_with_a_prefix_in_another_part_is_read(tmp_path: Path, shop: Contract) -> None:
    sheet = f"<worksheet><sheetData>{HEADER}{row(2, text('A2', 'A'))}</sheetData></worksheet>"
    sheet = sheet.replace("<", "<x:").replace("<x:/", "</x:")
    sheet = sheet.replace(
        "<x:worksheet>", '<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    )

    path = raw_workbook(tmp_path / "book.xlsx", sheet=sheet, sheet_part="sales/data.xml")

    assert read(path, shop).column("code") == ["A"]


@pytest.mark.parametrize("end", ["</sheetData>", "</sheetData >", "</sheetData\n>"])
def test_blanks_in_the_end_tag_of_the_rows_are_allowed(tmp_path: Path, shop: Contract, end: str) -> None:
    start = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    sheet = f"{start}{HEADER}{row(2, text('A2', 'A'))}{end}</worksheet>"

    assert read(raw_workbook(tmp_path / "book.xlsx", sheet=sheet), shop).column("code") == ["A"]


def test_a_sheet_with_only_a_header_has_no_chunks(tmp_path: Path, shop: Contract) -> None:
    workbook = open_workbook(Book(tmp_path, ["Code", "Price", "Sold"]).saved(), shop)

    assert list(workbook.chunks()) == []
    assert workbook.layouts[0].header_row == 1
