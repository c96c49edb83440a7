"""What builds publish into a stack's bucket: `reports/<build>/report.html` and others, and `reports/latest.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError
from retailpipe.keys import REPORTS

LATEST = f"{REPORTS}latest.html"
_LONGEST = timedelta(days=7)
"""The longest life of a link that S3 allows."""
_MOST_BYTES = 20_000_000
_MISSING = {"404", "NoSuchKey", "NotFound"}


@dataclass(frozen=True)
class Newest:
    """The report of the newest build that was published. verdict: its first sentence. ok: whether it has no failure."""

    build: int
    ok: bool
    verdict: str
    content: bytes


@dataclass(frozen=True)
class Link:
    """A link that opens an object without a login. It is a secret: everybody who has it can read the object.

    until: when it ends, in UTC, at the latest.
    is_exact: whether it lasts until then. Otherwise it ends with a session of AWS, whose end is not known.
    """

    url: str
    until: datetime
    is_exact: bool


class PublishedReports:
    """The objects under `reports/` of a stack's bucket. The bucket's default encryption applies to them."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._bucket = stack.outputs.bucket
        self.address = f"s3://{self._bucket}"

    def put(self, key: str, content: bytes, content_type: str) -> None:
        """Write an object. Raises AwsError."""
        self._put(key, content, content_type, {})

    def renew_latest(self, build: int, content: bytes, content_type: str, *, ok: bool, verdict: str) -> None:
        """Write `reports/latest.html`, unless it is of a newer build. Raises AwsError."""
        present = self._call("head_object", LATEST)
        if present is None or _build(present) <= build:
            # Metadata can hold only ASCII.
            plain = verdict.encode("ascii", "replace").decode()
            self._put(LATEST, content, content_type, {"build": str(build), "ok": str(ok).lower(), "verdict": plain})

    def newest(self) -> Newest | None:
        """The newest report; None if there is none, or a file that is too large for one. Raises AwsError."""
        found = self._call("get_object", LATEST)
        if found is None:
            return None
        if found["ContentLength"] > _MOST_BYTES:
            found["Body"].close()
            return None
        with aws_errors(f"download {LATEST} from {self.address}"):
            content: bytes = found["Body"].read()
        metadata = found["Metadata"]
        return Newest(_build(found), metadata.get("ok") == "true", metadata.get("verdict", ""), content)

    def link(self, key: str) -> Link:
        """Sign a link that lasts for seven days, or until the present credentials end. Raises AwsError."""
        now = datetime.now(UTC)
        temporary, end = self._stack.aws.credentials_end()
        until = min(now + _LONGEST, end) if end else now + _LONGEST
        with aws_errors(f"sign a link to {key} in {self.address}"):
            url = self._s3.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": key},
                ExpiresIn=max(1, int((until - now).total_seconds())),
            )
        return Link(url, until, is_exact=end is not None or not temporary)

    @property
    def _s3(self) -> Any:
        return self._stack.aws.client("s3")

    @property
    def _owner(self) -> dict[str, str]:
        return {"ExpectedBucketOwner": self._stack.outputs.account_id}

    def _put(self, key: str, content: bytes, content_type: str, metadata: Mapping[str, str]) -> None:
        with aws_errors(f"write {key} to {self.address}"):
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=content,
                ContentType=content_type,
                Metadata=dict(metadata),
                **self._owner,
            )

    def _call(self, operation: str, key: str) -> dict[str, Any] | None:
        """Call an operation that reads an object; None if there is no such object."""
        try:
            with aws_errors(f"read {key} in {self.address}"):
                return getattr(self._s3, operation)(Bucket=self._bucket, Key=key, **self._owner)
        except AwsError as error:
            if error.code in _MISSING:
                return None
            raise


def _build(found: Mapping[str, Any]) -> int:
    """The number of the build in the metadata of an object; 0 if another program wrote the object."""
    text = str(found["Metadata"].get("build", ""))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
