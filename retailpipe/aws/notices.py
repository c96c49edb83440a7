"""The SNS topic of a stack: its subscribers, and the notices that this library publishes."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.addresses import EMAIL
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import UsageError
from retailpipe.reports import Report

_SUBJECT_LENGTH = 100


@dataclass(frozen=True)
class Subscription(Report):
    """A subscription to the topic. pending: not confirmed yet; the first email contains the link to confirm."""

    protocol: str
    endpoint: str
    pending: bool

    def __str__(self) -> str:
        return f"{self.endpoint} ({self.protocol}): {'not confirmed yet' if self.pending else 'confirmed'}"


def subscriptions(stack: Stack) -> list[Subscription]:
    """List the subscriptions of the topic. Raises AwsError."""
    topic = stack.outputs.topic_arn
    with aws_errors(f"list the subscriptions of the topic {topic}"):
        pages = stack.aws.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [each for page in pages for each in page["Subscriptions"]]
    return [
        Subscription(each["Protocol"], each["Endpoint"], not each["SubscriptionArn"].startswith("arn:"))
        for each in found
    ]


def subscribe(stack: Stack, address: str) -> list[Subscription]:
    """Subscribe an email address to the topic; SNS sends it an email to confirm. Returns all subscriptions.

    Raises UsageError if it is not an email address, AwsError.
    """
    if not EMAIL.fullmatch(address):
        raise UsageError(f"{address!r} is not an email address", hint="Write it as me@example.com.")
    with aws_errors(f"subscribe {address} to the topic {stack.outputs.topic_arn}"):
        stack.aws.client("sns").subscribe(TopicArn=stack.outputs.topic_arn, Protocol="email", Endpoint=address)
    return subscriptions(stack)


def publish(stack: Stack, kind: str, subject: str, text: str) -> None:
    """Publish a notice to the topic. Raises AwsError.

    kind: result or failure. Only notify_upload publishes the kind upload, which the topic forwards to the queue.
    subject: SNS allows 100 characters of printable ASCII; others are replaced by "?", longer subjects are cut.
    """
    plain = "".join(character if " " <= character <= "~" else "?" for character in subject)
    with aws_errors(f"publish to the topic {stack.outputs.topic_arn}"):
        stack.aws.client("sns").publish(
            TopicArn=stack.outputs.topic_arn,
            Subject=plain[:_SUBJECT_LENGTH],
            Message=text,
            MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
        )


def given_up(stack: Stack) -> int:
    """Return the approximate number of messages in the dead-letter queue: notices of uploads that failed too often.

    Raises AwsError.
    """
    url = stack.outputs.dead_letter_queue_url
    with aws_errors(f"count the messages in the queue {url}"):
        answer = stack.aws.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
