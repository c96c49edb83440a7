"""The judge: the rules of the contract, the content of a reject, and that no row is lost or counted twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retailpipe.bronze.judge import Judge
from retailpipe.contract import Contract
from retailpipe.workbook.cells import column_letters
from retailpipe.workbook.reader import open_workbook
from tests.support.workbooks import Reading, contract_of, number, raw_workbook, read, row, text

PRICE = "decimal128(38, 18)"


def judged(folder: Path, rules: Mapping[str, object], *cells: Any) -> Reading:
    """Read a workbook with these cells in one column; a second column keeps rows with a blank cell from being blank."""
    contract = contract_of(folder, {"header": "Value", **rules}, {"header": "Rest", "type": "string"})
    return judged_rows(folder, contract, ["Value", "Rest"], *([cell, "rest"] for cell in cells))


def judged_rows(folder: Path, contract: Contract, *rows: Sequence[Any]) -> Reading:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "Sales"
    for cells in rows:
        book.active.append(list(cells))
    book.save(folder / "book.xlsx")
    return read(folder / "book.xlsx", contract)


@pytest.mark.parametrize(
    ("rules", "kept", "broken", "code"),
    [
        ({"type": "int32", "minimum": -5}, [-5, 0, None], [-6], "below_minimum"),
        ({"type": "int32", "maximum": 5}, [5, 0, None], [6, "7"], "above_maximum"),
        ({"type": "int64", "maximum": 2**40}, [2**40], [2**40 + 1], "above_maximum"),
        ({"type": PRICE, "minimum": 0}, [0, 0.001], [-0.001, -11062.06], "below_minimum"),
        ({"type": PRICE, "maximum": 0.1}, [0.1, "0.1"], [0.1 + 1e-17 + 1e-16, "0.100000000000000001"], "above_maximum"),
        ({"type": PRICE, "maximum": 10_000}, [10_000], [10_000.01, 38_970], "above_maximum"),
        ({"type": "string", "max_length": 3}, ["abc", 123, "é🙂é", None], ["abcd", 1234, -123, True], "too_long"),
        ({"type": "string", "required": True}, ["x", 0, False], [None], "missing"),
        ({"type": "int32", "required": True}, [0], [None, "  "], "missing"),
        ({"type": PRICE, "required": True}, [0], [None, "  "], "missing"),
        ({"type": "timestamp[us]", "required": True}, [datetime(2010, 12, 1)], [None, " "], "missing"),
        ({"type": "int32"}, [1, None, " "], [1.5], "not_an_integer"),
        ({"type": "int32"}, [2**31 - 1, -(2**31)], [2**31], "out_of_range"),
        ({"type": "date32"}, [date(2010, 12, 1)], [datetime(2010, 12, 1, 8)], "not_a_date"),
    ],
)
def test_a_rule_rejects_only_the_rows_that_break_it(
    tmp_path: Path, rules: dict[str, object], kept: list[Any], broken: list[Any], code: str
) -> None:
    reading = judged(tmp_path, rules, *kept, *broken)

    assert reading.column("source_row") == list(range(2, 2 + len(kept)))
    assert reading.codes == [(f"A{2 + len(kept) + n}", code) for n in range(len(broken))]


@pytest.mark.parametrize("type_name", ["timestamp[us]", "date32"])
def test_bounds_of_dates_include_the_whole_first_and_last_day(tmp_path: Path, type_name: str) -> None:
    rules = {"type": type_name, "minimum": date(2010, 12, 1), "maximum": date(2011, 12, 9)}

    reading = judged(tmp_path, rules, date(2010, 11, 30), date(2010, 12, 1), date(2011, 12, 9), date(2011, 12, 10))

    assert reading.column("source_row") == [3, 4]
    assert reading.codes == [("A2", "below_minimum"), ("A5", "above_maximum")]


def test_the_last_second_of_the_last_day_is_within_the_bounds(tmp_path: Path) -> None:
    rules = {"type": "timestamp[us]", "maximum": date(2011, 12, 9)}

    reading = judged(tmp_path, rules, datetime(2011, 12, 9, 23, 59, 59), datetime(2011, 12, 10))

    assert reading.codes == [("A3", "above_maximum")]


@pytest.mark.parametrize(("rules", "code"), [({"required": True}, "missing"), ({"max_length": 3}, "too_long")])
def test_a_text_of_only_blanks_counts_as_missing_if_required_and_can_be_too_long(
    tmp_path: Path, rules: dict[str, object], code: str
) -> None:
    contract = contract_of(tmp_path, {"header": "Value", "type": "string", **rules})
    path = raw_workbook(tmp_path / "book.xlsx", row(1, text("A1", "Value")), row(2, text("A2", "     ")))

    assert read(path, contract).codes == [("A2", code)]


def test_a_reject_has_its_cell_its_value_its_reason_and_the_whole_row(tmp_path: Path) -> None:
    (reject,) = judged(tmp_path, {"type": PRICE, "maximum": 10_000}, 1, 38_970.25).rejects

    assert (reject.sheet, reject.source_row, reject.cell) == ("Sales", 3, "A3")
    assert (reject.column_name, reject.raw_value, reject.code) == ("value", "38970.25", "above_maximum")
    assert reject.message == "38970.25 is above 10000"
    assert "Value" in reject.hint
    assert reject.raw_row == {"Value": "38970.25", "Rest": "rest"}


@pytest.mark.parametrize(
    ("rules", "cell"),
    [
        ({"type": "int32"}, "six"),
        ({"type": "int32"}, 12.5),
        ({"type": PRICE}, "2,55"),
        ({"type": "timestamp[us]"}, "last Tuesday"),
        ({"type": "string", "max_length": 3}, "too long"),
        ({"type": "int32", "minimum": 0}, -3),
    ],
)
def test_the_message_of_a_reject_contains_the_value_or_its_length(
    tmp_path: Path, rules: dict[str, object], cell: Any
) -> None:
    (reject,) = judged(tmp_path, rules, cell).rejects

    assert str(cell) in reject.message or f"{len(str(cell))} characters" in reject.message
    assert reject.raw_value == str(cell)
    assert reject.hint


def test_a_row_with_several_wrong_cells_is_one_reject_that_names_all_of_them(tmp_path: Path) -> None:
    contract = contract_of(
        tmp_path,
        {"header": "Code", "type": "string", "required": True},
        {"header": "Chunks", "type": "int32"},
        {"header": "Price", "type": PRICE, "minimum": 0},
    )

    reading = judged_rows(tmp_path, contract, ["Price", "Chunks", "Code"], [1, 1, "A"], [-1, 2.5, None])

    (reject,) = reading.rejects
    assert (reject.cell, reject.code, reject.column_name) == ("C3", "missing", "code")
    assert "also B3: 2.5 is not a whole number" in reject.message
    assert "also A3: -1 is below 0" in reject.message
    assert (reading.rows_read, len(reading.rows)) == (2, 1)


def test_the_raw_row_includes_columns_that_the_contract_does_not_name(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, {"header": "Price", "type": PRICE})

    (reject,) = judged_rows(tmp_path, contract, ["Price", "Note", None], ["dear", "n", 3]).rejects

    assert reject.raw_row == {"Price": "dear", "Note": "n", "C": "3"}


def test_the_raw_row_includes_both_columns_if_two_have_the_same_header(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, {"header": "Price", "type": PRICE})

    (reject,) = judged_rows(tmp_path, contract, ["Price", "Note", "Note"], ["dear", "first", "second"]).rejects

    assert {"first", "second"} <= set(reject.raw_row.values())


def test_the_first_and_the_last_date_are_those_of_the_accepted_rows(tmp_path: Path) -> None:
    contract = contract_of(tmp_path, {"header": "Sold", "type": "timestamp[us]"}, {"header": "Chunks", "type": "int32"})
    days = [datetime(2011, 1, 2), datetime(2011, 1, 1), datetime(2011, 1, 3), datetime(2010, 1, 1)]
    book = openpyxl.Workbook()
    assert book.active is not None
    for cells in (["Sold", "Chunks"], *([day, 1] for day in days[:3]), [days[3], "broken"], [None, 1]):
        book.active.append(cells)
    book.save(tmp_path / "book.xlsx")
    workbook = open_workbook(tmp_path / "book.xlsx", contract)
    judge = Judge(contract)

    for layout, chunk in workbook.chunks():
        judge.judge(chunk, layout)

    assert (judge.first_date, judge.last_date) == (datetime(2011, 1, 1), datetime(2011, 1, 3))


@pytest.mark.parametrize(("rejects", "is_over"), [(3, False), (4, True)])
def test_a_sheet_is_over_the_reject_limit_once_no_number_of_rows_would_allow_its_rejects(
    tmp_path: Path, rejects: int, is_over: bool
) -> None:
    contract = contract_of(tmp_path, {"header": "Price", "type": PRICE}, max_rejects=3)
    rows = [row(n, text(f"A{n}", "dear")) for n in range(2, 2 + rejects)]
    workbook = open_workbook(raw_workbook(tmp_path / "book.xlsx", row(1, text("A1", "Price")), *rows), contract)
    judge = Judge(contract)

    for layout, chunk in workbook.chunks():
        judge.judge(chunk, layout)

    assert judge.over_reject_limit is is_over


class Cell(NamedTuple):
    """A cell of a generated sheet: how to write it in XML, and the expected value or reject code."""

    kind: str
    content: str
    value: Any = None
    code: str | None = None


blank = st.just(Cell("blank", ""))
words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
codes = st.one_of(
    blank.map(lambda cell: cell._replace(code="missing")),
    words.filter(lambda word: "_x" not in word).map(
        lambda word: Cell("text", word, word, None if len(word) <= 8 else "too_long")
    ),
    st.integers(-(10**9), 10**9).map(
        lambda n: Cell("number", str(n), str(n), None if len(str(n)) <= 8 else "too_long")
    ),
)
chunks = st.one_of(
    blank,
    st.integers(-(2**31), 2**31 - 1).map(lambda n: Cell("number", str(n), n)),
    st.integers(-(2**31), 2**31 - 1).map(lambda n: Cell("text", f" {n} ", n)),
    st.sampled_from([2**31, -(2**31) - 1]).map(lambda n: Cell("number", str(n), None, "out_of_range")),
    st.integers(-(10**6), 10**6).map(lambda n: Cell("number", f"{n}.5", None, "not_an_integer")),
    st.just(Cell("text", "six", None, "not_a_number")),
)


def _price(price: float) -> Cell:
    exact = Decimal(repr(price))
    too_fine = -exact.normalize().as_tuple().exponent > 18
    code = (
        "too_many_decimals"
        if too_fine
        else "below_minimum"
        if price < 0
        else "above_maximum"
        if price > 10_000
        else None
    )
    return Cell("number", repr(price), exact, code)


prices = st.one_of(
    st.floats(-100, 20_000).map(_price),
    st.integers(0, 1_000_000).map(lambda pence: _price(pence / 100)),
    st.just(Cell("text", "1,50", None, "not_a_number")),
    blank.map(lambda cell: cell._replace(code="missing")),
)
sheets = st.lists(st.none() | st.tuples(codes, chunks, prices), max_size=12)


@given(rows=sheets, repeated=st.integers(1, 90), first_row=st.integers(1, 4), first_column=st.integers(0, 30))
@settings(max_examples=60)
def test_every_row_is_either_accepted_unchanged_or_rejected_with_its_cell(
    rows: list[tuple[Cell, Cell, Cell] | None], repeated: int, first_row: int, first_column: int
) -> None:
    """The expected result is computed row by row; rows that are None or have three blank cells do not count."""
    letters = [column_letters(first_column + n) for n in range(3)]
    headers = ("Code", "Chunks", "Price")
    xml = [row(first_row, *(text(f"{at}{first_row}", name) for at, name in zip(letters, headers, strict=True)))]
    kept: list[dict[str, Any]] = []
    rejected: list[tuple[str, str]] = []
    for index, cells in enumerate(rows * repeated, start=first_row + 1):
        if cells is None or all(cell.kind == "blank" for cell in cells):
            continue
        places = [f"{at}{index}" for at in letters]
        build = {"text": text, "number": number}
        xml.append(
            row(
                index, *(build[c.kind](at, c.content) for at, c in zip(places, cells, strict=True) if c.kind != "blank")
            )
        )
        broken = [(at, cell.code) for at, cell in zip(places, cells, strict=True) if cell.code]
        if broken:
            rejected.append(broken[0])
        else:
            kept.append(dict(zip(("code", "chunks", "price"), (c.value for c in cells), strict=True), source_row=index))

    with TemporaryDirectory() as folder:
        contract = contract_of(
            Path(folder),
            {"header": "Code", "type": "string", "required": True, "max_length": 8},
            {"header": "Chunks", "type": "int32"},
            {"header": "Price", "type": PRICE, "required": True, "minimum": 0, "maximum": 10_000},
        )
        reading = read(raw_workbook(Path(folder) / "book.xlsx", *xml), contract)

    assert reading.rows == kept
    assert reading.codes == rejected
    assert reading.rows_read == len(kept) + len(rejected)
