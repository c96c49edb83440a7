"""Estimate the monthly cost of a stack, item by item, from the prices in prices.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from typing import Any, Protocol, Self

from retailpipe.counts import noun
from retailpipe.errors import UnknownPrice

HOURS = 730
"""Hours per month, as AWS counts them in its price examples."""
WEEKDAY_HOURS = round(8 * 5 * 52 / 12)
"""Hours per month of a database that runs eight hours on each weekday."""

ALARMS = 6
"""The alarms of a stack, unless `alarms` is `false`."""
WORKER_VCPU, WORKER_GB = 1, 2
"""The size of each task of the workers."""
FREE_ALARMS = 10
FREE_DASHBOARDS = 3
"""What CloudWatch offers free per account. All stacks of an account share it; AWS charges for what exceeds it."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices in USD in one AWS region; in other regions they differ. date: the day they were valid (ISO 8601)."""

    date: str
    region: str
    database_hour: Mapping[str, float]
    fargate_hour: Mapping[str, float]
    hour: Mapping[str, float]
    month: Mapping[str, float]

    @classmethod
    def known(cls) -> Self:
        """Load the prices that are part of the library."""
        return cls(**tomllib.loads(files("retailpipe").joinpath("prices.toml").read_text("utf-8")))

    @property
    def worker_hour(self) -> float:
        """One hour of a task of the workers, on demand, with its public address."""
        size = WORKER_VCPU * self.fargate_hour["vcpu"] + WORKER_GB * self.fargate_hour["gb"]
        return size + self.hour["public_address"]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The resources of a stack that cost money.

    database_class: such as db.t4g.micro. database_storage, bucket: in GB.
    hours: how many hours per month the database runs.
    alarms, dashboards: their number, including those that are free in an account.
    worker_hours: how many hours per month the tasks of the workers run, all together.
    free_alarms, free_dashboards: how many of them are free: fewer if other stacks of the account use them.
    """

    database_class: str = "db.t4g.micro"
    database_storage: int = 20
    bucket: float = 0.1
    hours: float = HOURS
    nat_gateway: bool = False
    alarms: int = ALARMS
    dashboards: int = 1
    worker_hours: float = 0
    free_alarms: int = FREE_ALARMS
    free_dashboards: int = FREE_DASHBOARDS


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
    if setup.worker_hours:
        workers = setup.worker_hours * prices.worker_hour
        about = f"{setup.worker_hours:g} {noun(setup.worker_hours, 'hour')} of all tasks, on demand"
        items.append(item("workers", workers, 0, about))
    for name, count, free, price in (
        ("alarms", setup.alarms, setup.free_alarms, month["alarm"]),
        ("dashboard", setup.dashboards, setup.free_dashboards, month["dashboard"]),
    ):
        if count:
            beyond = max(0, count - free) * price
            about = f"{count}; the first {free} of an account are free" if free else str(count)
            items.append(item(name, beyond, beyond, about))
    return MonthlyCost(as_of=prices.date, region=prices.region, items=tuple(items))


class PricedSettings(Protocol):
    """The settings of a stack that change its cost; `retailpipe.settings.Settings` has them."""

    @property
    def database_class(self) -> str: ...
    @property
    def database_storage(self) -> int: ...
    @property
    def database_max_storage(self) -> int: ...
    @property
    def nat_gateway(self) -> bool: ...
    @property
    def workers(self) -> int: ...
    @property
    def worker_hours(self) -> int: ...
    @property
    def alarms(self) -> bool: ...
    @property
    def dashboard(self) -> bool: ...


def worst_case(settings: PricedSettings, prices: Prices | None = None) -> MonthlyCost:
    """Estimate the highest monthly cost of a stack with these settings, which `running` of the result is.

    The database runs all day, its storage has grown to its limit, and other stacks use the account's free alarms and
    dashboards. As in `monthly_cost`, charges per use are left out. Raises UnknownPrice.
    """
    return monthly_cost(_worst_setup(settings), prices)


def savings(settings: PricedSettings, prices: Prices | None = None) -> dict[tuple[str, str], float]:
    """How much less the worst case is with other settings, in USD.

    Returns the amounts by name and value of a setting in Pulumi's config, the largest first. Raises UnknownPrice.
    """
    prices = prices or Prices.known()
    setup = _worst_setup(settings)
    cheapest = min(prices.database_hour, key=lambda each: prices.database_hour[each])
    cheaper = {
        ("natGateway", "false"): replace(setup, nat_gateway=False),
        ("databaseClass", cheapest): replace(setup, database_class=cheapest),
        ("databaseMaxStorage", "0"): replace(setup, database_storage=settings.database_storage),
        ("workers", "0"): replace(setup, worker_hours=0),
        ("dashboard", "false"): replace(setup, dashboards=0),
        ("alarms", "false"): replace(setup, alarms=0),
    }
    worst = monthly_cost(setup, prices).running
    saved = {change: round(worst - monthly_cost(each, prices).running, 2) for change, each in cheaper.items()}
    return dict(sorted(((change, amount) for change, amount in saved.items() if amount > 0), key=lambda each: -each[1]))


def _worst_setup(settings: PricedSettings) -> Setup:
    return Setup(
        database_class=settings.database_class,
        database_storage=max(settings.database_storage, settings.database_max_storage),
        nat_gateway=settings.nat_gateway,
        alarms=ALARMS if settings.alarms else 0,
        dashboards=1 if settings.dashboard else 0,
        worker_hours=settings.worker_hours if settings.workers else 0,
        free_alarms=0,
        free_dashboards=0,
    )
