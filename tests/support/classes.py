"""Writes class folders, and puts students' stacks on the simulated AWS without the Pulumi program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retailpipe.classroom.definition import Classroom
from retailpipe.keys import Receipt
from retailpipe.outputs import VERSION
from tests.support.stacks import ACCOUNT, REGION, HandMade

HEADER = "student,email,iam_user,allowed_cidrs"


def write_class(
    folder: Path, students: Sequence[str] = ("anna", "ben"), *, keys: str = "", settings: str = "", limit: int = 700
) -> Path:
    """Write a valid class file and a roster of these students; returns the folder.

    keys: more lines at the top level of the class file. settings: its lines from [settings] on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "class.toml").write_text(
        f'version = 1\ncourse = "Data"\nregion = "{REGION}"\nexpires_on = 2099-03-31\nmax_monthly_cost = {limit}\n'
        f"{keys}\n{settings}\n"
    )
    rows = [f"{name},{name}@example.com,,203.0.113.7/32" for name in students]
    (folder / "students.csv").write_text("\n".join([HEADER, *rows, ""]))
    return folder


def read_class(folder: Path, *arguments: Any, **options: Any) -> Classroom:
    """Write a class, as `write_class` does, and read it."""
    return Classroom.read(write_class(folder, *arguments, **options))


def deploy(aws: HandMade, student: str, **outputs: Any) -> dict[str, Any]:
    """Put a student's bucket, database and outputs on AWS; returns the outputs. outputs: those that differ."""
    prefix = f"retailpipe-{student}"
    values: dict[str, Any] = {
        "version": VERSION,
        "project": "retailpipe",
        "stack": student,
        "part": "",
        "account_id": ACCOUNT,
        "region": REGION,
        "parameter": f"/retailpipe/{student}/outputs",
        "ephemeral": True,
        "bucket": f"{prefix}-{ACCOUNT}-{REGION}",
        "database_instance": f"{prefix}-database",
        "database_host": "localhost",
        "database_port": 5432,
        "database_name": "retail",
        "database_secret_arn": "arn",
        "topic_arn": "arn",
        "queue_url": "url",
        "dead_letter_queue_url": "url",
        "notify_function": f"{prefix}-notify-upload",
        "check_function": f"{prefix}-check-bucket",
        "schedule_rule": f"{prefix}-schedule",
        "nat_gateway": False,
        "alarms": 0,
        **outputs,
    }
    location = {"LocationConstraint": REGION}
    aws.client("s3").create_bucket(Bucket=values["bucket"], CreateBucketConfiguration=location)
    create_database(aws, values["database_instance"])
    aws.client("ssm").put_parameter(Name=f"/retailpipe/{student}/outputs", Value=json.dumps(values), Type="String")
    return values


def create_database(aws: HandMade, identifier: str, storage: int = 20) -> None:
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=storage,
        MasterUsername="instructor",
        ManageMasterUserPassword=True,
        Tags=[{"Key": "ExpiresOn", "Value": "2099-02-28"}],
    )


def upload(aws: HandMade, bucket: str, name: str, *, rejected: int | None = None) -> None:
    """Put a workbook into a bucket. rejected: also put the receipt of its load, which rejected this many rows."""
    key = f"input/{name}"
    etag = aws.client("s3").put_object(Bucket=bucket, Key=key, Body=name.encode())["ETag"].strip('"')
    if rejected is not None:
        receipt = Receipt(key, etag, "hash", 1, 100, rejected, "2026-11-29T10:00:00+00:00")
        aws.client("s3").put_object(Bucket=bucket, Key=receipt.receipt_key, Body=receipt.as_json().encode())
