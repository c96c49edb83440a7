"""The monthly cost: the totals, the items, and that docs/costs.md is up to date."""

from __future__ import annotations

import runpy
from dataclasses import replace
from datetime import date

import pytest

from retailpipe.aws.costs import HOURS, Prices, Setup, monthly_cost
from retailpipe.errors import UnknownPrice
from tests.support.declared import TOP


def test_the_items_and_totals_of_the_default_setup() -> None:
    cost = monthly_cost(Setup())
    parts = {item.item: (item.running, item.stopped) for item in cost.items}

    assert parts["database"] == (pytest.approx(HOURS * 0.016), 0)
    assert parts["public address"] == (pytest.approx(HOURS * 0.005), 0)
    assert parts["storage"] == (2.3, 2.3)
    assert (cost.running, cost.stopped) == (18.03, 2.7)
    assert cost.as_dict()["running"] == cost.running
    date.fromisoformat(cost.as_of)


def test_fewer_hours_cost_less_and_a_nat_gateway_more() -> None:
    default = monthly_cost(Setup()).running

    assert monthly_cost(Setup(hours=173)).running == pytest.approx(6.33)
    assert monthly_cost(Setup(nat_gateway=True)).running == pytest.approx(default + 36.5)


def test_the_free_alarms_and_dashboards_cost_nothing() -> None:
    setup = Setup()

    assert monthly_cost(replace(setup, alarms=10, dashboards=3)).running == monthly_cost(setup).running
    assert monthly_cost(replace(setup, alarms=12, dashboards=4)).running == pytest.approx(18.03 + 0.2 + 3)


def test_a_database_class_without_a_price_is_an_error() -> None:
    with pytest.raises(UnknownPrice, match=r"db\.r8g\.large is unknown; the price file has db\.t4g\.micro"):
        monthly_cost(Setup(database_class="db.r8g.large"))


def test_prices_have_a_date_and_a_region() -> None:
    prices = Prices.known()

    assert date.fromisoformat(prices.date).year >= 2026
    assert prices.region == "us-east-1"


def test_docs_costs_page_is_up_to_date() -> None:
    page = runpy.run_path(str(TOP / "docs" / "costs.py"))["page"]

    assert (TOP / "docs" / "costs.md").read_text() == page()
