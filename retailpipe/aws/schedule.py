"""The EventBridge schedule that runs the Lambda check_bucket."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError
from retailpipe.reports import Report


@dataclass(frozen=True)
class Schedule(Report):
    """The schedule rule. expression: EventBridge's cron or rate expression, in UTC."""

    rule: str
    enabled: bool
    expression: str

    def __str__(self) -> str:
        return f"{self.rule}: {'on' if self.enabled else 'off'}, {self.expression} (UTC)"


def schedule(stack: Stack) -> Schedule:
    """Read the rule from EventBridge. Raises AwsError."""
    rule = stack.outputs.schedule_rule
    with aws_errors(f"read the schedule {rule}"):
        found = stack.aws.client("events").describe_rule(Name=rule)
    return Schedule(rule, found["State"] == "ENABLED", found.get("ScheduleExpression", ""))


def switch(stack: Stack, *, on: bool) -> Schedule:
    """Switch the schedule on or off. Raises AwsError.

    The next `pulumi up` resets it to the setting `scheduleEnabled`.
    """
    rule, events = stack.outputs.schedule_rule, stack.aws.client("events")
    with aws_errors(f"switch the schedule {rule} {'on' if on else 'off'}"):
        (events.enable_rule if on else events.disable_rule)(Name=rule)
    return schedule(stack)


def run_now(stack: Stack) -> dict[str, Any]:
    """Call check_bucket, wait for it, and return its result: `pulled` (a key or None) and `waiting` (a number).

    Raises AwsError; if the Lambda failed, the message contains its error.
    """
    function = stack.outputs.check_function
    with aws_errors(f"call the Lambda {function}"):
        # A pull may take minutes. One attempt only: a retry would pull twice.
        answer = stack.aws.client("lambda", read_timeout=310, attempts=1).invoke(FunctionName=function, Payload=b"{}")
        payload = answer["Payload"].read().decode()
    if answer.get("FunctionError"):
        hint = "Read its log: `retailpipe logs check-bucket`."
        raise AwsError(f"the Lambda {function} failed: {payload[:500]}", hint=hint)
    try:
        found: Any = json.loads(payload)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"answer": payload}  # pyright: ignore[reportUnknownVariableType] - any JSON
