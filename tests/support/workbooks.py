"""Write workbooks from raw XML, also in forms that no spreadsheet program writes, and read a workbook in one call."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import openpyxl
import pytest

from retailpipe.bronze.judge import Judge
from retailpipe.contract import Contract
from retailpipe.errors import WorkbookError
from retailpipe.reports import Reject
from retailpipe.workbook.reader import open_workbook
from retailpipe.workbook.sheet import Layout

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
DATE_STYLE = 1
"""The cell style of `raw_workbook` that shows a number as a date and time."""

CONTENT_TYPES = f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Types xmlns="{PACKAGE}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
</Types>"""
TOP = f"""<Relationships xmlns="{PACKAGE}/relationships">
<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>"""
STYLES = f"""<styleSheet xmlns="{MAIN}">
<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs></styleSheet>"""


NOTES = """
name = "notes"
table = "notes"
files = "notes*.xlsx"

[[columns]]
header = "Note"
name = "note"
type = "string"
"""
"""A contract whose table no model reads. So if silver and gold are built, a workbook of notes needs no build."""


@dataclass(frozen=True)
class Reading:
    """The result of reading a workbook: the rows for bronze, and the rejects."""

    layout: Layout
    rows: list[dict[str, Any]]
    rejects: list[Reject]
    rows_read: int
    rows_skipped: int = 0
    rejected_cells: Sequence[Mapping[str, list[str]]] = ()

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]

    @property
    def codes(self) -> list[tuple[str, str]]:
        """The cell and the code of every reject."""
        return [(reject.cell, reject.code) for reject in self.rejects]


def read(path: Path, contract: Contract) -> Reading:
    """Read a workbook and check its rows against a contract."""
    workbook = open_workbook(path, contract)
    judge = Judge(contract)
    rows = [row for layout, chunk in workbook.chunks() for row in judge.judge(chunk, layout).to_pylist()]
    workbook.close()
    assert judge.rows_accepted == len(rows)
    reading = Reading(workbook.layouts[0], rows, judge.rejects, judge.rows_read, workbook.rows_skipped)
    return replace(reading, rejected_cells=judge.rejected_cells)


def refusal(path: Path, contract: Contract) -> WorkbookError:
    """Read a workbook that must be refused; return the error, which must name the file and have a hint."""
    with pytest.raises(WorkbookError) as caught:
        list(open_workbook(path, contract).chunks())
    assert path.name in str(caught.value)
    assert caught.value.hint
    return caught.value


def contract_of(
    folder: Path, *columns: Mapping[str, object], max_rejects: int | str = 1_000_000, **keys: object
) -> Contract:
    """Write and load a contract with these columns and keys. A column's default name is its header in lower case."""
    keys = {"name": "shop", "table": "shop_rows", "max_rejects": max_rejects, **keys}
    lines = [f"{key} = {_toml(value)}" for key, value in keys.items()]
    for column in columns:
        named = {"name": str(column["header"]).lower(), **column}
        lines += ["", "[[columns]]", *(f"{key} = {_toml(value)}" for key, value in named.items())]
    path = folder / "shop.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return Contract.from_file(path)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def text(address: str, value: str) -> str:
    """A cell that holds a text."""
    return f'<c r="{address}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def shared(address: str, index: int) -> str:
    """A cell that refers to a shared string."""
    return f'<c r="{address}" t="s"><v>{index}</v></c>'


def number(address: str, value: float | str, *, style: int = 0) -> str:
    """A cell that holds a number; with DATE_STYLE, one that Excel shows as a date."""
    return f'<c r="{address}" s="{style}"><v>{value}</v></c>'


def row(index: int, *cells: str) -> str:
    """A row of some cells."""
    return f'<row r="{index}">{"".join(cells)}</row>'


def sheet_xml(rows: Iterable[str]) -> str:
    """The part of a sheet with these rows."""
    return f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(rows)}</sheetData></worksheet>'


def shared_strings(*strings: str, count: int | None = None) -> str:
    """The part of the shared strings. `count` is the number that it declares; by default the true one."""
    count = len(strings) if count is None else count
    items = "".join(f"<si><t>{escape(string)}</t></si>" for string in strings)
    return f'<sst xmlns="{MAIN}" count="{count}" uniqueCount="{count}">{items}</sst>'


