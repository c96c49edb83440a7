"""Generate the rows of a student's workbook from a seed: a sample with traps, the same kinds for every student.

The traps are what careless pipelines get wrong: stock codes that differ only in case or begin with a zero, texts with
blanks around them, prices of a fraction of a penny, returns without sales, invoices over midnight at the end of a
month, rows that occur twice, and rows that break the contract.

The generator knows what it wrote. `classroom/grading/expected.py` computes all figures from it, without a database.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from retailpipe.errors import ClassError, UsageError
from retailpipe.progress import Progress
from retailpipe.sample import MAX_ROWS, Row, sample_rows, write_rows

if TYPE_CHECKING:
    from retailpipe.classroom.class_file import ClassFile

MIN_ROWS = 300
"""A smaller workbook has no room for all traps."""

_NUMBER, _CODE, _NAME, _QUANTITY, _MOMENT, _PRICE, _CUSTOMER, _COUNTRY = range(8)
_FIRST, _LAST = datetime(2024, 1, 1), datetime(2025, 1, 3)
"""A day with a row that is neither a sale nor a return, and a month with only returns: before and after the sample."""
_FIRST_EXTRA_INVOICE = 700_001
_EXTRA_ROWS = 25
"""How many rows the traps add to the sample."""
_SEED_BITS = 62
_SERVICES = frozenset({"POST", "DOT", "C2", "M"})
_BLANKS = (" ", "\t", "\u00a0", "  ")
_FRACTIONS = (0.005, 0.0025, 0.0875, 0.001)
_BROKEN_OF_A_KIND = (1, 2)


class Line(NamedTuple):
    """A row of bronze: the values of a row of the workbook, as the contract types them."""

    invoice_no: str
    stock_code: str
    description: str | None
    quantity: int
    invoice_date: datetime
    unit_price: Decimal
    customer_id: str | None
    country: str


class Fault(NamedTuple):
    """Why a row is rejected: the first cell that breaks the contract."""

    column_name: str
    code: str
    raw_value: str


@dataclass(frozen=True)
class Exercise:
    """The workbook of a student.

    rows: as they are in the sheet.
    faults: what is wrong with each row that breaks the contract, by its index in `rows`.
    """

    rows: Sequence[Row]
    faults: Mapping[int, Fault]

    @classmethod
    def generate(cls, seed: int, rows: int) -> Exercise:
        """Generate the workbook of a seed. The same arguments always produce the same rows.

        rows: how many rows the sheet has below its header. Raises UsageError if there is no room for all traps.
        """
        if not MIN_ROWS <= rows <= MAX_ROWS:
            raise UsageError(
                f"a student's workbook cannot have {rows:,} rows",
                hint=f"Choose a number from {MIN_ROWS:,} to {MAX_ROWS:,}, with `rows` under [workbooks] in class.toml.",
            )
        return _Generator(seed, rows).exercise()

    @cached_property
    def lines(self) -> Sequence[Line]:
        """The rows that a correct load accepts."""
        return [_line(row) for index, row in enumerate(self.rows) if index not in self.faults]

    def write(self, path: Path, progress: Progress | None = None) -> None:
        """Write the workbook."""
        write_rows(path, self.rows, progress)


def seed_of(class_seed: int, student: str) -> int:
    """The seed of a student's workbook. It depends on no other student, so a change of the roster changes no seed."""
    return int.from_bytes(hashlib.sha256(f"{class_seed}\n{student}".encode()).digest()[:8])


def checked_seed(file: ClassFile) -> int:
    """The seed of a class. Raises ClassError if the class file has none, or workbooks with too few rows."""
    if file.seed is None:
        raise ClassError(
            f"{file.file}: the class has no seed, which decides what is in each student's workbook",
            hint=f"Write `seed = {secrets.randbits(_SEED_BITS) + 1}` under [workbooks], and keep the number to "
            "yourself: it gives the solutions.",
        )
    if file.rows < MIN_ROWS:
        raise ClassError(
            f"{file.file}: rows is {file.rows:,}; a workbook needs at least {MIN_ROWS:,}, so that all traps fit",
            hint=f"Write `rows = {MIN_ROWS}` or more under [workbooks].",
        )
    return file.seed


def exercise_of(file: ClassFile, student: str) -> Exercise:
    """The content of a student's workbook. Raises ClassError if the class file has no seed, or too few rows."""
    return Exercise.generate(seed_of(checked_seed(file), student), file.rows)


