"""The settings of a stack: which values are rejected, with which messages, and whether docs and Pulumi.yaml match."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from retailpipe.errors import SettingsError
from retailpipe.infra.settings import Settings, name_in_config

TOP = Path(__file__).resolve().parents[2]
LEAST = {"allowedCidrs": "203.0.113.7/32"}
page = runpy.run_path(str(TOP / "docs" / "settings.py"))


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
        ("studentUser", "a b", "the name of an IAM user"),
        ("allowedCidrs", "2001:db8::/48", "only an IPv4 address"),
        ("sourceUrl", "http://example.com/a.xlsx", "https://host/path"),
        ("sourceUrl", "https://me:secret@example.com/a.xlsx", "https://host/path"),
        ("sourceUrl", "file:///etc/passwd", "https://host/path"),
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
    assert [name for name, each in config.items() if "default" not in each] == ["allowedCidrs"]
    kinds = {"boolean": bool, "integer": int, "string": str}
    for name, each in config.items():
        if "default" in each:
            assert type(each["default"]) is kinds[each["type"]], name
    defaults = {name: each["default"] for name, each in config.items() if "default" in each}
    as_the_engine_passes_them = {n: v if isinstance(v, str) else json.dumps(v) for n, v in defaults.items()}
    assert Settings.read({**as_the_engine_passes_them, **LEAST}) == Settings.read(LEAST)
    assert all(each.default is not MISSING for each in fields(Settings) if each.name != "allowed_cidrs")
