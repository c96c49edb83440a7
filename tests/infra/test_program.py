"""What the Pulumi program declares with different settings: least privilege, TLS, encryption, tags, names, order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest

from retailpipe.outputs import MAX_BYTES, StackOutputs
from tests.support.declared import ACCOUNT, CONFIG, Declared, Resource, declare, is_unknown

EXPIRES_ON = (datetime.now(UTC).date() + timedelta(days=90)).isoformat()
KEPT = {**CONFIG, "ephemeral": "false"}
WITHOUT_ROLES = {**CONFIG, "existingRoleArn": f"arn:aws:iam::{ACCOUNT}:role/LabRole"}
WITH_EXISTING_VPC = {**CONFIG, "existingVpcId": "vpc-0a1", "existingSubnetIds": "subnet-0a,subnet-0b"}
EVERYTHING = {
    "allowedCidrs": "203.0.113.7/32,2001:db8::/48",
    "natGateway": "true",
    "notifyEmails": "me@example.com,you@example.com",
    "nightlyStop": "22:30",
    "nightlyStopTimeZone": "Europe/Berlin",
    "sourceUrl": "https://example.com/sales.xlsx",
    "scheduleEnabled": "true",
    "owner": "me@example.com",
    "studentUser": "student-1",
    "expiresOn": EXPIRES_ON,
}
LEAST = {**CONFIG, "monthlyBudget": "0", "dashboard": "false", "alarms": "false", "studentPolicy": "false"}
WITH_WORKERS = {**CONFIG, "workers": "16"}
SETTINGS = {
    "required settings only": CONFIG,
    "kept": KEPT,
    "without roles": WITHOUT_ROLES,
    "in a network": WITH_EXISTING_VPC,
    "everything": EVERYTHING,
    "no optional parts": LEAST,
    "with workers": WITH_WORKERS,
}
"""Configs that together contain every setting that changes which resources are declared."""

UNTAGGED = {
    "BucketVersioning", "BucketServerSideEncryptionConfiguration", "BucketOwnershipControls", "BucketPolicy",
    "BucketPublicAccessBlock", "BucketLifecycleConfiguration", "BucketNotification", "TopicPolicy", "TopicSubscription",
    "QueuePolicy", "RolePolicy", "Permission", "EventTarget", "Route", "RouteTableAssociation", "Dashboard", "Schedule",
    "FunctionEventInvokeConfig", "UserPolicyAttachment", "ClusterCapacityProviders",
}  # fmt: skip
"""Kinds of resources that cannot have tags."""

NAME_PROPERTIES = ("bucket", "identifier", "dashboardName", "name")


@pytest.fixture(scope="module", params=SETTINGS.values(), ids=SETTINGS.keys())
def declared(request: pytest.FixtureRequest) -> Declared:
    return declare(request.param)


@pytest.fixture(scope="module")
def default() -> Declared:
    return declare()


@pytest.fixture(scope="module")
def everything() -> Declared:
    return declare(EVERYTHING)


def statements(resource: Resource) -> Iterator[dict[str, Any]]:
    """The statements of a resource's policies."""
    for name in ("policy", "assumeRolePolicy"):
        if isinstance(text := resource.inputs.get(name), str):
            yield from json.loads(text)["Statement"]


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def physical_name(resource: Resource) -> tuple[str, str] | None:
    """The type of a resource and its name in AWS; None if the program does not set the name."""
    for name in ("family",) if resource.kind == "TaskDefinition" else NAME_PROPERTIES:
        if name == "bucket" and resource.kind != "Bucket":
            continue  # here it names the bucket that this resource configures
        if isinstance(value := resource.inputs.get(name), str):
            return resource.type, value
    return None


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_preview_declares_the_same_resources_as_an_update(config: dict[str, Any]) -> None:
    """A resource that is created inside `apply` would be missing from the preview."""
    update, preview = declare(config), declare(config, preview=True)

    assert {resource.urn for resource in preview.resources} == {resource.urn for resource in update.resources}
    assert preview.outputs.keys() == update.outputs.keys()
    assert is_unknown(preview.outputs["database_host"])


