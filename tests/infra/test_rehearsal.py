"""The whole day on AWS's stand-in: the program made by the real provider, then everything a student does, then the end.

`make rehearse` runs it. The tests are steps of one day, in their order. Only endpoints differ from production: the
standard variables name the stand-in, and the outputs a PostgreSQL with TLS on this machine in place of RDS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from retailpipe.outputs import StackOutputs
from retailpipe.sample import write_sample
from tests.support.aws import moto_server, recorded_calls
from tests.support.declared import Declared, declare
from tests.support.stacks import REGION, variables
from tests.support.terraform.command import Terraform, skip_unless_installed
from tests.support.terraform.deployer import FILE, MAX_CHARACTERS, NOT_ON_MOTO, REHEARSED, make_user, policy_for
from tests.support.terraform.rewrite import rewrite
from tests.support.tls_server import PASSWORD, USER, TlsServer

pytestmark = pytest.mark.rehearse

BY_OTHER_NAMES = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "lambda:Invoke": "lambda:InvokeFunction",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
"""What IAM calls operations that it has other names for."""


@dataclass
class Day:
    """calls: what Terraform's provider asked of AWS. students: what the student's commands did, and the Lambdas."""

    declared: Declared
    terraform: Terraform
    endpoint: str
    calls: set[tuple[str, str]]
    folder: Path
    environment: dict[str, str]
    students: set[tuple[str, str]] = field(default_factory=set)

    def client(self, service: str) -> Any:
        return boto3.Session("test", "test", region_name=REGION).client(service, endpoint_url=self.endpoint)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """A command as the student types it."""
        command = [sys.executable, "-m", "retailpipe", *map(str, arguments)]
        with recorded_calls() as calls:
            run = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        self.students.update(calls)
        return run

    def done(self, *arguments: str | Path) -> str:
        run = self.run(*arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, tls: TlsServer) -> Iterator[Day]:
    skip_unless_installed()
    folder = tmp_path_factory.mktemp("terraform")
    declared = declare(REHEARSED)
    home = tmp_path_factory.mktemp("a student")
    with moto_server() as endpoint:
        make_user(endpoint)
        terraform = Terraform(
            folder, rewrite(declared, folder, leave_out=NOT_ON_MOTO), region=REGION, endpoint=endpoint
        )
        with recorded_calls() as calls:
            terraform.run("apply", "-auto-approve")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RETAILPIPE_"))},
            **variables(endpoint, tls.ca),
            "RETAILPIPE_STACK": "dev",
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        yield Day(declared, terraform, endpoint, calls, home, environment)


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real one where it is; else one that is made."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail.xlsx"
    real = Path(os.environ.get("RETAILPIPE_DATASET", beside))
    if real.is_file():
        return real
    made = tmp_path_factory.mktemp("workbook") / "online_retail.xlsx"
    write_sample(made, rows=50_000)
    return made


def test_a_second_plan_is_empty(day: Day) -> None:
    planned = day.terraform.call("plan", "-detailed-exitcode")

    assert planned.returncode == 0, planned.stdout + planned.stderr


def test_the_parameter_holds_what_is_exported(day: Day) -> None:
    exported = {name: output["value"] for name, output in day.terraform.json("output", "-json").items()}
    outputs = StackOutputs.from_mapping(exported)

    ssm = day.client("ssm")
    kept = ssm.get_parameter(Name=outputs.parameter)["Parameter"]["Value"]
    ssm.close()

    assert StackOutputs.from_json(kept) == outputs


def test_this_machine_stands_in_for_rds(day: Day, tls: TlsServer) -> None:
    """The outputs' host, and what the managed secret holds, are all that is changed for the day."""
    ssm, secrets = day.client("ssm"), day.client("secretsmanager")
    outputs = json.loads(ssm.get_parameter(Name="/retailpipe/dev/outputs")["Parameter"]["Value"])
    outputs.update(database_host="localhost", database_port=tls.port)
    ssm.put_parameter(Name="/retailpipe/dev/outputs", Value=json.dumps(outputs), Type="String", Overwrite=True)
    secret = json.dumps({"username": USER, "password": PASSWORD})
    secrets.put_secret_value(SecretId=outputs["database_secret_arn"], SecretString=secret)
    ssm.close()
    secrets.close()

    failed = [point["name"] for point in json.loads(day.run("check", "--json").stdout)["points"] if not point["ok"]]

    assert failed == ["schemas", "transformation fresh"]


