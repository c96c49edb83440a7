"""Resources whose creation was cut off: the engine was killed after AWS was asked for them, before the state had them.

Pulumi's state lists them as pending. The next `class up` finds them, since their names or tags are deterministic, and
imports them into the state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from retailpipe.aws.session import Aws, aws_errors

_FIELD = re.compile(r"{(\w+)}")
_BY_NAME = {
    "aws:cloudwatch/logGroup:LogGroup": "{name}",
    "aws:iam/policy:Policy": "arn:{partition}:iam::{account}:policy/{name}",
    "aws:iam/role:Role": "{name}",
    "aws:lambda/function:Function": "{name}",
    "aws:rds/instance:Instance": "{identifier}",
    "aws:rds/parameterGroup:ParameterGroup": "{name}",
    "aws:rds/subnetGroup:SubnetGroup": "{name}",
    "aws:s3/bucket:Bucket": "{bucket}",
    "aws:scheduler/schedule:Schedule": "default/{name}",
    "aws:ssm/parameter:Parameter": "{name}",
    "aws:budgets/budget:Budget": "{account}:{name}",
    "aws:ec2/route:Route": "{routeTableId}_{destinationCidrBlock}",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "{subnetId}/{routeTableId}",
}
"""The ID of a resource by its type. AWS refuses to create a second one of that name."""

_BY_TAGS = {
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/internetGateway:InternetGateway": "internet-gateway",
    "aws:ec2/routeTable:RouteTable": "route-table",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "vpc-endpoint",
    "aws:ec2/securityGroup:SecurityGroup": "security-group",
}
"""Resources whose ID AWS chooses, with their type in EC2's list of tags."""

_INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


@dataclass(frozen=True)
class PendingCreate:
    """A resource whose creation was cut off.

    kind: its type, such as aws:rds/instance:Instance.
    inputs: its properties as the program declared them.
    """

    urn: str
    kind: str
    inputs: Mapping[str, Any]


def pending_creates(deployment: Mapping[str, Any]) -> list[PendingCreate]:
    """The resources in a stack's state whose creation was cut off."""
    operations = cast("list[dict[str, Any]]", deployment.get("pending_operations") or [])
    return [
        PendingCreate(each["resource"]["urn"], each["resource"]["type"], each["resource"].get("inputs", {}))
        for each in operations
        if each.get("type") == "creating"
    ]


def found_id(pending: PendingCreate, aws: Aws, account: str) -> str | None:
    """The ID of a pending resource, to import it; None if a second request to create it does no harm.

    If the resource was never created, the engine sees that when it reads this ID. Raises AwsError.
    """
    if pattern := _BY_NAME.get(pending.kind):
        values = {**pending.inputs, "account": account, "partition": aws.partition}
        return pattern.format_map(values) if all(values.get(name) for name in _FIELD.findall(pattern)) else None
    if kind := _BY_TAGS.get(pending.kind):
        return _tagged_id(pending.inputs, kind, aws)
    return _rule_id(pending.inputs, aws) if pending.kind == _INGRESS_RULE else None


def _tagged_id(inputs: Mapping[str, Any], kind: str, aws: Aws) -> str | None:
    """The ID of the EC2 resource of a type with the tags in `inputs`; None if there is none, or more than one.

    EC2 itself is asked, because the Resource Groups Tagging API is late with new resources.
    """
    tags = cast("dict[str, str]", inputs.get("tags") or {})
    ids: set[str] | None = None
    with aws_errors(f"find the {kind} {tags.get('Name', '')}"):
        for name in ("Name", "Pipeline"):
            wanted = {"resource-type": kind, "key": name, "value": tags.get(name, "")}
            filters = [{"Name": key, "Values": [value]} for key, value in wanted.items()]
            pages = aws.client("ec2").get_paginator("describe_tags").paginate(Filters=filters)
            found = {str(tag["ResourceId"]) for page in pages for tag in page["Tags"]}
            ids = found if ids is None else ids & found
    return ids.pop() if ids and len(ids) == 1 else None


def _rule_id(inputs: Mapping[str, Any], aws: Aws) -> str | None:
    """The ID of the rule of a security group for the same network; all rules of a group have the same tags."""
    group = str(inputs.get("securityGroupId", ""))
    with aws_errors(f"list the rules of the security group {group}"):
        pages = aws.client("ec2").get_paginator("describe_security_group_rules")
        rules = [
            rule
            for page in pages.paginate(Filters=[{"Name": "group-id", "Values": [group]}])
            for rule in page["SecurityGroupRules"]
        ]
    same = (inputs.get("cidrIpv4"), inputs.get("cidrIpv6"))
    ids = [
        str(r["SecurityGroupRuleId"])
        for r in rules
        if not r["IsEgress"] and (r.get("CidrIpv4"), r.get("CidrIpv6")) == same
    ]
    return ids[0] if ids else None
