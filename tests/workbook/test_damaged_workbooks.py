"""Workbooks with changed bytes: damage is always detected."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retailpipe.contract import Contract
from retailpipe.errors import RetailpipeError, WorkbookError
from tests.support.workbooks import (
    Reading,
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
)

HEADER = row(1, text("A1", "Code"), text("B1", "Price"))
ROWS = tuple(row(n, text(f"A{n}", f"code {n}"), number(f"B{n}", n / 8)) for n in range(2, 40))
COLUMNS = ({"header": "Code", "type": "string"}, {"header": "Price", "type": "decimal128(38, 18)"})


@pytest.fixture
def shop(tmp_path: Path) -> Contract:
    return contract_of(tmp_path, *COLUMNS)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    return raw_workbook(folder / "good.xlsx", HEADER, *ROWS, strings=shared_strings("A", "B"))


def outcome(good: Path, name: str, content: bytes) -> Reading | RetailpipeError:
    """Read a changed copy of a good workbook; return its rows, or the error."""
    path = good.with_name(name)
    path.write_bytes(content)
    try:
        return read(path, contract_of(good.parent, *COLUMNS))
    except RetailpipeError as error:
        return error


def test_a_file_truncated_anywhere_is_refused(good: Path) -> None:
    content = good.read_bytes()

    for length in range(0, len(content), 7):
        found = outcome(good, "cut.xlsx", content[:length])
        assert isinstance(found, WorkbookError), length
        assert "cut.xlsx" in str(found)
        assert found.hint


@given(st.data())
@settings(max_examples=250)
def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))

    found = outcome(good, "flipped.xlsx", bytes(content))

    assert isinstance(found, WorkbookError) or found.rows == outcome(good, "copy.xlsx", good.read_bytes()).rows


@pytest.mark.parametrize("field", ["the version needed to read it", "flags: encrypted"])
def test_a_wrong_entry_in_the_zip_directory_is_refused(good: Path, field: str) -> None:
    content = bytearray(good.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"xl/worksheets/sheet1.xml"))
    if field.startswith("the version"):
        content[entry + 6] = 200
    else:
        content[entry + 8] |= 1

    assert isinstance(outcome(good, "wrong.xlsx", bytes(content)), WorkbookError)


@pytest.mark.parametrize("part", ["worksheets/sheet1.xml", "sales.xml"])
def test_a_changed_byte_in_the_rows_is_detected(tmp_path: Path, shop: Contract, part: str) -> None:
    path = raw_workbook(tmp_path / "sales.xlsx", HEADER, *ROWS, sheet_part=part, stored=True)
    path.write_bytes(path.read_bytes().replace(b"<v>2.5</v>", b"<v>7.5</v>"))

    refusal(path, shop)


@pytest.mark.parametrize(
    ("part", "before", "after"),
    [("workbook", b'date1904="0"', b'date1904="1"'), ("styles", b'numFmtId="22"', b'numFmtId="02"')],
)
def test_a_changed_byte_outside_the_rows_is_detected(
    tmp_path: Path, shop: Contract, part: str, before: bytes, after: bytes
) -> None:
    properties = '<workbookPr date1904="0"/>'
    path = raw_workbook(tmp_path / f"{part}.xlsx", HEADER, *ROWS, properties=properties, stored=True)
    path.write_bytes(path.read_bytes().replace(before, after))

    refusal(path, shop)


@pytest.mark.parametrize("end", ["", "</row>", "</row><row r='4'><c r='A4'", "</row><row"])
@pytest.mark.parametrize("prefix", ["", "x:"])
@pytest.mark.parametrize("part", ["worksheets/sheet1.xml", "sales.xml"])
def test_an_incomplete_sheet_is_refused(tmp_path: Path, shop: Contract, end: str, prefix: str, part: str) -> None:
    whole = sheet_xml([HEADER, row(2, text("A2", "A")), row(3, text("A3", "B"))])
    sheet = whole[: whole.rindex("</row>")] + end
    if prefix:
        sheet = sheet.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")

    refusal(raw_workbook(tmp_path / "sales.xlsx", sheet=sheet, sheet_part=part), shop)


@pytest.mark.parametrize("strings", [None, "", shared_strings("A"), shared_strings("A", "B")[:-20]])
def test_missing_or_incomplete_shared_strings_are_refused(tmp_path: Path, shop: Contract, strings: str | None) -> None:
    refusal(raw_workbook(tmp_path / "sales.xlsx", HEADER, row(2, shared("A2", 1)), strings=strings), shop)
