"""Read the CloudWatch logs of the Lambdas, the database and the workers."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError, UsageError
from retailpipe.reports import Report

_POLL_SECONDS = 2.0
_MAX_DELIVERY_DELAY = timedelta(seconds=30)
"""How late CloudWatch may deliver a line: each poll starts this far before the newest line."""


@dataclass(frozen=True)
class LogLine(Report):
    """A line of a log. at: in UTC. stream: the log stream within the group."""

    at: datetime
    stream: str
    message: str

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.message}"


def logs(
    stack: Stack, source: str, *, since: timedelta = timedelta(hours=1), follow: bool = False
) -> Generator[LogLine]:
    """Yield the log lines of a source, oldest first.

    source: notify-upload, check-bucket, database or workers. since: how far back to start.
    follow: keep waiting for new lines, and never return.
    Raises UsageError if the source does not exist, AwsError.
    """
    groups = stack.outputs.log_groups
    if source not in groups:
        raise UsageError(f"there is no log {source!r}", hint=f"Choose one of {', '.join(groups)}.")
    start = datetime.now(UTC) - since
    seen: dict[str, datetime] = {}
    while True:
        for event in _events(stack, groups[source], start):
            line = _line(event)
            if event["eventId"] not in seen:
                seen[event["eventId"]] = line.at
                yield line
        if not follow:
            return
        start = max([*seen.values(), start + _MAX_DELIVERY_DELAY]) - _MAX_DELIVERY_DELAY
        seen = {event: at for event, at in seen.items() if at >= start}
        time.sleep(_POLL_SECONDS)


def _events(stack: Stack, group: str, start: datetime) -> Iterator[dict[str, Any]]:
    try:
        with aws_errors(f"read the log group {group}"):
            pages = stack.aws.client("logs").get_paginator("filter_log_events")
            found = [
                event
                for page in pages.paginate(logGroupName=group, startTime=int(start.timestamp() * 1000))
                for event in page["events"]
            ]
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        hint = "Deploy the stack again with `pulumi up`."
        raise AwsError(f"the log group {group} does not exist", hint=hint, code=error.code) from error
    yield from sorted(found, key=lambda event: (event["timestamp"], event["eventId"]))


def _line(event: dict[str, Any]) -> LogLine:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    return LogLine(at, event["logStreamName"], event["message"].rstrip())
