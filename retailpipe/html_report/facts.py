"""What the report shows, as frozen dataclasses: the facts, without a word of how they are shown.

Money and shares are exact decimals. Texts are as in the warehouse, except that long ones are cut.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True)
class Problem:
    """Something that is not right. command: the arguments of the command that shows or corrects it; may be empty.

    is_failure: whether figures may be wrong; otherwise something is only not up to date.
    """

    what: str
    detail: str
    command: str = ""
    is_failure: bool = True


@dataclass(frozen=True)
class Check:
    """Two figures that must be equal, as exact decimal text."""

    name: str
    ok: bool
    expected: str
    actual: str


@dataclass(frozen=True)
class Load:
    """A row of the ledger. Times are in UTC."""

    load_id: int
    source: str
    status: str
    contract: str
    table_name: str
    content_hash: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    first_date: datetime | None
    last_date: datetime | None
    started_at: datetime
    finished_at: datetime

    @property
    def seconds(self) -> Decimal:
        """How long the load took."""
        return Decimal(round((self.finished_at - self.started_at).total_seconds() * 1000)) / 1000


@dataclass(frozen=True)
class Ledger:
    """The loads.

    current: the loads whose rows are in bronze, newest first; the first ones.
    history: all loads, newest first; the first ones.
    """

    sources: int
    loads: int
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    current: tuple[Load, ...]
    history: tuple[Load, ...]


@dataclass(frozen=True)
class Build:
    """The last complete build. loads: how many loads it was made from. finished_at: in UTC."""

    finished_at: datetime
    loads: int


@dataclass(frozen=True)
class Rule:
    """The rejected rows of current loads that break the same rule in the same column."""

    code: str
    column_name: str
    rows: int


@dataclass(frozen=True)
class RejectedCell:
    """The cell because of which a row was rejected."""

    source: str
    sheet: str
    cell: str
    column_name: str
    raw_value: str
    message: str


@dataclass(frozen=True)
class Rejects:
    """What was refused: every rule that was broken, as far as there is space, and the first cells."""

    rows: int
    rules: tuple[Rule, ...] = ()
    cells: tuple[RejectedCell, ...] = ()


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


@dataclass(frozen=True)
class OwnColumn:
    """A column of a model of the user. kind: how its values are shown."""

    name: str
    kind: str  # "number", "date" or "text"


@dataclass(frozen=True)
class Series:
    """The points of a chart that the yml of a model asks for. kind: bar or line. x_kind: as in OwnColumn."""

    kind: str
    x: str
    y: str
    x_kind: str
    points: tuple[tuple[str, Decimal], ...]
    total: int


@dataclass(frozen=True)
class OwnTable:
    """A model of the user: its first rows, each value as text; None is null.

    relation: its table or view, with its schema.
    problem: why the rows or the chart are not shown; empty if all is well.
    """

    name: str
    relation: str
    description: str = ""
    columns: tuple[OwnColumn, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    total: int = 0
    series: Series | None = None
    problem: str = ""


@dataclass(frozen=True)
class LineageNode:
    """A workbook, table or model, and the names of the nodes it is made from.

    layer: workbook, bronze, silver, gold or own.
    """

    name: str
    layer: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that the report shows.

    address: the environment's store. made_at: in UTC.
    sales: None without silver and gold, or if they are empty.
    sales_absent: why there are no sales.
    certificate: a sentence about the certificate of this state; empty if there is none.
    """

    address: str
    made_at: datetime
    problems: tuple[Problem, ...]
    checks: tuple[Check, ...]
    ledger: Ledger
    build: Build | None
    rejects: Rejects
    sales: Sales | None
    sales_absent: str
    own_tables: tuple[OwnTable, ...]
    lineage: tuple[LineageNode, ...]
    versions: tuple[tuple[str, str], ...]
    options: tuple[str, ...] = field(default=())
    certificate: str = ""

    @property
    def failures(self) -> tuple[Problem, ...]:
        """The problems because of which figures may be wrong."""
        return tuple(problem for problem in self.problems if problem.is_failure)

    @property
    def is_empty(self) -> bool:
        """Whether no workbook is loaded."""
        return not self.ledger.sources
