"""The stacks of a class are isolated from each other: a student reaches nothing of another student's stack.

All stacks share one network and one account. The fast tests evaluate what the program declares; the others (`make
rehearse`) deploy a classroom stack and the stacks of two students on a simulated AWS with Terraform's real provider,
and evaluate what is there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from retailpipe.outputs import ClassroomOutputs
from tests.infra.test_classroom import CLASSROOM, declare_student
from tests.infra.test_program import as_list, statements
from tests.support.aws import moto_server
from tests.support.declared import ACCOUNT, CONFIG, Declared, declare
from tests.support.iam import actions_of, is_allowed
from tests.support.stacks import REGION
from tests.support.terraform.command import Terraform, skip_unless_installed
from tests.support.terraform.deployer import NOT_ON_MOTO
from tests.support.terraform.rewrite import rewrite

STUDENT, OTHER = "anna", "anna-b"
"""One name is the beginning of the other, as an imprecise pattern in a policy would not notice."""

HERE = f"{REGION}:{ACCOUNT}"
EMAIL = {"sns:Protocol": "email", "sns:Endpoint": "me@example.com"}


@pytest.fixture(scope="module")
def classroom() -> Declared:
    return declare(CLASSROOM, stack="classroom")


@pytest.fixture(scope="module")
def student(classroom: Declared) -> Declared:
    return declare_student(STUDENT, ClassroomOutputs.from_mapping(classroom.outputs))


@pytest.fixture(scope="module")
def other(classroom: Declared) -> Declared:
    return declare_student(OTHER, ClassroomOutputs.from_mapping(classroom.outputs))


def identity_policies(stack: Declared) -> dict[str, dict[str, Any]]:
    """The policies of a stack that are attached to users and roles, by the name of the resource."""
    return {
        each.name: json.loads(each.inputs["policy"]) for kind in ("Policy", "RolePolicy") for each in stack.of(kind)
    }


def unnamed(stack: str) -> set[str]:
    """The ARNs of a student's stack that are not those of declared resources, but of what is in them."""
    prefix = f"retailpipe-{stack}"
    bucket = f"arn:aws:s3:::{prefix}-{ACCOUNT}-{REGION}"
    groups = [f"/aws/lambda/{prefix}-notify-upload", f"/aws/lambda/{prefix}-check-bucket"]
    groups.append(f"/aws/rds/instance/{prefix}-database/postgresql")
    return {
        *(f"{bucket}/{key}" for key in ("input/online_retail.xlsx", "receipts/online_retail.xlsx/1.json", "other")),
        *(f"arn:aws:logs:{HERE}:log-group:{group}:log-stream:1" for group in groups),
        *(f"arn:aws:logs:{HERE}:log-group:{group}:*" for group in groups),
        f"arn:aws:ssm:{HERE}:parameter/retailpipe/{stack}/outputs",
        f"arn:aws:rds:{HERE}:db:{prefix}-database",
        f"arn:aws:iam::{ACCOUNT}:user/{stack}",
    }


def arns_of(stack: Declared) -> set[str]:
    """The ARNs of all resources of a stack."""
    arns = {str(each.computed["arn"]) for each in stack.custom}
    for instance in stack.of("Instance"):
        arns |= {secret["secretArn"] for secret in instance.computed["masterUserSecrets"]}
        arns |= unnamed(stack.outputs["stack"])
    return arns


def allowed(policy: Mapping[str, Any], arns: set[str]) -> set[tuple[str, str]]:
    """What a policy allows on these resources: pairs of action and ARN."""
    return {(action, arn) for action in actions_of(policy) for arn in arns if is_allowed(policy, action, arn, EMAIL)}


def test_no_policy_of_a_stack_allows_anything_on_another_students_stack_or_the_classroom(
    student: Declared, other: Declared, classroom: Declared
) -> None:
    policies = identity_policies(student)

    assert {name.removeprefix("pipeline-") for name in policies} == {
        "student-policy", "functions-notify-upload", "functions-check-bucket", "nightly-nightly-stop", "expiry-expiry",
    }  # fmt: skip
    for name, policy in policies.items():
        assert allowed(policy, arns_of(student)), name
        assert allowed(policy, arns_of(other)) == set(), name
        assert allowed(policy, arns_of(classroom)) == set(), name


