"""The store in a bucket, on the simulated AWS: uploads, verified downloads, receipts, and failures of S3."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import retailpipe
from retailpipe import Environment
from retailpipe.errors import AwsError, SourceNotFound, StoreError, UsageError
from retailpipe.keys import receipt_key
from retailpipe.snapshots import copy_prefix
from retailpipe.store import Store
from tests.conftest import ROW, Workbook
from tests.support.aws import s3_refuses
from tests.support.proxy import proxy
from tests.support.stacks import HandMade

CONTENT = os.urandom(20_000_000)
"""Large enough for a multipart upload: two parts of 16 MiB."""


class RecordedProgress:
    """Records the steps, and counts the bytes."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int | None]] = []
        self.done = 0

    def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
        self.steps.append((name, total))

    def advance(self, amount: int = 1) -> None:
        self.done += amount

    def end(self) -> None:
        pass


@pytest.fixture
def bucket(on_aws: Environment) -> Store:
    return on_aws.store


@pytest.fixture
def big(tmp_path: Path) -> Path:
    big = tmp_path / "big.xlsx"
    big.write_bytes(CONTENT)
    return big


def put(made: HandMade, key: str, content: bytes = b"PK", **more: Any) -> None:
    """Write an object without this library, so without its metadata and checksum."""
    made.client("s3").put_object(Bucket=made.outputs["bucket"], Key=key, Body=content, **more)


def test_a_download_has_the_uploaded_content(bucket: Store, big: Path, made: HandMade) -> None:
    up, down = RecordedProgress(), RecordedProgress()

    stored = bucket.upload(big, progress=up)
    with bucket.snapshot(stored.key, progress=down) as snapshot:
        content = snapshot.path.read_bytes()
        at = snapshot.path

    assert content == CONTENT
    assert (stored.key, stored.size, snapshot.etag) == ("input/big.xlsx", len(CONTENT), stored.etag)
    assert snapshot.content_hash == hashlib.sha256(CONTENT).hexdigest()
    assert (up.done, down.done) == (len(CONTENT), len(CONTENT))
    assert up.steps == [("uploading", len(CONTENT))]
    assert not at.exists()
    about = made.client("s3").head_object(Bucket=made.outputs["bucket"], Key=stored.key, ChecksumMode="ENABLED")
    assert about["Metadata"]["sha256"] == snapshot.content_hash
    assert "ChecksumSHA256" in about


@pytest.mark.parametrize("name", ["a b.xlsx", "größe & zahl.xlsx", "日本 売上+%20.xlsx", "a'b\"c.XLSX"])
def test_names_with_special_characters_work(bucket: Store, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"PK content")

    key = bucket.upload(file).key

    assert [stored.key for stored in bucket.workbooks()] == [key] == [f"input/{name}"]
    with bucket.snapshot(key) as snapshot:
        assert snapshot.path.read_bytes() == b"PK content"


def test_uploading_the_same_content_again_writes_nothing(bucket: Store, book: Path, made: HandMade) -> None:
    first, second = bucket.upload(book), bucket.upload(book)

    versions = made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])["Versions"]
    assert first == second
    assert len(versions) == 1


def test_different_content_is_refused_without_replace(bucket: Store, book: Path, made: HandMade) -> None:
    bucket.upload(book)
    book.write_bytes(b"second content")

    with pytest.raises(
        StoreError, match=r"s3://retailpipe-dev-.* already has a different input/book\.xlsx: 13 bytes"
    ) as caught:
        bucket.upload(book)
    bucket.upload(book, replace=True)

    assert "--replace" in caught.value.hint
    with bucket.snapshot("input/book.xlsx") as snapshot:
        assert snapshot.path.read_bytes() == b"second content"
    assert len(made.client("s3").list_object_versions(Bucket=made.outputs["bucket"])["Versions"]) == 2


@pytest.mark.nightly
def test_more_keys_than_one_page_are_listed(bucket: Store, made: HandMade) -> None:
    for number in range(1_203):
        put(made, f"input/{number:05}.xlsx")
    for key in ("input/notes.txt", "input/~$00001.xlsx", "elsewhere/a.xlsx", "input/"):
        put(made, key)

    assert [stored.key for stored in bucket.workbooks()] == [f"input/{number:05}.xlsx" for number in range(1_203)]


