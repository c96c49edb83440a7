"""The cleaned rows of bronze, and how a typical mistake changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from retailpipe.classroom.grading.exercise import Line

_BLANKS = " \t\r\n\u00a0"


def trimmed(text: str) -> str:
    """A text without blanks at its ends."""
    return text.strip(_BLANKS)


class Transaction(NamedTuple):
    """A cleaned row of bronze."""

    invoice_no: str
    stock_code: str
    country: str
    description: str | None
    customer_id: str | None
    line: Line
    quantity: int
    unit_price: Decimal

    @property
    def day(self) -> date:
        return self.line.invoice_date.date()

    @property
    def revenue(self) -> Decimal:
        return self.quantity * self.unit_price


def cleaned(line: Line) -> Transaction:
    """A row of bronze as silver needs it."""
    return Transaction(
        trimmed(line.invoice_no),
        trimmed(line.stock_code),
        trimmed(line.country),
        trimmed(line.description or "") or None,
        trimmed(line.customer_id or "") or None,
        line,
        line.quantity,
        line.unit_price,
    )


@dataclass(frozen=True)
class Mistake:
    """A typical mistake in silver or gold.

    explanation: a sentence for the student that does not contain a figure of the solution.
    rows: changes the rows before anything is computed.
    is_sale, is_return: which rows are which.
    """

    explanation: str
    rows: Callable[[Sequence[Line]], Iterable[Transaction]] = lambda lines: map(cleaned, lines)
    is_sale: Callable[[Transaction], bool] = lambda row: row.quantity > 0
    is_return: Callable[[Transaction], bool] = lambda row: row.quantity < 0


CORRECT = Mistake("")
