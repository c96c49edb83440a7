"""The second reader agrees with the first on unusual workbooks, and refuses what it cannot or must not read."""

from __future__ import annotations

import random
import zipfile
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from retailpipe import Contract, WorkbookError
from retailpipe.certifying.cells import index_of, kept_cell, plain
from retailpipe.certifying.comparison import Comparer, Comparison
from retailpipe.certifying.layout import opened_tables
from retailpipe.certifying.stored import RejectedRow, StoredRow
from retailpipe.progress import NoProgress
from tests.support.workbooks import (
    CONTENT_TYPES,
    DATE_STYLE,
    MAIN,
    contract_of,
    number,
    raw_workbook,
    read,
    row,
    shared,
    sheet_xml,
    text,
    zipped,
)

SPREADSHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
OVERRIDES = f"""<Override PartName="/xl/workbook.xml" ContentType="{SPREADSHEET}.sheet.main+xml"/>
<Override PartName="/xl/sharedStrings.xml" ContentType="{SPREADSHEET}.sharedStrings+xml"/></Types>"""
STRINGS = f"""<sst xmlns="{MAIN}"><si><t> a </t></si><si><t xml:space="preserve"> b </t></si>
<si><t>_x0041__xD83D__xDE00_ _x005F_x0042_ _xD83D_</t></si>
<si><r><t>c</t></r><r><rPr/><t xml:space="preserve"> d</t></r>
<rPh sb="0" eb="1"><t>hint</t></rPh></si><si><t></t></si><si><t>x005F_ stays</t></si></sst>"""


def book(path: Path, *rows: str, sheet: str | None = None) -> Path:
    """Write a workbook from raw XML that names the types of its parts, as openpyxl needs it."""
    raw_workbook(path, *rows, sheet=sheet, strings=STRINGS)
    with zipfile.ZipFile(path) as archive:
        parts: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    return zipped(path, {**parts, "[Content_Types].xml": CONTENT_TYPES.replace("</Types>", OVERRIDES)})


def contract(folder: Path, **keys: object) -> Contract:
    return contract_of(
        folder,
        {"header": "Text", "type": "string", "max_length": 30},
        {"header": "Whole", "type": "int64"},
        {"header": "Price", "type": "decimal128(38, 18)", "minimum": -1000, "maximum": 10**18},
        {"header": "At", "type": "timestamp[us]", "formats": ["%d.%m.%Y"]},
        {"header": "Day", "type": "date32", "required": True, "formats": ["%d.%m.%Y"]},
        **keys,
    )


def compared(path: Path, used: Contract) -> Comparison:
    """Read a workbook with both readers, and compare their rows as `certify` does.

    The cells of rejected rows are also passed as their own corrections, as the quarantine keeps them.
    """
    first = read(path, used)
    stored = [StoredRow(first.layout.sheet, each["source_row"], values(each, used)) for each in first.rows]
    rejected = [
        RejectedRow(
            each.sheet,
            each.source_row,
            each.cell,
            each.column_name,
            each.raw_value.replace("\0", "\u2400"),
            {header: cell.replace("\0", "\u2400") for header, cell in each.raw_row.items()},
            corrected_by=None,
            corrections={index_of(letters): kept_cell(*pair) for letters, pair in cells.items()},
        )
        for each, cells in zip(first.rejects, first.rejected_cells, strict=True)
    ]
    with opened_tables(path, path.name, used) as tables:
        return Comparer(path.name, tables, NoProgress()).compare(iter(stored), iter(rejected))


def values(found: dict[str, object], used: Contract) -> tuple[str | None, ...]:
    return tuple(canonical(found[column.name]) for column in used.columns)


