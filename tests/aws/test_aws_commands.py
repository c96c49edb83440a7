"""The commands for an AWS stack, run as a user types them, on the simulated AWS (moto)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from retailpipe import Environment, check
from retailpipe.aws.cleanup import Cleanup
from retailpipe.aws.session import Aws, aws_errors
from retailpipe.aws.stack import stack_folder
from retailpipe.durations import parse_duration
from retailpipe.errors import AwsError, UsageError
from tests.conftest import Program, Workbook
from tests.support.lacking import skip
from tests.support.stacks import HandMade
from tests.support.tls_server import PASSWORD, USER

STACK = ("--stack", "dev")
POINTS = [
    "credentials", "bucket", "database instance", "connection", "schemas", "Lambdas", "topic", "ingestion complete",
    "transformation fresh",
]  # fmt: skip


def done(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


# env


def test_env_prints_variables_that_a_shell_can_evaluate(made: HandMade, program: Program) -> None:
    printed = done(program("env", *STACK))
    script = f'{printed}\nprintf \'%s \' "$AWS_S3_BUCKET" "$AWS_RDS_PORT" "$STACK_NAME" "$AWS_RDS_USER"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert shell.stdout.split() == [made.outputs["bucket"], str(made.outputs["database_port"]), "dev", USER]
    assert len(printed.splitlines()) == 10
    assert PASSWORD not in printed


def test_env_writes_a_file_that_only_its_owner_can_read(made: HandMade, program: Program, tmp_path: Path) -> None:
    done(program("env", *STACK, "--with-password", "--write", "aws_config.env"))

    file = tmp_path / "aws_config.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    script = f'. "{file}" && printf %s "$AWS_RDS_PASSWORD"'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert shell.stdout == PASSWORD


def test_env_leaves_no_temporary_file_if_it_cannot_write(made: HandMade, program: Program, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    failed = program("env", *STACK, "--with-password", "--write", "folder")

    assert failed.returncode == 1
    assert "cannot write folder" in failed.stderr
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".folder")] == []


# check


@pytest.fixture
def loaded(on_aws: Environment, make_workbook: Workbook) -> Environment:
    import retailpipe

    assert retailpipe.run(on_aws, make_workbook()).ok
    return on_aws


def test_all_nine_points_pass_on_a_loaded_stack(loaded: Environment, program: Program) -> None:
    report = json.loads(done(program("check", *STACK, "--json")))

    assert [point["name"] for point in report["points"]] == POINTS
    assert report["ok"]


def test_every_point_is_checked_and_has_a_hint(on_aws: Environment, made: HandMade) -> None:
    """The outputs of this stack exist, but not its resources."""
    outputs = made.outputs
    made.client("s3").delete_bucket(Bucket=outputs["bucket"])
    made.client("rds").delete_db_instance(DBInstanceIdentifier=outputs["database_instance"], SkipFinalSnapshot=True)
    made.client("secretsmanager").delete_secret(
        SecretId=outputs["database_secret_arn"], ForceDeleteWithoutRecovery=True
    )
    for function in ("notify_function", "check_function"):
        made.client("lambda").delete_function(FunctionName=outputs[function])
    made.client("sns").delete_topic(TopicArn=outputs["topic_arn"])

    report = check(on_aws)

    assert [point.name for point in report.points] == POINTS
    assert [point.name for point in report.points if point.ok] == ["credentials"]
    for point in report.points[1:]:
        assert point.hint or "cannot" in point.detail, point


@pytest.mark.parametrize(
    ("broken", "point", "detail"),
    [
        ("notification", "Lambdas", "does not notify retailpipe-dev-notify-upload"),
        (
            "permission",
            "Lambdas",
            "Lambda retailpipe-dev-notify-upload does not exist, or nothing is allowed to call it",
        ),
        ("versions", "bucket", "is not enabled"),
        ("queue", "topic", "is not subscribed to the topic"),
        ("stopped", "database instance", "is stopped"),
        ("account", "credentials", "belongs to account 123456789012"),
    ],
)
def test_check_names_the_broken_part(made: HandMade, broken: str, point: str, detail: str) -> None:
    outputs, s3 = made.outputs, made.client("s3")
    if broken == "notification":
        s3.put_bucket_notification_configuration(Bucket=outputs["bucket"], NotificationConfiguration={})
    elif broken == "permission":
        made.client("lambda").remove_permission(FunctionName=outputs["notify_function"], StatementId="from-bucket")
    elif broken == "versions":
        s3.put_bucket_versioning(Bucket=outputs["bucket"], VersioningConfiguration={"Status": "Suspended"})
    elif broken == "queue":
        sns = made.client("sns")
        (queue,) = sns.list_subscriptions_by_topic(TopicArn=outputs["topic_arn"])["Subscriptions"]
        sns.unsubscribe(SubscriptionArn=queue["SubscriptionArn"])
    elif broken == "stopped":
        made.client("rds").stop_db_instance(DBInstanceIdentifier=outputs["database_instance"])
    else:
        outputs["account_id"] = "999999999999"
    environment = Environment.from_outputs(outputs)

    failed = {each.name: each for each in check(environment).points if not each.ok}

    assert environment.stack
    environment.stack.aws.close()
    assert detail in failed[point].detail
    assert failed[point].hint


# logs, subscribe, schedule


@pytest.fixture
def lines(made: HandMade) -> None:
    logs, group = made.client("logs"), "/aws/lambda/retailpipe-dev-notify-upload"
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    now = int(datetime.now(UTC).timestamp() * 1000)
    events = [
        {"timestamp": now - hours * 3_600_000 - number, "message": f"{hours} hours ago, line {number}\n"}
        for hours in (30, 2, 0)
        for number in (1, 0)
    ]
    logs.put_log_events(logGroupName=group, logStreamName="a", logEvents=events)


def test_logs_prints_the_last_hour_or_since(lines: None, program: Program) -> None:
    default = done(program("logs", "notify-upload", *STACK)).splitlines()
    longer = done(program("logs", "notify-upload", *STACK, "--since", "3h", "--json")).splitlines()

    assert [line.split(" ", 2)[2] for line in default] == ["0 hours ago, line 1", "0 hours ago, line 0"]
    assert [json.loads(line)["message"][0] for line in longer] == ["2", "2", "0", "0"]
    assert done(program("logs", "check-bucket", *STACK)) == ""


def test_logs_with_follow_prints_new_lines(lines: None, made: HandMade) -> None:
    command = [sys.executable, "-u", "-m", "retailpipe", "logs", "notify-upload", *STACK, "--follow"]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert following.stdout
    seen = [following.stdout.readline() for _ in range(2)]
    now = int(datetime.now(UTC).timestamp() * 1000)
    made.client("logs").put_log_events(
        logGroupName="/aws/lambda/retailpipe-dev-notify-upload",
        logStreamName="a",
        logEvents=[{"timestamp": now, "message": "a new line"}],
    )
    seen.append(following.stdout.readline())
    following.send_signal(signal.SIGINT)
    following.wait(30)
    following.stdout.close()

    assert "a new line" in seen[2]
    assert following.returncode == 130


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["logs", "elsewhere"], 2, "there is no log 'elsewhere'"),
        (["logs", "database", "--since", "soon"], 2, "is not a duration"),
        (["logs", "database", "--since", "99999w"], 2, "longer than ten years"),
        (["subscribe", "me"], 2, "not an email address"),
        (["db", "allow", "--address", "home"], 2, "not an address"),
        (["db", "allow", "--address", "0.0.0.0/0"], 2, "is too large"),
        (["db", "allow", "--address", "203.0.113.7"], 1, "only with the pulumi command"),
        (["watch", "--idle-exit", "never"], 2, "is not a duration"),
        (["cleanup"], 2, "cannot ask for confirmation"),
    ],
)
def test_invalid_input_fails_with_a_hint(
    made: HandMade, program: Program, arguments: list[str], code: int, reason: str
) -> None:
    failed = program(*arguments, *STACK, input="")

    assert failed.returncode == code, failed.stderr
    assert reason in failed.stderr
    assert "hint: " in failed.stderr


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("2d", 172800), ("1w", 604800)])
def test_durations_are_parsed(text: str, seconds: int) -> None:
    assert parse_duration(text).total_seconds() == seconds
    for wrong in ("0m", "-1h", "1", "h", "1.5h", ""):
        with pytest.raises(UsageError):
            parse_duration(wrong)


def test_a_deleted_log_group_is_reported(made: HandMade, program: Program) -> None:
    made.client("logs").delete_log_group(logGroupName="/aws/lambda/retailpipe-dev-notify-upload")

    failed = program("logs", "notify-upload", *STACK)

    assert failed.returncode == 1
    assert "the log group /aws/lambda/retailpipe-dev-notify-upload does not exist" in failed.stderr


def test_subscribe_lists_all_subscriptions(made: HandMade, program: Program) -> None:
    listed = done(program("subscribe", "me@example.com", *STACK)).splitlines()

    assert listed[0].endswith("retailpipe-dev-uploads (sqs): confirmed")
    assert listed[1].startswith("me@example.com (email): ")
    assert len(json.loads(done(program("subscribe", *STACK, "--json")))) == 2


def test_the_schedule_is_switched_on_and_off(made: HandMade, program: Program) -> None:
    assert ": off, cron(0 2 * * ? *)" in done(program("schedule", "status", *STACK))
    assert "pulumi config set scheduleEnabled true" in done(program("schedule", "on", *STACK))
    assert made.client("events").describe_rule(Name=made.outputs["schedule_rule"])["State"] == "ENABLED"
    assert json.loads(done(program("schedule", "off", *STACK, "--json")))["enabled"] is False


# db


def test_the_database_is_stopped_and_started_again(made: HandMade, program: Program) -> None:
    assert ": available (postgres" in done(program("db", "status", *STACK))
    assert ": stopped" in done(program("db", "stop", *STACK))
    assert ": stopped" in done(program("db", "stop", *STACK))
    assert json.loads(done(program("db", "start", *STACK, "--json")))["status"] == "available"


def test_rotate_password_asks_rds_for_a_new_password(made: HandMade, program: Program) -> None:
    assert "RDS is changing the password" in done(program("db", "rotate-password", *STACK))


def test_psql_ignores_the_pg_variables_of_the_environment(made: HandMade, program: Program) -> None:
    if not shutil.which("psql"):
        skip("psql is not on PATH")
    wrong = {"PGHOSTADDR": "127.0.0.9", "PGUSER": "nobody", "PGSSLMODE": "disable"}

    answer = done(program("db", "psql", *STACK, "--", "-Atc", "select current_user, 6 * 7", env=wrong))
    failed = program("db", "psql", *STACK, "--", "-v", "ON_ERROR_STOP=1", "-c", "select nothing")

    assert answer == f"{USER}|42\n"
    assert failed.returncode == 1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Pulumi project, and a mock of the pulumi command on PATH that stores the config and records `destroy`."""
    folder = tmp_path / "a project"
    (folder / "bin").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: retailpipe\n")
    (folder / "config.json").write_text('{"retailpipe:allowedCidrs": {"value": "198.51.100.0/24"}}')
    program = folder / "bin" / "pulumi"
    (folder / "bin" / "pulumi.py").write_text(PULUMI)
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{folder}/bin/pulumi.py' \"$@\"\n")
    program.chmod(0o755)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return folder


