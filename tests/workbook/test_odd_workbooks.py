"""Unusual workbooks, as programs other than Excel write them: each must be read as Excel shows it.

Comments name the paragraph of ECMA-376 (part 1 unless given) that defines the case. Each workbook is read in all ways
(parsing.Way), which must return the same cells.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from retailpipe.contract import Contract
from retailpipe.workbook.package import Package
from retailpipe.workbook.parsing import Way
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots
from tests.support.workbooks import (
    DATE_STYLE,
    MAIN,
    OFFICE,
    PACKAGE,
    STYLES,
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

HEADER = row(1, text("A1", "Code"), text("B1", "Price"), text("C1", "Sold"))
STRINGS = shared_strings("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NAMED = ("Code", "Price", "Sold")


@pytest.fixture
def shop(tmp_path: Path) -> Contract:
    return contract_of(
        tmp_path,
        {"header": "Code", "type": "string"},
        {"header": "Price", "type": "decimal128(38, 18)"},
        {"header": "Sold", "type": "timestamp[us]"},
    )


def all_ways(path: Path) -> list[dict[int, Any]]:
    """Read the first sheet in all ways, check that they agree, and return its rows: cells by column index."""
    package = Package(path, path.name)
    found: list[list[tuple[int, dict[int, Any]]]] = []
    for way in Way:
        slots = Slots(package)
        blocks = BlockReader(package, package.sheets[0], slots, 200, way=way)
        rows: list[tuple[int, dict[int, Any]]] = []
        for chunk in blocks:
            chunk.check()
            rows += [
                (number_, {column: cell for column, cell in chunk.row(index).items() if cell != ""})
                for index, number_ in enumerate(chunk.numbers)
            ]
        blocks.close()
        slots.close()
        found.append(sorted(rows))
    assert all(rows == found[0] for rows in found)
    return [cells for _, cells in found[0]]


# Cells. Each is cell A2 of a sheet; the last item is the value in a text column.

TEXTS = [
    # 18.3.1.96 (v): the index of a shared string is a whole number; XML Schema ignores blanks around it.
    ("an index between blanks", '<c r="A2" t="s"><v> 1 </v></c>', "one"),
    ("an index on a line of its own", '<c r="A2" t="s">\n  <v>\n    1\n  </v>\n</c>', "one"),
    ("an index with zeros", '<c r="A2" t="s"><v>01</v></c>', "one"),
    # XML 1.0, 2.7 and 4.1: CDATA sections and character references are part of the text, comments are not.
    ("an index in CDATA", '<c r="A2" t="s"><v><![CDATA[1]]></v></c>', "one"),
    ("an index as a reference", '<c r="A2" t="s"><v>&#49;</v></c>', "one"),
    ("an index as a hexadecimal reference", '<c r="A2" t="s"><v>&#x31;</v></c>', "one"),
    ("an index around a comment", '<c r="A2" t="s"><v>1<!-- not 1 -->0</v></c>', "ten"),
    ("an index after a comment", '<c r="A2" t="s"><v><!-- 0 -->1</v></c>', "one"),
    ("an index around an instruction", '<c r="A2" t="s"><v>1<?target 5?>0</v></c>', "ten"),
    ("a number in CDATA", '<c r="A2"><v><![CDATA[17]]></v></c>', "17"),
    ("a number around CDATA", '<c r="A2"><v>1<![CDATA[7]]>5</v></c>', "175"),
    ("a number as references", '<c r="A2"><v>&#49;7</v></c>', "17"),
    ("a number around a comment", '<c r="A2"><v>17<!-- 9 -->5</v></c>', "175"),
    ("a number between blanks", '<c r="A2"><v> 17.5\n</v></c>', "17.5"),
    ("a number with a sign", '<c r="A2"><v>+17</v></c>', "17"),
    ("a number without a zero", '<c r="A2"><v>.5</v></c>', "0.5"),
    ("a number that ends in a point", '<c r="A2"><v>5.</v></c>', "5"),
    ("a number with an exponent", '<c r="A2"><v>1.5E3</v></c>', "1500"),
    ("a text in place of a number", '<c r="A2"><v>n/a</v></c>', "n/a"),
    ("a text around CDATA", '<c r="A2" t="str"><f>X</f><v>A<![CDATA[B]]>C</v></c>', "ABC"),
    ("a text of CDATA with markup characters", '<c r="A2" t="str"><v><![CDATA[<a> & ]]>&lt;b></v></c>', "<a> & <b>"),
    ("a tag in a comment", '<c r="A2" t="str"><v>A<!-- </v></c><row> -->B</v></c>', "AB"),
    # 22.4.2.4 (bstr): _xHHHH_ is the character with that number; two of them may be a surrogate pair.
    ("an escape", '<c r="A2" t="str"><v>a_x000A_b</v></c>', "a\nb"),
    ("an escape above U+00FF", '<c r="A2" t="str"><v>a_x20AC_b</v></c>', "a€b"),
    ("an escaped surrogate pair", '<c r="A2" t="str"><v>a_xD83D__xDE00_b</v></c>', "a😀b"),
    ("half a surrogate pair in lower case", '<c r="A2" t="str"><v>a_xd83d_b</v></c>', "a_xd83d_b"),
    ("an escape with a reference", '<c r="A2" t="str"><v>a_&#120;20AC_b</v></c>', "a€b"),
    ("an escape that begins with a reference", '<c r="A2" t="str"><v>&#x5F;x20AC_</v></c>', "€"),
    ("an empty inline text and a value", '<c r="A2"><is></is><v>17</v></c>', "17"),
    ("half a surrogate pair", '<c r="A2" t="str"><v>a_xD83D_b</v></c>', "a_xD83D_b"),
    ("an escaped escape", '<c r="A2" t="str"><v>a_x005F_x20AC_b</v></c>', "a_x20AC_b"),
    ("an escaped escape of a small character", '<c r="A2" t="str"><v>a_x005F_x000A_b</v></c>', "a_x000A_b"),
    ("an escape in lower case", '<c r="A2" t="str"><v>a_x20ac_b</v></c>', "a€b"),
    ("no escape", '<c r="A2" t="str"><v>a_x20A_b</v></c>', "a_x20A_b"),
    ("an escape in an inline text", text("A2", "a_x20AC_b"), "a€b"),
    ("an escaped carriage return", '<c r="A2" t="str"><v>a_x000D_b</v></c>', "a\rb"),
    ("a carriage return as a reference", '<c r="A2" t="str"><v>a&#13;b</v></c>', "a\rb"),
    (
        "references in an inline text",
        '<c r="A2" t="inlineStr"><is><t>a&#39;b&#x20AC;&#10;&amp;</t></is></c>',
        "a'b€\n&",
    ),
    ("references to blanks at the ends", '<c r="A2" t="inlineStr"><is><t>&#32;a&#10;</t></is></c>', "a"),
    ("references to blanks in a formula's text", '<c r="A2" t="str"><v>&#32;a&#x9;b&#10;</v></c>', "a\tb"),
    ("a reference above the first plane", '<c r="A2" t="str"><v>a&#128512;b</v></c>', "a😀b"),
    # 22.9.2.19 and XML 1.0, 2.10: without xml:space="preserve" Excel drops the blanks at the ends.
    ("a text between blanks", '<c r="A2" t="str"><f>X</f><v> a b </v></c>', "a b"),
    ("a text on a line of its own", '<c r="A2" t="str"><v>\n\ta b\n</v></c>', "a b"),
    ("blanks that are preserved", '<c r="A2" t="str"><f>X</f><v xml:space="preserve"> a b </v></c>', " a b "),
    ("blanks that are preserved, in single quotes", "<c r='A2' t='str'><v xml:space='preserve'> a</v></c>", " a"),
    ("hard blanks", '<c r="A2" t="str"><v>\u00a0a\u00a0</v></c>', "\u00a0a\u00a0"),
    ("an inline text between blanks", '<c r="A2" t="inlineStr"><is><t> a </t></is></c>', "a"),
    (
        "an inline text in runs",
        '<c r="A2" t="inlineStr"><is><r><t>a</t></r><r><t xml:space="preserve"> b</t></r></is></c>',
        "a b",
    ),
    (
        "an inline text with a phonetic hint",
        '<c r="A2" t="inlineStr"><is><t>a</t><rPh sb="0" eb="1"><t>x</t></rPh></is></c>',
        "a",
    ),
    # 18.3.1.53 (is) and 18.18.11 (ST_CellType).
    ("an inline text with a formula", '<c r="A2" t="inlineStr"><f>X</f><is><t>a</t></is></c>', "a"),
    ("an inline type with a value", '<c r="A2" t="inlineStr"><f>X</f><v>a</v></c>', "a"),
    ("an inline text without a type", '<c r="A2"><is><t>a</t></is></c>', "a"),
    ("an inline text and a value", '<c r="A2" t="inlineStr"><is><t>a</t></is><v>b</v></c>', "a"),
    ("true in words", '<c r="A2" t="b"><v>true</v></c>', "TRUE"),
    ("true between blanks", '<c r="A2" t="b"><v> 1 </v></c>', "TRUE"),
    # 18.3.1.4 (c): unknown children are extensions.
    ("an extension", '<c r="A2"><v>17</v><extLst><ext uri="x"><v>9</v></ext></extLst></c>', "17"),
    ("an extension before the value", '<c r="A2"><extLst><ext uri="x"><y/></ext></extLst><v>17</v></c>', "17"),
    ("a value before its formula", '<c r="A2"><v>17</v><f>1+16</f></c>', "17"),
    # Only cells with a value count.
    ("an empty text at the address", '<c r="A2" t="str"><v>x</v></c><c r="A2" t="str"><v></v></c>', "x"),
    ("an empty text at the address, before", '<c r="A2" t="str"><v/></c><c r="A2" t="str"><v>x</v></c>', "x"),
    ("an empty inline text there", f"{text('A2', 'x')}{text('A2', '')}", "x"),
    # 18.3.1.4 (c): r is optional.
    ("an empty address", '<c r="" t="str"><v>a</v></c>', "a"),
    ("an address in lower case", '<c r="a2" t="str"><v>a</v></c>', "a"),
    ("an address with blanks around the sign", '<c r = "A2" t = "str"><v>a</v></c>', "a"),
    ("an address in single quotes", "<c r='A2' t='str'><v>a</v></c>", "a"),
    ("an address at the end", '<c t="str" r="A2"><v>a</v></c>', "a"),
    ("attributes of other programs", '<c r="A2" cm="1" vm="2" ph="1" t="str"><v>a</v></c>', "a"),
    # Numbers with more digits than a double holds keep the digits that the workbook stores.
    ("many digits", '<c r="A2"><v>12345678901234567890</v></c>', "12345678901234567890"),
    ("many digits with zeros", '<c r="A2"><v>00012345678901234567890</v></c>', "12345678901234567890"),
    ("many digits below zero", '<c r="A2"><v>-12345678901234567890</v></c>', "-12345678901234567890"),
    ("many decimals", '<c r="A2"><v>0.1000000000000000055</v></c>', "0.1"),
    # Excel shows ##### for these; the cell holds the number.
    ("a negative number in a date format", number("A2", -5, style=DATE_STYLE), "-5"),
    ("a number after the last date", number("A2", "2958466", style=DATE_STYLE), "2958466"),
    ("the last date", number("A2", "2958465", style=DATE_STYLE), "9999-12-31"),
    ("a date", number("A2", "40606.395833333336", style=DATE_STYLE), "2011-03-04 09:30:00"),
    ("a negative duration", number("A2", -0.5, style=2), "-0.5"),
    ("a duration of millions of years", number("A2", "1e10", style=2), "10000000000"),
    ("a duration", number("A2", 1.5, style=2), "36:00:00"),
    ("a style that is not a number", '<c r="A2" s="x"><v>17</v></c>', "17"),
    ("a missing style", '<c r="A2" s="999"><v>17</v></c>', "17"),
    # 18.17.4: durations in ISO 8601, as Excel writes them in the Strict format.
    ("a duration in ISO 8601", '<c r="A2" s="2" t="d"><v>PT1392H0M0.000S</v></c>', "1392:00:00"),
    ("a short duration in ISO 8601", '<c r="A2" s="2" t="d"><v>PT0H9M0.000S</v></c>', "0:09:00"),
    ("a duration of days in ISO 8601", '<c r="A2" s="2" t="d"><v>P1DT12H</v></c>', "36:00:00"),
    ("a time in ISO 8601", '<c r="A2" s="1" t="d"><v>10:59:59.9999999999984025</v></c>', "11:00:00"),
    ("a time without seconds in ISO 8601", '<c r="A2" s="1" t="d"><v>10:59Z</v></c>', "10:59:00"),
    ("an invalid year", '<c r="A2" s="1" t="d"><v>0000-01-01</v></c>', "0000-01-01"),
    ("an invalid hour", '<c r="A2" s="1" t="d"><v>2012-08-01T24:30:00</v></c>', "2012-08-01T24:30:00"),
    # Values that are not numbers.
    ("infinity", '<c r="A2"><v>1E999</v></c>', "1E999"),
    ("a word that some readers read as a number", '<c r="A2"><v>NaN</v></c>', "NaN"),
]
THREE_STYLES = STYLES.replace('<xf numFmtId="22"/>', '<xf numFmtId="22"/><xf numFmtId="46"/>')


def with_styles(path: Path, styles: str, *rows: str, strings: str | None = None) -> Path:
    """Write a workbook with one sheet "Sales" and these styles."""
    raw_workbook(path, *rows, strings=strings)
    return changed(path, lambda parts: parts.update({"xl/styles.xml": styles.encode()}))


def changed(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Change the parts of a workbook."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    return zipped(path, parts)


@pytest.mark.parametrize(("cell", "shown"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_a_cell_is_read_as_excel_shows_it(tmp_path: Path, shop: Contract, cell: str, shown: str) -> None:
    path = with_styles(tmp_path / "odd.xlsx", THREE_STYLES, HEADER, row(2, cell, number("B2", 1)), strings=STRINGS)

    all_ways(path)

    assert read(path, shop).column("code") == [shown]


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        # 18.17.4: dates in ISO 8601. Excel ignores the time zone.
        ("2012-08-01", datetime(2012, 8, 1)),
        ("2012-08-01Z", datetime(2012, 8, 1)),
        ("2012-08-01T09:30:00", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30:00Z", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30:00+02:00", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30:00-0530", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30:00.250Z", datetime(2012, 8, 1, 9, 30, 0, 250_000)),
        ("2012-08-01T09:30", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30Z", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01 09:30:00", datetime(2012, 8, 1, 9, 30)),
        (" 2012-08-01T09:30:00 ", datetime(2012, 8, 1, 9, 30)),
        ("2012-08-01T09:30:00.12345678901234", datetime(2012, 8, 1, 9, 30, 0, 123_457)),
        ("2012-08-01T09:59:59.9999999999984", datetime(2012, 8, 1, 10)),
        ("2012-08-01T23:59:59.9999999", datetime(2012, 8, 2)),
        ("2012-08-01T24:00:00", datetime(2012, 8, 2)),
    ],
)
def test_a_date_in_iso_8601_is_read_to_the_microsecond(
    tmp_path: Path, shop: Contract, cell: str, moment: datetime
) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, f'<c r="C2" s="1" t="d"><v>{cell}</v></c>'))

    all_ways(path)

    assert read(path, shop).column("sold") == [moment]


REJECTED = [
    # 18.18.11: a cell of type e is an error, whatever its text; LibreOffice writes its own.
    ('<c r="{}" t="e"><v>Err:502</v></c>', "error_cell", "Err:502"),
    ('<c r="{}" t="e"><f>X</f><v>#SPILL!</v></c>', "error_cell", "#SPILL!"),
    ('<c r="{}" t="e"><v>#CALC!</v></c>', "error_cell", "#CALC!"),
    ('<c r="{}" t="e"><v>#FIELD!</v></c>', "error_cell", "#FIELD!"),
    ('<c r="{}" t="e"><v>#GETTING_DATA</v></c>', "error_cell", "#GETTING_DATA"),
    ('<c r="{}" t="e"><v>what?</v></c>', "error_cell", "what?"),
    ("<c r='{}' t='e'><v>#N/A</v></c>", "error_cell", "#N/A"),
    ('<c r="{}" t="e"><v><![CDATA[#N/A]]></v></c>', "error_cell", "#N/A"),
    ('<c t="e" r="{}"><v>#&#78;/A</v></c>', "error_cell", "#N/A"),
    ('<c r="{}"><f>1+1</f></c>', "not_calculated", ""),
    ('<c r="{}"><f>1+1</f><v>  </v></c>', "not_calculated", ""),
    ('<c r="{}" t="n"><f>1+1</f><v/></c>', "not_calculated", ""),
    ('<c r="{}" t="e"><f>1+1</f></c>', "not_calculated", ""),
    ('<c r="{}" t="str"><f>1+1</f></c>', "not_calculated", ""),
]


@pytest.mark.parametrize(("cell", "code", "raw"), REJECTED)
@pytest.mark.parametrize("address", ["A2", "B2", "C2"])
def test_an_error_cell_is_rejected_in_every_column(
    tmp_path: Path, shop: Contract, address: str, cell: str, code: str, raw: str
) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, cell.format(address)))

    all_ways(path)
    reading = read(path, shop)

    assert reading.codes == [(address, code)]
    assert reading.rejects[0].raw_value == raw
    assert reading.rows_read == 1


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('<c r="C2" s="1"><v>-1e300</v></c>', "not_a_date"),
        ('<c r="C2" s="1"><v>1e300</v></c>', "not_a_date"),
        ('<c r="C2" s="2"><v>1e10</v></c>', "not_a_date"),
        ('<c r="C2" s="2"><v>-1e300</v></c>', "not_a_date"),
        ('<c r="A2" s="1"><v>1e300</v></c>', "digits_lost"),
        ('<c r="A2" s="2"><v>-1e300</v></c>', "digits_lost"),
        ('<c r="C2" t="d"><v>2012-13-45</v></c>', "not_a_date"),
        ('<c r="C2" t="d"><v>2012-08-01T25:00:00</v></c>', "not_a_date"),
        ('<c r="C2" t="d"><v>yesterday</v></c>', "not_a_date"),
        ('<c r="B2" t="d"><v>2012-08-01</v></c>', "not_a_number"),
        ('<c r="B2"><v>1E999</v></c>', "not_a_number"),
        ('<c r="B2"><v>-1E999</v></c>', "not_a_number"),
        ('<c r="B2"><v>nan</v></c>', "not_a_number"),
        ('<c r="B2"><v>0x11</v></c>', "not_a_number"),
        ('<c r="B2"><v>1_000</v></c>', "not_a_number"),
        ('<c r="B2"><v>\uff11\uff17</v></c>', "not_a_number"),
        ('<c r="A2" t="str"><v>a_x0000_b</v></c>', "nul_character"),
        ('<c r="A2" t="str"><v>_x0000_dfoo</v></c>', "nul_character"),
        ('<c r="A2" t="str"><v>_x0000_e#N/A</v></c>', "nul_character"),
        ('<c r="A2" t="s"><v>0</v></c>', "nul_character"),
    ],
)
def test_a_value_that_the_column_cannot_hold_is_rejected(tmp_path: Path, shop: Contract, cell: str, code: str) -> None:
    strings = STRINGS.replace("zero", "_x0000_dfoo")
    failed = row(4, '<c r="A4" t="e"><v>#N/A</v></c>')
    rows = HEADER, row(2, cell), row(3, text("A3", "kept")), failed
    path = with_styles(tmp_path / "odd.xlsx", THREE_STYLES, *rows, strings=strings)

    all_ways(path)
    reading = read(path, shop)

    assert [found for _, found in reading.codes] == [code, "error_cell"]
    assert reading.column("code") == ["kept"]


REFUSED = [
    ('<c r="A2" t="s"><v>one</v></c>', "cell A2: 'one' is not a valid index"),
    ('<c r="A2" t="s"><v>-1</v></c>', "cell A2: '-1' is not a valid index"),
    ('<c r="A2" t="s"><v>1.0</v></c>', "cell A2: '1.0' is not a valid index"),
    ('<c r="A2" t="s"><v>11</v></c>', "cell A2: '11' is not a valid index: the workbook has 11 shared strings"),
    ('<c r="A2" t="s"><v>99999999999999999999</v></c>', "cell A2"),
    ('<c r="A2" t="s"><v>1 0</v></c>', "cell A2: '1 0'"),
    ('<c r="A2" t="b"><v>2</v></c>', "cell A2: '2' is neither true nor false"),
    ('<c r="A2" t="z"><v>2</v></c>', "cell A2: 'z' is not a valid cell type"),
    ('<c r="A2"><v>1</v></c><c r="A2"><v>2</v></c>', "cell A2 occurs twice"),
    ('<c r="A2"><v>1</v></c><c r="A2"><v>1</v></c>', "cell A2 occurs twice"),
    ('<c t="str" r="A2"><v>x</v></c><c t="str" r="A2"><v>y</v></c>', "cell A2 occurs twice"),
    ('<c r="A2"><v>1</v><v>2</v></c>', "cell A2: it has two values"),
    ('<c r="A2"><v>1</v><z:v xmlns:z="u">2</z:v></c>', "cell A2: it has two values"),
    ('<c r="A2"><is><t>a</t></is><is><t>b</t></is></c>', "cell A2: it has two texts"),
    ('<c r="A2"><v>1<x>2</x>3</v></c>', "row 2: <x> is not allowed there"),
    ('<c r="A2"><v>1</v><c r="B2"><v>1</v></c></c>', "cell A2: <c> is not allowed in it"),
    ('<c r="A2"><v>1</v></c><row r="90"><c r="A90"><v>1</v></c></row>', "<row> is not allowed there"),
    ('<z><c r="A2"><v>1</v></c></z>', "row 2: <c> is not allowed there"),
    ('<c r="A2"><v>1</v></c><c r="$B$2"><v>1</v></c>', "'$B$2' is not a valid cell address"),
    ('<c r="A0"><v>1</v></c>', "A0 is outside the limits"),
    ('<c r="XFE2"><v>1</v></c>', "XFE2 is outside the limits"),
    ('<c r="A2"><v>1</c></v>', "row 2"),
    ('<c r="A2" r="B2"><v>1</v></c>', "duplicate attribute"),
    ('<c r="A2"><v>1 & 2</v></c>', "row 2"),
    ('<c r="A2" t="str"><v>&nbsp;</v></c>', "undefined entity"),
    ('<c r="A2" t="str"><v>\x07</v></c>', "row 2"),
    ('<c r="A2" t="str"><v>&#7;</v></c>', "row 2"),
    ('<c r="A2" t="str"><v>&#xD800;</v></c>', "row 2"),
    ('<c r="A2" t="str"><v>a</v></c></row></sheetData>', ""),
    ("<row>", "row 2"),
]


@pytest.mark.parametrize(("cells", "expected"), REFUSED)
def test_an_invalid_cell_is_refused_with_its_place(tmp_path: Path, shop: Contract, cells: str, expected: str) -> None:
    rows = [row(number_, number(f"A{number_}", 1), number(f"B{number_}", 1)) for number_ in range(3, 60)]
    error = refusal(raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, cells), *rows, strings=STRINGS), shop)

    assert expected in str(error)
    assert "sheet 'Sales'" in str(error)


# Rows, and the XML around them.


def the_rows(*rows: str) -> str:
    return sheet_xml([HEADER, *rows])


A2, A3 = text("A2", "a"), text("A3", "b")
TWO = [{"code": "a", "price": Decimal(1), "sold": None, "source_row": 2}]
THREE = [*TWO, {"code": "b", "price": Decimal(2), "sold": None, "source_row": 3}]
ROW_2, ROW_3 = row(2, A2, number("B2", 1)), row(3, A3, number("B3", 2))
SHEETS = {
    "a long comment": the_rows(ROW_2, f"<!--{'x' * 3_000_000}-->", ROW_3),
    "many comments": the_rows(ROW_2, "<!---->" * 500_000, ROW_3),
    "an odd cell among plain ones": the_rows(ROW_2.replace('r="B2"', 'cm="1" r="B2"'), ROW_3),
    "row numbers with zeros": the_rows(ROW_2, ROW_3).replace('<row r="3">', '<row r=" 03 ">'),
    "a row for each cell, without numbers": the_rows(
        row(2, A2), row(2, number("B2", 1)), row(3, A3), row(3, number("B3", 2))
    ).replace("<row r=", "<row x="),
    # 18.3.1.73 (row): r is optional. A row may be blank, and only hold formats.
    "rows without numbers": the_rows(ROW_2, ROW_3).replace(' r="1"', "").replace(' r="2"', "").replace(' r="3"', ""),
    "an empty row number": the_rows(ROW_2, ROW_3).replace('<row r="3">', '<row r="">'),
    "cells without addresses": the_rows(ROW_2, ROW_3).replace(' r="A', ' x="').replace(' r="B', ' x="'),
    "a row for each cell": the_rows(row(2, A2), row(2, number("B2", 1)), row(3, A3), row(3, number("B3", 2))),
    "a row for each cell, column by column": the_rows(
        row(2, A2), row(3, A3), row(2, number("B2", 1)), row(3, number("B3", 2))
    ),
    "rows out of order": the_rows(ROW_3, ROW_2),
    "cells out of order": the_rows(row(2, number("B2", 1), A2), ROW_3),
    "the last row of a sheet, blank": the_rows(ROW_2, ROW_3, '<row r="1048576" ht="12.8"></row>'),
    "the last row of a sheet, with blank cells": the_rows(ROW_2, ROW_3, row(1048576, '<c r="XFD1048576" s="1"/>')),
    "blank cells to the last column": the_rows(ROW_2.replace("</row>", '<c r="XFD2" s="1"/></row>'), ROW_3),
    "rows without cells": the_rows(ROW_2, ROW_3, *(f'<row r="{n}" s="1"/>' for n in range(4, 2_000))),
    # XML 1.0
    "comments": the_rows("<!-- <row r='2'/> -->", ROW_2, "<!-- </sheetData> -->", ROW_3, "<!---->"),
    "instructions": the_rows("<?a <row ?>", ROW_2, ROW_3).replace("<worksheet", "<?b?><worksheet"),
    "blanks in the tags": the_rows(ROW_2, ROW_3).replace("</row>", "</row >").replace("</c>", "</c\n>"),
    "blanks between the tags": the_rows(ROW_2, ROW_3)
    .replace("><", ">\n  <")
    .replace('<t xml:space="preserve">', "<t>"),
    "single quotes": the_rows(ROW_2, ROW_3).replace('"', "'"),
    "a prefix": the_rows(ROW_2, ROW_3).replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x="),
    "two prefixes": the_rows(ROW_2, ROW_3.replace("<", "<x:").replace("<x:/", "</x:")).replace(
        "xmlns=", f'xmlns:x="{MAIN}" xmlns='
    ),
    "a declaration": f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n{the_rows(ROW_2, ROW_3)}',
    # 18.3.1.35 (dimension) is optional, and the reader ignores it.
    "a dimension of A0": the_rows(ROW_2, ROW_3).replace("<sheetData>", '<dimension ref="A0"/><sheetData>'),
    "a dimension that is too small": the_rows(ROW_2, ROW_3).replace(
        "<sheetData>", '<dimension ref="A1:A1"/><sheetData>'
    ),
    "a dimension of nothing": the_rows(ROW_2, ROW_3).replace("<sheetData>", '<dimension ref=""/><sheetData>'),
    "row elements of controls after the rows": the_rows(ROW_2, ROW_3).replace(
        "</sheetData>",
        '</sheetData><controls><control shapeId="1" r:id="x"><controlPr><anchor><from><xdr:col>0</xdr:col>'
        "<xdr:row>0</xdr:row></from><to><row>3</row></to></anchor></controlPr></control></controls>",
    ),
    "elements whose names begin with row after the rows": the_rows(ROW_2, ROW_3).replace(
        "</sheetData>", '</sheetData><rowBreaks><brk id="2"/></rowBreaks>'
    ),
}


@pytest.mark.parametrize("sheet", SHEETS.values(), ids=SHEETS.keys())
def test_a_sheet_is_read_whatever_the_form_of_its_xml(tmp_path: Path, shop: Contract, sheet: str) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", sheet=sheet)

    all_ways(path)
    reading = read(path, shop)

    assert sorted(reading.rows, key=lambda found: found["source_row"]) == THREE
    assert reading.rejects == []
    assert reading.rows_read == 2


def test_a_rewritten_header_comes_before_the_rows_of_its_block(tmp_path: Path, shop: Contract) -> None:
    blank = [f'<row r="{n}" s="1" customFormat="1"/>' for n in range(1, 60_001)]
    header = row(
        60_001,
        *(text(f"{column}60001", name).replace("<c ", '<c cm="1" ') for column, name in zip("ABC", NAMED, strict=True)),
    )
    rows = [row(n, text(f"A{n}", "a"), number(f"B{n}", 1)) for n in range(60_002, 60_010)]

    reading = read(raw_workbook(tmp_path / "odd.xlsx", *blank, header, *rows), shop)

    assert reading.layout.header_row == 60_001
    assert reading.column("source_row") == [*range(60_002, 60_010)]


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8-sig", "ISO-8859-1"),
        ("utf-8", "utf-8"),
        ("utf-8", "UTF8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("windows-1252", "windows-1252"),
        ("iso-8859-1", "ISO-8859-1"),
    ],
)
def test_a_sheet_in_another_encoding_is_read(tmp_path: Path, shop: Contract, encoding: str, declared: str) -> None:
    sheet = f'<?xml version="1.0" encoding="{declared}"?>{the_rows(row(2, text("A2", "café")))}'
    path = raw_workbook(tmp_path / "odd.xlsx", sheet=sheet.encode(encoding))

    assert all_ways(path)[1] == {0: "café"}
    assert read(path, shop).column("code") == ["café"]


DAMAGE = {
    "a row in a row": the_rows(ROW_2.replace("</row>", f"{ROW_3}</row>")),
    "a row in another element": the_rows(ROW_2, f"<z>{ROW_3}</z>"),
    "a cell outside of the rows": the_rows(ROW_2, number("A3", 1)),
    "a doubled row without addresses": sheet_xml(
        [
            '<row r="1"><c t="inlineStr"><is><t>Code</t></is></c></row>',
            *['<row r="2"><c t="str"><v>a</v></c></row>'] * 2,
        ]
    ),
    "another root": the_rows(ROW_2).replace("worksheet", "html"),
    "the end of the rows in their middle": the_rows(ROW_2, "</sheetData>", ROW_3),
    "the end of the rows in their middle, twice": the_rows(ROW_2, "</sheetData></sheetData>", ROW_3),
    "the end of the rows in a row": the_rows(ROW_2, ROW_3.replace("</row>", "</sheetData></row>")),
    "rows after the end": the_rows(ROW_2).replace("</worksheet>", f"{ROW_3}</worksheet>"),
    "a second set of rows": the_rows(ROW_2).replace("</worksheet>", f"<sheetData>{ROW_3}</sheetData></worksheet>"),
    "a row that is not closed": the_rows(ROW_2.replace("</row>", ""), ROW_3),
    "a row that is closed twice": the_rows(ROW_2.replace("</row>", "</row></row>"), ROW_3),
    "a cell that is not closed": the_rows(ROW_2.replace("</c></row>", "</row>"), ROW_3),
    "a sheet that is not closed": the_rows(ROW_2, ROW_3).replace("</worksheet>", ""),
    "a comment that is not closed": the_rows(ROW_2, "<!-- ", ROW_3),
    "a document type": f"<!DOCTYPE worksheet [<!ENTITY a 'b'>]>{the_rows(ROW_2)}",
    "something after the end": the_rows(ROW_2) + "<worksheet/>",
    "bytes that are not UTF-8": the_rows(ROW_2).encode().replace(b">a<", b">\xff<"),
    "an encoding that is not known": f'<?xml version="1.0" encoding="x-none"?>{the_rows(ROW_2)}',
    "UTF-16 after a declaration": b'<?xml version="1.0" encoding="iso-8859-1"?>'
    + '<?xml version="1.0" encoding="utf-16-le"?><worksheet/>'.encode("utf-16-le"),
    "an encoding that is declared wrongly": f'<?xml version="1.0" encoding="UTF-16"?>{the_rows(ROW_2)}',
    "a row beyond the last": the_rows(ROW_2, row(1048577, number("A1048577", 1))),
    "a row number that is not a number": the_rows(ROW_2, ROW_3.replace('<row r="3"', '<row r="three"')),
    "a row 0": the_rows(row(0, number("B2", 1))),
    "a row twice": the_rows(ROW_2, ROW_3, ROW_2),
}


@pytest.mark.parametrize("sheet", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("rows_before", [0, 20_000])
def test_a_damaged_sheet_is_refused(tmp_path: Path, shop: Contract, sheet: str | bytes, rows_before: int) -> None:
    sheet = sheet if isinstance(sheet, bytes) else sheet.encode()
    filler = "".join(row(n, number(f"B{n}", n)) for n in range(100, 100 + rows_before)).encode()
    sheet = sheet.replace(b"</sheetData>", filler + b"</sheetData>", 1) if b"UTF-16" not in sheet else sheet

    error = refusal(raw_workbook(tmp_path / "odd.xlsx", sheet=sheet), shop)

    assert "sheet 'Sales'" in str(error)


def test_row_elements_of_one_number_stay_in_one_block(tmp_path: Path, shop: Contract) -> None:
    """The workbooks of the London Metal Exchange have one row element for each cell."""
    cells = [row(n, cell) for n in range(2, 9_000) for cell in (text(f"A{n}", f"code {n}"), number(f"B{n}", n))]

    reading = read(raw_workbook(tmp_path / "odd.xlsx", HEADER, *cells), shop)

    assert reading.column("code") == [f"code {n}" for n in range(2, 9_000)]
    assert reading.column("price") == [Decimal(n) for n in range(2, 9_000)]


def test_a_repeated_row_is_refused_even_if_another_row_is_missing(tmp_path: Path, shop: Contract) -> None:
    """A count does not detect this, because there are as many rows as row numbers."""
    numbers = [*range(2, 2_000), 1_999, *range(2_001, 4_000)]
    rows = [row(n, number(f"B{n}", value)) for value, n in enumerate(numbers)]

    assert "B1999 occurs twice" in str(refusal(raw_workbook(tmp_path / "odd.xlsx", HEADER, *rows), shop))


@pytest.mark.parametrize("first", [True, False])
def test_long_numbers_stay_in_their_column(tmp_path: Path, first: bool) -> None:
    """A column with long numbers in one block may be blank in the whole next block; no cell may move to it."""
    columns = [{"header": "Ref", "type": "string"}, {"header": "Name", "type": "string", "required": True}]
    ref, name = ("A", "B") if first else ("B", "A")
    header = row(1, *sorted((text(f"{ref}1", "Ref"), text(f"{name}1", "Name"))))

    def the_row(n: int) -> str:
        cells = [text(f"{name}{n}", f"name {n}")]
        if n == 2:
            cells.append(number(f"{ref}{n}", "12345678901234567890"))
        elif n < 3_000:
            cells.append(text(f"{ref}{n}", f"ref {n}"))
        return row(n, *sorted(cells))

    rows = [the_row(n) for n in range(2, 40_001)]

    reading = read(raw_workbook(tmp_path / "odd.xlsx", header, *rows), contract_of(tmp_path, *columns))

    assert reading.column("name") == [f"name {n}" for n in range(2, 40_001)]
    assert reading.column("ref")[:2] == ["12345678901234567890", "ref 3"]
    assert reading.column("ref")[2_998:] == [None] * (39_999 - 2_998)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ('<c r="{}" t="e"><f>X</f><v>#N/A</v></c>', "error_cell"),
        ('<c r="{}" s="1" t="e"><v>#DIV/0!</v></c>', "error_cell"),
        ('<c r="{}" t="e" s="1"><v>Err:502</v></c>', "error_cell"),
        ('<c r="{}"><f>1+1</f></c>', "not_calculated"),
        ('<c r="{}" s="1"><f t="shared" si="0"/><v></v></c>', "not_calculated"),
        ('<c r="{}" t="n"><f>1+1</f><v/></c>', "not_calculated"),
        ('<c r="{}" t="str"><v>a_x0000_b</v></c>', "nul_character"),
    ],
)
@pytest.mark.parametrize("prefix", ["", pytest.param("x:", marks=pytest.mark.nightly)])
def test_error_cells_in_every_row_are_rejected(
    tmp_path: Path, shop: Contract, cell: str, code: str, prefix: str
) -> None:
    rows = [row(n, cell.format(f"A{n}"), number(f"B{n}", n), text(f"D{n}", "x")) for n in range(2, 60)]
    sheet = the_rows(*rows)
    if prefix:
        sheet = sheet.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")
    path = raw_workbook(tmp_path / "odd.xlsx", sheet=sheet)

    all_ways(path)

    assert read(path, shop).codes == [(f"A{n}", code) for n in range(2, 60)]


@pytest.mark.parametrize("moment", ["2011-03-04T09:30Z", "2011-03-04T09:30", "2011-03-04T09:30:00+01:00"])
def test_dates_in_iso_8601_in_every_row_are_read(tmp_path: Path, shop: Contract, moment: str) -> None:
    rows = [row(n, f'<c r="C{n}" s="1" t="d"><v>{moment}</v></c>') for n in range(2, 300)]
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, *rows)

    all_ways(path)

    assert read(path, shop).column("sold") == [datetime(2011, 3, 4, 9, 30)] * 298


# Packages: how the parts are found.


def renamed(*changes: tuple[str, str]) -> Callable[[dict[str, bytes]], None]:
    """Return a change that renames parts, but not the references to them."""

    def change(parts: dict[str, bytes]) -> None:
        for old, new in changes:
            parts[new] = parts.pop(old)

    return change


def relation(kind: str, target: str) -> Callable[[dict[str, bytes]], None]:
    """Return a change that sets the target of the workbook's relation of a kind."""

    def change(parts: dict[str, bytes]) -> None:
        name = "xl/_rels/workbook.xml.rels"
        usual = {"worksheet": "worksheets/sheet1.xml", "styles": "styles.xml", "sharedStrings": "sharedStrings.xml"}
        parts[name] = parts[name].replace(f'Target="{usual[kind]}"'.encode(), f'Target="{target}"'.encode())

    return change


