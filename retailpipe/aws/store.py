"""The store of workbooks in a stack's S3 bucket.

Keys: workbooks under `input/`, receipts of loads and notes of failures under `receipts/`. Every call names the account
that must own the bucket.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import tempfile
import zlib
from collections.abc import Collection, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retailpipe.aws.session import aws_errors
from retailpipe.aws.stack import Stack
from retailpipe.errors import AwsError, SourceNotFound, StoreError
from retailpipe.keys import INPUT, RECEIPTS, Receipt, is_csv_name, is_workbook, receipt_key, receipts_prefix
from retailpipe.progress import NoProgress, Progress
from retailpipe.reports import LoadReport
from retailpipe.snapshots import Snapshot, check_name, copy_prefix, file_snapshot, remedy, remove_orphans
from retailpipe.store import Stored, nothing_to_restore, replacement_needed

_PART = 16 << 20
"""Bytes in each part of an upload or a download."""
_ATTEMPTS = 10
"""How often each part of a download is tried: a broken connection costs one part, not the whole download."""
_WORKBOOK_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_UNEXPLAINED = {"400", "403"}
"""HTTP codes that S3 returns without a reason, because the response to HEAD has no body."""
_MISSING = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_log = logging.getLogger(__name__)
_MD5 = re.compile(r"[0-9a-f]{32}")


class BucketStore:
    """Workbooks under `input/` of a stack's bucket, which is versioned.

    folder: downloads go to its subfolder `tmp`.
    """

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
            head = self._head(copy.key)
            if head and _is_same(head, copy.path):
                return _stored(copy.key, head)
            if head and not replace:
                raise replacement_needed(_stored(copy.key, head), path, self.address)
            (progress or NoProgress()).step("uploading", unit="bytes", total=copy.path.stat().st_size)
            with aws_errors(f"upload {path} to {self.address}"):
                self._s3.upload_file(
                    str(copy.path),
                    self._bucket,
                    copy.key,
                    ExtraArgs={
                        **self._owner,
                        "ChecksumAlgorithm": "SHA256",
                        "ContentType": "text/csv" if is_csv_name(copy.key) else _WORKBOOK_TYPE,
                        "Metadata": {"sha256": copy.content_hash},
                    },
                    Callback=(progress or NoProgress()).advance,
                    Config=_transfer_config(),
                )
            stored = self._head(copy.key)
        if stored is None:
            raise StoreError(f"{copy.key} was deleted from {self.address} during the upload", hint="Upload it again.")
        return _stored(copy.key, stored)

    def conflict(self, path: Path) -> Stored | None:
        with file_snapshot(path, self.key_of(path)) as copy:
            head = self._head(copy.key)
            return _stored(copy.key, head) if head and not _is_same(head, copy.path) else None

    def remove(self, key: str) -> bool:
        """Delete a workbook; the bucket keeps it as an old version for 90 days."""
        if self._head(key) is None:
            return False
        with aws_errors(f"delete {key} from {self.address}"):
            self._s3.delete_object(Bucket=self._bucket, Key=key, **self._owner)
        return True

    def restore(self, key: str, *, content_hash: str = "") -> Stored:
        earlier = self._earlier(key)
        if not earlier:
            raise nothing_to_restore(key, self.address)
        version = (self._find(key, earlier, content_hash) if content_hash else None) or earlier[0]
        source = {"Bucket": self._bucket, "Key": key, "VersionId": version["VersionId"]}
        with aws_errors(f"restore {key} in {self.address}"):
            self._s3.copy_object(
                Bucket=self._bucket,
                Key=key,
                CopySource=source,
                ExpectedSourceBucketOwner=self._stack.outputs.account_id,
                **self._owner,
            )
        restored = self._head(key)
        if restored is None:
            raise nothing_to_restore(key, self.address)
        return _stored(key, restored)

    def keeps(self, key: str, content_hash: str) -> bool:
        return self._find(key, self._earlier(key), content_hash) is not None

    def versions(self) -> dict[tuple[str, str], str]:
        """The version of each content under input/, by key and etag; the newest if several have the same content."""
        versions = sorted(self._versions(INPUT), key=lambda each: each["LastModified"])
        return {(each["Key"], each["ETag"].strip('"')): each["VersionId"] for each in versions}

    def _versions(self, prefix: str) -> list[dict[str, Any]]:
        with aws_errors(f"list the versions of {prefix} in {self.address}"):
            pages = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=prefix, **self._owner
            )
            return [each for page in pages for each in page.get("Versions", [])]

    def _earlier(self, key: str) -> list[dict[str, Any]]:
        """The versions of a workbook that differ from the present one, newest first."""
        present = self._head(key)
        versions = [each for each in self._versions(key) if each["Key"] == key]
        earlier = [each for each in versions if not present or each["ETag"] != present["ETag"]]
        return sorted(earlier, key=lambda each: each["LastModified"], reverse=True)

    def _find(self, key: str, versions: Iterable[dict[str, Any]], content_hash: str) -> dict[str, Any] | None:
        """The first of some versions with a content, as far as its uploader or S3 has recorded the SHA-256."""
        for version in versions:
            with aws_errors(f"read the properties of a version of {key} in {self.address}"):
                head = self._s3.head_object(
                    Bucket=self._bucket,
                    Key=key,
                    VersionId=version["VersionId"],
                    ChecksumMode="ENABLED",
                    **self._owner,
                )
            if _expected(head).get("SHA-256") == content_hash:
                return version
        return None

    def workbooks(self) -> list[Stored]:
        found = (
            Stored(each["Key"], each["Size"], each["LastModified"].astimezone(UTC), each["ETag"].strip('"'))
            for each in self._list(INPUT)
            if is_workbook(each["Key"])
        )
        return sorted(found, key=lambda stored: stored.key)

    @contextmanager
    def snapshot(
        self, key: str, *, local_file: Path | None = None, progress: Progress | None = None
    ) -> Generator[Snapshot]:
        head = self._head(key) if key.startswith(INPUT) else None
        if head is None:
            raise SourceNotFound(
                f"there is no {key} in {self.address}",
                hint="List the workbooks with `retailpipe status`, or pass a file to upload it.",
            )
        check_name(key)
        etag, version = head["ETag"].strip('"'), head.get("VersionId") or ""
        if local_file:
            with file_snapshot(local_file, key) as copy:
                if _is_same(head, copy.path):
                    yield Snapshot(key, copy.path, copy.content_hash, etag, version)
                    return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_orphans(self._folder)
            folder = tempfile.TemporaryDirectory(dir=self._folder, prefix=copy_prefix())
        except OSError as error:
            raise StoreError(f"cannot download {key}: {error.strerror}", hint=remedy(error)) from error
        with folder:
            path = Path(folder.name) / "workbook.xlsx"
            yield Snapshot(key, path, self._download(key, head, path, progress or NoProgress()), etag, version)

    def acknowledge(self, snapshot: Snapshot, report: LoadReport) -> None:
        """Write the receipt of a load into the bucket.

        A failure is only logged, because the load is committed; `write_missing_receipts` writes the receipt later.
        """
        try:
            if report.status != "unchanged" or not any(self._list(receipt_key(snapshot.key, snapshot.etag))):
                self._write_receipt(snapshot.key, snapshot.etag, report)
        except AwsError as error:
            _log.warning("%s is loaded, but its receipt was not written: %s", snapshot.key, error)

    def keep_certificate(self, snapshot: Snapshot, content: bytes) -> None:
        """Write the certificate of a workbook beside its receipt. Raises AwsError."""
        key = receipt_key(snapshot.key, snapshot.etag).removesuffix(".json")
        self._put(f"{key}.certificate.json", content.decode())

    def write_missing_receipts(self, loads: Iterable[tuple[Stored, LoadReport]]) -> None:
        existing = {each["Key"] for each in self._list(RECEIPTS)}
        for stored, report in loads:
            if receipt_key(stored.key, stored.etag) not in existing:
                try:
                    self._write_receipt(stored.key, stored.etag, report)
                except AwsError as error:
                    _log.warning("%s is loaded, but its receipt was not written: %s", stored.key, error)

    def _write_receipt(self, key: str, etag: str, report: LoadReport) -> None:
        receipt = Receipt(
            key=key,
            etag=etag,
            content_hash=report.content_hash,
            load_id=report.load_id or 0,
            rows_loaded=report.rows_loaded,
            rows_rejected=report.rows_rejected,
            loaded_at=datetime.now(UTC).isoformat(timespec="seconds"),
            rows_corrected=report.rows_corrected,
        )
        self._put(receipt.receipt_key, receipt.as_json())

    def remove_receipts(self, key: str) -> None:
        found = [each["Key"] for each in self._list(receipts_prefix(key))]
        for receipt in found:
            with aws_errors(f"delete {receipt} from {self.address}"):
                self._s3.delete_object(Bucket=self._bucket, Key=receipt, **self._owner)

    def load_failure_note(self, key: str) -> str | None:
        """Return the key of the note which says that the current content of a workbook cannot be loaded.

        None if the workbook was removed.
        """
        head = self._head(key)
        return f"{receipt_key(key, head['ETag'])}.failed" if head else None

    def build_failure_note(self, failure: Collection[str]) -> str:
        """Return the key of the note which says that a build failed.

        failure: texts that distinguish this failure from others.
        """
        digest = hashlib.sha256(json.dumps(sorted(failure)).encode()).hexdigest()[:32]
        return f"{RECEIPTS}builds/{digest}.failed"

    def has_note(self, note: str) -> bool:
        return any(self._list(note))

    def write_note(self, note: str, reason: str) -> None:
        self._put(note, json.dumps({"reason": reason}, ensure_ascii=False))

    def _put(self, key: str, text: str) -> None:
        with aws_errors(f"write {key} to {self.address}"):
            self._s3.put_object(
                Bucket=self._bucket, Key=key, Body=text.encode(), ContentType="application/json", **self._owner
            )

    @property
    def _s3(self) -> Any:
        return self._stack.aws.client("s3")

    @property
    def _owner(self) -> dict[str, str]:
        """The argument that makes S3 refuse a bucket of another account, which may have taken its name."""
        return {"ExpectedBucketOwner": self._stack.outputs.account_id}

    def _head(self, key: str) -> dict[str, Any] | None:
        """Return the properties of an object, or None if it does not exist."""
        try:
            with aws_errors(f"read the properties of {key} in {self.address}"):
                return self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED", **self._owner)
        except AwsError as error:
            if error.code in _MISSING:
                return None
            if error.code in _UNEXPLAINED:  # one of these calls fails with the reason
                with aws_errors(f"read the properties of {key} in {self.address}"):
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

    def _download(self, key: str, head: dict[str, Any], path: Path, progress: Progress) -> str:
        """Download the version that `head` describes, verify it, and return its SHA-256.

        Naming the version keeps the content consistent if the object is replaced during the download.
        """
        progress.step("downloading", unit="bytes", total=head["ContentLength"])
        version = {"VersionId": head["VersionId"]} if head.get("VersionId") else {}
        try:
            with aws_errors(f"download {key} from {self.address}"):
                self._s3.download_file(
                    self._bucket,
                    key,
                    str(path),
                    ExtraArgs={**version, **self._owner},
                    Callback=progress.advance,
                    Config=_transfer_config(),
                )
        except OSError as error:
            raise StoreError(f"cannot download {key}: {error.strerror or error}", hint=remedy(error)) from error
        except AwsError as error:
            if error.code in _MISSING:
                hint = "List the workbooks with `retailpipe status`."
                raise SourceNotFound(
                    f"{key} was deleted from {self.address} before it was downloaded", hint=hint
                ) from error
            raise
        expected = _expected(head)
        digests = _digests(path, expected.keys())
        for name, value in expected.items():
            if digests[name] != value:
                raise StoreError(
                    f"the download of {key} from {self.address} is damaged: its {name} differs from the bucket's",
                    hint="Try again. If it fails again, upload the workbook again.",
                )
        return digests["SHA-256"]


def _transfer_config() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        multipart_threshold=_PART,
        multipart_chunksize=_PART,
        max_concurrency=4,
        io_chunksize=1 << 20,
        num_download_attempts=_ATTEMPTS,
    )


def _expected(head: dict[str, Any]) -> dict[str, str]:
    """The size of an object and its strongest known checksum, by name; only the size if no checksum is known."""
    expected: dict[str, str] = {"size": str(head["ContentLength"])}
    # The checksum of a multipart upload may be a checksum of checksums, which the file cannot be compared with.
    is_whole = head.get("ChecksumType") == "FULL_OBJECT"
    etag = head["ETag"].strip('"')
    if content_hash := head["Metadata"].get("sha256"):  # written by the uploader: `upload` or check_bucket
        expected["SHA-256"] = content_hash
    elif is_whole and (sha256 := head.get("ChecksumSHA256")):
        expected["SHA-256"] = base64.b64decode(sha256).hex()
    elif is_whole and (crc := head.get("ChecksumCRC32")):
        expected["CRC32"] = crc
    # The ETag is the MD5 of the content only without KMS encryption, and not for multipart uploads.
    elif _MD5.fullmatch(etag) and head.get("ServerSideEncryption") in (None, "AES256"):
        expected["MD5"] = etag
    return expected


def _is_same(head: dict[str, Any], path: Path) -> bool:
    """Whether a file has the content of an object. False if the bucket has no checksum: the size is not enough."""
    expected = _expected(head)
    digests = _digests(path, expected.keys())
    return len(expected) > 1 and all(digests[name] == value for name, value in expected.items())


def _digests(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """The size and SHA-256 of a file by name. MD5 and CRC32 are valid only if they are in `wanted`."""
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


def _stored(key: str, head: dict[str, Any]) -> Stored:
    return Stored(key, head["ContentLength"], head["LastModified"].astimezone(UTC), head["ETag"].strip('"'))
