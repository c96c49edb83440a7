"""The monthly budget: publishes a notice when the actual or the forecast cost exceeds 80 % of it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment


class Budget(Component):
    """The monthly budget of a pipeline or of a class. budget: the AWS budget.

    It counts the cost of all resources that have a tag with this value. AWS counts nothing until the account activates
    the tag as a cost allocation tag.
    topic: receives the notices. topic_policy: allows budgets to publish to it.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        *,
        tag: str,
        value: str,
        topic: aws.sns.Topic,
        topic_policy: aws.sns.TopicPolicy,
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
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:{tag}${value}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "threshold": 80,
                    "threshold_type": "PERCENTAGE",
                    "notification_type": kind,
                    "subscriber_sns_topic_arns": [topic.arn],
                }
                for kind in ("ACTUAL", "FORECASTED")
            ],
            tags=deployment.tags("month"),
            # When a budget is created, AWS checks that it may publish to the topic: the policy must already exist.
            opts=self.child(depends_on=[topic_policy]),
        )
        self.register_outputs({})
