"""Generate docs/costs.md from the price file. `make docs` runs this script."""

from __future__ import annotations

from pathlib import Path

from retailpipe.prices import WEEKDAY_HOURS, MonthlyCost, Setup, monthly_cost

HEAD = """\
# What a stack costs

`make docs` generates this page from the price file. Prices are in USD per month, without taxes, for {region}, as of
{date}; other regions cost up to 25 % more. Costs that depend on use (requests, messages, Lambda calls, logs) are
only a few cents.

| stack | database runs | USD per month | USD per month if stopped all month |
|---|---|---|---|
"""


def row(name: str, setup: Setup) -> str:
    cost = monthly_cost(setup)
    runs = "all day" if setup.hours == Setup().hours else f"{setup.hours:g} hours: 8 hours each weekday"
    return f"| {name} | {runs} | {cost.running:.2f} | {cost.stopped:.2f} |\n"


def items(title: str, cost: MonthlyCost) -> str:
    lines = [f"\n{title}\n", "\n| item | USD per month | details |\n|---|---|---|\n"]
    lines += [f"| {item.item} | {item.running:.2f} | {item.about} |\n" for item in cost.items]
    return "".join(lines)


def page() -> str:
    default, with_stop = Setup(), Setup(hours=WEEKDAY_HOURS)
    cost = monthly_cost(default)
    text = HEAD.format(region=cost.region, date=cost.as_of)
    text += row("default settings", default)
    text += row("with `nightlyStop`, started on weekdays", with_stop)
    text += row("with `natGateway`", Setup(nat_gateway=True))
    text += row("with `databaseClass` db.t4g.small", Setup(database_class="db.t4g.small"))
    text += row("with `workers`, 100 hours of all tasks together", Setup(worker_hours=100))
    text += items("Costs by item, with default settings:", cost)
    return text + items("Costs by item, with `nightlyStop`:", monthly_cost(with_stop))


if __name__ == "__main__":
    Path(__file__).with_name("costs.md").write_text(page(), encoding="utf-8")
