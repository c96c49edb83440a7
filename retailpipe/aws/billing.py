"""Ask Cost Explorer what the pipelines of an account have cost, by the cost allocation tag `Pipeline`.

A request costs 0.01 USD, and AWS updates the costs a few times a day, so an answer is kept for an hour.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from retailpipe.aws.session import Aws, aws_errors, is_credentials_error
from retailpipe.errors import AwsError

_TAG = "Pipeline"
_MOST_DAYS = 365
"""Cost Explorer has about 13 months."""
_KEPT_SECONDS = 3600


@dataclass(frozen=True)
class Bill:
    """The costs in USD by the value of the tag; empty if there are none. reason: why there are none."""

    costs: Mapping[str, float]
    reason: str = ""


class Billing:
    """Asks Cost Explorer, at most once an hour for the same pipelines."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._kept: tuple[object, float, Bill] | None = None

    def bill(self, pipelines: Collection[str], since: date, until: date) -> Bill:
        """Return the costs of pipelines from one date to another, both included.

        pipelines: values of the tag `Pipeline`.
        Raises AwsError if AWS does not accept the credentials; for another error, such as a missing permission, the
        bill is empty.
        """
        asked = (frozenset(pipelines), since, until)
        if self._kept and self._kept[0] == asked and time.monotonic() - self._kept[1] < _KEPT_SECONDS:
            return self._kept[2]
        try:
            found = self._ask(pipelines, since, until)
        except AwsError as error:
            if is_credentials_error(error):
                raise
            bill = Bill({}, f"{error}")
        else:
            reason = f"the account has not activated {_TAG} as a cost allocation tag, or AWS has no costs yet"
            bill = Bill(found, "" if found else reason)
        self._kept = (asked, time.monotonic(), bill)
        return bill

    def _ask(self, pipelines: Collection[str], since: date, until: date) -> Mapping[str, float]:
        start = max(since, until - timedelta(days=_MOST_DAYS))
        request: dict[str, Any] = {
            "TimePeriod": {"Start": start.isoformat(), "End": (until + timedelta(days=1)).isoformat()},
            "Granularity": "MONTHLY",
            "Metrics": ["UnblendedCost"],
            "Filter": {"Tags": {"Key": _TAG, "Values": sorted(pipelines)}},
            "GroupBy": [{"Type": "TAG", "Key": _TAG}],
        }
        costs: defaultdict[str, float] = defaultdict(float)
        with aws_errors("ask Cost Explorer for the costs"):
            explorer = self._aws.client("ce", read_timeout=20, attempts=2)
            while True:
                page = explorer.get_cost_and_usage(**request)
                for month in page["ResultsByTime"]:
                    for group in month.get("Groups", []):
                        pipeline = group["Keys"][0].removeprefix(f"{_TAG}$")
                        if pipeline in pipelines:
                            costs[pipeline] += float(group["Metrics"]["UnblendedCost"]["Amount"])
                if not page.get("NextPageToken"):
                    return {name: round(cost, 2) for name, cost in costs.items()}
                request["NextPageToken"] = page["NextPageToken"]
