"""Generate the IAM policy of the deployer.

It allows the calls that Terraform's real provider made on the simulated AWS, and others that a rehearsal does not show.
`make rehearse` compares it with docs/deployer-policy.json; `python -m tests.support.terraform.deployer` writes that
file.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import boto3

from tests.infra.test_program import EVERYTHING
from tests.support.aws import moto_server, recorded_calls
from tests.support.declared import TOP, declare
from tests.support.terraform.command import Terraform
from tests.support.terraform.rewrite import rewrite

FILE = TOP / "docs" / "deployer-policy.json"
MAX_CHARACTERS = 6144
"""AWS's limit for a managed policy, not counting white space."""

REHEARSED = {name: value for name, value in EVERYTHING.items() if name != "sourceUrl"}
"""The config for the simulated AWS. It has no sourceUrl, because a test must not download from the internet."""

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


def make_user(endpoint: str) -> None:
    """Create the IAM user to which the student's policy is attached: the program does not create users."""
    iam = boto3.Session("test", "test", region_name="eu-central-1").client("iam", endpoint_url=endpoint)
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


def main() -> None:
    with tempfile.TemporaryDirectory() as name, moto_server() as endpoint:
        folder = Path(name)
        make_user(endpoint)
        program = rewrite(declare(REHEARSED), folder, leave_out=NOT_ON_MOTO)
        with recorded_calls() as calls:
            terraform = Terraform(folder, program, region="eu-central-1", endpoint=endpoint)
            terraform.run("apply", "-auto-approve")
            terraform.run("destroy", "-auto-approve")
    FILE.write_text(json.dumps(policy_for(calls), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