def test_no_policy_allows_more_than_it_needs(declared: Declared) -> None:
    for resource in declared.custom:
        for each in statements(resource):
            if each["Effect"] == "Allow":
                assert not [action for action in as_list(each["Action"]) if "*" in action], resource.urn
                assert "*" not in as_list(each.get("Resource", [])), resource.urn
                assert each.get("Principal") != "*", resource.urn


def test_bucket_topic_and_queues_deny_requests_without_tls(declared: Declared) -> None:
    queues = declared.of("QueuePolicy")
    assert len(queues) == len(declared.of("Queue"))
    for resource in (declared.one("BucketPolicy"), declared.one("TopicPolicy"), *queues):
        (denied,) = [each for each in statements(resource) if each["Effect"] == "Deny"]
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert denied["Principal"] == "*"
    rds = {p["name"]: p["value"] for p in declared.one("ParameterGroup").inputs["parameters"]}
    assert rds["rds.force_ssl"] == "1"


def test_stored_data_is_encrypted(declared: Declared) -> None:
    assert declared.one("Instance").inputs["storageEncrypted"] is True
    assert declared.one("BucketServerSideEncryptionConfiguration")
    assert all(queue.inputs["sqsManagedSseEnabled"] is True for queue in declared.of("Queue"))


def test_the_bucket_is_private_and_keeps_versions(declared: Declared) -> None:
    block = declared.one("BucketPublicAccessBlock").inputs
    for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
        assert block[name] is True
    assert declared.one("BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    all_objects, reports, *_ = declared.one("BucketLifecycleConfiguration").inputs["rules"]
    assert all_objects["filter"] == {"prefix": ""}
    assert all_objects["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    assert all_objects["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    assert "expiration" not in all_objects
    assert (reports["filter"], reports["expiration"]) == ({"prefix": "reports/"}, {"days": 90})


def test_every_resource_that_can_have_tags_has_them(declared: Declared) -> None:
    untagged = {resource.kind for resource in declared.custom if "tags" not in resource.inputs}

    assert untagged <= UNTAGGED
    for resource in declared.custom:
        if tags := resource.inputs.get("tags"):
            assert (tags["Project"], tags["Stack"]) == ("retailpipe", "dev"), resource.urn


def test_owner_and_expiry_date_are_tags_if_they_are_set(everything: Declared, default: Declared) -> None:
    assert everything.one("Bucket").inputs["tags"]["Owner"] == "me@example.com"
    assert everything.one("Bucket").inputs["tags"]["ExpiresOn"] == EXPIRES_ON
    assert not {"Owner", "ExpiresOn"} & default.one("Bucket").inputs["tags"].keys()


def test_log_groups_are_created_before_the_resources_that_write_to_them(declared: Declared) -> None:
    groups = {group.inputs["name"]: group for group in declared.of("LogGroup")}
    writers = [(f, f"/aws/lambda/{f.inputs['name']}") for f in declared.of("Function")]
    instance = declared.one("Instance")
    writers.append((instance, f"/aws/rds/instance/{instance.inputs['identifier']}/postgresql"))
    for writer, name in writers:
        assert groups[name].urn in writer.dependencies
        assert groups[name].inputs["retentionInDays"] == 14


def test_the_database_is_created_after_the_route_to_the_internet(default: Declared) -> None:
    """Without the route, RDS cannot give the database a public address."""
    assert default.one("Route", "to-internet").urn in default.one("Instance").dependencies


def test_a_minor_version_that_is_set_is_not_upgraded() -> None:
    instance = declare({**CONFIG, "engineVersion": "17.6"}).one("Instance").inputs

    assert (instance["engineVersion"], instance["autoMinorVersionUpgrade"]) == ("17.6", False)
    assert declare().one("Instance").inputs["autoMinorVersionUpgrade"] is True


def test_the_policy_is_attached_to_the_students_user(everything: Declared, default: Declared) -> None:
    assert everything.one("UserPolicyAttachment").inputs["user"] == "student-1"
    assert not default.of("UserPolicyAttachment")


@pytest.mark.parametrize(
    ("project", "stack", "name"), [("retailpipe", "dev", "dev"), ("sales", "first", "sales/first")]
)
def test_notices_name_the_stack_as_commands_do(project: str, stack: str, name: str) -> None:
    declared = declare(project=project, stack=stack)

    assert {f.inputs["environment"]["variables"]["STACK"] for f in declared.of("Function")} == {name}
    assert StackOutputs.from_mapping(declared.outputs).name == name


def test_a_failed_scheduled_run_is_not_retried(default: Declared) -> None:
    assert default.one("FunctionEventInvokeConfig", "once").inputs["maximumRetryAttempts"] == 0


def test_an_upload_event_whose_attempts_all_failed_goes_to_the_topic(default: Declared) -> None:
    config = default.one("FunctionEventInvokeConfig", "untold").inputs

    assert config["functionName"] == "retailpipe-dev-notify-upload"
    assert config["destinationConfig"] == {"onFailure": {"destination": default.one("Topic").computed["arn"]}}


def test_the_bucket_notification_is_created_after_its_permission(declared: Declared) -> None:
    notification, permission = declared.one("BucketNotification"), declared.one("Permission", "from-bucket")
    (function,) = notification.inputs["lambdaFunctions"]

    assert permission.urn in notification.dependencies
    assert (function["filterPrefix"], function.get("filterSuffix")) == ("input/", None)
    assert permission.inputs["sourceAccount"] == ACCOUNT


def test_the_parameter_holds_all_outputs(declared: Declared) -> None:
    outputs = StackOutputs.from_mapping(declared.outputs)
    parameter = declared.one("Parameter")

    assert parameter.inputs["name"] == outputs.parameter == "/retailpipe/dev/outputs"
    assert parameter.inputs["type"] == "String"
    assert StackOutputs.from_json(parameter.inputs["value"]) == outputs
    assert len(parameter.inputs["value"].encode()) <= MAX_BYTES
    assert outputs.log_groups.keys() - {"workers"} == {"notify-upload", "check-bucket", "database"}
    assert {group.inputs["name"] for group in declared.of("LogGroup")} == set(outputs.log_groups.values())


def test_the_program_does_not_know_the_password(declared: Declared) -> None:
    instance = declared.one("Instance").inputs

    assert instance["manageMasterUserPassword"] is True
    assert "password" not in instance
    assert "password" not in json.dumps(declared.outputs).lower()


def test_only_the_allowed_networks_can_connect_to_the_database(everything: Declared) -> None:
    rules = [rule.inputs for rule in everything.of("SecurityGroupIngressRule")]

    assert {rule.get("cidrIpv4") or rule.get("cidrIpv6") for rule in rules} == {"203.0.113.7/32", "2001:db8::/48"}
    assert {(rule["fromPort"], rule["toPort"], rule["ipProtocol"]) for rule in rules} == {(5432, 5432, "tcp")}


def test_an_ephemeral_stack_can_be_destroyed_completely(default: Declared) -> None:
    instance = default.one("Instance").inputs

    assert default.one("Bucket").inputs["forceDestroy"] is True
    assert (instance["skipFinalSnapshot"], instance["deleteAutomatedBackups"]) == (True, True)
    assert (instance["deletionProtection"], instance["backupRetentionPeriod"]) == (False, 0)
    assert not [resource.urn for resource in default.resources if resource.protect]


def test_a_kept_stack_is_protected_and_backed_up() -> None:
    kept = declare(KEPT)
    instance = kept.one("Instance").inputs

    assert kept.one("Bucket").inputs["forceDestroy"] is False
    assert (instance["skipFinalSnapshot"], instance["finalSnapshotIdentifier"]) == (False, "retailpipe-dev-last")
    assert (instance["deletionProtection"], instance["backupRetentionPeriod"]) == (True, 7)
    assert {resource.kind for resource in kept.resources if resource.protect} == {"Bucket", "Instance"}


def test_with_an_existing_role_no_iam_resource_is_declared() -> None:
    declared = declare({**WITHOUT_ROLES, "nightlyStop": "22:00", "expiresOn": EXPIRES_ON})

    assert not [resource.urn for resource in declared.resources if resource.type.startswith("aws:iam")]
    roles = {function.inputs["role"] for function in declared.of("Function")}
    roles |= {schedule.inputs["target"]["roleArn"] for schedule in declared.of("Schedule")}
    assert roles == {WITHOUT_ROLES["existingRoleArn"]}
    assert "existingRoleArn" in " ".join(declared.messages)


def test_with_an_existing_vpc_no_network_is_declared() -> None:
    declared = declare(WITH_EXISTING_VPC)

    assert not [
        resource.urn for resource in declared.resources if resource.kind in ("Vpc", "Subnet", "Route", "VpcEndpoint")
    ]
    assert declared.one("SecurityGroup").inputs["vpcId"] == "vpc-0a1"
    assert declared.one("SubnetGroup").inputs["subnetIds"] == ["subnet-0a", "subnet-0b"]


@pytest.mark.parametrize(
    ("cidrs", "expected_warnings"),
    [
        ("203.0.113.0/24", []),
        ("203.0.112.0/23,203.0.113.7/32", ["203.0.112.0/23 contains 512 addresses"]),
        ("203.0.113.7/32,2001:db8::/48", []),
        ("203.0.113.7/32,2001:db8::/47", ["2001:db8::/47 contains 2,417,851,639,229,258,349,412,352 addresses"]),
        (
            "10.0.0.0/8,203.0.0.0/16",
            ["10.0.0.0/8 contains 16,777,216 addresses", "203.0.0.0/16 contains 65,536 addresses"],
        ),
    ],
)
def test_an_unusually_large_network_causes_a_warning(cidrs: str, expected_warnings: list[str]) -> None:
    messages = declare({"allowedCidrs": cidrs}).messages

    warnings = [text for text in messages if "allowedCidrs" in text]
    assert len(warnings) == len(expected_warnings)
    for text, expected in zip(warnings, expected_warnings, strict=True):
        assert expected in text
        assert "pulumi config set allowedCidrs" in text


def test_each_optional_part_can_be_left_out() -> None:
    declared = declare(LEAST)
    outputs = StackOutputs.from_mapping(declared.outputs)

    assert not {resource.kind for resource in declared.resources} & {
        "Budget",
        "Dashboard",
        "MetricAlarm",
        "Policy",
        "Schedule",
    }
    assert (outputs.dashboard, outputs.student_policy_arn) == (None, None)
    (notice,) = declared.messages
    assert all(
        part in notice
        for part in ("the budget", "the dashboard", "alarms", "student's policy", "nightly stop", "expiry")
    )


def test_the_nightly_stop_names_the_database_and_the_time(everything: Declared) -> None:
    schedule = everything.one("Schedule", "nightly").inputs

    assert schedule["scheduleExpression"] == "cron(30 22 * * ? *)"
    assert schedule["scheduleExpressionTimezone"] == "Europe/Berlin"
    assert json.loads(schedule["target"]["input"]) == {"DbInstanceIdentifier": "retailpipe-dev-database"}


def test_the_schedule_is_disabled_by_default(default: Declared, everything: Declared) -> None:
    assert default.one("EventRule").inputs["state"] == "DISABLED"
    assert everything.one("EventRule").inputs["state"] == "ENABLED"


def test_emails_and_the_queue_are_subscribed_to_the_topic(everything: Declared) -> None:
    subscribed = {(s.inputs["protocol"], s.inputs["endpoint"]) for s in everything.of("TopicSubscription")}

    assert {("email", "me@example.com"), ("email", "you@example.com")} < subscribed
    queue = everything.one("TopicSubscription", "to-queue").inputs
    assert json.loads(queue["filterPolicy"]) == {"kind": ["upload"]}
    redrive = json.loads(everything.one("Queue", "queue").inputs["redrivePolicy"])
    assert redrive["maxReceiveCount"] == 5


def test_lambdas_use_arm64_and_python_3_13(declared: Declared) -> None:
    for function in declared.of("Function"):
        assert function.inputs["architectures"] == ["arm64"]
        assert function.inputs["runtime"] == "python3.13"


def test_alarms_publish_to_the_topic(default: Declared) -> None:
    topic = default.outputs["topic_arn"]

    assert {alarm.name.removeprefix("pipeline-alarms-") for alarm in default.of("MetricAlarm")} == {
        "notify-upload-errors", "check-bucket-errors", "cpu", "storage", "connections", "dead-letters",
    }  # fmt: skip
    assert all(alarm.inputs["alarmActions"] == [topic] for alarm in default.of("MetricAlarm"))
    policy_urn = default.one("TopicPolicy").urn
    assert policy_urn in default.one("Budget").dependencies


def test_every_physical_name_contains_project_and_stack(declared: Declared) -> None:
    for resource in declared.custom:
        if found := physical_name(resource):
            assert re.search("retailpipe[-/]dev", found[1]), resource.urn


def test_stacks_have_no_name_in_common() -> None:
    stacks = ("class", "class-1", "class-11", "class-1-database", "a")
    seen: dict[tuple[str, str], str] = {}
    for stack in stacks:
        for resource in declare(EVERYTHING, stack=stack).custom:
            if found := physical_name(resource):
                assert found not in seen, f"{found} is in {stack} and {seen[found]}"
                seen[found] = stack
    assert len(seen) > 20 * len(stacks)


LIMITS = {
    "Bucket": 63, "Instance": 63, "Function": 64, "Role": 64, "Policy": 128, "Queue": 80, "Topic": 256, "EventRule": 64,
    "Schedule": 64, "Budget": 100, "ParameterGroup": 255, "SubnetGroup": 255, "SecurityGroup": 255, "LogGroup": 512,
    "MetricAlarm": 255, "Dashboard": 255, "Parameter": 1011, "Cluster": 255, "TaskDefinition": 255,
}  # fmt: skip
"""The maximum length of names in AWS, by kind of resource."""


def test_the_longest_allowed_names_are_within_the_limits_of_aws() -> None:
    declared = declare({**EVERYTHING, "workers": "100"}, stack="a-stack-of-21-letters", region="ap-southeast-2")
    named = [(resource, found[1]) for resource in declared.custom if (found := physical_name(resource))]

    assert len("retailpipe-a-stack-of-21-letters") == 32
    assert {resource.kind for resource, _ in named} == LIMITS.keys()
    for resource, name in named:
        assert len(name) <= LIMITS[resource.kind], resource.urn
    StackOutputs.from_mapping(declared.outputs).as_json()
    assert len("".join(declared.one("Policy").inputs["policy"].split())) <= 6144  # of a managed policy


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ("a-stack-of-22-letters-", "'a-stack-of-22-letters-' is not allowed"),
        ("a-stack-of-22-letters1", "too long"),
        ("Dev", "lower-case"),
        ("my_stack", "lower-case"),
        ("1st", "start with a letter"),
    ],
)
def test_an_invalid_stack_name_is_rejected_before_anything_is_declared(stack: str, reason: str) -> None:
    with pytest.raises(pulumi.RunError, match=reason) as caught:
        declare(stack=stack)

    assert "pulumi stack rename" in str(caught.value)


