"""Finding a stack by the pulumi command, by the SSM parameter or in a file, and the errors if it is not found."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.aws.session import Aws
from retailpipe.errors import AwsError, OutputsError, StackNotFound
from tests.conftest import Program
from tests.support.stacks import HandMade

PULUMI = """#!/bin/sh
# A mock of the pulumi command: its answers were recorded from version 3.
echo "$@" >> "$(dirname "$0")/called"
case "$1 $2" in
"stack output") {output} ;;
esac
exit 1
"""
NO_STACK = """echo "error: no stack named 'dev' found" >&2; exit 6"""
NO_LOGIN = 'echo "error: PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions" >&2; exit 3'
PASSPHRASE = 'echo "error: passphrase must be set with PULUMI_CONFIG_PASSPHRASE" >&2; exit 1'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a Pulumi project, which is the current folder."""
    folder = tmp_path / "a project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: retailpipe\nruntime: python\n")
    monkeypatch.chdir(folder)
    return folder


def mock_pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, output: str) -> Path:
    """Put a mock of pulumi on PATH; returns the file in which it logs its arguments."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "pulumi"
    program.write_text(PULUMI.format(output=output))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return folder / "bin" / "called"


def outputs_of(environment: Environment) -> Any:
    assert environment.stack
    environment.stack.aws.close()
    return environment.stack.outputs


def test_a_stack_is_found_by_its_ssm_parameter(made: HandMade) -> None:
    outputs = outputs_of(Environment.from_stack("dev"))

    assert (outputs.stack, outputs.bucket) == ("dev", made.outputs["bucket"])


def test_the_pulumi_command_comes_first(made: HandMade, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "outputs.json").write_text(json.dumps({**made.outputs, "bucket": "by-pulumi"}))
    called = mock_pulumi(project, monkeypatch, f"cat '{project}/outputs.json'; exit 0")

    assert outputs_of(Environment.from_stack("dev")).bucket == "by-pulumi"
    assert called.read_text().splitlines() == ["stack output --json --stack dev --non-interactive"]


@pytest.mark.parametrize("output", [NO_STACK, NO_LOGIN, PASSPHRASE, "echo '{}'; exit 0"])
def test_the_ssm_parameter_is_used_if_pulumi_fails(
    made: HandMade, project: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    mock_pulumi(project, monkeypatch, output)

    assert outputs_of(Environment.from_stack("dev")).bucket == made.outputs["bucket"]


@pytest.mark.parametrize(
    ("output", "reason", "hint"),
    [
        (NO_STACK, "pulumi has no stack other", "pulumi stack ls"),
        (NO_LOGIN, "pulumi is not logged in", "pulumi login"),
        (PASSPHRASE, "needs the passphrase", "PULUMI_CONFIG_PASSPHRASE"),
        ("echo '{}'; exit 0", "stack other is not deployed", "pulumi up"),
    ],
)
def test_both_errors_are_reported_if_neither_has_the_stack(
    made: HandMade, project: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str, hint: str
) -> None:
    mock_pulumi(project, monkeypatch, output.replace("dev", "other"))

    with pytest.raises(StackNotFound, match="there is no SSM parameter /retailpipe/other/outputs") as caught:
        Environment.from_stack("other")

    assert reason in str(caught.value)
    assert hint in caught.value.hint


def test_pulumi_is_not_used_in_the_folder_of_another_project(
    made: HandMade, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = mock_pulumi(project, monkeypatch, "echo wrong; exit 0")
    (project / "Pulumi.yaml").write_text("name: 'another'\n")

    assert outputs_of(Environment.from_stack("dev")).bucket == made.outputs["bucket"]
    assert not called.exists()


def test_a_stack_of_another_project_is_found(made: HandMade) -> None:
    made.outputs.update(project="sales", stack="first", parameter="/sales/first/outputs")
    made.publish()

    assert outputs_of(Environment.from_stack("sales/first")).name == "sales/first"


def test_one_of_several_pipelines_of_a_stack_is_found(made: HandMade) -> None:
    made.outputs.update(part="north", parameter="/retailpipe/dev/north/outputs")
    made.publish()

    assert outputs_of(Environment.from_stack("retailpipe/dev/north")).name == "retailpipe/dev/north"


@pytest.mark.parametrize("name", ["", "/", "a/b/c/d", "a/", "a//b"])
def test_invalid_stack_names_are_refused(made: HandMade, name: str) -> None:
    with pytest.raises(StackNotFound, match="is not a valid stack name"):
        Environment.from_stack(name)


def test_a_stack_is_not_found_in_another_region(made: HandMade) -> None:
    with pytest.raises(StackNotFound, match="in us-west-2") as caught:
        Environment.from_stack("dev", region="us-west-2")

    assert "--region" in caught.value.hint


def test_outputs_of_another_version_are_refused(made: HandMade) -> None:
    text = json.dumps({**made.outputs, "version": 99})
    made.client("ssm").put_parameter(Name="/retailpipe/dev/outputs", Value=text, Type="String", Overwrite=True)

    with pytest.raises(OutputsError, match="the outputs in /retailpipe/dev/outputs have version 99"):
        Environment.from_stack("dev")


def test_saved_outputs_are_read_from_a_file(made: HandMade, tmp_path: Path) -> None:
    file = tmp_path / "saved outputs.json"
    file.write_text(json.dumps(made.outputs))

    assert outputs_of(Environment.from_outputs(file)) == outputs_of(Environment.from_outputs(made.outputs))
    assert Environment.from_outputs(file).options == ("--outputs", str(file))
    assert Environment.from_outputs(made.outputs, region="eu-west-1").options[2:] == ("--region", "eu-west-1")
    with pytest.raises(OutputsError, match="cannot be read"):
        Environment.from_outputs(tmp_path / "none.json")


def test_missing_credentials_are_reported(made: HandMade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(AwsError, match="Unable to locate credentials") as caught:
        Environment.from_stack("dev")

    assert "`aws configure`" in caught.value.hint


def test_a_missing_region_is_reported(made: HandMade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(AwsError, match="no AWS region is set") as caught:
        Environment.from_stack("dev")

    assert "--region" in caught.value.hint


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_both_variables_set_the_region(
    made: HandMade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    for each in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(each)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv(name, "eu-west-3")

    assert Aws().region == "eu-west-3"
    assert Aws(region="eu-west-1").region == "eu-west-1"


def test_a_missing_profile_is_reported(made: HandMade) -> None:
    with pytest.raises(AwsError, match="missing"):
        Environment.from_stack("dev", profile="missing")


def test_an_unreachable_aws_is_a_transient_error(made: HandMade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(AwsError, match="Could not connect") as caught:
        Environment.from_stack("dev")

    assert caught.value.transient
    assert "network" in caught.value.hint


def test_the_stack_is_selected_by_option_or_variable(made: HandMade, program: Program) -> None:
    by_option = program("status", "--stack", "dev", "--json")
    by_variable = program("status", "--json", env={"RETAILPIPE_STACK": "dev"})

    assert by_option.returncode == by_variable.returncode == 0, by_option.stderr
    assert (
        json.loads(by_option.stdout)["store"]
        == json.loads(by_variable.stdout)["store"]
        == (f"s3://{made.outputs['bucket']}")
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["status", "--stack", "dev", "--local", "x"], "--local and --stack select different environments"),
        (["status", "--profile", "x"], "need an AWS stack"),
        (["env"], "this command needs an AWS stack"),
        (["cleanup"], "this command needs an AWS stack"),
    ],
)
def test_wrong_options_are_refused(program: Program, arguments: list[str], reason: str) -> None:
    done = program(*arguments)

    assert done.returncode == 2
    assert reason in done.stderr


def test_the_report_of_a_stack_names_its_commands_with_the_stack(on_aws: Environment, tmp_path: Path) -> None:
    written = retailpipe.write_report(on_aws, tmp_path / "report.html")

    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert written.verdict == "Nothing is loaded yet"
    assert "<code>retailpipe run --stack retailpipe/dev FILE</code>" in page
    assert "<title>retailpipe/dev: retailpipe report</title>" in page


def test_without_boto3_the_error_names_the_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['boto3'] = None; from retailpipe.cli import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", code, "status", "--stack", "dev"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "boto3" in done.stderr
    assert "pip install 'retailpipe[aws]'" in done.stderr
