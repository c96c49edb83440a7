"""A rehearsal on a simulated AWS: deploy the program, run all commands of a student, and destroy the stack.

`make rehearse` runs it. The tests are the steps of one session and depend on their order. Only endpoints differ from
production: AWS's standard environment variables point to it, and the outputs point to a PostgreSQL server
with TLS on this machine instead of RDS.
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
"""IAM's action name for each operation with a different name."""


@dataclass
class Session:
    """A deployed stack and a student's computer.

    deployer_calls, student_calls: the AWS operations that Terraform's provider called, and those that the student's
    commands and the Lambdas called.
    """

    declared: Declared
    terraform: Terraform
    endpoint: str
    deployer_calls: set[tuple[str, str]]
    folder: Path
    environment: dict[str, str]
    student_calls: set[tuple[str, str]] = field(default_factory=set)

    def client(self, service: str) -> Any:
        return boto3.Session("test", "test", region_name=REGION).client(service, endpoint_url=self.endpoint)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a retailpipe command, which may fail, as the student does."""
        command = [sys.executable, "-m", "retailpipe", *map(str, arguments)]
        with recorded_calls() as calls:
            run = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
        self.student_calls.update(calls)
        return run

    def output_of(self, *arguments: str | Path) -> str:
        """Run a retailpipe command that must succeed, and return its output."""
        run = self.run(*arguments)
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, tls: TlsServer) -> Iterator[Session]:
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
        yield Session(declared, terraform, endpoint, calls, home, environment)


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real workbook if it is on this machine; otherwise a generated one."""
    shared = Path(__file__).resolve().parents[3] / "shared" / "data" / "online_retail.xlsx"
    real = Path(os.environ.get("RETAILPIPE_DATASET", shared))
    if real.is_file():
        return real
    generated = tmp_path_factory.mktemp("workbook") / "online_retail.xlsx"
    write_sample(generated, rows=50_000)
    return generated


def test_a_second_plan_is_empty(session: Session) -> None:
    plan = session.terraform.call("plan", "-detailed-exitcode")

    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_the_parameter_holds_the_exported_outputs(session: Session) -> None:
    exported = {name: output["value"] for name, output in session.terraform.json("output", "-json").items()}
    outputs = StackOutputs.from_mapping(exported)

    ssm = session.client("ssm")
    stored = ssm.get_parameter(Name=outputs.parameter)["Parameter"]["Value"]
    ssm.close()

    assert StackOutputs.from_json(stored) == outputs


def test_check_connects_to_the_database_on_this_machine(session: Session, tls: TlsServer) -> None:
    """Only the host and port in the outputs, and the content of the managed secret, are changed for the session."""
    ssm, secrets = session.client("ssm"), session.client("secretsmanager")
    outputs = json.loads(ssm.get_parameter(Name="/retailpipe/dev/outputs")["Parameter"]["Value"])
    outputs.update(database_host="localhost", database_port=tls.port)
    ssm.put_parameter(Name="/retailpipe/dev/outputs", Value=json.dumps(outputs), Type="String", Overwrite=True)
    secret = json.dumps({"username": USER, "password": PASSWORD})
    secrets.put_secret_value(SecretId=outputs["database_secret_arn"], SecretString=secret)
    ssm.close()
    secrets.close()

    failed = [point["name"] for point in json.loads(session.run("check", "--json").stdout)["points"] if not point["ok"]]

    assert failed == ["schemas", "transformation fresh"]


def test_an_upload_reaches_the_queue(session: Session, workbook: Path) -> None:
    """S3 calls notify_upload, which publishes to the topic, which sends to the queue; check_bucket counts it."""
    session.output_of("upload", workbook)

    sqs = session.client("sqs")
    url = sqs.get_queue_url(QueueName="retailpipe-dev-uploads")["QueueUrl"]
    names = ["ApproximateNumberOfMessages"]
    messages = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]]
    sqs.close()

    assert int(messages) >= 1
    assert json.loads(session.output_of("schedule", "run-now", "--json")) == {"pulled": None, "waiting": 1}
    assert "published" in session.output_of("logs", "notify-upload")


