"""Make the figures of the report from its facts: each has a title, a sentence, a drawing and the tables behind it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from retailpipe.html_report import calendar_months, sentences, slot_figures
from retailpipe.html_report.drawings import Columns, MonthlySales, Ranking, Stack
from retailpipe.html_report.figure import Figure
from retailpipe.html_report.sales_facts import CustomerMonth, Month, Sales
from retailpipe.html_report.tables import Cell, Share, Table
from retailpipe.html_report.wording import (
    month,
    month_tick,
    percent,
    short,
    whole_percent,
)

_BARS = 10
_NO_ID = "without a customer ID"


def figures(sales: Sales) -> tuple[Figure, ...]:
    """The figures of the sales, in the order of the page; none for what has no rows."""
    made = [
        (_months, sales.months),
        (_countries, sales.countries),
        (_products, sales.products),
        (_concentration, sales.tenths),
        (_new_customers, [each for each in sales.customer_months if each.new_customers + each.returning_customers]),
        (slot_figures.weekdays, sales.weekdays),
        (slot_figures.hours, sales.hours),
    ]
    return tuple(make(sales) for make, rows in made if rows)


def _months(sales: Sales) -> Figure:
    shown = sales.months
    rows: list[tuple[Cell, ...]] = []
    for each in shown:
        earlier = sales.year_before(each)
        name = month(each.year, each.month) + (" (partial)" if sales.is_partial(each) else "")
        rows.append(
            (
                name,
                each.invoices,
                each.customers,
                each.quantity,
                each.revenue,
                each.returns_value,
                each.net_revenue,
                each.average_invoice_value,
                earlier.revenue if earlier else None,
            )
        )
    found = {(each.year, each.month): each for each in shown}
    drawn = [found.get(each) or Month.empty(*each) for each in calendar_months.axis([*found])]
    before = [sales.year_before(each) for each in drawn]
    columns = ("Month", "Invoices", "Customers", "Items", "Revenue", "Returns", "Net", "Per invoice", "Year before")
    legend = [("accent", "revenue"), ("contrast", "returns"), ("tick", "net")]
    legend += [("ring", "same month of the year before")] if any(before) else []
    legend += [("pale", "partial month")] if sales.has_partial_month else []
    return Figure(
        "months",
        "Revenue by month",
        f"{sentences.months(sales)} {sentences.without_sales([*found])}".strip(),
        MonthlySales(
            ticks=tuple(month_tick(each.year, each.month) for each in drawn),
            revenue=tuple(each.revenue for each in drawn),
            returns=tuple(each.returns_value for each in drawn),
            net=tuple(each.net_revenue for each in drawn),
            year_before=tuple(each.revenue if each else None for each in before),
            texts=tuple(short(each.revenue) if (each.year, each.month) in found else "" for each in drawn),
            pale=tuple(sales.is_partial(each) for each in drawn),
        ),
        (
            Table(
                "Revenue by month",
                columns,
                tuple(rows),
                sales.months_total.rows,
                _all_of("monthly_sales_summary"),
                which="last",
            ),
        ),
        "public_gold.monthly_sales_summary",
        tuple(legend),
        is_wide=True,
    )


def _countries(sales: Sales) -> Figure:
    total = sales.countries_total
    shown = sales.countries[:_BARS]
    names, values = [each.country for each in shown], [each.revenue for each in shown]
    texts = _with_shares(values, total.revenue)
    bars: list[Decimal | None] = [*values]
    if (others := total.rows - len(shown)) > 0:
        # Without a bar: it would be so much longer than the others that they could not be compared.
        rest = total.revenue - sum(values, Decimal(0))
        names.append(f"{others:,} other {'country' if others == 1 else 'countries'}")
        bars.append(None)
        texts += _with_shares([rest], total.revenue)
    columns = ("Rank", "Country", "Invoices", "Customers", "Items", "Revenue", "Share", "Returns", "Net")
    rows = tuple(
        (
            each.rank,
            each.country,
            each.invoices,
            each.customers,
            each.quantity,
            each.revenue,
            None if each.revenue_share is None else Share(each.revenue_share),
            each.returns_value,
            each.net_revenue,
        )
        for each in sales.countries
    )
    return Figure(
        "countries",
        "Countries",
        sentences.countries(sales),
        Ranking(tuple(names), tuple(bars), texts),
        (Table("Countries by revenue", columns, rows, total.rows, _all_of("country_performance")),),
        "public_gold.country_performance",
    )


def _products(sales: Sales) -> Figure:
    total, shown = sales.products_total, sales.products[:_BARS]
    columns = ("Rank", "Code", "Product", "Category", "Days sold", "Items", "Revenue", "Returns", "Net")
    rows = tuple(
        (
            each.rank,
            each.stock_code,
            each.description,
            each.category,
            each.days_sold,
            each.quantity,
            each.revenue,
            each.returns_value,
            each.net_revenue,
        )
        for each in sales.products
    )
    values = [each.revenue for each in shown]
    return Figure(
        "products",
        "Products",
        sentences.products(sales),
        Ranking(tuple(each.description for each in shown), tuple(values), _with_shares(values, total.revenue)),
        (Table("Products by revenue", columns, rows, total.rows, _all_of("top_products")),),
        "public_gold.top_products",
    )


def _concentration(sales: Sales) -> Figure:
    columns = (
        "Rank",
        "Customer",
        "Country",
        "First purchase",
        "Last purchase",
        "Invoices",
        "Revenue",
        "Returns",
        "Net",
    )
    rows = tuple(
        (
            rank,
            each.customer_id,
            each.country,
            each.first_purchase,
            each.last_purchase,
            each.invoices,
            each.revenue,
            each.returns_value,
            each.net_revenue,
        )
        for rank, each in enumerate(sales.customers, start=1)
    )
    table = Table("Customers by revenue", columns, rows, sales.customers_total.rows, _all_of("customer_lifetime_value"))
    if sales.has_few_buyers:
        buyers = [each for each in sales.customers if each.invoices]
        values = [each.revenue for each in buyers]
        return Figure(
            "customers",
            "Customers",
            sentences.concentration(sales),
            Ranking(
                tuple(each.customer_id for each in buyers), tuple(values), _with_shares(values, sales.buyers_revenue)
            ),
            (table,),
            "public_gold.customer_lifetime_value",
        )
    tenths = tuple((each.tenth, each.customers, each.revenue) for each in sales.tenths)
    return Figure(
        "customers",
        "Customers, in tenths by revenue",
        sentences.concentration(sales),
        Columns(
            ticks=tuple((str(each.tenth),) for each in sales.tenths),
            values=tuple(each.revenue for each in sales.tenths),
            texts=tuple(whole_percent(each.revenue, sales.buyers_revenue) for each in sales.tenths),
        ),
        (
            Table(
                "Customers with purchases, in tenths by revenue", ("Tenth", "Customers", "Revenue"), tenths, len(tenths)
            ),
            table,
        ),
        "public_gold.customer_lifetime_value",
        (("accent", "share of the revenue; tenth 1 are the customers with the highest"),),
    )


def _new_customers(sales: Sales) -> Figure:
    shown = sales.customer_months
    columns = ("Month", "New", "Returning", "Revenue of new", "Revenue of returning", f"Revenue {_NO_ID}")
    rows = tuple(
        (
            month(each.year, each.month),
            each.new_customers,
            each.returning_customers,
            each.new_revenue,
            each.returning_revenue,
            each.anonymous_revenue,
        )
        for each in shown
    )
    found = {(each.year, each.month): each for each in shown}
    drawn = [found.get(each) or CustomerMonth.empty(*each) for each in calendar_months.axis([*found])]
    return Figure(
        "newcomers",
        "New and returning customers",
        sentences.new_customers(sales),
        Stack(
            ticks=tuple(month_tick(each.year, each.month) for each in drawn),
            lower=tuple(Decimal(each.returning_customers) for each in drawn),
            upper=tuple(Decimal(each.new_customers) for each in drawn),
            pale=tuple(sales.is_partial(each) for each in drawn),
        ),
        (
            Table(
                "New and returning customers by month",
                columns,
                rows,
                max(sales.months_total.rows, len(rows)),
                which="last",
            ),
        ),
        "public_silver.int_invoices and dim_customer",
        (("accent", "returning customers"), ("soft", "new customers")),
    )


def _with_shares(values: Sequence[Decimal], total: Decimal) -> tuple[str, ...]:
    shares = [percent(value, total) for value in values]
    return tuple(
        f"{short(value)} \N{MIDDLE DOT} {share}" if share else short(value)
        for value, share in zip(values, shares, strict=True)
    )


def _all_of(table: str) -> str:
    return f'query "select * from public_gold.{table}"'
