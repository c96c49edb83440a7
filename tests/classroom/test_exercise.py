"""Workbooks of students: reproducible, different, with the same traps; and the figures expected of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import retailpipe
from retailpipe import Contract, Environment
from retailpipe.classroom.grading.digests import BRONZE, GRADED, REJECTED
from retailpipe.classroom.grading.exercise import MIN_ROWS, Exercise, Line, seed_of
from retailpipe.classroom.grading.expected import Expected
from retailpipe.classroom.grading.submission import collect
from retailpipe.classroom.grading.transactions import cleaned, trimmed
from retailpipe.errors import UsageError
from tests.support.nightly import most_nightly
from tests.support.workbooks import read

SEEDS = [1, 2, 3, seed_of(7, "anna"), seed_of(7, "ben"), 2**64 - 1]


@pytest.fixture(params=SEEDS)
def exercise(request: pytest.FixtureRequest) -> Exercise:
    return Exercise.generate(request.param, MIN_ROWS)


def test_a_seed_gives_these_rows_in_every_version_of_python_and_of_retailpipe() -> None:
    expected = Expected(Exercise.generate(1, 1_000))

    assert expected.digest(BRONZE).whole == "d7273da601c5fa15a230432f1ece7a81"
    assert expected.digest(REJECTED).whole == "9635280e05a6889cf49c3fe804c4adec"


def test_the_seed_of_a_student_depends_on_nothing_but_the_name_and_the_class() -> None:
    seeds = {seed_of(seed, name) for seed in (1, 2) for name in ("anna", "ben")}

    assert seed_of(1, "anna") == 8_449_729_637_591_141_675
    assert len(seeds) == 4


def test_two_workbooks_differ_in_every_table() -> None:
    anna, ben = (Expected(Exercise.generate(seed_of(1, name), 2_000)) for name in ("anna", "ben"))

    same = [table for table in GRADED if anna.digest(table).whole == ben.digest(table).whole]
    assert same == []


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.xlsx", "two.xlsx"):
        Exercise.generate(5, MIN_ROWS).write(tmp_path / name)

    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()


@pytest.mark.parametrize("rows", [0, MIN_ROWS - 1, 1_048_576])
def test_a_workbook_without_room_for_the_traps_is_refused(rows: int) -> None:
    with pytest.raises(UsageError, match=f"{rows:,} rows"):
        Exercise.generate(1, rows)


def test_the_workbook_has_the_number_of_rows_that_was_asked_for(exercise: Exercise) -> None:
    assert len(exercise.rows) == MIN_ROWS
    assert len(exercise.lines) + len(exercise.faults) == MIN_ROWS


def test_every_workbook_has_the_same_kinds_of_rejected_rows(exercise: Exercise) -> None:
    assert {(fault.column_name, fault.code) for fault in exercise.faults.values()} == {
        ("unit_price", "below_minimum"),
        ("unit_price", "above_maximum"),
        ("quantity", "not_an_integer"),
        ("invoice_date", "not_a_date"),
        ("stock_code", "missing"),
    }
    assert 5 <= len(exercise.faults) <= 10


def test_every_workbook_has_each_trap_in_its_codes_prices_and_texts(exercise: Exercise) -> None:
    codes = {trimmed(line.stock_code) for line in exercise.lines}
    texts = {name: [getattr(line, name) for line in exercise.lines] for name in Line._fields}

    assert any(code != code.lower() and code.lower() in codes for code in codes)
    assert any(code.startswith("0") for code in codes)
    assert any(len(code) > 5 for code in codes)
    assert any(price != round(price, 2) for price in texts["unit_price"])
    assert any(
        price == 0 and quantity > 0 for price, quantity in zip(texts["unit_price"], texts["quantity"], strict=True)
    )
    for name in ("stock_code", "country", "customer_id", "description"):
        assert any(text and text != trimmed(text) for text in texts[name]), name
    assert any(text and "\u00a0" in text for text in texts["stock_code"] + texts["country"] + texts["description"])
    assert None in texts["customer_id"]
    assert max(Counter(exercise.lines).values()) > 1


def test_every_workbook_has_returns_and_sales_that_are_easily_mixed_up(exercise: Exercise) -> None:
    rows = [cleaned(line) for line in exercise.lines]
    sold, returned = ([row for row in rows if wanted(row.quantity)] for wanted in (lambda n: n > 0, lambda n: n < 0))

    assert {row.stock_code for row in returned} - {row.stock_code for row in sold}
    assert {row.customer_id for row in returned} - {row.customer_id for row in sold}
    assert "2025-01" in {f"{row.day:%Y-%m}" for row in returned} - {f"{row.day:%Y-%m}" for row in sold}
    assert any(not row.invoice_no.startswith("C") for row in returned)
    assert [row.day for row in rows if row.quantity == 0] == [date(2024, 1, 1)]


def test_every_workbook_has_an_invoice_over_midnight_and_a_customer_of_two_countries(exercise: Exercise) -> None:
    days: defaultdict[str, set[date]] = defaultdict(set)
    countries: defaultdict[str, set[str]] = defaultdict(set)
    for row in map(cleaned, exercise.lines):
        days[row.invoice_no].add(row.day)
        if row.customer_id:
            countries[row.customer_id].add(row.country)

    assert any(
        min(each) + timedelta(days=1) == max(each) and min(each).month != max(each).month for each in days.values()
    )
    assert any(len(each) > 1 for each in countries.values())


def test_every_workbook_has_products_whose_description_is_hard_to_choose(exercise: Exercise) -> None:
    used = Counter((row.stock_code, row.description) for row in map(cleaned, exercise.lines))
    products = {code: name for code, name, *_ in Expected(exercise)._dim_product()}

    assert "Unknown" in products.values()
    assert any(used[code, "?"] > used[code, name] and name != "?" for code, name in products.items())


def test_the_reader_finds_what_the_generator_wrote(exercise: Exercise, tmp_path: Path) -> None:
    exercise.write(tmp_path / "book.xlsx")

    found = read(tmp_path / "book.xlsx", Contract.default())

    assert [tuple(row[name] for name in Line._fields) for row in found.rows] == list(exercise.lines)
    faults = [(reject.column_name, reject.code, reject.raw_value) for reject in found.rejects]
    assert faults == [tuple(exercise.faults[index]) for index in sorted(exercise.faults)]
    assert [reject.source_row for reject in found.rejects] == [index + 2 for index in sorted(exercise.faults)]


@pytest.mark.parametrize("seed", most_nightly([1, seed_of(7, "anna"), seed_of(7, "ben")], {0}))
def test_the_pipeline_gives_the_figures_that_plain_python_computes(
    environment: Environment, tmp_path: Path, seed: int
) -> None:
    exercise = Exercise.generate(seed, 1_000)
    exercise.write(tmp_path / "anna.xlsx")

    assert retailpipe.run(environment, tmp_path / "anna.xlsx").ok

    expected, found = Expected(exercise), collect(environment)
    for table in GRADED:
        digest = expected.digest(table)
        assert found.tables[table].columns == digest.columns, table
        assert (found.tables[table].rows, found.tables[table].digest) == (digest.rows, digest.whole), table
    assert found.days == expected.days
    assert {(each.column, each.code): each.rows for each in found.rejects} == expected.rejects
    assert found.is_built
    assert (found.broken, found.unverified, found.student) == ([], "", "anna")


def test_expected_money_is_exact() -> None:
    expected = Expected(Exercise.generate(1, MIN_ROWS))

    by_row = sum((line.quantity * line.unit_price for line in expected.exercise.lines if line.quantity > 0), Decimal(0))
    for table in ("fact_sales_daily", "int_invoices"):
        column = expected.columns(f"public_silver.{table}")["revenue"]
        assert sum((Decimal(value or 0) for value in column), Decimal(0)) == by_row
