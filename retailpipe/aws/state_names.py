"""The names of the bucket and the key of Pulumi's state."""

from __future__ import annotations

from dataclasses import dataclass

from retailpipe.names import Names

PURPOSE = "pulumi-state"
"""The value of the tag `Purpose`. The state has no tag `Stack`, because it belongs to no stack."""


@dataclass(frozen=True)
class StateNames:
    """The names of the state of a project. They contain two hyphens in a row, which no name of a stack's resource has.

    Raises SettingsError if AWS does not accept the project's name.
    """

    project: str
    account: str
    region: str

    def __post_init__(self) -> None:
        # With the longest region the bucket has 58 characters, because a project has at most 22: see MAX_LENGTH.
        Names(self.project, "classroom")

    @property
    def bucket(self) -> str:
        return f"{self.project}--state-{self.account}-{self.region}"

    @property
    def alias(self) -> str:
        """The alias of the key, as KMS names it."""
        return f"alias/{self.project}--state"

    @property
    def url(self) -> str:
        """The URL of the bucket for `pulumi login`."""
        return f"s3://{self.bucket}?region={self.region}"

    @property
    def secrets_provider(self) -> str:
        """The key for Pulumi's `--secrets-provider`."""
        return f"awskms://{self.alias}?region={self.region}"

    @property
    def tags(self) -> dict[str, str]:
        return {"Project": self.project, "Purpose": PURPOSE}
