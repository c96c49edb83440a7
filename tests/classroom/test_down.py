"""`class down`: the rehearsal, the order of the removal, and the proof of absence, on the simulated AWS."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from retailpipe import AwsError, ClassError, UsageError
from retailpipe.aws.session import Aws
from retailpipe.classroom.absence import absence
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.down import Destroyed, down
from retailpipe.classroom.rehearsal import DownPlan, StackRemoval, rehearse_down
from retailpipe.cli.app import app
from tests.support.aws import empty_account
from tests.support.classes import deploy, read_class, write_class
from tests.support.nightly import most_nightly
from tests.support.stacks import ACCOUNT, REGION, HandMade, variables

BUCKET = f"retailpipe-anna-{ACCOUNT}-{REGION}"
DATABASE = "retailpipe-anna-database"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/retailpipe-anna-student-{REGION}"


DOCUMENT = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}]}
)


@pytest.fixture(scope="module")
def shared(account: HandMade) -> Iterator[Aws]:
    """Clients of the library for all tests of this module: there are many, and each takes a while to create."""
    shared = Aws(region=REGION)
    yield shared
    shared.close()


@pytest.fixture
def aws(account: HandMade, shared: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name, value in variables(account.endpoint).items():
        monkeypatch.setenv(name, value)
    return shared


@pytest.fixture(autouse=True)
def _empty_account(moto: str, account: HandMade) -> None:  # pyright: ignore[reportUnusedFunction]
    empty_account(moto)


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return read_class(tmp_path / "class", ("anna", "ben"))


def row_of(plan: DownPlan, stack: str) -> StackRemoval:
    (row,) = [row for row in plan.rows if row.stack == stack]
    return row


def blockers(room: Classroom, aws: Aws, stack: str = "anna") -> list[tuple[str, str]]:
    """The place and the command of each blocker, without the region."""
    row = row_of(rehearse_down(room, aws), stack)
    return [(each.place, each.command.replace(f" --region {REGION}", "")) for each in row.blockers]


def network(account: HandMade, *groups: str) -> str:
    """Create the network of the classroom stack with security groups; returns its id."""
    ec2 = account.client("ec2")
    tags = {"Name": "retailpipe-classroom-vpc", "Project": "retailpipe", "Stack": "classroom"}
    vpc = ec2.create_vpc(
        CidrBlock="10.20.0.0/16",
        TagSpecifications=[{"ResourceType": "vpc", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}],
    )["Vpc"]["VpcId"]
    for name in groups:
        ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc)
    return vpc


def tag_database(account: HandMade, student: str, **tags: str) -> None:
    arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:retailpipe-{student}-database"
    account.client("rds").add_tags_to_resource(
        ResourceName=arn, Tags=[{"Key": key, "Value": value} for key, value in tags.items()]
    )


# What would block


def test_a_plain_stack_has_no_blockers(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")

    plan = rehearse_down(room, aws)

    assert [row.stack for row in plan.rows] == ["anna", "ben", "classroom"]
    assert row_of(plan, "anna").resources == 4  # bucket, database, secret, parameter
    assert (row_of(plan, "ben").resources, row_of(plan, "anna").blockers) == (0, ())
    assert plan.unread == ()


def test_a_protected_stack_is_told_with_what_makes_it_removable(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna", ephemeral=False)
    rds = account.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier=DATABASE, DeletionProtection=True)
    rds.create_db_snapshot(DBInstanceIdentifier=DATABASE, DBSnapshotIdentifier="retailpipe-anna-last")

    assert blockers(room, aws) == [
        ("stack anna", "pulumi config set ephemeral true --stack anna && pulumi up --stack anna"),
        (
            "snapshot retailpipe-anna-last",
            "aws rds delete-db-snapshot --db-snapshot-identifier retailpipe-anna-last",
        ),
        (
            f"database {DATABASE}",
            f"aws rds modify-db-instance --db-instance-identifier {DATABASE} --no-deletion-protection "
            "--apply-immediately",
        ),
    ]


def test_a_stopped_database_blocks_only_if_it_is_protected(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    account.client("rds").stop_db_instance(DBInstanceIdentifier=DATABASE)
    assert blockers(room, aws) == []

    account.client("rds").start_db_instance(DBInstanceIdentifier=DATABASE)
    account.client("rds").modify_db_instance(DBInstanceIdentifier=DATABASE, DeletionProtection=True)
    account.client("rds").stop_db_instance(DBInstanceIdentifier=DATABASE)

    ((_, command),) = blockers(room, aws)
    assert command.startswith("retailpipe db start --stack retailpipe/anna && aws rds modify-db-instance")


@pytest.mark.parametrize(("status", "blocks"), [("modifying", True), ("starting", True), ("failed", False)])
def test_a_database_that_is_being_changed_blocks(
    account: HandMade, aws: Aws, room: Classroom, status: str, blocks: bool
) -> None:
    from moto.rds.models import rds_backends

    deploy(account, "anna")
    rds_backends[ACCOUNT][REGION].databases[DATABASE].status = status

    found = blockers(room, aws)

    wait = f"aws rds wait db-instance-available --db-instance-identifier {DATABASE}"
    assert found == ([(f"database {DATABASE}", wait)] if blocks else [])


def test_a_policy_attached_by_hand_blocks(account: HandMade, aws: Aws, tmp_path: Path) -> None:
    folder = write_class(tmp_path)
    (folder / "students.csv").write_text(
        "student,email,iam_user,allowed_cidrs\nanna,a@example.com,anna-iam,1.2.3.4/32\n"
    )
    room = Classroom.read(folder)
    deploy(account, "anna")
    iam = account.client("iam")
    iam.create_policy(PolicyName=POLICY.rpartition("/")[2], PolicyDocument=DOCUMENT)
    for user in ("anna-iam", "ben-iam"):
        iam.create_user(UserName=user)
        iam.attach_user_policy(UserName=user, PolicyArn=POLICY)
    iam.create_group(GroupName="course")
    iam.attach_group_policy(GroupName="course", PolicyArn=POLICY)
    role = f"retailpipe-anna-notify-upload-{REGION}"
    for name in ("other", role):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        iam.attach_role_policy(RoleName=name, PolicyArn=POLICY)

    place = f"policy retailpipe-anna-student-{REGION}"
    assert sorted(blockers(room, aws)) == [
        (place, f"aws iam detach-group-policy --group-name course --policy-arn {POLICY}"),
        (place, f"aws iam detach-role-policy --role-name other --policy-arn {POLICY}"),
        (place, f"aws iam detach-role-policy --role-name {role} --policy-arn {POLICY}"),
        (place, f"aws iam detach-user-policy --user-name ben-iam --policy-arn {POLICY}"),
    ]


def statement(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*", **elements}


@pytest.mark.parametrize(
    ("element", "blocks"),
    most_nightly(
        [
            ({}, True),
            ({"Action": ["s3:DeleteObject*"]}, True),
            ({"Action": "s3:deletebucket"}, True),
            ({"Action": "s3:GetObject"}, False),
            ({"Action": None, "NotAction": ["s3:Get*"]}, True),
            ({"Action": None, "NotAction": "s3:*"}, False),
            ({"Effect": "Allow"}, False),
            ({"Condition": {"Bool": {"aws:SecureTransport": "false"}}}, False),
            ({"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
            ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}, True),
            ({"Principal": {"AWS": ["arn:aws:iam::111111111111:role/other"]}}, False),
            ({"Principal": None, "NotPrincipal": {"AWS": "arn:aws:iam::111111111111:root"}}, True),
        ],
        {0, 3, 4, 7, 8, 11},
    ),
)
def test_a_bucket_policy_that_denies_the_removal_blocks(
    account: HandMade, aws: Aws, room: Classroom, element: dict[str, Any], blocks: bool
) -> None:
    deploy(account, "anna")
    elements = {name: value for name, value in statement(**element).items() if value is not None}
    account.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Statement": elements}))

    found = blockers(room, aws)

    assert found == ([(f"bucket {BUCKET}", f"aws s3api delete-bucket-policy --bucket {BUCKET}")] if blocks else [])


def test_a_bucket_with_object_lock_blocks(account: HandMade, aws: Aws, room: Classroom) -> None:
    account.client("s3").create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}, ObjectLockEnabledForBucket=True
    )
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    account.client("s3").put_object_lock_configuration(
        Bucket=BUCKET, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )

    (blocker,) = row_of(rehearse_down(room, aws), "anna").blockers
    assert str(blocker).startswith(f"bucket {BUCKET}: it locks each version for 3 days (GOVERNANCE)")
    assert "put-object-lock-configuration" in blocker.command


# The classroom stack


def test_the_classroom_stays_while_a_students_stack_stays(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna", ephemeral=False)
    network(account)

    assert blockers(room, aws, "classroom") == [("stack classroom", "retailpipe class down --only anna")]


def test_the_security_groups_of_removed_stacks_do_not_block_the_network(
    account: HandMade, aws: Aws, room: Classroom
) -> None:
    deploy(account, "anna")
    vpc = network(account, "retailpipe-anna-database")
    assert blockers(room, aws, "classroom") == []

    ec2 = account.client("ec2")
    by_hand = ec2.create_security_group(GroupName="bastion", Description="x", VpcId=vpc)["GroupId"]
    ec2.create_security_group(GroupName="retailpipe-gone-database", Description="x", VpcId=vpc)

    assert sorted(blockers(room, aws, "classroom")) == [
        (f"network {vpc}", f"aws ec2 delete-security-group --group-id {by_hand}"),
        (f"network {vpc}", "retailpipe class down --only gone"),
    ]


# What would stay, what it cost, and which stacks are meant


def test_what_stays_is_told_with_its_commands(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    account.client("rds").create_db_snapshot(DBInstanceIdentifier=DATABASE, DBSnapshotIdentifier="mine")
    for log in (f"{DATABASE}/postgresql", f"{DATABASE}/upgrade", "retailpipe-anna-2-database/upgrade"):
        account.client("logs").create_log_group(logGroupName=f"/aws/rds/instance/{log}")
    secrets = account.client("secretsmanager")
    arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:db:{DATABASE}"
    secret = secrets.create_secret(Name="old", Tags=[{"Key": "aws:rds:primaryDBInstanceArn", "Value": arn}])["ARN"]
    secrets.delete_secret(SecretId=secret)

    stays = row_of(rehearse_down(room, aws), "anna").stays

    assert [(each.kind, each.name) for each in stays] == [
        ("snapshot", "mine"),
        ("secret in recovery", secret),
        ("log group", f"/aws/rds/instance/{DATABASE}/upgrade"),
    ]
    assert stays[0].removal == f"aws rds delete-db-snapshot --db-snapshot-identifier mine --region {REGION}"
    assert all(each.removal for each in stays)


def test_each_student_has_a_cost(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    later = datetime.now(UTC) + timedelta(days=366)

    plan = rehearse_down(room, aws, now=later)

    anna, ben = row_of(plan, "anna"), row_of(plan, "ben")
    assert anna.cost_from == "price list"
    assert anna.cost
    assert anna.cost > 100
    assert (ben.cost, plan.cost) == (0, anna.cost)


def test_only_named_stacks_are_removed(account: HandMade, aws: Aws, room: Classroom) -> None:
    for stack in ("anna", "ben", "dev"):
        deploy(account, stack)

    assert [row.stack for row in rehearse_down(room, aws, only=["ben"]).rows] == ["ben"]
    assert [row.stack for row in rehearse_down(room, aws, only=["dev"]).rows] == ["dev"]
    assert rehearse_down(room, aws).not_in_roster == ("dev",)


def test_an_unknown_name_is_an_error(account: HandMade, aws: Aws, room: Classroom) -> None:
    with pytest.raises(ClassError, match="has a stack zoe; nothing was removed") as caught:
        rehearse_down(room, aws, only=["anna", "zoe"])

    assert caught.value.hint == "The stacks are anna, ben, classroom."


def test_expired_stacks_are_those_whose_day_has_passed(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    deploy(account, "ben")
    tag_database(account, "anna", ExpiresOn="2030-01-31")
    tag_database(account, "ben", ExpiresOn="not a date")

    def expired(day: int) -> list[str]:
        plan = rehearse_down(
            room, aws, expired=True, now=datetime(2030, 1 if day < 32 else 2, day % 31 or 31, tzinfo=UTC)
        )
        return [row.stack for row in plan.rows]

    assert expired(31) == []
    assert expired(32) == ["anna"]


def test_a_stack_whose_database_is_gone_expires_by_its_other_tags(account: HandMade, aws: Aws, room: Classroom) -> None:
    account.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    tags = {"Project": "retailpipe", "Stack": "anna", "ExpiresOn": "2030-01-31"}
    account.client("s3").put_bucket_tagging(
        Bucket=BUCKET, Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
    )

    (row,) = rehearse_down(room, aws, expired=True, now=datetime(2030, 2, 1, tzinfo=UTC)).rows

    assert (row.stack, row.expires_on.isoformat()) == ("anna", "2030-01-31")


def test_credentials_of_another_account_are_refused(tmp_path: Path, aws: Aws) -> None:
    room = read_class(tmp_path, keys='account = "111111111111"')

    with pytest.raises(AwsError, match="the class is in account 111111111111"):
        rehearse_down(room, aws)


# The proof of absence


def test_nothing_is_left_of_an_empty_account(aws: Aws, room: Classroom) -> None:
    report = absence(room, aws)

    assert report.is_proved
    assert str(report).startswith("nothing is left of 3 stacks of project retailpipe in account 123456789012")


def test_stacks_of_others_are_not_listed(account: HandMade, aws: Aws, room: Classroom) -> None:
    for stack in ("anna", "anna-2", "dev"):
        deploy(account, stack)
    topic = {"Name": "x", "Tags": [{"Key": "Project", "Value": "sales"}, {"Key": "Stack", "Value": "ben"}]}
    account.client("sns").create_topic(**topic)

    assert absence(room, aws, ["ben", "classroom"]).is_proved
    assert {each.stack for each in absence(room, aws, ["anna"]).remains} == {"anna"}


def test_what_is_left_is_listed_by_name_and_by_tag(account: HandMade, aws: Aws, room: Classroom) -> None:
    tags = {"Project": "retailpipe", "Stack": "anna"}
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    account.client("sns").create_topic(Name="retailpipe-anna-notices", Tags=tag_list)
    account.client("sns").create_topic(Name="by-hand", Tags=tag_list)
    vpc = network(account)
    subnet = account.client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.20.0.0/24")["Subnet"]["SubnetId"]
    gateway = account.client("ec2").create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    account.client("ec2").create_tags(
        Resources=[subnet, gateway],
        Tags=[{"Key": "Project", "Value": "retailpipe"}, {"Key": "Stack", "Value": "classroom"}],
    )

    report = absence(room, aws)

    arn = f"arn:aws:sns:{REGION}:{ACCOUNT}"
    found = [(each.stack, each.kind, each.name.rpartition("/")[2], each.found_by) for each in report.remains]
    assert found == [
        ("anna", "topic", f"{arn}:retailpipe-anna-notices", "name"),
        ("anna", "topic", f"{arn}:by-hand", "tag"),
        ("classroom", "ec2:subnet", subnet, "tag"),
        ("classroom", "ec2:internet-gateway", gateway, "tag"),
        ("classroom", "network", vpc, "name"),
    ]
    assert report.remains[0].removal == (
        f"aws sns delete-topic --topic-arn {arn}:retailpipe-anna-notices --region {REGION}"
    )
    assert report.remains[2].removal == f"aws ec2 delete-subnet --subnet-id {subnet} --region {REGION}"


def test_a_role_is_removed_after_its_policies(account: HandMade, aws: Aws, room: Classroom) -> None:
    iam, role = account.client("iam"), f"retailpipe-anna-expiry-{REGION}"
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName=role, PolicyName="right", PolicyDocument=DOCUMENT)

    (resource,) = absence(room, aws).remains

    delete, then = resource.removal.split(" && ")
    assert delete.startswith(f"aws iam delete-role-policy --role-name {role} --policy-name right")
    assert then.startswith(f"aws iam delete-role --role-name {role}")


def test_a_list_that_cannot_be_read_proves_nothing(aws: Aws, room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.sqs.responses import SQSResponse

    def denied(_: Any) -> Any:
        from moto.core.exceptions import JsonRESTError

        raise JsonRESTError("AccessDeniedException", "denied")

    monkeypatch.setattr(SQSResponse, "list_queues", denied)

    report = absence(room, aws)

    assert not report.is_proved
    assert report.unread == (f"cannot list each queue in {REGION}: access denied (ListQueues)",)
    assert rehearse_down(room, aws).unread == report.unread


# The removal


class Engine:
    """Destroys stacks without Pulumi; records the calls. errors: of the stacks that it does not destroy.

    unknown: stacks that Pulumi's state does not have.
    """

    def __init__(self, account: HandMade, aws: Aws, *, unknown: Collection[str] = (), **errors: str) -> None:
        self.calls: list[list[str]] = []
        self._account, self._aws, self._errors, self._unknown = account, aws, errors, unknown

    def __call__(self, stacks: Sequence[str]) -> Mapping[str, Destroyed]:
        self.calls.append([*stacks])
        for stack in stacks:
            if stack not in (*self._errors, *self._unknown) and stack != "classroom":
                self._destroy(stack)
        return {stack: Destroyed(self._errors.get(stack, ""), was_known=stack not in self._unknown) for stack in stacks}

    def _destroy(self, stack: str) -> None:
        self._account.client("ssm").delete_parameters(Names=[f"/retailpipe/{stack}/outputs"])
        name = f"retailpipe-{stack}-database"
        if any(each["DBInstanceIdentifier"] == name for each in self._instances()):
            self._account.client("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
            self._account.client("s3").delete_bucket(Bucket=f"retailpipe-{stack}-{ACCOUNT}-{REGION}")

    def _instances(self) -> list[Any]:
        return self._account.client("rds").describe_db_instances()["DBInstances"]


def test_the_classroom_is_removed_last_and_absence_is_proved(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    engine = Engine(account, aws)

    report = down(room, aws, rehearse_down(room, aws), engine)

    assert engine.calls == [["anna", "ben"], ["classroom"]]
    assert [row.outcome for row in report.rows] == ["removed", "removed", "removed"]
    assert (report.ok, report.absence.remains) == (True, ())


def test_a_failed_stack_keeps_the_classroom(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    deploy(account, "ben")
    engine = Engine(account, aws, ben="the engine says why")

    report = down(room, aws, rehearse_down(room, aws), engine)

    assert engine.calls == [["anna", "ben"]]
    assert [(row.stack, row.outcome, row.reason) for row in report.rows] == [
        ("anna", "removed", ""),
        ("ben", "failed", "the engine says why"),
        ("classroom", "kept", "it is still used by ben"),
    ]
    assert not report.ok
    assert {each.stack for each in report.absence.remains} == {"ben"}
    assert report.state == ()


def test_a_stack_that_pulumi_does_not_know_is_not_called_removed(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    engine = Engine(account, aws, unknown=("anna", "ben"))

    report = down(room, aws, rehearse_down(room, aws), engine)

    assert [(row.stack, row.outcome) for row in report.rows] == [
        ("anna", "failed"),
        ("ben", "absent"),
        ("classroom", "kept"),
    ]
    assert report.rows[0].reason == "Pulumi's state does not have this stack, but AWS does: see what is left of it"
    assert {each.stack for each in report.absence.remains} == {"anna"}
    assert not report.ok


def test_a_blocked_stack_is_not_tried(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna", ephemeral=False)
    engine = Engine(account, aws)

    report = down(room, aws, rehearse_down(room, aws), engine)

    assert engine.calls == [["ben"]]
    assert [row.outcome for row in report.rows] == ["blocked", "removed", "blocked"]
    assert report.rows[0].reason == "stack anna: its setting `ephemeral` is false"
    assert not report.ok


def test_what_the_engine_leaves_is_told(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")
    account.client("rds").create_db_snapshot(DBInstanceIdentifier=DATABASE, DBSnapshotIdentifier="mine")

    report = down(room, aws, rehearse_down(room, aws), Engine(account, aws))

    assert [(each.kind, each.name) for each in report.absence.remains] == [("snapshot", "mine")]
    assert not report.ok


def test_the_commands_that_remove_the_state_are_told_at_the_end(account: HandMade, aws: Aws, room: Classroom) -> None:
    (room.folder / "state").mkdir()

    whole = down(room, aws, rehearse_down(room, aws), Engine(account, aws))
    part = down(room, aws, rehearse_down(room, aws, only=["ben"]), Engine(account, aws))

    assert whole.state == (f"rm -r {room.folder}/state",)
    assert part.state == ()


# The command


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["class", "down", *arguments])


def test_the_rehearsal_is_printed_with_commands_for_this_class(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna", ephemeral=False)

    result = run("--class", str(room.folder), "--dry-run")

    assert result.exit_code == 1
    assert "anna: blocked, 4 resources" in result.output
    assert f"class down --class {room.folder} --only anna" in result.output


def test_the_rehearsal_as_json(account: HandMade, aws: Aws, room: Classroom) -> None:
    deploy(account, "anna")

    result = run("--class", str(room.folder), "--dry-run", "--json", "--only", "anna")

    assert result.exit_code == 0
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["stack"], row["resources"], row["blockers"]) == ("anna", 4, [])


@pytest.mark.parametrize(
    ("option", "message"), [("", "cannot ask for confirmation"), ("--yes", "the pulumi command is not on PATH")]
)
def test_nothing_is_removed_without_confirmation_or_without_pulumi(
    account: HandMade, aws: Aws, room: Classroom, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    deploy(account, "anna")
    monkeypatch.setenv("PATH", str(room.folder))

    result = run("--class", str(room.folder), *filter(None, [option]))

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not absence(room, aws).is_proved
