"""Read and validate the settings of a stack from Pulumi's config.

Only this module reads Pulumi's config. It reports all mistakes at once, before the program declares any resource.
The texts of the settings are also in docs/settings.md and Pulumi.yaml: run `make docs` after a change.
"""

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
"""Days for which CloudWatch Logs can keep a log group's events: the values that its PutRetentionPolicy accepts."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
"""Lowest and highest number for each field: minutes, hours, days, months, days of the week, years."""
_TAG = re.compile(r"[\w .:/=+@-]{0,256}")
_MAX_STORAGE = 65_536
"""In GB: the most that RDS allows for a PostgreSQL instance."""


class Secret(str):
    """A value that is a secret in the config. It must also be a secret in the state, and no message may show it."""

    __slots__ = ()


class _InvalidValue(ValueError):
    """The reason why a value is invalid, and an example of a valid value."""

    def __init__(self, reason: str, example: str) -> None:
        super().__init__(reason)
        self.example = example


def _setting(about: str, parse: Callable[[str], Any], kind: str, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"about": about, "parse": parse, "kind": kind})


def _boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise _InvalidValue(f"{text!r} is neither true nor false", "true")
    return text.strip().lower() == "true"


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise _InvalidValue(f"{text!r} is not a whole number", str(low)) from None
        if not low <= number <= high:
            raise _InvalidValue(f"{number} is not between {low} and {high:,}", str(low))
        return number

    return parse


def _matching(pattern: str, what: str, example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise _InvalidValue(f"{text!r} is not {what}", example)
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
            raise _InvalidValue(f"{value!r} is not a valid network: {error}", example) from None
        if is_too_wide(network):
            extent = "the whole internet" if network.prefixlen == 0 else "a large part of the internet"
            raise _InvalidValue(f"{value} covers {extent}; allow only your own address", example)
        networks.append(network)
    if networks and not any(network.version == 4 for network in networks):
        raise _InvalidValue("the database has only an IPv4 address, so at least one IPv4 network is required", example)
    if not networks:
        raise _InvalidValue("the list is empty, so no connection to the database would be possible", example)
    return tuple(dict.fromkeys(str(network) for network in networks))


def _emails(text: str) -> tuple[str, ...]:
    addresses = _list(text)
    for address in addresses:
        if not EMAIL.fullmatch(address):
            raise _InvalidValue(f"{address!r} is not an email address", "me@example.com")
    return tuple(dict.fromkeys(addresses))


def _subnets(text: str) -> tuple[str, ...]:
    subnets = _list(text)
    if len(set(subnets)) < 2 or not all(re.fullmatch(r"subnet-[0-9a-f]+", subnet) for subnet in subnets):
        example = "subnet-0123456789abcdef0,subnet-0fedcba9876543210"
        raise _InvalidValue("the database needs at least two subnet IDs, in different availability zones", example)
    return tuple(dict.fromkeys(subnets))


def _retention(text: str) -> int:
    days = _integer(1, _RETENTIONS[-1])(text)
    if days not in _RETENTIONS:
        raise _InvalidValue(
            f"{days} is not one of the values that CloudWatch allows: {', '.join(map(str, _RETENTIONS))}", "14"
        )
    return days


def _https(text: str) -> str:
    address = urlsplit(text)
    if address.scheme != "https" or not address.hostname or address.username or address.password:
        reason = f"{text!r} is not an address of the form https://host/path, without user name and password"
        raise _InvalidValue(reason, "https://example.com/sales.xlsx")
    return text


def _time_of_day(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise _InvalidValue(f"{text!r} is not a time of day (HH:MM)", "22:00")
    return text


def _time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _InvalidValue(f"{text!r} is not a known time zone", "Europe/Berlin") from None
    return text


def _schedule(text: str) -> str:
    """Check a schedule expression by EventBridge's rules.

    See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html.
    """
    example = "cron(0 2 * * ? *)"
    if _RATE.fullmatch(text):
        return text
    fields_ = text.removeprefix("cron(").removesuffix(")").split(" ")
    if not (text.startswith("cron(") and text.endswith(")") and len(fields_) == len(_CRON_RANGES)):
        raise _InvalidValue(f"{text!r} is not an EventBridge schedule expression", example)
    if [fields_[2], fields_[4]].count("?") != 1:
        raise _InvalidValue(f"{text!r}: either the day of the month or the day of the week must be ?", example)
    # Check only the numbers outside of steps (/5) and of the n-th weekday in a month (6#3); AWS checks the rest.
    for each, (low, high) in zip(fields_, _CRON_RANGES, strict=True):
        numbers = [int(number) for number in re.findall(r"(?<![/#0-9])[0-9]+", each)]
        if not re.fullmatch(r"[0-9A-Z*?/,#LW-]+", each) or not all(low <= number <= high for number in numbers):
            message = f"{text!r}: {each} is not a valid field; its numbers must be from {low} to {high}"
            raise _InvalidValue(message, example)
    return text


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _InvalidValue(f"{text!r} is not a date (YYYY-MM-DD)", "2027-03-31") from None


_owner = _matching(_TAG.pattern, "a tag of at most 256 letters, digits, spaces and _.:/=+@-", "me@example.com")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a stack. In Pulumi's config, the names are in camel case, such as allowedCidrs."""

    allowed_cidrs: tuple[str, ...] = _setting(
        "Networks that may connect to the database, separated by commas. To allow only your own computer, use the "
        "address that https://checkip.amazonaws.com shows, followed by /32. At least one IPv4 network is required. "
        "IPv4 networks larger than /8 and IPv6 networks larger than /19 are rejected.",
        _cidrs,
        "string",
    )
    ephemeral: bool = _setting(
        "Whether the stack, for example a student's, can be destroyed completely with one command. `true`: no "
        "deletion protection and no backups; destroying the stack deletes all its data. `false`: the bucket and the "
        "database are protected from deletion, and RDS backs up the database and keeps a final snapshot of it.",
        _boolean,
        "boolean",
        default=True,
    )
    nat_gateway: bool = _setting(
        "Whether to create a NAT gateway, which connects the private subnets to the internet. It costs about 33 USD a "
        "month, plus its public IP address. The pipeline does not need it.",
        _boolean,
        "boolean",
        default=False,
    )
    database_class: str = _setting(
        "RDS instance class of the database, such as db.t4g.micro or db.t4g.small.",
        _matching(r"db\.[a-z0-9]+\.[a-z0-9]+", "an RDS instance class", "db.t4g.micro"),
        "string",
        default="db.t4g.micro",
    )
    database_storage: int = _setting(
        "Initial storage of the database, in GB; at least 20.", _integer(20, _MAX_STORAGE), "integer", default=20
    )
    database_max_storage: int = _setting(
        "Maximum storage of the database, in GB: RDS adds storage automatically up to this limit. Must be at least "
        "10 % more than `databaseStorage`. 0 turns automatic growth off.",
        _integer(0, _MAX_STORAGE),
        "integer",
        default=40,
    )
    engine_version: str = _setting(
        "PostgreSQL version: 17, or a minor version such as 17.6. With 17, RDS installs minor upgrades automatically; "
        "a minor version is kept until you change this setting.",
        _matching(r"17(\.[0-9]+)?", "17 or a minor version such as 17.6", "17"),
        "string",
        default="17",
    )
    backup_days: int = _setting(
        "Number of days for which RDS keeps automated backups, from 1 to 35. Ignored if `ephemeral` is `true`.",
        _integer(1, 35),
        "integer",
        default=7,
    )
    log_retention_days: int = _setting(
        "Number of days for which CloudWatch keeps the logs of the Lambdas and the database. Must be a value that "
        "CloudWatch allows, such as 7, 14, 30 or 90.",
        _retention,
        "integer",
        default=14,
    )
    schedule: str = _setting(
        "When check_bucket runs, as an EventBridge schedule expression: cron(...), in UTC, or rate(...). It runs only "
        "if the schedule is enabled (see `scheduleEnabled`).",
        _schedule,
        "string",
        default="cron(0 2 * * ? *)",
    )
    schedule_enabled: bool = _setting(
        "Whether check_bucket runs on schedule. `retailpipe schedule on` enables the schedule without a deployment.",
        _boolean,
        "boolean",
        default=False,
    )
    source_url: str | None = _setting(
        "HTTPS address of a workbook. When check_bucket runs, it copies the workbook to the bucket if it has changed. "
        "If the address contains a token, store it as a secret: `pulumi config set --secret sourceUrl ADDRESS`.",
        _https,
        "string",
        default=None,
    )
    notify_emails: tuple[str, ...] = _setting(
        "Email addresses that receive notices and alarms, separated by commas. AWS first sends each address a link "
        "that confirms the subscription.",
        _emails,
        "string",
        default=(),
    )
    monthly_budget: int = _setting(
        "Monthly budget in USD. A notice is sent when the actual or the forecast cost exceeds 80 % of it. AWS counts "
        "costs only after the account activates the cost allocation tag `Pipeline`. 0: no budget.",
        _integer(0, 1_000_000),
        "integer",
        default=25,
    )
    nightly_stop: str | None = _setting(
        "Time of day at which the database is stopped, such as 22:00. If not set, the database is not stopped. AWS "
        "starts a stopped database again after seven days; the next nightly stop stops it again.",
        _time_of_day,
        "string",
        default=None,
    )
    nightly_stop_time_zone: str = _setting(
        "Time zone of `nightlyStop`, such as Europe/Berlin.", _time_zone, "string", default="UTC"
    )
    dashboard: bool = _setting("Whether to create a CloudWatch dashboard.", _boolean, "boolean", default=True)
    alarms: bool = _setting(
        "Whether to create CloudWatch alarms for the Lambdas, the database and the dead-letter queue.",
        _boolean,
        "boolean",
        default=True,
    )
    student_policy: bool = _setting(
        "Whether to create an IAM policy for a student's user. It allows what the library needs on this stack, and "
        "nothing else.",
        _boolean,
        "boolean",
        default=True,
    )
    student_user: str | None = _setting(
        "Name of the existing IAM user to which the student's policy is attached. If not set, attach the policy "
        "manually.",
        _matching(r"[\w+=,.@-]{1,64}", "the name of an IAM user", "student-1"),
        "string",
        default=None,
    )
    existing_role_arn: str | None = _setting(
        "ARN of an existing IAM role for the Lambdas and the nightly stop, for accounts in which you may not create "
        "roles, such as learner labs. If set, no IAM resources are created, including the student's policy.",
        _matching(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/\S+", "the ARN of a role", "arn:aws:iam::123456789012:role/Lab"),
        "string",
        default=None,
    )
    existing_vpc_id: str | None = _setting(
        "ID of an existing VPC for the database. If set, no network is created, and `existingSubnetIds` is required.",
        _matching(r"vpc-[0-9a-f]+", "the ID of a VPC", "vpc-0123456789abcdef0"),
        "string",
        default=None,
    )
    existing_subnet_ids: tuple[str, ...] = _setting(
        "IDs of the subnets of `existingVpcId` for the database, separated by commas: at least two, in different "
        "availability zones.",
        _subnets,
        "string",
        default=(),
    )
    owner: str = _setting("Owner of the stack: the value of the tag `Owner`.", _owner, "string", default="")
    expires_on: str = _setting(
        "Date until which the stack is needed, such as 2027-03-31: the value of the tag `ExpiresOn`. The stack is not "
        "deleted automatically.",
        _day,
        "string",
        default="",
    )

    @property
    def kept_backup_days(self) -> int:
        return 0 if self.ephemeral else self.backup_days

    @property
    def warnings(self) -> tuple[str, ...]:
        """One message for each setting that is valid but probably a mistake."""
        networks = [ipaddress.ip_network(cidr) for cidr in self.allowed_cidrs]
        return tuple(
            f"allowedCidrs: {network} contains {network.num_addresses:,} addresses, and each of them can try to log in "
            f"to the database. {_fix('allowedCidrs', '203.0.113.7/32')}"
            for network in networks
            if is_unusually_wide(network)
        )

    @property
    def disabled_parts(self) -> tuple[str, ...]:
        """The parts that are not created with these settings, each with its consequence or replacement."""
        missing: list[str] = []
        if self.existing_role_arn:
            missing.append("IAM resources (the Lambdas and the nightly stop use existingRoleArn)")
        if self.existing_role_arn or not self.student_policy:
            missing.append(
                "the student's policy (grant the user the permissions in retailpipe/infra/access.py manually)"
            )
        if self.existing_vpc_id:
            missing.append("the network (the database is in existingVpcId)")
        if not self.monthly_budget:
            missing.append("the budget")
        if not self.nightly_stop:
            missing.append("the nightly stop (run `retailpipe db stop` to stop the database)")
        if not self.dashboard:
            missing.append("the dashboard")
        if not self.alarms:
            missing.append("the alarms")
        return tuple(missing)

    @classmethod
    def of_stack(cls) -> Self:
        """Read the settings of the stack for which Pulumi runs the program. Raises SettingsError."""
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
        """Read the settings of a stack from its config.

        config: the values by name, without the project's prefix.
        Raises SettingsError, which lists all mistakes.
        """
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        known = {name_in_config(each): each for each in fields(cls)}
        for name in sorted(config.keys() - known.keys()):
            mistakes.append(f"{name} is not a setting. Remove it with `pulumi config rm {name}`.")
        for name, each in known.items():
            text = config.get(name, "")
            if text == "":  # an empty value means "not set": Pulumi.yaml has it as a default
                if each.default is MISSING:
                    mistakes.append(f"{name} is not set. {_fix(name, _example(each))}")
                continue
            try:
                value = each.metadata["parse"](text)
            except _InvalidValue as invalid:
                reason = "its value (a secret, not shown) is not valid" if isinstance(text, Secret) else invalid
                mistakes.append(f"{name}: {reason}. {_fix(name, invalid.example)}")
            else:
                values[each.name] = Secret(value) if isinstance(text, Secret) and isinstance(value, str) else value
        if not mistakes:
            settings = cls(**values)
            mistakes = settings._contradictions()
            if not mistakes:
                return settings
        listed = "".join(f"\n- {mistake}" for mistake in mistakes)
        raise SettingsError(
            f"the config of this stack is not valid:{listed}", hint="See docs/settings.md for all settings."
        )

    def _contradictions(self) -> list[str]:
        mistakes: list[str] = []
        if self.database_max_storage and self.database_max_storage < self.database_storage * 1.1:
            least = -(-self.database_storage * 11 // 10)
            mistakes.append(
                f"databaseMaxStorage: {self.database_max_storage} is not at least 10 % more than databaseStorage, "
                f"which is {self.database_storage}. " + _fix("databaseMaxStorage", str(least))
            )
        if bool(self.existing_vpc_id) != bool(self.existing_subnet_ids):
            given, missing = "existingVpcId", "existingSubnetIds"
            if not self.existing_vpc_id:
                given, missing = missing, given
            examples = {"existingVpcId": "vpc-0123456789abcdef0", "existingSubnetIds": "subnet-0a,subnet-0b"}
            mistakes.append(f"{missing} is not set, but {given} is. {_fix(missing, examples[missing])}")
        if self.existing_vpc_id and self.nat_gateway:
            reason = "natGateway: must be false if existingVpcId is set, because no network is created then"
            mistakes.append(f"{reason}. {_fix('natGateway', 'false')}")
        return mistakes


def name_in_config(each: Field[Any]) -> str:
    """The name of a setting in Pulumi's config: in camel case."""
    head, *rest = each.name.split("_")
    return head + "".join(word.title() for word in rest)


def _example(each: Field[Any]) -> str:
    """Return a valid value of a required setting: the error that its parser raises for an empty text contains one."""
    try:
        each.metadata["parse"]("")
    except _InvalidValue as invalid:
        return invalid.example
    return ""


def _fix(name: str, example: str) -> str:
    quoted = f"'{example}'" if re.search(r"[^\w./:@,-]", example) else example
    return f"Set it, for example with `pulumi config set {name} {quoted}`."
