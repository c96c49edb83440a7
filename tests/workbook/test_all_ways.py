"""All ways to read rows (by distinct cells, directly, rewritten) return the same cells for any sheet and block size."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import given, settings
from hypothesis import strategies as st

from retailpipe.workbook import shards
from retailpipe.workbook.cells import ErrorCell
from retailpipe.workbook.chunks import Chunk
from retailpipe.workbook.package import Package
from retailpipe.workbook.parsing import Way
from retailpipe.workbook.plainness import PlainRows
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots
from tests.support.workbooks import raw_workbook, row, text

Rows = list[tuple[int, dict[int, Any]]]
SMALL = settings(max_examples=30)

cells = st.one_of(
    st.none(),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF, exclude_categories=["Cs"]), max_size=12),
    st.integers(-(10**14), 10**14),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.datetimes(datetime(1900, 3, 1), datetime(2199, 12, 31)).map(lambda moment: moment.replace(microsecond=0)),
    st.booleans(),
)
tables = st.lists(st.lists(cells, max_size=6), max_size=40)
block_sizes = st.sampled_from([200, 1_000, 5_000, 1 << 20])


def rows_of(chunks: Iterator[Chunk]) -> Rows:
    """Return the cells that are not blank, row by row."""
    found: Rows = []
    for chunk in chunks:
        for index, number_ in enumerate(chunk.numbers):
            found.append((number_, {column: cell for column, cell in chunk.row(index).items() if cell != ""}))
    return found


def in_blocks(path: Path, block_size: int, way: Way = Way.QUICKEST) -> Rows:
    package = Package(path, path.name)
    slots = Slots(package)
    blocks = BlockReader(package, package.sheets[0], slots, block_size, way=way)
    try:
        return sorted(rows_of(blocks))
    finally:
        blocks.close()
        slots.close()


def rewritten(path: Path, block_size: int = 1 << 20) -> Rows:
    return in_blocks(path, block_size, Way.REWRITTEN)


def all_ways_agree(path: Path, block_size: int) -> bool:
    ways = [in_blocks(path, block_size, way) for way in Way]
    return all(found == ways[0] for found in ways)


def write_with_openpyxl(path: Path, table: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    page = book.active
    assert page is not None
    for number_, values in enumerate(table, start=1):
        for column, value in enumerate(values, start=1):
            page.cell(number_, column, without_control_characters(value))
    book.save(path)


def write_streaming_with_openpyxl(path: Path, table: list[list[Any]]) -> None:
    """Write inline strings, and no dimension."""
    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet()
    for values in table:
        page.append([without_control_characters(value) for value in values])
    book.save(path)


def write_with_xlsxwriter(path: Path, table: list[list[Any]]) -> None:
    options = {"strings_to_formulas": False, "strings_to_urls": False, "default_date_format": "yyyy-mm-dd hh:mm"}
    with xlsxwriter.Workbook(str(path), options) as book:
        page = book.add_worksheet("Rows")
        for number_, values in enumerate(table):
            for column, value in enumerate(values):
                if value is not None:
                    page.write(number_, column, value)


def write_with_libreoffice(path: Path, table: list[list[Any]]) -> None:
    source = path.parent / "of openpyxl" / path.name
    source.parent.mkdir(exist_ok=True)
    write_with_openpyxl(source, table)
    profile = f"-env:UserInstallation={(path.parent / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "xlsx", "--outdir", str(path.parent), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


WRITERS = [write_with_openpyxl, write_streaming_with_openpyxl, write_with_xlsxwriter]
if shutil.which("soffice"):
    WRITERS.append(write_with_libreoffice)


def without_control_characters(value: Any) -> Any:
    # openpyxl refuses control characters, and reads a leading = as a formula.
    return "".join(c for c in value if c.isprintable()).lstrip("=") if isinstance(value, str) else value


@pytest.mark.parametrize("write", WRITERS)
@given(table=tables, block_size=block_sizes)
@SMALL
def test_any_table_of_any_writer_is_read_the_same_in_all_ways(
    tmp_path: Path, write: Any, table: list[list[Any]], block_size: int
) -> None:
    path = tmp_path / "book.xlsx"
    write(path, table)

    assert all_ways_agree(path, block_size)


addresses = st.tuples(st.integers(8, 60), st.integers(0, 5))
kinds = st.sampled_from(
    [
        '<c r="{}"><v>17</v></c>',
        '<c r="{}" s="1"><v>40513.5</v></c>',
        '<c r="{}" t="b"><v>1</v></c>',
        '<c r="{}" t="e"><v>#N/A</v></c>',
        '<c r="{}" t="e"><f>NA()</f><v>#N/A</v></c>',
        '<c r="{}"><f>1+1</f></c>',
        '<c r="{}"><f>1+1</f><v>2</v></c>',
        '<c r="{}"><f t="shared" si="0"/><v>2</v></c>',
        '<c r="{}" t="str"><f>A1</f><v></v></c>',
        '<c r="{}" t="inlineStr"><is><t>a &lt;row r="9"&gt; in a text</t></is></c>',
        '<c r="{}" t="inlineStr"><is><r><t>rich</t></r><r><t xml:space="preserve"> text</t></r></is></c>',
        '<c r="{}" s="0"/>',
        '<c r="{}"><v>12345678901234567890</v></c>',
        '<c s="0" r="{}"><v>12345678901234567891</v></c>',
        '<c t="e" r="{}"><v>#DIV/0!</v></c>',
        '<c r="{}"\n t="e"><v xml:space="preserve">#REF!</v></c>',
        '<c r="{}"> <f>1+1</f> <v></v> </c>',
        '<c s="0" r="{}" cm="1"><f t="array" ref="A1:A2">1+1</f></c>',
        '<c r="{}"><f>IF(A1&gt;1,"#","f")</f><v xml:space="preserve">3</v></c>',
    ]
)


@given(sheet=st.dictionaries(addresses, kinds, max_size=80), block_size=block_sizes, gap=st.booleans())
@SMALL
def test_any_cells_anywhere_are_read_the_same_in_all_ways(
    tmp_path: Path, sheet: dict[tuple[int, int], str], block_size: int, gap: bool
) -> None:
    """Covers columns that are empty at a block's edge, blank rows, errors, formulas and texts that look like tags."""
    rows: list[str] = []
    for number_, group in itertools.groupby(sorted(sheet.items()), key=lambda item: item[0][0]):
        rows.append(row(number_, *(kind.format(f"{'ABCDEF'[column]}{number_}") for (_, column), kind in group)))
        if gap:
            rows.append("\n  ")
    path = raw_workbook(tmp_path / "book.xlsx", *rows)

    assert all_ways_agree(path, block_size)


