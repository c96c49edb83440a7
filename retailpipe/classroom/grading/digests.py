"""Digests of tables that do not depend on the order of rows: a student and the instructor compute them alike.

All values are texts here, or None. PostgreSQL writes those of a student's tables (`submission.py`), and
`canonical` writes those that the instructor expects: numbers without trailing zeros, dates and times in ISO 8601.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

BRONZE, REJECTED = "bronze.raw_transactions", "bronze.rejected_rows"
DAY_COLUMN = "invoice_date"
"""The column of bronze by whose date the rows are counted."""

_TRANSACTION = "invoice_no stock_code description quantity invoice_date unit_price customer_id country"
_FACT = "date_id stock_code country invoices quantity revenue customers"
_MONEY = "quantity revenue average_invoice_value returns_quantity returns_value net_revenue"

GRADED: Mapping[str, tuple[str, ...]] = {
    table: tuple(columns.split())
    for table, columns in {
        BRONZE: _TRANSACTION,
        REJECTED: "column_name code raw_value",
        "public_silver.stg_transactions": "invoice_no stock_code country description customer_id invoiced_at "
        "invoice_day date_id quantity unit_price revenue",
        "public_silver.int_invoices": "invoice_no invoice_day date_id customer_id country has_sales has_returns "
        "quantity revenue returns_quantity returns_value",
        "public_silver.dim_date": "date_id date year quarter month month_name week day day_of_week day_name is_weekend",
        "public_silver.dim_product": "stock_code description category is_service",
        "public_silver.dim_customer": "customer_id first_purchase last_purchase country",
        "public_silver.fact_sales_daily": _FACT,
        "public_silver.fact_returns_daily": _FACT,
        "public_gold.monthly_sales_summary": f"year month invoices customers {_MONEY}",
        "public_gold.top_products": "rank stock_code description category days_sold quantity revenue "
        "returns_quantity returns_value net_revenue",
        "public_gold.country_performance": f"rank country invoices customers revenue_share {_MONEY}",
        "public_gold.customer_lifetime_value": "customer_id country first_purchase last_purchase recency_days "
        f"active_days invoices {_MONEY}",
    }.items()
}
"""The tables that are graded, and the columns that are compared: those that do not depend on the numbers of loads."""

Text = str | None


@dataclass(frozen=True)
class Digest:
    """The digest of a table.

    rows: how many rows it has. whole: of its rows, with all columns. columns: of the values of each column.
    """

    rows: int
    whole: str
    columns: Mapping[str, str]


def table_digest(columns: Mapping[str, Sequence[Text]]) -> Digest:
    """The digest of a table, from the values of its columns."""
    rows = list(zip(*columns.values(), strict=True))
    return Digest(
        len(rows),
        _hash(sorted([_marked(value) for value in row] for row in rows)),
        {name: column_digest(values) for name, values in columns.items()},
    )


def column_digest(values: Sequence[Text]) -> str:
    """The digest of the values of a column, in any order."""
    return _hash(sorted(map(_marked, values)))[:16]


@dataclass(frozen=True)
class Day:
    """The rows of bronze of one day: how many there are, and the digest of each column."""

    rows: int
    columns: Mapping[str, str]


def days_of(columns: Mapping[str, Sequence[Text]]) -> dict[str, Day]:
    """The rows of bronze by day, such as 2024-05-13; rows without a date have the day "" (empty)."""
    return {
        day: Day(len(next(iter(values.values()))), {name: column_digest(column) for name, column in values.items()})
        for day, values in split_by_day(columns).items()
    }


def split_by_day(columns: Mapping[str, Sequence[Text]]) -> dict[str, dict[str, list[Text]]]:
    """The values of each column of bronze by day."""
    days: defaultdict[str, list[int]] = defaultdict(list)
    for index, moment in enumerate(columns[DAY_COLUMN]):
        days[(moment or "")[:10]].append(index)
    return {
        day: {name: [values[index] for index in indices] for name, values in columns.items()}
        for day, indices in sorted(days.items())
    }


def canonical(value: object) -> Text:
    """The text of a value, as PostgreSQL writes it for a submission."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        text = format(value, "f")
        return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    return value.isoformat() if isinstance(value, date) else str(value)


def self_digest(document: Mapping[str, object]) -> str:
    """The digest of a JSON document without its key `digest`."""
    return _hash({name: value for name, value in document.items() if name != "digest"})


def _marked(value: Text) -> str:
    """A text that sorts, and that is not the same for None and for an empty text."""
    return "" if value is None else f"={value}"


def _hash(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
