"""The classroom stack of a class: what it declares, and how the students' stacks use it."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from retailpipe.classroom.definition import CLASS_DEFAULTS
from retailpipe.errors import OutputsError
from retailpipe.outputs import ClassroomOutputs, StackOutputs
from tests.infra.test_program import EXPIRES_ON, UNTAGGED, physical_name, statements
from tests.infra.test_settings import DEFAULTS
from tests.support.declared import ACCOUNT, CONFIG, Declared, declare

CLASSROOM: dict[str, Any] = {
    "classroom": "true",
    "monthlyBudget": "180",
    "notifyEmails": "teacher@example.com",
    "owner": "teacher@example.com",
    "expiresOn": EXPIRES_ON,
}


@pytest.fixture(scope="module")
def classroom() -> Declared:
    return declare(CLASSROOM, stack="classroom")


@pytest.fixture(scope="module")
def outputs(classroom: Declared) -> ClassroomOutputs:
    return ClassroomOutputs.from_mapping(classroom.outputs)


@pytest.fixture(scope="module")
def student(outputs: ClassroomOutputs) -> Declared:
    return declare_student("anna", outputs)


def declare_student(name: str, classroom: ClassroomOutputs) -> Declared:
    """A student's stack with the defaults of a class, in the network of its classroom stack."""
    own = {"studentUser": name, "owner": f"{name}@example.com", "expiresOn": EXPIRES_ON}
    return declare({**CONFIG, **CLASS_DEFAULTS, **own, **classroom.settings}, stack=name)


def test_it_has_a_network_a_budget_and_a_topic_but_nothing_that_holds_data_or_gives_access(classroom: Declared) -> None:
    assert {resource.kind for resource in classroom.custom} == {
        "Vpc", "DefaultSecurityGroup", "InternetGateway", "RouteTable", "Route", "Subnet", "RouteTableAssociation",
        "VpcEndpoint", "Topic", "TopicPolicy", "TopicSubscription", "Budget",
    }  # fmt: skip


def test_a_preview_declares_the_same_resources_as_an_update(classroom: Declared) -> None:
    preview = declare(CLASSROOM, stack="classroom", preview=True)

    assert {resource.urn for resource in preview.resources} == {resource.urn for resource in classroom.resources}
    assert preview.outputs.keys() == classroom.outputs.keys()


def test_the_engines_defaults_change_nothing(classroom: Declared) -> None:
    declared = declare({**DEFAULTS, **CLASSROOM}, stack="classroom")

    assert {each.urn: each for each in declared.resources} == {each.urn: each for each in classroom.resources}


def test_the_outputs_name_the_subnets_for_databases(classroom: Declared, outputs: ClassroomOutputs) -> None:
    public = {each.computed["id"] for each in classroom.of("Subnet") if "public" in each.name}

    assert (outputs.project, outputs.stack, outputs.kind) == ("retailpipe", "classroom", "classroom")
    assert (outputs.account_id, outputs.region) == (ACCOUNT, "eu-central-1")
    assert outputs.vpc_id == classroom.one("Vpc").computed["id"]
    assert set(outputs.subnet_ids) == public
    assert len(public) == 2
    assert outputs.topic_arn == classroom.one("Topic").computed["arn"]
    assert json.loads(json.dumps(outputs.as_dict()))["vpc_id"] == outputs.vpc_id


def test_names_and_tags_are_those_of_the_stack(classroom: Declared) -> None:
    for resource in classroom.custom:
        if found := physical_name(resource):
            assert found[1].startswith("retailpipe-classroom-"), resource.urn
        tags = resource.inputs.get("tags")
        assert tags or resource.kind in UNTAGGED, resource.urn
        if tags:
            assert (tags["Project"], tags["Stack"], tags["Ephemeral"]) == ("retailpipe", "classroom", "true")
            assert (tags["Owner"], tags["ExpiresOn"]) == ("teacher@example.com", EXPIRES_ON)


def test_the_budget_counts_the_resources_of_all_stacks_of_the_class(classroom: Declared, student: Declared) -> None:
    budget = classroom.one("Budget").inputs

    (filtered,) = budget["costFilters"]
    assert filtered == {"name": "TagKeyValue", "values": ["user:Project$retailpipe"]}
    assert budget["limitAmount"] == "180"
    for stack in (classroom, student):
        tagged = [resource for resource in stack.custom if "tags" in resource.inputs]
        assert {resource.inputs["tags"]["Project"] for resource in tagged} == {"retailpipe"}
        assert {resource.kind for resource in stack.custom} - {each.kind for each in tagged} <= UNTAGGED


def test_the_budgets_notices_go_to_the_topic_and_from_there_to_people(classroom: Declared) -> None:
    topic = classroom.one("Topic").computed["arn"]

    for notification in classroom.one("Budget").inputs["notifications"]:
        assert notification["subscriberSnsTopicArns"] == [topic]
    assert classroom.one("TopicPolicy").urn in classroom.one("Budget").dependencies
    assert classroom.one("TopicSubscription").inputs["endpoint"] == "teacher@example.com"
    (denied,) = [each for each in statements(classroom.one("TopicPolicy")) if each["Effect"] == "Deny"]
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_the_budget_can_be_left_out() -> None:
    assert not declare({"classroom": "true", "monthlyBudget": "0"}, stack="classroom").of("Budget")


def test_a_students_database_is_in_the_network_of_the_classroom(student: Declared, outputs: ClassroomOutputs) -> None:
    assert student.one("SecurityGroup").inputs["vpcId"] == outputs.vpc_id
    assert student.one("SubnetGroup").inputs["subnetIds"] == list(outputs.subnet_ids)
    assert not [each.urn for each in student.resources if each.kind in ("Vpc", "Subnet", "InternetGateway")]


def test_a_students_stack_is_cheaper_than_a_single_one_and_expires(student: Declared) -> None:
    kinds = {resource.kind for resource in student.custom}

    assert not kinds & {"MetricAlarm", "Dashboard", "Budget"}
    assert {each.name.removeprefix("pipeline-") for each in student.of("Schedule")} == {
        "nightly-schedule", "expiry-delete", "expiry-notice",
    }  # fmt: skip


def test_invalid_settings_are_reported_before_anything_is_declared() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        declare({**CLASSROOM, "natGateway": "true", "notifyEmails": "me"}, stack="classroom")

    assert "- natGateway is not a setting of a classroom stack" in str(caught.value)
    assert "- notifyEmails: 'me' is not an email address" in str(caught.value)


def test_the_outputs_of_the_two_kinds_of_stacks_are_not_confused(classroom: Declared, student: Declared) -> None:
    with pytest.raises(OutputsError, match="the outputs are those of a classroom stack"):
        StackOutputs.from_mapping(classroom.outputs)
    with pytest.raises(OutputsError, match="the outputs are not those of a classroom stack"):
        ClassroomOutputs.from_mapping(student.outputs)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": None}, "are not from a retailpipe stack: they have no version"),
        ({"version": 2}, "have version 2, from a newer retailpipe"),
        ({"vpc_id": None}, "have no vpc_id"),
        ({"subnet_ids": "subnet-0a"}, "have no subnet_ids"),
    ],
)
def test_incomplete_outputs_are_refused(classroom: Declared, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(OutputsError, match=f"the outputs of stack classroom {reason}"):
        ClassroomOutputs.from_mapping({**classroom.outputs, **changes}, "the outputs of stack classroom")
