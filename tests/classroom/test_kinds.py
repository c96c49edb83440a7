"""The names in `aws/kinds.py` are those that the Pulumi program gives to its resources."""

from __future__ import annotations

import pytest

from retailpipe.aws.kinds import KINDS, Place
from retailpipe.aws.session import Aws
from retailpipe.names import Names
from tests.infra.test_program import EVERYTHING, NAME_PROPERTIES
from tests.support.declared import ACCOUNT, declare
from tests.support.stacks import REGION

ABOUT = {
    "Bucket": "bucket",
    "Instance": "database",
    "SubnetGroup": "subnet group",
    "ParameterGroup": "parameter group",
    "SecurityGroup": "security group",
    "LogGroup": "log group",
    "Role": "role",
    "Policy": "policy",
    "Queue": "queue",
    "Topic": "topic",
    "EventRule": "rule",
    "Schedule": "schedule",
    "Function": "function",
    "MetricAlarm": "alarm",
    "Dashboard": "dashboard",
    "Parameter": "parameter",
    "Budget": "budget",
    "Vpc": "network",
}
PARTS_OF_A_NETWORK = {
    *("Subnet", "RouteTable", "InternetGateway", "VpcEndpoint", "NatGateway", "Eip", "DefaultSecurityGroup"),
    "SecurityGroupIngressRule",
}
"""Their names are tags; they are found by these."""


@pytest.mark.parametrize("config", [EVERYTHING, {"classroom": "true"}], ids=["student", "classroom"])
def test_every_declared_resource_with_a_name_is_looked_for(config: dict[str, str]) -> None:
    declared = declare(config, stack="anna", project="retailpipe", region=REGION)
    place, names = Place(Aws(region=REGION), "retailpipe", ACCOUNT), Names("retailpipe", "anna")
    wanted = {(kind.about, name) for kind in KINDS for name in kind.names(names, place)}

    found: set[tuple[str, str]] = set()
    for each in declared.custom:
        named = [str(each.inputs[name]) for name in NAME_PROPERTIES if name in each.inputs]
        if each.kind == "Vpc":
            named = [each.inputs["tags"]["Name"]]
        if each.kind in ABOUT:
            found.add((ABOUT[each.kind], named[0]))
        elif each.kind not in PARTS_OF_A_NETWORK:
            assert "tags" not in each.inputs, f"{each.kind} {each.name} is not looked for"

    assert found
    assert found - wanted == set()


def test_every_name_that_is_looked_for_is_declared_or_made_by_aws() -> None:
    declared = declare(EVERYTHING, stack="anna", region=REGION)
    names = {str(each.inputs[name]) for each in declared.custom for name in NAME_PROPERTIES if name in each.inputs}
    names |= {each.inputs["tags"]["Name"] for each in declared.of("Vpc")}
    place = Place(Aws(region=REGION), "retailpipe", ACCOUNT)
    wanted = {name for kind in KINDS for name in kind.names(Names("retailpipe", "anna"), place)}

    logs_of_rds = {f"/aws/rds/instance/retailpipe-anna-database/{log}" for log in ("upgrade", "iam-db-auth-error")}
    assert wanted - names == logs_of_rds
