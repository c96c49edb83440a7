"""The expiry: EventBridge Scheduler deletes the database of an ephemeral stack at the end of `expiresOn`.

It needs no computer of the user: AWS itself calls RDS. The schedules must exist before the database (see `ready`), so
that no database can be left over, for example if a deployment is interrupted.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, statement
from retailpipe.infra.notifications import Notifications

_NOTICE_DAYS = 2
"""How many days before the deletion the notice is published."""
_RETRIES = {"maximum_retry_attempts": 185, "maximum_event_age_in_seconds": 24 * 3600}
"""As often and as long as EventBridge Scheduler allows: RDS refuses to delete a database that is being changed."""


class Expiry(Component):
    """The schedules that announce the deletion of the database and delete it.

    last_day: the database is deleted at 23:59:59 UTC on this day.
    ready: resources that must exist before the database is created.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        notifications: Notifications,
        last_day: date,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Expiry", name, deployment, opts)
        database = deployment.names.of("database")
        self._last_day = last_day
        self._dead_letters = notifications.dead_letters
        self._role_arn, role_policies = self.role(
            "expiry",
            "scheduler.amazonaws.com",
            statement(["rds:DeleteDBInstance"], [deployment.arn("rds", f"db:{database}")]),
            statement(["sns:Publish"], [notifications.topic.arn]),
            statement(["sqs:SendMessage"], [self._dead_letters.arn]),
            condition={"StringEquals": {"aws:SourceAccount": deployment.account_id}},
        )
        deletion = self._schedule(
            "delete",
            "Deletes the database when the stack expires",
            last_day,
            "rds:deleteDBInstance",
            json.dumps({"DbInstanceIdentifier": database, "SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}),
        )
        notice_day = last_day - timedelta(days=_NOTICE_DAYS)
        # EventBridge Scheduler refuses a time in the past.
        if notice_day >= datetime.now(UTC).date():
            self._schedule(
                "notice",
                "Publishes a notice before the stack expires",
                notice_day,
                "sns:publish",
                pulumi.Output.json_dumps({"TopicArn": notifications.topic.arn, **self._notice()}),
            )
        self.ready: list[pulumi.Resource] = [deletion, *role_policies]
        self.register_outputs({})

    def _schedule(
        self, part: str, about: str, day: date, operation: str, request: pulumi.Input[str]
    ) -> aws.scheduler.Schedule:
        """Create a schedule that calls an AWS operation once, at the end of a day.

        request: the parameters of the operation as JSON, with the names of AWS's SDK for Java.
        """
        deployment = self.deployment
        target: dict[str, Any] = {
            "arn": f"arn:{deployment.partition}:scheduler:::aws-sdk:{operation}",
            "role_arn": self._role_arn,
            "input": request,
            "retry_policy": _RETRIES,
            "dead_letter_config": {"arn": self._dead_letters.arn},
        }
        return aws.scheduler.Schedule(
            f"{self.name}-{part}",
            name=deployment.names.of(f"expiry-{part}"),
            description=about,
            schedule_expression=f"at({day}T23:59:59)",
            schedule_expression_timezone="UTC",
            flexible_time_window={"mode": "OFF"},
            target=aws.scheduler.ScheduleTargetArgs(**target),
            opts=self.child(),
        )

    def _notice(self) -> dict[str, str]:
        """Subject and text of the notice."""
        stack = self.deployment.names.display_name
        return {
            "Subject": f"retailpipe {stack}: the database will be deleted on {self._last_day}",
            "Message": (
                f"The setting expiresOn of stack {stack} is {self._last_day}. At the end of that day (23:59:59 UTC), "
                "AWS deletes the database of the stack with its data. The workbooks in the bucket are kept.\n\n"
                "To keep the database, set a later date before that:\n"
                "  pulumi config set expiresOn DATE\n"
                "  pulumi up\n"
                "In a class, the instructor changes expires_on in class.toml and runs `retailpipe class up`.\n\n"
                "To remove the stack:\n"
                f"  retailpipe cleanup --stack {stack}\n"
            ),
        }
