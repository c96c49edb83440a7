"""What is no workbook, or not the right one: each is refused with a name, a place and a next step."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from retailpipe.contract import Contract
from retailpipe.errors import SheetError, WorkbookError
from retailpipe.workbook.reader import open_sheet
from tests.workbooks import (
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
    """Reads a workbook in a process that may take 1 GB of addresses: what aborts there would abort the user's."""
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from pathlib import Path
from retailpipe.contract import Contract
from retailpipe.errors import WorkbookError
from retailpipe.workbook.reader import open_sheet
try:
    sheet = open_sheet(Path(sys.argv[1]), Contract.from_file(sys.argv[2]))
    print("rows", sum(len(piece.numbers) for piece in sheet.pieces()))
except WorkbookError as error:
    print("refused", error, "| hint:", error.hint)
"""
    command = [sys.executable, "-c", code, str(path), str(path.parent / "shop.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_file_that_is_not_there(tmp_path: Path, shop: Contract) -> None:
    assert "No such file" in str(refusal(tmp_path / "gone.xlsx", shop))


def test_a_folder(tmp_path: Path, shop: Contract) -> None:
    (tmp_path / "folder.xlsx").mkdir()

    assert "is a folder" in str(refusal(tmp_path / "folder.xlsx", shop))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"Code,Price\nA,2.55\n", "not an xlsx workbook"),
        (b"\xef\xbb\xbfCode;Price\r\n", "not an xlsx workbook"),
        (b"<html><table><tr><td>Code</td></tr></table></html>", "not an xlsx workbook"),
        (b"P", "not an xlsx workbook"),
        (b"PK", "damaged or cut short"),
        (b"PK\x03\x04" + bytes(100), "damaged or cut short"),
        (bytes(1_000), "not an xlsx workbook"),
        (OLE2 + bytes(504) + "Workbook".encode("utf-16-le"), ".xls"),
        (OLE2 + bytes(4_000) + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, shop: Contract, content: bytes, said: str) -> None:
    path = tmp_path / "sales.xlsx"
    path.write_bytes(content)

    assert said in str(refusal(path, shop))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"[Content_Types].xml": CONTENT_TYPES, "xl/workbook.bin": b"\x83\x01\x00"}, ".xlsb"),
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "content.xml": "<a/>"}, ".ods"),
        ({"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": "<a/>"}, "no xlsx workbook"),
        ({"sales.csv": "Code,Price\n"}, "no xlsx workbook"),
        ({}, "no xlsx workbook"),
        ({"[Content_Types].xml": CONTENT_TYPES, "xl/styles.xml": "<a/>"}, "cannot be read"),
    ],
)
def test_a_zip_that_is_something_else(tmp_path: Path, shop: Contract, parts: dict[str, bytes], said: str) -> None:
    assert said in str(refusal(zipped(tmp_path / "sales.xlsx", parts), shop))


def test_a_zip_protected_by_a_password(tmp_path: Path, shop: Contract) -> None:
    content = bytearray(raw_workbook(tmp_path / "sales.xlsx", HEADER, *ROWS).read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(magic)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(magic, place + 4)
    (tmp_path / "sales.xlsx").write_bytes(content)

    refusal(tmp_path / "sales.xlsx", shop)


def test_a_sheet_that_claims_gigabytes(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "bomb.xlsx", HEADER, *ROWS)
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    claimed = path.read_bytes().replace(size.to_bytes(4, "little"), (3 << 30).to_bytes(4, "little"))
    path.write_bytes(claimed)

    assert "xl/worksheets/sheet1.xml claims 3,221,225,472 bytes" in str(refusal(path, shop))


def spaces(path: Path, megabytes: int, part: str = "xl/worksheets/sheet1.xml") -> Path:
    raw_workbook(path, HEADER, sheet_part="worksheets/other.xml")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, archive.open(part, "w") as stream:
        for _ in range(megabytes):
            stream.write(b" " * (1 << 20))
    return path


@pytest.mark.parametrize("part", ["xl/worksheets/sheet1.xml", "xl/sharedStrings.xml", "xl/media/image1.png"])
def test_a_part_that_is_three_hundred_megabytes_of_nothing(tmp_path: Path, shop: Contract, part: str) -> None:
    path = spaces(tmp_path / "bomb.xlsx", 300, part)

    assert path.stat().st_size < 400_000
    assert f"{part} claims 314,572,800 bytes" in str(refusal(path, shop))


def test_a_part_that_claims_less_than_it_has(tmp_path: Path, shop: Contract) -> None:
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


def test_a_cell_in_the_last_place_of_a_sheet_is_a_row_like_others(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "far.xlsx", HEADER, row(2, text("A2", "A")), row(1048576, text("XFD1048576", "oops")))

    done = in_its_own_process(path)

    assert done.stdout == "rows 2\n", done.stderr[:200]


def test_cells_in_the_last_column_take_no_more_than_others(tmp_path: Path, shop: Contract) -> None:
    rows = (row(n, number(f"B{n}", n), text(f"XFD{n}", "note")) for n in range(3, 20_000))
    path = raw_workbook(tmp_path / "wide.xlsx", HEADER, row(2, text("XFD2", "oops")), *rows)

    done = in_its_own_process(path)

    assert done.stdout == "rows 19998\n", done.stderr[:200]


def test_shared_strings_that_claim_to_be_billions(tmp_path: Path, shop: Contract) -> None:
    strings = shared_strings("A", count=99_999_999_999)
    path = raw_workbook(tmp_path / "bomb.xlsx", HEADER, row(2, shared("A2", 0)), strings=strings)

    assert in_its_own_process(path).returncode == 0


@pytest.mark.parametrize("empty", ["<sheetData/>", "<sheetData />", "<sheetData></sheetData>"])
def test_a_sheet_without_rows(tmp_path: Path, shop: Contract, empty: str) -> None:
    sheet = f'<worksheet xmlns="{MAIN}">{empty}</worksheet>'

    error = refusal(raw_workbook(tmp_path / "sales.xlsx", sheet=sheet), shop)

    assert isinstance(error, SheetError)
    assert "sheet 'Sales' is empty" in str(error)


def test_a_workbook_of_charts_alone(tmp_path: Path, shop: Contract) -> None:
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


def test_where_no_sheet_fits_each_is_told_with_its_reason(tmp_path: Path, shop: Contract) -> None:
    path = book(tmp_path / "sales.xlsx", May=[("Code", "Cost")], June=[("Kode", "Price")], July=[])

    lines = str(refusal(path, shop)).splitlines()

    assert "sheet 'May'" in lines[1]
    assert "column 'Price' is missing" in lines[1]
    assert "sheet 'June'" in lines[2]
    assert "is it 'Kode'?" in lines[2]
    assert "sheet 'July' is empty" in lines[3]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_sheet_counts_only_where_no_visible_one_fits(tmp_path: Path, shop: Contract, state: str) -> None:
    def with_hidden(visible: Sequence[Sequence[Any]]) -> Path:
        workbook = openpyxl.load_workbook(book(tmp_path / "sales.xlsx", Hidden=FITS, Visible=visible))
        workbook["Hidden"].sheet_state = state
        workbook.save(tmp_path / "sales.xlsx")
        return tmp_path / "sales.xlsx"

    assert read(with_hidden(FITS), shop).layout.sheet == "Visible"
    assert read(with_hidden([("Read me",)]), shop).layout.sheet == "Hidden"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (("Code",), "column 'Price' is missing"),
        (("Code", "Prise"), "column 'Price' is missing (is it 'Prise'?)"),
        (("Code", "Unit  Price"), "column 'Price' is missing (is it 'Unit  Price'?)"),
        (("Kode", "Prices"), "column 'Code' is missing (is it 'Kode'?); column 'Price' is missing (is it 'Prices'?)"),
        (("Code", "Weather"), "column 'Price' is missing"),
        (("Code", "Price", "price "), "column 'Price' stands twice, in B1 and C1"),
        (("A", 1), "row 1"),
    ],
)
def test_a_header_row_that_is_wrong(tmp_path: Path, shop: Contract, header: tuple[object, ...], said: str) -> None:
    error = refusal(book(tmp_path / "sales.xlsx", Sales=[header, ("A", 1)]), shop)

    assert isinstance(error, SheetError)
    assert "sales.xlsx, sheet 'Sales', row 1: " in str(error)
    assert said in str(error)


def test_the_nearest_name_is_suggested_only_where_one_is_near(tmp_path: Path, shop: Contract) -> None:
    assert "is it" not in str(refusal(book(tmp_path / "sales.xlsx", Sales=[("Code", "Weather")]), shop))


def test_the_name_that_messages_use_can_be_given(tmp_path: Path, shop: Contract) -> None:
    (tmp_path / "snapshot").write_bytes(b"")

    with pytest.raises(WorkbookError, match=r"input/sales\.xlsx is empty"):
        open_sheet(tmp_path / "snapshot", shop, "input/sales.xlsx")
