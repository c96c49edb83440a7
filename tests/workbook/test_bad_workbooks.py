"""Files that are not workbooks, or not the right ones: each is refused with the file's name, the place and a hint."""

from __future__ import annotations

import re
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pytest

from retailpipe.contract import Contract
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.cells import column_letters
from retailpipe.workbook.reader import open_workbook
from tests.support.bounded import read_bounded
from tests.support.workbooks import (
    CONTENT_TYPES,
    MAIN,
    contract_of,
    number,
    raw_workbook,
    read,
    refusal,
    row,
    shared,
    shared_strings,
    sheet_xml,
    text,
    zipped,
)

OLE2 = bytes.fromhex("d0cf11e0a1b11ae1")
HEADER = row(1, text("A1", "Code"), text("B1", "Price"))
ROWS = tuple(row(n, text(f"A{n}", f"code {n}"), number(f"B{n}", n / 8)) for n in range(2, 40))
COLUMNS = ({"header": "Code", "type": "string"}, {"header": "Price", "type": "decimal128(38, 18)"})


@pytest.fixture
def shop(tmp_path: Path) -> Contract:
    return contract_of(tmp_path, *COLUMNS)


def book(path: Path, **sheets: Sequence[Sequence[Any]]) -> Path:
    workbook = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for cells in rows:
            sheet.append(list(cells))
    workbook.save(path)
    return path


def in_its_own_process(path: Path) -> subprocess.CompletedProcess[str]:
    return read_bounded(path, path.parent / "shop.toml")


def test_a_missing_file_is_refused(tmp_path: Path, shop: Contract) -> None:
    assert "No such file" in str(refusal(tmp_path / "gone.xlsx", shop))


def test_a_folder_is_refused(tmp_path: Path, shop: Contract) -> None:
    (tmp_path / "folder.xlsx").mkdir()

    assert "is a folder" in str(refusal(tmp_path / "folder.xlsx", shop))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"Code,Price\nA,2.55\n", "not an xlsx workbook"),
        (b"\xef\xbb\xbfCode;Price\r\n", "not an xlsx workbook"),
        (b"<html><table><tr><td>Code</td></tr></table></html>", "not an xlsx workbook"),
        (b"P", "not an xlsx workbook"),
        (b"PK", "damaged or incomplete"),
        (b"PK\x03\x04" + bytes(100), "damaged or incomplete"),
        (bytes(1_000), "not an xlsx workbook"),
        (OLE2 + bytes(504) + "Workbook".encode("utf-16-le"), ".xls"),
        (OLE2 + bytes(4_000) + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, shop: Contract, content: bytes, expected: str) -> None:
    path = tmp_path / "sales.xlsx"
    path.write_bytes(content)

    assert expected in str(refusal(path, shop))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"[Content_Types].xml": CONTENT_TYPES, "xl/workbook.bin": b"\x83\x01\x00"}, ".xlsb"),
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"}, ".ods"),
        ({"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": "<a/>"}, "without an xlsx workbook"),
        ({"sales.csv": "Code,Price\n"}, "without an xlsx workbook"),
        ({}, "without an xlsx workbook"),
        ({"[Content_Types].xml": CONTENT_TYPES, "xl/styles.xml": "<a/>"}, "cannot be read"),
    ],
)
def test_a_zip_of_another_format_is_refused(
    tmp_path: Path, shop: Contract, parts: dict[str, bytes], expected: str
) -> None:
    assert expected in str(refusal(zipped(tmp_path / "sales.xlsx", parts), shop))


