"""The database instances of a region, read with one paginated call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from retailpipe.aws.session import Aws, aws_errors


@dataclass(frozen=True)
class DatabaseInstance:
    """A database instance.

    status: as RDS reports it, such as available or stopped. storage: in GB.
    created: None while RDS creates it. tags: its tags by name.
    is_protected: whether RDS refuses to delete it.
    """

    identifier: str
    status: str
    instance_class: str
    storage: int
    created: datetime | None
    tags: Mapping[str, str]
    is_protected: bool = False


def database_instances(identifiers: Collection[str], aws: Aws) -> Mapping[str, DatabaseInstance]:
    """Return those of the instances that exist, by identifier. Raises AwsError."""
    with aws_errors(f"list the databases in {aws.region}"):
        pages = aws.client("rds").get_paginator("describe_db_instances").paginate()
        # An identifier that does not exist would be an error in the call, so the instances are selected here.
        found = [each for page in pages for each in page["DBInstances"]]
    return {
        each["DBInstanceIdentifier"]: DatabaseInstance(
            identifier=each["DBInstanceIdentifier"],
            status=each["DBInstanceStatus"],
            instance_class=each["DBInstanceClass"],
            storage=each["AllocatedStorage"],
            created=each.get("InstanceCreateTime"),
            tags={tag["Key"]: tag["Value"] for tag in each.get("TagList", [])},
            is_protected=each.get("DeletionProtection", False),
        )
        for each in found
        if each["DBInstanceIdentifier"] in identifiers
    }
