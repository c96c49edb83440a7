"""Count the CloudWatch alarms and dashboards of an account, of which the first ones are free."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.aws.session import Aws, aws_errors


@dataclass(frozen=True)
class Monitors:
    """The number of alarms in one region, and of dashboards in all regions."""

    alarms: int
    dashboards: int


def monitors(aws: Aws) -> Monitors:
    """Count the alarms and the dashboards. Raises AwsError."""
    cloudwatch = aws.client("cloudwatch")
    with aws_errors(f"count the CloudWatch alarms in {aws.region}"):
        pages = cloudwatch.get_paginator("describe_alarms").paginate()
        alarms = sum(len(page.get("MetricAlarms", [])) + len(page.get("CompositeAlarms", [])) for page in pages)
    with aws_errors("count the CloudWatch dashboards"):
        pages = cloudwatch.get_paginator("list_dashboards").paginate()
        dashboards = sum(len(page.get("DashboardEntries", [])) for page in pages)
    return Monitors(alarms, dashboards)
