"""Compute what bronze, silver and gold must hold for a student's workbook, in plain Python.

It shares no code with the SQL that is graded: docs/models.md says what each table means. With a `Mistake` it computes
what the tables hold if that mistake was made, so that a wrong table can be explained.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from functools import cached_property
from typing import Any, NamedTuple

from retailpipe.classroom.grading.digests import (
    BRONZE,
    GRADED,
    REJECTED,
    Day,
    Digest,
    Text,
    canonical,
    days_of,
    table_digest,
)
from retailpipe.classroom.grading.exercise import Exercise
from retailpipe.classroom.grading.transactions import CORRECT, Mistake, Transaction

_EXACT = Context(prec=100, rounding=ROUND_HALF_UP)
_SERVICES = {"POST": "Postage", "DOT": "Postage", "C2": "Carriage", "M": "Manual", "m": "Manual"}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Rows = Iterable[tuple[object, ...]]


class _Invoice(NamedTuple):
    """A row of int_invoices; `sold` and `returned` are None if there is no such row."""

    number: str
    day: date
    customer: str | None
    country: str
    sold: tuple[int, Decimal] | None
    returned: tuple[int, Decimal] | None


@dataclass(frozen=True)
class Expected:
    """The tables of a workbook, each computed when it is needed first."""

    exercise: Exercise
    mistake: Mistake = CORRECT
    _digests: dict[str, Digest] = field(default_factory=dict[str, Digest])
    _columns: dict[str, Mapping[str, Sequence[Text]]] = field(default_factory=dict[str, Mapping[str, Sequence[Text]]])

    def digest(self, table: str) -> Digest:
        """The digest of a graded table, such as public_gold.top_products."""
        if table not in self._digests:
            self._digests[table] = table_digest(self.columns(table))
        return self._digests[table]

    def columns(self, table: str) -> Mapping[str, Sequence[Text]]:
        """The values of each column of a graded table, as texts."""
        if table not in self._columns:
            names = GRADED[table]
            with localcontext(_EXACT):
                rows = [[canonical(value) for value in row] for row in self._rows(table)]
            values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
            self._columns[table] = dict(zip(names, values, strict=True))
        return self._columns[table]

    @cached_property
    def days(self) -> Mapping[str, Day]:
        """The rows of bronze by day."""
        return days_of(self.columns(BRONZE))

    @cached_property
    def rejects(self) -> Counter[tuple[str, str]]:
        """How many rows are rejected, by column and code."""
        return Counter((fault.column_name, fault.code) for fault in self.exercise.faults.values())

    def _rows(self, table: str) -> Rows:
        if table == BRONZE:
            return self.exercise.lines
        if table == REJECTED:
            return self.exercise.faults.values()
        rows: Callable[[], Rows] = getattr(self, f"_{table.partition('.')[2]}")
        return rows()

    @cached_property
    def _transactions(self) -> Sequence[Transaction]:
        return list(self.mistake.rows(self.exercise.lines))

    @cached_property
    def _invoices(self) -> Sequence[_Invoice]:
        groups: defaultdict[tuple[Any, ...], list[Transaction]] = defaultdict(list)
        for row in self._transactions:
            groups[row.invoice_no, row.day, row.customer_id, row.country].append(row)
        return [
            _Invoice(
                number,
                day,
                customer,
                country,
                _totals(rows, self.mistake.is_sale),
                _totals(rows, self.mistake.is_return, sign=-1),
            )
            for (number, day, customer, country), rows in groups.items()
        ]

    def _stg_transactions(self) -> Rows:
        for row in self._transactions:
            moment = row.line.invoice_date
            yield (
                *(row.invoice_no, row.stock_code, row.country, row.description, row.customer_id, moment),
                *(row.day, _date_id(row.day), row.quantity, row.unit_price, row.revenue),
            )

    def _int_invoices(self) -> Rows:
        for each in self._invoices:
            has = each.sold is not None, each.returned is not None
            yield (
                *(each.number, each.day, _date_id(each.day), each.customer, each.country, *has),
                *(each.sold or (0, Decimal(0))),
                *(each.returned or (0, Decimal(0))),
            )

    def _dim_date(self) -> Rows:
        for day in {each.day for each in self._invoices}:
            _, week, weekday = day.isocalendar()
            yield (
                *(_date_id(day), day, day.year, (day.month + 2) // 3, day.month, _MONTHS[day.month - 1], week),
                *(day.day, weekday, _WEEKDAYS[weekday - 1], weekday > 5),
            )

    def _dim_product(self) -> Rows:
        for code, (description, category) in self._products.items():
            yield code, description, category, code in _SERVICES

    @cached_property
    def _products(self) -> Mapping[str, tuple[str, str]]:
        """The description and category by stock code."""
        used: Counter[tuple[str, str | None]] = Counter()
        priced: set[tuple[str, str | None]] = set()
        for row in self._transactions:
            key = row.stock_code, row.description
            used[key] += 1
            if row.unit_price > 0:
                priced.add(key)
        best: dict[str, tuple[Any, ...]] = {}
        for key, times in used.items():
            code, text = key
            order = (text is None, key not in priced, -times, (text or "").encode())
            best[code] = min(best.get(code, (order, text)), (order, text), key=lambda each: each[0])
        return {code: (text or "Unknown", _SERVICES.get(code, "Product")) for code, (_, text) in best.items()}

    def _dim_customer(self) -> Rows:
        for customer, (country, first, last) in self._customers.items():
            yield customer, first, last, country

    @cached_property
    def _customers(self) -> Mapping[str, tuple[str, date | None, date | None]]:
        """The country and the first and last purchase by customer."""
        revenue: defaultdict[str, Counter[str]] = defaultdict(Counter)
        purchases: defaultdict[str, set[date]] = defaultdict(set)
        for each in self._invoices:
            if each.customer is not None:
                revenue[each.customer][each.country] += each.sold[1] if each.sold else 0  # pyright: ignore[reportArgumentType] - a Counter can count in Decimal
                if each.sold:
                    purchases[each.customer].add(each.day)
        return {
            customer: (
                min(countries, key=lambda country, revenues=countries: (-revenues[country], country.encode())),
                min(purchases[customer], default=None),
                max(purchases[customer], default=None),
            )
            for customer, countries in revenue.items()
        }

    def _fact_sales_daily(self) -> Rows:
        return self._facts(self.mistake.is_sale, 1)

    def _fact_returns_daily(self) -> Rows:
        return self._facts(self.mistake.is_return, -1)

    def _facts(self, wanted: Callable[[Transaction], bool], sign: int) -> Rows:
        groups: defaultdict[tuple[date, str, str], list[Transaction]] = defaultdict(list)
        for row in filter(wanted, self._transactions):
            groups[row.day, row.stock_code, row.country].append(row)
        for (day, code, country), rows in groups.items():
            quantity, revenue = sign * sum(row.quantity for row in rows), sign * _sum(row.revenue for row in rows)
            invoices, customers = {row.invoice_no for row in rows}, {row.customer_id for row in rows} - {None}
            yield _date_id(day), code, country, len(invoices), quantity, revenue, len(customers)

    def _monthly_sales_summary(self) -> Rows:
        for (year, month), each in self._grouped(lambda invoice: (invoice.day.year, invoice.day.month)):
            if each.invoices:
                yield year, month, len(each.invoices), len(each.customers), *each.money

    def _top_products(self) -> Rows:
        sold: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        returned: defaultdict[str, list[tuple[Any, ...]]] = defaultdict(list)
        for facts, by_code in ((self._fact_sales_daily(), sold), (self._fact_returns_daily(), returned)):
            for day, code, _, _, quantity, revenue, _ in facts:
                by_code[str(code)].append((day, quantity, revenue))
        totals = [
            (code, len({day for day, *_ in facts}), *_both(facts), *_both(returned[code]))
            for code, facts in sold.items()
        ]
        totals.sort(key=lambda each: (-each[3], each[0].encode()))
        for rank, (code, days, quantity, revenue, returns, value) in enumerate(totals, start=1):
            yield rank, code, *self._products[code], days, quantity, revenue, returns, value, revenue - value

    def _country_performance(self) -> Rows:
        groups = [(key, each) for (key,), each in self._grouped(lambda invoice: (invoice.country,)) if each.is_active]
        groups.sort(key=lambda group: (-group[1].sold[1], group[0].encode()))
        total = _sum(each.sold[1] for _, each in groups)
        for rank, (country, each) in enumerate(groups, start=1):
            share = _rounded(each.sold[1] / total, 6) if total else None
            yield rank, country, len(each.invoices), len(each.customers), share, *each.money

    def _customer_lifetime_value(self) -> Rows:
        last_date = max((each.day for each in self._invoices), default=date.min)
        for (customer,), each in self._grouped(lambda invoice: (invoice.customer,)):
            if customer is None or not each.is_active:
                continue
            country, first, last = self._customers[customer]
            recency = (last_date - last).days if last else None
            yield customer, country, first, last, recency, len(each.days), len(each.invoices), *each.money

    def _grouped(self, key: Callable[[_Invoice], tuple[Any, ...]]) -> Iterator[tuple[tuple[Any, ...], _Group]]:
        groups: defaultdict[tuple[Any, ...], list[_Invoice]] = defaultdict(list)
        for invoice in self._invoices:
            groups[key(invoice)].append(invoice)
        for values, invoices in groups.items():
            yield values, _Group(invoices)


@dataclass(frozen=True)
class _Group:
    """The invoices of one row of gold."""

    members: Sequence[_Invoice]

    @cached_property
    def _with_sales(self) -> Sequence[_Invoice]:
        return [each for each in self.members if each.sold]

    @property
    def is_active(self) -> bool:
        """Whether there is a sale or a return."""
        return any(each.sold or each.returned for each in self.members)

    @property
    def invoices(self) -> set[str]:
        return {each.number for each in self._with_sales}

    @property
    def customers(self) -> set[str | None]:
        return {each.customer for each in self._with_sales} - {None}

    @property
    def days(self) -> set[date]:
        return {each.day for each in self._with_sales}

    @cached_property
    def sold(self) -> tuple[int, Decimal]:
        return _added(each.sold for each in self.members)

    @property
    def money(self) -> tuple[object, ...]:
        """Quantity, revenue, average value of an invoice, quantity and value returned, net revenue."""
        quantity, revenue = self.sold
        returns, value = _added(each.returned for each in self.members)
        average = _rounded(revenue / len(self.invoices), 2) if self.invoices else None
        return quantity, revenue, average, returns, value, revenue - value


def _totals(
    rows: Sequence[Transaction], wanted: Callable[[Transaction], bool], *, sign: int = 1
) -> tuple[int, Decimal] | None:
    found = [row for row in rows if wanted(row)]
    return (sign * sum(row.quantity for row in found), sign * _sum(row.revenue for row in found)) if found else None


def _added(pairs: Iterable[tuple[int, Decimal] | None]) -> tuple[int, Decimal]:
    found = [pair for pair in pairs if pair]
    return sum(quantity for quantity, _ in found), _sum(value for _, value in found)


def _both(facts: Sequence[tuple[Any, ...]]) -> tuple[int, Decimal]:
    return sum(quantity for _, quantity, _ in facts), _sum(value for _, _, value in facts)


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal(0))


def _rounded(value: Decimal, digits: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _date_id(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day
