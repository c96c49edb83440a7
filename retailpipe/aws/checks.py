"""The points of the end-to-end check that only a stack on AWS has."""

from __future__ import annotations

import json
from typing import Any

from retailpipe.aws.notices import subscriptions
from retailpipe.aws.rds import RdsDatabase
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError

_DEPLOY = "Deploy the stack again with `pulumi up`."


def credentials(stack: Stack) -> str:
    """Who we are, and whether that is the stack's account."""
    with aws_errors("ask AWS who we are"):
        found = stack.aws.client("sts").get_caller_identity()
    account = stack.outputs.account_id
    if found["Account"] != account:
        hint = "Use its credentials: --profile NAME."
        raise AwsError(f"{found['Arn']} is of account {found['Account']}, the stack of {account}", hint=hint)
    return f"{found['Arn']} in {stack.outputs.region}"


def bucket(stack: Stack) -> str:
    """Whether the bucket is there, ours, and keeps versions."""
    name, s3 = stack.outputs.bucket, stack.aws.client("s3")
    try:
        with aws_errors(f"look at s3://{name}"):
            versioning = s3.get_bucket_versioning(Bucket=name, ExpectedBucketOwner=stack.outputs.account_id)
    except AwsError as error:
        if error.code != "NoSuchBucket":
            raise
        raise AwsError(f"there is no s3://{name}", hint=_DEPLOY, code=error.code) from error
    if versioning.get("Status") != "Enabled":
        raise AwsError(f"s3://{name} keeps no versions", hint=_DEPLOY)
    return f"s3://{name}, which keeps versions"


def instance(stack: Stack) -> str:
    """Whether the database instance is available."""
    found = RdsDatabase(stack).describe()
    status = found["DBInstanceStatus"]
    if status != "available":
        hint = "Start it: `retailpipe db start`." if status == "stopped" else "See `retailpipe db status`."
        raise AwsError(f"{found['DBInstanceIdentifier']} is {status}", hint=hint)
    return f"{found['DBInstanceIdentifier']} is available ({found['Engine']} {found.get('EngineVersion', '')})"


def lambdas(stack: Stack) -> str:
    """Whether both Lambdas are there, the bucket calls the one, and may.

    Their policies are asked for, not themselves: a student may not see the environment of a Lambda.
    """
    outputs = stack.outputs
    callers = {name: _callers(stack, name) for name in (outputs.notify_function, outputs.check_function)}
    with aws_errors(f"look at whom s3://{outputs.bucket} notifies"):
        notified = stack.aws.client("s3").get_bucket_notification_configuration(
            Bucket=outputs.bucket, ExpectedBucketOwner=outputs.account_id
        )
    called = [each["LambdaFunctionArn"] for each in notified.get("LambdaFunctionConfigurations", [])]
    if not any(arn.endswith(f":function:{outputs.notify_function}") for arn in called):
        raise AwsError(f"s3://{outputs.bucket} does not notify {outputs.notify_function}", hint=_DEPLOY)
    if not _may_call(callers[outputs.notify_function], f":{outputs.bucket}"):
        raise AwsError(f"s3://{outputs.bucket} may not call {outputs.notify_function}", hint=_DEPLOY)
    return f"{outputs.notify_function}, which the bucket calls, and {outputs.check_function}"


def topic(stack: Stack) -> str:
    """Whether the queue hears the topic; who else does, and who has not confirmed."""
    heard = subscriptions(stack)
    queue = stack.outputs.queue_url.rpartition("/")[2]
    if not any(each.protocol == "sqs" and each.endpoint.endswith(f":{queue}") for each in heard):
        raise AwsError(f"the queue {queue} does not hear the topic, so `watch` would hear nothing", hint=_DEPLOY)
    people = [each for each in heard if each.protocol == "email"]
    pending = [each.endpoint for each in people if each.pending]
    detail = f"the queue and {len(people)} people hear it"
    return detail + (f"; not confirmed yet: {', '.join(pending)}" if pending else "")


def _callers(stack: Stack, function: str) -> list[dict[str, Any]]:
    """The statements that say who may call a Lambda."""
    try:
        with aws_errors(f"look at the Lambda {function}"):
            text = stack.aws.client("lambda").get_policy(FunctionName=function)["Policy"]
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        missing = f"there is no Lambda {function}, or nothing may call it"
        raise AwsError(missing, hint=_DEPLOY, code=error.code) from error
    return json.loads(text)["Statement"]


def _may_call(callers: list[dict[str, Any]], bucket: str) -> bool:
    return any(
        each["Effect"] == "Allow"
        and "s3.amazonaws.com" in str(each.get("Principal"))
        and (f'{bucket}"' in json.dumps(each.get("Condition")) or not each.get("Condition"))
        for each in callers
    )
