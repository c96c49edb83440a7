"""What a stack costs: the sums, what is counted, and that the docs say the same."""

from __future__ import annotations

import runpy
from dataclasses import replace
from datetime import date

import pytest

from retailpipe.aws.costs import HOURS, Prices, Setup, monthly_cost
from retailpipe.errors import UnknownPrice
from tests.support.declared import TOP


def test_the_usual_stack_part_by_part() -> None:
    cost = monthly_cost(Setup())
    parts = {item.item: (item.running, item.stopped) for item in cost.items}

    assert parts["database"] == (pytest.approx(HOURS * 0.016), 0)
    assert parts["public address"] == (pytest.approx(HOURS * 0.005), 0)
    assert parts["storage"] == (2.3, 2.3)
    assert (cost.running, cost.stopped) == (18.03, 2.7)
    assert cost.as_dict()["running"] == cost.running
    date.fromisoformat(cost.as_of)


def test_less_is_asked_for_fewer_hours_and_more_for_a_nat_gateway() -> None:
    usual = monthly_cost(Setup()).running

    assert monthly_cost(Setup(hours=173)).running == pytest.approx(6.33)
    assert monthly_cost(Setup(nat_gateway=True)).running == pytest.approx(usual + 36.5)


def test_what_is_free_in_an_account_is_free() -> None:
    usual = Setup()

    assert monthly_cost(replace(usual, alarms=10, dashboards=3)).running == monthly_cost(usual).running
    assert monthly_cost(replace(usual, alarms=12, dashboards=4)).running == pytest.approx(18.03 + 0.2 + 3)


def test_a_class_without_a_price_is_named() -> None:
    with pytest.raises(UnknownPrice, match=r"db\.r8g\.large is not known; those of db\.t4g\.micro"):
        monthly_cost(Setup(database_class="db.r8g.large"))


def test_prices_have_a_date_and_a_region() -> None:
    prices = Prices.known()

    assert date.fromisoformat(prices.date).year >= 2026
    assert prices.region == "us-east-1"


def test_docs_are_as_the_code_has_them() -> None:
    page = runpy.run_path(str(TOP / "docs" / "costs.py"))["page"]

    assert (TOP / "docs" / "costs.md").read_text() == page()
