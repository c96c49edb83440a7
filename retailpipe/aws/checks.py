"""The points of `retailpipe check` that only a stack on AWS has.

Each function returns what it found, as a text, and raises AwsError with a hint if the point fails.
"""

from __future__ import annotations

import json
from typing import Any

from retailpipe.aws.notices import subscriptions
from retailpipe.aws.rds import RdsDatabase
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.counts import counted
from retailpipe.errors import AwsError

_DEPLOY = "Deploy the stack again with `pulumi up`."


def credentials(stack: Stack) -> str:
    """Check that the credentials belong to the stack's account."""
    with aws_errors("ask AWS for the identity of the credentials"):
        found = stack.aws.client("sts").get_caller_identity()
    account = stack.outputs.account_id
    if found["Account"] != account:
        hint = "Use credentials of that account: --profile NAME."
        raise AwsError(
            f"{found['Arn']} belongs to account {found['Account']}, but the stack is in account {account}", hint=hint
        )
    return f"{found['Arn']} in {stack.outputs.region}"


def bucket(stack: Stack) -> str:
    """Check that the bucket exists, belongs to the stack's account, and is versioned."""
    name, s3 = stack.outputs.bucket, stack.aws.client("s3")
    try:
        with aws_errors(f"read the versioning of s3://{name}"):
            versioning = s3.get_bucket_versioning(Bucket=name, ExpectedBucketOwner=stack.outputs.account_id)
    except AwsError as error:
        if error.code != "NoSuchBucket":
            raise
        raise AwsError(f"the bucket s3://{name} does not exist", hint=_DEPLOY, code=error.code) from error
    if versioning.get("Status") != "Enabled":
        raise AwsError(f"versioning of s3://{name} is not enabled", hint=_DEPLOY)
    return f"s3://{name} exists and is versioned"


def instance(stack: Stack) -> str:
    """Check that the database instance is available."""
    found = RdsDatabase(stack).describe()
    status = found["DBInstanceStatus"]
    if status != "available":
        hint = "Start it with `retailpipe db start`." if status == "stopped" else "See `retailpipe db status`."
        raise AwsError(f"{found['DBInstanceIdentifier']} is {status}", hint=hint)
    return f"{found['DBInstanceIdentifier']} is available ({found['Engine']} {found.get('EngineVersion', '')})"


def lambdas(stack: Stack) -> str:
    """Check that both Lambdas exist, and that the bucket is configured and allowed to call notify_upload.

    The check reads the policies of the Lambdas, not their configuration, because a student may not read a Lambda's
    environment.
    """
    outputs = stack.outputs
    callers = {name: _callers(stack, name) for name in (outputs.notify_function, outputs.check_function)}
    with aws_errors(f"read the notifications of s3://{outputs.bucket}"):
        notified = stack.aws.client("s3").get_bucket_notification_configuration(
            Bucket=outputs.bucket, ExpectedBucketOwner=outputs.account_id
        )
    called = [each["LambdaFunctionArn"] for each in notified.get("LambdaFunctionConfigurations", [])]
    if not any(arn.endswith(f":function:{outputs.notify_function}") for arn in called):
        raise AwsError(f"s3://{outputs.bucket} does not notify {outputs.notify_function}", hint=_DEPLOY)
    if not _may_call(callers[outputs.notify_function], f":{outputs.bucket}"):
        raise AwsError(f"s3://{outputs.bucket} may not call {outputs.notify_function}", hint=_DEPLOY)
    return f"{outputs.notify_function} (called by the bucket) and {outputs.check_function}"


def topic(stack: Stack) -> str:
    """Check that the queue is subscribed to the topic; also count the email addresses, and report unconfirmed ones."""
    found = subscriptions(stack)
    queue = stack.outputs.queue_url.rpartition("/")[2]
    if not any(each.protocol == "sqs" and each.endpoint.endswith(f":{queue}") for each in found):
        raise AwsError(
            f"the queue {queue} is not subscribed to the topic, so `retailpipe watch` receives no notices of uploads",
            hint=_DEPLOY,
        )
    emails = [each for each in found if each.protocol == "email"]
    pending = [each.endpoint for each in emails if each.pending]
    detail = f"subscribers: the queue, {counted(len(emails), 'email address', 'email addresses')}"
    return detail + (f"; not confirmed yet: {', '.join(pending)}" if pending else "")


def _callers(stack: Stack, function: str) -> list[dict[str, Any]]:
    """Return the statements of a Lambda's resource policy, which say what may call it."""
    try:
        with aws_errors(f"read the policy of the Lambda {function}"):
            text = stack.aws.client("lambda").get_policy(FunctionName=function)["Policy"]
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        missing = f"the Lambda {function} does not exist, or nothing is allowed to call it"
        raise AwsError(missing, hint=_DEPLOY, code=error.code) from error
    return json.loads(text)["Statement"]


def _may_call(callers: list[dict[str, Any]], bucket: str) -> bool:
    """Whether a statement allows S3 to call the Lambda, for this bucket or without a condition.

    bucket: the end of the bucket's ARN, such as `:name`.
    """
    return any(
        each["Effect"] == "Allow"
        and "s3.amazonaws.com" in str(each.get("Principal"))
        and (f'{bucket}"' in json.dumps(each.get("Condition")) or not each.get("Condition"))
        for each in callers
    )