@pytest.mark.parametrize("key", ["input/none.xlsx", "none.xlsx", "receipts/a.xlsx", "input/../x"])
def test_a_missing_key_is_not_found(bucket: Store, key: str) -> None:
    with pytest.raises(SourceNotFound, match="in s3://"), bucket.snapshot(key):
        pass


def test_a_key_deleted_before_the_download_is_not_found(bucket: Store, made: HandMade, big: Path) -> None:
    """All its versions are deleted between reading its properties and the download."""
    key = bucket.upload(big).key

    class Removing(RecordedProgress):
        def step(self, name: str, *, unit: str = "", total: int | None = None) -> None:
            s3, name = made.client("s3"), made.outputs["bucket"]
            for version in s3.list_object_versions(Bucket=name)["Versions"]:
                s3.delete_object(Bucket=name, Key=key, VersionId=version["VersionId"])

    with pytest.raises(SourceNotFound, match=r"input/big\.xlsx was deleted"), bucket.snapshot(key, progress=Removing()):
        pass


def test_an_object_replaced_during_the_download_keeps_its_content(bucket: Store, made: HandMade, big: Path) -> None:
    key = bucket.upload(big).key

    class Replacing(RecordedProgress):
        def advance(self, amount: int = 1) -> None:
            if not self.done:
                put(made, key, b"PK another")
            self.done += amount

    with bucket.snapshot(key, progress=Replacing()) as snapshot:
        assert snapshot.path.read_bytes() == CONTENT


@pytest.mark.parametrize("more", [{}, {"ChecksumAlgorithm": "CRC32"}, {"Metadata": {"sha256": "0" * 64}}])
def test_objects_of_other_programs_are_verified_by_their_checksum(
    bucket: Store, made: HandMade, more: dict[str, Any]
) -> None:
    put(made, "input/a.xlsx", b"PK content", **more)

    if "Metadata" in more:
        with pytest.raises(StoreError, match="is damaged: its SHA-256"), bucket.snapshot("input/a.xlsx"):
            pass
        return
    with bucket.snapshot("input/a.xlsx") as snapshot:
        assert snapshot.content_hash == hashlib.sha256(b"PK content").hexdigest()


def test_requests_that_s3_throttles_are_retried(bucket: Store, book: Path) -> None:
    with s3_refuses("SlowDown", 503, times=3):
        key = bucket.upload(book).key
    with s3_refuses("SlowDown", 503, times=2), bucket.snapshot(key) as snapshot:
        assert snapshot.path.read_bytes() == b"first content"


def test_an_expired_session_is_reported(bucket: Store, book: Path) -> None:
    key = bucket.upload(book).key

    with s3_refuses("ExpiredToken", 400, times=100), pytest.raises(AwsError, match="session has expired") as caught:
        bucket.upload(book)
    with s3_refuses("ExpiredToken", 400, times=100), pytest.raises(AwsError, match="session has expired"):
        bucket.workbooks()

    assert "aws sso login" in caught.value.hint
    assert [stored.key for stored in bucket.workbooks()] == [key]


