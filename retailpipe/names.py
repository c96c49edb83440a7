"""The names of a stack and of what it makes.

Each physical name carries project and stack, so that stacks live side by side in one account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from retailpipe.errors import SettingsError, StackNotFound

MAX_LENGTH = 32
"""Characters of project, hyphen and stack. A bucket's name, of 63 at most, has account (12) and region (14) too."""

PROJECT = "retailpipe"
"""The project of a stack that is named without one."""

NOTIFY_UPLOAD, CHECK_BUCKET = "notify-upload", "check-bucket"
"""The Lambdas."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_RESERVED = re.compile(r"aws|ssm|sg-|sthree|amzn|xn-")


@dataclass(frozen=True)
class Names:
    """The names of one pipeline. Raises SettingsError if AWS does not accept them.

    part: distinguishes several pipelines of one stack; empty for the only one.
    """

    project: str
    stack: str
    part: str = ""

    def __post_init__(self) -> None:
        for kind, name in (("project", self.project), ("stack", self.stack), ("pipeline", self.part or "x")):
            if not _NAME.fullmatch(name):
                raise SettingsError(
                    f"the {kind} name {name!r} cannot be used: names of buckets and databases consist of lower-case "
                    "letters, digits and single hyphens, and begin with a letter",
                    hint="Choose another: `pulumi stack rename NAME`, or `pulumi stack init NAME`.",
                )
        if reserved := _RESERVED.match(self.project):
            raise SettingsError(
                f"the project name {self.project!r} cannot be used: AWS reserves names that begin with {reserved[0]}",
                hint="Give the project another name in Pulumi.yaml.",
            )
        if len(self.prefix) > MAX_LENGTH:
            raise SettingsError(
                f"{self.prefix!r} is too long: project and stack may have {MAX_LENGTH} characters together, since "
                "the bucket's name also carries account and region",
                hint="Choose a shorter one: `pulumi stack rename NAME`.",
            )

    @property
    def prefix(self) -> str:
        """The beginning of each physical name."""
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
        """The name of the bucket. Bucket names are unique in the whole world."""
        return f"{self.prefix}-{account_id}-{region}"

    def lambda_log_group(self, function: str) -> str:
        return f"/aws/lambda/{self.of(function)}"

    def database_log_group(self, log: str = "postgresql") -> str:
        return f"/aws/rds/instance/{self.of('database')}/{log}"


def parse_stack_name(name: str) -> tuple[str, str, str]:
    """Project, stack and part of a name such as dev, sales/dev or sales/dev/north. Raises StackNotFound for others."""
    words = name.split("/")
    if not all(_NAME.fullmatch(word) for word in words) or len(words) > 3:
        hint = "Name it as STACK, PROJECT/STACK or PROJECT/STACK/PART."
        raise StackNotFound(f"{name!r} is not the name of a stack", hint=hint)
    if len(words) == 1:
        return PROJECT, name, ""
    return words[0], words[1], "/".join(words[2:])