PULUMI = """
# A mock of the pulumi command with the answers of the real one: config, stack output, stack export, destroy.
import json, pathlib, sys
config, outputs = pathlib.Path("config.json"), pathlib.Path("outputs.json")
arguments = sys.argv[1:]
if arguments[:2] == ["config", "--json"]:
    print(config.read_text())
elif arguments[:2] == ["config", "set"]:
    config.write_text(json.dumps({"retailpipe:" + arguments[2]: {"value": arguments[3]}}))
elif arguments[:2] == ["stack", "output"] and outputs.exists():
    print(outputs.read_text())
elif arguments[:2] == ["stack", "export"] and pathlib.Path("half deployed").exists():
    print(json.dumps({"deployment": {"resources": [{"custom": True, "type": "aws:s3/bucket:Bucket"}]}}))
elif arguments[:1] == ["destroy"]:
    pathlib.Path("destroyed").touch()
    pathlib.Path("half deployed").unlink(missing_ok=True)
    outputs.unlink(missing_ok=True)
else:
    sys.exit("error: no stack named 'dev' found")
"""


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "retailpipe", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)


def test_an_address_is_added_to_the_allowed_ones(made: HandMade, project: Path) -> None:
    allow = ("db", "allow", *STACK, "--address")

    shown = done(run_in(project, *allow, "203.0.113.7", "--dry-run"))
    assert "198.51.100.0/24 -> 198.51.100.0/24,203.0.113.7/32" in shown
    assert "203.0.113" not in (project / "config.json").read_text()
    assert "pulumi up" in done(run_in(project, *allow, "203.0.113.7"))
    assert "198.51.100.0/24,203.0.113.7/32" in (project / "config.json").read_text()
    assert "is already allowed" in done(run_in(project, *allow, "198.51.100.9"))
    assert "contains 512 addresses" in done(run_in(project, *allow, "203.0.112.0/23"))


