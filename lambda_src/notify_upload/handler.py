"""Called by the bucket when a workbook arrives: publishes one notice for each, with the command that loads it.

Standard library and boto3 only. What fails raises at the end, when all other records are done, so that the alarm sees
it; S3 then calls again, and a repeated notice does no harm.
"""

from __future__ import annotations

import json
import os
import shlex
from urllib.parse import unquote_plus

from common import client, log, printable
from keys import is_workbook

_SUBJECT_LENGTH = 100


def handle(event, context):
    """Takes S3's event; gives how many notices were published."""
    if isinstance(event, dict) and event.get("Event") == "s3:TestEvent":
        log(context, "test event", bucket=event.get("Bucket"))
        return {"published": 0}
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        log(context, "not an event of S3", event=json.dumps(event, default=str)[:1000])
        raise ValueError("not an event of S3: it has no Records")
    published, told, failures = 0, set(), []
    for record in records:
        try:
            workbook = _workbook(record)
            identity = (workbook["bucket"], workbook["key"], workbook["etag"])
            if not is_workbook(workbook["key"]) or identity in told:
                continue
            _publish(workbook)
            told.add(identity)
        except Exception as error:  # the other records are to be told all the same
            failures.append(error)
            log(context, "failed", error=repr(error), record=json.dumps(record, default=str)[:1000])
        else:
            published += 1
            log(context, "published", **workbook)
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(records)} records failed: {failures[0]!r}")
    return {"published": published}


def _workbook(record):
    if record["eventSource"] != "aws:s3":
        raise ValueError(f"a record of {record['eventSource']}, not of S3")
    bucket, stored = record["s3"]["bucket"]["name"], record["s3"]["object"]
    return {
        "bucket": bucket,
        "key": unquote_plus(stored["key"]),
        "size": stored.get("size", 0),
        "version": stored.get("versionId", ""),
        "etag": stored.get("eTag", ""),
        "event": record.get("eventName", ""),
    }


def _publish(workbook):
    key, command = workbook["key"], _command(workbook["key"])
    text = (
        f"A workbook has arrived.\n\n"
        f"Bucket:  {workbook['bucket']}\n"
        f"Key:     {printable(key)}\n"
        f"Size:    {workbook['size']:,} bytes\n"
        f"Version: {workbook['version'] or 'none'}\n\n"
        f"Load it with:\n\n    {command}\n"
    )
    notice = {"kind": "upload", **workbook, "command": command}
    client("sns").publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=_subject(f"Workbook arrived: {key}"),
        # People read the text; the queue gets the notice as JSON.
        Message=json.dumps({"default": text, "sqs": json.dumps(notice, ensure_ascii=False)}, ensure_ascii=False),
        MessageStructure="json",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "upload"}},
    )


def _command(key):
    return f"retailpipe run --stack {os.environ['STACK']} {_quoted(key)}"


def _quoted(text):
    """A text as one word of bash, on one line."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + printable(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def _subject(text):
    """SNS takes printable ASCII in subjects, and not much of it."""
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return plain if len(plain) <= _SUBJECT_LENGTH else plain[: _SUBJECT_LENGTH - 3] + "..."
