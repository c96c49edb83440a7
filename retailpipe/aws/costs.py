"""What a stack costs in a month, item by item, from the prices in prices.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Self

from retailpipe.aws.instance import database_status
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import UnknownPrice

_GB = 1024**3

HOURS = 730
"""Hours of a month, as AWS reckons."""
SCHOOL_HOURS = round(8 * 5 * 52 / 12)
"""Hours of a month in which a database runs that is started on weekdays and stopped after eight hours."""

FREE_ALARMS = 10
FREE_DASHBOARDS = 3
"""What CloudWatch asks nothing for, in a whole account: a class of many stacks pays for those beyond."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices in USD. date: the day they were true (ISO 8601). region: where; others differ."""

    date: str
    region: str
    database_hour: Mapping[str, float]
    hour: Mapping[str, float]
    month: Mapping[str, float]

    @classmethod
    def known(cls) -> Self:
        """Those that come with the library."""
        return cls(**tomllib.loads(files("retailpipe.aws").joinpath("prices.toml").read_text("utf-8")))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What of a stack costs money.

    database_class: such as db.t4g.micro. database_storage, bucket: in GB.
    hours: how long the database runs in a month. alarms, dashboards: how many; the free ones of an account count.
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
    """A month's cost of one item, in USD: as the stack runs, and with its database stopped all month."""

    item: str
    running: float
    stopped: float
    about: str


@dataclass(frozen=True, kw_only=True)
class MonthlyCost:
    """A month's cost of a stack, in USD. as_of, region: of the prices."""

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
        """All of it, with the sums."""
        return {**asdict(self), "running": self.running, "stopped": self.stopped}


def monthly_cost(setup: Setup, prices: Prices | None = None) -> MonthlyCost:
    """What a stack costs in a month.

    What is asked by use and comes to cents for a pipeline such as this is left out: requests, messages, calls of
    Lambdas, logs, traffic. Raises UnknownPrice where the price file does not know the database's class.
    """
    prices = prices or Prices.known()
    hourly = prices.database_hour.get(setup.database_class)
    if hourly is None:
        known = ", ".join(prices.database_hour)
        raise UnknownPrice(
            f"the price of {setup.database_class} is not known; those of {known} are",
            hint="See https://aws.amazon.com/rds/postgresql/pricing/ for it.",
        )
    hours, month = setup.hours, prices.month

    def item(name: str, running: float, stopped: float, about: str) -> CostItem:
        return CostItem(item=name, running=round(running, 2), stopped=round(stopped, 2), about=about)

    storage = setup.database_storage * month["storage_gb"]
    bucket = setup.bucket * month["bucket_gb"]
    items = [
        item("database", hours * hourly, 0, f"{setup.database_class}, {hours:g} hours"),
        item("public address", hours * prices.hour["public_address"], 0, "of the database, while it runs"),
        item("storage", storage, storage, f"{setup.database_storage} GB"),
        item("password", month["secret"], month["secret"], "a secret that RDS changes every week"),
        item("bucket", bucket, bucket, f"{setup.bucket:.1f} GB"),
    ]
    if setup.nat_gateway:
        nat = HOURS * (prices.hour["nat_gateway"] + prices.hour["nat_address"])
        items.append(item("NAT gateway", nat, nat, "by the hour, whatever goes through it"))
    for name, count, free, price in (
        ("alarms", setup.alarms, FREE_ALARMS, month["alarm"]),
        ("dashboard", setup.dashboards, FREE_DASHBOARDS, month["dashboard"]),
    ):
        if count:
            beyond = max(0, count - free) * price
            items.append(item(name, beyond, beyond, f"{count}; an account's first {free} are free"))
    return MonthlyCost(as_of=prices.date, region=prices.region, items=tuple(items))


def cost(stack: Stack, *, hours: float | None = None) -> MonthlyCost:
    """The month's cost, item by item, from the price file: the instance and the bucket as AWS tells of them now.

    hours: how long the database runs in the month; default: all day.
    Raises AwsError, UnknownPrice.
    """
    status = database_status(stack)
    usual = Setup()
    return monthly_cost(
        Setup(
            database_class=status.instance_class,
            database_storage=status.storage,
            bucket=_bytes(stack) / _GB,
            hours=usual.hours if hours is None else hours,
            nat_gateway=stack.outputs.nat_gateway,
            alarms=stack.outputs.alarms,
            dashboards=1 if stack.outputs.dashboard else 0,
        )
    )


def _bytes(stack: Stack) -> int:
    """The bytes of all versions in the bucket."""
    bucket = stack.outputs.bucket
    with aws_errors(f"list the versions in s3://{bucket}"):
        pages = stack.aws.client("s3").get_paginator("list_object_versions")
        found = pages.paginate(Bucket=bucket, ExpectedBucketOwner=stack.outputs.account_id)
        return sum(version["Size"] for page in found for version in page.get("Versions", []))
