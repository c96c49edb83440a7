"""The monthly cost of a class: in the worst case, and as expected with its settings.

Worst case: all databases run all day, and their storage has grown to its limit. The alarms and dashboards of all stacks
share what CloudWatch offers free per account, with those that the account already has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from retailpipe.aws.databases import DatabaseInstance
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.roster import Student
from retailpipe.counts import counted
from retailpipe.errors import UnknownPrice
from retailpipe.prices import (
    FREE_ALARMS,
    FREE_DASHBOARDS,
    HOURS,
    WEEKDAY_HOURS,
    Prices,
    Setup,
    monthly_cost,
)
from retailpipe.reports import Report
from retailpipe.settings import Settings

_KMS = "awskms://"


@dataclass(frozen=True)
class ClassCostPart(Report):
    """One part of the monthly cost of a class, in USD.

    worst: in the worst case. expected: with the settings of the class.
    about: what is counted. lower: the setting that lowers the worst case, and by how much; empty if there is none.
    """

    part: str
    worst: float
    expected: float
    about: str
    lower: str = ""


@dataclass(frozen=True)
class StudentCost(Report):
    """The monthly cost of one student's stack, in USD, without what the class shares."""

    student: str
    worst: float
    expected: float


@dataclass(frozen=True)
class ClassCost(Report):
    """The monthly cost of a class, in USD.

    as_of, region: date and region of the prices. limit: `max_monthly_cost` of the class file.
    expected_about: what `expected` assumes.
    """

    as_of: str
    region: str
    limit: float
    worst: float
    expected: float
    expected_about: str
    parts: tuple[ClassCostPart, ...]
    students: tuple[StudentCost, ...]

    @property
    def is_too_high(self) -> bool:
        return self.worst > self.limit

    @property
    def refusal(self) -> str:
        """Why the class is refused, with the parts and what lowers them; empty if it is not."""
        if not self.is_too_high:
            return ""
        lines = [
            f"a month of the class can cost {self.worst:,.2f} USD, which is more than max_monthly_cost, {self.limit:,g}"
        ]
        for part in self.parts:
            if part.worst:
                lines.append(f"  {part.part}: {part.worst:,.2f} ({part.about})")
                lines += [f"    lower it: {part.lower}"] if part.lower else []
        lines.append(f"  or raise max_monthly_cost to {-int(-self.worst // 1):,}, or take students off the roster")
        return "\n".join(lines)


def class_cost(
    classroom: Classroom,
    *,
    gone: Mapping[str, DatabaseInstance] = MappingProxyType({}),
    other_alarms: int = 0,
    other_dashboards: int = 0,
    prices: Prices | None = None,
) -> ClassCost:
    """Compute the monthly cost of a class.

    gone: the databases of stacks that exist, but whose students are not in the roster any more, by the stack's name.
    other_alarms, other_dashboards: how many the account has that are not of the class's stacks.
    Raises UnknownPrice if the price file does not contain a database class.
    """
    prices = prices or Prices.known()
    each = [(student, classroom.settings_of(student)) for student in classroom.students]
    worst = [_items(classroom, student, _worst(settings), prices) for student, settings in each]
    expected = [_items(classroom, student, _expected(settings), prices) for student, settings in each]
    all_settings = [settings for _, settings in each]
    count = counted(len(each), "student")
    lower = {"database": _smaller_class(all_settings, prices), "storage": _less_storage(all_settings, prices)}
    about = {
        "database": f"{count}; at most: all day",
        "public address": "one for each database that runs",
        "storage": f"at most: grown to {sum(map(largest_storage, all_settings)):,} GB",
        "password": "a secret for each database",
        "bucket": "0.1 GB for each student",
    }
    parts = [
        ClassCostPart(
            part=name,
            worst=_total(items[name] for items in worst),
            expected=_total(items[name] for items in expected),
            about=about.get(name, ""),
            lower=lower.get(name, ""),
        )
        for name in (worst[0] if worst else {})
    ]
    shared = _shared(classroom, all_settings, other_alarms, other_dashboards, prices)
    if gone:
        shared.append(_gone(gone, prices))
    return ClassCost(
        as_of=prices.date,
        region=prices.region,
        limit=classroom.file.max_monthly_cost,
        worst=_total(part.worst for part in (*parts, *shared)),
        expected=_total(part.expected for part in (*parts, *shared)),
        expected_about=_assumption(all_settings),
        parts=(*parts, *shared),
        students=tuple(
            StudentCost(student.name, _total(high.values()), _total(low.values()))
            for (student, _), high, low in zip(each, worst, expected, strict=True)
        ),
    )


def largest_storage(settings: Settings) -> int:
    """The most storage that a database can grow to, in GB."""
    return max(settings.database_storage, settings.database_max_storage)