def at_the_top(parts: dict[str, bytes]) -> None:
    """Move all parts out of the folder xl."""
    for name in [name for name in parts if name.startswith("xl/")]:
        parts[name.removeprefix("xl/")] = parts.pop(name)
    parts["_rels/.rels"] = parts["_rels/.rels"].replace(b"xl/workbook.xml", b"workbook.xml")


def strict(parts: dict[str, bytes]) -> None:
    for name, content in parts.items():
        content = content.replace(OFFICE.encode(), b"http://purl.oclc.org/ooxml/officeDocument/relationships")
        parts[name] = content.replace(MAIN.encode(), b"http://purl.oclc.org/ooxml/spreadsheetml/main")


def odd_sheets(parts: dict[str, bytes]) -> None:
    """Add sheets without a relation, with a missing relation or a missing part, and one in an extension."""
    sheets = (
        '<sheet name="None" sheetId="2" r:id=""/><sheet name="Gone" sheetId="3" r:id="rId9"/>'
        '<sheet name="No part" sheetId="4" r:id="rId8"/><sheet name="No id" sheetId="5"/>'
    )
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(b"</sheets>", sheets.encode() + b"</sheets>")
    parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(
        b"</workbook>", b'<extLst><ext><workbookPr date1904="1"/><sheet name="x"/></ext></extLst></workbook>'
    )
    parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
        b"</Relationships>",
        f'<Relationship Id="rId8" Type="{OFFICE}/worksheet" Target="worksheets/sheet8.xml"/>'
        f'<Relationship Id="rId7" Type="{OFFICE}/externalLink" Target="http://[/" TargetMode="External"/>'
        "<Relationship/></Relationships>".encode(),
    )


