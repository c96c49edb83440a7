"""Make the figures of the week and of the day: revenue by weekday and by hour."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from retailpipe.html_report import sentences
from retailpipe.html_report.drawings import Columns
from retailpipe.html_report.figure import Figure
from retailpipe.html_report.sales_facts import Sales, Slot
from retailpipe.html_report.tables import Table
from retailpipe.html_report.wording import WEEKDAYS, hour, short


def weekdays(sales: Sales) -> Figure:
    """The revenue of each day of the week."""
    found = {slot.number: slot for slot in sales.weekdays}
    slots = [found.get(number, Slot(number, 0, Decimal(0))) for number in range(1, 8)]
    return Figure(
        "weekdays",
        "Weekdays",
        sentences.weekdays(sales),
        _slots(slots, [WEEKDAYS[slot.number - 1][:3] for slot in slots]),
        (_slot_table("Weekday", slots, [WEEKDAYS[slot.number - 1] for slot in slots]),),
        "public_silver.stg_transactions",
    )


def hours(sales: Sales) -> Figure:
    """The revenue of each hour of the day, from the first to the last that has sales."""
    found = {slot.number: slot for slot in sales.hours}
    slots = [found.get(n, Slot(n, 0, Decimal(0))) for n in range(sales.hours[0].number, sales.hours[-1].number + 1)]
    return Figure(
        "hours",
        "Hours of the day",
        sentences.hours(sales),
        _slots(slots, [f"{slot.number}" for slot in slots]),
        (_slot_table("Hour", slots, [hour(slot.number) for slot in slots]),),
        "public_silver.stg_transactions",
    )


def _slots(slots: Sequence[Slot], names: Sequence[str]) -> Columns:
    values = tuple(slot.revenue for slot in slots)
    return Columns(tuple((name,) for name in names), values, tuple(short(value) for value in values))


def _slot_table(what: str, slots: Sequence[Slot], names: Sequence[str]) -> Table:
    rows = tuple((name, slot.rows, slot.revenue) for name, slot in zip(names, slots, strict=True))
    return Table(f"Sales by {what.lower()}", (what, "Rows sold", "Revenue"), rows, len(rows))