def test_it_is_the_same_in_the_other_direction(student: Declared, other: Declared) -> None:
    for name, policy in identity_policies(other).items():
        assert allowed(policy, arns_of(student)) == set(), name


def test_resource_policies_let_in_only_services_on_behalf_of_the_same_stack(
    student: Declared, classroom: Declared
) -> None:
    """Within an account, a resource policy alone can grant access. None of them names a user, a role or an account."""
    found = 0
    for stack in (student, classroom):
        own = arns_of(stack)
        for resource in stack.custom:
            if resource.kind in ("Policy", "RolePolicy"):
                continue
            for statement in statements(resource):
                if statement["Effect"] == "Allow":
                    found += 1
                    assert statement["Principal"].keys() == {"Service"}, resource.urn
                    for keys in statement.get("Condition", {}).values():
                        for key, value in keys.items():
                            assert key in ("aws:SourceAccount", "aws:SourceArn"), resource.urn
                            assert value == ACCOUNT or value in own, resource.urn
            if resource.kind == "Permission":
                found += 1
                assert resource.inputs["principal"].endswith(".amazonaws.com")
                assert resource.inputs["sourceArn"] in own
    assert found >= 8


def test_only_the_networks_of_the_student_reach_the_database(student: Declared) -> None:
    """Not the other databases, although they are in the same network: no rule names the network or another group."""
    (group,) = student.of("SecurityGroup")

    assert student.one("Instance").inputs["vpcSecurityGroupIds"] == [group.computed["id"]]
    assert not group.inputs.get("ingress")
    for rule in student.of("SecurityGroupIngressRule"):
        assert rule.inputs["cidrIpv4"] in as_list(CONFIG["allowedCidrs"])
        assert rule.inputs["securityGroupId"] == group.computed["id"]
        assert not rule.inputs.keys() & {"referencedSecurityGroupId", "prefixListId"}


@dataclass
class Class:
    """A class on the simulated AWS: the outputs of its classroom stack, and a deployed Terraform program per stack."""

    outputs: ClassroomOutputs
    terraform: dict[str, Terraform]
    endpoint: str
    shown: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        return boto3.Session("test", "test", region_name=REGION).client(service, endpoint_url=self.endpoint)

    def resources(self, stack: str) -> dict[str, dict[str, Any]]:
        """The values of the resources that Terraform's provider deployed, by address."""
        if stack not in self.shown:
            self.shown[stack] = self.terraform[stack].json("show", "-json")["values"]["root_module"]["resources"]
        return {each["address"]: each["values"] for each in self.shown[stack]}

    def arns(self, stack: str) -> set[str]:
        """The ARNs of everything that is in a stack, as AWS generated them."""
        resources = self.resources(stack).values()
        found = {each[key] for each in resources for key in ("arn", "policy_arn") if each.get(key)}
        for each in resources:
            found |= {secret["secret_arn"] for secret in each.get("master_user_secret") or []}
        return found if stack == "classroom" else found | unnamed(stack)

    def attached(self, user: str) -> dict[str, Any]:
        """The only policy that a user has, as IAM stores it."""
        iam = self.client("iam")
        (policy,) = iam.list_attached_user_policies(UserName=user)["AttachedPolicies"]
        version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
        stored = iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"]["Document"]
        assert iam.list_user_policies(UserName=user)["PolicyNames"] == []
        assert iam.list_groups_for_user(UserName=user)["Groups"] == []
        iam.close()
        return stored


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Class]:
    skip_unless_installed()

    def deploy(stack: str, declared: Declared) -> Terraform:
        folder: Path = tmp_path_factory.mktemp(stack)
        program = rewrite(declared, folder, leave_out=NOT_ON_MOTO)
        terraform = Terraform(folder, program, region=REGION, endpoint=endpoint)
        terraform.run("apply", "-auto-approve")
        return terraform

    with moto_server() as endpoint:
        classroom = deploy("classroom", declare(CLASSROOM, stack="classroom"))
        exported = classroom.json("output", "-json")
        outputs = ClassroomOutputs.from_mapping({name: each["value"] for name, each in exported.items()})
        stacks = {name: declare_student(name, outputs) for name in (STUDENT, OTHER)}
        made = Class(outputs, {"classroom": classroom}, endpoint)
        iam = made.client("iam")
        for user in stacks:
            iam.create_user(UserName=user)
        iam.close()
        with ThreadPoolExecutor(2) as pool:
            made.terraform |= dict(zip(stacks, pool.map(deploy, stacks, stacks.values()), strict=True))
        yield made


