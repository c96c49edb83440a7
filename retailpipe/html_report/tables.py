"""The tables of the report: columns and typed cells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Share:
    """A share from 0 to 1, shown in percent."""

    value: Decimal


@dataclass(frozen=True)
class Amount:
    """A number that is shown with all its digits, such as the other side of an invariant.

    places: how many decimals are shown at least, so that the numbers of a column are aligned.
    """

    value: str
    places: int = 0


Cell = str | int | Decimal | date | Share | Amount | None
_NUMBERS = (int, Decimal, Share, Amount)


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    total: how many rows there are; more than `rows` if only some are shown.
    command: the arguments of the command that shows all of them; may be empty.
    which: which rows are shown if not all are: first or last; empty if they have no order.
    total_columns: how many columns there are; 0 if all are shown.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    command: str = ""
    which: str = "first"
    total_columns: int = 0

    @property
    def cut(self) -> str:
        """Which rows and columns are shown, such as `first 10 of 30 rows`; empty if all are."""
        rows = f"{self.which} {len(self.rows):,} of {self.total:,} rows".lstrip() if self.total > len(self.rows) else ""
        shown = len(self.columns)
        columns = f"{shown} of {self.total_columns:,} columns" if self.total_columns > shown else ""
        return ", ".join(filter(None, (rows, columns)))

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether all its cells are numbers."""
        return tuple(
            bool(cells) and all(isinstance(cell, _NUMBERS) for cell in cells)
            for cells in ([row[i] for row in self.rows if row[i] is not None] for i in range(len(self.columns)))
        )
