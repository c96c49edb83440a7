"""A deployed stack: its outputs, and clients of the account and region it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retailpipe.aws.pulumi import Pulumi
from retailpipe.aws.session import Aws, aws_errors
from retailpipe.errors import AwsError, OutputsError, StackNotFound
from retailpipe.names import Names, parse_stack_name
from retailpipe.outputs import StackOutputs


@dataclass(frozen=True)
class Stack:
    """outputs: where its parts are. aws: clients for the region it is in."""

    outputs: StackOutputs
    aws: Aws

    @classmethod
    def named(cls, name: str, aws: Aws) -> Stack:
        """The stack of a name: STACK, or PROJECT/STACK where the project is not retailpipe.

        Its outputs come from the pulumi command where that is here and knows it, otherwise from the SSM parameter.
        Raises StackNotFound, AwsError, OutputsError.
        """
        project, stack, part = parse_stack_name(name)
        unknown: AwsError | None = None
        # A program of several pipelines exports what it likes; the parameters are the same.
        if (pulumi := Pulumi.find(stack, project)) and not part:
            try:
                outputs = StackOutputs.from_mapping(pulumi.outputs(), f"the outputs of stack {stack}")
                return cls(outputs, aws.in_region(outputs.region))
            except AwsError as error:
                unknown = error
        try:
            return cls(_of_parameter(name, Names(project, stack, part).parameter, aws), aws)
        except AwsError as error:
            if unknown and isinstance(error, StackNotFound):
                raise StackNotFound(f"{error}; and {unknown}", hint=f"{unknown.hint} {error.hint}") from error
            raise

    @classmethod
    def of_outputs(cls, outputs: Mapping[str, Any] | Path, aws: Aws) -> Stack:
        """The stack of outputs that were kept: a mapping, or a file of JSON as `pulumi stack output --json` prints.

        Raises OutputsError.
        """
        if isinstance(outputs, Mapping):
            read = StackOutputs.from_mapping(outputs)
        else:
            try:
                text = outputs.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                hint = "Make it with `pulumi stack output --json > outputs.json`."
                raise OutputsError(f"{outputs} cannot be read: {error}", hint=hint) from error
            read = StackOutputs.from_json(text, str(outputs))
        return cls(read, aws.in_region(read.region))


def stack_folder(project: str, stack: str) -> Path:
    """What this machine keeps of a stack: dbt's files, downloads under way."""
    from platformdirs import user_data_path

    return user_data_path("retailpipe-stacks", appauthor=False) / project / stack


def _of_parameter(name: str, parameter: str, aws: Aws) -> StackOutputs:
    try:
        with aws_errors(f"read the SSM parameter {parameter} in {aws.region}"):
            answer = aws.client("ssm").get_parameter(Name=parameter)
    except AwsError as error:
        if error.code != "ParameterNotFound":
            raise
        raise StackNotFound(
            f"there is no stack {name} in {aws.region}: no SSM parameter {parameter}",
            hint="Deploy it with `pulumi up`, or name another region (--region), profile (--profile) or stack.",
        ) from error
    return StackOutputs.from_json(answer["Parameter"]["Value"], f"the outputs in {parameter}")