def without_usual_relations(parts: dict[str, bytes]) -> None:
    kept = f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    parts["xl/_rels/workbook.xml.rels"] = (
        f'<Relationships xmlns="{PACKAGE}/relationships">{kept}</Relationships>'.encode()
    )


# ECMA-376 part 2: 6.2.2.3 (names are case-insensitive), 6.3 (relations), 6.4.3 (targets).
PACKAGES: dict[str, Callable[[dict[str, bytes]], None]] = {
    "SharedStrings.xml": renamed(("xl/sharedStrings.xml", "xl/SharedStrings.xml")),
    "Styles.xml": renamed(("xl/styles.xml", "xl/Styles.xml")),
    "Sheet1.xml": renamed(("xl/worksheets/sheet1.xml", "xl/worksheets/Sheet1.xml")),
    "XL": lambda parts: renamed(*((name, name.replace("xl/", "XL/")) for name in parts if name.startswith("xl/")))(
        parts
    ),
    "backslashes": lambda parts: renamed(*((name, name.replace("/", "\\")) for name in [*parts]))(parts),
    "a slash at the start of names": lambda parts: renamed(*((name, f"/{name}") for name in [*parts]))(parts),
    "workbook22.xml": lambda parts: (
        renamed(
            ("xl/workbook.xml", "xl/workbook22.xml"), ("xl/_rels/workbook.xml.rels", "xl/_rels/workbook22.xml.rels")
        )(parts),
        parts.update({"_rels/.rels": parts["_rels/.rels"].replace(b"workbook.xml", b"workbook22.xml")}),
    )[0],
    "no folder xl": at_the_top,
    "strings outside xl": lambda parts: (
        renamed(("xl/sharedStrings.xml", "strings/all.xml"))(parts),
        relation("sharedStrings", "../strings/all.xml")(parts),
    )[0],
    "styles outside xl": lambda parts: (
        renamed(("xl/styles.xml", "looks/all.xml"))(parts),
        relation("styles", "/looks/all.xml")(parts),
    )[0],
    "targets that are absolute": relation("worksheet", "/xl/worksheets/sheet1.xml"),
    "targets with steps": relation("worksheet", "./worksheets/../worksheets//sheet1.xml"),
    "targets with backslashes": relation("worksheet", "worksheets\\sheet1.xml"),
    "targets in capitals": relation("worksheet", "WORKSHEETS/SHEET1.XML"),
    "targets with percent signs": lambda parts: (
        renamed(("xl/worksheets/sheet1.xml", "xl/worksheets/my sheet é.xml"))(parts),
        relation("worksheet", "worksheets/my%20sheet%20%C3%A9.xml")(parts),
    )[0],
    "names with percent signs": lambda parts: (
        renamed(("xl/worksheets/sheet1.xml", "xl/worksheets/my%20sheet.xml"))(parts),
        relation("worksheet", "worksheets/my%20sheet.xml")(parts),
    )[0],
    "the strict namespaces": strict,
    "missing sheets": odd_sheets,
    "no content types": lambda parts: renamed(("[Content_Types].xml", "docProps/x"))(parts),
    "no relations of the package": lambda parts: renamed(("_rels/.rels", "docProps/x"))(parts),
    "no relations of strings and styles": without_usual_relations,
    "a damaged part that is not needed": lambda parts: parts.update(
        {"docProps/app.xml": b"<", "xl/theme/theme1.xml": b"\0"}
    ),
}


