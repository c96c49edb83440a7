"""Generate a synthetic workbook with the columns of "Online Retail", for the demo and for tests.

It holds one year of a gift shop's wholesale trade: invoices with several lines, cancellations, free items, service
codes, anonymous customers, products with several descriptions, and a few rows that break the contract. The same
arguments always produce the same file.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from retailpipe.errors import UsageError
from retailpipe.progress import NoProgress, Progress

HEADERS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
MAX_ROWS = 1_048_575
"""Excel's limit of 1,048,576 rows, without the header row."""

_FIRST_DAY = datetime(2024, 1, 2)
_PROGRESS_ROWS = 5_000
_MATERIALS = ("ENAMEL", "WICKER", "PORCELAIN", "WOODEN", "FELT", "GLASS", "TIN", "COTTON", "PAPER", "SILVER")
_STYLES = ("VINTAGE", "RETROSPOT", "ROSE", "POLKADOT", "STAR", "IVORY", "BOTANICAL", "STRIPED")
_THINGS = (
    "LANTERN",
    "TEAPOT",
    "CAKE STAND",
    "PHOTO FRAME",
    "LUNCH BAG",
    "BUNTING",
    "DOORMAT",
    "MUG",
    "CLOCK",
    "CANDLE",
)
_COUNTRIES = {
    "United Kingdom": 82,
    "Germany": 5,
    "France": 5,
    "EIRE": 3,
    "Spain": 2,
    "Norway": 1,
    "Unspecified": 1,
}
_SERVICES = {
    "POST": ("POSTAGE", 18.0),
    "DOT": ("DOTCOM POSTAGE", 120.5),
    "C2": ("CARRIAGE", 50.0),
    "M": ("Manual", 4.25),
}
_REMARKS = ("damaged", "?", "wrongly marked", "lost", "")
_BROKEN_ROWS = 5

Row = tuple[object, ...]


@dataclass(frozen=True)
class _Product:
    code: int | str
    names: tuple[str, ...]
    price: float


@dataclass(frozen=True)
class _Customer:
    number: int | None
    country: str


def write_sample(
    path: Path,
    *,
    rows: int = 25_000,
    seed: int = 1,
    first_day: datetime = _FIRST_DAY,
    days: int = 364,
    progress: Progress | None = None,
) -> None:
    """Write a workbook with `rows` rows below its header, spread over `days` days; rows are streamed to the file.

    If there are at least 100 rows, five of them break the contract. Raises UsageError if a sheet cannot hold the rows.
    """
    if not 1 <= rows <= MAX_ROWS:
        raise UsageError(f"a sheet cannot have {rows:,} rows", hint=f"Choose a number from 1 to {MAX_ROWS:,}.")
    write_rows(path, sample_rows(rows, seed, first_day, days), progress)


def write_rows(path: Path, rows: Iterable[Row], progress: Progress | None = None) -> None:
    """Write a workbook with these rows below its header; rows are streamed to the file."""
    import xlsxwriter

    progress = progress or NoProgress()
    workbook = xlsxwriter.Workbook(str(path), {"constant_memory": True})
    workbook.set_properties({"created": _FIRST_DAY})  # the default is the current time, which differs in each file
    day_and_time = workbook.add_format({"num_format": "m/d/yyyy h:mm"})
    sheet = workbook.add_worksheet("Online Retail")
    sheet.write_row(0, 0, HEADERS)
    number = 0
    for number, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            if isinstance(value, datetime):
                sheet.write_datetime(number, column, value, day_and_time)
            elif value is not None:
                sheet.write(number, column, value)
        if number % _PROGRESS_ROWS == 0:
            progress.advance(_PROGRESS_ROWS)
    progress.advance(number % _PROGRESS_ROWS)
    workbook.close()


