"""Generate the IAM policy of the deployer.

It allows the calls that Terraform's real provider made on the simulated AWS, and others that a rehearsal does not show.
`make rehearse` compares it with docs/deployer-policy.json; `python -m tests.support.terraform.deployer` writes that
file. What workers need in addition is in a policy of its own, because the length of a managed policy is limited.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3

from tests.infra.test_program import EVERYTHING, LEAST
from tests.support.aws import moto_server, recorded_calls
from tests.support.declared import TOP, declare
from tests.support.iam import matches
from tests.support.terraform.command import Terraform
from tests.support.terraform.rewrite import rewrite

FILE = TOP / "docs" / "deployer-policy.json"
WORKERS_FILE = TOP / "docs" / "deployer-policy-workers.json"
MAX_CHARACTERS = 6144
"""AWS's limit for a managed policy, not counting white space."""

REHEARSED = {name: value for name, value in EVERYTHING.items() if name != "sourceUrl"}
"""The config for the simulated AWS. It has no sourceUrl, because a test must not download from the internet."""

REHEARSED_WORKERS = {**LEAST, "workers": "2"}

NOT_ON_MOTO = ("BucketPolicy",)
"""Left out on the simulated AWS: it ignores conditions, so this policy would deny all requests, with or without TLS."""

RENAMED = {
    "budgets": {"Create": "ModifyBudget", "Delete": "ModifyBudget", "Describe": "ViewBudget"},
    "s3": {"HeadBucket": "ListBucket"},
}
"""IAM's action names for operations, by the beginning of the operation's name, if they are different."""

SCOPES = {
    "budgets": ["arn:aws:budgets::*:budget/retailpipe-*"],
    "cloudwatch": ["arn:aws:cloudwatch:*:*:alarm:retailpipe-*", "arn:aws:cloudwatch::*:dashboard/retailpipe-*"],
    "events": ["arn:aws:events:*:*:rule/retailpipe-*"],
    "iam": [f"arn:aws:iam::*:{kind}" for kind in ("role/retailpipe-*", "policy/retailpipe-*")],
    "lambda": ["arn:aws:lambda:*:*:function:retailpipe-*"],
    "logs": [
        "arn:aws:logs:*:*:log-group:/aws/lambda/retailpipe-*",
        "arn:aws:logs:*:*:log-group:/aws/rds/instance/retailpipe-*",
    ],
    "rds": [
        *(f"arn:aws:rds:*:*:{kind}:retailpipe-*" for kind in ("db", "pg", "subgrp", "snapshot")),
        "arn:aws:rds:*:*:og:default*",
    ],
    "s3": ["arn:aws:s3:::retailpipe-*"],
    "scheduler": ["arn:aws:scheduler:*:*:schedule/default/retailpipe-*"],
    "secretsmanager": ["arn:aws:secretsmanager:*:*:secret:rds!db-*"],
    "sns": ["arn:aws:sns:*:*:retailpipe-*"],
    "sqs": ["arn:aws:sqs:*:*:retailpipe-*"],
    "ssm": ["arn:aws:ssm:*:*:parameter/retailpipe/*"],
}
"""The resources to which a service's actions are limited. Other services' actions, and LISTS, are not limited."""

LISTS = {
    "cloudwatch:Describe*", "iam:GetUser", "iam:ListAttachedUserPolicies", "logs:Describe*", "rds:Describe*",
    "sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe", "ssm:Describe*",
}  # fmt: skip
"""Actions that AWS cannot limit to resources, or that the provider calls without a resource name."""