# cost


def test_cost_prints_the_monthly_cost(made: HandMade, program: Program) -> None:
    cost = json.loads(done(program("cost", *STACK, "--json")))
    table = done(program("cost", *STACK, "--hours", "173"))

    assert (cost["running"], cost["stopped"]) == (18.03, 2.7)
    assert "total" in table
    assert "6.33" in table


# cleanup


def fill(made: HandMade, keys: int = 3) -> None:
    """Fill the bucket with current and older versions, a deleted object, and an unfinished upload."""
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    for number in range(keys):
        for content in (b"one", b"two"):
            s3.put_object(Bucket=bucket, Key=f"input/{number}.xlsx", Body=content)
    s3.delete_object(Bucket=bucket, Key="input/0.xlsx")
    s3.create_multipart_upload(Bucket=bucket, Key="input/unfinished.xlsx")


def remove_outputs(made: HandMade) -> None:
    """Delete the SSM parameter, as `pulumi destroy` does; the mock of pulumi does not."""
    made.client("ssm").delete_parameter(Name=made.outputs["parameter"])


def test_cleanup_dry_run_lists_what_it_would_delete(made: HandMade, program: Program) -> None:
    fill(made)

    would = done(program("cleanup", *STACK, "--dry-run"))

    assert "7 object versions in s3://retailpipe-dev-123456789012-eu-central-1" in would
    assert "The AWS resources are kept" in would
    assert len(made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])["Versions"]) == 6