def test_a_zip_with_a_password_is_refused(tmp_path: Path, shop: Contract) -> None:
    content = bytearray(raw_workbook(tmp_path / "sales.xlsx", HEADER, *ROWS).read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(magic)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(magic, place + 4)
    (tmp_path / "sales.xlsx").write_bytes(content)

    refusal(tmp_path / "sales.xlsx", shop)


def test_a_sheet_that_declares_gigabytes_is_refused(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "bomb.xlsx", HEADER, *ROWS)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    claimed = path.read_bytes().replace(size.to_bytes(4, "little"), (3 << 30).to_bytes(4, "little"))
    path.write_bytes(claimed)

    assert "xl/worksheets/sheet1.xml would unpack to 3,221,225,472 bytes" in str(refusal(path, shop))


def spaces(path: Path, megabytes: int, part: str = "xl/worksheets/sheet1.xml") -> Path:
    """Write a workbook with a part of so many megabytes of blanks."""
    raw_workbook(path, HEADER, sheet_part="worksheets/other.xml")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(part, "w") as stream:
        for _ in range(megabytes):
            stream.write(b" " * (1 << 20))
    return path


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/media/image1.png"])
def test_a_part_of_three_hundred_megabytes_of_blanks_is_refused(tmp_path: Path, shop: Contract, part: str) -> None:
    path = spaces(tmp_path / "bomb.xlsx", 300, part)

    assert path.stat().st_size < 400_000
    assert f"{part} would unpack to 314,572,800 bytes" in str(refusal(path, shop))


def test_a_part_that_is_larger_than_declared_is_refused(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "bomb.xlsx", HEADER, row(2, text("A2", " " * 20_000_000)))
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (20_000).to_bytes(4, "little")))

    refusal(path, shop)


@pytest.mark.parametrize("address", ["A4294967290", "ZZZZZZ2", "XFE2", "A1048577", "AAAA2", "A0"])
def test_a_cell_beyond_the_limits_of_a_sheet_is_refused(tmp_path: Path, shop: Contract, address: str) -> None:
    path = raw_workbook(tmp_path / "stray.xlsx", HEADER, row(2, text(address, "oops")))

    done = in_its_own_process(path)

    assert done.returncode == 0, done.stderr[:200]
    assert "refused stray.xlsx" in done.stdout
    assert address in done.stdout


