"""What the stacks of a class have cost so far."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, timedelta
from typing import Literal

from retailpipe.aws.billing import Bill
from retailpipe.aws.databases import DatabaseInstance
from retailpipe.errors import UnknownPrice
from retailpipe.prices import HOURS, Prices, Setup, monthly_cost

_YEAR = timedelta(days=365)

CostFrom = Literal["bill", "price list", ""]


def cost_so_far(
    pipeline: str, exists: bool, instance: DatabaseInstance | None, bill: Bill, prices: Prices, now: datetime
) -> tuple[float | None, CostFrom]:
    """The cost of a stack in USD, and where it is from; None if it is unknown.

    pipeline: the value of the stack's tag `Pipeline`. exists: whether the stack is deployed.
    """
    if bill.costs:
        return bill.costs.get(pipeline, 0.0), "bill"
    if not instance or not instance.created:
        return (None, "") if exists else (0.0, "")
    setup = Setup(
        database_class=instance.instance_class, database_storage=instance.storage, hours=HOURS, alarms=0, dashboards=0
    )
    try:
        month = monthly_cost(setup, prices).running
    except UnknownPrice:
        return None, ""
    hours = max(0.0, (now - instance.created).total_seconds() / 3600)
    return round(month * hours / HOURS, 2), "price list"


def first_day(instances: Collection[DatabaseInstance], stacks: int, now: datetime) -> date:
    """The day from which costs are counted: when the first database was created.

    stacks: how many stacks exist. If some have no database, it has expired, but has cost something: a year ago.
    """
    created = [instance.created for instance in instances if instance.created]
    return min(created).date() if created and len(created) >= stacks else now.date() - _YEAR


def cost_about(bill: Bill, since: date, prices: Prices, *, is_known: bool) -> str:
    """What the costs are, and what they are not. is_known: whether the cost of a stack is known."""
    if bill.costs:
        return f"costs: from Cost Explorer, since {since}; it is up to a day late"
    if not is_known:
        return "costs: unknown: there are no databases, and Cost Explorer has no figures"
    return (
        f"costs: at most, by the prices of {prices.region}, as if each database had run since it was created; "
        f"Cost Explorer has no figures: {bill.reason}"
    )
