"""The Lambda that S3 calls for each upload: it publishes one notice per workbook, with the command that loads it.

Uses only the standard library and boto3. A record that fails does not stop the others: the handler raises at the end,
so that the alarm counts the failure and Lambda retries the event. Repeated notices are harmless.
"""

from __future__ import annotations

import json
import os
import shlex
from urllib.parse import unquote_plus

from common import client, log
from keys import is_workbook, printable

_SUBJECT_LENGTH = 100


def handle(event, context):
    """Publish the notices for an S3 event, and return their number.

    Raises ValueError if the event is not from S3, RuntimeError if a record failed.
    """
    if isinstance(event, dict) and event.get("Event") == "s3:TestEvent":
        log(context, "test event", bucket=event.get("Bucket"))
        return {"published": 0}
    records = event.get("Records") if isinstance(event, dict) else None
    if not isinstance(records, list):
        log(context, "not an S3 event", event=json.dumps(event, default=str)[:1000])
        raise ValueError("not an S3 event: it has no Records")
    published, seen, failures = 0, set(), []
    for record in records:
        try:
            workbook = _workbook(record)
            identity = (workbook["bucket"], workbook["key"], workbook["etag"])
            if not is_workbook(workbook["key"]) or identity in seen:
                continue
            _publish(workbook)
            seen.add(identity)
        except Exception as error:  # the notices of the other records must still be published
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
        raise ValueError(f"the record is from {record['eventSource']}, not from S3")
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
        f"A workbook was uploaded to stack {os.environ['STACK']}.\n\n"
        f"Bucket:  {workbook['bucket']}\n"
        f"Key:     {printable(key)}\n"
        f"Size:    {workbook['size']:,} bytes\n"
        f"Version: {workbook['version'] or 'none'}\n\n"
        f"To load it, run:\n\n    {command}\n\n"
        f"If `retailpipe watch` is running for this stack, it loads the workbook without this command.\n"
    )
    notice = {"kind": "upload", **workbook, "command": command}
    client("sns").publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=_subject(f"Workbook uploaded: {key}"),
        # Email subscribers get the text; the SQS queue gets the notice as JSON, for `retailpipe watch`.
        Message=json.dumps({"default": text, "sqs": json.dumps(notice, ensure_ascii=False)}, ensure_ascii=False),
        MessageStructure="json",
        MessageAttributes={"kind": {"DataType": "String", "StringValue": "upload"}},
    )


def _command(key):
    return f"retailpipe run --stack {os.environ['STACK']} {_quoted(key)}"


def _quoted(text):
    """Quote a text as one word of bash, on one line."""
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + printable(text.replace("\\", "\\\\").replace("'", "\\'")) + "'"


def _subject(text):
    """Return a text as an SNS subject: printable ASCII, at most 100 characters."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text)
    return plain if len(plain) <= _SUBJECT_LENGTH else plain[: _SUBJECT_LENGTH - 3] + "..."