def test_the_last_cell_of_a_sheet_is_read_like_any_other(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(
        tmp_path / "far.xlsx", HEADER, row(2, text("A2", "A")), row(1048576, text("XFD1048576", "oops"))
    )

    done = in_its_own_process(path)

    assert done.stdout.startswith("rows 2\n"), done.stderr[:200]


def test_cells_in_the_last_column_take_no_more_memory_than_others(tmp_path: Path, shop: Contract) -> None:
    rows = (row(n, number(f"B{n}", n), text(f"XFD{n}", "note")) for n in range(3, 20_000))
    path = raw_workbook(tmp_path / "wide.xlsx", HEADER, row(2, text("XFD2", "oops")), *rows)

    done = in_its_own_process(path)

    assert done.stdout.startswith("rows 19998\n"), done.stderr[:200]


def many(part: str, times: int, what: str, around: str = "") -> Callable[[dict[str, bytes]], None]:
    """Insert some XML many times before the last tag of a part."""

    def change(parts: dict[str, bytes]) -> None:
        end = parts[part].rindex(b"</")
        added = (what * times).encode()
        if around:
            added = f"<{around}>".encode() + added + f"</{around}>".encode()
        parts[part] = parts[part][:end] + added + parts[part][end:]

    return change


ROWS_AFTER = "".join(row(n, number(f"B{n}", n)) for n in range(5, 30))


def raw_sheet(*rows: str) -> bytes:
    return sheet_xml(rows).encode()


MANY_ATTRIBUTES = " ".join(f'a{n}=""' for n in range(100_000))
SHEET = "xl/worksheets/sheet1.xml"
HOSTILE: dict[str, str | Callable[[dict[str, bytes]], None]] = {
    "a cell far below its row": row(4, number("XFD1048576", 1)) + ROWS_AFTER,
    "the same in lower case": row(4, number("xfd1048576", 1)) + ROWS_AFTER,
    "the same in single quotes": row(4, "<c r='XFD1048576'><v>1</v></c>") + ROWS_AFTER,
    "the same with blanks": row(4, '<c r = "XFD1048576"><v>1</v></c>') + ROWS_AFTER,
    "the same in two letters": row(4, number("ZZ1048576", 1)) + ROWS_AFTER,
    "a row of 17,000 cells without addresses": row(4, "<c><v>1</v></c>" * 17_000) + ROWS_AFTER,
    "a row of 17,000 blank cells without addresses": row(4, "<c/>" * 17_000) + ROWS_AFTER,
    "the same in a sheet without addresses": "<row>"
    + "<c/>" * 16_000
    + "<c><v>1</v></c></row>"
    + "<row><c><v>1</v></c></row>" * 40_000,
    "a row number beyond the sheet": row(4) + '<row r="10000000"><c><v>1</v></c></row>' + ROWS_AFTER,
    "a row number of many digits": f'<row r="{"9" * 5_000}"><c><v>1</v></c></row>' + ROWS_AFTER,
    "a row at the end of the sheet in the middle": row(1_048_576, number("B1048576", 1)) + ROWS_AFTER,
    "50,000 formulas in a row": row(4, "<c><f/></c>" * 50_000) + ROWS_AFTER,
    "16,000 formulas in a row": row(4, "<c><f/></c>" * 16_000) + ROWS_AFTER,
    "cells on a diagonal": "".join(row(n, number(f"{column_letters(n)}{n}", n)) for n in range(4, 16_000)),
    "a long number": row(4, f"<c><v>{'9' * 1_000_000}</v></c>") + ROWS_AFTER,
    "a long address": row(4, f'<c r="{"A" * 1_000_000}4"><v>1</v></c>') + ROWS_AFTER,
    "a long name": f"<row><{'c' * 1_000_000}/></row>" + ROWS_AFTER,
    "many attributes": f"<row {MANY_ATTRIBUTES}/>" + ROWS_AFTER,
    "deep elements": row(4, "<c>" * 100_000) + ROWS_AFTER,
    "many row elements of one number": '<row r="4"/>' * 1_000_000,
    "63 MB of empty elements in the workbook": many("xl/workbook.xml", 15_000_000, "<x/>"),
    "5 MB of empty elements in the workbook": many("xl/workbook.xml", 1_200_000, "<x/>"),
    "63 MB of empty elements in the relations": many("xl/_rels/workbook.xml.rels", 15_000_000, "<x/>"),
    "5 MB of relations": many("xl/_rels/workbook.xml.rels", 300_000, "<Relationship/>"),
    "63 MB of empty elements in the styles": many("xl/styles.xml", 15_000_000, "<x/>"),
    "5 MB of styles": many("xl/styles.xml", 1_000_000, "<xf/>", "cellXfs"),
    "8 MB of empty strings": many("xl/sharedStrings.xml", 1_600_000, "<si/>"),
    "60 MB of empty strings": many("xl/sharedStrings.xml", 12_000_000, "<si/>"),
    "60 MB of empty sheetData elements": many(SHEET, 5_000_000, "<sheetData/>"),
    "8 MB after the rows": many(SHEET, 2_000_000, "<x/>"),
    "entities that expand": lambda parts: parts.update(
        {
            SHEET: b'<!DOCTYPE x [<!ENTITY a "'
            + b"a" * 100_000
            + b'">]>'
            + parts[SHEET].replace(b"code 4", b"&a;" * 10_000)
        }
    ),
    "a million blanks before a cell": f"<row><c><v>1</v></c>{' ' * 1_000_000}<c><v>1</v></c></row>",
    "an encoding that takes hours": lambda parts: parts.update(
        {SHEET: b'<?xml version="1.0" encoding="punycode"?><worksheet/>-' + b"a" * 1_000_000}
    ),
    "deep elements in the workbook": many("xl/workbook.xml", 200_000, "<a>"),
    "deep elements in the styles": many("xl/styles.xml", 200_000, "<a>"),
    "12 rows of 16,000 formulas": "".join(row(n, "<c><f/></c>" * 16_000) for n in range(4, 16)),
    "300 sheets that fit": lambda parts: parts.update(
        {
            "xl/workbook.xml": re.sub(rb"<sheet .*?/>", lambda found: found[0] * 300, parts["xl/workbook.xml"]),
            SHEET: raw_sheet(HEADER, *ROWS),
        }
    ),
    "twenty thousand sheets": lambda parts: parts.update(
        {"xl/workbook.xml": re.sub(rb"<sheet .*?/>", lambda found: found[0] * 20_000, parts["xl/workbook.xml"])}
    ),
    "300 sheets": lambda parts: parts.update(
        {"xl/workbook.xml": re.sub(rb"<sheet .*?/>", lambda found: found[0] * 300, parts["xl/workbook.xml"])}
    ),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_small_hostile_file_takes_little_time_and_memory(tmp_path: Path, shop: Contract, change: Any) -> None:
    rows = change if isinstance(change, str) else "".join(ROWS)
    path = raw_workbook(tmp_path / "hostile.xlsx", HEADER, *ROWS[:2], rows, strings=shared_strings("A"))
    if callable(change):
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        change(parts)
        zipped(path, parts)
    started = time.monotonic()

    done = in_its_own_process(path)

    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.startswith(("rows", "refused hostile.xlsx"))
    megabytes = int(done.stdout.rpartition(" ")[2])
    assert megabytes <= 300, done.stdout[:300]
    # A generous limit, so that a busy machine does not fail: without the checks, these took half a minute and more.
    assert time.monotonic() - started < 60


def open_files() -> set[tuple[int, str]]:
    """The number and the path of each open file."""
    return {(file.fd, file.path) for file in psutil.Process().open_files()}


def test_refused_workbooks_leave_no_file_open(tmp_path: Path, shop: Contract) -> None:
    whole = shared_strings("A", "B")
    damaged = [whole[:-20], whole.replace("</t>", "", 1), f"{whole}<x/>"]
    paths = [
        raw_workbook(tmp_path / f"{n}.xlsx", HEADER, row(2, shared("A2", 1)), strings=strings)
        for n, strings in enumerate(damaged)
    ]
    paths.append(raw_workbook(tmp_path / "twice.xlsx", HEADER, row(2, number("A2", 1), number("A2", 1))))
    refusal(paths[0], shop)  # opens what stays open for the whole process
    files, threads = open_files(), {*threading.enumerate()}

    for path in paths:
        with pytest.raises(WorkbookError):
            open_workbook(path, shop)

    # Those of other tests may end meanwhile.
    assert open_files() - files == set()
    assert {*threading.enumerate()} - threads == set()


def test_a_declared_count_of_billions_of_shared_strings_is_ignored(tmp_path: Path, shop: Contract) -> None:
    strings = shared_strings("A", count=99_999_999_999)
    path = raw_workbook(tmp_path / "bomb.xlsx", HEADER, row(2, shared("A2", 0)), strings=strings)

    assert in_its_own_process(path).returncode == 0


@pytest.mark.parametrize("empty", ["<sheetData/>", "<sheetData />", "<sheetData></sheetData>"])
def test_a_sheet_without_rows_is_refused(tmp_path: Path, shop: Contract, empty: str) -> None:
    sheet = f'<worksheet xmlns="{MAIN}">{empty}</worksheet>'

    error = refusal(raw_workbook(tmp_path / "sales.xlsx", sheet=sheet), shop)

    assert isinstance(error, SheetError)
    assert "sheet 'Sales' is empty" in str(error)


def test_a_workbook_with_only_charts_is_refused(tmp_path: Path, shop: Contract) -> None:
    workbook = openpyxl.Workbook()
    workbook.create_chartsheet("Chart")
    del workbook["Sheet"]
    workbook.save(tmp_path / "charts.xlsx")

    assert "no worksheet" in str(refusal(tmp_path / "charts.xlsx", shop))


FITS = (("Code", "Price"), ("A", 1))


def test_of_several_sheets_the_one_that_fits_is_read(tmp_path: Path, shop: Contract) -> None:
    path = book(tmp_path / "sales.xlsx", Notes=[("Read me",)], Sales=FITS, Blank=[])

    assert read(path, shop).layout.sheet == "Sales"


def test_several_sheets_that_fit_are_listed(tmp_path: Path, shop: Contract) -> None:
    error = refusal(book(tmp_path / "sales.xlsx", Notes=[("Read me",)], May=FITS, June=FITS), shop)

    assert isinstance(error, SheetError)
    assert "'May', 'June'" in str(error)
    assert "Notes" not in str(error)


def test_if_no_sheet_fits_the_error_lists_the_reason_for_each(tmp_path: Path, shop: Contract) -> None:
    path = book(tmp_path / "sales.xlsx", May=[("Code", "Cost")], June=[("Kode", "Price")], July=[])

    lines = str(refusal(path, shop)).splitlines()

    assert "sheet 'May'" in lines[1]
    assert "column 'Price' is missing" in lines[1]
    assert "sheet 'June'" in lines[2]
    assert "similar header: 'Kode'" in lines[2]
    assert "sheet 'July' is empty" in lines[3]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_is_read_only_if_no_visible_one_fits(tmp_path: Path, shop: Contract, state: str) -> None:
    def with_hidden(visible: Sequence[Sequence[Any]]) -> Path:
        workbook = openpyxl.load_workbook(book(tmp_path / "sales.xlsx", Hidden=FITS, Visible=visible))
        workbook["Hidden"].sheet_state = state
        workbook.save(tmp_path / "sales.xlsx")
        return tmp_path / "sales.xlsx"

    assert read(with_hidden(FITS), shop).layout.sheet == "Visible"
    assert read(with_hidden([("Read me",)]), shop).layout.sheet == "Hidden"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (("Code",), "column 'Price' is missing"),
        (("Code", "Prise"), "column 'Price' is missing (similar header: 'Prise')"),
        (("Code", "Unit  Price"), "column 'Price' is missing (similar header: 'Unit  Price')"),
        (
            ("Kode", "Prices"),
            "column 'Code' is missing (similar header: 'Kode'); column 'Price' is missing (similar header: 'Prices')",
        ),
        (("Code", "Weather"), "column 'Price' is missing"),
        (("Code", "Price", "price "), "column 'Price' occurs twice, in B1 and C1"),
        (("A", 1), "row 1"),
    ],
)
def test_a_wrong_header_row_is_refused(
    tmp_path: Path, shop: Contract, header: tuple[object, ...], expected: str
) -> None:
    error = refusal(book(tmp_path / "sales.xlsx", Sales=[header, ("A", 1)]), shop)

    assert isinstance(error, SheetError)
    assert "sales.xlsx, sheet 'Sales', row 1: " in str(error)
    assert expected in str(error)


