"""The outputs of a stack: the Pulumi program exports them, the library reads them.

They contain no password, only the ARN of the secret that holds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self, cast, get_type_hints

from retailpipe.errors import OutputsError
from retailpipe.names import Names

VERSION = 1
"""The version of this format; outputs of another version are refused."""

CLASSROOM = "classroom"
"""The output `kind` of a classroom stack. Other stacks have no such output."""

MAX_BYTES = 4096
"""The size limit of an SSM parameter of the standard tier, in bytes of UTF-8."""

_DEPLOY = "Deploy the stack again with `pulumi up`."


@dataclass(frozen=True)
class StackOutputs:
    """The names and addresses of a deployed stack's resources. None: the stack does not have this resource.

    part: the name of the pipeline if the stack has several; empty if it has one.
    bucket: name of the S3 bucket, with workbooks under `input/` and receipts under `receipts/`.
    database_host, database_port: the endpoint of the RDS instance, which accepts only TLS.
    database_secret_arn: the secret with `username` and `password`; RDS changes the password every week.
    queue_url: the queue of notices of uploads. dead_letter_queue_url: notices that failed too often.
    topic_arn: the SNS topic of all notices and alarms.
    parameter: name of the SSM parameter that holds these outputs.
    ephemeral: whether `cleanup` and `pulumi destroy` may delete everything in the stack.
    alarms: number of CloudWatch alarms.
    workers: the highest number of workers of a run. worker_hours: of all workers in a month. worker_spot: whether they
        are Spot tasks. worker_group: their security group. worker_subnets: the IDs of their subnets, with commas.
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
    workers: int | None = None
    worker_hours: int | None = None
    worker_spot: bool | None = None
    worker_group: str | None = None
    worker_subnets: str | None = None

    @property
    def name(self) -> str:
        """The stack's name as commands accept it: STACK, PROJECT/STACK or PROJECT/STACK/PIPELINE."""
        return Names(self.project, self.stack, self.part).display_name

    @property
    def log_groups(self) -> dict[str, str]:
        """The CloudWatch log groups of the stack, by their source."""
        names = Names(self.project, self.stack, self.part)
        return {
            "notify-upload": f"/aws/lambda/{self.notify_function}",
            "check-bucket": f"/aws/lambda/{self.check_function}",
            "database": f"/aws/rds/instance/{self.database_instance}/postgresql",
            **({"workers": names.worker_log_group()} if self.workers else {}),
        }

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "the outputs") -> Self:
        """Read the outputs from a mapping, such as the one that `pulumi stack output --json` prints.

        source: the name of the outputs in error messages, such as "the outputs of stack dev".
        Raises OutputsError if the version is not supported, or an output is missing or has the wrong type.
        """
        _check_version(mapping, source)
        if mapping.get("kind") == CLASSROOM:
            raise OutputsError(
                f"{source} are those of a classroom stack, which has no pipeline",
                hint="Name the stack of a student.",
            )
        kinds = get_type_hints(cls)
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = mapping.get(field.name)
            if value is None and field.default is MISSING:
                raise OutputsError(f"{source} have no {field.name}", hint=_DEPLOY)
            if isinstance(value, float) and value.is_integer():  # Pulumi's engine has only floats
                value = int(value)
            if not isinstance(value, kinds[field.name]):
                raise OutputsError(f"{source}: {field.name} is {value!r}, which has the wrong type", hint=_DEPLOY)
            values[field.name] = value
        return cls(**values)

    @classmethod
    def from_json(cls, text: str, source: str = "the outputs") -> Self:
        """Read the outputs from a JSON document. Raises OutputsError, as `from_mapping` does."""
        try:
            mapping: Any = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise OutputsError(f"{source} are not JSON: {error}", hint="Deploy the stack again.") from error
        if not isinstance(mapping, dict):
            raise OutputsError(f"{source} are not a JSON object", hint=_DEPLOY)
        return cls.from_mapping(mapping, source)  # pyright: ignore[reportUnknownArgumentType] - any JSON object

    def as_dict(self) -> dict[str, Any]:
        """The outputs by name, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def as_json(self) -> str:
        """The outputs as one line of JSON. Raises OutputsError if it is too long for an SSM parameter."""
        text = json.dumps(self.as_dict(), separators=(",", ":"), ensure_ascii=False)
        if (size := len(text.encode())) > MAX_BYTES:
            raise OutputsError(
                f"the outputs have {size:,} bytes; an SSM parameter can contain at most {MAX_BYTES:,}",
                hint="Choose shorter names for the project and the stack.",
            )
        return text


@dataclass(frozen=True)
class ClassroomOutputs:
    """The names of a classroom stack's resources, which the stacks of all students share.

    vpc_id, subnet_ids: the students' settings `existingVpcId` and `existingSubnetIds`.
    topic_arn: the SNS topic of the class's budget.
    """

    version: int
    kind: str
    project: str
    stack: str
    account_id: str
    region: str
    vpc_id: str
    subnet_ids: tuple[str, ...]
    topic_arn: str

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], source: str = "the outputs") -> Self:
        """Read the outputs from a mapping, such as the one that `pulumi stack output --json` prints.

        source: the name of the outputs in error messages, such as "the outputs of stack classroom".
        Raises OutputsError if they are not those of a classroom stack, or one is missing or has the wrong type.
        """
        _check_version(mapping, source)
        if mapping.get("kind") != CLASSROOM:
            raise OutputsError(
                f"{source} are not those of a classroom stack",
                hint="Set `pulumi config set classroom true`, and deploy the stack with `pulumi up`.",
            )
        values: dict[str, Any] = {"version": VERSION}
        for name in ("kind", "project", "stack", "account_id", "region", "vpc_id", "topic_arn"):
            values[name] = mapping.get(name)
            if not isinstance(values[name], str):
                raise OutputsError(f"{source} have no {name}", hint=_DEPLOY)
        subnet_ids = mapping.get("subnet_ids")
        if not isinstance(subnet_ids, list | tuple):
            raise OutputsError(f"{source} have no subnet_ids", hint=_DEPLOY)
        return cls(**values, subnet_ids=tuple(str(each) for each in cast("list[object]", subnet_ids)))

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which a student's stack uses the network of this classroom stack."""
        return {"existingVpcId": self.vpc_id, "existingSubnetIds": ",".join(self.subnet_ids)}

    def as_dict(self) -> dict[str, Any]:
        """The outputs by name."""
        return asdict(self)


def _check_version(mapping: Mapping[str, Any], source: str) -> None:
    """Raise OutputsError if the outputs are not from this program, or of another version of it."""
    version = mapping.get("version")
    if version is None:
        raise OutputsError(
            f"{source} are not from a retailpipe stack: they have no version",
            hint="Deploy the stack with `pulumi up`, and use a name that `pulumi stack ls` lists.",
        )
    if version != VERSION:
        newer = isinstance(version, int | float) and version > VERSION
        hint = "Update retailpipe." if newer else _DEPLOY
        age = "a newer" if newer else "an older"
        raise OutputsError(
            f"{source} have version {version}, from {age} retailpipe; only version {VERSION} is supported",
            hint=hint,
        )
