"""Physical names: each carries project and stack, so that stacks live side by side in one account."""

from __future__ import annotations

import re
from dataclasses import dataclass

from retailpipe.errors import SettingsError
from retailpipe.outputs import NAME, parameter_of, stack_name

MAX_LENGTH = 32
"""Characters of project, hyphen and stack: the bucket's name also has the account, the region and hyphens, and may have
63 in all; the longest region has 14."""
_RESERVED = re.compile(r"aws|ssm|sg-|sthree|amzn|xn-")


@dataclass(frozen=True)
class Names:
    """The names of one pipeline. Raises SettingsError where AWS would not take them.

    part: tells several pipelines of one stack apart; empty for the only one.
    """

    project: str
    stack: str
    part: str = ""

    def __post_init__(self) -> None:
        for kind, name in (("project", self.project), ("stack", self.stack), ("pipeline", self.part or "x")):
            if not NAME.fullmatch(name):
                raise SettingsError(
                    f"the {kind} name {name!r} cannot be used: buckets and databases take lower-case letters, digits "
                    "and single hyphens, and begin with a letter",
                    hint="Choose another: `pulumi stack rename NAME`, or `pulumi stack init NAME`.",
                )
        if reserved := _RESERVED.match(self.project):
            raise SettingsError(
                f"the project name {self.project!r} cannot be used: AWS keeps names for itself that begin with "
                f"{reserved[0]}",
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
        return "-".join(filter(None, (self.project, self.stack, self.part)))

    @property
    def parameter(self) -> str:
        return parameter_of(self.project, self.stack, self.part)

    @property
    def told(self) -> str:
        """How commands name this pipeline."""
        return stack_name(self.project, self.stack, self.part)

    def of(self, part: str) -> str:
        """The name of a part, such as retailpipe-dev-database."""
        return f"{self.prefix}-{part}"

    def bucket(self, account_id: str, region: str) -> str:
        """Buckets share one namespace with the whole world."""
        return f"{self.prefix}-{account_id}-{region}"