def test_cleanup_without_pulumi_empties_the_bucket_and_reports_what_is_left(made: HandMade, program: Program) -> None:
    fill(made)

    emptied = program("cleanup", *STACK, "--yes")
    s3, bucket = made.client("s3"), made.outputs["bucket"]

    assert emptied.returncode == 1
    assert "pulumi destroy --stack dev" in emptied.stdout
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    assert made.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/retailpipe-dev-")["logGroups"]


def test_cleanup_deletes_everything_and_can_be_repeated(made: HandMade, project: Path) -> None:
    fill(made)
    (project / "outputs.json").write_text(json.dumps(made.outputs))
    done(run_in(project, "env", *STACK, "--write", "aws_config.env"))
    done(run_in(project, "status", *STACK))
    remove_outputs(made)
    folder = stack_folder("retailpipe", "dev")
    model = folder / "models" / "branches.sql"
    for file in (model, folder / "tmp" / "copy"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("select 1")

    first, second = run_in(project, "cleanup", *STACK, "--yes"), run_in(project, "cleanup", *STACK, "--yes")

    assert done(first) == done(second) == "nothing is left of stack dev\n"
    assert [file for file in folder.rglob("*") if file.is_file()] == [model]  # written by the user
    assert (project / "destroyed").exists()
    assert not (project / "aws_config.env").exists()
    assert made.client("logs").describe_log_groups()["logGroups"] == []
    assert made.client("s3").list_buckets()["Buckets"] == []


def test_cleanup_destroys_a_half_deployed_stack(made: HandMade, project: Path) -> None:
    """It has no outputs yet, but its resources cost money."""
    (project / "half deployed").touch()
    remove_outputs(made)

    done(run_in(project, "cleanup", *STACK, "--yes"))

    assert (project / "destroyed").exists()


def test_cleanup_refuses_a_protected_stack(made: HandMade, program: Program) -> None:
    fill(made)
    made.outputs["ephemeral"] = False
    made.publish()

    for arguments in (["--dry-run"], ["--yes"]):
        refused = program("cleanup", *STACK, *arguments)
        assert refused.returncode == 1
        assert "is protected" in refused.stderr
    assert len(made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])["Versions"]) == 6


