"""Tables: complete outside a terminal, and never wider than a terminal."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from rich.cells import cell_len

from retailpipe.cli.tables import table_text, wrapped

COLUMNS = ["key", "day", "amount", "text"]
KEY, DAY, AMOUNT = "input/online_retail.xlsx", datetime(2011, 12, 9, 12, 50), Decimal("1234567.89")
PROSE = "the text has 70 characters; the maximum is 60"
ROWS = [[KEY, DAY, AMOUNT, PROSE], [KEY, DAY, None, "short"]]


def test_outside_a_terminal_nothing_is_wrapped() -> None:
    text, left_out = table_text(COLUMNS, [[KEY, DAY, AMOUNT, PROSE * 20]])

    assert PROSE * 20 in text
    assert (len(text.splitlines()), left_out) == (3, [])


@pytest.mark.parametrize("width", [*range(20, 120, 7), 200])
def test_on_a_terminal_no_line_is_wider_and_no_word_is_lost(width: int) -> None:
    text, _ = table_text(COLUMNS, ROWS, width=width)

    assert max(map(cell_len, text.split("\n"))) <= width
    shown = "".join(text.split())
    for word in (KEY, str(AMOUNT), "12:50:00"):
        assert word in shown or width < 40  # in a very narrow terminal, the pieces of a word are on several lines


def test_only_texts_are_wrapped() -> None:
    text, _ = table_text(COLUMNS, ROWS, width=90)

    header, rule, first, second, *_ = text.split("\n")
    assert header.split() == COLUMNS
    assert {len(rule), len(header)} <= set(range(91))
    assert first.startswith(f"{KEY}  2011-12-09 12:50:00  1234567.89  the text has 70 characters; the")
    assert second.strip() == "maximum is 60"


def test_a_table_without_spare_columns_becomes_one_line_per_column() -> None:
    text, left_out = table_text(COLUMNS, ROWS, width=60)

    assert left_out == []
    assert text.split("\n")[:5] == [
        "--- row 1 " + "-" * 50,
        f"key:    {KEY}",
        "day:    2011-12-09 12:50:00",
        "amount: 1234567.89",
        f"text:   {PROSE}",
    ]


def test_spare_columns_are_left_out_in_their_order() -> None:
    text, left_out = table_text(COLUMNS, ROWS, width=60, spare=["day", "text"])

    assert left_out == ["day"]
    assert text.split("\n")[0].split() == ["key", "amount", "text"]


def test_a_text_of_many_lines_is_shown_completely() -> None:
    text, _ = table_text(["n", "text"], [[1, "word " * 300]], width=60)

    assert text.startswith("--- row 1 ")
    assert text.count("word") == 300


@pytest.mark.parametrize("width", [None, 60])
def test_wide_and_combining_characters_are_aligned(width: int | None) -> None:
    rows = [["日本語", 1], ["e\u0301a", 2], ["plain", 3]]

    lines = table_text(["名前", "n"], rows, width=width)[0].split("\n")

    assert {cell_len(line) for line in lines} == {9}


def test_a_long_word_of_wide_characters_is_broken() -> None:
    lines = wrapped("日" * 50, 21)

    assert "".join(lines) == "日" * 50
    assert {cell_len(line) for line in lines} == {20}


def test_escapes_count_with_the_width_that_they_are_printed_with() -> None:
    text, _ = table_text(["a\x1b", "b"], [["\x1b" * 10, "x\ty"]], width=60)

    header, rule, row = text.split("\n")
    assert header == r"a\x1b" + " " * 37 + "b"
    assert row == r"\x1b" * 10 + r"  x\x09y"
    assert len(rule) == len(row)


@pytest.mark.parametrize("width", [None, 60])
def test_tables_without_rows_or_columns(width: int | None) -> None:
    assert table_text(["a", "b"], [], width=width)[0] == "a  b\n-  -"
    assert table_text([], [[]], width=width)[0] == ""


def test_leading_spaces_are_kept() -> None:
    assert wrapped("  two words", 8) == ["  two", "words"]
    assert wrapped("a-long-word b", 5, break_words=False) == ["a-long-word", "b"]
    assert wrapped("", 5) == [""]
