"""The page of facts that are made up here: states of a warehouse that are rare or take long to build."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from importlib import resources

import pytest

from retailpipe.html_report import charts, health
from retailpipe.html_report.facts import (
    Check,
    Facts,
    Ledger,
    Load,
    OwnColumn,
    OwnTable,
    Problem,
    Rejects,
    Rule,
    Series,
)
from retailpipe.html_report.health import Age
from retailpipe.html_report.ledger_facts import NO_LOADS
from retailpipe.html_report.page import page
from retailpipe.html_report.sales_facts import (
    Country,
    CustomerMonth,
    Month,
    Product,
    Sales,
    Slot,
    Tenth,
    Total,
)
from retailpipe.invariants import layer_of
from tests.html_report.reading import Page

NOON = datetime(2026, 11, 29, 12, 0)
LOAD = Load(1, "input/a.xlsx", "loaded", "c", "t", "0" * 64, 1, 1, 0, NOON, NOON, NOON, NOON)
EMPTY = Facts("a store", NOON, (), (), NO_LOADS, None, Rejects(0), None, "No workbook is loaded yet.", (), (), ())


def one(revenue: Decimal = Decimal("2.50"), returns: Decimal = Decimal(0), day: date = date(2011, 1, 31)) -> Sales:
    """The sales of one row: one day, one country, one product and no customer ID."""
    net, total = revenue - returns, Total(1, revenue, returns, revenue - returns)
    return Sales(
        first_date=day,
        last_date=day,
        months=(Month(day.year, day.month, 1, 0, 1, revenue, revenue, 0, returns, net),),
        months_total=total,
        countries=(Country(1, "Norway", 1, 0, 1, revenue, None, returns, net),),
        countries_total=total,
        products=(Product(1, "A", "a lamp", "Product", 1, 1, revenue, returns, net),),
        products_total=total,
        customers=(),
        customers_total=Total(0, Decimal(0), Decimal(0), Decimal(0)),
        tenths=(),
        customer_months=(CustomerMonth(day.year, day.month, 0, 0, Decimal(0), Decimal(0), revenue),),
        weekdays=(Slot(day.isoweekday(), 1, revenue),),
        hours=(Slot(9, 1, revenue),),
    )


def shown(facts: Facts) -> Page:
    return Page.of(page(facts, name="a shop"))


def loaded(sales: Sales | None = None) -> Facts:
    ledger = Ledger(1, 1, 1, 1, 0, (LOAD,), (LOAD,))
    return replace(EMPTY, ledger=ledger, sales=sales, checks=(Check("rows", True, "1", "1", "bronze"),))


def test_one_row_has_a_whole_page() -> None:
    found = shown(loaded(one()))

    assert "1 row was read from 1 workbook, and loaded. No row is missing." in found.text
    assert "In January 2011, revenue was 2.50. Nothing was returned." in found.text
    assert "All sales are to \u2068Norway\u2069." in found.text
    assert found.tables["Revenue by month"] == [
        ["January 2011 (partial)", "1", "0", "1", "2.50", "0", "2.50", "2.50", "\u2013"]
    ]
    assert "Customers, in tenths" not in found.text
    assert "New and returning customers" not in found.text


def test_one_day_is_a_partial_month() -> None:
    found = shown(loaded(one(day=date(2011, 1, 4))))

    assert "Data of 4 January 2011." in found.text
    assert "January 2011 is partial: there is data of 4 January 2011 only." in found.text


@pytest.mark.parametrize("revenue", ["-12.345", "0", "-0.000000000000000001", "123456789012345678901234567890.123"])
def test_any_amount_keeps_its_digits(revenue: str) -> None:
    found = shown(loaded(one(Decimal(revenue))))

    assert Decimal(found.tables["Revenue by month"][0][4]) == Decimal(revenue)


def test_more_returns_than_revenue_are_shown() -> None:
    found = shown(loaded(one(Decimal(2), Decimal(5))))

    assert found.tables["Revenue by month"][0][4:7] == ["2", "5", "-3"]
    assert "Returns were 5.00, more than the revenue." in found.text


def test_forty_failures_are_first_and_large() -> None:
    problems = tuple(
        Problem("An invariant does not hold", f"number {n}: 1 expected, 2 found.", "verify") for n in range(40)
    )

    found = shown(replace(loaded(one()), problems=problems))

    assert "40 things are wrong" in found.text
    assert all(f"number {n}: 1 expected, 2 found." in found.text for n in range(40))
    assert found.text.index("number 39") < found.text.rindex("What it says")


def test_what_needs_attention_is_no_failure() -> None:
    waiting = Problem("1 workbook is not loaded yet", "input/b.xlsx", "run", is_failure=False)

    found = shown(replace(loaded(one()), problems=(waiting,)))

    assert "The figures agree, but 1 thing needs attention" in found.text


def test_broken_invariants_are_marked_in_their_table() -> None:
    found = shown(replace(loaded(one()), checks=(Check("revenue", False, "1234.5", "1234.50001"),)))

    assert found.tables["Invariants"] == [["DOES NOT HOLD", "revenue", "1234.5", "1234.50001"]]
    assert "1 of 1 invariant does not hold." in found.text


def test_rows_that_are_missing_are_not_called_complete() -> None:
    broken = Check("rows loaded in the ledger = rows in bronze", False, "1", "0", "bronze")

    found = shown(replace(loaded(one()), checks=(broken,)))
    unchecked = shown(replace(loaded(one()), checks=()))

    assert "The rows in bronze are not those of the ledger: see above." in found.text
    assert "No row is missing" not in found.text + unchecked.text


def test_read_rows_that_the_ledger_lost_are_not_called_complete() -> None:
    found = shown(replace(loaded(), ledger=Ledger(1, 1, 10, 8, 1, (LOAD,), (LOAD,))))

    assert "10 rows were read from 1 workbook: 8 were loaded and 1 was rejected." in found.text
    assert "No row is missing" not in found.text


def test_corrected_rows_are_counted() -> None:
    load = replace(LOAD, rows_read=10, rows_loaded=7, rows_rejected=1, rows_corrected=2)
    found = shown(replace(loaded(), ledger=Ledger(1, 2, 10, 7, 1, (load,), (load,), 2)))

    assert "10 rows were read from 1 workbook: 7 were loaded, 2 were loaded with corrections and 1 is" in found.text
    assert "No row is missing." in found.text
    assert "Corrected" in found.text


def test_tables_that_are_out_of_date_are_one_problem_with_its_cure() -> None:
    checks = (Check("a", False, "1", "2", "bronze"), Check("b", False, "1", "2"), Check("c", False, "1", "2", "own"))
    problem = Problem("Silver and gold are out of date", "Since then.", "transform", is_failure=False)

    stale = health.problems(checks, Age(problem, frozenset({"gold", "own"})))

    assert [(each.detail, each.command, each.is_failure) for each in stale] == [
        ("Since then. 2 invariants do not hold now.", "transform", True),
        ("a: 1 expected, 2 found.", "verify", True),
    ]
    assert [each.command for each in health.problems(checks, None)] == ["verify"] * 3


def test_rules_that_are_left_out_are_counted() -> None:
    rules = tuple(Rule("too_long", f"column_{n}", 2) for n in range(30))

    found = shown(replace(loaded(), rejects=Rejects(90, rules, (), broken=45)))

    assert "The first 30 of 45 rows. All: retailpipe rejects" in found.text


def test_text_that_is_not_a_number_is_shown_as_it_is() -> None:
    table = OwnTable("m", "public_own.m", "", (OwnColumn("a", "number"),), (("NaN",), (None,), ("1e400",)), 3)

    assert shown(replace(loaded(), own_tables=(table,))).tables["Rows of m"] == [["NaN"], ["\u2013"], ["1e400"]]


@pytest.mark.parametrize(
    ("kind", "x_kind", "x"),
    [("line", "date", "2024-01-31"), ("line", "number", "-1.5"), ("bar", "text", '"]+alert(1)+["')],
)
def test_a_chart_of_a_model_with_one_point_is_drawn(kind: str, x_kind: str, x: str) -> None:
    series = Series(kind, "x", "y", x_kind, ((x, Decimal("-7.25")),), 1)
    table = OwnTable(
        "m", "public_own.m", "", (OwnColumn("x", x_kind), OwnColumn("y", "number")), ((x, "-7.25"),), 1, series
    )

    found = shown(replace(loaded(), own_tables=(table,)))

    assert "the highest is \u22127.25" in found.text
    assert len(found.named("svg")) == 2


def test_tenths_of_few_customers_are_only_counted() -> None:
    sales = replace(one(), tenths=(Tenth(1, 1, Decimal("2.5")), Tenth(2, 1, Decimal("0.5"))))

    assert "2 customers with an ID bought something, for 3.00." in shown(loaded(sales)).text


def test_an_empty_chart_can_be_drawn_to_warm_up() -> None:
    charts.warm_up()


def test_four_invariants_compare_bronze_with_the_ledger_and_none_is_for_own_models() -> None:
    statement = (resources.files("retailpipe") / "invariants.sql").read_text(encoding="utf-8")
    names = re.findall(r"select \d+,? (?:as place, )?'([^']+)'", statement)

    assert len(names) == 34
    assert [name for name in names if layer_of(name) == "bronze"] == names[:4]
    assert "own" not in map(layer_of, names)
