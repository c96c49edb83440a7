"""Which blocks of rows are cut into their distinct cells, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from retailpipe.contract import Contract
from retailpipe.workbook.chunks import RepeatedCells
from retailpipe.workbook.cutting import Block
from retailpipe.workbook.package import Package
from retailpipe.workbook.parsing import BlockParser, Parsed, Way
from retailpipe.workbook.repeats import cut_cells
from retailpipe.workbook.shards import BlockReader
from retailpipe.workbook.slots import Slots
from tests.support.workbooks import contract_of, raw_workbook, read, row, text
from tests.workbook.test_all_ways import WRITERS

HEAD, FOOT = '<row r="{}" spans="1:2">', "</row>"


def rows(*cells: str, first: int = 11) -> bytes:
    """The XML of consecutive rows; each argument is the cells of one row, with {} for its row number."""
    numbered = enumerate(cells, start=first)
    return "".join(HEAD.format(number) + each.replace("{}", str(number)) + FOOT for number, each in numbered).encode()


def test_a_block_is_cut_into_its_distinct_cells() -> None:
    a, b = '<c r="A{}" t="s"><v>1</v></c>', '<c r="C{}" s="3"><f>A1*2</f><v>40513.5</v></c>'

    cut = cut_cells(rows(a + b, b, a + b))

    assert cut
    assert (cut.numbers, cut.cells, list(cut.columns)) == (range(11, 14), 5, [0, 2])
    assert cut.columns[0].distinct == [b'" t="s"><v>1</v>']
    assert cut.columns[0].places.to_pylist() == [0, None, 0]
    assert cut.columns[2].distinct == [b'" s="3"><f>A1*2</f><v>40513.5</v>']
    assert cut.columns[2].places.to_pylist() == [0, 0, 0]


def test_row_numbers_may_have_gaps() -> None:
    cut = cut_cells(rows('<c r="A{}"><v>5</v></c>') + rows('<c r="A{}"><v>5</v></c>', first=17))

    assert cut
    assert cut.numbers == [11, 17]


CELL = '<c r="A{}"><v>5</v></c>'
NOT_CUT = [
    ("no cells", b'<row r="11"></row>'),
    ("an empty block", b""),
    ("not rows", b"<c></c>"),
    ("an address in lower case", rows('<c r="a{}"><v>5</v></c>')),
    ("a column beyond Z", rows('<c r="AA{}"><v>5</v></c>')),
    ("an address with a leading zero", rows('<c r="A0{}"><v>5</v></c>')),
    ("row numbers of one and of two digits", rows(CELL, CELL, first=9)),
    ("no address", rows("<c><v>5</v></c>")),
    ("an attribute before the address", rows('<c s="1" r="A{}"><v>5</v></c>')),
    ("single quotes", rows("<c r='A{}'><v>5</v></c>")),
    ("blanks between cells", rows(CELL + '\n<c r="B{}"><v>5</v></c>')),
    ("a prefix", b'<x:row r="11"><x:c r="A11"><x:v>5</x:v></x:c></x:row>'),
    ("two cells of one address", rows(CELL + CELL)),
    (
        "an address of the row before, which has that cell too",
        rows(CELL, '<c r="B{}"><v>5</v></c><c r="A11"><v>5</v></c>'),
    ),
    ("a row above the row before", rows(CELL, first=12) + rows(CELL, first=11)),
    ("a row twice", rows(CELL, first=12) + rows(CELL, first=12)),
    ("a row beyond the last", rows(CELL, first=1_048_577)),
    ("an unknown attribute of a row", b'<row r="11" x="1"><c r="A11"><v>5</v></c></row>'),
    ("a row that is not closed", b'<row r="11"><c r="A11"><v>5</v></c>'),
    ("something after the rows", rows(CELL) + b"<x/>"),
]


@pytest.mark.parametrize("block", [pytest.param(block, id=name) for name, block in NOT_CUT])
def test_a_block_of_another_form_is_not_cut(block: bytes) -> None:
    assert cut_cells(block) is None


NOT_EXPECTED = [
    ("an additional element", '<c r="B{}"><v>1</v><x/></c>'),
    ("a blank cell before it", '<c r="B{}" s="1"/><c r="D{}"><v>1</v></c>'),
    ("a text in runs", '<c r="B{}" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r></is></c>'),
]


def first_columns(path: Path, way: Way = Way.QUICKEST) -> list[object]:
    """Read the first sheet; return the first column of each chunk."""
    package = Package(path, path.name)
    slots = Slots(package)
    blocks = BlockReader(package, package.sheets[0], slots, way=way)
    try:
        return [chunk.columns[0] for chunk in blocks]
    finally:
        blocks.close()
        slots.close()


def test_a_cell_of_another_form_is_read_in_the_normal_way(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    for name, cell in NOT_EXPECTED:
        xml = [row(n, f'<c r="A{n}"><v>5</v></c>', cell.replace("{}", str(n))) for n in range(11, 40)]
        raw_workbook(path, *xml)

        cut = [isinstance(cells, RepeatedCells) for cells in first_columns(path)]

        assert cut == [name == "a blank cell before it"], name


@pytest.mark.parametrize("write", WRITERS)
def test_rows_that_common_libraries_write_are_cut(tmp_path: Path, write: object) -> None:
    path = tmp_path / "book.xlsx"
    assert callable(write)
    # All row numbers of a block must have the same number of digits.
    write(path, [[None]] * 99 + [["text", 5, 2.5, None, "more"], ["text", None, 7.5, True, "other"]] * 200)

    assert all(isinstance(cells, RepeatedCells) for cells in first_columns(path))


def test_blank_cells_and_rows_with_a_style_are_skipped(tmp_path: Path) -> None:
    blank = '<c r="B{0}" s="1"/><c r="C{0}" s="1"></c>'
    used = [row(n, f'<c r="A{n}"><v>5</v></c>' + blank.format(n)) for n in range(11, 30)]
    empty = [f'<row r="{n}" spans="1:2" s="1"/>' for n in range(30, 40)]
    unused = [row(n, blank.format(n)) for n in range(40, 50)]
    last = row(50, '<c r="A50"><v>6</v></c>')
    path = raw_workbook(tmp_path / "book.xlsx", *used, *empty, *unused, last)
    package = Package(path, path.name)

    [chunk] = BlockReader(package, package.sheets[0], Slots(package))

    assert list(chunk.numbers) == [*range(11, 30), 50]
    assert list(chunk.column(0)) == [5.0] * 19 + [6.0]
    assert list(chunk.column(2)) == [""] * 20


def test_only_new_cells_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = raw_workbook(
        tmp_path / "book.xlsx",
        *[row(n, f'<c r="A{n}"><v>{n % 7}</v></c>', f'<c r="B{n}"><v>2.5</v></c>') for n in range(1000, 9000)],
    )
    seen: list[int] = []
    parse = BlockParser._parse

    def recorded(self: BlockParser, block: Block, in_order: bool = False) -> list[Parsed]:
        seen.append(block.xml.count(b"<c "))
        return parse(self, block, in_order)

    monkeypatch.setattr(BlockParser, "_parse", recorded)
    package = Package(path, path.name)
    blocks = BlockReader(package, package.sheets[0], Slots(package), 20_000)
    numbers = [number for chunk in blocks for number in chunk.numbers]

    assert sorted(numbers) == list(range(1000, 9000))
    assert 8 <= sum(seen) < 100


def test_cells_that_do_not_repeat_are_read_in_the_normal_way(tmp_path: Path) -> None:
    path = raw_workbook(tmp_path / "book.xlsx", *[row(n, f'<c r="A{n}"><v>{n}.5</v></c>') for n in range(100, 900)])

    assert not any(isinstance(cells, RepeatedCells) for cells in first_columns(path))
    assert all(isinstance(cells, RepeatedCells) for cells in first_columns(path, Way.DISTINCT))


def test_rejects_of_repeated_cells_have_the_address_of_their_own_cell(tmp_path: Path) -> None:
    contract: Contract = contract_of(
        tmp_path,
        {"header": "Code", "type": "string", "required": True},
        {"header": "Chunks", "type": "int32", "minimum": 1},
    )
    good = '<c r="A{0}" t="inlineStr"><is><t>x</t></is></c><c r="B{0}"><v>5</v></c>'
    bad = '<c r="A{0}" t="inlineStr"><is><t>x</t></is></c><c r="B{0}"><v>0</v></c>'
    missing = '<c r="B{0}"><v>5</v></c>'
    cells = [bad if n % 10 == 0 else missing if n % 10 == 5 else good for n in range(100, 140)]
    header = row(99, text("A99", "Code"), text("B99", "Chunks"))
    path = raw_workbook(
        tmp_path / "book.xlsx", header, *[row(n, xml.format(n)) for n, xml in enumerate(cells, start=100)]
    )

    reading = read(path, contract)

    assert reading.codes == [
        (f"{'B' if n % 10 == 0 else 'A'}{n}", "below_minimum" if n % 10 == 0 else "missing") for n in range(100, 140, 5)
    ]
    assert reading.rows_read == 40