def canonical(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return plain(value)
    return None if value is None else str(value)


HEADERS = {"A1": "Text", "B1": "Whole", "C1": "Price", "D1": "At", "E1": "Day"}
HEADER = row(1, *(text(address, name) for address, name in HEADERS.items()))
DAY = number("E2", 45_000, style=DATE_STYLE)

CELLS = {
    "shared text, trimmed": shared("A2", 0),
    "shared text, preserved": shared("A2", 1),
    "escapes": shared("A2", 2),
    "runs": shared("A2", 3),
    "empty text": shared("A2", 4),
    "not an escape": shared("A2", 5),
    "inline text": text("A2", " x "),
    "text of a formula": '<c r="A2" t="str"><f>B2</f><v> y </v></c>',
    "formula without a value": '<c r="A2"><f>B2</f></c>',
    "formula with an empty text": '<c r="A2" t="str"><f>B2</f><v></v></c>',
    "error": '<c r="A2" t="e"><v>#N/A</v></c>',
    "boolean as text": '<c r="A2" t="b"><v>1</v></c>',
    "boolean as number": '<c r="B2" t="b"><v>0</v></c>',
    "number as text": number("A2", "1E3"),
    "tiny number as text": number("A2", "1E-7"),
    "long number as text": number("A2", "12345678901234567890"),
    "rounded number as text": number("A2", "1.2345678901234568E+19"),
    "date as text": number("A2", 45_000, style=DATE_STYLE),
    "time as text": number("A2", 0.25, style=DATE_STYLE),
    "date and time as text": number("A2", 45_000.123456, style=DATE_STYLE),
    "negative date as text": number("A2", -1.5, style=DATE_STYLE),
    "too long": text("A2", "z" * 31),
    "NUL": text("A2", "a_x0000_b"),
    "line feed": text("A2", "a\nb"),
    "whole number": number("B2", "-12"),
    "whole number with zeros": number("B2", "12.000"),
    "long whole number": number("B2", "9223372036854775807"),
    "too long whole number": number("B2", "9223372036854775808"),
    "fraction": number("B2", "0.5"),
    "whole text": text("B2", " +12 "),
    "text": text("B2", "twelve"),
    "blanks": text("B2", "  "),
    "price": number("C2", "2.5499999999999998"),
    "exponent": number("C2", "1.5E-10"),
    "too many decimals": number("C2", "1E-19"),
    "text price": text("C2", "-.5"),
    "below": number("C2", "-1000.1"),
    "not a number": number("C2", "NaN"),
    "too large for a double": number("C2", "1E999"),
    "digits of another script": number("C2", "٣"),
    "very many digits": number("C2", "9" * 400),
    "moment": number("D2", "45000.75", style=DATE_STYLE),
    "moment as number": number("D2", "45000.75"),
    "moment as text": text("D2", "01.02.2024"),
    "moment in ISO": '<c r="D2" t="d"><v>2024-02-01T10:11:12.123456Z</v></c>',
    "day in ISO": '<c r="D2" t="d"><v>2024-02-01</v></c>',
    "time only": number("D2", "0.5", style=DATE_STYLE),
    "before 1900-03-01": number("D2", "59", style=DATE_STYLE),
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_both_readers_agree_on_a_cell(tmp_path: Path, cell: str) -> None:
    found = compared(book(tmp_path / "odd.xlsx", HEADER, row(2, cell, DAY)), contract(tmp_path))

    assert found.differences == []
    assert found.rows.in_workbook == 1


@pytest.mark.parametrize(
    "day",
    [number("E2", "45000.5", style=DATE_STYLE), text("E2", "31.12.2024"), text("E2", "x"), "", text("E2", " ")],
    ids=["with a time", "text", "no date", "blank", "blanks"],
)
def test_both_readers_agree_on_a_day(tmp_path: Path, day: str) -> None:
    found = compared(book(tmp_path / "odd.xlsx", HEADER, row(2, text("A2", "a"), day)), contract(tmp_path))

    assert found.differences == []


@pytest.mark.parametrize("seed", range(3))
def test_both_readers_agree_on_random_rows(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    used = contract(tmp_path, skip_footer=1)
    rows = [HEADER]
    for index in range(2, 400):
        cells = chance.choices([*CELLS.values(), DAY, DAY, DAY], k=chance.randint(0, 5))
        by_letter = {each.split('r="')[1][0]: each.replace('2"', f'{index}"', 1) for each in cells}
        rows.append(row(index, *(by_letter[letter] for letter in sorted(by_letter))))
    rows += [row(400, text("A400", "end"), DAY.replace("E2", "E400")), row(401, text("A401", "a footer"))]

    found = compared(book(tmp_path / "random.xlsx", *rows), used)

    assert found.differences == []
    assert found.rows.in_bronze > 20


def test_rows_and_cells_without_addresses_follow_each_other(tmp_path: Path) -> None:
    rows = ["<row><c t='inlineStr'><is><t>Text</t></is></c></row>", "<row><c><v>7</v></c></row>"]
    used = contract_of(tmp_path, {"header": "Text", "type": "string"})

    assert compared(book(tmp_path / "odd.xlsx", *rows), used).differences == []


def test_row_in_several_elements_is_one_row(tmp_path: Path) -> None:
    rows = [HEADER, row(2, text("A2", "x")), row(2, DAY)]

    found = compared(book(tmp_path / "odd.xlsx", *rows), contract(tmp_path))

    assert (found.differences, found.rows.in_workbook) == ([], 1)


def test_text_keeps_its_blanks_if_the_sheet_says_so(tmp_path: Path) -> None:
    cell = '<c r="A2" t="inlineStr"><is><t> x </t></is></c>'
    xml = sheet_xml([HEADER, row(2, cell, DAY)]).replace("<sheetData>", '<sheetData xml:space="preserve">')

    assert compared(book(tmp_path / "odd.xlsx", sheet=xml), contract(tmp_path)).differences == []


def refusal(path: Path, used: Contract) -> str:
    """Read a workbook that the second reader must refuse; return the reason."""
    with pytest.raises(WorkbookError) as caught, opened_tables(path, path.name, used) as tables:
        list(tables[0].rows())
    assert caught.value.hint
    return str(caught.value)


def test_rows_that_are_not_in_order_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", HEADER, row(3, DAY.replace("E2", "E3")), row(2, DAY))

    assert "its rows are not in order: row 2 comes after row 3" in refusal(path, contract(tmp_path))


def test_cell_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", HEADER, row(2, DAY, DAY))

    assert "cell E2 occurs twice" in refusal(path, contract(tmp_path))


@pytest.mark.parametrize("name", ["sheet1.xml", "sheet1.bin"])
def test_entities_are_refused_before_openpyxl_sees_them(tmp_path: Path, name: str) -> None:
    bomb = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(9))
    xml = f"<!DOCTYPE worksheet [{bomb}]>" + sheet_xml([HEADER, row(2, text("A2", "&e8;"))]).replace("&amp;", "&")
    path, renamed = book(tmp_path / "bomb.xlsx", sheet=xml), tmp_path / "renamed.xlsx"
    with zipfile.ZipFile(path) as parts, zipfile.ZipFile(renamed, "w") as written:
        for part in parts.namelist():
            written.writestr(part.replace("sheet1.xml", name), parts.read(part).replace(b"sheet1.xml", name.encode()))

    reason = refusal(renamed, contract(tmp_path))

    assert f"xl/worksheets/{name} has a document type declaration (DTD)" in reason


def test_part_that_unpacks_to_many_times_its_size_is_refused(tmp_path: Path) -> None:
    xml = sheet_xml([HEADER, row(2, DAY)]) + " " * (16 << 20)

    reason = refusal(book(tmp_path / "bomb.xlsx", sheet=xml), contract(tmp_path))

    assert "xl/worksheets/sheet1.xml would unpack to 16," in reason


def test_row_with_too_many_elements_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", HEADER, row(2, DAY, "<c/>" * (1 << 18)))

    assert "a row or a text has more than 262,144 XML elements" in refusal(path, contract(tmp_path))


@pytest.mark.parametrize("index", ["-1", "6", "1_0", "x"])
def test_wrong_index_of_a_shared_string_is_refused(tmp_path: Path, index: str) -> None:
    path = book(tmp_path / "odd.xlsx", HEADER, row(2, f'<c r="A2" t="s"><v>{index}</v></c>', DAY))

    assert "cannot be read by openpyxl, the second reader" in refusal(path, contract(tmp_path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_parts_of_the_same_name_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", HEADER, row(2, DAY))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("XL/worksheets/sheet1.xml", sheet_xml([HEADER]))

    assert "two of its parts have the same name" in refusal(path, contract(tmp_path))


def test_file_that_is_no_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.xlsx"
    path.write_bytes(b"PK\x03\x04 no zip")

    assert "odd.xlsx cannot be certified: it cannot be unpacked" in refusal(path, contract(tmp_path))


def test_damaged_sheet_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", sheet=sheet_xml([HEADER, row(2, DAY)]).replace("</row>", "", 1))

    assert "cannot be read by openpyxl, the second reader: mismatched tag" in refusal(path, contract(tmp_path))


def test_header_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "odd.xlsx", row(1, text("A1", "Other")), row(2, DAY))

    assert "the headers of no sheet fit the contract, as the second reader sees it" in refusal(path, contract(tmp_path))


CSV = [
    "Text;Whole;Price;At;Day\n a ;12;1.5;01.02.2024;02.02.2024\n",
    'sep=,\nText,Whole,Price,At,Day\n"x, ""y""\nz",12,,,02.02.2024\n\n,,,,\nb,x,2,,02.02.2024\n',
    "\ufeffText\tWhole\tPrice\tAt\tDay\tMore\r\na\t1\t2\t\t02.02.2024\tm\r\n",
    "\n\nText|Whole|Price|At|Day\nonly;text|1e3|2|3|02.02.2024\n",
]


@pytest.mark.parametrize("content", CSV, ids=["semicolon", "directive", "tab and mark", "blank lines"])
def test_both_readers_agree_on_csv(tmp_path: Path, content: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content.encode())

    found = compared(path, contract(tmp_path))

    assert found.differences == []
    assert found.rows.in_workbook > 0


NOT_CLOSED = ['1,"x\n2,y\n', '1,x\n2,"y', '1,"x\n2,"y"\n']
"""Rows of which one has an open quote in its last column."""


@pytest.mark.parametrize("rows", NOT_CLOSED, ids=["rows below", "the last row", "a quoted row below"])
def test_a_quote_that_is_not_closed_is_refused(tmp_path: Path, rows: str) -> None:
    used = contract_of(tmp_path, {"header": "a", "type": "int64"}, {"header": "b", "type": "string"})
    path = tmp_path / "odd.csv"
    path.write_text(f"a,b\n{rows}")

    row = 3 if rows == NOT_CLOSED[1] else 2
    assert refusal(path, used) == f"odd.csv, row {row}: one of its quotes is not closed"


def test_a_title_with_a_line_break_does_not_look_like_an_open_quote(tmp_path: Path) -> None:
    """With a comma as the delimiter, text follows the closing quote."""
    used = contract_of(tmp_path, {"header": "a", "type": "int64"}, {"header": "b", "type": "string"}, header_row=2)
    path = tmp_path / "odd.csv"
    path.write_text('"Sales\nof May";\na;b\n1;5" pipe\n2;"5"" pipe"\n')

    with opened_tables(path, path.name, used) as tables:
        assert [number for number, _ in tables[0].rows()] == [3, 4]
    assert read(path, used).column("b") == ['5" pipe', '5" pipe']


@pytest.mark.parametrize(
    "separators",
    [{"decimal": ","}, {"decimal": ",", "thousands": "."}, {"thousands": " "}, {"thousands": ","}, {"thousands": "'"}],
    ids=str,
)
def test_both_readers_agree_on_numbers_kept_as_text(tmp_path: Path, separators: dict[str, str]) -> None:
    texts = [
        "1,234",
        "1.234,56",
        "1 234.5",
        "1\u00a0234",
        "1'234",
        "12,34,567",
        "1234,5",
        "+1.",
        ".5",
        "-",
        "1,",
        "1e3",
    ]
    texts += ["0" * 41, "1234,567", "1,234.5", "٣", "1_000", "- 1", "", "  7 "]
    used = contract_of(
        tmp_path, {"header": "Text", "type": "string"}, {"header": "N", "type": "decimal128(38, 6)", **separators}
    )
    rows = [row(n, text(f"A{n}", "x"), text(f"B{n}", each)) for n, each in enumerate(texts, 2)]

    found = compared(book(tmp_path / "n.xlsx", row(1, text("A1", "Text"), text("B1", "N")), *rows), used)

    assert found.differences == []
    assert found.rows.in_quarantine > 0
