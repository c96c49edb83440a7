"""What a chart shows, without how it is drawn. `charts` draws it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Columns:
    """Upright bars, one for each category.

    ticks: the labels of the axis, each in lines; the second line is written where it changes.
    texts: what is written above the bars, if there is space.
    pale: the index of a bar that is not complete, or None.
    """

    ticks: tuple[tuple[str, ...], ...]
    values: tuple[Decimal, ...]
    texts: tuple[str, ...]
    pale: int | None = None


@dataclass(frozen=True)
class MonthlySales:
    """Revenue upwards, returns downwards, the net as a line across the bar, and the year before as a point.

    pale: for each month, whether it is not complete.
    """

    ticks: tuple[tuple[str, ...], ...]
    revenue: tuple[Decimal, ...]
    returns: tuple[Decimal, ...]
    net: tuple[Decimal, ...]
    year_before: tuple[Decimal | None, ...]
    texts: tuple[str, ...]
    pale: tuple[bool, ...]


@dataclass(frozen=True)
class Stack:
    """Upright bars of two parts, the lower in the strong colour. pale: for each bar, whether it is not complete."""

    ticks: tuple[tuple[str, ...], ...]
    lower: tuple[Decimal, ...]
    upper: tuple[Decimal, ...]
    pale: tuple[bool, ...]


@dataclass(frozen=True)
class Ranking:
    """Bars that lie below each other, with a name and a text above each. A value of None has no bar."""

    names: tuple[str, ...]
    values: tuple[Decimal | None, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """Points joined by a line. x_kind: date, number, or text for categories in their order."""

    x: tuple[str, ...]
    y: tuple[Decimal, ...]
    x_kind: str


Drawing = Columns | MonthlySales | Stack | Ranking | Line
