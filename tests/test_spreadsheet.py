"""The workbook of a query: openpyxl reads the same values from it, and its XML says which are text."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from python_calamine import CalamineWorkbook

from retailpipe.errors import UsageError
from retailpipe.spreadsheet import MAX_ROWS, spreadsheet


def cell_of(value: Any, kind: pa.DataType | None = None) -> Any:
    """The openpyxl cell of a table with one value."""
    table = pa.table({"a": pa.array([value], kind)})
    return openpyxl.load_workbook(io.BytesIO(spreadsheet(table))).active["A2"]


def text_of(value: str) -> Any:
    """A text as calamine, which decodes `_x000D_` as Excel does, reads it."""
    content = spreadsheet(pa.table({"a": [value]}))
    return CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()[1][0]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (42, pa.int64(), 42),
        (-(10**14), pa.int64(), -(10**14)),
        (0.1, pa.float64(), 0.1),
        (1e300, pa.float64(), 1e300),
        (Decimal("9.95"), pa.decimal128(38, 2), 9.95),
        (Decimal("0.000"), pa.decimal128(38, 3), 0),
        (Decimal("-1234567890.12345"), pa.decimal128(38, 5), -1234567890.12345),
        (Decimal("10000000000000000000.00"), pa.decimal128(38, 2), 1e19),
        (date(2024, 2, 29), pa.date32(), datetime(2024, 2, 29)),
        (date(1900, 1, 1), pa.date32(), datetime(1900, 1, 1)),
        (datetime(2024, 1, 1, 10, 11, 12, 345000), pa.timestamp("us"), datetime(2024, 1, 1, 10, 11, 12, 345000)),
        (datetime(9999, 12, 31), pa.timestamp("us"), datetime(9999, 12, 31)),
        (datetime(2024, 1, 1, tzinfo=UTC), pa.timestamp("us", tz="America/Lima"), datetime(2024, 1, 1)),
        (time(10, 11, 12), pa.time64("us"), time(10, 11, 12)),
        (True, pa.bool_(), True),
        (None, pa.int64(), None),
    ],
)
def test_numbers_dates_and_booleans_are_those_of_excel(value: Any, kind: pa.DataType, expected: Any) -> None:
    cell = cell_of(value, kind)

    assert cell.value == expected
    assert cell.data_type == {datetime: "d", time: "d", bool: "b"}.get(type(expected), "n")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1234567890123456, "1234567890123456"),
        (Decimal("12345678901234567.89"), "12345678901234567.89"),
        (Decimal("0.1234567890123456"), "0.1234567890123456"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (date(1899, 12, 31), "1899-12-31"),
        (datetime(1066, 10, 14, 9, 0), "1066-10-14 09:00:00"),
        (b"\x00\xff", "\\x00ff"),
        ([1, None], "[1, null]"),
        ({"a": Decimal("1.50")}, '{"a": "1.50"}'),
        (timedelta(hours=1), "1:00:00"),
    ],
)
def test_what_excel_cannot_hold_is_exact_text(value: Any, expected: str) -> None:
    cell = cell_of(value)

    assert (cell.value, cell.data_type) == (expected, "s")


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@A1",
        "=cmd|'/c calc'!A1",
        "{=1}",
        "http://a.b",
        "mailto:a@b",
        "internal:Sheet1!A1",
        "123",
        " x ",
        "é😀",
    ],
)
def test_a_text_stays_a_text(text: str) -> None:
    content = spreadsheet(pa.table({"a": [text]}))

    sheet = zipfile.ZipFile(io.BytesIO(content)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    cell = openpyxl.load_workbook(io.BytesIO(content)).active["A2"]
    assert (cell.value, cell.data_type) == (text, "s")
    assert cell.quotePrefix is (text[0] in "=+-@")


@pytest.mark.parametrize("text", ["a\x01b\x1f", "\r\n", "_x0041_", "tab\tand\nline", "<&>\"'", "\x7f\x85"])
def test_control_characters_keep_the_file_valid_and_the_text_unchanged(text: str) -> None:
    assert text_of(text) == text


def test_characters_that_xml_forbids_keep_the_file_valid() -> None:
    assert text_of("\ufffe\uffff") == "_xFFFE__xFFFF_"


def test_the_header_is_bold_and_columns_may_have_the_same_name() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["=n", "=n"])

    header, values = openpyxl.load_workbook(io.BytesIO(spreadsheet(table))).active.iter_rows()

    assert [(cell.value, cell.font.b, cell.data_type) for cell in header] == [("=n", True, "s")] * 2
    assert [cell.value for cell in values] == [1, 2]


def test_a_date_is_not_shown_as_number_signs() -> None:
    table = pa.table({"d": [date(2024, 1, 1)], "t": [datetime(2024, 1, 1, 1)]})

    sheet = openpyxl.load_workbook(io.BytesIO(spreadsheet(table))).active

    assert sheet.column_dimensions["A"].width > len("2024-01-01")
    assert sheet.column_dimensions["B"].width > len("2024-01-01 01:00:00")


def test_no_rows_are_a_header() -> None:
    sheet = openpyxl.load_workbook(io.BytesIO(spreadsheet(pa.table({"a": pa.array([], pa.int64())})))).active

    assert [[cell.value for cell in row] for row in sheet.iter_rows()] == [["a"]]


def test_more_rows_than_a_sheet_holds_are_an_error_before_anything_is_written() -> None:
    table = pa.table({"a": pa.nulls(MAX_ROWS + 1, pa.int8())})

    with pytest.raises(UsageError, match=r"1,048,576 rows.*1,048,575") as caught:
        spreadsheet(table)

    assert "--format csv" in caught.value.hint


@pytest.mark.parametrize(("text", "fits"), [("x" * 32_767, True), ("x" * 32_768, False), ("😀" * 16_384, False)])
def test_a_text_that_is_too_long_for_a_cell_is_an_error_with_its_place(text: str, fits: bool) -> None:
    table = pa.table({"n": [1, 2], "remark": ["a", text]})

    if fits:
        assert spreadsheet(table)
    else:
        with pytest.raises(UsageError, match="row 2 of column remark"):
            spreadsheet(table)


def test_time_zones_are_converted_to_utc() -> None:
    moment = datetime(2024, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert cell_of(moment, pa.timestamp("us", tz="Asia/Kolkata")).value == datetime(2023, 12, 31, 19, 0)


def test_an_error_leaves_no_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, because Python remembers the folder of temporary files."""
    code = (
        "import pyarrow as pa\nfrom retailpipe.spreadsheet import spreadsheet\n"
        "try:\n    spreadsheet(pa.table({'a': ['x' * 40_000]}))\nexcept Exception as error:\n    print(error)"
    )
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)

    assert "40,000 characters" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []
