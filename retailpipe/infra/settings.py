"""The settings of a stack: one typed object, the only reader of Pulumi's config, checked before anything is made."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import date
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pulumi
from pulumi.runtime import config as pulumi_config

from retailpipe.addresses import EMAIL, Network, is_too_wide, is_unusually_wide
from retailpipe.errors import SettingsError

_RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
"""Minutes, hours, days, months, days of the week, years."""
_TAG = re.compile(r"[\w .:/=+@-]{0,256}")
_MOST_STORAGE = 65_536


class Secret(str):
    """A text that the config keeps as a secret: so do the state and the messages."""

    __slots__ = ()


class _Wrong(ValueError):
    """What is wrong with a value, and one that would do."""

    def __init__(self, reason: str, example: str) -> None:
        super().__init__(reason)
        self.example = example


def _setting(about: str, parse: Callable[[str], Any], kind: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"about": about, "parse": parse, "kind": kind})


def _boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise _Wrong(f"{text!r} is neither true nor false", "true")
    return text.strip().lower() == "true"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise _Wrong(f"{text!r} is no whole number", str(low)) from None
        if not low <= number <= high:
            raise _Wrong(f"{number} is not within {low} to {high:,}", str(low))
        return number

    return parse


def _matching(pattern: str, what: str, example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise _Wrong(f"{text!r} is not {what}", example)
        return text

    return parse


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _cidrs(text: str) -> tuple[str, ...]:
    example = "203.0.113.7/32"
    networks: list[Network] = []
    for value in _list(text):
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            raise _Wrong(f"{value!r} is no network: {error}", example) from None
        if is_too_wide(network):
            whole = "the whole internet" if network.prefixlen == 0 else "a large part of the internet"
            raise _Wrong(f"{value} is {whole}; name your own address", example)
        networks.append(network)
    if networks and not any(network.version == 4 for network in networks):
        raise _Wrong("the database has an IPv4 address alone, so a network of IPv4 is needed", example)
    if not networks:
        raise _Wrong("the list is empty, so nobody could reach the database", example)
    return tuple(dict.fromkeys(str(network) for network in networks))


def _emails(text: str) -> tuple[str, ...]:
    addresses = _list(text)
    for address in addresses:
        if not EMAIL.fullmatch(address):
            raise _Wrong(f"{address!r} is no email address", "me@example.com")
    return tuple(dict.fromkeys(addresses))


def _subnets(text: str) -> tuple[str, ...]:
    subnets = _list(text)
    if len(set(subnets)) < 2 or not all(re.fullmatch(r"subnet-[0-9a-f]+", subnet) for subnet in subnets):
        example = "subnet-0123456789abcdef0,subnet-0fedcba9876543210"
        raise _Wrong("a database wants two subnets or more, in two zones", example)
    return tuple(dict.fromkeys(subnets))


def _retention(text: str) -> int:
    days = _whole(1, _RETENTIONS[-1])(text)
    if days not in _RETENTIONS:
        raise _Wrong(f"CloudWatch keeps logs for {', '.join(map(str, _RETENTIONS))} days, not {days}", "14")
    return days


def _https(text: str) -> str:
    address = urlsplit(text)
    if address.scheme != "https" or not address.hostname or address.username or address.password:
        raise _Wrong(f"{text!r} is no address of the form https://host/path", "https://example.com/sales.xlsx")
    return text


def _time_of_day(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise _Wrong(f"{text!r} is no time of day", "22:00")
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _Wrong(f"{text!r} is no time zone", "Europe/Berlin") from None
    return text


def _schedule(text: str) -> str:
    """As EventBridge takes it: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html"""
    example = "cron(0 2 * * ? *)"
    if _RATE.fullmatch(text):
        return text
    fields_ = text.removeprefix("cron(").removesuffix(")").split(" ")
    if not (text.startswith("cron(") and text.endswith(")") and len(fields_) == len(_CRON_RANGES)):
        raise _Wrong(f"{text!r} is no schedule of EventBridge", example)
    if [fields_[2], fields_[4]].count("?") != 1:
        raise _Wrong(f"{text!r}: one of the day of the month and the day of the week has to be ?", example)
    for each, (low, high) in zip(fields_, _CRON_RANGES, strict=True):
        numbers = [int(number) for number in re.findall(r"(?<![/#0-9])[0-9]+", each)]
        if not re.fullmatch(r"[0-9A-Z*?/,#LW-]+", each) or not all(low <= number <= high for number in numbers):
            raise _Wrong(f"{text!r}: {each} is not within {low} to {high}", example)
    return text


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Wrong(f"{text!r} is no date", "2027-03-31") from None


_owner = _matching(_TAG.pattern, "a tag of letters, digits and _.:/=+@-", "me@example.com")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a stack can be told; the names in config are the same in camel case."""

    allowed_cidrs: tuple[str, ...] = _setting(
        "Networks that may reach the database, with commas between them; your own is what "
        "https://checkip.amazonaws.com answers, with /32. The whole internet is refused.",
        _cidrs,
        "string",
    )
    ephemeral: bool = _setting(
        "Whether the stack is a student's, to be destroyed whole: no protection, no backups, nothing kept. A stack "
        "with `false` is protected, backed up, and leaves a last snapshot.",
        _boolean,
        "boolean",
        default=True,
    )
    nat_gateway: bool = _setting(
        "Whether the private subnets reach the internet, for about 33 USD a month. Nothing of the pipeline needs it.",
        _boolean,
        "boolean",
        default=False,
    )
    database_class: str = _setting(
        "Instance class of the database.",
        _matching(r"db\.[a-z0-9]+\.[a-z0-9]+", "an instance class of RDS", "db.t4g.micro"),
        "string",
        default="db.t4g.micro",
    )
    database_storage: int = _setting(
        "Storage of the database to begin with, in GB.", _whole(20, _MOST_STORAGE), "integer", default=20
    )
    database_max_storage: int = _setting(
        "How far the storage may grow by itself, in GB; at least a tenth more than `databaseStorage`, or 0 for not at "
        "all.",
        _whole(0, _MOST_STORAGE),
        "integer",
        default=40,
    )
    engine_version: str = _setting(
        "PostgreSQL's version: 17, or a minor one of it.",
        _matching(r"17(\.[0-9]+)?", "17, or a minor version of it", "17"),
        "string",
        default="17",
    )
    backup_days: int = _setting(
        "Days that RDS keeps backups; an ephemeral stack keeps none.", _whole(1, 35), "integer", default=7
    )
    log_retention_days: int = _setting("Days that logs are kept.", _retention, "integer", default=14)
    schedule: str = _setting(
        "When check_bucket runs, as EventBridge writes it, in UTC.", _schedule, "string", default="cron(0 2 * * ? *)"
    )
    schedule_enabled: bool = _setting(
        "Whether check_bucket runs on schedule; `retailpipe schedule on` does it later.",
        _boolean,
        "boolean",
        default=False,
    )
    source_url: str | None = _setting(
        "An https address from which check_bucket pulls a workbook when it has changed.", _https, "string", default=None
    )
    notify_emails: tuple[str, ...] = _setting(
        "Who gets notices and alarms by email, with commas between them; each has to confirm a first one.",
        _emails,
        "string",
        default=(),
    )
    monthly_budget: int = _setting(
        "USD a month beyond which notices are sent; 0 for no budget.", _whole(0, 1_000_000), "integer", default=25
    )
    nightly_stop: str | None = _setting(
        "Time of day at which the database is stopped, such as 22:00; not set, it runs on. A stopped database starts "
        "by itself after seven days, and is stopped again that night.",
        _time_of_day,
        "string",
        default=None,
    )
    nightly_stop_time_zone: str = _setting("Time zone of `nightlyStop`.", _time_zone, "string", default="UTC")
    dashboard: bool = _setting("Whether to make a dashboard.", _boolean, "boolean", default=True)
    alarms: bool = _setting("Whether to make alarms.", _boolean, "boolean", default=True)
    student_policy: bool = _setting(
        "Whether to make the managed policy with what the library needs, for a student's user.",
        _boolean,
        "boolean",
        default=True,
    )
    student_user: str | None = _setting(
        "The IAM user to whom that policy is given; not set, it is attached by hand.",
        _matching(r"[\w+=,.@-]{1,64}", "the name of an IAM user", "student-1"),
        "string",
        default=None,
    )
    existing_role_arn: str | None = _setting(
        "A role for the Lambdas and the nightly stop, where you may make none (learner labs): no IAM resource is made "
        "then, the student's policy neither.",
        _matching(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+", "the ARN of a role", "arn:aws:iam::123456789012:role/Lab"),
        "string",
        default=None,
    )
    existing_vpc_id: str | None = _setting(
        "A VPC to use, where the network is given; no network is made then.",
        _matching(r"vpc-[0-9a-f]+", "the id of a VPC", "vpc-0123456789abcdef0"),
        "string",
        default=None,
    )
    existing_subnet_ids: tuple[str, ...] = _setting(
        "Subnets of that VPC for the database, in two zones or more, with commas between them.",
        _subnets,
        "string",
        default=(),
    )
    owner: str = _setting("Whose stack it is: the tag Owner.", _owner, "string", default="")
    expires_on: str = _setting(
        "The date until which the stack is wanted: the tag ExpiresOn.", _day, "string", default=""
    )

    @property
    def kept_backup_days(self) -> int:
        return 0 if self.ephemeral else self.backup_days

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, and most probably a mistake: a sentence for each."""
        networks = [ipaddress.ip_network(cidr) for cidr in self.allowed_cidrs]
        return tuple(
            f"allowedCidrs: {network} holds {network.num_addresses:,} addresses, and each of them can try to log in to "
            f"the database. {_mend('allowedCidrs', '203.0.113.7/32')}"
            for network in networks
            if is_unusually_wide(network)
        )

    @property
    def disabled_parts(self) -> tuple[str, ...]:
        """The parts that such a stack does not have, and who will miss them."""
        missing: list[str] = []
        if self.existing_role_arn:
            missing.append("IAM resources (the Lambdas and the nightly stop use existingRoleArn)")
        if self.existing_role_arn or not self.student_policy:
            missing.append("the student's policy (give the user the rights in docs/aws.md by hand)")
        if self.existing_vpc_id:
            missing.append("a network of its own (the database is in existingVpcId)")
        if not self.monthly_budget:
            missing.append("the budget")
        if not self.nightly_stop:
            missing.append("the nightly stop (`retailpipe db stop` stops the database by hand)")
        if not self.dashboard:
            missing.append("the dashboard")
        if not self.alarms:
            missing.append("alarms")
        return tuple(missing)

    @classmethod
    def of_stack(cls) -> Self:
        """The settings of the stack that Pulumi runs the program for. Raises SettingsError."""
        prefix = f"{pulumi.get_project()}:"
        config = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
        own = {
            name.removeprefix(prefix): Secret(value) if pulumi_config.is_config_secret(name) else value
            for name, value in config.items()
            if name.startswith(prefix)
        }
        return cls.read(own)

    @classmethod
    def read(cls, config: Mapping[str, str]) -> Self:
        """The settings of a stack from its config, by name without the project's.

        Raises SettingsError, which lists all mistakes.
        """
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        known = {name_in_config(each): each for each in fields(cls)}
        for name in sorted(config.keys() - known.keys()):
            mistakes.append(f"{name} is no setting. Mend it with `pulumi config rm {name}`.")
        for name, each in known.items():
            text = config.get(name, "")
            if text == "":  # the default in Pulumi.yaml of what is not set
                if each.default is MISSING:
                    mistakes.append(f"{name} is not set. {_mend(name, _example(each))}")
                continue
            try:
                value = each.metadata["parse"](text)
            except _Wrong as wrong:
                reason = "its value, a secret, is not right" if isinstance(text, Secret) else wrong
                mistakes.append(f"{name}: {reason}. {_mend(name, wrong.example)}")
            else:
                values[each.name] = Secret(value) if isinstance(text, Secret) and isinstance(value, str) else value
        if not mistakes:
            settings = cls(**values)
            mistakes = settings._contradictions()
            if not mistakes:
                return settings
        told = "".join(f"\n- {mistake}" for mistake in mistakes)
        raise SettingsError(f"the config of this stack is wrong:{told}", hint="Every setting is in docs/settings.md.")

    def _contradictions(self) -> list[str]:
        mistakes: list[str] = []
        if self.database_max_storage and self.database_max_storage < self.database_storage * 1.1:
            least = -(-self.database_storage * 11 // 10)
            mistakes.append(
                f"databaseMaxStorage: {self.database_max_storage} is not a tenth more than databaseStorage. "
                + _mend("databaseMaxStorage", str(least))
            )
        if bool(self.existing_vpc_id) != bool(self.existing_subnet_ids):
            given, missing = "existingVpcId", "existingSubnetIds"
            if not self.existing_vpc_id:
                given, missing = missing, given
            examples = {"existingVpcId": "vpc-0123456789abcdef0", "existingSubnetIds": "subnet-0a,subnet-0b"}
            mistakes.append(f"{missing} is not set, but {given} is. {_mend(missing, examples[missing])}")
        if self.existing_vpc_id and self.nat_gateway:
            mistakes.append("natGateway: no network is made beside existingVpcId. " + _mend("natGateway", "false"))
        return mistakes


def name_in_config(each: Field[Any]) -> str:
    head, *rest = each.name.split("_")
    return head + "".join(word.title() for word in rest)


def _example(each: Field[Any]) -> str:
    try:
        each.metadata["parse"]("")
    except _Wrong as wrong:
        return wrong.example
    return ""


def _mend(name: str, example: str) -> str:
    quoted = f"'{example}'" if re.search(r"[^\w./:@,-]", example) else example
    return f"Mend it with `pulumi config set {name} {quoted}`."