def test_a_download_continues_after_a_broken_connection(
    made: HandMade, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy(int(made.endpoint.rpartition(":")[2])) as door:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{door.port}")
        environment = Environment.from_stack("dev")
        key = environment.store.upload(big).key

        class Cutting(RecordedProgress):
            def advance(self, amount: int = 1) -> None:
                self.done += amount
                if not door.cuts:
                    door.cut()

        with environment.store.snapshot(key, progress=Cutting()) as snapshot:
            assert snapshot.path.read_bytes() == CONTENT
        assert door.cuts
        assert environment.stack
        environment.stack.aws.close()


def test_a_bucket_of_another_account_is_refused(made: HandMade, book: Path) -> None:
    made.outputs["account_id"] = "999999999999"
    environment = Environment.from_outputs(made.outputs)

    with pytest.raises(AwsError, match="cannot read the properties of input/book"):
        environment.store.upload(book)

    assert environment.stack
    environment.stack.aws.close()
    assert "Contents" not in made.client("s3").list_objects_v2(Bucket=made.outputs["bucket"])


def test_a_deleted_bucket_is_reported(made: HandMade, bucket: Store) -> None:
    made.client("s3").delete_bucket(Bucket=made.outputs["bucket"])

    with pytest.raises(AwsError, match="NoSuchBucket"):
        bucket.workbooks()


def test_a_folder_cannot_be_uploaded(bucket: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        bucket.upload(tmp_path)


def test_a_download_folder_that_cannot_be_created_is_reported(
    made: HandMade, book: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    environment = Environment.from_stack("dev")
    environment.store.upload(book)

    with pytest.raises(StoreError, match="cannot download input/book"), environment.store.snapshot("input/book.xlsx"):
        pass
    assert environment.stack
    environment.stack.aws.close()


def test_files_of_a_killed_download_are_removed(bucket: Store, book: Path, on_aws: Environment) -> None:
    orphan = on_aws.folder / "tmp" / copy_prefix().replace(str(os.getpid()), "999999999")
    orphan.mkdir(parents=True)
    (orphan / "workbook.xlsx").write_bytes(b"half")
    key = bucket.upload(book).key

    with bucket.snapshot(key):
        assert not orphan.exists()
    assert list((on_aws.folder / "tmp").iterdir()) == []


def test_a_load_writes_a_receipt_and_the_workbook_is_not_read_again(
    on_aws: Environment, make_workbook: Workbook, made: HandMade
) -> None:
    import retailpipe
    from retailpipe import backlog

    (report,) = retailpipe.ingest(on_aws, make_workbook())
    (stored,) = on_aws.store.workbooks()
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    receipt = json.loads(s3.get_object(Bucket=bucket, Key=receipt_key(stored.key, stored.etag))["Body"].read())

    assert (receipt["key"], receipt["load_id"], receipt["rows_loaded"]) == (stored.key, report.load_id, 1)
    assert receipt["content_hash"] == report.content_hash
    assert backlog.waiting(on_aws) == []
    put(made, stored.key, make_workbook([ROW, ROW]).read_bytes())
    assert backlog.waiting(on_aws) == [stored.key]


def test_a_lost_receipt_is_written_by_the_next_ingest(
    on_aws: Environment, make_workbook: Workbook, made: HandMade
) -> None:
    import retailpipe

    retailpipe.ingest(on_aws, make_workbook())
    (stored,) = on_aws.store.workbooks()
    s3, place = made.client("s3"), {"Bucket": made.outputs["bucket"], "Key": receipt_key(stored.key, stored.etag)}
    s3.delete_object(**place)

    assert retailpipe.ingest(on_aws) == []

    assert json.loads(s3.get_object(**place)["Body"].read())["rows_loaded"] == 1


def test_the_same_content_under_a_new_etag_is_read_once(
    on_aws: Environment, make_workbook: Workbook, made: HandMade
) -> None:
    import retailpipe
    from retailpipe import backlog

    book = make_workbook()
    (first,) = retailpipe.ingest(on_aws, book)
    s3, bucket = made.client("s3"), made.outputs["bucket"]
    upload = s3.create_multipart_upload(Bucket=bucket, Key=first.source)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=first.source, UploadId=upload, PartNumber=1, Body=book.read_bytes())
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key=first.source,
        UploadId=upload,
        MultipartUpload={"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]},
    )
    (second,) = retailpipe.ingest(on_aws, first.source)
    (stored,) = on_aws.store.workbooks()

    assert "-" in stored.etag
    assert second.status == "unchanged"
    assert s3.head_object(Bucket=bucket, Key=receipt_key(stored.key, stored.etag))
    assert backlog.waiting(on_aws) == []


def test_ingest_without_sources_ignores_local_files_of_the_same_name(
    on_aws: Environment, make_workbook: Workbook, made: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import retailpipe

    put(made, "input/book.xlsx", make_workbook().read_bytes())
    (tmp_path / "input").mkdir()
    make_workbook([ROW, ROW], name="input/book.xlsx")
    monkeypatch.chdir(tmp_path)

    (report,) = retailpipe.ingest(on_aws)

    assert report.rows_loaded == 1


def test_a_key_may_be_longer_than_the_name_of_a_file(
    on_aws: Environment, made: HandMade, make_workbook: Workbook
) -> None:
    key = "input/" + "long" * 75 + ".xlsx"
    put(made, key, make_workbook().read_bytes())

    assert [report.status for report in retailpipe.ingest(on_aws, key)] == ["loaded"]
    assert [report.status for report in retailpipe.ingest(on_aws, key.removeprefix("input/"))] == ["unchanged"]
