"""Called on schedule: pulls the workbook of SOURCE_URL if it has changed, then says which workbooks wait.

Standard library and boto3 only. A workbook waits as long as there is no receipt for its content.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shlex
import tempfile
import urllib.error
import urllib.request
from urllib.parse import unquote, urlsplit

from common import client, log
from receipts import INPUT, RECEIPTS, SUFFIX, waiting

MAX_BYTES = 200_000_000
"""What is pulled at most; Lambda's own disk holds 512 MB."""
_TIMEOUT_SECONDS = 60
_BLOCK = 1 << 20
_SHOWN = 20
_ZIP = b"PK\x03\x04"


class PullFailed(Exception):
    """The source gave no workbook; nothing was stored."""


def handle(event, context):
    """Takes any event; gives what was pulled and how many workbooks wait."""
    bucket, url = os.environ["BUCKET"], os.environ.get("SOURCE_URL", "")
    pulled, failure = None, None
    if url:
        try:
            pulled = pull(bucket, url)
        except PullFailed as error:
            failure = error
            log(context, "pull failed", url=_shown(url), error=str(error))
            _publish(
                "Pull failed",
                f"The workbook of {_shown(url)} could not be pulled: {error}.\n\n"
                f"Nothing was stored. Look at the address in a browser; change it with "
                f"`pulumi config set sourceUrl ...` and `pulumi up`.\n",
                "failure",
            )
        else:
            log(context, "pulled" if pulled else "unchanged", url=_shown(url), key=pulled)
    workbooks = [(stored["Key"], stored["ETag"]) for stored in _list(bucket, INPUT)]
    waits = waiting(workbooks, (stored["Key"] for stored in _list(bucket, RECEIPTS)))
    log(context, "checked", workbooks=len(workbooks), waiting=len(waits))
    if waits:
        keys = "".join(f"    {key}\n" for key in waits[:_SHOWN])
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
    if urlsplit(url).scheme != "https":
        raise PullFailed("it is no address of the form https://...")
    key = INPUT + _name(url)
    known = _metadata(bucket, key)
    headers = {"User-Agent": "retailpipe"}
    source = hashlib.sha256(url.encode()).hexdigest()
    if known.get("source") == source and known.get("source-etag"):
        headers["If-None-Match"] = known["source-etag"]
    try:
        with _opener.open(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as answer:
            if urlsplit(answer.geturl()).scheme != "https":
                raise PullFailed("it leads to an address without https")
            with tempfile.TemporaryFile() as file:
                digest = _stream(answer, file)
                if known.get("sha256") == digest:
                    return None
                file.seek(0)
                metadata = {"source": source, "sha256": digest}
                if etag := answer.headers.get("ETag"):
                    metadata["source-etag"] = _ascii(etag)
                client("s3").upload_fileobj(file, bucket, key, ExtraArgs={"Metadata": metadata})
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_MODIFIED:
            return None
        raise PullFailed(f"it answers {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise PullFailed(f"it cannot be reached: {error}") from error
    return key


def _stream(answer, file):
    """Writes an answer into a file; gives its SHA-256. Raises PullFailed where it is no workbook, or too much."""
    kind = answer.headers.get("Content-Type", "something")
    claimed = int(answer.headers.get("Content-Length") or 0)
    digest, size = hashlib.sha256(), 0
    while block := answer.read(_BLOCK):
        if not size and not block.startswith(_ZIP):
            raise PullFailed(f"it gives {kind}, which does not begin like an .xlsx workbook")
        size += len(block)
        if max(size, claimed) > MAX_BYTES:
            raise PullFailed(f"it gives more than {MAX_BYTES:,} bytes")
        digest.update(block)
        file.write(block)
    if not size:
        raise PullFailed("it gives nothing")
    if claimed and size != claimed:
        raise PullFailed(f"it broke off after {size:,} of {claimed:,} bytes")
    return digest.hexdigest()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, reason, headers, address):
        if urlsplit(address).scheme != "https":
            raise PullFailed("it leads to an address without https")
        return super().redirect_request(request, answer, code, reason, headers, address)


_opener = urllib.request.build_opener(_HttpsOnly)


def _shown(url):
    """An address without what may be secret in it."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.hostname}{address.path}"


def _name(url):
    name = unquote(urlsplit(url).path).rpartition("/")[2] or "source"
    return name if name.lower().endswith(SUFFIX) else name + SUFFIX


def _ascii(text):
    """S3's metadata are ASCII."""
    return text.encode("ascii", "replace").decode()


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
