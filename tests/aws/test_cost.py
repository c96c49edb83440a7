"""The monthly cost: the totals, the items, and that docs/costs.md is up to date."""

from __future__ import annotations

import runpy
from dataclasses import replace
from datetime import date

import pytest

from retailpipe.errors import UnknownPrice
from retailpipe.prices import HOURS, Prices, Setup, monthly_cost, savings, worst_case
from retailpipe.settings import Settings
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


def test_the_worst_case_runs_all_day_with_full_storage_and_without_free_alarms_and_dashboards() -> None:
    settings = Settings.read({"allowedCidrs": "203.0.113.7/32"})
    worst = {item.item: item.running for item in worst_case(settings).items}
    usual = {item.item: item.running for item in monthly_cost(Setup()).items}

    assert worst == {**usual, "storage": 4.6, "alarms": 0.6, "dashboard": 3.0}
    assert worst_case(settings).running == 23.93


def test_settings_change_the_worst_case() -> None:
    default = {"allowedCidrs": "203.0.113.7/32"}

    def running(**config: str) -> float:
        return worst_case(Settings.read({**default, **config})).running

    assert running(alarms="false") == pytest.approx(running() - 0.6)
    assert running(dashboard="false") == pytest.approx(running() - 3)
    assert running(natGateway="true") == pytest.approx(running() + 36.5)
    assert running(databaseClass="db.t4g.small") == pytest.approx(running() + HOURS * 0.016)
    assert running(databaseMaxStorage="0") == pytest.approx(running() - 2.3)
    assert running(databaseStorage="100", databaseMaxStorage="0") == pytest.approx(running() + 6.9)
    assert running(nightlyStop="18:00") == running()  # anybody with the student's policy can start it again


def test_only_settings_that_lower_the_worst_case_are_suggested() -> None:
    cheap = {"allowedCidrs": "203.0.113.7/32", "alarms": "false", "dashboard": "false", "databaseMaxStorage": "0"}

    assert savings(Settings.read(cheap)) == {}
    assert savings(Settings.read({**cheap, "dashboard": "true"})) == {("dashboard", "false"): 3.0}


def test_prices_have_a_date_and_a_region() -> None:
    prices = Prices.known()

    assert date.fromisoformat(prices.date).year >= 2026
    assert prices.region == "us-east-1"


def test_docs_costs_page_is_up_to_date() -> None:
    page = runpy.run_path(str(TOP / "docs" / "costs.py"))["page"]

    assert (TOP / "docs" / "costs.md").read_text() == page()
