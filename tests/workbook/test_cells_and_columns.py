"""Cells become the Arrow values that the workbook shows, or a problem that explains why they cannot."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retailpipe.contract_columns import Column
from retailpipe.workbook.cells import Cell, cell_address, column_letters, shown
from retailpipe.workbook.columns import column_converter

TEXT = "string"
PRICE = "decimal128(38, 18)"
MOMENT = "timestamp[us]"
DIGITS_KEPT = 2**53

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**54), 2**54).map(float),
    st.integers(-(10**9), 10**9).map(lambda n: n / 100),
    st.decimals(-(10**9), 10**9, places=5).map(float),
    st.floats(-1, 1),
)


def converted(type_name: str, cells: Sequence[Cell], **rules: Any) -> list[Any]:
    array = column_converter(Column("Column", "column", type_name, **rules)).convert(cells)
    array.validate(full=True)
    assert len(array) == len(cells)
    return array.to_pylist()


def code(type_name: str, cell: Cell, **rules: Any) -> str | None:
    """The code of the problem with a cell; None if there is none. A cell with a problem must become null."""
    converter = column_converter(Column("Column", "column", type_name, **rules))
    value = converter.convert([cell])[0].as_py()
    problem = converter.problem(cell)
    assert problem is None or (value is None and converter.has_problems)
    assert problem is None or (problem.message and problem.hint)
    return problem.code if problem else None


@pytest.mark.parametrize(
    ("index", "letters"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")]
)
def test_columns_have_the_letters_that_excel_shows(index: int, letters: str) -> None:
    assert column_letters(index) == letters


def test_a_cell_has_the_address_that_excel_shows() -> None:
    assert cell_address(222_683, 5) == "F222683"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (536365.0, "536365"),
        (-3.0, "-3"),
        (2.55, "2.55"),
        (0.1, "0.1"),
        (0.0000001, "0.0000001"),
        (123456789012.0, "123456789012"),
        (True, "TRUE"),
        (False, "FALSE"),
        ("C536379", "C536379"),
        (" padded ", " padded "),
        ("00012", "00012"),
        (datetime(2010, 12, 1, 8, 26), "2010-12-01 08:26:00"),
        (date(2010, 12, 1), "2010-12-01"),
        (time(8, 26), "08:26:00"),
    ],
)
def test_text_is_what_the_workbook_shows(cell: Cell, text: str) -> None:
    assert shown(cell) == text
    assert converted(TEXT, [cell]) == [text]


def test_a_duration_beyond_a_day_is_shown_in_hours_as_excel_shows_it() -> None:
    assert shown(timedelta(hours=26, minutes=5)) == "26:05:00"


def test_whole_numbers_in_a_text_column_have_no_decimal_point() -> None:
    assert converted(TEXT, [536365.0, "C536379", "", 85123.0, "85123A"]) == (
        ["536365", "C536379", None, "85123", "85123A"]
    )


def test_blank_cells_of_a_text_column_become_null() -> None:
    assert converted(TEXT, ["WHITE HANGING HEART", "", " "]) == ["WHITE HANGING HEART", None, " "]


@pytest.mark.parametrize(
    ("cells", "texts"),
    [([True, 1.0, False, 0.0], ["TRUE", "1", "FALSE", "0"]), ([1.0, True, 0.0, False], ["1", "TRUE", "0", "FALSE"])],
)
def test_true_and_false_are_not_confused_with_1_and_0(cells: list[Cell], texts: list[str]) -> None:
    assert converted(TEXT, cells) == texts


def test_true_is_not_confused_with_1_from_an_earlier_chunk() -> None:
    converter = column_converter(Column("Column", "column", TEXT))

    chunks = [converter.convert(chunk).to_pylist() for chunk in ([1.0, "a"], [True, "a"], [1.0, "a"])]

    assert chunks == [["1", "a"], ["TRUE", "a"], ["1", "a"]]


@pytest.mark.parametrize("type_name", ["int32", PRICE, MOMENT])
def test_true_is_neither_a_number_nor_a_date(type_name: str) -> None:
    assert code(type_name, True) in ("not_a_number", "not_a_date")


@pytest.mark.parametrize("type_name", [TEXT, "int64"])
@pytest.mark.parametrize("digits", [float(DIGITS_KEPT), -float(DIGITS_KEPT), float(2**60), 2.0**63])
def test_a_number_that_may_have_lost_digits_is_a_problem(type_name: str, digits: float) -> None:
    assert code(type_name, digits) == "digits_lost"


@pytest.mark.parametrize("type_name", [TEXT, "int64"])
def test_the_largest_integer_with_all_its_digits_is_kept(type_name: str) -> None:
    largest = DIGITS_KEPT - 1

    assert [str(value) for value in converted(type_name, [float(largest), float(-largest)])] == (
        [str(largest), str(-largest)]
    )


@pytest.mark.parametrize("cells", [["a\0b"], ["a", "a\0b"], [1.0, "a\0b"]])
def test_a_nul_character_is_a_problem_and_never_stored(cells: list[Cell]) -> None:
    assert converted(TEXT, cells)[-1] is None
    assert code(TEXT, cells[-1]) == "nul_character"


@pytest.mark.parametrize("cell", [6.0, "6", " 6 ", "+6", "006", "6.0", "6."])
def test_an_integer_is_read_from_a_number_and_from_a_text_that_is_clearly_one(cell: Cell) -> None:
    assert converted("int32", [cell]) == [6]


@pytest.mark.parametrize("cells", [[12.5], ["12.5"], [12.5, ""], [12.5, 1.0], [1e-300]])
def test_a_fraction_in_an_integer_column_is_a_problem_not_a_rounded_number(cells: list[Cell]) -> None:
    assert converted("int32", cells)[0] is None
    assert code("int32", cells[0]) == "not_an_integer"


@pytest.mark.parametrize("bound", [-(2**31), 2**31 - 1])
def test_the_limits_of_int32_are_accepted(bound: int) -> None:
    assert converted("int32", [float(bound), float(bound)]) == [bound, bound]
    assert converted("int32", [str(bound), ""]) == [bound, None]


@pytest.mark.parametrize("cell", [2.0**31, -(2.0**31) - 1, "2147483648", 1e12])
def test_a_number_beyond_int32_is_a_problem(cell: Cell) -> None:
    assert code("int32", cell) == "out_of_range"


def test_a_text_may_hold_more_digits_than_a_number() -> None:
    assert converted("int64", [str(2**63 - 1), str(-(2**63))]) == [2**63 - 1, -(2**63)]
    assert code("int64", str(2**63)) == "out_of_range"


@pytest.mark.parametrize("type_name", ["int32", "int64", PRICE])
@pytest.mark.parametrize(
    "text",
    [
        *("1,234", "1.234,5", "£2.55", "2.55 GBP", "1e3", "0x1F", "(5)", "5-", "--5", "1_000", "1 000", "50%"),
        *("½", "\N{FULLWIDTH DIGIT FIVE}", "\N{ARABIC-INDIC DIGIT FIVE}", "\N{MINUS SIGN}5", ".", "-", "1.2.3"),
        *("nan", "inf", "Infinity", "six", "=1+1", "#N/A", "TRUE"),
    ],
)
def test_a_text_that_is_not_clearly_a_number_is_a_problem(type_name: str, text: str) -> None:
    assert code(type_name, text) == "not_a_number"


@pytest.mark.parametrize("type_name", ["int32", "int64", PRICE])
@pytest.mark.parametrize(
    "cell", [float("nan"), float("inf"), datetime(2010, 12, 1), date(2010, 12, 1), time(8), timedelta(hours=30)]
)
def test_a_cell_that_is_not_a_number_is_a_problem_in_a_number_column(type_name: str, cell: Cell) -> None:
    assert code(type_name, cell) == "not_a_number"


@pytest.mark.parametrize("type_name", ["int32", "int64", PRICE, MOMENT, "date32"])
@pytest.mark.parametrize("cell", ["", " ", "\t", "\u00a0"])
def test_a_blank_cell_is_null_and_not_a_problem(type_name: str, cell: str) -> None:
    assert converted(type_name, [cell]) == [None]
    assert code(type_name, cell) is None


@pytest.mark.parametrize(
    ("cell", "exact"),
    [
        (2.55, "2.55"),
        (0.001, "0.001"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-11062.06, "-11062.06"),
        (38970.0, "38970"),
        (1e16, "10000000000000000"),
        (4.450147717014403e-05, None),
        ("2.550", "2.55"),
        (" .5 ", "0.5"),
        ("0" * 39 + "1", "1"),
        ("0.123456789012345678", "0.123456789012345678"),
        ("99999999999999999999.999999999999999999", "99999999999999999999.999999999999999999"),
    ],
)
def test_a_decimal_has_the_value_that_the_workbook_shows(cell: Cell, exact: str | None) -> None:
    assert converted(PRICE, [cell, ""])[0] == (Decimal(exact) if exact else None)
    assert converted(PRICE, [cell, cell])[1] == (Decimal(exact) if exact else None)


@pytest.mark.parametrize("zeros", [1, 17, 18, 19, 30, 37, 38, 39, 40])
def test_trailing_zeros_of_a_decimal_in_a_text_do_not_matter(zeros: int) -> None:
    assert converted(PRICE, ["1." + "0" * zeros]) == [Decimal(1)]


@pytest.mark.parametrize("cell", ["0.1234567890123456789", 1e-19, 5e-324, 1.2345e-15])
def test_more_decimals_than_the_type_holds_are_a_problem_not_a_rounded_number(cell: Cell) -> None:
    assert code(PRICE, cell) == "too_many_decimals"


@pytest.mark.parametrize("cell", [1e20, -1e20, 1.7e308, "1" + "0" * 20])
def test_a_decimal_too_large_for_its_type_is_a_problem(cell: Cell) -> None:
    assert code(PRICE, cell) == "out_of_range"


@pytest.mark.parametrize("cells", [[999.99], [-999.99, 1.0], [999.99, ""], ["999.99"]])
def test_a_narrow_decimal_holds_its_largest_number(cells: list[Cell]) -> None:
    assert abs(converted("decimal128(5, 2)", cells)[0]) == Decimal("999.99")


@pytest.mark.parametrize(("cell", "problem"), [(1000.0, "out_of_range"), (0.125, "too_many_decimals")])
def test_a_number_that_does_not_fit_a_narrow_decimal_is_a_problem(cell: float, problem: str) -> None:
    assert code("decimal128(5, 2)", cell) == problem


@given(st.lists(numbers, min_size=1, max_size=8))
@example([2.55, 0.001, 1234.567])
def test_decimals_are_the_shortest_with_the_same_float(cells: list[float]) -> None:
    shortest = [Decimal(repr(cell)) for cell in cells]
    fits = [abs(n) < 10**20 and -n.normalize().as_tuple().exponent <= 18 for n in shortest]

    assert converted(PRICE, cells) == [n if fit else None for n, fit in zip(shortest, fits, strict=True)]


@given(st.lists(st.decimals(-99_999, 99_999, places=9).map(lambda n: n.normalize()), min_size=1, max_size=8))
def test_decimals_of_up_to_fourteen_digits_come_back_as_they_were_entered(entered: list[Decimal]) -> None:
    assert converted(PRICE, [float(number) for number in entered]) == entered


@pytest.mark.parametrize("type_name", [TEXT, "int32", "int64", PRICE, "decimal128(5, 2)", "decimal128(38, 0)"])
@given(cells=st.lists(numbers | st.sampled_from([2.0**53, 2.0**63, -(2.0**63), 999.99, -0.0]), max_size=6))
def test_a_cell_is_converted_the_same_whatever_else_is_in_its_chunk(type_name: str, cells: list[float]) -> None:
    """Only a chunk that holds nothing but numbers is converted with vectorised operations."""
    alone = converted(type_name, cells)

    assert converted(type_name, [*cells, "", "x"])[: len(cells)] == alone
    assert converted(type_name, [*cells, True])[: len(cells)] == alone
    assert [converted(type_name, [cell])[0] for cell in cells] == alone


@pytest.mark.parametrize("type_name", [TEXT, "int32", PRICE, MOMENT, "date32"])
def test_an_empty_chunk_becomes_an_empty_array_of_the_type(type_name: str) -> None:
    column = Column("Column", "column", type_name)

    assert column_converter(column).convert([]).equals(pa.array([], column.arrow_type))


def test_a_date_at_midnight_is_a_timestamp() -> None:
    cells: list[Cell] = [datetime(2010, 12, 1, 8, 26), date(2010, 12, 1)]

    assert converted(MOMENT, cells) == [datetime(2010, 12, 1, 8, 26), datetime(2010, 12, 1)]


@pytest.mark.parametrize("cell", [40513.35, time(0), timedelta(hours=30), "2010-12-01", "soon"])
def test_a_cell_that_is_not_a_date_is_a_problem_in_a_timestamp_column(cell: Cell) -> None:
    assert code(MOMENT, cell) == "not_a_date"


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2010-12-01 08:26", datetime(2010, 12, 1, 8, 26)),
        (" 2010-12-01 08:26 ", datetime(2010, 12, 1, 8, 26)),
        ("12/1/2010", datetime(2010, 12, 1)),
        ("1/12/2010", datetime(2010, 1, 12)),
    ],
)
def test_a_date_in_a_text_is_read_in_the_formats_of_the_contract(cell: str, moment: datetime) -> None:
    assert converted(MOMENT, [cell], formats=("%Y-%m-%d %H:%M", "%m/%d/%Y")) == [moment]


@pytest.mark.parametrize("cell", ["2010-13-01 08:26", "2011-02-29 00:00", "31/12/2010", "2010-12-01 08:26 pm"])
def test_a_date_in_a_text_of_another_format_is_a_problem(cell: str) -> None:
    assert code(MOMENT, cell, formats=("%Y-%m-%d %H:%M", "%m/%d/%Y")) == "not_a_date"


def test_a_date_column_does_not_accept_a_time_of_day() -> None:
    assert converted("date32", [datetime(2010, 12, 1), date(2010, 12, 2)]) == [date(2010, 12, 1), date(2010, 12, 2)]
    assert code("date32", datetime(2010, 12, 1, 8, 26)) == "not_a_date"


@given(st.datetimes(datetime(1900, 3, 1), datetime(9999, 12, 31, 23, 59, 59)))
def test_every_moment_is_kept_to_the_microsecond(moment: datetime) -> None:
    assert converted(MOMENT, [moment, ""]) == [moment, None]


def test_the_message_of_a_problem_shortens_a_long_cell() -> None:
    problem = column_converter(Column("Column", "column", "int32")).problem("x" * 5_000)

    assert problem is not None
    assert "xxx" in problem.message
    assert len(problem.message) < 200


@pytest.mark.parametrize("cell", [1.7e308, 5e-324])
def test_a_problem_shortens_a_long_number(cell: float) -> None:
    problem = column_converter(Column("Column", "column", PRICE)).problem(cell)

    assert problem is not None
    assert len(problem.message) < 200


def test_memory_does_not_grow_with_the_distinct_values_of_a_column() -> None:
    converter = column_converter(Column("Column", "column", TEXT))
    held: list[int] = []
    try:
        for start in range(0, 220_000, 1_000):
            if start == 100_000:
                tracemalloc.start()
            converter.convert([float(number) for number in range(start, start + 1_000)])
            if start in (120_000, 219_000):
                held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()

    assert held[1] - held[0] < 2_000_000
