"""The expiry: AWS itself deletes the database of an ephemeral stack at the end of the day in `expiresOn`."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import botocore.session
import pulumi
import pytest
from botocore.model import StructureShape
from botocore.validate import ParamValidator

from tests.infra.test_program import statements
from tests.support.aws import empty_account
from tests.support.declared import ACCOUNT, CONFIG, Declared, Resource, declare
from tests.support.iam import actions_of, is_allowed
from tests.support.stacks import REGION


def today() -> date:
    return datetime.now(UTC).date()


LAST_DAY = today() + timedelta(days=30)


def expiring(day: date = LAST_DAY, **config: str) -> Declared:
    return declare({**CONFIG, "expiresOn": day.isoformat(), **config})


@pytest.fixture(scope="module")
def declared() -> Declared:
    return expiring()


@pytest.fixture(scope="module")
def deletion(declared: Declared) -> Resource:
    return declared.one("Schedule", "delete")


@pytest.fixture(scope="module")
def notice(declared: Declared) -> Resource:
    return declared.one("Schedule", "notice")


def request_of(schedule: Resource) -> tuple[str, str, dict[str, Any]]:
    """The service, the operation and the parameters that a schedule calls, with the names of botocore.

    EventBridge Scheduler takes the names of AWS's SDK for Java: only the first of several capitals stays a capital.
    """
    target = schedule.inputs["target"]
    _, _, operation_arn = target["arn"].partition(":scheduler:::aws-sdk:")
    service, operation = operation_arn.split(":")
    model = botocore.session.get_session().get_service_model(service).operation_model(
        operation[0].upper() + operation[1:]
    )  # fmt: skip
    shape = model.input_shape
    assert isinstance(shape, StructureShape)
    names = {
        re.sub(r"([A-Z])([A-Z]+)(?=[A-Z][a-z]|$)", lambda found: found[1] + found[2].lower(), name): name
        for name in shape.members
    }
    parameters = {names[name]: value for name, value in json.loads(target["input"]).items()}
    assert ParamValidator().validate(parameters, shape).generate_report() == ""
    return service, model.name, parameters


def test_the_schedule_calls_delete_db_instance_as_botocore_describes_it(declared: Declared, deletion: Resource) -> None:
    assert request_of(deletion) == (
        "rds",
        "DeleteDBInstance",
        {
            "DBInstanceIdentifier": declared.one("Instance").inputs["identifier"],
            "SkipFinalSnapshot": True,
            "DeleteAutomatedBackups": True,
        },
    )


def test_the_database_is_deleted_at_the_end_of_the_day_in_utc(deletion: Resource) -> None:
    assert deletion.inputs["scheduleExpression"] == f"at({LAST_DAY}T23:59:59)"
    assert deletion.inputs["scheduleExpressionTimezone"] == "UTC"
    assert deletion.inputs["flexibleTimeWindow"] == {"mode": "OFF"}


def test_the_call_deletes_the_instance_on_the_simulated_aws(declared: Declared, deletion: Resource, moto: str) -> None:
    """As when the schedule fires. moto stores schedules, but does not run them."""
    empty_account(moto)
    rds = boto3.Session("test", "test", region_name=REGION).client("rds", endpoint_url=moto)
    instance = declared.one("Instance").inputs
    for identifier in (instance["identifier"], "another"):
        rds.create_db_instance(
            DBInstanceIdentifier=identifier,
            DBInstanceClass=instance["instanceClass"],
            Engine=instance["engine"],
            AllocatedStorage=instance["allocatedStorage"],
            BackupRetentionPeriod=instance["backupRetentionPeriod"],
            DeletionProtection=instance["deletionProtection"],
        )
    before = {each["DBInstanceIdentifier"] for each in rds.describe_db_instances()["DBInstances"]}
    _, _, parameters = request_of(deletion)
    rds.delete_db_instance(**parameters)
    after = {each["DBInstanceIdentifier"] for each in rds.describe_db_instances()["DBInstances"]}
    snapshots = rds.describe_db_snapshots()["DBSnapshots"]
    rds.delete_db_instance(DBInstanceIdentifier="another", SkipFinalSnapshot=True)
    rds.close()

    assert before - after == {instance["identifier"]}
    assert instance["identifier"] not in {each["DBInstanceIdentifier"] for each in snapshots}


def test_the_schedule_and_its_rights_exist_before_the_database(declared: Declared, deletion: Resource) -> None:
    before = declared.one("Instance").dependencies

    assert deletion.urn in before
    assert declared.one("RolePolicy", "expiry").urn in before


def test_the_scheduler_may_do_only_what_the_schedules_do(declared: Declared) -> None:
    role = declared.one("RolePolicy", "expiry")
    policy = json.loads(role.inputs["policy"])
    database = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{declared.one('Instance').inputs['identifier']}"
    dead_letters = declared.one("Queue", "dead-letters").computed["arn"]
    topic = declared.one("Topic").computed["arn"]

    assert actions_of(policy) == ["rds:DeleteDBInstance", "sns:Publish", "sqs:SendMessage"]
    assert is_allowed(policy, "rds:DeleteDBInstance", database)
    assert is_allowed(policy, "sns:Publish", topic)
    assert is_allowed(policy, "sqs:SendMessage", dead_letters)
    assert not is_allowed(policy, "rds:DeleteDBInstance", database.replace("dev", "other"))
    (trust,) = statements(declared.one("Role", "expiry"))
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_a_call_that_fails_is_retried_for_a_day_and_then_goes_to_the_dead_letters(declared: Declared) -> None:
    dead_letters = declared.one("Queue", "dead-letters").computed["arn"]
    for schedule in declared.of("Schedule"):
        target = schedule.inputs["target"]
        assert target["retryPolicy"] == {"maximumEventAgeInSeconds": 86400, "maximumRetryAttempts": 185}
        assert target["deadLetterConfig"] == {"arn": dead_letters}
        assert target["roleArn"] == declared.one("Role", "expiry").computed["arn"]


def test_a_notice_is_published_two_days_before_to_people_only(declared: Declared, notice: Resource) -> None:
    service, operation, message = request_of(notice)

    assert (service, operation) == ("sns", "Publish")
    assert notice.inputs["scheduleExpression"] == f"at({LAST_DAY - timedelta(days=2)}T23:59:59)"
    assert message.keys() == {"TopicArn", "Subject", "Message"}  # the queue of uploads filters by attributes
    assert message["TopicArn"] == declared.one("Topic").computed["arn"]
    assert str(LAST_DAY) in message["Subject"]
    for part in (str(LAST_DAY), "pulumi config set expiresOn", "retailpipe cleanup --stack dev"):
        assert part in message["Message"]


def test_the_longest_subject_is_within_the_limit_of_sns() -> None:
    config = {**CONFIG, "expiresOn": LAST_DAY.isoformat()}
    notice = declare(config, project="a-project", stack="a-stack-of-22-lettersx").one("Schedule", "notice")

    subject = json.loads(notice.inputs["target"]["input"])["Subject"]
    assert len(subject) <= 100
    assert subject.isascii()


@pytest.mark.parametrize(("days", "schedules"), [(0, {"delete"}), (1, {"delete"}), (2, {"delete", "notice"})])
def test_a_schedule_whose_time_is_past_is_not_declared(days: int, schedules: set[str]) -> None:
    """EventBridge Scheduler refuses it."""
    declared = expiring(today() + timedelta(days=days))

    assert {each.name.removeprefix("pipeline-expiry-") for each in declared.of("Schedule")} == schedules


def test_a_stack_that_has_expired_is_refused_with_what_happened_and_how_to_go_on() -> None:
    yesterday = today() - timedelta(days=1)

    with pytest.raises(pulumi.RunError) as caught:
        expiring(yesterday)

    message = str(caught.value)
    assert f"expiresOn: {yesterday} is past" in message
    assert "AWS deleted its database" in message
    (later,) = re.findall(r"`pulumi config set expiresOn (\S+)`", message)
    assert expiring(date.fromisoformat(later)).of("Instance")
    for command in ("pulumi up --refresh", "retailpipe cleanup --stack NAME", "retailpipe class down --expired"):
        assert f"`{command}`" in message


def test_the_date_of_a_kept_stack_is_only_a_tag() -> None:
    for day in (today() - timedelta(days=1), LAST_DAY):
        kept = expiring(day, ephemeral="false")

        assert not kept.of("Schedule")
        assert kept.one("Instance").inputs["tags"]["ExpiresOn"] == day.isoformat()


def test_a_stack_without_a_date_does_not_expire() -> None:
    declared = declare()

    assert not declared.of("Schedule")
    assert "expiresOn" in " ".join(declared.messages)