def test_an_upload_is_heard(day: Day, workbook: Path) -> None:
    """S3 calls the one Lambda, that tells the topic, and the topic the queue; the other says that it waits."""
    day.done("upload", workbook)

    sqs = day.client("sqs")
    url = sqs.get_queue_url(QueueName="retailpipe-dev-uploads")["QueueUrl"]
    names = ["ApproximateNumberOfMessages"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]]
    sqs.close()

    assert int(told) >= 1
    assert json.loads(day.done("schedule", "run-now", "--json")) == {"pulled": None, "waiting": 1}
    assert "published" in day.done("logs", "notify-upload")


def test_the_watcher_does_the_rest(day: Day, workbook: Path) -> None:
    handled = [json.loads(line) for line in day.done("watch", "--once", "--json").splitlines()]

    assert [load["status"] for each in handled if each["run"] for load in each["run"]["loads"]] == ["loaded"]
    assert all(each["failures"] == [] for each in handled)
    assert json.loads(day.done("schedule", "run-now", "--json")) == {"pulled": None, "waiting": 0}


def test_all_nine_points_hold_and_all_layers_agree(day: Day) -> None:
    report = json.loads(day.done("check", "--json"))

    assert len(report["points"]) == 9
    assert report["ok"]
    assert json.loads(day.done("verify", "--json"))["ok"]
    assert "nothing waits" in day.done("status")
    assert "nothing to build" in day.done("run")


def test_the_rest_of_the_course(day: Day) -> None:
    day.done("env", "--write", "aws_config.env")
    day.done("subscribe")
    day.done("schedule", "on")
    day.done("schedule", "off")
    day.done("db", "status")
    day.done("db", "stop")
    day.done("db", "start")
    assert json.loads(day.done("cost", "--json"))["running"] > 50  # with its NAT gateway


def test_the_students_policy_allows_all_of_that(day: Day) -> None:
    policy = json.loads(day.declared.one("Policy").inputs["policy"])
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}

    asked = {f"{service}:{operation}" for service, operation in day.students if service != "sts"}
    assert {BY_OTHER_NAMES.get(action, action) for action in asked} <= allowed


def test_cleanup_and_destroy_leave_nothing(day: Day) -> None:
    """There is no pulumi command: cleanup empties, destroy takes down, and a second cleanup finds nothing."""
    emptied = day.run("cleanup", "--yes")
    with recorded_calls() as calls:
        day.terraform.run("destroy", "-auto-approve")
    day.calls.update(calls)
    second, third = day.done("cleanup", "--yes"), day.done("cleanup", "--yes")

    assert "pulumi destroy --stack dev" in emptied.stdout
    assert second == third == "nothing is left of stack dev\n"
    tagged = day.client("resourcegroupstaggingapi")
    found = tagged.get_resources(TagFilters=[{"Key": "Project", "Values": ["retailpipe"]}])["ResourceTagMappingList"]
    tagged.close()
    # A gateway is listed for some time after it is deleted, here as on AWS.
    assert not [each["ResourceARN"] for each in found if ":natgateway/" not in each["ResourceARN"]]
    assert day.terraform.run("state", "list") == ""
    assert [path for path in day.folder.rglob("*") if path.is_file()] == []


def test_the_deployers_policy_allows_every_call(day: Day) -> None:
    """Made anew by `python -m tests.support.terraform.deployer`."""
    policy = json.loads(FILE.read_text())

    assert policy == policy_for(day.calls)
    assert len(json.dumps(policy, separators=(",", ":"))) <= MAX_CHARACTERS


EVERYWHERE = {
    "cloudwatch:Describe*", "ec2:CreateVpc", "iam:GetUser", "logs:Describe*", "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes", "sns:Unsubscribe", "ssm:Describe*",
}  # fmt: skip
"""Actions that AWS allows on everything or not at all, by its Service Authorization Reference."""


def test_the_deployers_policy_names_no_resource_where_aws_takes_none() -> None:
    statements = json.loads(FILE.read_text())["Statement"]
    everywhere = {action for each in statements if each["Resource"] == ["*"] for action in each["Action"]}

    assert everywhere >= EVERYWHERE
    (of_rds,) = [each["Resource"] for each in statements if "rds:CreateDBInstance" in each["Action"]]
    assert "arn:aws:rds:*:*:og:default*" in of_rds
