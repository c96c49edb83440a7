"""What the report says of sales that are made up here: partial months, ties, zeros, and lists that are cut."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from retailpipe.html_report import sentences
from retailpipe.html_report.facts import Rejects, Rule
from retailpipe.html_report.figures import figures
from retailpipe.html_report.sales_facts import (
    Country,
    Customer,
    CustomerMonth,
    Month,
    ReturnsMonth,
    Sales,
    Slot,
    Tenth,
    Total,
)
from tests.html_report.test_page import EMPTY, loaded, one

ZERO = Decimal(0)


def sales(first: date, last: date, *revenues: int, returns: int = 0) -> Sales:
    """Sales with one row for each month that follows the first date."""
    numbers = range(first.year * 12 + first.month - 1, first.year * 12 + first.month - 1 + len(revenues))
    months = tuple(
        Month(n // 12, n % 12 + 1, 1, 1, 1, Decimal(r), Decimal(r), 0, Decimal(returns), Decimal(r - returns))
        for n, r in zip(numbers, revenues, strict=True)
    )
    total = Total(len(months), Decimal(sum(revenues)), ZERO, ZERO)
    return replace(one(), first_date=first, last_date=last, months=months, months_total=total)


def countries(*revenues: int) -> Sales:
    rows = tuple(Country(n, f"country {n}", 1, 1, 1, Decimal(r), None, ZERO, ZERO) for n, r in enumerate(revenues, 1))
    return replace(one(), countries=rows, countries_total=Total(len(rows), Decimal(sum(revenues)), ZERO, ZERO))


def buyers(count: int, tenths: int) -> Sales:
    """The sales to customers of whom each bought for 1.00."""
    customer = Customer("7", "Norway", None, None, 1, Decimal(1), ZERO, Decimal(1))
    sizes = [count // tenths + (n < count % tenths) for n in range(tenths)]
    return replace(
        one(),
        customers=(customer,) * min(count, 10),
        customers_total=Total(count, Decimal(count), ZERO, ZERO),
        tenths=tuple(Tenth(n, size, Decimal(size)) for n, size in enumerate(sizes, 1)),
    )


@pytest.mark.parametrize(
    ("first", "last", "gap", "said"),
    [
        (date(2024, 1, 1), date(2024, 12, 30), 1, ""),
        (date(2024, 1, 2), date(2024, 3, 29), 2, ""),  # the last Saturday and Sunday are closed
        (date(2024, 1, 1), date(2024, 3, 28), 1, "March 2024 is partial: the data ends on 28 March 2024."),
        (date(2022, 11, 28), date(2022, 12, 31), 1, "November 2022 is partial: the data begins on 28 November 2022."),
        (
            date(2024, 1, 5),
            date(2024, 1, 9),
            1,
            "January 2024 is partial: the data begins on 5 January 2024 and ends on 9 January 2024.",
        ),
    ],
)
def test_a_month_is_partial_if_more_days_are_missing_than_usual(first: date, last: date, gap: int, said: str) -> None:
    months = (last.year - first.year) * 12 + last.month - first.month + 1

    found = replace(sales(first, last, *[5] * months), first_gap=gap, last_gap=gap)

    assert sentences.partial(found) == said
    assert found.has_partial_month == bool(said)


def test_a_last_month_with_only_returns_is_partial_too() -> None:
    found = sales(date(2024, 1, 1), date(2024, 3, 4), 5, 5)

    assert sentences.partial(found) == "March 2024 is partial: the data ends on 4 March 2024."
    assert not found.has_partial_month


def test_a_month_is_not_compared_with_a_partial_one() -> None:
    found = sales(date(2022, 11, 28), date(2023, 12, 31), *[10] * 13, 20)

    november, december = found.months[-2:]
    assert found.year_before(november) is None
    assert found.year_before(december) == found.months[1]
    assert "December 2023 had 100.0% more revenue than December 2022." in sentences.months(found)


def test_months_that_are_not_shown_are_still_compared_and_named() -> None:
    everything = sales(date(2018, 1, 1), date(2023, 6, 30), 1, *[2] * 64, 3)
    shown = replace(everything, months=everything.months[6:], earlier_months=everything.months[:6])

    said = sentences.months(shown)

    assert "From July 2018 to June 2023, revenue was 121.00. The 6 months before are not shown." in said
    assert "The best of these months was June 2023, with 3.00. Nothing was returned in these months." in said


def test_a_month_that_is_shown_is_compared_with_one_that_is_not() -> None:
    everything = sales(date(2018, 1, 1), date(2023, 6, 30), *range(1, 67))

    shown = replace(everything, months=everything.months[12:], earlier_months=everything.months[:12])

    assert [shown.year_before(each) for each in shown.months[:12]] == [*everything.months[:12]]


def test_everybody_is_new_only_if_the_first_month_is_shown() -> None:
    two = tuple(CustomerMonth(2024, n, 1, 4, ZERO, ZERO, ZERO) for n in (1, 2))
    found = replace(sales(date(2024, 1, 1), date(2024, 2, 29), 1, 1), customer_months=two)
    cut = replace(found, months_total=Total(3, ZERO, ZERO, ZERO))

    assert sentences.new_customers(found).startswith("In February 2024, 1 of 5 customers was new. In the first month")
    assert "everybody is new" not in sentences.new_customers(cut)


def test_a_month_without_customers_with_an_id_has_no_new_ones() -> None:
    assert sentences.new_customers(one()).startswith("In January 2011, no customer with an ID bought anything.")


def test_returns_of_months_without_sales_are_named() -> None:
    found = sales(date(2024, 1, 1), date(2024, 3, 31), 100, 200, returns=5)
    alone, both = ReturnsMonth(2024, 3, Decimal("3.50")), ReturnsMonth(2024, 4, Decimal("0.50"))

    one_month = sentences.months(replace(found, returns_months=(alone,)))
    two_months = sentences.months(replace(found, returns_months=(alone, both)))

    assert "Returns took 10.00 of it, or 3.3%. March 2024 had only returns: 3.50, which this chart" in one_month
    assert "2 months had only returns: 4.00 in all, which this chart does not show." in two_months


@pytest.mark.parametrize(
    ("revenues", "said"),
    [
        ([3, 3, 3], "Each month has the same revenue, 3.00."),
        ([3, 1, 3], "The best months were January 2024 and March 2024, with 3.00 each."),
        ([1, 3, 2], "The best month was February 2024, with 3.00."),
        ([3, 3, 3, 3, 1], "4 months have the highest revenue, 3.00 each."),
    ],
)
def test_the_best_month_may_be_several(revenues: list[int], said: str) -> None:
    assert said in sentences.months(sales(date(2024, 1, 1), date(2024, len(revenues), 28), *revenues))


@pytest.mark.parametrize(
    ("revenues", "said"),
    [
        ([0, 0], "2 countries have sales or returns. There is no revenue."),
        ([2, 2], "2 countries have sales or returns. All have the same revenue, 2.00."),
        ([2, 2, 1], "3 countries have sales or returns. The first 2 have the same revenue, 2.00."),
        ([5, 0], "2 countries have sales or returns. \u2068country 1\u2069 leads with 5.00, 100.0% of revenue."),
    ],
)
def test_a_country_leads_only_if_it_has_more_revenue_than_the_next(revenues: list[int], said: str) -> None:
    assert sentences.countries(countries(*revenues)) == said


def test_weekdays_may_bring_the_same_or_nothing() -> None:
    slots = [Slot(day, 1, Decimal(5)) for day in (1, 3, 6, 7)]

    tied = sentences.weekdays(replace(one(), weekdays=(*slots[:2], replace(slots[2], revenue=ZERO), *slots[3:])))
    nothing = sentences.weekdays(replace(one(), weekdays=(Slot(1, 1, ZERO),)))

    assert tied.startswith("Monday, Wednesday and Sunday bring the same revenue, 5.00 each, and no other brings more.")
    assert tied.endswith("There are no sales on Tuesday, Thursday or Friday.")
    assert nothing == "There is no revenue."


def test_rules_are_written_in_words_and_ties_are_counted() -> None:
    rules = (Rule("above_maximum", "quantity", 2), Rule("missing", "price", 1))
    found = replace(EMPTY, rejects=Rejects(3, rules))
    tied = replace(EMPTY, rejects=Rejects(2, (replace(rules[0], rows=1), rules[1])))

    reason = "a cell in column \u2068quantity\u2069 is above the maximum (2 rows)"
    assert sentences.rejects(found) == f"3 rows were refused. The most frequent reason: {reason}."
    assert sentences.rejects(tied) == "2 rows were refused. 2 rules are broken most often, in 1 row each."


def test_few_buyers_are_customers_and_not_tenths() -> None:
    few, many = buyers(17, 10), buyers(50, 10)

    titles = [[each.title for each in figures(found) if each.key == "customers"] for found in (few, many)]

    assert titles == [["Customers"], ["Customers, in tenths by revenue"]]
    assert sentences.concentration(few) == (
        "17 customers with an ID bought something, for 17.00. The first, \u20687\u2069, brings 5.9% of that."
    )
    assert sentences.concentration(many).endswith("The top tenth, 5 customers, brings 10.0% of their revenue.")


def test_one_rejected_row_is_not_called_loaded() -> None:
    facts = loaded()

    rejected = replace(facts, ledger=replace(facts.ledger, rows_loaded=0, rows_rejected=1))

    assert sentences.rows(rejected) == "1 row was read from 1 workbook, and rejected. No row is missing."