@pytest.mark.parametrize("change", PACKAGES.values(), ids=PACKAGES.keys())
def test_parts_are_found_by_their_relations(tmp_path: Path, shop: Contract, change: Any) -> None:
    cells = shared("A2", 1), number("B2", 40606), number("C2", "40606.395833333336", style=DATE_STYLE)
    raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, *cells), strings=STRINGS)
    path = changed(tmp_path / "odd.xlsx", change)

    all_ways(path)
    reading = read(path, shop)

    assert reading.rows == [
        {"code": "one", "price": Decimal(40606), "sold": datetime(2011, 3, 4, 9, 30), "source_row": 2}
    ]


@pytest.mark.parametrize(
    "name", ["xl/worksheets/SHEET1.xml", "xl\\worksheets\\sheet1.xml", "/xl/worksheets/sheet1.xml"]
)
def test_two_parts_of_one_name_are_refused(tmp_path: Path, shop: Contract, name: str) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, ROW_2)
    changed(path, lambda parts: parts.update({name: parts["xl/worksheets/sheet1.xml"].replace(b">a<", b">b<")}))

    assert "occurs more than once" in str(refusal(path, shop))


def test_a_damaged_sheet_does_not_stop_the_one_that_fits(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, ROW_2)

    def add(parts: dict[str, bytes]) -> None:
        parts["xl/workbook.xml"] = parts["xl/workbook.xml"].replace(
            b"<sheets>", b'<sheets><sheet name="Broken" sheetId="7" r:id="rId7"/>'
        )
        parts["xl/_rels/workbook.xml.rels"] = parts["xl/_rels/workbook.xml.rels"].replace(
            b"</Relationships>",
            f'<Relationship Id="rId7" Type="{OFFICE}/worksheet" Target="worksheets/sheet7.xml"/>'
            "</Relationships>".encode(),
        )
        parts["xl/worksheets/sheet7.xml"] = b"<worksheet><sheetData><row><c><v>1</row>"

    assert read(changed(path, add), shop).rows == TWO