def _worst(settings: Settings) -> Setup:
    return Setup(
        database_class=settings.database_class,
        database_storage=largest_storage(settings),
        hours=HOURS,
        nat_gateway=settings.nat_gateway,
        alarms=0,
        dashboards=0,
    )


def _expected(settings: Settings) -> Setup:
    return Setup(
        database_class=settings.database_class,
        database_storage=settings.database_storage,
        hours=WEEKDAY_HOURS if settings.nightly_stop else HOURS,
        nat_gateway=settings.nat_gateway,
        alarms=0,
        dashboards=0,
    )


def _items(classroom: Classroom, student: Student, setup: Setup, prices: Prices) -> dict[str, float]:
    """The monthly cost of one student's stack by its items."""
    try:
        return {item.item: item.running for item in monthly_cost(setup, prices).items}
    except UnknownPrice as error:
        name = "databaseClass"
        own = student.name if name in classroom.file.overrides.get(student.name, {}) else None
        raise UnknownPrice(
            f"{classroom.file.place(name, own)}: {error}; without a price, the worst case of the class is unknown",
            hint=f"Choose one of {', '.join(prices.database_hour)}.",
        ) from error


def _shared(
    classroom: Classroom, settings: Sequence[Settings], other_alarms: int, other_dashboards: int, prices: Prices
) -> list[ClassCostPart]:
    """The parts that are counted for the whole class."""
    parts: list[ClassCostPart] = []
    for name, setting, count, others, free, price in (
        ("alarms", "alarms", Setup().alarms * sum(each.alarms for each in settings), other_alarms, FREE_ALARMS,
         prices.month["alarm"]),
        ("dashboards", "dashboard", Setup().dashboards * sum(each.dashboard for each in settings), other_dashboards,
         FREE_DASHBOARDS, prices.month["dashboard"]),
    ):  # fmt: skip
        if count:
            cost = round((max(0, count + others - free) - max(0, others - free)) * price, 2)
            about = f"{count} in the class, {others} others; the first {free} of the account are free"
            lower = f"`{setting} = false` saves {cost:,.2f}" if cost else ""
            parts.append(ClassCostPart(name, cost, cost, about, lower))
    if classroom.file.secrets_provider.startswith(_KMS):
        key = prices.month["key"]
        parts.append(ClassCostPart("key", key, key, "the KMS key of the class's state"))
    return parts


def _gone(databases: Mapping[str, DatabaseInstance], prices: Prices) -> ClassCostPart:
    """What the stacks cost that are not in the roster. Raises UnknownPrice."""
    names, total = ",".join(databases), 0.0
    for name, database in databases.items():
        setup = Setup(database_class=database.instance_class, database_storage=database.storage, alarms=0, dashboards=0)
        try:
            total += monthly_cost(setup, prices).running
        except UnknownPrice as error:
            raise UnknownPrice(
                f"stack {name}, which is not in the roster: {error}",
                hint=f"Remove it: `retailpipe class down --only {name}`.",
            ) from error
    total = round(total, 2)
    lower = f"`retailpipe class down --only {names}` removes them"
    return ClassCostPart("not in the roster", total, total, f"{names}; all day", lower)


def _smaller_class(settings: Sequence[Settings], prices: Prices) -> str:
    smallest = min(prices.database_hour, key=lambda name: prices.database_hour[name])
    saved = sum(prices.database_hour.get(each.database_class, 0) - prices.database_hour[smallest] for each in settings)
    return f'`databaseClass = "{smallest}"` saves {saved * HOURS:,.2f}' if saved > 0 else ""


def _less_storage(settings: Sequence[Settings], prices: Prices) -> str:
    levers: list[str] = []
    price = prices.month["storage_gb"]
    if grown := sum(largest_storage(each) - each.database_storage for each in settings):
        levers.append(f"`databaseMaxStorage = 0` (the storage does not grow) saves {grown * price:,.2f}")
    least = Setup().database_storage
    if more := sum(each.database_storage - least for each in settings if each.database_storage > least):
        levers.append(f"`databaseStorage = {least}` saves {more * price:,.2f}")
    return "; ".join(levers)


def _assumption(settings: Sequence[Settings]) -> str:
    stopped = sum(bool(each.nightly_stop) for each in settings)
    if stopped == len(settings):
        return f"each database runs eight hours on weekdays ({WEEKDAY_HOURS} hours), and nightlyStop stops it"
    if not stopped:
        return "the databases run all day, because nightlyStop is not set"
    return (
        f"{stopped} of {len(settings)} databases run eight hours on weekdays ({WEEKDAY_HOURS} hours), the rest all day"
    )


def _total(amounts: Iterable[float]) -> float:
    return round(sum(amounts), 2)
