"""The names of a stack and of its AWS resources.

Each physical name contains project and stack, so several stacks can exist in one account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from retailpipe.errors import SettingsError, StackNotFound

MAX_LENGTH = 32
"""Maximum characters of project, stack and part with their hyphens.

A bucket name may have 63 characters, and also contains the account (12) and the region (14).
"""

PROJECT = "retailpipe"
"""The project of a stack whose name contains no project."""

NOTIFY_UPLOAD, CHECK_BUCKET = "notify-upload", "check-bucket"
"""The two Lambdas, as they appear in resource names."""

WORKERS, WORKER_START = "workers", "worker-start"
"""The workers of a stack, and the role with which ECS starts them, as they appear in resource names."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_RESERVED = re.compile(r"aws|ssm|sg-|sthree|amzn|xn-")


@dataclass(frozen=True)
class Names:
    """The names of one pipeline. Raises SettingsError if AWS does not accept them.

    part: the name of the pipeline if the stack has several; empty if it has one.
    """

    project: str
    stack: str
    part: str = ""

    def __post_init__(self) -> None:
        for kind, name in (("project", self.project), ("stack", self.stack), ("pipeline", self.part or "x")):
            if not _NAME.fullmatch(name):
                raise SettingsError(
                    f"the {kind} name {name!r} is not allowed: names of buckets and databases may contain only "
                    "lower-case letters, digits and single hyphens, and must start with a letter",
                    hint={
                        "project": "Change the project's name in Pulumi.yaml.",
                        "stack": "Choose another name: `pulumi stack rename NAME`, or `pulumi stack init NAME`.",
                        "pipeline": "Change `part` in your Pulumi program.",
                    }[kind],
                )
        if reserved := _RESERVED.match(self.project):
            raise SettingsError(
                f"the project name {self.project!r} is not allowed: AWS reserves names that start with {reserved[0]}",
                hint="Change the project name in Pulumi.yaml.",
            )
        if len(self.prefix) > MAX_LENGTH:
            raise SettingsError(
                f"{self.prefix!r} is too long: project, stack and pipeline may have {MAX_LENGTH} characters "
                "together, hyphens included, because the bucket name also contains account and region",
                hint="Choose a shorter name: `pulumi stack rename NAME`.",
            )

    @property
    def prefix(self) -> str:
        """The start of each physical name, such as retailpipe-dev."""
        return "-".join(filter(None, (self.project, self.stack, self.part)))

    @property
    def parameter(self) -> str:
        """The SSM parameter that holds the outputs."""
        return "/" + "/".join(filter(None, (self.project, self.stack, self.part, "outputs")))

    @property
    def display_name(self) -> str:
        """The shortest name that commands accept."""
        if self.part:
            return f"{self.project}/{self.stack}/{self.part}"
        return self.stack if self.project == PROJECT else f"{self.project}/{self.stack}"

    def of(self, resource: str) -> str:
        """The name of a resource, such as retailpipe-dev-database."""
        return f"{self.prefix}-{resource}"

    def bucket(self, account_id: str, region: str) -> str:
        """The name of the bucket. Bucket names are global: account and region make this one unique."""
        return f"{self.prefix}-{account_id}-{region}"

    def lambda_log_group(self, function: str) -> str:
        return f"/aws/lambda/{self.of(function)}"

    def worker_log_group(self) -> str:
        return f"/ecs/{self.of(WORKERS)}"

    def run_secret(self, run: str) -> str:
        """The secret with the certificate of a run on workers. No name of another stack begins with this prefix."""
        return f"{self.prefix}/{WORKERS}/{run}"

    def database_log_group(self, log: str = "postgresql") -> str:
        return f"/aws/rds/instance/{self.of('database')}/{log}"


def parse_stack_name(name: str) -> tuple[str, str, str]:
    """Return project, stack and part of a name such as dev, sales/dev or sales/dev/north.

    Raises StackNotFound if the name has another form.
    """
    words = name.split("/")
    if not all(_NAME.fullmatch(word) for word in words) or len(words) > 3:
        hint = "Write it as STACK, PROJECT/STACK or PROJECT/STACK/PIPELINE."
        raise StackNotFound(f"{name!r} is not a valid stack name", hint=hint)
    if len(words) == 1:
        return PROJECT, name, ""
    return words[0], words[1], "/".join(words[2:])
