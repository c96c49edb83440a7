"""The monthly budget: publishes a notice when the actual or the forecast cost exceeds 80 % of it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment
from retailpipe.infra.notifications import Notifications


class Budget(Component):
    """The monthly budget of a pipeline. budget: the AWS budget.

    It counts the cost of resources with the stack's tag `Pipeline`. AWS counts nothing until the account activates
    `Pipeline` as a cost allocation tag.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        notifications: Notifications,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Budget", name, deployment, opts)
        self.budget = aws.budgets.Budget(
            f"{name}-month",
            name=f"{deployment.names.of('month')}-{deployment.region}",
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(deployment.settings.monthly_budget),
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:Pipeline${deployment.names.prefix}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "threshold": 80,
                    "threshold_type": "PERCENTAGE",
                    "notification_type": kind,
                    "subscriber_sns_topic_arns": [notifications.topic.arn],
                }
                for kind in ("ACTUAL", "FORECASTED")
            ],
            tags=deployment.tags("month"),
            # When a budget is created, AWS checks that it may publish to the topic: the policy must already exist.
            opts=self.child(depends_on=[notifications.topic_policy]),
        )
        self.register_outputs({})
