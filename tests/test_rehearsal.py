"""The program made on AWS's stand-in by the real provider, and taken down again: `make rehearse`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from retailpipe.outputs import StackOutputs
from tests.aws import moto_server, recorded_calls
from tests.declared import declare
from tests.terraform.command import Terraform, skip_unless_installed
from tests.terraform.deployer import FILE, MAX_CHARACTERS, NOT_ON_MOTO, policy_for
from tests.terraform.rewrite import rewrite
from tests.test_program import EVERYTHING

pytestmark = pytest.mark.rehearse


@dataclass
class Deployed:
    """A stack on AWS's stand-in. calls: what Terraform's provider asked for it."""

    terraform: Terraform
    endpoint: str
    calls: set[tuple[str, str]]

    def session(self) -> boto3.Session:
        return boto3.Session("test", "test", region_name="eu-central-1")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    skip_unless_installed()
    folder: Path = tmp_path_factory.mktemp("terraform")
    program = rewrite(declare(EVERYTHING), folder, leave_out=NOT_ON_MOTO)
    with moto_server() as endpoint:
        terraform = Terraform(folder, program, region="eu-central-1", endpoint=endpoint)
        with recorded_calls() as calls:
            terraform.run("apply", "-auto-approve")
        yield Deployed(terraform, endpoint, calls)


def test_a_second_plan_is_empty(deployed: Deployed) -> None:
    planned = deployed.terraform.call("plan", "-detailed-exitcode")

    assert planned.returncode == 0, planned.stdout + planned.stderr


def test_the_parameter_holds_what_is_exported(deployed: Deployed) -> None:
    exported = {name: output["value"] for name, output in deployed.terraform.json("output", "-json").items()}
    outputs = StackOutputs.from_mapping(exported)

    ssm = deployed.session().client("ssm", endpoint_url=deployed.endpoint)
    kept = ssm.get_parameter(Name=outputs.parameter)["Parameter"]["Value"]
    ssm.close()

    assert StackOutputs.from_json(kept) == outputs


def test_destroy_leaves_nothing(deployed: Deployed) -> None:
    with recorded_calls() as calls:
        deployed.terraform.run("destroy", "-auto-approve")
    deployed.calls.update(calls)

    tagged = deployed.session().client("resourcegroupstaggingapi", endpoint_url=deployed.endpoint)
    found = tagged.get_resources(TagFilters=[{"Key": "Project", "Values": ["retailpipe"]}])["ResourceTagMappingList"]
    tagged.close()
    # A gateway is listed for some time after it is deleted, here as on AWS.
    assert not [each["ResourceARN"] for each in found if ":natgateway/" not in each["ResourceARN"]]
    assert deployed.terraform.run("state", "list") == ""


def test_the_deployers_policy_allows_every_call(deployed: Deployed) -> None:
    """Made anew by `python -m tests.terraform.deployer`."""
    policy = json.loads(FILE.read_text())

    assert policy == policy_for(deployed.calls)
    assert len(json.dumps(policy, separators=(",", ":"))) <= MAX_CHARACTERS
