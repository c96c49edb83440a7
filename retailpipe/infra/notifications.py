"""Notices: an SNS topic, its email subscriptions, and an SQS queue for `retailpipe watch`."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, policy, statement, tls_only

_VISIBILITY_SECONDS = 300
_KEPT_SECONDS = 14 * 24 * 3600
_MAX_RECEIVES = 5


def notice_topic(component: Component) -> tuple[aws.sns.Topic, aws.sns.TopicPolicy]:
    """Create a topic for notices as a part of a component, and subscribe the addresses of `notifyEmails`.

    Alarms and budgets of this account may publish to it as soon as its policy, which is the second result, exists.
    """
    name, deployment = component.name, component.deployment
    topic = aws.sns.Topic(
        f"{name}-topic", name=deployment.names.of("notices"), tags=deployment.tags("notices"), opts=component.child()
    )
    topic_policy = aws.sns.TopicPolicy(
        f"{name}-topic-policy",
        arn=topic.arn,
        policy=policy(
            statement(
                ["sns:Publish"],
                [topic.arn],
                sid="Alarms",
                principal={"Service": ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"]},
                condition={"StringEquals": {"aws:SourceAccount": deployment.account_id}},
            ),
            tls_only("sns:Publish", [topic.arn]),
        ),
        opts=component.child(),
    )
    for address in deployment.settings.notify_emails:
        aws.sns.TopicSubscription(
            f"{name}-to-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=component.child()
        )
    return topic, topic_policy


class Notifications(Component):
    """The topic, the queue of uploads, and its dead-letter queue.

    topic_policy: must exist before alarms and budgets that publish to the topic.
    """

    def __init__(self, name: str, deployment: Deployment, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("Notifications", name, deployment, opts)
        self.topic, self.topic_policy = notice_topic(self)
        self.dead_letters = aws.sqs.Queue(
            f"{name}-dead-letters",
            name=deployment.names.of("dead-letters"),
            message_retention_seconds=_KEPT_SECONDS,
            sqs_managed_sse_enabled=True,
            tags=deployment.tags("dead-letters"),
            opts=self.child(),
        )
        self.queue = aws.sqs.Queue(
            f"{name}-queue",
            name=deployment.names.of("uploads"),
            message_retention_seconds=_KEPT_SECONDS,
            visibility_timeout_seconds=_VISIBILITY_SECONDS,
            receive_wait_time_seconds=20,
            redrive_policy=pulumi.Output.json_dumps(
                {"deadLetterTargetArn": self.dead_letters.arn, "maxReceiveCount": _MAX_RECEIVES}
            ),
            sqs_managed_sse_enabled=True,
            tags=deployment.tags("uploads"),
            opts=self.child(),
        )
        from_topic = aws.sqs.QueuePolicy(
            f"{name}-queue-policy",
            queue_url=self.queue.url,
            policy=policy(
                statement(
                    ["sqs:SendMessage"],
                    [self.queue.arn],
                    sid="FromTopic",
                    principal={"Service": "sns.amazonaws.com"},
                    condition={"ArnEquals": {"aws:SourceArn": self.topic.arn}},
                ),
                tls_only("sqs:*", [self.queue.arn]),
            ),
            opts=self.child(),
        )
        aws.sqs.QueuePolicy(
            f"{name}-dead-letters-policy",
            queue_url=self.dead_letters.url,
            policy=policy(tls_only("sqs:*", [self.dead_letters.arn])),
            opts=self.child(),
        )
        aws.sns.TopicSubscription(
            f"{name}-to-queue",
            topic=self.topic.arn,
            protocol="sqs",
            endpoint=self.queue.arn,
            raw_message_delivery=True,
            # The queue receives only uploads. Alarms, budget notices and results are for people, who read emails.
            filter_policy=json.dumps({"kind": ["upload"]}),
            opts=self.child(depends_on=[from_topic]),
        )
        self.register_outputs({"topic_arn": self.topic.arn})