# Shared strings. 18.4.8 (si), 18.4.9 (sst): the counts are optional, and the reader ignores them.

STRINGS_FORMS = {
    "a text in an extension": STRINGS.replace("<t>one</t>", "<t>one</t><extLst><t>x</t></extLst>"),
    "formats that are not written as empty elements": STRINGS.replace(
        "<t>one</t>", "<r><rPr><b></b><size val='1'/></rPr><t>one</t></r>"
    ),
    "a count that is too small": STRINGS.replace('ount="11"', 'ount="1"'),
    "a count that is too large": STRINGS.replace('ount="11"', 'ount="99999999999"'),
    "a count that is negative": STRINGS.replace('ount="11"', 'ount="-1"'),
    "a count that is a word": STRINGS.replace('ount="11"', 'ount="many"'),
    "no count": STRINGS.replace(' count="11" uniqueCount="11"', ""),
    "comments": STRINGS.replace("<si>", "<!-- <si> --><si>"),
    "CDATA": STRINGS.replace("<t>one</t>", "<t><![CDATA[one]]></t>"),
    "references": STRINGS.replace("<t>one</t>", "<t>&#111;ne</t>"),
    "runs": STRINGS.replace("<t>one</t>", "<r><rPr><b/><sz val='11'/></rPr><t>on</t></r><r><t>e</t></r>"),
    "phonetic hints": STRINGS.replace(
        "<t>one</t>", '<t>one</t><rPh sb="0" eb="1"><t>x</t></rPh><phoneticPr fontId="1"/>'
    ),
    "empty strings": STRINGS.replace("<si><t>zero</t></si>", "<si/>").replace("<si><t>two</t></si>", "<si></si>"),
    "blanks between the tags": STRINGS.replace("><", ">\n<"),
    "blanks in the texts": STRINGS.replace("<t>one</t>", "<t>\n one\t</t>"),
    "a prefix": STRINGS.replace("<", "<y:").replace("<y:/", "</y:").replace("xmlns=", "xmlns:y="),
    "single quotes": STRINGS.replace('"', "'"),
    "an extension": STRINGS.replace("</sst>", "<extLst><ext><si/></ext></extLst></sst>").replace("<si/>", "<x/>"),
    "a declaration": f'<?xml version="1.0" encoding="utf-8"?>{STRINGS}',
}


