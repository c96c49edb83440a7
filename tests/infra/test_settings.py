"""The settings of a stack: which values are rejected, with which messages, and whether docs and Pulumi.yaml match."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from retailpipe.classroom_settings import ClassroomSettings, is_classroom
from retailpipe.config import name_in_config
from retailpipe.errors import SettingsError
from retailpipe.prices import Prices, worst_case
from retailpipe.settings import Settings

TOP = Path(__file__).resolve().parents[2]
LEAST = {"allowedCidrs": "203.0.113.7/32"}
page = runpy.run_path(str(TOP / "docs" / "settings.py"))
DEFAULTS = {
    name: each["default"] if isinstance(each["default"], str) else json.dumps(each["default"])
    for name, each in yaml.safe_load((TOP / "Pulumi.yaml").read_text())["config"].items()
}
"""The defaults in Pulumi.yaml, as the engine passes them to the program."""


def read(**config: str) -> Settings:
    return Settings.read({**LEAST, **config})


def mistakes(config: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.read(config)
    assert "docs/settings.md" in caught.value.hint
    return str(caught.value).split("\n- ")[1:]


def test_only_the_allowed_networks_are_required() -> None:
    settings = Settings.read(LEAST)

    assert settings.allowed_cidrs == ("203.0.113.7/32",)
    assert (settings.ephemeral, settings.kept_backup_days, settings.database_class) == (True, 0, "db.t4g.micro")


def test_an_empty_value_means_not_set() -> None:
    settings = read(sourceUrl="", nightlyStop="", notifyEmails="", existingSubnetIds="")

    assert (settings.source_url, settings.nightly_stop, settings.notify_emails) == (None, None, ())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("allowedCidrs", "0.0.0.0/0", "the whole internet"),
        ("allowedCidrs", "::/0", "the whole internet"),
        ("allowedCidrs", "128.0.0.0/1", "a large part of the internet"),
        ("allowedCidrs", "2000::/3", "a large part of the internet"),
        ("allowedCidrs", "203.0.113.7/24", "has host bits set"),
        ("allowedCidrs", "home", "'home' is not a valid network"),
        ("allowedCidrs", '["203.0.113.7/32"]', "is not a valid network"),
        ("allowedCidrs", " , ", "the list is empty"),
        ("ephemeral", "perhaps", "neither true nor false"),
        ("databaseClass", "t4g.micro", "is not an RDS instance class"),
        ("databaseStorage", "19", "not between 20 and 65,536"),
        ("databaseStorage", "many", "not a whole number"),
        ("databaseMaxStorage", "21", "not at least 10 % more than databaseStorage, which is 20"),
        ("engineVersion", "16", "is not 17"),
        ("backupDays", "36", "not between"),
        ("logRetentionDays", "15", "15 is not one of the values that CloudWatch allows: 1, 3,"),
        ("schedule", "every day", "not an EventBridge schedule"),
        ("schedule", "cron(0 2 * * * *)", "must be ?"),
        ("schedule", "cron(99 2 * * ? *)", "99 is not a valid field; its numbers must be from 0 to 59"),
        ("schedule", "rate(1 hours)", "not an EventBridge schedule"),
        ("schedule", f"cron({'9' * 5_000} 2 * * ? *)", "more than 256 characters"),
        ("studentUser", "a b", "the name of an IAM user"),
        ("allowedCidrs", "2001:db8::/48", "only an IPv4 address"),
        ("sourceUrl", "http://example.com/a.xlsx", "https://host/path"),
        ("sourceUrl", "file:///etc/passwd", "https://host/path"),
        ("sourceUrl", "https:///a.xlsx", "the host or the port"),
        ("sourceUrl", "https://a..b/a.xlsx", "the host or the port"),
        ("sourceUrl", "https://a b/a.xlsx", "the host or the port"),
        ("sourceUrl", "https://[::1/", "the host or the port"),
        ("sourceUrl", "https://example.com:99999/a.xlsx", "the host or the port"),
        ("sourceUrl", "https://example.com:0/a.xlsx", "the host or the port"),
        ("sourceUrl", "https://example.com:abc/a.xlsx", "the host or the port"),
        ("sourceUrl", " https://example.com/a.xlsx", "begins or ends with a space"),
        ("sourceUrl", "https://example.com/a.xlsx\n", "not printable"),
        ("sourceUrl", "https://example.com/a\nb.xlsx", "not printable"),
        ("sourceUrl", "https://example.com/@me/a.xlsx", "must be written as %40"),
        ("notifyEmails", "me", "not an email address"),
        ("monthlyBudget", "-1", "not between"),
        ("nightlyStop", "24:00", "not a time of day"),
        ("nightlyStopTimeZone", "Mars/Base", "not a known time zone"),
        ("existingRoleArn", "LabRole", "the ARN of a role"),
        ("existingVpcId", "vpc-0a", "existingSubnetIds is not set"),
        ("existingSubnetIds", "subnet-0a,subnet-0b", "existingVpcId is not set"),
        ("existingSubnetIds", "subnet-0a", "two subnet IDs"),
        ("expiresOn", "soon", "not a date"),
        ("owner", "me;you", "is not a tag"),
        ("allowedCidr", "x", "is not a setting"),
    ],
)
def test_a_message_about_an_invalid_setting_has_the_command_that_corrects_it(
    name: str, value: str, reason: str
) -> None:
    (mistake,) = mistakes({**LEAST, name: value})

    assert reason in mistake
    assert name in mistake
    assert re.search("(Set it, for example|Remove it) with `pulumi config ", mistake)


@pytest.mark.parametrize(
    "address",
    [
        "https://me:S3CRET@example.com/a.xlsx",
        "https://me:S3/CRET@example.com/a.xlsx",
        "https://me:12/S3CRET@example.com/a.xlsx",
        "https://me:S3#CRET@example.com/a.xlsx",
        "https://me:12#S3CRET@example.com/a.xlsx",
        "https://me:S3?CRET@example.com/a.xlsx",
        "https://me:[S3CRET@example.com/a.xlsx",
        "http://example.com/a.xlsx?token=S3CRET",
        "https://example.com:many/a.xlsx?token=S3CRET",
    ],
)
def test_an_invalid_source_is_not_shown_because_it_may_hold_a_password(address: str) -> None:
    (mistake,) = mistakes({**LEAST, "sourceUrl": address})

    assert mistake.startswith("sourceUrl: the ")
    assert "S3" not in mistake
    assert "CRET" not in mistake


@pytest.mark.parametrize(
    "address",
    [
        "https://example.com",
        "https://example.com:8443/a.xlsx",
        "https://münchen.example/für uns/größe 2011.xlsx",
        "https://example.com/a.xlsx?token=me@s3cret/1#page",
        "https://203.0.113.7/~me/a.csv",
        "https://[2001:db8::1]:443/a.xlsx",
    ],
)
def test_a_source_may_have_a_port_a_token_umlauts_and_spaces(address: str) -> None:
    assert read(sourceUrl=address).source_url == address


def test_all_mistakes_are_reported_at_once() -> None:
    messages = mistakes({"ephemeral": "perhaps", "backupDays": "x", "nightlyStop": "x"})

    assert [message.split(" ")[0].rstrip(":") for message in messages] == [
        "allowedCidrs", "ephemeral", "backupDays", "nightlyStop",
    ]  # fmt: skip


@pytest.mark.parametrize("each", fields(Settings), ids=lambda each: each.name)
def test_every_example_in_a_message_is_valid(each: Any) -> None:
    """The command in a message sets a valid value."""
    (mistake,) = mistakes({**LEAST, name_in_config(each): "\0"})
    ((quoted, bare),) = re.findall(r"config set \S+ (?:'(.*?)'|(.*?))`", mistake)

    assert each.metadata["parse"](quoted or bare) is not None


def test_lists_are_separated_by_commas() -> None:
    settings = read(allowedCidrs="203.0.113.7/32, 2001:db8::/48,203.0.113.7/32", notifyEmails="me@example.com,")

    assert settings.allowed_cidrs == ("203.0.113.7/32", "2001:db8::/48")
    assert settings.notify_emails == ("me@example.com",)


def test_docs_and_project_file_are_up_to_date_with_the_code() -> None:
    assert (TOP / "docs" / "settings.md").read_text() == page["page"]()
    assert (TOP / "Pulumi.yaml").read_text().endswith(page["config"]())


def test_the_project_file_has_every_setting_with_its_type_and_default() -> None:
    config = yaml.safe_load((TOP / "Pulumi.yaml").read_text())["config"]

    assert config.keys() == {name_in_config(each) for each in fields(Settings)}
    kinds = {"boolean": bool, "integer": int, "string": str}
    for name, each in config.items():
        assert type(each["default"]) is kinds[each["type"]], name
    assert Settings.read({**DEFAULTS, **LEAST}) == Settings.read(LEAST)
    assert all(each.default is not MISSING for each in fields(Settings) if each.name != "allowed_cidrs")


EXPENSIVE = {"databaseClass": "db.t4g.medium", "natGateway": "true"}


def test_a_stack_that_can_cost_more_than_its_limit_is_refused_with_its_parts_and_ways_to_lower_them() -> None:
    (mistake,) = mistakes({**LEAST, **EXPENSIVE, "maxMonthlyCost": "30"})
    worst = worst_case(read(**EXPENSIVE))

    assert f"can cost {worst.running:.2f} USD in a month, which is more than 30: " in mistake
    for item in worst.items:
        assert not item.running or f"{item.item} {item.running:.2f}" in mistake
    ways = dict(re.findall(r"`pulumi config set (\S+ \S+)` saves (\S+) USD", mistake))
    assert list(ways) == [
        "natGateway false", "databaseClass db.t4g.micro", "dashboard false", "databaseMaxStorage 0", "alarms false",
    ]  # fmt: skip
    for way, saved in ways.items():
        name, value = way.split(" ")
        lower = worst_case(read(**{**EXPENSIVE, name: value})).running
        assert worst.running - lower == pytest.approx(float(saved), abs=0.011)
    changes = dict(way.split(" ") for way in ways)
    assert read(**{**EXPENSIVE, **changes}, maxMonthlyCost="19").max_monthly_cost == 19


def test_the_limit_counts_all_hours_of_workers() -> None:
    without, with_workers = worst_case(read()), worst_case(read(workers="16", workerHours="200"))
    (mistake,) = mistakes({**LEAST, "workers": "16", "workerHours": "200", "maxMonthlyCost": "25"})

    assert with_workers.running - without.running == pytest.approx(200 * Prices.known().worker_hour, abs=0.011)
    assert "`pulumi config set workers 0` saves 8.90 USD" in mistake
    assert worst_case(read(workerHours="200")).running == without.running


def test_the_limit_in_the_message_allows_the_stack() -> None:
    (mistake,) = mistakes({**LEAST, "maxMonthlyCost": "20"})
    ((limit,),) = [re.findall(r"`pulumi config set maxMonthlyCost (\d+)` allows", mistake)]

    assert read(maxMonthlyCost=limit).max_monthly_cost == int(limit)
    assert mistakes({**LEAST, "maxMonthlyCost": str(int(limit) - 1)})


def test_a_limit_needs_a_database_class_with_a_known_price() -> None:
    (mistake,) = mistakes({**LEAST, "databaseClass": "db.r8g.large", "maxMonthlyCost": "500"})

    assert "the price of db.r8g.large is unknown; the price file has db.t4g.micro" in mistake
    assert "`pulumi config set databaseClass db.t4g.micro`" in mistake
    assert read(databaseClass="db.r8g.large").max_monthly_cost == 0


def test_an_expired_stack_is_refused_only_when_it_is_deployed() -> None:
    """The settings of an expired stack can still be read, for example to remove it."""
    config = {**LEAST, "expiresOn": "2026-03-31"}

    with pytest.raises(SettingsError, match="expiresOn: 2026-03-31 is past") as caught:
        Settings.read(config, today=date(2026, 4, 1))

    assert caught.value.mistakes.keys() == {"expiresOn"}
    assert Settings.read(config).deletes_database_on == date(2026, 3, 31)
    assert Settings.read(config, today=date(2026, 3, 31)).deletes_database_on == date(2026, 3, 31)
    assert Settings.read({**config, "ephemeral": "false"}, today=date(2026, 4, 1)).deletes_database_on is None


def test_a_classroom_stack_needs_no_setting_and_takes_a_few() -> None:
    """The engine adds the defaults of Pulumi.yaml to every config."""
    assert ClassroomSettings.read({"classroom": "true"}) == ClassroomSettings.read({**DEFAULTS, "classroom": "true"})
    own = {"monthlyBudget": "180", "notifyEmails": "me@example.com", "owner": "me@example.com"}
    settings = ClassroomSettings.read({**DEFAULTS, **own, "classroom": "true", "expiresOn": "2027-03-31"})
    assert (settings.monthly_budget, settings.notify_emails) == (180, ("me@example.com",))
    assert (settings.owner, settings.expires_on) == ("me@example.com", "2027-03-31")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("natGateway", "true", "natGateway is not a setting of a classroom stack"),
        ("allowedCidrs", "203.0.113.7/32", "allowedCidrs is not a setting of a classroom stack"),
        ("ephemeral", "false", "ephemeral is not a setting of a classroom stack"),
        ("existingVpcId", "vpc-0a", "existingVpcId is not a setting of a classroom stack"),
        ("maxMonthlyCost", "5", "maxMonthlyCost is not a setting of a classroom stack"),
        ("notifyEmails", "me", "not an email address"),
        ("expiresOn", "soon", "not a date"),
        ("budget", "5", "budget is not a setting"),
    ],
)
def test_other_settings_of_a_classroom_stack_are_refused(name: str, value: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        ClassroomSettings.read({**DEFAULTS, "classroom": "true", name: value})

    assert caught.value.mistakes.keys() == {name}
    assert "`pulumi config " in str(caught.value)


def test_a_stack_with_a_pipeline_is_not_a_classroom_stack() -> None:
    assert is_classroom({"classroom": "true"})
    for config in ({}, {"classroom": ""}, {"classroom": "false"}, {"classroom": "perhaps"}):
        assert not is_classroom(config)
    assert mistakes({**LEAST, "classroom": "perhaps"})
    assert mistakes({**LEAST, "classroom": "true"})