def sample_rows(
    rows: int, seed: int = 1, first_day: datetime = _FIRST_DAY, days: int = 364, *, with_broken_rows: bool = True
) -> Iterator[Row]:
    """Yield the rows of a sample, sorted by invoice date; None is a blank cell.

    with_broken_rows: if there are at least 100 rows, five of them break the contract.
    """
    rng = random.Random(seed)  # noqa: S311 - a seed must give the same rows again
    products = [_product(rng, number) for number in range(max(20, min(4_000, rows // 20)))]
    weights = [1 / (rank + 5) for rank in range(len(products))]
    customers = [_customer(rng, number) for number in range(max(5, min(4_500, rows // 80)))]
    broken_rows = rng.sample(range(rows), _BROKEN_ROWS) if rows >= 100 and with_broken_rows else []
    broken = {index: kind for kind, index in enumerate(broken_rows)}
    invoice, written = 500_000, 0
    while written < rows:
        invoice += 1
        moment = first_day + timedelta(
            days=days * written // rows, minutes=_minute_of_day(rng, (days * written / rows) % 1)
        )
        customer = rng.choice(customers)
        lines = min(1 + int(rng.expovariate(1 / 20)), rows - written)
        for row in _invoice(rng, invoice, moment, customer, rng.choices(products, weights, k=lines)):
            yield _broken(row, broken[written]) if written in broken else row
            written += 1


def _invoice(
    rng: random.Random, invoice: int, moment: datetime, customer: _Customer, products: list[_Product]
) -> Iterator[Row]:
    kind = rng.random()
    for product in products:
        name = rng.choices(product.names, [8, *[1] * (len(product.names) - 1)])[0]
        quantity = rng.choice((1, 1, 2, 3, 4, 6, 8, 10, 12, 24, 48))
        number: int | str = invoice
        price = product.price
        if kind < 0.02:
            number, quantity = f"C{invoice}", -quantity
        elif kind < 0.03:
            customer, quantity, price, name = (
                _Customer(None, customer.country),
                -quantity,
                0.0,
                rng.choice(_REMARKS),
            )
        elif rng.random() < 0.005:
            price = 0.0
        code = product.code
        if rng.random() < 0.01:
            code, (name, price) = rng.choice(list(_SERVICES.items()))
            quantity = 1 if quantity > 0 else -1
        yield (number, code, name or None, quantity, moment, price, customer.number, customer.country)


def _product(rng: random.Random, number: int) -> _Product:
    name = f"{rng.choice(_STYLES)} {rng.choice(_MATERIALS)} {rng.choice(_THINGS)}"
    suffix = rng.choice(("", "", "", "A", "B", "b"))
    code = f"{20_000 + number}{suffix}" if suffix else 20_000 + number
    names = (name, f"{name} ") if rng.random() < 0.2 else (name,)
    return _Product(code, names, round(rng.choice((0.42, 0.85, 1.25, 1.65, 2.1, 2.55, 3.75, 4.95, 8.5, 12.75)), 2))


def _customer(rng: random.Random, number: int) -> _Customer:
    country = rng.choices(list(_COUNTRIES), list(_COUNTRIES.values()))[0]
    return _Customer(None if rng.random() < 0.2 else 12_000 + number, country)


def _minute_of_day(rng: random.Random, part_of_day: float) -> int:
    """Return a time from 8:00, in minutes after midnight. part_of_day: the share of the day's rows that exist."""
    return 8 * 60 + int(part_of_day * 10 * 60) + rng.randrange(5)


def _broken(row: Row, kind: int) -> Row:
    """Return the row with one cell that breaks the contract. kind: 0 to 4, one for each way to break it."""
    number, code, name, quantity, moment, price, customer, country = row
    return (
        (number, code, name, quantity, moment, -11_062.06, customer, country),
        (number, code, name, quantity, moment, 38_970.0, customer, country),
        (number, code, name, 2.5, moment, price, customer, country),
        (number, code, name, quantity, "last Tuesday", price, customer, country),
        (number, None, name, quantity, moment, price, customer, country),
    )[kind]