@pytest.mark.parametrize("strings", STRINGS_FORMS.values(), ids=STRINGS_FORMS.keys())
def test_shared_strings_are_read_whatever_the_form_of_their_xml(tmp_path: Path, shop: Contract, strings: str) -> None:
    rows = row(2, shared("A2", 1)), row(3, shared("A3", 10))
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, *rows, strings=strings)

    assert read(path, shop).column("code") == ["one", "ten"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("_x20AC_ 5", "€ 5"),
        ("_xD83D__xDE00_", "😀"),
        ("_x005F_x20AC_", "_x20AC_"),
        ("_x005F_x000A_", "_x000A_"),
        ("a_x000D_\nb", "a\r\nb"),
        ("a&#13;b", "a\rb"),
        ("a > b", "a > b"),
    ],
)
def test_escapes_in_shared_strings_are_replaced(tmp_path: Path, shop: Contract, written: str, shown: str) -> None:
    strings = STRINGS.replace("<t>one</t>", f"<t>{written}</t>")
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, shared("A2", 1)), strings=strings)

    assert read(path, shop).column("code") == [shown]


DAMAGED_STRINGS = {
    "a string in the formats of another": STRINGS.replace(
        "<si><t>one</t>", "<si><r><rPr></si><si></rPr><t>one</t></r>"
    ),
    "formats that are not closed": STRINGS.replace("<t>one</t>", "<r><rPr><rPh></rPr><t>one</t></r>"),
    "a string in a string": STRINGS.replace("<t>one</t>", "<t>one</t><si><t>x</t></si>"),
    "not closed": STRINGS.replace("</sst>", ""),
    "a string that is not closed": STRINGS.replace("</t></si></sst>", "</sst>"),
    "a string after the end": STRINGS + "<si/>",
    "the end in the middle": STRINGS.replace("<si><t>five</t></si>", "</sst>"),
    "a document type": f"<!DOCTYPE sst [<!ENTITY a 'b'>]>{STRINGS}",
    "bytes that are not UTF-8": STRINGS.encode().replace(b">two<", b">\xff\xfe<"),
}


