"""Read what silver and gold say about sales.

The figures of months, countries, products and customers are gold's own. Gold has none for weekdays, hours and new
customers, so those come from silver.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from retailpipe.html_report.records import records
from retailpipe.html_report.sales_facts import (
    Country,
    Customer,
    CustomerMonth,
    Month,
    Product,
    ReturnsMonth,
    Sales,
    Slot,
    Tenth,
    Total,
)

if TYPE_CHECKING:
    from retailpipe.connection import Connection

TABLES = (
    "public_gold.monthly_sales_summary",
    "public_gold.country_performance",
    "public_gold.top_products",
    "public_gold.customer_lifetime_value",
    "public_silver.dim_date",
    "public_silver.dim_customer",
    "public_silver.int_invoices",
    "public_silver.stg_transactions",
)
MONTHS_SHOWN = 60
_MONTHS_EARLIER = 12
"""Months that are read only to compare those that are shown with them."""
_DAYS_COMPARED = 60
_USUAL = Decimal("0.95")
"""The usual gap between two days of data is the shortest that this part of all gaps does not exceed."""
COUNTRIES_SHOWN = 50
PRODUCTS_SHOWN = 25
CUSTOMERS_SHOWN = 10
# A customer is new in the month of the first purchase. Sales without a customer ID are counted apart.
_CUSTOMER_MONTHS = f"""
from (
    select
        extract(year from invoice_day)::integer as year,
        extract(month from invoice_day)::integer as month,
        customer_id,
        date_trunc('month', first_purchase) = date_trunc('month', invoice_day) as is_new,
        revenue
    from public_silver.int_invoices
    left join public_silver.dim_customer using (customer_id)
    where has_sales
) as sales
group by year, month
order by year desc, month desc
limit {MONTHS_SHOWN}
"""
_RETURNS_MONTHS = """
from (
    select
        extract(year from invoice_day)::integer as year,
        extract(month from invoice_day)::integer as month,
        has_sales,
        returns_value
    from public_silver.int_invoices
) as invoices
group by year, month
having not bool_or(has_sales)
order by year, month
"""
_TENTHS = """
from (
    select revenue, ntile(10) over (order by revenue desc, customer_id collate "C") as tenth
    from public_gold.customer_lifetime_value
    where invoices > 0
) as customers
group by tenth
order by tenth
"""


def absent(connection: Connection) -> str:
    """Why there are no sales to show, as a sentence; empty if there are some."""
    lines = ", ".join(f"to_regclass('{table}') is not null" for table in TABLES)
    if not all(connection.row(f"select {lines}") or ()):
        return "Silver and gold are not built: there are no sales to show."
    if connection.row("select exists (select from public_silver.dim_date)") != (True,):
        return "Silver and gold are empty: no workbook is loaded into raw_transactions, the only table they read."
    return ""


def sales(connection: Connection) -> Sales:
    """Read the sales. `absent` must be empty. Raises WarehouseError."""
    [(first, last)] = connection.rows("select min(date), max(date) from public_silver.dim_date")
    months = records(
        connection,
        Month,
        f"from (select * from public_gold.monthly_sales_summary order by year desc, month desc "
        f"limit {MONTHS_SHOWN + _MONTHS_EARLIER}) as months order by year, month",
    )
    weekdays, hours = _slots(connection)
    return Sales(
        first_date=first,
        last_date=last,
        months=months[-MONTHS_SHOWN:],
        months_total=_total(connection, "monthly_sales_summary"),
        countries=records(
            connection,
            Country,
            f"from public_gold.country_performance order by rank limit {COUNTRIES_SHOWN}",
        ),
        countries_total=_total(connection, "country_performance"),
        products=records(
            connection,
            Product,
            f"from public_gold.top_products order by rank limit {PRODUCTS_SHOWN}",
        ),
        products_total=_total(connection, "top_products"),
        customers=records(
            connection,
            Customer,
            'from public_gold.customer_lifetime_value order by revenue desc, customer_id collate "C" '
            f"limit {CUSTOMERS_SHOWN}",
        ),
        customers_total=_total(connection, "customer_lifetime_value"),
        tenths=records(connection, Tenth, _TENTHS, customers="count(*)", revenue="sum(revenue)"),
        customer_months=records(
            connection,
            CustomerMonth,
            _CUSTOMER_MONTHS,
            new_customers="count(distinct customer_id) filter (where is_new)",
            returning_customers="count(distinct customer_id) filter (where not is_new)",
            new_revenue="coalesce(sum(revenue) filter (where is_new), 0)",
            returning_revenue="coalesce(sum(revenue) filter (where not is_new), 0)",
            anonymous_revenue="coalesce(sum(revenue) filter (where customer_id is null), 0)",
        )[::-1],
        weekdays=weekdays,
        hours=hours,
        earlier_months=months[:-MONTHS_SHOWN],
        returns_months=records(connection, ReturnsMonth, _RETURNS_MONTHS, returns_value="sum(returns_value)"),
        first_gap=_usual_gap(connection, "asc"),
        last_gap=_usual_gap(connection, "desc"),
    )


def _usual_gap(connection: Connection, order: str) -> int:
    """How many days are usually between two days of data, at its beginning (asc) or end (desc). 1 is every day."""
    [(gap,)] = connection.rows(
        f"""
        select percentile_disc({_USUAL}) within group (order by gap) from (
            select abs(date - lag(date) over (order by date)) as gap
            from (select date from public_silver.dim_date order by date {order} limit {_DAYS_COMPARED + 1}) as days
        ) as gaps
        where gap is not null
        """
    )
    return gap or 1


def _slots(connection: Connection) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """The sales by weekday and by hour, from one scan of the transactions."""
    rows = connection.rows(
        """
        select weekday, hour, count(*), sum(revenue)
        from (
            select
                extract(isodow from invoiced_at)::integer as weekday,
                extract(hour from invoiced_at)::integer as hour,
                revenue
            from public_silver.stg_transactions
            where quantity > 0
        ) as sales
        group by grouping sets ((weekday), (hour))
        order by 1, 2
        """
    )
    weekdays = [Slot(weekday, count, Decimal(revenue)) for weekday, hour, count, revenue in rows if hour is None]
    hours = [Slot(hour, count, Decimal(revenue)) for weekday, hour, count, revenue in rows if weekday is None]
    return tuple(weekdays), tuple(hours)


def _total(connection: Connection, table: str) -> Total:
    sums = {name: f"coalesce(sum({name}), 0)" for name in ("revenue", "returns_value", "net_revenue")}
    [total] = records(connection, Total, f"from public_gold.{table}", rows="count(*)", **sums)
    return total
