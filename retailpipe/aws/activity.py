"""What the bucket of a stack tells about the work with it: uploads, loads, rejected rows.

A student can write anything into the bucket, so the receipts are read as untrusted data, and the number of objects that
are read is limited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from retailpipe.aws.session import Aws, aws_errors
from retailpipe.keys import INPUT, RECEIPTS, is_workbook, receipt_key
from retailpipe.outputs import StackOutputs

_MOST_KEYS = 5_000
_MOST_RECEIPTS = 200
_MOST_BYTES = 16_384
"""A receipt has about 300 bytes; a larger object is not read."""
_MOST_ROWS = 10**12


@dataclass(frozen=True)
class Activity:
    """The work with a stack.

    uploads: workbooks under `input/`. loads: those that are loaded with their current content.
    rows_rejected: of these loads. last: the time of the last upload or load; None if there is none.
    is_complete: False if the bucket has so many objects that not all of them were read.
    """

    uploads: int
    loads: int
    rows_rejected: int
    last: datetime | None
    is_complete: bool


def activity(outputs: StackOutputs, aws: Aws) -> Activity:
    """Read the activity from the objects under `input/` and `receipts/` of a stack's bucket. Raises AwsError."""
    inputs = _objects(outputs, INPUT, aws)
    receipts = {each["Key"]: each for each in _objects(outputs, RECEIPTS, aws)}
    workbooks = [each for each in inputs if is_workbook(each["Key"])]
    current = [receipt_key(each["Key"], each["ETag"]) for each in workbooks]
    loaded = [key for key in current if key in receipts]
    # The newest first: if there are too many, these are read.
    newest = sorted(loaded, key=lambda key: receipts[key]["LastModified"], reverse=True)[:_MOST_RECEIPTS]
    times = [each["LastModified"] for each in (*workbooks, *receipts.values())]
    return Activity(
        uploads=len(workbooks),
        loads=len(loaded),
        rows_rejected=sum(_rejected(outputs, receipts[key], aws) for key in newest),
        last=max(times).astimezone(UTC) if times else None,
        is_complete=max(len(inputs), len(receipts)) < _MOST_KEYS and len(loaded) <= _MOST_RECEIPTS,
    )


def _objects(outputs: StackOutputs, prefix: str, aws: Aws) -> list[Mapping[str, Any]]:
    with aws_errors(f"list {prefix} in s3://{outputs.bucket}"):
        pages = (
            aws.client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=outputs.bucket, Prefix=prefix, ExpectedBucketOwner=outputs.account_id)
        )
        found: Iterable[Mapping[str, Any]] = (each for page in pages for each in page.get("Contents", []))
        return list(islice(found, _MOST_KEYS))


def _rejected(outputs: StackOutputs, receipt: Mapping[str, Any], aws: Aws) -> int:
    """The number of rejected rows in a receipt; 0 if it is not a receipt."""
    if not 0 < receipt["Size"] <= _MOST_BYTES:
        return 0
    with aws_errors(f"read {receipt['Key']} from s3://{outputs.bucket}"):
        answer = aws.client("s3").get_object(
            Bucket=outputs.bucket,
            Key=receipt["Key"],
            ExpectedBucketOwner=outputs.account_id,
            Range=f"bytes=0-{_MOST_BYTES}",
        )
        content: bytes = answer["Body"].read()
    try:
        document: object = json.loads(content)
    except (ValueError, RecursionError):
        return 0
    rows = cast("dict[str, object]", document).get("rows_rejected") if isinstance(document, dict) else None
    return rows if isinstance(rows, int) and not isinstance(rows, bool) and 0 <= rows <= _MOST_ROWS else 0
