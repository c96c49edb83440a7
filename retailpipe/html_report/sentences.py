"""Say in one or two sentences what each chart shows: for screen readers, and for everybody who is in a hurry."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from retailpipe.counts import counted, noun
from retailpipe.html_report import calendar_months
from retailpipe.html_report.facts import Facts
from retailpipe.html_report.sales_facts import Country, Month, Product, Sales, Slot, Total
from retailpipe.html_report.wording import (
    WEEKDAYS,
    broken_rule,
    change,
    day,
    hour,
    listed,
    money,
    month,
    named,
    percent,
    whole,
)

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
    """How many rows were read, loaded, rejected and corrected, by the ledger, and whether bronze has them."""
    ledger = facts.ledger
    read, loaded, rejected, corrected = (
        *(ledger.rows_read, ledger.rows_loaded, ledger.rows_rejected, ledger.rows_corrected),
    )
    first = f"{counted(read, 'row was', 'rows were')} read from {counted(ledger.sources, 'workbook')}"
    if (read, loaded, rejected) in ((1, 1, 0), (1, 0, 1)):
        first += f", and {'loaded' if loaded else 'rejected'}."
    elif corrected:
        first += f": {loaded:,} {noun(loaded, 'was', 'were')} loaded, {corrected:,} {noun(corrected, 'was', 'were')} "
        first += f"loaded with corrections and {rejected:,} {noun(rejected, 'is', 'are')} rejected."
    else:
        first += f": {loaded:,} {noun(loaded, 'was', 'were')} loaded and {rejected:,} {noun(rejected, 'was', 'were')} "
        first += "rejected."
    return f"{first} {_missing_rows(facts)}".strip()


def _missing_rows(facts: Facts) -> str:
    """That no row is missing, if that was checked; nothing if it was not."""
    checks = [check for check in facts.checks if check.layer == "bronze"]
    ledger = facts.ledger
    found = ledger.rows_loaded + ledger.rows_rejected + ledger.rows_corrected
    if ledger.rows_read != found or not all(check.ok for check in checks):
        return "The rows in bronze are not those of the ledger: see above."
    return "No row is missing." if checks else ""


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
    total = f"{counted(found.rows, 'row was', 'rows were')} refused."
    most = [rule for rule in found.rules if rule.rows == first.rows]
    if len(most) > 1:
        return f"{total} {len(most)} rules are broken most often, in {counted(first.rows, 'row')} each."
    reason = f"a cell in column {named(first.column_name)} {broken_rule(first.code)}"
    return f"{total} The most frequent reason: {reason} ({counted(first.rows, 'row')})."


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
    """That the first or the last month is not complete; empty if both are. A first month that is cut does not count."""
    ends = [sales.last_date] if sales.months_left_out else [sales.first_date, sales.last_date]
    found = dict.fromkeys((each.year, each.month) for each in ends)
    return " ".join(filter(None, (partial_month(sales, *each) for each in found)))


def partial_month(sales: Sales, year: int, number: int) -> str:
    """That a month is not complete; empty if it is."""
    begins, ends = sales.begins_late(year, number), sales.ends_early(year, number)
    if not (begins or ends):
        return ""
    first, last = day(sales.first_date), day(sales.last_date)
    if begins and ends:
        reason = f"there is data of {first} only" if first == last else f"the data begins on {first} and ends on {last}"
    else:
        reason = f"the data begins on {first}" if begins else f"the data ends on {last}"
    return f"{month(year, number)} is partial: {reason}."


def months(sales: Sales) -> str:
    """What the chart of months shows."""
    shown = sales.months
    revenue = sum((each.revenue for each in shown), Decimal(0))
    first, last = (month(each.year, each.month) for each in (shown[0], shown[-1]))
    cut = sales.months_left_out
    sentences = [
        f"In {first}, revenue was {money(revenue)}."
        if len(shown) == 1
        else f"From {first} to {last}, revenue was {money(revenue)}.",
        f"The {counted(cut, 'month')} before {noun(cut, 'is', 'are')} not shown." if cut else "",
        _best_month(sales),
        _returns(sales, revenue),
        _returns_months(sales),
        _year_on_year(sales),
        partial(sales),
    ]
    return " ".join(filter(None, sentences))


def _best_month(sales: Sales) -> str:
    """Which of the months shown has the highest revenue; empty for one month, or if all are equal."""
    best = max(each.revenue for each in sales.months)
    found = [month(each.year, each.month) for each in sales.months if each.revenue == best]
    if len(found) == len(sales.months):
        return "" if len(found) == 1 else f"Each month has the same revenue, {money(best)}."
    among = "of these months " if sales.months_left_out else ""
    if len(found) > 3:
        return f"{len(found)} months {among}have the highest revenue, {money(best)} each."
    if len(found) > 1:
        return f"The best {among or 'months '}were {listed(found)}, with {money(best)} each."
    return f"The best {among or 'month '}was {found[0]}, with {money(best)}."


def _returns(sales: Sales, revenue: Decimal) -> str:
    """How much was returned in the months shown."""
    returns = sum((each.returns_value for each in sales.months), Decimal(0))
    if not returns:
        is_all = not sales.returns_months and not sales.months_left_out
        return f"Nothing was returned{'' if is_all else ' in these months'}."
    if returns > revenue:
        return f"Returns were {money(returns)}, more than the revenue."
    return f"Returns took {money(returns)} of it, or {percent(returns, revenue)}."


def _returns_months(sales: Sales) -> str:
    """The months that the chart lacks because they have only returns."""
    found = sales.returns_months
    if not found:
        return ""
    value = money(sum((each.returns_value for each in found), Decimal(0)))
    if len(found) == 1:
        return f"{month(found[0].year, found[0].month)} had only returns: {value}, which this chart does not show."
    return f"{len(found)} months had only returns: {value} in all, which this chart does not show."


def _year_on_year(sales: Sales) -> str:
    """Compare the last full month for which there is the same full month of the year before."""
    for each in reversed(sales.full_months()):
        before = sales.year_before(each)
        if before and (difference := change(each.revenue, before.revenue, "revenue")):
            return f"{month(each.year, each.month)} had {difference} {month(before.year, before.month)}."
    return ""


def countries(sales: Sales) -> str:
    """What the chart of countries shows."""
    shown, total = sales.countries, sales.countries_total
    if total.rows == 1:
        return f"All sales are to {named(shown[0].country)}."
    first = _leads(named(shown[0].country), shown, total)
    second = ""
    if shown[0].revenue > shown[1].revenue > 0:
        second = f" {named(shown[1].country)} follows with {money(shown[1].revenue)}."
    return f"{counted(total.rows, 'country has', 'countries have')} sales or returns. {first}{second}"


def products(sales: Sales) -> str:
    """What the chart of products shows."""
    shown, total = sales.products, sales.products_total
    first = f"{counted(total.rows, 'product was', 'products were')} sold. "
    first += _leads(named(shown[0].description), shown, total)
    if total.rows <= 10:
        return first
    ten = sum((each.revenue for each in shown[:10]), Decimal(0))
    share = percent(ten, total.revenue)
    return first + (f" The first ten bring {share}." if share else "")


def _leads(name: str, rows: Sequence[Country | Product], total: Total) -> str:
    """Which of the rows has the highest revenue. rows: the first ones, ordered by revenue. name: of the first row."""
    best = rows[0].revenue
    tied = sum(row.revenue == best for row in rows)
    if best <= 0:
        return "There is no revenue."
    if tied > 1:
        return f"{'All' if tied == total.rows else f'The first {tied}'} have the same revenue, {money(best)}."
    share = percent(best, total.revenue)
    return f"{name} leads with {money(best)}{f', {share} of revenue' if share else ''}."


def concentration(sales: Sales) -> str:
    """What the chart of customers shows: tenths of them, or the first ones if there are few."""
    revenue = sales.buyers_revenue
    people = f"{counted(sales.buyers, 'customer with an ID', 'customers with an ID')} bought something"
    top = sales.tenths[0]
    if sales.has_few_buyers:
        first = sales.customers[:1] if sales.buyers > 1 else ()
        shares = [(named(each.customer_id), percent(each.revenue, revenue)) for each in first]
        return f"{people}, for {money(revenue)}." + "".join(
            f" The first, {name}, brings {share} of that." for name, share in shares if share
        )
    share = percent(top.revenue, revenue)
    best = f" The top tenth, {counted(top.customers, 'customer')}, brings {share} of their revenue." if share else ""
    return f"{people}.{best}"


def new_customers(sales: Sales) -> str:
    """What the chart of new and returning customers shows."""
    shown = sales.customer_months
    last = shown[-1]
    new, both = last.new_customers, last.new_customers + last.returning_customers
    when = f"In {month(last.year, last.month)}, "
    sentences = [
        f"{when}{whole(new)} of {counted(both, 'customer')} {noun(new, 'was', 'were')} new."
        if both
        else f"{when}no customer with an ID bought anything.",
        "In the first month of the data everybody is new."
        if len(shown) > 1 and sales.months_total.rows <= len(shown)
        else "",
        "A customer is new in the month of the first purchase.",
        partial(sales),
    ]
    return " ".join(filter(None, sentences))


def weekdays(sales: Sales) -> str:
    """What the chart of weekdays shows."""
    most = _most(sales.weekdays, [WEEKDAYS[slot.number - 1] for slot in sales.weekdays])
    closed = [WEEKDAYS[number - 1] for number in range(1, 8) if number not in {slot.number for slot in sales.weekdays}]
    return most + (f" There are no sales on {listed(closed, 'or')}." if 0 < len(closed) < 4 else "")


def hours(sales: Sales) -> str:
    """What the chart of hours shows."""
    return _most(sales.hours, [f"{hour(slot.number)} to {hour((slot.number + 1) % 24)}" for slot in sales.hours])


def _most(slots: Sequence[Slot], names: Sequence[str]) -> str:
    """Which of the slots has the highest revenue, or which ones."""
    best = max(slot.revenue for slot in slots)
    found = [name for slot, name in zip(slots, names, strict=True) if slot.revenue == best]
    if best <= 0:
        return "There is no revenue."
    if len(found) == 1:
        return f"{found[0]} brings the most revenue, {money(best)}."
    return f"{listed(found)} bring the same revenue, {money(best)} each, and no other brings more."


def latest_month(sales: Sales) -> str:
    """The figures of the latest month; empty if there is none."""
    if not sales.months:
        return ""
    last = sales.months[-1]
    return f"{month(last.year, last.month)}: {headline(last)}. {partial_month(sales, last.year, last.month)}".strip()


def headline(row: Month) -> str:
    """The figures of a month in one line."""
    return (
        f"revenue {money(row.revenue)}, returns {money(row.returns_value)}, net {money(row.net_revenue)}, "
        f"{counted(row.invoices, 'invoice')}, {counted(row.customers, 'customer')}"
    )