def test_watch_loads_the_upload(session: Session, workbook: Path) -> None:
    handled = [json.loads(line) for line in session.output_of("watch", "--once", "--json").splitlines()]

    assert [load["status"] for each in handled if each["run"] for load in each["run"]["loads"]] == ["loaded"]
    assert all(each["failures"] == [] for each in handled)
    assert json.loads(session.output_of("schedule", "run-now", "--json")) == {"pulled": None, "waiting": 0}


def test_all_nine_checks_pass_and_all_layers_agree(session: Session) -> None:
    report = json.loads(session.output_of("check", "--json"))

    assert len(report["points"]) == 9
    assert report["ok"]
    assert json.loads(session.output_of("verify", "--json"))["ok"]
    assert "no new workbooks" in session.output_of("status")
    assert "nothing to build" in session.output_of("run")


def test_the_other_commands_of_the_walkthrough_succeed(session: Session) -> None:
    session.output_of("env", "--write", "aws_config.env")
    session.output_of("subscribe")
    session.output_of("schedule", "on")
    session.output_of("schedule", "off")
    session.output_of("db", "status")
    session.output_of("db", "stop")
    session.output_of("db", "start")
    assert json.loads(session.output_of("cost", "--json"))["running"] > 50  # with its NAT gateway


def test_the_students_policy_allows_every_call(session: Session) -> None:
    policy = json.loads(session.declared.one("Policy").inputs["policy"])
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}

    called = {f"{service}:{operation}" for service, operation in session.student_calls if service != "sts"}
    assert {BY_OTHER_NAMES.get(action, action) for action in called} <= allowed


def test_cleanup_and_destroy_leave_nothing(session: Session) -> None:
    """Without a pulumi command, cleanup only empties the stack. After Terraform destroys it, cleanup finds nothing."""
    first = session.run("cleanup", "--yes")
    with recorded_calls() as calls:
        session.terraform.run("destroy", "-auto-approve")
    session.deployer_calls.update(calls)
    second, third = session.output_of("cleanup", "--yes"), session.output_of("cleanup", "--yes")

    assert "pulumi destroy --stack dev" in first.stdout
    assert second == third == "nothing is left of stack dev\n"
    tagged = session.client("resourcegroupstaggingapi")
    found = tagged.get_resources(TagFilters=[{"Key": "Project", "Values": ["retailpipe"]}])["ResourceTagMappingList"]
    tagged.close()
    # moto, like AWS, lists a NAT gateway for some time after it is deleted.
    assert not [each["ResourceARN"] for each in found if ":natgateway/" not in each["ResourceARN"]]
    assert session.terraform.run("state", "list") == ""
    assert [path for path in session.folder.rglob("*") if path.is_file()] == []


def test_the_deployers_policy_allows_every_call(session: Session) -> None:
    """If it fails, run `python -m tests.support.terraform.deployer`, which writes the policy again."""
    policy = json.loads(FILE.read_text())

    assert policy == policy_for(session.deployer_calls)
    assert len(json.dumps(policy, separators=(",", ":"))) <= MAX_CHARACTERS


UNLIMITED = {
    "cloudwatch:Describe*", "ec2:CreateVpc", "iam:GetUser", "logs:Describe*", "sns:GetSubscriptionAttributes",
    "sns:SetSubscriptionAttributes", "sns:Unsubscribe", "ssm:Describe*",
}  # fmt: skip
"""Actions that AWS cannot limit to resources, according to its Service Authorization Reference."""


def test_actions_without_resource_limits_apply_to_all_resources() -> None:
    statements = json.loads(FILE.read_text())["Statement"]
    unlimited = {action for each in statements if each["Resource"] == ["*"] for action in each["Action"]}

    assert unlimited >= UNLIMITED
    (of_rds,) = [each["Resource"] for each in statements if "rds:CreateDBInstance" in each["Action"]]
    assert "arn:aws:rds:*:*:og:default*" in of_rds
