"""Find a deployed stack: its outputs, and AWS clients for its region."""

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
    """A deployed stack. outputs: the names of its resources. aws: clients for its region."""

    outputs: StackOutputs
    aws: Aws

    @classmethod
    def named(cls, name: str, aws: Aws) -> Stack:
        """Find a stack by its name: STACK, or PROJECT/STACK if the project is not retailpipe.

        The outputs come from the pulumi command if the current folder belongs to the project and the project has the
        stack, otherwise from the SSM parameter. Raises StackNotFound, AwsError, OutputsError.
        """
        project, stack, part = parse_stack_name(name)
        pulumi_error: AwsError | None = None
        # A program with several pipelines may export any outputs: only the SSM parameters have a fixed format.
        if (pulumi := Pulumi.find(stack, project)) and not part:
            try:
                outputs = StackOutputs.from_mapping(pulumi.outputs(), f"the outputs of stack {stack}")
                return cls(outputs, aws.in_region(outputs.region))
            except AwsError as error:
                pulumi_error = error
        try:
            return cls.from_parameter(Names(project, stack, part), aws)
        except AwsError as error:
            if pulumi_error and isinstance(error, StackNotFound):
                raise StackNotFound(f"{error}; {pulumi_error}", hint=f"{pulumi_error.hint} {error.hint}") from error
            raise

    @classmethod
    def from_parameter(cls, names: Names, aws: Aws) -> Stack:
        """Return the stack whose outputs are in an SSM parameter in the region of `aws`.

        Raises StackNotFound, AwsError, OutputsError.
        """
        parameter = names.parameter
        try:
            with aws_errors(f"read the SSM parameter {parameter} in {aws.region}"):
                answer = aws.client("ssm").get_parameter(Name=parameter)
        except AwsError as error:
            if error.code != "ParameterNotFound":
                raise
            raise StackNotFound(
                f"stack {names.display_name} does not exist in {aws.region}: there is no SSM parameter {parameter}",
                hint="Deploy it with `pulumi up`, or choose another region (--region), profile (--profile) or stack.",
            ) from error
        return cls(StackOutputs.from_json(answer["Parameter"]["Value"], f"the outputs in {parameter}"), aws)

    @classmethod
    def of_outputs(cls, outputs: Mapping[str, Any] | Path, aws: Aws) -> Stack:
        """Return the stack with these outputs: a mapping, or a JSON file written by `pulumi stack output --json`.

        Raises OutputsError.
        """
        if isinstance(outputs, Mapping):
            read = StackOutputs.from_mapping(outputs)
        else:
            try:
                text = outputs.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                hint = "Create it with `pulumi stack output --json > outputs.json`."
                raise OutputsError(f"{outputs} cannot be read: {error}", hint=hint) from error
            read = StackOutputs.from_json(text, f"the outputs in {outputs}")
        return cls(read, aws.in_region(read.region))


def stack_folder(project: str, stack: str) -> Path:
    """Return the folder of a stack on this machine, which contains dbt's files and downloads in progress."""
    from platformdirs import user_data_path

    return user_data_path("retailpipe-stacks", appauthor=False) / project / stack
