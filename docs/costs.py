"""Makes docs/costs.md from the price file: `make docs`."""

from __future__ import annotations

from pathlib import Path

from retailpipe.aws.costs import SCHOOL_HOURS, MonthlyCost, Setup, monthly_cost

HEAD = """\
# What a stack costs

Made from the price file by `make docs`. USD a month, without taxes, in {region}, as of {date}; other regions ask up to
a quarter more. What is asked by use, such as requests, messages, calls of Lambdas and logs, comes to cents.

| a stack | database runs | USD a month | and stopped all month |
|---|---|---|---|
"""


def row(name: str, setup: Setup) -> str:
    cost = monthly_cost(setup)
    runs = "all day" if setup.hours == Setup().hours else f"{setup.hours:g} hours: eight each weekday"
    return f"| {name} | {runs} | {cost.running:.2f} | {cost.stopped:.2f} |\n"


def parts(title: str, cost: MonthlyCost) -> str:
    lines = [f"\n{title}\n", "\n| part | USD a month | |\n|---|---|---|\n"]
    lines += [f"| {item.item} | {item.running:.2f} | {item.about} |\n" for item in cost.items]
    return "".join(lines)


def page() -> str:
    usual, stopped = Setup(), Setup(hours=SCHOOL_HOURS)
    cost = monthly_cost(usual)
    text = HEAD.format(region=cost.region, date=cost.as_of)
    text += row("as it comes", usual)
    text += row("with `nightlyStop`, started when there is work", stopped)
    text += row("with `natGateway`", Setup(nat_gateway=True))
    text += row("with `databaseClass` db.t4g.small", Setup(database_class="db.t4g.small"))
    return text + parts("As it comes, part by part:", cost) + parts("With `nightlyStop`:", monthly_cost(stopped))


if __name__ == "__main__":
    Path(__file__).with_name("costs.md").write_text(page(), encoding="utf-8")
