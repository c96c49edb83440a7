"""The nightly stop: EventBridge Scheduler calls RDS to stop the database; no Lambda is needed."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, statement
from retailpipe.infra.database import Database


class NightlyStop(Component):
    """The nightly stop of the database. schedule: the schedule that stops the database every day at `time` (HH:MM)."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        database: Database,
        time: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("NightlyStop", name, deployment, opts)
        hour, minute = time.split(":")
        part = "nightly-stop"
        role_arn, _ = self.role(
            part,
            "scheduler.amazonaws.com",
            statement(["rds:StopDBInstance"], [database.arn]),
            condition={"StringEquals": {"aws:SourceAccount": deployment.account_id}},
        )
        self.schedule = aws.scheduler.Schedule(
            f"{name}-schedule",
            name=deployment.names.of(part),
            description="Stops the database at night",
            schedule_expression=f"cron({int(minute)} {int(hour)} * * ? *)",
            schedule_expression_timezone=deployment.settings.nightly_stop_time_zone,
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": f"arn:{deployment.partition}:scheduler:::aws-sdk:rds:stopDBInstance",
                "role_arn": role_arn,
                "input": json.dumps({"DbInstanceIdentifier": database.identifier}),
                # The call fails if the database is already stopped; a retry would fail again.
                "retry_policy": {"maximum_retry_attempts": 0},
            },
            opts=self.child(),
        )
        self.register_outputs({})