@pytest.mark.parametrize("project", ["aws-sales", "ssm", "sg-1"])
def test_a_project_name_that_aws_reserves_is_rejected(project: str) -> None:
    with pytest.raises(pulumi.RunError, match="AWS reserves names"):
        declare(project=project)


def test_invalid_settings_are_all_reported_at_once() -> None:
    config = {"allowedCidrs": "0.0.0.0/0", "databaseClass": "t4g", "nightlyStop": "25:00"}

    with pytest.raises(pulumi.RunError) as caught:
        declare(config)

    for name in config:
        assert f"- {name}: " in str(caught.value)


def test_two_pipelines_in_one_stack_have_different_names_and_outputs(tmp_path: Path) -> None:
    """The program with two pipelines in docs/aws.md."""
    (tmp_path / "__main__.py").write_text(
        "from retailpipe.infra import RetailPipeline, Settings\n"
        "for part in ('north', 'south'):\n"
        "    RetailPipeline(part, Settings(allowed_cidrs=('203.0.113.7/32',)), part=part)\n"
    )

    declared = declare(program=tmp_path)

    names = [found for resource in declared.custom if (found := physical_name(resource))]
    assert len(names) == len(set(names)) > 50
    assert {name for kind, name in names if kind.endswith(":Parameter")} == {
        "/retailpipe/dev/north/outputs",
        "/retailpipe/dev/south/outputs",
    }
