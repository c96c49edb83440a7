"""The bucket of a stack as a store of workbooks."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import re
import shlex
import tempfile
import zlib
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError, SourceNotFound, StoreError
from retailpipe.keys import INPUT, RECEIPTS, Receipt, is_workbook, receipt_key
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import LoadReport
from retailpipe.store import Snapshot, Stored, file_snapshot, remedy, remove_orphans

_PART = 16 << 20
_ATTEMPTS = 10
"""How often a part of a download is tried, which is all that a broken connection costs."""
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_UNEXPLAINED = {"400", "403"}
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_log = logging.getLogger(__name__)
_MD5 = re.compile(r"[0-9a-f]{32}")


class BucketStore:
    """Workbooks under `input/` of a stack's bucket, which keeps every version of them."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._bucket = stack.outputs.bucket
        self._folder = folder / "tmp"

    @property
    def address(self) -> str:
        return f"s3://{self._bucket}"

    def key_of(self, path: Path) -> str:
        return INPUT + path.name

    def upload(self, path: Path, *, replace: bool = False, progress: Progress | None = None) -> Stored:
        with file_snapshot(path, self.key_of(path)) as copy:
            there = self._head(copy.key)
            if there and _is_same(there, copy.path):
                return _stored(copy.key, there)
            if there and not replace:
                raise StoreError(
                    f"there is another {copy.key} in {self.address}, of {there['ContentLength']:,} bytes and "
                    f"{there['LastModified']:%Y-%m-%d %H:%M} UTC",
                    hint="Give the file another name, or replace that one: "
                    f"`retailpipe upload {shlex.quote(str(path))} --replace`.",
                )
            (progress or NoProgress()).step("uploading", unit="bytes", total=copy.path.stat().st_size)
            with aws_errors(f"upload {path} to {self.address}"):
                self._s3.upload_file(
                    str(copy.path),
                    self._bucket,
                    copy.key,
                    ExtraArgs={
                        **self._owner,
                        "ChecksumAlgorithm": "SHA256",
                        "ContentType": _TYPE,
                        "Metadata": {"sha256": copy.content_hash},
                    },
                    Callback=(progress or NoProgress()).advance,
                    Config=_transfers(),
                )
            stored = self._head(copy.key)
        if stored is None:
            raise StoreError(f"{copy.key} vanished from {self.address}", hint="Upload it again.")
        return _stored(copy.key, stored)

    def workbooks(self) -> list[Stored]:
        found = (
            Stored(each["Key"], each["Size"], each["LastModified"].astimezone(UTC), each["ETag"].strip('"'))
            for each in self._list(INPUT)
            if is_workbook(each["Key"])
        )
        return sorted(found, key=lambda stored: stored.key)

    @contextmanager
    def snapshot(
        self, key: str, *, at_hand: Path | None = None, progress: Progress | None = None
    ) -> Generator[Snapshot]:
        there = self._head(key) if key.startswith(INPUT) else None
        if there is None:
            raise SourceNotFound(
                f"there is no {key} in {self.address}",
                hint="See what there is with `retailpipe status`, or name a file to upload it.",
            )
        etag = there["ETag"].strip('"')
        if at_hand:
            with file_snapshot(at_hand, key) as copy:
                if _is_same(there, copy.path):
                    yield Snapshot(key, copy.path, copy.content_hash, etag)
                    return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_orphans(self._folder)
            folder = tempfile.TemporaryDirectory(dir=self._folder, prefix=f"{os.getpid()}-")
        except OSError as error:
            raise StoreError(f"cannot download {key}: {error.strerror}", hint=remedy(error)) from error
        with folder:
            path = Path(folder.name) / "workbook.xlsx"
            yield Snapshot(key, path, self._download(key, there, path, progress or NoProgress()), etag)

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Puts the receipt of a load into the bucket. If that fails, `write_missing_receipts` does it later."""
        receipt = Receipt(
            key=snapshot.key,
            etag=snapshot.etag,
            content_hash=snapshot.content_hash,
            load_id=report.load_id or 0,
            rows_loaded=report.rows_loaded,
            rows_rejected=report.rows_rejected,
            loaded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            if report.status != "unchanged" or not any(self._list(receipt.receipt_key)):
                self._put(receipt.receipt_key, receipt.as_json())
        except AwsError as error:
            _log.warning("%s is loaded, but its receipt is not written: %s", snapshot.key, error)

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        there = {each["Key"] for each in self._list(RECEIPTS)}
        for stored, report in loads:
            if receipt_key(stored.key, stored.etag) not in there:
                self.acknowledge(Snapshot(stored.key, self._folder, report.content_hash, stored.etag), report)

    def note_failure(self, key: str, reason: str) -> bool:
        """Notes that the content of a workbook cannot be loaded; gives whether that is news."""
        there = self._head(key)
        if there is None:
            return False
        return self._note(f"{receipt_key(key, there['ETag'])}.failed", {"reason": reason})

    def note_failed_build(self, failure: Collection[str]) -> bool:
        """Notes that a build failed; gives whether that is news. failure: texts that tell it from other ones."""
        texts = sorted(failure)
        digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:32]
        return self._note(f"{RECEIPTS}builds/{digest}.failed", {"failure": texts})

    def _note(self, key: str, content: Mapping[str, Any]) -> bool:
        """Puts an object where there is none; gives whether there was none."""
        if any(self._list(key)):
            return False
        self._put(key, json.dumps(content, ensure_ascii=False))
        return True

    def _put(self, key: str, text: str) -> None:
        with aws_errors(f"put {key} into {self.address}"):
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType="application/json", **self._owner
            )

    @property
    def _s3(self) -> Any:
        return self._stack.aws.client("s3")

    @property
    def _owner(self) -> dict[str, str]:
        """Names are the whole world's: a bucket of somebody else's is refused."""
        return {"ExpectedBucketOwner": self._stack.outputs.account_id}

    def _head(self, key: str) -> dict[str, Any] | None:
        try:
            with aws_errors(f"look at {key} in {self.address}"):
                return self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **self._owner)
        except AwsError as error:
            if error.code in _MISSING:
                return None
            if error.code in _UNEXPLAINED:  # the answer to HEAD has no body; another call tells what is the matter
                with aws_errors(f"look at {key} in {self.address}"):
                    self._stack.aws.client("sts").get_caller_identity()
                    self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1, **self._owner)
            raise

    def _list(self, prefix: str) -> Generator[dict[str, Any]]:
        with aws_errors(f"list {self.address}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, **self._owner
            )
            for page in pages:
                yield from page.get("Contents", [])

    def _download(self, key: str, there: dict[str, Any], path: Path, progress: Progress) -> str:
        """Downloads the version that was looked at, and gives its SHA-256."""
        progress.step("downloading", unit="bytes", total=there["ContentLength"])
        version = {"VersionId": there["VersionId"]} if there.get("VersionId") else {}
        try:
            with aws_errors(f"download {key} from {self.address}"):
                self._s3.download_file(
                    self._bucket,
                    key,
                    str(path),
                    ExtraArgs={**version, **self._owner},
                    Callback=progress.advance,
                    Config=_transfers(),
                )
        except OSError as error:
            raise StoreError(f"cannot download {key}: {error.strerror or error}", hint=remedy(error)) from error
        except AwsError as error:
            if error.code in _MISSING:
                hint = "It was removed meanwhile: see what there is with `retailpipe status`."
                raise SourceNotFound(f"{key} vanished from {self.address}", hint=hint) from error
            raise
        expected = _expected(there)
        digests = _digests(path, expected.keys())
        for name, value in expected.items():
            if digests[name] != value:
                raise StoreError(
                    f"{key} of {self.address} arrived damaged: its {name} is not what the bucket has",
                    hint="Try again; if it fails again, upload the workbook anew.",
                )
        return digests["SHA-256"]


def _transfers() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=_PART,
        multipart_chunksize=_PART,
        max_concurrency=4,
        io_chunksize=1 << 20,
        num_download_attempts=_ATTEMPTS,
    )


def _expected(there: dict[str, Any]) -> dict[str, str]:
    """What the bucket knows of a content, the best of it: a SHA-256, else what S3 reckoned by itself."""
    expected: dict[str, str] = {"size": str(there["ContentLength"])}
    is_whole = there.get("ChecksumType") == "FULL_OBJECT"
    etag = there["ETag"].strip('"')
    if content_hash := there["Metadata"].get("sha256"):  # of whoever uploaded it
        expected["SHA-256"] = content_hash
    elif is_whole and (sha256 := there.get("ChecksumSHA256")):
        expected["SHA-256"] = base64.b64decode(sha256).hex()
    elif is_whole and (crc := there.get("ChecksumCRC32")):
        expected["CRC32"] = crc
    elif _MD5.fullmatch(etag) and there.get("ServerSideEncryption") in (None, "AES256"):
        expected["MD5"] = etag
    return expected


def _is_same(there: dict[str, Any], path: Path) -> bool:
    """Whether a file has the content of an object, as far as the bucket knows; by its size alone it is not."""
    expected = _expected(there)
    digests = _digests(path, expected.keys())
    return len(expected) > 1 and all(digests[name] == value for name, value in expected.items())


def _digests(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """The SHA-256 of a file, and what else is wanted of it."""
    sha256, md5, crc = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            if "MD5" in wanted:
                md5.update(block)
            if "CRC32" in wanted:
                crc = zlib.crc32(block, crc)
    return {
        "size": str(path.stat().st_size),
        "SHA-256": sha256.hexdigest(),
        "MD5": md5.hexdigest(),
        "CRC32": base64.b64encode(crc.to_bytes(4, "big")).decode(),
    }


def _stored(key: str, there: dict[str, Any]) -> Stored:
    return Stored(key, there["ContentLength"], there["LastModified"].astimezone(UTC), there["ETag"].strip('"'))