@pytest.mark.parametrize(
    ("wanted", "header", "is_similar"),
    [
        ("Country", "Amount", False),
        ("Quantity", "Country", False),
        ("Description", "Dept", False),
        ("Country", "Cty", True),
        ("Country", "Contry", True),
        ("Quantity", "Qty", True),
        ("Qty", "Quantity", True),
        ("Description", "Desc.", True),
        ("InvoiceNo", "INVOICE_NO", True),
        ("InvoiceNo", "Inv No", True),
        ("UnitPrice", "Price", True),
        ("Customer", "#", False),
    ],
)
def test_a_header_is_similar_if_it_is_a_typo_or_an_abbreviation(
    tmp_path: Path, wanted: str, header: str, is_similar: bool
) -> None:
    contract = contract_of(tmp_path, {"header": "Code", "type": "string"}, {"header": wanted, "type": "string"})

    message = str(refusal(book(tmp_path / "sales.xlsx", Sales=[("Code", header)]), contract))

    assert f"column {wanted!r} is missing" in message
    assert (f"(similar header: {header!r})" in message) == is_similar


def test_a_sheet_without_any_column_of_the_contract_does_not_fit_it(tmp_path: Path, shop: Contract) -> None:
    error = refusal(book(tmp_path / "sales.xlsx", Sales=[("Order", "Amount", "When")]), shop)
    message = str(error)
    (tmp_path / "sales.csv").write_text("Order,Amount\n1,2\n", encoding="utf-8")

    assert message.startswith("sales.xlsx, sheet 'Sales', row 1: the sheet does not fit contract 'shop': column 'Code'")
    assert "choose another contract with --contract" in error.hint
    assert "the cells of this row are 'Order', 'Amount', 'When'" in message
    assert "sales.csv, row 1: the file does not fit contract 'shop': " in str(refusal(tmp_path / "sales.csv", shop))


def test_the_name_in_messages_can_be_chosen(tmp_path: Path, shop: Contract) -> None:
    (tmp_path / "snapshot").write_bytes(b"")

    with pytest.raises(WorkbookError, match=r"input/sales\.xlsx is empty"):
        open_workbook(tmp_path / "snapshot", shop, "input/sales.xlsx")
