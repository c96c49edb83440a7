"""Parse the values of settings: a parser takes a text and returns the value, or raises InvalidValue."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from retailpipe.addresses import EMAIL, Network, https_address, is_too_wide

_RETENTIONS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
"""Days for which CloudWatch Logs can keep a log group's events: the values that its PutRetentionPolicy accepts."""
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_RATE = re.compile(r"rate\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\)")
_CRON_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
"""Lowest and highest number for each field: minutes, hours, days, months, days of the week, years."""
_LONGEST_SCHEDULE = 256
"""Most characters of a schedule expression that EventBridge accepts; Python reads no number of over 4,300 digits."""
_TAG = re.compile(r"[\w .:/=+@-]{0,256}")


class InvalidValue(ValueError):
    """The reason why a value is invalid, and an example of a valid value."""

    def __init__(self, reason: str, example: str) -> None:
        super().__init__(reason)
        self.example = example


def boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise InvalidValue(f"{text!r} is neither true nor false", "true")
    return text.strip().lower() == "true"


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise InvalidValue(f"{text!r} is not a whole number", str(low)) from None
        if not low <= number <= high:
            raise InvalidValue(f"{number} is not between {low} and {high:,}", str(low))
        return number

    return parse


def matching(pattern: str, what: str, example: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise InvalidValue(f"{text!r} is not {what}", example)
        return text

    return parse


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def cidrs(text: str) -> tuple[str, ...]:
    example = "203.0.113.7/32"
    networks: list[Network] = []
    for value in _list(text):
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            raise InvalidValue(f"{value!r} is not a valid network: {error}", example) from None
        if is_too_wide(network):
            extent = "the whole internet" if network.prefixlen == 0 else "a large part of the internet"
            raise InvalidValue(f"{value} covers {extent}; allow only your own address", example)
        networks.append(network)
    if networks and not any(network.version == 4 for network in networks):
        raise InvalidValue("the database has only an IPv4 address, so at least one IPv4 network is required", example)
    if not networks:
        raise InvalidValue("the list is empty, so no connection to the database would be possible", example)
    return tuple(dict.fromkeys(str(network) for network in networks))


def emails(text: str) -> tuple[str, ...]:
    addresses = _list(text)
    for address in addresses:
        if not EMAIL.fullmatch(address):
            raise InvalidValue(f"{address!r} is not an email address", "me@example.com")
    return tuple(dict.fromkeys(addresses))


def subnets(text: str) -> tuple[str, ...]:
    ids = _list(text)
    if len(set(ids)) < 2 or not all(re.fullmatch(r"subnet-[0-9a-f]+", subnet) for subnet in ids):
        example = "subnet-0123456789abcdef0,subnet-0fedcba9876543210"
        raise InvalidValue("the database needs at least two subnet IDs, in different availability zones", example)
    return tuple(dict.fromkeys(ids))


def retention(text: str) -> int:
    days = integer(1, _RETENTIONS[-1])(text)
    if days not in _RETENTIONS:
        raise InvalidValue(
            f"{days} is not one of the values that CloudWatch allows: {', '.join(map(str, _RETENTIONS))}", "14"
        )
    return days


def https(text: str) -> str:
    """Check the address of a workbook. No message contains it: it may hold a secret even if the config has it plain."""
    example = "https://example.com/sales.xlsx"
    try:
        address = https_address(text)
    except ValueError as error:
        raise InvalidValue(str(error), example) from None
    if "@" in address.netloc:
        raise InvalidValue("the address must not contain a user name and a password", example)
    return text


def time_of_day(text: str) -> str:
    if not _TIME.fullmatch(text):
        raise InvalidValue(f"{text!r} is not a time of day (HH:MM)", "22:00")
    return text


def time_zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidValue(f"{text!r} is not a known time zone", "Europe/Berlin") from None
    return text


def schedule(text: str) -> str:
    """Check a schedule expression by EventBridge's rules.

    See https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html.
    """
    example = "cron(0 2 * * ? *)"
    if len(text) > _LONGEST_SCHEDULE:
        raise InvalidValue(f"the expression has more than {_LONGEST_SCHEDULE} characters", example)
    if _RATE.fullmatch(text):
        return text
    fields_ = text.removeprefix("cron(").removesuffix(")").split(" ")
    if not (text.startswith("cron(") and text.endswith(")") and len(fields_) == len(_CRON_RANGES)):
        raise InvalidValue(f"{text!r} is not an EventBridge schedule expression", example)
    if [fields_[2], fields_[4]].count("?") != 1:
        raise InvalidValue(f"{text!r}: either the day of the month or the day of the week must be ?", example)
    # Check only the numbers outside of steps (/5) and of the n-th weekday in a month (6#3); AWS checks the rest.
    for each, (low, high) in zip(fields_, _CRON_RANGES, strict=True):
        numbers = [int(number) for number in re.findall(r"(?<![/#0-9])[0-9]+", each)]
        if not re.fullmatch(r"[0-9A-Z*?/,#LW-]+", each) or not all(low <= number <= high for number in numbers):
            message = f"{text!r}: {each} is not a valid field; its numbers must be from {low} to {high}"
            raise InvalidValue(message, example)
    return text


def day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise InvalidValue(f"{text!r} is not a date (YYYY-MM-DD)", "2027-03-31") from None


owner = matching(_TAG.pattern, "a tag of at most 256 letters, digits, spaces and _.:/=+@-", "me@example.com")
