"""Say in one or two sentences what each chart shows: for screen readers, and for everybody who is in a hurry."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from retailpipe.counts import counted, noun
from retailpipe.html_report import calendar_months
from retailpipe.html_report.facts import Facts
from retailpipe.html_report.sales_facts import Country, Month, Product, Sales, Slot
from retailpipe.html_report.wording import WEEKDAYS, change, day, hour, money, month, named, percent, whole

_GAPS_NAMED = 3


def verdict(facts: Facts) -> str:
    """The first sentence of the report."""
    if facts.failures:
        return f"{counted(len(facts.failures), 'thing is', 'things are')} wrong"
    if facts.is_empty:
        return "Nothing is loaded yet"
    if facts.problems:
        return f"The figures agree, but {counted(len(facts.problems), 'thing needs', 'things need')} attention"
    return "Everything agrees"


def rows(facts: Facts) -> str:
    """How many rows were read, loaded and rejected."""
    ledger = facts.ledger
    sources = counted(ledger.sources, "workbook")
    return (
        f"{counted(ledger.rows_read, 'row')} were read from {sources}: {ledger.rows_loaded:,} are loaded and "
        f"{ledger.rows_rejected:,} are rejected. No row is missing."
        if ledger.rows_read != 1
        else f"1 row was read from {sources}. No row is missing."
    )


def invariants(facts: Facts) -> str:
    """How many invariants hold."""
    if not facts.checks:
        return "The layers were not compared."
    broken = sum(not check.ok for check in facts.checks)
    total = counted(len(facts.checks), "invariant")
    if broken:
        return f"{broken} of {total} {noun(broken, 'does', 'do')} not hold."
    if len(facts.checks) == 1:
        return "The one invariant holds."
    return f"All {total} hold: bronze, silver and gold have the same figures, to the last digit."


def rejects(facts: Facts) -> str:
    """How many rows were refused, and why most of them."""
    found = facts.rejects
    first = found.rules[0]
    total = counted(found.rows, "row was", "rows were")
    reason = f"{first.code} in column {named(first.column_name)}"
    return f"{total} refused. The most frequent reason is {reason}: {counted(first.rows, 'row')}."


def dates(sales: Sales) -> str:
    """From when to when the data is."""
    if sales.first_date == sales.last_date:
        return f"Data of {day(sales.first_date)}."
    return f"Data from {day(sales.first_date)} to {day(sales.last_date)}."


def without_sales(months: Sequence[calendar_months.YearMonth]) -> str:
    """Which months between others have no sales, and where the axis begins if it is cut; empty if there is nothing."""
    axis, gaps = calendar_months.axis(months), calendar_months.gaps(months)
    cut = f" The chart begins in {month(*axis[0])}; the table has the months before." if axis[0] != months[0] else ""
    if not gaps:
        return cut.strip()
    if len(gaps) > _GAPS_NAMED:
        empty = sum(calendar_months.count(*gap) for gap in gaps)
        return f"There are no sales in {empty:,} months between {month(*months[0])} and {month(*months[-1])}.{cut}"
    named_gaps = [month(*first) if first == last else f"{month(*first)} to {month(*last)}" for first, last in gaps]
    return f"There are no sales in {', '.join(named_gaps)}.{cut}"


def partial(sales: Sales) -> str:
    """That the last month is not complete; empty if it is."""
    if not sales.has_partial_month:
        return ""
    last = sales.months[-1]
    return f"{month(last.year, last.month)} is partial: the data ends on {day(sales.last_date)}."


def months(sales: Sales) -> str:
    """What the chart of months shows."""
    shown = sales.months
    best = max(shown, key=lambda each: each.revenue)
    revenue = sum((each.revenue for each in shown), Decimal(0))
    returns = sum((each.returns_value for each in shown), Decimal(0))
    if len(shown) == 1:
        sentences = [f"In {month(best.year, best.month)}, revenue was {money(best.revenue)}."]
    else:
        sentences = [
            f"From {month(shown[0].year, shown[0].month)} to {month(shown[-1].year, shown[-1].month)}, revenue was "
            f"{money(revenue)}.",
            f"The best month was {month(best.year, best.month)}, with {money(best.revenue)}.",
        ]
    taken = percent(returns, revenue)
    sentences.append(
        f"Returns took {money(returns)}{f' of it, or {taken}' if taken else ''}."
        if returns
        else "Nothing was returned."
    )
    return " ".join([*sentences, _year_on_year(sales), partial(sales)]).strip()


def _year_on_year(sales: Sales) -> str:
    """Compare the last full month for which there is the same month of the year before."""
    for each in reversed(sales.full_months()):
        before = sales.year_before(each)
        if before and (difference := change(each.revenue, before.revenue)):
            return f"{month(each.year, each.month)} had {difference} {month(before.year, before.month)}."
    return ""


def countries(sales: Sales) -> str:
    """What the chart of countries shows."""
    shown, total = sales.countries, sales.countries_total
    first = _leads(named(shown[0].country), shown[0], total.revenue)
    if total.rows == 1:
        return f"All sales are to {named(shown[0].country)}."
    second = (
        f" {named(shown[1].country)} follows with {percent(shown[1].revenue, total.revenue)}." if total.revenue else ""
    )
    return f"{counted(total.rows, 'country has', 'countries have')} sales or returns. {first}{second}"


def products(sales: Sales) -> str:
    """What the chart of products shows."""
    shown, total = sales.products, sales.products_total
    first = _leads(named(shown[0].description), shown[0], total.revenue)
    if total.rows <= 10:
        return f"{counted(total.rows, 'product')} sold. {first}"
    ten = sum((each.revenue for each in shown[:10]), Decimal(0))
    share = percent(ten, total.revenue)
    return f"{counted(total.rows, 'product')} sold. {first}" + (f" The first ten bring {share}." if share else "")


def _leads(name: str, row: Country | Product, total: Decimal) -> str:
    share = percent(row.revenue, total)
    return f"{name} leads with {money(row.revenue)}{f', {share} of revenue' if share else ''}."


def concentration(sales: Sales) -> str:
    """What the chart of the tenths of customers shows."""
    buyers = sum(each.customers for each in sales.tenths)
    revenue = sales.buyers_revenue
    top = sales.tenths[0]
    share = percent(top.revenue, revenue)
    people = counted(buyers, "customer with an ID", "customers with an ID")
    if buyers < 10 or not share:
        return f"{people} bought something, for {money(revenue)}."
    best = f"The top tenth, {counted(top.customers, 'customer')}, brings {share} of their revenue."
    return f"{people} bought something. {best}"


def new_customers(sales: Sales) -> str:
    """What the chart of new and returning customers shows."""
    shown = sales.customer_months
    last = shown[-1]
    both = last.new_customers + last.returning_customers
    first = f"In {month(last.year, last.month)}, {whole(last.new_customers)} of {counted(both, 'customer')} were new."
    more = " In the first month of the data everybody is new." if len(shown) > 1 else ""
    return f"{first}{more} A customer is new in the month of the first purchase. {partial(sales)}".strip()


def weekdays(sales: Sales) -> str:
    """What the chart of weekdays shows."""
    best = _best(sales.weekdays)
    closed = [WEEKDAYS[number - 1] for number in range(1, 8) if number not in {slot.number for slot in sales.weekdays}]
    none = f" There are no sales on {' or '.join(closed)}." if 0 < len(closed) < 4 else ""
    return f"{WEEKDAYS[best.number - 1]} brings the most revenue, {money(best.revenue)}.{none}"


def hours(sales: Sales) -> str:
    """What the chart of hours shows."""
    best = _best(sales.hours)
    return (
        f"Most revenue, {money(best.revenue)}, is invoiced from {hour(best.number)} to {hour((best.number + 1) % 24)}."
    )


def _best(slots: tuple[Slot, ...]) -> Slot:
    return max(slots, key=lambda slot: slot.revenue)


def latest_month(sales: Sales) -> str:
    """The figures of the latest month; empty if there is none."""
    if not sales.months:
        return ""
    last = sales.months[-1]
    return f"{month(last.year, last.month)}: {headline(last)}. {partial(sales)}".strip()


def headline(row: Month) -> str:
    """The figures of a month in one line."""
    return (
        f"revenue {money(row.revenue)}, returns {money(row.returns_value)}, net {money(row.net_revenue)}, "
        f"{counted(row.invoices, 'invoice')}, {counted(row.customers, 'customer')}"
    )