@pytest.mark.parametrize("strings", DAMAGED_STRINGS.values(), ids=DAMAGED_STRINGS.keys())
def test_damaged_shared_strings_are_refused(tmp_path: Path, shop: Contract, strings: Any) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, shared("A2", 1)), strings=strings)

    assert "sharedStrings.xml" in str(refusal(path, shop))


# Number formats. 18.8.30 (numFmt), 18.8.45 (xf).


@pytest.mark.parametrize(
    "styles",
    [
        STYLES,
        STYLES.replace("<", "<z:").replace("<z:/", "</z:").replace("xmlns=", "xmlns:z="),
        STYLES.replace('"', "'"),
        STYLES.replace("22", " 22 "),
        STYLES.replace("<cellXfs", "<!-- <cellXfs/> --><cellXfs"),
        STYLES.replace("<cellXfs", '<cellStyleXfs><xf numFmtId="0"/></cellStyleXfs><cellXfs'),
        STYLES.replace('numFmtId="22"', 'numFmtId="200"').replace(
            "</styleSheet>", '<numFmts><numFmt numFmtId="200" formatCode="yyyy&quot;-&quot;mm"/></numFmts></styleSheet>'
        ),
    ],
)
def test_styles_are_read_whatever_the_form_of_their_xml(tmp_path: Path, shop: Contract, styles: str) -> None:
    path = with_styles(tmp_path / "odd.xlsx", styles, HEADER, row(2, number("C2", 40606, style=DATE_STYLE)))

    all_ways(path)

    assert read(path, shop).column("sold") == [datetime(2011, 3, 4)]


