"""Find all deployed stacks of a project, and the account of the credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.errors import OutputsError
from retailpipe.names import Names
from retailpipe.outputs import StackOutputs


@dataclass(frozen=True)
class DeployedStack:
    """A stack whose SSM parameter exists.

    outputs: None if they cannot be read, or the stack is not one pipeline.
    problem: why outputs is None; empty otherwise.
    """

    name: str
    outputs: StackOutputs | None
    problem: str = ""


def deployed_stacks(project: str, aws: Aws) -> Mapping[str, DeployedStack]:
    """Return the stacks of a project in the region of `aws` by name, from the SSM parameters of their outputs.

    Raises AwsError.
    """
    path = f"/{project}"
    found: dict[str, DeployedStack] = {}
    with aws_errors(f"list the SSM parameters below {path} in {aws.region}"):
        pages = aws.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        parameters = [(each["Name"], each["Value"]) for page in pages for each in page["Parameters"]]
    for name, value in sorted(parameters):
        if not (parts := re.fullmatch(rf"{re.escape(path)}/([^/]+)(/[^/]+)?/outputs", name)):
            continue
        stack = parts[1]
        if parts[2] or stack in found:
            found[stack] = DeployedStack(stack, None, "it has several pipelines")
            continue
        try:
            outputs = StackOutputs.from_json(value, f"the outputs in {name}")
        except OutputsError as error:
            found[stack] = DeployedStack(stack, None, str(error))
        else:
            found[stack] = DeployedStack(stack, outputs)
    return found


def has_network(names: Names, aws: Aws) -> bool:
    """Whether a VPC with the tag of a pipeline exists: the classroom stack has one, but no SSM parameter.

    Raises AwsError.
    """
    tagged = [{"Name": "tag:Pipeline", "Values": [names.prefix]}]
    with aws_errors(f"look for the network of {names.display_name} in {aws.region}"):
        return bool(aws.client("ec2").describe_vpcs(Filters=tagged)["Vpcs"])


def account_of(aws: Aws) -> str:
    """Return the account of the credentials. Raises AwsError."""
    with aws_errors("ask AWS for the account of the credentials"):
        account: str = aws.client("sts").get_caller_identity()["Account"]
    return account


def caller_of(aws: Aws) -> str:
    """Return the ARN of the credentials. Raises AwsError."""
    with aws_errors("ask AWS for the identity of the credentials"):
        arn: str = aws.client("sts").get_caller_identity()["Arn"]
    return arn
