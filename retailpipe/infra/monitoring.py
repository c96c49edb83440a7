"""CloudWatch alarms, which publish to the topic, and the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment
from retailpipe.infra.database import Database
from retailpipe.infra.functions import Functions
from retailpipe.infra.notifications import Notifications

_GB = 1024**3


@dataclass(frozen=True)
class _Alarm:
    """A metric and its threshold, which must be crossed in `periods` consecutive periods of `minutes` minutes each."""

    part: str
    about: str
    namespace: str
    metric: str
    statistic: str
    dimensions: dict[str, pulumi.Input[str]]
    comparison: str
    threshold: float
    minutes: int
    periods: int = 1


class Alarms(Component):
    """The alarms. count: their number. Missing data does not trigger an alarm: a stopped database sends no metrics."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        database: Database,
        functions: Functions,
        notifications: Notifications,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Alarms", name, deployment, opts)
        above, below = "GreaterThanOrEqualToThreshold", "LessThanThreshold"
        instance: dict[str, pulumi.Input[str]] = {"DBInstanceIdentifier": database.identifier}
        lambdas = {"notify-upload": functions.notify_upload, "check-bucket": functions.check_bucket}
        alarms = [
            _Alarm(f"{part}-errors", f"{part} failed", "AWS/Lambda", "Errors", "Sum", {"FunctionName": function.name},
                   above, 1, 5)
            for part, function in lambdas.items()
        ]  # fmt: skip
        alarms += [
            _Alarm("cpu", "CPU of the database was at least 90 % for 15 minutes", "AWS/RDS", "CPUUtilization",
                   "Average", instance, above, 90, 5, 3),
            _Alarm("storage", "The database has less than 2 GB of free storage", "AWS/RDS", "FreeStorageSpace",
                   "Minimum", instance, below, 2 * _GB, 5),
            _Alarm("connections", "The database had at least 60 connections for 10 minutes", "AWS/RDS",
                   "DatabaseConnections", "Maximum", instance, above, 60, 5, 2),
            _Alarm("dead-letters", "The dead-letter queue contains messages", "AWS/SQS",
                   "ApproximateNumberOfMessagesVisible", "Maximum", {"QueueName": notifications.dead_letters.name},
                   above, 1, 5),
        ]  # fmt: skip
        self.count = len(alarms)
        for alarm in alarms:
            aws.cloudwatch.MetricAlarm(
                f"{name}-{alarm.part}",
                name=deployment.names.of(alarm.part),
                alarm_description=alarm.about,
                namespace=alarm.namespace,
                metric_name=alarm.metric,
                statistic=alarm.statistic,
                dimensions=alarm.dimensions,
                comparison_operator=alarm.comparison,
                threshold=alarm.threshold,
                period=60 * alarm.minutes,
                evaluation_periods=alarm.periods,
                treat_missing_data="notBreaching",
                alarm_actions=[notifications.topic.arn],
                tags=deployment.tags(alarm.part),
                opts=self.child(depends_on=[notifications.topic_policy]),
            )
        self.register_outputs({})


class Dashboard(Component):
    """A dashboard of the database's and the Lambdas' metrics. dashboard_name: its name in CloudWatch."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        database: Database,
        functions: Functions,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Dashboard", name, deployment, opts)
        rds = [("CPUUtilization", "Average"), ("FreeStorageSpace", "Minimum"), ("DatabaseConnections", "Maximum")]
        widgets: list[dict[str, Any]] = [
            _widget(
                deployment, metric, [["AWS/RDS", metric, "DBInstanceIdentifier", database.identifier]], statistic, n
            )
            for n, (metric, statistic) in enumerate(rds)
        ]
        names = (functions.notify_upload.name, functions.check_bucket.name)
        for n, metric in enumerate(("Invocations", "Errors", "Duration"), start=len(rds)):
            lines = [["AWS/Lambda", metric, "FunctionName", name] for name in names]
            widgets.append(
                _widget(deployment, f"Lambda {metric}", lines, "Average" if metric == "Duration" else "Sum", n)
            )
        dashboard = aws.cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=deployment.names.prefix,
            dashboard_body=pulumi.Output.json_dumps({"widgets": widgets}),
            opts=self.child(),
        )
        self.dashboard_name = dashboard.dashboard_name
        self.register_outputs({})


def _widget(
    deployment: Deployment, title: str, metrics: list[list[Any]], statistic: str, number: int
) -> dict[str, Any]:
    """A graph. number: its position, counted from 0; each row holds three graphs in a grid of 24 columns."""
    return {
        "type": "metric",
        "x": number % 3 * 8,
        "y": number // 3 * 6,
        "width": 8,
        "height": 6,
        "properties": {
            "title": title,
            "region": deployment.region,
            "metrics": metrics,
            "stat": statistic,
            "period": 300,
        },
    }
