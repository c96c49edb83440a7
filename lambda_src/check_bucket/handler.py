"""The Lambda that runs on a schedule: it pulls the workbook at SOURCE_URL, then reports workbooks that are not loaded.

A workbook is pulled only if it has changed.

Uses only the standard library and boto3. It cannot reach the database: a workbook counts as loaded if the bucket has a
receipt for its current content.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile

from botocore.exceptions import BotoCoreError, ClientError
from common import client, log
from keys import INPUT, RECEIPTS, is_csv_name, printable, waiting, workbook_name
from source import PullFailed, fetch, file_name, shown

_SHOWN = 20
_LONGEST_ETAG = 1_000
"""S3 refuses an object with more than 2 KB of metadata; a longer ETag is not kept."""


def handle(event, context):
    """Run the check. Return the key of the pulled workbook (or None) and the number of workbooks that are not loaded.

    The event is ignored. If the pull fails, the bucket is still checked; PullFailed is raised at the end, so that the
    alarm counts the failure.
    """
    bucket, url = os.environ["BUCKET"], os.environ.get("SOURCE_URL", "")
    pulled, failure = None, None
    if url:
        try:
            pulled = pull(bucket, url)
        except PullFailed as error:
            failure = error
            log(context, "pull failed", url=shown(url), error=str(error))
            _publish(
                "Workbook not downloaded from sourceUrl",
                f"The workbook at {shown(url)} was not downloaded into stack {os.environ['STACK']}.\n\n"
                f"Reason: {error}.\n\n"
                f"Nothing was stored. The next check tries again. To test the address, open it in a browser. "
                f"To change it, run in the folder of the Pulumi project:\n\n"
                f"    pulumi config set sourceUrl ADDRESS\n    pulumi up\n",
                "failure",
            )
        else:
            log(context, "pulled" if pulled else "unchanged", url=shown(url), key=pulled)
    workbooks = [(stored["Key"], stored["ETag"]) for stored in _list(bucket, INPUT)]
    not_loaded = waiting(workbooks, (stored["Key"] for stored in _list(bucket, RECEIPTS)))
    log(context, "checked", workbooks=len(workbooks), waiting=len(not_loaded))
    if not_loaded:
        keys = "".join(f"    {printable(key)}\n" for key in not_loaded[:_SHOWN])
        more = f"    and {len(not_loaded) - _SHOWN} more\n" if len(not_loaded) > _SHOWN else ""
        command = f"retailpipe run --stack {shlex.quote(os.environ['STACK'])}"
        count = "1 workbook is" if len(not_loaded) == 1 else f"{len(not_loaded)} workbooks are"
        _publish(
            f"{count} not loaded",
            f"{count} in the bucket {bucket} but not loaded into the database:\n\n{keys}{more}\n"
            f"To load {'it' if len(not_loaded) == 1 else 'them'}, run:\n\n    {command}\n",
            "waiting",
        )
    if failure:
        raise failure
    return {"pulled": pulled, "waiting": len(not_loaded)}


def pull(bucket, url):
    """Download the workbook at an address and store it under `input/`. Return its key, or None if it is unchanged.

    It is unchanged if the server returns 304 (Not Modified) for the ETag of the last pull, or if the SHA-256 is the
    same.
    Raises PullFailed, also if S3 refuses the workbook: so a failure of the pull never prevents the check of the bucket.
    """
    key = INPUT + workbook_name(file_name(url))
    try:
        return key if _store(bucket, key, url) else None
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise PullFailed(f"it cannot be stored in the bucket {bucket} as {printable(key)}: {code}") from None


def _store(bucket, key, url):
    """Download the workbook at an address and store it under a key. Return whether it had changed."""
    known = _metadata(bucket, key)
    source = hashlib.sha256(url.encode()).hexdigest()
    etag = known.get("source-etag") if known.get("source") == source else None
    with tempfile.TemporaryFile() as file:
        fetched = fetch(url, etag, file, is_csv_name(key))
        if not fetched or fetched[0] == known.get("sha256"):
            return False
        file.seek(0)
        metadata = {"source": source, "sha256": fetched[0]}
        if _can_be_kept(fetched[1]):
            metadata["source-etag"] = fetched[1]
        client("s3").upload_fileobj(file, bucket, key, ExtraArgs={"Metadata": metadata})
    return True


def _can_be_kept(etag):
    """Whether an ETag can be stored as S3 metadata, and stands for one content: `*` would match any.

    Without an ETag, the next check downloads the workbook again and compares the SHA-256.
    """
    return etag.isascii() and etag.isprintable() and 0 < len(etag) <= _LONGEST_ETAG and etag != "*"


def _metadata(bucket, key):
    """Return the metadata of the last pull; empty if the object does not exist.

    List the key first: for a missing key, HEAD returns 403 instead of 404 if the role may list only some prefixes.
    """
    found = [stored for stored in _list(bucket, key) if stored["Key"] == key]
    return client("s3").head_object(Bucket=bucket, Key=key)["Metadata"] if found else {}


def _list(bucket, prefix):
    for page in client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])


def _publish(subject, text, kind):
    client("sns").publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=subject,
        Message=text,
        MessageAttributes={"kind": {"DataType": "String", "StringValue": kind}},
    )
