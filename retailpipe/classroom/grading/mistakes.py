"""The mistakes that students make typically, each with an explanation that contains no figure of the solution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from retailpipe.classroom.grading.digests import Text, canonical
from retailpipe.classroom.grading.exercise import Line
from retailpipe.classroom.grading.transactions import Mistake, Transaction, cleaned, trimmed


@dataclass(frozen=True)
class ColumnMistake:
    """A mistake in the values of a column of bronze.

    columns: the columns in which it occurs. change: a value of the workbook -> what the student has.
    """

    columns: tuple[str, ...]
    change: Callable[[Text], Text]
    explanation: str


def rounded(value: Text, digits: int) -> Text:
    """A number with fewer decimals; a value that is not a number is not changed."""
    try:
        return value and canonical(Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))
    except InvalidOperation:
        return value


_TEXTS = ("invoice_no", "stock_code", "description", "customer_id", "country")
_OPTIONAL = ("description", "customer_id")

IN_BRONZE: Sequence[ColumnMistake] = (
    ColumnMistake(_TEXTS, lambda text: text and trimmed(text), "was trimmed: bronze keeps blanks, silver removes them"),
    ColumnMistake(
        _OPTIONAL,
        lambda text: (text and trimmed(text)) or None,
        "was trimmed, and texts of blanks were removed: bronze keeps them, silver removes them",
    ),
    ColumnMistake(_TEXTS, lambda text: text and text.strip(" "), "was trimmed: bronze keeps blanks"),
    ColumnMistake(("stock_code",), lambda text: text and text.lstrip("0"), "has lost the zeros at its start"),
    ColumnMistake(
        ("stock_code",),
        lambda text: text and "".join(filter(str.isdigit, text)),
        "was cut: letters belong to stock codes, 12345A is another product than 12345",
    ),
    ColumnMistake(("stock_code",), lambda text: text and text[:5], "was cut to five characters"),
    ColumnMistake(_TEXTS, lambda text: text and text.upper(), "was changed to upper case"),
    ColumnMistake(_TEXTS, lambda text: text and text.lower(), "was changed to lower case"),
    ColumnMistake(_OPTIONAL, lambda text: text or "", "has empty texts where the workbook has blank cells"),
    ColumnMistake(_OPTIONAL, lambda text: text or "Unknown", "has filled blank cells: bronze does not fill in"),
    ColumnMistake(_OPTIONAL, lambda text: text or "0", "has filled blank cells: bronze does not fill in"),
    ColumnMistake(("unit_price",), lambda text: rounded(text, 2), "was rounded to two decimals: prices were rounded"),
    ColumnMistake(("unit_price",), lambda text: rounded(text, 0), "was rounded to whole numbers: prices were rounded"),
    ColumnMistake(("unit_price",), lambda text: rounded(text, 3), "was rounded to three decimals: prices were rounded"),
    ColumnMistake(
        ("quantity",), lambda text: text and text.lstrip("-"), "has no negative numbers: returns became sales"
    ),
    ColumnMistake(
        ("invoice_date",), lambda text: text and f"{text[:10]}T00:00:00.000000", "has lost the time of the day"
    ),
)


def _each(change: Callable[[Transaction], Transaction]) -> Callable[[Sequence[Line]], list[Transaction]]:
    return lambda lines: [change(cleaned(line)) for line in lines]


def _without(dropped: Callable[[Transaction], bool]) -> Callable[[Sequence[Line]], list[Transaction]]:
    return lambda lines: [row for row in map(cleaned, lines) if not dropped(row)]


def _untrimmed(line: Line) -> Transaction:
    return cleaned(line)._replace(
        invoice_no=line.invoice_no,
        stock_code=line.stock_code,
        country=line.country,
        description=line.description,
        customer_id=line.customer_id,
    )


_NOT_SEPARATED = "returns are counted as sales: rows with a negative quantity are returns, not sales"

BEYOND_BRONZE: Sequence[Mistake] = (
    Mistake(_NOT_SEPARATED, is_sale=lambda row: row.quantity != 0),
    Mistake(_NOT_SEPARATED, is_sale=lambda row: True, is_return=lambda row: False),
    Mistake(_NOT_SEPARATED, is_sale=lambda row: row.quantity != 0, is_return=lambda row: False),
    Mistake(
        "returns are counted as sales: the sign of the quantity was dropped",
        rows=_each(lambda row: row._replace(quantity=abs(row.quantity))),
    ),
    Mistake(
        "returns were recognised by the letter C of the invoice: a return is a row with a negative quantity",
        is_sale=lambda row: not row.invoice_no.startswith("C"),
        is_return=lambda row: row.invoice_no.startswith("C"),
    ),
    Mistake("returns are missing", rows=_without(lambda row: row.quantity < 0)),
    Mistake(
        "prices were rounded: a price may be a fraction of a penny",
        rows=_each(lambda row: row._replace(unit_price=Decimal(rounded(str(row.unit_price), 2) or 0))),
    ),
    Mistake("blanks at the ends of texts were not removed", rows=lambda lines: map(_untrimmed, lines)),
    Mistake(
        "stock codes were changed to one case: 12345C and 12345c are two products",
        rows=_each(lambda row: row._replace(stock_code=row.stock_code.upper())),
    ),
    Mistake(
        "stock codes were changed to one case: 12345C and 12345c are two products",
        rows=_each(lambda row: row._replace(stock_code=row.stock_code.lower())),
    ),
    Mistake(
        "stock codes were cut to five characters",
        rows=_each(lambda row: row._replace(stock_code=row.stock_code[:5])),
    ),
    Mistake(
        "stock codes have lost the zeros at their start",
        rows=_each(lambda row: row._replace(stock_code=row.stock_code.lstrip("0"))),
    ),
    Mistake(
        "rows that occur twice were removed: an invoice may have the same line twice",
        rows=lambda lines: map(cleaned, dict.fromkeys(lines)),
    ),
    Mistake("rows without a customer are missing", rows=_without(lambda row: row.customer_id is None)),
    Mistake("rows without a price are missing: free items are sales", rows=_without(lambda row: not row.unit_price)),
    Mistake("rows without a description are missing", rows=_without(lambda row: row.description is None)),
)
