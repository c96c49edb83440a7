"""What silver and gold say about sales, as frozen dataclasses. Money and shares are exact decimals."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Month:
    """A row of public_gold.monthly_sales_summary."""

    year: int
    month: int
    invoices: int
    customers: int
    quantity: int
    revenue: Decimal
    average_invoice_value: Decimal
    returns_quantity: int
    returns_value: Decimal
    net_revenue: Decimal

    @classmethod
    def empty(cls, year: int, month: int) -> Month:
        """A month without sales, which has no row."""
        zero = Decimal(0)
        return cls(year, month, 0, 0, 0, zero, zero, 0, zero, zero)

    @property
    def last_day(self) -> date:
        """The last day of the month in the calendar."""
        return date(self.year, self.month, calendar.monthrange(self.year, self.month)[1])


@dataclass(frozen=True)
class Country:
    """A row of public_gold.country_performance."""

    rank: int
    country: str
    invoices: int
    customers: int
    quantity: int
    revenue: Decimal
    revenue_share: Decimal | None
    returns_value: Decimal
    net_revenue: Decimal


@dataclass(frozen=True)
class Product:
    """A row of public_gold.top_products."""

    rank: int
    stock_code: str
    description: str
    category: str
    days_sold: int
    quantity: int
    revenue: Decimal
    returns_value: Decimal
    net_revenue: Decimal


@dataclass(frozen=True)
class Customer:
    """A row of public_gold.customer_lifetime_value."""

    customer_id: str
    country: str
    first_purchase: date | None
    last_purchase: date | None
    invoices: int
    revenue: Decimal
    returns_value: Decimal
    net_revenue: Decimal


@dataclass(frozen=True)
class Tenth:
    """A tenth of the customers who bought something, in order of revenue; tenth 1 has the highest revenue."""

    tenth: int
    customers: int
    revenue: Decimal


@dataclass(frozen=True)
class CustomerMonth:
    """The customers of a month, from silver: in the month of their first purchase they are new, later returning."""

    year: int
    month: int
    new_customers: int
    returning_customers: int
    new_revenue: Decimal
    returning_revenue: Decimal
    anonymous_revenue: Decimal

    @classmethod
    def empty(cls, year: int, month: int) -> CustomerMonth:
        """A month without sales, which has no row."""
        return cls(year, month, 0, 0, Decimal(0), Decimal(0), Decimal(0))


@dataclass(frozen=True)
class Slot:
    """The sales in one part of the week or of the day, from silver. number: ISO weekday (1 is Monday), or hour."""

    number: int
    rows: int
    revenue: Decimal


@dataclass(frozen=True)
class Total:
    """How many rows a gold table has, and the sums of their money."""

    rows: int
    revenue: Decimal
    returns_value: Decimal
    net_revenue: Decimal


@dataclass(frozen=True)
class Sales:
    """What silver and gold say. Each list holds the first rows; its total counts all of them.

    first_date, last_date: of the data, sales and returns alike.
    """

    first_date: date
    last_date: date
    months: tuple[Month, ...]
    months_total: Total
    countries: tuple[Country, ...]
    countries_total: Total
    products: tuple[Product, ...]
    products_total: Total
    customers: tuple[Customer, ...]
    customers_total: Total
    tenths: tuple[Tenth, ...]
    customer_months: tuple[CustomerMonth, ...]
    weekdays: tuple[Slot, ...]
    hours: tuple[Slot, ...]

    @property
    def has_partial_month(self) -> bool:
        """Whether the data ends before the last day of the last month."""
        return self.is_partial(self.months[-1]) if self.months else False

    def is_partial(self, month: Month) -> bool:
        """Whether the data ends within this month, before its last day."""
        end = self.last_date
        return (month.year, month.month) == (end.year, end.month) and end < month.last_day

    def full_months(self) -> tuple[Month, ...]:
        """The months without a partial last one."""
        return tuple(month for month in self.months if not self.is_partial(month))

    def year_before(self, month: Month) -> Month | None:
        """The same month of the year before, if it is there."""
        wanted = (month.year - 1, month.month)
        return next((each for each in self.months if (each.year, each.month) == wanted), None)

    @property
    def buyers_revenue(self) -> Decimal:
        """The revenue of all customers with an ID."""
        return sum((each.revenue for each in self.tenths), Decimal(0))
