"""Estimate the monthly cost of a stack, item by item, from the prices in prices.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Self

from retailpipe.aws.instance import database_status
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.counts import noun
from retailpipe.errors import UnknownPrice

_GB = 1024**3

HOURS = 730
"""Hours per month, as AWS counts them in its price examples."""
WEEKDAY_HOURS = round(8 * 5 * 52 / 12)
"""Hours per month of a database that runs eight hours on each weekday."""

FREE_ALARMS = 10
FREE_DASHBOARDS = 3
"""What CloudWatch offers free per account. All stacks of an account share it; AWS charges for what exceeds it."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices in USD in one AWS region; in other regions they differ. date: the day they were valid (ISO 8601)."""

    date: str
    region: str
    database_hour: Mapping[str, float]
    hour: Mapping[str, float]
    month: Mapping[str, float]

    @classmethod
    def known(cls) -> Self:
        """Load the prices that are part of the library."""
        return cls(**tomllib.loads(files("retailpipe.aws").joinpath("prices.toml").read_text("utf-8")))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The resources of a stack that cost money.

    database_class: such as db.t4g.micro. database_storage, bucket: in GB.
    hours: how many hours per month the database runs.
    alarms, dashboards: their number, including those that are free in an account.
    """

    database_class: str = "db.t4g.micro"
    database_storage: int = 20
    bucket: float = 0.1
    hours: float = HOURS
    nat_gateway: bool = False
    alarms: int = 6
    dashboards: int = 1


@dataclass(frozen=True, kw_only=True)
class CostItem:
    """The monthly cost of one item, in USD.

    running: if the database runs for the hours of the setup. stopped: if it is stopped for the whole month.
    """

    item: str
    running: float
    stopped: float
    about: str


@dataclass(frozen=True, kw_only=True)
class MonthlyCost:
    """The monthly cost of a stack, in USD. as_of, region: date and region of the prices."""

    as_of: str
    region: str
    items: tuple[CostItem, ...]

    @property
    def running(self) -> float:
        return round(sum(item.running for item in self.items), 2)

    @property
    def stopped(self) -> float:
        return round(sum(item.stopped for item in self.items), 2)

    def as_dict(self) -> dict[str, Any]:
        """All items, with the totals `running` and `stopped`."""
        return {**asdict(self), "running": self.running, "stopped": self.stopped}


def monthly_cost(setup: Setup, prices: Prices | None = None) -> MonthlyCost:
    """Estimate the monthly cost of a stack.

    Charges per use are left out, because they are a few cents for this pipeline: requests, messages, Lambda calls,
    logs, traffic. Raises UnknownPrice if the price file does not contain the database class.
    """
    prices = prices or Prices.known()
    hourly = prices.database_hour.get(setup.database_class)
    if hourly is None:
        known = ", ".join(prices.database_hour)
        raise UnknownPrice(
            f"the price of {setup.database_class} is unknown; the price file has {known}",
            hint="Look it up at https://aws.amazon.com/rds/postgresql/pricing/.",
        )
    hours, month = setup.hours, prices.month

    def item(name: str, running: float, stopped: float, about: str) -> CostItem:
        return CostItem(item=name, running=round(running, 2), stopped=round(stopped, 2), about=about)

    storage = setup.database_storage * month["storage_gb"]
    bucket = setup.bucket * month["bucket_gb"]
    items = [
        item("database", hours * hourly, 0, f"{setup.database_class}, {hours:g} {noun(hours, 'hour')}"),
        item("public address", hours * prices.hour["public_address"], 0, "of the database, only while it runs"),
        item("storage", storage, storage, f"{setup.database_storage} GB"),
        item("password", month["secret"], month["secret"], "a secret with the password, which RDS changes every week"),
        item("bucket", bucket, bucket, f"{setup.bucket:.1f} GB"),
    ]
    if setup.nat_gateway:
        nat = HOURS * (prices.hour["nat_gateway"] + prices.hour["nat_address"])
        items.append(item("NAT gateway", nat, nat, "per hour, even without traffic"))
    for name, count, free, price in (
        ("alarms", setup.alarms, FREE_ALARMS, month["alarm"]),
        ("dashboard", setup.dashboards, FREE_DASHBOARDS, month["dashboard"]),
    ):
        if count:
            beyond = max(0, count - free) * price
            items.append(item(name, beyond, beyond, f"{count}; the first {free} of an account are free"))
    return MonthlyCost(as_of=prices.date, region=prices.region, items=tuple(items))


def cost(stack: Stack, *, hours: float | None = None) -> MonthlyCost:
    """Estimate the monthly cost of a deployed stack, with the current database class and bucket size read from AWS.

    hours: how many hours per month the database runs; default: all.
    Raises AwsError, UnknownPrice.
    """
    status = database_status(stack)
    default = Setup()
    return monthly_cost(
        Setup(
            database_class=status.instance_class,
            database_storage=status.storage,
            bucket=_bytes(stack) / _GB,
            hours=default.hours if hours is None else hours,
            nat_gateway=stack.outputs.nat_gateway,
            alarms=stack.outputs.alarms,
            dashboards=1 if stack.outputs.dashboard else 0,
        )
    )


def _bytes(stack: Stack) -> int:
    """The size of all object versions in the bucket, in bytes: old versions cost money too."""
    bucket = stack.outputs.bucket
    with aws_errors(f"list the versions in s3://{bucket}"):
        pages = stack.aws.client("s3").get_paginator("list_object_versions")
        found = pages.paginate(Bucket=bucket, ExpectedBucketOwner=stack.outputs.account_id)
        return sum(version["Size"] for page in found for version in page.get("Versions", []))
