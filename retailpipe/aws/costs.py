"""What a stack costs in a month, as it is set."""

from __future__ import annotations

from retailpipe.aws.database import database_status
from retailpipe.aws.session import told
from retailpipe.aws.stack import Stack
from retailpipe.cost import MonthlyCost, Setup, monthly_cost

_GB = 1024**3


def cost(stack: Stack, *, hours: float | None = None) -> MonthlyCost:
    """The month's cost, part by part, from the price file: the instance and the bucket as AWS tells of them now.

    hours: how long the database runs in the month; default: all day.
    Raises AwsError, UnknownPrice.
    """
    status = database_status(stack)
    usual = Setup()
    return monthly_cost(
        Setup(
            database_class=status.instance_class,
            database_storage=status.storage,
            bucket=_bytes(stack) / _GB,
            hours=usual.hours if hours is None else hours,
            nat_gateway=stack.outputs.nat_gateway,
            alarms=stack.outputs.alarms,
            dashboards=1 if stack.outputs.dashboard else 0,
        )
    )


def _bytes(stack: Stack) -> int:
    """The bytes of all versions in the bucket."""
    bucket = stack.outputs.bucket
    with told(f"list the versions in s3://{bucket}"):
        pages = stack.aws.client("s3").get_paginator("list_object_versions")
        found = pages.paginate(Bucket=bucket, ExpectedBucketOwner=stack.outputs.account_id)
        return sum(version["Size"] for page in found for version in page.get("Versions", []))
