"""The two Lambdas: notify_upload, which the bucket calls, and check_bucket, which the schedule calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, statement
from retailpipe.infra.notifications import Notifications
from retailpipe.infra.settings import Secret
from retailpipe.infra.storage import Storage
from retailpipe.keys import INPUT, RECEIPTS
from retailpipe.names import CHECK_BUCKET, NOTIFY_UPLOAD

_RUNTIME = "python3.13"
_PACKAGE = Path(__file__).resolve().parents[1]


def source_folder() -> Path:
    """The folder of the Lambdas' code: in an installed library beside its modules, in a checkout at its top."""
    for folder in (_PACKAGE / "lambda_src", _PACKAGE.parent / "lambda_src"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError("lambda_src is not installed with this library")


def archive(function: str) -> pulumi.AssetArchive:
    """What a Lambda is packed as: its own modules, what both share, and the module of receipts."""
    files = [
        *sorted((source_folder() / function).glob("*.py")),
        source_folder() / "common.py",
        _PACKAGE / "keys.py",
    ]
    return pulumi.AssetArchive({file.name: pulumi.FileAsset(str(file)) for file in files})


class Functions(Component):
    """notify_upload, check_bucket."""

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
        self.notify_upload = self._function(NOTIFY_UPLOAD, timeout=30, memory=128, environment={}, rights=[])
        self.check_bucket = self._function(
            CHECK_BUCKET,
            timeout=300,
            memory=256,
            environment={"BUCKET": storage.bucket.bucket, "SOURCE_URL": source_url},
            rights=[
                statement(
                    ["s3:ListBucket"],
                    [bucket_arn],
                    condition={"StringLike": {"s3:prefix": [f"{INPUT}*", f"{RECEIPTS}*"]}},
                ),
                statement(["s3:GetObject", "s3:PutObject"], [pulumi.Output.concat(bucket_arn, f"/{INPUT}*")]),
            ],
        )
        # It tells of its failures itself, and the next night tries again.
        aws.lambda_.FunctionEventInvokeConfig(
            f"{name}-once", function_name=self.check_bucket.name, maximum_retry_attempts=0, opts=self.child()
        )
        # An upload of which nobody could be told in three tries goes to the topic as it is.
        aws.lambda_.FunctionEventInvokeConfig(
            f"{name}-untold",
            function_name=self.notify_upload.name,
            maximum_retry_attempts=2,
            destination_config={"on_failure": {"destination": self._topic_arn}},
            opts=self.child(),
        )
        may_call = aws.lambda_.Permission(
            f"{name}-from-bucket",
            action="lambda:InvokeFunction",
            function=self.notify_upload.name,
            principal="s3.amazonaws.com",
            source_arn=bucket_arn,
            source_account=deployment.account_id,
            opts=self.child(),
        )
        # A bucket has one notification: a second would replace the first.
        aws.s3.BucketNotification(
            f"{name}-notification",
            bucket=storage.bucket.id,
            lambda_functions=[
                {
                    "lambda_function_arn": self.notify_upload.arn,
                    "events": ["s3:ObjectCreated:*"],
                    # No suffix: S3 tells .xlsx and .XLSX apart. The Lambda leaves alone what is no workbook.
                    "filter_prefix": INPUT,
                }
            ],
            opts=self.child(depends_on=[may_call]),
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
        rights: list[dict[str, Any]],
    ) -> aws.lambda_.Function:
        deployment = self.deployment
        function_name = deployment.names.of(function)
        logs = aws.cloudwatch.LogGroup(
            f"{self.name}-{function}",
            name=deployment.names.lambda_log_group(function),
            retention_in_days=deployment.settings.log_retention_days,
            tags=deployment.tags(function),
            opts=self.child(),
        )
        role_arn, rights_given = self.role(
            function,
            "lambda.amazonaws.com",
            statement(["logs:CreateLogStream", "logs:PutLogEvents"], [pulumi.Output.concat(logs.arn, ":*")]),
            statement(["sns:Publish"], [self._topic_arn]),
            *rights,
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
            opts=self.child(depends_on=[logs, *rights_given]),
        )
