"""What silver and gold say about sales, as frozen dataclasses. Money and shares are exact decimals."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

FEW_BUYERS = 50


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
        return date(self.year, self.month, _days(self.year, self.month))


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
class ReturnsMonth:
    """A month with returns and no sales, from silver: public_gold.monthly_sales_summary does not have it."""

    year: int
    month: int
    returns_value: Decimal


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
    earlier_months: the months of the year before the first one of `months`.
    returns_months: the months that have only returns.
    first_gap, last_gap: how many days are usually between two days of data, when the data begins and when it ends.
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
    earlier_months: tuple[Month, ...] = ()
    returns_months: tuple[ReturnsMonth, ...] = ()
    first_gap: int = 1
    last_gap: int = 1

    @property
    def has_partial_month(self) -> bool:
        """Whether a month that is shown is partial."""
        return any(self.is_partial(month) for month in self.months)

    @property
    def buyers(self) -> int:
        """How many customers with an ID bought something."""
        return sum(each.customers for each in self.tenths)

    @property
    def has_few_buyers(self) -> bool:
        """Whether tenths of the buyers would be so small that the customers themselves say more."""
        return self.buyers < FEW_BUYERS

    @property
    def months_left_out(self) -> int:
        """How many months with sales are before the first one that is shown."""
        return max(0, self.months_total.rows - len(self.months))

    def is_partial(self, month: Month | CustomerMonth) -> bool:
        """Whether the data begins or ends within this month, so that days are missing."""
        return self.begins_late(month.year, month.month) or self.ends_early(month.year, month.month)

    def begins_late(self, year: int, month: int) -> bool:
        """Whether the data begins in this month, later than the usual gap after its first day."""
        begin = self.first_date
        return (year, month) == (begin.year, begin.month) and begin.day - 1 > self.first_gap

    def ends_early(self, year: int, month: int) -> bool:
        """Whether the data ends in this month, earlier than the usual gap before its last day."""
        end = self.last_date
        return (year, month) == (end.year, end.month) and _days(year, month) - end.day > self.last_gap

    def full_months(self) -> tuple[Month, ...]:
        """The months that are not partial."""
        return tuple(month for month in self.months if not self.is_partial(month))

    def year_before(self, month: Month) -> Month | None:
        """The same month of the year before, if it is there and not partial."""
        wanted = (month.year - 1, month.month)
        found = (each for each in (*self.earlier_months, *self.months) if (each.year, each.month) == wanted)
        return next((each for each in found if not self.is_partial(each)), None)

    @property
    def buyers_revenue(self) -> Decimal:
        """The revenue of all customers with an ID."""
        return sum((each.revenue for each in self.tenths), Decimal(0))


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]
