"""What a stack costs in a month, part by part, from the prices in prices.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Self

from retailpipe.errors import UnknownPrice

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
        return cls(**tomllib.loads(files("retailpipe").joinpath("prices.toml").read_text("utf-8")))


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
class Cost:
    """A month's cost of a part, in USD: as the stack runs, and with its database stopped all month."""

    part: str
    running: float
    stopped: float
    about: str


@dataclass(frozen=True, kw_only=True)
class MonthlyCost:
    """A month's cost of a stack, in USD. as_of, region: of the prices."""

    as_of: str
    region: str
    parts: tuple[Cost, ...]

    @property
    def running(self) -> float:
        return round(sum(part.running for part in self.parts), 2)

    @property
    def stopped(self) -> float:
        return round(sum(part.stopped for part in self.parts), 2)

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

    def part(name: str, running: float, stopped: float, about: str) -> Cost:
        return Cost(part=name, running=round(running, 2), stopped=round(stopped, 2), about=about)

    storage = setup.database_storage * month["storage_gb"]
    bucket = setup.bucket * month["bucket_gb"]
    parts = [
        part("database", hours * hourly, 0, f"{setup.database_class}, {hours:g} hours"),
        part("public address", hours * prices.hour["public_address"], 0, "of the database, while it runs"),
        part("storage", storage, storage, f"{setup.database_storage} GB"),
        part("password", month["secret"], month["secret"], "a secret that RDS changes every week"),
        part("bucket", bucket, bucket, f"{setup.bucket:.1f} GB"),
    ]
    if setup.nat_gateway:
        nat = HOURS * (prices.hour["nat_gateway"] + prices.hour["nat_address"])
        parts.append(part("NAT gateway", nat, nat, "by the hour, whatever goes through it"))
    for name, count, free, price in (
        ("alarms", setup.alarms, FREE_ALARMS, month["alarm"]),
        ("dashboard", setup.dashboards, FREE_DASHBOARDS, month["dashboard"]),
    ):
        if count:
            beyond = max(0, count - free) * price
            parts.append(part(name, beyond, beyond, f"{count}; an account's first {free} are free"))
    return MonthlyCost(as_of=prices.date, region=prices.region, parts=tuple(parts))
