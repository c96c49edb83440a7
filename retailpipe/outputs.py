"""What the Pulumi program exports and the library reads. No secret is among it: the database's is named by its ARN."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self, get_type_hints

from retailpipe.errors import OutputsError
from retailpipe.names import Names

VERSION = 1
"""Number of this shape; another one is refused."""

MAX_BYTES = 4096
"""What an SSM parameter of the standard tier holds, as UTF-8."""


@dataclass(frozen=True)
class StackOutputs:
    """Where the parts of a deployed stack are. None stands for a part that the stack goes without.

    part: tells the pipelines of a stack apart; empty for the only one.
    bucket: name of the S3 bucket; workbooks lie under `input/`, receipts under `receipts/`.
    database_host, database_port: the endpoint of the RDS instance; TLS alone is taken.
    database_secret_arn: the secret that RDS manages, with `username` and `password`; it changes every week.
    queue_url, dead_letter_queue_url: where notices of uploads arrive, and those that nobody could handle.
    topic_arn: the SNS topic of all notices and alarms.
    parameter: name of the SSM parameter that holds these outputs.
    ephemeral: whether the stack is a student's, to be destroyed whole. alarms: how many it has.
    """

    version: int
    project: str
    stack: str
    part: str
    account_id: str
    region: str
    parameter: str
    ephemeral: bool
    bucket: str
    database_instance: str
    database_host: str
    database_port: int
    database_name: str
    database_secret_arn: str
    topic_arn: str
    queue_url: str
    dead_letter_queue_url: str
    notify_function: str
    check_function: str
    schedule_rule: str
    nat_gateway: bool
    alarms: int
    dashboard: str | None = None
    student_policy_arn: str | None = None

    @property
    def name(self) -> str:
        """How the stack is named to commands: STACK, PROJECT/STACK or PROJECT/STACK/PART."""
        return Names(self.project, self.stack, self.part).display_name

    @property
    def log_groups(self) -> dict[str, str]:
        """The log groups of the stack by what writes into them."""
        return {
            "notify-upload": f"/aws/lambda/{self.notify_function}",
            "check-bucket": f"/aws/lambda/{self.check_function}",
            "database": f"/aws/rds/instance/{self.database_instance}/postgresql",
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "the outputs") -> Self:
        """The outputs that a mapping holds, such as the one `pulumi stack output --json` prints.

        source: what messages call the place they came from.
        Raises OutputsError if they are of another version, or one of them is missing or of another type.
        """
        version = mapping.get("version")
        if version is None:
            raise OutputsError(
                f"{source} are not those of a retailpipe stack: they have no version",
                hint="Deploy the stack with `pulumi up`, and name it as `pulumi stack ls` does.",
            )
        if version != VERSION:
            newer = isinstance(version, int | float) and version > VERSION
            hint = "Update retailpipe." if newer else "Deploy the stack again with `pulumi up`."
            age = "a newer" if newer else "an older"
            raise OutputsError(f"{source} have version {version}, made by {age} program; {VERSION} is known", hint=hint)
        hint = "Deploy the stack again with `pulumi up`."
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = mapping.get(field.name)
            if value is None and field.default is MISSING:
                raise OutputsError(f"{source} lack {field.name}", hint=hint)
            if isinstance(value, float) and value.is_integer():  # the engine knows no other numbers
                value = int(value)
            if not isinstance(value, kinds[field.name]):
                raise OutputsError(f"{source}: {field.name} is {value!r}, which is not of its type", hint=hint)
            values[field.name] = value
        return cls(**values)

    @classmethod
    def from_json(cls, text: str, source: str = "the outputs") -> Self:
        """The outputs that a JSON document holds. Raises OutputsError as `from_mapping`."""
        try:
            mapping: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OutputsError(f"{source} are not JSON: {error}", hint="Deploy the stack again.") from error
        if not isinstance(mapping, dict):
            raise OutputsError(f"{source} are no JSON object", hint="Deploy the stack again with `pulumi up`.")
        return cls.from_mapping(mapping, source)  # pyright: ignore[reportUnknownArgumentType] - any JSON object

    def as_dict(self) -> dict[str, Any]:
        """The outputs by name; those the stack goes without are left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def as_json(self) -> str:
        """The outputs as one line. Raises OutputsError where an SSM parameter could not hold it."""
        text = json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False)
        if (size := len(text.encode())) > MAX_BYTES:
            raise OutputsError(
                f"the outputs take {size:,} bytes, an SSM parameter holds {MAX_BYTES:,}",
                hint="Choose shorter names for the project and the stack.",
            )
        return text