def test_the_number_of_blocks_read_ahead_is_bounded(tmp_path: Path) -> None:
    """Blocks do not pile up while the consumer is paused, for example by a slow database."""
    path = tmp_path / "book.xlsx"
    write_with_xlsxwriter(path, [[n, "text"] for n in range(5_000)])
    package = Package(path, path.name)
    blocks = BlockReader(package, package.sheets[0], Slots(package), 2_000)
    held: list[int] = []
    for number_, _ in enumerate(blocks):
        if number_ % 20 == 10:
            time.sleep(0.05)
            held.append(blocks._ahead.qsize())
    blocks.close()

    assert max(held) <= shards._threads() + 3
    assert len(held) > 3


def test_an_error_in_a_thread_is_raised_by_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.xlsx"
    write_with_xlsxwriter(path, [[n, "text"] for n in range(5_000)])
    last_number = PlainRows.last_number

    def out_of_memory(self: PlainRows, block: bytes, before: int) -> int:
        if before > 1_000:
            raise MemoryError
        return last_number(self, block, before)

    monkeypatch.setattr(PlainRows, "last_number", out_of_memory)
    with pytest.raises(MemoryError):
        in_blocks(path, 2_000)


def test_attributes_of_excels_own_namespaces_are_ignored(tmp_path: Path) -> None:
    """Excel writes rows with x14ac:dyDescent, whose prefix is declared only at the top of the sheet."""
    cells = '<c r="A{0}"><v>12345678901234567890</v></c><c r="B{0}" t="e"><v>#N/A</v></c>'
    rows = [f'<row r="{n}" spans="1:2" x14ac:dyDescent="0.25">{cells.format(n)}</row>' for n in range(1, 9)]
    path = raw_workbook(tmp_path / "book.xlsx", *rows)

    assert in_blocks(path, 200) == rewritten(path)
    assert in_blocks(path, 200)[0][1][1] == ErrorCell("#N/A")


def test_a_sheet_whose_part_has_another_name_is_read(tmp_path: Path) -> None:
    plain = raw_workbook(tmp_path / "book.xlsx", row(1, text("A1", "a")), row(2, text("A2", "b")))
    moved = tmp_path / "moved.xlsx"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(moved, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = source.read(name).replace(b"worksheets/sheet1.xml", b"worksheets/Other Sheet.xml")
            target.writestr(name.replace("sheet1.xml", "Other Sheet.xml"), content)

    assert in_blocks(moved, 50) == [(1, {0: "a"}), (2, {0: "b"})]


def test_dates_that_count_from_1904_are_read_the_same_in_all_ways(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    page = book.active
    assert page is not None
    for day in range(1, 29):
        page.append([datetime(2011, 2, day, 13, 45), "x" * 40])
    path = tmp_path / "book.xlsx"
    book.save(path)

    rows = in_blocks(path, 300)

    assert rows == rewritten(path)
    assert rows[0] == (1, {0: datetime(2011, 2, 1, 13, 45), 1: "x" * 40})