def test_cleanup_works_with_outputs_of_another_version(made: HandMade, project: Path, program: Program) -> None:
    """Without the pulumi command only the bucket is emptied; with it everything is deleted."""
    fill(made)
    old = json.dumps({**made.outputs, "version": 0})
    made.client("ssm").put_parameter(Name=made.outputs["parameter"], Value=old, Type="String", Overwrite=True)

    emptied = program("cleanup", *STACK, "--yes")
    assert emptied.returncode == 1
    assert "pulumi destroy --stack dev" in emptied.stdout
    assert "Versions" not in made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])

    (project / "outputs.json").write_text(old)
    done(run_in(project, "cleanup", *STACK, "--yes"))
    assert (project / "destroyed").exists()
    assert made.client("s3").list_buckets()["Buckets"] == []


def test_cleanup_deletes_all_pipelines_of_a_stack(made: HandMade, project: Path) -> None:
    """A user's own program may export any outputs; each pipeline still has its SSM parameter."""
    (project / "half deployed").touch()
    remove_outputs(made)
    s3, logs = made.client("s3"), made.client("logs")
    tags = s3.get_bucket_tagging(Bucket=made.outputs["bucket"])["TagSet"]
    s3.delete_bucket(Bucket=made.outputs["bucket"])
    for part in ("north", "south"):
        bucket = f"retailpipe-dev-{part}-123456789012-eu-central-1"
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
        logs.create_log_group(logGroupName=f"/aws/lambda/retailpipe-dev-{part}-notify-upload")
        made.outputs.update(part=part, parameter=f"/retailpipe/dev/{part}/outputs", bucket=bucket)
        made.publish()
    logs.create_log_group(logGroupName="/aws/lambda/retailpipe-dev-east-notify-upload")

    would = done(run_in(project, "cleanup", *STACK, "--dry-run"))
    assert "s3://retailpipe-dev-north-123456789012-eu-central-1, s3://retailpipe-dev-south" in would
    assert "/aws/lambda/retailpipe-dev-south-notify-upload" in would

    done(run_in(project, "cleanup", *STACK, "--yes"))
    assert s3.list_buckets()["Buckets"] == []
    left = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    assert [name for name in left if "north" in name or "south" in name] == []
    assert "/aws/lambda/retailpipe-dev-east-notify-upload" in left


def test_cleanup_refuses_credentials_of_another_account(made: HandMade, project: Path) -> None:
    """Names are the same in each account, so the other account may have a stack of this name too."""
    fill(made)
    (project / "outputs.json").write_text(json.dumps({**made.outputs, "account_id": "999999999999"}))

    refused = run_in(project, "cleanup", *STACK, "--yes")

    assert refused.returncode == 1
    assert "is in account 999999999999, but the credentials belong to 123456789012" in refused.stderr
    assert not (project / "destroyed").exists()
    assert len(made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])["Versions"]) == 6


