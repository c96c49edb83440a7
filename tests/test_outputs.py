"""The outputs of a stack: they survive a round trip, and incomplete ones or other versions are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from retailpipe.errors import OutputsError
from retailpipe.keys import Receipt, is_workbook, receipt_key, waiting
from retailpipe.outputs import MAX_BYTES, StackOutputs

OUTPUTS: dict[str, Any] = {
    "version": 1,
    "project": "retailpipe",
    "stack": "dev",
    "part": "",
    "account_id": "123456789012",
    "region": "eu-central-1",
    "parameter": "/retailpipe/dev/outputs",
    "ephemeral": True,
    "bucket": "retailpipe-dev-123456789012-eu-central-1",
    "database_instance": "retailpipe-dev-database",
    "database_host": "retailpipe-dev-database.abc.eu-central-1.rds.amazonaws.com",
    "database_port": 5432,
    "database_name": "retailpipe",
    "database_secret_arn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!db-1",
    "topic_arn": "arn:aws:sns:eu-central-1:123456789012:retailpipe-dev-notices",
    "queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/retailpipe-dev-uploads",
    "dead_letter_queue_url": "https://sqs.eu-central-1.amazonaws.com/123456789012/retailpipe-dev-dead-letters",
    "notify_function": "retailpipe-dev-notify-upload",
    "check_function": "retailpipe-dev-check-bucket",
    "schedule_rule": "retailpipe-dev-schedule",
    "nat_gateway": False,
    "alarms": 6,
}


def test_outputs_survive_a_round_trip_through_json() -> None:
    outputs = StackOutputs.from_mapping({**OUTPUTS, "dashboard": "retailpipe-dev"})

    assert StackOutputs.from_json(outputs.as_json()) == outputs
    assert outputs.as_dict() == {**OUTPUTS, "dashboard": "retailpipe-dev"}
    assert outputs.student_policy_arn is None


def test_whole_floats_are_accepted_and_unknown_outputs_are_ignored() -> None:
    outputs = StackOutputs.from_mapping({**OUTPUTS, "version": 1.0, "database_port": 5432.0, "another": "x"})

    assert outputs == StackOutputs.from_mapping(OUTPUTS)


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        ({"version": 2}, "a newer retailpipe", "Update retailpipe"),
        ({"version": 0}, "an older retailpipe", "pulumi up"),
        ({"version": None}, "no version", "pulumi stack ls"),
        ({"bucket": None}, "have no bucket", "pulumi up"),
        ({"database_port": "5432"}, "database_port is '5432'", "pulumi up"),
        ({"stack": 7}, "stack is 7", "pulumi up"),
    ],
)
def test_unusable_outputs_raise_an_error_with_the_reason(change: dict[str, Any], reason: str, hint: str) -> None:
    with pytest.raises(OutputsError, match=reason) as caught:
        StackOutputs.from_mapping({**OUTPUTS, **change}, "the outputs of stack dev")

    assert str(caught.value).startswith("the outputs of stack dev")
    assert hint in caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "nothing", '"text"'])
def test_text_that_is_not_outputs_raises_an_error(text: str) -> None:
    with pytest.raises(OutputsError):
        StackOutputs.from_json(text)


def test_outputs_too_long_for_the_ssm_parameter_raise_an_error() -> None:
    outputs = StackOutputs.from_mapping({**OUTPUTS, "dashboard": "d" * MAX_BYTES})

    with pytest.raises(OutputsError, match=r"an SSM parameter can contain at most 4,096"):
        outputs.as_json()


def test_receipts_show_which_workbooks_are_not_loaded() -> None:
    workbooks = [
        ("input/a b.xlsx", '"e1"'),
        ("input/größe.XLSX", '"e2"'),
        ("input/~$a b.xlsx", '"e3"'),
        ("input/notes.txt", '"e4"'),
        ("elsewhere/c.xlsx", '"e5"'),
    ]
    receipt = Receipt("input/a b.xlsx", "e1", "sha", 7, 10, 1, "2026-11-26T08:00:00+00:00")

    assert receipt.receipt_key == "receipts/input/a%20b.xlsx/e1.json"
    assert json.loads(receipt.as_json())["version"] == 1
    assert waiting(workbooks, []) == ["input/a b.xlsx", "input/größe.XLSX"]
    assert waiting(workbooks, [receipt.receipt_key]) == ["input/größe.XLSX"]
    assert waiting([("input/a b.xlsx", '"new"')], [receipt.receipt_key]) == ["input/a b.xlsx"]
    assert receipt_key("input/a.xlsx", '"e"') == "receipts/input/a.xlsx/e.json"
    assert not is_workbook("input/.hidden.xlsx")
    assert is_workbook("input/2024/till.CSV")
    assert not is_workbook("input/~$till.csv")