UNSEEN = {
    "budgets": ["ListTagsForResource", "TagResource", "UntagResource"],
    "cloudwatch": ["TagResource", "UntagResource"],
    "ec2": ["DeleteTags", "ModifySecurityGroupRules", "ModifyVpcEndpoint"],
    "events": ["DisableRule", "EnableRule", "TagResource", "UntagResource"],
    "iam": ["CreatePolicyVersion", "DeletePolicyVersion", "TagPolicy", "TagRole", "UntagPolicy", "UntagRole",
            "UpdateAssumeRolePolicy"],
    "kms": ["DescribeKey"],
    "lambda": ["ListTags", "TagResource", "UntagResource", "UpdateFunctionCode", "UpdateFunctionConfiguration"],
    "logs": ["TagResource", "UntagResource"],
    "rds": ["AddTagsToResource", "CreateDBSnapshot", "DeleteDBInstanceAutomatedBackup", "ModifyDBInstance",
            "ModifyDBSubnetGroup", "RemoveTagsFromResource"],
    "s3": ["DeleteBucketPolicy", "GetBucketObjectLockConfiguration", "GetBucketOwnershipControls",
           "GetBucketPublicAccessBlock", "GetBucketRequestPayment", "GetEncryptionConfiguration",
           "GetReplicationConfiguration", "ListBucketVersions", "PutBucketOwnershipControls", "PutBucketPolicy",
           "PutBucketPublicAccessBlock", "PutEncryptionConfiguration", "TagResource", "UntagResource"],
    "scheduler": ["UpdateSchedule"],
    "secretsmanager": ["CreateSecret", "RotateSecret", "TagResource"],
    "sns": ["SetSubscriptionAttributes", "TagResource", "UntagResource"],
    "sqs": ["GetQueueUrl", "TagQueue", "UntagQueue"],
    "ssm": ["AddTagsToResource", "RemoveTagsFromResource"],
}  # fmt: skip
"""Operations that a rehearsal does not show: updates, tags, and those that AWS calls with the deployer's permissions,
such as the creation of the database's secret by RDS."""

LIMITED_STATEMENTS = [
    {
        "Sid": "EmptyTheBucket",
        "Effect": "Allow",
        "Action": ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:DeleteObjectVersion"],
        "Resource": ["arn:aws:s3:::retailpipe-*/*"],
    },
    {
        "Sid": "PassRolesToServices",
        "Effect": "Allow",
        "Action": ["iam:PassRole"],
        "Resource": ["arn:aws:iam::*:role/retailpipe-*"],
        "Condition": {"StringEquals": {"iam:PassedToService": ["lambda.amazonaws.com", "scheduler.amazonaws.com"]}},
    },
    {
        "Sid": "AttachStudentPolicy",
        "Effect": "Allow",
        "Action": ["iam:AttachUserPolicy", "iam:DetachUserPolicy"],
        "Resource": ["arn:aws:iam::*:user/*"],
        "Condition": {"ArnLike": {"iam:PolicyARN": "arn:aws:iam::*:policy/retailpipe-*"}},
    },
    {
        "Sid": "CreateRdsServiceLinkedRole",
        "Effect": "Allow",
        "Action": ["iam:CreateServiceLinkedRole"],
        "Resource": ["arn:aws:iam::*:role/aws-service-role/rds.amazonaws.com/*"],
    },
]


_READ_ONLY = re.compile(r"^(Describe|List|GetBucket|GetRole|GetPolicy)\w*$")
"""Read-only operations are shortened to wildcards, because the length of a managed policy is limited."""


_NAMELESS = {"ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition"}
"""Actions of ECS that AWS cannot limit to resources."""
_UNSEEN_FOR_WORKERS = {"ecs:TagResource", "ecs:UntagResource", "ecs:UpdateCluster", "ecs:UpdateClusterSettings"}


def make_user(endpoint: str) -> None:
    """Create the IAM user to which the student's policy is attached: the program does not create users.

    Another rehearsal in this process may have created it: they share the simulated account.
    """
    iam = boto3.Session("test", "test", region_name="eu-central-1").client("iam", endpoint_url=endpoint)
    with suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_user(UserName=REHEARSED["studentUser"])
    iam.close()