def test_cleanup_finds_pipelines_whose_outputs_have_another_version(made: HandMade, project: Path) -> None:
    (project / "half made").touch()
    remove_outputs(made)
    logs = made.client("logs")
    for part, version in (("north", 2), ("south", 1)):
        logs.create_log_group(logGroupName=f"/aws/lambda/retailpipe-dev-{part}-check-bucket")
        outputs = json.dumps({**made.outputs, "part": part, "version": version})
        made.client("ssm").put_parameter(Name=f"/retailpipe/dev/{part}/outputs", Value=outputs, Type="String")

    done(run_in(project, "cleanup", *STACK, "--yes"))

    left = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    assert [name for name in left if "north" in name or "south" in name] == []


def test_cleanup_refuses_a_stack_with_one_protected_pipeline(made: HandMade, project: Path) -> None:
    (project / "half deployed").touch()
    remove_outputs(made)
    for part, ephemeral in (("north", True), ("south", False)):
        made.outputs.update(part=part, parameter=f"/retailpipe/dev/{part}/outputs", ephemeral=ephemeral)
        made.publish()

    refused = run_in(project, "cleanup", *STACK, "--yes")

    assert refused.returncode == 1
    assert "is protected" in refused.stderr
    assert not (project / "destroyed").exists()


@pytest.mark.parametrize("tags", [{"Ephemeral": "false"}, {"Stack": "dev-eu"}, {"Project": "another"}, None])
def test_cleanup_keeps_a_bucket_without_the_stacks_tags(made: HandMade, tags: dict[str, str] | None) -> None:
    """Without outputs the bucket's name is guessed, so only its tags prove that it belongs to the stack."""
    fill(made)
    remove_outputs(made)
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    if tags is None:
        s3.delete_bucket_tagging(Bucket=bucket)
    else:
        found = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket=bucket)["TagSet"]} | tags
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": k, "Value": v} for k, v in found.items()]})
    aws = Aws()

    Cleanup("dev", aws).remove()

    aws.close()
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 6


@pytest.mark.parametrize("name", ["..", ".", "../x", "Dev", "a b"])
def test_cleanup_refuses_invalid_stack_names(made: HandMade, name: str) -> None:
    with pytest.raises(AwsError, match="is not a valid stack name"):
        Cleanup(name, Aws())


# errors of AWS


@pytest.mark.parametrize(
    ("code", "message", "reason", "hint"),
    [
        ("ExpiredToken", "The token is expired", "session has expired", "aws sso login"),
        ("InvalidSignatureException", "Signature expired: 1 is now earlier than 2", "clock of this", "Set the clock"),
        ("RequestTimeTooSkewed", "The difference is too large", "clock of this machine", "Set the clock"),
        ("UnrecognizedClientException", "The token is invalid", "does not accept these", "get-caller-identity"),
        ("AccessDeniedException", "not authorized", "access denied (GetParameter)", "student policy"),
        ("ThrottlingException", "Rate exceeded", "is throttling requests", "in a minute"),
        ("InternalServerError", "oops", "InternalServerError: oops", "in a minute"),
    ],
)  # fmt: skip
def test_errors_of_aws_become_messages_with_a_hint(
    made: HandMade, code: str, message: str, reason: str, hint: str
) -> None:
    """The test's answers are returned to boto3, and the requests are not sent."""
    from botocore.awsrequest import AWSResponse

    class Raw:
        def __init__(self, body: bytes) -> None:
            self._body = [body]

        def stream(self, *_: Any, **__: Any) -> list[bytes]:
            return self._body

    def answer(**_: Any) -> AWSResponse:
        body = json.dumps({"__type": code, "message": message}).encode()
        return AWSResponse("", 500 if code == "InternalServerError" else 400, {}, Raw(body))

    aws = Aws()
    ssm = aws.client("ssm", attempts=1)
    ssm.meta.events.register("before-send.ssm", answer)

    with pytest.raises(AwsError) as caught, aws_errors("read the outputs"):
        ssm.get_parameter(Name="/retailpipe/dev/outputs")

    aws.close()
    assert reason in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.transient == (code in ("ThrottlingException", "InternalServerError"))