class _Generator:
    """Generates one workbook. The traps that change rows come first, and their rows are not changed again."""

    def __init__(self, seed: int, rows: int) -> None:
        self._chance = random.Random(f"traps {seed}")  # noqa: S311 - a seed must give the same workbook again
        self._extra: list[Row] = []
        self._invoice = _FIRST_EXTRA_INVOICE
        self._rows = [list(row) for row in sample_rows(rows - _EXTRA_ROWS, seed, with_broken_rows=False)]

    def exercise(self) -> Exercise:
        self._enough_customers()
        self._twins_and_zeros()
        self._fractions_of_a_penny()
        self._customer_of_two_countries()
        self._blanks()
        self._only_returns()
        self._neither_sale_nor_return()
        self._over_midnight()
        self._odd_products()
        self._lines_twice()
        moments = [cast("datetime", row[_MOMENT]) for row in (*self._rows, *self._extra)]
        faulty = self._broken()
        rows: list[Row] = [*map(tuple, self._rows), *self._extra]
        order = sorted(range(len(rows)), key=moments.__getitem__)
        faults = {place: faulty[index] for place, index in enumerate(order) if index in faulty}
        return Exercise([rows[index] for index in order], faults)

    def _enough_customers(self) -> None:
        """Give anonymous invoices a customer if a small sample has mostly such invoices."""
        anonymous = [row for row in self._rows if row[_CUSTOMER] is None]
        if len(anonymous) > len(self._rows) // 2:
            for row in anonymous:
                number = int("".join(filter(str.isdigit, str(row[_NUMBER]))))
                row[_CUSTOMER] = 12_900 + number % 5

    def _products(self, count: int) -> list[object]:
        """Different stock codes of products that are sold, without those of services."""
        codes = list(dict.fromkeys(row[_CODE] for row in self._rows if row[_CODE] not in _SERVICES))
        return self._chance.sample(codes, count)

    def _twins_and_zeros(self) -> None:
        *twins, zero, other_zero = self._products(5)
        for code in twins:
            number = "".join(filter(str.isdigit, str(code)))
            self._recode(code, lambda index, number=number: f"{number}{'Cc'[index % 2]}")
        for code in (zero, other_zero):
            self._recode(code, lambda index, code=code: f"0{code}")

    def _recode(self, code: object, new: Callable[[int], str]) -> None:
        """Give the rows of a product other codes; new: returns the code of the product's n-th row."""
        rows = [row for row in self._rows if row[_CODE] == code]
        for index, row in enumerate(rows):
            row[_CODE] = new(index)

    def _fractions_of_a_penny(self) -> None:
        prices = {code: self._chance.choice(_FRACTIONS) for code in self._products(6)}
        for row in self._rows:
            if row[_CODE] in prices and row[_PRICE]:
                row[_PRICE] = round(cast("float", row[_PRICE]) + prices[row[_CODE]], 4)

    def _customer_of_two_countries(self) -> None:
        sales = [row for row in self._rows if row[_CUSTOMER] and self._is_sale(row)]
        customer = self._chance.choice(sales)[_CUSTOMER]
        invoices = list(dict.fromkeys(row[_NUMBER] for row in self._rows if row[_CUSTOMER] == customer))
        for row in self._rows:
            if row[_NUMBER] == invoices[-1] and row[_CUSTOMER] == customer:
                row[_COUNTRY] = "Iceland"
        self._add(-3, self._product(), customer=customer, country="Malta", returned=True)

    def _blanks(self) -> None:
        count = max(16, len(self._rows) // 50)
        rows = self._chance.sample([row for row in self._rows if isinstance(row[_CUSTOMER], int)], count)
        for index, row in enumerate(rows):
            blank = _BLANKS[index // 4 % len(_BLANKS)]
            if index % 4 == 0:
                row[_CODE] = f"{row[_CODE]}{blank}"
            elif index % 4 == 1:
                row[_COUNTRY] = f"{blank}{row[_COUNTRY]}"
            elif index % 4 == 2:
                row[_CUSTOMER] = f"{row[_CUSTOMER]}{blank}"
            else:
                row[_NAME] = f"{row[_NAME] or ''}{blank}"

    def _only_returns(self) -> None:
        """A customer, a product and a month that have returns and no sales."""
        self._add(-2, self._product(), customer=90_001 + self._chance.randrange(500), returned=True)
        self._add(-5, 40_001 + self._chance.randrange(500), returned=True)
        for _ in range(2):
            moment = _LAST + timedelta(days=self._chance.randrange(20), minutes=self._chance.randrange(600))
            self._add(-self._chance.randint(1, 9), self._product(), moment=moment, returned=True)

    def _neither_sale_nor_return(self) -> None:
        self._add(0, self._product(), moment=_FIRST + timedelta(hours=9), customer=91_001 + self._chance.randrange(500))

    def _over_midnight(self) -> None:
        """An invoice whose second line belongs to the next month."""
        midnight = datetime(2024, self._chance.randint(3, 11), 1)
        customer = self._customer()
        number = self._next_invoice()
        for minutes in (-2, 3):
            self._add(
                self._chance.randint(1, 9),
                self._product(),
                number=number,
                moment=midnight + timedelta(minutes=minutes),
                customer=customer,
            )

    def _odd_products(self) -> None:
        """A product without a description, one with as many rows of one description as of another, and a lower-case
        code of a service, and a free item."""
        first = 41_001 + self._chance.randrange(500)
        self._add(self._chance.randint(1, 9), first, name=None)
        for name in ("ZINC LANTERN", "Zinc lantern", "ZINC LANTERN", "Zinc lantern", "?", "?", "?"):
            damaged = name == "?"
            quantity = -self._chance.randint(1, 9) if damaged else self._chance.randint(1, 9)
            self._add(quantity, first + 500, name=name, price=0.0 if damaged else 2.95, customer=None)
        self._add(1, "m", name="Manual", price=7.5)
        self._add(self._chance.randint(1, 9), self._product(), price=0.0)

    def _lines_twice(self) -> None:
        for row in self._chance.sample([row for row in self._rows if self._is_sale(row)], 7):
            self._extra.append(tuple(row))

    def _add(
        self,
        quantity: int,
        code: object,
        *,
        name: str | None = "SPARE PART",
        price: float | None = None,
        number: object = None,
        moment: datetime | None = None,
        customer: object = ...,
        country: str = "United Kingdom",
        returned: bool = False,
    ) -> None:
        invoice = number or self._next_invoice()
        self._extra.append(
            (
                f"C{invoice}" if returned else invoice,
                code,
                name,
                quantity,
                moment or self._chance.choice(self._rows)[_MOMENT],
                self._chance.choice((1.25, 2.5, 4.95)) if price is None else price,
                self._customer() if customer is ... else customer,
                country,
            )
        )

    def _next_invoice(self) -> int:
        self._invoice += 1
        return self._invoice

    def _product(self) -> object:
        return self._products(1)[0]

    def _customer(self) -> object:
        return self._chance.choice([row[_CUSTOMER] for row in self._rows if isinstance(row[_CUSTOMER], int)])

    @staticmethod
    def _is_sale(row: Sequence[object]) -> bool:
        return cast("int", row[_QUANTITY]) > 0 and cast("float", row[_PRICE]) > 0

    def _broken(self) -> dict[int, Fault]:
        """Break one or two rows in each of five ways; return the faults by index."""
        kinds = [kind for kind in range(5) for _ in range(self._chance.choice(_BROKEN_OF_A_KIND))]
        places = self._chance.sample(range(len(self._rows)), len(kinds))
        return {place: self._break(self._rows[place], kind) for place, kind in zip(places, kinds, strict=True)}

    def _break(self, row: list[object], kind: int) -> Fault:
        if kind == 0:
            pence = self._chance.randrange(10_000, 2_000_000)
            row[_PRICE] = -pence / 100
            return Fault("unit_price", "below_minimum", _text(row[_PRICE]))
        if kind == 1:
            row[_PRICE] = self._chance.randrange(10_001, 90_000)
            return Fault("unit_price", "above_maximum", _text(row[_PRICE]))
        if kind == 2:
            row[_QUANTITY] = self._chance.randrange(1, 40) + 0.5
            return Fault("quantity", "not_an_integer", _text(row[_QUANTITY]))
        if kind == 3:
            row[_MOMENT] = self._chance.choice(("last Tuesday", "31/12", "n/a", "yesterday", "Q3"))
            return Fault("invoice_date", "not_a_date", _text(row[_MOMENT]))
        row[_CODE] = None
        return Fault("stock_code", "missing", "")


def _line(row: Row) -> Line:
    number, code, name, quantity, moment, price, customer, country = row
    return Line(
        _text(number),
        _text(code),
        None if name is None else _text(name),
        cast("int", quantity),
        cast("datetime", moment),
        Decimal(_text(price)),
        None if customer is None else _text(customer),
        _text(country),
    )


def _text(value: object) -> str:
    """The text that bronze holds for a cell."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)
