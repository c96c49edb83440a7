"""The topic of a stack: who hears it, and what this library tells it."""

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
    """pending: the address has not confirmed yet, by the link in the first email."""

    protocol: str
    endpoint: str
    pending: bool

    def __str__(self) -> str:
        return f"{self.endpoint} ({self.protocol}): {'pending, to be confirmed' if self.pending else 'confirmed'}"


def subscriptions(stack: Stack) -> list[Subscription]:
    """Who hears the topic. Raises AwsError."""
    topic = stack.outputs.topic_arn
    with aws_errors(f"list who hears the topic {topic}"):
        pages = stack.aws.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        found = [each for page in pages for each in page["Subscriptions"]]
    return [
        Subscription(each["Protocol"], each["Endpoint"], not each["SubscriptionArn"].startswith("arn:"))
        for each in found
    ]


def subscribe(stack: Stack, address: str) -> list[Subscription]:
    """Has an email address hear the topic; a first email asks it to confirm. Gives all who hear it.

    Raises UsageError for what is no email address, AwsError.
    """
    if not EMAIL.fullmatch(address):
        raise UsageError(f"{address!r} is no email address", hint="Write it as me@example.com.")
    with aws_errors(f"subscribe {address} to the topic {stack.outputs.topic_arn}"):
        stack.aws.client("sns").subscribe(TopicArn=stack.outputs.topic_arn, Protocol="email", Endpoint=address)
    return subscriptions(stack)


def publish(stack: Stack, kind: str, subject: str, text: str) -> None:
    """Tells the topic. kind: result or failure; what is an upload, only the Lambda says. Raises AwsError."""
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in subject)
    with aws_errors(f"publish to the topic {stack.outputs.topic_arn}"):
        stack.aws.client("sns").publish(
            TopicArn=stack.outputs.topic_arn,
            Subject=plain[:_SUBJECT_LENGTH],
            Message=text,
            MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
        )


def given_up(stack: Stack) -> int:
    """How many notices lie in the dead-letter queue: of workbooks that nobody could load. Raises AwsError."""
    url = stack.outputs.dead_letter_queue_url
    with aws_errors(f"look at the queue {url}"):
        answer = stack.aws.client("sqs").get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
