"""The schedule of a stack: when check_bucket runs."""

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
    """expression: as EventBridge writes it, in UTC."""

    rule: str
    enabled: bool
    expression: str

    def __str__(self) -> str:
        return f"{self.rule}: {'on' if self.enabled else 'off'}, {self.expression} (UTC)"


def schedule(stack: Stack) -> Schedule:
    """The rule as it is. Raises AwsError."""
    rule = stack.outputs.schedule_rule
    with aws_errors(f"look at the schedule {rule}"):
        found = stack.aws.client("events").describe_rule(Name=rule)
    return Schedule(rule, found["State"] == "ENABLED", found.get("ScheduleExpression", ""))


def switch(stack: Stack, *, on: bool) -> Schedule:
    """Switches the schedule on or off, until `pulumi up` sets it as `scheduleEnabled` says. Raises AwsError."""
    rule, events = stack.outputs.schedule_rule, stack.aws.client("events")
    with aws_errors(f"switch the schedule {rule} {'on' if on else 'off'}"):
        (events.enable_rule if on else events.disable_rule)(Name=rule)
    return schedule(stack)


def run_now(stack: Stack) -> dict[str, Any]:
    """Has check_bucket run, waits for it, and gives what it answers: `pulled` and `waiting`.

    Raises AwsError, where it failed with what it said.
    """
    function = stack.outputs.check_function
    with aws_errors(f"call the Lambda {function}"):
        # A pull may take minutes, and is not to be done twice.
        answer = stack.aws.client("lambda", read_timeout=310, attempts=1).invoke(FunctionName=function, Payload=b"{}")
        said = answer["Payload"].read().decode()
    if answer.get("FunctionError"):
        hint = "See its log: `retailpipe logs check-bucket`."
        raise AwsError(f"the Lambda {function} failed: {said[:500]}", hint=hint)
    try:
        found: Any = json.loads(said)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"answer": said}  # pyright: ignore[reportUnknownVariableType] - any JSON
