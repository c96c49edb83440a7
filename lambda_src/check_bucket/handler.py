"""Called on schedule: pulls the workbook of SOURCE_URL if it has changed, then says which workbooks wait.

Standard library and boto3 only. A workbook waits as long as there is no receipt for its content.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile

from common import client, log, printable
from keys import INPUT, RECEIPTS, SUFFIX, waiting
from source import PullFailed, fetch, file_name, shown

_SHOWN = 20


def handle(event, context):
    """Takes any event; gives what was pulled and how many workbooks wait."""
    bucket, url = os.environ["BUCKET"], os.environ.get("SOURCE_URL", "")
    pulled, failure = None, None
    if url:
        try:
            pulled = pull(bucket, url)
        except PullFailed as error:
            failure = error
            log(context, "pull failed", url=shown(url), error=str(error))
            _publish(
                "Pull failed",
                f"The workbook of {shown(url)} could not be pulled: {error}.\n\n"
                f"Nothing was stored. Look at the address in a browser; change it with "
                f"`pulumi config set sourceUrl ...` and `pulumi up`.\n",
                "failure",
            )
        else:
            log(context, "pulled" if pulled else "unchanged", url=shown(url), key=pulled)
    workbooks = [(stored["Key"], stored["ETag"]) for stored in _list(bucket, INPUT)]
    waits = waiting(workbooks, (stored["Key"] for stored in _list(bucket, RECEIPTS)))
    log(context, "checked", workbooks=len(workbooks), waiting=len(waits))
    if waits:
        keys = "".join(f"    {printable(key)}\n" for key in waits[:_SHOWN])
        more = f"    and {len(waits) - _SHOWN} more\n" if len(waits) > _SHOWN else ""
        command = f"retailpipe run --stack {shlex.quote(os.environ['STACK'])}"
        _publish(
            f"{len(waits)} workbooks wait",
            f"These workbooks of {bucket} are not loaded:\n\n{keys}{more}\nLoad them with:\n\n    {command}\n",
            "waiting",
        )
    if failure:
        raise failure
    return {"pulled": pulled, "waiting": len(waits)}


def pull(bucket, url):
    """Stores the workbook of an address under `input/` if it has changed; gives its key then, else None.

    Raises PullFailed.
    """
    name = file_name(url) or "source"
    key = INPUT + (name if name.lower().endswith(SUFFIX) else name + SUFFIX)
    known = _metadata(bucket, key)
    source = hashlib.sha256(url.encode()).hexdigest()
    etag = known.get("source-etag") if known.get("source") == source else None
    with tempfile.TemporaryFile() as file:
        fetched = fetch(url, etag, file)
        if not fetched or fetched[0] == known.get("sha256"):
            return None
        file.seek(0)
        metadata = {"source": source, "sha256": fetched[0]}
        if fetched[1]:
            metadata["source-etag"] = _ascii(fetched[1])
        client("s3").upload_fileobj(file, bucket, key, ExtraArgs={"Metadata": metadata})
    return key


def _ascii(text):
    """S3's metadata are printable ASCII."""
    return "".join(sign if " " <= sign <= "~" else "?" for sign in text)


def _metadata(bucket, key):
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