def raw_workbook(
    path: Path,
    *rows: str,
    sheet: str | bytes | None = None,
    sheet_part: str = "worksheets/sheet1.xml",
    properties: str = "",
    strings: str | None = None,
    stored: bool = False,
) -> Path:
    """Write a workbook with one sheet, "Sales", from raw XML.

    sheet: the whole XML of the sheet, in place of `rows`.
    properties: XML of the workbook before its sheets.
    stored: write without compression, so that a test can change single bytes of the XML in the file.
    """
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": TOP,
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{properties}'
        '<sheets><sheet name="Sales" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{OFFICE}/worksheet" Target="{sheet_part}"/>'
        f'<Relationship Id="rId2" Type="{OFFICE}/styles" Target="styles.xml"/>'
        f'<Relationship Id="rId3" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        "xl/styles.xml": STYLES,
        f"xl/{sheet_part}": sheet_xml(rows) if sheet is None else sheet,
    }
    if strings is not None:
        parts["xl/sharedStrings.xml"] = strings
    return zipped(path, parts, stored=stored)


def zipped(path: Path, parts: Mapping[str, str | bytes], *, stored: bool = False) -> Path:
    """Write a zip with these parts."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def line(
    *,
    invoice: object = 536365,
    code: object = "85123A",
    quantity: object = 6,
    at: object = datetime(2010, 12, 1, 8, 26),
    price: object = 2.55,
    country: object = "United Kingdom",
) -> tuple[object, ...]:
    """A row of a workbook in the shape of "Online Retail"."""
    return (invoice, code, "WHITE HANGING HEART", quantity, at, price, 17850, country)


def keep_contract_of_notes(folder: Path) -> None:
    """Add the contract NOTES to the environment in a folder."""
    (folder / "contracts").mkdir(parents=True)
    (folder / "contracts" / "notes.toml").write_text(NOTES)


def default_contract(path: Path, *changes: tuple[str, str]) -> Contract:
    """The default contract, with some of its text replaced."""
    text = (resources.files("retailpipe") / "contracts" / "online_retail.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return Contract.from_file(path)


def book_of(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]], *, hidden: Sequence[str] = ()) -> Path:
    """Write a workbook with openpyxl: the rows of each sheet by its name. hidden: the sheets that Excel hides."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        page.sheet_state = "hidden" if name in hidden else "visible"
        for cells in rows:
            page.append(list(cells))
    book.save(path)
    return path


def titled_workbook(path: Path) -> Path:
    """Write a workbook of a shop: a title above the header, and totals and a note below the rows."""
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(40)]
    rows = [
        [day, 1_001 + n, ("Espresso", "Filter coffee", "Green tea")[n % 3], n % 5 + 1, round(2.5 + n * 0.35, 2)]
        for n, day in enumerate(days)
    ]
    total = sum(quantity for _, _, _, quantity, _ in rows)
    head = [["Sales of the coffee shop"], ["January and February 2024"], []]
    header = ["Date", "Receipt No", "Product", "Quantity", "Amount"]
    tail = [["Total", None, None, total, 411.85], [], ["Source: till export"]]
    return book_of(path, {"Sales": [*head, header, *rows, *tail]})


def monthly_workbook(path: Path) -> Path:
    """Write a workbook with twelve sheets, one for each month of 2024, and one sheet that is hidden."""
    sheets: dict[str, list[list[Any]]] = {}
    for month in range(1, 13):
        rows = [
            [datetime(2024, month, day, 9 + day % 8, 30), f"K{day % 7:03}", day * month, day * 1.25]
            for day in range(1, 21)
        ]
        sheets[f"{date(2024, month, 1):%Y-%m}"] = [["Sold at", "Customer", "Pieces", "Price"], *rows]
    sheets["Lists"] = [["Customers"], ["K001"]]
    return book_of(path, sheets, hidden=["Lists"])


def german_csv(path: Path) -> Path:
    """Write a CSV file as a German Excel does: German headers, decimal commas, dates as text, and not in UTF-8."""
    lines = ["Rechnungsnr;Datum;Artikel;Menge;Stückpreis;Straße;PLZ"]
    for n in range(60):
        price = f"{1_000 + n * 17:,}".replace(",", ".") + f",{n % 100:02}"
        place = f"Hauptstraße {n + 1};0{1_000 + n}"
        lines.append(f"R{n + 1:04};{n % 28 + 1:02}.{n // 28 + 1:02}.2024;Kännchen {n % 4};{n % 9 + 1};{price};{place}")
    path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp1252"))
    return path
