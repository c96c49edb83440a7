"""What the student's and the deployer's IAM policies allow, evaluated by IAM's documented rules."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.infra.test_program import EVERYTHING
from tests.support.declared import ACCOUNT, TOP, Declared, declare
from tests.support.iam import actions_of, is_allowed
from tests.support.terraform.deployer import FILE, MAX_CHARACTERS, WORKERS_FILE

HERE = f"eu-central-1:{ACCOUNT}"
EMAIL = {"sns:Protocol": "email", "sns:Endpoint": "me@example.com"}


@pytest.fixture(scope="module")
def own() -> Declared:
    return declare(EVERYTHING)


@pytest.fixture(scope="module")
def other() -> Declared:
    return declare(EVERYTHING, stack="other")


@pytest.fixture(scope="module")
def student(own: Declared) -> dict[str, Any]:
    return json.loads(own.one("Policy").inputs["policy"])


@pytest.fixture(scope="module")
def deployer() -> dict[str, Any]:
    """Both policies of a deployer: what one user with both may do."""
    policies = [json.loads(file.read_text()) for file in (FILE, WORKERS_FILE)]
    return {"Statement": [statement for policy in policies for statement in policy["Statement"]]}


def resources_of(stack: Declared, name: str) -> dict[str, str]:
    """The ARNs of a stack's resources and of objects in them, such as a workbook in the bucket."""
    arns = {f"{each.kind} {each.name}": str(each.computed["arn"]) for each in stack.custom}
    bucket = stack.one("Bucket").computed["arn"]
    (secret,) = stack.one("Instance").computed["masterUserSecrets"]
    return {
        **arns,
        "workbook": f"{bucket}/input/online_retail.xlsx",
        "receipt": f"{bucket}/receipts/online_retail.xlsx/1.json",
        "report": f"{bucket}/reports/1/report.html",
        "other object": f"{bucket}/anything.txt",
        "password": secret["secretArn"],
        "outputs": f"arn:aws:ssm:{HERE}:parameter/retailpipe/{name}/outputs",
        "database": f"arn:aws:rds:{HERE}:db:retailpipe-{name}-database",
        "log of notify_upload": f"arn:aws:logs:{HERE}:log-group:/aws/lambda/retailpipe-{name}-notify-upload:stream",
        "log of check_bucket": f"arn:aws:logs:{HERE}:log-group:/aws/lambda/retailpipe-{name}-check-bucket:stream",
        "log of the database": (
            f"arn:aws:logs:{HERE}:log-group:/aws/rds/instance/retailpipe-{name}-database/postgresql:stream"
        ),
    }


STUDENT_MAY = {
    "workbook": "s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:GetObjectVersion s3:PutObject",
    "receipt": "s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:GetObjectVersion s3:PutObject",
    "report": "s3:GetObject s3:PutObject",
    "password": "secretsmanager:GetSecretValue",
    "log of notify_upload": "logs:FilterLogEvents logs:GetLogEvents",
    "log of check_bucket": "logs:FilterLogEvents logs:GetLogEvents",
    "log of the database": "logs:FilterLogEvents logs:GetLogEvents",
    "Bucket pipeline-storage-bucket": (
        "s3:GetBucketNotification s3:GetBucketVersioning s3:ListBucket s3:ListBucketVersions"
    ),
    "database": "rds:DescribeDBInstances rds:StartDBInstance rds:StopDBInstance",
    "Topic pipeline-notifications-topic": "sns:ListSubscriptionsByTopic sns:Publish sns:Subscribe",
    "Queue pipeline-notifications-queue": (
        "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage"
    ),
    "Queue pipeline-notifications-dead-letters": (
        "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage"
    ),
    "Function pipeline-functions-notify-upload": "lambda:GetPolicy lambda:InvokeFunction",
    "Function pipeline-functions-check-bucket": "lambda:GetPolicy lambda:InvokeFunction",
    "EventRule pipeline-functions-schedule": "events:DescribeRule events:DisableRule events:EnableRule",
    "outputs": "ssm:GetParameter",
}
"""All actions that the student's policy allows, by resource."""


def test_a_student_may_do_exactly_these_actions(own: Declared, student: dict[str, Any]) -> None:
    allowed = {
        name: " ".join(action for action in actions_of(student) if is_allowed(student, action, arn, EMAIL))
        for name, arn in resources_of(own, "dev").items()
    }

    assert {name: actions for name, actions in allowed.items() if actions} == STUDENT_MAY


def test_a_student_may_do_nothing_with_another_stack(other: Declared, student: dict[str, Any]) -> None:
    for name, arn in resources_of(other, "other").items():
        assert [action for action in actions_of(student) if is_allowed(student, action, arn, EMAIL)] == [], name


DENIED_TO_STUDENTS = [
    ("lambda:GetFunction", "Function pipeline-functions-check-bucket"),
    ("lambda:GetFunctionConfiguration", "Function pipeline-functions-check-bucket"),
    ("lambda:UpdateFunctionCode", "Function pipeline-functions-notify-upload"),
    ("s3:DeleteObjectVersion", "workbook"),
    ("s3:PutBucketPolicy", "Bucket pipeline-storage-bucket"),
    ("rds:DeleteDBInstance", "database"),
    ("rds:ModifyDBInstance", "database"),
    ("secretsmanager:PutSecretValue", "password"),
    ("sns:SetTopicAttributes", "Topic pipeline-notifications-topic"),
    ("sqs:PurgeQueue", "Queue pipeline-notifications-queue"),
    ("sqs:SendMessage", "Queue pipeline-notifications-queue"),
    ("ssm:PutParameter", "outputs"),
    ("events:PutTargets", "EventRule pipeline-functions-schedule"),
]


