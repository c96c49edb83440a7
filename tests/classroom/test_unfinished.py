"""Which resources a killed engine left: their IDs, from their names, their tags, or EC2's rules."""

from __future__ import annotations

from typing import Any

import pytest

from retailpipe.aws.session import Aws
from retailpipe.classroom.engine.unfinished import PendingCreate, found_id, pending_creates
from tests.support.stacks import HandMade

ACCOUNT = "123456789012"
TAGS = {"Name": "retailpipe-anna-database", "Pipeline": "retailpipe-anna"}
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


def pending(kind: str, **inputs: Any) -> PendingCreate:
    return PendingCreate(f"urn:pulumi:anna::retailpipe::{kind}::x", kind, inputs)


@pytest.mark.parametrize(
    ("kind", "inputs", "identifier"),
    [
        ("aws:rds/instance:Instance", {"identifier": "retailpipe-anna-database"}, "retailpipe-anna-database"),
        ("aws:iam/policy:Policy", {"name": "p"}, f"arn:aws:iam::{ACCOUNT}:policy/p"),
        ("aws:scheduler/schedule:Schedule", {"name": "s"}, "default/s"),
        ("aws:ec2/route:Route", {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"}, "rtb-1_0.0.0.0/0"),
        ("aws:iam/role:Role", {}, None),
        ("aws:sns/topic:Topic", {"name": "t"}, None),
    ],
)
def test_a_unique_name_gives_the_id(aws: Aws, kind: str, inputs: dict[str, Any], identifier: str | None) -> None:
    assert found_id(pending(kind, **inputs), aws, ACCOUNT) == identifier


def test_a_group_is_found_by_its_tags_and_a_rule_by_its_network(aws: Aws, account: HandMade) -> None:
    ec2 = account.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    tags = [{"Key": name, "Value": value} for name, value in TAGS.items()]
    group = ec2.create_security_group(
        GroupName="database",
        Description="database",
        VpcId=vpc,
        TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
    )["GroupId"]
    networks = ("203.0.113.7/32", "203.0.113.8/32")
    for network in networks:
        ranges = [{"CidrIp": network}]
        permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": ranges}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])["SecurityGroupRules"]
    by_network = {rule["CidrIpv4"]: rule["SecurityGroupRuleId"] for rule in rules if not rule["IsEgress"]}

    found = [found_id(pending(RULE, securityGroupId=group, cidrIpv4=network), aws, ACCOUNT) for network in networks]

    assert found == [by_network[network] for network in networks]
    assert found_id(pending(RULE, securityGroupId=group, cidrIpv4="192.0.2.1/32"), aws, ACCOUNT) is None
    assert found_id(pending("aws:ec2/securityGroup:SecurityGroup", tags=TAGS), aws, ACCOUNT) == group
    other = {**TAGS, "Pipeline": "retailpipe-ben"}
    assert found_id(pending("aws:ec2/securityGroup:SecurityGroup", tags=other), aws, ACCOUNT) is None


def test_only_creations_are_unfinished() -> None:
    operation = {"resource": {"urn": "u", "type": "t", "inputs": {"name": "n"}}, "type": "creating"}
    state = {"pending_operations": [operation, {**operation, "type": "deleting"}]}

    assert pending_creates(state) == [PendingCreate("u", "t", {"name": "n"})]
    assert pending_creates({}) == []
