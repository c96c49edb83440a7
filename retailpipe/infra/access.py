"""The IAM policy of a student's user: it allows the commands on one stack, except those only for an instructor."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

from retailpipe.infra.component import Component, Deployment, policy, statement
from retailpipe.infra.database import Database
from retailpipe.infra.functions import Functions
from retailpipe.infra.notifications import Notifications
from retailpipe.infra.storage import Storage
from retailpipe.infra.workers import Workers
from retailpipe.keys import INPUT, RECEIPTS, REPORTS, WORKERS
from retailpipe.names import CHECK_BUCKET, NOTIFY_UPLOAD
from retailpipe.names import WORKERS as WORKERS_PART


class StudentPolicy(Component):
    """The IAM policy for a student.

    policy: attached to the user `studentUser` if that is set; otherwise an administrator must attach it.
    """

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        storage: Storage,
        database: Database,
        notifications: Notifications,
        functions: Functions,
        workers: Workers | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("StudentPolicy", name, deployment, opts)
        bucket = storage.bucket.arn
        objects = [pulumi.Output.concat(bucket, f"/{prefix}*") for prefix in (INPUT, RECEIPTS)]
        queues = [notifications.queue.arn, notifications.dead_letters.arn]
        lambdas = [functions.notify_upload.arn, functions.check_bucket.arn]
        log_groups = [
            deployment.arn("logs", f"log-group:{group}:*")
            for group in (
                deployment.names.lambda_log_group(NOTIFY_UPLOAD),
                deployment.names.lambda_log_group(CHECK_BUCKET),
                deployment.names.database_log_group(),
            )
        ]
        statements: list[dict[str, Any]] = [
            statement(
                ["ssm:GetParameter"], [deployment.arn("ssm", f"parameter{deployment.names.parameter}")], sid="Outputs"
            ),
            statement(
                ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketNotification", "s3:GetBucketVersioning"],
                [bucket],
                sid="Bucket",
            ),
            statement(
                [
                    "s3:GetObject",
                    "s3:GetObjectVersion",
                    "s3:PutObject",
                    "s3:AbortMultipartUpload",
                    "s3:DeleteObject",  # not DeleteObjectVersion: the bucket keeps what was deleted
                ],
                objects,
                sid="Workbooks",
            ),
            # A link to a report works only if the user who signed it may read the report.
            statement(["s3:GetObject", "s3:PutObject"], [pulumi.Output.concat(bucket, f"/{REPORTS}*")], sid="Reports"),
            statement(["secretsmanager:GetSecretValue"], [database.secret_arn], sid="Password"),
            statement(
                ["rds:DescribeDBInstances", "rds:StartDBInstance", "rds:StopDBInstance"],
                [database.arn],
                sid="Database",
            ),
            statement(["sns:Publish", "sns:ListSubscriptionsByTopic"], [notifications.topic.arn], sid="Notices"),
            # Only by email: text messages cost money, and other endpoints could send the notices to another account.
            statement(
                ["sns:Subscribe"],
                [notifications.topic.arn],
                sid="Emails",
                condition={"StringEquals": {"sns:Protocol": "email"}, "StringLike": {"sns:Endpoint": "*@*"}},
            ),
            statement(
                [
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:ChangeMessageVisibility",
                    "sqs:GetQueueAttributes",
                ],
                queues,
                sid="Uploads",
            ),
            # Not GetFunction: it returns the Lambda's environment, where `sourceUrl` may be the instructor's secret.
            statement(["lambda:GetPolicy", "lambda:InvokeFunction"], lambdas, sid="Lambdas"),
            statement(
                ["events:DescribeRule", "events:EnableRule", "events:DisableRule"], [functions.rule.arn], sid="Schedule"
            ),
            statement(["logs:FilterLogEvents", "logs:GetLogEvents"], log_groups, sid="Logs"),
        ]
        if workers:
            statements += _for_workers(deployment, bucket, workers)
        self.policy = aws.iam.Policy(
            f"{name}-policy",
            name=f"{deployment.names.of('student')}-{deployment.region}",
            description="What the retailpipe library needs of this stack",
            policy=policy(*statements),
            tags=deployment.tags("student"),
            opts=self.child(),
        )
        if deployment.settings.student_user:
            aws.iam.UserPolicyAttachment(
                f"{name}-user", user=deployment.settings.student_user, policy_arn=self.policy.arn, opts=self.child()
            )
        self.register_outputs({})


def _for_workers(deployment: Deployment, bucket: pulumi.Output[str], workers: Workers) -> list[dict[str, Any]]:
    """What starting, following and stopping runs on workers needs."""
    part = deployment.names.of(WORKERS_PART)
    cluster = {"ArnEquals": {"ecs:cluster": deployment.arn("ecs", f"cluster/{part}")}}
    tasks = [deployment.arn("ecs", f"task/{part}/*")]
    return [
        statement(
            ["ecs:RunTask"], [deployment.arn("ecs", f"task-definition/{part}:*")], sid="StartTasks", condition=cluster
        ),
        statement(["ecs:DescribeTasks", "ecs:StopTask"], tasks, sid="Tasks", condition=cluster),
        statement(
            ["ecs:TagResource"], tasks, sid="TagTasks", condition={"StringEquals": {"ecs:CreateAction": "RunTask"}}
        ),
        statement(
            ["iam:PassRole"],
            [workers.task_role_arn, workers.start_role_arn],
            sid="TaskRoles",
            condition={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
        statement(
            ["secretsmanager:CreateSecret", "secretsmanager:DeleteSecret", "secretsmanager:TagResource"],
            [deployment.arn("secretsmanager", f"secret:{deployment.names.run_secret('*')}")],
            sid="Certificates",
        ),
        statement(["s3:GetObject", "s3:PutObject"], [pulumi.Output.concat(bucket, f"/{WORKERS}*")], sid="Runs"),
        statement(
            ["logs:FilterLogEvents", "logs:GetLogEvents"],
            [deployment.arn("logs", f"log-group:{deployment.names.worker_log_group()}:*")],
            sid="TaskLogs",
        ),
    ]
