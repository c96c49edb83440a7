"""Estimate the monthly cost of a deployed stack."""

from __future__ import annotations

from retailpipe.aws.instance import database_status
from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.prices import MonthlyCost, Setup, monthly_cost

_GB = 1024**3


def cost(stack: Stack, *, hours: float | None = None) -> MonthlyCost:
    """Estimate the monthly cost of a deployed stack, with the current database class and bucket size read from AWS.

    hours: how many hours per month the database runs; default: all.
    Raises AwsError, UnknownPrice.
    """
    status = database_status(stack)
    default = Setup()
    return monthly_cost(
        Setup(
            database_class=status.instance_class,
            database_storage=status.storage,
            bucket=_bytes(stack) / _GB,
            hours=default.hours if hours is None else hours,
            nat_gateway=stack.outputs.nat_gateway,
            alarms=stack.outputs.alarms,
            dashboards=1 if stack.outputs.dashboard else 0,
        )
    )


def _bytes(stack: Stack) -> int:
    """The size of all object versions in the bucket, in bytes: old versions cost money too."""
    bucket = stack.outputs.bucket
    with aws_errors(f"list the versions in s3://{bucket}"):
        pages = stack.aws.client("s3").get_paginator("list_object_versions")
        found = pages.paginate(Bucket=bucket, ExpectedBucketOwner=stack.outputs.account_id)
        return sum(version["Size"] for page in found for version in page.get("Versions", []))