@pytest.mark.parametrize(("action", "resource"), DENIED_TO_STUDENTS)
def test_the_students_policy_denies_instructor_actions(
    own: Declared, student: dict[str, Any], action: str, resource: str
) -> None:
    assert not is_allowed(student, action, resources_of(own, "dev")[resource])


@pytest.mark.parametrize(
    ("protocol", "endpoint", "allowed"),
    [
        ("email", "me@example.com", True),
        ("email-json", "me@example.com", False),
        ("sms", "+15550100", False),
        ("https", "https://example.com/me@example.com", False),
        ("sqs", "arn:aws:sqs:eu-central-1:111111111111:theirs", False),
        ("lambda", "arn:aws:lambda:eu-central-1:111111111111:function:theirs", False),
    ],
)
def test_a_student_can_subscribe_only_by_email(
    own: Declared, student: dict[str, Any], protocol: str, endpoint: str, allowed: bool
) -> None:
    topic = own.one("Topic").computed["arn"]

    context = {"sns:Protocol": protocol, "sns:Endpoint": endpoint}
    assert is_allowed(student, "sns:Subscribe", topic, context) == allowed
    assert not is_allowed(student, "sns:Subscribe", topic)


FOREIGN = [
    "arn:aws:s3:::theirs",
    "arn:aws:s3:::theirs/input/a.xlsx",
    *(
        f"arn:aws:{resource}"
        for resource in (
            f"budgets::{ACCOUNT}:budget/theirs",
            f"cloudwatch:{HERE}:alarm:theirs",
            f"cloudwatch::{ACCOUNT}:dashboard/theirs",
            f"ec2:{HERE}:vpc/vpc-1",
            f"ecs:{HERE}:cluster/theirs",
            f"ecs:{HERE}:task-definition/theirs:1",
            f"events:{HERE}:rule/theirs",
            f"iam::{ACCOUNT}:role/theirs",
            f"iam::{ACCOUNT}:policy/theirs",
            f"iam::{ACCOUNT}:user/somebody",
            "iam::aws:policy/AdministratorAccess",
            f"iam::{ACCOUNT}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS",
            f"iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
            f"kms:{HERE}:key/1",
            f"lambda:{HERE}:function:theirs",
            f"logs:{HERE}:log-group:/aws/lambda/theirs",
            f"logs:{HERE}:log-group:/aws/rds/instance/theirs/postgresql",
            f"rds:{HERE}:db:theirs",
            f"rds:{HERE}:snapshot:theirs",
            f"scheduler:{HERE}:schedule/default/theirs",
            f"secretsmanager:{HERE}:secret:theirs",
            f"secretsmanager:{HERE}:secret:rds!db-1",
            f"sns:{HERE}:theirs",
            f"sqs:{HERE}:theirs",
            f"ssm:{HERE}:parameter/theirs",
        )
    ),
]
"""Resources that do not belong to project retailpipe."""


def test_the_docs_list_every_deployer_action_on_resources_of_other_projects(deployer: dict[str, Any]) -> None:
    found = {
        action
        for action in actions_of(deployer)
        for resource in FOREIGN
        if resource.split(":")[2] == action.split(":")[0] and is_allowed(deployer, action, resource)
    }

    section = (TOP / "docs" / "aws.md").read_text().partition("### Not limited by name")[2].partition("\n#")[0]
    assert set(re.findall(r"`([a-z0-9]+:[A-Za-z*]+)`", section)) == found


def test_a_deployer_can_attach_only_the_projects_policies_to_users(deployer: dict[str, Any]) -> None:
    user = f"arn:aws:iam::{ACCOUNT}:user/student-1"
    for action in ("iam:AttachUserPolicy", "iam:DetachUserPolicy"):
        project_policy = {"iam:PolicyARN": f"arn:aws:iam::{ACCOUNT}:policy/retailpipe-dev-student-eu-central-1"}
        assert is_allowed(deployer, action, user, project_policy)
        assert not is_allowed(deployer, action, user, {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"})
        assert not is_allowed(deployer, action, user)


def test_each_policy_of_a_deployer_fits_into_a_managed_policy() -> None:
    for file in (FILE, WORKERS_FILE):
        assert len(json.dumps(json.loads(file.read_text()), separators=(",", ":"))) <= MAX_CHARACTERS


def test_a_deployer_can_pass_roles_only_to_lambda_scheduler_and_tasks(deployer: dict[str, Any]) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/retailpipe-dev-check-bucket-eu-central-1"

    for service in ("lambda", "scheduler", "ecs-tasks"):
        assert is_allowed(deployer, "iam:PassRole", role, {"iam:PassedToService": f"{service}.amazonaws.com"})
    assert not is_allowed(deployer, "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})
    assert not is_allowed(
        deployer, "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/admin", {"iam:PassedToService": "lambda.amazonaws.com"}
    )


def test_is_allowed_follows_the_rules_of_iam() -> None:
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::mine/*"},
            {"Effect": "Deny", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::mine/secret?"]},
        ]
    }

    assert is_allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/a")
    assert is_allowed(policy, "S3:getobject", "arn:aws:s3:::mine/a")
    assert not is_allowed(policy, "s3:PutObject", "arn:aws:s3:::mine/a")
    assert not is_allowed(policy, "s3:GetObject", "arn:aws:s3:::Mine/a")
    assert not is_allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/secret1")
    assert is_allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/secret12")
    with pytest.raises(NotImplementedError):
        is_allowed({"Statement": [{"Effect": "Allow", "NotAction": "s3:*", "Action": "*"}]}, "s3:GetObject", "a")
