"""Draw one month as a PNG picture, for chats: the headline figures, and the revenue of each day."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from retailpipe.environment import Environment
from retailpipe.errors import UsageError
from retailpipe.html_report import charts, sentences
from retailpipe.html_report.drawings import Columns
from retailpipe.html_report.facts import Facts
from retailpipe.html_report.sales_facts import Month
from retailpipe.html_report.wording import day, money, month, short

_WIDTH, _HEIGHT = 1000, 380


def picture(environment: Environment, facts: Facts, *, name: str) -> bytes:
    """The picture of the latest full month; of the partial one if there is no other. The content of a PNG file.

    Raises UsageError if there are no sales, WarehouseError.
    """
    if facts.sales is None or not facts.sales.months:
        raise UsageError("there are no sales to draw", hint="Load a workbook with `retailpipe run FILE`.")
    shown = (facts.sales.full_months() or facts.sales.months)[-1]
    days = _revenue_by_day(environment, shown)
    title = f"{name}, {month(shown.year, shown.month)}"
    partial = sentences.partial_month(facts.sales, shown.year, shown.month)
    best = max(range(len(days)), key=lambda index: days[index])
    best_day = f"best day: {day(date(shown.year, shown.month, best + 1))}, {money(days[best])}"
    return charts.png(
        Columns(
            ticks=tuple((str(number),) for number in range(1, len(days) + 1)),
            values=tuple(days),
            texts=tuple(short(value) if value else "" for value in days),
        ),
        _WIDTH,
        _HEIGHT,
        title=title,
        subtitle=[sentences.headline(shown), *([partial] if partial else []), best_day],
    )


def _revenue_by_day(environment: Environment, shown: Month) -> list[Decimal]:
    """The revenue of every day of the month; zero for days without sales."""
    with environment.warehouse.connect(read_only=True) as connection:
        rows = connection.rows(
            f"""
            select extract(day from invoice_day)::integer, sum(revenue) from public_silver.int_invoices
            where invoice_day between date '{shown.last_day.replace(day=1)}' and date '{shown.last_day}'
            group by 1
            """
        )
    found = {number: Decimal(revenue) for number, revenue in rows}
    return [found.get(number, Decimal(0)) for number in range(1, shown.last_day.day + 1)]
