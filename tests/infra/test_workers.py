"""Workers on AWS as the program declares them: who reaches whom, and what the tasks and a student may do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from retailpipe.outputs import StackOutputs
from tests.infra.test_program import CONFIG, WITH_EXISTING_VPC, WITH_WORKERS, WITHOUT_ROLES
from tests.support.declared import ACCOUNT, Declared, declare
from tests.support.iam import actions_of, is_allowed
from tests.support.terraform.command import skip_unless_installed
from tests.support.terraform.deployer import FILE, REHEARSED_WORKERS, WORKERS_FILE, policy_for_workers, rehearse

HERE = f"eu-central-1:{ACCOUNT}"


@pytest.fixture(scope="module")
def declared() -> Declared:
    return declare(WITH_WORKERS)


@pytest.fixture(scope="module")
def others() -> list[Declared]:
    """Stacks whose names begin as that of `declared` does."""
    return [declare(WITH_WORKERS, stack=name) for name in ("dev-workers", "dev2", "other")]


def group(declared: Declared, name: str) -> str:
    return declared.one("SecurityGroup", name).computed["id"]


def policy_of(declared: Declared, kind: str, name: str = "") -> dict[str, Any]:
    return json.loads(declared.one(kind, name).inputs["policy"])


def container(declared: Declared) -> dict[str, Any]:
    (only,) = json.loads(declared.one("TaskDefinition").inputs["containerDefinitions"])
    return only


def test_a_stack_has_no_workers_unless_they_are_set() -> None:
    without = declare()

    assert not [each.urn for each in without.custom if each.type.startswith("aws:ecs") or "worker" in each.name]
    assert without.outputs.keys().isdisjoint({"workers", "worker_group"})
    assert "the workers (set workers " in " ".join(without.messages)


def test_only_members_of_the_group_reach_the_workers(declared: Declared) -> None:
    own = group(declared, "workers")
    into = [rule.inputs for rule in declared.of("SecurityGroupIngressRule") if rule.inputs["securityGroupId"] == own]

    assert [(rule["referencedSecurityGroupId"], rule["fromPort"], rule["toPort"]) for rule in into] == [
        (own, 8786, 8787)
    ]
    assert not any(rule.keys() & {"cidrIpv4", "cidrIpv6", "prefixListId"} for rule in into)
    assert not declared.one("SecurityGroup", "workers").inputs.keys() & {"ingress", "egress"}
    assert not declared.of("NatGateway")
    assert "portMappings" not in container(declared)


def test_the_workers_reach_each_other_the_database_and_https(declared: Declared) -> None:
    out = [rule.inputs for rule in declared.of("SecurityGroupEgressRule")]

    assert {rule["securityGroupId"] for rule in out} == {group(declared, "workers")}
    assert {(rule.get("referencedSecurityGroupId") or rule["cidrIpv4"], rule["fromPort"]) for rule in out} == {
        (group(declared, "workers"), 8786),
        (group(declared, "database"), 5432),
        ("0.0.0.0/0", 443),
    }


def test_the_workers_are_the_only_group_that_reaches_the_database(declared: Declared) -> None:
    rules = [rule.inputs for rule in declared.of("SecurityGroupIngressRule")]
    into = [rule for rule in rules if rule["securityGroupId"] == group(declared, "database")]

    assert {(rule["fromPort"], rule["toPort"]) for rule in into} == {(5432, 5432)}
    assert {rule.get("cidrIpv4") or rule["referencedSecurityGroupId"] for rule in into} == {
        CONFIG["allowedCidrs"],
        group(declared, "workers"),
    }


def test_a_task_is_small_read_only_and_logs_to_the_group_of_the_stack(declared: Declared) -> None:
    task, one = declared.one("TaskDefinition").inputs, container(declared)

    assert (task["cpu"], task["memory"], task["networkMode"]) == ("1024", "2048", "awsvpc")
    assert task["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    assert (one["readonlyRootFilesystem"], one["linuxParameters"]["capabilities"]) == (True, {"drop": ["ALL"]})
    assert [each["containerPath"] for each in one["mountPoints"]] == ["/scratch"]
    log_group = declared.one("LogGroup", "workers")
    assert one["logConfiguration"]["options"]["awslogs-group"] == log_group.inputs["name"]
    assert StackOutputs.from_mapping(declared.outputs).log_groups["workers"] == log_group.inputs["name"]
    assert log_group.urn in declared.one("TaskDefinition").dependencies
    assert "secret" not in json.dumps(one["environment"]).lower()
    assert len(declared.one("TaskDefinition").inputs["containerDefinitions"]) < 60_000  # ECS takes 64 KB


def arns(stack: Declared, name: str) -> dict[str, str]:
    """The ARNs of a stack with which a worker or a student could have to do."""
    prefix, bucket = f"retailpipe-{name}", stack.one("Bucket").computed["arn"]
    (secret,) = stack.one("Instance").computed["masterUserSecrets"]
    return {
        "task definition": f"arn:aws:ecs:{HERE}:task-definition/{prefix}-workers:3",
        "task": f"arn:aws:ecs:{HERE}:task/{prefix}-workers/0123",
        "cluster": f"arn:aws:ecs:{HERE}:cluster/{prefix}-workers",
        "task role": f"arn:aws:iam::{ACCOUNT}:role/{prefix}-workers-eu-central-1",
        "start role": f"arn:aws:iam::{ACCOUNT}:role/{prefix}-worker-start-eu-central-1",
        "certificate": f"arn:aws:secretsmanager:{HERE}:secret:{prefix}/workers/run1-AbCdEf",
        "password": secret["secretArn"],
        "bucket": bucket,
        "workbook": f"{bucket}/input/a.xlsx",
        "receipt": f"{bucket}/receipts/a.json",
        "report": f"{bucket}/reports/1.html",
        "packages": f"{bucket}/workers/packages/1.json",
        "run": f"{bucket}/workers/runs/1/result.json",
        "log": f"arn:aws:logs:{HERE}:log-group:/ecs/{prefix}-workers:stream",
        "database": f"arn:aws:rds:{HERE}:db:{prefix}-database",
    }


def allowed(policy: dict[str, Any], stack: Declared, name: str) -> dict[str, str]:
    context = {
        "ecs:cluster": arns(stack, name)["cluster"],
        "ecs:CreateAction": "RunTask",
        "iam:PassedToService": "ecs-tasks.amazonaws.com",
    }
    found = {
        what: " ".join(action for action in actions_of(policy) if is_allowed(policy, action, arn, context))
        for what, arn in arns(stack, name).items()
    }
    return {what: actions for what, actions in found.items() if actions}


TASK_MAY = {
    "certificate": "secretsmanager:DeleteSecret secretsmanager:GetSecretValue",
    "password": "secretsmanager:GetSecretValue",
    "bucket": "s3:ListBucket",
    "workbook": "s3:GetObject s3:GetObjectVersion",
    "receipt": "s3:GetObject s3:PutObject",
    "packages": "s3:GetObject",
    "run": "s3:GetObject s3:PutObject",
}
STUDENT_MAY = {
    "task definition": "ecs:RunTask",
    "task": "ecs:DescribeTasks ecs:StopTask ecs:TagResource",
    "task role": "iam:PassRole",
    "start role": "iam:PassRole",
    "certificate": "secretsmanager:CreateSecret secretsmanager:DeleteSecret secretsmanager:TagResource",
    "packages": "s3:GetObject s3:PutObject",
    "run": "s3:GetObject s3:PutObject",
    "log": "logs:FilterLogEvents logs:GetLogEvents",
}


def test_a_task_may_do_exactly_these_actions(declared: Declared) -> None:
    assert allowed(policy_of(declared, "RolePolicy", "workers-workers"), declared, "dev") == TASK_MAY
    assert allowed(policy_of(declared, "RolePolicy", "workers-worker-start"), declared, "dev") == {
        "log": "logs:CreateLogStream logs:PutLogEvents"
    }


def test_a_student_may_run_see_and_stop_only_tasks_of_the_stack(declared: Declared, others: list[Declared]) -> None:
    policy = policy_of(declared, "Policy")

    found = allowed(policy, declared, "dev")
    assert {what: found.get(what) for what in STUDENT_MAY} == STUDENT_MAY
    assert "cluster" not in found
    elsewhere = {"ecs:cluster": f"arn:aws:ecs:{HERE}:cluster/default"}
    assert not is_allowed(policy, "ecs:RunTask", arns(declared, "dev")["task definition"], elsewhere)
    to_lambda = {"iam:PassedToService": "lambda.amazonaws.com"}
    assert not is_allowed(policy, "iam:PassRole", arns(declared, "dev")["task role"], to_lambda)


def test_neither_a_task_nor_a_student_may_do_anything_with_another_stack(
    declared: Declared, others: list[Declared]
) -> None:
    policies = [policy_of(declared, "Policy")]
    policies += [policy_of(declared, "RolePolicy", f"workers-{part}") for part in ("workers", "worker-start")]

    for other in others:
        for policy in policies:
            assert allowed(policy, other, other.outputs["stack"]) == {}


def test_workers_use_an_existing_network_and_an_existing_role() -> None:
    declared = declare({**WITH_EXISTING_VPC, **WITHOUT_ROLES, "workers": "2"})

    task = declared.one("TaskDefinition").inputs
    assert task["taskRoleArn"] == task["executionRoleArn"] == WITHOUT_ROLES["existingRoleArn"]
    assert declared.outputs["worker_subnets"] == "subnet-0a,subnet-0b"
    assert declared.one("SecurityGroup", "workers").inputs["vpcId"] == "vpc-0a1"


@pytest.mark.rehearse
def test_the_deployers_policies_allow_every_call_for_workers() -> None:
    """With Terraform's provider on moto. `python -m tests.support.terraform.deployer` writes the policy again."""
    skip_unless_installed()

    calls = rehearse(REHEARSED_WORKERS)

    assert json.loads(WORKERS_FILE.read_text()) == policy_for_workers(calls, json.loads(FILE.read_text()))
