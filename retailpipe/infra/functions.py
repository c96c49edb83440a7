"""The two Lambdas: S3 calls notify_upload for each upload, and EventBridge calls check_bucket on schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.config import Secret
from retailpipe.infra.component import Component, Deployment, statement
from retailpipe.infra.notifications import Notifications
from retailpipe.infra.storage import Storage
from retailpipe.keys import INPUT, RECEIPTS
from retailpipe.names import CHECK_BUCKET, NOTIFY_UPLOAD

_RUNTIME = "python3.13"
_PACKAGE = Path(__file__).resolve().parents[1]


def source_folder() -> Path:
    """The folder of the Lambdas' code: inside the package if it is installed, at the top of a checkout.

    Raises FileNotFoundError.
    """
    for folder in (_PACKAGE / "lambda_src", _PACKAGE.parent / "lambda_src"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("lambda_src is not installed with this library")


def archive(function: str) -> pulumi.AssetArchive:
    """The code of a Lambda: its own modules, common.py, and modules of the library."""
    files = [
        *sorted((source_folder() / function).glob("*.py")),
        source_folder() / "common.py",
        _PACKAGE / "addresses.py",
        _PACKAGE / "keys.py",
    ]
    return pulumi.AssetArchive({file.name: pulumi.FileAsset(str(file)) for file in files})


class Functions(Component):
    """The Lambdas notify_upload and check_bucket; rule: the EventBridge rule that runs check_bucket."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        storage: Storage,
        notifications: Notifications,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("Functions", name, deployment, opts)
        self._topic_arn = notifications.topic.arn
        bucket_arn = storage.bucket.arn
        source_url: pulumi.Input[str] = deployment.settings.source_url or ""
        if isinstance(source_url, Secret):
            source_url = pulumi.Output.secret(str(source_url))
        self.notify_upload = self._function(NOTIFY_UPLOAD, timeout=30, memory=128, environment={}, permissions=[])
        self.check_bucket = self._function(
            CHECK_BUCKET,
            timeout=300,
            memory=256,
            environment={"BUCKET": storage.bucket.bucket, "SOURCE_URL": source_url},
            permissions=[
                statement(
                    ["s3:ListBucket"],
                    [bucket_arn],
                    condition={"StringLike": {"s3:prefix": [f"{INPUT}*", f"{RECEIPTS}*"]}},
                ),
                statement(["s3:GetObject", "s3:PutObject"], [pulumi.Output.concat(bucket_arn, f"/{INPUT}*")]),
            ],
        )
        # No retries: check_bucket publishes its own failures, and the next scheduled run tries again.
        aws.lambda_.FunctionEventInvokeConfig(
            f"{name}-once", function_name=self.check_bucket.name, maximum_retry_attempts=0, opts=self.child()
        )
        # If all three attempts fail, Lambda publishes the event itself to the topic, so that each upload is reported.
        aws.lambda_.FunctionEventInvokeConfig(
            f"{name}-untold",
            function_name=self.notify_upload.name,
            maximum_retry_attempts=2,
            destination_config={"on_failure": {"destination": self._topic_arn}},
            opts=self.child(),
        )
        invoke_permission = aws.lambda_.Permission(
            f"{name}-from-bucket",
            action="lambda:InvokeFunction",
            function=self.notify_upload.name,
            principal="s3.amazonaws.com",
            source_arn=bucket_arn,
            source_account=deployment.account_id,
            opts=self.child(),
        )
        # A bucket has only one notification configuration: a second resource would overwrite this one. S3 checks on
        # creation that it may invoke the Lambda, so the permission must exist first.
        aws.s3.BucketNotification(
            f"{name}-notification",
            bucket=storage.bucket.id,
            lambda_functions=[
                {
                    "lambda_function_arn": self.notify_upload.arn,
                    "events": ["s3:ObjectCreated:*"],
                    # No suffix filter: S3's is case-sensitive (.xlsx, .XLSX). The Lambda ignores other files.
                    "filter_prefix": INPUT,
                }
            ],
            opts=self.child(depends_on=[invoke_permission]),
        )
        rule = aws.cloudwatch.EventRule(
            f"{name}-schedule",
            name=deployment.names.of("schedule"),
            description="Calls check_bucket",
            schedule_expression=deployment.settings.schedule,
            state="ENABLED" if deployment.settings.schedule_enabled else "DISABLED",
            tags=deployment.tags("schedule"),
            opts=self.child(),
        )
        self.rule = rule
        aws.lambda_.Permission(
            f"{name}-from-schedule",
            action="lambda:InvokeFunction",
            function=self.check_bucket.name,
            principal="events.amazonaws.com",
            source_arn=rule.arn,
            opts=self.child(),
        )
        aws.cloudwatch.EventTarget(
            f"{name}-schedule", rule=rule.name, arn=self.check_bucket.arn, target_id=CHECK_BUCKET, opts=self.child()
        )
        self.register_outputs({})

    def _function(
        self,
        function: str,
        *,
        timeout: int,
        memory: int,
        environment: dict[str, pulumi.Input[str]],
        permissions: list[dict[str, Any]],
    ) -> aws.lambda_.Function:
        deployment = self.deployment
        function_name = deployment.names.of(function)
        # The log group must exist before the Lambda, which depends on it. Otherwise the group is created at the first
        # call: it then never expires, and `pulumi up` fails because the name already exists.
        logs = aws.cloudwatch.LogGroup(
            f"{self.name}-{function}",
            name=deployment.names.lambda_log_group(function),
            retention_in_days=deployment.settings.log_retention_days,
            tags=deployment.tags(function),
            opts=self.child(),
        )
        role_arn, role_policies = self.role(
            function,
            "lambda.amazonaws.com",
            statement(["logs:CreateLogStream", "logs:PutLogEvents"], [pulumi.Output.concat(logs.arn, ":*")]),
            statement(["sns:Publish"], [self._topic_arn]),
            *permissions,
        )
        variables = {"TOPIC_ARN": self._topic_arn, "STACK": deployment.names.display_name, **environment}
        return aws.lambda_.Function(
            f"{self.name}-{function}",
            name=function_name,
            role=role_arn,
            runtime=_RUNTIME,
            architectures=["arm64"],
            handler="handler.handle",
            code=archive(function.replace("-", "_")),
            timeout=timeout,
            memory_size=memory,
            environment={"variables": variables},
            tags=deployment.tags(function),
            opts=self.child(depends_on=[logs, *role_policies]),
        )