def policy_for(calls: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The policy that allows these calls, given as (service, operation) pairs."""
    actions: dict[str, set[str]] = {}
    unseen = [(service, name) for service, names in UNSEEN.items() for name in names]
    limited = {action for statement in LIMITED_STATEMENTS for action in statement["Action"]}
    for service, operation in (*calls, *unseen):
        prefixes = RENAMED.get(service, {}).items()
        name = next((action for prefix, action in prefixes if operation.startswith(prefix)), operation)
        if f"{service}:{name}" in limited:
            continue
        actions.setdefault(service, set()).add(_READ_ONLY.sub(r"\1*", name))
    everywhere = sorted(
        LISTS | {f"{service}:{name}" for service, names in actions.items() if service not in SCOPES for name in names}
    )
    statements: list[dict[str, Any]] = [
        {"Sid": "NetworkAndLists", "Effect": "Allow", "Action": everywhere, "Resource": ["*"]},
        *(
            {
                "Effect": "Allow",
                "Action": sorted(f"{service}:{name}" for name in names if f"{service}:{name}" not in LISTS),
                "Resource": SCOPES[service],
            }
            for service, names in sorted(actions.items())
            if service in SCOPES
        ),
        *LIMITED_STATEMENTS,
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def policy_for_workers(calls: Iterable[tuple[str, str]], without: Mapping[str, Any]) -> dict[str, Any]:
    """The policy that allows what these calls need in addition to the policy `without`."""
    everywhere = {action for each in without["Statement"] for action in each["Action"]}
    needed = {f"{service}:{operation}" for service, operation in calls if service in ("ec2", "ecs")}
    needed = {action for action in needed if not any(matches(pattern, action) for pattern in everywhere)}
    of_ecs = {action for action in needed if action.startswith("ecs:")} | _UNSEEN_FOR_WORKERS
    (logs,) = [each["Action"] for each in without["Statement"] if "logs:CreateLogGroup" in each["Action"]]
    statements: list[dict[str, Any]] = [
        {
            "Sid": "NotLimitedByName",
            "Effect": "Allow",
            "Action": sorted((needed - of_ecs) | (needed & _NAMELESS)),
            "Resource": ["*"],
        },
        {
            "Sid": "ClusterAndTaskDefinition",
            "Effect": "Allow",
            "Action": sorted(of_ecs - _NAMELESS),
            "Resource": [f"arn:aws:ecs:*:*:{kind}/retailpipe-*" for kind in ("cluster", "task-definition")],
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": logs,
            "Resource": ["arn:aws:logs:*:*:log-group:/ecs/retailpipe-*"],
        },
        {
            "Sid": "PassRolesToTasks",
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": ["arn:aws:iam::*:role/retailpipe-*"],
            "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        },
        {
            "Sid": "CreateEcsServiceLinkedRole",
            "Effect": "Allow",
            "Action": ["iam:CreateServiceLinkedRole"],
            "Resource": ["arn:aws:iam::*:role/aws-service-role/ecs.amazonaws.com/*"],
        },
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def rehearse(config: Mapping[str, str]) -> set[tuple[str, str]]:
    """Create and destroy a stack on a simulated AWS with Terraform's provider; return the calls that it made."""
    with tempfile.TemporaryDirectory() as name, moto_server() as endpoint:
        folder = Path(name)
        make_user(endpoint)
        program = rewrite(declare(config), folder, leave_out=NOT_ON_MOTO)
        with recorded_calls() as calls:
            terraform = Terraform(folder, program, region="eu-central-1", endpoint=endpoint)
            terraform.run("apply", "-auto-approve")
            terraform.run("plan", "-detailed-exitcode")  # nothing is left to change
            terraform.run("destroy", "-auto-approve")
    return calls


def main() -> None:
    policy = policy_for(rehearse(REHEARSED))
    FILE.write_text(json.dumps(policy, indent=2) + "\n")
    for_workers = policy_for_workers(rehearse(REHEARSED_WORKERS), policy)
    WORKERS_FILE.write_text(json.dumps(for_workers, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