@pytest.mark.rehearse
def test_a_deployed_students_policy_allows_nothing_on_another_stack(deployed: Class) -> None:
    for user, stranger in ((STUDENT, OTHER), (OTHER, STUDENT)):
        policy = deployed.attached(user)

        assert len({arn for _, arn in allowed(policy, deployed.arns(user))}) >= 15
        assert allowed(policy, deployed.arns(stranger)) == set()
        assert allowed(policy, deployed.arns("classroom")) == set()


@pytest.mark.rehearse
def test_nothing_that_holds_data_or_gives_access_is_in_two_stacks(deployed: Class) -> None:
    """Deployed resources have only the network in common, which they do not contain themselves."""
    arns = {stack: deployed.arns(stack) for stack in deployed.terraform}
    assert not arns[STUDENT] & arns[OTHER]
    assert not (arns[STUDENT] | arns[OTHER]) & arns["classroom"]
    for stack in (STUDENT, OTHER):
        kinds = {address.split(".")[0] for address in deployed.resources(stack)}
        assert not kinds & {"aws_vpc", "aws_subnet", "aws_route_table", "aws_internet_gateway", "aws_vpc_endpoint"}


@pytest.mark.rehearse
def test_the_databases_are_in_one_network_but_in_groups_of_their_own(deployed: Class) -> None:
    rds, ec2 = deployed.client("rds"), deployed.client("ec2")
    databases = {each["DBInstanceIdentifier"]: each for each in rds.describe_db_instances()["DBInstances"]}
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [deployed.outputs.vpc_id]}])
    rds.close()
    ec2.close()

    assert databases.keys() == {f"retailpipe-{name}-database" for name in (STUDENT, OTHER)}
    used = [group["VpcSecurityGroupId"] for each in databases.values() for group in each["VpcSecurityGroups"]]
    assert len(used) == len(set(used)) == 2
    for group in groups["SecurityGroups"]:
        for rule in group["IpPermissions"]:
            assert rule.get("UserIdGroupPairs", []) == []
            assert {each["CidrIp"] for each in rule["IpRanges"]} == {CONFIG["allowedCidrs"]}
    subnets = {subnet["SubnetIdentifier"] for each in databases.values() for subnet in each["DBSubnetGroup"]["Subnets"]}
    assert subnets == set(deployed.outputs.subnet_ids)


@pytest.mark.rehearse
def test_every_deployed_database_has_a_schedule_that_deletes_it(deployed: Class) -> None:
    scheduler = deployed.client("scheduler")
    inputs = {
        each["Name"]: json.loads(scheduler.get_schedule(Name=each["Name"])["Target"]["Input"])
        for each in scheduler.list_schedules()["Schedules"]
        if each["Name"].endswith("-expiry-delete")
    }
    scheduler.close()

    assert {each["DbInstanceIdentifier"] for each in inputs.values()} == {
        f"retailpipe-{name}-database" for name in (STUDENT, OTHER)
    }


@pytest.mark.rehearse
def test_a_student_who_leaves_takes_nothing_of_the_others_along(deployed: Class) -> None:
    """The last test: it destroys a stack."""
    deployed.terraform[OTHER].run("destroy", "-auto-approve")
    plans = {stack: deployed.terraform[stack].call("plan", "-detailed-exitcode") for stack in ("classroom", STUDENT)}

    assert deployed.terraform[OTHER].run("state", "list") == ""
    assert {stack: plan.returncode for stack, plan in plans.items()} == {"classroom": 0, STUDENT: 0}, plans