FIRST_IS_DATE = STYLES.replace('numFmtId="0"', 'numFmtId="14"').replace(
    '<xf numFmtId="22"/>',
    '<xf numFmtId="0"/><xf numFmtId="22"/><xf numFmtId="200"/>',
)
ACCOUNTING = '<numFmts><numFmt numFmtId="200" formatCode="#,##0\\ &quot;Stück&quot;;[Red]\\-#,##0"/></numFmts><cellXfs'


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        # 18.3.1.4 (c): s is optional, and 0 if it is missing.
        ('<c r="A2"><v>40606</v></c>', "2011-03-04"),
        ('<c r="A2" t="n"><v>40606</v></c>', "2011-03-04"),
        ('<c r="A2"><v>-5.5</v></c>', "-5.5"),
        ('<c r="A2"><v>1e10</v></c>', "10000000000"),
        ('<c r="A2" s="2"><v>-5.5</v></c>', "-5.5"),
        ('<c r="A2" s="2"><v>12345678901234567890</v></c>', "12345678901234567890"),
        ('<c r="A2" s="1"><v>-5.5</v></c>', "-5.5"),
        ('<c r="A2" s="1"><v>40606</v></c>', "40606"),
        ('<c r="A2" s="3"><v>-57839.06</v></c>', "-57839.06"),
        ('<c r="A2" s="3"><v>40606</v></c>', "40606"),
    ],
)
def test_a_date_format_in_style_0_applies_to_cells_without_a_style(
    tmp_path: Path, shop: Contract, cell: str, shown: str
) -> None:
    styles = FIRST_IS_DATE.replace("<cellXfs", ACCOUNTING)
    path = with_styles(tmp_path / "odd.xlsx", styles, HEADER, row(2, cell), row(3, text("A3", "x")))

    all_ways(path)

    assert read(path, shop).column("code") == [shown, "x"]


def test_blanks_are_preserved_if_the_sheet_sets_that(tmp_path: Path, shop: Contract) -> None:
    """XML 1.0, 2.10: xml:space applies to everything in an element."""
    cells = [
        '<c r="A2" t="str"><v>Vehicles </v></c>',
        '<c r="A3" t="inlineStr"><is><t>Vehicles </t></is></c>',
        '<c r="A4" t="s"><v>1</v></c>',
        '<c r="A5" t="str"><v xml:space="default">Vehicles </v></c>',
    ]
    rows = [row(n, cell) for n, cell in enumerate(cells, start=2)]
    strings = STRINGS.replace("<sst", '<sst xml:space="preserve"').replace("<t>one</t>", "<t>Vehicles </t>")
    sheet = the_rows(*rows).replace("<worksheet", '<worksheet xml:space="preserve"')
    path = raw_workbook(tmp_path / "odd.xlsx", sheet=sheet, strings=strings)

    all_ways(path)

    assert read(path, shop).column("code") == ["Vehicles ", "Vehicles ", "Vehicles ", "Vehicles"]


def test_a_byte_order_mark_in_every_part_is_skipped(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, ROW_2, strings=STRINGS)

    def mark(parts: dict[str, bytes]) -> None:
        parts.update({name: codecs.BOM_UTF8 + content for name, content in parts.items()})

    assert read(changed(path, mark), shop).rows == TWO


def test_every_part_may_be_in_utf_16(tmp_path: Path, shop: Contract) -> None:
    path = raw_workbook(tmp_path / "odd.xlsx", HEADER, row(2, shared("A2", 1), number("B2", 1)), strings=STRINGS)

    def encode(parts: dict[str, bytes]) -> None:
        for name, content in parts.items():
            xml = content.decode().removeprefix('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n')
            parts[name] = f'<?xml version="1.0" encoding="UTF-16"?>{xml}'.encode("utf-16")

    assert read(changed(path, encode), shop).column("code") == ["one"]
