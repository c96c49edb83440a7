"""What the Pulumi program declares, whatever it is told: least privilege, TLS, encryption, tags, names, order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from retailpipe.outputs import MAX_BYTES, StackOutputs
from tests.support.declared import ACCOUNT, CONFIG, Declared, Resource, declare, is_unknown

KEPT = {**CONFIG, "ephemeral": "false"}
WITHOUT_ROLES = {**CONFIG, "existingRoleArn": f"arn:aws:iam::{ACCOUNT}:role/LabRole"}
IN_A_NETWORK = {**CONFIG, "existingVpcId": "vpc-0a1", "existingSubnetIds": "subnet-0a,subnet-0b"}
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
    "expiresOn": "2027-03-31",
}
LEAST = {**CONFIG, "monthlyBudget": "0", "dashboard": "false", "alarms": "false", "studentPolicy": "false"}
SETTINGS = {
    "as little as can be said": CONFIG,
    "kept": KEPT,
    "without roles": WITHOUT_ROLES,
    "in a network": IN_A_NETWORK,
    "everything": EVERYTHING,
    "as little as can be made": LEAST,
}
"""Every setting that changes what is made, in one of them."""

UNTAGGED = {
    "BucketVersioning", "BucketServerSideEncryptionConfiguration", "BucketOwnershipControls", "BucketPolicy",
    "BucketPublicAccessBlock", "BucketLifecycleConfiguration", "BucketNotification", "TopicPolicy", "TopicSubscription",
    "QueuePolicy", "RolePolicy", "Permission", "EventTarget", "Route", "RouteTableAssociation", "Dashboard", "Schedule",
    "FunctionEventInvokeConfig", "UserPolicyAttachment",
}  # fmt: skip
"""What AWS gives no tags."""

NAMES = ("bucket", "identifier", "dashboardName", "name")


@pytest.fixture(scope="module", params=SETTINGS.values(), ids=SETTINGS.keys())
def declared(request: pytest.FixtureRequest) -> Declared:
    return declare(request.param)


@pytest.fixture(scope="module")
def usual() -> Declared:
    return declare()


@pytest.fixture(scope="module")
def everything() -> Declared:
    return declare(EVERYTHING)


def statements(resource: Resource) -> Iterator[dict[str, Any]]:
    for name in ("policy", "assumeRolePolicy"):
        if isinstance(text := resource.inputs.get(name), str):
            yield from json.loads(text)["Statement"]


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def physical(resource: Resource) -> tuple[str, str] | None:
    """The name by which AWS knows a resource, within its kind."""
    for name in NAMES:
        if name == "bucket" and resource.kind != "Bucket":
            continue  # it is of another's
        if isinstance(value := resource.inputs.get(name), str):
            return resource.type, value
    return None


@pytest.mark.parametrize("config", SETTINGS.values(), ids=SETTINGS.keys())
def test_a_preview_declares_what_an_update_does(config: dict[str, Any]) -> None:
    """A resource made inside `apply` would be missing from the preview."""
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


def test_bucket_topic_and_queues_refuse_what_is_not_tls(declared: Declared) -> None:
    queues = declared.of("QueuePolicy")
    assert len(queues) == len(declared.of("Queue"))
    for resource in (declared.one("BucketPolicy"), declared.one("TopicPolicy"), *queues):
        (denied,) = [each for each in statements(resource) if each["Effect"] == "Deny"]
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert denied["Principal"] == "*"
    rds = {p["name"]: p["value"] for p in declared.one("ParameterGroup").inputs["parameters"]}
    assert rds["rds.force_ssl"] == "1"


def test_all_that_is_stored_is_encrypted(declared: Declared) -> None:
    assert declared.one("Instance").inputs["storageEncrypted"] is True
    assert declared.one("BucketServerSideEncryptionConfiguration")
    assert all(queue.inputs["sqsManagedSseEnabled"] is True for queue in declared.of("Queue"))


def test_the_bucket_is_private_and_keeps_versions(declared: Declared) -> None:
    block = declared.one("BucketPublicAccessBlock").inputs
    for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
        assert block[name] is True
    assert declared.one("BucketVersioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    (rule,) = declared.one("BucketLifecycleConfiguration").inputs["rules"]
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    assert rule["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}


def test_everything_that_takes_tags_has_them(declared: Declared) -> None:
    untagged = {resource.kind for resource in declared.custom if "tags" not in resource.inputs}

    assert untagged <= UNTAGGED
    for resource in declared.custom:
        if tags := resource.inputs.get("tags"):
            assert (tags["Project"], tags["Stack"]) == ("retailpipe", "dev"), resource.urn


def test_owner_and_end_are_tags_where_they_are_set(everything: Declared, usual: Declared) -> None:
    assert everything.one("Bucket").inputs["tags"]["Owner"] == "me@example.com"
    assert everything.one("Bucket").inputs["tags"]["ExpiresOn"] == "2027-03-31"
    assert not {"Owner", "ExpiresOn"} & usual.one("Bucket").inputs["tags"].keys()


def test_log_groups_are_there_before_those_who_write_to_them(declared: Declared) -> None:
    groups = {group.inputs["name"]: group for group in declared.of("LogGroup")}
    writers = [(f, f"/aws/lambda/{f.inputs['name']}") for f in declared.of("Function")]
    instance = declared.one("Instance")
    writers.append((instance, f"/aws/rds/instance/{instance.inputs['identifier']}/postgresql"))
    for writer, name in writers:
        assert groups[name].urn in writer.dependencies
        assert groups[name].inputs["retentionInDays"] == 14


def test_the_database_waits_for_the_way_to_the_internet(usual: Declared) -> None:
    """Without it, RDS refuses a public address."""
    assert usual.one("Route", "to-internet").urn in usual.one("Instance").dependencies


def test_a_minor_version_that_is_named_stays() -> None:
    named = declare({**CONFIG, "engineVersion": "17.6"}).one("Instance").inputs

    assert (named["engineVersion"], named["autoMinorVersionUpgrade"]) == ("17.6", False)
    assert declare().one("Instance").inputs["autoMinorVersionUpgrade"] is True


def test_the_students_user_gets_the_policy(everything: Declared, usual: Declared) -> None:
    assert everything.one("UserPolicyAttachment").inputs["user"] == "student-1"
    assert not usual.of("UserPolicyAttachment")


@pytest.mark.parametrize(
    ("project", "stack", "name"), [("retailpipe", "dev", "dev"), ("sales", "first", "sales/first")]
)
def test_notices_name_the_stack_as_commands_do(project: str, stack: str, name: str) -> None:
    declared = declare(project=project, stack=stack)

    assert {f.inputs["environment"]["variables"]["STACK"] for f in declared.of("Function")} == {name}
    assert StackOutputs.from_mapping(declared.outputs).name == name


def test_what_fails_on_schedule_is_told_once(usual: Declared) -> None:
    assert usual.one("FunctionEventInvokeConfig", "once").inputs["maximumRetryAttempts"] == 0


def test_an_upload_of_which_nobody_was_told_goes_to_the_topic(usual: Declared) -> None:
    config = usual.one("FunctionEventInvokeConfig", "untold").inputs

    assert config["functionName"] == "retailpipe-dev-notify-upload"
    assert config["destinationConfig"] == {"onFailure": {"destination": usual.one("Topic").computed["arn"]}}


def test_the_notification_waits_for_the_permission(declared: Declared) -> None:
    notification, permission = declared.one("BucketNotification"), declared.one("Permission", "from-bucket")
    (told,) = notification.inputs["lambdaFunctions"]

    assert permission.urn in notification.dependencies
    assert (told["filterPrefix"], told.get("filterSuffix")) == ("input/", None)
    assert permission.inputs["sourceAccount"] == ACCOUNT


def test_outputs_are_complete_and_in_the_parameter(declared: Declared) -> None:
    outputs = StackOutputs.from_mapping(declared.outputs)
    parameter = declared.one("Parameter")

    assert parameter.inputs["name"] == outputs.parameter == "/retailpipe/dev/outputs"
    assert parameter.inputs["type"] == "String"
    assert StackOutputs.from_json(parameter.inputs["value"]) == outputs
    assert len(parameter.inputs["value"].encode()) <= MAX_BYTES
    assert outputs.log_groups.keys() == {"notify-upload", "check-bucket", "database"}
    assert {group.inputs["name"] for group in declared.of("LogGroup")} == set(outputs.log_groups.values())


def test_nothing_secret_is_known_to_the_program(declared: Declared) -> None:
    instance = declared.one("Instance").inputs

    assert instance["manageMasterUserPassword"] is True
    assert "password" not in instance
    assert "password" not in json.dumps(declared.outputs).lower()


def test_only_the_allowed_networks_reach_the_database(everything: Declared) -> None:
    rules = [rule.inputs for rule in everything.of("SecurityGroupIngressRule")]

    assert {rule.get("cidrIpv4") or rule.get("cidrIpv6") for rule in rules} == {"203.0.113.7/32", "2001:db8::/48"}
    assert {(rule["fromPort"], rule["toPort"], rule["ipProtocol"]) for rule in rules} == {(5432, 5432, "tcp")}


def test_a_students_stack_can_be_destroyed_whole(usual: Declared) -> None:
    instance = usual.one("Instance").inputs

    assert usual.one("Bucket").inputs["forceDestroy"] is True
    assert (instance["skipFinalSnapshot"], instance["deleteAutomatedBackups"]) == (True, True)
    assert (instance["deletionProtection"], instance["backupRetentionPeriod"]) == (False, 0)
    assert not [resource.urn for resource in usual.resources if resource.protect]


def test_a_kept_stack_is_protected_and_backed_up() -> None:
    kept = declare(KEPT)
    instance = kept.one("Instance").inputs

    assert kept.one("Bucket").inputs["forceDestroy"] is False
    assert (instance["skipFinalSnapshot"], instance["finalSnapshotIdentifier"]) == (False, "retailpipe-dev-last")
    assert (instance["deletionProtection"], instance["backupRetentionPeriod"]) == (True, 7)
    assert {resource.kind for resource in kept.resources if resource.protect} == {"Bucket", "Instance"}


def test_without_roles_no_iam_resource_is_declared() -> None:
    declared = declare({**WITHOUT_ROLES, "nightlyStop": "22:00"})

    assert not [resource.urn for resource in declared.resources if resource.type.startswith("aws:iam")]
    roles = {function.inputs["role"] for function in declared.of("Function")}
    assert roles == {declared.one("Schedule").inputs["target"]["roleArn"]} == {WITHOUT_ROLES["existingRoleArn"]}
    assert "existingRoleArn" in " ".join(declared.said)


def test_in_a_given_network_none_is_made() -> None:
    declared = declare(IN_A_NETWORK)

    assert not [
        resource.urn for resource in declared.resources if resource.kind in ("Vpc", "Subnet", "Route", "VpcEndpoint")
    ]
    assert declared.one("SecurityGroup").inputs["vpcId"] == "vpc-0a1"
    assert declared.one("SubnetGroup").inputs["subnetIds"] == ["subnet-0a", "subnet-0b"]


@pytest.mark.parametrize(
    ("cidrs", "warned"),
    [
        ("203.0.113.0/24", []),
        ("203.0.112.0/23,203.0.113.7/32", ["203.0.112.0/23 holds 512 addresses"]),
        ("203.0.113.7/32,2001:db8::/48", []),
        ("203.0.113.7/32,2001:db8::/47", ["2001:db8::/47 holds 2,417,851,639,229,258,349,412,352 addresses"]),
        ("10.0.0.0/8,203.0.0.0/16", ["10.0.0.0/8 holds 16,777,216 addresses", "203.0.0.0/16 holds 65,536 addresses"]),
    ],
)
def test_an_unusually_wide_network_is_warned_of(cidrs: str, warned: list[str]) -> None:
    said = declare({"allowedCidrs": cidrs}).said

    warnings = [text for text in said if "allowedCidrs" in text]
    assert len(warnings) == len(warned)
    for text, expected in zip(warnings, warned, strict=True):
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
    (notice,) = declared.said
    assert all(part in notice for part in ("the budget", "the dashboard", "alarms", "student's policy", "nightly stop"))


def test_the_nightly_stop_names_the_database_and_the_time(everything: Declared) -> None:
    schedule = everything.one("Schedule").inputs

    assert schedule["scheduleExpression"] == "cron(30 22 * * ? *)"
    assert schedule["scheduleExpressionTimezone"] == "Europe/Berlin"
    assert json.loads(schedule["target"]["input"]) == {"DbInstanceIdentifier": "retailpipe-dev-database"}


def test_the_schedule_is_off_unless_asked_for(usual: Declared, everything: Declared) -> None:
    assert usual.one("EventRule").inputs["state"] == "DISABLED"
    assert everything.one("EventRule").inputs["state"] == "ENABLED"


def test_emails_and_the_queue_hear_the_topic(everything: Declared) -> None:
    heard = {(s.inputs["protocol"], s.inputs["endpoint"]) for s in everything.of("TopicSubscription")}

    assert {("email", "me@example.com"), ("email", "you@example.com")} < heard
    queue = everything.one("TopicSubscription", "to-queue").inputs
    assert json.loads(queue["filterPolicy"]) == {"kind": ["upload"]}
    redrive = json.loads(everything.one("Queue", "queue").inputs["redrivePolicy"])
    assert redrive["maxReceiveCount"] == 5


def test_lambdas_are_of_arm_and_of_a_current_python(declared: Declared) -> None:
    for function in declared.of("Function"):
        assert function.inputs["architectures"] == ["arm64"]
        assert function.inputs["runtime"] == "python3.13"


def test_alarms_go_to_the_topic(usual: Declared) -> None:
    topic = usual.outputs["topic_arn"]

    assert {alarm.name.removeprefix("pipeline-alarms-") for alarm in usual.of("MetricAlarm")} == {
        "notify-upload-errors", "check-bucket-errors", "cpu", "storage", "connections", "dead-letters",
    }  # fmt: skip
    assert all(alarm.inputs["alarmActions"] == [topic] for alarm in usual.of("MetricAlarm"))
    policy_urn = usual.one("TopicPolicy").urn
    assert policy_urn in usual.one("Budget").dependencies


def test_every_physical_name_carries_project_and_stack(declared: Declared) -> None:
    for resource in declared.custom:
        if found := physical(resource):
            assert re.search("retailpipe[-/]dev", found[1]), resource.urn


def test_twenty_stacks_collide_nowhere() -> None:
    seen: dict[tuple[str, str], str] = {}
    for number in range(20):
        stack = f"class-{number}"
        for resource in declare(EVERYTHING, stack=stack).custom:
            if found := physical(resource):
                assert found not in seen, f"{found} is in {stack} and {seen[found]}"
                seen[found] = stack
    assert len(seen) > 20 * 20


LIMITS = {
    "Bucket": 63, "Instance": 63, "Function": 64, "Role": 64, "Policy": 128, "Queue": 80, "Topic": 256, "EventRule": 64,
    "Schedule": 64, "Budget": 100, "ParameterGroup": 255, "SubnetGroup": 255, "SecurityGroup": 255, "LogGroup": 512,
    "MetricAlarm": 255, "Dashboard": 255, "Parameter": 1011,
}  # fmt: skip
"""The longest names AWS takes."""


def test_the_longest_names_allowed_fit_awss_limits() -> None:
    declared = declare(EVERYTHING, stack="a-stack-of-21-letters", region="ap-southeast-2")
    named = [(resource, found[1]) for resource in declared.custom if (found := physical(resource))]

    assert len("retailpipe-a-stack-of-21-letters") == 32
    assert {resource.kind for resource, _ in named} == LIMITS.keys()
    for resource, name in named:
        assert len(name) <= LIMITS[resource.kind], resource.urn
    StackOutputs.from_mapping(declared.outputs).as_json()


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        ("a-stack-of-22-letters-", "'a-stack-of-22-letters-' cannot be used"),
        ("a-stack-of-22-letters1", "too long"),
        ("Dev", "lower-case"),
        ("my_stack", "lower-case"),
        ("1st", "begin with a letter"),
    ],
)
def test_a_stack_name_that_cannot_be_used_is_refused_before_anything_is_made(stack: str, reason: str) -> None:
    with pytest.raises(pulumi.RunError, match=reason) as caught:
        declare(stack=stack)

    assert "pulumi stack rename" in str(caught.value)


@pytest.mark.parametrize("project", ["aws-sales", "ssm", "sg-1"])
def test_a_project_name_that_aws_keeps_for_itself_is_refused(project: str) -> None:
    with pytest.raises(pulumi.RunError, match="AWS keeps names for itself"):
        declare(project=project)


def test_wrong_settings_make_no_resource_and_are_told_all_at_once() -> None:
    wrong = {"allowedCidrs": "0.0.0.0/0", "databaseClass": "t4g", "nightlyStop": "25:00"}

    with pytest.raises(pulumi.RunError) as caught:
        declare(wrong)

    for name in wrong:
        assert f"- {name}: " in str(caught.value)


def test_two_pipelines_in_one_stack(tmp_path: Path) -> None:
    """The program of three lines in docs/aws.md."""
    (tmp_path / "__main__.py").write_text(
        "from retailpipe.infra import RetailPipeline, Settings\n"
        "for part in ('north', 'south'):\n"
        "    RetailPipeline(part, Settings(allowed_cidrs=('203.0.113.7/32',)), part=part)\n"
    )

    declared = declare(program=tmp_path)

    names = [found for resource in declared.custom if (found := physical(resource))]
    assert len(names) == len(set(names)) > 50
    assert {name for kind, name in names if kind.endswith(":Parameter")} == {
        "/retailpipe/dev/north/outputs",
        "/retailpipe/dev/south/outputs",
    }
