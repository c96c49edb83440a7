"""`class plan` on the simulated AWS: rows, refusals, quotas, credentials, and what is printed."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from retailpipe import AwsError, ClassError
from retailpipe.aws import quotas
from retailpipe.aws.quotas import QuotaUsage, quota_usage
from retailpipe.aws.session import Aws
from retailpipe.classroom.plan import plan
from retailpipe.classroom.quotas import check_quotas, needs
from retailpipe.hints import complete_commands
from retailpipe.settings import Settings
from tests.conftest import Program
from tests.support.aws import recorded_calls
from tests.support.classes import create_database, deploy, read_class, write_class
from tests.support.stacks import REGION, HandMade
from tests.support.terminals import on_a_terminal

THIRTY = [f"s{n}" for n in range(30)]


@pytest.fixture(scope="module")
def deployed(account: HandMade) -> HandMade:
    """The account with stacks: of anna and dora, one that is protected, one of another program, and a half one."""
    deploy(account, "anna", alarms=6, dashboard="retailpipe-anna")
    deploy(account, "dora")
    deploy(account, "ed", ephemeral=False)
    ssm = account.client("ssm")
    ssm.put_parameter(Name="/retailpipe/finn/outputs", Value='{"version": 1, "project": "other"}', Type="String")
    ssm.put_parameter(Name="/retailpipe/gus/north/outputs", Value="{}", Type="String")
    ssm.put_parameter(Name="/retailpipe/anna/note", Value="not outputs", Type="String")
    ssm.put_parameter(Name="/retailpipe-2/ben/outputs", Value="{}", Type="String")
    for n in range(12):
        account.client("cloudwatch").put_metric_alarm(
            AlarmName=f"alarm {n}", MetricName="m", Namespace="n", Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold", Statistic="Sum",
        )  # fmt: skip
    for n in range(4):
        account.client("cloudwatch").put_dashboard(DashboardName=f"d{n}", DashboardBody="{}")
    return account


def test_each_student_has_a_row(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    found = plan(read_class(tmp_path, ["anna", "ben"]), aws)

    assert [(row.stack, row.action) for row in found.rows] == [
        ("classroom", "create"), ("anna", "deployed"), ("ben", "create"),
        ("dora", "gone"), ("ed", "gone"), ("finn", "gone"), ("gus", "gone"),
    ]  # fmt: skip
    assert str(found) == "7 stacks: 2 create, 1 deployed, 4 gone from the roster"
    assert found.ok
    assert (found.rows[1].worst, found.rows[1].expected) == (20.33, 6.33)


def test_databases_of_students_who_left_the_roster_are_in_the_cost(
    deployed: HandMade, aws: Aws, tmp_path: Path
) -> None:
    cost = plan(read_class(tmp_path, ["anna"]), aws).cost

    (part,) = [part for part in cost.parts if part.part == "not in the roster"]
    assert (part.worst, part.expected, part.about) == (36.06, 36.06, "dora,ed; all day")
    assert part.lower == "`retailpipe class down --only dora,ed` removes them"
    assert cost.worst == round(20.33 + 36.06, 2)


def test_a_class_whose_notices_reach_nobody_is_told(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    (warning,) = plan(read_class(tmp_path / "none", ["anna"]), aws).warnings
    emails = '[settings]\nnotifyEmails = ["instructor@example.com"]'

    assert "nobody gets an email when the class's budget is used up" in warning
    assert plan(read_class(tmp_path / "one", ["anna"], settings=emails), aws).warnings == ()


def test_a_network_with_the_tag_of_the_classroom_is_the_classroom(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Pipeline", "Value": "retailpipe-classroom"}]}]
    vpc = deployed.client("ec2").create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]

    found = plan(read_class(tmp_path, ["anna"]), aws)

    deployed.client("ec2").delete_vpc(VpcId=vpc)
    assert (found.rows[0].stack, found.rows[0].action) == ("classroom", "deployed")
    assert found.quotas == ()  # nothing more is needed


def test_previews_refine_what_is_deployed(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    found = plan(read_class(tmp_path, ["anna", "ben", "dora"]), aws)

    refined = found.refined({"anna": 3, "ben": 45, "dora": 0})

    rows = {row.stack: (row.action, row.resources) for row in refined.rows}
    assert rows["anna"] == ("change", 3)
    assert rows["ben"] == ("create", 45)
    assert rows["dora"] == ("unchanged", 0)
    assert rows["classroom"] == ("create", None)
    json.dumps(refined.as_dict())


@pytest.mark.parametrize(
    ("student", "problem"),
    [
        ("ed", "it is protected (`ephemeral` is false), so it is not of a class"),
        ("finn", "the outputs in /retailpipe/finn/outputs have no stack"),
        ("gus", "it has several pipelines"),
    ],
)
def test_a_stack_that_is_not_of_the_class_is_refused(
    deployed: HandMade, aws: Aws, tmp_path: Path, student: str, problem: str
) -> None:
    found = plan(read_class(tmp_path, [student]), aws)

    assert not found.ok
    (refusal,) = found.refusals
    assert refusal == f"a stack {student} already exists: {problem}. Remove it, or give the student another name"
    with pytest.raises(ClassError, match=f"a stack {student} already exists"):
        found.check()


def test_alarms_and_dashboards_of_the_account_are_counted_without_those_of_the_class(
    deployed: HandMade, aws: Aws, tmp_path: Path
) -> None:
    settings = "[settings]\nalarms = true\ndashboard = true\n"

    parts = {part.part: part for part in plan(read_class(tmp_path, ["anna"], settings=settings), aws).cost.parts}

    # Of 12 alarms, 6 are anna's: 6 + 6 are 2 more than the free 10. Of 4 dashboards, one is: 3 + 1.
    assert parts["alarms"].worst == pytest.approx(0.2)
    assert parts["dashboards"].worst == 3


def test_a_class_that_can_cost_too_much_is_refused(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    found = plan(read_class(tmp_path, ["anna"], limit=20), aws)

    (refusal,) = found.refusals
    assert refusal.startswith(f"{tmp_path / 'class.toml'}: a month of the class can cost 56.39 USD")


def test_a_class_that_has_expired_is_refused(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    classroom = read_class(tmp_path, ["anna"])

    assert plan(classroom, aws, today=date(2099, 3, 31)).ok
    (refusal,) = plan(classroom, aws, today=date(2099, 4, 1)).refusals
    assert "expires_on, 2099-03-31, is in the past" in refusal


def test_credentials_of_another_account_are_refused(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    classroom = read_class(tmp_path, keys='account = "999999999999"')

    with pytest.raises(AwsError, match="the class is in account 999999999999, but the credentials belong to 1234"):
        plan(classroom, aws)


def test_missing_credentials_are_told_with_the_way_to_log_in(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(AwsError, match="Unable to locate credentials") as caught:
        plan(read_class(tmp_path / "class"), Aws(region=REGION))

    assert "aws sso login" in caught.value.hint


# quotas


def needed(**changes: int) -> dict[str, int]:
    return {name.replace("_", " "): count for name, count in changes.items()}


def test_a_class_of_thirty_fits_a_new_account(tmp_path: Path) -> None:
    settings = [Settings.read({"allowedCidrs": "1.2.3.4/32", "nightlyStop": "18:00", "expiresOn": "2099-03-31"})] * 30

    found = needs(settings, network=True)

    assert (found["VPCs"], found["gateway endpoints"], found["DB instances"]) == (1, 1, 30)
    assert (found["GB of database storage"], found["IAM roles"], found["IAM policies"]) == (1200, 120, 30)
    defaults = {quota.name: quota.default for quota in quotas.QUOTAS}
    assert found.keys() == defaults.keys()
    assert [name for name, count in found.items() if count > defaults[name]] == []


def test_only_what_is_not_yet_deployed_is_needed(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    found = plan(read_class(tmp_path, ["anna", "ben", "cara"]), aws)

    checks = {check.name: check for check in found.quotas}
    assert (checks["DB instances"].needed, checks["DB instances"].used, checks["DB instances"].limit) == (2, 3, 40)
    assert checks["DB instances"].limit_from == "documentation"
    assert (checks["VPCs"].needed, checks["VPCs"].used, checks["VPCs"].limit_from) == (1, 1, "AWS")
    assert checks["GB of database storage"].used is None  # less than 1 % of the quota is needed


def test_a_quota_that_is_too_low_is_told_with_the_command_that_raises_it(
    deployed: HandMade, aws: Aws, tmp_path: Path
) -> None:
    found = plan(read_class(tmp_path, [f"s{n}" for n in range(39)], limit=1000), aws)

    (refusal,) = found.refusals
    assert refusal.split("\n") == [
        "the quota of DB instances is too low: 3 of 40 are used, and the class needs 39 more",
        "  raise it: aws service-quotas request-service-quota-increase --service-code rds --quota-code L-7B6409FD "
        "--desired-value 42 --region eu-central-1",
        "  or at https://eu-central-1.console.aws.amazon.com/servicequotas/home/services/rds/quotas/L-7B6409FD",
    ]


def test_existing_networks_count(account: HandMade, aws: Aws) -> None:
    made = [account.client("ec2").create_vpc(CidrBlock=f"10.{n}.0.0/16")["Vpc"]["VpcId"] for n in range(4)]
    account.client("ec2").create_vpc_endpoint(
        VpcId=made[0], ServiceName="com.amazonaws.eu-central-1.s3", VpcEndpointType="Gateway"
    )

    networks, endpoints = check_quotas(needed(VPCs=1, gateway_endpoints=1), aws)
    for vpc in made[1:]:
        account.client("ec2").delete_vpc(VpcId=vpc)

    assert (networks.used, networks.limit, networks.ok) == (5, 5, False)
    assert (endpoints.used, endpoints.ok) == (1, True)


def test_a_quota_of_the_whole_account_is_raised_in_its_own_region(aws: Aws) -> None:
    (roles,) = check_quotas(needed(IAM_roles=2000), aws)

    assert not roles.ok
    assert "--region us-east-1" in roles.raise_command


def test_the_storage_of_existing_databases_counts(account: HandMade, aws: Aws) -> None:
    before = quota_usage(quotas.DATABASE_STORAGE, 5000, aws).used
    create_database(account, "large", storage=500)

    after = quota_usage(quotas.DATABASE_STORAGE, 5000, aws).used

    assert before is not None
    assert after == before + 500
    account.client("rds").delete_db_instance(DBInstanceIdentifier="large", SkipFinalSnapshot=True)


@pytest.mark.parametrize("quota", quotas.QUOTAS, ids=lambda quota: quota.name)
def test_the_use_of_every_quota_can_be_counted(aws: Aws, quota: quotas.Quota) -> None:
    usage = quota_usage(quota, quota.default, aws)

    assert isinstance(usage.used, int)
    assert usage.limit == quota.default


def test_a_call_that_is_denied_is_not_an_error(aws: Aws) -> None:
    def denied(aws: Aws) -> int:
        raise AwsError("access denied", code="AccessDenied")

    usage = quota_usage(quotas.Quota("things", "vpc", "L-0", 40, denied), 30, aws)

    assert usage == QuotaUsage(usage.quota, 40, True, None, "access denied")


def test_expired_credentials_stop_the_quotas(aws: Aws) -> None:
    def expired(aws: Aws) -> int:
        raise AwsError("the AWS session has expired", code="ExpiredToken")

    with pytest.raises(AwsError, match="expired"):
        quota_usage(quotas.Quota("things", "vpc", "L-0", 40, expired), 30, aws)


# the command


def test_hints_name_the_class() -> None:
    options = ["--class", "my class"]

    assert complete_commands("Run `retailpipe class plan`.", options) == "Run `retailpipe class plan --class my class`."
    assert complete_commands("`retailpipe class init FOLDER`", options) == "`retailpipe class init FOLDER`"
    assert complete_commands("`retailpipe class plan --class x`", options) == "`retailpipe class plan --class x`"


def test_the_plan_of_thirty_students_only_reads(deployed: HandMade, aws: Aws, tmp_path: Path) -> None:
    classroom = read_class(tmp_path, THIRTY)

    with recorded_calls() as calls:
        found = plan(classroom, aws)

    assert found.ok, found.refusals
    assert [name for _, name in calls if not name.startswith(("Get", "List", "Describe"))] == []


def test_the_command_prints_the_plan_and_refuses(
    deployed: HandMade, aws: Aws, program: Program, tmp_path: Path
) -> None:
    write_class(tmp_path / "class", ["ben"], limit=20)

    done = program("class", "plan", "--class", "class")

    assert done.returncode == 1
    assert "ben        create                    6.33    20.33" in done.stdout
    assert "refused: " in done.stdout
    assert "lower it: `databaseMaxStorage = 0`" in done.stdout


def test_the_command_prints_json(deployed: HandMade, aws: Aws, program: Program, tmp_path: Path) -> None:
    write_class(tmp_path / "class", ["anna"])

    document = json.loads(program("class", "plan", "--class", "class", "--json").stdout)

    assert document["ok"] is True
    assert document["cost"]["students"] == [{"student": "anna", "worst": 20.33, "expected": 6.33}]
    assert document["quotas"][0]["name"] == "VPCs"


@pytest.mark.parametrize("columns", [60, 200])
def test_the_plan_fits_the_terminal(deployed: HandMade, aws: Aws, tmp_path: Path, columns: int) -> None:
    write_class(tmp_path / "class", ["anna", "maximiliane-anna"])

    shown, code = on_a_terminal(["class", "plan", "--class", "class"], tmp_path, columns)

    assert code == 0, shown
    tables = shown[: shown.index("the class can be deployed")]
    assert max(len(line) for line in tables.splitlines() if not line.startswith("the terminal")) <= columns
    assert ("shared by all students" in shown) == (columns == 200)
